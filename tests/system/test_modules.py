"""Modules are loaded, stopped and replaced while the daemon runs; a bad one never ends it."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from fleet import BIN, HTTP_LINE, FleetCase, eventually, processes_with
from own_module import SLOW, build_module
from pace import SLOWNESS
from protocol import request

PACKAGE = "gorgone::modules::core::action::hooks"


class Modules(FleetCase):
    def setUp(self):
        self.central = self.make_central()
        self.poller = self.make_poller(self.central.thumbprint())

    def start(self):
        self.poller.start()
        return self.dial(self.poller, self.central)

    def output_of(self, dialer, command):
        return json.loads(dialer.run(command)[2]["data"])["result"]["stdout"]

    def test_a_module_is_unloaded_and_loaded_again_while_the_daemon_runs(self):
        dialer = self.start()
        pid = self.poller.process.pid
        for round in range(3):
            self.assertEqual(self.output_of(dialer, f"echo {round}"), str(round))
            answer = dialer.call("UNLOADMODULE", {"content": {"name": "action"}}, token="u1")
            self.assertEqual((answer.kind, answer.token, answer.body["code"]), ("UNLOADMODULE", "u1", 2), answer)
            answer = dialer.call("COMMAND", {"content": [{"command": "true"}]})
            self.assertEqual((answer.body["code"], answer.body["data"]["error"]), (1, "unknown_action"))
            self.assertNotIn("action", dialer.call("INFORMATION").body["data"]["data"]["modules"])
            answer = dialer.call("LOADMODULE", {"content": {"name": "action", "package": PACKAGE, "enable": "true"}}, token="l1")
            self.assertEqual((answer.kind, answer.token, answer.body["code"]), ("LOADMODULE", "l1", 2), answer)
            self.assertEqual(dialer.call("INFORMATION").body["data"]["data"]["modules"]["action"], PACKAGE)
        self.assertEqual(self.output_of(dialer, "echo end"), "end")
        self.assertEqual(self.poller.process.pid, pid)

    def test_a_module_loaded_at_run_time_takes_its_own_configuration(self):
        dialer = self.start()
        dialer.call("UNLOADMODULE", {"content": {"name": "action"}})
        content = {"name": "action", "package": PACKAGE, "whitelist_cmds": True, "allowed_cmds": ["^echo [a-z]+$"]}
        self.assertEqual(dialer.call("LOADMODULE", {"content": content}).body["code"], 2)
        self.assertEqual(self.output_of(dialer, "echo yes"), "yes")
        self.assertIn("command not allowed", json.loads(dialer.run("true")[-1]["data"])["message"])

    def test_a_module_with_a_wrong_configuration_is_refused_at_run_time(self):
        dialer = self.start()
        dialer.call("UNLOADMODULE", {"content": {"name": "action"}})
        answer = dialer.call("LOADMODULE", {"content": {"name": "action", "package": PACKAGE, "command_timeout": "soon"}})
        self.assertEqual((answer.kind, answer.body["code"]), ("LOADMODULE", 1), answer)
        self.assertIn("command_timeout", self.poller.log())
        self.assertEqual(dialer.call("LOADMODULE", {"content": {"name": "action", "package": PACKAGE}}).body["code"], 2)

    def test_running_commands_end_when_their_module_is_unloaded(self):
        dialer = self.start()
        token = "unloaded-under-way"
        mark = f"61.{time.time_ns()}"
        dialer.call("COMMAND", {"content": [{"command": f"sleep {mark}"}]}, token=token)
        eventually(lambda: processes_with(mark), 10, "the start of the command")
        self.assertEqual(dialer.call("UNLOADMODULE", {"content": {"name": "action"}}, timeout=20).body["code"], 2)
        eventually(lambda: not processes_with(mark), 3, "the end of the command")
        self.assertEqual(int(dialer.outcome(token)[-1]["code"]), 1)
        self.assertEqual(dialer.call("PING").kind, "PONG")

    def test_modules_that_cannot_be_loaded_are_refused_at_run_time(self):
        dialer = self.start()
        for content in ({"name": "foo", "package": "gorgone::nope"}, {"name": "foo", "library": "/nowhere/foo.so"}, {}, {"name": ""}):
            answer = dialer.call("LOADMODULE", {"content": content})
            self.assertEqual((answer.kind, answer.body["code"]), ("LOADMODULE", 1), content)
        answer = dialer.call("UNLOADMODULE", {"content": {"name": "foo"}})
        self.assertEqual((answer.kind, answer.body["code"]), ("UNLOADMODULE", 1))
        self.assertEqual(self.output_of(dialer, "echo alive"), "alive")

    def compile(self, name, text):
        library = self.directory / f"{name}.so"
        subprocess.run(["g++", "-x", "c++", "-shared", "-fPIC", "-o", library, "-"], input=text, text=True, check=True, capture_output=True)
        return library

    def test_bad_shared_objects_are_errors_in_the_log_and_the_others_run(self):
        (self.directory / "broken.so").write_text("\x7fELF this is no shared object\n")
        (self.directory / "empty.so").write_text("")
        self.compile("foreign", "extern \"C\" int something_else() { return 1; }")
        self.compile("stamped", "extern \"C\" const char gorgone_module_abi[] = \"gorgone-module abi 0 gcc 1\";"
                                "extern \"C\" void* gorgone_module_info() { __builtin_trap(); }")
        self.compile("unresolved", "extern \"C\" void nobody_has_this(); extern \"C\" void* gorgone_module_info() { nobody_has_this(); return 0; }"
                                   "extern \"C\" const char gorgone_module_abi[] = \"x\";")
        names = ("broken", "empty", "foreign", "stamped", "unresolved", "missing")
        self.poller.configure("60-bad", {"modules": [{"name": name, "library": f"{self.directory}/{name}.so"} for name in names]
                                         + [{"name": "nosuch", "package": "gorgone::modules::core::nosuch::hooks", "enable": True}]})
        dialer = self.start()
        self.assertEqual(self.output_of(dialer, "echo alive"), "alive")
        for name in (*names, "nosuch"):
            self.assertRegex(self.poller.log(), rf"(?m) - ERROR - .*\b{name}\b")
        self.assertRegex(self.poller.log(), r"(?m) - ERROR - .*stamped.*gorgone-module abi 0 gcc 1", "the stamp is told")
        self.assertEqual(set(dialer.call("INFORMATION").body["data"]["data"]["modules"]), {"action", "content", "dbcleaner", "engine"})

    def test_modules_are_found_where_the_command_line_says(self):
        folder = self.directory / "modules"
        shutil.copytree(BIN.parent / "lib" / "gorgone" / "modules", folder)
        (folder / "action.so").unlink()
        self.poller.launch("--modules", str(folder))
        self.poller.wait_log(r"ERROR.*\baction\b")
        self.poller.wait_log(r"\[core\] listening on")
        self.assertTrue(self.poller.alive())

    def test_a_way_to_a_node_that_fails_to_be_made_serves_nothing(self):
        folder = self.directory / "modules"
        shutil.copytree(BIN.parent / "lib" / "gorgone" / "modules", folder)
        source = self.directory / "push_ssh.cpp"
        source.write_text(SLOW.replace("info.create =", "info.offers_links = true;\n  info.create =")
                          .replace("return std::make_unique<Slow>", 'if (agent.node_id() != "none") throw std::runtime_error("no luck");\n    return std::make_unique<Slow>'))
        build_module(folder / "push_ssh.so", source)
        self.central.nodes({"id": 9, "type": "push_ssh", "address": "127.0.0.1", "port": 1})
        self.central.launch("--modules", str(folder))
        self.central.http_port = int(self.central.wait_log(HTTP_LINE)[1])
        api = self.central.api()
        eventually(lambda: "no luck" in str(api.nodes().get("9", {}).get("last_error")), 10, "the reason why the node cannot be reached")
        self.assertNotIn("POST_/core/slow/ask", api.get("/api/internal/information")["data"]["api_endpoints"])

    def test_a_disabled_module_is_not_loaded(self):
        package = f'package: "{PACKAGE}"\n      enable: '
        self.poller.edit(package + "true", package + "false")
        dialer = self.start()
        self.assertEqual(dialer.call("COMMAND", {"content": []}).body["data"]["error"], "unknown_action")

    def test_a_module_that_deployed_daemons_have_and_this_one_has_not_is_refused_with_what_does_not_happen(self):
        content = {"name": "cron", "package": "gorgone::modules::core::cron::hooks", "enable": "true"}
        answer = self.start().call("LOADMODULE", {"content": content})
        self.assertEqual(answer.body["code"], 1, answer)
        self.assertIn("this agent has no module 'cron': the jobs", answer.body["data"]["reason"])

    def test_a_module_that_is_to_be_loaded_and_not_enabled_is_refused(self):
        dialer = self.start()
        dialer.call("UNLOADMODULE", {"content": {"name": "action"}})
        answer = dialer.call("LOADMODULE", {"content": {"name": "action", "package": PACKAGE, "enable": "false"}})
        self.assertEqual((answer.body["code"], answer.body["data"]["reason"]), (1, "data.content.enable: expected true"), answer)


class HungDisk(FleetCase):
    def test_a_disk_that_hangs_is_told_and_holds_up_no_answer_to_a_question_for_the_log(self):
        central = self.make_central()
        poller = self.make_poller(central.thumbprint())
        places = poller.database.parent / "content" / "places"  # what content reads at its start and for CONTENTSTATUS
        places.parent.mkdir(exist_ok=True)
        os.mkfifo(places)  # whoever reads it waits, as for a mount that is dead
        self.addCleanup(self.release, places)
        client = self.dial(poller.start(), central)
        for number in range(4):
            client.call("CONTENTSTATUS", token=f"status-{number}")
        client.call("PUTLOG", {"token": "long", "code": 2, "data": {"text": "x" * 300000}})
        rows = client.rows(ctime=0)
        self.assertIn("long", {row["token"] for row in rows})
        told = "ERROR - [content] its work beside the loop has run for 30 s"
        eventually(lambda: poller.log().count(told) == 2, 45, "a line for each thread that is held")
        self.release(places)
        self.assertEqual(client.outcome("status-3")[-1]["code"], 2)

    @staticmethod
    def release(places):
        """Whoever waits for the file goes on, and nobody does any more."""
        if places.exists():
            writer = os.open(places, os.O_RDWR | os.O_NONBLOCK)
            places.unlink()
            os.close(writer)


class SlowModules(FleetCase):
    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="gorgone-test-"))
        cls.addClassCleanup(shutil.rmtree, folder)
        (folder / "slow.cpp").write_text(SLOW)
        cls.library = build_module(folder / "slow.so", folder / "slow.cpp")

    def setUp(self):
        self.start_file, self.stop_file = self.directory / "may-start", self.directory / "may-stop"
        self.entry = {"name": "slow", "library": str(self.library), "start_file": str(self.start_file)}

    def test_a_module_that_does_not_start_is_named_and_holds_up_no_other(self):
        central = self.make_central()
        central.configure("35-slow", {"modules": [self.entry]})  # before those of the example
        central.start()
        central.wait_log(r"ERROR - \[core\] module 'slow' has not started within 10 s")
        central.wait_log(r"\[core\] started: \d+ modules")
        api = central.api()
        token = api.request("POST", "/api/core/slow/ask", {})[1]["token"]
        self.assertEqual(api.run(None, "echo on")[-1]["code"], 2)
        self.start_file.touch()
        self.assertEqual(api.poll(None, token)[-1]["code"], 2, "what came meanwhile runs when it has started")
        self.assertRegex(central.log(), r"NOTICE - \[core\] module 'slow' has started after \d+ s")

    def test_a_module_that_is_unloaded_while_it_starts_is_gone_when_that_has_ended(self):
        central = self.make_central()
        poller = self.make_poller(central.thumbprint()).start()
        client = self.dial(poller, central)
        client.send(request("LOADMODULE", {"content": self.entry}, "load"))
        poller.wait_log(r"\[slow\] is starting")
        answer = client.call("UNLOADMODULE", {"content": {"name": "slow"}}, token="unload", timeout=15)
        self.assertEqual((answer.token, answer.body["code"]), ("unload", 1), answer)
        self.assertIn("still starting", answer.body["data"]["message"])
        answer = client.call("UNLOADMODULE", {"content": {"name": "slow"}})
        self.assertIn("stopping", answer.body["data"]["message"])
        self.start_file.touch()
        poller.wait_log(r"INFO - \[core\] module 'slow' unloaded")
        self.assertEqual(client.take().token, "load")
        self.assertEqual(client.call("LOADMODULE", {"content": self.entry}).body["code"], 2)
        self.assertEqual(client.call("UNLOADMODULE", {"content": {"name": "slow"}}).body["code"], 2)

    def test_a_daemon_that_is_stopped_waits_for_a_module_that_is_being_unloaded(self):
        central = self.make_central()
        poller = self.make_poller(central.thumbprint())
        poller.configure("60-slow", {"modules": [{**self.entry, "start_file": "", "stop_file": str(self.stop_file)}]})
        client = self.dial(poller.start(), central)
        poller.wait_log(r"\[core\] started: \d+ modules")
        client.send(request("UNLOADMODULE", {"content": {"name": "slow"}}))
        poller.wait_log(r"\[slow\] is stopping")
        poller.process.send_signal(signal.SIGTERM)
        poller.wait_log(r"\[core\] signal 15: stopping")
        with self.assertRaises(subprocess.TimeoutExpired):
            poller.process.wait(1)
        self.stop_file.touch()
        self.assertEqual(poller.process.wait(10 * SLOWNESS), 0)
        poller.process = None
        self.assertIn("[slow] has stopped", poller.log())

    def test_a_module_that_never_starts_does_not_keep_the_daemon(self):
        poller = self.make_poller("x")
        poller.configure("60-slow", {"modules": [self.entry]})
        poller.start()
        poller.wait_log(r"\[slow\] is starting")
        self.assertLess(poller.stop(), 10)


if __name__ == "__main__":
    unittest.main()
