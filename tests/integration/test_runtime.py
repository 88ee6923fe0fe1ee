"""Somebody deletes the runtime directory of a running daemon, or files in it, or fills it up."""

import os
import re
import shutil

import pytest

from lab.trial import oracle, trial  # noqa: F401 (fixtures)
from lab.wait import wait_until

# What a restart needs; guard.lock is there where a guard runs.
KEPT = {'lease', 'lock', 'state'}


def whole(node):
    return KEPT <= set(os.listdir(node.runtime_directory))


def restart_untouched(trial, primary, lives, epoch):
    """kill -9 and start: the work goes on."""
    mark = primary.log_mark()
    primary.kill9()
    primary.start()
    primary.wait_log('session_resumed', since=mark)
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives, epoch)


@pytest.mark.parametrize('take_away', [shutil.rmtree, lambda path: os.rename(path, path + '.old')],
                         ids=['deleted', 'moved'])
def test_gone_under_a_primary(trial, take_away):
    # Directory and all. The guard is told by the file that it has open until it has found the new one.
    primary, _ = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    mark = primary.log_mark()
    take_away(primary.runtime_directory)
    primary.wait_log(' warning runtime_repaired: .*: somebody deleted the directory: made anew', since=mark)
    primary.wait_log('the lease file in .* was made anew: watching that', since=mark)
    wait_until(lambda: whole(primary), 5, 'the files are there again')
    assert os.stat(primary.runtime_directory).st_mode & 0o777 == 0o700
    restart_untouched(trial, primary, lives, epoch)
    # And the guard that moved over stops the work when nobody extends the lease there.
    primary.kill9()
    trial.wait_down(primary)


def test_deleted_again_and_again(trial):
    primary, _ = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    for number in range(4):
        mark = primary.log_mark()
        for name in os.listdir(primary.runtime_directory):
            os.unlink(os.path.join(primary.runtime_directory, name))
        primary.wait_log('runtime_repaired: ', since=mark)
        if number % 2:
            primary.wait_log('was made anew: watching that', since=mark)
    wait_until(lambda: whole(primary), 5, 'the files are there again')
    restart_untouched(trial, primary, lives, epoch)


def test_dies_before_the_guard_has_moved_over(trial):
    # The guard wakes up at the end of the lease it knows, and finds the new one, of which the new daemon knows.
    primary, _ = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    guard = int(open(os.path.join(primary.runtime_directory, 'guard.lock'), encoding='ascii').read().split()[0])
    assert guard in primary.processes()
    mark = primary.log_mark()
    os.kill(guard, 19)
    try:
        shutil.rmtree(primary.runtime_directory)
        primary.wait_log('runtime_repaired', since=mark)
    finally:
        os.kill(guard, 18)
    restart_untouched(trial, primary, lives, epoch)
    primary.kill9()
    trial.wait_down(primary)


def test_deleted_under_a_secondary(trial):
    primary, (secondary,) = trial.start(2)
    mark = secondary.log_mark()
    shutil.rmtree(secondary.runtime_directory)
    secondary.wait_log('runtime_repaired', since=mark)
    wait_until(lambda: whole(secondary), 5, 'the files are there again')
    trial.ensure_primary(secondary)
    restart_untouched(trial, secondary, trial.lives(), trial.keys.acting().epoch)


@pytest.mark.parametrize('name', ['state', 'lock', 'lease', 'guard.lock'])
def test_one_file(trial, name):
    primary, _ = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    mark = primary.log_mark()
    os.unlink(os.path.join(primary.runtime_directory, name))
    primary.wait_log(f'runtime_repaired: .*: somebody deleted {name}: made anew', since=mark)
    wait_until(lambda: os.path.exists(os.path.join(primary.runtime_directory, name)), 10, f'{name} is there again')
    restart_untouched(trial, primary, lives, epoch)


def test_cannot_be_made_anew(trial):
    primary, (secondary,) = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    for node in (primary, secondary):
        mark = node.log_mark()
        shutil.rmtree(node.runtime_directory)
        with open(node.runtime_directory, 'w', encoding='ascii'):
            pass
        node.wait_log(' critical runtime_lost: .*cannot be made anew: .* is not a directory', since=mark)
    # A reload would find nothing to resume; a takeover could not succeed.
    mark = primary.log_mark()
    primary.reload()
    primary.wait_log(' reload_refused: ', since=mark)
    wait_until(lambda: trial.keys.get(f'nodes/{secondary.name}/health') == 'failed: the runtime directory is gone', 5, 'unhealthy')
    assert trial.keys.get(f'nodes/{primary.name}/health') == 'ok'
    trial.untouched(primary, lives, epoch)
    for node in (primary, secondary):
        mark = node.log_mark()
        os.unlink(node.runtime_directory)
        node.wait_log('runtime_repaired', since=mark)
        assert len(node.log_lines(' runtime_lost: ')) == 1
    wait_until(lambda: trial.keys.get(f'nodes/{secondary.name}/health') == 'ok', 5, 'healthy again')
    restart_untouched(trial, primary, lives, epoch)


def test_cannot_be_written(trial):
    """As with a full file system: said once, and once when it is over."""
    primary, (secondary,) = trial.start(2)
    obstacle = os.path.join(secondary.runtime_directory, 'state.new')
    os.makedirs(os.path.join(obstacle, 'full'))
    trial.ensure_primary(secondary)
    secondary.wait_log(' error state_file_failed: .*until it can, a restart stops the work')
    mark = secondary.log_mark()
    secondary.reload()
    secondary.wait_log(' reload_refused: ', since=mark)
    shutil.rmtree(obstacle)
    secondary.wait_log(' notice state_file_written: ')
    assert len(secondary.log_lines(' state_file_failed: ')) == 1
    assert re.search('work=up', open(os.path.join(secondary.runtime_directory, 'state'), encoding='ascii').read())
    restart_untouched(trial, secondary, trial.lives(), trial.keys.acting().epoch)
