"""Content sync where more than two are in it: through a remote with each of the three killed in the middle, several pushes to one node, one to
several nodes."""
import os
import time
import unittest

from api import outputs
from flaky_path import FlakyPath
from fleet import eventually  # makes the folder of the peers known
from pace import SLOWNESS
from deployed_poller import DeployedPoller
from protocol import draw_key
from test_content_sync import Chain, ContentCase, Sampler, digest, write_tree

knows_content = Chain.knows_content
del Chain  # its tests are run where they stand


class Deployed(ContentCase):
    def start_central(self, central, node):
        central.replace_module("proxy", ping=2)
        central.replace_module("content", push_timeout=10)
        central.nodes({**node, "nodes": [{"id": 4, "pathscore": 1}]})
        central.start()
        self.wait_seen(central, 3)

    def peer(self, authorized, **options):
        peer = DeployedPoller(draw_key(), [authorized], self.directory / "peer", **options).start()
        self.addCleanup(peer.stop)
        return peer

    def assert_refused(self, central, expected):
        """What waits for the push goes on as well."""
        write_tree(self.source, 3)
        token = self.start_push(central, 4)
        behind = central.api().request("POST", "/api/nodes/4/core/action/command?after_copies=1", [{"command": "reload"}])
        self.assertEqual(behind[0], 200, behind)
        row = self.end_of(central, token, 30)
        self.assertEqual((row["code"], row["data"]["message"]), (1, expected))

    def test_a_push_to_a_node_behind_a_deployed_remote_says_why_it_cannot_be(self):
        central = self.make_central()
        peer = self.peer(central.thumbprint(), node_id=3)
        peer.behind = {"4": {"type": "push_zmq", "ping_ok": 3, "ping_failed": 0, "in_progress_ping": 0, "ping_timeout": 0, "nodes": {}}}
        self.start_central(central, peer.node(3))
        self.assert_refused(central, "content - node '4' is behind a deployed daemon, through which content sync does not pass; REMOTECOPY does")
        eventually(lambda: ("COMMAND", "reload", None) in peer.calls, 10, "the command behind the push")

    def test_a_push_to_a_deployed_node_behind_a_remote_of_ours_says_why_it_cannot_be(self):
        central = self.make_central()
        remote = self.make_remote(central.thumbprint())
        peer = self.peer(remote.thumbprint(), node_id=4)
        remote.nodes(peer.node(4))
        remote.start()
        self.wait_seen(remote, 4)
        self.start_central(central, remote.node(3))
        self.assert_refused(central, "content - node '4' has a daemon that does not know content sync; REMOTECOPY reaches it")
        eventually(lambda: ("COMMAND", "reload", None) in peer.calls, 10, "the command behind the push")


class Relay(ContentCase):
    def test_the_central_the_remote_and_the_poller_are_killed_in_turn_and_only_whole_trees_are_seen(self):
        central, remote, poller = self.start_chain()
        eventually(lambda: knows_content(central, 4), 15, "the news that node 4 takes content")
        write_tree(self.source, 300, version="v0")
        self.push(central, node=4)
        whole = {digest(self.destination)}
        with Sampler(self.destination) as sampler:
            for version, victim in enumerate((central, remote, poller, poller, remote, central), 1):
                write_tree(self.source, 300, version=f"v{version}")
                (self.source / "big").write_bytes(os.urandom(8_000_000))
                whole.add(digest(self.source))
                token = self.start_push(central, node=4)
                for pause in (0.08 * version, 0.3):
                    time.sleep(pause)
                    victim.kill()
                    victim.start()
                row = self.end_of(central, token, 90)
                self.assertEqual(row["code"], 2, f"{victim.directory.name}: {row}")
                self.assert_same()
        sampler.assert_only_whole(self, whole)
        self.assertNotIn("switching", os.listdir(self.destination.parent / ".tree.gorgone"))


class HeldUp(ContentCase):
    """One copy may run at the central: a push that cannot go on must not keep it."""

    def push_under_way(self, central, node, **wish):
        self.source.mkdir()
        (self.source / "big").write_bytes(os.urandom(int(60_000_000 / SLOWNESS)))
        token = self.start_push(central, node=node, **wish)
        blobs = self.destination.parent / ".tree.gorgone" / "blobs"
        eventually(lambda: blobs.is_dir() and any(blobs.iterdir()), 20, "the first content")
        return token

    def to_another(self, central, node, timeout):
        """A copy, and a command behind it, to a node that is there."""
        small = self.directory / "small"
        write_tree(small, 5)
        api, there = central.api(), self.directory / "there" / "other"
        token = self.start_push(central, node=node, source=str(small), destination=str(there))
        behind = api.request("POST", f"/api/nodes/{node}/core/action/command?after_copies=1", [{"command": f"ls {there}"}])[1]["token"]
        self.assertEqual(self.end_of(central, token, timeout)["code"], 2)
        self.assertIn("folder-1", outputs(api.poll(node, behind, timeout))[0])

    def test_a_push_to_a_node_that_went_away_lets_other_nodes_have_their_copies(self):
        central = self.make_central()
        central.replace_module("proxy", copies_max=1)
        pollers = {node: self.make_poller(central.thumbprint(), node).start() for node in (2, 3)}
        path = FlakyPath(pollers[2].port)
        self.addCleanup(path.close)
        central.nodes({**pollers[2].node(2), "port": path.port}, pollers[3].node(3))
        central.start()
        for node in pollers:
            self.wait_seen(central, node)
        token = self.push_under_way(central, 2)
        path.take_down()
        self.to_another(central, 3, 10)
        self.assertEqual([row for row in central.api().log(None, token) if row["code"] in (1, 2)], [], "the push was over before its link was")
        path.restore()
        row = self.end_of(central, token)
        self.assertEqual(row["code"], 2, row)
        self.assert_same()

    def test_a_push_to_a_silent_node_behind_a_remote_lets_other_nodes_have_their_copies(self):
        central, _remote, poller = self.start_chain(copies_max=1)
        eventually(lambda: knows_content(central, 4), 15, "the news that node 4 takes content")
        token = self.push_under_way(central, 4)
        poller.kill()
        self.to_another(central, 3, 40)
        self.assertEqual([row for row in central.api().log(None, token) if row["code"] in (1, 2)], [], "the push was over before the node was")
        poller.start()
        row = self.end_of(central, token)
        self.assertEqual(row["code"], 2, row)
        self.assert_same()


class AtOnce(ContentCase):
    def make_sources(self, count):
        """So many trees, each with a file that takes a while."""
        sources = []
        for number in range(count):
            source = self.directory / f"source-{number}"
            write_tree(source, 100, version=f"tree {number}")
            (source / "big").write_bytes(os.urandom(4_000_000))
            sources.append(source)
        return sources

    def test_several_trees_to_one_node_all_arrive_whole(self):
        central, _ = self.start_pair()
        sources = self.make_sources(5)
        places = [self.directory / "there" / f"tree-{number}" for number in range(5)]
        tokens = [self.start_push(central, source=str(source), destination=str(place)) for source, place in zip(sources, places)]
        for token, source, place in zip(tokens, sources, places):
            row = self.end_of(central, token, 90)
            self.assertEqual(row["code"], 2, row)
            self.assertEqual(digest(place), digest(source))

    def test_several_trees_to_one_place_leave_the_one_that_was_asked_for_last(self):
        central, _ = self.start_pair()
        sources = self.make_sources(3)
        whole = {digest(source) for source in sources}
        tokens = [self.start_push(central, source=str(source), extra="remove") for source in sources]
        with Sampler(self.destination) as sampler:
            ends = [self.end_of(central, token, 90) for token in tokens]
        self.assertEqual([row["code"] for row in ends], [2, 2, 2], ends)
        self.assertEqual(digest(self.destination), digest(sources[-1]))
        sampler.assert_only_whole(self, whole)

    def test_one_tree_to_several_nodes_arrives_at_each_while_one_of_them_is_killed(self):
        central, *pollers = self.start_pair((2, 3, 4))
        self.source = self.make_sources(1)[0]
        places = {node: self.directory / "there" / f"node-{node}" for node in (2, 3, 4)}
        tokens = {node: self.start_push(central, node=node, destination=str(place)) for node, place in places.items()}
        time.sleep(0.1 * SLOWNESS)
        pollers[1].kill()
        for node in (2, 4):
            self.assertEqual(self.end_of(central, tokens[node], 60)["code"], 2, "one that is away held up another")
            self.assertEqual(digest(places[node]), digest(self.source))
        pollers[1].start()
        self.assertEqual(self.end_of(central, tokens[3], 90)["code"], 2)
        self.assertEqual(digest(places[3]), digest(self.source))


if __name__ == "__main__":
    unittest.main()
