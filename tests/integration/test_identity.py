"""Which ensemble is this? Addresses get reused, backups get restored: nothing is claimed or written in another one."""

import json
import os
import re
import shutil

import pytest
from ctl_shell import DONE, REFUSED, Ctl, built, environment

from lab import view, zk
from lab.memory import remembered
from lab.node import stop_all
from lab.notify import Manager
from lab.steps import MORTAL, QUICK, by_name, others, settle
from lab.wait import stays, wait_until

ROOT = '/some/cluster'


@pytest.fixture
def make_ensemble():
    """make_ensemble(): a server of its own; make_ensemble.keys(ensemble): a view of it."""
    made, clients = [], []

    def make():
        made.append(zk.Ensemble(1).start())
        return made[-1]

    def keys(ensemble, root=ROOT):
        clients.append(view.connect(ensemble.connect))
        return view.View(clients[-1], root)
    make.keys = keys
    yield make
    for client in clients:
        client.stop()
        client.close()
    for ensemble in made:
        ensemble.close()


@pytest.fixture
def home(make_ensemble):
    """The ensemble that the cluster lives in."""
    return make_ensemble()


@pytest.fixture
def home_keys(make_ensemble, home):
    return make_ensemble.keys(home)


@pytest.fixture
def other(make_ensemble):
    return make_ensemble()


@pytest.fixture
def other_keys(make_ensemble, other):
    """The whole of the other ensemble."""
    return make_ensemble.keys(other, '/')


def retarget(nodes, ensemble):
    """From now on another ensemble answers at the nodes' addresses."""
    for node in nodes:
        for proxy, server in zip(node.links.proxies, ensemble.servers):
            proxy.target = (server.address, server.port)
            proxy.reset_connections()


def identity(keys):
    """(id, generation, format) in the key."""
    text = keys.get('cluster')
    match = re.fullmatch(r'([0-9a-f]{32}) (\d+) (\d+)', text or '')
    assert match, f'/cluster says {text!r}'
    return match[1], int(match[2]), int(match[3])


def ctl_of(node):
    if not built():
        pytest.skip('primaryctl is not built')
    return Ctl(None, None, '--config', node.config_path)


def raise_zxid(keys, changes=300):
    """As other programs do. Nothing of the cluster's root changes."""
    client = view.connect(','.join(f'{host}:{port}' for host, port in keys.client.hosts))  # the same goes for kazoo's
    client.ensure_path('/pump/it')
    for answer in [client.set_async('/pump/it', b'') for _ in range(changes)]:
        answer.get(30)
    client.stop()
    client.close()


def wipe(ensemble):
    """All data are lost; the servers come up empty."""
    for server in ensemble.servers:
        server.kill9()
        for name in os.listdir(os.path.join(server.directory, 'data')):
            if name.startswith('version-'):
                shutil.rmtree(os.path.join(server.directory, 'data', name))


def test_first_start_makes_the_key_and_remembers(home, home_keys, make_cluster, oracle):
    nodes = make_cluster(home, home_keys, 3, new=True, **MORTAL)
    settle(home_keys, oracle, nodes)
    ident, generation, form = identity(home_keys)
    assert (generation, form) == (1, 1)
    assert sum(len(node.log_lines('cluster_made: ')) for node in nodes) == 1
    for node in nodes:
        wait_until(lambda node=node: (remembered(node) or {}).get('id') == ident, 5, lambda node=node: remembered(node))
        assert remembered(node)['root'] == ROOT and remembered(node)['name'] == node.name
        # A takeover is worth a write, too.
        wait_until(lambda node=node: int(remembered(node)['epoch']) == home_keys.acting().epoch, 5)
        assert not node.log_lines('cluster_foreign: ')
    shown = ctl_of(nodes[0]).json('cluster')['cluster']
    assert (shown['id'], shown['remembered_id'], shown['generation'], shown['known']) == (ident, ident, 1, True)
    refused = ctl_of(nodes[0]).run('cluster', 'accept', code=REFUSED)
    assert 'already the known one' in refused.stderr
    refused = Ctl(home.connect, ROOT).run('cluster', 'accept', code=REFUSED)
    assert 'has no record of a cluster' in refused.stderr
    assert identity(home_keys) == (ident, 1, 1)


def test_format(cluster, keys, oracle):
    """A node that does not know the format of the keys is no candidate; it is raised once all nodes know the new one."""
    new = {'PRIMARYD_FORMAT': '2'}
    nodes = cluster(3, start=False, **QUICK)
    for node, known in zip(nodes, (new, {}, new)):
        node.start(known)
    primary = settle(keys, oracle, nodes)
    ident, generation, form = identity(keys)
    assert form == 1
    ctl = ctl_of(nodes[0])
    if 'already' in ctl.run('cluster', 'upgrade', env=environment(**new), code=None).stdout:
        pytest.skip('built without fault points')
    refused = ctl.run('cluster', 'upgrade', env=environment(**new), code=REFUSED)
    assert 'n2 knows format 1: upgrade primaryd there' in refused.stderr and 'n3' not in refused.stderr
    assert 'already, the highest' in ctl.run('cluster', 'upgrade').stdout
    assert identity(keys) == (ident, generation, 1)
    # A restart within the lease is the upgrade.
    old = nodes[1]
    old.kill9()
    old.start(new)
    wait_until(lambda: keys.get('nodes/n2/detail').startswith('format=2 '), 10, old.log_tail)
    primary = settle(keys, oracle, nodes, primary=primary if primary != 'n2' else None)
    ctl.run('cluster', 'upgrade', env=environment(**new))
    assert identity(keys) == (ident, generation, 2)
    settle(keys, oracle, nodes, primary=primary)
    wait_until(lambda: remembered(old).get('format') == '2', 5, lambda: remembered(old))
    # A downgrade: it writes nothing, its work is down, and everybody is told why.
    victim = by_name(nodes, primary)
    victim.stop()
    keys.set(f'nodes/{primary}/detail', 'format=1')
    others_left = others(nodes, primary)
    settle(keys, oracle, others_left)
    mark = victim.log_mark()
    victim.start()
    line = victim.wait_log('cluster_foreign: .*', since=mark)[0]
    assert 'format 2' in line and 'knows format 1' in line
    assert 'upgrade primaryd' in ctl_of(victim).json('status', code=REFUSED)['cluster']['trouble']
    assert 'upgrade primaryd' in ctl_of(victim).run('check', code=REFUSED).stdout
    seen = Ctl(None, None, '--config', others_left[0].config_path)
    waits = {node['node']: node['waits_for']
             for node in json.loads(seen.run('--json', 'status', env=environment(**new)).stdout)['nodes']}
    assert 'knows format 1' in waits[primary]
    assert keys.get(f'nodes/{primary}/alive') is None
    # What another program writes stops a primary, too; the known format back: it goes on by itself.
    keys.set('cluster', f'{ident} {generation} 3')
    wait_until(lambda: keys.primary() is None and not keys.get('primary_active'), 20, keys.summary)
    keys.set('cluster', f'{ident} {generation} 2')
    settle(keys, oracle, others_left)
    victim.stop()
    settle(keys, oracle, others_left)


@pytest.mark.parametrize('empty', [True, False], ids=['empty', 'another cluster'])
def test_old_address_answers_for_another_ensemble(home, home_keys, other, other_keys, make_cluster, oracle, empty):
    """A node whose session expired must neither make the root there nor claim; and it comes back by itself."""
    nodes = make_cluster(home, home_keys, 2, new=True, proxied=True, **MORTAL)
    primary = settle(home_keys, oracle, nodes)
    [lost] = others(nodes, primary)
    ident = identity(home_keys)[0]
    if not empty:
        other_keys.set(f'{ROOT}/cluster', f'{"f" * 32} 7 1')
    raise_zxid(other_keys)
    before = other_keys.client.get_children('/')
    lost.links.set_mode('reset')
    wait_until(lambda: home_keys.get(f'nodes/{lost.name}/alive') is None, 10)
    retarget([lost], other)
    lost.links.set_mode('pass')
    lost.wait_log(f'cluster_foreign: .*{"/cluster is missing" if empty else "f" * 32}.*{ident}.*cluster accept', 15)
    stays(lambda: other_keys.client.get_children('/') == before, 3, lost.log_tail)
    ctl = ctl_of(lost)
    if not empty:
        assert other_keys.children(ROOT) == ['cluster']
        other_keys.client.create(f'{ROOT}/nodes/stranger/alive', b'', ephemeral=True, makepath=True)
        refused = ctl.run('cluster', 'accept', code=REFUSED).stderr
        assert 'another cluster' in refused and 'stranger is alive' in refused
        assert other_keys.get(f'{ROOT}/cluster') == f'{"f" * 32} 7 1'
    assert len(lost.log_lines('cluster_foreign: ')) == 1, lost.log_tail(40)
    for verb in ('status', 'check'):
        said = ctl.run(verb, code=REFUSED).stdout
        assert 'cluster accept' in said and ident in said, said
    said = ctl.run('explain').stdout
    assert 'cluster accept' in said and ident in said, said
    ctl.run('maintenance', 'on', code=REFUSED)
    with ctl.terminal('watch', columns=600) as terminal:  # a narrow one shows the beginning
        terminal.wait('cluster accept')
        assert other_keys.client.get_children('/') == before
        mark = terminal.mark()
        retarget([lost], home)
        terminal.wait(rf'primary +{primary}', mark)
        terminal.send('q')
        assert terminal.end() == DONE
    lost.wait_log(f'cluster_known: .*{ident}', 15)
    settle(home_keys, oracle, nodes)


def test_primary_is_lost_with_its_session_and_stays_out(home, home_keys, other, other_keys, make_cluster, oracle):
    """The primary's address moves: it stops, and the other node goes on at home."""
    nodes = make_cluster(home, home_keys, 2, new=True, proxied=True, **MORTAL)
    primary = settle(home_keys, oracle, nodes)
    raise_zxid(other_keys)
    [lost] = [node for node in nodes if node.name == primary]
    retarget([lost], other)
    lost.wait_log('cluster_foreign: ', 15)
    wait_until(lambda: home_keys.primary() not in (None, primary), 15, home_keys.summary)
    assert 'some' not in other_keys.client.get_children('/')
    retarget([lost], home)
    settle(home_keys, oracle, nodes)


@pytest.mark.parametrize('restart', [False, True], ids=['running', 'restarted'])
def test_wiped(home, home_keys, make_cluster, oracle, restart):
    """All data are lost: told, refused, and after `cluster accept` all nodes go on by themselves."""
    nodes = make_cluster(home, home_keys, 3, new=True, **MORTAL)
    settle(home_keys, oracle, nodes)
    ident = identity(home_keys)[0]
    if restart:
        for node in nodes:
            node.stop()
    wipe(home)
    home.start()
    for node in nodes:
        if restart:
            node.start()
        node.wait_log(f'cluster_foreign: .*/cluster is missing.*{ident}.*cluster accept', 20)
    raise_zxid(home_keys, 1000)  # for the observer, whose session is older than the data, too; and for epochs that grow
    assert view.View(home_keys.client, '/').children('some') == []
    wait_until(lambda: not oracle.working(), 10, oracle.dump)
    for node in nodes:
        assert 'cluster accept' in ctl_of(node).run('status', code=REFUSED).stdout
    with ctl_of(nodes[1]).terminal('cluster', 'accept') as terminal:
        terminal.wait('Are the old servers off')
        stays(lambda: home_keys.get('cluster') is None, 2)  # longer than a session that nobody serves
        terminal.send('n\n' if restart else 'y\n')
        assert terminal.end() == (REFUSED if restart else DONE), terminal.plain()
    if restart:
        assert home_keys.get('cluster') is None
        said = ctl_of(nodes[0]).run('cluster', 'accept', code=DONE).stdout
        assert ident in said and 'generation 2' in said
    settle(home_keys, oracle, nodes, timeout=30)
    assert identity(home_keys) == (ident, 2, 1)
    for node in nodes:
        wait_until(lambda node=node: remembered(node)['generation'] == '2', 5)
        assert len(node.log_lines('cluster_foreign: ')) == 1, node.log_tail(40)


@pytest.mark.parametrize('caught_up', [False, True], ids=['behind', 'caught up'])
def test_restored_from_a_copy(make_ensemble, home, make_cluster, oracle, caught_up):
    """An older copy of the data comes back: it is known by its zxids, although its id is the right one."""
    keys = make_ensemble.keys(home)
    nodes = make_cluster(home, keys, 2, new=True, **MORTAL)
    settle(keys, oracle, nodes)
    [server] = home.servers
    data, copy = os.path.join(server.directory, 'data'), os.path.join(server.directory, 'copy')
    stop_all(nodes)
    server.kill9()
    shutil.copytree(data, copy)
    server.restart()
    for node in nodes:
        node.start()
    settle(keys, oracle, nodes)
    stop_all(nodes)
    server.kill9()
    shutil.rmtree(data)
    shutil.copytree(copy, data)
    server.restart()
    if caught_up:
        raise_zxid(keys)
    for node in nodes:
        node.start()
        node.wait_log(r'cluster_foreign: .*older data.*zxid 0x[0-9a-f]+, seen 0x[0-9a-f]+', 20)
    raise_zxid(keys)
    stays(lambda: not oracle.working(), 6, oracle.dump)  # having caught up makes no difference
    for node in nodes:
        assert len(node.log_lines('cluster_foreign: ')) == 1, node.log_tail(40)
    assert 'older data' in ctl_of(nodes[0]).run('check', code=REFUSED).stdout
    ctl_of(nodes[1]).run('cluster', 'accept', code=DONE)
    settle(keys, oracle, nodes, timeout=30)


def test_deleted_while_sessions_live(home, home_keys, make_cluster, oracle):
    """Keys that somebody deletes are made again with the known id; the work goes on."""
    nodes = make_cluster(home, home_keys, 3, new=True, **MORTAL)
    settle(home_keys, oracle, nodes)
    ident = identity(home_keys)[0]
    home_keys.delete('cluster')
    wait_until(lambda: home_keys.get('cluster'), 5)
    assert identity(home_keys)[0] == ident
    home_keys.set('cluster', 'junk')
    wait_until(lambda: home_keys.get('cluster') != 'junk', 5)
    assert identity(home_keys)[0] == ident
    assert len(oracle.intervals()) == 1
    home_keys.delete('/')
    # Nobody knows whether another one acts: the longest lease is waited for.
    settle(home_keys, oracle, nodes, timeout=60)
    assert identity(home_keys)[0] == ident
    for node in nodes:
        assert not node.log_lines('cluster_foreign: '), node.log_tail(40)


def test_another_id_in_a_live_session(home, home_keys, make_cluster, oracle, tmp_path):
    """Written by hand, or by a stranger: a primary stops in order, and goes on when the known one is back."""
    nodes = make_cluster(home, home_keys, 2, new=True, start=False, **MORTAL)
    manager = Manager(str(tmp_path / 'notify'))
    for node in nodes:
        node.start({'NOTIFY_SOCKET': manager.path})
    settle(home_keys, oracle, nodes)
    known = home_keys.get('cluster')
    home_keys.set('cluster', f'{"e" * 32} 1 1')
    for node in nodes:
        node.wait_log(f'cluster_foreign: .*{"e" * 32}', 10)
    wait_until(lambda: not oracle.working(), 10, oracle.dump)
    manager.wait(f'^STATUS=Kept out: .*{"e" * 32}.*cluster accept')
    # The sessions in which that was found are given up, with all that was under way in them.
    wait_until(lambda: all(home_keys.get(f'nodes/{node.name}/alive') is None for node in nodes), 20, oracle.dump)
    home_keys.set('cluster', known)
    settle(home_keys, oracle, nodes)
    manager.wait('^STATUS=Primary')


def test_a_raised_generation_is_followed_without_a_stop(home, home_keys, make_cluster, oracle):
    nodes = make_cluster(home, home_keys, 2, new=True, **MORTAL)
    settle(home_keys, oracle, nodes)
    ident = identity(home_keys)[0]
    # As a backup has them: they are written again.
    standby = next(node for node in nodes if node.name != home_keys.get('primary_node'))
    home_keys.set(f'nodes/{standby.name}/routerstate', 'takeover')
    home_keys.set(f'nodes/{standby.name}/health', 'failed: long ago')
    home_keys.set('cluster', f'{ident} 5 1')
    wait_until(lambda: home_keys.get(f'nodes/{standby.name}/routerstate') == 'secondary'
               and home_keys.get(f'nodes/{standby.name}/health') == 'ok', 10)
    for node in nodes:
        node.wait_log('cluster_known: .*generation 5')
        wait_until(lambda node=node: remembered(node)['generation'] == '5', 5)
    home_keys.set('cluster', f'{ident} 4 1')
    for node in nodes:
        node.wait_log('cluster_foreign: .*generation 4, but this node has seen 5')
    wait_until(lambda: not oracle.working(), 10, oracle.dump)
    home_keys.set('cluster', f'{ident} 5 1')
    settle(home_keys, oracle, nodes)


@pytest.mark.parametrize('what', ['missing', 'junk', "another node's"])
def test_memory_that_cannot_be_used(home, home_keys, make_cluster, oracle, what):
    """Said once; the node works all the same, with what it has in memory."""
    [node] = make_cluster(home, home_keys, 1, new=True, start=False, **MORTAL)
    path = node.memory
    if what == 'missing':
        os.rmdir(node.state_directory)
    elif what == 'junk':
        with open(path, 'wb') as file:
            file.write(os.urandom(5000))
    node.start()
    settle(home_keys, oracle, [node])
    if what == "another node's":
        wait_until(lambda: remembered(node), 5)
        node.stop()
        node.write_config(**{'node.name': 'renamed'})
        node.name = 'renamed'
        node.start()
        settle(home_keys, oracle, [node])
    [line] = node.log_lines('cluster_file_failed: ')
    assert path in line
    assert {'missing': 'No such file', 'junk': 'junk', "another node's": 'another root or node'}[what] in line
    if what != 'missing':
        wait_until(lambda: (remembered(node) or {}).get('name') == node.name, 5)
