"""Do a release's times make sense, by this host's clock and by what the neighbours say it is?

A signing laptop whose clock is wrong is the one mistake that a mesh can't see through: Signed-At is
a floor of every node's time (docs/protocol.md, section 5.5), and Start is what they all wait for.
"""

import statistics

from swdist_host.amounts import count
from swdist_host.errors import Refused
from swdist_host.times import span, time_text

FUTURE_S = 60  # clocks of hosts are as wrong as that
OLD_S = 30 * 86400  # between building and the last signature
FAR_S = 5 * 366 * 86400  # nobody plans further ahead
OFF_S = 300  # a host whose clock differs more from the mesh's is not to be trusted with times
FORCE = "mend what is wrong, or say --force"


def complaints(m, now_s, whose="this host's clock"):
    """What makes no sense of a manifest's times at now_s, seconds since 1970: sentences."""
    found = []
    ahead_s = m.signed_at_s - now_s
    if ahead_s > FUTURE_S:
        found.append(
            f"Signed-At is {span(ahead_s)} ahead of {whose}, {time_text(now_s)}: all nodes that "
            "take it set their clocks forward by that, for good"
        )
    if m.is_keys or m.withdrawn:
        return found
    if m.start_s - m.signed_at_s > FAR_S:
        found.append(f"Start is {span(m.start_s - m.signed_at_s)} after Signed-At")
    if m.experimental and m.end_s <= now_s:
        found.append(f"End was {span(now_s - m.end_s)} ago by {whose}: no node will run it")
    return found


def when_signing(m, now_s):
    """The same, and what is odd in a release that is not out yet."""
    found = complaints(m, now_s)
    age_s = now_s - m.signed_at_s
    if age_s > OLD_S:
        found.append(f"Signed-At is {span(age_s)} ago by this host's clock, {time_text(now_s)}")
    late_s = now_s - m.start_s
    if late_s > 86400 and not (m.is_keys or m.withdrawn):
        found.append(
            f"Start was {span(late_s)} ago by this host's clock: each node switches as soon as it "
            "has it, not all in one second"
        )
    return found


def of_mesh(m, now_s, offsets_us):
    """What the neighbours' clocks say to it. offsets_us: each one's mesh time less this host's
    clock, microseconds."""
    if not offsets_us:
        return []
    off_s = round(statistics.median(offsets_us) / 1_000_000)
    found = []
    if abs(off_s) > OFF_S:
        way = "behind" if off_s > 0 else "ahead of"
        found.append(
            f"this host's clock is {span(abs(off_s))} {way} the mesh (the median of "
            f"{count(len(offsets_us), 'neighbour')}): what was signed by it means other times than "
            "it says"
        )
    return found + complaints(m, now_s + off_s, "the mesh's clock")


def refuse(file, found):
    """Refused with all of it, unless there is nothing."""
    if found:
        raise Refused(f"{file}: " + "; ".join(found) + f". {FORCE}")
