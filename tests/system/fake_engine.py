"""What reads a named pipe as the monitoring engine does: line by line, opened for reading and writing, so that it never sees an end."""
import os
import pathlib
import threading
import time


class FakeEngine:
    def __init__(self, path, start=True):
        self.path = pathlib.Path(path)
        self.taken, self.empty_reads, self.thread, self.is_ending, self.is_paused = [], 0, None, False, False
        if not self.path.exists():
            os.mkfifo(self.path)
        if start:
            self.start()

    @property
    def lines(self):
        """The lines that were in the pipe when this was asked, and all before; while paused those taken so far."""
        # The read that is under way may have looked before the last line came, so the one behind it tells.
        last = self.empty_reads + 2
        while self.thread and self.thread.is_alive() and not self.is_paused and self.empty_reads < last:
            time.sleep(0.001)
        return self.taken

    def start(self):
        self.is_ending = False
        self.descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        return self

    def stop(self):
        self.is_ending = True
        self.thread.join()
        os.close(self.descriptor)

    def replace(self):
        """Makes the pipe anew, as an engine does that starts again."""
        self.stop()
        self.path.unlink()
        os.mkfifo(self.path)
        return self.start()

    def _read(self):
        rest = b""
        while True:
            try:
                piece = b"" if self.is_paused else os.read(self.descriptor, 65536)
            except BlockingIOError:
                piece = b""
            *lines, rest = (rest + piece).split(b"\n")
            self.taken += [line.decode() for line in lines]
            if not piece:
                self.empty_reads += 1
                if self.is_ending:
                    return
                time.sleep(0.002)
