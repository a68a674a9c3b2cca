"""WebSockets with peers that are not our agent: nodes and a central as deployed, strangers, and Centreon's web API."""
import contextlib
import hashlib
import http.server
import json
import socket
import threading
import time
import unittest

from api import codes, outputs
from fleet import eventually, gorgonectl  # makes the folder of the peer known
from hostile import descriptors, memory_kb
from pace import clock
from ports import free_port
from wss_fleet import TOKEN, Certificates, WssCase

import wss_peer
from wss_peer import Closed, connect, registration


def refusal(socket, timeout=15):
    """The message and the status with which a central closes the connection."""
    message = None
    try:
        while True:
            text = socket.take(timeout)
            if text.startswith("{"):
                message = json.loads(text)["message"]
    except Closed as closed:
        return message, closed.code


class DeployedNode(WssCase):
    def peer(self, central, **options):
        peer = wss_peer.Node(central.wss_port, TOKEN, node=2, **options)
        self.addCleanup(peer.stop)
        self.wait_seen(central, 2)
        return peer

    def test_our_central_drives_a_deployed_node(self):
        central = self.listen()
        peer = self.peer(central)
        rows = central.api().run(2, "é & 'ü' <\"x\">")
        self.assertEqual((codes(rows), outputs(rows)), ([0, 100, 2], ["ran é & 'ü' <\"x\">"]))
        for number in range(20):
            self.assertEqual(outputs(central.api().run(2, f"c{number}")), [f"ran c{number}"])
        self.assertEqual(peer.taken.count("COMMAND"), 21)

    def test_our_central_drives_a_deployed_node_over_tls(self):
        import ssl
        certificates = Certificates(self.directory / "tls")
        central = self.listen(**certificates.issue("central", "IP:127.0.0.1"))
        self.peer(central, tls=ssl.create_default_context(cafile=certificates.ca))
        self.assertEqual(outputs(central.api().run(2, "x")), ["ran x"])

    def test_a_node_that_answers_late_keeps_its_connection(self):
        central = self.listen()
        peer = self.peer(central)
        eventually(lambda: peer.taken.count("PING") > 0 and central.api().nodes()["2"]["queue"] == 0, 10, "the first pong")
        peer.stalls = {"PING": 1, "GETLOG": 1000}
        pings = peer.taken.count("PING")
        central.api().submit(2, "late")
        # The pong to the second one says that the command has come.
        eventually(lambda: peer.taken.count("PING") >= pings + 2, 30, "a ping behind the one that was not answered")
        eventually(lambda: central.api().nodes()["2"]["queue"] == 0, 10, "the acknowledgement")
        peer.stalls = {}
        # The questions for its log that were not answered are asked again, ever more slowly.
        self.assertEqual(outputs(central.api().run(2, "next", wait_s=60)), ["ran next"])
        self.assertEqual((peer.taken.count("COMMAND"), peer.ended), (2, None))
        self.assertNotIn("link down", central.log())

    def test_a_stop_while_a_request_waits_for_a_node_that_owes_its_log(self):
        central = self.listen()
        peer = self.peer(central)
        eventually(lambda: peer.taken.count("PING") > 0 and central.api().nodes()["2"]["queue"] == 0, 10, "the first pong")
        peer.stalls = {"GETLOG": 1000}
        asked = peer.taken.count("GETLOG")

        def ask():
            with contextlib.suppress(Exception):
                central.api().run(2, "x", wait_s=60)

        asking = threading.Thread(target=ask)
        asking.start()
        self.addCleanup(asking.join)
        eventually(lambda: peer.taken.count("GETLOG") > asked, 30, "a question for the log")
        self.assertLess(central.stop(), 10)

    def test_what_a_node_has_told_the_outcome_of_is_not_sent_again(self):
        central = self.listen()
        peer = self.peer(central)
        eventually(lambda: peer.taken.count("PING") > 0 and central.api().nodes()["2"]["queue"] == 0, 10, "the first pong")
        peer.stalls = {"PING": 1000}
        self.assertEqual(outputs(central.api().run(2, "once")), ["ran once"])
        peer.stop()
        central.wait_log("link down", 10)
        again = self.peer(central)
        self.assertEqual(outputs(central.api().run(2, "next")), ["ran next"])
        self.assertEqual(again.taken.count("COMMAND"), 1)

    def test_a_message_that_a_node_would_not_take_is_told_and_holds_nothing_up(self):
        central = self.listen()
        peer = self.peer(central)
        rows = central.api().run(2, "x" * 300000)
        self.assertEqual(codes(rows), [1])
        self.assertRegex(rows[0]["data"]["message"], "the message has 300... bytes, of which the WebSocket of a deployed node such as '2' takes 262144")
        self.assertEqual(outputs(central.api().run(2, "y" * 200000)), ["ran " + "y" * 200000])
        self.assertEqual((peer.taken.count("COMMAND"), peer.ended), (1, None))
        self.assertNotIn("link down", central.log())

    def test_text_that_is_not_encoded_is_taken_too(self):
        central = self.listen()
        peer = self.peer(central)
        peer.say = peer.socket.send
        self.assertEqual(outputs(central.api().run(2, "&amp; &quot;")), ["ran &amp; &quot;"])

    def test_messages_in_many_frames_are_put_together(self):
        central = self.listen()
        peer = self.peer(central)
        peer.say = lambda text: peer.socket.send(wss_peer.encode_entities(text), frame=7)
        self.assertEqual(outputs(central.api().run(2, "x" * 3000)), ["ran " + "x" * 3000])
        central.api().run(2, "y" * 200000)
        self.assertGreater(peer.socket.frames_of_last, 0)

    def test_a_central_stops_well_while_messages_come_in_many_frames(self):
        central = self.listen()
        # Masked with zeros, and many in one piece, so that there is always something to read.
        message = b"".join(bytes([kind, 0x84, 0, 0, 0, 0]) + piece for kind, piece in ((wss_peer.TEXT, b"[PON"), (0, b"G] ["), (0, b"p] ["), (0x80, b"] {}")))
        frames = message * 1000
        for _ in range(4):
            socket = connect(central.wss_port, TOKEN)
            socket.send(registration(2))
            self.wait_link(central, "up")

            def talk():
                with contextlib.suppress(OSError):
                    while True:
                        socket.stream.sendall(frames)

            thread = threading.Thread(target=talk)
            thread.start()
            time.sleep(0.3)
            central.stop()
            socket.end()
            thread.join()
            central.start()

    def test_a_node_that_asks_whether_its_central_is_there_is_answered_and_gives_no_orders(self):
        central = self.listen()
        socket = connect(central.wss_port, TOKEN)
        self.addCleanup(socket.end)
        socket.send(registration(2))
        socket.send('[PING] [p1] [] {}')
        socket.send('[COMMAND] [p2] [] {"content":[{"command":"echo no"}]}')
        texts = [socket.take() for _ in range(4)]
        self.assertTrue(any(text.startswith("[PONG] [p1] []") for text in texts), texts)
        self.assertEqual(central.database_rows("gorgone_history WHERE token = 'p2'"), [])


class DeployedCentral(WssCase):
    def peer(self, **keys):
        central = wss_peer.Central(TOKEN, known={"2"})
        self.addCleanup(central.stop)
        node = self.make_node(central.port, **keys).start()
        if not keys:
            eventually(lambda: "2" in central.nodes, 10, "the registration")
        return central, node

    def test_our_node_works_for_a_deployed_central(self):
        central, node = self.peer()
        first = central.messages[0]
        self.assertEqual((first.kind, first.body), ("REGISTERNODES", {"nodes": [{"id": "2", "type": "wss", "identity": "2"}]}))
        pong = central.answer(central.send(2, "PING"))
        self.assertEqual((pong.kind, pong.target, pong.body["data"]["message"], pong.body["data"]["id"]), ("PONG", "", "ping ok", "2"))
        token = central.send(2, "COMMAND", {"content": [{"command": "echo 'ä\"&<>'"}]}, target="2")
        rows = []
        while len(rows) < 4:
            log = central.answer(central.send(2, "GETLOG", {"token": token}))
            self.assertEqual((log.kind, log.target, log.body["code"], log.body["data"]["action"]), ("SETLOGS", "", 0, "getlog"))
            rows = log.body["data"]["result"]
        stdout = [json.loads(row["data"])["result"]["stdout"] for row in rows if row["code"] == 100]
        self.assertEqual(stdout, ['ä"&<>'])
        self.assertEqual(set(central.kinds()), {"REGISTERNODES", "PONG", "SETLOGS"})
        for text in central.raw:
            self.assertTrue(text.isascii() and not set(text) & set("\"'<>"), text[:200])

    def test_our_node_tells_a_deployed_central_its_log_in_pieces_that_it_takes(self):
        central, node = self.peer()
        sizes = [1000000, *[20000] * 30, 300000]
        tokens = [central.send(2, "COMMAND", {"content": [{"command": f"head -c {size} /dev/zero | tr '\\0' '<'"}]}, target="2") for size in sizes]
        rows = []

        def fetch():
            """As deployed centrals do: all that is newer than what came last. True when all has come."""
            newest = max((float(row["ctime"]) for row in rows), default=0)
            log = central.answer(central.send(2, "GETLOG", {"ctime": newest}))
            rows.extend(log.body["data"]["result"])
            return {row["token"] for row in rows if row["code"] == 2} >= set(tokens)

        eventually(fetch, 60, "the rows of all commands")
        stdout = {row["token"]: json.loads(row["data"])["result"]["stdout"] for row in rows if row["code"] == 100}
        self.assertEqual([len(stdout[token]) for token in tokens[1:-1]], sizes[1:-1])
        for token, size in ((tokens[0], sizes[0]), (tokens[-1], sizes[-1])):
            self.assertRegex(stdout[token], rf"^<{{10000,}} .*\({size} bytes, of which the central's WebSocket does not take more\)$")
        self.assertEqual(len(rows), len({row["id"] for row in rows}))
        self.assertEqual((central.refused, central.kinds().count("REGISTERNODES")), ([], 1))
        eventually(lambda: any(message.kind == "SYNCLOGS" and message.body == {"data": {"id": "2"}} for message in central.messages), 5, "the news that there is more")

    def test_our_node_takes_text_of_a_deployed_central_that_is_no_utf_8(self):
        central, node = self.peer()
        central.nodes["2"].send(b'[COMMAND] [t1] [] {"content":[{"command":"echo \xe9t\xe9"}]}', frame=60)
        rows = []
        while not any(row["code"] == 2 for row in rows):
            rows = central.answer(central.send(2, "GETLOG", {"token": "t1"})).body["data"]["result"]
        self.assertEqual([json.loads(row["data"])["result"]["stdout"] for row in rows if row["code"] == 100], ["été"])
        self.assertEqual((central.refused, central.kinds().count("REGISTERNODES")), ([], 1))

    def test_our_node_says_why_a_deployed_central_refuses_it_and_tries_again(self):
        central, node = self.peer(token="wrong")
        node.wait_log("the central refuses the node: token authorization unallowed")
        eventually(lambda: len(central.refused) > 2, 15, "a third try")

    def test_our_node_notices_a_central_that_is_silent(self):
        central = wss_peer.Central(TOKEN, known={"2"})
        self.addCleanup(central.stop)
        node = self.make_node(central.port, ping_timeout=2).start()
        eventually(lambda: "2" in central.nodes, 10, "the registration")
        eventually(lambda: central.nodes["2"].pings > 0, 10, "a ping")
        first = central.nodes["2"]
        central.send(2, "PING")
        node.wait_log("link up")
        first.mute = True
        node.wait_log("link down: .*nothing was heard for 2000 ms")
        eventually(lambda: central.nodes.get("2") not in (None, first), 10, "a new connection")


class Strangers(WssCase):
    def setUp(self):
        self.central = None

    def first_words(self, text, token=TOKEN):
        socket = connect(self.central.wss_port, token)
        self.addCleanup(socket.end)
        if text is not None:
            socket.send(text)
        return refusal(socket)

    def test_each_refusal_is_told_in_json_before_the_connection_is_closed(self):
        self.central = self.listen()
        self.assertEqual(self.first_words(registration(2), "wrong"), ("token authorization unallowed", 1008))
        self.assertEqual(self.first_words(registration(2), None), ("token authorization unallowed", 1008))
        self.assertEqual(self.first_words("[PING] [] [] {}"), ("please registernodes", 1008))
        self.assertEqual(self.first_words("hello"), ("please registernodes", 1008))
        self.assertEqual(self.first_words('[REGISTERNODES] [] [] {"nodes":[]}'), ("please registernodes", 1008))
        self.assertEqual(self.first_words('[REGISTERNODES] [] [] {"nodes":'), ("please registernodes", 1008))
        self.assertEqual(self.first_words(registration(77)), ("node '77' is unknown", 1008))

    def test_before_any_node_is_known_nodes_are_asked_to_come_back(self):
        central = self.make_central()
        central.nodes()
        self.central = self.listen(central=central)
        central.nodes()
        central.api().request("POST", "/api/core/register/resync", "{}")
        eventually(lambda: not central.api().nodes(), 10, "no nodes")
        self.assertEqual(self.first_words(registration(2)), ("no nodes are known yet, come back", 1013))

    def test_one_who_says_nothing_is_sent_away_after_ten_seconds(self):
        self.central = self.listen()
        earliest, started = time.monotonic() + 9, clock()
        self.assertEqual(self.first_words(None), ("please registernodes", 1008))
        self.assertGreater(time.monotonic(), earliest)
        self.assertLess(clock() - started, 13)

    def test_what_is_no_websocket_is_answered_in_http(self):
        self.central = self.listen()

        def ask(text):
            with socket.create_connection(("127.0.0.1", self.central.wss_port), 5) as stream:
                stream.sendall(text)
                return stream.recv(4096)

        self.assertTrue(ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 426 "))
        self.assertTrue(ask(b"GET / HTTP/1.1\r\nHost: " + b"x" * 20000 + b"\r\n\r\n").startswith(b"HTTP/1.1 431 "))
        self.assertEqual(ask(b"\x16\x03\x01 noise\r\n\r\n"), b"")
        self.assertTrue(self.central.alive())

    def test_a_message_larger_than_is_taken_ends_the_connection_and_nothing_else(self):
        self.central = self.listen(max_message_size=1000000)
        node = self.make_node(self.central.wss_port).start()
        self.wait_seen(self.central, 2)
        stranger = connect(self.central.wss_port, TOKEN)
        self.addCleanup(stranger.end)
        stranger.send("[REGISTERNODES] [] [] " + "x" * 300000)
        self.assertEqual(refusal(stranger)[1], 1009)
        self.assertEqual(outputs(self.central.api().run(2, "echo still")), ["still"])
        self.assertTrue(node.alive())

    def test_no_other_connection_takes_the_place_of_a_node_that_is_there(self):
        self.central = self.listen(bind_nodes=False)
        node = self.make_node(self.central.wss_port).start()
        self.wait_seen(self.central, 2)
        self.assertEqual(self.first_words(registration(2)), ("node '2' is connected already", 1008))
        self.central.wait_log(r"ERROR .*says it is node '2', which is connected from .*: refused; is an id used twice\?")
        self.assertEqual(outputs(self.central.api().run(2, "echo still")), ["still"])
        self.assertNotIn("link down", node.log())

    def test_a_connection_that_does_not_answer_gives_its_place_up(self):
        self.central = self.listen(silence_timeout=60)
        mute = connect(self.central.wss_port, TOKEN)
        self.addCleanup(mute.end)
        mute.send(registration(2))
        self.wait_link(self.central, "up")
        earliest, started = time.monotonic() + 2.5, clock()
        node = self.make_node(self.central.wss_port).start()
        node.wait_log("link up")
        self.assertGreater(time.monotonic(), earliest)
        took = clock() - started
        print(f"the place of a dead connection was taken after {took:.2f} s")
        self.assertLess(took, 5)
        self.central.wait_log("takes the place of .* as node '2', which does not answer")
        self.assertEqual(outputs(self.central.api().run(2, "echo mine")), ["mine"])

    def test_a_nodes_own_token_is_good_for_it_alone_and_at_once(self):
        self.central = self.listen({"id": 2, "type": "wss"}, {"id": 3, "type": "wss"}, nodes=[{"id": 2, "token": "of-two"}])
        self.assertEqual(self.first_words(registration(2)), ("token authorization unallowed", 1008))
        self.assertEqual(self.first_words(registration(3), "of-two"), ("token authorization unallowed", 1008))
        old = connect(self.central.wss_port, "of-two")
        self.addCleanup(old.end)
        old.send(registration(2))
        self.wait_link(self.central, "up")
        started = clock()
        node = self.make_node(self.central.wss_port, token="of-two").start()
        node.wait_log("link up")
        self.assertLess(clock() - started, 2)
        self.central.wait_log("takes the place of .* as node '2', by the node's own token")
        self.assertEqual(outputs(self.central.api().run(2, "echo mine")), ["mine"])

    def test_connections_that_come_and_go_leave_nothing_behind(self):
        self.central = self.listen(max_greeting=50)
        pid = self.central.process.pid
        before = descriptors(pid)
        idle = [connect(self.central.wss_port, TOKEN) for _ in range(40)]
        for number in range(100):
            socket = connect(self.central.wss_port, TOKEN if number % 2 else "wrong")
            socket.send(registration(2) if number % 4 == 1 else registration(3))
            socket.end()
        for socket in idle:
            socket.end()
        eventually(lambda: descriptors(pid) <= before + 1, 15, f"{before} descriptors again")
        lines = [line for line in self.central.log().splitlines() if "WARNING" in line and "httpserver:" in line]
        self.assertLess(len(lines), 10, lines)
        self.make_node(self.central.wss_port).start().wait_log("link up")

    def test_connections_that_say_nothing_are_bounded_and_keep_no_node_out(self):
        self.central = self.listen(max_greeting=5)
        pid = self.central.process.pid
        before = descriptors(pid)
        # Some say nothing at all, some nothing behind the WebSocket's greeting.
        silent = [socket.create_connection(("127.0.0.1", self.central.wss_port)) if number % 2 else connect(self.central.wss_port, TOKEN)
                  for number in range(30)]
        self.central.wait_log(r"there are too many: 5 \(max_connections\), 5 of them without a node \(max_greeting\); the oldest of these makes room")
        eventually(lambda: descriptors(pid) <= before + 6, 5, "the closing of what is beyond the bound")
        self.make_node(self.central.wss_port).start().wait_log("link up")
        with self.assertRaises((Closed, OSError)):
            silent[0].take(1)
        for one in silent:
            one.close() if isinstance(one, socket.socket) else one.end()

    def test_a_central_stops_at_once_whatever_its_connections_do(self):
        self.central = self.listen()
        node = self.make_node(self.central.wss_port).start()
        node.wait_log("link up")
        mute = connect(self.central.wss_port, TOKEN)
        self.addCleanup(mute.end)
        took = self.central.stop()
        print(f"stopped in {took:.2f} s")
        self.assertLess(took, 2)
        node.wait_log(r"link down: .*the central is stopping")

    def test_a_node_that_reads_nothing_is_cut_off_and_memory_stays_bounded(self):
        self.central = self.listen(silence_timeout=2, max_unread_bytes=4 * 2**20)
        slow = connect(self.central.wss_port, TOKEN)
        self.addCleanup(slow.end)
        slow.send(registration(2))
        self.wait_link(self.central, "up")
        ending = threading.Event()
        self.addCleanup(ending.set)

        def keep_talking():
            while not ending.wait(0.5):
                try:
                    slow.send(registration(2))
                except OSError:
                    return

        threading.Thread(target=keep_talking, daemon=True).start()
        before, api = memory_kb(self.central.process.pid), self.central.api()
        # None longer than a deployed node's WebSocket takes.
        for _ in range(200):
            api.submit(2, "true", metadata={"note": "x" * 200000})
        self.central.wait_log("link down: node '2': it takes nothing", timeout=25)
        grown = memory_kb(self.central.process.pid) - before
        print(f"40 MB for a node that reads nothing: memory grew by {grown // 1024} MB, of which the queue holds 40")
        self.assertLess(grown, 90 * 1024)
        self.assertEqual(api.run(None, "echo here", wait_s=5)[-1]["code"], 2)


class WebApi(http.server.BaseHTTPRequestHandler):
    """Centreon's web API as far as tokens go."""
    tokens, calls, is_down, sessions = {}, [], False, 0

    def log_message(self, *_):
        pass

    def say(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        WebApi.calls.append(self.path)
        if body != {"security": {"credentials": {"login": "gorgone", "password": "pass"}}}:
            return self.say(401, {"message": "Authentication failed"})
        WebApi.sessions += 1
        self.say(200, {"security": {"token": f"session-{WebApi.sessions}"}})

    def do_GET(self):
        WebApi.calls.append(self.path)
        if WebApi.is_down:
            return self.say(500, {"message": "no database"})
        if self.headers["X-AUTH-TOKEN"] != f"session-{WebApi.sessions}":
            return self.say(401, {"message": "no session"})
        name = self.path.rsplit("/", 1)[1]
        if name not in WebApi.tokens:
            return self.say(404, {"message": "not found"})
        self.say(200, {"name": name, **WebApi.tokens[name]})


class Secrets(WssCase):
    """A common token says not which node its bearer is; a node of ours shows a secret of its own beside it."""

    REFUSED = ("token authorization unallowed", 1008)

    def said_to(self, *headers):
        """What a connection with the common token hears that says it is node 2; it ends at once."""
        stranger = connect(self.central.wss_port, TOKEN, headers=headers)
        try:
            stranger.send(registration(2))
            return "taken" if (first := stranger.take()).startswith("[ACK] [] ") else (json.loads(first)["message"], 1008)
        finally:
            stranger.end()

    def known(self, **httpserver):
        """A central, and a node that has been there and is away."""
        self.central = self.listen(**httpserver)
        self.node = self.make_node(self.central.wss_port).start()
        self.wait_link(self.central, "up")
        self.node.stop()
        self.wait_link(self.central, "down")

    def comes_back(self):
        self.node.start()
        self.wait_link(self.central, "up")
        self.assertEqual(outputs(self.central.api().run(2, "echo mine")), ["mine"])
        self.node.stop()
        self.wait_link(self.central, "down")

    def test_nobody_else_speaks_for_a_node_that_has_come_there_or_away(self):
        self.known()
        own = self.node.wait_log(r"with the secret of thumbprint ([0-9a-f]{64})")[1]
        self.assertEqual(gorgonectl("keys", "secret", self.node.private_key).strip(), own)
        self.assertEqual(self.said_to(), self.REFUSED)
        self.central.wait_log(rf"ERROR .*says it is node '2' and shows no secret, but that node came with the secret of thumbprint {own}: refused")
        self.assertEqual(self.said_to("X-Gorgone-Node-Secret: another"), self.REFUSED)
        self.assertEqual(self.said_to(f"X-Gorgone-Node-Secret: {own}"), self.REFUSED, "the thumbprint is no secret")
        self.central.stop()
        self.central.start()
        self.assertEqual(self.said_to(), self.REFUSED)
        self.node.start()
        self.wait_link(self.central, "up")
        self.assertEqual(self.said_to(), self.REFUSED)
        self.assertEqual(outputs(self.central.api().run(2, "echo mine")), ["mine"])
        self.assertNotIn("link down", self.node.log().split("signal 15")[-1])

    def test_a_node_with_other_keys_or_a_deployed_one_is_let_in_by_gorgonectl_trust(self):
        self.known()
        self.assertEqual(self.said_to(), self.REFUSED)
        self.assertIn("wss://2", self.shown("none"))
        self.assertEqual(self.said_to(), self.REFUSED, "it was only shown")
        with self.assertRaisesRegex(AssertionError, "what was compared is missing"):
            self.trust("2", "--replace")
        with self.assertRaisesRegex(AssertionError, "another key is offered now: none"):
            self.trust("2", "--replace", "--offered", "0" * 64)
        self.assertEqual(self.said_to(), self.REFUSED, "nothing was changed")
        self.trust("2", "--replace", "--offered", "none")
        self.assertEqual(self.said_to(), "taken")
        self.comes_back()
        self.assertEqual(self.said_to(), self.REFUSED, "from then on it is the node of ours again")
        self.assertEqual(self.said_to("X-Gorgone-Node-Secret: another"), self.REFUSED)
        other = hashlib.sha256(b"another").hexdigest()
        self.shown(other)
        self.trust("2", "--replace", "--offered", other)
        self.assertEqual(self.said_to("X-Gorgone-Node-Secret: another"), "taken")
        self.node.start()
        self.node.wait_log("the central refuses the node: token authorization unallowed")

    def test_without_bind_nodes_the_common_token_speaks_for_every_node_that_is_away(self):
        self.known(bind_nodes=False)
        self.assertEqual(self.said_to(), "taken")
        self.comes_back()

    def test_a_deployed_node_is_not_bound_until_one_of_ours_takes_its_place(self):
        self.central = self.listen()
        self.assertEqual([self.said_to(), self.said_to()], ["taken", "taken"])
        self.node = self.make_node(self.central.wss_port)
        self.comes_back()
        self.assertEqual(self.said_to(), self.REFUSED)

    def told(self, why, *texts, node=2):
        """What CONSTATUS says of the node, which is away."""
        state = self.central.api().nodes()[str(node)]
        self.assertEqual((state["link"], state["why"]), ("down", why), state)
        for text in texts:
            self.assertIn(text, state["last_error"])

    def offered(self, why, *texts, times=1):
        """What CONSTATUS says of the newest of those who were refused in its place."""
        offer = self.central.api().nodes()["2"]["refused_offers"][0]
        self.assertEqual(offer["why"], why)
        self.assertGreaterEqual(offer["times"], times)
        self.assertLessEqual(offer["first"], offer["last"])
        for text in texts:
            self.assertIn(text, offer["message"])

    def test_who_is_refused_while_a_node_is_away_takes_nothing_from_what_is_known_of_the_node(self):
        self.known()
        before = self.central.api().nodes()["2"]
        self.assertEqual(before["why"], "lost")
        self.assertNotIn("refused_offers", before)
        for headers in ((), ("X-Gorgone-Node-Secret: another",)):
            self.assertEqual(self.said_to(*headers), self.REFUSED)
        after = self.central.api().nodes()["2"]
        for member in ("link", "link_since", "why", "last_error"):
            self.assertEqual(after[member], before[member], member)
        self.offered("key_changed", hashlib.sha256(b"another").hexdigest(), times=2)
        self.node.start()
        self.wait_link(self.central, "up")
        self.assertNotIn("refused_offers", self.central.api().nodes()["2"])

    def test_a_node_that_is_refused_for_its_secret_is_told_as_one_with_another_key_until_it_is_trusted(self):
        self.known()
        old = gorgonectl("keys", "secret", self.node.private_key).strip()
        self.told("lost")
        self.node.make_keys(force=True)
        new = gorgonectl("keys", "secret", self.node.private_key).strip()
        self.node.start()
        self.node.wait_log("the central refuses the node: token authorization unallowed")
        self.told("lost")
        self.offered("key_changed", old, new, "gorgonectl trust 2")
        self.central.stop()
        self.central.start()
        eventually(lambda: self.central.api().nodes()["2"]["why"] == "key_changed", 15, "the reason, after a restart")
        self.told("key_changed", old, new)
        self.trust("2", "--replace", "--offered", new)
        self.wait_link(self.central, "up")
        state = self.central.api().nodes()["2"]
        self.assertEqual((state["why"], state["last_error"]), ("", ""))
        self.assertNotIn("refused_offers", state)

    def test_a_deployed_node_in_the_place_of_one_of_ours_is_told_as_one_without_a_secret(self):
        self.known()
        self.assertEqual(self.said_to(), self.REFUSED)
        self.offered("key_changed", "no secret", gorgonectl("keys", "secret", self.node.private_key).strip())

    def test_a_node_without_its_own_token_is_told_as_refused(self):
        self.central = self.listen({"id": 2, "type": "wss"}, {"id": 3, "type": "wss"}, nodes=[{"id": 2, "token": "of-two"}])
        self.told("awaited")
        self.assertEqual(self.said_to(), self.REFUSED)
        for tell in (self.told, self.offered):
            tell("handshake_refused", "127.0.0.1:", "has a token of its own, not this one")
        self.told("awaited", node=3)

    def test_a_stranger_changes_nothing_of_what_is_told_of_a_node_that_is_there(self):
        self.central = self.listen()
        self.make_node(self.central.wss_port).start()
        self.wait_seen(self.central, 2)
        before = self.central.api().nodes()["2"]
        for headers in ((), ("X-Gorgone-Node-Secret: another",)):
            self.assertEqual(self.said_to(*headers), self.REFUSED)
        state = self.central.api().nodes()["2"]
        for member in ("link", "link_since", "why", "last_error"):
            self.assertEqual(state[member], before[member], member)
        self.assertEqual((state["link"], state["why"], state["last_error"]), ("up", "", ""))
        self.assertNotIn("refused_offers", state)

    def trust(self, *arguments):
        return gorgonectl("trust", *arguments, "--config", self.central.config)

    def shown(self, offered):
        """What gorgonectl says when it has this secret: what was refused is written behind what the node is told."""
        def look():
            # There may be nothing at all yet.
            rows = self.central.database_rows("gorgone_refused_key")
            return rows and rows[0]["thumbprint"] == offered and self.trust("2")

        text = eventually(look, 10, f"the refused secret {offered}")
        self.assertIn(f"offered: {offered}", text)
        return text


class Claims(WssCase):
    """What a node says is behind it, while the remote to which those nodes belong is away."""

    def setUp(self):
        self.remote = {"id": 3, "type": "push_zmq", "address": "127.0.0.1", "port": free_port(), "nodes": [{"id": 9, "pathscore": 1}]}

    def say(self, token=TOKEN, headers=(), **httpserver):
        """Node 2 tells of the poller of remote 3, of a node that is registered and away, by its id and its uid, and of one that nobody else knows."""
        self.central = self.listen({"id": 2, "type": "pullwss"}, self.remote, {"id": 5, "uid": 70000, "type": "pullwss"}, **httpserver)
        behind = {str(node): {"nodes": {}} for node in (9, 5, 70000, 10)}
        peer = wss_peer.Node(self.central.wss_port, token, node=2, behind=behind, headers=headers)
        self.addCleanup(peer.stop)
        self.wait_seen(self.central, 2)
        return peer

    def test_one_that_may_be_anybody_gets_nothing_that_is_for_nodes_of_others(self):
        peer = self.say()
        self.central.wait_log(r"WARNING - \[proxy\] node '2' says that nodes are behind it to which others lead: "
                              r"'5' \(registered here\), '70000' \(by node '5'\), '9' \(by node '3'\)\. ")
        api = self.central.api()
        for node in (9, 5, 70000):
            api.submit(node, f"for {node}")
        self.assertEqual(outputs(api.run(10, "nobody else's")), ["ran nobody else's"])
        time.sleep(6)  # after 5 s the others are away
        queues = {node: state["queue"] for node, state in api.nodes().items()}
        self.assertEqual(queues, {"2": 0, "3": 1, "5": 2})
        self.assertEqual(peer.taken.count("COMMAND"), 1)

    def leads(self, peer):
        self.assertEqual(outputs(self.central.api().run(9, "by another way")), ["ran by another way"])
        self.assertEqual(peer.taken.count("COMMAND"), 1)
        self.assertNotIn("says that nodes are behind it", self.central.log())

    def test_one_that_has_shown_a_token_of_its_own_leads_where_others_are_away(self):
        self.leads(self.say("of-two", nodes=[{"id": 2, "token": "of-two"}]))

    def test_one_that_has_shown_a_secret_leads_where_others_are_away(self):
        self.leads(self.say(headers=("X-Gorgone-Node-Secret: its own",)))

    def test_without_bind_nodes_a_secret_shows_nothing(self):
        self.say(headers=("X-Gorgone-Node-Secret: its own",), bind_nodes=False)
        self.central.wait_log("node '2' says that nodes are behind it to which others lead")


class ApiTokens(WssCase):
    def setUp(self):
        WebApi.tokens = {"good": {"token": "v1", "type": "poller", "is_revoked": False},
                         "odd%20name": {"token": "v:2", "type": "poller", "is_revoked": False},
                         "revoked": {"token": "v3", "type": "poller", "is_revoked": True},
                         "agent": {"token": "v4", "type": "cma", "is_revoked": False}}
        WebApi.calls, WebApi.is_down = [], False
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), WebApi)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        central = self.make_central()
        central.configure("70-tpapi", {"tpapi": [{"name": "centreonv2", "base_url": f"http://127.0.0.1:{server.server_address[1]}/centreon/api/latest/",
                                                  "username": "gorgone", "password": "pass"}]})
        self.central = self.listen(central=central)

    def refused(self, token):
        socket = connect(self.central.wss_port, token)
        self.addCleanup(socket.end)
        socket.send(registration(2))
        return refusal(socket)

    def test_a_token_that_centreon_knows_lets_a_node_in_and_is_asked_for_once_a_minute(self):
        node = self.make_node(self.central.wss_port, token="good:v1")
        for _ in range(3):
            node.start()
            node.wait_log("link up")
            node.stop()
        self.assertEqual(WebApi.calls, ["/centreon/api/latest/login", "/centreon/api/latest/administration/tokens/good"])

    def test_a_tokens_name_and_value_may_hold_any_character(self):
        socket = connect(self.central.wss_port, "odd name:v:2")
        self.addCleanup(socket.end)
        socket.send(registration(2))
        self.assertTrue(socket.take().startswith("[ACK] [] "))

    def test_other_tokens_are_refused(self):
        for token in ("good:other", "revoked:v3", "agent:v4", "nobody:x"):
            self.assertEqual(self.refused(token), ("token authorization unallowed", 1008), token)
        self.central.wait_log("but Centreon does not know its token as one of a poller that is good now")

    def test_the_common_token_needs_no_api(self):
        self.make_node(self.central.wss_port).start().wait_log("link up")
        self.assertEqual(WebApi.calls, [])

    def take(self, token, node=2):
        """Whether a connection with this token may speak for the node; it ends at once."""
        socket = connect(self.central.wss_port, token)
        try:
            socket.send(registration(node))
            return socket.take().startswith("[ACK] [] ")
        finally:
            socket.end()

    def test_a_node_that_came_with_a_token_of_its_own_is_let_in_by_no_other_while_that_one_is_good(self):
        self.assertTrue(self.take("good:v1"))
        self.assertEqual(self.refused("odd name:v:2"), ("token authorization unallowed", 1008))
        self.central.wait_log("says it is node '2', which came with the token 'good' until now, not with 'odd name': refused")
        self.assertEqual(self.refused(TOKEN), ("token authorization unallowed", 1008))
        state = self.central.api().nodes()["2"]
        self.assertEqual((state["link"], state["why"]), ("down", "lost"))
        offer = state["refused_offers"][0]
        self.assertEqual(offer["why"], "handshake_refused")
        self.assertIn("came with the token 'good' until now, not with the common one", offer["message"])
        self.central.stop()
        self.central.start()
        self.assertEqual(self.refused("odd name:v:2"), ("token authorization unallowed", 1008), "bound across a restart")
        self.assertTrue(self.take("good:v1"))
        WebApi.tokens["good"]["is_revoked"] = True
        self.assertTrue(self.take("odd name:v:2"), "the old token is no good any more")

    def test_without_bind_tokens_every_good_token_speaks_for_a_node_and_others_still_do_not(self):
        self.central.stop()
        self.central = self.listen(central=self.central, bind_tokens=False)
        for token in ("good:v1", "odd name:v:2", TOKEN, "good:v1"):
            self.assertTrue(self.take(token), token)
            self.wait_link(self.central, "down")
        self.assertEqual(self.refused("revoked:v3"), ("token authorization unallowed", 1008))

    def test_a_node_that_is_bound_to_its_token_leads_where_others_are_away_and_without_bind_tokens_it_may_be_anybody(self):
        remote = {"id": 3, "type": "push_zmq", "address": "127.0.0.1", "port": free_port(), "nodes": [{"id": 9, "pathscore": 1}]}
        for binds in (True, False):
            self.central.stop()
            self.listen({"id": 2, "type": "pullwss"}, remote, central=self.central, bind_tokens=binds)
            peer = wss_peer.Node(self.central.wss_port, "good:v1", node=2, behind={"9": {"nodes": {}}})
            self.addCleanup(peer.stop)
            self.wait_seen(self.central, 2)
            if binds:
                self.assertEqual(outputs(self.central.api().run(9, "by another way")), ["ran by another way"])
                self.assertNotIn("says that nodes are behind it", self.central.log())
            else:
                self.central.wait_log("node '2' says that nodes are behind it to which others lead: '9' ")

    def test_an_api_that_fails_is_told_and_asked_again(self):
        WebApi.is_down = True
        node = self.make_node(self.central.wss_port, token="good:v1").start()
        node.wait_log("refuses the node: the token cannot be checked now, come back")
        self.central.wait_log(r"Centreon's web API \(tpapi\) at http\S+: it answers status 500 when asked for a token: no database")
        WebApi.is_down = False
        node.wait_log("link up")

    def test_a_session_that_ended_is_opened_again(self):
        self.make_node(self.central.wss_port, token="good:v1").start().wait_log("link up")
        WebApi.sessions += 1
        self.assertEqual(self.refused("revoked:v3"), ("token authorization unallowed", 1008))
        self.assertEqual(WebApi.calls.count("/centreon/api/latest/login"), 2)


if __name__ == "__main__":
    unittest.main()
