"""What tests/bench/run measures."""

import collections
import contextlib
import os
import statistics
import subprocess
import time
import uuid

from lab import view, zk
from lab.node import Node, program, stop_all
from lab.oracle import Oracle
from lab.wait import wait_until

# A runtime directory is a tmpfs where primaryd is a service; so it is here.
RUNTIME = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None

# One line of the table. ok: within its bound, or without one.
Row = collections.namedtuple('Row', 'what median high ratio bound ok')


def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def row(what, values_us, floor_us=None, bound=None):
    """A row of times. floor_us: what they are compared with; bound: the highest ratio of the medians."""
    median = statistics.median(values_us)
    ratio = median / floor_us if floor_us else None
    return Row(what, f'{median / 1000:.2f} ms', f'{percentile(values_us, 99) / 1000:.2f} ms',
               f'{ratio:.2f}' if ratio else '', f'<= {bound}' if bound else '', not bound or ratio <= bound)


@contextlib.contextmanager
def running(ensemble, directory, count, **config):
    """`count` nodes under a root of their own; all stopped in the end."""
    os.makedirs(directory)
    client = view.connect(ensemble.connect)
    keys = view.View(client, f'/b-{uuid.uuid4().hex[:12]}')
    log = os.path.join(directory, 'events')
    # No shell in between: its start would be counted as ours.
    stamp = f'{program("tests/integration/stamp")} --log {log}'
    config = {'zookeeper.session-timeout': '10s', 'relinquish.lease-timeout': '3s', 'takeover.command': stamp,
              'relinquish.command': stamp, **config}
    nodes = [Node(f'n{i + 1}', ensemble.connect, keys.root, directory, log, config) for i in range(count)]
    for node in nodes:
        node.start()
    try:
        yield nodes, keys, Oracle(log)
        stop_all(nodes)
    finally:
        for node in nodes:
            node.close()
        client.retry(client.delete, keys.root, recursive=True)
        client.stop()
        client.close()


def claims(ensemble, keys, rounds):
    """(floor, claim) in us, `rounds` of them."""
    output = subprocess.run([program('tests/bench/bench_claim'), ensemble.connect, keys.root, str(rounds)],
                            check=True, stdout=subprocess.PIPE, text=True).stdout
    return [tuple(map(int, line.split())) for line in output.splitlines()]


def bench_claim(ensemble, directory, quick):
    """Vacancy to committed claim against the floor of two writes one after the other."""
    rows = []
    for contenders in (3, 7):
        with running(ensemble, f'{directory}-{contenders}', contenders) as (_, keys, _):
            wait_until(lambda keys=keys, n=contenders: list(keys.states().values()).count('secondary') >= n - 1 and
                       keys.primary(), 20, 'all registered')
            pairs = claims(ensemble, keys, 30 if quick else 100)
        floors, times = zip(*pairs)
        rows.append(row(f'floor beside it: two writes ({contenders} nodes)', floors))
        rows.append(row(f'vacancy to claim, {contenders} contenders', times, statistics.median(floors), 1.5))
    return rows


def bench_handover(ensemble, directory, quick):
    """End of the old node's stop command to the start of the new one's start command, against one write."""
    gaps, writes = [], []
    with running(ensemble, directory, 3) as (nodes, keys, oracle):
        for _ in range(5 if quick else 30):
            old = keys.wait_primary()
            node = next(node for node in nodes if node.name != old)
            new, mark = node.name, node.log_mark()
            keys.set('primary_node', new)
            # Its log, not its keys: an observer that asks the servers again and again would be measured, too.
            node.wait_log('primary: the work is running', since=mark)
            events = oracle.events()
            end = max(e.time_ns for e in events if (e.node, e.event, e.phase) == (old, 'relinquish', 'end'))
            begin = max(e.time_ns for e in events if (e.node, e.event, e.phase) == (new, 'takeover', 'begin'))
            gaps.append((begin - end) / 1000)
            writes += single_writes(ensemble, keys)
    return [row('floor beside it: one write after silence', writes),
            row('handover, stop ended to start begun', gaps, statistics.median(writes), 3)]


def single_writes(ensemble, keys):
    """Times of a few writes in us, each after half a second of silence, on a root where nothing runs."""
    root = keys.root + '-floor'
    keys.client.ensure_path(f'{root}/primary_node')
    output = subprocess.run([program('tests/bench/bench_claim'), ensemble.connect, root, '3', '--one-write'],
                            check=True, stdout=subprocess.PIPE, text=True).stdout
    return [int(line.split()[0]) for line in output.splitlines()]


def bench_memory(ensemble, directory, quick):
    """Resident memory after the first 100 elections and after 1,000."""
    with running(ensemble, directory, 3) as (nodes, keys, _):
        keys.wait_primary()
        claims(ensemble, keys, 100)
        before = [node.rss_kib() for node in nodes]
        claims(ensemble, keys, 200 if quick else 900)
        growth = max(node.rss_kib() - b for node, b in zip(nodes, before))
    return [Row('memory of a node after 100 elections', f'{max(before)} KiB', '', '', '', True),
            Row(f'its growth over {200 if quick else 900} more', f'{growth} KiB', '', '', '<= 256 KiB', growth <= 256)]


def bench_status(ensemble, directory, quick):
    """primaryctl status, process start and session included, against one round trip on the same slow way."""
    delay_ms = 20  # each way
    links = zk.ClientLinks(ensemble)
    links.set_delay(delay_ms)
    times = []
    try:
        with running(ensemble, directory, 5) as (_, keys, _):
            keys.wait_primary()
            wait_until(lambda: all(keys.get(f'nodes/n{n}/alive') for n in range(1, 6)), 20, 'all registered')
            client = view.connect(links.connect)
            floor = statistics.median(_timed_us(client.exists, '/') for _ in range(20))
            client.stop()
            client.close()
            argv = [program('ctl/primaryctl'), '--servers', links.connect, '--root', keys.root, 'status']
            for _ in range(5 if quick else 20):
                times.append(_timed_us(subprocess.run, argv, check=True, stdout=subprocess.DEVNULL))
    finally:
        links.close()
    return [row(f'floor beside it: one round trip, slowed by {2 * delay_ms} ms', [floor]),
            row('primaryctl status, 5 nodes', times, floor, 10)]


def _timed_us(function, *args, **kwargs):
    begin = time.monotonic_ns()
    function(*args, **kwargs)
    return (time.monotonic_ns() - begin) / 1000


BENCHES = {'claim': bench_claim, 'handover': bench_handover, 'memory': bench_memory, 'status': bench_status}
