"""The roll of the mesh: what this node tells of itself to all, and what all have told, in RUN/mesh,
for `swdist status --mesh`. A part of netd that package swdist-utils brings."""

from struct import unpack_from

from swdist.commands import words
from swdist.crypto.ucryptolib import sha256
from swdist.formats.bits import to_hex
from swdist.machines.census import (
    AGAIN,
    ERROR_MS,
    FORM,
    SHORT,
    SHORT_BYTES,
    STAMP_S,
    Census,
    head_of,
    size_of,
    stamp_of,
)
from swdist.wiring import status

SLOTS = 1344  # for 1,000 nodes
WRITE_S = 60  # RUN/mesh is at most so old
MAX_BYTES = 65536  # of it
SILENT_S = 3 * AGAIN * STAMP_S  # each node tells three times in it


def hostname():
    """What people call this node, as bytes."""
    try:
        with open("/proc/sys/kernel/hostname", "rb") as f:  # which says that its size is 0
            return f.read(64).strip()
    except OSError:
        return b""


def plain(data):
    """Text of what strangers have written. Most is plain, and one by one takes routers seconds."""
    if data and min(data) >= 32 and max(data) < 127:
        return str(data, "ascii")
    return "".join([chr(c) if 32 <= c < 127 else "?" for c in data])


class Rollcall:
    """name: bytes, what people call this node. path: of RUN/mesh."""

    def __init__(self, fs, path, name):
        self._fs = fs
        self._path = path
        self._name = name
        self._lot = None
        self._census = None
        self._write_at_s = 0
        self._own_was = None

    def take(self, buf, at, n, mesh_s):
        if self._census:
            self._census.take(buf, at, n, mesh_s)

    def say(self, node, writer, mesh_s):
        """With each beacon."""
        here = node.store.room.here
        if here.lot != self._lot:  # not known before the switch side has spoken
            self._lot = here.lot
            who = sha256(b"census" + here.lot)
            self._census = Census(SLOTS, unpack_from("!HH", who))
        if not self._census:
            return
        word, percent, release = self._own(node, mesh_s)
        _, version, revision, _ = node.active
        text = self._name[:12] + b" " + here.board.encode()
        error_ms = node.clock.error_us // 1000
        self._census.tell(mesh_s, word, percent, release, version, revision, error_ms, text)
        self._census.say(writer, mesh_s)
        own = word, release, version, revision
        old = mesh_s >= self._write_at_s or mesh_s < self._write_at_s - WRITE_S
        if old or own != self._own_was:
            self._own_was = own
            self._write_at_s = mesh_s + WRITE_S
            self._write(mesh_s)

    def _own(self, node, mesh_s):
        """How the newest release that counts stands here: (word, percent, 32 bits of its id)."""
        for r in reversed(node.store.releases):
            if r.manifest.payloads and not (0 < r.manifest.end_s <= mesh_s):
                row = status.of_release(node, r)
                active = to_hex(node.active[0])
                failed = [to_hex(rid) for rid in node.store.room.failed]
                switch = {
                    "active": {"id": active, "version": "0.0.0", "revision": 0,
                               "experimental": True},
                    "confirmed": active, "failed": failed, "why": failed, "hold": node.on_hold,
                }  # fmt: skip
                word, _ = words.state(row, (), switch, mesh_s, node.clock.synced)
                return word, row["percent"], unpack_from("!I", r.rid)[0]
        return words.RUNS, 100, 0

    def _write(self, mesh_s):
        """Rows as they are on the air, each behind how old it is; the newest word is in RAM."""
        try:
            with self._fs.open(self._path + ".tmp", "wb") as f:
                f.write(self._census.table(mesh_s, MAX_BYTES))
            self._fs.rename(self._path + ".tmp", self._path)
        except OSError:
            pass  # netd says it of its own status


def summary(rows, releases):
    """{"nodes", "silent", "release", "words": {state: nodes}, "clock_error_ms"} of `read`'s rows.
    releases: ids of those held here, the newest last: the newest that somebody speaks of counts."""
    heard = [r for r in rows if r["age_s"] < SILENT_S]
    about = None
    for rid in releases:
        if [r for r in heard if rid.startswith(r["release"])]:
            about = rid
    found = {"nodes": len(rows), "silent": len(rows) - len(heard), "release": about, "words": {}}
    for r in heard:
        same = about is None or about.startswith(r["release"])
        word = r["state"] if same else "not heard of it"
        found["words"][word] = found["words"].get(word, 0) + 1
    errors = [r["error_ms"] for r in heard if r["error_ms"] is not None]
    found["clock_error_ms"] = max(errors) if errors else None
    return found


def read(data, now_s):
    """[{"node", "age_s", "state", "percent", "release", "version", "revision", "error_ms", "name",
    "board"}] of RUN/mesh. What is not understood is left out: strangers have written it."""
    found = []
    at = 0
    rest = -1
    now = stamp_of(now_s)
    while at + SHORT_BYTES <= len(data):
        form = data[at + FORM]
        size = size_of(form)
        if not form & SHORT:
            rest = at
        if at + size > len(data) or rest < 0:
            break
        a, b, stamp, word, percent, _, error = unpack_from("!HHHBBBB", data, at)
        release, v, w, x, revision = unpack_from("!IHHHH", data, rest + SHORT_BYTES)
        text = plain(data[at + head_of(form) : at + size])
        at += size
        name, _, board = text.partition(" ")
        found.append(
            {
                "node": "%04x%04x" % (a, b),
                "name": name,
                "board": board,
                "version": "%d.%d.%d" % (v, w, x),
                "revision": revision,
                "release": "%08x" % release,
                "state": words.STATES[word] if word < len(words.STATES) else "?",
                "percent": min(percent, 100),
                "error_ms": None if error == 255 else error * ERROR_MS,
                "age_s": max((((now - stamp + 0x8000) & 0xFFFF) - 0x8000) * STAMP_S, 0),
            }
        )
    return found
