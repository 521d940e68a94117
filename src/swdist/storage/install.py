"""What changes the system and is not laid beside it: packages, and whole images. An optional part
of both sides: docs/decisions/0012-ipk-and-image.md.

The network side keeps an image in RAM. Two scripts do the work, as root: `install` calls opkg, and
`flash` checks an image and calls sysupgrade.
"""

from swdist.crypto.ucryptolib import sha256
from swdist.formats.bits import plain, to_hex, version_text
from swdist.formats.index import HEAD_BYTES, MAX_INDEX_BYTES
from swdist.storage import ownflash
from swdist.storage.ownflash import head

SCRIPTS = "/usr/lib/swdist/"
APK = "/usr/bin/apk"  # where that is, packages are apk's
LIMIT_S = 86400  # they limit what they start themselves: nothing may end sysupgrade
MARGIN_BYTES = 2097152  # of memory that is left
WAIT_US = 60000000  # a neighbour may lack the last chunks yet
MAX_FAILED = 16  # as in slots
TRIES = 3  # so often sysupgrade is given one image
BEGUN = ".image/begun"  # beside RUN, in RAM: sysupgrade was called in this boot
NOTHING = b" sysupgrade has begun 3 times, and it is still the old image that runs"
_IMAGE = ("/proc/version", "/proc/mtd", "/rom/usr/lib/opkg/status", "/rom/lib/apk/db/installed")


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
        text = head(self._fs, "/proc/meminfo")
        at = text.find(b"MemAvailable:")
        return int(text[at + 13 : text.find(b"k", at)]) * 1024 if at >= 0 else 0


class Flash:
    """When an image is flashed: at a random instant of its window, which begins when it should run
    and is here. Who flashes later can give it to those who lack it.
    rand(n): 0..n-1. hook: as the switcher's, and for `flash`: what comes back from it is never that
    all went well, for then this system is gone."""

    def __init__(self, fs, conf, rand, switcher, hook, log):
        self.next_at = 0
        self._fs = fs
        self._state = conf.state
        self._path = conf.run + "/images/"
        self._begun = conf.run + ".image/image"  # sysupgrade was given that one
        self._rand = rand
        self._switcher = switcher
        self._hook = hook
        self._log = log
        self._image = None  # the release that is to replace all of this,
        self._flash_at = 0  # and when
        self._said = None  # what was wrong last

    def _here(self, r, p):
        """Is an image all here, going by its size?"""
        size = self._fs.size
        path = self._path + to_hex(p.pid) + "/payload"
        return p.kind == "image" and p.stored in (size(path), size(self._begun))

    def _kind(self, r):
        p = self._switcher.choosing.here.takes(r.manifest)
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
        r = s.choosing.best(s.active, s.now_s(now), True, self._here)
        held_back = s.choosing.held_back(s.active, r, s.now_s(now))
        if not s.synced or self._kind(r) != "image" or held_back:
            self._image = None
        elif self._image is None or r.rid != self._image.rid:
            self._image = r
            self._flash_at = now + WAIT_US + self._rand(r.manifest.window_s * 1000000 + 1)
            seconds = (self._flash_at - now) // 1000000
            self._log.info("release %s will be flashed in %d s" % (r.name(), seconds))
        elif now >= self._flash_at:
            self._image = None
            self._keep(s.choosing.here.takes(r.manifest).pid)
            why = str(self._hook(r, "flash"))
            line = "release %s is not flashed: %s" % (r.name(), why)
            if line != self._said:
                self._log.error(line)
            self._said = line
            if not why.startswith("not now"):
                s.remember(r, why)
        if self._image is not None:
            self.next_at = min(self.next_at, self._flash_at)

    def planned(self):
        """[release id, the counter's microseconds when its image is flashed], or None."""
        return self._image and [to_hex(self._image.rid), self._flash_at]

    def _keep(self, pid):
        why = ownflash.keep(self._fs, self._state, self._path + to_hex(pid), pid)
        if why is not None:
            self._log.info("the next image will come whole by air: " + why)


def image_here(fs, version):
    """16 hex digits that tell the image that runs from others, by what only an image brings: its
    version, kernel, partitions, packages, and the superblock of its squashfs, which has sizes to
    the byte."""
    said = version.encode()
    for path in _IMAGE:
        said += b"%d " % (fs.size(path) or 0) + head(fs, path)
    for line in head(fs, "/proc/mtd").split(b"\n"):
        if line.endswith(b'"rootfs"'):
            said += head(fs, "/dev/" + plain(line.split(b":")[0]))[:96]
    return to_hex(sha256(said)[:8])


def flashed(fs, conf):
    """At a start: what has come of an image. Whatever sysupgrade answers, and whoever survives it,
    only the next boot can tell, by `flashing`: the release, its version, a dot for each time, and
    which image was running. Written before sysupgrade is called, it outlives it."""
    path = conf.state + "/flashing"
    words = (fs.read(path, 199) or b"").split()
    if len(words) != 4 or fs.size(conf.run + BEGUN) is not None:
        return
    version = version_text(conf.factory_version)
    why = None
    if words[1] != version.encode():
        why = b" flashed, and the image here says it is " + version.encode()
        if words[3] == image_here(fs, version).encode():
            if len(words[2]) < TRIES:
                return
            why = NOTHING
    # It may have been given up before it came.
    lines = (fs.read(conf.state + "/failed", 8192) or b"").split(b"\n")[-MAX_FAILED:-1]
    lines = [line for line in lines if not line.startswith(words[0])]
    if why is not None:
        lines.append(words[0] + why)
    try:
        fs.write_atomic(conf.state + "/failed", b"".join([line + b"\n" for line in lines]))
        ownflash.judged(fs, conf.state, why is None)
        fs.remove(path)
    except OSError:
        pass  # at the next start, then


def script(run, fs, conf, release, p, name, slot):
    """0, or why not. run(words, limit_s): a command's exit status. p: the payload that fits here,
    or None."""
    kind = p.kind if p is not None else "none"
    why = conf.run + ".why"
    path = SCRIPTS + ("flash" if name == "flash" else "install")
    if name != "flash" and fs.size(APK) is not None:
        path += "-apk"
    if fs.size(path) is None:
        return "not now: " + path + " is missing" if kind in ("ipk", "apk", "image") else 0
    words = (path, name, slot, kind, why, conf.state, conf.run, str(conf.confirm_s))
    words += (conf.board, conf.user)
    if name == "flash":
        if p.stored != p.size:  # there is no room for it twice
            return "it is packed, which an image must not be; build it anew"
        digest = _digest(fs, conf.run + "/images/" + to_hex(p.pid), p)
        if digest is None:
            return "not now: the index does not hold"
        words += (version_text(release.manifest.version), str(p.size), to_hex(p.pid), digest)
        words += (image_here(fs, version_text(conf.factory_version)), "." * TRIES)
    if fs.size(why) is not None:
        fs.remove(why)
    status = run(("sh",) + words, LIMIT_S)
    if not status:
        return 0
    # Without a last word sysupgrade has ended it, or somebody: no verdict on the release.
    return plain(fs.read(why, 999) or b"not now: it exited with %d" % status)


def _digest(fs, path, p):
    """SHA-256, in hex, of an image; None where the index does not hold."""
    index = fs.read(path + "/index", MAX_INDEX_BYTES)
    if index is None or sha256(index) != p.pid:
        return None
    return to_hex(index[:HEAD_BYTES])
