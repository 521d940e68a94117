"""docs/grafana/swdist.json asks for what `swdist metrics` says, and Prometheus understands both."""

import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from documents import crowded
from played import ROOT

from swdist.commands import metrics

DASHBOARD = json.loads((ROOT / "docs/grafana/swdist.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
EMPTY = ("swdist_up{", "== 0")  # of a node that is well
CONFIG = """
global: {scrape_interval: 1s}
scrape_configs:
- job_name: swdist
  static_configs: [{targets: ['127.0.0.1:%d']}]
"""
UP_S = 30
SWITCHES = 'sum(changes(swdist_switches{instance=~"$node"}[1h]))'


@pytest.fixture
def text(tmp_path, monkeypatch):
    monkeypatch.setattr(metrics, "process", lambda fs, conf, daemon: "self")
    return metrics.exposition(crowded(tmp_path, "metrics"))


def made(text):
    """{metric: names of its labels}."""
    found = {}
    for name, _, labels in re.findall(r"^(swdist_\w+)(\{(.*)\})? \S+$", text, re.M):
        found.setdefault(name, {"instance", "job"}).update(re.findall(r"(\w+)=\"", labels))
    return found


def test_dashboard_asks_for_what_is_said(text):
    known = made(text)
    asked = set()
    for query in QUERIES:
        names = set(re.findall(r"swdist_\w+", query))
        assert names <= set(known), query
        asked |= names
        labels = set().union(*(known[name] for name in names))
        assert set(re.findall(r"(\w+)=~?\"", query)) <= labels, query
        for group in re.findall(r"by \(([^)]*)\)", query):
            assert set(group.split(", ")) <= labels, query
    assert "label_values(swdist_up, instance)" in json.dumps(DASHBOARD)
    for name in """mesh_nodes node_info release_held_ratio next_switch_seconds release_info
            clock_error_seconds switches rollbacks""".split():
        assert f"swdist_{name}" in asked


def test_panels_stand_beside_each_other_and_each_asks_for_something():
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                 for y in range(at["y"], at["y"] + at["h"])}  # fmt: skip
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
        assert panel["targets"] and panel["title"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_promtool_finds_nothing_wrong(text):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not here: apt-get install --no-install-recommends prometheus")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.slow
def test_each_query_has_an_answer_from_a_real_prometheus(text, tmp_path):
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not here: apt-get install --no-install-recommends prometheus")

    never = re.sub(r"^swdist_last_switch_seconds .*\n", "", text, flags=re.M)
    never = re.sub(r"^swdist_switches .*", "swdist_switches 0", never, flags=re.M)
    says = [never, text]  # one that switches for the first time

    class Exporter(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(says[0].encode())
            del says[:-1]

        def log_message(self, *_):
            pass

    exporter = HTTPServer(("127.0.0.1", 0), Exporter)
    threading.Thread(target=exporter.serve_forever, daemon=True).start()
    (tmp_path / "prometheus.yml").write_text(CONFIG % exporter.server_port)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{s.getsockname()[1]}"
    flags = [f"--config.file={tmp_path / 'prometheus.yml'}", f"--web.listen-address={url}",
             f"--storage.tsdb.path={tmp_path / 'data'}"]  # fmt: skip
    with (tmp_path / "prometheus.log").open("w") as log:
        server = subprocess.Popen(["prometheus", *flags], stdout=log, stderr=log)

    def ask(query):
        words = urllib.parse.urlencode({"query": query.replace("$node", ".*")})
        with urllib.request.urlopen(f"http://{url}/api/v1/query?{words}", timeout=10) as answer:
            return json.load(answer)["data"]["result"]

    def scraped():
        try:
            return ask("count_over_time(swdist_neighbours[1h]) >= 3")
        except OSError:
            return None

    try:
        end = time.monotonic() + UP_S
        while not scraped():
            assert time.monotonic() < end, (tmp_path / "prometheus.log").read_text()
            time.sleep(0.2)
        for query in QUERIES:
            assert bool(ask(query)) != all(word in query for word in EMPTY), query
        assert SWITCHES in QUERIES and ask(SWITCHES)[0]["value"][1] == "1"
        (failed,) = ask('swdist_release_info{state="failed here"}')
        assert failed["metric"]["why"] == "<script>alert(1)</script>"
    finally:
        server.terminate()
        server.wait()
        exporter.shutdown()
