"""Nodes that dial their central by a WebSocket: our node with our central, and what stands between them."""
import re
import signal
import socket
import time
import unittest

from api import codes, outputs
from fleet import eventually
from pace import SLOWNESS, clock
from wss_fleet import TOKEN, Certificates, HttpProxy, ReverseProxy, WssCase, read_head


class Wss(WssCase):
    def test_a_command_runs_on_a_node_behind_a_websocket(self):
        central = self.listen()
        node = self.make_node(central.wss_port).start()
        node.wait_log("link up: ws://127.0.0.1")
        self.wait_seen(central, 2)
        state = central.api().nodes()["2"]
        self.assertEqual((state["type"], state["link"]), ("pullwss", "up"))
        rows = central.api().run(2, "echo 'ä & \"ü\" <x>'; exit 3")
        self.assertEqual((codes(rows), outputs(rows)), ([0, 0, 100, 2], ["ä & \"ü\" <x>"]))

    def test_what_is_asked_of_a_node_is_in_the_log_of_its_token_once(self):
        central = self.listen()
        node = self.make_node(central.wss_port).start()
        self.wait_seen(central, 2)
        self.assert_answers_in_log(central, 2, node)
        # Its row is all that comes of a question: nothing else is awaited, and it is not sent again.
        eventually(lambda: central.api().nodes()["2"]["queue"] == 0, 3, "an empty queue")

    def test_a_node_is_known_by_its_uid(self):
        central = self.listen({"id": 2, "uid": 7000000001, "type": "wss"})
        self.make_node(central.wss_port, identity=7000000001).start()
        self.wait_seen(central, 2)
        self.assertEqual(outputs(central.api().run(2, "echo uid")), ["uid"])

    def test_messages_of_megabytes_pass_in_both_directions(self):
        central = self.listen()
        self.make_node(central.wss_port).start()
        self.wait_seen(central, 2)
        started = clock()
        note = "\"<&ü" * int(600_000 / SLOWNESS)  # 6 MB in the request's JSON, with its escapes
        rows = central.api().run(2, "echo done", metadata={"note": note}, wait_s=60)
        self.assertEqual(outputs(rows), ["done"])
        self.assertTrue(note == rows[-2]["data"]["metadata"]["note"], "the note came back changed")
        took = clock() - started
        sizes = [len(row["data"]) for row in central.database_rows()]
        print(f"a command of 6 MB, and a log of {sum(sizes) / 1e6:.0f} MB back, in {took:.2f} s")
        self.assertGreater(sum(sizes), 5e6 / SLOWNESS)
        self.assertEqual(outputs(central.api().run(2, "echo after")), ["after"])

    def test_a_wrong_token_is_refused_with_the_reason_on_both_sides(self):
        central = self.listen()
        node = self.make_node(central.wss_port, token="wrong").start()
        node.wait_log("no link to ws://127.0.0.1:.*: the central refuses the node: token authorization unallowed")
        central.wait_log("a token that nobody has")
        self.assertEqual(self.link_of(central), "down")
        node.stop()
        self.changed(node, central.wss_port).start()
        self.wait_seen(central, 2)

    def test_a_node_that_nobody_knows_is_refused_until_it_is_registered(self):
        central = self.listen({"id": 9, "type": "wss"})
        node = self.make_node(central.wss_port).start()
        node.wait_log("the central refuses the node: node '2' is unknown")
        central.nodes({"id": 9, "type": "wss"}, {"id": 2, "type": "wss"})
        central.api().request("POST", "/api/core/register/resync", "{}")
        self.wait_seen(central, 2)
        central.nodes({"id": 9, "type": "wss"})
        central.api().request("POST", "/api/core/register/resync", "{}")
        node.wait_log("refuses the node: node '2' is not registered any more")

    def test_a_central_listens_on_the_addresses_that_a_name_has(self):
        central = self.listen(address="localhost")
        self.make_node(central.wss_port, address="localhost").start()
        self.wait_seen(central, 2)
        told = re.findall(r"httpserver: listening on ws://(\S+):(\d+)$", central.log(), re.MULTILINE)
        addresses = {entry[4][0] for entry in socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)}
        self.assertLessEqual({address.strip("[]") for address, _ in told}, addresses)
        self.assertEqual({int(port) for _, port in told}, {central.wss_port})
        for address, port in told:
            socket.create_connection((address.strip("[]"), int(port)), 5).close()

    def test_without_httpserver_the_node_says_which_option_is_missing(self):
        central = self.make_central()
        central.nodes({"id": 2, "type": "wss"})
        central.start()
        central.wait_log("expected httpserver.enable: true, and a token")
        self.assertIn("httpserver.enable", central.api().nodes()["2"]["last_error"])

    def test_either_side_restarted_is_usable_within_five_seconds(self):
        central = self.listen()
        node = self.make_node(central.wss_port).start()
        self.wait_seen(central, 2)
        took = []
        for _ in range(3):
            node.kill()
            self.wait_link(central, "down")
            node.start()
            took.append(self.wait_usable(central))
        print("usable after the node's restart:", ", ".join(f"{seconds:.2f} s" for seconds in took))
        self.assertLess(max(took), 5)
        took = []
        for number in range(3):
            (central.kill if number else central.stop)()
            time.sleep(number)
            central.start()
            started = clock()
            self.wait_link(central, "up")
            self.wait_usable(central)
            took.append(clock() - started)
        print("usable after the central's restart:", ", ".join(f"{seconds:.2f} s" for seconds in took))
        self.assertLess(max(took), 5)

    def test_either_side_restarted_without_its_database_is_usable_within_five_seconds(self):
        central = self.listen()
        node = self.make_node(central.wss_port).start()
        self.wait_seen(central, 2)
        for daemon, what in ((node, "node"), (central, "central")):
            daemon.kill()
            for file in daemon.database.parent.glob("history.sdb*"):
                file.unlink()
            if daemon is node:
                self.wait_link(central, "down")
                mark = self.directory / "mark"
                central.api().submit(2, f"echo ran >> {mark}")
            daemon.start()
            started = clock()
            self.wait_link(central, "up")
            self.wait_usable(central)
            took = clock() - started
            print(f"usable {took:.2f} s after the {what}'s restart without its database")
            self.assertLess(took, 5, what)
        eventually(mark.exists, 5, "the command that waited")
        self.assertEqual(mark.read_text(), "ran\n")

    def test_a_command_given_while_the_node_is_away_runs_when_it_is_back(self):
        central = self.listen()
        node = self.make_node(central.wss_port).start()
        self.wait_seen(central, 2)
        node.stop()
        self.wait_link(central, "down")
        token = central.api().submit(2, "echo later")
        node.start()
        self.assertEqual(outputs(central.api().poll(2, token)), ["later"])

    def test_a_suspended_node_is_noticed_and_usable_again_when_it_goes_on(self):
        central = self.listen(silence_timeout=3)
        node = self.make_node(central.wss_port, ping_timeout=3).start()
        self.wait_seen(central, 2)
        node.process.send_signal(signal.SIGSTOP)
        self.addCleanup(lambda: node.process and node.process.send_signal(signal.SIGCONT))
        started = clock()
        self.wait_link(central, "down")
        self.assertLess(clock() - started, 6)
        self.assertIn("nothing was heard for 3000 ms", central.api().nodes()["2"]["last_error"])
        node.process.send_signal(signal.SIGCONT)
        took = self.wait_usable(central)
        print(f"usable {took:.2f} s after a suspension")
        self.assertLess(took, 5)


class Tls(WssCase):
    def setUp(self):
        self.certificates = Certificates(self.directory / "tls")

    def test_a_certificate_of_a_known_ca_for_the_address_is_taken(self):
        central = self.listen(**self.certificates.issue("central", "DNS:localhost,IP:127.0.0.1"))
        node = self.make_node(central.wss_port, ssl=True, ssl_ca_file=str(self.certificates.ca)).start()
        node.wait_log("link up: wss://127.0.0.1")
        self.assertEqual(outputs(central.api().run(2, "echo sealed")), ["sealed"])
        node.stop()
        self.changed(node, central.wss_port, ssl=True, ssl_ca_file=str(self.certificates.ca), address="localhost").start()
        node.wait_log("link up: wss://localhost")

    def refused(self, alternatives, expected, **keys):
        central = self.listen(**self.certificates.issue("central", alternatives))
        node = self.make_node(central.wss_port, ssl=True, **keys).start()
        line = node.wait_log(r"ERROR - \[pullwss\] no link to wss://\S+: TLS: the certificate is not accepted: .*")[0]
        self.assertIn(expected, line)
        self.assertIn("expected one for the address, from a CA of the system or of ssl_ca_file (tls_verify: false takes any)", line)
        self.assertEqual(self.link_of(central), "down")
        return central, node

    def test_a_certificate_of_an_unknown_ca_is_refused_unless_the_check_is_off(self):
        central, node = self.refused("IP:127.0.0.1", "unable to get local issuer certificate")
        node.stop()
        self.changed(node, central.wss_port, ssl=True, tls_verify=False).start()
        node.wait_log("link up: wss://127.0.0.1")

    def test_a_certificate_for_another_name_is_refused(self):
        self.refused("DNS:other.example,IP:192.0.2.1", "IP address mismatch", ssl_ca_file=str(self.certificates.ca))

    def test_a_node_that_speaks_tls_to_a_plain_central_names_the_layer(self):
        central = self.listen()
        node = self.make_node(central.wss_port, ssl=True).start()
        node.wait_log("no link to wss://127.0.0.1:.*: TLS: ")

    def test_megabytes_pass_over_tls(self):
        central = self.listen(**self.certificates.issue("central", "IP:127.0.0.1"))
        self.make_node(central.wss_port, ssl=True, ssl_ca_file=str(self.certificates.ca)).start()
        self.wait_seen(central, 2)
        size = int(5_000_000 / SLOWNESS)
        rows = central.api().run(2, "echo done", metadata={"note": "x" * size}, wait_s=60)
        self.assertEqual([len(row["data"]["metadata"]["note"]) for row in rows if row["code"] == 100], [size])

    def test_a_wrong_key_file_is_told_with_its_option(self):
        central = self.make_central()
        files = self.certificates.issue("central", "IP:127.0.0.1")
        central.replace_module("proxy", httpserver={"enable": True, "address": "127.0.0.1", "port": 0, "token": TOKEN, **files,
                                                    "ssl_key_file": "/nowhere/key.pem"})
        central.nodes({"id": 2, "type": "wss"})
        central.launch()
        central.wait_log('modules.proxy.httpserver.ssl_key_file: got "/nowhere/key.pem", No such file')


class Between(WssCase):
    def through(self, proxy, url, central):
        self.addCleanup(proxy.stop)
        return self.make_node(central.wss_port, proxy=url.replace("PORT", str(proxy.port)))

    def test_a_proxy_without_a_password_leads_to_the_central(self):
        central, proxy = self.listen(), HttpProxy()
        self.through(proxy, "http://127.0.0.1:PORT", central).start()
        self.wait_seen(central, 2)
        self.assertTrue(proxy.heads[0].startswith(f"CONNECT 127.0.0.1:{central.wss_port} HTTP/1.1\r\n"), proxy.heads)
        self.assertEqual(outputs(central.api().run(2, "echo through")), ["through"])

    def test_a_proxy_with_a_password_leads_to_the_central_over_tls(self):
        certificates = Certificates(self.directory / "tls")
        central = self.listen(**certificates.issue("central", "IP:127.0.0.1"))
        proxy = HttpProxy("me:p@ss:word")
        self.addCleanup(proxy.stop)
        node = self.make_node(central.wss_port, proxy=f"http://me:p%40ss%3Aword@127.0.0.1:{proxy.port}", ssl=True, ssl_ca_file=str(certificates.ca))
        node.start()
        self.wait_seen(central, 2)
        self.assertNotIn("p@ss", node.log_file.read_text())

    def test_a_proxy_that_wants_a_password_says_so_in_the_nodes_log(self):
        central, proxy = self.listen(), HttpProxy("me:secret")
        node = self.through(proxy, "http://127.0.0.1:PORT", central).start()
        node.wait_log(r"proxy 127.0.0.1:\d+: status 407: it wants a user and a password, expected in the option proxy")
        node.stop()
        self.changed(node, central.wss_port, proxy=f"http://me:wrong@127.0.0.1:{proxy.port}").start()
        node.wait_log(r"proxy 127.0.0.1:\d+: status 407: it does not take the user and the password of the option proxy")

    def test_a_path_in_front_of_the_central_is_gone_through(self):
        central = self.listen()
        web = ReverseProxy(central.wss_port)
        self.addCleanup(web.stop)
        node = self.make_node(web.port).start()
        node.wait_log("HTTP status 404 Not Found; nothing is at this path, expected the path that leads to the central")
        node.stop()
        self.changed(node, web.port, path="/gorgone/ws").start()
        self.wait_seen(central, 2)
        central.wait_log(r"node '2' has connected from 127.0.0.1:\d+ for 198.51.100.7")
        node.stop()
        self.changed(node, web.port, central_uri="/gorgone/pullwss/websocket").start()
        eventually(lambda: any(head.startswith("GET /gorgone/pullwss/websocket ") for head in web.heads), 10, "the way by its deployed name")
        self.wait_link(central, "up")

    def test_each_layer_that_fails_is_named(self):
        central = self.listen()
        node = self.make_node(1).start()
        node.wait_log(r"no link to ws://127.0.0.1:1/: 127.0.0.1:1 refuses the connection: nothing listens there")
        node.stop()
        self.changed(node, 80, address="nowhere.invalid").start()
        node.wait_log(r"the name 'nowhere.invalid' (leads nowhere|was not looked up)")
        node.stop()
        web = HttpProxy()
        self.addCleanup(web.stop)
        self.changed(node, web.port).start()
        node.wait_log("HTTP status 405 Method Not Allowed")
        node.stop()
        self.changed(node, central.http_port).start()
        node.wait_log("HTTP status 40")

    def test_a_node_stops_at_once_while_nothing_answers_it(self):
        class Silent(HttpProxy):
            def serve(self, stream):
                self.heads.append(read_head(stream))
                time.sleep(30)

        silent = Silent()
        self.addCleanup(silent.stop)
        node = self.make_node(silent.port).start()
        eventually(lambda: silent.heads, 10, "a request")
        took = node.stop()
        print(f"stopped in {took:.2f} s")
        self.assertLess(took, 2)

    def test_a_path_that_comes_back_is_used_within_five_seconds(self):
        central, proxy = self.listen(silence_timeout=3), HttpProxy()
        node = self.through(proxy, "http://127.0.0.1:PORT", central)
        node.start()
        self.wait_seen(central, 2)
        proxy.stop()
        self.wait_link(central, "down")
        time.sleep(6)
        proxy.listen_again()
        took = self.wait_usable(central)
        print(f"usable {took:.2f} s after the path came back")
        self.assertLess(took, 5)


if __name__ == "__main__":
    unittest.main()
