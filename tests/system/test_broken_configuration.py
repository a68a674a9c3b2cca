"""Configurations that are wrong: all that is wrong is told by file, line, key, value and what was expected, and only that part does not run."""
import json
import os
import re
import socket
import subprocess
import unittest

from fleet import BIN, FleetCase, eventually
from pace import SLOWNESS
from test_unprivileged import ACCOUNT, can_be_another


NO_OTHER = f"root may read any file: this needs setpriv and a build that other users can read, not {BIN}"


class Wrong(FleetCase):
    def setUp(self):
        self.poller = self.make_poller("x" * 43)

    def as_another(self):
        """The daemon and its files are those of a user who is not root; needs can_be_another."""
        self.poller.prefix = ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--clear-groups"]
        self.directory.chmod(0o755)
        for path in [self.poller.directory, *self.poller.directory.rglob("*")]:
            os.chown(path, ACCOUNT, ACCOUNT)

    def check(self):
        done = subprocess.run([*self.poller.prefix, BIN / "gorgoned", "--check", "--config", self.poller.config], capture_output=True, text=True, timeout=30 * SLOWNESS)
        return done.returncode, done.stderr + done.stdout

    def write(self, name, text):
        path = self.poller.config_d / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def is_told(self, *expressions, status=1, starts=None):
        """By --check, and by the daemon, which starts or not."""
        got, text = self.check()
        self.assertEqual(got, status, text)
        for expression in expressions:
            self.assertRegex(text, expression)
        self.poller.launch()
        if starts is False:
            self.assertEqual(self.poller.process.wait(10 * SLOWNESS), 1)
            self.poller.process = None
        else:
            self.poller.wait_log(r"\[core\] started: \d modules")
            self.poller.stop()
        for expression in expressions:
            self.assertRegex(self.poller.log(), re.sub(r"^\(?(error|warning|\|)+\)?: ", "", expression))


class Yaml(Wrong):
    def test_yaml_that_does_not_parse_is_told_with_file_and_line_and_costs_that_file_only(self):
        for text, line in (("gorgone: [1, 2\n", 2), ("gorgone:\n  a: 1\n b: 2\n", 3), ("\tgorgone: 1\n", 1), ("a: 1\nb: 'never closed\n\n", 2), ("a: &x\nb: *y\n", 2), ("{" * 500, 1),
                           ("a: b: c\n", 1), ("- a\nb: 1\n", 2), ("a: !!binary [\n", 2), ("a\x00b: 1\n", 1), ("%YAML 9.9\n---\na: 1\n", 1), ("a: 1\n---\nb: 2\n", 3)):
            self.write("50-broken.yaml", text)
            status, said = self.check()
            self.assertEqual(status, 1, f"{text!r}: {said}")
            self.assertRegex(said, rf"error: .*50-broken\.yaml:({line}|{line - 1}|{line + 1})\b", text)
        self.is_told(r"error: .*50-broken\.yaml:\d+: ")

    def test_a_main_file_that_does_not_parse_keeps_the_daemon_from_starting(self):
        self.poller.config.write_text("configuration: [\n")
        self.is_told(r"error: .*config\.yaml:\d+: cannot be parsed as YAML", starts=False)

    def test_files_that_swell_or_nest_without_end_are_refused(self):
        laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
        for text, reason in ((laughs, "values in all, counting what aliases repeat"), ("a: " + "[" * 5000 + "]" * 5000, "deeper than"), ("- " * 5000, "deeper than"),
                             ("a: " + "x" * 70_000_000, "larger than")):
            self.write("50-broken.yaml", text)
            status, said = self.check()
            self.assertEqual(status, 1)
            self.assertIn(reason, said)
            self.assertLess(len(said), 5000)

    def test_bytes_that_are_no_utf8_are_taken_with_a_warning(self):
        self.write("50-latin.yaml", 'gorgone: {gorgonecore: {hostname: "p\xf6ller"}}\n'.encode("latin-1"))
        self.is_told(r"warning: .*50-latin\.yaml.*not all of it is UTF-8", status=0)

    def test_no_value_at_all_is_a_configuration_too(self):
        for text in ("", "\n", "# nothing\n", "---\n", "null\n", "{}\n"):
            self.write("50-empty.yaml", text)
            status, said = self.check()
            self.assertEqual(status, 0, f"{text!r}: {said}")


class Includes(Wrong):
    def test_a_loop_is_told_with_its_files(self):
        self.write("50-a.yaml", "gorgone: !include loop/one.yaml\n")
        loop = self.poller.config_d / "loop"
        loop.mkdir()
        (loop / "one.yaml").write_text("x: !include two.yaml\n")
        (loop / "two.yaml").write_text("y: !include one.yaml\n")
        self.is_told(r"error: two\.yaml:1: an include loop: one\.yaml -> two\.yaml -> one\.yaml")
        (loop / "one.yaml").write_text("x: !include one.yaml\n")
        self.is_told(r"error: one\.yaml:1: an include loop: one\.yaml -> one\.yaml")

    def test_a_file_that_is_missing_or_no_file_is_told_with_where_it_was_asked_for(self):
        self.write("50-a.yaml", f"gorgone:\n  x: !include {self.directory}/nowhere.yaml\n")
        self.is_told(rf"warning: 50-a\.yaml:2: !include {self.directory}/nowhere\.yaml: there is no file {self.directory}/nowhere\.yaml", status=0)
        self.write("50-a.yaml", f"gorgone:\n  x: !include {self.directory}\n")
        self.is_told(rf"error: cannot read {self.directory}: it is a directory, expected a file \(included at 50-a\.yaml:2\)")
        self.write("50-a.yaml", "gorgone:\n  x: !include ','\n")
        self.is_told(r"error: 50-a\.yaml:2: !include names no file, expected a path or a pattern such as config\.d/\*\.yaml")

    def test_a_pattern_that_matches_nothing_is_no_error(self):
        self.write("50-a.yaml", "gorgone: !include nothing-here/*.yaml\n")
        self.assertEqual(self.check()[0], 0)

    @unittest.skipIf(os.geteuid() == 0 and not can_be_another(), NO_OTHER)
    def test_an_include_that_may_not_be_read_is_told(self):
        self.write("55-unreadable.yaml", "a: 1\n").chmod(0)
        if os.geteuid() == 0:
            self.as_another()
        self.is_told(r"error: cannot read \S+/55-unreadable\.yaml: Permission denied \(included at config\.yaml:\d+\)")


class Values(Wrong):
    def test_unknown_options_name_the_nearest_known_and_do_not_stop_anything(self):
        self.poller.edit("command_timeout: 30", "comand_timeout: 30")
        self.write("50-core.yaml", "gorgone:\n  gorgonecore:\n    fingerprint_mod: first\n    entirely_something_else: 1\n")
        self.is_told(r"warning: modules\.action\.comand_timeout: unknown .*40-gorgoned\.yaml:\d+.*command_timeout",
                     r"warning: gorgonecore\.fingerprint_mod: unknown .*50-core\.yaml:3.*fingerprint_mode",
                     r"warning: gorgonecore\.entirely_something_else: unknown .*50-core\.yaml:4", status=0)

    def test_wrong_types_and_ranges_of_the_core_are_told_together_and_it_does_not_start(self):
        self.write("50-core.yaml", json.dumps({"gorgone": {"gorgonecore": {
            "external_com_keysize": 33, "external_com_padding": "maybe", "external_com_rotation": 0, "timeout": -1, "max_message_size": "1e9", "max_unread_bytes": 10**30,
            "fingerprint_mode": ["first"], "modules_dir": {"a": 1}, "ipv6": 2}}}, indent=1))
        expected = [("external_com_keysize", '"33"', r"16, 24, 32"), ("external_com_padding", '"maybe"', "true or false"), ("external_com_rotation", '"0"', "minutes from 1 to 525600"),
                    ("timeout", '"-1"', "seconds from 1 to 3600"), ("max_message_size", '"1e9"', "bytes from 65536"), ("max_unread_bytes", '"1' + "0" * 30 + '"', "bytes from 65536"),
                    ("fingerprint_mode", "a list", "always, first, strict"), ("modules_dir", "a map", "a path"), ("ipv6", '"2"', "true or false")]
        self.is_told(*(rf"error: gorgonecore\.{key}: got {re.escape(got)} \(50-core\.yaml:\d+\), expected .*{wanted}" for key, got, wanted in expected), starts=False)

    def test_roots_of_the_wrong_kind_are_told(self):
        for text, key in (("gorgone: text\n", "gorgone"), ("gorgone: {modules: {name: action}}\n", "modules"), ("gorgone: {modules: [text]}\n", "modules"),
                          ("gorgone: {modules: [{enable: true}]}\n", "modules"), ("gorgone: {gorgonecore: [1]}\n", "gorgonecore")):
            self.write("50-root.yaml", text)
            status, said = self.check()
            self.assertRegex(said, rf"(error|warning): .*{key}.*50-root\.yaml:1", text)

    def test_a_secret_of_the_wrong_kind_is_not_repeated(self):
        self.poller.configure("60-http", {"modules": [{"name": "httpserver", "package": "gorgone::modules::core::httpserver::hooks", "enable": True, "address": "127.0.0.1", "port": 0,
                                                       "auth": {"enabled": True, "user": "u", "password": ["hunter2"]}, "passphrase": {"x": "hunter3"}}]})
        status, said = self.check()
        self.assertEqual(status, 1)
        self.assertIn("auth.password", said)
        self.assertNotIn("hunter", said)


class KeysAndPorts(Wrong):
    def test_a_key_that_is_broken_or_no_key_keeps_it_from_starting_and_stays_as_it_is(self):
        good = self.poller.private_key.read_bytes()
        for content in (b"", b"no key", good[:400], os.urandom(1000), self.poller.public_key.read_bytes()):
            self.poller.private_key.write_bytes(content)
            self.is_told(rf"error: gorgonecore\.privkey: .*{self.poller.private_key}", starts=False)
            self.assertEqual(self.poller.private_key.read_bytes(), content, "a key was overwritten")
        self.assertNotIn("no key\n", self.poller.log())

    def test_a_missing_half_of_the_pair_keeps_it_from_starting_and_is_not_made_anew(self):
        self.poller.private_key.unlink()
        self.is_told(rf"error: gorgonecore\.privkey: .*{self.poller.private_key}", starts=False)
        self.assertFalse(self.poller.private_key.exists())

    def test_halves_of_two_pairs_are_told(self):
        private = self.poller.private_key.read_bytes()
        self.poller.make_keys(force=True)
        self.poller.private_key.write_bytes(private)
        self.is_told(rf"error: gorgonecore\.pubkey: {self.poller.public_key} does not belong to the private key {self.poller.private_key}", starts=False)

    @unittest.skipIf(os.geteuid() == 0 and not can_be_another(), NO_OTHER)
    def test_a_key_that_may_not_be_read_keeps_it_from_starting_and_stays_as_it_is(self):
        if os.geteuid() == 0:
            self.as_another()
        for key, option in ((self.poller.private_key, "privkey"), (self.poller.public_key, "pubkey")):
            content, mode = key.read_bytes(), key.stat().st_mode
            key.chmod(0)
            self.is_told(rf"error: gorgonecore\.{option}: .*{key}.*Permission denied", starts=False)
            key.chmod(mode & 0o777)
            self.assertEqual(key.read_bytes(), content, "a key was made anew")

    def test_a_key_readable_by_others_is_a_warning(self):
        self.poller.private_key.chmod(0o644)
        self.is_told(rf"warning: gorgonecore\.privkey: users beyond its owner and its group can read {self.poller.private_key}; expected mode 0600, or 0640\n",
                     status=0)
        for mode in (0o600, 0o640):
            self.poller.private_key.chmod(mode)
            self.assertNotIn("expected mode", self.check()[1])

    def test_a_key_of_a_server_with_tls_readable_by_others_is_a_warning(self):
        key, certificate = self.directory / "http.key", self.directory / "http.crt"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=x"],
                       check=True, capture_output=True)
        tls = {"address": "127.0.0.1", "port": 0, "ssl": True, "ssl_cert_file": str(certificate), "ssl_key_file": str(key)}
        self.poller.replace_module("httpserver", **tls)
        self.poller.replace_module("proxy", httpserver={"enable": True, "token": "a token", **tls})
        for mode, is_told in ((0o604, True), (0o640, False)):
            key.chmod(mode)
            said = self.check()[1]
            for option in ("modules.httpserver.ssl_key_file", "modules.proxy.httpserver.ssl_key_file"):
                line = f"warning: {option}: users beyond its owner and its group can read {key}; expected mode 0600, or 0640\n"
                self.assertEqual(line in said, is_told, said)

    def test_a_directory_for_the_keys_that_cannot_be_made_is_told(self):
        self.write("50-keys.yaml", "gorgone: {gorgonecore: {privkey: /proc/nowhere/priv.pem, pubkey: /proc/nowhere/pub.pem}}\n")
        self.poller.launch()
        self.assertEqual(self.poller.process.wait(10 * SLOWNESS), 1)
        self.poller.process = None
        self.assertRegex(self.poller.log(), r"ERROR - \[core\] gorgonecore\.privkey: cannot make a key pair: /proc/nowhere: the directory cannot be made: ")

    def test_a_port_in_use_or_no_address_keeps_it_from_starting(self):
        form, free = "address:port", "an address of this machine and a free port"
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for path, why, expected in ((f"127.0.0.1:{port}", "Address already in use", free), ("127.0.0.1:99999", "ports end at 65535", form), ("127.0.0.1", "there is no port", form),
                                        ("nonsense", "there is no port", form), ("127.0.0.1:http", "that is no address", form), (":5556", "that is no address", form),
                                        ("192.0.2.1:0", "", free), ("no.such.host.invalid:0", "", free)):
                self.write("50-port.yaml", f'gorgone: {{gorgonecore: {{external_com_path: "{path}"}}}}\n')
                status, said = self.check()
                # What this machine has is seen at the start only.
                self.assertEqual(status, 1 if expected == form else 0, said)
                self.assertEqual("cannot listen on" in said, expected == form, said)
                self.poller.launch()
                self.assertEqual(self.poller.process.wait(20 * SLOWNESS), 1, path)
                self.poller.process = None
                self.assertRegex(self.poller.log(), rf'ERROR - \[core\] gorgonecore\.external_com_path: cannot listen on "{re.escape(path)}": {why}.*; expected {expected}, such as')


class Nodes(FleetCase):
    def test_a_wrong_entry_among_the_nodes_is_left_out_at_the_start_too_and_named_by_its_place(self):
        central = self.make_central()
        central.nodes({"id": 2, "type": "pull"}, {"id": 3, "type": "pull", "port": 99999}, {"id": 2, "type": "wss"}, {"type": "pull"}, {"id": 5, "type": "pull"})
        wrong = (r"register\.nodes\[1\]\.port: got \"99999\" \(nodes\.yaml:\d+\), expected", r"register\.nodes\[2\]\.id: 2 is there twice \(nodes\.yaml:\d+\); the first counts",
                 r"register\.nodes\[3\]\.id: missing \(nodes\.yaml:\d+\)")
        done = subprocess.run([BIN / "gorgoned", "--check", "--config", central.config], capture_output=True, text=True, timeout=30 * SLOWNESS)
        self.assertEqual(done.returncode, 0, done.stderr)
        central.start()
        for expression in wrong:
            self.assertRegex(done.stderr, f"warning: {expression}.*; this entry is left out")
            self.assertRegex(central.log(), f"ERROR - .*{expression}")
        api = central.api()
        eventually(lambda: {"2", "5"} <= set(api.nodes()), 10, "the sound nodes")
        self.assertNotIn("3", api.nodes())
        row = api.poll(None, api.request("POST", "/api/core/register/resync")[1]["token"], 10)[-1]
        self.assertEqual(row["code"], 2)
        self.assertRegex(str(row["data"]), r"2 nodes registered, 3 left out, see the log: register\.nodes\[1\]\.port")


if __name__ == "__main__":
    unittest.main()
