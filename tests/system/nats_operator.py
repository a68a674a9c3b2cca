"""An operator of NATS servers, in place of Synadia's program nsc: keys, and the tokens (JWT) that they sign. A server trusts the operator, knows
its accounts by the tokens that the operator signed, and lets in whom an account signed.

    operator = Operator()
    operator.settings                # for the servers' configuration
    operator.credentials("broker")   # the text of a file for a client that may do anything in the account
    operator.greeting(nonce)         # members of CONNECT, for clients that speak the protocol themselves
"""
import base64
import hashlib
import json
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

OPERATOR, ACCOUNT, USER, SEED = 14 << 3, 0, 20 << 3, 18 << 3


def crc16(data):
    """Of XMODEM, lowest byte first, as the keys' texts end with it."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xffff
    return crc.to_bytes(2, "little")


def base32(data):
    return base64.b32encode(data + crc16(data)).decode().rstrip("=")


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Key:
    def __init__(self, kind):
        self.kind, self.key = kind, Ed25519PrivateKey.generate()
        raw = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.name = base32(bytes([kind]) + raw)

    def seed(self):
        raw = self.key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return base32(bytes([SEED | self.kind >> 5, (self.kind & 31) << 3]) + raw)

    def token(self, subject, name, claims):
        """A JWT of this key about the subject."""
        body = {"iat": int(time.time()), "iss": self.name, "name": name, "sub": subject.name, "nats": {**claims, "version": 2}}
        body["jti"] = base64.b32encode(hashlib.sha256(json.dumps(body).encode()).digest()).decode().rstrip("=")
        parts = [base64url(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, body)]
        text = ".".join(parts)
        return f"{text}.{base64url(self.key.sign(text.encode()))}"


class Operator:
    def __init__(self):
        self.key, system, self.account = Key(OPERATOR), Key(ACCOUNT), Key(ACCOUNT)
        unlimited = {name: -1 for name in ("subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage",
                                           "streams", "consumer")}
        unlimited["wildcards"] = True
        tokens = {key.name: self.key.token(key, name, {"type": "account", "limits": limits}) for key, name, limits in (
            (system, "SYS", {**unlimited, "mem_storage": 0, "disk_storage": 0, "streams": 0, "consumer": 0}), (self.account, "MC", unlimited))}
        self.settings = {"operator": self.key.token(self.key, "tests", {"type": "operator", "system_account": system.name}),
                         "system_account": system.name, "resolver": "MEMORY", "resolver_preload": tokens}
        self.user = Key(USER)

    def user_token(self, name, key):
        return self.account.token(key, name, {"type": "user", "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}})

    def credentials(self, name):
        key = Key(USER)
        return (f"-----BEGIN NATS USER JWT-----\n{self.user_token(name, key)}\n------END NATS USER JWT------\n\n"
                f"-----BEGIN USER NKEY SEED-----\n{key.seed()}\n------END USER NKEY SEED------\n")

    def greeting(self, nonce):
        return {"jwt": self.user_token("test", self.user), "sig": base64url(self.user.key.sign(nonce.encode()))}
