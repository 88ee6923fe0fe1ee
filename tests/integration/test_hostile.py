"""What a daemon may be born into, and what may be taken from it."""

import shutil
import subprocess

import pytest

from lab import process
from lab.steps import QUICK, others, settle, vacate
from lab.wait import wait_until
from zkh_stranger import Stranger, greeting, receive


class Launcher:
    """Stands for a host: the daemon is started by way of a line of Python that sees the command in argv."""

    def __init__(self, line):
        self.line = line

    def wrap(self, argv):
        return ['/usr/bin/python3', '-c', f'import os, signal, sys; {self.line}; os.execv(sys.argv[1], sys.argv[1:])',
                *argv]


def test_signals_ignored(cluster, keys, oracle):
    """As under a parent that reaps nobody: commands and guard are waited for all the same."""
    launcher = Launcher('[signal.signal(s, signal.SIG_IGN) for s in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP)]')
    nodes = cluster(2, **QUICK, hosts=[launcher] * 2)
    primary = settle(keys, oracle, nodes)
    vacate(keys)
    settle(keys, oracle, nodes, other_than=primary)


def test_descriptors_closed(cluster, keys, oracle):
    """What is opened in their place must not be taken for a log, nor the lock of a reload for none."""
    nodes = cluster(2, **QUICK, hosts=[Launcher('os.closerange(0, 3)')] * 2)
    primary = settle(keys, oracle, nodes)
    lives = len(oracle.events('takeover', 'begin'))
    for node in nodes:
        alive = keys.get(f'nodes/{node.name}/alive')
        node.reload()
        if node.name == primary:
            wait_until(lambda node=node, alive=alive: keys.get(f'nodes/{node.name}/alive') != alive, 10,
                       'the new image says since when it runs')
        assert node.running()
    settle(keys, oracle, nodes, primary=primary)
    assert len(oracle.events('takeover', 'begin')) == lives
    vacate(keys)
    settle(keys, oracle, nodes, other_than=primary)
    assert all(node.running() for node in nodes)


def freeze(node, call):
    """The node's daemon freezes for 8 s when it comes to the next system call of that name. Returns the tracer."""
    tracer = subprocess.Popen(['strace', '-qq', '-o', '/dev/null', '-e', f'trace={call}', '-e',
                               f'inject={call}:delay_enter=8s:when=1', '-p', str(node.pid)])
    wait_until(lambda: process.is_traced(node.pid), 5, 'it is traced')
    return tracer


@pytest.mark.skipif(not shutil.which('strace'), reason='no strace')
@pytest.mark.parametrize('call', ['timerfd_create', 'setpgid'], ids=['before the fork', 'after the fork'])
def test_frozen_in_the_middle_of_a_start(cluster, keys, oracle, call):
    """Between the last look at the clock and the fork: what is forked looks for itself. After it: the guard finds what was
    forked. (The daemon makes a timer for a command, and a group, and does neither for the guard or for its memory.)"""
    # Time enough for the guard's relinquish command, and for the other node to take over before the frozen one goes on.
    nodes = cluster(2, **QUICK, **{'zookeeper.session-timeout': '4s', 'relinquish.lease-timeout': '1s'})
    primary = settle(keys, oracle, nodes)
    [other] = others(nodes, primary)
    other.set_command('takeover', '--hang')
    tracer = freeze(other, call)
    try:
        keys.set('primary_node', other.name)
        wait_until(lambda: keys.state(other.name) == 'takeover', 10, other.log_tail)
        other.wait_log('guard: .* the end of the lease')
        begun = {event.pid for event in oracle.events('takeover', 'begin', other.name)}
        assert len(begun) == (call == 'setpgid') and not begun & set(other.processes()), other.log_tail()
        # Nobody knows that it has started nothing: the longest term is waited for.
        wait_until(lambda: keys.primary() == primary and oracle.working() == [primary], 60, other.log_tail)
        other.wait_log('command_failed: takeover command (killed|could not be started)', 20)
    finally:
        tracer.terminate()
        tracer.wait()
    settle(keys, oracle, nodes, primary=primary)
    assert {event.pid for event in oracle.events('takeover', node=other.name)} == begun
    assert not oracle.events('takeover', 'end', other.name)


def test_absurd_session_timeout(cluster):
    """A server that grants -1 ms is refused and said; the daemon lives."""
    with Stranger(lambda sock, *_: (sock.sendall(greeting(-1)), receive(sock))) as stranger:
        [node] = cluster(1, **QUICK, **{'zookeeper.servers': stranger.connect})
        node.wait_log('server_failed: .*granted an absurd session timeout of -1 ms')
        wait_until(lambda: stranger.connections >= 3, 10, node.log_tail)
        assert node.running()
        node.stop()
