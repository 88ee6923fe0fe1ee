"""Rights that a node lacks, or that anybody has: tried at the registration, told, and mended while it runs."""

import uuid

import pytest
from kazoo.security import make_digest_acl

from ctl_shell import REFUSED, Ctl
from lab import view
from lab.steps import QUICK, forbidden, settle, write_auth
from lab.wait import stays, wait_until

LACKS = [('primary_node', 'write', '/primary_node (write)'),
         ('primary_node', 'read', '/primary_node (read)'),
         ('primary_node', 'create', '/primary_node (create or delete below it)'),
         ('epoch', 'write', '/epoch (write)'),
         ('epoch', 'read', '/epoch (read)'),
         ('history', 'create', '/history (create or delete below it)'),
         ('history', 'delete', '/history (create or delete below it)'),
         ('', 'create', '/ (create or delete below it)'),
         ('', 'delete', '/ (create or delete below it)'),
         ('nodes/n1/keepalive', 'read', '/nodes/n1/keepalive (read)')]


def make_keys(keys):
    for key, text in (('primary_node', 'none'), ('epoch', '0 -'), ('history', ''), ('nodes', ''), ('nodes/n1', ''),
                      ('nodes/n1/keepalive', '0'), ('cluster', f'{uuid.uuid4().hex} 1 1')):
        keys.set(key, text)


def findings(node, code=0):
    """What `primaryctl check` says of the rights on that node."""
    rows = Ctl(node.config['zookeeper.servers'], node.config['zookeeper.root'], '--config',
               node.config_path).json('check', code=code)['findings']
    return [row for row in rows if row['subject'] == 'rights']


@pytest.mark.parametrize('key, right, says', LACKS, ids=[f'{key or "root"}-{right}' for key, right, _ in LACKS])
def test_lacks(cluster, keys, oracle, key, right, says):
    """It registers, is no candidate, writes nothing to find that out, says once what it lacks, and goes on once it has it."""
    make_keys(keys)
    [node] = cluster(1, start=False, **QUICK)
    before = {each: keys.client.exists(keys.path(each)) for each in ('primary_node', 'history')
              if (each, 'read') != (key, right)}
    with forbidden(keys, key, right):
        node.start()
        node.wait_log('registered: ')
        wait_until(lambda: len(node.log_lines('rights_missing: ')) == 1, 5, node.log_tail)
        assert f'rights are missing: {says}; ' in node.log_text()
        health = wait_until(lambda: keys.get('nodes/n1/health'), 5, keys.summary)
        assert health.startswith(f'failed: rights are missing: {says}')
        stays(lambda: not node.log_lines('vacancy: ') and not keys.acting(), 2)
        after = {each: keys.client.exists(keys.path(each)) for each in before}
        assert {each: (stat.mzxid, stat.pzxid, stat.cversion) for each, stat in before.items()} == \
            {each: (stat.mzxid, stat.pzxid, stat.cversion) for each, stat in after.items()}
        assert len(node.log_lines('rights_missing: ')) == 1 and len(node.log_lines()) < 30, node.log_tail(40)
    node.wait_log('rights_back: ')
    settle(keys, oracle, [node])
    assert keys.get('nodes/n1/health') == 'ok'


def test_several(cluster, keys, oracle):
    """All of them are named, in one message."""
    make_keys(keys)
    [node] = cluster(1, start=False, **QUICK)
    with forbidden(keys, 'primary_node', 'write', 'create'), forbidden(keys, 'epoch', 'write'):
        node.start()
        node.wait_log('rights are missing: /primary_node .write., /primary_node .create or delete below it., /epoch .write.; ')
        found = findings(node, code=REFUSED)
        assert [row['result'] for row in found] == ['error', 'note'], found
        assert '/primary_node (write), /primary_node (create or delete below it), /epoch (write)' in found[0]['finding']
        why = Ctl(node.config['zookeeper.servers'], keys.root).run('explain', 'n1').stdout
        assert 'rights are missing: /primary_node (write)' in ' '.join(why.split()), why
        # One of them is mended: what is left is said.
        mark = node.log_mark()
        keys.client.set_acls(keys.path('epoch'), keys.client.get_acls(keys.path('history'))[0])
        node.wait_log('rights are missing: /primary_node .write., /primary_node .create or delete below it.; ', since=mark)
    settle(keys, oracle, [node])
    assert [row['result'] for row in findings(node)] == ['ok', 'note']


def test_own_keys(cluster, keys, oracle):
    """One that may not even write its own keys does not register, and says which."""
    make_keys(keys)
    [node] = cluster(1, start=False, **QUICK)
    with forbidden(keys, 'nodes/n1', 'create'):
        node.start()
        node.wait_log('rights_missing: .*/nodes/n1 .create or delete below it.')
        node.wait_log('request_failed: register refused: /nodes/n1/[a-z]+: permission denied')
        stays(lambda: not node.log_lines('registered: '), 1)
    settle(keys, oracle, [node])


def test_root(cluster, keys, oracle):
    """A root that may not be made, because the one above it is refused."""
    keys.set('', '')
    [node] = cluster(1, start=False, new=True, **QUICK, **{'zookeeper.root': f'{keys.root}/above/root'})
    with forbidden(keys, '', 'create'):
        node.start()
        # Where its cluster cannot be known, it is told of that.
        node.wait_log('cluster_foreign: .*/cluster (may not be read or made|can be neither read nor created)')
    node.wait_log('registered: ', timeout=40)
    node.stop()


def test_of_a_client(cluster, keys, oracle):
    """One that only follows needs no rights but to its own keys."""
    make_keys(keys)
    [client] = cluster(1, start=False, **QUICK, **{'node.mode': 'client'})
    with forbidden(keys, '', 'delete'), forbidden(keys, 'epoch', 'write'):
        client.start()
        client.wait_log('registered: ')
        assert not client.log_lines('rights_missing: ') and keys.get('nodes/n1/health') == 'ok'


# rights that are too wide

@pytest.fixture
def secret_keys(ensemble):
    """A view with the nodes' own credential, and a root that is not made yet."""
    client = view.connect(ensemble.connect, auth_data=[('digest', 'nodes:secret')])
    made = view.View(client, f'/t-{uuid.uuid4().hex[:12]}')
    yield made
    client.retry(client.delete, made.root, recursive=True)
    client.stop()
    client.close()


def test_wide(ensemble, secret_keys, make_cluster, oracle, tmp_path):
    """A root that was there before is open to all: the post can be deleted by anybody, which is said."""
    keys = secret_keys
    keys.set('', '')
    [node] = make_cluster(ensemble, keys, 1, new=True, **QUICK, **{'zookeeper.auth-file': write_auth(tmp_path / 'auth', 'nodes:secret')})
    node.wait_log('rights_wide: .*: / .write, create below it, delete below it, change its access list.; .*zookeeper.root')
    settle(keys, oracle, [node])
    assert len(node.log_lines('rights_wide: ')) == 1
    found = findings(node)
    assert [row['result'] for row in found] == ['ok', 'warning'] and 'delete below it' in found[1]['finding'], found
    # The other keys are the credential's alone: once the root is, too, nothing is left to say.
    node.stop()
    mark = node.log_mark()
    keys.client.set_acls(keys.root, [make_digest_acl('nodes', 'secret', all=True)])
    node.start()
    settle(keys, oracle, [node])
    assert 'rights_wide' not in node.log_text()[mark:]
    assert [row['result'] for row in findings(node)] == ['ok', 'ok']


def test_not_wide(ensemble, secret_keys, make_cluster, oracle, tmp_path):
    nodes = make_cluster(ensemble, secret_keys, 2, new=True, **QUICK, **{'zookeeper.auth-file': write_auth(tmp_path / 'auth', 'nodes:secret')})
    settle(secret_keys, oracle, nodes)
    assert not any(node.log_lines('rights_wide: ') for node in nodes)
