"""The module legacycmd: Centreon's spool, a real MariaDB, real pollers with a fake engine and a fake sudo."""
import json
import os
import pathlib
import random
import shutil
import sqlite3
import time
import unittest

from api import codes
from fake_engine import FakeEngine
from fleet import FleetCase, eventually
from mariadb import MariaDb
from pace import SLOWNESS

SECRET = "clapi-pass'word\"$1"
PROGRAM = '#!/bin/sh\nprintf "%s\\n" "$*" >> {calls}.$NODE\n'


class SpoolCase(FleetCase):
    pollers = (3, 4)
    options = {}

    def setUp(self):
        self.programs = self.directory / "programs"
        self.programs.mkdir()
        self.calls = self.directory / "calls"
        self.program("sudo", PROGRAM.format(calls=self.calls))
        (self.directory / "centreon" / "bin").mkdir(parents=True)
        self.program(self.directory / "centreon" / "bin" / "centreon", PROGRAM.format(calls=str(self.calls) + ".worker") + 'echo "said: $*"\n')
        old = os.environ["PATH"]
        os.environ["PATH"] = f"{self.programs}:{old}"
        self.addCleanup(os.environ.__setitem__, "PATH", old)

        self.database = MariaDb(self.directory / "database").start()
        self.addCleanup(self.database.stop)
        self.database.create_centreon()
        self.engines = {}
        for poller in self.pollers:
            pipe = self.directory / f"engine-{poller}.cmd"
            self.database.execute(f"UPDATE cfg_nagios SET command_file = '{pipe}' WHERE nagios_server_id = {poller} AND nagios_activate = '1'")
            self.engines[poller] = FakeEngine(pipe)
            self.addCleanup(self.engines[poller].stop)

        self.spool = self.directory / "spool"
        self.cmd_dir, self.cmd_file = self.spool / "centcore", self.spool / "centcore.cmd"
        self.cmd_dir.mkdir(parents=True)
        self.cache = self.directory / "cache"
        self.central = self.make_central()
        self.database.configure(self.central)
        self.central.prefix = ["env", "NODE=1"]
        self.central.configure("70-tpapi", {"tpapi": [{"name": "clapi", "username": "admin", "password": SECRET}]})
        self.configure(**self.options)
        self.nodes = {}
        for identity in self.pollers:
            node = self.make_poller(self.central.thumbprint(), identity)
            node.prefix = ["env", f"NODE={identity}"]
            self.nodes[identity] = node.start()
        self.central.nodes(*(node.node(identity) for identity, node in self.nodes.items()))

    def configure(self, **options):
        self.central.replace_module("legacycmd", **{
            "cmd_file": str(self.cmd_file), "cmd_dir": str(self.cmd_dir) + "/", "cache_dir": str(self.cache),
            "cache_dir_trap": str(self.directory / "traps"), "centreon_dir": str(self.directory / "centreon"), **options})

    def program(self, name, text):
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)

    def start(self):
        self.central.start()
        for identity in self.pollers:
            self.wait_seen(self.central, identity)

    def write(self, *lines, name=None):
        """As the web application does: appended to the one file, or a file of its own in the folder."""
        path = self.cmd_dir / name if name else self.cmd_file
        with open(path, "a") as file:
            file.write("".join(line + "\n" for line in lines))

    def left(self):
        """What the spool holds still."""
        return sorted(str(path.relative_to(self.spool)) for path in self.spool.rglob("*") if path.is_file())

    def spool_empty(self, timeout=20):
        eventually(lambda: not self.left(), timeout, f"an empty spool: {self.left()}")

    def called(self, node):
        path = pathlib.Path(f"{self.calls}.{node}")
        return path.read_text().splitlines() if path.exists() else []

    def rows(self, text):
        return [row for row in self.central.database_rows() if text in row["data"]]

    def outbox(self):
        rows = self.central.database_rows("gorgone_outbox")
        return [(row["action"], row["target"], json.loads(row["data"])) for row in rows]

    def above(self):
        """A daemon above, as a remote has one."""
        above = self.make_central("above")
        self.central.configure("75-listener", {"gorgonecore": {"external_com_type": "tcp", "external_com_path": "127.0.0.1:0",
                                                               "authorized_clients": [{"key": above.thumbprint()}]}})
        if self.central.alive():
            self.central.stop()
        self.start()
        self.central.port = int(self.central.wait_log(r"\[core\] listening on tcp://\S+:(\d+)")[1])
        return self.dial(self.central, above)


class Spool(SpoolCase):
    def test_external_commands_and_restarts_reach_engine_and_system_of_their_poller(self):
        self.start()
        self.write("EXTERNALCMD:3:[1] A;`x`|1", "EXTERNALCMD:4:[2] B;y:z", "EXTERNALCMD:3:[3] C", "RELOAD:3", "START:4", "STOP:4",
                   "RELOADBROKER:4", "RESTARTCENTREONTRAPD:4", "RELOADCENTREONTRAPD:4", "ENGINERESTART:4")
        self.spool_empty()
        eventually(lambda: len(self.engines[3].lines) == 2 and len(self.engines[4].lines) == 1, 10, "the external commands")
        # The database's illegal characters are taken out; the backtick is none of them here.
        self.assertEqual(self.engines[3].lines, ["[1] A;`x`1", "[3] C"])
        self.assertEqual(self.engines[4].lines, ["[2] B;y:z"])
        eventually(lambda: len(self.called(3)) == 2 and len(self.called(4)) == 7, 15, "the commands")
        self.assertEqual(sorted(self.called(3)), ["service centengine reload", "systemctl restart centreon_vmware.service"])
        self.assertEqual(sorted(self.called(4)), sorted([
            "service centengine start", "service centengine stop", "service cbd reload", "service centreontrapd restart",
            "service centreontrapd reload", "systemctl restart centreon_vmware.service", "service centengine restart"]))

    def test_every_line_becomes_the_messages_of_its_poller(self):
        self.start()
        for node in self.nodes.values():
            node.stop()
        for folder in ("config/vmware/3", "config/engine/3", "config/broker/3", "config/export/3"):
            (self.cache / folder).mkdir(parents=True)
        (self.cache / "config/vmware/3/centreon_vmware.json").write_text("{}")
        (self.directory / "traps" / "3").mkdir(parents=True)
        (self.directory / "traps" / "3" / "centreontrapd.sdb").write_text("x")
        cache = str(self.cache)

        def copy(source, destination, **more):
            return "REMOTECOPY", "3", {"content": {"source": source, "destination": destination, "cache_dir": cache, **more}}

        def after(action, content):
            return action, "3", {"content": content, "after_copies": True}

        vmware = {"command": "sudo systemctl restart centreon_vmware.service"}
        expected = {
            "SENDCFGFILE:3": [
                copy(f"{cache}/config/vmware/3/centreon_vmware.json", "/etc/centreon/centreon_vmware.json", owner="centreon-gorgone", group="centreon"),
                copy(f"{cache}/config/engine/3", "/etc/centreon-engine/", owner="centreon-engine", group="centreon-engine"),
                copy(f"{cache}/config/broker/3", "/etc/centreon-broker/", owner="centreon-broker", group="centreon-broker")],
            "SENDEXPORTFILE:3:77": [
                copy(f"{cache}/config/export/3", "/var/lib/centreon/remote-data/", owner="centreon", group="centreon"),
                after("ADDIMPORTTASKWITHPARENT", {"parent_id": "77", "cbd_reload": "sudo service cbd reload"})],
            "SYNCTRAP:3": [copy(f"{self.directory}/traps/3/centreontrapd.sdb", "/etc/snmp/centreon_traps/", owner="centreon", group="centreon", mode="0664")],
            "ENGINERELOAD:3": [
                after("ACTIONENGINE", vmware),
                after("ACTIONENGINE", {"command": "sudo service centengine reload", "plugins": "/etc/centreon-engine/plugins.json"})],
            "RESTART:3": [after("COMMAND", [vmware]), after("COMMAND", [{"command": "sudo service centengine restart"}])],
            "EXTERNALCMD:3:[1] A": [("ENGINECOMMAND", "3", {"content": {"command_file": str(self.engines[3].path), "commands": ["[1] A"]}})],
        }
        for line, messages in expected.items():
            before = len(self.outbox())
            self.write(line, name=line.replace(":", "-"))
            eventually(lambda: len(self.outbox()) >= before + len(messages), 10, f"the messages of {line}")
            self.assertEqual(self.outbox()[before:], messages, line)
        self.spool_empty()

    def test_what_cannot_be_done_is_told_and_delays_nothing(self):
        self.start()
        self.write("EXTERNALCMD:99:[1] nobody", "RELOAD:5", "DANCE:3", "SENDCFGFILE:4", "EXTERNALCMD:three:x", "RELOADBROKER:6",
                   "EXTERNALCMD:4:[2] through")
        self.spool_empty()
        eventually(lambda: self.engines[4].lines == ["[2] through"], 10, "the line behind")
        for text in ("unknown poller '99'", "poller '5' is not activated", "a line that makes no sense", f"there is no {self.cache}/config/engine/4",
                     f"there is no {self.cache}/config/broker/4", "unknown poller '6'|no nagios_server.broker_reload_command"):
            found = eventually(lambda: [row for part in text.split("|") for row in self.rows(part)], 10, f"a row that says {text}")
            self.assertEqual({row["code"] for row in found}, {1}, text)
            self.assertTrue(any(part in self.central.log() for part in text.split("|")), text)
        self.assertEqual(self.rows("centreon_vmware.json"), [])

    def test_a_poller_that_is_away_holds_up_no_other_and_a_full_queue_loses_nothing(self):
        self.central.replace_module("proxy", queue_messages=3)
        self.start()
        self.nodes[3].stop()
        self.write(*(f"EXTERNALCMD:3:[{number}] A\nRELOADBROKER:3" for number in range(20)), "EXTERNALCMD:4:[1] through", name="many")
        eventually(lambda: self.engines[4].lines == ["[1] through"], 10, "the line of the other poller")
        self.assertEqual(self.engines[3].lines, [])
        self.nodes[3].start()
        self.spool_empty(40)
        eventually(lambda: len(self.engines[3].lines) == 20 and len(self.called(3)) == 20, 20, "all of them")
        self.assertEqual(self.engines[3].lines, [f"[{number}] A" for number in range(20)])

    def test_more_lines_than_are_held_for_a_poller_that_is_away_keep_no_other_waiting(self):
        self.central.replace_module("proxy", queue_messages=3)
        self.configure(max_queued_bytes=1048576)
        self.start()
        self.nodes[3].stop()
        lines = [f"[{number}] " + "x" * 1000 for number in range(3000)]
        self.write(*(f"EXTERNALCMD:3:{line}" for line in lines), "EXTERNALCMD:4:[1] same file", name="a")
        self.write("EXTERNALCMD:3:behind", "EXTERNALCMD:4:[2] next file", name="b")
        eventually(lambda: self.engines[4].lines == ["[1] same file", "[2] next file"], 10, "the lines of the other poller")
        self.nodes[3].start()
        self.spool_empty(60)
        eventually(lambda: len(self.engines[3].lines) >= 3001, 20, "the lines that waited")
        self.assertTrue(self.engines[3].lines == [*lines, "behind"], "lines are lost, repeated or out of order")

    def test_folders_that_are_made_or_replaced_later_are_watched(self):
        shutil.rmtree(self.spool)
        self.configure(rescan_interval=1)
        self.start()
        self.cmd_dir.mkdir(parents=True)
        self.write("EXTERNALCMD:3:one", name="one")
        eventually(lambda: self.engines[3].lines == ["one"], 10, "what is in a folder that was made later")
        self.configure(rescan_interval=3600)
        self.central.stop()
        self.start()
        self.cmd_dir.rename(self.spool / "old")
        self.cmd_dir.mkdir()
        time.sleep(0.2)
        started = time.monotonic()
        self.write("EXTERNALCMD:3:two", name="two")
        eventually(lambda: self.engines[3].lines == ["one", "two"], 10, "what is in the folder that took its place")
        self.write("EXTERNALCMD:3:three")
        eventually(lambda: self.engines[3].lines == ["one", "two", "three"], 10, "what is in the file beside it")
        print(f"from spool to pipe: two lines in {time.monotonic() - started:.3f} s")

    def test_what_another_daemon_left_is_taken_up_without_the_lines_it_marked_and_dot_files_are_left_alone(self):
        (self.spool / "centcore.cmd_read").write_text("-XTERNALCMD:3:done\nEXTERNALCMD:3:open\n")
        (self.cmd_dir / "a_read").write_text("EXTERNALCMD:3:second\n")
        (self.cmd_dir / ".hidden").write_text("EXTERNALCMD:3:hidden\n")
        self.start()
        eventually(lambda: len(self.engines[3].lines) == 2, 10, "what was left")
        self.assertEqual(self.engines[3].lines, ["open", "second"])
        eventually(lambda: self.left() == ["centcore/.hidden"], 10, "the rest of the spool")

    def test_the_last_line_needs_no_line_break_and_a_writer_that_is_late_is_heard(self):
        self.start()
        with open(self.cmd_dir / "slow", "w") as file:
            file.write("EXTERNALCMD:3:one\nEXTERNALCMD:3:t")
            file.flush()
            self.write("EXTERNALCMD:3:other", name="z")  # so that the folder is looked at
            eventually(lambda: "one" in self.engines[3].lines, 10, "the first line")
            file.write("wo\nEXTERNALCMD:3:three")
        eventually(lambda: len(self.engines[3].lines) == 4, 10, "the rest")
        self.assertEqual(set(self.engines[3].lines), {"one", "two", "three", "other"})
        self.spool_empty()


class Copies(SpoolCase):
    """Configurations go where the database says, and what follows them in the spool finds them there."""

    def setUp(self):
        super().setUp()
        for identity in (1, 3):
            place = self.place(identity)
            place.mkdir()
            self.database.execute(f"UPDATE cfg_nagios SET cfg_dir = '{place}/engine/' WHERE nagios_server_id = {identity};"
                                  f"UPDATE nagios_server SET centreonbroker_cfg_path = '{place}/broker', snmp_trapd_path_conf = '{place}/traps' "
                                  f"WHERE id = {identity}")
            for part in ("engine", "broker", "traps"):
                (place / part).mkdir()
            for part in ("engine", "broker"):
                (self.cache / "config" / part / str(identity)).mkdir(parents=True)
        (self.directory / "traps" / "3").mkdir(parents=True)
        seen = f'printf "%s sees %s\\n" "$*" "$(head -n 1 {self.directory}/node-$NODE/engine/centengine.cfg)" >> {self.calls}.$NODE\n'
        self.program("sudo", "#!/bin/sh\n" + seen)

    def place(self, identity):
        return self.directory / f"node-{identity}"

    def export(self, identity, version):
        """As the web application generates it."""
        (self.cache / "config/engine" / str(identity) / "centengine.cfg").write_text(f"version {version}\n" + "x" * 2000000)
        (self.cache / "config/broker" / str(identity) / "module.json").write_text(f'{{"version": {version}}}')

    def run_exports(self, identity):
        self.start()
        for version in range(3):
            self.export(identity, version)
            self.write(f"SENDCFGFILE:{identity}", f"RELOADBROKER:{identity}", f"EXTERNALCMD:{identity}:[{version}] A")
            eventually(lambda: len(self.called(identity)) == version + 1, 20, "the reload")
            self.assertEqual(self.called(identity)[version], f"service cbd reload sees version {version}")
            broker = self.place(identity) / "broker" / "module.json"
            self.assertEqual(json.loads(broker.read_text()), {"version": version})
        self.spool_empty()

    def test_a_poller_reloads_with_the_configuration_that_was_sent_before(self):
        self.run_exports(3)
        eventually(lambda: len(self.engines[3].lines) == 3, 10, "the external commands")
        (self.directory / "traps/3/centreontrapd.sdb").write_bytes(b"traps")
        self.write("SYNCTRAP:3")
        traps = self.place(3) / "traps" / "centreontrapd.sdb"
        eventually(lambda: traps.exists() and traps.read_bytes() == b"traps", 10, "the database of traps")
        self.assertEqual(oct(traps.stat().st_mode & 0o7777), "0o664")

    def test_the_central_does_the_same_for_itself(self):
        pipe = self.directory / "engine-1.cmd"
        self.database.execute(f"UPDATE cfg_nagios SET command_file = '{pipe}' WHERE nagios_server_id = 1")
        engine = FakeEngine(pipe)
        self.addCleanup(engine.stop)
        self.run_exports(1)
        eventually(lambda: engine.lines == ["[0] A", "[1] A", "[2] A"], 10, "the external commands")
        self.assertEqual(self.central.database_rows("gorgone_outbox"), [])


class Requests(SpoolCase):
    def test_the_api_takes_the_same_commands(self):
        self.start()
        api = self.central.api()
        status, body = api.request("POST", "/api/centreon/legacycmd/command", [
            {"command": "EXTERNALCMD", "target": 3, "param": "[1] A\n[2] B"}, {"command": "RELOADBROKER", "target": "4"}])
        self.assertEqual(status, 200, body)
        self.assertEqual(codes(api.poll(None, body["token"])), [0, 2])
        eventually(lambda: self.engines[3].lines == ["[1] A", "[2] B"], 10, "the external commands")
        eventually(lambda: self.called(4) == ["service cbd reload"], 10, "the command")
        for content, said in (({}, "expected array"), ([{"target": 3}], "need command argument at array index '0'"),
                              ([{"command": "RELOAD"}], "need target argument at array index '0'"), ([{"command": "DANCE", "target": 3}], "unknown command"),
                              ([{"command": "RELOAD", "target": 99}], "unknown poller '99'")):
            status, body = api.request("POST", "/api/centreon/legacycmd/command", content)
            rows = api.poll(None, body["token"])
            self.assertEqual(rows[-1]["code"], 1)
            self.assertIn(said, rows[-1]["data"]["message"])

    def test_a_request_that_waits_goes_on_under_its_token_after_kills_and_stops(self):
        self.database.stop()
        self.start()
        tokens = []
        for number in range(12):
            content = [{"command": "EXTERNALCMD", "target": 3, "param": f"{number}-{part}"} for part in "ab"]
            status, body = self.central.api().request("POST", "/api/centreon/legacycmd/command", content)
            if number % 3 == 1:
                self.central.kill()
            elif number % 3 == 2:
                time.sleep(0.3)
                self.central.stop()
            if number % 3:
                self.central.start()
            self.assertEqual(status, 200, body)
            tokens.append(body["token"])
        self.database.start()
        expected = [f"{number}-{part}" for number in range(12) for part in "ab"]
        eventually(lambda: len(self.engines[3].lines) >= len(expected), 30, "the commands that were accepted")
        for token in tokens:
            self.assertEqual(codes(self.central.api().poll(None, token)), [0, 2])
        self.assertEqual(self.engines[3].lines, expected)
        self.central.kill()
        self.start()
        time.sleep(1)
        self.assertEqual(self.engines[3].lines, expected, "a command that was sent came again")

    def test_an_import_task_is_stored_and_the_worker_and_the_reload_follow(self):
        self.start()
        dialer_like = {"parent_id": "42", "cbd_reload": "sudo service cbd reload"}
        self.import_task(dialer_like)
        eventually(lambda: self.called("worker.1"), 15, "the worker")
        eventually(lambda: self.called(1) == ["service cbd reload"], 15, "the reload")
        self.assertEqual(self.database.execute("SELECT type, status, parent_id FROM task"), [["import", "pending", "42"]])

    def test_a_password_that_is_kept_in_a_vault_is_told_and_given_to_no_program(self):
        self.central.configure("70-tpapi", {"tpapi": [{"name": "clapi", "username": "admin", "password": "secret::hashicorp_vault::centreon::clapi"}]})
        self.start()
        self.import_task({"parent_id": "43"})
        told = r'tpapi: username or password of the entry "clapi" is kept in a vault, which cannot be read yet; expected the values themselves'
        self.central.wait_log("ERROR .*" + told)
        eventually(lambda: [row for row in self.rows("is kept in a vault") if row["code"] == 1], 10, "the row that says so")
        self.assertEqual(self.called("worker.1"), [])

    def import_task(self, content):
        self.above().call("ADDIMPORTTASKWITHPARENT", {"content": content}, "import-token")

    def test_an_import_waits_for_its_database_over_a_restart(self):
        above = self.above()
        self.database.stop()
        self.deliver(above, "ADDIMPORTTASKWITHPARENT", {"parent_id": 79})
        waits = "the import of the remote's data waits for the database"
        self.central.wait_log(waits, 10)
        self.central.kill()
        self.start()
        self.central.wait_log(waits, 10)
        self.database.start()
        eventually(lambda: self.called("worker.1"), 15, "the worker")
        self.assertEqual(self.database.execute("SELECT type, status, parent_id FROM task"), [["import", "pending", "79"]])

    def test_commands_are_refused_as_busy_where_too_many_wait(self):
        self.configure(max_queued_bytes=1048576)
        self.database.stop()
        self.start()
        api = self.central.api()
        lines = [{"command": "EXTERNALCMD", "target": 3, "param": f"{number} " + "x" * 1000} for number in range(1100)]
        status, first = api.request("POST", "/api/centreon/legacycmd/command", lines)
        self.assertEqual(status, 200, first)
        status, second = api.request("POST", "/api/centreon/legacycmd/command", lines[:1])
        rows = eventually(lambda: self.rows("max_queued_bytes"), 10, "the refusal")
        self.assertEqual([(row["token"], row["code"]) for row in rows], [(second["token"], 1)])
        self.database.start()
        self.assertEqual(codes(api.poll(None, first["token"], 30)), [0, 2])
        eventually(lambda: len(self.engines[3].lines) == 1100, 20, "the commands that were accepted")

    def test_a_request_for_commands_is_under_way_until_they_are_sent(self):
        self.database.stop()
        self.deliver(self.above(), "CENTREONCOMMAND", [{"command": "EXTERNALCMD", "target": 3, "param": "late"}])

        def progress():
            return [row["progress"] for row in self.central.database_rows("gorgone_delivery") if row["token"] == "token-of-it"]
        eventually(progress, 10, "the request in the inbox")
        time.sleep(0.5)
        begun = progress()
        self.database.start()
        eventually(lambda: self.engines[3].lines == ["late"], 15, "the command")
        eventually(lambda: progress() != begun, 10, "the end of the request")

    def deliver(self, above, action, content):
        """As our own agents send what runs once."""
        header = json.dumps({"action": action, "token": "token-of-it", "ttl": 600})
        above.send(f"[DELIVER] [{'d' * 32}] [] {header}\n{json.dumps({'content': content})}")
        self.assertEqual(above.take(10).body["code"], 0)

    def test_the_password_of_the_worker_is_in_no_log_and_in_no_table(self):
        self.start()
        self.write("STARTWORKER:1", "STARTWORKER")
        self.spool_empty()
        eventually(lambda: len(self.called("worker.1")) == 2, 15, "the worker")
        self.assertEqual(self.called("worker.1")[0], f"-u admin -p {SECRET} -w -o CentreonWorker -a processQueue")
        told = eventually(lambda: self.rows("said: -u admin -p ********"), 10, "what the worker said")
        self.assertEqual(told[0]["code"], 100)
        self.central.stop()
        places = [*(self.directory / "central").rglob("*"), *self.spool.rglob("*")]
        holding = [path for path in places if path.is_file() and b"clapi-pass" in path.read_bytes() and path.name != "70-tpapi.yaml"]
        self.assertEqual(holding, [])


class Proxies(SpoolCase):
    options = {"bulk_external_cmd": 1}

    def test_lines_wait_for_a_proxy_that_is_unloaded_and_loaded_again(self):
        above = self.above()
        module = {"name": "proxy", "package": "gorgone::modules::core::proxy::hooks", "enable": "true"}
        self.assertEqual(above.call("UNLOADMODULE", {"content": module}, timeout=20).body["code"], 2)
        self.write("EXTERNALCMD:3:one", "EXTERNALCMD:3:two")
        self.central.wait_log("there is no proxy: the lines of node '3' wait", 10)
        self.write("RELOADBROKER:3")
        time.sleep(1)
        self.assertEqual(self.rows("no_proxy"), [])
        self.assertEqual(above.call("LOADMODULE", {"content": module}).body["code"], 2)
        above.call("REGISTERRESYNC")
        eventually(lambda: self.engines[3].lines == ["one", "two"] and self.called(3), 20, "the lines that waited")
        self.spool_empty()
        self.assertEqual([row for row in self.rows("unknown") if row["code"] == 1], [])

    def test_lines_that_were_under_way_when_the_proxy_was_unloaded_come_again(self):
        above = self.above()
        module = {"name": "proxy", "package": "gorgone::modules::core::proxy::hooks", "enable": "true"}
        written = []
        for round in range(5):
            written += (lines := [f"{round}-{number}" for number in range(500)])
            self.write(*(f"EXTERNALCMD:3:{line}" for line in lines), name=f"batch-{round}")
            time.sleep(0.02 * round)
            self.assertEqual(above.call("UNLOADMODULE", {"content": module}, timeout=20).body["code"], 2)
            self.assertEqual(above.call("LOADMODULE", {"content": module}).body["code"], 2)
            above.call("REGISTERRESYNC")
        eventually(lambda: len(self.engines[3].lines) >= len(written), 40, "all lines")
        self.spool_empty()
        self.assertEqual(sorted(self.engines[3].lines), sorted(written))


class Database(SpoolCase):
    def test_lines_wait_for_a_database_that_is_away_from_the_start_and_hold_up_nothing_that_does_not_need_it(self):
        self.database.stop()
        self.start()
        self.write("EXTERNALCMD:3:one", "EXTERNALCMD:77:nobody", "STARTWORKER:1")
        eventually(lambda: self.called("worker.1"), 10, "the worker, which needs no database")
        self.write("EXTERNALCMD:3:two")
        time.sleep(1)
        self.assertEqual(self.engines[3].lines, [])
        self.central.kill()
        self.start()
        time.sleep(0.5)
        self.database.start()
        eventually(lambda: len(self.engines[3].lines) == 2, 20, "the lines that waited")
        self.assertEqual(self.engines[3].lines, ["one", "two"])
        eventually(lambda: self.rows("unknown poller '77'"), 10, "the poller that nobody knows")
        self.spool_empty()
        self.assertEqual(len(self.called("worker.1")), 1)

    def test_what_was_read_is_good_for_the_time_of_an_outage(self):
        self.start()
        self.write("EXTERNALCMD:3:before", "RELOADBROKER:3")
        eventually(lambda: self.engines[3].lines and self.called(3), 10, "the lines before")
        self.database.kill()
        started = time.monotonic()
        self.write("EXTERNALCMD:88:waits", "EXTERNALCMD:3:during", "RELOADBROKER:3")
        eventually(lambda: len(self.engines[3].lines) == 2 and len(self.called(3)) == 2, 10, "the lines during the outage")
        self.assertLess(time.monotonic() - started, 6 * SLOWNESS)
        self.assertEqual(self.rows("unknown poller '88'"), [])
        self.database.start()
        eventually(lambda: self.rows("unknown poller '88'"), 20, "the line that waited")
        self.spool_empty()
        rows = eventually(lambda: len(found := self.rows("the pollers' data can")) == 2 and found, 10, "the rows of the outage")
        self.assertEqual([row["code"] for row in rows], [1, 2])
        self.assertEqual(len({row["token"] for row in rows}), 1)
        self.assertIn(f"token={rows[0]['token']}", self.central.log())

    def test_a_database_that_is_frozen_holds_up_no_external_command(self):
        self.start()
        self.write("EXTERNALCMD:3:before")
        eventually(lambda: self.engines[3].lines, 10, "the line before")
        self.database.freeze()
        self.addCleanup(lambda: self.database.process and self.database.thaw())
        self.write("RELOADBROKER:4", "EXTERNALCMD:3:during")
        eventually(lambda: self.engines[3].lines == ["before", "during"], 2, "the external command")
        eventually(lambda: self.called(4), 15, "the command that would have liked fresh data")

    def test_a_poller_that_is_new_in_the_database_is_known_at_once(self):
        self.start()
        self.write("EXTERNALCMD:3:before")
        eventually(lambda: self.engines[3].lines, 10, "the line before")
        pipe = self.directory / "other.cmd"
        other = FakeEngine(pipe)
        self.addCleanup(other.stop)
        self.database.execute("UPDATE nagios_server SET broker_reload_command = 'service other reload' WHERE id = 3")
        self.write("RELOADBROKER:3")
        eventually(lambda: self.called(3) == ["service other reload"], 10, "the command as it is in the database now")


    def test_a_database_that_is_being_restored_makes_no_poller_unknown(self):
        self.start()
        self.write("EXTERNALCMD:3:before")
        eventually(lambda: self.engines[3].lines, 10, "the line before")
        self.database.execute("CREATE TABLE kept AS SELECT * FROM cfg_nagios; DELETE FROM cfg_nagios")
        self.write("EXTERNALCMD:99:waits", "RELOADBROKER:3", "EXTERNALCMD:3:during")
        eventually(lambda: self.engines[3].lines == ["before", "during"] and self.called(3), 20, "what needs no new data")
        self.assertEqual(self.rows("unknown poller"), [])
        self.database.execute("INSERT INTO cfg_nagios SELECT * FROM kept")
        eventually(lambda: self.rows("unknown poller '99'"), 20, "the line that waited")
        self.spool_empty()


class Kills(SpoolCase):
    lines = 2000

    def run_with_kills(self, kills):
        self.start()
        draw = random.Random(5)
        written = {3: [], 4: []}
        started = time.monotonic()
        for portion in range(kills + 1):
            lines = []
            for number in range(self.lines * portion // (kills + 1), self.lines * (portion + 1) // (kills + 1)):
                poller = 3 + number % 2
                written[poller].append(f"[{number}] PROCESS;host {number}")
                lines.append(f"EXTERNALCMD:{poller}:{written[poller][-1]}")
                if number % 97 == 0:
                    lines.append(f"RELOADBROKER:{poller}")
            self.write(*lines, name=f"batch-{portion}" if portion % 2 else None)
            if portion == kills:
                break
            time.sleep(draw.uniform(0, 0.08))
            self.central.kill()
            self.start()
        self.spool_empty(40)
        eventually(lambda: sum(len(engine.lines) for engine in self.engines.values()) >= self.lines, 40, "all lines")
        eventually(lambda: not self.central.database_rows("gorgone_outbox"), 40, "an empty outbox")
        time.sleep(0.5)
        for poller, engine in self.engines.items():
            self.assertEqual(len(engine.lines), len(set(engine.lines)), "a line arrived twice")
            self.assertEqual(engine.lines, written[poller])
        print(f"{self.lines} lines, {kills} kills of the central: each arrived once, in order per poller; {time.monotonic() - started:.1f} s")
        reloads = sum(1 for number in range(self.lines) if number % 97 == 0)
        eventually(lambda: len(self.called(3)) + len(self.called(4)) == reloads, 20, "each reload once")

    def test_each_line_arrives_once_and_in_order_however_often_the_central_is_killed(self):
        self.run_with_kills(8)

    def test_the_same_without_marks_in_the_files(self):
        self.configure(dirty_mode=1)
        self.run_with_kills(8)

    def test_a_hundred_thousand_lines_while_the_central_and_the_pollers_are_killed(self):
        self.start()
        draw, portions, lines = random.Random(7), 25, 100000
        written = {3: [], 4: []}
        started = time.monotonic()
        for portion in range(portions):
            text = []
            for number in range(lines * portion // portions, lines * (portion + 1) // portions):
                poller = 3 + number % 2
                written[poller].append(f"[{number}] PROCESS_SERVICE_CHECK_RESULT;host {number};service;0;some output")
                text.append(f"EXTERNALCMD:{poller}:{written[poller][-1]}")
            self.write(*text)
            time.sleep(draw.uniform(0, 0.12))
            killed = draw.choice([self.central, self.central, self.nodes[3], self.nodes[4]])
            killed.kill()
            killed.start()
        eventually(lambda: sum(len(engine.lines) for engine in self.engines.values()) >= lines, 120, "all lines")
        self.spool_empty(60)
        spent = time.monotonic() - started
        time.sleep(0.5)
        for poller, engine in self.engines.items():
            self.assertEqual(len(engine.lines), len(written[poller]), f"lines of poller {poller}")
            self.assertTrue(engine.lines == written[poller], f"the lines of poller {poller} are not in their order")
        print(f"{lines} lines, {portions} kills: each arrived once, in order per poller; {spent:.1f} s")

    def lock_database(self):
        other = sqlite3.connect(self.central.database, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        self.addCleanup(other.close)
        return other

    def test_lines_stay_in_the_spool_as_long_as_the_outbox_is_in_memory_only(self):
        self.start()
        self.nodes[3].stop()
        other = self.lock_database()
        self.write("EXTERNALCMD:3:away", "EXTERNALCMD:4:there")
        self.central.wait_log("history and sessions are kept in memory", 10)
        eventually(lambda: self.engines[4].lines == ["there"], 10, "the line for the node that is there")
        time.sleep(1.5)
        self.assertIn("centcore.cmd_read", self.left())
        self.central.kill()
        other.close()
        self.start_central()
        self.nodes[3].start()
        eventually(lambda: self.engines[3].lines == ["away"], 20, "the line that was accepted before the kill")
        self.spool_empty()
        time.sleep(0.5)
        self.assertEqual((self.engines[3].lines, self.engines[4].lines), (["away"], ["there"]), "a line arrived twice")

    def test_the_spool_is_emptied_as_soon_as_the_database_can_be_written_again(self):
        self.start()
        other = self.lock_database()
        self.write("EXTERNALCMD:3:one")
        eventually(lambda: self.engines[3].lines == ["one"], 10, "the line")
        time.sleep(1)
        self.assertIn("centcore.cmd_read", self.left())
        other.close()
        self.spool_empty(10)
        self.assertEqual(self.engines[3].lines, ["one"])

    def start_central(self):
        self.central.start()
        self.wait_seen(self.central, 4)

    def test_lines_for_the_central_itself_run_once_though_it_is_killed_before_they_are_marked(self):
        place = self.directory / "node-1"
        for part in ("engine", "broker"):
            (place / part).mkdir(parents=True)
            (self.cache / "config" / part / "1").mkdir(parents=True)
            (self.cache / "config" / part / "1" / "file").write_bytes(os.urandom(3_000_000))
        self.database.execute(f"UPDATE cfg_nagios SET cfg_dir = '{place}/engine/' WHERE nagios_server_id = 1;"
                              f"UPDATE nagios_server SET centreonbroker_cfg_path = '{place}/broker' WHERE id = 1")
        self.central.nodes(self.nodes[3].node(3))
        self.central.start()
        self.wait_seen(self.central, 3)
        # The last line waits for a node that the proxy does not know, so that the file stays.
        self.write("SENDCFGFILE:1", "RELOADBROKER:1", "EXTERNALCMD:4:waits")
        eventually(lambda: len(self.called(1)) == 1, 20, "the reload")
        record = self.spool / ".centcore.cmd_read.gorgone"
        eventually(lambda: "done" in record.read_text(), 10, "the note of what is done")
        self.central.kill()
        # As if the kill had come a moment earlier: nothing of it is marked or noted.
        with open(record, "r+") as file:
            lines = [line for line in file if not line.startswith("done")]
            file.seek(0)
            file.truncate()
            file.writelines(lines)
        taken = self.spool / "centcore.cmd_read"
        text = taken.read_text()
        with open(taken, "r+") as file:
            file.write(text.replace("-ENDCFGFILE", "SENDCFGFILE").replace("-ELOADBROKER", "RELOADBROKER"))
        self.central.nodes(self.nodes[3].node(3), self.nodes[4].node(4))
        self.start_central()
        eventually(lambda: self.engines[4].lines == ["waits"], 20, "the line that waited")
        self.spool_empty()
        eventually(lambda: not self.central.database_rows("gorgone_outbox"), 20, "an empty outbox")
        time.sleep(1)
        self.assertEqual(len(self.called(1)), 1, "the reload ran twice")
        self.assertEqual(len(self.rows("remote copy finished successfully")), 2, "a copy ran twice")

    def test_a_poller_that_is_killed_gets_each_line_once_too(self):
        self.start()
        lines = [f"[{number}] A" for number in range(3000)]
        for portion in range(6):
            self.write(*(f"EXTERNALCMD:3:{line}" for line in lines[portion * 500:(portion + 1) * 500]))
            time.sleep(0.05)
            self.nodes[3].kill()
            self.nodes[3].start()
        eventually(lambda: len(self.engines[3].lines) >= 3000, 40, "all lines")
        time.sleep(0.5)
        self.assertEqual(self.engines[3].lines, lines)


if __name__ == "__main__":
    unittest.main()
