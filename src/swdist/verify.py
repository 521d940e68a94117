"""The one door of trust: what comes out of here is verified (docs/protocol.md, 2.2 and 2.6).

A Release from Trust.check was signed by the CA, for this network. Two others are made elsewhere:
the factory release, which nobody signs, and what a host seeds without the CA's keys.
"""

from swdist import manifest as _manifest
from swdist import usign
from swdist.bits import from_hex, number, to_hex
from swdist.ucryptolib import ed25519_verify

MAX_KEYS = _manifest.MAX_KEYS


class Release:
    """A verified release. It never changes: what is held of its payloads, and what became of it
    here, is kept by who holds it."""

    def __init__(self, manifest):
        self.manifest = manifest
        self.rid = manifest.rid

    def sort_key(self):
        """Releases sort by this: version, revision, id (docs/protocol.md, section 5)."""
        m = self.manifest
        return (m.version, m.revision, m.rid)

    def name(self):
        """For people: version, revision where there is one, and the start of the id."""
        m = self.manifest
        return "%d.%d.%d-r%d (%s)" % (m.version + (m.revision, to_hex(self.rid[:4])))


class Trust:
    """The CA key set in force: {key id (8 bytes): public key (32 bytes)}, and how many must have
    signed; and the sets before it, back to the one that the network was founded with."""

    def __init__(self, keys, threshold, network):
        if not 1 <= len(keys) <= MAX_KEYS:
            raise ValueError("CA: %d keys, not 1..%d" % (len(keys), MAX_KEYS))
        if not 1 <= threshold <= len(keys):
            raise ValueError("CA: threshold %d with %d keys" % (threshold, len(keys)))
        self.keys = keys
        self.threshold = threshold
        self.network = network
        self.baked = []  # (manifest, signatures) of the changes that came with the CA directory
        self._sets = [(keys, threshold)]  # the last one is in force
        self._chain = []  # ids of the releases that brought all but the first
        self._keep = []  # ids of releases that an earlier set has signed, and that stay trusted

    def check(self, manifest, signatures):
        """(Release, None), or (None, why it is refused). Cheap checks come first, so a stranger
        makes us compute at most one Ed25519 check for each key of the set."""
        m, why = _manifest.parse(manifest)
        if m is None:
            return None, why
        if m.network != self.network:
            return None, "manifest: of network %s, not ours" % to_hex(m.network)
        blocks = usign.parse_signatures(signatures)
        if blocks is None:
            return None, "signatures: malformed"
        if m.is_keys:
            why = self._check_keys(m, manifest, blocks)
        else:
            for keys in self._sets if m.rid in self._keep else self._sets[-1:]:
                why = _signed(keys, manifest, blocks)
                if why is None:
                    break
        return (None, why) if why else (Release(m), None)

    def _check_keys(self, m, manifest, blocks):
        """A new key set must be signed by the one before it, and by itself."""
        n = m.version[2] - 1
        if n > len(self._chain):
            return "store: an earlier key set comes first"
        if n < len(self._chain) and self._chain[n] != m.rid:
            return "signatures: another key set has this version"
        return _signed(self._sets[n], manifest, blocks) or _signed(
            (m.keys, m.threshold), manifest, blocks
        )

    def adopt(self, release):
        """Puts the keys of a checked release in force; True if they are new. What is held, and not
        trusts(), is to be checked again then."""
        m = release.manifest
        if not m.is_keys or m.rid in self._chain:
            return False
        self._sets.append((m.keys, m.threshold))
        self._chain.append(m.rid)
        self.keys, self.threshold, self._keep = m.keys, m.threshold, m.keep
        return True

    def trusts(self, rid):
        """Does the key set in force vouch for a release whatever has signed it?"""
        return rid in self._chain or rid in self._keep


def _signed(keys, manifest, blocks):
    """None if enough of these keys have signed, else why not."""
    keys, threshold = keys
    good = set()
    for tag, key_id, signature in blocks:
        key = keys.get(bytes(key_id))
        if bytes(tag) != b"Ed" or key is None or key in good:
            continue
        if not ed25519_verify(key, signature, manifest):
            return "signatures: the one by key %s is wrong" % to_hex(key_id)
        good.add(key)
    if len(good) < threshold:
        return "signatures: %d of the %d needed" % (len(good), threshold)
    return None


def load_ca(fs, path):
    """The Trust of a CA directory: files `network`, `threshold`, and one public key a file, with
    which the network was founded; and N.manifest and N.signatures of each change of keys since.
    ValueError with a line that says what is wrong."""
    names = fs.listdir(path)
    if "network" not in names or "threshold" not in names:
        raise ValueError("CA: %s has no files 'network' and 'threshold'" % path)
    network = None
    for line in _text(fs, path + "/network").split("\n"):
        if line.startswith("id: "):
            network = from_hex(line[4:].strip(), 8)
    if network is None:
        raise ValueError("CA: %s/network has no line 'id: ' with 16 hex digits" % path)
    threshold = number(_text(fs, path + "/threshold").strip(), 1, MAX_KEYS)
    if threshold is None:
        raise ValueError("CA: %s/threshold is not a number 1..%d" % (path, MAX_KEYS))
    keys = {}
    for name in sorted(names):
        change = name.endswith(".manifest") or name.endswith(".signatures")
        if name in ("network", "threshold") or name.startswith(".") or change:
            continue
        parsed = usign.parse_public_key(fs.read(path + "/" + name, 1024) or b"")
        if parsed is None or bytes(parsed[0]) != b"Ed":
            raise ValueError("CA: %s/%s is not a public key in usign's form" % (path, name))
        if parsed[2] in keys.values() or parsed[1] in keys:
            raise ValueError("CA: %s/%s is there twice" % (path, name))
        keys[parsed[1]] = parsed[2]
    trust = Trust(keys, threshold, network)
    n = 1
    while "%d.manifest" % n in names:
        change = tuple(
            fs.read("%s/%d.%s" % (path, n, what), 32768) or b""
            for what in ("manifest", "signatures")
        )
        release, why = trust.check(*change)
        if release is None or not trust.adopt(release):
            raise ValueError("CA: %s/%d.manifest: %s" % (path, n, why or "not keys"))
        trust.baked.append(change)
        n += 1
    return trust


def _text(fs, path):
    try:
        return str(fs.read(path, 1024) or b"", "ascii")
    except (UnicodeError, ValueError):
        return ""
