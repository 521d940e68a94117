"""A community of one member, alice, as small as one can be: her key and her CA directory."""

from swdist_host import ca, keys


def make(folder, name):
    """(her key, the network's id); the CA is in `folder`/ca, alice.sec, without a passphrase, and
    alice.pub are beside it."""
    key = keys.generate()
    keys.save(key, folder / "alice", None)
    return key, ca.create(folder / "ca", name, [key.public], 1)
