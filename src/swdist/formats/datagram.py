"""Beacon, announce and query: reading and writing (docs/protocol.md, section 3)."""

from struct import pack_into, unpack_from

PORT = 27182
MAX_BYTES = 1200
HEADER_BYTES = 16

BEACON = 1
ANNOUNCE = 2
QUERY = 3
_FIXED_BYTES = (0, 48, 20, 8)

TLV_ECHO = 0x01
TLV_PENDING = 0x02
TLV_RELEASE = 0x03
TLV_PAYLOAD = 0x04
TLV_CENSUS = 0x05
_TLV_BYTES = (0, 24, 14, 42, 38, 8)

SYNCED = 1  # state bits of a beacon
REFERENCE = 2
ACTIVE_EXPERIMENTAL = 4
FAILED = 8
HELD = 16

EXPERIMENTAL = 2  # flag bits of a release
WITHDRAWN = 4
FAILED_HERE = 8

COMPLETE = 1  # flag bits of a payload
WANTED = 2
STARVED = 4

BEACON_FORM = "!QQqIiHHHHBBHI"
ANNOUNCE_FORM = "!Q8sHH"
ECHO_FORM = "!QqQ"
PENDING_FORM = "!HHHHIBB"
RELEASE_FORM = "!32sHHHHBB"
PAYLOAD_FORM = "!32sBBHH"

REJECT_FOREIGN = -1  # other magic, version, network or type
REJECT_MALFORMED = -2
REJECT_CRITICAL = -3  # unknown critical TLV


def kind(buf, n, network):
    """The type of a well-formed datagram of n bytes, or REJECT_*. After that its fixed part and
    its known TLVs can be unpacked without further checks."""
    if n < HEADER_BYTES or n > MAX_BYTES:
        return REJECT_MALFORMED
    magic, version, what, _, fixed, net = unpack_from("!3sBBBH8s", buf)
    if magic != b"swd" or version != 1 or net != network or not BEACON <= what <= QUERY:
        return REJECT_FOREIGN
    at = HEADER_BYTES + fixed
    if fixed < _FIXED_BYTES[what] or at > n:
        return REJECT_MALFORMED
    while at < n:
        if at + 3 > n:
            return REJECT_MALFORMED
        tlv = buf[at]
        size = buf[at + 1] << 8 | buf[at + 2]
        if tlv >= 0x80:
            return REJECT_CRITICAL
        if tlv < len(_TLV_BYTES) and size < _TLV_BYTES[tlv]:
            return REJECT_MALFORMED
        at += 3 + size
    return what if at == n else REJECT_MALFORMED


def first_tlv(buf):
    """Offset of the first TLV of a datagram that `kind` has accepted."""
    return HEADER_BYTES + (buf[6] << 8 | buf[7])


def next_tlv(buf, at):
    return at + 3 + (buf[at + 1] << 8 | buf[at + 2])


class Writer:
    """Builds one datagram at a time in .buf; .n is its length in bytes."""

    def __init__(self, network, nonce, rand):
        self.buf = bytearray(MAX_BYTES)
        self.n = 0
        self.nonce = nonce
        self._rand = rand
        pack_into("!3sBBBH8s", self.buf, 0, b"swd", 1, 0, 0, 0, network)

    def _begin(self, what):
        self.buf[4] = what
        self.buf[7] = _FIXED_BYTES[what]
        self.n = HEADER_BYTES + _FIXED_BYTES[what]

    def _tlv(self, what):
        """Opens a TLV. The offset of its value, or 0 when it does not fit."""
        size = _TLV_BYTES[what]
        at = self.n + 3
        if at + size > MAX_BYTES:
            return 0
        self.buf[self.n] = what
        self.buf[self.n + 1] = 0
        self.buf[self.n + 2] = size
        self.n = at + size
        return at

    def beacon(self, counter, offset, error, rate, version, revision, state, port, digest):
        """Times in microseconds, rate in ppb, digest 4 bytes as a number."""
        self._begin(BEACON)
        pack_into(
            BEACON_FORM, self.buf, HEADER_BYTES, self.nonce, counter, offset, error, rate,
            version[0], version[1], version[2], revision, state, 0, port, digest,
        )  # fmt: skip

    def echo(self, nonce, sample, rx_counter):
        at = self._tlv(TLV_ECHO)
        if at:
            pack_into(ECHO_FORM, self.buf, at, nonce, sample, rx_counter)

    def pending(self, version, revision, seconds, percent):
        at = self._tlv(TLV_PENDING)
        if at:
            pack_into(
                PENDING_FORM, self.buf, at, version[0], version[1], version[2], revision,
                min(seconds, 0xFFFFFFFF), percent, 0,
            )  # fmt: skip

    def announce(self, digest, count, port):
        self._begin(ANNOUNCE)
        pack_into(ANNOUNCE_FORM, self.buf, HEADER_BYTES, self.nonce, digest, count, port)

    def release(self, rid, version, revision, flags):
        """False when the datagram is full."""
        at = self._tlv(TLV_RELEASE)
        if at:
            a, b, c = version
            pack_into(RELEASE_FORM, self.buf, at, rid, a, b, c, revision, flags, 0)
        return at != 0

    def payload(self, pid, flags, total, held):
        """total, held: pieces. False when the datagram is full."""
        at = self._tlv(TLV_PAYLOAD)
        if at:
            pack_into(PAYLOAD_FORM, self.buf, at, pid, flags, 0, total, held)
        return at != 0

    def query(self):
        self._begin(QUERY)
        pack_into("!Q", self.buf, HEADER_BYTES, self.nonce)

    def grease(self):
        """One datagram in eight gets a TLV that nobody knows (RFC 9170)."""
        dice = self._rand(64)
        size = self._rand(9)
        if dice >= 8 or self.n + 3 + size > MAX_BYTES:
            return
        self.buf[self.n] = dice << 4 | 0x0A
        self.buf[self.n + 1] = 0
        self.buf[self.n + 2] = size
        for i in range(size):
            self.buf[self.n + 3 + i] = self._rand(256)
        self.n += 3 + size
