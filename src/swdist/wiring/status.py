"""What the network side says of itself, for people and tools."""

from swdist.formats import datagram
from swdist.formats.bits import to_hex, version_text


def of_node(node, now):
    """A dict that json can write."""
    clock = node.clock
    rows = []
    for i, row in enumerate(node.neighbours.rows):
        if row.peer is not None:
            ahead_us, round_trip_us = clock.seen(i, now)
            rows.append(
                {
                    "peer": to_hex(row.peer),
                    "node": row.node and to_hex(row.node),
                    "version": version_text(row.version),
                    "revision": row.revision,
                    "synced": row.state & datagram.SYNCED != 0,
                    "heard_ms_ago": (now - row.heard_at) // 1000,
                    "faults": row.faults,
                    "ahead_us": ahead_us,
                    "round_trip_us": round_trip_us,
                }
            )
    pending = node.pending(now)
    return {
        "version": version_text(node.active[1]),
        "revision": node.active[2],
        "synced": clock.synced,
        "mesh_us": clock.mesh_us(now),
        "counter_us": now,
        "error_us": clock.error_us,
        "reference": clock.referred,
        "steps": clock.stepped,
        "neighbours": rows,
        "board": node.store.room.here.board,
        "releases": [of_release(node, r) for r in node.store.releases],
        "next": pending and {"id": to_hex(pending[0].rid), "in_s": pending[1]},
        "relaying": [
            {"id": to_hex(pid), "percent": node.store.percent(pid)}
            for pid in node.store.needs.relayed
        ],
        "fetching": [
            {"file": s.name(), "from": to_hex(s.peer)} for s in node.fetch.slots if s.what
        ],
        "refusals": node.fetch.outcomes.refusals,
        "rejects": {
            "foreign": node.hearing.rejects[1],
            "malformed": node.hearing.rejects[2],
            "critical": node.hearing.rejects[3],
            "no_room": node.hearing.rejects[4],
        },
    }


def of_release(node, r):
    """How a release stands here, as a dict."""
    m = r.manifest
    store = node.store
    here = store.room.here
    p = here.payload(m)
    pid = p.pid if p is not None else None
    h = store.held(pid)
    return {
        "id": to_hex(r.rid),
        "version": version_text(m.version),
        "revision": m.revision,
        "start_s": m.start_s,
        "end_s": m.end_s,
        "experimental": m.experimental,
        "withdrawn": m.withdrawn,
        "fits": p is not None,
        "invited": here.invited(m),
        "complete": h.complete() if h is not None else not m.payloads,
        "payload": pid and to_hex(pid),
        "kind": p and p.kind,
        "no_room": store.needs.plan().refused.get(pid),
        "offered": p is not None and node.fetch.sources.offered(pid),
        "held": h.held if h is not None else 0,
        "total": h.total if h is not None else 0,
        "percent": store.percent(pid),
    }
