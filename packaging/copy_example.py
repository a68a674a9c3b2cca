#!/usr/bin/env python3
"""Copies a complete example from etc/ to a directory of its own, so that a node made from it touches nothing outside.

  packaging/copy_example.py ROLE DIR [OLD=NEW]...      ROLE: central, remote, poller, poller-pull, poller-pullwss or mcollective

The configuration becomes DIR/etc; the deployed paths in it are moved below DIR:

  /etc/centreon-gorgone  to DIR/etc     /var/lib/centreon-gorgone  to DIR/lib     /var/log/centreon-gorgone  to DIR/log

Each OLD=NEW replaces a word of the example: "8085=40123" the port of the HTTP API, "5556=40124" the port of the
listener, "192.0.2.2=127.0.0.1" the poller's address. A word that stands nowhere in the example is an error: the
quick start and the system tests run on these files and notice when they change.
"""
import pathlib
import re
import sys

ETC = pathlib.Path(__file__).resolve().parent.parent / "etc"
ROLES = ("central", "remote", "poller", "poller-pull", "poller-pullwss", "mcollective")
MOVED = {"/etc/centreon-gorgone": "etc", "/var/lib/centreon-gorgone": "lib", "/var/log/centreon-gorgone": "log"}


def copy_example(role, directory, words):
    """Writes the files of `role` below `directory`; returns the path of config.yaml."""
    directory = pathlib.Path(directory).resolve()
    paths = {old: str(directory / new) for old, new in MOVED.items()}
    replaced = {**paths, **words}
    # Longest first, all in one pass, so that no replacement is replaced again.
    expression = re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in sorted(replaced, key=len, reverse=True)))
    seen = set()

    def replace(match):
        seen.add(match[0])
        return replaced[match[0]]

    for source in sorted((ETC / role).rglob("*.yaml")):
        target = directory / "etc" / source.relative_to(ETC / role)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(expression.sub(replace, source.read_text()))
    missing = sorted(set(words) - seen)
    if missing:
        raise ValueError(f"etc/{role}: nothing to replace for {', '.join(missing)}")
    for folder in MOVED.values():
        (directory / folder).mkdir(exist_ok=True)
    return directory / "etc" / "config.yaml"


def main(arguments):
    if len(arguments) < 2 or arguments[0] not in ROLES or any("=" not in word for word in arguments[2:]):
        sys.exit(__doc__)
    try:
        print(copy_example(arguments[0], arguments[1], dict(word.split("=", 1) for word in arguments[2:])))
    except (OSError, ValueError) as error:
        sys.exit(f"copy_example.py: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
