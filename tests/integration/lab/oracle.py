"""Reads the event log that the nodes' commands write, and judges: never two at work.

A node's work may be running from the moment its takeover command begins until its relinquish command has
ended. Times are CLOCK_BOOTTIME in ns, one clock for all nodes of a machine.
"""

import collections

# One line of the log, see stamp.c. phase: begin, end, fail or term.
Event = collections.namedtuple('Event', 'node event phase time_ns epoch reason pid')

# The time in which a node's work may be running; end_ns is None while it lasts.
Interval = collections.namedtuple('Interval', 'node begin_ns end_ns epoch')


def read_events(path):
    """All whole lines of a log, in the order of time."""
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            lines = file.read().split('\n')[:-1]
    except FileNotFoundError:
        return []
    events = []
    for line in lines:
        node, event, phase, time_ns, epoch, reason, pid = line.split(' ')
        number = int(epoch) if epoch.isdigit() else None
        events.append(Event(node, event, phase, int(time_ns), number, reason, int(pid)))
    return sorted(events, key=lambda event: event.time_ns)


def work_intervals(events, killed_after_ns=None):
    """Intervals by begin. A takeover within an open interval (a restart of the work) continues it.

    A relinquish command that never wrote its end was killed. Work that is killed along with it is down then:
    killed_after_ns says how long after the command's begin that is at the latest. None: it counts as running.
    """
    intervals, open_, stopping = [], {}, {}

    def close(node, end_ns):
        begin = open_.pop(node)
        intervals.append(Interval(node, begin.time_ns, end_ns, begin.epoch))

    for event in events:
        if event.event == 'relinquish':
            if event.phase == 'begin':
                stopping[event.node] = event.time_ns
            elif event.phase in ('end', 'fail'):
                stopping.pop(event.node, None)
                if event.node in open_:
                    close(event.node, event.time_ns)
        elif event.event == 'takeover' and event.phase == 'begin':
            killed_ns = stopping.pop(event.node, None)
            if event.node in open_ and killed_ns is not None and killed_after_ns is not None:
                close(event.node, min(event.time_ns, killed_ns + killed_after_ns))
            open_.setdefault(event.node, event)
    for node in list(open_):
        killed_ns = stopping.get(node)
        close(node, killed_ns + killed_after_ns if killed_ns is not None and killed_after_ns is not None else None)
    return sorted(intervals, key=lambda interval: interval.begin_ns)


def find_overlaps(intervals):
    """Pairs of intervals of two nodes that share a moment."""
    overlaps = []
    for index, first in enumerate(intervals):
        for second in intervals[index + 1:]:
            if second.node != first.node and (first.end_ns is None or second.begin_ns < first.end_ns):
                overlaps.append((first, second))
    return overlaps


class Oracle:
    """The judge of one event log."""

    def __init__(self, path):
        self.path = path
        self.killed_after_ns = None  # for tests in which relinquish commands are killed, see work_intervals()

    def events(self, event=None, phase=None, node=None):
        """Events so far, filtered."""
        return [e for e in read_events(self.path)
                if (event is None or e.event == event) and (phase is None or e.phase == phase)
                and (node is None or e.node == node)]

    def intervals(self, killed_after_ns=None):
        return work_intervals(read_events(self.path), killed_after_ns or self.killed_after_ns)

    def gaps_ms(self):
        """Times in which nobody's work was running: from an interval's end to the next one's begin."""
        intervals = [i for i in self.intervals() if i.end_ns is not None]
        following = self.intervals()[1:]
        return [(after.begin_ns - before.end_ns) / 1e6 for before, after in zip(intervals, following)]

    def working(self):
        """Names of the nodes whose work may be running now; more than one is a fault."""
        return [i.node for i in self.intervals() if i.end_ns is None]

    def check(self, killed_after_ns=None):
        """Asserts that no two nodes worked at once and that epochs grew from holder to holder."""
        intervals = self.intervals(killed_after_ns)
        overlaps = find_overlaps(intervals)
        assert not overlaps, 'two at work:\n' + '\n'.join(f'  {a}\n  {b}' for a, b in overlaps) + '\n' + self.dump()
        last = None
        for interval in intervals:
            if interval.epoch is None:
                continue
            if last is not None:
                grew = interval.epoch > last.epoch or (interval.epoch == last.epoch and interval.node == last.node)
                assert grew, f'epoch went back:\n  {last}\n  {interval}\n{self.dump()}'
            last = interval
        return intervals

    def dump(self, last=40):
        """The log for people: seconds since the first event."""
        events = read_events(self.path)
        return '\n'.join(f'{(e.time_ns - events[0].time_ns) / 1e9:9.4f} {e.node} {e.event} {e.phase} '
                         f'epoch={e.epoch} reason={e.reason} pid={e.pid}' for e in events[-last:])
