"""A malicious neighbour: a node whose store lies.

python -m lab.hostile --config FILE [--tamper] RELEASE.swd...
It announces all of them as complete, and serves them, whatever they are; with --tamper with a byte
of each chunk changed.
"""

import sys
from dataclasses import replace
from types import SimpleNamespace

from swdist import config, manifest, netd, platform, verify
from swdist.parts import File
from swdist_host import release


class Lies:
    """Has what netd asks of a store, and verifies nothing."""

    def __init__(self, swds):
        self.parts = {}
        self.releases = []
        for swd in swds:
            m, _ = manifest.parse(swd.manifest)
            self.releases.append(
                SimpleNamespace(
                    rid=m.rid, manifest=m, held=m.chunks, complete=True, indexed=True, failed=False
                )
            )
            for name in ("manifest", "signatures", "index"):
                self.parts[f"1/{m.rid.hex()}/{name}"] = getattr(swd, name)
            for n in range(m.chunks):
                chunk = swd.payload[n * m.chunk_size : (n + 1) * m.chunk_size]
                self.parts[f"1/{m.rid.hex()}/{n}"] = chunk

    def get(self, rid):
        return next((r for r in self.releases if r.rid == rid), None) or self.releases[0]

    def digest(self):
        return b"\xee" * 8

    def wanted(self, release):
        return False

    def reuse(self):
        return False

    def newest_signed_at_s(self):
        return 0

    def collect(self, pinned):
        pass

    def open(self, name):
        data = self.parts.get(bytes(name).decode("ascii", "replace"))
        return None if data is None else Part(data)


class Part(File):
    def __init__(self, data):
        self.data = data
        self.size = len(data)

    def read_into(self, offset, view):
        part = self.data[offset : offset + len(view)]
        view[: len(part)] = part
        return len(part)

    def close(self):
        pass


def tampered(swd):
    payload = bytearray(swd.payload)
    for at in range(100, len(payload), 4096):  # that is in each chunk
        payload[at] ^= 1
    return replace(swd, payload=bytes(payload))


def main():
    words = sys.argv[1:]
    paths = [w for w in words if w.endswith(".swd")]
    flags = [w for w in words if w not in paths and w != "--tamper"]
    fs = platform.Fs()
    conf = config.load(flags, "hostile", fs)
    swds = [release.load(path) for path in paths]
    if "--tamper" in words:
        swds = [tampered(swd) for swd in swds]
    daemon = netd.Netd(
        conf, conf.log_to("hostile"), fs, verify.load_ca(fs, conf.ca), platform.Clock()
    )
    lies = Lies(swds)
    daemon.store = daemon.node.store = daemon.node.fetch._store = lies
    daemon.serve._open = lies.open
    daemon.run()


if __name__ == "__main__":
    main()
