"""kill -9 of daemons at random instants (--kills N of them), while releases spread and switch."""

import time

from lab.namespaces import acts

DOOR = "demo"
KILLS_A_RELEASE = 40  # about so many while one spreads and switches


def play(stage):
    acts.boot(stage)
    stage.late.start()
    kills(stage, stage.options.kills)


def kills(stage, count):
    done = 0
    minor = 1
    while done < count:
        minor += 1
        version = f"1.{minor}.0"
        start_s = int(time.time()) + stage.lead_s
        stage.seed(stage.release(version, start_s))
        while time.time() < start_s + 5 and done < count:
            time.sleep(stage.random.random() * 2 * (stage.lead_s + 5) / KILLS_A_RELEASE)
            stage.random.choice(stage.nodes).kill(stage.random.choice(("netd", "switchd")))
            done += 1
        stage.wait(
            f"runs {version}, confirmed",
            max(start_s - time.time(), 0) + 60,
            lambda n, v=version: (
                n.active() == v and n.switch()["confirmed"] == n.switch()["active"]["id"]
            ),
            stage.nodes,
        )
        stage.expect(f"all {len(stage.nodes)} nodes run {version}", True, f"{done} killed")
    logs = [n.log(d) for n in stage.nodes for d in ("netd", "switchd")]
    stage.expect("no daemon has ended by an exception", not any("Traceback" in t for t in logs))
    failed = [n.name for n in stage.nodes if n.switch()["failed"]]
    stage.expect("no release has failed", not failed, " ".join(failed))
