"""The runtime directory of a running daemon is full, or somebody deletes, cuts or replaces it or files in it."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from ctl_shell import Ctl, built
from lab import work
from lab.trial import oracle, trial  # noqa: F401 (fixtures)
from lab.wait import wait_until

NOT_KEPT = ' error state_file_failed: .*does not take over the role.*a restart stops its work first'
UNHEALTHY = 'failed: the state for a restart cannot be kept (make room'


def restart_untouched(trial, primary, lives, epoch):
    """kill -9 and start: the work goes on."""
    mark = primary.log_mark()
    primary.kill9()
    primary.start()
    primary.wait_log('session_resumed', since=mark)
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives, epoch)


def restart_elsewhere(trial, primary, other):
    """kill -9, the other node is named, and start: the work is stopped before the post is left to the other one."""
    primary.kill9()
    trial.keys.set('primary_node', other.name)
    primary.start()
    trial.settle(primary=other.name)
    trial.check()


def state_path(node):
    return os.path.join(node.runtime_directory, 'state')


def copy_state(node):
    shutil.copy(state_path(node), state_path(node) + '.before')


def restore_state(node):
    os.rename(state_path(node) + '.before', state_path(node))


def health(trial, node):
    return trial.keys.get(f'nodes/{node.name}/health') or ''


def health_writes(trial, node):
    return trial.keys.client.get(trial.keys.path(f'nodes/{node.name}/health'))[1].version


# full

@pytest.fixture
def tiny(request):
    """Puts a node's runtime directory on a file system of its own; returns two functions that fill and clear it."""
    if os.geteuid() != 0:
        pytest.skip('needs root to mount a file system')
    mounted = []

    def mount(node):
        directory = node.runtime_directory
        command = ['mount', '-t', 'tmpfs', '-o', 'size=64k,mode=700', 'none', directory]
        if subprocess.run(command, check=False).returncode != 0:
            pytest.skip('file systems cannot be mounted here')
        mounted.append(directory)
        ballast = os.path.join(directory, 'ballast')

        def fill():
            with open(ballast, 'wb', buffering=0) as file:
                try:
                    while True:
                        file.write(b'x' * 512)
                except OSError:
                    pass
        return fill, lambda: os.unlink(ballast)

    yield mount
    for directory in mounted:
        subprocess.run(['umount', '-l', directory], check=True)


def test_full_before_a_takeover(trial, tiny):
    nodes = trial.add(2)
    fill, clear = tiny(nodes[1])
    for node in nodes:
        node.start()
    trial.settle()
    first, second = nodes
    trial.ensure_primary(first)
    count = len([life for life in trial.lives() if life.node == second.name])
    fill()
    trial.keys.set('primary_node', second.name)
    wait_until(lambda: second.log_lines(NOT_KEPT) or second.name in trial.working(), 10, lambda: second.log_tail())
    wait_until(lambda: trial.keys.get('primary_node') == first.name or second.name in trial.working(), 10,
               lambda: second.log_tail())
    # What was saved last says that it follows; with the work up that would be believed.
    fill()
    restart_elsewhere(trial, second, first)
    assert len([life for life in trial.lives() if life.node == second.name]) == count, second.log_tail()
    clear()
    wait_until(lambda: health(trial, second) == 'ok', 10, lambda: second.log_tail())
    trial.ensure_primary(second)
    restart_untouched(trial, second, trial.lives(), trial.keys.acting().epoch)


def test_full_in_a_takeover(trial, tiny):
    """The takeover was noted, what came of it could not be."""
    nodes = trial.add(2)
    fill, _ = tiny(nodes[1])
    for node in nodes:
        node.start()
    trial.settle()
    first, second = nodes
    trial.ensure_primary(first)
    work.behave(second, 'takeover', 'sleep 0.5')
    mark = second.log_mark()
    trial.keys.set('primary_node', second.name)
    # The daemon hears of its takeover later than the others see it, and does not start the work if it cannot note that.
    second.wait_log('recover -> begin', since=mark)
    fill()
    wait_until(lambda: second.name in trial.working(), 10, lambda: second.log_tail())
    restart_elsewhere(trial, second, first)


def test_older_state(trial):
    """As with a full file system: what the file says is from before the takeover."""
    primary, (secondary,) = trial.start(2)
    copy_state(secondary)
    trial.ensure_primary(secondary)
    secondary.kill9()
    restore_state(secondary)
    trial.keys.set('primary_node', primary.name)
    mark = secondary.log_mark()
    secondary.start()
    secondary.wait_log('resume_refused: .*older than', since=mark)
    trial.settle(primary=primary.name)


def test_cannot_be_written(trial):
    """Said once, and once when it is over. It is tried again meanwhile, of which the others need not know."""
    primary, (secondary,) = trial.start(2)
    obstacle = os.path.join(secondary.runtime_directory, 'state.new')
    os.makedirs(os.path.join(obstacle, 'full'))
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    trial.keys.set('primary_node', secondary.name)
    secondary.wait_log(NOT_KEPT)
    wait_until(lambda: health(trial, secondary).startswith(UNHEALTHY), 5, 'unhealthy')
    written, since = health_writes(trial, secondary), time.monotonic()
    if built():
        ctl = Ctl(None, None, '--config', secondary.config_path)
        for verb in (('status',), ('explain', secondary.name), ('check',)):
            said = ctl.run('--json', *verb, code=None).stdout
            assert 'cannot be kept (make room' in said, said
    mark = secondary.log_mark()
    secondary.reload()
    secondary.wait_log(' reload_refused: ', since=mark)
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives)
    time.sleep(max(0, since + 5.5 - time.monotonic()))  # RETRY_S of kept.c, and a little
    assert health_writes(trial, secondary) == written
    shutil.rmtree(obstacle)
    secondary.wait_log(' notice state_file_written: ')
    assert len(secondary.log_lines(' state_file_failed: ')) == 1
    trial.ensure_primary(secondary)
    assert re.search('work=up', open(state_path(secondary), encoding='ascii').read())
    restart_untouched(trial, secondary, trial.lives(), trial.keys.acting().epoch)


# deleted

@pytest.mark.parametrize('take_away', [shutil.rmtree, lambda path: os.rename(path, path + '.old')],
                         ids=['deleted', 'moved'])
def test_gone_under_a_primary(trial, take_away):
    """Nothing happens but that it is said, and a reload refused; a restart stops the work first."""
    primary, (other,) = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    take_away(primary.runtime_directory)
    primary.wait_log(NOT_KEPT)
    mark = primary.log_mark()
    primary.reload()
    primary.wait_log(' reload_refused: ', since=mark)
    trial.untouched(primary, lives, epoch)
    assert health(trial, primary) == 'ok', 'it works'
    restart_elsewhere(trial, primary, other)


def test_gone_and_guarded(trial):
    """The guard needs nothing from the directory."""
    primary, _ = trial.start(2)
    shutil.rmtree(primary.runtime_directory)
    primary.wait_log(NOT_KEPT)
    cut_ns = trial.now()
    primary.kill9()
    successor = trial.fail_over(primary, cut_ns)
    primary.start()
    trial.settle(primary=successor.name)


def test_gone_under_a_secondary(trial):
    primary, (secondary,) = trial.start(2)
    lives = trial.lives()
    shutil.rmtree(secondary.runtime_directory)
    trial.keys.set('primary_node', secondary.name)
    wait_until(lambda: health(trial, secondary).startswith(UNHEALTHY), 10, lambda: secondary.log_tail())
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives)
    assert len(secondary.log_lines(' state_file_failed: ')) == 1
    secondary.stop()
    secondary.start()
    trial.settle(primary=primary.name)
    trial.ensure_primary(secondary)


@pytest.mark.parametrize('name', ['state', 'pid', 'guard.lock', 'work.lock'])
def test_one_file(trial, name):
    """The state is written again with the next renewal; the locks of daemon and guard are made by whoever takes them."""
    primary, _ = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    path = os.path.join(primary.runtime_directory, name)
    os.unlink(path)
    if name == 'state':
        wait_until(lambda: os.path.exists(path), 5, 'it is written again')
    restart_untouched(trial, primary, lives, epoch)


def test_lease_file_gone(trial):
    primary, (other,) = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    os.unlink(os.path.join(primary.runtime_directory, 'lease'))
    primary.wait_log(NOT_KEPT)
    trial.untouched(primary, lives, epoch)
    restart_elsewhere(trial, primary, other)


# copied

def test_copied_in_place(trial):
    """The guard goes by the original, so the daemon cannot go on with a copy: its restart stops the work first."""
    primary, _ = trial.start(2)
    directory = primary.runtime_directory
    os.rename(directory, directory + '.old')
    shutil.copytree(directory + '.old', directory)
    mark = primary.log_mark()
    primary.kill9()
    primary.start()
    primary.wait_log('resume_refused: .*/lease is a copy', since=mark)
    # The end of the lease is the guard's, and is over before the next takeover.
    trial.wait_down(primary)
    trial.settle()
    wait_until(lambda: len(work.find_guards(next(node for node in trial.nodes if node.name == trial.keys.primary()))) == 1, 5, 'one guard')
    trial.settle()


# cut

@pytest.mark.parametrize('size', [0, 50])
def test_lease_file_cut(trial, size):
    """The guard acts at the last end that it knew, and the daemon stops the work: nobody dies of it."""
    primary, (other,) = trial.start(2)
    guards = work.find_guards(primary)
    os.truncate(os.path.join(primary.runtime_directory, 'lease'), size)
    primary.wait_log('somebody truncated or overwrote the lease file')
    trial.wait_down(primary)
    wait_until(lambda: other.name in trial.working(), 10, lambda: f'{primary.log_tail()}\n{other.log_tail()}')
    assert primary.running(), primary.log_tail()
    trial.settle()
    wait_until(lambda: not set(guards) & set(work.find_guards(primary)), 5, primary.log_tail)
    # The file is made whole before the next takeover.
    trial.ensure_primary(primary)
    restart_untouched(trial, primary, trial.lives(), trial.keys.acting().epoch)


def test_lease_file_cut_under_the_guard_alone(trial):
    primary, _ = trial.start(2)
    cut_ns = trial.now()
    primary.sigstop()
    os.truncate(os.path.join(primary.runtime_directory, 'lease'), 0)
    successor = trial.fail_over(primary, cut_ns)
    primary.sigcont()
    trial.settle(primary=successor.name)
    assert primary.running() and primary.log_lines('guard: the work is down')


def test_lease_file_cut_and_restarted(trial):
    primary, (other,) = trial.start(2)
    primary.sigstop()
    os.truncate(os.path.join(primary.runtime_directory, 'lease'), 0)
    primary.child.send_signal(signal.SIGKILL)
    restart_elsewhere(trial, primary, other)
