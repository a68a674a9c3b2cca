"""A node that is not our agent and dials its central, as deployed pull nodes do it. Loopback only.

It registers, keeps itself alive, answers PING and GETLOG and nothing else, and draws a new routing id for each new session.
"""
import base64
import re
import secrets
import threading
import time

import zmq

from protocol import cipher_of, compact, dissect, json_or_none, read_public_key, request, rsa_open, rsa_seal, write_public_key
from work import Work


class PullNode:
    """Works on a thread of its own from start() to stop(). `keepalive_s` is the time between registrations; `slow_s` waits before each
    answer; `claims` is registered in place of its own id and routing id."""

    def __init__(self, endpoint, key, node_id=2, keepalive_s=60, slow_s=0.0, claims=None):
        self.endpoint, self.key, self.node_id, self.keepalive_s, self.slow_s, self.claims = endpoint, key, node_id, keepalive_s, slow_s, claims
        self.taken, self.acknowledged, self.routing_ids, self.keys, self.work = [], [], [], 0, Work()
        self.context, self.socket, self.cipher = zmq.Context(), None, None
        self.ending, self.mute, self.renewing = threading.Event(), threading.Event(), threading.Event()
        self.outgoing = []
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def stop(self, farewell=True):
        self.farewell = farewell
        self.ending.set()
        self.thread.join(10)
        if self.socket:
            self.socket.close(0)
        self.context.term()

    def say(self, action, data, token=""):
        """Sends a request of its own as soon as it can."""
        self.outgoing.append(request(action, data, token or secrets.token_hex(16)))

    def actions(self):
        return [message.kind for message in list(self.taken)]

    def renew(self):
        """Drops the connection and opens a new session."""
        self.renewing.set()

    def _serve(self):
        while not self.ending.is_set():
            if self.renewing.is_set():
                self.renewing.clear()
                self.cipher = None
            if self.cipher is None and not self._greet():
                time.sleep(0.2)
                continue
            if time.monotonic() >= self.next_registration:
                self._register()
            while self.outgoing:
                self._send(self.outgoing.pop(0))
            if self.cipher and self.socket.poll(20):
                self._take(self.socket.recv())
        if self.cipher and self.farewell:
            self._send(request("UNREGISTERNODES", {"nodes": [{"id": self.node_id}]}))
            time.sleep(0.2)

    def _greet(self):
        if self.socket:
            self.socket.close(0)
        self.routing_id = f"gorgone-{self.node_id}-{secrets.token_hex(12)}"
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.setsockopt(zmq.RECONNECT_IVL, 1000)
        self.socket.identity = self.routing_id.encode()
        self.socket.connect(self.endpoint)
        try:
            self.socket.send(b"[GETPUBKEY]")
            server = read_public_key(base64.b64decode(re.match(rb"\[PUBKEY\] \[(.+)\]", self._frame())[1]))
            own = base64.b64encode(write_public_key(self.key))
            self.socket.send(b"[gorgone-%d] [%s] [%s]" % (self.node_id, own, rsa_seal(server, b"HELO")))
            self.cipher, _ = cipher_of(rsa_open(self.key, self._frame()).decode())
        except (TimeoutError, TypeError, ValueError):
            return False
        self.routing_ids.append(self.routing_id)
        self._register()
        return True

    def _frame(self):
        if not self.socket.poll(2000):
            raise TimeoutError
        return self.socket.recv()

    def _register(self):
        nodes = self.claims or [{"id": self.node_id, "type": "pull", "identity": self.routing_id}]
        self._send(request("REGISTERNODES", {"nodes": nodes}))
        self.next_registration = time.monotonic() + self.keepalive_s

    def _send(self, text):
        self.socket.send(self.cipher.seal(text))

    def _take(self, frame):
        if self.mute.is_set():
            return
        try:
            text = self.cipher.open(frame)
            message = None if text.startswith("[KEY]") else dissect(text, json_or_none)
        except ValueError:
            self.cipher = None  # a session that is lost: everything from the start
            return
        if message is None:
            self.cipher, _ = cipher_of(text)
            self.keys += 1
        elif message.kind in ("ACK", "PONG"):
            self.acknowledged.append(message)
        else:
            self.taken.append(message)
            self._answer(message)

    def _answer(self, message):
        time.sleep(self.slow_s)
        token = message.token or secrets.token_hex(64)
        if message.kind == "PING":
            state = {"action": "ping", "message": "ping ok", "id": self.node_id, "hostname": "conformance", "data": {}}
            self._send(f"[PONG] [{token}] [] " + compact({"code": 0, "data": state}))
        elif message.kind == "GETLOG":
            found = {"action": "getlog", "result": self.work.found(message.body), "id": self.node_id}
            self._send(f"[SETLOGS] [{token}] [] " + compact({"code": 0, "data": found}))
        elif message.kind == "COMMAND":
            self.work.run(token, message.body["content"])
