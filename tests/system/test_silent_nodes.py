"""Nodes that are down or say nothing delay nobody else."""
import os
import signal
import socket
import threading
import unittest

from api import codes, outputs
from fleet import FleetCase
from pace import clock


class Mute:
    """Takes TCP connections and says nothing."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self.socket.getsockname()[1]
        self.taken = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        try:
            while True:
                self.taken.append(self.socket.accept()[0])
        except OSError:
            pass  # closed

    def close(self):
        self.socket.close()
        for connection in self.taken:
            connection.close()


class SilentNodes(FleetCase):
    def setUp(self):
        self.mute = Mute()
        self.addCleanup(self.mute.close)
        # Bound and not listening: connections are refused, and nobody else gets the port.
        self.dead = socket.socket()
        self.dead.bind(("127.0.0.1", 0))
        self.addCleanup(self.dead.close)
        self.central = self.make_central()
        self.poller = self.make_poller(self.central.thumbprint()).start()
        others = [{"id": 50 + i, "type": "push_zmq", "address": "127.0.0.1", "port": port}
                  for i, port in enumerate([self.dead.getsockname()[1], self.mute.port] * 3)]
        self.central.nodes(*others, self.poller.node(2))
        self.central.start()
        self.wait_seen(self.central, 2)

    def test_commands_to_the_live_node_stay_fast(self):
        api = self.central.api()
        slowest = 0
        for number in range(8):
            for node in range(50, 56):
                status, _ = api.request("POST", f"/api/nodes/{node}/core/action/command", [{"command": "true"}])
                self.assertIn(status, (200, 503))
            started = clock()
            self.assertEqual(outputs(api.run(2, f"echo {number}")), [str(number)])
            slowest = max(slowest, clock() - started)
        self.assertLess(slowest, 2)

    def test_asking_for_the_log_of_a_silent_node_ends_and_holds_up_nobody(self):
        api = self.central.api()
        ends = {}

        def ask(node):
            started = clock()
            api.request("GET", f"/api/nodes/{node}/log/{'0' * 128}")
            ends[node] = clock() - started

        threads = [threading.Thread(target=ask, args=(node,)) for node in range(50, 56)]
        for thread in threads:
            thread.start()
        started = clock()
        self.assertEqual(codes(api.run(2, "true")), [0, 0, 100, 2])
        self.assertLess(clock() - started, 2)
        for thread in threads:
            thread.join(20)
        self.assertEqual(sorted(ends), list(range(50, 56)))
        self.assertLess(max(ends.values()), 5)

    def test_the_state_tells_who_is_silent(self):
        state = self.central.api().nodes()
        self.assertEqual(sorted(state, key=int), ["2", "50", "51", "52", "53", "54", "55"])
        self.assertGreater(int(state["2"]["ping_ok"]), 0)
        for node in range(50, 56):
            self.assertEqual(int(state[str(node)]["ping_ok"]), 0)

    def test_the_central_stops_at_once_all_the_same(self):
        self.assertLess(self.central.stop(), 5)


class SilentLater(FleetCase):
    def test_a_poller_frozen_in_the_middle_delays_no_other_and_comes_back(self):
        central, frozen, live = self.start_pair((2, 3))
        os.kill(frozen.process.pid, signal.SIGSTOP)
        try:
            api = central.api()
            late = api.submit(2, "echo late")
            for number in range(5):
                started = clock()
                self.assertEqual(outputs(api.run(3, f"echo {number}")), [str(number)])
                self.assertLess(clock() - started, 2)
        finally:
            os.kill(frozen.process.pid, signal.SIGCONT)
        self.assertEqual(outputs(api.poll(2, late)), ["late"])


if __name__ == "__main__":
    unittest.main()
