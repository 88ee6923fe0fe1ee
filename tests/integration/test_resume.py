"""A daemon that comes back: goes on where it was if it may, else stops the work before anything else."""

import os
import re
import shutil

import pytest

from lab import work
from lab.memory import remembered
from lab.trial import SESSION_S, oracle, trial  # noqa: F401 (fixtures)
from lab.wait import wait_until
from test_lease import kill_guards


def wait_remembers_start(node, epoch):
    """Otherwise nobody knows whether this takeover started anything, and the next one waits for the longest term."""
    wait_until(lambda: (remembered(node) or {}).get('own') == str(epoch), 10, lambda: remembered(node))


def test_killed_and_restarted(trial):
    primary, _ = trial.start(2)
    lives, acting = trial.lives(), trial.keys.acting()
    for _ in range(10):
        mark = primary.log_mark()
        primary.kill9()
        primary.start()
        primary.wait_log('session_resumed', since=mark)
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives, acting.epoch)
    assert trial.keys.acting() == acting, 'the same session holds the post'
    assert not trial.oracle.events('relinquish', node=primary.name)[2:], 'nothing was run but at the first start'


def test_killed_again_and_again(trial):
    # Without waiting for it to have resumed: nothing extends the lease meanwhile, so it is a long one.
    primary, _ = trial.start(2, **{'zookeeper.session-timeout': '20s'})
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    for number in range(15):
        mark = primary.log_mark()
        primary.kill9()
        primary.start()
        wait_until(lambda: len(primary.log_lines(' started: ')) == number + 2, 5, lambda: primary.log_tail())
        if number % 3 == 2:
            primary.wait_log('session_resumed', since=mark)  # or on a busy machine the lease runs out meanwhile
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives, epoch)


def test_own_keys_deleted_meanwhile(trial):
    # The post is proven by itself: what else is missing is made again, and is no reason to stop.
    primary, _ = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    trial.keys.set('maintenance', 'true')  # or the other one is named while `alive` is missing
    primary.kill9()
    trial.keys.delete(f'nodes/{primary.name}')
    primary.start()
    primary.wait_log('session_resumed: ')
    trial.settle(primary=primary.name)
    trial.keys.delete('maintenance')
    trial.untouched(primary, lives, epoch)


def test_secondary_restarted(trial):
    primary, (secondary,) = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    for _ in range(3):
        mark = secondary.log_mark()
        secondary.kill9()
        secondary.start()
        secondary.wait_log('registered', since=mark)
        trial.settle(primary=primary.name)
    trial.untouched(primary, lives, epoch)


def test_late(trial):
    # The guard has acted, the session still lives: the post is its own, the work is not.
    primary, _ = trial.start(2)
    primary.kill9()
    trial.wait_down(primary)
    assert trial.keys.acting().node == primary.name
    primary.start()
    trial.settle()


def test_too_late(trial):
    primary, (other,) = trial.start(2)
    primary.kill9()
    successor, _ = trial.wait_successor(primary)
    primary.start()
    trial.settle(primary=successor.name)
    assert successor is other and len(trial.lives()) == 2


def test_too_late_alone(trial):
    [node] = trial.add(1)
    node.start()
    trial.settle()
    epoch = trial.keys.acting().epoch
    wait_remembers_start(node, epoch)
    node.kill9()
    trial.wait_down(node)
    wait_until(lambda: trial.keys.acting() is None, 10)
    node.start()
    trial.settle()
    assert len(trial.lives()) == 2 and trial.keys.acting().epoch > epoch, 'it was named all the time'


def test_another_pid_namespace(trial, container):
    """A container that is restarted at once, with the runtime directory on a volume: its work ended with it, so nothing is
    resumed, though boot, lease, session and post would allow it."""
    [node] = trial.add(1)
    node.host = container
    node.set_command('takeover')  # work of which nobody sees how it ends
    node.set_command('relinquish')
    node.start()
    node.wait_log(' primary: ')
    epoch, mark = trial.keys.acting().epoch, node.log_mark()
    wait_remembers_start(node, epoch)
    node.kill9()
    node.start()
    node.wait_log(r'resume_refused: .*/state is from another container', since=mark)
    node.wait_log(' primary: ', since=mark)
    assert not node.log_lines('session_resumed') and trial.keys.acting().epoch > epoch
    assert [event.event for event in trial.oracle.events(phase='begin', node=node.name)][-2:] == ['relinquish', 'takeover']
    node.kill9()  # SIGTERM would reach unshare alone


# what it finds in its runtime directory

def edit(path, old, new):
    with open(path, 'rb') as file:
        data = file.read()
    assert old in data, data
    with open(path + '.edited', 'wb') as file:
        file.write(data.replace(old, new))
    os.chmod(path + '.edited', 0o600)
    os.rename(path + '.edited', path)


def checksummed(path, old, new):
    """The same with a checksum that is right."""
    edit(path, old, new)
    with open(path, 'rb') as file:
        text = file.read().rpartition(b'sum=')[0]
    digest = 0xcbf29ce484222325
    for byte in text:
        digest = (digest ^ byte) * 0x100000001b3 % 2**64
    with open(path, 'wb') as file:
        file.write(text + b'sum=%016x\n' % digest)


def field(path, name):
    with open(path, 'rb') as file:
        return re.search(rb'^' + name + rb'=(.*)$', file.read(), re.M)[0]


DAMAGES = {
    'a byte': lambda path: edit(path, b'epoch=', b'epoch=1'),
    'cut': lambda path: os.truncate(path, 100),
    'empty': lambda path: os.truncate(path, 0),
    'long': lambda path: edit(path, b'node=', b'node=' + b'x' * 10000),
    'gone': os.unlink,
    'a directory': lambda path: (os.unlink(path), os.mkdir(path)),
    'another node': lambda path: checksummed(path, field(path, b'node'), b'node=other'),
    'another cluster': lambda path: checksummed(path, field(path, b'cluster'), b'cluster=0123456789abcdef'),
    'another boot': lambda path: checksummed(path, field(path, b'boot'), b'boot=01234567-89ab-cdef-0123-456789abcdef'),
    'another place': lambda path: checksummed(path, field(path, b'place'), b'place=0123456789abcdef'),
    'another session': lambda path: checksummed(path, field(path, b'session'), b'session=0123456789abcdef'),
    'another password': lambda path: checksummed(path, field(path, b'password'), b'password=' + b'0' * 32),
}


@pytest.mark.parametrize('damage', list(DAMAGES))
def test_state_file(trial, damage):
    """The work that runs cannot be known to be in order any more: it is stopped before anything else."""
    primary, _ = trial.start(2)
    path = os.path.join(primary.runtime_directory, 'state')
    primary.kill9()
    mark = primary.log_mark()
    DAMAGES[damage](path)
    primary.start()
    down_ns = trial.wait_down(primary)
    trial.settle()
    assert trial.lives()[-1].begin_ns > down_ns
    text = primary.log_text()[mark:]
    if damage in ('gone', 'another session', 'another password'):
        return
    assert 'resume_refused' in text, text


@pytest.mark.parametrize('damage', ['empty', 'junk', 'gone'])
def test_lease_file(trial, damage):
    primary, _ = trial.start(2)
    path = os.path.join(primary.runtime_directory, 'lease')
    primary.kill9()
    # Put in its place: who has the old one mapped keeps that.
    os.rename(path, path + '.old')
    if damage != 'gone':
        with open(path, 'wb') as file:
            file.write(b'' if damage == 'empty' else b'\xa5' * 4096)
    primary.start()
    trial.wait_down(primary)
    trial.settle()


def test_runtime_directory_wiped(trial):
    primary, _ = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    shutil.rmtree(primary.runtime_directory)
    keepalive = trial.keys.get(f'nodes/{primary.name}/keepalive')
    wait_until(lambda: trial.keys.get(f'nodes/{primary.name}/keepalive') != keepalive, 5)
    trial.untouched(primary, lives, epoch)
    # The guard needs nothing from it.
    cut_ns = trial.now()
    primary.kill9()
    successor = trial.fail_over(primary, cut_ns)
    primary.start()
    trial.settle(primary=successor.name)


def test_runtime_directory_wiped_and_restarted(trial):
    primary, _ = trial.start(2)
    shutil.rmtree(primary.runtime_directory)
    primary.kill9()
    primary.start()
    trial.wait_down(primary)
    trial.settle()


def test_killed_before_it_has_looked(trial):
    """A daemon that has not judged yet what an earlier one left says nothing of it: the next one stops it, too."""
    [node] = trial.add(1)
    node.start()
    trial.settle()
    node.sigstop()  # else it starts another guard at once
    kill_guards(node)
    node.kill9()
    shutil.rmtree(node.runtime_directory)
    node.links.set_mode('reset')
    node.write_config(**{'health.command': '/bin/false', 'health.interval': '50ms', 'health.failures': '1'})
    node.start().wait_log('health_failed')
    node.kill9()
    assert trial.working() == [node.name]
    node.write_config(**{'health.command': None})
    node.links.set_mode('pass')
    node.start()
    trial.wait_down(node)
    trial.settle()


# two daemons

def twin_of(trial, node, directory, **config):
    """Another daemon with the name of a node, with files of its own."""
    same = {key: value for key, value in node.config.items() if not key.endswith('-directory')}
    [twin] = trial.make(trial.ensemble, trial.keys, 1, start=False, names=[node.name + '-twin'], **{**same, **config})
    twin.write_config(**{'node.name': node.name, 'node.runtime-directory': directory or twin.runtime_directory,
                         'zookeeper.servers': trial.ensemble.connect})
    for event in ('takeover', 'relinquish'):
        twin.write_config(**{f'{event}.command': work.behave(twin, event)})
    return twin


def test_one_runtime_directory(trial):
    primary, _ = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    twin = twin_of(trial, primary, primary.runtime_directory)
    assert twin.start().wait_exit() == 69
    assert str(primary.pid) in twin.log_text(), twin.log_text()
    # Nor does a stopped or a dying one let another in.
    primary.sigstop()
    assert twin.start().wait_exit() == 69
    primary.sigcont()
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives, epoch)


def test_one_name(trial):
    primary, _ = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    twin = twin_of(trial, primary, None)
    # As on another host, as far as this one can tell: other names of the servers.
    twin.write_config(**{'zookeeper.servers': twin.config['zookeeper.servers'].replace('127.0.0.1', 'localhost')})
    begin_ns = trial.now()
    assert twin.start().wait_exit(3 * SESSION_S) == 69
    assert trial.now() - begin_ns > SESSION_S * 1e9, 'a session that is about to expire is waited for'
    [line] = twin.log_lines('duplicate_name.*pid')[-1:]
    assert str(primary.pid) in line, line
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives, epoch)


def test_one_name_after_a_crash(trial):
    # The name of a node that died is free once its session is gone.
    primary, _ = trial.start(2)
    twin = twin_of(trial, primary, None)
    primary.kill9()
    trial.wait_successor(primary)
    twin.start()
    wait_until(lambda: (trial.keys.get(f'nodes/{primary.name}/alive') or '').find(str(twin.pid)) >= 0, 10,
               lambda: twin.log_tail())
    twin.stop()
