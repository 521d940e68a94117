"""What stands between a release and this node, in the words that all of swdist uses for it: status,
watch, page, metrics, and (as their numbers) what nodes tell of themselves over the air.
"""

# The place of a word is its number in docs/protocol.md: new ones come last.
STATES = (
    "runs here",
    "ready",
    "fetching",
    "no room",
    "not for this board",
    "waits for its window",
    "held by its owner",
    "failed here",
    "ended",
    "superseded",
    "withdrawn",
    "clock not synchronised",
    "nobody has it",
    "for others",
    "on trial",
)
RUNS, READY, FETCHING, NO_ROOM, BOARD, WINDOW, HELD, FAILED = range(8)
ENDED, SUPERSEDED, WITHDRAWN, CLOCK, NOBODY, OTHERS, TRIAL = range(8, 15)


def state(r, others, switch, now_s, synced):
    """(number of the word, what more is to be said or None) of a release.

    r, others: as `of_node` of wiring/status says them, with start_s, end_s (0: none); switch: what
    the switch side says of itself; now_s: the mesh time, seconds since 1970."""
    active = switch["active"]
    why = dict(zip(switch["failed"], switch["why"]))
    if r["id"] == active["id"]:
        return (RUNS if r["id"] == switch["confirmed"] else TRIAL), None
    if r["withdrawn"]:
        return WITHDRAWN, None
    if r["id"] in why:
        return FAILED, why[r["id"]] or None
    if version_order(r)[0][:2] == [0, 0]:
        return RUNS, "keys in force"
    if not r["fits"]:
        return BOARD, None
    if not r["invited"]:
        return OTHERS, None
    if r["experimental"] and r["end_s"] <= now_s:
        return ENDED, None
    better = superseded(r, others, active)
    if better:
        return SUPERSEDED, "by " + better
    if r["no_room"]:
        return NO_ROOM, r["no_room"]
    if not r["complete"]:
        has = "%d %%" % r["percent"]
        return (FETCHING if r["offered"] else NOBODY), has
    flash = switch.get("flash")
    if flash and flash[0] == r["id"]:
        return WINDOW, "flashes in " + span((flash[1] - switch["counter_us"]) // 1000000)
    if switch["hold"]:
        return HELD, None
    if not synced and (r["experimental"] or r["start_s"] > now_s):
        return CLOCK, None
    return READY, None


def superseded(r, others, active):
    """The name of what runs, or is held, in the place of a release; None if nothing does."""
    mine = sort_key(r)
    if not active["experimental"] and sort_key(active) > mine:
        return name(active)
    for o in others:
        if o["version"] == r["version"] and sort_key(o) > mine:
            return name(o)
    return None


def past(word, r, others, active):
    """Of a release that stands so: does it come no more, and is no trouble either?"""
    if word == FAILED:  # until something better runs
        return superseded(r, others, active) is not None
    return word in (ENDED, SUPERSEDED, WITHDRAWN)


def version_order(r):
    """What runs, as releases are compared: the version's numbers, and the revision."""
    return [int(n) for n in r["version"].split(".")], r["revision"]


def sort_key(r):
    return version_order(r) + (r["id"],)


def name(r):
    return "%s-r%d" % (r["version"], r["revision"])


def span(s):
    """Seconds as people say them, in two units at most: 90061 is "1 d 1 h"."""
    parts = []
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if s >= seconds and len(parts) < 2:
            parts.append("%d %s" % (s // seconds, unit))
            s %= seconds
        elif parts:
            break
    return " ".join(parts) or "0 s"
