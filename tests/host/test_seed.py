"""A host that seeds: it holds all payloads of its release, whatever its board, and serves each."""

import pytest
from test_mesh_table import S, announce, peer
from typed import swdist

from swdist.formats import datagram
from swdist.shell import link
from swdist_host import commands_mesh, keys, release, watch
from swdist_host.errors import Refused
from swdist_host.mesh import Mesh
from swdist_host.release import Source
from swdist_host.seed import Seeder, Unchecked

NETWORK = b"networkA"
KEY = keys.generate()
WANTED, COMPLETE = datagram.WANTED, datagram.COMPLETE


class Link:
    """Keeps what is sent."""

    sockets = []
    why = None

    def __init__(self, interfaces, port):
        self.sent = []

    def broadcast(self, view):
        self.sent.append(bytes(view))
        return 0

    def refresh(self):
        pass


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    for name in ("Link", "Server"):
        monkeypatch.setattr(link, name, Link)


def made(*sources, **words):
    swd = release.build(NETWORK, "1.1.0", 2_000_000_000, sources, window_s=60, **words)
    return release.sign(swd, KEY)


BOTH = made(
    Source("image", ("a",), bytes(range(256)) * 500),
    Source("slot", ("b",), b"slot" * 5000),
    Source("new", (), b"a kind to come" * 999),
)


@pytest.fixture
def seeder():
    with Seeder(BOTH, Unchecked(BOTH), ["lo"], print) as made:
        yield made


def test_all_payloads_are_held_whole_and_served_piece_by_piece(seeder):
    store = seeder._netd.store
    for packed in BOTH.payloads:
        pid = packed.pid.hex()
        index = store.open(f"1/{pid}/index".encode())
        assert read(index) == packed.index
        for n in (0, packed.pages - 1, packed.pages, len(packed.pieces) - 1):
            assert read(store.open(f"1/{pid}/{n}".encode())) == packed.pieces[n]
        last = min(packed.pages + 3, len(packed.pieces) - 1)
        found = read(store.open(f"1/{pid}/{packed.pages}-{last}".encode()))
        assert found == b"".join(packed.pieces[packed.pages : last + 1])[: len(found)]
    rid = BOTH.rid.hex()
    assert read(store.open(f"1/{rid}/manifest".encode())) == BOTH.manifest
    assert read(store.open(f"1/{rid}/signatures".encode())) == BOTH.signatures


def read(file):
    view = memoryview(bytearray(file.size))
    assert file.read_into(0, view) == file.size
    file.close()
    return bytes(view)


def test_it_keeps_all_of_them_images_as_a_node_does(seeder):
    store = seeder._netd.store
    for _ in range(2):
        store.collect(())
        assert set(store.needs.plan().own) == set(seeder.pids) and not store.needs.plan().refused
        assert [store.held(pid).in_ram for pid in seeder.pids] == [True, False, False]
        assert all(store.held(pid).complete() for pid in seeder.pids) and not store.needs.wanted()


def test_it_announces_all_of_them_and_wants_nothing(seeder):
    seeder._netd.node.speech._announce()
    heard = Mesh(NETWORK, 1)
    for data in seeder._netd.link.sent:
        row = heard.receive(peer(), data, len(data), 0)
    assert {p.pid: p.percent for p in row.payloads.values()} == dict.fromkeys(seeder.pids, 100)
    assert not any(p.wanted for p in row.payloads.values()) and row.has(BOTH.rid, seeder.pids)


def test_withdrawal_is_seeded_without_payloads():
    swd = release.sign(release.build(NETWORK, "1.1.0", 0, withdraw=True), KEY)
    with Seeder(swd, Unchecked(swd), ["lo"], print) as seeder:
        assert seeder.pids == () and seeder.left_alone() == []


def test_what_the_node_s_own_code_does_not_take_is_not_seeded():
    class Nobody(Unchecked):
        def check(self, manifest, signatures):
            return None, "signatures: wrong"

    with pytest.raises(Refused, match="own code doesn't take it"):
        Seeder(BOTH, Nobody(BOTH), ["lo"], lambda text: None)


def hear(seeder, releases, payloads, who, now=0):
    data = announce(releases, payloads, nonce=who)
    seeder.mesh.receive(peer(who), data, len(data), now)


RELEASE = (BOTH.rid, (1, 1, 0), 0, 0)
A, B, NEW = (packed.pid for packed in BOTH.payloads)


def test_payload_that_no_neighbour_has_is_left_alone(seeder):
    hear(seeder, [RELEASE], [(A, COMPLETE, 5, 5)], 1)
    assert seeder.holders() == 1
    assert seeder.left_alone() == ["2 (slot)", "3 (new)"]
    hear(seeder, [RELEASE], [(B, COMPLETE, 5, 5), (NEW, COMPLETE, 5, 5)], 2)
    assert seeder.holders() == 2 and seeder.left_alone() == []


def test_neighbour_that_relays_is_waited_for(seeder):
    hear(seeder, [RELEASE], [(A, COMPLETE, 5, 5), (B, WANTED, 9, 2)], 1)
    assert seeder.holders() == 0
    row = seeder.mesh.rows()[0]
    assert watch.progress(row, seeder.names) == "1 (image) 100 %; 2 (slot) 22 %"
    hear(seeder, [RELEASE], [(A, COMPLETE, 5, 5), (B, COMPLETE, 9, 9)], 1)
    assert seeder.holders() == 1


def test_later_revision_is_told_with_what_to_do_for_other_boards(seeder, capsys):
    done = commands_mesh._until(seeder, None)
    hear(seeder, [(bytes([9]) * 32, (1, 1, 0), 4, 0)], [], 1, 1 * S)
    assert not done() and not done()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "holds revision 4 of this version" in said
    assert "--revision 5" in said and "--against" in said and "on all boards" in said


def test_seeding_ends_when_so_many_neighbours_are_covered(seeder):
    done = commands_mesh._until(seeder, 2)
    hear(seeder, [RELEASE], [(A, COMPLETE, 5, 5)], 1)
    assert not done()
    hear(seeder, [RELEASE], [(B, COMPLETE, 5, 5)], 2)
    assert done()


def test_a_long_name_of_the_temporary_folder_is_no_hindrance(tmp_path, monkeypatch):
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with Seeder(BOTH, Unchecked(BOTH), ["lo"], print):
        assert len(list(folder.glob("*/run/*.sock"))) == 1
    assert not list(folder.iterdir())


def test_a_duration_in_which_nobody_is_covered_is_no_success(tmp_path):
    release.save(BOTH, tmp_path / "r.swd")
    words = "seed r.swd --interface lo --duration 1 --force --json"
    done = swdist(*words.split(), cwd=tmp_path)
    assert done.returncode == 1 and "no neighbour has all of it after 1 s" in done.stderr
    assert '"complete": 0' in done.stdout
