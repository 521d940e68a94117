"""What the two processes last said of themselves, and whether they still do."""

import json
import os

from swdist.shell import platform

OLD_S = 120  # what was last said longer ago is of a process that hangs or is gone
MAX_BYTES = 262144


class Refused(Exception):
    """One line that says what is wrong, and what to do."""


def said(fs, conf, side):
    """What a process last said of itself."""
    path = "%s/%s.json" % (conf.run, side)
    try:
        status = json.loads(str(fs.read(path, MAX_BYTES) or b"", "utf-8"))
    except ValueError:
        raise Refused("%s says nothing: is swdist running? see swdist status, swdist log" % path)
    age_s = (platform.Clock().counter_us() - status["counter_us"]) // 1000000
    if age_s > OLD_S:
        raise Refused("swdist-%sd has said nothing for %d s; see swdist log" % (side, age_s))
    return status


def process(fs, conf, daemon):
    """The number of netd or switchd of this configuration, or None."""
    for pid in fs.listdir("/proc", 65536):
        words = cmdline(pid) if pid.isdigit() else ()
        if b"swdist." + daemon.encode() in words and conf.path.encode() in words:
            return pid
    return None


def absolute(path):
    """A path as typed: the launcher has gone to / since, where nobody else can put modules."""
    return path if path[:1] == "/" else (os.getenv("SWDIST_FROM") or "") + "/" + path


def cmdline(pid):
    """The words that a process was started with."""
    try:
        with open("/proc/%s/cmdline" % pid, "rb") as f:  # which says that its size is 0
            return f.read(4096).split(b"\0")
    except OSError:
        return ()


def uptime_s(pid):
    """Seconds since a process was started."""
    with open("/proc/%s/stat" % pid) as f:
        started = int(f.read(4096).rpartition(")")[2].split()[19])  # field 22, in 1/100 s
    with open("/proc/uptime") as f:
        return int(f.read(99).split(".")[0]) - started // 100
