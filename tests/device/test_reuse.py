"""Pieces that another payload has are taken from there, and not fetched."""

from made import CHUNK, LETTERS, Made, fill, packed
from test_store import Box, add, content, reuse, spoil

from swdist.storage import reuse as machine

A, B, C, D = [bytes([65 + i]) * CHUNK for i in range(4)]
OLD = Made(A + B + b"end")


def holding(box, old, new, upto=None):
    """A store that holds `old` and the pages of `new`. The Held of new."""
    add(box.store, "1.0.0", lines=[old])
    fill(box.store, old)
    add(box.store, "1.1.0", lines=[new])
    return fill(box.store, new, len(new.pages) if upto is None else upto)


def settle(store, h):
    """All steps until it is known where the next pieces are; nothing is to be taken."""
    while True:
        more, taken = store.reuse()
        assert not taken
        if not more:
            return


def gap(store, h, n, most=64, most_bytes=1 << 16):
    payloads = store.payloads
    return machine.gap(payloads, h, n, payloads.lengths(h, n, most), most_bytes)


def test_chunks_that_another_payload_has_are_taken_from_there_in_any_order():
    new = Made(B + A + C)
    with Box() as b:
        h = holding(b, OLD, new, 0)
        assert not reuse(b.store)  # without its pages nothing is known
        fill(b.store, new, 1)
        assert reuse(b.store) and h.held == 3
        assert b.store.put(h, memoryview(C)) == (CHUNK, None) and h.complete()
        assert content(b.again(), new.name("2")) == A


def test_only_what_nobody_here_has_is_to_be_fetched():
    new = Made(C + D + A + B + C)
    with Box() as b:
        h = holding(b, OLD, new)
        payloads = b.store.payloads
        assert machine.alone(payloads, h, 1) is None  # not known yet
        settle(b.store, h)
        assert [machine.alone(payloads, h, n) for n in range(1, 7)] == [1, 2, 5, 5, 5, None]
        assert gap(b.store, h, 1) == 2 and gap(b.store, h, 1, 1) == 1
        assert gap(b.store, h, 1, 64, CHUNK) == 1 and gap(b.store, h, 1, 64, CHUNK + 1) == 2
        assert gap(b.store, h, 3) == 0 and gap(b.store, h, 5) == 1
        assert b.store.put(h, memoryview(C + D)) == (2 * CHUNK, None)
        assert reuse(b.store) and h.held == 5


def test_few_bytes_that_are_here_do_not_end_a_run():
    data = [b"%016d" % i for i in range(120)]
    old = Made(b"".join(data), size=16)
    data[0] = data[30] = data[70] = b"x" * 16
    new = Made(b"".join(data), size=16, per_page=120)
    with Box() as b:
        h = holding(b, old, new)
        settle(b.store, h)
        payloads = b.store.payloads
        assert [machine.alone(payloads, h, n) for n in (1, 2, 32, 72)] == [1, 31, 71, None]
        assert gap(b.store, h, 1) == 31  # over 464 bytes that are here; 624 are too many
        assert machine.gap(payloads, h, 1, [16] * 120, 1 << 16) == 31
        assert machine.gap(payloads, h, 1, [16] + [18] * 119, 1 << 16) == 1


def test_payload_with_the_same_chunks_moves_nothing_also_not_the_same_pages():
    old = Made(A + B + C + b"end", per_page=2)
    new = Made(A + B + D + b"end", per_page=2)
    with Box() as b:
        h = holding(b, old, new, 0)
        assert reuse(b.store) and h.held == 1  # the first page
        assert b.store.put(h, memoryview(new.pages[1])) == (42, None)
        assert reuse(b.store) and h.held == 4
        assert b.store.put(h, memoryview(D)) == (CHUNK, None)
        assert reuse(b.store) and h.complete()


def test_packed_chunks_are_taken_as_they_are():
    zeros = packed(b"a" * 65536, LETTERS)
    old, new = Made(zeros + [(A, A, 0)]), Made([(B, B, 0)] + zeros)
    with Box() as b:
        h = holding(b, old, new, 2)
        assert reuse(b.store) and h.complete()
        assert b.fs.read(b.dir(new) + "/payload", 99999) == B + LETTERS


def test_chunk_larger_than_the_buffer_is_taken_too():
    large = b"x" * 65536
    old, new = Made(large + A, size=65536), Made(large + large + B, size=65536)
    with Box(quota=1 << 20) as b:
        h = holding(b, old, new)
        assert reuse(b.store) and h.held == 3
        settle(b.store, h)
        assert gap(b.store, h, 3) == 1


def test_each_entry_of_others_is_read_once_for_many_pieces():
    new = Made(bytes([i // 16 % 256 for i in range(16 * 200)]), size=16)
    old = Made(b"".join([b"%016d" % i for i in range(300)]), size=16)
    with Box() as b:
        h = holding(b, old, new, 0)
        fill(b.store, new, len(new.pages))
        read = []
        true = b.store.payloads.entries
        b.store.payloads.entries = lambda x, n, count: (read.append(x.pid), true(x, n, count))[1]
        settle(b.store, h)
        for n in range(4, 12):
            assert b.store.put(h, memoryview(new.pieces[n])) == (16, None)
            settle(b.store, h)
        assert 5 <= read.count(old.pid) <= 6  # of 64 entries each
        assert read.count(new.pid) <= 4 + 2 * 9


def test_more_pieces_than_are_looked_for_at_once_are_found_nevertheless():
    count = machine.SEGMENT * 2 + 10
    data = b"".join([b"%016d" % i for i in range(count)])
    old, new = Made(data, size=16), Made(data[16:] + b"x", size=16, per_page=50)
    with Box() as b:
        h = holding(b, old, new, 0)
        fill(b.store, new, len(new.pages))
        assert reuse(b.store) and h.held == h.total - 1
        settle(b.store, h)
        assert gap(b.store, h, h.held) == 1


def test_spoilt_twin_is_not_taken_and_the_piece_is_fetched():
    new = Made(A + B + C)
    for how in ("changed", "short", "gone", "pages"):
        with Box() as b:
            h = holding(b, OLD, new)
            path = b.dir(OLD) + "/payload"
            if how == "changed":
                spoil(path, 7)
            elif how == "short":
                b.fs.write_atomic(path, A[:-1])
            elif how == "gone":
                b.fs.remove(path)
            else:
                b.fs.remove(b.dir(OLD) + "/pages")
            assert not reuse(b.store) and h.held == 1, how
            assert gap(b.store, h, 1, 1) == 1, how
            assert b.store.put(h, memoryview(A)) == (CHUNK, None)
            assert reuse(b.store) == (how == "changed"), how
            fill(b.store, new)
            assert h.complete()


def test_other_payload_that_goes_meanwhile_is_none():
    new = Made(A + B + C)
    with Box() as b:
        h = holding(b, OLD, new)
        while machine.step(b.store.payloads, h):
            pass
        b.store.payloads.forget(b.store.held(OLD.pid))
        assert not reuse(b.store) and h.held == 1
        assert gap(b.store, h, 1) == 3


def test_last_chunk_of_another_length_is_no_match_and_the_same_one_is():
    new = Made(C + b"end")
    with Box() as b:
        h = holding(b, OLD, new)
        settle(b.store, h)
        assert gap(b.store, h, 1) == 1
        assert b.store.put(h, memoryview(C)) == (CHUNK, None)
        assert reuse(b.store) and h.complete()
