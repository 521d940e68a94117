"""What must hold after every event, whatever the world does. A breach is a Violation.

The truth comes from the CA (`authority`), and from docs/protocol.md read once more by `reference`:
nothing here asks the device's own opinion of what it should do.
"""

import hashlib
import io
import tarfile
from collections import deque

import networkx as nx

from swdist.formats import usign
from swdist.formats.bits import time_s, to_hex, version_text
from swdist.machines.neighbours import MAX_NEIGHBOURS, MAX_OFFERS, MAX_PAYLOADS
from swdist.machines.relay import MAX_RELAYED
from swdist.storage.catalogue import MAX_VERSIONS
from swdist.trust.choose import FACTORY
from swdist_host.sim import bounds
from swdist_host.sim.world import SECOND

SETTLE_US = 180 * SECOND  # a node has prepared and switched by then, if nothing changes
END_SLACK_S = 1
NAMES = (
    "unverified", "experiment", "agreement", "floor", "bounds", "factory", "durable", "liveness",
    "clock", "amplification", "signatures", "board", "audience", "relay", "hold", "expected",
    "siege", "pace", "crash",
)  # fmt: skip
AMPLIFY = 3
CHECKS, CHECK_US = 8, 10 * SECOND  # signatures that bring nothing: so many, then one in that time
CHECKED_AT_ONCE = 2  # downloads may end together
BURSTS = 8  # announcements in no time; then one a second, where nothing is new,
BURSTS_US = 60 * SECOND  # counted over that
SPARE_BYTES = 16384  # of a release's signatures, that a node can't check
SPARE = 8  # and in all such a part of its room for payloads
SWITCHES, SWITCH_US = 12, 300 * SECOND  # at once; then one in that time
LOOKS, LOOK_US = 98, 10 * SECOND  # at releases in the store that it does not know, in the same way
TURN_BYTES = 98304  # that the switch side reads in one turn
FREE = ("rollback", "end")  # what has failed or ended is left without counting
SMALL_BYTES = 100000  # what an acknowledged transfer may cost before it is compared with what came
UNASKED_BYTES = 100000  # per node: what comes late, to a port that was closed, is no attack
SIGNED_BYTES = 2048  # of signatures are the CA's alone
HISTORY = 400


class Violation(Exception):
    """rule: one of NAMES; station: number or None; event: the text of what is wrong."""

    def __init__(self, rule, t, station, text):
        super().__init__(text)
        self.rule, self.t, self.station, self.text = rule, t, station, text


class _Seen:
    """What is known of one station."""

    def __init__(self):
        self.releases = {}  # rid: does it hold what it needs of it?
        self.payloads = {}  # pid: pieces held
        self.floor_us = 0
        self.active = None
        self.changed_t = 0  # when its set, its clock's state or its switch last changed
        self.steps = None
        self.before = None  # what was durable when the power went
        self.told = (0, 0)  # when its announcements were counted last, and how many there were
        self.settled_t = 0  # until when it may run another release than it would by itself
        self.gained_t = 0  # when it last got anything new


class Checks:
    def __init__(self, sim, every_event):
        self._sim = sim
        self._every = every_event
        self._seen = {}
        self._truth = {}  # rid: Truth
        self._payloads = {}  # pid: Packed of all that was ever signed
        self._offsets = {}  # pid: where each piece begins
        self._changed_t = 0  # when a node or link last came or went
        self._measured = 0
        self.holders = {}  # rid: {number: when it had all of it that it needs}
        self.owners = {}  # pid: {number: when it had all of it}
        self.verified = {}  # rid: {number: when}
        self.injections = []  # (t, number, swd)
        self.history = deque(maxlen=HISTORY)
        self.clock_error_us = None  # a bound on the honest clocks' error, once they had time
        self.clock_from = 0
        self.live = True  # is liveness to be checked?

    def fail(self, rule, s, text):
        raise Violation(rule, self._sim.world.now, None if s is None else s.number, text)

    def seen(self, s):
        found = self._seen.get(s.number)
        if found is None:
            found = self._seen[s.number] = _Seen()
        return found

    def truth(self, rid):
        found = self._truth.get(rid)
        if found is None:
            swd = self._sim.authority.released.get(rid)
            if swd is None:
                return None
            found = self._truth[rid] = Truth(swd, self._sim.world.pieces)
            found.by = self._sim.authority.by[rid]
        return found

    def _say(self, s, text):
        self.history.append((self._sim.world.now, s.number, text))

    # --- after each turn of the network side

    def after(self, s, now):
        if not s.honest:
            return
        seen = self.seen(s)
        for pid, h in s.store.payloads.held.items():
            if seen.payloads.get(pid) != h.held:
                self._pieces(s, seen, h)
        for pid in [p for p in seen.payloads if p not in s.store.payloads.held]:
            del seen.payloads[pid]
            self.owners.get(pid, {}).pop(s.number, None)
            self._lost(s, pid)
        releases = s.store.releases
        known = seen.releases
        for r in releases:
            has = self.has(s, r.rid)
            if known.get(r.rid) is not has:
                self._release(s, seen, r, known.get(r.rid), has)
        if len(known) != len(releases):
            self._dropped(s, seen)
        clock = s.clock
        if now + clock.offset_at(now) < seen.floor_us:
            self.fail("floor", s, f"mesh time is below Signed-At, {seen.floor_us} us")
        if clock.stepped != seen.steps:
            seen.steps = clock.stepped
            seen.changed_t = self._sim.world.now
        if self._every:
            self._bounds(s)

    def has(self, s, rid):
        """Does a station hold whole what it needs of a release? What fits, the truth says."""
        truth = self.truth(rid)
        line = None if truth is None else truth.fits(s.board)
        if line is None:
            return True
        h = s.store.payloads.held.get(line.pid)
        return h is not None and 0 < h.total == h.held

    def _pieces(self, s, seen, h):
        """More of a payload counts as held: it is compared with what the CA has signed."""
        packed = self._payloads.get(h.pid)
        if packed is None:
            for swd in self._sim.authority.released.values():
                self._payloads.update({p.pid: p for p in swd.payloads})
            packed = self._payloads.get(h.pid)
        name = to_hex(h.pid[:4])
        if packed is None:
            self.fail("unverified", s, f"holds payload {name}, which the CA has never signed")
        first = min(seen.payloads.get(h.pid, 0), h.held)
        pages = s.fs.files.get(h.path + "/pages")
        chunks = s.fs.files.get(h.path + "/payload")
        for n in range(first, h.held):
            piece = packed.pieces[n]
            inode = pages if n < packed.pages else chunks
            at = self._offset(packed, n)
            got = None if inode is None else inode.piece(at, len(piece))
            if got is not piece and got != piece:
                self.fail(
                    "unverified", s, f"piece {n} of {name} counts as held, and is not the CA's"
                )
        seen.gained_t = self._sim.world.now
        if h.total and h.held == h.total and h.total != len(packed.pieces):
            self.fail("unverified", s, f"{name} counts as complete, and is not")
        seen.payloads[h.pid] = h.held
        if h.complete():
            self.owners.setdefault(h.pid, {}).setdefault(s.number, self._sim.world.now)
        else:
            self.owners.get(h.pid, {}).pop(s.number, None)

    def _lost(self, s, pid):
        """A payload is not held any more. Nobody gives up what is his own for what is others'."""
        own = {}
        for r in s.store.releases:
            truth = self.truth(r.rid)
            line = None if truth is None else truth.fits(s.board)
            if line is not None:
                own[line.pid] = line.stored
        if pid in own and sum(own.values()) <= s.settings.quota_kib * 1024:
            self.fail("relay", s, f"has dropped payload {to_hex(pid[:4])}, which is its own")

    def _offset(self, packed, n):
        """Where piece n begins in the file that it lies in."""
        found = self._offsets.get(packed.pid)
        if found is None:
            found = self._offsets[packed.pid] = []
            at = 0
            for i, piece in enumerate(packed.pieces):
                at = 0 if i == packed.pages else at
                found.append(at)
                at += len(piece)
        return found[n]

    def _release(self, s, seen, r, was, has):
        """Something of a release has changed."""
        t = self._sim.world.now
        truth = self.truth(r.rid)
        if truth is None:
            self.fail("unverified", s, f"holds {to_hex(r.rid[:4])}, which the CA has never signed")
        seen.changed_t = t
        if was is None:
            self._vouched(s, truth)
            if not truth.end_s and (truth.groups or truth.share):
                self.fail("audience", s, f"holds {truth.name}, which is stable, and not for all")
            seen.floor_us = max(seen.floor_us, truth.signed_at_s * SECOND)
            self.verified.setdefault(r.rid, {})[s.number] = t
            self._say(s, f"holds manifest of {truth.name}")
            path = s.store.catalogue.folder(r.rid)
            if s.fs.read(path + "/manifest", 4096) != truth.swd.manifest:
                self.fail("unverified", s, f"the manifest of {truth.name} on flash is not the CA's")
        holders = self.holders.setdefault(r.rid, {})
        if has:
            holders[s.number] = t
            self._say(s, f"has all of {truth.name}")
        else:
            holders.pop(s.number, None)
        seen.releases[r.rid] = has

    def _vouched(self, s, new):
        """What it holds is vouched for by the key set that its own releases lead to; after a new
        set that is all of it, else only what is new."""
        n = self.key_set(r.rid for r in s.store.releases)
        for r in s.store.releases:
            truth = self.truth(r.rid)
            looked_at = truth is not None and (truth is new or new.is_keys)
            if looked_at and not self.vouches(n, truth):
                text = f"holds {truth.name} of key set {truth.by}, and key set {n} is in force"
                self.fail("unverified", s, text)

    def key_set(self, rids):
        """Number of the set that is in force where these are held."""
        held = set(rids)
        n = 0
        while n < len(self._sim.authority.chain) and self._sim.authority.chain[n] in held:
            n += 1
        return n

    def vouches(self, n, truth):
        """docs/protocol.md, section 2.6, once more."""
        if truth.is_keys:
            return truth.by <= n
        return truth.by == n or (truth.by < n and truth.rid in self._sim.authority.keep[n])

    def _dropped(self, s, seen):
        seen.changed_t = self._sim.world.now
        here = {r.rid for r in s.store.releases}
        for rid in [rid for rid in seen.releases if rid not in here]:
            truth = self.truth(rid)
            del seen.releases[rid]
            self.holders.get(rid, {}).pop(s.number, None)
            newer = any(
                r.manifest.version == truth.version and r.manifest.revision >= truth.revision
                for r in s.store.releases
            )
            over = not self.vouches(self.key_set(here), truth)
            if not newer and not over and len(here) < MAX_VERSIONS:
                self.fail("durable", s, f"{truth.name} is gone, and nothing has superseded it")

    def _bounds(self, s):
        node = s.node
        if len(node.neighbours.rows) != MAX_NEIGHBOURS or len(s.store.releases) > MAX_VERSIONS:
            self.fail("bounds", s, "more neighbours or releases than there may be")
        most = max(map(len, s.offers))
        if most > MAX_OFFERS:
            self.fail("bounds", s, f"{most} offers of one neighbour")

    # --- the switch side

    def after_switch(self, s, now):
        """Also where the network side is hostile: nothing that it does may concern this one."""
        self._reading(s)
        switcher = s.switch.switcher
        active = switcher.active
        seen = self.seen(s)
        if active.rid != seen.active:
            seen.active = active.rid
            seen.changed_t = self._sim.world.now
            self._slot(s, active.rid)
        if active.rid == FACTORY:
            return
        truth = self.truth(active.rid)
        if not truth.invites(s):
            self.fail("audience", s, f"runs {truth.name}, which is not for it")
        if truth.end_s and switcher.next_at > now:
            # Whatever the device believes about its End: the manifest's text says when it is.
            if not switcher.synced:
                self.fail("experiment", s, f"runs {truth.name} without a synchronised clock")
            if switcher.now_s(now) >= truth.end_s + END_SLACK_S:
                self.fail("experiment", s, f"runs {truth.name} after its end")

    def _reading(self, s):
        """Whatever lies in the store, what the switch side reads of it is bounded."""
        if s.turn_read_bytes > TURN_BYTES:
            self.fail("bounds", s, f"its switch side has read {s.turn_read_bytes} bytes at once")
        most = LOOKS + (self._sim.world.now - s.booted_t) // LOOK_US
        if s.switch.looks > most:
            text = f"its switch side has looked at {s.switch.looks} releases; allowed are {most}"
            self.fail("bounds", s, text)

    def _slot(self, s, rid):
        """What has become active is what the CA has signed, file by file."""
        if rid == FACTORY:
            return
        truth = self.truth(rid)
        if truth is None:
            self.fail("unverified", s, f"runs {to_hex(rid[:4])}, which the CA has never signed")
        line = truth.fits(s.board)
        if line is None:
            self.fail("board", s, f"runs {truth.name}, which has nothing for {s.board}")
        files = truth.files(line)
        root = s.switch.slots.path(rid) + "/"
        paths = [p for p in s.fs.files if p.startswith(root)]
        here = {p[len(root) :]: s.fs.files[p].whole() for p in paths}
        if here == files:
            return
        if any(here == truth.files(other) for other in truth.lines if other.kind == "slot"):
            self.fail("board", s, f"runs what {truth.name} has for another board")
        names = sorted(n for n in {*here, *files} if here.get(n) != files.get(n))
        self.fail("unverified", s, f"{names[0]} in the active slot of {truth.name} is another")

    def switched(self, s, record):
        self._pace(s)
        if s.honest:
            asked_for = record["reason"] in ("start", "late")
            if s.hold and asked_for and self._may_go_on(s, record["from"]):
                self.fail("hold", s, f"switches to {record['to']} against its owner's wish")
            seen = self.seen(s)
            seen.changed_t = self._sim.world.now
            self._say(s, f"switched from {record['from']} to {record['to']}: {record['reason']}")

    def _may_go_on(self, s, name):
        """Does it hold no higher revision of what runs there, by the name of that?"""
        version, _, revision = name.rpartition("-r")
        held = [r.manifest for r in s.store.releases if version_text(r.manifest.version) == version]
        return all(m.revision <= int(revision) for m in held)

    def _pace(self, s):
        """Whatever time the network side tells it, it switches at a bounded rate."""
        told = [t for t, _, reason in s.switches if t >= s.booted_t and reason not in FREE]
        most = SWITCHES + (self._sim.world.now - s.booted_t) // SWITCH_US
        if len(told) > most:
            self.fail("pace", s, f"has switched {len(told)} times; allowed are {most}")

    # --- power

    def going_down(self, s):
        self.changed()
        if not s.honest:
            return
        held = {r.rid: None for r in s.store.releases}
        pieces = {} if s.rotten else {p: h.held for p, h in s.store.payloads.held.items()}
        active = s.switch.switcher.active.rid if hasattr(s, "switch") else FACTORY
        self.seen(s).before = (held, active, s.in_switch, pieces)
        self._say(s, "down")

    def booted(self, s):
        self.changed()
        if not s.honest:
            return
        seen = self.seen(s)
        seen.steps = None
        # What a change of keys has taken away is no evidence any more, and RAM forgets it.
        here = [self.truth(r.rid) for r in s.store.releases]
        seen.floor_us = max((truth.signed_at_s * SECOND for truth in here if truth), default=0)
        self._say(s, f"up, active {to_hex(s.switch.slots.active()[:4])}")
        rid = s.switch.slots.active()
        self._slot(s, rid)
        if seen.before is None:
            return
        held, active, in_switch, pieces = seen.before
        now_held = {r.rid for r in s.store.releases}
        named = s.store.needs.lines()
        for pid, n in pieces.items():
            h = s.store.payloads.held.get(pid)
            left = 0 if h is None else h.held
            if pid in named and left < n:
                self.fail("durable", s, f"{n} pieces were flushed, {left} are left")
        for r in held:
            if r not in now_held and self.truth(r) is not None:
                self._dropped(s, seen)
        if rid != active and not in_switch and active in (FACTORY, *now_held):
            self.fail("durable", s, f"came up with {to_hex(rid[:4])}, not {to_hex(active[:4])}")

    def reformed(self, s):
        """Its network side is honest again. Looks and switches that the other one has spent cost it
        time."""
        self.changed()
        now = self._sim.world.now
        spent_us = s.switch.looks * LOOK_US - (now - s.booted_t)
        self.seen(s).settled_t = now + max(2 * SWITCH_US, spent_us + SETTLE_US)
        self._say(s, "honest")

    def changed(self):
        """A node or link has come or gone."""
        self._changed_t = self._sim.world.now

    def injected(self, number, swd):
        self.injections.append((self._sim.world.now, number, swd))

    # --- now and then, over all nodes

    def all(self):
        sim = self._sim
        for s in sim.stations:
            if not s.honest:
                continue
            if s.node is not None and s.up:
                rows = s.node.neighbours.rows
                s.offers = [row.offers for row in rows]
                most = max(max(len(row.pieces), len(row.wants)) for row in rows)
                if most > MAX_PAYLOADS or len(s.store.needs.relayed) > MAX_RELAYED:
                    self.fail("bounds", s, "more payloads are known of others than there may be")
                self._bounds(s)
                factory = s.switch.switcher.choosing.factory
                if factory.rid != FACTORY or FACTORY in s.switch.slots.failed():
                    self.fail("factory", s, "the factory release is lost")
                self._checked(s)
                self._bursts(s)
        self._memory()
        self._amplification()
        self._agreement()
        self._clocks()
        if self.live:
            self._liveness()

    def _memory(self):
        """All that one node's machines refer to; another node each time."""
        up = [s for s in self._sim.honest() if s.up]
        if up:
            self._measured += 1
            s = up[self._measured % len(up)]
            size = bounds.items(s.node) + bounds.items(s.serve)
            size += bounds.items(s.switch.switcher, s.switch._held, s.switch._seen)
            if size > bounds.MAX_ITEMS:
                self.fail("bounds", s, f"its machines refer to {size} items")

    def _checked(self, s):
        """Signatures that bring nothing, and what is kept of them."""
        up_us = self._sim.world.now - s.booted_t
        most = CHECKS + CHECKED_AT_ONCE + up_us // CHECK_US
        if s.in_vain > most:
            text = f"has checked {s.in_vain} files of signatures in vain; allowed are {most}"
            self.fail("signatures", s, text)
        known = {key.key_id for keys in self._sim.authority.sets for key in keys}
        spare_bytes = 0
        for r in s.store.releases:
            size = s.fs.size(s.store.catalogue.folder(r.rid) + "/signatures") or 0
            if size <= SIGNED_BYTES:
                continue
            data = s.fs.read(s.store.catalogue.folder(r.rid) + "/signatures", size)
            junk = [b for b in usign.parse_signatures(data) if b[1] not in known]
            own = sum(len(usign.block(*b)) for b in junk)
            if own > SPARE_BYTES:
                self.fail("signatures", s, f"keeps {own} bytes that it can't check of one release")
            spare_bytes += own
        if spare_bytes > s.settings.quota_kib * 1024 // SPARE:
            self.fail("signatures", s, f"keeps {spare_bytes} bytes of signatures unchecked")

    def _bursts(self, s):
        """At most one announcement a second, whoever asks and whatever is said, as long as it has
        nothing new to say."""
        seen = self.seen(s)
        now = self._sim.world.now
        t, before = seen.told
        if now - t < BURSTS_US:
            return
        seen.told = (now, s.bursts)
        quiet_t = max(seen.gained_t, seen.changed_t, self._changed_t)
        if quiet_t + SETTLE_US <= t and s.bursts - before > BURSTS + (now - t) // SECOND:
            text = f"has announced {s.bursts - before} times in {(now - t) // SECOND} s"
            self.fail("amplification", s, text)

    def _amplification(self):
        """Nobody can make others send much more to a victim than he has sent himself."""
        sim = self._sim
        spoofed = sum(getattr(s, "spoofed_bytes", 0) for s in sim.stations)
        if spoofed:
            unasked = sum(s.unasked_bytes for s in sim.stations if s.honest)
            if unasked > AMPLIFY * spoofed + UNASKED_BYTES * len(sim.stations):
                text = f"{spoofed} spoofed bytes have made {unasked} at the victims"
                self.fail("amplification", None, text)
        for s in sim.stations:
            got, sent = getattr(s, "small_got_bytes", 0), getattr(s, "small_sent_bytes", 0)
            if got > AMPLIFY * sent + SMALL_BYTES:
                text = f"{sent} bytes of a client that wants small blocks have brought it {got}"
                self.fail("amplification", s, text)

    def _agreement(self):
        """Equal verified sets and equal time: equal versions, and the one of docs/protocol.md."""
        sim = self._sim
        groups = {}
        for s in sim.honest():
            seen = self.seen(s)
            if not s.up or s.fails or s.hold or sim.world.now - seen.changed_t < SETTLE_US:
                continue
            if sim.world.now < seen.settled_t:
                continue
            now = s.counter(sim.world.now)
            switcher = s.switch.switcher
            if switcher.change_at is not None and switcher.change_at - now < SETTLE_US:
                continue
            if s.rotten and switcher.choosing.bad:
                continue  # what it holds is not whole before it has been read again, and fetched
            held = {
                r.rid: self.has(s, r.rid) or s.fs.is_dir(s.switch.slots.path(r.rid))
                for r in s.store.releases
            }
            if any(self._changing(rid, switcher.now_s(now)) for rid in held):
                continue
            wanted = reference(
                s, [self.truth(rid) for rid in held], held, s.switch.slots.failed(),
                switcher.now_s(now), switcher.synced,
            )  # fmt: skip
            active = switcher.active.rid
            if active != wanted:
                names = self._name(active), self._name(wanted)
                self.fail("agreement", s, "runs %s; by its set and time it must be %s" % names)
            phase = (s.board,) + tuple(
                (
                    rid,
                    complete,
                    self.truth(rid).invites(s),
                    self.truth(rid).phase(switcher.now_s(now)),
                )
                for rid, complete in sorted(held.items())
            )
            other = groups.setdefault((phase, switcher.synced), (s.number, active))
            if other[1] != active:
                self.fail("agreement", s, f"runs another version than node {other[0]}")

    def _changing(self, rid, now_s):
        """Has it started or ended a moment ago?"""
        truth = self.truth(rid)
        slack = SETTLE_US // SECOND
        return any(t <= now_s < t + slack for t in (truth.start_s, truth.end_s))

    def _name(self, rid):
        return "the factory release" if rid == FACTORY else self.truth(rid).name

    def _clocks(self):
        sim = self._sim
        if self.clock_error_us is None or sim.world.now < self.clock_from:
            return
        for s in sim.honest():
            if s.up and s.clock.synced:
                error = s.mesh_us() - sim.true_us()
                if abs(error) > self.clock_error_us:
                    self.fail("clock", s, f"mesh time is wrong by {error / 1e6:.3f} s")

    def _liveness(self):
        """Who has had honest paths to a release for long enough has it."""
        sim = self._sim
        graph = None
        newest_set = self.key_set(swd.rid for _, _, swd in self.injections)
        for t, _, swd in self.injections:
            truth = self.truth(swd.rid)
            since = max(t, self._changed_t)
            if self._superseded(truth) or not self.vouches(newest_set, truth):
                continue
            if sim.world.now - since < bounds.SHORTEST_US:
                continue
            if graph is None:
                graph = sim.connected()
            for line in truth.distinct() or (None,):
                self._spread(graph, since, truth, line)

    def _spread(self, graph, since, truth, line):
        """Has each node that needs a payload it? line None: the manifest. Where boards are mixed, a
        payload comes also over nodes that it is not for."""
        sim = self._sim
        have = self.verified.get(truth.rid, {}) if line is None else self.owners.get(line.pid, {})
        roots = [n for n in have if n in graph and have[n] <= since]
        if not roots:
            return  # it was lost with its only holder
        size = sum(other.size for other in truth.distinct())
        hops = nx.multi_source_dijkstra_path_length(graph, set(roots), weight=None)
        for n, far in hops.items():
            s = sim.stations[n]
            if n in have or (line is not None and truth.fits(s.board) is not line):
                continue
            limit = bounds.spread_us(sim, size, far)
            if sim.world.now - since > limit:
                times = ((sim.world.now - since) // SECOND, limit // SECOND)
                text = f"lacks {truth.name}, {far} hops from it, after %d s; allowed are %d"
                self.fail("liveness", s, text % times)

    def _superseded(self, truth):
        return any(
            self.truth(swd.rid).version == truth.version
            and self.truth(swd.rid).revision > truth.revision
            for _, _, swd in self.injections
        )


class Line:
    """A payload as the manifest names it."""

    def __init__(self, kind, size, stored, pid, boards):
        self.kind, self.size, self.stored = kind, int(size), int(stored)
        self.pid = bytes.fromhex(pid)
        self.is_for = lambda board: boards == "any" or board in boards.split(" ")


class Truth:
    """A release as the CA has made it, read by other code than the device's."""

    def __init__(self, swd, pieces):
        fields = dict(line.split(": ", 1) for line in swd.manifest.decode().splitlines())
        self.swd = swd
        self.rid = swd.rid
        self.version = tuple(int(n) for n in fields["Version"].split("."))
        self.revision = int(fields["Revision"])
        self.name = f"{fields['Version']}-r{self.revision} ({to_hex(swd.rid[:4])})"
        self.start_s = time_s(fields["Start"])
        self.end_s = time_s(fields["End"]) if fields["Channel"] == "experimental" else 0
        self.signed_at_s = time_s(fields["Signed-At"])
        self.withdrawn = fields.get("Withdrawn") == "yes"
        self.is_keys = "CA-Threshold" in fields
        self.groups = fields.get("Groups", "").split()
        self.share = int(fields.get("Share", 0))
        self.lines = [Line(*fields[f"Payload-{n}"].split(" ", 4))
                      for n in range(1, 17) if f"Payload-{n}" in fields]  # fmt: skip
        self._files = {}

    def distinct(self):
        """One line for each payload id."""
        return list({line.pid: line for line in reversed(self.lines)}.values())

    def fits(self, board):
        """The line of a board, or None."""
        return next((x for x in self.lines if x.kind == "slot" and x.is_for(board)), None)

    def invites(self, station):
        """Is a station in its audience?"""
        if not self.groups and not self.share:
            return True
        data = station.switch.here.lot + b"".join(n.to_bytes(2, "big") for n in self.version)
        lot = int.from_bytes(hashlib.sha256(data).digest()[:4], "big") % 1000
        return bool(set(self.groups) & set(station.groups)) or lot < self.share

    def files(self, line):
        """{name: bytes} of what a payload unpacks to."""
        if line.pid not in self._files:
            found = self._files[line.pid] = {}
            data = next(p for p in self.swd.payloads if p.pid == line.pid).inflated()
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                for member in archive:
                    if member.isfile():
                        found[member.name] = archive.extractfile(member).read()
        return self._files[line.pid]

    def order(self):
        return (self.version, self.revision, self.rid)

    def phase(self, now_s):
        return (self.start_s <= now_s, bool(self.end_s) and self.end_s <= now_s)


def reference(station, truths, held, failed, now_s, synced):
    """docs/protocol.md, section 5, once more: the release id that must be active on a station.
    held: {rid: is what it needs whole?}"""
    newest = {}
    for t in sorted(truths, key=Truth.order):
        newest[t.version] = t
    here = [
        t
        for t in newest.values()
        if t.fits(station.board)
        and t.invites(station)
        and t.rid not in failed
        and t.start_s <= now_s
        and (not t.end_s or (synced and now_s < t.end_s))
    ]
    stable = [t for t in here if not t.end_s]
    begins = not stable or held[max(stable, key=Truth.order).rid]  # may an experiment? (5.3)
    runs = station.switch.switcher.active.rid
    candidates = [t for t in here if held[t.rid] and (begins or not t.end_s or t.rid == runs)]
    return max(candidates, key=Truth.order).rid if candidates else FACTORY
