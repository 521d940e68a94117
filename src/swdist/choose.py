"""Which release is active: a pure function (docs/protocol.md, section 5)."""

from swdist.manifest import Manifest
from swdist.verify import Release

FACTORY = bytes(32)  # release id of what the image holds


def factory(version):
    """What the image holds: always there, never signed, id of 32 zero bytes."""
    m = Manifest()
    m.rid = FACTORY
    m.version = version
    m.revision = 0
    m.experimental = m.critical = m.withdrawn = False
    m.signed_at_s = m.start_s = m.end_s = 0
    m.boards = None
    m.payload = "none"
    m.payload_size = m.chunk_size = m.chunks = 0
    m.index_sha256 = None
    m.description = "factory"
    release = Release(m)
    release.complete = True
    return release


def newest(releases):
    """Of each version the release with the highest (revision, id), as {version: Release}."""
    best = {}
    for r in releases:
        held = best.get(r.manifest.version)
        if held is None or held.order() < r.order():
            best[r.manifest.version] = r
    return best


def usable(release, board):
    """May this node ever run it, going by everything but the time?"""
    m = release.manifest
    if not m.chunks or m.critical or release.failed or not release.complete:
        return False
    return m.boards is None or board in m.boards


def choose(releases, now_s, synced, board, factory):
    """The release to run at now_s (seconds since 1970; the floor where not synced)."""
    best = factory
    for r in newest(releases).values():
        m = r.manifest
        if not usable(r, board) or m.start_s > now_s:
            continue
        if m.payload == "image" and m.version <= factory.manifest.version:
            continue  # it is what the image here holds, or older
        if m.experimental and not (synced and now_s < m.end_s):
            continue
        if r.order() > best.order():
            best = r
    return best


def pinned(releases, rid, now_s, board, factory):
    """Ids of the releases whose payloads are never removed to make room: the active one's, `rid`;
    what is to come or has not ended; what is fallen back to without a trusted clock."""
    found = [rid]
    releases = [r for r in releases if r.manifest.payload != "image"]  # that is in RAM
    for r in releases:
        m = r.manifest
        if m.chunks and (m.start_s > now_s or m.end_s > now_s):
            found.append(r.rid)
    return found + [choose(releases, now_s, False, board, factory).rid]


def next_change_s(releases, now_s):
    """The next Start or End after now_s, seconds since 1970, or None."""
    soonest = None
    for r in newest(releases).values():
        for t in (r.manifest.start_s, r.manifest.end_s):
            if t > now_s and (soonest is None or t < soonest) and r.manifest.chunks:
                soonest = t
    return soonest
