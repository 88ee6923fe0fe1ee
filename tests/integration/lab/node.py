"""One node of a cluster: a primaryd with a configuration, commands and files of its own."""

import configparser
import os
import re
import signal
import struct

from . import process
from .wait import Timeout, wait_until

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), '..', '..', '..'))

# What a test wants other than the defaults: a session that expires soon, and stops that fit into it.
TEST_CONFIG = {
    'zookeeper.session-timeout': '3s',
    'relinquish.lease-timeout': '500ms',
    'takeover.timeout': '10s',
    'relinquish.timeout': '10s',
    'election.penalty': '2s',
    'health.interval': '100ms',
    'health.timeout': '1s',
}

# Variables of our own environment that would make a daemon believe that systemd started it.
SYSTEMD_VARIABLES = ('NOTIFY_SOCKET', 'JOURNAL_STREAM', 'RUNTIME_DIRECTORY', 'STATE_DIRECTORY', 'CREDENTIALS_DIRECTORY',
                     'WATCHDOG_USEC', 'WATCHDOG_PID', 'INVOCATION_ID')

LINE_MAX = 150  # primaryd takes 197 bytes; longer commands go on in lines that begin with a blank

SANITIZER_REPORT = re.compile(r'ERROR: \w+Sanitizer|runtime error:|Assertion .* failed')


def clean_environment(**more):
    """Our own environment without what systemd sets, and with more."""
    return {**{key: value for key, value in os.environ.items() if key not in SYSTEMD_VARIABLES}, **more}


def build_directory():
    """The build under test: $PRIMARYD_BUILD (a build directory, or the daemon in it), default build/gcc."""
    path = os.path.abspath(os.environ.get('PRIMARYD_BUILD') or os.path.join(TOP, 'build', 'gcc'))
    return path if os.path.isdir(path) else os.path.dirname(os.path.dirname(path))


def program(name):
    """Path of a built program, e.g. 'daemon/primaryd', 'ctl/primaryctl', 'tests/integration/stamp'."""
    return os.path.join(build_directory(), name)


def is_built(name):
    return os.access(program(name), os.X_OK)


def read_profile(name):
    """{'section.key': value} of a file in conf/."""
    parser = configparser.ConfigParser()
    with open(os.path.join(TOP, 'conf', name), encoding='utf-8') as file:
        parser.read_file(file)
    return {f'{section}.{key}': value for section in parser.sections() for key, value in parser[section].items()}


class Node:
    """A node. Its directory holds the configuration `conf`, the commands `takeover`, `relinquish`, ... and
    `log`, what it said on stderr. Nothing runs before start()."""

    def __init__(self, name, connect, root, directory, event_log, config=None, host=None, links=None):
        """connect: the server list. event_log: path of the log that the commands write, see oracle.py.
        config: {'section.key': value} over TEST_CONFIG; None takes a key out. host: a netns.Host.
        links: a zk.ClientLinks that `connect` leads through; kept for tests to cut, closed by close()."""
        self.name = name
        self.directory = os.path.join(directory, name)
        self.event_log = event_log
        self.host = host
        self.links = links
        self.log_path = os.path.join(self.directory, 'log')
        self.config_path = os.path.join(self.directory, 'conf')
        self.runtime_directory = os.path.join(self.directory, 'run')
        self.state_directory = os.path.join(self.directory, 'state')
        self.status_directory = os.path.join(self.directory, 'status')
        self.child = None
        self.made_at = process.now()
        self.families = {}  # session ids of all the processes that were started, and when their leaders began
        os.makedirs(self.runtime_directory, mode=0o700)
        os.makedirs(self.state_directory, mode=0o700)
        self.config = {
            **TEST_CONFIG,
            'zookeeper.servers': connect,
            'zookeeper.root': root,
            'node.name': name,
            'node.runtime-directory': self.runtime_directory,
            'node.state-directory': self.state_directory,
            'node.status-directory': self.status_directory,
            'takeover.command': self.set_command('takeover'),
            'relinquish.command': self.set_command('relinquish'),
            **(config or {}),
        }
        self.write_config()

    # files

    def write_config(self, **config):
        """Writes the configuration, changed by {'section.key': value}."""
        self.config.update(config)
        sections = {}
        for name, value in self.config.items():
            section, key = name.split('.', 1)
            if value is not None:
                line = f'{key} = {value}'
                if key in ('command', 'servers') and len(line) > LINE_MAX:
                    line = line.replace(' ', '\n ').replace('\n ', ' ', 2)  # wherever the tree and its files are
                sections.setdefault(section, []).append(line + '\n')
        with open(self.config_path, 'w', encoding='utf-8') as file:
            for section, lines in sections.items():
                file.write(f'[{section}]\n{"".join(lines)}\n')

    def set_command(self, event, options='', before='', after=''):
        """Makes the script for an event and returns its path; from then on it runs `stamp` with these options
        (see stamp.c), between shell lines of the test's own. May be called while the node runs."""
        path = os.path.join(self.directory, event)
        stamp = f'{program("tests/integration/stamp")} --log {self.event_log} {options}'
        text = '\n'.join(['#!/bin/sh', before, stamp if after else f'exec {stamp}', after, ''])
        with open(path + '.new', 'w', encoding='utf-8') as file:
            file.write(text)
        os.chmod(path + '.new', 0o755)
        os.rename(path + '.new', path)
        return path

    # life

    def start(self, environment=None):
        """Starts the daemon; does not wait for anything."""
        assert not self.running(), f'{self.name} runs already'
        argv = [program('daemon/primaryd'), '--config', self.config_path]
        env = clean_environment(**{'PRIMARYD_LAB': self.directory, **(environment or {})})
        with open(self.log_path, 'ab') as log:
            self.child = process.spawn(self.host.wrap(argv) if self.host else argv, stdout=log, stderr=log, env=env)
        self.families[self.child.pid] = process.started_at(self.child.pid)
        return self

    pid = property(lambda self: self.child.pid)
    page = property(lambda self: self._own_file('node.status-directory'))
    memory = property(lambda self: f"{self._own_file('node.state-directory')}.cluster")

    def _own_file(self, key):
        return os.path.join(self.config[key], self.config['node.runtime-directory'].replace('/', '%2F'))

    def running(self):
        return self.child is not None and self.child.poll() is None

    def kill9(self):
        """kill -9 of the daemon alone; its guard and commands go on."""
        return process.kill(self.child)

    def stop(self, timeout=20.0, expect=0):
        """SIGTERM, and waits for the end; returns the exit code, which must be `expect` unless that is None."""
        self.terminate()
        try:
            code = process.reap(self.child, timeout)
        except Timeout:
            raise Timeout(f'{self.name} did not stop within {timeout} s:\n{self.log_tail()}') from None
        assert expect is None or code == expect, f'{self.name} ended with {code}:\n{self.log_tail()}'
        return code

    def terminate(self):
        """SIGTERM, once the daemon is far enough to stop in order: before that the signal simply ends it."""
        wait_until(lambda: process.handles(self.pid, signal.SIGTERM) or not self.running(), 10,
                   lambda: f'{self.name} has begun:\n{self.log_tail()}')
        self.child.send_signal(signal.SIGTERM)

    def wait_exit(self, timeout=10.0):
        """Waits until the daemon ends by itself; returns its exit code."""
        return process.reap(self.child, timeout)

    def sigstop(self):
        self.child.send_signal(signal.SIGSTOP)

    def sigcont(self):
        self.child.send_signal(signal.SIGCONT)

    def reload(self):
        self.child.send_signal(signal.SIGHUP)

    def processes(self):
        """Pids of everything that this node's daemons left or have: daemon, guard, commands."""
        ours = [family for family, began in self.families.items()
                if process.started_at(family) in (None, began)]  # else it is somebody else's by now: numbers come again
        return sorted(process.find_processes(ours, self.directory, self.made_at))

    def close(self):
        """Kills whatever is left of it."""
        if self.child:
            process.kill(self.child)
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.links:
            self.links.close()

    # what it said

    def log_text(self):
        """Everything it wrote to stderr since the first start."""
        try:
            with open(self.log_path, encoding='utf-8', errors='replace') as file:
                return file.read()
        except FileNotFoundError:
            return ''

    def log_lines(self, pattern=''):
        """The lines of it that match a regular expression."""
        return [line for line in self.log_text().splitlines() if re.search(pattern, line)]

    def log_tail(self, lines=25):
        state = process.state_of(self.child.pid) if self.child else None
        return f'--- {self.name}, {state or "not running"}\n' + '\n'.join(self.log_text().splitlines()[-lines:])

    def log_mark(self):
        """A position for wait_log(since=...): what is said from now on."""
        return len(self.log_text())

    def wait_log(self, pattern, timeout=10.0, since=0):
        """Waits until a line matches; returns the match."""
        expression = re.compile(pattern, re.M)
        return wait_until(lambda: expression.search(self.log_text()[since:]), timeout,
                          lambda: f'{self.name} says /{pattern}/:\n{self.log_tail()}', 0.01)

    def client_id(self):
        """Its session: what whoever may read the state file has, too. None: it has none, or no state."""
        try:
            with open(f'{self.runtime_directory}/state', encoding='ascii') as file:
                fields = dict(line.split('=', 1) for line in file.read().splitlines() if '=' in line)
            session = int(fields['session'], 16)
        except (OSError, KeyError, ValueError):
            return None
        return (session - (1 << 64) if session >> 63 else session, bytes.fromhex(fields['password'])) if session else None

    def lease_end_us(self):
        """When its lease ends, by CLOCK_BOOTTIME, as its daemon told the guard; None: it has none."""
        try:
            with open(f'{self.runtime_directory}/lease', 'rb') as file:
                head = file.read(80)
        except OSError:
            return None
        # daemon/guard/lease_file.c: magic[16], boot_id[40], device, inode, end_us
        if len(head) < 80 or not head.startswith(b'primaryd lease 3'):
            return None
        end_us, = struct.unpack_from('=q', head, 72)
        return end_us if end_us > 0 else None

    def complaints(self):
        """Lines in which a sanitizer or an assertion speaks."""
        return self.log_lines(SANITIZER_REPORT.pattern)

    def rss_kib(self):
        """Resident memory of the daemon."""
        return int(process.status_of(self.pid)['VmRSS'][0])

    def cpu_seconds(self):
        """Processor time of the daemon so far."""
        with open(f'/proc/{self.pid}/stat', encoding='ascii') as file:
            fields = file.read().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def stop_all(nodes, timeout=20.0):
    """SIGTERM to all at once, then waits for each."""
    running = [node for node in nodes if node.running()]
    for node in running:
        node.child.send_signal(signal.SIGCONT)
        node.terminate()
    for node in running:
        code = process.reap(node.child, timeout)
        assert code == 0, f'{node.name} ended with {code}:\n{node.log_tail()}'
