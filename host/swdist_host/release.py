"""Releases on a host: building, signing, and the .swd file (docs/protocol.md, section 2)."""

import hashlib
import io
import tarfile
import time
from dataclasses import dataclass, field, replace

from swdist import manifest as device_manifest
from swdist import usign
from swdist_host import files, payload, sigfile
from swdist_host.errors import BadValue, Refused
from swdist_host.times import time_text

CHUNK_SIZES = (4096, 8192, 16384, 32768, 65536)
CHUNK_SIZE = 16384  # what is chosen as long as the payload fits
FUTURE_S = 60  # clocks of hosts are as wrong as that
KEEP_A_LINE = 7  # ids that fit in a value of 512 characters
MEMBERS = ("manifest", "signatures", "index", "payload")
_LIMITS = {
    "manifest": device_manifest.MAX_BYTES,
    "signatures": usign.MAX_BYTES,
    "index": 32 * device_manifest.MAX_CHUNKS,
    "payload": device_manifest.MAX_PAYLOAD_BYTES,
}
_MAX_FILE_BYTES = sum(_LIMITS.values()) + 65536
_BLOCK = tarfile.BLOCKSIZE

payload_from_dir = payload.from_dir


@dataclass(frozen=True)
class Swd:
    """A release as bytes. signatures, index and payload are b"" where there are none."""

    manifest: bytes
    signatures: bytes = b""
    index: bytes = field(default=b"", repr=False)
    payload: bytes = field(default=b"", repr=False)

    @property
    def rid(self):
        """The release id, 32 bytes."""
        return hashlib.sha256(self.manifest).digest()

    @property
    def parsed(self):
        """The manifest as the device reads it."""
        parsed, why = device_manifest.parse(self.manifest)
        if parsed is None:
            raise Refused(f"{why}; get the release anew")
        return parsed

    @property
    def signers(self):
        """Key ids of the signature blocks, in their order; unknown algorithms too."""
        if not self.signatures:
            return []
        blocks = usign.parse_signatures(self.signatures)
        if blocks is None:
            raise Refused("signatures: malformed; get the release anew")
        return [bytes(key_id) for _, key_id, _ in blocks]


def build(
    network, version, start_s, *, revision=0, end_s=None, signed_at_s=None, boards=(),
    data=None, kind="slot", chunk_size=None, description=None, withdraw=False, now_s=None,
    window_s=0,
):  # fmt: skip
    """An unsigned release. network: 8 bytes; version: text; times: seconds since 1970; data: the
    payload's bytes; experimental where there is an end_s; window_s: of an image."""
    now_s = int(time.time()) if now_s is None else now_s
    signed_at_s = now_s if signed_at_s is None else signed_at_s
    check_signed_at(signed_at_s, now_s)
    if end_s is not None and end_s <= start_s:
        raise BadValue(
            f"end {time_text(end_s)} is not after start {time_text(start_s)}; give a later end"
        )
    if withdraw == (data is not None):
        what = "a withdrawal has no payload" if withdraw else "there is no payload; give one"
        raise BadValue(what)
    lines = [
        "Format: swdist-release 1",
        f"Network: {network.hex()}",
        f"Version: {version}",
        f"Revision: {revision}",
        f"Channel: {'stable' if end_s is None else 'experimental'}",
        f"Signed-At: {time_text(signed_at_s)}",
        f"Start: {time_text(start_s)}",
    ]
    if end_s is not None:
        lines.append(f"End: {time_text(end_s)}")
    lines.append(f"Boards: {' '.join(boards) or 'any'}")
    lines.append(f"Payload: {'none' if withdraw else kind}")
    if kind == "image" and not withdraw:
        lines.append(f"Window: {window_s}")
    index = b""
    if withdraw:
        lines.append("Withdrawn: yes")
    else:
        chunk_size = chunk_size or _chunk_size(len(data))
        index = make_index(data, chunk_size)
        lines.append(f"Payload-Size: {len(data)}")
        lines.append(f"Chunk-Size: {chunk_size}")
        lines.append(f"Index-SHA256: {hashlib.sha256(index).hexdigest()}")
    return Swd(_manifest(lines, description), b"", index, data or b"")


def build_keys(trust, publics, threshold, keep=(), *, description=None, now_s=None):
    """An unsigned release that brings the CA key set after the one in force. publics: keys.Public;
    keep: ids of the releases that stay trusted though the new keys have not signed them."""
    now_s = int(time.time()) if now_s is None else now_s
    count = len(publics)
    if len({p.key for p in publics}) != count or len({p.key_id for p in publics}) != count:
        raise BadValue("a key is given twice; give each once")
    if not 1 <= threshold <= count <= device_manifest.MAX_KEYS:
        raise BadValue(f"threshold {threshold} with {count} keys; give 1 to {count}")
    lines = [
        "Format: swdist-release 1",
        f"Network: {trust.network.hex()}",
        f"Version: 0.0.{len(trust.baked) + 1}",
        "Revision: 0",
        "Channel: stable",
        f"Signed-At: {time_text(now_s)}",
        f"Start: {time_text(now_s)}",
        "Boards: any",
        "Payload: keys",
        f"CA-Threshold: {threshold}",
    ]
    lines += [f"CA-Key-{n}: {p.text.splitlines()[1].decode()}" for n, p in enumerate(publics, 1)]
    ids = sorted({rid.hex() for rid in keep})
    for n in range(0, len(ids), KEEP_A_LINE):
        lines.append(f"CA-Keep-{n // KEEP_A_LINE + 1}: {' '.join(ids[n : n + KEEP_A_LINE])}")
    return Swd(_manifest(lines, description))


def _manifest(lines, description):
    """Its bytes; BadValue if a node would refuse them."""
    if description is not None:
        lines = [*lines, f"Description: {description}"]
    manifest = _padded("".join(line + "\n" for line in lines))
    parsed, why = device_manifest.parse(manifest)
    if parsed is None:
        raise BadValue(why.removeprefix("manifest: ") + "; give another value")
    return manifest


def check_signed_at(signed_at_s, now_s):
    """docs/protocol.md, section 6: Signed-At is a lower bound of the mesh time."""
    if signed_at_s > now_s + FUTURE_S:
        raise Refused(
            f"Signed-At {time_text(signed_at_s)} is in the future, and would set every clock of "
            f"the mesh forward; now it is {time_text(now_s)}: check this clock, and --signed-at"
        )


def _chunk_size(size):
    for chunk_size in CHUNK_SIZES[CHUNK_SIZES.index(CHUNK_SIZE) :]:
        if size <= chunk_size * device_manifest.MAX_CHUNKS:
            return chunk_size
    raise BadValue(f"a payload of {size} bytes is too large; the most is 134217728")


def _padded(text):
    """Old usign refuses lengths of 46 and 47 modulo 128."""
    if len(text) % 128 in (46, 47):
        text += "Padding: xx\n"
    return text.encode("ascii", "replace")


def make_index(data, chunk_size):
    pieces = range(0, len(data), chunk_size)
    return b"".join(hashlib.sha256(data[i : i + chunk_size]).digest() for i in pieces)


def sign(swd, secret_key):
    """The release with one more signature; unchanged if this key has signed it."""
    check_payload(swd)
    if secret_key.key_id in swd.signers:
        return swd
    return _with_block(swd, sigfile.block(b"Ed", secret_key.key_id, secret_key.sign(swd.manifest)))


def add_signature(swd, signature_file):
    """The same with the bytes of a signature file that signify or usign has made."""
    check_payload(swd)
    block = sigfile.read(signature_file)
    if block is None:
        raise Refused("it is not a signature file of signify or usign; make it anew")
    if bytes(usign.parse_signatures(block)[0][1]) in swd.signers:
        return swd
    return _with_block(swd, block)


def _with_block(swd, block):
    signed = replace(swd, signatures=swd.signatures + block)
    if usign.parse_signatures(signed.signatures) is None:
        raise Refused(f"it has {usign.MAX_BLOCKS} signatures already, the most that is allowed")
    return signed


def check_payload(swd):
    """Refuses a release whose index or payload is not the manifest's."""
    parsed = swd.parsed
    if len(swd.index) != 32 * parsed.chunks:
        raise Refused(f"index: {len(swd.index)} bytes, not {32 * parsed.chunks}; get it anew")
    if len(swd.payload) != parsed.payload_size:
        raise Refused(f"payload: {len(swd.payload)} bytes, not {parsed.payload_size}; get it anew")
    if not parsed.chunks:
        return
    if hashlib.sha256(swd.index).digest() != parsed.index_sha256:
        raise Refused("index: its digest is not the manifest's; get the release anew")
    found = make_index(swd.payload, parsed.chunk_size)
    if found != swd.index:
        bad = next(
            i for i in range(parsed.chunks) if found[32 * i :][:32] != swd.index[32 * i :][:32]
        )
        raise Refused(f"payload: chunk {bad} is not the index's; get the release anew")


def verify(swd, trust):
    """The device's checks, in its order and by its code. The verified release, or Refused."""
    if not swd.signatures:
        raise Refused("it has no signatures; add one with swdist release sign")
    release, why = trust.check(swd.manifest, swd.signatures)
    if release is None:
        raise Refused(why)
    check_payload(swd)
    release.complete = True
    return release


# --- the .swd file


def to_bytes(swd):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in MEMBERS:
            data = getattr(swd, name)
            if data:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def save(swd, path, *, overwrite=False):
    files.write(path, to_bytes(swd), overwrite=overwrite)


def load(path):
    """Reads a .swd file strictly. What it says is not verified yet."""
    data = files.read(path, _MAX_FILE_BYTES)
    try:
        swd = from_bytes(data)
        if len(swd.index) != 32 * swd.parsed.chunks or len(swd.payload) != swd.parsed.payload_size:
            check_payload(swd)
        swd.signers  # noqa: B018 - refuses malformed ones
    except Refused as e:
        raise Refused(f"{path}: {e}") from None
    return swd


def from_bytes(data):
    found = {}
    at = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                _check_member(data, member, at, found)
                begin = member.offset_data
                found[member.name] = data[begin : begin + member.size]
                at = member.offset_data + -(-member.size // _BLOCK) * _BLOCK
    except (tarfile.TarError, EOFError, OverflowError, UnicodeError):
        where = f"after '{list(found)[-1]}'" if found else "at its beginning"
        raise Refused(f"cut off or damaged {where}; get the file anew") from None
    if "manifest" not in found:
        raise Refused("not a release: it has no 'manifest'")
    if len(data) < at + 2 * _BLOCK or any(data[at:]):
        raise Refused(f"cut off or damaged after '{list(found)[-1]}'; get the file anew")
    return Swd(**found)


def _check_member(data, member, at, found):
    """Refuses what has not to come here."""
    head = data[at : at + _BLOCK]
    if member.offset_data != at + _BLOCK or head[257:263] != b"ustar\0":
        raise Refused("not a release: not a plain ustar archive")
    if member.name not in MEMBERS:
        raise Refused(f"not a release: it has a member {member.name[:40]!a}")
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        raise Refused(f"'{member.name}' is not a regular file")
    if found and MEMBERS.index(member.name) <= MEMBERS.index(list(found)[-1]):
        raise Refused(f"'{member.name}' comes twice or in the wrong place")
    if not 0 < member.size <= _LIMITS[member.name]:
        raise Refused(f"'{member.name}' has {member.size} bytes, which can't be")
    if member.offset_data + member.size > len(data):
        raise Refused(f"cut off in '{member.name}'; get the file anew")
