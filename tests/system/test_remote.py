"""A central, a remote and a poller behind it, by the examples in etc/."""
import unittest

from api import codes, outputs
from fleet import FleetCase, eventually


class Remote(FleetCase):
    def setUp(self):
        self.central, self.remote, self.poller = self.start_chain()

    def test_the_remote_sends_to_its_own_poller(self):
        rows = self.remote.api().run(4, "echo behind")
        self.assertEqual((codes(rows), outputs(rows)), ([0, 0, 100, 2], ["behind"]))

    def test_the_central_reaches_the_poller_through_the_remote(self):
        mark = self.directory / "mark"
        self.central.api().submit(4, f"echo ran >> {mark}")
        eventually(mark.exists, 10, "the command on the poller behind the remote")
        self.assertEqual(mark.read_text(), "ran\n")
        self.assertEqual(outputs(self.central.api().run(3, "echo remote")), ["remote"])

    def test_the_result_of_a_command_behind_the_remote_is_found_on_the_remote(self):
        token = self.central.api().submit(4, "echo deep")
        remote = self.remote.api()
        rows = remote.poll(4, token)
        self.assertEqual(outputs(rows), ["deep"])

    def test_what_waits_for_a_node_goes_with_it_behind_another(self):
        self.poller.stop()
        self.central.nodes(self.remote.node(3), self.poller.node(4))
        api = self.central.api()
        self.assertEqual(api.request("POST", "/api/core/register/resync")[0], 200)
        eventually(lambda: "4" in api.nodes(), 5, "the registration of 4 by itself")
        tokens = [api.submit(4, f"echo moved {number} >> {self.directory}/moved") for number in range(20)]
        self.central.nodes(self.remote.node(3, nodes=[{"id": 4, "pathscore": 1}]))
        self.assertEqual(api.request("POST", "/api/core/register/resync")[0], 200)
        eventually(lambda: "4" not in api.nodes(), 5, "the end of 4 by itself")
        self.poller.start()
        for token in tokens:
            self.assertEqual(codes(api.poll(4, token, 20))[-1], 2)
        lines = (self.directory / "moved").read_text().splitlines()
        self.assertEqual(sorted(lines), sorted(f"moved {number}" for number in range(20)))


if __name__ == "__main__":
    unittest.main()
