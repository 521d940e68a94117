"""What the swarm has found, made small, one file each. A file stays when its bug is gone."""

from pathlib import Path

import pytest

from swdist_host.sim import runner, scenario

FOUND = sorted((Path(__file__).parent / "found").glob("*.toml"))


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_found_scenario_violates_nothing(path):
    done = runner.run(scenario.load(path))
    assert done.ok, runner.story(done)
