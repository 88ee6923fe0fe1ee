#!/usr/bin/python3
"""What a session timeout costs, and what it buys.

    tests/extra/bench/profiles.py --hold CONF... [--minutes N] [--busy LOOPS] [--rto-min MS]
    tests/extra/bench/profiles.py --table [SECONDS...]

--hold: for each of these profiles in conf/, three servers and three nodes, each a host of its own, while two (or LOOPS)
busy loops occupy the processors, 2 % of all packets get lost, and once a second the disks of all servers stall for an
eighth of the session timeout. With --rto-min, TCP repeats a lost packet after MS; its least is 200 otherwise. Counts
the moves, and tells how close the lease came to the moment at which the work must stop. Then hosts are lost under the
same conditions. The exit code is 1 if anything moved before.

--table: a row for each session timeout, without any of that: the failover when a host is lost, and the longest pause of
the primary's host and the slowest commit that move nothing.

Needs root. PRIMARYD_BUILD names the build directory under test (default build/gcc).
"""

import argparse
import contextlib
import logging
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path[:0] = [os.path.join(TOP, 'tests', 'extra', 'bench'), os.path.join(TOP, 'tests', 'integration')]

from cases import RUNTIME  # noqa: E402
from lab import netns, view, zk  # noqa: E402
from lab.node import Node, program, read_profile  # noqa: E402
from lab.steps import by_name  # noqa: E402
from lab.wait import Timeout, boottime_ns, wait_until  # noqa: E402
from lab.work import give_work, overlaps, read_work  # noqa: E402

ROWS_S = (0.6, 0.8, 1, 2, 4, 10, 20)
PROFILES = {0.8: 'primaryd-lan.conf', 1: 'primaryd-fast.conf'}
LOSS_PERCENT = 2
SUBNET = '10.77.0.0/24'  # see netns.Network
STALL_PERIOD_MS = 1000
LOST_HOSTS = 5
CONTEXT_LINES = 12
TRIES = 3  # of a pause that moves nothing
MOVED = re.compile(r' (lease_running_out|lease_lost|post_lost|relinquish_started|guard_acts|state_changed: primary)\b')
TROUBLE = ('connection_cut', 'disconnected', 'server_failed', 'session_lost')


def keys_for(session_s):
    """The profile of that session timeout (of the shortest, for a shorter one), or else the defaults, with a lease-timeout in
    proportion."""
    name = PROFILES.get(max(session_s, min(PROFILES)))
    keys = read_profile(name) if name else {'relinquish.lease-timeout': f'{int(300 * session_s)}ms'}
    return {**keys, 'zookeeper.session-timeout': f'{int(1000 * session_s)}ms'}


def milliseconds(text):
    number, unit = re.fullmatch(r'(\d+)(ms|s)', text).groups()
    return int(number) * (1000 if unit == 's' else 1)


def signal_all(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class SlowDisk(netns.Host):
    """A host on which servers have a disk that stalls."""

    def __init__(self, host, path):
        super().__init__(host.namespace, host.name, host.address)
        self.path = path

    def wrap(self, argv):
        return super().wrap(['env', f'LD_PRELOAD={program("tests/extra/bench/libstall.so")}', f'STALL={self.path}', *argv])


class Lab:
    """Three servers and three nodes with these keys, each a host of its own. A context manager."""

    def __init__(self, directory, keys):
        os.makedirs(directory)
        self.session_s = milliseconds(keys['zookeeper.session-timeout']) / 1000
        self.lease_timeout_us = milliseconds(keys['relinquish.lease-timeout']) * 1000
        self.tick_ms = 200 if self.session_s >= 1 else 100
        self.stall_path = os.path.join(directory, 'stall')
        self.event_log = os.path.join(directory, 'events')
        self.stall(0)
        config = {'election.lock-timeout': None, 'election.transition-delay': None, 'relinquish.timeout': '5s', **keys}
        with contextlib.ExitStack() as stack:
            self.network = stack.enter_context(netns.Network(6))
            servers, nodes = self.network.hosts[:3], self.network.hosts[3:]
            self.ensemble = zk.Ensemble(3, tick_ms=self.tick_ms, hosts=[SlowDisk(host, self.stall_path) for host in servers],
                                        extra={'minSessionTimeout': 600})
            stack.enter_context(self.ensemble)
            # On a server's host: its packets do not get lost.
            self.client = view.connect(self.ensemble.servers[0].connect, 60.0, handler=servers[0].kazoo_handler())
            stack.callback(self.client.close)
            stack.callback(self.client.stop)
            self.keys = view.View(self.client, '/profile')
            self.nodes = [Node(f'n{number}', self.ensemble.connect, '/profile', directory, self.event_log, config, host)
                          for number, host in enumerate(nodes, 1)]
            give_work(*self.nodes)
            for node in self.nodes:
                stack.callback(node.close)
                node.start()
            self.settle()
            self.stack = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stack.close()

    def settle(self):
        """Until one node is primary and the others wait; returns the primary."""
        def at_rest():
            name = self.keys.primary()
            states = self.keys.states()
            rest = [node for node in self.nodes if node.name != name]
            if name and all(states.get(node.name) == 'secondary' and
                            self.keys.get(f'nodes/{node.name}/alive') is not None for node in rest):
                return by_name(self.nodes, name)
            return None
        return wait_until(at_rest, 60 + 3 * self.session_s, lambda: f'at rest; {self.keys.summary()}\n' +
                          '\n'.join(node.log_tail() for node in self.nodes), 0.05)

    def stall(self, length_ms, period_ms=0):
        """The disks of the servers from now on, see stall.c."""
        with open(self.stall_path + '.new', 'w', encoding='ascii') as file:
            file.write(f'{length_ms} {period_ms}\n')
        os.rename(self.stall_path + '.new', self.stall_path)

    def lease_left_ms(self):
        """How long until the work must begin to stop if the lease is not renewed; None: no node has one."""
        for node in self.nodes:
            end_us = node.lease_end_us()
            if end_us:
                return (end_us - self.lease_timeout_us) / 1000 - boottime_ns() / 1e6
        return None

    def lose_host(self):
        """kill -9, for good, of everything on the primary's host; milliseconds until the work runs on the next one."""
        lost = self.settle()
        pids = {lost.pid, *lost.processes()}
        killed_ns = boottime_ns()
        signal_all(pids, signal.SIGKILL)
        begun = wait_until(lambda: [life for life in read_work(self.event_log)
                                    if life.node != lost.name and life.begin_ns > killed_ns],
                           60 + 3 * self.session_s, lambda: self.keys.summary(), 0.02)
        lost.wait_exit()
        lost.start()
        self.settle()
        return (begun[0].begin_ns - killed_ns) / 1e6

    def moved_by(self, trouble):
        """Whether the role moved, or the work began to stop, while trouble(node, watch) ran; watch(seconds) waits, but not on
        after that."""
        node = self.settle()
        mark = node.log_mark()

        def moved():
            return MOVED.search(node.log_text()[mark:])

        def watch(seconds):
            with contextlib.suppress(Timeout):
                wait_until(moved, seconds, interval=0.05)
        trouble(node, watch)
        watch(self.session_s / 2 + 0.3)
        return moved() is not None

    def wait_for_old_lease(self):
        """Until just before the next renewal: then the lease has the least time left."""
        margin_ms = max(50, self.session_s * 10)
        fresh_ms = self.session_s * 2000 / 3 - margin_ms - self.lease_timeout_us / 1000
        old_ms = fresh_ms - 0.9 * self.session_s * 1000 / 12
        wait_until(lambda: (self.lease_left_ms() or fresh_ms) <= old_ms, 10, 'the next renewal is due', 0.001)

    def pause(self, length_s):
        """Whether the role moves if the primary's host stands still for so long."""
        def trouble(node, _watch):
            pids = {node.pid, *node.processes()}
            self.wait_for_old_lease()
            signal_all(pids, signal.SIGSTOP)
            time.sleep(length_s)
            signal_all(pids, signal.SIGCONT)
        return any(self.moved_by(trouble) for _ in range(TRIES))

    def slow_commits(self, length_s):
        """(whether the role moves if the servers' disks take so long for each write, the slowest commit in seconds)"""
        slowest = [0]

        def trouble(_node, watch):
            over = threading.Event()

            def write():
                while not over.is_set():
                    begun = time.monotonic()
                    self.client.retry(self.client.ensure_path, '/probe')
                    self.client.retry(self.client.set, '/probe', b'')
                    slowest[0] = max(slowest[0], time.monotonic() - begun)
            writer = threading.Thread(target=write)
            self.stall(int(length_s * 1000))
            writer.start()
            watch(max(5, 2 * self.session_s))
            over.set()
            self.stall(0)
            writer.join()
        return self.moved_by(trouble), slowest[0]


def longest(passes, high):
    """The longest of all lengths below `high` that passes, to a fortieth of it."""
    low, step = 0, high / 40
    while high - low > step:
        middle = (low + high) / 2
        if passes(middle):
            low = middle
        else:
            high = middle
    return low


def table(directory, sessions):
    print('| session timeout T | tick | `lease-timeout` | lost host: next work runs after (median, longest of '
          f'{LOST_HOSTS}) | longest pause | slowest commit (write to disk) |\n|---|---|---|---|---|---|', flush=True)
    for session_s in sessions:
        keys = keys_for(session_s)
        with Lab(os.path.join(directory, f'{session_s}'), keys) as lab:
            lost = [lab.lose_host() / 1000 for _ in range(LOST_HOSTS)]
            pause_s = longest(lambda length_s: not lab.pause(length_s), session_s)
            commits = [(0, 0)]  # that moved nothing

            def passes(length_s):
                moved, slowest_s = lab.slow_commits(length_s)
                if not moved:
                    commits.append((length_s, slowest_s))
                return not moved
            longest(passes, session_s / 4)
            write_s, commit_s = max(commits)
            print(f'| {session_s} s | {lab.tick_ms} ms | {lab.lease_timeout_us // 1000} ms | {statistics.median(lost):.2f}, '
                  f'{max(lost):.2f} s | {pause_s:.2f} s | {commit_s:.2f} s ({write_s:.2f} s) |', flush=True)


class Held:
    """A profile that is held, and what becomes of it."""

    def __init__(self, name, lab, rto_min_ms):
        self.name = name
        self.lab = lab
        self.lives = len(read_work(lab.event_log))
        self.marks = {node: node.log_mark() for node in lab.nodes}
        self.nearest_ms = lab.session_s * 1000
        for host in lab.network.hosts if rto_min_ms else ():
            host.run('ip', 'route', 'change', SUBNET, 'dev', 'eth0', 'rto_min', f'{rto_min_ms}ms')
        lab.network.lose(LOSS_PERCENT)
        lab.stall(int(lab.session_s * 1000 / 8), STALL_PERIOD_MS)

    def sample(self):
        left_ms = self.lab.lease_left_ms()
        if left_ms is not None:
            self.nearest_ms = min(self.nearest_ms, left_ms)

    def said(self):
        return ''.join(node.log_text()[mark:] for node, mark in self.marks.items())

    def context(self):
        """What the nodes said about each move, and just before."""
        for node, mark in self.marks.items():
            lines = node.log_text()[mark:].splitlines()
            told = 0
            for number, line in enumerate(lines):
                if MOVED.search(line):
                    yield from lines[max(told, number - CONTEXT_LINES):number + 1]
                    told = number + 1

    def report(self):
        """Returns whether anything moved."""
        said = self.said()
        moves = [line for line in said.splitlines() if MOVED.search(line)]
        started = len(read_work(self.lab.event_log)) - self.lives
        counts = ', '.join(f'{name} {len(re.findall(f" {name}", said))}' for name in TROUBLE)
        print(f'{self.name}: work started {started} times, {len(moves)} lines about moves; nearest to the stop '
              f'{self.nearest_ms:.0f} ms; packets lost {self.lab.network.lost()}; {counts}')
        for line in self.context():
            print(f'    {line}')
        assert not overlaps(read_work(self.lab.event_log)), 'two at work'
        return bool(started or moves)


@contextlib.contextmanager
def busy_loops(count):
    loops = [subprocess.Popen([sys.executable, '-c', 'while True: pass'], start_new_session=True) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def hold(directory, options):
    """Returns whether anything moved."""
    with contextlib.ExitStack() as stack:
        held = []
        for name in options.hold:
            lab = Lab(os.path.join(directory, os.path.basename(name)), read_profile(name))
            held.append(Held(name, stack.enter_context(lab), options.rto_min))
        stack.enter_context(busy_loops(options.busy))
        loads, late_s, end = [], 0, time.monotonic() + 60 * options.minutes
        while (now := time.monotonic()) < end:
            for one in held:
                one.sample()
            loads.append(os.getloadavg()[0])
            time.sleep(0.02)
            late_s = max(late_s, time.monotonic() - now - 0.02)
        print(f'{options.minutes:g} minutes, load average {min(loads):.1f} to {max(loads):.1f}, mean {statistics.mean(loads):.1f}; '
              f'a sleep of 20 ms came back up to {1000 * late_s:.0f} ms late', flush=True)
        moved = [one.report() for one in held]
        for one in held:
            lost = [one.lab.lose_host() for _ in range(LOST_HOSTS)]
            print(f'{one.name}: lost hosts, next work runs after {", ".join(f"{ms:.0f}" for ms in lost)} ms', flush=True)
        return any(moved)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--hold', nargs='+', metavar='CONF')
    what.add_argument('--table', nargs='*', type=float, metavar='SECONDS')
    parser.add_argument('--minutes', type=float, default=30)
    parser.add_argument('--busy', type=int, default=2, metavar='LOOPS')
    parser.add_argument('--rto-min', type=int, metavar='MS')
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if netns.available():
        sys.exit(f'skipped: {netns.available()}')
    logging.getLogger('kazoo').setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix='primaryd-profiles-', dir=RUNTIME) as directory:
        if options.hold:
            return hold(directory, options)
        sessions = [int(one) if one == int(one) else one for one in options.table or ROWS_S]
        table(directory, sessions)
    return 0


if __name__ == '__main__':
    sys.exit(main())
