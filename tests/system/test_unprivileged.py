"""A poller that is not root, in some of the groups of a Centreon installation: what it may do is done as asked, what it may not is told once."""
import os
import pathlib
import random
import stat
import subprocess
import time
import unittest

from api import codes, outputs
from fake_engine import FakeEngine
from fleet import BIN, FleetCase, eventually, gorgonectl
from pace import SLOWNESS, clock
from test_content_sync import Sampler, digest, write_tree

# By their numbers: the machine need not have these accounts.
ACCOUNT, ENGINE, OTHER = 9101, 9103, 9104


def can_be_another():
    """Whether the daemon can run as another user here, and that one can read it."""
    words = ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--clear-groups", "test", "-x", str(BIN / "gorgoned")]
    return os.geteuid() == 0 and subprocess.run(words, capture_output=True).returncode == 0


@unittest.skipUnless(can_be_another(), f"this needs root, setpriv and a build that other users can read, not {BIN}")
class Unprivileged(FleetCase):
    def setUp(self):
        self.central = self.make_central()
        self.poller = self.make_poller(self.central.thumbprint())
        self.poller.replace_module("engine", package="gorgone::modules::centreon::engine::hooks")
        self.poller.prefix = ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", f"--groups={ACCOUNT},{ENGINE}"]
        self.directory.chmod(0o755)
        for path in [self.poller.directory, *self.poller.directory.rglob("*")]:
            os.chown(path, ACCOUNT, ACCOUNT)
        # As a package leaves it: the engine's own, and its group may write.
        self.there = self.directory / "centreon-engine"
        self.there.mkdir()
        os.chown(self.there, ENGINE, ENGINE)
        self.there.chmod(0o2775)
        self.source = self.directory / "source"
        self.source.mkdir()
        for number in range(30):
            (self.source / f"hosts-{number}.cfg").write_text(f"define host {{ host_name {number} }}\n")
        self.poller.start()
        self.central.nodes(self.poller.node(2))
        self.central.start()
        self.wait_seen(self.central, 2)
        self.api = self.central.api()

    def end_of(self, path, content):
        status, body = self.api.request("POST", path, content)
        self.assertEqual(status, 200, body)
        ends = eventually(lambda: [row for row in self.api.log(None, body["token"]) if row["code"] in (1, 2)], 20, "the end")
        return ends[-1]

    def copy(self, **content):
        content = {"source": str(self.source), "destination": f"{self.there}/", "cache_dir": str(self.poller.directory / "cache"), "type": "archive", **content}
        return self.end_of("/api/nodes/2/core/proxy/remotecopy", content)

    def push(self, **content):
        return self.end_of("/api/core/content/push", {"source": str(self.source), "destination": str(self.there), "node": "2", **content})

    def owners(self, path):
        return path.stat().st_uid, path.stat().st_gid

    def test_a_configuration_comes_with_its_group_and_its_mode_and_one_warning_says_that_the_owner_is_not_set(self):
        for way in (self.copy, self.push):
            row = way(owner=str(ENGINE), group=str(ENGINE))
            self.assertEqual(row["code"], 2, row)
            warnings = row["data"]["warnings"]
            self.assertEqual(len(warnings), 1, warnings)
            self.assertIn(f"owner '{ENGINE}' cannot be set: this daemon runs as '{ACCOUNT}', who may not give files away", warnings[0])
            for number in range(30):
                self.assertEqual(self.owners(self.there / f"hosts-{number}.cfg"), (ACCOUNT, ENGINE))
            (self.source / "hosts-3.cfg").write_text("another\n")
        self.assertEqual((self.there / "hosts-7.cfg").read_text(), (self.source / "hosts-7.cfg").read_text())

    def test_a_group_that_the_daemon_is_not_in_is_a_warning_too_and_a_second_push_finds_nothing_to_do(self):
        row = self.push(owner=str(OTHER), group=str(OTHER))
        self.assertEqual(row["code"], 2, row)
        self.assertEqual(len(row["data"]["warnings"]), 2, row)
        self.assertIn(f"group '{OTHER}' cannot be set: this daemon runs as '{ACCOUNT}', who is not in that group", row["data"]["warnings"][1])
        again = self.push(owner=str(OTHER), group=str(OTHER))
        self.assertEqual((again["code"], again["data"]["switch"], len(again["data"]["warnings"])), (2, "none", 2), again)

    def test_a_new_file_has_the_group_of_its_folder_unasked_and_owners_that_are_sent_along_are_taken_as_far_as_may_be(self):
        (self.source / "hosts-1.cfg").chmod(0o640)
        row = self.push()
        self.assertEqual((row["code"], row["data"].get("warnings")), (2, None), row)
        self.assertEqual(self.owners(self.there / "hosts-1.cfg"), (ACCOUNT, ENGINE))
        for number in range(30):
            os.chown(self.source / f"hosts-{number}.cfg", OTHER, ENGINE if number else OTHER)
        os.chown(self.source, ACCOUNT, ENGINE)
        row = self.push(preserve_owner=True)
        self.assertEqual((row["code"], len(row["data"]["warnings"])), (2, 2), row)
        self.assertIn(f"owner '{OTHER}' cannot be set: this daemon runs as '{ACCOUNT}'", row["data"]["warnings"][0])
        self.assertIn(f"group '{OTHER}' cannot be set", row["data"]["warnings"][1])
        self.assertEqual(self.owners(self.there / "hosts-1.cfg"), (ACCOUNT, ENGINE))

    def test_a_check_sees_new_content_in_its_place_without_root_where_user_namespaces_are_allowed(self):
        if subprocess.run([*self.poller.prefix, "unshare", "--user", "--mount", "true"], capture_output=True).returncode != 0:
            self.skipTest("user namespaces are not allowed here")
        (self.there / "hosts-1.cfg").write_text("old\n")
        command = f"{BIN}/gorgonectl in-place {{staged}} {{destination}} sh -c 'id -u; grep host_name {self.there}/hosts-1.cfg && exit %d'"
        row = self.push(check_command=command % 7)
        self.assertEqual(row["code"], 1, row)
        self.assertIn(f"exit code 7: {ACCOUNT}\ndefine host {{ host_name 1 }}", row["data"]["message"])
        self.assertEqual((self.there / "hosts-1.cfg").read_text(), "old\n")
        self.assertEqual(self.push(check_command=command % 0)["code"], 2)
        self.assertEqual((self.there / "hosts-1.cfg").read_text(), (self.source / "hosts-1.cfg").read_text())

    def test_a_file_of_somebody_else_is_replaced_and_it_is_told_that_it_has_another_owner_now(self):
        self.source = self.source / "hosts-1.cfg"
        single = self.there / "centreontrapd.sdb"
        ways = (lambda: self.copy(type="regular", destination=str(single), mode="0664"), lambda: self.push(destination=str(single), mode="0664"))
        for way in ways:
            single.write_text("old")
            os.chown(single, OTHER, ENGINE)
            single.chmod(0o664)
            row = way()
            self.assertEqual(row["code"], 2, row)
            self.assertEqual(single.read_text(), self.source.read_text())
            self.assertEqual((self.owners(single), stat.S_IMODE(single.stat().st_mode)), ((ACCOUNT, ENGINE), 0o664))
            self.assertEqual(len(row["data"]["warnings"]), 1, row)
            self.assertIn(f"cannot set the owner of '{single}': Operation not permitted", row["data"]["warnings"][0])
            self.source.write_text("the next\n")

    def test_a_folder_that_it_may_not_write_is_named_and_stays_as_it_was(self):
        closed = self.directory / "closed"
        closed.mkdir()
        (closed / "theirs.cfg").write_text("theirs")
        for row in (self.copy(destination=f"{closed}/"), self.push(destination=str(closed))):
            self.assertEqual(row["code"], 1, row)
            self.assertIn(str(closed), row["data"]["message"])
            self.assertIn("Permission denied", row["data"]["message"])
        self.assertEqual(os.listdir(closed), ["theirs.cfg"])

    def closed_file(self, content):
        """A file that the poller may write, in a folder that it may not; and what is copied over it from then on."""
        closed = self.directory / "closed"
        closed.mkdir()
        single = closed / "theirs.cfg"
        single.write_bytes(content)
        os.chown(single, OTHER, ENGINE)
        single.chmod(0o664)
        self.source = self.source / "hosts-1.cfg"
        return single

    def test_a_file_that_may_be_written_in_a_folder_that_may_not_is_written_over_and_that_is_told(self):
        single = self.closed_file(b"theirs, and longer than what comes" * 10)
        row = self.copy(type="regular", destination=str(single))
        self.assertEqual(row["code"], 2, row)
        self.assertEqual(single.read_text(), self.source.read_text())
        told = [warning for warning in row["data"]["warnings"] if "written over in place" in warning]
        self.assertEqual(len(told), 1, row)
        self.assertIn(str(single), told[0])
        self.assertEqual(list(self.poller.directory.rglob("overwritten-*")), [])

    def test_with_overwrite_in_place_false_such_a_file_is_refused_with_the_reason(self):
        single = self.closed_file(b"theirs")
        self.poller.stop()
        self.poller.replace_module("action", package="gorgone::modules::core::action::hooks", overwrite_in_place=False)
        self.poller.start()
        self.wait_seen(self.central, 2)
        row = self.copy(type="regular", destination=str(single))
        self.assertEqual(row["code"], 1, row)
        for part in (f"may not write to the folder '{single.parent}' (Permission denied)", "modules.action.overwrite_in_place"):
            self.assertIn(part, row["data"]["message"])
        self.assertEqual(single.read_bytes(), b"theirs")

    def test_a_daemon_that_is_killed_while_it_writes_over_a_file_puts_its_old_content_back_and_gets_the_copy_again(self):
        single = self.closed_file(b"theirs")
        self.source.write_bytes(random.Random(1).randbytes(60_000_000))
        content = {"source": str(self.source), "destination": str(single), "cache_dir": str(self.poller.directory / "cache")}
        folder = next(path.parent for path in self.poller.directory.rglob("history.sdb"))
        for _ in range(5):
            single.write_bytes(b"theirs")
            status, body = self.api.request("POST", "/api/nodes/2/core/proxy/remotecopy", content)
            self.assertEqual(status, 200, body)
            deadline = clock() + 30
            while single.stat().st_size in (0, len(b"theirs")) and clock() < deadline:
                time.sleep(0.001)
            self.poller.kill()
            if list(folder.glob("overwritten-*")):
                break
            self.poller.start()  # the file was whole before it was killed
            self.wait_seen(self.central, 2)
        else:
            self.fail("it was never killed while it wrote")
        self.assertNotEqual(single.read_bytes(), b"theirs")
        # Nothing comes while the central is down.
        self.central.stop()
        self.poller.start()
        self.poller.wait_log(rf"WARNING .*'{single}' was being written over when the daemon was ended: its old content was put back")
        self.assertEqual(single.read_bytes(), b"theirs")
        self.assertEqual(list(folder.glob("overwritten-*")), [])
        self.central.start()
        eventually(lambda: single.stat().st_size == 60_000_000 and single.read_bytes() == self.source.read_bytes(), 40 * SLOWNESS, "the copy")

    def test_a_folder_below_one_that_it_may_not_write_is_put_in_place_in_one_step_after_the_setup(self):
        self.poller.stop()
        self.poller.replace_module("content", allowed_destinations=[str(self.there)])
        self.poller.start()
        self.wait_seen(self.central, 2)
        row = self.push()
        self.assertEqual((row["code"], row["data"]["switch"]), (2, "files"), row)
        self.poller.wait_log(rf"WARNING .*'{self.there}' is put in place file by file.*Permission denied.*'gorgonectl one-step {self.there}'")
        write_tree(self.source, 100, version="v0")
        self.assertEqual(self.push()["data"]["switch"], "files")
        self.assertEqual(self.poller.log().count("gorgonectl one-step"), 1, "it was told again")

        before, place = digest(self.there), self.directory / "place"
        told = gorgonectl("one-step", f"{self.there}/", "--user", str(ACCOUNT), "--place", str(place))
        self.assertIn(f"'{self.there}' is a link to '{place}/current' now", told)
        self.assertNotIn("warning", told)
        self.assertEqual(os.readlink(self.there), f"{place}/current")
        kept = self.directory / "centreon-engine.before-one-step"
        self.assertEqual((digest(self.there), digest(kept)), (before, before))
        self.assertEqual((self.owners(place), self.owners(place / "current")), ((ACCOUNT, ACCOUNT), (ENGINE, ENGINE)))
        self.assertEqual(stat.S_IMODE((place / "current").stat().st_mode), 0o2775)
        self.assertIn("is a link to", gorgonectl("one-step", str(self.there), "--user", str(ACCOUNT)))

        whole = {before}
        with Sampler(self.there) as sampler:
            for version in range(1, 7):
                write_tree(self.source, 100, version=f"v{version}")
                whole.add(digest(self.source))
                row = self.push(extra="remove")
                self.assertEqual((row["code"], row["data"].get("switch"), row["data"].get("changed")), (2, "tree", 100), row)
                # A while for the sampler to walk through it.
                time.sleep(0.1 * SLOWNESS)
        sampler.assert_only_whole(self, whole, 4)
        self.assertEqual(digest(self.there), digest(self.source))
        row = self.end_of("/api/nodes/2/core/content/rollback", {"destination": str(self.there)})
        self.assertEqual((row["code"], row["data"]["switch"]), (2, "tree"), row)
        self.assertIn("# v5 1", (self.there / "folder-1" / "1.cfg").read_text())

    def test_the_setup_for_one_step_leaves_everything_as_it_was_where_it_cannot_be_done(self):
        for words, expected in (((str(self.there), "--user", "nobody-of-that-name"), "there is no user 'nobody-of-that-name'"),
                                ((str(self.source / "hosts-1.cfg"), "--user", "0"), "expected a folder"),
                                (("here", "--user", "0"), "expected an absolute path"),
                                ((str(self.there), "--user", "0", "--place", "/proc/none"), "cannot make folder '/proc/none'"),
                                ((str(self.there), "--user", str(ACCOUNT), "--place", str(self.directory)), "belongs to another user")):
            with self.assertRaisesRegex(AssertionError, expected):
                gorgonectl("one-step", *words)
        (self.there.parent / "centreon-engine.before-one-step").mkdir()
        with self.assertRaisesRegex(AssertionError, "is in the way, expected nothing there"):
            gorgonectl("one-step", str(self.there), "--user", str(ACCOUNT), "--place", str(self.directory / "place"))
        self.assertTrue(self.there.is_dir() and not self.there.is_symlink())
        self.assertEqual(self.owners(self.directory), (0, 0))
        self.assertFalse((self.directory / "place" / "current").exists())

    def test_commands_run_as_its_user_and_a_pipe_of_its_group_takes_external_commands(self):
        self.assertEqual(outputs(self.api.run(2, "id -u; id -G")), [f"{ACCOUNT}\n{ACCOUNT} {ENGINE}"])
        engine = FakeEngine(self.directory / "centengine.cmd")
        self.addCleanup(engine.stop)
        os.chown(self.directory / "centengine.cmd", ENGINE, ENGINE)
        (self.directory / "centengine.cmd").chmod(0o660)
        content = {"command_file": str(self.directory / "centengine.cmd"), "commands": ["[1] MINE"]}
        self.end_of("/api/nodes/2/centreon/engine/command", content)
        eventually(lambda: engine.lines == ["[1] MINE"], 10, "the command")
        (self.directory / "centengine.cmd").chmod(0o600)
        content["commands"] = ["[2] NOT MINE"]
        row = self.end_of("/api/nodes/2/centreon/engine/command", content)
        self.assertEqual(row["code"], 1)
        self.assertIn("must be writeable", row["data"]["message"])


if __name__ == "__main__":
    unittest.main()
