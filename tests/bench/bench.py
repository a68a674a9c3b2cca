#!/usr/bin/env python3
"""Measures real daemons on loopback and prints a table: each figure, its goal, and what the libraries below can do.

Started by run.sh, which says how. Every figure is the median of several rounds; what is measured how stands in README.md.
"""
import argparse
import contextlib
import http.client
import json
import os
import pathlib
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))

from fleet import BIN, Daemon
from ports import free_port

LOAD = BIN.parent / "bench" / "load"
rows = []


# What is measured

def pss_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no PSS of process {pid}")


def cpu_s(pid):
    """Of all threads, in nanoseconds' precision: the ticks of /proc/PID/stat are too coarse for an idle daemon."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


class PeakPss:
    """The highest PSS of a process while the block runs."""

    def __init__(self, pid):
        self.pid, self.mb, self.over = pid, 0.0, threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.over.wait(0.02):
            self.mb = max(self.mb, pss_mb(self.pid))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def load(*words, timeout=600):
    done = subprocess.run([LOAD, *map(str, words)], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RuntimeError(f"load {words[0]} ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def until(look, timeout=30):
    end = time.monotonic() + timeout
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            found = look()
            if found:
                return found
        if time.monotonic() > end:
            raise RuntimeError(f"what was waited for did not happen within {timeout} s")
        time.sleep(0.001)


def seconds_to_gone(process, name):
    """From SIGTERM on, without the steps of a polling wait."""
    handle = os.pidfd_open(process.pid)
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    gone = select.poll()  # there may be thousands of descriptors
    gone.register(handle, select.POLLIN)
    if not gone.poll(60_000):
        raise RuntimeError(f"{name} did not end within 60 s")
    time_s = time.monotonic() - begin
    os.close(handle)
    return time_s


def seconds_to_end(daemon):
    time_s = seconds_to_gone(daemon.process, daemon.role)
    status = daemon.process.wait()
    daemon.process = None
    if status != 0:
        raise RuntimeError(f"{daemon.role} ended with status {status}")
    return time_s


def median_of(results, key=None):
    return statistics.median([result[key] for result in results] if key else results)


def spread(values, digits=2):
    return f"{min(values):.{digits}f}–{max(values):.{digits}f}"


class RawEcho:
    """The raw echo server with one client, which has had an echo and stays connected."""

    def __init__(self):
        begin = time.monotonic()
        self.server = subprocess.Popen([LOAD, "raw-server"], stdout=subprocess.PIPE, text=True)
        endpoint = self.server.stdout.readline().strip()
        self.client = subprocess.Popen([LOAD, "raw-client", endpoint], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.client.stdout.readline() != "echo\n":
            raise RuntimeError("the raw echo server did not answer")
        self.first_echo_s = time.monotonic() - begin

    def end(self):
        """Seconds from SIGTERM to gone."""
        time_s = seconds_to_gone(self.server, "the raw echo server")
        self.server.wait()
        self.client.communicate("\n")
        return time_s


# The fleet: one central, one poller

class Fleet:
    def __init__(self, directory):
        http_port, port = free_port(), free_port()
        self.central = Daemon(directory / "central", "central", {"0.0.0.0": "127.0.0.1", "8085": str(http_port)})
        thumbprint = self.central.make_keys()
        self.poller = Daemon(directory / "poller", "poller", {"*:5556": f"127.0.0.1:{port}", "THUMBPRINT-OF-THE-CENTRAL": thumbprint})
        self.poller.make_keys()
        self.central.http_port, self.poller.port = http_port, port
        for daemon in (self.central, self.poller):
            daemon.severity = "info"
            daemon.allow_all_commands()
        self.central.nodes(self.poller.node(2))
        self.endpoint = f"tcp://127.0.0.1:{port}"

    def seen(self):
        return int(self.central.api().nodes().get("2", {}).get("ping_ok") or 0) > 0

    def start(self):
        self.poller.launch()
        self.central.launch()
        until(self.seen)

    def stop(self):
        for daemon in (self.central, self.poller):
            if daemon.process is not None:
                daemon.stop()

    def clients_key(self):
        """The poller knows the central's key: clients use it too."""
        return self.central.private_key


# The figures

def row(name, goal, value, unit, reached, raw="–", note=""):
    rows.append((name, goal, f"{value} {unit}".strip(), "yes" if reached else "NO", raw, note))
    print(f"  {name}: {value} {unit} (goal {goal}, {'reached' if reached else 'MISSED'}; raw: {raw}) {note}", flush=True)


def measure_start_and_stop(fleet, rounds):
    begin = time.monotonic()
    for _ in range(5):
        subprocess.run([BIN / "gorgoned", "--version"], check=True, capture_output=True)
    bare = (time.monotonic() - begin) / 5
    api, link, central_stop, poller_stop, echo, echo_stop = [], [], [], [], [], []
    for _ in range(rounds):
        raw = RawEcho()
        echo.append(raw.first_echo_s)
        echo_stop.append(raw.end())
        begin = time.monotonic()
        fleet.poller.launch()
        fleet.central.launch()
        until(fleet.seen)
        link.append(time.monotonic() - begin)
        central_stop.append(seconds_to_end(fleet.central))
        poller_stop.append(seconds_to_end(fleet.poller))
        begin = time.monotonic()
        fleet.central.launch()
        until(lambda: fleet.central.api().get("/api/internal/thumbprint"))
        api.append(time.monotonic() - begin)
        seconds_to_end(fleet.central)
    value = median_of(api)
    row("start to HTTP API answering", "0.05 s", f"{value:.3f}", "s", value <= 0.05, f"gorgoned --version {bare:.3f} s", spread(api, 3))
    value = median_of(link)
    row("both started to first PONG", "0.3 s", f"{value:.3f}", "s", value <= 0.3, f"echo server and client to first echo {median_of(echo):.3f} s", spread(link, 3))
    value = median_of(central_stop)
    gone = f"echo server {median_of(echo_stop):.4f} s"
    row("SIGTERM to gone, central", "0.3 s", f"{value:.3f}", "s", value <= 0.3, gone, spread(central_stop, 3))
    value = median_of(poller_stop)
    row("SIGTERM to gone, poller", "0.3 s", f"{value:.3f}", "s", value <= 0.3, gone, spread(poller_stop, 3))


def measure_idle(fleet, seconds):
    fleet.start()
    raw = RawEcho()
    time.sleep(2)
    both = {"central": fleet.central, "poller": fleet.poller}
    pids = {"raw": raw.server.pid, **{role: daemon.process.pid for role, daemon in both.items()}}
    before = {role: cpu_s(pid) for role, pid in pids.items()}
    begin = time.monotonic()
    time.sleep(seconds)
    percent = {role: 100 * (cpu_s(pid) - before[role]) / (time.monotonic() - begin) for role, pid in pids.items()}
    raw_mb = pss_mb(raw.server.pid)
    raw.end()  # it shares libraries too
    together = {role: pss_mb(daemon.process.pid) for role, daemon in both.items()}
    # Each alone: nobody shares the libraries' pages then.
    fleet.poller.stop()
    alone = {"central": pss_mb(fleet.central.process.pid)}
    fleet.central.stop()
    bare = subprocess.Popen([LOAD, "idle"], stdin=subprocess.PIPE)
    time.sleep(0.5)
    floor = pss_mb(bare.pid)
    bare.communicate()
    fleet.poller.launch()
    time.sleep(5)  # what only the start needed has been given back then
    alone["poller"] = pss_mb(fleet.poller.process.pid)
    fleet.poller.stop()
    fleet.start()
    for role, goal in (("central", 12), ("poller", 8)):
        row(f"PSS, {role} idle", f"{goal} MB", f"{together[role]:.1f}", "MB", together[role] <= goal, f"the libraries alone {floor:.1f} MB, echo server {raw_mb:.1f} MB",
            f"{alone[role]:.1f} MB where no other node shares its libraries")
    row("idle CPU, central with one node", "0.05 %", f"{percent['central']:.4f}", "%", percent["central"] <= 0.05, f"echo server {percent['raw']:.4f} %",
        f"poller {percent['poller']:.4f} %, over {seconds} s")


def measure_command(fleet, rounds, count, spawn, echo):
    """Each request on a connection of its own, as cron jobs and PHP make them."""
    p50, p99 = [], []
    api = fleet.central.api()
    api.run(2, "true")
    for _ in range(rounds):
        times = []
        for _ in range(count):
            begin = time.monotonic()
            result = api.run(2, "true", wait_s=10)
            times.append(1000 * (time.monotonic() - begin))
            assert result[-1]["code"] == 2, result
        times.sort()
        p50.append(times[len(times) // 2])
        p99.append(times[int(len(times) * 0.99)])
    value = median_of(p50)
    row("COMMAND by the API to the poller (log_wait), p50", "10 ms", f"{value:.1f}", "ms", value <= 10,
        f"sh -c true {spawn['p50_ms']:.1f} ms, sealed echo {echo['sealed_p50_ms']:.2f} ms", f"p99 {median_of(p99):.1f} ms")


def measure_pings(fleet, rounds, count, echoes):
    results = []
    for _ in range(rounds):
        echoes.append(load("raw-echo", count))  # in turn, so that both meet the same neighbours
        results.append(load("pings", fleet.endpoint, fleet.clients_key(), count))
    raw, value = median_of(echoes, "sealed_per_s"), median_of(results, "per_s")
    row("pings pipelined by one client", f"{raw / 2:.0f}/s", f"{value:.0f}", "/s", value >= raw / 2,
        f"sealed echo {raw:.0f}/s, plain {median_of(echoes, 'plain_per_s'):.0f}/s",
        f"{value / raw:.2f} of raw; one at a time p50 {median_of(results, 'p50_ms'):.2f} ms, raw {median_of(echoes, 'sealed_p50_ms'):.2f} ms")


def measure_commands(fleet, rounds, spawns, count):
    results, peaks, raw_mb = [], [], []
    for _ in range(rounds):
        raw = RawEcho()
        raw_mb.append(pss_mb(raw.server.pid))
        raw.end()
        spawns.append(load("raw-spawn", count, 20))
        with PeakPss(fleet.poller.process.pid) as peak:
            result = load("commands", fleet.endpoint, fleet.clients_key(), count)
        if result["refused"] or result["unfinished"]:
            raise RuntimeError(f"COMMANDs were lost: {result}")
        results.append(result)
        peaks.append(peak.mb)
    value, raw = median_of(results, "per_s"), median_of(spawns, "per_s")
    row(f"{count} COMMANDs pipelined by one client", "800/s", f"{value:.0f}", "/s", value >= 800, f"posix_spawn of sh -c true {raw:.0f}/s",
        f"{value / raw:.2f} of raw; all acknowledged after {median_of(results, 'acknowledged_s'):.2f} s")
    value = median_of(peaks)
    row(f"{count} COMMANDs, PSS at the peak", "30 MB", f"{value:.1f}", "MB", value <= 30, f"echo server with one client {median_of(raw_mb):.1f} MB", spread(peaks, 1))


class LivePings:
    """A peer that pings all the while, by the clock."""

    def __init__(self, endpoint, key):
        self.process = subprocess.Popen([LOAD, "live-pings", endpoint, key, "2000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()

    def end(self):
        return json.loads(self.process.communicate("\n", timeout=60)[0])


def under(fleet, *words):
    """What a live peer, the processor, the log and the memory of the poller see of a load; `raw`: what a live peer of the raw
    echo, which the load does not touch, sees of the busy machine at the same time."""
    pid = fleet.poller.process.pid
    echo = subprocess.Popen([LOAD, "raw-server"], stdout=subprocess.PIPE, text=True)
    live, raw = LivePings(fleet.endpoint, fleet.clients_key()), LivePings(echo.stdout.readline().strip(), "")
    before, log = cpu_s(pid), fleet.poller.log_file.stat().st_size
    with PeakPss(pid) as peak:
        result = load(words[0], fleet.endpoint, *words[1:])
    result["cpu_s"] = cpu_s(pid) - before
    result |= live.end()
    raw_result = raw.end()
    result |= {"raw_p99_ms": raw_result["p99_ms"], "raw_max_ms": raw_result["max_ms"]}
    echo.kill()
    echo.wait()
    time.sleep(1)
    return result | {"log_kb": (fleet.poller.log_file.stat().st_size - log) / 1000, "peak_mb": peak.mb, "after_mb": pss_mb(pid)}


def live_row(name, results, raw, more):
    value = median_of(results, "p99_ms")
    row(f"{name}: a live peer's ping p99", "50 ms", f"{value:.1f}", "ms", value <= 50,
        f"an echo beside it {median_of(results, 'raw_p99_ms'):.1f} ms{raw}",
        f"p50 {median_of(results, 'p50_ms'):.2f} ms, longest {max(result['max_ms'] for result in results):.0f} ms; {more}; "
        f"{median_of(results, 'cpu_s'):.2f} s of CPU, {median_of(results, 'log_kb'):.1f} kB of log, "
        f"PSS {median_of(results, 'peak_mb'):.1f} MB at the peak, {median_of(results, 'after_mb'):.1f} MB after")


def measure_whole_log(fleet, count):
    """What one big GETLOG, as a central sends it after hours without a link, costs everybody else."""
    load("commands", fleet.endpoint, fleet.clients_key(), count)
    result = under(fleet, "whole-log", fleet.clients_key(), 5)
    row(f"GETLOG of {result['mb']:.1f} MB: a live peer's longest ping", "50 ms", f"{result['max_ms']:.0f}", "ms", result["max_ms"] <= 50,
        f"an echo beside it {result['raw_max_ms']:.0f} ms", f"answered in {result['s']:.2f} s; PSS {result['peak_mb']:.1f} MB at the peak")


def measure_strangers(fleet, rounds, count, rsa):
    for kind, key in (("a wrong 2048-bit key", []), ("a listed key and a wrong HELO", [fleet.clients_key()])):
        results = [under(fleet, "strangers", count, 200, *key) for _ in range(rounds)]
        if any(result["answered"] != count for result in results):
            raise RuntimeError(f"handshakes were not answered: {results}")
        raw = f", RSA decryptions {rsa['decrypt_per_s']:.0f}/s" if key else f", thumbprints {rsa['thumbprint_per_s']:.0f}/s"
        live_row(f"{count} handshakes with {kind}", results, raw + " (one core)", f"{median_of(results, 'per_s'):.0f} refused/s")


def measure_noise(fleet, rounds):
    results = [under(fleet, "noise", 10, 10_000_000) for _ in range(rounds)]
    more = f"refused after {median_of(results, 's'):.2f} s, then a stranger is answered in {median_of(results, 'next_answer_ms'):.1f} ms"
    live_row("ten 10 MB frames of noise", results, "", more)


def table():
    lines = ["| figure | goal | measured | reached | raw, same run | more |", "| --- | --- | --- | --- | --- | --- |"]
    return "\n".join(lines + [f"| {' | '.join(cells)} |" for cells in rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round of each: shows that all works, not how fast")
    parser.add_argument("--only", default="", choices=("start", "idle", "command", "pings", "commands", "strangers", "noise", "log"))
    given = parser.parse_args()
    rounds = 1 if given.quick else 5
    wanted = lambda name: given.only in ("", name)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="gorgone-bench-"))
    fleet = Fleet(directory)
    echoes = [load("raw-echo", 2000 if given.quick else 50000)]
    spawns = [load("raw-spawn", 100 if given.quick else 1000, 1)]
    rsa = load("raw-rsa", 200 if given.quick else 2000)
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f} before", flush=True)
    try:
        if wanted("start"):
            measure_start_and_stop(fleet, 2 if given.quick else 9)
        if wanted("idle"):
            measure_idle(fleet, 3 if given.quick else 130)
        else:
            fleet.start()
        if wanted("command"):
            measure_command(fleet, rounds, 20 if given.quick else 200, spawns[0], echoes[0])
        if wanted("pings"):
            measure_pings(fleet, rounds, 5000 if given.quick else 100000, echoes[1:])
        if wanted("commands"):
            measure_commands(fleet, rounds, [], 200 if given.quick else 2000)
        if wanted("strangers"):
            measure_strangers(fleet, min(rounds, 3), 500 if given.quick else 10000, rsa)
        if wanted("noise"):
            measure_noise(fleet, rounds)
        if wanted("log"):
            measure_whole_log(fleet, 200 if given.quick else 10000)
        fleet.stop()
    except BaseException:
        print(f"logs are kept in {directory}", file=sys.stderr)
        for daemon in (fleet.central, fleet.poller):
            if daemon.process is not None:
                daemon.kill()
        raise
    shutil.rmtree(directory)
    print(f"load average {os.getloadavg()[0]:.1f} after\n\n{table()}")


if __name__ == "__main__":
    main()
