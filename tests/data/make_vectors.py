#!/usr/bin/env python3
"""Makes vectors.json, beside it, with another implementation than ours: keys, thumbprints, sealed texts, handshake frames.

Needs python3-cryptography and openssl. The keys are drawn anew at each run and serve nothing but these tests.
"""
import base64
import hashlib
import json
import pathlib
import subprocess

from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

IV = bytes(range(0xF0, 0x100))
SPKI_RSA = bytes.fromhex("300d06092a864886f70d0101010500")


def openssl(*arguments):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True).stdout


def der(tag, body):
    size = len(body)
    length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + body


def der_integer(number):
    return der(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def armour(label, data):
    text = base64.b64encode(data).decode()
    lines = "\n".join(text[i : i + 64] for i in range(0, len(text), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"


def public_pem(modulus, exponent):
    pkcs1 = der(0x30, der_integer(modulus) + der_integer(exponent))
    return armour("PUBLIC KEY", der(0x30, SPKI_RSA + der(3, b"\0" + pkcs1)))


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def big_endian(number):
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def thumbprint(numbers):
    jwk = '{"e":"%s","kty":"RSA","n":"%s"}' % (base64url(big_endian(numbers.e)), base64url(big_endian(numbers.n)))
    return base64url(hashlib.sha256(jwk.encode()).digest())


def private_pem(key, form, passphrase=None):
    how = ser.BestAvailableEncryption(passphrase) if passphrase else ser.NoEncryption()
    return key.private_bytes(ser.Encoding.PEM, form, how).decode()


def key_vector(key):
    public = key.public_key()
    return {
        "bits": key.key_size,
        "thumbprint": thumbprint(public.public_numbers()),
        "spki": public.public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo).decode(),
        "pkcs1_public": public.public_bytes(ser.Encoding.PEM, ser.PublicFormat.PKCS1).decode(),
        "pkcs1_private": private_pem(key, ser.PrivateFormat.TraditionalOpenSSL),
        "pkcs8_private": private_pem(key, ser.PrivateFormat.PKCS8),
    }


def sealed(key, plain, pad):
    missing = 16 - len(plain) % 16
    text = plain + {0: b"", 1: bytes([missing]) * missing, 2: b"\x80" + b"\0" * (missing - 1)}[pad]
    run = Cipher(algorithms.AES(key), modes.CBC(IV)).encryptor()
    frame = base64.b64encode(run.update(text) + run.finalize()).decode()
    return {"key": key.hex(), "iv": IV.hex(), "padding": pad, "plain": plain.decode(), "frame": frame}


def main():
    client = rsa.generate_private_key(65537, 2048)
    server = rsa.generate_private_key(3, 1024)
    text = b'[PUTLOG] [token] [] {"code":100}  '
    key_text = '[KEY] {"hostname":"central","key":"%s","iv":"%s","cipher":"AES","padding":1}' % (bytes(range(32)).hex(), IV.hex())
    encrypt = lambda key, plain: base64.b64encode(key.public_key().encrypt(plain.encode(), padding.PKCS1v15())).decode()
    elliptic = ec.generate_private_key(ec.SECP256R1())
    modulus = client.public_key().public_numbers().n
    pss = openssl("genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:1024")
    numbers = client.private_numbers()
    other = rsa.generate_private_key(65537, 2048).public_key().public_numbers()
    torn = der(0x30, b"".join(map(der_integer, (0, other.n, 65537, numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp))))
    vectors = {
        "made_with": "make_vectors.py (python3-cryptography)",
        "keys": [key_vector(client), key_vector(server)],
        "encrypted": {
            "passphrase": "open sesame",
            "pkcs8": private_pem(client, ser.PrivateFormat.PKCS8, b"open sesame"),
            "pkcs1": private_pem(client, ser.PrivateFormat.TraditionalOpenSSL, b"open sesame"),
        },
        "refused_public": {
            "it is of the kind EC": elliptic.public_key().public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo).decode(),
            "it is of the kind RSA-PSS": subprocess.run(["openssl", "pkey", "-pubout"], check=True, capture_output=True, text=True, input=pss).stdout,
            "it has 1016 bits, expected 1024 to 16384": public_pem(modulus >> 1032 | 1, 65537),
            "it has 16392 bits, expected 1024 to 16384": public_pem(modulus << 14344 | 1, 65537),
            "its exponent is not an odd number above 1": public_pem(modulus, 1),
            "its modulus is even": public_pem(modulus - 1, 65537),
            "its exponent is not below its modulus": public_pem(modulus, modulus + 2),
        },
        "refused_even_exponent": public_pem(modulus, 65536),
        "refused_private": {
            "it is of the kind EC": private_pem(elliptic, ser.PrivateFormat.PKCS8),
            "its public and private halves do not belong together": armour("RSA PRIVATE KEY", torn),
        },
        "sealed": [sealed(bytes(range(32)), text[:n], 1) for n in range(34)]
        + [sealed(bytes(range(size)), text, 1) for size in (16, 24)]
        + [sealed(bytes(range(32)), text[:n], 2) for n in range(34)]
        + [sealed(bytes(range(size)), text[:n], 0) for size in (16, 24, 32) for n in (0, 16, 32)],
        "handshake": {"helo": encrypt(server, "HELO"), "key_text": key_text, "key_frame": encrypt(client, key_text)},
    }
    pathlib.Path(__file__).with_name("vectors.json").write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
