"""A release in words, and as what --json prints."""

from swdist.formats.bits import version_text
from swdist_host import compare, kinds, terminal
from swdist_host.amounts import count
from swdist_host.errors import Refused
from swdist_host.times import both, span, time_text

NAMES = 12  # of files that are told; --json has them all


def name(parsed):
    """Version, and revision where there is one."""
    text = version_text(parsed.version)
    return f"{text}-r{parsed.revision}" if parsed.revision else text


def boards(line):
    return "any board" if line.boards is None else " ".join(line.boards)


# --- for programs


def facts(swd):
    m = swd.parsed
    return {
        "id": swd.rid.hex(),
        "network": m.network.hex(),
        "version": version_text(m.version),
        "revision": m.revision,
        "channel": "experimental" if m.experimental else "stable",
        "signed_at": time_text(m.signed_at_s),
        "start": time_text(m.start_s),
        "end": time_text(m.end_s) if m.experimental else None,
        "groups": list(m.groups),
        "share": m.share or None,
        "window_s": m.window_s if any(p.kind == "image" for p in m.payloads) else None,
        "payloads": [_payload_facts(line, swd.packed(line)) for line in m.payloads],
        "withdrawn": m.withdrawn,
        "clock_horizon_s": m.horizon_s or None,
        "critical": m.critical,
        "description": m.description,
        "keys": [k.hex() for k in m.keys] if m.is_keys else None,
        "threshold": m.threshold if m.is_keys else None,
        "keep": [rid.hex() for rid in m.keep] if m.is_keys else None,
        "signed_by": [key_id.hex() for key_id in swd.signers],
    }


def _payload_facts(line, packed):
    return {
        "id": line.pid.hex(),
        "kind": line.kind,
        "boards": "any" if line.boards is None else list(line.boards),
        "size": line.size,
        "stored": line.stored,
        "pages": packed.pages,
        "chunks": len(packed.pieces) - packed.pages,
        "whole": packed.whole,
        "holds": _holds(line, packed),
    }


def difference_facts(file, found):
    """What --against prints."""
    return {
        "file": str(file),
        "payloads": [
            {
                "id": d.line.pid.hex(),
                "before": d.old and d.old.pid.hex(),
                "sent": d.sent,
                "whole": d.whole,
                "files": d.files,
            }
            for d in found
        ],
    }


# --- for people


def text(swd, file, zone=None):
    """Several lines: all that whoever signs it should know. zone: in which times are told, too."""
    m = swd.parsed
    rows = [("id", swd.rid.hex()), ("network", m.network.hex())]
    if m.is_keys:
        keys = ", ".join(k.hex() for k in m.keys)
        rows.append(("keys", f"{m.threshold} of the keys {keys} must sign from then on"))
    else:
        rows.append(("for", audience(m)))
    first = {}  # {payload id: number of the line that has it first}
    for n, line in enumerate(m.payloads, 1):
        rows.append((f"payload {n}", f"{line.kind}, for {boards(line)}: {line.size:,} bytes"))
        if first.setdefault(line.pid, n) == n:
            rows += [("", words) for words in _about(line, swd.packed(line))]
        else:
            rows.append(("", f"the same bytes as payload {first[line.pid]}"))
    if any(line.kind == "image" for line in m.payloads):
        rows.append(("window", f"images are flashed within {m.window_s:,} s"))
    rows.append(("signed by", ", ".join(key_id.hex() for key_id in swd.signers) or "nobody yet"))
    head = f"{file}: release {name(m)}, {what(m, zone)}"
    return "\n".join([head, *(f"  {label:10} {words}" for label, words in rows)])


def what(m, zone=None):
    """In words; times also in a zone, or this host's."""
    if m.is_keys:
        return f"a change of keys, keeps {count(len(m.keep), 'release')} of the keys before"
    if m.horizon_s:
        most = span(m.horizon_s)
        follow = f"for an hour nodes follow a neighbour that is later, by {most} at most"
        return f"a word on time: {follow}; A LIAR CAN WIN AS MUCH, ONCE"
    channel = "withdrawn" if m.withdrawn else ("experimental" if m.experimental else "stable")
    until = f" until {both(m.end_s, zone)}" if m.experimental else ""
    never = "; NO NODE WILL RUN IT: it has a critical key" if m.critical else ""
    return f"{channel}, from {both(m.start_s, zone)}{until}{never}"


def audience(m):
    """Whom of its boards' nodes a release is for."""
    parts = []
    if m.groups:
        parts.append(f"nodes of the groups {', '.join(m.groups)}")
    if m.share:
        parts.append(f"{m.share / 10:g} % of all nodes, drawn by lot")
    return ", and ".join(parts) or "all nodes"


def _about(line, packed):
    chunks = len(packed.pieces) - packed.pages
    return [
        f"id {line.pid.hex()}",
        f"whole {on_the_air(packed.whole)}; {count(packed.pages, 'page')}, "
        f"{count(chunks, 'chunk')}",
        *_holds(line, packed),
    ]


def on_the_air(size):
    """Bytes that cross the air, and for how long."""
    if not size:
        return "nothing crosses the air"
    took = span(compare.seconds(size))
    return f"{count(size, 'byte')} cross the air, {took} for each hop at {compare.RATE}"


def _holds(line, packed):
    """What is in a payload, or why no node will take it."""
    try:
        if line.kind == "image" and not packed.is_plain:
            raise Refused("it is packed, which an image must not be; build it anew")
        if line.kind in (*kinds.PACKAGES, "image"):
            return kinds.about(line.kind, packed.inflated())
        packed.check()
        return []
    except Refused as e:
        return [f"NO NODE WILL TAKE IT: {e}"]


def difference_text(file, found):
    """Several lines: what --against shows for people."""
    lines = [f"against {file}"]
    for n, d in enumerate(found, 1):
        lines.append(f"  payload {n:<2} {on_the_air(d.sent)}{_beside(d)}")
        for what, names in (d.files or {}).items():
            if names:
                lines.append(f"             {what}: {some(names)}")
    return "\n".join(lines)


def _beside(d):
    if d.old is None:
        return "; it has nothing for these boards"
    if d.old.pid == d.line.pid:
        return ": the same payload"
    return f", {100 * d.sent / d.whole:.1f} % of the whole"


def some(names, most=NAMES):
    """The first of them."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return terminal.line(", ".join(names[:most])) + more
