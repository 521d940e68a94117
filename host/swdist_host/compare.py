"""What a release means to nodes that hold an earlier one: what crosses the air, which files are
other ones, and whom it would leave without the version."""

from dataclasses import dataclass

from swdist.formats.manifest import UNPACKED, Payload
from swdist_host import ustar
from swdist_host.errors import BadValue, Refused

RATE_BYTES_S = 125_000  # what "seconds" are told for: 1 Mbit/s
RATE = "1 Mbit/s"


@dataclass(frozen=True)
class Difference:
    """A payload against what a node of its boards has from the earlier release. old: that one's
    line, or None; sent, whole: bytes that cross the air to it, and to a node that has nothing;
    files: {"changed": names, "added": names, "removed": names}, or None if they are no archives."""

    line: Payload
    old: Payload | None
    sent: int
    whole: int
    files: dict | None


def seconds(size):
    """How long so many bytes take from neighbour to neighbour at RATE, at the best."""
    return -(-size // RATE_BYTES_S)


def differences(new, old):
    """[Difference] for each line of a release.Swd against an earlier one."""
    return [_difference(new, line, old, _before(line, old.parsed)) for line in new.parsed.payloads]


def _before(line, parsed):
    """The earlier release's payload on a node of a line's boards: one of its kind, if there is."""
    fit = [
        other
        for other in parsed.payloads
        if None in (line.boards, other.boards) or set(line.boards) & set(other.boards)
    ]
    fit.sort(key=lambda other: (other.kind != line.kind, other.boards != line.boards))
    return fit[0] if fit else None


def _difference(new, line, old, before):
    packed = new.packed(line)
    if before is None:
        return Difference(line, None, packed.whole, packed.whole, None)
    if before.pid == line.pid:
        return Difference(line, before, 0, packed.whole, {} if line.kind in UNPACKED else None)
    held = old.packed(before)
    # Who has flashed an image has no payload of it any more.
    pieces = set(held.pieces) if before.kind != "image" else ()
    sent = len(packed.index) + sum(len(piece) for piece in packed.pieces if piece not in pieces)
    return Difference(line, before, sent, packed.whole, _files(line, packed, before, held))


def _files(line, packed, before, held):
    if line.kind not in UNPACKED or before.kind not in UNPACKED:
        return None
    new, old = (ustar.contents(one.inflated(), with_header=True) for one in (packed, held))
    return {
        "changed": sorted(name for name in new if old.get(name, new[name]) != new[name]),
        "added": sorted(set(new) - set(old)),
        "removed": sorted(set(old) - set(new)),
    }


# --- what replaces what


def check_replaces(new, old, name):
    """Refuses a revision that nodes would not take for an earlier release, called `name`, or that
    takes the version away from boards which that one serves. A withdrawal is meant to."""
    ours, theirs = new.parsed, old.parsed
    if ours.network != theirs.network:
        raise BadValue(f"{name}: is of network {theirs.network.hex()}, not of this one")
    if ours.version != theirs.version or new.rid == old.rid:
        return
    if ours.revision <= theirs.revision:
        raise BadValue(
            f"revision {ours.revision} does not replace {name}, which is revision "
            f"{theirs.revision} of the same version; give --revision {theirs.revision + 1}"
        )
    boards = [] if ours.withdrawn else left_out(ours, theirs)
    if boards:
        raise Refused(
            f"it would take the version away from {', '.join(boards)}, which {name} serves: nodes "
            "keep the highest revision alone; give payloads for these boards, too, or say --force"
        )


def left_out(ours, theirs):
    """The boards, in words, that `theirs` has a payload for and `ours` has not."""
    served = _boards(ours)
    if not theirs.payloads or "any" in served:
        return []
    return [
        "any other board" if board == "any" else board
        for board in _boards(theirs)
        if board not in served
    ]


def _boards(parsed):
    return list(dict.fromkeys(b for line in parsed.payloads for b in line.boards or ("any",)))
