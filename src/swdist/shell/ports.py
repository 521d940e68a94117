"""The sockets of transfers, and who waits for them: what comes for a transfer is handed to its
machine without a turn of all the rest.
"""

from swdist.shell import net

BURST = 32  # datagrams taken from one socket before the others get their turn


class Port:
    """One transfer's socket: opened when something is sent, closed when the transfer is over.
    hearer: the machine that takes what comes; slot: which of its transfers, if it has several."""

    def __init__(self, poller, slot=None):
        self._poller = poller
        self._slot = slot
        self.hearer = self.socket = None

    def send(self, peer, port, buf, n):
        s = self.socket
        if s is None or not s.fits(peer, port):
            self.close()
            s = self.socket = net.udp(peer)
            if s is None:
                return
            self.fd = s.fd
            self._poller.register(self)
            self._first = port
        if not s.tied and (self._slot is not None or port != self._first):
            s.tie(peer, port)  # to the transfer's port, which is known now
        self._poller.sent(n)
        view = memoryview(buf)[:n]
        # The kernel refuses once where the neighbour's port was closed before.
        s.send(peer, port, view) or s.send(peer, port, view)

    def take(self, now, counter):
        """Hands over what has come, until something is sent: then it is the neighbour's turn."""
        poller = self._poller
        sent = poller.tx_datagrams
        for i in range(BURST):
            got = self.socket.recv()
            if got is None:
                # Ready, and nothing there: the kernel was told that the neighbour's port is closed.
                if not i and self._slot is None and self.socket.tied:
                    self.hearer.gone()
                return
            data, peer, port = got
            n = len(data)
            poller.rx_datagrams += 1
            poller.rx_bytes += n
            if self._slot is None:
                self.hearer.receive(peer, port, data, n, now)
            else:
                self.hearer.receive(self._slot, peer, port, data, n, now)
            if sent != poller.tx_datagrams:
                return
            now = counter()

    def ripe(self):
        """Is there enough of a download for its owner to look at?"""
        return self._slot is None and self.hearer.length >= self.hearer.mark

    def close(self):
        if self.socket is not None:
            self._poller.unregister(self)
            self.socket.close()
            self.socket = None


class Poller:
    """Waits for all, lets transfers go on meanwhile, and counts what went over the network."""

    def __init__(self):
        self.plain = plain = net.Poller()
        self.register, self.unregister, self.wait = plain.register, plain.unregister, plain.wait
        self.tx_datagrams = self.tx_bytes = self.rx_datagrams = self.rx_bytes = 0

    def sent(self, n):
        self.tx_datagrams += 1
        self.tx_bytes += n

    def one_turn(self, counter, wake):
        """Those that are ready; [] at `wake`, or when a transfer's machine wants its tick."""
        now = counter()
        rest = []
        while True:
            ready = self.wait((wake - now + 999) // 1000 if wake > now else 0)
            now = counter()
            for x in ready:
                if not isinstance(x, Port):
                    rest.append(x)
                    continue
                x.take(now, counter)
                at = x.hearer.next_at
                if at is None or x.ripe():
                    return rest
                if at < wake:
                    wake = at
            if rest or not ready or now >= wake:
                return rest
