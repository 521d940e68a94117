"""package/swdist/Makefile, run by the real make on as much of OpenWrt's build system as it takes.

That is a stand-in, which says nothing of versions and images: it holds the recipe to the files of
`make ipk`. (Escaping is as there: recipes are expanded twice, package scripts once.)
"""

import itertools
import re
import shutil
import subprocess
from importlib import metadata

import packing
import pytest
from packing import ROOT
from router import BIN
from test_ipk import EVERYWHERE, members, parts, read
from test_mipsel import ipk_runtime

from swdist import VERSION

THERE = {f"./{path}" for path in EVERYWHERE}
RULES = """
INCLUDE_DIR := $(TOPDIR)
INSTALL_DIR := install -d -m0755
INSTALL_DATA := install -m0644
INSTALL_BIN := install -m0755
CP := cp -fpR
qstrip = $(strip $(subst ",,$(1)))
"""
# What says whether a package is built again: OpenWrt's own lines, in short.
PACKAGE = """
PKG_BUILD_DIR := $(OUT)/build
find_md5 = find $(wildcard $(1)) -type f -printf "%p%T@\\n" | sort | md5sum
confvar = $(shell echo '$(foreach v,$(1),$(v)=$($(v)))' | md5sum)
define BuildPackage
$(eval VERSION := $(PKG_VERSION)-r$(PKG_RELEASE))
$(eval $(Package/$(1)))
$(eval $(call BuildTarget,$(1),$(VERSION),$(URL)))
endef
stamps:
	@echo prepared $(shell $(call find_md5,$(CURDIR) $(PKG_FILE_DEPENDS))) \
		configured $(call confvar,$(PKG_CONFIG_DEPENDS))
define BuildTarget
.PHONY: $(1)
$(1):
	$(call Build/Prepare)
	$(call Build/Compile)
	$(call Package/$(1)/install,$(OUT)/$(1))
export POSTRM_$(subst -,_,$(1)) := $$(Package/$(1)/postrm)
export POSTINST_$(subst -,_,$(1)) := $$(Package/$(1)/postinst)
$(1)-about:
	@echo '$(1) $(2) $(3) $(PKG_MAINTAINER) $(PKG_LICENSE)'
$(1)-postrm:
	@echo "$$$$POSTRM_$(subst -,_,$(1))"
$(1)-postinst:
	@echo "$$$$POSTINST_$(subst -,_,$(1))"
endef
"""


@pytest.fixture
def make(tmp_path):
    (tmp_path / "rules.mk").write_text(RULES)
    (tmp_path / "package.mk").write_text(PACKAGE)
    tools = tmp_path / "staging/host/lib/micropython/mpy-cross/build"
    tools.mkdir(parents=True)
    (tools / "mpy-cross").symlink_to((BIN / "mpy-cross").resolve())

    def run(target, top=ROOT, **variables):
        known = {"TOPDIR": tmp_path, "OUT": tmp_path, "STAGING_DIR": tmp_path / "staging"}
        words = [f"{key}={value}" for key, value in {**known, **variables}.items()]
        return subprocess.run(
            ["make", "--no-print-directory", "-C", top / "package/swdist", *words, target],
            capture_output=True,
            text=True,
        )

    return run


def installed(folder):
    return {"./" + str(p.relative_to(folder)): p.stat().st_mode for p in folder.rglob("*")}


NAMES = (
    "luci-app-swdist", "swdist", "swdist-install", "swdist-keyring", "swdist-page", "swdist-sntp",
    "swdist-utils",
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"swdist-keyring"}))
def test_recipe_installs_what_make_ipk_packs(make, tmp_path, packages, name):
    done = make(name)
    assert done.returncode == 0, done.stderr
    ipk = members(parts(packages[name])["./data.tar.gz"])
    found = installed(tmp_path / name)
    assert set(found) - THERE == {m.name for m in ipk} - {"."}
    for member in ipk:
        if member.isfile():
            assert found[member.name] & 0o100 == member.mode & 0o100, member.name
    for path in (tmp_path / name / "usr/lib/micropython/swdist").glob("*"):
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
    assert set(installed(tmp_path / "swdist-keyring")) - THERE == {m.name for m in ipk} - {"."}


@pytest.fixture
def project(tmp_path):
    """A copy to edit, with nothing but what the recipe needs."""
    for folder in ("package", "files", "src/swdist"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / "project" / folder, ignore=ignored)
    (tmp_path / "project/tools").mkdir()
    for name in ("ipk_const", "ipk_bundle", "ipk_scopes", "ipk_text"):
        shutil.copy(ROOT / f"tools/{name}.py", tmp_path / "project/tools")
    return tmp_path / "project"


def test_recipe_needs_nothing_else_of_the_project(make, project, tmp_path):
    done = make("swdist", top=project)
    assert done.returncode == 0, done.stderr


def test_recipe_builds_anew_what_has_changed(make, project, tmp_path, ca):
    def stamps(keys=ca[0]):
        done = make("stamps", top=project, CONFIG_SWDIST_CA=f'"{keys}"')
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("-") == 2, done.stdout  # both digests
        return done.stdout

    def appended(path):
        with path.open("a") as file:
            file.write("\n# changed\n")
        return path

    seen = [stamps()]
    assert stamps() == seen[0]
    (project / "src/swdist/__pycache__").mkdir()
    (project / "src/swdist/__pycache__/x.pyc").write_text("")
    assert stamps() == seen[0]
    for path in ("src/swdist/netd.py", "files/usr/bin/swdist", "tools/ipk_const.py"):
        appended(project / path)
        seen.append(stamps())
    (project / "src/swdist/another.py").write_text("")
    seen.append(stamps())
    cross = tmp_path / "staging/host/lib/micropython/mpy-cross/build/mpy-cross"
    cross.unlink()
    shutil.copy(BIN / "mpy-cross", cross)
    seen.append(stamps())
    other = shutil.copytree(ca[0], tmp_path / "other")  # as it is, with its dates
    seen.append(stamps(other))
    appended(other / "network")
    seen.append(stamps(other))
    (tmp_path / "link").symlink_to(other)
    assert stamps(tmp_path / "link") != stamps("")
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("name", NAMES)
def test_scripts_of_the_recipe_are_shell(make, name):
    found = [make(f"{name}-{which}", MAKEFLAGS="").stdout for which in ("postinst", "postrm")]
    found = [script for script in found if script.strip()]
    assert len(found) == {"swdist": 2, "swdist-utils": 0, "swdist-page": 0}.get(name, 1)
    for script in found:
        assert script.startswith("#!/bin/sh\n") and "${IPKG_INSTROOT}" in script
        done = subprocess.run(["shellcheck", "-"], input=script, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        subprocess.run(["busybox", "ash", "-n"], input=script, text=True, check=True)


def test_recipe_says_who_answers_for_each_package(make):
    for name in NAMES:
        said = make(f"{name}-about").stdout
        assert re.search(r" https://\S+ The swdist authors <\S+@\S+> MIT$", said.strip()), said


def test_version_is_said_once_and_orders_alike_for_opkg_and_apk(make, packages):
    """src/swdist/__init__.py is the place; the recipe and the host's package read it there."""
    version = f"{VERSION}-r{ipk_runtime.ipk.RELEASE}"
    assert metadata.version("swdist-host") == VERSION
    for name in set(NAMES) - {"swdist-keyring"}:
        assert make(f"{name}-about").stdout.split()[:2] == [name, version]
        assert packages[name].name == f"{name}_{version}_all.ipk"
    # No suffix: what comes before a release is `~rc1` to opkg and `_rc1` to apk.
    assert re.fullmatch(r"\d+\.\d+\.\d+-r\d+", version)
    older, newer = "0.8.10-r9", "1.0.0-r1"
    ordered(older, version, newer)


def ordered(*versions):
    """As opkg has it, which has taken over dpkg's rules, and as apk has it where there is one."""
    for a, b in itertools.pairwise(versions):
        assert subprocess.run(["dpkg", "--compare-versions", a, "lt", b]).returncode == 0, (a, b)
        if shutil.which("apk"):
            done = subprocess.run(["apk", "version", "-t", a, b], capture_output=True, text=True)
            assert done.stdout == "<\n", (a, b, done)


def test_keyring_has_a_version_of_its_own_that_grows_with_each_change_of_keys(make, tmp_path):
    def version():
        said = make("swdist-keyring-about", CONFIG_SWDIST_CA=f'"{keys}"').stdout.split()[1]
        assert ipk_runtime.ipk.keyring(keys).version == said
        return said

    keys, _ = packing.make_ca(tmp_path)
    seen = [version()]
    for n in (1, 2):
        packing.change_keys(tmp_path, n)
        seen.append(version())
    assert seen == ["1.0-r1", "1.1-r1", "1.2-r1"]
    ordered("0.9.0-r1", *seen, "1.9-r1", "1.10-r1")
    assert make("swdist-keyring-about").stdout.split()[1] == "1.0-r1"  # as feeds are listed


def test_version_is_that_of_the_tag_where_there_is_one():
    """1.0.0 is what the tag v1.0.0 says, and nothing before it."""
    git = ["git", "-C", ROOT, "tag", "--points-at", "HEAD", "v*"]
    done = subprocess.run(git, capture_output=True, text=True)
    assert done.stdout.split() in ([], ["v" + VERSION])
