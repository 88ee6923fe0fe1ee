"""An unclean takeover: who died acting is fenced before the work starts again, once and surely."""

import os
import signal

import pytest

from lab import work
from lab.process import name_of
from lab.steps import by_name
from lab.trial import DELAY_S, DOWN_S, oracle, trial  # noqa: F401 (fixtures)
from lab.wait import wait_until


def start(trial, count, before='', **config):
    """Nodes with a fence command that notes whom it is told to fence, and runs `before` first."""
    for node in trial.add(count, **config):
        node.write_config(**{'fence.command': fence(node, before)})
        node.start()
    return trial.settle()


def fence(node, before=''):
    note = f'echo "$PRIMARYD_TARGET" >> {node.directory}/fenced; {before}'
    return work.behave(node, 'fence', note)


def fenced(node):
    """Whom this node's fence command was told to fence."""
    try:
        with open(f'{node.directory}/fenced', encoding='ascii') as file:
            return file.read().split()
    except FileNotFoundError:
        return []


def promised_s(trial, node):
    """How long others wait for this node's term."""
    return int(trial.keys.get(f'nodes/{node.name}/keepalive').split()[1]) / 1e6


def test_one_died(trial):
    primary, (other,) = start(trial, 2)
    primary.kill9()
    successor, up_ns = trial.wait_successor(primary)
    trial.settle(primary=other.name)
    assert fenced(successor) == [primary.name]
    [event] = trial.oracle.events('fence', 'end')
    assert trial.wait_down(primary) < event.time_ns < up_ns
    assert trial.keys.node(primary.name)['daemonstate'] == 'fenced'
    # Nobody is fenced twice, nor who left in order.
    primary.start()
    trial.settle(primary=other.name)
    other.stop()
    trial.settle(primary=primary.name)
    assert not fenced(primary)


def test_secondary_that_died_is_not_fenced(trial):
    primary, rest = start(trial, 3)
    rest[0].kill9()
    wait_until(lambda: trial.keys.get(f'nodes/{rest[0].name}/alive') is None, 10)
    trial.keys.set('primary_node', rest[1].name)
    trial.settle(primary=rest[1].name)
    assert not any(fenced(node) for node in trial.nodes)
    rest[0].start()
    trial.settle()


def test_slow_fence(trial):
    primary, (other,) = start(trial, 2, before='sleep 1', **{'fence.timeout': '10s'})
    primary.kill9()
    _, up_ns = trial.wait_successor(primary)
    [event] = trial.oracle.events('fence', 'end')
    assert event.time_ns < up_ns
    trial.settle(primary=other.name)
    assert fenced(other) == [primary.name]


def test_acquire_delay(trial):
    primary, (other,) = start(trial, 2, **{'takeover.acquire-delay': '800ms'})
    primary.kill9()
    trial.wait_successor(primary)
    [event] = trial.oracle.events('fence', 'begin')
    [move] = other.log_lines('recover -> begin')
    assert int(move.rpartition('usec=')[2]) >= 800000, move
    assert event.node == other.name
    trial.settle(primary=other.name)


@pytest.mark.parametrize('how', ['exit 1', 'sleep 60'])
def test_failure_stop(trial, how):
    """No takeover until the fence works; said, tried again after a penalty, and done once it does."""
    primary, (other,) = start(trial, 2, before=how, **{'fence.timeout': '500ms', 'fence.failure': 'stop'})
    primary.kill9()
    wait_until(lambda: len(fenced(other)) >= 2, 20, lambda: f'it tries again:\n{other.log_tail()}')
    assert not trial.oracle.events('takeover', node=other.name)
    assert other.log_lines('fence_failed|command_failed|command_killed') and other.log_lines('takeover_failed')
    assert trial.keys.state(primary.name) == 'primary', 'the trace of the dead one stays'
    fence(other)
    trial.settle(primary=other.name)
    assert set(fenced(other)) == {primary.name}


@pytest.mark.parametrize('how', ['exit 1', 'sleep 60'])
def test_failure_continue(trial, how):
    primary, (other,) = start(trial, 2, before=how, **{'fence.timeout': '500ms', 'fence.failure': 'continue'})
    cut_ns = trial.now()
    primary.kill9()
    _, up_ns = trial.wait_successor(primary)
    assert (up_ns - cut_ns) / 1e9 < DOWN_S + DELAY_S + 0.5 + 1.0
    trial.settle(primary=other.name)
    assert fenced(other) == [primary.name]
    assert trial.keys.node(primary.name)['daemonstate'] == 'dead'


@pytest.mark.parametrize('guard', ['guarded', 'guard dead'])
def test_chain(trial, guard):
    """The fencer dies before it has fenced: the next one must fence both."""
    primary, rest = start(trial, 3, before='sleep 60', **{'fence.timeout': '30s'})
    primary.kill9()
    second = wait_until(lambda: next((node for node in rest if fenced(node)), None), 15, 'somebody fences')
    if guard != 'guarded':
        for pid in work.find_guards(second):
            os.kill(pid, signal.SIGKILL)
    [third] = [node for node in rest if node is not second]
    fence(third)
    # Whom it would have to wait for, it knows by then: the third one need not wait for the longest term.
    wait_until(lambda: promised_s(trial, second) < DOWN_S, 5, lambda: promised_s(trial, second))
    second.kill9()
    trial.wait_successor(primary)
    assert sorted(fenced(third)) == sorted([primary.name, second.name])
    assert not trial.oracle.events('takeover', node=second.name)
    for node in (primary, second):
        assert trial.keys.node(node.name)['daemonstate'] == 'fenced'
        fence(node)
        node.start()
    trial.settle(primary=third.name)


def test_debt_is_passed_on(trial):
    """The second waits for a term that nobody can read, and dies: the third waits no shorter, though the second did not work."""
    primary, rest = start(trial, 3)
    trial.keys.client.delete(trial.keys.path(f'nodes/{primary.name}/keepalive'))
    primary.kill9()
    second = wait_until(lambda: next((node for node in rest if trial.keys.state(node.name) == 'takeover'), None), 15,
                        'somebody takes over')
    wait_until(lambda: promised_s(trial, second) > 20, 5, lambda: promised_s(trial, second))
    [third] = [node for node in rest if node is not second]
    second.kill9()
    said = third.wait_log(f'corpse_found: {second.name} .*its lease is over in ([0-9.]+)s', 15)
    assert float(said.group(1)) > 26.7 - 2 * DOWN_S - 5, said.group(0)
    assert not trial.oracle.events('takeover', node=third.name)
    second.start()
    wait_until(lambda: trial.keys.state(second.name) == 'secondary', 15, second.log_tail)


def test_fencer_comes_back(trial):
    # kill -9 in the middle of the fence, and a restart: it fences again, or another does.
    primary, rest = start(trial, 2, before='sleep 60', **{'fence.timeout': '30s'})
    [other] = rest
    primary.kill9()
    wait_until(lambda: fenced(other), 15)
    other.kill9()
    fence(other)
    other.start()
    # The process that knew whom to wait for is gone: the longest term is waited for.
    trial.settle(primary=other.name, timeout=60)
    assert set(fenced(other)) == {primary.name}
    wait_until(lambda: not [pid for pid in other.processes() if name_of(pid) == 'sleep'], 5,
               'the fence command of the process before has ended')


def test_corpse_comes_back_while_it_is_fenced(trial):
    # It runs again, and has stopped its work: then there is nothing left to fence, however that ends.
    primary, (other,) = start(trial, 2, before='sleep 60', **{'fence.timeout': '2s', 'fence.failure': 'stop'})
    primary.kill9()
    wait_until(lambda: fenced(other), 15)
    primary.start()
    trial.settle(timeout=30)
    assert by_name(trial.nodes, trial.keys.primary())
