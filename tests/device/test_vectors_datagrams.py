"""The golden vectors of datagrams: each good one says what it should, to a reader and to a node."""

from binascii import unhexlify
from struct import pack, unpack_from

from wired import Folder, World, vectors

from swdist.formats import datagram
from swdist.formats.bits import to_hex, version_text

V = vectors("datagrams")
GOOD = [c for c in V["cases"] if c["kind"] > 0]
STATE = (
    ("synchronised", datagram.SYNCED), ("reference", datagram.REFERENCE),
    ("experimental", datagram.ACTIVE_EXPERIMENTAL), ("failed", datagram.FAILED),
    ("held", datagram.HELD),
)  # fmt: skip
RELEASE = (
    ("experimental", datagram.EXPERIMENTAL), ("withdrawn", datagram.WITHDRAWN),
    ("failed", datagram.FAILED_HERE),
)  # fmt: skip
PAYLOAD = (
    ("complete", datagram.COMPLETE), ("wanted", datagram.WANTED), ("starved", datagram.STARVED),
)  # fmt: skip
BELONGS = {
    datagram.BEACON: (datagram.TLV_ECHO, datagram.TLV_PENDING),
    datagram.ANNOUNCE: (datagram.TLV_RELEASE, datagram.TLV_PAYLOAD),
    datagram.QUERY: (),
}


def bits(value, names):
    return {name: value & bit != 0 for name, bit in names}


def beacon(data):
    f = unpack_from(datagram.BEACON_FORM, data, datagram.HEADER_BYTES)
    return {
        "nonce": to_hex(pack("!Q", f[0])), "counter_us": f[1], "offset_us": f[2],
        "error_us": None if f[3] == 0xFFFFFFFF else f[3], "rate_ppb": f[4],
        "version": version_text(f[5:8]), "revision": f[8], "state": bits(f[9], STATE),
        "port": f[11], "digest": to_hex(pack("!I", f[12])), "echoes": {}, "pending": {},
    }  # fmt: skip


def announce(data):
    nonce, digest, count, port = unpack_from(datagram.ANNOUNCE_FORM, data, datagram.HEADER_BYTES)
    head = {"nonce": to_hex(pack("!Q", nonce)), "digest": to_hex(digest)}
    return dict(head, releases=count, port=port, payloads={}, **{"releases held": {}})


def query(data):
    return {"nonce": to_hex(data[datagram.HEADER_BYTES : datagram.HEADER_BYTES + 8])}


def tlv(found, data, at):
    what = data[at]
    if what == datagram.TLV_ECHO:
        nonce, sample, counter = unpack_from(datagram.ECHO_FORM, data, at + 3)
        found["echoes"][to_hex(pack("!Q", nonce))] = {"sample_us": sample, "counter_us": counter}
    elif what == datagram.TLV_PENDING:
        f = unpack_from(datagram.PENDING_FORM, data, at + 3)
        version = version_text(f[:3])
        found["pending"][""] = {
            "version": version, "revision": f[3], "seconds": f[4], "percent": f[5]
        }  # fmt: skip
    elif what == datagram.TLV_RELEASE:
        f = unpack_from(datagram.RELEASE_FORM, data, at + 3)
        says = dict(bits(f[5], RELEASE), version=version_text(f[1:4]), revision=f[4])
        found["releases held"][to_hex(f[0])] = says
    else:
        pid, flags, _, pieces, held = unpack_from(datagram.PAYLOAD_FORM, data, at + 3)
        found["payloads"][to_hex(pid)] = dict(bits(flags, PAYLOAD), pieces=pieces, held=held)


def read(data, kind):
    found = {datagram.BEACON: beacon, datagram.ANNOUNCE: announce, datagram.QUERY: query}[kind](
        data
    )
    at = datagram.first_tlv(data)
    while at < len(data):
        if data[at] in BELONGS[kind]:
            tlv(found, data, at)
        at = datagram.next_tlv(data, at)
    return found


def test_datagrams_say_what_the_vectors_say():
    for case in GOOD:
        found = read(unhexlify(case["hex"]), case["kind"])
        for name, value in case["says"].items():
            assert found[name] == value, (case["name"], name, found[name])
        assert len(found) == len(case["says"]), case["name"]


def node_of(w):
    """A node of the vectors' network, with a nonce of its own."""
    node = w.stations[0].node
    node.network = unhexlify(V["network"])
    return node


def test_a_node_believes_of_its_neighbour_what_the_vectors_say():
    for case in V["cases"]:
        data = unhexlify(case["hex"])
        with Folder() as path:
            w = World(path, 1)
            node = node_of(w)
            got = node.hearing.receive(b"n" * 20, bytearray(data), len(data), w.now)
            assert got == min(case["kind"], 0), case["name"]
            row = node.neighbours.rows[0]
            says = case.get("says", {})
            if case["kind"] not in (datagram.BEACON, datagram.ANNOUNCE):
                assert row.peer is None
                continue
            assert to_hex(pack("!Q", row.nonce)) == says["nonce"], case["name"]
            assert row.tftp_port == says["port"], case["name"]
            if case["kind"] == datagram.BEACON:
                assert version_text(row.version) == says["version"], case["name"]
                assert row.revision == says["revision"], case["name"]
                assert bits(row.state, STATE) == says["state"], case["name"]


def test_its_own_datagrams_are_nobody_s():
    with Folder() as path:
        w = World(path, 1)
        node = node_of(w)
        for case in GOOD:
            data = unhexlify(case["hex"])
            node.nonce = int.from_bytes(unhexlify(case["says"]["nonce"]), "big")
            assert node.hearing.receive(b"n" * 20, bytearray(data), len(data), w.now) == 0
            assert node.neighbours.rows[0].peer is None, case["name"]
