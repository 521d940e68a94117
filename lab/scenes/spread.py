"""One release, and a node that was off."""

from lab.namespaces import acts

DOOR = "demo"


def play(stage):
    acts.boot(stage)
    acts.stable(stage)
    acts.latecomer(stage)
