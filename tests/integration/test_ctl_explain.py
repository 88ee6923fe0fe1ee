"""primaryctl explain: why a node is not the primary, in situations made by hand and by daemons."""

import time

import pytest

from ctl_shell import REFUSED, USAGE, Ctl, built
from lab.steps import QUICK
from lab.wait import wait_until

pytestmark = pytest.mark.skipif(not built(), reason='ctl/primaryctl is not built')


@pytest.fixture
def ctl(ensemble, root):
    return Ctl(ensemble.connect, root)


def make(zk_client, keys, name, **values):
    """The keys of a node as a daemon would leave them; None: without that one."""
    values = {'daemonmode': 'coordinator', 'daemonstate': 'run', 'routerstate': 'secondary', 'health': 'ok', **values}
    for key, value in values.items():
        if value is not None and key != 'alive':
            keys.set(f'nodes/{name}/{key}', value)
    if values.get('alive', True):
        zk_client.create(keys.path(f'nodes/{name}/alive'), b'', ephemeral=True, makepath=True)


def why(ctl, name=None):
    explained = ctl.json('explain', *([name] if name else []))
    return explained['nodes'][0]['why'] if name else explained['cluster']['why']


def test_vacant(zk_client, keys, ctl):
    keys.set('primary_node', 'none')
    make(zk_client, keys, 'fit')
    make(zk_client, keys, 'odd', routerstate=None)
    make(zk_client, keys, 'bereft', routerstate='primary')
    make(zk_client, keys, 'sick', health='failed: the disk')
    make(zk_client, keys, 'client', daemonmode='client', routerstate='client')
    make(zk_client, keys, 'drained', drain='')
    make(zk_client, keys, 'leaving', daemonstate='shutdown')
    make(zk_client, keys, 'gone', daemonstate='dead', alive=False)
    make(zk_client, keys, 'late', detail=f'penalty-until={time.time() * 1000 + 60000:.0f} reason=the fence failed')
    assert ctl.json('explain')['cluster']['primary'] is None
    assert ctl.run('explain').stdout.split()[:2] == ['primary', 'none']
    assert why(ctl, 'fit') == 'it waits for the lock, to claim the role'
    assert 'the lock' not in why(ctl, 'odd')
    assert 'its work to stop' in why(ctl, 'bereft')
    for name, text in (('sick', 'health'), ('client', 'client'), ('drained', 'drained'), ('leaving', 'shut'),
                       ('gone', 'died there'), ('late', 'penalty')):
        assert text in why(ctl, name), name
    [penalty] = [row for row in ctl.json('explain', 'late')['predicates'] if 'penalty' in row['predicate']]
    assert penalty['holds'] is False and penalty['value'] == 'runs: the fence failed'
    for name in ('better', 'zealous'):
        make(zk_client, keys, name, detail=f'rank={len(name)} contend-delay=2s')
    make(zk_client, keys, 'absent', alive=False, detail='rank=100')
    keys.set('nodes/fit/detail', 'rank=1 contend-delay=2500ms')
    assert why(ctl, 'fit') == 'it waits for zealous (rank 7), which may claim the role first, for 2.5s'
    assert why(ctl, 'zealous') == 'it waits for the lock, to claim the role'
    assert [node['rank'] for node in ctl.json('status', code=REFUSED)['nodes'] if node['node'] in ('absent', 'fit')] == [100, 1]
    keys.set('nodes/fit/detail', 'rank=1')
    assert 'does not let zealous (rank 7) claim first' in ctl.run('check', code=None).stdout
    assert 'zealous may claim the role' in why(ctl)
    keys.set('maintenance', 'true')
    assert why(ctl, 'fit') == 'it waits for the end of maintenance'


def test_somebody_sits_on_the_lock(zk_client, keys, ctl):
    keys.set('primary_node', 'none')
    make(zk_client, keys, 'fit')
    with zk_client.Lock(keys.path('primary_node')):
        assert '1 hold it or wait' in why(ctl, 'fit') and 'key list /primary_node' in why(ctl, 'fit')


def test_acting_and_not_named(zk_client, keys, ctl):
    make(zk_client, keys, 'a', routerstate='primary')
    make(zk_client, keys, 'b')
    zk_client.create(keys.path('primary_active'), b'a 5', ephemeral=True)
    keys.set('primary_node', 'a')
    assert why(ctl).startswith('it is named')
    make(zk_client, keys, 'c', daemonstate='stop', alive=False)
    make(zk_client, keys, 'd', daemonstate='dead', alive=False)
    assert why(ctl, 'c') == 'primaryd was stopped there' and 'died there, or lost' in why(ctl, 'd')
    assert why(ctl, 'b') == 'it is ready to take over; a is primary'
    keys.set('primary_node', 'none')
    assert 'no node is named' in why(ctl) and 'a successor' in why(ctl, 'a')
    keys.set('primary_node', 'b')
    assert 'another node is named' in why(ctl)
    assert 'a to release the post' in why(ctl, 'b') and 'transition delay' in why(ctl, 'a')


def test_takeover_failed(cluster, keys, oracle, ctl):
    [node] = cluster(1, **{**QUICK, 'takeover.command': '/bin/false', 'election.penalty': '60s'})

    def penalty():
        rows = ctl.json('explain', node.name)['predicates']
        return next(row for row in rows if 'penalty' in row['predicate'])
    node.wait_log('takeover_failed')
    wait_until(lambda: keys.acting() is None and penalty()['holds'] is False, 20, keys.summary)
    assert penalty()['value'].startswith('runs: ') and 'wait until' in penalty()['remedy']


def test_what_people_see(zk_client, keys, ctl):
    """One line a node, and below only what does not hold."""
    make(zk_client, keys, 'a', routerstate='primary')
    make(zk_client, keys, 'b')
    zk_client.create(keys.path('primary_active'), b'a 5', ephemeral=True)
    keys.set('primary_node', 'a')
    assert 'ELIGIBLE IF' not in ctl.run('explain').stdout
    make(zk_client, keys, 'c', drain='', health='failed: the disk')
    text = ctl.run('explain').stdout
    assert 'not eligible: the health check failed; drained by an operator' in text and 'primaryctl undrain c' in text
    rows = text[text.index('ELIGIBLE IF'):].splitlines()[1:]
    assert [row.split()[0] for row in rows] == ['c', 'c'], text
    assert ctl.run('explain', '--all').stdout.count('mode is coordinator') == 3
    # The primary is fit, and none of its predicates says otherwise.
    text = ctl.run('explain', 'a').stdout
    rows = [row for row in text[text.index('ELIGIBLE IF'):].splitlines()[1:] if row]
    assert len(rows) == 8 and all(' yes ' in row for row in rows if 'penalty' not in row), text
    predicates = ctl.json('explain')['predicates']
    assert len(predicates) == 3 * 8 and predicates == ctl.json('explain', '--all')['predicates']
    [busy] = [row for row in predicates if row['node'] == 'a' and row['predicate'] == 'it is secondary']
    assert busy['holds'] is False and busy['value'] == 'primary'
    assert ctl.run('status', '--all', code=USAGE).stderr == 'primaryctl: status does not take --all\n'
