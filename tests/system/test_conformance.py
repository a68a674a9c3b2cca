"""Other implementations of the protocol, run against deployed daemons, which may lie beside this repository in ../shared."""
import os
import pathlib
import re
import socket
import subprocess
import unittest

from api import codes, outputs
from fleet import ROOT, FleetCase, eventually
from pace import SLOWNESS

SHARED = pathlib.Path(os.environ.get("GORGONE_SHARED") or ROOT.parent / "shared") / "conformance"
PYTHON = "/usr/bin/python3"


@unittest.skipUnless(SHARED.is_dir(), f"the conformance programs are not in {SHARED}; tests/conformance holds our own")
class Conformance(FleetCase):
    def test_our_poller_passes_every_check_of_the_other_client(self):
        central = self.make_central()
        poller = self.make_poller(central.thumbprint()).start()
        done = subprocess.run([PYTHON, SHARED / "check_listener.py", "--endpoint", f"tcp://127.0.0.1:{poller.port}", "--key", central.private_key,
                               "--id", "2"], capture_output=True, text=True, timeout=120 * SLOWNESS)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        passed, failed = re.search(r"^(\d+) passed, (\d+) failed$", done.stdout, re.MULTILINE).groups()
        self.assertEqual(int(failed), 0)
        self.assertGreaterEqual(int(passed), 19)

    def drive(self, *faults, commands=12):
        central, peer = self.make_central(), self.make_poller("x", 2)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        output = self.directory / "peer.txt"
        with open(output, "w") as file:
            process = subprocess.Popen([PYTHON, SHARED / "peer_poller.py", "--endpoint", f"tcp://127.0.0.1:{port}", "--key", peer.private_key,
                                        f"--authorized={central.thumbprint()}", *faults], stdout=file, stderr=file)
        self.addCleanup(lambda: (process.terminate(), process.wait(10 * SLOWNESS)))
        central.nodes({"id": 2, "type": "push_zmq", "address": "127.0.0.1", "port": port})
        central.start()
        api = central.api()
        eventually(lambda: int(api.nodes()["2"]["ping_ok"]) > 0, 20, "a pong of the other poller")
        tokens = []
        for number in range(commands):
            rows = api.run(2, f"c{number}")
            self.assertEqual((codes(rows), outputs(rows)), ([0, 0, 100, 2], [f"peer:c{number}"]), output.read_text()[-500:])
            tokens.append(rows[0]["token"])
        taken = [line.split()[2] for line in output.read_text().splitlines() if line.startswith("TAKEN COMMAND")]
        self.assertEqual(taken, tokens, "a command was taken twice, or not in order")

    def test_our_central_drives_the_other_poller(self):
        self.drive()

    def test_our_central_drives_a_poller_that_renews_its_keys(self):
        self.drive("--rotate-every", "3")

    def test_our_central_drives_a_poller_that_forgets_its_sessions(self):
        self.drive("--forget-every", "3")

    def test_our_central_drives_a_slow_poller(self):
        self.drive("--slow", "0.3", commands=5)


if __name__ == "__main__":
    unittest.main()
