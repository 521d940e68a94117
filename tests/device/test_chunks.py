"""What the switch side unpacks: verified again, chunk by chunk, and as a whole."""

from made import CHUNK, LETTERS, ZEROS, Made, packed, parsed
from wired import FS, Folder

from swdist.crypto.ucryptolib import sha256
from swdist.storage.chunks import Chunks

A, B = b"a" * CHUNK, b"b" * 100
MIXED = [(A, A, 0)] + packed(bytes(4096), ZEROS) + packed(b"a" * 65536, LETTERS) + [(B, B, 0)]


def read(folder, made, line=None, payload=None, change=None):
    """(all that comes out, why not)."""
    path = made.write(FS, folder, payload)
    if change is not None:
        change(path)
    c = Chunks(FS, path, parsed(lines=[line or made.line()]).payloads[0])
    found = b""
    while True:
        try:
            why = c.step()
        except OSError as e:
            why = e
        if why is not None or c.view is None:
            return found, why
        found += bytes(c.view)


def test_all_comes_out_in_order_packed_or_not():
    with Folder() as folder:
        for per_page in (1, 2, 64):
            made = Made(MIXED, per_page=per_page)
            assert read(folder, made) == (made.data, None)


def test_largest_chunk_and_the_smallest():
    with Folder() as folder:
        made = Made(bytes(65536) + b"x", size=65536)
        assert read(folder, made) == (made.data, None)


def test_what_does_not_hold_in_the_store_is_a_fault_of_the_disk():
    def put(name, data):
        return lambda path: FS.write_atomic(path + name, data)

    with Folder() as folder:
        made = Made(MIXED, per_page=2)
        other = Made(b"other")
        pages = b"".join(made.pages)
        data = b"".join(made.chunks)
        for change, n in (
            (put("/index", other.index), 0),
            (put("/index", made.index[:-1]), 0),
            (put("/index", b""), 0),
            (put("/index", bytes(40000)), 0),
            (lambda path: FS.remove(path + "/index"), 0),
            (put("/pages", pages[:-1]), 2),
            (put("/pages", b"x" + pages[1:]), 0),
            (put("/pages", pages[:50] + b"x" + pages[51:]), 2),
            (put("/payload", data[:-1]), 3),
            (put("/payload", b""), 0),
            (put("/payload", data[:CHUNK] + b"x" + data[CHUNK + 1 :]), 1),
        ):
            found, why = read(folder, made, change=change)
            assert isinstance(why, OSError), why
            assert found == b"".join([c[1] for c in MIXED[:n]]), why
        for name in ("/pages", "/payload"):
            why = read(folder, made, change=lambda path, name=name: FS.remove(path + name))[1]
            assert isinstance(why, OSError), why


def test_what_the_ca_has_signed_and_can_not_be_is_its_fault():
    stored, size = ZEROS, bytes(4096)
    with Folder() as folder:
        for chunks, why in (
            ([(stored, size, 2)], "encoding 2"),
            ([(stored, size, 255)], "encoding 255"),
            ([(A, A[:-1], 0)], "not what the manifest says"),
            ([(A, A, 1)], "not what the manifest says"),
            ([(stored[:-1], size, 1)], "does not inflate"),
            ([(stored + b"x", size, 1)], "does not inflate"),
            ([(stored, size[:-1], 1)], "does not inflate"),
            ([(stored, size + b"x", 1)], "does not inflate"),
            ([(b"garbage", size, 1)], "does not inflate"),
        ):
            made = Made(chunks)
            line = made.line() if made.stored <= len(made.data) else None
            if line is None:
                line = "slot 4096 4096 %s any" % made.line().split(" ")[3]
            found, said = read(folder, made, line)
            assert said.startswith("archive: ") and why in said, (why, said)
            assert found == b""


def test_sizes_other_than_the_manifest_s_are_refused_and_never_exceeded():
    with Folder() as folder:
        made = Made(A + B)
        pid = made.line().split(" ")[3]
        for size, stored, n in (
            (CHUNK + 101, CHUNK + 100, 2), (CHUNK + 99, CHUNK + 99, 1), (CHUNK, CHUNK, 1),
            (9, 9, 0),
            (CHUNK + 100, CHUNK + 99, 2),
        ):  # fmt: skip
            found, why = read(folder, made, "slot %d %d %s any" % (size, stored, pid))
            assert why == "archive: its pages are not what the manifest says"
            assert found == b"".join(made.chunks[:n]), size


def test_digest_of_all_of_it_is_checked_before_the_end_is_said():
    with Folder() as folder:
        made = Made(MIXED, whole=bytes(32))
        assert read(folder, made) == (made.data, "archive: its digest is not the index's")


def test_index_that_is_none_is_refused():
    with Folder() as folder:
        made = Made(A)
        made.index = made.index[:-1] + b"\1"  # a packed page
        made.pid = sha256(made.index)
        assert read(folder, made) == (b"", "archive: its index is none")
