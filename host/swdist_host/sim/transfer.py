"""Two fidelities of a download. All the rest of a node is the same in both.

packet  tftpget.Get and tftpserve.Serve exchange datagrams over the radio.
chunk   a whole file travels as one event. Its duration is computed from the same radio, link and
        loss; `bench/fidelity.py` compares the two.
"""

from zlib import crc32

from swdist.formats import tftp
from swdist.machines import tftpget, tftpserve
from swdist.machines.fetch import DOWNLOADS
from swdist.machines.tftpget import DONE, FAILED, IDLE, RUNNING
from swdist.machines.tftpserve import UPLOADS
from swdist.storage.payloads import MAX_RUN_BYTES
from swdist_host.sim.radio import UDP_IP_BYTES
from swdist_host.sim.world import CHUNK

TFTP_PORT = 27183
FIRST_PORT = 32768
LOST_US = 100000  # a round trip or a timeout; by bench/fidelity.py
SMALL_BYTES = 40  # a request, OACK or acknowledgement, on average


class Packet:
    """Each transfer has a socket with a port of its own, opened when something is sent and closed
    when the transfer is over, as in netd."""

    def __init__(self, station):
        self._station = station
        self._ports = {}  # port: ("g" or "s", slot)
        self._open = {}  # ("g" or "s", slot): (port, peer)
        self._next_port = FIRST_PORT + station.rng.randrange(8192)
        self.gets = [tftpget.Get(self._sender("g", i), MAX_RUN_BYTES) for i in range(DOWNLOADS)]
        self._senders = [self._sender("s", i) for i in range(UPLOADS)]
        self.serve = tftpserve.Serve(self._put, station.open, UPLOADS)

    def _sender(self, side, i):
        key = (side, i)

        def send(peer, port, buf, n):
            station = self._station
            there = self._open.get(key)
            if there is None or there[1] != peer:
                self._close(key)
                self._next_port = FIRST_PORT + (self._next_port + 1 - FIRST_PORT) % 28000
                there = self._open[key] = (self._next_port, peer)
                self._ports[self._next_port] = key
            data = bytes(buf[:n])
            if station.tap is not None:
                station.tap.sent(side, i, peer, port, data)
            late = 0 if station.honest or side == "g" else station.delay_us(data)
            if late >= 0:
                late += station.fs.spent_us
                radio = station.world.radio
                station.later(late, radio.unicast, station.number, peer, there[0], port, data)

        return send

    def _put(self, slot, peer, port, buf, n):
        if slot >= 0:
            self._senders[slot](peer, port, buf, n)
            return
        station = self._station
        data = bytes(buf[:n])
        if station.tap is not None:
            station.tap.sent("r", 0, peer, port, data)
        station.world.radio.unicast(station.number, peer, TFTP_PORT, port, data)

    def receive(self, peer, sport, port, buf, n, now):
        station = self._station
        tap = station.tap
        if port == TFTP_PORT:
            if tap is not None:
                tap.came("r", now, 0, peer, sport, bytes(buf[:n]))
            self.serve.request(peer, sport, buf, n, now)
            return
        side, i = self._ports.get(port, ("", 0))
        if tap is not None and side:
            tap.came(side, now, i, peer, sport, bytes(buf[:n]))
        if side == "g":
            self.gets[i].receive(peer, sport, buf, n, now)
            station.node.next_at = now
        elif side == "s":
            self.serve.receive(i, peer, sport, buf, n, now)
        else:
            b = station.world.radio.whom(station.number, peer)
            if b is not None and station.world.stations[b].honest:
                station.unasked_bytes += n

    def _close(self, key):
        there = self._open.pop(key, None)
        if there is not None:
            del self._ports[there[0]]

    def close_idle(self):
        for key in list(self._open):
            side, i = key
            if self.gets[i].state != RUNNING if side == "g" else self.serve.idle(i):
                self._close(key)


class Chunk:
    """The shell of ChunkGet and ChunkServe."""

    def __init__(self, station):
        self.gets = [ChunkGet(station) for _ in range(DOWNLOADS)]
        self.serve = ChunkServe(station)

    def receive(self, peer, sport, port, buf, n, now):
        pass

    def close_idle(self):
        pass


class ChunkGet:
    """What tftpget.Get is to fetch: state, view, length, reason, next_at."""

    def __init__(self, station):
        self._station = station
        self.state = IDLE
        self.view = memoryview(b"")
        self.length = 0
        self.mark = 0
        self.took_us = 0
        self.reason = ""
        self.next_at = None
        self._stuck_at = None  # since when nothing comes any more
        self.token = 0  # of the transfer that counts; answers to earlier ones are late

    def start(self, peer, port, name, limit, now):
        station = self._station
        self.token += 1
        self.state = RUNNING
        self.length = 0
        self.reason = ""
        self._limit = min(limit, MAX_RUN_BYTES)
        self._began_at = now
        self.next_at = now + tftp.STALL_US
        self._stuck_at = None
        world = station.world
        b = world.radio.whom(station.number, peer)
        link = world.radio.links[station.number].get(b)
        if link is None:
            self._stuck_at = now
            return
        again = 0
        while again < 8 and not world.radio.attempts(link):
            again += 1  # the request was lost: sent again after a timeout
        t = world.now + station.fs.spent_us + 2 * link.delay_us + again * tftp.RTO_FIRST_US
        world.at(t, world.stations[b].ask, station, self, self.token, name)

    @property
    def progress_at(self):
        """Blocks come one by one as long as the server sends any."""
        station = self._station
        return station.counter(station.world.now) if self._stuck_at is None else self._stuck_at

    def stuck(self, token):
        """Nothing comes any more."""
        if token == self.token:
            self._stuck_at = self._station.counter(self._station.world.now)

    def give_up(self):
        self.fail(self.token, "stalled")

    def stop(self):
        self.token += 1
        self.state = IDLE
        self.next_at = None

    def tick(self, now):
        if self.state == RUNNING and now >= self.next_at:
            self.fail(self.token, "stalled")

    def fail(self, token, reason, state=FAILED):
        if token == self.token and self.state == RUNNING:
            self.state = state
            self.reason = reason
            self.next_at = None

    def answered(self, token, state, data):
        """state: of tftpget."""
        if token != self.token or self.state != RUNNING:
            return
        if state != DONE:
            self.fail(token, "no data", state)
        elif len(data) > self._limit:
            self.fail(token, "file too large")
        else:
            self.view = memoryview(data)
            self.length = len(data)
            station = self._station
            self.took_us = station.counter(station.world.now) - self._began_at
            self.state = DONE
            self.next_at = None


class ChunkServe:
    """What tftpserve.Serve grants and refuses, a whole file at a time."""

    next_at = None

    def __init__(self, station):
        self._station = station
        self._holders = {}  # {transfer: peer}
        self.rejects = 0

    def tick(self, now):
        pass

    def ask(self, client, get, token, name):
        """A request has come, and the node is not busy with something else."""
        station = self._station
        world = station.world
        a, b = station.number, client.number
        link = world.radio.links[a].get(b)
        if link is None or not link.up or not world.radio.links[b][a].up:
            return
        holders = self._holders
        same = sum(1 for peer in holders.values() if peer == client.peer)
        file = None
        state = DONE
        if same >= tftpserve.PER_PEER or len(holders) >= tftpserve.BRISK:
            state = tftpget.BUSY
            self.rejects += 1
        else:
            file = station.open(name)
            if file is None:
                state = tftpget.REFUSED
        if state != DONE:
            t = world.now + 2 * link.delay_us
            world.at(t, client.answered, client.epoch, get, token, state, None)
            return
        key = (get, token)
        holders[key] = client.peer
        train = Train(station, client, link, get, token, whole(file), key)
        world.radio.enqueue(a, b, train.send)

    def over(self, key):
        self._holders.pop(key, None)


class Train:
    """All blocks of a file on the air at once, with their acknowledgements."""

    def __init__(self, station, client, link, get, token, data, key):
        self.station = station
        self.client = client
        self.link = link
        self.get = get
        self.token = token
        self.data = data
        self.key = key
        self.epochs = (station.epoch, client.epoch)

    def send(self):
        """Takes the channel; returns until when. 0: nobody wants it any more."""
        station, client, link = self.station, self.client, self.link
        world = station.world
        if self.get.token != self.token or (station.epoch, client.epoch) != self.epochs:
            station.serve.over(self.key)
            return 0
        if not (station.up and client.up and link.up):
            self.get.stuck(self.token)
            world.at(world.now + tftp.STALL_US, station.serve.over, self.key)
            return 0
        air_us, wait_us = cost(world.radio, link, client.settings.cpu_us, len(self.data))
        end = world.radio.claim(station.number, client.number, air_us)
        world.radio.sent[station.number] += blocks(len(self.data)) + 1
        world.radio.sent_bytes[station.number] += len(self.data)
        world.radio.sent[client.number] += 3
        late = 0 if station.honest else station.delay_us(None)
        done = world.radio.arrival(link, end) + wait_us + late
        if late:
            self.get.stuck(self.token)
        if late < 0:
            world.at(end + tftp.STALL_US, station.serve.over, self.key)
        else:
            world.at(done, self._through, done)
        return end

    def _through(self, t):
        station, client = self.station, self.client
        if station.epoch == self.epochs[0] and station.up:
            station.serve.over(self.key)
            world = station.world
            world.trace.note(t, client.number, CHUNK, crc32(self.data[:64]))
            client.answered(self.epochs[1], self.get, self.token, DONE, self.data)


def blocks(size):
    return size // tftpget.ASK_BLKSIZE + 1


def cost(radio, link, cpu_us, size):
    """(microseconds on the air, and of waiting besides) for a file of `size` bytes: a request, an
    OACK, an acknowledgement, windows of blocks, each acknowledged. The radio sends a frame again
    until its retries are spent; then TFTP does, after a timeout."""
    key = (size, cpu_us, link.loss, link.delay_us)
    found = radio.costs.get(key)
    if found is None:
        if len(radio.costs) > 100000:
            radio.costs.clear()
        found = radio.costs[key] = _cost(radio.settings, link, cpu_us, size)
    air, wait, frames, risk = found
    if radio.chance(frames * risk if risk < 0.001 else 1):
        lost = sum(1 for _ in range(frames) if radio.chance(risk)) if risk >= 0.001 else 1
        wait += lost * LOST_US
    return air, wait


def _block_us(s, size):
    return s.frame_us + (min(size, tftpget.ASK_BLKSIZE) + UDP_IP_BYTES) * 8000 // s.unicast_kbps


def frames_us(s, size):
    """On the air, each frame once. s: the radio's settings."""
    n = blocks(size)
    small = s.frame_us + (SMALL_BYTES + UDP_IP_BYTES) * 8000 // s.unicast_kbps
    return n * _block_us(s, size) + (-(-n // tftpget.ASK_WINDOW) + 3) * small


def _cost(s, link, cpu_us, size):
    """The same on average, the number of frames, and the risk of each to be lost for TFTP."""
    n = blocks(size)
    windows = -(-n // tftpget.ASK_WINDOW)
    large = _block_us(s, size)
    air = once = frames_us(s, size)
    risk = link.loss
    for _ in range(s.retries):
        air += int(once * risk)
        risk *= link.loss
    wait = 2 * (windows + 1) * (link.delay_us + s.jitter_us) + (2 * windows + 3) * cpu_us
    wait += max(0, n * (cpu_us - large))
    return air, wait, n + windows + 3, risk


def whole(file):
    """All bytes of a store's file, shared where they are one piece of the flash."""
    piece = getattr(file, "whole", None)
    if piece is not None:
        return piece()
    return file._f.inode.piece(file._base, file.size)


SIDES = {"packet": Packet, "chunk": Chunk}
