"""A TLS-only ensemble behind stunnel, as primaryd(8) describes it."""

import re
import socket
import ssl

import pytest
from kazoo.client import KazooClient

from lab import tls, view
from lab.node import Node
from lab.steps import by_name
from lab.wait import wait_until

pytestmark = pytest.mark.limit(180)


@pytest.fixture(scope='module')
def secure(tmp_path_factory):
    reason = tls.available()
    if reason:
        pytest.skip(reason)
    with_tls = tls.ensemble(str(tmp_path_factory.mktemp('secure')))
    yield with_tls
    with_tls.close()


@pytest.fixture
def tunnels(secure, tmp_path):
    made = tls.Tunnels(secure, str(tmp_path))
    yield made
    made.close()


class Behind:
    """The ensemble as nodes reach it: through the tunnels."""

    def __init__(self, ensemble, tunnels):
        self.ensemble = ensemble
        self.connect = tunnels.connect
        self.repair = ensemble.repair


@pytest.fixture
def keys(secure, tunnels):
    client = view.connect(tunnels.connect)
    yield view.View(client, '/secure')
    client.retry(client.delete, '/secure', recursive=True)
    client.stop()
    client.close()


def test_without_certificate(secure):
    """Neither plain text nor TLS without a certificate gets an answer: the ensemble is shut."""
    server = secure.servers[0]
    with socket.create_connection((server.address, server.port), 5) as sock:
        sock.settimeout(5)
        sock.sendall(b'srvr')
        try:
            assert b'Mode' not in sock.recv(1000)
        except OSError:
            pass
    context = ssl.create_default_context(cafile=secure.authority.ca)
    with pytest.raises(OSError):
        with socket.create_connection((server.address, server.port), 5) as sock:
            with context.wrap_socket(sock, server_hostname=server.address) as secured:
                secured.sendall(b'srvr')
                assert secured.recv(1000)
                raise AssertionError('answered without a certificate')
    client = KazooClient(server.connect, timeout=1)
    with pytest.raises(Exception):
        client.start(2)
    client.stop()
    client.close()


def test_silent_server_behind_its_tunnel(secure, tunnels, keys, make_cluster):
    """The server of the acting primary stops answering while its tunnel stays up: the renewal of the lease notices,
    the next tunnel is tried, and the node stays primary."""
    nodes = make_cluster(Behind(secure, tunnels), keys, 2, **{'zookeeper.session-timeout': '6s',
                                                            'relinquish.lease-timeout': '1s'})
    primary = by_name(nodes, keys.wait_primary(timeout=30))
    epoch = keys.acting().epoch
    target = re.findall(r'127\.0\.0\.(\d+):\d+', ''.join(primary.log_lines(' connected: ')))
    assert target, primary.log_tail()
    server = secure.servers[int(target[-1]) - 11]
    mark = primary.log_mark()
    server.sigstop()
    primary.wait_log(r' connection_cut: ', 15, mark)
    primary.wait_log(r' connected: same session', 15, mark)
    wait_until(lambda: keys.acting() and keys.acting().epoch == epoch, 15, 'the same epoch')
    assert not primary.log_lines(' lease_running_out: ')
    server.sigcont()
    # A server that is gone altogether closes its tunnel: noticed at once.
    server.kill9()
    wait_until(lambda: keys.primary() == primary.name, 15, 'still primary')
    assert keys.acting().epoch == epoch
    server.restart()


def test_wrong_certificate(secure, tmp_path, make_cluster):
    """A tunnel with a certificate of another authority: never connected, and said."""
    other = tls.Authority(str(tmp_path / 'other'))
    stranger = type('Stranger', (), {'servers': secure.servers, 'authority': other})()
    tunnels = tls.Tunnels(stranger, str(tmp_path))
    try:
        node = Node('n1', tunnels.connect, '/stranger', str(tmp_path), str(tmp_path / 'events')).start()
        node.wait_log(r' server_failed: ', 15)
        assert not node.log_lines(' connected: ')
        node.stop()
    finally:
        tunnels.close()
