"""What the tests of WebSockets share: a central that listens for them, a node that dials, certificates, and what stands between."""
import base64
import select
import socket
import subprocess
import threading

from fleet import FleetCase, eventually
from pace import clock

WSS_LINE = r"\[proxy\] httpserver: listening on wss?://\S+:(\d+)"
TOKEN = "a-common-token"


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


class Certificates:
    """A CA and certificates of it, in a directory of the test."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        self.ca = directory / "ca.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2, "-subj", "/CN=test CA", "-keyout",
                directory / "ca.key", "-out", self.ca)

    def issue(self, name, alternatives, days=2):
        key, request, certificate, extensions = (self.directory / f"{name}.{end}" for end in ("key", "csr", "pem", "ext"))
        extensions.write_text(f"subjectAltName={alternatives}\n")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.directory / "ca.key", "-CAcreateserial", "-days", days, "-extfile",
                extensions, "-out", certificate)
        return {"ssl": True, "ssl_cert_file": str(certificate), "ssl_key_file": str(key)}


class Between:
    """Listens and hands each connection to `serve` on a thread of its own; `pump` joins two connections."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connections, self.heads = [], []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(stream)
            threading.Thread(target=self._run, args=(stream,), daemon=True).start()

    def _run(self, stream):
        try:
            self.serve(stream)
        except OSError:
            pass
        finally:
            stream.close()

    def serve(self, stream):
        raise NotImplementedError

    def pump(self, left, right):
        self.connections.append(right)
        pair = {left: right, right: left}
        while True:
            for ready in select.select(list(pair), [], [], 60)[0]:
                piece = ready.recv(65536)
                if not piece:
                    right.close()
                    return
                pair[ready].sendall(piece)

    def listen_again(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        # A blocked accept() keeps a socket listening that is only closed.
        for stream in (self.listener, *self.connections):
            try:
                stream.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.listener.close()


def read_head(stream):
    head = b""
    while b"\r\n\r\n" not in head:
        piece = stream.recv(1)
        if not piece:
            raise OSError("closed")
        head += piece
    return head.decode()


class HttpProxy(Between):
    """Takes CONNECT to any port of this host; with `credentials` only from who tells them."""

    def __init__(self, credentials=None):
        self.credentials = credentials
        super().__init__()

    def serve(self, stream):
        head = read_head(stream)
        self.heads.append(head)
        wanted = self.credentials and "Proxy-Authorization: Basic " + base64.b64encode(self.credentials.encode()).decode()
        if not head.startswith("CONNECT "):
            stream.sendall(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
        elif wanted and wanted not in head:
            stream.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
        else:
            port = int(head.split()[1].rsplit(":", 1)[1])
            goal = socket.create_connection(("127.0.0.1", port))
            stream.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.pump(stream, goal)


class ReverseProxy(Between):
    """A web server that passes on what is below /gorgone, and adds X-Forwarded-For."""

    def __init__(self, port):
        self.goal = port
        super().__init__()

    def serve(self, stream):
        head = read_head(stream)
        self.heads.append(head)
        if not head.split()[1].startswith("/gorgone"):
            stream.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        goal = socket.create_connection(("127.0.0.1", self.goal))
        goal.sendall(head.replace("\r\n\r\n", "\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n").encode())
        self.pump(stream, goal)


class WssCase(FleetCase):
    def listen(self, *nodes, central=None, **httpserver):
        """A central, running, with its `wss_port`; `nodes` are entries of its nodes.yaml."""
        central = central or self.make_central()
        self.httpserver = {"enable": True, "address": "127.0.0.1", "port": 0, "token": TOKEN, **httpserver}
        central.replace_module("proxy", ping=60, httpserver=self.httpserver)
        central.nodes(*(nodes or [{"id": 2, "type": "pullwss"}]))
        central.start()
        central.wss_port = int(central.wait_log(WSS_LINE)[1])
        # So that it is found again after a restart.
        central.replace_module("proxy", ping=60, httpserver={**self.httpserver, "port": central.wss_port})
        return central

    def make_node(self, port, identity=2, **keys):
        words = {"central.example": "127.0.0.1", "8086": str(port), "id: 2": f"id: {identity}", "TOKEN-OF-THE-CENTRAL": TOKEN}
        node = self.make(f"poller-{identity}", "poller-pullwss", words)
        node.replace_module("pullwss", **{"address": "127.0.0.1", "port": port, "token": TOKEN, **keys})
        return node

    def changed(self, node, port, **keys):
        """The node, stopped, with other options."""
        node.replace_module("pullwss", **{"address": "127.0.0.1", "port": port, "token": TOKEN, **keys})
        return node

    def wait_usable(self, central, node=2, timeout=15):
        """Runs a command until it comes back; the seconds it took."""
        started = clock()
        rows = central.api().run(node, "echo usable", wait_s=timeout)
        self.assertIn(100, [row["code"] for row in rows], rows)
        return clock() - started

    def link_of(self, central, node=2):
        return central.api().nodes()[str(node)]["link"]

    def wait_link(self, central, state, node=2, timeout=15):
        eventually(lambda: self.link_of(central, node) == state, timeout, f"link {state}")
