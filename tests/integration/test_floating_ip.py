"""The program behind floating-ip@.service, on hosts of two that share a link."""

import contextlib
import os
import subprocess

import pytest

from lab import netns, process
from lab.node import program
from lab.notify import Manager
from lab.wait import wait_until

PROGRAM = program('systemd/address/floating-ip')
FOUR, SIX = '10.77.0.100', 'fd00:77::100'
ADDRESSES = [f'{FOUR}/24', f'{SIX}/64']

IN_USE, USAGE, UNAVAILABLE, OSERR, CONFIG = 1, 2, 69, 71, 78


@pytest.fixture
def net():
    reason = netns.available()
    if reason:
        pytest.skip(reason)
    with netns.Network(2) as network:
        network.hosts[1].run('ip', 'address', 'add', 'fd00:77::2/64', 'dev', 'eth0', 'nodad')
        yield network


class Floating:
    """One instance of the unit on a host."""

    def __init__(self, host, directory, address, **environment):
        self.host, self.directory = host, str(directory)
        self.plain = address.partition('/')[0].partition('%')[0]
        self.log = os.path.join(self.directory, 'log')
        self.record = os.path.join(self.directory, 'vip')
        self.manager = Manager(os.path.join(self.directory, 'notify'))
        self.environment = {'RUNTIME_DIRECTORY': self.directory, 'NOTIFY_SOCKET': self.manager.path, 'ADDRESS': address,
                            'INTERFACE': 'eth0', **environment}
        self.child = None
        self.heard = 0  # messages to the service manager, before the present start

    def start(self):
        self.heard = len(self.manager.messages())
        with open(self.log, 'w', encoding='utf-8') as log:
            self.child = process.spawn(self.host.wrap([PROGRAM, 'hold', 'vip']), env=self.environment, stderr=log)
        return self

    def wait_ready(self):
        self.manager.wait(r'^READY=1$', self.heard)
        assert self.is_up(), self.shown()
        return self

    def stop(self):
        self.child.terminate()
        return self.end()

    def end(self):
        return process.reap(self.child, 10)

    def remove(self, *wrapper, **environment):
        """What ExecStopPost= does."""
        done = subprocess.run(self.host.wrap([*wrapper, PROGRAM, 'remove', 'vip']), env={'RUNTIME_DIRECTORY': self.directory, **environment},
                              check=False, capture_output=True, text=True)
        return done.returncode, done.stderr

    def shown(self):
        return self.host.run('ip', '-o', 'address', 'show')

    def is_up(self):
        return f' {self.plain}/' in self.shown()

    def said(self):
        with open(self.log, encoding='utf-8') as file:
            return file.read()

    def wait_said(self, text):
        wait_until(lambda: text in self.said(), 5, self.said)

    def tells_why_not(self):
        """Of a start that fails: (exit code, message); nothing is left."""
        self.start()
        code = self.end()
        assert self.remove() == (0, '')
        return code, self.said()


@pytest.fixture
def float_on(tmp_path):
    made = []

    def make(host, address, **environment):
        directory = tmp_path / str(len(made))
        directory.mkdir()
        made.append(Floating(host, directory, address, **environment))
        return made[-1]
    yield make
    for one in made:
        if one.child:
            process.kill(one.child)
        one.manager.socket.close()


def mac(host):
    return host.run('ip', '-o', 'link', 'show', 'eth0').split('link/ether ')[1].split()[0]


@contextlib.contextmanager
def misled(host, address, truth):
    """The host believes that the address is elsewhere, until somebody announces it."""
    version = '-6' if ':' in address else '-4'
    host.run('ip', version, 'neighbour', 'replace', address, 'lladdr', '02:00:00:00:00:99', 'dev', 'eth0', 'nud', 'stale')

    def shown():
        return host.run('ip', version, 'neighbour', 'show', address)
    yield
    wait_until(lambda: truth in shown(), 2, shown)


@pytest.mark.parametrize('address', ADDRESSES)
def test_added_announced_and_removed(net, float_on, address):
    first, second = net.hosts
    one = float_on(first, address)
    with misled(second, one.plain, mac(first)):
        one.start().wait_ready()
    # An address of its own goes out first: the floating one is no source of what the host itself sends.
    first.run('ip', 'address', 'add', 'fd00:77::1/64', 'dev', 'eth0', 'nodad')
    assert f'src {one.plain} ' not in first.run('ip', 'route', 'get', 'fd00:77::2' if ':' in address else '10.77.0.2')
    assert one.stop() == 0 and not one.is_up() and not os.path.exists(one.record)
    assert one.said() == '' and one.remove() == (0, '')


@pytest.mark.parametrize('address', [f'{FOUR}/24', f'{SIX}/64', 'fe80::100%eth0'])
def test_taken_away_by_others(net, float_on, address):
    """It is there again at once, and announced, whatever took it."""
    first, second = net.hosts
    one = float_on(first, address, GRACE='5000').start().wait_ready()
    with misled(second, one.plain, mac(first)):
        first.run('sh', '-c', 'ip address flush dev eth0 || :')  # which may find it there again, round after round
        wait_until(one.is_up, 2, one.said)
    one.wait_said('was removed from eth0, and is added again')
    with misled(second, one.plain, mac(first)):
        first.run('sh', '-c', 'ip link set eth0 down; ip address flush dev eth0; ip link set eth0 up')
        wait_until(one.is_up, 2, one.said)
    # The kernel's news may come one by one, or both at once.
    wait_until(lambda: 'eth0 is back' in one.said() or one.said().count('added again') >= 2, 5, one.said)
    with misled(second, one.plain, '02:00:00:00:00:17'):
        first.run('ip', 'link', 'set', 'eth0', 'address', '02:00:00:00:00:17')
    # Another interface of that name.
    first.run('sh', '-c', 'ip link del eth0; ip link add eth0 type veth peer name eth1; ip link set eth0 up; ip link set eth1 up')
    wait_until(one.is_up, 2, one.said)
    assert one.stop() == 0 and not one.is_up()


def test_host_keeps_its_own_address(net, float_on):
    """Also if that came back after the floating one, as after ifdown and ifup."""
    host = net.hosts[0]
    host.run('sysctl', '-q', '-w', 'net.ipv4.conf.all.promote_secondaries=0', 'net.ipv4.conf.eth0.promote_secondaries=0')
    one = float_on(host, f'{FOUR}/24').start().wait_ready()
    host.run('sh', '-c', 'ip address flush dev eth0 || :')  # which may find it there again, round after round
    wait_until(one.is_up, 2, one.said)
    host.run('ip', 'address', 'add', f'{host.address}/24', 'dev', 'eth0')
    assert one.stop() == 0 and not one.is_up()
    assert f' {host.address}/' in one.shown()


def test_taken_away_again_and_again(net, float_on):
    one = float_on(net.hosts[0], f'{FOUR}/24').start().wait_ready()
    other = process.spawn(net.hosts[0].wrap(['sh', '-c', f'while :; do ip address del {FOUR}/24 dev eth0 2>/dev/null; done']))
    try:
        assert one.end() == UNAVAILABLE
    finally:
        process.kill(other)
    one.wait_said('is removed from eth0 again and again')


def test_cannot_be_added_again(net, float_on):
    one = float_on(net.hosts[0], f'{SIX}/64').start().wait_ready()
    net.hosts[0].run('sysctl', '-q', '-w', 'net.ipv6.conf.eth0.disable_ipv6=1')
    assert one.end() == OSERR
    one.wait_said(f'cannot add {SIX}/64 on eth0: Permission denied')


@pytest.mark.parametrize('address', ADDRESSES)
def test_somebody_else_has_it(net, float_on, address):
    """Asked for also while the host has no IPv6 address yet that is not tentative; later claims are told, too."""
    first, second = net.hosts
    one = float_on(first, address)
    second.run('ip', 'address', 'add', address, 'dev', 'eth0', *(['nodad'] if ':' in address else []))
    code, said = one.tells_why_not()
    assert code == IN_USE and f'in use by another host on eth0: {mac(second)}' in said, said
    assert not one.is_up()
    second.run('ip', 'address', 'del', address, 'dev', 'eth0')
    one.start().wait_ready()
    float_on(second, address, PROBE='0').start().wait_ready()
    one.wait_said(f'claimed by another host on eth0, too: {mac(second)}')
    assert one.is_up()


def test_link_that_cannot_carry_it(net, float_on):
    first = net.hosts[0]
    one = float_on(first, f'{FOUR}/24', GRACE='200')
    net.link(first, False)
    assert one.tells_why_not() == (UNAVAILABLE, f'floating-ip: {FOUR}/24 is not added: eth0 has no carrier\n')
    first.run('ip', 'link', 'set', 'eth0', 'down')
    assert one.tells_why_not()[1].endswith('eth0 is down\n')
    first.run('ip', 'link', 'set', 'eth0', 'up')
    net.link(first, True)
    for interface, why in (('lo', 'lo is not an Ethernet interface'), ('eth7', 'eth7 does not exist')):
        assert why in float_on(first, f'{FOUR}/24', INTERFACE=interface).tells_why_not()[1]
    one.start().wait_ready()
    net.link(first, False)
    assert one.end() == UNAVAILABLE and not one.is_up()
    one.wait_said(f'eth0 did not come back within 200 ms: {FOUR}/24 is given up')


@pytest.mark.parametrize('address', ADDRESSES)
def test_stop_removes_what_the_start_added(net, float_on, address):
    """Whatever the configuration says by now, and whatever became of the program or its record."""
    host = net.hosts[0]
    one = float_on(host, address).start().wait_ready()
    os.unlink(one.record)
    assert one.stop() == 0 and not one.is_up()
    one.start().wait_ready()
    host.run('sh', '-c', 'ip link set eth0 down; ip link set eth0 name lan0; ip link set lan0 up')
    wait_until(one.is_up, 2, one.said)
    process.kill(one.child)
    code, said = one.remove('setpriv', '--inh-caps=-net_admin', '--bounding-set=-net_admin')
    assert code == OSERR and f'cannot remove {address} from eth0: Operation not permitted' in said and one.is_up()
    # The next start removes it first, also when it is for another address.
    other = float_on(host, '10.77.0.101/24', INTERFACE='lan0', RUNTIME_DIRECTORY=one.directory).start().wait_ready()
    assert not one.is_up()
    process.kill(other.child)
    assert one.remove(ADDRESS='192.0.2.9/32', INTERFACE='eth9') == (0, '') and not other.is_up()
    # Without a record it is the configured one, if the program was killed; one that has ended removed its own.
    one.environment['INTERFACE'] = 'lan0'
    one.start().wait_ready()
    process.kill(one.child)
    os.unlink(one.record)
    configured = {'ADDRESS': address, 'INTERFACE': 'lan0'}
    assert one.remove(EXIT_CODE='exited', **configured) == (0, '') and one.is_up()
    code, said = one.remove('setpriv', '--inh-caps=-net_admin', '--bounding-set=-net_admin', **configured)
    assert code == OSERR and f'cannot remove {address} from lan0' in said and one.is_up()
    assert one.remove(EXIT_CODE='killed', **configured) == (0, '') and not one.is_up()
    # A record that nobody can read is no proof that nothing was added.
    with open(one.record, 'w', encoding='utf-8') as file:
        file.write('2 eth0')
    assert one.remove()[0] == OSERR


def test_wrong_configuration(tmp_path):
    """Said, and nothing is touched."""
    addresses = ['', '10.77.0', '10.77.0.1/33', '10.77.0.1/', '10.77.0.1/0', '0.0.0.0', '224.0.0.1', '::', 'ff02::1/64', 'fe80::1%eth1',
                 '1' * 80]
    settings = [{'PROBE': 'soon'}, {'GRACE': '-1'}, {'GRACE': '60001'}, {'INTERFACE': ''}, {'INTERFACE': 'e' * 20}]
    for wrong in [*({'ADDRESS': address} for address in addresses), *settings]:
        environment = {'RUNTIME_DIRECTORY': str(tmp_path), 'ADDRESS': FOUR, 'INTERFACE': 'eth0', **wrong}
        done = subprocess.run([PROGRAM, 'hold', 'vip'], env=environment, check=False, capture_output=True, text=True)
        assert done.returncode == CONFIG and done.stderr.startswith('floating-ip: ') and not os.listdir(tmp_path), (wrong, done)
    assert subprocess.run([PROGRAM, 'hold', '../vip'], env=environment, check=False, capture_output=True).returncode == USAGE
