"""A cluster whose work is a process, for tests that break things: what happened when, and the bounds it must keep.

Import the fixtures `oracle`, `trial` and `isolated_trial` from here.
"""

import pytest

from . import work
from .oracle import Oracle
from .steps import by_name, others, settle
from .wait import boottime_ns, wait_until

SESSION_S = 2.0
TICK_S = 0.1
DELAY_S = 0.25  # transition-delay

CONFIG = {
    'zookeeper.session-timeout': f'{SESSION_S:g}s',
    'relinquish.lease-timeout': '400ms',
    'relinquish.timeout': '3s',
    'takeover.timeout': '5s',
    'election.lock-timeout': '200ms',
    'election.transition-delay': f'{DELAY_S * 1000:.0f}ms',
    'election.handover-timeout': '1s',
    'election.penalty': '1s',
}

# The work is down before T + tick after the cut: that is the promise. The successor's is up soon after it; how soon is the
# benchmarks' matter, here it is only that nobody waits for one more timeout.
DOWN_S = SESSION_S + TICK_S
UP_S = DOWN_S + DELAY_S + 0.9 * SESSION_S


class WorkOracle(Oracle):
    """Judges by the lives of the work itself: also what a killed command leaves, or kills, is seen."""

    def working(self):
        return work.working(work.read_work(self.path))

    def check(self, killed_after_ns=None):
        """Never two at work; epochs grow."""
        lives = work.read_work(self.path)
        for pair in work.overlaps(lives):
            raise AssertionError('two at work:\n  %s\n  %s\n%s' % (*pair, self.dump()))
        for pair in work.epochs_back(lives):
            raise AssertionError('epoch went back:\n  %s\n  %s\n%s' % (*pair, self.dump()))
        return lives


class Trial:
    """Nodes n1 ... nN behind proxies, at rest with one primary, once start() returns."""

    def __init__(self, make, ensemble, keys, oracle):
        self.make = make
        self.ensemble = ensemble
        self.keys = keys
        self.oracle = oracle
        self.nodes = []

    def add(self, count, proxied=True, **config):
        """More nodes, not started."""
        nodes = self.make(self.ensemble, self.keys, count, start=False, proxied=proxied, **{**CONFIG, **config})
        work.give_work(*nodes)
        self.nodes += nodes
        return nodes

    def start(self, count=2, **options):
        """Returns (primary, the others)."""
        for node in self.add(count, **options):
            node.start()
        return self.settle()

    def settle(self, **options):
        name = settle(self.keys, self, [node for node in self.nodes if node.running()], **options)
        self.check()
        return by_name(self.nodes, name), others(self.nodes, name)

    def ensure_primary(self, node):
        """Hands the role to that node."""
        if self.keys.primary() != node.name:
            self.keys.set('primary_node', node.name)
        self.settle(primary=node.name)

    # what the work did

    def lives(self):
        return work.read_work(self.oracle.path)

    def working(self):
        return self.oracle.working()

    def check(self):
        self.oracle.check()

    def untouched(self, node, lives, epoch=None):
        """The work that ran when `lives` was taken runs on; nothing else happened."""
        now = self.lives()
        assert [life.pid for life in now] == [life.pid for life in lives], f'{lives}\n{now}\n{node.log_tail()}'
        assert now[-1].end_ns is None and now[-1].node == node.name
        if epoch:
            assert self.keys.acting().epoch == epoch

    def wait_down(self, node, timeout=10.0):
        """Until the node's work is down; when that was, in ns."""
        def down():
            last = [life for life in self.lives() if life.node == node.name][-1]
            return last.end_ns
        return wait_until(down, timeout, lambda: f'{node.name} is down\n{node.log_tail()}\n{self.oracle.dump()}')

    def wait_successor(self, node, timeout=20.0):
        """Until another node's work began after the last of this one's; (node, when)."""
        def up():
            lives = self.lives()
            return lives[-1] if lives[-1].node != node.name else None
        life = wait_until(up, timeout, lambda: f'a successor; {self.keys.summary()}\n' +
                          ''.join(one.log_tail() + '\n' for one in self.nodes))
        return by_name(self.nodes, life.node), life.begin_ns

    def fail_over(self, primary, cut_ns, slack_s=0.0):
        """The bounds after the primary was cut off, killed or stopped at cut_ns; returns the successor."""
        down_s = (self.wait_down(primary) - cut_ns) / 1e9
        successor, up_ns = self.wait_successor(primary)
        up_s = (up_ns - cut_ns) / 1e9
        print(f'down after {down_s:.3f} s, up after {up_s:.3f} s')
        self.check()
        assert down_s < DOWN_S, f'{primary.name} was down {down_s:.3f} s after the cut\n{primary.log_tail()}'
        assert up_s < UP_S + slack_s, f'{successor.name} was up {up_s:.3f} s after the cut\n{successor.log_tail()}'
        return successor

    def now(self):
        return boottime_ns()

    def connected_server(self, node):
        """The one server that the node is connected to."""
        numbers = wait_until(node.links.connected_to, 10, f'{node.name} is connected')
        return self.ensemble.servers[numbers[0] - 1]

    def move_to(self, node, server):
        """Makes the node's session sit on that server: the ways to all others are cut for a moment."""
        others_ = [other for other in self.ensemble.servers if other is not server]

        def there():
            if node.links.connected_to() == [server.number]:
                return True
            for other in others_:
                node.links.set_mode('reset', other)
            return False
        wait_until(there, 20, f'{node.name} on server {server.number}', 0.02)
        mark = node.log_mark()
        for other in others_:
            node.links.set_mode('pass', other)
        wait_until(lambda: self.keys.primary() or node.log_text()[mark:], 10)
        assert node.links.connected_to() == [server.number]


@pytest.fixture
def oracle(event_log):
    """In the place of conftest's."""
    return WorkOracle(event_log)


@pytest.fixture
def trial(ensemble, keys, make_cluster, oracle):
    one = Trial(make_cluster, ensemble, keys, oracle)
    yield one
    one.check()


@pytest.fixture
def isolated_trial(isolated_ensemble, isolated_keys, make_cluster, oracle):
    """On servers that can be cut from each other."""
    one = Trial(make_cluster, isolated_ensemble, isolated_keys, oracle)
    yield one
    one.check()
