"""Pollers behind remotes heal by themselves from paths that drop packets, before a remote and behind it (without one: test_dropping_paths.py).

Central, remotes and pollers are network namespaces; where the machine has none, the cases are skipped with the reason. The seconds are printed.
"""
# tests/run.sh: first, for it waits longest.
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

import netns
from fleet import eventually
from pace import clock
from test_faults import BOUND_S, PROMISED_S, WITHOUT, Faults, told_within_15_s
from wss_fleet import TOKEN

PORT, WSS_PORT = 5556, 8086
LOST_S = 12  # either end has given up by itself what it does not hear
TOLD_AT_THE_CENTRAL_S = 10  # the remote is pinged every 5 s here, and tells of its nodes in its pong
# By the other remote: the connection ends some 4 s after the first packet without an answer, and its end must have lasted for 5 s.
OTHER_WAY_S = 15


@unittest.skipIf(WITHOUT, f"NO NAMESPACES, so paths that drop packets are not tested: {WITHOUT}")
class Namespaces(Faults):
    """Makes the hosts; a daemon's is its `host`."""

    def setUp(self):
        self.lab = netns.Lab()
        self.addCleanup(self.lab.close)
        self.central = self.lab.host("central").house(self.make_central())
        self.central.replace_module("proxy", ping=5, pong_max_timeout=1, httpserver={
            "enable": True, "address": self.central.host.address, "port": WSS_PORT, "token": TOKEN})

    def make_remote_there(self, identity):
        words = {"THUMBPRINT-OF-THE-CENTRAL": self.central.thumbprint(), "0.0.0.0": "127.0.0.1", "8085": "0", "id: 3": f"id: {identity}"}
        return self.lab.host(f"remote-{identity}").house(self.make(f"remote-{identity}", "remote", words), PORT)

    def make_poller_behind(self, identity, *remotes):
        words = {"THUMBPRINT-OF-THE-CENTRAL": '"\n      - key: "'.join(remote.thumbprint() for remote in remotes), "id: 2": f"id: {identity}"}
        poller = self.lab.host(f"poller-{identity}").house(self.make(f"poller-{identity}", "poller", words), PORT)
        for remote in remotes:
            remote.nodes({"id": identity, "type": "push_zmq", "address": poller.host.address, "port": PORT})
        return poller

    def dialled(self, identity, subnode, address, score=1):
        return {"id": identity, "type": "push_zmq", "address": address, "port": PORT, "nodes": [{"id": subnode, "pathscore": score}]}

    def start_all(self, *ways):
        """Each way is the ids of a remote and of a node behind it, where both have to be up."""
        for daemon in reversed(self.daemons):
            daemon.start()
        remotes = {daemon.directory.name: daemon for daemon in self.daemons}
        for remote, poller in ways:
            self.wait_seen(remotes[f"remote-{remote}"], poller)
            self.wait_seen(self.central, remote)

    def all_ran_once(self, names):
        marks = [f"waiting-{name}" for name in names]
        eventually(lambda: all(self.times_run(mark) for mark in marks), 20, "the run of all commands that had been accepted")
        time.sleep(0.5)
        self.assertEqual({mark: self.times_run(mark) for mark in marks}, dict.fromkeys(marks, 1), "runs of each")


class EachWay(Namespaces):
    """A remote that is dialled, one that dials by ZeroMQ and one that does by a WebSocket, each with a poller: all have the same fault at once."""

    WAYS = {"push": (3, 4), "pull": (5, 6), "wss": (7, 8)}  # ids of the remote and of its poller

    def setUp(self):
        super().setUp()
        here = self.central.host.address
        self.remotes = {way: self.make_remote_there(remote) for way, (remote, _) in self.WAYS.items()}
        self.pollers = {way: self.make_poller_behind(poller, self.remotes[way]) for way, (_, poller) in self.WAYS.items()}
        self.remotes["pull"].replace_module("pull", target_path=f"{here}:{PORT}")
        self.remotes["wss"].replace_module("pullwss", address=here, port=WSS_PORT, token=TOKEN)
        self.central.configure("70-listener", {"gorgonecore": {
            "external_com_type": "tcp", "external_com_path": f"{here}:{PORT}", "authorized_clients": [{"key": self.remotes["pull"].thumbprint()}]}})
        self.central.nodes(self.dialled(3, 4, self.remotes["push"].host.address), {"id": 5, "type": "pull", "nodes": [{"id": 6, "pathscore": 1}]},
                           {"id": 7, "type": "pullwss", "nodes": [{"id": 8, "pathscore": 1}]})
        self.start_all(*self.WAYS.values())
        self.usable_each_way("nothing", bound=5)

    def each_way(self, look):
        """At the same time."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda way: look(way, *self.WAYS[way]), self.WAYS))

    def usable_each_way(self, fault, bound=BOUND_S):
        begin = clock()
        self.each_way(lambda way, remote, poller: self.usable(self.central, f"{fault} ({way})", begin, poller, bound))

    def told_behind(self, way, remote, poller):
        """At the remote, and at the central as the remote's word; the remote itself is there."""
        fault = f"packets are dropped behind the remote, a command waits ({way})"
        told_within_15_s(self.remotes[way], fault, "mute", "no_route", node=poller)
        begin = clock()

        def said():
            state = self.central.api().nodes()[str(remote)]
            return state["nodes"][str(poller)]["why"] in ("mute", "no_route") and state

        state = eventually(said, TOLD_AT_THE_CENTRAL_S, f"the central's word that node {poller} is not reached")
        print(f"SECONDS {clock() - begin:6.2f} more until the central tells it, too: {fault}", flush=True)
        self.assertEqual((state["link"], state["why"]), ("up", ""), "the remote itself")

    def submit_each_way(self):
        for way, (_, poller) in self.WAYS.items():
            self.submit(self.central, f"waiting-{way}", poller)

    def none_has_run(self):
        self.assertEqual([self.times_run(f"waiting-{way}") for way in self.WAYS], [0] * len(self.WAYS), "a path that drops packets let one through")

    def test_the_path_before_the_remote_drops_packets(self):
        for remote in self.remotes.values():
            self.lab.part(self.central.host, remote.host)
        begin = clock()
        self.submit_each_way()
        time.sleep(LOST_S)
        self.none_has_run()
        states = self.central.api().nodes()
        self.assertNotIn("", [states[str(remote)]["why"] for remote, _ in self.WAYS.values()])
        self.lab.restore()
        self.usable_each_way(f"a path between central and remote that dropped packets for {clock() - begin:.0f} s")
        self.all_ran_once(self.WAYS)

    def test_the_path_behind_the_remote_drops_packets(self):
        for way, remote in self.remotes.items():
            self.lab.part(remote.host, self.pollers[way].host)
        begin = clock()
        self.submit_each_way()
        self.each_way(self.told_behind)
        time.sleep(max(0, LOST_S - (clock() - begin)))
        self.none_has_run()
        self.lab.restore()
        self.usable_each_way(f"a path between remote and poller that dropped packets for {clock() - begin:.0f} s")
        self.all_ran_once(self.WAYS)


class Moved(Namespaces):
    def test_the_remote_is_gone_and_its_name_leads_to_a_new_address(self):
        remote = self.make_remote_there(3)
        poller = self.make_poller_behind(4, remote)
        spare = self.lab.host("spare")
        self.central.host.know(**{"remote.test": remote.host.address})
        self.central.nodes(self.dialled(3, 4, "remote.test"))
        self.start_all((3, 4))
        self.usable(self.central, "nothing (by the remote's name)", node=4, bound=5)
        self.lab.cut(remote.host)  # the old machine is not there to reset anything
        remote.kill()
        self.submit(self.central, "waiting", 4)
        time.sleep(2)
        spare.house(remote, PORT).start()
        self.central.host.know(**{"remote.test": spare.address})
        self.usable(self.central, "the remote's name leads to another machine with its database", node=4, bound=30)
        self.ran_once("waiting")
        self.assertTrue(poller.alive())


class TwoRemotes(Namespaces):
    """One poller behind two remotes, nearer by the first."""

    def setUp(self):
        super().setUp()
        self.first, self.second = self.make_remote_there(3), self.make_remote_there(5)
        self.poller = self.make_poller_behind(4, self.first, self.second)
        self.central.nodes(self.dialled(3, 4, self.first.host.address, 1), self.dialled(5, 4, self.second.host.address, 2))
        self.start_all((3, 4), (5, 4))
        self.usable(self.central, "nothing (by the first of two remotes)", node=4, bound=5)

    def run_once_by_the_second(self, lose):
        """Commands are given when the fault has begun and when it is known; then the first remote is back with what it has of them."""
        lose()
        begin = clock()
        for number in range(5):
            self.submit(self.central, f"waiting-{number}", 4)
        self.usable(self.central, "the first of two remotes is lost", begin, 4, OTHER_WAY_S, OTHER_WAY_S)
        self.central.wait_log("messages that waited for node '3', for nodes behind it, go another way", OTHER_WAY_S)
        self.usable(self.central, "the first of two remotes is lost, as is known", node=4, bound=2, promised=2)
        self.lab.restore()
        self.usable(self.central, "the first of two remotes is back (itself)", node=3, bound=PROMISED_S)
        self.usable(self.central, "the first of two remotes is back (the poller behind both)", node=4, bound=2, promised=2)
        self.all_ran_once(range(5))

    def test_the_first_is_in_a_black_hole(self):
        self.run_once_by_the_second(lambda: self.lab.cut(self.first.host))

    def test_the_first_is_heard_no_more_and_runs_what_it_is_sent(self):
        self.run_once_by_the_second(lambda: self.lab.drop(self.first.host, self.central.host))


if __name__ == "__main__":
    unittest.main()
