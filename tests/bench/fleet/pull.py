#!/usr/bin/env python3
"""A central and a fleet of simulated nodes that dial it (type pull), on loopback: what a node costs, how fast all are back after a restart.

Started by `tests/bench/fleet.sh --pull`; README.md says what the figures mean.
"""
import argparse
import pathlib
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1]), str(pathlib.Path(__file__).resolve().parents[2] / "system")]

from fleet import Daemon, gorgonectl
from bench import cpu_s, pss_mb, seconds_to_end
from measure import FIRST, GOALS, Player, idle, measure_all, row
from ports import free_port
from protocol import read_public_key, thumbprint

AWAY_S = 6  # that the central is down: longer than the pause between two attempts of a node


class Run:
    """One central with its nodes."""

    def __init__(self, directory, count, given):
        self.central = Daemon(directory / "central", "central", {"0.0.0.0": "127.0.0.1", "8085": "0"})
        self.central.severity = "info"
        keys, port = directory / "nodes", free_port()
        for place in (self.central.private_key.parent, keys):
            gorgonectl("keys", "generate", "--dir", str(place), "--bits", str(given.bits))
        print_of_nodes = thumbprint(read_public_key((keys / "rsakey.pub.pem").read_bytes()))
        core = {name: int(value) for name, value in (pair.split("=") for pair in given.core)}
        self.central.configure("70-listener", {"gorgonecore": {"external_com_type": "tcp", "external_com_path": f"127.0.0.1:{port}",
                                                               "authorized_clients": [{"key": print_of_nodes}], **core}})
        self.central.replace_module("proxy", ping=given.ping)
        self.central.nodes(*({"id": FIRST + i, "type": "pull"} for i in range(count)))
        self.count = count
        self.simulator = Player(keys / "rsakey.priv.pem", f"tcp://127.0.0.1:{port}", count) if count else None

    def back(self, what, launch=True, limit=300):
        """A row: how long until each node has answered a ping of this start, and what it took."""
        self.simulator.ask("reset")
        begin = time.monotonic()
        if launch:
            self.central.launch()
            cpu = 0
        else:
            cpu = cpu_s(self.central.process.pid)
            self.simulator.ask("restart")
            self.simulator.ask("reset")
        half = None
        while True:
            counts, spent = self.simulator.ask("counts"), time.monotonic() - begin
            if half is None and counts["seen"] >= self.count / 2:
                half = spent
            if counts["seen"] == self.count:
                break
            if spent > limit or not self.central.alive():
                print(f"  after {spent:.0f} s {counts['seen']} of {self.count} nodes were connected: {counts}", flush=True)
                break
            time.sleep(0.05 if spent < 10 else 0.2)
        text = self.central.log()
        cut, refused = text.count("(max_strangers)"), counts["refused"]
        row(self.count, what, f"{GOALS['back']} s at 5,000", f"{spent:.2f} s", spent <= GOALS["back"] and counts["seen"] == self.count,
            f"half of them after {half or 0:.2f} s; {cpu_s(self.central.process.pid) - cpu:.2f} s of CPU; {counts['ups']} links up, "
            f"{counts['downs']} attempts in vain, {refused} handshakes refused, {cut} lines about max_strangers")

    def fresh(self):
        for file in self.central.database.parent.glob("history.sdb*"):
            file.unlink()


def measure(directory, count, given, bare_mb):
    run = Run(directory, count, given)
    try:
        run.simulator.ask("dial")
        time.sleep(AWAY_S)
        run.back("cold start to all connected")
        if given.idle:
            idle(run, count, given.idle, bare_mb, given.settle)
        run.central.kill()
        time.sleep(AWAY_S)
        run.back("kill -9 and start to all connected")
        seconds_to_end(run.central)
        time.sleep(AWAY_S)
        run.back("clean stop and start to all connected")
        seconds_to_end(run.central)
        run.fresh()
        time.sleep(AWAY_S)
        run.back("start without its database to all connected")
        run.back("all nodes restarted, until all are connected", launch=False)
    finally:
        if run.central.alive():
            run.central.kill()
        run.simulator.end()


def without_nodes(directory, given):
    run = Run(directory, 0, given)
    try:
        run.central.launch()
        time.sleep(5)
        return pss_mb(run.central.process.pid)
    finally:
        run.central.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", default="100,1000,5000", help="how many nodes, one after the other")
    parser.add_argument("--idle", type=int, default=65, help="seconds over which idle nodes are watched; 0: not at all")
    parser.add_argument("--settle", type=int, default=10, help="seconds before that")
    parser.add_argument("--ping", type=int, default=60)
    parser.add_argument("--bits", type=int, default=2048, help="of all keys")
    parser.add_argument("--core", action="append", default=[], metavar="OPTION=NUMBER", help="an option of gorgonecore")
    given = parser.parse_args()
    measure_all(given, without_nodes, measure)


if __name__ == "__main__":
    main()
