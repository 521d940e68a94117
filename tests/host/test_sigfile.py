"""Blocks of signatures, out of files of signify and usign."""

from swdist.formats import usign
from swdist_host import sigfile

ID = bytes([0, 0x0A, 2, 3, 4, 5, 6, 0xFF])
SIGNATURE = bytes([i * 5 & 0xFF for i in range(64)])
ONE = sigfile.block(b"Ed", ID, SIGNATURE)


def test_file_with_any_comment_becomes_our_block():
    line = ONE[len(usign.CANONICAL) :]
    for comment in (b"verify with key.pub", b"signed by key a0203040506ff", b"", b"\xff\xfe"):
        text = b"untrusted comment: " + comment + b"\n" + line
        assert sigfile.read(text) == ONE, comment
    for taken in (ONE + b"\n", ONE.replace(b"\n", b"\r\n"), ONE + b"\r\n\n"):
        assert sigfile.read(taken) == ONE, taken  # signify does
    assert usign.parse_signatures(sigfile.read(ONE)) == [(b"Ed", ID, SIGNATURE)]
    for bad in (b"", line, ONE + ONE, ONE[:-1], ONE + b"text\n", usign.CANONICAL + b"\n"):
        assert sigfile.read(bad) is None, bad


def test_fingerprint_is_the_key_id_as_a_big_endian_number():
    assert sigfile.fingerprint(ID) == "000a0203040506ff"
