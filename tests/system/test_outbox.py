"""What was accepted runs once, whoever is restarted or killed meanwhile, and is told when its time is up."""
import json
import signal
import socket
import time
import unittest

from api import codes, ended, outputs
from fleet import FleetCase, eventually, gorgonectl
from listener import Listener
from ports import free_port
from protocol import draw_key, read_private_key, request


class Marks:
    """A file to which each command appends its number when it runs."""

    def __init__(self, directory):
        self.file = directory / "marks"

    def command(self, number, then="true"):
        return f"echo {number} >> {self.file}; {then}"

    def seen(self):
        return [int(line) for line in self.file.read_text().split()] if self.file.exists() else []


class Outbox(FleetCase):
    def setUp(self):
        self.marks = Marks(self.directory)
        self.central, self.poller = self.start_pair()

    def submit(self, numbers, **options):
        return [self.central.api().submit(2, self.marks.command(number), **options) for number in numbers]

    def run_once(self, tokens, numbers, timeout=20):
        rows = [self.central.api().poll(2, token, timeout) for token in tokens]
        # They are begun in their order and run side by side.
        self.assertEqual(sorted(self.marks.seen()), list(numbers), "each once")
        self.assertEqual([codes(one)[-1] for one in rows], [2] * len(rows))

    def test_what_was_accepted_for_a_node_that_is_away_outlives_a_kill_of_the_central(self):
        self.poller.stop()
        tokens = self.submit(range(20))
        self.central.kill()
        self.assertEqual(len(self.central.database_rows("gorgone_outbox")), 20)
        self.central.start()
        self.poller.start()
        self.run_once(tokens, range(20))
        eventually(lambda: not self.central.database_rows("gorgone_outbox"), 10, "an empty outbox")

    def test_a_stop_of_the_central_loses_nothing_either(self):
        self.poller.kill()
        tokens = self.submit(range(5))
        self.central.stop()
        self.central.start()
        self.poller.start()
        self.run_once(tokens, range(5))

    def test_commands_that_wait_on_the_poller_when_it_is_killed_run_once_and_the_running_one_is_told(self):
        self.poller.replace_module("action", max_concurrent_commands=1, command_timeout=60)
        self.poller.allow_all_commands()
        self.poller.stop()
        self.poller.start()
        first = self.central.api().submit(2, self.marks.command(0, "sleep 50"))
        tokens = self.submit(range(1, 6))
        eventually(lambda: self.marks.seen() == [0], 15, "the first command")
        eventually(lambda: not self.central.database_rows("gorgone_outbox"), 10, "the poller has taken them all")
        self.poller.kill()
        self.poller.start()
        self.run_once(tokens, range(6))
        last = self.central.api().poll(2, first)[-1]
        self.assertEqual((last["code"], last["data"]["error"]), (1, "interrupted"))

    def test_a_stop_of_the_poller_leaves_what_waits_there_for_its_next_start(self):
        self.poller.replace_module("action", max_concurrent_commands=1, command_timeout=60)
        self.poller.stop()
        self.poller.start()
        first = self.central.api().submit(2, self.marks.command(0, "sleep 50"))
        tokens = self.submit(range(1, 4))
        eventually(lambda: self.marks.seen() == [0], 15, "the first command")
        eventually(lambda: not self.central.database_rows("gorgone_outbox"), 10, "the poller has taken them all")
        self.poller.stop()
        self.poller.start()
        self.run_once(tokens, range(4))
        self.assertEqual(codes(self.central.api().poll(2, first))[-1], 1)

    def test_a_message_whose_time_is_up_becomes_a_row_and_never_runs(self):
        self.poller.stop()
        status, body = self.central.api().request("POST", "/api/nodes/2/core/action/command?outbox_ttl=1", [{"command": self.marks.command(1)}])
        self.assertEqual(status, 200)
        last = self.central.api().poll(None, body["token"], 10)[-1]
        self.assertEqual(last["code"], 1)
        self.assertIn("could not be reached", last["data"]["message"])
        self.poller.start()
        rows = self.central.api().run(2, self.marks.command(2))
        self.assertEqual((codes(rows)[-1], self.marks.seen()), (2, [2]))

    def test_a_full_queue_is_refused_at_once_and_takes_again_when_there_is_room(self):
        self.central.replace_module("proxy", queue_messages=3)
        self.central.stop()
        self.central.start()
        self.wait_seen(self.central, 2)
        self.poller.stop()
        tokens = self.submit(range(3))
        status, body = self.central.api().request("POST", "/api/nodes/2/core/action/command", [{"command": self.marks.command(9)}])
        self.assertEqual((status, body["error"]), (503, "busy"), body)
        self.assertEqual(len(self.central.database_rows("gorgone_outbox")), 3)
        self.poller.start()
        self.run_once(tokens, range(3))
        self.assertEqual(codes(self.central.api().run(2, "true"))[-1], 2)

    def test_a_message_that_the_node_would_not_take_is_told_and_holds_nothing_up(self):
        self.poller.configure("90-small", {"gorgonecore": {"max_message_size": 100000}})
        self.poller.stop()
        self.poller.start()
        self.assertEqual(codes(self.central.api().run(2, "true"))[-1], 2)
        rows = self.central.api().run(2, "true " + "x" * 100000)
        self.assertEqual(codes(rows), [1])
        self.assertRegex(rows[0]["data"]["message"], r"has \d+ bytes on its way, of which node '2' takes 100000 at most")
        self.assertEqual(codes(self.central.api().run(2, "true"))[-1], 2)

    def test_questions_never_enter_the_outbox(self):
        self.poller.stop()
        status, body = self.central.api().request("GET", "/api/nodes/2/internal/information")
        self.assertEqual(status, 200, body)
        self.assertEqual(self.central.database_rows("gorgone_outbox"), [])
        self.assertEqual(codes(self.central.api().poll(None, body["token"], 20))[-1], 1)


class Hops(FleetCase):
    def setUp(self):
        self.marks = Marks(self.directory)
        self.central, self.remote, self.poller = self.start_chain()

    def test_rows_climb_two_hops_by_themselves(self):
        # Nobody asks: the log is fetched once an hour, and here it is read on the central alone.
        for node in (self.remote, self.central):
            node.replace_module("proxy", synchistory_time=3600)
            node.stop()
            node.start()
        self.wait_seen(self.remote, 4)
        self.wait_seen(self.central, 3)
        api = self.central.api()
        eventually(lambda: api.nodes()["3"]["features"], 10, "what the remote's daemon can do")
        for number in range(5):
            token = api.submit(4, f"echo {number}")
            eventually(lambda: ended(api.log(None, token)), 20, "the rows of a command behind the remote")
            rows = api.log(None, token)
            self.assertEqual((codes(rows), outputs(rows)), ([0, 0, 100, 2], [str(number)]))

    def test_a_remote_killed_between_taking_and_passing_on_loses_and_doubles_nothing(self):
        self.poller.stop()
        tokens = [self.central.api().submit(4, self.marks.command(number)) for number in range(30)]
        eventually(lambda: not self.central.database_rows("gorgone_outbox"), 15, "the remote has taken them all")
        self.remote.kill()
        more = [self.central.api().submit(4, self.marks.command(number)) for number in range(30, 40)]
        self.remote.start()
        self.poller.start()
        api = self.central.api()
        for token in tokens + more:
            eventually(lambda: ended(api.log(None, token)), 30, "the end of a command")
        self.assertEqual(sorted(self.marks.seen()), list(range(40)))

    def test_history_rows_of_an_outage_arrive_once(self):
        api = self.central.api()
        tokens = [api.submit(4, f"echo {number}") for number in range(3)]
        for token in tokens:
            eventually(lambda: ended(api.log(None, token)), 15, "the end of a command")
        self.remote.stop()
        remote_rows = len(self.remote.database_rows())
        self.remote.start()
        late = self.remote.api().submit(4, "echo late")
        eventually(lambda: ended(api.log(None, late)), 20, "the rows that came about without the central")
        self.assertEqual(codes(api.log(None, late)), [0, 0, 100, 2])
        for token in tokens:
            self.assertEqual(codes(api.log(None, token)), [0, 0, 100, 2])
        self.assertGreater(remote_rows, 0)


class Backlog(FleetCase):
    """More rows than go into one answer to a question for a log, which holds 1,000, come about during an outage."""

    ROWS = 2500

    def setUp(self):
        self.central, self.remote, self.poller = self.start_chain()

    def write_rows(self, token):
        """At the poller, while nobody asks for them."""
        writer = self.dial(self.poller, self.remote)
        for begin in range(0, self.ROWS, 500):
            for number in range(begin, begin + 500):
                writer.send(request("PUTLOG", {"code": 4, "etime": 1_700_000_000, "instant": 0, "token": token, "data": {"number": number}}, token))
            self.assertEqual({writer.take().body["code"] for _ in range(500)}, {0})
        writer.close()
        self.assertEqual(self.numbers(self.poller, token), list(range(self.ROWS)))

    @staticmethod
    def numbers(daemon, token):
        """Of the rows with this token, in their order."""
        rows = [row for row in daemon.database_rows() if row["token"] == token]
        return [json.loads(row["data"])["number"] for row in sorted(rows, key=lambda row: row["id"])]

    def all_came(self, token):
        eventually(lambda: len(self.numbers(self.central, token)) >= self.ROWS, 30, f"{self.ROWS} rows at the central")
        time.sleep(1)  # for one that would come twice
        for daemon in (self.remote, self.central):
            self.assertEqual(self.numbers(daemon, token), list(range(self.ROWS)), "each once, in their order")

    def test_what_a_poller_has_written_while_its_remote_was_away_is_at_the_central_once_and_in_its_order(self):
        self.remote.kill()
        self.write_rows("remote-away")
        self.remote.start()
        self.all_came("remote-away")

    def test_what_has_come_to_a_remote_while_the_central_was_away_is_there_once_and_in_its_order(self):
        self.central.kill()
        self.write_rows("central-away")
        eventually(lambda: len(self.numbers(self.remote, "central-away")) == self.ROWS, 30, "the rows at the remote")
        self.central.start()
        self.all_came("central-away")

    def test_who_asks_for_a_log_right_after_an_outage_is_told_all_of_it(self):
        self.central.kill()
        self.write_rows("asked")
        eventually(lambda: len(self.numbers(self.remote, "asked")) == self.ROWS, 30, "the rows at the remote")
        self.central.start()
        eventually(lambda: self.central.api().nodes()["3"]["link"] == "up", 15, "the link to the remote")
        rows = self.central.api().log(3, "asked")
        self.assertEqual([row["data"]["number"] for row in rows], list(range(self.ROWS)))


class Deployed(FleetCase):
    """A node with a deployed daemon, which knows no delivery ids, loses a command with the link before it has answered."""

    def lose_one(self, redelivery):
        """Loses the first of three commands; their rows, as the central has them in the end, and what the node took."""
        central = self.make_central()
        central.replace_module("proxy", redelivery=redelivery, ping=3600, synchistory_time=3600)
        node = Listener(draw_key(), [central.thumbprint()]).start()
        self.addCleanup(node.stop)
        central.nodes({"id": 2, "type": "push_zmq", "address": "127.0.0.1", "port": node.port})
        central.start()
        self.wait_seen(central, 2)
        eventually(lambda: "GETLOG" in node.actions(), 10, "the log of the node is asked for, so that the next frame is a command")
        node.swallow(1)
        api = central.api()
        tokens = [api.submit(2, f"c{number}") for number in range(3)]
        rows = [api.poll(2, token, 30) for token in tokens]
        self.assertEqual(central.database_rows("gorgone_outbox"), [])
        return rows, [message.token for message in node.taken if message.kind == "COMMAND"], tokens

    def test_at_least_once_sends_it_again(self):
        rows, taken, tokens = self.lose_one("at_least_once")
        self.assertEqual([codes(one)[-1] for one in rows], [2, 2, 2])
        self.assertEqual(set(taken), set(tokens), "none is lost")

    def test_at_most_once_tells_it_and_never_sends_one_twice(self):
        rows, taken, tokens = self.lose_one("at_most_once")
        self.assertEqual(len(taken), len(set(taken)), "a command was sent twice")
        self.assertNotIn(tokens[0], taken)
        self.assertEqual(codes(rows[0]), [1])
        self.assertIn("may have run or not", rows[0][0]["data"]["message"])
        for one, token in zip(rows[1:], tokens[1:]):
            self.assertTrue(token in taken or codes(one) == [1], "a command was lost and nobody was told")


class PutBack(FleetCase):
    """A Perl daemon comes back in the place of ours while commands wait for its node."""

    def put_back(self, **proxy):
        central = self.make_central()
        central.replace_module("proxy", **proxy)
        poller = self.make_poller(central.thumbprint()).start()
        central.nodes(poller.node(2))
        central.start()
        self.wait_seen(central, 2)
        eventually(lambda: "delivery" in central.api().nodes()["2"]["features"], 10, "what the poller can do")
        poller.stop()
        tokens = [central.api().submit(2, f"c{number}") for number in range(30)]
        node = Listener(read_private_key(poller.private_key), [central.thumbprint()], port=poller.port).start()
        self.addCleanup(node.stop)
        eventually(lambda: not central.database_rows("gorgone_outbox") and node.actions().count("COMMAND") >= len(tokens), 20, "all commands")
        time.sleep(1)  # for one that would come twice
        self.assertEqual([message.token for message in node.taken if message.kind == "COMMAND"], tokens)
        self.assertEqual([codes(central.api().poll(2, token))[-1] for token in tokens], [2] * len(tokens))

    def test_at_least_once(self):
        self.put_back()

    def test_at_most_once(self):
        self.put_back(redelivery="at_most_once")


class Trust(FleetCase):
    def test_a_new_key_is_refused_with_its_reason_and_trusted_without_a_restart(self):
        central, poller = self.start_pair()
        old = poller.thumbprint()
        poller.stop()
        new = poller.make_keys(force=True)
        for file in poller.database.parent.glob("history.sdb*"):
            file.unlink()
        poller.start()
        state = eventually(lambda: (lambda node: node["why"] == "key_changed" and node)(central.api().nodes()["2"]), 15, "the reason")
        self.assertEqual(state["link"], "down")
        self.assertIn(old, state["last_error"])
        self.assertIn(new, state["last_error"])
        # What was refused is written behind what is told of it.
        eventually(lambda: central.database_rows("gorgone_refused_key"), 10, "the refused key")
        shown = gorgonectl("trust", "2", "--config", str(central.config))
        self.assertIn(old, shown)
        self.assertIn(new, shown)
        self.assertEqual(central.api().nodes()["2"]["link"], "down", "showing changes nothing")
        gorgonectl("trust", "2", "--replace", "--config", str(central.config))
        eventually(lambda: central.api().nodes()["2"]["link"] == "up", 20, "the link")
        self.assertEqual(outputs(central.api().run(2, "echo trusted")), ["trusted"])


class Reasons(FleetCase):
    """Each is named within 15 seconds."""

    def why(self, node, wanted):
        self.central = self.make_central()
        self.central.nodes(node)
        self.central.start()
        return self.told(wanted, 15)

    def told(self, wanted, timeout):
        return eventually(lambda: (lambda state: state["why"] == wanted and state)(self.central.api().nodes()["2"]), timeout, f"why: {wanted}")

    def node(self, address, port):
        return {"id": 2, "type": "push_zmq", "address": address, "port": port}

    def test_a_port_where_nothing_listens_is_refused(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]  # nobody else's while it is bound
            state = self.why(self.node("127.0.0.1", port), "refused")
        self.assertIn(str(port), state["last_error"])

    def test_something_that_takes_connections_and_says_nothing_is_mute_and_its_end_is_told_within_10_s(self):
        with socket.create_server(("127.0.0.1", free_port())) as mute:
            self.why(self.node("127.0.0.1", mute.getsockname()[1]), "mute")
        self.told("refused", 10)

    def test_a_name_that_leads_nowhere_is_named(self):
        self.assertIn("nowhere.invalid", self.why(self.node("nowhere.invalid", 5556), "name")["last_error"])

    def test_a_node_that_does_not_know_our_key_refuses_the_handshake(self):
        poller = self.make_poller("another-thumbprint").start()
        self.assertIn("authorized_clients", self.why(poller.node(2), "handshake_refused")["last_error"])

    def test_since_when_a_link_is_as_it_is_changes_with_its_state_alone(self):
        def state():
            return self.central.api().nodes()["2"]

        def changed(before):
            """The link's state became another one after `before`, and that moment is told."""
            since = state()["link_since"]
            self.assertGreaterEqual(since, int(before))
            self.assertLessEqual(since, time.time())
            return since

        before = time.time()
        self.central, poller = self.start_pair()
        up = changed(before)
        api = self.central.api()
        time.sleep(2)
        api.run(2, "echo meanwhile")
        api.request("GET", "/api/internal/nodes/2/ping")
        self.assertEqual((state()["link"], state()["link_since"]), ("up", up))
        before = time.time()
        poller.kill()
        eventually(lambda: state()["link"] == "down", 15, "the loss")
        down = changed(before)
        self.told("refused", 15)
        time.sleep(2)
        self.assertEqual((state()["link"], state()["link_since"]), ("down", down), "another reason is no other state")
        before = time.time()
        poller.start()
        eventually(lambda: state()["link"] == "up", 15, "the link")
        changed(before)

    def test_a_node_that_is_suspended_is_mute_and_comes_back(self):
        central, poller = self.start_pair()
        central.stop()
        poller.process.send_signal(signal.SIGSTOP)
        try:
            central.start()
            eventually(lambda: central.api().nodes()["2"]["why"] == "mute", 15, "why: mute")
        finally:
            poller.process.send_signal(signal.SIGCONT)
        eventually(lambda: central.api().nodes()["2"]["link"] == "up", 10, "the link")


if __name__ == "__main__":
    unittest.main()
