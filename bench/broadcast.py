"""Would broadcast pay? Unicast TFTP as it is, beside an ideal broadcast of runs.

    python bench/broadcast.py [--nodes N] [--size MIB]

It is better than any protocol could be: a server sends each run it is asked for at the radio's
broadcast rate, blocks are sent 1 / (1 - loss) times in all, nothing is paid for saying which are
lacking, and every neighbour with a free channel that lacks just this run has it then, and drops
its own request. What doesn't pay here pays nowhere.
docs/decisions/0008-no-broadcast.md draws the conclusion.
"""

import argparse

from arguments import count
from common import SEED, mesh, spread

from swdist.machines.download import RUN
from swdist_host.sim import radio, transfer

MIB = 1048576
RATES = [(6000, 1000), (6000, 6000), (24000, 1000), (24000, 6000), (54000, 1000), (54000, 6000)]
LOSSES = (0.0, 0.2)


class Broadcast(transfer.Train):
    def send(self):
        station, client = self.station, self.client
        world = station.world
        if self.get.token != self.token or len(self.data) < 1024:
            return super().send()
        s = world.radio.settings
        block_us = s.frame_us + (transfer.tftpget.ASK_BLKSIZE + 52) * 8000 // s.broadcast_kbps
        air_us = int(transfer.blocks(len(self.data)) * block_us / (1 - self.link.loss))
        for b, link in world.radio.links[station.number].items():
            other = world.radio.stations[b]
            if b != client.number and other.up and link.up and world.radio.busy[b] <= world.now:
                world.at(world.now + air_us, other._when_idle, other.epoch, overhear, other, self)
        end = world.radio.claim(station.number, None, air_us)
        world.radio.sent_bytes[station.number] += len(self.data)
        world.at(world.radio.arrival(self.link, end), self._through, end)
        return end


def overhear(station, train):
    """A neighbour takes pieces that somebody else had asked for, if they are the next it lacks."""
    fetch = station.node.fetch
    for slot in train.client.node.fetch.slots:
        if slot.get is train.get and slot.what == RUN:
            h = station.store.held(slot.id)
            if h is None or h.complete() or h.held != slot.first:
                return
            taken, _ = station.store.put(h, memoryview(train.data))
            if taken:
                for own in fetch.slots:
                    if own.what == RUN and own.id == slot.id and own.last < h.held:
                        own.free()
                fetch.wake()
                station.node.news(station.counter(station.world.now))
            return


def measure(options, unicast, broadcast, loss, train):
    transfer.Train = train
    settings = radio.Settings(unicast_kbps=unicast, broadcast_kbps=broadcast, loss=loss)
    sim = mesh("geometric", options.nodes, air=settings)
    return spread(sim, int(options.size * MIB))["took_s"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=count, default=100)
    parser.add_argument("--size", type=float, default=1)
    options = parser.parse_args()
    print(f"seed {SEED}, random geometric, {options.nodes} nodes, {options.size:g} MiB")
    print("unicast  broadcast  loss  TFTP s  ideal broadcast s  TFTP / broadcast")
    as_it_is = transfer.Train
    for unicast, broadcast in RATES:
        for loss in LOSSES:
            a = measure(options, unicast, broadcast, loss, as_it_is)
            b = measure(options, unicast, broadcast, loss, Broadcast)
            print(
                f"{unicast // 1000:3} Mbit/s {broadcast // 1000:3} Mbit/s  {loss * 100:3.0f} %"
                f"  {a:6.1f}  {b:17.1f}  {a / b:16.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
