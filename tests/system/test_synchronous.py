"""`gorgone_db_synchronous: full`: what is accepted has been forced to the disk before anybody is told. A library that counts what the daemon forces there
is built by the test and loaded into it."""
import os
import shutil
import subprocess
import unittest

from fleet import SANITIZERS, FleetCase

COUNTER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One byte for each time the journal's log is forced to the disk. */
static void count(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  const char* file = getenv("SYNC_COUNT");
  if (size < 0 || !file) return;
  path[size] = 0;
  if (!strstr(path, "history.sdb-wal")) return;
  int out = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (out < 0 || write(out, "x", 1) != 1) abort();
  close(out);
}

int fsync(int fd) {
  count(fd);
  return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
  count(fd);
  return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
"""
COMPILER = shutil.which("cc") or shutil.which("gcc-12") or shutil.which("g++")
TRIES = 20


@unittest.skipUnless(COMPILER, "there is no C compiler to build the counter with")
@unittest.skipIf(any(name in os.environ for name in SANITIZERS), "a sanitizer wants to be the first library that is loaded")
class Synchronous(FleetCase):
    def start(self, **core):
        source, library, self.counted = (self.directory / name for name in ("counter.c", "counter.so", "counted"))
        source.write_text(COUNTER)
        subprocess.run([COMPILER, "-x", "c", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, capture_output=True)
        central = self.make_central()
        central.configure("75-journal", {"gorgonecore": core})
        # A poller that is never there: what is for it stays in the outbox.
        central.nodes({"id": 2, "type": "push_zmq", "address": "127.0.0.1", "port": 1})
        central.prefix = ["env", f"LD_PRELOAD={library}", f"SYNC_COUNT={self.counted}"]
        return central.start()

    def forced(self):
        return self.counted.stat().st_size if self.counted.exists() else 0

    def forced_by_each(self, central, node):
        """How often the disk was waited for before each of some commands was accepted."""
        api, counts = central.api(), []
        for number in range(TRIES):
            before = self.forced()
            api.submit(node, f"echo {number}")
            counts.append(self.forced() - before)
        return counts

    def test_with_full_each_command_is_on_the_disk_before_its_acceptance_is_told(self):
        central = self.start(gorgone_db_synchronous="full")
        counts = self.forced_by_each(central, 2)
        self.assertGreater(min(counts), 0, f"accepted before it was on the disk: {counts}")
        self.assertEqual(len(central.database_rows("gorgone_outbox")), TRIES)

    def test_without_it_no_command_waits_for_the_disk(self):
        counts = self.forced_by_each(self.start(), 2)
        self.assertLess(sum(1 for count in counts if count), 3, f"each commit waits for the disk: {counts}")


if __name__ == "__main__":
    unittest.main()
