"""Links heal by themselves from paths that drop packets, in each of the ways in which nodes are joined (the other faults: test_faults.py).

Hosts are network namespaces; where the machine has none, the cases are skipped with the reason. The seconds are printed. GORGONE_LONG=1 adds the
cases that take minutes.
"""
# tests/run.sh: first, for it waits longest.
import os
import shutil
import signal
import socket
import time
import unittest

import netns
from api import codes
from fleet import eventually
from pace import SLOWNESS, clock
from test_faults import LONG, PROMISED_S, WITHOUT, Faults, told_within_15_s
from test_pull_nodes import PullCase
from wss_fleet import WssCase

PORT = 5556


@unittest.skipIf(WITHOUT, f"NO NAMESPACES, so paths that drop packets are not tested: {WITHOUT}")
class Namespaces(Faults):
    def setUp(self):
        self.lab = netns.Lab()
        self.addCleanup(self.lab.close)
        self.here, self.there, self.spare = (self.lab.host(name) for name in ("central", "poller", "spare"))
        self.here.know(**{"poller.test": self.there.address})
        self.central = self.here.house(self.make_central())
        self.poller = self.make_there("poller", self.there)

    def make_there(self, name, host):
        poller = self.make(name, "poller", {"THUMBPRINT-OF-THE-CENTRAL": self.central.thumbprint()})
        return host.house(poller, PORT)

    def start(self, address, **proxy):
        self.set_proxy(self.central, **proxy)
        self.poller.start()
        self.central.nodes({"id": 2, "type": "push_zmq", "address": address, "port": PORT})
        self.central.start()
        self.wait_seen(self.central, 2)
        self.usable(self.central, "nothing", bound=5)

    def drop_packets(self, seconds):
        self.lab.cut()
        self.submit(self.central, "waiting")
        time.sleep(seconds)
        self.assertEqual(self.times_run("waiting"), 0, "the path that drops packets let one through")
        self.lab.restore()

    def test_the_path_drops_packets_for_20_s_and_the_link_is_found_dead(self):
        self.start(self.there.address, ping=5, pong_max_timeout=1)
        self.drop_packets(20)
        self.usable(self.central, "a path that dropped packets for 20 s, ping: 5")
        self.ran_once("waiting")

    def test_the_path_drops_packets_for_20_s_with_the_standard_options(self):
        self.start(self.there.address, ping=60)
        self.drop_packets(20)
        self.usable(self.central, "a path that dropped packets for 20 s, ping: 60")
        self.ran_once("waiting")

    @unittest.skipUnless(LONG, "takes minutes; GORGONE_LONG=1 runs it")
    def test_the_path_drops_packets_for_three_minutes(self):
        self.start(self.there.address, ping=60)
        self.drop_packets(180)
        self.usable(self.central, "a path that dropped packets for 180 s, ping: 60", bound=30)
        self.ran_once("waiting")

    def test_nobody_else_waits_for_a_path_that_drops_packets(self):
        self.start(self.there.address, ping=5)
        other = self.make_there("poller-live", self.spare).start()
        self.central.nodes({"id": 2, "type": "push_zmq", "address": self.there.address, "port": PORT},
                           {"id": 3, "type": "push_zmq", "address": self.spare.address, "port": PORT})
        self.central.api().request("POST", "/api/core/register/resync", {})
        eventually(lambda: "3" in self.central.api().nodes(), 5, "node 3 in the table")
        self.wait_seen(self.central, 3)
        self.lab.cut(self.there)
        self.submit(self.central, "waiting")
        slowest = max(self.usable(self.central, "nothing, beside a node whose path drops packets", node=3, bound=2) for _ in range(10))
        self.assertLess(slowest, 2)
        self.assertTrue(other.alive())

    def test_names_that_hang_keep_no_other_named_node_away(self):
        with self.here.entered():
            name_server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # it says nothing
            name_server.bind((self.here.address, 53))
        self.addCleanup(name_server.close)
        (self.here.hosts.parent / "resolv.conf").write_text(f"nameserver {self.here.address}\n")
        self.poller.start()
        hanging = [{"id": 100 + number, "type": "push_zmq", "address": f"dead-{number}.test", "port": PORT} for number in range(24)]
        self.central.nodes(*hanging, {"id": 2, "type": "push_zmq", "address": "poller.test", "port": PORT})
        begin = clock()
        self.central.start()
        self.usable(self.central, "a cold start beside 24 nodes whose names hang", begin=begin, bound=8, promised=8)
        self.poller.kill()
        time.sleep(6)
        self.poller.start()
        self.usable(self.central, "a restart of the node beside 24 nodes whose names hang", bound=8)

    def test_an_address_without_a_route_is_told_within_15_s(self):
        self.lab.unreachable("10.79.0.1")
        self.central.nodes({"id": 2, "type": "push_zmq", "address": "10.79.0.1", "port": PORT})
        self.central.start()
        eventually(lambda: self.central.api().nodes()["2"]["why"] == "no_route", 15, "a state that says that there is no route")

    def test_the_node_is_gone_and_its_name_leads_to_a_new_address(self):
        self.start("poller.test", ping=5, pong_max_timeout=1)
        self.lab.cut(self.there)  # the old machine is not there to reset anything
        self.poller.kill()
        self.submit(self.central, "waiting")
        time.sleep(3)
        self.spare.house(self.poller, PORT).start()
        self.here.know(**{"poller.test": self.spare.address})
        self.usable(self.central, "the node's name leads to another machine with its database", bound=30)
        self.ran_once("waiting")

    def test_another_machine_takes_over_the_address(self):
        service = "10.78.0.1"
        self.lab.lead(service, self.there)
        self.start(service, ping=5, pong_max_timeout=1)
        self.lab.cut(self.there)
        os.kill(self.poller.process.pid, signal.SIGSTOP)  # it hears and says nothing any more
        self.addCleanup(lambda: self.poller.alive() and os.kill(self.poller.process.pid, signal.SIGCONT))
        spare = self.make_there("poller-spare", self.spare)
        shutil.rmtree(spare.private_key.parent, ignore_errors=True)
        shutil.copytree(self.poller.private_key.parent, spare.private_key.parent)
        self.submit(self.central, "waiting")
        time.sleep(3)
        spare.start()
        self.lab.lead(service, self.spare)
        self.usable(self.central, "another machine with the same key has the node's address", bound=30)
        self.ran_once("waiting")
        os.kill(self.poller.process.pid, signal.SIGCONT)

    def test_a_node_that_is_not_reached_is_told_within_15_s(self):
        self.start(self.there.address)
        time.sleep(12)  # so that nothing is under way
        self.lab.cut()
        told_within_15_s(self.central, "packets are dropped, standard options, idle", "mute", "no_route")
        self.stays_told()
        self.lab.restore()
        self.usable(self.central, "a path that dropped packets, idle", bound=PROMISED_S)
        self.lab.cut()
        self.submit(self.central, "waiting")
        told_within_15_s(self.central, "packets are dropped, standard options, a command waits", "mute", "no_route")
        self.stays_told()
        self.lab.restore()
        self.ran_once("waiting")

    def stays_told(self):
        """Nothing that says less takes the place of the reason."""
        end = time.monotonic() + 8
        while time.monotonic() < end:
            self.assertIn(self.central.api().nodes()["2"]["why"], ("mute", "no_route"))
            time.sleep(0.2)


@unittest.skipIf(WITHOUT, f"NO NAMESPACES, so paths that drop packets are not tested: {WITHOUT}")
class PullNamespaces(Faults, PullCase):
    """The node dials, so that it alone can make the connection anew."""

    def setUp(self):
        self.lab = netns.Lab()
        self.addCleanup(self.lab.close)
        self.here, self.there = (self.lab.host(name) for name in ("central", "poller"))
        self.central = self.here.house(self.make_central())
        self.poller = self.there.house(self.make_pull_poller(PORT))
        self.poller.edit(f"127.0.0.1:{PORT}", f"{self.here.address}:{PORT}")
        self.central.nodes({"id": 2, "type": "pull"})
        self.listen_at(self.central).start()
        self.poller.start()
        self.wait_seen(self.central, 2)
        self.usable(self.central, "nothing (pull)", bound=5)

    def listen_at(self, central, address="0.0.0.0"):
        central.configure("70-listener", {"gorgonecore": {
            "external_com_type": "tcp", "external_com_path": f"{address}:{PORT}", "authorized_clients": [{"key": self.poller.thumbprint()}]}})
        return central

    def test_the_path_drops_packets_for_a_while(self):
        for seconds in (7.5, 14):
            self.lab.cut()
            self.submit(self.central, f"waiting-{seconds}")
            time.sleep(seconds)
            self.lab.restore()
            self.usable(self.central, f"a path that dropped packets for {seconds} s (pull)", bound=PROMISED_S)
            self.ran_once(f"waiting-{seconds}")

    def test_the_central_is_gone_and_its_name_leads_to_a_new_address(self):
        spare = self.lab.host("spare")
        self.there.know(**{"central.test": self.here.address})
        self.poller.stop()
        self.poller.edit(f"{self.here.address}:{PORT}", f"central.test:{PORT}")
        self.poller.start()
        self.usable(self.central, "nothing (pull, by name)")
        self.lab.cut(self.here)  # the old machine is not there to reset anything
        self.submit(self.central, "waiting")
        self.central.kill()
        time.sleep(3)
        self.listen_at(spare.house(self.central)).start()
        self.there.know(**{"central.test": spare.address})
        self.usable(self.central, "the central's name leads to another machine with its database (pull)")
        self.ran_once("waiting")

    def test_another_machine_takes_over_the_address_of_the_central(self):
        spare, service = self.lab.host("spare"), "10.78.0.1"
        self.central.stop()
        self.lab.lead(service, self.here)
        self.listen_at(self.central, service).start()
        self.poller.stop()
        self.poller.edit(f"{self.here.address}:{PORT}", f"{service}:{PORT}")
        self.poller.start()
        self.usable(self.central, "nothing (pull, by an address of its own)")
        self.lab.cut(self.here)
        self.submit(self.central, "waiting")
        self.central.kill()
        time.sleep(3)
        spare.house(self.central)
        self.lab.lead(service, spare)
        self.central.start()
        self.usable(self.central, "another machine has the central's address, with its database (pull)")
        self.ran_once("waiting")

    def test_a_node_that_is_suspended_is_told_as_mute(self):
        os.kill(self.poller.process.pid, signal.SIGSTOP)
        try:
            told_within_15_s(self.central, "the node is suspended (pull)", "mute")
        finally:
            os.kill(self.poller.process.pid, signal.SIGCONT)
        self.usable(self.central, "the node suspended until it was told as mute (pull)", bound=20)


@unittest.skipIf(WITHOUT, f"NO NAMESPACES, so paths that drop packets are not tested: {WITHOUT}")
class WssNamespaces(Faults, WssCase):
    """The node dials by a WebSocket; either side gives up by itself what it does not hear."""

    # Either side has given the connection up after the last; after the second the kernel waits for 5 s more before it sends again.
    LOST_S = (4, 7, 9, 20) if SLOWNESS == 1 else (7, 20)

    def setUp(self):
        self.lab = netns.Lab()
        self.addCleanup(self.lab.close)
        self.here, self.there = (self.lab.host(name) for name in ("central", "poller"))
        self.central = self.here.house(self.make_central())
        self.listen(central=self.central, address=self.here.address)
        self.poller = self.there.house(self.make_node(self.central.wss_port, address=self.here.address))
        self.poller.start()
        self.wait_seen(self.central, 2)
        self.usable(self.central, "nothing (wss)", bound=5)

    def lost(self, seconds, name, *hosts):
        """The path loses what goes to these hosts. Until then something runs that ends meanwhile, and somebody waits for it."""
        token = self.central.api().submit(2, f"sleep 1; echo ran >> {self.marks('under-way-' + name)}")
        eventually(lambda: len(self.central.api().log(2, token)) > 1, 5, "the begin of a command")
        self.lab.cut(*hosts)
        begin = clock()
        self.submit(self.central, name)
        if seconds > 15:
            self.wait_link(self.central, "down")
            print(f"SECONDS {clock() - begin:6.2f} until the link is told as down: a path that drops packets {name} (wss)", flush=True)
            self.assertNotEqual(self.central.api().nodes()["2"]["why"], "")
        time.sleep(max(0, seconds - (clock() - begin)))
        self.lab.restore()
        self.usable(self.central, f"a path that dropped packets {name} for {seconds} s (wss)", bound=PROMISED_S)
        self.ran_once(name)
        self.ran_once(f"under-way-{name}")
        self.assertEqual(codes(self.central.api().poll(2, token)), [0, 0, 100, 2])

    def test_the_path_drops_packets_both_ways(self):
        for seconds in self.LOST_S:
            self.lost(seconds, f"both-ways-{seconds}")

    def test_the_path_drops_what_the_node_says(self):
        for seconds in self.LOST_S:
            self.lost(seconds, f"to-the-central-{seconds}", self.here)

    def test_the_path_drops_what_the_central_says(self):
        for seconds in self.LOST_S:
            self.lost(seconds, f"to-the-node-{seconds}", self.there)

    def move(self, address):
        """The central, with its database, to another machine that has this address; until then the path to it drops packets."""
        spare = self.lab.host("spare")
        self.lab.cut(self.here)
        self.submit(self.central, "waiting")
        self.central.kill()
        time.sleep(3)
        spare.house(self.central)
        self.listening_at(address or spare.address)
        if address:
            self.lab.lead(address, spare)
        self.central.start()
        return spare

    def listening_at(self, address):
        self.central.replace_module("proxy", ping=60, httpserver={**self.httpserver, "address": address, "port": self.central.wss_port})

    def dial_by(self, name):
        self.poller.stop()
        self.changed(self.poller, self.central.wss_port, address=name).start()
        self.wait_link(self.central, "up")
        self.usable(self.central, f"nothing (wss, by {name})")

    def test_the_central_is_gone_and_its_name_leads_to_a_new_address(self):
        self.there.know(**{"central.test": self.here.address})
        self.dial_by("central.test")
        spare = self.move(None)
        self.there.know(**{"central.test": spare.address})
        self.usable(self.central, "the central's name leads to another machine with its database (wss)")
        self.ran_once("waiting")

    def test_another_machine_takes_over_the_address_of_the_central(self):
        service = "10.78.0.1"
        self.central.stop()
        self.lab.lead(service, self.here)
        self.listening_at(service)
        self.central.start()
        self.dial_by(service)
        self.move(service)
        self.usable(self.central, "another machine has the central's address, with its database (wss)")
        self.ran_once("waiting")


if __name__ == "__main__":
    unittest.main()
