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


class TwoRemotes(FleetCase):
    """One poller behind two remotes."""

    def setUp(self):
        self.central = self.make_central()
        self.first, self.second = (self.make_remote(self.central.thumbprint(), identity) for identity in (3, 5))
        both = f'{self.first.thumbprint()}"\n      - key: "{self.second.thumbprint()}'
        self.poller = self.make_poller(both, 4).start()
        for remote in (self.first, self.second):
            remote.nodes(self.poller.node(4))
            remote.start()
        self.central.nodes(self.first.node(3, nodes=[{"id": 4, "pathscore": 1}]), self.second.node(5, nodes=[{"id": 4, "pathscore": 2}]))
        self.central.start()
        for remote in (self.first, self.second):
            self.wait_seen(remote, 4)
        for identity in (3, 5):
            self.wait_seen(self.central, identity)
        # The rows come by both.
        self.assertEqual(set(outputs(self.central.api().run(4, "echo by the first"))), {"by the first"})

    def submit(self, numbers):
        return [self.central.api().submit(4, f"echo {number} >> {self.directory}/ran") for number in numbers]

    def ran(self):
        file = self.directory / "ran"
        return file.read_text().split() if file.exists() else []

    def test_what_waits_for_a_remote_that_was_killed_goes_by_the_other_one(self):
        self.first.kill()
        self.submit(range(5))
        eventually(lambda: len(self.ran()) == 5, 10, "the commands, by the second remote")
        self.submit(range(5, 8))
        eventually(lambda: len(self.ran()) == 8, 3, "the commands after them")
        self.first.start()
        self.wait_seen(self.central, 3)
        eventually(lambda: not self.central.database_rows("gorgone_outbox"), 5, "an empty outbox")
        self.assertEqual(sorted(self.ran()), [str(number) for number in range(8)], "each once")

    def test_what_waits_at_a_start_goes_by_the_remote_that_is_there(self):
        self.first.kill()
        self.second.kill()
        self.submit(range(5))
        self.central.kill()
        self.central.start()
        self.second.start()
        eventually(lambda: len(self.ran()) == 5, 15, "the commands, by the second remote")


if __name__ == "__main__":
    unittest.main()
