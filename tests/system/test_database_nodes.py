"""The module nodes: what stands in a real MariaDB, as Centreon's web application writes it, is what the daemon sends to."""
import json
import time
import unittest

from api import codes, outputs
from fleet import LISTENER_LINE, FleetCase, eventually
from mariadb import PASSWORD, USER, MariaDb
from pace import clock
from test_pull_nodes import PullCase
from wss_fleet import TOKEN, WSS_LINE, WssCase

READ_AGAIN = r"INFO - \[nodes\] the nodes can be read from the database again"
CANNOT = r"ERROR - \[nodes\] the nodes cannot be read, those that are known stay"


class NodesCase(FleetCase):
    def make_database(self, form="26", **options):
        self.database = MariaDb(self.directory / "mariadb", **options)
        self.addCleanup(self.database.stop)
        self.database.start().create_centreon(form)
        return self.database

    def make_nodes_central(self, *listed, resync_time=600, **options):
        """A central with the module nodes; `listed` stand in the register file. Not started."""
        central = self.make_central()
        central.nodes(*listed)
        central.replace_module("nodes", resync_time=resync_time)
        self.database.configure(central, **options)
        return central

    def start_poller(self, central, identity=4, row=None):
        """A poller that runs, its port in the database."""
        poller = self.make_poller(central.thumbprint(), identity).start()
        self.database.execute(f"UPDATE nagios_server SET gorgone_port = {poller.port} WHERE id = {row or identity}")
        return poller

    def sync(self, central, timeout=15):
        """The row that ends a sync."""
        status, body = central.api().request("POST", "/api/centreon/nodes/sync")
        self.assertEqual(status, 200, body)
        rows = central.api().poll(None, body["token"], timeout)
        self.assertEqual(len(rows), 1, rows)
        return rows[0]

    def synced(self, central, **expected):
        """A sync that ends well, with these counts."""
        row = self.sync(central)
        self.assertEqual(row["code"], 2, row)
        self.assertEqual({key: row["data"][key] for key in expected}, expected, row["data"]["message"])

    def registered(self, central):
        return sorted(central.api().nodes())

    def wait_registered(self, central, *nodes):
        eventually(lambda: self.registered(central) == sorted(nodes), 5, f"the registration of {nodes}, not {self.registered(central)}")


class Installation(NodesCase):
    def test_an_installation_of_26_is_known_as_soon_as_the_api_answers(self):
        self.make_database("26")
        central = self.make_nodes_central()
        poller = self.start_poller(central)
        central.start()
        self.assertEqual(self.registered(central), ["2", "4"])
        self.assertEqual(outputs(central.api().run(4, "echo from the database")), ["from the database"])
        self.synced(central, nodes=2, subnodes=2, added=0, changed=0, removed=0, left_out=0)
        self.assertNotIn(" - ERROR - [nodes]", central.log())
        self.assertTrue(poller.alive())

    def test_an_installation_of_22_without_the_newer_columns_is_known_as_well(self):
        self.make_database("22")
        central = self.make_nodes_central()
        self.start_poller(central)
        central.start()
        self.assertEqual(outputs(central.api().run(4, "echo 22")), ["22"])
        self.synced(central, nodes=2, subnodes=2, left_out=0)

    def test_a_node_without_a_configured_id_learns_it_from_the_database(self):
        self.make_database()
        central = self.make_nodes_central()
        central.edit("    id: 1\n", "")
        central.start()
        self.assertEqual(outputs(central.api().run(1, "echo myself")), ["myself"])

    def test_a_node_is_addressed_by_its_uid_as_by_its_id(self):
        self.make_database()
        central = self.make_nodes_central()
        self.start_poller(central)
        self.database.execute("UPDATE nagios_server SET uid = 9007199254740993 WHERE id = 4")
        central.start()
        self.assertEqual(outputs(central.api().run(9007199254740993, "echo by uid")), ["by uid"])
        self.assertEqual(outputs(central.api().run(4, "echo by id")), ["by id"])

    def test_the_option_for_debugging_sets_the_log_and_takes_it_back(self):
        self.make_database()
        central = self.make_nodes_central()
        central.severity = "info"
        central.start()
        self.assertNotIn(" - DEBUG - ", central.log())
        self.database.execute("UPDATE options SET value = '1' WHERE `key` = 'debug_gorgone'")
        self.synced(central)
        eventually(lambda: self.registered(central) and " - DEBUG - " in central.log(), 5, "a DEBUG line")
        self.database.execute("UPDATE options SET value = '0' WHERE `key` = 'debug_gorgone'")
        self.synced(central)
        time.sleep(0.2)
        before = central.log().count(" - DEBUG - ")
        self.synced(central)
        self.assertEqual(central.log().count(" - DEBUG - "), before)

    def test_a_row_with_names_in_other_alphabets_and_a_wrong_port_is_told_and_keeps_out_no_other(self):
        self.make_database()
        central = self.make_nodes_central()
        self.start_poller(central)
        self.database.execute("INSERT INTO nagios_server (id, name, ns_ip_address, gorgone_port) VALUES (7, 'Südpol', '127.0.0.1', 70000)")
        central.start()
        central.wait_log(r"WARNING - \[nodes\] left out, nothing can be sent to it: node 7 \(Südpol\): gorgone_port is 70000, expected 1 to 65535", 5)
        self.assertEqual(outputs(central.api().run(4, "echo others")), ["others"])


class Changes(NodesCase):
    def test_a_node_added_changed_deactivated_and_removed_is_followed_at_a_sync(self):
        self.make_database()
        central = self.make_nodes_central()
        first = self.start_poller(central)
        central.start()
        other = self.make_poller(central.thumbprint(), 8).start()

        self.database.execute(f"INSERT INTO nagios_server (id, name, ns_ip_address, gorgone_port) VALUES (8, 'new', '127.0.0.1', {other.port})")
        self.synced(central, nodes=3, added=1, changed=0, removed=0)
        self.assertEqual(outputs(central.api().run(8, "echo new")), ["new"])

        self.database.execute(f"UPDATE nagios_server SET gorgone_port = {first.port} WHERE id = 8")
        self.synced(central, nodes=3, added=0, changed=1, removed=0)
        rows = first.database_rows
        central.api().run(8, "echo changed")
        eventually(lambda: any("echo changed" in row["data"] for row in rows()), 5, "the command on the other port")

        self.database.execute("UPDATE nagios_server SET ns_activate = '0' WHERE id = 8")
        self.synced(central, nodes=2, added=0, changed=0, removed=1)
        self.wait_registered(central, "2", "4")
        status, body = central.api().request("POST", "/api/nodes/8/core/action/command", [{"command": "echo nobody"}])
        self.assertEqual((status, body["error"]), (400, "unknown_target"))

        self.database.execute("UPDATE nagios_server SET ns_activate = '1' WHERE id = 8; DELETE FROM nagios_server WHERE id = 4")
        self.synced(central, nodes=2, added=1, removed=1)
        self.wait_registered(central, "2", "8")

    def test_the_database_is_read_again_by_itself(self):
        self.make_database()
        central = self.make_nodes_central(resync_time=1)
        self.start_poller(central)
        central.start()
        self.database.execute("UPDATE nagios_server SET ns_activate = '0' WHERE id = 4")
        self.wait_registered(central, "2")

    def test_requests_at_once_each_end_and_see_what_was_changed_before_them(self):
        self.make_database()
        central = self.make_nodes_central().start()
        api, tokens = central.api(), []
        for number in range(20, 40):
            self.database.execute(f"INSERT INTO nagios_server (id, name, ns_ip_address) VALUES ({number}, 'n', '127.0.0.1')")
            tokens.append(api.request("POST", "/api/centreon/nodes/sync")[1]["token"])
        last = api.poll(None, tokens[-1])
        self.assertEqual(last[0]["data"]["nodes"], 22)
        self.assertEqual([codes(api.poll(None, token)) for token in tokens], [[2]] * 20)


class Remotes(NodesCase):
    def start_remote(self, central):
        """A remote (2) with the pollers 3 and 6 behind it, all running."""
        remote = self.make("remote-2", "remote", {"*:5556": "127.0.0.1:0", "THUMBPRINT-OF-THE-CENTRAL": central.thumbprint(), "0.0.0.0": "127.0.0.1",
                                                  "8085": "0", "id: 3": "id: 2"})
        self.remote = remote
        pollers = [self.make_poller(remote.thumbprint(), identity).start() for identity in (3, 6)]
        remote.nodes(pollers[0].node(3), pollers[1].node(6))
        remote.start()
        self.database.execute(f"UPDATE nagios_server SET gorgone_port = {remote.port} WHERE id = 2")
        return remote

    def test_pollers_behind_the_remote_are_reached_by_remote_id_and_by_relation(self):
        self.make_database()
        central = self.make_nodes_central()
        self.start_remote(central)
        central.start()
        self.wait_seen(self.remote, 3)
        self.wait_seen(self.remote, 6)
        self.assertEqual(outputs(central.api().run(3, "echo by remote_id")), ["by remote_id"])
        self.assertEqual(outputs(central.api().run(6, "echo by relation")), ["by relation"])
        self.assertNotIn("3", self.registered(central))

    def test_a_uid_leads_to_a_poller_behind_the_remote(self):
        self.make_database()
        central = self.make_nodes_central()
        self.start_remote(central)
        self.database.execute("UPDATE nagios_server SET uid = 30000 WHERE id = 3")
        central.start()
        self.wait_seen(self.remote, 3)
        self.assertEqual(outputs(central.api().run(30000, "echo by uid")), ["by uid"])

    def test_a_poller_whose_remote_is_no_proxy_is_reached_by_itself(self):
        self.make_database()
        central = self.make_nodes_central()
        self.database.execute("UPDATE nagios_server SET remote_server_use_as_proxy = '0' WHERE id = 3")
        self.start_poller(central, 3)
        central.start()
        self.assertEqual(self.registered(central), ["2", "3", "4"])
        self.assertEqual(outputs(central.api().run(3, "echo by itself")), ["by itself"])

    def test_a_poller_whose_remote_is_deactivated_is_told_and_comes_back_with_it(self):
        self.make_database()
        central = self.make_nodes_central().start()
        self.database.execute("UPDATE nagios_server SET ns_activate = '0' WHERE id = 2")
        self.synced(central, nodes=1, subnodes=0, removed=1, left_out=2)
        central.wait_log(r"WARNING - \[nodes\] left out, .*node 3 \(Poller behind the remote\): it is reached through node 2, which is not there or "
                         "not active", 5)
        self.database.execute("UPDATE nagios_server SET ns_activate = '1' WHERE id = 2")
        self.synced(central, nodes=2, subnodes=2, added=1, left_out=0)


class Prevail(NodesCase):
    def state(self, central, node):
        return central.api().nodes().get(str(node))

    def test_the_file_counts_only_with_prevail_and_may_take_it_back(self):
        self.make_database()
        central = self.make_nodes_central()
        poller = self.make_poller(central.thumbprint(), 4).start()  # its port is in the file, not in the database
        central.nodes({"id": 4, "port": poller.port, "prevail": 1}, {"id": 9, "address": "127.0.0.1"})
        central.start()
        self.wait_registered(central, "2", "4")
        self.assertEqual(outputs(central.api().run(4, "echo by the port in the file")), ["by the port in the file"])
        central.wait_log(r"1 of 2 nodes count, those with prevail", 5)

        self.synced(central, added=0, changed=0)
        self.assertEqual(outputs(central.api().run(4, "echo still")), ["still"])

        # Without prevail the database's port is the one, where nothing listens.
        central.nodes({"id": 4, "port": poller.port}, {"id": 9, "address": "127.0.0.1"})
        self.resync(central)
        central.wait_log(r"node '4' changed type=push_zmq address=127.0.0.1:5556", 5)
        self.wait_registered(central, "2", "4")

        central.nodes({"id": 9, "address": "127.0.0.1", "prevail": "Yes"})
        self.resync(central)
        self.wait_registered(central, "2", "4", "9")
        central.nodes()
        self.resync(central)
        self.wait_registered(central, "2", "4")

    def test_what_stands_behind_a_node_that_prevails_is_no_node_of_its_own(self):
        self.make_database()
        central = self.make_nodes_central({"id": 2, "prevail": True, "nodes": [{"id": 4, "pathscore": 1}]})
        central.start()
        self.wait_registered(central, "2")
        self.database.execute("UPDATE nagios_server SET ns_ip_address = '127.0.0.2' WHERE id = 4")
        self.synced(central, changed=1)
        self.assertEqual(self.registered(central), ["2"])
        central.nodes()
        self.resync(central)
        self.wait_registered(central, "2", "4")

    def test_a_node_that_the_database_loses_stays_where_the_file_prevails(self):
        self.make_database()
        central = self.make_nodes_central({"id": 4, "prevail": 1, "address": "127.0.0.1"}).start()
        self.database.execute("DELETE FROM nagios_server WHERE id = 4")
        self.synced(central, removed=1)
        self.wait_registered(central, "2", "4")

    def test_without_the_module_every_entry_of_the_file_counts(self):
        central = self.make_central()
        central.nodes({"id": 2, "address": "127.0.0.1"}, {"id": 9, "address": "127.0.0.1", "prevail": 1})
        central.start()
        self.wait_registered(central, "2", "9")

    def resync(self, central):
        token = central.api().request("POST", "/api/core/register/resync")[1]["token"]
        self.assertEqual(codes(central.api().poll(None, token)), [2])


class NodesThatDial(NodesCase, PullCase, WssCase):
    def test_a_pullwss_node_is_let_in_as_soon_as_the_database_names_it(self):
        self.make_database()
        central = self.make_nodes_central()
        central.replace_module("proxy", httpserver={"enable": True, "address": "127.0.0.1", "port": 0, "token": TOKEN})
        central.start()
        node = self.make_node(int(central.wait_log(WSS_LINE)[1]), 8).start()
        node.wait_log("the central refuses the node: no nodes are known yet", 10)
        self.database.execute("INSERT INTO nagios_server (id, name, gorgone_communication_type) VALUES (8, 'dials', '4')")
        self.synced(central, added=1)
        self.wait_usable(central, 8)
        self.assertNotIn("8", json.dumps(json.loads((central.config.parent / "nodes.yaml").read_text())))
        self.database.execute("DELETE FROM nagios_server WHERE id = 8")
        self.synced(central, removed=1)
        node.wait_log("not registered any more", 5)

    def test_a_pullwss_node_that_goes_by_its_uid_is_the_node_of_its_id(self):
        self.make_database()
        self.database.execute("UPDATE nagios_server SET gorgone_communication_type = '4', uid = 70004 WHERE id = 4")
        central = self.make_nodes_central()
        central.replace_module("proxy", httpserver={"enable": True, "address": "127.0.0.1", "port": 0, "token": TOKEN})
        central.start()
        self.make_node(int(central.wait_log(WSS_LINE)[1]), 70004).start()
        self.wait_usable(central, 4)
        self.wait_usable(central, 70004)
        self.assertEqual(self.registered(central), ["2", "4"])

    def test_a_pull_node_that_registers_by_its_uid_is_the_node_of_its_id(self):
        self.make_database()
        self.database.execute("UPDATE nagios_server SET gorgone_communication_type = '3', uid = 70004 WHERE id = 4")
        central = self.make_nodes_central()
        poller = self.make_pull_poller(1, 70004)
        port = self.listen_for_pull(central, poller)
        poller.edit("127.0.0.1:1", f"127.0.0.1:{port}")
        poller.start()
        self.wait_seen(central, 4)
        self.assertEqual(outputs(central.api().run(4, "echo by id")), ["by id"])
        self.assertEqual(outputs(central.api().run(70004, "echo by uid")), ["by uid"])
        self.assertEqual(self.registered(central), ["2", "4"])
        central.stop()
        central.start()
        self.assertEqual(outputs(central.api().run(4, "echo after a restart")), ["after a restart"])
        self.assertLess(poller.stop(), 3)
        central.wait_log(r"node '4' has said good-bye", 5)
        self.assertEqual(self.registered(central), ["2", "4"])

    def listen_for_pull(self, central, poller):
        return PullCase.listen(self, central, poller.thumbprint())


class AnotherProxy(NodesCase):
    def test_a_proxy_that_is_replaced_alone_has_the_nodes_of_the_database_and_of_the_file_at_once(self):
        self.make_database()
        central = self.make_nodes_central()
        self.start_poller(central)
        by_file = self.make_poller(central.thumbprint(), 9).start()
        central.nodes(by_file.node(9, prevail=1))
        operator = self.make_central("operator")
        central.configure("75-listener", {"gorgonecore": {"external_com_type": "tcp", "external_com_path": "127.0.0.1:0",
                                                          "authorized_clients": [{"key": operator.thumbprint()}]}})
        central.start()
        central.port = int(central.wait_log(LISTENER_LINE)[1])
        dialer = self.dial(central, operator)
        self.wait_registered(central, "2", "4", "9")
        module = {"name": "proxy", "package": "gorgone::modules::core::proxy::hooks", "enable": "true"}
        for turn in range(3):
            self.assertEqual(dialer.call("UNLOADMODULE", {"content": module}, timeout=20).body["code"], 2)
            self.assertEqual(dialer.call("LOADMODULE", {"content": module}).body["code"], 2)
            self.wait_registered(central, "2", "4", "9")
            for node in (4, 9):
                self.assertEqual(outputs(central.api().run(node, f"echo {turn}")), [str(turn)])
        self.synced(central, nodes=2, added=0, changed=0, removed=0)


class Outages(NodesCase):
    def test_a_database_that_is_away_at_the_start_is_used_as_soon_as_it_is_there(self):
        self.make_database()
        central = self.make_nodes_central()
        self.start_poller(central)
        self.database.stop()
        started = clock()
        central.start()
        print(f"API up {clock() - started:.2f} s after the start without a database")
        central.wait_log(CANNOT + r"; tried again every 10 s: database centreon at \S+mysqld.sock: ", 5)
        row = self.sync(central)
        self.assertEqual(row["code"], 1)
        self.assertIn("mysqld.sock", row["data"]["message"])
        self.database.start()
        central.wait_log(READ_AGAIN, 13)
        self.assertEqual(outputs(central.api().run(4, "echo here")), ["here"])

    def test_a_database_that_is_killed_unregisters_nobody(self):
        self.make_database()
        central = self.make_nodes_central(resync_time=1)
        self.start_poller(central)
        central.start()
        self.database.kill()
        central.wait_log(CANNOT, 5)
        self.assertEqual(self.sync(central)["code"], 1)
        self.assertEqual(self.registered(central), ["2", "4"])
        self.assertEqual(outputs(central.api().run(4, "echo still there")), ["still there"])
        self.database.start()
        self.synced(central, nodes=2, added=0, changed=0, removed=0)
        self.assertIn("the nodes can be read from the database again", central.log())
        # Each reason once: who is connecting while it is killed is told another than those that come later.
        told = [line.partition("those that are known stay")[2] for line in central.log().splitlines() if "the nodes cannot be read" in line]
        self.assertEqual(len(told), len(set(told)), told)
        self.assertLessEqual(len(told), 2)

    def test_a_database_that_lost_its_tables_unregisters_nobody(self):
        self.make_database()
        central = self.make_nodes_central().start()
        for harm in ("SET FOREIGN_KEY_CHECKS = 0; DELETE FROM nagios_server", "DROP TABLE rs_poller_relation",
                     "SET FOREIGN_KEY_CHECKS = 0; DROP TABLE nagios_server", "DROP DATABASE centreon"):
            self.database.execute(harm)
            row = self.sync(central)
            self.assertEqual(row["code"], 1, harm)
            self.assertIn("database centreon at" if "DELETE" not in harm else "no active server", row["data"]["message"])
            self.assertEqual(self.registered(central), ["2", "4"])
            self.database.create_centreon()
        self.synced(central, added=0, removed=0)

    def test_a_wrong_password_is_told_without_the_password(self):
        self.make_database()
        central = self.make_nodes_central(password="not-the-one").start()
        row = self.sync(central)
        self.assertEqual(row["code"], 1)
        self.assertIn(f"Access denied for user '{USER}'@'localhost'", row["data"]["message"])
        self.assertNotIn("not-the-one", central.log() + json.dumps(central.database_rows(), default=str))
        self.database.configure(central)
        central.stop()
        central.start()
        self.synced(central, nodes=2)
        self.assertNotIn(PASSWORD, central.log())

    def test_a_database_that_never_answers_stops_nothing_and_the_daemon_ends_at_once(self):
        self.make_database()
        central = self.make_nodes_central(resync_time=1)
        self.start_poller(central)
        central.start()
        self.wait_seen(central, 4)
        self.database.freeze()
        tokens = [central.api().request("POST", "/api/centreon/nodes/sync")[1]["token"] for _ in range(5)]
        slowest = 0
        for _ in range(20):
            started = clock()
            self.assertEqual(outputs(central.api().run(4, "echo on")), ["on"])
            slowest = max(slowest, clock() - started)
        print(f"slowest command while the database hung: {slowest * 1000:.0f} ms")
        self.assertLess(slowest, 1)
        self.assertLess(central.stop(), 3)
        rows = {row["token"]: row for row in central.database_rows()}
        self.assertEqual([rows[token]["code"] for token in tokens], [1] * 5)

    def test_a_daemon_starts_while_its_database_hangs(self):
        self.make_database()
        central = self.make_nodes_central()
        self.start_poller(central)
        self.database.freeze()
        started = clock()
        central.start()
        took = clock() - started
        print(f"API up {took:.2f} s after the start with a database that hangs")
        self.assertLess(took, 4)
        self.database.thaw()
        self.wait_registered(central, "2", "4")


class Configuration(NodesCase):
    def test_tls_is_used_as_the_dsn_says_and_a_wrong_certificate_is_refused(self):
        self.make_database(port=True, tls=True)
        self.database.execute(f"ALTER USER {USER}@'127.0.0.1' REQUIRE SSL")
        central = self.make_nodes_central(by_port=True).start()
        self.assertIn("Access denied", self.sync(central)["data"]["message"])
        certificates = self.database.certificates
        for options, outcome in (({}, None), ({"mysql_ssl_ca_file": certificates["ca"]}, None),
                                 ({"mysql_ssl_ca_file": certificates["other_ca"]}, "certificate"),
                                 ({"mysql_ssl_ca_file": certificates["other_ca"], "mysql_ssl_verify_server_cert": 0}, None)):
            central.stop()
            self.database.configure(central, by_port=True, mysql_ssl=1, **options)
            central.start()
            row = self.sync(central)
            self.assertEqual(row["code"], 1 if outcome else 2, (options, row))
            self.assertIn(outcome or "synced", row["data"]["message"])

    def test_a_wrong_dsn_is_told_with_its_place_and_the_file_counts_as_without_the_module(self):
        central = self.make_central()
        central.nodes({"id": 2, "address": "127.0.0.1"})
        central.replace_module("nodes")
        (central.config_d / "60-database.yaml").write_text(json.dumps({"centreon": {"database": {"db_configuration": {"dsn": "mysql:host=a;port=x"}}}}))
        central.start()
        self.assertRegex(central.log(), r"ERROR - \[core\] module 'nodes' is not loaded: .*db_configuration.dsn \(60-database.yaml:1\): port is \"x\", "
                                        "expected 1 to 65535")
        self.wait_registered(central, "2")


if __name__ == "__main__":
    unittest.main()
