"""The reference itself, held against published values and openssl, and its two sides against each other."""
import base64
import json
import secrets
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from cryptography.hazmat.primitives.asymmetric import rsa

from dialer import Dialer, Refused
from listener import Listener
from protocol import KEY_FORMS, SessionCipher, dissect, draw_key, read_public_key, request, thumbprint, write_public_key

# RFC 7638, section 3.1.
MODULUS = (
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"
    "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbIS"
    "D08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
)
THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


class Reference(unittest.TestCase):
    def test_the_thumbprint_of_the_rfc_comes_out(self):
        modulus = int.from_bytes(base64.urlsafe_b64decode(MODULUS + "=="), "big")
        self.assertEqual(thumbprint(rsa.RSAPublicNumbers(65537, modulus).public_key()), THUMBPRINT)

    def test_a_public_key_survives_each_way_of_writing_it(self):
        key = draw_key()
        texts = {write_public_key(key, form) for form in KEY_FORMS}
        self.assertEqual(len(texts), 4)
        self.assertEqual({thumbprint(read_public_key(text)) for text in texts}, {thumbprint(key.public_key())})

    def test_openssl_opens_what_the_session_cipher_seals(self):
        cipher = SessionCipher.draw()
        for length in (0, 1, 15, 16, 17, 200):
            text = "x" * length
            opened = subprocess.run(["openssl", "enc", "-d", "-aes-256-cbc", "-a", "-A", "-K", cipher.key.hex(), "-iv", cipher.iv.hex()],
                                    input=cipher.seal(text), capture_output=True, check=True)
            self.assertEqual(opened.stdout.decode(), text)
            self.assertEqual(cipher.open(cipher.seal(text)), text)
        with self.assertRaises(ValueError):
            SessionCipher.draw().open(b"AAAA")

    def test_a_message_comes_apart_as_it_was_put_together(self):
        self.assertEqual(dissect(request("PING", {"ä": [1]}, "tok", "7")), ("PING", "tok", "7", {"ä": [1]}))
        self.assertEqual(dissect('[ACK] [t] {"code":0}'), ("ACK", "t", None, {"code": 0}))


class Sides(unittest.TestCase):
    def setUp(self):
        self.central = draw_key()

    def serve(self, **faults):
        listener = Listener(draw_key(), [thumbprint(self.central.public_key())], **faults).start()
        self.addCleanup(listener.stop)
        return listener

    def dial(self, listener, key=None):
        dialer = Dialer(f"tcp://127.0.0.1:{listener.port}", key or self.central)
        self.addCleanup(dialer.close)
        return dialer

    def test_a_command_crosses_and_its_rows_are_fetched(self):
        with self.dial(self.serve()) as dialer:
            rows = dialer.run("date")
            self.assertEqual([row["code"] for row in rows], [0, 100, 2])
            self.assertEqual(json.loads(rows[1]["data"])["result"]["stdout"], "ran date")

    def test_a_stranger_is_refused(self):
        with self.assertRaises(Refused):
            self.dial(self.serve(), draw_key()).greet()

    def test_a_rotated_key_is_followed(self):
        with self.dial(self.serve(rotate_every=2)) as dialer:
            first = dialer.cipher.key
            for _ in range(5):
                self.assertEqual(dialer.call("PING").kind, "PONG")
            self.assertNotEqual(dialer.cipher.key, first)

    def test_a_forgotten_session_is_answered_in_plain_text(self):
        with self.dial(self.serve(forget_every=1)) as dialer:
            dialer.call("PING")
            dialer.send(request("PING", token=secrets.token_hex(4)))
            self.assertIn(b"handshake issue", dialer.take_frame())


if __name__ == "__main__":
    unittest.main()
