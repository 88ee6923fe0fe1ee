"""Keys that may not be read or written, or that are deleted while they are in use."""

import os

import pytest

from lab.steps import MORTAL, QUICK, by_name, forbidden, history, others, settle, vacate
from lab import zk
from lab.view import View, connect
from lab.wait import stays, wait_until


def term(lease_us):
    """What a primary on another machine would have left in its keepalive."""
    return f'00000000000000ab {lease_us} 7 {"0" * 32} 00000000-0000-0000-0000-000000000000'


# nodes that died acting, or seem to

@pytest.mark.parametrize('right', ['read', 'write'])
def test_corpse(cluster, keys, oracle, right):
    """Found as far as can be, once, and not in the way of the takeover."""
    keys.set('nodes/ghost/routerstate', 'primary')
    keys.set('nodes/ghost/daemonstate', 'run')
    keys.set('nodes/ghost/keepalive', term(lease_us=1000000))
    with forbidden(keys, 'nodes/ghost/routerstate', right):
        [node] = cluster(1, **QUICK)
        wait_until(lambda: keys.acting_name() == node.name and oracle.working(), 10, lambda: node.log_tail())
        assert len(node.log_lines('corpse_found: ')) == 1
        # What cannot be read is not overwritten: it may say something new by now.
        assert len(node.log_lines('request_failed: ghost cannot be marked dead')) == (right != 'read')
    settle(keys, oracle, [node])


@pytest.mark.parametrize('lease_us', [10**14, 2**63 - 1])
def test_corpse_with_an_absurd_term(cluster, keys, oracle, lease_us):
    """No session lasts as long: such a term is waited for as one that cannot be read."""
    keys.set('nodes/ghost/routerstate', 'primary')
    keys.set('nodes/ghost/keepalive', term(lease_us))
    [node] = cluster(1, **QUICK)
    node.wait_log('corpse_found: ghost .* in 2[0-9]')
    settle(keys, oracle, [node], timeout=60)


def test_list_of_nodes(cluster, keys, oracle):
    """Whether somebody acts cannot be told: the takeover waits and says for what, and goes on by itself."""
    [node] = cluster(1, start=False, **QUICK)
    keys.set('nodes', '')
    with forbidden(keys, 'nodes', 'read'):
        node.start()
        node.wait_log('takeover_waiting: /nodes may not be read')
        assert not oracle.working()
    settle(keys, oracle, [node], timeout=60)


# keys in use

def test_router_state_that_somebody_else_wrote(cluster, keys, oracle):
    """A live node that says it acts is waited for until it says something else."""
    nodes = cluster(2, **QUICK, **{'relinquish.timeout': '1s'})
    primary = settle(keys, oracle, nodes)
    [other] = others(nodes, primary)
    vacate(keys)
    settle(keys, oracle, nodes, primary=other.name)
    keys.set(f'nodes/{primary}/routerstate', 'primary')
    mark = other.log_mark()
    keys.delete('primary_active')
    other.wait_log('takeover_waiting: .* still acts', since=mark)
    stays(lambda: not oracle.working(), 2)
    keys.set(f'nodes/{primary}/routerstate', 'secondary')
    wait_until(lambda: oracle.working() == [other.name] and keys.primary() == other.name, 10, other.log_tail)


# what a node goes by

# A server that is up to date tells nobody of a change to a key that he may not read: they meet it when they read.

@pytest.mark.parametrize('key', ['maintenance', 'nodes/n1/drain'])
def test_unreadable(cluster, keys, oracle, key):
    """It is said, taken for what its being there means, and nobody goes blind because of it."""
    keys.set(key, 'true')
    with forbidden(keys, key, 'read'):
        nodes = cluster(2, **QUICK)
        drained = 'drain' in key
        primary = settle(keys, oracle, nodes, primary='n2' if drained else None)
        nodes[0].wait_log(f'junk_ignored: /{key} may not be read: permission denied')
        assert len(nodes[0].log_lines('drain_on: ')) == drained and not nodes[0].log_lines('maintenance_on: ')
        vacate(keys)
        settle(keys, oracle, nodes, primary='n2' if drained else None, other_than=None if drained else primary)
        assert len(nodes[0].log_lines(f'/{key} may not be read')) == 1
    if not drained:
        # Read again, without being told to.
        nodes[0].wait_log('maintenance_on: ')
    keys.delete(key)
    nodes[0].wait_log('maintenance_off: ' if not drained else 'drain_off: ')


def test_sign_of_life_unreadable(cluster, keys, oracle):
    nodes = cluster(2, **MORTAL)
    primary = by_name(nodes, settle(keys, oracle, nodes))
    [other] = others(nodes, primary.name)
    other.stop()
    with forbidden(keys, f'nodes/{primary.name}/alive', 'read'):
        other.start()
        other.wait_log(f'junk_ignored: /nodes/{primary.name}/alive may not be read')
        other.wait_log('registered: ')
        assert oracle.working() == [primary.name]
        primary.kill9()
        settle(keys, oracle, [other])


def test_primary_key_unreadable(cluster, keys, oracle):
    """Nothing is decided on what is not known; once it may be read again, nobody has to say so."""
    keys.set('primary_node', 'none')
    with forbidden(keys, 'primary_node', 'read'):
        nodes = cluster(2, **QUICK)
        for node in nodes:
            node.wait_log('junk_ignored: /primary_node may not be read')
            node.wait_log('registered: ')
        assert not keys.acting()
    settle(keys, oracle, nodes)


def test_change_that_is_not_told(cluster, keys, oracle):
    """Made while nobody may read the key: the watch is gone, and everything looks as before."""
    nodes = cluster(2, **QUICK)
    [other] = others(nodes, settle(keys, oracle, nodes))
    with forbidden(keys, 'primary_node', 'read'):
        keys.set('primary_node', other.name)
    settle(keys, oracle, nodes, primary=other.name, timeout=40)


@pytest.mark.parametrize('key', ['primary_active', 'epoch'])
def test_post_unreadable(cluster, keys, oracle, key):
    """A node whose work is down cannot tell whether the post is its own: the post goes with its session."""
    nodes = cluster(2, proxied=True, **MORTAL)
    primary = by_name(nodes, settle(keys, oracle, nodes))
    with forbidden(keys, key, 'read'):
        primary.links.set_mode('reset')  # what it knows already it does not read again
        primary.wait_log('disconnected: ')
        primary.links.set_mode('pass')
        primary.wait_log('leave refused: /primary_active', timeout=20)
        # (Servers from 3.9 on do not even tell whether a key is there that one may not read.)
        path = keys.path('primary_active')
        root, name = os.path.split(path)
        wait_until(lambda: name not in keys.client.get_children(root), 10, primary.log_tail)
    settle(keys, oracle, nodes)


def test_blind_secondary(cluster, keys, oracle):
    """It would claim, and could never take over: so it is no candidate, and says so, until it may read again."""
    nodes = cluster(2, proxied=True, **MORTAL)
    primary = by_name(nodes, settle(keys, oracle, nodes))
    [other] = others(nodes, primary.name)
    with forbidden(keys, 'epoch', 'read'):
        other.links.set_mode('reset')  # what it knows already it does not read again
        other.wait_log('disconnected: ')
        other.links.set_mode('pass')
        other.wait_log('health_failed: not healthy: /epoch, /primary_node or /primary_active may not be read')
        wait_until(lambda: 'may not be read' in keys.get(f'nodes/{other.name}/health'), 10, keys.summary)
        primary.kill9()
        stays(lambda: keys.desired() != other.name and not other.log_lines('claimed: '), 3)
    settle(keys, oracle, [other])
    assert keys.get(f'nodes/{other.name}/health') == 'ok'


def test_sign_of_life_deleted(cluster, keys, oracle):
    """Who acts is alive: the role stays where it is."""
    nodes = cluster(3, **QUICK)
    primary = settle(keys, oracle, nodes)
    epoch = keys.acting().epoch
    for sweep in (f'nodes/{primary}/alive', f'nodes/{primary}'):
        for _ in range(5):
            keys.sweep(sweep)
            settle(keys, oracle, nodes, primary=primary)
    assert keys.acting().epoch == epoch


# what goes along with a write

SHORT = {**QUICK, 'relinquish.timeout': '1s', 'election.penalty': '500ms'}


def test_history_refuses(cluster, keys, oracle):
    """No claim without its entry: it is said, tried ever less often, and goes on once it may."""
    nodes = cluster(2, **QUICK)
    primary = settle(keys, oracle, nodes)
    [other] = others(nodes, primary)
    with forbidden(keys, 'history', 'create'):
        by_name(nodes, primary).stop()
        other.wait_log('request_failed: claim refused: /history')
        assert not oracle.working()
    settle(keys, oracle, [other], timeout=40)


def test_router_state_refuses_a_takeover(cluster, keys, oracle):
    """A node that cannot leave a trace does not take over, and does not stand in the way of one that can."""
    nodes = cluster(2, **SHORT)
    primary = settle(keys, oracle, nodes)
    [other] = others(nodes, primary)
    with forbidden(keys, f'nodes/{other.name}/routerstate', 'write'):
        keys.set('primary_node', other.name)
        other.wait_log('handed_back: .*the servers refused its takeover')
        wait_until(lambda: keys.primary() == primary and oracle.working() == [primary], 10, other.log_tail)
    settle(keys, oracle, nodes)


def test_router_state_refuses_a_release(cluster, keys, oracle):
    """The post goes with the session although nobody can be told that the work is down."""
    nodes = cluster(2, **SHORT)
    primary = settle(keys, oracle, nodes)
    [other] = others(nodes, primary)
    with forbidden(keys, f'nodes/{primary}/routerstate', 'write'):
        keys.set('primary_node', other.name)
        wait_until(lambda: keys.primary() == other.name and oracle.working() == [other.name], 30, other.log_tail)
    settle(keys, oracle, nodes, primary=other.name, timeout=40)


def test_own_keys_cannot_be_made_again(cluster, keys, oracle):
    """Who cannot write its term stops in order, and another goes on; the servers are not asked as fast as they refuse."""
    nodes = cluster(2, **SHORT)
    primary = settle(keys, oracle, nodes)
    [other] = others(nodes, primary)
    with forbidden(keys, 'nodes', 'create'):
        keys.delete(f'nodes/{primary}')
        lost = by_name(nodes, primary)
        lost.wait_log('request_failed: register refused')
        lines, busy_s = len(lost.log_lines()), lost.cpu_seconds()
        lost.wait_log('lease_running_out: ')
        wait_until(lambda: keys.primary() == other.name and oracle.working() == [other.name], 60, other.log_tail)
        assert len(lost.log_lines()) - lines < 100 and lost.cpu_seconds() - busy_s < 0.5, lost.log_tail(60)
    settle(keys, oracle, nodes, timeout=40)


def test_own_keys_cannot_be_made_for_a_takeover(cluster, keys, oracle):
    """It is named, and each attempt to take over misses a key that it may not make: it says so, and gives the role back."""
    nodes = cluster(3, **QUICK)
    primary = by_name(nodes, settle(keys, oracle, nodes))
    crippled, third = others(nodes, primary.name)
    keys.set(f'nodes/{third.name}/drain', 'true')
    third.wait_log('drain_on: ')
    with forbidden(keys, f'nodes/{crippled.name}', 'create'):
        keys.delete(f'nodes/{crippled.name}/keepalive')
        primary.stop()
        crippled.wait_log(f'rights are missing: /nodes/{crippled.name} .create')
        crippled.wait_log('handed_back: ')
        keys.delete(f'nodes/{third.name}/drain')
        settle(keys, oracle, [crippled, third], primary=third.name)
    crippled.wait_log('rights_back: ')


def test_keepalive_refuses(cluster, keys, oracle):
    """The others judge by it: who cannot renew it stops in order, and another goes on."""
    nodes = cluster(2, **SHORT)
    primary = settle(keys, oracle, nodes)
    [other] = others(nodes, primary)
    with forbidden(keys, f'nodes/{primary}/keepalive', 'write'):
        node = by_name(nodes, primary)
        node.wait_log(f'request_failed: lease renewal refused: /nodes/{primary}/keepalive')
        node.wait_log('lease_running_out: ')
        wait_until(lambda: keys.primary() == other.name and oracle.working() == [other.name], 30, other.log_tail)
    settle(keys, oracle, nodes, timeout=40)


def test_root_refuses_a_release(cluster, keys, oracle):
    """A post that may not be deleted goes with its session; the daemon goes on."""
    nodes = cluster(2, **SHORT)
    primary = settle(keys, oracle, nodes)
    [other] = others(nodes, primary)
    with forbidden(keys, '', 'delete'):
        keys.set('primary_node', other.name)
        wait_until(lambda: keys.acting_name() == other.name and oracle.working() == [other.name], 20, other.log_tail)
        by_name(nodes, primary).wait_log('request_failed: leave refused')
    settle(keys, oracle, nodes, primary=other.name, timeout=40)


# why the servers refuse it

def test_lock_below_an_ephemeral_key(cluster, keys, oracle):
    """No lock node can be made: the server's own reason is told, once, with the remedy; then all goes on."""
    nodes = cluster(2, **QUICK)
    settle(keys, oracle, nodes)
    marks = [node.log_mark() for node in nodes]
    path = keys.path('primary_node')
    swap = keys.client.transaction()
    swap.delete(path)
    swap.create(path, b'none', ephemeral=True)
    # A lock node may be there for a moment.
    wait_until(lambda: not isinstance(swap.commit()[0], Exception), 5)
    for node, mark in zip(nodes, marks):
        if keys.acting_name() != node.name:
            node.wait_log('request_failed: lock refused: /primary_node: key is ephemeral; .*delete it', since=mark)
    stays(lambda: sum(len(node.log_lines('request_failed: lock refused')) for node in nodes) <= 2, 2)
    keys.client.delete(path)
    settle(keys, oracle, nodes)


@pytest.fixture(scope='module')
def strict_ensemble():
    """One that keeps to its quotas."""
    with zk.Ensemble(1, jvm=['-Dzookeeper.enforceQuota=true']) as ensemble:
        yield ensemble


@pytest.fixture
def strict_keys(strict_ensemble):
    client = connect(strict_ensemble.connect)
    client.ensure_path('/cluster')
    yield View(client, '/cluster')
    client.delete('/zookeeper/quota/cluster', recursive=True)
    client.delete('/cluster', recursive=True)
    client.stop()
    client.close()


def set_quota(keys, text):
    """As setquota does it; takes effect at once."""
    client, path = keys.client, '/zookeeper/quota' + keys.root
    client.ensure_path(path)
    count = len(list(below(client, keys.root)))
    for name, value in (('zookeeper_stats', f'count={count},bytes=0'), ('zookeeper_limits', text)):
        if client.exists(f'{path}/{name}'):
            client.set(f'{path}/{name}', value.encode())
        else:
            client.create(f'{path}/{name}', value.encode())


def below(client, path):
    yield path
    for child in client.get_children(path):
        yield from below(client, f'{path}/{child}')


def test_quota(strict_ensemble, strict_keys, make_cluster, oracle):
    """A full quota is told as such, of a node that comes and of one that is there; the primary goes on."""
    keys = strict_keys
    nodes = make_cluster(strict_ensemble, keys, 2, **QUICK)
    primary = settle(keys, oracle, nodes)
    [other] = others(nodes, primary)
    set_quota(keys, 'count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=1')
    vacate(keys)
    other.wait_log('request_failed: lock refused: /primary_node: quota exceeded; raise the quota')
    wait_until(lambda: keys.primary() == primary, 10, keys.summary)
    assert oracle.working() == [primary]
    mark = other.log_mark()
    other.kill9()
    other.start()
    other.wait_log('quota exceeded', since=mark)
    set_quota(keys, 'count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=100000')
    settle(keys, oracle, nodes)


# keys that are deleted, and may not be made again

def test_all_keys_deleted_while_none_may_be_made(cluster, keys, oracle):
    """What is said is what happened: refused, once, and then, tried again ever later, that they are made again."""
    nodes = cluster(2, **SHORT)
    primary = settle(keys, oracle, nodes)
    marks = {node: node.log_mark() for node in nodes}
    said = {node: lambda node=node: node.log_text()[marks[node]:] for node in nodes}
    with forbidden(keys, '', 'create'):
        keys.delete('nodes')
        by_name(nodes, primary).wait_log('keys_deleted: somebody deleted ', since=marks[by_name(nodes, primary)])
        for key in ('history', 'epoch', 'primary_node', 'primary_active'):
            keys.delete(key)
        for node in nodes:
            node.wait_log('request_failed: register refused: /', since=marks[node])
        lines = sum(len(node.log_lines()) for node in nodes)
        stays(lambda: not any(' exist again' in said[node]() for node in nodes), 4)
        assert sum(len(node.log_lines()) for node in nodes) - lines < 60, nodes[0].log_tail(60)
        # Once for each key that is met first.
        assert all(said[node]().count('register refused') <= 3 for node in nodes)
    settle(keys, oracle, nodes, timeout=30)
    assert all(keys.get(f'nodes/{node.name}/{key}') is not None for node in nodes
               for key in ('daemonmode', 'daemonstate', 'routerstate', 'health', 'keepalive', 'alive')), primary


@pytest.mark.parametrize('key, right', [('nodes/{}/routerstate', 'write'), ('nodes', 'create'),
                                        ('nodes/{}/keepalive', 'write')], ids=['router-state', 'nodes', 'keepalive'])
def test_root_deleted_while_own_writes_are_refused(cluster, keys, oracle, key, right):
    """The lists go with the keys: these are made again."""
    nodes = cluster(2, **SHORT)
    primary = settle(keys, oracle, nodes)
    node = by_name(nodes, primary)
    with forbidden(keys, key.format(primary), right):
        mark = node.log_mark()
        if right == 'create':
            keys.delete(f'nodes/{primary}')
            node.wait_log('request_failed: register refused', since=mark)
        keys.delete('')
        settle(keys, oracle, nodes, timeout=30)
    assert keys.get(f'nodes/{primary}/keepalive') is not None
    node.wait_log('keys of this node exist again', since=mark)
