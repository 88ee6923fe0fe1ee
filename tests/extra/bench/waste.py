#!/usr/bin/python3
"""What the daemon does when there is nothing to do, and in one election: every system call, every wake-up, instructions.

    tests/extra/bench/waste.py [--seconds N] [--keep DIR]

Three nodes on a three-server ensemble; strace is attached to one of them (its guard included) while it is an idle
secondary, an idle primary, and while it wins an election and takes over. A wake-up is a return from the loop's wait.
With valgrind's callgrind another one tells how many instructions its start and an idle second cost. Session timeout 10 s.
"""

import argparse
import collections
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path[:0] = [os.path.join(TOP, 'tests', 'extra', 'bench'), os.path.join(TOP, 'tests', 'integration')]

from cases import RUNTIME, running  # noqa: E402
from lab import zk  # noqa: E402
from lab.wait import wait_until  # noqa: E402

CALL = re.compile(r'^(?:\d+\s+)?(\d+\.\d+) (\w+)\(([^ ,)]*)')
WAITS = {'epoll_wait', 'epoll_pwait', 'poll', 'ppoll', 'select'}

# system call -> what it is for
WHY = {
    'epoll_wait': 'the loop waits', 'epoll_ctl': 'the loop watches for room to send, while there is something to send',
    'read': 'a timer went off, or a log, pipe or file was read', 'sendto': 'a request or a ping to ZooKeeper',
    'recvfrom': 'an answer, or news', 'setsockopt': 'a request goes out in one segment',
    'timerfd_settime': 'when to look again', 'write': 'a line of the log, or a file',
    'clone': 'a command or the guard is started', 'wait4': 'a child ended', 'waitid': 'a child ended',
}


class Strace:
    """strace of a process while the context lasts; `calls` is what it saw: (time in s, name, first argument)."""

    def __init__(self, pid, path, follow):
        self.path = path
        argv = ['strace', '-qq', '-ttt', '-o', path, '-p', str(pid)] + (['-f'] if follow else [])
        self.child = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        self.calls = []

    def __enter__(self):
        wait_until(lambda: os.path.exists(self.path), 10, 'strace is attached')
        time.sleep(0.3)  # it writes its file when it attaches, not when it has attached
        return self

    def __exit__(self, *exc):
        self.child.send_signal(signal.SIGINT)
        self.child.wait()
        with open(self.path, encoding='utf-8', errors='replace') as file:
            for line in file:
                match = CALL.match(line)
                if match:
                    self.calls.append((float(match[1]), match[2], match[3]))


def table(title, calls, seconds):
    print(f'\n{title}, {seconds:.0f} s')
    counts = collections.Counter(name for _, name, _ in calls)
    wakes = sum(counts[name] for name in WAITS)
    print(f'  {wakes} wake-ups, {len(calls)} system calls; a second: {wakes / seconds:.2f}, {len(calls) / seconds:.2f}')
    for name, count in counts.most_common():
        print(f'  {count:5} {name:<18} {WHY.get(name, "")}'.rstrip())


def idle(node, directory, title, seconds):
    path = os.path.join(directory, title.replace(' ', '-'))
    cpu = node.cpu_seconds()
    with Strace(node.pid, path, False) as trace:
        time.sleep(seconds)
    table(title, trace.calls, seconds)
    print(f'  {node.cpu_seconds() - cpu:.2f} s of CPU time, strace\'s share included')


def election(nodes, keys, directory):
    """The primary releases the role; the node that claims it is not known before, so both secondaries are traced."""
    primary = keys.wait_primary()
    others = [node for node in nodes if node.name != primary]
    traces = [Strace(node.pid, os.path.join(directory, f'election-{node.name}'), True) for node in others]
    for trace in traces:
        trace.__enter__()
    begin = time.time()
    keys.set('primary_node', 'none')
    new = keys.wait_primary(other_than=primary)
    took = time.time() - begin
    for trace in traces:
        trace.__exit__()
    for node, trace in zip(others, traces):
        role = 'winner' if node.name == new else 'loser'
        table(f'one election, the {role} with its guard and commands', trace.calls, max(1, took))


def instructions(ensemble, directory, seconds):
    """Instructions of a start and of idle seconds as a secondary, by callgrind: the difference of two runs. Commands cannot be
    run under valgrind (it does not know pidfd_open), so it is a client that is looked at."""
    def run(length):
        out = os.path.join(directory, f'callgrind-{length}')
        config = {'node.mode': 'client', 'takeover.command': None, 'relinquish.command': None}
        with running(ensemble, os.path.join(directory, f'cg{length}'), 1, **config) as (nodes, _, _):
            node = nodes[0]
            node.wait_log('registered')
            node.stop()
            argv = ['valgrind', '--tool=callgrind', f'--callgrind-out-file={out}', '-q', *node.child.args[4:]]
            mark = node.log_mark()
            with open(node.log_path, 'ab') as file:
                child = subprocess.Popen(argv, stdout=file, stderr=file, stdin=subprocess.DEVNULL)
            node.wait_log('registered', 60, mark)
            time.sleep(length)
            child.send_signal(signal.SIGTERM)
            child.wait(60)
        with open(out, encoding='utf-8') as file:
            return int(re.search(r'^(?:totals|summary): (\d+)', file.read(), re.M)[1])
    short, long = run(1), run(1 + seconds)
    print(f'\ninstructions of a client: start and stop {short / 1e6:.1f} million; '
          f'an idle second {(long - short) / seconds / 1e3:.1f} thousand')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=int, default=20, help='how long each idle time is watched')
    parser.add_argument('--keep', metavar='DIR', help='keep the traces')
    options = parser.parse_args()
    if options.keep:
        os.makedirs(options.keep, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='primaryd-waste-', dir=RUNTIME) as scratch, zk.Ensemble(3) as ensemble:
        directory = options.keep or scratch
        with running(ensemble, os.path.join(scratch, 'nodes'), 3) as (nodes, keys, _):
            primary = keys.wait_primary()
            secondary = next(node for node in nodes if node.name != primary)
            idle(secondary, directory, 'an idle secondary', options.seconds)
            idle(next(node for node in nodes if node.name == primary), directory, 'an idle primary', options.seconds)
            election(nodes, keys, directory)
        try:
            instructions(ensemble, os.path.join(scratch), options.seconds)
        except FileNotFoundError:
            print('\ninstructions: valgrind is not here')


if __name__ == '__main__':
    sys.exit(main())
