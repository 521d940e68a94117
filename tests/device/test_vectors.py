"""The golden vectors of docs/protocol.md, replayed byte for byte."""

import json
from binascii import unhexlify
from struct import unpack_from

from swdist.crypto.ucryptolib import sha256
from swdist.formats import datagram, index, manifest
from swdist.formats.bits import to_hex
from swdist.trust import verify


def load(name):
    at = __file__.rfind("/")
    folder = __file__[: at + 1] if at >= 0 else ""
    with open(folder + "../vectors/" + name + ".json") as f:
        return json.load(f)


def test_manifests_are_accepted_and_refused_as_the_vectors_say():
    for case in load("manifests"):
        m, why = manifest.parse(unhexlify(case["hex"]))
        assert (m is not None) == case["ok"], (case["name"], why)
        assert m is None or to_hex(m.rid) == case["id"], case["name"]
        assert (why is None) == case["ok"], case["name"]


def test_manifest_fields_are_read():
    by_name = {c["name"]: unhexlify(c["hex"]) for c in load("manifests")}
    m, _ = manifest.parse(by_name["stable"])
    assert (m.version, m.revision, m.experimental, m.withdrawn) == ((1, 1, 0), 0, False, False)
    assert (m.signed_at_s, m.start_s, m.end_s) == (1795428000, 1795489200, 0)
    [payload] = m.payloads
    assert (payload.kind, payload.size, payload.stored) == ("slot", 10000, 10000)
    assert to_hex(payload.pid) == load("index")["pid"]
    assert payload.boards is None and not m.critical
    assert (m.window_s, m.groups, m.share, m.description) == (0, (), 0, "")
    m, _ = manifest.parse(by_name["experimental"])
    assert m.experimental and m.end_s == 1795575600
    m, _ = manifest.parse(by_name["boards"])
    assert m.payloads[0].boards == ("linksys,wrt54gs", "tplink,wdr3600")
    m, _ = manifest.parse(by_name["deflated to one byte"])
    assert (m.payloads[0].size, m.payloads[0].stored) == (10000, 1)
    m, _ = manifest.parse(by_name["withdrawn"])
    assert m.withdrawn and not m.payloads
    m, _ = manifest.parse(by_name["image"])
    assert m.payloads[0].kind == "image" and m.window_s == 3600 and not m.critical
    m, _ = manifest.parse(by_name["unknown critical key: relayed, not installed"])
    assert m.critical
    m, _ = manifest.parse(by_name["unknown kind: relayed, not installed"])
    assert m.payloads[0].kind == "hologram-2" and not m.critical
    m, _ = manifest.parse(by_name["described"])
    assert m.description.startswith("Fixes")


def test_payloads_are_read_in_the_order_of_their_numbers():
    by_name = {c["name"]: unhexlify(c["hex"]) for c in load("manifests")}
    m, _ = manifest.parse(by_name["sixteen payloads"])
    ids = [p.pid for p in m.payloads]
    assert ids == [sha256(b"%d" % n) for n in range(1, 17)]
    m, _ = manifest.parse(by_name["payload 2 before payload 1"])
    assert [p.kind for p in m.payloads] == ["slot", "ipk"]
    m, _ = manifest.parse(by_name["one payload for two boards"])
    assert [(p.kind, p.boards) for p in m.payloads] == [("slot", ("b",)), ("slot", ("c",))]
    assert m.payloads[0].pid == m.payloads[1].pid


def test_audience_is_read():
    by_name = {c["name"]: unhexlify(c["hex"]) for c in load("manifests")}
    for name, groups, share in (
        ("groups", ("north_2", "pilot-a"), 0),
        ("share of all", (), 1000),
        ("groups and a share", ("a",), 50),
    ):
        m, _ = manifest.parse(by_name[name])
        assert (m.groups, m.share) == (groups, share), name


def test_index_is_read_as_the_vectors_say():
    v = load("index")
    data = unhexlify(v["index"])
    payload = bytes([i * 7 % 256 for i in range(v["payload_size"])])
    assert sha256(data) == unhexlify(v["pid"]) and data[:32] == sha256(payload)
    pages = [unhexlify(page) for page in v["pages"]]
    assert index.pages(data) == (1, len(v["chunks"]))
    assert index.lengths(data, index.HEAD_BYTES) == (len(pages[0]), len(pages[0]), index.STORED)
    assert data[32:48] == sha256(pages[0])[:16]
    at = 0
    for n, size in enumerate(v["chunks"]):
        entry = n * index.ENTRY_BYTES
        assert index.lengths(pages[0], entry) == (size, size, index.STORED)
        assert pages[0][entry : entry + 16] == sha256(payload[at : at + size])[:16]
        at += size
    assert at == len(payload) and (n + 1) * index.ENTRY_BYTES == len(pages[0])


def trust_of(vectors):
    keys = {unhexlify(i): unhexlify(k) for i, k in vectors["keys"].items()}
    return verify.Trust(keys, vectors["threshold"], unhexlify(vectors["network"]))


def test_signatures_are_accepted_and_refused_as_the_vectors_say():
    v = load("signatures")
    trust = trust_of(v)
    for case in v["cases"]:
        m = unhexlify(v["manifest"])
        release, kept = trust.check(m, case["signatures"].encode())
        assert (release is not None) == case["ok"], (case["name"], kept)
        if case["ok"]:
            assert kept == case["kept"].encode(), case["name"]
            assert trust.check(m, kept)[1] == kept, case["name"]


def steps():
    for step in load("keys")["steps"]:
        yield step["name"], unhexlify(step["manifest"]), step["signatures"].encode(), step["is"]


def test_keys_change_as_the_vectors_say():
    trust = trust_of(load("keys"))
    for name, data, signatures, expected in steps():
        release, why = trust.check(data, signatures)
        assert (release is not None) == (expected == "good"), (name, why)
        if release is None:
            word = "an earlier" if expected == "later" else "signatures:"
            assert why.startswith(word), (name, why)
        elif trust.adopt(release):
            assert "set" in name and not trust.adopt(release)
    assert trust.threshold == 2 and sorted(trust.keys) == [b"\xa5" * 8, b"\xa6" * 8]


def test_key_set_is_read():
    by_name = {c["name"]: unhexlify(c["hex"]) for c in load("manifests")}
    m, _ = manifest.parse(by_name["keys"])
    assert (m.version, m.threshold, len(m.keys), m.payloads) == ((0, 0, 1), 2, 2, ())
    assert m.keep == [sha256(by_name["stable"]), sha256(b"other")]
    m, _ = manifest.parse(by_name["keys of an unknown algorithm"])
    assert len(m.keys) == 1


def test_release_of_another_network_is_refused():
    v = load("signatures")
    v["network"] = "0011223344556677"
    case = v["cases"][0]
    release, why = trust_of(v).check(unhexlify(v["manifest"]), case["signatures"].encode())
    assert release is None and "network" in why


def test_datagrams_are_accepted_and_rejected_as_the_vectors_say():
    v = load("datagrams")
    network = unhexlify(v["network"])
    for case in v["cases"]:
        data = unhexlify(case["hex"])
        assert datagram.kind(data, len(data), network) == case["kind"], case["name"]


def test_datagrams_are_written_as_the_vectors_say():
    v = load("datagrams")
    w = datagram.Writer(unhexlify(v["network"]), 0x1122334455667788, lambda n: n - 1)
    w.beacon(123456789012, 1795430000000000, 1500, -42000, (1, 1, 0), 3, 5, 27183, 0xDEADBEEF)
    w.echo(0x99AABBCCDDEEFF00, -987654321, 123456700000)
    w.pending((1, 2, 0), 0, 86400, 57)
    w.grease()
    assert to_hex(w.buf[: w.n]) == v["beacon"]
    m = unhexlify(load("signatures")["manifest"])
    w.announce(b"DIGEST08", 1, 27183)
    flags = datagram.EXPERIMENTAL | datagram.FAILED_HERE
    assert w.release(sha256(m), (1, 1, 0), 0, flags)
    flags = datagram.WANTED | datagram.STARVED
    assert w.payload(unhexlify(load("index")["pid"]), flags, 4, 1)
    assert to_hex(w.buf[: w.n]) == v["announce"]
    w.query()
    assert to_hex(w.buf[: w.n]) == v["query"]


def test_datagrams_are_read_as_the_vectors_say():
    data = unhexlify(load("datagrams")["beacon"])
    f = unpack_from(datagram.BEACON_FORM, data, datagram.HEADER_BYTES)
    assert f[:5] == (0x1122334455667788, 123456789012, 1795430000000000, 1500, -42000)
    assert f[5:] == (1, 1, 0, 3, 5, 0, 27183, 0xDEADBEEF)
    at = datagram.first_tlv(data)
    assert data[at] == datagram.TLV_ECHO
    echo = unpack_from(datagram.ECHO_FORM, data, at + 3)
    assert echo == (0x99AABBCCDDEEFF00, -987654321, 123456700000)
    at = datagram.next_tlv(data, at)
    assert data[at] == datagram.TLV_PENDING
    assert unpack_from(datagram.PENDING_FORM, data, at + 3) == (1, 2, 0, 0, 86400, 57, 0)
    assert datagram.next_tlv(data, at) == len(data)


def test_announces_are_read_as_the_vectors_say():
    data = unhexlify(load("datagrams")["announce"])
    f = unpack_from(datagram.ANNOUNCE_FORM, data, datagram.HEADER_BYTES)
    assert f == (0x1122334455667788, b"DIGEST08", 1, 27183)
    at = datagram.first_tlv(data)
    assert data[at] == datagram.TLV_RELEASE
    rid = sha256(unhexlify(load("signatures")["manifest"]))
    assert unpack_from(datagram.RELEASE_FORM, data, at + 3) == (rid, 1, 1, 0, 0, 2 | 8, 0)
    at = datagram.next_tlv(data, at)
    assert data[at] == datagram.TLV_PAYLOAD
    pid = unhexlify(load("index")["pid"])
    assert unpack_from(datagram.PAYLOAD_FORM, data, at + 3) == (pid, 2 | 4, 0, 4, 1)
    assert datagram.next_tlv(data, at) == len(data)


def test_every_cut_and_every_flipped_bit_of_a_datagram_is_survived():
    v = load("datagrams")
    network = unhexlify(v["network"])
    for name in ("beacon", "announce", "query"):
        data = unhexlify(v[name])
        ends = [datagram.first_tlv(data)]  # a cut between two TLVs leaves a good datagram
        while ends[-1] < len(data):
            ends.append(datagram.next_tlv(data, ends[-1]))
        for n in range(len(data)):
            assert (datagram.kind(data[:n], n, network) > 0) == (n in ends)
        for bit in range(8 * len(data)):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            kind = datagram.kind(changed, len(changed), network)
            at = datagram.first_tlv(changed)
            while kind > 0 and at < len(changed):  # what was accepted can be walked to its end
                at = datagram.next_tlv(changed, at)
            assert kind <= 0 or at == len(changed)


def test_every_changed_byte_of_manifest_and_signatures_is_refused():
    v = load("signatures")
    trust = trust_of(v)
    good_manifest = unhexlify(v["manifest"])
    good_signatures = v["cases"][0]["signatures"].encode()
    assert trust.check(good_manifest, good_signatures)[0] is not None
    for at in range(len(good_manifest)):
        bad = bytearray(good_manifest)
        bad[at] ^= 1 << at % 8
        assert trust.check(bytes(bad), good_signatures)[0] is None, at
    for at in range(len(good_signatures)):
        bad = bytearray(good_signatures)
        bad[at] ^= 1 << at % 8
        assert trust.check(good_manifest, bytes(bad))[0] is None, at
