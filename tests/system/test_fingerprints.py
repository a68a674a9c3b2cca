"""How a central trusts the keys of its pollers: fingerprint_mode."""
import contextlib
import os
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


class KeysOfANode(FleetCase):
    """server_pubkey, client_privkey and client_pubkey of an entry of nodes.yaml: what is wrong is told with the node, the option and the file, and the
    other nodes are reached."""

    def setUp(self):
        self.central = self.make_central()
        self.poller = self.make_poller(self.central.thumbprint()).start()
        self.other = self.make_poller(self.central.thumbprint(), 3).start()
        self.good_private, self.good_public = self.central.private_key, self.central.public_key

    def file(self, name, content):
        path = self.directory / name
        path.write_bytes(content)
        path.chmod(0o600)
        return str(path)

    def pair(self):
        """Another pair than the central's."""
        return self.other.private_key.read_bytes(), self.other.public_key.read_bytes()

    def link(self):
        return self.central.api().nodes()["2"]

    def is_told(self, expression, **keys):
        self.central.nodes(self.poller.node(2, **keys), self.other.node(3))
        self.central.start()
        self.central.wait_log(rf"ERROR - \[proxy\] node '2' cannot be reached: {expression}")
        self.wait_seen(self.central, 3)
        status, body = self.central.api().request("POST", "/api/nodes/2/core/action/command", [{"command": "true"}])[:2]
        self.assertNotEqual(status, 200, body)
        self.assertRegex(self.link()["last_error"], expression)
        self.central.stop()

    def test_a_file_that_is_missing_or_garbage_is_told_by_option_and_path(self):
        missing, garbage = str(self.directory / "nowhere.pem"), self.file("garbage.pem", b"\x00\xff no key")
        for option in ("server_pubkey", "client_privkey", "client_pubkey"):
            self.is_told(rf"{option}: .*{missing}.*No such file", **{option: missing})
            self.is_told(rf"{option}: .*{garbage}.*", **{option: garbage})

    def test_the_wrong_half_of_a_pair_is_told(self):
        self.is_told(rf"client_privkey: .*{self.good_public}.*it is a public key", client_privkey=str(self.good_public))

    def test_a_public_key_that_does_not_belong_to_the_private_one_is_told(self):
        private, public = self.pair()
        stranger = self.file("stranger.pub.pem", public)
        self.is_told(rf"client_pubkey: {stranger} does not belong to the private key", client_pubkey=stranger)
        self.is_told(rf"client_pubkey: {self.good_public} does not belong to the private key",
                     client_privkey=self.file("stranger.priv.pem", private), client_pubkey=str(self.good_public))

    def test_another_key_than_the_nodes_own_is_refused_and_told(self):
        public = self.file("stranger.pub.pem", self.pair()[1])
        self.central.nodes(self.poller.node(2, server_pubkey=public), self.other.node(3))
        self.central.start()
        self.central.wait_log(r" - WARNING - .* the server refused the handshake: .* it has another key than we know$")
        self.wait_seen(self.central, 3)
        self.assertEqual(eventually(lambda: self.link().get("why") not in (None, "", "lost") and self.link()["link"], 15, "the reason"), "down")

    def test_a_pair_that_the_node_does_not_know_is_refused_and_told(self):
        private, public = self.pair()
        self.central.nodes(self.poller.node(2, client_privkey=self.file("own.priv.pem", private), client_pubkey=self.file("own.pub.pem", public)),
                           self.other.node(3))
        self.central.start()
        self.central.wait_log(r" - WARNING - .* the server refused the handshake")
        self.poller.wait_log(r"WARNING - \[core\] refused a message of \S+: its key \S+ is not listed in authorized_clients")
        self.wait_seen(self.central, 3)

    def test_a_right_pair_of_its_own_serves_and_one_that_others_can_read_is_a_warning(self):
        private = self.file("own.priv.pem", self.good_private.read_bytes())
        os.chmod(private, 0o644)
        self.central.nodes(self.poller.node(2, client_privkey=private, client_pubkey=self.file("own.pub.pem", self.good_public.read_bytes()),
                                            server_pubkey=str(self.poller.public_key)))
        self.central.start()
        self.wait_seen(self.central, 2)
        warning = rf"WARNING - .*127\.0\.0\.1:{self.poller.port}: client_privkey: users beyond its owner and its group can read {private}; expected mode 0600"
        self.central.wait_log(warning)
        self.central.stop()
        os.chmod(private, 0o640)
        self.central.start()
        self.wait_seen(self.central, 2)
        self.assertNotRegex(self.central.log(), warning)


if __name__ == "__main__":
    unittest.main()
