"""Sections 2.1 and 5.2 to 5.7: which release runs. Nothing here knows a network or a clock."""

import hashlib
import struct
from dataclasses import dataclass, field

FLASH_DELAY_US = 60_000_000


@dataclass
class Profile:
    """What a node is."""

    board: str
    factory: tuple
    kinds: list = field(default_factory=lambda: ["slot"])
    groups: list = field(default_factory=list)
    lot: bytes | None = None  # 16 random bytes, drawn once


def lot(number, version):
    return (
        int.from_bytes(hashlib.sha256(number + struct.pack("!3H", *version)).digest()[:4], "big")
        % 1000
    )


def fitting(profile, m):
    """The first line of a release that fits, with its number from 1, or (0, None)."""
    for n, line in enumerate(m.lines, 1):
        named = profile.board in line.boards
        image_ok = line.kind != "image" or (
            not m.experimental and named and line.stored == line.size
        )
        if (named or line.boards == ["any"]) and line.kind in profile.kinds and image_ok:
            return n, line
    return 0, None


def in_audience(profile, m):
    if not m.groups and not m.share:
        return True
    in_group = bool(set(m.groups) & set(profile.groups))
    return in_group or bool(profile.lot and m.share and lot(profile.lot, m.version) < m.share)


def wanted_line(profile, m):
    """Section 6.2: the line that a node fetches for itself, or None."""
    line = None if m.critical else fitting(profile, m)[1]
    if line and line.kind == "image" and m.version <= profile.factory:
        return None
    return line


class Chooser:
    """Keeps what has failed, and the instant at which an image is flashed.

    `is_ready(m, line)` says whether the payload is held whole and could run, `random_below(n)`
    gives a number of 0 to n-1; `counter_us` is monotonic, so steps of the clock move no instant.
    """

    def __init__(self, profile, is_ready, random_below):
        self.profile, self.is_ready, self.random_below = profile, is_ready, random_below
        self.failed = []  # rids, the last 16
        self.active = None  # rid, None at the factory release
        self.is_held = False  # by its owner (section 5.7)
        self.drawn = None  # rid of an image, and the instant

    def fail(self, rid):
        self.failed = ([r for r in self.failed if r != rid] + [rid])[-16:]

    def choose(self, held, now_s, synchronised, counter_us):
        """(what is to be active, or None for the factory release; the image to flash now)."""
        held = {m.rid: m for m in held}
        current = held.get(self.active)
        left = [m for m in held.values() if self._may_run(m, now_s, synchronised)]
        best = self._best(left, images=False)
        if self.is_held and (not self.active or (current and self._stays(current, now_s))):
            self.drawn = None
            higher = best.order if best else (self.profile.factory, 0, bytes(32))
            return (best if current and higher < current.order else current), None
        image = self._best(left, images=True) if synchronised else None
        if not image or fitting(self.profile, image)[1].kind != "image":
            self.drawn = None
            return best, None
        if not self.drawn or self.drawn[0] != image.rid:
            span_us = image.window_s * 1_000_000
            instant = counter_us + FLASH_DELAY_US + self.random_below(span_us + 1)
            self.drawn = (image.rid, instant)
        return best, image if counter_us >= self.drawn[1] else None

    def _stays(self, m, now_s):
        ended = m.experimental and m.end_s <= now_s
        return not (ended or m.rid in self.failed)

    def _may_run(self, m, now_s, synchronised):
        """Section 5.2, all rules but the fifth."""
        line = wanted_line(self.profile, m)
        if not line or not in_audience(self.profile, m) or m.rid in self.failed:
            return False
        ended = m.experimental and (not synchronised or m.end_s <= now_s)
        return m.start_s <= now_s and not ended

    def _ready(self, m):
        return self.is_ready(m, fitting(self.profile, m)[1])

    def _is_image(self, m):
        return fitting(self.profile, m)[1].kind == "image"

    def _best(self, left, images):
        """The highest release of these that is ready, None for the factory release."""
        above = [m for m in left if m.version >= self.profile.factory]
        stable = [m for m in above if not m.experimental]
        stable = [m for m in stable if not self._is_image(m) or (images and self._ready(m))]
        fallback = max(stable, key=lambda m: m.order, default=None)
        fallback_ready = fallback is None or self._ready(fallback)
        ready = [
            m for m in above
            if self._ready(m)
            and (images or not self._is_image(m))
            and (not m.experimental or m.rid == self.active or fallback_ready)
        ]  # fmt: skip
        return max(ready, key=lambda m: m.order, default=None)
