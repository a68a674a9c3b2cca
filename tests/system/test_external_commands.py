"""The module engine: external commands through the pipe of a fake engine, on a real poller."""
import os
import time
import unittest

from api import codes, parsed
from fake_engine import FakeEngine
from fleet import FleetCase, eventually
from pace import SLOWNESS


class Engine(FleetCase):
    def setUp(self):
        self.central, self.poller = self.start_pair()
        self.pipe = self.directory / "engine.cmd"
        self.use(reader_timeout=5)

    def use(self, **options):
        self.poller.replace_module("engine", command_file=str(self.pipe), **options)
        self.poller.stop()
        self.poller.start()
        self.wait_seen(self.central, 2)

    def engine(self, **options):
        engine = FakeEngine(self.pipe, **options)
        self.addCleanup(lambda: engine.is_ending or engine.stop())
        return engine

    def send(self, *commands, **content):
        status, body = self.central.api().request("POST", "/api/nodes/2/centreon/engine/command", {"commands": list(commands), **content})
        self.assertEqual(status, 200, body)
        return body["token"]

    def poll(self, token, timeout=20):
        """Rows up to the one that ends the request: that a command was submitted ends nothing."""
        api = self.central.api()

        def look():
            rows = api.log(2, token)
            steps = ("command has been submitted", "command execution issue")
            ends = [row for row in rows if row["code"] in (1, 2) and row["data"]["message"] not in steps]
            return rows if ends else None

        return eventually(look, timeout, "the end of an ENGINECOMMAND")

    def test_each_command_reaches_the_engine_and_has_its_row(self):
        engine = self.engine()
        rows = self.poll(self.send("[1] A;x", "[2] B;y\n[3] C;z"))
        self.assertEqual(codes(rows), [0, 2, 2, 2])
        self.assertEqual([row["data"].get("command") for row in rows[1:3]], ["[1] A;x", "[2] B;y\n[3] C;z"])
        self.assertEqual(rows[-1]["data"]["message"], "commands processing has finished successfully")
        self.assertEqual(engine.lines, ["[1] A;x", "[2] B;y", "[3] C;z"])

    def test_log_wait_answers_with_all_rows(self):
        self.engine()
        path = "/api/nodes/2/centreon/engine/command?log_wait=10000000"
        status, body = self.central.api().request("POST", path, {"commands": ["a", "b"]})
        self.assertEqual((status, codes(parsed(body))), (200, [0, 2, 2, 2]))

    def test_a_pipe_without_a_reader_delays_nothing_else_and_is_told_in_time(self):
        os.mkfifo(self.pipe)
        other = FakeEngine(self.directory / "other.cmd")
        self.addCleanup(other.stop)
        started = time.monotonic()
        token = self.send("lost")
        self.poll(self.send("through", command_file=str(other.path)))
        self.assertEqual(codes(self.central.api().run(2, "true"))[-1], 2)
        self.assertLess(time.monotonic() - started, 4 * SLOWNESS, "what goes elsewhere waited for the pipe without a reader")
        rows = self.poll(token)
        self.assertEqual(codes(rows), [0, 1, 1])
        self.assertEqual((rows[1]["data"]["command"], rows[1]["data"]["not_written"]), ("lost", "1"))
        for told in (rows[1]["data"]["result"]["stdout"], rows[-1]["data"]["message"]):
            self.assertIn(f"command file '{self.pipe}' has no reader", told)
        self.assertGreater(time.monotonic() - started, 4.5)
        self.assertEqual(other.lines, ["through"])

    def test_an_engine_that_takes_longer_to_start_than_five_seconds_loses_nothing(self):
        self.use()
        os.mkfifo(self.pipe)
        token = self.send("[1] early")
        self.poller.wait_log(f"WARNING - .engine. command file '{self.pipe}' is missing or no engine reads from it: external commands wait, at most 300 s")
        time.sleep(1)
        engine = self.engine()
        self.assertEqual(codes(self.poll(token)), [0, 2, 2])
        self.assertEqual(engine.lines, ["[1] early"])

    def test_what_is_missing_or_no_pipe_is_named(self):
        self.use(reader_timeout=0)
        self.assertIn("must exist", self.poll(self.send("a"))[-1]["data"]["message"])
        self.pipe.write_text("")
        self.assertIn("must be a pipe file", self.poll(self.send("a"))[-1]["data"]["message"])
        self.assertEqual(self.pipe.read_text(), "")

    def test_a_full_pipe_is_waited_for_and_nothing_is_lost_or_out_of_order(self):
        engine = self.engine()
        engine.is_paused = True
        lines = [f"{number} {'x' * 90}" for number in range(3000)]
        tokens = [self.send("\n".join(lines[at:at + 100])) for at in range(0, len(lines), 100)]
        self.assertEqual(codes(self.central.api().run(2, "true"))[-1], 2)
        engine.is_paused = False
        for token in tokens:
            self.assertEqual(codes(self.poll(token))[-1], 2)
        self.assertEqual(engine.lines, lines)

    def test_an_engine_that_makes_its_pipe_anew_gets_what_comes_after(self):
        engine = self.engine()
        self.poll(self.send("before"))
        engine.replace()
        self.poll(self.send("after"))
        self.assertEqual(engine.lines, ["before", "after"])

    def test_a_line_of_a_megabyte_arrives_whole(self):
        engine = self.engine()
        line = "[1] PROCESS;" + "é" * 500000
        self.assertEqual(codes(self.poll(self.send("a", line, "b"))), [0, 2, 2, 2, 2])
        self.assertEqual(engine.lines, ["a", line, "b"])

    def test_a_full_queue_is_refused_as_busy(self):
        self.use(max_queued_bytes=65536, write_timeout=600)
        engine = self.engine()
        engine.is_paused = True
        self.poll(self.send("y" * 50000))  # is in the pipe, with which that is nearly full
        waiting = self.send("y" * 50000)
        rows = self.poll(self.send("y" * 50000))
        self.assertEqual(codes(rows), [1])
        self.assertIn("busy", rows[0]["data"]["message"])
        engine.is_paused = False
        self.assertEqual(codes(self.poll(waiting))[-1], 2)

    def test_logging_false_writes_no_rows(self):
        engine = self.engine()
        message = {"commands": ["silent"]}
        owner = self.dial(self.poller, self.central)
        owner.call("ENGINECOMMAND", {"logging": False, "content": message}, "silent-token")
        eventually(lambda: engine.lines == ["silent"], 10, "the command")
        self.poll(self.send("told"))
        self.assertEqual([row for row in self.poller.database_rows() if row["token"] == "silent-token"], [])

    def test_a_poller_killed_while_it_writes_goes_on_with_the_line_where_it_was(self):
        engine = self.engine()
        lines = [f"{number} {'x' * 60}" for number in range(6000)]
        tokens = []
        for round_of in range(3):
            engine.is_paused = True  # the pipe fills up in the middle of a request
            part = lines[round_of * 2000:(round_of + 1) * 2000]
            tokens += [self.send("\n".join(part[at:at + 1000])) for at in range(0, len(part), 1000)]
            eventually(lambda: not self.central.database_rows("gorgone_outbox"), 10, "the poller has taken them")
            time.sleep(0.1)
            self.poller.kill()
            engine.is_paused = False
            self.poller.start()
            eventually(lambda: len(engine.lines) >= (round_of + 1) * 2000, 20, "the lines of a round")
        self.assertEqual(engine.lines, lines)
        for token in tokens:
            self.assertEqual(codes(self.poll(token)), [0, 2, 2])


if __name__ == "__main__":
    unittest.main()
