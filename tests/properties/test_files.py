"""Configuration, archives and what lies on flash: what is written is read back, and a file that a
power cut or bad flash has spoilt is refused or repaired, never believed."""

import io
import tarfile

from hypothesis import assume, given
from hypothesis import strategies as st

from fuzz import targets
from fuzz.given import FILES, INDEX, MANIFEST, PAYLOAD, PID, PIECES, RID, SIGNATURES, join
from fuzz.memory import Memory
from fuzz.seeds import CONFIG
from swdist.formats import uci
from swdist.formats.bits import to_hex
from swdist.formats.untar import Untar
from swdist.storage.slots import MAX_FAILED, Slots
from swdist.trust import choose
from swdist.wiring import config

from .common import cut, flipped, quick

ID = st.binary(min_size=32, max_size=32)


# --- configuration


NAME = st.text("abcdefghijklmnopqrstuvwxyzABC019_", min_size=1, max_size=64)
VALUE = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=100)


def quoted(value):
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@quick
@given(
    st.dictionaries(
        NAME, st.dictionaries(NAME, VALUE | st.lists(VALUE, min_size=1), max_size=6), max_size=5
    )
)
def test_uci_is_read_as_written(types):
    lines = []
    for kind, options in types.items():
        lines.append("config %s # a comment" % kind)
        for key, value in options.items():
            if isinstance(value, str):
                lines.append("\toption %s %s" % (key, quoted(value)))
            else:
                lines += ["\tlist %s %s" % (key, quoted(v)) for v in value]
    text = "\n".join(lines)
    assume(len(text) < uci.MAX_BYTES)
    assert uci.parse(text) == (types, None)


@quick
@given(
    st.integers(64, 1048576),
    st.lists(st.text("abcxyz019-_", min_size=1, max_size=15), min_size=1, max_size=8, unique=True),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60),
    st.booleans(),
)
def test_configuration_is_read_as_written(quota_kb, interfaces, word, flags):
    says = {"quota_kb": str(quota_kb), "board": word, "store": "/" + word}
    argv = []
    file = "config swdist\n"
    if flags:
        argv = ["--set", "interface=" + ",".join(interfaces)]
        for key, value in says.items():
            argv.append("--set=%s=%s" % (key, value))
    else:
        file += "".join("list interface '%s'\n" % name for name in interfaces)
        file += "".join("option %s %s\n" % (key, quoted(value)) for key, value in says.items())
    conf = config.load(argv, "netd", Memory({config.DEFAULT_FILE: file.encode()}))
    assert (conf.quota_kb, conf.interfaces, conf.board) == (quota_kb, interfaces, word)
    assert conf.store == (("/" + word).rstrip("/") or "/")


def test_configuration_cut_or_with_one_bit_changed_is_read_or_refused_in_one_line():
    for data in cut(CONFIG):
        targets.read_config(data)
        targets.read_uci(data)
    for _, data in flipped(CONFIG, 3):
        targets.read_config(data)
        targets.read_uci(data)


# --- archives


PART = st.text("abc-_. X", min_size=1, max_size=30).filter(lambda part: part not in (".", ".."))
PATH = st.lists(PART, min_size=1, max_size=5).map("/".join)


def packed(files, folders=()):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in folders:
            info = tarfile.TarInfo(path)
            info.type = tarfile.DIRTYPE
            info.mode = 0o755
            tar.addfile(info)
        for path, (data, execute) in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            info.mode = 0o755 if execute else 0o644
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@quick
@given(
    st.dictionaries(PATH, st.tuples(st.binary(max_size=1500), st.booleans()), max_size=6),
    st.lists(PATH, max_size=3),
    st.integers(1, 5000),
)
def test_archive_is_unpacked_as_packed(files, folders, piece):
    above = {p[:n] for p in [*files, *folders] for n in range(len(p)) if p[n] == "/"}
    assume(not (above | set(folders)) & set(files))
    why, fs = targets.unpack(packed(files, folders), piece)
    assert why is None
    del fs.files["/outside"]
    assert fs.files == {"/slot/" + path: data for path, (data, _) in files.items()}
    assert set(fs.modes) == {"/slot/" + path for path, (_, execute) in files.items() if execute}
    assert fs.dirs >= {"/slot/" + path for path in folders}


def refusal(data):
    fs = Memory()
    fs.mkdirs("/slot")
    machine = Untar(fs, "/slot", len(data))
    return (machine.feed(data) if data else None) or machine.end(), fs.files


def test_archive_cut_anywhere_is_refused():
    data = packed({"d/a": (b"a" * 700, True), "b": (b"", False)})
    whole = 4 * 512 + 1024  # two headers, 700 bytes, two blocks of zeros
    assert refusal(data[:whole])[0] is None
    for short in cut(data[:whole]):
        assert refusal(short)[0] is not None, len(short)


def test_archive_with_one_bit_changed_is_refused_or_the_same_but_for_its_data():
    data = packed({"d/a": (b"a" * 100, True)})[:2048]
    _, good = refusal(data)
    for bit, other in flipped(data):
        why, files = refusal(other)
        at = bit >> 3
        if at < 512:  # a header has a checksum; in that itself a space or zero may be the other
            assert why is not None or files == good, bit
        elif at < 612:
            assert why is None and files != good
        elif at < 1024:
            assert why is None and files == good  # padding
        else:
            assert why is not None


# --- slots


def state(files):
    fs = Memory({"/state/" + name: data for name, data in files.items()})
    fs.mkdirs("/state/slots/" + to_hex(RID))
    return fs, Slots(fs, "/store", "/state")


@quick
@given(
    st.lists(st.tuples(ID, st.text(st.characters(min_codepoint=32, max_codepoint=0x10000,
             blacklist_categories=("Cs",)))), max_size=24, unique_by=lambda f: f[0]),
)  # fmt: skip
def test_state_is_read_as_written(failures):
    fs, slots = state({})
    slots.activate(RID, True)
    slots.confirm(RID)
    for rid, why in failures:
        slots.fail(rid, why)
        slots.fail(rid, "once more")
    again = Slots(fs, "/store", "/state")
    assert (again.active(), again.confirmed()) == (RID, RID)
    assert again.company()
    assert again.failed() == slots.failed() == [rid for rid, _ in failures][-MAX_FAILED:]


def test_state_cut_or_with_one_bit_changed_names_a_slot_that_is_whole():
    line = to_hex(RID).encode() + b"\n"
    damaged = [*cut(line), *(data for _, data in flipped(line))]
    for data in damaged:
        _, slots = state({"active": data, "confirmed": data, "company": data})
        same = data[:64] == line[:64] and len(data.strip()) == 64
        assert slots.active() in ((RID,) if same else (RID, choose.FACTORY))
        assert slots.confirmed() == slots.active()
        assert not slots.company()
    failed = line[:-1] + b" why\n" + b"1" * 64 + b" why\n"
    for n, data in enumerate([*cut(failed), *(data for _, data in flipped(failed))]):
        _, slots = state({"failed": data})
        assert len(slots.failed()) <= 2 + (n > len(failed)), data
        targets.read_state(join([(2, data)]))


# --- store


def filled():
    store, fs, _ = targets.store_with({})
    store.load()
    release, why = store.add(MANIFEST, SIGNATURES)
    assert why is None and store.put_index(PID, INDEX) is None
    for piece in PIECES:
        assert store.put(store.held(PID), memoryview(piece)) == (len(piece), None)
    return release, fs


def test_store_is_loaded_as_written():
    written, fs = filled()
    assert fs.files == {"/store/" + name: data for name, data in FILES.items()}
    store, _, _ = targets.store_with(FILES)
    store.load()
    (release,) = store.releases
    (payload,) = release.manifest.payloads
    assert release.rid == written.rid == RID and payload.pid == PID
    assert store.held(PID).held == 4 and store.ready(None, payload)


def test_store_with_a_file_cut_is_loaded_up_to_there():
    for number, held in enumerate(FILES.values()):
        for n in range(0, len(held), 61 if held == PAYLOAD else 1):
            targets.read_store(join([(number + 8, n.to_bytes(2, "big"))]))


def test_store_with_one_bit_changed_believes_nothing_of_it():
    for number, held in enumerate(FILES.values()):
        for _, data in flipped(held, 509 if held == PAYLOAD else 1):
            targets.read_store(join([(number, data)]))
    for _, data in flipped(INDEX):
        targets.read_index(data)
    for data in cut(INDEX):
        targets.read_index(data)


def test_name_in_the_store_with_one_bit_changed_is_nothing_or_another_part():
    for key, part in ((RID, b"/manifest"), (PID, b"/index"), (PID, b"/1-2")):
        name = b"1/" + to_hex(key).encode() + part
        for data in (*cut(name), *(data for _, data in flipped(name))):
            targets.ask_store(data)
