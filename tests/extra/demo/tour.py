"""The tour without a terminal: every step is done, measured, and checked."""

import time

from lab.node import stop_all
from lab.process import describe
from lab.wait import wait_until
from meter import PAUSE_S, now_s

# No step waits longer for anything.
BOUND_S = 20


class Failed(AssertionError):
    """A check that did not hold."""


def expect(condition, text):
    if not condition:
        raise Failed(text)


class Tour:
    def __init__(self, cluster, make_meter, picture=None):
        self.cluster = cluster
        self.nodes = cluster.nodes
        self.make_meter = make_meter
        self.meter = None
        self.picture = picture  # the file for that of the first failover
        self.number = 0
        self.begin_s = 0.0  # of the step
        self.title = 'start'

    def run(self):
        started = time.monotonic()
        print(f'{"":4}{"what happens":57}{"time":>9}{"gap":>10}  who serves then')
        for step in (self.servers, self.first_election, self.switchover, self.restart, self.failover_kill,
                     self.failover_freeze, self.failover_cut, self.server_dies, self.drain, self.release,
                     self.maintenance, self.orderly_stop, self.all_stop):
            step()
        print(f'\n{self.number} steps in {time.monotonic() - started:.0f} s. Never two at work: '
              f'{len(self.cluster.oracle.intervals())} turns by the log of the work, '
              f'{self.meter.answered} answers by the client.')

    # a step's frame

    def begin(self, title):
        self.number += 1
        self.title = title
        self.begin_s = now_s()
        self.mark = len(self.cluster.oracle.events())

    def end(self, took_s, gap_s=None, who=''):
        gap = '' if gap_s is None else f'{gap_s * 1000:.0f} ms' if gap_s < 1 else f'{gap_s:.2f} s'
        took = f'{took_s * 1000:.0f} ms' if took_s < 1 else f'{took_s:.2f} s'
        print(f'{self.number:2}  {self.title:57}{took:>9}{gap or "-":>10}  {who}', flush=True)

    def settled(self, primary=None, other_than=None):
        """Waits until one node is primary, and its work alone answers; checks that never two did. Returns its name
        and when its work answered first since the step's begin."""
        name = self.cluster.view.wait_primary(primary, other_than, timeout=BOUND_S)
        wait_until(lambda: self.meter.serving() == [name], BOUND_S,
                   lambda: f'only {name} answers; now: {self.meter.serving()}')
        self.check()
        with self.meter.lock:
            first = next(a.time_s for a in self.meter.answers if a.node == name and a.time_s > self.begin_s)
        return name, first

    def check(self):
        self.cluster.oracle.check()
        expect(not self.meter.faults, '; '.join(self.meter.faults[:3]))
        for node in self.nodes.values():
            expect(not node.complaints(), f'{node.name}: {node.complaints()[:3]}')

    def gap_s(self):
        """The longest time of the step in which nobody answered."""
        return max((gap.end_s - gap.begin_s for gap in self.meter.gaps_since(self.begin_s)), default=0.0)

    def moved(self, title, act, primary=None, back=None):
        """A step that ends with another primary: act(old primary's name); back(name) repairs what it broke."""
        old = self.cluster.view.primary()
        self.begin(title.format(old))
        target = act(old)
        new, first = self.settled(primary or target, other_than=old)
        self.end(first - self.begin_s, self.gap_s(), new)
        if back:
            back(old)
            self.cluster.view.wait_state(old, 'secondary', BOUND_S)
            self.wait_alive(old)
            wait_until(lambda: self.cluster.view.get(f'nodes/{old}/health') == 'ok', BOUND_S,
                       lambda: f'{old} healthy; it says: {self.cluster.view.get(f"nodes/{old}/health")}')
            self.settled(new)

    def unmoved(self, title, act, until):
        """A step in which the work is not touched."""
        old = self.cluster.view.primary()
        before = self.cluster.view.acting()
        self.begin(title.format(old))
        act(old)
        wait_until(lambda: until(old), BOUND_S, lambda: f'{self.title}: {self.cluster.view.summary()}')
        took = now_s() - self.begin_s
        self.settled(old)
        expect(self.cluster.view.acting().epoch == before.epoch, 'the epoch changed')
        expect(len(self.cluster.oracle.events()) == self.mark, 'the work was touched')
        gap = self.gap_s()
        self.end(took, gap if gap > PAUSE_S else 0, f'{old}, untouched')

    def wait_alive(self, name, alive=True):
        wait_until(lambda: (self.cluster.view.get(f'nodes/{name}/alive') is not None) == alive, BOUND_S,
                   lambda: f'{name} {"" if alive else "not "}alive; {self.cluster.view.summary()}')

    # what is done to a primary; None: whoever takes over is right

    def kill(self, name):
        self.nodes[name].kill9()

    def freeze(self, name):
        self.nodes[name].sigstop()

    def stop(self, name):
        self.nodes[name].stop()

    # the steps

    def servers(self):
        count = len(self.cluster.ensemble.servers)
        self.begin(f'ZooKeeper: {count} server{"s" * (count > 1)} on this machine')
        self.cluster.start_ensemble()
        self.cluster.make_nodes()
        self.end(now_s() - self.begin_s)

    def first_election(self):
        self.meter = self.make_meter()
        self.begin(f'{len(self.nodes)} nodes start; one claims the vacant role')
        for node in self.nodes.values():
            node.start()
        name, first = self.settled()
        self.end(first - self.begin_s, None, name)
        for name in self.nodes:
            self.wait_alive(name)

    def switchover(self):
        self.moved('an operator names the next node', lambda old: self.cluster.switchover())

    def restart(self):
        def act(old):
            mark = self.nodes[old].log_mark()
            self.nodes[old].kill9()
            self.nodes[old].start()
            self.resumed = lambda: 'session_resumed:' in self.nodes[old].log_text()[mark:]
        self.unmoved('kill -9 of the primary daemon, started again at once', act, lambda _: self.resumed())

    def failover_kill(self):
        def back(old):
            if self.picture:
                self.cluster.draw_failover(self.picture)
            self.nodes[old].start()
        self.moved('kill -9 of the primary daemon ({}), for good', self.kill, back=back)

    def failover_freeze(self):
        self.moved('SIGSTOP of the primary daemon ({})', self.freeze,
                   back=lambda old: self.nodes[old].sigcont())

    def failover_cut(self):
        self.moved('the primary ({}) is cut off from ZooKeeper', self.cluster.cut, back=self.cluster.heal)

    def server_dies(self):
        servers = self.cluster.ensemble.servers
        if len(servers) < 3:
            return

        def act(_):
            self.leader = self.cluster.ensemble.leader()
            self.leader.kill9()

        def renewed(name):
            keepalive = self.cluster.view.get(f'nodes/{name}/keepalive')
            if self.seen is None:
                self.seen = keepalive
            return self.cluster.ensemble.leader() and keepalive != self.seen
        self.seen = None
        self.unmoved('the leading ZooKeeper server is killed', act, renewed)
        self.leader.restart()

    def drain(self):
        self.moved('the primary ({}) is drained', lambda old: self.cluster.drain(old, True),
                   back=lambda old: self.cluster.drain(old, False))

    def release(self):
        old = self.cluster.view.primary()
        epoch = self.cluster.view.acting().epoch
        self.begin('the role is released: another node claims it')
        self.cluster.release()
        wait_until(lambda: self.cluster.desired()[0] not in ('', old), BOUND_S, self.cluster.view.summary)
        new, first = self.settled(other_than=old)
        expect(self.cluster.view.acting().epoch > epoch, 'the epoch did not grow')
        self.end(first - self.begin_s, self.gap_s(), new)

    def maintenance(self):
        old = self.cluster.view.primary()
        self.cluster.maintenance(True)
        self.begin(f'maintenance; the primary ({old}) stops: nobody follows')
        self.nodes[old].stop()
        took = now_s() - self.begin_s
        expect(not self.cluster.view.acting(), 'somebody acts')
        expect(not self.cluster.desired()[0], 'somebody is named')
        expect(not self.cluster.oracle.working(), 'somebody works')
        self.check()
        self.end(took, None, 'nobody')
        self.begin('maintenance is over: the vacancy is filled')
        self.cluster.maintenance(False)
        new, first = self.settled(other_than=old)
        self.end(first - self.begin_s, None, new)
        self.nodes[old].start()
        self.wait_alive(old)

    def orderly_stop(self):
        self.moved('the primary daemon ({}) is told to stop', self.stop)

    def all_stop(self):
        self.begin('all stop')
        stop_all(self.nodes.values(), BOUND_S)
        took = now_s() - self.begin_s
        self.check()
        expect(not self.cluster.oracle.working(), f'still at work: {self.cluster.oracle.working()}')
        expect(not self.cluster.view.ephemerals(), f'left in ZooKeeper: {self.cluster.view.ephemerals()}')
        expect(not self.cluster.view.lock_nodes(), f'left in ZooKeeper: {self.cluster.view.lock_nodes()}')

        def left():
            return [pid for node in self.nodes.values() for pid in node.processes()]
        wait_until(lambda: not left(), 5, lambda: f'processes left: {[describe(pid) for pid in left()]}')
        self.end(took, None, 'nobody; nothing is left')
