"""The command line: options, exit codes, and what is said about configurations and runtime directories."""

import fcntl
import os
import re
import subprocess

import pytest

from lab.node import TOP, is_built, program
from lab.ports import free_port
from lab.steps import QUICK, settle
from lab.wait import wait_until

pytestmark = pytest.mark.skipif(not is_built('daemon/primaryd'), reason='primaryd is not built')

GOOD = '[takeover]\ncommand = /bin/true\n[node]\nname = n1\n'


def run(*options, env=None, timeout=20):
    clean = {key: value for key, value in os.environ.items() if key not in ('RUNTIME_DIRECTORY', 'JOURNAL_STREAM')}
    return subprocess.run([program('daemon/primaryd'), *options], env={**clean, **(env or {})}, capture_output=True,
                          text=True, errors='replace', timeout=timeout, check=False)


def check(path, text=None, **kwargs):
    """--check of a file; writes it first if a text is given."""
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return run('--check', '--config', str(path), **kwargs)


def test_version():
    done = run('--version')
    assert done.returncode == 0 and done.stderr == ''
    assert re.fullmatch(r'primaryd \d+\.\d+\.\d+\n', done.stdout)


def test_help():
    done = run('--help')
    assert done.returncode == 0 and done.stderr == ''
    assert done.stdout.startswith('usage: primaryd ')
    # Every option and every key.
    for word in ('--config', '--check', '--version', 'SIGTERM', '[zookeeper]', 'session-timeout', 'contend-delay',
                 '[follow]'):
        assert word in done.stdout, word


@pytest.mark.parametrize('options', [['--no-such-option'], ['--config'], ['extra'], ['--check', 'extra'], ['-x'],
                                     ['--version=1']])
def test_usage(options):
    done = run(*options)
    assert done.returncode == 2
    assert 'usage: primaryd ' in done.stderr and done.stdout == ''


def test_check_good(tmp_path):
    done = check(tmp_path / 'conf', GOOD)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
    assert os.listdir(tmp_path) == ['conf']  # it starts and makes nothing


def test_check_sample():
    path = os.path.join(TOP, 'conf', 'primaryd.conf')
    done = check(path)
    # Nothing to do is allowed, but worth a word.
    assert (done.returncode, done.stdout) == (0, '')
    assert re.fullmatch(f'{path}: warning: neither takeover.unit nor takeover.command .*\\n', done.stderr)


def test_sample_holds_every_key_and_its_default():
    with open(os.path.join(TOP, 'conf', 'primaryd.conf'), encoding='utf-8') as file:
        sample = re.findall(r'^#([a-z-]+) =(?: (.*))?$', file.read(), re.M)
    told = re.findall(r'^  ([a-z-]+) = ?(.*)$', run('--help').stdout, re.M)
    assert [(key, value.strip()) for key, value in told] == [(key, value.strip()) for key, value in sample]


@pytest.mark.parametrize('text, line, where, says', [
    ('[zookeeper]\nservers = nowhere\n', 2, 'zookeeper.servers', 'not HOST:PORT'),
    ('[zookeeper]\nservers =\n', 2, 'zookeeper.servers', 'is empty'),
    ('[zookeeper]\nroot = x\n', 2, 'zookeeper.root', 'not a ZooKeeper path'),
    ('[zookeeper]\nsession-timeout = 10\n', 2, 'zookeeper.session-timeout', 'has no unit'),
    ('[zookeeper]\nsession-timeout = 1ms\n', 2, 'zookeeper.session-timeout', 'out of range'),
    ('[node]\nname = a/b\n', 2, 'node.name', "cannot be a node's name"),
    ('[node]\nname = none\n', 2, 'node.name', "cannot be a node's name"),
    ('[node]\nname = -rf\n', 2, 'node.name', "a letter or digit first"),
    ('[node]\nmode = cordinator\n', 2, 'node.mode', 'did you mean coordinator'),
    ('[node]\n\n\nnam = a\n', 4, 'node.nam', 'did you mean name'),
    ('[node]\nname = a\nname = b\n', 3, 'node.name', ''),
    ('[node]\nlock-timeout = 1s\n', 2, 'node.lock-timeout', 'belongs to [election]'),
    ('[elections]\n', 1, '', 'did you mean [election]'),
    ('[election]\nlock-timeout = 500ms\n', 2, 'election.lock-timeout', 'does not exceed'),
    ('[takeover]\ncommand = true\n', 2, 'takeover.command', 'absolute'),
    ('[takeover]\ncommand = /no/such/file\n', 2, 'takeover.command', 'No such file'),
    ('[takeover]\ncommand = /etc/passwd\n', 2, 'takeover.command', ''),
    ('[takeover]\nunit = no unit\n', 2, 'takeover.unit', "not the name of a unit"),
    ('[relinquish]\nlease-timeout = 9s\n', 2, 'relinquish.lease-timeout', 'exceeds a third'),
    ('[relinquish]\nself-fence = yes\n', 2, 'relinquish.self-fence', 'write none|reboot'),
    ('[health]\nfailures = 0\n', 2, 'health.failures', 'out of range'),
    ('[node]\nname\n', 2, '', 'KEY = VALUE'),
    ('name = a\n', 1, '', ''),
    ('[node\nname = a\n', 1, '', 'closing bracket'),
    ('[node]\nname = ' + 'a' * 300 + '\n', 2, '', '300'),
    (b'[node]\nname = a\x00b\n', 2, '', 'NUL'),
    (b'[node]\nname = \xff\xfe\n', 2, 'node.name', "cannot be a node's name"),
])
def test_check_bad(tmp_path, text, line, where, says):
    path = tmp_path / 'conf'
    done = check(path, text)
    assert done.returncode == 1 and done.stdout == ''
    prefix = f'{path}:' + (f'{line}:' if line else '') + (f' {where}:' if where else '')
    found = [one for one in done.stderr.splitlines() if one.startswith(prefix)]
    if 'a' * 300 in str(text):
        says = ''
    assert any(says in one for one in found), done.stderr


def test_check_tells_all_errors_at_once(tmp_path):
    done = check(tmp_path / 'conf', '[node]\nname = a b\nmode = x\n[nonsense]\n[health]\ninterval = 5\nfailures = x\n')
    assert done.returncode == 1
    places = [int(line.split(':')[1]) for line in done.stderr.splitlines()]
    assert sorted(set(places)) == [2, 3, 4, 6, 7]


@pytest.mark.parametrize('kind', ['missing', 'directory', 'fifo', 'huge'])
def test_file_that_cannot_be_read(tmp_path, kind):
    path = tmp_path / 'conf'
    if kind == 'directory':
        path.mkdir()
    elif kind == 'fifo':
        os.mkfifo(path)  # must not wait for a writer
    elif kind == 'huge':
        path.write_text('; ' + 'x' * 100 + '\n')
        os.truncate(path, 10_000_000)
    for options in (['--check'], []):
        done = run(*options, '--config', str(path))
        assert done.returncode == 1
        assert done.stderr.startswith(f'{path}:'), done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_file_without_permission(tmp_path):
    path = tmp_path / 'conf'
    path.write_text(GOOD)
    path.chmod(0)
    tmp_path.chmod(0o755)
    if os.geteuid() != 0:
        done = run('--check', '--config', str(path))
    else:
        done = subprocess.run(['setpriv', '--reuid', '65534', '--clear-groups', '--inh-caps=-all', '--',
                               program('daemon/primaryd'), '--check', '--config', str(path)],
                              capture_output=True, text=True, timeout=20, check=False)
        if 'failed to execute' in done.stderr:
            pytest.skip('the build directory is closed to others')
    assert done.returncode == 1 and 'Permission denied' in done.stderr


def test_start_with_bad_configuration(tmp_path):
    path = tmp_path / 'conf'
    path.write_text('[node]\nmode = x\n')
    done = run('--config', str(path))
    assert done.returncode == 1
    assert done.stderr.startswith(f'{path}:2: node.mode:')


# auth-file

@pytest.mark.parametrize('content, mode, says', [
    (b'digest u:p\n', 0o644, 'can be read by others'),
    (b'digest u:p\n', 0o620, 'can be read by others'),
    (b'digest\n', 0o600, 'SCHEME CREDENTIAL'),
    (b'digest nocolon\n', 0o600, 'SCHEME CREDENTIAL'),
    (b'digest u:p\nmore\n', 0o600, 'SCHEME CREDENTIAL'),
    (b'', 0o600, 'SCHEME CREDENTIAL'),
    (b'digest u:' + b'p' * 5000, 0o600, 'SCHEME CREDENTIAL'),
    (None, 0, 'cannot be read'),
])
def test_bad_auth_file(tmp_path, content, mode, says):
    auth = tmp_path / 'auth'
    if content is not None:
        auth.write_bytes(content)
        auth.chmod(mode)
    path = tmp_path / 'conf'
    for options in (['--check'], []):
        path.write_text(f'{GOOD}[zookeeper]\nauth-file = {auth}\n')
        done = run(*options, '--config', str(path))
        assert done.returncode == 1
        assert 'zookeeper.auth-file' in done.stderr and says in done.stderr
        assert 'u:p' not in done.stderr


# runtime directory

def config(tmp_path, directory):
    path = tmp_path / 'conf'
    path.write_text('[zookeeper]\nservers = 127.0.0.1:1\n' + GOOD + f'runtime-directory = {directory}\n')
    return str(path)


def test_runtime_directory_that_will_not_do(tmp_path):
    a_file = tmp_path / 'file'
    a_file.write_text('')
    open_to_all = tmp_path / 'open'
    open_to_all.mkdir()
    open_to_all.chmod(0o755)
    for directory, says in ((a_file, 'is not a directory'), (open_to_all, 'is open to other users'),
                            (tmp_path / 'a' / 'b', 'its parent directory must exist')):
        done = run('--config', config(tmp_path, directory))
        assert done.returncode == 73, done.stderr  # EX_CANTCREAT
        assert says in done.stderr and str(directory) in done.stderr


def test_runtime_directory_in_use(cluster, keys, oracle):
    [node] = cluster(1, **QUICK)
    settle(keys, oracle, [node])
    done = run('--config', node.config_path)
    assert done.returncode == 69  # EX_UNAVAILABLE
    assert 'runtime_taken: refusing to start' in done.stderr
    assert f'in use by another primaryd (pid {node.pid})' in done.stderr
    # Whatever is deleted: the second one would resume the session of the first, or stop its work.
    for name in os.listdir(node.runtime_directory):
        os.unlink(os.path.join(node.runtime_directory, name))
        assert run('--config', node.config_path).returncode == 69, name
    assert keys.primary() == node.name and len(oracle.intervals()) == 1


def test_started_while_the_killed_one_goes(cluster, keys):
    """A killed process keeps its lock until the kernel has torn it down: the next one waits for a moment."""
    [node] = cluster(1, start=False, **QUICK)
    lock = os.open(node.runtime_directory, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    node.start()
    wait_until(lambda: 'lock' in text_of(f'/proc/{node.pid}/wchan'), 5, node.log_tail, 0.005)
    os.close(lock)
    keys.wait_primary(node.name)
    assert not node.log_lines('runtime_taken')


def text_of(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


def test_name_in_use(cluster, keys, oracle, tmp_path):
    """Another daemon with this name and a runtime directory of its own: after a session timeout it is refused. It has not
    begun until then, so it has not stopped the work, which is not its own."""
    [node] = cluster(1, **QUICK)
    settle(keys, oracle, [node])
    stops = len(oracle.events('relinquish', 'begin'))
    text = open(node.config_path, encoding='utf-8').read()
    other = tmp_path / 'other'
    other.mkdir(0o700)
    path = tmp_path / 'conf2'
    path.write_text(text.replace(node.runtime_directory, str(other)))
    done = run('--config', str(path), timeout=60)
    assert done.returncode == 69, done.stderr
    assert 'waiting up to one and a half session timeouts' in done.stderr
    [refused] = [line for line in done.stderr.splitlines() if 'refusing to start' in line]
    assert f'pid {node.pid}' in refused and f'host {os.uname().nodename}' in refused and 'started ' in refused
    assert keys.primary() == node.name and node.running()
    assert len(oracle.intervals()) == 1 and oracle.working() == [node.name]
    assert len(oracle.events('relinquish', 'begin')) == stops and not node.log_lines('duplicate')


def test_name_in_use_and_stopped(cluster, keys, oracle, tmp_path):
    """One that waits for the name ends at once when it is told to, and has stopped nothing."""
    first, second = cluster(2, start=False, **QUICK)
    second.write_config(**{'node.name': first.name})
    first.start()
    settle(keys, oracle, [first])
    second.start()
    second.wait_log('duplicate_name: waiting')
    assert second.stop() == 0
    assert oracle.working() == [first.name] and len(oracle.events('relinquish', 'begin')) == 1


def test_cold_start_without_servers(cluster, oracle, tmp_path):
    """Nobody tells whose the name is: after a session timeout the work, which may run, is stopped all the same."""
    [node] = cluster(1, start=False, **{**QUICK, 'zookeeper.session-timeout': '1500ms', 'relinquish.lease-timeout': '300ms'})
    node.write_config(**{'zookeeper.servers': f'127.0.0.1:{free_port()}'})
    node.start()
    wait_until(lambda: oracle.events('relinquish', 'end'), 10, node.log_tail)
    node.stop()


def test_name_is_free_after_the_session_expired(cluster, keys, oracle, tmp_path):
    """The node is in the cluster again as soon as the session that its former process left behind is gone."""
    nodes = cluster(2, **{**QUICK, 'zookeeper.session-timeout': '2s', 'relinquish.lease-timeout': '300ms'})
    primary = settle(keys, oracle, nodes)
    [other] = [node for node in nodes if node.name != primary]
    alive = keys.path(f'nodes/{other.name}/alive')
    former = keys.client.exists(alive).ephemeralOwner
    other.kill9()
    # As on another host: without what the former process left behind.
    for name in os.listdir(other.runtime_directory):
        os.unlink(os.path.join(other.runtime_directory, name))
    mark = other.log_mark()
    other.start()
    other.wait_log('duplicate_name: .*waiting', since=mark)

    def owner():
        stat = keys.client.exists(alive)
        return stat.ephemeralOwner if stat else 0
    wait_until(lambda: owner() != former, 10, 'the former session expires')
    # It looks each lock-timeout; waiting for a session is no refusal, which would be asked about ever less often.
    other.wait_log('registered: ', timeout=3, since=mark)
    wait_until(lambda: keys.state(other.name) == 'secondary', 5)
    assert settle(keys, oracle, nodes) == primary
