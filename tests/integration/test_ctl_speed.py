"""How many round trips primaryctl takes: counted in units of one measured on the same way, whatever the machine's load."""

import statistics
import time

import pytest

from ctl_shell import REFUSED, Ctl, built
from lab import view, zk
from lab.steps import QUICK, settle

# Speed is measured, on builds without sanitizers.
pytestmark = [pytest.mark.long, pytest.mark.skipif(not built(), reason='ctl/primaryctl is not built')]

DELAY_MS = 40  # each way
NODE_KEYS = {'daemonmode': b'coordinator', 'daemonstate': b'run', 'routerstate': b'secondary', 'health': b'ok', 'keepalive': b'0',
             'alive': b'session=1 boot=x version=0.1.0 host=h pid=1 started=1'}


def timed(function):
    begin = time.monotonic()
    function()
    return time.monotonic() - begin


@pytest.fixture
def slow_links(ensemble):
    links = zk.ClientLinks(ensemble)
    links.set_delay(DELAY_MS)
    yield links
    links.close()


def round_trip(links):
    """Seconds of one, as a client sees it over these links."""
    client = view.connect(links.connect)
    times = [timed(lambda: client.exists('/')) for _ in range(9)]
    client.stop()
    client.close()
    return statistics.median(times)


def populate(client, root, count):
    client.ensure_path(f'{root}/nodes')
    for first in range(0, count, 100):
        batch = client.transaction()
        for number in range(first, min(first + 100, count)):
            batch.create(f'{root}/nodes/n{number:04}')
            for key, value in NODE_KEYS.items():
                batch.create(f'{root}/nodes/n{number:04}/{key}', value)
        assert not [result for result in batch.commit() if isinstance(result, Exception)]


def test_status_of_five_nodes(cluster, keys, oracle, slow_links, root):
    settle(keys, oracle, cluster(5, **QUICK))
    ctl = Ctl(slow_links.connect, root)
    floor = round_trip(slow_links)
    took = statistics.median(timed(lambda: ctl.run('status')) for _ in range(5))
    print(f'status of 5 nodes: {took / floor:.1f} round trips of {floor * 1000:.0f} ms')
    assert took / floor <= 10


def test_status_of_a_thousand_nodes(ensemble, slow_links, root, zk_client):
    populate(zk_client, root, 1000)
    # Round trips are counted, not seconds: a loaded machine may take longer than primaryctl waits by itself.
    direct, distant = (Ctl(one.connect, root, '--timeout', '60s') for one in (ensemble, slow_links))
    floor = round_trip(slow_links)
    near = statistics.median(timed(lambda: direct.run('status', code=REFUSED)) for _ in range(3))
    far = statistics.median(timed(lambda: distant.run('status', code=REFUSED)) for _ in range(3))
    assert len(direct.json('status', code=REFUSED)['nodes']) == 1000

    def by_kazoo():
        reads = [zk_client.get_async(f'{root}/nodes/n{number:04}/{key}') for number in range(1000) for key in NODE_KEYS]
        for read in reads:
            read.get()
    peer = statistics.median(timed(by_kazoo) for _ in range(3))
    print(f'status of 1,000 nodes: {near * 1000:.0f} ms ({near / peer:.2f} of the reads alone by kazoo); '
          f'{(far - near) / floor:.1f} round trips more over a slow network')
    # Pipelined: the distance is paid for a few times, not once a node. The proxies themselves cost what they cost.
    assert (far - near) / floor <= 15
    assert near / peer <= 2
