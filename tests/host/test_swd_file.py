"""The .swd file: read as it was written, and strictly: who made it may have meant harm."""

import gzip
import hashlib
import io
import os
import subprocess
import tarfile
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_pack import quick
from test_release import NOW, build, signed
from typed import swdist

from swdist.formats import index as device_index
from swdist.formats import manifest as device_manifest
from swdist_host import files, keys, pack, release, release_text
from swdist_host.errors import Refused
from swdist_host.release import Source

KEYS = [keys.generate() for _ in range(2)]
SWD = signed(KEYS, payloads=[Source("slot", ("a",), b"hello" * 900), Source("slot", (), b"x" * 99)])
RAW = release.to_bytes(SWD)
MANIFEST = SWD.manifest.decode().splitlines()


def parts(swd):
    """[(name, bytes)] of a release's members."""
    found = [("manifest", swd.manifest)]
    found += [("signatures", swd.signatures)] if swd.signatures else []
    for packed in swd.payloads:
        found.append((f"{packed.pid.hex()}/index", packed.index))
        found.append((f"{packed.pid.hex()}/pieces", b"".join(packed.pieces)))
    return found


def archive(*members, form=tarfile.USTAR_FORMAT, kind=tarfile.REGTYPE, **fields):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as made:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.size = len(data) if kind == tarfile.REGTYPE else 0
            info.linkname = "" if kind == tarfile.REGTYPE else "manifest"
            for field, value in fields.items():
                setattr(info, field, value)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_file_comes_back_as_it_was_saved(tmp_path):
    none = signed(KEYS, payloads=(), withdraw=True)
    for swd in (build(), SWD, none, build(payloads=(), withdraw=True, end_s=NOW + 1)):
        release.save(swd, tmp_path / "r.swd", overwrite=True)
        assert release.load(tmp_path / "r.swd") == swd
    with pytest.raises(Refused, match="exists"):
        release.save(swd, tmp_path / "r.swd")


def test_same_release_gives_the_same_file():
    assert RAW == release.to_bytes(SWD) == archive(*parts(SWD))


def test_plain_tar_of_ustar_form_is_read(tmp_path):
    for name, data in parts(SWD):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    words = ["tar", "cf", "r.swd", "--format=ustar", *(name for name, _ in parts(SWD))]
    subprocess.run(words, cwd=tmp_path, check=True)
    assert release.load(tmp_path / "r.swd") == SWD


M, S, I1, P1, I2, P2 = parts(SWD)
BAD = [
    ("nothing in it", archive(), "it has no 'manifest'"),
    ("no manifest", archive(S, I1, P1, I2, P2), "in the place of 'manifest'"),
    ("no index", archive(M, S, P1, I2, P2), "/pieces' in the place of"),
    ("no pieces", archive(M, S, I1, I2, P2), "in the place of"),
    ("no last pieces", archive(M, S, I1, P1, I2), "it has no '[0-9a-f]*/pieces'"),
    ("no payload", archive(M, S), "it has no '[0-9a-f]*/index'"),
    ("one payload only", archive(M, S, I1, P1), "it has no"),
    ("another order", archive(M, S, I2, P2, I1, P1), "in the place of"),
    ("signatures later", archive(M, I1, P1, I2, P2, S), "a member 'signatures' too many"),
    ("a member twice", archive(M, M, S, I1, P1, I2, P2), "'manifest' in the place of"),
    ("signatures twice", archive(M, S, S, I1, P1, I2, P2), "'signatures' in the place of"),
    ("a payload twice", archive(M, S, I1, P1, I2, P2, I1, P1), "too many"),
    ("a member more", archive(M, S, I1, P1, I2, P2, ("more", b"x")), "a member 'more' too many"),
    ("a member before", archive(("a", b"x"), M, S, I1, P1, I2, P2), "'a' in the place"),
    ("a path", archive(("./manifest", M[1]), S, I1, P1, I2, P2), "'./manifest' in the place"),
    ("a path above", archive(M, S, ("../index", I1[1]), P1, I2, P2), "'../index' in the place"),
    ("an empty member", archive(M, ("signatures", b""), I1, P1, I2, P2), "has 0 bytes"),
    ("an empty index", archive(M, S, (I1[0], b""), P1, I2, P2), "has 0 bytes"),
    ("signatures that are none", archive(M, ("signatures", b"x\n"), I1, P1, I2, P2), "malformed"),
    ("a manifest too long", archive(("manifest", M[1] + bytes(5000)), S, I1, P1, I2, P2), "can't"),
    ("a manifest that is none", archive(("manifest", b"hello\n"), S), "manifest: first line"),
    ("pieces too long", archive(M, S, I1, (P1[0], P1[1] + b"x"), I2, P2), "behind its last chunk"),
    ("pieces too short", archive(M, S, I1, (P1[0], P1[1][:-1]), I2, P2), "is cut off"),
    ("pieces of the other", archive(M, S, I1, (P1[0], P2[1]), I2, P2), "payload 1: "),
    ("an index too long", archive(M, S, (I1[0], I1[1] + bytes(21)), P1, I2, P2), "its index"),
    ("an index of the other", archive(M, S, (I1[0], I2[1]), P1, I2, P2), "digest of its index"),
    ("pax", archive(M, S, I1, P1, form=tarfile.PAX_FORMAT, pax_headers={"a": "b"}), "place of"),
    ("gnu", archive(M, S, I1, P1, I2, P2, form=tarfile.GNU_FORMAT), "not a plain ustar"),
    ("a link", archive(M, S, (I1[0], b""), kind=tarfile.SYMTYPE), "not a regular file"),
    ("a hard link", archive(M, kind=tarfile.LNKTYPE), "not a regular file"),
    ("a folder", archive(M, kind=tarfile.DIRTYPE), "in the place of|not a regular file"),
    ("a device", archive(M, kind=tarfile.BLKTYPE), "not a regular file"),
    ("something behind", RAW + b"x", "damaged after"),
    ("zeros without end", RAW + bytes(40_000), "damaged after|longer than"),
    ("another archive behind", RAW + RAW, "damaged after|longer than"),
    ("compressed", gzip.compress(RAW), "not a plain ustar|cut off"),
    ("random", os.urandom(20480), "not a plain ustar"),
    ("zeros", bytes(20480), "it has no 'manifest'"),
    ("empty", b"", "cut off or damaged at its beginning"),
]


@pytest.mark.parametrize("data, why", [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_file_of_another_form_is_refused_in_one_line(tmp_path, data, why):
    (tmp_path / "r.swd").write_bytes(data)
    with pytest.raises(Refused, match=why) as refused:
        release.load(tmp_path / "r.swd")
    assert "\n" not in str(refused.value) and str(refused.value).count(str(tmp_path)) == 1
    with pytest.raises(Refused):
        release.from_bytes(data)


def mended(raw):
    """The same with the right checksum in its first header."""
    raw = bytearray(raw)
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    return bytes(raw)


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"5", b"6", b"7", b"L", b"S", b"V", b"x", b"Z"])
def test_member_that_is_no_regular_file_is_refused_also_with_a_size(kind):
    with pytest.raises(Refused):
        release.from_bytes(mended(RAW[:156] + kind + RAW[157:]))


@pytest.mark.parametrize("size", [b"\x80" + b"\xff" * 11, b"\xff" * 12, b"-1\0", b"77777777777\0"])
def test_sizes_that_can_not_be_are_refused(size):
    with pytest.raises(Refused):
        release.from_bytes(mended(RAW[:124] + size.ljust(12, b"\0") + RAW[136:]))


def test_bytes_hidden_behind_a_member_are_refused():
    at = 512 + len(SWD.manifest)
    assert RAW[at] == 0
    with pytest.raises(Refused, match="damaged after 'manifest'"):
        release.from_bytes(RAW[:at] + b"x" + RAW[at + 1 :])


def test_extended_headers_are_refused():
    out = archive(*parts(build()), form=tarfile.PAX_FORMAT, pax_headers={"comment": "hidden"})
    with pytest.raises(Refused):
        release.from_bytes(out)


def test_truncated_file_is_refused_at_every_length():
    whole = RAW.rindex(P2[1]) + -(-len(P2[1]) // 512) * 512 + 1024
    for n in range(0, whole, 13):
        with pytest.raises(Refused):
            release.from_bytes(RAW[:n])
    assert release.from_bytes(RAW[:whole]) == SWD


def test_truncated_file_names_the_member_it_is_cut_in(tmp_path):
    for name, data in parts(SWD):
        (tmp_path / "r.swd").write_bytes(RAW[: RAW.index(data) + len(data) // 2])
        done = swdist("release", "show", "r.swd", cwd=tmp_path)
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert name in done.stderr, done.stderr


def test_no_more_of_a_file_is_read_than_its_manifest_says(tmp_path, monkeypatch):
    limits = []
    read = files.read
    monkeypatch.setattr(
        files, "read", lambda path, limit: limits.append(limit) or read(path, limit)
    )
    with open(tmp_path / "r.swd", "wb") as f:
        f.write(RAW)
        f.truncate(1 << 33)  # a hole
    with pytest.raises(Refused, match="longer than"):
        release.load(tmp_path / "r.swd")
    most = device_index.MAX_INDEX_BYTES + device_index.MAX_PIECES * device_index.ENTRY_BYTES
    assert limits[0] < 2 * most + 200_000


def test_manifest_that_promises_too_much_is_refused_before_anything_is_read(tmp_path):
    most = device_manifest.MAX_PAYLOAD_BYTES
    line = SWD.manifest.decode().split("Payload-1: ")[1].splitlines()[0]
    for size, stored in ((most + 1, 99), (99, 100), (0, 0)):
        other = line.replace(" ".join(line.split()[1:3]), f"{size} {stored}")
        manifest = SWD.manifest.decode().replace(line, other).encode()
        (tmp_path / "r.swd").write_bytes(archive(("manifest", manifest), S, I1, P1, I2, P2))
        with pytest.raises(Refused, match="Payload-1 is not"):
            release.load(tmp_path / "r.swd")


def bomb(size):
    """A release of one payload of zeros, made as whoever means harm would: in no time."""
    shorter = pack.encoder.deflate_compress(bytes(65536), pack.LEVEL)
    page = pack._entry(shorter, 65536, device_index.DEFLATE) * 1024
    assert size % (1024 << 16) == 0
    pages = [page] * (size // (1024 << 16))
    digest = hashlib.sha256()
    for _ in range(size >> 16):
        digest.update(bytes(65536))
    table = b"".join(pack._entry(page, len(page), device_index.STORED) for page in pages)
    index = digest.digest() + table
    packed = pack.Packed(index, (*pages, *[shorter] * (size >> 16)), len(pages), size)
    line = f"Payload-1: slot {size} {packed.stored} {packed.pid.hex()} any"
    lines = [old for old in MANIFEST if not old.startswith("Payload-")] + [line]
    return release.Swd("".join(f"{line}\n" for line in lines).encode(), b"", (packed,))


def test_payload_that_unpacks_to_all_that_is_allowed_is_checked_in_little_room():
    swd = bomb(device_manifest.MAX_PAYLOAD_BYTES)
    data = release.to_bytes(swd)
    assert len(data) < 300_000
    tracemalloc.start()
    try:
        found = release.from_bytes(data)
        release.check_payloads(found)
        assert "134,217,728 bytes" in release_text.text(found, "r.swd")
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_file_that_would_unpack_to_gigabytes_is_refused_before_anything_is_unpacked(tmp_path):
    most = device_manifest.MAX_PAYLOAD_BYTES
    lines = [line for line in MANIFEST if not line.startswith("Payload-")]
    lines += [f"Payload-{n}: slot {most} 99 {n:064x} any" for n in range(1, 10)]
    manifest = "".join(f"{line}\n" for line in lines).encode()
    (tmp_path / "r.swd").write_bytes(archive(("manifest", manifest), S, I1, P1, I2, P2))
    with pytest.raises(Refused, match="its payloads would unpack to more than 1,073"):
        release.load(tmp_path / "r.swd")


@quick
@given(st.integers(0, len(RAW.rstrip(b"\0")) - 1), st.integers(1, 255))
def test_one_changed_byte_gives_the_same_payloads_or_is_refused(at, change):
    """Headers hold what nobody looks at: owners, times."""
    raw = bytearray(RAW)
    raw[at] ^= change
    try:
        found = release.from_bytes(bytes(raw))
    except Refused as e:
        assert "\n" not in str(e)
        return
    if found.manifest == SWD.manifest:
        assert found.payloads == SWD.payloads
