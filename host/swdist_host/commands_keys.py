"""swdist keygen, swdist network."""

from pathlib import Path

import click

from swdist_host import ca, files, keys, release_text, terminal
from swdist_host import release as releases
from swdist_host.amounts import count
from swdist_host.errors import Refused

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


@click.command(short_help="Make a key pair, NAME.sec and NAME.pub.")
@click.argument("name", type=click.Path(path_type=Path))
@click.option(
    "--passphrase/--no-passphrase", default=True, help="Protect the secret key; the default."
)
@as_json
def keygen(name, passphrase, as_json):
    """Make a key pair: NAME.sec, for you alone, and NAME.pub, for everyone.

    Both are in the format of OpenBSD's signify, so you can also sign with its tool. Existing files
    are never overwritten. Where standard input is no terminal, its first line is the passphrase.

    \b
    Example:
      swdist keygen alice
    """
    phrase = None
    if passphrase:
        phrase = terminal.passphrase("passphrase for the new key", confirm=True)
        if not phrase:
            raise Refused("the passphrase is empty; give one, or say --no-passphrase")
    key = keys.generate()
    secret, public = keys.save(key, name, phrase)
    if as_json:
        terminal.print_json({"key": key.public.name, "secret": str(secret), "public": str(public)})
        return
    terminal.say(f"key {key.public.name}")
    terminal.say(f"  {secret}  the secret key: keep it off the mesh, and keep a copy of it")
    terminal.say(f"  {public}  the public key: goes into the CA of the network")


@click.group(no_args_is_help=True)
def network():
    """Found a network, and change the keys that sign for it."""


@network.command("init")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="The network's name; it is part of its id for ever.")
@click.option(
    "--key", "key_files", metavar="FILE.pub", multiple=True, required=True,
    help="A public key that may sign releases; once for each.",
)  # fmt: skip
@click.option(
    "--threshold", metavar="K", type=int, required=True,
    help="So many different keys have to sign a release.",
)  # fmt: skip
@as_json
def network_init(directory, name, key_files, threshold, as_json):
    """Make the directory that goes into every image as /etc/swdist/ca.

    It fixes the network's id, which never changes: releases of other networks are ignored.

    \b
    Example, where two of three people have to sign:
      swdist network init ca --name freimesh --threshold 2 \\
          --key alice.pub --key bob.pub --key carol.pub
    """
    found = [keys.load_public(f) for f in key_files]
    network_id = ca.create(directory, name, found, threshold)
    if as_json:
        terminal.print_json(
            {"network": network_id.hex(), "name": name, "threshold": threshold,
             "keys": [k.name for k in found], "directory": str(directory)}
        )  # fmt: skip
        return
    keys_told = count(len(found), "key")
    terminal.say(f"network {network_id.hex()} ({name}), signed by {threshold} of {keys_told}")
    terminal.say(f"  {directory}  goes into every image as /etc/swdist/ca")


@network.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="FILE.swd", type=click.Path(path_type=Path), required=True)
@click.option(
    "--key", "key_files", metavar="FILE.pub", multiple=True, required=True,
    help="A public key that may sign from then on, also one that may today; once for each.",
)  # fmt: skip
@click.option(
    "--threshold", metavar="K", type=int, required=True,
    help="So many different keys have to sign from then on.",
)  # fmt: skip
@click.option(
    "--keep", metavar="FILE.swd", multiple=True, type=click.Path(path_type=Path),
    help="A release that stays trusted though the new keys have not signed it; repeatable.",
)  # fmt: skip
@click.option("--description", metavar="TEXT", help="For people.")
@as_json
def rekey(directory, output, key_files, threshold, keep, description, as_json):
    """Make an unsigned release that changes the keys of the network.

    It needs the signatures of today's keys and of the new ones, each as many as their threshold
    says. Then it spreads as any release does, and counts on a node from the moment it arrives.
    A release that only today's keys have signed is dropped then, unless it is given with --keep:
    think of what runs, of what is to fall back to, and of withdrawals.

    \b
    Example, where bob's key was lost and dora takes his place:
      swdist network rekey ca -o keys.swd --threshold 2 \\
          --key alice.pub --key carol.pub --key dora.pub --keep 1.1.0.swd
      swdist release sign keys.swd --key alice.sec --ca ca       (then carol, then dora)
      swdist network adopt ca keys.swd
      swdist seed keys.swd --ca ca --interface mesh0
    """
    if output.exists():
        raise files.exists(output)
    trust = ca.load(directory).trust
    kept = []
    for file in keep:
        swd = releases.load(file)
        try:
            releases.verify(swd, trust)
        except Refused as e:
            raise Refused(f"{file}: {e}") from None
        kept.append(swd.rid)
    made = releases.build_keys(
        trust, [keys.load_public(f) for f in key_files], threshold, kept, description=description
    )
    releases.save(made, output)
    if as_json:
        terminal.print_json({"file": str(output), **release_text.facts(made)})
    else:
        terminal.say(release_text.text(made, output))
        terminal.say(
            f"  to sign    {trust.threshold} of the keys {', '.join(k.hex() for k in trust.keys)},"
            f" and {threshold} of the new ones"
        )


@network.command(short_help="Take a signed change of keys into the CA.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("file", metavar="FILE.swd", type=click.Path(path_type=Path))
@as_json
def adopt(directory, file, as_json):
    """Put a signed change of keys into the CA directory, for the host and for new images.

    Nodes that run learn it from the mesh. A new image must know it from the start: who holds stolen
    old keys could else give them to a fresh router, which knows no better.

    \b
    Example:
      swdist network adopt ca keys.swd
    """
    swd = releases.load(file)
    try:
        n = ca.load(directory).adopt(swd)
    except Refused as e:
        raise Refused(f"{file}: {e}") from None
    if as_json:
        terminal.print_json({"directory": str(directory), **release_text.facts(swd)})
    else:
        m = swd.parsed
        terminal.say(f"key set 0.0.{n} is in force: signed by {m.threshold} of "
                     f"{count(len(m.keys), 'key')}")  # fmt: skip
