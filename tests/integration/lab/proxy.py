"""A TCP proxy that can be cut, for one direction or both, and that counts.

All proxies of a process share one background thread; a proxy costs some 50 us a packet.
Up is from the client to the server, down the way back.
"""

import asyncio
import collections
import socket
import struct
import threading

from .ports import free_port

MODES = ('pass', 'reset', 'silent', 'oneway-up', 'oneway-down')


class _Loop:
    """The background thread with its event loop, started at first use."""

    _lock = threading.Lock()
    _loop = None

    @classmethod
    def call(cls, coroutine, timeout=5.0):
        """Runs a coroutine in the loop's thread and returns its result."""
        with cls._lock:
            if cls._loop is None:
                cls._loop = asyncio.new_event_loop()
                threading.Thread(target=cls._loop.run_forever, name='proxies', daemon=True).start()
        return asyncio.run_coroutine_threadsafe(coroutine, cls._loop).result(timeout)


class _Direction:
    """Data on its way to one side. It is kept, not dropped, while the way is blocked: like TCP, which
    repeats until it is heard. None in the queue is the end of the data."""

    def __init__(self, proxy, name):
        self.proxy = proxy
        self.name = name  # 'up' or 'down'
        self.queue = collections.deque()
        self.target = None  # transport, once connected
        self.timer = None
        self.first = True

    def feed(self, data):
        if data is not None and self.first and self.name == 'up':
            self.first = False
            for old, new in self.proxy.rewrite:
                data = data.replace(old, new)
        loop = asyncio.get_running_loop()
        self.queue.append((loop.time() + self.proxy.delay_s, data))
        self.flush()

    def flush(self):
        """Passes on what is due."""
        if self.timer:
            self.timer.cancel()
            self.timer = None
        loop = asyncio.get_running_loop()
        while self.queue and self.target and self.proxy.is_open(self.name):
            due, data = self.queue[0]
            if due > loop.time():
                self.timer = loop.call_at(due, self.flush)
                return
            self.queue.popleft()
            if data is None:
                self.target.close()
            else:
                self.proxy.count(self.name, len(data))
                self.target.write(data)


class _Side(asyncio.Protocol):
    """One of the two connections of a pair: what it receives goes into `out`."""

    def __init__(self, pair, out):
        self.pair = pair
        self.out = out

    def connection_made(self, transport):
        transport.get_extra_info('socket').setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pair.connected(self, transport)

    def data_received(self, data):
        self.out.feed(data)

    def connection_lost(self, exc):
        self.out.feed(None)
        self.pair.lost(self)


class _Pair:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.up = _Direction(proxy, 'up')
        self.down = _Direction(proxy, 'down')
        self.client = _Side(self, self.up)
        self.server = _Side(self, self.down)
        self.transports = {}
        self.task = None

    def connected(self, side, transport):
        self.transports[side] = transport
        if self.proxy.mode == 'reset':
            self.abort()  # it was under way when the listener was closed
            return
        (self.down if side is self.client else self.up).target = transport
        if side is self.client:
            self.proxy.pairs.add(self)
            self.proxy.connections += 1
            self.task = asyncio.ensure_future(self.connect_server())
        self.up.flush()
        self.down.flush()

    async def connect_server(self):
        try:
            # A cut client gets no answer, and the server does not hear of it.
            await self.proxy.gate('up')
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: self.server, *self.proxy.target)
        except OSError:
            self.abort()

    def lost(self, side):
        self.transports.pop(side, None)
        if self.transports:
            return
        if side is self.client and self.up.target is None and self.proxy.is_open('up'):
            return  # it said what it had to say and left before the server was reached: deliver it
        self.proxy.pairs.discard(self)
        self.task.cancel()

    def abort(self):
        """Ends both connections with a reset."""
        for transport in list(self.transports.values()):
            sock = transport.get_extra_info('socket')
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            transport.abort()
        self.up.queue.clear()
        self.down.queue.clear()
        if self.task:
            self.task.cancel()
        self.proxy.pairs.discard(self)


class Proxy:
    """127.0.0.1:port -> target. Every method may be called from any thread and takes effect before it returns.

    Counters: connections, bytes_up, bytes_down, and turns: how often data went up after data had come down
    (or for the first time), which for one client that waits for its answers is the number of round trips.
    """

    def __init__(self, target, port=None, rewrite=()):
        """target: (host, port). rewrite: pairs of bytes replaced in the first data of each connection."""
        self.target = target
        self.rewrite = rewrite
        self.port = port or free_port()
        self.mode = 'pass'
        self.delay_s = 0.0
        self.pairs = set()
        self.reset_counters()
        self._listener = None
        self._gates = {}
        _Loop.call(self._open())

    address = property(lambda self: f'127.0.0.1:{self.port}')

    def set_mode(self, mode):
        """pass: as if it were not there; what was held back arrives now, as after TCP's retransmission.
        reset: connections are reset and new ones refused.
        silent: nothing gets through either way and nothing is said; new connections get no answer.
        oneway-up, oneway-down: the same for data in that direction only (the other one still passes)."""
        assert mode in MODES, mode
        _Loop.call(self._set_mode(mode))

    def set_delay(self, milliseconds):
        """Each packet arrives so much later, in each direction."""
        self.delay_s = milliseconds / 1000

    def reset_connections(self):
        """Resets what is connected now; new connections are welcome."""
        _Loop.call(self._reset_connections())

    def reset_counters(self):
        self.connections = self.bytes_up = self.bytes_down = self.turns = 0
        self._last = 'down'

    def close(self):
        _Loop.call(self._close())

    # what the connections ask

    def is_open(self, direction):
        return self.mode in ('pass', 'reset') or (self.mode.startswith('oneway') and self.mode != f'oneway-{direction}')

    def count(self, direction, length):
        if direction == 'up':
            self.bytes_up += length
            self.turns += self._last == 'down'
        else:
            self.bytes_down += length
        self._last = direction

    async def gate(self, direction):
        while not self.is_open(direction):
            event = self._gates.setdefault(direction, asyncio.Event())
            await event.wait()

    # in the loop's thread

    async def _open(self):
        if self._listener is None:
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(
                lambda: _Pair(self).client, '127.0.0.1', self.port, reuse_address=True, backlog=512)

    async def _set_mode(self, mode):
        self.mode = mode
        if mode == 'reset':
            self._stop_listening()
            await self._reset_connections()
        else:
            await self._open()
        for event in self._gates.values():
            event.set()
        self._gates.clear()
        for pair in list(self.pairs):
            pair.up.flush()
            pair.down.flush()

    async def _reset_connections(self):
        for pair in list(self.pairs):
            pair.abort()

    def _stop_listening(self):
        if self._listener:
            self._listener.close()
            self._listener = None

    async def _close(self):
        self._stop_listening()
        await self._reset_connections()
