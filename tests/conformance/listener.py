"""A poller that is not our agent: the listening side of the protocol, with faults on demand. Loopback only."""
import base64
import queue
import re
import secrets
import threading
import time

import zmq

from protocol import SessionCipher, compact, dissect, json_or_none, key_text, read_public_key, rsa_open, rsa_seal, thumbprint, write_public_key
from work import Work

REFUSAL = b'[ACK] [] {"code":1,"data":{"message":"handshake issue"}}'


class Listener:
    """Serves on a thread of its own from start() to stop(). `rotate_every` and `forget_every` count messages taken: a new
    session key, or all sessions lost; `mute_after` messages nothing is answered any more; `slow_s` waits before each answer."""

    def __init__(self, key, authorized, node_id=2, rotate_every=0, forget_every=0, mute_after=0, slow_s=0.0, port=0):
        self.key, self.authorized, self.node_id = key, set(authorized), node_id
        self.rotate_every, self.forget_every, self.mute_after, self.slow_s = rotate_every, forget_every, mute_after, slow_s
        self.taken, self.work, self.greetings = [], Work(), 0
        self.behind = {}  # what a pong tells of nodes behind it
        self.sessions = {}  # routing id -> its ciphers, the newest first, two at most
        self.context = zmq.Context()
        self.socket = self._open()
        if port:
            self.socket.bind(f"tcp://127.0.0.1:{port}")
        self.port = port or self.socket.bind_to_random_port("tcp://127.0.0.1")
        self.faults = queue.SimpleQueue()  # done by the serving thread, between two messages
        self.swallowed = 0
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self.ending.set()
        self.thread.join(10)
        self.socket.close(0)
        self.context.term()

    def actions(self):
        return [message.kind for message in list(self.taken)]

    def renew(self):
        """New session keys, told under the old ones."""
        self.faults.put(self._renew)

    def forget(self):
        """All sessions are lost."""
        self.faults.put(self.sessions.clear)

    def swallow(self, messages):
        """The next messages are read and lost, as by a daemon that is killed with them in its hands."""
        self.swallowed = messages

    def restart(self, keep_sessions=True):
        """All connections end; rows stay."""
        self.faults.put(lambda: self._restart(keep_sessions))

    def _open(self):
        socket = self.context.socket(zmq.ROUTER)
        socket.linger = 0
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        return socket

    def _restart(self, keep_sessions):
        self.socket.close(0)
        if not keep_sessions:
            self.sessions.clear()
        self.socket = self._open()
        for attempt in range(200):
            try:
                self.socket.bind(f"tcp://127.0.0.1:{self.port}")
                return
            except zmq.ZMQError:  # the old socket's thread has not closed it yet
                time.sleep(0.01)
        raise OSError(f"port {self.port} is not free again")

    def _renew(self):
        for other, ciphers in self.sessions.items():
            fresh = SessionCipher.draw()
            self.socket.send_multipart([other, ciphers[0].seal(key_text(fresh))])
            self.sessions[other] = [fresh, ciphers[0]]

    def _serve(self):
        while not self.ending.is_set():
            self._between()
            while not self.faults.empty():
                self.faults.get()()
            if self.socket.poll(50):
                frames = self.socket.recv_multipart()
                if len(frames) == 2 and frames[0].startswith(b"gorgone-"):
                    self._take(*frames)

    def _between(self):
        """Looked at after each message, and now and then."""

    def _take(self, who, frame):
        if self.mute_after and len(self.taken) >= self.mute_after:
            return
        if self.swallowed > 0:
            self.swallowed -= 1
            return
        if frame.lstrip().startswith(b"[GETPUBKEY]"):
            self.socket.send_multipart([who, b"[PUBKEY] [" + base64.b64encode(write_public_key(self.key)) + b"]"])
            return
        for cipher in self.sessions.get(who, []):
            try:
                message = dissect(cipher.open(frame), json_or_none)
            except ValueError:
                continue
            self._answer(who, message)
            return
        self.socket.send_multipart([who, self._greet(who, frame)])

    def _greet(self, who, frame):
        found = re.fullmatch(rb"\[([^\]]+)\] \[([^\]]+)\] \[([^\]]+)\]", frame)
        try:
            client = read_public_key(base64.b64decode(found[2]))
            if rsa_open(self.key, found[3]) != b"HELO" or thumbprint(client) not in self.authorized:
                return REFUSAL
        except (TypeError, ValueError):
            return REFUSAL
        self.greetings += 1
        self.sessions[who] = [SessionCipher.draw()]
        return rsa_seal(client, key_text(self.sessions[who][0]).encode())

    def _answer(self, who, message):
        self.taken.append(message)
        time.sleep(self.slow_s)
        token = message.token or secrets.token_hex(64)
        self.socket.send_multipart([who, self.sessions[who][0].seal(self._reply(message, token))])
        if self.rotate_every and len(self.taken) % self.rotate_every == 0:
            self._renew()
        if self.forget_every and len(self.taken) % self.forget_every == 0:
            self.sessions.clear()

    def _reply(self, message, token):
        if message.kind == "PING":
            state = {"action": "ping", "message": "ping ok", "id": self.node_id, "hostname": "conformance", "data": self.behind}
            return f"[PONG] [{token}] [] " + compact({"code": 0, "data": state})
        if message.kind == "GETLOG":
            found = self.work.found(message.body)
            return f"[ACK] [{token}] " + compact({"code": 0, "data": {"action": "getlog", "result": found, "id": self.node_id}})
        if message.kind != "COMMAND":
            unknown = {"error": "unknown_action", "message": f"action '{message.kind}' is unknown"}
            return "[ACK] [] " + compact({"code": 1, "data": unknown})
        self.work.run(token, message.body["content"])
        return f"[ACK] [{token}] " + compact({"code": 0, "data": None})
