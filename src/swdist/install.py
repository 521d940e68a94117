"""What changes the system and is not laid beside it: packages, and whole images. An optional part
of both sides: docs/decisions/0012-ipk-and-image.md.

The network side keeps an image in RAM. Two scripts do the work, as root: `install` calls opkg, and
`flash` checks an image and calls sysupgrade.
"""

from swdist.bits import to_hex, version_text
from swdist.index import HEAD_BYTES, MAX_INDEX_BYTES
from swdist.ucryptolib import sha256

SCRIPTS = "/usr/lib/swdist/"
LIMIT_S = 86400  # they limit what they start themselves: nothing may end sysupgrade
MARGIN_BYTES = 2097152  # of memory that is left
WAIT_US = 60000000  # a neighbour may lack the last chunks yet
MAX_FAILED = 16  # as in slots


class Ram:
    """Room in RAM for the payloads of images, one of this board and those of others."""

    def __init__(self, fs, conf):
        self.path = conf.run + "/images"
        self._fs = fs
        self._quota = conf.images_kb * 1024
        fs.mkdirs(self.path)

    def fits(self, size, held):
        """Is there room for the rest of an image of which `held` (a payloads.Held, or None) is
        here?"""
        here = held.chunks_end if held is not None else 0
        return size <= self._quota and self._available() - MARGIN_BYTES >= size - here

    def short(self):
        return self._available() < MARGIN_BYTES

    def _available(self):
        """Bytes of memory; 0 where the kernel does not say (before Linux 3.14)."""
        with self._fs.open("/proc/meminfo", "rb") as f:
            text = f.read(512)
        at = text.find(b"MemAvailable:")
        return int(text[at + 13 : text.find(b"k", at)]) * 1024 if at >= 0 else 0


class Flash:
    """When an image is flashed: at a random instant of its window, which begins when it should run
    and is here. Who flashes later can give it to those who lack it.
    rand(n): 0..n-1. hook: as the switcher's; `flash` does not come back where it went well."""

    def __init__(self, fs, conf, rand, switcher, hook, log):
        self.next_at = 0
        self._fs = fs
        self._path = conf.run + "/images/"
        self._rand = rand
        self._switcher = switcher
        self._hook = hook
        self._log = log
        self._image = None  # the release that is to replace all of this,
        self._flash_at = 0  # and when

    def _here(self, r, p):
        """Is an image all here, going by its size?"""
        path = self._path + to_hex(p.pid) + "/payload"
        return p.kind == "image" and self._fs.size(path) == p.stored

    def _kind(self, r):
        p = self._switcher.here.takes(r.manifest)
        return p.kind if p is not None else "none"

    def tick(self, now):
        s = self._switcher
        if now < self.next_at:
            return
        self.next_at = now + WAIT_US
        if s.change_at is not None:
            self.next_at = min(self.next_at, s.change_at + 1)
        if s.quiet(now):
            return
        r = s.best_if(self._here, s.now_s(now), True)
        if not s.synced or self._kind(r) != "image" or s.held_back(r, s.now_s(now)):
            self._image = None
        elif self._image is None or r.rid != self._image.rid:
            self._image = r
            self._flash_at = now + WAIT_US + self._rand(r.manifest.window_s * 1000000 + 1)
            seconds = (self._flash_at - now) // 1000000
            self._log.info("release %s will be flashed in %d s" % (r.name(), seconds))
        elif now >= self._flash_at:
            self._image = None
            why = str(self._hook(r, "flash"))
            self._log.error("release %s is not flashed: %s" % (r.name(), why))
            if not why.startswith("not now"):
                s.remember(r, why)
        if self._image is not None:
            self.next_at = min(self.next_at, self._flash_at)


def flashed(fs, state, version):
    """At a start. Of two files that are written before sysupgrade is called, `flashing` outlives
    it, `flashing.old` does not: then the image has come, and must be of the release's version. If
    it is not, it would be flashed again and again."""
    words = (fs.read(state + "/flashing", 99) or b"").split()
    if not words or fs.size(state + "/flashing.old") is not None:
        return
    if words[1:] != [version.encode()]:
        lines = (fs.read(state + "/failed", 8192) or b"").split(b"\n")[-MAX_FAILED:-1]
        lines.append(words[0] + b" flashed, and the image here says it is " + version.encode())
        fs.write_atomic(state + "/failed", b"\n".join(lines) + b"\n")
    fs.remove(state + "/flashing")


def script(run, fs, conf, release, p, name, slot):
    """0, or why not. run(words, limit_s): its exit status. p: the payload that fits here, or
    None."""
    kind = p.kind if p is not None else "none"
    why = conf.run + ".why"
    path = SCRIPTS + ("flash" if name == "flash" else "install")
    if fs.size(path) is None:
        return path + " is missing" if kind in ("ipk", "image") else 0
    words = (path, name, slot, kind, why, conf.state, conf.run, str(conf.confirm_s))
    words += (conf.board, conf.user)
    if name == "flash":
        if p.stored != p.size:  # there is no room for it twice
            return "it is packed, which an image must not be; build it anew"
        digest = _digest(fs, conf.run + "/images/" + to_hex(p.pid), p)
        if digest is None:
            return "not now: the index does not hold"
        words += (version_text(release.manifest.version), str(p.size), to_hex(p.pid), digest)
    status = run(words, LIMIT_S)
    said = fs.read(why, 999) or b"it exited with %d" % status
    return status and "".join([chr(c) for c in said if 32 <= c < 127])


def _digest(fs, path, p):
    """SHA-256, in hex, of an image; None where the index does not hold."""
    index = fs.read(path + "/index", MAX_INDEX_BYTES)
    if index is None or sha256(index) != p.pid:
        return None
    return to_hex(index[:HEAD_BYTES])
