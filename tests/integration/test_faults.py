"""Servers with a full disk, names that nobody resolves, servers that hang, and all of it at once."""

import contextlib
import os
import shutil
import socket
import subprocess
import threading

import pytest

from lab import view, zk
from lab.trial import SESSION_S, Trial, oracle  # noqa: F401 (fixture)
from lab.wait import wait_until


# a full disk

@contextlib.contextmanager
def small_disk(path, size='6m'):
    """A file system of its own, or a skip."""
    if os.geteuid() != 0 or subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', path],
                                           check=False, stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip('cannot mount a tmpfs')
    try:
        yield
    finally:
        subprocess.run(['umount', '-l', path], check=False)


@pytest.fixture
def full_disks():
    """An ensemble whose servers' data lie on small disks; (ensemble, keys)."""
    with contextlib.ExitStack() as stack:
        ensemble = zk.Ensemble(3, jvm=['-Dzookeeper.preAllocSize=64'])
        stack.callback(ensemble.close)
        for server in ensemble.servers:
            stack.enter_context(small_disk(os.path.join(server.directory, 'data')))
            server.configure([(other.number, f'{other.address}:{other.quorum_port}:{other.election_port}')
                              for other in ensemble.servers])
        ensemble.start()
        client = view.connect(ensemble.connect)
        stack.callback(client.close)
        stack.callback(client.stop)
        yield ensemble, view.View(client, '/disk')


def fill(server):
    path = os.path.join(server.directory, 'data', 'filler')
    # The last blocks, too.
    for name, size in ((path, 65536), (path + '2', 512)):
        with contextlib.suppress(OSError), open(name, 'wb', buffering=0) as file:
            while True:
                file.write(bytes(size))


def empty(server):
    for name in ('filler', 'filler2'):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(server.directory, 'data', name))
    server.restart(60)  # it may end by itself at any moment, or not


@pytest.mark.parametrize('role', ['follower', 'leader'])
def test_full_disk(full_disks, make_cluster, oracle, role):
    ensemble, keys = full_disks
    trial = Trial(make_cluster, ensemble, keys, oracle)
    primary, _ = trial.start(2)
    server = ensemble.leader() if role == 'leader' else ensemble.followers()[0]
    trial.move_to(primary, server)
    trial.settle(primary=primary.name)
    lives, epoch = trial.lives(), keys.acting().epoch
    fill(server)
    # It notices with the next log file that it cannot make longer: every renewal is written there.
    wait_until(lambda: not server.running() or server.mode() is None, 60, lambda: f'it fails:\n{server.log_tail()}')
    wait_until(lambda: any(number != server.number for number in primary.links.connected_to()), 20,
               lambda: f'another server is tried:\n{primary.log_tail()}')
    if role == 'follower':
        trial.settle(primary=primary.name)
        trial.untouched(primary, lives, epoch)
    else:
        trial.settle(timeout=40)
    empty(server)
    trial.settle(timeout=40)


# names

class SilentResolver:
    """Takes every question at port 53 of a host and answers none."""

    def __init__(self, host):
        self.socket = host.enter(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        host.run('ip', 'addr', 'add', '127.0.0.53/32', 'dev', 'lo')
        self.socket.bind(('127.0.0.53', 53))
        self.asked = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        with contextlib.suppress(OSError):
            while self.socket.recv(512):
                self.asked += 1

    def close(self):
        self.socket.close()


class NamingHost:
    """A host with files /etc/hosts and /etc/resolv.conf of its own, for what is started on it."""

    def __init__(self, host, directory):
        self.host = host
        self.hosts = os.path.join(directory, 'hosts')
        self.resolver = os.path.join(directory, 'resolv.conf')
        self.order = os.path.join(directory, 'nsswitch.conf')
        self.name(())
        with open(self.resolver, 'w', encoding='ascii') as file:
            file.write('nameserver 127.0.0.53\noptions timeout:5 attempts:3\n')
        with open(self.order, 'w', encoding='ascii') as file:
            file.write('hosts: files dns\n')

    def name(self, pairs):
        """In place: it is mounted."""
        with open(self.hosts, 'w', encoding='ascii') as file:
            file.writelines(f'{address} {name}\n' for address, name in pairs)

    def wrap(self, argv):
        mounts = (f'mount --bind {self.hosts} /etc/hosts && mount --bind {self.resolver} /etc/resolv.conf && '
                  f'mount --bind {self.order} /etc/nsswitch.conf && exec "$@"')
        return self.host.wrap(['unshare', '--mount', '--propagation', 'private', 'sh', '-c', mounts, 'sh', *argv])


@pytest.fixture
def named(network, tmp_path):
    """Servers on three hosts, and two hosts that know them by name; (network, ensemble, keys, naming hosts)."""
    if not shutil.which('unshare') or subprocess.run(['unshare', '--mount', 'true'], check=False).returncode != 0:
        pytest.skip('needs mount namespaces')
    net = network(5)
    resolvers = [SilentResolver(host) for host in net.hosts[3:]]
    hosts = []
    for host in net.hosts[3:]:
        directory = tmp_path / host.name
        directory.mkdir()
        hosts.append(NamingHost(host, str(directory)))
    with zk.Ensemble(3, hosts=net.hosts[:3]) as ensemble:
        client = view.connect(ensemble.connect, handler=net.hosts[0].kazoo_handler())
        yield net, ensemble, view.View(client, '/named'), hosts, resolvers
        client.stop()
        client.close()
    for resolver in resolvers:
        resolver.close()


def named_trial(named, make_cluster, oracle):
    _, ensemble, keys, hosts, _ = named
    pairs = [(server.address, f'zk{server.number}.example') for server in ensemble.servers]
    servers = ','.join(f'zk{server.number}.example:{server.port}' for server in ensemble.servers)
    trial = Trial(make_cluster, ensemble, keys, oracle)
    for host in hosts:
        host.name(pairs)
        [node] = trial.add(1, proxied=False, hosts=[host])
        node.write_config(**{'zookeeper.servers': servers})
    return trial, pairs


def test_resolver_does_not_answer(named, make_cluster, oracle):
    """Cut off, with names that nobody resolves any more: the loop must not wait for them."""
    net, _, _, hosts, resolvers = named
    trial, pairs = named_trial(named, make_cluster, oracle)
    for node in trial.nodes:
        node.start()
    primary, _ = trial.settle()
    number = trial.nodes.index(primary)
    host = hosts[number]
    host.name(())
    cut_ns = trial.now()
    net.isolate(host.host)
    successor = trial.fail_over(primary, cut_ns)
    wait_until(lambda: resolvers[number].asked, 10, 'it asked')
    net.heal()
    host.name(pairs)
    trial.settle(primary=successor.name, timeout=60)


def test_resolver_does_not_answer_at_the_start(named, make_cluster, oracle):
    """One node cannot resolve anything from the beginning: it is there once it can, and it can be stopped before."""
    _, _, _, hosts, _ = named
    trial, pairs = named_trial(named, make_cluster, oracle)
    hosts[1].name(())
    for node in trial.nodes:
        node.start()
    deaf = trial.nodes[1]
    wait_until(lambda: trial.keys.primary() == 'n1', 10, lambda: trial.keys.summary())
    assert deaf.running()
    begin_ns = trial.now()
    deaf.stop()
    assert (trial.now() - begin_ns) / 1e9 < 4, 'it does not wait for the resolver'
    deaf.start()
    hosts[1].name(pairs)
    trial.settle(primary='n1', timeout=60)


def test_names_that_do_not_exist(cluster, keys, ensemble):
    # Among addresses that work, and alone.
    [node] = cluster(1, **{'zookeeper.servers': f'no-such-host.invalid:2181,{ensemble.connect}'})
    wait_until(lambda: keys.primary() == node.name, 15, lambda: node.log_tail())
    [lost] = cluster(1, **{'zookeeper.servers': 'no-such-host.invalid:2181'})
    lost.wait_log('names_failed|server_failed')
    assert lost.running()


# a resumed primary without servers

def test_restarted_without_servers(ensemble, keys, make_cluster, oracle):
    """kill -9 and restart while cut off: the lease of the process before goes on, and ends."""
    trial = Trial(make_cluster, ensemble, keys, oracle)
    primary, _ = trial.start(2)
    cut_ns = trial.now()
    primary.links.set_mode('silent')
    primary.kill9()
    primary.start()
    successor = trial.fail_over(primary, cut_ns)
    primary.links.set_mode('pass')
    trial.settle(primary=successor.name)


def test_restarted_in_a_row_without_servers(ensemble, keys, make_cluster, oracle):
    # Each restart finds the same lease: none makes it longer.
    trial = Trial(make_cluster, ensemble, keys, oracle)
    primary, _ = trial.start(2)
    cut_ns = trial.now()
    primary.links.set_mode('silent')
    while trial.now() - cut_ns < SESSION_S * 1e9:
        count = len(primary.log_lines(' started: '))
        primary.kill9()
        primary.start()
        wait_until(lambda count=count: len(primary.log_lines(' started: ')) > count, 5)
    successor = trial.fail_over(primary, cut_ns)
    primary.links.set_mode('pass')
    trial.settle(primary=successor.name)
