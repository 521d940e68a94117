"""Section 4: TFTP, both sides. `send(data)` and `now_us` come from outside."""

import struct

from .manifest import decimal
from .trust import Malformed

RRQ, WRQ, DATA, ACK, ERROR, OACK = range(1, 7)
BLOCK, WINDOW = 1428, 16
TIMER_US, MAX_TIMER_US, TRIES = 200_000, 1_600_000, 6
MAX_TRANSFERS, PER_ADDRESS = 6, 2
LIMITS = {"blksize": (8, 65464), "windowsize": (1, 65535), "tsize": (0, 2**32), "keep": (1, 1)}


def error(code, text):
    return struct.pack("!HH", ERROR, code) + text.encode() + b"\0"


def strings(pairs):
    return b"".join(str(word).encode() + b"\0" for pair in pairs for word in pair)


def parse_options(words):
    """{name: number} of the options that are known and within their limits; Malformed for ERROR 8.

    Values of section 4, rule 3, that are outside are as good as not asked for.
    """
    names, options = [word.lower() for word in words[::2]], {}
    if len(words) % 2 or "" in words or len(set(names)) < len(names):
        raise Malformed("options")
    for name, value in zip(names, words[1::2]):
        try:
            options[name] = decimal(value, *LIMITS[name])
        except (KeyError, Malformed):
            continue
    return options


def parse_request(packet):
    """(name, options) of a read request, the ERROR that answers it, or None to ignore it."""
    if packet[:2] not in (b"\0\1", b"\0\2"):
        return None
    words = packet[2:].decode("latin-1").split("\0")
    if len(words) < 3:
        return None
    if packet[1] == WRQ:
        return error(2, "read only")
    if words[1].lower() != "octet":
        return error(4, "octet only")
    try:
        if words[-1]:
            raise Malformed("no end")
        return words[0], parse_options(words[2:-1])
    except Malformed:
        return error(8, "bad options")


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
    """`serve(name)` gives bytes or None; `open_port(link)` a function that sends from a port of its
    own to (peer, data): each transfer has one, which hands what comes to `receive` too."""

    def __init__(self, serve, open_port):
        self.serve, self.open_port = serve, open_port
        self.transfers = {}  # (peer, its port) -> (Sending, send)
        self.credit = {}  # peer -> bytes that it may still be sent before it acknowledges
        self.owed_at_us = 0

    def request(self, link, peer, port, packet, now_us):
        """A datagram to the port that is announced."""
        credit = self.credit[peer] = min(self.credit.get(peer, 0) + 3 * len(packet), 4096)
        found = parse_request(packet)
        if found is None:
            return
        send = self.open_port(link, peer, port)
        if isinstance(found, bytes):
            answer = found
        elif (data := self.serve(found[0])) is None:
            answer = error(1, "not here")
        else:
            answer = self._begin(peer, port, data, found[1], send, now_us)
        for one in [answer] if isinstance(answer, bytes) else answer:
            if len(one) <= credit:
                self.credit[peer] -= len(one)
            elif len(one) > 516 or now_us < self.owed_at_us:
                return  # rule 7: it will ask again
            else:
                self.owed_at_us = now_us + 1_000_000
            send(one)

    def _begin(self, peer, port, data, options, send, now_us):
        self.transfers.pop((peer, port), None)
        mine = [key for key in self.transfers if key[0] == peer]
        if len(self.transfers) >= MAX_TRANSFERS or len(mine) >= PER_ADDRESS:
            return error(0, "busy")
        transfer = Sending(data, options, now_us)
        self.transfers[peer, port] = (transfer, send)
        return transfer.begin()

    def receive(self, peer, port, packet, now_us):
        """A datagram to the port of a transfer."""
        transfer, send = self.transfers.get((peer, port), (None, None))
        if not transfer or len(packet) < 4:
            return
        kind, n = struct.unpack_from("!HH", packet)
        if kind == ERROR:
            del self.transfers[peer, port]
        if kind != ACK:
            return
        for one in transfer.packets(transfer.acknowledged(n, now_us)):
            send(one)
        if transfer.is_done:
            del self.transfers[peer, port]

    def tick(self, now_us):
        for key, (transfer, send) in list(self.transfers.items()):
            if not transfer.timer.rings(now_us):
                continue
            if transfer.timer.tries > TRIES:
                del self.transfers[key]
                continue
            for one in transfer.again():
                if not transfer.is_known and self.credit[key[0]] < len(one):
                    break
                self.credit[key[0]] -= len(one)
                send(one)


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
        self.reported = None  # the block before a gap that was told
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
        if options is None or any(options.get(k, 0) > self.asked[k] for k in self.asked if k != "tsize"):
            self.failure = (8, "options that were not asked for")
            return [error(*self.failure)]
        self.block = options.get("blksize", 512)
        self.window = options.get("windowsize", 1)
        self.keep = "keep" in options
        self.timer.start(now_us)
        return [struct.pack("!HH", ACK, 0)]

    def _block(self, n, block, now_us):
        """The block to acknowledge, or None (rule 5)."""
        if n <= self.got or len(block) > self.block:
            return None
        if n > self.got + 1:
            if self.keep and n <= self.got + 2 * self.window:
                self.ahead[n] = block
            if self.reported == self.got:
                return None
            self.reported = self.acked = self.got
            return self.got
        behind_gap = self.reported == self.got
        self.ahead[n] = block
        while self.got + 1 in self.ahead:
            self.got += 1
            block = self.ahead.pop(self.got)
            self.data += block
            if len(block) < self.block:
                self.is_done = True
                break
        self.timer.start(now_us)
        if len(self.data) > self.limit:
            self.failure = (0, "too long")
        if not (behind_gap or self.is_done or self.got >= self.acked + self.window):
            return None
        self.acked = self.got
        self.reported = self.got if self.ahead else None
        return self.got

    def tick(self, now_us):
        """What is sent again; fails after TRIES."""
        if self.is_done or self.failure or not self.timer.rings(now_us):
            return []
        if self.timer.tries > TRIES:
            self.failure = (None, "no answer")
            return []
        self.reported = None
        self.acked = self.got
        return [struct.pack("!HH", ACK, self.got) if self.has_answer else self.request]
