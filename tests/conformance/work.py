"""What a node that is not our agent does with what it is given: it runs no command, COMMAND gives the standard output
"ran <command>", and keeps the rows that GETLOG asks for."""
import json
import time


class Work:
    def __init__(self):
        self.rows = []

    def run(self, token, content):
        """The rows of one COMMAND."""
        self.log(token, 0, {"message": "commands processing has started", "request_content": content})
        for item in content:
            result = {"exit_code": 0, "stdout": "ran " + item["command"]}
            self.log(token, 100, {"message": "command has finished successfully", "command": item["command"], "result": result})
        self.log(token, 2, {"message": "commands processing has finished successfully"})

    def found(self, filters):
        after = {name: float(filters[name]) for name in ("id", "ctime", "etime") if filters.get(name) not in (None, "")}
        same = {name: str(filters[name]) for name in ("token", "code") if filters.get(name) not in (None, "")}
        return [row for row in self.rows if all(float(row[name]) > limit for name, limit in after.items())
                and all(str(row[name]) == value for name, value in same.items())]

    def log(self, token, code, data):
        # Two rows of one instant would be one to a reader that asks by ctime.
        last = self.rows[-1]["ctime"] if self.rows else 0
        now = max(round(time.time(), 5), round(last + 0.00001, 5))
        self.rows.append({"id": str(len(self.rows) + 1), "token": token, "code": code, "etime": int(now), "ctime": now,
                          "instant": 0, "data": json.dumps(data, ensure_ascii=False)})
