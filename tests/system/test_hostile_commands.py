"""Commands that misbehave: output without end or bounds, children that do not end, more of them than can run, and none that can be started."""
import json
import os
import pathlib
import resource
import secrets
import subprocess
import time
import unittest

from api import codes
from fleet import BIN, FleetCase, eventually, processes_with
from hostile import LivePeer, Peak, descriptors, limited, memory_kb, threads
from pace import SLOWNESS, clock
from protocol import request


class Commands(FleetCase):
    options = {}

    def setUp(self):
        self.central = self.make_central()
        self.poller = self.make_poller(self.central.thumbprint())
        if self.options:
            self.poller.replace_module("action", **self.options)
        self.poller.start()
        self.pid = self.poller.process.pid
        self.client = self.dial(self.poller, self.central)
        self.live = self.dial(self.poller, self.central)
        self.mark = f"31.{time.time_ns()}"  # a number that no other process has in its command line

    def rows(self, *commands, client=None, patience=20, **options):
        client = client or self.client
        token = secrets.token_hex(16)
        content = [dict({"command": command}, **options) for command in commands]
        answer = client.call("COMMAND", {"content": content}, token=token)
        self.assertEqual((answer.kind, answer.token, answer.body["code"]), ("ACK", token, 0))
        return [{**row, "data": json.loads(row["data"])} for row in client.outcome(token, patience)]

    def result(self, command, **options):
        rows = self.rows(command, **options)
        return next(row for row in rows if row["code"] == 100 or row["data"]["message"] == "command execution issue")["data"]["result"]

    def no_process_is_left(self, within=3):
        eventually(lambda: not processes_with(self.mark), within, "the end of the command's processes")


class Output(Commands):
    options = {"max_output": 100_000, "command_timeout": 5}

    def test_megabytes_of_output_are_truncated_with_a_note_and_not_kept(self):
        with Peak(self.pid) as peak, LivePeer(self.live) as live:
            result = self.result("head -c 100000000 /dev/zero | tr '\\0' x; exit 3")
        self.assertEqual(result["exit_code"], 3, "the command runs to its end all the same")
        self.assertEqual(result["stdout"], "x" * 100_000 + "\n[output truncated: 99900000 bytes dropped]")
        self.assertLess(peak.grown_kb, 10_000)
        self.assertLess(max(live.answers), 1)

    def test_an_output_that_just_fits_is_whole(self):
        self.assertEqual(self.result("head -c 100000 /dev/zero | tr '\\0' x")["stdout"], "x" * 100_000)
        self.assertTrue(self.result("head -c 100001 /dev/zero | tr '\\0' x")["stdout"].endswith("\n[output truncated: 1 bytes dropped]"))

    def test_a_character_cut_in_two_by_the_limit_is_left_out(self):
        result = self.result("printf x; head -c 60000 /dev/zero | tr '\\0' '\\n' | sed 's/^/é/' | tr -d '\\n'")
        self.assertEqual(result["stdout"], "x" + "é" * 49_999 + f"\n[output truncated: {120_001 - 99_999} bytes dropped]")

    def test_binary_output_comes_back_byte_by_byte_as_latin_1(self):
        everything = bytes(range(256))
        (self.directory / "bytes").write_bytes(everything)
        result = self.result(f"cat {self.directory}/bytes")
        self.assertEqual(result["stdout"], everything.decode("latin-1"))
        self.assertEqual(self.result("head -c 5000 /dev/urandom")["exit_code"], 0)

    def test_output_without_end_ends_at_the_timeout_and_holds_up_nobody(self):
        with Peak(self.pid) as peak, LivePeer(self.live) as live:
            started = time.monotonic()
            result = self.result(f"yes {self.mark}", timeout=2)
            took = time.monotonic() - started
        self.assertEqual(result, {"exit_code": -1, "stdout": "Command too long to execute (timeout)..."})
        self.assertTrue(1.9 < took < 2 + 2 * SLOWNESS, took)
        self.no_process_is_left()
        self.assertLess(peak.grown_kb, 10_000)
        self.assertLess(live.percentile(0.9), 0.2)
        self.assertLess(max(live.answers), 1)


class Children(Commands):
    def test_a_child_that_ignores_sigterm_is_killed_soon_after_its_timeout(self):
        started = clock()
        result = self.result(f"trap '' TERM INT HUP; while :; do sleep {self.mark}; done", timeout=1)
        self.assertEqual(result["exit_code"], -1)
        self.assertLess(clock() - started, 3)
        self.no_process_is_left()

    def test_a_child_that_stops_itself_is_killed_all_the_same(self):
        self.assertEqual(self.result(f"kill -STOP $$; sleep {self.mark}", timeout=1)["exit_code"], -1)
        self.no_process_is_left()

    def test_a_background_process_that_keeps_the_pipe_open_does_not_hold_up_the_result(self):
        for command in (f"sleep {self.mark} & echo done", f"setsid sleep {self.mark} & echo done", f"nohup sh -c 'trap \"\" HUP TERM; sleep {self.mark}' & echo done"):
            started = clock()
            result = self.result(command)
            self.assertEqual((result["exit_code"], result["stdout"]), (0, "done"), command)
            self.assertLess(clock() - started, 2, command)
        before = descriptors(self.pid)
        for _ in range(20):
            self.result(f"setsid sleep {self.mark} &")
        self.assertLessEqual(descriptors(self.pid), before + 1, "pipes of commands that ended are still open")
        for process in processes_with(self.mark):
            os.kill(process, 9)

    def test_a_command_that_kills_its_whole_group_kills_itself_only(self):
        other = self.dial(self.poller, self.central)
        token = secrets.token_hex(8)
        other.call("COMMAND", {"content": [{"command": "sleep 1; echo survived"}]}, token=token)
        self.assertEqual(self.result("kill -KILL 0")["exit_code"], 137)
        self.assertEqual(self.result("kill -TERM -$$; sleep 5")["exit_code"], 143)
        self.assertEqual([json.loads(row["data"])["result"]["stdout"] for row in other.outcome(token) if row["code"] == 100], ["survived"])
        self.assertTrue(self.poller.alive())

    def test_a_command_cannot_reach_what_the_daemon_has_open(self):
        self.assertEqual(self.result("ls /proc/self/fd | tr '\\n' ' '")["stdout"].split()[:3], ["0", "1", "2"])
        self.assertLessEqual(len(self.result("ls /proc/self/fd")["stdout"].split()), 4)
        self.assertEqual(self.result("cat; echo end")["stdout"], "end", "standard input is empty")

    def test_all_children_end_with_the_daemon_even_those_that_ignore_sigterm(self):
        for _ in range(5):
            self.client.call("COMMAND", {"content": [{"command": f"trap '' TERM; while :; do sleep {self.mark}; done"}]}, token=secrets.token_hex(8))
        eventually(lambda: len(processes_with(self.mark)) >= 5, 5, "the start of the commands")
        self.assertLess(self.poller.stop(), 10)
        self.no_process_is_left()
        codes_of = {}
        for row in self.poller.database_rows():
            codes_of.setdefault(row["token"], []).append(row["code"])
        last = [json.loads(row["data"])["message"] for row in self.poller.database_rows() if row["code"] == 1]
        self.assertEqual(last, ["commands processing has been interrupted: the action module stops"] * 5)


class Many(Commands):
    def test_two_thousand_commands_at_once_all_run_no_more_than_allowed_at_a_time(self):
        folder = self.directory / "running"
        folder.mkdir()
        # Each leaves a line with how many ran beside it.
        command = f"mkdir {folder}/$$; ls {folder} | wc -l >> {self.directory}/beside; rmdir {folder}/$$; exit 7"
        tokens = [f"many-{number}" for number in range(2000)]
        before = descriptors(self.pid), threads(self.pid)
        with Peak(self.pid) as peak, LivePeer(self.live, patience_s=20) as live:
            for token in tokens:
                self.client.send(request("COMMAND", {"content": [{"command": command}]}, token=token))
            taken = [self.client.take(30) for _ in tokens]
            self.assertEqual([(answer.token, answer.body["code"]) for answer in taken], [(token, 0) for token in tokens])
            eventually(lambda: len(self.client.rows(code=2)) == 2000, 120, "the end of 2000 commands")
        beside = [int(line) for line in (self.directory / "beside").read_text().split()]
        self.assertEqual(len(beside), 2000, "a command was lost or ran twice")
        self.assertLessEqual(max(beside), 20)
        self.assertGreater(max(beside), 1, "they ran one after the other")
        self.assertLess(peak.grown_kb, 30_000)
        self.assertLess(live.percentile(0.9), 0.5)
        ended = [row for row in self.poller.database_rows() if row["code"] in (1, 2)]
        self.assertEqual(sorted(row["token"] for row in ended), sorted(tokens))
        self.assertEqual({row["code"] for row in ended}, {2})
        results = [json.loads(row["data"])["result"] for row in self.poller.database_rows() if row["code"] == 100]
        self.assertEqual({result["exit_code"] for result in results}, {7}, "an exit code was invented")
        self.assertEqual(len(results), 2000)
        eventually(lambda: not pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(), 5, "the reaping of all children")
        eventually(lambda: (descriptors(self.pid), threads(self.pid)) <= (before[0] + 1, before[1]), 5, "the giving back of descriptors")


class Full(Commands):
    options = {"max_concurrent_commands": 2, "max_queued_commands": 5}

    def test_beyond_the_queue_commands_are_refused_as_busy_and_none_of_those_taken_is_lost(self):
        marks = self.directory / "marks"
        tokens = [f"full-{number}" for number in range(20)]
        for token in tokens:
            self.client.send(request("COMMAND", {"content": [{"command": f"sleep 0.5; echo {token} >> {marks}"}]}, token=token))
        self.assertEqual([self.client.take().token for _ in tokens], tokens)
        rows = {token: self.client.outcome(token) for token in tokens}
        last = {token: (rows[token][-1]["code"], json.loads(rows[token][-1]["data"])["message"]) for token in tokens}
        refused = [token for token, (code, _) in last.items() if code == 1]
        self.assertEqual(refused, tokens[7:])
        self.assertEqual({last[token][1] for token in refused}, {"busy: 5 requests are waiting already (modules.action.max_queued_commands)"})
        self.assertEqual(sorted(marks.read_text().split()), sorted(tokens[:7]))


class CannotStart(Commands):
    def test_a_command_that_cannot_be_started_is_told_with_the_systems_reason_and_the_next_one_runs(self):
        self.result("true")
        with limited(self.pid, resource.RLIMIT_NOFILE, descriptors(self.pid)):
            result = self.result("true")
            self.assertEqual((result["exit_code"], result["stdout"]), (-1, 'cannot start "/bin/sh": Too many open files'))
        self.assertEqual(self.result("echo again")["stdout"], "again")

    def test_a_command_line_beyond_the_systems_limit_is_told(self):
        result = self.result("true " + "x" * 3_000_000)
        self.assertEqual((result["exit_code"], result["stdout"]), (-1, 'cannot start "/bin/sh": Argument list too long'))
        self.assertEqual(self.result("echo on")["stdout"], "on")
        self.assertLess(memory_kb(self.pid), 60_000)

    def test_what_is_no_program_is_told(self):
        folder = self.directory / "folder"
        folder.mkdir()
        plain = self.directory / "plain"
        plain.write_text("no program")
        plain.chmod(0o755)
        self.assertEqual(self.result("/no/such/program", no_shell_interpretation=True),
                         {"exit_code": 127, "stdout": 'cannot start "/no/such/program": No such file or directory'})
        self.assertEqual(self.result(str(folder), no_shell_interpretation=True), {"exit_code": -1, "stdout": f'cannot start "{folder}": Permission denied'})
        self.assertEqual(self.result("/no/such/program")["exit_code"], 127)
        self.assertEqual(codes(self.rows("", client=self.client)), [1])
        self.assertEqual(codes(self.rows("true\0false")), [1])

    def test_fork_failing_is_told_and_the_next_command_runs(self):
        # The limit of processes does not bind root, so the daemon runs as somebody else who owns all it touches.
        if os.geteuid() != 0:
            self.skipTest("only root can run the daemon as another user, and for root alone the limit of processes does not count")
        self.client.close()
        self.live.close()
        self.poller.stop()
        user = 61_000 + os.getpid() % 1000
        if subprocess.run(["test", "-x", BIN / "gorgoned"], user=user, group=user, extra_groups=[]).returncode != 0:
            self.skipTest(f"other users cannot reach {BIN}")
        for path in (self.directory, *self.directory.rglob("*")):
            os.chown(path, user, user, follow_symlinks=False)
        with open(self.poller.output_file, "ab") as output:
            self.poller.mark = self.poller.log_file.stat().st_size
            self.poller.process = subprocess.Popen([BIN / "gorgoned", "--config", self.poller.config, "--logfile", self.poller.log_file, "--severity", "debug"],
                                                   stdout=output, stderr=output, env=self.poller.environment(), user=user, group=user, extra_groups=[])
        self.poller.wait_log(r"\[core\] started: \d modules")
        pid = self.poller.process.pid
        self.client = self.dial(self.poller, self.central)
        self.assertEqual(self.result("id -u")["stdout"], str(user))
        limit = ["prlimit", "--pid", str(pid)]
        subprocess.run([*limit, f"--nproc={threads(pid)}:"], user=user, group=user, extra_groups=[], check=True)
        result = self.result("true")
        self.assertEqual((result["exit_code"], result["stdout"]), (-1, 'cannot start "/bin/sh": Resource temporarily unavailable'))
        subprocess.run([*limit, f"--nproc={threads(pid) + 100}:"], user=user, group=user, extra_groups=[], check=True)
        self.assertEqual(self.result("echo again")["stdout"], "again")


if __name__ == "__main__":
    unittest.main()
