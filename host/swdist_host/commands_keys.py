"""swdist keygen, swdist network."""

from pathlib import Path

import click

from swdist_host import ca, keys, terminal
from swdist_host.errors import Refused

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


@click.command()
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
    """Found a network."""


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
    terminal.say(f"network {network_id.hex()} ({name}), {threshold} of {len(found)} keys sign")
    terminal.say(f"  {directory}  goes into every image as /etc/swdist/ca")
