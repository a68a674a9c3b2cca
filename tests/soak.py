#!/usr/bin/env python3
"""A fleet under load with restarts: file descriptors, threads and memory must be flat afterwards.

    tests/soak.py [MINUTES] [--links]

A central and two pollers run for MINUTES (default 10) under commands through the API (local, to each poller, read by log_wait and by polling), files that are
copied, pings of a client of its own, strangers who greet in vain, connections that stop half way, and a restart of one poller every few seconds, by SIGTERM or by
SIGKILL; of the central too, once in the first third. In the last third nothing is restarted, so that what is judged has run for that long. Prints the figures of
each node every half minute and at the end, and ends with status 1 where a command that was accepted has no outcome, ran twice, or a node is not as small as
before. With --links no node is restarted: the paths between the central and its pollers are cut, stalled and taken down all the time instead. GORGONE_BIN names
the directory of the programs.
"""
import base64
import binascii
import hashlib
import http.client
import os
import pathlib
import random
import secrets
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "system"))
from fleet import FleetCase, eventually
from flaky_path import FlakyPath
from dialer import Dialer, Refused  # found by way of fleet
from hostile import descriptors, memory_kb, threads
from pace import SLOWNESS
from protocol import draw_key, read_private_key

SETTLED_KB = 6000 if SLOWNESS == 1 else 20000  # may have grown by: SQLite's cache, touched pages of libraries; sanitizers keep what was freed
DESCRIPTORS = 4


class Fleet(FleetCase):
    """Not a test by itself: run_for() is the soak."""

    def runTest(self):
        self.run_for(float(os.environ["SOAK_MINUTES"]) * 60, every_s=5, report=print, links="--links" in sys.argv)

    def run_for(self, seconds, every_s, report, seed=None, links=False):
        self.random = random.Random(seed)
        begun = time.monotonic()
        self.end, self.trouble, self.counts = begun + seconds, [], {}
        self.central_starts = 0
        self.lock = threading.Lock()
        self.central, *self.pollers = self.start_pair((2, 3))
        self.paths = self.put_paths_between() if links else []
        for daemon in self.daemons:
            daemon.severity = "info"
        self.marks = self.directory / "marks"
        self.marks.mkdir()
        self.accepted = []
        self.warm_up()
        before = self.figures()
        report(f"before    {self.shown(before)}")
        loads = [lambda path=path: self.flap(path) for path in self.paths] + [self.commands, self.commands, self.local_commands, self.copies, self.pings, self.strangers, self.half_connections]
        self.started = {daemon: time.monotonic() for daemon in self.daemons}
        workers = [threading.Thread(target=self.work, args=(load,), daemon=True) for load in loads]
        for worker in workers:
            worker.start()
        last_report, lasting = time.monotonic(), None
        while time.monotonic() < self.end - every_s:
            time.sleep(every_s)
            if not links and time.monotonic() >= begun + seconds / 6 and self.central_starts == 0:
                self.restart_central()
            if not links and time.monotonic() < begun + seconds * 2 / 3:
                self.restart(self.random.choice(self.pollers))
            elif not lasting:
                lasting = self.processes()
                report(f"from here {self.shown(self.figures())}")
            if time.monotonic() - last_report > 30:
                last_report = time.monotonic()
                report(f"meanwhile {self.shown(self.figures())}")
        time.sleep(max(0, self.end - time.monotonic()))
        for worker in workers:
            worker.join(60)
            self.assertFalse(worker.is_alive(), "a load did not end")
        self.assertEqual(self.trouble, [])
        self.assertEqual(self.processes(), lasting or self.processes(), "a node was started anew in the last third")
        self.all_is_done()
        self.settle(before, report)

    def warm_up(self):
        """Every path once, so that what is made at its first use is there."""
        self.end, end = time.monotonic() + 1.5, self.end
        for load in (self.commands, self.local_commands, self.copies, self.pings, self.strangers, self.half_connections):
            load()
        for path in self.paths:
            self.flap(path)
        for poller in self.pollers if not self.paths else []:
            self.restart(poller, kill=False)
        for load in (self.commands, self.copies, self.pings, self.strangers):
            load()
        self.end = end
        time.sleep(1)

    def work(self, load):
        while time.monotonic() < self.end:
            starts = self.central_starts
            try:
                load()
            except (OSError, Refused, binascii.Error, http.client.HTTPException):  # by a restart; a plain text in a session says that the session is gone
                self.count(f"{load.__name__} cut off")
                time.sleep(0.2)
            except Exception as failure:
                if starts != self.central_starts or starts % 2:  # its API says that it stops, or has lost a command that runs on itself
                    self.count(f"{load.__name__} cut off")
                    continue
                with self.lock:
                    self.trouble.append(f"{load.__name__}: {type(failure).__name__}: {failure}")
                return

    def count(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    # Loads: each is one piece of work

    def commands(self):
        node = self.random.choice((2, 3))
        name = secrets.token_hex(8)
        api = self.central.api()
        token = api.submit(node, f"echo x >> {self.marks}/{name}; head -c {self.random.randrange(20000)} /dev/zero | tr '\\0' x")
        with self.lock:
            self.accepted.append((node, token, name))
        if self.random.random() < 0.5:
            api.log(node, token)
        self.count("commands")

    def local_commands(self):
        rows = self.central.api().run(None, "echo here", wait_s=10)
        assert [row["code"] for row in rows] == [0, 0, 100, 2], rows
        self.count("local commands")

    def session(self, poller):
        dialer = Dialer(f"tcp://127.0.0.1:{poller.port}", read_private_key(self.central.private_key), name="gorgone-soak")
        try:
            dialer.greet(timeout=3)
            return dialer
        except BaseException:
            dialer.close()
            raise

    def copies(self):
        dialer = self.session(self.random.choice(self.pollers))
        try:
            blob, token = os.urandom(self.random.randrange(1, 400_000)), secrets.token_hex(16)
            common = {"type": "regular", "destination": f"{self.directory}/copied", "cache_dir": f"{self.directory}/cache"}
            for start in range(0, len(blob), 150_000):
                part = blob[start:start + 150_000]
                content = {**common, "status": "inprogress", "md5": None, "chunk": {"data": base64.b64encode(part).decode(), "size": len(part)}}
                dialer.call("PROCESSCOPY", {"content": content}, token=token, timeout=3)
            dialer.call("PROCESSCOPY", {"content": {**common, "status": "end", "chunk": None, "md5": hashlib.md5(blob).hexdigest()}}, token=token, timeout=3)
            self.count("copies")
        finally:
            dialer.close()

    def pings(self):
        dialer = self.session(self.random.choice(self.pollers))
        try:
            for _ in range(50):
                answer = dialer.call("PING", timeout=3)
                if "stopping" in str(answer.body):
                    raise ConnectionError(answer.body)
                assert answer.kind == "PONG", answer
            self.count("50 pings")
        finally:
            dialer.close()

    stranger_key = draw_key()

    def strangers(self):
        dialer = Dialer(f"tcp://127.0.0.1:{self.random.choice(self.pollers).port}", self.stranger_key)
        try:
            dialer.greet(timeout=3)
            raise AssertionError("a stranger was let in")
        except Refused:
            self.count("strangers")
        finally:
            dialer.close()
        time.sleep(0.05)

    def half_connections(self):
        for port in (self.pollers[0].port, self.pollers[1].port, self.central.http_port):
            with socket.create_connection(("127.0.0.1", port), 3) as connection:
                connection.sendall(self.random.choice((b"\xff", b"GET /api/int", os.urandom(300))))
        self.count("half connections")
        time.sleep(0.05)

    def put_paths_between(self):
        """The central reaches each poller by a path that can be cut."""
        paths = [FlakyPath(poller.port) for poller in self.pollers]
        for path in paths:
            self.addCleanup(path.close)
        self.central.stop()
        self.central.nodes(*({**poller.node(node), "port": path.port} for node, poller, path in zip((2, 3), self.pollers, paths)))
        self.central.start()
        for node in (2, 3):
            self.wait_seen(self.central, node)
        return paths

    def flap(self, path):
        """One loss of a link, of a kind that is drawn."""
        time.sleep(self.random.uniform(0.1, 1.5))
        kind = self.random.choice(("cut", "stalled and cut", "down"))
        if kind == "down":
            path.take_down()
        elif kind == "stalled and cut":
            path.stall()
        time.sleep(self.random.uniform(0, 0.8))
        if kind != "down":
            path.cut()
        path.restore()
        self.count(f"paths {kind}")

    def restart_central(self):
        """What is under way at its API meanwhile may fail: while it is away the number of starts is odd."""
        self.central_starts += 1
        self.restart(self.central)
        self.count("of these the central's")
        for node in (2, 3):
            eventually(lambda: str(self.central.api().nodes().get(str(node), {}).get("link")) == "up", 30, f"the link to node {node}")
        self.central_starts += 1

    def processes(self):
        return {daemon.directory.name: daemon.process.pid for daemon in self.daemons}

    def restart(self, daemon, kill=None):
        if kill if kill is not None else self.random.random() < 0.5:
            daemon.kill()
            self.count("kills")
        else:
            daemon.stop()
            self.count("restarts")
        daemon.start()

    # What must hold at the end

    def all_is_done(self):
        api = self.central.api()
        for identity in (2, 3):
            eventually(lambda: str(api.nodes()[str(identity)].get("link")) == "up", 30, f"the link to node {identity}")
        for node, token, name in self.accepted:
            mark = self.marks / name
            eventually(lambda: mark.exists() or any(row["code"] == 1 for row in api.log(None, token)), 60, f"an outcome of command {token[:12]}… on node {node}")
        twice = [name for _, _, name in self.accepted if (self.marks / name).exists() and (self.marks / name).read_text().count("x") > 1]
        self.counts["ran twice"] = len(twice)
        self.assertEqual(twice, [], "commands that ran more than once")
        self.counts["ran"] = sum((self.marks / name).exists() for _, _, name in self.accepted)

    def settle(self, before, report):
        """Restarted nodes are new processes; what counts is that none is larger than one of its kind was after the warm-up."""
        def flat():
            now = self.figures()
            return all(size <= before[name][0] + SETTLED_KB and files <= before[name][1] + DESCRIPTORS and count <= before[name][2] for name, (size, files, count) in now.items())

        try:
            eventually(flat, 40, "the return of memory, descriptors and threads to where they were")
        finally:
            report(f"after     {self.shown(self.figures())}")
            report("load      " + ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items())))
        eventually(lambda: not any(pathlib.Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text() for daemon in self.daemons), 10, "the end of all children")

    def figures(self):
        return {daemon.directory.name: (memory_kb(daemon.process.pid), descriptors(daemon.process.pid), threads(daemon.process.pid)) for daemon in self.daemons}

    @staticmethod
    def shown(figures):
        return "  ".join(f"{name}: {size / 1024:.1f} MB, {files} descriptors, {count} threads" for name, (size, files, count) in figures.items())


if __name__ == "__main__":
    os.environ["SOAK_MINUTES"] = sys.argv[1] if len(sys.argv) > 1 else "10"
    result = unittest.TextTestRunner(verbosity=0).run(Fleet())
    sys.exit(not result.wasSuccessful())
