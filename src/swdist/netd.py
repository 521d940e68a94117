"""The network side as a process: hears the neighbours, installs nothing.

micropython -m swdist.netd --config /etc/config/swdist
"""

import json
import sys

from swdist import VERSION
from swdist.crypto import ucryptolib
from swdist.formats import ipc
from swdist.formats.bits import to_hex
from swdist.formats.datagram import PORT
from swdist.machines.clock import Clock
from swdist.machines.fetch import DOWNLOADS
from swdist.machines.tftpget import RUNNING, Get
from swdist.machines.tftpserve import UPLOADS, Serve
from swdist.shell import libc, link, native, platform, ports, unixsock
from swdist.storage.payloads import MAX_RUN_BYTES
from swdist.storage.room import Room
from swdist.storage.store import Store
from swdist.trust import choose, verify
from swdist.wiring import config
from swdist.wiring.node import Node
from swdist.wiring.status import of_node

try:
    from swdist.commands import rollcall
except ImportError:  # package swdist-utils is not there
    rollcall = None

STATUS_US = 1000000  # at most so often
REFRESH_US = 5000000
NTPD_S = 900  # it speaks each 11 minutes
NTPD_US = 100000  # allowed for the way to its server, of which it says nothing
NTPD_STRATUM = 10  # a server that follows the mesh has one above


def by_ntpd(said, now):
    """(by how many us the system's clock may be wrong, None) or (None, why it is nothing to go by),
    by what ntpd has told files/etc/hotplug.d/ntp: when, its stratum, and its last offset."""
    try:
        up_s, stratum, offset = str(said or b"", "ascii").split()
        age_s = now // 1000000 - int(up_s)
        stratum = int(stratum)
        error = int(abs(float(offset)) * 1000000) + NTPD_US
    except (ValueError, OverflowError):
        return None, "neither the kernel nor ntpd calls the system's clock synchronised"
    if not 0 <= age_s <= NTPD_S:
        return None, "ntpd has said nothing for %d s" % age_s
    if not 1 <= stratum <= NTPD_STRATUM:
        return None, "ntpd's stratum is %d: it may follow this mesh" % stratum
    return (error, None) if error <= 1000000 else (None, "ntpd's offset is %s s" % offset)


class Netd:
    """Everything of the network side that touches the world. `run` returns at SIGTERM."""

    def __init__(self, conf, log, fs, trust, counter, give_up_root=None, keep_all=False):
        """keep_all: see Room. give_up_root(): called once the sockets are open, some of which only
        root may bind to an interface, and before anything is read or removed in STORE."""
        self.conf = conf
        self.log = log
        self.fs = fs
        self.counter = counter
        self.poller = ports.Poller()
        names = conf.interfaces + [conf.rendezvous] * bool(conf.rendezvous)
        self.link = link.Link(names, PORT)
        self.server = link.Server(names, conf.tftp_port)
        self.ipc = unixsock.Unix(conf.run + "/net.sock")
        self.sntp = None
        self._ears = [self.link, self.server]
        self._why = [None] * 3  # as it was said last
        self.no_reference = None  # why there is none, with option reference 'auto'
        if conf.sntp != "off" or conf.reference == "broadcast":
            from swdist.sntp import Sntp

            self.sntp = Sntp(conf, self.counter)
            self._ears.append(self.sntp.ears)
        self.poller.register(self.ipc)
        for ears in self._ears:
            for s in ears.sockets:
                self.poller.register(s)
        if give_up_root is not None:
            give_up_root()
        ram = self.own = None
        if conf.images_kb:
            from swdist.storage import install

            ram = install.Ram(fs, conf)
        here = choose.Here(conf.board, config.kinds(conf, fs), conf.groups)
        quotas = conf.quota_kb * 1024, conf.relay_kb * 1024
        room = Room(here, conf.factory_version, *quotas, ram=ram, keep_all=keep_all)
        self.store = Store(fs, conf.store, trust, log, room)
        self.store.load()
        clock = Clock(self._saved_time_us(), conf.boot_horizon_s * 1000000, 4000000)
        self.gets = [ports.Port(self.poller) for _ in range(DOWNLOADS)]
        self.puts = [ports.Port(self.poller, i) for i in range(UPLOADS)]
        gets = [Get(p.send, MAX_RUN_BYTES) for p in self.gets]
        self.serve = Serve(self._put, self.store.open, UPLOADS)
        for p, get in zip(self.gets, gets):
            p.hearer = get
        for p in self.puts:
            p.hearer = self.serve
        self.node = Node(
            trust.network,
            int.from_bytes(platform.rand_bytes(8), "big"),
            choose.factory(conf.factory_version),
            self.store,
            clock,
            gets,
            self._broadcast,
            platform.rand,
            log,
            conf.beacon_ms * 1000,
        )
        if rollcall:
            name = rollcall.hostname()
            self.node.rollcall = rollcall.Rollcall(fs, conf.run + "/mesh", name)
        if ram is not None and hasattr(install, "ownflash"):  # an older package has none
            args = fs, conf, self.store.payloads, self.ipc, self.node.fetch.wake
            self.own = install.ownflash.Own(*args)
        if self.sntp is not None:
            self.sntp.start(clock)

    def _broadcast(self, buf, n):
        for _ in range(self.link.broadcast(memoryview(buf)[:n])):
            self.poller.sent(n)

    def _put(self, slot, peer, port, buf, n):
        if slot < 0:  # no slot is free: said from the well-known port
            if self.server.send(peer, port, memoryview(buf)[:n]):
                self.poller.sent(n)
            return
        self.puts[slot].send(peer, port, buf, n)

    def _saved_time_us(self):
        saved = platform.number(self.fs, self.conf.store + "/time")
        # The counter goes on: what the process before this one knew holds until the next boot.
        offset = platform.number(self.fs, self.conf.run + "/offset")
        return max(saved, offset and offset + self.counter.counter_us())

    def run(self, on_tick=None):
        """on_tick(now): called after each turn, at least once a second; a host tool looks at the
        node there, and ends the loop by returning True."""
        stop = platform.stop_fd()
        if stop is not None:
            self.poller.register(stop)
        ucryptolib.meanwhile = self.meanwhile
        node = self.node
        now = self.counter.counter_us()
        node.start(now, self.counter.wall_us(), self.conf.tftp_port)
        status_at = refresh_at = now
        news, runs = True, None
        self.log.info("up on %s; %s" % (", ".join(self.conf.interfaces), ucryptolib.backend()))
        while True:
            now = self.counter.counter_us()
            changed, wake = node.turn(self.serve, self, now)
            news = news or changed or node.active != runs
            if on_tick is not None and on_tick(now):
                break
            if now >= status_at:
                status_at = now + STATUS_US
                if news:  # with each beacon at least
                    news, runs = False, node.active
                    self._write_status(now)
            if now >= refresh_at:
                refresh_at = now + REFRESH_US
                self._refresh()
                if self.conf.reference == "auto":
                    self._refer()
            wake = min(wake, refresh_at)
            for part in (self.sntp, self.own):
                if part is not None:
                    wake = min(wake, part.tick(now))
            if news or on_tick is not None:
                wake = min(wake, status_at)
            ready = self.poller.one_turn(self.counter.counter_us, wake)
            if stop is not None and stop in ready:
                break
            for s in ready:
                self._take(s)
        ucryptolib.meanwhile = None
        self.save_time(self.counter.counter_us())
        self.log.info("stopped")

    def _take(self, s):
        for _ in range(ports.BURST):
            got = s.recv()
            if got is None:
                return
            if s is self.ipc:
                self._from_switch(ipc.parse(got))
                continue
            now = self.counter.counter_us()
            data, peer, port = got
            n = len(data)
            self.poller.rx_datagrams += 1
            self.poller.rx_bytes += n
            if self.sntp is not None and s in self.sntp.ears.sockets:
                self.sntp.take(s, data, peer, port, now)
            elif s in self.server.sockets:
                self.serve.request(peer, port, data, n, now)
            else:
                self.node.hearing.receive(peer, data, n, now)

    def meanwhile(self):
        """Hears and answers while a check in plain Python goes on, which may take two seconds. What
        is done here starts no other one; the switch side and SIGTERM wait."""
        self.serve.tick(self.counter.counter_us())
        for s in self.poller.one_turn(self.counter.counter_us, 0):
            if s is not self.ipc and not isinstance(s, int):
                self._take(s)

    def close_idle(self):
        for i in range(DOWNLOADS):
            if self.node.fetch.slots[i].get.state != RUNNING:
                self.gets[i].close()
        for i in range(UPLOADS):
            if self.serve.idle(i):
                self.puts[i].close()

    def _refer(self):
        """A system clock that NTP or GPS keep is a reference for this node, by what the kernel or
        ntpd says."""
        error = libc.reference_error()
        self.no_reference = None
        if error is None:
            said = self.fs.read(self.conf.run + "-ntp", 99)
            error, self.no_reference = by_ntpd(said, self.counter.counter_us())
        if error is not None:
            now = self.counter.counter_us()
            self.node.clock.reference(self.counter.wall_us(), error, now)

    def _refresh(self):
        """Interfaces come and go."""
        for i in range(len(self._ears)):
            ears = self._ears[i]
            old = ears.sockets[:]
            ears.refresh()
            for s in ears.sockets:
                if s not in old:
                    self.poller.register(s)
            for s in old:
                if s not in ears.sockets:
                    self.poller.unregister(s)
            if ears.why != self._why[i]:
                self._why[i] = ears.why
                if ears.why is not None:
                    self.log.warn(ears.why)

    def tell_switch(self, now):
        clock = self.node.clock
        path = self.conf.run + ".sock"
        fresh = self.node.speech.fresh(now)
        offset = clock.offset_at(now)
        self.ipc.send_to(path, ipc.pack_time(now, offset, clock.error_us, clock.synced, fresh))
        self.ipc.send_to(path, ipc.pack_store())

    def _from_switch(self, message):
        if message is not None and message[0] == ipc.ACTIVE:
            self.node.set_active(self.counter.counter_us(), *message[1:])
        if self.own is not None:
            self.own.hear(message)

    def save_time(self, now):
        """A soft start value for the next boot, or the next process."""
        if self.node.clock.synced:
            try:
                us = self.node.clock.mesh_us(now)
                self.fs.write_atomic(self.conf.store + "/time", b"%d" % us)
                with self.fs.open(self.conf.run + "/offset", "wb") as f:
                    f.write(b"%d" % (us - now))
            except OSError as e:
                self.log.warn("time not saved: %s" % e)

    def _write_status(self, now):
        status = of_node(self.node, now)
        status["swdist"] = VERSION
        status["serving"] = [to_hex(peer) for peer in self.serve.peers()]
        status["no_reference"] = self.no_reference
        for name in ("tx_datagrams", "tx_bytes", "rx_datagrams", "rx_bytes"):
            status[name] = getattr(self.poller, name)
        path = self.conf.run + "/net.json"
        try:  # RUN is in RAM: no flush is owed
            with self.fs.open(path + ".tmp", "w") as f:
                f.write(json.dumps(status))
            self.fs.rename(path + ".tmp", path)
        except OSError as e:
            self.log.warn("status not written: %s" % e)


def ready(fs, conf):
    """(keys, ids of the user) that it starts with. ValueError if it can't."""
    name = "sntp"
    try:
        if conf.sntp != "off" or conf.reference == "broadcast":
            from swdist.sntp import Sntp  # noqa: F401
        name = "install"
        if conf.images_kb:
            from swdist.storage.install import Ram  # noqa: F401
    except ImportError:
        raise ValueError("swdist-%s is missing" % name)
    trust = verify.load_ca(fs, conf.ca)
    ids = platform.user_ids(conf.user) if conf.user else None
    if conf.user and ids is None:
        raise ValueError("there is no user '%s'; make it, or set option user root" % conf.user)
    return trust, ids


def main(argv):
    fs = platform.Fs()

    def check(conf):
        for text in ready(fs, conf)[0].strays:
            sys.stderr.write(text + "\n")

    conf = config.load(argv, "swdist-netd", fs, check)
    log = conf.log_to("swdist-netd")
    try:
        trust, ids = ready(fs, conf)
        for text in trust.strays:
            log.warn(text)
        for path in (conf.store, conf.run):
            fs.mkdirs(path)
        if ids is not None:
            fs.chown(conf.store, *ids)
            fs.chown(conf.run, *ids)

        def give_up_root():
            if ids is not None and not platform.drop_privileges(ids):
                log.warn("this runtime can't give up root: start it as user %s" % conf.user)
            ucryptolib.use(*native.find(fs, conf.run))

        daemon = Netd(conf, log, fs, trust, platform.Clock(), give_up_root)
    except (ValueError, OSError) as e:
        log.error(str(e))
        sys.exit(2)
    daemon.run()


if __name__ == "__main__":
    main(sys.argv[1:])
