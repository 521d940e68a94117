"""The scenes of both worlds, a file each, which reads like its story.

A scene has
    DOOR         which target of make opens on it: demo or mesh (real daemons in network
                 namespaces), or lab (emulated routers)
    play(stage)  the story: what is done, and what must come of it
and, where its world is not as usual,
    cast(stage)  of `demo`: who is there; else nodes in a grid, all alike
    LOOPBACK     of `demo`: False if it takes network namespaces
    TRAFFIC      of `demo`: False if the nodes' counters say nothing of it
    SETTING      of `lab`: how large the machines are, and how many
The first sentence of its docstring is what `--help` says of it.
"""

import importlib
import pkgutil


def load(name):
    return importlib.import_module(f"lab.scenes.{name.replace('-', '_')}")


def of(door):
    """{name: scene} behind a door, by name."""
    names = [found.name.replace("_", "-") for found in pkgutil.iter_modules(__path__)]
    scenes = {name: load(name) for name in names}
    return {name: scene for name, scene in scenes.items() if door == scene.DOOR}


def about(scenes):
    """What --help says of them."""
    lines = (f"{name}: {' '.join(s.__doc__.split('.')[0].split())}" for name, s in scenes.items())
    return "scenes:\n" + "\n".join(f"  {line}" for line in lines)
