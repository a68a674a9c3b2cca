"""The poller that another implementation of the protocol plays (../shared/conformance/peer_poller.py), as a program of its own."""
import collections
import os
import pathlib
import subprocess

from fleet import ROOT
from pace import SLOWNESS
from ports import free_port

SHARED = pathlib.Path(os.environ.get("GORGONE_SHARED") or ROOT.parent / "shared") / "conformance"
MISSING = f"the conformance programs are not in {SHARED}; tests/conformance holds our own"
PYTHON = "/usr/bin/python3"


class SharedPeer:
    """`owner` has its key, `authorized` is the thumbprint that it lets in. What it takes is counted across its restarts, at which it loses
    all else: its sessions and its rows."""

    def __init__(self, owner, authorized, node_id=2):
        self.port, self.output, self.process = free_port(), owner.directory / "peer.txt", None
        self.words = [PYTHON, SHARED / "peer_poller.py", "--endpoint", f"tcp://127.0.0.1:{self.port}", "--key", owner.private_key,
                      f"--authorized={authorized}", "--id", str(node_id)]

    def start(self, *faults):
        with open(self.output, "a") as file:
            self.process = subprocess.Popen([*self.words, *faults], stdout=file, stderr=file)
        return self

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(10 * SLOWNESS)
        self.process = None

    def restart(self, *faults):
        if self.process.poll() is not None:
            raise AssertionError(f"the peer ended by itself: {self.output.read_text()[-500:]}")
        self.stop()
        self.start(*faults)

    def node(self, identity):
        """Itself as an entry of a nodes.yaml."""
        return {"id": identity, "type": "push_zmq", "address": "127.0.0.1", "port": self.port}

    def actions(self):
        """What came, in its order."""
        lines = (line.split() for line in self.output.read_text().splitlines())
        return [words[1] for words in lines if words[:1] == ["TAKEN"]]

    def taken(self, action="COMMAND"):
        """How often each token came."""
        lines = (line.split() for line in self.output.read_text().splitlines())
        return collections.Counter(words[2] for words in lines if words[:2] == ["TAKEN", action] and len(words) == 3)
