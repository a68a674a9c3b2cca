"""Paths that are slow or far: links come up over them and stay, large messages come to their end. See slow_path.py; without tun devices all is skipped."""
# tests/run.sh: first, for it waits long.
import os
import signal
import time
import unittest

import netns
import slow_path
from api import codes, outputs
from fleet import FleetCase, eventually
from pace import clock
from wss_fleet import TOKEN

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

    def dials_by_web(self):
        """The node dials by a WebSocket."""
        self.central.replace_module("proxy", httpserver={"enable": True, "address": "0.0.0.0", "port": PORT, "token": TOKEN})
        self.prepare(self.there.house(self.make("poller", "poller-pullwss", {"central.example": HERE, "8086": str(PORT), "TOKEN-OF-THE-CENTRAL": TOKEN})))
        self.poller.replace_module("pullwss", address=HERE, port=PORT, token=TOKEN)
        self.central.nodes({"id": 2, "type": "pullwss"})
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


class Narrow(SlowCase):
    """One message takes much longer than a node has to answer a ping: 30 kB/s, and a link that is given up after one ping, 10 s."""

    RATE, BYTES, LIMIT_S = 30000, 600000, 50

    def ends(self, is_done, what):
        """The bytes cross about once, and no link is lost over them."""
        begin, before = clock(), self.path.carried
        eventually(is_done, self.LIMIT_S, "the end of what was sent")
        least = self.BYTES / self.RATE
        print(f"SECONDS {clock() - begin:6.2f} until the end, {least:.0f} for the bytes alone: {what}", flush=True)
        self.assertEqual(self.downs(), [], what)
        self.assertGreater(self.path.carried - before, 0.7 * self.BYTES, what)
        self.assertLess(self.path.carried - before, 2.5 * self.BYTES, what)

    def ready(self):
        self.wait_seen(self.central, 2)
        self.runs("nothing")
        time.sleep(1)
        self.path.rate = self.RATE

    def large_command(self, what):
        self.ready()
        mark = self.directory / "ran"
        self.central.api().submit(2, f"echo ran >> {mark}", metadata={"ballast": "x" * self.BYTES})
        self.ends(mark.exists, f"a large command ({what})")

    def large_result(self, what):
        self.ready()
        command = f"head -c {self.BYTES} /dev/urandom | base64 -w0 | head -c {self.BYTES}"
        api = self.central.api()
        token = api.submit(2, command)
        self.ends(lambda: 2 in codes(api.log(None, token)), f"a large result ({what})")

    def test_a_large_command_for_a_node_that_is_dialled(self):
        self.join()
        self.push(ping=5, pong_max_timeout=1)
        self.large_command("push")

    def test_a_large_result_of_a_node_that_is_dialled(self):
        self.join()
        self.push(ping=5, pong_max_timeout=1)
        self.large_result("push")

    def test_a_large_command_for_a_node_that_dials(self):
        self.join()
        self.pull(ping=5, pong_max_timeout=1)
        self.large_command("pull")

    def test_a_large_result_of_a_node_that_dials(self):
        self.join()
        self.pull(pull={"ping": 5, "ping_timeout": 10}, ping=5, pong_max_timeout=1)
        self.large_result("pull")

    def test_a_large_command_for_a_node_that_dials_by_web(self):
        self.join(queue=400000)
        self.dials_by_web()
        self.large_command("wss")

    def test_a_large_result_of_a_node_that_dials_by_web(self):
        self.join(queue=400000)
        self.dials_by_web()
        self.large_result("wss")

    def test_a_node_that_hangs_behind_a_large_command_is_given_up(self):
        self.join()
        self.push(ping=5, pong_max_timeout=1)
        self.hangs("push")

    def test_a_node_of_the_web_that_hangs_behind_a_large_command_is_given_up(self):
        self.join(queue=400000)
        self.dials_by_web()
        self.hangs("wss")

    def hangs(self, what):
        self.ready()
        self.central.api().submit(2, "true", metadata={"ballast": "x" * self.BYTES})
        time.sleep(5)
        os.kill(self.poller.process.pid, signal.SIGSTOP)
        begin = clock()
        try:
            # Its system takes the bytes as long as it has room.
            self.central.wait_log("link down", timeout=self.BYTES / self.RATE + 15)
        finally:
            os.kill(self.poller.process.pid, signal.SIGCONT)
        print(f"SECONDS {clock() - begin:6.2f} until a node that hangs behind a large command is given up ({what})", flush=True)


if __name__ == "__main__":
    unittest.main()
