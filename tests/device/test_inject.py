"""A release file into the store, and what a person reads of a node."""

import io
from binascii import unhexlify

from wired import FS, INDEX, MANIFEST, PAYLOAD, SIGNATURES, SIGNED, Folder

from swdist import inject, tool, verify
from swdist.bits import to_hex
from swdist.store import Store
from swdist.ucryptolib import sha256

MEMBERS = (
    ("manifest", MANIFEST), ("signatures", SIGNATURES), ("index", INDEX), ("payload", PAYLOAD),
)  # fmt: skip
MB = 1 << 20


def trust():
    keys = {unhexlify(i): unhexlify(k) for i, k in SIGNED["keys"].items()}
    return verify.Trust(keys, SIGNED["threshold"], unhexlify(SIGNED["network"]))


def swd(members=MEMBERS):
    """A ustar archive of them."""
    out = b""
    for name, data in members:
        head = bytearray(512)
        head[: len(name)] = name.encode()
        head[124:136] = b"%011o\0" % len(data)
        head[257:263] = b"ustar\0"
        out += bytes(head) + data + bytes(-len(data) % 512)
    return out + bytes(1024)


def changed(name, data):
    return swd([(n, data if n == name else d) for n, d in MEMBERS])


def put(path, data, quota=MB):
    return inject.put(FS, path, trust(), io.BytesIO(data), quota)


def test_the_store_finds_all_of_it():
    with Folder() as path:
        release, why = put(path, swd())
        assert why is None and release.rid == sha256(MANIFEST)
        store = Store(FS, path, trust(), None, MB)
        store.load()
        assert [r.rid for r in store.releases] == [release.rid] and store.releases[0].complete
        assert put(path, swd())[1].startswith("is in the store already")


def test_what_is_not_whole_or_not_signed_leaves_nothing():
    short = swd()
    with Folder() as path:
        for data in (
            b"", b"garbage", bytes(512), bytes(2000), short[:600], short[:3000],
            changed("payload", PAYLOAD[:-1]), changed("payload", b"x" + PAYLOAD[1:]),
            changed("index", INDEX[:-1]), changed("index", b"x" + INDEX[1:]),
            changed("signatures", b"x"), changed("manifest", MANIFEST + b"A: b\n"),
            swd(MEMBERS[:1]), swd(MEMBERS[:2]), swd(MEMBERS + MEMBERS[:1]),
            swd(MEMBERS + (("more", b"x"),)),
            changed("signatures", SIGNED["cases"][4]["signatures"].encode()),
            changed("signatures", bytes(40000)),
        ):  # fmt: skip
            release, why = put(path, data)
            assert release is None and why, len(data)
            assert FS.listdir(path) == []
        assert (
            put(path, swd(), 9999)[1] == "payload of 10000 bytes, but option quota_kb allows 9999"
        )


def test_what_was_left_of_a_power_cut_is_no_hindrance():
    with Folder() as path:
        left = path + "/" + to_hex(sha256(MANIFEST)) + ".new"
        FS.mkdirs(left)
        FS.write_atomic(left + "/rubbish", b"x")
        assert put(path, swd())[1] is None
        assert sorted(FS.listdir(path + "/" + to_hex(sha256(MANIFEST)))) == sorted(
            [name for name, _ in MEMBERS]
        )


def test_peers_and_times_are_written_as_people_do():
    v4 = bytes(10) + b"\xff\xff\x0a\x00\x01\x02\0\0\0\x07"
    assert tool.peer_text(to_hex(v4)) == "10.0.1.2%7"
    v6 = b"\xfe\x80" + bytes(6) + b"\x02\x11\x22\xff\xfe\x33\x44\x55" + b"\0\0\0\x03"
    assert tool.peer_text(to_hex(v6)) == "fe80::211:22ff:fe33:4455%3"
    assert tool.utc(1795489200) == "2026-11-24T03:00:00Z"
    assert (tool.ms(-1500), tool.ms(12), tool.ms(None)) == ("-1.500 ms", "0.012 ms", "?")
