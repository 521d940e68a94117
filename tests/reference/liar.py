"""A hostile neighbour, made of the reference node: it holds what nobody signed, and its bytes lie.

As __main__, and: --lie FILE.swd, a release that it holds as if it were verified; --twist WORD, how
what it serves is wrong: "forged" (as it stands), "digest" (a byte of each chunk changed),
"truncated" (each run ends 7 bytes early), "manifest" (another manifest than the id says).
"""

import pathlib
import sys

from . import __main__, archive
from .node import Node


class Liar(Node):
    lies, twist = [], "forged"

    def __init__(self, *words, **clock):
        super().__init__(*words, **clock)
        for path in self.lies:
            m, signatures, payloads = archive.read_release(pathlib.Path(path).read_bytes())
            self.store.releases[m.rid], self.store.signatures[m.rid] = m, signatures
            self.store.payloads.update(payloads)
        honest = self.store.serve
        self.server.serve = lambda name: self.serve(name, honest(name))

    def _choose(self, now_us):
        pass

    def is_ready(self, m, line):
        return False

    def serve(self, name, data):
        what = name.split("/")[-1]
        if data is None or self.twist == "forged":
            return data
        if self.twist == "manifest":
            return data.replace(b"Revision: 0", b"Revision: 7") if what == "manifest" else data
        if not what[0].isdigit() or what.startswith("0"):
            return data
        if self.twist == "truncated":
            return data[:-7]
        return (
            data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]
        )


if __name__ == "__main__":
    words = sys.argv[1:]
    while "--lie" in words:
        at = words.index("--lie")
        Liar.lies, words = [*Liar.lies, words[at + 1]], words[:at] + words[at + 2 :]
    at = words.index("--twist")
    Liar.twist = words[at + 1]
    __main__.Node = Liar
    sys.argv[1:] = words[:at] + words[at + 2 :]
    __main__.main()
