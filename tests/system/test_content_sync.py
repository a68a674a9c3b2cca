"""Content sync between real daemons, directly and through a remote: what is sent, what is put in place, and what a crash leaves."""
import base64
import hashlib
import json
import os
import pathlib
import pty
import re
import socket
import subprocess
import threading
import time
import unittest

from fleet import BIN, FleetCase, eventually, processes_with
from flaky_path import FlakyPath
from pace import SLOWNESS, clock


def write_tree(root, files, size=300, version="one"):
    """So many small files of which each says its tree's version, as a configuration would."""
    for i in range(files):
        path = root / f"folder-{i % 7}" / f"{i}.cfg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {version} {i}\n" + "define host { }\n" * (size // 16))


def digest(root):
    """One hash for a tree as it is seen on a walk; None where it changed on the way."""
    sums = hashlib.sha256()
    # The folder itself, whatever takes its place meanwhile: what a program sees that has opened it.
    try:
        top = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        for folder, folders, names, fd in os.fwalk(".", dir_fd=top):
            folders[:] = sorted(name for name in folders if not name.endswith(".gorgone"))
            for name in sorted(names):
                handle = os.open(name, os.O_RDONLY, dir_fd=fd)
                with open(handle, "rb") as file:
                    sums.update(f"{folder}/{name}\0".encode() + hashlib.sha256(file.read()).digest())
        return sums.hexdigest()
    except OSError:
        return None
    finally:
        os.close(top)


class Watching:
    """Calls look() in a thread of its own, again and again, while the block goes on."""

    def __enter__(self):
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.over.is_set():
            self.look()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


class Sampler(Watching):
    """Hashes a tree all the time; what it has seen is in `seen`, without walks on which the tree changed or was not there."""

    def __init__(self, root):
        self.root, self.seen, self.count, self.missed = root, set(), 0, 0

    def look(self):
        found = digest(self.root)
        if found is None:
            self.missed += 1
        else:
            self.seen.add(found)
            self.count += 1

    def assert_only_whole(self, case, whole, least=2):
        """That it has seen at least so many trees of `whole`, often enough to mean something, and nothing else."""
        print(f"{self.count} samples and {self.missed} broken off, {len(self.seen & whole)} whole trees of {len(whole)} seen", flush=True)
        case.assertLessEqual(self.seen, whole, "a mixture of trees was seen")
        case.assertGreater(self.count, 20, "the tree was hardly looked at")
        case.assertGreaterEqual(len(self.seen & whole), least, "too few of the trees were seen")


class Reader(Watching):
    """Reads files of `write_tree` by their paths, one after the other and again and again, as a program does that goes by path. Of each round
    it notes the versions that it met."""

    def __init__(self, root, files):
        # In no order, that of a switch file by file least of all.
        self.paths = sorted((root / f"folder-{i % 7}" / f"{i}.cfg" for i in range(files)), key=lambda path: hashlib.md5(path.name.encode()).digest())
        self.rounds, self.missing = [], []

    def look(self):
        versions = []
        for path in self.paths:
            try:
                version = path.read_text().split()[1]
            except OSError as error:
                self.missing.append(str(error))
                continue
            if versions[-1:] != [version]:
                versions.append(version)
        self.rounds.append(versions)

    def wait_for_round(self):
        """Until one has ended that has begun after this was called, so that none meets two switches."""
        after = len(self.rounds) + 2
        eventually(lambda: len(self.rounds) >= after, 20, "a round of reading")

    def assert_one_change(self, case):
        """That no round met more than one change, from a version to the next, and that some met one."""
        met = [versions for versions in self.rounds if len(versions) > 1]
        print(f"{len(self.rounds)} rounds by path, {len(met)} of them with a change: {met[:5]}", flush=True)
        case.assertEqual(self.missing, [])
        for versions in met:
            case.assertEqual(len(versions), 2, "there and back, or two switches in one round")
            case.assertEqual(int(versions[0][1:]) + 1, int(versions[1][1:]), versions)
        case.assertGreater(len(met), 0, "no round was on its way when a tree was switched")


def on_a_terminal(words):
    """Runs a program whose standard output is a terminal; its status and what it wrote."""
    ours, its = pty.openpty()
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=its, stderr=its)
    os.close(its)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # nobody has it open any more
        pass
    os.close(ours)
    return process.wait(), shown.decode()


class ContentCase(FleetCase):
    def setUp(self):
        self.source, self.destination = self.directory / "source", self.directory / "there" / "tree"
        self.destination.parent.mkdir()

    def start_push(self, central, node=2, **wish):
        content = {"source": str(self.source), "destination": str(self.destination), "node": str(node), **wish}
        status, body = central.api().request("POST", "/api/core/content/push", content)
        self.assertEqual(status, 200, body)
        return body["token"]

    def end_of(self, central, token, timeout=60):
        """The last row of a push."""
        def look():
            return [row for row in central.api().log(None, token) if row["code"] in (1, 2)]
        return eventually(look, timeout, f"the end of push {token}")[0]

    def push(self, central, node=2, timeout=60, **wish):
        row = self.end_of(central, self.start_push(central, node, **wish), timeout)
        self.assertEqual(row["code"], 2, row)
        return row["data"]

    def failure(self, central, node=2, timeout=60, **wish):
        row = self.end_of(central, self.start_push(central, node, **wish), timeout)
        self.assertEqual(row["code"], 1, row)
        return row["data"]["message"]

    def assert_same(self):
        self.assertEqual(digest(self.destination), digest(self.source))


class Direct(ContentCase):
    def test_a_tree_is_pushed_and_only_what_changed_is_sent_again(self):
        central, _ = self.start_pair()
        write_tree(self.source, 200)
        (self.source / "link").symlink_to("folder-1/1.cfg")
        first = self.push(central)
        self.assertEqual((first["switch"], first["changed"], first["files"]), ("tree", 200, 200))
        self.assert_same()
        self.assertEqual(os.readlink(self.destination / "link"), "folder-1/1.cfg")
        self.assertEqual(self.push(central)["switch"], "none")
        (self.source / "folder-3" / "3.cfg").write_text("another\n")
        changed = self.push(central)
        self.assertEqual((changed["switch"], changed["changed"]), ("tree", 1))
        self.assertLess(changed["received"], 100)
        self.assert_same()

    def test_who_goes_by_path_meets_one_change_at_most_from_the_old_tree_to_the_new_one(self):
        central, _ = self.start_pair()
        write_tree(self.source, 400, version="v0")
        self.push(central)
        with Reader(self.destination, 400) as reader:
            for version in range(1, 9):
                write_tree(self.source, 400, version=f"v{version}")
                reader.wait_for_round()
                self.assertEqual(self.push(central)["switch"], "tree")
            reader.wait_for_round()
        reader.assert_one_change(self)

    def test_what_the_source_lacks_stays_or_goes_as_is_asked(self):
        central, _ = self.start_pair()
        write_tree(self.source, 5)
        self.destination.mkdir()
        (self.destination / "others.cfg").write_text("mine")
        inode = (self.destination / "others.cfg").stat().st_ino
        self.push(central)
        self.assertEqual((self.destination / "others.cfg").read_text(), "mine")
        self.assertEqual((self.destination / "others.cfg").stat().st_ino, inode, "it was replaced by a copy")
        self.push(central, extra="remove")
        self.assert_same()

    def test_a_file_that_comes_again_under_other_paths_is_one_of_its_own_at_each(self):
        central, _ = self.start_pair()
        write_tree(self.source, 3)
        (self.source / "m").write_text("the same")
        self.push(central)
        for name in ("a", "z"):
            (self.source / name).write_text("the same")
        self.push(central)
        self.assert_same()
        self.assertEqual(len({(self.destination / name).stat().st_ino for name in "amz"}), 3)

    def test_a_single_file_keeps_owner_and_mode_or_gets_those_asked_for(self):
        central, _ = self.start_pair()
        self.source.write_bytes(os.urandom(3_000_000))
        self.push(central, mode="0640")
        self.assertEqual(self.destination.read_bytes(), self.source.read_bytes())
        self.assertEqual(self.destination.stat().st_mode & 0o777, 0o640)
        self.push(central, destination=f"{self.directory}/there/")
        self.assertEqual((self.directory / "there" / "source").read_bytes(), self.source.read_bytes())
        if os.geteuid() == 0:
            os.chown(self.destination, 1234, 1235)
            self.source.write_text("another")
            self.push(central, mode="0600")
            self.assertEqual(self.destination.read_text(), "another")
            now = self.destination.stat()
            self.assertEqual((now.st_uid, now.st_gid, now.st_mode & 0o777), (1234, 1235, 0o600))
            self.push(central, owner="0", group="7", mode="0600")
            now = self.destination.stat()
            self.assertEqual((now.st_uid, now.st_gid), (0, 7))

    def test_a_node_that_cannot_keep_what_it_knows_of_a_tree_says_so(self):
        central = self.make_central()
        poller = self.make_poller(central.thumbprint())
        no_folder = self.directory / "file"
        no_folder.write_text("")
        poller.replace_module("content", state_dir=str(no_folder / "below"))
        poller.start()
        central.nodes(poller.node(2))
        central.start()
        self.wait_seen(central, 2)
        write_tree(self.source, 5, version="one")
        told = f"unchanged files of '{self.destination}' will be read again: cannot create folder '{no_folder}/below': Not a directory"
        self.assertEqual(self.push(central)["warnings"], [told])
        write_tree(self.source, 5, version="two")
        self.push(central)
        self.assertIn(told, poller.log())
        self.assert_same()

    def test_rollback_puts_the_tree_before_back_and_a_second_one_undoes_it(self):
        central, _ = self.start_pair()
        write_tree(self.source, 30, version="one")
        self.push(central)
        one = digest(self.destination)
        write_tree(self.source, 40, version="two")
        self.push(central)
        two = digest(self.destination)
        for expected in (one, two, one):
            status, body = central.api().request("POST", "/api/nodes/2/core/content/rollback", {"destination": str(self.destination)})
            self.assertEqual(status, 200, body)
            self.assertEqual(self.end_of(central, body["token"])["code"], 2)
            self.assertEqual(digest(self.destination), expected)

    def test_a_folder_that_others_made_keeps_owner_and_mode_through_a_rollback(self):
        central, _ = self.start_pair()
        for version in ("one", "two"):
            write_tree(self.source, 5, version=version)
            self.push(central)
        theirs = self.destination / "theirs" / "deep"
        theirs.mkdir(parents=True)
        (theirs / "file").write_text("theirs")
        for path, mode in ((theirs, 0o555), (theirs.parent, 0o2777)):
            if os.geteuid() == 0:
                os.chown(path, 1234, 1235)
            path.chmod(mode)
        before = [(path.stat().st_uid, path.stat().st_gid, path.stat().st_mode) for path in (theirs, theirs.parent)]
        _, body = central.api().request("POST", "/api/nodes/2/core/content/rollback", {"destination": str(self.destination)})
        row = self.end_of(central, body["token"])
        self.assertEqual((row["code"], row["data"]["switch"]), (2, "tree"), row)
        self.assertIn("# one", (self.destination / "folder-1" / "1.cfg").read_text())
        self.assertEqual((theirs / "file").read_text(), "theirs")
        after = [(path.stat().st_uid, path.stat().st_gid, path.stat().st_mode) for path in (theirs, theirs.parent)]
        self.assertEqual(after, before)

    def test_a_rollback_without_an_earlier_tree_says_so(self):
        central, _ = self.start_pair()
        status, body = central.api().request("POST", "/api/nodes/2/core/content/rollback", {"destination": str(self.destination)})
        self.assertEqual(status, 200, body)
        row = self.end_of(central, body["token"])
        self.assertEqual(row["code"], 1)
        self.assertIn("no earlier content", row["data"]["message"])

    def test_a_check_that_fails_keeps_the_old_tree_and_one_that_passes_sees_the_new_one(self):
        central, _ = self.start_pair()
        write_tree(self.source, 10, version="one")
        self.push(central)
        before = digest(self.destination)
        write_tree(self.source, 10, version="two")
        message = self.failure(central, check_command="grep -r two {staged} && echo not good && false")
        self.assertIn("exit code 1", message)
        self.assertIn("not good", message)
        self.assertEqual(digest(self.destination), before)
        self.push(central, check_command=f"grep -q two {{staged}}/folder-1/1.cfg && grep -q one {self.destination}/folder-1/1.cfg")
        self.assert_same()

    def start_with(self, **options):
        """A central and a node whose module content has these options, running."""
        central = self.make_central()
        poller = self.make_poller(central.thumbprint())
        poller.replace_module("content", **options)
        central.nodes(poller.start().node(2))
        central.start()
        self.wait_seen(central, 2)
        return central

    def test_a_check_that_hangs_ends_at_check_timeout_and_nothing_is_switched(self):
        central, mark = self.start_with(check_timeout=1), f"61.{time.time_ns()}"
        write_tree(self.source, 3)
        self.assertIn("check_command failed", self.failure(central, timeout=15, check_command=f"sleep {mark}"))
        self.assertFalse(self.destination.exists())
        eventually(lambda: not processes_with(mark), 5, "the end of the check")

    def test_without_keep_previous_nothing_is_left_of_the_tree_before(self):
        central = self.start_with(keep_previous=False)
        for version in ("one", "two", "three"):
            write_tree(self.source, 10, version=version)
            self.push(central)
            self.assert_same()
        left = [path for path in self.destination.parent.rglob("*.cfg") if self.destination not in path.parents]
        eventually(lambda: not any(path.exists() for path in left), 5, f"the end of {left}")
        _, body = central.api().request("POST", "/api/nodes/2/core/content/rollback", {"destination": str(self.destination)})
        row = self.end_of(central, body["token"])
        self.assertEqual(row["code"], 1, row)
        self.assertIn("no earlier content", row["data"]["message"])
        self.assert_same()

    def test_a_check_off_the_nodes_whitelist_does_not_run_and_nothing_is_switched(self):
        central = self.make_central()
        poller = self.make_poller(central.thumbprint(), free=False).start()
        central.nodes(poller.node(2))
        central.start()
        self.wait_seen(central, 2)
        write_tree(self.source, 3)
        mark = self.directory / "mark"
        self.assertIn("check_command failed", self.failure(central, check_command=f"touch {mark}"))
        self.assertFalse(mark.exists() or self.destination.exists())

    def test_what_may_not_be_is_refused_by_name(self):
        central, poller = self.start_pair()
        self.assertIn("source: cannot find", self.failure(central))
        write_tree(self.source, 2)
        self.assertIn("expected a path without ..", self.failure(central, destination=f"{self.directory}/../x"))
        self.assertIn("expected an absolute path", self.failure(central, destination="here"))
        self.assertIn("unknown target", self.failure(central, node=77))
        (self.source / "out").symlink_to("/etc")
        self.assertIn("link to an absolute path", self.failure(central))
        (self.source / "out").unlink()
        self.destination.write_text("a file")
        self.assertIn("is no folder, expected one", self.failure(central))
        poller.stop()
        poller.replace_module("content", allowed_destinations=["/nowhere"])
        poller.start()
        self.destination.unlink()
        self.assertIn("content.allowed_destinations", self.failure(central))
        self.assertFalse(self.destination.exists())

    def test_gorgonectl_pushes_and_rolls_back(self):
        central, _ = self.start_pair()
        write_tree(self.source, 20, version="one")
        api = ["--api", f"http://127.0.0.1:{central.http_port}"]

        def run(*words):
            return subprocess.run([BIN / "gorgonectl", *map(str, words), *api], capture_output=True, text=True, timeout=60 * SLOWNESS)
        done = run("push", 2, self.source, self.destination, "--mirror")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("20 of 20 files are new or changed", done.stdout)
        one = digest(self.destination)
        write_tree(self.source, 20, version="two")
        self.assertEqual(run("push", 2, self.source, self.destination).returncode, 0)
        self.assertEqual(run("rollback", 2, self.destination).returncode, 0)
        self.assertEqual(digest(self.destination), one)
        failed = run("push", 2, self.directory / "nothing", self.destination)
        self.assertEqual(failed.returncode, 1)
        self.assertIn("source: cannot find", failed.stderr)

    def test_progress_is_in_the_rows_and_as_a_bar_on_a_terminal(self):
        central = self.make_central()
        poller = self.make_poller(central.thumbprint()).start()
        path = FlakyPath(poller.port, bytes_per_s=3_000_000)
        self.addCleanup(path.close)
        central.nodes({**poller.node(2), "port": path.port})
        central.start()
        self.wait_seen(central, 2)
        self.source.mkdir()
        files, size = 6, 1_000_000
        for i in range(files):
            (self.source / f"{i}").write_bytes(os.urandom(size))
        (self.destination).mkdir()
        (self.destination / "0").write_bytes((self.source / "0").read_bytes())  # it is there, and counts for nothing
        words = [BIN / "gorgonectl", "push", "2", self.source, self.destination, "--api", f"http://127.0.0.1:{central.http_port}"]
        status, shown = on_a_terminal([str(word) for word in words])
        self.assertEqual(status, 0, shown)
        bars = re.findall(r"\r\[(=*)( *)\] (\d+) of 5 files, ([\d.]+) (B|kB|MB) of 5.0 MB, ([\d.]+) (B|kB|MB)/s\x1b\[K", shown)
        self.assertGreater(len({bar[0] for bar in bars}), 2, f"the bar did not grow: {shown!r}")
        units = {"B": 1, "kB": 1e3, "MB": 1e6}
        for full, rest, *_ in bars:
            self.assertEqual(len(full) + len(rest), 30)
        for column in ([len(bar[0]) for bar in bars], [int(bar[2]) for bar in bars], [float(bar[3]) * units[bar[4]] for bar in bars]):
            self.assertEqual(column, sorted(column))
        self.assertTrue(any(0 < float(bar[5]) * units[bar[6]] < 3e6 for bar in bars), f"no rate that can be: {bars}")
        self.assertIn("\r\x1b[K5 of 6 files are new or changed", shown.replace("\r\n", "\n"))

        token = [row["token"] for row in central.database_rows() if '"stage":"lack"' in row["data"]][0]
        contents = [row["data"].get("content", {}) for row in central.api().log(None, token)]
        lack = [content for content in contents if content.get("stage") == "lack"]
        self.assertEqual([(c["files"], c["files_of"], c["bytes"], c["bytes_of"]) for c in lack], [(5, 6, 5 * size, 6 * size)])
        taken = [(c["files"], c["files_of"], c["bytes"], c["bytes_of"]) for c in contents if c.get("stage") == "taken"]
        self.assertGreater(len(taken), 2)
        self.assertEqual(taken, sorted(taken))
        self.assertLess(taken[0][2], taken[-1][2])
        for done, of, bytes_done, bytes_of in taken:
            self.assertEqual((of, bytes_of), (5, 5 * size))
            self.assertEqual(done, bytes_done // size)

    def test_content_comes_to_a_full_disk_and_the_old_file_stays(self):
        if os.geteuid() != 0:
            self.skipTest("a small file system needs root")
        small = self.directory / "small"
        small.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small], capture_output=True).returncode != 0:
            self.skipTest("no tmpfs can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", small])
        central, _ = self.start_pair()
        self.destination = small / "file"
        self.source.write_bytes(os.urandom(500_000))
        self.push(central)
        before = self.destination.read_bytes()
        self.source.write_bytes(os.urandom(5_000_000))
        self.assertIn("no space", self.failure(central))
        self.assertEqual(self.destination.read_bytes(), before)
        # Where it ends while it comes: small files take more than their bytes.
        self.source.unlink()
        write_tree(self.source, 600, size=16)
        tree, self.destination = self.destination, small / "tree"
        self.assertIn("No space left on device", self.failure(central))
        self.assertFalse(self.destination.exists())
        self.assertEqual(tree.read_bytes(), before)

    def test_a_mount_point_gets_its_files_one_by_one_and_atomic_refuses_it(self):
        if os.geteuid() != 0:
            self.skipTest("a mount point needs root")
        self.destination.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", self.destination], capture_output=True).returncode != 0:
            self.skipTest("no tmpfs can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", self.destination])
        central, _ = self.start_pair()
        write_tree(self.source, 20, version="one")
        (self.destination / "others").write_text("mine")
        self.assertIn("is a mount point", self.failure(central, atomic="required"))
        done = self.push(central)
        self.assertEqual(done["switch"], "files")
        self.assertIn("is a mount point", done["why"])
        self.assertEqual((self.destination / "others").read_text(), "mine")
        self.push(central, extra="remove")
        self.assert_same()
        one = digest(self.destination)
        write_tree(self.source, 25, version="two")
        self.push(central)
        self.assert_same()
        status, body = central.api().request("POST", "/api/nodes/2/core/content/rollback", {"destination": str(self.destination)})
        self.assertEqual(self.end_of(central, body["token"])["code"], 2)
        self.assertEqual(digest(self.destination), one)

    def test_an_unchanged_tree_of_2000_files_costs_under_2_kb_on_the_wire(self):
        central = self.make_central()
        poller = self.make_poller(central.thumbprint()).start()
        path = FlakyPath(poller.port)
        self.addCleanup(path.close)
        central.nodes({**poller.node(2), "port": path.port})
        central.start()
        self.wait_seen(central, 2)
        write_tree(self.source, 2000)
        self.push(central)
        self.push(central)  # files that were just written are read once more
        time.sleep(1)       # the link has nothing else to say
        before = path.passed
        began = clock()
        self.assertEqual(self.push(central)["switch"], "none")
        spent = clock() - began
        time.sleep(0.3)
        cost = path.passed - before
        print(f"an unchanged tree of 2000 files: {cost} bytes on the wire, {spent * 1000:.0f} ms", flush=True)
        self.assertLess(cost, 2000)


class Counting(unittest.TestCase):
    def test_what_is_read_and_sent_at_the_same_time_is_counted_whole(self):
        path = own = None
        try:
            with socket.create_server(("127.0.0.1", 0)) as server:
                path = FlakyPath(server.getsockname()[1])
                own = socket.create_connection(("127.0.0.1", path.port))
                other, _ = server.accept()
            size = 5_000_000

            def send(end):
                end.sendall(bytes(size))

            threads = [threading.Thread(target=send, args=(end,)) for end in (own, other)]
            for thread in threads:
                thread.start()
            came = [0, 0]
            while came != [size, size]:
                for number, end in enumerate((own, other)):
                    if came[number] < size:
                        came[number] += len(end.recv(65536))
            for thread in threads:
                thread.join()
            self.assertEqual(path.passed, 2 * size)
            other.close()
        finally:
            if own:
                own.close()
            if path:
                path.close()


class Chain(ContentCase):
    def test_content_goes_through_a_remote(self):
        central, _, _ = self.start_chain()
        eventually(lambda: self.knows_content(central, 4), 15, "the news that node 4 takes content")
        write_tree(self.source, 300)
        (self.source / "big").write_bytes(os.urandom(5_000_000))
        done = self.push(central, node=4)
        self.assertEqual((done["switch"], done["files"]), ("tree", 301))
        self.assert_same()

    @staticmethod
    def knows_content(central, node):
        behind = central.api().nodes().get("3", {}).get("nodes", {})
        return "content" in json.dumps(behind.get(str(node), {}))


class Hostile(ContentCase):
    def test_a_manifest_without_end_is_refused_before_it_fills_the_memory(self):
        central = self.make_central()
        poller = self.make_poller(central.thumbprint()).start()
        client = self.dial(poller, central)
        offer = {"token": "endless", "attempt": 1, "manifest": base64.b64encode(bytes(32)).decode(), "files": 1, "bytes": 1,
                 "destination": str(self.destination)}
        client.call("CONTENTOFFER", offer, token="endless-offer")
        part = base64.b64encode(bytes(600_000)).decode()
        for number in range(64 * 1024 * 1024 // 600_000 + 1):
            client.call("CONTENTMANIFEST", {"token": "endless", "attempt": 1, "number": number, "of": 1000, "bytes": part}, token=f"endless-{number}")
        row = client.outcome("endless")[-1]
        self.assertEqual(int(row["code"]), 1)
        self.assertIn("the manifest is too large", row["data"])


def accounts_of(directory, name, users):
    """The beginning of a command line that runs a daemon with these accounts, name to number, in a mount namespace of its own."""
    mounts = []
    for file in ("passwd", "group"):
        theirs = directory / f"{name}-{file}"
        theirs.write_text("root:x:0:0::/:/bin/sh\n" + "".join(
            f"{user}:x:{number}:{number}::/:/bin/sh\n" if file == "passwd" else f"{user}:x:{number}:\n" for user, number in users.items()))
        mounts.append(f"mount --bind {theirs} /etc/{file}")
    return ["unshare", "--mount", "sh", "-c", f'{" && ".join(mounts)} && exec "$@"', "sh"]


def owners(path):
    status = path.lstat()
    return status.st_uid, status.st_gid


ENGINE = """#!/bin/sh
# centengine -v, as far as it matters here: the files that its configuration names by absolute paths are read there.
[ "$1" = -v ] || exit 2
for file in $(sed -n 's/^cfg_file=//p' "$2"); do
  if grep -q broken "$file"; then echo "error in $file"; exit 1; fi
done
"""
# From docs/content-sync.md.
REWRITING = """#!/bin/sh
# check-engine STAGED DESTINATION: checks a copy in which the paths of the destination are the copy's own.
copy=$(mktemp -d) && trap 'rm -rf "$copy"' EXIT || exit 1
cp -r "$1/." "$copy" && find "$copy" -name '*.cfg' -exec sed -i "s|$2/|$copy/|g" {} + && centengine -v "$copy/centengine.cfg"
"""


class Checked(ContentCase):
    """A node with checks of its own, for pushes that bring none, as exports of the web interface are."""

    def setUp(self):
        super().setUp()
        programs = self.directory / "programs"
        programs.mkdir()
        for name, text in (("centengine", ENGINE), ("check-engine", REWRITING)):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        self.environment = ["env", f"PATH={programs}:{BIN}:{os.environ['PATH']}"]
        self.destination.mkdir()
        self.configure_engine(self.destination, "old")
        self.configure_engine(self.source, "new")

    def configure_engine(self, root, text):
        root.mkdir(exist_ok=True)
        (root / "centengine.cfg").write_text(f"cfg_file={self.destination}/hosts.cfg\n")
        (root / "hosts.cfg").write_text(f"# {text}\n")

    def start_checked(self, command):
        central = self.make_central()
        poller = self.make_poller(central.thumbprint())
        poller.prefix = self.environment
        nowhere = {"destination": str(self.destination / "below"), "command": "false"}
        poller.replace_module("content", checks=[nowhere, {"destination": f"{self.destination}/", "command": command}])
        central.nodes(poller.start().node(2))
        central.start()
        self.wait_seen(central, 2)
        return central

    def export(self, central):
        """As legacycmd's SENDCFGFILE does it."""
        content = {"source": str(self.source), "destination": f"{self.destination}/", "cache_dir": str(self.directory), "type": "archive"}
        status, body = central.api().request("POST", "/api/nodes/2/core/proxy/remotecopy", content)
        self.assertEqual(status, 200, body)
        return self.end_of(central, body["token"])

    def assert_checked(self, central):
        row = self.export(central)
        self.assertEqual(row["code"], 2, row)
        self.assert_same()
        before = digest(self.destination)
        self.configure_engine(self.source, "broken")
        row = self.export(central)
        self.assertEqual(row["code"], 1, row)
        self.assertIn("check_command failed", row["data"]["message"])
        self.assertIn("exit code 1: error in ", row["data"]["message"])
        self.assertIn("check_command failed", self.failure(central))
        self.assertEqual(digest(self.destination), before)
        self.push(central, check_command="test -f {staged}/hosts.cfg && grep -q new {destination}/hosts.cfg")
        self.assert_same()

    def test_an_export_is_checked_as_if_it_were_in_its_place(self):
        if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
            self.skipTest("new content cannot lie over its destination here: no mount namespaces")
        central = self.start_checked(f"gorgonectl in-place {{staged}} {{destination}} centengine -v {self.destination}/centengine.cfg")
        self.assert_checked(central)
        self.assertNotIn(str(self.destination), pathlib.Path("/proc/self/mounts").read_text())

    def test_an_export_is_checked_by_a_script_that_rewrites_its_paths(self):
        self.assert_checked(self.start_checked("check-engine {staged} {destination}"))

    def test_the_nearest_check_counts_and_none_for_what_lies_elsewhere(self):
        central = self.start_checked("true")
        self.assertIn("check_command failed", self.failure(central, destination=str(self.destination / "below")))
        self.push(central, destination=str(self.destination / "beside"))
        self.push(central, destination=f"{self.destination}-else")

    def test_paths_in_a_check_are_words_for_its_shell_whatever_is_in_them(self):
        said = self.directory / "said"
        central = self.start_checked(f"printf '%s\\n' {{staged}} {{destination}} > {said}")
        for name in ("it's {staged} $(id)", "{destination};id;", "plain"):
            self.push(central, destination=str(self.destination / name))
            self.assertEqual(said.read_text(), f"{self.destination}/.{name}.gorgone/tree\n{self.destination}/{name}\n")

    def test_new_content_without_something_to_lie_over_is_told(self):
        done = subprocess.run([BIN / "gorgonectl", "in-place", self.source, self.directory / "missing", "true"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"cannot find '{self.directory}/missing', which must be there", done.stderr)

    def test_a_check_without_an_absolute_path_is_an_error_of_the_configuration(self):
        poller = self.make_poller("x" * 43)
        poller.replace_module("content", checks=[{"destination": "etc", "command": "true"}])
        done = subprocess.run([BIN / "gorgoned", "--check", f"--config={poller.config}"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout + done.stderr, r'modules\.content\.checks\[\]\.destination: got "etc" \(.*\), expected a folder\'s absolute path')


@unittest.skipUnless(os.geteuid() == 0, "files are given to others by root only")
class Owned(ContentCase):
    def test_what_is_new_belongs_to_whom_its_folder_belongs_and_the_rest_stays_whose_it_is(self):
        central, _ = self.start_pair()
        self.destination.mkdir()
        (self.destination / "folder-1").mkdir()
        (self.destination / "folder-1" / "1.cfg").write_text("theirs")
        os.chown(self.destination, 5678, 5679)
        os.chown(self.destination / "folder-1", 6678, 6679)
        os.chown(self.destination / "folder-1" / "1.cfg", 7678, 7679)
        write_tree(self.source, 10)
        (self.source / "folder-2" / "2.cfg").chmod(0o640)
        (self.source / "link").symlink_to("folder-2")
        done = self.push(central)
        self.assertNotIn("warnings", done)
        self.assertEqual(owners(self.destination / "folder-1" / "1.cfg"), (7678, 7679))
        self.assertEqual(owners(self.destination / "folder-1" / "8.cfg"), (6678, 6679))
        for name in ("folder-2", "folder-2/2.cfg", "link", "."):
            self.assertEqual(owners(self.destination / name), (5678, 5679), name)
        # Where there was nothing, it is the folder in which it is put.
        os.chown(self.destination.parent, 8678, 8679)
        self.push(central, destination=str(self.destination.parent / "fresh"))
        self.assertEqual(owners(self.destination.parent / "fresh" / "folder-2" / "2.cfg"), (8678, 8679))
        self.push(central, owner="1", group="2", destination=str(self.destination.parent / "given"))
        self.assertEqual(owners(self.destination.parent / "given" / "folder-2" / "2.cfg"), (1, 2))

    def test_owners_are_sent_along_where_that_is_asked_for_and_a_change_of_them_alone_is_a_change(self):
        central, _ = self.start_pair()
        write_tree(self.source, 6)
        os.chown(self.source / "folder-1" / "1.cfg", 51234, 54321)
        os.chown(self.source / "folder-2", 51235, 54322)
        self.assertEqual(self.push(central, preserve_owner=True)["switch"], "tree")
        self.assertEqual(owners(self.destination / "folder-1" / "1.cfg"), (51234, 54321))
        self.assertEqual(owners(self.destination / "folder-2"), (51235, 54322))
        self.assertEqual(owners(self.destination / "folder-2" / "2.cfg"), (0, 0))
        self.assertEqual(self.push(central, preserve_owner=True)["switch"], "none")
        os.chown(self.source / "folder-3" / "3.cfg", 51234, 54321)
        self.assertEqual(self.push(central)["switch"], "none")
        changed = self.push(central, preserve_owner=True)
        self.assertEqual((changed["switch"], changed["changed"], changed["received"]), ("tree", 1, 0))
        self.assertEqual(owners(self.destination / "folder-3" / "3.cfg"), (51234, 54321))
        # What is asked for by name goes before.
        self.push(central, preserve_owner=True, group="7")
        self.assertEqual(owners(self.destination / "folder-3" / "3.cfg"), (51234, 7))
        command = [BIN / "gorgonectl", "push", "2", self.source, self.destination, "--preserve-owner", "--api", f"http://127.0.0.1:{central.http_port}"]
        subprocess.run(command, check=True, capture_output=True, timeout=60 * SLOWNESS)
        self.assertEqual(owners(self.destination / "folder-3" / "3.cfg"), (51234, 54321))

    def test_owners_are_found_by_their_names_and_one_that_would_be_somebody_else_is_told(self):
        if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
            self.skipTest("accounts of their own need mount namespaces")
        central = self.make_central()
        poller = self.make_poller(central.thumbprint())
        central.prefix = accounts_of(self.directory, "central", {"centreon-engine": 51001, "only-here": 51002})
        poller.prefix = accounts_of(self.directory, "poller", {"centreon-engine": 52001, "somebody": 51002})
        central.nodes(poller.start().node(2))
        central.start()
        self.wait_seen(central, 2)
        write_tree(self.source, 4)
        for name, number in (("1", 51001), ("2", 51002), ("3", 51003)):
            os.chown(self.source / f"folder-{name}" / f"{name}.cfg", number, number)
        done = self.push(central, preserve_owner=True)
        self.assertEqual(owners(self.destination / "folder-1" / "1.cfg"), (52001, 52001))
        self.assertEqual(owners(self.destination / "folder-2" / "2.cfg"), (0, 0))
        self.assertEqual(owners(self.destination / "folder-3" / "3.cfg"), (51003, 51003))
        self.assertEqual(done["warnings"], ["owner 'only-here' is not known here", "group 'only-here' is not known here"])


class Killed(ContentCase):
    def kills(self, victim, central, starts):
        """Kills a daemon again and again while versions are pushed; the destination is one of them, whole, at any time."""
        write_tree(self.source, 400, version="v0")
        (self.source / "big").write_bytes(os.urandom(2_000_000))
        self.push(central)
        whole = {digest(self.destination)}
        with Sampler(self.destination) as sampler, Reader(self.destination, 400) as reader:
            for version in range(1, 5):
                write_tree(self.source, 400, version=f"v{version}")
                (self.source / "big").write_bytes(os.urandom(8_000_000))
                whole.add(digest(self.source))
                reader.wait_for_round()
                token = self.start_push(central)
                for pause in (0.05 * version, 0.15):
                    time.sleep(pause)
                    victim.kill()
                    starts()
                if victim is central:
                    token = self.start_push(central)
                row = self.end_of(central, token, 90)
                self.assertEqual(row["code"], 2, row)
                self.assert_same()
        sampler.assert_only_whole(self, whole)
        reader.assert_one_change(self)
        self.assertNotIn("switching", os.listdir(self.destination.parent / ".tree.gorgone"))

    def test_the_node_is_killed_in_the_middle(self):
        central, poller = self.start_pair()
        self.kills(poller, central, poller.start)

    def test_the_sender_is_killed_in_the_middle(self):
        central, _ = self.start_pair()

        def start():
            central.start()
            self.wait_seen(central, 2)
        self.kills(central, central, start)

    def test_a_push_that_was_accepted_outlives_an_orderly_stop_of_its_sender(self):
        central, _ = self.start_pair()
        self.push_under_way(central)
        tokens = [self.token, self.start_push(central), self.start_push(central, destination=f"{self.destination}-2")]
        central.stop()
        central.start()
        for token in tokens:
            row = self.end_of(central, token, 90)
            self.assertEqual(row["code"], 2, row)
        self.assert_same()

    def test_a_push_goes_on_when_its_module_is_unloaded_and_loaded_again(self):
        authorized = self.make_central()
        remote = self.make_remote(authorized.thumbprint())
        poller = self.make_poller(remote.thumbprint(), 4).start()
        remote.nodes(poller.node(4))
        remote.start()
        self.wait_seen(remote, 4)
        client = self.dial(remote, authorized)
        for pause in (0, 1.5):
            self.push_under_way(remote, node=4)
            self.assertEqual(client.call("UNLOADMODULE", {"content": {"name": "content"}}).body["code"], 2)
            time.sleep(pause)
            content = {"name": "content", "package": "gorgone::modules::core::content::hooks", "enable": "true"}
            self.assertEqual(client.call("LOADMODULE", {"content": content}).body["code"], 2)
            row = self.end_of(remote, self.token, 90)
            self.assertEqual(row["code"], 2, row)
            self.assert_same()

    def push_under_way(self, central, node=2):
        """Starts a push of 40 MB (of a plain build) and returns when content comes to the node."""
        write_tree(self.source, 50)
        (self.source / "big").write_bytes(os.urandom(int(40_000_000 / SLOWNESS)))
        self.token = self.start_push(central, node)
        blobs = self.destination.parent / ".tree.gorgone" / "blobs"
        eventually(lambda: blobs.is_dir() and any(blobs.iterdir()), 20, "the first content")


class Broken(ContentCase):
    def test_a_link_that_breaks_in_the_middle_goes_on_where_it_was(self):
        central = self.make_central()
        poller = self.make_poller(central.thumbprint()).start()
        path = FlakyPath(poller.port)
        self.addCleanup(path.close)
        central.nodes({**poller.node(2), "port": path.port})
        central.start()
        self.wait_seen(central, 2)
        self.source.mkdir()
        for i in range(20):
            (self.source / f"{i}").write_bytes(os.urandom(1_000_000))
        before = path.passed
        token = self.start_push(central)
        for share in (0.3, 0.6):
            eventually(lambda: path.passed - before > share * 20_000_000, 60, "some of the content")
            path.cut()
        self.assertEqual(self.end_of(central, token)["code"], 2)
        self.assert_same()
        cost = path.passed - before
        print(f"20 MB over a link that broke twice: {cost / 1e6:.1f} MB on the wire", flush=True)
        # As raw bytes, for in base64 it would be 36 MB; what was on the way at each break, a few MB, goes again.
        self.assertLess(cost, 32_000_000)


if __name__ == "__main__":
    unittest.main()
