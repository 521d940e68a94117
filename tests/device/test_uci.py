from swdist.formats import uci


def one(line):
    parsed, why = uci.parse("config swdist 'main'\n" + line + "\n")
    assert why is None, why
    return parsed["swdist"]


def wrong(text):
    parsed, why = uci.parse(text)
    assert parsed is None
    return why


def test_the_three_ways_to_quote_a_value():
    assert one("\toption store '/a b'") == {"store": "/a b"}
    assert one('\toption store "/a \\"b"') == {"store": '/a "b'}
    assert one("\toption store /a\\ b") == {"store": "/a b"}
    assert one("option a 'it'\"'\"'s'") == {"a": "it's"}


def test_lists_grow_and_options_replace():
    parsed, _ = uci.parse(
        "package swdist\nconfig swdist\n list i 'a'\n list i b\n option x 1\n option x 2\n"
        "config other\n option y 3\nconfig swdist\n list i c\n"
    )
    assert parsed == {"swdist": {"i": ["a", "b", "c"], "x": "2"}, "other": {"y": "3"}}


def test_comments_and_empty_lines():
    assert one("# a comment\n\n  # another 'one\noption a b\\#c # d\r") == {"a": "b#c"}
    assert uci.parse("") == ({}, None)


def test_errors_name_the_line():
    assert wrong("config swdist\noption a 'b").startswith("line 2: ")
    assert wrong("config a\n\noptoin a b\n").startswith("line 3: 'optoin'")
    assert wrong("option a b\n").startswith("line 1: ")
    assert wrong("config a\noption\n").startswith("line 2: ")
    assert wrong("config a\noption a 'b\n\n'\n\noption").startswith("line 6: ")
    assert wrong("config a\n'option' a b").startswith("line 2: ''option'' is not")
    assert wrong("config a\noption a b c\n").startswith("line 2: ")
    assert wrong("config\n").startswith("line 1: ")
    assert wrong("config a\noption 'b/c' d\n").startswith("line 2: ")


def test_size_is_bounded():
    assert uci.parse("#" * uci.MAX_BYTES)[1] is None
    wrong("#" * (uci.MAX_BYTES + 1))
    assert uci.parse("\n" * uci.MAX_BYTES) == ({}, None)
    wrong("'" * (uci.MAX_BYTES - 1))
    wrong("config a\noption a '" + "b" * (uci.MAX_BYTES - 32))
    wrong("config a\n" * (uci.MAX_SECTIONS + 1))
    wrong("config a\n" + "list a b\n" * (uci.MAX_LIST + 1))
    wrong("config a\noption a " + "b" * (uci.MAX_VALUE + 1))
    wrong("config a\n" + "\n".join(["option a%d b" % i for i in range(uci.MAX_OPTIONS + 1)]))


def section(**options):
    return {"swdist": options}


# What libuci makes of a file: the text behind `config swdist`, and what is in that section then.
LIBUCI = (
    ("trailing comment", "option a 'x' # note\n", section(a="x")),
    ("comment behind a value", "option a x#y\n", section(a="x")),
    ("comment behind quotes", "option a 'x'#y; option b z\n", section(a="x")),
    ("command behind a plain word is lost", "option a x; option b y\n", section(a="x")),
    ("command behind quotes", "option a 'x';option b y\n", section(a="x", b="y")),
    ("command behind a space", "option a x ; list b y\n", section(a="x", b=["y"])),
    ("semicolon in the place of a value", "option a ; option b y\n", None),
    ("two semicolons", "option a 'x';; option b y\n", None),
    ("newline in quotes", "option a 'one\ntwo'\n", section(a="one\ntwo")),
    ("newline in double quotes", 'option a "one\ntwo"\n', section(a="one\ntwo")),
    ("backslash newline", "option a one\\\ntwo\n", section(a="onetwo")),
    ("backslash newline, CRLF", "option a one\\\r\ntwo\r\n", section(a="onetwo")),
    ("backslash newline in double quotes", 'option a "one\\\ntwo"\n', section(a="onetwo")),
    ("backslash newline in quotes", "option a 'one\\\ntwo'\n", section(a="one\\\ntwo")),
    ("backslash at the end", "option a x\\", section(a="x")),
    ("empty value", "option a ''\noption b x\n", section(b="x")),
    ("empty value behind another", "option a x\noption a ''\n", section(a="x")),
    ("no value", "option a\n", section()),
    ("empty value of a list", "list a\nlist a ''\n", section(a=["", ""])),
    ("form feed", "\foption\ta\fx\v\n", section(a="x")),
    ("pieces of a word", "option a 'o'\"n\"e\\ t'w'o\n", section(a="one two")),
    ("list, then option", "list a x\noption a y\n", section(a="y")),
    ("option, then list", "option a x\nlist a y\n", section(a=["x", "y"])),
    ("first letters", "o a x\nl b y\nc swdist\no c z\n", section(a="x", b=["y"], c="z")),
    ("long value", "option a '" + "v" * 1500 + "'\n", section(a="v" * 1500)),
    (
        "long list",
        "".join(["list a v%d\n" % i for i in range(70)]),
        section(a=["v%d" % i for i in range(70)]),
    ),
    ("- in the name of an option", "option a-b x\n", None),
    ("- in the name of a list", "list a-b x\n", None),
    (". in the name of an option", "option a.b x\n", None),
    ("- in the name of a section", "config swdist 'na-me'\n", None),
    ("- in a type", "config a-b\n", {"swdist": {}, "a-b": {}}),
    ("space in a type", "config 'a b'\n", None),
    ("quoted config", "'config' swdist\n", None),
    ("quoted option", "'option' a x\n", None),
    ("escaped option", "opt\\ion a x\n", None),
    ("one name, two types", "config swdist 'm'\nconfig other 'm'\n", None),
    ("one name, one type", "config swdist 'm'\noption a x\nconfig swdist m\n", section(a="x")),
    ("quote that is not closed", "option a 'x\n\n", None),
    ("two values", "option a x y\n", None),
)


def test_a_file_is_read_as_libuci_reads_it():
    for name, text, expected in LIBUCI:
        parsed, why = uci.parse("config swdist\n" + text)
        assert parsed == expected, (name, parsed, why)
