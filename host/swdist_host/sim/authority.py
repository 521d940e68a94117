"""The CA of a simulated mesh: keys out of the seed, and releases that are really signed."""

import hashlib
import io
import random
import tarfile

from swdist import verify
from swdist_host import keys, release

EPOCH_S = 1798761600  # true time at the start of each run: 2027-01-01T00:00:00Z
SIGNERS = 3
THRESHOLD = 2


class Authority:
    """released: {release id: Swd} of all that was ever signed. So the world knows the truth."""

    def __init__(self, seed):
        self._seed = seed
        self.keys = [self._key(b"ca %d" % i) for i in range(SIGNERS)]
        self.stranger = self._key(b"stranger")
        founding = sorted(k.public.key for k in self.keys)
        text = b"swdist-network 1\nsimulated\n" + b"".join(founding)
        self.network = hashlib.sha256(text).digest()[:8]
        self.released = {}

    def _key(self, name):
        material = hashlib.sha512(b"swdist-sim %d " % self._seed + name).digest()
        return keys.SecretKey(material[:8], material[:32])

    def trust(self):
        table = {k.key_id: k.public.key for k in self.keys}
        return verify.Trust(table, THRESHOLD, self.network)

    def payload(self, name, size):
        """A ustar archive of about `size` bytes, the same for the same seed and name."""
        rand = random.Random(f"{self._seed} {name}")
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            left = max(size - 10240, 1)
            for part in ("bin/program", "etc/settings"):
                n = left if part.startswith("etc") else left * 3 // 4
                info = tarfile.TarInfo(part)
                info.size = n
                info.mode = 0o755 if part.startswith("bin") else 0o644
                archive.addfile(info, io.BytesIO(rand.randbytes(n)))
                left -= n
        return out.getvalue()

    def build(self, version, start_s, now_s, *, signers=None, data=None, **more):
        """Signed by the CA, or by others; what others sign does not count as released."""
        swd = release.build(self.network, version, start_s, data=data, now_s=now_s, **more)
        for key in signers or self.keys[:THRESHOLD]:
            swd = release.sign(swd, key)
        if signers is None:
            self.released[swd.rid] = swd
        return swd
