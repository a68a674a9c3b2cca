"""A node that is away and whose queue at its remote is full holds up no other node of that remote."""
# tests/run.sh: first, for it waits long.
import time
import unittest

from api import codes
from fleet import FleetCase, eventually
from pace import clock

DEAD, ALIVE = 4, 5
AT_REMOTE = 50  # messages that a remote keeps for one node
MANY = 400  # more than that and the window of a link (256) together


class FullNodes(FleetCase):
    def start_fleet(self, hops=1, **proxy):
        """A central, its proxy with these options, so many remotes in a row, and two pollers behind the last of them."""
        self.central = self.make_central()
        if proxy:
            self.central.replace_module("proxy", **proxy)
        self.remotes, above = [], self.central
        for hop in range(hops):
            self.remotes.append(self.make_remote(above.thumbprint(), 10 + hop))
            self.remotes[-1].replace_module("proxy", queue_messages=AT_REMOTE)
            above = self.remotes[-1]
        self.dead, self.alive = (self.make_poller(above.thumbprint(), identity).start() for identity in (DEAD, ALIVE))
        above.nodes(self.dead.node(DEAD), self.alive.node(ALIVE))
        subnodes = [{"id": DEAD, "pathscore": 1}, {"id": ALIVE, "pathscore": 1}]
        for hop in reversed(range(hops)):
            remote = self.remotes[hop].start()
            (self.remotes[hop - 1] if hop > 0 else self.central).nodes(remote.node(10 + hop, nodes=subnodes))
        self.central.start()
        for hop, remote in enumerate(self.remotes):
            self.wait_seen(self.central if hop == 0 else self.remotes[hop - 1], 10 + hop)
        for identity in (DEAD, ALIVE):
            self.wait_seen(self.remotes[-1], identity)

    def submit(self, node, numbers):
        api = self.central.api()
        return [api.submit(node, f"echo {number} >> {self.directory}/ran-{node}") for number in numbers]

    def ran(self, node):
        file = self.directory / f"ran-{node}"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def waiting(self):
        return len(self.central.database_rows("gorgone_outbox"))

    def fill(self, number=MANY):
        """Commands for the dead node until its remote takes no more; those that the central keeps are told."""
        self.dead.stop()
        tokens = self.submit(DEAD, range(number))
        kept = number - AT_REMOTE * len(self.remotes)
        eventually(lambda: self.waiting() == kept, 20, f"{kept} messages that wait at the central")
        return tokens

    def latencies(self, number=20):
        """Seconds for each of so many commands of the node that is alive, one after the other and at a steady rate."""
        api, found = self.central.api(), []
        for _ in range(number):
            started = clock()
            self.assertEqual(codes(api.run(ALIVE, "true", wait_s=20))[-1:], [2], f"a command of node {ALIVE} after {found}")
            found.append(clock() - started)
            time.sleep(0.1)
        return sorted(found)

    def others_are_quick(self, what):
        found = self.latencies()
        print(f"{what}: a command of another node takes {found[len(found) // 2] * 1000:.0f} ms (median), {found[-1] * 1000:.0f} ms (longest)")
        # A link that pauses when a message is refused delays each by half a second.
        self.assertLess(found[len(found) // 2], 0.25, "the median")
        self.assertLess(found[-1], 3, "the longest")

    def begun_in_order(self, tokens):
        """Each has run once, in the order in which they were accepted: so they stand in the history of their node."""
        eventually(lambda: len(self.ran(DEAD)) >= len(tokens), 60, f"{len(tokens)} commands on node {DEAD}")
        eventually(lambda: self.waiting() == 0, 10, "an empty outbox")
        self.assertEqual(sorted(self.ran(DEAD)), list(range(len(tokens))), "each once")
        first = {}
        for row in sorted(self.dead.database_rows(), key=lambda row: row["id"]):
            first.setdefault(row["token"], row["id"])
        self.assertEqual([token for token in first if token in set(tokens)], tokens, "in their order")

    def test_commands_of_another_node_are_as_quick_as_ever_and_the_full_one_gets_its_own_in_their_order(self):
        self.start_fleet()
        self.others_are_quick("no node is full")
        tokens = self.fill()
        self.others_are_quick(f"{self.waiting()} messages wait for a full node")
        self.dead.start()
        self.others_are_quick("the full node is back")
        self.begun_in_order(tokens)

    def test_no_remote_on_a_longer_way_is_held_up_either(self):
        self.start_fleet(hops=2)
        tokens = self.fill()
        self.others_are_quick("behind two remotes")
        self.dead.start()
        self.begun_in_order(tokens)

    def test_the_order_of_what_waits_outlives_restarts_of_the_central_and_of_the_remote(self):
        self.start_fleet()
        tokens = self.fill()
        self.central.kill()
        self.central.start()
        self.wait_seen(self.central, 10)
        self.others_are_quick("after a kill of the central")
        self.remotes[0].kill()
        self.remotes[0].start()
        self.wait_seen(self.central, 10)
        self.wait_seen(self.remotes[0], ALIVE)
        self.others_are_quick("after a kill of the remote")
        self.dead.start()
        self.begun_in_order(tokens)

    def test_the_queue_of_one_node_is_full_at_the_central_for_that_node_alone(self):
        self.start_fleet(queue_messages=60)
        tokens = self.fill(AT_REMOTE + 60)
        status, body = self.central.api().request("POST", f"/api/nodes/{DEAD}/core/action/command", [{"command": "true"}])
        self.assertEqual((status, body["error"]), (503, "busy"), body)
        self.assertIn(f"60 messages wait for node '{DEAD}' already", body["message"])
        self.others_are_quick("one node is full at the central")
        self.dead.start()
        self.begun_in_order(tokens)


if __name__ == "__main__":
    unittest.main()
