"""primaryctl where a key may not be read, and where half of the servers are gone."""

import json

import pytest

from ctl_shell import REFUSED, UNREACHABLE, Ctl, built
from lab import zk
from lab.steps import QUICK, forbidden, is_told, others, settle
from lab.wait import wait_until

pytestmark = pytest.mark.skipif(not built(), reason='ctl/primaryctl is not built')


@pytest.fixture
def ctl(ensemble, root):
    return Ctl(ensemble.connect, root)


def findings(ctl, subject):
    """What check says of a subject, whatever it ends with."""
    done = ctl.run('check', code=None).stdout.splitlines()
    return [line for line in done if line.split()[1:2] == [subject]]


def test_maintenance_unreadable(cluster, keys, oracle, ctl):
    """Off, as the nodes take it; and everybody who asks is told."""
    nodes = cluster(2, **QUICK)
    primary = settle(keys, oracle, nodes)
    keys.set('maintenance', 'true')
    with forbidden(keys, 'maintenance', 'read'):
        status = ctl.json('status')
        assert status['cluster']['in_order'] is True and status['cluster']['maintenance'] is False
        assert [line['what'] for line in status['junk']] == ['/maintenance cannot be read (access list)']
        [value] = [row['value'] for row in ctl.json('explain', primary)['predicates'] if 'maintenance' in row['predicate']]
        assert value == 'off'
        [finding] = findings(ctl, 'keys')
        assert finding.startswith('warning') and '/maintenance cannot be read' in finding and 'setAcl' in finding
        assert ctl.run('maintenance', 'on', code=REFUSED).stderr.startswith('primaryctl: /maintenance: permission denied')
        other = others(nodes, primary)[0].name
        ctl.run('switchover', other)
        settle(keys, oracle, nodes, primary=other)
        ctl.run('maintenance', 'off')
        assert keys.get('maintenance') is None
    assert not ctl.json('status')['junk']


@pytest.mark.parametrize('key', ['daemonmode', 'daemonstate', 'routerstate', 'alive', 'health', 'detail'])
def test_key_of_a_node_unreadable(cluster, keys, oracle, ctl, key):
    """The others are told of as ever, and what is not known is said to be so."""
    nodes = cluster(2, **QUICK)
    [other] = others(nodes, settle(keys, oracle, nodes))
    with forbidden(keys, f'nodes/{other.name}/{key}', 'read'):
        status = ctl.json('status')
        assert status['cluster']['in_order'] is True
        assert [row['alive'] for row in status['nodes']] == [True, True]
        assert [line['what'] for line in status['junk']] == [f'/nodes/{other.name}/{key} cannot be read (access list)']
        predicates = ctl.json('explain', other.name)['predicates']
        values = [row['value'] for row in predicates]
        assert ('cannot be read' in values) == (key not in ('alive', 'detail')) and 'missing' not in values
        for row in predicates:
            if row['value'] == 'cannot be read' and not row['holds']:
                assert 'access list' in row['remedy'], row


def test_post_unreadable(cluster, keys, oracle, ctl):
    """Nobody can tell who acts, and that is what is said; the work goes on."""
    nodes = cluster(2, **QUICK)
    primary = settle(keys, oracle, nodes)
    with forbidden(keys, 'primary_active', 'read'):
        status = ctl.json('status', code=REFUSED)
        assert status['cluster']['named'] == primary and status['cluster']['primary'] is None
        assert 'cannot be read' in status['cluster']['trouble']
        assert [line['what'] for line in status['junk']] == ['/primary_active cannot be read (access list)']
    settle(keys, oracle, nodes, primary=primary)
    assert ctl.json('status')['cluster']['primary'] == primary


def test_undrain_of_what_may_not_be_read(cluster, keys, oracle, ctl):
    """No server tells of it that it went: it is looked at again and again."""
    nodes = cluster(2, **QUICK)
    [other] = others(nodes, settle(keys, oracle, nodes))
    ctl.run('drain', other.name)
    with forbidden(keys, f'nodes/{other.name}/drain', 'read'):
        assert [row['drain'] for row in ctl.json('status')['nodes'] if row['node'] == other.name] == [True]
        ctl.run('undrain', other.name)
    assert keys.get(f'nodes/{other.name}/drain') is None


def test_list_of_nodes_unreadable(cluster, keys, oracle, ctl):
    """Without it nobody can tell how the cluster is: each command is refused, and says why."""
    nodes = cluster(2, **QUICK)
    primary = settle(keys, oracle, nodes)
    [other] = others(nodes, primary)
    with forbidden(keys, 'nodes', 'read'):
        for command in (['status'], ['explain'], ['switchover', other.name], ['drain', other.name], ['remove', other.name]):
            assert ctl.run(*command, code=REFUSED).stderr.startswith('primaryctl: /nodes: permission denied')
        [finding] = findings(ctl, 'cluster')
        assert finding.startswith('error') and '/nodes: permission denied' in finding
    settle(keys, oracle, nodes, primary=primary)
    assert ctl.json('status')['cluster']['in_order'] is True


def test_history_unreadable(cluster, keys, oracle, ctl):
    """One entry that may not be read hides no other."""
    nodes = cluster(2, **QUICK)
    primary = settle(keys, oracle, nodes)
    other = others(nodes, primary)[0].name
    ctl.run('switchover', other)
    settle(keys, oracle, nodes, primary=other)
    first, second = [row['key'] for row in ctl.json('history')['history']]
    keys.set('history/later', '{"time": "2026-01-01T00:00:00.000Z", "to": "x"}')
    assert ctl.json('history')['history'][-1]['from'] == other
    with forbidden(keys, second.lstrip('/'), 'read'):
        assert json.loads(ctl.run('--json', 'history').stdout)['history'][-1]['from'] == '?'
    keys.delete('history/later')
    with forbidden(keys, first.lstrip('/'), 'read'):
        done = ctl.run('--json', 'history')
        assert second in done.stdout and first not in done.stdout
        assert json.loads(done.stderr)['error'].startswith('1 keys below /history may not be read (access list): left out')
    with forbidden(keys, 'history', 'read'):
        assert ctl.run('history', code=REFUSED).stderr.startswith('primaryctl: /history: permission denied')


def test_remove_what_may_not_be_read(cluster, keys, oracle, ctl):
    """Only what would tell of its death at work is needed; what stands in the way is named."""
    nodes = cluster(2, **QUICK)
    primary = settle(keys, oracle, nodes)
    [other] = others(nodes, primary)
    name = other.name
    other.stop()
    with forbidden(keys, 'nodes', 'delete'), forbidden(keys, f'nodes/{name}/health', 'read'):
        assert ctl.run('remove', name, code=REFUSED).stderr.startswith(
            'primaryctl: /nodes: permission denied' if is_told(keys, f'nodes/{name}/health') else
            f'primaryctl: /nodes/{name}/health: permission denied')
    keys.set(f'nodes/{name}/mine', '')
    keys.set(f'nodes/{name}/mine/too', '')
    with forbidden(keys, f'nodes/{name}/mine', 'read'):
        assert ctl.run('remove', name, code=REFUSED).stderr.startswith(f'primaryctl: /nodes/{name}/mine: permission denied')
    keys.delete(f'nodes/{name}/mine/too')
    with forbidden(keys, f'nodes/{name}/routerstate', 'read'), forbidden(keys, f'nodes/{name}/mine', 'read'):
        assert 'whether it died at work' in ctl.run('remove', name, code=REFUSED).stderr
        told = is_told(keys, f'nodes/{name}/mine')
        # Else there might be keys below it, or it might belong to a session.
        ctl.run('remove', name, '--force', code=0 if told else REFUSED)
    if not told:
        ctl.run('remove', name, '--force')
    assert [row['node'] for row in ctl.json('status')['nodes']] == [primary]


@pytest.mark.parametrize('deep', [[], ['--recursive']])
def test_key_list_unreadable(keys, ctl, deep):
    """What is there is listed, and what it says is not."""
    for key in ('a', 'a/b', 'a/c'):
        keys.set(key, key)
    with forbidden(keys, 'a/b', 'read'):
        rows = {row['path']: row for row in ctl.json('key', 'list', '/a', *deep)['keys']}
        assert sorted(rows) == (['/a'] if deep else []) + ['/a/b', '/a/c']
        assert (rows['/a/b']['value'], rows['/a/b']['base64'], rows['/a/b']['bytes']) == (None, None, 3 * is_told(keys, 'a/b'))
        assert rows['/a/c']['value'] == 'a/c'
        assert '(access denied)' in ctl.run('key', 'list', '/a', *deep).stdout
        assert ctl.run('key', 'get', '/a/b', code=REFUSED).stderr.startswith('primaryctl: /a/b: permission denied')


def test_nothing_readable(cluster, keys, oracle, ctl):
    """A credential is missing, and that alone is said."""
    settle(keys, oracle, cluster(1, **QUICK))
    with forbidden(keys, 'primary_node', 'read'), forbidden(keys, 'maintenance', 'read'):
        for command in ('status', 'explain', 'release'):
            assert '/primary_node' in (said := ctl.run(command, code=REFUSED).stderr) and '--auth-file' in said
        assert any(line.startswith('error') and '/primary_node' in line for line in findings(ctl, 'cluster'))


def test_no_quorum():
    """With one of three servers left nothing can be read: that is said, in time, and check tells which server is what."""
    with zk.Ensemble(3) as ensemble:
        ctl = Ctl(ensemble.connect, '/half', '--timeout', '2s')
        for server in ensemble.servers[:2]:
            server.kill9()
        wait_until(lambda: ensemble.servers[2].mode() not in ('leader', 'follower'), 30, 'it lost its quorum')
        for command in (['status'], ['explain'], ['switchover', 'a'], ['drain', 'a'], ['history'], ['key', 'list', '/']):
            done = ctl.run(*command, code=UNREACHABLE)
            assert done.stderr.startswith('primaryctl: ZooKeeper is out of reach') and len(done.stderr.splitlines()) == 1
        told = [line for line in ctl.run('check', code=UNREACHABLE).stdout.splitlines() if line.startswith('error  server')]
        assert sum('Connection refused' in line for line in told) == 2 and sum('has no quorum' in line for line in told) == 1
