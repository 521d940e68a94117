"""What was wrong once, and is mended, does not count for ever."""

from swdist.storage.catalogue import write_head
from swdist_host.sim import simulation, station, topology


def mesh(nodes):
    made = station.Settings(clock="right")
    sim = simulation.Simulation(topology.make("line", nodes, 1), 1, made)
    sim.boot()
    sim.run(10)
    return sim


def test_release_whose_signatures_were_wrong_in_the_store_runs_once_they_are_right():
    sim = mesh(2)
    swd = sim.release("1.1.0", size=40000)
    s = sim.stations[1]
    path = "/store/releases/" + swd.rid.hex()
    write_head(s.fs, path, swd.manifest, swd.signatures[:50])
    s.tell_switch(None)
    sim.run(1)
    assert "refused" in s.log.lines[-1][1]
    s.fs.rmtree(path)
    sim.inject(0, swd)
    sim.run(120)
    assert s.switch.switcher.active.rid == swd.rid


def test_only_neighbour_that_had_a_wrong_bit_and_mended_it_is_asked_again():
    sim = mesh(3)
    sim.world.radio.set_up(1, 2, False)
    swd = sim.release("1.1.0", size=40000)
    sim.inject(0, swd)
    sim.run(60)
    inode = sim.stations[1].fs.files[f"/store/payloads/{swd.payloads[0].pid.hex()}/payload"]
    inode.set(b"!" + inode.whole()[1:])  # the first piece: later ones are asked for anyhow
    sim.stations[1].rotten = True
    sim.world.radio.set_up(1, 2, True)
    sim.checks.changed()
    sim.run(60)
    assert sim.stations[2].node.fetch.outcomes.refusals
    for _ in range(15):
        sim.run(60)
    assert sim.coverage(swd.rid) == 3
