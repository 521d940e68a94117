#!/bin/sh
# pytest-xdist 3.8.0 with pytest 9.2.0: --dist loadgroup keeps no group together, and says nothing.
#
# What was done: three tests with one mark, pytest.mark.xdist_group("g"), each of which writes down the
# worker that ran it, are run with -n 2 --dist loadgroup.
# Seen: they are spread over both workers. xdist adds "@g" to the attribute _nodeid of each test, and in
# pytest 9.2 the id is a property of another attribute. With pytest 8.4.2 one worker runs all three.
# Expected: tests of one group in one worker, in both. Tests that must not run side by side (one port, one
# piece of hardware) do.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >test_group.py <<'PY'
import os
import time

import pytest

pytestmark = pytest.mark.xdist_group("g")


@pytest.mark.parametrize("n", range(3))
def test_who(n):
    time.sleep(0.5)
    with open("workers", "a") as f:
        f.write(os.environ["PYTEST_XDIST_WORKER"] + "\n")
PY
for pytest in 8.4.2 9.2.0; do
	python3 -m venv "$pytest"
	"$pytest/bin/pip" -q --disable-pip-version-check install "pytest==$pytest" pytest-xdist==3.8.0
	rm -f workers
	"$pytest/bin/python" -m pytest -q -p no:cacheprovider -n 2 --dist loadgroup test_group.py >said
	grep -q "3 passed" said
	echo "pytest $pytest: $(sort -u workers | wc -l) workers"
done >seen
cat seen
[ "$(cat seen)" = "pytest 8.4.2: 1 workers
pytest 9.2.0: 2 workers" ]
