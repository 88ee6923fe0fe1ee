"""Servers and daemons that come and go, in every order; and a cluster that keeps strangers out."""

import contextlib
import glob
import os
import re
import shutil
import signal
import uuid

import pytest
from kazoo.exceptions import BadVersionError, NoAuthError

from ctl_shell import DONE, REFUSED, UNREACHABLE, Ctl, built
from lab import process, view, zk
from lab.steps import QUICK, by_name, check_epoch, history, moves, others, settle, vacate, wait_members, write_auth
from lab.wait import stays, wait_until

# A session that outlives the restart of a server.
PATIENT = {**QUICK, 'zookeeper.session-timeout': '8s'}


# servers

def test_servers_restart_one_by_one(ensemble, cluster, keys, oracle):
    nodes = cluster(3, **PATIENT)
    primary = settle(keys, oracle, nodes)
    epoch = check_epoch(keys)
    for server in ensemble.servers:
        server.kill9()
        ensemble.leader()
        # Everybody is connected again, and was not asked to stop.
        settle(keys, oracle, nodes, primary=primary)
        server.restart()
    assert (check_epoch(keys), len(oracle.intervals())) == (epoch, 1)
    vacate(keys)
    settle(keys, oracle, nodes, other_than=primary)


def test_all_servers_restart(ensemble, cluster, keys, oracle):
    nodes = cluster(3, **PATIENT)
    settle(keys, oracle, nodes)
    for server in ensemble.servers:
        server.kill9()
    for node in nodes:
        node.wait_log('disconnected: ')
    for server in ensemble.servers:
        server.start()
    for server in ensemble.servers:
        server.wait_ready()
    primary = settle(keys, oracle, nodes, timeout=40)
    # Nothing is said twice.
    assert not any(node.log_lines('disconnected: disconnected|server_failed: server|session_lost: expired') for node in nodes)
    # Who was named all along says so, and blames no operator.
    assert not any('by an operator' in node.log_text() for node in nodes)
    # Without a connection nobody can claim: the primary would take the role back.
    for node in nodes:
        node.wait_log('connected: same session')
    vacate(keys)
    settle(keys, oracle, nodes, other_than=primary)


def test_leader_killed_during_the_election(ensemble, cluster, keys, oracle):
    nodes = cluster(3, **PATIENT)
    for _ in range(3):
        settle(keys, oracle, nodes, timeout=40)
        epoch, claims = keys.acting().epoch, len(history(keys))
        leader = ensemble.leader()
        vacate(keys)
        leader.kill9()
        # Claimed by another, or taken back by the one that acts: either way once.
        settle(keys, oracle, nodes, timeout=40)
        assert len(history(keys)) - claims == (0 if keys.acting().epoch == epoch else 1)
        ensemble.repair()


def test_start_without_any_server(ensemble, cluster, keys, oracle):
    for server in ensemble.servers:
        server.kill9()
    nodes = cluster(3, new=True, **QUICK)
    for node in nodes:
        node.wait_log('server_failed: ')
    # Nobody is primary on hearsay.
    stays(lambda: not oracle.working(), 0.5)
    # One of them is asked to leave again: nothing holds it.
    nodes[2].stop()
    ensemble.repair()
    settle(keys, oracle, nodes[:2], timeout=40)
    for node in nodes[:2]:
        # It tries often, and says the same once.
        said = [line.split('server_failed: ')[1].split(' state=')[0] for line in node.log_lines('server_failed: ')]
        assert said and len(said) == len(set(said)), node.log_tail(40)


def test_stop_without_any_server(ensemble, cluster, keys, oracle):
    nodes = cluster(2, **QUICK)
    primary = settle(keys, oracle, nodes)
    for server in ensemble.servers:
        server.kill9()
    for node in nodes:
        node.wait_log('disconnected: ')
    for node in nodes:
        node.stop()
    assert oracle.working() == []
    ensemble.repair()
    # Nobody could be told: the trace of the primary stays for who comes next.
    assert keys.state(primary) == 'primary'
    for node in nodes:
        node.start()
    settle(keys, oracle, nodes, timeout=40)


@pytest.fixture
def own():
    """An ensemble of the test's own, and what makes a client of it."""
    clients = []
    with zk.Ensemble(3) as ensemble:
        ensemble.raise_epoch()

        def connect():
            clients.append(view.connect(ensemble.connect))
            return clients[-1]
        yield ensemble, connect
        for client in clients:
            client.stop()


def test_ensemble_emptied(own, make_cluster):
    """The reason is told once, and the nodes (of which none may act) open new sessions by themselves."""
    ensemble, connect = own
    keys = view.View(connect(), '/t')
    nodes = make_cluster(ensemble, keys, 2, **PATIENT, **{'node.mode': 'client'})
    wait_members(keys, nodes)
    keys.client.stop()
    marks = {node: node.log_mark() for node in nodes}
    for server in ensemble.servers:
        server.kill9()
        shutil.rmtree(os.path.join(server.directory, 'data', 'version-2'))
    ensemble.repair()
    for node in nodes:
        node.wait_log('ensemble_set_back: .*knows less than this session has seen', 30, since=marks[node])
        node.wait_log('connected: new session', 30, since=marks[node])
        assert len(node.log_lines('ensemble_set_back: ')) == 1
    keys.client = connect()


# kinds of nodes

def test_clients_and_coordinators(cluster, keys, oracle):
    clients = cluster(3, **QUICK, **{'node.mode': 'client'})
    names = [node.name for node in clients]
    wait_members(keys, clients)
    assert [keys.get(f'nodes/{name}/daemonmode') for name in names] == ['client'] * 3
    # Nobody may: the key stays free, if there is one.
    assert keys.desired() in (None, 'none')
    first = cluster(1, **QUICK)
    settle(keys, oracle, [*first, *clients], primary=first[0].name, idle=names)
    second = cluster(1, **QUICK)
    nodes = [*first, *second, *clients]
    settle(keys, oracle, nodes, primary=first[0].name, idle=names)
    first[0].stop()
    settle(keys, oracle, others(nodes, first[0].name), primary=second[0].name, idle=names)
    second[0].stop()
    wait_until(lambda: keys.acting() is None, 10)
    assert keys.desired() == 'none'
    for client in clients:
        client.wait_log('primary_changed: no node is the acting')
        assert [move for move in moves(client) if move[1] in ('contend', 'lock')] == []
    assert {interval.node for interval in oracle.intervals()} == {first[0].name, second[0].name}


def test_a_client_becomes_a_coordinator(cluster, keys, oracle):
    nodes = cluster(2, **QUICK)
    [node] = cluster(1, **QUICK, **{'node.mode': 'client'})
    settle(keys, oracle, [*nodes, node], idle=[node.name])
    node.stop()
    node.write_config(**{'node.mode': 'coordinator'})
    node.start()
    settle(keys, oracle, [*nodes, node])
    keys.set('primary_node', node.name)
    settle(keys, oracle, [*nodes, node], primary=node.name)


# daemons

@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_stop_of_the_primary_hands_over(cluster, keys, oracle, number):
    nodes = cluster(3, **QUICK)
    primary = settle(keys, oracle, nodes)
    claims = len(history(keys))
    node = by_name(nodes, primary)
    node.child.send_signal(number)
    assert process.reap(node.child, 20) == 0
    # It left when the other was named: it waited for that, and then stopped; that is no hand-back.
    assert 'released: giving up the role' in node.log_text() and 'handed_back' not in node.log_text()
    assert len(history(keys)) == claims + 1
    settle(keys, oracle, others(nodes, primary))
    assert (keys.state(primary), keys.get(f'nodes/{primary}/daemonstate')) == ('secondary', 'stop')
    assert keys.get(f'nodes/{primary}/alive') is None
    [_, second] = oracle.intervals()
    assert second.node != primary and second.end_ns is None


def test_stop_is_asked_for_again_and_again(cluster, keys, oracle):
    nodes = cluster(2, **QUICK)
    node = by_name(nodes, settle(keys, oracle, nodes))
    for _ in range(20):
        node.child.send_signal(signal.SIGTERM)
    assert process.reap(node.child, 20) == 0
    settle(keys, oracle, others(nodes, node.name))


def test_all_stop_at_once_and_come_back(cluster, keys, oracle):
    nodes = cluster(5, **QUICK)
    for _ in range(2):
        settle(keys, oracle, nodes)
        for node in nodes:
            node.child.send_signal(signal.SIGTERM)
        for node in nodes:
            assert process.reap(node.child, 20) == 0, node.log_tail()
        assert oracle.working() == [] and keys.acting() is None and keys.ephemerals() == []
        for node in nodes:
            assert keys.state(node.name) == 'secondary'
            node.start()
    settle(keys, oracle, nodes)


def test_rolling_restart(cluster, keys, oracle):
    nodes = cluster(3, **QUICK)
    for node in nodes:
        primary = settle(keys, oracle, nodes)
        node.stop()
        rest = others(nodes, node.name)
        settle(keys, oracle, rest, other_than=node.name)
        if primary != node.name:
            assert keys.primary() == primary
        node.start()
    settle(keys, oracle, nodes)
    # Only the primaries that were stopped ended their work.
    assert len(oracle.intervals()) == 1 + sum(1 for i in oracle.intervals() if i.end_ns is not None) <= 4


def test_stop_at_every_moment_of_a_start(cluster, keys, oracle):
    # Connecting, registering, contending, claimed, waiting, taking over.
    [node] = cluster(1, start=False, **QUICK)
    for moment in (' started: ', ' connected: ', ' registered: ', ' vacancy: ', ' claimed: ', 'await -> enter',
                   ' takeover_started: ', ' guard_started: ', ' primary: '):
        mark = node.log_mark()
        node.start()
        node.wait_log(moment, since=mark)
        node.stop()
        assert oracle.working() == []
        wait_until(lambda: not node.processes(), 5, lambda: f'{moment}: {node.processes()}')
        wait_until(lambda: not keys.ephemerals(), 5, lambda: f'{moment}: {keys.ephemerals()}')
        assert keys.desired() in (None, 'none'), moment
        assert not keys.lock_nodes(), moment


def test_nodes_come_and_go(cluster, keys, oracle):
    nodes = cluster(4, **QUICK)
    settle(keys, oracle, nodes)
    for number in range(8):
        node = nodes[number % 4]
        if number % 3 == 2:
            with contextlib.suppress(BadVersionError):  # it may be moving just now
                vacate(keys)
        node.stop()
        node.start()
    settle(keys, oracle, nodes)


# strangers

@pytest.fixture
def credential(tmp_path):
    return write_auth(tmp_path / 'auth', 'primaryd:secret')


@pytest.fixture
def secret_keys(ensemble):
    """A view with the cluster's own credential, and a root that only it may touch."""
    client = view.connect(ensemble.connect, auth_data=[('digest', 'primaryd:secret')])
    keys = view.View(client, f'/t-{uuid.uuid4().hex[:12]}')
    yield keys
    client.retry(client.delete, keys.root, recursive=True)
    client.stop()
    client.close()


def all_paths(keys, path):
    yield path
    for child in keys.client.get_children(path):
        yield from all_paths(keys, f'{path}/{child}')


def test_strangers_are_kept_out(ensemble, secret_keys, zk_client, make_cluster, oracle, credential):
    keys = secret_keys
    nodes = make_cluster(ensemble, keys, 3, new=True, **QUICK, **{'zookeeper.auth-file': credential})
    primary = settle(keys, oracle, nodes)
    vacate(keys)
    primary = settle(keys, oracle, nodes, other_than=primary)
    paths = list(all_paths(keys, keys.root))
    for key in ('primary_node', 'primary_active', 'nodes/n1/alive', 'history'):
        assert f'{keys.root}/{key}' in paths
    for path in paths:
        with pytest.raises(NoAuthError):
            zk_client.get(path)
        with pytest.raises(NoAuthError):
            zk_client.set(path, b'x')
        with pytest.raises(NoAuthError):
            zk_client.create(f'{path}/x')
        if path != keys.root:  # that one's parent is everybody's
            with pytest.raises(NoAuthError):
                zk_client.delete(path)


def test_node_with_another_credential(ensemble, secret_keys, make_cluster, oracle, credential, tmp_path):
    keys = secret_keys
    nodes = make_cluster(ensemble, keys, 2, new=True, **QUICK, **{'zookeeper.auth-file': credential})
    primary = settle(keys, oracle, nodes)
    wrong = write_auth(tmp_path / 'wrong', 'primaryd:guess')
    [stranger] = make_cluster(ensemble, keys, 1, new=True, **QUICK, **{'zookeeper.auth-file': wrong})
    stranger.wait_log('cluster_foreign: .*credential')
    # It goes on trying, at its leisure, and takes nothing.
    assert stranger.running() and keys.nodes() == ['n1', 'n2']
    assert settle(keys, oracle, nodes) == primary
    before = stranger.cpu_seconds()
    stays(lambda: stranger.running() and keys.acting_name() == primary, 1.0)
    assert stranger.cpu_seconds() - before < 0.3
    stranger.stop()
    # With the right one it is let in.
    stranger.write_config(**{'zookeeper.auth-file': credential})
    stranger.start()
    settle(keys, oracle, [*nodes, stranger], primary=primary)


# what check says of servers that are no ensemble

def findings_of(servers, root, code=REFUSED):
    findings = Ctl(servers, root).json('check', code=code)['findings']
    return [(row['result'], row['finding']) for row in findings if row['subject'] in ('server', 'servers')]


@pytest.mark.skipif(not built(), reason='ctl/primaryctl is not built')
def test_check_of_servers_that_stand_alone():
    with zk.Ensemble(1) as one, zk.Ensemble(1) as two, zk.Ensemble(1) as three:
        alone = [one.connect, two.connect, three.connect]
        findings = findings_of(','.join(alone), '/t')
        assert sum(result == 'error' and 'stands alone, but 3 servers are listed' in text for result, text in findings) == 3
        # One that is listed by itself, or twice, is one.
        for servers in (one.connect, f'{one.connect},{one.connect}'):
            assert [result for result, _ in findings_of(servers, '/t', code=DONE)] == ['ok', 'note']


@pytest.mark.skipif(not built(), reason='ctl/primaryctl is not built')
def test_check_of_a_server_that_is_read_only():
    with zk.Ensemble(3, jvm=('-Dreadonlymode.enabled=true',)) as ensemble:
        for server in ensemble.servers[1:]:
            server.kill9()
        wait_until(lambda: ensemble.servers[0].mode() == 'read-only', 20, lambda: ensemble.servers[0].four('srvr'))
        findings = findings_of(ensemble.connect, '/t', code=UNREACHABLE)
        assert any(result == 'error' and 'serves reads only' in text for result, text in findings), findings


def test_check_of_settings(tmp_path):
    """What the servers say of themselves, beside ours."""
    with zk.Ensemble(3, tick_ms=200) as ensemble:
        for path in glob.glob(f'{ensemble.directory}/**/version-2', recursive=True):
            for number in range(25):
                with open(f'{path}/snapshot.f{number:x}', 'wb'):
                    pass
        config = tmp_path / 'conf'
        servers = ensemble.connect.split(',')
        config.write_text(f'[zookeeper]\nservers = {servers[0]} {servers[1]}\nroot = /t\nsession-timeout = 900ms\n'
                          '[relinquish]\nlease-timeout = 100ms\n[node]\nname = n\nmode = client\n')
        findings = Ctl(None, None, '--config', config).json('check', code=DONE)['findings']
        text = '\n'.join(f'{row["result"]} {row["subject"]}: {row["finding"]}' for row in findings)
        for expected in ('warning settings: .* which is emptied at boot', 'warning settings: .* which are not purged',
                         'warning settings: .* looks for lost sessions every 200ms', 'ok settings: .*: ticks of 200ms, sessions from',
                         'warning servers: .* has 3 voting servers, but 2 are listed', '(ok|warning) commits: the slowest of 20 took'):
            assert re.search(expected, text), (expected, text)


@pytest.mark.skipif(not built(), reason='ctl/primaryctl is not built')
def test_check_of_two_ensembles():
    with zk.Ensemble(3) as one, zk.Ensemble(3) as two:
        assert {result for result, _ in findings_of(one.connect, '/t', code=DONE)} == {'ok'}
        findings = findings_of(f'{one.connect},{two.connect}', '/t')
        assert any(result == 'error' and 'two leaders' in text for result, text in findings), findings
        # A follower of the other one is told by the keys.
        client = view.connect(one.connect)
        client.ensure_path('/t/nodes')
        servers = f'{one.connect},{two.followers()[0].connect}'
        findings = findings_of(servers, '/t')
        assert any('only one of them has the cluster' in text for _, text in findings), findings
        other = view.connect(two.connect)
        other.ensure_path('/t/nodes')
        findings = findings_of(servers, '/t')
        assert any("the cluster's keys differ" in text for _, text in findings), findings
        assert {result for result, _ in findings_of(one.connect, '/t', code=DONE)} == {'ok'}
        for one_client in (client, other):
            one_client.stop()
