"""What changes the system and is not laid beside it: packages, and whole images. An optional part
of both sides: docs/decisions/0012-ipk-and-image.md.

The network side keeps an image in RAM. Two scripts do the work, as root: `install` calls opkg, and
`flash` checks an image and calls sysupgrade.
"""

from swdist.bits import to_hex, version_text
from swdist.ucryptolib import sha256

SCRIPTS = "/usr/lib/swdist/"
LIMIT_S = 86400  # they limit what they start themselves: nothing may end sysupgrade
MARGIN_BYTES = 2097152  # of memory that is left
WAIT_US = 60000000  # a neighbour may lack the last chunks yet
MAX_FAILED = 16  # as in slots


class Ram:
    """The payload of one image, the newest that this board may run after the one it has."""

    def __init__(self, fs, conf):
        self.path = conf.run + "/images"
        self._fs = fs
        self._quota = conf.images_kb * 1024
        self._board = conf.board
        self._version = conf.factory_version
        fs.mkdirs(self.path)

    def deserving(self, releases, forget):
        """Its id in a list; an empty one if there is none, or memory has no room for the rest. What
        is held of others, or where memory is short, one is to forget(release)."""
        found = []
        newest = True
        for r in reversed(releases):
            m = r.manifest
            if m.payload != "image":
                continue
            if r.held and self._fs.size(r.file) is None:
                forget(r)  # the switch side has taken it
            if newest and not m.critical and self._board in m.boards:
                newest = False
                if m.version > self._version and m.payload_size <= self._quota:
                    free = self._available() - MARGIN_BYTES
                    if free >= m.payload_size - r.held * m.chunk_size:
                        found.append(r.rid)
                    if free >= 0:
                        continue
            if r.held:
                forget(r)
        return found

    def _available(self):
        with self._fs.open("/proc/meminfo", "rb") as f:
            text = f.read(512)
        at = text.find(b"MemAvailable:")  # since Linux 3.14
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

    def _here(self, r):
        m = r.manifest
        size = self._fs.size(self._path + to_hex(r.rid))
        return m.payload == "image" and size == m.payload_size

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
        if not s.synced or r.manifest.payload != "image":
            self._image = None
        elif r is not self._image:
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


def script(run, fs, conf, release, name, slot):
    """0, or why not. run(words, limit_s): its exit status."""
    m = release.manifest
    why = conf.run + ".why"
    path = SCRIPTS + ("flash" if name == "flash" else "install")
    if fs.size(path) is None:
        return path + " is missing" if m.payload in ("ipk", "image") else 0
    words = (path, name, slot, m.payload, why, conf.state, conf.run, str(conf.confirm_s))
    words += (conf.board, conf.user)
    if name == "flash":
        words += (version_text(m.version), str(m.payload_size), str(m.chunk_size))
        index = fs.read("%s/%s/index" % (conf.store, to_hex(m.rid)), 32 * m.chunks) or b""
        if sha256(index) != m.index_sha256:
            return "not now: the index does not hold"
        with fs.open(conf.run + ".chunks", "wb") as f:
            for n in range(m.chunks):
                f.write(to_hex(index[32 * n : 32 * n + 32]).encode() + b"\n")
    status = run(words, LIMIT_S)
    said = fs.read(why, 999) or b"it exited with %d" % status
    return status and "".join([chr(c) for c in said if 32 <= c < 127])
