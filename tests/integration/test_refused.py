"""Keys that may not be read or written, or that are deleted while they are in use."""

import contextlib

import pytest
from kazoo.security import make_acl

from lab.steps import QUICK, by_name, others, settle, vacate
from lab.wait import wait_until


@contextlib.contextmanager
def forbidden(keys, key, *what):
    """Nobody may do that with a key; whoever sees it may mend it."""
    allowed = {name: name not in what for name in ('read', 'write', 'create', 'delete')}
    for rights in (allowed, dict.fromkeys(allowed, True)):
        acl = make_acl('world', 'anyone', admin=True, **rights)
        if keys.client.retry(keys.client.exists, keys.path(key)):
            keys.client.retry(keys.client.set_acls, keys.path(key), [acl])
        if rights is allowed:
            yield


# nodes that died acting, or seem to

@pytest.mark.parametrize('right', ['read', 'write'])
def test_corpse(cluster, keys, oracle, right):
    """Found as far as can be, once, and not in the way of the takeover."""
    keys.set('nodes/ghost/routerstate', 'primary')
    keys.set('nodes/ghost/daemonstate', 'run')
    with forbidden(keys, 'nodes/ghost/routerstate', right):
        [node] = cluster(1, **QUICK)
        wait_until(lambda: keys.acting_name() == node.name and oracle.working(), 10, lambda: node.log_tail())
        assert len(node.log_lines('corpse_found: ')) == 1
        assert len(node.log_lines('fenced: ghost')) == 1
    settle(keys, oracle, [node])


# keys in use

@pytest.mark.parametrize('how', ['post', 'root'])
def test_deleted_while_it_stops_slowly(cluster, keys, oracle, how):
    """The post is free at once, the work is not down at once: the next one waits for it."""
    nodes = cluster(2, **QUICK)
    primary = settle(keys, oracle, nodes)
    [other] = others(nodes, primary)
    by_name(nodes, primary).set_command('relinquish', '--sleep 450')
    if how == 'post':
        keys.set('primary_node', other.name)
        other.wait_log('state_changed: follow -> await')
        keys.delete('primary_active')
    else:
        for key in ('primary_node', 'history', 'nodes', 'primary_active'):
            keys.sweep(key)
    settle(keys, oracle, nodes)
    oracle.check()


def test_router_state_that_somebody_else_wrote(cluster, keys, oracle):
    """A node that only seems to act is not waited for for ever."""
    nodes = cluster(2, **QUICK, **{'relinquish.timeout': '1s'})
    primary = settle(keys, oracle, nodes)
    [other] = others(nodes, primary)
    vacate(keys)
    settle(keys, oracle, nodes, primary=other.name)
    keys.set(f'nodes/{primary}/routerstate', 'primary')
    mark = other.log_mark()
    keys.delete('primary_active')
    other.wait_log('takeover_waiting: .* still acts', since=mark)
    wait_until(lambda: oracle.working() == [other.name] and keys.primary() == other.name, 10, other.log_tail)
