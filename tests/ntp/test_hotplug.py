"""What busybox's ntpd gives its script, as OpenWrt hands it on to /etc/hotplug.d/ntp."""

import subprocess
import time

import pytest
from interpreters import ROOT

from swdist.netd import by_ntpd

SCRIPT = ROOT / "files/etc/hotplug.d/ntp/90-swdist"


@pytest.fixture
def told(tmp_path):
    """What netd makes of it after those events, one behind the other."""
    text = SCRIPT.read_text()
    assert text.count("/var/run/") == 2
    (tmp_path / "script").write_text(text.replace("/var/run/", f"{tmp_path}/"))

    def told(*events):
        for action, stratum, offset in events:
            more = {"ACTION": action, "stratum": str(stratum), "offset": offset}
            more |= {"freq_drift_ppm": "-3", "poll_interval": "6", "PATH": "/usr/bin:/bin"}
            done = subprocess.run(
                ["sh", "-c", ". $0", tmp_path / "script"], env=more, capture_output=True
            )
            assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        said = tmp_path / "swdist-ntp"
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
        return by_ntpd(said.read_bytes() if said.exists() else None, now)[0]

    return told


def test_a_clock_that_is_kept_is_a_reference(told):
    assert told(("stratum", 3, "0.012345")) == 112345
    assert told(("stratum", 3, "0.012345"), ("periodic", 2, "-0.000100")) == 100100


def test_one_that_was_just_stepped_or_is_left_alone_is_none(told):
    kept = ("periodic", 2, "0.000100")
    assert told(("step", 16, "1795489200.123456")) is None
    assert told(kept, ("step", 16, "-3.2")) is None
    assert told(kept, ("unsync", 16, "0.0")) is None
    assert told(("stratum", 16, "0.000000")) is None
    assert told(kept, ("stratum", 11, "0.000100")) is None  # of a server that follows the mesh
