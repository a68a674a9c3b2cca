"""Persistent topics in the journal of one broker: what was acknowledged arrives, in order, whoever is killed or away meanwhile."""
import os
import re
import unittest

from fleet import eventually
from mc0 import BrokerCase

REPLY = "mcollective reply web1 4711"
PATTERN = "mcollective reply * *"


class Queues(BrokerCase):
    def start(self, **limits):
        self.mc = self.broker(persistent=[{"topic": PATTERN, **limits}])
        return self.mc

    def put(self, client, *bodies, topic=REPLY):
        for body in bodies:
            client.ok("PUT", {"TOPIC": topic}, [body])

    def queue(self, topic=REPLY):
        found = [queue for queue in self.mc.ask_api("queues")["queues"] if queue.get("topic") == topic]
        return found[0] if found else None

    def test_replies_that_come_after_their_client_has_gone_wait_for_its_next_run(self):
        mc = self.start()
        first = self.client(mc, "web1", [REPLY])
        first.close()  # it has asked, and does not wait
        server = self.client(mc, "server")
        self.put(server, "one", "two")
        mc.kill()
        mc.start()
        server = self.client(mc, "server")
        self.put(server, "three")
        second = self.client(mc, "web1", [REPLY])
        self.assertEqual(second.bodies(3), ["one", "two", "three"])
        eventually(lambda: self.queue() is None, 5, "an empty queue")
        second.close()
        again = self.client(mc, "web1", [REPLY])
        self.assertTrue(again.hears_nothing(), "taken is taken")

    def test_a_thousand_messages_put_while_the_broker_is_killed_over_and_over_arrive_in_order(self):
        mc = self.start()
        publisher, acknowledged = self.client(mc, "server"), []
        for number in range(1000):
            if number in (300, 600):
                mc.kill()
                mc.start()
                publisher = self.client(mc, "server")
            self.put(publisher, str(number))
            acknowledged.append(str(number))
        subscriber = self.client(mc, "web1", [REPLY])
        before = subscriber.bodies(400)
        mc.kill()
        before += subscriber.bodies(600, 1)  # what had come to its side
        subscriber.close()
        self.assertEqual(before, acknowledged[:len(before)])
        mc.start()
        subscriber = self.client(mc, "web1", [REPLY])
        rest = subscriber.bodies(1000 - len(before), 20)
        # What was not confirmed before the kill comes again, nothing is missing.
        while rest and rest[-1] != "999" and (more := subscriber.bodies(1)):
            rest += more
        self.assertEqual(rest, [str(number) for number in range(int(rest[0]), 1000)])
        self.assertLessEqual(int(rest[0]), len(before))

    def test_a_subscriber_that_was_cut_off_gets_again_what_it_had_not_taken_and_each_message_once(self):
        mc = self.start()
        publisher = self.client(mc, "server")
        subscriber = self.client(mc, "web1", [REPLY])
        self.put(publisher, "a")
        self.assertEqual(subscriber.bodies(1), ["a"])
        eventually(lambda: self.queue() is None, 5, "an empty queue")
        subscriber.socket.close(0)  # without DISCONNECT: its session goes on
        subscriber.socket = None
        # What its system still takes counts as taken.
        eventually(lambda: mc.status()["clients"]["connections"] == 1, 5, "the end of its connection")
        self.put(publisher, "b", "c")
        subscriber.open()
        subscriber.connect(REPLY)
        self.assertEqual(subscriber.bodies(2), ["b", "c"])
        self.assertTrue(subscriber.hears_nothing(), "each once")

    def test_a_subscriber_that_reads_nothing_and_ends_loses_no_more_than_its_own_libzmq_held(self):
        mc = self.start()
        publisher = self.client(mc, "server")
        deaf = self.client(mc, "web1", [REPLY], high_water=100)
        everything = [str(number) for number in range(400)]
        self.put(publisher, *everything)
        eventually(lambda: mc.status()["messages"]["kept_taken"] > 0, 10, "what its libzmq takes")
        deaf.send("NOOP")  # which says nothing of what it has read
        self.pause(1)
        taken = mc.status()["messages"]["kept_taken"]
        self.assertLessEqual(taken, 100)
        deaf.close()
        got = self.client(mc, "web1", [REPLY]).bodies(400 - taken, 20)
        self.assertEqual(got, everything[taken:])

    def test_others_who_subscribe_get_what_comes_while_they_are_there_and_the_queue_stays_its_owners(self):
        mc = self.start()
        owner = self.client(mc, "web1", [REPLY])
        publisher = self.client(mc, "server")
        owner.close()
        self.put(publisher, "before")
        other = self.client(mc, "web2", [REPLY])
        self.put(publisher, "now")
        self.assertEqual(other.bodies(1), ["now"])
        owner = self.client(mc, "web1", [REPLY])
        self.assertEqual(owner.bodies(2), ["before", "now"])
        other.ok("UNSUB", body=[REPLY])
        owner.ok("UNSUB", body=[REPLY])
        self.put(publisher, "later")
        self.assertEqual(self.client(mc, "web3", [REPLY]).bodies(1), ["later"], "who is given up can be another's")

    def test_a_full_queue_is_an_error_for_the_put_and_ordinary_topics_are_not_touched(self):
        mc = self.start(messages_max=3)
        publisher = self.client(mc, "server")
        listener = self.client(mc, "web9", ["mcollective rpcutil"])
        self.put(publisher, "1", "2", "3")
        self.assertIn("messages_max", publisher.refused("PUT", {"TOPIC": REPLY}, ["4"]))
        self.put(publisher, "x", topic="mcollective rpcutil")
        self.assertEqual(listener.bodies(1), ["x"])
        self.assertEqual(self.queue()["messages"], 3)
        self.assertEqual(self.client(mc, "web1", [REPLY]).bodies(3), ["1", "2", "3"])
        self.put(publisher, "5")

    def test_a_connector_that_puts_into_a_full_queue_and_looks_at_no_answer_is_told_of_in_the_log_once_for_each_queue(self):
        mc = self.start(messages_max=3)
        publisher = self.client(mc, "server")
        topics = [REPLY, "mcollective reply web2 4711"]
        for _ in range(10):
            for topic in topics:
                publisher.put(topic)
        eventually(lambda: mc.status()["messages"]["dropped"]["not_kept"] == 14, 10, "refusals")
        lines = [line for line in mc.log().splitlines() if "is not kept" in line]
        self.assertEqual(len(lines), 2)
        for topic, line in zip(topics, lines):
            self.assertRegex(line, f'WARNING.*PUT to topic "{topic}" is not kept: .*messages_max of "{re.escape(PATTERN)}" is 3: refused since the last time=1')

    def test_what_owners_have_taken_of_queues_is_counted_for_all_and_for_each(self):
        mc = self.start()
        publisher = self.client(mc, "server")
        self.put(publisher, "1", "2", "3")
        self.put(publisher, "4", topic="mcollective reply web2 4711")
        self.assertEqual(self.client(mc, "web1", [REPLY]).bodies(3), ["1", "2", "3"])
        eventually(lambda: mc.status()["messages"]["kept_taken"] == 3, 5, "what was taken")
        self.assertEqual(mc.status()["messages"]["delivered"], 0)
        self.assertEqual(mc.ask_api("queues")["queues"][-1]["taken"], 3)
        self.assertEqual(self.client(mc, "web2", ["mcollective reply web2 4711"]).bodies(1), ["4"])
        eventually(lambda: mc.ask_api("queues")["queues"][-1]["taken"] == 4, 5, "what was taken")

    def test_what_nobody_takes_in_time_is_dropped_and_told(self):
        mc = self.start(age_max_s=1)
        self.put(self.client(mc, "server"), "old")
        mc.wait_log("1 messages of topic .* were not taken within age_max_s")
        self.assertEqual(mc.ask_api("queues")["queues"][-1]["expired"], 1)
        self.assertTrue(self.client(mc, "web1", [REPLY]).hears_nothing())

    def test_headers_and_binary_frames_come_out_as_they_went_in(self):
        mc = self.start()
        body = [os.urandom(3000), b"", b"\x00\xff"]
        self.client(mc, "server").ok("PUT", [("TOPIC", REPLY), ("X-REPLY-TO", "back here"), ("EMPTY", "")], body)
        mc.kill()
        mc.start()
        verb, headers, got = self.client(mc, "web1", [REPLY]).message()
        self.assertEqual((verb, headers, got), ("MESSAGE", {"TOPIC": REPLY, "X-REPLY-TO": "back here", "EMPTY": ""}, body))


if __name__ == "__main__":
    unittest.main()
