"""Payloads and releases made by hand, on any Python: none of them can pack, so what is deflated
here was packed beforehand."""

from binascii import unhexlify
from io import BytesIO
from struct import pack

from swdist.crypto.ucryptolib import sha256
from swdist.formats import manifest as manifest_format
from swdist.formats.bits import to_hex
from swdist.formats.index import DEFLATE, STORED
from swdist.storage.payloads import File
from swdist.trust.verify import Release

CHUNK = 4096
PAGE_ENTRIES = 64  # chunks of one page, unless a test wants others
NETWORK = b"networkX"
ZEROS = unhexlify("edc1010d000000c2a0f74f6d0f0714000000f06e")  # of 4096 bytes 0, packed
LETTERS = unhexlify("edc181000000008020d6fd2516a90a" + "00" * 63 + "6a")  # of 65536 letters a


def entry(piece, size=None, encoding=STORED):
    """Of a piece as it is sent; size: bytes inflated, if that is not the same."""
    return sha256(piece)[:16] + pack(
        "!HHB", len(piece) & 65535, (size or len(piece)) & 65535, encoding
    )


class Made:
    """chunks: [(as sent, inflated, encoding)], or bytes to be cut into stored chunks. whole: what
    the index says that all of it hashes to, if that is not true."""

    def __init__(self, chunks, size=CHUNK, per_page=PAGE_ENTRIES, whole=None):
        if isinstance(chunks, bytes):
            cut = [chunks[i : i + size] for i in range(0, len(chunks), size)]
            chunks = [(c, c, STORED) for c in cut]
        self.data = b"".join([c[1] for c in chunks])
        self.chunks = [c[0] for c in chunks]
        table = [entry(c[0], len(c[1]), c[2]) for c in chunks]
        self.pages = []
        for i in range(0, len(table), per_page):
            self.pages.append(b"".join(table[i : i + per_page]))
        self.pieces = self.pages + self.chunks
        self.index = (whole or sha256(self.data)) + b"".join([entry(p) for p in self.pages])
        self.pid = sha256(self.index)
        self.stored = sum([len(c) for c in self.chunks])

    def line(self, kind="slot", boards="any"):
        fields = kind, len(self.data), self.stored, to_hex(self.pid), boards
        return "%s %d %d %s %s" % fields

    def name(self, what):
        """For the TFTP server."""
        return ("1/%s/%s" % (to_hex(self.pid), what)).encode()

    def write(self, fs, folder, payload=None):
        """As the network side keeps it, below `folder`. Its own folder."""
        path = folder + "/" + to_hex(self.pid)
        fs.mkdirs(path)
        for name, data in (
            ("/index", self.index),
            ("/pages", b"".join(self.pages)),
            ("/payload", b"".join(self.chunks) if payload is None else payload),
        ):
            fs.write_atomic(path + name, data)
        return path


def packed(data, as_sent):
    return [(as_sent, data, DEFLATE)]


def manifest(
    version="1.0.0", lines=(), revision=0, signed="2026-11-23T10:00:00Z",
    start="2026-11-24T03:00:00Z", end=None, more="",
):  # fmt: skip
    """lines: Made, or the text of a line. None: withdrawn."""
    text = "Format: swdist-release 1\nNetwork: %s\nVersion: %s\nRevision: %d\n" % (
        to_hex(NETWORK), version, revision,
    )  # fmt: skip
    text += "Channel: %s\nSigned-At: %s\nStart: %s\n" % (
        "experimental" if end else "stable", signed, start,
    )  # fmt: skip
    if end:
        text += "End: %s\n" % end
    if not lines:
        text += "Withdrawn: yes\n"
    for i in range(len(lines)):
        line = lines[i].line() if isinstance(lines[i], Made) else lines[i]
        text += "Payload-%d: %s\n" % (i + 1, line)
    return (text + more).encode()


def parsed(*args, **more):
    m, why = manifest_format.parse(manifest(*args, **more))
    assert why is None, why
    return m


class Trust:
    """Stands in for verify.Trust: signatures are good if they say so."""

    baked = ()
    network = NETWORK

    def check(self, manifest, signatures, more=b""):
        m, why = manifest_format.parse(manifest)
        if m is None:
            return None, why
        if bytes(signatures) != b"good":
            return None, "signatures: malformed"
        return Release(m), signatures

    def next_set(self):
        return 1

    def adopt(self, release):
        return False

    def trusts(self, rid):
        return False


def fill(store, made, upto=None):
    """Puts the index and the pieces up to that one, or all, one at a time. The Held."""
    assert store.put_index(made.pid, made.index) is None
    h = store.held(made.pid)
    while h.held < (len(made.pieces) if upto is None else upto):
        piece = made.pieces[h.held]
        taken, why = store.put(h, memoryview(piece))
        assert (taken, why) == (len(piece), None), (h.held, why)
    return h


def file_of(data):
    """What a server gives, from memory."""
    return File(BytesIO(data), 0, len(data))
