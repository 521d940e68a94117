"""Payloads as they are sent: what is packed comes back, the same everywhere, and nothing else is
believed."""

import hashlib
import io
import random
import struct
import subprocess
import sys
import tarfile
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swdist.formats import index as device_index
from swdist.formats.index import DEFLATE, ENTRY_BYTES, HEAD_BYTES, STORED
from swdist_host import pack, payload, ustar
from swdist_host.errors import Refused

quick = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def words(size, seed=1):
    """Bytes that pack well, but never the same for long."""
    rand = random.Random(seed)
    found = b"".join(b"%d " % rand.randrange(999) for _ in range(size // 3))
    return found[:size]


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


# --- there and back


SHORT = st.binary(min_size=1, max_size=200)
LONG = st.builds(
    lambda seed, size, pieces: b"".join([words(size, seed), *pieces, noise(size // 2, seed)]),
    st.integers(0, 99),
    st.integers(9, 30_000),
    st.lists(
        st.builds(lambda b, n: b * n, st.binary(min_size=1, max_size=9), st.integers(0, 9999))
    ),
)


@quick
@given(SHORT | LONG, st.booleans())
def test_what_is_packed_comes_back(data, deflate):
    packed = pack.pack(data, deflate)
    assert pack.unpack(packed.index, packed.pieces) == packed.inflated() == data
    assert packed == pack.split(packed.index, b"".join(packed.pieces))
    assert packed.size == len(data) and 1 <= packed.stored <= packed.size
    assert packed.whole == len(packed.index) + sum(map(len, packed.pieces))
    assert packed.pid == hashlib.sha256(packed.index).digest()
    assert device_index.pages(packed.index) == (packed.pages, len(packed.pieces) - packed.pages)


@quick
@given(st.binary(min_size=1, max_size=3000) | LONG)
def test_deflated_chunk_is_one_stream_that_ends_where_the_chunk_ends(data):
    packed = pack.pack(data)
    entries = b"".join(packed.pieces[: packed.pages])
    for n, chunk in enumerate(packed.pieces[packed.pages :]):
        sent, size, encoding = device_index.lengths(entries, n * ENTRY_BYTES)
        assert sent == len(chunk)
        if encoding == STORED:
            assert sent == size
            continue
        assert encoding == DEFLATE and sent < size
        bits = max(9, (size - 1).bit_length())
        stream = zlib.decompressobj(-min(bits, 15))
        # Fed byte by byte: else zlib takes a window that is too small.
        found = b"".join(stream.decompress(chunk[i : i + 1]) for i in range(len(chunk)))
        assert len(found) == size and stream.eof and not stream.unused_data


def test_chunks_of_an_image_are_the_image():
    data = words(300_000)
    packed = pack.pack(data, deflate=False)
    assert packed.is_plain and b"".join(packed.pieces[packed.pages :]) == data
    assert not pack.pack(data).is_plain


# --- how it is cut


def tree(tmp_path, change=lambda folder: None):
    folder = tmp_path / "tree"
    for n in range(300):
        path = folder / f"d{n % 7}/file{n}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(words(200 + 37 * n % 3000, n))
    (folder / "large").write_bytes(words(90_000))
    change(folder)
    return payload.from_dir(folder)


def sent(old, new):
    """(bytes of index and pages, bytes of chunks) that who holds the old one lacks."""
    held = set(old.pieces)
    lacking = [(n, len(piece)) for n, piece in enumerate(new.pieces) if piece not in held]
    index = len(new.index) + sum(size for n, size in lacking if n < new.pages)
    return index, sum(size for n, size in lacking if n >= new.pages)


def edit(folder):
    (folder / "d3/file150").write_bytes(b"other\n" * 300)


def insert(folder):
    (folder / "d3/aaa").write_bytes(words(2000, 1000))


def delete(folder):
    (folder / "d3/file150").unlink()


def edit_large(folder):
    data = (folder / "large").read_bytes()
    (folder / "large").write_bytes(data[:40_000] + b"a few bytes more" + data[40_000:])


@pytest.mark.parametrize("change", [edit, insert, delete, edit_large])
def test_change_in_one_file_sends_few_chunks_and_pages(tmp_path, change):
    old = pack.pack(tree(tmp_path / "old"))
    new = pack.pack(tree(tmp_path / "new", change))
    index, chunks = sent(old, new)
    assert index + chunks < old.whole / 6
    assert index < old.whole / 100


def test_bytes_inserted_in_an_image_move_nothing_else():
    data = noise(2_000_000)
    new = data[:1_000_000] + b"inserted" + data[1_000_000:]
    index, chunks = sent(pack.pack(data, False), pack.pack(new, False))
    assert chunks < 40_000 and index < 4_000


@pytest.mark.parametrize("size", [1, 16 << 20, 100_000_000, 128 << 20])
def test_chunks_grow_with_the_payload(size):
    assert size // pack._least(size) <= 8192
    assert 4 * pack._least(size) <= device_index.MAX_PIECE_BYTES


@pytest.mark.parametrize("count", [1, 500, 8_192, 30_000])
def test_pages_are_neither_too_many_nor_too_long(count):
    # More than 30,000 chunks has no payload: an archive of 128 MiB has none below 4.5 KiB.
    pages = list(pack._pages([noise(16, n) + bytes(5) for n in range(count)]))
    assert sum(map(len, pages)) == count * ENTRY_BYTES
    assert HEAD_BYTES + ENTRY_BYTES * len(pages) <= device_index.MAX_INDEX_BYTES
    assert max(map(len, pages)) <= device_index.MAX_PAGE_BYTES


def test_chunks_of_an_archive_are_neither_too_many_nor_too_long(tmp_path):
    data = tree(tmp_path)
    ends = pack.cuts(data)
    sizes = [end - begin for begin, end in zip([0, *ends], ends)]
    assert sum(sizes) == len(data) and max(sizes) <= pack.LARGE
    assert 2048 < len(data) / len(sizes) < 16384


def test_cuts_of_what_is_no_archive_have_their_lengths():
    ends = pack.cuts(noise(3_000_000))
    sizes = [end - begin for begin, end in zip([0, *ends], ends)]
    assert all(pack.IN_FILES <= size <= 4 * pack.IN_FILES for size in sizes[:-1])
    assert 3500 < sum(sizes) / len(sizes) < 4700


@quick
@given(st.binary(max_size=2000), st.integers(0, 600), st.binary(min_size=1, max_size=4))
def test_archive_with_any_damage_is_packed_as_bytes(tail, at, damage):
    info = tarfile.TarInfo("name")
    info.size = 700
    data = bytearray(info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024) + tail)
    data[at : at + len(damage)] = damage
    packed = pack.pack(bytes(data))
    assert packed.inflated() == bytes(data)


def test_members_and_contents_of_an_archive(tmp_path):
    data = tree(tmp_path)
    names = sorted(ustar.contents(data))
    assert len(names) == 301 and "d3/file150" in names and "large" in names
    assert ustar.members(b"no archive" * 100) == []


# --- the same everywhere


def test_same_payload_gives_the_same_bytes_in_another_process(tmp_path):
    data = tree(tmp_path)
    (tmp_path / "data").write_bytes(data)
    code = (
        "import sys; from pathlib import Path; from swdist_host import pack;"
        "p = pack.pack(Path(sys.argv[1]).read_bytes());"
        "sys.stdout.buffer.write(p.index + b''.join(p.pieces))"
    )
    packed = pack.pack(data)
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "data")],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        )
        assert done.stdout == packed.index + b"".join(packed.pieces)


BYTES = "a5f484559cba87ca845f4f415d8cf442e4fde1d620cbcc015812dda7aa109d5b"
PLAIN = "1bd7565a1e942b6c43e1bfe7ec7fd4e227bc2d4259d9bbd6e58d07f6d52db643"
ARCHIVE = "68c9618a30d9b9f137415f6ce311d137fcf3d9afe6b251264845ddb7224431ef"


def test_same_payload_gives_the_same_bytes_on_every_machine():
    """If this fails after a change on purpose, say so in the changelog: of its next release each
    mesh is sent all."""
    digests = [hashlib.sha256(b"%d" % n).digest() for n in range(4000)]
    data = b"".join(digest[:20] + digest[:12].hex().encode() for digest in digests)
    assert pack.pack(data).pid.hex() == BYTES
    assert pack.pack(data, deflate=False).pid.hex() == PLAIN
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as out:
        for n, digest in enumerate(digests[:200]):
            info = tarfile.TarInfo(f"folder{n // 20}/{digest[:3].hex()}")
            info.size = n * n
            out.addfile(info, io.BytesIO(data[: n * n]))
    assert pack.pack(archive.getvalue()).pid.hex() == ARCHIVE


# --- what is refused


def entry(piece, size=None, encoding=STORED):
    size = len(piece) if size is None else size
    digest = hashlib.sha256(piece).digest()[:16]
    return digest + struct.pack("!HHB", len(piece) & 0xFFFF, size & 0xFFFF, encoding)


def made(data, *chunks):
    """(index, pieces) with one page. chunks: (as sent, bytes inflated, encoding)."""
    page = b"".join(entry(*chunk) for chunk in chunks)
    return hashlib.sha256(data).digest() + entry(page), [page, *(chunk[0] for chunk in chunks)]


def raw(data, flush=zlib.Z_FINISH):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush(flush)


DATA = words(3000)


def test_what_another_host_packs_is_taken():
    index, pieces = made(DATA, (raw(DATA), len(DATA), DEFLATE))
    assert pack.unpack(index, pieces) == DATA
    index, pieces = made(bytes(65536), (bytes(65536), 65536, STORED))
    assert pack.unpack(index, pieces) == bytes(65536)


@pytest.mark.parametrize(
    "chunk, why",
    [
        ((raw(DATA), len(DATA) + 1, DEFLATE), "does not inflate to 3001"),
        ((raw(DATA), len(DATA) - 1, DEFLATE), "does not inflate to 2999"),
        ((raw(DATA) + b"x", len(DATA), DEFLATE), "does not inflate"),
        ((raw(DATA)[:-1], len(DATA), DEFLATE), "does not inflate"),
        ((raw(DATA, zlib.Z_SYNC_FLUSH), len(DATA), DEFLATE), "does not inflate"),
        ((zlib.compress(DATA, 9), len(DATA), DEFLATE), "does not inflate"),
        ((b"\xff" * 100, len(DATA), DEFLATE), "does not inflate"),
        ((raw(bytes(60_000_000))[:60_000], 65536, DEFLATE), "does not inflate to 65536"),
        ((DATA, len(DATA), DEFLATE), "contradicts itself"),
        ((DATA[:-1], len(DATA), STORED), "contradicts itself"),
        ((DATA, len(DATA), 2), "encoding, 2, that is not known"),
        ((DATA[:-1] + b"!", len(DATA), STORED), "its digest is not the index's"),
    ],
)
def test_chunk_that_is_not_what_it_should_be_is_refused(chunk, why):
    with pytest.raises(Refused, match=why):
        pack.unpack(*made(DATA, chunk))


def test_more_than_a_payload_may_have_is_refused_before_it_is_inflated():
    bomb = raw(bytes(65536))
    index, pieces = made(b"", *[(bomb, 65536, DEFLATE)] * 2049)
    with pytest.raises(Refused, match="134283264 bytes inflated; the most is 134217728"):
        pack.unpack(index, pieces)


@pytest.mark.parametrize(
    "index",
    [b"", bytes(32), bytes(52), bytes(54), bytes(32 + 21 * 1559), bytes(32 + 21),
     bytes(32) + entry(bytes(20)), bytes(32) + entry(bytes(21), 42),
     bytes(32) + entry(bytes(21), 21, DEFLATE)],
)  # fmt: skip
def test_what_is_no_index_is_refused(index):
    with pytest.raises(Refused):
        pack.unpack(index, [bytes(21)])


PACKED = pack.pack(words(20_000) + noise(5_000))


@quick
@given(st.data())
def test_one_changed_byte_or_another_length_is_refused(data):
    packed = PACKED
    blob = bytearray(b"".join(packed.pieces))
    at = data.draw(st.integers(0, len(blob) - 1))
    blob[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Refused):
        pack.split(packed.index, bytes(blob))
    whole = b"".join(packed.pieces)
    for other in (whole[:at], whole + b"x"):
        with pytest.raises(Refused):
            pack.split(packed.index, other)


@quick
@given(st.binary(max_size=100), st.lists(st.binary(max_size=50), max_size=3))
def test_any_bytes_are_refused_in_one_line(index, pieces):
    with pytest.raises(Refused) as refused:
        pack.unpack(index, pieces)
    assert "\n" not in str(refused.value)
