"""Who may use the MCollective broker: listed and pinned keys, certificates, rules for topics, and taking all of it back while clients are
connected."""
import datetime
import json
import sqlite3
import subprocess
import time
import unittest

import zmq

from fleet import BIN, eventually, gorgonectl
from mc0 import BrokerCase
from pace import SLOWNESS

REVOCATION_LIMIT_S = 5


class Line:
    """Tells when a client's connection was ended, by the socket's own word."""

    def __init__(self, case, client):
        self.monitor = client.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        case.addCleanup(self.monitor.close)

    def is_cut(self, limit_s=REVOCATION_LIMIT_S):
        return self.monitor.poll(limit_s * 1000 * SLOWNESS) != 0


class AccessCase(BrokerCase):
    def setUp(self):
        self.place = self.directory / "access"
        self.place.mkdir()
        self.list_file = self.place / "authorized_keys"

    # Keys and lists

    def keys(self, name):
        """A client's pair; the public one is in a file of that name as well."""
        pair = zmq.curve_keypair()
        (self.place / f"{name}.public").write_bytes(pair[0] + b"\n")
        return pair

    def write_list(self, *lines):
        """Each line a key and what follows it."""
        self.list_file.write_text("".join(f"{key.decode()} {rest}\n" for key, rest in lines))

    def listed(self, *lines, **options):
        self.write_list(*lines)
        return self.broker(clients="listed", authorized_keys=str(self.list_file), **options)

    # Certificates

    def authority(self, name="ca"):
        gorgonectl("mcollective", "ca", "--directory", str(self.place / name))
        return self.place / name

    def certified(self, **options):
        """A broker that lets in who has a certificate."""
        self.ca = self.authority()
        return self.broker(clients="listed", certificate_authority=str(self.ca / "ca.public"),
                           certificates=str(self.place / "certificates"), revoked=str(self.place / "revoked"), **options)

    def sign(self, name, identity, *arguments, ca=None):
        return gorgonectl("mcollective", "sign", "--ca", str(ca or self.ca), "--key", str(self.place / f"{name}.public"), "--identity",
                          identity, *arguments)

    def connect_with(self, client, certificate):
        client.ok("CONNECT", {"TTL": "30000", "CERTIFICATE": certificate})
        return client

    def refusal(self, broker, identity, keys, certificate=None):
        """The ERROR that a CONNECT is answered."""
        client = self.client(broker, identity, keys=keys, connect=False)
        headers = {"TTL": "30000"} if certificate is None else {"TTL": "30000", "CERTIFICATE": certificate}
        try:
            return client.refused("CONNECT", headers)
        finally:
            client.close()


class Listed(AccessCase):
    def test_a_key_that_is_taken_from_the_list_loses_its_connection_within_5_s_and_the_others_keep_theirs(self):
        stays, goes = self.keys("stays"), self.keys("goes")
        mc = self.listed((stays[0], "stays"), (goes[0], "goes"))
        kept, lost = self.client(mc, "a", ["t"], keys=stays), self.client(mc, "b", ["t"], keys=goes)
        lost.put("t", "before")
        self.assertEqual(kept.bodies(1), ["before"])
        lines = [Line(self, lost), Line(self, kept)]
        self.write_list((stays[0], "stays"))
        self.assertTrue(lines[0].is_cut())
        self.assertFalse(self.is_in(mc, "b", goes))
        kept.put("t", "after")
        self.assertEqual(kept.bodies(1), ["after"])
        self.assertFalse(lines[1].is_cut(0))
        self.assertEqual(mc.sessions(), 1)

    def test_a_key_that_is_added_while_the_broker_runs_is_let_in_and_a_bad_line_is_told_and_harms_nobody(self):
        first, second = self.keys("first"), self.keys("second")
        mc = self.listed((first[0], "first"))
        self.assertFalse(self.is_in(mc, "b", second))
        connected = self.client(mc, "a", ["t"], keys=first)
        self.write_list((first[0], "first"), (b"no-key", "odd"), (second[0], "second"))
        eventually(lambda: self.is_in(mc, "b", second), 20, "the new key")
        mc.wait_log(r"authorized_keys:2: passed over")
        connected.put("t", "x")
        self.assertEqual(connected.bodies(1), ["x"])

    def test_a_listed_key_is_refused_under_an_identity_that_is_not_its_own(self):
        web1 = self.keys("web1")
        mc = self.listed((web1[0], "web1 identity=web1"))
        self.assertFalse(self.is_in(mc, "web2", web1))
        self.assertTrue(self.is_in(mc, "web1", web1))

    def test_the_topics_of_a_key_s_line_are_all_it_may_use(self):
        web1 = self.keys("web1")
        mc = self.listed((web1[0], 'web1 allow_publish="* reply **" allow_subscribe="* *,* nodes %i"'))
        client = self.client(mc, "web1", ["mcollective discovery", "mcollective nodes web1"], keys=web1)
        self.assertIn("not allowed", client.refused("SUB", body=["mcollective nodes web2"]))
        self.assertIn("not allowed", client.refused("PUT", {"TOPIC": "mcollective nodes web2"}, ["x"]))
        client.ok("PUT", {"TOPIC": "mcollective reply admin 1"}, ["x"])
        self.assertGreaterEqual(mc.status()["refused"]["not_allowed"], 2)

    def test_a_subscription_that_a_change_forbids_ends_and_the_connection_stays(self):
        web1, admin = self.keys("web1"), self.keys("admin")
        mc = self.listed((web1[0], "web1"), (admin[0], "admin"))
        node = self.client(mc, "web1", ["mcollective nodes web1", "mcollective nodes web2"], keys=web1)
        caller = self.client(mc, "admin", keys=admin)
        self.write_list((web1[0], 'web1 allow_subscribe="* nodes %i"'), (admin[0], "admin"))
        eventually(lambda: mc.status()["topics"]["subscriptions"] == 1, REVOCATION_LIMIT_S, "the end of the subscription")
        caller.put("mcollective nodes web2", "not for you")
        caller.put("mcollective nodes web1", "for you")
        self.assertEqual(node.bodies(1), ["for you"])

    def test_each_file_of_a_directory_lets_in_its_key(self):
        web1 = self.keys("web1")
        folder = self.place / "keys"
        folder.mkdir()
        (folder / "web1.public").write_bytes(web1[0])
        mc = self.broker(clients="listed", authorized_keys=str(folder))
        line = Line(self, self.client(mc, "web1", keys=web1))
        self.assertEqual(mc.ask_api("access")["access"]["keys"][0]["name"], "web1")
        (folder / "web1.public").unlink()
        self.assertTrue(line.is_cut())
        self.assertFalse(self.is_in(mc, "web1", web1))

    def test_among_twenty_thousand_key_files_one_that_is_removed_lets_nobody_in_within_5_s(self):
        folder = self.place / "keys"
        folder.mkdir()
        for number in range(20_000):
            (folder / f"node{number}.public").write_bytes(b"%040d" % number)
        goes, stays = self.keys("goes"), self.keys("stays")
        for name, pair in (("goes", goes), ("stays", stays)):
            (folder / f"{name}.public").write_bytes(pair[0])
        mc = self.broker(clients="listed", authorized_keys=str(folder))
        lines = [Line(self, self.client(mc, "web1", keys=pair)) for pair in (goes, stays)]
        self.pause(3)  # looks are seldom by then
        (folder / "goes.public").unlink()
        self.assertTrue(lines[0].is_cut())
        self.assertFalse(self.is_in(mc, "web1", goes))
        self.assertFalse(lines[1].is_cut(0))

    def test_rules_of_the_configuration_go_by_the_name_of_the_key_and_not_by_what_its_client_says(self):
        web1, admin = self.keys("web1"), self.keys("admin")
        rules = [{"clients": "admin", "allow_publish": ["**"]}, {"clients": "web*", "allow_publish": ["* reply **"]}]
        mc = self.listed((web1[0], "web1"), (admin[0], "admin"), topics=rules)
        pretender = self.client(mc, "admin", keys=web1)
        self.assertIn("not allowed", pretender.refused("PUT", {"TOPIC": "mcollective nodes web2"}, ["x"]))
        self.client(mc, "admin", keys=admin).ok("PUT", {"TOPIC": "mcollective nodes web2"}, ["x"])


class First(AccessCase):
    def test_an_identity_belongs_to_the_key_that_used_it_first_over_restarts_until_it_is_trusted_anew(self):
        mc = self.broker(clients="first")
        first, second = self.keys("first"), self.keys("second")
        self.client(mc, "web1", keys=first)
        self.assertFalse(self.is_in(mc, "web1", second))
        line = mc.wait_log(r"web1 is pinned to key (.{8}).* and came with key (.{8})")
        self.assertEqual([line[1].encode(), line[2].encode()], [first[0][:8], second[0][:8]])
        self.assertTrue(self.is_in(mc, "web2", second))
        mc.stop()
        mc.start()
        self.assertFalse(self.is_in(mc, "web1", second))
        connected = self.client(mc, "web1", keys=first)
        line = Line(self, connected)
        said = gorgonectl("mcollective", "trust", "web1", "--api", f"http://127.0.0.1:{mc.http_port}")
        self.assertIn("web1", said)
        self.assertTrue(line.is_cut())
        self.assertFalse(self.is_in(mc, "web1", first))
        self.assertTrue(self.is_in(mc, "web1", second))
        self.assertFalse(self.is_in(mc, "web1", first))

    def test_trust_in_an_identity_that_has_no_pin_is_an_error(self):
        mc = self.broker(clients="first")
        done = subprocess.run([BIN / "gorgonectl", "mcollective", "trust", "nobody", "--api", f"http://127.0.0.1:{mc.http_port}"],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("nobody: no key is pinned", done.stderr)


    def test_thousands_of_pins_are_told_in_rows_of_a_thousand_and_shown_as_one_list(self):
        mc = self.broker(clients="first")
        mc.stop()
        with sqlite3.connect(mc.database) as database:
            database.executemany("INSERT INTO gorgone_kept VALUES ('mcollective.pin', ?, CAST(? AS BLOB))",
                                 [(f"web{number}", "k" * 40) for number in range(2500)])
        database.close()
        mc.start()
        rows = [json.loads(row["data"]) for row in mc.api().get("/api/mcollective/access?log_wait=10000000")["data"]]
        counts = [len(row["access"]["pins"]) for row in rows if "pins" in row.get("access", {})]
        self.assertEqual((sum(counts), max(counts)), (2500, 1000))
        self.assertEqual(len(mc.ask_api("access")["access"]["pins"]), 2500)
        said = json.loads(gorgonectl("mcollective", "list", "--json", "--api", f"http://127.0.0.1:{mc.http_port}"))
        self.assertEqual({pin["identity"] for pin in said["pins"]}, {f"web{number}" for number in range(2500)})
        self.assertEqual(said["clients"], "first")


class Certificates(AccessCase):
    def test_a_client_that_brings_its_certificate_may_do_what_it_says_and_nothing_else(self):
        mc = self.certified()
        web1 = self.keys("web1")
        text = self.sign("web1", "web*", "--publish", "* reply **", "--subscribe", "* *", "--subscribe", "* nodes %i")
        client = self.client(mc, "web1", keys=web1, connect=False)
        self.connect_with(client, text)
        client.ok("SUB", body=["mcollective nodes web1"])
        client.ok("PUT", {"TOPIC": "mcollective reply admin 1"}, ["x"])
        self.assertIn("not allowed", client.refused("PUT", {"TOPIC": "mcollective nodes web2"}, ["x"]))
        self.assertIn("not allowed", client.refused("SUB", body=["mcollective nodes web2"]))
        self.assertFalse(self.is_in(mc, "db1", web1))

    def test_a_key_without_a_certificate_may_connect_for_one_and_do_nothing_else(self):
        mc = self.certified()
        web1 = self.keys("web1")
        self.assertIn("certificate", self.refusal(mc, "web1", web1))
        client = self.client(mc, "web1", keys=web1, connect=False)
        self.assertIn("not connected", client.refused("PUT", {"TOPIC": "t"}, ["x"]))
        self.assertEqual(mc.sessions(), 0)

    def test_certificates_that_are_forged_foreign_ended_early_or_somebody_else_s_are_refused(self):
        mc = self.certified()
        web1, db1 = self.keys("web1"), self.keys("db1")
        good = self.sign("web1", "web1", "--publish", "* reply **")
        foreign = self.sign("web1", "web1", ca=self.authority("other"))
        ended = self.sign("web1", "web1", "--from", "2020-01-01T00:00:00Z", "--for", "1h")
        later = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        early = self.sign("web1", "web1", "--from", later)
        for what, text, expected in [("forged", good.replace("* reply **", "**"), "signature"),
                                     ("cut", good[:200], "certificate"),
                                     ("not at all", "", "first line"),
                                     ("foreign", foreign, "not trusted"),
                                     ("foreign under our name", foreign.replace(line_of(foreign, "issuer"), line_of(good, "issuer")), "signature"),
                                     ("ended", ended, "has ended"),
                                     ("early", early, "without a certificate")]:
            self.assertIn(expected, self.refusal(mc, "web1", web1, text), what)
        self.assertIn("without a certificate", self.refusal(mc, "db1", db1, good))
        self.assertEqual(mc.sessions(), 0)
        # The certificate was good, for its own key.
        self.client(mc, "web1", keys=web1)
        self.assertFalse(self.is_in(mc, "web2", web1))

    def test_a_connection_ends_when_its_certificate_does(self):
        mc = self.certified()
        web1 = self.keys("web1")
        text = self.sign("web1", "web1", "--for", "8s")
        ends = datetime.datetime.strptime(line_of(text, "not_after"), "not_after: %Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)
        client = self.client(mc, "web1", keys=web1, connect=False)
        self.connect_with(client, text)
        client.ok("SUB", body=["t"])
        self.assertTrue(Line(self, client).is_cut(12))
        late = time.time() - ends.timestamp()
        self.assertGreaterEqual(late, 0)
        self.assertLess(late, 2 * SLOWNESS)
        self.assertIn("without a certificate", self.refusal(mc, "web1", web1))

    def test_a_certificate_of_a_file_or_the_api_lets_its_key_in_and_holds_after_a_restart(self):
        mc = self.certified()
        filed, sent = self.keys("filed"), self.keys("sent")
        (self.place / "certificates").mkdir()
        self.sign("filed", "web1", "--out", str(self.place / "certificates" / "web1"))
        self.sign("sent", "web2", "--submit", f"http://127.0.0.1:{mc.http_port}")
        self.assertTrue(self.is_in(mc, "web2", sent))
        eventually(lambda: self.is_in(mc, "web1", filed), 2 * REVOCATION_LIMIT_S, "the file")
        states = {entry["identity"]: entry["state"] for entry in mc.ask_api("access")["access"]["certificates"]}
        self.assertEqual(states, {"web1": "valid", "web2": "valid"})
        said = gorgonectl("mcollective", "list", "--api", f"http://127.0.0.1:{mc.http_port}")
        self.assertIn(sent[0].decode(), said)
        self.assertIn(filed[0].decode(), said)
        mc.stop()
        mc.start()
        by_file, by_api = self.client(mc, "web1", keys=filed), self.client(mc, "web2", keys=sent)
        line = Line(self, by_file)
        (self.place / "certificates" / "web1").unlink()
        self.assertTrue(line.is_cut())
        by_api.ok("SUB", body=["t"])

    def test_revoking_ends_open_connections_within_5_s_by_file_and_by_the_api(self):
        mc = self.certified()
        pairs = {name: self.keys(name) for name in ("one", "two", "three")}
        texts = {name: self.sign(name, name) for name in pairs}
        clients = {name: self.connect_with(self.client(mc, name, keys=pairs[name], connect=False), texts[name]) for name in pairs}
        lines = {name: Line(self, client) for name, client in clients.items()}
        gorgonectl("mcollective", "revoke", "--ca", str(self.ca), "--list", str(self.place / "revoked"), str(self.place / "one.public"))
        self.assertTrue(lines["one"].is_cut())
        self.assertFalse(self.is_in(mc, "one", pairs["one"]))
        serial = line_of(texts["two"], "serial").split()[1]
        gorgonectl("mcollective", "revoke", "--ca", str(self.ca), "--list", str(self.place / "revoked"), serial, "--submit",
                   f"http://127.0.0.1:{mc.http_port}")
        self.assertTrue(lines["two"].is_cut())
        self.assertFalse(lines["three"].is_cut(0))
        self.assertIn("revoked", self.refusal(mc, "two", pairs["two"], texts["two"]))
        clients["three"].ok("SUB", body=["t"])
        # Another certificate for the key whose old one was taken back.
        again = self.client(mc, "two", keys=pairs["two"], connect=False)
        self.connect_with(again, self.sign("two", "two"))

    def test_what_is_taken_off_the_list_of_revocations_is_let_in_again_and_what_stays_on_it_is_not(self):
        mc = self.certified()
        pairs = {name: self.keys(name) for name in ("one", "two")}
        texts = {name: self.sign(name, name) for name in pairs}
        line = Line(self, self.connect_with(self.client(mc, "one", keys=pairs["one"], connect=False), texts["one"]))
        revoke = lambda *what: gorgonectl("mcollective", "revoke", "--ca", str(self.ca), "--list", str(self.place / "revoked"), *what)
        serial = line_of(texts["one"], "serial").split()[1]
        self.assertIn("1 keys and 1 certificates", revoke(str(self.place / "two.public"), serial))
        self.assertTrue(line.is_cut())
        self.assertIn("revoked", self.refusal(mc, "one", pairs["one"], texts["one"]))
        self.assertIn("1 keys and 0 certificates", revoke("--undo", serial))

        def is_back():
            client = self.client(mc, "one", keys=pairs["one"], connect=False)
            try:
                return client.ask("CONNECT", {"TTL": "30000", "CERTIFICATE": texts["one"]})[0] == "OK"
            finally:
                client.close()
        eventually(is_back, 2 * REVOCATION_LIMIT_S, "the certificate to be taken again")
        self.assertFalse(self.is_in(mc, "two", pairs["two"]))
        before = (self.place / "revoked").read_text()
        done = subprocess.run([BIN / "gorgonectl", "mcollective", "revoke", "--ca", self.ca, "--list", self.place / "revoked", "--undo", serial],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{serial} is not in it", done.stderr)
        self.assertEqual((self.place / "revoked").read_text(), before)

    def test_list_tells_of_a_certificate_in_a_file_whether_the_operator_s_key_has_signed_it(self):
        self.ca = self.authority()
        self.keys("web1")
        self.sign("web1", "web*", "--publish", "* reply **", "--out", str(self.place / "good"))
        text = (self.place / "good").read_text()
        serial = line_of(text, "serial").split()[1]
        forged, foreign, ended = (self.place / name for name in ("forged", "foreign", "ended"))
        forged.write_text(text.replace("web*", "db*"))
        self.sign("web1", "web1", "--out", str(foreign), ca=self.authority("other"))
        self.sign("web1", "web1", "--from", "2020-01-01T00:00:00Z", "--for", "1h", "--out", str(ended))
        listed = lambda *arguments: gorgonectl("mcollective", "list", *arguments)
        said = listed("--ca", str(self.ca), str(self.place / "good"))
        for expected in ("good: valid\n", f"serial   {serial}\n", "identity web*\n", "publish  * reply **\n"):
            self.assertIn(expected, said)
        self.assertRegex(listed("--ca", str(self.ca), str(forged)), "forged: .*signature")
        self.assertRegex(listed("--ca", str(self.ca), str(foreign)), "foreign: .*not trusted")
        self.assertIn("ended: ended\n", listed("--ca", str(self.ca), str(ended)))
        # Without the operator's key nothing is said of who signed it.
        self.assertIn("forged: valid, signature not looked at (--ca)\n", listed(str(forged)))

    def test_of_revocations_that_are_made_at_the_same_time_none_is_lost(self):
        ca = self.authority()
        serials = [f"{number:020x}" for number in range(1, 25)]
        running = [subprocess.Popen([BIN / "gorgonectl", "mcollective", "revoke", "--ca", str(ca), serial], stdout=subprocess.DEVNULL)
                   for serial in serials]
        self.assertEqual([process.wait(30 * SLOWNESS) for process in running], [0] * len(serials))
        listed = (ca / "revoked").read_text()
        self.assertEqual([serial for serial in serials if serial not in listed], [])

    def test_a_revoked_key_is_refused_where_any_key_is_let_in(self):
        ca = self.authority()
        bad, good = self.keys("bad"), self.keys("good")
        gorgonectl("mcollective", "revoke", "--ca", str(ca), str(self.place / "bad.public"))
        mc = self.broker(certificate_authority=str(ca / "ca.public"), revoked=str(ca / "revoked"))
        self.assertFalse(self.is_in(mc, "web1", bad))
        self.assertTrue(self.is_in(mc, "web1", good))

    def test_a_list_that_is_begun_anew_because_its_file_was_lost_revokes(self):
        mc = self.certified()
        self.keys("one")
        two = self.keys("two")
        client = self.connect_with(self.client(mc, "two", keys=two, connect=False), self.sign("two", "two"))
        api = f"http://127.0.0.1:{mc.http_port}"
        for _ in range(3):
            gorgonectl("mcollective", "revoke", "--ca", str(self.ca), str(self.place / "one.public"), "--submit", api)
        (self.ca / "revoked").unlink()
        time.sleep(3.1)  # numbers are seconds at least, and three were given in one perhaps
        line = Line(self, client)
        gorgonectl("mcollective", "revoke", "--ca", str(self.ca), str(self.place / "two.public"), "--submit", api)
        self.assertTrue(line.is_cut())

    def test_a_list_of_revocations_that_somebody_else_signed_or_changed_revokes_nothing(self):
        mc = self.certified()
        web1 = self.keys("web1")
        client = self.connect_with(self.client(mc, "web1", keys=web1, connect=False), self.sign("web1", "web1"))
        other = self.authority("other")
        gorgonectl("mcollective", "revoke", "--ca", str(other), "--list", str(self.place / "revoked"), str(self.place / "web1.public"))
        mc.wait_log(r"revoked: list of revocations of an issuer that is not trusted here")
        client.ok("SUB", body=["t"])
        status, answer = mc.api().request("POST", "/api/mcollective/certificate?log_wait=10000000",
                                          {"certificate": (self.place / "revoked").read_text()})
        self.assertEqual(status, 200)
        self.assertIn("not trusted", json.dumps(answer))
        client.ok("SUB", body=["u"])


def line_of(text, name):
    """The line of that name in a certificate."""
    return next(line for line in text.splitlines() if line.startswith(name + ":"))


if __name__ == "__main__":
    unittest.main()
