"""Section 5.1: what a node holds, in a folder, so that a cut of power loses nothing of it."""

import os
import pathlib

from . import manifest
from .payload import Payload
from .trust import Malformed, parse_signatures
from .wire import set_digest

VERSIONS = 64


def write(path, data):
    """Durable: after a cut of power the file is what it was, or what it is to be."""
    temporary = path.with_name(path.name + ".new")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class Store:
    def __init__(self, trust, folder=None, runs=None):
        self.trust = trust
        self.folder = pathlib.Path(folder) if folder else None
        self.releases = {}  # rid -> Manifest
        self.signatures = {}  # rid -> file
        self.payloads = {}  # pid -> Payload
        self.runs = runs  # rid of what is active; it is kept besides the set
        if self.folder:
            self._load()

    def key_sets(self):
        return [m for m in self.releases.values() if m.key_set]

    def set(self):
        """What is announced and digested, in the order in which it is announced."""
        others = [m for m in self.releases.values() if not m.key_set]
        others = sorted(others, key=lambda m: m.order)[-VERSIONS:]
        return sorted(self.key_sets(), key=lambda m: m.order) + others

    def digest(self):
        return set_digest(m.rid for m in self.set())

    def floor_s(self):
        return max((m.signed_at_s for m in self.releases.values()), default=0)

    def named(self, pid):
        """The lines of releases held that name this payload."""
        return [line for m in self.releases.values() for line in m.lines if line.pid == pid]

    def has_room(self, m):
        """Rules 2 and 4, and rule 5 of section 2.6: whether it would be taken if it is signed."""
        if m.rid in self.releases:
            return True
        if m.key_set:
            return m.key_set == len(self.trust.sets)
        for held in self.releases.values():
            if held.version == m.version and held.order > m.order:
                return False
        versions = [h.version for h in self.set() if not h.key_set]
        return len(versions) < VERSIONS or m.version >= versions[0]

    def take(self, m, signatures):
        """Verify a release and hold it: "taken", or why not: "refused", "later" or "bad"."""
        if m.rid in self.releases and signatures != self.signatures[m.rid]:
            signatures = self._merged(m.rid, signatures)
        verdict, keep = self.trust.judge(m, signatures)
        if verdict != "good":
            return verdict
        if not self.has_room(m):
            return "refused"
        self._hold(m, keep)
        return "taken"

    def _merged(self, rid, signatures):
        """Section 2.2, rule 6; a file that is refused is left to the judge."""
        both = self.signatures[rid] + signatures
        try:
            parse_signatures(both)
        except Malformed:
            return signatures
        return both

    def _hold(self, m, signatures):
        for held in list(self.releases.values()):
            if held.version == m.version and held.rid != m.rid:
                self._drop(held)
        self.releases[m.rid], self.signatures[m.rid] = m, signatures
        if self.folder:
            write(self._path("releases", m.rid, "signatures"), signatures)
            write(self._path("releases", m.rid, "manifest"), m.text)
        if self.trust.take(m):
            for held in [h for h in self.releases.values() if not h.key_set]:
                if self.trust.judge(held, self.signatures[held.rid])[0] != "good":
                    self._drop(held)
        inside = self.set()
        for held in list(self.releases.values()):
            if held not in inside and held.rid != self.runs:
                self._drop(held)
        for pid in [pid for pid in self.payloads if not self.named(pid)]:
            del self.payloads[pid]
            if self.folder:
                self._path("payloads", pid, "index").unlink()

    def _drop(self, m):
        del self.releases[m.rid], self.signatures[m.rid]
        if self.folder:
            self._path("releases", m.rid, "manifest").unlink()
            self._path("releases", m.rid, "signatures").unlink()

    def take_index(self, pid, index):
        """The Payload of this index, if a release names it and it is one; else None."""
        try:
            payload = Payload(index)
        except Malformed:
            return None
        if payload.pid != pid or not self.named(pid):
            return None
        if self.folder and pid not in self.payloads:
            self._path("payloads", pid, "pieces").unlink(missing_ok=True)
            write(self._path("payloads", pid, "index"), index)
        return self.payloads.setdefault(pid, payload)

    def take_piece(self, pid, piece):
        """Keep the next piece of a payload, if it is what the entry says."""
        if not self.payloads[pid].add(piece):
            return False
        if self.folder:
            with open(self._path("payloads", pid, "pieces"), "ab") as file:
                file.write(piece)
        return True

    def serve(self, name):
        """The bytes of `name` in section 4, or None."""
        parts = name.split("/")
        if len(parts) != 3 or parts[0] != "1":
            return None
        try:
            key = bytes.fromhex(manifest.matching(parts[1], "[0-9a-f]{64}"))
            if parts[2] == "manifest":
                return self.releases[key].text
            if parts[2] == "signatures":
                return self.signatures[key]
            payload = self.payloads[key]
            if parts[2] == "index":
                return payload.index
            first, _, last = parts[2].partition("-")
            first = manifest.decimal(first, 0, 65534)
            last = manifest.decimal(last, first, 65534) if "-" in parts[2] else first
            return payload.run(first, last)
        except (KeyError, Malformed):
            return None

    def _path(self, kind, key, name):
        folder = self.folder / kind
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{key.hex()}.{name}"

    def _load(self):
        found = (self.folder / "releases").glob("*.manifest")
        found = [manifest.parse(path.read_bytes()) for path in found]
        for m in sorted(found, key=lambda m: m.order):  # key sets first
            path = self._path("releases", m.rid, "signatures")
            self.take(m, path.read_bytes())
        for path in (self.folder / "payloads").glob("*.index"):
            pid = bytes.fromhex(path.stem)
            if not self.named(pid):
                continue
            payload = self.payloads[pid] = Payload(path.read_bytes())
            pieces = path.with_suffix(".pieces")
            data = pieces.read_bytes() if pieces.exists() else b""
            while not payload.is_complete and payload.add(data[: payload.next_entry().sent]):
                data = data[len(payload.pieces[-1]) :]
