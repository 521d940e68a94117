"""Flash that the network side's user has filled to the last byte, and goes on filling: a tmpfs of a
namespace of its own. Root's side goes back to what was confirmed all the same."""

import os
import subprocess

import pytest
from interpreters import INTERPRETERS, ROOT, command

PROGRAM = """
import sys
from swdist.shell import platform
from swdist.storage.slots import Slots

fs = platform.Fs()
root = sys.argv[1]
slots = Slots(fs, root + "/store", root + "/state")
good, bad = bytes([1] * 32), bytes([2] * 32)
if sys.argv[2] == "trial":
    for rid in (good, bad):
        fs.mkdirs(slots.path(rid))
    slots.activate(good, True)
    slots.confirm(good)
    slots.activate(bad, True)
    slots.collect((bad,))
else:
    slots.fail(bad, "ill")
    slots.activate(good, False)
    again = Slots(fs, root + "/store", root + "/state")
    print(again.active() == good, again.failed() == [bad])
"""
FILLER = """
import os, sys

fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
at = 0
while True:
    try:
        at += os.pwrite(fd, b"x" * 512, at)
    except OSError:
        pass
"""
SCENE = """
set -e
mount -t tmpfs -o size=1024k tmpfs "$1"
$PYTHON "$0" "$1" trial
python3 "$2" "$1/fill" &
sleep 1
$PYTHON "$0" "$1" back
kill $!
wait $! 2>/dev/null || true
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs")
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_way_back_on_flash_that_somebody_goes_on_filling(interpreter, tmp_path):
    for name, text in (("program.py", PROGRAM), ("filler.py", FILLER)):
        (tmp_path / name).write_text(text)
    (tmp_path / "flash").mkdir()
    arguments, environment = command(interpreter)
    environment["PYTHON"] = " ".join(arguments)
    words = ["unshare", "-m", "sh", "-c", SCENE, tmp_path / "program.py", tmp_path / "flash"]
    done = subprocess.run(
        [*words, tmp_path / "filler.py"], env=environment, capture_output=True, timeout=60
    )
    assert done.stdout.split(b"\n")[-2:] == [b"True True", b""], done


LAUNCHER = """
mount -t tmpfs -o size=64k tmpfs "$1"
mkdir -p "$1/reserve"
head -c 4096 /dev/urandom >"$1/reserve/0"
cat /dev/zero >"$1/fill" 2>/dev/null
. "$0"
state=$1
echo "ab hung" | swdist_write failed
cat "$1/failed"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs")
def test_launcher_s_verdict_on_flash_that_is_full(tmp_path):
    functions = ROOT / "files/usr/lib/swdist/functions.sh"
    words = ["unshare", "-m", "sh", "-c", LAUNCHER, functions, tmp_path]
    done = subprocess.run(words, capture_output=True, timeout=60)
    assert done.stdout == b"ab hung\n", done
