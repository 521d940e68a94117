"""The reference node against every file of tests/vectors."""

import hashlib
import json
import pathlib

import pytest

from . import archive, choose, manifest, payload, tftp, trust, wire
from .store import Store
from .trust import Key, KeySet, Malformed, Trust

VECTORS = pathlib.Path(__file__).parent.parent / "vectors"
FILES = sorted(path.relative_to(VECTORS).as_posix() for path in VECTORS.rglob("*.json"))
READ = set()


def load(name):
    READ.add(name)
    return json.loads((VECTORS / name).read_text())


def cases(name, *keys):
    found = load(name)
    for key in keys:
        found = found[key]
    return [pytest.param(case, id=case.get("name")) for case in found]


def sparse(pairs):
    """Bytes of a vector: [[hex, zeros behind it], ...]."""
    return b"".join(bytes.fromhex(text) + bytes(zeros) for text, zeros in pairs)


def dotted(version):
    return ".".join(map(str, version))


@pytest.mark.parametrize(
    "case",
    [case for name in FILES if name.startswith("ed25519") for case in cases(name, "cases")],
)
def test_ed25519(case):
    key, message, signature = (bytes.fromhex(case[k]) for k in ("key", "message", "signature"))
    assert trust.verifies(key, message, signature) == case["ok"]


def says(parsed):
    """A datagram as datagrams.json writes it."""
    found = parsed._asdict()
    for key in found.keys() & {"nonce", "digest"}:
        found[key] = found[key].hex()

    def written(part):
        plain = part._asdict()
        return plain | {"version": dotted(plain["version"])} if "version" in plain else plain

    if isinstance(parsed, wire.Beacon):
        found["version"] = dotted(parsed.version)
        found["state"] = parsed.state._asdict()
        found["echoes"] = {
            nonce.hex(): {"sample_us": sample, "counter_us": counter}
            for nonce, (sample, counter) in parsed.echoes.items()
        }
        found["pending"] = {"": written(parsed.pending)} if parsed.pending else {}
    if isinstance(parsed, wire.Announce):
        found["releases"] = found.pop("count")
        found["releases held"] = {rid.hex(): written(o) for rid, o in parsed.releases.items()}
        found["payloads"] = {pid.hex(): written(p) for pid, p in parsed.payloads.items()}
    return found


@pytest.mark.parametrize("case", cases("datagrams.json", "cases"))
def test_datagram(case):
    network = bytes.fromhex(load("datagrams.json")["network"])
    parsed = wire.parse(bytes.fromhex(case["hex"]), network)
    if case["kind"] < 0:
        assert parsed is None
    else:
        assert type(parsed) is {1: wire.Beacon, 2: wire.Announce, 3: wire.Query}[case["kind"]]
        assert says(parsed) == case["says"]


@pytest.mark.parametrize("name", ["beacon", "announce", "query"])
def test_datagram_is_packed_as_it_was(name):
    vectors = load("datagrams.json")
    network, data = bytes.fromhex(vectors["network"]), bytes.fromhex(vectors[name])
    parsed = wire.parse(data, network)
    if name == "beacon":
        assert wire.pack_beacon(network, parsed) == data
    elif name == "announce":
        assert wire.pack_burst(network, parsed) == [data]
    else:
        assert wire.pack(wire.QUERY, network, parsed.nonce) == data


@pytest.mark.parametrize("case", cases("manifests.json"))
def test_manifest(case):
    text = bytes.fromhex(case["hex"])
    assert hashlib.sha256(text).hexdigest() == case["id"]
    if case["ok"]:
        assert manifest.Manifest(text).rid.hex() == case["id"]
    else:
        with pytest.raises(Malformed):
            manifest.Manifest(text)


def founding(vectors):
    return [
        Key(b"Ed", bytes.fromhex(key_id), bytes.fromhex(key))
        for key_id, key in vectors["keys"].items()
    ]


def trust_of(vectors):
    return Trust(bytes.fromhex(vectors["network"]), founding(vectors), vectors["threshold"])


@pytest.mark.parametrize("case", cases("signatures.json", "cases"))
def test_signatures(case):
    vectors = load("signatures.json")
    m = manifest.Manifest(bytes.fromhex(vectors["manifest"]))
    verdict, kept = trust_of(vectors).judge(m, case["signatures"].encode())
    assert (verdict == "good", kept.decode()) == (case["ok"], case["kept"])


def test_network_id():
    vectors = load("signatures.json")
    keys = [key.key for key in founding(vectors)]
    assert trust.network_id(vectors["network_name"], keys).hex() == vectors["network"]


@pytest.mark.parametrize(
    "steps",
    [pytest.param(load("keys.json")["steps"], id="steps")]
    + [pytest.param(case["steps"], id=case["name"]) for case in load("keys.json")["others"]],
)
def test_key_sets(steps):
    believed = trust_of(load("keys.json"))
    for step in steps:
        m = manifest.Manifest(bytes.fromhex(step["manifest"]))
        verdict, _ = believed.judge(m, step["signatures"].encode())
        assert verdict == step["is"], step.get("name")
        if verdict == "good":
            believed.take(m)


@pytest.mark.parametrize("case", cases("index.json", "indexes"))
def test_index(case):
    index = bytes(case["zeros"])
    for count, sent, inflated, encoding in case["pages"]:
        lengths = (sent % 65536).to_bytes(2, "big") + (inflated % 65536).to_bytes(2, "big")
        index += count * (bytes(16) + lengths + bytes([encoding]))
    index += bytes.fromhex(case["tail"])
    assert (len(index), hashlib.sha256(index).hexdigest()) == (case["bytes"], case["sha256"])
    try:
        pages = payload.parse_index(index)[1]
        counts = [len(pages), sum(page.sent // 21 for page in pages)]
    except Malformed:
        counts = None
    assert counts == case["counts"]


def filled(case):
    """A payload of index.json with all its pieces."""
    found = payload.Payload(bytes.fromhex(case["index"]))
    for page in case["pages"]:
        assert found.add(bytes.fromhex(page))
    for text, times in case["chunks"]:
        assert found.add(bytes.fromhex(text) * times)
    assert found.is_complete
    return found


def test_payload_of_index_json():
    vectors = load("index.json")
    data = bytes(i * 7 % 256 for i in range(vectors["payload_size"]))
    found = payload.Payload(bytes.fromhex(vectors["index"]))
    assert found.pid.hex() == vectors["pid"]
    assert all(found.add(bytes.fromhex(page)) for page in vectors["pages"])
    for size in vectors["chunks"]:
        assert found.add(data[:size])
        data = data[size:]
    assert found.is_complete and not data


@pytest.mark.parametrize("case", cases("index.json", "payloads"))
def test_payload(case):
    found = filled(case)
    line = manifest.Line("slot", case["size"], case["stored"], found.pid, ["any"])
    assert found.is_whole(line) == case["sound"]
    try:
        digest = hashlib.sha256(found.content()).hexdigest()
        installs = case["sound"]
    except Malformed:
        digest, installs = None, False
    assert case["installs"] in (installs, None)
    assert not case["installs"] or digest == case["sha256"]


@pytest.mark.parametrize("case", cases("archives.json", "cases"))
def test_archive(case):
    tree = None
    try:
        files, executable = archive.unpack(sparse(case["file"]), load("archives.json")["max_bytes"])
        tree = {
            path + ("/" if data is None else "*" if path in executable else ""): (
                data or b""
            ).decode()
            for path, data in files.items()
        }
    except Malformed:
        pass
    assert tree == case["tree"]


@pytest.mark.parametrize("case", cases("swd.json", "cases"))
def test_release_file(case):
    data = sparse(case["file"])
    assert len(data) == case["bytes"]
    try:
        m, signatures, _ = archive.read_release(data)
    except Malformed:
        assert not case["ok"]
    else:
        assert case["ok"]
        verdict, _ = trust_of(load("swd.json")).judge(m, signatures)
        assert (verdict == "good") == case["signed"]


class Believer(Trust):
    """store.json has no signatures: all is verified."""

    def judge(self, m, signatures, more=None):
        later = m.key_set > len(self.sets)
        return ("later", b"") if later else ("good", signatures)

    def take(self, m):
        new = m.key_set == len(self.sets)
        if new:
            self.sets.append(KeySet(m.keys, m.threshold, m.rid))
        return new


@pytest.mark.parametrize("case", cases("store.json", "cases"))
def test_store(case, tmp_path):
    vectors = load("store.json")
    manifests = {n: manifest.Manifest(bytes.fromhex(t)) for n, t in vectors["manifests"].items()}
    path = tmp_path / "journal"
    store = Store(Believer(b"", [], 1), path)
    pids = {}
    for step, name in case["steps"]:
        if step == "runs":
            store.run(manifests[name].rid, b"")
        elif step == "payload":
            index = bytes.fromhex(vectors["payloads"][name]["index"])
            pid = hashlib.sha256(index).digest()
            pids[pid] = name
            assert store.take_index(pid, index)
            for piece in vectors["payloads"][name]["pieces"]:
                assert store.take_piece(pid, bytes.fromhex(piece))
        else:
            assert store.take(manifests[name].text, b"") == step, name
    for held in (store, Store(Believer(b"", [], 1), path)):
        inside = held.set()
        besides = {m.rid for m in held.releases.values() if m not in inside}
        assert [m.rid for m in inside] == [manifests[name].rid for name in case["set"]]
        assert besides == {manifests[name].rid for name in case["besides"]}
        assert held.digest().hex() == case["digest"]
        assert sorted(pids[pid] for pid in held.payloads) == case["payloads"]
        assert all(p.is_complete for p in held.payloads.values())


@pytest.mark.parametrize("case", cases("choosing.json", "lots", "cases"))
def test_lot(case):
    version = tuple(map(int, case["version"].split(".")))
    assert choose.lot(bytes.fromhex(case["number"]), version) == case["permille"]


def chooser_of(case, draws=None):
    """(Chooser, the releases held by version, names by release id) of a case of choosing.json."""
    node = case["node"]
    profile = choose.Profile(
        node["board"], tuple(map(int, node["factory"].split("."))), node["kinds"], node["groups"],
        node["lot"] and bytes.fromhex(node["lot"]),
    )  # fmt: skip
    manifests = {n: manifest.Manifest(bytes.fromhex(text)) for n, text in case["held"].items()}
    held = {}
    for m in manifests.values():  # of each version the highest is held (section 5.1)
        held[m.version] = max(held.get(m.version, m), m, key=lambda m: m.order)
    ready = {(manifests[name].rid, n) for name, n in case["ready"]}
    chooser = choose.Chooser(
        profile,
        lambda m, line: (m.rid, m.lines.index(line) + 1) in ready,
        lambda n: draws.append(n) or 0 if draws is not None else 0,
    )
    chooser.failed = [manifests[name].rid for name in case["failed"]]
    chooser.active = None if case["active"] == "factory" else manifests[case["active"]].rid
    chooser.is_held = case["hold"]
    return chooser, held, {m.rid: name for name, m in manifests.items()} | {None: "factory"}


@pytest.mark.parametrize("case", cases("choosing.json", "cases"))
def test_choosing(case):
    for at in case["at"]:
        draws = []
        chooser, held, names = chooser_of(case, draws)
        floor_s = max((m.signed_at_s for m in held.values()), default=0)
        now_s = max(floor_s, at["now_s"] if at["synchronised"] else at["kept_s"])
        best, flash = chooser.choose(held.values(), now_s, at["synchronised"], now_s * 1_000_000)
        assert flash is None
        assert names[best and best.rid] == at["runs"]
        if "line" in at:
            assert choose.fitting(chooser.profile, best)[0] == at["line"]
        if "flashes" in at:
            rid, instant = chooser.drawn
            assert names[rid] == at["flashes"]
            assert (instant, instant + draws[0] - 1) == (at["first_us"], at["last_us"])
        else:
            assert chooser.drawn is None


def tftp_payload(held):
    """The payload of tftp.json with so many of its pieces, and its manifest."""
    vectors = load("tftp.json")
    found = payload.Payload(bytes.fromhex(vectors["index"]))
    pieces = [bytes.fromhex(page) for page in vectors["pages"]]
    pieces += [bytes.fromhex(text) * times for text, times in vectors["chunks"]]
    assert all(found.add(piece) for piece in pieces[:held])
    return found, pieces


def tftp_store(held):
    store = Store(Believer(b"", [], 1))
    m = manifest.Manifest(bytes.fromhex(load("tftp.json")["manifest"]))
    assert store.take(m.text, b"signatures") == "taken"
    found, pieces = tftp_payload(held)
    store.payloads[found.pid] = found
    return store, m, found, pieces


class Port:
    """What a server sends."""

    def __init__(self):
        self.sent = []

    def __call__(self, *_):
        return self

    def send(self, data, port):
        self.sent.append(data)

    def close(self):
        pass


@pytest.mark.parametrize("case", cases("tftp.json", "names"))
def test_tftp_name(case):
    store, m, found, pieces = tftp_store(case["held"])
    data = store.serve(case["asked"])
    if "error" in case:
        assert (data, case["error"]) == (None, 1)
    elif "file" in case:
        files = {"manifest": m.text, "signatures": b"signatures", "index": found.index}
        assert data == files[case["file"]]
    else:
        ends = {end: b"".join(pieces[case["first"] :])[:end] for end in case["ends"]}
        assert data == ends[len(data)]


@pytest.mark.parametrize("case", cases("tftp.json", "requests"))
def test_tftp_request(case):
    store, _, found, pieces = tftp_store(8)
    port = Port()
    server = tftp.Server(store.serve, port)
    server.request("link", "peer", 1000, bytes.fromhex(case["packet"]), 0)
    answer = case["answer"]
    if answer == "none":
        assert port.sent == []
    elif answer == "data":
        assert port.sent == [b"\0\3\0\1" + pieces[3][:512]]
    elif isinstance(answer, str):
        assert port.sent[0][:4] == b"\0\5" + int(answer.split()[1]).to_bytes(2, "big")
    else:
        words = port.sent[0][2:].decode().split("\0")[:-1]
        assert port.sent[0][:2] == b"\0\6"
        assert dict(zip(words[::2], map(int, words[1::2]))) == answer


@pytest.mark.parametrize("case", cases("tftp.json", "server"))
def test_tftp_server(case):
    options = {"windowsize": 4} | ({"keep": 1} if case["keep"] else {})
    sending = tftp.Sending(bytes(512 * 20), options, 0)
    for ack, blocks in case["steps"]:
        assert list(sending.acknowledged(ack, 0)) == blocks


@pytest.mark.parametrize("case", cases("tftp.json", "client"))
def test_tftp_client(case):
    client = tftp.Client("name", 65536, 0)
    client.receive(b"\0\6" + tftp.strings([("windowsize", 4), ("keep", 1)]), 0)
    for block, ack in case["steps"]:
        answer = client.receive(b"\0\3" + block.to_bytes(2, "big") + bytes(512), 0)
        assert answer == ([] if ack is None else [b"\0\4" + ack.to_bytes(2, "big")])


def test_every_file_of_vectors_is_read():
    assert set(FILES) == READ
