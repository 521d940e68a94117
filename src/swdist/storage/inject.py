"""A release file (docs/protocol.md, section 2.4) into the store, beside the network side that
runs.

Each file is written under another name, flushed and renamed, each payload's index behind the rest
of it, and the release behind its payloads: the network side finds it whole at its next start, and
judges it like everything else there.
"""

from swdist.crypto.ucryptolib import sha256
from swdist.formats import index, usign
from swdist.formats.bits import to_hex
from swdist.formats.index import DIGEST_BYTES, ENTRY_BYTES, HEAD_BYTES
from swdist.formats.manifest import MAX_BYTES, MAX_PAYLOADS, parse
from swdist.formats.untar import header
from swdist.storage.catalogue import merge, write_head

MAX_MEMBERS = 2 + 2 * MAX_PAYLOADS
_NOT = "is not a whole release file; make it with swdist release build, and copy it again"


def members(f):
    """[(name, offset, size)] of an uncompressed ustar archive, or None."""
    found = []
    at = 0
    while len(found) <= MAX_MEMBERS:
        f.seek(at)
        head = f.read(512)
        if len(head) == 512 and head == bytes(512):
            return found if _is_end(f) else None
        if len(head) != 512 or head[156] not in b"0\0":
            return None
        why, name, size = header(head)
        if why is not None:
            return None
        fill = -size % 512
        f.seek(at + 512 + size)
        if f.read(fill) != bytes(fill):
            return None
        found.append((name, at + 512, size))
        at += 512 + size + fill
    return None


def _is_end(f):
    """Is there one more block of zeros, and nothing else behind it?"""
    block = f.read(512)
    while len(block) == 512 and block == bytes(512):
        block = f.read(512)
        if not block:
            return True
    return False


def _read(f, parts, name, limit):
    """A small member, or None."""
    at, size = parts.get(name, (0, limit + 1))
    if size > limit:
        return None
    f.seek(at)
    data = f.read(size)
    return data if len(data) == size else None


def put(fs, store, trust, f, quota_bytes):
    """(Release, None), or (None, what is wrong)."""
    found = members(f)
    if found is None:
        return None, _NOT
    parts = {name: (at, size) for name, at, size in found}
    manifest = _read(f, parts, b"manifest", MAX_BYTES)
    signatures = _read(f, parts, b"signatures", usign.MAX_BYTES)
    if manifest is None or signatures is None:
        return None, _NOT
    _adopt(fs, store, trust)
    release, kept = trust.check(manifest, signatures)
    if release is None:
        return None, kept
    lines = {p.pid: p for p in release.manifest.payloads}
    if [name for name, _, _ in found] != _names(release.manifest):
        return None, _NOT
    if [p for p in release.manifest.payloads if p.kind == "image"]:
        return None, "has an image, which has no room in the store; swdist seed it from a laptop"
    size = sum([p.stored for p in lines.values()])
    if size > quota_bytes:
        why = "payload of %d bytes, but option quota_kb allows %d" % (size, quota_bytes)
        return None, why
    path = store + "/releases/" + to_hex(release.rid)
    if fs.is_dir(path):
        return _better(fs, path, trust, manifest, signatures)
    made = []
    why = None
    try:
        for p in lines.values():
            folder = store + "/payloads/" + to_hex(p.pid)
            if not fs.is_dir(folder):
                made.append(folder)
            if not _put_payload(fs, folder, f, parts, p):
                why = _NOT
                break
        if why is None:
            write_head(fs, path, manifest, kept)
    except OSError as e:
        why = "can't be written to the store: %s" % e
    if why is None:
        return release, None
    for folder in made:
        fs.rmtree(folder)
    return None, why


def _adopt(fs, store, trust):
    """Goes over to the keys that the network side has gone over to: what it keeps says so."""
    changes = {}
    path = store + "/releases/"
    for name in fs.listdir(path):
        data = fs.read(path + name + "/manifest", MAX_BYTES) or b""
        m, _ = parse(data)
        if m is not None and m.is_keys:
            changes[m.version[2]] = data, path + name + "/signatures"
    while trust.next_set() in changes:
        data, signatures = changes[trust.next_set()]
        release, _ = trust.check(data, fs.read(signatures, usign.MAX_BYTES) or b"")
        if release is None or not trust.adopt(release):
            return


def _names(m):
    """Of the members of a release's file, in order."""
    names = [b"manifest", b"signatures"]
    for p in m.payloads:
        name = to_hex(p.pid).encode()
        if name + b"/index" not in names:
            names += [name + b"/index", name + b"/pieces"]
    return names


def _better(fs, path, trust, manifest, signatures):
    """Of a release that is held only the signatures can be better: see merge."""
    try:
        release = merge(fs, path, trust, manifest, signatures)
    except OSError as e:
        return None, "can't be written to the store: %s" % e
    if release is None:
        return None, "is in the store already; swdist releases says how much of it"
    return release, None


def _put_payload(fs, folder, f, parts, p):
    """False if the archive does not hold all of it."""
    name = to_hex(p.pid).encode()
    data = _read(f, parts, name + b"/index", index.MAX_INDEX_BYTES)
    at, size = parts[name + b"/pieces"]
    counts = index.pages(data) if data is not None and sha256(data) == p.pid else None
    if counts is None or size != counts[1] * ENTRY_BYTES + p.stored:
        return False
    fs.mkdirs(folder)
    f.seek(at)
    good = _copy(fs, folder + "/pages", f, data[HEAD_BYTES:], p)
    if good:
        with fs.open(folder + "/pages.tmp", "rb") as pages:
            good = _copy(fs, folder + "/payload", f, pages, p)
    if good:
        for what in ("/payload", "/pages"):
            fs.rename(folder + what + ".tmp", folder + what)
        fs.write_atomic(folder + "/index", data)
        return True
    for what in ("/payload.tmp", "/pages.tmp"):
        fs.rmtree(folder + what)
    return False


def _copy(fs, path, f, entries, p):
    """Writes the pieces of some entries, as long as they hold. entries: bytes, of pages; or an open
    file, of the chunks of payload p."""
    sent = size = at = 0
    chunks = not isinstance(entries, bytes)
    with fs.open(path + ".tmp", "wb") as out:
        while True:
            entry = entries.read(ENTRY_BYTES) if chunks else entries[at : at + ENTRY_BYTES]
            at += ENTRY_BYTES
            if len(entry) != ENTRY_BYTES:
                break
            n, inflated, _ = index.lengths(entry, 0)
            piece = f.read(n)
            if len(piece) != n or sha256(piece)[:DIGEST_BYTES] != entry[:DIGEST_BYTES]:
                return False
            out.write(piece)
            sent += n
            size += inflated
        fs.sync(out)
    return not chunks or (sent, size) == (p.stored, p.size)
