"""How much slower and larger than a plain build the programs under test are: GORGONE_TEST_SLOWNESS, a factor (default 1), which tests/run.sh sets for
the presets asan and tsan. Limits of waiting are multiplied by it, what was measured is divided, so that a test states what a plain build must reach."""
import os
import time

SLOWNESS = float(os.environ.get("GORGONE_TEST_SLOWNESS") or 1)


def clock():
    """Seconds as a plain build would have needed them. For what must be soon enough; what must not be too soon is measured by time.monotonic()."""
    return time.monotonic() / SLOWNESS
