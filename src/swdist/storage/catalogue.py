"""The verified releases that a node holds, of each version only the highest (revision, id).

On flash each is a folder of its id with `manifest` and `signatures`. It begins as ID.new, flushed,
then renamed; after a power cut `load` verifies everything again, and ID.new is thrown away.
"""

from swdist.crypto.ucryptolib import sha256
from swdist.formats import usign
from swdist.formats.bits import from_hex, to_hex
from swdist.formats.manifest import MAX_BYTES, parse
from swdist.storage.payloads import File
from swdist.trust.verify import Release

# Section 5. All nodes keep the same 64, else sets would never be alike; key sets are not counted,
# since without one of them who comes late could not follow.
MAX_VERSIONS = 64
LISTINGS = 64  # of some hundred names each, at a start: who has filled the folder delays that only


def write_head(fs, path, manifest, signatures):
    """The folder of a release, whole or not at all."""
    fs.rmtree(path)  # left where only the last flush failed
    fs.rmtree(path + ".new")
    fs.mkdirs(path + ".new")
    for name, data in (("/manifest", manifest), ("/signatures", signatures)):
        with fs.open(path + ".new" + name, "wb") as f:
            f.write(data)
            fs.sync(f)
    fs.sync_dir(path + ".new")
    fs.rename(path + ".new", path)


def merge(fs, path, trust, manifest, signatures):
    """Adds to the signatures of a release that is held what is better in others of it. The Release,
    or None if nothing is."""
    held = fs.read(path + "/signatures", usign.MAX_BYTES) or b""
    release, kept = trust.check(manifest, held, signatures)
    if release is None or kept == held:
        return None
    fs.write_atomic(path + "/signatures", kept)
    return release


class Catalogue:
    """releases: in order. on_fault(e) is told of each OSError, and gives a reason like add()'s.
    spare_bytes: how many of all signatures that can't be checked here may be kept in all."""

    def __init__(self, fs, path, trust, log, on_fault, spare_bytes):
        self.releases = []
        self._spare_bytes = spare_bytes
        self._fs = fs
        self._path = path
        self._trust = trust
        self._log = log
        self._on_fault = on_fault
        self._digest = self._word = None

    def folder(self, rid):
        return self._path + "/" + to_hex(rid)

    def load(self):
        """Verifies all that is held again. A folder that somebody has filled is listed and cleared
        piece by piece."""
        self.releases = []
        for _ in range(LISTINGS):
            names = self._fs.listdir(self._path)
            self._load(names)
            if len(names) <= 4 * MAX_VERSIONS:
                break
        found, self.releases = self.releases, []
        for release in sorted(found, key=lambda r: r.sort_key()):
            if self.releases and self.releases[-1].manifest.version == release.manifest.version:
                self._remove(self.folder(self.releases.pop().rid))
            self.releases.append(release)
        self._digest = None
        for change in self._trust.baked:
            if self.get(sha256(change[0])) is None:
                self.add(*change)
        self.new_word_s()  # what is held at a start is no news

    def new_word_s(self):
        """The horizon of a signed word on time that has come since last asked, else 0."""
        word = None
        for release in self.releases:
            if release.manifest.horizon_s:
                word = release
        if word is None or word.rid == self._word:
            return 0
        self._word = word.rid
        return word.manifest.horizon_s

    def _load(self, folder):
        names = []
        held = [to_hex(r.rid) for r in self.releases]
        for name in folder:
            path = self._path + "/" + name
            if from_hex(name, 32) is None:  # left from a power cut, or none of ours
                self._remove(path)
            elif name not in held:
                m, _ = parse(self._read(path)[0])
                names.append((m.version if m else (65536,), name))
        for _, name in sorted(names):  # keys come first: they are of versions 0.0.N
            if self._check(name, self.releases):
                self._adopt(self.releases[-1])

    def _adopt(self, release):
        """Puts its keys, if it has any, in force; True if they are new. What they don't vouch for
        goes: also at a start, where a folder that somebody has filled may show them last."""
        if not self._trust.adopt(release):
            return False
        kept = []  # aside: while signatures are checked, neighbours ask for what is held
        for r in self.releases:
            if self._trust.trusts(r.rid):
                kept.append(r)
            else:
                self._check(to_hex(r.rid), kept)
        self.releases = kept
        return True

    def _read(self, path):
        """(manifest, signatures), unverified."""
        return (
            self._fs.read(path + "/manifest", MAX_BYTES) or b"",
            self._fs.read(path + "/signatures", usign.MAX_BYTES) or b"",
        )

    def _check(self, name, others):
        """Puts the release of a folder behind others, or removes the folder."""
        path = self._path + "/" + name
        manifest, signatures = self._read(path)
        release, kept = self._trust.check(manifest, signatures)
        if release is None or to_hex(release.rid) != name:
            why = kept if release is None else "manifest: digest is not the id"
            self._log.warn("store: removed %s: %s" % (name[:8], why))
            self._remove(path)
            return False
        release, kept = self._cut(release, kept, others)
        if kept != signatures:
            try:
                self._fs.write_atomic(path + "/signatures", kept)
            except OSError as e:
                self._on_fault(e)
        others.append(release)
        return True

    def _cut(self, release, kept, others):
        """A release with what of its signatures there is room for: those that hold in any case. Who
        pads them must not take the room of payloads, and what a key of tomorrow may need is kept
        while it is cheap (docs/protocol.md, sections 2.2 and 6.4)."""
        if release.spare_bytes > self._spare_bytes - sum([r.spare_bytes for r in others]):
            kept = kept[: len(kept) - release.spare_bytes]
            release = Release(release.manifest)
        return release, kept

    def get(self, rid):
        for release in self.releases:
            if release.rid == rid:
                return release
        return None

    def open(self, rid, name):
        """A File of a release's manifest or signatures, or None."""
        if self.get(rid) is None:
            return None
        path = self.folder(rid) + "/" + name
        size = self._fs.size(path)
        try:
            return File(self._fs.open(path, "rb"), 0, size) if size else None
        except OSError:
            return None

    def shown(self):
        """Those that are announced and counted: key sets, and the 64 highest versions. What a node
        runs or may fall back to it keeps besides."""
        keys = [r for r in self.releases if r.manifest.is_keys]
        return keys + [r for r in self.releases if not r.manifest.is_keys][-MAX_VERSIONS:]

    def digest(self):
        """The set digest (docs/protocol.md, section 3.4)."""
        if self._digest is None:
            self._digest = sha256(b"".join(sorted([r.rid for r in self.shown()])))[:8]
        return self._digest

    def spare_bytes(self):
        """Those of signatures that can't be checked here, of all releases."""
        return sum([r.spare_bytes for r in self.releases])

    def unwanted(self, version, revision, rid):
        """Why a release of that kind is not taken, or None. It costs nothing, so it comes before
        all signatures."""
        if version[:2] == (0, 0):
            return None if version[2] == self._trust.next_set() else "another key set is next"
        # By version, revision, id, so that two sets of the same releases end alike in any order.
        order = (version, revision, rid)
        for r in self.releases:
            if r.manifest.version == version and r.sort_key() > order:
                return "a later revision of it is held"
        others = [r for r in self.releases if not r.manifest.is_keys]
        if len(others) >= MAX_VERSIONS and order < others[-MAX_VERSIONS].sort_key():
            return "full of later versions"
        return None

    def weigh(self, rid, manifest):
        """Why the signatures of a manifest are not worth asking for, as add() says it, or None."""
        if sha256(manifest) != rid:
            return False, "manifest: digest is not the id"
        m, why = parse(manifest)
        if m is None:
            return False, why
        if m.network != self._trust.network:
            return False, "manifest: of another network"
        why = self.unwanted(m.version, m.revision, m.rid)
        return why and (True, why)

    def add(self, manifest, signatures, pinned=()):
        """(Release, None), or (None, why not): is it for us to mend, or the sender's fault?, and a
        text. pinned: ids of what is kept though it be the lowest."""
        m, why = parse(manifest)
        if m is None:
            return None, (False, why)
        held = self.get(m.rid)
        if held is not None:
            return held, None
        why = None if m.is_keys else self.unwanted(m.version, m.revision, m.rid)
        if why is not None:
            return None, (True, why)
        release, kept = self._trust.check(manifest, signatures)
        if release is None:
            early = m.is_keys and m.version[2] > self._trust.next_set()
            return None, (early, kept)
        release, kept = self._cut(release, kept, self.releases)
        try:
            write_head(self._fs, self.folder(m.rid), manifest, kept)
        except OSError as e:
            self._remove(self.folder(m.rid) + ".new")
            return None, self._on_fault(e)
        for r in self.releases:
            if r.manifest.version == release.manifest.version:
                self._drop(r)
                break
        self.releases.append(release)
        self.releases.sort(key=lambda r: r.sort_key())
        if self._adopt(release):
            self._log.info("CA keys changed by release %s" % release.name())
        self._trim(pinned)
        self._digest = None
        return release, None

    def _trim(self, pinned):
        shown = self.shown()
        for r in self.releases[:]:
            if r not in shown and r.rid not in pinned:
                self._log.info("dropped release %s: the store is full" % r.name())
                self._drop(r)

    def _drop(self, release):
        self._remove(self.folder(release.rid))
        self.releases.remove(release)

    def _remove(self, path):
        try:
            self._fs.rmtree(path)
        except OSError as e:
            self._on_fault(e)
