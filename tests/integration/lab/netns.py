"""Hosts on one machine: network namespaces with a bridge between them, that can be parted at the bridge."""

import ctypes
import os
import random
import re
import shutil
import socket
import subprocess

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def _run(*argv, text=None):
    done = subprocess.run(argv, input=text, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f'{" ".join(argv)}: {done.stderr.strip()}')
    return done.stdout


def available():
    """None if namespaces can be made here, else the reason why not."""
    if os.geteuid() != 0:
        return 'needs root'
    for tool in ('ip', 'nft', 'nsenter'):
        if not shutil.which(tool):
            return f'needs {tool}'
    name = f'pd{random.getrandbits(24):06x}x'
    try:
        _run('ip', 'netns', 'add', name)
        try:
            _run('nsenter', f'--net=/run/netns/{name}', 'nft', 'add', 'table', 'bridge', 'probe')
        finally:
            _run('ip', 'netns', 'del', name)
    except OSError as error:
        return f'no network namespaces or no nft: {error}'
    return None


class Host:
    """A network namespace with one address. Servers and nodes take it as `host`."""

    def __init__(self, namespace, name, address):
        self.namespace = namespace
        self.name = name
        self.address = address

    def wrap(self, argv):
        """argv, run on this host."""
        return ['nsenter', f'--net=/run/netns/{self.namespace}', '--', *argv]

    def run(self, *argv):
        """Runs a command on this host and returns what it printed."""
        return _run(*self.wrap(argv))

    def socket(self):
        """A TCP socket that lives on this host."""
        return self.enter(socket.socket)

    def enter(self, function, *args, **kwargs):
        """Calls a function with the current thread on this host."""
        with open('/proc/thread-self/ns/net', 'rb') as home, open(f'/run/netns/{self.namespace}', 'rb') as there:
            _setns(there.fileno())
            try:
                return function(*args, **kwargs)
            finally:
                _setns(home.fileno())

    def kazoo_handler(self):
        """A handler for KazooClient(handler=...) whose connections start on this host."""
        from kazoo.handlers.threading import SequentialThreadingHandler
        host = self

        class Handler(SequentialThreadingHandler):
            def create_connection(self, *args, **kwargs):
                return host.enter(super().create_connection, *args, **kwargs)
        return Handler()


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), 'setns')


class Network:
    """Hosts h1 ... hN at 10.77.0.N on a bridge in a namespace of its own. A context manager."""

    def __init__(self, size):
        self.prefix = f'pd{random.getrandbits(24):06x}'
        self.bridge = f'{self.prefix}b'
        self.hosts = [Host(f'{self.prefix}h{n}', f'h{n}', f'10.77.0.{n}') for n in range(1, size + 1)]

    def __enter__(self):
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    def _open(self):
        lines = [f'netns add {self.bridge}'] + [f'netns add {host.namespace}' for host in self.hosts]
        _run('ip', '-batch', '-', text='\n'.join(lines))
        lines = ['link add br0 type bridge forward_delay 0', 'link set br0 up']
        for host in self.hosts:
            lines += [f'link add {host.name} type veth peer name eth0 netns {host.namespace}',
                      f'link set {host.name} master br0 up']
        _run('ip', '-n', self.bridge, '-batch', '-', text='\n'.join(lines))
        for host in self.hosts:
            _run('ip', '-n', host.namespace, '-batch', '-', text='\n'.join(
                ['link set lo up', f'addr add {host.address}/24 dev eth0', 'link set eth0 up']))
        self._nft('table bridge part {\n set cut { type ifname . ifname; }\n'
                  ' chain c {\n type filter hook forward priority 0;\n iifname . oifname @cut drop\n }\n}')

    def _nft(self, text):
        _run('nsenter', f'--net=/run/netns/{self.bridge}', 'nft', '-f', '-', text=text)

    def cut(self, source, destination, oneway=False):
        """Nothing gets from source to destination any more, nor back unless oneway."""
        pairs = [f'"{source.name}" . "{destination.name}"']
        if not oneway:
            pairs.append(f'"{destination.name}" . "{source.name}"')
        self._nft(f'add element bridge part cut {{ {", ".join(pairs)} }}')

    def mend(self, source, destination):
        """Takes a cut (of both ways) away again; others stay."""
        self._nft(f'delete element bridge part cut {{ "{source.name}" . "{destination.name}", '
                  f'"{destination.name}" . "{source.name}" }}')

    def isolate(self, host):
        """Cuts one host from all others."""
        for other in self.hosts:
            if other is not host:
                self.cut(host, other)

    def heal(self):
        self._nft('flush set bridge part cut')

    def lose(self, percent):
        """So many of a hundred packets between hosts get lost, at random, from now on."""
        self._nft('table bridge lossy {\n chain c {\n type filter hook forward priority 1;\n'
                  f' numgen random mod 100 < {percent} counter drop\n }}\n}}')

    def lost(self):
        """How many packets lose() took."""
        listed = _run('nsenter', f'--net=/run/netns/{self.bridge}', 'nft', 'list', 'table', 'bridge', 'lossy')
        return int(re.search(r'counter packets (\d+)', listed)[1])

    def link(self, host, up):
        """Pulls a host's cable, or plugs it in."""
        _run('ip', '-n', self.bridge, 'link', 'set', host.name, 'up' if up else 'down')

    def close(self):
        """Removes the namespaces; what still runs in them keeps its own alive."""
        for name in [self.bridge, *(host.namespace for host in self.hosts)]:
            subprocess.run(['ip', 'netns', 'del', name], stderr=subprocess.DEVNULL, check=False)
