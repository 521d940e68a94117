"""The golden vectors of changes of keys that are one node's each."""

from binascii import unhexlify

from wired import trust_of, vectors

V = vectors("keys")


def test_each_node_goes_over_or_stays_as_the_vectors_say():
    for case in V["others"]:
        trust = trust_of(V)
        for n, step in enumerate(case["steps"]):
            data, signatures = unhexlify(step["manifest"]), step["signatures"].encode()
            release, why = trust.check(data, signatures)
            assert (release is not None) == (step["is"] == "good"), (case["name"], n, why)
            if release is not None:
                trust.adopt(release)
