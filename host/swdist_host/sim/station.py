"""One node: the device modules as they are, wired as `netd` and `switchd` wire them.

What the two daemons do with sockets is done here with the world's events: one deliver() for each
datagram, then one turn of the loop.
"""

import random
from collections import deque
from dataclasses import dataclass
from zlib import crc32

from swdist import switchd
from swdist.formats import ipc
from swdist.formats.datagram import ANNOUNCE, PORT
from swdist.machines.clock import Clock
from swdist.shell import platform
from swdist.storage.room import Room
from swdist.storage.store import Store
from swdist.trust import choose
from swdist.wiring.node import Node
from swdist_host.sim import disk, transfer
from swdist_host.sim.world import BOOT, DOWN, SWITCH

TFTP_PORT = 27183
LOG_LINES = 40
SOCKETS_HOLD = 128  # datagrams that wait unread; more are dropped
PIPE_HOLDS = 64  # the same, between the two sides
GROUP = "testers"
STORE = "/store"
STATE = "/state"
RUN = "/run"
LOT = STATE + "/lot"
_scratch = bytearray(2048)
_GARBAGE = b"\xa5" * 2048


@dataclass
class Settings:
    """What all nodes have in common. Clocks: each crystal is within +-drift_ppm. cpu_us: what one
    turn of the loop costs; ipc_us: how long news to the other process may wait."""

    fidelity: str = "packet"
    drift_ppm: int = 50
    cpu_us: int = 1000
    ipc_us: int = 1000
    write_us_per_kib: int = 500
    sync_us: int = 2000
    flash_kib: int = 0  # 0: without limit
    quota_kib: int = 8192
    relay_kib: int = 8192
    confirm_s: int = 300
    boot_horizon_s: int = 43200
    beacon_ms: int = 0
    boards: int = 1  # so many are in the mesh: node n has board n modulo that,
    boards_drawn: bool = False  # or any of them, by the seed
    group_every: int = 0  # each so manieth node is of the group "testers"; 0: none
    hold_every: int = 0  # and the owner of each so manieth one wants no switch
    factory_version: tuple = (1, 0, 0)
    channels: int = 1  # so many connected parts have one each, and a fallback link if more than one
    clock: str = "none"  # at the start: none (1970), saved (an hour old), or right


class Log:
    """Keeps the last lines, for the history of a violation."""

    def __init__(self, station):
        self._station = station
        self.lines = deque(maxlen=LOG_LINES)

    def _say(self, text):
        self.lines.append((self._station.world.now, text))

    error = warn = info = _say

    def debug(self, text):
        pass


class Counter:
    """What platform.Clock is on a node."""

    def __init__(self, station):
        self._station = station

    def counter_us(self):
        return self._station.counter(self._station.world.now)

    def wall_us(self):
        return self.counter_us()  # no battery: it began in 1970


class _Pipe:
    """The switch side's UNIX socket."""

    def __init__(self, path):
        self.waiting = deque()
        self.station = None

    def put(self, *messages):
        """Sent by the network side."""
        self.waiting.extend(messages[: PIPE_HOLDS - len(self.waiting)])

    def recv(self):
        return self.waiting.popleft() if self.waiting else None

    def send_to(self, path, data):
        self.station.from_switch(ipc.parse(data))


class _Sockets:
    Unix = _Pipe


class _Poller:
    def register(self, s):
        pass


class _Net:
    Poller = _Poller


class Conf:
    """What config.Config is on a node."""

    user = ""
    set_clock = False
    rendezvous_every_s = 21600
    store, state, run = STORE, STATE, RUN
    images_kb = 0

    def __init__(self, station):
        s = station.settings
        self.board = station.board
        self.groups = station.groups
        self.factory_version = s.factory_version
        self.confirm_s = s.confirm_s
        self.hold = station.hold
        self.rendezvous = "rescue" if s.channels > 1 else None


class Switch(switchd.Switchd):
    """The switch side without its sockets and hooks' processes; the rest is the device's."""

    def __init__(self, station, trust):
        station.fs.mkdirs(RUN)
        station.fs.mkdirs(STATE)
        station.fs.open(RUN + ".switchd", "ab")
        self._station = station
        self.looks = 0  # at releases that were not known
        super().__init__(Conf(station), station.log, station.fs, trust, Counter(station))
        self.ipc.station = station

    def _lot(self):
        """Drawn by the seed."""
        if self.fs.size(LOT) is None:
            self.fs.write_atomic(LOT, self._station.lot)
        return super()._lot()

    def turn(self, now):
        """What has come, and a turn."""
        self._take()
        wake = super().turn(now)
        return now if self.ipc.waiting else wake

    def _check(self, rid, path):
        self.looks += 1
        super()._check(rid, path)

    def _tell(self):
        r = self.switcher.active
        m = r.manifest
        self.ipc.send_to(
            None,
            ipc.pack_active(
                r.rid, m.version, m.revision, m.experimental, self.slots.failed(),
                self.conf.hold, self.here.lot,
            ),
        )  # fmt: skip

    def _bring(self, what, interface):
        super()._bring(what, interface)
        self._station.retune(what == "up")

    def _hook(self, release, name):
        return self._station.hook(release, name)

    def _record(self, record):
        super()._record(record)
        self._station.switched(record)


class Station:
    """number: its place in the world; peer: its address; rand(n): its randomness, 0..n-1;
    trust(): the CA as a process finds it at its start."""

    honest = True

    def __init__(self, world, number, settings, trust, ppb, rng):
        self.world = world
        self.number = number
        self.settings = settings
        self._new_trust = trust
        self.ppb = ppb
        self.peer = address(number)
        self.interface = 1  # all have one; made anew, it has another number
        self.epoch = 0
        self.up = False
        self.in_switch = False  # is the switch side at work? A cut may come in the midst of it
        own = random.Random(f"{world.seed} {number}")  # what a node is from its first day on
        self.lot = own.randbytes(16)
        board = own.randrange(settings.boards) if settings.boards_drawn else number
        self.board = board_name(board % settings.boards)
        self.groups = (GROUP,) if _each(number, settings.group_every) else ()
        self.hold = _each(number, settings.hold_every)  # does its owner want no switch?
        self.fails = False  # does hooks/health of what it switches to fail?
        self.on_fallback = False  # which is one channel for all
        self.unasked_bytes = 0  # that came to ports where nobody had asked for anything
        self.rotten = False  # has its flash ever forgotten anything?
        self.in_vain = 0  # signatures that were checked since the start, and brought no release
        self.bursts = 0  # of announcements
        self._told_t = -1
        self.turn_read_bytes = 0  # by the last turn of the switch side
        self.switches = []
        self.log = Log(self)
        self.rng = rng
        draw = rng.random

        def rand(n):
            return int(draw() * n)

        self.rand = rand
        kib = settings.flash_kib
        self.fs = disk.Fs(
            rand, settings.write_us_per_kib, settings.sync_us,
            kib * 1024 if kib else 1 << 62, world.pieces.share,
        )  # fmt: skip
        self.node = None
        self.tap = None
        self._clear()

    def _clear(self):
        self._wake_t = self._due_t = self._switch_t = None
        self._blocked_until = self._switch_blocked_until = 0
        self._told_news = True
        self._inbox = []

    # --- time

    def counter(self, t):
        d = t - self.booted_t
        return self._base + d + d * self.ppb // 1000000000

    def when(self, counter):
        """The first true time at which the counter is at least that."""
        d = counter - self._base
        return self.booted_t + d - d * self.ppb // (1000000000 + self.ppb) + 1

    def mesh_us(self):
        now = self.counter(self.world.now)
        return now + self.node.clock.offset_at(now)

    # --- up and down

    def save_soft_start(self, us):
        """A mesh time in the store, as netd keeps it."""
        self.fs.mkdirs(STORE)
        self.fs.write_atomic(STORE + "/time", b"%d" % us)

    def boot(self):
        """From power on to both daemons up, on a counter that begins anew."""
        world = self.world
        if self.up:
            return
        self.epoch += 1
        self.up = True
        self._clear()
        self.booted_t = world.now
        self._base = 5000000 + self.rng.randrange(20000000)
        now = self._base
        try:
            self._begin(now)
            self.switch = Switch(self, self._new_trust())
            self.switch.begin(now)
        except disk.PowerCut:
            self.down(True)
            return
        world.trace.note(world.now, self.number, BOOT, self.epoch)
        world.checks.booted(self)
        self._wake(world.now)
        self._plan_switch(world.now)
        self._run_switch(self._switch_t, self.epoch)

    def _begin(self, now):
        """The start of the network side."""
        s = self.settings
        self.fs.mkdirs(STORE)
        self.trust = self._new_trust()
        here = choose.Here(self.board, ("slot",), self.groups)
        quotas = s.quota_kib * 1024, s.relay_kib * 1024
        room = Room(here, s.factory_version, *quotas)
        self.store = Store(self.fs, STORE, self.trust, self.log, room)
        self.store.load()
        self._watch_checks()
        self.transfer = transfer.SIDES[s.fidelity](self)
        self.nonce = self.rng.getrandbits(64)
        self.clock = Clock(self._saved_us(), s.boot_horizon_s * 1000000, 4000000)
        self.node = Node(
            self.trust.network, self.nonce,
            choose.factory(s.factory_version), self.store, self.clock, self.transfer.gets,
            self.broadcast, self.rand, self.log, s.beacon_ms * 1000,
        )  # fmt: skip
        self.offers = [row.offers for row in self.node.neighbours.rows]
        self.serve = self.transfer.serve
        if self.tap is not None:
            self.tap.boot(self, now)
        self.node.start(now, now, TFTP_PORT)

    def restart(self):
        """The network side ends, and begins anew; switch side and counter go on."""
        self.epoch += 1
        self._clear()
        try:
            self._begin(self.counter(self.world.now))
        except disk.PowerCut:
            self.down()
            return
        self._wake(self.world.now)
        self._plan_switch(self.world.now)

    def _watch_checks(self):
        """Counts what a neighbour may make a node compute for nothing."""
        self.in_vain = 0
        check, add = self.trust.check, self.store.add
        checked = [0]

        def counted(*args):
            checked[0] += 1
            return check(*args)

        def weighed(*args):
            before = checked[0]
            found = add(*args)
            self.in_vain += found[0] is None and checked[0] > before
            return found

        self.trust.check, self.store.add = counted, weighed

    def _saved_us(self):
        return platform.number(self.fs, STORE + "/time")

    def down(self, cut=True):
        """The power goes; with cut False it was shut down in peace."""
        if not self.up:
            return
        self.up = False
        self.world.trace.note(self.world.now, self.number, DOWN, self.epoch)
        self.world.checks.going_down(self)
        if cut:
            self.fs.power_cut()
        self.fs.cut_after = None
        self.in_switch = False

    def cut_in(self, steps):
        """The power goes within the next changes of the flash."""
        self.fs.cut_after = steps

    # --- the network side

    def broadcast(self, buf, n):
        data = bytes(buf[:n])
        if data[4] == ANNOUNCE and self.world.now != self._told_t:
            self._told_t = self.world.now
            self.bursts += 1
        if self.tap is not None:
            self.tap.sent("n", 0, b"", 0, data)
        self.later(self.fs.spent_us, self.world.radio.broadcast, self.number, data)

    def later(self, us, send, *args):
        """send(*args) after what the flash was given before in this turn is written."""
        if us:
            self.world.at(self.world.now + us, self._if_up, self.epoch, send, args)
        else:
            send(*args)

    def _if_up(self, epoch, send, args):
        if self.up and epoch == self.epoch:
            send(*args)

    def deliver(self, epoch, peer, sport, port, data):
        """A datagram has arrived."""
        if self.interface != 1:
            peer = peer[:-1] + bytes((self.interface,))
        self._when_idle(epoch, self._receive, peer, sport, port, data)

    def ask(self, client, get, token, name):
        """A request of a transfer of the fidelity `chunk`. It moves nothing but the server."""
        if not self.up:
            return
        if not self._inbox and self.world.now >= self._blocked_until:
            self._blocked_until = self.world.now + self.settings.cpu_us
            self.serve.ask(client, get, token, name)
        else:
            self._when_idle(self.epoch, self.serve.ask, client, get, token, name)

    def answered(self, epoch, get, token, state, data):
        """The end of one, and data if it is DONE."""
        self._when_idle(epoch, get.answered, token, state, data)

    def _when_idle(self, epoch, take, *args):
        """take(*args), then a turn. While the node works, what comes waits in its sockets, and is
        then taken all at once."""
        if epoch != self.epoch or not self.up:
            return
        if self._inbox or self.world.now < self._blocked_until:
            if not self._inbox:
                self.world.at(self._blocked_until, self._drain, epoch)
            if len(self._inbox) < SOCKETS_HOLD:
                self._inbox.append((take, args))
            return
        try:
            take(*args)
        except disk.PowerCut:
            self.down()
            return
        self.turn(self.counter(self.world.now))

    def _drain(self, epoch):
        if epoch != self.epoch or not self.up:
            return
        waiting, self._inbox = self._inbox, []
        try:
            for take, args in waiting:
                take(*args)
        except disk.PowerCut:
            self.down()
            return
        self.turn(self.counter(self.world.now), len(waiting))

    def _receive(self, peer, sport, port, data):
        now = self.counter(self.world.now)
        n = len(data)
        _scratch[:n] = data
        if port == PORT:
            if self.tap is not None:
                self.tap.came("n", now, 0, peer, sport, data)
            self.node.hearing.receive(peer, _scratch, n, now)
        else:
            self.transfer.receive(peer, sport, port, _scratch, n, now)
        _scratch[:n] = _GARBAGE[:n]  # a view that somebody kept shows at once

    def delay_us(self, data):
        """How much later than it could its server sends a packet, or a whole file (data is None);
        -1: never. Attackers use it."""
        return 0

    def open(self, name):
        """What the TFTP server serves. Attackers have their own."""
        return self.store.open(name)

    def turn(self, now, taken=1):
        """netd's, and when it is to come again; taken: how many datagrams it has read before."""
        try:
            if self.tap is not None:
                self.tap.tick(now)
            _, wake = self.node.turn(self.serve, self, now)
        except disk.PowerCut:
            self.down()
            return
        t = self.world.now
        self._blocked_until = t + self.settings.cpu_us * taken + self.fs.spent_us
        self.fs.spent_us = 0
        # The loop waits whole milliseconds, as poll does.
        self._due_t = max(self.when(now + (wake - now + 999) // 1000 * 1000), self._blocked_until)
        if self._wake_t is None or self._due_t < self._wake_t:
            self._wake_t = self._due_t
            self.world.at(self._due_t, self._wake, self._due_t)
        self.world.checks.after(self, now)

    def _wake(self, t):
        if not self.up or (self._wake_t is not None and t != self._wake_t):
            return
        self._wake_t = None
        if self._due_t is not None and t < self._due_t:
            self._wake_t = self._due_t
            self.world.at(self._due_t, self._wake, self._due_t)
            return
        self.turn(self.counter(t))

    def close_idle(self):
        self.transfer.close_idle()

    def save_time(self, now):
        if self.clock.synced:
            if self.tap is not None:
                self.tap.asked_time(now)
            self.fs.write_atomic(STORE + "/time", b"%d" % self.clock.mesh_us(now))

    # --- the switch side

    def tell_switch(self, _):
        """News for the switch side; several within a moment are one."""
        self._told_news = True
        self._plan_switch(self.world.now + self.settings.ipc_us)

    def _messages(self, now):
        clock = self.clock
        fresh = self.node.speech.fresh(now)
        told = ipc.pack_time(now, clock.offset_at(now), clock.error_us, clock.synced, fresh)
        self.switch.ipc.put(told, ipc.pack_store())

    def _plan_switch(self, t):
        t = max(t, self._switch_blocked_until)
        if self._switch_t is None or t < self._switch_t:
            self._switch_t = t
            self.world.at(t, self._run_switch, t, self.epoch)

    def _run_switch(self, t, epoch):
        if not self.up or epoch != self.epoch or t != self._switch_t:
            return
        self._switch_t = None
        now = self.counter(self.world.now)
        spent, read = self.fs.spent_us, self.fs.read_bytes
        try:
            if self._told_news:
                self._told_news = False
                self._messages(now)
            self.in_switch = True
            wake = self.switch.turn(now)
            self.in_switch = False
        except disk.PowerCut:
            self.down()
            return
        self._switch_blocked_until = self.world.now + 100 + self.fs.spent_us - spent
        self.fs.spent_us = spent
        self.turn_read_bytes = self.fs.read_bytes - read
        self._plan_switch(max(self.when(wake), self.world.now + 100))
        self.world.checks.after_switch(self, now)

    def from_switch(self, message):
        if message is not None and message[0] == ipc.ACTIVE:
            now = self.counter(self.world.now)
            if self.tap is not None:
                self.tap.active(now, message[1:])
            self.node.set_active(now, *message[1:])

    def rot(self):
        """Flash forgets: a bit of what it holds of a payload is another one."""
        held = [p for p in self.fs.files if p.startswith(STORE) and p.endswith("/payload")]
        inode = self.fs.files[held[self.rand(len(held))]] if held else disk.Inode()
        if inode.size:
            data = bytearray(inode.whole())
            data[self.rand(len(data))] ^= 1 << self.rand(8)
            inode.set(bytes(data))
            inode.sync()
            self.rotten = True

    def renew(self):
        """Its interface is deleted and made again: who was heard there was heard on another."""
        self.interface = self.interface % 255 + 1

    def set_hold(self):
        """Its owner wants no switch, from now on."""
        self.hold = True
        if self.up:
            self.switch.conf.hold = self.switch.switcher.choosing.on_hold = True

    def hook(self, release, name):
        return "health: ill" if self.fails and name == "health" else 0

    def retune(self, on_fallback):
        self.on_fallback = on_fallback
        self.world.retuned()

    def switched(self, record):
        self.switches.append((self.world.now, record["to"], record["reason"]))
        self.world.trace.note(self.world.now, self.number, SWITCH, crc32(record["id"].encode()))
        self.world.checks.switched(self, record)


def board_name(number):
    return f"board{number}"


def _each(number, every):
    """Is it the last of so many? Node 0, where releases come in, is none."""
    return bool(every) and number % every == every - 1


def address(number):
    """fe80::N on interface 1."""
    return b"\xfe\x80" + bytes(6) + number.to_bytes(8, "big") + b"\0\0\0\1"


def install():
    """switchd's sockets become the world's. Once a process."""
    switchd.unixsock = _Sockets
    switchd.net = _Net
