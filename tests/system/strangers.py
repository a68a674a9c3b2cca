"""What the tests of a listener among strangers share: a poller that listens, a session with it, and whoever else connects."""
import base64
import json
import secrets
import struct

import zmq

from fleet import FleetCase
from hostile import connect
from pace import SLOWNESS, clock
from protocol import rsa_seal

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16 + 32)
HANDSHAKE_ISSUE = b'[ACK] [] {"code":1,"data":{"message":"handshake issue"}}'


def ready(routing_id=b""):
    """The command of a DEALER that ends ZMTP's greeting."""
    body = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity" + struct.pack(">I", len(routing_id)) + routing_id
    return b"\x04" + bytes([len(body)]) + body


def take(connection, size):
    came = b""
    while len(came) < size:
        part = connection.recv(65536)
        if not part:
            raise AssertionError(f"closed after {came!r}")
        came += part
    return came


def outputs_of(rows):
    return [json.loads(row["data"])["result"]["stdout"] for row in rows if int(row["code"]) == 100]


class Strangers(FleetCase):
    def setUp(self):
        self.central = self.make_central()
        self.poller = self.make_poller(self.central.thumbprint())
        self.configure()
        self.poller.start()
        self.endpoint = f"tcp://127.0.0.1:{self.poller.port}"
        self.pid = self.poller.process.pid
        self.live = self.dial(self.poller, self.central)
        self.server_key = self.live.ask_key()

    def configure(self):
        pass

    def stranger(self, routing_id=None, **options):
        """A socket that has not greeted."""
        socket = zmq.Context.instance().socket(zmq.DEALER)
        socket.linger = 0
        socket.identity = (routing_id or f"gorgone-stranger-{secrets.token_hex(6)}").encode()
        for name, value in options.items():
            setattr(socket, name, value)
        socket.connect(self.endpoint)
        self.addCleanup(socket.close, 0)
        return socket

    def answer(self, socket, *frames, timeout=5):
        socket.send_multipart(list(frames))
        self.assertTrue(socket.poll(timeout * 1000 * SLOWNESS), f"no answer to {frames[0][:40]!r} within {timeout} s")
        return socket.recv()

    def helo(self, key_pem, secret=b"HELO", name=b"gorgone-stranger"):
        return b"[" + name + b"] [" + base64.b64encode(key_pem) + b"] [" + rsa_seal(self.server_key, secret) + b"]"

    @staticmethod
    def is_open(connection):
        connection.setblocking(False)
        try:
            while connection.recv(65536):
                pass
            return False
        except BlockingIOError:
            return True
        except OSError:
            return False

    def greeted(self, routing_id=b"", receive_buffer=None):
        """A plain TCP connection that ZeroMQ takes frames from: before its own READY it takes none."""
        connection = connect(self.poller.port, GREETING + ready(routing_id), receive_buffer)
        self.addCleanup(connection.close)
        take(connection, len(GREETING + ready()))
        return connection

    def is_served(self):
        self.assertEqual(self.live.call("PING", token="served", timeout=3).token, "served")

    def log_lines(self, text):
        return [line for line in self.poller.log().splitlines() if text in line]

    def take_all(self, socket, count, timeout=60):
        end, taken = clock() + timeout, 0
        while taken < count and clock() < end and socket.poll(5000 * SLOWNESS):
            socket.recv()
            taken += 1
        return taken
