"""Section 4: TFTP, both sides. `send(data)` and `now_us` come from outside."""

import re
import struct
from functools import partial

from .trust import Malformed

RRQ, WRQ, DATA, ACK, ERROR, OACK = range(1, 7)
BLOCK, WINDOW = 1428, 16
MAX_REQUEST, MAX_STRINGS, MAX_NAME = 512, 16, 128
TIMER_US, MAX_TIMER_US, TRIES = 200_000, 1_600_000, 6
MAX_TRANSFERS, PER_ADDRESS, MAX_ADDRESSES = 6, 2, 256
LIMITS = {"blksize": (8, 65464), "windowsize": (1, 65535), "tsize": (0, 999999999), "keep": (1, 1)}

_NUMBER = re.compile("[0-9]{1,9}", re.ASCII)


def error(code, text):
    return struct.pack("!HH", ERROR, code) + text.encode() + b"\0"


def strings(pairs):
    return b"".join(str(word).encode() + b"\0" for pair in pairs for word in pair)


def parse_options(words):
    """{name: number} of the options that are known and within their limits: others are as good as
    not asked for. Malformed for ERROR 8."""
    names, options = [word.lower() for word in words[::2]], {}
    if len(words) % 2 or "" in names or len(set(names)) < len(names):
        raise Malformed("options")
    for name, value in zip(names, words[1::2]):
        low, high = LIMITS.get(name, (1, 0))
        if _NUMBER.fullmatch(value) and low <= int(value) <= high:
            options[name] = int(value)
    return options


def parse_request(packet):
    """(name, options) of a read request, the ERROR that answers it, or None to ignore it."""
    words = packet[2:].decode("latin-1").split("\0")
    is_request = packet[:2] in (b"\0\1", b"\0\2") and len(packet) <= MAX_REQUEST
    if not is_request or words.pop() or not 2 <= len(words) <= MAX_STRINGS:
        return None
    if not 1 <= len(words[0]) <= MAX_NAME:
        return None
    if words[1].lower() != "octet":
        return error(4, "octet only")
    try:
        options = parse_options(words[2:])
    except Malformed:
        return error(8, "bad options")
    return error(2, "read only") if packet[1] == WRQ else (words[0], options)


class Timer:
    """When to send again: the wait doubles, and ends after TRIES."""

    def __init__(self, now_us):
        self.start(now_us)

    def start(self, now_us):
        self.tries, self.at_us = 0, now_us + TIMER_US

    def rings(self, now_us):
        if now_us < self.at_us:
            return False
        self.tries += 1
        self.at_us = now_us + min(TIMER_US << self.tries, MAX_TIMER_US)
        return True


class Sending:
    """One transfer of a server."""

    def __init__(self, data, options, now_us):
        self.granted = {k: v for k, v in options.items() if k != "tsize"}
        self.block = options.get("blksize", 512)
        self.window = options.get("windowsize", 1)
        self.keep = "keep" in options
        if "tsize" in options:
            self.granted["tsize"] = len(data)
        self.data, self.last = data, len(data) // self.block + 1
        self.port = None  # the transfer's own
        self.acked, self.sent, self.is_known = 0, 0, False  # known: it has acknowledged something
        self.timer = Timer(now_us)

    def begin(self):
        if self.granted:
            return [struct.pack("!H", OACK) + strings(self.granted.items())]
        return self.packets(self._window())

    def _window(self):
        first, self.sent = self.sent + 1, min(self.acked + self.window, self.last)
        return range(first, self.sent + 1)

    def packets(self, blocks):
        b = self.block
        return [struct.pack("!HH", DATA, n) + self.data[(n - 1) * b : n * b] for n in blocks]

    def acknowledged(self, n, now_us):
        """The blocks that answer this acknowledgement (rule 5)."""
        again = self.is_known and n == self.acked
        if n < self.acked or n > self.sent or (again and self.window == 1):
            return []  # an old one; or, in lock-step, one twice: RFC 1123, section 4.2.3.1
        self.acked, self.is_known = n, True
        self.timer.start(now_us)
        if n < self.sent and not self.keep:
            self.sent = n
        missing = [n + 1] if n < self.sent else []
        return missing + list(self._window())

    def again(self):
        """What is sent when the timer has rung."""
        if self.granted and not self.is_known:
            return self.begin()
        first, last = self.acked + 1, self.sent
        blocks = {first, last} if self.keep else range(first, last + 1)
        return self.packets(sorted(blocks))

    @property
    def is_done(self):
        return self.acked == self.last


class Server:
    """`serve(name)` gives bytes or None; `open_port` is that of the node's network."""

    def __init__(self, serve, open_port):
        self.serve, self.open_port = serve, open_port
        self.transfers = {}  # (peer, its port) -> Sending
        self.credit = {}  # peer -> bytes that it may still be sent before it acknowledges
        self.owed_at_us = 0

    def request(self, link, peer, port, packet, now_us):
        """A datagram to the port that is announced."""
        if len(self.credit) >= MAX_ADDRESSES:
            self.credit.clear()
        self.credit[peer] = min(self.credit.get(peer, 0) + 3 * len(packet), 4096)
        found = parse_request(packet)
        if found is None:
            return
        key = (peer, port)
        self._end(key)
        if isinstance(found, bytes):
            answers = [found]
        elif (data := self.serve(found[0])) is None:
            answers = [error(1, "not here")]
        elif not self._has_slot(peer):
            answers = [error(0, "busy")]
        else:
            sending = self.transfers[key] = Sending(data, found[1], now_us)
            answers = sending.begin()
        transport = self.open_port(partial(self._receive, key), link, peer)
        if self._may_send(peer, len(answers[0]), now_us):
            transport.send(answers[0], port)  # the others by the timer
        if key in self.transfers:
            self.transfers[key].port = transport
        else:
            transport.close()

    def _has_slot(self, peer):
        mine = [key for key in self.transfers if key[0] == peer]
        return len(self.transfers) < MAX_TRANSFERS and len(mine) < PER_ADDRESS

    def _end(self, key):
        if key in self.transfers:
            self.transfers.pop(key).port.close()

    def _may_send(self, peer, size, now_us):
        """Rule 7: what an address that has acknowledged nothing may be sent."""
        if size <= self.credit.get(peer, 0):
            self.credit[peer] -= size
            return True
        owed = size <= 516 and now_us >= self.owed_at_us
        if owed:
            self.owed_at_us = now_us + 1_000_000
        return owed

    def _receive(self, key, peer, port, packet, now_us):
        sending = self.transfers.get(key)
        if not sending or (peer, port) != key or len(packet) < 4:
            return
        kind, n = struct.unpack_from("!HH", packet)
        if kind == ACK:
            for block in sending.packets(sending.acknowledged(n, now_us)):
                sending.port.send(block, port)
        if kind == ERROR or sending.is_done:
            self._end(key)

    def tick(self, now_us):
        for key, sending in list(self.transfers.items()):
            if not sending.timer.rings(now_us):
                continue
            if sending.timer.tries > TRIES:
                self._end(key)
                continue
            for packet in sending.again():
                if sending.is_known or self._may_send(key[0], len(packet), now_us):
                    sending.port.send(packet, key[1])


class Client:
    """One transfer of a client. `data` grows by the blocks up to which it has all."""

    def __init__(self, name, limit, now_us):
        asked = {"blksize": BLOCK, "windowsize": WINDOW, "keep": 1, "tsize": 0}
        self.limit = limit
        self.asked = asked
        self.request = struct.pack("!H", RRQ) + strings([(name, "octet")] + list(asked.items()))
        self.block, self.window, self.keep = 512, 1, False
        self.data, self.got, self.acked = b"", 0, 0
        self.ahead = {}  # blocks behind a gap
        self.is_done, self.failure, self.has_answer = False, None, False  # (code, text)
        self.timer = Timer(now_us)

    def receive(self, packet, now_us):
        """The packets that answer one of the server's."""
        if len(packet) < 4 or self.is_done or self.failure:
            return []
        kind, n = struct.unpack_from("!HH", packet)
        if kind == ERROR:
            self.failure = (n, packet[4:].split(b"\0")[0].decode("latin-1"))
            return []
        if kind == OACK and not self.has_answer:
            return self._granted(packet, now_us)
        if kind != DATA:
            return []
        self.has_answer = True
        ack = self._block(n, packet[4:], now_us)
        return [] if ack is None else [struct.pack("!HH", ACK, ack)]

    def _granted(self, packet, now_us):
        try:
            options = parse_options(packet[2:].decode("latin-1").split("\0")[:-1])
        except Malformed:
            options = None
        self.has_answer = True
        bounded = ("blksize", "windowsize", "keep")
        if options is None or any(options.get(k, 0) > self.asked[k] for k in bounded):
            self.failure = (8, "options that were not asked for")
            return [error(*self.failure)]
        self.block = options.get("blksize", 512)
        self.window = options.get("windowsize", 1)
        self.keep = "keep" in options
        self.timer.start(now_us)
        return [struct.pack("!HH", ACK, 0)]

    def _block(self, n, block, now_us):
        """The block to acknowledge, or None (rule 5)."""
        if n <= self.got:  # again: an acknowledgement was lost
            return self.got if self.got == self.acked else None
        if n > self.got + self.window or len(block) > self.block:
            return None
        if n > self.got + 1:
            if self.keep:
                self.ahead[n] = block
            self.acked = self.got
            return self.got
        had_gap = bool(self.ahead)
        self.ahead[n] = block
        while self.got + 1 in self.ahead and not self.is_done:
            self.got += 1
            block = self.ahead.pop(self.got)
            self.data += block
            self.is_done = len(block) < self.block
        self.timer.start(now_us)
        if len(self.data) > self.limit:
            self.failure = (0, "too long")
        if not (had_gap or self.is_done or self.got == self.acked + self.window):
            return None
        self.acked = self.got
        return self.got

    def tick(self, now_us):
        """What is sent again; fails after TRIES."""
        if self.is_done or self.failure or not self.timer.rings(now_us):
            return []
        if self.timer.tries > TRIES:
            self.failure = (None, "no answer")
            return []
        self.acked = self.got
        return [struct.pack("!HH", ACK, self.got) if self.has_answer else self.request]
