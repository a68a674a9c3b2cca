"""Real daemons on loopback, made from the examples in etc/.

A test case derives from FleetCase: it has a directory of its own, which is kept where the test fails, and what it
started is stopped by SIGTERM at its end and must then end with status 0; one that ended by itself is an error of the
test, also where it is killed or where setUp fails. Ports are drawn by the daemons and read
from their logs. GORGONE_BIN names the directory of the programs (default: build/dev/bin).
"""
import atexit
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("GORGONE_BIN") or ROOT / "build" / "dev" / "bin").resolve()
sys.path[:0] = [str(ROOT / "packaging"), str(ROOT / "tests" / "conformance")]

from api import Api
from copy_example import copy_example
import dialer
from dialer import Dialer
from pace import SLOWNESS, clock
from ports import free_port
from protocol import read_private_key, read_public_key, thumbprint

dialer.patience = SLOWNESS
HTTP_LINE = r"\[httpserver\] listening on https?://\S+:(\d+)"
SANITIZERS = ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")
LEFT_BEHIND = "is left behind"
LISTENER_LINE = r"\[core\] listening on tcp://\S+:(\d+)"


def eventually(look, timeout=10, what="it"):
    """Calls `look` until it gives something true, and returns that."""
    end = clock() + timeout
    while True:
        found = look()
        if found:
            return found
        if clock() > end:
            raise AssertionError(f"{what} did not happen within {timeout} s")
        time.sleep(0.03)


def processes_with(text):
    """Ids of the processes whose command line holds `text`."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and text.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            pass  # it ended meanwhile
    return found


def gorgonectl(*arguments):
    done = subprocess.run([BIN / "gorgonectl", *arguments], capture_output=True, text=True, timeout=30 * SLOWNESS)
    if done.returncode != 0:
        raise AssertionError(f"gorgonectl {arguments} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def key_store():
    """Where key pairs are kept for the tests to come: drawing one takes half a second of a processor."""
    if "GORGONE_TEST_KEYS" not in os.environ:
        os.environ["GORGONE_TEST_KEYS"] = tempfile.mkdtemp(prefix="gorgone-test-keys-")
        atexit.register(shutil.rmtree, os.environ["GORGONE_TEST_KEYS"], ignore_errors=True)
    return pathlib.Path(os.environ["GORGONE_TEST_KEYS"])


class Daemon:
    """One node: its directory, and its process while it runs. Made stopped."""

    def __init__(self, directory, role, words):
        self.directory, self.role = pathlib.Path(directory), role
        self.config = copy_example(role, directory, words)
        self.config_d = self.config.parent / "config.d"
        self.log_file = self.directory / "log" / "gorgoned.log"
        self.output_file = self.directory / "log" / "output.txt"
        self.database = self.directory / "lib" / "history.sdb"
        self.private_key = self.directory / "lib" / ".keys" / "rsakey.priv.pem"
        self.public_key = self.directory / "lib" / ".keys" / "rsakey.pub.pem"
        self.severity = "debug"
        self.prefix = []  # of its command line
        self.process, self.mark, self.port, self.http_port = None, 0, None, None

    # Configuration

    def configure(self, name, value):
        """Adds config.d/<name>.yaml with `value` below `gorgone`; JSON is YAML."""
        (self.config_d / f"{name}.yaml").write_text(json.dumps({"gorgone": value}, indent=2) + "\n")

    def replace_module(self, name, **keys):
        """The first entry of a module that is enabled counts."""
        entry = {"name": name, "package": f"gorgone::modules::core::{name}::hooks", "enable": True, **keys}
        self.configure(f"10-{name}", {"modules": [entry]})

    def edit(self, old, new, file="40-gorgoned.yaml"):
        path = self.config_d / file
        text = path.read_text()
        assert text.count(old) == 1, f"{path} holds {old!r} {text.count(old)} times, expected once"
        path.write_text(text.replace(old, new))

    def allow_all_commands(self):
        (self.config_d / "whitelist.conf.d" / "test.yaml").write_text("- .\n")

    def nodes(self, *nodes):
        (self.config.parent / "nodes.yaml").write_text(json.dumps({"nodes": list(nodes)}, indent=2) + "\n")

    def make_keys(self, force=False):
        """The pair that a node of this name always has; a new one by `force`."""
        if force:
            gorgonectl("keys", "generate", "--dir", str(self.private_key.parent), "--force")
            return self.thumbprint()
        kept = key_store() / self.directory.name
        if not kept.exists():
            drawn = tempfile.mkdtemp(dir=key_store())
            gorgonectl("keys", "generate", "--dir", drawn)
            try:
                os.rename(drawn, kept)
            except OSError:  # another suite was faster
                shutil.rmtree(drawn)
        shutil.copytree(kept, self.private_key.parent, dirs_exist_ok=True)
        return self.thumbprint()

    def thumbprint(self):
        return thumbprint(read_public_key(self.public_key.read_bytes()))

    # Life

    def launch(self, *arguments):
        """Starts the process and waits for nothing."""
        assert self.process is None, f"{self.directory.name} runs already"
        self.mark = self.log_file.stat().st_size if self.log_file.exists() else 0
        command = [*self.prefix, BIN / "gorgoned", "--config", self.config, "--logfile", self.log_file, "--severity", self.severity, *arguments]
        with open(self.output_file, "ab") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self.environment())
        return self

    def environment(self):
        """Sanitizers, where it is built with them, report to files in its directory."""
        places = {name: f"{os.environ[name]}:log_path={self.directory}/log/sanitizer" for name in SANITIZERS if name in os.environ}
        return {**os.environ, **places}

    def reports(self):
        """What sanitizers have said of it."""
        files = [*sorted(self.directory.glob("log/sanitizer.*")), *([self.output_file] if self.output_file.exists() else [])]
        texts = [file.read_text(errors="replace") for file in files]
        return [text for text in texts if "Sanitizer" in text or "runtime error:" in text]

    def start(self):
        """Starts and waits until it can be reached; reads its ports."""
        unnamed = 'external_com_path: "127.0.0.1:0"'
        configuration = (self.config_d / "40-gorgoned.yaml").read_text()
        if unnamed in configuration:  # it is to be found again after a restart
            self.edit(unnamed, f'external_com_path: "127.0.0.1:{free_port()}"')
        self.launch()
        if "external_com_type" in configuration:
            self.port = int(self.wait_log(LISTENER_LINE)[1])
        if not self.role.startswith("poller"):
            self.http_port = int(self.wait_log(HTTP_LINE)[1])
        return self

    def expect_alive(self):
        """An error where it has ended by itself; then it counts as stopped."""
        status = self.process.poll()
        if status is not None:
            self.process = None
            raise AssertionError(f"{self.directory.name} had ended by itself, with status {status}:\n{self.log()[-1500:]}")

    def stop(self, timeout=20, left_behind=False):
        """SIGTERM; the status must be 0, and no job be left behind unless that is expected. Returns the seconds it took."""
        self.expect_alive()
        process, started = self.process, clock()
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(timeout * SLOWNESS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.directory.name} did not end within {timeout} s of SIGTERM") from None
        self.process = None
        assert status == 0, f"{self.directory.name} ended with status {status} after SIGTERM, expected 0"
        took, last = clock() - started, self.log()[-1500:]
        assert (LEFT_BEHIND in last) == left_behind, f"{self.directory.name} left {'no' if left_behind else 'a'} job behind:\n{last}"
        return took

    def kill(self):
        self.expect_alive()
        self.process.kill()
        self.process.wait()
        self.process = None

    def alive(self):
        return self.process is not None and self.process.poll() is None

    # What can be seen of it

    def log(self):
        """Its log since its last start."""
        if not self.log_file.exists():
            return ""
        with open(self.log_file, "rb") as file:
            file.seek(self.mark)
            return file.read().decode(errors="replace")

    def wait_log(self, expression, timeout=15):
        def look():
            assert self.process is None or self.process.poll() is None, (
                f"{self.directory.name} ended with status {self.process.returncode} while waiting for {expression}:\n"
                f"{self.log()[-2000:]}\n{self.output_file.read_text()[-2000:]}")
            return re.search(expression, self.log(), re.MULTILINE)

        try:
            return eventually(look, timeout, f"a line like {expression!r} in {self.log_file}")
        except AssertionError as error:
            lines = [line for line in self.log().splitlines() if " - DEBUG - " not in line]
            raise AssertionError("\n".join([str(error), *lines[-15:]])) from None

    def database_rows(self, table="gorgone_history"):
        database = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        database.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in database.execute(f"SELECT * FROM {table}")]
        finally:
            database.close()

    def age_sessions(self, seconds):
        """Makes the sessions in its database look older; the daemon must be stopped."""
        assert self.process is None
        with sqlite3.connect(self.database) as database:
            database.execute("UPDATE gorgone_identity SET ctime = ctime - ?, mtime = mtime - ?", (seconds, seconds))
        database.close()

    def api(self, **options):
        return Api("127.0.0.1", self.http_port, **options)

    def node(self, identity, **keys):
        """This node as an entry of a nodes.yaml."""
        return {"id": identity, "type": "push_zmq", "address": "127.0.0.1", "port": self.port, **keys}


class FleetCase(unittest.TestCase):
    maxDiff = None

    def run(self, result=None):
        result = result or self.defaultTestResult()
        before = len(result.failures) + len(result.errors)
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="gorgone-test-"))
        self.daemons = []
        self.addCleanup(self.end_all)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            print(f"kept: {self.id()}: {self.directory}", file=sys.stderr)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)
        return result

    def tearDown(self):
        trouble = []
        for daemon in reversed(self.daemons):
            try:
                if daemon.process is not None:
                    daemon.stop()
            except AssertionError as error:
                trouble.append(str(error))
        self.assertEqual(trouble, [])

    def end_all(self):
        """The last cleanup: after a setUp that failed there is no tearDown."""
        trouble = []
        for daemon in self.daemons:
            try:
                if daemon.process is not None:
                    daemon.kill()
            except AssertionError as error:
                trouble.append(str(error))
        trouble += [f"{daemon.directory.name}: {report[:6000]}" for daemon in self.daemons for report in daemon.reports()]
        self.assertEqual(trouble, [])

    # Making nodes. Each runs any command unless the test wants the example's whitelist.

    def make(self, name, role, words, free=True, keys=True):
        daemon = Daemon(self.directory / name, role, words)
        if keys:
            daemon.make_keys()
        if free:
            daemon.allow_all_commands()
        self.daemons.append(daemon)
        return daemon

    def make_central(self, name="central", free=True):
        return self.make(name, "central", {"0.0.0.0": "127.0.0.1", "8085": "0"}, free)

    def make_poller(self, authorized, identity=2, free=True, keys=True):
        words = {"*:5556": "127.0.0.1:0", "THUMBPRINT-OF-THE-CENTRAL": authorized, "id: 2": f"id: {identity}"}
        return self.make(f"poller-{identity}", "poller", words, free, keys)

    def make_remote(self, authorized, identity=3):
        words = {"*:5556": "127.0.0.1:0", "THUMBPRINT-OF-THE-CENTRAL": authorized, "0.0.0.0": "127.0.0.1", "8085": "0", "id: 3": f"id: {identity}"}
        return self.make(f"remote-{identity}", "remote", words)

    def start_pair(self, pollers=(2,)):
        """A central and its pollers, running, each poller seen by the central."""
        central = self.make_central()
        made = [self.make_poller(central.thumbprint(), identity).start() for identity in pollers]
        central.nodes(*(poller.node(identity) for poller, identity in zip(made, pollers)))
        central.start()
        for identity in pollers:
            self.wait_seen(central, identity)
        return (central, *made)

    def start_two_remotes(self, change=lambda daemon: daemon):
        """A central, the remotes 3 and 5, and the poller 4 behind both, nearer by the first; `change` is made to all but the poller before they start."""
        central = change(self.make_central())
        remotes = [change(self.make_remote(central.thumbprint(), identity)) for identity in (3, 5)]
        poller = self.make_poller('"\n      - key: "'.join(remote.thumbprint() for remote in remotes), 4).start()
        for remote in remotes:
            remote.nodes(poller.node(4))
            remote.start()
        central.nodes(*(remote.node(identity, nodes=[{"id": 4, "pathscore": score}]) for remote, identity, score in zip(remotes, (3, 5), (1, 2))))
        central.start()
        for remote, identity in zip(remotes, (3, 5)):
            self.wait_seen(remote, 4)
            self.wait_seen(central, identity)
        return (central, *remotes, poller)

    def start_chain(self, **proxy):
        """A central, its proxy with these options, a remote (3) and a poller (4) behind it, running and seen by each other."""
        central = self.make_central()
        if proxy:
            central.replace_module("proxy", **proxy)
        remote = self.make_remote(central.thumbprint())
        poller = self.make_poller(remote.thumbprint(), 4).start()
        remote.nodes(poller.node(4))
        remote.start()
        central.nodes(remote.node(3, nodes=[{"id": 4, "pathscore": 1}]))
        central.start()
        self.wait_seen(remote, 4)
        self.wait_seen(central, 3)
        return central, remote, poller

    def wait_seen(self, central, node, timeout=15):
        """Until the node has answered a ping since the central's start."""
        api = central.api()
        eventually(lambda: int(api.nodes().get(str(node), {}).get("ping_ok") or 0) > 0, timeout, f"a pong of node {node}")

    def assert_answers_in_log(self, central, identity, daemon):
        """What is asked of a node with this id is found in the log of its token, once."""
        api = central.api()
        expected = {"action": "getthumbprint", "message": "ok", "data": {"thumbprint": daemon.thumbprint()}}
        rows = api.asked(identity, "thumbprint")
        self.assertEqual([(row["code"], row["data"]) for row in rows], [(2, expected)])
        rows += api.asked(identity, "information")
        self.assertIn("api_endpoints", rows[1]["data"]["data"])
        for row in rows:  # those of the node are at the central: nothing is added to them when they are fetched again
            self.assertEqual([stored["id"] for stored in api.log(identity, row["token"])], [row["id"]])

    def dial(self, daemon, owner, **options):
        """A session of the reference client with `daemon`, in the name and with the key of `owner`."""
        dialer = Dialer(f"tcp://127.0.0.1:{daemon.port}", read_private_key(owner.private_key), **options)
        self.addCleanup(dialer.close)
        dialer.greet()
        return dialer
