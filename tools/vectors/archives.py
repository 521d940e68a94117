"""Archives that are unpacked (docs/protocol.md, section 2.7): what comes of them, and each way in
which one is refused."""

from vectors.swd import BLOCK, END, member, runs

MOST_BYTES = 2000  # SIZE of the payload that they are


def file(name, data=b"x", **fields):
    return member(name, data, **fields)


def folder(name, **fields):
    return member(name, b"", kind=b"5", **({"mode": b"0000755\0"} | fields))


def good_cases():
    run = {"mode": b"0000755\0"}
    around = ("a", 511), ("b", 512), ("c", 513)
    above = ["d/" * n for n in range(1, 32)]
    long = "q" * 154, "n" * 100
    return [
        ("a file", file("a"), {"a": "x"}),
        ("a file of no byte", file("a", b""), {"a": ""}),
        ("files around a block", b"".join(file(n, n.encode() * size) for n, size in around),
         {n: n * size for n, size in around}),
        ("a file that its owner may execute", file("a", **run), {"a*": "x"}),
        ("a file that others may execute", file("a", mode=b"0000655\0"), {"a": "x"}),
        ("mode of one digit", file("a", mode=b"7\0"), {"a": "x"}),
        ("mode of no digit", file("a", mode=bytes(8)), {"a": "x"}),
        ("folders that no header names", file("a/b/c"), {"a/": "", "a/b/": "", "a/b/c": "x"}),
        ("a folder", folder("a"), {"a/": ""}),
        ("a folder with its slash", folder("a/"), {"a/": ""}),
        ("a folder twice", folder("a") + file("a/b") + folder("a/"), {"a/": "", "a/b": "x"}),
        ("type NUL", file("a", kind=b"\0"), {"a": "x"}),
        ("prefix", file("b", prefix="a"), {"a/": "", "a/b": "x"}),
        ("name of 255 bytes", file(long[1], prefix=long[0]),
         {long[0] + "/": "", "/".join(long): "x"}),
        ("a folder of 255 bytes and its slash",
         folder("n" * 99 + "/", prefix="q" * 155),
         {"q" * 155 + "/": "", "q" * 155 + "/" + "n" * 99 + "/": ""}),
        ("bytes behind a name's NUL", file("a\0../b"), {"a": "x"}),
        ("bytes behind a prefix's NUL", file("b", prefix="a\0/.."), {"a/": "", "a/b": "x"}),
        ("32 parts", file(above[-1] + "f"), dict.fromkeys(above, "") | {above[-1] + "f": "x"}),
        ("odd characters", file("a b~!\"'$*|"), {"a b~!\"'$*|": "x"}),
        ("three dots", file(".../..a"), {".../": "", ".../..a": "x"}),
        ("zeros behind its end", file("a") + bytes(20 * BLOCK), {"a": "x"}),
        ("other metadata", file("a", owner=b"0001750\0" * 2, time=b"14000000000\0", names=b"root"),
         {"a": "x"}),
        ("bytes that fill a block", file("a", fill=b"y"), {"a": "x"}),
        ("as many bytes as SIZE", file("a", b"a" * 1999) + file("b"), {"a": "a" * 1999, "b": "x"}),
        ("nothing in it", b"", {}),
    ]  # fmt: skip


def bad_cases():
    good = file("a")
    return [
        ("no byte", b""),
        ("no end", good),
        ("one block of zeros at its end", good + bytes(BLOCK)),
        ("cut in a header", good[:100]),
        ("cut in a file", good[: BLOCK + 1]),
        ("a block behind its end", good + END + b"x" * BLOCK),
        ("another archive behind its end", good + END + good + END),
        ("half a block behind its end", good + END + bytes(BLOCK // 2)),
        ("magic of GNU tar", file("a", magic=b"ustar  \0") + END),
        ("no magic", file("a", magic=bytes(8)) + END),
        ("checksum off by one", file("a", off=1) + END),
        ("checksum in hex", file("a", checksum=b"%06x\0 ") + END),
        ("size in base 256", file("a", size=b"\x80" + bytes(10) + b"\1") + END),
        ("size with a space before", file("a", size=b" 0000000001\0") + END),
        ("size of an 8", file("a", b"x" * 8, size=b"00000000008\0") + END),
        ("mode with a letter", file("a", mode=b"00006x4\0") + END),
        ("set-user-id", file("a", mode=b"0004755\0") + END),
        ("set-group-id", file("a", mode=b"0002755\0") + END),
        ("sticky", folder("a", mode=b"0001755\0") + END),
        *((f"type {kind}", file("a", b"", kind=kind.encode()) + END) for kind in "123467xgLKS"),
        ("a folder with a size", member("a", b"x", kind=b"5") + END),
        ("no name", file("") + END),
        ("name of a slash", folder("/") + END),
        ("absolute name", file("/a") + END),
        ("name that ends in a slash", file("a/") + END),
        ("two slashes", file("a//b") + END),
        ("a dot", file("./a") + END),
        ("two dots", file("../a") + END),
        ("two dots within", file("a/../b") + END),
        ("two dots in the prefix", file("b", prefix="..") + END),
        ("backslash", file("a\\b") + END),
        ("a control character", file("a\nb") + END),
        ("DEL", file("a\x7f") + END),
        ("not ASCII", file("\u00e4") + END),
        ("name of 256 bytes", file("n" * 100, prefix="q" * 155) + END),
        ("33 parts", file("/".join(["d"] * 32) + "/f") + END),
        ("a file twice", good + good + END),
        ("a file, then a folder", good + folder("a") + END),
        ("a folder, then a file", folder("a") + good + END),
        ("a folder made for a file, then a file", file("a/b") + good + END),
        ("below a file", good + file("a/b") + END),
        ("more bytes than SIZE", file("a", b"a" * 1999) + file("b", b"xy") + END),
    ]  # fmt: skip


def archives():
    """tree: what is there, folders with a slash behind their names, and files that are made with
    mode 0755 with a star; None: it is refused."""
    cases = [(n, d + END, tree) for n, d, tree in good_cases()]
    cases += [(n, d, None) for n, d in bad_cases()]
    assert len({n for n, _, _ in cases}) == len(cases)
    return {
        "section": "2.7",
        "max_bytes": MOST_BYTES,
        "cases": [{"name": n, "file": runs(d), "tree": tree} for n, d, tree in cases],
    }
