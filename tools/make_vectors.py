"""Writes the golden vectors of docs/protocol.md: make_vectors.py [DIRECTORY], else tests/vectors/.

They are made from the text, by plain struct, hashlib and `cryptography`, not by the device code, so
that the two check each other. Frozen at 1.0.0: from then on a changed file is a broken promise.
"""

import json
import sys
from pathlib import Path

from vectors import archives, choosing, datagrams, indexes, releases, sets, swd, transfers

OUT = Path(__file__).resolve().parent.parent / "tests" / "vectors"


def main(out):
    out.mkdir(exist_ok=True)
    for name, value in (
        ("manifests", releases.manifests()),
        ("signatures", releases.signatures()),
        ("keys", releases.keys()),
        ("datagrams", datagrams.datagrams()),
        ("index", indexes.index()),
        ("choosing", choosing.choosing()),
        ("store", sets.store()),
        ("swd", swd.swd()),
        ("tftp", transfers.tftp()),
        ("archives", archives.archives()),
    ):
        (out / (name + ".json")).write_text(json.dumps(value, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
