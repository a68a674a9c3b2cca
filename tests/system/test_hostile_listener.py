"""The listener among strangers: whatever they send, a live peer is served, memory and log stay bounded, and the log says what it was."""
# tests/run.sh: alone, for it measures how soon a live peer is answered meanwhile.
import base64
import json
import os
import re
import secrets
import struct
import subprocess
import time
import unittest

import zmq

from api import outputs
from fleet import SANITIZERS, FleetCase, eventually
from hostile import LivePeer, Peak, connect, cpu_seconds, descriptors, memory_kb
from dialer import Dialer, Refused  # found by way of fleet
from pace import SLOWNESS, clock
from protocol import compact, draw_key, read_private_key, request, rsa_seal, thumbprint, write_public_key

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16 + 32)
HANDSHAKE_ISSUE = b'[ACK] [] {"code":1,"data":{"message":"handshake issue"}}'


def ready(routing_id=b""):
    """The command of a DEALER that ends ZMTP's greeting."""
    body = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity" + struct.pack(">I", len(routing_id)) + routing_id
    return b"\x04" + bytes([len(body)]) + body


def take(connection, size):
    came = b""
    while len(came) < size:
        part = connection.recv(65536)
        if not part:
            raise AssertionError(f"closed after {came!r}")
        came += part
    return came


class Strangers(FleetCase):
    def setUp(self):
        self.central = self.make_central()
        self.poller = self.make_poller(self.central.thumbprint())
        self.configure()
        self.poller.start()
        self.endpoint = f"tcp://127.0.0.1:{self.poller.port}"
        self.pid = self.poller.process.pid
        self.live = self.dial(self.poller, self.central)
        self.server_key = self.live.ask_key()

    def configure(self):
        pass

    def stranger(self, routing_id=None, **options):
        """A socket that has not greeted."""
        socket = zmq.Context.instance().socket(zmq.DEALER)
        socket.linger = 0
        socket.identity = (routing_id or f"gorgone-stranger-{secrets.token_hex(6)}").encode()
        for name, value in options.items():
            setattr(socket, name, value)
        socket.connect(self.endpoint)
        self.addCleanup(socket.close, 0)
        return socket

    def answer(self, socket, *frames, timeout=5):
        socket.send_multipart(list(frames))
        self.assertTrue(socket.poll(timeout * 1000 * SLOWNESS), f"no answer to {frames[0][:40]!r} within {timeout} s")
        return socket.recv()

    def helo(self, key_pem, secret=b"HELO", name=b"gorgone-stranger"):
        return b"[" + name + b"] [" + base64.b64encode(key_pem) + b"] [" + rsa_seal(self.server_key, secret) + b"]"

    @staticmethod
    def is_open(connection):
        connection.setblocking(False)
        try:
            while connection.recv(65536):
                pass
            return False
        except BlockingIOError:
            return True
        except OSError:
            return False

    def greeted(self, routing_id=b"", receive_buffer=None):
        """A plain TCP connection that ZeroMQ takes frames from: before its own READY it takes none."""
        connection = connect(self.poller.port, GREETING + ready(routing_id), receive_buffer)
        self.addCleanup(connection.close)
        take(connection, len(GREETING + ready()))
        return connection

    def is_served(self):
        self.assertEqual(self.live.call("PING", token="served", timeout=3).token, "served")

    def log_lines(self, text):
        return [line for line in self.poller.log().splitlines() if text in line]


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
            held = [connect(self.poller.port, payload) for _ in range(20) for payload in payloads]
            time.sleep(0.5)
            for connection in held:
                connection.close()
        self.assertLess(max(live.answers), 1)
        self.assertLess(peak.grown_kb, 20_000)
        eventually(lambda: descriptors(self.pid) <= before + 5, 10, "the closing of the connections' descriptors")
        self.assertEqual(outputs_of(self.live.run("echo on")), ["on"])

    def test_a_wrong_routing_id_is_dropped_and_told_with_its_bytes_escaped(self):
        wrong = self.stranger("evil\n2026-01-01 00:00:00 - INFO - [core] all is well\x1b[2J")
        wrong.send(b"[GETPUBKEY]")
        self.assertFalse(wrong.poll(1000))
        line = self.poller.wait_log(r"WARNING.*routing id does not begin with gorgone-", 5)
        self.assertTrue(line)
        self.assertNotIn("\x1b", self.poller.log())
        self.assertFalse([text for text in self.poller.log().splitlines() if text.endswith("all is well\x1b[2J")])
        self.assertEqual(len(self.log_lines("all is well")), 1, "a line break of a stranger made a line of the log")
        self.assertIn("evil\\x0a2026", self.poller.log())
        self.is_served()


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
        self.poller.wait_log(r"WARNING - \[core\] refused a message of 127\.0\.0\.1:\d+: cut off as the oldest of more than 50 connections without a session "
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
    def test_an_unauthorized_key_is_refused_and_named(self):
        key = draw_key()
        with self.assertRaises(Refused):
            Dialer(self.endpoint, key).greet()
        self.poller.wait_log(rf"WARNING - \[core\] refused a message of gorgone-proxy\S+: its key {re.escape(thumbprint(key.public_key()))} "
                             r"is not listed in authorized_clients", 5)

    def test_keys_that_do_not_load_are_refused_and_told(self):
        certificate_of_nothing = b"-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(os.urandom(200)) + b"\n-----END PUBLIC KEY-----\n"
        elliptic = subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"], capture_output=True, check=True).stdout
        elliptic = subprocess.run(["openssl", "ec", "-pubout"], input=elliptic, capture_output=True, check=True).stdout
        for pem in (b"", b"x", os.urandom(100), certificate_of_nothing, elliptic, b"-" * 40_000, write_public_key(draw_key())[:-60]):
            self.assertEqual(self.answer(self.stranger(), self.helo(pem)), HANDSHAKE_ISSUE, pem[:30])
        self.poller.wait_log(r"WARNING.*refused a message of gorgone-stranger\S+: its key does not load", 5)
        self.is_served()

    def test_a_key_of_sixteen_thousand_bits_costs_little(self):
        # Made up: nobody holds its private half, and the listener has to look it up only.
        modulus = (1 << 16383) | int.from_bytes(os.urandom(2000), "big") | 1
        for exponent in (65537, modulus - 2):
            started = cpu_seconds(self.pid)
            pem = made_up_key(modulus, exponent)
            self.assertEqual(self.answer(self.stranger(), self.helo(pem)), HANDSHAKE_ISSUE)
            self.assertLess(cpu_seconds(self.pid) - started, 0.2)

    def test_a_private_key_of_another_kind_in_a_helo_costs_little(self):
        # DSA in PKCS#8, made up: who decodes it as a private key works out a power of 140,000 bits, for minutes.
        number = (1 << 140_000) - 1
        parameters = der(0x30, der_integer(number) + der_integer((1 << 255) - 1) + der_integer(3))
        kind = der(0x30, bytes.fromhex("06072a8648ce380401") + parameters)
        key = base64.encodebytes(der(0x30, der_integer(0) + kind + der(4, der_integer(number >> 1))))
        for label in (b"PUBLIC KEY", b"PRIVATE KEY"):
            started = cpu_seconds(self.pid)
            pem = b"-----BEGIN " + label + b"-----\n" + key + b"-----END " + label + b"-----\n"
            self.assertEqual(self.answer(self.stranger(), self.helo(pem)), HANDSHAKE_ISSUE)
            self.assertLess(cpu_seconds(self.pid) - started, 0.2)
        self.dial(self.poller, self.central)

    def test_a_helo_of_128_kilobytes_of_brackets_costs_little(self):
        for text in (b"[" * 131_072, b"]" * 131_072, b"[x] " * 32_000, b"[a] [b] [c" + b"]" * 60_000, b"[" * 30_000 + b"] [" * 10_000, b"[ " * 32_000 + b"]"):
            started, used = clock(), cpu_seconds(self.pid)
            self.assertEqual(self.answer(self.stranger(), text), HANDSHAKE_ISSUE)
            self.assertLess(clock() - started, 0.5, text[:10])
            self.assertLess(cpu_seconds(self.pid) - used, 0.1, text[:10])

    def test_what_a_peer_wrote_is_escaped_and_cut_in_the_log(self):
        name = b"x\n2026-01-01 00:00:00 - ERROR - [core] forged\x00\x1b[31m" + b"y" * 5000
        pem = write_public_key(read_private_key(self.central.private_key))
        dialer = self.stranger()
        self.assertFalse(self.answer(dialer, self.helo(pem, name=name)).startswith(b"[ACK]"))
        self.poller.wait_log(r"INFO.*session opened for x\\x0a2026", 5)
        log = self.poller.log()
        self.assertFalse([line for line in log.splitlines() if line.startswith("2026-01-01")])
        self.assertNotIn("\x1b", log)
        self.assertNotIn("\0", log)
        self.assertNotIn("y" * 500, log)

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

    def test_one_peers_flood_does_not_hide_another_from_the_log(self):
        noisy, other = self.stranger(), self.stranger("gorgone-wrongly-configured")
        for _ in range(300):
            noisy.send(b"[x]")
        self.assertEqual(self.take_all(noisy, 300), 300)
        self.assertEqual(self.answer(other, self.helo(write_public_key(draw_key()))), HANDSHAKE_ISSUE)
        self.poller.wait_log(r"refused a message of gorgone-wrongly-configured: its key \S+ is not listed", 5)

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

    def take_all(self, socket, count, timeout=60):
        end, taken = clock() + timeout, 0
        while taken < count and clock() < end and socket.poll(5000 * SLOWNESS):
            socket.recv()
            taken += 1
        return taken


class Messages(Strangers):
    def test_messages_of_other_than_one_frame_are_dropped_whole(self):
        sealed = self.live.cipher.seal(request("PUTLOG", {"code": 120, "etime": 1_700_000_000, "token": "smuggled", "data": {"x": 1}}))
        for frames in ([sealed, b""], [b"", sealed], [sealed, sealed], [sealed] * 3, [sealed] * 50,
                       [b"[GETPUBKEY]", self.live.routing_id.encode(), sealed], [b"x"] * 2000):
            self.live.socket.send_multipart(frames)
        self.is_served()
        self.assertEqual(self.live.rows(token="smuggled"), [])
        self.poller.wait_log(rf"WARNING.*{re.escape(self.live.routing_id)}: dropped a message of 2 frames, expected 1", 5)

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

    def test_noise_inside_of_a_session_does_not_end_it(self):
        for frame in (os.urandom(1_000_000), base64.b64encode(os.urandom(3_000_000)), base64.b64encode(os.urandom(16 * 100_000)), b"\0" * 100_000, b"=" * 1000):
            self.assertEqual(self.answer(self.live.socket, frame), HANDSHAKE_ISSUE)
        self.is_served()

    def test_text_that_is_no_message_is_refused_and_the_session_goes_on(self):
        for text in ("[PING]", "[PING] [t]", "[PING] [t] []", "[PING] [t] [", "[PING][t][]{}", "[PING] [t] x {}", "[PING] [t\n] [] {}"):
            self.live.send(text)
            answer = self.live.cipher.open(self.live.take_frame(5))
            self.assertEqual(answer, '[ACK] [] {"code":1,"data":{"message":"request not well formatted"}}', text)
        for text in ("", " ", "PING", "[] [] [] {}", "[PI NG] [] [] {}", "\0[PING] [] [] {}", "{}"):
            self.assertEqual(self.answer(self.live.socket, self.live.cipher.seal(text)), HANDSHAKE_ISSUE, text)
        self.is_served()

    def test_each_action_answers_whatever_stands_in_its_data(self):
        deep = "[" * 100_000 + "]" * 100_000
        texts = ["", "{", "nonsense", "null", "[]", "{}", '""', "-1", "1e999", "[[[", deep, '{"a":' * 100_000 + "1" + "}" * 100_000,
                 '{"content":' + deep + "}", '{"content":{}}', '{"content":[]}', '{"content":null}', '{"content":[null,1,"x",[],{}]}',
                 '{"content":[{"command":{}}]}', '{"content":[{"command":"true","timeout":-1e300}]}', '{"token":{"a":1}}', '{"code":"x"}',
                 '{"id":18446744073709551615,"limit":-9223372036854775808,"code":1e308,"ctime":"x","etime":99999999999999999999999}',
                 '{"code":9223372036854775807,"etime":-9223372036854775808,"token":"limits","data":"\\u0000\\ud800"}',
                 '{"nodes":[{"id":{}},null,{"id":"-1"}]}', "[null]", '{"content":{"severity":{}}}', '{"content":{"name":"\\u0000/../..","package":[]}}',
                 '{"a":"' + "x" * 1_000_000 + '"}', '{"' + "k" * 100_000 + '":1}', "{" + ",".join(f'"k{n}":{n}' for n in range(50_000)) + "}"]
        actions = ["PING", "GETLOG", "PUTLOG", "CONSTATUS", "INFORMATION", "GETTHUMBPRINT", "LOADMODULE", "UNLOADMODULE", "KILL", "ADDLISTENER",
                   "SYNCLOGS", "BCASTLOGGER", "BCASTCOREKEY", "SETMODULEKEY", "COMMAND", "ACTIONENGINE", "PROCESSCOPY", "DBCLEAN", "NOSUCHACTION",
                   "ACK", "KEY", "PONG", "HELO"]
        for action in actions:
            for number, text in enumerate(texts):
                token = f"{action}-{number}"
                self.live.send(f"[{action}] [{token}] [] {text or ' '}")
                answer = self.live.take(10)
                self.assertIn(answer.token, (token, ""), f"{action} {text[:60]}")
                self.assertIn(answer.body["code"], (0, 1, 2), f"{action} {text[:60]}")
        self.assertEqual(outputs_of(self.live.run("echo on")), ["on"])
        self.assertLess(memory_kb(self.pid), 60_000)

    def test_json_that_is_nested_too_deep_is_refused_by_name(self):
        self.live.send("[COMMAND] [deep] [] " + "[" * 100_000 + "]" * 100_000)
        self.live.take()
        rows = self.live.outcome("deep")
        self.assertEqual([int(row["code"]) for row in rows], [1])
        self.live.send("[GETLOG] [deep] [] " + '{"token":' * 100_000 + "1" + "}" * 100_000)
        answer = self.live.take()
        self.assertEqual((answer.kind, answer.body["code"]), ("ACK", 1))
        self.assertIn("nested deeper than 200 levels", compact(answer.body))

    def test_tokens_and_texts_at_every_limit_come_back_as_they_were(self):
        for token in ("x" * 2048, "x" * 100_000, "ä€漢", "a b", "%00", "'; DROP TABLE gorgone_history; --", "../../etc/passwd", "\t", "[[["):
            self.live.send(f"[PING] [{token}] [] {{}}")
            self.assertEqual(self.live.take().token, token, token[:40])
        texts = ["", "\0", "a\0b", "\x01\x1f\x7f", "\\", '"', "\u2028", "\U0001f600", "ÿ" * 1000, "x" * 3_000_000]
        for number, text in enumerate(texts):
            data = {"code": 120, "etime": 1_700_000_000, "token": f"text{number}", "data": {"x": text}}
            self.assertEqual(self.live.call("PUTLOG", data).body["code"], 0, text[:40])
            rows = self.live.rows(token=f"text{number}")
            self.assertEqual([json.loads(row["data"])["x"] for row in rows], [text], text[:40])

    def test_bytes_that_are_no_utf8_and_nul_bytes_are_taken_as_deployed_peers_send_them(self):
        self.live.send(b'[PUTLOG] [l] [] {"code":120,"etime":1700000000,"token":"latin","data":{"x":"\xe4\xff\xc3\xa4"}}')
        self.live.take()
        self.assertEqual(self.live.rows(token="latin")[0]["data"], '{"x":"äÿä"}')
        self.live.send(b"[PING] [nul\0token] [] {}")
        self.assertEqual(self.live.take().token, "nul\0token")
        self.live.send(b'[PING] [t] [] {"a":"\0"}\0\0')
        self.assertEqual(self.live.take().kind, "PONG")


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
            self.poller.wait_log(r"WARNING - \[core\] refused a message of 127\.0\.0\.1:\d+: cut off with \d+ bytes of a message that does not end, of very "
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
        self.poller.wait_log(r"WARNING - \[core\] refused a message of 127\.0\.0\.1:\d+: cut off with \d+ bytes of a message that does not end, for all "
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


class Thieves(FleetCase):
    def test_a_stranger_who_takes_a_live_peers_routing_id_cannot_keep_it_from_its_work(self):
        central = self.make_central()
        central.replace_module("proxy", pong_max_timeout=1)
        poller = self.make_poller(central.thumbprint()).start()
        central.nodes(poller.node(2))
        central.start()
        self.wait_seen(central, 2)
        identity = bytes.fromhex(poller.database_rows("gorgone_identity")[-1]["identity"]).decode()
        self.assertTrue(identity.startswith("gorgone-proxy-1-2-"), identity)
        api, marks = central.api(), self.directory / "marks"
        for number, frame in enumerate((b"noise",)):
            thief = zmq.Context.instance().socket(zmq.DEALER)
            thief.linger, thief.identity, thief.reconnect_ivl = 0, identity.encode(), -1
            thief.connect(f"tcp://127.0.0.1:{poller.port}")
            thief.send(frame)
            self.assertTrue(thief.poll(5000), "the thief is not even connected")
            started = clock()
            rows = api.run(2, f"echo {number} >> {marks}; echo {number}", wait_s=30)
            self.assertEqual(outputs(rows), [str(number)])
            self.assertLess(clock() - started, 25, "5 s until it is pinged, 10 s for the pong")
            thief.close(0)
        self.assertEqual(marks.read_text(), "0\n", "a command was lost or ran twice")


def outputs_of(rows):
    return [json.loads(row["data"])["result"]["stdout"] for row in rows if int(row["code"]) == 100]


def der(tag, content):
    size = len(content)
    return bytes([tag]) + (bytes([size]) if size < 128 else b"\x82" + struct.pack(">H", size)) + content


def der_integer(value):
    return der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def made_up_key(modulus, exponent):
    """PKCS#1 in PEM, written by hand."""
    key = der(0x30, der_integer(modulus) + der_integer(exponent))
    return b"-----BEGIN RSA PUBLIC KEY-----\n" + base64.encodebytes(key) + b"-----END RSA PUBLIC KEY-----\n"


if __name__ == "__main__":
    unittest.main()
