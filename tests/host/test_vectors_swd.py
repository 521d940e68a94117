"""The golden vectors of the release file, read and written by the host."""

import json
from pathlib import Path

import pytest

from swdist_host import release
from swdist_host.errors import Refused

V = json.loads((Path(__file__).parent.parent / "vectors/swd.json").read_text())


@pytest.mark.parametrize("case", V["cases"], ids=lambda case: case["name"])
def test_release_file_is_read_or_refused_as_the_vectors_say(case):
    data = b"".join(bytes.fromhex(text) + bytes(zeros) for text, zeros in case["file"])
    assert len(data) == case["bytes"]
    if not case["ok"]:
        with pytest.raises(Refused):
            release.from_bytes(data)
        return
    swd = release.from_bytes(data)
    assert bool(swd.signatures) == case["signed"]
    again = release.from_bytes(release.to_bytes(swd))
    assert again == swd
    for line in swd.parsed.payloads:
        assert again.packed(line).pieces == swd.packed(line).pieces
