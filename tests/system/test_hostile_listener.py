"""The listener among strangers: whatever they send, a live peer is served, memory and log stay bounded, and the log says what it was. What concerns a
single peer is in test_hostile_peers.py."""
# tests/run.sh: alone, for it measures how soon a live peer is answered meanwhile.
import base64
import os
import pathlib
import re
import struct
import time
import unittest

from fleet import SANITIZERS, eventually
from hostile import LivePeer, Peak, connect, cpu_seconds, descriptors, memory_kb
from dialer import Dialer  # found by way of fleet
from pace import SLOWNESS, clock
from protocol import draw_key, read_private_key, request, write_public_key
from strangers import HANDSHAKE_ISSUE, Strangers, outputs_of, take


# An address is lost where the connection has ended before the daemon could ask for it.
SOMEBODY = r"(127\.0\.0\.1:\d+|somebody who had gone before his address was read)"
EXPECTED = "expected a greeting of ZMTP 3 with the mechanism NULL"


class Connections(Strangers):
    def test_connections_that_stop_half_way_or_send_noise_harm_nobody_and_leave_nothing_behind(self):
        before = descriptors(self.pid)
        greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16 + 32)
        ready = b"\x04\x26\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"
        payloads = [b"", b"\xff", greeting[:10], greeting[:11], greeting[:40], greeting, greeting + ready[:5], greeting + ready[:-1],
                    greeting + b"\x04\xff\x05READY" + bytes(250), greeting + b"\x06" + b"\xff" * 8, b"\xff" * 200, b"\x00" * 200,
                    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(40),
                    b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(15 + 32)]
        payloads += [os.urandom(size) for size in (1, 12, 64, 500, 5000)]
        with Peak(self.pid) as peak, LivePeer(self.live) as live:
            started = time.monotonic()
            held = [connect(self.poller.port, payload) for _ in range(20) for payload in payloads]
            time.sleep(0.5)
            for connection in held:
                connection.close()
        self.assertLess(max(live.answers), 1)
        self.assertLess(peak.grown_kb, 20_000)
        eventually(lambda: descriptors(self.pid) <= before + 5, 10, "the closing of the connections' descriptors")
        self.assertEqual(outputs_of(self.live.run("echo on")), ["on"])
        self.poller.wait_log(rf"WARNING - \[core\] refused a connection of {SOMEBODY}: .*{EXPECTED}", 5)
        self.assertTrue(eventually(lambda: self.log_lines("more refused messages and connections"), 12, "a line that counts those not named"))
        # Of one address three lines every 5 s, and of those that have none as many.
        self.assertLessEqual(len(self.log_lines("refused a connection")), 6 * (1 + (time.monotonic() - started) // 5))

    def test_a_silent_connection_is_probed_after_a_minute_so_that_who_vanished_leaves_no_descriptor(self):
        connection = connect(self.poller.port)
        self.addCleanup(connection.close)
        ends = f":{self.poller.port:04X}", f":{connection.getsockname()[1]:04X}"

        def probed_in():
            """Seconds, as the kernel tells of its timers: "02:" and hundredths of a second for the probes of a silent connection."""
            for fields in map(str.split, pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]):
                if fields[1].endswith(ends[0]) and fields[2].endswith(ends[1]) and fields[5].startswith("02:"):
                    return int(fields[5][3:], 16) / 100
            return None

        self.assertLessEqual(eventually(probed_in, 5, "the listener's timer of probes"), 60)


class VeryManyConnections(Strangers):
    def configure(self):
        self.poller.configure("50-limit", {"gorgonecore": {"max_strangers": 50}})

    def test_connections_without_a_session_are_bounded_in_number_and_the_oldest_go(self):
        before = descriptors(self.pid)
        with LivePeer(self.live) as live:
            held = []
            for _ in range(300):
                held.append(self.greeted())
            eventually(lambda: descriptors(self.pid) <= before + 60, 10, "the closing of what is beyond the bound")
            eventually(lambda: not any(map(self.is_open, held[:250])), 10, "the end of the oldest")
            self.assertTrue(all(map(self.is_open, held[250:])), "those within the bound stay")
            with self.dial(self.poller, self.central) as another:
                self.assertEqual(another.call("PING").kind, "PONG")
        self.assertLess(max(live.answers), 1)
        self.poller.wait_log(r"WARNING - \[core\] refused a connection of 127\.0\.0\.1:\d+: cut off as the oldest of more than 50 connections without a session "
                             r"\(max_strangers\)", 5)

    def test_strangers_who_ask_and_do_not_read_are_given_no_more_answers(self):
        question = b"\x00\x0b[GETPUBKEY]" * 8000
        with Peak(self.pid) as peak, LivePeer(self.live) as live:
            for number in range(40):
                connection = self.greeted(b"gorgone-%d" % number, receive_buffer=4096)
                connection.sendall(question)
            eventually(self.is_idle, 60, "the end of the questions")
        self.assertGreater(len(take(connection, 3000)), 3000, "the first questions are answered")
        self.assertLess(peak.grown_kb, 10_000, "40 connections leave 9 MB of answers each unread")
        self.assertLess(max(live.answers), 1)
        self.is_served()

    def test_neither_do_those_who_repeat_a_handshake_or_take_a_live_peers_routing_id(self):
        question = b"\x00\x0b[GETPUBKEY]" * 8000
        heard = self.helo(write_public_key(read_private_key(self.central.private_key)))
        with Peak(self.pid) as peak:
            for number in range(30):
                connection = self.greeted(b"gorgone-%d" % number, receive_buffer=4096)
                connection.sendall(b"\x02" + struct.pack(">Q", len(heard)) + heard)
                take(connection, 300)  # there is a session now, which nobody can use
                connection.sendall(question)
            thief = self.greeted(self.live.routing_id.encode(), receive_buffer=4096)
            for _ in range(6):
                thief.sendall(question)
            time.sleep(3)  # a busy machine may not have begun
            eventually(self.is_idle, 60, "the end of the questions")
        self.assertLess(peak.grown_kb, 12_000, "30 connections leave 9 MB of answers each unread, and one 50 MB")
        self.assertEqual(self.log_lines("max_unread_bytes"), [])
        thief.close()
        self.live.socket.close(0)
        self.live.socket = self.stranger(self.live.routing_id)
        self.is_served()

    def is_idle(self):
        before = cpu_seconds(self.pid)
        time.sleep(0.3)
        return cpu_seconds(self.pid) - before < 0.1


class Handshakes(Strangers):
    def test_a_helo_of_128_kilobytes_of_brackets_costs_little(self):
        for text in (b"[" * 131_072, b"]" * 131_072, b"[x] " * 32_000, b"[a] [b] [c" + b"]" * 60_000, b"[" * 30_000 + b"] [" * 10_000, b"[ " * 32_000 + b"]"):
            started, used = clock(), cpu_seconds(self.pid)
            self.assertEqual(self.answer(self.stranger(), text), HANDSHAKE_ISSUE)
            self.assertLess(clock() - started, 0.5, text[:10])
            self.assertLess(cpu_seconds(self.pid) - used, 0.1, text[:10])

    def test_ten_thousand_attempts_of_strangers_leave_the_live_peer_served_and_memory_and_log_bounded(self):
        frame = self.helo(write_public_key(draw_key()))
        sockets = [self.stranger(rcvhwm=0, sndhwm=0) for _ in range(20)]
        size, started = self.poller.log_file.stat().st_size, time.monotonic()
        with Peak(self.pid) as peak, LivePeer(self.live, pause_s=0.005) as live:
            for _ in range(500):
                for socket in sockets:
                    socket.send(frame)
            taken = sum(self.take_all(socket, 500) for socket in sockets)
        self.assertEqual(taken, 10_000, "each attempt is answered")
        self.assertLess(live.percentile(0.9), 0.2)
        self.assertLess(max(live.answers), 2)
        self.assertLess(peak.grown_kb, 30_000)
        self.assertLess(self.poller.log_file.stat().st_size - size, 100_000 + 200 * len(live.answers))
        # Of 20 peers three lines every 5 s.
        lines_max = 100 + 60 * ((time.monotonic() - started) // 5)
        self.assertLess(len(self.log_lines("refused a message")), lines_max)
        self.assertTrue(eventually(lambda: self.log_lines("more refused"), 12, "a line that counts those not named"))

    def test_attempts_with_a_trusted_key_and_a_wrong_secret_leave_the_live_peer_served(self):
        # Each of these costs the listener a decryption.
        pem = write_public_key(read_private_key(self.central.private_key))
        frames = [self.helo(pem, secret=b"HOLA%d" % number) for number in range(10)]
        sockets = [self.stranger(rcvhwm=0, sndhwm=0) for _ in range(100)]
        with Peak(self.pid) as peak, LivePeer(self.live, pause_s=0.005) as live:
            for number in range(30):
                for socket in sockets:
                    socket.send(frames[number % 10])
            self.assertEqual(sum(self.take_all(socket, 30) for socket in sockets), 3000)
        self.assertLess(live.percentile(0.9), 0.2)
        self.assertLess(max(live.answers), 2)
        self.assertLess(peak.grown_kb, 30_000)
        with self.dial(self.poller, self.central) as another:
            self.assertEqual(another.call("PING").kind, "PONG")

    def test_replayed_handshakes_neither_end_the_session_nor_fill_the_memory(self):
        pem = write_public_key(read_private_key(self.central.private_key))
        heard = self.helo(pem)
        self.answer(self.stranger(), heard)
        with Peak(self.pid) as peak, LivePeer(self.live) as live:
            for _ in range(2000 // 50):
                sockets = [self.stranger() for _ in range(50)]
                for socket in sockets:
                    socket.send(heard)
                self.assertEqual(sum(self.take_all(socket, 1) for socket in sockets), 50)
                for socket in sockets:
                    socket.close(0)
        self.assertLess(max(live.answers), 1)
        self.assertLess(peak.grown_kb, 20_000)
        self.assertLess(len(self.poller.database_rows("gorgone_identity")), 10, "sessions that nobody has used were stored")
        self.assertLess(len(self.log_lines("session opened for")), 600)
        self.assertTrue(eventually(lambda: self.log_lines("more sessions opened in the last 5 s"), 12, "a line that counts those not named"))
        # A listener of the wire that repeats the handshake under the peer's own routing id.
        thief = self.stranger(self.live.routing_id, reconnect_ivl=-1)
        self.assertFalse(self.answer(thief, heard).startswith(b"[ACK]"))
        thief.close(0)
        self.live.socket.close(0)
        self.live.socket = self.stranger(self.live.routing_id)
        self.assertEqual(self.live.call("PING", token="after-replay").token, "after-replay", "the replayed handshake ended the session of the peer")


class Messages(Strangers):
    def test_megabytes_of_noise_from_strangers_cost_neither_memory_nor_time(self):
        noise = base64.b64encode(os.urandom(7_500_000))
        sockets = [self.stranger() for _ in range(2)]
        with Peak(self.pid) as peak, LivePeer(self.live, pause_s=0.005) as live:
            for number in range(10):
                self.assertEqual(self.answer(sockets[number % 2], noise), HANDSHAKE_ISSUE)
            with self.dial(self.poller, self.central) as another:
                self.assertEqual(another.call("PING", timeout=2).kind, "PONG")
        self.assertLess(live.percentile(0.9), 0.2)
        self.assertLess(max(live.answers), 1)
        self.assertLess(peak.grown_kb, 60_000, "a frame or two at a time")
        eventually(lambda: memory_kb(self.pid) < peak.before + 15_000, 5, "the giving back of the memory")
        self.poller.wait_log(r"refused a message of gorgone-stranger\S+: 10000000 bytes that no session opens; a HELO has at most 65536", 5)


class FramesBeyondTheLimit(Strangers):
    def configure(self):
        self.poller.configure("50-limit", {"gorgonecore": {"max_message_size": 1_000_000}})

    def test_a_frame_beyond_max_message_size_is_not_taken_and_ends_only_its_own_connection(self):
        sender = self.dial(self.poller, self.central)
        with Peak(self.pid) as peak, LivePeer(self.live) as live:
            for _ in range(10):
                sender.socket.send(b"x" * 20_000_000)
            sender.send(request("PUTLOG", {"code": 120, "etime": 1_700_000_000, "token": "big", "data": {"x": "x" * 2_000_000}}))
            time.sleep(1)
        self.assertLess(max(live.answers), 1)
        self.assertLess(peak.grown_kb, 15_000)
        self.assertEqual(self.live.rows(token="big"), [])
        self.poller.wait_log(rf"WARNING - \[core\] refused a connection of {SOMEBODY}: it has ended without a whole message: it went away, or sent a frame of "
                             r"more than 1000000 bytes \(max_message_size\)", 15)
        eventually(lambda: self.pong(sender), 10, "the sender's return")

    @staticmethod
    def pong(dialer):
        dialer.send(request("PING", token="back"))
        return dialer.socket.poll(1000) and dialer.take().token == "back"


class MessagesWithoutEnd(Strangers):
    def configure(self):
        self.poller.configure("50-limit", {"gorgonecore": {"max_message_size": 16_000_000, "max_strangers_bytes": 30_000_000}})

    def half_a_message(self, size):
        """A connection that has sent so much of a message of 15 MB, or as much as was taken of it."""
        connection = self.greeted()
        connection.sendall(b"\x02" + struct.pack(">Q", 15_000_000))
        try:
            connection.sendall(bytes(size))
        except OSError:
            connection.close()
            return None
        return connection

    def send_parts(self, connection, megabytes):
        """A message of very many empty parts, or as much as was taken of it: who is cut off may be left waiting instead of being told."""
        connection.settimeout(5)
        try:
            for _ in range(megabytes):
                connection.sendall(b"\x01\x00" * 500_000)
        except OSError:
            pass

    def test_a_message_of_millions_of_parts_is_cut_off_before_it_fills_the_memory(self):
        with Peak(self.pid) as peak, LivePeer(self.live) as live:
            self.send_parts(self.greeted(), 30)
            self.poller.wait_log(r"WARNING - \[core\] refused a connection of 127\.0\.0\.1:\d+: cut off with \d+ bytes of a message that does not end, of very "
                                 r"many parts: memory has grown by \d+ bytes, expected 30000000 at most \(max_strangers_bytes\)", 10)
            for _ in range(2):
                self.send_parts(self.greeted(), 30)
        self.assertLess(peak.grown_kb, 150_000, "uncut it comes to 960 MB, three times")
        self.assertLess(live.percentile(0.9), 0.5)
        if not any(name in os.environ for name in SANITIZERS):  # their heaps keep what is free
            eventually(lambda: memory_kb(self.pid) < peak.before + 15_000, 10, "the giving back of the memory")
        self.is_served()

    def test_many_connections_with_some_parts_each_are_bounded_together(self):
        with Peak(self.pid) as peak:
            for _ in range(30):
                self.send_parts(self.greeted(), 1)
            self.poller.wait_log(r"cut off with \d+ bytes of a message that does not end, of very many parts", 10)
        self.assertLess(peak.grown_kb, 300_000, "uncut it comes to 960 MB")
        self.is_served()

    def test_a_message_of_millions_of_parts_inside_of_a_session_is_cut_off_too(self):
        client = self.dial(self.poller, self.central)
        client.socket.close(0)
        ping = client.cipher.seal(request("PING", token="p"))
        ping = ping if isinstance(ping, bytes) else ping.encode()
        connection = self.greeted(client.routing_id.encode())
        connection.sendall(b"\x00" + bytes([len(ping)]) + ping)
        take(connection, len(ping))
        with Peak(self.pid) as peak, LivePeer(self.live) as live:
            self.send_parts(connection, 30)
            self.poller.wait_log(r"cut off with \d+ bytes of a message that does not end, of very many parts", 10)
        self.assertLess(peak.grown_kb, 600_000, "looked at every 500 ms; uncut it comes to 960 MB")
        self.assertLess(live.percentile(0.9), 0.5)
        self.is_served()

    def test_a_large_message_that_comes_slowly_while_memory_grows_for_other_reasons_is_taken(self):
        slow = self.greeted(b"gorgone-slow")
        slow.sendall(b"\x02" + struct.pack(">Q", 5_000_000) + bytes(2_500_000))
        rows = [{"code": 120, "etime": 1_700_000_000, "token": "much", "data": {"x": "x" * 8_000_000}}] * 3
        for row in rows:
            self.live.call("PUTLOG", row, timeout=10)
        slow.sendall(bytes(2_500_000))
        eventually(lambda: b"handshake issue" in slow.recv(65536), 10, "the answer to the whole message")

    def test_what_strangers_hold_of_unfinished_messages_has_one_bound_and_who_has_a_session_is_not_touched(self):
        size = 10_000_000
        another = self.dial(self.poller, self.central)
        with Peak(self.pid) as peak, LivePeer(self.live) as live:
            held = [connection for _ in range(20) if (connection := self.half_a_message(size))]
            eventually(lambda: sum(map(self.is_open, held)) * size <= 30_000_000, 5, "the closing of what is beyond the bound")
            self.assertGreater(sum(map(self.is_open, held)), 0, "those within the bound stay")
            another.call("PUTLOG", {"code": 120, "etime": 1_700_000_000, "token": "big", "data": {"x": "x" * 8_000_000}}, timeout=10)
        self.assertLess(live.percentile(0.9), 0.5)
        self.assertLess(peak.grown_kb, 120_000, "200 MB were sent")
        self.assertEqual(len(self.live.rows(token="big")), 1)
        self.poller.wait_log(r"WARNING - \[core\] refused a connection of 127\.0\.0\.1:\d+: cut off with \d+ bytes of a message that does not end, for all "
                             r"who have no session may hold 30000000 \(max_strangers_bytes\)", 5)
        self.is_served()

    def test_a_stranger_who_sends_whole_messages_is_refused_each_of_them_and_not_cut_off(self):
        noise = base64.b64encode(os.urandom(3_000_000))
        stranger = self.stranger()
        for _ in range(15):
            self.assertEqual(self.answer(stranger, noise), HANDSHAKE_ISSUE)
        self.assertEqual(self.log_lines("cut off with"), [])


class SlowReader(Strangers):
    def slow_client(self, size):
        client = Dialer(self.endpoint, read_private_key(self.central.private_key))
        self.addCleanup(client.close)
        client.socket.close(0)
        client.socket = self.stranger(client.routing_id, rcvhwm=1, sndhwm=0, rcvbuf=4096)
        client.greet()
        # Something worth asking for.
        data = {"code": 120, "etime": 1_700_000_000, "token": "large", "data": {"x": "x" * size}}
        self.assertEqual(client.call("PUTLOG", data).body["code"], 0)
        return client

    def test_long_answers_alone_that_are_not_read_are_bounded_in_memory(self):
        client = self.slow_client(400_000)
        asked = client.cipher.seal(request("GETLOG", {"token": "large"}, token="t"))
        with Peak(self.pid) as peak, LivePeer(self.live) as live:
            for _ in range(500):
                client.socket.send(asked, copy=False)
            self.poller.wait_log(rf"WARNING.*session of {re.escape(client.routing_id)} ended: it leaves more unread than gorgonecore.max_unread_bytes allows", 60)
        self.assertLess(peak.grown_kb, 100_000, "500 answers of 530 KB were asked for; 32 MB may wait")
        self.assertLess(max(live.answers), 3)
        self.is_served()

    def test_long_answers_are_all_given_to_one_who_reads_them_slowly(self):
        client = self.slow_client(400_000)
        asked = client.cipher.seal(request("GETLOG", {"token": "large"}, token="t"))
        for _ in range(30):
            client.socket.send(asked, copy=False)
        for number in range(30):
            self.assertTrue(client.socket.poll(20_000 * SLOWNESS), f"answer {number} is missing")
            self.assertGreater(len(client.socket.recv(copy=False)), 400_000)
            time.sleep(0.01)

    def test_a_client_that_reads_no_answers_is_cut_and_memory_stays_bounded(self):
        client = self.slow_client(100_000)
        asked = client.cipher.seal(request("GETLOG", {"token": "large"}, token="t"))
        pings = client.cipher.seal(request("PING", token="p"))
        with Peak(self.pid) as peak, LivePeer(self.live) as live:
            for number in range(100_000):
                client.socket.send(asked if number % 10 == 0 else pings, copy=False)
            self.poller.wait_log(rf"WARNING.*session of {re.escape(client.routing_id)} ended: it leaves more unread than gorgonecore.max_unread_bytes allows", 60)
        self.assertLess(peak.grown_kb, 150_000, "10,000 answers of 100 KB were asked for")
        self.assertLess(live.percentile(0.9), 0.3)
        self.assertLess(max(live.answers), 3)
        client.socket.close(0)
        eventually(lambda: memory_kb(self.pid) < peak.before + 40_000, 10, "the giving back of the memory")
        self.is_served()

    def test_a_burst_of_a_hundred_thousand_messages_is_answered_to_one_who_reads(self):
        client = self.dial(self.poller, self.central)
        client.socket.rcvhwm = client.socket.sndhwm = 0
        ping = client.cipher.seal(request("PING", token="p"))
        with Peak(self.pid) as peak, LivePeer(self.live) as live:
            waiting = 0
            for _ in range(100_000):
                client.socket.send(ping, copy=False)
                waiting += 1
                while waiting > 500 or (waiting and client.socket.poll(0)):
                    self.assertTrue(client.socket.poll(20_000 * SLOWNESS), f"{waiting} answers are missing")
                    client.socket.recv(copy=False)
                    waiting -= 1
            while waiting:
                self.assertTrue(client.socket.poll(20_000 * SLOWNESS), f"{waiting} answers are missing")
                client.socket.recv(copy=False)
                waiting -= 1
        self.assertLess(peak.grown_kb, 60_000)
        self.assertLess(max(live.answers), 3)


if __name__ == "__main__":
    unittest.main()
