"""Clocks that jump under running daemons, either way and by days: commands go on, and no row is lost or comes twice."""
import time
import unittest

from api import codes, outputs
from fleet import FleetCase, eventually
from skew import IS_POSSIBLE, NEEDS, set_clock, skewed

JUMPS = ("+3d", "+0", "-3d", "+0", "+40d", "+0", "-1h", "+0")


@unittest.skipUnless(IS_POSSIBLE, NEEDS)
class Clock(FleetCase):
    def setUp(self):
        self.central = skewed(self.make_central())
        self.poller = skewed(self.make_poller(self.central.thumbprint())).start()
        self.central.nodes(self.poller.node(2))
        self.central.start()
        self.wait_seen(self.central, 2)

    def commands_go_on(self, what):
        api = self.central.api()
        for number in range(3):
            rows = api.run(2, f"echo {what} {number}")
            self.assertEqual((codes(rows), outputs(rows)), ([0, 0, 100, 2], [f"{what} {number}"]), what)

    def no_row_is_there_twice(self):
        time.sleep(1)  # what would still come
        rows = [(row["token"], row["code"], row["data"]) for row in self.central.database_rows()]
        self.assertEqual(sorted(rows), sorted(set(rows)))

    def test_the_clock_of_a_poller(self):
        for offset in JUMPS:
            set_clock(self.poller, offset)
            self.commands_go_on(f"poller {offset}")
        self.no_row_is_there_twice()

    def test_a_database_that_is_new_when_a_clock_that_was_ahead_is_right_again(self):
        set_clock(self.poller, "+40d")
        self.commands_go_on("ahead")
        self.poller.kill()
        for file in self.poller.database.parent.glob("history.sdb*"):
            file.unlink()
        set_clock(self.poller, "+0")
        self.poller.start()
        self.commands_go_on("right, with a new database")
        self.no_row_is_there_twice()

    def test_the_clock_of_a_central(self):
        for offset in JUMPS:
            set_clock(self.central, offset)
            self.commands_go_on(f"central {offset}")
        self.no_row_is_there_twice()

    def test_restarts_while_the_clock_is_wrong(self):
        self.commands_go_on("right")
        for daemon in (self.poller, self.central):
            set_clock(daemon, "+3d")
            self.commands_go_on("ahead")
            daemon.kill()
            daemon.start()
            self.wait_seen(self.central, 2)
            self.commands_go_on("started ahead")
            set_clock(daemon, "+0")
            daemon.kill()
            daemon.start()
            self.wait_seen(self.central, 2)
            self.commands_go_on("right again")
        self.no_row_is_there_twice()

    def test_a_message_for_a_node_that_is_away_outlives_a_jump(self):
        self.poller.kill()
        token = self.central.api().submit(2, "echo waited")
        set_clock(self.central, "+40d")
        time.sleep(3)
        set_clock(self.central, "+0")
        self.poller.start()
        rows = eventually(lambda: [row for row in self.central.api().log(2, token) if row["code"] == 2], 15, "the end of the command")
        self.assertEqual(len(rows), 1)

    def put_right_after_a_start(self, daemon):
        """It starts while its clock is ahead, which is put right some seconds later, as ntpd does it."""
        daemon.kill()
        set_clock(daemon, "+3d")
        daemon.start()
        time.sleep(3)
        set_clock(daemon, "+0")

    def test_what_waits_outlives_a_start_while_the_clock_is_ahead(self):
        self.poller.kill()
        token = self.central.api().submit(2, "echo waited")
        self.put_right_after_a_start(self.central)
        self.poller.start()
        rows = eventually(lambda: [row for row in self.central.api().log(2, token) if row["code"] in (1, 2)], 25, "the end of the command")
        self.assertEqual(codes(rows), [2])

    def test_what_a_node_has_taken_outlives_its_start_while_the_clock_is_ahead(self):
        self.poller.replace_module("action", max_concurrent_commands=1, command_timeout=60)
        self.poller.stop()
        self.poller.start()
        first, token = (self.central.api().submit(2, command) for command in ("sleep 50", "echo waited"))
        eventually(lambda: not self.central.database_rows("gorgone_outbox"), 15, "the poller has taken both")
        eventually(lambda: [row for row in self.poller.database_rows() if row["token"] == first], 10, "the first one's begin")
        self.put_right_after_a_start(self.poller)
        rows = eventually(lambda: [row for row in self.central.api().log(2, token) if row["code"] in (1, 2)], 25, "the end of the command")
        self.assertEqual(codes(rows), [2])

    def test_a_copy_for_a_node_that_is_away_outlives_a_jump(self):
        self.poller.kill()
        source, there = self.directory / "source", self.directory / "there"
        source.write_text("content")
        content = {"source": str(source), "destination": str(there), "cache_dir": str(self.directory / "cache")}
        status, body = self.central.api().request("POST", "/api/nodes/2/core/proxy/remotecopy", content)
        self.assertEqual(status, 200, body)
        set_clock(self.central, "+40d")
        time.sleep(3)
        set_clock(self.central, "+0")
        self.poller.start()
        eventually(there.exists, 15, "the copy")

    def test_a_message_for_a_node_that_is_not_registered_yet_outlives_a_jump(self):
        self.poller.kill()
        token = self.central.api().submit(2, "echo waited")
        self.central.kill()
        self.central.nodes()
        self.central.start()
        set_clock(self.central, "+40d")
        time.sleep(12)  # such messages are looked at every 10 s
        set_clock(self.central, "+0")
        self.poller.start()
        self.central.nodes(self.poller.node(2))
        self.central.api().request("POST", "/api/core/register/resync", "{}")
        rows = eventually(lambda: [row for row in self.central.api().log(2, token) if row["code"] == 2], 15, "the end of the command")
        self.assertEqual(len(rows), 1)


@unittest.skipUnless(IS_POSSIBLE, NEEDS)
class ClockOfARemote(FleetCase):
    """Two remotes with one poller behind both."""

    def setUp(self):
        self.central, self.first, self.second, self.poller = self.start_two_remotes(skewed)

    def test_the_clock_of_a_remote(self):
        for offset in JUMPS:
            set_clock(self.first, offset)
            rows = self.central.api().run(4, f"echo remote {offset}")
            self.assertEqual((codes(rows), outputs(rows)), ([0, 0, 100, 2], [f"remote {offset}"]), offset)

    def test_a_remote_that_is_there_is_taken_though_the_clock_of_the_central_jumps(self):
        self.first.kill()
        eventually(lambda: self.central.api().nodes()["3"]["link"] == "down", 15, "the loss of the first remote")
        time.sleep(6)  # after 5 s it is away
        for offset in ("+3d", "+0", "-3d", "+0", "+1h"):
            set_clock(self.central, offset)
            token = self.central.api().submit(4, f"echo central {offset}")
            self.assertEqual(self.central.api().nodes()["3"]["queue"], 0, f"{offset}: it went to the one that is away")
            rows = self.central.api().poll(4, token)
            self.assertEqual((codes(rows), outputs(rows)), ([0, 0, 100, 2], [f"central {offset}"]), offset)


if __name__ == "__main__":
    unittest.main()
