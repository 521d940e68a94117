"""What the swarm has found, made small, one file each. A file stays when its bug is gone.

STILL_THERE: the device's bug is known and not yet gone; take the name out together with it.
"""

from pathlib import Path

import pytest

from swdist_host.sim import runner, scenario

FOUND = sorted((Path(__file__).parent / "found").glob("*.toml"))
STILL_THERE = set()


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_found_scenario_violates_nothing(path, request):
    if path.stem in STILL_THERE:
        request.applymarker(pytest.mark.xfail(strict=True, reason="a bug of the device, known"))
    done = runner.run(scenario.load(path))
    assert done.ok, runner.story(done)
