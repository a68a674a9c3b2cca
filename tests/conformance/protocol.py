"""The wire protocol a second time, in another language and with another crypto library, to hold the agent against.

Nothing here is taken from the agent: keys, thumbprints, the session cipher and the text of messages are read and
written as deployed daemons do it. Needs Debian's python3-zmq and python3-cryptography.
"""
import base64
import collections
import hashlib
import json
import re
import secrets

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

# How a public key may be written: its structure and the label above it. Deployed daemons mix them.
KEY_FORMS = ("spki", "pkcs1", "spki labelled pkcs1", "pkcs1 labelled spki")

Text = collections.namedtuple("Text", "kind token target body")


def draw_key(bits=2048):
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def read_private_key(path):
    with open(path, "rb") as file:
        return serialization.load_pem_private_key(file.read(), password=None)


def write_public_key(key, form="spki labelled pkcs1"):
    """The PEM text (bytes) of the public half of `key`."""
    layout = serialization.PublicFormat.PKCS1 if form.startswith("pkcs1") else serialization.PublicFormat.SubjectPublicKeyInfo
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, layout)
    if form == "spki labelled pkcs1":
        return pem.replace(b"BEGIN PUBLIC", b"BEGIN RSA PUBLIC").replace(b"END PUBLIC", b"END RSA PUBLIC")
    if form == "pkcs1 labelled spki":
        return pem.replace(b"RSA PUBLIC", b"PUBLIC")
    return pem


def read_public_key(pem):
    """Takes either structure under either label."""
    body = [line for line in pem.decode().splitlines() if line and not line.startswith("-----")]
    return serialization.load_der_public_key(base64.b64decode("".join(body)))


def thumbprint(public_key):
    """RFC 7638, SHA-256."""
    numbers = public_key.public_numbers()

    def unsigned(value):
        octets = value.to_bytes((value.bit_length() + 7) // 8, "big")
        return base64.urlsafe_b64encode(octets).decode().rstrip("=")

    members = json.dumps({"e": unsigned(numbers.e), "kty": "RSA", "n": unsigned(numbers.n)}, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(members.encode()).digest()).decode().rstrip("=")


def rsa_seal(public_key, plain):
    return base64.b64encode(public_key.encrypt(plain, padding.PKCS1v15()))


def rsa_open(private_key, frame):
    return private_key.decrypt(base64.b64decode(frame), padding.PKCS1v15())


class SessionCipher:
    """AES-CBC with one IV for the whole session, PKCS#7, base64."""

    def __init__(self, key, iv):
        self.key, self.iv = key, iv

    @classmethod
    def draw(cls):
        return cls(secrets.token_bytes(32), secrets.token_bytes(16))

    def _aes(self):
        return Cipher(algorithms.AES(self.key), modes.CBC(self.iv))

    def seal(self, text):
        plain = text.encode() if isinstance(text, str) else text
        fill = 16 - len(plain) % 16
        encryptor = self._aes().encryptor()
        return base64.b64encode(encryptor.update(plain + bytes([fill]) * fill) + encryptor.finalize())

    def open(self, frame):
        """The plain text; ValueError where this key does not open it."""
        sealed = base64.b64decode(frame, validate=True)
        if not sealed or len(sealed) % 16:
            raise ValueError("not a whole number of blocks")
        decryptor = self._aes().decryptor()
        plain = decryptor.update(sealed) + decryptor.finalize()
        fill = plain[-1]
        if not 1 <= fill <= 16 or plain[-fill:] != bytes([fill]) * fill:
            raise ValueError("wrong padding")
        return plain[:-fill].decode()


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def request(action, data=None, token="", target=""):
    return f"[{action}] [{token}] [{target}] {compact({} if data is None else data)}"


def dissect(text, read=json.loads):
    """Requests carry a target in brackets, most answers none (then it is None)."""
    found = re.fullmatch(r"\[([A-Za-z0-9_\-]+)\]\s+\[(.*?)\]\s+(?:\[(.*?)\]\s+)?(\S.*)", text, re.DOTALL)
    if not found:
        raise ValueError(f"no message of the protocol: {text[:100]!r}")
    return Text(found[1], found[2], found[3], read(found[4]))


def json_or_none(text):
    """Deployed daemons look at the action before they look at its data."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def key_text(cipher, hostname="conformance"):
    return "[KEY] " + compact({"hostname": hostname, "key": cipher.key.hex(), "iv": cipher.iv.hex(), "cipher": "AES", "padding": 1})


def cipher_of(text):
    """The session key in a [KEY] text, and all that stands beside it."""
    members = json.loads(re.fullmatch(r"\[KEY\]\s+(\{.*\})\s*", text, re.DOTALL)[1])
    return SessionCipher(bytes.fromhex(members["key"]), bytes.fromhex(members["iv"])), members
