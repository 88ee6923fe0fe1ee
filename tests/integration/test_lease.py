"""The lease is kept whatever happens to the daemon, its guard, its commands and the servers."""

import os
import re
import resource
import signal
import subprocess

import pytest

from lab import process, work
from lab.trial import DOWN_S, SESSION_S, oracle, trial  # noqa: F401 (fixtures)
from lab.wait import wait_until

LEASE_S = SESSION_S * 2 / 3 - 0.05


def wait_s(trial, since_ns, seconds):
    """Time is what is tested here."""
    wait_until(lambda: trial.now() - since_ns > seconds * 1e9, seconds + 5)


def kill_guards(node):
    pids = work.find_guards(node)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return pids


def wait_new_guard(node, former):
    return wait_until(lambda: set(work.find_guards(node)) - set(former), 5,
                      lambda: f'another guard:\n{node.log_tail()}', 0.02)


# the daemon

def test_killed_for_good(trial):
    primary, _ = trial.start(2)
    cut_ns = trial.now()
    primary.kill9()
    successor = trial.fail_over(primary, cut_ns)
    assert (trial.keys.state(primary.name), trial.keys.get(f'nodes/{primary.name}/daemonstate')) == ('secondary', 'dead')
    wait_until(lambda: not primary.processes(), 5, 'nothing of it is left, its guard neither')
    primary.start()
    trial.settle(primary=successor.name)


def test_frozen_for_a_moment(trial):
    primary, _ = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    for seconds in (0.1, 0.3):
        begin_ns = trial.now()
        primary.sigstop()
        wait_s(trial, begin_ns, seconds)
        primary.sigcont()
        keepalive = trial.keys.get(f'nodes/{primary.name}/keepalive')
        wait_until(lambda: trial.keys.get(f'nodes/{primary.name}/keepalive') != keepalive, 5, 'the lease is renewed')
    trial.untouched(primary, lives, epoch)


@pytest.mark.parametrize('seconds', [LEASE_S - 0.45, LEASE_S, SESSION_S - 0.2, SESSION_S + 1.0])
def test_frozen_for_longer(trial, seconds):
    # From about when the guard acts, to long after the session's end.
    primary, _ = trial.start(2)
    begin_ns = trial.now()
    primary.sigstop()
    wait_s(trial, begin_ns, seconds)
    assert seconds < LEASE_S or not primary.name in trial.working()
    primary.sigcont()
    trial.settle()
    if seconds > LEASE_S:
        assert primary.log_lines('guard: the work is down')


def test_frozen_for_good(trial):
    primary, _ = trial.start(2)
    cut_ns = trial.now()
    primary.sigstop()
    successor = trial.fail_over(primary, cut_ns)
    primary.sigcont()
    trial.settle(primary=successor.name)


def test_frozen_while_it_stops(trial):
    # The guard lets the command finish, and finds nothing left to do.
    primary, (successor,) = trial.start(2)
    work.behave(primary, 'relinquish', 'sleep 0.5')
    trial.keys.set('primary_node', successor.name)
    wait_until(lambda: primary.log_lines('primary -> .*|-> stop'), 5)
    wait_until(lambda: trial.keys.state(primary.name) == 'relinquish', 5)
    cut_ns = trial.now()
    primary.sigstop()
    down_s = (trial.wait_down(primary) - cut_ns) / 1e9
    assert down_s < DOWN_S
    wait_until(lambda: successor.name in trial.working(), 10, lambda: f'{successor.log_tail()}')
    primary.sigcont()
    trial.settle(primary=successor.name)


def test_frozen_while_its_stop_hangs(trial):
    primary, (successor,) = trial.start(2)
    work.behave(primary, 'relinquish', 'sleep 60')
    trial.keys.set('primary_node', successor.name)
    wait_until(lambda: trial.keys.state(primary.name) == 'relinquish', 5)
    cut_ns = trial.now()
    primary.sigstop()
    assert (trial.wait_down(primary) - cut_ns) / 1e9 < DOWN_S
    wait_until(lambda: successor.name in trial.working(), 10, lambda: f'{successor.log_tail()}')
    primary.sigcont()
    # It stays out until its stop succeeds.
    work.behave(primary, 'relinquish')
    trial.settle(primary=successor.name)


# the guard

def test_guard_in_memory(trial):
    """It needs no library and no disk to act: all of it is in memory, and that is little."""
    primary, _ = trial.start(2)
    [guard] = work.find_guards(primary)
    status = process.status_of(guard)
    with open(f'/proc/{guard}/maps', encoding='utf-8') as file:
        mapped = {line.split()[5] for line in file if len(line.split()) > 5 and '/' in line.split()[5]}
    if any('asan' in name for name in mapped):
        pytest.skip('the sanitizers have no static libraries')
    assert {os.path.basename(name) for name in mapped} == {'primaryd-guard'}
    assert int(status['VmRSS'][0]) <= 2048 and int(status['VmLck'][0]) >= int(status['VmExe'][0]), status


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, which a test may freeze (fsfreeze -f): who writes there hangs, and cannot be killed."""
    image, place = tmp_path / 'image', tmp_path / 'disk'
    place.mkdir()
    with open(image, 'wb') as file:
        file.truncate(16 << 20)
    for argv in (['mkfs.ext4', '-q', image], ['mount', '-o', 'loop,noatime', image, place]):
        if subprocess.run(argv, check=False, capture_output=True).returncode != 0:
            pytest.skip('no file system can be mounted here')
    yield place
    subprocess.run(['fsfreeze', '-u', place], check=False, capture_output=True)
    subprocess.run(['umount', '-l', place], check=True)


def test_log_on_a_lost_disk(trial, disk):
    """The daemon hangs when it says what happened; the guard says it as well, and acts."""
    for node in trial.add(2):
        node.log_path = f'{disk}/{node.name}'
        node.start()
    primary, _ = trial.settle()
    subprocess.run(['fsfreeze', '-f', disk], check=True)
    try:
        cut_ns = trial.now()
        primary.links.set_mode('reset')
        trial.wait_down(primary)
        assert trial.now() - cut_ns < DOWN_S * 1e9
    finally:
        subprocess.run(['fsfreeze', '-u', disk], check=True)
        primary.links.set_mode('pass')
    trial.settle()
    assert primary.log_lines('guard: the work is down')


def test_guard_killed(trial):
    primary, _ = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    guards = []
    for _ in range(3):
        guards += kill_guards(primary)
        wait_new_guard(primary, guards)
    trial.untouched(primary, lives, epoch)
    # The last one keeps the lease like the first.
    wait_until(lambda: 'guard_started' in primary.log_lines('guard_(started|failed)')[-1], 5, lambda: primary.log_tail())
    cut_ns = trial.now()
    primary.kill9()
    successor = trial.fail_over(primary, cut_ns)
    primary.start()
    trial.settle(primary=successor.name)


def test_guard_killed_in_a_takeover(trial):
    """And at first no other one can be started: that is tried on and on."""
    [node] = trial.add(1)
    begun = f'{node.directory}/begun'
    work.behave(node, 'takeover', f'touch {begun}; sleep 1.2')
    node.start()
    wait_until(lambda: os.path.exists(begun), 20, node.log_tail)
    _, hard = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (3, hard))
    guards = kill_guards(node)
    node.wait_log('guard_failed: ')
    wait_s(trial, trial.now(), 0.5)
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (hard, hard))
    wait_new_guard(node, guards)
    trial.settle()
    assert len(trial.lives()) == 1


def test_no_guard_to_be_had(trial):
    """Work without a guard goes on for some seconds only: then another node does it, in order."""
    primary, [other] = trial.start(2)
    _, hard = resource.prlimit(primary.pid, resource.RLIMIT_NOFILE)
    before = resource.prlimit(primary.pid, resource.RLIMIT_NOFILE, (3, hard))
    kill_guards(primary)
    wait_until(lambda: trial.keys.get(f'nodes/{primary.name}/health') == 'failed: no guard can be started', 20,
               lambda: primary.log_tail())
    resource.prlimit(primary.pid, resource.RLIMIT_NOFILE, before)
    trial.settle(primary=other.name)


def test_guard_and_daemon_killed_and_restarted(trial):
    primary, _ = trial.start(2)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    guards = kill_guards(primary)
    primary.kill9()
    primary.start()
    primary.wait_log('session_resumed')
    wait_new_guard(primary, guards)
    trial.settle(primary=primary.name)
    trial.untouched(primary, lives, epoch)


def test_guard_and_daemon_killed_for_good(trial):
    # Nobody is left on that host to stop the work: that is what the fence command is for.
    nodes = trial.add(2)
    for node, other in zip(nodes, reversed(nodes)):
        command = node.set_command('fence', after=f'PRIMARYD_NODE={other.name} exec {work.worker(other)} stop')
        node.write_config(**{'fence.command': command})
        node.start()
    primary, _ = trial.settle()
    kill_guards(primary)
    primary.kill9()
    successor, up_ns = trial.wait_successor(primary)
    assert trial.wait_down(primary) < up_ns
    assert [event.node for event in trial.oracle.events('fence', 'begin')] == [successor.name]
    primary.start()
    trial.settle(primary=successor.name)


def test_guard_and_daemon_killed_and_late(trial):
    # The work still runs when the daemon comes back too late to know that it may.
    [node] = trial.add(1)
    node.start()
    trial.settle()
    epoch = trial.keys.acting().epoch
    node.sigstop()  # else it starts another guard at once
    kill_guards(node)
    node.kill9()
    wait_until(lambda: trial.keys.acting() is None, 10, 'its session expires')
    assert trial.working() == [node.name]
    node.start()
    trial.settle()
    assert len(trial.lives()) == 2 and trial.keys.acting().epoch > epoch, 'it was named all the time'


# the guard's relinquish command is run like the daemon's

VARIABLES = ('EVENT', 'NODE', 'PRIMARY', 'PREVIOUS', 'EPOCH', 'REASON')


def test_guard_tells_what_the_daemon_tells(trial):
    """A strict script ends where a variable is missing; and nothing of the daemon's own environment is handed down."""
    primary, other = trial.add(2)
    path = os.path.join(primary.directory, 'environment')
    work.behave(primary, 'relinquish', 'set -eu\n' + ''.join(f': "$PRIMARYD_{name}"\n' for name in VARIABLES) +
                f'env >{path}.new\nmv {path}.new {path}')
    primary.start({'SECRET': 'of the daemon'})
    trial.settle()
    other.start()
    trial.settle(primary=primary.name)

    def told():
        with open(path, encoding='ascii') as file:
            lines = file.read().splitlines()
        # But for what the shell adds, and what is another one each time.
        return sorted(line for line in lines if not re.match('PWD=|OLDPWD=|SHLVL=|_=|PRIMARYD_EPOCH=', line))

    # The daemon's own stop at the end of a lease, then the guard's.
    primary.links.set_mode('silent')
    trial.wait_down(primary)
    by_daemon = told()
    primary.links.set_mode('pass')
    trial.settle()
    trial.ensure_primary(primary)
    os.unlink(path)
    cut_ns = trial.now()
    primary.kill9()
    trial.fail_over(primary, cut_ns)
    assert told() == by_daemon
    assert not [line for line in by_daemon if line.startswith('SECRET=')]


def test_relinquish_fails_once_and_the_daemon_is_dead(trial):
    """Tried again each second, as the daemon does; a lease that leaves the time for it."""
    primary, _ = trial.start(2, **{'zookeeper.session-timeout': '8s', 'relinquish.lease-timeout': '2s'})
    flag = os.path.join(primary.directory, 'failed')
    work.behave(primary, 'relinquish', f'[ -e {flag} ] || {{ touch {flag}; exit 1; }}')
    primary.kill9()
    trial.wait_down(primary)
    assert primary.log_lines('guard: the relinquish command failed: status 1')
    wait_until(lambda: primary.log_lines('guard: the work is down'), 5, lambda: primary.log_tail())
    trial.wait_successor(primary)
    primary.start()
    trial.settle()


# commands that hang when the lease ends

def test_relinquish_hangs_at_the_end_of_the_lease(trial):
    primary, _ = trial.start(2)
    work.behave(primary, 'relinquish', 'sleep 60')
    cut_ns = trial.now()
    primary.links.set_mode('silent')
    successor = trial.fail_over(primary, cut_ns)
    assert primary.log_lines('work_stop_late')
    primary.links.set_mode('pass')
    work.behave(primary, 'relinquish')
    trial.settle(primary=successor.name)


def test_relinquish_hangs_and_the_daemon_is_dead(trial):
    primary, _ = trial.start(2)
    work.behave(primary, 'relinquish', 'sleep 60')
    cut_ns = trial.now()
    primary.kill9()
    successor = trial.fail_over(primary, cut_ns)
    assert primary.log_lines('guard: the relinquish command takes too long')
    work.behave(primary, 'relinquish')
    primary.start()
    trial.settle(primary=successor.name)


@pytest.mark.parametrize('end', ['cut', 'killed', 'frozen'])
def test_takeover_hangs_at_the_end_of_the_lease(trial, end):
    primary, (other,) = trial.start(2)
    work.behave(other, 'takeover', f'{work.worker(other)} start; sleep 60')
    trial.keys.set('primary_node', other.name)
    wait_until(lambda: other.name in trial.working(), 10, lambda: f'it begins its takeover:\n{other.log_tail()}')
    cut_ns = trial.now()
    if end == 'cut':
        other.links.set_mode('silent')
    elif end == 'killed':
        other.kill9()
    else:
        other.sigstop()
    trial.fail_over(other, cut_ns)
    wait_until(lambda: not [pid for pid in other.processes() if process.name_of(pid) == 'sleep'], 5, other.log_tail)
    work.behave(other, 'takeover')
    other.links.set_mode('pass')
    if end == 'killed':
        other.start()
    else:
        other.sigcont()
    trial.settle(primary=primary.name)


# servers

@pytest.mark.parametrize('role', ['follower', 'leader'])
@pytest.mark.parametrize('how', ['killed', 'stopped'])
def test_server_lost(trial, role, how):
    """The one that the primary sits on. Electing a leader may take longer than the lease lasts: then there is a handover,
    in order; else nobody notices."""
    primary, _ = trial.start(2)
    server = trial.ensemble.leader() if role == 'leader' else trial.ensemble.followers()[0]
    trial.move_to(primary, server)
    trial.settle(primary=primary.name)
    lives, epoch = trial.lives(), trial.keys.acting().epoch
    if how == 'killed':
        server.kill9()
    else:
        server.sigstop()
    wait_until(lambda: any(number != server.number for number in primary.links.connected_to()), 10,
               lambda: f'another server is tried:\n{primary.log_tail()}')
    if role == 'follower':
        keepalive = trial.keys.get(f'nodes/{primary.name}/keepalive')
        wait_until(lambda: trial.keys.get(f'nodes/{primary.name}/keepalive') != keepalive, 5, 'the lease is renewed')
        trial.untouched(primary, lives, epoch)
    trial.ensemble.repair()
    trial.settle(timeout=30)
    assert trial.keys.acting().epoch >= epoch
