"""What the daemons say gets into the real logd whole."""


def test_lines_of_both_carry_their_name_and_number(node):
    lines = [line for line in node.log() if "up, running" in line or "up on br-mesh" in line]
    numbers = node.daemons()
    for name in ("switchd", "netd"):
        assert any(f"daemon.info swdist-{name}[{numbers[name]}]: up" in line for line in lines), (
            lines
        )


def test_swdist_log_shows_them(node):
    node.run("logger -t other swdist-like")
    lines = node.run("swdist log").splitlines()
    assert lines and all("swdist-" in line and "other" not in line for line in lines)


def test_no_word_is_taken_for_a_date(node):
    # With a space as its 16th byte: logd drops what is before it.
    node.run(
        "uci add_list swdist.@swdist[0].interface=a0; uci commit swdist; /etc/init.d/swdist restart"
    )
    assert "swdist-netd[" in node.said("a0")
