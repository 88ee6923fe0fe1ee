"""What the service manager is told: ready, a sentence, the watchdog, reload, stop."""

import os
import re
import shutil
import signal
import socket
import time

import pytest

from lab.node import Node
from lab.notify import Manager
from lab.ports import free_port
from lab.steps import QUICK, by_name
from lab.wait import wait_until

pytestmark = pytest.mark.usefixtures('ensemble')


@pytest.fixture
def manager(tmp_path):
    return Manager(str(tmp_path / 'notify'))


def start(node, manager, watchdog_us=None):
    environment = {'NOTIFY_SOCKET': manager.path}
    if watchdog_us:
        environment['WATCHDOG_USEC'] = str(watchdog_us)
    return node.start(environment)


def test_life(cluster, keys, manager):
    """Ready when registered, then the truth in a sentence, to the end."""
    [node] = cluster(1, start=False, **QUICK)
    start(node, manager, 400000)
    # Which of the two depends on whether the stop at the start or the connection is faster.
    manager.wait('^STATUS=(Connecting to|Registering with) ZooKeeper at 127')
    ready, _ = manager.wait('^READY=1$')
    wait_until(lambda: keys.node('n1').get('alive'), 5, 'alive')  # our server may lag behind
    manager.wait(f'^STATUS=Primary, epoch {keys.wait_primary() and keys.acting().epoch}, lease good for \\d+ s$', ready)
    assert manager.count('READY=1') == 1
    fed = manager.count('WATCHDOG=1')
    wait_until(lambda: manager.count('WATCHDOG=1') > fed + 3, 10, 'the watchdog is fed', 0.05)
    # A reload: the same process says that it reloads, then that it is ready.
    node.reload()
    begin, _ = manager.wait('^RELOADING=1$', ready)
    assert any(re.fullmatch(r'MONOTONIC_USEC=\d+', line) for line in manager.heard[begin])
    again, _ = manager.wait('^READY=1$', begin)
    manager.wait('^STATUS=Primary, epoch', again)
    node.stop()
    _, extend = manager.wait('^EXTEND_TIMEOUT_USEC=')
    assert int(extend.split('=')[1]) > 10_000_000
    assert manager.count('STOPPING=1') == 1


def test_secondary_is_silent(cluster, keys, manager):
    """Without a watchdog nothing is sent while nothing changes."""
    nodes = cluster(2, start=False, **QUICK)
    nodes[0].start()
    keys.wait_primary('n1')
    start(nodes[1], manager)
    manager.wait('^STATUS=Secondary: n1 is primary$')
    said = len(manager.messages())
    keys.set('nodes/n1/health', 'ok')  # of no interest to n2
    counter = keys.get('nodes/n1/keepalive')
    wait_until(lambda: keys.get('nodes/n1/keepalive') != counter, 10, 'a renewal')
    assert len(manager.messages()) == said
    keys.set('primary_node', 'n2')
    manager.wait('^STATUS=Primary, epoch', said)
    assert by_name(nodes, 'n2').running()


def test_what_keeps_it_back(cluster, keys, manager):
    """A secondary that would not fill a vacancy says why, and one that is named says for whom it waits. The watchdog finds
    that a penalty is over, of which nothing else tells."""
    nodes = cluster(2, start=False, **QUICK)
    nodes[0].start()
    keys.wait_primary('n1')
    start(nodes[1], manager, 400000)
    since, _ = manager.wait('^STATUS=Secondary: n1 is primary$')
    for path, value, text in (('nodes/n2/drain', '', 'drained'), ('maintenance', 'true', 'maintenance: only operators move the role')):
        keys.set(path, value)
        since, _ = manager.wait(f'^STATUS=Secondary: n1 is primary; {text}$', since)
        keys.delete(path)
        since, _ = manager.wait('^STATUS=Secondary: n1 is primary$', since)
    nodes[0].set_command('relinquish', '--sleep 500')
    by_name(nodes, 'n2').set_command('takeover', '--fail 1')
    keys.set('primary_node', 'n2')
    since, _ = manager.wait('^STATUS=Named primary: waiting until n1 has released the post$', since)
    since, _ = manager.wait(r'^STATUS=Secondary: .* is primary; in the penalty after a failed takeover until 20\d\d-', since)
    manager.wait('^STATUS=Secondary: n1 is primary$', since)


def test_no_ensemble(make_cluster, manager, tmp_path):
    """Not ready without a server, and it says what it waits for, but a boot is not held up by that for ever; a manager that does
    not listen harms nobody."""
    node = Node('n1', f'127.0.0.1:{free_port()}', '/x', str(tmp_path), str(tmp_path / 'events'))
    start(node, manager)
    manager.wait('^STATUS=Connecting to ZooKeeper')
    node.wait_log(' server_failed: ')
    assert not manager.count('READY=1')
    manager.wait('^READY=1$', timeout=40)
    node.stop()
    os.unlink(manager.path)
    mark = node.log_mark()
    start(node, manager)
    node.wait_log(' server_failed: ', since=mark)
    node.stop()
    node.close()


def test_reload_before_it_is_ready(manager, tmp_path):
    """What a package upgrade sends to a daemon without a server: the binary is executed anew, and says nothing of being ready."""
    node = Node('n1', f'127.0.0.1:{free_port()}', '/x', str(tmp_path), str(tmp_path / 'events'))
    start(node, manager)
    node.wait_log(' server_failed: ')
    mark, since = node.log_mark(), len(manager.messages())
    node.reload()
    node.wait_log(' reload: re-executing (.*\n)+.* server_failed: ', since=mark)
    manager.wait('^STATUS=Connecting to ZooKeeper', since)
    assert not manager.count('READY=1') and not manager.count('RELOADING=1')
    node.stop()
    node.close()


def test_runtime_directory_lost(cluster, manager):
    """The sentence says what a restart would do, until there was one."""
    node = start(cluster(1, start=False, **QUICK)[0], manager)
    manager.wait('^READY=1$')
    since = len(manager.messages())
    shutil.rmtree(node.runtime_directory)
    number, _ = manager.wait('^STATUS=.*; a restart would stop the work, see the log$', since)
    node.kill9()
    start(node, manager)
    manager.wait('^STATUS=Primary(?!.*restart)', number + 1)


def test_busy_manager(cluster, manager):
    """One whose queue is full when the node is ready, and when it stops, is told as soon as there is room."""
    [node] = cluster(1, start=False, **QUICK)

    def fill():
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as other:
            try:
                while True:
                    other.sendto(b'X_NOISE=1', manager.path)
            except BlockingIOError:
                pass
    fill()
    start(node, manager)
    node.wait_log(' primary: ')
    ready, _ = manager.wait('^READY=1$')
    assert manager.count('READY=1') == 1
    fill()
    mark = node.log_mark()
    node.reload()
    node.wait_log('session_resumed', since=mark)
    manager.wait('^READY=1$', ready + 1)


def test_taken_directory(cluster, keys, manager):
    """Under a manager that would start it again at once, a second daemon waits, in silence, until the first is gone."""
    first, second = cluster(2, start=False, **QUICK)
    second.write_config(**{'node.runtime-directory': first.runtime_directory})
    first.start()
    keys.wait_primary(first.name)
    start(second, manager)
    manager.wait(f'^STATUS=Waiting: .*pid {first.pid}')
    assert len(second.log_lines('.')) == 1 and second.log_lines(f' waiting: .*pid {first.pid}'), second.log_text()
    assert not manager.count('READY=1') and keys.acting().node == first.name
    first.stop()
    manager.wait('^READY=1$')
    second.wait_log(' primary: ')


def test_taken_directory_and_stopped(cluster, keys, manager):
    """Nothing is begun yet: a signal ends it at once, and the first one sees nothing of it."""
    first, second = cluster(2, start=False, **QUICK)
    second.write_config(**{'node.runtime-directory': first.runtime_directory})
    first.start()
    keys.wait_primary(first.name)
    start(second, manager)
    manager.wait('^STATUS=Waiting: .* is in use by another primaryd')
    second.child.send_signal(signal.SIGTERM)
    assert second.wait_exit() == -signal.SIGTERM
    assert keys.acting().node == first.name


def test_pause_before_the_end(make_cluster, manager, tmp_path):
    """Who cannot start tells the manager, and does not make it start the daemon ten times a second."""
    node = Node('n1', f'127.0.0.1:{free_port()}', '/x', str(tmp_path), str(tmp_path / 'events'))
    node.write_config(**{'node.runtime-directory': __file__})  # not a directory
    begin = time.monotonic()
    start(node, manager)
    manager.wait(r'^STATUS=Cannot continue \(see the log\); trying again')
    assert node.wait_exit() == 73
    assert time.monotonic() - begin > 1.9
    since = len(manager.messages())
    start(node, manager)
    manager.wait('^STATUS=Cannot continue', since)
    node.child.send_signal(signal.SIGTERM)
    assert node.wait_exit() in (73, -signal.SIGTERM)
    node.close()


def fed_while(manager, since, times, what):
    """The watchdog is fed so many times more from then on."""
    fed = manager.count('WATCHDOG=1')
    wait_until(lambda: manager.count('WATCHDOG=1') >= fed + times, 20, what, 0.02)
    return [line for lines in manager.messages()[since:] for line in lines if line.startswith('STATUS=')]


def test_watchdog_while_commands_take_long(cluster, keys, manager, tmp_path):
    """A takeover, a relinquish and a health command that do not end: the loop turns, and the sentence tells what it waits for."""
    [node] = cluster(1, start=False, **QUICK, **{'takeover.timeout': '60s', 'relinquish.timeout': '60s', 'health.timeout': '60s'})
    go = {name: tmp_path / f'go-{name}' for name in ('takeover', 'relinquish', 'health')}
    for name, path in go.items():
        node.set_command(name, before=f'until [ -e {path} ]; do sleep 0.05; done')
    node.write_config(**{'health.command': os.path.join(node.directory, 'health')})
    go['relinquish'].touch()
    go['health'].touch()
    start(node, manager, 400000)
    since, _ = manager.wait('^STATUS=Taking over: starting the work, epoch')
    manager.wait('^READY=1$')
    said = fed_while(manager, since, 5, 'fed during the takeover')
    assert all('lease good for' in line for line in said[1:]), said
    go['takeover'].touch()
    since, _ = manager.wait('^STATUS=Primary, epoch', since)
    go['health'].unlink()
    said = fed_while(manager, since, 5, 'fed while the health command hangs')
    assert said[-1].startswith('STATUS=Primary, epoch')
    go['relinquish'].unlink()
    node.child.send_signal(signal.SIGTERM)
    manager.wait('^STOPPING=1$')
    since, _ = manager.wait('^STATUS=Stopping the work: ')
    fed_while(manager, since, 5, 'fed during the relinquish')
    assert node.running()
    go['relinquish'].touch()
    go['health'].touch()
    assert node.wait_exit() == 0
