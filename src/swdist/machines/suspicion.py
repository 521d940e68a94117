"""What was wrong before: so that no lie is looked at twice, and signatures that bring nothing,
which cost a node most, take a bounded share of its time whoever sends them (docs/protocol.md,
section 6.4)."""

REFUSED = 64  # (neighbour, object) pairs remembered
BAD = 16  # digests of refused signatures remembered, so that no other neighbour costs a check
# Files of signatures that may bring nothing at once, as when a key set has changed that we have yet
# to hear of; then one each CHECK_US. A check takes a router a second or two where Ed25519 is plain
# Python: whoever forges signatures gets a tenth or two of its time, and no more.
CHECKS = 8
CHECK_US = 10000000


class Suspicion:
    def __init__(self):
        self._at = 0
        self._until = 0  # how far the time for signatures is spent
        self.forgive()

    def forgive(self):
        """The keys have changed, or time has passed: what was refused may be good now."""
        self._refused = [None] * REFUSED
        self._bad = [None] * BAD

    def refused(self, peer, key):
        """Has this neighbour lied about a release or payload of late?"""
        return (peer, key) in self._refused

    def refuse(self, peer, key):
        self._refused[self._at] = (peer, key)
        self._at = (self._at + 1) % REFUSED

    def is_bad(self, digest):
        return digest in self._bad

    def was_bad(self, digest):
        """Signatures of that digest did not verify."""
        self._bad = self._bad[1:] + [digest]

    def charge(self, now):
        """Signatures were checked, and brought no release, for whatever reason."""
        self._until = max(self._until, now) + CHECK_US

    def check_at(self):
        """Counter from which on signatures may be checked again."""
        return self._until - (CHECKS - 1) * CHECK_US
