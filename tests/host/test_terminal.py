"""What strangers wrote is shown, and not obeyed by the terminal."""

import pytest

from swdist_host import release, terminal
from swdist_host.amounts import count
from swdist_host.errors import BadValue
from swdist_host.listen import Listener


def test_control_characters_are_shown_as_escapes(capsys):
    terminal.say("ok \x1b[2Jgone\rverified\u202e\x9b31m\nnext line, \u00fc")
    terminal.note("\x07")
    said = capsys.readouterr()
    assert said.out == "ok \\x1b[2Jgone\\rverified\\u202e\\x9b31m\nnext line, \u00fc\n"
    assert said.err == "swdist: \\x07\n"


@pytest.mark.parametrize("text", ("two\nlines", "two\n!critical: x", "f\u00fcr", "\x1b[2J", "\x7f"))
def test_a_description_is_one_line_of_ascii_or_refused(text):
    source = release.Source("slot", (), b"x")
    with pytest.raises(BadValue, match="one line of printable ASCII"):
        release.build(b"networkA", "1.1.0", 2_000_000_000, (source,), description=text)


@pytest.mark.parametrize(
    "what",
    (
        {"groups": ("a\n!critical: x",), "end_s": 2_000_000_009},
        {"payloads": (release.Source("slot", ("a\n!critical: x",), b"x"),)},
        {"payloads": (release.Source("slot 1\r", (), b"x"),)},
        {"version": "1.1.0\nWithdrawn: yes"},
    ),
)
def test_a_line_break_in_a_value_begins_no_line_of_a_manifest(what):
    what = {"version": "1.1.0", "payloads": (release.Source("slot", (), b"x"),), **what}
    with pytest.raises(BadValue, match="there is a control character in its value"):
        release.build(b"networkA", start_s=2_000_000_000, **what)


def test_networks_that_somebody_invents_are_forgotten():
    listener = Listener([], None)
    sent = []
    listener._link.broadcast = sent.append
    for i in range(100):
        listener._greet(i.to_bytes(8, "big"))
    assert len(listener._writers) == 4 and len(sent) == 2 * 4  # a query and a beacon for each
    listener._forget()
    assert listener._writers == {}
    listener.close()


def test_things_are_counted_as_people_say_it():
    told = [count(n, "link") for n in (0, 1, 2, 1234)]
    assert told == ["0 links", "1 link", "2 links", "1,234 links"]
