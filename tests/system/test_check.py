"""gorgoned --check: says all that is wrong and starts nothing."""
import subprocess
import unittest

from fleet import BIN, FleetCase
from pace import SLOWNESS


class Check(FleetCase):
    def check(self, daemon):
        done = subprocess.run([BIN / "gorgoned", "--check", f"--config={daemon.config}"], capture_output=True, text=True, timeout=30 * SLOWNESS)
        return done.returncode, done.stdout + done.stderr

    def line_of(self, daemon, text, file="40-gorgoned.yaml"):
        lines = (daemon.config_d / file).read_text().splitlines()
        return next(number for number, line in enumerate(lines, 1) if text in line)

    def make_all(self):
        return [self.make_central(free=False), self.make_poller("x" * 43, free=False), self.make_remote("x" * 43),
                self.make("poller-5", "poller-pull", {"id: 2": "id: 5"}, free=False),
                self.make("poller-pullwss", "poller-pullwss", {}, free=False), self.make("broker", "mcollective", {}, free=False)]

    def test_the_examples_are_right_as_they_are(self):
        for daemon in self.make_all():
            if not daemon.private_key.exists():
                daemon.make_keys()
            before = sorted(daemon.directory.rglob("*"))
            status, text = self.check(daemon)
            self.assertEqual(status, 0, text)
            self.assertNotRegex(text.lower(), "warning|error|unknown", daemon.role)
            self.assertEqual(sorted(daemon.directory.rglob("*")), before, "something was written")

    def test_a_wrong_value_is_told_with_its_place_and_what_was_expected(self):
        poller = self.make_poller("x" * 43)
        poller.edit("command_timeout: 30", "command_timeout: abc")
        line = self.line_of(poller, "command_timeout")
        status, text = self.check(poller)
        self.assertEqual(status, 1, text)
        self.assertRegex(text, rf'modules\.action\.command_timeout: got "abc" \(40-gorgoned\.yaml:{line}\), expected .*\(default 30')

    def test_a_central_to_dial_that_is_no_host_and_port_is_told(self):
        poller = self.make("poller-5", "poller-pull", {"id: 2": "id: 5"})
        for path in ("192.0.2.1", "192.0.2.1:", ":5556", "192.0.2.1:65536", "tcp://192.0.2.1:5556", "2001:db8::1:5556"):
            poller.replace_module("pull", target_path=path)
            status, text = self.check(poller)
            self.assertEqual(status, 1, text)
            self.assertRegex(text, rf'modules\.pull\.target_path: got "{path}" \(10-pull\.yaml:\d+\), expected host:port')
        for path in ("central.example:5556", "[2001:db8::1]:5556"):
            poller.replace_module("pull", target_path=path)
            self.assertNotIn("target_path", self.check(poller)[1])

    def test_all_that_is_wrong_is_told_at_once(self):
        central = self.make_central()
        central.edit("port: 0", "port: 99999")
        central.edit("fingerprint_mode: first", "fingerprint_mode: sometimes")
        central.edit("      config_file: ", "      config_fil: ")
        status, text = self.check(central)
        self.assertEqual(status, 1, text)
        self.assertRegex(text, rf"modules\.httpserver\.port: got \"?99999\"? \(40-gorgoned\.yaml:{self.line_of(central, 'port: 99999')}\)")
        self.assertRegex(text, r"gorgonecore\.fingerprint_mode: got \"sometimes\" .*always.*first.*strict|gorgonecore\.fingerprint_mode: got \"sometimes\" .*first.*always.*strict")
        self.assertRegex(text, r"modules\.register\.config_file: missing")
        self.assertRegex(text, r"modules\.register\.config_fil: unknown .*config_file")

    def test_an_unknown_key_is_a_warning_that_names_the_nearest(self):
        poller = self.make_poller("x" * 43)
        poller.edit("command_timeout: 30", "comand_timeout: 30")
        status, text = self.check(poller)
        self.assertEqual(status, 0, text)
        self.assertRegex(text, rf"modules\.action\.comand_timeout: unknown .*40-gorgoned\.yaml:{self.line_of(poller, 'comand_timeout')}.*command_timeout")

    def test_what_stands_at_the_wrong_place_is_told(self):
        poller = self.make_poller("x" * 43)
        (poller.config_d / "60-pasted.yaml").write_text("httpserver:\n  enable: true\n")
        (poller.config_d / "61-list.yaml").write_text("- name: content\n")
        status, text = self.check(poller)
        self.assertRegex(text, r"warning: configuration\.httpserver: unknown option \(60-pasted\.yaml:\d\)")
        self.assertRegex(text, r"error: the top level of 61-list\.yaml:1: a list in 61-list\.yaml:1 cannot be joined with a map in ")
        poller.config.write_text(f"configuration: !include {poller.config_d}x/*.yaml\n")
        self.assertRegex(self.check(poller)[1], r"warning: config\.yaml:1: !include .*: there is no folder .*config\.dx")

    def test_a_vault_is_told_not_to_be_read(self):
        poller = self.make_poller("x" * 43)
        done = subprocess.run([BIN / "gorgoned", "--check", "--vault", "/nope", f"--config={poller.config}"], capture_output=True, text=True,
                              timeout=30 * SLOWNESS)
        self.assertIn("warning: --vault: /nope: secrets in a vault cannot be read yet", done.stderr)

    def test_an_expression_that_does_not_compile_is_told(self):
        poller = self.make_poller("x" * 43)
        (poller.config_d / "whitelist.conf.d" / "wrong.yaml").write_text("- ^fine$\n- ^(never closed\n")
        status, text = self.check(poller)
        self.assertEqual(status, 1, text)
        self.assertIn("never closed", text)
        self.assertIn("allowed_cmds", text)

    def test_broken_yaml_is_told_with_its_file_and_line(self):
        poller = self.make_poller("x" * 43)
        (poller.config_d / "50-broken.yaml").write_text("gorgone:\n  gorgonecore:\n    id: [1, 2\n  modules: }\n")
        status, text = self.check(poller)
        self.assertEqual(status, 1, text)
        self.assertRegex(text, r"50-broken\.yaml:\d")

    def test_a_missing_file_is_told(self):
        poller = self.make_poller("x" * 43)
        poller.config.unlink()
        status, text = self.check(poller)
        self.assertEqual(status, 1, text)
        self.assertIn(str(poller.config), text)

    def test_a_module_that_is_not_there_is_told(self):
        poller = self.make_poller("x" * 43)
        poller.configure("60-more", {"modules": [{"name": "nosuch", "package": "gorgone::modules::core::nosuch::hooks", "enable": True}]})
        status, text = self.check(poller)
        self.assertEqual(status, 1, text)
        self.assertRegex(text, r"error: modules\.nosuch: there is no \S+/nosuch\.so \(60-more\.yaml:\d+\)")

    def test_the_daemon_refuses_to_start_on_a_wrong_core_configuration(self):
        poller = self.make_poller("x" * 43)
        poller.edit("external_com_type: tcp", "external_com_type: pigeon")
        poller.launch()
        self.assertEqual(poller.process.wait(15 * SLOWNESS), 1)
        poller.process = None
        self.assertRegex(poller.log() + poller.output_file.read_text(), r"gorgonecore\.external_com_type: got \"pigeon\"")

    def test_a_wrong_option_of_one_module_does_not_keep_the_others_from_running(self):
        central = self.make_central()
        poller = self.make_poller(central.thumbprint())
        poller.edit("command_timeout: 30", "command_timeout: abc")
        poller.start()
        poller.wait_log(r'ERROR.*modules\.action\.command_timeout: got "abc"')
        self.assertEqual(self.dial(poller, central).call("PING").kind, "PONG")

    def test_unknown_arguments_are_refused_and_help_is_given(self):
        done = subprocess.run([BIN / "gorgoned", "--colour"], capture_output=True, text=True, timeout=10 * SLOWNESS)
        self.assertGreater(done.returncode, 0)  # a signal is below
        self.assertIn("--colour", done.stderr + done.stdout)
        done = subprocess.run([BIN / "gorgoned", "--help"], capture_output=True, text=True, timeout=10 * SLOWNESS)
        self.assertEqual(done.returncode, 0)
        for argument in ("--config", "--logfile", "--severity", "--check", "--modules", "--version"):
            self.assertIn(argument, done.stdout)
        done = subprocess.run([BIN / "gorgoned", "--version"], capture_output=True, text=True, timeout=10 * SLOWNESS)
        self.assertRegex(done.stdout, r"\d+\.\d+\.\d+")

    def test_the_listener_for_websockets_says_what_is_wrong_with_it(self):
        central = self.make_central()
        central.replace_module("proxy", httpserver={"enable": True, "address": "192.0.2.1", "port": 99999, "ssl": True, "tokn": "x"})
        status, text = self.check(central)
        self.assertEqual(status, 1, text)
        self.assertRegex(text, r'modules\.proxy\.httpserver\.port: got "99999"')
        self.assertRegex(text, r"modules\.proxy\.httpserver\.tokn: unknown .*token")
        central.replace_module("proxy", httpserver={"enable": True, "ssl": True})
        status, text = self.check(central)
        self.assertEqual(status, 1, text)
        self.assertRegex(text, r"modules\.proxy\.httpserver\.ssl_cert_file: is missing while httpserver\.ssl is set")
        self.assertRegex(text, r"neither httpserver\.token nor httpserver\.nodes is set")


if __name__ == "__main__":
    unittest.main()
