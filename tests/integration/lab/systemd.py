"""A service manager to play against: a message bus of its own, and on it something that answers as systemd does.

Units are what a test says they are. Only the guard is real: its unit starts `primaryd-guard`, and when
that ends, whatever is bound to it (BindsTo=) goes down, as with systemd. A test changes what is answered by rules:

    systemd.rule('StopUnit', 'work.target', error('org.freedesktop.DBus.Error.AccessDenied', 'no'))

Needs dbus-daemon.
"""

import collections
import os
import re
import shutil
import signal
import socket
import threading

from . import dbus, process
from .node import clean_environment, program
from .wait import boottime_ns, wait_until

NAME = 'org.freedesktop.systemd1'
PATH = '/org/freedesktop/systemd1'
MANAGER = f'{NAME}.Manager'
PROPERTIES = 'org.freedesktop.DBus.Properties'

# How often guards are looked at.
TICK_S = 0.01

Call = collections.namedtuple('Call', 'method unit')
# What a rule does: answer(signature, *values), error(name, text), or HOLD: nothing at all.
Reply = collections.namedtuple('Reply', 'kind name signature values')

HOLD = Reply(None, '', '', ())


def answer(signature, *values):
    return Reply(dbus.RETURN, '', signature, values)


def error(name, text='no'):
    return Reply(dbus.ERROR, name, 's', (text,))


def available():
    """None if it can be had here, else the reason why not."""
    if not shutil.which('dbus-daemon'):
        return 'needs dbus-daemon'
    return None


class Bus:
    """A dbus-daemon. stop() and start() give the same address."""

    def __init__(self, directory):
        self.path = os.path.join(directory, 'bus')
        self.address = f'unix:path={self.path}'
        self.config = os.path.join(directory, 'bus.conf')
        self.child = None
        with open(self.config, 'w', encoding='utf-8') as file:
            file.write(f'<busconfig><type>system</type><listen>{self.address}</listen><auth>EXTERNAL</auth>\n'
                       '<policy context="default"><allow send_destination="*" eavesdrop="true"/>'
                       '<allow eavesdrop="true"/><allow own="*"/></policy></busconfig>\n')
        self.start()

    def start(self):
        with open(f'{self.path}.log', 'ab') as log:
            self.child = process.spawn(['dbus-daemon', f'--config-file={self.config}', '--nofork', '--nopidfile',
                                        '--nosyslog'], stdout=log, stderr=log)
        wait_until(self._listens, 10, 'the bus listens')

    def _listens(self):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.path) == 0

    def stop(self):
        process.kill(self.child)
        if os.path.exists(self.path):
            os.unlink(self.path)


class Unit:
    """state: its ActiveState. lists: BindsTo, ConsistsOf, BoundBy, ... start, stop: the result of such a job
    ('done', 'failed' ...), or None: the job stays, for Systemd.finish()."""

    def __init__(self, name, **lists):
        self.name = name
        self.state = 'inactive'
        self.lists = lists
        self.start = self.stop = 'done'
        self.jobs = []  # (path, what), pending
        self.processes = []  # (control group, pid, command line)
        self.job = ''  # the kind of a job that it is said to have
        self.child = self.notify = None  # of the guard: the process, and the socket on which it says how it is
        self.wanted = False  # the guard is to be started
        self.leaving = False  # and this one ends once what is bound to it is down


class Systemd:
    """The manager of one node, on its own bus. All methods may be called from any thread."""

    def __init__(self, directory, node_directory, work='work.target', guard='primaryd-guard@run.service'):
        os.makedirs(directory)
        self.directory, self.node_directory = directory, node_directory
        self.bus = Bus(directory)
        self.lock = threading.RLock()
        self.calls = []  # every Call, in order
        self.work_log = []  # (time in ns, whether the work may run), of self.work
        self.rules = {}
        self.n_jobs = 0
        self.system_state = 'running'
        self.units = {}
        self.work = self.add(Unit(work, BindsTo=[guard]))
        self.guard_options = []
        self.guard = self.add(Unit(guard, BoundBy=[work]))
        self.connection = self.reader = None
        self.closing = threading.Event()
        self.ticker = threading.Thread(target=self._tick, daemon=True)
        self.ticker.start()
        self.connect()

    def add(self, unit):
        self.units[unit.name] = unit
        return unit

    def guard_command(self):
        return [program('daemon/primaryd-guard'), '--runtime-directory', f'{self.node_directory}/run',
                '--lease-timeout', '500ms', *self.guard_options]

    # the connection

    def connect(self):
        """Takes the manager's name on the bus."""
        connection = dbus.Connection(self.bus.path, NAME)
        with self.lock:
            self.connection = connection
        self.reader = threading.Thread(target=self._read, args=(connection,), daemon=True)
        self.reader.start()

    def disconnect(self):
        """The manager goes, the bus stays."""
        with self.lock:
            connection, self.connection = self.connection, None
        if connection is not None:
            connection.shutdown()
            self.reader.join()
            connection.socket.close()

    def close(self):
        self.disconnect()
        self.closing.set()
        self.ticker.join()
        if self.guard.child is not None:
            process.kill(self.guard.child)
        if self.guard.notify is not None:
            self.guard.notify.close()
        self.bus.stop()

    # what a test does

    def rule(self, method, unit, reply):
        """From now on that is how (method, unit) is answered; None: as usual. For a property: its name as method."""
        with self.lock:
            self.rules[method, unit] = reply

    def count(self, method, unit):
        return self.calls.count(Call(method, unit))

    def wait_call(self, method, unit=None, more_than=0, timeout=15):
        unit = self.work.name if unit is None else unit
        wait_until(lambda: self.count(method, unit) > more_than, timeout,
                   lambda: f'{method} {unit}; called was {self.calls[-20:]}', 0.01)

    def set_state(self, name, state):
        """The unit is in another state, and all who look are told."""
        with self.lock:
            unit = self.units[name]
            unit.state = state
            if unit is self.work:
                self.work_log.append((boottime_ns(), state not in ('inactive', 'failed')))
            self.signal(self.unit_path(name), PROPERTIES, 'PropertiesChanged', 'sa{sv}as', f'{NAME}.Unit',
                        [('ActiveState', ('s', state))], [])

    def finish(self, name, result):
        """Ends the jobs of a unit with that result."""
        with self.lock:
            unit = self.units[name]
            jobs, unit.jobs = unit.jobs, []
            for path, what in jobs:
                self._job_over(unit, path, what, result)

    def signal(self, path, interface, member, signature, *values):
        """Broadcasts anything at all."""
        with self.lock:
            if self.connection is None:
                return
            self._send(dbus.SIGNAL, {'path': path, 'interface': interface, 'member': member}, signature, values)

    @staticmethod
    def unit_path(name):
        return f'{PATH}/unit/' + (re.sub('^[0-9]|[^A-Za-z0-9]', lambda match: f'_{ord(match[0]):02x}', name) or '_')

    # what the daemon asks

    def _read(self, connection):
        try:
            while True:
                message = connection.receive()
                if message.kind == dbus.CALL and message.fields.get('path', '').startswith(PATH):
                    with self.lock:
                        self._answer(message)
        except (EOFError, OSError):
            return

    def _answer(self, message):
        method, args = message.fields['member'], message.body
        if method == 'Get':
            path, method = message.fields['path'], args[1]
            name = next((name for name in self.units if self.unit_path(name) == path), None)
        else:
            name = args[0] if args and method != 'ListUnitsByNames' else ''
        self.calls.append(Call(method, name))
        reply, after = self.rules.get((method, name)), None
        if reply is None:
            reply, after = self._serve(method, name, args)
        if reply is not HOLD:
            fields = {'reply_to': message.serial, 'destination': message.fields['sender']}
            if reply.kind == dbus.ERROR:
                fields['error'] = reply.name
            self._send(reply.kind, fields, reply.signature, reply.values)
        if after is not None:
            after()

    def _send(self, kind, fields, signature, values):
        try:
            self.connection.send(kind, fields, signature, values)
        except (AttributeError, OSError):
            pass  # nobody is there to hear it

    def _serve(self, method, name, args):
        """The usual answer, and what happens after it."""
        unit = self.units.get(name)
        if method == 'ListUnitsByNames':
            return answer('a(ssssssouso)', [self._row(str(asked)) for asked in args[0]]), None
        if method in ('BindsTo', 'ConsistsOf', 'BoundBy', 'RequiredBy', 'Triggers', 'Wants', 'Requires', 'PartOf'):
            return answer('v', ('as', unit.lists.get(method, []) if unit else [])), None
        if method == 'GetUnitProcesses':
            return answer('a(sus)', unit.processes if unit else []), None
        if method == 'Result':
            return answer('v', ('s', 'exit-code' if unit and unit.state == 'failed' else 'success')), None
        if method in ('UnitsLoadTimestampMonotonic', 'ExecMainExitTimestampMonotonic'):
            return answer('v', ('t', 1000)), None
        if method == 'RemainAfterExit':
            return answer('v', ('b', False)), None
        if method in ('ExecStop', 'ExecStopPost'):
            return answer('v', ('a(sasbttttuii)', [])), None
        if method == 'SystemState':
            return answer('v', ('s', self.system_state)), None
        if method == 'LoadUnit':
            return answer('o', self.unit_path(name)), None
        if method == 'LoadState':
            return answer('v', ('s', 'loaded' if unit else 'not-found')), None
        if method in ('StartUnit', 'RestartUnit', 'StopUnit'):
            if unit is None:
                return error(f'{NAME}.NoSuchUnit', f'Unit {name} not found.'), None
            self.n_jobs += 1
            path = f'{PATH}/job/{self.n_jobs}'
            return answer('o', path), lambda: self._begin(unit, path, method)
        return answer(''), None

    def _row(self, name):
        unit = self.units.get(name)
        return (name, '', 'loaded' if unit else 'not-found', unit.state if unit else 'inactive', '', '',
                self.unit_path(name), 0, self._job_kind(unit) if unit else '', '/')

    @staticmethod
    def _job_kind(unit):
        return unit.job or next(('stop' if what == 'StopUnit' else 'start' for _, what in unit.jobs), '')

    # jobs

    def _begin(self, unit, path, method):
        unit.jobs.append((path, method))
        if method == 'StopUnit':
            if unit.child is not None:
                unit.leaving = True  # over when that has ended
                self._stop_bound(unit)
            elif unit.stop is not None:
                self.finish(unit.name, unit.stop)
            elif unit.state == 'active':
                self.set_state(unit.name, 'deactivating')
            return
        if unit is self.work:
            self.set_state(unit.name, 'activating')
        if unit is self.guard and unit.start == 'done':
            unit.wanted = True
        elif unit.start is not None:
            self.finish(unit.name, unit.start)

    def _job_over(self, unit, path, what, result):
        if result == 'done':
            self.set_state(unit.name, 'inactive' if what == 'StopUnit' else 'active')
        elif what != 'StopUnit':
            self.set_state(unit.name, 'failed')
        self.signal(PATH, MANAGER, 'JobRemoved', 'uoss', int(path.rsplit('/', 1)[1]), path, unit.name, result)

    def _bound(self, unit):
        return [self.units[name] for name in unit.lists.get('BoundBy', [])
                if self.units[name].state not in ('inactive', 'failed')]

    def _stop_bound(self, unit):
        for one in self._bound(unit):
            self.set_state(one.name, 'deactivating' if one.stop is None else 'inactive')

    def _start_guard(self, unit):
        unit.leaving = False
        if unit.child is not None:
            process.kill(unit.child)
        path = os.path.join(self.directory, f'notify{self.n_jobs}')
        if unit.notify is not None:
            unit.notify.close()
        unit.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        unit.notify.bind(path)
        with open(os.path.join(self.node_directory, 'log'), 'ab') as log:
            unit.child = process.spawn(
                self.guard_command(), stderr=log,
                env=clean_environment(NOTIFY_SOCKET=path, PRIMARYD_LAB=self.node_directory))

    def _tick(self):
        """Looks after the guard: is it ready, does it end? What it is a child of lives as long as this thread."""
        unit = self.guard
        while not self.closing.wait(TICK_S):
            with self.lock:
                if unit.wanted:
                    unit.wanted = False
                    self._start_guard(unit)
                said = self._hear(unit)
                if b'READY=1' in said:
                    self.finish(unit.name, 'done')
                if b'STOPPING=1' in said:
                    self._stop_bound(unit)
                if unit.leaving and unit.child is not None and not self._bound(unit):
                    unit.leaving = False
                    unit.child.send_signal(signal.SIGTERM)
                if unit.child is not None and unit.child.poll() is not None:
                    process.reap(unit.child)
                    unit.child = None
                    self._guard_ended(unit)

    @staticmethod
    def _hear(unit):
        try:
            return unit.notify.recv(4096) if unit.notify else b''
        except BlockingIOError:
            return b''

    def _guard_ended(self, unit):
        started = any(what != 'StopUnit' for _, what in unit.jobs)
        self.finish(unit.name, 'failed' if started else 'done')
        self.set_state(unit.name, 'inactive')
        self._stop_bound(unit)


def check_apart(managers):
    """No two nodes' work ran at once."""
    changes = sorted((when, number, up) for number, one in enumerate(managers) for when, up in one.work_log)
    running = set()
    for when, number, up in changes:
        (running.add if up else running.discard)(number)
        assert len(running) < 2, f'two at work at {when}: {changes}'
