"""What the action module does with commands, on a real poller."""
import time
import unittest

from api import codes, outputs
from fleet import FleetCase, eventually, processes_with
from pace import SLOWNESS, clock


class Commands(FleetCase):
    def test_a_command_off_the_whitelist_is_refused_and_one_on_it_runs(self):
        central = self.make_central()
        poller = self.make_poller(central.thumbprint(), free=False)
        (poller.config_d / "whitelist.conf.d" / "more.yaml").write_text("- ^echo [a-z]+$\n")
        poller.start()
        central.nodes(poller.node(2))
        central.start()
        self.wait_seen(central, 2)
        api, mark = central.api(), self.directory / "mark"
        for refused in (f"touch {mark}", f"echo ok; touch {mark}", f"echo $(touch {mark})"):
            rows = api.run(2, refused)
            self.assertEqual(rows[-1]["code"], 1, rows)
            self.assertIn("command not allowed (whitelist) at array index '0'", rows[-1]["data"]["message"])
            self.assertEqual(outputs(rows), [])
        self.assertFalse(mark.exists())
        self.assertEqual(outputs(api.run(2, "echo fine")), ["fine"])
        rows = api.run(2, "echo fine", f"touch {mark}")
        self.assertIn("at array index '1'", rows[-1]["data"]["message"])
        self.assertEqual(outputs(rows), [], "nothing of a list runs where one of it is refused")

    def test_the_whitelist_of_the_examples_allows_what_centreon_sends(self):
        central = self.make_central()
        poller = self.make_poller(central.thumbprint(), free=False).start()
        central.nodes(poller.node(2))
        central.start()
        self.wait_seen(central, 2)
        api = central.api()
        # None of these programs is here; what matters is that they are tried.
        for allowed in ("cat /var/lib/centreon-engine/central-module-stats.json", "/usr/lib/centreon/plugins/centreon_none.pl --help",
                        "/usr/sbin/centenginestats -c /etc/centreon-engine/centengine.cfg"):
            rows = api.run(2, allowed)
            self.assertEqual(codes(rows), [0, 0, 100, 2], rows)
            self.assertNotEqual(rows[2]["data"]["result"]["exit_code"], 0)
        for refused in ("cat /etc/passwd", "/usr/lib/centreon/plugins/../../../../bin/sh", "/usr/lib/centreon/plugins/x.pl; id",
                        "/usr/lib/centreon/plugins/x.pl `id`", "sudo systemctl restart ssh", "/usr/lib/centreon/plugins/x\nid"):
            rows = api.run(2, refused)
            self.assertEqual(rows[-1]["code"], 1, refused)
            self.assertIn("whitelist", rows[-1]["data"]["message"])

    def test_a_command_that_takes_too_long_is_ended_with_all_it_started(self):
        central, _ = self.start_pair()
        mark = "97.1" + str(time.time_ns())
        started = clock()
        rows = central.api().run(2, f"sleep {mark} & sleep {mark}", timeout=1)
        self.assertLess(clock() - started, 6)
        self.assertEqual(codes(rows), [0, 0, 1, 1])
        self.assertEqual(rows[2]["data"]["message"], "command execution issue")
        self.assertEqual(rows[2]["data"]["result"]["exit_code"], -1)
        self.assertIn("Command too long to execute (timeout)", rows[2]["data"]["result"]["stdout"])
        self.assertEqual(rows[3]["data"]["message"], "commands processing has finished with errors")
        eventually(lambda: not processes_with(mark), 3, "the end of the command's processes")

    def test_commands_stop_at_the_first_failure_where_they_are_told_to(self):
        central, _ = self.start_pair()
        rows = central.api().run(2, "sleep 30", "echo never", timeout=1, continue_on_error=False)
        self.assertEqual(outputs(rows), [])
        self.assertEqual(rows[-1]["data"]["message"], "commands processing has been interrupted because of error")
        rows = central.api().run(2, "sleep 30", "echo still", timeout=1)
        self.assertEqual(outputs(rows), ["still"])

    def test_a_long_command_does_not_hold_up_the_next(self):
        central, _ = self.start_pair()
        api = central.api()
        slow = api.submit(2, "sleep 3; echo slow")
        started = clock()
        self.assertEqual(outputs(api.run(2, "echo quick")), ["quick"])
        self.assertLess(clock() - started, 2)
        self.assertEqual(outputs(api.poll(2, slow)), ["slow"])

    def test_log_wait_ends_at_its_limit_with_what_there_is(self):
        central, _ = self.start_pair()
        api = central.api()
        started = clock()
        rows = api.run(2, f"sleep {4 * SLOWNESS}; echo done", wait_s=SLOWNESS)
        self.assertTrue(0.9 < clock() - started < 2.5)
        self.assertEqual(codes(rows), [0, 0])
        self.assertEqual(outputs(api.poll(2, rows[0]["token"])), ["done"])


if __name__ == "__main__":
    unittest.main()
