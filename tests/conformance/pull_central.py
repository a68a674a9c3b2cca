"""A central that is not our agent, for nodes that dial it: takes their registrations, acknowledges all that they send, and gives
them work over the session through which they registered. Loopback only."""
import secrets
import time

from listener import Listener
from protocol import compact, request


class PullCentral(Listener):
    """`nodes` tells through which routing id a node speaks; `registrations` all of them in order, with their times."""

    def __init__(self, key, authorized, **faults):
        super().__init__(key, authorized, node_id=1, **faults)
        self.nodes, self.registrations, self.outgoing = {}, [], []

    def ask(self, node, action, data=None, kind=None, timeout=10, target=None):
        """Sends a request to a node, with its id, or that of a node behind it, as the target; what it answers of that kind."""
        token = secrets.token_hex(16)
        self.outgoing.append((str(node), request(action, data, token, str(target or node))))
        return self.wait(lambda message: message.token == token and message.kind == kind, timeout) if kind else token

    def wait(self, fits, timeout=10):
        end = time.monotonic() + timeout
        while True:
            found = [message for message in list(self.taken) if fits(message)]
            if found:
                return found[-1]
            if time.monotonic() > end:
                raise TimeoutError(f"the node did not send it within {timeout} s: {[message.kind for message in self.taken]}")
            time.sleep(0.02)

    def _between(self):
        for item in [item for item in self.outgoing if self.nodes.get(item[0]) in self.sessions]:
            self.outgoing.remove(item)
            who = self.nodes[item[0]]
            self.socket.send_multipart([who, self.sessions[who][0].seal(item[1])])

    def _answer(self, who, message):
        for node in message.body.get("nodes", []) if isinstance(message.body, dict) else []:
            if message.kind == "REGISTERNODES":
                self.registrations.append((time.monotonic(), who, node))
                self.nodes[str(node["id"])] = node["identity"].encode()
            elif message.kind == "UNREGISTERNODES":
                self.nodes.pop(str(node["id"]), None)
        super()._answer(who, message)

    def _reply(self, message, token):
        if message.kind == "PING":
            return super()._reply(message, token)
        return f"[ACK] [{token}] " + compact({"code": 0, "data": None})
