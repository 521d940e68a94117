"""Root that writes into STORE follows the links that the network side's user has laid there. Where
the runtime can't become that user, it refuses."""

import base64
import os
import subprocess

import pytest
from interpreters import INTERPRETERS, command

CONFIG = """
config swdist 'main'
	option board 'b'
	list interface 'lo'
	option ca '{0}/ca'
	option store '{0}/store'
	option state '{0}/state'
	option run '{0}/run'
	option user 'nobody'
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="is about root")
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_injection_gives_root_up_or_refuses(interpreter, tmp_path):
    for name in ("ca", "store", "state", "run"):
        (tmp_path / name).mkdir()
    (tmp_path / "ca/network").write_text("id: 0011223344556677\n")
    (tmp_path / "ca/threshold").write_text("1\n")
    key = base64.b64encode(b"Ed" + bytes(8) + bytes.fromhex(KEY)).decode()
    (tmp_path / "ca/a.pub").write_text(f"untrusted comment: a\n{key}\n")
    (tmp_path / "config").write_text(CONFIG.format(tmp_path))
    (tmp_path / "a.swd").write_bytes(b"none")
    arguments, environment = command(interpreter)
    words = ["-m", "swdist.tool", "--config", tmp_path / "config", "inject", tmp_path / "a.swd"]
    done = subprocess.run(
        [*arguments, *words], env=environment, capture_output=True, text=True, timeout=60
    )
    refused = "can't give up root" in done.stderr
    assert done.returncode == 1 and refused == (interpreter == "micropython-noffi"), done
    assert refused or "is not a whole release file" in done.stderr, done


KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"  # RFC 8032, test 1
