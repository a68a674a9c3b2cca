"""The HTTP server among hostile clients: each is told what was wrong, nobody else waits, memory and connections stay bounded."""
import base64
import collections
import concurrent.futures
import contextlib
import http.client
import json
import re
import resource
import socket
import sqlite3
import ssl
import subprocess
import threading
import time
import unittest

from api import Api, outputs
from fleet import BIN, FleetCase, eventually
from hostile import Peak, connect, descriptors, limited, memory_kb
from pace import SLOWNESS, clock

ADDRESS = {"address": "127.0.0.1", "port": 0}


class Hostile(FleetCase):
    options = {}

    def setUp(self):
        self.central = self.make_central()
        self.central.nodes()
        self.central.replace_module("httpserver", **ADDRESS, **self.options)
        self.central.start()
        self.pid, self.port = self.central.process.pid, self.central.http_port

    def exchange(self, payload, port=None, timeout=10 * SLOWNESS):
        """What comes back until the server closes: status (0: nothing), headers, body of the first answer."""
        with connect(port or self.port) as connection:
            connection.settimeout(timeout)
            with contextlib.suppress(ConnectionError):
                connection.sendall(payload)
            return self.read(connection)

    @staticmethod
    def read(connection):
        received = b""
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                received += piece
                head, gap, rest = received.partition(b"\r\n\r\n")
                length = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                if gap and length and len(rest) >= length[0]:
                    break
        if not received:
            return 0, {}, None
        head, _, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        return int(first.split()[1]), headers, json.loads(rest[:int(headers["content-length"])]) if rest else None

    def is_served(self):
        started = clock()
        self.assertEqual(self.central.api().request("GET", "/api/internal/constatus")[0], 200)
        self.assertLess(clock() - started, 1)


class Requests(Hostile):
    def test_broken_request_lines_and_headers_are_answered_400_and_the_connection_is_closed(self):
        for text in (b"\r\n\r\n\r\n\r\nx\r\n\r\n", b"GET\r\n\r\n", b"GET /api\r\n\r\n", b"GET /api HTTP/9.9\r\n\r\n", b"GET /api HTTP/1.1 x\r\n\r\n",
                     b"GET /a b HTTP/1.1\r\n\r\n", b"G\x00T /api HTTP/1.1\r\n\r\n", b"GET /api HTTP/1.1\r\nno colon\r\n\r\n",
                     b"GET /api HTTP/1.1\r\n: no name\r\n\r\n", b"GET /api HTTP/1.1\r\nHost: x\r\n folded\x00\r\n\r\n",
                     b"POST /api HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"POST /api HTTP/1.1\r\nContent-Length: x\r\n\r\n",
                     b"POST /api HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
                     b"POST /api HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
                     b"POST /api HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                     b"POST /api/core/action/command HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"\x00" * 100 + b"\r\n\r\n", b"\xff" * 100 + b"\r\n\r\n"):
            status, headers, body = self.exchange(text)
            self.assertEqual((status, headers.get("connection")), (400, "close"), text)
            self.assertIn("error", body, text)
        self.is_served()

    def test_a_head_beyond_the_limit_is_answered_431(self):
        for text in (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", b"GET /api HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
                     b"GET /api HTTP/1.1\r\n" + b"X: y\r\n" * 5_000 + b"\r\n", b"G" * 100_000):
            status, _, body = self.exchange(text)
            self.assertIn((status, body["error"]), ((431, "http_error_431"), (400, "bad_request")), text[:30])
        status, _, body = self.exchange(b"GET /api HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n")
        self.assertEqual((status, body["message"]), (431, "the request's head is longer than 16384 bytes"))

    def test_chunks_that_come_byte_by_byte_make_a_body(self):
        head = b"POST /api/core/action/command HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        for body in (b"0\r\n\r\n", b"2\r\n[]\r\n0\r\n\r\n", b"0\r\n1::\xd3\r\n0\r\n4\n."):
            connection = connect(self.port, head)
            for byte in body:
                time.sleep(0.02)
                connection.sendall(bytes([byte]))
            if body.endswith(b"\r\n\r\n"):
                self.assertTrue(connection.recv(100).startswith(b"HTTP/1.1 200"), body)
            connection.close()
        self.is_served()

    def test_a_body_beyond_the_limit_is_answered_413_and_not_kept(self):
        head = b"POST /api/core/action/command HTTP/1.1\r\nHost: x\r\n"
        with Peak(self.pid) as peak:
            status, _, body = self.exchange(head + b"Content-Length: 8388609\r\n\r\n[")
            self.assertEqual((status, body), (413, {"error": "http_error_413", "message": "the request's body is longer than 8388608 bytes"}))
            status, _, body = self.exchange(head + b"Content-Length: 9223372036854775807\r\n\r\n" + b"[" * 100_000)
            self.assertEqual(status, 413)
            chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
            status, _, _ = self.exchange(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 200)
            self.assertEqual(status, 413)
        self.assertLess(peak.grown_kb, 40_000)
        largest = json.dumps([{"command": "true " + "x" * 8_000_000}])
        self.assertEqual(self.central.api().request("POST", "/api/core/action/command", largest)[0], 200, "what is below the limit is taken")
        eventually(lambda: memory_kb(self.pid) < peak.before + 30_000, 10, "the giving back of the memory")

    def test_tricks_with_paths_lead_nowhere(self):
        expected = {"/": 403, "/api": 404, "//api/internal/constatus": 403, "/../api/internal/constatus": 403, "/api/../internal/constatus": 404,
                    "/api/internal/../internal/constatus": 404, "/api/%2e%2e/%2e%2e/etc/passwd": 404, "/api%2finternal%2fconstatus": 403,
                    "/api/internal%2fconstatus": 404, "/api/internal/constatus%00": 404, "/api//internal/constatus": 404, "/API/internal/constatus": 403,
                    "/api/nodes/../internal/constatus": 404, "/api/nodes/%2e%2e%2f/internal/constatus": 400, "/api/nodes/a%00b/core/action/command": 400,
                    "/api/%": 400, "/api/%zz": 400, "/api/\x7f": 400, "http://elsewhere.example/api/internal/constatus": 200, "*": 400, "api/internal/constatus": 400,
                    "/api/internal/constatus?%": 400, "/api/log/%00?limit=1": 200, "/api/log/x?limit=-1": 400, "/api/log/x?limit=1e9": 400,
                    "/api/log/x?ctime=nan": 400, "/api/log/x?id=99999999999999999999": 400, "/api/core/action/command/" + "a/" * 3000: 405}
        for path, status in expected.items():
            got = self.exchange(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            if path == "/api/nodes/../internal/constatus":
                self.assertIn(got[0], (400, 404), path)  # ".." may be no node, or none that serves this
                continue
            self.assertEqual(got[0], status, f"{path[:60]} {got[2]}")
        self.assertNotIn("root:", self.central.log())
        self.is_served()

    def test_a_wrong_method_is_answered_405_with_those_allowed(self):
        for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW", "post"):
            status, headers, body = self.exchange(f"{method} /api/core/action/command HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            self.assertEqual((status, headers.get("allow")), (405, "POST"), method)
        self.assertEqual(self.exchange(b"POST /api/log/x HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")[1]["allow"], "GET")
        self.assertEqual(self.exchange(b"CONNECT x:1 HTTP/1.1\r\n\r\n")[0] // 100, 4)

    def test_content_that_is_no_json_is_answered_400_and_bytes_that_are_no_utf8_are_taken(self):
        wrong = {"error": "decode_error", "message": "POST content must be JSON-formated"}
        for body in (b"{", b"\0", b"[" * 100_000, b"\xff\xfe[\0]\0", b"[1]x", b"nan", b"'a'", b"[1,]"):
            payload = b"POST /api/core/action/command HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            self.assertEqual(self.exchange(payload)[::2], (400, wrong), body[:20])
        body = b'[{"command":"echo \xe4"}]'
        status, _, answer = self.exchange(b"POST /api/core/action/command?log_wait=5000000 HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        self.assertEqual(status, 200)
        self.assertEqual(outputs([{**row, "data": json.loads(row["data"])} for row in answer["data"]]), ["ä"])

    def test_pipelined_requests_without_reading_the_answers_are_bounded(self):
        with connect(self.port) as connection, Peak(self.pid) as peak:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setblocking(False)
            request, sent = b"GET /api/internal/information HTTP/1.1\r\nHost: x\r\n\r\n" * 100, 0
            end = time.monotonic() + 2
            while time.monotonic() < end and sent < 50_000_000:
                try:
                    sent += connection.send(request)
                except BlockingIOError:
                    time.sleep(0.01)
            self.is_served()
        self.assertLess(peak.grown_kb, 15_000)

    def test_a_client_that_hangs_up_in_the_middle_leaves_nothing_behind(self):
        before = descriptors(self.pid)
        for number in range(300):
            with connect(self.port, b"POST /api/core/action/command?log_wait=30000000 HTTP/1.1\r\nContent-Length: 26\r\n\r\n" +
                         (b'[{"command":"sleep 0.01"}]' if number % 2 else b"[")) as connection:
                if number % 3 == 0:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset in place of an end
        eventually(lambda: descriptors(self.pid) <= before + 3, 15, "the closing of the descriptors")
        self.is_served()


class SlowClients(Hostile):
    options = {"request_timeout": 2, "idle_timeout": 2, "max_connections": 300}

    def test_requests_that_trickle_in_are_answered_408_and_idle_connections_are_closed(self):
        beginnings = [b"G", b"GET /api HTTP/1.1\r\nX: ", b"POST /api/core/action/command HTTP/1.1\r\nContent-Length: 100\r\n\r\n[", b""]
        held = [(text, connect(self.port, text)) for text in beginnings for _ in range(30)]
        started, ended = time.monotonic(), threading.Event()

        def trickle():
            while not ended.wait(0.3):
                for _, connection in held[:60]:
                    with contextlib.suppress(OSError):
                        connection.send(b"x")

        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        self.is_served()
        for text, connection in held:
            connection.settimeout(3 + 5 * SLOWNESS)
            status, _, body = self.read(connection)
            if text:
                self.assertEqual((status, body["message"]), (408, "the request did not arrive within 2 seconds"), text)
            else:
                self.assertEqual(status, 0, "an idle connection is closed without a word")
            connection.close()
        self.assertLess(time.monotonic() - started, 2 + 5 * SLOWNESS)
        ended.set()
        thread.join()

    def test_thousands_of_silent_connections_are_bounded_and_keep_nobody_out(self):
        before, memory = descriptors(self.pid), memory_kb(self.pid)
        held = []
        for _ in range(11):
            held += [connect(self.port) for _ in range(300)]
            self.is_served()
        self.assertLess(descriptors(self.pid), before + 300 + 80)
        self.assertLess(memory_kb(self.pid), memory + 30_000)
        self.central.wait_log(r"WARNING - \[httpserver\] the oldest connections without a request are closed for others: there are 300 already "
                              r"\(max_connections\)", 5)
        self.assertLess(len([line for line in self.central.log().splitlines() if "are closed for others" in line]), 5)
        for connection in held:
            connection.close()
        eventually(lambda: descriptors(self.pid) <= before + 3, 10, "the closing of the descriptors")

    def test_thousands_of_connections_that_ask_are_bounded_and_the_next_ones_are_told(self):
        before, memory = descriptors(self.pid), memory_kb(self.pid)
        held = [connect(self.port, b"GET /api/log/none?log_wait=10000000 HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(300)]
        eventually(lambda: descriptors(self.pid) >= before + 300, 2, "300 connections taken")
        time.sleep(0.5)
        status, headers, body = self.exchange(b"")
        self.assertEqual((status, headers["retry-after"], body["error"]), (503, "1", "http_error_503"))
        more = [connect(self.port) for _ in range(3000)]
        self.assertLess(descriptors(self.pid), before + 300 + 80)
        self.assertLess(memory_kb(self.pid), memory + 30_000)
        self.central.wait_log(r"WARNING - \[httpserver\] connections are refused: there are 300 already \(max_connections\)", 5)
        self.assertLess(len([line for line in self.central.log().splitlines() if "connections are refused" in line]), 5)
        for connection in held + more:
            connection.close()
        eventually(lambda: self.can_be_reached(), 20, "an answer after the flood")
        eventually(lambda: descriptors(self.pid) <= before + 3, 10, "the closing of the descriptors")

    def can_be_reached(self):
        with contextlib.suppress(OSError, AssertionError, http.client.HTTPException):
            return self.central.api().request("GET", "/api/internal/constatus")[0] == 200

    @unittest.skipIf("asan" in BIN.parts, "UBSan looks at memory through a pipe, and takes the want of descriptors for a broken object")
    def test_without_free_descriptors_it_goes_on_and_recovers(self):
        with limited(self.pid, resource.RLIMIT_NOFILE, descriptors(self.pid) + 20):
            held = [connect(self.port) for _ in range(60)]
            self.central.wait_log(r"WARNING - \[httpserver\] cannot accept a connection, trying again in 1 s: Too many open files", 5)
            time.sleep(0.5)
            self.assertLess(len([line for line in self.central.log().splitlines() if "cannot accept" in line]), 5)
            for connection in held:
                connection.close()
        eventually(self.can_be_reached, 5, "an answer once there are descriptors again")


class Passwords(Hostile):
    options = {"auth": {"enabled": True, "user": "jürgen", "password": "pä:ß 漢"}}

    def ask(self, credentials, source="127.0.0.1"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20 * SLOWNESS, source_address=(source, 0))
        headers = {"Authorization": credentials} if credentials is not None else {}
        connection.request("GET", "/api/internal/constatus", headers=headers)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        return answer.status, answer.getheader("WWW-Authenticate"), body

    @staticmethod
    def basic(text):
        return "Basic " + base64.b64encode(text).decode()

    def test_credentials_beyond_ascii_are_taken_and_wrong_ones_of_every_form_refused(self):
        right = self.basic("jürgen:pä:ß 漢".encode())
        self.assertEqual(self.ask(right)[0], 200)
        self.assertEqual(self.ask(right.replace("Basic", "basic"))[0], 200)
        denied = {"error": "http_error_401", "message": "unauthorized"}
        wrongs = (None, "", "Basic", "Basic ", "Basic !!!", "Bearer x", right + "x", right[:-2], self.basic(b""), self.basic(b":"), self.basic(b"\0" * 100),
                  self.basic("jürgen:".encode()), self.basic("jürgen".encode()), self.basic("jürgen:pä:ß 漢\0".encode()),
                  self.basic("JÜRGEN:pä:ß 漢".encode()), "Basic " + "A" * 10_000, self.basic(b"\xff\xfe:\xff"))
        # Each from an address of its own, so that it waits for no other's guesses.
        with concurrent.futures.ThreadPoolExecutor(len(wrongs)) as pool:
            answers = list(pool.map(lambda number: self.ask(wrongs[number], source=f"127.0.1.{number + 1}"), range(len(wrongs))))
        for wrong, (status, realm, body) in zip(wrongs, answers):
            self.assertEqual((status, body), (401, denied), wrong)
            self.assertIn("Basic", realm)
        self.assertNotIn("pä:ß", self.central.log())

    def test_guesses_get_slower_and_delay_nobody_else(self):
        right, wrong = self.basic("jürgen:pä:ß 漢".encode()), self.basic("jürgen:x".encode())
        times = []

        def guess():
            for _ in range(3):
                started = time.monotonic()
                self.assertEqual(self.ask(wrong, "127.0.2.1")[0], 401)
                times.append(time.monotonic() - started)

        thread = threading.Thread(target=guess)
        thread.start()
        while thread.is_alive():
            started = clock()
            self.assertEqual(self.ask(right, "127.0.2.2")[0], 200)
            self.assertLess(clock() - started, 0.5)
            time.sleep(0.05)
        thread.join()
        self.assertEqual(len(times), 3)
        self.assertGreater(times[2], 2 * times[0])
        self.assertGreater(times[2], 1)
        self.assertRegex(self.central.log(), r"WARNING - \[httpserver\] a request was refused: wrong user or password \(client=127\.0\.2\.1 delay_ms=\d+\)")

    def test_guesses_over_many_connections_are_no_faster_and_take_no_places(self):
        right, wrong = self.basic("jürgen:pä:ß 漢".encode()), self.basic("jürgen:x".encode())
        known = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20 * SLOWNESS, source_address=("127.0.2.3", 0))

        def served():
            known.request("GET", "/api/internal/constatus", headers={"Authorization": right})
            answer = known.getresponse()
            answer.read()
            return answer.status

        self.assertEqual(served(), 200)
        self.addCleanup(known.close)
        end, statuses, retries = time.monotonic() + 4, collections.Counter(), set()

        def guess():
            while time.monotonic() < end:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20 * SLOWNESS, source_address=("127.0.2.3", 0))
                connection.request("GET", "/api/internal/constatus", headers={"Authorization": wrong})
                answer = connection.getresponse()
                answer.read()
                statuses[answer.status] += 1
                if answer.status == 429:
                    retries.add((answer.getheader("Retry-After"), answer.getheader("Connection")))
                    time.sleep(0.05)
                connection.close()

        threads = [threading.Thread(target=guess) for _ in range(50)]
        for thread in threads:
            thread.start()
        eventually(lambda: statuses[429], 4, "a guess beyond the bound")
        self.assertEqual(self.ask(right, "127.0.2.3")[0], 429, "a password was looked at beyond the bound")
        self.assertEqual(served(), 200, "a client that is known was shut out by the guesses of others")
        self.assertEqual(self.ask(right, "127.0.2.4")[0], 200)
        for thread in threads:
            thread.join()
        # Those that are known end the delays of before: five answers in each half second at most.
        self.assertLessEqual(statuses[401], 5 * 2 * (5 + 4), statuses)
        self.assertEqual(retries, {("5", "close")})
        eventually(lambda: self.ask(right, "127.0.2.3")[0] == 200, 10, "an answer to a client at the address of the guesses")

    def test_a_strangers_body_is_not_read(self):
        with Peak(self.pid) as peak:
            status, _, _ = self.exchange(b"POST /api/core/action/command HTTP/1.1\r\nContent-Length: 8000000\r\n\r\n" + b"x" * 8_000_000)
        self.assertEqual(status, 401)
        self.assertLess(peak.grown_kb, 4_000, "of 8 MB")


class Refusals(Hostile):
    options = {"allowed_hosts": {"enabled": True, "subnets": ["127.0.0.1/32"]}}

    def test_refused_addresses_do_not_fill_the_log(self):
        started = clock()
        for number in range(300):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10, source_address=("127.0.3.1", 0))
            connection.request("GET", "/api/internal/constatus")
            self.assertEqual(connection.getresponse().status, 401)
            connection.close()
        lines = [line for line in self.central.log().splitlines() if "a request was refused" in line]
        self.assertGreaterEqual(len(lines), 3)
        self.assertLessEqual(len(lines), 3 * (2 + (clock() - started) * SLOWNESS / 10))
        self.is_served()


class Bodies(Hostile):
    options = {"max_held_bytes": 16_000_000}

    def test_bodies_of_many_connections_together_are_bounded(self):
        head = b"POST /api/core/action/command HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n"
        with Peak(self.pid) as peak, contextlib.ExitStack() as open_ones:
            def send(_):
                connection = open_ones.enter_context(connect(self.port))
                with contextlib.suppress(OSError):
                    connection.sendall(head + b"x" * 4_000_000)
                return connection
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                connections = list(pool.map(send, range(40)))
            refused = []
            for connection in connections:
                connection.settimeout(0.2)
                with contextlib.suppress(OSError):
                    refused.append(connection.recv(100).startswith(b"HTTP/1.1 503 "))
            self.assertGreater(sum(refused), 30)
            self.is_served()
        self.assertLess(peak.grown_kb, 60_000, "of 160 MB")
        self.assertEqual(self.central.api().request("POST", "/api/core/action/command", json.dumps([{"command": "true " + "x" * 4_000_000}]))[0], 200)


class LongLogs(Hostile):
    def setUp(self):
        super().setUp()
        self.central.stop()
        self.central.configure("50-limit", {"gorgonecore": {"max_log_answer_size": 1_048_576}})
        with sqlite3.connect(self.central.database) as database:
            database.execute("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 39999) INSERT INTO gorgone_history "
                             "(token, code, etime, ctime, instant, data) SELECT 'long', iif(i = 0, 2, 0), ?1, ?1 + i / 7 * 0.00001, 0, "
                             "json_object('number', i, 'filler', hex(zeroblob(512))) FROM n", (int(time.time()) - 60,))
        database.close()
        self.central.start()
        self.pid = self.central.process.pid

    def test_a_log_of_any_length_is_told_in_parts_of_bounded_size(self):
        api, ctime, numbers = self.central.api(), 0, []
        with Peak(self.pid) as peak:
            while True:
                # The token has ended, by its first row.
                body = api.get(f"/api/log/long?ctime={ctime}&log_wait=30000000")
                numbers += [json.loads(row["data"])["number"] for row in body["data"]]
                self.assertLess(len(body["data"]) * 1000, 5_000_000)
                if "more" not in body:
                    break
                self.assertEqual(body["more"], 1)
                ctime = max(float(row["ctime"]) for row in body["data"])
        self.assertEqual(sorted(numbers), list(range(40_000)))
        self.assertLess(peak.grown_kb, 70_000, "of a log of 45 MB, which takes 130 MB as a whole")


class TlsCase(Hostile):
    key, request_timeout, more = "rsa:2048", 2, {}

    def setUp(self):
        key, certificate = self.directory / "http.key", self.directory / "http.crt"
        subprocess.run(["openssl", "req", "-x509", "-newkey", self.key, "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=x",
                        "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        self.options = {"ssl": True, "ssl_cert_file": str(certificate), "ssl_key_file": str(key), "request_timeout": self.request_timeout, **self.more}
        self.trusted = ssl.create_default_context(cafile=certificate)
        super().setUp()

    def is_served(self):
        self.assertEqual(Api("127.0.0.1", self.port, tls=self.trusted).request("GET", "/api/internal/constatus")[0], 200)


def hello_of(trusted):
    """What a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        trusted.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1").do_handshake()
    return outgoing.read()


class ManyHandshakes(TlsCase):
    key, request_timeout = "rsa:4096", 60  # five milliseconds to sign

    def test_handshakes_of_very_many_at_once_hold_up_no_open_connection_and_all_are_answered(self):
        live = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.trusted, timeout=60 * SLOWNESS)
        self.addCleanup(live.close)

        def seconds_of_a_request():
            began = clock()
            live.request("GET", "/api/internal/constatus")
            answer = live.getresponse()
            self.assertEqual((answer.status, json.loads(answer.read())["action"]), (200, "constatus"))
            return clock() - began

        seconds_of_a_request()
        hello = hello_of(self.trusted)
        many = [connect(self.port) for _ in range(600)]
        for connection in many:
            self.addCleanup(connection.close)
        began = clock()
        for connection in many:
            connection.sendall(hello)
        slowest = max(seconds_of_a_request() for _ in range(5))
        for connection in many:
            connection.settimeout(60 * SLOWNESS)
            self.assertEqual(connection.recv(1), b"\x16", "the server's part of the handshake")
        all_of_them = clock() - began
        print(f"SECONDS {slowest:6.2f} for a request beside {len(many)} TLS handshakes that took {all_of_them:.2f}", flush=True)
        self.assertLess(slowest, all_of_them / 4)
        self.is_served()


class CrowdedHandshakes(TlsCase):
    key, request_timeout, more = "rsa:4096", 3, {"max_connections": 200}

    def test_who_says_nothing_more_after_his_hello_holds_no_place(self):
        before, hello = descriptors(self.pid), hello_of(self.trusted)
        held = [connect(self.port) for _ in range(200)]
        # The last of them gets its turn first, while the first of them make room for others.
        for connection in reversed(held):
            connection.sendall(hello)
        held += [connect(self.port) for _ in range(200)]
        self.is_served()
        eventually(lambda: descriptors(self.pid) <= before + 3, 10, "the end of all handshakes within request_timeout")
        for connection in held:
            connection.close()


class Tls(TlsCase):
    def test_handshakes_that_stop_or_are_noise_are_ended_and_harm_nobody(self):
        before = descriptors(self.pid)
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
        held = [connect(self.port, text) for text in (b"", hello[:3], hello, b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 3000, b"\x16\x03\x00\x00\x02\x01\x00") for _ in range(20)]
        self.is_served()
        eventually(lambda: descriptors(self.pid) <= before + 3, 10, "the end of all handshakes within request_timeout")
        for connection in held:
            connection.close()
        self.assertLessEqual(self.central.log().count("a request was refused: "), 6, "of an address three in 10 s")

    def test_old_versions_and_weak_ciphers_are_refused(self):
        told = 0
        for version, ciphers in (("-tls1", "ALL:@SECLEVEL=0"), ("-tls1_1", "ALL:@SECLEVEL=0"), ("-tls1_2", "aNULL:@SECLEVEL=0"), ("-tls1_2", "eNULL:@SECLEVEL=0")):
            known = subprocess.run(["openssl", "ciphers", "-s", version, ciphers], capture_output=True, text=True, timeout=20 * SLOWNESS)
            self.assertTrue(known.stdout.strip(), f"nothing would be asked for by {version} {ciphers}: {known.stderr}")
            done = self.s_client(version, "-cipher", ciphers)
            self.assertNotIn("HTTP/1.1", done, f"{version} {ciphers}")
            if ciphers.startswith("ALL"):
                told += 1
                line = r"a request was refused: the TLS handshake failed: unsupported protocol .*, expected TLS 1\.2 or later"
                eventually(lambda: len(re.findall(line, self.central.log())) == told, 5, f"a line for {version}")
        for version in ("-tls1_2", "-tls1_3"):
            self.assertIn("HTTP/1.1 200", self.s_client(version), version)

    def is_told(self, why):
        self.central.wait_log(rf"WARNING - \[httpserver\] a request was refused: {why} \(client=127\.0\.0\.1\)", 5)

    def test_noise_and_a_handshake_that_stops_are_told_with_the_address_and_one_that_goes_away_is_not(self):
        connect(self.port).close()
        noise, stopped = connect(self.port, b"GET / HTTP/1.1\r\n\r\n"), connect(self.port, hello_of(self.trusted)[:20])
        self.is_told(r"the TLS handshake failed: http request .*, expected TLS 1\.2 or later")
        self.is_told(r"no TLS handshake came to its end within 2 s")
        for connection in (noise, stopped):
            connection.close()
        lines = [line for line in self.central.log().splitlines() if "a request was refused" in line]
        self.assertEqual(len(lines), 2, lines)

    def s_client(self, *arguments):
        question = b"GET /api/internal/constatus HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-quiet", *arguments], input=question, capture_output=True, timeout=20 * SLOWNESS)
        return done.stdout.decode(errors="replace")

    def test_tls_without_a_certificate_is_told_by_key_and_the_rest_runs(self):
        central = self.make_central("second")
        central.nodes()
        central.replace_module("httpserver", **ADDRESS, ssl=True)
        central.launch()
        central.wait_log(r"ERROR.*modules\.httpserver\.ssl_cert_file: is missing while ssl is set .*10-httpserver\.yaml:\d+.*expected")
        central.wait_log(r"ERROR.*modules\.httpserver\.ssl_key_file: is missing while ssl is set")
        central.wait_log(r"INFO.*started: \d modules")
        self.assertTrue(central.alive())


if __name__ == "__main__":
    unittest.main()
