"""primaryctl lock: beside kazoo, with signals, and when the lock or the connection is lost."""

import os
import shlex
import signal
import subprocess

import pytest

from ctl_shell import REFUSED, TIMED_OUT, Ctl, Terminal, built, environment
from lab import process, zk
from lab.wait import boottime_ns, wait_until

pytestmark = pytest.mark.skipif(not built(), reason='ctl/primaryctl is not built')

SESSION_S = 3
GUARD = 'primaryctl-grd'


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / 'ctl.conf'
    path.write_text(f'[zookeeper]\nsession-timeout = {SESSION_S}s\n[relinquish]\nlease-timeout = 500ms\n')
    return path


@pytest.fixture
def ctl(ensemble, root, conf):
    return Ctl(ensemble.connect, root, '--config', conf)


def locks(keys):
    # Not what a server that lags behind still believes.
    keys.client.sync(keys.root)
    return keys.children('lock')


def shell(text):
    return ['--', 'sh', '-c', text]


def alive(pid):
    try:
        with open(f'/proc/{pid}/stat', encoding='ascii') as file:
            return file.read().rpartition(')')[2].split()[0] not in 'ZX'
    except (FileNotFoundError, ProcessLookupError):
        return False


def pid_in(path):
    return int(wait_until(lambda: path.exists() and path.read_text().strip(), 10))


@pytest.mark.parametrize('kind', ['exclusive', 'read', 'write'])
def test_exit_codes(ctl, keys, kind):
    ctl.run('lock', kind, '/lock', '--', 'true')
    ctl.run('lock', kind, '/lock', *shell('exit 42'), code=42)
    ctl.run('lock', kind, '/lock', *shell('kill -KILL $$'), code=128 + signal.SIGKILL)
    assert 'cannot run' in ctl.run('lock', kind, '/lock', '--', '/none', code=127).stderr
    ctl.run('lock', kind, '/lock', '--', '/etc/passwd', code=126)
    assert locks(keys) == []


def test_options_of_the_command_are_its_own(ctl):
    assert ctl.run('lock', 'read', '/lock', '--', 'echo', '--json', '--', '--force').stdout == '--json -- --force\n'


def test_epoch(ctl):
    numbers = [int(ctl.run('lock', 'exclusive', '/lock', '--epoch', *shell('echo $PRIMARYD_LOCK_EPOCH')).stdout)
               for _ in range(3)]
    assert numbers == sorted(set(numbers))
    assert ctl.run('lock', 'exclusive', '/lock', *shell('echo $PRIMARYD_LOCK_EPOCH')).stdout == '\n'


def test_excludes_and_is_excluded(ctl, zk_client, keys):
    lock = zk_client.Lock(keys.path('lock'), 'kazoo')
    with lock:
        done = ctl.run('lock', 'exclusive', '/lock', '--timeout', '300ms', '--', 'true', code=TIMED_OUT)
        assert 'others hold the lock' in done.stderr
        waiting = ctl.start('lock', 'exclusive', '/lock', *shell('echo in; sleep 1'))
        wait_until(lambda: len(locks(keys)) == 2, 10)
    assert waiting.stdout.readline() == 'in\n'
    assert not lock.acquire(blocking=False)
    assert waiting.wait(10) == 0
    assert lock.acquire(timeout=10)
    lock.release()


def test_readers_share(ctl, zk_client, keys):
    reader = zk_client.ReadLock(keys.path('lock'))
    with reader:
        ctl.run('lock', 'read', '/lock', '--timeout', '5s', '--', 'true')
        ctl.run('lock', 'write', '/lock', '--timeout', '300ms', '--', 'true', code=TIMED_OUT)
    ctl.run('lock', 'write', '/lock', '--timeout', '5s', '--', 'true')


def test_a_try(ctl, zk_client, keys):
    # The time to reach ZooKeeper is not part of it.
    ctl.run('lock', 'exclusive', '/lock', '--timeout', '0', *shell('exit 5'), code=5)
    with zk_client.Lock(keys.path('lock')):
        for timeout in '0', '1ms':
            done = ctl.run('lock', 'exclusive', '/lock', '--timeout', timeout, '--', 'true', code=TIMED_OUT)
            assert 'others hold the lock' in done.stderr
    ctl.run('lock', 'exclusive', '/other', '--timeout', '0', '--', 'true')


def test_interrupted_while_waiting(ctl, zk_client, keys):
    with zk_client.Lock(keys.path('lock')):
        child = ctl.start('lock', 'exclusive', '/lock', '--', 'true')
        wait_until(lambda: len(locks(keys)) == 2, 10)
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == -signal.SIGTERM
        assert len(locks(keys)) == 1


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_are_passed_on(ctl, keys, number):
    name = number.name[3:]
    child = ctl.start('lock', 'exclusive', '/lock', *shell(f'trap "echo got; exit 9" {name}; echo in; while :; do sleep 0.05; done'))
    assert child.stdout.readline() == 'in\n'
    child.send_signal(number)
    assert child.wait(10) == 9 and child.stdout.read() == 'got\n'
    assert locks(keys) == []


@pytest.mark.parametrize('number', [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_ignored_signals_stay_ignored(ctl, number):
    # nohup; and a script's background jobs do not hear Ctrl-C. Neither does what they start.
    ignore = ['sh', '-c', f'trap "" {number.name[3:]}; exec "$@"', 'sh']
    inner = f'echo in; read line; kill -{number.name[3:]} $$; echo out'
    with subprocess.Popen([*ignore, *ctl.argv('lock', 'exclusive', '/lock', *shell(inner))], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, env=environment(), text=True) as child:
        assert child.stdout.readline() == 'in\n'
        child.send_signal(number)
        child.stdin.write('go on\n')
        child.stdin.flush()
        assert child.stdout.readline() == 'out\n'
        assert child.wait(10) == 0


def test_what_it_leaves_is_killed(ctl, tmp_path):
    ctl.run('lock', 'exclusive', '/lock', *shell(f'sleep 1000 & echo $! > {tmp_path}/pid'), stdout=None)
    pid = pid_in(tmp_path / 'pid')
    wait_until(lambda: not alive(pid), 5)


def test_long_hold_and_long_wait(ctl, keys):
    # Longer than the session: renewals keep it; a waiter has a fresh lease when it gets it.
    first = ctl.start('lock', 'exclusive', '/lock', *shell(f'echo in; sleep {SESSION_S + 1}; echo out'))
    assert first.stdout.readline() == 'in\n'
    second = ctl.start('lock', 'exclusive', '/lock', *shell(f'echo in; sleep {SESSION_S + 1}; echo out'))
    assert first.wait(20) == 0 and first.stdout.read() == 'out\n'
    assert second.wait(20) == 0 and second.stdout.read() == 'in\nout\n', second.stderr.read()


def test_key_deleted(ctl, keys, tmp_path):
    child = ctl.start('lock', 'exclusive', '/lock', *shell(
        f'trap "" TERM; echo $$ > {tmp_path}/pid; echo in; while :; do sleep 0.05; done'))
    assert child.stdout.readline() == 'in\n'
    keys.delete(f'lock/{locks(keys)[0]}')
    assert child.wait(10) == REFUSED
    assert 'the lock was lost' in child.stderr.read()
    assert not alive(pid_in(tmp_path / 'pid'))


def test_other_than_ours_is_never_deleted(ctl, keys, zk_client):
    keys.set('lock', '')
    keys.set('lock/stranger', 'x')
    ctl.run('lock', 'exclusive', '/lock', '--', 'true')
    assert locks(keys) == ['stranger']


@pytest.mark.parametrize('mode', ['silent', 'reset'])
def test_cut_off(ensemble, root, conf, zk_client, keys, tmp_path, mode):
    """The command is down before anybody else can have the lock."""
    links = zk.ClientLinks(ensemble)
    ctl = Ctl(links.connect, root, '--config', conf)
    stamp = tmp_path / 'stamp'
    child = ctl.start('lock', 'exclusive', '/lock', *shell(
        f'trap "" TERM; echo in; while :; do cat /proc/uptime > {stamp}.new; mv {stamp}.new {stamp}; sleep 0.01; done'))
    assert child.stdout.readline() == 'in\n'
    wait_until(stamp.exists, 5)
    links.set_mode(mode)
    lock = zk_client.Lock(keys.path('lock'))
    assert lock.acquire(timeout=4 * SESSION_S)
    taken_s = boottime_ns() / 1e9
    assert child.poll() is not None or child.wait(1) is not None
    assert child.returncode == REFUSED
    assert 'out of reach' in child.stderr.read()
    # Its last sign of life, with the resolution of /proc/uptime.
    assert float(stamp.read_text().split()[0]) < taken_s
    lock.release()
    links.close()


def test_one_server_silent_is_survived(ensemble, root, conf, keys):
    links = zk.ClientLinks(ensemble)
    ctl = Ctl(links.connect, root, '--config', conf)
    child = ctl.start('lock', 'exclusive', '/lock', *shell(f'echo in; sleep {SESSION_S}; echo out'))
    assert child.stdout.readline() == 'in\n'
    [number] = links.connected_to()
    links.set_mode('silent', ensemble.servers[number - 1])
    assert child.wait(20) == 0, child.stderr.read()
    assert child.stdout.read() == 'out\n'
    links.close()


def test_stopped_past_its_lease(ctl, zk_client, keys, tmp_path):
    # Its guard does not wait for it: the command is down before anybody else can have the lock.
    stamp = tmp_path / 'stamp'
    child = ctl.start('lock', 'exclusive', '/lock', *shell(
        f'trap "" TERM; echo $$ > {tmp_path}/pid; echo in; '
        f'while :; do cat /proc/uptime > {stamp}.new; mv {stamp}.new {stamp}; sleep 0.01; done'))
    assert child.stdout.readline() == 'in\n'
    wait_until(stamp.exists, 5)
    child.send_signal(signal.SIGSTOP)
    lock = zk_client.Lock(keys.path('lock'))
    assert lock.acquire(timeout=4 * SESSION_S)
    taken_s = boottime_ns() / 1e9
    assert not alive(pid_in(tmp_path / 'pid'))
    assert float(stamp.read_text().split()[0]) < taken_s
    lock.release()
    child.send_signal(signal.SIGCONT)
    assert child.wait(10) == REFUSED
    assert 'the lock was lost' in child.stderr.read()


def guards_of(child):
    with open(f'/proc/{child.pid}/task/{child.pid}/children', encoding='ascii') as file:
        return [pid for pid in map(int, file.read().split()) if alive(pid) and process.name_of(pid) == GUARD]


def start_with_a_child(ctl, tmp_path):
    """A command that has started another one; both say who they are, and do not end by themselves."""
    child = ctl.start('lock', 'exclusive', '/lock', *shell(
        f'trap "" TERM HUP; sh -c \'trap "" TERM HUP; echo $$ > {tmp_path}/inner; while :; do sleep 0.05; done\' & '
        f'echo $$ > {tmp_path}/pid; echo in; while :; do sleep 0.05; done'))
    assert child.stdout.readline() == 'in\n'
    return child, [pid_in(tmp_path / 'pid'), pid_in(tmp_path / 'inner')]


@pytest.mark.parametrize('stopped', [False, True])
def test_killed(ctl, tmp_path, stopped):
    child, pids = start_with_a_child(ctl, tmp_path)
    [guard] = guards_of(child)
    if stopped:
        os.killpg(pids[0], signal.SIGSTOP)
    os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(alive, [*pids, guard])), 5)


def test_guard_killed(ctl, tmp_path):
    # Another one takes its place.
    child, pids = start_with_a_child(ctl, tmp_path)
    [first] = guards_of(child)
    os.kill(first, signal.SIGKILL)
    [second] = wait_until(lambda: [pid for pid in guards_of(child) if pid != first], 5)
    assert all(map(alive, pids))
    os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(alive, [*pids, second])), 5)


def test_guard_goes_along(ctl):
    child = ctl.start('lock', 'exclusive', '/lock', *shell('echo in; sleep 0.3'))
    assert child.stdout.readline() == 'in\n'
    [guard] = guards_of(child)
    # Signals that a terminal or a supervisor sends do not end it before its time.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        os.kill(guard, number)
    assert child.wait(10) == 0
    assert not alive(guard)


def test_child_signals_ignored(ctl):
    # As a careless supervisor hands it on.
    ignore = ['sh', '-c', 'trap "" CHLD; exec "$@"', 'sh']
    done = subprocess.run([*ignore, *ctl.argv('lock', 'exclusive', '/lock', *shell('exit 7'))], timeout=30,
                          env=environment(), check=False)
    assert done.returncode == 7


def test_on_a_terminal(ctl, keys):
    # Ctrl-C reaches the command, which reads from the terminal as if we were not there.
    with ctl.terminal('lock', 'exclusive', '/lock', *shell('read line; echo "got $line"; trap "echo trapped; exit 5" INT; echo ready; '
                                                           'while :; do sleep 0.05; done')) as terminal:
        terminal.send('\x1a')
        terminal.wait(r'\^Z')
        terminal.send('hello\n')
        terminal.wait('got hello')
        terminal.wait('ready')
        terminal.send('\x03')
        assert terminal.end() == 5
        assert 'trapped' in terminal.plain()
    assert locks(keys) == []


def test_from_the_background(ctl, keys):
    # It stops when it reads from the terminal; with fg it gets that.
    with Terminal(['bash', '--norc', '--noprofile', '-i'], 24, 100, environment(PS1='ready> ')) as terminal:
        terminal.wait('ready> ')
        command = shlex.join(map(str, ctl.argv('lock', 'exclusive', '/lock', *shell('echo begun; read line; echo got:$line'))))
        terminal.send(f'{command} &\n')
        terminal.wait('(> |\n)begun')
        mark = terminal.mark()
        terminal.send('fg\n')
        terminal.wait('primaryctl.* lock', mark)
        terminal.send('hello\n')
        terminal.wait('got:hello')
        terminal.send('exit $?\n')
        assert terminal.end() == 0
    assert locks(keys) == []


def test_terminal_closed(ctl, keys, tmp_path):
    with ctl.terminal('lock', 'exclusive', '/lock', *shell(f'echo $$ > {tmp_path}/pid; echo in; while :; do sleep 0.05; done')) as terminal:
        terminal.wait('in')
        pid = pid_in(tmp_path / 'pid')
        terminal.hang_up()
        terminal.end()
    wait_until(lambda: not alive(pid), 5)
    wait_until(lambda: locks(keys) == [], 2 * SESSION_S)
