"""What a copy or a content push puts in place has been forced to the disk before, whatever the system holds back. A library that writes down what the daemon forces
and renames is built by the test and loaded into it."""
import os
import pathlib
import shutil
import subprocess
import unittest

from fleet import SANITIZERS, FleetCase, eventually
from hostile import small_disk

# A line for each call, when it has come back: its name, what it returned, and the paths of descriptors as the system knows them.
RECORDER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void note(const char* call, int done, const char* from, const char* to) {
  const int error = errno;
  const char* file = getenv("EVENTS");
  int out = file ? open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
  if (out >= 0) {
    char line[9000];
    const int size = snprintf(line, sizeof line, "%s\t%d\t%s\t%s\n", call, done, from, to);
    if (write(out, line, (size_t)size) < 0) abort();
    close(out);
  }
  errno = error;
}

static const char* path_of(int fd, char* path, size_t size) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, size - 1);
  path[length < 0 ? 0 : length] = 0;
  return path;
}

static const char* path_in(int folder, const char* name, char* path, size_t size) {
  if (folder == AT_FDCWD || name[0] == '/') return name;
  path_of(folder, path, size);
  snprintf(path + strlen(path), size - strlen(path), "/%s", name);
  return path;
}

#define ONE_DESCRIPTOR(call) \
  int call(int fd) { \
    char path[4200]; \
    int done = ((int (*)(int))dlsym(RTLD_NEXT, #call))(fd); \
    note(#call, done, path_of(fd, path, sizeof path), ""); \
    return done; \
  }
ONE_DESCRIPTOR(fsync)
ONE_DESCRIPTOR(fdatasync)
ONE_DESCRIPTOR(syncfs)

int rename(const char* from, const char* to) {
  int done = ((int (*)(const char*, const char*))dlsym(RTLD_NEXT, "rename"))(from, to);
  note("rename", done, from, to);
  return done;
}

int renameat(int one, const char* from, int other, const char* to) {
  char first[4200], second[4200];
  path_in(one, from, first, sizeof first);
  int done = ((int (*)(int, const char*, int, const char*))dlsym(RTLD_NEXT, "renameat"))(one, from, other, to);
  note("rename", done, one == AT_FDCWD || from[0] == '/' ? from : first, path_in(other, to, second, sizeof second));
  return done;
}

int renameat2(int one, const char* from, int other, const char* to, unsigned flags) {
  char first[4200], second[4200];
  path_in(one, from, first, sizeof first);
  int done = ((int (*)(int, const char*, int, const char*, unsigned))dlsym(RTLD_NEXT, "renameat2"))(one, from, other, to, flags);
  note(flags & 2 ? "exchange" : "rename", done, one == AT_FDCWD || from[0] == '/' ? from : first, path_in(other, to, second, sizeof second));
  return done;
}
"""
COMPILER = shutil.which("cc") or shutil.which("gcc-12") or shutil.which("g++")


@unittest.skipUnless(COMPILER, "there is no C compiler to build the recorder with")
@unittest.skipIf(any(name in os.environ for name in SANITIZERS), "a sanitizer wants to be the first library that is loaded")
class Power(FleetCase):
    def setUp(self):
        source, library, self.recorded = (self.directory / name for name in ("recorder.c", "recorder.so", "events"))
        source.write_text(RECORDER)
        subprocess.run([COMPILER, "-x", "c", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, capture_output=True)
        self.central = self.make_central()
        self.poller = self.make_poller(self.central.thumbprint())
        self.poller.prefix = ["env", f"LD_PRELOAD={library}", f"EVENTS={self.recorded}"]
        self.poller.start()
        self.central.nodes(self.poller.node(2))
        self.central.start()
        self.wait_seen(self.central, 2)
        self.source, self.there, self.cache = (self.directory / name for name in ("source", "there", "cache"))
        self.there.mkdir()

    def finished(self, path, content):
        """What the poller forced and renamed until the end of what is asked for: calls with what they returned and their paths."""
        self.recorded.write_text("")
        api = self.central.api()
        status, body = api.request("POST", path, content)
        self.assertEqual(status, 200, body)
        last = eventually(lambda: [row for row in api.log(None, body["token"]) if row["code"] in (1, 2)], 30, "the end")[-1]
        self.assertEqual(last["code"], 2, last)
        events = [line.split("\t") for line in self.recorded.read_text().splitlines()]
        return last["data"], [(call, int(done), *paths) for call, done, *paths in events]

    def copied(self):
        self.source.write_bytes(os.urandom(700_000))
        content = {"source": str(self.source), "destination": f"{self.there}/file", "cache_dir": str(self.cache), "mode": "0640"}
        _, events = self.finished("/api/nodes/2/core/proxy/remotecopy", content)
        self.assertEqual((self.there / "file").read_bytes(), self.source.read_bytes())
        return events

    def index(self, events, call, start, end=None):
        """Where a call that succeeded is, by the beginnings of its paths."""
        found = [number for number, (name, done, one, other) in enumerate(events)
                 if name == call and done == 0 and one.startswith(str(start)) and (end is None or other == str(end))]
        self.assertEqual(len(found), 1, f"{call} {start} {end}: {found} of {events}")
        return found[0]

    def assert_beside_synced_renamed(self, events):
        renamed = self.index(events, "rename", f"{self.there}/.gorgone-copying-", self.there / "file")
        beside = events[renamed][2]
        self.assertLess(self.index(events, "fsync", beside), renamed, f"it was put in place before it was on the disk: {events}")
        folder = [number for number, event in enumerate(events) if event == ("fsync", 0, str(self.there), "")]
        self.assertGreater(folder[-1] if folder else -1, renamed, f"its folder was not synced after it: {events}")
        return beside

    def test_a_copy_is_on_the_disk_before_it_is_put_in_place(self):
        events = self.copied()
        beside = self.assert_beside_synced_renamed(events)
        # On the same file system what has come is moved, and then synced.
        self.assertLess(self.index(events, "rename", f"{self.cache}/copy_", beside), self.index(events, "fsync", beside))

    def test_a_copy_whose_cache_is_on_another_file_system_is_written_beside_its_destination_and_synced(self):
        self.cache = small_disk(self, 4)
        self.there.joinpath("file").write_text("old")
        events = self.copied()
        beside = self.assert_beside_synced_renamed(events)
        tried = [(done, other) for call, done, one, other in events if call == "rename" and one.startswith(f"{self.cache}/copy_")]
        self.assertEqual(tried, [(-1, beside)], "the cache is on the same file system")
        self.assertEqual((self.there / "file").stat().st_mode & 0o7777, 0o640)
        self.assertEqual((os.listdir(self.there), os.listdir(self.cache)), (["file"], []))

    def push(self, files):
        self.source.mkdir(exist_ok=True)
        for number in range(files):
            (self.source / f"{number}.cfg").write_text(f"{number} {os.urandom(8).hex()}\n")
        destination = self.there / "tree"
        done, events = self.finished("/api/core/content/push", {"source": str(self.source), "destination": str(destination), "node": "2"})
        for path in self.source.iterdir():
            self.assertEqual((destination / path.name).read_text(), path.read_text())
        return done, events

    def test_each_file_and_folder_of_a_small_push_is_on_the_disk_before_the_tree_is_put_in_place(self):
        staged = self.there / ".tree.gorgone" / "tree"
        for round_of, call in enumerate(("rename", "exchange")):  # nothing is there at first
            done, events = self.push(5)
            self.assertEqual(done["switch"], "tree", done)
            switched = self.index(events, call, staged, self.there / "tree")
            synced = {one for name, result, one, _ in events[:switched] if name == "fsync" and result == 0}
            self.assertLessEqual({str(staged), *(f"{staged}/{number}.cfg" for number in range(5))}, synced, f"round {round_of}: {events}")

    def test_a_large_push_is_on_the_disk_before_the_tree_is_put_in_place(self):
        self.push(1)
        done, events = self.push(200)
        self.assertEqual(done["switch"], "tree", done)
        staging = self.there / ".tree.gorgone"
        switched = self.index(events, "exchange", staging / "tree", self.there / "tree")
        synced = [number for number, (name, result, one, _) in enumerate(events) if name == "syncfs" and result == 0 and pathlib.Path(one) == staging]
        self.assertTrue(synced and synced[-1] < switched, f"the tree was put in place before it was on the disk: {events}")

    def test_each_file_of_a_push_that_goes_file_by_file_is_on_the_disk_before_it_is_put_in_place(self):
        destination = small_disk(self, 8)  # a mount point cannot be exchanged
        self.there, tree = destination.parent, destination.parent / "tree"
        tree.symlink_to(destination)
        done, events = self.push(5)
        self.assertEqual(done["switch"], "files", done)
        staged = destination / ".gorgone" / "tree"
        for number in range(5):
            put = self.index(events, "rename", f"{staged}/{number}.cfg", destination / f"{number}.cfg")
            self.assertLess(self.index(events, "fsync", f"{staged}/{number}.cfg"), put, events)


if __name__ == "__main__":
    unittest.main()
