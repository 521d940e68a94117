"""The golden vectors as a product: made anew they are the same, and each that is named is there."""

import json
import re
import subprocess
import sys
from pathlib import Path

from swdist_host import ca

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests/vectors"
TABLE = ROOT / "docs/decisions/0016-open-questions.md"


def load(name):
    return json.loads((VECTORS / name).read_text())


def test_made_anew_they_are_the_same(tmp_path):
    program = [sys.executable, ROOT / "tools/make_vectors.py", tmp_path]
    subprocess.run(program, check=True, timeout=60)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_bytes() for path in VECTORS.glob("*.json")}


def names(value):
    """Of all cases in a file, and of its members."""
    if isinstance(value, list):
        return set().union(*map(names, value))
    if not isinstance(value, dict):
        return set()
    own = {value["name"]} if isinstance(value.get("name"), str) else set()
    return own | set(value) | set().union(*map(names, value.values()))


def test_each_vector_that_the_decisions_name_is_there():
    found = re.findall(r"(\w+\.json)((?:[^\"|;]*\"[^\"]+\")+)", TABLE.read_text())
    assert len(found) > 20
    for file, text in found:
        known = names(load(file))
        for name in re.findall(r'"([^"]+)"', text):
            assert " ".join(name.split()) in known, (file, name)


def test_network_id_is_of_its_name_and_the_founding_keys_in_any_order():
    v = load("signatures.json")
    keys = [bytes.fromhex(key) for key in v["keys"].values()]
    for order in keys, keys[::-1]:
        assert ca.network_id(v["network_name"], order).hex() == v["network"]
