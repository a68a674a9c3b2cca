"""Start, stop, log file, keys: the life of one process."""
import concurrent.futures
import json
import pathlib
import os
import signal
import stat
import subprocess
import time
import unittest

from api import codes, outputs
from fleet import BIN, FleetCase, eventually, gorgonectl, processes_with
from hostile import DeadDisk, connect
from pace import SLOWNESS
from ports import free_port


class Stop(FleetCase):
    def test_sigterm_under_load_ends_both_sides_cleanly_and_leaves_no_children(self):
        central, poller = self.start_pair()
        api, mark = central.api(), "96.2" + str(time.time_ns())
        for _ in range(15):
            api.submit(2, f"sleep {mark}")
            api.submit(None, f"sleep {mark}")
        eventually(lambda: len(processes_with(mark)) >= 10, 10, "the start of the commands")

        def hammer(_):
            try:
                while True:
                    api.run(2, "true", wait_s=1)
            except (OSError, AssertionError, ValueError, EOFError) as error:
                return error
            except Exception as error:  # http.client's own
                return error

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            load = [pool.submit(hammer, None) for _ in range(4)]
            time.sleep(0.5)
            self.assertLess(poller.stop(), 10)
            self.assertLess(central.stop(), 10)
            concurrent.futures.wait(load, 15)
        eventually(lambda: not processes_with(mark), 3, "the end of all commands")

    def test_sigint_ends_it_too(self):
        poller = self.make_poller("x").start()
        poller.process.send_signal(signal.SIGINT)
        self.assertEqual(poller.process.wait(10 * SLOWNESS), 0)
        poller.process = None

    def test_sighup_does_not_end_it(self):
        central, poller = self.start_pair()
        for daemon in (central, poller):
            daemon.process.send_signal(signal.SIGHUP)
        self.assertEqual(outputs(central.api().run(2, "echo on")), ["on"])
        self.assertTrue(central.alive() and poller.alive())

    def test_a_thousand_commands_leave_no_children_and_no_descriptors(self):
        central, poller = self.start_pair()
        api = central.api()
        api.run(2, "true")
        descriptors = len(os.listdir(f"/proc/{poller.process.pid}/fd"))
        for _ in range(10):
            rows = api.run(2, *["true"] * 100, wait_s=60)
            self.assertEqual(codes(rows).count(100), 100)
        self.assertEqual([], children(poller.process.pid))
        self.assertLessEqual(len(os.listdir(f"/proc/{poller.process.pid}/fd")), descriptors + 2)

    def test_an_idle_fleet_costs_next_to_nothing(self):
        central, *pollers = self.start_pair((2, 3, 4))
        time.sleep(1)
        before = [cpu_seconds(daemon.process.pid) for daemon in (central, *pollers)]
        time.sleep(4)
        after = [cpu_seconds(daemon.process.pid) for daemon in (central, *pollers)]
        for used in (end - begin for begin, end in zip(before, after)):
            self.assertLess(used, 0.1, "of 4 s")


class HangingStop(FleetCase):
    """A job waits for a disk that does not answer."""

    def start(self, **core):
        disk = DeadDisk(self)
        central = self.make_central()
        central.configure("50-stop", {"gorgonecore": core})
        central.nodes({"id": 2, "type": "push_zmq", "address": "127.0.0.1", "port": free_port()})
        central.start()
        body = json.dumps({"source": f"{disk.folder}/file", "destination": "/nowhere/file", "cache_dir": str(self.directory)})
        request = f"POST /api/nodes/2/core/proxy/remotecopy HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        asked = connect(central.http_port, request.encode())
        self.addCleanup(asked.close)
        asked.settimeout(SLOWNESS)
        with self.assertRaises(TimeoutError):  # the source is looked at before anything is answered
            asked.recv(1)
        return central

    def test_a_stop_leaves_behind_a_job_that_does_not_end_and_says_so(self):
        central = self.start()
        self.assertLess(central.stop(left_behind=True), 15)
        self.assertIn("WARNING - [core] a job that does not end", central.log())

    def test_a_stop_that_is_not_over_within_the_timeout_ends_with_status_1_and_says_so(self):
        central = self.start(timeout=1)
        central.process.send_signal(signal.SIGTERM)
        self.assertEqual(central.process.wait(10 * SLOWNESS), 1)
        central.process = None
        self.assertIn("ERROR - [core] not stopped within gorgonecore.timeout, 1 s: leaving", central.log())


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(pid):
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


class LogFile(FleetCase):
    def test_a_line_looks_as_it_always_did(self):
        poller = self.make_poller("x").start()
        for line in poller.log().splitlines():
            self.assertRegex(line, r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - (DEBUG|INFO|NOTICE|WARNING|ERROR|FATAL) - \[[^\]]+\] \S")

    def test_a_log_file_moved_away_is_made_anew(self):
        central, _ = self.start_pair()
        moved = central.log_file.with_suffix(".log.1")
        central.log_file.rename(moved)
        api = central.api()
        eventually(lambda: (api.submit(None, "true"), central.log_file.exists() and central.log_file.stat().st_size > 0)[1], 10, "a new log file")
        size = moved.stat().st_size
        api.poll(None, api.submit(None, "true"))
        self.assertEqual(moved.stat().st_size, size, "lines still go to the file moved away")

    def test_sigusr1_and_sighup_make_a_log_file_that_was_moved_away_anew_at_once(self):
        central, _ = self.start_pair()
        for number in range(3):
            for which in (signal.SIGUSR1, signal.SIGHUP):
                central.api().run(None, "true")  # whether the file is in its place is looked at once a second, and has just been
                moved = central.log_file.with_suffix(f".log.{which.name}{number}")
                central.log_file.rename(moved)
                size, central.mark = moved.stat().st_size, 0
                central.process.send_signal(which)
                central.wait_log("log file opened again", 5)
                self.assertNotIn("log file opened again", moved.read_text()[size:], which.name)

    def test_a_lower_severity_is_not_written(self):
        poller = self.make_poller("x")
        poller.severity = "info"
        poller.start()
        self.assertNotIn(" - DEBUG - ", poller.log())

    def test_a_log_file_that_cannot_be_made_is_told(self):
        poller = self.make_poller("x")
        done = subprocess.run([BIN / "gorgoned", "--config", poller.config, "--logfile", "/nowhere/gorgoned.log", "--severity", "info"],
                              capture_output=True, text=True, timeout=20 * SLOWNESS)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nowhere/gorgoned.log", done.stderr + done.stdout)


class Keys(FleetCase):
    def test_keys_are_made_at_the_first_start_and_kept_at_the_second(self):
        poller = self.make_poller("x", keys=False)
        self.assertFalse(poller.private_key.exists())
        poller.start()
        self.assertEqual(stat.S_IMODE(poller.private_key.stat().st_mode), 0o600)
        # Sessions' keys are in it, and in what belongs to it.
        for file in poller.database.parent.glob(poller.database.name + "*"):
            self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o640, file)
        self.assertEqual(stat.S_IMODE(poller.public_key.stat().st_mode), 0o640)
        size = subprocess.run(["openssl", "rsa", "-in", poller.private_key, "-noout", "-text"], capture_output=True, text=True, check=True).stdout
        self.assertIn("2048 bit", size)
        before = poller.private_key.read_bytes(), poller.public_key.read_bytes()
        poller.stop()
        poller.start()
        self.assertEqual((poller.private_key.read_bytes(), poller.public_key.read_bytes()), before)
        self.assertNotIn("PRIVATE KEY", poller.log())

    def test_gorgonectl_prints_the_thumbprint_of_every_form_of_key(self):
        poller = self.make_poller("x")
        expected = poller.thumbprint()
        spki, pkcs1, pkcs8 = (str(self.directory / name) for name in ("spki.pem", "pkcs1.pem", "pkcs8.pem"))
        subprocess.run(["openssl", "rsa", "-in", poller.private_key, "-pubout", "-out", spki], check=True, capture_output=True)
        subprocess.run(["openssl", "rsa", "-in", poller.private_key, "-RSAPublicKey_out", "-out", pkcs1], check=True, capture_output=True)
        subprocess.run(["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", poller.private_key, "-out", pkcs8], check=True, capture_output=True)
        for file in (poller.public_key, spki, pkcs1):
            self.assertEqual(gorgonectl("keys", "thumbprint", str(file)).strip(), expected, file)
        self.assertEqual(gorgonectl("keys", "thumbprint", "--key-path", spki).strip(), expected)
        poller.private_key.write_bytes(pathlib.Path(pkcs8).read_bytes())
        poller.start()  # a private key as PKCS#8 serves as well

    def test_gorgonectl_overwrites_no_key_unasked(self):
        poller = self.make_poller("x")
        before = poller.thumbprint()
        done = subprocess.run([BIN / "gorgonectl", "keys", "generate", "--dir", poller.private_key.parent], capture_output=True, text=True, timeout=20 * SLOWNESS)
        self.assertEqual(done.returncode, 1)
        self.assertIn("rsakey", done.stderr)
        self.assertEqual(poller.thumbprint(), before)
        self.assertNotEqual(poller.make_keys(force=True), before)

    def test_one_missing_half_is_told_and_nothing_is_overwritten(self):
        poller = self.make_poller("x")
        private = poller.private_key.read_bytes()
        poller.private_key.unlink()
        public = poller.public_key.read_bytes()
        poller.launch()
        self.assertEqual(poller.process.wait(15 * SLOWNESS), 1)
        poller.process = None
        self.assertIn("rsakey.priv.pem", poller.log() + poller.output_file.read_text())
        self.assertEqual(poller.public_key.read_bytes(), public)
        self.assertNotIn(private[40:80].decode(), poller.log())


if __name__ == "__main__":
    unittest.main()
