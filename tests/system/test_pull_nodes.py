"""Nodes that dial their central (type pull), by the examples in etc/; and either end with one that is not ours."""
import json
import re
import signal
import time
import unittest

from api import codes, outputs
from flaky_path import FlakyPath
from fleet import LISTENER_LINE, FleetCase, eventually, gorgonectl
from pace import clock
from dialer import Dialer
from protocol import draw_key, read_private_key, request, thumbprint
from pull_central import PullCentral
from pull_node import PullNode

REGISTERED = r"\[proxy\] node '2' (registered type=pull|speaks through session)"
HEALED_S = 5


class PullCase(FleetCase):
    def listen(self, daemon, *authorized, **core):
        """Gives a daemon a listener that lets these thumbprints in; `core` are more options of gorgonecore."""
        port = daemon.listener_port = getattr(daemon, "listener_port", 0)
        keys = [{"key": key} for key in authorized]
        daemon.configure("70-listener", {"gorgonecore": {"external_com_type": "tcp", "external_com_path": f"127.0.0.1:{port}",
                                                         "authorized_clients": keys, **core}})
        if port == 0:
            daemon.start()
            daemon.listener_port = int(daemon.wait_log(LISTENER_LINE)[1])
            self.listen(daemon, *authorized, **core)
        return daemon.listener_port

    def make_pull_poller(self, port, identity=2, **options):
        words = {"192.0.2.1:5556": f"127.0.0.1:{port}", "id: 2": f"id: {identity}"}
        poller = self.make(f"poller-{identity}", "poller-pull", words)
        if options:
            poller.replace_module("pull", target_path=f"127.0.0.1:{port}", **options)
        poller.make_keys()
        return poller

    def central_for(self, *thumbprints, nodes=({"id": 2, "type": "pull"},), **core):
        """A central that knows these nodes and runs."""
        central = self.make_central()
        central.nodes(*nodes)
        self.listen(central, *thumbprints, **core)
        return central

    def pair(self, listed=True, core=(), **options):
        """A central and its poller, running; the poller's directory is made first, for its key."""
        central = self.make_central()
        poller = self.make_pull_poller(1, **options)
        central.nodes(*([{"id": 2, "type": "pull"}] if listed else []))
        port = self.listen(central, poller.thumbprint(), **dict(core))
        poller.edit("127.0.0.1:1", f"127.0.0.1:{port}", file="10-pull.yaml" if options else "40-gorgoned.yaml")
        poller.start()
        self.wait_seen(central, 2)
        return central, poller

    def usable_after(self, central, since, what):
        """A command is sent as soon as the API answers; the seconds until its result is there are printed and bounded."""
        api = central.api()

        def run():
            status, body = api.request("POST", "/api/nodes/2/core/action/command?log_wait=500000", [{"command": "echo back"}])
            return status == 200 and any(row["code"] == 2 for row in body.get("data") or [])

        eventually(run, 3 * HEALED_S, f"a command after {what}")
        took = clock() - since
        print(f"usable {took:.2f} s after {what}")
        self.assertLess(took, HEALED_S)


class BothOurs(PullCase):
    def test_what_is_asked_of_a_node_is_in_the_log_of_its_token_once(self):
        central, poller = self.pair()
        self.assert_answers_in_log(central, 2, poller)
        # Its row is all that comes of a question: nothing else is awaited, and it is not sent again.
        eventually(lambda: central.api().nodes()["2"]["queue"] == 0, 3, "an empty queue")

    def test_a_command_crosses_and_its_result_comes_back_in_one_request(self):
        central, poller = self.pair()
        started = clock()
        rows = central.api().run(2, "echo one; exit 3")
        self.assertLess(clock() - started, 2)
        self.assertEqual((codes(rows), outputs(rows)), ([0, 0, 100, 2], ["one"]))
        self.assertEqual(rows[2]["data"]["result"]["exit_code"], 3)
        state = central.api().nodes()["2"]
        self.assertEqual((state["type"], state["link"]), ("pull", "up"))
        self.assertNotIn(" - ERROR - ", central.log() + poller.log())

    def test_a_central_without_a_listener_says_what_to_set(self):
        central = self.make_central()
        central.nodes({"id": 2, "type": "pull"})
        central.start()
        central.wait_log(r"ERROR - \[proxy\] node '2' cannot be reached: node 2 of type pull dials: this daemon has no listener .*; "
                         "set gorgonecore.external_com_type and external_com_path", 5)

    def test_many_commands_at_once_arrive_in_their_order_and_run_once(self):
        central, poller = self.pair()
        mark = self.directory / "mark"
        tokens = [central.api().submit(2, f"echo {number} >> {mark}.{number}") for number in range(400)]
        central.api().poll(2, tokens[-1], 60)
        eventually(lambda: len(list(self.directory.glob("mark.*"))) == 400, 30, "all commands")
        ran = [row["token"] for row in poller.database_rows() if row["code"] == 0 and "processing has started" in row["data"]]
        self.assertEqual(sorted(ran), sorted(tokens), "a command ran twice or never")
        self.assertEqual([row["token"] for row in poller.database_rows("gorgone_delivery")], tokens)

    def test_a_large_message_and_a_large_result_cross_whole(self):
        central, _ = self.pair()
        text = "x" * 100_000
        rows = central.api().run(2, f"echo {text}", "head -c 900000 /dev/zero | tr '\\0' y")
        self.assertEqual([len(output) for output in outputs(rows)], [100_000, 900_000])

    def test_a_node_that_has_not_dialled_is_known_and_gets_what_waited_for_it(self):
        central = self.make_central()
        poller = self.make_pull_poller(1)
        central.nodes({"id": 2, "type": "pull"})
        port = self.listen(central, poller.thumbprint())
        self.assertEqual(central.api().nodes()["2"]["link"], "down")
        self.assertIn("not connected yet", central.api().nodes()["2"]["last_error"])
        token = central.api().submit(2, "echo waited")
        poller.edit("127.0.0.1:1", f"127.0.0.1:{port}")
        poller.start()
        self.assertEqual(outputs(central.api().poll(2, token)), ["waited"])

    def test_a_node_that_no_file_knows_registers_itself_and_goes_when_it_stops(self):
        central, poller = self.pair(listed=False)
        self.assertEqual(outputs(central.api().run(2, "echo by itself")), ["by itself"])
        self.assertLess(poller.stop(), 2)
        eventually(lambda: "2" not in central.api().nodes(), 5, "its end on the central")

    def test_a_node_that_stops_says_good_bye_and_stays_known_where_a_file_knows_it(self):
        central, poller = self.pair()
        self.assertLess(poller.stop(), 2)
        central.wait_log(r"\[proxy\] node '2' has said good-bye", 5)
        state = eventually(lambda: central.api().nodes()["2"]["link"] == "down" and central.api().nodes()["2"], 5, "the link's end")
        self.assertIn("not connected yet", state["last_error"])
        self.assertFalse(central.database_rows("gorgone_pull_identity")[0]["identity"])
        token = central.api().submit(2, "echo later")
        poller.start()
        self.assertEqual(outputs(central.api().poll(2, token)), ["later"])


class Restarts(PullCase):
    def one_session(self, central):
        self.assertEqual(len(central.database_rows("gorgone_identity")), 1, "the session was lost")

    def test_the_central_restarts_and_its_node_is_usable_at_once(self):
        central, poller = self.pair()
        central.stop()
        started = clock()
        central.start()
        self.usable_after(central, started, "the central's restart")
        self.one_session(central)

    def test_the_central_is_killed_and_its_node_that_no_file_knows_is_usable_at_once(self):
        central, _ = self.pair(listed=False)
        time.sleep(0.2)  # the journal commits in groups
        central.kill()
        started = clock()
        central.start()
        self.usable_after(central, started, "the central's kill")

    def test_the_central_comes_back_without_its_database(self):
        central, poller = self.pair(ping=1, ping_timeout=2)
        central.stop()
        central.database.unlink()
        started = clock()
        central.start()
        self.usable_after(central, started, "the loss of the central's database")

    def test_the_node_comes_back_without_its_database(self):
        central, poller = self.pair()
        poller.kill()
        for file in poller.database.parent.glob("history.sdb*"):
            file.unlink()
        mark = self.directory / "mark"
        central.api().submit(2, f"echo ran >> {mark}")
        started = clock()
        poller.start()
        self.usable_after(central, started, "the loss of the node's database")
        eventually(mark.exists, 5, "the command sent meanwhile")
        self.assertEqual(mark.read_text(), "ran\n")

    def test_the_central_has_another_key_and_it_is_refused_until_it_is_trusted(self):
        central, poller = self.pair()
        old, started = central.thumbprint(), poller.process.pid
        parent = f"tcp://127.0.0.1:{central.listener_port}"
        central.stop()
        new = central.make_keys(force=True)
        for file in central.database.parent.glob("history.sdb*"):
            file.unlink()
        central.start()
        said = poller.wait_log(r"the server's key changed: .*", timeout=15)[0]
        for text in (old, new, f"gorgonectl trust {parent} --replace"):
            self.assertIn(text, said)
        state = central.api().nodes()["2"]
        self.assertEqual((state["link"], state["why"]), ("down", "awaited"))
        eventually(lambda: poller.database_rows("gorgone_refused_key"), 10, "the refused key")
        shown = gorgonectl("trust", parent, "--config", str(poller.config))
        self.assertIn(old, shown)
        self.assertIn(new, shown)
        gorgonectl("trust", parent, "--replace", "--config", str(poller.config))
        eventually(lambda: central.api().nodes()["2"]["link"] == "up", 15, "the link")
        self.assertEqual(outputs(central.api().run(2, "echo trusted")), ["trusted"])
        self.assertEqual(poller.process.pid, started)
        self.assertTrue(poller.alive())

    def test_the_node_restarts(self):
        central, poller = self.pair()
        poller.stop()
        started = clock()
        poller.start()
        self.usable_after(central, started, "the node's restart")

    def test_the_node_is_killed_and_a_command_sent_meanwhile_runs_once(self):
        central, poller = self.pair()
        poller.kill()
        mark = self.directory / "mark"
        time.sleep(0.5)
        central.api().submit(2, f"echo ran >> {mark}")
        started = clock()
        poller.start()
        self.usable_after(central, started, "the node's kill")
        eventually(mark.exists, 5, "the command sent meanwhile")
        self.assertEqual(mark.read_text(), "ran\n")

    def test_both_restart_at_once(self):
        central, poller = self.pair()
        central.kill()
        poller.kill()
        started = clock()
        poller.start()
        central.start()
        self.usable_after(central, started, "the restart of both")

    def test_the_key_is_renewed_and_no_link_is_lost(self):
        central, poller = self.pair(core={"external_com_rotation": 1})
        central.stop()
        central.age_sessions(120)
        central.start()
        old = eventually(lambda: [row for row in central.database_rows("gorgone_identity") if row["oldkey"]], 20, "a renewed key")
        self.assertEqual(len(old), 1)
        self.assertEqual(outputs(central.api().run(2, "echo renewed")), ["renewed"])
        for daemon in (central, poller):
            self.assertNotIn("refused a message", daemon.log())
        self.one_session(central)

    def test_a_central_that_is_mute_is_dialled_anew_by_a_new_routing_id(self):
        central, poller = self.pair(ping=1, ping_timeout=1)
        central.process.send_signal(signal.SIGSTOP)
        self.addCleanup(lambda: central.process and central.process.send_signal(signal.SIGCONT))
        poller.wait_log("link down: .*no answer to a ping within modules.pull.ping_timeout", 10)
        started = clock()
        central.process.send_signal(signal.SIGCONT)
        self.usable_after(central, started, "the central was suspended")
        self.assertGreaterEqual(len(set(row["identity"] for row in central.database_rows("gorgone_identity"))), 2)


class Strangers(PullCase):
    def setUp(self):
        self.key = draw_key()
        self.mark = thumbprint(self.key.public_key())

    def node(self, central, **options):
        node = PullNode(f"tcp://127.0.0.1:{central.listener_port}", options.pop("key", self.key), **options).start()
        self.addCleanup(node.stop)
        return node

    def refused(self, central, why):
        central.wait_log(r"ERROR - \[proxy\] REGISTERNODES: session gorgone-\S+ may not register as node '\d+': " + why, 5)
        rows = eventually(lambda: [row for row in central.database_rows() if row["code"] == 1 and "may not register" in row["data"]], 5, "a row")
        self.assertRegex(rows[-1]["data"], why)

    def test_a_session_registers_by_its_own_routing_id_only(self):
        central = self.central_for(self.mark)
        self.node(central, claims=[{"id": 2, "type": "pull", "identity": "gorgone-2-of-another"}])
        self.refused(central, "the identity it gives is .*gorgone-2-of-another.*, expected its own routing id")
        self.assertEqual(central.api().nodes()["2"]["link"], "down")

    def test_a_session_does_not_take_the_place_of_a_node_that_is_dialled(self):
        central = self.central_for(self.mark, nodes=[{"id": 2, "type": "push_zmq", "address": "127.0.0.1", "port": 1}])
        self.node(central)
        self.refused(central, "the node is registered here with type push_zmq, expected pull")
        self.assertEqual(central.api().nodes()["2"]["type"], "push_zmq")

    def test_a_session_does_not_register_as_the_central_itself(self):
        central = self.central_for(self.mark)
        self.node(central, node_id=1)
        self.refused(central, "that is this daemon's own id")

    def test_a_session_speaks_for_one_node_only(self):
        central = self.central_for(self.mark, nodes=[{"id": 2, "type": "pull"}, {"id": 3, "type": "pull"}])
        node = self.node(central)
        self.wait_seen(central, 2)
        node.say("REGISTERNODES", {"nodes": [{"id": 3, "type": "pull", "identity": node.routing_id}]})
        self.refused(central, "it speaks for node '2' already")
        node.say("UNREGISTERNODES", {"nodes": [{"id": 3}]})
        time.sleep(0.3)
        self.assertEqual({identity: state["link"] for identity, state in central.api().nodes().items()}, {"2": "up", "3": "down"})

    def test_another_session_does_not_unregister_a_node(self):
        central = self.central_for(self.mark)
        self.node(central)
        self.wait_seen(central, 2)
        dialer = self.dial_as(central)
        dialer.call("UNREGISTERNODES", {"nodes": [{"id": 2}]})
        central.wait_log(r"ERROR - \[proxy\] UNREGISTERNODES: session \S+ may not unregister node '2'", 5)
        self.assertEqual(central.api().nodes()["2"]["link"], "up")

    def dial_as(self, central):
        dialer = Dialer(f"tcp://127.0.0.1:{central.listener_port}", self.key)
        self.addCleanup(dialer.close)
        dialer.greet()
        return dialer

    def test_a_pong_tells_a_parent_of_the_nodes_here_and_a_node_that_dials_of_none(self):
        central = self.central_for(self.mark)
        self.node(central)
        self.wait_seen(central, 2)
        peer = self.dial_as(central)

        def pong():
            peer.send(request("PING", {}, "asked"))
            while (message := peer.take()).token != "asked":
                pass
            return message.body["data"]["data"]

        self.assertEqual(list(pong()), ["2"])
        peer.send(request("REGISTERNODES", {"nodes": [{"id": 7, "type": "pull", "identity": peer.routing_id}]}, "registered"))
        eventually(lambda: "7" in central.api().nodes(), 5, "node 7")
        self.assertEqual(pong(), {})

    def test_a_newer_session_takes_over_and_it_is_told(self):
        central = self.central_for(self.mark)
        old = self.node(central)
        self.wait_seen(central, 2)
        new = self.node(central)
        central.wait_log(r"NOTICE - \[proxy\] node '2' speaks through session \S+ from now on, until now it was " + old.routing_id, 5)
        self.assertEqual(outputs(central.api().run(2, "hello")), ["ran hello"])
        self.assertNotIn("COMMAND", old.actions())
        self.assertIn("COMMAND", new.actions())

    def test_repeated_registrations_change_nothing(self):
        central = self.central_for(self.mark)
        node = self.node(central, keepalive_s=0.05)
        self.wait_seen(central, 2)
        eventually(lambda: len(node.acknowledged) > 20, 10, "20 registrations")
        self.assertEqual(len(re.findall(REGISTERED, central.log())), 2, "by the file, and by the first of the node's")
        self.assertEqual(central.log().count("link up: client"), 1)
        self.assertNotIn("link down: client", central.log())

    def test_a_file_that_is_read_again_keeps_the_session_of_its_node(self):
        central = self.central_for(self.mark)
        self.node(central)
        self.wait_seen(central, 2)
        central.api().request("POST", "/api/core/register/resync", {})
        self.assertEqual(outputs(central.api().run(2, "still")), ["ran still"])
        self.assertNotIn("link down: client", central.log())

    # A node that is not ours, as deployed ones are

    def test_our_central_drives_a_deployed_node(self):
        central = self.central_for(self.mark, nodes=[])
        node = self.node(central)
        self.wait_seen(central, 2)
        tokens = []
        for number in range(20):
            rows = central.api().run(2, f"c{number}")
            self.assertEqual((codes(rows), outputs(rows)), ([0, 100, 2], [f"ran c{number}"]))
            tokens.append(rows[0]["token"])
        commands = [message for message in node.taken if message.kind == "COMMAND"]
        self.assertEqual([message.token for message in commands], tokens)
        self.assertEqual({message.target for message in node.taken}, {"2"}, "the target is the node's id, also for itself")
        kinds = {message.kind for message in node.acknowledged}
        self.assertEqual(kinds, {"ACK"}, "the registration is acknowledged")

    def test_commands_that_a_deployed_node_never_acknowledges_run_once(self):
        central = self.central_for(self.mark)
        node = self.node(central)
        self.wait_seen(central, 2)
        tokens = [central.api().submit(2, f"c{number}") for number in range(600)]
        eventually(lambda: node.actions().count("COMMAND") == 600, 20, "600 commands")
        time.sleep(7)  # the time after which a message without an answer is looked after
        self.assertEqual([message.token for message in node.taken if message.kind == "COMMAND"], tokens)
        self.assertEqual(central.api().nodes()["2"]["link"], "up")

    def test_what_was_under_way_to_a_deployed_node_whose_connection_was_cut_is_sent_over_the_next_one(self):
        central = self.central_for(self.mark)
        path = FlakyPath(central.listener_port)
        self.addCleanup(path.close)
        node = PullNode(f"tcp://127.0.0.1:{path.port}", self.key, keepalive_s=3600).start()
        self.addCleanup(node.stop)
        self.wait_seen(central, 2)
        eventually(lambda: "GETLOG" in node.actions(), 10, "a question of the central")
        for attempt in range(3):
            path.stall()
            tokens = [central.api().submit(2, f"c{number}") for number in range(5)]
            time.sleep(0.5)  # they, and the ping behind them, are on their way
            path.cut()
            path.restore()
            eventually(lambda: not central.database_rows("gorgone_outbox"), 30, "an empty outbox")
            taken = [message.token for message in node.taken if message.kind == "COMMAND"]
            self.assertEqual([token for token in tokens if token not in taken], [], "accepted commands were lost")
        self.assertEqual(len(node.routing_ids), 1, "the session goes on")

    def test_a_deployed_node_that_opens_a_new_session_is_taken_over_at_once(self):
        central = self.central_for(self.mark)
        node = self.node(central)
        self.wait_seen(central, 2)
        for number in range(5):
            node.renew()
            started = clock()
            eventually(lambda: len(node.routing_ids) == number + 2, 5, "a new session")
            self.assertEqual(outputs(central.api().run(2, f"r{number}")), [f"ran r{number}"])
            self.assertLess(clock() - started, 3)

    def test_a_deployed_node_is_usable_after_a_restart_of_the_central(self):
        central = self.central_for(self.mark)
        node = self.node(central)
        self.wait_seen(central, 2)
        for end in (central.stop, central.kill):
            time.sleep(0.2)
            end()
            started = clock()
            central.start()
            self.usable_after(central, started, f"a {end.__name__} of the central of a deployed node")
        self.assertEqual(len(node.routing_ids), 1, "the session goes on")

    def test_a_deployed_node_follows_renewed_keys(self):
        central = self.central_for(self.mark, external_com_rotation=1)
        node = self.node(central)
        self.wait_seen(central, 2)
        central.stop()
        central.age_sessions(120)
        central.start()
        eventually(lambda: node.keys > 0, 20, "a new key")
        self.assertEqual(outputs(central.api().run(2, "renewed")), ["ran renewed"])
        self.assertEqual(len(node.routing_ids), 1)

    def test_a_deployed_node_that_is_mute_is_told_and_heals(self):
        central = self.make_central()
        central.replace_module("proxy", ping=1, pong_max_timeout=1)
        central.nodes({"id": 2, "type": "pull"})
        self.listen(central, self.mark)
        node = self.node(central, keepalive_s=1)
        self.wait_seen(central, 2)
        node.mute.set()
        node.keepalive_s = 3600
        eventually(lambda: central.api().nodes()["2"]["link"] == "down", 30, "the loss of a mute node")
        node.mute.clear()
        eventually(lambda: central.api().nodes()["2"]["link"] == "up", 10, "its return")
        self.assertEqual(outputs(central.api().run(2, "again")), ["ran again"])


class Replaced(PullCase):
    """Another daemon comes back in a node's place while commands wait for it."""

    def deployed(self, central, owner):
        node = PullNode(f"tcp://127.0.0.1:{central.listener_port}", read_private_key(owner.private_key)).start()
        self.addCleanup(node.stop, False)
        return node

    def test_one_that_is_put_back_to_a_deployed_daemon_gets_each_command_once(self):
        central, poller = self.pair()
        for end in (poller.stop, poller.kill):
            end()
            tokens = [central.api().submit(2, f"c{number}") for number in range(20)]
            node = self.deployed(central, poller)
            eventually(lambda: not central.database_rows("gorgone_outbox"), 20, "an empty outbox")
            time.sleep(1)  # for one that would come twice
            self.assertEqual([message.token for message in node.taken if message.kind in ("COMMAND", "DELIVER")], tokens)
            self.assertNotIn("DELIVER", node.actions())
            node.stop(farewell=False)
            poller.start()
            self.wait_link(central)

    def wait_link(self, central):
        eventually(lambda: "delivery" in central.api().nodes()["2"]["features"], 15, "a pong of our own node")

    def test_one_whose_deployed_daemon_is_replaced_by_ours_runs_each_command_once_and_keeps_its_link(self):
        central, poller = self.pair()
        poller.stop()
        node = self.deployed(central, poller)
        eventually(lambda: central.api().nodes()["2"]["features"] == [] and "PING" in node.actions(), 15, "a pong of the deployed node")
        node.stop(farewell=False)
        mark = self.directory / "mark"
        tokens = [central.api().submit(2, f"echo {number} >> {mark}") for number in range(20)]
        time.sleep(1.5)  # a message that finds no way is tried again a second later
        poller.start()
        central.api().poll(2, tokens[-1], 20)
        before = central.log().count("link down")
        time.sleep(7)  # after 5 s a message without an answer is looked after
        self.assertEqual(sorted(map(int, mark.read_text().split())), list(range(20)))
        self.assertEqual(central.log().count("link down"), before, "the link was given up")
        self.assertEqual(central.database_rows("gorgone_outbox"), [])


class DeployedCentral(PullCase):
    def start_both(self, **faults):
        options = {name: faults.pop(name) for name in ("ping", "ping_timeout") if name in faults}
        poller = self.make_pull_poller(1, **(options or {"ping": 60}))
        central = PullCentral(draw_key(), [poller.thumbprint()], **faults).start()
        self.addCleanup(central.stop)
        poller.edit("127.0.0.1:1", f"127.0.0.1:{central.port}", file="10-pull.yaml")
        poller.start()
        eventually(lambda: "2" in central.nodes, 10, "the node's registration")
        return central, poller

    def run_one(self, central, text):
        token = central.ask(2, "COMMAND", {"content": [{"command": f"echo {text}"}]})
        end = time.monotonic() + 10
        while time.monotonic() < end:
            rows = central.ask(2, "GETLOG", {"token": token}, kind="SETLOGS").body["data"]["result"]
            if any(row["code"] == 2 for row in rows):
                return rows
            time.sleep(0.05)
        raise AssertionError(f"{text} did not end")

    def test_it_registers_first_and_answers_as_deployed_nodes_do(self):
        central, poller = self.start_both()
        _, who, node = central.registrations[0]
        self.assertEqual(central.taken[0].kind, "REGISTERNODES")
        self.assertRegex(who.decode(), r"^gorgone-2-[0-9a-f]{24}$")
        self.assertEqual(node, {"id": 2, "type": "pull", "identity": who.decode(), "connection": 1})
        pong = central.ask(2, "PING", kind="PONG")
        self.assertEqual((pong.target, pong.body["code"], pong.body["data"]["id"]), ("", 0, "2"))
        rows = self.run_one(central, "deployed")
        self.assertEqual([row["code"] for row in sorted(rows, key=lambda row: int(row["id"]))], [0, 0, 100, 2])
        token = central.ask(2, "GETTHUMBPRINT")
        row, = eventually(lambda: central.ask(2, "GETLOG", {"token": token}, kind="SETLOGS").body["data"]["result"], 10, "the row of a question")
        self.assertEqual((row["code"], json.loads(row["data"])["data"]), (2, {"thumbprint": poller.thumbprint()}))
        central.ask(2, "NOSUCHACTION")
        central.ask(2, "PING", kind="PONG")
        self.assertEqual(set(central.actions()), {"REGISTERNODES", "PING", "PONG", "SETLOGS"}, "plain requests are not acknowledged")
        log = central.ask(2, "GETLOG", {}, kind="SETLOGS")
        self.assertEqual((log.target, log.body["code"]), ("", 1), "a GETLOG that is refused is answered as well")

    def test_it_says_good_bye(self):
        central, poller = self.start_both()
        self.assertLess(poller.stop(), 1)
        eventually(lambda: "2" not in central.nodes, 2, "its good-bye")
        self.assertEqual(central.actions()[-1], "UNREGISTERNODES")

    def test_it_follows_renewed_keys(self):
        central, _ = self.start_both(rotate_every=3)
        for _ in range(12):
            central.ask(2, "PING", kind="PONG")
        self.assertEqual(len({who for _, who, _ in central.registrations}), 1)

    def test_it_opens_a_new_session_when_it_was_forgotten(self):
        central, _ = self.start_both(ping=1, ping_timeout=2, forget_every=5)
        for _ in range(15):
            eventually(lambda: self.is_answered(central), 10, "an answer")
        self.assertGreater(central.greetings, 2)

    def is_answered(self, central):
        try:
            return central.ask(2, "PING", kind="PONG", timeout=1)
        except TimeoutError:
            return None

    def test_it_opens_a_new_session_by_a_new_routing_id_when_nothing_comes(self):
        central, poller = self.start_both(ping=1, ping_timeout=1, mute_after=4)
        poller.wait_log("link down: .*no answer to a ping", 10)
        central.mute_after = 0
        first = central.registrations[0][1]
        eventually(lambda: central.registrations[-1][1] != first, 10, "a new routing id")
        self.run_one(central, "again")

    def test_a_central_that_comes_back_without_its_sessions_is_greeted_anew(self):
        central, poller = self.start_both(ping=1, ping_timeout=2)
        central.stop()
        time.sleep(1)
        started = clock()
        second = PullCentral(central.key, central.authorized, port=central.port).start()
        self.addCleanup(second.stop)
        self.run_one(second, "back")
        print(f"usable {clock() - started:.2f} s after a deployed central came back without its sessions")
        self.assertLess(clock() - started, HEALED_S)


class Relay(PullCase):
    def setUp(self):
        self.central = self.make_central()
        self.remote = self.make("remote-3", "remote", {"*:5556": "127.0.0.1:0", "THUMBPRINT-OF-THE-CENTRAL": "x", "0.0.0.0": "127.0.0.1", "8085": "0"})
        self.remote.make_keys()
        self.poller = self.make_poller(self.remote.thumbprint(), 4).start()

    def connect(self, *nodes):
        self.central.nodes(*nodes)
        port = self.listen(self.central, self.remote.thumbprint())
        self.remote.nodes(self.poller.node(4))
        self.remote.replace_module("pull", target_path=f"127.0.0.1:{port}")
        self.remote.start()
        self.wait_seen(self.remote, 4)
        self.wait_seen(self.central, 3)

    def test_a_poller_behind_a_remote_that_dials_is_reached_through_it(self):
        self.connect({"id": 3, "type": "pull", "nodes": [{"id": 4, "pathscore": 1}]})
        token = self.central.api().submit(4, "echo deep")
        self.assertEqual(outputs(self.central.api().poll(4, token)), ["deep"])
        self.assertEqual(outputs(self.central.api().run(3, "echo remote")), ["remote"])

    def test_the_nodes_of_a_remote_that_dials_are_learned_from_it(self):
        self.central.replace_module("proxy", ping=1)
        self.connect({"id": 3, "type": "pull"})
        eventually(lambda: "4" in self.central.api().nodes()["3"]["nodes"], 10, "the remote's own node")
        token = self.central.api().submit(4, "echo learned")
        self.assertEqual(outputs(self.central.api().poll(4, token)), ["learned"])

    def test_a_poller_that_dials_a_remote_that_dials_the_central(self):
        self.poller.stop()
        self.daemons.remove(self.poller)
        self.poller = self.make_pull_poller(1, 5)
        self.listen(self.remote, self.poller.thumbprint())
        self.remote.stop()
        self.poller.edit("127.0.0.1:1", f"127.0.0.1:{self.remote.listener_port}")
        self.poller.start()
        self.central.nodes({"id": 3, "type": "pull", "nodes": [{"id": 5, "pathscore": 1}]})
        port = self.listen(self.central, self.remote.thumbprint())
        self.remote.nodes({"id": 5, "type": "pull"})
        self.remote.replace_module("pull", target_path=f"127.0.0.1:{port}")
        self.remote.start()
        self.wait_seen(self.remote, 5)
        self.wait_seen(self.central, 3)
        token = self.central.api().submit(5, "echo two hops")
        self.assertEqual(outputs(self.central.api().poll(5, token)), ["two hops"])

    def test_a_central_that_is_not_ours_reaches_the_poller_through_it(self):
        central = PullCentral(draw_key(), [self.remote.thumbprint()]).start()
        self.addCleanup(central.stop)
        self.remote.nodes(self.poller.node(4))
        self.remote.replace_module("pull", target_path=f"127.0.0.1:{central.port}")
        self.remote.start()
        self.wait_seen(self.remote, 4)
        eventually(lambda: "3" in central.nodes, 10, "the remote's registration")
        pong = central.ask(3, "PING", kind="PONG")
        self.assertEqual((str(pong.body["data"]["id"]), list(pong.body["data"]["data"])), ("3", ["4"]))
        before = len(central.taken)
        token = central.ask(3, "COMMAND", {"content": [{"command": "echo rebound"}]}, target=4)
        told = eventually(lambda: [said for said in central.taken[before:] if said.kind == "SYNCLOGS"], 10, "that there are new rows")
        self.assertEqual(str(told[0].body["data"]["id"]), "3")

        def rows():
            found = central.ask(3, "GETLOG", {"token": token}, kind="SETLOGS", target=4).body["data"]["result"]
            return sorted(found, key=lambda row: int(row["id"]))

        eventually(lambda: any(row["code"] == 2 for row in rows()), 10, "the end of the command")
        self.assertEqual(codes(rows()), [0, 0, 100, 2])
        self.assertEqual(json.loads(rows()[2]["data"])["result"]["stdout"], "rebound")
        self.assertEqual({message.kind for message in central.taken} - {"REGISTERNODES", "PONG", "SETLOGS", "SYNCLOGS", "PING"}, set(),
                         "plain requests are not acknowledged")


if __name__ == "__main__":
    unittest.main()
