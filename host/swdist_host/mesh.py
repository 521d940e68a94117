"""What the neighbours say of themselves, as a table. No socket, file or clock in here."""

import contextlib
import ipaddress
import socket
from collections import deque
from struct import unpack_from

from swdist.commands import rollcall, words
from swdist.formats import datagram
from swdist.formats.bits import version_text
from swdist.machines.census import HEAD_BYTES

SILENT_US = 100_000_000  # forgotten after that, as on a node
MAX_NEIGHBOURS = 256
MAX_RELEASES = 128  # of one neighbour
MAX_PAYLOADS = 256
MAX_TOLD = 4096  # nodes whose word came by way of others
SETTLED_US = 2_000_000  # an announcement comes in several parts, but not for so long
SAMPLES = 4  # few: two counters may drift apart by 100 us in each second


def address(peer):
    """`fe80::1%wlan0` of the 20 bytes that name a neighbour."""
    ip = ipaddress.IPv6Address(bytes(peer[:16]))
    link = int.from_bytes(peer[16:20], "big")
    with contextlib.suppress(OSError):
        link = socket.if_indextoname(link)
    return f"{ip.ipv4_mapped or ip}%{link}"


class Held:
    """A release as a neighbour announces it. It is the neighbour's word, and no more."""

    def __init__(self, fields):
        self.rid = fields[0]
        self.version = fields[1:4]
        self.revision = fields[4]
        self.flags = fields[5]

    def order(self):
        return self.version, self.revision, self.rid

    @property
    def failed(self):
        return self.flags & datagram.FAILED_HERE != 0

    @property
    def withdrawn(self):
        return self.flags & datagram.WITHDRAWN != 0

    @property
    def experimental(self):
        return self.flags & datagram.EXPERIMENTAL != 0

    def word(self):
        """What its flags say of how it stands there, one of words.STATES, or None."""
        if self.withdrawn:
            return words.STATES[words.WITHDRAWN]
        return words.STATES[words.FAILED] if self.failed else None

    def facts(self):
        return {
            "id": self.rid.hex(),
            "version": version_text(self.version),
            "revision": self.revision,
            "experimental": self.experimental,
            "withdrawn": self.withdrawn,
            "failed": self.failed,
        }


class Progress:
    """How far a neighbour says that it is with a payload. pieces: 0 while it knows no index."""

    def __init__(self, fields):
        self.pid, self.flags, _, self.pieces, self.held = fields

    @property
    def complete(self):
        return self.flags & datagram.COMPLETE != 0

    @property
    def wanted(self):
        return self.flags & datagram.WANTED != 0

    @property
    def starved(self):
        return self.flags & datagram.STARVED != 0

    @property
    def percent(self):
        if self.complete:
            return 100
        return min(100 * self.held // self.pieces, 99) if self.pieces else 0

    def facts(self):
        return {
            "id": self.pid.hex(),
            "held": self.held,
            "pieces": self.pieces,
            "percent": self.percent,
            "complete": self.complete,
            "wanted": self.wanted,
            "starved": self.starved,
        }


class Neighbour:
    def __init__(self, peer, network, nonce, now):
        self.peer = bytes(peer)
        self.address = address(peer)
        self.network = network
        self.nonce = nonce  # another one: it has started anew
        self.since = self.heard_at = now
        self.asked_at = self.announced_at = None
        self.version = None  # until a beacon comes
        self.revision = self.state = self.tftp_port = self.digest = self.offset = 0
        self.node = None  # who it is in the census
        self.told = None  # its own word of how the newest release stands there, as rollcall.read
        self.pending = None  # (version, revision, our counter then, percent)
        self.releases = {}
        self.payloads = {}
        self._since = {}  # {release id: when it was announced first}
        self._into = deque(maxlen=SAMPLES)  # our counter at reception - its at sending
        self._out = deque(maxlen=SAMPLES)  # its counter at reception - ours at sending

    @property
    def name(self):
        """What people call it, by its own word, or None."""
        return self.told and self.told["name"] or None

    @property
    def synced(self):
        return self.state & datagram.SYNCED != 0

    @property
    def experimental(self):
        return self.state & datagram.ACTIVE_EXPERIMENTAL != 0

    @property
    def failed(self):
        return self.state & datagram.FAILED != 0

    @property
    def on_hold(self):
        """Its owner holds it: it does not switch."""
        return self.state & datagram.HELD != 0

    def beacon(self, buf, n, now, our_nonce):
        """The rows of its census, as rollcall.read gives them, "at" our counter when told."""
        (
            _, counter, self.offset, _, _, *version, self.revision, self.state, _,
            self.tftp_port, self.digest,
        ) = unpack_from(datagram.BEACON_FORM, buf, datagram.HEADER_BYTES)  # fmt: skip
        self.version = tuple(version)
        self._into.append(now - counter)
        self.pending = None
        rows = b""
        for tlv, at in _tlvs(buf, n):
            if tlv == datagram.TLV_ECHO:
                nonce, sample, _ = unpack_from(datagram.ECHO_FORM, buf, at)
                if nonce == our_nonce:
                    self._out.append(sample)
            elif tlv == datagram.TLV_PENDING:
                *version, revision, left_s, percent, _ = unpack_from(datagram.PENDING_FORM, buf, at)
                due = now + left_s * 1_000_000
                self.pending = (tuple(version), revision, due, min(percent, 100))
            elif tlv == datagram.TLV_CENSUS:
                end = datagram.next_tlv(buf, at - 3)
                self.node = bytes(buf[at + 4 : at + 8]).hex()
                rows = bytes(buf[at + HEAD_BYTES : end])
        told = rollcall.read(rows, (counter + self.offset) // 1_000_000)
        return [{**t, "at": now - t["age_s"] * 1_000_000} for t in told]

    def announce(self, buf, n, now):
        _, digest, count, self.tftp_port = unpack_from(
            datagram.ANNOUNCE_FORM, buf, datagram.HEADER_BYTES
        )
        releases, payloads = {}, {}
        for tlv, at in _tlvs(buf, n):
            if tlv == datagram.TLV_RELEASE:
                held = Held(unpack_from(datagram.RELEASE_FORM, buf, at))
                releases[held.rid] = held
            elif tlv == datagram.TLV_PAYLOAD:
                progress = Progress(unpack_from(datagram.PAYLOAD_FORM, buf, at))
                payloads[progress.pid] = progress
        self.digest = int.from_bytes(digest[:4], "big")
        if len(releases) < count:  # one part of several
            payloads = {**self.payloads, **payloads}
            releases = {**self.releases, **releases}
            # Of each version only the latest is held.
            latest = {r.version: r.rid for r in sorted(releases.values(), key=Held.order)}
            releases = {r.rid: r for r in releases.values() if latest[r.version] == r.rid}
        self.releases = dict(sorted(releases.items(), key=lambda x: x[1].order())[-MAX_RELEASES:])
        self.payloads = dict(list(payloads.items())[-MAX_PAYLOADS:])
        self._since = {rid: self._since.get(rid, now) for rid in self.releases}
        self.announced_at = now

    def clock(self, wall_us):
        """(offset, bound) of its mesh time against this host's clock, microseconds, positive when
        it is ahead. bound: how wrong that may be; None: all that is known is that it is ahead by
        at least so much. None before a beacon. wall_us: our clock less our counter."""
        if not self._into:
            return None
        into = min(self._into)
        if not self._out:
            return self.offset - into - wall_us, None
        out = min(self._out)
        return (out - into) // 2 + self.offset - wall_us, max(out + into, 0) // 2

    def has(self, rid, pids=()):
        """Does it say that it holds all that it wants of a release, which has these payloads? Which
        of them is for its board it does not say. So: while it wants none of them, it is enough that
        it holds one, for it relays others to those who lack them; or that it still holds none when
        it has had the time to say what it wants, for then none is for it."""
        if rid not in self.releases:
            return False
        mine = [self.payloads[pid] for pid in pids if pid in self.payloads]
        if any(p.wanted for p in mine):
            return False
        settled = self.announced_at - self._since[rid] >= SETTLED_US
        return settled or not pids or any(p.complete for p in mine)

    @property
    def percent(self):
        """How much it has of the release that its word is about, or None. It tells that with the
        word alone: while it fetches one payload, what it announces of that is newer."""
        if self.told is None:
            return None
        wanted = [p.percent for p in self.payloads.values() if p.wanted]
        return wanted[0] if self.fetches and len(wanted) == 1 else self.told["percent"]

    @property
    def fetches(self):
        """By its own word."""
        return self.told["state"] in (words.STATES[words.FETCHING], words.STATES[words.NOBODY])

    def news(self):
        """Unlike the last time when something of interest has changed."""
        held = [(r.rid, r.flags) for r in self.releases.values()]
        payloads = [(p.pid, p.held, p.flags) for p in self.payloads.values()]
        return (
            self.nonce, self.version, self.revision, self.state, self.pending is None, held,
            payloads, self.told and (self.told["name"], self.told["release"], self.told["state"]),
        )  # fmt: skip

    def facts(self, now, wall_us):
        """What --json prints."""
        clock = self.clock(wall_us) or (None, None)
        pending = None
        if self.pending is not None:
            version, revision, at, percent = self.pending
            pending = {
                "version": version_text(version),
                "revision": revision,
                "seconds": max(at - now, 0) // 1_000_000,
                "percent": percent,
            }
        told = self.told or dict.fromkeys(("board", "state", "release"))
        return {
            "address": self.address,
            "name": self.name,
            "board": told["board"],
            "state": told["state"],
            "release": told["release"],
            "percent": self.percent,
            "told_s_ago": None if self.told is None else (now - told["at"]) // 1_000_000,
            "network": self.network.hex(),
            "version": None if self.version is None else version_text(self.version),
            "revision": self.revision,
            "synced": self.synced,
            "experimental": self.experimental,
            "failed": self.failed,
            "on_hold": self.on_hold,
            "offset_us": clock[0],
            "offset_bound_us": clock[1],
            "pending": pending,
            "heard_ms_ago": (now - self.heard_at) // 1000,
            "releases": [held.facts() for held in self.releases.values()],
            "payloads": [progress.facts() for progress in self.payloads.values()],
        }


def _tlvs(buf, n):
    """(type, offset of the value) of each; datagram.kind has looked at their lengths."""
    at = datagram.first_tlv(buf)
    while at < n:
        yield buf[at], at + 3
        at = datagram.next_tlv(buf, at)


class Mesh:
    """network: 8 bytes, or None to hear them all. nonce: ours, that comes back in echoes."""

    def __init__(self, network, nonce):
        self.network = network
        self.nonce = nonce
        self._rows = {}
        self._told = {}  # {node of the census: its word}, as nodes say

    def receive(self, peer, buf, n, now):
        """The Neighbour that this came from; None if it is not news of one."""
        if n < datagram.HEADER_BYTES:
            return None
        network = bytes(buf[8:16])
        if self.network not in (None, network):
            return None
        what = datagram.kind(buf, n, network)
        if what not in (datagram.BEACON, datagram.ANNOUNCE):
            return None
        (nonce,) = unpack_from("!Q", buf, datagram.HEADER_BYTES)
        key = (bytes(peer), network)
        row = self._rows.get(key)
        if nonce == self.nonce or (row is None and len(self._rows) >= MAX_NEIGHBOURS):
            return None
        if row is None or row.nonce != nonce:
            row = self._rows[key] = Neighbour(peer, network, nonce, now)
        row.heard_at = now
        if what == datagram.BEACON:
            for told in row.beacon(buf, n, now, self.nonce):
                self._hear(told, row)
            row.told = self._told.get(row.node, row.told)
        else:
            row.announce(buf, n, now)
        return row

    def _hear(self, told, row):
        """A word, by way of the neighbour of that row, or its own."""
        own = row.told if told["node"] == row.node else None
        before = self._told.get(told["node"], own)
        if before is not None and not told["name"]:
            told["name"], told["board"] = before["name"], before["board"]
        if before is not None and told["at"] < before["at"]:
            return
        if told["node"] in self._told or len(self._told) < MAX_TOLD:
            self._told[told["node"]] = told
        if told["node"] == row.node:
            row.told = told

    def forget(self, now):
        """Drops those who are silent, and says who they were."""
        gone = [k for k, row in self._rows.items() if now - row.heard_at > SILENT_US]
        return [self._rows.pop(k) for k in gone]

    def rows(self):
        return sorted(self._rows.values(), key=lambda row: (row.network, row.address))

    def holders(self, rid, pids=()):
        return sum(row.has(rid, pids) for row in self._rows.values())

    def to_ask(self, now, gap_us):
        """The neighbour whose announcement is the oldest, and older than gap_us, or None. One at
        a time: of many that are asked at once, those that hear the others' answers keep silent."""
        best = None
        for row in self._rows.values():
            last = max(row.asked_at or 0, row.announced_at or 0)
            if (not last or now - last >= gap_us) and (best is None or last < best[0]):
                best = (last, row)
        if best is None:
            return None
        best[1].asked_at = now
        return best[1]
