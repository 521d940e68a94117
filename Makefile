# Everything that can be done here, one line each: `make help`.
PYTHON ?= python3
PY := .venv/bin/python
# One process for each core; tests/conftest.py says what must not run side by side.
JOBS := -n auto --no-loadscope-reorder

.PHONY: help setup runtime demo mesh test check size ipk host-binary man lab fuzz vectors clean soak bench openwrt
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Debian packages (as root) and .venv with all that the host side needs
	@PYTHON=$(PYTHON) tools/setup.sh

runtime: ## build MicroPython (with and without ffi) and mpy-cross, cached; MICROPYTHON=path for yours
	@$(PYTHON) tools/runtime.py

demo: setup runtime ## a mesh of real daemons in network namespaces: NODES=5 SCENE=name
	@$(PY) -m lab.demo $(if $(NODES),--nodes $(NODES)) $(if $(SCENE),--scene $(SCENE))

mesh: setup runtime ## a mesh of real daemons that stays up to try things on, until Ctrl-C: NODES=7
	@$(PY) -m lab.mesh $(if $(NODES),--nodes $(NODES))

test: setup runtime ## all tests, device tests on CPython and both MicroPythons
	@$(PY) -m pytest -q $(JOBS) tests

check: setup runtime ## ruff, shellcheck and the quick tests: under a minute
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@git ls-files -co --exclude-standard | xargs awk \
		'FNR == 1 && /^#!\/bin\/(ba)?sh/ { print FILENAME } { nextfile }' | xargs -r shellcheck
	@$(PY) -m pytest -q $(JOBS) -m "not slow" tests

size: setup runtime ## lines, .mpy bytes and resident memory of the device code, with budgets
	@$(PY) tools/size.py

ipk: setup runtime ## build/ipk/*.ipk and *.apk; CA=dir adds your keyring; the runtime takes minutes the first time
	@$(PY) tools/ipk.py $(if $(CA),--ca $(CA))
	@$(PY) tools/ipk_runtime.py

host-binary: setup ## build/host/swdist: the host tool in one file, for machines without Python
	@$(PY) tools/host_binary.py

man: setup ## build/man/*.1: man pages of the host tool, made from its help
	@$(PY) tools/man.py

soak: setup runtime ## random scenarios on all cores for TIME=10m, then what is too long for `make test`
	@$(PY) -m swdist_host swarm --time $(or $(TIME),10m) --keep build/soak
	@$(PY) -m pytest -q -m soak tests
	@SWDIST_DEPTH=4 $(PY) -m pytest -q tests/exhaustive

bench: setup runtime ## figures, printed with their seeds: BENCH=name for one of bench/
	@tools/packages.sh casync squashfs-tools
	@for b in $(if $(BENCH),bench/$(BENCH).py,bench/*.py); do echo "== $$b"; $(PY) $$b || exit 1; done

lab: setup runtime ## emulated routers of 32 MB (as root, 7 minutes): SCENE=stress, batman or flash, OLD=revision
	@nice $(PY) -m lab.emulated $(if $(SCENE),--scene $(SCENE)) $(if $(OLD),--old $(OLD))

openwrt: setup runtime ## the suite on real OpenWrt in namespaces (as root): ROOTFS=FILE, tar or folder, x86-64; ONLY=words
	@$(PY) -m tests.openwrt '$(ROOTFS)' $(if $(ONLY),-k '$(ONLY)')

fuzz: setup ## fuzz each parser for SECONDS=60; only those in NAMES='manifest archive'
	@$(PY) -m fuzz.seeds
	@$(PY) -m fuzz --seconds $(or $(SECONDS),60) $(NAMES)

vectors: setup ## regenerate the golden vectors
	@$(PY) tools/make_vectors.py

clean: ## remove what was built here (the runtime's cache in ~/.cache stays)
	rm -rf build .venv .pytest_cache .ruff_cache .hypothesis *.egg-info host/*.egg-info src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
