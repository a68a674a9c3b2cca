"""A central, a remote and a poller behind it, by the examples in etc/."""
import json
import secrets
import time
import unittest

from api import codes, outputs
from fleet import FleetCase, eventually
from deployed_remote import DeployedRemote  # found by way of fleet
from listener import Listener
from protocol import draw_key, request


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
        self.central, self.first, self.second, self.poller = self.start_two_remotes()
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


class DeployedCentral(FleetCase):
    """A central that is not ours, over our remote with a poller behind it."""

    def setUp(self):
        self.owner = self.make_central()
        self.remote = self.make_remote(self.owner.thumbprint())
        self.poller = self.make_poller(self.remote.thumbprint(), 4).start()
        self.remote.nodes(self.poller.node(4))
        self.remote.start()
        self.wait_seen(self.remote, 4)
        self.central = self.dial(self.remote, self.owner)
        self.unasked = []

    def call(self, action, data=None, token="", target=""):
        """What is answered to it; what comes by itself meanwhile is kept."""
        token = token or secrets.token_hex(16)
        self.central.send(request(action, data, token, target))
        while True:
            said = self.central.take()
            if said.token == token:
                return said
            self.unasked.append(said)

    def rows(self, target="", **filters):
        answer = self.call("GETLOG", filters, target=target)
        self.assertEqual((answer.kind, answer.body["code"], str(answer.body["data"]["id"])), ("ACK", 0, "3"))
        return sorted(answer.body["data"]["result"], key=lambda row: int(row["id"]))

    def told(self, timeout=10):
        """The next SYNCLOGS that comes by itself."""
        while not any(said.kind == "SYNCLOGS" for said in self.unasked):
            self.unasked.append(self.central.take(timeout))
        said, = [said for said in self.unasked if said.kind == "SYNCLOGS"][:1]
        self.unasked.remove(said)
        return said

    def test_a_command_for_the_poller_is_acknowledged_and_its_rows_come_by_a_getlog_with_the_pollers_id(self):
        token = secrets.token_hex(16)
        said = self.call("COMMAND", {"content": [{"command": "echo deep"}]}, token, "4")
        self.assertEqual((said.kind, said.body["code"]), ("ACK", 0))
        eventually(lambda: any(row["code"] == 2 for row in self.rows("4", token=token)), 15, "the end of the command")
        rows = self.rows("4", token=token)
        self.assertEqual(codes(rows), [0, 0, 100, 2])
        self.assertEqual(json.loads(rows[2]["data"])["result"]["stdout"], "deep")
        self.assertEqual([(row["code"], row["data"]) for row in self.rows(token=token)], [(row["code"], row["data"]) for row in rows])

    def test_a_pong_names_the_poller_and_a_target_that_nobody_knows_is_refused(self):
        self.assertEqual(list(self.call("PING").body["data"]["data"]), ["4"])
        said = self.call("COMMAND", {"content": [{"command": "true"}]}, target="4711")
        self.assertEqual((said.body["code"], said.body["data"]["error"]), (1, "unknown_target"))

    def test_who_has_pinged_is_told_that_there_are_new_rows_of_the_poller_and_finds_them(self):
        newest = max([row["ctime"] for row in self.rows(ctime=0)], default=0)
        self.call("PING")
        token = secrets.token_hex(16)
        self.call("COMMAND", {"content": [{"command": "echo told"}]}, token, "4")
        found = []
        while not any(row["code"] == 2 for row in found):
            said = self.told()
            self.assertEqual((said.token, said.target, said.body), ("", "", {"data": {"id": "3"}}))
            found = [row for row in self.rows(ctime=newest) if row["token"] == token]
        self.assertEqual(codes(found), [0, 0, 100, 2])

    def test_who_has_not_pinged_is_told_nothing(self):
        token = secrets.token_hex(16)
        self.call("COMMAND", {"content": [{"command": "echo quiet"}]}, token, "4")
        eventually(lambda: any(row["code"] == 2 for row in self.rows(token=token)), 15, "the end of the command")
        with self.assertRaises(TimeoutError):
            self.told(timeout=1)

    def test_synclogs_brings_what_a_poller_has_written_that_tells_nothing_by_itself(self):
        node = Listener(draw_key(), [self.remote.thumbprint()], node_id=5).start()
        self.addCleanup(node.stop)
        self.remote.stop()
        self.remote.replace_module("proxy", synchistory_time=3600)
        self.remote.nodes({"id": 5, "type": "push_zmq", "address": "127.0.0.1", "port": node.port})
        self.remote.start()
        self.wait_seen(self.remote, 5)
        self.central = self.dial(self.remote, self.owner)
        eventually(lambda: "GETLOG" in node.actions(), 10, "the first question for its log")
        token = secrets.token_hex(16)
        node.work.log(token, 4, {"message": "nobody asks"})
        time.sleep(1)
        self.assertEqual(self.rows(token=token), [])
        self.assertEqual(self.call("SYNCLOGS", {"data": {"id": "1"}}).body["code"], 0)
        eventually(lambda: self.rows(token=token), 10, "the row")
        self.assertEqual(codes(self.rows(token=token)), [4])


class RemoteThatIsNotOurs(FleetCase):
    """Our central over a remote that is not ours, which asks for logs once an hour here."""

    def start(self, **options):
        self.central = self.make_central()
        self.central.replace_module("proxy", synchistory_time=3600)
        self.remote = DeployedRemote(draw_key(), [self.central.thumbprint()], [4], **options).start()
        self.addCleanup(self.remote.stop)
        self.central.nodes(self.remote.node(3, nodes=[{"id": 4, "pathscore": 1}]))
        self.central.start()
        self.wait_seen(self.central, 3)
        eventually(lambda: self.remote.of("GETLOG"), 10, "the first question for its log")

    def stored(self, token):
        return codes([row for row in self.central.database_rows() if row["token"] == token])

    def test_its_word_that_there_are_new_rows_brings_them(self):
        self.start()
        token = self.central.api().submit(4, "told")
        eventually(lambda: 2 in self.stored(token), 5, "the rows")
        self.assertEqual(self.stored(token), [0, 100, 2])
        (target, body), = self.remote.of("COMMAND")
        self.assertEqual((target, body["content"]), ("4", [{"command": "told"}]))
        asked = len(self.remote.of("GETLOG"))
        for _ in range(3):
            token = self.central.api().submit(4, "again")
            eventually(lambda: 2 in self.stored(token), 5, "the rows")
            self.assertEqual(self.stored(token), [0, 100, 2])
        self.assertGreaterEqual(len(self.remote.of("GETLOG")), asked + 3)

    def test_without_it_rows_come_when_the_log_of_the_poller_is_asked_for_through_the_remote(self):
        self.start(tells=False)
        token = self.central.api().submit(4, "quiet")
        eventually(lambda: any(row["token"] == token for row in self.remote.work.rows), 5, "the rows at the remote")
        time.sleep(1)
        self.assertEqual(self.stored(token), [], "nobody has told of them")
        rows = self.central.api().poll(4, token)
        self.assertEqual((codes(rows), outputs(rows)), ([0, 100, 2], ["ran quiet"]))
        self.assertIn("4", [target for target, _ in self.remote.of("GETLOG")])
        self.assertEqual(self.stored(token), [0, 100, 2])


if __name__ == "__main__":
    unittest.main()
