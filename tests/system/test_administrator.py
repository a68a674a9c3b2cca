"""What a central is for, as its administrator sees it: the web application exports a configuration and sends commands by its spool, and everything
arrives at the pollers, of this daemon and of a deployed one."""
import os
import stat
import unittest

from administrator import AdministratorCase
from deployed_poller import DeployedPoller  # found by way of fleet
from fleet import eventually
from mariadb import MariaDb
from protocol import draw_key
from shared_peer import MISSING, SHARED, SharedPeer


class Administrator(AdministratorCase):
    def test_an_export_and_a_reload_reach_each_poller_in_this_order(self):
        for identity in (2, 3, 4):
            engine, broker = self.export(identity)
            server = self.installed[identity]
            self.write(f"SENDCFGFILE:{identity}", f"ENGINERELOAD:{identity}", f"RELOADBROKER:{identity}")
            eventually(lambda: self.same(engine, server.engine_cfg) and self.same(broker, server.broker_cfg), 20, f"the configuration of {identity}")
            eventually(lambda: len(server.calls()) >= 3, 20, f"the reloads of {identity}, not {server.calls()}")
            # An ACTIONENGINE and a COMMAND run side by side.
            self.assertEqual(sorted(server.calls()), ["service cbd reload", "service centengine reload", "systemctl restart centreon_vmware.service"])
            for exported, there, account in ((engine, server.engine_cfg, "centreon-engine"), (broker, server.broker_cfg, "centreon-broker")):
                self.assert_modes(exported, there)
                for file in exported.iterdir():
                    self.owned_by(there / file.name, account)
            # Its copy was taken before the others.
            self.assert_vmware(identity)
        # Again, with one file changed and one that only the poller has.
        local = self.installed[4].engine_cfg / "local.cfg"
        local.write_text("mine\n")
        engine, _ = self.export(4, changes=2)
        self.write("SENDCFGFILE:4", "ENGINERESTART:4", file="centcore/1700000000-export.cmd")
        eventually(lambda: "service centengine restart" in self.installed[4].calls(), 20, "the restart")
        self.assertTrue(self.same(engine, self.installed[4].engine_cfg), "the engine was restarted before its configuration was there")
        self.assertEqual(local.read_text(), "mine\n")
        eventually(lambda: not any((self.spool / "centcore").iterdir()), 10, "the end of the spool's file")
        self.assert_modes(engine, self.installed[4].engine_cfg)
        self.assert_vmware(4)
        self.skip_without_accounts()

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
        self.skip_without_accounts()

    def test_what_cannot_be_done_is_told_and_holds_up_nothing(self):
        self.write("SENDCFGFILE:4", "EXTERNALCMD:77:x", "NONSENSE", "NOSUCHCOMMAND:4:x", "EXTERNALCMD:4:[1] AFTER")
        eventually(lambda: self.installed[4].engine.lines == ["[1] AFTER"], 20, "the line behind those that fail")
        central = self.nodes[1]
        for expression in (r"- \[legacycmd\] .*77", r"- \[legacycmd\] .*NONSENSE", r"- \[legacycmd\] .*NOSUCHCOMMAND", r"- \[legacycmd\] .*config/engine/4"):
            central.wait_log(r"(WARNING|ERROR) " + expression)
        eventually(lambda: not (self.spool / "centcore.cmd_read").exists(), 10, "the end of the file")


class Exports(AdministratorCase):
    """A remote has a database, a spool and a worker of its own."""

    def setUp(self):
        super().setUp()
        remote = self.nodes[2]
        remote.stop()
        self.own = MariaDb(self.directory / "mariadb-remote").start()
        self.addCleanup(self.own.stop)
        self.own.create_centreon("26").configure(remote)
        self.there, self.worker_calls = self.directory / "remote-data", self.directory / "worker-calls"
        program = self.directory / "centreon" / "bin" / "centreon"
        program.parent.mkdir(parents=True)
        # What it finds there when it runs, too.
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {self.worker_calls}\nls {self.there} >> {self.worker_calls}\n'
                           f'echo "the worker" >> "$FAKE_CALLS"\n')
        program.chmod(0o755)
        remote.configure("70-tpapi", {"tpapi": [{"name": "clapi", "username": "admin", "password": "clapi-password"}]})
        spool = self.directory / "remote-spool"
        (spool / "centcore").mkdir(parents=True)
        remote.replace_module("legacycmd", package="gorgone::modules::centreon::legacycmd::hooks", cmd_file=str(spool / "centcore.cmd"),
                              cmd_dir=str(spool / "centcore") + "/", centreon_dir=str(self.directory / "centreon"))
        remote.start()
        self.wait_seen(self.nodes[1], 2)

    def test_an_export_for_a_remote_is_copied_and_its_import_task_its_worker_and_its_reload_follow(self):
        export = self.cache / "config" / "export" / "2"
        export.mkdir(parents=True)
        for name, size, mode in (("hosts.infile", 2_000_000, 0o640), ("manifest.json", 100, 0o664)):
            (export / name).write_bytes(os.urandom(size))
            (export / name).chmod(mode)
        self.write("SENDEXPORTFILE:2:77")
        remote = self.installed[2]
        eventually(lambda: len(remote.calls()) >= 2, 30, f"the worker and the reload, not {remote.calls()}")
        self.assertEqual(remote.calls(), ["the worker", "service cbd reload"])
        self.assertTrue(self.same(export, self.there))
        self.assert_modes(export, self.there)
        for file in (self.there, *self.there.iterdir()):
            self.owned_by(file, "centreon")
        self.assertEqual(self.worker_calls.read_text().splitlines(),
                         ["-u admin -p clapi-password -w -o CentreonWorker -a processQueue", "hosts.infile", "manifest.json"])
        task = "SELECT type, status, parent_id FROM task"
        self.assertEqual(self.own.execute(task), [["import", "pending", "77"]])
        self.assertEqual(self.database.execute(task), [], "the task is the remote's, not the central's")
        eventually(lambda: not self.nodes[1].database_rows("gorgone_outbox"), 10, "an empty outbox")
        self.skip_without_accounts()


class DeployedPollers(AdministratorCase):
    """The same with pollers that behave as deployed daemons do: one behind our remote, one beside it."""
    faults = {}

    def start_poller(self, parent, identity):
        poller = DeployedPoller(draw_key(), [parent.thumbprint()], self.directory / f"deployed-{identity}", node_id=identity, **self.faults).start()
        self.addCleanup(poller.stop)
        self.nodes[identity] = poller
        return poller

    def export_all(self, identity, changes=1):
        folders = self.export(identity, changes)
        vmware = self.cache / "config" / "vmware" / str(identity) / "centreon_vmware.json"
        vmware.write_text(f'{{"changes": {changes}}}')
        return (*folders, vmware)

    def configured(self, identity, engine, broker, vmware):
        """Whether an export is where it belongs, below the poller's own root."""
        poller, server = self.nodes[identity], self.installed[identity]
        there = poller.at("/etc/centreon/centreon_vmware.json")
        return (self.same(engine, poller.at(server.engine_cfg)) and self.same(broker, poller.at(server.broker_cfg))
                and there.exists() and there.read_text() == vmware.read_text())

    def test_an_export_and_a_reload_arrive_in_this_order_with_the_owners_that_belong_to_them(self):
        for identity in (3, 4):
            poller, server = self.nodes[identity], self.installed[identity]
            exported = self.export_all(identity)
            self.write(f"SENDCFGFILE:{identity}", f"ENGINERELOAD:{identity}", f"RELOADBROKER:{identity}")
            eventually(lambda: self.configured(identity, *exported), 20, f"the configuration of {identity}")
            eventually(lambda: len(poller.calls) >= 3, 20, f"the reloads of {identity}, not {poller.calls}")
            self.assertEqual(poller.copies, {
                "/etc/centreon/centreon_vmware.json": ("regular", "centreon-gorgone", "centreon", None),
                f"{server.engine_cfg}/": ("archive", "centreon-engine", "centreon-engine", None),
                f"{server.broker_cfg}/": ("archive", "centreon-broker", "centreon-broker", None)})
            self.assertEqual(poller.calls, [("ACTIONENGINE", "sudo systemctl restart centreon_vmware.service", None),
                                            ("ACTIONENGINE", "sudo service centengine reload", f"{server.engine_cfg}/plugins.json"),
                                            ("COMMAND", "sudo service cbd reload", None)])
            actions = [message.kind for message in poller.taken]
            last_piece = len(actions) - 1 - actions[::-1].index("PROCESSCOPY")
            self.assertLess(last_piece, actions.index("ACTIONENGINE"), "the engine was reloaded before its configuration was there")

    def test_external_commands_and_traps_arrive(self):
        count = 200
        for identity in (3, 4):
            (self.trap_cache / str(identity)).mkdir(parents=True)
            (self.trap_cache / str(identity) / "centreontrapd.sdb").write_bytes(os.urandom(400_000))
            self.write(f"SYNCTRAP:{identity}", f"RELOADCENTREONTRAPD:{identity}",
                       *(f"EXTERNALCMD:{identity}:[1700000000] SCHEDULE_FORCED_SVC_CHECK;host;service {number};1" for number in range(count)))
        for identity in (3, 4):
            poller, server = self.nodes[identity], self.installed[identity]
            eventually(lambda: len(poller.external) >= count, 30, f"the commands for {identity}, {len(poller.external)} now")
            self.assertEqual(poller.external, [(str(server.pipe), f"[1700000000] SCHEDULE_FORCED_SVC_CHECK;host;service {number};1") for number in range(count)])
            eventually(lambda: poller.calls, 20, "the reload of the traps")
            self.assertEqual(poller.calls, [("COMMAND", "sudo service centreontrapd reload", None)])
            self.assertEqual(poller.copies, {f"{server.traps}/centreontrapd.sdb": ("regular", "centreon", "centreon", "0664")})
            self.assertEqual(poller.at(server.traps / "centreontrapd.sdb").read_bytes(), (self.trap_cache / str(identity) / "centreontrapd.sdb").read_bytes())


class FaultyPollers(DeployedPollers):
    """They renew their keys and lose their sessions all the time: nothing is lost, and what their answers were lost for may come twice."""
    faults = {"rotate_every": 3, "forget_every": 7}
    test_an_export_and_a_reload_arrive_in_this_order_with_the_owners_that_belong_to_them = None
    test_external_commands_and_traps_arrive = None

    def test_an_export_and_commands_arrive(self):
        exported = {identity: self.export_all(identity) for identity in (3, 4)}
        for identity in (3, 4):
            self.write(f"SENDCFGFILE:{identity}", *(f"EXTERNALCMD:{identity}:[1] COMMAND {number}" for number in range(30)), f"ENGINERELOAD:{identity}")
        for identity in (3, 4):
            poller = self.nodes[identity]
            eventually(lambda: self.configured(identity, *exported[identity]), 60, f"the configuration of {identity}")
            eventually(lambda: len(poller.calls) >= 2, 60, f"the reloads of {identity}, not {poller.calls}")
            eventually(lambda: len(dict.fromkeys(line for _, line in poller.external)) == 30, 60, "all external commands")
            self.assertGreater(poller.greetings, 1, "it has lost no session")
            self.assertEqual(list(dict.fromkeys(line for _, line in poller.external)), [f"[1] COMMAND {number}" for number in range(30)])


@unittest.skipUnless(SHARED.is_dir(), MISSING)
class OtherPollers(AdministratorCase):
    """The same with pollers that another implementation of the protocol plays: one behind our remote, one beside it."""

    def start_poller(self, parent, identity):
        peer = SharedPeer(self.make_poller("x", identity), parent.thumbprint(), identity)
        peer.words = [*self.prefix(identity), *peer.words]
        self.addCleanup(peer.stop)
        self.nodes[identity] = peer.start()
        return peer

    def came(self, identity, action, count=1):
        """The contents of all messages of an action, in their order, from the rows that the poller has of them."""
        peer, api, contents = self.nodes[identity], self.nodes[1].api(), []
        eventually(lambda: len(peer.taken(action)) >= count, 30, f"{action} for {identity}, not {dict(peer.taken(action))}")
        for token, times in peer.taken(action).items():
            self.assertEqual(times, 1, f"{action} {token} came {times} times")

            def look():
                data = [row["data"] for row in api.log(identity, token)]
                return [row.get("content") or row["request_content"] for row in data if "content" in row or "request_content" in row]

            contents += eventually(look, 30, f"the rows of {action} {token} of {identity}")[:1]
        return contents

    def test_an_export_and_its_reloads_arrive_in_this_order(self):
        for identity in (3, 4):
            peer, server = self.nodes[identity], self.installed[identity]
            engine, broker = self.export(identity)
            self.write(f"SENDCFGFILE:{identity}", f"ENGINERELOAD:{identity}", f"RELOADBROKER:{identity}")
            eventually(lambda: self.same(engine, server.engine_cfg) and self.same(broker, server.broker_cfg), 30, f"the configuration of {identity}")
            self.assertEqual([content["command"] for content in self.came(identity, "ACTIONENGINE", 2)],
                             ["sudo systemctl restart centreon_vmware.service", "sudo service centengine reload"])
            self.assertEqual(self.came(identity, "ACTIONENGINE", 2)[1]["plugins"], f"{server.engine_cfg}/plugins.json")
            self.assertEqual([item["command"] for content in self.came(identity, "COMMAND") for item in content], ["sudo service cbd reload"])
            actions = peer.actions()
            last_piece = len(actions) - 1 - actions[::-1].index("PROCESSCOPY")
            self.assertLess(last_piece, actions.index("ACTIONENGINE"), "the engine was reloaded before its configuration was there")
            if self.accounts:
                self.assertEqual((server.etc / "centreon_vmware.json").read_text(),
                                 (self.cache / "config" / "vmware" / str(identity) / "centreon_vmware.json").read_text())

    def test_external_commands_and_traps_arrive(self):
        count = 120
        for identity in (3, 4):
            (self.trap_cache / str(identity)).mkdir(parents=True)
            (self.trap_cache / str(identity) / "centreontrapd.sdb").write_bytes(os.urandom(400_000))
            self.write(f"SYNCTRAP:{identity}", f"RELOADCENTREONTRAPD:{identity}",
                       *(f"EXTERNALCMD:{identity}:[1700000000] SCHEDULE_FORCED_SVC_CHECK;host;service {number};1" for number in range(count)))
        for identity in (3, 4):
            server = self.installed[identity]
            there = server.traps / "centreontrapd.sdb"
            self.assertEqual([item["command"] for content in self.came(identity, "COMMAND") for item in content], ["sudo service centreontrapd reload"])
            self.assertEqual(there.read_bytes(), (self.trap_cache / str(identity) / "centreontrapd.sdb").read_bytes())

            def lines():
                return [line for content in self.came(identity, "ENGINECOMMAND") for text in content["commands"] for line in text.split("\n")]

            eventually(lambda: len(lines()) >= count, 30, f"the commands for {identity}")
            self.assertEqual(lines(), [f"[1700000000] SCHEDULE_FORCED_SVC_CHECK;host;service {number};1" for number in range(count)])
            self.assertEqual({content["command_file"] for content in self.came(identity, "ENGINECOMMAND")}, {str(server.pipe)})


if __name__ == "__main__":
    unittest.main()
