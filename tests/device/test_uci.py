from swdist import uci


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
    assert one("option user ''") == {"user": ""}
    assert one("option a 'it'\"'\"'s'") == {"a": "it's"}


def test_lists_grow_and_options_replace():
    parsed, _ = uci.parse(
        "package swdist\nconfig swdist\n list i 'a'\n list i b\n option x 1\n option x 2\n"
        "config other\n option y 3\nconfig swdist\n list i c\n"
    )
    assert parsed == {"swdist": {"i": ["a", "b", "c"], "x": "2"}, "other": {"y": "3"}}


def test_comments_and_empty_lines():
    assert one("# a comment\n\n  # another 'one\noption a b#c # d\r") == {"a": "b#c"}
    assert uci.parse("") == ({}, None)


def test_errors_name_the_line():
    assert wrong("config swdist\noption a 'b").startswith("line 2: ")
    assert wrong("config a\n\noptoin a b\n").startswith("line 3: 'optoin'")
    assert wrong("option a b\n").startswith("line 1: ")
    assert wrong("config a\noption a\n").startswith("line 2: ")
    assert wrong("config a\noption a b c\n").startswith("line 2: ")
    assert wrong("config\n").startswith("line 1: ")
    assert wrong("config a\noption 'b/c' d\n").startswith("line 2: ")


def test_size_is_bounded():
    assert uci.parse("#" * uci.MAX_BYTES)[1] is None
    wrong("#" * (uci.MAX_BYTES + 1))
    wrong("\n" * uci.MAX_LINES)
    wrong("config a\n" * (uci.MAX_SECTIONS + 1))
    wrong("config a\n" + "list a b\n" * (uci.MAX_LIST + 1))
    wrong("config a\noption a " + "b" * (uci.MAX_VALUE + 1))
    wrong("config a\n" + "\n".join(["option a%d b" % i for i in range(uci.MAX_OPTIONS + 1)]))
