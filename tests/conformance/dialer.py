"""The connecting side of the protocol: what a central is to a poller. Loopback only."""
import base64
import re
import secrets
import time

import zmq

from protocol import cipher_of, compact, dissect, read_public_key, request, rsa_open, rsa_seal, write_public_key


patience = 1  # how many times as long as said an answer may take


class Refused(Exception):
    """The listener answered the handshake in plain text."""


class Dialer:
    def __init__(self, endpoint, key, name="gorgone-proxy-1-2", routing_id=None, key_form="spki labelled pkcs1"):
        self.key, self.name, self.key_form = key, name, key_form
        self.routing_id = routing_id or f"{name}-{secrets.token_hex(12)}"
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.identity = self.routing_id.encode()
        self.socket.connect(endpoint)
        self.cipher = None
        self.welcome = {}

    def __enter__(self):
        self.greet()
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close(0)

    def take_frame(self, timeout=10):
        if not self.socket.poll(timeout * patience * 1000):
            raise TimeoutError(f"no frame from the listener within {timeout} s")
        frames = self.socket.recv_multipart()
        if len(frames) != 1:
            raise ValueError(f"{len(frames)} frames where one was expected")
        return frames[0]

    def ask_key(self, timeout=10):
        self.socket.send(b"[GETPUBKEY]")
        frame = self.take_frame(timeout)
        found = re.fullmatch(rb"\[PUBKEY\] \[([A-Za-z0-9+/=]+)\]", frame)
        if not found:
            raise ValueError(f"no public key on one line: {frame[:60]!r}")
        return read_public_key(base64.b64decode(found[1]))

    def greet(self, secret=b"HELO", server=None, timeout=10):
        """Handshake; returns the listener's public key, raises Refused."""
        server = server or self.ask_key(timeout)
        pem = base64.b64encode(write_public_key(self.key, self.key_form))
        self.socket.send(b"[" + self.name.encode() + b"] [" + pem + b"] [" + rsa_seal(server, secret) + b"]")
        frame = self.take_frame(timeout)
        if frame.startswith(b"["):
            raise Refused(frame.decode())
        self.cipher, self.welcome = cipher_of(rsa_open(self.key, frame).decode())
        return server

    def send(self, text):
        self.socket.send(self.cipher.seal(text))

    def take(self, timeout=10):
        text = self.cipher.open(self.take_frame(timeout))
        if text.startswith("[KEY]"):
            self.cipher, self.welcome = cipher_of(text)
            return self.take(timeout)
        return dissect(text)

    def call(self, action, data=None, token="", target="", timeout=10):
        self.send(request(action, data, token, target))
        return self.take(timeout)

    def rows(self, **filters):
        """History rows by GETLOG, in the order of their ids."""
        answer = self.call("GETLOG", filters)
        if answer.body["code"] != 0:
            raise AssertionError(f"GETLOG {compact(filters)} was refused: {answer.body}")
        return sorted(answer.body["data"]["result"], key=lambda row: int(row["id"]))

    def outcome(self, token, timeout=20):
        """The rows of `token` as soon as it has ended; the failure of a single command is not the end."""
        end = time.monotonic() + timeout * patience
        while True:
            rows = self.rows(token=token)
            if any(int(row["code"]) in (1, 2) and "command execution issue" not in row["data"] for row in rows):
                return rows
            if time.monotonic() > end:
                raise TimeoutError(f"{token} did not end within {timeout} s: {rows}")
            time.sleep(0.03)

    def run(self, *commands, **options):
        """Rows of one COMMAND."""
        token = secrets.token_hex(16)
        content = [dict({"command": command}, **options) for command in commands]
        answer = self.call("COMMAND", {"content": content}, token=token)
        if (answer.kind, answer.token, answer.body["code"]) != ("ACK", token, 0):
            raise AssertionError(f"COMMAND was not taken: {answer}")
        return self.outcome(token)
