"""primaryd-http: what curl, HAProxy and Prometheus are told of real nodes, and what bad clients get."""

import contextlib
import http.server
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

from ctl_shell import Ctl
from lab import process
from lab.http import Endpoint
from lab.node import TOP, is_built
from lab.ports import free_port
from lab.prometheus import Prometheus
from lab.trial import oracle, trial  # noqa: F401 (fixtures)
from lab.wait import boottime_ns, wait_until

pytestmark = pytest.mark.skipif(not is_built('http/primaryd-http'), reason='primaryd-http is not built (libmicrohttpd-dev)')

RULES = os.path.join(TOP, 'conf', 'prometheus')
RSS_MAX_KIB = 6 * 1024


@pytest.fixture
def endpoints(trial):
    """endpoints(count, ...): a cluster at rest; returns {node's name: Endpoint}, primary and secondaries."""
    with contextlib.ExitStack() as stack:
        def make(count, **options):
            primary, others = trial.start(count, **options)
            return {node.name: stack.enter_context(Endpoint(node)) for node in trial.nodes}, primary, others
        yield make


def needs(program):
    return pytest.mark.skipif(not shutil.which(program), reason=f'needs {program} (tests/packages.sh)')


YES = {'primary': {'/', '/primary', '/leader', '/read-write', '/health', '/readiness', '/liveness'},
       'secondary': {'/secondary', '/replica', '/read-only', '/health', '/readiness', '/liveness'}}


def answers(endpoint):
    """The paths of checks that are answered with yes."""
    codes = {path: endpoint.code(path) for path in YES['primary'] | YES['secondary']}
    assert set(codes.values()) <= {200, 503}
    return {path for path, code in codes.items() if code == 200}


def test_checks(trial, endpoints):
    at, primary, (secondary,) = endpoints(2)
    assert answers(at[primary.name]) == YES['primary']
    assert answers(at[secondary.name]) == YES['secondary']
    # As clients ask: with and without a body, by each method; HAProxy's own check, which has no Host.
    code, headers, text = at[primary.name].ask('/primary')
    body = json.loads(text)
    assert body['known'] and body['is_primary'] and body['node'] == body['primary'] == primary.name
    assert body['epoch'] == int(headers['Primaryd-Epoch']) == trial.keys.acting().epoch and headers['Cache-Control'] == 'no-store'
    assert at[primary.name].ask('/primary', 'HEAD')[::2] == (200, '')
    assert at[primary.name].raw(b'OPTIONS / HTTP/1.0\r\n\r\n').split()[1] == b'200'
    assert at[secondary.name].raw(b'OPTIONS / HTTP/1.0\r\n\r\n').split()[1] == b'503'
    code, _, text = at[secondary.name].ask('/primary')
    assert code == 503 and json.loads(text)['reason'] == 'this node is not primary'
    page = json.loads(at[secondary.name].ask('/status')[2])
    assert page['state'] == 'secondary' and page['primary'] == primary.name and page['healthy'] and not page['drained']
    # What changes.
    trial.keys.set(f'nodes/{secondary.name}/drain', 'x')
    wait_until(lambda: answers(at[secondary.name]) == {'/health', '/readiness', '/liveness'}, 5)
    trial.keys.delete(f'nodes/{secondary.name}/drain')
    wait_until(lambda: answers(at[secondary.name]) == YES['secondary'], 5)
    secondary.sigstop()
    wait_until(lambda: not answers(at[secondary.name]), 10, 'a daemon that hangs is told as such')
    secondary.sigcont()
    wait_until(lambda: answers(at[secondary.name]) == YES['secondary'], 10, secondary.log_tail)
    secondary.stop()
    assert not answers(at[secondary.name])
    with Endpoint(secondary, page='/no/such/page') as nowhere:
        assert nowhere.code() == 503 and nowhere.code('/status') == 200 and nowhere.metrics() == {'primaryd_up': 0.0}


def parse_is_clean(endpoint):
    if shutil.which('promtool'):
        done = subprocess.run(['promtool', 'check', 'metrics'], input=endpoint.ask('/metrics')[2], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout


def test_metrics(trial, endpoints):
    at, primary, (secondary,) = endpoints(2)
    seen = at[primary.name].metrics()
    parse_is_clean(at[primary.name])
    assert seen['primaryd_primary'] == seen['primaryd_up'] == seen['primaryd_guard_up'] == 1
    assert seen['primaryd_state{state="primary"}'] == 1 and seen['primaryd_state{state="secondary"}'] == 0
    assert seen['primaryd_epoch'] == trial.keys.acting().epoch and seen['primaryd_session_timeout_seconds'] == 2
    assert 0 < seen['primaryd_lease_remaining_seconds'] < 4 / 3
    assert seen['primaryd_takeovers_total{result="ok"}'] == seen['primaryd_takeover_seconds_count'] == 1
    assert seen['primaryd_node_info{node="%s",root="%s",mode="coordinator"}' % (primary.name, trial.keys.root)] == 1
    assert at[secondary.name].metrics()['primaryd_primary'] == 0
    # The same for a collector of text files, but for what time changes.
    text = Ctl(None, None, '--config', primary.config_path).run('metrics').stdout
    assert {line.rsplit(' ', 1)[0] for line in text.splitlines()} == {
        line.rsplit(' ', 1)[0] for line in at[primary.name].ask('/metrics')[2].splitlines()}
    # Counters go on through a reload, a crash, and a stop by the guard.
    claims = seen['primaryd_claims_total']
    for again in (primary.reload, lambda: (primary.kill9(), primary.start())):
        mark = primary.log_mark()
        again()
        primary.wait_log('still primary', since=mark)
    assert at[primary.name].metrics()['primaryd_claims_total'] == claims
    wait_until(lambda: at[primary.name].metrics()['primaryd_lease_renewals_total{result="ok"}'] >
               seen['primaryd_lease_renewals_total{result="ok"}'], 5)
    primary.kill9()
    trial.wait_down(primary)
    trial.wait_successor(primary)
    primary.start()
    trial.settle(primary=secondary.name)
    after = at[primary.name].metrics()
    assert after['primaryd_guard_stops_total'] == 1 and after['primaryd_claims_total'] == claims
    trial.ensure_primary(primary)
    after = at[secondary.name].metrics()
    assert after['primaryd_relinquishes_total{reason="superseded"}'] == 1 and after['primaryd_takeovers_total{result="ok"}'] == 1


BAD = [b'', b'\r\n\r\n', b'GET', b'GET /\r\n\r\n', b'\x16\x03\x01\x02\x00\x01' * 50, b'GET / HTTP/9.9\r\n\r\n',
       b'GET http://[ HTTP/1.1\r\nHost: \0\r\n\r\n', b'GET /' + b'a' * 10000 + b' HTTP/1.1\r\n\r\n',
       b'GET / HTTP/1.1\r\n' + b'X: y\r\n' * 2000 + b'\r\n', b'POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\nx',
       b'GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n', b'GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
       b'GET /%00%ff%2e%2e/etc/passwd HTTP/1.0\r\n\r\n', b'BREW /primary HTTP/1.0\r\n\r\n']


def test_bad_clients(endpoints):
    """Whatever they send or leave unsent, others are answered at once, and the daemon notices nothing."""
    at, primary, _ = endpoints(1)
    endpoint = at[primary.name]
    assert endpoint.code('/no/such/path') == 404
    code, headers, _ = endpoint.ask('/primary', 'DELETE')
    assert code == 405 and headers['Allow'] == 'GET, HEAD, OPTIONS'
    for data in BAD:
        with socket.create_connection(('127.0.0.1', endpoint.port), 10) as connection:
            with contextlib.suppress(OSError):  # it may be closed before everything is sent
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                received = connection.recv(65536)
                assert not received or re.match(rb'HTTP/1\.[01] (200|400|404|405|413|414|431|503|505) ', received), (data[:60], received)
        assert endpoint.code() == 200, data[:60]

    def median_ms(count=40):
        times = []
        for _ in range(count):
            begin = time.monotonic()
            assert endpoint.code('/primary') == 200
            times.append((time.monotonic() - begin) * 1000)
        return statistics.median(times)
    before = median_ms()
    with contextlib.ExitStack() as stack:
        for number in range(200):
            connection = stack.enter_context(socket.create_connection(('127.0.0.1', endpoint.port), 10))
            if number % 4 == 0:
                connection.sendall(b'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n' * 20)  # and does not read
        assert median_ms() < before + 20

    def status(name):
        return int(process.status_of(endpoint.child.pid)[name][0])

    def sleeps():
        then = status('voluntary_ctxt_switches')
        time.sleep(0.5)
        return status('voluntary_ctxt_switches') == then
    wait_until(sleeps, 10, 'nothing wakes it when nobody asks')
    if 'asan' not in os.environ.get('PRIMARYD_BUILD', ''):
        assert status('VmRSS') <= RSS_MAX_KIB
    assert not primary.complaints()


# HAProxy

class Backend:
    """What runs with the work of a node, as HAProxy sees it: says which node that is."""

    def __init__(self, name):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.port = self.server.server_port


def haproxy_config(port, servers):
    """The example, with a port and servers of this test, and faster checks."""
    with open(os.path.join(TOP, 'conf', 'examples', 'haproxy.cfg'), encoding='ascii') as file:
        lines = [line for line in file.read().replace('bind :5432', f'bind 127.0.0.1:{port}').replace('inter 1s', 'inter 50ms')
                 .splitlines() if not line.startswith('\tserver ')]
    return '\n'.join(lines + servers) + '\n'


class Traffic:
    """Asks through HAProxy all the time; who answered when."""

    def __init__(self, port):
        self.url = f'http://127.0.0.1:{port}/'
        self.seen = []  # (boottime_ns, name or None)

    def ask(self):
        try:
            with urllib.request.urlopen(self.url, timeout=5) as response:
                name = response.read().decode()
        except (urllib.error.URLError, ConnectionError):
            name = None
        self.seen.append((boottime_ns(), name))
        return name

    def reaches(self, node):
        return wait_until(lambda: self.ask() == node.name, 20, lambda: f'{node.name} is asked; lately {self.seen[-5:]}', 0.01)


SLACK_NS = int(0.4e9)  # of a check under load: its interval, and the time until it is answered


@needs('haproxy')
def test_haproxy(trial, endpoints, tmp_path):
    at, primary, _ = endpoints(3)
    backends = {name: Backend(name) for name in at}
    port = free_port()
    config = tmp_path / 'haproxy.cfg'
    config.write_text(haproxy_config(port, [f'\tserver {name} 127.0.0.1:{backends[name].port} port {at[name].port}' for name in at]))
    child = process.spawn(['haproxy', '-db', '-f', config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        traffic = Traffic(port)
        # Until its first check HAProxy takes a server for one that is up.
        wait_until(lambda: {traffic.ask() for _ in range(10)} == {primary.name}, 10, 'the primary alone is asked')
        traffic.seen.clear()
        traffic.reaches(primary)
        target = next(node for node in trial.nodes if node is not primary)
        trial.keys.set('primary_node', target.name)  # a switchover
        traffic.reaches(target)
        target.kill9()  # a crash, for good
        wait_until(lambda: traffic.ask() not in (target.name, None), 20, 'the next primary is asked', 0.01)
        successor = next(node for node in trial.nodes if node.name == traffic.seen[-1][1])
        lives = trial.lives()
        for at_ns, name in traffic.seen:
            assert name is None or any(life.node == name and life.begin_ns <= at_ns and
                                       (not life.end_ns or at_ns - SLACK_NS <= life.end_ns) for life in lives), \
                f'{name} was asked at {at_ns / 1e9:.3f}: {lives}'
        order = [name for _, name in traffic.seen if name]
        assert list(dict.fromkeys(order)) == [primary.name, target.name, successor.name] or successor is primary
        assert sum(a != b for a, b in zip(order, order[1:])) == 2, 'no request went back'
    finally:
        process.kill(child)


# vip-manager (dcs-type: patroni)

class VipManager(threading.Thread):
    """What vip-manager 2 does on a node: each `interval` it gets ENDPOINT + trigger-key as Go's http.Get does, and holds the
    address if the status code equals trigger-value. It reads no body and closes nothing, so every check opens a connection."""

    def __init__(self, endpoint):
        super().__init__(daemon=True)
        self.port = endpoint.port
        self.over = threading.Event()
        self.seen = []  # (begin_ns, end_ns, whether it holds the address from now on)
        self.left_open = []

    holds = property(lambda self: bool(self.seen) and self.seen[-1][2])

    def check(self):
        connection = socket.create_connection(('127.0.0.1', self.port), 5)
        self.left_open.append(connection)
        connection.sendall(f'GET //leader HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nUser-Agent: Go-http-client/1.1\r\n'
                           'Accept-Encoding: gzip\r\n\r\n'.encode())  # its default endpoint ends with a slash
        return connection.makefile('rb').readline().split()[1] == b'200'

    def run(self):
        while not self.over.wait(0.02):
            begin_ns = boottime_ns()
            holds = self.check()
            self.seen.append((begin_ns, boottime_ns(), holds))


def test_vip_manager(trial, endpoints):
    """Of a switchover and a crash: exactly the primary's vip-manager holds the address, and none held it without the work."""
    at, primary, (second, third) = endpoints(3)
    managers = {name: VipManager(endpoint) for name, endpoint in at.items()}

    def only(node):
        wait_until(lambda: [name for name, one in managers.items() if one.holds] == [node.name], 20,
                   lambda: f'{node.name} alone holds it: {[(name, one.seen[-3:]) for name, one in managers.items()]}')
    for manager in managers.values():
        manager.start()
    try:
        only(primary)
        trial.keys.set('primary_node', second.name)
        only(second)
        second.kill9()
        successor = wait_until(lambda: next((node for node in (primary, third) if managers[node.name].holds), None), 20)
        only(successor)
    finally:
        for manager in managers.values():
            manager.over.set()
            manager.join()
    lives = trial.lives()
    for name, manager in managers.items():
        assert len(manager.seen) > 50
        for begin_ns, end_ns, holds in manager.seen:
            assert not holds or any(life.node == name and life.begin_ns <= end_ns and
                                    (not life.end_ns or begin_ns <= life.end_ns) for life in lives), f'{name}: {lives}'


# Prometheus

@needs('promtool')
def test_rules(tmp_path):
    for name in (f'{RULES}/primaryd.rules.yml', f'{TOP}/tests/integration/prometheus.test.yml'):
        shutil.copy(name, tmp_path)
    done = subprocess.run(['promtool', 'test', 'rules', 'prometheus.test.yml'], cwd=tmp_path, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout


@needs('prometheus')
def test_prometheus(trial, endpoints, tmp_path):
    """Scrapes (as OpenMetrics), and evaluates what rules and dashboard ask for."""
    at, primary, _ = endpoints(2)
    with Prometheus(tmp_path, at.values(), '500ms', [f'{RULES}/primaryd.rules.yml']) as prometheus:
        query = prometheus.query
        wait_until(lambda: [one['value'][1] for one in query('sum(up)')] == ['2'], 30, 'both are scraped', 0.2)
        wait_until(lambda: [one['value'][1] for one in query('primaryd:primaries')] == ['1'], 20, 'the rule is evaluated', 0.2)
        one, = query('(primaryd_primary == 1) * on (instance, job) group_left (node) primaryd_node_info')
        assert one['metric']['node'] == primary.name
        assert not query('ALERTS{alertstate="firing"}')
        with open(f'{RULES}/grafana.json', encoding='utf-8') as file:
            for panel in json.load(file)['panels']:
                for target in panel['targets']:
                    expression = target['expr'].replace('[5m]', '[10s]').replace('$root', '.*')
                    wait_until(lambda expression=expression: query(expression), 15, f'{panel["title"]}: {expression}', 0.3)
