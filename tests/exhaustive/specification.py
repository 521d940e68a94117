"""docs/protocol.md, section 5, once more: written from its words, as plain as they are, and
independent of the device code."""

from dataclasses import dataclass

FACTORY = bytes(32)


@dataclass(frozen=True)
class Row:
    """One verified release that is held. end_s is None for a stable one."""

    version: tuple
    revision: int
    rid: bytes
    start_s: int
    end_s: int | None = None
    withdrawn: bool = False
    critical: bool = False
    fits: bool = True  # has it a payload that can be installed on this board?
    invited: bool = True  # is this node in its audience? Only an experimental one has any.
    whole: bool = True  # is the payload that fits held whole?
    failed: bool = False  # did it fail on this node?
    image: bool = False  # does it become the factory release?


def active(rows, now_s, synchronised, factory_version):
    """(version, revision, id) of the release that runs."""
    remaining = []
    for version in {row.version for row in rows}:
        same = [row for row in rows if row.version == version]
        highest = max((row.revision, row.rid) for row in same)
        (row,) = (row for row in same if (row.revision, row.rid) == highest)
        dropped = row.withdrawn or row.critical or not row.fits or not row.whole or row.failed
        if row.end_s is not None and not row.invited:
            dropped = True
        if row.image and (row.end_s is not None or not row.version > factory_version):
            dropped = True
        if not dropped:
            remaining.append(row)
    candidates = [(factory_version, 0, FACTORY)]
    for row in remaining:
        experimental = row.end_s is not None
        if row.start_s > now_s:
            continue
        if experimental and not now_s < row.end_s:
            continue
        if experimental and not synchronised:
            continue
        candidates.append((row.version, row.revision, row.rid))
    return max(candidates)
