#!/usr/bin/env python3
"""Measures external commands from Centreon's spool to the engines' pipes, with each acceptance forced to the disk (gorgone_db_synchronous: full).

    GORGONE_BIN=build/release/bin tests/bench/spool.py [LINES]

A central with a real MariaDB, a remote, a poller behind it and one beside it; all LINES (default 50,000) are written at once, 500 to a file, and each must
be in the right pipe once and in order. The goal is 50,000 in a minute.
"""
import os
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))

import test_spool_torture
from fleet import eventually

LINES = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
PER_FILE = 500


class Spool(test_spool_torture.SpoolTorture):
    test_each_line_is_in_the_right_pipe_once_and_in_order = None

    def make(self, *arguments, **options):
        daemon = super().make(*arguments, **options)
        daemon.configure("76-journal", {"gorgonecore": {"gorgone_db_synchronous": "full"}})
        return daemon

    def runTest(self):
        identities = sorted(self.engines)
        written = {identity: [] for identity in identities}
        begin = time.monotonic()
        for first in range(0, LINES, PER_FILE):
            lines = []
            for number in range(first, min(first + PER_FILE, LINES)):
                identity = identities[number % len(identities)]
                written[identity].append(str(number))
                lines.append(f"EXTERNALCMD:{identity}:[1700000000] NUMBER;{number}\n")
            hidden = self.spool / f".{first:08}.cmd"
            hidden.write_text("".join(lines))
            hidden.rename(self.spool / f"{first:08}.cmd")
        eventually(lambda: sum(len(engine.lines) for engine in self.engines.values()) >= LINES, 600, "all lines")
        spent = time.monotonic() - begin
        for identity, engine in self.engines.items():
            self.assertEqual([line.split(";")[1] for line in engine.lines], written[identity])
        print(f"{LINES} external commands to {len(identities)} pollers, forced to the disk: {spent:.1f} s, {60 * LINES / spent:,.0f} a minute; "
              f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    sys.exit(not unittest.TextTestRunner(verbosity=0).run(Spool()).wasSuccessful())
