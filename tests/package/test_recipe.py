"""package/swdist/Makefile, run by the real make on as much of OpenWrt's build system as it takes.

That is a stand-in, which says nothing of versions and images: it holds the recipe to the files of
`make ipk`. (Escaping is as there: recipes are expanded twice, package scripts once.)
"""

import re
import subprocess
from importlib import metadata

import pytest
from packing import ROOT
from router import BIN
from test_ipk import members, parts, read
from test_mipsel import ipk_runtime

from swdist import VERSION

RULES = """
INCLUDE_DIR := $(TOPDIR)
INSTALL_DIR := install -d -m0755
INSTALL_DATA := install -m0644
INSTALL_BIN := install -m0755
CP := cp -fpR
qstrip = $(strip $(subst ",,$(1)))
"""
PACKAGE = """
PKG_BUILD_DIR := $(OUT)/build
define BuildPackage
$(eval $(call BuildTarget,$(1)))
endef
define BuildTarget
.PHONY: $(1)
$(1):
	$(call Build/Prepare)
	$(call Build/Compile)
	$(call Package/$(1)/install,$(OUT)/$(1))
export SCRIPT_$(subst -,_,$(1)) := $$(Package/$(1)/postrm)$$(Package/$(1)/postinst)
version:
	@echo $(PKG_VERSION)-r$(PKG_RELEASE)
$(1)-script:
	@echo "$$$$SCRIPT_$(subst -,_,$(1))"
endef
"""


@pytest.fixture
def make(tmp_path):
    (tmp_path / "rules.mk").write_text(RULES)
    (tmp_path / "package.mk").write_text(PACKAGE)
    tools = tmp_path / "staging/host/lib/micropython/mpy-cross/build"
    tools.mkdir(parents=True)
    (tools / "mpy-cross").symlink_to((BIN / "mpy-cross").resolve())

    def run(target, **variables):
        known = {"TOPDIR": tmp_path, "OUT": tmp_path, "STAGING_DIR": tmp_path / "staging"}
        words = [f"{key}={value}" for key, value in {**known, **variables}.items()]
        return subprocess.run(
            ["make", "-C", ROOT / "package/swdist", *words, target],
            capture_output=True,
            text=True,
        )

    return run


def installed(folder):
    return {"./" + str(p.relative_to(folder)): p.stat().st_mode for p in folder.rglob("*")}


@pytest.mark.parametrize("name", ["swdist", "swdist-install", "swdist-sntp", "swdist-utils"])
def test_recipe_installs_what_make_ipk_packs(make, tmp_path, packages, name):
    done = make(name)
    assert done.returncode == 0, done.stderr
    ipk = members(parts(packages[name])["./data.tar.gz"])
    found = installed(tmp_path / name)
    assert set(found) == {m.name for m in ipk} - {"."}
    for member in ipk:
        if member.isfile():
            assert found[member.name] & 0o100 == member.mode & 0o100, member.name
    for path in (tmp_path / name / "usr/lib/micropython/swdist").iterdir():
        member = "./" + str(path.relative_to(tmp_path / name))
        assert path.read_bytes() == read(parts(packages[name])["./data.tar.gz"], member)


def test_compiler_of_openwrt_22_03_is_refused_with_what_helps(make, tmp_path):
    cross = tmp_path / "mpy-cross"
    said = "MicroPython v1.18 on 2022-01-17; mpy-cross emitting mpy v5"
    cross.write_text(f"#!/bin/sh\necho '{said}'\n")
    cross.chmod(0o755)
    done = make("swdist", MPY_CROSS=cross)
    assert done.returncode != 0 and not (tmp_path / "swdist").exists()
    assert "swdist needs MicroPython 1.20 or later" in done.stderr
    assert "docs/packaging.md" in done.stderr


def test_recipe_packs_a_community_s_keys_and_no_others(make, tmp_path, packages, ca):
    assert "CONFIG_SWDIST_CA is not a CA directory" in make("swdist-keyring").stderr
    published = make("swdist-keyring", CONFIG_SWDIST_CA=f'"{ROOT}/keys/test"')
    assert published.returncode != 0
    done = make("swdist-keyring", CONFIG_SWDIST_CA=f'"{ca[0]}"')
    assert done.returncode == 0, done.stderr
    ipk = members(parts(packages["swdist-keyring"])["./data.tar.gz"])
    assert set(installed(tmp_path / "swdist-keyring")) == {m.name for m in ipk} - {"."}


@pytest.mark.parametrize("name", ["swdist", "swdist-keyring"])
def test_scripts_of_the_recipe_are_shell(make, name):
    script = make(f"{name}-script", MAKEFLAGS="").stdout
    script = script[script.index("#!/bin/sh") :]
    script = re.sub(r"(?m)^make.*$", "", script)
    assert "${IPKG_INSTROOT}" in script
    done = subprocess.run(["shellcheck", "-"], input=script, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    subprocess.run(["busybox", "ash", "-n"], input=script, text=True, check=True)


def test_version_is_said_once_and_orders_alike_for_opkg_and_apk(make, packages):
    """src/swdist/__init__.py is the place; the recipe and the host's package read it there."""
    said = make("version").stdout.splitlines()
    (version,) = [line for line in said if not line.startswith("make: ")]
    assert version == f"{VERSION}-r{ipk_runtime.ipk.RELEASE}"
    assert metadata.version("swdist-host") == VERSION
    for name in ("swdist", "swdist-keyring", "swdist-utils", "swdist-sntp", "swdist-install"):
        assert packages[name].name == f"{name}_{version}_all.ipk"
    # No suffix: what comes before a release is `~rc1` to opkg and `_rc1` to apk.
    assert re.fullmatch(r"\d+\.\d+\.\d+-r\d+", version)
    older, newer = "0.8.10-r9", "1.0.0-r1"
    for a, b in ((older, version), (version, newer)):  # opkg has taken over dpkg's rules
        assert subprocess.run(["dpkg", "--compare-versions", a, "lt", b]).returncode == 0, (a, b)


def test_version_is_that_of_the_tag_where_there_is_one():
    """1.0.0 is what the tag v1.0.0 says, and nothing before it."""
    git = ["git", "-C", ROOT, "tag", "--points-at", "HEAD", "v*"]
    done = subprocess.run(git, capture_output=True, text=True)
    assert done.stdout.split() in ([], ["v" + VERSION])
