"""TFTP packets (RFC 1350), options (RFC 2347, 2348, 2349, 7440), and the timer both sides use."""

RRQ = 1
WRQ = 2
DATA = 3
ACK = 4
ERROR = 5
OACK = 6

E_UNDEFINED = 0
E_NOT_FOUND = 1
E_ACCESS = 2
E_ILLEGAL = 4
E_TID = 5
E_OPTION = 8

DEFAULT_BLKSIZE = 512
MAX_BLKSIZE = 1428  # what fits an Ethernet frame over IPv6
MAX_WINDOW = 64
HEAD_BYTES = 4
PACKET_BYTES = HEAD_BYTES + MAX_BLKSIZE
MAX_REQUEST_BYTES = 512
MAX_NAME_BYTES = 128

REJECT_MALFORMED = -1
REJECT_STRANGER = -2  # not from the peer and port of the transfer
REJECT_STALE = -3  # a block, acknowledgement or option that is out of place

RTO_FIRST_US = 500000
RTO_MIN_US = 20000
RTO_MAX_US = 3000000


class Timer:
    """Retransmission timeout from measured round trips (RFC 6298, in microseconds)."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.srtt_us = 0
        self._var_us = 0
        self.rto_us = RTO_FIRST_US

    def sample(self, rtt_us):
        """A round trip of a packet that was sent once (Karn's rule is the caller's)."""
        if self.srtt_us == 0:
            self.srtt_us = max(rtt_us, 1)
            self._var_us = rtt_us // 2
        else:
            self._var_us += (abs(self.srtt_us - rtt_us) - self._var_us) // 4
            self.srtt_us += (rtt_us - self.srtt_us) // 8
        self.rto_us = min(max(self.srtt_us + 4 * self._var_us, RTO_MIN_US), RTO_MAX_US)

    def back_off(self):
        self.rto_us = min(self.rto_us * 2, RTO_MAX_US)


def opcode(buf, n):
    """The operation, or REJECT_MALFORMED. DATA, ACK and ERROR have their 4 bytes."""
    if n < 4 or buf[0] != 0 or not RRQ <= buf[1] <= OACK:
        return REJECT_MALFORMED
    return buf[1]


def block_of(buf):
    return buf[2] << 8 | buf[3]


def put_head(buf, op, number):
    buf[0] = 0
    buf[1] = op
    buf[2] = number >> 8 & 0xFF
    buf[3] = number & 0xFF


def put_text(buf, at, data):
    """Writes data and a zero byte; the offset behind it."""
    buf[at : at + len(data)] = data
    buf[at + len(data)] = 0
    return at + len(data) + 1


def put_error(buf, code, text):
    """An ERROR packet; its length in bytes."""
    put_head(buf, ERROR, code)
    return put_text(buf, 4, text)


def put_option(buf, at, name, value):
    return put_text(buf, put_text(buf, at, name), b"%d" % value)


def strings(buf, at, n):
    """The zero-terminated strings of buf[at:n], at most 16, or None if the last has no end."""
    if at >= n:
        return []
    if buf[n - 1] != 0:
        return None
    found = bytes(buf[at : n - 1]).split(b"\0")
    return found if len(found) <= 16 else None


def options(words):
    """{lower-case name: number} of name, value, name, value ..., or None. What is not a decimal
    number of up to 9 digits is left out, as an unknown option (RFC 2347 allows that)."""
    if len(words) % 2:
        return None
    found = {}
    for i in range(0, len(words), 2):
        name = words[i].lower()
        value = words[i + 1]
        if name in found:
            return None
        if 0 < len(value) <= 9 and value.isdigit():
            found[name] = int(value)
    return found
