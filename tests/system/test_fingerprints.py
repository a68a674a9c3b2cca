"""How a central trusts the keys of its pollers: fingerprint_mode."""
import contextlib
import sqlite3
import time
import unittest

from api import outputs
from fleet import FleetCase, eventually

COMPLAINT = r"(?i) - (ERROR|WARNING) - .*(fingerprint|thumbprint)"


class Fingerprints(FleetCase):
    def make_pair(self, mode, **node):
        self.central = self.make_central()
        self.central.edit("fingerprint_mode: first", f"fingerprint_mode: {mode}")
        self.poller = self.make_poller(self.central.thumbprint()).start()
        self.central.nodes(self.poller.node(2, **node))

    def works(self, text):
        self.wait_seen(self.central, 2)
        self.assertEqual(outputs(self.central.api().run(2, f"echo {text}")), [text])

    def is_refused(self, complaint=COMPLAINT):
        """Neither a ping nor a command crosses."""
        self.central.wait_log(complaint)
        mark = self.directory / "mark"
        self.central.api().request("POST", "/api/nodes/2/core/action/command", [{"command": f"touch {mark}"}])
        time.sleep(2)
        self.assertEqual(int(self.central.api().nodes()["2"]["ping_ok"]), 0)
        self.assertFalse(mark.exists(), "a command reached a poller with the wrong key")

    def change_key(self):
        self.central.stop()
        self.poller.stop()
        before = self.poller.thumbprint()
        self.assertNotEqual(self.poller.make_keys(force=True), before)
        for file in self.poller.database.parent.glob("history.sdb*"):
            file.unlink()
        self.poller.start()
        self.central.start()

    def pins(self):
        return {row["target"]: row["fingerprint"] for row in self.central.database_rows("gorgone_target_fingerprint")}

    def test_first_pins_the_key_it_meets_and_refuses_another(self):
        self.make_pair("first")
        self.central.start()
        self.works("one")
        pinned = {f"tcp://127.0.0.1:{self.poller.port}": self.poller.thumbprint()}
        self.assertEqual(eventually(self.pins, 5, "a pin"), pinned)
        self.change_key()
        self.is_refused()
        self.assertEqual(self.pins(), pinned)

    def test_a_changed_key_is_not_taken_while_the_pinned_one_cannot_be_read(self):
        self.make_pair("first")
        self.central.start()
        self.works("one")
        pinned = eventually(self.pins, 5, "a pin")
        self.central.stop()
        self.poller.stop()
        right = {file: file.read_bytes() for file in (self.poller.private_key, self.poller.public_key)}
        self.poller.make_keys(force=True)
        self.poller.start()
        other = sqlite3.connect(self.central.database, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        self.central.start()
        self.central.wait_log(rf"WARNING - .*link \S+ cannot be made, trying again: cannot look up the pinned key: {self.central.database} cannot be "
                              r"read now, and what it keeps is not known", 10)
        other.execute("COMMIT")
        self.central.wait_log(r"the server's key changed", 15)
        self.assertEqual(self.pins(), pinned)
        self.poller.stop()
        for file, content in right.items():
            file.write_bytes(content)
        self.poller.start()
        self.works("two")

    def test_a_database_that_stays_locked_keeps_no_node_down_and_pins_nothing(self):
        self.make_pair("first")
        self.central.start()
        self.works("one")
        pinned = self.pins()
        self.central.stop()
        with contextlib.closing(sqlite3.connect(self.central.database, isolation_level=None)) as other:
            other.execute("PRAGMA journal_mode = DELETE")
            other.execute("BEGIN EXCLUSIVE")
            self.central.start()
            self.central.wait_log(rf"WARNING - .*link \S+: the server's key {self.poller.thumbprint()} is taken for this connection without a look", 90)
            self.works("two")
            other.execute("COMMIT")
        self.works("three")
        self.assertEqual(self.pins(), pinned)

    def test_strict_refuses_a_key_that_is_not_pinned(self):
        self.make_pair("strict")
        self.central.start()
        self.is_refused()
        self.assertEqual(self.pins(), {})

    def test_strict_takes_a_key_pinned_before(self):
        self.make_pair("first")
        self.central.start()
        self.works("one")
        self.central.stop()
        self.central.edit("fingerprint_mode: first", "fingerprint_mode: strict")
        self.central.start()
        self.works("two")

    def test_always_takes_a_changed_key(self):
        self.make_pair("always")
        self.central.start()
        self.works("one")
        self.change_key()
        self.works("two")

    def test_a_key_given_as_a_file_needs_no_pin_and_must_be_the_right_one(self):
        self.make_pair("strict")
        copy = self.directory / "poller.pub.pem"
        copy.write_bytes(self.poller.public_key.read_bytes())
        self.central.nodes(self.poller.node(2, server_pubkey=str(copy)))
        self.central.start()
        self.works("one")
        self.change_key()
        self.is_refused(r" - WARNING - .* the server refused the handshake: .* it has another key than we know$")


if __name__ == "__main__":
    unittest.main()
