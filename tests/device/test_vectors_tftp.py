"""The golden vectors of transfers: what a name gives, what a request gets, and what `keep` does."""

from binascii import unhexlify
from struct import unpack

from made import file_of
from test_store import KB, Box
from wired import vectors

from swdist.crypto.ucryptolib import sha256
from swdist.formats import tftp
from swdist.formats.bits import to_hex
from swdist.machines import tftpget, tftpserve

V = vectors("tftp")
MANIFEST = unhexlify(V["manifest"])
INDEX = unhexlify(V["index"])
PAGES = [unhexlify(page) for page in V["pages"]]
PEER, PORT = b"p" * 20, 4000
BLOCKS = 40


def piece(n):
    if n < len(PAGES):
        return PAGES[n]
    byte, times = V["chunks"][n - len(PAGES)]
    return unhexlify(byte) * times


def filled(box, held):
    """A store that holds the release and so many pieces."""
    store = box.store
    if store.catalogue.get(sha256(MANIFEST)) is None:
        assert store.add(MANIFEST, b"good")[1] is None
        assert store.put_index(sha256(INDEX), INDEX) is None
    h = store.held(sha256(INDEX))
    while h.held < held:
        data = piece(h.held)
        assert store.put(h, memoryview(data)) == (len(data), None)
    return store


def bytes_of(store, name):
    """What is answered, or None."""
    file = store.open(name.encode())
    if file is None:
        return None
    data = bytearray(file.size)
    assert file.read_into(0, memoryview(data)) == file.size
    file.close()
    return bytes(data)


def check(store, case):
    name = case["name"]
    data = bytes_of(store, case["asked"])
    if "error" in case:
        assert data is None, name
    elif "file" in case:
        whole = {"manifest": MANIFEST, "signatures": b"good", "index": INDEX}
        assert data == whole[case["file"]], name
    else:
        assert len(data) in case["ends"], (name, len(data))
        at, n = 0, case["first"]
        while at < len(data):
            assert data[at : at + len(piece(n))] == piece(n), (name, n)
            at += len(piece(n))
            n += 1


def test_names_give_what_the_vectors_say():
    with Box(quota=512 * KB) as b:
        for case in sorted(V["names"], key=lambda c: c["held"]):  # a store only grows
            check(filled(b, case["held"]), case)


class Server:
    """sent: [packet]. open: name -> file."""

    def __init__(self, open):
        self.sent = []
        self.now = 5000000
        self.serve = tftpserve.Serve(self.send, open, 4)

    def send(self, slot, peer, port, buf, n):
        assert (peer, port) == (PEER, PORT)
        self.sent.append(bytes(buf[:n]))

    def ask(self, packet):
        self.sent = []
        self.serve.request(PEER, PORT, bytearray(packet), len(packet), self.now)
        return self.sent

    def acknowledge(self, block):
        """The numbers of the blocks that come of it."""
        self.sent = []
        self.now += 5000
        buf = bytearray(4)
        tftp.put_head(buf, tftp.ACK, block)
        assert self.serve.receive(0, PEER, PORT, buf, 4, self.now) == 0
        return [unpack("!HH", packet[:4])[1] for packet in self.sent]


def check_request(case, sent, data):
    name, answer = case["name"], case["answer"]
    if answer == "none":
        assert sent == [], name
        return
    [packet] = sent
    op, number = unpack("!HH", packet[:4])
    if answer == "data":
        assert (op, number, packet[4:]) == (tftp.DATA, 1, data[:512]), name
    elif isinstance(answer, str):
        assert "error %d" % number == answer and op == tftp.ERROR, name
    else:
        assert op == tftp.OACK, name
        words = packet[2:-1].split(b"\0")
        granted = {}
        for i in range(0, len(words), 2):
            granted[str(words[i], "ascii")] = int(words[i + 1])
        assert sorted(granted) == sorted(answer), name
        for option, value in granted.items():
            most = answer[option]
            assert value == most if option in ("tsize", "keep") else 0 < value <= most, name


def test_requests_get_what_the_vectors_say():
    with Box(quota=512 * KB) as b:
        store = filled(b, len(PAGES) + len(V["chunks"]))
        data = bytes_of(store, "1/%s/3" % to_hex(sha256(INDEX)))
        for case in V["requests"]:
            sent = Server(store.open).ask(unhexlify(case["packet"]))
            check_request(case, sent, data)


def test_server_sends_again_what_the_vectors_say():
    for case in V["server"]:
        server = Server(lambda name: file_of(bytes(512 * BLOCKS - 1)))
        packet = b"\0\1x\0octet\0windowsize\x004\0blksize\x00512\0"
        [oack] = server.ask(packet + (b"keep\x001\0" if case["keep"] else b""))
        assert (b"keep" in oack) == bool(case["keep"])
        for block, expected in case["steps"]:
            assert server.acknowledge(block) == expected, (case["name"], block)


class Client:
    """acks: what it has sent since the last block."""

    def __init__(self):
        self.acks = []
        self.now = 5000000
        self.get = tftpget.Get(self.send, 65536)
        self.get.start(PEER, 69, b"x", 65536, self.now)
        size = 512 * BLOCKS - 1
        oack = b"\0\6blksize\x00512\0windowsize\x004\0keep\x001\0tsize\x00%d\0" % size
        self.get.receive(PEER, PORT, bytearray(oack), len(oack), self.now)

    def send(self, peer, port, buf, n):
        self.acks.append(unpack("!HH", bytes(buf[:n])) if n == 4 else None)

    def block(self, number):
        self.acks = []
        self.now += 5000
        buf = bytearray(516)
        tftp.put_head(buf, tftp.DATA, number)
        self.get.receive(PEER, PORT, buf, 516, self.now)
        return self.acks


def test_client_acknowledges_what_the_vectors_say():
    for case in V["client"]:
        client = Client()
        for block, expected in case["steps"]:
            acks = [] if expected is None else [(tftp.ACK, expected)]
            assert client.block(block) == acks, (case["name"], block, client.acks)
