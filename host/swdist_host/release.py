"""Releases on a host: building, signing, and the .swd file (docs/protocol.md, section 2)."""

import hashlib
import io
import tarfile
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from swdist.formats import index as device_index
from swdist.formats import manifest as device_manifest
from swdist.formats import usign
from swdist.formats.bits import version_text
from swdist.machines.clock import TIME_MAX_US
from swdist_host import dates, files, keys, pack, sigfile, ustar
from swdist_host.errors import BadValue, Refused
from swdist_host.times import time_text

KEEP_A_LINE = 7  # ids that fit in a value of 512 characters
BOARDS_BYTES = 400  # of the names in one line; as many as that fit beside the rest of the value
MAX_UNPACKED_BYTES = 1 << 30  # of all payloads: who sends a file else decides how long it takes
_PAGES_BYTES = device_index.MAX_PIECES * device_index.ENTRY_BYTES  # of one payload, at most


class Source(NamedTuple):
    """What a payload is made of. boards: names; none for any board."""

    kind: str
    boards: tuple
    data: bytes


@dataclass(frozen=True)
class Swd:
    """A release as bytes. signatures: b"" while it is unsigned; payloads: a pack.Packed for each
    payload id, in the order of the first line that has it."""

    manifest: bytes
    signatures: bytes = b""
    payloads: tuple = field(default=(), repr=False)

    @property
    def rid(self):
        """The release id, 32 bytes."""
        return hashlib.sha256(self.manifest).digest()

    @cached_property
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

    def packed(self, line):
        """The Packed of a manifest's line."""
        return next(packed for packed in self.payloads if packed.pid == line.pid)


# --- building


def build(
    network, version, start_s, payloads=(), *, revision=0, end_s=None, signed_at_s=None,
    groups=(), share=0, window_s=0, description=None, withdraw=False, horizon_s=0, now_s=None,
):  # fmt: skip
    """An unsigned release. network: 8 bytes; version: text; times: seconds since 1970; payloads:
    Source, in the order in which nodes look for theirs; experimental where there is an end_s;
    groups and share (permille): its audience; window_s: of images; horizon_s: of a withdrawal that
    is a word on time."""
    if withdraw == bool(payloads):
        what = "a withdrawal has no payload" if withdraw else "there is no payload; give one"
        raise BadValue(what)
    lines, packed = _payloads(payloads)
    lines = ["Withdrawn: yes"] if withdraw else lines
    if any(kind == "image" for kind, _, _ in payloads):
        lines.append(f"Window: {window_s}")
    lines += [f"Clock-Horizon: {horizon_s}"] if horizon_s else []
    lines += [f"Groups: {' '.join(groups)}"] if groups else []
    lines += [f"Share: {share}"] if share else []
    head = _head(network, version, revision, start_s, end_s, signed_at_s, now_s)
    return Swd(_manifest([*head, *lines], description), b"", packed)


def promote(swd, start_s, *, version=None, revision=None, signed_at_s=None, description=None,
            now_s=None):  # fmt: skip
    """An unsigned stable release with the payloads of an experimental one, as they are. version:
    text; of the same one it is the next revision unless another is given."""
    old = swd.parsed
    if not old.experimental or not old.payloads:
        raise BadValue("only an experimental release with payloads can be promoted")
    if version is None:
        version = version_text(old.version)
    if revision is None:
        revision = old.revision + 1 if version == version_text(old.version) else 0
    lines = [line for line in swd.manifest.decode("ascii").splitlines() if _is_payload(line)]
    head = _head(old.network, version, revision, start_s, None, signed_at_s, now_s)
    return Swd(_manifest([*head, *lines], description), b"", swd.payloads)


def _is_payload(line):
    return line.startswith(("Payload-", "Window: "))


def build_keys(trust, publics, threshold, keep=(), *, description=None, now_s=None):
    """An unsigned release that brings the CA key set after the one in force. publics: keys.Public;
    keep: ids of the releases that stay trusted though the new keys have not signed them."""
    now_s = int(time.time()) if now_s is None else now_s
    keys.check_set(publics, threshold)
    lines = _head(trust.network, f"0.0.{len(trust.baked) + 1}", 0, now_s, None, now_s, now_s)
    lines.append(f"CA-Threshold: {threshold}")
    lines += [f"CA-Key-{n}: {usign.second_line(p.text).decode()}" for n, p in enumerate(publics, 1)]
    ids = sorted({rid.hex() for rid in keep})
    for n in range(0, len(ids), KEEP_A_LINE):
        lines.append(f"CA-Keep-{n // KEEP_A_LINE + 1}: {' '.join(ids[n : n + KEEP_A_LINE])}")
    return Swd(_manifest(lines, description))


def _head(network, version, revision, start_s, end_s, signed_at_s, now_s):
    """The lines that every release has."""
    now_s = int(time.time()) if now_s is None else now_s
    signed_at_s = now_s if signed_at_s is None else signed_at_s
    check_signed_at(signed_at_s, now_s)
    if end_s is not None and end_s <= start_s:
        raise BadValue(
            f"end {time_text(end_s)} is not after start {time_text(start_s)}; give a later end"
        )
    lines = [
        "Format: swdist-release 1",
        f"Network: {network.hex()}",
        f"Version: {version}",
        f"Revision: {revision}",
        f"Channel: {'stable' if end_s is None else 'experimental'}",
        f"Signed-At: {time_text(signed_at_s)}",
        f"Start: {time_text(start_s)}",
    ]
    return lines if end_s is None else [*lines, f"End: {time_text(end_s)}"]


def _payloads(sources):
    """(the manifest's lines, a Packed for each payload id)"""
    lines = []
    found = {}
    for kind, boards, data in sources:
        size = len(data)
        if not 0 < size <= device_manifest.MAX_PAYLOAD_BYTES:
            most = device_manifest.MAX_PAYLOAD_BYTES
            raise BadValue(f"a payload of {size} bytes; give one of 1 to {most}")
        packed = pack.pack(data, deflate=kind != "image")
        found.setdefault(packed.pid, packed)
        what = f"{kind} {size} {packed.stored} {packed.pid.hex()}"
        for names in _board_lines(boards):
            lines.append(f"Payload-{len(lines) + 1}: {what} {names}")
    return lines, tuple(found.values())


def _board_lines(boards):
    """The names of a payload's boards, in as many lines as they need."""
    lines = []
    for board in boards or ("any",):
        longer = [*lines[-1], board] if lines else []
        if 0 < len(longer) <= device_manifest.MAX_BOARDS and len(" ".join(longer)) <= BOARDS_BYTES:
            lines[-1] = longer
        else:
            lines.append([board])
    return [" ".join(line) for line in lines]


def _manifest(lines, description):
    """Its bytes; BadValue if a node would refuse them."""
    if description is not None:
        if not (description.isascii() and description.isprintable()):
            raise BadValue("a description is one line of printable ASCII; no other letters travel")
        lines = [*lines, f"Description: {description}"]
    broken = next((line for line in lines if not line.isprintable()), None)
    if broken is not None:  # it would begin a line of its own, a critical key perhaps
        raise BadValue(f"{broken.split(':')[0]}: there is a control character in its value")
    manifest = _padded("".join(line + "\n" for line in lines))
    parsed, why = device_manifest.parse(manifest)
    if parsed is not None and _unpacked(parsed) > MAX_UNPACKED_BYTES:
        why = f"manifest: payloads of more than {MAX_UNPACKED_BYTES:,} bytes in all"
        parsed = None
    if parsed is None:
        raise BadValue(why.removeprefix("manifest: ") + "; give another value")
    return manifest


def _padded(text):
    """Old usign refuses lengths of 46 and 47 modulo 128."""
    if len(text) % 128 in (46, 47):
        text += "Padding: xx\n"
    return text.encode("ascii", "replace")


def check_signed_at(signed_at_s, now_s):
    """docs/protocol.md, section 5.5: Signed-At is a lower bound of the mesh time."""
    if signed_at_s > now_s + dates.FUTURE_S:
        raise Refused(
            f"Signed-At {time_text(signed_at_s)} is in the future, and would set every clock of "
            f"the mesh forward; now it is {time_text(now_s)}: check this clock, and --signed-at"
        )


def check_range(parsed):
    """What is later than the mesh can count would take each node's clock away from it."""
    if parsed.signed_at_s * 1_000_000 >= TIME_MAX_US:
        raise Refused(
            f"Signed-At {time_text(parsed.signed_at_s)} is no time for nodes, whose clocks end at "
            f"{time_text(TIME_MAX_US // 1_000_000)}; build it anew by a clock that is right"
        )


# --- signing and verifying


def sign(swd, secret_key):
    """The release with one more signature; unchanged if this key has signed it."""
    check_range(swd.parsed)
    check_payloads(swd)
    if secret_key.key_id in swd.signers:
        return swd
    return _with_block(swd, sigfile.block(b"Ed", secret_key.key_id, secret_key.sign(swd.manifest)))


def add_signature(swd, signature_file):
    """The same with the bytes of a signature file that signify or usign has made."""
    check_range(swd.parsed)
    check_payloads(swd)
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


def check_payloads(swd):
    """Refuses a release with a payload that is not the manifest's, or that no node could unpack."""
    for n, (line, packed) in enumerate(zip(_distinct(swd.parsed), swd.payloads, strict=True), 1):
        try:
            _check_sizes(line, packed)
            packed.check()
        except Refused as e:
            raise Refused(f"payload {n}: {e}; get the release anew") from None


def _distinct(parsed):
    """The first line of each payload id."""
    found = {}
    for line in parsed.payloads:
        found.setdefault(line.pid, line)
    return list(found.values())


def _unpacked(parsed):
    """Bytes of all payloads, inflated."""
    return sum(line.size for line in _distinct(parsed))


def _check_sizes(line, packed):
    found, said = (packed.size, packed.stored), (line.size, line.stored)
    if found != said:
        raise Refused(
            f"{found[0]} bytes, {found[1]} as they are sent; the manifest says {said[0]}, {said[1]}"
        )


def verify(swd, trust):
    """The device's checks, in its order and by its code. The verified release, or Refused."""
    if not swd.signatures:
        raise Refused("it has no signatures; add one with swdist release sign")
    release, why = trust.check(swd.manifest, swd.signatures)
    if release is None:
        raise Refused(why)
    check_range(swd.parsed)
    check_payloads(swd)
    return release


# --- the .swd file


def to_bytes(swd):
    parts = [("manifest", swd.manifest), ("signatures", swd.signatures)]
    for packed in swd.payloads:
        parts.append((f"{packed.pid.hex()}/index", packed.index))
        parts.append((f"{packed.pid.hex()}/pieces", b"".join(packed.pieces)))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in parts:
            if data:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def save(swd, path, *, overwrite=False):
    files.write(path, to_bytes(swd), overwrite=overwrite)


def load(path):
    """Reads a .swd file strictly. What it says is not verified yet."""
    try:
        begin = files.head(path, ustar.BLOCK + device_manifest.MAX_BYTES)
        return from_bytes(files.read(path, _most_bytes(begin)))
    except Refused as e:
        raise Refused(f"{path}: {str(e).removeprefix(f'{path}: ')}") from None


def _most_bytes(data):
    """How long the file may be that begins so."""
    manifest = ustar.Reader(data).take("manifest", device_manifest.MAX_BYTES)
    sizes = [device_manifest.MAX_BYTES, usign.MAX_BYTES]
    for line in _distinct(Swd(manifest).parsed):
        sizes += [device_index.MAX_INDEX_BYTES, _PAGES_BYTES + line.stored]
    return sum(size + 2 * ustar.BLOCK for size in sizes) + 2 * ustar.BLOCK + tarfile.RECORDSIZE


def from_bytes(data):
    reader = ustar.Reader(data)
    swd = Swd(reader.take("manifest", device_manifest.MAX_BYTES))
    lines = _distinct(swd.parsed)
    if _unpacked(swd.parsed) > MAX_UNPACKED_BYTES:
        raise Refused(f"its payloads would unpack to more than {MAX_UNPACKED_BYTES:,} bytes")
    if reader.name() == "signatures":
        swd = replace(swd, signatures=reader.take("signatures", usign.MAX_BYTES))
        swd.signers  # noqa: B018 - refuses malformed ones
    payloads = []
    for n, line in enumerate(lines, 1):
        name = line.pid.hex()
        index = reader.take(f"{name}/index", device_index.MAX_INDEX_BYTES)
        pieces = reader.take(f"{name}/pieces", _PAGES_BYTES + line.stored)
        try:
            payloads.append(_payload(line, index, pieces))
        except Refused as e:
            raise Refused(f"payload {n}: {e}; get the release anew") from None
    reader.end()
    return replace(swd, payloads=tuple(payloads))


def _payload(line, index, pieces):
    if hashlib.sha256(index).digest() != line.pid:
        raise Refused("the digest of its index is not the manifest's")
    packed = pack.split(index, pieces)
    _check_sizes(line, packed)
    return packed
