"""A release file into the store, and what a person reads of a node."""

import io

from logs import Log
from made import CHUNK, LETTERS, Made, Trust, manifest, packed
from wired import FS, PAYLOAD, Folder

from swdist import tool
from swdist.crypto.ucryptolib import sha256
from swdist.formats.bits import to_hex
from swdist.storage import inject
from swdist.storage.room import Room
from swdist.storage.store import Store
from swdist.trust.choose import Here

OTHER = Made([(PAYLOAD.data, PAYLOAD.data, 0)] + packed(b"a" * 65536, LETTERS), per_page=1)
MANIFEST = manifest("1.1.0", [PAYLOAD.line(boards="b"), OTHER.line(boards="c"), PAYLOAD.line()])
MB = 1 << 20


def payload(made):
    name = to_hex(made.pid)
    return ((name + "/index", made.index), (name + "/pieces", b"".join(made.pieces)))


MEMBERS = (("manifest", MANIFEST), ("signatures", b"good")) + payload(PAYLOAD) + payload(OTHER)


def swd(members=MEMBERS):
    """A ustar archive of them."""
    out = b""
    for name, data in members:
        head = bytearray(512)
        head[: len(name)] = name.encode()
        head[124:136] = b"%011o\0" % len(data)
        head[257:265] = b"ustar\x0000"
        head[148:156] = b"%06o\0 " % (sum(head) + 8 * 0x20)
        out += bytes(head) + data + bytes(-len(data) % 512)
    return out + bytes(1024)


def changed(name, data):
    return swd([(n, data if n == name else d) for n, d in MEMBERS])


def put(path, data, quota=MB):
    return inject.put(FS, path, Trust(), io.BytesIO(data), quota)


def loaded(path):
    store = Store(FS, path, Trust(), Log(), Room(Here("b"), (1, 0, 0), MB, MB))
    store.load()
    return store


def test_the_store_finds_all_of_it():
    with Folder() as path:
        release, why = put(path, swd())
        assert why is None and release.rid == sha256(MANIFEST)
        store = loaded(path)
        assert [r.rid for r in store.releases] == [release.rid]
        for made in (PAYLOAD, OTHER):
            assert store.held(made.pid).complete()
            files = FS.listdir(path + "/payloads/" + to_hex(made.pid))
            assert sorted(files) == ["index", "pages", "payload"]
        assert put(path, swd())[1].startswith("is in the store already")


def test_release_without_payload_is_taken_too():
    with Folder() as path:
        text = manifest("1.1.0", revision=3)
        assert put(path, swd((("manifest", text), ("signatures", b"good"))))[1] is None
        assert [r.rid for r in loaded(path).releases] == [sha256(text)]
        assert put(path + "2", swd((("manifest", text),) + MEMBERS[1:]))[1]


def test_what_is_not_whole_or_not_signed_leaves_nothing():
    short = swd()
    index, pieces = payload(OTHER)
    with Folder() as path:
        for data in (
            b"", b"garbage", bytes(512), bytes(2000), short[:600], short[:3000],
            short[: len(short) // 2],
            changed(pieces[0], pieces[1][:-1]), changed(pieces[0], pieces[1] + b"x"),
            changed(pieces[0], b"x" + pieces[1][1:]), changed(pieces[0], pieces[1][:-1] + b"x"),
            changed(index[0], index[1][:-1]), changed(index[0], b"x" + index[1][1:]),
            changed("signatures", b"x"), changed("manifest", MANIFEST + b"A\n"),
            swd(MEMBERS[:1]), swd(MEMBERS[:2]), swd(MEMBERS[:-1]), swd(MEMBERS + MEMBERS[:1]),
            swd(MEMBERS[1:]), swd(MEMBERS + (("more", b"x"),)),
            swd(MEMBERS + (("ab" * 32 + "/index", b"x"),)),
            swd(MEMBERS + (("../index", b"x"),)), swd(MEMBERS + payload(Made(b"unnamed"))),
            changed("signatures", bytes(40000)), changed("manifest", bytes(5000)),
        ):  # fmt: skip
            release, why = put(path, data)
            assert release is None and why and not FS.listdir(path + "/releases"), len(data)
            assert FS.listdir(path + "/payloads") == [], len(data)
        why = "payload of %d bytes, but option quota_kb allows 9999" % (
            PAYLOAD.stored + OTHER.stored
        )
        assert put(path, swd(), 9999)[1] == why


def test_pages_that_say_other_sizes_than_the_manifest_are_refused():
    line = OTHER.line(boards="c")
    for size, stored in ((65536 + 9999, OTHER.stored), (65536 + 10001, OTHER.stored)):
        fields = line.split(" ")
        fields[1:3] = [str(size), str(stored)]
        text = manifest("1.1.0", [" ".join(fields)])
        with Folder() as path:
            members = (("manifest", text), ("signatures", b"good")) + payload(OTHER)
            assert put(path, swd(members))[0] is None and FS.listdir(path + "/payloads") == []


def test_image_is_not_put_on_flash():
    text = manifest("1.1.0", [PAYLOAD.line("image", "b")], more="Window: 0\n")
    with Folder() as path:
        members = (("manifest", text), ("signatures", b"good")) + payload(PAYLOAD)
        assert put(path, swd(members))[1].startswith("has an image")
        assert FS.listdir(path) == []


def test_what_was_left_of_a_power_cut_is_no_hindrance_and_what_is_held_in_part_is_made_whole():
    with Folder() as path:
        left = path + "/releases/" + to_hex(sha256(MANIFEST)) + ".new"
        FS.mkdirs(left)
        FS.write_atomic(left + "/rubbish", b"x")
        PAYLOAD.write(FS, path + "/payloads", PAYLOAD.data[:CHUNK])
        assert put(path, swd())[1] is None
        assert FS.listdir(path + "/releases") == [to_hex(sha256(MANIFEST))]
        assert loaded(path).held(PAYLOAD.pid).complete()


def test_peers_and_times_are_written_as_people_do():
    v4 = bytes(10) + b"\xff\xff\x0a\x00\x01\x02\0\0\0\x07"
    assert tool.peer_text(to_hex(v4)) == "10.0.1.2%7"
    v6 = b"\xfe\x80" + bytes(6) + b"\x02\x11\x22\xff\xfe\x33\x44\x55" + b"\0\0\0\x03"
    assert tool.peer_text(to_hex(v6)) == "fe80::211:22ff:fe33:4455%3"
    assert tool.utc(1795489200) == "2026-11-24T03:00:00Z"
    assert (tool.ms(-1500), tool.ms(12), tool.ms(None)) == ("-1.500 ms", "0.012 ms", "?")
