"""Keys in signify's formats: what is made here works with signify and usign, and the reverse."""

import base64
import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import bcrypt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from swdist.formats import usign
from swdist.formats.manifest import MAX_KEYS
from swdist_host import files, sigfile
from swdist_host.amounts import count
from swdist_host.errors import BadValue, Refused

ROUNDS = 42  # as signify(1)
MAX_ROUNDS = 1000  # some 20 s
_SECRET = "!2s2sI16s8s8s64s"  # tag, kdf, rounds, salt, checksum, key id, seed and public key
COMMENT = b"untrusted comment: "


@dataclass(frozen=True)
class PublicKey:
    """key_id: 8 bytes; key: 32 bytes; text: the key file."""

    key_id: bytes
    key: bytes
    text: bytes

    @property
    def name(self):
        return sigfile.fingerprint(self.key_id)


class SecretKey:
    def __init__(self, key_id, seed):
        self.key_id = key_id
        self.seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        key = self._key.public_key().public_bytes_raw()
        self.public = PublicKey(key_id, key, public_text(key_id, key))

    def sign(self, message):
        """The 64-byte signature (RFC 8032)."""
        return self._key.sign(message)


def generate():
    return SecretKey(os.urandom(8), os.urandom(32))


def _mask(passphrase, salt, rounds):
    if not rounds:
        return bytes(64)
    if not passphrase:
        raise Refused("the key has a passphrase, and none was given; type it, or pipe it in")
    secret = passphrase.encode("utf-8", "surrogateescape")
    return bcrypt.kdf(secret, salt, 64, rounds, ignore_few_rounds=True)


def _xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def public_text(key_id, key):
    comment = f"swdist public key {sigfile.fingerprint(key_id)}\n".encode()
    return COMMENT + comment + base64.b64encode(b"Ed" + key_id + key) + b"\n"


def secret_text(key, passphrase):
    """signify's secret key file; passphrase None leaves it unprotected."""
    rounds = ROUNDS if passphrase else 0
    salt = os.urandom(16)
    plain = key.seed + key.public.key
    check = hashlib.sha512(plain).digest()[:8]
    body = struct.pack(
        _SECRET, b"Ed", b"BK", rounds, salt, check, key.key_id,
        _xor(plain, _mask(passphrase, salt, rounds)),
    )  # fmt: skip
    comment = f"swdist secret key {key.public.name}\n".encode()
    return COMMENT + comment + base64.b64encode(body) + b"\n"


def save(key, name, passphrase):
    """Writes NAME.sec, for its owner alone, and NAME.pub; their paths. Overwrites nothing."""
    secret, public = Path(f"{name}.sec"), Path(f"{name}.pub")
    for path in (secret, public):
        if path.exists():
            raise files.exists(path)
    files.write(secret, secret_text(key, passphrase), mode=0o600)
    try:
        files.write(public, key.public.text)
    except Refused:
        secret.unlink()
        raise
    return secret, public


def is_open(path):
    """Can others than its owner read the secret key?"""
    return bool(Path(path).stat().st_mode & 0o077)


def load_secret(path, ask=None):
    """ask() gives the passphrase, where one is needed."""
    line = usign.second_line(files.read(path, 4096))
    try:
        body = base64.b64decode(line or b"", validate=True)
        tag, kdf, rounds, salt, check, key_id, masked = struct.unpack(_SECRET, body)
    except (ValueError, struct.error):
        tag = kdf = b""
    if tag != b"Ed" or kdf != b"BK":
        raise Refused(f"{path}: not a secret key of signify's form; use the .sec file")
    if rounds > MAX_ROUNDS:
        raise Refused(
            f"{path}: {rounds} rounds of key derivation, of {MAX_ROUNDS} at most; is it damaged?"
        )
    passphrase = ask() if rounds and ask else ""
    plain = _xor(masked, _mask(passphrase, salt, rounds))
    if hashlib.sha512(plain).digest()[:8] != check:
        raise Refused(f"{path}: wrong passphrase, or the file is damaged; try again")
    key = SecretKey(key_id, plain[:32])
    if key.public.key != plain[32:]:
        raise Refused(f"{path}: its halves don't belong together; take a good copy of it")
    return key


def load_public(path):
    data = files.read(path, 4096)
    parsed = usign.parse_public_key(data)
    if parsed is None or parsed[0] != b"Ed":
        raise Refused(f"{path}: not a public key of signify's form; use the .pub file")
    return PublicKey(parsed[1], parsed[2], data)


def check_set(publics, threshold):
    """BadValue where these can't be the keys of a network."""
    n = len(publics)
    if len({p.key for p in publics}) != n or len({p.key_id for p in publics}) != n:
        raise BadValue("a key is given twice; give each once")
    if n > MAX_KEYS:
        raise BadValue(f"{n} keys; a network has {MAX_KEYS} at most")
    if not 1 <= threshold <= n:
        most = f" to {n}" if n > 1 else ""
        raise BadValue(f"threshold {threshold} with {count(n, 'key')}; give 1{most}")
