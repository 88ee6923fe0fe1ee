"""primaryctl key: the keys module of lib/ at the command line."""

import base64
import subprocess

import pytest

from ctl_shell import REFUSED, USAGE, Ctl, built

pytestmark = pytest.mark.skipif(not built(), reason='ctl/primaryctl is not built')


@pytest.fixture
def ctl(ensemble, root):
    return Ctl(ensemble.connect, root)


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
    ctl.run('key', 'rename', '/x', '/x/y', code=REFUSED)
    ctl.run('key', 'delete', '/x', '/aa', '--recursive')
    assert ctl.json('key', 'list')['keys'] == []
    ctl.run('key', 'delete', '/x', code=REFUSED)
    ctl.run('key', 'delete', '/', '--recursive', code=REFUSED)


@pytest.mark.parametrize('args', [['nonsense'], ['get'], ['get', 'x'], ['get', '/a', '/b'], ['set'], ['set', '/a'], ['set', 'a=1'],
                                  ['set', '/a//b=1'], ['set', '/a=1', '/a=2'], ['rename', '/a'], ['rename', '/a', 'b'], ['delete'],
                                  ['delete', '/a/'], ['list', 'x'], ['list', '/a', '/b']])
def test_usage(ctl, args):
    assert ctl.run('key', *args, code=USAGE).stderr


def test_stdin_closed(ctl):
    done = subprocess.run(['sh', '-c', '"$@" <&-', 'sh', *ctl.argv('key', 'set', '/a=-')], capture_output=True, text=True,
                          check=False, timeout=30)
    assert done.returncode == REFUSED and 'stdin' in done.stderr
