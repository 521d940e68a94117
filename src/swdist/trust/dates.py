"""Which Signed-At is believed: no mesh time is earlier than the newest of them, but for one that
was far ahead of all clocks when it came (docs/decisions/0018-signed-at.md)."""

from swdist.formats.bits import to_hex

FAR_DAYS = 30  # a mesh that was off may be so far behind: then the date is what is right
MAX_DOUBTED = 16


class Dates:
    """path: a file of this process's own, for ids of releases whose date is not believed."""

    def __init__(self, fs, path):
        self._fs = fs
        self._path = path
        lines = (fs.read(path, 2048) or b"").split(b"\n")
        self.doubted = [line for line in lines if len(line) == 64][-MAX_DOUBTED:]

    def newest_s(self, releases):
        """The newest Signed-At of all that are believed."""
        newest = 0
        for r in releases:
            if r.manifest.signed_at_s > newest and to_hex(r.rid).encode() not in self.doubted:
                newest = r.manifest.signed_at_s
        return newest

    def doubt(self, releases, now_s, log):
        """now_s: of a clock that this node and others agree on. Withholding a release does no less
        than making a node doubt its date, so nobody gains by that."""
        if not [r for r in releases if r.manifest.signed_at_s <= now_s]:
            return  # nothing says that this time is not 1970's
        for r in releases:
            rid = to_hex(r.rid).encode()
            days = (r.manifest.signed_at_s - now_s) // 86400
            if days >= FAR_DAYS and rid not in self.doubted:
                self.doubted = self.doubted[1 - MAX_DOUBTED :] + [rid]
                text = "release %s is dated %d days ahead of all clocks here: "
                log.error((text + "that is not believed; withdraw it") % (r.name(), days))
                try:
                    self._fs.write_atomic(self._path, b"\n".join(self.doubted) + b"\n")
                except OSError:
                    pass  # until the next start, then
