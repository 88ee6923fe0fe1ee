"""The laboratory itself: what it breaks must break, and come back."""

import os
import subprocess
import time

import pytest

from lab import netns, oracle as oracle_module, process, view, zk
from lab.node import is_built, program
from lab.wait import Timeout, wait_until


# waiting and processes

def test_wait_until_has_a_bound():
    begin = time.monotonic()
    with pytest.raises(Timeout, match='the sun'):
        wait_until(lambda: False, 0.05, 'the sun')
    assert time.monotonic() - begin >= 0.05
    assert wait_until(lambda: 'value') == 'value'


def test_children_are_found_by_family_and_by_marker():
    child = process.spawn(['sleep', '60'], env={**os.environ, 'PRIMARYD_LAB': 'a-marker-of-the-lab'})
    wait_until(lambda: process.find_processes(marker='a-marker-of-the-lab') == [child.pid], 5)
    assert process.find_processes([child.pid]) == [child.pid]
    assert process.kill(child) == -9
    assert not process.find_processes([child.pid])


def test_children_die_with_their_parent():
    script = ('import sys; sys.path.insert(0, sys.argv[1]); from lab import process;'
              'print(process.spawn(["sleep", "61"]).pid, flush=True); sys.stdin.read()')
    parent = subprocess.Popen(['/usr/bin/python3', '-c', script, os.path.dirname(__file__)],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    pid = int(parent.stdout.readline())
    wait_until(lambda: process.describe(pid) == f'{pid} (sleep 61)', 5, 'the child runs')
    parent.kill()
    parent.communicate(timeout=5)
    wait_until(lambda: not process.find_processes([pid]), 5, 'the child is gone')


# servers

def test_ensemble_serves(ensemble, zk_client, root):
    assert ensemble.leader().mode() == 'leader'
    wait_until(lambda: len(ensemble.followers()) == 2, 10)
    zk_client.create(root, b'x')
    assert zk_client.get(root)[0] == b'x'
    assert ensemble.servers[0].mntr()['zk_server_state'] in ('leader', 'follower')


def test_leader_killed_and_restarted(ensemble, zk_client, root):
    leader = ensemble.leader()
    leader.kill9()
    assert leader.mode() is None
    assert ensemble.leader() is not leader
    zk_client.retry(zk_client.create, root)
    leader.restart()
    assert leader.mode() == 'follower'


def test_leader_stopped_and_continued(ensemble):
    leader = ensemble.leader()
    leader.sigstop()
    assert ensemble.leader() is not leader
    leader.sigcont()
    wait_until(lambda: leader.mode() == 'follower', 20, 'the old leader follows')


def test_single_server():
    with zk.Ensemble(1) as single:
        assert single.leader().mode() == 'standalone'
        server, directory = single.servers[0], single.directory
    assert not server.running()
    assert not os.path.exists(directory)


def test_isolated_leader_loses_the_quorum(isolated_ensemble):
    leader = isolated_ensemble.leader()
    isolated_ensemble.isolate(leader)
    wait_until(lambda: leader.mode() is None, 15, 'the isolated leader gives up')
    others = [server for server in isolated_ensemble.servers if server is not leader]
    wait_until(lambda: sorted(str(s.mode()) for s in others) == ['follower', 'leader'], 15, 'the others go on')
    assert leader.mode() is None
    isolated_ensemble.heal()
    wait_until(lambda: leader.mode() == 'follower', 30, 'it comes back')


def test_isolated_follower_loses_the_leader(isolated_ensemble):
    follower = isolated_ensemble.followers()[0]
    isolated_ensemble.isolate(follower)
    wait_until(lambda: follower.mode() is None, 15, 'the isolated follower gives up')
    assert isolated_ensemble.leader() is not follower
    isolated_ensemble.heal()
    wait_until(lambda: follower.mode() == 'follower', 30, 'it comes back')


# proxies

@pytest.fixture
def proxied(ensemble):
    """A kazoo client of one second's session behind proxies, and the proxies."""
    links = zk.ClientLinks(ensemble)
    client = view.connect(links.connect, timeout=1.0)
    yield client, links
    links.set_mode('pass')
    client.stop()
    client.close()
    links.close()


def test_proxy_passes_and_counts(proxied, ensemble):
    client, links = proxied
    assert len(links.connected_to()) == 1
    assert links.total('connections') >= 1
    links.reset_counters()
    for _ in range(10):
        client.exists('/')
    assert 10 <= links.total('turns') <= 13  # a ping may come between
    assert links.total('bytes_up') >= 10 * 10


@pytest.mark.parametrize('mode', ['reset', 'silent', 'oneway-up', 'oneway-down'])
def test_proxy_cut_costs_the_session(proxied, mode):
    client, links = proxied
    client.create('/lab-ephemeral', ephemeral=True)
    session = client.client_id[0]
    links.set_mode(mode)
    wait_until(lambda: not client.connected, 5, 'the client notices')
    if mode == 'oneway-down':
        # The servers still hear it: each new attempt to connect keeps its session alive.
        links.set_mode('silent')
    assert_expires(links, session)
    links.set_mode('pass')
    wait_until(lambda: client.connected, 10, 'the client is back')
    assert client.client_id[0] != session


def assert_expires(links, session):
    """No server knows the session any more."""
    def known():
        return any(f'{session:x}' in dump for dump in dumps(links))
    wait_until(lambda: not known(), 10, 'the session expires', 0.05)


def dumps(links):
    """The sessions of each server, asked for past the proxies."""
    for proxy in links.proxies:
        server = zk.Server.__new__(zk.Server)
        server.host, (server.address, server.port) = None, proxy.target
        yield server.four('dump')


def test_proxy_cut_of_one_server_moves_the_client(proxied, ensemble):
    client, links = proxied
    session = client.client_id[0]
    [number] = links.connected_to()
    links.set_mode('silent', ensemble.servers[number - 1])
    wait_until(lambda: client.connected and any(n != number for n in links.connected_to()), 10, 'another server')
    client.retry(client.exists, '/')
    assert client.client_id[0] == session


def test_proxy_holds_data_back_while_silent(proxied):
    client, links = proxied
    links.set_mode('silent')
    pending = client.exists_async('/')
    assert not pending.wait(0.1)
    links.set_mode('pass')
    pending.get(timeout=5)


def test_proxy_delays(proxied):
    client, links = proxied
    links.set_delay(20)
    begin = time.monotonic()
    client.exists('/')
    assert time.monotonic() - begin >= 0.04


# namespaces

def test_network_is_cut_and_healed(network):
    net = network(2)
    first, second = net.hosts

    listener = second.socket()
    listener.bind((second.address, 0))
    listener.listen(16)

    def reaches():
        with first.socket() as sock:
            sock.settimeout(0.3)
            return sock.connect_ex(listener.getsockname()) == 0
    wait_until(reaches, 5)
    net.cut(first, second, oneway=True)
    assert not reaches()
    net.heal()
    wait_until(reaches, 5)
    net.cut(second, first, oneway=True)
    assert not reaches()
    net.heal()
    net.link(second, up=False)
    assert not reaches()
    listener.close()


def test_ensemble_on_hosts(network):
    net = network(3)
    with zk.Ensemble(3, hosts=net.hosts) as ensemble:
        client = view.connect(ensemble.connect, handler=net.hosts[0].kazoo_handler())
        client.create('/x')
        client.stop()
        client.close()
        leader = ensemble.leader()
        net.isolate(leader.host)
        wait_until(lambda: leader.mode() is None, 15, 'the isolated leader gives up')
        assert ensemble.leader() is not leader


def test_available_says_why_not(monkeypatch):
    monkeypatch.setattr(netns.os, 'geteuid', lambda: 1000)
    assert 'root' in netns.available()


# the event log and its judge

needs_stamp = pytest.mark.skipif(not is_built('tests/integration/stamp'), reason='stamp is not built')


def stamp(event_log, *options, node='n1', event='takeover', **kwargs):
    env = {'PRIMARYD_NODE': node, 'PRIMARYD_EVENT': event, 'PRIMARYD_EPOCH': '7', 'PRIMARYD_REASON': 'a b'}
    return subprocess.Popen([program('tests/integration/stamp'), '--log', event_log, *options], env=env, **kwargs)


@needs_stamp
def test_stamp_writes_begin_and_end(event_log, oracle):
    assert stamp(event_log, '--sleep', '5').wait(5) == 0
    begin, end = oracle.events()
    assert (begin.node, begin.event, begin.phase, begin.epoch, begin.reason) == ('n1', 'takeover', 'begin', 7, 'a_b')
    assert end.phase == 'end' and end.time_ns - begin.time_ns >= 5e6
    assert oracle.working() == ['n1']


@needs_stamp
def test_stamp_fails_hangs_and_spews(event_log, oracle):
    assert stamp(event_log, '--fail', '3').wait(5) == 3
    assert [e.phase for e in oracle.events()] == ['begin', 'fail']
    hanging = stamp(event_log, '--hang')
    wait_until(lambda: len(oracle.events()) == 3, 5)
    hanging.terminate()
    assert hanging.wait(5) == 128 + 15
    assert oracle.events()[-1].phase == 'term'
    child = stamp(event_log, '--output', '6400', '--junk', '1000', stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert len(child.communicate(timeout=5)[0]) == 7400
    stubborn = stamp(event_log, '--hang', '--ignore-term')
    wait_until(lambda: len(oracle.events(phase='begin')) == 4, 5)
    stubborn.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        stubborn.wait(0.1)
    stubborn.kill()
    stubborn.wait(5)


def write_log(path, *lines):
    with open(path, 'w', encoding='ascii') as file:
        for node, event, phase, ms, epoch in lines:
            file.write(f'{node} {event} {phase} {ms * 1000000} {epoch} - 1\n')


def test_oracle_accepts_a_handover(event_log, oracle):
    write_log(event_log, ('a', 'takeover', 'begin', 10, 5), ('a', 'takeover', 'end', 11, 5),
              ('a', 'relinquish', 'begin', 20, 5), ('a', 'relinquish', 'end', 25, 5),
              ('b', 'takeover', 'begin', 28, 6), ('b', 'takeover', 'end', 29, 6))
    assert [(i.node, i.end_ns) for i in oracle.check()] == [('a', 25000000), ('b', None)]
    assert oracle.gaps_ms() == [3.0]
    assert oracle.working() == ['b']


def test_oracle_sees_two_at_work(event_log, oracle):
    write_log(event_log, ('a', 'takeover', 'begin', 10, 5), ('b', 'takeover', 'begin', 24, 6),
              ('a', 'relinquish', 'begin', 20, 5), ('a', 'relinquish', 'end', 25, 5))
    with pytest.raises(AssertionError, match='two at work'):
        oracle.check()


def test_oracle_sees_an_epoch_go_back(event_log, oracle):
    write_log(event_log, ('a', 'takeover', 'begin', 10, 5), ('a', 'relinquish', 'end', 11, 5),
              ('b', 'takeover', 'begin', 12, 5))
    with pytest.raises(AssertionError, match='went back'):
        oracle.check()


def test_oracle_and_a_stop_that_was_killed():
    def at(node, event, phase, ms):
        return oracle_module.Event(node, event, phase, ms, 1, '-', 1)
    events = [at('a', 'takeover', 'begin', 10), at('a', 'relinquish', 'begin', 20), at('b', 'takeover', 'begin', 40)]
    assert oracle_module.find_overlaps(oracle_module.work_intervals(events))
    assert not oracle_module.find_overlaps(oracle_module.work_intervals(events, killed_after_ns=15))
