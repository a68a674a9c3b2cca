"""What a central is for, as its administrator sees it: the web application exports a configuration and sends commands by its spool, a real
MariaDB says who the pollers are, and everything arrives at a remote, a poller behind it and a poller beside it, each with a fake engine that
reads its pipe and a fake sudo that writes down what it was asked."""
import os
import pathlib
import stat
import subprocess
import sys
import unittest

from fake_engine import FakeEngine
from fleet import FleetCase, eventually
from mariadb import MariaDb

SUDO = '#!/bin/sh\necho "$@" >> "$FAKE_CALLS"\n'
# The accounts of a Centreon installation, in a mount namespace of the daemon's own.
ACCOUNTS = {"centreon-gorgone": 9001, "centreon": 9002, "centreon-engine": 9003, "centreon-broker": 9004}


def can_have_accounts():
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


class Installation:
    """The folders of one server, below a directory of the test."""

    def __init__(self, directory):
        self.directory = directory
        self.engine_cfg, self.broker_cfg, self.traps = (directory / name for name in ("centreon-engine", "centreon-broker", "traps"))
        self.calls_file, self.pipe = directory / "calls", directory / "centengine.cmd"
        for folder in (self.engine_cfg, self.broker_cfg, self.traps):
            folder.mkdir(parents=True)
        self.engine = FakeEngine(self.pipe)

    def calls(self):
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []


class Administrator(FleetCase):
    """Central 1, remote 2, poller 3 behind it, poller 4 beside it."""

    def setUp(self):
        self.installed, self.nodes = {}, {}
        self.accounts = self.make_accounts() if can_have_accounts() else None
        (self.directory / "programs").mkdir()
        sudo = self.directory / "programs" / "sudo"
        sudo.write_text(SUDO)
        sudo.chmod(0o755)
        for identity in (1, 2, 3, 4):
            self.installed[identity] = Installation(self.directory / f"server-{identity}")
            self.addCleanup(self.installed[identity].engine.stop)

        self.database = MariaDb(self.directory / "mariadb").start()
        self.addCleanup(self.database.stop)
        self.database.create_centreon("26")
        for identity, server in self.installed.items():
            self.database.execute(
                f"UPDATE nagios_server SET centreonbroker_cfg_path = '{server.broker_cfg}', snmp_trapd_path_conf = '{server.traps}/' WHERE id = {identity};"
                f"UPDATE cfg_nagios SET cfg_dir = '{server.engine_cfg}', command_file = '{server.pipe}' "
                f"WHERE nagios_server_id = {identity} AND nagios_activate = '1'")

        self.cache, self.spool, self.trap_cache = (self.directory / name for name in ("cache", "spool", "trap-cache"))
        (self.spool / "centcore").mkdir(parents=True)
        central = self.nodes[1] = self.make_central()
        remote = self.nodes[2] = self.make_remote(central.thumbprint())
        behind = self.nodes[3] = self.make_poller(remote.thumbprint(), 3)
        beside = self.nodes[4] = self.make_poller(central.thumbprint(), 4)
        remote.edit("id: 3", "id: 2")
        for identity, node in self.nodes.items():
            node.prefix = self.prefix(identity)
            node.replace_module("engine", package="gorgone::modules::centreon::engine::hooks")
        behind.start()
        beside.start()
        remote.nodes(behind.node(3))
        remote.start()
        for node, identity in ((remote, 2), (beside, 4)):
            self.database.execute(f"UPDATE nagios_server SET gorgone_port = {node.port} WHERE id = {identity}")
        self.database.configure(central)
        central.replace_module("nodes", package="gorgone::modules::centreon::nodes::hooks")
        central.replace_module(
            "legacycmd", package="gorgone::modules::centreon::legacycmd::hooks", cmd_file=str(self.spool / "centcore.cmd"),
            cmd_dir=str(self.spool / "centcore") + "/", cache_dir=str(self.cache), cache_dir_trap=str(self.trap_cache),
            remote_dir=str(self.directory / "remote-data"))
        central.start()
        for identity in (2, 4):
            self.wait_seen(central, identity)
        eventually(lambda: "3" in str(central.api().nodes()["2"]["nodes"]), 15, "the poller behind the remote")

    def make_accounts(self):
        """Files that stand in for /etc/passwd and /etc/group in the daemons' own mount namespace."""
        files = {}
        for name in ("passwd", "group"):
            files[name] = self.directory / name
            own = pathlib.Path("/etc", name).read_text()
            more = "".join(f"{account}:x:{number}:{number}::/:/bin/sh\n" if name == "passwd" else f"{account}:x:{number}:\n"
                           for account, number in ACCOUNTS.items())
            files[name].write_text("".join(line + "\n" for line in own.splitlines() if line.split(":")[0] not in ACCOUNTS) + more)
        return files

    def prefix(self, identity):
        server = self.installed[identity]
        environment = ["env", f"FAKE_CALLS={server.calls_file}", f"PATH={self.directory / 'programs'}:{os.environ['PATH']}"]
        if not self.accounts:
            return environment
        mounts = " && ".join(f"mount --bind {file} /etc/{name}" for name, file in self.accounts.items())
        return [*environment, "unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh"]

    def export(self, identity, changes=1):
        """The configuration of a poller, where the web application leaves it."""
        engine, broker, vmware = (self.cache / "config" / kind / str(identity) for kind in ("engine", "broker", "vmware"))
        for folder in (engine, broker, vmware):
            folder.mkdir(parents=True, exist_ok=True)
        for number in range(40):
            (engine / f"hosts-{number}.cfg").write_text(f"define host {{ host_name {identity}-{number}-{changes} }}\n" * 50)
        (engine / "centengine.cfg").write_text(f"# {changes}\n")
        (engine / "plugins.json").write_text("{}")
        (broker / "central-broker.json").write_text(f'{{"poller": {identity}, "changes": {changes}}}\n')
        return engine, broker

    def write(self, *lines, file="centcore.cmd"):
        path = self.spool / file
        with open(path, "a") as spool:
            spool.write("".join(line + "\n" for line in lines))

    def same(self, source, destination):
        """All of the source's files are at the destination."""
        return all((destination / file.name).exists() and (destination / file.name).read_bytes() == file.read_bytes() for file in source.iterdir())

    def owned_by(self, path, account):
        if self.accounts:
            self.assertEqual((path.stat().st_uid, path.stat().st_gid), (ACCOUNTS[account], ACCOUNTS[account]), f"{path}, expected {account}")

    def test_an_export_and_a_reload_reach_each_poller_in_this_order(self):
        if not self.accounts:
            print("not checked: owners, for this machine gives no mount namespaces to us", file=sys.stderr)
        for identity in (2, 3, 4):
            engine, broker = self.export(identity)
            server = self.installed[identity]
            self.write(f"SENDCFGFILE:{identity}", f"ENGINERELOAD:{identity}", f"RELOADBROKER:{identity}")
            eventually(lambda: self.same(engine, server.engine_cfg) and self.same(broker, server.broker_cfg), 20, f"the configuration of {identity}")
            eventually(lambda: len(server.calls()) >= 3, 20, f"the reloads of {identity}, not {server.calls()}")
            # An ACTIONENGINE and a COMMAND run side by side.
            self.assertEqual(sorted(server.calls()), ["service cbd reload", "service centengine reload", "systemctl restart centreon_vmware.service"])
            self.owned_by(server.engine_cfg / "hosts-7.cfg", "centreon-engine")
            self.owned_by(server.broker_cfg / "central-broker.json", "centreon-broker")
        # Again, with one file changed and one that only the poller has.
        local = self.installed[4].engine_cfg / "local.cfg"
        local.write_text("mine\n")
        engine, _ = self.export(4, changes=2)
        self.write("SENDCFGFILE:4", "ENGINERESTART:4", file="centcore/1700000000-export.cmd")
        eventually(lambda: "service centengine restart" in self.installed[4].calls(), 20, "the restart")
        self.assertTrue(self.same(engine, self.installed[4].engine_cfg), "the engine was restarted before its configuration was there")
        self.assertEqual(local.read_text(), "mine\n")
        eventually(lambda: not any((self.spool / "centcore").iterdir()), 10, "the end of the spool's file")

    def test_external_commands_arrive_once_and_in_order_at_each_poller(self):
        count = 300
        for number in range(count):
            self.write(*(f"EXTERNALCMD:{identity}:[1700000000] SCHEDULE_FORCED_SVC_CHECK;host;service {number};1" for identity in (2, 3, 4)),
                       file=f"centcore/{number // 100}.cmd")
        for identity in (2, 3, 4):
            lines = self.installed[identity].engine.lines
            eventually(lambda: len(lines) >= count, 30, f"the commands for {identity}, {len(lines)} now")
            self.assertEqual([line.split("service ")[1].split(";")[0] for line in lines], [str(number) for number in range(count)])

    def test_traps_commands_and_what_the_local_server_gets(self):
        for identity in (3, 4):
            (self.trap_cache / str(identity)).mkdir(parents=True)
            (self.trap_cache / str(identity) / "centreontrapd.sdb").write_bytes(os.urandom(50_000))
            self.write(f"SYNCTRAP:{identity}", f"RELOADCENTREONTRAPD:{identity}")
        for identity in (3, 4):
            server = self.installed[identity]
            eventually(lambda: server.calls() == ["service centreontrapd reload"], 20, f"the reload of the traps of {identity}: {server.calls()}")
            there = server.traps / "centreontrapd.sdb"
            self.assertEqual(there.read_bytes(), (self.trap_cache / str(identity) / "centreontrapd.sdb").read_bytes())
            self.assertEqual(stat.S_IMODE(there.stat().st_mode), 0o664)
            self.owned_by(there, "centreon")
        self.write("START:4", "STOP:3", "RESTART:1", "EXTERNALCMD:1:[1] LOCAL")
        eventually(lambda: self.installed[4].calls()[-1] == "service centengine start", 20, "START")
        eventually(lambda: self.installed[3].calls()[-1] == "service centengine stop", 20, "STOP")
        eventually(lambda: "service centengine restart" in self.installed[1].calls(), 20, "RESTART of the central's own")
        eventually(lambda: self.installed[1].engine.lines == ["[1] LOCAL"], 20, "a command for the central's own engine")

    def test_what_cannot_be_done_is_told_and_holds_up_nothing(self):
        self.write("SENDCFGFILE:4", "EXTERNALCMD:77:x", "NONSENSE", "NOSUCHCOMMAND:4:x", "EXTERNALCMD:4:[1] AFTER")
        eventually(lambda: self.installed[4].engine.lines == ["[1] AFTER"], 20, "the line behind those that fail")
        central = self.nodes[1]
        for expression in (r"- \[legacycmd\] .*77", r"- \[legacycmd\] .*NONSENSE", r"- \[legacycmd\] .*NOSUCHCOMMAND", r"- \[legacycmd\] .*config/engine/4"):
            central.wait_log(r"(WARNING|ERROR) " + expression)
        eventually(lambda: not (self.spool / "centcore.cmd_read").exists(), 10, "the end of the file")


if __name__ == "__main__":
    unittest.main()
