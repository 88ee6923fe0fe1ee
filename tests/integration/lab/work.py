"""Work that is a process (worker.c), and its lives as the event log tells them."""

import glob
import os
import re

from .node import program


def worker(node):
    """The worker's command line for a node, but for start or stop."""
    return (f'{program("tests/integration/worker")} --log {node.event_log} '
            f'--lock {os.path.join(node.directory, "work")}')


def behave(node, event, before=''):
    """How a node's takeover, relinquish or other command acts from now on: `before` is shell that runs first; then stamp
    notes it; then the work is started or stopped."""
    action = {'takeover': 'start', 'relinquish': 'stop'}.get(event)
    after = f'exec {worker(node)} {action}' if action else ''
    return node.set_command(event, before=before, after=after)


def give_work(*nodes):
    for node in nodes:
        behave(node, 'takeover')
        behave(node, 'relinquish')


def is_session_leader(pid):
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def find_guards(node):
    """Pids of a node's guards."""
    found = []
    for path in glob.glob('/proc/[0-9]*/cmdline'):
        try:
            with open(path, 'rb') as file:
                argv = file.read().split(b'\0')
        except OSError:
            continue
        pid = int(path.split('/')[2])
        # The process that writes its log is not the leader of a session.
        if os.path.basename(argv[0]) == b'primaryd-guard' and node.runtime_directory.encode() in argv and is_session_leader(pid):
            found.append(pid)
    return found


WORK_LINE = re.compile(r'^(\S+) work (begin|end) (\d+) (\S+) - (\d+)$')


class Life:
    """One life of a work process; end_ns is None while it lasts."""

    def __init__(self, node, pid, begin_ns, epoch):
        self.node, self.pid, self.begin_ns, self.epoch = node, pid, begin_ns, epoch
        self.end_ns = None

    def __repr__(self):
        end = f'{self.end_ns / 1e9:.6f}' if self.end_ns else '...'
        return f'{self.node} worked from {self.begin_ns / 1e9:.6f} to {end} (epoch {self.epoch}, pid {self.pid})'


def read_work(path):
    """All lives, by begin."""
    lives, running = [], {}
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        match = WORK_LINE.match(line)
        if not match:
            continue
        node, phase, time_ns, epoch, pid = match.groups()
        if phase == 'begin':
            life = Life(node, int(pid), int(time_ns), int(epoch) if epoch.isdigit() else 0)
            lives.append(life)
            running[node, pid] = life
        elif (node, pid) in running:
            running.pop((node, pid)).end_ns = int(time_ns)
    return sorted(lives, key=lambda life: life.begin_ns)


def working(lives):
    return sorted({life.node for life in lives if life.end_ns is None})


def overlaps(lives):
    """Pairs of lives that share a moment: on two nodes, or twice on one."""
    found = []
    last = None  # the one that ends last so far
    for life in lives:
        if last and (last.end_ns is None or life.begin_ns < last.end_ns):
            found.append((last, life))
        if last is None or last.end_ns is not None and (life.end_ns is None or life.end_ns > last.end_ns):
            last = life
    return found


def epochs_back(lives):
    """Pairs of lives between which the epoch did not grow (or stay, on one node)."""
    return [(before, after) for before, after in zip(lives, lives[1:])
            if after.epoch < before.epoch or after.epoch == before.epoch and after.node != before.node]


def gaps(lives):
    """(from, to) in ns of the times in which nobody was at work, between the first life and the last."""
    found, end = [], None
    for life in lives:
        if end is not None and life.begin_ns > end:
            found.append((end, life.begin_ns))
        if life.end_ns is None:
            return found
        end = max(end or 0, life.end_ns)
    return found
