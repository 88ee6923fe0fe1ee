"""Junk in every key: said once, taken as absent, and the cluster has exactly one primary again."""

import os
import re

import pytest
from kazoo.exceptions import NodeExistsError

from lab.steps import QUICK, by_name, history, others, primary_key, settle, vacate, wait_members
from lab.wait import wait_until

NODE_KEYS = ('daemonmode', 'daemonstate', 'routerstate', 'health', 'keepalive', 'alive')

JUNK = {
    'empty': b'',
    'binary': bytes(range(256)),
    'large': b'n1' * 100_000,
    'path': b'/nodes/n1',
    'parent': b'../n1',
    'long-name': b'n' * 65,
    'two-names': b'n1 n2',
    'not-utf8': b'\xff\xfe\xfd',
    'format': b'%s%s%n%n',
    'option': b'-rf',
}


# A node whose router state is junk may be at work: the next takeover waits for the longest term, 26.7 s.
HEAL_S = 60


def heal(keys, oracle, nodes):
    """All registered, one primary; and the next vacancy is filled as well."""
    wait_members(keys, nodes)
    _, epoch = wait_until(
        lambda: at_work(keys, oracle), HEAL_S,
        lambda: f'one primary; {keys.summary()}\n' + ''.join(node.log_tail() for node in nodes))
    vacate(keys)
    # By another one; or by the same, if that loses its post in this moment because of what was done to its keys.
    wait_until(lambda: (at_work(keys, oracle) or (None, 0))[1] > epoch, HEAL_S,
               lambda: f'a primary of a higher epoch than {epoch}; {keys.summary()}\n'
               + ''.join(node.log_tail() for node in nodes))
    oracle.check()
    for node in nodes:
        assert node.running(), node.log_tail()
        assert not node.complaints()


def in_order(keys, oracle):
    """The node that is named, acts and works; what its routerstate says may be somebody else's joke."""
    name = keys.acting_name()
    return name if keys.desired() == name and oracle.working() == [name] and not keys.lock_nodes() else None


def at_work(keys, oracle):
    """That node and its epoch."""
    acting = keys.acting()
    return (acting.node, acting.epoch) if acting and in_order(keys, oracle) == acting.node else None


def junk_lines(node, path, since=0):
    return re.findall(rf' junk_ignored: {re.escape(path)} ', node.log_text()[since:])


def test_primary_key(cluster, keys, oracle):
    nodes = cluster(3, **QUICK)
    primary = settle(keys, oracle, nodes)
    for kind, value in JUNK.items():
        claims = len(history(keys))
        keys.set('primary_node', value)
        successor = settle(keys, oracle, nodes, other_than=primary)
        assert len(history(keys)) == claims + 1, kind
        assert history(keys)[-1]['from'] == primary, kind
        primary = successor
    for node in nodes:
        assert junk_lines(node, '/primary_node'), node.log_tail()
        assert '\xff' not in node.log_text() and '\x00' not in node.log_text()


def test_junk_is_said_once(cluster, keys, oracle):
    keys.set('maintenance', 'true')  # so that it stays
    keys.set('primary_node', b'no name')
    [node] = cluster(1, **QUICK)
    node.wait_log('junk_ignored: /primary_node ')
    for _ in range(3):  # read again, the same as before
        keys.set('primary_node', b'no name')
        mark = primary_key(keys).version
        wait_until(lambda: primary_key(keys).version == mark, 5)
    keys.set('primary_node', b'neither name')
    wait_until(lambda: len(junk_lines(node, '/primary_node')) == 2, 10, node.log_tail)
    keys.delete('maintenance')
    settle(keys, oracle, [node])
    assert len(junk_lines(node, '/primary_node')) == 2, node.log_tail()


@pytest.mark.parametrize('leaf', NODE_KEYS)
def test_node_keys(cluster, keys, oracle, leaf):
    nodes = cluster(3, **QUICK)
    primary = settle(keys, oracle, nodes)
    targets = [primary, others(nodes, primary)[0].name]
    for value in JUNK.values():
        for name in targets:
            keys.set(f'nodes/{name}/{leaf}', value)
    heal(keys, oracle, nodes)
    for name in targets:
        keys.delete(f'nodes/{name}/{leaf}')
    heal(keys, oracle, nodes)


def test_node_keys_deleted_at_once(cluster, keys, oracle):
    nodes = cluster(3, **QUICK)
    primary = settle(keys, oracle, nodes)
    for name in (primary, others(nodes, primary)[0].name):
        keys.sweep(f'nodes/{name}')
        heal(keys, oracle, nodes)
    keys.sweep('nodes')
    heal(keys, oracle, nodes)
    for node in nodes:
        # The sweep may have gone on while they were made again: each looks some more times.
        wait_until(lambda node=node: set(NODE_KEYS) <= set(keys.node(node.name)), 5, node.log_tail)


def test_epochs_are_used_up(cluster, keys, oracle):
    """The last epoch there is can still be taken; after it nobody takes over, all say why, and the remedy helps."""
    nodes = cluster(2, **QUICK)
    settle(keys, oracle, nodes)
    last = 2 ** 62 - 1
    keys.set('epoch', f'{last - 1} none')
    wait_until(lambda: (keys.acting() or (None, 0))[1] == last, HEAL_S, keys.summary)
    vacate(keys)
    for node in nodes:
        node.wait_log('health_failed: not healthy: no higher epoch exists: .*delete /epoch and those records')
        wait_until(lambda node=node: 'no higher epoch exists' in keys.get(f'nodes/{node.name}/health'), 10, node.log_tail)
    assert keys.acting_name() is None and oracle.working() == []
    for node in nodes:
        node.stop()
        assert len(node.log_lines(' health_failed: ')) == 1, node.log_tail()
        for name in os.listdir(node.state_directory):
            os.unlink(os.path.join(node.state_directory, name))
    keys.delete('epoch')
    for node in nodes:
        node.start()
    settle(keys, oracle, nodes, timeout=HEAL_S)
    assert keys.acting().epoch < 2 ** 48


@pytest.mark.parametrize('key', ['history', 'primary_node', 'maintenance'])
def test_other_keys_deleted(cluster, keys, oracle, key):
    nodes = cluster(3, **QUICK)
    settle(keys, oracle, nodes)
    if key == 'maintenance':
        for value in JUNK.values():
            keys.set(key, value)
        assert any(junk_lines(node, '/maintenance') for node in nodes)
    keys.sweep(key)
    if key == 'history':
        vacate(keys)
        settle(keys, oracle, nodes)
        wait_until(lambda: len(history(keys)) == 1, 10, 'the claim is noted')
    heal(keys, oracle, nodes)
    assert history(keys)


def test_whole_root_deleted(cluster, keys, oracle):
    nodes = cluster(3, **QUICK)
    settle(keys, oracle, nodes)
    keys.sweep('/nodes')
    keys.sweep('/history')
    keys.sweep('/primary_node')
    heal(keys, oracle, nodes)


def test_post_deleted(cluster, keys, oracle):
    nodes = cluster(3, **QUICK)
    primary = settle(keys, oracle, nodes)
    keys.delete('primary_active')
    by_name(nodes, primary).wait_log('post_lost: ')
    wait_until(lambda: in_order(keys, oracle), 20, keys.summary)
    heal(keys, oracle, nodes)


def test_post_that_is_not_one(cluster, keys, oracle):
    # It does not go with anybody's session; as long as it is there nobody takes over, and all say why.
    keys.set('primary_active', 'ghost 1')
    nodes = cluster(2, **QUICK)
    wait_members(keys, nodes)
    wait_until(lambda: primary_key(keys) and primary_key(keys).text != 'none', 10, 'a claim')
    for node in nodes:
        node.wait_log('junk_ignored: /primary_active is not ephemeral')
    assert oracle.working() == []
    keys.delete('primary_active')
    settle(keys, oracle, nodes)


def test_strange_children(cluster, keys, oracle, zk_client):
    for parent in ('primary_node', 'nodes', 'history'):
        keys.set(parent, 'none' if parent == 'primary_node' else '')
        for child in ('x', 'lock-0000000000', 'f' * 32 + '__lock__', '__lock__x', 'ü' * 40, '-', 'none',
                      'a b', 'n' * 300, 'f' * 32 + '__lock__99999999999', 'claim-'):
            try:
                zk_client.create(keys.path(f'{parent}/{child}'), b'\x00junk')
            except NodeExistsError:
                pass
    zk_client.create(keys.path('nodes/dead'), b'')
    zk_client.create(keys.path('nodes/dead/routerstate'), b'primary')
    nodes = cluster(3, **QUICK)
    primary = settle(keys, oracle, nodes, timeout=30)
    # It died acting: that is found although it has no other keys.
    assert keys.get('nodes/dead/routerstate') == 'secondary'
    vacate(keys)
    settle(keys, oracle, nodes, other_than=primary)
    for node in nodes:
        node.stop()
    assert 'x' in keys.children('primary_node') and 'x' in keys.children('nodes') and 'x' in keys.children('history')


def test_sign_of_life_that_is_not_one(cluster, keys, oracle):
    # Not ephemeral, so nobody's: it must not keep a dead node alive for ever, nor the real one out.
    keys.set('nodes/ghost/alive', 'session=1')
    keys.set('nodes/n1/alive', 'x')
    keys.set('primary_node', 'ghost')
    nodes = cluster(2, **QUICK)
    settle(keys, oracle, nodes)
    vacate(keys)
    settle(keys, oracle, nodes)


def test_lock_nodes_that_never_go(cluster, keys):
    """Keys that look like somebody's place in the line, before all others, but belong to no session: passed over."""
    places = [f'primary_node/{digit * 32}__lock__000000000{digit}' for digit in '012']
    for place in places:
        keys.client.create(keys.path(place), makepath=True)
    nodes = cluster(2, **QUICK)
    first = keys.wait_primary()
    keys.set('nodes/' + first + '/drain', '')
    keys.wait_primary(other_than=first)
    assert set(keys.lock_nodes()) == {place.split('/')[1] for place in places}, 'strangers\' keys are left alone'
    for place in places:
        keys.delete(place)
    assert all(node.running() for node in nodes)
