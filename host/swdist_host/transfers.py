"""The shell of transfers where CPython runs it, which is a laptop that seeds: the same machines
behind ports.Port and ports.Poller with fewer calls for a datagram, and a window in one system call.
A lone transfer that has answered waits for its neighbour where it is, for up to a millisecond,
before all sockets are asked again: in lock-step that saves one system call of three.

`use()` puts it in their places. A router's Python has the plain ones, which do all that is needed.
"""

import socket
import struct

from swdist.shell import net, ports

_IPPROTO_UDP = 17
_UDP_SEGMENT = 103  # the kernel cuts one send into datagrams, from Linux 4.18 on
_MANY = 32  # datagrams at once; 64 at most, and 64 KiB
_STAY_US = 1000  # so long all others may have to wait
_STAY = struct.pack("@ll", 0, _STAY_US)


class Port(ports.Port):
    """Once its socket is tied to a neighbour's port, send and take speak to it directly. What is
    sent in one answer is gathered if the answer before was longer than one datagram."""

    def __init__(self, poller, slot=None):
        super().__init__(poller, slot)
        self._batch = memoryview(bytearray(_MANY * net.MAX_DATAGRAM))
        self._forget()

    def _forget(self):
        self._peer = self._buf = self._say = self._hear = None
        self._port = self._filled = self._each = self._cut = 0
        self._several = self._gathers = False

    def send(self, peer, port, buf, n):
        if port != self._port or peer != self._peer:
            super().send(peer, port, buf, n)
            s = self.socket
            if s is not None and s.tied:
                self._peer, self._port = peer, port
                self._say, self._hear = s.raw.send, s.raw.recv
                self._waits_a_little(s.raw)
            return
        poller = self._poller
        poller.tx_datagrams += 1
        poller.tx_bytes += n
        if self._gathers:
            self._gather(buf, n)
            return
        if buf is not self._buf or n != self._n:
            self._view = memoryview(buf)[:n]
            self._buf = buf
            self._n = n
        try:
            self._say(self._view)
        except OSError:  # so says the kernel when the neighbour's port was closed before: once more
            self.socket.send(peer, port, self._view)

    def _waits_a_little(self, raw):
        try:
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                raw.setsockopt(socket.SOL_SOCKET, option, _STAY)
            raw.setblocking(True)
        except OSError:
            pass  # a machine with a struct timeval of its own: it waits in poll then

    def take(self, now, counter):
        hear = self._hear
        if hear is None:
            super().take(now, counter)
            return
        poller, hearer, slot = self._poller, self.hearer, self._slot
        peer, port = self._peer, self._port
        leave = now + _STAY_US if poller.alone() else now
        flags = socket.MSG_DONTWAIT
        sent = poller.tx_datagrams
        count = size = 0
        self._gathers = self._several
        for _ in range(ports.BURST):
            try:
                data = hear(net.MAX_DATAGRAM, flags)
            except ConnectionRefusedError:  # the neighbour's port is closed
                if slot is None:
                    hearer.gone()
                break
            except OSError:
                break
            n = len(data)
            count += 1
            size += n
            if slot is None:
                hearer.receive(peer, port, data, n, now)
            else:
                hearer.receive(slot, peer, port, data, n, now)
            if sent != poller.tx_datagrams:
                self._several = poller.tx_datagrams > sent + 1
                if self._filled:
                    self._flush()
                if now >= leave:
                    break
                sent = poller.tx_datagrams
                self._gathers = self._several
                flags = 0  # now it is the neighbour's turn
            else:
                flags = socket.MSG_DONTWAIT
            if hearer.next_at is None:
                break
            now = counter()
        self._gathers = False
        poller.rx_datagrams += count
        poller.rx_bytes += size

    def _gather(self, buf, n):
        """All but the last must be of one size."""
        if self._filled and (n > self._each or self._filled + n > _MANY * self._each):
            self._flush()
        if not self._filled:
            self._each = n
        end = self._filled + n
        self._batch[self._filled : end] = memoryview(buf)[:n]
        self._filled = end
        if n < self._each:
            self._flush()

    def _flush(self):
        end, self._filled = self._filled, 0
        each = self._each
        if end > each and self._cut >= 0:
            try:
                if self._cut != each:
                    self.socket.raw.setsockopt(_IPPROTO_UDP, _UDP_SEGMENT, each)
                    self._cut = each
                self._say(self._batch[:end])
                return
            except OSError:
                self._cut = -1  # this kernel or interface can't: one by one, until the next socket
        for at in range(0, end, each):
            self.socket.send(self._peer, self._port, self._batch[at : min(at + each, end)])

    def close(self):
        super().close()
        self._forget()


class Poller(ports.Poller):
    def alone(self):
        """Is one transfer's socket open, and no other?"""
        return sum(isinstance(x, Port) for x in self.plain._by_fd.values()) == 1

    def one_turn(self, counter, wake):
        poll, by_fd = self.plain._poll.poll, self.plain._by_fd
        now = counter()
        rest = []
        while True:
            try:
                ready = poll((wake - now + 999) // 1000 if wake > now else 0)
            except OSError:
                return rest
            now = counter()
            for fd, _ in ready:
                x = by_fd.get(fd)
                if not isinstance(x, Port):
                    if x is not None:
                        rest.append(x)
                    continue
                x.take(now, counter)
                at = x.hearer.next_at
                if at is None:
                    return rest
                if at < wake:
                    wake = at
            if rest or not ready or now >= wake:
                return rest


def use():
    ports.Port, ports.Poller = Port, Poller
