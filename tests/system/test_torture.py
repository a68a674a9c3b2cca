"""The short form of tests/torture.py."""
# tests/run.sh: first, for it waits long for those who come back; how soon that is it does not judge.
import sys
import unittest

from fleet import ROOT

sys.path.insert(0, str(ROOT / "tests"))
import torture
from shared_peer import MISSING, SHARED


class Torture(torture.Torture):
    runTest = None

    def test_without_faults_every_accepted_command_runs_once_and_its_result_comes_once(self):
        self.torture(4, calm=True, seed=1)

    def test_between_our_agents_every_accepted_command_runs_exactly_once(self):
        self.torture(16, seed=2)

    def test_to_a_poller_that_dials_by_pull_every_accepted_command_runs_exactly_once(self):
        self.torture(10, link="pull", seed=4)

    def test_to_a_poller_that_dials_by_a_websocket_every_accepted_command_runs_exactly_once(self):
        self.torture(10, link="wss", seed=5)

    def test_towards_a_deployed_poller_no_accepted_command_is_lost(self):
        self.torture(12, deployed=True, seed=3)

    def test_towards_a_deployed_poller_that_dials_no_accepted_command_is_lost(self):
        self.torture(12, deployed=True, link="pull", seed=7)

    @unittest.skipUnless(SHARED.is_dir(), MISSING)
    def test_towards_the_independent_peer_with_its_faults_in_turn_no_accepted_command_is_lost(self):
        self.torture(15, peer=True, seed=6)


if __name__ == "__main__":
    unittest.main()
