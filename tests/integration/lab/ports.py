"""Free TCP ports on 127.0.0.1."""

import fcntl
import functools
import os
import random
import socket
import tempfile

_random = random.SystemRandom()
_given = set()


@functools.cache
def _claims():
    """A file: whoever has locked the byte of a port has that port."""
    path = os.path.join(tempfile.gettempdir(), f'primaryd-test-ports-{os.geteuid()}')
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _claim(port):
    """Whether the port is this process's until it ends. Even a server that is down keeps its port like that: another process of
    the tests would else start one of its own there."""
    try:
        fcntl.lockf(_claims(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def free_port():
    """A port that nobody listens on, and that no process of the tests was given before.

    It lies below the range that the kernel takes source ports from: a client that tries again and again to
    reach a server that is down would sooner or later draw the very port as its own and connect to itself.
    """
    with open('/proc/sys/net/ipv4/ip_local_port_range', encoding='ascii') as file:
        low = int(file.read().split()[0])
    for _ in range(1000):
        port = _random.randrange(10000, low) if low > 12000 else _random.randrange(10000, 65000)
        if port in _given or not _claim(port):
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
