"""Two routers on one bridge."""


def tree(made, name):
    folder = made.folder / name
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text(name)
    return folder


def test_a_release_goes_from_one_router_to_the_other_and_both_switch(made, mesh, tmp_path):
    one = mesh.add(tmp_path, "utils")
    two = mesh.add(tmp_path)
    one.put(made.release("1.1.0", "--payload", tree(made, "tree")), "/tmp/r.swd")
    one.run("swdist inject /tmp/r.swd")
    for node in (one, two):
        node.runs("1.1.0")
        at = node.switch()["active"]["id"]
        assert node.run(f"cat /etc/swdist/state/slots/{at}/file") == "tree"
    neighbours = one.json("cat /var/run/swdist/net.json")["neighbours"]
    assert len(neighbours) == 1
    # And all of it outlives a reboot, and a cut.
    one.reboot()
    one.runs("1.1.0")
    two.cut_power()
    two.runs("1.1.0")


def test_restart_and_reload_do_not_leave_an_experiment(made, mesh, tmp_path):
    one = mesh.add(tmp_path)
    mesh.add(tmp_path)  # alone it knows no time
    mesh.hand_in(
        made.release("1.2.0", "--payload", tree(made, "new"), "--experimental", "--end", "+1h")
    )
    one.runs("1.2.0", confirmed=False)
    mesh.leave()
    before = one.run("wc -l </etc/swdist/state/switches")
    for action in ("restart", "reload"):
        if action == "reload":
            one.run("uci set swdist.@swdist[0].log_level=debug; uci commit swdist")
        one.run(f"/etc/init.d/swdist {action}")
        one.up()
        one.runs("1.2.0", 10, confirmed=False)
    assert one.run("wc -l </etc/swdist/state/switches") == before
