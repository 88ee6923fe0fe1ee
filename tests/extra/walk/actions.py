"""What an operator does, and what happens: each action does it, waits at `yield` while it lasts, and undoes it.

An action gets the walk, the machine that it is done to, and a number from 0 to 1 that makes it this or that.
"""

import collections
import contextlib
import itertools

from site3 import ADDRESS

VIP = '/etc/primaryd/floating-ip/vip.conf'
SIX = 'fd00:77::100'

# to: 'primary', or 'other' for one that is to take over. whole: of the whole host, with nothing else going on there.
Action = collections.namedtuple('Action', 'name weight to whole function')
ALL = {}
_numbers = itertools.count()


def action(name, weight=2, to='primary', whole=False):
    def register(function):
        ALL[name] = Action(name, weight, to, whole, contextlib.contextmanager(function))
        return function
    return register


@contextlib.contextmanager
def drop_in(one, unit, text):
    directory = f'/run/systemd/system/{unit}.d'
    one.shell(f'mkdir -p {directory}; cat >{directory}/walk.conf <<"EOF"\n{text}\nEOF\nsystemctl daemon-reload')
    yield
    one.shell(f'rm -f {directory}/walk.conf; systemctl daemon-reload', check=False)


@contextlib.contextmanager
def changed(one, path, command):
    """The file, after that command, and as it was before: also if another action has changed it already."""
    kept = f'/run/kept-{next(_numbers)}'
    one.shell(f'cp {path} {kept}; {command}', check=False)
    yield
    one.shell(f'[ ! -e {kept} ] || cp {kept} {path}')


def pick(number, *choices):
    return choices[int(number * len(choices))]


# -- the address --

@action('floating-ip configuration deleted or changed, switchover', 4)
def _(walk, one, number):
    with changed(one, VIP, pick(number, f'rm {VIP}', f'echo ADDRESS=10.77.0.101/24 >{VIP}', f'sed -i s/eth0/eth9/ {VIP}')):
        walk.switch(away_from=one)
        yield


@action('floating-ip configuration that cannot work, switchover to it', 4, to='other')
def _(walk, one, number):
    with changed(one, VIP, pick(number, f'rm {VIP}', f'sed -i s/eth0/eth9/ {VIP}', f'echo ADDRESS=10.77.0.300 >{VIP}')):
        walk.switch(one)
        yield


@action('record of the floating address deleted, switchover', 3)
def _(walk, one, _number):
    one.shell('rm -f /run/primaryd-floating-ip/*')
    walk.switch(away_from=one)
    yield


@action('record of the floating address deleted, its program killed', 3)
def _(_walk, one, _number):
    one.shell('rm -f /run/primaryd-floating-ip/vip; systemctl kill --signal=KILL floating-ip@vip', check=False)
    yield


@action('floating-ip killed', 3)
def _(_walk, one, number):
    one.run('systemctl', 'kill', '--signal=KILL', pick(number, 'floating-ip@vip', 'floating-ip@six'), check=False)
    yield


@action('address removed by hand', 5)
def _(_walk, one, number):
    one.host.run('sh', '-c', f'ip address del {pick(number, f"{ADDRESS}/24", f"{SIX}/64")} dev eth0 2>/dev/null || true')
    yield


@action('address flush', 3)
def _(_walk, one, _number):
    one.host.run('sh', '-c', f'ip address flush dev eth0; ip address add {one.host.address}/24 dev eth0')
    yield


@action('interface down and up', 4)
def _(walk, one, number):
    one.host.run('ip', 'link', 'set', 'eth0', 'down')
    walk.last(0.05 + 2 * number * number)
    one.host.run('ip', 'link', 'set', 'eth0', 'up')
    yield


@action('cable pulled', 4)
def _(walk, one, _number):
    walk.site.net.link(one.host, False)
    yield
    walk.site.net.link(one.host, True)


@action('IPv6 disabled', 2)
def _(_walk, one, _number):
    one.host.run('sysctl', '-q', '-w', 'net.ipv6.conf.eth0.disable_ipv6=1')
    yield
    one.host.run('sysctl', '-q', '-w', 'net.ipv6.conf.eth0.disable_ipv6=0')


@action('somebody else has the address, switchover', 2, to='other')
def _(walk, one, _number):
    host = walk.site.client_host
    host.run('ip', 'address', 'replace', f'{ADDRESS}/32', 'dev', 'lo')
    walk.switch(one)
    yield
    host.run('ip', 'address', 'del', f'{ADDRESS}/32', 'dev', 'lo')


# -- the units of the work --

@action('processes outlive their unit (KillMode=process), switchover', 3)
def _(walk, one, _number):
    with drop_in(one, 'worker.service', '[Service]\nKillMode=process'):
        walk.switch(away_from=one)
        yield


@action('unit that will not stop, switchover', 3)
def _(walk, one, _number):
    one.shell('touch /run/stubborn')
    walk.switch(away_from=one)
    yield
    one.shell('rm -f /run/stubborn')


@action('clean-up that fails, switchover, reset-failed', 3)
def _(walk, one, _number):
    with drop_in(one, 'worker.service', '[Service]\nExecStopPost=/bin/false'):
        walk.switch(away_from=one)
        yield
    one.run('systemctl', 'reset-failed', 'worker.service', check=False)


@action('crash of a unit', 5)
def _(_walk, one, number):
    one.run('systemctl', 'kill', f'--kill-who={pick(number, "main", "all")}', '--signal=KILL', 'worker.service', check=False)
    yield


@action('crashes of a required unit with Restart=', 4)
def _(walk, one, number):
    path = '/etc/systemd/system/primary.target.d/worker.conf'
    with changed(one, path, f'sed -i s/^BindsTo/Requires/ {path}'), \
            drop_in(one, 'worker.service', f'[Service]\nRestart={pick(number, "always", "on-failure")}\nRestartSec=100ms'):
        for _ in range(1 + int(3 * number)):
            one.run('systemctl', 'kill', '--kill-who=main', '--signal=KILL', 'worker.service', check=False)
            walk.last(0.5)
        yield
    one.run('systemctl', 'daemon-reload')


@action('systemctl restart of a unit of the work', 5)
def _(walk, one, number):
    walk.systemctl(one, 'restart', pick(number, 'worker.service', 'floating-ip@vip.service', 'primary.target', 'primaryd-guard.service'))
    yield


@action('systemctl stop of a unit of the work', 4)
def _(walk, one, number):
    walk.systemctl(one, 'stop', pick(number, 'worker.service', 'floating-ip@vip.service', 'primary.target', 'primaryd-guard.service'))
    yield


@action('systemctl start of a unit of the work on a secondary', 2, to='other')
def _(walk, one, number):
    walk.systemctl(one, 'start', pick(number, 'primary.target', 'floating-ip@vip.service', 'worker.service'))
    yield


@action('masked target or bad unit, switchover to it', 3, to='other')
def _(walk, one, number):
    if number < 0.5:
        one.shell('systemctl mask --runtime primary.target')
        walk.switch(one)
        yield
        one.shell('systemctl unmask --runtime primary.target')
    else:
        with drop_in(one, 'worker.service', '[Service]\nExecStart=/second'):
            walk.switch(one)
            yield


@action('slow start, switchover', 3, to='other')
def _(walk, one, number):
    with drop_in(one, 'worker.service', f'[Service]\nExecStartPre=/bin/sleep {1 + 2 * number:.1f}'):
        walk.switch(one)
        yield


@action('systemctl isolate, daemon-reload, daemon-reexec or reset-failed', 3)
def _(walk, one, number):
    walk.systemctl(one, *pick(number, ('isolate', 'multi-user.target'), ('daemon-reload',), ('daemon-reexec',), ('reset-failed',)))
    yield


# -- what it is built on --

@action('system bus stopped and started', 4)
def _(_walk, one, number):
    one.run('systemctl', 'stop', 'dbus.socket', 'dbus.service', check=False)
    yield
    one.run('systemctl', 'start', 'dbus.socket', 'dbus.service', 'polkit.service', check=False)
    if number < 0.3:
        one.run('systemctl', 'restart', 'dbus.service', check=False)


@action('polkit killed or masked, switchover', 3)
def _(walk, one, number):
    if number < 0.5:
        one.run('systemctl', 'kill', '--signal=KILL', 'polkit', check=False)
        walk.switch(away_from=one)
        yield
    else:
        one.shell('systemctl mask --runtime polkit; systemctl stop polkit', check=False)
        walk.switch(away_from=one)
        yield
        one.shell('systemctl unmask --runtime polkit; systemctl start polkit', check=False)


@action('guard killed', 3)
def _(_walk, one, _number):
    one.run('systemctl', 'kill', '--signal=KILL', 'primaryd-guard.service', check=False)
    yield


# -- the daemon --

@action('daemon killed', 4)
def _(_walk, one, _number):
    one.run('systemctl', 'kill', '--kill-who=main', '--signal=KILL', 'primaryd', check=False)
    yield


@action('daemon stopped (SIGSTOP)', 3)
def _(_walk, one, _number):
    one.run('systemctl', 'kill', '--kill-who=main', '--signal=STOP', 'primaryd', check=False)
    yield
    one.run('systemctl', 'kill', '--kill-who=main', '--signal=CONT', 'primaryd', check=False)


@action('daemon killed, restart disabled', 3)
def _(_walk, one, _number):
    with drop_in(one, 'primaryd.service', '[Service]\nRestart=no'):
        one.run('systemctl', 'kill', '--kill-who=main', '--signal=KILL', 'primaryd', check=False)
        yield
    one.run('systemctl', 'start', 'primaryd', check=False)


@action('systemctl restart primaryd', 3)
def _(walk, one, _number):
    walk.systemctl(one, 'restart', 'primaryd')
    yield


@action('systemctl stop primaryd', 3)
def _(walk, one, _number):
    walk.systemctl(one, 'stop', 'primaryd')
    yield
    one.run('systemctl', 'start', 'primaryd', check=False)


@action('reload', 3)
def _(walk, one, _number):
    walk.systemctl(one, 'reload', 'primaryd')
    yield


@action('reload of an invalid configuration', 2)
def _(walk, one, _number):
    path = '/etc/primaryd/primaryd.conf'
    with changed(one, path, f'echo "[nonsense]" >>{path}'):
        walk.systemctl(one, 'reload', 'primaryd')
        yield
    # One that had to start meanwhile was refused.
    one.run('systemctl', 'start', 'primaryd', check=False)


@action('runtime files deleted', 3)
def _(walk, one, number):
    one.shell('rm -rf /run/primaryd/*' if number < 0.7 else 'rm -rf /run/primaryd')
    walk.last(1)
    if number < 0.4:
        one.run('systemctl', 'kill', '--kill-who=main', '--signal=KILL', 'primaryd', check=False)
    else:
        walk.systemctl(one, 'restart', 'primaryd')
    yield


# -- the cluster's operators --

@action('switchover', 8, to='other')
def _(walk, one, _number):
    walk.switch(one)
    yield


@action('switchovers, one after the other', 3, to='other')
def _(walk, one, number):
    for _ in range(3 + int(8 * number)):
        walk.switch(one)
        walk.last(0.8)
        one = walk.another(one)
    yield


@action('release', 3)
def _(walk, _one, _number):
    walk.ctl('release')
    yield


@action('drain and undrain', 4)
def _(walk, one, _number):
    walk.ctl('drain', one.name)
    yield
    walk.ctl('undrain', one.name)


@action('maintenance on and off', 2)
def _(walk, _one, _number):
    walk.ctl('maintenance', 'on')
    yield
    walk.ctl('maintenance', 'off')


@action('status, explain, check, history', 3, to='other')
def _(walk, one, _number):
    for arguments in (('status',), ('explain', one.name), ('check',), ('history',)):
        walk.ctl(*arguments)
    yield


# -- the host --

@action('power cut', 4, whole=True)
def _(walk, one, _number):
    walk.site.cut_power(one)
    yield
    walk.power_on(one)


@action('power off', 2, whole=True)
def _(walk, one, _number):
    one.power_off()
    walk.site.unplug(one)
    yield
    walk.power_on(one)


@action('network cut', 5)
def _(walk, one, number):
    walk.site.net.cut(one.host, walk.site.zk_host, oneway=number < 0.4)
    yield
    walk.site.net.heal()


@action('host stands still', 4)
def _(walk, one, number):
    # Not for longer than the lease: what is then done by a host that wakes up, no software on it can prevent.
    one.freeze(True)
    walk.last(0.1 + 1.1 * number)
    one.freeze(False)
    yield


@action('server of ZooKeeper killed', 3)
def _(walk, _one, number):
    server = pick(number, *walk.site.ensemble.servers)
    server.kill9()
    yield
    server.restart()


