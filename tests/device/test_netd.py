"""The network side's process: what it does before it hears anybody."""

import json
import sys

from logs import Log

from swdist import netd
from swdist.crypto import ucryptolib
from swdist.formats import ipc
from swdist.formats.bits import to_hex
from swdist.machines import tftpget
from swdist.shell import native, net, platform, ports, unixsock
from swdist.trust import verify

FS = platform.Fs()
S = 1000000


class Conf:
    board = "b"
    factory_version = (1, 0, 0)
    interfaces = ["lo"]
    quota_kb = 64
    images_kb = 0
    relay_kb = 0
    groups = ()
    boot_horizon_s = 0
    beacon_ms = 0
    tftp_port = 0
    sntp = "off"
    reference = "off"
    rendezvous = None


class Watched(platform.Fs):
    """Notes what is done below one folder."""

    def __init__(self, folder, notes):
        self.folder = folder
        self.notes = notes

    def read(self, path, limit):
        if path.startswith(self.folder):
            self.notes.append("read")
        return FS.read(path, limit)

    def listdir(self, path, *most):
        if path.startswith(self.folder):
            self.notes.append("listdir")
        return FS.listdir(path, *most)


def test_root_is_given_up_after_the_sockets_are_open_and_before_the_store_is_touched():
    conf = Conf()
    root = "/tmp/swdist-test-" + to_hex(platform.rand_bytes(8))
    for name in ("store", "run"):
        FS.mkdirs(root + "/" + name)
        setattr(conf, name, root + "/" + name)
    notes = []
    trust = verify.Trust({bytes(8): bytes(32)}, 1, bytes(8))

    def give_up_root():
        notes.append("user")
        assert platform.run(("test", "-S", conf.run + "/net.sock"), 5) == 0

    try:
        fs = Watched(conf.store, notes)
        d = netd.Netd(conf, Log(), fs, trust, platform.Clock(), give_up_root)
        for s in d.link.sockets + d.server.sockets + [d.ipc]:
            s.close()
        assert notes[0] == "user" and "listdir" in notes and "read" in notes
    finally:
        FS.rmtree(root)


class Shown:
    """Between turns: once there is a status, says that 1.1.0 runs, and waits until that is so."""

    def __init__(self, conf):
        self.conf = conf
        self.since = None
        self.version = None

    def __call__(self, now):
        said = FS.read(self.conf.run + "/net.json", 65536)
        if said and self.since is None:
            self.since = now
            active = ipc.pack_active(bytes(range(32)), (1, 1, 0), 0, False, [], False, bytes(16))
            switch = unixsock.Unix(self.conf.run + ".sock")
            assert switch.send_to(self.conf.run + "/net.sock", active)
            switch.close()
        self.version = said and json.loads(str(said, "utf-8"))["version"]
        return self.since is not None and (self.version == "1.1.0" or now - self.since > 3 * S)


def test_status_says_at_once_what_the_switch_side_says_runs():
    conf = Conf()
    conf.beacon_ms = 60000  # with each of them there is a new status in any case
    root = "/tmp/swdist-test-" + to_hex(platform.rand_bytes(8))
    for name in ("store", "run"):
        FS.mkdirs(root + "/" + name)
        setattr(conf, name, root + "/" + name)
    trust = verify.Trust({bytes(8): bytes(32)}, 1, bytes(8))
    try:
        d = netd.Netd(conf, Log(), FS, trust, platform.Clock())
        shown = Shown(conf)
        d.run(shown)
        for s in d.link.sockets + d.server.sockets + [d.ipc]:
            s.close()
        assert shown.version == "1.1.0"
    finally:
        FS.rmtree(root)


def test_what_ntpd_says_is_a_reference_where_it_is_fresh_and_no_echo_of_the_mesh():
    s = 1000000
    for said, error, word in (
        (b"1000 2 0.000250\n", 100250, None),
        (b"1000 2 -0.25", 350000, None),
        (b"1000 10 1e-3", 101000, None),
        (None, None, "neither"),
        (b"", None, "neither"),
        (b"1000 2", None, "neither"),
        (b"1000 2 inf", None, "neither"),
        (b"1000 2 nan", None, "neither"),
        (b"1000 x 0.1", None, "neither"),
        (b"1000 \xff 0.1", None, "neither"),
        (b"1000 2 12.5", None, "offset"),
        (b"1000 11 0.001", None, "stratum"),
        (b"1000 16 0.001", None, "stratum"),
        (b"1000 0 0.001", None, "stratum"),
        (b"100 2 0.001", None, "nothing for 910 s"),
        (b"1011 2 0.001", None, "nothing"),
    ):
        found, why = netd.by_ntpd(said, 1010 * s)
        assert found == error and (why is None) == (word is None), (said, found, why)
        assert word is None or word in why, why


def test_fallback_link_is_one_more_interface_of_which_nothing_is_said_while_it_is_away():
    conf = Conf()
    conf.rendezvous = "gone0"
    root = "/tmp/swdist-test-" + to_hex(platform.rand_bytes(8))
    for name in ("store", "run"):
        FS.mkdirs(root + "/" + name)
        setattr(conf, name, root + "/" + name)
    log = Log()
    try:
        trust = verify.Trust({bytes(8): bytes(32)}, 1, bytes(8))
        d = netd.Netd(conf, log, FS, trust, platform.Clock())
        d._refresh()
        for s in d.link.sockets + d.server.sockets + [d.ipc]:
            s.close()
        assert d.link._table.names == d.server._table.names == ("lo", "gone0")
        assert [line for line in log.lines if "gone0" in line] == []
    finally:
        FS.rmtree(root)


class Empty:
    """In the place of a module that is not there: nothing can be imported from it."""


def test_without_the_package_both_options_that_take_it_say_so():
    conf = Conf()
    conf.run = "/tmp/swdist-test-" + to_hex(platform.rand_bytes(8))
    FS.mkdirs(conf.run)
    real = sys.modules.pop("swdist.sntp", None)
    sys.modules["swdist.sntp"] = Empty()
    try:
        for conf.sntp, conf.reference in (("serve", "off"), ("off", "broadcast")):
            try:
                netd.ready(FS, conf)
                raise AssertionError("started")
            except ValueError as e:
                assert str(e) == "swdist-sntp is missing"
    finally:
        del sys.modules["swdist.sntp"]
        if real is not None:
            sys.modules["swdist.sntp"] = real
        FS.rmtree(conf.run)


class NodeClock:
    told = None

    def reference(self, us, error_us, now):
        self.told = (us - now, error_us)


class Bare(netd.Netd):
    fs = FS
    conf = Conf()

    def __init__(self):
        self.counter = platform.Clock()
        self.node = self
        self.clock = NodeClock()


def test_a_synchronised_system_clock_is_told_to_the_clock_and_no_other():
    real = netd.libc.reference_error
    bare = Bare()
    bare.conf.run = "/tmp/swdist-test-" + to_hex(platform.rand_bytes(8))
    try:
        netd.libc.reference_error = lambda: None
        bare._refer()
        assert bare.clock.told is None and bare.no_reference.startswith("neither")
        said = b"%d 2 0.001" % (bare.counter.counter_us() // S)
        FS.write_atomic(bare.conf.run + "-ntp", said)
        bare._refer()
        assert bare.clock.told[1] == 101000 and bare.no_reference is None
        FS.remove(bare.conf.run + "-ntp")
        netd.libc.reference_error = lambda: 1500
        bare._refer()
    finally:
        netd.libc.reference_error = real
    offset = bare.counter.wall_us() - bare.counter.counter_us()
    assert abs(bare.clock.told[0] - offset) < 1000000 and bare.clock.told[1] == 1500


class Hearing(Bare):
    """Notes which sockets it takes from, and takes all that is there."""

    def __init__(self, ipc, sockets):
        self.counter = platform.Clock()
        self.serve = self
        self.ticks = 0
        self.taken = []
        self.ipc = ipc
        self.poller = ports.Poller()
        for s in sockets:
            self.poller.register(s)

    def tick(self, now):
        self.ticks += 1

    def _take(self, s):
        self.taken.append(s)
        s.recv()


def test_neighbours_are_heard_while_a_signature_is_checked_and_the_switch_side_waits():
    root = "/tmp/swdist-test-" + to_hex(platform.rand_bytes(8))
    FS.mkdirs(root)
    try:
        ipc, other = [unixsock.Unix(root + "/" + name) for name in ("ipc", "other")]
        for name in ("ipc", "other"):
            assert other.send_to(root + "/" + name, b"x")
        daemon = Hearing(ipc, (ipc, other))
        ucryptolib.meanwhile = daemon.meanwhile
        assert ucryptolib.ed25519_verify(native.KNOWN_KEY, native.KNOWN, bytes(46))
        assert daemon.taken == [other] and daemon.ticks > 30
        assert ipc.recv() == b"x"
        for s in (ipc, other):
            s.close()
    finally:
        ucryptolib.meanwhile = None
        FS.rmtree(root)


def test_transfer_whose_server_has_closed_its_port_asks_anew_at_once():
    """The slot was needed; an answer to whoever it has now would not come here."""
    clock = platform.Clock()
    poller = ports.Poller()
    port = ports.Port(poller)
    get = port.hearer = tftpget.Get(port.send, 4096)
    known = 20000 + platform.rand(10000)
    server, slot = [net.socket4(known + i, False, None) for i in range(2)]
    get.start(net.MAPPED + bytes((127, 0, 0, 1, 0, 0, 0, 1)), known, b"1/x/manifest", 4096, 0)
    source = server.recvfrom(512)[1]
    slot.sendto(b"\0\x06windowsize\x004\0", source)
    while not get._port:
        poller.one_turn(clock.counter_us, clock.counter_us() + 300000)
    assert get.state == tftpget.RUNNING
    slot.close()
    get.tick(get.next_at)
    poller.one_turn(clock.counter_us, clock.counter_us() + 300000)
    assert get.state == tftpget.BUSY and get.next_at is None
    server.close()
    port.close()
