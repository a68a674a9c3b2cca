"""A TCP path between two nodes on loopback that can be slow, stalled and cut."""
import contextlib
import selectors
import socket
import struct
import threading
import time

BUFFERED = 1 << 18


class FlakyPath:
    """Listens on a port of its own and passes on to `target`. A thread does the work; the rest may be called from any. With `bytes_per_s` no
    more than so much passes, in both directions together. `passed` is how many bytes have come from either end."""

    def __init__(self, target, bytes_per_s=None):
        self.bytes_per_s = bytes_per_s
        self.target, self.stalled, self.down, self.passed = target, False, False, 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.pairs = {}    # one end -> the other
        self.waiting = {}  # an end -> bytes to be sent to it
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def stall(self):
        """Nothing passes any more and nobody is told: what TCP sees of packets that are dropped."""
        self.stalled = True

    def take_down(self):
        """All connections are reset, and new ones as soon as they are made."""
        self.down = True
        self.cut()

    def restore(self):
        self.stalled = self.down = False

    def cut(self):
        """All connections are reset; new ones are welcome."""
        with self.lock:
            for end in list(self.pairs):
                self._reset(end)

    def close(self):
        self.ending.set()
        self.thread.join(10)
        self.cut()
        self.listener.close()

    def _reset(self, end):
        """Both ends, with RST."""
        for one in (end, self.pairs.pop(end, None)):
            if one is None:
                continue
            self.pairs.pop(one, None)
            self.waiting.pop(one, None)
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()

    def _serve(self):
        while not self.ending.is_set():
            with self.lock:
                reads = [self.listener, *(end for end in self.pairs if len(self.waiting[self.pairs[end]]) < BUFFERED)]
                writes = [end for end, left in self.waiting.items() if left]
            if self.stalled:
                self.ending.wait(0.01)
                continue
            # Made anew each time: a path has a handful of connections.
            with selectors.DefaultSelector() as selector:
                for one in {*reads, *writes}:
                    with contextlib.suppress(ValueError):  # reset meanwhile
                        selector.register(one, (one in reads) * selectors.EVENT_READ | (one in writes) * selectors.EVENT_WRITE)
                ready = selector.select(0.02)
            with self.lock:
                for key, events in ready:
                    if self.stalled:
                        break
                    self._pass(key.fileobj, events)

    def _pass(self, one, events):
        if one is self.listener:
            self._accept()
            return
        try:
            if events & selectors.EVENT_WRITE and self.waiting.get(one):
                del self.waiting[one][:one.send(self.waiting[one])]
            if events & selectors.EVENT_READ and one in self.pairs:
                found = one.recv(65536)
                if not found:
                    raise ConnectionResetError
                self.waiting[self.pairs[one]] += found
                self.passed += len(found)
                if self.bytes_per_s:
                    time.sleep(len(found) / self.bytes_per_s)
        except BlockingIOError:
            pass
        except OSError:
            if one in self.pairs:
                self._reset(one)

    def _accept(self):
        with contextlib.suppress(BlockingIOError):
            near, _ = self.listener.accept()
            try:
                if self.down:
                    raise ConnectionResetError
                far = socket.create_connection(("127.0.0.1", self.target), 2)
            except OSError:
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                near.close()
                return
            for end in (near, far):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.pairs[near], self.pairs[far] = far, near
            self.waiting[near], self.waiting[far] = bytearray(), bytearray()
