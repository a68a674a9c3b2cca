#!/usr/bin/env python3
"""The MCollective broker with clients of libzmq, beside libzmq's own ROUTER, the broker's transport alone and, where it is given, mc0d, in turn.

Started by tests/bench/mcollective.sh, which says how; README.md says what the figures mean.
"""
import argparse
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

import zmq

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1]), str(pathlib.Path(__file__).resolve().parents[2] / "system")]

from bench import cpu_s, median_of, pss_mb
from fleet import BIN
from mc0 import Broker
from ports import free_port

LOAD = BIN.parent / "bench" / "bench_mcollective"
rows = []


class Plain:
    """A server of bench_mcollective."""

    def __init__(self, *what):
        self.what = what
        self.start()

    def start(self):
        self.process = subprocess.Popen([LOAD, *self.what], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        self.endpoint, self.key = self.process.stdout.readline().split()

    def end(self):
        self.process.stdin.close()
        self.process.wait(30)

    def kill(self):
        self.process.kill()
        self.process.wait(30)
        for end in (self.process.stdin, self.process.stdout):
            end.close()


class Lasting(Plain):
    """libzmq's ROUTER, which comes back at its address, with its key and its subscribers."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="gorgone-bench-"))
        super().__init__("serve-libzmq", self.directory / "memory")

    def end(self):
        super().end()
        shutil.rmtree(self.directory)


class Real:
    """A daemon with the module and nothing else in its queues."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="gorgone-bench-"))
        self.daemon = Broker(self.directory / "broker", {})
        self.daemon.severity = "info"
        self.daemon.make_keys()
        self.start()

    def start(self):
        self.daemon.start()
        self.pid = self.daemon.process.pid
        self.endpoint, self.key = f"tcp://127.0.0.1:{self.daemon.mc_port}", self.daemon.mc_public_key().decode()

    def kill(self):
        self.daemon.kill()

    def end(self):
        self.daemon.stop()
        shutil.rmtree(self.directory)


class Rival:
    """mc0d, the C++ broker of the connector's authors; --mc0d names the program."""

    program = ""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="gorgone-bench-"))
        public, secret = zmq.curve_keypair()
        (self.directory / "key").write_bytes(secret)
        port = free_port()
        self.process = subprocess.Popen([self.program, "--bind", "127.0.0.1", "--port", str(port), "--curve-private-key", self.directory / "key"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = self.process.pid
        self.endpoint, self.key = f"tcp://127.0.0.1:{port}", public.decode()

    def end(self):
        self.process.kill()
        self.process.wait(30)
        shutil.rmtree(self.directory)


SERVERS = {"broker": Real, "transport": lambda: Plain("serve-transport"), "libzmq": lambda: Plain("serve-libzmq")}


class Load:
    """Clients that are connected and wait for a word."""

    def __init__(self, server, what, *numbers):
        self.process = subprocess.Popen([LOAD, what, server.endpoint, server.key, *map(str, numbers)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"bench_mcollective ended with {self.process.wait()}")
        return line

    def go(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return json.loads(self.read())

    def end(self):
        self.process.stdin.close()
        self.process.wait(30)


def once(kind, what, *numbers):
    """CPU of the server for each message in microseconds, and messages per second."""
    server = SERVERS[kind]()
    load = Load(server, what, *numbers)
    before = cpu_s(server.pid)
    result = load.go()
    used = cpu_s(server.pid) - before
    load.end()
    server.end()
    return {"us": used / result["messages"] * 1e6, "rate": result["messages"] / result["seconds"], "refused": result.get("refused", 0)}


def measure(name, goal, rounds, what, *numbers):
    results = {kind: [] for kind in SERVERS}
    for _ in range(rounds):  # in turn, so that what else the machine does meets all of them
        for kind in SERVERS:
            results[kind].append(once(kind, what, *numbers))
    middle = {kind: {key: median_of(results[kind], key) for key in ("us", "rate")} for kind in SERVERS}
    refused = sum(result["refused"] for result in results["broker"])
    reached = "yes" if middle["broker"]["us"] < goal else "**no**"
    text = {kind: f"{figures['us']:.1f} µs, {figures['rate']:,.0f}/s" for kind, figures in middle.items()}
    more = f"transport alone {text['transport']}" + (f"; mc0d {text['mc0d']}" if "mc0d" in text else "") + (f"; {refused} refused" if refused else "")
    rows.append([name, f"{goal} µs", text["broker"], reached, text["libzmq"], more])
    print(rows[-1], flush=True)


def measure_flood(count):
    """What becomes of the messages of a publisher that does not wait for anything."""
    texts = {}
    for kind in SERVERS:
        if kind == "transport":
            continue
        server = SERVERS[kind]()
        load = Load(server, "flood", count)
        result = load.go()
        load.end()
        server.end()
        silent = result["sent"] - result["messages"] - result["refused"]
        unanswered = result["sent"] - result["acknowledged"] - result["refused"]
        texts[kind] = (f"{result['messages']:,} delivered, {result['refused']:,} refused, {silent:,} lost without a word" +
                       (f", {unanswered:,} without an answer" if unanswered else "") + f", {result['messages'] / result['seconds']:,.0f}/s")
        if kind == "broker":
            reached = "yes" if silent == 0 and unanswered == 0 else "**no**"
    rows.append([f"flat out: {count:,} PUTs of 1 kB by one who does not wait", "none lost without a word", texts["broker"], reached, texts["libzmq"],
                 f"mc0d {texts['mc0d']}" if "mc0d" in texts else ""])
    print(rows[-1], flush=True)


def memory(server, clients):
    before = pss_mb(server.pid)
    load = Load(server, "idle", clients)
    time.sleep(1)
    used = (pss_mb(server.pid) - before) * 1024 / clients
    return load, used


def restart(server, load):
    """Killed and started while the clients are there: what they say, with seconds until it was up, until all have heard something, and of their CPU."""
    load.go()
    server.kill()
    started, before = time.monotonic(), cpu_s(load.process.pid)
    server.start()
    up = time.monotonic() - started
    result = load.go()
    return {**result, "up": up, "whole": up + result["seconds"], "cpu": cpu_s(load.process.pid) - before}


def measure_idle(clients):
    raw = Lasting()
    raw_load, raw_kb = memory(raw, clients)
    raw_result = restart(raw, raw_load)
    raw_load.end()
    raw.end()
    server = SERVERS["broker"]()
    load, kb = memory(server, clients)
    rows.append([f"memory of an idle client, {clients} of them", "20 kB", f"{kb:.1f} kB", "yes" if kb < 20 else "**no**", f"{raw_kb:.1f} kB",
                 f"PSS {pss_mb(server.pid):.0f} MB"])
    print(rows[-1], flush=True)
    result = restart(server, load)
    whole, up, used = result["whole"], result["up"], cpu_s(server.pid)
    raw_text = f"{raw_result['whole']:.2f} s, {raw_result['heard']} heard"
    reached = "yes" if whole < 2 and result["heard"] == clients else "**no**"
    rows.append([f"killed and started, until {clients} clients have heard a message again", "2 s", f"{whole:.2f} s", reached, raw_text,
                 f"{result['heard']} heard; half of them after {result['half'] + up:.2f} s; the daemon was up after {up:.2f} s; "
                 f"CPU: broker {used:.2f} s, clients {result['cpu']:.2f} s"])
    print(rows[-1], flush=True)
    load.end()
    server.end()


def table():
    lines = ["| figure | goal | measured | reached | libzmq's ROUTER, same run | more |", "| --- | --- | --- | --- | --- | --- |"]
    return "\n".join(lines + [f"| {' | '.join(cells)} |" for cells in rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few clients and messages: shows that all works, not how fast")
    parser.add_argument("--only", default="", choices=("p2p", "fanout", "flood", "idle"))
    parser.add_argument("--rounds", type=int, default=5, help="of each figure, of which the median counts")
    parser.add_argument("--mc0d", metavar="PROGRAM", help="a build of mc0d, to be measured in the same run")
    given = parser.parse_args()
    if given.mc0d:
        Rival.program = given.mc0d
        SERVERS["mc0d"] = Rival
    wanted = lambda name: given.only in ("", name)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))
    quick, rounds = given.quick, 1 if given.quick else given.rounds
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f} before", flush=True)
    if wanted("p2p"):
        measure("point to point with acknowledgement, 1 kB", 19, rounds, "p2p", 800 if quick else 100000, 8)
    if wanted("fanout"):
        measure("fan-out 1 → 100, 1 kB, each delivery", 9, rounds, "fanout", 20 if quick else 2000, 20 if quick else 100)
        if not quick:
            measure("fan-out 1 → 1,000, 1 kB, each delivery", 9, rounds, "fanout", 200, 1000)
    if wanted("flood"):
        measure_flood(2000 if quick else 200000)
    if wanted("idle"):
        measure_idle(50 if quick else 2000)
    print(f"load average {os.getloadavg()[0]:.1f} after\n\n{table()}")


if __name__ == "__main__":
    main()
