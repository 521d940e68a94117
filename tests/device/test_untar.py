"""Hostile and odd archives: each is refused, and nothing outside of the slot is touched."""

from swdist.formats import untar
from swdist.formats.untar import Untar

END = bytes(1024)


def head(name, size=0, kind=b"0", mode=b"0000644\0", prefix=b"", magic=b"ustar\x0000", link=b""):
    """A ustar header, made by hand and with a true checksum."""
    h = bytearray(512)
    h[0 : len(name)] = name
    h[100:108] = mode
    h[124:136] = size if isinstance(size, bytes) else b"%011o\0" % size
    h[156:157] = kind
    h[157 : 157 + len(link)] = link
    h[257:265] = magic
    h[345 : 345 + len(prefix)] = prefix
    h[148:156] = b" " * 8
    h[148:156] = b"%06o\0 " % sum(h)
    return bytes(h)


def file(name, data=b"x", **more):
    return head(name, len(data), **more) + data + bytes(-len(data) % 512)


def folder(name):
    return head(name, kind=b"5", mode=b"0000755\0")


class Memory:
    """Files in memory. Each path that is written is kept in `touched`."""

    def __init__(self):
        self.dirs = {"/slot"}
        self.files = {}
        self.modes = {}
        self.touched = []
        self.open_files = 0
        self.full = False

    def size(self, path):
        if path in self.files:
            return len(self.files[path])
        return 0 if path in self.dirs else None

    def is_dir(self, path):
        return path in self.dirs

    def mkdirs(self, path):
        self.touched.append(path)
        parts = path.split("/")
        for n in range(2, len(parts) + 1):
            self.dirs.add("/".join(parts[:n]))

    def open(self, path, mode):
        self.touched.append(path)
        self.files[path] = b""
        self.open_files += 1
        return Sink(self, path)

    def sync(self, f):
        pass

    def chmod(self, path, mode):
        self.modes[path] = mode


class Sink:
    def __init__(self, fs, path):
        self.fs = fs
        self.path = path

    def write(self, view):
        if self.fs.full:
            raise OSError(28)
        self.fs.files[self.path] += bytes(view)

    def close(self):
        self.fs.open_files -= 1


def unpack(archive, piece=1 << 20, max_bytes=None):
    """(why it is refused or None, the file system)."""
    fs = Memory()
    u = Untar(fs, "/slot", len(archive) if max_bytes is None else max_bytes)
    view = memoryview(archive)
    why = None
    for at in range(0, len(archive), piece):
        why = u.feed(view[at : at + piece])
        if why is not None:
            break
    else:
        why = u.end()
    u.close()
    assert fs.open_files == 0
    for path in fs.touched:
        assert (path + "/").startswith("/slot/") and "/../" not in path + "/", path
    return why, fs


def refused(archive, word):
    why, _ = unpack(archive + END)
    assert why is not None and why.startswith("archive: ") and word in why, (word, why)


def test_good_archive_is_unpacked_alike_in_pieces_of_any_size():
    archive = (
        folder(b"d/") + file(b"d/a", b"a" * 1000) + file(b"e/f/g", b"") + file(b"h", b"h" * 512)
    )
    for piece in (1, 7, 511, 512, 513, 4096):
        why, fs = unpack(archive + END, piece)
        assert why is None
        assert fs.files == {
            "/slot/d/a": b"a" * 1000, "/slot/e/f/g": b"", "/slot/h": b"h" * 512,
        }  # fmt: skip


def test_only_the_owners_execute_bit_counts_and_set_id_bits_are_refused():
    _, fs = unpack(file(b"a", mode=b"0000755\0") + file(b"b", mode=b"0000677\0") + END)
    assert fs.modes == {"/slot/a": 0o755}
    for mode in (b"0004755\0", b"0002755\0", b"0001644\0", b"0006644\0"):
        refused(file(b"a", mode=mode), "set-id")


def test_names_that_lead_out_or_are_ambiguous_are_refused():
    for name in (b"/a", b"../a", b"a/../b", b"a/..", b"..", b".", b"./a", b"a/./b", b"a//b", b"a/"):
        refused(file(name), "part")
        if not name.endswith(b"/"):
            refused(folder(name), "part")
    refused(file(b"a", prefix=b".."), "part")
    refused(file(b"a", prefix=b"/etc"), "part")
    refused(file(b"../a", prefix=b"ok"), "part")
    refused(file(b""), "0 bytes")
    for c in (0x01, 0x0A, 0x1F, 0x5C, 0x7F, 0x80, 0xFF):
        refused(file(b"a" + bytes([c]) + b"b"), "byte")


def test_names_are_bounded_in_length_and_depth():
    assert unpack(file(b"n" * 100, prefix=b"p" * 154) + END)[0] is None
    refused(file(b"n" * 100, prefix=b"p" * 155), "256 bytes")
    deepest = b"/".join([b"d"] * untar.MAX_PARTS)
    assert unpack(file(deepest) + END)[0] is None
    refused(file(b"d/" + deepest), "parts")


def test_links_devices_and_extensions_are_refused():
    for kind in b"12346789gxLKSAVXD":
        refused(head(b"a", kind=bytes([kind]), link=b"/etc/passwd"), "type")


def test_a_name_twice_or_below_a_file_is_refused():
    refused(file(b"a") + file(b"a"), "taken")
    refused(file(b"a") + file(b"a/b"), "taken")
    refused(file(b"a") + file(b"a/b/c/d"), "taken")
    refused(file(b"a") + folder(b"a/"), "taken")
    refused(folder(b"a/") + file(b"a"), "taken")
    refused(file(b"a/b") + file(b"a"), "taken")
    refused(file(b"a") + folder(b"a/b"), "taken")


def test_files_are_bounded_in_number_and_in_all_by_the_archives_size():
    one = file(b"a", b"x" * 512)
    assert unpack(one + END, max_bytes=512)[0] is None
    why, fs = unpack(one + END, max_bytes=511)
    assert "larger" in why and fs.files == {}
    refused(head(b"a", 0o77777777777), "larger")
    keep = untar.MAX_ENTRIES
    untar.MAX_ENTRIES = 3
    try:
        assert unpack(file(b"a") + file(b"b") + file(b"c") + END)[0] is None
        refused(file(b"a") + file(b"b") + folder(b"c") + folder(b"d"), "entries")
    finally:
        untar.MAX_ENTRIES = keep


def test_numbers_that_are_not_octal_are_refused():
    refused(head(b"a", b"0000000000 9"), "octal")
    refused(head(b"a", b"\x80" + bytes(10) + b"\x01"), "octal")  # base 256, GNU
    refused(head(b"a", b"-0000000001\0"), "octal")
    refused(head(b"a", b"      00001\0"), "octal")
    refused(file(b"a", mode=b"0x1ff\0\0\0"), "octal")
    refused(head(b"a/", 5, kind=b"5"), "directory has a size")


def test_other_tar_formats_are_refused():
    for magic in (b"ustar  \0", bytes(8), b"ustar\x0001", b"ustar\x00\0\0", b"USTAR\x0000"):
        refused(file(b"a", magic=magic), "not ustar")


def test_each_flipped_bit_of_a_header_is_refused():
    good = file(b"a/b", b"hello") + END
    assert unpack(good)[0] is None
    for at in range(512):
        bad = bytearray(good)
        bad[at] ^= 1 << at % 8
        why, _ = unpack(bytes(bad))
        # The checksum field's own unused ends are the only bits that mean nothing.
        assert why is not None or at in (154, 155), at


def test_archive_must_end_exactly():
    good = folder(b"d/") + file(b"d/a", b"x" * 700)
    for n in list(range(1, len(good), 97)) + [len(good)]:
        assert unpack(good[:n])[0] is not None, n
    assert unpack(good + bytes(512))[0] is not None  # one block of zeros is no end
    assert unpack(good + END)[0] is None
    assert unpack(good + END + bytes(8192))[0] is None  # padded to a record, as tar does
    assert unpack(good + END + bytes(511))[0] is not None
    assert unpack(b"")[0] is not None
    refused(good + END + file(b"late"), "end")
    refused(good + bytes(512) + file(b"late"), "end")


def test_fault_of_the_disk_is_not_the_archives():
    fs = Memory()
    fs.full = True
    u = Untar(fs, "/slot", 5000)
    try:
        why = u.feed(memoryview(file(b"a") + END))
    except OSError:
        why = "OSError"
    u.close()
    assert why == "OSError" and fs.open_files == 0
