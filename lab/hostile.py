"""A malicious neighbour: a node whose store lies.

python -m lab.hostile --config FILE [--tamper] RELEASE.swd...
It announces all of them as complete, and serves them, whatever they are; with --tamper with a byte
of each chunk changed.
"""

import io
import sys
from types import SimpleNamespace

from swdist import netd
from swdist.shell import platform
from swdist.storage.payloads import MAX_RUN_BYTES, File
from swdist.storage.room import Plan
from swdist.trust import verify
from swdist.wiring import config
from swdist_host import release


class Lies:
    """Has what netd asks of a store, and verifies nothing. room: what there is for payloads;
    twist(bytes): what is given for a piece that is a chunk."""

    def __init__(self, swds, room, twist):
        self.room = room
        self.catalogue = self
        self.payloads = self
        self.needs = self
        self.relayed = ()
        self.releases = [verify.Release(swd.parsed) for swd in swds]
        self.held = Held()
        self.parts = {}
        self._pieces = {}
        for swd in swds:
            for name in ("manifest", "signatures"):
                self.parts[f"{swd.rid.hex()}/{name}"] = getattr(swd, name)
            for packed in swd.payloads:
                chunks = map(twist, packed.pieces[packed.pages :])
                pieces = [*packed.pieces[: packed.pages], *chunks]
                self.parts[f"{packed.pid.hex()}/index"] = packed.index
                self._pieces[packed.pid.hex()] = pieces
                count = len(pieces)
                self.held[packed.pid] = SimpleNamespace(
                    held=count, total=count, complete=lambda: True
                )

    def load(self):
        pass

    def get(self, rid):
        return next((r for r in self.releases if r.rid == rid), None) or self.releases[0]

    def shown(self):
        return self.releases

    def digest(self):
        return b"\xee" * 8

    def plan(self):
        return Plan()

    def lines(self):
        return {}

    def wanted(self):
        return []

    def lacks(self, pid):
        return False

    def relay(self, pids):
        pass

    def scrub(self):
        pass

    def percent(self, pid):
        return 100

    def reuse(self):
        return False, False

    def newest_signed_at_s(self, sure_s=None):
        return 0

    def open(self, name):
        print("asked for", bytes(name).decode("ascii", "replace"), flush=True)
        head, _, what = bytes(name).decode("ascii", "replace").removeprefix("1/").partition("/")
        data = self.parts.get(f"{head}/{what}")
        if data is None and head in self._pieces:
            data = self._run(self._pieces[head], what)
        return None if data is None else part(data)

    def _run(self, pieces, what):
        first, _, last = what.partition("-")
        try:
            asked = pieces[int(first) : int(last or first) + 1]
        except ValueError:
            return None
        data = b""
        for piece in asked:
            if data and len(data) + len(piece) > MAX_RUN_BYTES:
                break
            data += piece
        return data or None


class Held(dict):
    """{payload id: what is held of it}; a store's `held` is a function, a Payloads' one a dict."""

    def __call__(self, pid):
        return self.get(pid)


def part(data):
    """What the server gives, from memory."""
    return File(io.BytesIO(data), 0, len(data))


def changed(piece):
    at = len(piece) // 2
    return piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :]


def unchanged(piece):
    return piece


def main():
    words = sys.argv[1:]
    paths = [w for w in words if w.endswith(".swd")]
    flags = [w for w in words if w not in paths and w != "--tamper"]
    fs = platform.Fs()
    conf = config.load(flags, "hostile", fs)
    swds = [release.load(path) for path in paths]
    twist = changed if "--tamper" in words else unchanged
    netd.Store = lambda fs, path, trust, log, room: Lies(swds, room, twist)
    trust = verify.load_ca(fs, conf.ca)
    netd.Netd(conf, conf.log_to("hostile"), fs, trust, platform.Clock()).run()


if __name__ == "__main__":
    main()
