"""A deployed poller on which the web application's orders arrive: it gathers and unpacks copies as deployed daemons do, and writes down external
commands and what it is to run. Paths of the poller are below a root of its own."""
import base64
import hashlib
import io
import pathlib
import tarfile

from listener import Listener
from protocol import compact


class DeployedPoller(Listener):
    """`copies`: destination -> (type, owner, group, mode); `external`: (pipe, line); `calls`: (action, command, file of plugins)."""

    def __init__(self, key, authorized, root, **options):
        super().__init__(key, authorized, **options)
        self.root = pathlib.Path(root)
        self.copies, self.external, self.calls, self.gathered = {}, [], [], {}

    def at(self, path):
        return self.root / str(path).lstrip("/")

    def node(self, identity):
        """Itself as an entry of a nodes.yaml."""
        return {"id": identity, "type": "push_zmq", "address": "127.0.0.1", "port": self.port}

    def _reply(self, message, token):
        if message.kind not in ("PROCESSCOPY", "ENGINECOMMAND", "ACTIONENGINE", "COMMAND"):
            return super()._reply(message, token)
        content = message.body["content"]
        if message.kind == "PROCESSCOPY":
            self._copy(token, content)
        elif message.kind == "ENGINECOMMAND":
            # Lines that belong together come as one.
            self.external += [(content["command_file"], line) for text in content["commands"] for line in text.split("\n")]
            self.work.log(token, 2, {"message": "commands processing has finished successfully"})
        elif message.kind == "ACTIONENGINE":
            self.calls.append((message.kind, content["command"], content.get("plugins")))
            self.work.log(token, 2, {"message": "commands processing has finished successfully"})
        else:
            self.calls += [(message.kind, item["command"], None) for item in content]
            self.work.run(token, content)
        return f"[ACK] [{token}] " + compact({"code": 0, "data": None})

    def _copy(self, token, content):
        if content["status"] == "inprogress":
            piece = base64.b64decode(content["chunk"]["data"])
            if len(piece) != content["chunk"]["size"]:
                return self.work.log(token, 1, {"message": "the chunk has another size"})
            self.gathered.setdefault(token, bytearray()).extend(piece)
            return self.work.log(token, 101, {"message": "process copy inprogress"})
        whole = bytes(self.gathered.pop(token, b""))
        if hashlib.md5(whole).hexdigest() != content["md5"]:
            return self.work.log(token, 1, {"message": "md5 does not match"})
        there = self.at(content["destination"])
        if content["type"] == "archive":
            there.mkdir(parents=True, exist_ok=True)
            with tarfile.open(fileobj=io.BytesIO(whole), mode="r:gz") as archive:
                archive.extractall(there)
        else:
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(whole)
        self.copies[content["destination"]] = tuple(content.get(name) or None for name in ("type", "owner", "group", "mode"))
        return self.work.log(token, 2, {"message": "process copy finished successfully"})
