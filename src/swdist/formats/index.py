"""The index of a payload, and what it says of each piece (docs/protocol.md, section 2.3).

Pieces are numbered: pages first, then chunks. The index has an entry for each page, and a page one
for each of some chunks. What lies on flash as `index` is the index with the pages behind it: so all
entries but the pages' own are one table.
"""

from struct import unpack_from

HEAD_BYTES = 32  # SHA-256 of the payload, inflated
ENTRY_BYTES = 21
DIGEST_BYTES = 16
MAX_INDEX_BYTES = 32768
MAX_PIECES = 65535
MAX_PIECE_BYTES = 65536
MAX_PAGE_BYTES = 65520

STORED = 0  # encodings
DEFLATE = 1

_FORM = "!HHB"


def lengths(buf, at):
    """(bytes as sent, bytes inflated, encoding) of the entry at an offset."""
    sent, size, encoding = unpack_from(_FORM, buf, at + DIGEST_BYTES)
    return sent or MAX_PIECE_BYTES, size or MAX_PIECE_BYTES, encoding


def sane(sent, size, encoding):
    """Can what an entry says be true?"""
    if encoding == STORED:
        return sent == size
    return encoding != DEFLATE or sent < size


def pages(data):
    """(number of pages, number of chunks) of an index, or None if it is none."""
    table = len(data) - HEAD_BYTES
    if not 0 < table <= MAX_INDEX_BYTES - HEAD_BYTES or table % ENTRY_BYTES:
        return None
    count = table // ENTRY_BYTES
    chunks = 0
    for i in range(count):
        sent, size, encoding = lengths(data, HEAD_BYTES + i * ENTRY_BYTES)
        if encoding != STORED or sent != size or sent % ENTRY_BYTES:
            return None
        chunks += sent // ENTRY_BYTES
    return (count, chunks) if count + chunks <= MAX_PIECES else None
