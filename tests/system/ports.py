"""Ports for servers of tests, which keep them over a restart."""
import pathlib
import random
import socket


def free_ports(count):
    """Free ones that stay so while a server is down: none that the system gives to whoever connects."""
    first_given = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    probes = []
    for port in random.sample(range(10_000, max(first_given, 11_000)), 500):
        if len(probes) == count:
            break
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", port))
            probes.append(probe)
        except OSError:
            probe.close()
    assert len(probes) == count, f"{count} free ports below {first_given} were looked for, {len(probes)} found"
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def free_port():
    return free_ports(1)[0]
