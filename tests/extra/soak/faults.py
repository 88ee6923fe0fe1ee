"""How each kind of fault is done, and undone when its time is over."""

import os
import queue
import signal
import threading

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, KazooException, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.retry import RetryFailedError

from lab import process

# Kinds that take a daemon, or what guards it, away: one at a time on a node. Both at once, guard and daemon, is what no
# software on the node can answer; it is tested with a fence elsewhere.
DAEMON_FAULTS = ('daemon killed, restarted', 'daemon killed, late restart', 'daemon stopped (SIGSTOP)',
                 'daemon restarted', 'daemon reloaded', 'guard killed')
GUARD_BACK_S = 1.5
MAJORITY_BACK_S = 1.0


class Operator:
    """Does what people do to the keys, in a thread of its own: it waits while there is no quorum."""

    def __init__(self):
        self._orders = queue.Queue()
        self._said = queue.Queue()
        self._thread = threading.Thread(target=self._run, name='operator', daemon=True)
        self._thread.start()

    def order(self, function):
        """function() runs soon; what it returns is said, unless it is None."""
        self._orders.put(function)

    def said(self):
        while not self._said.empty():
            yield self._said.get()

    def drain(self):
        """Forgets what is not done yet."""
        while not self._orders.empty():
            try:
                self._orders.get_nowait()
            except queue.Empty:
                pass

    def close(self):
        self.drain()
        self._orders.put(None)

    def _run(self):
        for function in iter(self._orders.get, None):
            try:
                text = function()
            except (KazooException, RetryFailedError) as error:
                text = f'operator: {error!r}'
            if text is not None:
                self._said.put(text)


class Faults:
    """Applies faults. `later(seconds, function)` runs a function in the loop of the soak, see soak.py."""

    def __init__(self, cluster, later):
        self.cluster = cluster
        self.later = later
        self.busy_servers = set()
        self.operator = Operator()

    def apply(self, fault):
        """Returns what was done, as text, or None if it makes no sense at the moment."""
        name = fault.kind.split(',')[0].split(' (')[0].replace(' ', '_')
        if fault.kind.startswith('server') or fault.kind.startswith('two'):
            return self._server_fault(fault)
        if fault.target is None:
            return getattr(self, f'_{name}')(fault)
        member = self._member(fault.target)
        if member is None:
            return None
        group = 'daemon' if fault.kind in DAEMON_FAULTS else fault.kind.split()[0]
        if group in member.broken or not member.running():
            return None
        done = getattr(self, f'_{name}')(member, fault)
        if done is None:
            return None
        member.broken.add(group)
        return f'{member.name}: {done}'

    def _member(self, target):
        return self.cluster.primary() if target == 'primary' else self.cluster.members[target]

    def _over(self, member, group):
        member.broken.discard(group)

    def _undo(self, seconds, member, group, function):
        def run():
            if group in member.broken:
                function()
                member.broken.discard(group)
        self.later(seconds, run)

    # daemons

    def _daemon_killed(self, member, fault):
        member.expected_end = True
        member.kill9()
        self._undo(fault.hold, member, 'daemon', member.start)
        return f'daemon killed, back after {fault.hold:.2f} s'

    def _daemon_stopped(self, member, fault):
        member.sigstop()
        self._undo(fault.hold, member, 'daemon', member.sigcont)
        return f'daemon stopped for {fault.hold:.2f} s'

    def _daemon_restarted(self, member, _fault):
        member.expected_end = True
        member.child.send_signal(signal.SIGTERM)

        def again():
            if 'daemon' not in member.broken:
                return
            if member.running():
                self.later(0.05, again)
            else:
                member.start()
                self._over(member, 'daemon')
        self.later(0.05, again)
        return 'daemon told to end, then started again'

    def _daemon_reloaded(self, member, _fault):
        if not process.handles(member.pid, signal.SIGHUP):
            return None  # it is only just started
        member.reload()
        self._undo(0.5, member, 'daemon', lambda: None)
        return 'daemon reloaded'

    def _guard_killed(self, member, _fault):
        guards = member.guards()
        if not guards:
            return None
        for pid in guards:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        # The next one must be there before the daemon is hit, too.
        self._undo(GUARD_BACK_S, member, 'daemon', lambda: None)
        return f'guard {guards} killed'

    # the way to the servers

    def _node_cut_off(self, member, fault):
        member.links.set_mode(fault.detail)
        self._undo(fault.hold, member, 'node', lambda: member.links.set_mode('pass'))
        return f'cut off ({fault.detail}) for {fault.hold:.2f} s'

    def _node_cut_from_one_server(self, member, fault):
        number, mode = fault.detail
        connected = member.links.connected_to()
        proxy = member.links.proxies[connected[number % len(connected)] - 1 if connected else number]
        proxy.set_mode(mode)
        self._undo(fault.hold, member, 'node', lambda: proxy.set_mode('pass'))
        return f'cut from one server ({mode}) for {fault.hold:.2f} s'

    def _node_slow(self, member, fault):
        member.links.set_delay(fault.detail)
        self._undo(fault.hold, member, 'node', lambda: member.links.set_delay(0))
        return f'each packet {fault.detail} ms late for {fault.hold:.2f} s'

    # what it keeps

    def _session_closed(self, member, _fault):
        client_id = member.client_id()
        if client_id is None:
            return None

        def close():
            client = KazooClient(self.cluster.ensemble.connect, client_id=client_id, timeout=self.cluster.session_s)
            try:
                client.start(5)
                client.stop()
            except KazooTimeoutError:
                client.stop()
            client.close()
        self.operator.order(close)
        self._undo(1.0, member, 'session', lambda: None)
        return 'session closed by another client'

    def _state_not_saved(self, member, fault):
        if not member.keep_state(False):
            return None
        self._undo(fault.hold, member, 'state', lambda: member.keep_state(True))
        return f'state cannot be saved for {fault.hold:.2f} s'

    # commands

    def _command(self, member, fault, event, before):
        member.behave(event, before)
        self._undo(3 * fault.hold, member, event, lambda: member.behave(event))
        return f'{fault.kind}: {before} (for {3 * fault.hold:.1f} s)'

    def _takeover_slow(self, member, fault):
        return self._command(member, fault, 'takeover', f'sleep {fault.detail}')

    def _takeover_fails(self, member, fault):
        return self._command(member, fault, 'takeover', 'exit 1')

    def _takeover_hangs(self, member, fault):
        return self._command(member, fault, 'takeover', f'{member.worker} start; sleep 60')

    def _relinquish_slow(self, member, fault):
        return self._command(member, fault, 'relinquish', f'sleep {fault.detail}')

    def _relinquish_fails(self, member, fault):
        return self._command(member, fault, 'relinquish', 'exit 1')

    def _relinquish_fails_once(self, member, fault):
        once = f'{member.directory}/failed-once'
        if os.path.exists(once):
            os.unlink(once)
        return self._command(member, fault, 'relinquish', f'[ -e {once} ] || {{ : >{once}; exit 1; }}')

    def _relinquish_hangs(self, member, fault):
        return self._command(member, fault, 'relinquish', 'sleep 60')

    def _fence_fails(self, fault):
        for member in self.cluster.members:
            member.behave('fence', 'exit 1')

        def over():
            for member in self.cluster.members:
                member.behave('fence')
        self.later(fault.hold, over)
        return f'fence commands fail for {fault.hold:.2f} s'

    # operators

    def _delete(self, key):
        self.operator.order(lambda: self.cluster.keys.delete(key))

    def _post_deleted(self, _fault):
        self._delete('primary_active')
        return 'post deleted'

    def _keepalive_deleted(self, _fault):
        primary = self.cluster.primary()
        if primary is None:
            return None
        self._delete(f'nodes/{primary.name}/keepalive')
        return f'{primary.name}: keepalive deleted'

    def _drained(self, member, fault):
        keys = self.cluster.keys
        key = f'nodes/{member.name}/drain'
        self.operator.order(lambda: keys.set(key, ''))
        self._undo(fault.hold, member, 'drained', lambda: self.operator.order(lambda: keys.delete(key)))
        return f'drained for {fault.hold:.2f} s'

    def _maintenance(self, fault):
        keys = self.cluster.keys
        self.operator.order(lambda: keys.set('maintenance', 'true'))
        self.later(fault.hold, lambda: self.operator.order(lambda: keys.delete('maintenance')))
        return f'maintenance for {fault.hold:.2f} s'

    def _name(self, name):
        client, path = self.cluster.client, self.cluster.keys.path('primary_node')

        def write():
            try:
                data, stat = client.retry(client.get, path)
                client.retry(client.set, path, name.encode(), stat.version)
            except (NoNodeError, BadVersionError):
                return None
            return f'operator: {data.decode()} -> {name}'
        self.operator.order(write)

    def _switchover(self, fault):
        name = self.cluster.members[fault.detail].name
        self._name(name)
        return f'switchover to {name}'

    def _released(self, _fault):
        self._name('none')
        return 'released'

    # servers

    def _server(self, target):
        up = [server for server in self.cluster.ensemble.servers if server.number not in self.busy_servers]
        if len(up) < 3:
            return None
        if target == 'of the primary':
            primary = self.cluster.primary()
            connected = primary.links.connected_to() if primary else []
            return self.cluster.ensemble.servers[connected[0] - 1] if connected else None
        want = 'leader' if target == 'leader' else 'follower'
        return next((server for server in up if server.mode() == want), None)

    def _server_fault(self, fault):
        server = self._server(fault.target)
        if server is None:
            return None
        servers = [server]
        if fault.kind.startswith('two'):
            servers.append(next(other for other in self.cluster.ensemble.servers if other is not server))
        slow = fault.detail if fault.kind == 'server commits slow' else 0
        break_, repair = {
            'server commits slow': (lambda s: self.cluster.ensemble.set_delay(slow),
                                    lambda s: self.cluster.ensemble.set_delay(0)),
            'server killed': (lambda s: s.kill9(), lambda s: s.start()),
            'two servers killed': (lambda s: s.kill9(), lambda s: s.start()),
            'server stopped (SIGSTOP)': (lambda s: s.sigstop(), lambda s: s.sigcont()),
            'server isolated': (lambda s: self.cluster.ensemble.isolate(s, fault.detail),
                                lambda s: self.cluster.ensemble.heal()),
        }[fault.kind]
        for one in servers:
            break_(one)
            self.busy_servers.add(one.number)

        def over():
            for one in servers:
                if one.number in self.busy_servers:
                    repair(one)
            # It needs a moment to join the others.
            self.later(MAJORITY_BACK_S, lambda: self.busy_servers.difference_update(s.number for s in servers))
        self.later(fault.hold, over)
        return f'{fault.kind}: {[one.number for one in servers]} ({fault.target}) for {fault.hold:.2f} s'
