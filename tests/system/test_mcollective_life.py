"""The broker for MCollective's connector over time: restarts, silence, second connections, subscribers that do not read, heartbeats."""
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

import zmq

from fleet import LISTENER_LINE, eventually
from mc0 import BrokerCase, Client
from pace import SLOWNESS, clock


def lone_client(case, mc, ttl):
    """A client in a process of its own, so that even its libzmq stands still where that is stopped. It subscribes to "t" and prints what comes."""
    public, secret = zmq.curve_keypair()
    code = f"""
import zmq
socket = zmq.Context().socket(zmq.DEALER)
socket.routing_id = b"lone 1"
socket.curve_publickey, socket.curve_secretkey, socket.curve_serverkey = {public!r}, {secret!r}, {mc.mc_public_key()!r}
socket.connect("tcp://127.0.0.1:{mc.mc_port}")
for frames in ([b"", b"CONNECT", b"ID", b"1", b"TTL", b"{ttl}"], [b"", b"SUB", b"ID", b"2", b"", b"t"]):
    socket.send_multipart(frames)
    print(socket.recv_multipart()[1].decode(), flush=True)
while True:
    frames = socket.recv_multipart()
    if frames[1] == b"MESSAGE":
        print(frames[-1].decode(), flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)

    def end():
        child.kill()
        child.wait()
        child.stdout.close()

    case.addCleanup(end)
    case.assertEqual([child.stdout.readline() for _ in range(2)], ["OK\n", "OK\n"])
    return child


def deaf_client(case, mc, topic, rcvhwm=1):
    """A client that subscribes and then reads nothing, with buffers as small as they can be."""
    deaf = Client(mc, "deaf")
    case.addCleanup(deaf.close)
    deaf.socket.close(0)
    deaf.socket = socket_of = deaf.context.socket(zmq.DEALER)
    socket_of.linger, socket_of.rcvhwm, socket_of.rcvbuf = 0, rcvhwm, 4096
    socket_of.routing_id = deaf.name
    socket_of.curve_publickey, socket_of.curve_secretkey = deaf.keys
    socket_of.curve_serverkey = mc.mc_public_key()
    socket_of.connect(f"tcp://127.0.0.1:{mc.mc_port}")
    return deaf.connect(topic)


class Restarts(BrokerCase):
    def test_at_a_stop_what_waits_is_sent_to_who_reads_and_what_is_lost_is_told(self):
        mc = self.broker(subscribe_grace_ms=10000)
        deaf, quick, sender = deaf_client(self, mc, "t"), self.client(mc, "quick", ["t"]), self.client(mc, "sender")
        sender.put("nobody", "x")
        for _ in range(100):
            sender.put("t", b"x" * 10000)
        eventually(lambda: mc.status()["messages"]["delivered"] == 200, 5, "the messages")
        started = clock()
        mc.stop()
        self.assertLess(clock() - started, 3)
        self.assertEqual(len(quick.bodies(100)), 100)
        told = re.findall(r"the broker stops: (\d+) messages that waited for (\d+) clients are lost", mc.log())
        self.assertEqual([clients for _, clients in told], ["1"])
        self.assertTrue(50 < int(told[0][0]) <= 100, told)
        del deaf

    def test_a_client_that_is_frozen_and_has_all_in_its_kernel_holds_up_no_stop_and_reads_it_later(self):
        mc = self.broker()
        frozen, sender = lone_client(self, mc, ttl=30000), self.client(mc, "sender")
        self.pause(0.5)
        frozen.send_signal(signal.SIGSTOP)
        bodies = [f"{number} {'x' * 1000}" for number in range(20)]
        for body in bodies:
            sender.put("t", body)
        eventually(lambda: mc.status()["messages"]["delivered"] == len(bodies), 5, "the messages")
        self.assertLess(mc.stop(), 0.8)
        self.assertNotIn("are lost", mc.log())
        frozen.send_signal(signal.SIGCONT)
        self.assertEqual([frozen.stdout.readline().strip() for _ in bodies], bodies)

    def test_clients_that_were_connected_are_served_again_within_two_seconds_without_connect(self):
        for name, end in (("stopped", lambda mc: mc.stop()), ("killed", lambda mc: mc.kill())):
            with self.subTest(name):
                mc = self.broker(name)
                listener, sender = self.client(mc, "l", ["t", "u"]), self.client(mc, "s")
                listener.ok("UNSUB", body=["u"])
                end(mc)
                mc.start()
                started = clock()
                sender.put("t", "after")
                sender.put("u", "not wanted any more")
                self.assertEqual(listener.bodies(1), ["after"])
                self.assertLess(clock() - started, 2)
                self.assertTrue(listener.hears_nothing(0.5))

    def test_what_was_answered_ok_right_before_a_kill_holds_after_it(self):
        mc = self.broker()
        for round_ in range(10):
            with self.subTest(round_):
                sender = self.client(mc, "s")
                listener = self.client(mc, "l", ["t"])
                if round_ % 2:
                    self.pause(0.7)  # only the last SUB is new
                    listener.ok("SUB", body=["u"])
                    listener.ok("UNSUB", body=["t"])
                mc.kill()
                mc.start()
                for topic in "tu":
                    sender.put(topic, topic)
                self.assertEqual(listener.bodies(1), ["u" if round_ % 2 else "t"])
                self.assertTrue(listener.hears_nothing(0.3))
                for client in (sender, listener):
                    client.close()

    def test_what_is_put_for_a_client_that_is_not_back_yet_waits_for_it(self):
        mc = self.broker()
        listener, sender = self.client(mc, "l", ["t"]), self.client(mc, "s")
        self.pause(1)
        mc.stop()
        name, keys = listener.name, listener.keys
        listener.close()
        mc.start()
        sender.put("t", "1")
        eventually(lambda: mc.status()["messages"]["delivered"] == 1, 5, "the message")
        again = self.client(mc, name=name, keys=keys, connect=False)
        self.assertEqual(again.bodies(1), ["1"])

    def test_a_session_is_not_given_to_another_key_after_a_restart(self):
        mc = self.broker()
        listener = self.client(mc, "l", ["t"])
        self.pause(1)
        mc.stop()
        listener.close()
        mc.start()
        thief = self.client(mc, name=listener.name, connect=False)
        thief.send("CONNECT", {"ID": "1", "TTL": "30000"})
        self.assertIsNone(thief.read(1.5))
        self.assertEqual([row["key"] for row in mc.ask_api("clients")["clients"]], [listener.keys[0].decode()])

    def test_a_session_that_has_ended_is_not_known_after_a_restart(self):
        mc = self.broker()
        client = self.client(mc, "l", ["t"])
        client.send("DISCONNECT")
        self.wait_sessions(mc, 0)
        mc.stop()
        mc.start()
        self.assertEqual(mc.sessions(), 0)
        self.assertIn("not connected", client.refused("SUB", body=["t"]))

    def test_the_module_can_be_loaded_anew_while_clients_are_connected(self):
        mc, admin = self.make_broker(), self.make_central()
        listener_of = {"external_com_type": "tcp", "external_com_path": "127.0.0.1:0", "authorized_clients": [{"key": admin.thumbprint()}]}
        mc.configure("45-listener", {"gorgonecore": listener_of})
        mc.start()
        mc.port = int(mc.wait_log(LISTENER_LINE)[1])
        listener, sender = self.client(mc, "l", ["t"]), self.client(mc, "s")
        mark = len(mc.log())
        session = self.dial(mc, admin)
        self.assertEqual(session.call("UNLOADMODULE", {"content": {"name": "mcollective"}}).body["code"], 2)
        self.assertEqual(session.call("LOADMODULE", {"content": mc.module_entry()}).body["code"], 2)
        eventually(lambda: "MCollective broker listens" in mc.log()[mark:], 10, "the broker")
        sender.put("t", "x")
        self.assertEqual(listener.bodies(1), ["x"])


class Silence(BrokerCase):
    def test_a_client_that_is_stopped_is_dropped_after_its_ttl_and_its_connection_closed(self):
        mc = self.broker()
        lone_client(self, mc, ttl=2000).send_signal(signal.SIGSTOP)
        started = time.monotonic()
        self.wait_sessions(mc, 0)
        self.assertGreater(time.monotonic() - started, 1.9)
        self.assertLess(clock() - started / SLOWNESS, 4)
        status = mc.status()
        self.assertEqual((status["topics"]["topics"], status["clients"]["connections"], status["clients"]["expired"]), (0, 0, 1))

    def test_when_the_broker_speaks_and_when_it_drops_a_silent_client_are_options(self):
        mc = self.broker(heartbeat_percent=10, silence_percent=300)
        speaking = time.monotonic()  # it has not spoken before
        client = self.client(mc, "quiet", ttl=2000)
        listening = clock()
        heard = [client.read() for _ in range(5)]
        self.assertEqual({verb for verb, _, _ in heard}, {"NOOP"})
        self.assertLess(clock() - listening, 3)  # by default five would take 4 s
        eventually(lambda: mc.sessions() == 0, 20, "the end of the session")
        self.assertGreaterEqual(time.monotonic() - speaking, 5.9)

    def test_a_client_without_ttl_is_dropped_after_idle_timeout_and_hears_no_noop(self):
        mc = self.broker(idle_timeout=2)
        client = self.client(mc, "idle", ["t"], ttl=None)
        self.assertIsNone(client.read(1))
        self.wait_sessions(mc, 0)
        # It is not left deaf: whatever it says is answered by an end of its connection.
        self.assertIn("not connected", client.refused("SUB", body=["t"]))

    def test_a_dropped_client_that_comes_back_with_noop_is_closed_and_finds_its_way_by_connect(self):
        mc = self.broker()
        client = self.client(mc, "late", ["t"], ttl=1000)
        self.wait_sessions(mc, 0)
        eventually(lambda: mc.status()["clients"]["connections"] == 1, 5, "its own reconnection")
        accepted = mc.status()["transport"]["accepted"]
        client.send("NOOP")
        eventually(lambda: mc.status()["transport"]["accepted"] > accepted, 5, "the close and the next connection")
        client.open()
        client.connect("t")
        client.put("t", "x")
        self.assertEqual(client.bodies(1), ["x"])

    def test_at_a_heartbeat_of_three_seconds_a_connector_never_waits_longer_than_that_and_is_never_dropped(self):
        mc = self.broker()
        clients = [self.client(mc, f"c{i}", ["t"], ttl=3000) for i in range(20)]
        heard = {client: time.monotonic() for client in clients}
        spoken = dict(heard)
        longest = 0.0
        end = time.monotonic() + 12
        while time.monotonic() < end:
            for client in clients:
                while client.socket.poll(0):
                    self.assertEqual(client.read()[0], "NOOP")
                    longest = max(longest, time.monotonic() - heard[client])
                    heard[client] = time.monotonic()
                if time.monotonic() - spoken[client] > 3 * 0.95:
                    client.send("NOOP")
                    spoken[client] = time.monotonic()
            time.sleep(0.005)
        self.assertGreater(longest, 1.4)
        self.assertLess(longest, 1.5 + 0.4 * SLOWNESS)
        status = mc.status()["clients"]
        self.assertEqual((status["sessions"], status["expired"]), (20, 0))


class Windows(BrokerCase):
    def test_a_client_that_subscribes_under_fire_reads_the_answer_to_each_command_and_nothing_else(self):
        mc = self.broker(subscribe_grace_ms=int(200 * SLOWNESS))  # the default: what a client may take between two of its commands
        topics = [f"topic {i}" for i in range(30)]
        sender = self.client(mc, "sender")
        stopping = threading.Event()

        def fire():
            while not stopping.is_set():
                for topic in topics:
                    sender.put(topic, "x")
                time.sleep(0.001)

        thread = threading.Thread(target=fire)
        thread.start()
        try:
            for i in range(5):
                client = self.client(mc, f"c{i}", topics)  # raises where a MESSAGE came in place of an OK
                self.assertIsNotNone(client.message())
                # A new socket of the same name: the session's messages wait until it has said what it wants.
                client.open()
                client.ok("CONNECT", {"TTL": "30000", "VERSION": "0.2"})
                client.ok("SUB", body=topics)
                self.assertIsNotNone(client.message())
                client.close()
        finally:
            stopping.set()
            thread.join()

    def test_the_answer_to_unsub_overtakes_what_waits_for_a_client_that_reads_slowly(self):
        mc = self.broker()
        slow, sender = deaf_client(self, mc, "t", rcvhwm=10), self.client(mc, "sender")
        self.pause(0.5)
        count = 3000
        for _ in range(count):
            sender.put("t", b"x" * 5000)
        eventually(lambda: mc.status()["messages"]["delivered"] == count, 20, "the messages")
        row, = mc.ask_api("clients", "deaf")["clients"]
        self.assertGreater(row["queue_messages"], 2000)
        slow.send("UNSUB", {"ID": "1"}, ["t"])
        before = 0
        while (came := slow.read())[0] == "MESSAGE":
            before += 1
        self.assertEqual(came, ("OK", {"ID": "1"}, []))
        # What had left the broker already.
        self.assertLess(before, 100)
        self.assertEqual(len(slow.bodies(count - before, 20)), count - before)

    def test_replies_do_not_wait_for_a_grace_once_the_caller_has_asked(self):
        mc = self.broker(subscribe_grace_ms=5000)
        server = self.client(mc, "server", ["t"])
        server.put("other", "x")
        caller = self.client(mc, "caller", ["r"])
        started = clock()
        caller.put("t", "?", reply_to="r")
        server.message()
        server.put("r", "!")
        self.assertEqual(caller.bodies(1), ["!"])
        self.assertLess(clock() - started, 2)


class Handover(BrokerCase):
    def test_a_second_connection_of_a_client_gets_its_messages_and_the_first_is_closed(self):
        mc = self.broker()
        first = self.client(mc, "twin", ["t"])
        second = self.client(mc, name=first.name, keys=first.keys, connect=False)
        eventually(lambda: mc.status()["clients"]["handovers"] >= 1, 5, "the handover")
        first.close()
        second.connect("t")
        sender = self.client(mc, "s")
        sender.put("t", "x")
        self.assertEqual(second.bodies(1), ["x"])
        self.assertEqual(mc.sessions(), 2)

    def test_a_second_connection_under_another_key_gets_nothing_and_harms_nobody(self):
        mc = self.broker()
        first = self.client(mc, "twin", ["t"])
        thief = self.client(mc, name=first.name, connect=False)
        thief.send("CONNECT", {"ID": "1"})
        self.assertIsNone(thief.read(1))
        first.put("t", "x")
        self.assertEqual(first.bodies(1), ["x"])
        self.assertEqual(mc.status()["clients"]["handovers"], 0)


class SlowSubscribers(BrokerCase):
    def test_one_that_does_not_read_is_bounded_counted_and_told_of_and_slows_nobody_for_long(self):
        mc = self.broker(queue_messages=100, put_patience_ms=100)
        deaf, quick = deaf_client(self, mc, "t"), self.client(mc, "quick", ["t"])
        sender = self.client(mc, "sender")
        body = b"x" * 10000
        started, count = clock(), 3000
        # A few at a time, so that the quick one's own queue is never full.
        for at in range(0, count, 50):
            for _ in range(50):
                sender.send("PUT", {"TOPIC": "t"}, [body])
            self.assertEqual(len(quick.bodies(50, 20)), 50)
        self.assertLess(clock() - started, 10)
        status = mc.status()["messages"]
        self.assertGreater(status["dropped"]["queue_full"], 100)
        self.assertEqual(status["delivered"] + status["dropped"]["queue_full"], 2 * count)
        self.assertLessEqual(status["publishers_held_back"], 3)
        row, = mc.ask_api("clients", "deaf")["clients"]
        self.assertTrue(row["slow"])
        self.assertLessEqual(row["queue_messages"], 100)
        self.assertEqual(row["dropped"], status["dropped"]["queue_full"])
        self.assertIn("queues of 1 of 2 subscribers are full", sender.refused("PUT", {"TOPIC": "t"}, [body]))
        told = [line for line in mc.log().splitlines() if "its queue is full" in line]
        self.assertEqual(len(told), 1)
        del deaf

    def test_a_publisher_that_is_faster_than_its_subscriber_loses_nothing(self):
        mc = self.broker(queue_messages=200, put_patience_ms=5000)
        listener, sender = self.client(mc, "l", ["t"]), self.client(mc, "s")
        count = 20000
        thread = threading.Thread(target=lambda: [sender.put("t", str(i)) for i in range(count)])
        thread.start()
        try:
            self.assertEqual(listener.bodies(count, 60), [str(i) for i in range(count)])
        finally:
            thread.join()
        self.assertEqual(mc.status()["messages"]["dropped"]["queue_full"], 0)


class HalfOpen(BrokerCase):
    def test_connections_that_send_nothing_or_rubbish_cost_nobody_anything(self):
        mc = self.broker(handshake_timeout=1, connect_timeout=1)
        client = self.client(mc, "c", ["t"])
        open_ones = []
        for rubbish in (b"", b"GET / HTTP/1.0\r\n\r\n", b"\xff" * 9, os.urandom(1000), b"\xff\0\0\0\0\0\0\0\x01\x7f"):
            one = socket.create_connection(("127.0.0.1", mc.mc_port))
            self.addCleanup(one.close)
            one.sendall(rubbish)
            open_ones.append(one)
        silent = self.client(mc, "silent", connect=False)
        for one in open_ones:
            one.settimeout(5 * SLOWNESS)
            try:
                while one.recv(4096):
                    pass
            except ConnectionError:
                pass
        eventually(lambda: "has not said CONNECT" in mc.log(), 5, "the end of the silent one")
        silent.close()
        client.put("t", "x")
        self.assertEqual(client.bodies(1), ["x"])


if __name__ == "__main__":
    unittest.main()
