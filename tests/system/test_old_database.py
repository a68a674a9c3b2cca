"""Database files of deployed daemons open as they are, with their rows and sessions."""
import json
import secrets
import sqlite3
import time
import unittest

from fleet import FleetCase
from dialer import Dialer  # found by way of fleet
from protocol import SessionCipher, read_private_key

# As deployed daemons make them; IDENTITY is filled in by age.
TABLES = """
CREATE TABLE gorgone_information (key VARCHAR(1024), value TEXT);
CREATE TABLE gorgone_identity (id INTEGER PRIMARY KEY, ctime INTEGER DEFAULT NULL, {identity} parent INTEGER DEFAULT 0);
CREATE INDEX idx_gorgone_identity ON gorgone_identity (identity);
CREATE INDEX idx_gorgone_parent ON gorgone_identity (parent);
CREATE TABLE gorgone_history (id INTEGER PRIMARY KEY, token VARCHAR(2048), code INTEGER, etime INTEGER, ctime FLOAT,
  instant INTEGER DEFAULT 0, data TEXT DEFAULT NULL);
CREATE INDEX idx_gorgone_history_id ON gorgone_history (id);
CREATE INDEX idx_gorgone_history_token ON gorgone_history (token);
CREATE INDEX idx_gorgone_history_etime ON gorgone_history (etime);
CREATE INDEX idx_gorgone_history_code ON gorgone_history (code);
CREATE INDEX idx_gorgone_history_ctime ON gorgone_history (ctime);
CREATE INDEX idx_gorgone_history_instant ON gorgone_history (instant);
CREATE TABLE gorgone_synchistory (id INTEGER UNIQUE, ctime FLOAT DEFAULT NULL, last_id INTEGER DEFAULT NULL);
CREATE UNIQUE INDEX idx_gorgone_synchistory_id ON gorgone_synchistory (id);
CREATE TABLE gorgone_target_fingerprint (id INTEGER PRIMARY KEY, target VARCHAR(2048), fingerprint VARCHAR(4096));
CREATE INDEX idx_gorgone_target_fingerprint_target ON gorgone_target_fingerprint (target);
CREATE TABLE gorgone_centreon_judge_spare (cluster_name VARCHAR(2048), status INTEGER, data TEXT DEFAULT NULL);
CREATE UNIQUE INDEX idx_gorgone_centreon_judge_spare_cluster_name ON gorgone_centreon_judge_spare (cluster_name);
"""
NEW_IDENTITY = """mtime INTEGER DEFAULT 0, identity VARCHAR(2048), key VARCHAR(1024), oldkey VARCHAR(1024), iv VARCHAR(1024),
  oldiv VARCHAR(1024),"""
OLD_IDENTITY = "identity VARCHAR(2048), key VARCHAR(4096),"


class OldDatabase(FleetCase):
    def make_old(self, identity_columns, version):
        self.central = self.make_central()
        self.poller = self.make_poller(self.central.thumbprint())
        database = sqlite3.connect(self.poller.database)
        database.executescript(TABLES.format(identity=identity_columns))
        database.execute("INSERT INTO gorgone_information VALUES ('version', ?)", (version,))
        now = int(time.time())
        for number in range(1, 31):
            database.execute("INSERT INTO gorgone_history (id, token, code, etime, ctime, instant, data) VALUES (?, 'old-token', ?, ?, ?, 0, ?)",
                             (number, 2 if number == 30 else 0, now - 60, now - 60 + number / 1000, json.dumps({"message": f"row {number} é"})))
        database.execute("INSERT INTO gorgone_history (token, code, etime, ctime, instant, data) "
                         "VALUES ('latin-1', 2, ?, ?, 0, CAST(? AS TEXT))",
                         (now, now, b'{"message":"\xe4"}'))
        return database

    def rows_are_there(self, dialer):
        rows = dialer.rows(token="old-token")
        self.assertEqual([int(row["id"]) for row in rows], list(range(1, 31)))
        self.assertEqual(json.loads(rows[29]["data"]), {"message": "row 30 é"})
        self.assertEqual(dialer.rows(token="latin-1")[0]["data"], '{"message":"ä"}')
        self.assertEqual(json.loads(dialer.run("echo new")[2]["data"])["result"]["stdout"], "new")
        self.assertGreater(min(int(row["id"]) for row in dialer.rows(ctime=time.time() - 20)), 30)

    def test_a_file_without_the_newer_columns_opens_and_its_rows_are_read(self):
        database = self.make_old(OLD_IDENTITY, "1.0")
        database.execute("INSERT INTO gorgone_identity (ctime, identity, key, parent) VALUES (?, ?, ?, 0)",
                         (int(time.time()), b"gorgone-proxy-1-2-old".hex(), "00" * 32))
        database.commit()
        database.close()
        self.poller.start()
        self.rows_are_there(self.dial(self.poller, self.central))
        database = sqlite3.connect(self.poller.database)
        self.addCleanup(database.close)
        columns = {row[1] for row in database.execute("PRAGMA table_info(gorgone_identity)")}
        self.assertLessEqual({"ctime", "mtime", "identity", "key", "oldkey", "iv", "oldiv", "parent"}, columns)

    def test_a_session_in_the_file_goes_on_without_a_handshake(self):
        database = self.make_old(NEW_IDENTITY, "22.04.0")
        routing_id, cipher, old = "gorgone-proxy-1-2-" + secrets.token_hex(12), SessionCipher.draw(), SessionCipher.draw()
        now = int(time.time())
        database.execute("INSERT INTO gorgone_identity (ctime, mtime, identity, key, oldkey, iv, oldiv, parent) VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
                         (now - 60, now - 60, routing_id.encode().hex(), cipher.key.hex(), old.key.hex(), cipher.iv.hex(), old.iv.hex()))
        database.commit()
        database.close()
        self.poller.start()
        dialer = Dialer(f"tcp://127.0.0.1:{self.poller.port}", read_private_key(self.central.private_key), routing_id=routing_id)
        self.addCleanup(dialer.close)
        dialer.cipher = cipher
        self.rows_are_there(dialer)

    def test_a_session_older_than_a_day_is_over(self):
        database = self.make_old(NEW_IDENTITY, "22.04.0")
        routing_id, cipher = "gorgone-proxy-1-2-" + secrets.token_hex(12), SessionCipher.draw()
        long_ago = int(time.time()) - 2 * 86400
        database.execute("INSERT INTO gorgone_identity (ctime, mtime, identity, key, iv, parent) VALUES (?, ?, ?, ?, ?, 0)",
                         (long_ago, long_ago, routing_id.encode().hex(), cipher.key.hex(), cipher.iv.hex()))
        database.commit()
        database.close()
        self.poller.start()
        dialer = Dialer(f"tcp://127.0.0.1:{self.poller.port}", read_private_key(self.central.private_key), routing_id=routing_id)
        self.addCleanup(dialer.close)
        dialer.socket.send(cipher.seal("[PING] [] [] {}"))
        self.assertIn(b"handshake issue", dialer.take_frame())

    def test_the_file_stays_readable_for_a_deployed_daemon(self):
        self.make_old(NEW_IDENTITY, "22.04.0").commit()
        before = self.schema()
        self.poller.start()
        self.dial(self.poller, self.central).run("true")
        self.poller.stop()
        after = self.schema()
        for table, columns in before.items():
            self.assertEqual(after[table], columns, table)
        self.assertEqual([row["value"] for row in self.poller.database_rows("gorgone_information") if row["key"] == "version"], ["22.04.0"])

    def schema(self):
        database = sqlite3.connect(self.poller.database)
        try:
            tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {table: [row[1:3] for row in database.execute(f"PRAGMA table_info({table})")] for table in tables}
        finally:
            database.close()

    def test_a_file_that_is_no_database_is_kept_aside_and_told(self):
        central = self.make_central()
        poller = self.make_poller(central.thumbprint())
        content = b"this is no database\n" * 200
        poller.database.write_bytes(content)
        poller.start()
        self.assertRegex(poller.log(), rf" - ERROR - .*{poller.database}")
        kept = list(poller.database.parent.glob("history.sdb.corrupt-*"))
        self.assertEqual([file.read_bytes() for file in kept], [content])
        self.assertEqual(json.loads(self.dial(poller, central).run("echo fresh")[2]["data"])["result"]["stdout"], "fresh")
        self.assertTrue(poller.database_rows())


if __name__ == "__main__":
    unittest.main()
