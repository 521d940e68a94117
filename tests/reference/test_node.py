"""Reference nodes among themselves, in virtual time."""

import hashlib
import random
import zlib
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from . import archive, manifest, tftp, trust
from .choose import Profile
from .node import Node
from .trust import Key, Trust

NOW_S = 1_795_500_000
SECRET = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = Key(b"Ed", b"keykeyke", SECRET.public_key().public_bytes_raw())
NETWORK = trust.network_id("test", [KEY.key])


def signed(text, secret=SECRET):
    block = b"Ed" + KEY.key_id + secret.sign(text)
    return trust.COMMENT + trust.base64.b64encode(block) + b"\n"


def tar(files):
    blocks = b""
    for name, data in files.items():
        header = bytearray(512)
        header[: len(name)] = name.encode()
        header[100:107], header[124:135] = b"0000644", b"%011o" % len(data)
        header[156:157], header[257:265] = b"0", b"ustar\00000"
        header[148:156] = b" " * 8
        header[148:155] = b"%06o\0" % sum(header)
        blocks += bytes(header) + data + bytes(-len(data) % 512)
    return blocks + bytes(1024)


def packed(content, chunk=30_000):
    """(index, pieces) of a payload."""
    page, chunks = b"", []
    for at in range(0, len(content), chunk):
        plain = content[at : at + chunk]
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        sent = deflate.compress(plain) + deflate.flush()
        encoding = len(sent) < len(plain)
        sent = sent if encoding else plain
        page += entry(sent, len(plain), encoding)
        chunks.append(sent)
    return hashlib.sha256(content).digest() + entry(page, len(page), 0), [page, *chunks]


def entry(piece, inflated, encoding):
    lengths = len(piece).to_bytes(2, "big") + inflated.to_bytes(2, "big")
    return hashlib.sha256(piece).digest()[:16] + lengths + bytes([encoding])


def release(version="1.1.0", content=None, signed_at="2026-11-24T03:00:00Z"):
    """(manifest, signatures, index, pieces)"""
    content = content or tar({"hello": random.Random(1).randbytes(200_000)})
    index, pieces = packed(content)
    stored = sum(map(len, pieces[1:]))
    text = (
        f"Format: swdist-release 1\nNetwork: {NETWORK.hex()}\nVersion: {version}\nRevision: 0\n"
        f"Channel: stable\nSigned-At: {signed_at}\nStart: 2026-11-24T03:00:00Z\n"
        f"Payload-1: slot {len(content)} {stored} {hashlib.sha256(index).hexdigest()} any\n"
    ).encode()
    return text, signed(text), index, pieces


class World:
    """Nodes in a row; each hears its neighbours 1 ms later."""

    def __init__(self, tmp_path, count, loss=0.0, board="any-board"):
        self.chance, self.loss = random.Random(7), loss
        self.now_us, self.queue, self.ports = 0, [], {}
        self.nodes = []
        for i in range(count):
            net = Net(self, i, [j for j in (i - 1, i + 1) if 0 <= j < count])
            believed = Trust(NETWORK, [KEY], 1)
            profile = Profile(board, (1, 0, 0))
            node = Node(
                profile, believed, tmp_path / str(i), net, random.Random(i).randint,
                0, NOW_S * 1_000_000, 27183,
            )  # fmt: skip
            self.nodes.append(node)

    def later(self, function, *args):
        if self.chance.random() >= self.loss:
            self.queue.append((self.now_us + 1000, function, args))

    def run(self, until, seconds):
        end = self.now_us + seconds * 1_000_000
        while self.now_us < end:
            self.now_us += 1000
            due = [q for q in self.queue if q[0] <= self.now_us]
            self.queue = [q for q in self.queue if q[0] > self.now_us]
            for _, function, args in due:
                function(*args)
            if self.now_us % 10_000 == 0:
                for node in self.nodes:
                    node.tick(self.now_us)
                if until():
                    return True
        return False


class Net:
    links = ("mesh",)

    def __init__(self, world, own, others):
        self.world, self.own, self.others = world, own, others

    def multicast(self, link, data):
        for other in self.others:
            self.world.later(self._datagram, other, data)

    def _datagram(self, other, data):
        self.world.nodes[other].receive("mesh", str(self.own), data, self.world.now_us)

    def open_port(self, receive, link, peer):
        return Port(self, receive, int(peer))

    def _packet(self, peer, port, own_port, data):
        now_us = self.world.now_us
        if port == 27183:
            self.world.nodes[peer].server.request("mesh", str(self.own), own_port, data, now_us)
        elif self.world.ports.get(port):
            self.world.ports[port](str(self.own), own_port, data, now_us)


class Port:
    def __init__(self, net, receive, peer):
        self.net, self.peer = net, peer
        self.ports = net.world.ports
        self.own = 40_000 + len(self.ports)
        self.ports[self.own] = receive

    def send(self, data, port):
        self.net.world.later(self.net._packet, self.peer, port, self.own, data)

    def close(self):
        self.ports[self.own] = None


def bring(node, text, signatures, index, pieces, now_us=0):
    verdict = node.bring(manifest.Manifest(text), signatures, {}, now_us)
    pid = hashlib.sha256(index).digest()
    if verdict == "taken":
        node.store.take_index(pid, index)
        assert all(node.store.take_piece(pid, piece) for piece in pieces)
    return verdict


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_release_crosses_a_row_of_nodes_and_runs(tmp_path, loss):
    world = World(tmp_path, 4, loss)
    text, signatures, index, pieces = release()
    assert bring(world.nodes[0], text, signatures, index, pieces) == "taken"
    rid = hashlib.sha256(text).digest()
    assert world.run(lambda: all(n.chooser.active == rid for n in world.nodes), 120)
    files = list((tmp_path / "3" / "slots").glob("*/hello"))
    assert [f.read_bytes() for f in files] == [random.Random(1).randbytes(200_000)]


def test_release_crosses_nodes_that_have_no_use_for_it(tmp_path):
    world = World(tmp_path, 4)
    for node in world.nodes[1:3]:
        node.profile.kinds = []
    text, signatures, index, pieces = release()
    bring(world.nodes[0], text, signatures, index, pieces)
    rid = hashlib.sha256(text).digest()
    assert world.run(lambda: world.nodes[3].chooser.active == rid, 120)


def test_clocks_agree_and_are_synchronised(tmp_path):
    world = World(tmp_path, 4)
    for i, node in enumerate(world.nodes):
        node.clock.offset_us += i * 100_000_000
    assert world.run(lambda: all(n.clock.is_synchronised for n in world.nodes), 400)
    times = [node.clock.mesh_us(world.now_us) for node in world.nodes]
    assert max(times) - min(times) < 10_000
    assert min(times) > (NOW_S + 300) * 1_000_000


def test_date_far_ahead_moves_no_clock_that_is_good(tmp_path):
    world = World(tmp_path, 2)
    assert world.run(lambda: all(n.clock.is_synchronised for n in world.nodes), 400)
    before = release("1.0.1", tar({"hello": b"of a time that has passed"}))
    assert bring(world.nodes[0], *before, world.now_us) == "taken"
    assert world.run(lambda: len(world.nodes[1].store.releases) == 1, 60)
    text, signatures, index, pieces = release(signed_at="2027-05-24T03:00:00Z")
    assert bring(world.nodes[0], text, signatures, index, pieces, world.now_us) == "taken"
    rid = hashlib.sha256(text).digest()
    assert world.run(lambda: world.nodes[1].chooser.active == rid, 60)
    late_us = (NOW_S + 1000) * 1_000_000
    assert all(n.clock.mesh_us(world.now_us) < late_us for n in world.nodes)


def test_forged_signature_is_refused(tmp_path):
    world = World(tmp_path, 2)
    text, _, index, pieces = release()
    forged = signed(text, Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\1"))
    assert bring(world.nodes[0], text, forged, index, pieces) == "bad"
    m = manifest.Manifest(text)
    world.nodes[0].store.releases[m.rid] = m
    world.nodes[0].store.signatures[m.rid] = forged
    told = world.nodes[1].fetcher.peers
    assert world.run(lambda: any(p.refusals for p in told.values()), 60)
    assert not world.nodes[1].store.releases


def test_payload_with_a_changed_byte_is_never_held(tmp_path):
    world = World(tmp_path, 2)
    text, signatures, index, pieces = release()
    bring(world.nodes[0], text, signatures, index, pieces)
    pid = hashlib.sha256(index).digest()
    source = world.nodes[0].store.payloads[pid]
    source.pieces[3] = bytes([source.pieces[3][0] ^ 1]) + source.pieces[3][1:]
    told = world.nodes[1].fetcher.peers
    assert world.run(lambda: any(p.refusals for p in told.values()), 60)
    assert world.nodes[1].fetcher.held(pid) == 3


def test_node_keeps_what_it_held_over_a_restart(tmp_path):
    world = World(tmp_path, 2)
    text, signatures, index, pieces = release()
    bring(world.nodes[0], text, signatures, index, pieces)
    rid = hashlib.sha256(text).digest()
    assert world.run(lambda: world.nodes[1].chooser.active == rid, 60)
    again = World(tmp_path, 2).nodes[1]
    assert again.chooser.active == rid
    assert again.is_ready(again.store.releases[rid], again.store.releases[rid].lines[0])


def test_silent_address_gets_no_more_than_three_times_what_it_sent():
    sent = []
    transport = SimpleNamespace(send=lambda data, _: sent.append(data), close=lambda: None)
    server = tftp.Server(lambda name: bytes(65536), lambda *_: transport)
    request = b"\0\1" + b"x" * 70 + b"\0octet\0"
    options = request + b"blksize\0001428\0"
    for second in range(30):
        for port in range(20):
            server.request("mesh", "peer", port, options if port % 2 else request, second * 1000000)
        server.tick(second * 1_000_000 + 500_000)
    came = 30 * 10 * (len(request) + len(options))
    assert 0 < sum(map(len, sent)) <= 3 * came + 516 * 31


def test_tar_of_this_test_is_an_archive():
    assert archive.unpack(tar({"a/b": b"x"}), 1) == ({"a": None, "a/b": b"x"}, set())
