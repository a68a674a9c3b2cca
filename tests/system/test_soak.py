"""The short form of tests/soak.py."""
# tests/run.sh: alone, for it loads the machine and measures memory.
import sys
import unittest

from fleet import ROOT

sys.path.insert(0, str(ROOT / "tests"))
import soak


class Soak(soak.Fleet):
    runTest = None

    def test_a_fleet_under_load_with_restarts_loses_nothing_and_is_as_small_as_before(self):
        self.run_for(15, every_s=4, report=print, seed=1)
        self.assertEqual(len(self.accepted), self.counts["ran"] + self.refused(), "a command that was accepted has neither run nor been refused")

    def test_links_that_are_lost_all_the_time_lose_nothing_and_leave_nothing_behind(self):
        self.run_for(15, every_s=4, report=print, seed=2, links=True)
        self.assertEqual(len(self.accepted), self.counts["ran"], "a command that was accepted has not run")
        lost = sum(count for what, count in self.counts.items() if what.startswith("paths "))
        self.assertGreater(lost, 10, "the paths were hardly lost")
        self.assertGreater(sum(daemon.log().count("link down") for daemon in self.daemons), 5, "the central hardly noticed")

    def refused(self):
        api = self.central.api()
        return sum(not (self.marks / name).exists() and any(row["code"] == 1 for row in api.log(None, token)) for _, token, name in self.accepted)


if __name__ == "__main__":
    unittest.main()
