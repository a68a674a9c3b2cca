#!/usr/bin/env python3
"""A central and a fleet of simulated nodes on loopback: what a node costs, how fast all are back, what dead ones cost the living.

Started by tests/bench/fleet.sh, which says how; README.md says what the figures mean.
"""
import argparse
import http.client
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1]), str(pathlib.Path(__file__).resolve().parents[2] / "system")]

from fleet import BIN, HTTP_LINE, Daemon, gorgonectl
from bench import cpu_s, pss_mb, seconds_to_end

SIMULATOR = BIN.parent / "bench" / "bench_fleet"
KEY_BITS = 2048
FIRST = 2            # the id of the first node, the one that commands are sent to
COMMANDS = 1000
SPARE_FILES = 200
GOALS = {"kb": 40, "idle": 5, "back": 30, "p99": 1.2}
rows = []


def raise_files():
    """A descriptor of the central for each node and one of the simulator: thousands of nodes need more than most shells have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (131072, 65536, 32768, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
            return wanted
        except (OSError, ValueError):
            continue
    return hard


def ended_cpu_s():
    """Of all processes that this one has started and that are gone."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Player:
    """The process that plays all nodes. It says something at its start and to each question, always one line of JSON."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([SIMULATOR, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.said = json.loads(self.process.stdout.readline())

    def ask(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.wait(30)


class Simulator(Player):
    """Plays nodes that are dialled."""

    def __init__(self, directory, central):
        keys = directory / "nodes"
        gorgonectl("keys", "generate", "--dir", str(keys), "--bits", str(KEY_BITS))
        super().__init__(keys / "rsakey.priv.pem", central.public_key)
        self.ports = self.said

    def nodes(self, count, dead):
        """`count` nodes, the last `dead` of them nowhere: a third each mute, on a path that drops, refusing."""
        ports = [self.ports["mute"], self.ports["dropping"], self.ports["refusing"]]
        return [{"id": FIRST + i, "type": "push_zmq", "address": f"127.{16 + (i >> 16)}.{i >> 8 & 255}.{i & 255}",
                 "port": self.ports["nodes"] if i < count - dead else ports[i % 3]} for i in range(count)]


class Run:
    """One central with its nodes."""

    def __init__(self, directory, ping):
        self.central = Daemon(directory / "central", "central", {"0.0.0.0": "127.0.0.1", "8085": "0"})
        self.central.severity = "info"
        self.central.replace_module("proxy", ping=ping)
        gorgonectl("keys", "generate", "--dir", str(self.central.private_key.parent), "--bits", str(KEY_BITS))
        self.simulator = Simulator(directory, self.central)

    def start(self, alive, limit=300):
        """Seconds until each of the living nodes has answered a ping."""
        self.simulator.ask("reset")
        begin = time.monotonic()
        self.central.launch()
        return self.until_seen(alive, begin, limit)

    def until_seen(self, alive, begin, limit=300):
        while True:
            counts = self.simulator.ask("counts")
            now = time.monotonic() - begin
            if counts["seen"] >= alive:
                return now
            if now > limit or not self.central.alive():
                raise RuntimeError(f"after {now:.0f} s {counts['seen']} of {alive} nodes were connected: {counts}; the log is {self.central.log_file}")
            time.sleep(0.05 if now < 10 else 0.2)

    def latencies(self, count=COMMANDS, pause=0.01):
        """Seconds that commands to the first node take, one after the other, by log_wait."""
        connection, times = self.connect(), []
        for _ in range(count):
            times.append(self.command(connection))
            time.sleep(pause)
        connection.close()
        return sorted(times)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", int(self.central.wait_log(HTTP_LINE)[1]), timeout=60)

    @staticmethod
    def command(connection):
        begin = time.monotonic()
        connection.request("POST", f"/api/nodes/{FIRST}/core/action/command?log_wait=30000000", json.dumps([{"command": "true"}]),
                           {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        if 2 not in [row["code"] for row in answer.get("data", [])]:
            raise RuntimeError(f"a command to the living node has no end: {answer}")
        return time.monotonic() - begin

    def latencies_while_coming_back(self, alive, limit=300):
        """Of a start: seconds until the API takes a command, those that the first one took, which waits for its node, those of all others until
        each living node is connected, and until then."""
        self.simulator.ask("reset")
        begin, times = time.monotonic(), []
        self.central.launch()
        connection = self.connect()
        opened = time.monotonic() - begin
        first = self.command(connection)
        while self.simulator.ask("counts")["seen"] < alive:
            times.append(self.command(connection))
            if time.monotonic() > begin + limit:
                raise RuntimeError(f"after {limit} s not all of {alive} nodes were connected; the log is {self.central.log_file}")
        connection.close()
        return opened, first, sorted(times), time.monotonic() - begin

    def fresh(self):
        for file in self.central.database.parent.glob("history.sdb*"):
            file.unlink()
        self.central.log_file.unlink(missing_ok=True)


def at(times, percent):
    return 1000 * times[min(len(times) - 1, int(len(times) * percent / 100))]


def row(count, figure, goal, value, reached, more=""):
    verdict = "–" if reached is None else "yes" if reached else "**no**"
    rows.append(f"| {count} | {figure} | {goal} | {value} | {verdict} | {more} |")
    print(f"  {rows[-1]}", flush=True)


def idle(run, count, seconds, bare_mb, settle):
    time.sleep(settle)
    pid = run.central.process.pid
    run.simulator.ask("reset")
    before, begin = cpu_s(pid), time.monotonic()
    time.sleep(seconds)
    used, span, counts = cpu_s(pid) - before, time.monotonic() - begin, run.simulator.ask("counts")
    mb = pss_mb(pid)
    kb = 1024 * (mb - bare_mb) / count
    files = len(os.listdir(f"/proc/{pid}/fd"))
    row(count, "memory per idle node", f"{GOALS['kb']} kB", f"{kb:.1f} kB", kb <= GOALS["kb"], f"PSS {mb:.1f} MB, {bare_mb:.1f} MB without nodes; {files} descriptors")
    percent = 100 * used / span
    row(count, "idle CPU", f"{GOALS['idle']} % at 5,000", f"{percent:.2f} %", percent < GOALS["idle"] * max(count, 5000) / 5000,
        f"{counts['pings']} pings, {counts['fetches']} log fetches in {span:.0f} s: {1e6 * used / max(1, counts['pings']):.0f} µs per ping and node")


def measure(directory, count, given, bare_mb):
    run = Run(directory, given.ping)
    run.central.nodes(*run.simulator.nodes(count, 0))
    back = lambda what, s, more="": row(count, what, f"{GOALS['back']} s at 5,000", f"{s:.2f} s", s <= GOALS["back"], more)
    try:
        cold = run.start(count)
        cpu = cpu_s(run.central.process.pid)
        back("cold start to all connected", cold, f"{cpu:.2f} s of CPU, {1000 * cpu / count:.2f} ms per node; PSS {pss_mb(run.central.process.pid):.1f} MB")
        idle(run, count, given.idle, bare_mb, given.settle)
        times = run.latencies()
        row(count, "command to one node, the rest idle", "–", f"p50 {at(times, 50):.1f} ms, p99 {at(times, 99):.1f} ms", None, f"longest {times[-1] * 1000:.0f} ms")
        run.central.kill()
        again = run.start(count)
        back("kill -9 and start to all connected", again, f"{cpu_s(run.central.process.pid):.2f} s of CPU")
        before, children = cpu_s(run.central.process.pid), ended_cpu_s()
        stop = seconds_to_end(run.central)
        row(count, "SIGTERM to gone", "0.3 s", f"{stop:.2f} s", stop <= 0.3, f"{ended_cpu_s() - children - before:.2f} s of CPU")
        back("clean stop and start to all connected", run.start(count))
        commands_while_all_come_back(run, count)
        if given.peers:
            begin = time.monotonic()
            run.simulator.ask("reset")
            run.simulator.ask("restart")
            run.simulator.ask("reset")
            row(count, "all nodes restarted without their sessions, until all are connected", "–", f"{run.until_seen(count, begin):.2f} s", None)
        seconds_to_end(run.central)
        dead_and_alive(run, count)
    finally:
        if run.central.alive():
            run.central.kill()
        run.simulator.end()


def commands_while_all_come_back(run, count):
    """One command after the other to one node, from the moment the API is there until the last node is connected."""
    for what, prepare in (("with its sessions", lambda: None), ("without its database, so that all are greeted anew", run.fresh)):
        run.central.kill()
        prepare()
        opened, first, times, spent = run.latencies_while_coming_back(count)
        more = f"{len(times)} commands in {spent:.2f} s, {cpu_s(run.central.process.pid):.2f} s of CPU; the first one {1000 * first:.0f} ms, {1000 * opened:.0f} ms after the start"
        told = f"p50 {at(times, 50):.1f} ms, p99 {at(times, 99):.1f} ms, longest {1000 * times[-1]:.0f} ms" if times else "all were back before a second command"
        row(count, f"command to one node while all come back to a central killed and started {what}", "–", told, None, more)


def dead_and_alive(run, count):
    """The same number of living nodes each time; then as many dead ones beside them."""
    dead = count // 2
    results = {}
    for what, all_nodes, lost in (("without", count - dead, 0), ("with", count, dead)):
        run.fresh()
        run.central.nodes(*run.simulator.nodes(all_nodes, lost))
        run.start(count - dead)
        time.sleep(5)
        pid = run.central.process.pid
        before, begin = cpu_s(pid), time.monotonic()
        results[what] = run.latencies()
        percent = 100 * (cpu_s(pid) - before) / (time.monotonic() - begin)
        time.sleep(20 if lost else 0)
        before, begin = cpu_s(pid), time.monotonic()
        time.sleep(10)
        quiet = 100 * (cpu_s(pid) - before) / (time.monotonic() - begin)
        times = results[what]
        if lost:
            ratio = at(times, 99) / at(results["without"], 99)
            row(count, f"command to one node, {dead} of the rest dead", "p99 within 20 %", f"p50 {at(times, 50):.1f} ms, p99 {at(times, 99):.1f} ms",
                ratio <= GOALS["p99"], f"p99 {ratio:.2f} of without; longest {times[-1] * 1000:.0f} ms; {percent:.0f} % CPU meanwhile, {quiet:.1f} % without commands; "
                f"PSS {pss_mb(pid):.0f} MB, log {run.central.log_file.stat().st_size / 1e3:.0f} kB")
        else:
            row(count, f"command to one node, the {dead} not there", "–", f"p50 {at(times, 50):.1f} ms, p99 {at(times, 99):.1f} ms", None,
                f"longest {times[-1] * 1000:.0f} ms; {percent:.0f} % CPU meanwhile, {quiet:.1f} % without commands")
        seconds_to_end(run.central)


def without_nodes(directory, _given):
    run = Run(directory, 60)
    try:
        run.central.nodes()
        run.central.launch()
        run.central.wait_log(HTTP_LINE)
        time.sleep(5)  # what only the start needed has been given back then
        return pss_mb(run.central.process.pid)
    finally:
        run.central.kill()
        run.simulator.end()


def measure_all(given, without_nodes, measure):
    """The rows of each of `given.counts`, printed as a table at the end; the logs are kept where something fails."""
    files = raise_files()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="gorgone-fleet-"))
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f} before, {files} descriptors", flush=True)
    try:
        bare_mb = without_nodes(directory / "bare", given)
        for count in map(int, given.counts.split(",")):
            if count + SPARE_FILES > files:
                print(f"  {count} nodes SKIPPED: they need {count + SPARE_FILES} descriptors, {files} are allowed (ulimit -n)", flush=True)
                continue
            measure(directory / str(count), count, given, bare_mb)
    except BaseException:
        print(f"logs are kept in {directory}", file=sys.stderr)
        raise
    shutil.rmtree(directory)
    print(f"load average {os.getloadavg()[0]:.1f} after\n")
    print("\n".join(["| nodes | figure | goal | measured | reached | more |", "| --- | --- | --- | --- | --- | --- |", *rows]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", default="100,1000,5000", help="how many nodes, one after the other")
    parser.add_argument("--idle", type=int, default=125, help="seconds over which idle nodes are watched; more than two pings' time")
    parser.add_argument("--settle", type=int, default=10, help="seconds before that")
    parser.add_argument("--ping", type=int, default=60)
    parser.add_argument("--peers", action="store_true", help="restart all nodes at once too")
    given = parser.parse_args()
    measure_all(given, without_nodes, measure)


if __name__ == "__main__":
    main()
