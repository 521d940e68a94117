"""serve_store.py PORT FOLDER: our TFTP server on a real store with one release, over IPv4."""

import sys

from drive import Server, any_interface, serve
from logs import Log
from test_store import Trust, add, fill

from swdist import net
from swdist.platform import Fs
from swdist.store import Store


def main(port, folder):
    net.udp = any_interface
    store = Store(Fs(), folder, Trust(), Log(), 1 << 16)
    store.load()
    fill(store, add(store))
    serve(Server(port, folder, store.open))


main(int(sys.argv[1]), sys.argv[2])
