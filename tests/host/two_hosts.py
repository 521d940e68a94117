"""A router and a laptop on one link, in private namespaces: what the laptop's commands say of it.

python -m tests.host.two_hosts FOLDER; prints what each command gave, as one JSON object.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from lab.namespaces import net
from lab.namespaces.node import Node
from swdist_host import ca, keys, release

SWDIST = [sys.executable, "-c", "from swdist_host.cli import main; main()"]
MINUS_S = 5000.0  # so much is the router's clock behind
SIZE = 60_000


def main(folder):
    folder = Path(folder)
    world = net.World(0)
    for name in ("router", "laptop"):
        world.add(name)
    world.link("router", "laptop", ipv4=False)
    link = world.interfaces["laptop"][0]
    key = keys.generate()
    network = ca.create(folder / "ca", "two", [key.public], 1)
    start_s = int(time.time()) + 3600
    sources = [
        release.Source("slot", ("another,board",), os.urandom(SIZE)),
        release.Source("slot", (), os.urandom(SIZE)),
    ]
    swd = release.build(network, "1.1.0", start_s, sources)
    swd = release.sign(swd, key)
    release.save(swd, folder / "r.swd")
    later = release.build(network, "1.1.0", start_s, revision=1, withdraw=True)
    release.save(release.sign(later, key), folder / "later.swd")
    (folder / "router").mkdir()
    router = Node(
        "router", folder / "router", world, folder / "ca", [sys.executable],
        -MINUS_S,
    )  # fmt: skip

    def swdist(*words):
        done = subprocess.run(
            ["ip", "netns", "exec", "laptop", *SWDIST, *words, "--interface", link],
            cwd=folder, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return {"status": done.returncode, "out": done.stdout, "err": done.stderr}

    found = {"rid": swd.rid.hex(), "pids": [packed.pid.hex() for packed in swd.payloads]}
    found["nobody"] = swdist("status", "--wait", "2")
    router.start(["netd"])
    found["seed"] = swdist("seed", "r.swd", "--ca", "ca", "--once", "1", "--duration", "30",
                           "--json")  # fmt: skip
    found["status"] = swdist("status", "--wait", "10", "--json", "--ca", "ca")
    found["silent"] = swdist("status", "--wait", "5", "--json", "--silent", "--ca", "ca")
    found["words"] = swdist("status", "--wait", "10")
    found["watch"] = swdist("watch", "--duration", "4", "--json")
    found["withdraw"] = swdist("seed", "later.swd", "--once", "1", "--duration", "30")
    found["superseded"] = swdist("seed", "r.swd", "--ca", "ca", "--once", "1", "--duration", "4")
    found["router"] = router.net()
    router.stop()
    found["log"] = router.log()
    print(json.dumps(found))


if __name__ == "__main__":
    if net.INSIDE in os.environ:
        net.obey_leash()
        main(*sys.argv[1:])
    else:
        status = net.enter("tests.host.two_hosts", sys.argv[1:])
        sys.exit("namespaces are not allowed here" if status is None else status)
