"""How the two fidelities of the transfer agree on the same meshes, and what each costs."""

from common import SEED, Stopwatch, mesh, spread

CASES = [("line", 10, 1 << 20), ("geometric", 50, 1 << 20), ("grid", 49, 1 << 19)]
LOSSES = (0.0, 0.1, 0.3)


def main():
    print(f"seed {SEED}; time to full coverage in virtual seconds, CPU seconds in brackets")
    for kind, nodes, size in CASES:
        for loss in LOSSES:
            took = {}
            for fidelity in ("packet", "chunk"):
                watch = Stopwatch()
                sim = mesh(kind, nodes, loss=loss, fidelity=fidelity)
                took[fidelity] = (spread(sim, size)["took_s"], watch.cpu_s())
            (p, p_cpu), (c, c_cpu) = took["packet"], took["chunk"]
            print(
                f"{kind:10}{nodes:4} nodes {size >> 10:5} KiB, loss {loss * 100:2.0f} %:"
                f" packet {p:6.2f} ({p_cpu:.1f})  chunk {c:6.2f} ({c_cpu:.1f})"
                f"  chunk/packet {c / p:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
