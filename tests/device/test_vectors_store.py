"""The golden vectors of what a node holds, and of the set digest, replayed by the store."""

from binascii import unhexlify

from test_store import Box
from wired import vectors

from swdist.crypto.ucryptolib import sha256
from swdist.formats.bits import to_hex
from swdist.shell.platform import Fs

V = vectors("store")
MANIFESTS = {name: unhexlify(text) for name, text in V["manifests"].items()}


class Hasty(Fs):
    """No power is cut here, and there are a thousand files."""

    def sync(self, f):
        pass

    def sync_dir(self, path):
        pass


def rids(names):
    return [sha256(MANIFESTS[n]) for n in names]


def pid(name):
    return sha256(unhexlify(V["payloads"][name]["index"]))


def put_payload(store, name):
    payload = V["payloads"][name]
    assert store.put_index(pid(name), unhexlify(payload["index"])) is None
    for piece in payload["pieces"]:
        data = unhexlify(piece)
        taken, why = store.put(store.held(pid(name)), memoryview(data))
        assert (taken, why) == (len(data), None)


def replay(store, case):
    for do, name in case["steps"]:
        if do == "payload":
            put_payload(store, name)
        elif do == "runs":
            store.collect(rids([name]))
        else:
            release, why = store.add(MANIFESTS[name], b"good")
            assert (release is not None) == (do == "taken"), (case["name"], name, why)
            assert why is None or why[0], (case["name"], why)


def check(store, case):
    shown = [r.rid for r in store.catalogue.shown()]
    assert shown == rids(case["set"]), case["name"]
    assert to_hex(store.catalogue.digest()) == case["digest"], case["name"]
    besides = [r.rid for r in store.releases if r.rid not in shown]
    assert besides == rids(case["besides"]), case["name"]
    whole = [p.pid for p in store.needs.lines().values() if store.ready(None, p)]
    assert sorted(whole) == sorted([pid(n) for n in case["payloads"]]), case["name"]


def test_what_is_held_is_what_the_vectors_say():
    for case in V["cases"]:
        with Box(fs=Hasty()) as b:
            replay(b.store, case)
            check(b.store, case)
            if case["besides"] or len(case["set"]) < 64:
                check(b.again(), case)  # the same after a restart
