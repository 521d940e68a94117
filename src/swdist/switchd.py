"""The switch side as a process: installs, and hears no network.

    micropython -m swdist.switchd --config /etc/config/swdist

It trusts nothing that the network side has stored: signatures, index and chunks are verified again.
"""

import json
import sys

from swdist import choose, config, ipc, net, platform, unixsock, verify
from swdist.bits import from_hex, number, to_hex, version_text
from swdist.manifest import MAX_BYTES
from swdist.slots import Slots
from swdist.switcher import Switcher

HOOK_S = 20  # a hook that takes longer has failed
TELL_US = 5000000  # the network side is told at least so often what runs
MAX_CHECKED = 256  # releases whose signatures were checked, good and bad
MAX_RECORD_BYTES = 65536
MAX_SIGNATURES_BYTES = 32768


class Switchd:
    def __init__(self, conf, log, fs, trust):
        self.conf = conf
        self.log = log
        self.fs = fs
        self.trust = trust
        self.counter = conf.clock()
        self._checked = {}  # {release id: Release, or None when it was refused}
        self._records = self._count_records()
        slots = Slots(fs, conf.store, conf.state)
        factory = choose.factory(conf.factory_version)
        self.switcher = Switcher(
            slots,
            conf.board,
            factory,
            self._saved_s(),
            conf.confirm_s * 1000000,
            self._hook,
            self._record,
            log,
        )
        self.slots = slots
        self.ipc = unixsock.unix_socket(conf.run + "/switch.sock")
        fs.chmod(conf.run + "/switch.sock", 0o666)  # RUN itself lets only swdist in
        self.poller = net.Poller()
        self.poller.register(self.ipc)

    def _saved_s(self):
        data = self.fs.read(self.conf.state + "/time", 12) or b"0"
        try:
            return number(str(data, "ascii"), 0, 4102444800) or 0
        except (UnicodeError, ValueError):
            return 0

    def _count_records(self):
        return self.fs.size(self.conf.state + "/switches") or 0

    def run(self):
        stop = platform.stop_fd()
        if stop is not None:
            self.poller.register(stop)
        switcher = self.switcher
        now = self.counter.counter_us()
        switcher.set_releases(self._releases(), now)
        switcher.start(now)
        tell_at = now
        told = None
        self.log.info("up, running %s" % switcher.active.name())
        while True:
            now = self.counter.counter_us()
            switcher.tick(now)
            state = (switcher.active.rid, len(self.slots.failed()))
            if now >= tell_at or state != told:
                told = state
                tell_at = now + TELL_US
                self._tell(now)
            now = self.counter.counter_us()
            wake = min(switcher.next_at, tell_at)
            ready = self.poller.wait(max((wake - now + 999) // 1000, 0))
            if stop is not None and stop in ready:
                break
            if self.ipc in ready:
                self._take()
        self.log.info("stopped")

    def _take(self):
        look = False
        while True:
            data = self.ipc.recv()
            if data is None:
                break
            message = ipc.parse(data)
            if message is not None and message[0] == ipc.TIME:
                self.switcher.set_time(*message[1:], self.counter.counter_us())
            elif message is not None and message[0] == ipc.STORE:
                look = True
        if look:
            self.switcher.set_releases(self._releases(), self.counter.counter_us())

    def _releases(self):
        """The verified releases in the store. Each signature is checked once."""
        found = []
        for name in self.fs.listdir(self.conf.store):
            rid = from_hex(name, 32)
            if rid is None:
                continue
            if rid not in self._checked:
                if len(self._checked) >= MAX_CHECKED:
                    self._checked = {}
                self._checked[rid] = self._check(rid, self.conf.store + "/" + name)
            if self._checked[rid] is not None:
                found.append(self._checked[rid])
        return found

    def _check(self, rid, path):
        release, why = self.trust.check(
            self.fs.read(path + "/manifest", MAX_BYTES) or b"",
            self.fs.read(path + "/signatures", MAX_SIGNATURES_BYTES) or b"",
        )
        if release is not None and release.rid == rid:
            return release
        self.log.warn(
            "refused %s in the store: %s" % (to_hex(rid[:4]), why or "digest is not the id")
        )
        return None

    def _hook(self, release, name):
        path = self.slots.path(release.rid)
        hook = path + "/hooks/" + name
        if self.fs.size(hook) is None:
            return 0
        return platform.run(("sh", hook, path), HOOK_S)

    def _record(self, record):
        path = self.conf.state + "/switches"
        if self._records > MAX_RECORD_BYTES:
            data = self.fs.read(path, 2 * MAX_RECORD_BYTES) or b""
            half = data.find(b"\n", len(data) // 2) + 1
            self.fs.write_atomic(path, data[half:])
        line = json.dumps(record)
        self.fs.append_line(path, line)
        self._records = self._count_records()
        if record["synced"]:
            self.fs.write_atomic(self.conf.state + "/time", b"%d" % (record["at_us"] // 1000000))
            if self.conf.set_clock:
                self._set_clock()

    def _set_clock(self):
        us = self.switcher.now_s(self.counter.counter_us()) * 1000000
        if not platform.set_system_clock(us):
            self.log.warn("the system clock could not be set")

    def _tell(self, now):
        r = self.switcher.active
        m = r.manifest
        message = ipc.pack_active(r.rid, m.version, m.revision, m.experimental, self.slots.failed())
        self.ipc.send_to(self.conf.run + "/net.sock", message)
        status = {
            "active": {
                "id": to_hex(r.rid),
                "version": version_text(m.version),
                "revision": m.revision,
                "experimental": m.experimental,
            },
            "confirmed": to_hex(self.slots.confirmed()),
            "failed": [to_hex(f) for f in self.slots.failed()],
            "prepared": [to_hex(x.rid) for x in self.switcher.releases if x.complete],
            "synced": self.switcher.synced,
        }
        path = self.conf.run + "/switch.json"
        try:  # RUN is in RAM: no flush is owed
            with self.fs.open(path + ".tmp", "w") as f:
                f.write(json.dumps(status))
            self.fs.rename(path + ".tmp", path)
        except OSError as e:
            self.log.warn("status not written: %s" % e)


def main(argv):
    fs = platform.Fs()
    conf = config.load(argv, "swdist-switchd", fs)
    log = conf.log_to("swdist-switchd")
    try:
        trust = verify.load_ca(fs, conf.ca)
        for path in (conf.state, conf.run):
            fs.mkdirs(path)
        daemon = Switchd(conf, log, fs, trust)
    except (ValueError, OSError) as e:
        log.error(str(e))
        sys.exit(2)
    daemon.run()


if __name__ == "__main__":
    main(sys.argv[1:])
