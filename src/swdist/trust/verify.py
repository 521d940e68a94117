"""The one door of trust: what comes out of here is verified (docs/protocol.md, sections 2.2
and 2.6).

A Release from Trust.check was signed by the CA, for this network; so was one that the catalogue
makes of its manifest, to keep fewer signatures. Two others are made elsewhere: the factory release,
which nobody signs, and what a host seeds without the CA's keys.
"""

from swdist.crypto.ucryptolib import ed25519_verify
from swdist.formats import manifest as _manifest
from swdist.formats import usign
from swdist.formats.bits import from_hex, number, to_hex

MAX_KEYS = _manifest.MAX_KEYS
MAX_SPARE_BYTES = 16384  # of a release's signatures what can't be checked here, and is kept


class Release:
    """A verified release. It never changes: what is held of its payloads, and what became of it
    here, is kept by who holds it. spare_bytes: those at the end of its signatures, as they are
    kept, that can't be checked here."""

    def __init__(self, manifest, spare_bytes=0):
        self.manifest = manifest
        self.rid = manifest.rid
        self.spare_bytes = spare_bytes

    def sort_key(self):
        """Releases sort by this: version, revision, id (docs/protocol.md, section 5.1)."""
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
        self.strays = []  # what lies in the CA directory and is no key of it
        self.baked = []  # (manifest, signatures) of the changes that came with the CA directory
        self._sets = [(keys, threshold)]  # the last one is in force
        self._chain = []  # ids of the releases that brought all but the first
        self._keep = []  # ids of releases that an earlier set has signed, and that stay trusted

    def check(self, manifest, signatures, more=b""):
        """(Release, its signatures as they are to be kept), or (None, why it is refused). more:
        other signatures of the same release. Cheap checks come first, and each block is checked
        once for each key of its id, so a stranger makes us compute some 16 Ed25519 checks at
        most."""
        m, why = _manifest.parse(manifest)
        if m is None:
            return None, why
        if m.network != self.network:
            return None, "manifest: of network %s, not ours" % to_hex(m.network)
        blocks = usign.parse_signatures(signatures)
        others = usign.parse_signatures(more) if more else []
        if blocks is None or others is None:
            return None, "signatures: malformed"
        sets = self._sets[-1:]
        if m.is_keys:
            n = m.version[2] - 1
            if n > len(self._chain):
                return None, "an earlier key set comes first"
            if n < len(self._chain) and self._chain[n] != m.rid:
                return None, "signatures: another key set has this version"
            sets = [self._sets[n], (m.keys, m.threshold)]
        elif m.rid in self._keep:
            sets = self._sets
        judge = _Judge(manifest, blocks + [b for b in others if b not in blocks])
        for keys in sets:
            why = judge.lacks(*keys)
            # A key set needs both, another release any one of them.
            if (why is None) != m.is_keys:
                break
        if why is not None:
            return None, why
        kept, spare_bytes = judge.kept()
        return Release(m, spare_bytes), kept

    def next_set(self):
        """The number of the key set that follows ours."""
        return len(self._sets)

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


class _Judge:
    """The blocks of one release's signatures before one key set after the other."""

    def __init__(self, manifest, blocks):
        self._manifest = manifest
        self._blocks = blocks
        self._found = {}  # {(number of a block, key): does it hold}
        self._known = set()  # ids of the keys that were asked for

    def lacks(self, keys, threshold):
        """None if enough of these keys have signed, else why not."""
        good = set()
        self._known.update(keys)
        for i in range(len(self._blocks)):
            tag, key_id, signature = self._blocks[i]
            key = keys.get(key_id)
            if tag != b"Ed" or key is None or key in good:
                continue
            if (i, key) not in self._found:
                self._found[i, key] = ed25519_verify(key, signature, self._manifest)
            if not self._found[i, key]:
                return "signatures: the one by key %s is wrong" % to_hex(key_id)
            good.add(key)
        if len(good) < threshold:
            return "signatures: %d of the %d needed" % (len(good), threshold)
        return None

    def kept(self):
        """(text of the blocks that are worth keeping, bytes at its end that can't be checked):
        those that hold, then what none of the sets knows. What one knows and did not take is
        junk."""
        holds = sorted({i for (i, _), good in self._found.items() if good})
        blocks = [usign.block(*self._blocks[i]) for i in holds[: usign.MAX_BLOCKS]]
        spare_bytes = 0
        for tag, key_id, signature in self._blocks:
            if tag == b"Ed" and key_id in self._known:
                continue
            block = usign.block(tag, key_id, signature)
            room = len(blocks) < usign.MAX_BLOCKS and spare_bytes + len(block) <= MAX_SPARE_BYTES
            if room and block not in blocks:
                blocks.append(block)
                spare_bytes += len(block)
        return b"".join(blocks), spare_bytes


def load_ca(fs, path):
    """The Trust of a CA directory: files `network`, `threshold`, and one public key a file, with
    which the network was founded, called NAME.pub or by its id; and N.manifest and N.signatures of
    each change of keys since. ValueError with a line that says what is wrong. What is called
    otherwise, or is no key, is left out and named in `strays`: editors and package managers leave
    copies there (alice.pub~, .alice.pub.swp, network.apk-new)."""
    names = fs.listdir(path)
    if "network" not in names or "threshold" not in names:
        raise ValueError(
            "CA: %s has no files 'network' and 'threshold'; install swdist-keyring" % path
        )
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
    strays = []
    for name in sorted(names):
        change = name.endswith(".manifest") or name.endswith(".signatures")
        if name in ("network", "threshold") or change:
            continue
        parsed = None
        if from_hex(name, 8) or (name.endswith(".pub") and name[0] != "."):
            parsed = usign.parse_public_key(fs.read(path + "/" + name, 1024) or b"")
        if parsed is None or bytes(parsed[0]) != b"Ed":
            strays.append("CA: %s/%s is not a public key" % (path, name))
        elif parsed[2] in keys.values() or parsed[1] in keys:
            if keys.get(parsed[1]) != parsed[2]:  # no copy: which one counts would hang on names
                raise ValueError("CA: %s/%s has another key's id, or another id" % (path, name))
            strays.append("CA: %s/%s is there twice" % (path, name))
        else:
            keys[parsed[1]] = parsed[2]
    trust = Trust(keys, threshold, network)
    trust.strays = strays
    n = 1
    while "%d.manifest" % n in names:
        change = tuple(
            fs.read("%s/%d.%s" % (path, n, what), usign.MAX_BYTES) or b""
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
