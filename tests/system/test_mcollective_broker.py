"""The broker for MCollective's connector, module mcollective: every verb, header and fault of its protocol, by an independent client."""
import json
import re
import unittest
import uuid

import zmq

from fleet import eventually, gorgonectl
from mc0 import BrokerCase, Client, NO_KEYS
from pace import SLOWNESS


def gets_nowhere(client):
    """libzmq keeps what is sent until it is let in, or takes nothing where it was refused."""
    try:
        client.socket.send_multipart([b"", b"CONNECT", b"ID", b"1", b"TTL", b"30000"], zmq.DONTWAIT)
    except zmq.Again:
        pass
    return client.read(1) is None


class Verbs(BrokerCase):
    def setUp(self):
        self.mc = self.broker()

    def test_request_and_reply_go_through_as_between_client_and_servers(self):
        servers = [self.client(self.mc, f"web{i}", ["mcollective ping", f"mcollective nodes web{i}"]) for i in range(3)]
        caller = self.client(self.mc, "admin", ["mcollective reply admin 1"])
        caller.put("mcollective ping", "who is there", reply_to="mcollective reply admin 1")
        for server in servers:
            verb, headers, body = server.message()
            self.assertEqual((verb, headers, body), ("MESSAGE", {"TOPIC": "mcollective ping", "X-REPLY-TO": "mcollective reply admin 1"}, [b"who is there"]))
            server.put(headers["X-REPLY-TO"], server.name.split()[0].decode())
        self.assertEqual(sorted(caller.bodies(3)), ["web0", "web1", "web2"])
        caller.put("mcollective nodes web1", "you")
        self.assertEqual(servers[1].bodies(1), ["you"])
        self.assertTrue(servers[0].hears_nothing(0.3))

    def test_all_headers_but_the_id_and_all_frames_of_the_body_come_through(self):
        listener = self.client(self.mc, "l", ["t"])
        sender = self.client(self.mc, "s")
        sender.ok("PUT", [("Z", "1"), ("TOPIC", "t"), ("EMPTY", ""), ("A", "é")], [b"", b"\x00\xff", b"", b"end"])
        verb, headers, body = listener.message()
        self.assertEqual(headers, {"Z": "1", "TOPIC": "t", "EMPTY": "", "A": "é"})
        self.assertEqual(body, [b"", b"\x00\xff", b"", b"end"])

    def test_the_order_of_headers_is_free_and_an_empty_id_is_an_id(self):
        client = self.client(self.mc, connect=False)
        client.send("CONNECT", [("VERSION", ""), ("TTL", "30000"), ("ID", "")])
        self.assertEqual(client.read(), ("OK", {"ID": ""}, []))
        client.send("SUB", [("X", "y"), ("ID", "7")], ["t"])
        self.assertEqual(client.read(), ("OK", {"ID": "7"}, []))

    def test_commands_without_an_id_are_not_answered_and_work(self):
        client = self.client(self.mc, connect=False)
        client.send("CONNECT", {"TTL": "30000"})
        client.send("SUB", body=["t", "u"])
        client.send("UNSUB", body=["t"])
        client.put("t", "not heard")
        client.put("u", "heard")
        self.assertEqual(client.bodies(1), ["heard"])

    def test_unsub_ends_a_subscription_and_what_was_never_subscribed_is_no_fault(self):
        client = self.client(self.mc, topics=["t", "u"])
        client.ok("UNSUB", body=["t", "never"])
        client.put("t", "1")
        client.put("u", "2")
        self.assertEqual(client.bodies(1), ["2"])
        self.assertTrue(client.hears_nothing())

    def test_disconnect_ends_the_session_and_connect_begins_another(self):
        client = self.client(self.mc, topics=["t"])
        client.send("DISCONNECT")
        self.wait_sessions(self.mc, 0)
        client.connect()
        other = self.client(self.mc, "other")
        other.put("t", "x")
        self.assertTrue(client.hears_nothing())

    def test_a_message_of_64_megabytes_comes_through(self):
        listener, sender = self.client(self.mc, "l", ["t"]), self.client(self.mc, "s")
        body = bytes(range(256)) * 250000
        sender.ok("PUT", {"TOPIC": "t"}, [body], timeout=60)
        self.assertEqual(listener.message(60)[2], [body])

    def test_a_hundred_thousand_topics_are_subscribed_and_found(self):
        self.mc.stop()
        self.mc.options["topics_max"] = 100000
        self.mc.save()
        self.mc.start()
        listener, sender = self.client(self.mc, "l"), self.client(self.mc, "s")
        topics = [f"mcollective nodes node{i}" for i in range(100000)]
        for at in range(0, len(topics), 10000):
            listener.ok("SUB", body=topics[at:at + 10000], timeout=30)
        self.assertIn("too many topics", listener.refused("SUB", body=["one more"]))
        for i in (0, 1, 55555, 99999):
            sender.put(topics[i], str(i))
        self.assertEqual(listener.bodies(4), ["0", "1", "55555", "99999"])
        self.assertEqual(self.mc.status()["topics"], {"topics": 100000, "subscriptions": 100000})
        listener.ok("UNSUB", body=topics, timeout=30)
        self.assertEqual(self.mc.status()["topics"], {"topics": 0, "subscriptions": 0})


class Faults(BrokerCase):
    def setUp(self):
        self.mc = self.broker()
        self.witness = self.client(self.mc, "witness", ["w"])

    def unharmed(self):
        """The one who did nothing wrong notices nothing."""
        self.witness.put("w", "still here")
        self.assertEqual(self.witness.bodies(1), ["still here"])

    def test_malformed_messages_are_answered_error_and_end_nothing(self):
        client = self.client(self.mc, "odd")
        identity = str(uuid.uuid4())
        with_id = [["", "HELLO", "ID", identity], ["", "", "ID", identity], ["", "connect", "ID", identity], ["", "PUT", "ID", identity],
                   ["", "PUT", "ID", identity, "TOPIC", "", "", "x"], ["", "PUT", "ID", identity, "TOPIC"], ["", "SUB", "ID", identity],
                   ["", "SUB", "ID", identity, ""], ["", "SUB", "ID", identity, "", ""], ["", "SUB", "ID", identity, "", "t", ""],
                   ["", "SUB", "ID", identity, "", "x" * 256], ["", "UNSUB", "ID", identity], ["", "PUT", "ID", identity, "TOPIC", "a", "TOPIC", "b"],
                   ["", "PUT", "ID", identity, *(["K", "v"] * 100)], ["", "PUT", "ID", identity, "TOPIC", "t" * 70000],
                   ["", "CONNECT", "ID", identity, "TTL", "-1"], ["", "CONNECT", "ID", identity, "TTL", "9" * 40],
                   ["", "CONNECT", "ID", identity, "TTL", "1e3"], ["", "MESSAGE", "ID", identity, "TOPIC", "w", "", "x"], ["", "OK", "ID", identity],
                   ["", "ERROR", "ID", identity, "MESSAGE", "no"], ["", b"\xff\xfe", "ID", identity], ["", "NOOP", "ID", identity, "ODD"],
                   ["", "CONNECT", "ID", identity, "TTL", "0x10"]]
        for frames in with_id:
            client.raw(*frames)
            came = client.read()
            self.assertIsNotNone(came, frames[:6])
            self.assertEqual((came[0], came[1].get("ID"), bool(came[1].get("MESSAGE"))), ("ERROR", identity, True), frames[:6])
        without_id = [[""], ["", ""], ["x"], ["", "PUT"], ["CONNECT", "ID", "1"], ["", "ID"], ["", "SUB", "ID"], ["", "", "", ""], [b"\x00"] * 3, ["", "sub", "", "t"],
                      ["", "DISCONNECT", "ID"]]
        self.assertEqual(len(with_id) + len(without_id), 35)
        for frames in without_id:
            client.raw(*frames)
            came = client.read()
            self.assertIsNotNone(came, frames)
            self.assertEqual((came[0], "ID" in came[1]), ("ERROR", False), frames)
        client.connect("t")
        client.put("t", "x")
        self.assertEqual(client.bodies(1), ["x"])
        self.unharmed()
        self.assertGreaterEqual(self.mc.status()["refused"]["malformed"], 15)

    def test_many_frames_and_deep_floods_of_faults_harm_nobody(self):
        client = self.client(self.mc, "flood")
        client.raw("", "PUT", "TOPIC", "w", "", *([""] * 100000))
        self.assertEqual(len(self.witness.message(10)[2]), 100000)
        for _ in range(5000):
            client.raw("", "X")
        self.assertEqual(client.read()[0], "ERROR")
        self.unharmed()

    def test_whoever_does_not_say_connect_is_told_and_closed(self):
        stranger = self.client(self.mc, "stranger", connect=False)
        self.assertIn("CONNECT", stranger.refused("SUB", body=["t"]))
        eventually(lambda: self.mc.status()["clients"]["connections"] == 1 or "not connected" in self.mc.log(), 5, "the close")
        # Its socket comes back by itself and may begin as it should.
        stranger.connect("t")
        self.unharmed()

    def test_a_client_without_an_identity_is_served_under_one_of_its_own(self):
        first, second = (self.client(self.mc, name=b"", topics=["t"]) for _ in range(2))
        first.put("t", "x")
        self.assertEqual((first.bodies(1), second.bodies(1)), (["x"], ["x"]))
        first.close()
        self.wait_sessions(self.mc, 2)

    def test_no_key_a_wrong_server_key_and_a_plain_client_get_nowhere(self):
        public, _ = zmq.curve_keypair()
        wrong = self.client(self.mc, "wrong", connect=False, server_key=public)
        plain = Client(self.mc, "plain", curve=False)
        self.addCleanup(plain.close)
        for client in (wrong, plain):
            self.assertTrue(gets_nowhere(client))
        self.assertEqual(self.mc.sessions(), 1)
        self.unharmed()

    def test_the_right_server_key_without_a_key_pair_of_its_own_lets_nobody_in(self):
        nothing = b"0" * 40  # 32 bytes of zeros, which libzmq shows where it was given none
        public, secret = zmq.curve_keypair()
        pairs = {"zeros": (nothing, nothing), "no public key": (nothing, secret), "no secret key": (public, nothing), "none": NO_KEYS}
        for what, keys in pairs.items():
            stranger = Client(self.mc, "stranger", keys=keys)
            self.addCleanup(stranger.close)
            self.assertTrue(gets_nowhere(stranger), what)
        self.assertEqual(self.mc.sessions(), 1)
        self.mc.wait_log("does not prove to have the secret of the key that it shows")
        self.unharmed()

    def test_with_curve_off_plain_clients_are_served_and_others_are_not(self):
        plain = self.broker("plain", curve=False)
        client = self.client(plain, "a", ["t"])
        client.put("t", "x")
        self.assertEqual(client.bodies(1), ["x"])
        curve = Client(plain, "curve", server_key=self.mc.mc_public_key(), curve=True)
        self.addCleanup(curve.close)
        self.assertTrue(gets_nowhere(curve))


class Limits(BrokerCase):
    def test_clients_over_the_limit_are_told_so_and_those_who_are_in_are_not_touched(self):
        mc = self.broker(clients_max=2)
        clients = [self.client(mc, f"c{i}", ["t"]) for i in range(2)]
        third = self.client(mc, "third", connect=False)
        self.assertIn("busy", third.refused("CONNECT", {"TTL": "30000"}))
        clients[0].put("t", "x")
        self.assertEqual(clients[1].bodies(1), ["x"])
        clients[0].send("DISCONNECT")
        self.wait_sessions(mc, 1)
        third.connect("t")

    def test_topics_and_sizes_over_their_limits_are_refused_and_what_just_fits_is_not(self):
        mc = self.broker(topics_max=3, topic_length_max=10, max_message_size=100000)
        client = self.client(mc, topics=["1", "2"])
        self.assertIn("too many topics", client.refused("SUB", body=["3", "4"]))
        client.ok("SUB", body=["3", "2", "1"])
        self.assertIn("a topic of 11 bytes", client.refused("PUT", {"TOPIC": "x" * 11}, ["b"]))
        self.assertIn("a body of 100001 bytes", client.refused("PUT", {"TOPIC": "1"}, [b"x" * 100001]))
        client.put("1", b"x" * 100000)
        self.assertEqual(len(client.message()[2][0]), 100000)
        client.raw("", "PUT", "TOPIC", "1", "", b"x" * 3000000)
        self.assertIsNone(client.message(1))
        other = self.client(mc, "other", ["1"])
        other.put("1", "fine")
        self.assertEqual(other.bodies(1), ["fine"])

    def test_status_tells_of_clients_topics_and_messages(self):
        mc = self.broker()
        client = self.client(mc, "web1", ["t", "u"])
        client.put("t", "x")
        client.put("nobody", "x")
        self.assertEqual(client.bodies(1), ["x"])
        status = mc.status()
        self.assertEqual(status["messages"]["put"], 2)
        self.assertEqual(status["messages"]["delivered"], 1)
        self.assertEqual(status["messages"]["dropped"]["unheard"], 1)
        row, = mc.ask_api("clients")["clients"]
        self.assertEqual({key: row[key] for key in ("identity", "routing_id", "version", "ttl_ms", "topics", "connected", "key")},
                         {"identity": "web1", "routing_id": client.name.decode(), "version": "0.2", "ttl_ms": 30000, "topics": 2, "connected": True,
                          "key": client.keys[0].decode()})
        self.assertLess(row["last_heard_s"], 5 * SLOWNESS)
        self.assertEqual(mc.ask_api("clients", "nobody")["clients"], [])
        self.assertEqual(sorted((topic["topic"], topic["subscribers"]) for topic in mc.ask_api("topics")["topics"]), [("t", 1), ("u", 1)])
        self.assertEqual(status["public_key"].encode(), mc.mc_public_key())
        self.assertIn("access", mc.ask_api("access"))

    def test_gorgonectl_shows_what_the_api_tells(self):
        mc = self.broker()
        client = self.client(mc, "web1", ["mcollective ping"])
        api = ("--api", f"http://127.0.0.1:{mc.http_port}")
        shown = gorgonectl("mcollective", "clients", *api).splitlines()
        self.assertEqual(shown[0].split()[:3], ["IDENTITY", "ADDRESS", "STATE"])
        # Its key has no name here, so the key itself is shown.
        self.assertRegex(shown[1], r"^web1 +127\.0\.0\.1:\d+ +up +" + re.escape(client.keys[0].decode()[:10]) + "…")
        self.assertEqual(gorgonectl("mcollective", "clients", "nobody", *api).splitlines()[1:], [])
        self.assertRegex(gorgonectl("mcollective", "topics", *api), r"\nmcollective ping +1 +false\n")
        status = gorgonectl("mcollective", "status", *api)
        self.assertRegex(status, r"(?m)^clients\.sessions +1$")
        self.assertRegex(status, r"(?m)^since +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(json.loads(gorgonectl("mcollective", "status", "--json", *api))["clients"]["sessions"], 1)
        self.assertTrue(gorgonectl("mcollective", "queues", *api).startswith("TOPIC"))
        client.close()


if __name__ == "__main__":
    unittest.main()
