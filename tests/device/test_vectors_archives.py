"""The golden vectors of archives, unpacked."""

from binascii import unhexlify

from test_untar import unpack
from wired import vectors

V = vectors("archives")


def tree(fs):
    """What is in the slot, as the vectors say it."""
    found = {}
    for path in fs.dirs:
        if path.startswith("/slot/"):
            found[path[6:] + "/"] = ""
    for path, data in fs.files.items():
        star = "*" if fs.modes.get(path) == 0o755 else ""
        found[path[6:] + star] = str(data, "ascii")
    return found


def test_archives_are_unpacked_and_refused_as_the_vectors_say():
    for case in V["cases"]:
        data = b"".join([unhexlify(text) + bytes(zeros) for text, zeros in case["file"]])
        for piece in (1 << 20, 100):
            why, fs = unpack(data, piece, V["max_bytes"])
            assert (why is None) == (case["tree"] is not None), (case["name"], why)
            assert why is not None or tree(fs) == case["tree"], (case["name"], tree(fs))
