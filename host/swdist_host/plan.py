"""What a release would do, told before it is published: what in it is odd, and its withdrawal."""

from pathlib import PurePath

from swdist.formats.bits import version_text
from swdist_host import dates, hooks, kinds, release, ustar
from swdist_host.errors import Refused
from swdist_host.payload import CODE
from swdist_host.times import span

FAR_S = 60 * 86400  # of a start: who installs a router until then should have it in the image
SHORT_S = 600  # of an experiment: nodes confirm what they run after minutes
ROOM = 3  # so many times what a simulation took should be left before Start,
LEAST_ROOM_S = 600  # and so long for nodes that boot meanwhile
# Modules that a slot with swdist's own code may lack: what nodes then can't do.
_OPTIONAL = {
    "install": ("swdist-install", "flash images (images_kb)"),
    "sntp": ("swdist-sntp", "serve or follow NTP"),
}


def complaints(swd, now_s, quota_kb=None):
    """What of it looks wrong, in sentences. quota_kb: what nodes have for payloads, if known."""
    m = swd.parsed
    found = list(dates.when_signing(m, now_s))
    if m.critical:
        found.append("it has a critical key that no node of today knows: no node will run it")
    if not (m.is_keys or m.withdrawn):
        found += _of_times(m, now_s)
    for n, line in enumerate(m.payloads, 1):
        found += [f"payload {n}: {why}" for why in _of_payload(line, swd.packed(line), quota_kb)]
    return found


def _of_times(m, now_s):
    late_s = now_s - m.start_s
    if 0 < late_s <= 86400:  # beyond, `dates` says it
        yield (
            f"Start was {span(late_s)} ago: each node switches as soon as it has it, not all in "
            "one second"
        )
    if -late_s > FAR_S and m.start_s - m.signed_at_s <= dates.FAR_S:
        yield f"Start is {span(-late_s)} away: is the year right?"
    if m.experimental and m.end_s - m.start_s < SHORT_S:
        yield f"it runs for {span(m.end_s - m.start_s)} only, less than nodes take to confirm it"


def _of_payload(line, packed, quota_kb):
    if line.kind not in kinds.KNOWN:
        yield f"no node knows the kind '{line.kind}': they only relay it"
        return
    if line.kind == "image" and not packed.is_plain:
        yield "it is packed, which an image must not be: no node will take it"
    if quota_kb is not None and line.kind != "image" and packed.whole > quota_kb << 10:
        yield (
            f"it takes {packed.whole:,} bytes, and nodes have {quota_kb << 10:,} for all releases "
            "(quota_kb): who has no more fetches nothing of it"
        )
    try:
        data = packed.inflated()
        kinds.about(line.kind, data)
    except Refused as e:
        yield f"no node will take it: {e}"
        return
    yield from hooks.complaints(line.kind, data)
    if line.kind == "slot":
        yield from _of_code(data)


def _of_code(data):
    """What swdist's own code in a slot lacks."""
    held = [PurePath(name).stem for name in ustar.contents(data) if name.startswith(f"{CODE}/")]
    if not held:
        return
    for module, (package, what) in _OPTIONAL.items():
        if not any(module in name for name in held):
            yield (
                f"it brings swdist without {package}: nodes that are set up to {what} refuse it, "
                f"or stop doing so; add --swdist {package}_VERSION_all.ipk"
            )


def withdrawal(swd, now_s):
    """The unsigned release that takes it back for good; None where there is nothing to."""
    m = swd.parsed
    if m.is_keys or m.withdrawn:
        return None
    return release.build(
        m.network, version_text(m.version), now_s, revision=m.revision + 1, withdraw=True,
        now_s=now_s,
    )  # fmt: skip


def after_it(m):
    """What its end means, in words."""
    if m.is_keys:
        return "a change of keys counts on a node from the moment it arrives, and never ends"
    if m.horizon_s:
        return "for an hour nodes follow a neighbour that is later; nothing else comes of it"
    if m.withdrawn:
        return "it stays withdrawn until a higher revision or version comes"
    if not m.experimental:
        return "it has no end: it stays until a higher version or revision comes, or it fails"
    return (
        f"after {span(m.end_s - m.start_s)} all that run it go back in the same second, to the "
        "highest other release that they hold and that has begun, at last to their image"
    )
