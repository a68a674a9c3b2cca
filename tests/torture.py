#!/usr/bin/env python3
"""Numbered commands through central, remote and poller while each is killed at random and the links flap.

    tests/torture.py [--minutes N] [--calm] [--deployed] [--peer] [--link push|pull|wss] [--rate N] [--seed N]

For N minutes (default 10) the HTTP API of the central is given 20 commands a second for a poller behind a remote; each adds its number to a
file. Meanwhile processes are killed (SIGKILL) and started again, and the paths between them are cut, stalled and taken down. At the end each
accepted number is counted at the far side: between our agents each is there exactly once. Prints the counts; ends with status 1 where one was lost
or ran twice. GORGONE_BIN names the directory of the programs.

  --calm        no faults: all must be counted once
  --deployed    the poller is one that behaves as deployed daemons do: it forgets sessions, renews keys, loses messages that it has read
                and is started anew. It knows no delivery ids, so a number may come twice, but none may be lost. With --link pull it
                dials, and opens new sessions
  --peer        the poller is the independent peer of ../shared (GORGONE_SHARED names that directory), started anew with each of its faults in
                turn: it renews its keys, forgets its sessions, is slow. The same is counted as with --deployed
  --link        how remote and poller are joined: push (the default), or the poller dials the remote, by pull or by wss
"""
import argparse
import collections
import contextlib
import http.client
import json
import os
import pathlib
import random
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "system"))
from fleet import FleetCase, eventually
from flaky_path import FlakyPath
from listener import Listener  # found by way of fleet
from pace import SLOWNESS, clock
from protocol import draw_key, thumbprint
from pull_node import PullNode
from shared_peer import MISSING, SHARED, SharedPeer
from wss_fleet import TOKEN, WSS_LINE

REMOTE, POLLER = 3, 4
ENDED = "the daemon was ended while"
PEER_FAULTS = (("--rotate-every", "7"), ("--forget-every", "11"), ("--slow", "0.03"))


class Torture(FleetCase):
    """Not a test by itself: torture() is it."""

    def runTest(self):
        given = json.loads(os.environ["TORTURE"])
        self.torture(given["minutes"] * 60, calm=given["calm"], deployed=given["deployed"], rate=given["rate"], seed=given["seed"],
                     link=given["link"], peer=given["peer"])

    def torture(self, seconds, calm=False, deployed=False, rate=20, every_s=1.0, seed=None, settle_s=60, link="push", peer=False):
        """`every_s` is the mean pause between two faults."""
        seed = random.randrange(1 << 30) if seed is None else seed
        self.events, self.trouble = collections.Counter(), []
        self.accepted, self.unanswered, self.refused = {}, set(), set()  # number -> token; numbers
        self.file = self.directory / "numbers"
        self.prepare(deployed, link, peer)
        self.end = time.monotonic() + seconds
        work = [lambda: self.send(rate)]
        if not calm:
            # Side by side, so that a process is killed while a path is down.
            work += [lambda: self.kills(random.Random(seed), every_s)]
            work += [lambda path=path, place=place: self.flaps(random.Random(seed + place), path, 2 * every_s) for place, path in enumerate(self.paths, 1)]
            if deployed:
                work += [lambda: self.faults_of_deployed(random.Random(seed + 3), every_s, link)]
            if peer:
                work += [lambda: self.faults_of_peer(random.Random(seed + 3), 3 * every_s)]
        threads = [threading.Thread(target=self.watched, args=(one,), daemon=True) for one in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + 60 * SLOWNESS)
            self.assertFalse(thread.is_alive(), "the load or a fault did not end")
        self.assertEqual(self.trouble, [])
        self.settle(settle_s)
        if peer and not calm:
            self.assertGreaterEqual(sum(fault.startswith("peer with") for fault in self.events), min(len(PEER_FAULTS), seconds / 5), "the peer had too few of its faults")
        self.judge(deployed or peer, calm, f"{seed} link={link}")

    def prepare(self, deployed, link, peer):
        self.central = self.make_central()
        self.remote = self.make_remote(self.central.thumbprint())
        self.poller = self.deployed = self.peer = None
        self.central.replace_module("proxy", ping=5)
        self.remote.replace_module("proxy", ping=5)
        if deployed and link == "pull":
            self.prepare_deployed_dialing()
        elif link != "push":
            self.prepare_dialing(link)
        elif deployed:
            self.deployed = Listener(draw_key(), [self.remote.thumbprint()], node_id=POLLER).start()
            self.addCleanup(self.deployed.stop)
            port = self.deployed.port
        elif peer:
            owner = self.make_poller(self.remote.thumbprint(), POLLER)
            self.daemons.remove(owner)  # the peer has its key, and runs in its place
            self.peer = SharedPeer(owner, self.remote.thumbprint(), POLLER).start()
            self.addCleanup(self.peer.stop)
            port = self.peer.port
        else:
            self.poller = self.make_poller(self.remote.thumbprint(), POLLER).start()
            port = self.poller.port
        for daemon in self.daemons:
            daemon.severity = "info"
        if link == "push":
            self.paths = [FlakyPath(port)]
            self.remote.nodes({"id": POLLER, "type": "push_zmq", "address": "127.0.0.1", "port": self.paths[0].port})
            self.remote.start()
        self.paths.append(FlakyPath(self.remote.port))
        for path in self.paths:
            self.addCleanup(path.close)
        self.central.nodes({"id": REMOTE, "type": "push_zmq", "address": "127.0.0.1", "port": self.paths[1].port,
                            "nodes": [{"id": POLLER, "pathscore": 1}]})
        self.central.start()
        self.wait_seen(self.remote, POLLER)
        self.wait_seen(self.central, REMOTE)

    def prepare_dialing(self, link):
        """A remote that runs and a poller that dials it."""
        if link == "pull":
            self.poller = self.make(f"poller-{POLLER}", "poller-pull", {"id: 2": f"id: {POLLER}"})
            # Beside the central, which the example names.
            self.remote.configure("75-poller", {"gorgonecore": {"authorized_clients": [{"key": self.poller.thumbprint()}]}})
            self.remote.nodes({"id": POLLER, "type": "pull"})
            self.paths = [FlakyPath(self.remote.start().port)]
            self.poller.replace_module("pull", target_path=f"127.0.0.1:{self.paths[0].port}", ping=1, ping_timeout=5)
        else:
            self.poller = self.make(f"poller-{POLLER}", "poller-pullwss", {"id: 2": f"id: {POLLER}"})
            server = {"enable": True, "address": "127.0.0.1", "port": 0, "token": TOKEN}
            self.remote.replace_module("proxy", ping=5, httpserver=server)
            self.remote.nodes({"id": POLLER, "type": "pullwss"})
            port = int(self.remote.start().wait_log(WSS_LINE)[1])
            # So that it is found again after a restart.
            self.remote.replace_module("proxy", ping=5, httpserver={**server, "port": port})
            self.paths = [FlakyPath(port)]
            self.poller.replace_module("pullwss", address="127.0.0.1", port=self.paths[0].port, token=TOKEN)
        self.poller.start()

    def prepare_deployed_dialing(self):
        key = draw_key()
        self.remote.configure("75-poller", {"gorgonecore": {"authorized_clients": [{"key": thumbprint(key.public_key())}]}})
        self.remote.nodes({"id": POLLER, "type": "pull"})
        self.paths = [FlakyPath(self.remote.start().port)]
        self.deployed = PullNode(f"tcp://127.0.0.1:{self.paths[0].port}", key, node_id=POLLER).start()
        self.addCleanup(self.deployed.stop, False)

    def watched(self, work):
        try:
            work()
        except Exception as failure:
            self.trouble.append(f"{type(failure).__name__}: {failure}")
            self.end = 0

    def goes_on(self):
        return time.monotonic() < self.end

    # The load

    def send(self, rate):
        due, number = time.monotonic(), 0
        while self.goes_on():
            due = max(due + 1 / rate, time.monotonic() - 1)
            time.sleep(max(0, due - time.monotonic()))
            self.send_one(number)
            number += 1

    def command(self, number):
        """Some take their time, before they count or after: a kill meets them in the middle."""
        words = [f"echo {number} >> {self.file}"]
        if not self.deployed and number % 4 == 0:
            words.insert(number // 4 % 2, "sleep 0.1")
        return "; ".join(words)

    def send_one(self, number):
        # Before the request is out nothing can have been accepted; after it, only an answer tells.
        connection = http.client.HTTPConnection("127.0.0.1", self.central.http_port, timeout=10)
        try:
            connection.connect()
        except OSError:
            self.refused.add(number)
            return
        try:
            body = json.dumps([{"command": self.command(number)}])
            connection.request("POST", f"/api/nodes/{POLLER}/core/action/command", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            status, content = answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            self.unanswered.add(number)
            return
        finally:
            connection.close()
        if status == 200 and "token" in content:
            self.accepted[number] = content["token"]
        else:
            self.refused.add(number)
            self.events[f"refused with {status} {content.get('error')}"] += 1

    # The faults

    def kills(self, chance, every_s):
        while self.goes_on():
            time.sleep(chance.uniform(0.5, 1.5) * every_s)
            daemon = chance.choice(self.daemons)
            self.events[f"kill of {daemon.directory.name}"] += 1
            daemon.kill()
            time.sleep(chance.choice((0, 0, 0.3, 1)))
            daemon.start()

    def flaps(self, chance, path, every_s):
        try:
            while self.goes_on():
                time.sleep(chance.uniform(0.5, 1.5) * every_s)
                fault = chance.choice(("cut", "stalled", "stalled and cut", "down"))
                self.events[f"path {fault}"] += 1
                if fault == "down":
                    path.take_down()
                elif fault != "cut":
                    path.stall()
                time.sleep(chance.uniform(0.1, 2))
                if "cut" in fault:
                    path.cut()
                path.restore()
        finally:
            path.restore()

    def faults_of_deployed(self, chance, every_s, link):
        while self.goes_on():
            time.sleep(chance.uniform(0.5, 1.5) * every_s)
            if link == "pull":
                self.events["new session of the deployed poller"] += 1
                self.deployed.renew()
                time.sleep(3 * every_s)  # by then it has been used, and the connection been cut
                continue
            fault = chance.choice(("sessions forgotten", "keys renewed", "messages swallowed", "deployed poller restarted"))
            self.events[fault] += 1
            if fault == "sessions forgotten":
                self.deployed.forget()
            elif fault == "keys renewed":
                self.deployed.renew()
            elif fault == "messages swallowed":
                # Who loses messages is one who was killed: its connection goes with it.
                self.deployed.swallow(chance.randrange(1, 4))
                time.sleep(0.2)
                self.deployed.restart(keep_sessions=True)
            else:
                self.deployed.restart(keep_sessions=chance.random() < 0.5)

    def faults_of_peer(self, chance, every_s):
        turn = 0
        while self.goes_on():
            fault = PEER_FAULTS[turn % len(PEER_FAULTS)]
            self.events[f"peer with {' '.join(fault)}"] += 1
            self.peer.restart(*fault)
            turn += 1
            end = time.monotonic() + chance.uniform(0.5, 1.5) * every_s
            while self.goes_on() and time.monotonic() < end:
                time.sleep(0.1)

    # The count

    def counts(self):
        """How often each number ran at the far side."""
        if self.deployed:
            commands = [item["command"] for message in list(self.deployed.taken) if message.kind == "COMMAND" for item in message.body["content"]]
            return collections.Counter(int(command.split()[1]) for command in commands)
        if self.peer:  # which tells the tokens that it took
            taken = self.peer.taken()
            return collections.Counter({number: taken[token] for number, token in self.accepted.items() if taken[token]})
        return collections.Counter(map(int, self.file.read_text().split())) if self.file.exists() else collections.Counter()

    def settle(self, limit):
        """Until every accepted number is there, or nothing comes any more."""
        for daemon, node in ((self.central, REMOTE), (self.remote, POLLER)):
            with contextlib.suppress(AssertionError):  # it is counted all the same
                eventually(lambda: daemon.api().nodes()[str(node)]["link"] == "up", limit, f"the link to node {node}")
        end, changed, before = clock() + limit, clock(), -1
        while clock() < min(end, changed + 15):
            ran = self.counts()
            if all(ran[number] for number in self.accepted):
                break
            if sum(ran.values()) != before:
                before, changed = sum(ran.values()), clock()
            time.sleep(0.1)
        time.sleep(1)  # for one that would run twice

    def outcomes(self):
        """The rows of each token on the central, when the poller's results had time to come."""
        tokens = set(self.accepted.values())

        def rows():
            found = collections.defaultdict(list)
            for row in self.central.database_rows():
                if row["token"] in tokens:
                    found[row["token"]].append(row)
            return found

        end = clock() + 10
        while True:
            for node in (POLLER, REMOTE):
                with contextlib.suppress(OSError):
                    self.central.api().request("GET", f"/api/nodes/{node}/log/{'0' * 128}?sync_wait=2000000")
            found = rows()
            if clock() > end or all(any(row["code"] in (1, 2) for row in found[token]) for token in tokens):
                return found
            time.sleep(0.2)

    def judge(self, deployed, calm, seed):
        ran, rows = self.counts(), self.outcomes()
        ends = {number: [row for row in rows[token] if row["code"] in (1, 2)] for number, token in self.accepted.items()}
        failed = {number: last[-1]["data"] for number, last in ends.items() if last and last[-1]["code"] == 1}
        ended = {number for number, data in failed.items() if ENDED in data}
        lost = {number for number in self.accepted if not ran[number]} - ended
        twice = {number for number in ran if ran[number] > 1}
        told = {number for number in lost if number in failed}
        results_twice = sum(1 for last in ends.values() if sum(row["code"] == 2 for row in last) > 1)
        self.figures = {
            "accepted": len(self.accepted), "once": sum(ran[number] == 1 for number in self.accepted), "lost": len(lost),
            "lost, with a row that says so": len(told), "ran more than once": len(twice), "ended with their daemon, of them not run": f"{len(ended)}, {sum(not ran[number] for number in ended)}",
            "without an answer, of them ran": f"{len(self.unanswered)}, {sum(bool(ran[number]) for number in self.unanswered)}",
            "refused": len(self.refused), "refused and ran": sum(bool(ran[number]) for number in self.refused),
            "without a final row": sum(not last for last in ends.values()), "with their result twice": results_twice,
        }
        if self.peer:  # of what was not accepted it tells tokens that nobody has heard of
            strangers = set(self.peer.taken()) - set(self.accepted.values())
            self.figures["without an answer, of them ran"] = f"{len(self.unanswered)}, {len(strangers)}"
            self.figures["refused and ran"] = max(0, len(strangers) - len(self.unanswered))
        print(f"TORTURE {'of the independent peer ' if self.peer else 'of a deployed peer ' if deployed else ''}seed={seed}: " + ", ".join(f"{name}: {count}" for name, count in self.figures.items()))
        print("  faults: " + (", ".join(f"{count} {name}" for name, count in sorted(self.events.items())) or "none"))
        for what, numbers in (("lost", lost), ("more than once", twice)):
            for number in sorted(numbers)[:5]:
                token = self.accepted.get(number, "not accepted")
                print(f"  {what}: {number} token={token[:16]} ran {ran[number]} times; {failed.get(number, 'no row says why')[:160]}")
        sys.stdout.flush()
        self.assertGreater(len(self.accepted), 0)
        self.assertEqual(self.figures["refused and ran"], 0, "a command that was refused ran")
        self.assertEqual(len(lost), 0, "accepted commands were lost")
        if calm or not deployed:
            self.assertEqual(len(twice), 0, "commands ran more than once")
            self.assertEqual(self.figures["without a final row"], 0, "results did not reach the central")
            self.assertEqual(results_twice, 0, "results reached the central twice")
        if calm:
            self.assertEqual(self.figures["once"], len(self.accepted))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--calm", action="store_true")
    parser.add_argument("--deployed", action="store_true")
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--link", choices=("push", "pull", "wss"), default="push")
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--seed", type=int)
    given = parser.parse_args()
    if given.peer and not SHARED.is_dir():
        parser.error(f"--peer: {MISSING}")
    if given.peer and (given.deployed or given.link != "push"):
        parser.error("--peer: the independent peer is dialled (--link push), and goes without --deployed")
    if given.deployed and given.link == "wss":
        parser.error("--deployed: the poller that behaves as deployed daemons do is joined by --link push or pull")
    os.environ["TORTURE"] = json.dumps(vars(given))
    sys.exit(not unittest.TextTestRunner(verbosity=0).run(Torture()).wasSuccessful())


if __name__ == "__main__":
    main()
