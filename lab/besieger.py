"""One attacker on a link, with any number of addresses, that does all at once what is known to have
hurt a node; with the project's own codecs.

python -m lab.besieger [--only NAME,NAME...] INTERFACE NETWORK TRUE.swd OLD.swd... -- ADDRESS...
ADDRESS: of the honest nodes, in whose names it speaks. It invents neighbours; offers and asks for
releases, with false ports and false times, in its own names and in theirs; keeps upload slots, and
serves what is superseded, damaged or hardly moves.
"""

import contextlib
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time
from types import SimpleNamespace

from lab.hostile import changed, part
from swdist.formats import datagram, tftp, usign
from swdist.machines.tftpserve import UPLOADS, Serve
from swdist.shell.link import GROUP
from swdist_host import release

TFTP_PORT = 27183
OFFERS = 8  # of one neighbour, as many as are remembered
SKEW_US = 70_000_000
JUNK_BYTES = 1500
INVENTED_IDS = 12
TRICKLE_S = 0.9  # a little less than what is taken for silence
TURN_S = 0.005
LOST_S = 5  # a server's own transfers, which nobody waits for any more
EXTREMES = (0, 1, -1, 1 << 31, (1 << 31) - 1, 1 << 32, (1 << 63) - 1, -(1 << 63), (1 << 64) - 1)
ETHERNET_IPV6 = 0x86DD
UDP = 17


def now_us():
    return time.monotonic_ns() // 1000


class Air:
    """The link: what is sent there may come from any address."""

    def __init__(self, interface):
        self.interface = interface
        self.index = socket.if_nametoindex(interface)
        self.raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.raw.bind((interface, 0))
        self.mac = self.raw.getsockname()[4]

    def shout(self, writer, source):
        """A datagram to all, in the name of an address of 16 bytes."""
        data = bytes(writer.buf[: writer.n])
        head = struct.pack("!HHHH", datagram.PORT, datagram.PORT, 8 + len(data), 0)
        pseudo = source + GROUP + struct.pack("!II", len(head + data), UDP)
        check = (checksum(pseudo + head + data) or 0xFFFF).to_bytes(2, "big")
        packet = struct.pack("!IHBB", 6 << 28, len(head + data), UDP, 1) + source + GROUP
        frame = b"\x33\x33" + GROUP[12:] + self.mac + ETHERNET_IPV6.to_bytes(2, "big")
        self.raw.send(frame + packet + head[:6] + check + data)

    def address(self):
        """A further one of its own, at which it gets what is sent there."""
        address = b"\xfe\x80" + bytes(6) + os.urandom(8)
        text = socket.inet_ntop(socket.AF_INET6, address)
        words = f"ip -6 addr add {text}/64 dev {self.interface} nodad"
        subprocess.run(words.split(), check=True)
        return address

    def socket(self, address, port=0):
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        text = socket.inet_ntop(socket.AF_INET6, address)
        sock.bind((text, port, 0, self.index))
        sock.setblocking(False)
        return sock

    def ears(self):
        """What others say to all."""
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("::", datagram.PORT, 0, self.index))
        member = GROUP + struct.pack("@I", self.index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
        sock.setblocking(False)
        return sock


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


class Besieger:
    """names: addresses of the honest nodes. Each attack is a method with its pause in ATTACKS."""

    def __init__(self, interface, network, true, old, names):
        self.air = Air(interface)
        self.network = network
        self.true, self.old = true, old
        self.names = names
        self.heard = {name: SimpleNamespace(nonce=0, ahead_us=0) for name in names}
        self.rng = random.Random(1)
        self.ears = self.air.ears()
        self.ready = {self.ears: self.hear}  # {socket: what takes from it}
        self.due = []  # [(when, what then)]
        self.holders = [self.air.address() for _ in range(2)]
        self.asking = {}  # {a holder's or small-block reader's socket}
        self.invented = [os.urandom(32) for _ in range(INVENTED_IDS)]
        self.aliases = {os.urandom(32): swd for swd in old}
        self.superseder = Server(self, self.give_old)
        self.junk = Server(self, self.give_junk)
        self.trickler = Server(self, None)

    # --- its turns

    def run(self):
        due = {attack: 0.0 for attack, _ in self.ATTACKS}
        while True:
            now = time.monotonic()
            for attack, pause_s in self.ATTACKS:
                if now >= due[attack]:
                    due[attack] = now + pause_s
                    attack(self)
            for when, what in [d for d in self.due if d[0] <= now]:
                self.due.remove((when, what))
                what()
            for server in (self.superseder, self.junk):
                server.tftp.tick(now_us())
            for sock in select.select(list(self.ready), [], [], TURN_S)[0]:
                try:
                    data, source = sock.recvfrom(2048)
                except OSError:
                    continue
                self.ready[sock](data, source)

    def hear(self, data, source):
        """Learns the nonce and the counter of those in whose names it speaks."""
        address = socket.inet_pton(socket.AF_INET6, source[0].partition("%")[0])
        if address not in self.heard:
            return
        if datagram.kind(data, len(data), self.network) == datagram.BEACON:
            f = struct.unpack_from(datagram.BEACON_FORM, data, datagram.HEADER_BYTES)
            self.heard[address].nonce = f[0]
            self.heard[address].ahead_us = f[1] - now_us()

    # --- what it says

    def writer(self, nonce):
        return datagram.Writer(self.network, nonce, lambda n: self.rng.randrange(n))

    def false_offers(self):
        for name in self.names:
            w = self.writer(self.heard[name].nonce)
            w.announce(os.urandom(8), OFFERS, TFTP_PORT)
            for _ in range(OFFERS):
                w.release(os.urandom(32), (9, self.rng.randrange(9), 9), 0, 0)
            self.air.shout(w, name)

    def false_ports(self):
        for name in self.names:
            w = self.writer(self.heard[name].nonce)
            w.announce(os.urandom(8), 0, self.rng.choice((0, 0, 9, 65535)))
            self.air.shout(w, name)

    def false_beacons(self):
        for name in self.names:
            them = self.heard[name]
            how = self.rng.randrange(3)
            nonce = self.rng.getrandbits(64) if how == 2 else them.nonce
            counter = now_us() + them.ahead_us
            offset = time.time_ns() // 1000 - counter
            counter += SKEW_US if how == 0 else 0
            offset += 0 if how == 0 else SKEW_US
            w = self.writer(nonce)
            w.beacon(counter, offset, 1000, 0, (1, 0, 0), 0, datagram.SYNCED, TFTP_PORT,
                     self.rng.getrandbits(32))  # fmt: skip
            self.air.shout(w, name)

    def newcomers(self):
        """A neighbour that nobody has heard before, and never hears again."""
        source = b"\xfe\x80" + bytes(6) + os.urandom(8)
        counter = now_us()
        w = self.writer(self.rng.getrandbits(64))
        w.beacon(counter, time.time_ns() // 1000 - counter, 1000, 0, (1, 0, 0), 0,
                 datagram.SYNCED, TFTP_PORT, self.rng.getrandbits(32))  # fmt: skip
        self.air.shout(w, source)
        w.announce(os.urandom(8), 1, TFTP_PORT)
        w.release(os.urandom(32), (9, 9, 9), 0, 0)
        w.payload(self.true.payloads[0].pid, datagram.COMPLETE, 9999, 9999)
        self.air.shout(w, source)

    def queries(self):
        for source in (*self.names, self.holders[0]):
            w = self.writer(self.rng.getrandbits(64))
            w.query()
            self.air.shout(w, source)

    def extremes(self):
        def n(bits, signed=False):
            value = self.rng.choice(EXTREMES) & ((1 << bits) - 1)
            return value - (1 << bits) if signed and value >> (bits - 1) else value

        for source in (*self.names, self.holders[1]):
            w = self.writer(self.heard[source].nonce if source in self.heard else 1)
            counter, offset = n(64), n(64, True)
            if self.rng.randrange(2):  # a sum that is a fair time
                fair = time.time_ns() // 1000 - counter
                offset = fair if -(1 << 63) <= fair < 1 << 63 else offset
            w.beacon(counter, offset, n(32), n(32, True), (n(16), n(16), n(16)), n(16), n(8),
                     TFTP_PORT, n(32))  # fmt: skip
            for them in self.heard.values():
                w.echo(them.nonce, n(64, True), n(64))
            w.pending((n(16), n(16), n(16)), n(16), n(32), n(8))
            self.air.shout(w, source)

    def own_offers(self):
        """Old releases as the newest, also under ids that nobody knows; the true one, with junk;
        and what trickles in."""
        for server, offers in (
            (self.superseder, [*[swd.rid for swd in self.old], *self.aliases]),
            (self.junk, [self.true.rid]),
            (self.trickler, self.invented),
        ):
            w = self.writer(server.nonce)
            for _ in range(0, len(offers), OFFERS):
                w.announce(os.urandom(8), len(offers), TFTP_PORT)
                for rid in self.rng.sample(offers, min(len(offers), OFFERS)):
                    version = (1, 1, 0) if server is self.junk else (9, self.rng.randrange(9), 9)
                    w.release(rid, version, 9, 0)
                for swd in (self.true, *self.old[:4]):
                    total = len(swd.payloads[0].pieces)
                    w.payload(swd.payloads[0].pid, datagram.COMPLETE, total, total)
                self.air.shout(w, server.address)

    # --- what it asks for

    def hold_slots(self):
        """Four transfers of two addresses: the options are acknowledged, no block is, and before
        the slot is old something else is asked for."""
        while len(self.asking) < 4:
            sock = self.air.socket(self.holders[len(self.asking) // 2])
            self.asking[sock] = None
            self.ready[sock] = self.answered(sock)
        for sock in self.asking:
            n = self.rng.randrange(1, len(self.true.payloads[0].pieces))
            self.ask(sock, f"1/{self.true.payloads[0].pid.hex()}/{n}-{n}", 1428, 64)

    def answered(self, sock):
        def take(data, source):
            if data[1] == tftp.OACK:
                sock.sendto(b"\0\4\0\0", source)

        return take

    def small_blocks(self):
        """8 bytes each, in the largest window that there is; the first ones are acknowledged."""
        sock = self.air.socket(self.holders[self.rng.randrange(2)])

        def take(data, source):
            if data[1] == tftp.DATA or data[1] == tftp.OACK:
                sock.sendto(b"\0\4" + (data[2:4] if data[1] == tftp.DATA else b"\0\0"), source)

        def end():
            del self.ready[sock]
            sock.close()

        self.ready[sock] = take
        self.due.append((time.monotonic() + LOST_S, end))
        self.ask(sock, f"1/{self.true.rid.hex()}/manifest", tftp.MIN_BLKSIZE, tftp.LEGAL_WINDOW)

    def ask(self, sock, name, blksize, window):
        out = bytearray(tftp.MAX_REQUEST_BYTES)
        n = tftp.put_request(out, name.encode(), blksize, window)
        for server in self.names:
            to = (socket.inet_ntop(socket.AF_INET6, server), TFTP_PORT, 0, self.air.index)
            with contextlib.suppress(OSError):  # it is off
                sock.sendto(out[:n], to)

    # --- what it gives

    def give_old(self, name):
        """Old releases, and them again under other ids. Of payloads nothing."""
        key, what = parts(name)
        for swd in self.old:
            if key == swd.rid:
                return part(getattr(swd, what, b""))
        swd = self.aliases.get(key)
        return None if swd is None else part(getattr(swd, what, b""))

    def give_junk(self, name):
        """The true release, its signatures with what nobody can check, its pieces damaged."""
        key, what = parts(name)
        packed = self.true.payloads[0]
        if key == self.true.rid and what == "signatures":
            blocks = len(usign.parse_signatures(self.true.signatures))
            data = self.true.signatures
            for _ in range(usign.MAX_BLOCKS - blocks):
                data += usign.block(b"Zz", os.urandom(8), os.urandom(JUNK_BYTES))
            return part(data)
        if key == self.true.rid and what == "manifest":
            return part(self.true.manifest)
        if key == packed.pid and what == "index":
            return part(packed.index)
        if key == packed.pid:
            first, _, last = what.partition("-")
            return part(b"".join(changed(p) for p in packed.pieces[int(first) : int(last) + 1]))
        return None

    ATTACKS = (
        (false_offers, 10), (false_ports, 0.2), (false_beacons, 5), (newcomers, 0.05),
        (queries, 0.5), (extremes, 1), (own_offers, 2), (hold_slots, 0.2), (small_blocks, 0.5),
    )  # fmt: skip


def parts(name):
    """(id, what of it) of a name that is asked for."""
    _, key, what = bytes(name).decode("ascii", "replace").split("/")
    return bytes.fromhex(key), what


class Server:
    """Answers at an address of its own: what `give` opens, or, without one, hardly anything."""

    def __init__(self, besieger, give):
        self.air = besieger.air
        self.address = self.air.address()
        self.nonce = random.getrandbits(64)
        self.sock = self.air.socket(self.address, TFTP_PORT)
        besieger.ready[self.sock] = self.asked if give else self.trickle
        self.besieger = besieger
        self.tftp = Serve(self.send, give, UPLOADS)
        self.slots = [self.air.socket(self.address) for _ in range(UPLOADS)]
        for i, sock in enumerate(self.slots):
            besieger.ready[sock] = lambda data, source, i=i: self.tftp.receive(
                i, peer_of(source), source[1], data, len(data), now_us()
            )

    def send(self, slot, peer, port, buf, n):
        sock = self.sock if slot < 0 else self.slots[slot]
        to = (socket.inet_ntop(socket.AF_INET6, bytes(peer[:16])), port, 0, self.air.index)
        with contextlib.suppress(OSError):  # it is off
            sock.sendto(buf[:n], to)

    def asked(self, data, source):
        self.tftp.request(peer_of(source), source[1], data, len(data), now_us())

    def trickle(self, data, source):
        """Blocks of 8 bytes, each when the last patience is about to end."""
        words = tftp.request(data, len(data))
        if words is None or words[0] != tftp.RRQ:
            return
        sock = self.slots[random.randrange(len(self.slots))]
        out = bytearray(64)
        at = tftp.put_option(out, 2, b"blksize", tftp.MIN_BLKSIZE)
        tftp.put_head(out, tftp.OACK, int.from_bytes(out[2:4], "big"))
        state = SimpleNamespace(block=0)

        def more():
            state.block += 1
            sock.sendto(struct.pack("!HH", tftp.DATA, state.block) + bytes(8), source)
            if state.block < 100:
                self.besieger.due.append((time.monotonic() + TRICKLE_S, more))

        sock.sendto(out[:at], source)
        self.besieger.due.append((time.monotonic() + TRICKLE_S, more))


def peer_of(source):
    address = socket.inet_pton(socket.AF_INET6, source[0].partition("%")[0])
    return address + struct.pack("!I", source[3])


def main():
    words = sys.argv[1:]
    if words[0] == "--only":
        names = words[1].split(",")
        Besieger.ATTACKS = [a for a in Besieger.ATTACKS if a[0].__name__ in names]
        words = words[2:]
    at = words.index("--")
    interface, network, true, *old = words[:at]
    names = [socket.inet_pton(socket.AF_INET6, word) for word in words[at + 1 :]]
    swds = [release.load(path) for path in (true, *old)]
    print("at it", flush=True)
    Besieger(interface, bytes.fromhex(network), swds[0], swds[1:], names).run()


if __name__ == "__main__":
    main()
