"""doc/zookeeper.md, command by command: three booted hosts become an ensemble that `primaryctl check` has nothing to say against."""

import json
import os
import re

from lab.node import TOP
from lab.wait import wait_until

SERVERS = 'hv1:2181,hv2:2181,hv3:2181'


def blocks():
    with open(os.path.join(TOP, 'doc', 'zookeeper.md'), encoding='utf-8') as file:
        return re.findall(r'^```sh\n(.*?)^```', file.read(), re.M | re.S)


def test_three_servers(site):
    build, look = blocks()
    assert SERVERS in look
    hosts = ''.join(f'{one.host.address} {one.name}\n' for one in site.machines)
    # The machines share the packages of the host that runs them; only apt-get is left out.
    build = '\n'.join(line for line in build.splitlines() if not line.startswith('apt-get '))
    for one in site.machines:
        one.shell(f'printf "127.0.0.1 localhost\n{hosts}" >/etc/hosts')
        one.shell(f'set -e\n{build}')

    def findings():
        done = site.machines[0].run('primaryctl', '--json', *look.split()[1:], check=False)
        return done.returncode, json.loads(done.stdout)['findings'], done
    try:
        # The rest of the check is about a primary that this ensemble does not have.
        def in_order():
            found = [row for row in findings()[1] if row['subject'] in ('server', 'servers', 'session', 'lease', 'commits')]
            modes = sorted(row['finding'].split(': ')[1].split(',')[0] for row in found if row['subject'] == 'server')
            return modes == ['follower', 'follower', 'leader'] and {row['result'] for row in found} == {'ok'}
        wait_until(in_order, 60, lambda: f'{findings()}\n{site.machines[0].journal_tail()}', 1)
        # It comes back by itself, with its data where they belong.
        one = site.machines[0]
        one.shell('systemctl kill --signal=KILL zookeeper')
        wait_until(in_order, 60, lambda: f'{findings()}\n{one.journal_tail()}', 1)
        assert one.shell('ls /var/lib/zookeeper/version-2')
    finally:
        for one in site.machines:
            one.shell('systemctl disable --now zookeeper; rm -rf /etc/zookeeper /etc/systemd/system/zookeeper.service; '
                      'ln -s /dev/null /etc/systemd/system/zookeeper.service; systemctl daemon-reload', check=False)
