"""swdist release: build, sign, show, verify."""

import sys
import time
from pathlib import Path

import click

from swdist.crypto.ucryptolib import ed25519_verify
from swdist.formats import usign
from swdist_host import (
    ca,
    commands_build,
    commands_plan,
    dates,
    files,
    keys,
    release_text,
    sigfile,
    terminal,
)
from swdist_host import release as releases
from swdist_host.commands_keys import as_json
from swdist_host.errors import BadValue, Refused

_FILE = click.Path(path_type=Path)
_force = click.option("--force", is_flag=True, help="Only note times that make no sense.")


@click.group(no_args_is_help=True)
def release():
    """Make, plan, sign, show and verify releases (FILE.swd)."""


release.add_command(commands_build.build)
release.add_command(commands_plan.plan_command)


@release.command()
@click.argument("file", metavar="FILE.swd", type=_FILE)
@click.option("--key", metavar="NAME.sec", type=_FILE, help="The secret key to sign with.")
@click.option(
    "--signature", metavar="FILE.sig", type=_FILE,
    help="A signature made elsewhere by signify or usign, instead of --key.",
)  # fmt: skip
@click.option(
    "--extract-manifest", metavar="FILE", type=_FILE,
    help="Write the bytes to be signed elsewhere, and do nothing else.",
)  # fmt: skip
@click.option("--ca", "ca_dir", metavar="DIR", type=_FILE, help="Check the signature against it.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@_force
@as_json
def sign(file, key, signature, extract_manifest, ca_dir, yes, force, as_json):
    """Show a release, ask, and add a signature. Needs no network.

    \b
    Examples:
      swdist release sign 1.1.0.swd --key alice.sec
    With a key on another machine:
      swdist release sign 1.1.0.swd --extract-manifest m
      signify -S -s alice.sec -m m -x m.sig            (there)
      swdist release sign 1.1.0.swd --signature m.sig --ca ca
    """
    if sum(x is not None for x in (key, signature, extract_manifest)) != 1:
        raise BadValue("give one of --key, --signature and --extract-manifest")
    swd = releases.load(file)
    releases.check_payloads(swd)
    _check_dates(file, dates.when_signing(swd.parsed, int(time.time())), force)
    if extract_manifest is not None:
        files.write(extract_manifest, swd.manifest)
        return
    trust = None if ca_dir is None else ca.load(ca_dir).trust
    if trust is not None and swd.parsed.network != trust.network:
        raise Refused(f"{file}: is of network {swd.parsed.network.hex()}, not {ca_dir}'s")
    if not as_json:
        terminal.say(release_text.text(swd, file))
        terminal.say("")
        terminal.say(swd.manifest.decode("ascii").rstrip())
    if not yes:
        if not sys.stdin.isatty():
            raise Refused("nobody is there to ask (stdin is no terminal); read it, then say --yes")
        if not click.confirm("\nSign this?", err=True):
            raise Refused("not signed")
    if key is not None:
        signed, key_id = _by_key(swd, key)
    else:
        signed, key_id = _by_hand(swd, signature)
    _check(signed, key_id, trust, ca_dir)
    added = signed is not swd
    if added:
        releases.save(signed, file, overwrite=True)
    if as_json:
        terminal.print_json({"key": key_id.hex(), "added": added, **release_text.facts(signed)})
    elif added:
        terminal.say(f"signed by key {key_id.hex()}; signatures now: {len(signed.signers)}")
    else:
        terminal.say(f"key {key_id.hex()} has signed it already; nothing was changed")


def _check_dates(file, found, force):
    if force:
        for line in found:
            terminal.note(line)
    else:
        dates.refuse(file, found)


def _by_key(swd, path):
    secret = keys.load_secret(path, lambda: terminal.passphrase(f"passphrase for {path}"))
    if keys.is_open(path):
        terminal.note(f"{path} can be read by others; do: chmod 600 {path}")
    signed = releases.sign(swd, secret)
    for tag, key_id, signature in usign.parse_signatures(signed.signatures):
        if (bytes(tag), bytes(key_id)) == (b"Ed", secret.key_id) and not ed25519_verify(
            secret.public.key, signature, swd.manifest
        ):
            raise Refused(f"the signature by key {key_id.hex()} in it is wrong; build it anew")
    return signed, secret.key_id


def _by_hand(swd, path):
    data = files.read(path, usign.MAX_BYTES)
    try:
        signed = releases.add_signature(swd, data)
    except Refused as e:
        raise Refused(f"{path}: {e}") from None
    return signed, bytes(usign.parse_signatures(sigfile.read(data))[0][1])


def _check(signed, key_id, trust, ca_dir):
    """One wrong signature by a key of the set would make every node refuse the release."""
    if trust is None:
        terminal.note("whether the network's nodes accept this key was not checked; give --ca DIR")
        return
    valid = dict(trust.keys)
    if signed.parsed.is_keys:
        valid.update(signed.parsed.keys)  # the new ones sign, too
    if key_id not in valid:
        raise Refused(f"key {key_id.hex()} is not in {ca_dir}; sign with one that is")
    for tag, found_id, signature in usign.parse_signatures(signed.signatures):
        key = valid.get(bytes(found_id))
        ours = bytes(tag) == b"Ed" and key is not None
        if ours and not ed25519_verify(key, signature, signed.manifest):
            raise Refused(f"the signature by key {found_id.hex()} is not over this manifest")


@release.command()
@click.argument("file", metavar="FILE.swd", type=_FILE)
@click.option("--manifest", is_flag=True, help="Only the manifest, byte by byte: what is signed.")
@as_json
def show(file, manifest, as_json):
    """Say what a release is. Nothing of it is verified by that.

    \b
    Example:
      swdist release show 1.1.0.swd
      swdist release show --manifest 1.1.0.swd | sha256sum     (the release id)
    """
    swd = releases.load(file)
    if manifest:
        sys.stdout.buffer.write(swd.manifest)
        sys.stdout.buffer.flush()
    elif as_json:
        terminal.print_json({"file": str(file), **release_text.facts(swd)})
    else:
        terminal.say(release_text.text(swd, file))
        terminal.say("")
        terminal.say(swd.manifest.decode("ascii").rstrip())


@release.command(short_help="Make every check that a node makes.")
@click.argument("file", metavar="FILE.swd", type=_FILE)
@click.option("--ca", "ca_dir", metavar="DIR", type=_FILE, required=True)
@_force
@as_json
def verify(file, ca_dir, force, as_json):
    """Make every check that a node makes, by the node's own code, and look whether its times make
    sense by this host's clock.

    \b
    Example:
      swdist release verify 1.1.0.swd --ca ca && echo good
    """
    trust = ca.load(ca_dir).trust
    why = None
    try:
        swd = releases.load(file)
        found = releases.verify(swd, trust)
        _check_dates(file, dates.complaints(swd.parsed, int(time.time())), force)
    except Refused as e:
        if not as_json:
            raise Refused(f"{file}: {str(e).removeprefix(f'{file}: ')}") from None
        why = str(e)
    if as_json:
        facts = {} if why else release_text.facts(swd)
        terminal.print_json({"file": str(file), "verified": why is None, "why": why, **facts})
    else:
        terminal.say(f"verified: {found.name()}")
    if why:
        click.get_current_context().exit(1)
