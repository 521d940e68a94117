def test_x(made, tmp_path):
    from openwrt.conftest import Node
    with Node(made, tmp_path, "utils") as n:
        print(n.up())
        print(n.run("swdist status; logread | grep swdist; ip a"))
        n.reboot()
        print(n.up())
        n.cut_power()
        print(n.up())
