"""primaryctl: see, move and explain, as an operator does it."""

import datetime
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
from kazoo.security import OPEN_ACL_UNSAFE, make_acl
from ctl_shell import DONE, REFUSED, TIMED_OUT, UNREACHABLE, USAGE, Ctl, built, environment
from lab import view, zk
from lab.ports import free_port
from lab.steps import MORTAL, QUICK, Tally, by_name, history, others, primary_key, settle, wait_members, write_auth
from lab.wait import wait_until

pytestmark = pytest.mark.skipif(not built(), reason='ctl/primaryctl is not built')


@pytest.fixture
def ctl(ensemble, root):
    return Ctl(ensemble.connect, root)


def settled(cluster, keys, oracle, count=3, **config):
    nodes = cluster(count, **{**QUICK, **config})
    primary = settle(keys, oracle, nodes)
    wait_members(keys, nodes)
    return nodes, primary


# status

def test_address(cluster, keys, oracle, ctl):
    nodes = cluster(2, start=False, **QUICK)
    assert 'no primary' in ctl.run('address', code=REFUSED).stderr
    nodes[0].write_config(**{'node.address': '[2001:db8::7]:5432'})
    for node in nodes:
        node.start()
    primary = settle(keys, oracle, nodes)
    if primary != nodes[0].name:
        assert 'set node.address' in ctl.run('address', code=REFUSED).stderr
        ctl.run('switchover', nodes[0].name)
    assert ctl.run('address').stdout == ctl.run('address', nodes[0].name).stdout == '[2001:db8::7]:5432\n'
    assert ctl.json('address')['address'] == {'node': nodes[0].name, 'address': '[2001:db8::7]:5432'}
    assert 'publishes no address' in ctl.run('address', nodes[1].name, code=REFUSED).stderr
    nodes[1].stop()
    assert 'not alive' in ctl.run('address', nodes[1].name, code=REFUSED).stderr


def test_pardon(cluster, keys, oracle, ctl):
    [node] = cluster(1, start=False, **{**QUICK, 'election.penalty': '10min'})
    working = node.config['takeover.command']
    node.write_config(**{'takeover.command': '/bin/false'})
    node.start()
    wait_until(lambda: 'penalty-until' in (keys.get(f'nodes/{node.name}/detail') or ''), 20, node.log_tail)
    wait_until(lambda: keys.state(node.name) == 'secondary', 10, node.log_tail)
    assert 'penalty' in ctl.run('explain', node.name).stdout
    assert f'the penalty of {node.name} is cleared' in said(ctl.run('pardon', node.name))
    # It contends at once, fails again, and the penalty is the first one again.
    node.wait_log('penalty_cleared: .*by .*@')
    wait_until(lambda: len(node.log_lines('penalty: ')) >= 2, 20, node.log_tail)
    wait_until(lambda: keys.state(node.name) == 'secondary' and 'penalty-until' in keys.get(f'nodes/{node.name}/detail'), 10)
    assert keys.get(f'nodes/{node.name}/pardon') is None
    node.write_config(**{'takeover.command': working})
    node.reload()
    settle(keys, oracle, [node])
    assert f'{node.name} has no penalty' in said(ctl.run('pardon', node.name))
    node.stop()
    assert 'not alive' in ctl.run('pardon', node.name, code=REFUSED).stderr


def test_pardon_across_sessions(cluster, keys, ctl):
    """A pardon that is asked for while the node has no session is answered in its next one."""
    [node] = cluster(1, **{**QUICK, 'election.penalty': '10min', 'takeover.command': '/bin/false'})
    wait_until(lambda: 'penalty-until' in (keys.get(f'nodes/{node.name}/detail') or ''), 20, node.log_tail)
    wait_until(lambda: keys.state(node.name) == 'secondary', 10, node.log_tail)
    node.sigstop()
    wait_until(lambda: keys.get(f'nodes/{node.name}/alive') is None, 30)
    keys.set(f'nodes/{node.name}/pardon', 'by a test')
    node.sigcont()
    wait_until(lambda: keys.get(f'nodes/{node.name}/pardon') is None, 20, node.log_tail)
    node.wait_log('penalty_cleared: .*by a test')


def test_answers_that_come_late(cluster, keys, ensemble):
    """A pardon whose answer is lost on its way holds; so does an end of maintenance that was moved at the last moment."""
    links = zk.ClientLinks(ensemble)
    try:
        [node] = cluster(1, **{**QUICK, 'election.penalty': '10min', 'takeover.command': '/bin/false',
                               'zookeeper.servers': links.connect, 'zookeeper.session-timeout': '12s'})
        node.wait_log('penalty: ', 20)
        wait_until(lambda: keys.state(node.name) == 'secondary', 10, node.log_tail)
        links.set_delay(400)
        keys.set(f'nodes/{node.name}/pardon', 'by a test')
        wait_until(lambda: keys.get(f'nodes/{node.name}/pardon') is None, 10, node.log_tail)
        for proxy in links.proxies:
            proxy.reset_connections()  # the answer of the server is on its way
        links.set_delay(0)
        wait_until(lambda: len(node.log_lines('penalty: ')) >= 2, 20, node.log_tail)
        links.set_delay(400)

        # The node learns of the new end, and asks for it, before the old one; the answer comes after its attempt to delete.
        end = time.time() + 3
        keys.set('maintenance', f'true until {utc(end)}')
        node.wait_log('maintenance until ')
        wait_until(lambda: time.time() >= end - 0.8, 5, interval=0.01)
        keys.set('maintenance', f'true until {utc(end + 2)}')
        wait_until(lambda: keys.get('maintenance') is None, 10, node.log_tail)
        assert time.time() > end + 2
        links.set_delay(0)
        node.stop()
    finally:
        links.close()


def utc(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%S.%f')[:-3] + 'Z'


def said(done):
    return done.stdout + done.stderr


def test_maintenance_that_ends_by_itself(cluster, keys, oracle, ctl, root, zk_client):
    nodes, primary = settled(cluster, keys, oracle, 2)
    rest = others(nodes, primary)
    ctl.run('maintenance', 'off', '--for', '1s', code=USAGE)
    assert 'more than 0' in ctl.run('maintenance', 'on', '--for', '0s', code=USAGE).stderr
    assert keys.get('maintenance') is None
    ctl.run('maintenance', 'on', '--for', '2h')
    until = datetime.datetime.fromisoformat(ctl.json('status')['cluster']['maintenance_until'])
    assert 7000 < (until - datetime.datetime.now(datetime.timezone.utc)).total_seconds() <= 7200
    assert 'until' in ctl.run('status').stdout
    rest[0].wait_log('maintenance until .*: only operators')
    ctl.run('maintenance', 'on')
    assert keys.get('maintenance') == 'true' and ctl.json('status')['cluster']['maintenance_until'] is None
    ctl.run('maintenance', 'on', '--for', '4s')
    begin = time.monotonic()
    by_name(nodes, primary).stop()
    # Nobody fills the vacancy before the end, and somebody does then.
    settle(keys, oracle, rest, other_than=primary)
    assert time.monotonic() - begin > 3 and keys.get('maintenance') is None
    rest[0].wait_log('maintenance is over')
    # The next key has the version of the one before.
    ctl.run('maintenance', 'on', '--for', '300ms')
    wait_until(lambda: keys.get('maintenance') is None, 10, rest[0].log_tail)
    # One that is over at once, by the nodes' clocks, is told as what it is.
    assert 'maintenance is' in said(ctl.run('maintenance', 'on', '--for', '1ms', '--timeout', '10s', code=None))
    wait_until(lambda: keys.get('maintenance') is None, 10, rest[0].log_tail)
    # One that cannot be ended says so, and goes on until an operator ends it.
    zk_client.set_acls(root, [make_acl('world', 'anyone', read=True, write=True, create=True, admin=True)])
    ctl.run('maintenance', 'on', '--for', '100ms', code=None)
    rest[0].wait_log('the end of the maintenance has passed, but /maintenance cannot be deleted: permission denied')
    zk_client.set_acls(root, OPEN_ACL_UNSAFE)
    ctl.run('maintenance', 'off')


def test_status(cluster, keys, oracle, ctl):
    nodes, primary = settled(cluster, keys, oracle)
    text = ctl.run('status').stdout
    assert primary in text and 'secondary' in text and '\x1b' not in text
    status = ctl.json('status')
    assert status['cluster']['primary'] == status['cluster']['named'] == primary
    assert status['cluster']['epoch'] == keys.acting().epoch
    assert status['cluster']['in_order'] is True and status['cluster']['maintenance'] is False
    assert [node['node'] for node in status['nodes']] == sorted(node.name for node in nodes)
    for node in status['nodes']:
        assert node['alive'] and node['health'] == 'ok' and node['mode'] == 'coordinator' and node['version']
        assert node['role'] == ('primary' if node['node'] == primary else 'secondary')
    assert status['junk'] == []


def test_status_without_primary(cluster, keys, oracle, ctl):
    nodes, primary = settled(cluster, keys, oracle, 2)
    for node in nodes:
        keys.set(f'nodes/{node.name}/drain', '')
    wait_until(lambda: keys.acting() is None, 10, keys.summary)
    status = ctl.json('status', code=REFUSED)
    assert status['cluster']['primary'] is None and status['cluster']['in_order'] is False
    assert 'no node is named' in status['cluster']['trouble']
    assert 'no node is named' in ctl.run('explain').stdout


def test_status_of_nothing(ctl):
    # Not even the root is there.
    status = ctl.json('status', code=REFUSED)
    assert status['nodes'] == [] and 'no node has ever registered' in status['cluster']['trouble']
    assert ctl.json('history')['history'] == []
    assert 'no node' in ctl.run('explain').stdout


def test_status_of_an_unhealthy_primary(cluster, keys, oracle, ctl):
    nodes, primary = settled(cluster, keys, oracle, 1)
    keys.set(f'nodes/{primary}/health', 'failed: the disk')
    status = ctl.json('status', code=REFUSED)
    assert 'not healthy' in status['cluster']['trouble'] and 'the disk' in status['cluster']['trouble']


JUNK = [b'', b'\0\1\2\xff', b'x' * 70, b'y' * 5000, b'a b', b'../..', '\u202e\x1b[31m'.encode(), b'{"a":', b'none none']


def test_junk_in_every_key(ensemble, root, keys):
    # So many runs that one of them meets an election of the servers, which may take as long as the default allows.
    ctl = Ctl(ensemble.connect, root, '--timeout', '30s')
    for number, junk in enumerate(JUNK):
        name = f'n{number}'
        for key in ('daemonmode', 'daemonstate', 'routerstate', 'alive', 'drain', 'health', 'detail'):
            keys.set(f'nodes/{name}/{key}', junk)
        keys.set('primary_node', junk)
        keys.set('primary_active', junk)
        keys.set('maintenance', junk)
        keys.set(f'history/claim-{number:010}', junk)
        for command in (['status'], ['explain'], ['switchover', name], ['switchover'], ['release'], ['drain', name]):
            done = ctl.run(*command, code=REFUSED if command[0] not in ('drain', 'explain') else None)
            assert '\x1b' not in done.stdout + done.stderr and '\0' not in done.stdout
        assert '\x1b' not in ctl.run('history').stdout
        ctl.run('undrain', name)
    keys.set('nodes/a b', '')
    keys.set('nodes/..x/alive', '')
    assert ctl.json('status', code=REFUSED)['cluster']['strangers'] == 2


# switchover

def test_switchover(cluster, keys, oracle, ctl):
    nodes, primary = settled(cluster, keys, oracle)
    target = others(nodes, primary)[0].name
    epoch, tally = keys.acting().epoch, Tally(keys)
    text = ctl.run('switchover', target).stdout
    assert settle(keys, oracle, nodes) == target
    for step in (f'{target} is named primary', f'{primary} released the post', f'{target} took the post',
                 f'{target} is primary: its work runs'):
        assert step in text
    # If it was too slow to see the work being stopped, it may not know since when nobody was at work.
    assert 'gap ' in text or f'{primary} stops its work' not in text
    assert keys.acting().epoch > epoch
    tally.check(writes=1, claims=1)
    [entry] = tally.new_claims()
    assert (entry['to'], entry['from']) == (target, primary)
    assert entry['reason'].startswith('switchover by ') and '@' in entry['reason']
    assert entry['takeover_us'] > 0


def test_switchover_to_the_best_as_json(cluster, keys, oracle, ctl):
    nodes, primary = settled(cluster, keys, oracle)
    move = ctl.json('switchover')
    assert move['move']['result'] == 'done' and move['move']['primary'] == settle(keys, oracle, nodes) != primary
    assert move['move']['gap_ms'] >= 0 and move['move']['epoch'] == keys.acting().epoch
    assert [step['ms'] for step in move['steps']] == sorted(step['ms'] for step in move['steps'])


def test_switchover_to_the_primary_changes_nothing(cluster, keys, oracle, ctl):
    nodes, primary = settled(cluster, keys, oracle, 2)
    tally = Tally(keys)
    ctl.run('switchover', primary)
    tally.check(writes=0, claims=0)
    assert len(oracle.intervals()) == 1


def test_switchover_to_one_that_cannot(cluster, keys, oracle, ctl):
    nodes, primary = settled(cluster, keys, oracle, 4)
    [client] = cluster(1, **QUICK, **{'node.mode': 'client'})
    client.wait_log('registered: ')
    drained, unhealthy, stopped = others(nodes, primary)
    keys.set(f'nodes/{drained.name}/drain', '')
    keys.set(f'nodes/{unhealthy.name}/health', 'failed: the disk')
    stopped.stop()
    tally = Tally(keys)
    for name, why in ((client.name, 'mode is client'), (drained.name, f'primaryctl undrain {drained.name}'),
                      (unhealthy.name, 'the disk'), (stopped.name, 'start primaryd there'), ('nobody', 'no node is called')):
        assert why in ctl.run('switchover', name, code=REFUSED).stderr
        assert why in ctl.run('switchover', '--dry-run', name, code=REFUSED).stderr
    assert 'no other node can take the role' in ctl.run('switchover', code=REFUSED).stderr
    assert 'no other node is eligible' in ctl.run('release', code=REFUSED).stderr
    assert 'no other node is eligible' in ctl.run('drain', primary, code=REFUSED).stderr
    tally.check(writes=0, claims=0)
    keys.set(f'nodes/{unhealthy.name}/health', 'ok')


def test_dry_run(cluster, keys, oracle, ctl):
    nodes, primary = settled(cluster, keys, oracle, 2)
    target = others(nodes, primary)[0].name
    tally = Tally(keys)
    text = ctl.run('switchover', '--dry-run', target).stdout
    assert f'names {target}' in text and f'{primary} ' in text and 'stops its work' in text
    plan = ctl.json('release', '--dry-run')['plan']
    assert [step['step'] for step in plan] == list(range(1, len(plan) + 1))
    tally.check(writes=0, claims=0)


def test_switchover_that_fails_there(cluster, keys, oracle, ctl):
    nodes, primary = settled(cluster, keys, oracle, 2)
    target = others(nodes, primary)[0]
    target.set_command('takeover', options='--exit 1')
    done = ctl.run('switchover', target.name, code=REFUSED)
    assert f'{target.name} handed the role back' in done.stderr or 'was named instead' in done.stderr
    target.set_command('takeover')
    settle(keys, oracle, nodes)


def test_switchover_against_another_operator(cluster, keys, oracle, ctl):
    # The key is written by somebody else again and again: one of them wins each time, nobody undoes anybody.
    nodes, primary = settled(cluster, keys, oracle)
    running = [ctl.start('switchover', node.name) for node in nodes for _ in range(2)]
    codes = [child.wait(60) for child in running]
    said = [child.communicate()[1] for child in running]
    assert DONE in codes and set(codes) <= {DONE, REFUSED}, said
    settle(keys, oracle, nodes)
    for code, text in zip(codes, said):
        assert code == DONE or 'in the meantime' in text or 'instead' in text or 'busy' in text or 'secondary' in text, text


def test_interrupted_switchover_goes_on(cluster, keys, oracle, ctl):
    nodes, primary = settled(cluster, keys, oracle, 2, **{'election.transition-delay': '1s'})
    target = others(nodes, primary)[0].name
    child = ctl.start('switchover', target)
    wait_until(lambda: keys.desired() == target, 10)
    child.send_signal(signal.SIGINT)
    assert child.wait(10) == -signal.SIGINT
    assert 'continues by itself' in child.communicate()[1]
    settle(keys, oracle, nodes, primary=target)


def test_switchover_times_out(cluster, keys, oracle, ctl):
    nodes, primary = settled(cluster, keys, oracle, 2)
    target = others(nodes, primary)[0]
    target.set_command('takeover', before='sleep 3')
    done = ctl.run('switchover', target.name, '--timeout', '1s', code=TIMED_OUT)
    assert '--timeout' in done.stderr
    settle(keys, oracle, nodes, primary=target.name)


# release, drain, maintenance

def test_release(cluster, keys, oracle, ctl):
    nodes, primary = settled(cluster, keys, oracle)
    text = ctl.run('release').stdout
    assert settle(keys, oracle, nodes) != primary
    # Whoever claims at once may be seen first.
    assert re.search('no node is named|is named primary', text) and 'is primary after' in text


def test_drain_and_undrain(cluster, keys, oracle, ctl):
    nodes, primary = settled(cluster, keys, oracle, 2)
    other = others(nodes, primary)[0].name
    assert f'{primary} is drained' in ctl.run('drain', primary).stdout
    assert keys.primary() == other and keys.state(primary) == 'secondary'
    assert keys.get(f'nodes/{primary}/drain').startswith('by ')
    ctl.run('drain', primary)  # is already
    explained = ctl.json('explain', primary)
    drained = next(row for row in explained['predicates'] if row['predicate'] == 'not drained')
    assert drained['holds'] is False and drained['since'] and drained['remedy'] == f'primaryctl undrain {primary}'
    # The last one only by force; then its undrain fills the vacancy.
    ctl.run('drain', other, code=REFUSED)
    ctl.run('drain', other, '--force')
    wait_until(lambda: keys.acting() is None, 10, keys.summary)
    ctl.run('undrain', primary)
    assert keys.primary() == primary
    ctl.run('undrain', other)
    settle(keys, oracle, nodes, primary=primary)


def test_drain_this_node(cluster, keys, oracle, ensemble, root):
    nodes, primary = settled(cluster, keys, oracle, 2)
    ctl = Ctl(None, None, '--config', by_name(nodes, primary).config_path)
    ctl.run('drain')
    assert keys.get(f'nodes/{primary}/drain') is not None
    ctl.run('undrain')
    assert keys.get(f'nodes/{primary}/drain') is None
    settle(keys, oracle, nodes)


def test_maintenance(cluster, keys, oracle, ctl):
    nodes, primary = settled(cluster, keys, oracle, 2)
    other = others(nodes, primary)[0].name
    ctl.run('maintenance', 'on')
    for node in nodes:
        node.wait_log('maintenance_on: ')
    assert ctl.json('status')['cluster']['maintenance'] is True
    assert 'maintenance' in ctl.run('switchover', other, code=REFUSED).stderr
    assert 'maintenance' in ctl.run('release', code=REFUSED).stderr
    assert 'maintenance' in ctl.run('drain', primary, code=REFUSED).stderr
    ctl.run('switchover', other, '--force')
    settle(keys, oracle, nodes, primary=other)
    by_name(nodes, other).stop()
    wait_until(lambda: keys.acting() is None, 10, keys.summary)
    assert 'maintenance' in ctl.json('status', code=REFUSED)['cluster']['trouble']
    ctl.run('maintenance', 'off')
    assert keys.primary() == primary
    ctl.run('maintenance', 'off')
    settle(keys, oracle, [by_name(nodes, primary)])
    # As an operator with a ZooKeeper shell may write it.
    for value, on in (('Yes', True), ('until noon', True), ('', True), ('FALSE', False), ('off', False)):
        keys.set('maintenance', value)
        assert ctl.json('status')['cluster']['maintenance'] is on, value
    keys.set('maintenance', 'until noon')
    ctl.run('maintenance', 'off')
    assert not keys.get('maintenance') and ctl.json('status')['cluster']['maintenance'] is False


# history, explain

def test_history(cluster, keys, oracle, ctl):
    nodes, primary = settled(cluster, keys, oracle, 2)
    ctl.run('switchover')
    keys.set('history/stranger', 'what')
    done = ctl.run('history')
    assert 'switchover by' in done.stdout and '1 keys' in done.stderr
    entries = ctl.json('history')['history']
    keys.delete('history/stranger')
    assert [entry['to'] for entry in entries] == [entry['to'] for entry in history(keys)]
    assert entries[-1]['epoch'] == keys.acting().epoch and entries[-1]['takeover_us'] > 0
    assert [entry['epoch'] for entry in entries] == sorted(entry['epoch'] for entry in entries)


def test_history_after_junk(cluster, keys, oracle, ctl):
    """A claim that does not say whom it followed, after an entry that is no entry: nobody knows."""
    settled(cluster, keys, oracle, 2)
    for name, text in (('x1', '{"time": "2026-01-01T00:00:00.000Z", "to": "x1"}'),
                       ('x2', '{"time": "2026-01-01T00:00:01.000Z", "to": "x2"}'),
                       ('junk', 'what'),
                       ('x3', '{"time": "2026-01-01T00:00:02.000Z", "to": "x3"}'),
                       ('x4', '{"time": "2026-01-01T00:00:03.000Z", "to": "x4"}')):
        keys.set(f'history/{name}', text)
    primary = keys.acting().node
    rows = {row['to']: row['from'] for row in ctl.json('history')['history']}
    for name in ('x1', 'x2', 'junk', 'x3', 'x4'):
        keys.delete(f'history/{name}')
    assert [rows[name] for name in ('x1', 'x2', 'x3', 'x4')] == [primary, 'x1', '?', 'x3']


def test_history_tells_who_and_why(cluster, keys, oracle, ctl):
    """Each way to give the role up, by its name, and never from nobody but at the very first."""
    nodes = cluster(3, **MORTAL)
    settle(keys, oracle, nodes)

    def moved(how):
        claims, old = len(ctl.json('history')['history']), keys.acting().node
        how(old)
        wait_until(lambda: len(ctl.json('history')['history']) > claims and ctl.json('history')['history'][-1].get('takeover_us'), 20,
                   keys.summary)
        last = ctl.json('history')['history'][-1]
        assert (last['from'], last['to']) == (old, keys.acting().node)
        return last['reason'].replace(old, 'OLD')
    assert ctl.json('history')['history'][0]['from'] == 'none'
    assert moved(lambda old: ctl.run('drain', old)) == 'OLD handed over: drained'
    for node in nodes:
        keys.delete(f'nodes/{node.name}/drain')
    assert moved(lambda old: ctl.run('release')) == 'released by an operator'
    assert moved(lambda old: ctl.run('switchover')).startswith('switchover by ')
    stopped = by_name(nodes, keys.acting().node)
    assert moved(lambda old: stopped.stop()) == 'OLD handed over: shutting down'
    stopped.start()
    assert moved(lambda old: by_name(nodes, old).kill9()) == 'OLD died or was cut off'


def test_explain(cluster, keys, oracle, ctl):
    nodes, primary = settled(cluster, keys, oracle, 2)
    explained = ctl.json('explain')
    assert explained['cluster']['primary'] == primary
    assert [(row['node'], row['primary'], row['eligible']) for row in explained['nodes']] == \
        [(node.name, node.name == primary, True) for node in nodes]
    assert {row['node'] for row in explained['predicates']} == {node.name for node in nodes}
    assert 'it is the primary' in ctl.run('explain', primary).stdout
    assert 'no node is called' in ctl.run('explain', 'nobody', code=REFUSED).stderr


def test_check_of_unequal_session_timeouts(cluster, keys, oracle):
    """Safe all the same; but the longer one decides how long others wait."""
    nodes = [*cluster(1, **QUICK), *cluster(1, **QUICK, **{'zookeeper.session-timeout': '12s'})]
    settle(keys, oracle, nodes)
    findings = Ctl(None, None, '--config', nodes[0].config_path).json('check', code=None)['findings']
    [row] = [row for row in findings if row['subject'] == 'agreement']
    assert row['result'] == 'warning' and row['finding'] == f'session-timeout is 3s here, and 12s on {nodes[1].name}', row


def test_explain_detail(cluster, keys, oracle, ctl):
    nodes, primary = settled(cluster, keys, oracle, 2)
    other = others(nodes, primary)[0].name
    keys.set(f'nodes/{other}/detail', 'phase=follow penalty-until=99999999999999 lock-timeout=1s reason=the work did not start')
    assert 'wait until' in ctl.run('switchover', other, code=REFUSED).stderr
    penalty = next(row for row in ctl.json('explain', other)['predicates'] if 'penalty' in row['predicate'])
    assert penalty['holds'] is False
    configured = Ctl(None, None, '--config', by_name(nodes, primary).config_path)
    findings = configured.json('check', code=REFUSED)['findings']
    assert any('lock-timeout' in row['finding'] and row['result'] == 'error' for row in findings)


# check

def test_check(cluster, keys, oracle, ctl, tmp_path):
    nodes, primary = settled(cluster, keys, oracle, 2)
    findings = Ctl(None, None, '--config', nodes[0].config_path).json('check')['findings']
    servers = [row['finding'] for row in findings if row['subject'] == 'server']
    assert len(servers) == 3 and sum('leader' in text for text in servers) == 1
    assert {'configuration', 'clock', 'session', 'lease', 'cluster', 'rights'} <= {row['subject'] for row in findings}
    bad = tmp_path / 'bad.conf'
    bad.write_text('[zookeeper]\nserver = x\n[takeover]\ncommand = /no/such/command\n')
    findings = Ctl(None, None, '--config', bad).json('check', code=REFUSED)['findings']
    assert sum(row['result'] == 'error' for row in findings) == 2
    short = tmp_path / 'short.conf'
    short.write_text(f'[zookeeper]\nservers = {ctl.options[1]}\nsession-timeout = 60s\n[relinquish]\nlease-timeout = 19s\n'
                     '[takeover]\nunit = no-such-unit.target\n')
    findings = Ctl(None, None, '--config', short).json('check', code=REFUSED)['findings']
    assert any(row['subject'] == 'unit' and row['result'] == 'error' for row in findings)


def test_check_without_servers():
    done = Ctl(f'127.0.0.1:{free_port()}').run('check', '--timeout', '500ms', code=UNREACHABLE)
    assert 'refused' in done.stdout


# remove and rename

def test_remove_and_rename(cluster, keys, oracle, ctl):
    nodes, primary = settled(cluster, keys, oracle)
    gone, stays = others(nodes, primary)
    assert 'is alive' in ctl.run('remove', gone.name, code=REFUSED).stderr
    assert 'is alive' in ctl.run('rename', gone.name, 'other', code=REFUSED).stderr
    gone.stop()
    assert 'already' in ctl.run('rename', gone.name, stays.name, code=REFUSED).stderr
    before = keys.node(gone.name)
    ctl.run('rename', gone.name, 'other')
    assert keys.node('other') == before and gone.name not in keys.nodes()
    # Died at work: the next primary must see it.
    keys.set('nodes/other/routerstate', 'primary')
    assert '--force' in ctl.run('remove', 'other', code=REFUSED).stderr
    ctl.run('remove', 'other', '--force')
    assert 'other' not in keys.nodes()
    assert 'no node is called' in ctl.run('remove', 'other', code=REFUSED).stderr


# bad input, bad world

@pytest.mark.parametrize('command', [['status'], ['watch'], ['switchover'], ['release'], ['drain', 'a'], ['undrain', 'a'],
                                     ['maintenance', 'on'], ['explain'], ['history'], ['remove', 'a'], ['rename', 'a', 'b'],
                                     ['key', 'list'], ['key', 'set', '/a=1'], ['lock', 'read', '/a', '--', 'true']])
def test_no_servers(command):
    ctl = Ctl(f'127.0.0.1:{free_port()}')
    index = command.index('--') if '--' in command else len(command)
    done = ctl.run(*command[:index], '--timeout', '300ms', *command[index:], code=UNREACHABLE)
    assert 'out of reach' in done.stderr and '--servers' in done.stderr and 'refused' in done.stderr.lower()


@pytest.mark.parametrize('args', [[], ['nonsense'], ['status', 'x'], ['switchover', 'a', 'b'], ['maintenance'], ['rename', 'a'],
                                  ['status', '--force'], ['status', '--nonsense'], ['--timeout', '5', 'status'],
                                  ['--timeout', 'x', 'status'], ['key'], ['lock', 'read', '/x', 'true'],
                                  ['lock', 'read', '/x', '--'], ['status', '--', 'x'], ['--servers', 'nonsense', 'status'],
                                  ['--servers', '', 'status'], ['--root', 'x', 'status'], ['--root', '/x/', 'status'],
                                  ['--servers', 'a:1,' * 600, 'status']])
def test_usage(args):
    done = Ctl().run(*args, code=USAGE)
    assert done.stderr and not done.stdout


def test_bad_names(ctl):
    for name in ('none', 'a b', '', '..', '.a', '_a', 'x' * 65, '/a'):
        for command in (['remove', name], ['rename', name, 'b'], ['explain', name]):
            assert "is not a node's name" in ctl.run(*command, code=USAGE).stderr
        for command in (['switchover', name], ['drain', name], ['undrain', name]):
            assert "is not a node's name" in ctl.run(*command, code=REFUSED).stderr
    ctl.run('maintenance', 'perhaps', code=USAGE)


def test_configuration(ensemble, root, tmp_path):
    missing = Ctl(ensemble.connect, root, '--config', tmp_path / 'none')
    assert 'cannot be read' in missing.run('status', code=REFUSED).stderr
    (tmp_path / 'bad').write_text('[zookeeper]\nnonsense = 1\n')
    assert 'nonsense' in Ctl(ensemble.connect, root, '--config', tmp_path / 'bad').run('status', code=REFUSED).stderr
    (tmp_path / 'good').write_text(f'[zookeeper]\nservers = 127.0.0.1:1\nroot = /nowhere\n')
    Ctl(ensemble.connect, root, '--config', tmp_path / 'good').run('history')


def test_credentials(ensemble, root, tmp_path):
    right, wrong, open_file = (tmp_path / name for name in ('right', 'wrong', 'open'))
    write_auth(right, 'ann:secret')
    write_auth(wrong, 'ann:other')
    open_file.write_text('digest ann:secret')
    open_file.chmod(0o644)
    ann = Ctl(ensemble.connect, root, '--auth-file', right)
    ann.run('key', 'set', '/nodes/a/daemonmode=coordinator', '/primary_node=none', '/history=')
    ann.run('status', code=REFUSED)
    for ctl in (Ctl(ensemble.connect, root), Ctl(ensemble.connect, root, '--auth-file', wrong)):
        for command in (['status'], ['switchover', 'a'], ['history'], ['explain'], ['maintenance', 'on'], ['remove', 'a'],
                        ['key', 'get', '/primary_node'], ['key', 'set', '/primary_node=a'], ['key', 'list', '/nodes'],
                        ['key', 'delete', '/primary_node'], ['lock', 'read', '/nodes', '--', 'true']):
            done = ctl.run(*command, code=REFUSED)
            assert 'permission denied' in done.stderr and '--auth-file' in done.stderr, command
    done = Ctl(ensemble.connect, root, '--auth-file', open_file).run('status', code=REFUSED)
    assert 'chmod 0600' in done.stderr
    assert 'cannot be read' in Ctl(ensemble.connect, root, '--auth-file', tmp_path / 'x').run('status', code=REFUSED).stderr
    findings = ann.json('check')['findings']
    assert any(row['subject'] == 'rights' and row['result'] == 'ok' for row in findings)
    # The root is hers as well.
    client = view.connect(ensemble.connect, auth_data=[('digest', 'ann:secret')])
    client.delete(root, recursive=True)
    client.stop()
    client.close()


@pytest.mark.parametrize('mode', [b'\x1b[31m\xff', b'leader\x1b[31m\xff', b'', b'\0'])
def test_check_of_a_strange_server(mode):
    with socket.create_server(('127.0.0.1', 0)) as server:
        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(4)
                connection.sendall(b'Mode: ' + mode + b'\n')
        thread = threading.Thread(target=answer)
        thread.start()
        ctl = Ctl(f'127.0.0.1:{server.getsockname()[1]}', '/x', '--timeout', '500ms')
        done = ctl.run('--json', 'check', code=UNREACHABLE, text=False)
        thread.join()
    [finding] = [row for row in json.loads(done.stdout)['findings'] if row['subject'] == 'server']
    assert '\x1b' not in finding['finding']
    assert finding['result'] == ('ok' if mode.startswith(b'leader') else 'error')


def test_output_closed_or_full(ensemble, root, ctl):
    read, write = os.pipe()
    os.close(read)
    for command in (['explain'], ['status'], ['check'], ['--help'], ['--version']):
        done = ctl.run(*command, code=REFUSED, stdout=write)
        assert 'cannot write' not in done.stderr
    os.close(write)
    with open('/dev/full', 'w', encoding='ascii') as full:
        for command in (['explain'], ['check'], ['--help']):
            assert 'cannot write' in ctl.run(*command, code=REFUSED, stdout=full).stderr


def test_streams_closed_at_the_start(ctl):
    # Their numbers do not become those of connections, to which would be written then.
    def run(*args, closed):
        script = f'exec "$@" {closed}'
        return subprocess.run(['sh', '-c', script, 'sh', *ctl.argv(*args)], capture_output=True, text=True, timeout=60,
                              env=environment(), check=False)
    done = run('key', 'set', '/a=1', closed='<&- >&- 2>&-')
    assert done.returncode == DONE
    for closed in '>&-', '<&- >&-':
        done = run('key', 'get', '/a', closed=closed)
        assert done.returncode == REFUSED and 'cannot write: Bad file descriptor' in done.stderr
    assert run('key', 'get', '/a', closed='<&- 2>&-').stdout == '1'
    done = run('lock', 'exclusive', '/lock', '--', 'readlink', '/proc/self/fd/0', closed='<&-')
    assert done.returncode == DONE and done.stdout == '/dev/null\n'


def test_connection_lost_on_the_way(cluster, keys, oracle, ensemble, root):
    nodes, primary = settled(cluster, keys, oracle, 2, **{'election.transition-delay': '1500ms'})
    target = others(nodes, primary)[0].name
    links = zk.ClientLinks(ensemble)
    child = Ctl(links.connect, root).start('switchover', target)
    wait_until(lambda: keys.desired() == target, 10)
    for proxy in links.proxies:
        proxy.reset_connections()
    assert child.wait(30) == DONE, child.communicate()
    assert f'{target} is primary' in child.communicate()[0]
    links.close()
    settle(keys, oracle, nodes, primary=target)


def test_help_and_version():
    text = Ctl().run('--help').stdout
    assert 'switchover' in text and 'Exit codes' in text
    assert Ctl().run('--version').stdout.startswith('primaryctl ')
