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


if __name__ == "__main__":
    unittest.main()
