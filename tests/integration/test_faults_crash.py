"""kill -9 at each write, before it is sent and after its answer has come: always exactly one primary in the end.

The trials of one test run side by side, each with a root, nodes and a log of its own.
"""

import os
import time

import pytest

from lab.memory import remember, settle_store
from lab.node import Node, is_built, program
from lab.process import describe
from lab.steps import QUICK
from lab.trial import CONFIG, WorkOracle
from lab.view import View
from lab.wait import Timeout
from lab.work import give_work

MOMENTS = ('before', 'after')
RESTARTS = ('at once', 'late', 'never')
TRIAL_S = 45.0  # a takeover that died before it started anything may leave the longest term to wait for: 26.7 s


def needs_fault_points():
    with open(program('daemon/primaryd'), 'rb') as file:
        if b'PRIMARYD_FAULT_POINT' not in file.read():
            pytest.skip('needs a build with -Dfault-points=true')


class Crash:
    """One trial: a generator whose steps wait for what they yield."""

    def __init__(self, point, restart, ensemble, client, directory):
        self.name = f'{point}, restart {restart}'
        self.point, self.restart = point, restart
        self.directory = os.path.join(directory, point)
        os.makedirs(self.directory)
        self.keys = View(client, f'/crash-{os.path.basename(directory)}-{point}')
        self.oracle = WorkOracle(os.path.join(self.directory, 'events'))
        self.victim, self.other = (
            Node(name, ensemble.connect, self.keys.root, self.directory, self.oracle.path, {**CONFIG, **QUICK})
            for name in ('victim', 'other'))
        give_work(self.victim, self.other)
        self.nodes = [self.victim, self.other]
        known = settle_store(self.keys)
        for node in self.nodes:
            remember(node, *known)
        self.what = 'begin'

    def until(self, predicate, what):
        self.what = what
        return predicate

    def primary(self, node):
        return self.until(lambda: self.keys.primary() == node.name, f'{node.name} is primary')

    def dead(self):
        return self.until(lambda: not self.victim.running(), f'the victim dies at {self.point}')

    def steps(self):
        self.victim.start({'PRIMARYD_FAULT_POINT': self.point})
        yield from getattr(self, '_to_' + self.point.partition('.')[0].replace('-', '_'))()
        yield self.dead()
        assert self.victim.child.returncode == -9
        if not self.other.running():
            self.other.start()
        if self.restart == 'late':
            yield self.until(lambda: self.keys.get('nodes/victim/alive') is None, 'its session expires')
        if self.restart != 'never':
            mark = self.victim.log_mark()
            self.victim.start()
            # What the keys say before that may be of its former life.
            yield self.until(lambda: ' connected: ' in self.victim.log_text()[mark:], 'it is back')
        running = [node for node in self.nodes if node.running()]
        names = {node.name for node in running}

        def at_rest():
            name = self.keys.primary()
            return name in names and self.oracle.working() == [name] and not self.keys.lock_nodes() and all(
                self.keys.state(other) == 'secondary' and self.keys.get(f'nodes/{other}/alive')
                for other in names - {name})
        yield self.until(at_rest, 'one primary, the other at rest')
        for node in running:
            node.child.terminate()
        yield self.until(lambda: not any(node.running() for node in self.nodes), 'all end')
        assert all(node.child.returncode == 0 for node in running), self.tell()
        # A guard on standby has nothing to stop, and goes when its time has come.
        yield self.until(lambda: not any(node.processes() for node in running), 'nothing is left')
        self.oracle.check()

    # how it comes to the point

    def _to_register(self):
        yield from ()

    _to_create_key = _to_claim = _to_enter = _to_renew = _to_register

    def _to_reclaim(self):
        yield self.primary(self.victim)
        self.keys.set('primary_node', 'none')

    def _to_hand_back(self):
        yield self.primary(self.victim)
        self.other.start()
        yield self.until(lambda: self.keys.state('other') == 'secondary', 'the other waits')
        self.keys.set('nodes/victim/drain', '')

    def _to_leave(self):
        yield self.primary(self.victim)
        self.other.start()
        yield self.until(lambda: self.keys.state('other') == 'secondary', 'the other waits')
        self.keys.set('primary_node', 'other')

    def tell(self):
        left = [describe(pid) for node in self.nodes for pid in node.processes()]
        return (f'{self.name}: {self.what}\n{self.keys.summary()}\nat work: {self.oracle.working()} processes: {left}\n'
                f'{self.oracle.dump()}\n' + '\n'.join(node.log_tail(20) for node in self.nodes))


def run_side_by_side(trials, bound_s):
    """Each as far as it gets; returns what failed, as texts."""
    failed, end = [], time.monotonic() + bound_s
    waiting = {}
    for trial in trials:
        steps = trial.steps()
        waiting[trial] = (steps, next(steps))
    while waiting and time.monotonic() < end:
        for trial, (steps, predicate) in list(waiting.items()):
            try:
                if predicate():
                    waiting[trial] = (steps, next(steps))
            except StopIteration:
                del waiting[trial]
            except (AssertionError, Timeout) as error:
                failed.append(f'{trial.name}: {error}')
                del waiting[trial]
        time.sleep(0.01)
    return failed + [f'not within {bound_s} s: {trial.tell()}' for trial in waiting]


@pytest.mark.parametrize('restart', RESTARTS)
@pytest.mark.parametrize('moment', MOMENTS)
def test_killed_at(ensemble, zk_client, tmp_path, moment, restart):
    for name in ('daemon/primaryd', 'daemon/primaryd-guard', 'tests/integration/stamp', 'tests/integration/worker'):
        if not is_built(name):
            pytest.skip(f'{name} is not built')
    needs_fault_points()
    points = ('register', 'create-key', 'claim', 'enter', 'renew', 'reclaim', 'hand-back', 'leave')
    trials = [Crash(f'{point}.{moment}', restart, ensemble, zk_client, str(tmp_path)) for point in points]
    try:
        failed = run_side_by_side(trials, TRIAL_S)
    finally:
        for trial in trials:
            for node in trial.nodes:
                node.close()
            trial.keys.delete('')
    assert not failed, '\n'.join(failed)



def test_own_lock_node_is_removed(cluster, keys):
    """Killed as it held the lock, and started again: the session goes on, so nobody but itself can remove that node."""
    needs_fault_points()
    [node] = cluster(1, start=False, **{**QUICK, 'zookeeper.session-timeout': '30s'})
    node.start({'PRIMARYD_FAULT_POINT': 'claim.before'})
    assert node.wait_exit() == -9
    assert len(keys.lock_nodes()) == 1
    node.start()
    keys.wait_primary('n1')  # long before that session could end
    assert not keys.lock_nodes()


def test_own_lock_node_is_removed_later(cluster, keys):
    """The connection is lost before that is done: it is done with the next one."""
    needs_fault_points()
    [node] = cluster(1, start=False, proxied=True, **{**QUICK, 'zookeeper.session-timeout': '30s'})
    node.start({'PRIMARYD_FAULT_POINT': 'claim.before'})
    assert node.wait_exit() == -9
    assert len(keys.lock_nodes()) == 1
    node.links.set_delay(300)  # for the answers
    node.start()
    node.wait_log('connected: same session')
    node.links.set_mode('reset')
    node.links.set_delay(0)
    node.links.set_mode('pass')
    keys.wait_primary('n1')
    assert not keys.lock_nodes()
