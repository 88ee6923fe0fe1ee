"""Servers that were restored from a backup, or emptied, under the sessions of clients that had seen more."""

import os
import shutil

import pytest

from lab import zk
from lab.wait import stays, wait_until
from zkh_probe_shell import PROBE, Probe

pytestmark = pytest.mark.skipif(not os.access(PROBE, os.X_OK), reason='zkh_probe is not built')

SESSION_MS = 8000


def store(server):
    return os.path.join(server.directory, 'data', 'version-2')


def stop(servers):
    for server in servers:
        server.kill9()


def start(servers):
    for server in servers:
        server.start()
    for server in servers:
        server.wait_ready()


def writes(probe, count):
    for _ in range(count):
        mark = probe.mark()
        probe.send('set', '/key', 'text')
        probe.wait_line('^commit ok', since=mark)


def can_write(probe):
    mark = probe.mark()
    probe.send('set', '/key', 'text')
    return probe.wait_line('^commit (.*)', since=mark)[1][1].startswith('ok')


def told_and_back(probe, session, mark):
    """Once, with the reason; then a new session that works."""
    probe.wait_line('^event ensemble set back .*knows less than this session has seen', 30, mark)
    probe.wait_line('^event expired', since=mark)
    # The servers stop one after the other: meanwhile the old session may go on at the next one.
    _, match = probe.wait_line(r'^event connected fresh=1 .* id=(\w+)', since=mark)
    assert match[1] != session
    assert probe.count('^event ensemble set back', mark) == 1
    mark = probe.mark()
    probe.send('create', '/again', 'text')
    probe.wait_line('^commit ok', since=mark)


@pytest.mark.parametrize('size', [1, 3])
def test_emptied(size):
    with zk.Ensemble(size) as ensemble:
        if size > 1:
            ensemble.raise_epoch()
        with Probe(ensemble.connect, SESSION_MS) as probe:
            session, _ = probe.connected()
            probe.send('create', '/key', 'text')
            writes(probe, 20)
            mark = probe.mark()
            stop(ensemble.servers)
            for server in ensemble.servers:
                shutil.rmtree(store(server))
            start(ensemble.servers)
            told_and_back(probe, session, mark)
            # The library's probe has a session that is left to expire: to close it would block.
            wait_until(lambda: '1' == ensemble.leader().mntr().get('zk_global_sessions'), 5 + 2 * SESSION_MS / 1000,
                       lambda: ensemble.leader().four('mntr'))


def test_restored():
    with zk.Ensemble(3) as ensemble, Probe(ensemble.connect, SESSION_MS) as probe:
        session, _ = probe.connected()
        probe.send('create', '/key', 'text')
        writes(probe, 5)
        stop(ensemble.servers)
        for server in ensemble.servers:
            shutil.copytree(store(server), f'{store(server)}.backup')
        mark = probe.mark()
        start(ensemble.servers)
        assert probe.connected(since=mark)[0] == session
        ensemble.raise_epoch(1)  # the restored servers may need two elections
        wait_until(lambda: can_write(probe), 30, probe.tail, 0.1)
        writes(probe, 20)
        mark = probe.mark()
        stop(ensemble.servers)
        for server in ensemble.servers:
            shutil.rmtree(store(server))
            os.rename(f'{store(server)}.backup', store(server))
        # The new leader's epoch is no higher than that of the one that is lost: its zxids come again, and are lower.
        start(ensemble.servers)
        told_and_back(probe, session, mark)


def test_outage_of_the_quorum():
    """One server that turns everybody away for a while sets nothing back."""
    with zk.Ensemble(3) as ensemble, Probe(ensemble.connect, 20000) as probe:
        session, _ = probe.connected()
        probe.send('create', '/key', 'text')
        writes(probe, 5)
        mark = probe.mark()
        stop(ensemble.servers[:2])
        probe.wait_line('^event disconnected', since=mark)
        probe.wait_line('closed by the server|reset', since=mark)
        stays(lambda: not probe.said('^event (ensemble|expired)', mark), 4.0, probe.tail)
        start(ensemble.servers[:2])
        assert probe.connected(30, mark)[0] == session, probe.tail()
        assert not probe.said('^event (ensemble|expired)', mark)
