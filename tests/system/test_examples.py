"""Examples of primaryd-units(7) and conf/examples, as they are written, on booted systems: PostgreSQL, storage, timers."""

import os
import re

import machine
import pytest
from lab.node import TOP
from lab.wait import wait_until
from site3 import others

PROGRAMS = os.path.join(machine.LOWEST, 'usr/lib/postgresql')
VERSIONS = sorted(os.listdir(PROGRAMS), key=float) if os.path.isdir(PROGRAMS) else []


def blocks_of_the_manual():
    """{path: text} of every file that primaryd-units(7) shows."""
    with open(os.path.join(TOP, 'man', 'primaryd-units.7.scd'), encoding='utf-8') as file:
        return dict(re.findall(r'```\n# (/\S+)\n(.*?)```', file.read(), re.S))


def example(name):
    with open(os.path.join(TOP, 'conf', 'examples', name), encoding='ascii') as file:
        return file.read()


def stand_in(text):
    """A directory of the machine stands for the shared volume: what is shown is that the mount follows the role."""
    return re.sub(r'What=.*\nWhere=(.*)', r'What=/var/lib/stand-in\nWhere=\1\nType=none',
                  re.sub(r'(Where=.*)\n((?:#.*\n)*)(What=.*)', r'\2\3\n\1', text)).replace('Options=_netdev', 'Options=bind,_netdev')


@pytest.mark.skipif(not VERSIONS, reason='needs PostgreSQL (tests/packages.sh system)')
def test_postgresql_and_its_storage(site):
    """One after the other on two nodes: never mounted, and never running, where the node is not primary."""
    manual = blocks_of_the_manual()
    database = f'postgresql@{VERSIONS[-1]}-main.service'
    files = {path.replace('15-main', f'{VERSIONS[-1]}-main'): text.replace('15-main', f'{VERSIONS[-1]}-main')
             for path, text in manual.items() if 'postgresql' in path or 'report' in path}
    assert len(files) == 5, files.keys()
    files['/etc/systemd/system/srv-data.mount'] = example('srv-data.mount')
    files['/etc/systemd/system/failback.service'] = example('failback.service').replace('db1', 'hv1')
    files['/etc/systemd/system/failback.timer'] = example('failback.timer')
    units = (database, 'srv-postgresql.mount', 'srv-data.mount', 'report.timer')
    holder = site.wait_holder()
    target = others(site, holder)[0]
    for one in (target, holder):
        one.shell(f'mkdir -p /var/lib/stand-in /srv/postgresql; mount --bind /var/lib/stand-in /srv/postgresql; '
                  f'pg_dropcluster --stop {VERSIONS[-1]} main 2>/dev/null; '
                  f'pg_createcluster --locale C -d /srv/postgresql/main {VERSIONS[-1]} main >/dev/null && umount /srv/postgresql')
        for path, text in files.items():
            one.layer.write(path, stand_in(text) if path.endswith('.mount') else text)
        one.shell('systemctl daemon-reload; systemctl disable postgresql.service; systemctl enable report.timer srv-data.mount')

    def runs_on(one):
        return all(one.state(unit) == 'active' for unit in units) and \
            one.run('runuser', '-u', 'postgres', '--', 'psql', '-Atc', 'select 42', check=False).stdout == '42\n'

    def is_down_on(one):
        return all(one.state(unit) in ('inactive', 'failed') for unit in units) and '/srv/' not in one.shell('cat /proc/mounts')
    try:
        site.keys.set('/primary_node', target.name.encode())
        wait_until(lambda: runs_on(target), 60, target.journal_tail, 0.1)
        assert is_down_on(holder)
        site.keys.set('/primary_node', holder.name.encode())
        wait_until(lambda: site.is_primary(holder) and runs_on(holder), 60, holder.journal_tail, 0.1)
        assert is_down_on(target), 'it was down before the other one started'
        # The failback service hands the role to its favourite, and leaves it there.
        for _ in range(2):
            site.machines[0].run('systemctl', 'start', 'failback.service')
            wait_until(lambda: site.is_primary(site.machines[0]), 30, holder.journal_tail, 0.1)
    finally:
        for one in (target, holder):
            one.shell(f'systemctl disable report.timer srv-data.mount; rm -rf {" ".join(files)}; systemctl daemon-reload; '
                      f'systemctl stop {database}; systemctl stop {" ".join(units)}; pg_dropcluster {VERSIONS[-1]} main; systemctl reset-failed', check=False)
