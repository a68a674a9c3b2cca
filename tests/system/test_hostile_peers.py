"""What a single peer says to the listener, with a session and without: it is refused by name or answered, and harms nobody else."""
import base64
import json
import os
import re
import struct
import subprocess
import time
import unittest

import zmq

from api import outputs
from fleet import FleetCase, eventually
from hostile import connect, cpu_seconds, memory_kb
from dialer import Dialer, Refused  # found by way of fleet
from pace import SLOWNESS, clock
from protocol import compact, draw_key, read_private_key, request, thumbprint, write_public_key
from strangers import GREETING, HANDSHAKE_ISSUE, Strangers, outputs_of, ready


class Connections(Strangers):
    """What ZeroMQ drops before it is a message; each of these is the only one of its 5 s."""
    EXPECTED = "expected a greeting of ZMTP 3 with the mechanism NULL"

    def refusal(self, payload, why, pause=0.1 * SLOWNESS):
        def is_told():
            # A moment in which the daemon asks for the address of who has come: a busy machine may need another one.
            connection = connect(self.poller.port)
            time.sleep(pause)
            address = "127.0.0.1:%d" % connection.getsockname()[1]
            connection.sendall(payload)
            time.sleep(pause)
            connection.close()
            try:
                return self.poller.wait_log(rf"WARNING - \[core\] refused a connection of {re.escape(address)}: {why}", 10)
            except AssertionError:
                return None
        self.assertTrue(any(is_told() for _ in range(3)), why)

    def test_noise_is_told_with_its_address_and_what_was_expected(self):
        self.refusal(b"\xff" * 200, f"its greeting names another security mechanism; {self.EXPECTED}")
        self.refusal(bytes(200), rf"what it sent is no ZMTP, or a frame of more than \d+ bytes \(max_message_size\); {self.EXPECTED}")

    def test_a_handshake_that_is_broken_or_asks_for_another_mechanism_is_told(self):
        self.refusal(GREETING.replace(b"NULL\x00", b"CURVE"), f"its greeting names another security mechanism; {self.EXPECTED}")
        self.refusal(GREETING + b"\x04\xff\x05READY" + bytes(250), rf"(its handshake is broken|what it sent is no ZMTP).*{self.EXPECTED}")

    def test_a_greeting_that_stops_half_way_is_told_when_its_sender_goes(self):
        self.refusal(GREETING[:10], f"it went away after 10 bytes, in the middle of its greeting; {self.EXPECTED}")
        self.refusal(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", f"it went away after 27 bytes, in the middle of its greeting; {self.EXPECTED}")

    def test_one_that_looks_whether_the_port_is_open_is_not_told(self):
        for _ in range(5):
            connection = connect(self.poller.port)
            time.sleep(0.05)
            connection.close()
        time.sleep(6)
        self.assertEqual(self.log_lines("refused a connection"), [])

    def test_who_does_not_greet_to_the_end_is_closed_after_30_s_and_told(self):
        begun = ready()[:5]
        kinds = {"silent": b"", "half a greeting": GREETING[:10], "a greeting": GREETING, "half a handshake": GREETING + begun,
                 "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"}
        started, held = time.monotonic(), {}
        for kind, payload in kinds.items():
            held[kind] = connect(self.poller.port, payload)
            self.addCleanup(held[kind].close)
        time.sleep(25)
        self.assertEqual([kind for kind, connection in held.items() if not self.is_open(connection)], [], "closed too early")
        eventually(lambda: not any(map(self.is_open, held.values())), 10, "the end of all of them")
        self.assertGreater(time.monotonic() - started, 29)
        self.assertLess(clock() - started / SLOWNESS, 33)
        self.poller.wait_log(rf"WARNING - \[core\] refused a connection of 127\.0\.0\.1:\d+: it has not greeted within 30 s; {self.EXPECTED}", 10)
        self.is_served()


class Greetings(Strangers):
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

    def test_one_peers_flood_does_not_hide_another_from_the_log(self):
        noisy, other = self.stranger(), self.stranger("gorgone-wrongly-configured")
        for _ in range(300):
            noisy.send(b"[x]")
        self.assertEqual(self.take_all(noisy, 300), 300)
        self.assertEqual(self.answer(other, self.helo(write_public_key(draw_key()))), HANDSHAKE_ISSUE)
        self.poller.wait_log(r"refused a message of gorgone-wrongly-configured: its key \S+ is not listed", 5)


class Messages(Strangers):
    def test_messages_of_other_than_one_frame_are_dropped_whole(self):
        sealed = self.live.cipher.seal(request("PUTLOG", {"code": 120, "etime": 1_700_000_000, "token": "smuggled", "data": {"x": 1}}))
        for frames in ([sealed, b""], [b"", sealed], [sealed, sealed], [sealed] * 3, [sealed] * 50,
                       [b"[GETPUBKEY]", self.live.routing_id.encode(), sealed], [b"x"] * 2000):
            self.live.socket.send_multipart(frames)
        self.is_served()
        self.assertEqual(self.live.rows(token="smuggled"), [])
        self.poller.wait_log(rf"WARNING.*{re.escape(self.live.routing_id)}: dropped a message of 2 frames, expected 1", 5)

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
