"""What the log of the central says of spool lines that were sent, and then failed on their poller."""
import json
import re
import time
import unittest

from fleet import eventually
from test_spool import SpoolCase

SECRET = "parameter-of-a-line"


class Outcomes(SpoolCase):
    def fails(self, status):
        """The fake sudo of all nodes ends with it."""
        self.program("sudo", f"#!/bin/sh\ncase \"$*\" in *vmware*) exit 5;; esac\necho broken pipe of cbd\nexit {status}\n")

    def errors(self, text):
        return [line for line in self.central.log().splitlines() if " - ERROR - [legacycmd] " in line and text in line]

    def told(self, text, timeout=20):
        return eventually(lambda: self.errors(text), timeout, f"an ERROR that says {text}:\n{self.central.log()[-3000:]}")

    def is_in_history(self, line, said):
        token = re.search(r"token=(\w+)", line)[1]
        self.assertIn(said, json.dumps(self.central.api().log(None, token)))

    def test_a_command_a_copy_and_an_external_command_that_fail_on_their_poller_are_told_on_the_central(self):
        self.fails(3)
        self.nodes[4].replace_module("engine", reader_timeout=1)
        self.nodes[4].stop()
        self.nodes[4].start()
        self.engines[4].stop()
        self.addCleanup(self.engines[4].start)  # for the one that stops it
        (self.directory / "file").write_text("x")
        self.database.execute(f"UPDATE cfg_nagios SET cfg_dir = '{self.directory}/file/engine' WHERE nagios_server_id = 3")
        name = self.database.execute("SELECT name FROM nagios_server WHERE id = 3")[0][0]
        for part in ("engine", "broker"):
            (self.cache / "config" / part / "3").mkdir(parents=True)
        (self.cache / "config/engine/3/centengine.cfg").write_text("x")
        self.start()
        self.write("SENDCFGFILE:3", "RELOADBROKER:3", f"EXTERNALCMD:4:{SECRET}", name="lines")
        self.spool_empty()
        line = self.told("RELOADBROKER failed")[0]
        self.assertIn(f"{self.cmd_dir}/lines_read: RELOADBROKER failed on poller '3' ({name}): the command ended with exit code 3: broken pipe of cbd", line)
        self.is_in_history(line, "broken pipe of cbd")
        line = self.told("SENDCFGFILE failed on poller '3'")[0]
        self.assertIn(f"{self.directory}/file/engine", line)
        line = self.told("EXTERNALCMD failed on poller '4'")[0]
        self.assertIn("has no reader", line)
        self.is_in_history(line, "has no reader")
        self.assertNotIn(SECRET, self.central.log())

    def test_the_restart_of_a_service_that_most_pollers_lack_is_no_failure_and_many_alike_are_told_as_a_number(self):
        self.fails(3)
        self.start()
        self.write("RELOAD:3")
        self.told("RELOAD failed on poller '3'")
        self.assertEqual(self.errors("exit code 5"), [])
        count = 40
        self.write(*["RELOADBROKER:3"] * count)
        self.spool_empty()
        line = self.told(" times since it was told", 30)[0]
        self.assertIn(f"({count - 1} times since it was told", line)
        self.assertEqual(len(self.errors("RELOADBROKER failed")), 2)

    def test_what_succeeds_is_not_told(self):
        self.start()
        self.write("RELOADBROKER:3", "EXTERNALCMD:3:one", "RELOADBROKER:1")
        eventually(lambda: self.called(3) and self.called(1) and self.engines[3].lines, 20, "the lines")
        time.sleep(1)
        self.assertEqual(self.errors(""), [])

    def test_a_line_for_the_central_itself_and_a_command_of_the_api_are_told_too(self):
        self.fails(4)
        self.start()
        self.write("RELOADBROKER:1")
        self.assertIn("on poller '1'", self.told("RELOADBROKER failed")[0])
        self.central.api().request("POST", "/api/centreon/legacycmd/command", [{"command": "STOP", "target": 4}])
        self.assertIn("CENTREONCOMMAND: STOP failed on poller '4'", self.told("STOP failed")[0])

    def test_the_token_of_a_line_that_is_refused_leads_to_its_row(self):
        self.start()
        self.write("RELOAD:99")
        self.is_in_history(self.told("unknown poller '99'")[0], "unknown poller '99'")


if __name__ == "__main__":
    unittest.main()
