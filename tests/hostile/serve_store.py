"""serve_store.py PORT FOLDER: our TFTP server on a real store with one release, over IPv4."""

import sys

from drive import Server, any_interface, serve
from logs import Log
from made import Trust, fill
from test_store import BOARD, PAYLOAD, add

from swdist.shell import net
from swdist.shell.platform import Fs
from swdist.storage.room import Room
from swdist.storage.store import Store
from swdist.trust.choose import Here


def main(port, folder):
    net.udp = any_interface
    room = Room(Here(BOARD), (0, 0, 0), 1 << 16, 0)
    store = Store(Fs(), folder, Trust(), Log(), room)
    store.load()
    add(store, lines=[PAYLOAD.line()])
    fill(store, PAYLOAD)
    serve(Server(port, folder, store.open))


main(int(sys.argv[1]), sys.argv[2])
