"""The shell around the device code: clocks, randomness, files, processes, privileges, log.

Of all modules only this one, `net` and `libc` touch the outside world. Runs on MicroPython's unix
port and on CPython.
"""

import os
import sys
import time

from swdist.shell import libc

MICROPYTHON = sys.implementation.name == "micropython"
_TICKS_BITS = 30  # ticks_us() wraps there at the earliest
EAGAIN = 11
MAX_NAMES = 512  # of a folder that are listed; STORE has some hundred at most


class Clock:
    """A monotonic counter that all processes of this host share, and the system's wall clock."""

    def __init__(self):
        if MICROPYTHON:
            # ticks_us() is CLOCK_MONOTONIC, but wraps on 32-bit machines: /proc/uptime, good to
            # 10 ms, tells the upper bits, so that two processes count alike.
            self._last = time.ticks_us()
            span = 1 << _TICKS_BITS
            if self._last < span:
                with open("/proc/uptime") as f:
                    uptime_us = int(float(f.read().split()[0]) * 1000000)
                self._high = (uptime_us - self._last + span // 2) // span * span + self._last
            else:
                self._high = self._last

    def counter_us(self):
        """Microseconds, never decreasing. Call it at least every few minutes."""
        if not MICROPYTHON:
            return time.monotonic_ns() // 1000
        now = time.ticks_us()
        self._high += time.ticks_diff(now, self._last)
        self._last = now
        return self._high

    def wait_until(self, us):
        """That counter, to the microsecond."""
        time.sleep(max(us - self.counter_us(), 0) / 1000000)

    def wall_us(self):
        """Microseconds since 1970 by the system clock."""
        return time.time_ns() // 1000


def rand_bytes(n):
    # Not os.urandom: on musl it may read /dev/random, and wait.
    with open("/dev/urandom", "rb") as f:
        return f.read(n)


def rand(n):
    """A random number 0..n-1."""
    return int.from_bytes(rand_bytes(8), "big") % n


class Fs:
    """Files. Errors are OSError, but for what is simply not there: None, [] or False."""

    def read(self, path, limit):
        """The file's bytes, at most limit; None if it is missing or longer."""
        try:
            size = os.stat(path)[6]
            if size > limit:
                return None
            if not size:
                return b""  # what is not opened, a pipe or a device, does nothing
            with self.open(path, "rb") as f:
                data = f.read(size + 1) or b""  # MicroPython allocates all that is asked for
        except OSError:
            return None
        return data if len(data) <= size else None

    def sync(self, f):
        f.flush()  # MicroPython's flush() is fsync(2)
        if not MICROPYTHON:
            os.fsync(f.fileno())

    def sync_dir(self, path):
        if MICROPYTHON:
            with open(path) as f:
                f.flush()
        else:
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)

    def write_atomic(self, path, data):
        """After a power cut there is the old file or the new one, whole."""
        with open(path + ".tmp", "wb") as f:
            f.write(data)
            self.sync(f)
        self.rename(path + ".tmp", path)

    def append_line(self, path, text):
        with open(path, "ab") as f:
            f.write(text.encode() + b"\n")
            self.sync(f)

    def rename(self, a, b):
        os.rename(a, b)
        self.sync_dir(b.rpartition("/")[0] or ".")

    def open(self, path, mode):
        """What is read may be somebody else's: a pipe in the place of a file, or a lease on one,
        must not hold us."""
        if mode == "rb":
            fd = libc.open_fd(path) if MICROPYTHON else os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            if fd == -1:
                os.stat(path)  # raises what is usual
                raise OSError(EAGAIN)
            if fd is not None:
                return open(fd, mode, 65536)
        return open(path, mode)

    def listdir(self, path, most=MAX_NAMES):
        """Names in a folder, at most so many: who fills it must not fill our memory."""
        names = []
        try:
            found = os.ilistdir(path) if MICROPYTHON else os.scandir(path)
            for entry in found:
                names.append(entry[0] if MICROPYTHON else entry.name)
                if len(names) == most:
                    break
        except OSError:
            pass
        return names

    def free(self, path):
        """Bytes that are left on its flash."""
        s = os.statvfs(path)
        return s[1] * s[4]

    def is_dir(self, path):
        try:
            return os.stat(path)[0] & 0o170000 == 0o040000
        except OSError:
            return False

    def size(self, path):
        try:
            return os.stat(path)[6]
        except OSError:
            return None

    def mkdirs(self, path):
        done = ""
        for part in path.split("/"):
            done += part + "/"
            if part and not self.is_dir(done):
                try:
                    os.mkdir(done)
                    self.sync_dir(done + "..")  # its name
                except OSError:  # the other process was faster?
                    if not self.is_dir(done):
                        raise

    def remove(self, path):
        os.remove(path)

    def rmtree(self, path):
        try:
            os.remove(path)  # first, so that a link is removed and never followed
        except OSError:
            if self.is_dir(path):
                names = True
                while names:
                    names = self.listdir(path)
                    for name in names:
                        self.rmtree(path + "/" + name)
                os.rmdir(path)
            elif self.size(path) is not None:
                raise

    def chmod(self, path, mode):
        if not MICROPYTHON:
            os.chmod(path, mode)
        elif not libc.chmod(path, mode):
            run(("chmod", "%o" % mode, path), 10)

    def chown(self, path, uid, gid):
        if not MICROPYTHON:
            os.chown(path, uid, gid)
        elif not libc.chown(path, uid, gid):
            run(("chown", "%d:%d" % (uid, gid), path), 10)


# What limits a command is this shell's own, for OpenWrt's busybox has no `timeout`, and older ones
# no `setsid`. All that a command has started is known by a word in its environment, also what has
# left its process group, or whose parent is gone; a second look finds what was started during the
# first. The command itself ends last, for then nobody looks any more. Nor is there a trap, or one
# long `sleep`: not each shell hears a signal that comes just before its `wait`. procd
# has what it starts preload a library, and what a hook starts would do so too.
_RUN = """cd /;unset LD_PRELOAD
end() {
for p in /proc/[0-9]*;do
[ $p = /proc/$c ]||case " $(tr '\\0' ' ' <$p/environ) " in
*" SWDIST_TASK=%s "*) kill -9 ${p#/proc/};;esac
done
}
SWDIST_TASK=%s %s&c=$!
{ n=0
while [ $n -lt %d ];do sleep 1;n=$((n+1));done
kill -STOP $c;end;end;kill -9 $c;} </dev/null >/dev/null 2>&1&w=$!
{ wait $c;s=$?;kill -9 $w;wait $w;} 2>/dev/null
"""
# The last line that it says goes to a file, and all to where it went before. What it leaves running
# may go on speaking: `cat` listens then.
_TELL = """{ %s
printf '\\n%s %%d\\n' $s;} 2>&1|{
s=137 last=
while read -r l;do
case $l in "%s "*) s=${l#* };break;;?*) last=$l;printf '%%s\\n' "$l";;esac
done
printf %%s "$last" >'%s'
cat <&3 3<&-&exit $s
} 3<&0"""


def number(fs, path):
    """What a file says, as a number from 0 on; 0 where it is missing or garbled."""
    try:
        return max(int(fs.read(path, 20) or b"0"), 0)
    except ValueError:
        return 0


def run(words, timeout_s, quiet=False, said=None):
    """Runs a command with its words quoted; the exit status, 137 when it took too long: then all
    that it has started has ended with it. quiet: what it says is not heard. said: a file for the
    last line of it, with a name that needs no quotes."""
    task = "".join(["%02x" % b for b in rand_bytes(8)])
    line = " ".join(["'" + word.replace("'", "'\\''") + "'" for word in words])
    line = _RUN % (task, task, line + " >/dev/null 2>&1" if quiet else line, timeout_s)
    line = _TELL % (line, task, task, said) if said else line + "exit $s"
    # SIGTERM is held back (libc.stop_fd), and busybox's sh hands that on: then nobody could end
    # what it starts.
    held = bytearray(128)
    how = 3 if libc.MIPS else 2  # SIG_SETMASK
    libc.call("i", "sigprocmask", "iPP", how, bytes(128), held)
    status = os.system(line)
    libc.call("i", "sigprocmask", "iPP", how, held, None)
    return status >> 8 if status & 0xFF == 0 else 128 + (status & 0x7F)


def user_ids(name):
    """(uid, gid) from /etc/passwd, or None."""
    with open("/etc/passwd") as f:
        for line in f:
            fields = line.split(":")
            if fields[0] == name and len(fields) > 3:
                return int(fields[2]), int(fields[3])
    return None


def drop_privileges(ids):
    """Becomes (uid, gid) for good. False if the runtime can't."""
    if MICROPYTHON:
        return libc.set_ids(*ids)
    os.setgroups([ids[1]])
    os.setgid(ids[1])
    os.setuid(ids[0])
    return True


def set_system_clock(us):
    if MICROPYTHON and libc.set_clock(us // 1000000, us % 1000000):
        return True
    return run(("date", "-s", "@%d" % (us // 1000000)), 10) == 0


def stop_fd():
    """A descriptor that becomes readable at SIGTERM or SIGINT, or None (see libc.stop_fd)."""
    if MICROPYTHON:
        return libc.stop_fd()
    import signal

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return reading


_LEVELS = {"error": 3, "warn": 4, "info": 6, "debug": 7}


class Log:
    """Lines to syslog or stderr, `tag: text`. Levels are those of RFC 5424."""

    def __init__(self, to, level, tag):
        self._limit = _LEVELS[level]
        self._tag = tag
        self._socket = None
        if to == "syslog":
            from swdist.shell import unixsock

            # OpenWrt's logd takes a space at byte 16 for the end of a date, and drops what is
            # before it. With the process's number, as others have it, there is none.
            with open("/proc/self/stat") as f:
                self._mark = "%s[%s]" % (tag, f.read(16).split()[0])

            self._socket = unixsock.UnixSender("/dev/log")

    def _write(self, level, text):
        if level > self._limit:
            return
        if self._socket is None or not self._socket.send(
            b"<%d>%s: %s" % (3 * 8 + level, self._mark.encode(), text.encode())
        ):
            sys.stderr.write("%s: %s\n" % (self._tag, text))

    def error(self, text):
        self._write(3, text)

    def warn(self, text):
        self._write(4, text)

    def info(self, text):
        self._write(6, text)

    def debug(self, text):
        self._write(7, text)
