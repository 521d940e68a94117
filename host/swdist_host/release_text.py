"""A release in words, and as what --json prints."""

from swdist.bits import version_text
from swdist_host import kinds
from swdist_host.errors import Refused
from swdist_host.times import time_text


def name(parsed):
    """Version, and revision where there is one."""
    text = version_text(parsed.version)
    return f"{text}-r{parsed.revision}" if parsed.revision else text


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
        "boards": list(m.boards) if m.boards else "any",
        "payload": m.payload,
        "payload_size": m.payload_size,
        "window_s": m.window_s if m.payload == "image" else None,
        "holds": _holds(swd),
        "chunk_size": m.chunk_size,
        "chunks": m.chunks,
        "withdrawn": m.withdrawn,
        "critical": m.critical,
        "description": m.description,
        "keys": [k.hex() for k in m.keys] if m.payload == "keys" else None,
        "threshold": m.threshold if m.payload == "keys" else None,
        "keep": [rid.hex() for rid in m.keep] if m.payload == "keys" else None,
        "signed_by": [key_id.hex() for key_id in swd.signers],
    }


def _holds(swd):
    try:
        return kinds.about(swd.parsed.payload, swd.payload)
    except Refused as e:
        return [f"NO NODE WILL TAKE IT: {e}"]


def text(swd, file):
    m = swd.parsed
    when = f"from {time_text(m.start_s)}"
    if m.experimental:
        when += f" until {time_text(m.end_s)}"
    what = "withdrawn" if m.withdrawn else ("experimental" if m.experimental else "stable")
    size = "no payload"
    if m.chunks:
        size = f"{m.payload}, {m.payload_size:,} bytes in chunks of {m.chunk_size:,}"
    if m.payload == "image":
        size += f"; flashed within {m.window_s:,} s"
    if m.payload == "keys":
        what = "a change of keys"
        size = (
            f"{m.threshold} of the keys {', '.join(k.hex() for k in m.keys)} must sign from then on"
        )
        when = f"keeps {len(m.keep)} releases that the keys before have signed"
    signers = ", ".join(key_id.hex() for key_id in swd.signers) or "nobody yet"
    return "\n".join(
        [
            f"{file}: release {name(m)}, {what}, {when}",
            f"  id         {swd.rid.hex()}",
            f"  network    {m.network.hex()}",
            f"  boards     {' '.join(m.boards) if m.boards else 'any'}",
            f"  payload    {size}",
            *(f"             {line}" for line in _holds(swd)),
            f"  signed by  {signers}",
        ]
    )
