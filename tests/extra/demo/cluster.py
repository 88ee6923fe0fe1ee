"""What is demonstrated: servers, nodes with something to serve, and what an operator does to them."""

import atexit
import os
import shutil
import socket
import subprocess
import types

from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError

from lab import memory, view, zk
from lab.node import Node, program
from lab.oracle import Oracle

ROOT = '/demo'
TICK_MS = 500
SESSION_S = 4.0

# Short enough to watch: a session of 4 s has a lease of 2.6 s, of which 1 s is kept for stopping the work.
CONFIG = {
    'zookeeper.session-timeout': '4s',
    'relinquish.lease-timeout': '1s',
    'election.handover-timeout': '2s',
}


def free_service_port(addresses):
    """A UDP port that is free on all of the addresses."""
    for _ in range(100):
        sockets = []
        try:
            port = 0
            for address in addresses:
                sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                sockets[-1].bind((address, port))
                port = sockets[-1].getsockname()[1]
            return port
        except OSError:
            continue
        finally:
            for sock in sockets:
                sock.close()
    raise RuntimeError('no free UDP port found')


class Refused(Exception):
    """An operator's action that makes no sense at the moment; the text says why."""


class Cluster:
    """A directory with everything in it; close() ends and removes all."""

    def __init__(self, directory, nodes, servers):
        self.directory = directory
        self.event_log = os.path.join(self.directory, 'work.log')
        self.oracle = Oracle(self.event_log)
        self.addresses = {f'node{n}': f'127.0.0.{10 + n}' for n in range(1, nodes + 1)}
        self.port = free_service_port(self.addresses.values())
        self.ensemble = zk.Ensemble(servers, tick_ms=TICK_MS, directory=self.directory)
        atexit.unregister(self.ensemble.close)  # close() does it, and may have to keep the logs
        self.client = None
        self.nodes = {}

    def start_ensemble(self):
        for server in self.ensemble.servers:
            server.start()
        self.await_ensemble()

    def await_ensemble(self):
        for server in self.ensemble.servers:
            server.wait_ready(60)
        self.client = view.connect(self.ensemble.connect)
        self.client.ensure_path(ROOT + '/nodes')
        self.view = view.View(self.client, ROOT)

    def make_nodes(self):
        # Not new: the first takeover ever waits for a lease.
        known = memory.settle_store(types.SimpleNamespace(client=self.client, path=lambda key: f'{ROOT}/{key}'))
        for name, address in self.addresses.items():
            links = zk.ClientLinks(self.ensemble)
            work = (f'{program("tests/extra/demo/service")} --log {self.event_log} '
                    f'--lock {os.path.join(self.directory, name, "work")}')
            config = {
                **CONFIG,
                'takeover.command': f'{work} --address {address} --port {self.port} --owner {os.getpid()} start',
                'relinquish.command': f'{work} stop',
            }
            self.nodes[name] = Node(name, links.connect, ROOT, self.directory, self.event_log, config, links=links)
            memory.remember(self.nodes[name], *known)

    def draw_failover(self, path):
        """The last one, as primaryctl tells it."""
        subprocess.run([program('ctl/primaryctl'), '--servers', self.ensemble.connect, '--root', ROOT, 'timeline', '--svg', path],
                       check=True)

    def close(self, keep=False):
        for node in self.nodes.values():
            node.close()
        for server in self.ensemble.servers:
            server.kill9()
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    # what is the matter with a node, as its host would know

    def is_stopped(self, name):
        """Whether its daemon was frozen with SIGSTOP."""
        node = self.nodes[name]
        if not node.running():
            return False
        try:
            with open(f'/proc/{node.pid}/stat', 'rb') as file:
                return file.read().rpartition(b')')[2].split()[0] in (b'T', b't')
        except OSError:
            return False

    def is_cut(self, name):
        return any(proxy.mode != 'pass' for proxy in self.nodes[name].links.proxies)

    def trouble(self, name):
        """The daemon in a word or two."""
        node = self.nodes[name]
        if node.child is None:
            return 'not started'
        if not node.running():
            code = node.child.returncode
            return 'killed' if code == -9 else 'stopped' if code == 0 else f'exit code {code}'
        if self.is_stopped(name):
            return 'frozen'
        return 'cut off' if self.is_cut(name) else 'running'

    # what breaks

    def cut(self, name):
        self.nodes[name].links.set_mode('silent')

    def heal(self, name):
        for proxy in self.nodes[name].links.proxies:
            proxy.reset_connections()  # both sides have given these up
            proxy.set_mode('pass')

    # the operator, over ZooKeeper: each a compare-and-set, as the nodes' own writes

    def desired(self):
        """(name, or '' for none; version of the key)"""
        try:
            data, stat = self.client.get(f'{ROOT}/primary_node')
        except NoNodeError:
            raise Refused('there is no primary key yet') from None
        name = data.decode(errors='replace')
        return ('' if name == 'none' else name), stat.version

    def _name(self, name, version):
        try:
            self.client.set(f'{ROOT}/primary_node', name.encode(), version=version)
        except BadVersionError:
            raise Refused('somebody else wrote the key first: nothing was changed') from None

    def switchover(self, target=None):
        """Names the target, or the next node that can take over; returns its name."""
        holder, version = self.desired()
        names = list(self.nodes)
        if target is None:
            start = names.index(holder) + 1 if holder in names else 0
            around = names[start:] + names[:start]
            target = next((name for name in around if name != holder and self.can_take_over(name)), None)
            if target is None:
                raise Refused('no other node can take over')
        if target == holder:
            raise Refused(f'{target} is primary already')
        if not self.can_take_over(target):
            raise Refused(f'{target} is not alive, or drained')
        self._name(target, version)
        return target

    def can_take_over(self, name):
        base = f'{ROOT}/nodes/{name}'
        return bool(self.client.exists(f'{base}/alive') and not self.client.exists(f'{base}/drain'))

    def release(self):
        holder, version = self.desired()
        if not holder:
            raise Refused('nobody is named primary')
        self._name('none', version)

    def is_drained(self, name):
        return self.client.exists(f'{ROOT}/nodes/{name}/drain') is not None

    def drain(self, name, on):
        path = f'{ROOT}/nodes/{name}/drain'
        try:
            if on:
                self.client.create(path, b'by the demonstration', makepath=True)
            else:
                self.client.delete(path)
        except (NodeExistsError, NoNodeError):
            pass

    def in_maintenance(self):
        return self.view.get('maintenance') == 'true'

    def maintenance(self, on):
        if on:
            self.view.set('maintenance', 'true')
        else:
            self.view.delete('maintenance')
