"""swdist release: build, sign, show, verify."""

import sys
import time
from pathlib import Path

import click

from swdist import usign
from swdist.bits import version as parse_version
from swdist.ucryptolib import ed25519_verify
from swdist_host import ca, files, keys, kinds, payload, release_text, sigfile, terminal, times
from swdist_host import release as releases
from swdist_host.commands_keys import as_json
from swdist_host.errors import BadValue, Refused

_FILE = click.Path(path_type=Path)


@click.group(no_args_is_help=True)
def release():
    """Make, sign, show and verify releases (FILE.swd)."""


@release.command()
@click.option("-o", "--output", metavar="FILE.swd", type=_FILE, required=True)
@click.option("--ca", "ca_dir", metavar="DIR", type=_FILE, required=True, help="Of which network.")
@click.option("--version", metavar="A.B.C", required=True)
@click.option(
    "--revision", metavar="N", type=click.IntRange(0, 65535), default=0,
    help="A higher one replaces what has the same version: to postpone, shorten or withdraw.",
)  # fmt: skip
@click.option("--start", metavar="TIME", required=True, help="When all nodes switch to it.")
@click.option("--experimental", is_flag=True, help="All nodes switch back at --end.")
@click.option("--end", metavar="TIME", help="Only with --experimental, and required there.")
@click.option("--signed-at", metavar="TIME", help="Instead of now; never in the future.")
@click.option("--board", "boards", metavar="NAME", multiple=True, help="Only for this; repeatable.")
@click.option(
    "--payload", "source", metavar="DIR|FILE", type=_FILE,
    help="A directory, packed reproducibly, or a file that is taken as it is.",
)  # fmt: skip
@click.option(
    "--swdist", "packages", metavar="FILE.ipk", type=_FILE, multiple=True,
    help="Nodes then run the swdist in this package; repeatable, for swdist-sntp.",
)  # fmt: skip
@click.option(
    "--package", "ipks", metavar="FILE.ipk", type=_FILE, multiple=True,
    help="Nodes install it, and bring back what was there before when it ends; repeatable.",
)  # fmt: skip
@click.option(
    "--kind", default=None,
    help="slot, or image: what sysupgrade takes; of other words a node only stores and relays it.",
)  # fmt: skip
@click.option(
    "--window", metavar="TIME", default=None,
    help=f"Of an image: nodes flash it at random within so long from the start.  [{kinds.WINDOW}]",
)  # fmt: skip
@click.option(
    "--chunk-size", metavar="N",
    type=click.Choice([str(n) for n in releases.CHUNK_SIZES]), help="Bytes; chosen if left out.",
)  # fmt: skip
@click.option("--description", metavar="TEXT", help="For people.")
@click.option("--withdraw", is_flag=True, help="Nobody runs this version any more; no payload.")
@as_json
def build(
    output, ca_dir, version, revision, start, experimental, end, signed_at, boards, source,
    packages, ipks, kind, window, chunk_size, description, withdraw, as_json,
):  # fmt: skip
    """Make an unsigned release.

    TIME is in UTC, like 2030-01-31T03:00:00Z, or relative to now: +2h, +90s, +1d12h, now.

    \b
    Examples:
      swdist release build -o 1.1.0.swd --ca ca --version 1.1.0 --start +24h --payload tree/
      swdist release build -o 1.2.0.swd --ca ca --version 1.2.0 --payload tree/ \\
          --experimental --start +2h --end +4h
      swdist release build -o 1.3.0.swd --ca ca --version 1.3.0 --start +24h \\
          --payload tree/ --swdist swdist_1.1.0-r1_all.ipk
      swdist release build -o 1.4.0.swd --ca ca --version 1.4.0 --start +24h \\
          --package olsrd_0.9_all.ipk --package olsrd-mod_0.9_all.ipk
      swdist release build -o 2.0.0.swd --ca ca --version 2.0.0 --start +2h --kind image \\
          --payload openwrt-wrt54gs.bin --board linksys,wrt54gs --window 3h
      swdist release build -o no-1.1.0.swd --ca ca --version 1.1.0 --revision 1 \\
          --start now --withdraw
    """
    if experimental and end is None:
        raise BadValue("an experimental release needs an end; give --end, like --end +4h")
    if end is not None and not experimental:
        raise BadValue("only an experimental release ends; add --experimental, or leave out --end")
    if parse_version(version) is None:
        raise BadValue(f"version '{version}' is not three numbers 0..65535; give one like 1.1.0")
    if withdraw and (source is not None or packages or ipks):
        raise BadValue("a withdrawal has no payload; leave out --payload, --package and --swdist")
    if not withdraw and source is None and not packages and not ipks:
        raise BadValue("there is no --payload; give a directory or file, or say --withdraw")
    kind = kind or ("ipk" if ipks else "slot")
    if window is not None and kind != "image":
        raise BadValue("only an image has a --window; all else switches in its second")
    if kind == "keys":
        raise BadValue("keys have no payload; make their release with swdist network rekey")
    now_s = int(time.time())
    start_s = times.parse(start, now_s)
    end_s = None if end is None else times.parse(end, now_s)
    signed_at_s = now_s if signed_at is None else times.parse(signed_at, now_s)
    if output.exists():
        raise files.exists(output)
    window_s = times.parse("+" + (window or kinds.WINDOW).removeprefix("+"), now_s) - now_s
    data = None if withdraw else _payload(source, packages, ipks, kind)
    if kind == "image" and not withdraw:
        _explained(source, kinds.check_image, data, boards, experimental)
    made = releases.build(
        ca.load(ca_dir).trust.network, version, start_s,
        revision=revision, end_s=end_s, signed_at_s=signed_at_s, boards=boards,
        data=data, kind=kind, window_s=window_s,
        chunk_size=chunk_size and int(chunk_size), description=description,
        withdraw=withdraw, now_s=now_s,
    )  # fmt: skip
    releases.save(made, output)
    if as_json:
        terminal.print_json({"file": str(output), **release_text.facts(made)})
    else:
        terminal.say(release_text.text(made, output))


def _explained(source, check, *arguments):
    """The same, and what is refused says of which file."""
    try:
        return check(*arguments)
    except BadValue:
        raise
    except Refused as e:
        raise Refused(f"{source}: {e}") from None


def _payload(source, packages, ipks, kind):
    if ipks:
        if kind != "ipk" or source is not None or packages:
            raise BadValue("--package makes a release of its own; leave out --payload and --swdist")
        return kinds.from_packages(ipks)
    if packages:
        if kind != "slot" or (source is not None and not source.is_dir()):
            raise BadValue("--swdist goes into a slot; give a directory for --payload, or none")
        return payload.with_swdist(source, packages)
    if source.is_dir():
        if kind not in ("slot", "ipk"):
            raise BadValue(f"a directory makes a slot, not '{kind}'; give a file for --payload")
        data = payload.from_dir(source)
    else:
        data = payload.read(source)
        if kind in ("slot", "ipk"):
            payload.check(data, source)
    if kind == "ipk":
        _explained(source, kinds.packages, data)
    return data


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
@as_json
def sign(file, key, signature, extract_manifest, ca_dir, yes, as_json):
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
    releases.check_payload(swd)
    releases.check_signed_at(swd.parsed.signed_at_s, int(time.time()))
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
    if signed.parsed.payload == "keys":
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


@release.command()
@click.argument("file", metavar="FILE.swd", type=_FILE)
@click.option("--ca", "ca_dir", metavar="DIR", type=_FILE, required=True)
@as_json
def verify(file, ca_dir, as_json):
    """Make every check that a node makes, by the node's own code.

    \b
    Example:
      swdist release verify 1.1.0.swd --ca ca && echo good
    """
    trust = ca.load(ca_dir).trust
    why = None
    try:
        swd = releases.load(file)
        found = releases.verify(swd, trust)
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
