"""The one door of trust: what comes out of here is verified (docs/protocol.md, section 2.2).

Only Trust.check makes a Release, so holding one means: the CA signed it, for this network.
"""

from swdist import manifest as _manifest
from swdist import usign
from swdist.bits import from_hex, number, to_hex
from swdist.ucryptolib import ed25519_verify

MAX_KEYS = 16


class Release:
    """A verified release. complete: the whole payload is held; failed: it failed on this node."""

    def __init__(self, manifest):
        self.manifest = manifest
        self.rid = manifest.rid
        self.complete = manifest.withdrawn
        self.failed = False

    def order(self):
        """Releases sort by this: version, revision, id (docs/protocol.md, section 5)."""
        m = self.manifest
        return (m.version, m.revision, m.rid)

    def name(self):
        """For people: version, revision where there is one, and the start of the id."""
        m = self.manifest
        return "%d.%d.%d-r%d (%s)" % (m.version + (m.revision, to_hex(self.rid[:4])))


class Trust:
    """The CA key set: {key id (8 bytes): public key (32 bytes)}, and how many must have signed."""

    def __init__(self, keys, threshold, network):
        if not 1 <= len(keys) <= MAX_KEYS:
            raise ValueError("CA: %d keys, not 1..%d" % (len(keys), MAX_KEYS))
        if not 1 <= threshold <= len(keys):
            raise ValueError("CA: threshold %d with %d keys" % (threshold, len(keys)))
        self.keys = keys
        self.threshold = threshold
        self.network = network

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
        good = set()
        for tag, key_id, signature in blocks:
            key = self.keys.get(bytes(key_id))
            if bytes(tag) != b"Ed" or key is None or key in good:
                continue
            if not ed25519_verify(key, signature, manifest):
                return None, "signatures: the one by key %s is wrong" % to_hex(key_id)
            good.add(key)
        if len(good) < self.threshold:
            return None, "signatures: %d of the %d needed" % (len(good), self.threshold)
        return Release(m), None


def load_ca(fs, path):
    """The Trust of a CA directory: files `network`, `threshold`, and one public key a file.
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
        if name in ("network", "threshold") or name.startswith("."):
            continue
        parsed = usign.parse_public_key(fs.read(path + "/" + name, 1024) or b"")
        if parsed is None or bytes(parsed[0]) != b"Ed":
            raise ValueError("CA: %s/%s is not a public key in usign's form" % (path, name))
        if parsed[2] in keys.values() or parsed[1] in keys:
            raise ValueError("CA: %s/%s is there twice" % (path, name))
        keys[parsed[1]] = parsed[2]
    return Trust(keys, threshold, network)


def _text(fs, path):
    try:
        return str(fs.read(path, 1024) or b"", "ascii")
    except (UnicodeError, ValueError):
        return ""
