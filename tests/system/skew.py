"""Daemons whose clock on the wall is wrong, by libfaketime; time goes by for them as it does."""
import pathlib

from fleet import BIN

LIBRARIES = list(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
IS_POSSIBLE = not {"asan", "tsan"} & set(BIN.parts)
NEEDS = "a sanitizer's library must come first, and so must the one that plays the clock"


def skewed(daemon, offset="+0"):
    """From its next start on; `offset` as "+3d" or "-1h"."""
    assert LIBRARIES, "libfaketime is missing: packaging/dependencies.sh --tests installs it"
    set_clock(daemon, offset)
    daemon.prefix = ["env", f"LD_PRELOAD={LIBRARIES[0]}", "FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME_NO_CACHE=1",
                     f"FAKETIME_TIMESTAMP_FILE={daemon.directory}/clock"]
    return daemon


def set_clock(daemon, offset):
    """At once, while it runs too."""
    (pathlib.Path(daemon.directory) / "clock").write_text(offset + "\n")
