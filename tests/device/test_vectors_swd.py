"""The golden vectors of the release file, put into a store from there."""

import io
from binascii import unhexlify

from logs import Log
from wired import FS, Folder, vectors

from swdist.storage import inject
from swdist.storage.room import Room
from swdist.storage.store import Store
from swdist.trust import verify
from swdist.trust.choose import Here

V = vectors("swd")
MB = 1 << 20


def trust():
    keys = {unhexlify(i): unhexlify(k) for i, k in V["keys"].items()}
    return verify.Trust(keys, V["threshold"], unhexlify(V["network"]))


def test_release_files_are_taken_and_refused_as_the_vectors_say():
    for case in V["cases"]:
        data = b"".join([unhexlify(text) + bytes(zeros) for text, zeros in case["file"]])
        assert len(data) == case["bytes"]
        with Folder() as path:
            release, why = inject.put(FS, path, trust(), io.BytesIO(data), MB)
            good = case["ok"] and case["signed"]
            assert (release is not None) == good == (why is None), (case["name"], why)
            store = Store(FS, path, trust(), Log(), Room(Here("b"), (1, 0, 0), MB, MB))
            store.load()
            assert [r.rid for r in store.releases] == ([release.rid] if good else [])
            for p in store.needs.lines().values():
                assert store.ready(None, p), case["name"]
            assert good or not FS.listdir(path + "/payloads"), case["name"]
