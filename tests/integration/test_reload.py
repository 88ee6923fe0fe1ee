"""SIGHUP: a new configuration, a new binary, and a primary that stays one."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab import process, work
from lab.node import clean_environment, program
from lab.trial import oracle, trial  # noqa: F401 (fixtures)
from lab.wait import wait_until


def reload(node):
    """And waits until it is through."""
    mark = node.log_mark()
    node.reload()
    node.wait_log(' started: ', since=mark)
    return mark


def renewed(trial, node):
    keepalive = trial.keys.get(f'nodes/{node.name}/keepalive')
    wait_until(lambda: trial.keys.get(f'nodes/{node.name}/keepalive') != keepalive, 5,
               lambda: f'the lease is renewed:\n{node.log_tail()}')


def test_valid(trial):
    primary, (secondary,) = trial.start(2)
    lives, acting, pid = trial.lives(), trial.keys.acting(), primary.pid
    primary.write_config(**{'election.penalty': '7s', 'node.contend-delay': '100ms', 'node.rank': '7'})
    mark = reload(primary)
    primary.wait_log('session_resumed', since=mark)
    reload(secondary)
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives, acting.epoch)
    assert trial.keys.acting() == acting and primary.pid == pid and primary.running()
    detail = f'nodes/{primary.name}/detail'
    wait_until(lambda: trial.keys.get(detail).startswith('format=1 rank=7 contend-delay=100ms '), 5, lambda: trial.keys.get(detail))


def children_in(state, node):
    """Children of the daemon in this state, one letter as in /proc/PID/stat."""
    with open(f'/proc/{node.pid}/task/{node.pid}/children', encoding='ascii') as file:
        pids = file.read().split()
    found = []
    for pid in pids:
        try:
            with open(f'/proc/{pid}/stat', encoding='ascii') as file:
                found += [pid] if file.read().rsplit(')', 1)[1].split()[0] == state else []
        except FileNotFoundError:
            pass
    return found


def test_commands_that_outlive_it(trial):
    """A health command that runs when the image is replaced is nobody's any more, and leaves no zombie."""
    node, _ = trial.start(1)
    node.write_config(**{'health.command': node.set_command('health', '--sleep 400'), 'health.interval': '20ms',
                         'health.timeout': '5s'})
    for _ in range(4):
        begun = len(trial.oracle.events('health', 'begin', node.name))
        reload(node)
        wait_until(lambda: len(trial.oracle.events('health', 'begin', node.name)) > begun, 10, node.log_tail)
    ended = len(trial.oracle.events('health', 'end', node.name))
    wait_until(lambda: len(trial.oracle.events('health', 'end', node.name)) > ended + 2, 10, node.log_tail)
    wait_until(lambda: not children_in('Z', node), 5, lambda: f'no zombies: {children_in("Z", node)}')


SQUATTER = r'''
import re, socket
taken = []
while True:
    with open('/proc/net/unix', encoding='ascii', errors='replace') as file:
        names = set(re.findall('@(primaryd\S*)', file.read()))
    for name in names - set(taken):
        for _ in range(100000):
            held = socket.socket(socket.AF_UNIX)
            try:
                held.bind('\0' + name)
                taken += [name, held]
                break
            except OSError:
                held.close()
'''


def test_nobody_takes_its_place(trial):
    """Another user of the host takes each name that the daemon gives free for a moment: none matters."""
    if os.geteuid():
        pytest.skip('only root may be somebody else')
    primary, _ = trial.start(2)
    lives, acting = trial.lives(), trial.keys.acting()
    squatter = process.spawn(['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', sys.executable, '-c',
                              SQUATTER])
    try:
        for _ in range(3):
            reload(primary)
            renewed(trial, primary)
    finally:
        process.kill(squatter)
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives, acting.epoch)


def test_again_and_again(trial):
    primary, (secondary,) = trial.start(2)
    lives, acting = trial.lives(), trial.keys.acting()
    for _ in range(10):
        reload(primary)
        secondary.reload()
    # Faster than it can: signals of one kind melt into one.
    for _ in range(50):
        primary.reload()
    renewed(trial, primary)
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives, acting.epoch)
    assert trial.keys.acting() == acting


INVALID = {
    'key': {'election.no-such-key': '1'},
    'value': {'election.penalty': 'soon'},
    'sum': {'relinquish.lease-timeout': '1900ms'},
    'command': {'takeover.command': '/no/such/command'},
}


@pytest.mark.parametrize('what', list(INVALID))
def test_invalid(trial, what):
    primary, _ = trial.start(2)
    lives, acting = trial.lives(), trial.keys.acting()
    good = dict(primary.config)
    primary.write_config(**INVALID[what])
    mark = primary.log_mark()
    primary.reload()
    primary.wait_log(r'reload_refused: .*conf', since=mark)
    renewed(trial, primary)
    assert not primary.log_lines('resume')
    # Repaired, the next one works.
    primary.config = good
    primary.write_config()
    reload(primary)
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives, acting.epoch)


def order(node):
    """`primaryd --reload`, as systemctl reload runs it; returns its exit status and what it said."""
    done = subprocess.run([program('daemon/primaryd'), '--config', node.config_path, '--reload'], timeout=30,
                          env=clean_environment(), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason='only root has more rights than the owner of a directory')
def test_order_of_root(cluster):
    """What root finds in the directory of another user is believed as far as that user's own rights go."""
    with tempfile.TemporaryDirectory() as place, subprocess.Popen(['sleep', '60']) as victim:
        os.chmod(place, 0o755)
        run = f'{place}/run'
        os.mkdir(run, 0o700)
        [node] = cluster(1, **{'node.runtime-directory': run})
        node.wait_log('registered: ')
        with open(f'{run}/pid', 'w', encoding='ascii') as file:
            file.write(f'{victim.pid}\n')
        for path in (run, *(entry.path for entry in os.scandir(run))):
            shutil.chown(path, 'nobody')
        code, said = order(node)
        assert code == 1 and said.endswith('reload refused: the daemon: Operation not permitted\n'), said
        assert victim.poll() is None
        victim.kill()
        node.stop()


def test_order(trial):
    """Who orders a reload learns whether it was accepted, and why not: of the file by itself, of all else from the daemon."""
    primary, _ = trial.start(2)
    lives, epoch, good = trial.lives(), trial.keys.acting().epoch, dict(primary.config)
    for config, who in (({'election.penalty': 'soon'}, 'nobody'), ({'node.name': 'renamed'}, 'the daemon')):
        primary.write_config(**config)
        mark = primary.log_mark()
        code, said = order(primary)
        assert code == 1 and 'reload refused: ' in said and next(iter(config)) in said, said
        assert bool(re.search('reload_refused: reload refused: .*cannot change', primary.log_text()[mark:])) == (who == 'the daemon')
        primary.config = dict(good)
    primary.write_config()
    mark = primary.log_mark()
    # At the same time: each gets an answer, or hears that another one waits for it.
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(order, [primary] * 4))
    assert (0, '') in answers
    assert all(answer == (0, '') or answer[0] == 1 and 'another reload is under way' in answer[1] for answer in answers), answers
    primary.wait_log('session_resumed', since=mark)
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives, epoch)
    assert not os.path.exists(os.path.join(primary.config['node.runtime-directory'], 'reload'))
    primary.stop()
    code, said = order(primary)
    assert code == 1 and 'no daemon runs' in said, said


def test_configuration_gone(trial):
    primary, _ = trial.start(2)
    lives, acting = trial.lives(), trial.keys.acting()
    os.unlink(primary.config_path)
    mark = primary.log_mark()
    primary.reload()
    primary.wait_log('reload_refused', since=mark)
    renewed(trial, primary)
    trial.untouched(primary, lives, acting.epoch)


def test_in_a_takeover(trial):
    # It waits until the command has ended: that must not lose its parent.
    [node] = trial.add(1)
    work.behave(node, 'takeover', 'sleep 0.7')
    node.start()
    wait_until(lambda: trial.keys.state(node.name) == 'takeover', 10)
    node.reload()
    trial.settle()
    node.wait_log('session_resumed')
    trial.settle()
    assert len(trial.lives()) == 1
    assert len(trial.oracle.events('takeover', 'begin')) == 1


def test_not_valid_any_more(trial):
    """One that waits for a takeover to end is refused once, and then no longer wanted."""
    [node] = trial.add(1)
    work.behave(node, 'takeover', 'sleep 1')
    node.start()
    wait_until(lambda: trial.keys.state(node.name) == 'takeover', 10)
    node.reload()
    renewed(trial, node)  # it has looked, and waits
    node.write_config(**{'election.penalty': 'soon'})
    trial.settle()
    node.wait_log('reload_refused: ')
    for _ in range(3):
        renewed(trial, node)
    assert len(node.log_lines('reload_refused: ')) == 1
    node.write_config(**{'election.penalty': '3s'})
    for _ in range(2):
        renewed(trial, node)
    assert len(node.log_lines(' started: ')) == 1, 'nobody asked for it again'


def test_in_a_stop(trial):
    primary, (other,) = trial.start(2)
    work.behave(primary, 'relinquish', 'sleep 0.7')
    trial.keys.set('primary_node', other.name)
    wait_until(lambda: trial.keys.state(primary.name) == 'relinquish', 10)
    mark = primary.log_mark()
    primary.reload()
    trial.settle(primary=other.name)
    primary.wait_log(' started: ', since=mark)
    trial.settle(primary=other.name)


def test_cut_off(trial):
    # No server answers the new image: the lease goes on from where it was.
    primary, _ = trial.start(2)
    cut_ns = trial.now()
    primary.links.set_mode('silent')
    primary.reload()
    successor = trial.fail_over(primary, cut_ns)
    primary.links.set_mode('pass')
    trial.settle(primary=successor.name)


# the binary on disk

@pytest.fixture
def binary(tmp_path, monkeypatch):
    """Path of a daemon of the test's own, to be replaced at will."""
    build = tmp_path / 'build'
    for name in ('daemon/primaryd', 'daemon/primaryd-guard', 'tests/integration/stamp', 'tests/integration/worker'):
        path = build / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(program(name), path)
    monkeypatch.setenv('PRIMARYD_BUILD', str(build))
    return str(build / 'daemon' / 'primaryd')


def replace(binary, source=None, text=b''):
    """As a package manager does it: the old file goes on in those that run."""
    if source:
        shutil.copy2(source, binary + '.new')
    else:
        with open(binary + '.new', 'wb') as file:
            file.write(text)
        os.chmod(binary + '.new', 0o755)
    os.rename(binary + '.new', binary)


def test_upgrade(binary, trial):
    primary, _ = trial.start(2)
    lives, acting, pid = trial.lives(), trial.keys.acting(), primary.pid
    replace(binary, source=binary)
    primary.wait_log('session_resumed', since=reload(primary))
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives, acting.epoch)
    assert trial.keys.acting() == acting and primary.pid == pid
    assert os.readlink(f'/proc/{pid}/exe') == binary, 'the new one runs'


@pytest.mark.parametrize('how', ['gone', 'empty', 'junk'])
def test_binary_cannot_be_executed(binary, trial, how):
    primary, _ = trial.start(2)
    lives, acting = trial.lives(), trial.keys.acting()
    good = binary + '.good'
    shutil.copy2(binary, good)
    if how == 'gone':
        os.unlink(binary)
    else:
        replace(binary, text=b'' if how == 'empty' else b'\x7fELF' + bytes(200))
    mark = primary.log_mark()
    primary.reload()
    primary.wait_log(f'reload_refused: reload refused: {binary} --check ', since=mark)
    renewed(trial, primary)
    # Its guard does not need the file either.
    guards = work.find_guards(primary)
    for pid in guards:
        os.kill(pid, 9)
    wait_until(lambda: set(work.find_guards(primary)) - set(guards), 5, lambda: f'another guard:\n{primary.log_tail()}')
    trial.untouched(primary, lives, acting.epoch)
    # And once there is a good one again:
    replace(binary, source=good)
    primary.wait_log('session_resumed', since=reload(primary))
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives, acting.epoch)


@pytest.mark.parametrize('text, said', [
    ('echo "primaryd.conf:7: no such key any more" >&2; exit 1', 'exited with 1: primaryd.conf:7: no such key any more'),
    ('kill -9 $$', 'killed by signal 9'), ('exec /bin/false', 'no output')], ids=['refuses', 'dies', 'false'])
def test_newer_binary_refuses(binary, trial, text, said):
    """What runs finds the configuration valid, what it would execute does not: everything stays as it is."""
    primary, _ = trial.start(2)
    lives, acting = trial.lives(), trial.keys.acting()
    good = binary + '.good'
    shutil.copy2(binary, good)
    replace(binary, text=f'#!/bin/sh\n{text}\n'.encode())
    mark = primary.log_mark()
    primary.reload()
    primary.wait_log(f'reload_refused: reload refused: {binary} --check .*{re.escape(said)}', since=mark)
    renewed(trial, primary)
    trial.untouched(primary, lives, acting.epoch)
    replace(binary, source=good)
    primary.wait_log('session_resumed', since=reload(primary))
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives, acting.epoch)


@pytest.mark.parametrize('with_', ['exit 1', 'exec /bin/sleep 1000'])
def test_binary_of_another_kind(binary, trial, with_):
    # It finds everything in order and does nothing of what a daemon does: the guard keeps the lease.
    primary, _ = trial.start(2)
    good = binary + '.good'
    shutil.copy2(binary, good)
    replace(binary, text=f'#!/bin/sh\n[ "$1" != --check ] || exit 0\n{with_}\n'.encode())
    cut_ns = trial.now()
    primary.reload()
    successor = trial.fail_over(primary, cut_ns)
    replace(binary, source=good)
    primary.kill9()
    primary.start()
    trial.settle(primary=successor.name)


# what a new image finds its state by: another node with the work of this one is not what a reload is for

@pytest.mark.parametrize('key', ['node.runtime-directory', 'node.name', 'zookeeper.root', 'zookeeper.servers',
                                 'takeover.unit'])
def test_another_identity(trial, tmp_path, key):
    primary, _ = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    other = {'node.runtime-directory': str(tmp_path / 'elsewhere'), 'node.name': 'renamed', 'zookeeper.root': '/other',
             'zookeeper.servers': '127.0.0.1:1', 'takeover.unit': 'primary.target'}
    primary.write_config(**{key: other[key]})
    mark = primary.log_mark()
    primary.reload()
    primary.wait_log('reload_refused: .* cannot change in a reload', since=mark)
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives, epoch)


def test_servers_in_another_order(trial):
    primary, _ = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    servers = primary.config['zookeeper.servers'].split(',')
    primary.write_config(**{'zookeeper.servers': ', '.join(reversed(servers))})
    mark = reload(primary)
    primary.wait_log('session_resumed', since=mark)
    trial.settle(primary=primary.name)
    # A crash finds its way back, too.
    primary.write_config(**{'zookeeper.servers': ','.join([*servers[1:], servers[0]])})
    mark = primary.log_mark()
    primary.kill9()
    primary.start()
    primary.wait_log('session_resumed', since=mark)
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives, epoch)


def test_told_to_end_in_a_reload(trial):
    # Whatever comes between one image and the next waits for the next.
    primary, (secondary,) = trial.start(2)
    secondary.reload()
    secondary.stop()
    for _ in range(20):
        secondary.start()
        wait_until(lambda: trial.keys.get(f'nodes/{secondary.name}/alive'), 10, lambda: secondary.log_tail())
        mark = secondary.log_mark()
        secondary.reload()
        secondary.wait_log('reload: ', since=mark)
        secondary.stop()
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    for _ in range(30):
        mark = primary.log_mark()
        primary.reload()
        primary.wait_log('reload: ', since=mark)
        primary.reload()
    renewed(trial, primary)
    trial.untouched(primary, lives, epoch)
