"""Either side is restarted; the next command works with no help and runs once."""
import unittest

from api import codes, outputs
from fleet import FleetCase


class Restart(FleetCase):
    def runs_once(self, central, name):
        """A command that leaves one line each time it runs."""
        marks = self.directory / name
        rows = central.api().run(2, f"echo ran >> {marks}; echo {name}", wait_s=20)
        self.assertEqual((codes(rows), outputs(rows)), ([0, 0, 100, 2], [name]))
        self.assertEqual(marks.read_text(), "ran\n")

    def test_after_a_restart_of_the_poller(self):
        central, poller = self.start_pair()
        self.runs_once(central, "before")
        poller.stop()
        poller.start()
        self.runs_once(central, "after")

    def test_after_a_crash_of_the_poller(self):
        central, poller = self.start_pair()
        self.runs_once(central, "before")
        poller.kill()
        poller.start()
        self.runs_once(central, "after")

    def test_after_a_restart_of_the_poller_without_its_database(self):
        central, poller = self.start_pair()
        self.runs_once(central, "before")
        poller.stop()
        for file in poller.database.parent.glob("history.sdb*"):
            file.unlink()
        poller.start()
        self.runs_once(central, "after")
        self.runs_once(central, "again")

    def test_after_a_restart_of_the_central(self):
        central, _ = self.start_pair()
        self.runs_once(central, "before")
        central.stop()
        central.start()
        self.runs_once(central, "after")

    def test_after_a_crash_of_the_central_without_its_database(self):
        central, _ = self.start_pair()
        self.runs_once(central, "before")
        central.kill()
        for file in central.database.parent.glob("history.sdb*"):
            file.unlink()
        central.start()
        self.runs_once(central, "after")

    def test_a_poller_that_starts_after_its_central_is_found(self):
        central, poller = self.start_pair()
        central.stop()
        poller.stop()
        central.start()
        poller.start()
        self.wait_seen(central, 2)
        self.runs_once(central, "late")

    def test_the_history_outlives_a_restart(self):
        central, poller = self.start_pair()
        api = central.api()
        token = api.submit(2, "echo kept")
        api.poll(2, token)
        central.stop()
        poller.stop()
        central.start()
        self.assertEqual(outputs(central.api().log(None, token)), ["kept"])

    def test_the_session_of_a_client_outlives_a_restart_of_the_poller(self):
        central = self.make_central()
        poller = self.make_poller(central.thumbprint()).start()
        dialer = self.dial(poller, central)
        self.assertEqual(dialer.call("PING").kind, "PONG")
        poller.stop()
        poller.start()
        self.assertEqual(dialer.call("PING", token="again", timeout=15).token, "again")


if __name__ == "__main__":
    unittest.main()
