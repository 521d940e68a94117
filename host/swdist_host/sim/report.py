"""A run as one HTML page with plots, that needs nothing else."""

import html
import io
import json

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from swdist_host import files
from swdist_host.sim.runner import story

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }}
table {{ border-collapse: collapse; }} td, th {{ padding: .2em 1em .2em 0; text-align: left; }}
pre {{ background: #f4f4f4; padding: 1em; overflow-x: auto; }}
.bad {{ color: #a00; }} svg {{ max-width: 100%; height: auto; }}
</style>
<h1>{title}</h1>
<p>{about}</p>
<p class="{how}">{verdict}</p>
{table}
{plots}
{story}
<h2>Figures</h2><pre>{figures}</pre>
</html>
"""


def write(result, path):
    files.write(path, page(result).encode(), overwrite=True)


def page(result):
    s = result.scenario
    plots = [
        _coverage(result),
        _datagrams(result),
        _clocks(result),
        _versions(result),
        _spread(result),
    ]
    told = "" if result.ok else f"<h2>What led to it</h2><pre>{html.escape(story(result))}</pre>"
    return _PAGE.format(
        title=html.escape(f"{s.name}, seed {s.seed}, {result.nodes} nodes"),
        about=html.escape(s.about),
        how="good" if result.ok else "bad",
        verdict="All invariants held."
        if result.ok
        else html.escape(f"Violation of '{result.violation.rule}': {result.violation.text}"),
        table=_releases(result),
        plots="\n".join(p for p in plots if p),
        story=told,
        figures=html.escape(json.dumps({"digest": result.digest, **result.figures}, indent=1)),
    )


def _releases(result):
    rows = "".join(
        f"<tr><td>{html.escape(name)}<td>{r['holders']} of {result.nodes}<td>"
        + ("" if r["last_s"] is None else f"{r['last_s']:.1f} s")
        for name, r in result.figures["releases"].items()
    )
    return f"<table><tr><th>release<th>held by<th>last one after{rows}</table>" if rows else ""


def _unit(series):
    """(divisor, name) for the time axis."""
    end = series["t"][-1] if series.get("t") else 0
    return (86400, "days") if end > 172800 else (3600, "hours") if end > 7200 else (60, "minutes")


def _plot(title, label, series, draw):
    if not series.get("t"):
        return ""
    divisor, unit = _unit(series)
    figure, axes = plt.subplots(figsize=(9, 3.2))
    draw(axes, [t / divisor for t in series["t"]])
    axes.set_xlabel(unit)
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", fontsize="small")
    out = io.StringIO()
    figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    svg = out.getvalue()
    return f"<h2>{html.escape(title)}</h2>\n" + svg[svg.index("<svg") :]


def _coverage(result):
    series = result.series

    def draw(axes, t):
        for name in result.figures["releases"]:
            axes.plot(t, [row.get(name, 0) for row in series["covered"]], label=name)
        axes.plot(t, series["up"], color="grey", linestyle=":", label="nodes up")

    return _plot("Coverage: nodes that hold all of a release", "nodes", series, draw)


def _datagrams(result):
    series = result.series

    def draw(axes, t):
        axes.plot(t, series["datagrams_per_node_hour"])
        axes.set_yscale("symlog", linthresh=100)

    return _plot("Datagrams sent per node and hour", "datagrams", series, draw)


def _clocks(result):
    series = result.series

    def draw(axes, t):
        for i, name in enumerate(("median", "95 %", "worst")):
            points = [(x, e[i] / 1000) for x, e in zip(t, series["error_us"]) if e]
            axes.plot([p[0] for p in points], [p[1] for p in points], label=name)
        axes.set_yscale("log")

    return _plot("Clock error of synchronised nodes against true time", "ms", series, draw)


def _versions(result):
    series = result.series

    def draw(axes, t):
        for version in sorted({v for row in series["active"] for v in row}):
            axes.plot(t, [row.get(version, 0) for row in series["active"]], label=version)

    return _plot("Active versions", "nodes", series, draw)


def _spread(result):
    rows = "".join(
        f"<tr><td>{html.escape(to)}<td>{s['nodes']}<td>{s['spread_ms']} ms"
        for to, s in result.figures["switches"].items()
    )
    if not rows:
        return ""
    return f"<h2>Switch spread</h2><table><tr><th>to<th>nodes<th>first to last{rows}</table>"
