"""A client of the HTTP API, as a cron job or Centreon's web application would call it."""
import base64
import http.client
import json
import time
import urllib.parse

from pace import SLOWNESS, clock


class Api:
    def __init__(self, host, port, user=None, password=None, tls=None, source="127.0.0.1"):
        self.host, self.port, self.tls, self.source = host, port, tls, source
        self.headers = {"Content-Type": "application/json"}
        if user is not None:
            self.headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def request(self, method, path, body=None, timeout=30):
        """Status and JSON body."""
        options = {"timeout": timeout * SLOWNESS, "source_address": (self.source, 0)}
        if self.tls:
            connection = http.client.HTTPSConnection(self.host, self.port, context=self.tls, **options)
        else:
            connection = http.client.HTTPConnection(self.host, self.port, **options)
        try:
            text = body if body is None or isinstance(body, str) else json.dumps(body)
            connection.request(method, path, text, self.headers)
            answer = connection.getresponse()
            content = answer.read().decode()
            if answer.status == 204:
                return answer.status, content
            assert answer.getheader("Content-Type", "").startswith("application/json"), answer.getheaders()
            return answer.status, json.loads(content)
        finally:
            connection.close()

    def get(self, path):
        status, body = self.request("GET", path)
        assert status == 200, f"GET {path}: {status} {body}"
        return body

    def nodes(self):
        """The state of each node, by id."""
        return self.get("/api/internal/constatus")["data"]

    def submit(self, node, *commands, **options):
        """Sends a COMMAND and returns its token."""
        content = [{"command": command, **options} for command in commands]
        status, body = self.request("POST", self._path(node, "/core/action/command"), content)
        assert status == 200 and len(body["token"]) == 128, f"{status} {body}"
        return body["token"]

    def run(self, node, *commands, wait_s=15 * SLOWNESS, **options):
        """Sends a COMMAND and returns its rows, with `data` parsed, by log_wait."""
        content = [{"command": command, **options} for command in commands]
        path = self._path(node, f"/core/action/command?log_wait={int(wait_s * 1e6)}")
        status, body = self.request("POST", path, content, timeout=wait_s + 10)
        assert status == 200, f"POST {path}: {status} {body}"
        return parsed(body)

    def asked(self, node, what):
        """The rows of a question to a node, asked and followed as Centreon's web application does it."""
        body = self.get(self._path(node, f"/internal/{what}"))
        assert list(body) == ["token"], body
        return self.poll(node, body["token"])

    def log(self, node, token, **filters):
        """Rows of a token, as they are now."""
        query = "?" + urllib.parse.urlencode(filters) if filters else ""
        return parsed(self.get(self._path(node, f"/log/{token}{query}")))

    def poll(self, node, token, timeout=15):
        """Rows of a token, asked for again and again until it has ended."""
        end = clock() + timeout
        while True:
            rows = self.log(node, token)
            if ended(rows):
                return rows
            assert clock() < end, f"{token} did not end within {timeout} s: {rows}"
            time.sleep(0.02)

    @staticmethod
    def _path(node, path):
        return f"/api/nodes/{node}{path}" if node is not None else f"/api{path}"


def parsed(body):
    return [{**row, "data": json.loads(row["data"])} for row in body["data"]]


def ended(rows):
    """A single command's failure is not the end of its COMMAND."""
    return any(row["code"] == 2 or (row["code"] == 1 and row["data"].get("message") != "command execution issue") for row in rows)


def codes(rows):
    return [row["code"] for row in rows]


def outputs(rows):
    """Standard output of each command that ran."""
    return [row["data"]["result"]["stdout"] for row in rows if row["code"] == 100]
