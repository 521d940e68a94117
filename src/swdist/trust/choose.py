"""Which release is active: pure functions (docs/protocol.md, section 5)."""

from struct import pack

from swdist.crypto.ucryptolib import sha256
from swdist.formats.manifest import Manifest
from swdist.trust.verify import Release

FACTORY = bytes(32)  # release id of what the image holds
PERMILLE = 1000
CHANGES = 16  # looked at, for what comes next
LATE_S = 2  # a start that is longer ago was missed


class Here:
    """What of this node decides which payload is for it: its board, the kinds that it can install,
    the groups that its owner has put it into, and its lot, 16 random bytes that it keeps for ever
    (None while they are not known: then no share of the nodes has it)."""

    def __init__(self, board, kinds=("slot",), groups=(), lot=None):
        self.board = board
        self.kinds = kinds
        self.groups = groups
        self.lot = lot

    def invited(self, m):
        """Is it in the audience of a release?"""
        if not m.groups and not m.share:
            return True
        for group in m.groups:
            if group in self.groups:
                return True
        return bool(m.share) and self.lot is not None and draw(self.lot, m.version) < m.share

    def payload(self, m):
        """The payload that fits here: the first for this board, and of a kind that can be
        installed. None: the release is not for this node."""
        for p in m.payloads:
            if p.kind in self.kinds and (p.boards is None or self.board in p.boards):
                # A router can't keep two images, nor unpack one in RAM, nor know whether one
                # for any board is for it.
                plain = p.boards is not None and p.stored == p.size
                if p.kind != "image" or (plain and not m.experimental):
                    return p
        return None

    def takes(self, m):
        """The payload that this node would run, were it there; None for what is never to run."""
        return self.payload(m) if not m.critical and self.invited(m) else None


def draw(lot, version):
    """0..999, the same for all revisions of a version."""
    digest = sha256(lot + pack("!HHH", *version))
    return int.from_bytes(digest[:4], "big") % PERMILLE


def factory(version):
    """What the image holds: always there, never signed, id of 32 zero bytes."""
    m = Manifest()
    m.rid = FACTORY
    m.version = version
    m.description = "factory"
    return Release(m)


def lost(rid):
    """In the place of what is active, where its manifest is not held any more."""
    release = factory((0, 0, 0))
    release.rid = release.manifest.rid = rid
    return release


def newest(releases):
    """Of each version the release with the highest (revision, id), as {version: Release}."""
    best = {}
    for r in releases:
        held = best.get(r.manifest.version)
        if held is None or held.sort_key() < r.sort_key():
            best[r.manifest.version] = r
    return best


def choose(releases, now_s, synced, here, factory, ready):
    """The release to run at now_s (seconds since 1970; the floor where not synced).
    ready(release, payload): is what it takes to run it here, and has it not failed?"""
    best = factory
    for r in newest(releases).values():
        m = r.manifest
        if m.start_s > now_s or (m.experimental and not (synced and now_s < m.end_s)):
            continue
        p = here.takes(m)
        if p is None or (p.kind == "image" and m.version <= factory.manifest.version):
            continue  # an image of no higher version is what runs here, or older
        if r.sort_key() > best.sort_key() and ready(r, p):
            best = r
    return best


def pinned(releases, rid, now_s, here, factory, ready):
    """Ids of the releases whose payloads are never removed to make room: the active one's, `rid`;
    what is to come or has not ended; what is fallen back to without a trusted clock."""
    found = [rid]
    for r in newest(releases).values():
        m = r.manifest
        if m.payloads and (m.start_s > now_s or m.end_s > now_s):
            found.append(r.rid)
    return found + [choose(releases, now_s, False, here, factory, ready).rid]


def next_change_s(releases, now_s, here):
    """The next Start or End after now_s of what may run here, seconds since 1970, or None."""
    soonest = None
    for r in newest(releases).values():
        m = r.manifest
        if here.takes(m) is not None:
            for t in (m.start_s, m.end_s):
                if t > now_s and (soonest is None or t < soonest):
                    soonest = t
    return soonest


def coming(releases, now_s, active, here, factory, failed):
    """(the release that will run next, when, seconds since 1970), or None: by `choose` at each
    change to come, as if all were here that is to be fetched. active, failed: ids of releases."""

    def may(r, p):
        return r.rid not in failed

    at_s = now_s
    for _ in range(CHANGES):
        r = choose(releases, at_s, True, here, factory, may)
        if r.rid != active:
            return r, at_s
        at_s = next_change_s(releases, at_s, here)
        if at_s is None:
            break
    return None


def reason(old, new, now_s, failed):
    """The word for why `new` runs in place of `old`, which has failed here or not."""
    m = old.manifest
    if failed:
        return "rollback"
    if 0 < m.end_s <= now_s:
        return "end"
    if new.rid == FACTORY or new.sort_key() < old.sort_key():
        return "withdrawn"
    return "start" if now_s - new.manifest.start_s < LATE_S else "late"
