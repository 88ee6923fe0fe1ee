"""primaryctl key: the keys module of lib/ at the command line."""

import base64
import re
import signal
import subprocess

import pytest
from kazoo.security import OPEN_ACL_UNSAFE, make_acl, make_digest_acl

from ctl_shell import REFUSED, UNREACHABLE, USAGE, Ctl, built
from lab import view, zk
from lab.steps import write_auth
from lab.wait import wait_until

pytestmark = pytest.mark.skipif(not built(), reason='ctl/primaryctl is not built')


class SeenCtl(Ctl):
    """What it wrote is seen by the test's own client, whose server may lag behind."""

    def __init__(self, client, *args):
        super().__init__(*args)
        self.client = client

    def run(self, *args, **kwargs):
        done = super().run(*args, **kwargs)
        self.client.sync('/')
        return done


@pytest.fixture
def ctl(ensemble, root, keys):
    return SeenCtl(keys.client, ensemble.connect, root)


def test_set_and_get(ctl, keys):
    ctl.run('key', 'set', '/a=1', '/b/c=x=y', '/empty=')
    assert (keys.get('a'), keys.get('b/c'), keys.get('empty'), keys.get('b')) == ('1', 'x=y', '', '')
    assert ctl.run('key', 'get', '/b/c').stdout == 'x=y'
    assert ctl.run('key', 'get', '/empty').stdout == ''
    assert 'no such key' in ctl.run('key', 'get', '/none', code=REFUSED).stderr


def test_all_or_nothing(ctl, keys):
    ctl.run('key', 'set', '/a=1', '/b=1')
    done = ctl.run('key', 'set', '/a@0=2', '/b@7=2', code=REFUSED)
    assert '/b' in done.stderr and 'changed' in done.stderr
    assert (keys.get('a'), keys.get('b')) == ('1', '1')
    ctl.run('key', 'set', '/a@0=2', '/b@0=2')
    assert '/a' in ctl.run('key', 'set', '/a@new=3', code=REFUSED).stderr
    ctl.run('key', 'set', '/new@new=3')
    assert (keys.get('a'), keys.get('new')) == ('2', '3')


def test_binary(ctl, keys):
    data = bytes(range(256)) * 20
    ctl.run('key', 'set', '/bin=-', input=data, text=False)
    assert ctl.run('key', 'get', '/bin', text=False).stdout == data
    listed = ctl.run('key', 'list', '/').stdout
    assert '\\x00\\x01' in listed and '\0' not in listed
    [key] = ctl.json('key', 'list', '/')['keys']
    assert base64.b64decode(key['base64']) == data and key['value'] is None and key['bytes'] == len(data)
    with ctl.terminal('key', 'get', '/bin') as terminal:
        assert terminal.end() == 0
        terminal.wait('escapes')
        assert '\x07' not in terminal.text and '\x1b' not in terminal.text


def test_text_as_json(ctl, keys):
    ctl.run('key', 'set', '/text=Grüße "quoted"\n\ttab \\')
    key = ctl.json('key', 'get', '/text')['key']
    assert key['value'] == 'Grüße "quoted"\n\ttab \\' and key['base64'] is None and key['version'] == 0


def test_too_large(ctl):
    done = ctl.run('key', 'set', '/big=-', input='x' * (1 << 20), code=REFUSED)
    assert 'longer than' in done.stderr
    assert ctl.run('key', 'set', '/a=-', '/b=-', input='x', code=USAGE)


def test_list(ctl, keys, zk_client):
    ctl.run('key', 'set', '/a/b/c=1', '/a/d=2')
    assert [key['path'] for key in ctl.json('key', 'list', '/a')['keys']] == ['/a/b', '/a/d']
    assert [key['path'] for key in ctl.json('key', 'list', '/a', '--recursive')['keys']] == ['/a', '/a/b', '/a/b/c', '/a/d']
    zk_client.create(keys.path('a/e'), b'', ephemeral=True)
    [owner] = [key['ephemeral_owner'] for key in ctl.json('key', 'list', '/a')['keys'] if key['path'] == '/a/e']
    assert int(owner, 16) == zk_client.client_id[0]
    assert 'ephemeral' in ctl.run('key', 'rename', '/a', '/z', code=REFUSED).stderr
    zk_client.delete(keys.path('a/e'))
    assert 'no such key' in ctl.run('key', 'list', '/none', code=REFUSED).stderr


def test_delete_and_rename(ctl, keys):
    ctl.run('key', 'set', '/a/b=1', '/aa=2')
    assert '--recursive' in ctl.run('key', 'delete', '/a', code=REFUSED).stderr
    ctl.run('key', 'rename', '/a', '/x')
    assert keys.get('x/b') == '1' and keys.get('aa') == '2' and keys.get('a') is None
    assert 'exists' in ctl.run('key', 'rename', '/x', '/aa', code=REFUSED).stderr
    ctl.run('key', 'rename', '/none', '/y', code=REFUSED)
    assert 'has no NEW' in ctl.run('key', 'rename', '/x', '/y', '/aa', code=USAGE).stderr
    assert 'together with' in ctl.run('key', 'rename', '/x', '/y', '/aa', '/y/z', code=REFUSED).stderr
    ctl.run('key', 'rename', '/x', '/new/deep/x', '/none', '/y', code=REFUSED)
    ctl.run('key', 'rename', '/x', '/new/deep/x', '/aa', '/new/aa')
    assert keys.get('new/deep/x/b') == '1' and keys.get('new/aa') == '2' and keys.get('x') is None and keys.get('aa') is None
    ctl.run('key', 'rename', '/new/deep/x', '/x', '/new/aa', '/aa')
    ctl.run('key', 'delete', '/new', '--recursive')
    assert '/x cannot be renamed to /x/y' in ctl.run('key', 'rename', '/x', '/x/y', code=REFUSED).stderr
    assert '/ cannot be renamed to /y' in ctl.run('key', 'rename', '/', '/y', code=REFUSED).stderr
    ctl.run('key', 'set', '/p=', '/q=', '/r/s=')
    assert 'had been deleted' not in ctl.run('key', 'delete', '/r', '/p', code=REFUSED).stderr
    assert ctl.run('key', 'delete', '/p', '/q', '/r', code=REFUSED).stderr.splitlines()[1:] == [
        'primaryctl: of the 3 named keys the first 2 had been deleted before']
    ctl.run('key', 'delete', '/r', '--recursive')
    ctl.run('key', 'delete', '/x', '/aa', '--recursive')
    assert ctl.json('key', 'list')['keys'] == []
    ctl.run('key', 'delete', '/x', code=REFUSED)
    ctl.run('key', 'delete', '/', '--recursive', code=REFUSED)


def test_rename_keeps_access_lists(ensemble, root, zk_client, ctl, keys, tmp_path):
    ann = Ctl(ensemble.connect, root, '--auth-file', write_auth(tmp_path / 'ann', 'ann:secret'))
    ctl.run('key', 'set', '/a/open=1', '/a/only-read=2', '/a/hers=3')
    reader, hers = make_acl('world', 'anyone', read=True), make_digest_acl('ann', 'secret', all=True)
    zk_client.sync(root)
    zk_client.set_acls(keys.path('a/only-read'), [reader])
    zk_client.set_acls(keys.path('a/hers'), [reader, hers])
    # Without her credential her list is shown in part only.
    done = ctl.run('key', 'rename', '/a', '/b', code=REFUSED)
    assert done.stderr.startswith('primaryctl: /a/hers: permission denied') and '--auth-file' in done.stderr
    assert keys.get('a/hers') == '3' and keys.get('b') is None
    ann.run('key', 'rename', '/a', '/b')
    client = view.connect(ensemble.connect, auth_data=[('digest', 'ann:secret')])
    client.sync(root)
    assert [client.get_acls(keys.path(f'b{key}'))[0] for key in ('', '/open')] == [OPEN_ACL_UNSAFE] * 2
    assert client.get_acls(keys.path('b/only-read'))[0] == [reader]
    assert set(client.get_acls(keys.path('b/hers'))[0]) == {reader, hers}
    client.stop()
    client.close()


def plant_many(client, path, count):
    """So many thousand keys below path."""
    client.ensure_path(path)
    for start in range(0, count, 1000):
        request = client.transaction()
        for i in range(start, start + 1000):
            request.create(f'{path}/{i}')
        assert all(isinstance(result, str) for result in request.commit())


def test_delete_that_ends_half_way(ensemble, root, keys, zk_client):
    """It says how much is gone, and not that nothing was done."""
    ctl = Ctl(ensemble.leader().connect, root)  # which knows at once what kazoo wrote by way of another server
    zk_client.ensure_path(keys.path('big/locked/below'))
    plant_many(zk_client, keys.path('big/many/deep'), 5000)
    zk_client.set_acls(keys.path('big/locked'), [make_acl('world', 'anyone', read=True, admin=True)])
    try:
        done = ctl.run('key', 'delete', '/big', '--recursive', code=REFUSED)
        again = ctl.run('key', 'delete', '/big', '--recursive', code=REFUSED)
    finally:
        zk_client.set_acls(keys.path('big/locked'), OPEN_ACL_UNSAFE)  # else what is left could not be cleaned up
    assert done.stderr == ("primaryctl: /big/locked: permission denied by the key's access list "
                           '(name the credential with --auth-file); 5000 keys below /big were deleted before\n')
    assert '/big/locked: permission denied' in again.stderr and 'before' not in again.stderr
    assert keys.get('big/many/deep') == '' and keys.get('big/many/deep/0') is None
    ctl.run('key', 'delete', '/big', '--recursive')


@pytest.mark.parametrize('how', ['connection', 'signal'])
def test_delete_that_is_cut_off_half_way(ensemble, root, keys, zk_client, how):
    links = zk.ClientLinks(ensemble)
    links.set_delay(50)  # so that one transaction is seen before the next
    plant_many(zk_client, keys.path('big'), 6000)
    child = Ctl(links.connect, root, '--timeout', '1min').start('key', 'delete', '/big', '--recursive')

    def left():
        zk_client.sync(root)
        return zk_client.get(keys.path('big'))[1].numChildren
    wait_until(lambda: left() <= 4000, 30, 'two transactions')
    if how == 'signal':
        child.send_signal(signal.SIGINT)
    else:
        links.set_mode('reset')
    said = child.communicate(timeout=60)[1]
    links.close()
    assert child.returncode == (-signal.SIGINT if how == 'signal' else UNREACHABLE), said
    match = re.search(r'at least (\d+)000 keys below /big were deleted before', said)
    assert match and 1 <= int(match[1]) <= 6 - left() / 1000, said


@pytest.mark.parametrize('args', [['nonsense'], ['get'], ['get', 'x'], ['get', '/a', '/b'], ['set'], ['set', '/a'], ['set', 'a=1'],
                                  ['set', '/a//b=1'], ['set', '/a=1', '/a=2'], ['rename', '/a'], ['rename', '/a', 'b'], ['delete'],
                                  ['delete', '/a/'], ['list', 'x'], ['list', '/a', '/b']])
def test_usage(ctl, args):
    assert ctl.run('key', *args, code=USAGE).stderr


def test_stdin_closed(ctl):
    done = subprocess.run(['sh', '-c', '"$@" <&-', 'sh', *ctl.argv('key', 'set', '/a=-')], capture_output=True, text=True,
                          check=False, timeout=30)
    assert done.returncode == REFUSED and 'stdin' in done.stderr
