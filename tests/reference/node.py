"""A node: the machines of this package together. Network, counter and chance come from outside."""

import json
import pathlib

from . import archive, choose, wire
from .announce import Voice
from .choose import Chooser
from .clock import Clock
from .fetch import Fetcher
from .store import Store
from .tftp import Server
from .trust import Malformed

S, DAY_S = 1_000_000, 86_400


class Node:
    """`net` has `links`, `multicast(link, data)` and `open_port(receive, link, peer)`: an object
    with `send(data, port)` and `close()`, of which `receive` hears what comes back.
    `random(low, high)` gives a number between the two. `served_port`: that of `server.request`."""

    def __init__(
        self, profile, trust, folder, net, random, now_us, system_us, served_port, **clock
    ):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.profile, self.net, self.random = profile, net, random
        self.trust, self.store = trust, Store(trust, self.folder / "journal")
        kept = json.loads(self.store.kept or b"{}")
        profile.lot = bytes.fromhex(kept.get("lot", "%032x" % random(0, 2**128 - 1)))
        self.kept_s = kept.get("time_s", 0)
        self.store.doubted = {bytes.fromhex(rid) for rid in kept.get("doubted", [])}
        self.chooser = Chooser(profile, self.is_ready, lambda n: random(0, n - 1))
        self.chooser.failed = [bytes.fromhex(rid) for rid in kept.get("failed", [])]
        self.chooser.active = self.store.runs if self.store.runs in self.store.releases else None
        self.nonce = random(0, 2**64 - 1).to_bytes(8, "big")
        self.port = served_port
        floor_us = self.store.floor_s() * S
        self.clock = Clock(now_us, max(self.kept_s * S, system_us, floor_us), **clock)
        self.clock.set_floor(floor_us, now_us)
        self.voice = Voice(random, now_us)
        self.server = Server(self.store.serve, net.open_port)
        self.fetcher = Fetcher(self.store, self.wanted, net.open_port, self.changed, random)
        self.beacon_us = now_us
        self.unpacked, self.wished = {}, None
        self._keep()

    def _keep(self):
        failed, doubted = ([r.hex() for r in t] for t in (self.chooser.failed, self.store.doubted))
        kept = {"lot": self.profile.lot.hex(), "time_s": self.kept_s, "failed": failed}
        kept["doubted"] = doubted
        self.store.run(self.chooser.active or b"", json.dumps(kept).encode())

    def wanted(self):
        """[(payload id, lines)] in order of need: what runs, then the highest versions."""
        found = {}
        held = sorted(self.store.releases.values(), key=lambda m: m.order, reverse=True)
        for m in sorted(held, key=lambda m: m.rid != self.chooser.active):
            if line := choose.wanted_line(self.profile, m):
                found.setdefault(line.pid, []).append(line)
        return list(found.items())

    def is_ready(self, m, line):
        """Held whole, and unpacked; what can't be has failed."""
        payload = self.store.payloads.get(line.pid)
        if not payload or not payload.is_whole(line):
            return False
        if line.kind != "image" and (line.pid, line.size) not in self.unpacked:
            try:
                self.unpacked[line.pid, line.size] = archive.unpack(payload.content(), line.size)
            except Malformed:
                self.chooser.fail(m.rid)
                self._keep()
                return False
        return True

    def changed(self, kind, now_us):
        """Something more is held: a "release", an "index" or a "piece"."""
        if kind == "release":
            self._doubt(now_us)
            self.clock.set_floor(self.store.floor_s() * S, now_us)
            self.voice.holds_new(now_us)
        else:
            self.voice.progressed(now_us)

    def _doubt(self, now_us):
        """Dates 30 days ahead of a clock that is good are no floor (section 5.5)."""
        heard = any(now_us - p.heard_us < 96 * S for p in self.fetcher.peers.values())
        if self.clock.is_synchronised and heard:
            mesh_s = self.clock.mesh_us(now_us) // S
            held = self.store.releases
            known = any(m.signed_at_s <= mesh_s for m in held.values())
            far_s = mesh_s + 30 * DAY_S
            doubted = {rid for rid, m in held.items() if known and m.signed_at_s >= far_s}
            self.store.doubted = (self.store.doubted | doubted) & held.keys()
            self._keep()

    def bring(self, m, signatures, payloads, now_us):
        """A release by its owner's hand; the verdict."""
        verdict = self.store.take(m.text, signatures)
        for payload in payloads.values() if verdict == "taken" else ():
            held = self.store.take_index(payload.pid, payload.index)
            for piece in payload.pieces[len(held.pieces) :]:
                self.store.take_piece(payload.pid, piece)
        self.changed("release", now_us)
        return verdict

    def receive(self, link, address, data, now_us):
        """A datagram of section 3."""
        parsed = wire.parse(data, self.trust.network)
        if parsed is None or parsed.nonce == self.nonce:
            return
        peer = self.fetcher.peer(link, address, now_us)
        if isinstance(parsed, wire.Query):
            self.voice.asked(now_us)
            return
        peer.port, peer.digest = parsed.port or peer.port, parsed.digest
        if isinstance(parsed, wire.Beacon):
            self.clock.hear((link, address), parsed, self.nonce, now_us)
        else:
            self.fetcher.hear(peer, parsed, now_us)
        if not self.store.digest().startswith(parsed.digest):
            if now_us - peer.unlike_us >= 5 * S:
                peer.unlike_us = now_us
                self.voice.asked(now_us)
        elif isinstance(parsed, wire.Announce):
            offered = parsed.payloads.items()
            if not any(p.wanted and self.fetcher.held(pid) > p.held for pid, p in offered):
                self.voice.consistent()

    def tick(self, now_us):
        self.server.tick(now_us)
        self.fetcher.tick(now_us)
        self._choose(now_us)
        if now_us >= self.beacon_us:
            self.clock.tick(now_us)
            period = self.clock.period_us(now_us)
            self.beacon_us = now_us + self.random(period * 9 // 10, period * 11 // 10)
            self._send(wire.pack_beacon(self.trust.network, self._beacon(now_us)))
        wishes = self.fetcher.wishes(now_us)
        if self.wished is not None and wishes != self.wished:
            self.voice.inconsistent(now_us)
        self.wished = wishes
        peers = [p for p in self.fetcher.peers.values() if now_us - p.heard_us < 64 * S]
        unlike = not all(self.store.digest().startswith(p.digest) for p in peers)
        mine = wishes.keys() & dict(self.wanted())
        self.voice.lacks((mine and not self.fetcher.job) or unlike, now_us)
        announce, query = self.voice.tick(now_us)
        if query:
            self._send(wire.pack(wire.QUERY, self.trust.network, self.nonce))
        if announce:
            for data in wire.pack_burst(self.trust.network, self._announcement(wishes)):
                self._send(data)

    def _send(self, data):
        if self.random(1, 8) == 1 and len(data) + 11 <= wire.MAX_BYTES:  # GREASE, section 3.2
            data += wire.tlv(16 * self.random(0, 7) + 10, bytes(self.random(0, 8)))
        for link in self.net.links:
            self.net.multicast(link, data)

    def _choose(self, now_us):
        synchronised, now_s = self.clock.is_synchronised, self.clock.mesh_us(now_us) // S
        if not synchronised:
            now_s = max(self.kept_s, self.store.floor_s())
        best, _ = self.chooser.choose(self.store.releases.values(), now_s, synchronised, now_us)
        rid = best.rid if best else None
        if rid == self.chooser.active:
            return
        if best:
            self._unpack(choose.fitting(self.profile, best)[1])
        (self.folder / "active").write_text(rid.hex() if rid else "")
        self.chooser.active, self.kept_s = rid, now_s if synchronised else self.kept_s
        self._keep()

    def _unpack(self, line):
        files, executable = self.unpacked[line.pid, line.size]
        for path, data in files.items():
            where = self.folder / "slots" / line.pid.hex() / path
            where.parent.mkdir(parents=True, exist_ok=True)
            if data is None:
                where.mkdir(exist_ok=True)
            else:
                where.write_bytes(data)
                where.chmod(0o755 if path in executable else 0o644)

    def _beacon(self, now_us):
        active, clock = self.store.releases.get(self.chooser.active), self.clock
        is_experiment = bool(active and active.experimental)
        state = wire.State(clock.is_synchronised, clock.has_reference(now_us), is_experiment,
                           bool(self.chooser.failed), self.chooser.is_held)  # fmt: skip
        version, revision = (
            (active.version, active.revision) if active else (self.profile.factory, 0)
        )
        return wire.Beacon(
            self.nonce, now_us, clock.told(now_us) - now_us, clock.error_us(now_us),
            clock.rate_ppb, version, revision, state, self.port, self.store.digest()[:4],
            clock.echoes(now_us), None,
        )  # fmt: skip

    def _announcement(self, wishes):
        releases, payloads = {}, {}
        for m in self.store.set():
            has_failed = m.rid in self.chooser.failed
            bits = (m.experimental, m.withdrawn, has_failed)
            releases[m.rid] = wire.Offer(*bits, m.version, m.revision)
        for pid in [*wishes, *self.store.payloads]:
            payload = self.store.payloads.get(pid)
            bits = (bool(payload and payload.is_complete), pid in wishes, wishes.get(pid, False))
            counts = (payload.count, len(payload.pieces)) if payload else (0, 0)
            payloads[pid] = wire.Progress(*bits, *counts)
        digest = self.store.digest()
        return wire.Announce(self.nonce, digest, len(releases), self.port, releases, payloads)
