"""Paths that are slow or far: links come up over them and stay. See slow_path.py; without tun devices all is skipped."""
# tests/run.sh: first, for it waits long.
import unittest

import netns
import slow_path
from api import codes, outputs
from fleet import FleetCase
from pace import clock

WITHOUT = slow_path.missing()
PORT = 5556
HERE, THERE = slow_path.SlowPath.addresses


@unittest.skipIf(WITHOUT, f"NO SLOW PATHS, so links over them are not tested: {WITHOUT}")
class SlowCase(FleetCase):
    """A central and a node with a path between them. The node is not started yet."""

    def join(self, **path):
        self.lab = netns.Lab()
        self.addCleanup(self.lab.close)
        self.here, self.there = self.lab.host("central"), self.lab.host("poller")
        self.path = slow_path.SlowPath(self.here, self.there, **path)
        self.addCleanup(self.path.close)
        self.central = self.here.house(self.make_central())

    def prepare(self, poller):
        poller.replace_module("action", max_output=8000000, command_timeout=60)
        poller.allow_all_commands()
        self.poller = poller

    def push(self, **proxy):
        """The central dials."""
        if proxy:
            self.central.replace_module("proxy", **proxy)
        self.prepare(self.there.house(self.make("poller", "poller", {"THUMBPRINT-OF-THE-CENTRAL": self.central.thumbprint()}), PORT))
        self.central.nodes({"id": 2, "type": "push_zmq", "address": THERE, "port": PORT})
        self.poller.start()
        self.central.start()

    def pull(self, pull=None, **proxy):
        """The node dials."""
        if proxy:
            self.central.replace_module("proxy", **proxy)
        self.prepare(self.there.house(self.make("poller", "poller-pull", {"192.0.2.1:5556": f"{HERE}:{PORT}"}), PORT))
        self.poller.replace_module("pull", target_path=f"{HERE}:{PORT}", **(pull or {}))
        self.poller.make_keys()
        self.central.nodes({"id": 2, "type": "pull"})
        self.central.configure("70-listener", {"gorgonecore": {
            "external_com_type": "tcp", "external_com_path": f"*:{PORT}", "authorized_clients": [{"key": self.poller.thumbprint()}]}})
        self.central.start()
        self.poller.start()

    def seen(self, what, bound):
        begin = clock()
        self.wait_seen(self.central, 2, bound)
        print(f"SECONDS {clock() - begin:6.2f} until up: {what}", flush=True)

    def runs(self, what, bound=30):
        begin = clock()
        rows = self.central.api().run(2, "echo crossed", wait_s=60)
        print(f"SECONDS {clock() - begin:6.2f} for a command: {what}", flush=True)
        self.assertEqual((codes(rows), outputs(rows)), ([0, 0, 100, 2], ["crossed"]), what)
        self.assertLess(clock() - begin, bound, what)

    def downs(self):
        return [line for line in self.central.log().splitlines() if "link down" in line]


class Far(SlowCase):
    """It takes a second and more for a packet to come back."""

    def judge(self, what):
        self.seen(what, 30)
        for _ in range(3):
            self.runs(what)
        self.assertEqual(self.downs(), [], what)

    def test_a_node_that_is_dialled(self):
        self.join(delay_s=0.7)
        self.push()
        self.judge("a round trip of 1.4 s (push)")

    def test_a_node_that_is_dialled_from_very_far(self):
        self.join(delay_s=1.5)
        self.push()
        self.judge("a round trip of 3 s (push)")

    def test_a_node_that_dials(self):
        self.join(delay_s=0.7)
        self.pull()
        self.judge("a round trip of 1.4 s (pull)")


if __name__ == "__main__":
    unittest.main()
