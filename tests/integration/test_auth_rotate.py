"""Another credential takes the place of the nodes' own: node by node, by reloads, and the primary stays where it is."""

import uuid

import pytest
from kazoo.exceptions import NoAuthError
from kazoo.security import make_digest_acl

from ctl_shell import REFUSED, USAGE, Ctl
from lab import view
from lab.steps import QUICK, by_name, others, settle, write_auth
from lab.wait import stays

OLD, NEW = 'nodes:old-secret', 'nodes2:new'


@pytest.fixture
def keys(ensemble):
    """A root below another one that the nodes make as well; seen with both credentials."""
    client = view.connect(ensemble.connect, auth_data=[('digest', OLD), ('digest', NEW)])
    above = f'/t-{uuid.uuid4().hex[:12]}'
    yield view.View(client, f'{above}/cluster')
    client.retry(client.delete, above, recursive=True)
    client.stop()
    client.close()


@pytest.fixture
def auth(tmp_path):
    """The auth-file of a node, or another file, with these credentials."""
    return lambda name, *credentials: write_auth(tmp_path / f'auth-{name}', *credentials)


@pytest.fixture
def nodes(ensemble, keys, make_cluster, auth):
    made = []
    for name in ('n1', 'n2', 'n3'):
        made += make_cluster(ensemble, keys, 1, names=[name], new=True, **QUICK, **{'zookeeper.auth-file': auth(name, OLD)})
    return made


def reload(node, auth, *credentials):
    """That node's new file and a reload, which it says that it has done, or has refused."""
    auth(node.name, *credentials)
    mark = node.log_mark()
    node.reload()
    return node.wait_log('(reload|reload_refused): .*', since=mark)[0]


def settled(node, mark):
    node.wait_log('registered: |session_resumed: ', since=mark)


def reload_all(nodes, auth, *credentials):
    for node in nodes:
        mark = node.log_mark()
        assert reload(node, auth, *credentials).startswith('reload: '), node.log_tail()
        settled(node, mark)


def ctl(keys, ensemble, auth_file):
    return Ctl(ensemble.connect, keys.root, '--auth-file', auth_file)


def owners(keys):
    """Of each key, above the root too: the names of the lists' entries."""
    def walk(path):
        yield path
        for child in keys.client.get_children(path):
            yield from walk(f'{path}/{child}')
    above = '/' + keys.root.split('/')[1]
    keys.client.sync(above)  # what primaryctl has just written, by another server
    return {path: {entry.id.id for entry in keys.client.get_acls(path)[0]} for path in walk(above)}


def test_rotate(ensemble, keys, nodes, oracle, auth):
    primary = settle(keys, oracle, nodes)
    epoch = keys.acting().epoch
    both, old = auth('both', OLD, NEW), auth('old', OLD)
    reload_all(nodes, auth, OLD, NEW)
    assert settle(keys, oracle, nodes) == primary
    assert ctl(keys, ensemble, both).json('auth', 'rotate', '--dry-run')['changed'] > 20
    assert all(len(names) == 1 for path, names in owners(keys).items() if 'alive' not in path)
    done = ctl(keys, ensemble, both).json('auth', 'rotate')
    assert done['changed'] > 20 and done['refused'] == 0
    assert all(len(names) == 2 for names in owners(keys).values()), owners(keys)
    assert ctl(keys, ensemble, both).json('auth', 'rotate')['changed'] == 0
    # Nothing is taken away as long as it is needed.
    assert 'holds only the credential that is to be revoked' in ctl(keys, ensemble, old).run('auth', 'revoke', old, code=REFUSED).stderr
    reload_all(nodes, auth, NEW)
    assert settle(keys, oracle, nodes) == primary
    new = auth('new', NEW)
    done = ctl(keys, ensemble, new).json('auth', 'revoke', old)
    assert done['changed'] > 20 and done['refused'] == 0
    assert {len(names) for names in owners(keys).values()} == {1}
    stays(lambda: oracle.working() == [primary], 2)
    assert (keys.acting().node, keys.acting().epoch) == (primary, epoch)
    stranger = view.connect(ensemble.connect, auth_data=[('digest', OLD)])
    for path in owners(keys):
        with pytest.raises(NoAuthError):
            stranger.get(path)
    stranger.stop()
    stranger.close()
    # The role still moves, and new sessions are made.
    by_name(nodes, primary).kill9()
    settle(keys, oracle, others(nodes, primary))
    by_name(nodes, primary).start()
    settle(keys, oracle, nodes)
    assert not any(node.log_lines('rights_missing: |cannot be read') for node in nodes)
    assert 'ok' in [row['result'] for row in ctl(keys, ensemble, new).json('check')['findings'] if row['subject'] == 'rights']


def test_one_step_is_too_long(ensemble, keys, nodes, oracle, auth):
    """A reload with a credential that may not do what the node does is refused: all goes on, and it says why."""
    primary = settle(keys, oracle, nodes)
    epoch = keys.acting().epoch
    for node in nodes:
        said = reload(node, auth, NEW)
        assert said.startswith('reload_refused: ') and 'rights are missing: / (create or delete below it)' in said, said
        assert 'primaryctl auth' in said
    stays(lambda: oracle.working() == [primary], 4)
    assert (keys.acting().node, keys.acting().epoch) == (primary, epoch)
    # Half of the way: refused where it is not yet carried over.
    reload_all(nodes, auth, OLD, NEW)
    assert reload(nodes[0], auth, NEW).startswith('reload_refused: ')
    # With the one that it has, a reload is as always.
    auth('n1', OLD, NEW)
    mark = nodes[0].log_mark()
    nodes[0].reload()
    settled(nodes[0], mark)
    assert settle(keys, oracle, nodes) == primary


def test_revoke_leaves_what_would_be_lost(ensemble, keys, nodes, oracle, auth):
    settle(keys, oracle, nodes)
    both, old, new = auth('both', OLD, NEW), auth('old', OLD), auth('new', NEW)
    # Not carried over: nothing to do for one who may do nothing.
    assert ctl(keys, ensemble, new).run('auth', 'revoke', old, code=REFUSED)
    before = owners(keys)
    done = ctl(keys, ensemble, both).run('auth', 'revoke', old, code=REFUSED)
    assert 'has fewer rights there than the old one' in done.stderr and owners(keys) == before
    # Others that somebody added stay, with what they may.
    acl = make_digest_acl('monitor', 'x', read=True)
    keys.client.set_acls(keys.path('history'), [*keys.client.get_acls(keys.path('history'))[0], acl])
    ctl(keys, ensemble, both).run('auth', 'rotate')
    assert len(owners(keys)[keys.path('history')]) == 3
    ctl(keys, ensemble, both).run('auth', 'revoke', new)
    assert len(owners(keys)[keys.path('history')]) == 2 and owners(keys) == {**before, keys.path('history'): owners(keys)[keys.path('history')]}


def test_usage(ensemble, keys, auth):
    old = auth('old', OLD)
    asked = ctl(keys, ensemble, old)
    for arguments, help_ in (['rotate', old], 'primaryctl auth rotate'), (['revoke'], 'primaryctl auth revoke FILE'), (['x'], 'help auth'):
        assert help_ in asked.run('auth', *arguments, code=USAGE).stderr
    assert 'holds one credential' in asked.run('auth', 'rotate', code=REFUSED).stderr
    assert 'two credentials' in asked.run('auth', 'revoke', auth('both', OLD, NEW), code=REFUSED).stderr
    assert 'auth-file' in Ctl(ensemble.connect, keys.root).run('auth', 'rotate', code=REFUSED).stderr
    keys.client.ensure_path(keys.root)
