"""TLS by the tunnel that primaryd configures: certificates in both directions, and a digest on top."""

import os
import re
import socket
import ssl
import subprocess
import time

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError

from ctl_shell import Ctl, REFUSED, UNREACHABLE
from lab import tls, view
from lab.node import program
from lab.steps import by_name, write_auth
from lab.wait import wait_until

pytestmark = pytest.mark.limit(180)

DIGEST = 'observer:of-the-test'
PACE = {'zookeeper.session-timeout': '10s', 'relinquish.lease-timeout': '1s'}


@pytest.fixture(scope='module')
def secure(tmp_path_factory):
    reason = tls.available()
    if reason:
        pytest.skip(reason)
    with_tls = tls.ensemble(str(tmp_path_factory.mktemp('secure')))
    yield with_tls
    with_tls.close()


@pytest.fixture
def lab(secure, tmp_path):
    made = Lab(secure, str(tmp_path))
    yield made
    made.close()


class Named:
    """The ensemble by the names that `servers` has."""

    def __init__(self, ensemble, servers):
        self.connect = ','.join(servers)
        self.repair = ensemble.repair


class Lab:
    """Nodes with a certificate, a credential and a tunnel each, and a client of the test's own with the same."""

    def __init__(self, secure, directory):
        self.secure = secure
        self.directory = directory
        self.tunnels = {}
        self.servers = [f'localhost:{secure.servers[0].port}', *(f'127.0.0.1:{one.port}' for one in secure.servers[1:])]
        self.auth = write_auth(os.path.join(directory, 'auth'), DIGEST)
        config = os.path.join(directory, 'observer.conf')
        with open(config, 'w', encoding='ascii') as file:
            file.write('[node]\nname = observer\n[zookeeper]\nservers = ' + ' '.join(self.servers) + '\n')
            file.writelines(f'{key.split(".")[1]} = {value}\n' for key, value in self.files('observer').items())
        self.observer = tls.Tunnel(self.make('observer'), config)
        self.client = view.connect(self.observer.connect, auth_data=[('digest', DIGEST)])
        self.keys = view.View(self.client, '/secure')

    def make(self, name):
        path = os.path.join(self.directory, f'tunnel-{name}')
        os.makedirs(path)
        return path

    def files(self, name):
        crt, key, _ = self.secure.authority.issue(f'{name}-{os.path.basename(self.directory)}')
        return {'zookeeper.tls-ca': self.secure.authority.ca, 'zookeeper.tls-cert': crt, 'zookeeper.tls-key': key}

    def start(self, make_cluster, count, servers):
        """The nodes, of which one is primary; their tunnels are in self.tunnels."""
        nodes = make_cluster(Named(self.secure, servers), self.keys, count, start=False,
                                  **PACE, **{'zookeeper.auth-file': self.auth})
        for node in nodes:
            node.write_config(**self.files(node.name))
            self.tunnels[node.name] = tls.Tunnel(self.make(node.name), node.config_path)
            node.start()
        return by_name(nodes, self.keys.wait_primary(timeout=40)), nodes

    def close(self):
        self.client.retry(self.client.delete, '/secure', recursive=True)
        self.client.stop()
        self.client.close()
        for tunnel in [self.observer, *self.tunnels.values()]:
            tunnel.close()


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


def test_certificates_and_digest(secure, lab, make_cluster):
    """Works, names the servers as they are configured, and a fault of a server or of the tunnel moves nothing."""
    primary, nodes = lab.start(make_cluster, 2, lab.servers)
    epoch = lab.keys.acting().epoch
    tunnel = lab.tunnels[primary.name]

    def goes_on():
        wait_until(lambda: lab.keys.acting() and lab.keys.acting().epoch == epoch, 15, 'the same epoch')
        assert not primary.log_lines(' lease_running_out: '), primary.log_tail()
    for node in nodes:
        node.wait_log(' connected: ')
        targets = {line.rpartition('target=')[2] for line in node.log_lines(' connected: ')}
        assert targets and targets <= set(lab.servers), node.log_tail()
    ctl = Ctl(None, None, '--config', primary.config_path)
    assert ctl.json('status')['cluster']['primary'] == primary.name
    found = [row['finding'] for row in ctl.json('check', code=None)['findings'] if row['subject'] == 'server']
    assert sorted(one.rsplit(': ', 1)[0] for one in found) == sorted(lab.servers), found
    # A user of this host who has the tunnel has the node's certificate, but not its credential.
    stranger = KazooClient(tunnel.connect)
    stranger.start(10)
    with pytest.raises(NoAuthError):
        stranger.set('/secure/primary_node', b'none')
    stranger.stop()
    stranger.close()
    # The tunnel crashes, and systemd starts it again.
    mark = primary.log_mark()
    tunnel.kill9()
    primary.wait_log(r' server_failed: (localhost|127\.0\.0\.1):\d+: Connection refused .*primaryd-tunnel', 15, mark)
    tunnel.start()
    primary.wait_log(r' connected: same session', 15, mark)
    goes_on()
    # Another election of this host has another tunnel, which does not run.
    with open(primary.config_path, encoding='utf-8') as file:
        other = file.read().replace(f'name = {primary.name}', 'name = other')
    path = os.path.join(lab.directory, 'other.conf')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(other)
    said = Ctl(None, None, '--config', path).run('check', code=UNREACHABLE).stdout
    assert f'{lab.servers[0]}: not reached through the TLS tunnel, which does not run' in said
    # A server that stays silent while its tunnel goes on.
    server = secure.servers[lab.servers.index(primary.log_lines(' connected: ')[-1].rpartition('target=')[2])]
    mark = primary.log_mark()
    server.sigstop()
    primary.wait_log(r' connection_cut: ', 15, mark)
    primary.wait_log(r' connected: same session', 15, mark)
    goes_on()
    server.sigcont()
    # One that is gone altogether closes its tunnel: noticed at once.
    server.kill9()
    goes_on()
    server.restart()


def test_servers_that_are_refused(secure, lab, make_cluster, tmp_path):
    """Wrong names, expired certificates, foreign authorities and silence are refused and said; the node goes on with the
    servers that are in order."""
    certificates = {
        'wrong': secure.authority.issue('wrong', 'DNS:another.example.net'),
        'expired': secure.authority.issue('expired', days=0),
        'foreign': tls.Authority(str(tmp_path / 'other')).issue('foreign'),
        'silent': None}
    time.sleep(1)  # the one has expired
    impostors = {kind: tls.Impostor(certificate) for kind, certificate in certificates.items()}
    names = {kind: one.connect for kind, one in impostors.items()}
    primary, _ = lab.start(make_cluster, 1, [*lab.servers, *names.values()])
    epoch = lab.keys.acting().epoch
    tunnel = lab.tunnels[primary.name]

    def at(node):
        """The server that the node is connected to."""
        name = node.log_lines(' connected: ')[-1].rpartition('target=')[2]
        return secure.servers[lab.servers.index(name)]

    def unmet():
        return [kind for kind, name in names.items() if not primary.log_lines(rf' server_failed: {name}: ')]

    def meet():
        """Another server is tried after each loss of the connection."""
        mark = primary.log_mark()
        server = at(primary)
        server.kill9()
        primary.wait_log(r' connected: same session', 20, mark)
        server.restart()
        return not unmet()
    wait_until(meet, 120, lambda: f'{unmet()} is tried\n{primary.log_tail()}')
    assert lab.keys.acting().epoch == epoch
    assert not primary.log_lines(' lease_running_out: ')
    assert not any(one.answered for one in impostors.values()), 'nothing was sent to any of them'
    said = tunnel.log_text()
    for kind, pattern in (('wrong', 'Subject checks failed|host name'), ('expired', 'certificate has expired'),
                          ('foreign', 'unable to get local issuer|self.signed')):
        assert re.search(pattern, said, re.I), f'{kind}:\n{said[-4000:]}'
    checked = Ctl(None, None, '--config', primary.config_path).run('check', code=REFUSED).stdout
    for name in names.values():
        assert re.search(rf'{name}: (not reached through the TLS tunnel|no answer in time)', checked), checked
    for one in impostors.values():
        one.close()


def test_configuration(lab, tmp_path):
    """Errors have a line and a remedy, and the tunnel refuses what the daemon cannot see."""
    files = lab.files('n1')
    path = str(tmp_path / 'conf')

    def check(*options, **changes):
        values = {**{key.split('.')[1]: value for key, value in files.items()},
                  **{key.replace('_', '-'): value for key, value in changes.items()}}
        with open(path, 'w', encoding='ascii') as file:
            file.write('[zookeeper]\n' + ''.join(f'{key} = {value}\n' for key, value in values.items() if value) +
                       '[takeover]\ncommand = /bin/true\n')
        done = subprocess.run([program('daemon/primaryd'), '--config', path, *options], capture_output=True, text=True, check=False)
        return done.returncode, done.stderr
    code, said = check('--check')
    assert code == 0 and 'zookeeper.auth-file is not set: every user of this host' in said
    open_key = tmp_path / 'open.key'
    open_key.write_bytes(b'-----BEGIN PRIVATE KEY-----\n')
    open_key.chmod(0o644)
    for changes, line, wanted in (
            ({'tls_key': None}, 2, r'zookeeper.tls-ca: tls-key is not set \(TLS needs'),
            ({'tls_key': open_key}, 4, r'zookeeper.tls-key: .* can be read by others, mode 0644 \(chmod 0600'),
            ({'tls_cert': '/no/such'}, 3, r'zookeeper.tls-cert: .* cannot be read: No such file'),
            ({'tls_ca': files['zookeeper.tls-key']}, 2, r'zookeeper.tls-ca: .* holds no CERTIFICATE in PEM format')):
        for option in ('--check', '--tunnel-config'):
            code, said = check(option, **changes)
            assert code == 1 and re.search(f'^{path}:{line}: {wanted}', said, re.M), said
    # Only the service of the tunnel sees its credential.
    hidden = {'tls_key': '/run/credentials/primaryd-tunnel.service/key'}
    assert check('--check', **hidden)[0] == 0 and check('--tunnel-config', **hidden)[0] == 1
    code, said = check('--tunnel-config', tls_ca=None, tls_cert=None, tls_key=None)
    assert code == 1 and 'tls-ca is not set: there is no tunnel' in said
