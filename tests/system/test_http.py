"""The HTTP API from outside: answers, errors, TLS, passwords, allowed hosts."""
import http.client
import os
import socket
import ssl
import subprocess
import time
import unittest
import warnings

from api import Api, codes, outputs
from fleet import FleetCase, eventually

ADDRESS = {"address": "127.0.0.1", "port": 0}


class Answers(FleetCase):
    def start_central(self, **httpserver):
        central = self.make_central()
        central.nodes()
        if httpserver:
            central.replace_module("httpserver", **ADDRESS, **httpserver)
        return central.start()

    def test_errors_are_told_as_deployed_daemons_tell_them(self):
        api = self.start_central().api()
        unknown = {"error": "method_unknown", "message": "Method not implemented"}
        self.assertEqual(api.request("GET", "/index.html"), (403, {"error": "http_error_403", "message": "forbidden"}))
        self.assertEqual(api.request("GET", "/api/no/such/thing"), (404, unknown))
        self.assertEqual(api.request("GET", "/api/nodes/2/no/such/thing"), (404, unknown))
        for body in ("{", "[1,", "hello"):
            self.assertEqual(api.request("POST", "/api/core/action/command", body),
                             (400, {"error": "decode_error", "message": "POST content must be JSON-formated"}))

    def test_a_token_without_rows_is_told(self):
        api = self.start_central().api()
        token = "0" * 128
        self.assertEqual(api.request("GET", f"/api/log/{token}"),
                         (200, {"error": "no_log", "message": "No log found for token", "data": [], "token": token}))

    def test_a_log_names_its_token(self):
        api = self.start_central().api()
        token = api.submit(None, "true")
        api.poll(None, token)
        body = api.get(f"/api/log/{token}")
        self.assertEqual((body["message"], body["token"]), ("Logs found", token))
        self.assertEqual({row["token"] for row in body["data"]}, {token})

    def test_filters_narrow_a_log(self):
        api = self.start_central().api()
        token = api.submit(None, "true")
        rows = api.poll(None, token)
        self.assertEqual(codes(api.log(None, token, code=2)), [2])
        self.assertEqual(codes(api.log(None, token, limit=1)), [2], "the newest are taken")
        self.assertEqual([row["id"] for row in api.log(None, token, id=rows[1]["id"])], [row["id"] for row in rows[2:]])

    def test_the_daemon_tells_of_itself(self):
        central = self.start_central()
        api = central.api()
        self.assertEqual(api.get("/api/internal/thumbprint")["data"]["thumbprint"], central.thumbprint())
        information = api.get("/api/internal/information")["data"]
        self.assertEqual(information["modules"]["action"], "gorgone::modules::core::action::hooks")
        self.assertLessEqual({"httpserver", "action", "register", "proxy", "dbcleaner"}, set(information["modules"]))
        self.assertEqual(information["api_endpoints"]["POST_/core/action/command"], "COMMAND")
        self.assertGreaterEqual(information["counters"]["total"], 1)

    def test_what_is_asked_of_the_daemon_by_its_id_is_in_the_log_of_its_token(self):
        central = self.start_central()
        self.assert_answers_in_log(central, 1, central)
        self.assertEqual([row["data"] for row in central.api().asked(1, "constatus")], [{"action": "constatus", "message": "ok", "data": {}}])

    def test_what_is_answered_at_once_makes_no_rows(self):
        central = self.start_central()
        api = central.api()
        for _ in range(20):
            api.nodes()
        api.asked(1, "thumbprint")  # its row is behind those
        self.assertEqual([row for row in central.database_rows() if "constatus" in row["data"]], [])

    def test_the_log_level_is_changed_while_it_runs(self):
        central = self.make_central()
        central.nodes()
        central.severity = "error"
        central.launch()
        eventually(lambda: central.log_file.exists(), 10, "the log file")
        # Nothing tells the port at this level, so it is asked of the kernel.
        central.http_port = eventually(lambda: listening_port(central.process.pid), 10, "a listening port")
        api = central.api()
        eventually(lambda: self.reachable(api), 5, "an answer of the API")
        self.assertNotIn(" - DEBUG - ", central.log())
        status, body = api.request("POST", "/api/internal/logger", {"severity": "debug"})
        self.assertEqual((status, body), (204, ""), "as deployed daemons answer")
        status, body = api.request("POST", "/api/internal/logger", {"severity": "loud"})
        self.assertEqual((status, body["error"]), (400, "invalid_parameter"))
        self.assertIn('got "loud", expected debug', body["message"])
        eventually(lambda: (api.submit(None, "true"), " - DEBUG - " in central.log())[1], 5, "a line at the level debug")
        api.request("POST", "/api/internal/logger", {"severity": "default"})
        time.sleep(0.5)
        quiet = len(central.log())
        api.poll(None, api.submit(None, "true"))
        self.assertEqual(len(central.log()), quiet)

    @staticmethod
    def reachable(api):
        try:
            return api.nodes() is not None
        except OSError:
            return False

    def test_requests_on_one_connection_are_answered_in_order(self):
        central = self.start_central()
        with socket.create_connection(("127.0.0.1", central.http_port), 10) as connection:
            line = "GET /api/log/{} HTTP/1.1\r\nHost: x\r\n\r\n"
            connection.sendall("".join(line.format(f"tok{number:03}") for number in range(50)).encode())
            stream = connection.makefile("rb")
            for number in range(50):
                self.assertTrue(stream.readline().startswith(b"HTTP/1.1 200"))
                length = 0
                while (header := stream.readline()) != b"\r\n":
                    if header.lower().startswith(b"content-length:"):
                        length = int(header.split(b":")[1])
                answer = stream.read(length)
                self.assertIn(f"tok{number:03}".encode(), answer)

    def test_a_client_that_sends_nonsense_or_nothing_harms_nobody(self):
        central = self.start_central()
        idle = socket.create_connection(("127.0.0.1", central.http_port), 10)
        self.addCleanup(idle.close)
        with socket.create_connection(("127.0.0.1", central.http_port), 10) as connection:
            connection.sendall(b"\x16\x03\x01\x00\xff nonsense\r\n\r\n")
            connection.settimeout(10)
            self.assertRegex(connection.recv(100) or b"closed", rb"^(HTTP/1.1 400|closed)")
        half = socket.create_connection(("127.0.0.1", central.http_port), 10)
        self.addCleanup(half.close)
        half.sendall(b"POST /api/core/action/command HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n[")
        self.assertEqual(outputs(central.api().run(None, "echo fine")), ["fine"])


class Doors(FleetCase):
    def start_central(self, **httpserver):
        central = self.make_central()
        central.nodes()
        central.replace_module("httpserver", **ADDRESS, **httpserver)
        return central.start()

    def certificate(self):
        key, certificate = self.directory / "http.key", self.directory / "http.crt"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj",
                        "/CN=gorgone-test", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        return str(key), str(certificate)

    def test_tls_with_a_password(self):
        key, certificate = self.certificate()
        central = self.start_central(ssl=True, ssl_cert_file=certificate, ssl_key_file=key,
                                     auth={"enabled": True, "user": "admin", "password": "pa:ss wörd"})
        self.assertIn("listening on https://", central.log())
        tls = ssl.create_default_context(cafile=certificate)
        denied = (401, {"error": "http_error_401", "message": "unauthorized"})
        port = central.http_port
        self.assertEqual(outputs(Api("127.0.0.1", port, "admin", "pa:ss wörd", tls).run(None, "echo fine")), ["fine"])
        self.assertEqual(Api("127.0.0.1", port, tls=tls).request("GET", "/api/internal/constatus"), denied)
        self.assertEqual(Api("127.0.0.1", port, "admin", "wrong", tls).request("GET", "/api/internal/constatus"), denied)
        self.assertEqual(Api("127.0.0.1", port, "root", "pa:ss wörd", tls).request("POST", "/api/core/action/command", []), denied)
        with self.assertRaises((OSError, http.client.HTTPException)):
            Api("127.0.0.1", port, "admin", "pa:ss wörd").request("GET", "/api/internal/constatus")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with self.assertRaises(OSError):
            Api("127.0.0.1", port, "admin", "pa:ss wörd", old).request("GET", "/api/internal/constatus")
        self.assertNotIn("pa:ss", central.log(), "a secret is in the log")

    def test_only_allowed_hosts_are_served(self):
        central = self.start_central(allowed_hosts={"enabled": True, "subnets": ["127.0.0.1/32", "127.0.8.0/24"]})
        denied = (401, {"error": "http_error_401", "message": "unauthorized"})
        for source, served in (("127.0.0.1", True), ("127.0.8.77", True), ("127.0.0.2", False), ("127.0.9.1", False)):
            answer = central.api(source=source).request("GET", "/api/internal/constatus")
            if served:
                self.assertEqual(answer[0], 200, source)
            else:
                self.assertEqual(answer, denied, source)

    def test_a_port_in_use_is_told_and_the_daemon_goes_on(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            central = self.make_central()
            central.nodes()
            port = taken.getsockname()[1]
            central.replace_module("httpserver", address="127.0.0.1", port=port)
            central.launch()
            central.wait_log(rf"ERROR.*httpserver.*\b{port}\b")
            self.assertTrue(central.alive())

    def test_a_port_that_a_deployed_daemon_has_left_is_free_at_once_and_one_that_it_has_is_not(self):
        # Its connections had SO_REUSEPORT and not SO_REUSEADDR, and the kernel knows them for a minute.
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            port = listener.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port)) as client:
                listener.accept()[0].close()
                self.assertEqual(client.recv(1), b"")
            central = self.make_central()
            central.nodes()
            central.replace_module("httpserver", address="127.0.0.1", port=port)
            central.launch()
            central.wait_log(rf"ERROR.*httpserver.*\b{port}\b.*Address already in use")
            central.stop()
        with socket.socket() as plain, self.assertRaises(OSError):
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            plain.bind(("127.0.0.1", port))
        central.start()
        self.assertEqual(central.api().request("GET", "/api/internal/constatus")[0], 200)

    def test_a_missing_certificate_is_told(self):
        central = self.make_central()
        central.nodes()
        central.replace_module("httpserver", **ADDRESS, ssl=True, ssl_cert_file="/nowhere/http.crt", ssl_key_file="/nowhere/http.key")
        central.launch()
        central.wait_log(r"ERROR.*/nowhere/http\.(crt|key)")
        self.assertTrue(central.alive())


def listening_port(pid):
    """The TCP port on which a process listens, by /proc."""
    inodes = set()
    for entry in os.listdir(f"/proc/{pid}/fd"):
        try:
            inodes.add(os.readlink(f"/proc/{pid}/fd/{entry}"))
        except OSError:
            pass
    with open("/proc/net/tcp") as table:
        for fields in (line.split() for line in table.readlines()[1:]):
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                return int(fields[1].split(":")[1], 16)
    return None


if __name__ == "__main__":
    unittest.main()
