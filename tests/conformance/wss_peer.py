"""The protocol over WebSockets a second time: a node and a central as deployed daemons are, with RFC 6455 written here.

Nothing but the standard library; nothing is taken from the agent. Loopback only.
"""
import base64
import hashlib
import html
import html.entities
import json
import os
import re
import secrets
import socket
import struct
import threading
import time

from protocol import compact, dissect, request

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Closed(Exception):
    """The connection has ended; `code` is the status of a closing frame, None where there was none."""

    def __init__(self, code=None, reason=""):
        super().__init__(f"closed: {code} {reason}")
        self.code, self.reason = code, reason


class HttpRefused(Exception):
    def __init__(self, status, head):
        super().__init__(head.splitlines()[0])
        self.status, self.head = status, head


def encode_entities(text):
    """As deployed nodes write: of the UTF-8 bytes all that HTML has a name for by name, other unusual ones by number."""
    out = []
    for byte in text.encode():
        char = chr(byte)
        if char in "\n\r\t !#$%()*+,-./:;=?@[\\]^_`{|}~" or char.isascii() and char.isalnum():
            out.append(char)
        elif char != "'" and byte in html.entities.codepoint2name:
            out.append(f"&{html.entities.codepoint2name[byte]};")
        else:
            out.append(f"&#{byte};" if char == "'" else f"&#x{byte:X};")
    return "".join(out)


def decode_entities(text):
    """What encoded bytes of UTF-8 say."""
    # Numbers first: html.unescape reads 128 to 159 as characters of Windows, here a byte is meant. `&amp;` is none of them.
    bytes_of = re.sub(r"&#(\d+);", lambda found: chr(int(found[1])), text)
    return html.unescape(bytes_of).encode("latin-1").decode()


class WebSocket:
    """Frames over a connected socket. `masked` is the client's side."""

    def __init__(self, stream, masked, rest=b""):
        self.stream, self.masked, self.buffer = stream, masked, rest
        self.lock, self.pings, self.pongs, self.mute = threading.Lock(), 0, 0, False
        self.frames_of_last = 0
        self.text_max = 262144  # deployed daemons take no longer message

    def _take(self, size):
        while len(self.buffer) < size:
            piece = self.stream.recv(max(65536, size - len(self.buffer)))
            if not piece:
                raise Closed()
            self.buffer += piece
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def _send_frame(self, kind, payload, last=True):
        head = bytes([kind | (0x80 if last else 0)])
        mask_bit = 0x80 if self.masked else 0
        if len(payload) < 126:
            head += bytes([mask_bit | len(payload)])
        elif len(payload) < 65536:
            head += bytes([mask_bit | 126]) + struct.pack(">H", len(payload))
        else:
            head += bytes([mask_bit | 127]) + struct.pack(">Q", len(payload))
        if self.masked:
            key = os.urandom(4)
            head += key
            whole = int.from_bytes(payload, "big") ^ int.from_bytes((key * (len(payload) // 4 + 1))[:len(payload)], "big")
            payload = whole.to_bytes(len(payload), "big")
        with self.lock:
            self.stream.sendall(head + payload)

    def send(self, text, frame=0):
        """One text message, in frames of so many bytes where `frame` is given."""
        payload = text if isinstance(text, bytes) else text.encode()
        pieces = [payload[at:at + frame] for at in range(0, len(payload), frame)] if frame else [payload]
        for number, piece in enumerate(pieces):
            self._send_frame(TEXT if number == 0 else 0, piece, number == len(pieces) - 1)

    def ping(self):
        self._send_frame(PING, b"?")

    def close(self, code=1000, reason=""):
        self._send_frame(CLOSE, struct.pack(">H", code) + reason.encode())

    def _frame(self):
        first, second = self._take(2)
        if bool(second & 0x80) == self.masked:
            raise ValueError("a client must mask its frames, a server must not")
        size = second & 0x7F
        if size == 126:
            size = struct.unpack(">H", self._take(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self._take(8))[0]
        key = self._take(4) if second & 0x80 else b""
        payload = self._take(size)
        if key and payload:
            whole = int.from_bytes(payload, "big") ^ int.from_bytes((key * (size // 4 + 1))[:size], "big")
            payload = whole.to_bytes(size, "big")
        return first & 0x0F, bool(first & 0x80), payload

    def take(self, timeout=10):
        """The next text message; answers pings unless `mute`. Raises Closed, TimeoutError."""
        whole, frames = b"", 0
        self.stream.settimeout(timeout)
        while True:
            kind, last, payload = self._frame()
            if kind == PING:
                self.pings += 1
                if not self.mute:
                    self._send_frame(PONG, payload)
            elif kind == PONG:
                self.pongs += 1
            elif kind == CLOSE:
                code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else None
                try:
                    self._send_frame(CLOSE, payload[:2])
                except OSError:
                    pass
                raise Closed(code, payload[2:].decode(errors="replace"))
            else:
                whole, frames = whole + payload, frames + 1
                if len(whole) > self.text_max:
                    self.close(1009)
                    self.end()
                    raise Closed(1009, f"a message of more than {self.text_max} bytes")
                if last:
                    self.frames_of_last = frames
                    return whole.decode()

    def end(self):
        """Without a word."""
        try:
            self.stream.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.stream.close()


def read_head(stream):
    """The head of a request or an answer, and what came behind it."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = stream.recv(4096)
        if not piece:
            raise Closed()
        head += piece
    head, rest = head.split(b"\r\n\r\n", 1)
    return head.decode("latin-1"), rest


def headers_of(head):
    return {line.split(":", 1)[0].strip().lower(): line.split(":", 1)[1].strip() for line in head.split("\r\n")[1:]}


def connect(port, token=None, tls=None, path="/", name="127.0.0.1", headers=(), timeout=10):
    """A WebSocket at 127.0.0.1:port, as a client. Raises HttpRefused."""
    stream = socket.create_connection(("127.0.0.1", port), timeout)
    if tls:
        stream = tls.wrap_socket(stream, server_hostname=name)
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET {path} HTTP/1.1", f"Host: {name}:{port}", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}",
             "Sec-WebSocket-Version: 13", *headers]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    stream.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    head, rest = read_head(stream)
    status = int(head.split()[1])
    if status != 101:
        stream.close()
        raise HttpRefused(status, head)
    expected = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()
    if headers_of(head).get("sec-websocket-accept") != expected:
        raise ValueError("a wrong Sec-WebSocket-Accept")
    return WebSocket(stream, True, rest)


def registration(node):
    return request("REGISTERNODES", {"nodes": [{"id": node, "type": "wss", "identity": str(node)}]})


class Node:
    """A deployed node: registers itself, answers PING and GETLOG and nothing else. COMMAND gives the output "ran <command>"."""

    def __init__(self, port, token, node=6, tls=None, path="/", behind=None, headers=()):
        self.socket, self.node = connect(port, token, tls, path, headers=headers), node
        self.rows, self.taken, self.ended = [], [], None
        self.stalls = {}  # action: so many of the next are not answered
        self.behind = behind or {}  # what it says is behind it
        self.say(registration(node))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def say(self, text):
        self.socket.send(encode_entities(text))

    def stop(self):
        self.socket.end()
        self.thread.join(10)

    def _serve(self):
        try:
            while True:
                self._take(self.socket.take(timeout=300))
        except (Closed, OSError, ValueError) as error:
            self.ended = error

    def _row(self, token, code, data):
        row = {"id": len(self.rows) + 1, "token": token, "code": code, "etime": int(time.time()), "ctime": f"{time.time():.5f}",
               "instant": 0, "data": json.dumps(data)}
        self.rows.append(row)

    def _take(self, text):
        if not text.startswith("["):
            self.taken.append(text)
            return
        message = dissect(text)
        self.taken.append(message.kind)
        if self.stalls.get(message.kind):
            self.stalls[message.kind] -= 1
            return
        if message.kind == "PING":
            data = {"code": 0, "data": {"action": "ping", "message": "ping ok", "id": self.node, "hostname": "peer", "data": self.behind}}
            self.say(f"[PONG] [{message.token}] [] {compact(data)}")
        elif message.kind == "GETLOG":
            since = float(message.body.get("ctime") or 0)
            rows = [row for row in self.rows if float(row["ctime"]) > since]
            data = {"code": 0, "data": {"action": "getlog", "result": rows, "id": self.node}}
            self.say(f"[SETLOGS] [{message.token}] [] {compact(data)}")
        elif message.kind == "COMMAND":
            self._row(message.token, 0, {"message": "commands processing has started"})
            for entry in message.body["content"]:
                result = {"exit_code": 0, "stdout": "ran " + entry["command"]}
                self._row(message.token, 100, {"message": "command has finished successfully", "result": result})
            self._row(message.token, 2, {"message": "commands processing has finished successfully"})


class Central:
    """A deployed central: takes nodes at `/`, checks their token at their first message, sends plain text and answers nothing."""

    def __init__(self, token, tls=None, known=("6",)):
        self.token, self.tls, self.known = token, tls, set(known)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.nodes, self.messages, self.refused, self.heads = {}, [], [], []
        self.raw = []  # texts as they came
        self.ending = False
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        self.ending = True
        self.listener.close()
        for node in list(self.nodes.values()):
            node.end()

    def send(self, node, action, data=None, token=None, target=""):
        token = token or secrets.token_hex(16)
        self.nodes[str(node)].send(request(action, data, token, target))
        return token

    def answer(self, token, timeout=10):
        """The message with that token that a node sent."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for message in list(self.messages):
                if message.token == token:
                    return message
            time.sleep(0.02)
        raise TimeoutError(f"no answer to {token} within {timeout} s")

    def kinds(self):
        return [message.kind for message in list(self.messages)]

    def _accept(self):
        while not self.ending:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream):
        name = None
        try:
            if self.tls:
                stream = self.tls.wrap_socket(stream, server_side=True)
            head, rest = read_head(stream)
            headers = headers_of(head)
            self.heads.append(head)
            if not head.startswith("GET / "):
                stream.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                return
            accept = base64.b64encode(hashlib.sha1(headers["sec-websocket-key"].encode() + GUID).digest()).decode()
            stream.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            f"Sec-WebSocket-Accept: {accept}\r\n\r\n").encode())
            node = WebSocket(stream, False, rest)
            while True:
                text = node.take(timeout=300)
                self.raw.append(text)
                message = dissect(decode_entities(text))
                if name is None:
                    name = self._log_in(node, headers, message)
                self.messages.append(message)
        except (Closed, OSError, ValueError) as error:
            # It may have connected anew already.
            if not self.ending and name is not None and self.nodes.get(name) is node:
                del self.nodes[name]
            self.refused.append(error)
        finally:
            stream.close()

    def _log_in(self, node, headers, message):
        why = None
        if headers.get("authorization") != f"Bearer {self.token}":
            why = "token authorization unallowed"
        elif message.kind != "REGISTERNODES":
            why = "please registernodes"
        elif str(message.body["nodes"][0]["id"]) not in self.known:
            why = "authentication failed"
        if why:
            node.send(compact({"code": 500, "message": why}))
            node.close(1000, "")
            raise Closed(1000, why)
        name = str(message.body["nodes"][0]["id"])
        self.nodes[name] = node
        return name
