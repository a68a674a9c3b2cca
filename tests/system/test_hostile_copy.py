"""PROCESSCOPY with hostile archives, chunks that are lost, repeated or out of order, and disks that are full: nothing is written outside of
the destination, what was there stays whole, and each copy that fails says why."""
import base64
import gzip
import hashlib
import io
import json
import os
import random
import re
import resource
import secrets
import tarfile
import time
import unittest

from fleet import FleetCase, eventually
from hostile import DeadDisk, LivePeer, Peak, descriptors, fill, limited, small_disk
from pace import clock
from protocol import request


class Copies(FleetCase):
    options = {}

    def setUp(self):
        self.central = self.make_central()
        self.poller = self.make_poller(self.central.thumbprint())
        if self.options:
            self.poller.replace_module("action", **self.options)
        self.poller.start()
        self.pid = self.poller.process.pid
        self.client = self.dial(self.poller, self.central)
        self.cache, self.target = self.directory / "cache", self.directory / "tree"
        self.cache.mkdir()

    def messages(self, blob, destination, kind="regular", size=50_000, md5=None, cache=None, **last):
        common = {"type": kind, "destination": str(destination), "cache_dir": str(cache or self.cache)}
        parts = [blob[start:start + size] for start in range(0, len(blob), size)]
        chunks = [{**common, "status": "inprogress", "md5": None, "chunk": {"data": base64.b64encode(part).decode(), "size": len(part)}} for part in parts]
        end = {**common, "status": "end", "chunk": None, "md5": md5 or hashlib.md5(blob).hexdigest(), **last}
        return [{"content": content, "parameters": {"no_fork": 1}} for content in (*chunks, end)]

    def send(self, messages, token):
        for message in messages:
            self.assertEqual(self.client.call("PROCESSCOPY", message, token=token).body["code"], 0)

    def outcome(self, token):
        last = next(row for row in self.client.outcome(token) if row["code"] in (1, 2))
        return last["code"], json.loads(last["data"])["message"]

    def copy(self, *arguments, **options):
        token = "copy-" + secrets.token_hex(8)
        self.send(self.messages(*arguments, **options), token)
        return self.outcome(token)

    def cache_is_clean(self):
        eventually(lambda: not os.listdir(self.cache), 3, "the removal of the partial files")


def packed(*members, mode="w:gz"):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def member(name, content=b"", kind=tarfile.REGTYPE, link="", **more):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, more.pop("mode", 0o644)
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


class Archives(Copies):
    options = {"max_unpacked": 50_000_000}

    def refused(self, *members, reason):
        blob = packed(member("before", b"x"), *members)
        code, message = self.copy(blob, self.target, kind="archive")
        self.assertEqual(code, 1, message)
        self.assertRegex(message, reason)
        self.assertFalse(self.target.exists(), "something of a refused archive was written")
        self.cache_is_clean()

    def test_members_that_lead_out_of_the_destination_are_refused_and_nothing_is_written(self):
        outside = self.directory / "outside"
        outside.mkdir()
        (outside / "file").write_text("untouched")
        link = dict(kind=tarfile.SYMTYPE)
        for members, reason in (([member(str(outside / "new"))], "absolute path"), ([member("../outside/new")], r"'\.\.'"), ([member("a/../../outside/new")], r"'\.\.'"),
                                ([member("a/b/../c")], r"'\.\.'"), ([member("l", link="..", **link)], "leads out"), ([member("l", link="/etc", **link)], "leads out"),
                                ([member("l", link=str(outside), **link), member("l/new", b"x")], "leads out"),
                                ([member("a/l", link="../../outside", **link), member("a/l/new", b"x")], "leads out"),
                                ([member("a/l", link="x/../../..", **link)], "leads out"),
                                ([member("h", kind=tarfile.LNKTYPE, link=str(outside / "file"))], "is a link to .* absolute path"),
                                ([member("h", kind=tarfile.LNKTYPE, link="../outside/file")], r"is a link to .* '\.\.'")):
            self.refused(*members, reason=reason)
        self.assertEqual([path.name for path in outside.iterdir()], ["file"])
        self.assertEqual((outside / "file").read_text(), "untouched")

    def test_links_that_stand_in_the_destination_already_are_not_followed(self):
        outside = self.directory / "outside"
        outside.mkdir()
        self.target.mkdir()
        (self.target / "door").symlink_to(outside)
        code, message = self.copy(packed(member("door/new", b"x")), self.target, kind="archive")
        self.assertEqual(code, 1)
        self.assertIn("'door', which is a link or a file, expected a folder", message)
        self.assertEqual(os.listdir(outside), [])
        self.cache_is_clean()

    def test_devices_and_pipes_are_refused(self):
        for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
            self.refused(member("dev", kind=kind, devmajor=1, devminor=3), reason="is a device, a pipe or a socket, expected files, folders and links")

    def test_modes_that_give_rights_away_are_taken_off(self):
        code, _ = self.copy(packed(member("suid", b"x", mode=0o6755)), self.target, kind="archive")
        self.assertEqual(code, 2)
        self.assertEqual((self.target / "suid").stat().st_mode & 0o7777, 0o755)

    def test_an_archive_that_swells_beyond_its_limit_is_refused_at_once(self):
        zeros = packed(member("zeros", bytes(60_000_000)))
        self.assertLess(len(zeros), 200_000)
        many = packed(*(member(f"f{number}") for number in range(13_000)))
        live = self.dial(self.poller, self.central)
        for bomb in (zeros, many):
            started = clock()
            with Peak(self.pid) as peak, LivePeer(live) as seen:
                self.refused_whole(bomb, r"archive refused: it unpacks to more than 50000000 bytes \(modules\.action\.max_unpacked\)")
            self.assertLess(clock() - started, 5)
            self.assertLess(peak.grown_kb, 10_000)
            self.assertLess(max(seen.answers), 1)

    def refused_whole(self, blob, reason):
        code, message = self.copy(blob, self.target, kind="archive")
        self.assertEqual(code, 1, message)
        self.assertRegex(message, reason)
        self.assertFalse(self.target.exists())
        self.cache_is_clean()

    def test_a_lie_about_a_members_size_does_not_pass_the_limit(self):
        # The header says a terabyte; nothing of it follows.
        info = tarfile.TarInfo("liar")
        info.size = 1 << 40
        self.refused_whole(gzip.compress(info.tobuf(tarfile.GNU_FORMAT)), "unpacks to more than 50000000 bytes")
        info.size = 1_000_000
        self.refused_whole(gzip.compress(info.tobuf() + b"x" * 1000), "the archive cannot be read: ")

    def test_what_is_no_archive_or_was_cut_is_told_and_leaves_the_destination_as_it_was(self):
        good = packed(*(member(f"file{number}", os.urandom(3000)) for number in range(50)))
        for blob in (b"", b"x", os.urandom(5000), good[:len(good) // 2], gzip.compress(os.urandom(5000)), good[:20_000]):
            code, message = self.copy(blob or b" ", self.target, kind="archive")
            self.assertEqual(code, 1, f"{len(blob)} {message}")
            self.assertIn("archive", message)
            self.assertFalse(self.target.exists(), f"{len(blob)} {message}")
        self.cache_is_clean()
        self.assertEqual(self.copy(good, self.target, kind="archive")[0], 2)


class Chunks(Copies):
    def test_chunks_lost_repeated_or_out_of_order_fail_the_copy_and_the_old_file_stays(self):
        target = self.directory / "file"
        target.write_text("old")
        blob = random.Random(3).randbytes(400_000)
        messages = self.messages(blob, target)
        chunks, end = messages[:-1], messages[-1]
        for name, wrong in (("lost", chunks[:3] + chunks[4:]), ("repeated", chunks[:3] + chunks[2:]), ("swapped", [chunks[1], chunks[0], *chunks[2:]]), ("none", [])):
            token = f"{name}-{secrets.token_hex(4)}"
            self.send([*wrong, end], token)
            code, message = self.outcome(token)
            self.assertEqual(code, 1, name)
            self.assertRegex(message, r"md5 does not match|cannot open" if name == "none" else "md5 does not match", name)
            self.assertEqual(target.read_text(), "old", name)
        self.cache_is_clean()
        self.assertEqual(self.copy(blob, target)[0], 2)
        self.assertEqual(target.read_bytes(), blob)

    def test_a_second_end_changes_nothing(self):
        target = self.directory / "file"
        messages = self.messages(b"content", target)
        self.send([*messages, messages[-1]], "twice")
        self.assertEqual(self.outcome("twice")[0], 2)
        time.sleep(0.3)
        self.assertEqual([row["code"] for row in self.client.rows(token="twice")][:2], [101, 2])
        self.assertEqual(target.read_text(), "content")

    def test_copies_of_many_tokens_at_once_in_a_jumble_all_arrive_whole(self):
        noise = random.Random(1)
        blobs = {f"jumble{number}": noise.randbytes(30_000 + 1000 * number) for number in range(40)}
        queues = {token: self.messages(blob, self.directory / token, size=4000) for token, blob in blobs.items()}
        order = [token for token, queue in queues.items() for _ in queue]
        noise.shuffle(order)
        before = descriptors(self.pid)
        for token in order:
            self.client.send(request("PROCESSCOPY", queues[token].pop(0), token=token))
        for _ in order:
            self.assertEqual(self.client.take().body["code"], 0)
        for token, blob in blobs.items():
            self.assertEqual(self.outcome(token), (2, "process copy finished successfully"))
            self.assertEqual((self.directory / token).read_bytes(), blob, token)
        self.cache_is_clean()
        self.assertLessEqual(descriptors(self.pid), before)

    def test_wrong_chunks_are_told_by_what_was_wrong_with_them(self):
        good = self.messages(b"0123456789", self.directory / "file")[0]
        for change, reason in (({"chunk": {"data": "MDEy", "size": 10}}, "a chunk holds 3 bytes, expected the 10 that its size says"),
                               ({"chunk": {"data": "MDEy", "size": -3}}, "expected the -3"), ({"chunk": {"data": "!!!", "size": 3}}, "no base64"),
                               ({"chunk": None}, "chunk is missing"), ({"chunk": {"size": 3}}, "no data"), ({"cache_dir": "relative"}, "expected an absolute path"),
                               ({"cache_dir": "/a\0b"}, "expected an absolute path"), ({"destination": ""}, "expected an absolute path"), ({"type": "device"}, "expected regular or archive"),
                               ({"status": "gone"}, "expected inprogress or end")):
            token = "wrong-" + secrets.token_hex(4)
            self.send([{"content": {**good["content"], **change}}], token)
            code, message = self.outcome(token)
            self.assertEqual(code, 1, change)
            self.assertIn(reason, message)
        self.assertFalse((self.directory / "file").exists())

    def test_a_token_leads_to_no_file_outside_of_the_cache(self):
        for token in ("../../escaped", "/etc/escaped", "a/b", "..", "x" * 1000, "with space", "n\0ul"):
            self.send(self.messages(b"content", self.directory / "file"), token)
            self.assertEqual(self.outcome(token)[0], 2, token)
        self.assertEqual([path for path in self.directory.rglob("*escaped*")], [])
        self.cache_is_clean()


class Disks(Copies):
    def test_a_cache_directory_that_is_missing_is_made_and_one_that_cannot_be_is_told(self):
        made = self.directory / "new-cache"
        self.assertEqual(self.copy(b"content", self.directory / "file", cache=made)[0], 2)
        self.assertTrue(made.is_dir())
        file = self.directory / "a-file"
        file.write_text("x")
        for cache in (file, file / "below", "/proc/nowhere", self.directory / "missing" / "deep"):
            token = "cache-" + secrets.token_hex(4)
            self.send(self.messages(b"content", self.directory / "file2", cache=cache), token)
            code, message = self.outcome(token)
            self.assertEqual(code, 1, cache)
            self.assertIn(str(cache), message)
        self.assertFalse((self.directory / "file2").exists())
        self.assertEqual(file.read_text(), "x")

    def test_a_full_cache_is_told_and_the_next_copy_works_when_there_is_room_again(self):
        target = self.directory / "file"
        target.write_text("old")
        blob = os.urandom(3_000_000)
        with limited(self.pid, resource.RLIMIT_FSIZE, 1_000_000):
            code, message = self.copy(blob, target)
            self.assertEqual(code, 1)
            self.assertRegex(message, rf"^process copy: cannot write '{self.cache}/copy_copy-\w+': File too large$")
            self.poller.wait_log(r"ERROR - \[action\] Copy processing - process copy: cannot write", 3)
        self.assertEqual(target.read_text(), "old")
        self.cache_is_clean()
        self.assertEqual(self.copy(blob, target)[0], 2)
        self.assertEqual(target.read_bytes(), blob)

    def test_a_disk_that_becomes_full_while_a_copy_comes_is_told_and_keeps_what_it_had(self):
        small = small_disk(self, 2)
        self.cache, target, filler = small / "cache", small / "file", small / "filler"
        self.cache.mkdir()
        target.write_text("old")
        blob = os.urandom(500_000)
        messages = self.messages(blob, target)
        token = "copy-" + secrets.token_hex(8)
        self.send(messages[:3], token)
        fill(filler)
        self.send(messages[3:], token)
        code, message = self.outcome(token)
        self.assertEqual(code, 1)
        self.assertRegex(message, rf"'{self.cache}/copy_copy-\w+'.*No space left on device|no space")
        self.assertEqual(target.read_text(), "old")
        self.cache_is_clean()
        filler.unlink()
        self.assertEqual(self.copy(blob, target)[0], 2)
        self.assertEqual(target.read_bytes(), blob)

    def test_an_archive_for_which_the_disk_of_its_destination_is_too_small_leaves_nothing_behind(self):
        small = small_disk(self, 2)
        target = small / "tree"
        target.mkdir()
        (target / "kept").write_text("old")
        free = os.statvfs(small).f_bfree
        blob = packed(member("kept", b"new"), *(member(f"part-{number}", os.urandom(300_000)) for number in range(10)))
        code, message = self.copy(blob, target, kind="archive")
        self.assertEqual(code, 1)
        self.assertRegex(message.lower(), "no space|room")
        self.assertEqual({path.name: path.read_text() for path in target.iterdir()}, {"kept": "old"})
        self.assertEqual(os.statvfs(small).f_bfree, free, "something was left on the disk")
        self.cache_is_clean()

    def test_a_destination_without_room_is_told_and_keeps_what_it_had(self):
        self.target.mkdir()
        (self.target / "big").write_text("old")
        zeros = packed(member("small", b"x"), member("big", bytes(3_000_000)))
        with limited(self.pid, resource.RLIMIT_FSIZE, 1_000_000):
            code, message = self.copy(zeros, self.target, kind="archive")
        self.assertEqual(code, 1)
        self.assertIn("File too large", message)
        self.assertIn("big", message)
        self.assertEqual((self.target / "big").read_text(), "old")
        self.assertEqual([path.name for path in self.target.iterdir() if path.name.startswith(".")], [], "an unfinished file stayed behind")
        self.cache_is_clean()

    def test_a_destination_that_is_no_file_or_cannot_be_reached_is_told(self):
        folder = self.directory / "folder"
        folder.mkdir()
        for destination in (folder, "/dev/null", "/proc/nowhere/x", self.directory / "no" / "such" / "file"):
            code, message = self.copy(b"content", destination)
            self.assertEqual(code, 1, destination)
            self.assertIn(str(getattr(destination, "parent", destination)) if "such" in str(destination) else "'", message)
        self.cache_is_clean()


class Slow(Copies):
    options = {"max_queued_copy": 1_048_576}

    def test_more_than_may_wait_for_the_disk_is_refused_as_busy_and_memory_stays_bounded(self):
        live, disk = self.dial(self.poller, self.central), DeadDisk(self)
        with Peak(self.pid) as peak, LivePeer(live):
            messages = self.messages(os.urandom(30_000_000), self.directory / "file", size=500_000, cache=disk.folder)
            for message in messages:
                self.client.send(request("PROCESSCOPY", message, token="held"))
            for _ in messages:
                self.client.take()
            code, message = self.outcome("held")
            self.assertEqual(code, 1, message)
            waiting = re.fullmatch(r"busy: (\d+) bytes of copies wait for the disk already \(modules\.action\.max_queued_copy\)", message)
            self.assertTrue(waiting, message)
            self.assertTrue(400_000 < int(waiting[1]) <= 1_048_576, message)
            self.assertEqual(self.copy(b"x" * 500_000, self.directory / "other", size=500_000)[1].split(":")[0], "busy", "another copy was taken beyond the bound")
        self.assertLess(peak.grown_kb, 70_000)
        disk.release()
        destination = self.directory / "after"
        eventually(lambda: self.copy(b"x" * 500_000, destination, size=500_000)[0] == 2, 10, "a copy when the disk has let go")
        self.assertEqual(destination.read_bytes(), b"x" * 500_000)
        self.cache_is_clean()


if __name__ == "__main__":
    unittest.main()
