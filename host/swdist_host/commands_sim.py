"""swdist sim: the device code of a whole mesh in virtual time."""

import itertools
import sys
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import click

from swdist_host import maps, terminal
from swdist_host.commands_keys import as_json
from swdist_host.errors import BadValue, Refused

_FILE = click.Path(path_type=Path)


def simulator(*names):
    """Modules of the simulator. The host tool in one file comes without it and its libraries."""
    try:
        return [import_module(f"swdist_host.sim.{name}") for name in names]
    except ImportError as e:
        raise Refused(
            f"the simulator is not part of this installation (no {e.name}):"
            " run it from the source, after `make setup`"
        ) from e


@click.command(short_help="Run many nodes' code in virtual time.")
@click.option(
    "--scenario", "name", metavar="FILE|NAME", help="A TOML file, or one that comes along."
)
@click.option("--seed", metavar="N", type=click.IntRange(0), help="Instead of the scenario's.")
@click.option(
    "--topology", metavar="KIND|FILE",
    help="line, ring, grid, geometric, villages, or a map, as `release plan` takes it.",
)  # fmt: skip
@click.option("--nodes", metavar="N", type=click.IntRange(1), help="Instead of the scenario's.")
@click.option(
    "--fidelity", type=click.Choice(["packet", "chunk"]),
    help="chunk: a whole file travels as one event; faster.",
)  # fmt: skip
@click.option("--duration", metavar="TIME", help="Virtual time, like 90s, 2h or 30d.")
@click.option("--report", metavar="FILE.html", type=_FILE, help="Write a page with plots.")
@click.option("--list", "listing", is_flag=True, help="The scenarios that come along.")
@click.option("--quiet", is_flag=True, help="No progress.")
@as_json
def sim(name, seed, topology, nodes, fidelity, duration, report, listing, quiet, as_json):
    """Run many nodes' device code in virtual time, and check what must always hold.

    The same seed gives the same run, on any machine: compare the digests. Exit status 1 if
    something was violated; then the seed, the event and what led to it are printed.

    \b
    Examples:
      swdist sim --list
      swdist sim --scenario one-injection --seed 7 --report out.html
      swdist sim --scenario hostile --topology villages --nodes 200 --fidelity chunk
    """
    runner, scenarios = simulator("runner", "scenario")
    if listing:
        for known in scenarios.names():
            terminal.say(f"{known:18} {scenarios.load(known).about}")
        return
    chosen = scenarios.load(name or "one-injection")
    chosen = _changed(scenarios, chosen, seed, topology, nodes, fidelity, duration)
    show = None if quiet or as_json or not sys.stderr.isatty() else _progress(chosen)
    result = runner.run(chosen, show)
    if show is not None:
        click.echo("\r" + " " * 78 + "\r", nl=False, err=True)
    if report is not None:
        from swdist_host.sim import report as reports

        reports.write(result, report)
    if as_json:
        terminal.print_json(_facts(result))
    else:
        _say(result, report)
    if not result.ok:
        if as_json:
            raise Refused(f"violation of '{result.violation.rule}' with seed {chosen.seed}")
        raise Refused(runner.story(result).splitlines()[0])


def _changed(scenarios, chosen, seed, topology, nodes, fidelity, duration):
    """The scenario with what the command line says instead."""
    shape = dict(chosen.topology)
    if topology is not None:
        shape = {"kind": topology, "nodes": shape["nodes"]}
        if "/" in topology or Path(topology).suffix:
            if not Path(topology).is_file():
                raise BadValue(f"there is no file {topology}; give one, or a kind like grid")
            shape["file"] = topology
            for line in maps.read(topology).odd:
                terminal.note(f"{topology}: {line}")
    if nodes is not None:
        shape["nodes"] = nodes
    settings = dict(chosen.node)
    if fidelity is not None:
        settings["fidelity"] = fidelity
    made = replace(chosen, topology=shape, node=settings)
    if seed is not None:
        made.seed = seed
    if duration is not None:
        made.duration = scenarios.parse({"duration": duration}, "--duration").duration
    return made


def _progress(chosen):
    def show(now, covered):
        text = "  ".join(f"{name} {count}" for name, count in covered.items())
        line = f"\r{chosen.name}, seed {chosen.seed}: {now:.0f} of {chosen.duration:.0f} s  {text}"
        click.echo(line[:78], nl=False, err=True)

    return show


def _facts(result):
    violation = None
    if not result.ok:
        e = result.violation
        violation = {"rule": e.rule, "t_us": e.t, "node": e.station, "text": e.text}
    return {
        "scenario": result.scenario.name,
        "seed": result.scenario.seed,
        "nodes": result.nodes,
        "digest": result.digest,
        "violation": violation,
        "cpu_s": result.cpu_s,
        **{k: v for k, v in result.figures.items() if k != "nodes"},
        "series": result.series,
    }


def _say(result, report):
    from swdist_host.sim import runner

    s, f = result.scenario, result.figures
    terminal.say(
        f"{s.name}, seed {s.seed}: {result.nodes} nodes, {f['virtual_s']:.0f} s in"
        f" {result.cpu_s} s, {f['events']} events, {f['datagrams']} datagrams"
    )
    for name, r in f["releases"].items():
        late = "" if r["last_s"] is None else f", the last one after {r['last_s']} s"
        terminal.say(f"  release {name}: held by {r['holders']} nodes{late}")
    for to, spread in f["switches"].items():
        terminal.say(f"  {to}: {spread['nodes']} nodes within {spread['spread_ms']} ms")
    terminal.say(f"  digest {result.digest}")
    if report is not None:
        terminal.say(f"  report {report}")
    if not result.ok:
        terminal.say(runner.story(result))


@click.command(short_help="Run random scenarios, as many as time allows.")
@click.option("--time", "duration", metavar="TIME", help="Wall-clock time, like 90s or 8h.")
@click.option("--seeds", metavar="A-B", help="Exactly these seeds.")
@click.option("--jobs", metavar="N", type=click.IntRange(1), help="Processes; default all cores.")
@click.option(
    "--scheduler", metavar="ADDRESS",
    help="A Dask cluster instead, like tcp://host:8786; or 'local' for one made here.",
)  # fmt: skip
@click.option("--keep", metavar="DIR", type=_FILE, help="Where violations go, made small, as TOML.")
@as_json
def swarm(duration, seeds, jobs, scheduler, keep, as_json):
    """Run random scenarios, one for each seed, and stop for nothing but the time.

    Exit status 1 if one was violated. Each violation is printed with its seed, and made as small
    as it gets.

    \b
    Examples:
      swdist swarm --time 10m
      swdist swarm --seeds 1-500 --jobs 4 --keep found/
    On many machines, after `dask scheduler` on one and `dask worker tcp://HOST:8786` on each:
      swdist swarm --time 8h --scheduler tcp://HOST:8786
    """
    scenarios, swarms = simulator("scenario", "swarm")
    chosen = _seeds(seeds)
    until = None
    if duration is not None:
        parsed = scenarios.parse({"duration": duration}, "--time").duration
        until = time.monotonic() + parsed
    elif seeds is None:
        raise BadValue("there is no end; give --time, like 10m, or --seeds, like 1-100")
    if scheduler is None:
        found = swarms.local(chosen, jobs, until)
    else:
        found = swarms.cluster(chosen, scheduler, until)
    count, bad, virtual_s = 0, [], 0
    started = time.monotonic()
    for v in found:
        count += 1
        virtual_s += v.virtual_s
        if not v.ok:
            bad.append(v)
        if as_json:
            terminal.print_json({"seed": v.seed, "ok": v.ok, "rule": v.rule, "digest": v.digest})
        elif not v.ok:
            terminal.say(v.text)
        if not as_json and count % 20 == 0:
            spent = time.monotonic() - started
            terminal.note(
                f"{count} runs, {len(bad)} violations, {virtual_s / 3600:.1f} h of virtual time"
                f" in {spent:.0f} s"
            )
    for v in bad[:5]:
        small = swarms.shrink(v)
        text = f"# {small.rule}: {small.text.splitlines()[0]}\n" + swarms.toml(small.data)
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{small.rule}-{v.seed}.toml").write_text(text)
        if not as_json:
            terminal.say(f"seed {v.seed}, made small:\n{text}")
    if not as_json:
        terminal.say(f"{count} runs, {len(bad)} violations, {virtual_s / 3600:.1f} virtual hours")
    if bad:
        raise Refused("violated by seeds " + ", ".join(str(v.seed) for v in bad))


def _seeds(text):
    if text is None:
        return itertools.count(int(time.time()))
    first, dash, last = text.partition("-")
    if not first.isdigit() or (dash and not last.isdigit()):
        raise BadValue(f"seeds '{text}': give one like 7, or a range like 1-100")
    return range(int(first), int(last or first) + 1)


COMMANDS = (sim, swarm)
