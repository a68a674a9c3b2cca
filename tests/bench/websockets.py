#!/usr/bin/env python3
"""Measures a central with thousands of nodes that dial it by a WebSocket, and prints a table.

    GORGONE_BIN=build/release/bin tests/bench/websockets.py [--count 2000] [--tls]

One process plays all nodes, as deployed ones behave: each registers itself, answers pings, and comes back within a second when its connection is
lost, all at once after a restart of the central. "All back" is when the last one has answered a ping of this start.
"""
import argparse
import asyncio
import base64
import json
import os
import pathlib
import re
import resource
import shutil
import ssl
import statistics
import struct
import sys
import tempfile
import threading
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parents[1] / "system")]

from bench import cpu_s, free_port, pss_mb, seconds_to_end, until
from fleet import Daemon
from wss_fleet import TOKEN, WSS_LINE, Certificates
from wss_peer import encode_entities

PING = re.compile(r"^\[PING\] \[(.*?)\]")
SWITCHED = b"101"


class Node(asyncio.Protocol):
    """One connection of one node."""

    def __init__(self, fleet, identity):
        self.fleet, self.identity, self.buffer, self.is_open = fleet, identity, b"", False

    def connection_made(self, transport):
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write((f"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                         f"Sec-WebSocket-Version: 13\r\nAuthorization: Bearer {TOKEN}\r\n\r\n").encode())

    def data_received(self, piece):
        self.buffer += piece
        if not self.is_open:
            if b"\r\n\r\n" not in self.buffer:
                return
            head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            if SWITCHED not in head.split(b"\r\n")[0]:
                self.fleet.refused += 1
                return self.transport.close()
            self.is_open = True
            self.say(f'[REGISTERNODES] [] [] {{"nodes":[{{"id":{self.identity},"type":"wss","identity":{self.identity}}}]}}')
        while self.frame():
            pass

    def frame(self):
        if len(self.buffer) < 2:
            return False
        size, at = self.buffer[1] & 0x7F, 2
        if size == 126 and len(self.buffer) >= 4:
            size, at = struct.unpack(">H", self.buffer[2:4])[0], 4
        if len(self.buffer) < at + size:
            return False
        kind, payload = self.buffer[0] & 0x0F, self.buffer[at:at + size]
        self.buffer = self.buffer[at + size:]
        if kind == 9:
            self.send(10, payload)
        elif kind == 8:
            self.transport.close()
        elif kind == 1:
            self.take(payload.decode())
        return True

    def take(self, text):
        ping = PING.match(text)
        if ping:
            self.say(f'[PONG] [{ping[1]}] [] {{"code":0,"data":{{"action":"ping","message":"ping ok","id":{self.identity},"hostname":"n","data":{{}}}}}}')
            self.fleet.answered.add(self.identity)
        elif text.startswith("[GETLOG]"):
            token = text.split("[")[2].split("]")[0]
            self.say(f'[SETLOGS] [{token}] [] {{"code":0,"data":{{"action":"getlog","result":[],"id":{self.identity}}}}}')

    def say(self, text):
        self.send(1, encode_entities(text).encode())

    def send(self, kind, payload):
        head = bytes([0x80 | kind, 0x80 | len(payload)]) if len(payload) < 126 else bytes([0x80 | kind, 0x80 | 126]) + struct.pack(">H", len(payload))
        self.transport.write(head + b"\0\0\0\0" + payload)  # masked by zeros

    def connection_lost(self, _):
        self.fleet.lost(self.identity)


class Nodes(threading.Thread):
    """All nodes, on a loop of their own thread."""

    def __init__(self, count, port, tls):
        super().__init__(daemon=True)
        self.count, self.port, self.tls, self.answered, self.refused, self.is_over = count, port, tls, set(), 0, False

    def run(self):
        self.loop = asyncio.new_event_loop()
        for identity in range(2, self.count + 2):
            self.loop.create_task(self.dial(identity))
        self.loop.run_forever()

    async def dial(self, identity):
        try:
            await self.loop.create_connection(lambda: Node(self, identity), "127.0.0.1", self.port, ssl=self.tls)
        except OSError:
            self.lost(identity)

    def lost(self, identity):
        if not self.is_over:
            self.loop.call_later(0.5 + 0.5 * (identity % 100) / 100, lambda: self.loop.create_task(self.dial(identity)))


def latencies(central, count=200):
    times = []
    for _ in range(count):
        begin = time.monotonic()
        central.api().run(None, "true")
        times.append(time.monotonic() - begin)
    ordered = sorted(times)
    return f"p50 {1000 * statistics.median(times):.1f} ms, p99 {1000 * ordered[int(0.99 * count)]:.1f} ms"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--tls", action="store_true")
    given = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    directory = pathlib.Path(tempfile.mkdtemp(prefix="gorgone-bench-wss-"))
    http_port, port = free_port(), free_port()
    central = Daemon(directory / "central", "central", {"0.0.0.0": "127.0.0.1", "8085": str(http_port)})
    central.make_keys()
    central.allow_all_commands()
    central.severity, central.http_port = "info", http_port
    server, tls = {"enable": True, "address": "127.0.0.1", "port": port, "token": TOKEN}, None
    if given.tls:
        server.update(Certificates(directory / "certificates").issue("localhost", "DNS:localhost"))
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    central.replace_module("proxy", ping=60, httpserver=server)
    nodes = Nodes(given.count, port, tls)

    def until_back(begin):
        until(lambda: len(nodes.answered) == given.count, 300)
        return time.monotonic() - begin

    print(f"{given.count} nodes by {'wss' if given.tls else 'ws'}\n| figure | measured | more |\n| --- | --- | --- |")
    try:
        central.launch()
        central.wait_log(WSS_LINE)
        time.sleep(5)  # what only the start needed has been given back then
        bare = pss_mb(central.process.pid)
        seconds_to_end(central)
        central.nodes(*({"id": identity, "type": "pullwss"} for identity in range(2, given.count + 2)))
        for what, end in (("cold start to all connected", seconds_to_end), ("clean stop and start to all back", Daemon.kill), ("kill -9 and start to all back", None)):
            nodes.answered.clear()
            begin = time.monotonic()
            central.launch()
            if not nodes.is_alive():
                nodes.start()
            spent = until_back(begin)
            print(f"| {what} | {spent:.2f} s | {cpu_s(central.process.pid):.2f} s of CPU, {nodes.refused} attempts refused |", flush=True)
            nodes.refused = 0
            if end:
                stopped = end(central)
                if stopped:
                    print(f"| SIGTERM to gone | {stopped:.2f} s | |", flush=True)
        time.sleep(3)
        mb = pss_mb(central.process.pid)
        print(f"| memory per node | {1024 * (mb - bare) / given.count:.1f} kB | PSS {mb:.1f} MB, {bare:.1f} MB without nodes; "
              f"{len(os.listdir(f'/proc/{central.process.pid}/fd'))} descriptors |", flush=True)
        print(f"| a local command beside them | {latencies(central)} | |")
        before = cpu_s(central.process.pid)
        time.sleep(65)
        print(f"| idle CPU | {100 * (cpu_s(central.process.pid) - before) / 65:.2f} % | 65 s, a ping and a log fetch for each |")
        print(f"\nload average {os.getloadavg()[0]:.1f}")
        print(json.dumps({"threads": len(os.listdir(f"/proc/{central.process.pid}/task"))}))
    finally:
        nodes.is_over = True
        if central.alive():
            central.kill()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
