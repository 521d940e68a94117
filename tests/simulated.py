"""The simulator puts its own crypto and sockets into the device modules: taken out again here."""

import pytest

from swdist import switchd
from swdist.crypto import ucryptolib
from swdist_host.sim import crypto


@pytest.fixture(autouse=True)
def device_modules_as_before():
    sockets = switchd.unixsock, switchd.net
    yield
    switchd.unixsock, switchd.net = sockets
    crypto.uninstall()
    assert ucryptolib.backend().endswith("python")
