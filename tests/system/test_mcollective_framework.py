"""The real framework, mcollectived and mco of Debian's packages, over this agent as its broker.

MCOLLECTIVE_CONNECTOR_LIB names the folder that holds mcollective/connector/zeromq.rb, the connector's own files: they are no part of
this project. Without it nothing is run. The packages are installed by `packaging/dependencies.sh --mcollective`, which this test calls.
"""
import json
import os
import pathlib
import re
import subprocess
import time
import unittest

import zmq
from fleet import ROOT, FleetCase, eventually
from pace import SLOWNESS

CONNECTOR = os.environ.get("MCOLLECTIVE_CONNECTOR_LIB")
BROKER_LINE = r"\[mcollective\] the MCollective broker listens on tcp://\S+:(\d+),"
SERVERS = ("web1", "web2", "db1")


@unittest.skipUnless(CONNECTOR, "SKIPPED: MCOLLECTIVE_CONNECTOR_LIB does not name the folder of the connector (its lib/)")
class RealFramework(FleetCase):
    heartbeat_s = 3

    @classmethod
    def setUpClass(cls):
        plugin = pathlib.Path(CONNECTOR) / "mcollective" / "connector" / "zeromq.rb"
        assert plugin.exists(), f"MCOLLECTIVE_CONNECTOR_LIB={CONNECTOR}: expected {plugin} there"
        subprocess.run([ROOT / "packaging" / "dependencies.sh", "--mcollective"], check=True)

    def setUp(self):
        self.broker = self.make_central()
        self.keys = self.directory / "keys"
        self.keys.mkdir()
        self.set_port(0)
        self.start_broker()
        self.set_port(self.port)
        self.servers = {name: self.start_server(name) for name in SERVERS}
        self.configure("operator")
        for name in SERVERS:
            eventually(lambda: self.clients().get(name), 30, f"server {name} connected")

    def tearDown(self):
        for server in self.servers.values():
            server.terminate()
        for server in self.servers.values():
            server.wait()
        super().tearDown()

    def set_port(self, port):
        self.broker.replace_module("mcollective", bind=[f"tcp://127.0.0.1:{port}"], private_key=str(self.keys / "broker.private"),
                                   public_key=str(self.keys / "broker.public"))

    def start_broker(self):
        self.broker.start()
        self.port = int(self.broker.wait_log(BROKER_LINE)[1])

    def clients(self):
        """Connected clients by identity."""
        status, body = self.broker.api().request("GET", "/api/mcollective/clients?log_wait=5000000")
        assert status == 200, body
        rows = [json.loads(row["data"]) for row in body["data"]]
        return {client["identity"]: client for data in rows for client in data.get("clients", [])}

    def configure(self, name):
        public, secret = zmq.curve_keypair()
        (self.keys / f"{name}.public").write_bytes(public + b"\n")
        (self.keys / f"{name}.private").write_bytes(secret + b"\n")
        (self.directory / "facts.yaml").write_text("---\nrole: test\n")
        path = self.directory / f"{name}.cfg"
        path.write_text("\n".join([
            "collectives = mcollective", "main_collective = mcollective", f"libdir = {CONNECTOR}:/usr/share/mcollective/plugins",
            "logger_type = file", f"logfile = {self.directory}/{name}.log", "loglevel = debug", "daemonize = 0", f"identity = {name}",
            "securityprovider = psk", "plugin.psk = unset", "factsource = yaml", f"plugin.yaml = {self.directory}/facts.yaml",
            "direct_addressing = 1", "connector = zeromq", "plugin.zeromq.broker.host = 127.0.0.1",
            f"plugin.zeromq.broker.port = {self.port}", f"plugin.zeromq.broker.public_key = {self.keys}/broker.public",
            f"plugin.zeromq.public_key = {self.keys}/{name}.public", f"plugin.zeromq.private_key = {self.keys}/{name}.private",
            f"plugin.zeromq.heartbeat = {self.heartbeat_s}", ""]))
        return path

    def start_server(self, name):
        config = self.configure(name)
        output = open(self.directory / f"{name}.out", "wb")
        self.addCleanup(output.close)
        return subprocess.Popen(["mcollectived", "--no-daemonize", "--config", config, "--pidfile", self.directory / f"{name}.pid"],
                                stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def mco(self, *arguments):
        command = ["mco", *arguments, "--config", self.directory / "operator.cfg"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60 * SLOWNESS)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stdout}\n{done.stderr}")
        return done.stdout

    def answers(self):
        """Who answers a ping."""
        return sorted(re.findall(r"^(\S+)\s+time=", self.mco("ping", "--timeout", "3"), re.MULTILINE))

    def all_are_there(self):
        self.assertEqual(self.answers(), sorted(SERVERS))
        self.assertEqual([server.poll() for server in self.servers.values()], [None] * len(SERVERS), "servers that ended")

    def log_of(self, name):
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def test_servers_answer_broadcasts_and_direct_requests(self):
        self.all_are_there()
        found = self.mco("rpc", "rpcutil", "ping", "--no-progress", "--with-identity", "db1")
        self.assertIn("db1", found)
        self.assertNotIn("web1", found)

    def test_a_broker_that_is_restarted_is_not_noticed(self):
        for how in (self.broker.stop, self.broker.kill):
            how()
            self.start_broker()
            time.sleep(2)
            self.all_are_there()
        for name in SERVERS:
            self.assertNotIn("Reconnecting", self.log_of(name))

    def test_idle_servers_with_a_short_heartbeat_stay_connected(self):
        time.sleep(20)
        for name in SERVERS:
            self.assertNotIn("Reconnecting", self.log_of(name))
        self.all_are_there()


if __name__ == "__main__":
    unittest.main()
