"""Hosts in network namespaces, joined by a router that can drop packets without telling anybody. Needs root."""
import contextlib
import ctypes
import os
import pathlib
import shutil
import subprocess

from api import Api

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def join(namespace):
    """The calling thread alone."""
    if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"cannot enter {namespace.name}")


def ip(*words):
    done = subprocess.run(["ip", *map(str, words)], capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


def missing():
    """Why this machine cannot have such hosts; empty where it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "network namespaces need the program ip (package iproute2)"
    try:
        with Lab() as lab:
            lab.part(lab.host("probe"), lab.host("other"))
            lab.cut()
    except OSError as failure:
        return f"this machine makes no network namespaces: {failure}"
    return ""


class Host:
    """One namespace with a loopback, an address and a way to all others."""

    def __init__(self, lab, name, number):
        self.lab, self.namespace, self.number = lab, f"{lab.prefix}-{name}", number
        self.address = f"10.77.{number}.2"
        self.hosts = pathlib.Path("/etc/netns") / self.namespace / "hosts"
        ip("netns", "add", self.namespace)
        self.run("link", "set", "lo", "up")
        ip("link", "add", "eth0", "netns", self.namespace, "type", "veth", "peer", "name", f"to{number}", "netns", lab.router)
        self.run("address", "add", f"{self.address}/24", "dev", "eth0")
        self.run("link", "set", "eth0", "up")
        ip("-n", lab.router, "address", "add", f"10.77.{number}.1/24", "dev", f"to{number}")
        ip("-n", lab.router, "link", "set", f"to{number}", "up")
        self.run("route", "add", "default", "via", f"10.77.{number}.1")

    def run(self, *words):
        return ip("-n", self.namespace, *words)

    @property
    def prefix(self):
        """What a command must begin with to run here."""
        return ["ip", "netns", "exec", self.namespace]

    def know(self, **names):
        """Its /etc/hosts. Written in place: who runs here already has the file mounted."""
        self.hosts.parent.mkdir(parents=True, exist_ok=True)
        self.hosts.write_text("".join(f"{address} {name}\n" for name, address in {"localhost": "127.0.0.1", **names}.items()))

    @contextlib.contextmanager
    def entered(self):
        """Sockets that this thread makes meanwhile belong to this host."""
        with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{self.namespace}", "rb") as here:
            join(here)
            try:
                yield
            finally:
                join(home)

    def house(self, daemon, port=None):
        """Makes `daemon` run here. It has all ports for itself, so `port` may be fixed."""
        daemon.prefix, daemon.port, daemon.host = self.prefix, port, self
        daemon.api = lambda **options: HostApi(self, daemon.http_port, **options)
        return daemon


class HostApi(Api):
    def __init__(self, host, port, **options):
        super().__init__("127.0.0.1", port, **options)
        self.place = host

    def request(self, *arguments, **options):
        with self.place.entered():
            return super().request(*arguments, **options)


class Lab:
    """The router and its hosts, gone with close(). Names hold the process's id, addresses mean nothing outside."""

    made = 0

    def __init__(self):
        Lab.made += 1
        self.prefix = f"gorgone{os.getpid()}-{Lab.made}"
        self.router, self.hosts, self.lost, self.parted = f"{self.prefix}-router", [], set(), set()
        ip("netns", "add", self.router)
        subprocess.run(["ip", "netns", "exec", self.router, "sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True, timeout=30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def host(self, name):
        host = Host(self, name, len(self.hosts) + 1)
        self.hosts.append(host)
        return host

    def cut(self, *hosts):
        """Packets to these hosts (all by default) vanish in the router: no reset, no "unreachable"."""
        for host in hosts or self.hosts:
            ip("-n", self.router, "route", "replace", "blackhole", f"{host.address}/32")
            self.lost.add(host)

    def part(self, one, other):
        """Packets between these two vanish in the router, either way; both are reached by all others."""
        self.drop(one, other)
        self.drop(other, one)

    def drop(self, source, goal):
        """Packets from the one to the other vanish in the router."""
        rule = ("from", source.address, "to", goal.address, "blackhole")
        if rule not in self.parted:
            ip("-n", self.router, "rule", "add", *rule)
            self.parted.add(rule)

    def restore(self):
        for host in self.lost:
            ip("-n", self.router, "route", "del", "blackhole", f"{host.address}/32")
        for rule in self.parted:
            ip("-n", self.router, "rule", "del", *rule)
        self.lost.clear()
        self.parted.clear()

    def unreachable(self, address):
        """The router says at once that there is no way."""
        ip("-n", self.router, "route", "replace", "unreachable", f"{address}/32")

    def lead(self, address, host):
        """The router takes `address` to `host`, which answers for it from now on."""
        host.run("address", "replace", f"{address}/32", "dev", "lo")
        ip("-n", self.router, "route", "replace", f"{address}/32", "via", host.address)

    def close(self):
        for host in self.hosts:
            with contextlib.suppress(OSError):
                ip("netns", "del", host.namespace)
            shutil.rmtree(host.hosts.parent, ignore_errors=True)
        with contextlib.suppress(OSError):
            ip("netns", "del", self.router)
        with contextlib.suppress(OSError):
            pathlib.Path("/etc/netns").rmdir()  # where nobody else uses it
