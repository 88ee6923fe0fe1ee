"""ZooKeeper servers, alone or as an ensemble, that can be killed, stopped, restarted and isolated."""

import atexit
import os
import shutil
import signal
import socket
import tempfile
import warnings

from . import process
from .ports import free_port
from .proxy import Proxy
from .wait import Timeout, wait_until

# Another directory: servers of another version.
JAVA = os.environ.get('PRIMARYD_JARS', '/usr/share/java')
JARS = ':'.join(f'{JAVA}/{name}.jar' for name in ('zookeeper-jute', 'zookeeper', 'slf4j-simple'))
JVM = ('-Xms32m -Xmx64m -Xss512k -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -XX:-UsePerfData '
       '-Dzookeeper.jmx.log4j.disable=true -Dorg.slf4j.simpleLogger.showDateTime=true '
       # A server that was cut off asks for the leader at doubling intervals, up to a minute: too long for a test.
       '-Dzookeeper.fastleader.maxNotificationInterval=400').split()

MEMORY = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None

# In ticks: how long a follower may take to join, and how long leader and follower bear each other's silence.
# When a leader is cut off, up to half of the elections (measured) cost one INIT_LIMIT.
INIT_LIMIT = 20
SYNC_LIMIT = 10


class Server:
    """One ZooKeeper server. number is 1, 2, ...; peers are the lines of its ensemble, none if it is alone."""

    def __init__(self, directory, number=1, tick_ms=100, host=None, extra=None, jvm=()):
        """host: a netns.Host to live on; else 127.0.0.1. extra: more lines of its configuration, as a dict.
        jvm: more arguments of the Java machine."""
        self.number = number
        self.tick_ms = tick_ms
        self.host = host
        self.address = host.address if host else '127.0.0.1'
        self.port = free_port()
        self.quorum_port = free_port()
        self.election_port = free_port()
        self.extra = dict(extra or {})
        self.jvm = tuple(jvm)
        self.directory = os.path.join(directory, f'zk{number}')
        self.log_path = os.path.join(self.directory, 'log')
        self.child = None
        self.stopped = False
        os.makedirs(os.path.join(self.directory, 'data'))

    connect = property(lambda self: f'{self.address}:{self.port}')

    def configure(self, peers=()):
        """Writes its files; peers: (number, 'HOST:QUORUM:ELECTION') of every server, itself included."""
        data = os.path.join(self.directory, 'data')
        lines = {
            'tickTime': self.tick_ms, 'initLimit': INIT_LIMIT, 'syncLimit': SYNC_LIMIT,
            'dataDir': data, 'clientPort': self.port, 'clientPortAddress': self.address,
            'maxClientCnxns': 0, 'maxSessionTimeout': 600000,
            'admin.enableServer': 'false', '4lw.commands.whitelist': '*',
        }
        lines.update({f'server.{number}': peer for number, peer in peers})
        lines.update(self.extra)
        with open(os.path.join(self.directory, 'zoo.cfg'), 'w', encoding='ascii') as file:
            file.writelines(f'{key}={value}\n' for key, value in lines.items())
        with open(os.path.join(data, 'myid'), 'w', encoding='ascii') as file:
            file.write(f'{self.number}\n')

    def start(self):
        """Starts it, and does not wait: see wait_ready()."""
        argv = ['java', *JVM, *self.jvm, '-cp', JARS, 'org.apache.zookeeper.server.quorum.QuorumPeerMain',
                os.path.join(self.directory, 'zoo.cfg')]
        with open(self.log_path, 'ab') as log:
            self.child = process.spawn(self.host.wrap(argv) if self.host else argv, stdout=log, stderr=log)
        self.stopped = False

    def four(self, word, timeout=0.5):
        """The answer to a four-letter word, '' if there is none."""
        try:
            with (self.host.socket() if self.host else socket.socket()) as sock:
                sock.settimeout(timeout)
                sock.connect((self.address, self.port))
                sock.sendall(word.encode())
                return b''.join(iter(lambda: sock.recv(65536), b'')).decode(errors='replace')
        except OSError:
            return ''

    def mode(self):
        """'leader', 'follower', 'standalone', or None while it does not serve."""
        for line in self.four('srvr').splitlines():
            if line.startswith('Mode:'):
                return line.split()[1]
        return None

    def mntr(self):
        """The server's own figures, as a dict of strings."""
        pairs = (line.split('\t', 1) for line in self.four('mntr').splitlines())
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}

    def outstanding(self):
        """How many requests it has not answered yet."""
        return int(self.mntr().get('zk_outstanding_requests', 0))

    def running(self):
        return self.child is not None and self.child.poll() is None

    def wait_ready(self, timeout=30.0):
        """Until it serves: `imok` is said long before that."""
        def ready():
            if not self.running():
                raise AssertionError(f'server {self.number} ended:\n{self.log_tail()}')
            return self.mode()
        wait_until(ready, timeout, lambda: f'server {self.number} serves:\n{self.log_tail()}', 0.02)
        return self

    def log_tail(self, lines=20):
        try:
            with open(self.log_path, encoding='utf-8', errors='replace') as file:
                return ''.join(file.readlines()[-lines:])
        except OSError:
            return '(no log)'

    def kill9(self):
        if self.child:
            process.kill(self.child)

    def sigstop(self):
        self.child.send_signal(signal.SIGSTOP)
        self.stopped = True

    def sigcont(self):
        self.child.send_signal(signal.SIGCONT)
        self.stopped = False

    def restart(self, timeout=30.0):
        """kill -9 if it runs, start, wait until it serves."""
        self.kill9()
        self.start()
        return self.wait_ready(timeout)


class Ensemble:
    """One server (stand-alone) or more. A context manager; also closed at exit.

    isolate=True lays a proxy between each ordered pair of servers, for their quorum and election ports,
    so that isolate() and cut() can break the ensemble apart while clients still reach every server.
    """

    def __init__(self, size=3, tick_ms=100, isolate=False, hosts=None, extra=None, jvm=(), directory=None):
        # In memory: a server syncs each change, and would wait for a disk that others keep busy.
        self.directory = tempfile.mkdtemp(prefix='primaryd-zk-', dir=directory or MEMORY)
        self.tick_ms = tick_ms
        self.servers = [Server(self.directory, number, tick_ms, hosts[number - 1] if hosts else None, extra, jvm)
                        for number in range(1, size + 1)]
        self.links = {}  # (from, to) -> the two proxies, of server numbers
        if isolate:
            self._make_links()
        for server in self.servers:
            server.configure(self._peers_of(server) if size > 1 else ())
        atexit.register(self.close)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.close()

    connect = property(lambda self: ','.join(server.connect for server in self.servers))

    # life

    def start(self, timeout=60.0):
        """Starts all of them side by side and waits until each serves."""
        for server in self.servers:
            server.start()
        for server in self.servers:
            server.wait_ready(timeout)
        return self

    def close(self):
        """Kills everything and removes all files. May be called again."""
        atexit.unregister(self.close)
        for server in self.servers:
            server.kill9()
        for pair in self.links.values():
            for proxy in pair:
                proxy.close()
        self.links = {}
        shutil.rmtree(self.directory, ignore_errors=True)

    def repair(self, timeout=60.0):
        """After a test: everything runs, is connected, and serves."""
        self.heal()
        for server in self.servers:
            if server.running() and server.stopped:
                server.sigcont()
            if not server.running():
                server.start()
        for server in self.servers:
            server.wait_ready(timeout)
        self._end_hang(timeout)

    def _end_hang(self, timeout):
        """After a change of leader servers may hang for good: they grant sessions, and commit nothing (ZOOKEEPER-4712: the
        sync thread of a follower that was cut off runs on). Then they are restarted, and the summary has a warning."""
        try:
            wait_until(lambda: not any(server.outstanding() for server in self.servers), 10)
        except Timeout:
            warnings.warn('the ZooKeeper servers hung and were restarted')
            for server in self.servers:
                server.kill9()
            self.start(timeout)

    # roles

    def leader(self, timeout=30.0):
        """The server that leads (or stands alone), waited for."""
        return wait_until(self._find_leader, timeout, 'a leader', 0.02)

    def _find_leader(self):
        for server in self.servers:
            if server.running() and not server.stopped and server.mode() in ('leader', 'standalone'):
                return server
        return None

    def followers(self):
        """The servers that follow at this moment."""
        return [server for server in self.servers
                if server.running() and not server.stopped and server.mode() == 'follower']

    def raise_epoch(self, times=3):
        """So many elections more: whoever sees this epoch has seen more than an ensemble that begins anew."""
        for _ in range(times):
            self.leader().kill9()
            self.repair()

    # cutting the servers from each other

    def cut(self, source, destination, mode='silent'):
        """What `source` opened to `destination` is cut (a Proxy mode); a connection serves both ways, so
        cut both orders to part them surely."""
        for proxy in self.links[source.number, destination.number]:
            proxy.set_mode(mode)

    def isolate(self, server, mode='silent'):
        """No other server reaches this one, nor does it reach another; clients do."""
        for other in self.servers:
            if other is not server:
                self.cut(server, other, mode)
                self.cut(other, server, mode)

    def heal(self):
        for pair in self.links.values():
            for proxy in pair:
                if proxy.mode != 'pass':
                    # What was held back belongs to connections that both sides gave up: begin afresh.
                    proxy.reset_connections()
                    proxy.set_mode('pass')

    def set_delay(self, milliseconds):
        """Of what the servers send each other: a commit takes twice that."""
        for pair in self.links.values():
            for proxy in pair:
                proxy.set_delay(milliseconds)

    def _make_links(self):
        """Ports first: an election connection names its opener's own address, which the other side then
        calls back. The proxy puts the address of the proxy for that way in its place."""
        pairs = [(a, b) for a in self.servers for b in self.servers if a is not b]
        ports = {(a.number, b.number): (free_port(), free_port()) for a, b in pairs}
        for a, b in pairs:
            quorum, election = ports[a.number, b.number]
            own = f'{a.address}:{a.election_port}'.encode()
            back = f'{a.address}:{ports[b.number, a.number][1]}'.encode()
            assert len(own) == len(back), 'ports have five digits'
            self.links[a.number, b.number] = (
                Proxy((b.address, b.quorum_port), quorum),
                Proxy((b.address, b.election_port), election, rewrite=[(own, back)]))

    def _peers_of(self, server):
        for other in self.servers:
            quorum, election = other.quorum_port, other.election_port
            if (server.number, other.number) in self.links:
                quorum, election = (proxy.port for proxy in self.links[server.number, other.number])
            yield other.number, f'{other.address}:{quorum}:{election}'


class ClientLinks:
    """One client's way to an ensemble: a proxy to each server. `connect` is its server list."""

    def __init__(self, ensemble):
        self.proxies = [Proxy((server.address, server.port)) for server in ensemble.servers]

    connect = property(lambda self: ','.join(proxy.address for proxy in self.proxies))

    def set_mode(self, mode, server=None):
        """Cuts the way to one server (a Server), or to all."""
        for number, proxy in enumerate(self.proxies, 1):
            if server is None or server.number == number:
                proxy.set_mode(mode)

    def set_delay(self, milliseconds):
        for proxy in self.proxies:
            proxy.set_delay(milliseconds)

    def connected_to(self):
        """Numbers of the servers that the client has a connection to."""
        return [number for number, proxy in enumerate(self.proxies, 1) if proxy.pairs]

    def reset_counters(self):
        for proxy in self.proxies:
            proxy.reset_counters()

    def total(self, counter):
        return sum(getattr(proxy, counter) for proxy in self.proxies)

    def close(self):
        for proxy in self.proxies:
            proxy.close()
