"""What the cluster says of itself: its keys, by watches, and the nodes' logs. The view is drawn from these."""

import collections
import re
import threading
import time

from cluster import ROOT
from meter import now_s

NAME = re.compile(r'^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$')
LEAVES = ('daemonmode', 'daemonstate', 'routerstate', 'alive', 'drain', 'health', 'keepalive')

# TIME NODE [LEVEL] EVENT: SENTENCE FIELD=VALUE...
LINE = re.compile(r'^\S+T(?P<time>[\d:.]{12})\S* (?P<node>\S+) (?:(?P<level>emergency|alert|critical|error|warning|'
                  r'notice|debug) )?(?P<event>[a-z_]+): (?P<rest>.*)$')
GUARD_LINE = re.compile(r'^\S+T(?P<time>[\d:.]{12})\S* (?P<rest>guard: .*)$')
FIELD = re.compile(r' (?P<key>primary|epoch|state|target|reason|usec)=(?P<value>"(?:[^"\\]|\\.)*"|\S*)')

# Of the log's events, those that tell little to somebody who watches.
QUIET = {'state_changed', 'command_ended', 'server_failed', 'guard_started', 'started'}

Line = collections.namedtuple('Line', 'time node level event text fields')


def clock():
    """The time as the log writes it."""
    now = time.time()
    return time.strftime('%H:%M:%S', time.localtime(now)) + f'.{int(now * 1000) % 1000:03}'


def parse_line(node, text):
    """A line of a node's log as a Line, or None."""
    match = LINE.match(text)
    if not match:
        guard = GUARD_LINE.match(text)  # these have no event and no fields
        return Line(guard['time'], node, 'warning', 'guard', guard['rest'], {}) if guard else None
    rest = match['rest']
    fields = {field['key']: field['value'].strip('"') for field in FIELD.finditer(rest)}
    first = FIELD.search(rest)
    sentence = rest[:first.start()] if first else rest
    return Line(match['time'], match['node'], match['level'] or 'info', match['event'], sentence, fields)


class Log:
    """Follows one file that grows."""

    def __init__(self, node, path):
        self.node, self.path = node, path
        self.offset, self.rest = 0, b''

    def read(self):
        """What was added since the last call, as Lines."""
        try:
            with open(self.path, 'rb') as file:
                file.seek(self.offset)
                data = file.read()
        except OSError:
            return []
        self.offset += len(data)
        lines = (self.rest + data).split(b'\n')
        self.rest = lines.pop()
        parsed = (parse_line(self.node, line.decode(errors='replace')) for line in lines)
        return [line for line in parsed if line]


class Observer:
    """Keeps `keys`, {path below the root: text}, up to date by ZooKeeper's watches."""

    def __init__(self, cluster, on_change=lambda: None):
        self.cluster = cluster
        self.on_change = on_change
        self.lock = threading.Lock()
        self.keys = {}
        self.known = set()
        self.phases = {name: '' for name in cluster.nodes}
        self.logs = [Log(name, node.log_path) for name, node in cluster.nodes.items()]
        for key in ('primary_node', 'primary_active', 'maintenance'):
            self._watch(key)
        cluster.client.ChildrenWatch(f'{ROOT}/nodes', self._on_nodes)

    def _watch(self, key):
        @self.cluster.client.DataWatch(f'{ROOT}/{key}')
        def changed(data, stat, event=None):
            with self.lock:
                self.keys[key] = data.decode(errors='replace') if stat is not None and data is not None else None
            self.on_change()

    def _on_nodes(self, names):
        for name in names:
            if NAME.match(name) and name not in self.known:
                self.known.add(name)
                for leaf in LEAVES:
                    self._watch(f'nodes/{name}/{leaf}')

    def get(self, key):
        with self.lock:
            return self.keys.get(key)

    def node(self, name, leaf):
        return self.get(f'nodes/{name}/{leaf}')

    def acting(self):
        """(name, epoch) of the acting primary; ('', 0)."""
        words = (self.get('primary_active') or '').split()
        return (words[0], int(words[1])) if len(words) == 2 and words[1].isdigit() else ('', 0)

    def desired(self):
        name = self.get('primary_node') or ''
        return '' if name == 'none' else name

    def read_logs(self):
        """New lines of all nodes, in the order of their times; phases are kept up to date by the way."""
        lines = [line for log in self.logs for line in log.read()]
        lines.sort(key=lambda line: line.time)
        for line in lines:
            if line.event == 'state_changed':
                self.phases[line.node] = line.fields.get('state', '')
        return lines

    def lease_left_s(self, name):
        """What is left of a node's lease; None: it has none."""
        end_us = self.cluster.nodes[name].lease_end_us()
        return end_us / 1e6 - now_s() if end_us else None
