"""The index and the pages of a payload: every limit, and what can't be."""

from struct import pack

from made import CHUNK, Made, entry

from swdist.formats import index
from swdist.formats.index import ENTRY_BYTES, HEAD_BYTES, MAX_INDEX_BYTES, MAX_PAGE_BYTES

HEAD = bytes(HEAD_BYTES)


def raw(sent, size, encoding=0):
    return bytes(16) + pack("!HHB", sent & 65535, size & 65535, encoding)


def of(*entries):
    return index.pages(HEAD + b"".join(entries))


def test_pages_and_chunks_are_counted():
    assert of(raw(21, 21)) == (1, 1)
    assert of(raw(42, 42), raw(21, 21)) == (2, 3)
    made = Made(bytes(CHUNK * 5 + 1), per_page=4)
    assert index.pages(made.index) == (2, 6)


def test_index_of_no_page_or_cut_anywhere_is_none():
    made = Made(bytes(CHUNK * 9), per_page=4)
    for n in range(len(made.index)):
        whole = n > HEAD_BYTES and (n - HEAD_BYTES) % ENTRY_BYTES == 0
        assert (index.pages(made.index[:n]) is not None) == whole, n
    assert index.pages(made.index + b"x") is None
    assert index.pages(b"") is None and index.pages(HEAD) is None


def test_page_that_is_packed_or_of_an_odd_length_is_none():
    assert of(raw(21, 42, 1)) is None
    assert of(raw(21, 21, 1)) is None
    assert of(raw(21, 21, 7)) is None
    assert of(raw(21, 42)) is None
    for size in (1, 20, 22, 65535, 65536):
        assert of(raw(size, size)) is None, size
    assert of(raw(MAX_PAGE_BYTES, MAX_PAGE_BYTES)) == (1, 3120)
    assert of(raw(21, 21), raw(22, 22)) is None  # also behind a good one


def test_more_pieces_than_can_be_numbered_are_none():
    most = [raw(MAX_PAGE_BYTES, MAX_PAGE_BYTES)] * 20  # 62,400 chunks
    rest = 65535 - 20 * 3121 - 1
    last = raw(rest * 21, rest * 21)
    assert of(*(most + [last])) == (21, 65535 - 21)
    more = raw((rest + 1) * 21, (rest + 1) * 21)
    assert of(*(most + [more])) is None


def test_index_has_at_most_its_limit_of_bytes():
    most = (MAX_INDEX_BYTES - HEAD_BYTES) // ENTRY_BYTES
    assert of(*([raw(21, 21)] * most)) == (most, most)
    assert of(*([raw(21, 21)] * (most + 1))) is None


def test_length_of_zero_means_65536():
    assert index.lengths(raw(65536, 65536), 0) == (65536, 65536, 0)
    assert index.lengths(raw(0, 5, 1), 0) == (65536, 5, 1)
    assert index.lengths(b"xx" + entry(b"abc", 9, 1), 2) == (3, 9, 1)


def test_what_can_not_be_true_of_a_chunk():
    assert index.sane(5, 5, 0) and not index.sane(5, 6, 0) and not index.sane(6, 5, 0)
    assert index.sane(5, 6, 1) and not index.sane(5, 5, 1) and not index.sane(6, 5, 1)
    assert index.sane(6, 5, 200)  # who knows
