"""A release file (docs/protocol.md, section 2.4) into the store, beside the network side that runs.

As ID.new, each file flushed, then renamed: the network side finds it whole at its next start, and
judges it like everything else there.
"""

from swdist.bits import to_hex
from swdist.manifest import MAX_BYTES, MAX_CHUNKS
from swdist.ucryptolib import sha256

LIMITS = {
    "manifest": MAX_BYTES,
    "signatures": 32768,
    "index": 32 * MAX_CHUNKS,
}
_NOT = "is not a whole release file; make it with swdist release build, and copy it again"


def members(f):
    """{name: (offset, size)} of an uncompressed ustar archive, or None."""
    found = {}
    at = 0
    while True:
        f.seek(at)
        head = f.read(512)
        if len(head) == 512 and head == bytes(512):
            return found
        if len(head) != 512 or head[257:262] != b"ustar" or head[156] not in b"0\0":
            return None
        try:
            name = str(head[:100].split(b"\0")[0], "ascii")
            size = int(str(head[124:136].split(b"\0")[0], "ascii").strip() or "0", 8)
        except ValueError:
            return None
        if name in found or name not in ("manifest", "signatures", "index", "payload"):
            return None
        found[name] = (at + 512, size)
        at += 512 + (size + 511) // 512 * 512


def put(fs, store, trust, f, quota_bytes):
    """(Release, None), or (None, what is wrong)."""
    parts = members(f)
    if parts is None or "manifest" not in parts or "signatures" not in parts:
        return None, _NOT
    data = {}
    for name in LIMITS:
        at, size = parts.get(name, (0, 0))
        if size > LIMITS[name]:
            return None, _NOT
        f.seek(at)
        data[name] = f.read(size)
        if len(data[name]) != size:
            return None, _NOT
    release, why = trust.check(data["manifest"], data["signatures"])
    if release is None:
        return None, why
    m = release.manifest
    at, size = parts.get("payload", (0, 0))
    if size != m.payload_size or len(data["index"]) != 32 * m.chunks:
        return None, _NOT
    if m.chunks and sha256(data["index"]) != m.index_sha256:
        return None, _NOT
    if m.payload == "image":
        return None, "is an image, which has no room in the store; swdist seed it from a laptop"
    if size > quota_bytes:
        why = "payload of %d bytes, but option quota_kb allows %d" % (size, quota_bytes)
        return None, why
    path = store + "/" + to_hex(release.rid)
    if fs.is_dir(path):
        return None, "is in the store already; swdist releases says how much of it"
    try:
        fs.rmtree(path + ".new")
        fs.mkdirs(path + ".new")
        for name in LIMITS:
            if data[name]:
                with fs.open(path + ".new/" + name, "wb") as out:
                    out.write(data[name])
                    fs.sync(out)
        if m.chunks:
            with fs.open(path + ".new/payload", "wb") as out:
                f.seek(at)
                for n in range(m.chunks):
                    chunk = f.read(min(m.chunk_size, size - n * m.chunk_size))
                    if sha256(chunk) != data["index"][32 * n : 32 * n + 32]:
                        fs.rmtree(path + ".new")
                        return None, _NOT
                    out.write(chunk)
                fs.sync(out)
        fs.sync_dir(path + ".new")
        fs.rename(path + ".new", path)
    except OSError as e:
        fs.rmtree(path + ".new")
        return None, "can't be written to the store: %s" % e
    return release, None
