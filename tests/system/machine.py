"""Machines that boot: systemd in containers, each with the installed package, in network namespaces of their own.

All of them share the host's own system as a read-only lower layer; what they write is in memory and gone with them.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile

from lab import process
from lab.wait import Timeout, wait_until

# Whose system is below: the host's, or one in a directory.
LOWEST = os.environ.get('PRIMARYD_ROOT', '/')

NEEDED_TOOLS = ('systemd-nspawn', 'nsenter', 'unshare', 'mount', 'journalctl')
MASKED = ('systemd-logind.service systemd-networkd.service systemd-resolved.service systemd-timesyncd.service '
          'console-getty.service getty.target systemd-tmpfiles-clean.timer apt-daily.timer apt-daily-upgrade.timer '
          'dpkg-db-backup.timer e2scrub_all.timer fstrim.timer networking.service stunnel4.service zookeeper.service '
          'cron.service exim4.service ssh.service').split()
# How systemd is asked to power off from outside: as systemd-nspawn(1) has it.
SIGPOWEROFF = signal.SIGRTMIN + 4


def available():
    """None if systemd can be booted here, else the reason why not."""
    if os.geteuid() != 0:
        return 'needs root'
    for tool in NEEDED_TOOLS:
        if not shutil.which(tool):
            return f'needs {tool} (tests/packages.sh system)'
    if not _cgroups():
        return 'needs a cgroup2 hierarchy'
    try:
        with tempfile.TemporaryDirectory() as directory:
            Layer(directory).mount().close()
    except OSError as error:
        return f'cannot mount overlays: {error}'
    return None


def _run(argv, check=True, **kwargs):
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, **kwargs)
    if check and done.returncode != 0:
        raise OSError(f'{" ".join(map(str, argv))}: {done.returncode}\n{done.stdout}{done.stderr}')
    return done


def _cgroups():
    """Where containers get a group of their own: in the unified hierarchy, and in systemd's of old if it is there."""
    if os.path.exists('/sys/fs/cgroup/cgroup.controllers'):
        return ['/sys/fs/cgroup']
    found = [path for path in ('/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd') if os.path.isdir(path)]
    return found if '/sys/fs/cgroup/unified' in found else []


def groups_of(name):
    """The control groups of the machine of that name."""
    return [os.path.join(base, f'primaryd-test-{os.getpid()}-{name}') for base in _cgroups()]


class Layer:
    """A root directory: the host's own system (or that of PRIMARYD_ROOT) below, others of these above it, and a writable top in memory."""

    def __init__(self, directory, below=()):
        self.directory = directory
        self.below = [layer.upper for layer in below]
        self.root = os.path.join(directory, 'root')
        self.memory = os.path.join(directory, 'memory')
        self.upper = os.path.join(self.memory, 'upper')
        self.mounted = []

    def mount(self):
        os.makedirs(self.root, exist_ok=True)
        os.makedirs(self.memory, exist_ok=True)
        try:
            self._mount('-t', 'tmpfs', '-o', 'mode=0755', 'primaryd-test', self.memory)
            os.makedirs(self.upper)
            os.makedirs(os.path.join(self.memory, 'work'))
            self._mount('-t', 'overlay', '-o', f'lowerdir={":".join([*self.below, LOWEST])},upperdir={self.upper},'
                        f'workdir={self.memory}/work', 'primaryd-test', self.root)
        except OSError:
            self.close()
            raise
        return self

    def _mount(self, *arguments):
        _run(['mount', *arguments])
        self.mounted.append(arguments[-1])

    def write(self, path, text, mode=0o644):
        """A file below the root; path is absolute."""
        real = self.root + path
        os.makedirs(os.path.dirname(real), exist_ok=True)
        if os.path.islink(real):
            os.unlink(real)
        with open(real, 'w', encoding='utf-8') as file:
            file.write(text)
        os.chmod(real, mode)

    def run(self, *argv, check=True):
        """A command in that root, without a booted system."""
        environment = {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'DEBIAN_FRONTEND': 'noninteractive', 'LC_ALL': 'C'}
        return _run(['unshare', '--mount', '--pid', '--fork', '--root', self.root, '--mount-proc', *argv], check,
                    env=environment)

    def make_bootable(self):
        """What a machine of its own needs, and nothing that belongs to the host."""
        self.write('/etc/machine-id', '')
        self.write('/etc/systemd/journald.conf.d/test.conf', '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\n')
        for path in ('/etc/hostname', '/etc/fstab', '/usr/sbin/policy-rc.d'):
            if os.path.exists(self.root + path):
                os.unlink(self.root + path)
        for directory in ('/etc/systemd/system/multi-user.target.wants', '/etc/systemd/system/timers.target.wants',
                          '/etc/systemd/system/network-online.target.wants'):
            shutil.rmtree(self.root + directory, ignore_errors=True)
            os.makedirs(self.root + directory)
        for unit in MASKED:
            path = f'{self.root}/etc/systemd/system/{unit}'
            if os.path.lexists(path):
                os.unlink(path)
            os.symlink('/dev/null', path)
        default = self.root + '/etc/systemd/system/default.target'
        if os.path.lexists(default):
            os.unlink(default)
        os.symlink('/lib/systemd/system/multi-user.target', default)
        return self

    def close(self):
        while self.mounted:
            _run(['umount', '--lazy', self.mounted.pop()], check=False)


class Machine:
    """One of them. `host` is the netns.Host that it lives on."""

    def __init__(self, name, host, directory, image):
        self.name = name
        self.host = host
        self.image = image
        self.directory = os.path.join(directory, name)
        self.layer = None
        self.child = None
        self.leader = 0  # its init, as this host numbers it
        os.makedirs(self.directory)

    # power

    def install(self):
        """A fresh disk; the machine must be off."""
        if self.layer:
            self.layer.close()
        self.layer = Layer(self.directory, [self.image]).mount()
        self.layer.write('/etc/hostname', self.name + '\n')
        return self

    def boot(self):
        """Starts it, and does not wait: see wait_started() and wait_booted()."""
        assert self.child is None, f'{self.name} is on'
        groups = groups_of(self.name)
        for group in groups:
            os.makedirs(group, exist_ok=True)
        join = '; '.join(f'echo $$ > {group}/cgroup.procs' for group in groups)
        argv = ['systemd-nspawn', '--quiet', '--register=no', '--keep-unit', '--boot', f'--directory={self.layer.root}',
                f'--machine={self.name}', f'--network-namespace-path=/run/netns/{self.host.namespace}',
                '--capability=CAP_NET_ADMIN,CAP_NET_RAW', '--link-journal=no', '--resolv-conf=off', '--timezone=off',
                '--console=read-only']
        with open(os.path.join(self.directory, 'console'), 'ab') as log:
            self.child = process.spawn(['sh', '-c', f'{join}; exec "$@"', 'sh', *argv], stdout=log, stderr=log,
                                       env={**os.environ, 'SYSTEMD_NSPAWN_UNIFIED_HIERARCHY': '1'})
        self.leader = 0
        return self

    def wait_started(self):
        """Until there is something to enter: see run()."""
        self.leader = self.leader or wait_until(self._find_leader, 10,
                                                lambda: f'{self.name} starts:\n{self.console_tail()}')
        return self

    def _find_leader(self):
        assert self.child.poll() is None, f'{self.name} did not start:\n{self.console_tail()}'
        with open(f'/proc/{self.child.pid}/task/{self.child.pid}/children', encoding='ascii') as file:
            pids = file.read().split()
        for pid in pids:
            try:
                with open(f'/proc/{pid}/comm', encoding='ascii') as file:
                    if file.read().strip() == 'systemd':
                        return int(pid)
            except OSError:
                pass
        return 0

    def console_tail(self, lines=20):
        with open(os.path.join(self.directory, 'console'), encoding='utf-8', errors='replace') as file:
            return ''.join(file.readlines()[-lines:])

    def wait_booted(self, timeout=60):
        self.wait_started()
        wait_until(lambda: self.run('systemctl', 'is-system-running', check=False).stdout.strip()
                   in ('running', 'degraded'), timeout,
                   lambda: f'{self.name} boots: {self.run("systemctl", "list-jobs", check=False).stdout}', 0.05)
        return self

    def is_on(self):
        child = self.child  # another thread may ask while the machine goes off
        return child is not None and child.poll() is None

    def cut_power(self):
        """From one moment to the next: nothing is told, nothing is written."""
        os.kill(self.leader, signal.SIGKILL)
        self._wait_off(10)

    def power_off(self, timeout=60):
        os.kill(self.leader, SIGPOWEROFF)
        self._wait_off(timeout)

    def freeze(self, on):
        """Everything in it stands still, or goes on. False: that cannot be done here."""
        path = os.path.join(groups_of(self.name)[0], 'cgroup.freeze')
        if not os.path.exists(path):
            return False
        with open(path, 'w', encoding='ascii') as file:
            file.write('1' if on else '0')
        return True

    def forget(self):
        """It went off, or reboots, by itself: it is off from here on."""
        if self.child:
            process.kill(self.child)
        self.child = None

    def _wait_off(self, timeout):
        try:
            process.reap(self.child, timeout)
        except Timeout:
            raise Timeout(f'{self.name} does not go off:\n{self.console_tail()}') from None
        self.child = None

    def close(self):
        if self.is_on():
            os.kill(self.leader, signal.SIGKILL)
            process.kill(self.child)
        self.child = None
        if self.layer:
            self.layer.close()
        for path in groups_of(self.name):
            # What was killed leaves its group a moment later.
            wait_until(lambda path=path: self._remove_group(path), 10, f'{path} is empty', 0.02)

    @staticmethod
    def _remove_group(path):
        for directory, _, _ in os.walk(path, topdown=False):
            try:
                os.rmdir(directory)
            except OSError:
                pass
        return not os.path.exists(path)

    # inside

    def run(self, *argv, check=True):
        """Runs a command in the running machine."""
        return _run(['nsenter', f'--target={self.leader}', '--all', '--', 'env', '-i',
                     'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL=C', *argv], check)

    def shell(self, text, check=True):
        return self.run('sh', '-c', text, check=check).stdout

    def show(self, unit, *properties):
        """Properties of a unit, as a dict."""
        out = self.run('systemctl', 'show', unit, *(f'--property={name}' for name in properties)).stdout
        return dict(line.split('=', 1) for line in out.splitlines() if '=' in line)

    def state(self, unit):
        return self.run('systemctl', 'is-active', unit, check=False).stdout.strip()

    def main_pid(self, unit='primaryd.service'):
        """The main process of a service, as the machine numbers it; 0: none."""
        return int(self.show(unit, 'MainPID')['MainPID'])

    def host_pid(self, unit='primaryd.service'):
        """The same as this host numbers it."""
        inner = self.main_pid(unit)
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                spaces = process.status_of(pid)['NSpid']
                if len(spaces) == 2 and int(spaces[1]) == inner and self._is_inside(pid):
                    return int(pid)
            except (OSError, KeyError):
                continue
        return 0

    def _is_inside(self, pid):
        return os.readlink(f'/proc/{pid}/ns/pid') == os.readlink(f'/proc/{self.leader}/ns/pid')

    def addresses(self):
        return self.host.run('ip', '-o', 'address', 'show', 'dev', 'eth0')

    # journal

    def journal(self, *matches):
        """Entries of the present boot, oldest first, as dicts; also of a machine that hangs."""
        directory = f'/proc/{self.leader}/root/run/log/journal'
        done = _run(['journalctl', '--directory', directory, '--output=json', '--all', '--no-pager', *matches],
                    check=False)
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{')]

    def events(self, since_us=0):
        """(name, fields) of every event that primaryd and its guard told."""
        entries = self.journal(f'--since=@{since_us // 1_000_000}', 'SYSLOG_IDENTIFIER=primaryd')
        return [(entry['PRIMARYD_EVENT'], entry) for entry in entries
                if 'PRIMARYD_EVENT' in entry and int(entry['__REALTIME_TIMESTAMP']) >= since_us]

    def journal_tail(self, lines=60):
        texts = [f'{entry.get("__MONOTONIC_TIMESTAMP", "")} {entry.get("SYSLOG_IDENTIFIER", "?")}: '
                 f'{entry.get("PRIMARYD_EVENT", "")} {entry.get("MESSAGE", "")}' for entry in self.journal()]
        return f'--- {self.name}\n' + '\n'.join(texts[-lines:])
