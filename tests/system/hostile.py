"""What the tests of hostile and broken input share: a process seen from outside, and a peer that must stay served."""
import contextlib
import ctypes
import os
import pathlib
import resource
import socket
import subprocess
import threading

from pace import SLOWNESS, clock
from protocol import request


def memory_kb(pid):
    """What the process has written into memory, or would have if it were a plain build. Not PSS, which rises whenever another daemon that
    shares its libraries ends, one of another test for instance."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(int(line.split()[1]) / SLOWNESS)
    raise AssertionError(f"no Anonymous in /proc/{pid}/smaps_rollup")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") / SLOWNESS


class Peak:
    """The highest memory_kb of a process while the block runs."""

    def __init__(self, pid):
        self.pid, self.before, self.highest = pid, memory_kb(pid), 0
        self._ended = threading.Event()

    def __enter__(self):
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    @property
    def grown_kb(self):
        return self.highest - self.before

    def _look(self):
        while True:
            with contextlib.suppress(OSError):
                self.highest = max(self.highest, memory_kb(self.pid))
            if self._ended.wait(0.05):
                return


class LivePeer:
    """Pings through a session of its own while the block runs; `answers` are the seconds that each took (of pace.clock)."""

    def __init__(self, dialer, pause_s=0.02, patience_s=10):
        self.dialer, self.pause_s, self.patience_s = dialer, pause_s, patience_s
        self.answers, self.failure = [], None
        self._ended = threading.Event()

    def __enter__(self):
        self._thread = threading.Thread(target=self._ping, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._ended.set()
        self._thread.join()
        if kind is None and self.failure:
            raise AssertionError(f"the live peer was not served: {self.failure}")

    def percentile(self, share):
        return sorted(self.answers)[int(share * (len(self.answers) - 1))]

    def _ping(self):
        try:
            while True:  # once at least, however short the block is
                token = f"live{len(self.answers)}"
                started = clock()
                self.dialer.send(request("PING", token=token))
                answer = self.dialer.take(self.patience_s)
                assert (answer.kind, answer.token) == ("PONG", token), answer
                self.answers.append(clock() - started)
                if self._ended.wait(self.pause_s):
                    return
        except Exception as failure:
            self.failure = failure


@contextlib.contextmanager
def limited(pid, which, soft):
    """A limit of the running process, lowered while the block runs."""
    before = resource.prlimit(pid, which)
    resource.prlimit(pid, which, (soft, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, which, before)


def small_disk(case, megabytes):
    """A folder of a test case that is a file system of its own. The case is skipped where there can be none."""
    if os.geteuid() != 0:
        case.skipTest("a small file system needs root")
    folder = case.directory / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], capture_output=True).returncode != 0:
        case.skipTest("no tmpfs can be mounted here")
    case.addCleanup(subprocess.run, ["umount", "-l", folder])
    return folder


class DeadDisk:
    """A folder on a disk that does not answer: whoever touches it waits until release(), and then gets an error. The case is skipped where
    there can be none."""

    def __init__(self, case):
        self.folder, self.disk = case.directory / "dead", None
        self.folder.mkdir()
        try:
            self.disk = os.open("/dev/fuse", os.O_RDWR)
        except OSError as error:
            case.skipTest(f"a disk that does not answer needs root and /dev/fuse: {error}")
        case.addCleanup(self.release)
        words = f"fd={self.disk},rootmode=40000,user_id=0,group_id=0,allow_other"
        if ctypes.CDLL(None).mount(b"dead", str(self.folder).encode(), b"fuse", 0, words.encode()) != 0:
            case.skipTest("a disk that does not answer needs root: it cannot be mounted here")
        case.addCleanup(subprocess.run, ["umount", "-l", self.folder])

    def release(self):
        if self.disk is not None:
            os.close(self.disk)
        self.disk = None


def fill(file):
    """Takes all that the disk of `file` has left."""
    with open(file, "wb", buffering=0) as filler:
        for size in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while filler.write(b"x" * size) == size:
                    pass


def connect(port, payload=b"", receive_buffer=None):
    """A plain TCP connection that has sent `payload`."""
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", port))
    if payload:
        connection.sendall(payload)
    return connection
