"""A line of the spool is taken off the disk only when what it became is on the disk, whatever the system holds back. A library that writes down what the
daemon forces, marks and deletes is built by the test and loaded into it."""
import os
import shutil
import subprocess
import unittest

from fleet import SANITIZERS, eventually
from test_spool import SpoolCase

RECORDER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void note(const char* what) {
  const char* file = getenv("EVENTS");
  int out = file ? open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
  if (out < 0) return;
  if (write(out, what, strlen(what)) < 0) abort();
  close(out);
}

static int leads_to(int fd, const char* name) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return 0;
  path[size] = 0;
  return strstr(path, name) != NULL;
}

int fsync(int fd) {
  int done = ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
  if (leads_to(fd, "history.sdb-wal")) note("forced\n");
  return done;
}

int fdatasync(int fd) {
  int done = ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
  if (leads_to(fd, "history.sdb-wal")) note("forced\n");
  return done;
}

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t at) {
  if (leads_to(fd, "centcore.cmd_read")) note("marked\n");
  return ((ssize_t(*)(int, const void*, size_t, off_t))dlsym(RTLD_NEXT, "pwrite"))(fd, bytes, size, at);
}

int unlink(const char* path) {
  const size_t size = strlen(path);
  if (size > 18 && !strcmp(path + size - 18, "/centcore.cmd_read")) note("deleted\n");
  return ((int (*)(const char*))dlsym(RTLD_NEXT, "unlink"))(path);
}
"""
COMPILER = shutil.which("cc") or shutil.which("gcc-12") or shutil.which("g++")


@unittest.skipUnless(COMPILER, "there is no C compiler to build the recorder with")
@unittest.skipIf(any(name in os.environ for name in SANITIZERS), "a sanitizer wants to be the first library that is loaded")
class Power(SpoolCase):
    def test_a_line_is_marked_only_when_its_message_has_been_forced_to_the_disk(self):
        source, library, events = (self.directory / name for name in ("recorder.c", "recorder.so", "events"))
        source.write_text(RECORDER)
        subprocess.run([COMPILER, "-x", "c", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, capture_output=True)
        self.central.prefix = ["env", "NODE=1", f"LD_PRELOAD={library}", f"EVENTS={events}"]
        self.start()
        for number in range(5):
            events.write_text("")
            self.write(f"EXTERNALCMD:3:{number}")
            self.spool_empty()
            eventually(lambda: "deleted" in events.read_text(), 10, "the end of the file")
            happened = events.read_text().split()
            self.assertEqual([happened[0], happened[-1]], ["forced", "deleted"], happened)
            self.assertLess(happened.index("forced"), happened.index("marked"), happened)
        eventually(lambda: len(self.engines[3].lines) == 5, 10, "the lines")


if __name__ == "__main__":
    unittest.main()
