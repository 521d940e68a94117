"""The golden vectors of indexes, pages and chunks: what is held, what is sound, what inflates."""

import hashlib
from binascii import unhexlify
from struct import pack

from test_store import KB, Box, manifest
from wired import FS, Folder, vectors

from swdist.crypto.ucryptolib import sha256
from swdist.formats import index
from swdist.formats import manifest as manifest_format
from swdist.formats.bits import to_hex
from swdist.storage import chunks

V = vectors("index")


def test_indexes_are_read_and_refused_as_the_vectors_say():
    for case in V["indexes"]:
        data = bytes(case["zeros"])
        for count, sent, size, encoding in case["pages"]:
            data += pack("!16sHHB", bytes(16), sent & 65535, size & 65535, encoding) * count
        data += unhexlify(case["tail"])
        assert len(data) == case["bytes"] and to_hex(sha256(data)) == case["sha256"]
        counts = index.pages(data)
        assert counts == (case["counts"] and tuple(case["counts"])), (case["name"], counts)


class Payload:
    """One of the vectors."""

    def __init__(self, case):
        self.index = unhexlify(case["index"])
        self.pid = sha256(self.index)
        self.pages = [unhexlify(page) for page in case["pages"]]
        self.chunks = [unhexlify(text) * times for text, times in case["chunks"]]
        line = "slot %d %d %s any" % (case["size"], case["stored"], to_hex(self.pid))
        self.manifest = manifest("1.1.0", [line])
        self.line = manifest_format.parse(self.manifest)[0].payloads[0]

    def write(self, folder):
        FS.mkdirs(folder)
        for name, data in (
            ("index", self.index),
            ("pages", b"".join(self.pages)),
            ("payload", b"".join(self.chunks)),
        ):
            FS.write_atomic(folder + "/" + name, data)


def test_payloads_are_held_and_relayed_and_sound_as_the_vectors_say():
    for case in V["payloads"]:
        made = Payload(case)
        with Box(quota=256 * KB) as b:
            store = b.store
            assert store.add(made.manifest, b"good")[1] is None
            assert store.put_index(made.pid, made.index) is None
            h = store.held(made.pid)
            for piece in made.pages:
                assert store.needs.lacks(made.pid)
                assert store.put(h, memoryview(piece)) == (len(piece), None)
            # Else it goes no further.
            assert store.needs.lacks(made.pid) == case["sound"], case["name"]
            for piece in made.chunks:
                assert store.put(h, memoryview(piece)) == (len(piece), None)
            assert store.ready(None, made.line) == case["sound"], case["name"]


def inflated(folder, line):
    """(SHA-256 of all that came out, None), or (None, why not)."""
    whole = hashlib.sha256()
    reader = chunks.Chunks(FS, folder, line)
    while True:
        why = reader.step()
        if why is not None:
            return None, why
        if reader.view is None:
            return to_hex(whole.digest()), None
        whole.update(reader.view)


def test_payloads_are_inflated_as_the_vectors_say():
    for case in V["payloads"]:
        made = Payload(case)
        with Folder() as folder:
            made.write(folder)
            digest, why = inflated(folder, made.line)
            if case["installs"] is not None:
                assert (why is None) == case["installs"], (case["name"], why)
            assert why is None or why.startswith("archive:"), (case["name"], why)
            assert digest == (case["sha256"] if why is None else None), case["name"]
