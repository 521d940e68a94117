"""The switch side as a process: installs, and hears no network.

    micropython -m swdist.switchd --config /etc/config/swdist

It trusts nothing that the network side has stored: signatures, index and chunks are verified again.
"""

import gc
import json
import sys

from swdist import VERSION
from swdist.crypto import ucryptolib
from swdist.crypto.ucryptolib import sha256
from swdist.formats import ipc, usign
from swdist.formats.bits import from_hex, plain, to_hex, version_text
from swdist.formats.manifest import MAX_BYTES
from swdist.machines.pace import Pace
from swdist.machines.rendezvous import Rendezvous
from swdist.machines.switcher import Switcher
from swdist.shell import libc, native, net, platform, unixsock
from swdist.storage import journal
from swdist.storage.slots import Slots
from swdist.trust import choose, verify
from swdist.wiring import config

try:
    from swdist.storage import install
except ImportError:  # package swdist-install is not there
    install = None

HOOKS = "/usr/lib/swdist/hooks/"  # the operator's: prepare.d, activate.d, rendezvous.d, ...
MAX_HOOKS = 8  # of each that are run
HOOK_S = 20  # a hook that takes longer has failed
TELL_US = 5000000  # the network side is told at least so often what runs
LAST_US = 500000  # before a change it hears nothing, and only waits
LOOK_US = 60000000  # the store is read at least so often: a message may be lost
BURST = 32  # messages taken in one turn
MAX_SEEN = 256  # releases that were refused are known again
CHECK_US = 10000000  # a look at an unknown release costs so much time, on average;
CHECKS = 96  # but so many may come at once: more than a store holds


class Switchd:
    def __init__(self, conf, log, fs, trust, counter):
        self.conf = conf
        self.log = log
        self.fs = fs
        self.trust = trust
        self.counter = counter
        # Verified once, a release stays for as long as this process: who empties the store does not
        # change what runs. Of each version the highest revision is kept.
        self._held = {}  # {release id: Release}
        self._seen = []  # ids of the last that were checked
        self._checks = Pace(CHECK_US, CHECKS)
        if install:
            install.flashed(fs, conf)
        self.slots = Slots(fs, conf.store, conf.state)
        self.here = choose.Here(conf.board, config.kinds(conf, fs), conf.groups, self._lot())
        self.switcher = Switcher(
            self.slots, self.here, choose.factory(conf.factory_version),
            platform.number(fs, conf.state + "/time"), conf.confirm_s * 1000000, self._hook,
            self._record, log, conf.hold,
        )  # fmt: skip
        flash = install and install.Flash(fs, conf, platform.rand, self.switcher, self._hook, log)
        self.flash = flash
        # RUN belongs to the network side's user, who could put a link in the place of what root is
        # about to open or chown there, or a folder. So the socket lies beside it, and files are
        # made there, and renamed into it.
        self._aside = conf.run + ".switchd"
        sock = conf.run + ".sock"
        self.ipc = unixsock.Unix(sock)
        every_us = conf.rendezvous_every_s * 1000000
        self.rendezvous = conf.rendezvous and Rendezvous(every_us, counter.counter_us())
        own = getattr(install, "ownflash", None)  # an older package has none
        self._own = own and own.Giver(fs, conf, self._put, self.ipc)
        fs.chmod(sock, 0o600)
        ids = platform.user_ids(conf.user) if conf.user else None
        if ids is not None:
            fs.chown(sock, *ids)
        self.poller = net.Poller()
        self.poller.register(self.ipc)

    def _lot(self):
        """16 random bytes, drawn once in this node's life: choose.Here has what they are for."""
        path = self.conf.state + "/lot"
        lot = self.fs.read(path, 16) or b""
        if len(lot) != 16:
            lot = platform.rand_bytes(16)
            try:
                self.fs.write_atomic(path, lot)
            except OSError as e:
                self.log.error("disk: %s" % e)
        return lot

    def run(self):
        stop = platform.stop_fd()
        if stop is not None:
            self.poller.register(stop)
        now = self.counter.counter_us
        self.begin(now())
        self.log.info("up, running %s" % self.switcher.active.name())
        ready = ()
        while stop not in ready:
            if self.ipc in ready:
                self._take()
            wake = self.turn(now())
            if wake is None:
                break
            ready = self._wait(wake, now())
        self._hand_over(now())
        self._down()
        self.log.info("stopped")

    def begin(self, now):
        """Up to the first turn. The simulator does this, and each turn, as the daemon does."""
        while self._look(now):
            pass
        self._take_over(now)
        self.switcher.start(now)
        self._down()
        self._tell_at, self._look_at, self._told = now, now + LOOK_US, None

    def turn(self, now):
        """Does what is due: when the next turn is, by the counter; None when other code is due."""
        switcher = self.switcher
        switcher.tick(now)
        if switcher.restart_due:
            return None
        if now >= self._look_at:
            self._look_at = switcher.change_at
            if not switcher.quiet(now):
                libc.rank(False)
                self._look_at = now if self._look(now) else now + LOOK_US
                if self.conf.set_clock and switcher.synced:
                    self._set_clock(now)
        state = (switcher.active.rid, len(self.slots.failed()))
        if now >= self._tell_at or state != self._told:
            self._tell_at = switcher.change_at
            if not switcher.quiet(now):
                self._told, self._tell_at = state, now + TELL_US
                self._tell()
        self._meet(self.counter.counter_us())
        wake = min(switcher.next_at, self._tell_at, self._look_at)
        if self.flash:
            self.flash.tick(self.counter.counter_us())
            wake = min(wake, self.flash.next_at)
        return wake

    def _wait(self, wake, now):
        """What is ready at `wake` or before. The last part of the way to a change it sleeps: what
        comes then would make it late, or memory that is to be tidied; and poll counts in ms."""
        libc.rank(self.switcher.quiet(wake))
        last = wake == self.switcher.change_at
        left = wake - now - last * LAST_US
        if last and left <= 0:
            gc.collect()
            self.counter.wait_until(wake)
            return []
        return self.poller.wait(max((left + 999) // 1000, 0))

    def _hand_over(self, now):
        """The counter goes on in the next process, so the mesh time holds there too; without it an
        experiment would be left at once."""
        self._put(".spent", b"%d" % self.switcher.pace.until)
        self._put(".time", ipc.pack_time(*self.switcher.time(now)))

    def _take_over(self, now):
        path = self.conf.run + ".time"
        message = ipc.parse(self.fs.read(path, 99) or b"")
        if message is not None:
            self.switcher.pace.until = platform.number(self.fs, self.conf.run + ".spent")
            self.fs.remove(path)
            self.switcher.set_time(*message[1:], now)

    def _take(self):
        """Reads messages; what they lead to is done by the next turn."""
        own = None
        for _ in range(BURST):
            data = self.ipc.recv()
            if data is None:
                break
            message = ipc.parse(data) or (None,)
            if message[0] == ipc.TIME:
                self.switcher.set_time(*message[1:], self.counter.counter_us())
            elif message[0] == ipc.STORE:
                self._look_at = 0
            elif message[0] == ipc.OWN:
                own = message
        # One answer a turn, and none when a switch is near: it reads flash, and hashes.
        if own is not None and self._own and not self.switcher.quiet(self.counter.counter_us()):
            self._own.give(*own)

    def _look(self, now):
        """Reads the store up to the first unknown release, and checks it. True: there are more."""
        store = self.conf.store + "/releases"
        for name in self.fs.listdir(store):
            rid = from_hex(name, 32)
            if rid is None or rid in self._held or rid in self._seen:
                continue
            path = store + "/" + name
            # Not there yet, or no file: whose size is 0 is not opened, for it may be a pipe.
            if not self.fs.size(path + "/manifest") or not self.fs.size(path + "/signatures"):
                continue
            if not self._checks.free(now):
                break
            self._checks.spend(now)
            self._check(rid, path)
            return True
        if self._checks.until <= now:
            self._seen = []  # what was refused may be mended by now
        self.switcher.set_releases(list(self._held.values()), now)
        return False

    def _check(self, rid, path):
        """The digest, then the signatures. What is refused is not checked again."""
        manifest = self.fs.read(path + "/manifest", MAX_BYTES) or b""
        release, why = None, "digest is not the id"
        if sha256(manifest) == rid:
            signatures = self.fs.read(path + "/signatures", usign.MAX_BYTES) or b""
            release, why = self.trust.check(manifest, signatures)
        if release is not None:
            if self.trust.adopt(release):  # what it does not vouch for is looked at once more
                self._held = {i: r for i, r in self._held.items() if self.trust.trusts(i)}
                self._seen = []
            held = choose.newest(list(self._held.values()) + [release])
            self._held = {r.rid: r for r in held.values()}
        else:
            self.log.warn("refused %s in the store: %s" % (to_hex(rid[:4]), why))
        self._seen = self._seen[-MAX_SEEN:] + [rid]

    def _hook(self, release, name):
        """Package manager or sysupgrade, the slot's own hook, then the operator's, in order: 0, or
        which one fails first, and what it says last. Those of prepare.d are told only."""
        libc.rank(False)
        path = self.slots.path(release.rid)
        p = self.here.payload(release.manifest)
        packages = p is not None and p.kind in ("ipk", "apk")
        why = 0
        if name in ("activate", "flash") or (name == "prepare" and packages):
            why = "not now: kind %s takes package swdist-install" % p.kind if packages else 0
            if install:
                why = install.script(platform.run, self.fs, self.conf, release, p, name, path)
        elif name == "prepare" and self.slots.has_code(release.rid):
            # Would its network side not start here, though what runs does? Its trial would find out
            # too, but with all network sides of a mesh down until then. Nobody waits for the answer
            # so long that a start or end could be late.
            at, said = self.switcher.change_at, self.conf.run + ".said"
            if at is None or at - self.counter.counter_us() > HOOK_S * 1000000:
                if platform.run(("sh", "/usr/bin/swdist", "fits", path), HOOK_S, False, said) == 1:
                    why = plain(self.fs.read(said, 4096))
        if why:
            return why
        hooks = [(path + "/hooks/", name)] if name in ("activate", "health") else []
        why = self._ask(hooks + self._operators("confirm" if name == "health" else name), path)
        return 0 if name == "prepare" else why

    def _operators(self, name):
        folder = name + ".d/"
        return [(HOOKS, folder + f) for f in sorted(self.fs.listdir(HOOKS + folder))[:MAX_HOOKS]]

    def _meet(self, now):
        switcher = self.switcher
        if self.rendezvous and not switcher.quiet(now):
            us, alone = switcher.mesh_us(now), not switcher.time(now)[4]
            what = self.rendezvous.turn(now, us, alone, switcher.change_at)
            if what:
                self._bring(what, self.conf.rendezvous)

    def _bring(self, what, interface):
        """`up` or `down`. A mark tells the next process what this one has left up."""
        libc.rank(False)
        self._put(".rendezvous", interface.encode())
        self.log.info("rendezvous on %s: %s" % (interface, what))
        for hook in self._operators("rendezvous"):
            self._ask([hook], what, interface)
        if what == "down":
            self._put(".rendezvous", b"")

    def _down(self):
        interface = plain(self.fs.read(self.conf.run + ".rendezvous", 15) or b"")
        if interface:
            self._bring("down", interface)

    def _ask(self, hooks, *words):
        """Runs them, up to the first that fails: 0, or what is wrong by its last line."""
        for where, hook in hooks:
            if self.fs.size(where + hook) is None:
                continue
            said = self.conf.run + ".said"
            status = platform.run(("sh", where + hook) + words, HOOK_S, False, said)
            if status:
                last = plain(self.fs.read(said, 4096) or b"")
                why = last or "it exited with %d" % status
                if status == 137:
                    why = ("more than %d s: %s" % (HOOK_S, last)).rstrip(": ")
                why = hook + ": " + why
                self.log.warn(why)
                return why
        return 0

    def _record(self, record):
        journal.append(self.fs, self.conf.state + "/switches", record)
        if record["synced"]:
            time_s = b"%d" % (record["at_us"] // 1000000)
            self.fs.write_atomic(self.conf.state + "/time", time_s)

    def _set_clock(self, now):
        us = self.switcher.mesh_us(now)
        if abs(us - self.counter.wall_us()) > 500000 and not platform.set_system_clock(us):
            self.log.warn("system clock not set")

    def _tell(self):
        s = self.switcher
        r, failed = s.active, self.slots.failed()
        m = r.manifest
        message = ipc.pack_active(
            r.rid, m.version, m.revision, m.experimental, failed, self.conf.hold, self.here.lot,
        )  # fmt: skip
        self.ipc.send_to(self.conf.run + "/net.sock", message)
        status = {
            "active": {
                "id": to_hex(r.rid),
                "version": version_text(m.version),
                "revision": m.revision,
                "experimental": m.experimental,
            },
            "confirmed": to_hex(self.slots.confirmed()),
            "failed": [to_hex(rid) for rid in failed],
            "why": self.slots.reasons(),
            "prepared": [to_hex(x.rid) for x in s.choosing.releases if self.slots.prepared(x.rid)],
            "hold": bool(self.conf.hold),
            "flash": self.flash and self.flash.planned(),
            "synced": s.synced,
            "counter_us": self.counter.counter_us(),
            "swdist": VERSION,
        }
        self._put("/switch.json", json.dumps(status).encode())

    def _put(self, name, data):
        """In RUN, or beside it. It is in RAM: no flush is owed."""
        try:
            with self.fs.open(self._aside, "wb") as f:
                f.write(data)
            self.fs.rename(self._aside, self.conf.run + name)
        except OSError as e:
            self.log.warn("%s not written: %s" % (name, e))


def main(argv):
    fs = platform.Fs()
    conf = config.load(argv, "swdist-switchd", fs)
    log = conf.log_to("swdist-switchd")
    try:
        trust = verify.load_ca(fs, conf.ca)
        for path in (conf.state, conf.run):
            fs.mkdirs(path)
        ucryptolib.use(*native.find(fs, conf.state))
        daemon = Switchd(conf, log, fs, trust, platform.Clock())
    except (ValueError, OSError) as e:
        log.error(str(e))
        sys.exit(2)
    daemon.run()


if __name__ == "__main__":
    main(sys.argv[1:])
