"""swdist release plan."""

import math
import sys
import time
from pathlib import Path

import click

from swdist.formats.bits import version_text
from swdist_host import (
    ca,
    compare,
    files,
    maps,
    plan,
    release,
    release_text,
    rolls,
    spread,
    terminal,
)
from swdist_host.amounts import count
from swdist_host.commands_keys import as_json
from swdist_host.commands_sim import simulator
from swdist_host.errors import BadValue, Refused
from swdist_host.times import both, span

QUOTA_KB = 1024  # a node's own default
NAMES = 8  # of nodes that are told; --json has them all
_FILE = click.Path(path_type=Path)


@click.command("plan", short_help="Say what a release would do, and to whom.")
@click.argument("file", metavar="FILE.swd", type=_FILE)
@click.option("--ca", "ca_dir", metavar="DIR", type=_FILE, help="Verify it, too.")
@click.option(
    "--map", "map_file", metavar="FILE", type=_FILE,
    help="The mesh: NetJSON, batadv-vis, OLSR, or a map server's graph.json or meshviewer.json.",
)  # fmt: skip
@click.option(
    "--mesh", "mesh_file", metavar="FILE", type=_FILE,
    help="What the mesh says of itself: swdist status --mesh --json of any router.",
)  # fmt: skip
@click.option("--at", metavar="NODE", help="Hand it in at this node of the map.  [a far corner]")
@click.option("--kbps", metavar="N", type=click.IntRange(100), help="What the radios do.  [24000]")
@click.option(
    "--against", "against", metavar="FILE.swd", type=_FILE, multiple=True,
    help="What nodes hold already: only what is another then crosses the air; repeatable.",
)  # fmt: skip
@click.option(
    "--quota-kb", metavar="N", type=click.IntRange(1), default=QUOTA_KB, show_default=True,
    help="What nodes have for payloads (option quota_kb).",
)  # fmt: skip
@click.option("--no-withdrawal", is_flag=True, help="Don't make the withdrawal.")
@as_json
def plan_command(
    file, ca_dir, map_file, mesh_file, at, kbps, against, quota_kb, no_withdrawal, as_json
):  # fmt: skip
    """Say what a release would do, before it is published: who gets it by when, whether its start
    leaves room, what its end means, what crosses the air, and what in it looks wrong. The release
    that would take it back is made beside it, ready to sign.

    With a map the nodes' own code runs on it in virtual time, on radios that are as good as the map
    says, and with --mesh besides each node of it needs what is for its board; with --mesh alone on
    a mesh drawn at random, of the nodes and boards that are heard, for nodes tell nobody their
    links. The mesh may be slower, so leave room.

    \b
    Examples:
      swdist release plan 1.1.0.swd --ca ca
      swdist release plan 1.1.0.swd --ca ca --map meshviewer.json --against 1.0.0.swd
      ssh root@router swdist status --mesh --json > mesh.json
      swdist release plan 1.1.0.swd --ca ca --mesh mesh.json
    """
    if map_file is None and at is not None:
        raise BadValue("--at needs a --map")
    if map_file is None and mesh_file is None and kbps is not None:
        raise BadValue("--kbps needs a --map or --mesh")
    rows = [] if mesh_file is None else rolls.read(mesh_file)
    now_s = int(time.time())
    swd = release.load(file)
    warnings = plan.complaints(swd, now_s, quota_kb)
    if ca_dir is not None and swd.signatures:  # a plan may come before the first signature
        try:
            release.verify(swd, ca.load(ca_dir).trust)
        except Refused as e:
            warnings.append(f"no node would take it: {e}")
    earlier = [(path, release.load(path)) for path in against]
    for path, old in earlier:
        try:
            compare.check_replaces(swd, old, path)
        except Refused as e:
            warnings.append(str(e))
    warnings += rolls.complaints(swd.parsed, rows, lambda names: release_text.some(names, NAMES))
    sent = _sent(swd, [old for _, old in earlier])
    if map_file is not None:
        found = maps.read(map_file)
        sizes, fits = _on(found, swd.parsed, rolls.heard(rows), sent)
        found = None if fits == {} else found
    else:
        found, sizes, fits = _drawn(swd.parsed, rolls.heard(rows), sent)
    spreading = None
    if found is not None:
        spreading = _spread(found, sizes, fits, at, kbps, as_json)
        warnings += _of_spread(swd.parsed, spreading, now_s)
    back = None if no_withdrawal else _withdrawal(swd, file, now_s)
    if as_json:
        facts = _facts(file, swd, now_s, sent, found, spreading, warnings, back)
        terminal.print_json({**facts, "mesh_nodes": len(rows) or None})
        return
    lines = list(_text(file, swd, now_s, sent, found, spreading, warnings, back))
    if rows:
        lines.insert(1, _row("mesh", rolls.summary(rows)))
    terminal.say("\n".join(lines))


def _sent(swd, olds):
    """Bytes that cross the air for each payload, to a node that holds the earlier releases."""
    least = {n: swd.packed(line).whole for n, line in enumerate(swd.parsed.payloads)}
    for old in olds:
        for n, one in enumerate(compare.differences(swd, old)):
            least[n] = min(least[n], one.sent)
    return list(least.values())


def _drawn(m, heard, sent):
    """What spread.simulate takes of nodes that tell no links: a maps.Map, sizes, fits; no map where
    there is nobody to spread it to."""
    sizes, fits = [0], None
    if m.payloads:
        pids = {str(n): pid for n, pid in rolls.fits(m, heard).items()}
        sizes, fits = _by_payload(m, sent, pids)
    if len(heard) < 2 or fits == {}:
        return None, sizes, fits
    try:
        (topology,) = simulator("topology")
    except Refused as e:  # the rest of the plan is worth having
        terminal.note(f"not simulated: {e}")
        return None, sizes, fits
    return spread.drawn(topology, [row.name for row in heard]), sizes, fits


def _on(found, m, heard, sent):
    """The same of a map: whom a row is of needs what is for its board, others the largest."""
    whole = [max(sent, default=0)], None
    if not m.payloads or not heard:
        return whole
    pids, strange = rolls.located(m, found.names, heard)
    if strange:
        some = release_text.some([found.names[node] for node in strange], NAMES)
        found.odd.append(f"not heard of by the mesh, and taken to need the largest payload: {some}")
    if len(strange) == len(found.names):
        return whole
    largest = m.payloads[sent.index(max(sent))].pid
    return _by_payload(m, sent, {**pids, **dict.fromkeys(strange, largest)})


def _by_payload(m, sent, pids):
    """(sizes of what is needed, {node: which of them}); pids: {node: id of its payload}."""
    needed = list(dict.fromkeys(pids.values()))
    of = {line.pid: size for line, size in zip(m.payloads, sent, strict=True)}
    return [of[pid] for pid in needed], {node: needed.index(pid) for node, pid in pids.items()}


def _spread(found, sizes, fits, at, kbps, as_json):
    modules = simulator("topology", "radio", "station", "simulation")
    show = None
    if sys.stderr.isatty() and not as_json:

        def show(have, of):
            click.echo(f"\rsimulating: {have} of {of} nodes have it ", nl=False, err=True)

    try:
        return spread.simulate(modules, found, sizes, fits, at, kbps, show)
    finally:
        if show is not None:
            click.echo("\r" + " " * 60 + "\r", nl=False, err=True)


def _of_spread(m, spreading, now_s):
    """What the simulation has shown that looks wrong."""
    if len(spreading.seconds) < spreading.nodes:
        lacking = spreading.nodes - len(spreading.seconds)
        yield f"{lacking} of {count(spreading.nodes, 'node')} did not get it in the simulation"
    room_s = m.start_s - now_s
    needed_s = max(plan.ROOM * spreading.last_s, plan.LEAST_ROOM_S)
    if not (m.is_keys or m.withdrawn) and 0 <= room_s < needed_s:
        yield (
            f"Start leaves {span(room_s)}; give {_up(needed_s)} at least, for a mesh is "
            "slower than a simulation: who comes too late switches when it has it all"
        )


def _withdrawal(swd, file, now_s):
    """(file, was it made now) of the release that takes it back; None where there is none."""
    made = plan.withdrawal(swd, now_s)
    if made is None:
        return None
    path = file.with_name(f"no-{file.name}")
    if not path.exists():
        release.save(made, path)
        return path, True
    there = release.load(path).parsed
    ours = made.parsed
    if not (there.withdrawn and (there.network, there.version) == (ours.network, ours.version)):
        raise files.exists(path)
    if there.revision < ours.revision:
        raise Refused(f"{path}: replaces nothing; move it away")
    return path, False


# --- what is printed


def _text(file, swd, now_s, sent, found, spreading, warnings, back):
    m = swd.parsed
    yield f"{file}: release {release_text.name(m)}, {release_text.what(m)}"
    if not (m.is_keys or m.withdrawn):
        yield _row("for", release_text.audience(m))
        yield _row("start", f"{both(m.start_s)}, {_in(m.start_s - now_s)}")
    yield _row("then", plan.after_it(m))
    for n, (line, size) in enumerate(zip(m.payloads, sent, strict=True), 1):
        crosses = release_text.on_the_air(size)
        yield _row(f"payload {n}", f"{line.kind}, for {release_text.boards(line)}: {crosses}")
    if found is not None:
        yield from _map_text(found, spreading, m, now_s)
    for line in warnings:
        yield _row("WARNING", line)
    if back is not None:
        path, made = back
        words = "made" if made else "there already"
        yield _row("withdrawal", f"{path} is {words}, and unsigned: sign it, and keep it")


def _row(label, words):
    return f"  {label:10} {terminal.line(words)}"


def _in(seconds):
    return f"in {span(seconds)}" if seconds >= 0 else f"{span(-seconds)} ago"


def _map_text(found, spreading, m, now_s):
    parts = found.parts()
    if found.drawn:
        nodes = f"the {count(len(found.names), 'node')} that are heard"
        each = f"{spread.DEGREE} neighbours each on average (seed {spread.SEED}):"
        yield _row("map", f"drawn: {nodes}, {each}")
        yield _row("", "nodes tell nobody their links; give a --map to have it on the real ones")
        at = "a far corner"
    else:
        nodes, links = (
            count(len(found.names), "node"),
            count(len(found.links), "link"),
        )
        yield _row("map", f"{nodes}, {links}")
        at = found.names[spreading.node]
    for line in found.odd:
        yield _row("", line)
    others = [node for part in parts if spreading.node not in part for node in part]
    if others:
        names = [found.names[node] for node in others]
        have = f"{count(len(others), 'node')} {'has' if len(others) == 1 else 'have'}"
        yield _row("", f"hand it in elsewhere, too: {have} no link to the rest:")
        yield _row("", release_text.some(names, NAMES))
    of = f"{len(spreading.seconds)} of {count(spreading.nodes, 'node')}"
    yield _row("handed in", f"at {at}, as if it were done now:")
    half, most = (_after(spreading, share) for share in (0.5, 0.9))
    last = _up(spreading.last_s)
    yield _row("", f"half have it after {half}, nine tenths after {most}, {of} after {last}")
    if not (m.is_keys or m.withdrawn) and m.start_s >= now_s:
        room_s = m.start_s - now_s - spreading.last_s
        yield _row("", f"that is {span(abs(room_s))} {'before' if room_s >= 0 else 'AFTER'} Start")
    yield _row("", f"{spreading.air_bytes:,} bytes cross the air in all")
    if spreading.simulated < max(spreading.size, 1):
        yield _row("", f"(from a simulation with {spreading.simulated:,} bytes of it)")


def _after(spreading, share):
    seconds = spreading.after(share)
    return "never" if seconds is None else _up(seconds)


def _up(seconds):
    return span(math.ceil(seconds))


def _facts(file, swd, now_s, sent, found, spreading, warnings, back):
    m = swd.parsed
    facts = {
        "file": str(file),
        "id": swd.rid.hex(),
        "version": version_text(m.version),
        "revision": m.revision,
        "for": None if m.is_keys else release_text.audience(m),
        "starts_in_s": m.start_s - now_s,
        "then": plan.after_it(m),
        "sent": sent,
        "warnings": warnings,
        "withdrawal": None if back is None else str(back[0]),
        "map": None,
    }
    if found is not None:
        others = [n for part in found.parts() if spreading.node not in part for n in part]
        facts["map"] = {
            "nodes": len(found.names),
            "links": len(found.links),
            "drawn": {"degree": spread.DEGREE, "seed": spread.SEED} if found.drawn else None,
            "notes": found.odd,
            "not_linked": others,
            "at": None if found.drawn else spreading.node,
            "seconds": [round(t, 1) for t in spreading.seconds],
            "could_get_it": spreading.nodes,
            "air_bytes": spreading.air_bytes,
            "simulated_bytes": spreading.simulated,
        }
    return facts
