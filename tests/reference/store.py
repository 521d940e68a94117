"""Section 5.1: what a node holds."""

import os
import struct

from . import manifest
from .payload import Payload
from .trust import Malformed
from .wire import set_digest

VERSIONS = 64


class Journal:
    """What came to be held, in its order, in one file; after a restart it comes again. A cut of
    power takes the last record at most."""

    def __init__(self, path=None):
        self.file = path and open(path, "a+b")  # noqa: SIM115, as long as the node lives
        self.is_replayed = False

    def replay(self, store):
        whole = 0
        if self.file:
            self.file.seek(0)
        while self.file and len(head := self.file.read(9)) == 9:
            kind, *sizes = struct.unpack("!BII", head)
            first, second = (self.file.read(size) for size in sizes)
            if len(second) < sizes[1]:
                break
            whole = self.file.tell()
            getattr(store, ("take", "take_index", "take_piece", "run")[kind])(first, second)
        if self.file:
            self.file.truncate(whole)
        self.is_replayed = True

    def write(self, kind, first, second):
        if self.file and self.is_replayed:
            self.file.write(struct.pack("!BII", kind, len(first), len(second)) + first + second)
            self.file.flush()
            os.fsync(self.file.fileno())


class Store:
    def __init__(self, trust, path=None):
        self.trust = trust
        self.releases = {}  # rid -> Manifest
        self.signatures = {}  # rid -> file
        self.payloads = {}  # pid -> Payload
        self.doubted = set()  # rids whose Signed-At is no floor (section 5.5)
        self.runs, self.kept = None, b""  # rid of what is active; what the node keeps besides
        self.journal = Journal(path)
        self.journal.replay(self)

    def set(self):
        """What is announced and digested, in the order in which it is announced."""
        found = sorted(self.releases.values(), key=lambda m: m.order)  # key sets come first
        others = [m for m in found if not m.key_set]
        return found[: len(found) - len(others)] + others[-VERSIONS:]

    def digest(self):
        return set_digest(m.rid for m in self.set())

    def floor_s(self):
        believed = [m for m in self.releases.values() if m.rid not in self.doubted]
        return max((m.signed_at_s for m in believed), default=0)

    def named(self, pid):
        """The lines of releases held that name this payload."""
        return [line for m in self.releases.values() for line in m.lines if line.pid == pid]

    def has_room(self, m):
        """Rules 2 and 4, and rule 5 of section 2.6: whether it would be taken if it is signed."""
        if m.rid in self.releases or m.key_set:
            return m.rid in self.releases or m.key_set == len(self.trust.sets)
        if any(h.version == m.version and h.order > m.order for h in self.releases.values()):
            return False
        versions = [h.version for h in self.set() if not h.key_set]
        return len(versions) < VERSIONS or m.version >= versions[0]

    def take(self, text, signatures):
        """Verify a release and hold it: "taken", or why not: "refused", "later" or "bad"."""
        m = manifest.Manifest(text)
        both = (self.signatures[m.rid], signatures) if m.rid in self.releases else (signatures,)
        verdict, keep = self.trust.judge(m, *both)
        if verdict != "good":
            return verdict
        if not self.has_room(m):
            return "refused"
        self.journal.write(0, text, signatures)
        lower = [h.rid for h in self.releases.values() if h.version == m.version and h.rid != m.rid]
        self.releases[m.rid], self.signatures[m.rid] = m, keep
        if self.trust.take(m):
            lower += [h.rid for h in self.releases.values() if not self._is_verified(h)]
        self._drop(lower)
        inside = {h.rid for h in self.set()} | {self.runs}
        self._drop(self.releases.keys() - inside)
        for pid in [pid for pid in self.payloads if not self.named(pid)]:
            del self.payloads[pid]
        return "taken"

    def _is_verified(self, m):
        return m.key_set or self.trust.judge(m, self.signatures[m.rid])[0] == "good"

    def _drop(self, rids):
        for rid in rids:
            del self.releases[rid], self.signatures[rid]

    def take_index(self, pid, index):
        """The Payload of this index, if a release names it and it is one; else None."""
        try:
            payload = Payload(index)
        except Malformed:
            return None
        if payload.pid != pid or not self.named(pid):
            return None
        if pid not in self.payloads:
            self.journal.write(1, pid, index)
        return self.payloads.setdefault(pid, payload)

    def take_piece(self, pid, piece):
        """Keep the next piece of a payload, if it is what the entry says."""
        if pid not in self.payloads or not self.payloads[pid].add(piece):
            return False
        self.journal.write(2, pid, piece)
        return True

    def run(self, rid, kept):
        """What is active, empty at the factory release, and what else the node keeps."""
        self.runs, self.kept = rid or None, kept
        self.journal.write(3, rid, kept)

    def serve(self, name):
        """The bytes of `name` in section 4, or None."""
        try:
            version, key, what = name.split("/")
            key = bytes.fromhex(manifest.matching(key, "[0-9a-f]{64}"))
            if version != "1":
                return None
            if what in ("manifest", "signatures"):
                return self.releases[key].text if what == "manifest" else self.signatures[key]
            payload = self.payloads[key]
            if what == "index":
                return payload.index
            first, dash, last = what.partition("-")
            first = manifest.decimal(first, 0, 65534)
            return payload.run(first, manifest.decimal(last, first, 65534) if dash else first)
        except (KeyError, ValueError, Malformed):
            return None
