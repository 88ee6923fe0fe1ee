"""The work as a unit: what is asked of systemd, in which order, and what becomes of every answer it may give."""

import json
import os
import signal
import time

import pytest

from ctl_shell import REFUSED, Ctl, environment
from lab import systemd as lab_systemd
from lab.notify import Manager
from lab.steps import MORTAL, QUICK, by_name, vacate
from lab.systemd import HOLD, NAME, PATH, PROPERTIES, Systemd, Unit, answer, error
from lab.wait import stays, wait_until

LOOK = ('ListUnitsByNames', '')
WORK, GUARD, KILLER = 'work.target', 'primaryd-guard@run.service', 'primaryd-kill@work.target.service'
DENIED = error('org.freedesktop.DBus.Error.AccessDenied', 'no permission for you')

UNITS = {**QUICK, 'takeover.unit': WORK, 'takeover.command': None, 'relinquish.command': None}


@pytest.fixture
def managers():
    reason = lab_systemd.available()
    if reason:
        pytest.skip(reason)
    made = []
    yield made
    for one in made:
        one.close()
    lab_systemd.check_apart(made)


@pytest.fixture
def unit_cluster(managers, cluster, tmp_path):
    """unit_cluster(n, ...) -> nodes, managers: n nodes whose work is a unit, not started yet, each with its systemd."""
    def make(n, **config):
        nodes = cluster(n, start=False, **{**UNITS, **config})
        for node in nodes:
            managers.append(Systemd(str(tmp_path / f'systemd-{node.name}'), node.directory))
        return nodes, managers
    return make


def start(node, manager):
    return node.start({'DBUS_SYSTEM_BUS_ADDRESS': manager.bus.address})


def start_pair(unit_cluster, keys, prepare=None, **config):
    """n1 is named and would be primary; n2 waits for what n1 makes of it."""
    nodes, managers = unit_cluster(2, **config)
    managers[0].work.stop = None
    start(nodes[0], managers[0])
    managers[0].wait_call('StopUnit')
    if prepare:
        prepare(managers[0])  # what is meant for the start is nothing to the stop before it
    managers[0].work.stop = 'done'
    managers[0].finish(WORK, 'done')
    nodes[0].wait_log(' claimed: ')
    start(nodes[1], managers[1])
    keys.wait_state('n2', 'secondary')  # it can be named
    return nodes, managers


def primary(unit_cluster, keys, **config):
    """One node, primary, its unit active."""
    [node], [manager] = unit_cluster(1, **config)
    start(node, manager)
    keys.wait_primary('n1')
    assert manager.work.state == 'active'
    return node, manager


def renewals_go_on(keys, name='n1', more=3):
    """The loop turns: the lease is renewed."""
    for _ in range(more):
        seen = keys.get(f'nodes/{name}/keepalive')
        wait_until(lambda seen=seen: keys.get(f'nodes/{name}/keepalive') != seen, 10, 'the lease is renewed')


# as it should be

def test_life(unit_cluster, keys):
    """The guard, then the unit; the facts are there before either; the unit, then the guard."""
    node, manager = primary(unit_cluster, keys)
    asked = [call for call in manager.calls if call.method in ('StartUnit', 'RestartUnit')]
    assert asked == [('RestartUnit', GUARD), ('StartUnit', WORK)]
    with open(f'{node.runtime_directory}/primary.env', encoding='utf-8') as file:
        facts = dict(line.rstrip('\n').split('=', 1) for line in file)
    assert facts['PRIMARYD_NODE'] == facts['PRIMARYD_PRIMARY'] == '"n1"'
    assert facts['PRIMARYD_EPOCH'] == f'"{keys.acting().epoch}"'
    guard = manager.guard.child
    assert guard.poll() is None
    mark = len(manager.calls)
    node.stop()
    assert manager.work.state == 'inactive'
    stopped = [call for call in manager.calls[mark:] if call.method == 'StopUnit']
    assert stopped[0] == ('StopUnit', WORK)
    wait_until(lambda: manager.guard.child is None, 10, 'the guard ends')
    assert guard.returncode == 0


def test_command_beside_it(unit_cluster, keys, oracle):
    """Unit first, then the command; the command's stop first, then the unit's."""
    [node], [manager] = unit_cluster(1)
    node.write_config(**{'takeover.command': f'{node.directory}/takeover',
                         'relinquish.command': f'{node.directory}/relinquish'})
    start(node, manager)
    keys.wait_primary('n1')
    began = oracle.events('takeover', 'begin')[0].time_ns
    assert [up for when, up in manager.work_log if when < began][-1]
    node.stop()
    ended = oracle.events('relinquish', 'end')[-1].time_ns
    assert manager.work_log[-1][0] > ended and not manager.work_log[-1][1]


def test_reload(unit_cluster, keys):
    """The daemon executes itself anew: neither unit nor guard notice."""
    node, manager = primary(unit_cluster, keys)
    asked = [call for call in manager.calls if call.method.endswith('Unit')]
    guard = manager.guard.child
    node.reload()
    node.wait_log('still primary')
    renewals_go_on(keys)
    assert [call for call in manager.calls if call.method.endswith('Unit')] == asked
    assert manager.guard.child is guard and manager.work.state == 'active'


def test_another_kind_of_work_after_a_crash(unit_cluster, keys):
    """Only its guard can stop what the former process had started: the role stays until it has done so."""
    nodes, managers = start_pair(unit_cluster, keys, **MORTAL)
    keys.wait_primary('n1')
    nodes[0].write_config(**{'takeover.unit': None, 'takeover.command': '/bin/true'})
    nodes[0].kill9()
    start(nodes[0], managers[0])
    nodes[0].wait_log('resume_refused: .*takeover.unit was another one')
    assert keys.acting().node == 'n1'
    nodes[0].wait_log('relinquished')
    assert managers[0].work.state == 'inactive'


def test_switchover(unit_cluster, keys):
    """To and fro: each start has a guard of its own."""
    nodes, managers = start_pair(unit_cluster, keys)
    keys.wait_primary('n1')
    for target in ('n2', 'n1'):
        keys.set('primary_node', target)
        keys.wait_primary(target)
    assert managers[0].count('RestartUnit', GUARD) == 2
    assert managers[0].count('StartUnit', WORK) == 2
    assert by_name(nodes, 'n1').running()


def test_guard_stands_by(unit_cluster, keys):
    """A node that is named gets its guard, but nothing that is bound to it may start before there is a lease."""
    nodes, managers = start_pair(unit_cluster, keys)
    keys.wait_primary('n1')
    managers[0].work.stop = None
    stops = managers[0].count('StopUnit', WORK)
    keys.set('primary_node', 'n2')
    managers[0].wait_call('StopUnit', WORK, stops)
    managers[1].wait_call('RestartUnit', GUARD)
    wait_until(lambda: os.path.exists(f'{nodes[1].runtime_directory}/guard.lock'), 10, 'the guard is there')
    stays(lambda: managers[1].guard.state != 'active', 0.5, 'the guard of n2 does not watch yet')
    managers[0].finish(WORK, 'done')
    keys.wait_primary('n2')
    assert managers[1].guard.state == managers[1].work.state == 'active'
    assert managers[1].count('RestartUnit', GUARD) == 1


# another daemon's guard

OTHER_GUARD = 'primaryd-guard@other.service'


def other_guard(manager):
    manager.add(Unit('network.target'))
    manager.work.lists['BindsTo'] = ['network.target', OTHER_GUARD]


def test_work_of_another(unit_cluster, keys):
    """Bound to the guard of another daemon: nothing is done to it, and the daemon says so and leaves."""
    [node], [manager] = unit_cluster(1)
    other_guard(manager)
    manager.set_state(WORK, 'active')
    start(node, manager)
    assert node.wait_exit() == 1
    assert node.log_lines(f' config_invalid: .*{WORK} is the work of another daemon: it is bound to {OTHER_GUARD}, '
                            f'not to {GUARD}')
    assert manager.work.state == 'active'
    assert not [call for call in manager.calls if call.method in ('StartUnit', 'RestartUnit', 'StopUnit', 'KillUnit')]


def test_work_of_another_after_a_restart(unit_cluster, keys):
    """A daemon that knows that there is nothing to stop looks all the same."""
    keys.set('maintenance', 'true')
    [node], [manager] = unit_cluster(1)
    start(node, manager)
    wait_until(lambda: keys.states().get('n1') == 'secondary', 20, 'n1 is a secondary')
    node.kill9()
    other_guard(manager)
    node.start({'DBUS_SYSTEM_BUS_ADDRESS': manager.bus.address})
    assert node.wait_exit() == 1
    assert manager.count('StartUnit', WORK) == manager.count('RestartUnit', GUARD) == 0


def test_guard_changes_hands(unit_cluster, keys):
    """While this daemon's work runs: that is stopped, whoever guards it by now."""
    node, manager = primary(unit_cluster, keys)
    other_guard(manager)
    node.kill9()
    start(node, manager)
    node.wait_log('still primary')
    assert manager.work.state == 'active'
    node.stop()
    assert manager.work.state == 'inactive'


def test_guard_changes_hands_while_the_bus_is_away(unit_cluster, keys):
    """The same for a daemon that started the work itself."""
    node, manager = primary(unit_cluster, keys)
    manager.disconnect()
    manager.bus.stop()
    node.wait_log(' bus_lost: ')
    other_guard(manager)
    manager.bus.start()
    manager.connect()
    node.wait_log(' bus_back: ')
    renewals_go_on(keys)
    assert manager.work.state == 'active'
    node.stop()
    assert manager.work.state == 'inactive'


def check_unit(node, manager, **run):
    """What `primaryctl check` finds wrong with the unit, or the one ok."""
    ctl = Ctl(None, None, '--config', node.config_path)
    done = ctl.run('--json', 'check', env=environment(DBUS_SYSTEM_BUS_ADDRESS=manager.bus.address), **run)
    findings = json.loads(done.stdout)['findings']
    return [(one['result'], one['finding']) for one in findings if one['subject'] == 'unit']


def test_check_finds_it(unit_cluster, keys):
    """What the daemon would refuse."""
    [node], [manager] = unit_cluster(1)
    assert [result for result, _ in check_unit(node, manager, code=None)] == ['ok']
    other_guard(manager)
    [(result, finding)] = check_unit(node, manager, code=REFUSED)
    assert result == 'error' and f'it is bound to {OTHER_GUARD}, not to {GUARD}' in finding


def test_check_names_loose_units(unit_cluster, keys):
    """Started with the work, and left running when the role goes."""
    [node], [manager] = unit_cluster(1)
    manager.work.lists.update(Wants=['part.service', 'bound.timer', 'network.target', 'loose.service'],
                              Requires=['needs.service'])
    for name, lists in (('part.service', {'PartOf': [WORK]}), ('bound.timer', {'BindsTo': ['x.service', GUARD]}),
                        ('needs.service', {'Requires': [WORK]}), ('network.target', {}),
                        ('loose.service', {'PartOf': ['other.target']})):
        manager.add(Unit(name, **lists))
    [(good, _), (warning, finding)] = check_unit(node, manager, code=None)
    assert (good, warning) == ('ok', 'warning') and finding.startswith('loose.service is started with work.target'), finding
    manager.units['loose.service'].lists['PartOf'].append(WORK)
    assert [result for result, _ in check_unit(node, manager, code=None)] == ['ok']


# starts that come to nothing: the other node takes over

def refuse_binding(manager):
    manager.work.lists['BindsTo'] = ['network.target']


def fail_job(manager):
    manager.work.start = 'failed'


def fail_dependency(manager):
    manager.work.start = 'dependency'


def fail_guard(manager):
    manager.guard.start = 'failed'


def hang_job(manager):
    manager.work.start = None


@pytest.mark.parametrize('prepare, said', [
    (refuse_binding, r'not bound to its guard \(add BindsTo=primaryd-guard@run.service'),
    (fail_job, r'work.target: start: failed'),
    (fail_dependency, r'work.target: start: dependency'),
    (fail_guard, r'work.target: start: guard: failed'),
    (hang_job, r'work.target: start: timed out'),
    (lambda manager: manager.rule('StartUnit', WORK, DENIED), r'work.target: start: no permission for you'),
    (lambda manager: manager.rule('RestartUnit', GUARD, DENIED), r'work.target: start: guard: no permission for you'),
    (lambda manager: manager.rule('BindsTo', WORK, DENIED), r'work.target: start: no permission for you'),
    (lambda manager: manager.rule('BindsTo', WORK, HOLD), r'work.target: start: timed out'),
    (lambda manager: manager.rule('BindsTo', WORK, answer('v', ('i', 7))), r'not bound to its guard'),
    (lambda manager: manager.rule('BindsTo', WORK, answer('s', GUARD)), r'not bound to its guard'),
    (lambda manager: manager.rule('BindsTo', WORK, answer('')), r'not bound to its guard'),
    (lambda manager: manager.rule('RestartUnit', GUARD, answer('s', 'no path')), r'work.target: start: timed out'),
    (lambda manager: manager.rule('StartUnit', WORK, answer('u', 4)), r'work.target: start: timed out'),
], ids=['unbound', 'failed', 'dependency', 'guard', 'hangs', 'refused', 'guard-refused', 'property-refused', 'mute',
        'number', 'no-variant', 'empty', 'guard-no-path', 'no-path'])
def test_start_fails(unit_cluster, keys, prepare, said):
    """It is said why, what was begun is stopped before the post is left, and another node does the work."""
    nodes, managers = start_pair(unit_cluster, keys, prepare, **{'takeover.timeout': '1500ms',
                                                                 'relinquish.timeout': '3s', 'election.penalty': '20s'})
    nodes[0].wait_log(said)
    keys.wait_primary('n2')
    assert managers[0].work.state in ('inactive', 'failed')
    assert managers[1].work.state == 'active'
    if 'guard' in said:
        assert managers[0].count('StartUnit', WORK) == 0


def test_one_time_limit_for_unit_and_command(unit_cluster, keys):
    """Each of the two is in time, but both together are not."""
    nodes, managers = start_pair(unit_cluster, keys, hang_job, **{'takeover.timeout': '2s', 'takeover.command': '/bin/sleep 1.2'})
    managers[0].wait_call('StartUnit', WORK)
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() > begun + 1.2, 5, 'the start of the unit takes its time')
    managers[0].finish(WORK, 'done')
    keys.wait_primary('n2')
    assert managers[0].work.state == 'inactive'


def test_bus_away_at_start(unit_cluster, keys):
    """A node without a bus cannot take over, says so, and another one does."""
    nodes, managers = unit_cluster(2)
    managers[0].disconnect()
    managers[0].bus.stop()
    start(nodes[0], managers[0])
    nodes[0].wait_log(' bus_lost: .*system bus')
    start(nodes[1], managers[1])
    keys.wait_primary('n2')
    assert nodes[0].running()
    managers[0].bus.start()
    managers[0].connect()
    nodes[0].wait_log(' bus_back: ')


def test_status_without_bus(unit_cluster, keys, tmp_path):
    """A start without a bus is stuck in the stop that comes first: the status says by what."""
    [node], [manager] = unit_cluster(1)
    manager.disconnect()
    manager.bus.stop()
    listener = Manager(str(tmp_path / 'notify'))
    node.start({'DBUS_SYSTEM_BUS_ADDRESS': manager.bus.address, 'NOTIFY_SOCKET': listener.path})
    seen, _ = listener.wait('^STATUS=Stopping the work: nothing is known of an earlier run: stopping leftovers; not down yet: no connection to the system bus, '
                            'trying again')
    manager.bus.start()
    manager.connect()
    manager.rule('StopUnit', WORK, DENIED)
    manager.set_state(WORK, 'active')
    seen, _ = listener.wait('^STATUS=Stopping the work: .*no permission for you, trying again', seen)
    manager.rule('StopUnit', WORK, None)
    seen, _ = listener.wait('^READY=1', seen)
    listener.wait('^STATUS=Primary', seen)
    assert not [line for lines in listener.messages()[seen:] for line in lines if 'trying again' in line]


def test_bus_lost_while_starting(unit_cluster, keys):
    """The start goes on without it, and the role stays: what becomes of it is heard when the bus is back."""
    nodes, managers = start_pair(unit_cluster, keys, hang_job)
    managers[0].wait_call('StartUnit')
    managers[0].disconnect()
    managers[0].bus.stop()
    nodes[0].wait_log(' bus_lost: ')
    renewals_go_on(keys)
    managers[0].work.start = 'done'
    managers[0].bus.start()
    managers[0].connect()
    keys.wait_primary('n1')
    assert managers[0].work.state == 'active' and not nodes[0].log_lines('takeover_failed')


# while it runs

@pytest.mark.parametrize('state', ['failed', 'inactive', 'deactivating'])
def test_unit_goes_away(unit_cluster, keys, state):
    nodes, managers = start_pair(unit_cluster, keys)
    keys.wait_primary('n1')
    managers[0].set_state(WORK, state)
    nodes[0].wait_log(f'unit_failed: work.target is {state} although primaryd did not stop it')
    keys.wait_primary('n2')


def test_unit_goes_away_before_it_was_seen(unit_cluster, keys):
    """Its states are told late, all of them: the daemon learns of the last one alone, which is that of before the start."""
    [node], [manager] = unit_cluster(1)
    start(node, manager)
    node.wait_log(' registered: ')  # the stop before it has looked, too
    manager.rule(*LOOK, HOLD)
    keys.wait_primary('n1')
    manager.rule(*LOOK, None)
    manager.set_state(WORK, 'inactive')
    node.wait_log('unit_failed: work.target is inactive')


def test_unit_goes_away_while_the_command_starts(unit_cluster, keys):
    [node], [manager] = unit_cluster(1)
    go = f'{node.directory}/go'
    command = node.set_command('takeover', before=f'while [ ! -e {go} ]; do sleep 0.02; done')
    node.write_config(**{'takeover.command': command})
    start(node, manager)
    node.wait_log('unit_started: ')
    asked = manager.count(*LOOK)
    manager.set_state(WORK, 'failed')
    manager.wait_call(*LOOK, more_than=asked)
    with open(go, 'w', encoding='ascii'):
        pass
    node.wait_log('unit_failed: work.target is failed')


def test_system_goes_down(unit_cluster, keys):
    """systemd stops the unit first, then the daemon: the role moves, and nothing is said to have failed."""
    nodes, managers = start_pair(unit_cluster, keys)
    keys.wait_primary('n1')
    managers[0].system_state = 'stopping'
    managers[0].set_state(WORK, 'inactive')
    nodes[0].wait_log(f' unit_stopped: {WORK} is inactive: the system is going down')
    nodes[0].child.send_signal(signal.SIGTERM)
    assert nodes[0].wait_exit() == 0
    keys.wait_primary('n2')
    assert not nodes[0].log_lines('unit_failed')


@pytest.mark.parametrize('reply', [DENIED, HOLD, answer('v', ('i', 7)), answer('')], ids=['refused', 'mute', 'number', 'empty'])
def test_system_state_unknown(unit_cluster, keys, reply):
    """Then the unit has failed."""
    node, manager = primary(unit_cluster, keys)
    manager.rule('SystemState', None, reply)
    manager.set_state(WORK, 'failed')
    node.wait_log('unit_failed: work.target is failed')


def test_alone_again(unit_cluster, keys):
    """With nobody else there, the node tries again itself when the penalty is over."""
    node, manager = primary(unit_cluster, keys)
    epoch = keys.acting().epoch
    manager.set_state(WORK, 'failed')
    node.wait_log('unit_failed: ')
    wait_until(lambda: keys.primary() == 'n1' and keys.acting().epoch > epoch, 20, 'n1 is primary once more')
    assert manager.work.state == 'active'
    assert keys.get('nodes/n1/health') == 'ok'


def test_facts_cannot_be_written(unit_cluster, keys):
    """It is said; the work does not wait for it."""
    [node], [manager] = unit_cluster(1)
    os.mkdir(f'{node.runtime_directory}/primary.env')
    start(node, manager)
    keys.wait_primary('n1')
    node.wait_log('Is a directory')
    assert os.listdir(f'{node.runtime_directory}/primary.env') == []
    assert not os.path.exists(f'{node.runtime_directory}/primary.env.new')


def test_reloading_unit_stays(unit_cluster, keys):
    """Other states, and other properties, move nothing."""
    node, manager = primary(unit_cluster, keys)
    reads = manager.count(*LOOK)
    manager.set_state(WORK, 'reloading')
    manager.set_state(WORK, 'active')
    path = manager.unit_path(WORK)
    manager.signal(path, PROPERTIES, 'PropertiesChanged', 'sa{sv}as', f'{NAME}.Target', [], [])
    manager.signal(path, PROPERTIES, 'PropertiesChanged', 'u', 7)
    manager.signal(PATH, f'{NAME}.Manager', 'JobRemoved', 's', 'junk')
    manager.signal(PATH, f'{NAME}.Manager', 'JobRemoved', 'uoss', 1, '/no/job', WORK, 'failed')
    manager.wait_call(*LOOK, reads + 1)
    manager.rule(*LOOK, answer('v', ('i', 7)))
    manager.set_state(WORK, 'active')
    manager.rule(*LOOK, DENIED)
    manager.set_state(WORK, 'active')
    manager.wait_call(*LOOK, reads + 3)
    renewals_go_on(keys)
    assert keys.primary() == 'n1' and not node.log_lines('unit_failed')
    manager.rule(*LOOK, None)


def test_required_unit(unit_cluster, keys):
    """One that restarts itself after a crash moves nothing; the role moves when systemd has given it up."""
    [node], [manager] = unit_cluster(1)
    manager.add(Unit('db.service', ConsistsOf=[]))
    manager.work.lists['Requires'] = ['db.service']
    manager.set_state('db.service', 'active')
    start(node, manager)
    keys.wait_primary('n1')
    looks = manager.count(*LOOK)
    manager.set_state('db.service', 'activating')
    manager.wait_call(*LOOK, looks)
    renewals_go_on(keys)
    assert not node.log_lines('unit_failed')
    manager.set_state('db.service', 'failed')
    node.wait_log(f'unit_failed: db.service has failed, and {WORK} requires it')


def test_too_many_required_units(unit_cluster, keys):
    """Work that cannot be watched as a whole is not run, and it is said why."""
    [node], [manager] = unit_cluster(1)
    manager.work.lists['Requires'] = [f'part{n}.service' for n in range(257)]
    start(node, manager)
    node.wait_log(f'unit_failed: {WORK} requires more than 256 units')
    wait_until(lambda: keys.acting() is None, 10, node.log_tail)


def test_restart_by_hand(unit_cluster, keys):
    """A job that brings the unit up again: the role stays, unless it fails to."""
    node, manager = primary(unit_cluster, keys)
    manager.work.job = 'restart'
    looks = manager.count(*LOOK)
    manager.set_state(WORK, 'inactive')
    manager.wait_call(*LOOK, looks)
    renewals_go_on(keys)
    assert keys.primary() == 'n1' and not node.log_lines('unit_failed')
    manager.work.job = ''
    manager.set_state(WORK, 'inactive')
    node.wait_log(f'unit_failed: {WORK} is inactive')


def test_bus_comes_and_goes(unit_cluster, keys):
    """A primary without a bus stays one. When the bus is back, it sees what it missed."""
    nodes, managers = start_pair(unit_cluster, keys)
    keys.wait_primary('n1')
    managers[0].disconnect()
    managers[0].bus.stop()
    nodes[0].wait_log(' bus_lost: ')
    renewals_go_on(keys)
    managers[0].bus.start()
    managers[0].connect()
    nodes[0].wait_log(' bus_back: ')
    assert keys.primary() == 'n1'
    mark = nodes[0].log_mark()
    managers[0].disconnect()
    managers[0].bus.stop()
    nodes[0].wait_log(' bus_lost: ', since=mark)
    managers[0].set_state(WORK, 'failed')
    managers[0].bus.start()
    managers[0].connect()
    nodes[0].wait_log('unit_failed: work.target is failed')
    keys.wait_primary('n2')


def test_guard_killed(unit_cluster, keys):
    """The guard's end is the work's end, and the role moves."""
    nodes, managers = start_pair(unit_cluster, keys)
    keys.wait_primary('n1')
    managers[0].guard.child.send_signal(signal.SIGKILL)
    nodes[0].wait_log('unit_failed: work.target is inactive')
    keys.wait_primary('n2')


def test_daemon_hangs(unit_cluster, keys):
    """A stopped daemon: its guard ends, and with it the work, before another node begins (check_apart)."""
    nodes, managers = start_pair(unit_cluster, keys, **MORTAL)
    keys.wait_primary('n1')
    nodes[0].sigstop()
    keys.wait_primary('n2', 20)
    assert managers[0].work.state == 'inactive' and managers[0].guard.child is None
    nodes[0].sigcont()
    wait_until(lambda: keys.states().get('n1') == 'secondary', 20, 'n1 is a secondary')


def test_guard_started_after_it_has_acted(unit_cluster, keys):
    """By hand, say, while the daemon hangs: a guard whose lease is over is not ready, so nothing starts that is bound to it."""
    node, manager = primary(unit_cluster, keys, **MORTAL)
    node.sigstop()
    wait_until(lambda: manager.guard.child is None, 10, 'the guard has acted')
    said, hear = [], manager._hear
    manager._hear = lambda unit: said.append(hear(unit)) or said[-1]
    with manager.lock:
        manager._begin(manager.guard, f'{PATH}/job/999', 'StartUnit')
    wait_until(lambda: not manager.guard.jobs, 10, 'it has ended again')
    assert b'READY=1' not in b''.join(said) and b'STOPPING=1' in b''.join(said)


# stops

def hang_parts(manager, *names):
    """Two services of the target, the second one bound to the first, that take their time to stop."""
    first, second = (manager.add(Unit(name)) for name in names)
    manager.work.lists['ConsistsOf'] = [first.name]
    first.lists['BoundBy'] = [second.name]
    second.lists['RequiredBy'] = [first.name, manager.work.name]  # a circle is no trap
    for unit in (first, second):
        manager.set_state(unit.name, 'active')


def test_stop_waits_for_all(unit_cluster, keys):
    """The job of the target is done long before what it pulls down is."""
    node, manager = primary(unit_cluster, keys)
    hang_parts(manager, 'a.service', 'b.service')
    node.child.send_signal(signal.SIGTERM)
    manager.wait_call('StopUnit')
    renewals_go_on(keys)
    manager.set_state('a.service', 'inactive')
    manager.signal(PATH, f'{NAME}.Manager', 'JobRemoved', 'uoss', 9, f'{PATH}/job/9', 'a.service', 'done')
    stays(lambda: keys.acting() is not None and node.running(), 0.5, 'the post is kept')
    manager.set_state('b.service', 'failed')
    assert node.wait_exit() == 0
    assert manager.count('StartUnit', KILLER) == 0


@pytest.mark.parametrize('reload', [False, True])
def test_unit_is_taken_out_of_the_work(unit_cluster, keys, reload):
    """An operator edits a unit of the work while it runs: no longer part of the target, it is not stopped with it."""
    [node], [manager] = unit_cluster(1)
    hang_parts(manager, 'a.service', 'b.service')
    start(node, manager)
    manager.set_state('a.service', 'inactive')
    manager.set_state('b.service', 'inactive')
    keys.wait_primary('n1')
    mark = manager.calls.index(('StartUnit', WORK))
    if reload:
        mark = len(manager.calls)
        node.child.send_signal(signal.SIGHUP)
    wait_until(lambda: ('Triggers', 'b.service') in manager.calls[mark:], 10, 'it is noted')
    renewals_go_on(keys)
    manager.work.lists['ConsistsOf'] = []
    manager.set_state('b.service', 'active')
    node.child.send_signal(signal.SIGTERM)
    node.wait_log('work_stop_waits: .*b.service is active')
    assert keys.acting().node == 'n1'
    manager.set_state('b.service', 'inactive')
    assert node.wait_exit() == 0


def bind_to_guard(manager, name):
    """A service that is bound to the guard, and no part of the target."""
    unit = manager.add(Unit(name, BindsTo=[GUARD]))
    manager.guard.lists['BoundBy'].append(name)
    unit.stop = None
    manager.set_state(name, 'active')
    return unit


def test_stop_of_what_is_bound_to_the_guard(unit_cluster, keys):
    """A stop of the target does not reach it; that of the guard does, and the post is kept until it is down."""
    node, manager = primary(unit_cluster, keys)
    hang_parts(manager, 'a.service', 'b.service')
    alone = bind_to_guard(manager, 'alone.service')
    manager.guard.lists['BoundBy'].append('a.service')
    node.child.send_signal(signal.SIGTERM)
    manager.wait_call('ListUnitsByNames', '', manager.count('ListUnitsByNames', '') + 3)
    stops = manager.count('StopUnit', GUARD)
    assert alone.state == 'active'
    manager.set_state('b.service', 'inactive')
    manager.set_state('a.service', 'inactive')
    manager.wait_call('StopUnit', GUARD, stops)
    renewals_go_on(keys)
    stays(lambda: keys.acting() is not None and node.running(), 0.5, 'the post is kept')
    assert alone.state == 'deactivating' and manager.count('StopUnit', GUARD) == stops + 1
    manager.set_state('alone.service', 'inactive')
    assert node.wait_exit() == 0
    assert manager.count('StartUnit', KILLER) == manager.count('StopUnit', 'alone.service') == 0
    wait_until(lambda: manager.guard.child is None, 10, 'the guard ends')


def test_what_is_bound_to_the_guard_is_late(unit_cluster, keys):
    node, manager = primary(unit_cluster, keys, **{'relinquish.timeout': '1s'})
    bind_to_guard(manager, 'alone.service')
    node.child.send_signal(signal.SIGTERM)
    manager.wait_call('StartUnit', KILLER)
    manager.set_state('alone.service', 'failed')
    assert node.wait_exit() == 0


def test_late_stop_is_killed(unit_cluster, keys):
    """After relinquish.timeout the unit that kills is started, once. Here it is not known, which changes nothing."""
    node, manager = primary(unit_cluster, keys, **{'relinquish.timeout': '1s'})
    hang_parts(manager, 'a.service', 'b.service')
    manager.set_state('a.service', 'inactive')
    node.child.send_signal(signal.SIGTERM)
    manager.wait_call('StartUnit', KILLER)
    manager.wait_call('ListUnitsByNames', '', manager.count('ListUnitsByNames', '') + 3)
    manager.set_state('b.service', 'failed')
    assert node.wait_exit() == 0
    assert manager.count('StartUnit', KILLER) == 1 and manager.count('KillUnit', '') == 0


def test_stop_is_refused(unit_cluster, keys):
    """It is asked for again until it is granted; the post is kept meanwhile."""
    node, manager = primary(unit_cluster, keys)
    manager.rule('StopUnit', WORK, DENIED)
    asked = manager.count('StopUnit', WORK)
    node.child.send_signal(signal.SIGTERM)
    manager.wait_call('StopUnit', WORK, asked + 1)
    node.wait_log('work.target: stop: no permission for you')
    assert keys.acting().node == 'n1' and node.running()
    manager.rule('StopUnit', WORK, None)
    assert node.wait_exit() == 0
    assert manager.work.state == 'inactive'


def test_stop_is_refused_for_good(unit_cluster, keys):
    """Nothing may be stopped nor killed: when relinquish.timeout is over the guard ends, and systemd stops what is bound to it."""
    node, manager = primary(unit_cluster, keys, **{'relinquish.timeout': '1s'})
    for method, unit in (('StopUnit', WORK), ('StartUnit', KILLER)):
        manager.rule(method, unit, DENIED)
    node.child.send_signal(signal.SIGTERM)
    assert node.wait_exit() == 0
    assert manager.work.state == 'inactive'
    log = node.log_text()
    assert log.index('work_stop_late') < log.index('guard: the lease of epoch ') < log.index(' relinquished: ')


def test_command_of_a_guard_is_no_proof(unit_cluster, keys):
    """Its command has ended, and systemd was told: the units may be up as long as that does not say that they are down."""
    [node], [manager] = unit_cluster(1, **{'zookeeper.session-timeout': '4s'})
    manager.guard_options = ['--', '/bin/true']
    start(node, manager)
    keys.wait_primary('n1')
    manager.work.stop = None
    node.sigstop()
    wait_until(lambda: manager.work.state == 'deactivating', 10, 'the guard says that it stops')
    wait_until(lambda: manager.guard.child is None, 10, 'the guard ends')
    node.sigcont()
    stays(lambda: not node.log_lines(' relinquished: '), 0.7, node.log_tail)
    manager.work.stop = 'done'
    manager.finish(WORK, 'done')
    keys.wait_primary('n1')


def test_guard_while_others_are_waited_for(unit_cluster, keys):
    """This node has the post, and starts nothing yet: so its guard lets start nothing either."""
    nodes, managers = start_pair(unit_cluster, keys)
    keys.wait_primary('n1')
    vacate(keys)
    keys.wait_primary('n2')
    mark = nodes[0].log_mark()
    keys.delete('primary_active')
    keys.set('primary_node', 'n1')
    nodes[0].wait_log('takeover_waiting: n2 ', since=mark)
    os.kill(managers[0].guard.child.pid, signal.SIGTERM)  # look again
    stays(lambda: managers[0].guard.state != 'active', 0.5)
    keys.wait_primary('n1')
    assert managers[0].guard.state == 'active'


def test_stop_job_is_cancelled(unit_cluster, keys):
    """A job that somebody else's job took the place of is no stop."""
    node, manager = primary(unit_cluster, keys)
    manager.work.stop = 'canceled'
    asked = manager.count('StopUnit', WORK)
    node.child.send_signal(signal.SIGTERM)
    node.wait_log('work.target: stop: job canceled')
    manager.wait_call('StopUnit', WORK, asked + 1)
    manager.work.stop = 'done'
    assert node.wait_exit() == 0


def test_unit_is_gone(unit_cluster, keys):
    """A unit that does not exist (any more) is down."""
    node, manager = primary(unit_cluster, keys)
    manager.set_state(WORK, 'inactive')
    manager.rule('StopUnit', WORK, error(f'{NAME}.NoSuchUnit', 'Unit work.target not loaded.'))
    node.child.send_signal(signal.SIGTERM)
    assert node.wait_exit() == 0


def test_refused_but_down(unit_cluster, keys):
    """Whoever stopped it: down is down."""
    node, manager = primary(unit_cluster, keys)
    manager.rule('StopUnit', WORK, DENIED)
    manager.work.state = 'inactive'  # and nobody was told
    node.child.send_signal(signal.SIGTERM)
    assert node.wait_exit() == 0
    assert node.log_lines('down already')


def test_manager_away_while_stopping(unit_cluster, keys):
    """The bus is there, systemd is not: the stop is tried until it is back."""
    node, manager = primary(unit_cluster, keys)
    manager.disconnect()
    node.child.send_signal(signal.SIGTERM)
    node.wait_log('work.target: stop: ')
    assert keys.acting().node == 'n1'
    renewals_go_on(keys)
    manager.connect()
    assert node.wait_exit() == 0
    assert manager.work.state == 'inactive'


def test_end_of_a_stop_is_not_told(unit_cluster, keys):
    """systemd forgets its subscribers when its connection to the bus breaks: what is asked for counts as well."""
    node, manager = primary(unit_cluster, keys)
    manager.work.stop = None
    node.child.send_signal(signal.SIGTERM)
    manager.wait_call('StopUnit', WORK, 1)
    with manager.lock:
        manager.work.jobs = []
        manager.work.state = 'inactive'
    assert node.wait_exit() == 0


def test_end_of_a_start_is_not_told(unit_cluster, keys):
    [node], [manager] = unit_cluster(1)
    manager.work.start = None
    start(node, manager)
    manager.wait_call('StartUnit', WORK)
    manager.disconnect()
    with manager.lock:
        manager.work.jobs = []
        manager.work.state, manager.work.start = 'active', 'done'
    manager.connect()
    keys.wait_primary('n1')
    assert not node.log_lines('takeover_failed: '), node.log_tail()


def test_systemd_forgets_its_subscribers(unit_cluster, keys):
    """Its connection to the bus breaks, that of the daemon does not: the daemon subscribes again, and looks."""
    nodes, managers = start_pair(unit_cluster, keys)
    keys.wait_primary('n1')
    subscribed = managers[0].count('Subscribe', '')
    managers[0].disconnect()
    managers[0].work.state = 'failed'
    managers[0].connect()
    managers[0].wait_call('Subscribe', '', subscribed)
    nodes[0].wait_log('unit_failed: work.target is failed')
    keys.wait_primary('n2')


def test_bus_lost_while_stopping(unit_cluster, keys):
    node, manager = primary(unit_cluster, keys)
    manager.work.stop = None
    node.child.send_signal(signal.SIGTERM)
    manager.wait_call('StopUnit', WORK, 1)
    manager.disconnect()
    manager.bus.stop()
    node.wait_log('work.target: stop: no connection to the system bus')
    assert keys.acting().node == 'n1'
    manager.work.stop = 'done'
    manager.work.jobs = []
    manager.bus.start()
    manager.connect()
    assert node.wait_exit() == 0
    assert manager.work.state == 'inactive'


def test_mute_manager(unit_cluster, keys):
    """One that takes calls and never answers: the loop does not wait for it, the lease is renewed."""
    node, manager = primary(unit_cluster, keys)
    for name in ('ConsistsOf', 'BoundBy', 'RequiredBy', 'StopUnit'):
        manager.rule(name, WORK, HOLD)
    node.child.send_signal(signal.SIGTERM)
    manager.wait_call('RequiredBy', WORK, 1)
    renewals_go_on(keys)
    assert manager.work.state == 'active' and keys.acting().node == 'n1'
    manager.disconnect()  # which fails what is outstanding
    for name in ('ConsistsOf', 'BoundBy', 'RequiredBy', 'StopUnit'):
        manager.rule(name, WORK, None)
    manager.connect()
    assert node.wait_exit() == 0
    assert manager.work.state == 'inactive'


def test_hostile_lists(unit_cluster, keys):
    """More parts than are kept, names that are too long, lists that are none, rows that are none."""
    node, manager = primary(unit_cluster, keys)
    manager.work.lists['ConsistsOf'] = ['x' * 1000, '', *(f'part{n}.service' for n in range(300))]
    manager.rule('BoundBy', WORK, answer('v', ('i', 7)))
    manager.rule('RequiredBy', WORK, answer('as', ['a']))
    manager.rule('ListUnitsByNames', '', answer('s', 'junk'))
    looks = manager.count('ListUnitsByNames', '')
    node.child.send_signal(signal.SIGTERM)
    manager.wait_call('ListUnitsByNames', '', looks + 2)
    assert keys.acting().node == 'n1'  # nobody said that it is down
    manager.rule('ListUnitsByNames', '', DENIED)
    looks = manager.count('ListUnitsByNames', '')
    manager.wait_call('ListUnitsByNames', '', looks + 2)
    assert keys.acting().node == 'n1'
    manager.rule('ListUnitsByNames', '', None)
    # What depends on it may be up, and was not told.
    node.wait_log('work_stop_waits: .*systemd does not report what depends on it')
    assert keys.acting().node == 'n1'
    manager.rule('BoundBy', WORK, None)
    manager.rule('RequiredBy', WORK, None)
    # Those that do not fit may still be up.
    node.wait_log(f'work_stop_waits: .*more than 256 units belong to {WORK}')
    assert keys.acting().node == 'n1'
    manager.work.lists['ConsistsOf'] = ['part1.service']
    assert node.wait_exit() == 0


def test_part_that_is_about_to_start(unit_cluster, keys):
    """Its job waits for something else, and nothing that stops the unit ends it."""
    node, manager = primary(unit_cluster, keys)
    part = manager.add(Unit('db.service'))
    manager.work.lists['RequiredBy'] = ['db.service']
    part.state, part.job = 'inactive', 'start'
    node.child.send_signal(signal.SIGTERM)
    node.wait_log('work_stop_waits: .*db.service is activating')
    assert keys.acting().node == 'n1'
    part.job = ''
    assert node.wait_exit() == 0


def test_what_is_left(unit_cluster, keys):
    """All units are inactive or failed, and yet something is left, or systemd does not say: the post is kept, and what runs is
    killed again and again."""
    node, manager = primary(unit_cluster, keys, **{'relinquish.timeout': '600ms'})
    part = manager.add(Unit('db.service', PartOf=[WORK]))
    manager.work.lists['ConsistsOf'] = ['db.service']
    part.state, part.processes = 'failed', [('/db', 77, 'sleep 1000')]
    manager.rule('ExecStopPost', 'db.service', answer('v', ('a(sasbttttuii)', [
        ('/bin/true', ['true'], False, 1, 1, 2, 2, 5, 1, 0), ('/bin/x', ['x', 'y'], False, 1, 1, 2, 2, 6, 1, 7)])))
    node.child.send_signal(signal.SIGTERM)
    manager.wait_call('StartUnit', KILLER, 2)
    node.wait_log('work_stop_waits: .*db.service is failed, but its process 77 still runs: sleep 1000')
    part.processes = []
    mark = node.log_mark()
    node.wait_log(r'work_stop_waits: .*the clean-up of db.service, its ExecStopPost=, failed \(7\)', since=mark)
    manager.rule('ExecStopPost', 'db.service', answer('v', ('a(sasbttttuii)', [
        ('/bin/x', ['x', 'y'], False, 1, 1, 2, 2, 6, 2, 9)])))
    node.wait_log(r'work_stop_waits: .*its ExecStopPost=, failed \(signal 9\)', since=mark)
    manager.rule('GetUnitProcesses', WORK, DENIED)
    part.state = 'inactive'  # somebody has seen to it: reset-failed
    node.wait_log(f'work_stop_waits: .*systemd does not report what is left of {WORK}: no permission')
    assert keys.acting().node == 'n1'
    manager.rule('GetUnitProcesses', WORK, None)
    assert node.wait_exit() == 0


def clean_up(*commands):
    """ExecStopPost= as (pid, code, status) of each command; pid 0: it has not run."""
    return answer('v', ('a(sasbttttuii)', [('/bin/x', ['x'], False, 1, 1, 2, 2, *command) for command in commands]))


LATER = 1 << 62


@pytest.mark.parametrize('state, result, commands, ended, said', [
    ('inactive', 'signal', [(6, 1, 7)], 0, r'failed \(7\)'),  # stopped while it waited for its restart
    ('failed', 'signal', [(0, 0, 0)], LATER, 'has not run'),
    ('failed', 'signal', [(6, 1, 0), (0, 0, 0)], LATER, 'has not run'),
    ('failed', 'signal', [(0, 0, 0)], 2000, None),  # before systemd was known: it may have forgotten
    ('failed', 'resources', [(0, 0, 0)], 0, None),  # no process of it could be started
    ('inactive', 'signal', [(6, 1, 0)], LATER, None),
], ids=['restarting', 'not begun', 'not all begun', 'forgotten', 'never started', 'fine'])
def test_clean_up(unit_cluster, keys, state, result, commands, ended, said):
    """What went wrong with a unit tells whether its clean-up has to be looked at, not whether it is called failed."""
    node, manager = primary(unit_cluster, keys)
    part = manager.add(Unit('db.service', PartOf=[WORK]))
    manager.work.lists['ConsistsOf'] = ['db.service']
    part.state = state
    manager.rule('Result', 'db.service', answer('v', ('s', result)))
    manager.rule('ExecMainExitTimestampMonotonic', 'db.service', answer('v', ('t', ended)))
    manager.rule('ExecStopPost', 'db.service', clean_up(*commands))
    node.child.send_signal(signal.SIGTERM)
    if said:
        node.wait_log(f'work_stop_waits: .*the clean-up of db.service, its ExecStopPost=, {said}')
        assert keys.acting().node == 'n1'
        manager.rule('Result', 'db.service', None)
        part.state = 'inactive'  # reset-failed
    assert node.wait_exit() == 0
    assert said or not node.log_lines('work_stop_waits')


def test_guard_ready_while_the_manager_is_away(unit_cluster, keys):
    """Nobody hears that the guard's job is over: it is asked for again, without another guard."""
    [node], [manager] = unit_cluster(1)
    manager.guard.start = None
    start(node, manager)
    manager.wait_call('RestartUnit', GUARD)
    wait_until(lambda: manager.guard.jobs, 10, 'the job of the guard')
    manager.disconnect()
    with manager.lock:
        manager.guard.jobs, manager.guard.start = [], 'done'
    manager.connect()
    manager.wait_call('StartUnit', GUARD)
    keys.wait_primary('n1')
    assert not node.log_lines('takeover_failed: '), node.log_tail()


def test_what_is_required_was_not_told(unit_cluster, keys):
    """A required unit is watched even if systemd did not say at first that it is required."""
    [node], [manager] = unit_cluster(1)
    part = manager.add(Unit('db.service', PartOf=[WORK]))
    part.state = 'active'
    manager.rule('Requires', WORK, DENIED)
    start(node, manager)
    keys.wait_primary('n1')
    manager.rule('Requires', WORK, answer('v', ('as', ['db.service'])))
    seen = manager.count('Requires', WORK)
    manager.wait_call('Requires', WORK, seen)
    part.state = 'failed'
    manager.set_state('db.service', 'failed')
    node.wait_log('unit_failed: db.service has failed, and work.target requires it')


def test_cold_start_stops_first(unit_cluster, keys):
    """A daemon that finds the unit running, of a life before, stops it before it joins."""
    [node], [manager] = unit_cluster(1)
    manager.set_state(WORK, 'active')
    manager.work.stop = None
    start(node, manager)
    manager.wait_call('StopUnit')
    stays(lambda: keys.acting() is None, 0.3, 'no takeover yet')
    assert manager.count('StartUnit', WORK) == 0
    manager.work.stop = 'done'
    manager.finish(WORK, 'done')
    keys.wait_primary('n1')
