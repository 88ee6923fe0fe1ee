"""Free TCP ports on 127.0.0.1."""

import random
import socket

_random = random.SystemRandom()
_given = {}  # port: the socket that claims it


def _claim(port):
    """A socket that stands for the port among all processes of the tests, until this one ends; None if another has it. So even a
    server that is down keeps its port: another process would else start one of its own there."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f'\0primaryd-test-port-{port}')
    except OSError:
        claim.close()
        return None
    return claim


def free_port():
    """A port that nobody listens on, and that no process of the tests was given before.

    It lies below the range that the kernel takes source ports from: a client that tries again and again to
    reach a server that is down would sooner or later draw the very port as its own and connect to itself.
    """
    with open('/proc/sys/net/ipv4/ip_local_port_range', encoding='ascii') as file:
        low = int(file.read().split()[0])
    for _ in range(1000):
        port = _random.randrange(10000, low) if low > 12000 else _random.randrange(10000, 65000)
        claim = _claim(port)
        if not claim:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(('127.0.0.1', port))
            except OSError:
                claim.close()
                continue
        _given[port] = claim
        return port
    raise RuntimeError('no free port found')
