"""The site of the system tests: hv1 to hv3, a client, an ensemble."""

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from address import Client, Holders
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError
from lab import netns, zk
from lab.wait import boottime_ns, wait_until
from machine import Layer, Machine

ADDRESS = '10.77.0.100'
TICK_MS = 100

# Within its lease a daemon that hangs is found by its watchdog, after 3 s at the most, and started again.
SESSION_S = 8

# For tests in which a session has to expire.
BRIEF_SESSION_S = 3

CONFIG = '''[zookeeper]
servers = {servers}
session-timeout = {session}s
[election]
penalty = 1s
[takeover]
unit = primary.target
timeout = 10s
[relinquish]
timeout = 3s
lease-timeout = 500ms
'''

# A service of the work that the role depends on: when it goes, the role goes.
WORKER = '''[Unit]
PartOf=primary.target
BindsTo=primaryd-guard.service
After=primaryd-guard.service
IgnoreOnIsolate=yes
[Service]
ExecStart=/usr/libexec/primaryd/with-environment /run/primaryd/primary.env /bin/sh -c 'trap "test -e /run/stubborn || exit 0" TERM; while :; do sleep 1000 & wait $!; done'
KillMode=mixed
TimeoutStopSec=60s
'''
WORKER_BOUND = '[Unit]\nBindsTo=worker.service\nAfter=worker.service\n'

brief = pytest.mark.brief

# What was measured: (scenario, ms unreachable, change of the holder, two holders).
MEASURED = []


def others(site, one):
    return [other for other in site.machines if other is not one]


class Moment:
    """A point in time, by both clocks."""

    def __init__(self):
        self.boot_ns = boottime_ns()
        self.wall_us = time.time_ns() // 1000


class Site:
    addresses = (f'{ADDRESS}/24',)  # that the work brings up

    def __init__(self, directory, deb):
        self.directory = directory
        self.deb = deb
        self.machines = []
        self.image = self.net = self.ensemble = self.client = self.holders = self.keys = None
        self.session_s = 0

    # life

    def open(self):
        self.image = Layer(os.path.join(self.directory, 'image')).mount()
        self.net = netns.Network(5).__enter__()
        *hosts, client_host, zk_host = self.net.hosts
        self.zk_host, self.client_host = zk_host, client_host
        # No test here cuts servers off: a busy machine must not make them change their leader.
        self.ensemble = zk.Ensemble(3, tick_ms=TICK_MS, hosts=[zk_host] * 3, extra={'syncLimit': 50})
        with ThreadPoolExecutor() as pool:
            made = pool.submit(self._make_image)
            self.ensemble.start()
            made.result()
        self.holders = Holders(hosts, ADDRESS, self.directory)
        self.client = Client(client_host, ADDRESS, self.directory)
        self.keys = KazooClient(self.ensemble.connect, handler=client_host.kazoo_handler())
        self.keys.start(30)
        self.machines = [Machine(f'hv{n}', host, self.directory, self.image) for n, host in enumerate(hosts, 1)]

    def _make_image(self):
        image = self.image.make_bootable()
        # The index of the host's manual pages, built anew with each package, would take longer than all else.
        image.run('rm', '-f', '/var/lib/man-db/auto-update')
        for deb in (self.deb, self.deb.replace('primaryd_', 'primaryd-http_')):
            image.write('/tmp/primaryd.deb', '')
            subprocess.run(['cp', deb, image.root + '/tmp/primaryd.deb'], check=True)
            image.run('dpkg', '-i', '/tmp/primaryd.deb')
            os.unlink(image.root + '/tmp/primaryd.deb')
        image.write('/etc/primaryd/floating-ip/vip.conf', f'ADDRESS={ADDRESS}/24\nINTERFACE=eth0\n')
        image.write('/etc/systemd/system/worker.service', WORKER)
        image.write('/etc/systemd/system/primary.target.d/worker.conf', WORKER_BOUND)
        image.run('systemctl', 'enable', 'primaryd.service', 'floating-ip@vip.service', 'primaryd-http.socket')

    def _configure(self, one):
        one.layer.write('/etc/primaryd/primaryd.conf', CONFIG.format(servers=self.ensemble.connect, session=self.session_s))

    def close(self):
        if self.keys:
            self.keys.stop()
            self.keys.close()
        for one in self.machines:
            one.close()
        if self.client:
            self.client.close()
        if self.holders:
            self.holders.close()
        if self.ensemble:
            self.ensemble.close()
        if self.net:
            self.net.close()
        if self.image:
            self.image.close()

    # state

    def holder(self):
        """The machine that has the address now, by its host's kernel; None if none or more than one has."""
        found = [one for one in self.machines if one.is_on() and f' {ADDRESS}/' in one.addresses()]
        return found[0] if len(found) == 1 else None

    def acting(self):
        """The name in /primary_active, or ''."""
        return self._post()[0]

    def is_primary(self, one):
        """It is acting, and its work runs."""
        return self.acting() == one.name and self.keys.get(f'/nodes/{one.name}/routerstate')[0] == b'primary'

    def epoch(self):
        """The number in /primary_active, or 0."""
        return int(self._post()[1])

    def _post(self):
        try:
            return self.keys.get('/primary_active')[0].decode().split()
        except NoNodeError:
            return '', 0

    def health(self, one):
        try:
            return self.keys.get(f'/nodes/{one.name}/health')[0].decode()
        except NoNodeError:
            return None

    def wait_holder(self, other_than=None, after=0, timeout=60):
        """Waits until one machine is primary, in a later epoch than `after`, has the address, and says so."""
        def ready():
            one = self.holder()
            return one if one and one is not other_than and self.acting() == one.name and self.epoch() > after and \
                one.state('primary.target') == 'active' else None
        return wait_until(ready, timeout, lambda: f'an address holder; acting: {self.acting()}\n' + '\n'.join(
            one.journal_tail(30) for one in self.machines if one.is_on()), 0.05)

    def power_on(self, *machines):
        """With fresh disks."""
        for one in machines:
            self.plug(one)
            one.install()
            self._configure(one)
            one.boot()
        for one in machines:
            one.wait_started()

    def settle(self, session_s):
        """All on, all in the cluster with that session timeout, all of it quiet, and the client is answered."""
        changed, self.session_s = session_s != self.session_s, session_s
        self.net.heal()
        self.ensemble.repair()
        if changed:
            for one in filter(Machine.is_on, self.machines):
                self._configure(one)
                one.run('systemctl', 'restart', 'primaryd')
        self.power_on(*(one for one in self.machines if not one.is_on()))
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._calm, self.machines))
        holder = self.wait_holder()
        for one in self.machines:
            wait_until(lambda one=one: self.keys.exists(f'/nodes/{one.name}/alive'), 30, f'{one.name} is alive', 0.05)
            wait_until(lambda one=one: one.state('primaryd.service') == 'active', 30,
                       lambda one=one: f'{one.name} runs:\n{one.journal_tail()}', 0.05)
            # A unit that crashed in the last test keeps its node out for the penalty.
            wait_until(lambda one=one: self.health(one) == 'ok', 30, lambda one=one: f'{one.name}: {self.health(one)}', 0.05)
        now = boottime_ns()
        wait_until(lambda: self.client.answers(now), 30, 'the client is answered', 0.02)
        return holder

    @staticmethod
    def _calm(one):
        """Takes back what a test has left."""
        one.wait_booted()
        one.shell('rm -f /run/stubborn; if [ -e /run/systemd/system/primaryd.service.d ]; then '
                  'rm -r /run/systemd/system/primaryd.service.d; systemctl daemon-reload; fi; '
                  'systemctl reset-failed; systemctl start primaryd')

    def unplug(self, one):
        self.net.link(one.host, False)

    def plug(self, one):
        self.forget_addresses(one)
        self.net.link(one.host, True)

    def forget_addresses(self, one):
        for address in self.addresses:
            one.host.run('sh', '-c', f'ip address del {address} dev eth0 2>/dev/null || true')

    def cut_power(self, one):
        """Everything of it ends in one moment, its network first: the address goes with the cable."""
        self.unplug(one)
        one.cut_power()
        self.forget_addresses(one)

    # measuring

    def measure(self, name, moment, before, after):
        """Notes a row; returns the ms without an answer. Never two holders."""
        now = boottime_ns()
        wait_until(lambda: self.client.answers(now), 30, 'the client is answered', 0.02)
        lost_ms = self.client.unreachable_ms(moment.boot_ns - 50_000_000)
        twice = [pair for pair in self.holders.overlaps() if pair[1][1] > moment.boot_ns]
        change = 'stays' if before is after else f'{before.name if before else "-"} -> {after.name}'
        MEASURED.append((name, lost_ms, change, 'YES' if twice else 'no'))
        assert not twice, f'two holders: {twice}'
        return lost_ms

    def untouched(self, moment, holder):
        """The address was not taken away, not even for a moment."""
        last = [one for one in self.holders.intervals() if one[2] is None]
        return len(last) == 1 and last[0][0] == holder.host.name and last[0][1] < moment.boot_ns

    def story(self, one, moment, *names, **fields):
        """These events were told in this order since the moment; returns them. fields: of the last one."""
        def told():
            found, wanted = [], list(names)
            for name, entry in one.events(moment.wall_us):
                if wanted and name == wanted[0]:
                    found.append(entry)
                    wanted.pop(0)
            return found if not wanted else None
        found = wait_until(told, 10, lambda: f'{one.name} tells {names}, but told '
                           f'{[name for name, _ in one.events(moment.wall_us)]}', 0.1)
        for entry in found:
            assert entry.get('PRIMARYD_NODE', '') in (one.name, '') and len(entry['MESSAGE_ID']) == 32, entry
        for key, value in fields.items():
            assert found[-1].get(key) == value, (key, value, found[-1])
        return found
