"""Manifests, signatures, keys, messages between the processes, numbers and times: what is written
is read back, and each cut or changed bit of a good one is noticed."""

import datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuzz import targets
from fuzz.given import KEYS, MANIFEST, NETWORK, SIGNATURES, TRUST
from fuzz.seeds import public_key, seeds
from swdist.formats import bits, ipc, manifest, usign
from swdist_host import sigfile, times

from .common import cut, flipped, quick

U16 = st.integers(0, 65535)
VERSION = st.tuples(U16, U16, U16)
SECONDS = st.integers(0, 253402300799)
WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789,._-", min_size=1, max_size=64).filter(
    lambda word: word != "any"
)
LINE = st.text([chr(c) for c in range(0x20, 0x7F)], min_size=1, max_size=512).filter(
    lambda text: text == text.strip(" ")
)
ID = st.binary(min_size=32, max_size=32)
LOT = st.binary(min_size=16, max_size=16)
KIND = st.sampled_from(("slot", "ipk", "apk", "image")) | st.text(
    "abcxyz019-", min_size=1, max_size=16
)
GROUP = st.text("abcxyz019_-", min_size=1, max_size=32)


# --- manifests


@st.composite
def payload(draw):
    size = draw(st.integers(1, manifest.MAX_PAYLOAD_BYTES))
    return {
        "kind": draw(KIND),
        "size": size,
        "stored": draw(st.integers(1, size)),
        "pid": draw(ID),
        "boards": draw(st.none() | st.lists(WORD, min_size=1, max_size=5, unique=True).map(tuple)),
    }


def line(p):
    words = (p["kind"], "%d" % p["size"], "%d" % p["stored"], p["pid"].hex())
    return " ".join((*words, *(p["boards"] or ("any",))))


@st.composite
def manifests(draw):
    """(its bytes, what must be read from them)."""
    says = {
        "network": draw(st.binary(min_size=8, max_size=8)),
        "version": draw(VERSION.filter(lambda v: v[:2] != (0, 0))),  # key sets have versions 0.0.N
        "revision": draw(U16),
        "signed_at_s": draw(SECONDS),
        "start_s": draw(st.integers(0, 253402300798)),
        "end_s": 0,
        "experimental": draw(st.booleans()),
        "withdrawn": draw(st.booleans()),
        "payloads": [],
        "description": draw(st.just("") | LINE),
    }
    fields = [
        ("Network", says["network"].hex()),
        ("Version", "%d.%d.%d" % says["version"]),
        ("Revision", "%d" % says["revision"]),
        ("Channel", "experimental" if says["experimental"] else "stable"),
        ("Signed-At", times.time_text(says["signed_at_s"])),
        ("Start", times.time_text(says["start_s"])),
    ]
    if says["experimental"]:
        says["end_s"] = draw(st.integers(says["start_s"] + 1, 253402300799))
        fields.append(("End", times.time_text(says["end_s"])))
        says["groups"] = draw(st.lists(GROUP, max_size=5, unique=True).map(tuple))
        says["share"] = draw(st.integers(0, 1000))
        if says["groups"]:
            fields.append(("Groups", " ".join(says["groups"])))
        if says["share"]:
            fields.append(("Share", "%d" % says["share"]))
    if says["description"]:
        fields.append(("Description", says["description"]))
    if says["withdrawn"]:
        fields.append(("Withdrawn", "yes"))
    else:
        payloads = st.lists(payload(), min_size=1, max_size=6, unique_by=lambda p: p["pid"])
        says["payloads"] = draw(payloads)
        fields += [("Payload-%d" % n, line(p)) for n, p in enumerate(says["payloads"], 1)]
        if any(p["kind"] == "image" for p in says["payloads"]):
            says["window_s"] = draw(st.integers(0, manifest.MAX_WINDOW_S))
            fields.append(("Window", "%d" % says["window_s"]))
    lines = ["%s: %s\n" % field for field in draw(st.permutations(fields))]
    return manifest.FORMAT + "".join(lines).encode(), says


@quick
@given(manifests())
def test_manifest_says_what_was_written(written):
    data, says = written
    targets.read_manifest(data)
    m, why = manifest.parse(data)
    assert why is None
    payloads = says.pop("payloads")
    assert {name: getattr(m, name) for name in says} == says
    assert [vars(p) for p in m.payloads] == payloads


def test_manifest_cut_anywhere_is_refused():
    for data in cut(MANIFEST):
        targets.read_manifest(data)
        assert manifest.parse(data)[0] is None, len(data)


def test_manifest_with_one_bit_changed_is_another_or_none():
    for bit, data in flipped(MANIFEST):
        targets.read_manifest(data)
        assert TRUST.check(data, SIGNATURES)[0] is None, bit


# --- signatures and keys


BLOCK = st.tuples(
    st.just(b"Ed"), st.binary(min_size=8, max_size=8), st.binary(min_size=64, max_size=64)
)
OTHER = st.tuples(
    st.binary(min_size=2, max_size=2).filter(lambda tag: tag != b"Ed"),
    st.binary(min_size=8, max_size=8),
    st.binary(min_size=1, max_size=200),
)


@quick
@given(st.lists(BLOCK | OTHER, min_size=1, max_size=usign.MAX_BLOCKS))
def test_signatures_are_read_as_written(blocks):
    data = b"".join(sigfile.block(*block) for block in blocks)
    assert usign.parse_signatures(data) == blocks
    for block in blocks[:1]:
        line = sigfile.block(*block).split(b"\n")[1]
        assert sigfile.read(usign.COMMENT + b"any\n" + line + b"\n") == sigfile.block(*block)


def test_signatures_with_one_bit_changed_or_cut_do_not_count():
    assert TRUST.check(MANIFEST, SIGNATURES)[0] is not None
    for bit, data in flipped(SIGNATURES):
        targets.read_signatures(data)
        assert TRUST.check(MANIFEST, data)[0] is None, bit
    for data in cut(SIGNATURES):
        assert TRUST.check(MANIFEST, data)[0] is None, len(data)


@quick
@given(st.binary(min_size=8, max_size=8), ID)
def test_public_key_is_read_as_written(key_id, key):
    data = public_key(key_id, key)
    assert usign.parse_public_key(data) == (b"Ed", key_id, key)
    assert usign.parse_public_key(data.decode()) == (b"Ed", key_id, key)


def test_public_key_cut_is_none_and_changed_is_another():
    key_id, key = sorted(KEYS.items())[0]
    data = public_key(key_id, key)
    body = len(usign.COMMENT) + 2  # a comment may say anything
    for short in cut(data):
        assert usign.parse_public_key(short) is None, len(short)
    for bit, other in flipped(data):
        targets.read_key(other)
        found = usign.parse_public_key(other)
        assert bit >> 3 < body or found != (b"Ed", key_id, key), bit


def test_ca_directory_with_one_bit_changed_is_refused_or_another():
    (good,) = seeds()["ca"]
    for _, data in flipped(good):
        targets.read_ca(data)
    for data in cut(good):
        targets.read_ca(data)


# --- ipc


@quick
@given(
    st.integers(0, (1 << 64) - 1),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(0, (1 << 31) - 1),
    st.booleans(),
    st.integers(0, 1000),
)
def test_time_is_read_as_told(counter, offset, error, synced, neighbours):
    data = ipc.pack_time(counter, offset, error, synced, neighbours)
    told = (ipc.TIME, counter, offset, error, synced, min(neighbours, 255))
    assert ipc.parse(data) == told
    dropped(data)


@quick
@given(ID, VERSION, U16, st.booleans(), st.lists(ID, max_size=20), st.booleans(), LOT)
@example(b"r" * 32, (1, 2, 3), 4, True, [b"f" * 32] * 17, True, bytes(16))  # one more than is told
def test_active_is_read_as_told(rid, version, revision, experimental, failed, on_hold, lot):
    data = ipc.pack_active(rid, version, revision, experimental, failed, on_hold, lot)
    failed = failed[: ipc.MAX_FAILED]
    told = (ipc.ACTIVE, rid, version, revision, experimental, failed, on_hold, lot)
    assert ipc.parse(data) == told
    dropped(data)


@quick
@given(U16, U16)
def test_pieces_that_are_asked_for_are_read_as_told(first, count):
    data = ipc.pack_own(first, count)
    assert ipc.parse(data) == (ipc.OWN, first, count)
    dropped(data)


def dropped(data):
    """No part of a message, nor a longer one, is a message. Changed bits change what is said."""
    assert all(ipc.parse(short) is None for short in cut(data))
    assert ipc.parse(data + b"\0") is None


def test_messages_with_one_bit_changed_are_read_or_dropped():
    for good in (
        ipc.pack_time(1, 2, 3, True, 4),
        ipc.pack_own(1, 2),
        ipc.pack_active(b"r" * 32, (1, 2, 3), 4, True, [], False, b"l" * 16),
    ):
        for _, data in flipped(good):
            targets.read_ipc(data)
        for data in cut(good):
            targets.read_ipc(data)


# --- numbers, times


@quick
@given(SECONDS)
@example(4107542400)  # 1 March 2100: not a leap year
@example(951782400)  # 29 February 2000: one
def test_time_is_read_as_written(seconds):
    text = times.time_text(seconds)
    known = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    assert text == known.isoformat() + "Z"
    assert bits.time_s(text) == seconds
    for n in range(len(text)):
        assert bits.time_s(text[:n]) is None


@quick
@given(st.text(max_size=24) | st.text("0123456789.af", max_size=12))
@example("01")
def test_small_forms_have_one_spelling(text):
    value = bits.number(text, 0, 1 << 40)
    assert value is None or str(value) == text
    seconds = bits.time_s(text)
    assert seconds is None or times.time_text(seconds) == text
    numbers = bits.version(text)
    assert numbers is None or bits.version_text(numbers) == text
    data = bits.from_hex(text, len(text) // 2)
    assert data is None or bits.to_hex(data) == text


@pytest.mark.parametrize("size", [8, 32])
def test_hex_is_read_as_written(size):
    @quick
    @given(st.binary(max_size=40))
    def read(data):
        assert bits.from_hex(bits.to_hex(data), size) == (data if len(data) == size else None)

    read()
    assert bits.from_hex(NETWORK.hex().upper(), 8) is None
