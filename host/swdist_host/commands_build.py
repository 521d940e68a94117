"""swdist release build."""

import time
from pathlib import Path

import click

from swdist.formats.bits import version as parse_version
from swdist_host import ca, compare, files, kinds, plan, release_text, sources, terminal, times
from swdist_host import release as releases
from swdist_host.commands_keys import as_json
from swdist_host.errors import BadValue, Refused

_FILE = click.Path(path_type=Path)


@click.command()
@click.option("-o", "--output", metavar="FILE.swd", type=_FILE, required=True)
@click.option("--ca", "ca_dir", metavar="DIR", type=_FILE, required=True, help="Of which network.")
@click.option("--version", metavar="A.B.C", help="Required; with --promote the same if left out.")
@click.option(
    "--revision", metavar="N", type=click.IntRange(0, 65535),
    help="A higher one replaces what has the same version: to postpone, shorten or withdraw.  [0]",
)  # fmt: skip
@click.option("--start", metavar="TIME", required=True, help="When all nodes switch to it.")
@click.option("--experimental", is_flag=True, help="All nodes switch back at --end.")
@click.option("--end", metavar="TIME", help="Only with --experimental, and required there.")
@click.option(
    "--group", "groups", metavar="NAME", multiple=True,
    help="Only for nodes of this group; repeatable, with --experimental.",
)  # fmt: skip
@click.option(
    "--share", metavar="PERMILLE", type=click.IntRange(1, 1000),
    help="Only for so many of 1000 nodes, drawn by lot (and those of --group).",
)  # fmt: skip
@click.option("--signed-at", metavar="TIME", help="Instead of now; never in the future.")
@click.option(
    "--payload", "trees", metavar="DIR|FILE[@BOARD]...", type=sources.GivenType(), multiple=True,
    help="A directory, packed reproducibly, or a file that is taken as it is; repeatable.",
)  # fmt: skip
@click.option(
    "--package", "packages", metavar="FILE[@BOARD]...", type=sources.GivenType(), multiple=True,
    help="An .ipk or .apk: nodes that have opkg or apk install it, and bring back what was there "
    "before when it ends; repeatable.",
)  # fmt: skip
@click.option(
    "--image", "images", metavar="FILE@BOARD...", type=sources.GivenType(), multiple=True,
    help="What sysupgrade takes; repeatable.",
)  # fmt: skip
@click.option(
    "--board", "boards", metavar="NAME", multiple=True,
    help="Of the only payload, in the place of @BOARD; repeatable.",
)  # fmt: skip
@click.option(
    "--swdist", "swdist", metavar="FILE.ipk", type=_FILE, multiple=True,
    help="Nodes then run the swdist in this package; repeatable, for swdist-sntp.",
)  # fmt: skip
@click.option("--kind", help=f"What --payload is: {', '.join(kinds.KNOWN)}.  [{kinds.KNOWN[0]}]")
@click.option(
    "--window", metavar="TIME", default=None,
    help=f"Of images: nodes flash at random within so long from the start.  [{kinds.WINDOW}]",
)  # fmt: skip
@click.option("--description", metavar="TEXT", help="For people.")
@click.option("--withdraw", is_flag=True, help="Nobody runs this version any more; no payload.")
@click.option(
    "--promote", metavar="FILE.swd", type=_FILE,
    help="Make the payloads of this experimental release a stable one, as they are.",
)  # fmt: skip
@click.option(
    "--against", "against", metavar="FILE.swd", type=_FILE, multiple=True,
    help="Show what crosses the air to nodes that hold this release, and refuse what would take "
    "its version away from a board; repeatable.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Build it though a board or a kind looks wrong.")
@as_json
def build(
    output, ca_dir, version, revision, start, experimental, end, groups, share, signed_at, trees,
    packages, images, boards, swdist, kind, window, description, withdraw, promote, against, force,
    as_json,
):  # fmt: skip
    """Make an unsigned release.

    TIME is in UTC, like 2030-01-31T03:00:00Z, or relative to now: +2h, +90s, +1d12h, now; or in
    a place's own time: "2030-01-31 03:00 Europe/Berlin", "tonight 03:00", "tomorrow 03:00", where
    this host's zone is meant if none is named. It is shown in both.

    Of several payloads a node takes the first that is for its board and that it can install. Say
    the boards behind the file, each after an @; without one it is for any board.

    \b
    Examples:
      swdist release build -o 1.1.0.swd --ca ca --version 1.1.0 --start +24h --payload tree/
      swdist release build -o 1.2.0.swd --ca ca --version 1.2.0 --payload tree/ \\
          --experimental --start +2h --end +4h --group canary --share 20
      swdist release build -o 1.2.0-r1.swd --ca ca --start +24h --promote 1.2.0.swd
      swdist release build -o 1.3.0.swd --ca ca --version 1.3.0 --start +24h \\
          --payload tree/ --swdist swdist_1.1.0-r1_all.ipk --against 1.2.0-r1.swd
      swdist release build -o 1.4.0.swd --ca ca --version 1.4.0 --start +24h \\
          --package olsrd_0.9_all.ipk --package olsrd-mod_0.9_all.ipk
      swdist release build -o 2.0.0.swd --ca ca --version 2.0.0 --start +2h --window 3h \\
          --image wrt54gs.bin@linksys,wrt54gs --image wdr.bin@tplink,wdr3600@tplink,wdr4300
      swdist release build -o 1.1.0-r1.swd --ca ca --version 1.1.0 --revision 1 --payload tree/ \\
          --start "2030-01-31 03:00 Europe/Berlin"
      swdist release build -o no-1.1.0.swd --ca ca --version 1.1.0 --revision 1 \\
          --start now --withdraw
    """
    _check_options(
        version, experimental, end, groups, share, kind, window, withdraw, promote, force,
        {"--payload": trees, "--package": packages, "--image": images, "--swdist": swdist,
         "--board": boards},
    )  # fmt: skip
    now_s = int(time.time())
    when = {
        "revision": revision,
        "signed_at_s": now_s if signed_at is None else times.parse(signed_at, now_s),
        "description": description,
        "now_s": now_s,
    }
    start_s = times.parse(start, now_s)
    end_s = None if end is None else times.parse(end, now_s)
    if output.exists():
        raise files.exists(output)
    trust = ca.load(ca_dir).trust
    if promote is not None:
        made = releases.promote(_tried(promote, trust), start_s, version=version, **when)
        against = (promote, *against)
    else:
        found = () if withdraw else sources.collect(
            trees, packages, images, swdist, kind or "slot", boards, experimental
        )  # fmt: skip
        made = releases.build(
            trust.network, version, start_s, found, end_s=end_s, groups=groups, share=share or 0,
            window_s=_window_s(window, now_s), withdraw=withdraw,
            **when | {"revision": revision or 0},
        )  # fmt: skip
    for line in plan.complaints(made, now_s):
        terminal.note(f"warning: {line}")
    compared = _compared(made, against, force)
    releases.save(made, output)
    if as_json:
        facts = release_text.facts(made)
        facts["against"] = [release_text.difference_facts(*one) for one in compared]
        terminal.print_json({"file": str(output), **facts})
    else:
        terminal.say(release_text.text(made, output, times.zone_of(start)))
        for one in compared:
            terminal.say(release_text.difference_text(*one))


def _check_options(
    version, experimental, end, groups, share, kind, window, withdraw, promote, force, given
):
    """BadValue where options contradict each other. given: {option: what goes into payloads}."""
    extra = next((option for option, value in given.items() if value), None)
    if version is None and promote is None:
        raise BadValue("there is no --version; give one like 1.1.0")
    if version is not None and parse_version(version) is None:
        raise BadValue(f"version '{version}' is not three numbers 0..65535; give one like 1.1.0")
    if withdraw and promote is not None:
        raise BadValue("--withdraw and --promote are opposites; leave out one")
    if withdraw and extra:
        raise BadValue(f"a withdrawal is for all, and has no payload; leave out {extra}")
    if promote is not None and (extra or experimental or window is not None):
        option = extra or ("--experimental" if experimental else "--window")
        raise BadValue(f"--promote takes all of the release that was tried; leave out {option}")
    if experimental and end is None:
        raise BadValue("an experimental release needs an end; give --end, like --end +4h")
    if end is not None and not experimental:
        raise BadValue("only an experimental release ends; add --experimental, or leave out --end")
    if (groups or share) and not experimental:
        raise BadValue("a stable release is for all nodes; --group and --share need --experimental")
    if kind == "keys":
        raise BadValue("keys have no payload; make their release with swdist network rekey")
    if kind is not None and not given["--payload"]:
        raise BadValue("--kind says what --payload is, and there is none; leave it out")
    if kind not in (None, *kinds.KNOWN) and not force:
        raise BadValue(
            f"'{kind}' is no kind that nodes install: {', '.join(kinds.KNOWN)}; give one of these, "
            "or say --force, and nodes that don't know it either only relay it"
        )
    if window is not None and not given["--image"] and kind != "image":
        raise BadValue("only an image has a --window; all else switches in its second")


def _window_s(window, now_s):
    return times.parse("+" + (window or kinds.WINDOW).removeprefix("+"), now_s) - now_s


def _tried(file, trust):
    """The release that is promoted: one that nodes could run."""
    swd = releases.load(file)
    try:
        releases.verify(swd, trust)
    except Refused as e:
        raise Refused(f"{file}: no node has tried it: {e}") from None
    return swd


def _compared(made, against, force):
    """[(file, differences)]; Refused if it would do harm beside one of these."""
    compared = []
    for file in dict.fromkeys(against):
        old = releases.load(file)
        try:
            compare.check_replaces(made, old, file)
        except Refused as e:
            if not force:
                raise
            terminal.note(f"warning: {e}")
        compared.append((file, compare.differences(made, old)))
    return compared
