"""bench/mutations.py, which takes minutes: that its bugs still have a place in the code."""

import pytest

from bench import mutations


@pytest.mark.parametrize("name", mutations.MUTATIONS)
def test_bug_can_be_put_in(name):
    module, text = mutations.mutated(name)
    compile(text, module, "exec")
