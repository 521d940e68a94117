"""What docs/node.md says to type on a router, each line exactly as it stands there, in its order: on a router that has
nothing of ours yet, with the files in /tmp that docs/packaging.md speaks of."""

import re
from pathlib import Path

from openwrt.node import FIREWALL, LAN, ROOTFS
from openwrt.router import Router

GUIDE = Path(__file__).resolve().parents[2] / "docs/node.md"
OTHERS = {"ipk": "apk", "apk": "opkg"}  # the lines for routers of the other kind
KEYS = {
    "vi": b"hhhZZ"
}  # what a person types there; the first are lost while it asks how large the screen is
WITHIN_S = 30  # a daemon has started, and has said something
# What is so, once the last line of a section has been typed.
THEN = {
    "Install": "/etc/init.d/swdist status",
    "What people ask it": "true",
    "Hold it": "swdist status | grep -q 'on hold'",
    "Hooks of your own": "sh -n /usr/lib/swdist/hooks/confirm.d/gateway",
    "Remove it": "! pgrep -f swdist[.][ns] && [ ! -e /usr/bin/swdist ] && [ ! -e /etc/swdist/state ]",
}


def sections():
    """{title: lines to type} of those that have some."""
    found = {}
    for part in GUIDE.read_text().split("\n## ")[1:]:
        lines = "".join(re.findall(r"^```\n(.*?)^```", part, re.S | re.M)).splitlines()
        if lines:
            found[part.partition("\n")[0]] = lines
    return found


def test_each_line_of_the_guide_works_as_it_stands(made, tmp_path):
    typed = sections()
    assert typed.keys() == THEN.keys()
    files = {"/etc/config/network": LAN % 1, "/etc/config/firewall": FIREWALL}
    with Router(ROOTFS, tmp_path, files=files) as router:
        router.wait("ip link show br-mesh >/dev/null")
        for name in ("swdist", "swdist-keyring", "swdist-utils"):
            router.put(made.package(name), f"/tmp/{made.package(name).name}")
        for title, lines in typed.items():
            for line in lines:
                first = line.split()[0]
                if first == OTHERS[made.kind]:
                    continue
                if first == "swdist":  # a person types it again, while a daemon starts
                    router.wait(line, WITHIN_S)
                else:
                    router.run(line, data=KEYS.get(first, b""))
            router.wait(THEN[title], WITHIN_S)
