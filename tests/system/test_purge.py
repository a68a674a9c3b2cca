"""What dbcleaner deletes and what it leaves: at the start, and when it is asked."""
import sqlite3
import time
import unittest

from fleet import FleetCase

MINUTE, HOUR, DAY = 60, 3600, 86400
# What stays, then what goes, of each kind: how old it is, in seconds.
SESSIONS = (2 * HOUR - MINUTE, 2 * HOUR + MINUTE)
ROWS = (3 * DAY - MINUTE, 3 * DAY + MINUTE)
INSTANT_ROWS = (DAY - MINUTE, DAY + MINUTE)
REFUSED_KEYS = (DAY - MINUTE, DAY + MINUTE)
STAYS = ["instant row stays", "refused key stays", "row stays", "unused stays", "used stays"]


class DbCleaner(FleetCase):
    def setUp(self):
        self.central = self.make_central()
        self.central.nodes()
        self.central.replace_module("dbcleaner", purge_sessions_time=2 * HOUR, purge_history_time=3 * DAY)
        self.central.start()

    def add(self):
        """One of each kind, named by what is to become of it."""
        now = int(time.time())
        with sqlite3.connect(self.central.database, timeout=10) as database:
            for what, session, row, instant, key in zip(("stays", "goes"), SESSIONS, ROWS, INSTANT_ROWS, REFUSED_KEYS):
                database.execute("INSERT INTO gorgone_refused_key (target, node, thumbprint, seen) VALUES (?, '2', 't', ?)", (f"refused key {what}", now - key))
                # A session counts from its last message, and from its begin where it had none.
                for name, ctime, mtime in (("used", now - 9 * DAY, now - session), ("unused", now - session, None)):
                    database.execute("INSERT INTO gorgone_identity (identity, key, ctime, mtime) VALUES (?, 'k', ?, ?)", (f"{name} {what}", ctime, mtime))
                for name, age, is_instant in (("row", row, 0), ("instant row", instant, 1)):
                    database.execute("INSERT INTO gorgone_history (token, code, etime, ctime, instant, data) VALUES (?, 0, ?, ?, ?, '{}')",
                                     (f"{name} {what}", now - age, now - age, is_instant))
        database.close()

    def left(self):
        added = ("used", "unused", "row", "instant row", "refused key")
        names = [row[name] for table, name in (("gorgone_identity", "identity"), ("gorgone_history", "token"), ("gorgone_refused_key", "target"))
                 for row in self.central.database_rows(table)]
        return sorted(name for name in names if name.rsplit(" ", 1)[0] in added)

    def test_what_is_older_than_its_limit_goes_at_the_start_and_the_rest_stays(self):
        self.central.stop()
        self.add()
        self.assertEqual(len(self.left()), 2 * len(STAYS))
        self.central.start()
        self.central.wait_log(r"INFO - \[dbcleaner\] purged 2 sessions and 2 history rows$")
        self.assertEqual(self.left(), STAYS)

    def test_what_is_older_than_its_limit_goes_when_it_is_asked_for_and_the_answer_counts_it(self):
        self.add()
        _, body = self.central.api().request("POST", "/api/core/dbcleaner/clean")
        row = self.central.api().poll(None, body["token"])[-1]
        self.assertEqual((row["code"], row["data"]["message"]), (2, "purged 2 sessions and 2 history rows"))
        self.assertEqual(self.left(), STAYS)


if __name__ == "__main__":
    unittest.main()
