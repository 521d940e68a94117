"""TFTP packets (RFC 1350), options (RFC 2347, 2348, 2349, 7440), and the timer both sides use.

Nothing here raises on what a peer sends: length first, then form, then meaning.
"""

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
E_OPTION = 8
BUSY = b"busy"  # text of E_UNDEFINED: ask again a little later

KEEP = b"keep"  # our own option: the client keeps blocks behind a gap
DEFAULT_BLKSIZE = 512
MIN_BLKSIZE = 8
MAX_BLKSIZE = 1428  # what fits an Ethernet frame over IPv6
LEGAL_BLKSIZE = 65464  # RFC 2348: more is not a block size at all
MAX_WINDOW = 64
LEGAL_WINDOW = 65535  # RFC 7440
HEAD_BYTES = 4
PACKET_BYTES = HEAD_BYTES + MAX_BLKSIZE
MAX_REQUEST_BYTES = 512
MAX_NAME_BYTES = 128
MAX_WORDS = 16  # strings in a request or OACK

REJECT_MALFORMED = -1
REJECT_STRANGER = -2  # not from the peer and port of the transfer
REJECT_STALE = -3  # a block, acknowledgement or option that is out of place
REJECT_BUSY = -4  # no slot: the client asks again

RTO_FIRST_US = 250000  # neighbours are one hop away
RTO_AGAIN_US = 100000  # for a request to a peer that answered before
RTO_MIN_US = 20000
RTO_MAX_US = 1000000
STOCK_RTO_MAX_US = 8000000  # so long a stock client waits as well

STALL_US = 10000000  # a transfer without progress ends after that
STOCK_STALL_US = 31000000  # and a stock client's, which asks again after 5 s, or 1, 3, 7 and 15 s
TRICKLE_US = 15000000  # a transfer may last that long ...
TRICKLE_US_PER_KIB = 300000  # ... and this longer for each KiB that has arrived


class Timer:
    """Retransmission timeout from measured round trips (RFC 6298), all in microseconds."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.srtt_us = 0  # 0: never measured
        self._var_us = 0
        self.rto_us = RTO_FIRST_US

    def resume(self):
        """Begins a transfer with the same peer: it is as far away as before, but opens a file."""
        self.rto_us = max(self._measured(), RTO_AGAIN_US)

    def _measured(self):
        rto = self.srtt_us + 4 * self._var_us if self.srtt_us else RTO_FIRST_US
        return min(max(rto, RTO_MIN_US), RTO_MAX_US)

    def sample(self, rtt_us):
        """The round trip of a packet that was sent once (Karn's rule is the caller's)."""
        if self.srtt_us == 0:
            self.srtt_us = max(rtt_us, 1)
            self._var_us = rtt_us // 2
        else:
            self._var_us += (abs(self.srtt_us - rtt_us) - self._var_us) // 4
            self.srtt_us = max(self.srtt_us + (rtt_us - self.srtt_us) // 8, 1)
        self.rto_us = self._measured()

    def shortest_us(self):
        """What comes earlier after a transmission is no answer to it."""
        return self.srtt_us * 3 // 4 if self.srtt_us else RTO_MIN_US

    def back_off(self, most_us):
        self.rto_us = min(self.rto_us * 2, most_us)

    def answered_late(self, elapsed_us):
        """An answer after a retransmission is no sample (Karn), but the round trip is no longer
        than the time since the first transmission: no need to stay backed off beyond that."""
        self.rto_us = min(self.rto_us, max(self._measured(), elapsed_us))


def too_slow(elapsed_us, size):
    """Has a transfer of `size` bytes so far lasted longer than a slow but honest one?"""
    return elapsed_us > TRICKLE_US + TRICKLE_US_PER_KIB * (size >> 10)


def opcode(buf, n):
    """The operation, or REJECT_MALFORMED. DATA, ACK and ERROR have their 4 bytes."""
    if n < HEAD_BYTES or buf[0] != 0 or not RRQ <= buf[1] <= OACK:
        return REJECT_MALFORMED
    return buf[1]


def block_of(buf):
    """The block number, or the code of an ERROR."""
    return buf[2] << 8 | buf[3]


def put_head(buf, op, number):
    """The first 4 bytes; number is taken modulo 65536."""
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
    return put_text(buf, HEAD_BYTES, text)


def put_option(buf, at, name, value):
    return put_text(buf, put_text(buf, at, name), b"%d" % value)


def grant(buf, at, options, name, least, legal, most):
    """(what is granted of an option or 0, the offset behind that in the OACK). What the RFCs do not
    allow is as good as not asked for."""
    value = options.get(name, 0)
    if not least <= value <= legal:
        return 0, at
    value = min(value, most)
    return value, put_option(buf, at, name, value)


def put_request(buf, name, blksize, window):
    """A read request with options; its length in bytes. Name: at most MAX_NAME_BYTES."""
    put_head(buf, RRQ, 0)
    at = put_text(buf, put_text(buf, 2, name), b"octet")
    at = put_option(buf, at, b"blksize", blksize)
    at = put_option(buf, at, b"windowsize", window)
    at = put_option(buf, at, KEEP, 1)
    return put_option(buf, at, b"tsize", 0)


def strings(buf, at, n):
    """The zero-terminated strings of buf[at:n], at most MAX_WORDS, or None if the last has no
    end or they are too many or too long."""
    if at >= n:
        return []
    if n > MAX_REQUEST_BYTES or buf[n - 1] != 0:
        return None
    found = bytes(memoryview(buf)[at : n - 1]).split(b"\0")
    return found if len(found) <= MAX_WORDS else None


def options(words):
    """{lower-case name: number} of name, value, name, value ..., or None, also where one comes
    twice. What is not a decimal number of up to 9 digits is left out, as an unknown option
    (RFC 2347 allows that)."""
    if len(words) % 2:
        return None
    found = {}
    names = []
    for i in range(0, len(words), 2):
        name = words[i].lower()
        value = words[i + 1]
        if not name or name in names:
            return None
        names.append(name)
        if 0 < len(value) <= 9 and value.isdigit():
            found[name] = int(value)
    return found


def request(buf, n):
    """(RRQ or WRQ, name, options) of a well-formed request in mode octet; (ERROR, code, why not) of
    another; None of what is no request."""
    op = opcode(buf, n)
    if op != RRQ and op != WRQ:
        return None
    words = strings(buf, 2, n)
    if words is None or len(words) < 2 or not 0 < len(words[0]) <= MAX_NAME_BYTES:
        return None
    if words[1].lower() != b"octet":
        return ERROR, E_ILLEGAL, b"mode octet only"
    found = options(words[2:])
    if found is None:
        return ERROR, E_OPTION, b"half an option, or one twice"
    return op, words[0], found
