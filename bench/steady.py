"""The quiet mesh: datagrams per node and hour, and seconds from an injection to the first fetch."""

from common import SEED, mesh

HOURS = 6
SEEDS = range(SEED, SEED + 3)


def main():
    print("random geometric, 50 nodes, one release held by all, degree 8, loss 2 %")
    for seed in SEEDS:
        sim = mesh("geometric", 50, seed, loss=0.02, fidelity="packet")
        first = sim.release("1.1.0", start_s=sim.now_s() + 600, size=65536)
        sim.inject(0, first)
        sim.run(2 * 3600)  # dense beacons end after an hour
        sent = list(sim.world.radio.sent)
        sim.run(HOURS * 3600)
        rates = [(b - a) / HOURS for a, b in zip(sent, sim.world.radio.sent)]
        second = sim.release("1.2.0", start_s=sim.now_s() + 86400, size=65536)
        began = sim.world.now
        sim.inject(0, second)
        sim.run(120)
        times = sim.checks.verified[second.rid]
        near = [(times[b] - began) / 1e6 for b in sim.graph[0] if b in times]
        print(
            f"seed {seed}: {sum(rates) / len(rates):.1f} datagrams per node and hour"
            f" (most {max(rates):.1f}), {sum(rates) / len(rates) / 60:.2f} a minute;"
            f" first fetch at 1 hop after {min(near):.2f} s, the last of"
            f" {len(sim.graph[0])} neighbours after {max(near):.2f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
