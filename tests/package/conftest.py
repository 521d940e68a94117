"""Packages made once for all tests of this folder, with a community's keys made for it."""

import os

import pytest
from packing import make, make_ca
from router import Router


@pytest.fixture(scope="session")
def ca(tmp_path_factory):
    return make_ca(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def packages(tmp_path_factory, ca):
    """{name: path of the .ipk}"""
    return make(tmp_path_factory.mktemp("ipk"), "--ca", ca[0])


@pytest.fixture
def router(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("a router of its own takes root: mounts, users, network")
    with Router(tmp_path) as router:
        yield router
