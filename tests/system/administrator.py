"""An installation as its administrator has it: a real MariaDB that says who the pollers are, the web application's spool and cache, a central, a
remote, a poller behind it and a poller beside it, each with a fake engine that reads its pipe and a fake sudo that writes down what it was asked."""
import os
import pathlib
import stat
import subprocess

from fake_engine import FakeEngine
from fleet import FleetCase, eventually
from mariadb import MariaDb

SUDO = '#!/bin/sh\necho "$@" >> "$FAKE_CALLS"\n'
# The accounts of a Centreon installation, and its /etc/centreon, in a mount namespace of the daemon's own.
ACCOUNTS = {"centreon-gorgone": 9001, "centreon": 9002, "centreon-engine": 9003, "centreon-broker": 9004}


def can_have_accounts():
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


class Installation:
    """The folders of one server, below a directory of the test."""

    def __init__(self, directory):
        self.directory = directory
        self.engine_cfg, self.broker_cfg, self.traps = (directory / name for name in ("centreon-engine", "centreon-broker", "traps"))
        self.calls_file, self.pipe, self.etc = directory / "calls", directory / "centengine.cmd", directory / "etc-centreon"
        for folder in (self.engine_cfg, self.broker_cfg, self.traps, self.etc):
            folder.mkdir(parents=True)
        self.engine = FakeEngine(self.pipe)

    def calls(self):
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []


class AdministratorCase(FleetCase):
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
        remote.edit("id: 3", "id: 2")
        for identity in (1, 2):
            self.equip(identity)
        behind, beside = self.start_poller(remote, 3), self.start_poller(central, 4)
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

    def start_poller(self, parent, identity):
        """A node that runs, for its parent to reach."""
        self.nodes[identity] = self.make_poller(parent.thumbprint(), identity)
        return self.equip(identity).start()

    def equip(self, identity):
        self.nodes[identity].prefix = self.prefix(identity)
        self.nodes[identity].replace_module("engine", package="gorgone::modules::centreon::engine::hooks")
        return self.nodes[identity]

    def make_accounts(self):
        """A folder that stands in for /etc in the daemons' own mount namespace."""
        etc = self.directory / "etc"
        subprocess.run(["cp", "-a", "/etc", etc], check=True)
        (etc / "centreon").mkdir(exist_ok=True)
        for name in ("passwd", "group"):
            file = etc / name
            more = "".join(f"{account}:x:{number}:{number}::/:/bin/sh\n" if name == "passwd" else f"{account}:x:{number}:\n"
                           for account, number in ACCOUNTS.items())
            file.write_text("".join(line + "\n" for line in file.read_text().splitlines() if line.split(":")[0] not in ACCOUNTS) + more)
        return etc

    def prefix(self, identity):
        server = self.installed[identity]
        environment = ["env", f"FAKE_CALLS={server.calls_file}", f"PATH={self.directory / 'programs'}:{os.environ['PATH']}"]
        if not self.accounts:
            return environment
        mounts = f"mount --bind {self.accounts} /etc && mount --bind {server.etc} /etc/centreon"
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
        for name, mode in (("centengine.cfg", 0o660), ("plugins.json", 0o600), ("hosts-1.cfg", 0o640), ("hosts-2.cfg", 0o755)):
            (engine / name).chmod(mode)
        (broker / "central-broker.json").write_text(f'{{"poller": {identity}, "changes": {changes}}}\n')
        # It goes to /etc/centreon, which is the machine's own without them.
        if self.accounts:
            (vmware / "centreon_vmware.json").write_text(f'{{"poller": {identity}, "changes": {changes}}}\n')
        return engine, broker

    def write(self, *lines, file="centcore.cmd"):
        path = self.spool / file
        with open(path, "a") as spool:
            spool.write("".join(line + "\n" for line in lines))

    def same(self, source, destination):
        """All of the source's files are at the destination."""
        return all((destination / file.name).exists() and (destination / file.name).read_bytes() == file.read_bytes() for file in source.iterdir())

    def modes(self, folder, names):
        return {name: stat.S_IMODE((folder / name).stat().st_mode) for name in names}

    def assert_modes(self, source, destination):
        names = [file.name for file in source.iterdir()]
        self.assertEqual(self.modes(destination, names), self.modes(source, names))

    def skip_without_accounts(self):
        """At the end of a test: all but the owners was right."""
        if not self.accounts:
            self.skipTest("owners were not looked at, all else was right: accounts of their own need root and mount namespaces")

    def owned_by(self, path, account, group=None):
        if self.accounts:
            owners = ACCOUNTS[account], ACCOUNTS[group or account]
            self.assertEqual((path.stat().st_uid, path.stat().st_gid), owners, f"{path}, expected {account} and {group or account}")

    def assert_vmware(self, identity):
        """Its file of the last export, with owner, group and mode."""
        if not self.accounts:
            return
        there = self.installed[identity].etc / "centreon_vmware.json"
        self.assertEqual(there.read_text(), (self.cache / "config" / "vmware" / str(identity) / "centreon_vmware.json").read_text())
        self.owned_by(there, "centreon-gorgone", "centreon")
        self.assertEqual(stat.S_IMODE(there.stat().st_mode), 0o644)
