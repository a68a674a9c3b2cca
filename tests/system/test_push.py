"""A central that sends to its pollers, by the examples in etc/."""
import concurrent.futures
import time
import unittest

from api import codes, outputs
from fleet import FleetCase, eventually
from listener import Listener
from pace import clock
from protocol import draw_key


class Push(FleetCase):
    def test_a_command_crosses_and_its_result_comes_back_in_one_request(self):
        central, poller = self.start_pair()
        started = clock()
        rows = central.api().run(2, "echo one; exit 3", metadata={"ä": [1]})
        took = clock() - started
        self.assertEqual(codes(rows), [0, 0, 100, 2])
        self.assertEqual(rows[2]["data"]["result"], {"exit_code": 3, "stdout": "one"})
        self.assertEqual(rows[2]["data"]["metadata"], {"ä": [1]})
        self.assertEqual(rows[3]["data"]["message"], "commands processing has finished successfully")
        self.assertLess(took, 2, "log_wait is a limit, not a delay")
        for row in rows:
            self.assertTrue(isinstance(row["id"], str) and row["id"].isdigit(), row)
            self.assertTrue(isinstance(row["ctime"], float) and isinstance(row["etime"], int), row)
            self.assertEqual(row["instant"], 0)

    def test_a_result_is_found_by_polling_the_log_of_its_token_on_the_node(self):
        central, _ = self.start_pair()
        api = central.api()
        token = api.submit(2, "echo polled")
        self.assertEqual(outputs(api.poll(2, token)), ["polled"])
        self.assertEqual(codes(api.log(None, token)), [0, 0, 100, 2], "what was fetched is in the central's own history")
        self.assertEqual(codes(api.log(2, token, code=100)), [100])

    def test_rows_fetched_again_and_again_are_stored_once(self):
        central, _ = self.start_pair()
        api = central.api()
        token = api.submit(2, "echo x")
        api.poll(2, token)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for rows in pool.map(lambda _: api.log(2, token), range(40)):
                self.assertEqual(codes(rows), [0, 0, 100, 2])

    def test_three_pollers_each_run_their_own_commands(self):
        central, *pollers = self.start_pair((2, 3, 4))
        for poller, identity in zip(pollers, (2, 3, 4)):
            (poller.directory / "name").write_text(f"poller {identity}")
        api = central.api()

        def work(number):
            identity = 2 + number % 3
            rows = api.run(identity, f"cat {self.directory}/poller-{identity}/name; echo ' {number}'")
            return outputs(rows) == [f"poller {identity} {number}"] or rows

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            self.assertEqual(list(pool.map(work, range(30))), [True] * 30)
        tokens = {row["token"] for row in pollers[0].database_rows()}
        for other in pollers[1:]:
            self.assertFalse(tokens & {row["token"] for row in other.database_rows()}, "a command ran on two pollers")

    def test_a_command_without_a_node_runs_on_the_central(self):
        central, _ = self.start_pair()
        rows = central.api().run(None, "echo here")
        self.assertEqual((codes(rows), outputs(rows)), ([0, 0, 100, 2], ["here"]))

    def test_text_beyond_ascii_comes_back_as_it_was_sent(self):
        central, _ = self.start_pair()
        self.assertEqual(outputs(central.api().run(2, "echo 'äöü €  \"quoted\" \\ 漢字'")), ["äöü €  \"quoted\" \\ 漢字"])

    def test_a_large_output_comes_back_whole(self):
        central, _ = self.start_pair()
        rows = central.api().run(2, "head -c 600000 /dev/zero | tr '\\0' x")
        self.assertEqual(len(outputs(rows)[0]), 600000)

    def test_what_is_asked_of_a_node_is_in_the_log_of_its_token_once(self):
        central, poller = self.start_pair()
        self.assert_answers_in_log(central, 2, poller)

    def test_a_node_that_nobody_knows_is_told_in_the_log(self):
        central, _ = self.start_pair()
        api = central.api()
        status, body = api.request("POST", "/api/nodes/99/core/action/command", [{"command": "true"}])
        self.assertEqual((status, body["error"], body["message"]), (400, "unknown_target", "proxy - unknown target 99"))
        rows = eventually(lambda: api.log(None, body["token"]), 5, "a row of the refused command")
        self.assertEqual([(row["code"], row["data"]["message"]) for row in rows], [(1, "proxy - unknown target 99")])

    def test_a_node_is_pinged_when_the_api_says_so(self):
        central = self.make_central()
        poller = Listener(draw_key(), [central.thumbprint()]).start()  # a deployed one, which nothing else pings for a minute
        self.addCleanup(poller.stop)
        central.nodes({"id": 2, "type": "push_zmq", "address": "127.0.0.1", "port": poller.port})
        central.start()
        self.wait_seen(central, 2)
        api = central.api()
        for number in (2, 3):
            self.assertEqual(api.request("GET", "/api/internal/nodes/2/ping"),
                             (200, {"message": "ping sent, check /api/internal/constatus for response"}))
            eventually(lambda: int(api.nodes()["2"]["ping_ok"]) == number, 5, "the pong")
        self.assertEqual(poller.actions().count("PING"), 3)
        self.assertEqual(api.request("GET", "/api/internal/nodes/99/ping"),
                         (404, {"error": "unknown_target", "message": "node '99' is not registered"}))
        self.assertEqual(api.request("GET", "/api/internal/nodes/1/ping")[0], 200, "the central itself")

    def test_a_node_is_pinged_at_once_and_its_state_is_told(self):
        central, _ = self.start_pair()
        state = central.api().nodes()
        self.assertEqual(list(state), ["2"])
        self.assertEqual(state["2"]["type"], "push_zmq")
        self.assertGreater(float(state["2"]["last_ping_recv"]), time.time() - 60)
        self.assertEqual(int(state["2"]["ping_failed"]), 0)
        for key in ("in_progress_ping", "ping_timeout", "last_ping_sent", "next_ping", "ping_ok", "nodes"):
            self.assertIn(key, state["2"])


if __name__ == "__main__":
    unittest.main()
