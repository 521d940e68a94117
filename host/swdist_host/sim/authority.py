"""The CA of a simulated mesh: keys out of the seed, and releases that are really signed."""

import hashlib
import io
import random
import tarfile
from types import SimpleNamespace

from swdist.trust import verify
from swdist_host import keys, release

EPOCH_S = 1798761600  # true time at the start of each run: 2027-01-01T00:00:00Z
SIGNERS = 3
THRESHOLD = 2
CHANGED_BYTES = 3000  # of a payload that is like another


class Authority:
    """released: {release id: Swd} of all that was ever signed, payloads: {payload id: pack.Packed}
    of these, by: {release id: number of the key
    set that has}. So the world knows the truth. keys: those in force; sets: also all before;
    chain: ids of the releases that brought each but the first; keep: what each lists."""

    def __init__(self, seed):
        self._seed = seed
        self.keys = [self._key(b"ca %d" % i) for i in range(SIGNERS)]
        self.stranger = self._key(b"stranger")
        founding = sorted(k.public.key for k in self.keys)
        text = b"swdist-network 1\nsimulated\n" + b"".join(founding)
        self.network = hashlib.sha256(text).digest()[:8]
        self.released = {}
        self.payloads = {}
        self.by = {}
        self.sets = [self.keys]
        self.chain = []
        self.keep = [()]

    def _key(self, name):
        material = hashlib.sha512(b"swdist-sim %d " % self._seed + name).digest()
        return keys.SecretKey(material[:8], material[:32])

    def trust(self):
        """A new one each time, as a process makes it at its start."""
        table = {k.key_id: k.public.key for k in self.sets[0]}
        return verify.Trust(table, THRESHOLD, self.network)

    def payload(self, name, size, like=None):
        """A ustar archive of about `size` bytes, the same for the same seed and name; like: the
        name of another one, of which only a part of one file is another."""
        rand = random.Random(f"{self._seed} {like or name}")
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            left = max(size - 10240, 1)
            for part in ("bin/program", "etc/settings"):
                n = left if part.startswith("etc") else left * 3 // 4
                info = tarfile.TarInfo(part)
                info.size = n
                info.mode = 0o755 if part.startswith("bin") else 0o644
                data = rand.randbytes(n)
                if like and part.startswith("bin"):
                    new = random.Random(f"{self._seed} {name}").randbytes(min(CHANGED_BYTES, n))
                    data = data[: n // 2] + new + data[n // 2 + len(new) :]
                archive.addfile(info, io.BytesIO(data[:n]))
                left -= n
        return out.getvalue()

    def build(self, version, start_s, now_s, payloads=(), *, signers=None, **more):
        """Signed by the CA, or by others; what others sign does not count as released. payloads:
        release.Source of each."""
        swd = release.build(self.network, version, start_s, payloads, now_s=now_s, **more)
        for key in signers or self.keys[:THRESHOLD]:
            swd = release.sign(swd, key)
        if signers is None:
            self.signed(swd, len(self.chain))
        return swd

    def rekey(self, now_s, keep=()):
        """The release of a new key set; from now on its keys sign. keep: Swds that stay trusted."""
        n = len(self.sets)
        new = [self._key(b"ca %d %d" % (n, i)) for i in range(SIGNERS)]
        before = SimpleNamespace(network=self.network, baked=self.chain)
        kept = [swd.rid for swd in keep]
        swd = release.build_keys(before, [k.public for k in new], THRESHOLD, kept, now_s=now_s)
        for key in self.keys[:THRESHOLD] + new[:THRESHOLD]:
            swd = release.sign(swd, key)
        self.keys = new
        self.sets.append(new)
        self.chain.append(swd.rid)
        self.keep.append(frozenset(kept))
        self.signed(swd, n)
        return swd

    def steal(self, version, now_s, payloads):
        """What a thief makes of the founding keys, that is of no worth any more where the change is
        known, and as good as any where it is not."""
        swd = self.build(version, now_s, now_s, payloads, signers=self.sets[0][:THRESHOLD])
        self.signed(swd, 0)
        return swd

    def signed(self, swd, by):
        """Somebody has signed it, with the keys of set number `by`."""
        self.released[swd.rid] = swd
        self.payloads.update((packed.pid, packed) for packed in swd.payloads)
        self.by[swd.rid] = by
