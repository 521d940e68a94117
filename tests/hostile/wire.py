"""TFTP by hand, over real sockets: what a hostile peer says, and what it gets."""

import select
import socket
import struct
import time

RRQ, WRQ, DATA, ACK, ERROR, OACK = range(1, 7)
WAIT_S = 5


class Peer(socket.socket):
    """A UDP socket; addresses of 127.0.0.0/8 are all at hand, one for each stranger."""

    def __init__(self, address="127.0.0.1"):
        super().__init__(socket.AF_INET, socket.SOCK_DGRAM)
        self.bind((address, 0))
        self.settimeout(WAIT_S)

    def take(self, seconds=WAIT_S):
        """(opcode, number, rest, source), or None if nothing comes."""
        self.settimeout(seconds)
        try:
            data, source = self.recvfrom(70000)
        except (TimeoutError, BlockingIOError):
            return None
        return (*struct.unpack_from("!HH", data), data[4:], source)


def request(name, op=RRQ, **options):
    words = [name, b"octet"]
    for key, value in options.items():
        words += [key.encode(), str(value).encode()]
    return struct.pack("!H", op) + b"".join(word + b"\0" for word in words)


def packet(op, number, rest=b""):
    return struct.pack("!HH", op, number) + rest


def oack(**options):
    return request(b"", OACK, **options)[:2] + request(b"", **options)[9:]


def options_of(op, number, rest):
    """{name: value} of an OACK, whose options begin right behind the opcode."""
    assert op == OACK
    words = (struct.pack("!H", number) + rest).split(b"\0")[:-1]
    return dict(zip(words[::2], map(int, words[1::2])))


def bytes_until(end, sockets):
    """How many bytes each socket gets until a time of time.monotonic()."""
    got = dict.fromkeys(sockets, 0)
    while (left := end - time.monotonic()) > 0:
        for s in select.select(sockets, [], [], left)[0]:
            got[s] += len(s.recv(70000))
    return got
