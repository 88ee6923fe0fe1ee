"""Free TCP ports on 127.0.0.1."""

import random
import socket

_given = set()
_random = random.SystemRandom()


def free_port():
    """A port that nobody listens on, and that this process was not given before.

    It lies below the range that the kernel takes source ports from: a client that tries again and again to
    reach a server that is down would sooner or later draw the very port as its own and connect to itself.
    """
    with open('/proc/sys/net/ipv4/ip_local_port_range', encoding='ascii') as file:
        low = int(file.read().split()[0])
    for _ in range(1000):
        port = _random.randrange(10000, low) if low > 12000 else _random.randrange(10000, 65000)
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(('127.0.0.1', port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise RuntimeError('no free port found')
