"""A central, a remote and a poller behind it, by the examples in etc/."""
import time
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
        eventually(lambda: mark.exists() and mark.read_text(), 10, "the command on the poller behind the remote")
        self.assertEqual(mark.read_text(), "ran\n")
        self.assertEqual(outputs(self.central.api().run(3, "echo remote")), ["remote"])

    def test_what_is_asked_of_a_poller_behind_the_remote_is_in_the_log_of_its_token_once(self):
        self.assert_answers_in_log(self.central, 4, self.poller)

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


class Ways(FleetCase):
    """Nodes that are reached another way than before, or are known later."""

    def test_what_waits_behind_a_remote_that_stays_away_goes_to_its_node_where_that_is_registered_by_itself(self):
        central = self.make_central()
        remote = self.make_remote(central.thumbprint())
        poller = self.make_poller(f'{central.thumbprint()}"\n      - key: "{remote.thumbprint()}', 4).start()
        remote.nodes(poller.node(4))
        remote.start()
        central.nodes(remote.node(3, nodes=[{"id": 4, "pathscore": 1}]))
        central.start()
        self.wait_seen(central, 3)
        remote.kill()
        api = central.api()
        tokens = [api.submit(4, f"echo moved {number}") for number in range(5)]
        eventually(lambda: api.nodes()["3"]["link"] == "down", 10, "the loss of the remote")
        time.sleep(6)  # after 5 s it is away
        central.nodes(remote.node(3), poller.node(4))
        self.assertEqual(api.request("POST", "/api/core/register/resync")[0], 200)
        for number, token in enumerate(tokens):
            self.assertEqual(outputs(api.poll(4, token, 15)), [f"moved {number}"])

    def test_a_command_for_a_poller_that_a_remote_learns_of_late_waits_for_that(self):
        central = self.make_central()
        first = self.make_remote(central.thumbprint(), 3)
        second = self.make_remote(first.thumbprint(), 5)
        poller = self.make_poller(second.thumbprint(), 4).start()
        second.nodes(poller.node(4))
        second.start()
        first.nodes(second.node(5))
        first.start()
        central.nodes(first.node(3, nodes=[{"id": 4, "pathscore": 1}]))
        central.start()
        self.wait_seen(second, 4)
        eventually(lambda: "4" in first.api().nodes()["5"]["nodes"], 15, "what is behind the second remote")
        self.wait_seen(central, 3)
        second.kill()
        first.kill()
        first.start()
        self.wait_seen(central, 3)
        time.sleep(11)  # nodes are registered within 10 s of a start
        token = central.api().submit(4, "echo late")
        time.sleep(1)
        second.start()
        self.assertEqual(outputs(central.api().poll(4, token, 20)), ["late"])


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
        self.assertEqual(outputs(self.central.api().run(4, "echo by the first")), ["by the first"])

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

    def wait_logs(self):
        """Until the central has all that the poller has written, by both remotes: a remote passes on its rows in their order."""
        for remote, identity in ((self.first, 3), (self.second, 5)):
            seen = max(row["ctime"] for row in self.poller.database_rows())
            eventually(lambda: any(row["id"] == 4 and row["ctime"] >= seen - 1e-6 for row in remote.database_rows("gorgone_synchistory")), 20,
                       f"the poller's log at the remote {identity}")
            # Behind everything that it has.
            self.central.api().run(identity, "echo here")

    def stored_once(self, *tokens):
        self.wait_logs()
        of_poller = self.poller.database_rows()
        for token in tokens:
            expected = [(row["code"], row["etime"], row["data"]) for row in of_poller if row["token"] == token]
            stored = [(row["code"], row["etime"], row["data"]) for row in self.central.database_rows() if row["token"] == token]
            self.assertEqual(stored, expected, token)
            self.assertTrue(expected)

    def test_a_row_that_comes_by_both_remotes_is_stored_once(self):
        tokens = self.submit(range(10))
        eventually(lambda: len(self.ran()) == 10, 10, "the commands")
        self.stored_once(*tokens)

    def test_rows_are_stored_once_when_either_remote_comes_back_later_and_the_central_is_restarted(self):
        tokens = self.submit(range(3))
        self.second.kill()
        tokens += self.submit(range(3, 6))
        eventually(lambda: len(self.ran()) == 6, 10, "the commands")
        for token in tokens:
            self.central.api().poll(4, token)
        self.central.kill()
        self.central.start()
        self.second.start()
        self.wait_seen(self.central, 5)
        self.first.kill()
        tokens += self.submit(range(6, 9))
        eventually(lambda: len(self.ran()) == 9, 20, "the commands by the second remote")
        self.first.start()
        self.wait_seen(self.central, 3)
        self.stored_once(*tokens)

    def test_a_remote_that_has_lost_its_database_brings_no_row_twice(self):
        tokens = self.submit(range(5))
        eventually(lambda: len(self.ran()) == 5, 10, "the commands")
        self.stored_once(*tokens)
        self.second.kill()
        for file in self.second.database.parent.glob("history.sdb*"):
            file.unlink()
        self.second.start()
        self.wait_seen(self.central, 5)
        self.stored_once(*tokens, *self.submit(range(5, 7)))

    def test_rows_that_look_the_same_and_are_not_are_all_stored(self):
        client = self.dial(self.poller, self.first)
        for _ in range(3):
            said = client.call("PUTLOG", {"token": "alike", "code": 4, "etime": 1700000000, "data": {"message": "alike"}})
            self.assertEqual(said.body["code"], 0)
        self.stored_once("alike")
        self.assertEqual(len([row for row in self.central.database_rows() if row["token"] == "alike"]), 3)

    def test_a_node_that_moves_behind_a_remote_brings_none_of_its_rows_again(self):
        """It was reached by itself; the remote fetches its log from the beginning."""
        self.first.kill()
        self.second.kill()
        for remote in (self.first, self.second):
            for file in remote.database.parent.glob("history.sdb*"):
                file.unlink()
        third = self.make_poller(f'{self.central.thumbprint()}"\n      - key: "{self.first.thumbprint()}', 6).start()
        api = self.central.api()
        self.central.nodes(self.first.node(3), third.node(6))
        self.assertEqual(api.request("POST", "/api/core/register/resync")[0], 200)
        self.wait_seen(self.central, 6)
        tokens = [api.submit(6, f"echo {number}") for number in range(3)]
        for token in tokens:
            api.poll(6, token)
        before = len([row for row in self.central.database_rows() if row["token"] in tokens])
        self.assertEqual(before, 12)
        self.first.nodes(third.node(6))
        self.first.start()
        self.wait_seen(self.first, 6)
        self.central.nodes(self.first.node(3, nodes=[{"id": 6, "pathscore": 1}]))
        self.assertEqual(api.request("POST", "/api/core/register/resync")[0], 200)
        self.wait_seen(self.central, 3)
        self.assertEqual(outputs(api.run(6, "echo moved")), ["moved"])
        api.run(3, "echo behind all that it has")
        self.assertEqual(len([row for row in self.central.database_rows() if row["token"] in tokens]), before)


if __name__ == "__main__":
    unittest.main()
