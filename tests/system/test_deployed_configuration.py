"""The configuration files and the command line that a host has from its deployed daemon."""
import json
import os
import subprocess
import unittest

from fleet import BIN, FleetCase
from pace import SLOWNESS

ACTION = "gorgone::modules::core::action::hooks"


class Deployed(FleetCase):
    def setUp(self):
        self.poller = self.make_poller("x" * 43, free=False)

    def write(self, name, *modules):
        """A file of config.d with these entries, each on lines of its own."""
        (self.poller.config_d / name).write_text(json.dumps({"gorgone": {"modules": modules}}, indent=1))

    def run_daemon(self, *arguments, check=True, **variables):
        command = [BIN / "gorgoned", *(["--check"] if check else []), *(arguments or ("--config", self.poller.config))]
        return subprocess.run(command, capture_output=True, text=True, timeout=30 * SLOWNESS, env={**os.environ, **variables})

    def check(self, status=0):
        done = self.run_daemon()
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stderr

    def start(self):
        self.poller.launch()
        self.poller.wait_log(r"\[core\] started: \d modules")
        return self.poller.log()


class Entries(Deployed):
    def test_the_whitelist_of_the_package_holds_beside_the_bare_entry_of_the_web_interface(self):
        central = self.make_central()
        self.poller = self.make("poller-7", "poller", {"*:5556": "127.0.0.1:0", "THUMBPRINT-OF-THE-CENTRAL": central.thumbprint()}, free=False)
        listed = "      whitelist_cmds: true\n      allowed_cmds: !include whitelist.conf.d/*.yaml\n"
        self.poller.edit("      command_timeout: 30\n" + listed, "")
        (self.poller.config_d / "39-action.yaml").write_text(
            f'gorgone:\n  modules:\n    - name: action\n      package: "{ACTION}"\n      enable: true\n      command_timeout: 30\n' + listed)
        told = r"modules\.action: the entry at 40-gorgoned\.yaml:\d+ has no effect: that at 39-action\.yaml:3 is of the same module"
        self.assertRegex(self.check(), "warning: " + told)
        self.poller.start()
        self.poller.wait_log("WARNING - .*" + told)
        rows = self.dial(self.poller, central).run("echo not on the list")
        self.assertIn("command not allowed", json.loads(rows[-1]["data"])["message"])

    def test_an_entry_that_is_not_enabled_does_not_stand_before_one_that_is(self):
        self.write("39-action.yaml", {"name": "action", "package": ACTION, "enable": False, "command_timeout": "not looked at"})
        self.assertNotIn("modules.action", self.check())

    def test_an_entry_that_does_not_say_enable_is_passed_over_with_a_warning(self):
        self.write("50-proxy.yaml", {"name": "proxy", "package": "gorgone::modules::core::proxy::hooks"})
        told = r"modules\.proxy\.enable: missing \(50-proxy\.yaml:\d+\): the entry is passed over.*enable: true"
        self.assertRegex(self.check(), "warning: " + told)
        log = self.start()
        self.assertRegex(log, "WARNING - .*" + told)
        self.assertNotIn("[proxy]", log)

    def test_the_database_is_cleaned_though_the_entry_of_the_cleaner_is_not_enabled(self):
        package = 'package: "gorgone::modules::core::dbcleaner::hooks"\n      enable: '
        self.poller.edit(package + "true", package + "false")
        self.assertIn("module 'dbcleaner' started", self.start())


class ModulesOfDeployedDaemons(Deployed):
    def test_modules_that_this_agent_has_not_are_told_with_what_does_not_happen_and_the_configuration_is_usable(self):
        self.write("50-more.yaml", *({"name": name, "package": f"gorgone::modules::{package}::hooks", "enable": True} for name, package in
                                     (("cron", "core::cron"), ("statistics", "centreon::statistics"), ("mbi-etl", "centreon::mbi::etl"))))
        said = self.check()
        self.assertRegex(said, r"warning: modules\.cron: this agent has no module 'cron': the jobs of its cron \(cron\.d\) do not run \(50-more\.yaml:\d+\)")
        self.assertRegex(said, r"config\.yaml: usable, without: cron, statistics, mbi-etl\n$")
        self.assertNotIn("error", said)
        log = self.start()
        for name in ("cron", "statistics", "mbi-etl"):
            self.assertRegex(log, rf"WARNING - \[core\] this agent has no module '{name}': ")
        self.assertNotIn(" - ERROR - ", log)

    def test_a_package_of_any_form_may_stand_in_an_entry_that_is_not_enabled(self):
        self.write("50-more.yaml", {"name": "own", "package": "our::own::thing", "enable": False})
        self.assertRegex(self.check(), r"fine\n$")
        self.write("50-more.yaml", {"name": "own", "package": "our::own::thing", "enable": True})
        self.assertIn("modules.own.package: got", self.check(status=1))


class Vault(Deployed):
    def test_a_password_in_a_vault_keeps_the_module_from_running(self):
        central = self.make_central()
        central.nodes()
        secret = "secret::hashicorp_vault::centreon/data/gorgone::password"
        central.replace_module("httpserver", address="127.0.0.1", port=0, auth={"enabled": True, "user": "u", "password": secret})
        central.launch()
        central.wait_log(r"ERROR - .*modules\.httpserver\.auth\.password: is kept in a vault \(10-httpserver\.yaml:\d+\), which cannot be read yet")
        central.wait_log(r"\[core\] started: \d modules")
        self.assertNotIn("[httpserver]", central.log())

    def test_a_value_of_the_core_in_a_vault_keeps_the_daemon_from_starting(self):
        self.poller.edit("id: 2", 'id: "secret::hashicorp_vault::a::b"')
        done = self.run_daemon("--config", self.poller.config, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"gorgonecore\.id: is kept in a vault \(40-gorgoned\.yaml:\d+\)")


class CommandLine(Deployed):
    def test_the_environment_of_containers_names_configuration_and_log(self):
        self.assertRegex(self.run_daemon("--severity", "info", GORGONE_CONFIG=str(self.poller.config)).stderr, r"config\.yaml: fine\n$")
        log = self.directory / "elsewhere.log"
        variables = {"GORGONE_CONFIG": str(self.directory / "nowhere.yaml"), "GORGONE_LOG_FILE": str(log), "GORGONE_LOG_LEVEL": "error"}
        self.assertEqual(self.run_daemon("--flushoutput", check=False, **variables).returncode, 1)
        self.assertIn("nowhere.yaml", log.read_text())
        self.assertNotIn("WARNING", log.read_text())
        # The command line counts more.
        self.assertIn(f"{self.poller.config}: fine", self.run_daemon("--config", self.poller.config, **variables).stderr)

    def test_what_is_not_followed_of_the_environment_is_told(self):
        variables = {"GORGONE_UID": "7", "CENTRAL_HOST": "central.example", "GORGONE__GORGONE__GORGONECORE__ID": "7", "GORGONE_VAULT_FILE": "/nope"}
        said = self.run_daemon(**variables).stderr
        (line,) = [line for line in said.splitlines() if "environment" in line]
        self.assertRegex(line, r"^warning: set in the environment and not followed: ")
        for name in ("GORGONE_UID", "CENTRAL_HOST", "GORGONE__GORGONE__GORGONECORE__ID"):
            self.assertIn(name, line)
        self.assertNotIn("central.example", line)
        self.assertIn("warning: --vault: /nope: ", said)
        self.assertNotIn("environment", self.check())
        self.poller.environment = lambda environment=self.poller.environment(): {**environment, "GORGONE_TOKEN": "t"}
        self.assertRegex(self.start(), r"WARNING - \[core\] set in the environment and not followed: GORGONE_TOKEN; ")

    def test_the_levels_of_deployed_command_lines_are_taken(self):
        for level in ("7", "INFO", "none", "Error"):
            done = self.run_daemon("--flushoutput", "--severity", level, "--config", self.poller.config)
            self.assertEqual(done.returncode, 0, done.stderr)
        done = self.run_daemon("--severity", "1", "--config", self.poller.config)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("severity", done.stderr)


if __name__ == "__main__":
    unittest.main()
