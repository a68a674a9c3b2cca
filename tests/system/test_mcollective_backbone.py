"""Brokers of several agents joined by a cluster of three nats-servers: one MCollective network, whatever part of it is away."""
import itertools
import re
import unittest

import zmq

from fleet import eventually, gorgonectl
from mc0 import BrokerCase
from nats import NatsCluster
from nats_operator import Operator
from skew import IS_POSSIBLE, NEEDS, skewed
from wss_fleet import Certificates

REPLY = "mcollective reply web1 4711"
PATTERN = "mcollective reply * *"
STREAM = "mcollective_mcollective_reply_=2A_=2A"
AGENT = "mcollective rpcutil"


class BackboneCase(BrokerCase):
    user, password, token, servers, clocks, curve = None, None, None, 3, {}, False

    def certificate(self):
        """Of the servers; None: without TLS."""

    def trust(self):
        """The servers' operator; None: there is none."""

    def setUp(self):
        self.nats = NatsCluster(self.directory / "nats", self.servers, self.user, self.password, self.certificate(), self.trust(), self.token)
        self.addCleanup(self.nats.kill)
        self.nats.start()
        self.a, self.b = (self.joined(name) for name in "ab")

    def joined(self, name, **more):
        """A broker with a backbone."""
        login = {"backbone_user": self.user, "backbone_password": self.password} if self.user else {}
        if self.token:
            login = {"backbone_token": self.token}
        broker = self.make_broker(name, backbone=self.nats.urls, persistent=[{"topic": PATTERN, "bytes_max": 10_000_000}],
                                  backbone_replicas=self.servers, curve=self.curve, **login, **more)
        if name in self.clocks:
            skewed(broker, self.clocks[name])
        broker.start()
        self.wait_ready(broker)
        return broker

    def wait_ready(self, broker):
        """Until what is persistent goes into the streams."""
        eventually(lambda: broker.ask_api("queues")["queues"][0]["state"] == "up", 30, "the streams")

    def wait_up(self, broker, up=True, timeout=30):
        eventually(lambda: (broker.status()["backbone"]["state"] == "up") == up, timeout, f"the backbone {'up' if up else 'away'}")

    def reach(self, publisher, subscriber, *local):
        """Until NATS knows of the subscription, and all have read what was put to find that out."""
        numbers = itertools.count()

        def probe():
            publisher.put(AGENT, f"probe {next(numbers)}")
            return subscriber.message(0.3) is not None
        eventually(probe, 20, "a message")
        publisher.put(AGENT, "last probe")
        for client in (subscriber, *local):
            eventually(lambda: client.bodies(1) == ["last probe"], 10, "the last probe")

    def heard_nothing(self, publisher, topic, *clients):
        """Nothing came to them before a message that took the same way."""
        publisher.put(topic, "next")
        for client in clients:
            self.assertEqual(client.bodies(1, 10), ["next"])


class Backbone(BackboneCase):
    def test_what_is_put_at_one_broker_reaches_the_subscribers_at_all_once(self):
        here, there = self.client(self.a, "here", [AGENT]), self.client(self.b, "there", [AGENT])
        deaf = self.client(self.b, "deaf", ["mcollective other"])
        publisher = self.client(self.a, "publisher")
        self.reach(publisher, there, here)
        body = [b"one", b"", b"\x00\xff" * 1000]
        publisher.ok("PUT", [("TOPIC", AGENT), ("X-REPLY-TO", "mcollective reply publisher 1"), ("EMPTY", "")], body)
        expected = ("MESSAGE", {"TOPIC": AGENT, "X-REPLY-TO": "mcollective reply publisher 1", "EMPTY": ""}, body)
        self.assertEqual(there.message(), expected)
        self.assertEqual(here.message(), expected)
        self.heard_nothing(publisher, AGENT, here, there)
        self.heard_nothing(publisher, "mcollective other", deaf)
        there.ok("UNSUB", body=[AGENT])
        publisher.put(AGENT, "later")
        self.assertEqual(here.bodies(1), ["later"])
        self.assertTrue(there.hears_nothing())

    def test_a_nats_server_that_is_killed_and_comes_back_stops_nothing(self):
        subscriber, publisher = self.client(self.b, "there", [AGENT]), self.client(self.a, "publisher")
        for place in range(3):
            self.nats.kill(place)
            for broker in (self.a, self.b):
                self.wait_ready(broker)
            self.reach(publisher, subscriber)
            publisher.ok("PUT", {"TOPIC": REPLY}, [f"kept {place}"], timeout=20)
            self.nats.start(place)
        self.assertEqual(self.client(self.b, "web1", [REPLY]).bodies(3, 20), ["kept 0", "kept 1", "kept 2"])

    def test_streams_lie_on_the_configured_number_of_servers_and_give_what_they_hold_while_one_is_down(self):
        publisher = self.client(self.a, "publisher")
        publisher.ok("PUT", {"TOPIC": REPLY}, ["kept"], timeout=10)
        self.assertEqual(self.nats.streams(), ["mcollective-owners", STREAM])
        for name in self.nats.streams():
            about = self.nats.info(name)
            self.assertEqual((about["config"]["num_replicas"], len(about["cluster"].get("replicas", []))), (3, 2), name)
        # The message is in the stream, and in no journal from which it could come as well.
        in_journals = lambda: [queue for broker in (self.a, self.b) for queue in broker.ask_api("queues")["queues"] if queue.get("place") == "journal"]
        self.assertEqual((self.nats.stream(STREAM)["messages"], in_journals()), (1, []))
        self.a.stop()
        leader = self.nats.info(STREAM)["cluster"]["leader"]
        self.nats.kill(int(leader.removeprefix("n")))
        self.wait_ready(self.b)
        self.assertEqual(self.client(self.b, "web1", [REPLY]).bodies(1, 20), ["kept"])
        stream = self.b.ask_api("queues")["queues"][0]
        self.assertEqual((stream["stream"], stream["taken"]), (STREAM, 1))
        eventually(lambda: (self.nats.stream(STREAM) or {}).get("messages") == 0, 10, "an empty stream")

    def test_without_any_nats_server_local_clients_go_on_and_what_is_persistent_waits_and_comes_first(self):
        local, publisher = self.client(self.a, "local", [AGENT]), self.client(self.a, "publisher")
        publisher.ok("PUT", {"TOPIC": REPLY}, ["0"], timeout=10)
        self.nats.kill()
        for broker in (self.a, self.b):
            self.wait_up(broker, False)
        publisher.put(AGENT, "local")
        self.assertEqual(local.bodies(1), ["local"])
        for number in range(1, 51):
            publisher.ok("PUT", {"TOPIC": REPLY}, [str(number)])
        waiting = [queue for queue in self.a.ask_api("queues")["queues"] if queue.get("place") == "journal"]
        self.assertEqual([queue["messages"] for queue in waiting], [50])
        self.a.kill()
        self.a.start()
        owner = self.client(self.b, "web1", [REPLY])
        self.nats.start()
        self.wait_up(self.a)
        publisher = self.client(self.a, "publisher")
        publisher.ok("PUT", {"TOPIC": REPLY}, ["51"], timeout=10)
        self.assertEqual(owner.bodies(52, 30), [str(number) for number in range(52)])

    def test_nats_servers_that_hang_hold_up_no_put_for_long_and_nothing_is_lost_or_out_of_order(self):
        owner, publisher = self.client(self.b, "web1", [REPLY]), self.client(self.a, "publisher")
        local = self.client(self.a, "local", [AGENT])
        publisher.ok("PUT", {"TOPIC": REPLY}, ["0"], timeout=10)
        for place in range(3):
            self.nats.freeze(place)
        for number in range(1, 21):
            publisher.ok("PUT", {"TOPIC": REPLY}, [str(number)], timeout=10)
        publisher.put(AGENT, "local")
        self.assertEqual(local.bodies(1), ["local"])
        for place in range(3):
            self.nats.thaw(place)
        # What the servers had taken without being able to say so is stored once, for it comes again under its id.
        self.assertEqual(owner.bodies(21, 40), [str(number) for number in range(21)])

    def test_a_message_too_large_for_nats_reaches_local_clients_and_is_counted(self):
        local, publisher = self.client(self.a, "local", [AGENT]), self.client(self.a, "publisher")
        publisher.put(AGENT, b"x" * (2 << 20))
        self.assertEqual(len(local.message()[2][0]), 2 << 20)
        self.assertIn("max_payload", publisher.refused("PUT", {"TOPIC": AGENT}, [b"x" * (2 << 20)]))
        self.assertEqual(len(local.message()[2][0]), 2 << 20)
        self.assertEqual(self.a.status()["backbone"]["dropped"]["too_large"], 2)
        self.assertIn("max_payload", publisher.refused("PUT", {"TOPIC": REPLY}, [b"x" * (2 << 20)]))
        self.wait_up(self.a)
        other = self.client(self.a, "other")
        other.refused("PUT", {"TOPIC": REPLY}, [b"x" * (2 << 20)])
        dropped = self.a.status()["messages"]["dropped"]
        self.assertEqual((dropped["too_large"], dropped["not_kept"], dropped["backbone_away"]), (4, 0, 0))
        told = re.findall(r'client "(\w+) .*is too large for the backbone, .* max_payload of the NATS servers is 1048576', self.a.log())
        self.assertEqual(told, ["publisher", "other"])

    def test_a_client_whose_broker_is_killed_goes_on_at_the_other_one(self):
        owner = self.client(self.b, "web1", [REPLY])
        publisher = self.client(self.a, "publisher")
        for number in range(20):
            publisher.ok("PUT", {"TOPIC": REPLY}, [str(number)], timeout=10)
        self.assertEqual(owner.bodies(20), [str(number) for number in range(20)])
        eventually(lambda: self.nats.stream(STREAM)["messages"] == 0, 10, "an empty stream")
        self.b.kill()
        for number in range(20, 40):
            publisher.ok("PUT", {"TOPIC": REPLY}, [str(number)], timeout=10)
        owner.close()
        owner = self.client(self.a, "web1", [REPLY])
        self.assertEqual(owner.bodies(20), [str(number) for number in range(20, 40)])
        self.heard_nothing(publisher, REPLY, owner)

    def test_the_broker_that_took_a_put_may_die_right_after_its_ok(self):
        publisher = self.client(self.a, "publisher")
        for number in range(30):
            publisher.ok("PUT", {"TOPIC": REPLY}, [str(number)], timeout=10)
        self.a.kill()
        self.assertEqual(self.client(self.b, "web1", [REPLY]).bodies(30), [str(number) for number in range(30)])

    def test_a_queue_has_one_owner_and_others_get_what_comes_while_they_are_there(self):
        owner = self.client(self.a, "web1", [REPLY])
        eventually(lambda: any(queue.get("claimed") for queue in self.a.ask_api("queues")["queues"]), 10, "a claim")
        other = self.client(self.b, "web2", [REPLY])
        self.b.wait_log("belongs to another identity")
        publisher = self.client(self.b, "publisher")
        publisher.ok("PUT", {"TOPIC": REPLY}, ["x"], timeout=10)
        self.assertEqual(owner.bodies(1), ["x"])
        self.assertEqual(other.bodies(1), ["x"])
        self.heard_nothing(publisher, REPLY, owner, other)
        other.close()
        owner.close()
        publisher.ok("PUT", {"TOPIC": REPLY}, ["y"], timeout=10)
        self.assertTrue(self.client(self.b, "web2", [REPLY]).hears_nothing(2))
        self.assertEqual(self.client(self.b, "web1", [REPLY]).bodies(1), ["y"])


class One(BackboneCase):
    servers = 1

    def test_what_was_put_and_not_confirmed_when_the_broker_stops_is_in_the_queue_after_its_next_start(self):
        publisher = self.client(self.a, "publisher")
        self.nats.freeze(0)
        for number in range(50):
            publisher.put(REPLY, str(number))
        publisher.ok("NOOP")  # all of them are read
        self.a.stop()
        self.nats.thaw(0)
        self.a.start()
        self.wait_ready(self.a)
        self.assertEqual(self.client(self.b, "web1", [REPLY]).bodies(50, 20), [str(number) for number in range(50)])

    def test_nats_sends_a_broker_nothing_of_topics_that_its_clients_do_not_want(self):
        before = [connection["cid"] for connection in self.nats.connections()]
        deaf = self.make_broker("deaf", backbone=self.nats.urls, curve=False).start()
        self.wait_up(deaf)
        self.client(deaf, "other", ["mcollective other"])
        subscriber, publisher = self.client(self.b, "there", [AGENT]), self.client(self.a, "publisher")
        self.reach(publisher, subscriber)
        [place] = [number for number, connection in enumerate(self.nats.connections()) if connection["cid"] not in before]
        topics = lambda connection: sorted(subject for subject in connection["subscriptions_list"] if re.match(r"mcollective\.topic\.|mcollective\.>|>|\*", subject))
        self.assertEqual([topics(connection) for connection in self.nats.connections()],
                         [[], ["mcollective.topic.mcollective.rpcutil"], ["mcollective.topic.mcollective.other"]])
        heard = lambda: [self.nats.connections()[place][what] for what in ("out_msgs", "out_bytes")]
        quiet = heard()
        for number in range(200):
            publisher.put(AGENT, str(number))
        self.assertEqual(subscriber.bodies(200), [str(number) for number in range(200)])
        self.assertEqual(heard(), quiet)
        # The servers count what they send it.
        publisher.put("mcollective other", "x")
        eventually(lambda: heard()[0] == quiet[0] + 1, 10, "the message that it wants")

    def test_the_tool_shows_each_stream_with_its_pattern_and_what_waits_in_the_journal(self):
        shown = lambda: [line.split() for line in gorgonectl("mcollective", "queues", "--api", f"http://127.0.0.1:{self.a.http_port}").splitlines()]
        self.assertEqual(shown()[0][:5], ["TOPIC", "OWNER", "STREAM", "STATE", "PLACE"])
        self.assertEqual(shown()[1][:6], [*PATTERN.split(), STREAM, "up"])
        self.nats.kill()
        self.wait_up(self.a, False)
        self.client(self.a, "publisher").ok("PUT", {"TOPIC": REPLY}, ["x"])
        self.assertEqual(shown()[1][5], "away")
        self.assertEqual([line[:6] for line in shown() if "journal" in line], [[*REPLY.split(), "journal", "1"]])


class Moves(BackboneCase):
    servers = 1

    def again(self, broker, client):
        """The same client at another broker, or at the same one anew."""
        client.close()
        other = self.client(broker, name=client.name, connect=False)
        return other.connect(AGENT)

    def put(self, publisher, *bodies):
        for body in bodies:
            publisher.put(AGENT, body)

    def test_a_client_that_goes_to_another_broker_and_comes_back_reads_nothing_twice(self):
        node, publisher = self.client(self.a, "web1", [AGENT]), self.client(self.b, "publisher")
        self.reach(publisher, node)
        node = self.again(self.b, node)
        eventually(lambda: self.a.sessions() == 0, 10, "the end of the session at the first broker")
        self.put(publisher, "1", "2", "3")
        self.assertEqual(node.bodies(3), ["1", "2", "3"])
        node = self.again(self.a, node)
        self.assertTrue(node.hears_nothing(1))
        eventually(lambda: self.b.sessions() == 1, 10, "the publisher's session alone")
        self.assertEqual(self.b.status()["clients"]["moved"], 1)

    def test_brokers_that_are_restarted_one_after_the_other_give_nobody_anything_twice(self):
        node, publisher = self.client(self.a, "web1", [AGENT]), self.client(self.b, "publisher")
        self.reach(publisher, node)
        self.a.stop()
        node = self.again(self.b, node)
        self.a.start()
        self.wait_up(self.a)
        eventually(lambda: self.a.sessions() == 0, 10, "the first broker to hear where its client is")
        self.put(publisher, "1", "2", "3")
        self.assertEqual(node.bodies(3), ["1", "2", "3"])
        publisher.close()
        self.b.stop()
        node = self.again(self.a, node)
        self.b.start()
        self.wait_up(self.b)
        self.assertTrue(node.hears_nothing(1))
        publisher = self.client(self.b, "publisher")
        self.reach(publisher, node)
        self.put(publisher, "4")
        self.assertEqual(node.bodies(1), ["4"])
        self.assertTrue(node.hears_nothing(1))


@unittest.skipUnless(IS_POSSIBLE, NEEDS)
class Skewed(BackboneCase):
    """Whichever clock is ahead, the session is where its client connected last. The older connection is still open, as far as its broker knows."""
    servers, clocks = 1, {"b": "+1h"}

    def test_a_client_that_goes_to_a_broker_whose_clock_is_behind_is_there_and_nowhere_else(self):
        older = self.client(self.b, "web1", [AGENT])
        eventually(lambda: self.a.status()["backbone"]["in"] > 0, 10, "the claim")
        newer = self.client(self.a, name=older.name, topics=[AGENT])
        eventually(lambda: self.b.sessions() == 0, 10, "the end of the older session")
        publisher = self.client(self.a, "publisher")
        publisher.put(AGENT, "1")
        self.assertEqual(newer.bodies(1), ["1"])
        self.assertTrue(older.hears_nothing(1))
        self.assertEqual(self.a.sessions(), 2)

    def test_of_brokers_that_could_not_hear_each_other_the_one_with_the_newer_connection_keeps_the_session_of_who_is_away(self):
        self.nats.kill()
        for broker in (self.a, self.b):
            self.wait_up(broker, False)
        older = self.client(self.b, "web1", [AGENT])
        self.pause(1)  # ages are told by messages that take their time
        newer = self.client(self.a, name=older.name, topics=[AGENT])
        newer.close()
        self.a.stop()
        self.a.start()
        publisher = self.client(self.a, "publisher")
        publisher.put(AGENT, "waits")
        self.nats.start()
        for broker in (self.a, self.b):
            self.wait_up(broker)
        self.pause(1)
        newer.open()
        self.assertEqual(newer.bodies(1), ["waits"])
        eventually(lambda: self.b.sessions() == 0, 10, "the end of the older session")
        self.assertEqual(self.a.status()["clients"]["moved"], 0)


class KeyedCase(BackboneCase):
    """With CURVE. The owner of a queue with its key, and a stranger who takes its name."""
    servers, curve = 1, True

    def setUp(self):
        self.key, self.strangers = zmq.curve_keypair(), zmq.curve_keypair()
        super().setUp()

    def owner(self, broker):
        return self.client(broker, "web1", [REPLY], keys=self.key)

    def is_claimed(self, broker):
        return any(queue.get("claimed") for queue in broker.ask_api("queues")["queues"])

    def refuses_strangers(self):
        for broker in (self.a, self.b):
            self.assertFalse(self.is_in(broker, "web1", self.strangers))


class First(KeyedCase):
    def joined(self, name, **more):
        return super().joined(name, clients="first", **more)

    def pin(self, broker):
        return [pin["key"].encode() for pin in broker.ask_api("access")["access"]["pins"] if pin["identity"] == "web1"]

    def test_an_identity_has_one_key_at_all_brokers_and_moves_between_them_with_it(self):
        owner = self.owner(self.a)
        eventually(lambda: self.pin(self.b) == [self.key[0]], 10, "the pin at the other broker")
        self.refuses_strangers()
        publisher = self.client(self.a, "publisher")
        for broker, body in ((self.b, "at b"), (self.a, "at a")):
            owner.close()
            self.refuses_strangers()
            publisher.ok("PUT", {"TOPIC": REPLY}, [body], timeout=10)
            owner = self.owner(broker)
            self.assertEqual(owner.bodies(1, 10), [body])
        self.heard_nothing(publisher, REPLY, owner)
        self.assertIn(self.strangers[0][:8].decode(), self.b.wait_log(r"web1 is pinned to key .* and came with key (.*);")[1])

    def test_a_broker_that_was_away_learns_pins_when_it_is_back_and_keeps_them(self):
        self.b.stop()
        self.owner(self.a)
        self.b.start()
        eventually(lambda: self.pin(self.b) == [self.key[0]], 20, "the pin at the other broker")
        self.a.stop()
        self.b.stop()
        self.b.start()
        self.assertFalse(self.is_in(self.b, "web1", self.strangers))

    def test_a_stranger_whom_a_broker_alone_let_in_does_not_get_the_queue_and_trust_puts_it_right_for_all(self):
        self.b.stop()
        owner = self.owner(self.a)
        eventually(lambda: self.is_claimed(self.a), 10, "a claim")
        self.nats.kill()
        self.b.start()
        stranger = self.client(self.b, "web1", [REPLY], keys=self.strangers)
        self.nats.start()
        self.b.wait_log("the queue of topic .*" + REPLY + ".* belongs to its identity under another key")
        self.b.wait_log("access: web1 is pinned to one key here and to another one at another broker")
        owner.close()
        stranger.ok("UNSUB", body=[REPLY])
        self.wait_ready(self.a)
        self.client(self.a, "publisher").ok("PUT", {"TOPIC": REPLY}, ["x"], timeout=20)
        self.assertTrue(stranger.hears_nothing())
        self.assertEqual(self.owner(self.a).bodies(1, 10), ["x"])

        gorgonectl("mcollective", "trust", "web1", "--api", f"http://127.0.0.1:{self.b.http_port}")
        eventually(lambda: self.is_in(self.b, "web1", self.key), 20, "the owner's key to be let in")
        self.refuses_strangers()

    def test_a_key_that_is_trusted_at_one_broker_takes_the_queue_over_at_the_other(self):
        owner = self.owner(self.a)
        eventually(lambda: self.pin(self.b) == [self.key[0]], 10, "the pin at the other broker")
        eventually(lambda: self.is_claimed(self.a), 10, "a claim")
        gorgonectl("mcollective", "trust", "web1", "--api", f"http://127.0.0.1:{self.a.http_port}")
        eventually(lambda: self.is_in(self.b, "web1", self.strangers), 20, "the new key to be let in")
        owner.close()
        self.client(self.a, "publisher").ok("PUT", {"TOPIC": REPLY}, ["x"], timeout=10)
        self.assertEqual(self.client(self.b, "web1", [REPLY], keys=self.strangers).bodies(1, 10), ["x"])
        eventually(lambda: not self.is_in(self.a, "web1", self.key), 10, "the old key to be refused")


class Listed(KeyedCase):
    def joined(self, name, **more):
        keys = self.directory / "authorized_keys"
        lines = [(self.key, "web1"), (self.strangers, "web2"), (self.others, "publisher")]
        keys.write_text("".join(f"{key[0].decode()} {name} identity={name}\n" for key, name in lines))
        return super().joined(name, clients="listed", authorized_keys=str(keys), **more)

    def setUp(self):
        self.others = zmq.curve_keypair()
        super().setUp()

    def test_a_listed_client_moves_between_brokers_and_its_queue_with_it_and_no_other_key_has_its_name(self):
        for broker, body in ((self.a, "1"), (self.b, "2"), (self.a, "3")):
            self.refuses_strangers()
            # A new one each time: one that has been idle may have a NOOP to read first.
            publisher = self.client(self.a, "publisher", keys=self.others)
            publisher.ok("PUT", {"TOPIC": REPLY}, [body], timeout=10)
            publisher.close()
            owner = self.owner(broker)
            self.assertEqual(owner.bodies(1, 10), [body])
            self.refuses_strangers()
            owner.close()
        self.assertFalse(self.is_in(self.b, "web1", zmq.curve_keypair()))


class Login(BackboneCase):
    user, password, servers = "mc", "Secret;of='the cluster", 1

    def test_a_user_and_a_password_let_the_broker_in_and_a_wrong_one_is_told_without_being_shown(self):
        subscriber, publisher = self.client(self.b, "there", [AGENT]), self.client(self.a, "publisher")
        self.reach(publisher, subscriber)
        wrong = self.make_broker("wrong", backbone=self.nats.urls, backbone_user="mc", backbone_password="not-this-one", curve=False).start()
        wrong.wait_log("the backbone is away: .*[Aa]uth")
        self.assertNotIn("not-this-one", wrong.log())
        self.assertEqual(wrong.status()["backbone"]["state"], "away")
        wrong.options["backbone_password"] = self.password
        wrong.save()
        wrong.stop()
        wrong.start()
        self.wait_up(wrong)

    def test_a_stop_is_prompt_whether_the_servers_answer_or_not(self):
        self.assertLess(self.a.stop(), 5)
        self.nats.freeze(0)
        self.assertLess(self.b.stop(), 10)
        self.nats.thaw(0)


class Token(BackboneCase):
    token, servers = "a.Token;of='the cluster", 1

    def test_a_token_lets_the_broker_in_and_a_wrong_one_is_told_without_being_shown(self):
        subscriber, publisher = self.client(self.b, "there", [AGENT]), self.client(self.a, "publisher")
        self.reach(publisher, subscriber)
        publisher.ok("PUT", {"TOPIC": REPLY}, ["kept"], timeout=10)
        self.assertEqual(self.client(self.b, "web1", [REPLY]).bodies(1), ["kept"])
        wrong = self.make_broker("wrong", backbone=self.nats.urls, backbone_token="not-this-one", curve=False).start()
        without = self.make_broker("without", backbone=self.nats.urls, curve=False).start()
        for broker in (wrong, without):
            broker.wait_log("the backbone is away: .*[Aa]uth")
            self.assertEqual(broker.status()["backbone"]["state"], "away")
            self.assertNotIn("not-this-one", broker.log())


class Credentials(BackboneCase):
    servers = 1

    def trust(self):
        self.operator = Operator()
        self.others = Operator()
        return self.operator

    def joined(self, name, **more):
        return super().joined(name, backbone_credentials=str(self.write(name, self.operator)), **more)

    def write(self, name, operator):
        path = self.directory / f"{name}.creds"
        path.write_text(operator.credentials(name))
        return path

    def test_a_credentials_file_lets_the_broker_in_and_one_of_another_operator_does_not(self):
        subscriber, publisher = self.client(self.b, "there", [AGENT]), self.client(self.a, "publisher")
        self.reach(publisher, subscriber)
        publisher.ok("PUT", {"TOPIC": REPLY}, ["kept"], timeout=10)
        self.assertEqual(self.client(self.b, "web1", [REPLY]).bodies(1), ["kept"])
        wrong = self.make_broker("wrong", backbone=self.nats.urls, backbone_credentials=str(self.write("wrong", self.others)), curve=False).start()
        wrong.wait_log("the backbone is away: .*[Aa]uth")
        for seed in re.findall(r"^S[A-Z2-7]{20,}$", (self.directory / "wrong.creds").read_text(), re.MULTILINE) or self.fail("no seed in the file"):
            self.assertNotIn(seed, wrong.log())
        missing = self.make_broker("missing", backbone=self.nats.urls, backbone_credentials=str(self.directory / "none.creds"), curve=False).start()
        missing.wait_log("the backbone is away: .*")
        self.assertEqual([broker.status()["backbone"]["state"] for broker in (wrong, missing)], ["away", "away"])
        # A file that is put right is taken without a restart.
        (self.directory / "none.creds").write_text(self.operator.credentials("late"))
        self.wait_up(missing)


class Tls(BackboneCase):
    servers = 1

    def certificate(self):
        self.certificates = Certificates(self.directory / "tls")
        self.others = Certificates(self.directory / "others")
        return self.certificates.issue("nats", "DNS:localhost")

    def joined(self, name, **more):
        return super().joined(name, **{"backbone_tls": {"ca": str(self.certificates.ca)}, **more})

    def test_servers_are_reached_by_tls_and_a_certificate_of_another_ca_is_refused_and_told(self):
        subscriber, publisher = self.client(self.b, "there", [AGENT]), self.client(self.a, "publisher")
        self.reach(publisher, subscriber)
        wrong = self.make_broker("wrong", backbone=self.nats.urls, backbone_tls={"ca": str(self.others.ca)}, curve=False).start()
        wrong.wait_log("the backbone is away: .*SSL Error: .*local issuer certificate")
        unchecked = self.make_broker("unchecked", backbone=self.nats.urls, backbone_tls={"verify": False}, curve=False).start()
        self.wait_up(unchecked)


class ClientCertificates(BackboneCase):
    """The servers want a certificate of their CA."""
    servers = 1

    def certificate(self):
        self.certificates = Certificates(self.directory / "tls")
        self.others = Certificates(self.directory / "others")
        return {**self.certificates.issue("nats", "DNS:localhost"), "clients_ca": str(self.certificates.ca)}

    def shown(self, name, issuer):
        issued = issuer.issue(name, f"DNS:{name}")
        return {"ca": str(self.certificates.ca), "cert": issued["ssl_cert_file"], "key": issued["ssl_key_file"]}

    def joined(self, name, **more):
        return super().joined(name, backbone_tls=self.shown(name, self.certificates), **more)

    def test_the_broker_shows_its_certificate_and_without_one_or_with_one_of_another_ca_it_is_refused_and_told(self):
        subscriber, publisher = self.client(self.b, "there", [AGENT]), self.client(self.a, "publisher")
        self.reach(publisher, subscriber)
        for name, tls in (("without", {"ca": str(self.certificates.ca)}), ("foreign", self.shown("foreign", self.others))):
            refused = self.make_broker(name, backbone=self.nats.urls, backbone_tls=tls, curve=False).start()
            refused.wait_log("the backbone is away: ")
            self.pause(2)
            backbone = refused.status()["backbone"]
            self.assertEqual((backbone["state"], backbone["in"]), ("away", 0), name)


if __name__ == "__main__":
    unittest.main()
