import json
import shutil

import pytest
from browser import Browser
from documents import crowded
from played import Mesh

from lab.web import Web, listen

SAYS = "#!/bin/sh\n# Stands in for `swdist page` and `swdist status`.\ncat {}/$1\n"


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    if not shutil.which("chromium"):
        pytest.skip("chromium is not here: apt-get install --no-install-recommends chromium")
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture
def mesh(browser, tmp_path):
    mesh = Mesh(tmp_path)
    yield mesh
    mesh.close()


class Said:
    """A web server whose node says what it is told to."""

    def __init__(self, folder):
        self.folder = folder
        script = folder / "swdist"
        script.write_text(SAYS.format(folder))
        script.chmod(0o755)
        self.web = Web(folder, script, listen())
        self.say(crowded(folder))
        (folder / "status").write_text("this is a <board>; neighbours: 16\n")

    def say(self, document):
        self.document = document
        (self.folder / "page").write_text(json.dumps(document))
        for made in self.folder.glob("made.*"):
            made.unlink()


@pytest.fixture
def said(tmp_path):
    said = Said(tmp_path)
    yield said
    said.web.close()
