"""Whose term it is: one process goes on with it, whatever is slow, copied or written by hand."""

import contextlib
import os
import re
import shutil
import struct
import subprocess
import time

import pytest

from lab import process, zk
from lab.node import Node, program
from lab.steps import QUICK, by_name, others, settle
from lab.view import View, connect
from lab.wait import stays, wait_until

TWINS = {**QUICK, 'zookeeper.session-timeout': '4s'}


@pytest.fixture
def twin(tmp_path, keys):
    """make(node): another daemon with a copy of that node's runtime directory."""
    made = []

    def make(node):
        directory = tmp_path / 'twin'
        directory.mkdir()
        made.append(Node(node.name, node.config['zookeeper.servers'], keys.root, str(directory), node.event_log, TWINS))
        shutil.rmtree(made[0].runtime_directory)
        shutil.copytree(node.runtime_directory, made[0].runtime_directory)
        return made[0]
    yield make
    for one in made:
        one.close()


def test_copied_runtime_directory(cluster, keys, oracle, twin):
    """A copy is recognized, and the node that it was made of is alive: that one goes on, the other is refused the name."""
    [node] = cluster(1, **TWINS)
    settle(keys, oracle, [node])
    epoch = keys.acting().epoch
    copy = twin(node)
    copy.start()
    copy.wait_log('resume_refused: .*/lease is a copy')
    copy.wait_log('duplicate_name: ')
    copy.wait_exit(20)
    assert not oracle.events('relinquish', 'end', node.name)[1:] and keys.acting().epoch == epoch
    settle(keys, oracle, [node])


def sign(directory):
    """As in an image of the whole file system: the lease file says that it is itself (lease_file.c)."""
    path = f'{directory}/lease'
    stat = os.stat(path)
    with open(path, 'r+b') as file:
        file.seek(56)
        file.write(struct.pack('=QQ', stat.st_dev, stat.st_ino))


def test_two_processes_on_one_session(cluster, keys, oracle, twin):
    """Two daemons with one state: the one that renews first goes on, the other stops its work and is refused the name."""
    [node] = cluster(1, **TWINS)
    settle(keys, oracle, [node])
    copy = twin(node)
    sign(copy.runtime_directory)
    copy.start()
    superseded = lambda one: one.log_lines("another process uses this node's session")  # noqa: E731
    wait_until(lambda: superseded(node) or superseded(copy), 15, lambda: node.log_tail() + copy.log_tail())
    lost = node if superseded(node) else copy
    lost.wait_log('lease_lost: ')
    lost.wait_log('duplicate_name: ')
    oracle.check()
    lost.wait_exit(20)


@pytest.fixture(scope='module')
def slow_ensemble():
    """One whose servers bear it that a disk takes more than a second."""
    with zk.Ensemble(3, tick_ms=500) as ensemble:
        yield ensemble


@pytest.fixture
def slow_keys(slow_ensemble):
    client = connect(slow_ensemble.connect)
    yield View(client, '/slow')
    client.stop()
    client.close()


@contextlib.contextmanager
def slow_disks(ensemble, write_ms):
    """Each write of their logs takes so long; servers commit in groups, so a commit takes up to two of them."""
    pids = [server.child.pid for server in ensemble.servers]
    tracers = [subprocess.Popen(['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=fdatasync', '-e',
                                 f'inject=fdatasync:delay_enter={write_ms}ms', '-p', str(pid)]) for pid in pids]
    try:
        wait_until(lambda: all(process.is_traced(pid) for pid in pids), 10, 'the servers are traced')
        yield
    finally:
        for tracer in tracers:
            tracer.terminate()
            tracer.wait()


@pytest.mark.skipif(not shutil.which('strace'), reason='no strace')
# A commit may take T/4, 2.5 s. On a machine that is busy with other tests as well, some of it is left for that.
@pytest.mark.parametrize('write_ms, seconds', [(900, 10), pytest.param(1200, 60, marks=[pytest.mark.long, pytest.mark.limit(180)])])
def test_slow_commits(slow_ensemble, slow_keys, make_cluster, oracle, write_ms, seconds):
    """The primary acts all the time, and nobody calls the servers out of reach."""
    nodes = make_cluster(slow_ensemble, slow_keys, 2, **QUICK,
                         **{'zookeeper.session-timeout': '10s', 'relinquish.lease-timeout': '3s'})
    primary = settle(slow_keys, oracle, nodes)
    node = by_name(nodes, primary)
    mark = node.log_mark()
    ctl = [program('ctl/primaryctl'), '--config', node.config_path, '--timeout', '30s']
    with slow_disks(slow_ensemble, write_ms):
        subprocess.run(ctl + ['key', 'set', '/extra=1'], check=True, timeout=60)
        stays(lambda: oracle.working() == [primary], seconds)
        assert not re.search('lease_|post_lost|state_changed', node.log_text()[mark:]), node.log_tail()
    settle(slow_keys, oracle, nodes, primary=primary)


def idle_costs(ensemble, node, session):
    """Requests that the servers had from this session; how often its process woke up."""
    lines = [line for server in ensemble.servers for line in server.four('cons').splitlines() if f'sid=0x{session:x},' in line]
    wakes = process.status_of(node.pid)['voluntary_ctxt_switches'][0]
    return sum(int(re.search(r'recved=(\d+)', line)[1]) for line in lines), int(wakes)


def test_idle_secondary(ensemble, cluster, keys, oracle):
    """It reads the primary's term each T/6, and another key each T; it wakes up for nothing but that and the answer."""
    nodes = cluster(2, **QUICK)
    [node] = others(nodes, settle(keys, oracle, nodes))
    session = keys.client.exists(keys.path(f'nodes/{node.name}/alive')).ephemeralOwner
    stays(node.running, 2)  # it looks whether its keys are there a few times more
    begin, before = time.monotonic(), idle_costs(ensemble, node, session)
    stays(node.running, 6)
    requests, wakes = (now - then for now, then in zip(idle_costs(ensemble, node, session), before))
    rounds = (time.monotonic() - begin) / 0.5  # T is 3 s
    assert 0.5 * rounds <= requests <= rounds * 7 / 6 + 1, (requests, wakes, rounds)
    assert wakes <= 2 * requests + 2, (requests, wakes, rounds)


def test_new_cluster_waits_once(cluster, keys, oracle):
    """Nobody knows whether another one acts: the first takeover ever waits for a lease, and says so; the next does not."""
    nodes = cluster(2, new=True, **QUICK, **{'zookeeper.session-timeout': '4s'})
    primary = settle(keys, oracle, nodes)
    by_name(nodes, primary).wait_log('takeover_waiting: /epoch and /nodes do not show')
    [other] = others(nodes, primary)
    keys.set('primary_node', other.name)
    settle(keys, oracle, nodes, primary=other.name)


def test_epoch_raised_by_hand(cluster, keys, oracle):
    """Whoever raises /epoch ends the term of the primary: it stops in order and a larger epoch is handed out."""
    nodes = cluster(2, **QUICK)
    primary = settle(keys, oracle, nodes)
    epoch = keys.acting().epoch
    keys.set('epoch', f'{epoch + 1000} {primary}')
    by_name(nodes, primary).wait_log('post_lost: ')
    by_name(nodes, primary).wait_log('relinquished: ')
    # Nobody knows of that takeover: the longest lease may be waited for.
    settle(keys, oracle, nodes, timeout=60)
    assert keys.acting().epoch > epoch + 1000
