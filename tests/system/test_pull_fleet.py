"""Many nodes that dial their central at once (type pull): those that are known find room, and whoever is turned away comes back ever later."""
import socket
import threading
import time
import unittest

from fleet import eventually
from hostile import connect
from pace import SLOWNESS
from strangers import GREETING, ready, take
from test_pull_nodes import PullCase


def is_open(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


class Room(PullCase):
    def test_each_node_that_is_known_has_a_place_among_strangers_beside_the_others(self):
        central = self.central_for("nobody", nodes=[{"id": identity, "type": "pull"} for identity in range(2, 32)], max_strangers=10)
        central.wait_log("started: ")
        held = []
        for _ in range(45):
            held.append(connect(central.listener_port, GREETING + ready()))
            self.addCleanup(held[-1].close)
            take(held[-1], len(GREETING + ready()))
        eventually(lambda: not any(map(is_open, held[:5])), 10, "the end of the oldest five")
        time.sleep(0.5 * SLOWNESS)
        self.assertTrue(all(map(is_open, held[5:])), "30 nodes and 10 others have a place")
        central.wait_log(r"cut off as the oldest of more than 40 connections without a session \(max_strangers, and one for each node of type pull\)", 5)


class Turnstile:
    """Takes connections as a ZeroMQ listener does, and hangs up."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port, self.taken = self.socket.getsockname()[1], []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection = self.socket.accept()[0]
            except OSError:
                return
            with connection:
                connection.settimeout(5 * SLOWNESS)
                connection.sendall(GREETING + ready().replace(b"DEALER", b"ROUTER"))
                try:
                    take(connection, len(GREETING + ready()))
                except AssertionError:
                    continue  # it is stopped
                self.taken.append(time.monotonic())


class TurnedAway(PullCase):
    def test_a_node_whose_connections_are_made_and_ended_at_once_dials_ever_more_slowly(self):
        central = Turnstile()
        self.addCleanup(central.socket.close)
        poller = self.make_pull_poller(central.port)
        poller.start()
        eventually(lambda: central.taken, 10, "the first connection")
        time.sleep(6)  # pauses are as long in a slow build
        pauses = [after - before for before, after in zip(central.taken, central.taken[1:])]
        # 0.1 s, twice as much each time, 2.4 s at most; of each at least the half.
        self.assertLess(len(central.taken), 13, pauses)
        self.assertGreater(max(pauses), 0.6, pauses)


if __name__ == "__main__":
    unittest.main()
