"""A deployed remote with pollers behind it, played by one process: it takes what is for them, has their rows in its own log some time later,
and tells its parents by SYNCLOGS that there is something to fetch."""
import threading
import time

from listener import Listener
from protocol import compact


class DeployedRemote(Listener):
    """`fetch_s` after a command the rows of its poller are here; `tells` whether parents hear of it."""

    def __init__(self, key, authorized, pollers, fetch_s=0.5, tells=True, **options):
        super().__init__(key, authorized, **{"node_id": 3, **options})
        self.behind = {str(poller): {"type": "push_zmq", "nodes": {}} for poller in pollers}
        self.fetch_s, self.tells, self.parents = fetch_s, tells, set()

    def node(self, identity, **keys):
        """Itself as an entry of a nodes.yaml."""
        return {"id": identity, "type": "push_zmq", "address": "127.0.0.1", "port": self.port, **keys}

    def of(self, kind):
        """What was taken of this kind, as pairs of target and data."""
        return [(message.target, message.body) for message in list(self.taken) if message.kind == kind]

    def _answer(self, who, message):
        if message.kind == "PING":
            self.parents.add(who)
        super()._answer(who, message)

    def _reply(self, message, token):
        if message.kind != "COMMAND" or message.target not in self.behind:
            return super()._reply(message, token)
        content = message.body["content"]
        threading.Thread(target=self._fetch, args=(token, content), daemon=True).start()
        return f"[ACK] [{token}] " + compact({"code": 0, "data": None})

    def _fetch(self, token, content):
        time.sleep(self.fetch_s)
        self.faults.put(lambda: self._fetched(token, content))

    def _fetched(self, token, content):
        self.work.run(token, content)
        for parent in self.parents if self.tells else ():
            if parent in self.sessions:
                text = "[SYNCLOGS] [] [] " + compact({"data": {"id": self.node_id}})
                self.socket.send_multipart([parent, self.sessions[parent][0].seal(text)])
