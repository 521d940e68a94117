"""What nodes tell of themselves, carried on by all: who is ready, who is behind, and why
(docs/protocol.md, section 3.6). For people: no decision reads it, since any liar can write in it.

One table, allocated once: a row for each node that was heard of, the latest word of it. A row that
is new here is owed to the neighbours until others have passed it on, and lies in the next beacons.
"""

from struct import pack_into, unpack_from

from swdist.formats.datagram import TLV_CENSUS

# id in two halves, stamp, word, percent, form or length of the text, clock's error; release it
# speaks of, what runs
ROW_FORM = "!HHHBBBBIHHHH"
ROW_BYTES = 22
SHORT_BYTES = 10  # of these: what comes behind is as in the row before
FORM = 8  # where it stands in a row: the length of the text behind the row, up to 24, or
NO_TEXT = 127  # the text is as it was
SHORT = 0x80  # and this bit
TEXT_BYTES = 24  # its name and board; longer ones are cut
SLOT_BYTES = 48  # a row, its text, and how often it is owed
OWED = 47  # in a slot: the number, and BRIEF
BRIEF = 128  # who hears this row knows its text already
HEAD_BYTES = 8  # nodes known by name, and their sum: alike in two that know the same; the sender
ERROR_MS = 4  # unit of an error; 255 of them: more, or not known
STAMP_S = 64  # a stamp is the mesh time in these, 16 bits of it
FORGET = 6750  # stamps, 5 days: then a row is no more
AGAIN = 56  # stamps, an hour: so often each node tells, also where nothing is new
AHEAD = 2  # stamps that a row may be in the future
PROBES = 64  # slots looked at for a node, so that a full table costs little
RECENT = 10  # stamps: what was told so long ago is what a neighbour most likely lacks
ECHO = 16  # such rows, in turn, for a neighbour that knows other words of the same nodes
SHARE = 2  # rows of any age, in turn, for a neighbour that knows of other nodes;
ALL = 99  # as many as there is room for, if it knows of fewer: it has just started
FORWARD = 2  # times that a new row is owed; once, if others say it too


def newer(a, b):
    """Serial numbers of 16 bits (RFC 1982): is a later than b?"""
    return 0 < (a - b) & 0xFFFF < 0x8000


def head_of(form):
    """Bytes of a row of that form, before its text."""
    return SHORT_BYTES if form & SHORT else ROW_BYTES


def size_of(form):
    """Bytes of a row of that form, with its text."""
    n = form & NO_TEXT
    return head_of(form) + (0 if n == NO_TEXT else n)


def stamp_of(mesh_s):
    return (mesh_s // STAMP_S) & 0xFFFF


class Census:
    """slots: a third more than nodes that can be known. node: this one's id, two 16-bit numbers,
    not both 0."""

    def __init__(self, slots, node):
        self.node = node
        self.refused = 0  # rows that there was no room for
        self.known = 0
        self._slots = bytearray(slots * SLOT_BYTES)
        self._sum = 0
        self._at = 0  # the slot looked at next
        self._share = 0  # rows of any age for a neighbour that knows of other nodes
        self._echo = 0  # rows told lately for one that knows other words of the same
        self._n = 0  # bytes of the beacon that is being made
        self._told = bytearray(ROW_BYTES + TEXT_BYTES)

    def _find(self, a, b, now):
        """The offset of a node's slot, or of one for it; -1 if there is none: who has told within
        five days gives way to nobody, so inventing nodes does not push known ones out."""
        free = -1
        slots = self._slots
        for i in range(PROBES):
            at = (a * SLOT_BYTES + i * SLOT_BYTES) % len(slots)
            x, y, stamp = unpack_from("!HHH", slots, at)
            if x == a and y == b:
                return at
            empty = not x and not y
            if free < 0 and (empty or self._old(stamp, now)):
                free = at
            if empty:
                break
        return free

    def _old(self, stamp, now):
        return newer(now, (stamp + FORGET) & 0xFFFF)

    def _put(self, buf, at, rest, now):
        """A row that came, or is ours, with its text behind it. rest: the row that has what a short
        one leaves out."""
        a, b, stamp = unpack_from("!HHH", buf, at)
        if newer(stamp, (now + AHEAD) & 0xFFFF) or self._old(stamp, now):
            return
        slot = self._find(a, b, now)
        if slot < 0:
            self.refused += 1
            return
        slots = self._slots
        x, y, before = unpack_from("!HHH", slots, slot)
        known = x == a and y == b
        again = known and not newer(stamp, before)
        mine = slot + FORM
        form = buf[at + FORM] & NO_TEXT
        if again:
            if stamp == before and slots[slot + OWED] & ~BRIEF == FORWARD:
                slots[slot + OWED] -= 1  # another one has said it
            if stamp != before or slots[mine] or form > TEXT_BYTES:
                return
        brief = BRIEF
        n = slots[mine] if known else 0
        if form != NO_TEXT:
            n = min(form, TEXT_BYTES)
            begin = at + head_of(buf[at + FORM])
            text = buf[begin : begin + n]
            if slots[mine] != n or slots[slot + ROW_BYTES : slot + ROW_BYTES + n] != text:
                brief = 0
                slots[slot + ROW_BYTES : slot + ROW_BYTES + n] = text
        slots[slot : slot + SHORT_BYTES] = buf[at : at + SHORT_BYTES]
        slots[mine] = n
        slots[slot + SHORT_BYTES : slot + ROW_BYTES] = buf[rest + SHORT_BYTES : rest + ROW_BYTES]
        if not again:
            slots[slot + OWED] = FORWARD | brief

    def tell(self, mesh_s, word, percent, release, version, revision, error_ms, text):
        """This node's own row: new if anything in it is, or once an hour is over.
        release: 32 bits of an id; version: three numbers; text: bytes."""
        row = self._told
        now = stamp_of(mesh_s)
        before = bytes(row)
        text = text[:TEXT_BYTES]
        pack_into(
            ROW_FORM, row, 0, self.node[0], self.node[1], now, word, percent, len(text),
            min((error_ms + ERROR_MS - 1) // ERROR_MS, 255),
            release, version[0], version[1], version[2], revision,
        )  # fmt: skip
        row[ROW_BYTES : ROW_BYTES + len(text)] = text
        (stamp,) = unpack_from("!H", before, 4)
        # How much is here, and how exact the clock is, is told along with other news only.
        news = row[6] != before[6] or row[SHORT_BYTES:] != before[SHORT_BYTES:]
        if news and stamp != now or newer(now, (stamp + AGAIN) & 0xFFFF):
            self._put(row, 0, 0, now)
        else:
            row[:] = before

    def take(self, buf, at, n, mesh_s):
        """The census of a neighbour, buf[at:at + n]."""
        now = stamp_of(mesh_s)
        end = at + n
        known, total = unpack_from("!HH", buf, at)
        if known < self.known * 31 // 32:
            self._share = ALL
        elif known != self.known:
            self._share = max(self._share, SHARE)
        elif total != self._sum:
            self._echo = ECHO
        at += HEAD_BYTES
        rest = -1
        while at + SHORT_BYTES <= end:
            size = size_of(buf[at + FORM])
            if not buf[at + FORM] & SHORT:
                rest = at
            if at + size > end or rest < 0:
                break
            a, b, stamp = unpack_from("!HHH", buf, at)
            if (a, b) != self.node:
                if a or b:
                    self._put(buf, at, rest, now)
            elif (
                not newer(unpack_from("!H", self._told, 4)[0], stamp)
                and buf[at + 4 : at + 7] != self._told[4:7]
            ):
                # Of an earlier life of ours, or a liar's: tell it anew, with its text.
                self._told[6] = NO_TEXT  # a word that there is not
                slot = self._find(a, b, now)
                if slot >= 0:
                    self._slots[slot + FORM] = 0
            at += size

    def say(self, writer, mesh_s):
        """Adds to a beacon what is owed; for a neighbour that knows other words of the same nodes
        what was told lately, for one that knows of other nodes some of all, each in turn."""
        now = stamp_of(mesh_s)
        slots = self._slots
        self._n = writer.n + 3 + HEAD_BYTES
        self._row = -1  # the last one in it that is no short one
        known = total = 0
        half = []  # owed, and said once here
        recent = []
        others = []
        share = self._share
        for i in range(0, len(slots), SLOT_BYTES):
            at = (self._at + i) % len(slots)
            a, b, stamp = unpack_from("!HHH", slots, at)
            if not (a or b) or self._old(stamp, now):
                continue
            if slots[at + FORM]:  # else its name and board are to come
                known += 1
                total = (total + a * 29 + b + stamp) & 0xFFFF
            owed = slots[at + OWED] & ~BRIEF
            if owed == FORWARD:  # said by nobody here yet: before all else
                self._pay(writer.buf, at)
            elif owed:
                half.append(at)
            elif len(recent) < self._echo and (now - stamp) & 0xFFFF < RECENT:
                recent.append(at)
            elif len(others) < share:
                others.append(at)
        for at in half:
            self._pay(writer.buf, at)
        for at in recent + others:
            if self._add(writer.buf, at, BRIEF if at in recent else 0):
                self._at = at + SLOT_BYTES
        self.known, self._sum = known, total
        self._share = self._echo = 0
        if self._n <= len(writer.buf):
            a, b = self.node
            size = self._n - writer.n - 3
            pack_into("!BHHHHH", writer.buf, writer.n, TLV_CENSUS, size, known, total, a, b)
            writer.n = self._n

    def _pay(self, buf, at):
        """Says a row that is owed, if there is room."""
        if self._add(buf, at, self._slots[at + OWED] & BRIEF):
            self._slots[at + OWED] -= 1

    def _add(self, buf, at, brief):
        """A row to what is being said. True if it fitted."""
        slots = self._slots
        row = self._row
        form = NO_TEXT if brief else slots[at + FORM]
        if row >= 0 and (
            buf[row + SHORT_BYTES : row + ROW_BYTES] == slots[at + SHORT_BYTES : at + ROW_BYTES]
        ):
            form |= SHORT
        size = size_of(form)
        n = self._n
        if n + size > len(buf):
            return False
        head = n + head_of(form)
        text = at + ROW_BYTES
        buf[n:head] = slots[at : at + head - n]
        buf[head : n + size] = slots[text : text + n + size - head]
        buf[n + FORM] = form
        if not form & SHORT:
            self._row = n
        self._n += size
        return True

    def table(self, mesh_s, size):
        """All that is known, in the form that it has on the air; `size` bytes at most."""
        now = stamp_of(mesh_s)
        slots = self._slots
        out = bytearray()
        for at in range(0, len(slots), SLOT_BYTES):
            a, b, stamp = unpack_from("!HHH", slots, at)
            n = size_of(slots[at + FORM])
            if (a or b) and not self._old(stamp, now) and len(out) + n <= size:
                out += slots[at : at + n]
        return out
