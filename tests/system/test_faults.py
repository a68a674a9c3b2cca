"""Links heal by themselves: each fault, and the seconds from its end until a command crosses again with its result in hand.

All on loopback; paths that drop packets are in test_dropping_paths.py and test_dropping_remotes.py, why a node is down in test_outbox.py. The
seconds are printed.
GORGONE_LONG=1 adds the cases that take minutes.
"""
# tests/run.sh: first, for it waits longest.
import os
import shutil
import signal
import sqlite3
import time
import unittest

import netns
from api import codes, outputs
from fleet import FleetCase, eventually
from flaky_path import FlakyPath
from pace import SLOWNESS, clock

PROMISED_S = 5   # from the path's return until the result is in the journal of the central
BOUND_S = 15     # until it is in hand, for machines that are busy with other things
WITHOUT = netns.missing()
LONG = bool(os.environ.get("GORGONE_LONG"))


def told_within_15_s(central, fault, *reasons, node=2):
    begin = clock()
    eventually(lambda: central.api().nodes()[str(node)]["why"] in reasons, 15, f"the state {reasons}")
    print(f"SECONDS {clock() - begin:6.2f} until the reason {reasons} is told in CONSTATUS: {fault}", flush=True)


class Faults(FleetCase):
    def marks(self, name):
        return self.directory / f"marks-{name}"

    def submit(self, central, name, node=2):
        """A command that leaves one line each time it runs."""
        return central.api().submit(node, f"echo ran >> {self.marks(name)}")

    def times_run(self, name):
        return self.marks(name).read_text().count("\n") if self.marks(name).exists() else 0

    def usable(self, central, fault, begin=None, node=2, bound=BOUND_S, promised=PROMISED_S):
        """Until a command crosses, counted from `begin` (now); it must run once, as must all that waited. `promised` holds for what the
        central's journal says: how long this test needs to hear of it is of no matter."""
        begin, after = clock() if begin is None else begin, f"after-{node}"
        returned = time.time() - (clock() - begin) * SLOWNESS
        rows = central.api().run(node, f"echo ran >> {self.marks(after)}; echo crossed", wait_s=60 * SLOWNESS)
        seconds = clock() - begin
        self.assertTrue(rows, f"nothing has crossed after {fault}")
        crossed = (max(row["ctime"] for row in rows) - returned) / SLOWNESS
        print(f"SECONDS {seconds:6.2f} until usable after, {crossed:.2f} by the journal: {fault}", flush=True)
        self.assertEqual((codes(rows), outputs(rows)), ([0, 0, 100, 2], ["crossed"]), fault)
        self.assertEqual(self.times_run(after), 1, fault)
        self.assertLess(seconds, bound, fault)
        self.assertLessEqual(crossed, promised, f"{fault}: by the central's journal")
        self.marks(after).unlink()
        return seconds

    def ran_once(self, name, timeout=20):
        eventually(lambda: self.times_run(name) > 0, timeout, f"the run of the command {name} that had been accepted")
        time.sleep(0.5)
        self.assertEqual(self.times_run(name), 1, f"runs of {name}")

    def set_proxy(self, daemon, **options):
        daemon.replace_module("proxy", **options)


class Peer(Faults):
    """Faults of the node itself."""

    def setUp(self):
        self.central, self.poller = self.start_pair()
        self.usable(self.central, "nothing", bound=5)

    def test_the_node_is_restarted(self):
        self.poller.stop()
        self.submit(self.central, "waiting")
        time.sleep(1)
        self.poller.start()
        self.usable(self.central, "the node stopped and started with its database")
        self.ran_once("waiting")

    def test_the_node_is_killed_and_started_without_its_database(self):
        self.poller.kill()
        self.submit(self.central, "waiting")
        for file in self.poller.database.parent.glob("history.sdb*"):
            file.unlink()
        time.sleep(1)
        self.poller.start()
        self.usable(self.central, "the node killed and started without its database")
        self.ran_once("waiting")

    def test_the_node_has_been_away_for_long(self):
        self.poller.kill()
        self.submit(self.central, "waiting")
        time.sleep(25)
        self.poller.start()
        self.usable(self.central, "the node away for 25 s, so that retries have grown rare", bound=20)
        self.ran_once("waiting")

    def test_a_node_that_was_killed_is_told_within_15_s(self):
        self.poller.kill()
        begin = clock()
        eventually(lambda: self.central.api().nodes()["2"]["link"] != "up", 15, "the link's being told as down")
        print(f"SECONDS {clock() - begin:6.2f} until a killed node is told in CONSTATUS", flush=True)

    def test_a_node_that_was_restarted_without_its_sessions_is_greeted_before_there_is_a_command(self):
        self.poller.kill()
        for file in self.poller.database.parent.glob("history.sdb*"):
            file.unlink()
        self.poller.start()
        begin = clock()
        self.poller.wait_log(r"session opened for", timeout=PROMISED_S)
        print(f"SECONDS {clock() - begin:6.2f} until a node is greeted that was restarted without its sessions", flush=True)

    def test_a_changed_key_is_refused_with_both_thumbprints_until_it_is_changed_back(self):
        before = self.poller.thumbprint()
        self.poller.stop()
        shutil.copytree(self.poller.private_key.parent, self.directory / "old-keys")
        self.poller.start()
        self.usable(self.central, "nothing but a restart of the node")
        self.change_key()
        self.submit(self.central, "untrusted")
        self.changed_key_is_told()
        self.assertIn(before, self.central.api().nodes()["2"]["last_error"])
        self.assertIn(self.poller.thumbprint(), self.central.api().nodes()["2"]["last_error"])
        time.sleep(3)
        self.assertEqual(self.times_run("untrusted"), 0, "a command went to a node whose key is not the pinned one")
        self.poller.stop()
        for file in (self.directory / "old-keys").iterdir():
            shutil.copy2(file, self.poller.private_key.parent)
        self.poller.start()
        self.usable(self.central, "the node got its old key back", bound=20)
        self.ran_once("untrusted")

    def change_key(self):
        self.pinned = self.poller.thumbprint()
        self.poller.kill()
        self.poller.make_keys(force=True)
        for file in self.poller.database.parent.glob("history.sdb*"):
            file.unlink()
        self.poller.start()

    def changed_key_is_told(self):
        begin, now = clock(), self.poller.thumbprint()
        self.central.wait_log(rf"(?m)^.*({self.pinned}.*{now}|{now}.*{self.pinned})", timeout=15)
        print(f"SECONDS {clock() - begin:6.2f} until a changed key is in the log with both thumbprints", flush=True)
        self.assertNotEqual(self.central.api().nodes()["2"]["link"], "up")

    def test_the_node_is_suspended_for_a_moment(self):
        os.kill(self.poller.process.pid, signal.SIGSTOP)
        try:
            self.submit(self.central, "waiting")
            time.sleep(8)
        finally:
            os.kill(self.poller.process.pid, signal.SIGCONT)
        self.usable(self.central, "the node suspended for 8 s")
        self.ran_once("waiting")

    def test_a_node_that_hangs_is_told_as_mute_and_keeps_its_link(self):
        for what in ("a command waits", "idle"):
            os.kill(self.poller.process.pid, signal.SIGSTOP)
            try:
                if what != "idle":
                    self.submit(self.central, "waiting")
                told_within_15_s(self.central, f"the node is suspended, standard options, {what}", "mute")
            finally:
                os.kill(self.poller.process.pid, signal.SIGCONT)
            eventually(lambda: self.central.api().nodes()["2"]["why"] == "", 5, "a state that says nothing of it any more")
        self.ran_once("waiting")
        self.assertNotIn("link down", self.central.log())

    def test_the_central_is_restarted(self):
        self.central.stop()
        self.central.start()
        self.usable(self.central, "the central stopped and started")

    def test_the_central_is_killed_with_commands_waiting(self):
        self.poller.stop()
        for number in range(5):
            self.submit(self.central, f"waiting-{number}")
        self.central.kill()
        self.central.start()
        self.poller.start()
        self.usable(self.central, "the central killed with commands waiting, the node away meanwhile")
        for number in range(5):
            self.ran_once(f"waiting-{number}", timeout=5)

    def test_the_central_is_killed_and_the_node_is_there(self):
        self.central.kill()
        self.central.start()
        self.usable(self.central, "the central killed and started")


class ShortPings(Faults):
    """A central that finds out soon."""

    def test_the_node_is_suspended_until_it_is_given_up(self):
        central = self.make_central()
        self.set_proxy(central, ping=2, pong_max_timeout=1)
        poller = self.make_poller(central.thumbprint()).start()
        central.nodes(poller.node(2))
        central.start()
        self.wait_seen(central, 2)
        os.kill(poller.process.pid, signal.SIGSTOP)
        try:
            self.submit(central, "waiting")
            eventually(lambda: central.api().nodes()["2"]["link"] == "down", 30, "the link's being given up")
            time.sleep(5)
        finally:
            os.kill(poller.process.pid, signal.SIGCONT)
        self.usable(central, "the node suspended until it was given up")
        self.ran_once("waiting")


class Loopback(Faults):
    """A path on loopback: stalled, as by packets that are dropped, and cut."""

    def setUp(self):
        self.central = self.make_central()
        self.set_proxy(self.central, ping=2)
        self.poller = self.make_poller(self.central.thumbprint()).start()
        self.path = FlakyPath(self.poller.port)
        self.addCleanup(self.path.close)
        self.central.nodes({**self.poller.node(2), "port": self.path.port})
        self.central.start()
        self.wait_seen(self.central, 2)

    def test_the_path_stalls(self):
        self.path.stall()
        self.submit(self.central, "waiting")
        time.sleep(20 if LONG or WITHOUT else 6)
        self.path.restore()
        self.usable(self.central, "the path stalled (loopback)")
        self.ran_once("waiting")

    def test_the_path_resets_everything(self):
        self.path.take_down()
        self.submit(self.central, "waiting")
        time.sleep(6)
        self.path.restore()
        self.usable(self.central, "all connections reset for 6 s (loopback)")
        self.ran_once("waiting")


class Rotation(Faults):
    """Session keys are renewed in both roles under load: the remote is the server of one link and the client of the other."""

    def setUp(self):
        self.central = self.make_central()
        self.remote = self.make_remote(self.central.thumbprint())
        self.poller = self.make_poller(self.remote.thumbprint(), 4)
        for daemon in (self.remote, self.poller):
            daemon.configure("50-rotation", {"gorgonecore": {"external_com_rotation": 1}})
        self.poller.start()
        self.remote.nodes(self.poller.node(4))
        self.remote.start()
        self.central.nodes(self.remote.node(3, nodes=[{"id": 4, "pathscore": 1}]))
        self.central.start()
        self.wait_seen(self.remote, 4)
        self.wait_seen(self.central, 3)

    def keys_of(self, daemon):
        try:
            return {row["identity"]: row["key"] for row in daemon.database_rows("gorgone_identity")}
        except sqlite3.OperationalError:
            return {}

    def load_until(self, end, every_s=0.05):
        """Numbered commands to the poller behind the remote; returns how many were accepted."""
        api, accepted = self.central.api(), []
        while time.monotonic() < end:
            number = len(accepted)
            accepted.append(api.submit(4, f"echo {number} >> {self.directory}/numbers"))
            time.sleep(every_s)
        return len(accepted)

    def all_ran_once(self, count):
        def read():
            numbers = self.directory / "numbers"
            return sorted(map(int, numbers.read_text().split())) if numbers.exists() else []

        eventually(lambda: len(read()) >= count, 20, f"the end of {count} commands")
        self.assertEqual(read(), list(range(count)))

    def renewed(self, before):
        return all(any(self.keys_of(daemon).get(client, key) != key for client, key in before[daemon].items()) for daemon in before)

    def test_keys_that_have_grown_old_are_renewed_under_load(self):
        # A minute is the least there is, so the sessions are made to look older than that.
        servers = (self.poller, self.remote)
        for daemon in servers:
            daemon.stop()
            daemon.age_sessions(120)
        before = {daemon: self.keys_of(daemon) for daemon in servers}
        for daemon in servers:
            daemon.start()
        self.usable(self.central, "a remote started with sessions that are due for a new key", node=3)
        eventually(lambda: self.remote.api().nodes()["4"]["link"] == "up", 10, "the link to the poller")
        lost = [daemon.log().count("link down") for daemon in (self.central, self.remote)]
        count = self.load_until(time.monotonic() + 8)
        self.all_ran_once(count)
        self.assertTrue(all(before.values()), "a server had no session in its database")
        eventually(lambda: self.renewed(before), 10, "a new key for a session of each server")
        print(f"{count} commands through two links while their keys were renewed", flush=True)
        self.assertNotIn("handshake refused", self.central.log())
        self.assertEqual([daemon.log().count("link down") for daemon in (self.central, self.remote)], lost, "a renewal cost a link")

    @unittest.skipUnless(LONG, "takes more than two minutes; GORGONE_LONG=1 runs it")
    def test_keys_are_renewed_every_minute_under_load(self):
        before = {daemon: self.keys_of(daemon) for daemon in (self.poller, self.remote)}
        count = self.load_until(time.monotonic() + 135, 0.1)
        self.all_ran_once(count)
        self.assertTrue(self.renewed(before), "no key was renewed within two minutes")
        print(f"{count} commands through two links while their keys were renewed every minute", flush=True)
        self.assertEqual(self.central.log().count("link down"), 0, "a renewal cost the central its link")


if __name__ == "__main__":
    unittest.main()
