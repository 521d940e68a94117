"""Keys and signatures in usign's formats: one form is accepted, and no other byte for byte."""

from binascii import b2a_base64

from swdist.formats import usign

ID = bytes([0, 0x0A, 2, 3, 4, 5, 6, 0xFF])
SIGNATURE = bytes([i * 5 & 0xFF for i in range(64)])
KEY = bytes(range(32))
HEAD = b"untrusted comment: swdist release signature\n"


def block(data):
    return HEAD + b2a_base64(data)


ONE = block(b"Ed" + ID + SIGNATURE)
OTHER = block(b"Xy" + ID + b"z")  # the least: 11 bytes


def key_file(body=b"Ed" + ID + KEY, comment=b"untrusted comment: a key\n"):
    return comment + b2a_base64(body)


def test_written_block_is_read_back():
    assert usign.parse_signatures(ONE) == [(b"Ed", ID, SIGNATURE)]
    assert usign.parse_signatures(bytearray(ONE)) == [(b"Ed", ID, SIGNATURE)]
    assert usign.parse_signatures(memoryview(ONE)) == [(b"Ed", ID, SIGNATURE)]


def test_unknown_algorithms_are_given_back_in_order():
    found = usign.parse_signatures(OTHER + ONE + OTHER)
    assert found == [(b"Xy", ID, b"z"), (b"Ed", ID, SIGNATURE), (b"Xy", ID, b"z")]


def test_every_changed_byte_is_noticed():
    data = ONE + OTHER
    want = usign.parse_signatures(data)
    for at in range(len(data)):
        for value in range(256):
            if value == data[at]:
                continue
            bad = bytearray(data)
            bad[at] = value
            assert usign.parse_signatures(bad) != want, (at, value)


def test_what_is_accepted_is_written_alike():
    # Any file that is accepted is the one that its blocks would be written as: no byte is free.
    data = ONE + OTHER
    for at in range(len(data)):
        for bit in range(8):
            bad = bytearray(data)
            bad[at] ^= 1 << bit
            found = usign.parse_signatures(bad)
            if found is not None:
                assert b"".join([block(b"".join(f)) for f in found]) == bytes(bad)


def test_every_cut_and_trailing_junk_is_refused():
    data = ONE + OTHER
    for n in range(len(data)):
        assert (usign.parse_signatures(data[:n]) is None) == (n != len(ONE)), n
    for junk in (b"\n", b" ", b"\0", b"x", b"\r\n", HEAD, HEAD + b"\n", b"untrusted comment: "):
        assert usign.parse_signatures(data + junk) is None, junk
        assert usign.parse_signatures(junk + data) is None, junk


def test_other_forms_of_the_same_block_are_refused():
    line = ONE[len(HEAD) :]
    for bad in (
        ONE.replace(b"\n", b"\r\n"),
        b"untrusted comment: signed\n" + line,
        b"Untrusted comment: swdist release signature\n" + line,
        HEAD[:-1] + b" \n" + line,
        HEAD + b"\n" + line,
        HEAD + b" " + line,
        HEAD + line[:-1] + b" \n",
        HEAD + line[:40] + b"\n" + line[40:],
        HEAD + line.rstrip(b"=\n") + b"\n",
        HEAD + line[:-1] + b"====\n",
        HEAD + b"====" + line,
        line,
        HEAD,
        HEAD + b"\n",
        b"\n",
        b"",
        ONE + b"\n" + ONE,
        "\ufeff".encode() + ONE,
    ):
        assert usign.parse_signatures(bad) is None, bad


def test_base64_that_is_not_canonical_is_refused():
    for body in (b"Ed" + ID + SIGNATURE, b"Xy" + ID + b"zz", b"Xy" + ID + b"zzz"):
        line = b2a_base64(body)[:-1]
        assert usign.parse_signatures(HEAD + line + b"\n")
        pads = len(line) - len(line.rstrip(b"="))
        if pads:  # unused bits set: decodes to the same bytes in a lax decoder
            alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
            at = len(line) - pads - 1
            for more in range(1, 4 if pads == 1 else 16):
                bad = bytearray(line)
                bad[at] = alphabet[alphabet.find(line[at : at + 1]) + more]
                assert usign.parse_signatures(HEAD + bytes(bad) + b"\n") is None, more
    urlsafe = b2a_base64(b"Xy" + ID + b"\xfb\xff\xfe").replace(b"+", b"-").replace(b"/", b"_")
    assert usign.parse_signatures(HEAD + urlsafe) is None
    for odd in (b"=", b"A", b"AA", b"AAA", b"A===", b"=AAA", b"\xff\xff\xff\xff", b"AAAA\0AAA" * 2):
        assert usign.parse_signatures(HEAD + odd + b"\n") is None, odd


def test_bodies_of_a_wrong_length_are_refused():
    for n in range(11):
        assert usign.parse_signatures(block(bytes(n))) is None, n
    assert usign.parse_signatures(block(b"Xy" + bytes(9))) is not None
    for n in (0, 1, 63, 65, 128):
        assert usign.parse_signatures(block(b"Ed" + ID + bytes(n))) is None, n
    assert usign.parse_signatures(ONE + block(b"Ed" + ID + bytes(63))) is None


def test_limits_hold_to_the_byte():
    assert len(usign.parse_signatures(ONE * 16)) == 16
    assert usign.parse_signatures(ONE * 17) is None
    longest = block(b"Xy" + bytes(18430))
    assert len(longest) - len(HEAD) - 1 == 24576
    assert len(usign.parse_signatures(longest)[0][2]) == 18422
    assert usign.parse_signatures(block(b"Xy" + bytes(18433))) is None
    # Four blocks, whose lengths are 45 and a multiple of 4 each: exactly the limit, and 4 above.
    rest = 32768 - len(longest + OTHER * 2) - len(HEAD) - 1
    full = longest + OTHER * 2 + block(b"Xy" + bytes(rest // 4 * 3 - 2))
    assert len(full) == 32768 and len(usign.parse_signatures(full)) == 4
    full = longest + OTHER * 2 + block(b"Xy" + bytes(rest // 4 * 3 + 1))
    assert len(full) == 32772 and usign.parse_signatures(full) is None


def test_public_key_file_is_read_as_text_and_as_bytes():
    assert usign.parse_public_key(key_file()) == (b"Ed", ID, KEY)
    assert usign.parse_public_key(str(key_file(), "ascii")) == (b"Ed", ID, KEY)
    assert usign.parse_public_key(memoryview(key_file())) == (b"Ed", ID, KEY)
    assert usign.parse_public_key(key_file(comment=b"untrusted comment: \xc3\xa9\n")) is not None
    assert usign.parse_public_key(key_file(b"Pq" + ID + bytes(40))) == (b"Pq", ID, bytes(40))


def test_public_key_file_from_an_editor_is_taken_as_signify_takes_it():
    for end in (b"\n", b"\r\n", b"\n\n \n"):
        assert usign.parse_public_key(key_file() + end) == (b"Ed", ID, KEY)
    assert usign.parse_public_key(key_file().replace(b"\n", b"\r\n")) == (b"Ed", ID, KEY)


def test_malformed_public_key_is_refused():
    good = key_file()
    for n in range(len(good)):
        assert usign.parse_public_key(good[:n]) is None, n
    for bad in (
        good + b"more\n",
        good[:-1] + b"\r\r\r",  # signify wants an LF, too
        b"\n" + good,
        good[1:],
        key_file(comment=b"comment: x\n"),
        key_file(comment=b""),
        key_file(b"Ed" + ID + bytes(31)),
        key_file(b"Ed" + ID + bytes(33)),
        key_file(b"Ed" + ID),
        ONE,  # a signature is no key
        good + good,
    ):
        assert usign.parse_public_key(bad) is None, bad
