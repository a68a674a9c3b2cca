"""The database file is missing, locked, read-only, broken or its disk is full: the daemon starts, relays and runs commands, says what is wrong, and
what was written meanwhile is in the file as soon as it can be written again."""
import json
import os
import pathlib
import resource
import secrets
import sqlite3
import subprocess
import time
import unittest

from fleet import FleetCase, eventually
from hostile import LivePeer, fill, limited, memory_kb, small_disk
from pace import SLOWNESS

IN_MEMORY = r"ERROR - \[journal\] history and sessions are kept in memory until {} can be written again; tried every 2 s"
IN_USE = r"INFO - \[journal\] {} is in use again, (\d+) rows were taken over from memory"


class Broken(FleetCase):
    def setUp(self):
        self.central = self.make_central()
        self.poller = self.make_poller(self.central.thumbprint())
        self.file = self.poller.database

    def client(self):
        return self.dial(self.poller, self.central)

    def run_one(self, client, text):
        """A command's rows, seen through the daemon."""
        token = f"{text}-{secrets.token_hex(4)}"
        self.assertEqual(client.call("COMMAND", {"content": [{"command": f"echo {text}"}]}, token=token).body["code"], 0)
        rows = client.outcome(token)
        self.assertEqual([row["code"] for row in rows], [0, 0, 100, 2])
        self.assertEqual(json.loads(rows[2]["data"])["result"]["stdout"], text)
        return token

    def wait_in_memory(self):
        self.poller.wait_log(IN_MEMORY.format(self.file), 10)

    def wait_in_use(self):
        return int(self.poller.wait_log(IN_USE.format(self.file), 15)[1])

    def in_file(self, *tokens):
        """Each token's rows stand in the file, once and in order; ids and times rise."""
        rows = self.poller.database_rows()
        for token in tokens:
            self.assertEqual([row["code"] for row in rows if row["token"] == token], [0, 0, 100, 2], token)
        for key in ("id", "ctime"):
            values = [row[key] for row in rows]
            self.assertEqual(sorted(values), values, key)
            self.assertEqual(len(set(values)), len(values), key)

    def make_database(self):
        """A file with history in it, of a daemon that ran before."""
        self.poller.start()
        client = self.client()
        tokens = [self.run_one(client, f"before{number}") for number in range(20)]
        self.poller.stop()
        return client, tokens


class AtTheStart(Broken):
    def goes_on_in_memory_and_comes_back(self, mend, reason):
        self.poller.start()
        self.poller.wait_log(rf"ERROR - \[journal\] gorgonecore\.gorgone_db_name: cannot use database {self.file}: {reason}", 5)
        self.wait_in_memory()
        client = self.client()
        token = self.run_one(client, "meanwhile")
        mend()
        self.assertGreaterEqual(self.wait_in_use(), 4)
        after = self.run_one(client, "afterwards")
        self.in_file(token, after)
        self.assertEqual([row["code"] for row in client.rows(token=token)], [0, 0, 100, 2])
        self.assertTrue(self.poller.database_rows("gorgone_identity"), "the session was lost")

    def test_a_directory_that_is_missing_is_told_and_used_as_soon_as_it_is_there(self):
        self.file = self.poller.database = self.directory / "absent" / "history.sdb"
        self.poller.configure("50-database", {"gorgonecore": {"gorgone_db_name": f"dbname={self.file}"}})
        self.goes_on_in_memory_and_comes_back(lambda: self.file.parent.mkdir(), "unable to open database file")

    def test_a_file_locked_by_another_program_is_told_and_used_as_soon_as_it_is_free(self):
        client, tokens = self.make_database()
        other = sqlite3.connect(self.file, isolation_level=None)
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        self.goes_on_in_memory_and_comes_back(lambda: (other.execute("COMMIT"), other.close()), "database is locked")
        self.in_file(*tokens)

    def test_a_directory_in_the_place_of_the_file_is_told(self):
        self.file.mkdir()
        self.goes_on_in_memory_and_comes_back(self.file.rmdir, "unable to open database file")

    def test_an_empty_file_is_taken_as_a_new_database(self):
        self.file.write_bytes(b"")
        self.poller.start()
        self.in_file(self.run_one(self.client(), "fresh"))
        self.assertNotIn(" - ERROR - ", self.poller.log())

    def is_kept_aside(self, content):
        self.poller.start()
        self.poller.wait_log(rf"ERROR - \[journal\] .*{self.file}: (file is not a database|database disk image is malformed)", 5)
        aside = self.poller.wait_log(rf"ERROR - \[journal\] the corrupt database is kept as ({self.file}\.corrupt-\d+); starting with an empty one", 5)[1]
        self.assertEqual(pathlib.Path(aside).read_bytes(), content)
        self.in_file(self.run_one(self.client(), "fresh"))

    def test_a_truncated_file_is_kept_aside(self):
        self.make_database()
        content = self.file.read_bytes()[:6000]
        self.file.write_bytes(content)
        self.is_kept_aside(content)

    def test_a_file_with_a_broken_head_is_kept_aside(self):
        self.make_database()
        content = b"SQLite format 3\0" + os.urandom(8000)
        self.file.write_bytes(content)
        self.is_kept_aside(content)

    def test_a_write_ahead_log_of_noise_costs_no_row_of_the_file(self):
        _, tokens = self.make_database()
        pathlib.Path(f"{self.file}-wal").write_bytes(os.urandom(50_000))
        self.poller.start()
        self.in_file(*tokens, self.run_one(self.client(), "on"))

    def test_a_read_only_file_is_told_and_its_rows_can_be_read(self):
        client, tokens = self.make_database()
        # Root may write to anything but this.
        if subprocess.run(["chattr", "+i", self.file], capture_output=True).returncode != 0:
            if os.geteuid() == 0:
                self.skipTest("this file system knows no immutable files, and root can write to every other")
            self.file.chmod(0o444)

        def mend():
            subprocess.run(["chattr", "-i", self.file], capture_output=True)
            self.file.chmod(0o640)

        self.addCleanup(mend)
        self.poller.start()
        self.poller.wait_log(rf"ERROR - \[journal\] .*{self.file}: .*(readonly|unable to open)", 5)
        self.wait_in_memory()
        token = self.run_one(client, "meanwhile")
        mend()
        self.wait_in_use()
        self.in_file(*tokens, token)

    def test_a_second_daemon_on_the_same_database_does_not_start_and_names_the_first(self):
        self.poller.start()
        second = self.make_poller(self.central.thumbprint(), identity=3)
        second.configure("50-database", {"gorgonecore": {"gorgone_db_name": f"dbname={self.file}"}})
        second.launch()
        self.assertEqual(second.process.wait(10 * SLOWNESS), 1)
        second.process = None
        self.assertRegex(second.log(), rf"ERROR - \[core\] gorgonecore\.gorgone_db_name: {self.file} is in use by another gorgoned, pid {self.poller.process.pid}; "
                                       "each daemon needs a database of its own")
        self.in_file(self.run_one(self.client(), "first"))
        self.poller.kill()
        second.start()  # a crash leaves no lock behind
        self.assertTrue(second.alive())

    def test_a_lock_that_cannot_be_had_is_told(self):
        lock = pathlib.Path(f"{self.file}.lock")
        lock.symlink_to(lock)
        self.poller.start()
        self.poller.wait_log(rf"WARNING - \[journal\] {lock} cannot be locked: Too many levels of symbolic links; a second gorgoned on the same database "
                             "would not be noticed", 5)
        self.in_file(self.run_one(self.client(), "first"))


class Unread(FleetCase):
    def setUp(self):
        self.central, self.poller = self.start_pair()
        # Its pin cannot be read either.
        self.central.nodes(self.poller.node(2, server_pubkey=str(self.poller.public_key)))
        self.marks = self.directory / "marks"

    def lock(self, daemon):
        self.other = sqlite3.connect(daemon.database, isolation_level=None)
        self.addCleanup(self.other.close)
        self.other.execute("PRAGMA journal_mode = DELETE")
        self.other.execute("BEGIN EXCLUSIVE")

    def ran(self):
        return self.marks.read_text().split() if self.marks.exists() else []


class OutboxAtTheStart(Unread):
    """The central's file cannot be read when it starts: what its outbox holds is sent as soon as it can be."""

    def submit(self, *names):
        return [self.central.api().submit(2, f"echo {name} >> {self.marks}") for name in names]

    def came_once_and_in_order(self, *tokens):
        eventually(lambda: len(self.ran()) >= len(tokens), 15, "the commands of before and of meanwhile")
        eventually(lambda: not self.central.database_rows("gorgone_outbox"), 10, "an empty outbox")
        self.assertEqual([self.central.api().poll(2, token)[-1]["code"] for token in tokens], [2] * len(tokens))
        self.assertEqual(len(self.ran()), len(tokens), "each once")
        # They are begun in the order in which they came, and run side by side.
        came = [row["token"] for row in sorted(self.poller.database_rows("gorgone_delivery"), key=lambda row: row["id"])]
        self.assertEqual([token for token in came if token in tokens], list(tokens))

    def test_what_waited_goes_first_and_what_was_accepted_meanwhile_behind_it_each_once(self):
        self.poller.stop()
        old = self.submit(*(f"old{number}" for number in range(5)))
        self.central.kill()
        self.lock(self.central)
        self.central.start()
        self.central.wait_log(IN_MEMORY.format(self.central.database), 10)
        self.central.wait_log(r"WARNING - \[proxy\] the outbox cannot be read now", 10)
        self.poller.start()
        self.wait_seen(self.central, 2)
        new = self.submit(*(f"new{number}" for number in range(5)))
        time.sleep(3)
        self.assertEqual(self.ran(), [])
        self.other.execute("COMMIT")
        self.came_once_and_in_order(*old, *new)
        after = self.submit("after")
        self.came_once_and_in_order(*old, *new, *after)

    def test_what_was_accepted_meanwhile_and_not_sent_outlives_the_lock_and_a_restart(self):
        self.poller.stop()
        old = self.submit("old")
        self.central.stop()
        self.lock(self.central)
        self.central.start()
        self.central.wait_log(r"WARNING - \[proxy\] the outbox cannot be read now", 10)
        new = self.submit("new")
        self.other.execute("COMMIT")
        self.central.wait_log(IN_USE.format(self.central.database), 15)
        time.sleep(1.5)  # it is asked for again each second
        self.central.stop()
        self.central.start()
        self.poller.start()
        self.came_once_and_in_order(*old, *new)


class InboxAtTheStart(Unread):
    """The poller's file cannot be read when it starts: what it has taken before runs as soon as it can be, and nothing twice."""
    deliveries = {"taken": 0, "begun": 1, "ended": 2}

    def setUp(self):
        super().setUp()
        self.poller.stop()
        with sqlite3.connect(self.poller.database) as database:
            database.executemany("INSERT INTO gorgone_delivery (delivery, progress, action, token, data, until) VALUES (?, ?, 'COMMAND', ?, ?, ?)",
                                 [(self.delivery(name), progress, name, self.content(name) if progress == 0 else None, int(time.time()) + 600)
                                  for name, progress in self.deliveries.items()])
        database.close()
        self.lock(self.poller)
        self.poller.start()
        self.poller.wait_log(r"WARNING - \[core\] what was taken before the start runs when it can be read; "
                             r"what nodes send meanwhile is refused for now, for 60 s at most: .* cannot be read now", 10)

    @staticmethod
    def delivery(name):
        return name.ljust(32, "0")

    def content(self, name):
        return json.dumps({"content": [{"command": f"echo {name} >> {self.marks}"}]})

    def deliver(self, client, name):
        client.send(f"[DELIVER] [{self.delivery(name)}] [] {json.dumps({'action': 'COMMAND', 'token': name, 'ttl': 600})}\n{self.content(name)}")
        return client.take().body

    def test_what_was_taken_runs_once_and_what_ran_is_not_run_again_when_it_is_sent_again(self):
        client = self.dial(self.poller, self.central)
        for name in ("new", *self.deliveries):
            answer = self.deliver(client, name)
            self.assertEqual((answer["code"], answer["data"]["error"]), (1, "starting" if name == "new" else "busy"), answer)
        time.sleep(1.5)  # it is asked for again each second
        self.assertEqual(self.ran(), [])
        self.other.execute("COMMIT")
        eventually(self.ran, 15, "the command that was taken before the start")
        for name in ("new", *self.deliveries):
            self.assertEqual(self.deliver(client, name)["code"], 0, name)
        eventually(lambda: len(self.ran()) > 1, 10, "the command of meanwhile")
        time.sleep(0.5)
        self.assertEqual(self.ran(), ["taken", "new"])
        self.assertEqual([row["code"] for row in client.outcome("taken")], [0, 0, 100, 2])
        interrupted = client.outcome("begun")
        self.assertEqual([row["code"] for row in interrupted], [1])
        self.assertEqual(json.loads(interrupted[0]["data"])["error"], "interrupted")
        self.poller.stop()
        self.poller.start()
        time.sleep(0.5)
        self.assertEqual(self.ran(), ["taken", "new"])

    def test_what_a_central_sends_meanwhile_waits_there_and_runs_behind_it_once(self):
        self.wait_seen(self.central, 2)
        tokens = [self.central.api().submit(2, f"echo {name} >> {self.marks}") for name in ("first", "second")]
        time.sleep(3)
        self.assertEqual(self.ran(), [])
        self.other.execute("COMMIT")
        eventually(lambda: len(self.ran()) >= 3, 20, "the commands of before and of meanwhile")
        self.assertEqual([self.central.api().poll(2, token)[-1]["code"] for token in tokens], [2, 2])
        self.assertEqual(sorted(self.ran()), ["first", "second", "taken"])
        came = [row["token"] for row in sorted(self.poller.database_rows("gorgone_delivery"), key=lambda row: row["id"])]
        self.assertEqual([token for token in came if token in ("taken", *tokens)], ["taken", *tokens])


class WhileRunning(Broken):
    def test_a_full_disk_costs_no_row_and_no_command(self):
        self.poller.start()
        client, live = self.client(), self.client()
        before = self.run_one(client, "before")
        data = {"code": 120, "etime": 1_700_000_000, "token": "filling", "data": {"x": "x" * 20_000}}
        with LivePeer(live) as seen, limited(self.poller.process.pid, resource.RLIMIT_FSIZE, self.file.stat().st_size + 200_000):
            for _ in range(100):
                self.assertEqual(client.call("PUTLOG", data).body["code"], 0)
            self.poller.wait_log(rf"ERROR - \[journal\] cannot write to database {self.file}: ", 10)
            self.wait_in_memory()
            tokens = [self.run_one(client, f"full{number}") for number in range(5)]
            self.assertEqual([row["code"] for row in client.rows(token=before)], [0, 0, 100, 2], "what is in the file can still be read")
            self.assertEqual(len(client.rows(token="filling")), 100)
        self.assertLess(max(seen.answers), 1)
        self.wait_in_use()
        tokens.append(self.run_one(client, "afterwards"))
        self.in_file(before, *tokens)
        self.assertEqual(len([row for row in self.poller.database_rows() if row["token"] == "filling"]), 100, "a row that was accepted is lost")
        self.assertTrue(self.poller.alive())

    def test_a_lock_held_by_another_program_costs_no_row_and_holds_up_no_peer(self):
        self.poller.start()
        client, live = self.client(), self.client()
        before = self.run_one(client, "before")
        other = sqlite3.connect(self.file, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with LivePeer(live) as seen:
            client.call("PUTLOG", {"code": 120, "etime": 1_700_000_000, "token": "locked-out", "data": {}})
            self.poller.wait_log(rf"ERROR - \[journal\] cannot write to database {self.file}: database is locked", 10)
            tokens = [self.run_one(client, f"locked{number}") for number in range(5)]
            other.execute("COMMIT")
            other.close()
            self.wait_in_use()
        self.assertLess(seen.percentile(0.9), 0.2)
        self.assertLess(max(seen.answers), 1)
        self.in_file(before, *tokens, self.run_one(client, "afterwards"))
        self.assertEqual(len([row for row in self.poller.database_rows() if row["token"] == "locked-out"]), 1)

    def lock(self):
        other = sqlite3.connect(self.file, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        self.addCleanup(other.close)
        return other

    def put_while_locked(self):
        """A row that is accepted and lies in memory."""
        self.poller.start()
        client = self.client()
        other = self.lock()
        self.assertEqual(client.call("PUTLOG", {"code": 120, "etime": 1_700_000_000, "token": "held", "data": {}}).body["code"], 0)
        self.wait_in_memory()
        return other

    def held_rows(self):
        return [row for row in self.poller.database_rows() if row["token"] == "held"]

    def test_what_lies_in_memory_at_a_stop_goes_into_the_file_that_is_free_by_then(self):
        other = self.put_while_locked()
        other.close()
        self.poller.stop()
        self.assertEqual(len(self.held_rows()), 1)

    def test_that_the_file_still_cannot_be_used_is_told_once_and_not_at_each_attempt(self):
        other = self.put_while_locked()
        self.poller.wait_log("still cannot be used: database is locked", 10)
        time.sleep(5)
        self.assertEqual(self.poller.log().count("still cannot be used"), 1)
        other.close()
        self.wait_in_use()

    def test_what_is_lost_at_a_stop_is_told(self):
        other = self.put_while_locked()
        self.poller.stop()
        other.close()
        self.assertEqual(self.held_rows(), [])
        self.assertRegex(self.poller.log(), rf"ERROR - \[journal\] \d+ rows of the history and 0 accepted messages are lost: {self.file} cannot be written, "
                                            "and the daemon ends: database is locked")

    def test_a_disk_that_is_full_to_the_last_byte_with_the_log_on_it_costs_no_row(self):
        small = small_disk(self, 4)
        self.file = self.poller.database = small / "history.sdb"
        self.poller.log_file = small / "gorgoned.log"
        self.poller.severity = "info"
        self.poller.configure("50-database", {"gorgonecore": {"gorgone_db_name": f"dbname={self.file}"}})
        self.poller.start()
        client = self.client()
        before = self.run_one(client, "before")
        filler = small / "filler"
        fill(filler)
        data = {"code": 120, "etime": 1_700_000_000, "token": "filling", "data": {"x": "x" * 20_000}}
        for _ in range(100):
            self.assertEqual(client.call("PUTLOG", data).body["code"], 0)
        tokens = [self.run_one(client, f"full{number}") for number in range(3)]
        self.assertEqual(os.statvfs(small).f_bavail, 0, "the disk was not full")
        self.assertEqual(len([row for row in self.poller.database_rows() if row["token"] == tokens[-1]]), 0, "the disk was not full for the database")
        self.assertTrue(self.poller.alive())
        filler.unlink()
        self.wait_in_use()
        tokens.append(self.run_one(client, "afterwards"))
        self.in_file(before, *tokens)
        self.assertEqual(len([row for row in self.poller.database_rows() if row["token"] == "filling"]), 100, "a row that was accepted is lost")

    def test_pages_that_are_overwritten_are_noticed_and_the_daemon_goes_on(self):
        client, _ = self.make_database()
        pages = bytearray(self.file.read_bytes())
        for start in range(4096, len(pages), 4096):  # the head stays right, each table is noise
            pages[start:start + 4096] = os.urandom(4096)
        self.file.write_bytes(pages)
        self.poller.start()
        token = self.run_one(self.client(), "on")
        self.poller.wait_log(rf"ERROR - \[journal\] the corrupt database is kept as {self.file}\.corrupt-\d+; starting with an empty one", 15)
        eventually(lambda: self.rows_of(token) == [0, 0, 100, 2], 10, "the rows in the new file")
        self.assertEqual(len(list(self.file.parent.glob("history.sdb.corrupt-*[0-9]"))), 1)

    def rows_of(self, token):
        try:
            return [row["code"] for row in self.poller.database_rows() if row["token"] == token]
        except sqlite3.Error:
            return None

    @unittest.skipIf("TSAN_OPTIONS" in os.environ, "200,000 rows take half an hour under ThreadSanitizer, and no threads meet that do not meet in the others")
    def test_memory_in_place_of_the_file_is_bounded_and_the_loss_is_told(self):
        self.file = self.poller.database = self.directory / "absent" / "history.sdb"
        self.poller.configure("50-database", {"gorgonecore": {"gorgone_db_name": f"dbname={self.file}"}})
        self.poller.severity = "info"
        self.poller.start()
        client = self.client()
        data = '{"code":120,"etime":1700000000,"token":"many","data":{}}'
        frame = client.cipher.seal(f"[PUTLOG] [] [] {data}")
        waiting = 0
        for _ in range(210_000):
            client.socket.send(frame, copy=False)
            waiting += 1
            while waiting > 500 and client.socket.poll(20_000):
                client.socket.recv(copy=False)
                waiting -= 1
        self.poller.wait_log(rf"ERROR - \[journal\] \d+ rows of the history are lost: memory holds \d+ while {self.file} cannot be written", 20)
        self.assertLess(memory_kb(self.poller.process.pid), 150_000)
        while waiting and client.socket.poll(2000):
            client.socket.recv()
            waiting -= 1
        self.run_one(client, "on")


if __name__ == "__main__":
    unittest.main()
