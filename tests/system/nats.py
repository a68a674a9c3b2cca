#!/usr/bin/env python3
"""A cluster of real nats-servers of Debian's package, with JetStream, on loopback and ports that were free, in a directory of its own.

    cluster = NatsCluster(directory)         # of three; or NatsCluster(directory, 1), NatsCluster(directory, user="u", password="p"), NatsCluster(directory, token="t"),
                                             # NatsCluster(directory, tls=Certificates(...).issue("nats", "DNS:localhost")), which ask() does not speak,
                                             # with a member "clients_ca": clients must have a certificate of it,
                                             # NatsCluster(directory, 1, operator=Operator()) of nats_operator.py
    cluster.start()                          # and waits until JetStream answers
    cluster.urls, cluster.stop(), cluster.kill(0), cluster.start(0), cluster.freeze(0), cluster.thaw(0)
    cluster.wipe(0)                          # what a server that does not run has stored
    cluster.ask("$JS.API.STREAM.INFO.x")     # JSON in, JSON out, by the first server that runs
    cluster.connections(0)                   # what a server knows of its clients, with their subscriptions

It ends with the test's process at the latest. The logs are nats-N.log in the directory. As a program,

    nats.py DIRECTORY [SERVERS]

it starts one, prints a line of JSON that describes it, and does what it reads: start, stop, kill, freeze, thaw or wipe with or without a number,
or ask SUBJECT JSON, each answered by a line of JSON; it ends with its input. That is how tests in other languages use it.
"""
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

from pace import SLOWNESS, clock
from ports import free_ports


def program():
    found = shutil.which("nats-server", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not found:
        raise AssertionError("nats-server is missing: packaging/dependencies.sh --tests installs it")
    return found


def end_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class NatsCluster:
    def __init__(self, directory, servers=3, user=None, password=None, tls=None, operator=None, token=None):
        self.directory = pathlib.Path(directory).resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.user, self.password, self.tls, self.operator, self.token = user, password, tls, operator, token
        ports = free_ports(3 * servers)
        self.ports, routes, self.monitors = ports[:servers], ports[servers:2 * servers], ports[2 * servers:]
        self.processes = [None] * servers
        for place in range(servers):
            value = {
                "server_name": f"n{place}", "listen": f"127.0.0.1:{self.ports[place]}", "http": f"127.0.0.1:{self.monitors[place]}",
                "jetstream": {"store_dir": str(self.directory / f"store-{place}"), "max_memory_store": 64 << 20, "max_file_store": 64 << 30},
            }
            if servers > 1:
                value["cluster"] = {"name": "test", "listen": f"127.0.0.1:{routes[place]}",
                                    "routes": [f"nats-route://127.0.0.1:{port}" for port in routes]}
            if user:
                value["authorization"] = {"user": user, "password": password}
            if token:
                value["authorization"] = {"token": token}
            if operator:
                value.update(operator.settings)
            if tls:
                value["tls"] = {"cert_file": tls["ssl_cert_file"], "key_file": tls["ssl_key_file"]}
                if "clients_ca" in tls:
                    value["tls"].update({"ca_file": tls["clients_ca"], "verify": True})
            # Its configuration is a superset of JSON, but for the outermost braces.
            text = "\n".join(f"{key}: {json.dumps(member)}" for key, member in value.items())
            (self.directory / f"nats-{place}.conf").write_text(text + "\n")

    @property
    def urls(self):
        return [f"tls://localhost:{port}" if self.tls else f"nats://127.0.0.1:{port}" for port in self.ports]

    # Life

    def start(self, place=None, timeout=30):
        for each in range(len(self.ports)) if place is None else [place]:
            if self.processes[each] is not None:
                continue
            with open(self.directory / f"nats-{each}.log", "ab") as log:
                self.processes[each] = subprocess.Popen([program(), "-c", str(self.directory / f"nats-{each}.conf")], stdin=subprocess.DEVNULL,
                                                        stdout=log, stderr=log, preexec_fn=end_with_parent)
        end = clock() + timeout
        if not self.tls:
            while not self.is_ready():
                for each, process in enumerate(self.processes):
                    assert process is None or process.poll() is None, \
                        f"nats-server {each} ended with {process.returncode}:\n{(self.directory / f'nats-{each}.log').read_text()[-2000:]}"
                assert clock() < end, f"JetStream did not answer within {timeout} s, see {self.directory}/nats-*.log"
                time.sleep(0.1)
        return self

    def is_ready(self):
        """Most of the servers run, know each other and have chosen a leader."""
        try:
            answer = self.ask("$JS.API.INFO", timeout=1)
        except (OSError, AssertionError):
            return False
        return answer is not None and "error" not in answer

    def stop(self, place=None):
        self.end(place, signal.SIGTERM)

    def kill(self, place=None):
        self.end(place, signal.SIGKILL)

    def end(self, place, how):
        for each in range(len(self.ports)) if place is None else [place]:
            if self.processes[each] is not None:
                self.processes[each].send_signal(signal.SIGCONT)
                self.processes[each].send_signal(how)
        for each in range(len(self.ports)) if place is None else [place]:
            process, self.processes[each] = self.processes[each], None
            if process is None:
                continue
            try:
                process.wait(10 * SLOWNESS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def freeze(self, place):
        """It takes connections still, by its kernel, and says nothing."""
        self.processes[place].send_signal(signal.SIGSTOP)

    def thaw(self, place):
        self.processes[place].send_signal(signal.SIGCONT)

    def wipe(self, place):
        assert self.processes[place] is None, f"nats-server {place} runs"
        shutil.rmtree(self.directory / f"store-{place}")

    # Use

    def ask(self, subject, question=None, timeout=5):
        """One question to the first server that runs; None where nobody answers in time."""
        place = next((each for each, process in enumerate(self.processes) if process is not None), None)
        assert place is not None, "no nats-server runs"
        payload = json.dumps(question).encode() if question is not None else b""
        greeting = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True}
        if self.user:
            greeting.update({"user": self.user, "pass": self.password})
        if self.token:
            greeting["auth_token"] = self.token
        with socket.create_connection(("127.0.0.1", self.ports[place]), timeout * SLOWNESS) as connection:
            connection.settimeout(timeout * SLOWNESS)
            stream = connection.makefile("rwb")
            about = json.loads(stream.readline().split(b" ", 1)[1])  # INFO
            if self.operator:
                greeting.update(self.operator.greeting(about["nonce"]))
            stream.write(b"CONNECT " + json.dumps(greeting).encode() + b"\r\nSUB answer 1\r\n" +
                         f"PUB {subject} answer {len(payload)}\r\n".encode() + payload + b"\r\n")
            stream.flush()
            while True:
                try:
                    line = stream.readline()
                except TimeoutError:
                    return None
                if not line:
                    return None
                if line.startswith(b"-ERR"):
                    raise AssertionError(line.decode().strip())
                if line.startswith(b"PING"):
                    stream.write(b"PONG\r\n")
                    stream.flush()
                if line.startswith(b"MSG"):
                    return json.loads(stream.read(int(line.split()[-1])))
                if line.startswith(b"HMSG"):  # nobody is there to answer
                    return None

    def stream(self, name):
        """State of a stream: messages, bytes; None where there is none."""
        answer = self.ask(f"$JS.API.STREAM.INFO.{name}")
        return answer["state"] if answer and "state" in answer else None

    def info(self, name):
        """All that the servers tell of a stream."""
        answer = self.ask(f"$JS.API.STREAM.INFO.{name}")
        assert answer is not None and "config" in answer, f"stream {name}: {answer}"
        return answer

    def connections(self, place=0):
        """Clients of a server: name, out_msgs (sent to it), out_bytes, subscriptions_list, …, the oldest connection first."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitors[place]}/connz?subs=1", timeout=5 * SLOWNESS) as answer:
            return sorted(json.load(answer)["connections"], key=lambda connection: connection["cid"])

    def streams(self):
        answer = self.ask("$JS.API.STREAM.NAMES")
        return sorted((answer or {}).get("streams") or [])


def serve(cluster):
    def answer(value):
        print(json.dumps(value), flush=True)

    cluster.start()
    answer({"urls": cluster.urls})
    try:
        for line in sys.stdin:
            words = line.split(None, 2)
            if words[0] == "ask":
                answer(cluster.ask(words[1], json.loads(words[2]) if len(words) > 2 else None))
            else:
                getattr(cluster, words[0])(*(int(word) for word in words[1:]))
                answer(None)
    finally:
        cluster.kill()


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    serve(NatsCluster(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3))
