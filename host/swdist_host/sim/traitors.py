"""Nodes whose own network side was taken over: it writes STORE, and tells the switch side what it
likes. After a while it is honest, and goes on with what lies there: it is begun anew beside a
switch side that runs on, or the power has gone.
"""

from swdist.formats import ipc
from swdist.storage.catalogue import write_head
from swdist_host.sim.attackers import DAY_US, Attacker, Forger
from swdist_host.sim.authority import EPOCH_S
from swdist_host.sim.station import PIPE_HOLDS, STORE
from swdist_host.sim.world import SECOND

TAKEN_US = 240 * SECOND  # so long it is another's, from the start of the run
JUNK_AT_ONCE, JUNK_NAMES = 200, 2000  # in STORE/releases
_OFFSETS = (0, -1, 1 << 62, -(1 << 62), (1 << 63) - 1, -(1 << 63))


class Traitor(Attacker):
    """betray() is called as often as gap_us says, and before each true word to the switch side."""

    gap_us = SECOND // 20

    def attack(self):
        if self.world.now < TAKEN_US:
            self.tell_switch(None)
            return
        self.gap_us = 0
        if self.rand(2):
            self.restart()
        else:
            self.down()
            self.boot()
        self.honest = True
        self.world.checks.reformed(self)

    def tell_switch(self, what):
        if not self.honest:
            self.betray()
        super().tell_switch(what)

    def open(self, name):
        """It gives nothing away: what neighbours do about false bytes, others find out."""
        return super().open(name) if self.honest else None

    def _messages(self, now):
        if self.honest:
            super()._messages(now)
        else:
            self.switch.ipc.put(*self.lies(now), ipc.pack_store())

    def true_offset_us(self, now):
        return EPOCH_S * SECOND + self.world.now - now


class Turncoat(Traitor):
    """Tells the time back and forth."""

    _later = False

    def betray(self):
        self._later = not self._later

    def lies(self, now):
        offset = self.true_offset_us(now) + (30 * DAY_US if self._later else 0)
        return [ipc.pack_time(now, offset, 1000, True, 4)]


class Babbler(Traitor):
    """Floods the switch side: with times that can't be, and with what is no message."""

    gap_us = SECOND // 5

    def betray(self):
        pass

    def lies(self, now):
        return [self._message(now) for _ in range(PIPE_HOLDS - 1)]

    def _message(self, now):
        r = self.rand
        offset = self.true_offset_us(now) if r(2) else _OFFSETS[r(len(_OFFSETS))]
        counter = now if r(2) else (0, 1 << 63, (1 << 64) - 1)[r(3)]
        data = ipc.pack_time(counter, offset, r(1 << 32), r(2), r(256))
        how = r(4)
        if how == 0:
            return data[: r(len(data))]
        if how == 1:
            return self.rng.randbytes(r(100))
        return data if how == 2 else ipc.pack_own(r(1 << 16), r(1 << 16))


class Spoiler(Traitor):
    """Spoils STORE: junk by the thousand, releases that nobody has signed or that are superseded,
    true ones with signatures that do not hold, other bytes in what was verified, lost files."""

    gap_us = 2 * SECOND

    def boot(self):
        self._junk = 0
        ways = (self._fill, self._forge, self._old, self._unsigned, self.rot, self._cut,
                self._lose)  # fmt: skip
        self._ways = self.rng.sample(ways, 3)
        super().boot()

    def lies(self, now):
        return [ipc.pack_time(now, self.true_offset_us(now), 1000, True, 4)]

    def betray(self):
        spent_us = self.fs.spent_us
        self._one(self._ways)()
        self.fs.spent_us = spent_us

    def _one(self, things):
        return things[self.rand(len(things))] if things else None

    def _files(self):
        return [p for p in self.fs.files if p.startswith(STORE + "/")]

    def _put(self, swd):
        write_head(self.fs, STORE + "/releases/" + swd.rid.hex(), swd.manifest, swd.signatures)
        for packed in swd.payloads:
            path = STORE + "/payloads/" + packed.pid.hex()
            self.fs.mkdirs(path)
            parts = packed.index, b"".join(packed.pieces[: packed.pages])
            parts += (b"".join(packed.pieces[packed.pages :]),)
            for name, data in zip(("/index", "/pages", "/payload"), parts):
                self.fs.write_atomic(path + name, data)

    def _fill(self):
        for _ in range(min(JUNK_AT_ONCE, JUNK_NAMES - self._junk)):
            path = STORE + "/releases/" + self.rng.randbytes(32).hex()
            write_head(self.fs, path, self.rng.randbytes(300), self.rng.randbytes(200))
            self._junk += 1

    def _forge(self):
        self._put(Forger.forge(self))

    def _old(self):
        swd = self._one(list(self.sim.authority.released.values()))
        if swd is not None:
            self._put(swd)

    def _unsigned(self):
        """What the CA has signed, with less signatures, or another release's."""
        released = list(self.sim.authority.released.values())
        if released:
            swd, other = released[-1 - self.rand(min(len(released), 2))], self._one(released)
            path = STORE + "/releases/" + swd.rid.hex()
            lie = swd.signatures[: self.rand(100)] if self.rand(2) else other.signatures
            write_head(self.fs, path, swd.manifest, lie)

    def _cut(self):
        path = self._one(self._files())
        if path is not None:
            data = self.fs.files[path].whole()
            self.fs.write_atomic(path, data[: self.rand(len(data) + 1)])

    def _lose(self):
        path = self._one(self._files())
        if path is not None:
            self.fs.rmtree(path if self.rand(2) else path.rpartition("/")[0])


KINDS = {"turncoat": Turncoat, "babbler": Babbler, "spoiler": Spoiler}
