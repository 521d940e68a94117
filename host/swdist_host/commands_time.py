"""swdist time: the CA's word that heals parts of a mesh which have different times."""

import time as clock
from pathlib import Path

import click

from swdist.formats.manifest import MAX_HORIZON_S
from swdist_host import ca, commands_release, files, release_text, terminal, times
from swdist_host import release as releases
from swdist_host.commands_keys import as_json
from swdist_host.errors import BadValue

_FILE = click.Path(path_type=Path)
VERSION = "65535.0.0"  # above all others, so that no set is too full for it
FIRST_S = 1767225600  # 2026-01-01
TURN_S = 6 * 3600  # a revision each, until the year 2070


@click.command(short_help="Heal a mesh whose parts have different times.")
@click.option("-o", "--output", metavar="FILE.swd", type=_FILE, required=True)
@click.option("--ca", "ca_dir", metavar="DIR", type=_FILE, required=True, help="Of which network.")
@click.option("--key", metavar="NAME.sec", type=_FILE, help="The secret key to sign with.")
@click.option(
    "--horizon", metavar="TIME", default="20m", show_default=True,
    help="How far later a neighbour may be whom nodes follow; at most 12h.",
)  # fmt: skip
@click.option(
    "--revision", metavar="N", type=click.IntRange(0, 65535),
    help="Above that of the word before; without it, by the date, a new one each six hours.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Don't ask.")
@as_json
@click.pass_context
def time(ctx, output, ca_dir, key, horizon, revision, yes, as_json):
    """Make and sign a word on time: parts of the mesh that have different times become one.

    Nodes that get it follow the later side for an hour, within the horizon, as at a cold boot, and
    then harden again. Give a horizon just above the distance of the parts: a liar among a node's
    neighbours can win it, once. Seed the file as any release; it changes nothing that runs. Without
    --key it is only made, and shown; signatures come by `swdist release sign`.

    \b
    Example:
      swdist time -o time.swd --ca ca --key alice.sec --horizon 15m
      swdist seed time.swd --ca ca --interface wlan0
    """
    now_s = int(clock.time())
    horizon_s = times.parse("+" + horizon.removeprefix("+"), now_s) - now_s
    if not 1 <= horizon_s <= MAX_HORIZON_S:
        raise BadValue(f"--horizon {horizon}: not from 1s to 12h; give another")
    if output.exists():
        raise files.exists(output)
    if revision is None:
        revision = max(0, now_s - FIRST_S) // TURN_S
    made = releases.build(
        ca.load(ca_dir).trust.network, VERSION, now_s, revision=revision, withdraw=True,
        horizon_s=horizon_s, now_s=now_s,
    )  # fmt: skip
    releases.save(made, output)
    if key is None and as_json:
        terminal.print_json({"file": str(output), **release_text.facts(made)})
    elif key is None:
        terminal.say(release_text.text(made, output))
        signing = f"swdist release sign {output} --key NAME.sec --ca {ca_dir}"
        terminal.say(f"no node takes it before it is signed; do: {signing}")
    else:
        ctx.invoke(
            commands_release.sign, file=output, key=key, signature=None, extract_manifest=None,
            ca_dir=ca_dir, yes=yes, force=False, as_json=as_json,
        )  # fmt: skip
