import pytest
from simulated import device_modules_as_before  # noqa: F401 - a fixture for all tests in here

from crash import life


@pytest.fixture
def world(tmp_path):
    life.install()
    return life.World(tmp_path)
