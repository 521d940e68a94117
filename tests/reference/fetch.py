"""Section 6: what is asked of whom, and what came of it."""

import hashlib
from dataclasses import dataclass, field
from functools import partial

from . import manifest
from .tftp import Client
from .trust import MAX_BYTES, Malformed

S = 1_000_000
NEIGHBOURS, PAYLOADS, RELEASES, FILES = 16, 16, 8, 8
BUSY_US, SILENT_US, WISH_US, FILE_US = S // 2, 2 * S, 300 * S, 10 * S
USUAL_PORT = 27183
LIMITS = {"manifest": 4096, "signatures": MAX_BYTES, "index": 32768, "run": 65536}


@dataclass
class Peer:
    """A neighbour, as far as it has something to give."""

    link: str
    address: str
    since_us: int
    heard_us: int = 0
    unlike_us: int = -5 * S  # when its set digest last made a difference
    digest: bytes = b""
    port: int = 0  # said last
    answered: int = USUAL_PORT
    tries: int = 0  # the two ports are tried in turn
    offers: dict = field(default_factory=dict)  # rid -> Offer
    says: dict = field(default_factory=dict)  # pid -> (Progress, when)
    refused: set = field(default_factory=set)  # rids and pids
    refusals: int = 0
    pause_us: int = 0

    def asked_port(self):
        return self.port if self.port and self.tries % 2 == 0 else self.answered


@dataclass
class Job:
    peer: Peer
    kind: str  # of LIMITS
    key: bytes  # rid or pid
    client: Client
    port: int
    manifest: object = None
    transport: object = None
    used: int = 0  # bytes of a run that are pieces already


class Fetcher:
    """`wanted()` gives [(pid, lines)] in order of need; `changed(kind)` hears what has come."""

    def __init__(self, store, wanted, open_port, changed, random):
        self.store, self.wanted, self.open_port = store, wanted, open_port
        self.changed, self.random = changed, random
        self.peers, self.job = {}, None
        self.helps = {}  # pid -> (when to begin, when to say starved)
        self.budget, self.budget_us = FILES, 0  # files of signatures that may bring nothing
        self.bad_files = set()

    def peer(self, link, address, now_us):
        key = (link, address)
        if key not in self.peers and len(self.peers) >= NEIGHBOURS:
            del self.peers[min(self.peers, key=lambda k: self.peers[k].heard_us)]
        peer = self.peers.setdefault(key, Peer(link, address, now_us))
        peer.heard_us = now_us
        return peer

    def hear(self, peer, announce, now_us):
        new = {r: o for r, o in announce.releases.items() if r not in self.store.releases}
        says = {pid: (progress, now_us) for pid, progress in announce.payloads.items()}
        peer.offers = dict([*(peer.offers | new).items()][-RELEASES:])
        peer.says = dict([*(peer.says | says).items()][-PAYLOADS:])

    def held(self, pid):
        payload = self.store.payloads.get(pid)
        return len(payload.pieces) if payload else -1

    def has_more(self, peer, pid):
        said, _ = peer.says.get(pid, (None, 0))
        if not said or pid in peer.refused or not said.pieces:
            return False
        return said.held > self.held(pid)

    def _is_complete(self, pid):
        return pid in self.store.payloads and self.store.payloads[pid].is_complete

    def lines(self, pid):
        """The lines for which a payload is still worth fetching (section 2.3, rule 2)."""
        payload = self.store.payloads.get(pid)
        return [x for x in self.store.named(pid) if not payload or payload.can_be_sound(x)]

    def wishes(self, now_us):
        """{pid: starved} of what this node wants, for itself and for neighbours."""
        found = {}
        helped = [(pid, late) for pid, (begin, late) in self.helps.items() if begin <= now_us]
        for pid, late in [(pid, 0) for pid, _ in self.wanted()] + helped:
            if not self._is_complete(pid) and self.lines(pid):
                has_source = any(self.has_more(peer, pid) for peer in self.peers.values())
                found.setdefault(pid, not has_source and late <= now_us)
        return found

    def tick(self, now_us):
        if self.job:
            for packet in self.job.client.tick(now_us):
                self.job.transport.send(packet, self.job.port)
            self._progress(now_us)
        self._help(now_us)
        if not self.job:
            self._next(now_us)

    def _help(self, now_us):
        """Section 6.3: whom to help, and from when on."""
        wishes = {}
        for peer in self.peers.values():
            for pid, (said, at) in peer.says.items():
                if said.wanted and now_us - at < WISH_US and self.store.named(pid):
                    wishes[pid] = wishes.get(pid, False) or said.starved
        mine = dict(self.wanted())
        self.helps = {pid: at for pid, at in self.helps.items() if pid in wishes}
        for pid in [pid for pid, starved in wishes.items() if starved and pid not in mine]:
            begin = now_us + self.random(S // 2, 5 * S)
            self.helps.setdefault(pid, (begin, begin + self.random(10 * S, 20 * S)))

    def _next(self, now_us):
        ready = [p for p in self.peers.values() if p.pause_us <= now_us]
        ready.sort(key=lambda p: (p.refusals, p.since_us))
        following = (0, 0, len(self.store.trust.sets))  # the key set that comes next
        for peer in ready:
            unknown = peer.offers.keys() - peer.refused - self.store.releases.keys()
            offers = [(peer.offers[rid].version, rid) for rid in unknown]
            offers = [(v != following, r) for v, r in offers if v[:2] != (0, 0) or v == following]
            if offers:
                return self._start(peer, "manifest", min(offers)[1], now_us)
        for pid in self.wishes(now_us):
            self._reuse(pid, now_us)
            for peer in ready:
                if self.lines(pid) and self.has_more(peer, pid):
                    return self._start(peer, "index" if self.held(pid) < 0 else "run", pid, now_us)
        return None

    def _reuse(self, pid, now_us):
        """Pieces that another payload has are taken from there (section 6.1, rule 3)."""
        payload = self.store.payloads.get(pid)
        while payload and not payload.is_complete:
            others = (p for other in self.store.payloads.values() for p in other.pieces)
            piece = next((p for p in others if payload.next_entry().matches(p)), None)
            if piece is None:
                return
            self.store.take_piece(pid, piece)
            self.changed("piece", now_us)

    def _start(self, peer, kind, key, now_us, m=None):
        name = kind if kind != "run" else f"{self.held(key)}-65534"
        client = Client(f"1/{key.hex()}/{name}", LIMITS[kind], now_us)
        job = self.job = Job(peer, kind, key, client, peer.asked_port(), m)
        # Each transfer has a port of its own: what comes late for another one is not taken for it.
        job.transport = self.open_port(partial(self._receive, job), peer.link, peer.address)
        job.transport.send(client.request, job.port)

    def _receive(self, job, address, port, packet, now_us):
        if job is not self.job or address != job.peer.address:
            return
        if not job.client.has_answer:
            job.port = port  # that of the transfer
        if port == job.port:
            for answer in job.client.receive(packet, now_us):
                job.transport.send(answer, port)
            self._progress(now_us)

    def _refuse(self, job, counts=True):
        job.peer.refused.add(job.key)
        job.peer.refusals += counts
        job.peer.offers.pop(job.key, None)

    def _progress(self, now_us):
        job, client = self.job, self.job.client
        good = job.kind != "run" or self._pieces(job, now_us)
        if good and not client.failure and not client.is_done:
            return
        self.job = None
        job.transport.close()
        if client.failure:
            self._failed(job, now_us)
        elif good:
            job.peer.answered, job.peer.tries = job.peer.asked_port(), 0
            getattr(self, "_has_" + job.kind)(job, client.data, now_us)
        if not self.job:
            self._next(now_us)

    def _failed(self, job, now_us):
        code, text = job.client.failure
        if code is None:  # nothing came
            job.peer.tries += 1
            job.peer.pause_us = now_us + SILENT_US
        elif code == 0 and text == "busy":
            job.peer.pause_us = now_us + BUSY_US
        elif code == 0:
            self._refuse(job)
        else:  # it takes back what was offered
            job.peer.offers.pop(job.key, None)
            job.peer.says.pop(job.key, None)

    def _has_manifest(self, job, data, now_us):
        try:
            m = manifest.Manifest(data)
        except Malformed:
            return self._refuse(job)
        if m.rid != job.key or m.network != self.store.trust.network:
            return self._refuse(job)
        if not self.store.has_room(m):
            return self._refuse(job, counts=False)
        return self._start(job.peer, "signatures", m.rid, now_us, m)

    def _has_signatures(self, job, data, now_us):
        """Section 6.4: of files that bring no release one in 10 s is judged, after the first 8."""
        digest = hashlib.sha256(job.key + data).digest()
        more, since_us = divmod(now_us - self.budget_us, FILE_US)
        self.budget, self.budget_us = min(FILES, self.budget + more), now_us - since_us
        if digest in self.bad_files:
            return self._refuse(job)
        if self.budget <= 0:
            job.peer.pause_us = now_us + FILE_US
            return None
        sets = len(self.store.trust.sets)
        if self.store.take(job.manifest.text, data) != "taken":
            self.bad_files.add(digest)
            self.budget -= 1
            return self._refuse(job)
        job.peer.offers.pop(job.key, None)
        if len(self.store.trust.sets) > sets:  # section 2.6, rule 7
            self.bad_files = set()
            for peer in self.peers.values():
                peer.refused, peer.refusals = set(), 0
        return self.changed("release", now_us)

    def _has_index(self, job, data, now_us):
        if self.store.take_index(job.key, data):
            self.changed("index", now_us)
        else:
            self._refuse(job, counts=hashlib.sha256(data).digest() != job.key)

    def _has_run(self, job, data, now_us):
        if job.used < len(data) or not data:
            self._refuse(job)

    def _pieces(self, job, now_us):
        """Keep each piece of a run as soon as it is whole; False if one is not what it is to be."""
        payload, data = self.store.payloads.get(job.key), job.client.data
        while payload and not payload.is_complete:
            piece = data[job.used : job.used + payload.next_entry().sent]
            if len(piece) < payload.next_entry().sent:
                break
            if not self.store.take_piece(job.key, piece):
                self._refuse(job)
                return False
            job.used += len(piece)
            self.changed("piece", now_us)
        return True
