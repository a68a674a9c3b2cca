"""REMOTECOPY: files and folders from a central to its nodes, whatever breaks on the way, and what else goes on meanwhile."""
import base64
import grp
import hashlib
import json
import os
import pathlib
import pwd
import random
import statistics
import subprocess
import threading
import time
import unittest

from api import codes, ended, outputs
from fleet import LISTENER_LINE, ROOT, FleetCase, eventually
from flaky_path import FlakyPath
from hostile import Peak
from pace import SLOWNESS, clock
from ports import free_port
from wss_fleet import WssCase

SHARED = pathlib.Path(os.environ.get("GORGONE_SHARED") or ROOT.parent / "shared") / "conformance"
PYTHON = "/usr/bin/python3"
BIG = int(30_000_000 / SLOWNESS)
LARGE = int(200_000_000 / SLOWNESS)
LONG = bool(os.environ.get("GORGONE_LONG"))


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def tree_of(folder):
    """What is in a folder: names with a hash, a link's target or nothing."""
    found = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = "-> " + os.readlink(path)
        else:
            found[name] = hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else None
    return found


class CopyCase(FleetCase):
    def setUp(self):
        self.source, self.target, self.cache = (self.directory / name for name in ("from", "to", "cache"))
        for folder in (self.source, self.target, self.cache):
            folder.mkdir()

    def order(self, api, node, source, destination, **more):
        body = {"source": str(source), "destination": str(destination), "cache_dir": str(self.cache), **more}
        status, answer = api.request("POST", api._path(node, "/core/proxy/remotecopy"), body)
        self.assertEqual(status, 200, answer)
        return answer["token"]

    def end_of(self, api, token, timeout=30):
        """The last row of a copy, and all of them."""
        rows = api.poll(None, token, timeout)
        return rows[-1], rows

    def copied(self, api, node, *arguments, timeout=30, **more):
        last, rows = self.end_of(api, self.order(api, node, *arguments, **more), timeout)
        self.assertEqual(last["code"], 2, rows)
        return rows

    def refused(self, api, node, source, destination, **more):
        """Refused by the answer, and told by the only row."""
        body = {"source": str(source), "destination": str(destination), "cache_dir": str(self.cache), **more}
        status, answer = api.request("POST", api._path(node, "/core/proxy/remotecopy"), body)
        self.assertEqual(status, 400, answer)
        rows = api.log(None, answer["token"])
        self.assertEqual([(row["code"], row["data"]["message"]) for row in rows], [(1, answer["message"])])
        return answer["message"]

    def failed(self, api, node, *arguments, **more):
        last, _ = self.end_of(api, self.order(api, node, *arguments, **more))
        self.assertEqual(last["code"], 1, last)
        return last["data"]["message"]

    def make_file(self, name="file", size=BIG, seed=1):
        path = self.source / name
        path.write_bytes(noise(size, seed))
        return path

    def make_tree(self, files):
        for number in range(files):
            folder = self.source / f"d{number % 40}"
            folder.mkdir(exist_ok=True)
            (folder / f"host-{number}.cfg").write_bytes(noise(300 + number % 900, number))
        (self.source / "d0" / "link").symlink_to("host-0.cfg")
        (self.source / "empty").mkdir()
        (self.source / "d1" / "Umlaut-ä.cfg").write_text("ä")
        (self.source / "d1" / ("long-" * 45)).write_text("long")
        return self.source

    def same(self, source, destination):
        self.assertEqual(hashlib.md5(pathlib.Path(destination).read_bytes()).hexdigest(), hashlib.md5(pathlib.Path(source).read_bytes()).hexdigest())

    def nothing_left(self, *folders):
        def look():
            return not [name for folder in (self.cache, *folders) for name in os.listdir(folder) if name.startswith(("copy_", "."))]
        eventually(look, 5, "the removal of partial files")


class Neighbours(CopyCase):
    def setUp(self):
        super().setUp()
        self.central, self.poller = self.start_pair()
        self.api = self.central.api()

    def test_a_file_arrives_with_its_rows(self):
        source = self.make_file(size=400_000)
        rows = self.copied(self.api, 2, source, self.target / "file")
        self.same(source, self.target / "file")
        self.assertEqual(codes(rows), [0, 2])
        self.assertEqual((rows[0]["data"]["source"], rows[-1]["data"]["bytes"]), (str(source), 400_000))
        self.assertNotIn("warnings", rows[0]["data"])
        self.nothing_left(self.target)

    def test_a_destination_that_ends_in_a_slash_gets_the_name_of_the_source(self):
        source = self.make_file("centreontrapd.sdb", 1000)
        self.copied(self.api, 2, source, f"{self.target}/")
        self.same(source, self.target / "centreontrapd.sdb")

    def test_an_empty_file_arrives(self):
        source = self.make_file("nothing", 0)
        self.copied(self.api, 2, source, self.target / "nothing")
        self.assertEqual((self.target / "nothing").read_bytes(), b"")

    def test_owner_group_and_mode_are_applied(self):
        source = self.make_file(size=1000)
        owner, group = ("daemon", "daemon") if os.geteuid() == 0 else (pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name)
        self.copied(self.api, 2, source, self.target / "file", owner=owner, group=group, mode="0604")
        seen = (self.target / "file").stat()
        self.assertEqual((seen.st_mode & 0o7777, pwd.getpwuid(seen.st_uid).pw_name, grp.getgrgid(seen.st_gid).gr_name), (0o604, owner, group))

    def test_a_big_file_arrives_and_neither_side_holds_it_in_memory(self):
        source = self.make_file()
        with Peak(self.central.process.pid) as sending, Peak(self.poller.process.pid) as receiving:
            started = clock()
            rows = self.copied(self.api, 2, source, self.target / "big")
            took = clock() - started
        self.same(source, self.target / "big")
        print(f"\n{BIG / 1e6:.0f} MB in {took:.2f} s; central +{sending.grown_kb} kB, poller +{receiving.grown_kb} kB", flush=True)
        self.assertLess(sending.grown_kb, 20_000)
        self.assertLess(receiving.grown_kb, 20_000)
        for row in rows[1:-1]:
            self.assertEqual((row["code"], row["data"]["total"]), (4, BIG))

    @unittest.skipUnless(LONG, "takes minutes and 5 GB of the disk; GORGONE_LONG=1 runs it")
    def test_a_file_of_more_than_two_gigabytes_arrives_and_neither_side_holds_it_in_memory(self):
        size = (1 << 31) + 12345
        room = os.statvfs(self.target)
        self.assertGreater(room.f_bavail * room.f_frsize, 5e9, f"too little room in {self.target}: TMPDIR names another place")
        source = self.source / "huge"
        with open(source, "wb") as file:
            for at in (0, 1 << 30, (1 << 31) - 500_000, size - 1000):  # holes between them, which read as zeros
                file.seek(at)
                file.write(noise(min(1_000_000, size - at), at + 1))
        self.assertEqual(source.stat().st_size, size)
        with Peak(self.central.process.pid) as sending, Peak(self.poller.process.pid) as receiving:
            started = time.monotonic()
            rows = self.copied(self.api, 2, source, self.target / "huge", timeout=900)
            took = time.monotonic() - started
        with open(source, "rb") as here, open(self.target / "huge", "rb") as there:
            self.assertEqual(hashlib.file_digest(there, "sha256").digest(), hashlib.file_digest(here, "sha256").digest())
        print(f"\n{size / 1e6:.0f} MB in {took:.0f} s; central +{sending.grown_kb} kB to {sending.highest} kB, "
              f"poller +{receiving.grown_kb} kB to {receiving.highest} kB", flush=True)
        self.assertEqual(rows[-1]["data"]["bytes"], size)
        self.assertLess(sending.grown_kb, 20_000)
        self.assertLess(receiving.grown_kb, 20_000)
        self.nothing_left(self.target)

    def test_a_tree_of_two_thousand_files_arrives(self):
        self.make_tree(2000)
        (self.target / "kept").write_text("of the node itself")
        started = clock()
        rows = self.copied(self.api, 2, self.source, f"{self.target}/", type="archive", mode="0640")
        print(f"\n2,000 files in {clock() - started:.2f} s", flush=True)
        self.assertEqual(tree_of(self.target), {**tree_of(self.source), "kept": hashlib.md5(b"of the node itself").hexdigest()})
        self.assertEqual((self.target / "d3" / "host-3.cfg").stat().st_mode & 0o777, 0o640)
        self.assertEqual(codes(rows)[-1], 2)
        self.nothing_left(self.target)

    def test_a_source_that_is_missing_or_of_another_type_is_refused_at_once(self):
        self.assertEqual(self.refused(self.api, 2, self.source / "none", self.target / "x"),
                         f"proxy - remote copy: cannot read source '{self.source}/none': No such file or directory")
        self.assertEqual(self.refused(self.api, 2, self.source, self.target / "x", type="regular"),
                         f"proxy - remote copy: type is 'regular', but source '{self.source}' is a folder")
        self.assertEqual(self.refused(self.api, 2, "relative", self.target / "x"), "proxy - remote copy: source is 'relative', expected an absolute path")
        self.assertEqual(self.refused(self.api, 9, self.make_file(size=1), self.target / "x"), "proxy - unknown target 9")
        self.assertEqual(self.central.database_rows("gorgone_outbox"), [])

    def test_members_that_mean_nothing_are_told(self):
        rows = self.copied(self.api, 2, self.make_file(size=10), self.target / "x", ower="root")
        self.assertEqual(rows[0]["data"]["warnings"], ["member 'ower' means nothing to a remote copy"])

    def test_what_the_receiver_refuses_ends_the_copy_with_its_reason(self):
        self.assertIn("cannot create a file in", self.failed(self.api, 2, self.make_file(size=10), self.target / "no" / "such" / "file"))
        self.assertEqual(self.central.database_rows("gorgone_outbox"), [])

    def test_more_than_is_free_on_the_disk_is_refused_before_it_is_sent(self):
        huge = self.source / "huge"
        with open(huge, "wb") as file:
            room = os.statvfs(self.target)
            os.truncate(file.fileno(), room.f_bavail * room.f_frsize + (1 << 30))
        message = self.failed(self.api, 2, huge, self.target / "huge")
        self.assertRegex(message, r"^process copy: no room for '.*': it needs \d+ bytes, and \d+ are free on that disk$")
        self.nothing_left(self.target)

    def test_copies_to_a_node_run_in_the_order_they_were_accepted(self):
        tokens = [self.order(self.api, 2, self.make_file(f"f{number}", 200_000, number), self.target / "same") for number in range(6)]
        for token in tokens:
            self.assertEqual(self.end_of(self.api, token)[0]["code"], 2)
        self.same(self.source / "f5", self.target / "same")
        begun = [row["token"] for row in self.central.database_rows() if "remote copy has started" in row["data"]]
        self.assertEqual(begun, tokens)

    def test_a_message_after_copies_waits_for_them_and_others_do_not(self):
        source = self.make_file()
        copies = [self.order(self.api, 2, source, self.target / f"big{number}") for number in range(2)]
        look = [{"command": f"ls {self.target}"}]
        waits = self.api.request("POST", "/api/nodes/2/core/action/command?after_copies=1", look)[1]["token"]
        self.assertIn(waits, [row["token"] for row in self.central.database_rows("gorgone_outbox")])
        self.assertNotIn("big1", outputs(self.api.run(2, f"ls {self.target}"))[0], "the copies ended too soon to show anything")
        self.assertEqual(outputs(self.api.poll(2, waits, 30)), ["big0\nbig1"])
        for token in copies:
            self.assertEqual(self.end_of(self.api, token)[0]["code"], 2)

    def test_a_message_after_copies_goes_when_the_copy_before_it_fails(self):
        self.order(self.api, 2, self.make_file(size=5_000_000), self.target / "no" / "such")
        waits = self.api.request("POST", "/api/nodes/2/core/action/command?after_copies=1", [{"command": "echo done"}])[1]["token"]
        self.assertEqual(outputs(self.api.poll(2, waits)), ["done"])

    def test_commands_beside_a_copy_are_quick(self):
        source = self.make_file(size=4 * BIG)
        self.api.run(2, "true")
        token = self.order(self.api, 2, source, self.target / "big")
        times = []
        while not ended(self.api.log(None, token)):
            started = clock()
            self.assertEqual(outputs(self.api.run(2, "echo quick")), ["quick"])
            times.append(clock() - started)
        self.assertGreater(len(times), 20, "the copy was over too soon")
        times.sort()
        p99 = times[int(len(times) * 0.99) - 1]
        print(f"\n{len(times)} commands beside a copy of {4 * BIG / 1e6:.0f} MB: median {statistics.median(times) * 1000:.1f} ms, "
              f"p99 {p99 * 1000:.1f} ms", flush=True)
        self.assertLess(p99, 0.25)
        self.assertEqual(self.end_of(self.api, token)[0]["code"], 2)

    def test_a_copy_on_the_same_host_works_and_holds_back_what_comes_after_it(self):
        source = self.make_file(size=5_000_000)
        token = self.order(self.api, None, source, self.target / "here")
        waits = self.api.request("POST", "/api/core/action/command?after_copies=1", [{"command": f"stat -c %s {self.target}/here"}])[1]["token"]
        self.assertEqual(outputs(self.api.poll(None, waits)), ["5000000"])
        self.assertEqual(self.end_of(self.api, token)[0]["code"], 2)
        self.same(source, self.target / "here")


class Breaks(CopyCase):
    """Something breaks in the middle of a copy; it ends well all the same, and leaves nothing behind."""

    def under_way(self, bytes_min=BIG // 10):
        """Waits until part of a copy has come."""
        def look():
            return any(path.stat().st_size >= bytes_min for path in self.cache.glob("copy_*"))
        eventually(look, 10, "the middle of the copy")

    def finish(self, central, token, source, destination):
        last, rows = self.end_of(central.api(), token, 60)
        self.assertEqual(last["code"], 2, rows)
        self.same(source, destination)
        self.nothing_left(self.target)
        eventually(lambda: central.database_rows("gorgone_outbox") == [], 3, "an empty outbox")
        return rows

    def test_a_link_that_is_cut_in_the_middle(self):
        central = self.make_central()
        poller = self.make_poller(central.thumbprint()).start()
        path = FlakyPath(poller.port)
        self.addCleanup(path.close)
        central.nodes({**poller.node(2), "port": path.port})
        central.start()
        self.wait_seen(central, 2)
        source = self.make_file(size=3 * BIG)
        token = self.order(central.api(), 2, source, self.target / "big")
        self.under_way()
        path.cut()
        rows = self.finish(central, token, source, self.target / "big")
        self.assertIn(4, codes(rows), "the copy was over before the link was cut")

    def test_a_link_that_is_slow_is_not_taken_for_one_that_has_lost_something(self):
        central = self.make_central()
        poller = self.make_poller(central.thumbprint()).start()
        path = FlakyPath(poller.port, bytes_per_s=1_500_000)
        self.addCleanup(path.close)
        central.nodes({**poller.node(2), "port": path.port})
        central.start()
        self.wait_seen(central, 2)
        source = self.make_file(size=12_000_000)  # nearly twice as much on the wire
        started = time.monotonic()
        token = self.order(central.api(), 2, source, self.target / "big")
        self.finish(central, token, source, self.target / "big")
        self.assertGreater(time.monotonic() - started, 10, "the copy was over before anybody could lose patience")
        self.assertNotIn("starts anew", central.log())

    def test_a_receiver_that_is_killed_in_the_middle(self):
        central, poller = self.start_pair()
        source = self.make_file(size=3 * BIG)
        token = self.order(central.api(), 2, source, self.target / "big")
        self.under_way()
        poller.kill()
        self.assertFalse((self.target / "big").exists(), "the copy was over before the receiver was killed")
        poller.start()
        self.finish(central, token, source, self.target / "big")

    def test_a_receiver_that_is_stopped_in_the_middle_takes_its_partial_file_away(self):
        central, poller = self.start_pair()
        source = self.make_file(size=3 * BIG)
        token = self.order(central.api(), 2, source, self.target / "big")
        self.under_way()
        poller.stop()
        self.assertEqual(os.listdir(self.cache), [])
        poller.start()
        self.finish(central, token, source, self.target / "big")

    def test_a_sender_that_is_killed_in_the_middle_goes_on_with_all_that_was_accepted_in_its_order(self):
        central, poller = self.start_pair()
        source = self.make_file(size=3 * BIG)
        api = central.api()
        token = self.order(api, 2, source, self.target / "big")
        second = self.order(api, 2, self.make_file("second", 1000), self.target / "second")
        waits = api.request("POST", "/api/nodes/2/core/action/command?after_copies=1", [{"command": f"ls {self.target}"}])[1]["token"]
        self.under_way()
        central.kill()
        self.assertFalse((self.target / "big").exists(), "the copy was over before the sender was killed")
        central.start()
        self.finish(central, token, source, self.target / "big")
        self.assertEqual(self.end_of(central.api(), second)[0]["code"], 2)
        self.assertEqual(outputs(central.api().poll(2, waits, 30)), ["big\nsecond"])

    def test_a_node_that_is_away_gets_its_copies_when_it_is_back(self):
        central, poller = self.start_pair()
        poller.kill()
        source = self.make_file(size=1_000_000)
        token = self.order(central.api(), 2, source, self.target / "late")
        time.sleep(1)
        poller.start()
        self.finish(central, token, source, self.target / "late")

    def test_through_a_remote(self):
        central, remote, poller = self.start_chain()
        source = self.make_file()
        with Peak(remote.process.pid) as passing:
            token = self.order(central.api(), 4, source, self.target / "big")
            self.finish(central, token, source, self.target / "big")
        print(f"\nthe remote in the middle: +{passing.grown_kb} kB", flush=True)
        self.assertLess(passing.grown_kb, 25_000)
        self.assertEqual(remote.database_rows("gorgone_outbox"), [])

    def test_a_remote_that_is_killed_in_the_middle(self):
        central, remote, poller = self.start_chain()
        source = self.make_file(size=3 * BIG)
        token = self.order(central.api(), 4, source, self.target / "big")
        self.under_way()
        remote.kill()
        self.assertFalse((self.target / "big").exists(), "the copy was over before the remote was killed")
        remote.start()
        self.finish(central, token, source, self.target / "big")

    def test_a_receiver_behind_a_remote_that_is_killed_in_the_middle(self):
        central, remote, poller = self.start_chain()
        source = self.make_file(size=3 * BIG)
        token = self.order(central.api(), 4, source, self.target / "big")
        self.under_way()
        poller.kill()
        self.assertFalse((self.target / "big").exists(), "the copy was over before the receiver was killed")
        poller.start()
        self.finish(central, token, source, self.target / "big")

    def test_a_small_copy_that_a_remote_could_not_pass_on_in_its_time(self):
        central = self.make_central()
        remote = self.make_remote(central.thumbprint())
        remote.replace_module("proxy", outbox_ttl=2)
        poller = self.make_poller(remote.thumbprint(), 4).start()
        path = FlakyPath(poller.port)
        self.addCleanup(path.close)
        remote.nodes({**poller.node(4), "port": path.port})
        remote.start()
        central.nodes(remote.node(3, nodes=[{"id": 4, "pathscore": 1}]))
        central.start()
        self.wait_seen(remote, 4)
        self.wait_seen(central, 3)
        self.copied(central.api(), 4, self.make_file("first", 10), self.target / "first")
        source = self.make_file(size=1000)
        path.stall()
        token = self.order(central.api(), 4, source, self.target / "file")
        time.sleep(1)
        path.cut()
        eventually(lambda: 4 in codes(central.api().log(None, token)) or ended(central.api().log(None, token)), 20, "the end of the first try")
        path.restore()
        rows = self.finish(central, token, source, self.target / "file")
        self.assertRegex(str(rows), "could not be reached in the time that the message had|had not answered in the time that it had", "of the first try")

    def test_a_source_that_is_rewritten_all_the_time_fails_and_says_so(self):
        central, poller = self.start_pair()
        source = self.make_file(size=5_000_000)
        ending = threading.Event()

        def write():
            while not ending.is_set():
                os.utime(source)
                time.sleep(0.001)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            token = self.order(central.api(), 2, source, self.target / "file")
            last, _ = self.end_of(central.api(), token, 60)
        finally:
            ending.set()
            writer.join()
        self.assertEqual((last["code"], last["data"]["message"]), (1, f"'{source}' was written while it was read (tried 5 times)"))
        self.nothing_left(self.target)


class Dialling(CopyCase):
    def test_a_node_that_dials_its_central_gets_its_copies(self):
        central = self.make_central()
        poller = self.make("poller-2", "poller-pull", {"192.0.2.1:5556": "127.0.0.1:1"})
        central.configure("70-listener", {"gorgonecore": {"external_com_type": "tcp", "external_com_path": "127.0.0.1:0",
                                                          "authorized_clients": [{"key": poller.thumbprint()}]}})
        central.nodes({"id": 2, "type": "pull"})
        central.start()
        poller.edit("127.0.0.1:1", f"127.0.0.1:{central.wait_log(LISTENER_LINE)[1]}")
        poller.start()
        self.wait_seen(central, 2)
        source = self.make_file(size=5_000_000)
        self.copied(central.api(), 2, source, self.target / "file")
        self.same(source, self.target / "file")
        # It is no parent of its central, which it pings: told of rows there, it would write one, and so on without end.
        self.assertEqual([row for row in poller.database_rows() if "SYNCLOGS" in row["data"]], [])


class OverWebSocket(CopyCase, WssCase):
    def test_a_node_that_connects_by_a_websocket_gets_its_copies(self):
        central = self.listen()
        self.make_node(central.wss_port).start()
        self.wait_usable(central)
        source = self.make_file(size=5_000_000)
        self.copied(central.api(), 2, source, self.target / "file")
        self.same(source, self.target / "file")


class DeployedSender(CopyCase):
    """A central that is not our agent, whose chunks have a token of its choice and which repeats nothing."""

    def chunks(self, blob, destination, size=50_000, encode=base64.encodebytes):
        common = {"type": "regular", "destination": str(destination), "cache_dir": str(self.cache)}
        parts = [blob[start:start + size] for start in range(0, len(blob), size)]
        for part in parts:
            yield {"content": {**common, "status": "inprogress", "md5": None, "chunk": {"data": encode(part).decode(), "size": len(part)}}}
        yield {"content": {**common, "status": "end", "chunk": None, "md5": hashlib.md5(blob).hexdigest()}}

    def test_a_big_file_of_it_is_not_held_in_memory(self):
        central = self.make_central()  # never started: its key is used
        poller = self.make_poller(central.thumbprint()).start()
        client, blob, token = self.dial(poller, central), noise(LARGE), "e" * 128
        with Peak(poller.process.pid) as receiving:
            started = clock()
            for number, chunk in enumerate(self.chunks(blob, self.target / "large", 150_000, base64.b64encode)):
                self.assertEqual(client.call("PROCESSCOPY", chunk, token=token).body["code"], 0)
                # No faster than the disk: what waits for that is bounded by max_queued_copy, which is another test's.
                if number % 40 == 39:
                    eventually(lambda: len(client.rows(token=token)) > number, 60, "the pieces on the disk")
            rows = client.outcome(token)
            took = clock() - started
        self.assertEqual(int(rows[-1]["code"]), 2, rows[-1])
        self.assertEqual((self.target / "large").read_bytes(), blob)
        print(f"\n{LARGE / 1e6:.0f} MB of a deployed central in {took:.1f} s; poller +{receiving.grown_kb} kB to {receiving.highest} kB", flush=True)
        self.assertLess(receiving.grown_kb, 20_000)
        self.nothing_left(self.target)

    def start_remote(self):
        central = self.make_central()  # never started: its key is used
        remote = self.make_remote(central.thumbprint())
        poller = self.make_poller(remote.thumbprint(), 4).start()
        remote.nodes(poller.node(4))
        remote.start()
        self.wait_seen(remote, 4)
        return central, remote, poller

    def send(self, client, blob, destination, token):
        for chunk in self.chunks(blob, destination):
            self.assertEqual(client.call("PROCESSCOPY", chunk, token=token, target="4").body["code"], 0)

    def test_its_copy_goes_through_a_remote_of_ours(self):
        central, remote, _ = self.start_remote()
        blob = noise(2_000_000)
        token = "c" * 128
        self.send(self.dial(remote, central), blob, self.target / "file", token)
        rows = remote.api().poll(None, token)
        self.assertEqual(codes(rows), [101] * 40 + [2])
        self.assertEqual((self.target / "file").read_bytes(), blob)
        self.nothing_left(self.target)

    def test_what_a_remote_has_acknowledged_arrives_though_it_is_killed(self):
        central, remote, poller = self.start_remote()
        poller.stop()
        blob = noise(2_000_000)
        self.send(self.dial(remote, central), blob, self.target / "file", "d" * 128)
        remote.kill()
        poller.start()
        remote.start()
        eventually((self.target / "file").exists, 20, "the file")
        self.assertEqual((self.target / "file").read_bytes(), blob)


@unittest.skipUnless(SHARED.is_dir(), f"the conformance programs are not in {SHARED}; tests/conformance holds our own")
class DeployedReceiver(CopyCase):
    def test_a_big_file_for_it_is_not_held_in_memory(self):
        api = self.start_with_peer().api()
        source = self.make_file(size=LARGE)
        with Peak(self.central.process.pid) as sending:
            started = clock()
            self.copied(api, 2, source, self.target / "large", timeout=120 * SLOWNESS)
            took = clock() - started
        self.same(source, self.target / "large")
        print(f"\n{LARGE / 1e6:.0f} MB to another implementation's poller in {took:.1f} s; central +{sending.grown_kb} kB to {sending.highest} kB", flush=True)
        self.assertLess(sending.grown_kb, 20_000)

    def start_with_peer(self, *faults):
        central, peer = self.make_central(), self.make_poller("x", 2)
        self.central, port = central, free_port()
        with open(self.directory / "peer.txt", "w") as file:
            process = subprocess.Popen([PYTHON, SHARED / "peer_poller.py", "--endpoint", f"tcp://127.0.0.1:{port}", "--key", peer.private_key,
                                        f"--authorized={central.thumbprint()}", *faults], stdout=file, stderr=file)
        self.addCleanup(lambda: (process.terminate(), process.wait(10 * SLOWNESS)))
        central.nodes({"id": 2, "type": "push_zmq", "address": "127.0.0.1", "port": port})
        central.start()
        eventually(lambda: int(central.api().nodes()["2"]["ping_ok"]) > 0, 20, "a pong of the other poller")
        return central

    def test_files_and_trees_arrive(self):
        api = self.start_with_peer().api()
        file = self.directory / "one.bin"
        file.write_bytes(noise(5_000_000))
        self.copied(api, 2, file, f"{self.target}/")
        self.same(file, self.target / "one.bin")
        self.make_tree(300)
        self.copied(api, 2, self.source, self.target / "tree")
        self.assertEqual(tree_of(self.target / "tree"), tree_of(self.source))

    def test_a_copy_arrives_though_sessions_are_lost_and_keys_change_in_the_middle(self):
        api = self.start_with_peer("--forget-every", "23", "--rotate-every", "7").api()
        file = self.directory / "one.bin"
        file.write_bytes(noise(2_000_000))
        self.copied(api, 2, file, self.target / "one.bin", timeout=60)
        self.same(file, self.target / "one.bin")

    def test_commands_go_past_a_copy(self):
        api = self.start_with_peer("--slow", "0.02").api()
        file = self.directory / "one.bin"
        file.write_bytes(noise(6_000_000))
        token = self.order(api, 2, file, self.target / "one.bin")
        times = []
        while not ended(api.log(None, token)):
            started = clock()
            self.assertEqual(outputs(api.run(2, "x")), ["peer:x"])
            times.append(clock() - started)
        self.assertEqual(self.end_of(api, token)[0]["code"], 2)
        self.assertLess(max(times), 1.5)


if __name__ == "__main__":
    unittest.main()
