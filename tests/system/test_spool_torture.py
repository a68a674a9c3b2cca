"""Numbered external commands through the spool while daemons are killed: each must be in the right pipe exactly once, and in order for each
poller. GORGONE_SPOOL_LINES=100000 is the long form, by hand (about three minutes); the figures are printed to standard error."""
# tests/run.sh: first, for it waits long.
import os
import random
import sys
import threading
import time
import unittest

from fake_engine import FakeEngine
from fleet import FleetCase, eventually
from mariadb import MariaDb
from pace import SLOWNESS

LINES = int(os.environ.get("GORGONE_SPOOL_LINES", "6000"))
PER_FILE = 500
FILE_EVERY_S, KILL_EVERY_S = 0.7, 1


class SpoolTorture(FleetCase):
    def setUp(self):
        self.database = MariaDb(self.directory / "mariadb").start()
        self.addCleanup(self.database.stop)
        self.database.create_centreon("26")
        self.engines = {}
        self.central = self.make_central()
        self.remote = self.make_remote(self.central.thumbprint())
        behind = self.make_poller(self.remote.thumbprint(), 3)
        beside = self.make_poller(self.central.thumbprint(), 4)
        for node, identity in ((behind, 3), (beside, 4), (self.remote, 2)):
            pipe = self.directory / f"engine-{identity}.cmd"
            self.engines[identity] = FakeEngine(pipe)
            self.addCleanup(self.engines[identity].stop)
            self.database.execute(f"UPDATE cfg_nagios SET command_file = '{pipe}' WHERE nagios_server_id = {identity} AND nagios_activate = '1'")
            node.replace_module("engine", package="gorgone::modules::centreon::engine::hooks")
        self.remote.edit("id: 3", "id: 2")
        behind.start()
        beside.start()
        self.remote.nodes(behind.node(3))
        self.remote.start()
        self.database.configure(self.central)
        self.spool = self.directory / "spool"
        self.spool.mkdir()
        self.central.nodes(self.remote.node(2, nodes=[{"id": 3, "pathscore": 1}]), beside.node(4))
        self.central.replace_module("legacycmd", package="gorgone::modules::centreon::legacycmd::hooks",
                                    cmd_file=str(self.directory / "centcore.cmd"), cmd_dir=f"{self.spool}/")
        for daemon in (self.central, self.remote, behind, beside):
            daemon.severity = "info"
        self.central.start()
        for identity in (2, 4):
            self.wait_seen(self.central, identity)
        self.victims = [self.central, self.remote, behind, beside]

    def write_all(self, numbers):
        for number in range(0, LINES, PER_FILE):
            time.sleep(FILE_EVERY_S * SLOWNESS)
            lines = []
            for _ in range(min(PER_FILE, LINES - number)):
                identity = random.choice(list(numbers))
                lines.append(f"EXTERNALCMD:{identity}:[1700000000] NUMBER;{numbers[identity]}\n")
                numbers[identity] += 1
            # As the web application does: written under a name that is not looked at, then renamed.
            hidden = self.spool / f".{number:08}.cmd"
            hidden.write_text("".join(lines))
            hidden.rename(self.spool / f"{number:08}.cmd")

    def test_each_line_is_in_the_right_pipe_once_and_in_order(self):
        seed = int(os.environ.get("GORGONE_SEED", time.time_ns() % 1_000_000))
        random.seed(seed)
        started = time.monotonic()
        written = dict.fromkeys(self.engines, 0)
        writer = threading.Thread(target=self.write_all, args=(written,))
        writer.start()

        def arrived():
            return sum(len(engine.lines) for engine in self.engines.values())

        kills = 0
        while writer.is_alive():
            victim = random.choice(self.victims)
            victim.kill()
            time.sleep(random.uniform(0, 0.5))
            victim.start()
            kills += 1
            time.sleep(random.uniform(0, KILL_EVERY_S * SLOWNESS))
        writer.join()
        eventually(lambda: arrived() >= LINES, 120, f"all lines (seed {seed}): {[(identity, len(engine.lines)) for identity, engine in self.engines.items()]}")
        took = time.monotonic() - started
        time.sleep(2 * SLOWNESS)  # what would come twice
        for identity, engine in self.engines.items():
            got = [int(line.split(";")[1]) for line in engine.lines]
            self.assertEqual(len(got), written[identity], f"poller {identity}, seed {seed}")
            self.assertEqual(got, list(range(written[identity])), f"poller {identity}, seed {seed}")
        self.assertEqual([file.name for file in self.spool.iterdir() if not file.name.startswith(".")], [])
        print(f"{LINES} lines to {len(self.engines)} pollers in {took:.1f} s, {kills} kills, each once and in order; "
              f"seed {seed}", file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
