#!/bin/sh
# Makes this clone ready: Debian packages (as root), then .venv with pinned Python packages.
# A second run sees that nothing has changed, and ends at once.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

# What the tests, the lab and the checks call. Only clients and tools: nothing here starts a service.
# What builds the runtime comes with it, so that one message names all that is missing.
# shellcheck disable=SC2046 # a list of names
tools/packages.sh python3 python3-venv iproute2 nftables procps shellcheck signify-openbsd \
	"libsodium23|libsodium26" \
	"busybox|busybox-static" atftp curl dnsmasq-base libwrap0 tftp-hpa zopfli qemu-user binutils-mipsel-linux-gnu \
	$("$python" tools/runtime.py --packages)

tools/peers.sh build/peers

# The caller's Python settings must not leak into the venv, nor pip's idea of where to install.
unset PYTHONPATH PYTHONHOME PYTHONSAFEPATH PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
	echo "setup: Python 3.11 or later is needed; this is $("$python" --version 2>&1)" >&2
	exit 1
}
stamp=$({
	pwd
	"$python" --version
	cat requirements.txt pyproject.toml
} | sha256sum)
[ "$(cat .venv/stamp 2>/dev/null)" != "$stamp" ] || exit 0

echo "setup: making .venv ($("$python" --version))"
rm -rf .venv
"$python" -m venv .venv
pip=".venv/bin/python -m pip --disable-pip-version-check -q"
$pip install -r requirements.txt
# The build back end is pinned above, like all else; so no isolated build that fetches its own.
$pip install --no-deps --no-build-isolation -e .
echo "$stamp" >.venv/stamp
echo "setup: done"
