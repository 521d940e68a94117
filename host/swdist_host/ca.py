"""The CA directory, /etc/swdist/ca on a node: network, threshold, public keys."""

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from swdist.shell import platform
from swdist.trust import verify
from swdist_host import files, keys
from swdist_host.errors import BadValue, Refused


def network_id(name, publics):
    """docs/protocol.md, section 2.5."""
    data = b"swdist-network 1\n" + name.encode("ascii") + b"\n" + b"".join(sorted(publics))
    return hashlib.sha256(data).digest()[:8]


def create(path, name, publics, threshold):
    """Makes the directory, whole or not at all; gives the network id."""
    path = Path(path)
    if path.exists():
        raise files.exists(path)
    if not name.isascii() or not name.isprintable() or not 1 <= len(name) <= 64:
        raise BadValue("the network's name must be 1 to 64 printable ASCII characters")
    keys.check_set(publics, threshold)
    network = network_id(name, [p.key for p in publics])
    try:
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix="." + path.name))
    except OSError as e:
        raise Refused(f"{path}: {e.strerror}; choose a directory that can be written") from None
    try:
        (temporary / "network").write_text(f"name: {name}\nid: {network.hex()}\n")
        (temporary / "threshold").write_text(f"{threshold}\n")
        for public in publics:
            (temporary / public.name).write_bytes(public.text)
        temporary.chmod(0o755)
        temporary.rename(path)
    except OSError as e:
        shutil.rmtree(temporary, ignore_errors=True)
        raise Refused(f"{path}: {e.strerror}") from None
    return network


@dataclass(frozen=True)
class Ca:
    """trust: the device's own verify.Trust."""

    path: Path
    trust: verify.Trust

    def adopt(self, swd):
        """Adds a signed change of keys to the directory. How many changes there are then."""
        release, why = self.trust.check(swd.manifest, swd.signatures)
        if release is None:
            raise Refused(why)
        if not self.trust.adopt(release):
            raise Refused("is no change of keys, or is in the directory already")
        n = release.manifest.version[2]
        # A node goes by the manifest, so that comes last.
        for name in ("signatures", "manifest"):
            files.write(self.path / f"{n}.{name}", getattr(swd, name))
        self.trust.baked.append((swd.manifest, swd.signatures))
        return n


def load(path):
    try:
        trust = verify.load_ca(platform.Fs(), str(path))
        for text in trust.strays:
            if not text.startswith(f"CA: {path}/."):  # a .git is nobody's mistake
                raise ValueError(text)
        return Ca(Path(path), trust)
    except ValueError as e:
        # Never `network init`: it would found another network (docs/operations.md, A bad day).
        why = str(e).removesuffix("; install swdist-keyring")
        if not Path(path).is_dir():
            why = f"{path}: there is no such directory"
        raise Refused(
            f"{why}; give a good copy of the network's CA: each node has one, /etc/swdist/ca"
        ) from None
