"""Other implementations of the protocol, run against deployed daemons, which may lie beside this repository in ../shared."""
import re
import subprocess
import unittest

from api import codes, outputs
from fleet import FleetCase, eventually
from pace import SLOWNESS
from shared_peer import MISSING, PYTHON, SHARED, SharedPeer


@unittest.skipUnless(SHARED.is_dir(), MISSING)
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
        other = SharedPeer(peer, central.thumbprint()).start(*faults)
        self.addCleanup(other.stop)
        central.nodes({"id": 2, "type": "push_zmq", "address": "127.0.0.1", "port": other.port})
        central.start()
        api = central.api()
        eventually(lambda: int(api.nodes()["2"]["ping_ok"]) > 0, 20, "a pong of the other poller")
        tokens = []
        for number in range(commands):
            rows = api.run(2, f"c{number}")
            self.assertEqual((codes(rows), outputs(rows)), ([0, 0, 100, 2], [f"peer:c{number}"]), other.output.read_text()[-500:])
            tokens.append(rows[0]["token"])
        taken = other.taken()
        self.assertEqual((list(taken), set(taken.values())), (tokens, {1}), "a command was taken twice, or not in order")

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
