"""A slow or lossy path between two hosts of netns.py: a tun device in each, and a thread that carries the packets, late, at a rate, or not at all.

It needs no netem, which many kernels lack. Needs root and /dev/net/tun.
"""
import fcntl
import heapq
import os
import random
import select
import struct
import threading
import time

import netns

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x1, 0x1000
MTU = 1400


def missing():
    """Why this machine cannot have such paths; empty where it can."""
    why = netns.missing()
    if why:
        return why
    try:
        with netns.Lab() as lab:
            SlowPath(lab.host("one"), lab.host("other")).close()
    except OSError as failure:
        return f"this machine makes no tun devices: {failure}"
    return ""


class SlowPath:
    """`addresses` of the two hosts on it. One way takes `delay_s`, each packet is lost with the chance `loss`, and where there is a `rate` (bytes/s, either
    way) packets queue for it; what comes when `queue` bytes wait is dropped, as a router does. All may be changed while it runs."""

    addresses = ("10.88.0.1", "10.88.0.2")

    def __init__(self, one, other, delay_s=0.0, loss=0.0, rate=None, queue=60000):
        self.delay_s, self.loss, self.rate, self.queue = delay_s, loss, rate, queue
        self.carried, self._tuns = 0, []
        for host, own, far in ((one, *self.addresses), (other, *reversed(self.addresses))):
            with host.entered():
                tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
                self._tuns.append(tun)
                fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"slow0", IFF_TUN | IFF_NO_PI))
            host.run("address", "add", own, "peer", far, "dev", "slow0")
            host.run("link", "set", "slow0", "up", "mtu", MTU)
        self._random, self._ended = random.Random(1), threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def close(self):
        self._ended.set()
        self._thread.join()
        for tun in self._tuns:
            os.close(tun)

    def _carry(self):
        under_way, number, free = [], 0, [0.0, 0.0]  # free: when the line is done with what queues for it
        while not self._ended.is_set():
            now = time.monotonic()
            while under_way and under_way[0][0] <= now:
                self._write(*heapq.heappop(under_way)[2:])
            wait = min(0.02, max(0.0, under_way[0][0] - now)) if under_way else 0.02
            for tun in select.select(self._tuns, [], [], wait)[0]:
                side = self._tuns.index(tun)
                for packet in self._read(tun):
                    now, number = time.monotonic(), number + 1
                    if self._random.random() < self.loss:
                        continue
                    if self.rate:
                        if (free[side] - now) * self.rate > self.queue:
                            continue
                        free[side] = max(free[side], now) + len(packet) / self.rate
                    heapq.heappush(under_way, (max(free[side], now) + self.delay_s, number, self._tuns[1 - side], packet))

    def _write(self, tun, packet):
        try:
            os.write(tun, packet)
            self.carried += len(packet)
        except OSError:
            pass  # the host is gone

    @staticmethod
    def _read(tun):
        for _ in range(64):
            try:
                yield os.read(tun, 65536)
            except OSError:
                return
