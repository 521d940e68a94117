"""Replays what fuzzing has found, and what it began with, without a fuzzer: crashes stay mended."""

import pytest

from fuzz.__main__ import CORPUS
from fuzz.seeds import seeds
from fuzz.targets import TARGETS

MAX_BYTES = 500000


@pytest.mark.parametrize("name", TARGETS)
def test_corpus_is_replayed_without_a_crash(name):
    inputs = sorted((CORPUS / name).iterdir())
    assert inputs
    for path in inputs:
        try:
            TARGETS[name](path.read_bytes())
        except Exception as e:
            raise AssertionError(f"{path.relative_to(CORPUS)}: {e!r}") from e


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_replayed_without_a_crash(name):
    for number, data in enumerate(seeds()[name]):
        try:
            TARGETS[name](data)
        except Exception as e:
            raise AssertionError(f"seed {number} of {name}: {e!r}") from e


def test_corpus_is_small_and_of_known_parsers():
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert sum(path.stat().st_size for path in CORPUS.glob("*/*")) < MAX_BYTES
