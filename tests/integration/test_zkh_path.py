"""The way to a server: one that is dead is left in time, a server that is merely slow is not."""

import os
import time

import pytest

from lab import zk
from lab.wait import stays, wait_until
from zkh_probe_shell import PROBE, Probe

pytestmark = pytest.mark.skipif(not os.access(PROBE, os.X_OK), reason='zkh_probe is not built')

SESSION_MS = 8000


@pytest.fixture
def hosts(network):
    """Three servers and a client, each on a host of its own; the servers by address."""
    net = network(4)
    with zk.Ensemble(hosts=net.hosts[:3]) as ensemble:
        yield net, ensemble


def busy(probe):
    """One write each 50 ms, until a line says that the connection is gone, or for that long."""
    probe.send('set', '/key', 'text')
    return True


def test_dead_path(hosts):
    """Bytes that nobody acknowledges for T/8: the next server, within what a lease leaves."""
    net, ensemble = hosts
    client = net.hosts[3]
    with Probe(ensemble.connect, SESSION_MS, host=client) as probe:
        session, server = probe.connected()
        probe.send('create', '/key', 'text')
        probe.wait_line('^commit ok')
        mark = probe.mark()
        cut = time.monotonic()
        net.cut(client, next(s.host for s in ensemble.servers if s.connect == server))
        wait_until(lambda: busy(probe) and probe.said('^event disconnected', mark), 5, probe.tail, 0.05)
        gone, _ = probe.said('^event disconnected', mark)
        # T/8 and the kernel's first repetition; the library alone would take 2T/3.
        assert SESSION_MS / 8e3 * 0.9 < gone - cut < SESSION_MS / 8e3 * 1.6, probe.tail()
        assert probe.connected(since=mark)[0] == session and probe.connected(since=mark)[1] != server


def test_slow_server(hosts):
    """Its kernel acknowledges what it does not read: it is waited for, as long as the library does."""
    net, ensemble = hosts
    with Probe(ensemble.connect, SESSION_MS, host=net.hosts[3]) as probe:
        _, address = probe.connected()
        probe.send('create', '/key', 'text')
        probe.wait_line('^commit ok')
        server = next(s for s in ensemble.servers if s.connect == address)
        mark = probe.mark()
        server.sigstop()
        stays(lambda: busy(probe) and not probe.said('^event', mark), SESSION_MS / 8e3 * 3, probe.tail, 0.05)
        server.sigcont()
        probe.wait_line('^commit (ok|outcome)', since=mark)
