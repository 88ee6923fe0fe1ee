"""What was where and when, as the hosts and ZooKeeper have it, and not as the daemons tell."""

import glob
import os
import threading

from kazoo.exceptions import KazooException
from lab.wait import boottime_ns
from machine import groups_of

SAMPLE_S = 0.02


class Spans:
    """For each name the times in which something held: [begin, end] in ns; end None while it lasts."""

    def __init__(self):
        self.of = {}

    def note(self, name, holds, now):
        spans = self.of.setdefault(name, [])
        is_open = bool(spans) and spans[-1][1] is None
        if holds and not is_open:
            spans.append([now, None])
        elif is_open and not holds:
            spans[-1][1] = now


def missing(spans, others, now):
    """The parts of these spans that none of the others covers: (begin, end)."""
    found = []
    for begin, end in spans:
        at, end = begin, end or now
        for other_begin, other_end in others:
            if other_begin > at:
                found.append((at, min(other_begin, end)))
            at = max(at, other_end or now)
        found.append((at, end))
    return [(begin, end) for begin, end in found if begin < end]


def touches(span, others):
    """Whether any of the others has a moment in common with it."""
    begin, end = span
    return any(other_begin < end and (other_end is None or other_end > begin) for other_begin, other_end in others)


class Witness:
    """Samples who is primary, who is off, and which processes of the work run on which machine."""

    def __init__(self, site, unit):
        self.site, self.unit = site, unit
        self.primary, self.work, self.off = Spans(), Spans(), Spans()
        self.twice = []  # texts
        self._paths = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name='witness', daemon=True)

    def start(self):
        self._thread.start()
        return self

    def alive(self):
        """Whether it still looks."""
        return self._thread.is_alive()

    def close(self):
        self._end.set()
        self._thread.join(5)

    def _run(self):
        while not self._end.wait(SAMPLE_S):
            self._look()

    def _look(self):
        name = self._acting_name()
        now = boottime_ns()
        for one in self.site.machines:
            self.primary.note(one.name, one.name == name, now)
            self.off.note(one.name, not one.is_on(), now)
        running = {one.name: self._processes(one) for one in self.site.machines}
        for one, processes in running.items():
            self.work.note(one, bool(processes), boottime_ns())
        found = [one for one in self.site.machines if running[one.name]]
        # The first one's ran before the second one was looked at, and afterwards.
        if len(found) > 1 and running[found[0].name] & self._processes(found[0]):
            self.twice.append(f'{self.unit} on {found[0].name} and {found[1].name}, {now / 1e9:.3f}')

    def _acting_name(self):
        """Of the one that is primary, and has not begun to stop; '': none."""
        keys = self.site.keys
        try:
            words = keys.get('/primary_active')[0].decode().split()
            return words[0] if words and keys.get(f'/nodes/{words[0]}/routerstate')[0] == b'primary' else ''
        except KazooException:
            return ''

    def _processes(self, one):
        path = self._paths.get(one)
        if path is None or not os.path.exists(path):
            paths = [path for group in groups_of(one.name) for path in glob.glob(f'{group}/**/{self.unit}/cgroup.procs', recursive=True)]
            path = self._paths[one] = paths[0] if paths else None
        if path is None:
            return set()
        try:
            with open(path, encoding='ascii') as file:
                return set(file.read().split())
        except OSError:
            return set()
