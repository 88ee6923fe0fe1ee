"""Fixtures: a shared ensemble, a root of its own for every test, clusters of nodes, and what must be left: nothing."""

import signal
import threading
import uuid

import pytest

from lab import netns, pidns, view, zk
from lab.memory import remember, settle_store
from lab.node import Node, is_built, stop_all
from lab.oracle import Oracle
from lab.process import describe
from lab.wait import wait_until

# A test that takes longer hangs. Marker limit(SECONDS) sets another bound.
TEST_LIMIT_S = 120


def signals_are_ours():
    """Under load execnet may run a worker's tests in another thread: then there are no bounds, but there are tests."""
    return threading.current_thread() is threading.main_thread()


def pytest_configure(config):
    config.addinivalue_line('markers', 'long: for tests/all --long')
    config.addinivalue_line('markers', 'limit(seconds): how long the test may take')
    if not signals_are_ours():
        return
    # Whoever starts the tests in the background may have these ignored; what is started here must not inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """Bounds each test: a hang becomes a failure with a traceback, and what it started is ended."""
    marker = item.get_closest_marker('limit')
    seconds = marker.args[0] if marker else TEST_LIMIT_S

    def on_alarm(*_):
        raise TimeoutError(f'the test ran for more than {seconds} s')
    if not signals_are_ours():
        yield
        return
    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Lets fixtures see whether their test failed."""
    report = (yield).get_result()
    setattr(item, f'report_{report.when}', report)


# the ensemble

@pytest.fixture(scope='session')
def _ensemble():
    with zk.Ensemble(3) as ensemble:
        yield ensemble


@pytest.fixture(scope='session')
def _isolated_ensemble():
    with zk.Ensemble(3, isolate=True) as ensemble:
        yield ensemble


@pytest.fixture(scope='session')
def _client(_ensemble):
    client = view.connect(_ensemble.connect)
    yield client
    client.stop()
    client.close()


@pytest.fixture
def ensemble(_ensemble):
    """Three servers, all of them up; repaired after each test."""
    yield _ensemble
    _ensemble.repair()


@pytest.fixture
def isolated_ensemble(_isolated_ensemble):
    """Three servers that can be cut from each other: ensemble.isolate(server), .heal()."""
    yield _isolated_ensemble
    _isolated_ensemble.repair()


@pytest.fixture
def zk_client(ensemble, _client):
    """A kazoo client of the ensemble."""
    return _client


@pytest.fixture
def isolated_keys(isolated_ensemble):
    """A view with a root of the test's own on that ensemble."""
    client = view.connect(isolated_ensemble.connect)
    keys = view.View(client, f'/t-{uuid.uuid4().hex[:12]}')
    yield keys
    isolated_ensemble.heal()
    client.retry(client.delete, keys.root, recursive=True)
    client.stop()
    client.close()


# one test's own part of it

@pytest.fixture
def root(zk_client):
    """A path of the test's own, used as zookeeper.root; removed afterwards."""
    path = f'/t-{uuid.uuid4().hex[:12]}'
    yield path
    view.View(zk_client, '').delete(path)  # as often as it takes: what was sent before may still arrive


@pytest.fixture
def keys(zk_client, root):
    """The cluster's keys as kazoo sees them: a lab.view.View."""
    return view.View(zk_client, root)


@pytest.fixture
def event_log(tmp_path):
    return str(tmp_path / 'events')


@pytest.fixture
def oracle(event_log):
    """The judge of the test's commands; checked once more when the test is over."""
    return Oracle(event_log)


@pytest.fixture
def make_cluster(request, tmp_path, event_log, oracle):
    """make_cluster(ensemble, keys, n, ...): the factory behind `cluster`, for a test with an ensemble of its own
    (which stands before it among the test's fixtures, so that it outlives the nodes)."""
    for name in ('daemon/primaryd', 'daemon/primaryd-guard', 'tests/integration/stamp'):
        if not is_built(name):
            pytest.skip(f'{name} is not built')
    made, views = [], []

    def make(ensemble, keys, n, start=True, proxied=False, names=None, hosts=None, new=False, **config):
        for index in range(n):
            links = zk.ClientLinks(ensemble) if proxied else None
            made.append(Node(names[index] if names else f'n{len(made) + 1}', (links or ensemble).connect,
                             keys.root or '/', str(tmp_path), event_log, config,
                             hosts[index] if hosts else None, links))
        views.append((ensemble, keys))
        if not new:
            known = settle_store(keys)
            for node in made[-n:]:
                remember(node, *known)
        for node in made[-n:] if start else ():
            node.start()
        return made[-n:]

    yield make
    report = getattr(request.node, 'report_call', None)
    try:
        if report is not None and report.passed:
            check_nothing_left(made, views, oracle)
        else:
            for node in made:
                print(node.log_tail(60))
            print(oracle.dump())
    finally:
        for node in made:
            node.close()


@pytest.fixture
def cluster(ensemble, keys, make_cluster):
    """cluster(n, **{'section.key': value}): n nodes n1, n2, ... on the shared ensemble, started.

    The nodes know the cluster, in which nobody was ever primary; new=True: they do not, and the store is empty, so the
    first takeover waits for a lease. start=False leaves that to the test; proxied=True gives each node `links` to cut; names=[...].
    When the test is over all are stopped and nothing may be left of them.
    """
    def make(n, **options):
        return make_cluster(ensemble, keys, n, **options)
    return make


def check_nothing_left(nodes, views, oracle):
    """Stops what runs; then no process, no ephemeral, no lock node may remain, and no two may have been at work."""
    for ensemble, _ in views:
        ensemble.repair()
    for node in nodes:
        if node.links:
            node.links.set_mode('pass')
    stop_all(nodes)
    for node in nodes:
        assert not node.complaints(), node.log_tail(80)
    for node in nodes:
        wait_until(lambda node=node: not node.processes(), 5,
                   lambda node=node: f'{node.name} leaves {[describe(pid) for pid in node.processes()]}', 0.02)
    killed = [node for node in nodes if node.child and node.child.returncode not in (0, None)]
    for _, keys in views:
        # What a killed daemon held goes with its session.
        wait_until(lambda keys=keys: not keys.ephemerals(), 15 if killed else 2,
                   lambda keys=keys: f'ephemerals left: {keys.ephemerals()}', 0.02)
        assert not keys.lock_nodes(), f'lock nodes left: {keys.lock_nodes()}'
    oracle.check()


@pytest.fixture
def container():
    """A pidns.Container, to be the `host` of nodes; skips where that cannot be had."""
    reason = pidns.available()
    if reason:
        pytest.skip(reason)
    return pidns.Container()


@pytest.fixture
def network():
    """network(n): hosts in namespaces, parted at will; skips where that cannot be had."""
    reason = netns.available()
    if reason:
        pytest.skip(reason)
    opened = []

    def make(size):
        opened.append(netns.Network(size).__enter__())
        return opened[-1]
    yield make
    for one in opened:
        one.close()
