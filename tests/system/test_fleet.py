"""The ground of the other tests: a daemon that ended by itself fails its test, wherever it is noticed, and none is left running."""
import contextlib
import io
import os
import shutil
import signal
import unittest

from fleet import FleetCase


class Ended(FleetCase):
    def failures_of(self, test, set_up=lambda case: None):
        """What a case that consists of these two says."""
        case, result = type("Case", (FleetCase,), {"setUp": set_up, "test": test})("test"), unittest.TestResult()
        with contextlib.redirect_stderr(io.StringIO()):
            case.run(result)
        shutil.rmtree(case.directory, ignore_errors=True)
        return "\n".join(text for _, text in (*result.failures, *result.errors))

    @staticmethod
    def end(daemon):
        os.kill(daemon.process.pid, signal.SIGKILL)
        daemon.process.wait()

    def test_a_daemon_that_had_ended_before_it_is_killed_fails_its_test(self):
        def test(case):
            poller = case.make_poller("x").start()
            self.end(poller)
            poller.kill()

        self.assertIn("poller-2 had ended by itself, with status -9", self.failures_of(test))

    def test_where_the_set_up_fails_its_daemons_are_ended_and_what_they_said_is_told(self):
        pids = []

        def set_up(case):
            runs, ended = (case.make_poller("x", identity).start() for identity in (2, 3))
            pids.append(runs.process.pid)
            (runs.log_file.parent / "sanitizer.1").write_text("AddressSanitizer: what it says")
            self.end(ended)
            raise OSError("no set-up")

        told = self.failures_of(lambda case: None, set_up)
        for text in ("no set-up", "poller-3 had ended by itself, with status -9", "poller-2: AddressSanitizer: what it says"):
            self.assertIn(text, told)
        for pid in pids:
            self.assertRaises(ProcessLookupError, os.kill, pid, 0)


if __name__ == "__main__":
    unittest.main()
