"""The same bytes to this project's code and to the reference node: what do they accept, answer and
choose?

python -m tests.reference.differential [--seconds N] [--seed N] [--only NAME ...] [--folder DIR]

Each subject makes cases by mutating the vectors of tests/vectors, or from nothing, and asks both.
The first seed decides all. A difference ends in a file of DIR, one JSON of its subject and case,
and in exit status 1; `--again FILE` asks once more.
"""

import argparse
import base64
import hashlib
import io
import json
import pathlib
import random
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / d) for d in ("tests/device", "tests", "src", "host")]

import test_vectors as ours_formats  # noqa: E402
import test_vectors_archives as ours_archives  # noqa: E402
import test_vectors_choosing as ours_choosing  # noqa: E402
import test_vectors_datagrams as ours_datagrams  # noqa: E402
import test_vectors_index as ours_index  # noqa: E402
import test_vectors_store as ours_store  # noqa: E402
import test_vectors_tftp as ours_tftp  # noqa: E402
import wired as ours_wired  # noqa: E402
from wired import FS, Folder  # noqa: E402

from swdist.formats import datagram, index  # noqa: E402
from swdist.formats import manifest as ours_manifest  # noqa: E402
from swdist.storage import inject  # noqa: E402
from swdist.storage.payloads import File  # noqa: E402
from swdist.storage.room import Room  # noqa: E402
from swdist.trust import verify  # noqa: E402
from swdist.trust.choose import Here  # noqa: E402

from . import archive, choose, manifest, payload, store, tftp, trust, wire  # noqa: E402
from . import test_vectors as theirs  # noqa: E402

load = theirs.load


class Chance(random.Random):
    def mutated(self, data, others, words=()):
        """Bytes changed at one to four places. others: what parts may come from."""
        for _ in range(self.choice((1, 1, 1, 2, 4))):
            data = self._changed(data, others, words)
        return data

    def _changed(self, data, others, words):
        at = self.randint(0, len(data))
        end = min(len(data), at + self.choice((1, 1, 2, 4, 21, 512)))
        how = self.randrange(9)
        if how == 0 and at < len(data):
            return data[:at] + bytes([data[at] ^ 1 << self.randrange(8)]) + data[at + 1 :]
        if how == 1:
            special = self.choice((0, 1, 0x0A, 0x20, 0x2D, 0x30, 0x2F, 0x7F, 0x80, 0xFF))
            return data[:at] + bytes([special]) + data[at + 1 :]
        if how == 2:
            return data[:at] + data[end:]
        if how == 3:
            return data[:at] + data[at:end] * 2 + data[end:]
        if how == 4:
            return data[:at]
        if how == 5:
            return data + self.choice((b"\0", b"\n", bytes(512), self.randbytes(5)))
        if how == 6:
            other = self.choice(others)
            start = self.randint(0, len(other))
            return data[:at] + other[start : start + (end - at) * 4] + data[end:]
        if how == 7 and words:
            return data[:at] + self.choice(words) + data[self.choice((at, end)) :]
        return data[:at] + self.randbytes(self.choice((1, 2, 3))) + data[end:]

    def resigned_lines(self, data, lines):
        """A text whose lines are moved, dropped, doubled or put in from others."""
        found = data.split(b"\n")
        for _ in range(self.choice((1, 1, 2, 3))):
            at = self.randrange(len(found))
            how = self.randrange(5)
            if how == 0:
                del found[at]
            elif how == 1:
                found.insert(self.randint(0, len(found)), found[at])
            elif how == 2:
                other = self.randrange(len(found))
                found[at], found[other] = found[other], found[at]
            else:
                found[at : at + (how == 3)] = [self.choice(lines)]
            found = found or [b""]
        return b"\n".join(found)


class Subject:
    """make(chance) gives a case of JSON; ours(case) and theirs(case) what is to be the same."""

    weight = 1


class Datagrams(Subject):
    weight = 800

    def __init__(self):
        vectors = load("datagrams.json")
        self.network = bytes.fromhex(vectors["network"])
        self.seeds = [bytes.fromhex(case["hex"]) for case in vectors["cases"]]

    def make(self, chance):
        data = chance.mutated(chance.choice(self.seeds), self.seeds)
        if len(data) > 20 and chance.random() < 0.3:  # keep what is behind the header in step
            tlv = bytes([chance.choice((1, 2, 3, 4, 5, 10, 99, 128, 255))])
            size = chance.choice((0, 1, 5, 6, 13, 14, 24, 38, 41, 42, 43))
            data += tlv + size.to_bytes(2, "big") + chance.randbytes(size)
        return {"hex": data.hex()}

    def ours(self, case):
        data = bytearray.fromhex(case["hex"])
        kind = datagram.kind(data, len(data), self.network)
        return ours_datagrams.read(data, kind) if kind > 0 else None

    def theirs(self, case):
        parsed = wire.parse(bytes.fromhex(case["hex"]), self.network)
        return theirs.says(parsed) if parsed else None


class Manifests(Subject):
    weight = 400
    words = (b"!", b": ", b" any", b"0", b"-", b"Payload-", b"CA-Key-", b"CA-Keep-", b"Z", b"=")

    def __init__(self):
        self.seeds = [bytes.fromhex(case["hex"]) for case in load("manifests.json")]
        self.lines = [line for seed in self.seeds for line in seed.split(b"\n") if len(line) < 600]

    def make(self, chance):
        data = chance.choice(self.seeds)
        if chance.random() < 0.6:
            data = chance.resigned_lines(data, self.lines)
        if chance.random() < 0.6:
            data = chance.mutated(data, self.seeds, self.words)
        return {"hex": data.hex()}

    def ours(self, case):
        m, _ = ours_manifest.parse(bytes.fromhex(case["hex"]))
        if m is None:
            return None
        lines = [(p.kind, p.size, p.stored, p.pid, p.boards or ("any",)) for p in m.payloads]
        keys = getattr(m, "keys", None) or {}  # of a key set alone
        of_set = (m.threshold, sorted(set(m.keep))) if keys else (0, [])
        return (
            m.rid, m.version, m.revision, m.experimental, m.withdrawn, m.signed_at_s, m.start_s,
            m.end_s or 0, sorted(m.groups), m.share, m.window_s, bool(m.critical), lines,
            [(bytes(i), bytes(k)) for i, k in sorted(keys.items())], *of_set,
        )  # fmt: skip

    def theirs(self, case):
        try:
            m = manifest.Manifest(bytes.fromhex(case["hex"]))
        except trust.Malformed:
            return None
        lines = [(p.kind, p.size, p.stored, p.pid, tuple(p.boards)) for p in m.lines]
        keys = sorted((k.key_id, k.key) for k in m.keys if k.tag == b"Ed")
        return (
            m.rid, m.version, m.revision, m.experimental, m.withdrawn, m.signed_at_s, m.start_s,
            m.end_s or 0, sorted(m.groups), m.share, m.window_s, m.critical, lines,
            keys, m.threshold if keys else 0, sorted(m.keeps) if keys else [],
        )  # fmt: skip


class Signatures(Subject):
    """Files for one manifest, blocks moved and bytes changed."""

    weight = 20

    def __init__(self):
        self.vectors = load("signatures.json")
        self.m = bytes.fromhex(self.vectors["manifest"])
        seeds = [case["signatures"].encode() for case in self.vectors["cases"]]
        self.seeds = [seed for seed in seeds if len(seed) < 12000]
        self.blocks = [
            seed[at : at + 145] for seed in self.seeds for at in range(0, len(seed), 145)
            if seed[at:].startswith(trust.COMMENT)
        ]  # fmt: skip

    def make(self, chance):
        if chance.random() < 0.5:
            data = b"".join(chance.choices(self.blocks, k=chance.randint(1, 5)))
        else:
            data = chance.choice(self.seeds)
        if chance.random() < 0.6:
            data = chance.mutated(data, self.seeds, (trust.COMMENT, b"=", b"\n"))
        return {"hex": data.hex()}

    def ours(self, case):
        found = ours_formats.trust_of(self.vectors).check(self.m, bytes.fromhex(case["hex"]))
        return (found[0] is not None, bytes(found[1]) if found[0] is not None else b"")

    def theirs(self, case):
        believed = theirs.trust_of(self.vectors)
        verdict, kept = believed.judge(manifest.Manifest(self.m), bytes.fromhex(case["hex"]))
        return (verdict == "good", kept)


class KeySets(Subject):
    """Chains of key sets and releases, signed by whoever: section 2.6."""

    weight = 2

    def __init__(self):
        made = trust.ed25519.Ed25519PrivateKey.from_private_bytes
        self.secrets = [made(bytes([n]) * 32) for n in range(6)]
        self.public = [secret.public_key().public_bytes_raw() for secret in self.secrets]
        self.network = trust.network_id("differential", self.public[:3])

    def make(self, chance):
        steps, rids = [], []
        for _ in range(chance.randint(1, 6)):
            text = self._manifest(chance, rids)
            rids.append(hashlib.sha256(text).hexdigest())
            steps.append([text.decode(), self._file(chance, text)])
            if chance.random() < 0.3:
                again = chance.choice(steps)[0]
                steps.append([again, self._file(chance, again.encode())])
        return {"steps": steps, "threshold": chance.choice((1, 1, 2, 3))}

    def _manifest(self, chance, rids):
        head = f"Format: swdist-release 1\nNetwork: {self.network.hex()}\n"
        times = "Signed-At: 2026-11-23T10:00:00Z\nStart: 2026-11-24T03:00:00Z\n"
        head += f"Channel: stable\nRevision: 0\n{times}"
        if chance.random() < 0.5:
            return f"{head}Version: 1.{chance.randint(0, 3)}.0\nWithdrawn: yes\n".encode()
        count = chance.randint(1, 4)
        lines = [
            f"Version: 0.0.{chance.choice((1, 1, 2, 3))}",
            f"CA-Threshold: {chance.randint(1, min(2, count))}",
        ]
        for n, i in enumerate(chance.sample(range(6), count), 1):
            tag = chance.choice((b"Ed", b"Ed", b"Ed", b"Xx"))
            key = tag + self._id(chance, i) + self.public[i]
            lines.append(f"CA-Key-{n}: {base64.b64encode(key).decode()}")
        if rids and chance.random() < 0.6:
            lines.append("CA-Keep-1: " + " ".join(chance.choices(rids, k=chance.randint(1, 3))))
        return (head + "\n".join(lines) + "\n").encode()

    def _id(self, chance, i):
        """A key's id; now and then that of another."""
        return bytes([chance.choice((i, i, i, i, i, (i + 1) % 6)) + 65]) * 8

    def _file(self, chance, text):
        data = b""
        for i in chance.choices(range(6), k=chance.randint(1, 6)):
            tag = chance.choice((b"Ed",) * 7 + (b"Xx",))
            block = tag + self._id(chance, i) + self.secrets[i].sign(text)
            if chance.random() < 0.06:
                block = block[:-1] + bytes([block[-1] ^ 1])
            data += trust.COMMENT + base64.b64encode(block) + b"\n"
        return data.decode()

    def ours(self, case):
        keys = {bytes([65 + i]) * 8: self.public[i] for i in range(3)}
        believed, said = verify.Trust(keys, case["threshold"], self.network), []
        held = {}
        for text, file in case["steps"]:
            if text in held:  # section 2.2, rule 6
                release, kept = believed.check(text.encode(), held[text], file.encode())
            else:
                release, kept = believed.check(text.encode(), file.encode())
            said.append((release is not None, bytes(kept) if release is not None else b""))
            if release is not None:
                held[text] = bytes(kept)
                said.append(believed.adopt(release))
        return said

    def theirs(self, case):
        keys = [trust.Key(b"Ed", bytes([65 + i]) * 8, self.public[i]) for i in range(3)]
        believed, said = trust.Trust(self.network, keys, case["threshold"]), []
        held = {}
        for text, file in case["steps"]:
            try:
                m = manifest.Manifest(text.encode())
            except trust.Malformed:
                said.append((False, b""))
                continue
            both = (held[text], file.encode()) if text in held else (file.encode(),)
            verdict, kept = believed.judge(m, *both)
            said.append((verdict == "good", kept))
            if verdict == "good":
                held[text] = kept
                said.append(believed.take(m))
        return said


class Indexes(Subject):
    weight = 40

    def make(self, chance):
        pages = []
        for _ in range(chance.choice((1, 1, 2, 3))):
            count = chance.choice((1, 1, 2, 30, 1500, 1556))
            sent = chance.choice((21, 42, 861, 65520, 65499, 63000)) + chance.choice(
                (0,) * 9 + (1, -1)
            )
            pages.append([count, sent, sent + chance.choice((0,) * 9 + (21,)),
                          chance.choice((0,) * 9 + (1, 2))])  # fmt: skip
        return {"zeros": chance.choice((32,) * 9 + (31, 33)), "pages": pages,
                "tail": "00" * chance.choice((0, 0, 0, 0, 1, 20, 21))}  # fmt: skip

    def _data(self, case):
        data = bytes(case["zeros"])
        for count, sent, inflated, encoding in case["pages"]:
            lengths = (sent % 65536).to_bytes(2, "big") + (inflated % 65536).to_bytes(2, "big")
            data += count * (bytes(16) + lengths + bytes([encoding]))
        return data + bytes.fromhex(case["tail"])

    def ours(self, case):
        return index.pages(self._data(case))

    def theirs(self, case):
        try:
            pages = payload.parse_index(self._data(case))[1]
        except trust.Malformed:
            return None
        return (len(pages), sum(page.sent // 21 for page in pages))


class Chunks(Subject):
    """Payloads of one page whose chunks are mutated, with true digests around them."""

    def __init__(self):
        self.seeds = []
        for case in load("index.json")["payloads"]:
            if case["installs"] is None:
                continue
            entries = b"".join(bytes.fromhex(page) for page in case["pages"])
            for n, (text, times) in enumerate(case["chunks"]):
                entry = payload.entries(entries)[n]
                if times * len(text) < 20_000:
                    chunk = bytes.fromhex(text) * times
                    self.seeds.append((chunk, entry.inflated, entry.encoding))
        self.chunks = [seed[0] for seed in self.seeds]

    def make(self, chance):
        chunks = []
        for _ in range(chance.choice((1, 1, 2))):
            chunk, inflated, encoding = chance.choice(self.seeds)
            if chance.random() < 0.7:
                chunk = chance.mutated(chunk, self.chunks)[:65536] or b"x"
            if chance.random() < 0.2:
                inflated = chance.choice((len(chunk), 1, inflated + 1, max(inflated - 1, 1)))
            if chance.random() < 0.1:
                encoding = chance.choice((0, 1, 2, 255))
            chunks.append([chunk.hex(), min(inflated, 65536), encoding])
        lie = [chance.choice((0,) * 9 + (1, -1)) for _ in range(2)]
        return {"chunks": chunks, "lie": lie}

    def _case(self, case):
        """As in index.json; the digest of the whole is what comes out, if something does."""
        page, whole = b"", b""
        for text, inflated, encoding in case["chunks"]:
            chunk = bytes.fromhex(text)
            lengths = (len(chunk) % 65536, inflated % 65536)
            page += hashlib.sha256(chunk).digest()[:16]
            page += b"".join(n.to_bytes(2, "big") for n in lengths) + bytes([encoding])
            try:
                whole += payload.inflate(payload.entries(page)[-1], chunk)
            except trust.Malformed:
                whole += b"?"
        head = hashlib.sha256(whole).digest()
        size = sum(inflated for _, inflated, _ in case["chunks"]) + case["lie"][0]
        stored = sum(len(text) // 2 for text, _, _ in case["chunks"]) + case["lie"][1]
        lengths = len(page).to_bytes(2, "big") * 2
        return {
            "index": (head + hashlib.sha256(page).digest()[:16] + lengths + b"\0").hex(),
            "pages": [page.hex()], "chunks": [[text, 1] for text, _, _ in case["chunks"]],
            "size": size, "stored": stored,
        }  # fmt: skip

    def ours(self, case):
        case = self._case(case)
        if not 1 <= case["stored"] <= case["size"]:
            return None
        made = ours_index.Payload(case)
        with ours_index.Box(quota=1 << 20) as box:
            assert box.store.add(made.manifest, b"good")[1] is None
            assert box.store.put_index(made.pid, made.index) is None
            held = box.store.held(made.pid)
            for piece in made.pages + made.chunks:
                assert box.store.put(held, memoryview(piece)) == (len(piece), None)
            whole = box.store.ready(None, made.line)
        with Folder() as folder:
            made.write(folder)
            return whole, ours_index.inflated(folder, made.line)[0] if whole else None

    def theirs(self, case):
        case = self._case(case)
        if not 1 <= case["stored"] <= case["size"]:
            return None
        found = theirs.filled(case)
        line = manifest.Line("slot", case["size"], case["stored"], found.pid, ["any"])
        try:
            digest = hashlib.sha256(found.content()).hexdigest()
        except trust.Malformed:
            digest = None
        return found.is_whole(line), digest if found.is_whole(line) else None


class Archives(Subject):
    """Archives; checksums are put right again, most of the time."""

    weight = 200

    def __init__(self):
        self.max_bytes = load("archives.json")["max_bytes"]
        self.seeds = [theirs.sparse(case["file"]) for case in load("archives.json")["cases"]]

    def make(self, chance):
        data = chance.choice(self.seeds)
        if chance.random() < 0.3:
            data = data[: -1024 if len(data) > 1024 else 0] + chance.choice(self.seeds)
        data = bytearray(self._fields(chance, data))
        for at in range(0, len(data) - 511, 512):
            header = data[at : at + 512]
            if header[257:262] == b"ustar" and chance.random() < 0.95:
                header[148:156] = b" " * 8
                data[at + 148 : at + 156] = b"%06o\0 " % sum(header)
        return {"hex": bytes(data).hex()}

    def _fields(self, chance, data):
        for _ in range(chance.choice((1, 1, 2, 3))):
            if chance.random() < 0.2 or len(data) < 512:
                data = chance.mutated(data, self.seeds)
                continue
            at = 512 * chance.randrange(len(data) // 512)
            at += chance.choice((0, 0, 1, 2, 5, 98, 99, 100, 106, 107, 124, 134, 135, 156, 157,
                                 345, 346, 350, 499, 500, 257, 263, 264, 329))  # fmt: skip
            new = chance.choice(
                (
                    b"/",
                    b".",
                    b"..",
                    b"a",
                    b"\0",
                    b" ",
                    b"7",
                    b"8",
                    b"0",
                    b"5",
                    b"d/",
                    b"a/b",
                    b"\0b",
                    b"0000755\0",
                    b"\x80",
                    b"~",
                    b"\\",
                    b"x" * 90,
                )
            )
            data = data[:at] + new + data[at + len(new) :]
        return data

    def ours(self, case):
        why, fs = ours_archives.unpack(bytes.fromhex(case["hex"]), 1 << 20, self.max_bytes)
        if why is not None:
            return None
        tree = {path[6:] + "/": b"" for path in fs.dirs if path.startswith("/slot/")}
        for path, data in fs.files.items():
            tree[path[6:] + ("*" if fs.modes.get(path) == 0o755 else "")] = bytes(data)
        return tree

    def theirs(self, case):
        try:
            files, executable = archive.unpack(bytes.fromhex(case["hex"]), self.max_bytes)
        except trust.Malformed:
            return None
        return {
            path + ("/" if data is None else "*" if path in executable else ""): data or b""
            for path, data in files.items()
        }


class ReleaseFiles(Archives):
    weight = 4

    def __init__(self):
        self.vectors = load("swd.json")
        cases = [case for case in self.vectors["cases"] if case["signed"]]
        self.seeds = [theirs.sparse(case["file"]) for case in cases if case["bytes"] < 15000]
        keys = {bytes.fromhex(i): bytes.fromhex(k) for i, k in self.vectors["keys"].items()}
        network = bytes.fromhex(self.vectors["network"])
        self.believed = lambda: verify.Trust(keys, self.vectors["threshold"], network)

    def ours(self, case):
        with Folder() as path:
            data = io.BytesIO(bytes.fromhex(case["hex"]))
            release, _ = inject.put(FS, path, self.believed(), data, 1 << 20)
            return release and release.rid

    def theirs(self, case):
        try:
            m, signatures, _ = archive.read_release(bytes.fromhex(case["hex"]))
        except trust.Malformed:
            return None
        good = theirs.trust_of(self.vectors).judge(m, signatures)[0] == "good"
        return m.rid if good else None


class Names(Subject):
    """What a name of section 4 gives. A run may end wherever it likes: at a piece's end."""

    weight = 300

    def __init__(self):
        self.seeds = [case["asked"].encode() for case in load("tftp.json")["names"]]
        self.stores = {}

    def make(self, chance):
        name = chance.choice(self.seeds)
        if chance.random() < 0.8:
            words = (
                b"0",
                b"-",
                b"1",
                b"/",
                b"65534",
                b"65535",
                b"index",
                b"manifest",
                b"%d" % chance.randint(0, 9),
            )
            head, slash, what = name.rpartition(b"/")
            name = head + slash + chance.mutated(what, [b"0-1", b"index"], words)
        if chance.random() < 0.2:
            name = chance.mutated(name, self.seeds)
        name = name.replace(b"\0", b"")
        return {"hex": name.hex(), "held": chance.choice((0, 1, 2, 3, 4, 8))}

    def ours(self, case):
        held = case["held"]
        if held not in self.stores:
            box = ours_tftp.Box(quota=512 * 1024)
            self.stores[held] = (ours_tftp.filled(box, held), theirs.tftp_store(held)[0], box)
        file = self.stores[held][0].open(bytes.fromhex(case["hex"]))
        if file is None:
            return None
        data = bytearray(file.size)
        file.read_into(0, memoryview(data))
        file.close()
        return b"signatures" if data == b"good" else bytes(data)

    def theirs(self, case):
        return self.stores[case["held"]][1].serve(bytes.fromhex(case["hex"]).decode("latin-1"))

    def close(self):
        for _, _, box in self.stores.values():
            box.__exit__()


class Requests(Subject):
    """What a request is answered with. What is granted is free, as long as it is no more than what
    was asked for; so only the options' names are compared, and `tsize` and `keep`."""

    weight = 300

    def __init__(self):
        self.seeds = [bytes.fromhex(case["packet"]) for case in load("tftp.json")["requests"]]
        self.data = bytes(range(256)) * 100

    def make(self, chance):
        data = chance.choice(self.seeds)
        words = (b"\0", b"keep\x001\0", b"blksize\x00512\0", b"TSIZE\0", b"0\0", b"\0octet\0",
                 b"windowsize\x004\0")  # fmt: skip
        end = data.find(b"\0", 2) + 1  # of the name
        if chance.random() < 0.8 and end:
            data = data[:end] + chance.mutated(data[end:], self.seeds, words)
        else:
            data = chance.mutated(data, self.seeds, words)
        return {"hex": data.hex()} if self._is_known(data) else self.make(chance)

    def _is_known(self, data):
        """Requests of which the answers are the same: long enough for an ERROR that is at most
        three times as long."""
        return len(data) >= 12

    def _said(self, packets):
        if not packets:
            return None
        packet = packets[0]
        if packet[:2] != b"\0\6":
            return packet[:4]
        words = packet[2:-1].split(b"\0")
        granted = dict(zip(words[::2], words[1::2]))
        return {k: v if k in (b"tsize", b"keep") else b"" for k, v in granted.items()}

    def _open(self, name):
        return None if b"/8" in bytes(name) else File(io.BytesIO(self.data), 0, len(self.data))

    def ours(self, case):
        return self._said(ours_tftp.Server(self._open).ask(bytes.fromhex(case["hex"])))

    def theirs(self, case):
        port = theirs.Port()
        server = tftp.Server(lambda name: None if "/8" in name else self.data, port)
        server.credit["peer"] = 4096
        server.request("link", "peer", 1000, bytes.fromhex(case["hex"]), 0)
        return self._said(port.sent)


class Serving(Subject):
    """Acknowledgements, and the blocks that answer them. None comes twice: whether the second is
    answered is free."""

    weight = 100

    def make(self, chance):
        acks = [0]
        for _ in range(chance.randint(1, 12)):
            acks.append(acks[-1] + chance.choice((1, 1, 2, 3, 4, 4, 4)))
        if chance.random() < 0.3:
            acks.insert(chance.randint(1, len(acks)), 0)
        return {"acks": acks[1:] if acks[:2] == [0, 0] else acks, "keep": chance.random() < 0.7}

    def ours(self, case):
        server = ours_tftp.Server(
            lambda name: File(io.BytesIO(bytes(512 * 40 - 1)), 0, 512 * 40 - 1)
        )
        packet = b"\0\1x\0octet\0windowsize\x004\0blksize\x00512\0"
        server.ask(packet + (b"keep\x001\0" if case["keep"] else b""))
        said = []
        for ack in case["acks"]:
            try:
                said.append(server.acknowledge(ack))
            except AssertionError:  # not a block that was sent
                said.append([])
        return said

    def theirs(self, case):
        options = {"windowsize": 4} | ({"keep": 1} if case["keep"] else {})
        sending = tftp.Sending(bytes(512 * 40 - 1), options, 0)
        return [list(sending.acknowledged(ack, 0)) for ack in case["acks"]]


class Getting(Subject):
    """Blocks, and what acknowledges them."""

    weight = 200

    def make(self, chance):
        blocks, at = [], 1
        for _ in range(chance.randint(1, 20)):
            if chance.random() < 0.75:
                blocks.append(at)
            at += 1  # what comes twice may be acknowledged twice
        return {"blocks": blocks}

    def ours(self, case):
        client = ours_tftp.Client()
        return [[ack[1] for ack in client.block(block)] for block in case["blocks"]]

    def theirs(self, case):
        client = tftp.Client("x", 65536, 0)
        client.receive(b"\0\6" + tftp.strings([("windowsize", 4), ("keep", 1)]), 0)
        found = []
        for block in case["blocks"]:
            sent = client.receive(b"\0\3" + block.to_bytes(2, "big") + bytes(512), 0)
            found.append([int.from_bytes(packet[2:4], "big") for packet in sent])
        return found


class Holding(Subject):
    """Releases that come in some order: what is taken, the set and its digest."""

    def __init__(self):
        self.names = list(load("store.json")["manifests"])

    def make(self, chance):
        some = chance.sample(self.names, chance.choice((3, 10, 70)))
        steps = []
        for _ in range(len(some) * 2):
            do = chance.choice(("taken",) * 15 + ("runs",))
            done = [name for what, name in steps if what == "taken"]
            steps.append([do, chance.choice(done if do == "runs" and done else some)])
        return {"steps": steps}

    def ours(self, case):
        with ours_store.Box(fs=ours_store.Hasty()) as box:
            said, runs = [], []
            for do, name in case["steps"]:
                rid = ours_store.rids([name])
                if do == "runs":
                    if box.store.catalogue.get(rid[0]):
                        box.store.collect(rid)
                    continue
                # A key set that is not the next one is the signatures' matter.
                said.append(box.store.add(ours_store.MANIFESTS[name], b"good")[0] is not None)
            shown = [r.rid for r in box.store.catalogue.shown()]
            return said, shown, bytes(box.store.catalogue.digest()), runs

    def theirs(self, case):
        believed = theirs.Believer(b"", [], 1)
        believed.judge = lambda m, signatures, more=None: ("good", signatures)
        held = store.Store(believed)
        held.has_room = self._room(held, held.has_room)
        said = []
        for do, name in case["steps"]:
            m = manifest.Manifest(ours_store.MANIFESTS[name])
            if do == "runs":
                held.run(m.rid if m.rid in held.releases else held.runs or b"", b"")
                continue
            said.append(held.take(m.text, b"good") == "taken")
        return said, [m.rid for m in held.set()], held.digest(), []

    def _room(self, held, has_room):
        """No signatures here, so no key set is the next one: the first of its number stays."""

        def room(m):
            if not m.key_set:
                return has_room(m)
            return (
                all(h.version != m.version for h in held.releases.values())
                or m.rid in held.releases
            )

        return room


class Choosing(Subject):
    """Nodes, releases and what of them is ready, all of it drawn. What begins within a second has
    its turn before an image, which then waits for that: hence the ticks."""

    LAST_S = 67

    def _ticks_s(self, case):
        """Seconds from the beginning: about each instant at which something begins or ends."""
        manifests = [manifest.Manifest(bytes.fromhex(text)) for text in case["held"].values()]
        instants = {m.start_s for m in manifests} | {m.end_s for m in manifests} - {None}
        around = {at - case["at"][0]["now_s"] + n for at in instants for n in (0, 1, 2, 3)}
        return sorted({2, 4, self.LAST_S} | {at for at in around if 0 < at < self.LAST_S})

    weight = 40

    def make(self, chance):
        boards = ("b", "c", "any", "b c", "c b")
        held, ready = {}, []
        for n in range(chance.randint(0, 5)):
            text, count = self._manifest(chance, boards, n)
            held[f"r{n}"] = text.encode().hex()
            if chance.random() < 0.7:  # all of its lines or none: else one may be there to unpack
                ready += [[f"r{n}", line] for line in range(1, count + 1)]
        names = list(held)
        node = {
            "board": "b", "kinds": chance.choice((["slot"], ["slot", "ipk", "image"])),
            "groups": chance.choice(([], ["x"])), "factory": chance.choice(("1.0.0", "1.1.0")),
            "lot": chance.choice((None, "000102030405060708090a0b0c0d0e0f")),
        }  # fmt: skip
        now_s = 1795489200 + chance.choice((-1, 0, 1, 10, 19, 20, 21, 50, 1000))
        return {
            "name": "drawn", "held": held, "ready": ready, "hold": chance.random() < 0.25,
            "failed": [name for name in names if chance.random() < 0.15],
            "active": chance.choice([*self._may_run(node, held), "factory"]), "node": node,
            "at": [{"now_s": now_s, "synchronised": chance.random() < 0.8,
                    "kept_s": now_s + chance.choice((-100, 0, 100))}],
        }  # fmt: skip

    def _may_run(self, node, held):
        """What can be active here, at some time."""
        profile = choose.Profile(node["board"], (0, 0, 0), node["kinds"])
        for name, text in held.items():
            m = manifest.Manifest(bytes.fromhex(text))
            _, line = choose.fitting(profile, m)
            if line and line.kind != "image" and not m.critical:
                yield name

    def _manifest(self, chance, boards, n):
        start = 1795489200 + chance.choice((-1000, 0, 0, 0, 1, 10, 50))
        lines = ["Format: swdist-release 1", "Network: a0c3e8ef0903011e"]
        lines += [
            f"Version: 1.{chance.choice((0, 1, 1, 2, 3))}.0",
            f"Revision: {chance.choice((0, 0, 1))}",
        ]
        experimental = chance.random() < 0.35
        lines += [f"Channel: {'experimental' if experimental else 'stable'}"]
        lines += ["Signed-At: 2026-11-23T10:00:00Z", f"Start: {self._utc(start)}"]
        if experimental:
            lines.append(f"End: {self._utc(start + chance.choice((10, 20, 1000)))}")
            if chance.random() < 0.3:
                lines.append("Groups: x y")
            if chance.random() < 0.3:
                lines.append(f"Share: {chance.choice((1, 500, 669, 670, 1000))}")
        if chance.random() < 0.08:
            lines.append("!Odd: yes")
        lines.append(f"Description: {n}")
        if chance.random() < 0.12:
            return "\n".join([*lines, "Withdrawn: yes"]) + "\n", 0
        count = chance.choice((1, 1, 1, 2, 3))
        kinds = chance.choices(("slot", "slot", "slot", "ipk", "image", "odd"), k=count)
        if "image" in kinds:
            lines.append("Window: 600")
        for i, kind in enumerate(kinds, 1):
            pid = hashlib.sha256(f"{n} {i}".encode()).hexdigest()
            stored = chance.choice((100, 100, 99))
            lines.append(f"Payload-{i}: {kind} 100 {stored} {pid} {chance.choice(boards)}")
        return "\n".join(lines) + "\n", count

    def _utc(self, at_s):
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))

    def ours(self, case):
        node = ours_choosing.Node(case, case["at"][0], lambda n: 0)
        found = node.runs()
        before = list(node.flashed)
        for seconds in self._ticks_s(case):
            node.tick(ours_choosing.NOW + seconds * ours_choosing.S)
        return list(found), [before, [node.slots.rids[rid] for rid in node.flashed][:1]]

    def theirs(self, case):
        chooser, held, names = theirs.chooser_of(case)
        at = case["at"][0]
        floor_s = max((m.signed_at_s for m in held.values()), default=0)
        now_s = max(floor_s, at["now_s"] if at["synchronised"] else at["kept_s"])
        best, _ = chooser.choose(held.values(), now_s, at["synchronised"], 0)
        audience = best and choose.in_audience(chooser.profile, best)
        line = choose.fitting(chooser.profile, best)[0] if audience else 0
        chooser.active = best.rid if best else None
        flashed = []
        for seconds in self._ticks_s(case):
            later_s = now_s + seconds if at["synchronised"] else now_s
            counter_us = seconds * ours_choosing.S
            then, flash = chooser.choose(held.values(), later_s, at["synchronised"], counter_us)
            chooser.active = then.rid if then else None
            flashed += [names[flash.rid]] if flash else []
        return [names[best and best.rid], line], [[], flashed[:1]]


class Wanting(Choosing):
    """What a node takes, and wants for itself, of drawn releases. Images depend on room in RAM."""

    weight = 2
    KINDS = ("slot", "ipk")
    FACTORY = (1, 0, 0)

    def make(self, chance):
        some = [self._manifest(chance, ("b", "c", "any", "b c"), n)[0] for n in range(4)]
        return {"texts": some}

    def ours(self, case):
        with ours_store.Box(fs=ours_store.Hasty()) as box:
            room = Room(Here("b", self.KINDS), self.FACTORY, 1 << 20, 1 << 20)
            held = type(box.store)(box.fs, box.path, ours_wired.trust_of(None), box.log, room)
            held.load()
            said = [held.add(text.encode(), b"good")[0] is not None for text in case["texts"]]
            return said, sorted(bytes(pid) for pid in held.needs.wanted())

    def theirs(self, case):
        held = store.Store(theirs.Believer(b"", [], 1))
        said = [held.take(text.encode(), b"good") == "taken" for text in case["texts"]]
        profile = choose.Profile("b", self.FACTORY, self.KINDS)
        lines = [choose.wanted_line(profile, m) for m in held.releases.values()]
        return said, sorted({line.pid for line in lines if line})


SUBJECTS = [
    Datagrams, Manifests, Signatures, KeySets, Indexes, Chunks, Archives, ReleaseFiles, Names,
    Requests, Serving, Getting, Holding, Choosing, Wanting,
]  # fmt: skip


class Different(Subject):
    """Not among the others: to see that a difference is seen."""

    def make(self, chance):
        return {"n": chance.randrange(10)}

    def ours(self, case):
        return case["n"]

    def theirs(self, case):
        return case["n"] % 9


NAMED = {kind.__name__: kind for kind in [*SUBJECTS, Different]}


def differs(subject, case):
    """The two answers, if they are not the same."""
    ours, reference = subject.ours(case), subject.theirs(case)
    return None if ours == reference else (ours, reference)


def run(seconds, seed, only=None):
    """Yields (subject, case, answers) for each difference, and (None, counts) at the end."""
    chance = Chance(seed)
    chosen = [NAMED[name]() for name in only or [kind.__name__ for kind in SUBJECTS]]
    counts = {type(subject).__name__: 0 for subject in chosen}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for subject in chosen:
            for _ in range(subject.weight):
                case = subject.make(chance)
                counts[type(subject).__name__] += 1
                if answers := differs(subject, case):
                    yield type(subject).__name__, case, answers
    for subject in chosen:
        getattr(subject, "close", lambda: None)()
    yield None, counts, None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=NAMED)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("build/differential"))
    parser.add_argument("--again", type=pathlib.Path, help="a file of that folder")
    args = parser.parse_args()
    if args.again:
        found = json.loads(args.again.read_text())
        answers = differs(NAMED[found["subject"]](), found["case"])
        print("the same" if answers is None else f"ours {answers[0]}\nreference {answers[1]}")
        return answers is not None
    different = 0
    for name, case, answers in run(args.seconds, args.seed, args.only):
        if name is None:
            print(f"{sum(case.values())} cases, {different} differences: {case}")
            continue
        different += 1
        args.folder.mkdir(parents=True, exist_ok=True)
        path = args.folder / f"{name}-{args.seed}-{different}.json"
        path.write_text(json.dumps({"subject": name, "case": case}))
        print(f"{path}\n  ours      {str(answers[0])[:200]}\n  reference {str(answers[1])[:200]}")
        if different >= 20:
            break
    return different > 0


if __name__ == "__main__":
    sys.exit(main())
