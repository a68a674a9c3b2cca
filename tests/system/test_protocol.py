"""The agent against the reference of the protocol in tests/conformance: our listener with its client, our central with its poller."""
import base64
import hashlib
import io
import json
import os
import secrets
import tarfile
import unittest

from api import codes, outputs
from fleet import FleetCase, eventually
from dialer import Dialer, Refused  # found by way of fleet
from listener import Listener
from pace import clock
from protocol import KEY_FORMS, draw_key, read_private_key, request, thumbprint


class OurListener(FleetCase):
    def setUp(self):
        self.central = self.make_central()
        self.poller = self.make_poller(self.central.thumbprint()).start()
        self.endpoint = f"tcp://127.0.0.1:{self.poller.port}"

    def dialer(self, **options):
        dialer = Dialer(self.endpoint, options.pop("key", None) or read_private_key(self.central.private_key), **options)
        self.addCleanup(dialer.close)
        return dialer

    def test_a_client_is_let_in_however_its_key_is_written(self):
        for form in KEY_FORMS:
            dialer = self.dialer(key_form=form)
            server = dialer.greet()
            self.assertEqual(thumbprint(server), self.poller.thumbprint())
            self.assertEqual((len(dialer.cipher.key), len(dialer.cipher.iv)), (32, 16))
            self.assertEqual((dialer.welcome["cipher"], int(dialer.welcome["padding"])), ("AES", 1))
            self.assertIn("hostname", dialer.welcome)
            self.assertEqual(dialer.call("PING", token=form.replace(" ", "-")).token, form.replace(" ", "-"))

    def test_a_small_client_key_has_room_for_the_session_key(self):
        key = draw_key(2048)
        self.poller.stop()
        self.poller.configure("50-second", {"gorgonecore": {"authorized_clients": [{"key": thumbprint(key.public_key())}], "hostname": "h" * 200}})
        self.poller.start()
        dialer = self.dialer(key=key)
        dialer.greet()
        self.assertEqual(dialer.call("PING").kind, "PONG")

    def test_strangers_and_wrong_secrets_are_refused_in_plain_text(self):
        for options, secret in (({"key": draw_key()}, b"HELO"), ({}, b"HOLA"), ({}, b"")):
            with self.assertRaises(Refused) as refused:
                self.dialer(**options).greet(secret=secret)
            self.assertRegex(str(refused.exception), r"^\[ACK\] \[\] \{")
            self.assertEqual(json.loads(str(refused.exception)[9:]), {"code": 1, "data": {"message": "handshake issue"}})
        with self.assertRaises(TimeoutError):
            self.dialer(routing_id="intruder-" + secrets.token_hex(4)).ask_key(timeout=1.5)

    def test_a_new_handshake_replaces_the_session(self):
        dialer = self.dialer()
        dialer.greet()
        first = dialer.cipher
        dialer.greet()
        self.assertNotEqual(first.key, dialer.cipher.key)
        self.assertEqual(dialer.call("PING").kind, "PONG")
        dialer.socket.send(first.seal("[PING] [] [] {}"))
        self.assertIn(b"handshake issue", dialer.take_frame())

    def test_messages_are_answered_in_order(self):
        dialer = self.dialer()
        dialer.greet()
        for number in range(1000):
            dialer.send(request("PING", token=f"n{number}"))
        self.assertEqual([dialer.take().token for _ in range(1000)], [f"n{number}" for number in range(1000)])

    def test_a_pong_tells_who_answers(self):
        dialer = self.dialer()
        dialer.greet()
        pong = dialer.call("PING", token="t1")
        self.assertEqual((pong.kind, pong.token, pong.target, pong.body["code"]), ("PONG", "t1", "", 0))
        data = pong.body["data"]
        self.assertEqual((data["action"], data["message"], str(data["id"]), data["data"]), ("ping", "ping ok", "2", {}))

    def test_an_empty_token_is_drawn(self):
        dialer = self.dialer()
        dialer.greet()
        self.assertRegex(dialer.call("PING").token, r"^[0-9a-f]{128}$")

    def test_the_answers_of_the_core_actions(self):
        dialer = self.dialer()
        dialer.greet()
        ok = dialer.call("GETTHUMBPRINT", token="t")
        self.assertEqual((ok.kind, ok.body["data"]["data"]["thumbprint"]), ("GETTHUMBPRINT", self.poller.thumbprint()))
        state = dialer.call("CONSTATUS", token="c")  # a poller without the proxy module knows of no nodes
        self.assertEqual((state.kind, state.body), ("CONSTATUS", {"code": 1, "data": {"action": "constatus", "message": "cannot get value"}}))
        # What deployed centrals know of an answer they have from the log.
        self.assertEqual([(row["code"], json.loads(row["data"])) for row in dialer.rows(token="t")], [(2, ok.body["data"])])
        self.assertEqual([(row["code"], json.loads(row["data"])) for row in dialer.rows(token="c")], [(1, state.body["data"])])
        self.assertEqual(dialer.call("INFORMATION", token="i").kind, "INFORMATION")
        self.assertEqual([row["code"] for row in dialer.rows(token="i")], [2])
        unknown = dialer.call("NOSUCH", token="a")
        self.assertEqual(unknown.body, {"code": 1, "data": {"error": "unknown_action", "message": "action 'NOSUCH' is unknown"}})
        self.assertEqual([row["code"] for row in dialer.rows(token="a")], [1])
        unfiltered = dialer.call("GETLOG", {})
        self.assertEqual((unfiltered.body["code"], unfiltered.body["data"]["message"]), (1, "need at least one filter"))
        for forbidden in ("BCASTCOREKEY", "SETMODULEKEY"):
            self.assertEqual(dialer.call(forbidden, {"key": "00"}).body["code"], 1, forbidden)
        self.assertEqual(dialer.call("PING", target="2").kind, "PONG")
        self.assertEqual(dialer.call("PING", target="4711").body["code"], 1)

    def test_rows_put_by_a_client_are_found_by_each_filter(self):
        dialer = self.dialer()
        dialer.greet()
        for number in range(20):
            data = {"code": 120, "etime": 1_700_000_000 + number, "token": "put", "instant": 0, "data": {"n": number, "ä": "€"}}
            self.assertEqual(dialer.call("PUTLOG", data, token="put").body["code"], 0)
        rows = dialer.rows(token="put")
        self.assertEqual([json.loads(row["data"])["n"] for row in rows], list(range(20)))
        self.assertEqual(json.loads(rows[0]["data"]), {"n": 0, "ä": "€"})
        self.assertEqual(len(dialer.rows(token="put", etime=1_700_000_014)), 5)
        self.assertEqual(len(dialer.rows(token="put", id=rows[16]["id"])), 3)
        # Sent back as it came, the time of a row does not bring that row again.
        self.assertEqual([row["id"] for row in dialer.rows(token="put", ctime=rows[18]["ctime"])], [rows[19]["id"]])
        self.assertEqual([row["id"] for row in dialer.rows(token="put", limit=2)], [row["id"] for row in rows[18:]])
        self.assertEqual(dialer.rows(token="put", code=2), [])

    def test_frames_that_are_no_messages_harm_no_session(self):
        dialer = self.dialer()
        dialer.greet()
        for frame in (b"x", b"", b"[HELO]", base64.b64encode(os.urandom(64)), b"[" * 70_000, b"[a] [b] [c]", dialer.cipher.seal("no brackets"),
                      dialer.cipher.seal("[PING]")):
            dialer.socket.send(frame)
            started = clock()
            dialer.take_frame()
            self.assertLess(clock() - started, 1, frame[:20])
        dialer.socket.send_multipart([b"[GETPUBKEY]", b"second part"])
        self.assertEqual(dialer.call("PING", token="alive").token, "alive")

    def test_the_key_is_asked_for_in_the_middle_of_a_session(self):
        dialer = self.dialer()
        dialer.greet()
        self.assertEqual(thumbprint(dialer.ask_key()), self.poller.thumbprint())
        self.assertEqual(dialer.call("PING").kind, "PONG")

    def test_bytes_that_are_no_utf8_are_read_as_latin_1(self):
        dialer = self.dialer()
        dialer.greet()
        dialer.send(b'[PUTLOG] [lat] [] {"code":120,"etime":1700000000,"token":"lat","data":{"x":"\xe4 \\u00e4"}}')
        dialer.take()
        self.assertEqual(json.loads(dialer.rows(token="lat")[0]["data"]), {"x": "ä ä"})

    def copy(self, dialer, blob, destination, kind, size=150_000, md5=None, **last):
        token = "copy-" + secrets.token_hex(8)
        common = {"type": kind, "destination": str(destination), "cache_dir": str(self.directory / "cache")}
        for start in range(0, len(blob), size):
            part = blob[start:start + size]
            chunk = {"data": base64.encodebytes(part).decode(), "size": len(part)}
            content = {**common, "status": "inprogress", "md5": None, "chunk": chunk}
            dialer.call("PROCESSCOPY", {"content": content, "parameters": {"no_fork": 1}}, token=token)
        content = {**common, "status": "end", "chunk": None, "md5": md5 or hashlib.md5(blob).hexdigest(), **last}
        dialer.call("PROCESSCOPY", {"content": content, "parameters": {"no_fork": 1}}, token=token)
        return dialer.outcome(token)

    def test_a_file_is_copied_whole_or_not_at_all(self):
        (self.directory / "cache").mkdir()
        dialer = self.dialer()
        dialer.greet()
        blob, target = os.urandom(1_000_003), self.directory / "got.bin"
        rows = self.copy(dialer, blob, target, "regular", mode="0640")
        self.assertEqual([row["code"] for row in rows], [101] * 7 + [2])
        self.assertEqual(target.read_bytes(), blob)
        self.assertEqual(target.stat().st_mode & 0o777, 0o640)
        rows = self.copy(dialer, b"another", target, "regular", md5="0" * 32)
        self.assertEqual((rows[-1]["code"], json.loads(rows[-1]["data"])["message"]), (1, "md5 does not match"))
        self.assertEqual(target.read_bytes(), blob)
        self.assertEqual(list((self.directory / "cache").iterdir()), [], "partial files stayed behind")

    def test_an_archive_is_unpacked_over_its_destination(self):
        (self.directory / "cache").mkdir()
        dialer = self.dialer()
        dialer.greet()
        packed, target = io.BytesIO(), self.directory / "tree"
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for number in range(200):
                member = tarfile.TarInfo(f"./folder{number % 7}/file{number}.cfg")
                member.size, member.mode = 3, 0o644
                archive.addfile(member, io.BytesIO(b"%03d" % number))
        target.mkdir()
        (target / "stays.cfg").write_text("x")
        rows = self.copy(dialer, packed.getvalue(), target, "archive")
        self.assertEqual((rows[-1]["code"], json.loads(rows[-1]["data"])["message"]), (2, "process copy finished successfully"))
        self.assertEqual(len([path for path in target.rglob("*") if path.is_file()]), 201)
        self.assertEqual((target / "folder1" / "file8.cfg").read_bytes(), b"008")

    def test_an_archive_that_leads_out_of_its_destination_is_refused(self):
        (self.directory / "cache").mkdir()
        dialer = self.dialer()
        dialer.greet()
        target, outside = self.directory / "tree", self.directory / "outside.txt"
        target.mkdir()
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, ".."
        for members in ([tarfile.TarInfo("../outside.txt")], [tarfile.TarInfo(str(outside))], [link, tarfile.TarInfo("link/outside.txt")]):
            packed = io.BytesIO()
            with tarfile.open(fileobj=packed, mode="w:gz") as archive:
                for member in members:
                    archive.addfile(member)
            rows = self.copy(dialer, packed.getvalue(), target, "archive")
            self.assertEqual(rows[-1]["code"], 1, members)
            self.assertFalse(outside.exists(), members)

    def test_the_session_key_is_renewed_and_the_old_one_still_opens(self):
        self.poller.stop()
        self.poller.configure("50-rotation", {"gorgonecore": {"external_com_rotation": 1}})
        # A minute is the least there is, so the session is made to look older than that.
        dialer = self.dialer()
        self.poller.start()
        dialer.greet()
        dialer.call("PING")  # a session that nobody has used is not kept
        self.poller.stop()
        self.poller.age_sessions(120)
        self.poller.start()
        old = dialer.cipher
        dialer.send(request("PING", token="first"))
        self.assertEqual(dialer.take(15).token, "first")
        eventually(lambda: dialer.call("PING") and dialer.cipher.key != old.key, 10, "a new session key")
        dialer.socket.send(old.seal(request("PING", token="late")))
        self.assertEqual(dialer.take().token, "late")


class OurCentral(FleetCase):
    def start_with(self, **faults):
        self.central = self.make_central()
        self.listener = Listener(draw_key(), [self.central.thumbprint()], **faults).start()
        self.addCleanup(self.listener.stop)
        self.central.nodes({"id": 2, "type": "push_zmq", "address": "127.0.0.1", "port": self.listener.port})
        self.central.start()
        self.wait_seen(self.central, 2)

    def every_result_arrives(self, count, wait_s=15):
        api = self.central.api()
        for number in range(count):
            rows = api.run(2, f"command {number}", wait_s=wait_s)
            self.assertEqual((codes(rows), outputs(rows)), ([0, 100, 2], [f"ran command {number}"]))

    def test_a_faultless_poller(self):
        self.start_with()
        self.every_result_arrives(20)
        self.assertEqual(self.listener.actions().count("COMMAND"), 20)
        self.assertEqual(self.listener.greetings, 1)
        self.assertEqual({message.target for message in self.listener.taken}, {""})

    def test_a_poller_that_changes_its_key_all_the_time(self):
        self.start_with(rotate_every=3)
        self.every_result_arrives(15)
        self.assertEqual(self.listener.actions().count("COMMAND"), 15)
        self.assertEqual(self.listener.greetings, 1, "a rotated key was answered by a new handshake")

    def test_a_poller_that_forgets_its_sessions_all_the_time(self):
        self.start_with(forget_every=3)
        self.every_result_arrives(15)
        self.assertEqual(self.listener.actions().count("COMMAND"), 15)
        self.assertGreater(self.listener.greetings, 5)

    def test_a_slow_poller(self):
        self.start_with(slow_s=0.3)
        self.every_result_arrives(4)

    def test_a_poller_that_falls_silent_is_left_alone_and_holds_up_nothing(self):
        self.start_with(mute_after=8)
        api = self.central.api()
        for number in range(10):
            api.submit(2, f"command {number}")
        started = clock()
        self.assertEqual(outputs(api.run(None, "echo here")), ["here"])
        self.assertLess(clock() - started, 2)
        self.assertLess(self.central.stop(), 5)

    def test_commands_given_all_at_once_arrive_in_order_and_once(self):
        self.start_with()
        api = self.central.api()
        tokens = [api.submit(2, f"command {number}") for number in range(200)]
        eventually(lambda: self.listener.actions().count("COMMAND") >= 200, 15, "the arrival of all commands")
        self.assertEqual([message.token for message in self.listener.taken if message.kind == "COMMAND"], tokens)


if __name__ == "__main__":
    unittest.main()
