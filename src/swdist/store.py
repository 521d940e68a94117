"""Releases on flash, written by netd (docs/architecture.md, section 5).

Order of writes. A release begins as ID.new with manifest and signatures, flushed, then renamed. Its
index comes whole by write_atomic, its chunks in order into `payload`, each flushed. After a power
cut `load` verifies everything again and goes on behind the last good chunk; ID.new is thrown away.
"""

from swdist.bits import from_hex, to_hex
from swdist.manifest import MAX_BYTES, parse
from swdist.parts import chunk_bytes, digest_of, holds, open_part, same_chunk, scan, write_head
from swdist.ucryptolib import sha256

MAX_VERSIONS = 64
RESERVE = 32768  # bytes of flash that no payload takes: for manifests, and to switch and go back
MAX_SIGNATURES_BYTES = 32768
SCRUB_TURNS = 24  # of collect(), each some 5 s after the last


class Store:
    """`releases` are verified, of each version only the highest (revision, id), in order. Each has
    .indexed (its index is held), .held (chunks from the first without a gap) and .complete."""

    def __init__(self, fs, path, trust, log, quota_bytes, ram=None):
        self.releases = []
        self._fs = fs
        self._path = path
        self._trust = trust
        self._log = log
        self._quota = quota_bytes
        self._ram = ram  # install.Ram, for payloads of images, or None: then none is fetched
        self._pinned = ()
        self._digest = None
        self._deserving = None  # release ids whose payloads fit, or None: to be computed
        self._told = []  # release ids that don't fit, once said
        self._turns = 0
        self._scrubbed = (b"", 0)  # release and chunk that were read again last
        self._fault = None  # of the disk, that was said last

    def _dir(self, release):
        return self._path + "/" + to_hex(release.rid)

    # --- start

    def load(self, tick=None):
        """Verifies all that is held again. tick() is called between chunks."""
        names = []
        for name in self._fs.listdir(self._path):
            path = self._path + "/" + name
            if name.endswith(".new") and from_hex(name[:-4], 32) is not None:
                self._remove(path)
                continue
            if from_hex(name, 32) is None:
                continue
            m, _ = parse(self._read(path)[0])
            names.append((m.version if m else (65536,), name))
        found = []
        for _, name in sorted(names):  # keys come first: they are of versions 0.0.N
            release = self._check(name)
            if release is not None:
                found.append(release)
                self._trust.adopt(release)
        found.sort(key=lambda r: r.order())
        self.releases = []
        for release in found:
            if self.releases and self.releases[-1].manifest.version == release.manifest.version:
                self._supersede(self.releases.pop(), release)
            self.releases.append(release)
        for release in self.releases:
            self._scan(release, tick)
        self._changed()
        for change in self._trust.baked:
            if self.get(sha256(change[0])) is None:
                self.add(*change)

    def _read(self, path):
        """(manifest, signatures), unverified."""
        return (
            self._fs.read(path + "/manifest", MAX_BYTES) or b"",
            self._fs.read(path + "/signatures", MAX_SIGNATURES_BYTES) or b"",
        )

    def _check(self, name):
        """The Release of a directory, or None: then that is removed."""
        path = self._path + "/" + name
        release, why = self._verify(*self._read(path))
        if release is not None and to_hex(release.rid) == name:
            return release
        self._log.warn(
            "store: removed %s: %s" % (name[:8], why or "manifest: digest is not the id")
        )
        self._remove(path)
        return None

    def _verify(self, manifest, signatures):
        release, why = self._trust.check(manifest, signatures)
        if release is not None:
            release.in_ram = self._ram is not None and release.manifest.payload == "image"
            path = self._dir(release) + "/payload"
            release.file = self._ram.path + "/" + to_hex(release.rid) if release.in_ram else path
        return release, why

    def _scan(self, release, tick=None):
        """Sets indexed, held and complete by what the files hold."""
        try:
            scan(self._fs, self._dir(release), release, tick)
        except OSError as e:
            self._disk(e)
        release.complete = release.held == release.manifest.chunks

    # --- what is held

    def get(self, rid):
        for release in self.releases:
            if release.rid == rid:
                return release
        return None

    def digest(self):
        """The set digest (docs/protocol.md, section 3.4)."""
        if self._digest is None:
            self._digest = sha256(b"".join(sorted([r.rid for r in self.releases])))[:8]
        return self._digest

    def newest_signed_at_s(self):
        newest = 0
        for release in self.releases:
            newest = max(newest, release.manifest.signed_at_s)
        return newest

    def open(self, name):
        """A File of what is verified, by its TFTP name (docs/protocol.md, section 4), or None."""
        try:
            parts = str(bytes(name), "ascii").split("/")
        except (UnicodeError, ValueError):
            return None
        rid = from_hex(parts[1], 32) if len(parts) == 3 and parts[0] == "1" else None
        release = self.get(rid) if rid is not None else None
        return open_part(self._fs, self._dir(release), release, parts[2]) if release else None

    # --- what comes in

    def add(self, manifest, signatures):
        """(Release, None), or (None, why not). Reasons that begin with `store:` are ours, all
        others are the sender's fault."""
        release, why = self._verify(manifest, signatures)
        if release is None:
            return None, why
        held = self.get(release.rid)
        if held is not None:
            return held, None
        older = None
        for r in self.releases:
            if r.manifest.version == release.manifest.version:
                if r.order() > release.order():
                    return None, "store: a later revision of it is held"
                older = r
        lowest = None
        if older is None and len(self.releases) >= MAX_VERSIONS:
            for r in self.releases:
                if r.rid not in self._pinned and r.manifest.payload != "keys":
                    lowest = r
                    break
            keys = release.manifest.payload == "keys"
            if lowest is None or (release.order() < lowest.order() and not keys):
                return None, "store: full of later versions"
        try:
            write_head(self._fs, self._dir(release), manifest, signatures)
        except OSError as e:
            self._remove(self._dir(release) + ".new")
            return None, self._disk(e)
        if older is not None:
            self._supersede(older, release)
            self.releases.remove(older)
        if lowest is not None:
            self._log.info("dropped release %s: the store is full" % lowest.name())
            self._remove(lowest.file)
            self._remove(self._dir(lowest))
            self.releases.remove(lowest)
        self.releases.append(release)
        self.releases.sort(key=lambda r: r.order())
        self._scan(release)
        if self._trust.adopt(release):
            self._log.info("CA keys changed by release %s" % release.name())
            self.releases = [
                r for r in self.releases if self._trust.trusts(r.rid) or self._check(to_hex(r.rid))
            ]
        self._changed()
        return release, None

    def _supersede(self, old, new):
        """Removes an older revision; what it holds is kept where the payload is the same."""
        fs = self._fs
        if not new.manifest.withdrawn and old.manifest.index_sha256 == new.manifest.index_sha256:
            index = self._dir(old) + "/index", self._dir(new) + "/index"
            for source, target in (index, (old.file, new.file)):
                if fs.size(source) is not None and fs.size(target) is None:
                    try:
                        fs.rename(source, target)
                    except OSError as e:
                        self._disk(e)
        self._remove(old.file)
        self._remove(self._dir(old))

    def put_index(self, release, data):
        """None, or why not."""
        m = release.manifest
        if len(data) != 32 * m.chunks or not m.chunks:
            return "index: %d bytes, not %d" % (len(data), 32 * m.chunks)
        if sha256(data) != m.index_sha256:
            return "index: digest is not the manifest's"
        if release.indexed:
            return None
        try:
            self._fs.write_atomic(self._dir(release) + "/index", data)
        except OSError as e:
            return self._disk(e)
        self._scan(release)
        return None

    def put_chunk(self, release, n, view):
        """Chunk n, which must be the first one missing. None, or why not."""
        m = release.manifest
        if release.complete or not release.indexed or n != release.held:
            return "store: chunk %d is not the next" % n
        if len(view) != chunk_bytes(m, n):
            return "chunk %d: %d bytes, not %d" % (n, len(view), chunk_bytes(m, n))
        path = self._dir(release)
        try:
            if sha256(view) != digest_of(self._fs, path, n):
                return "chunk %d: digest is not the index's" % n
            if not release.in_ram and not self._make_room(release, len(view)):
                return "store: over the quota"
            if not release.in_ram and self._fs.free(path) < len(view) + RESERVE:
                raise OSError("flash is full")
            there = self._fs.size(release.file) is not None
            with self._fs.open(release.file, "r+b" if there else "wb") as f:
                f.seek(n * m.chunk_size)
                f.write(view)
                self._fs.sync(f)
            if not there:
                self._fs.sync_dir(path)  # its name, too
            self._fault = None
        except OSError as e:
            return self._disk(e)
        release.held = n + 1
        release.complete = release.held == m.chunks
        return None

    def _scrub(self):
        """Reads the next chunk again: flash forgets. What does not hold is fetched anew."""
        rid, n = self._scrubbed
        release = self.get(rid)
        n += 1
        if release is None or n >= release.held:
            held = [r for r in self.releases if r.held]
            if not held:
                return
            release = min([r for r in held if r.rid > rid] or held, key=lambda r: r.rid)
            n = 0
        self._scrubbed = release.rid, n
        if not holds(self._fs, self._dir(release), release, n):
            self._log.warn("chunk %d of release %s is spoilt" % (n, release.name()))
            self._scan(release)  # or the index is

    def reuse(self):
        """Takes one chunk that a wanted release lacks from what lies behind a gap, or from another
        release that holds the same. True if there was one."""
        for r in self.releases:
            if r.indexed and r.sought <= r.held and self.wanted(r):
                r.sought = r.held + 1  # looked for once
                if holds(self._fs, self._dir(r), r, r.held):
                    r.held += 1
                    r.complete = r.held == r.manifest.chunks
                    return True
                for other in self.releases:
                    if other is not r and other.held:
                        view = same_chunk(self._fs, self._dir(r), r, self._dir(other), other)
                        if view is not None and self.put_chunk(r, r.held, view) is None:
                            return True
        return False

    # --- room

    def wanted(self, release):
        """Is its payload to be fetched?"""
        if release.complete:
            return False
        if self._deserving is None:
            self._deserve()
        if release.rid in self._deserving:
            return True
        if release.rid not in self._told:
            self._told = self._told[-MAX_VERSIONS:] + [release.rid]
            m = release.manifest
            why = "does not fit in the quota of %d bytes" % self._quota
            if m.payload == "image":
                why = "is not for here, or option images_kb or memory leaves no room"
            words = (release.name(), m.payload_size, why)
            self._log.warn("payload of release %s, %d bytes, %s" % words)
        return False

    def collect(self, pinned):
        """pinned: ids of releases (active, fallback, scheduled) whose payloads are never
        removed to make room. Removes payloads while more than the quota is held, and now and then
        reads one chunk again."""
        self._turns += 1
        if self._turns % SCRUB_TURNS == 0:
            self._scrub()
        if self._ram is not None or set(pinned) != set(self._pinned):
            self._pinned = tuple(pinned)
            self._deserving = None
        self._make_room(None, 0)

    def _deserve(self):
        """Pinned payloads first, then by version from the highest, as long as they fit."""
        self._deserving = []
        left = self._quota
        for pinned in (True, False):
            for i in range(len(self.releases) - 1, -1, -1):
                r = self.releases[i]
                if (r.rid in self._pinned) != pinned or r.manifest.payload == "image":
                    continue
                if r.manifest.payload_size <= left or (pinned and r.complete):
                    self._deserving.append(r.rid)
                    left -= r.manifest.payload_size
        if self._ram is not None:
            self._deserving += self._ram.deserving(self.releases, self._forget)

    def _make_room(self, release, size):
        """Removes payloads that don't deserve room, lowest version first, until `size` more bytes
        fit. False if they can't."""
        if self._deserving is None:
            self._deserve()
        used = size
        held = [r for r in self.releases if r.held and not r.in_ram]
        for r in held:
            used += min(r.held * r.manifest.chunk_size, r.manifest.payload_size)
        for r in held:
            if used <= self._quota:
                break
            if r is release or r.rid in self._pinned or r.rid in self._deserving:
                continue
            used -= min(r.held * r.manifest.chunk_size, r.manifest.payload_size)
            self._forget(r)
        return used <= self._quota

    def _forget(self, r):
        self._log.info("removed payload of release %s to make room" % r.name())
        r.held = 0
        r.complete = False
        self._remove(r.file)

    def _changed(self):
        self._digest = None
        self._deserving = None

    def _disk(self, e):
        """Why not; said once until a chunk is kept again, for it is tried again and again."""
        why = "store: %s" % e
        if self._fault != e.args[0]:
            self._fault = e.args[0]
            self._log.error(why)
        return why

    def _remove(self, path):
        try:
            self._fs.rmtree(path)
        except OSError as e:
            self._disk(e)
