#!/usr/bin/env python3
"""A real MariaDB of Debian's package on a socket in a directory of its own.

    database = MariaDb(directory)            # or MariaDb(directory, port=True, tls=True)
    database.start()
    database.create_centreon("26")           # tables and rows of centreon_tables.py, in a database "centreon"
    database.execute("UPDATE nagios_server SET ns_activate = '0' WHERE id = 4")
    database.configure(daemon)               # writes the daemon's config.d/60-database.yaml
    database.stop(), .kill(), .freeze(), .thaw(), .start()

It ends with the test's process at the latest. Its log is mariadb.log in its directory. As a program,

    mariadb.py DIRECTORY [--port] [--tls]

it starts one, prints a line of JSON that describes it, and does what it reads: a line start, stop, kill, freeze, thaw or SQL, each answered
by a line of JSON; it ends with its input. That is how tests in other languages use it.
"""
import atexit
import ctypes
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from centreon_tables import centreon_tables
from pace import SLOWNESS, clock
from ports import free_port
from wss_fleet import Certificates

USER, PASSWORD = "centreon", "Secret;of='the\"database"
# Small, and without a single fsync: what it holds survives its own end, not the machine's.
OPTIONS = ["--skip-name-resolve", "--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M", "--innodb-flush-method=nosync",
           "--innodb-flush-log-at-trx-commit=2", "--innodb-fast-shutdown=2", "--key-buffer-size=64K", "--aria-pagecache-buffer-size=8M",
           "--performance-schema=OFF", "--skip-log-bin"]


def program(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not found:
        raise AssertionError(f"{name} is missing: packaging/dependencies.sh --tests installs it")
    return found


def empty_data():
    """A data directory with nothing but the server's own tables, made once in a test run (0.5 s)."""
    if "GORGONE_TEST_KEYS" in os.environ:
        kept = pathlib.Path(os.environ["GORGONE_TEST_KEYS"]) / "mariadb"
    else:
        os.environ["GORGONE_TEST_KEYS"] = tempfile.mkdtemp(prefix="gorgone-test-keys-")
        atexit.register(shutil.rmtree, os.environ["GORGONE_TEST_KEYS"], ignore_errors=True)
        return empty_data()
    if not kept.exists():
        made = pathlib.Path(tempfile.mkdtemp(dir=kept.parent))
        (made / "tmp").mkdir()
        user = pwd.getpwuid(os.getuid()).pw_name
        done = subprocess.run([program("mariadb-install-db"), "--no-defaults", f"--user={user}", f"--datadir={made}/data",
                               f"--tmpdir={made}/tmp", "--skip-test-db", "--auth-root-authentication-method=normal", *OPTIONS], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise AssertionError(f"mariadb-install-db ended with {done.returncode}: {done.stdout[-1500:]} {done.stderr[-1500:]}")
        try:
            os.rename(made, kept)
        except OSError:  # another suite was faster
            shutil.rmtree(made)
    return kept / "data"


def end_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class MariaDb:
    def __init__(self, directory, port=False, tls=False):
        self.directory = pathlib.Path(directory).resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.socket, self.log_file = self.directory / "mysqld.sock", self.directory / "mariadb.log"
        self.port = free_port() if port else None
        self.process, self.certificates = None, None
        # Of its own: a server that starts removes what others keep in a common one.
        self.temporary = self.directory / "tmp"
        self.temporary.mkdir(exist_ok=True)
        data = self.directory / "data"
        if not data.exists():
            shutil.copytree(empty_data(), data)
            self.is_new = True
        else:
            self.is_new = False
        if tls:
            self.certificates = make_certificates(self.directory)

    # Life

    def start(self, timeout=20):
        assert self.process is None, "the database runs already"
        user = pwd.getpwuid(os.getuid()).pw_name
        network = ["--bind-address=127.0.0.1", f"--port={self.port}"] if self.port else ["--skip-networking"]
        tls = [f"--ssl-{key}={path}" for key, path in (self.certificates or {}).items() if key in ("ca", "cert", "key")]
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [program("mariadbd"), "--no-defaults", f"--user={user}", f"--datadir={self.directory}/data", f"--socket={self.socket}",
                 f"--pid-file={self.directory}/mariadb.pid", f"--tmpdir={self.temporary}", *OPTIONS, *network, *tls],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=end_with_parent)
        end = clock() + timeout
        while not self.greets():
            assert self.process.poll() is None, f"mariadbd ended with {self.process.returncode}:\n{self.log_file.read_text()[-2000:]}"
            assert clock() < end, f"mariadbd did not answer within {timeout} s:\n{self.log_file.read_text()[-2000:]}"
            time.sleep(0.01)
        if self.is_new:
            self.is_new = False
            self.execute(f"CREATE USER {USER}@localhost IDENTIFIED BY {quoted(PASSWORD)}; GRANT ALL ON *.* TO {USER}@localhost;"
                         f"CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY {quoted(PASSWORD)}; GRANT ALL ON *.* TO {USER}@'127.0.0.1'", None)
        return self

    def greets(self):
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(1)
                probe.connect(str(self.socket))
                greeting = probe.recv(5)
                return len(greeting) == 5 and greeting[4] == 10  # the protocol's version, or 255: an error
        except OSError:
            return False

    def stop(self):
        """By SIGTERM, as systemd does; does nothing where it does not run."""
        if self.process is None:
            return
        self.thaw()
        self.process.terminate()
        try:
            self.process.wait(20 * SLOWNESS)
        finally:
            self.process.kill()
            self.process = None

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def freeze(self):
        """It takes connections still, by its kernel, and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    # Use

    def execute(self, sql, name="centreon"):
        """Runs statements as root; returns the rows of those that give some, as lists of text, NULL as None."""
        done = subprocess.run([program("mariadb"), "--no-defaults", "--user=root", f"--socket={self.socket}", "--default-character-set=utf8mb4",
                               "--batch", "--skip-column-names", *([f"--database={name}"] if name else [])],
                              input=sql, capture_output=True, text=True, timeout=30 * SLOWNESS)
        if done.returncode != 0:
            raise AssertionError(f"{sql[:200]}: {done.stderr.strip()}")
        return [[None if cell == "NULL" else cell for cell in line.split("\t")] for line in done.stdout.splitlines()]

    def create_centreon(self, form="26", name="centreon"):
        """Tables and rows of an installation, in place of what was there."""
        self.execute(f"DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name} CHARACTER SET utf8mb3", None)
        self.execute(centreon_tables(form), name)
        return self

    def dsn(self, name="centreon", by_port=False, **more):
        where = f"host=127.0.0.1;port={self.port}" if by_port else f"mysql_socket={self.socket}"
        return "mysql:" + ";".join([where, f"dbname={name}", *(f"{key}={value}" for key, value in more.items())])

    def configuration(self, name="centreon", password=PASSWORD, **options):
        """What belongs at configuration.centreon.database.db_configuration."""
        return {"dsn": self.dsn(name, **options), "username": USER, "password": password}

    def configure(self, daemon, **options):
        """Gives a Daemon of fleet.py this database; see configuration()."""
        value = {"centreon": {"database": {"db_configuration": self.configuration(**options)}}}
        (daemon.config_d / "60-database.yaml").write_text(json.dumps(value) + "\n")


def quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def make_certificates(directory):
    """A server's certificate for 127.0.0.1, its CA and another one; their files by name."""
    certificates = Certificates(directory / "tls")
    issued = certificates.issue("server", "IP:127.0.0.1")
    return {"ca": str(certificates.ca), "cert": issued["ssl_cert_file"], "key": issued["ssl_key_file"],
            "other_ca": str(Certificates(directory / "other").ca)}


def serve(database):
    def answer(value):
        print(json.dumps(value), flush=True)

    database.start()
    answer({"socket": str(database.socket), "port": database.port, "pid": database.process.pid, "user": USER, "password": PASSWORD,
            "certificates": database.certificates})
    try:
        for line in sys.stdin:
            line = line.strip()
            if line in ("start", "stop", "kill", "freeze", "thaw"):
                getattr(database, line)()
                answer(None)
            else:
                answer(database.execute(line, None))
    finally:
        database.stop()


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    serve(MariaDb(sys.argv[1], port="--port" in sys.argv, tls="--tls" in sys.argv))
