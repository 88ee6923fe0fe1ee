"""The units of the work as they really are: processes that outlive them, clean-ups that fail, crashes, operators."""

import os

import pytest
from lab.wait import stays, wait_until
from site3 import Moment, brief, others


def move(site, holder):
    """An operator names another node; returns it, and when."""
    target, moment = others(site, holder)[0], Moment()
    site.keys.set('/primary_node', target.name.encode())
    return target, moment


def waits_for(site, one, moment, text):
    """The stop tells what it waits for: in the journal, in systemctl status, and in primaryctl on every node."""
    found = wait_until(lambda: [entry for name, entry in one.events(moment.wall_us) if name == 'work_stop_waits'], 10,
                       one.journal_tail, 0.1)[0]
    assert text in found['MESSAGE'], found['MESSAGE']
    assert text in one.show('primaryd.service', 'StatusText')['StatusText']
    for verb in ('status', 'explain'):
        said = site.machines[0].run('primaryctl', verb, *([one.name] if verb == 'explain' else []), check=False).stdout
        assert text in ' '.join(said.split()), said


def test_processes_outlive_their_unit(site, drop_in):
    """KillMode=process, and a job that a timer has started: the role is kept while any of it runs, and it is killed when the
    time of the stop is over."""
    holder = site.wait_holder()
    drop_in(holder, 'worker.service', '[Service]\nKillMode=process\nRestart=always\nExecStop=/bin/true')
    found = ' '.join(holder.run('primaryctl', 'check', check=False).stdout.split())
    assert 'worker.service has ExecStop=, which systemd skips after a crash' in found
    assert 'worker.service has KillMode=process' in found and 'worker.service has Restart=, but the target is bound' in found
    target, moment = move(site, holder)
    waits_for(site, holder, moment, 'worker.service is inactive, but its process ')
    assert site.acting() == holder.name
    assert site.wait_holder(other_than=holder) is target
    site.story(holder, moment, 'relinquish_started', 'work_stop_waits', 'work_stop_late', 'unit_stopped', 'relinquished')
    site.measure('a process outlives its unit: killed after 3 s', moment, holder, target)
    assert not holder.show('worker.service', 'ControlGroup')['ControlGroup']
    assert site.health(holder) == 'ok'

    target.shell('cd /run/systemd/system; printf "[Unit]\\nPartOf=primary.target\\n[Timer]\\nOnActiveSec=0\\n" >job.timer; '
                 'mkdir -p primary.target.wants; ln -s ../job.timer primary.target.wants; '
                 'printf "[Service]\\nExecStart=sleep 1000\\n" >job.service; systemctl daemon-reload; systemctl start job.timer')
    wait_until(lambda: target.state('job.service') == 'active', 10, target.journal_tail, 0.05)
    _, moment = move(site, target)
    waits_for(site, target, moment, 'job.service is active, process ')
    site.wait_holder(other_than=target)
    assert target.state('job.service') == 'failed'
    target.shell('cd /run/systemd/system; rm job.* primary.target.wants/job.timer; systemctl daemon-reload')


def test_clean_up_that_fails(site, drop_in):
    """ExecStopPost= is what takes the work's traces away: when it fails, the role is kept until somebody has seen to it. One
    whose failure is said not to matter does not count."""
    holder = site.wait_holder()
    drop_in(holder, 'worker.service', '[Service]\nExecStopPost=/bin/sh -c "exit 7"')
    target, moment = move(site, holder)
    waits_for(site, holder, moment, 'the clean-up of worker.service, its ExecStopPost=, failed (7)')
    site.story(holder, moment, 'work_stop_waits', 'work_stop_late')
    assert site.acting() == holder.name
    stays(lambda: site.acting() == holder.name, 1, 'killed, and the role is kept')
    holder.run('systemctl', 'reset-failed', 'worker.service')
    assert site.wait_holder(other_than=holder) is target
    drop_in(target, 'worker.service', '[Service]\nExecStopPost=-/bin/false')
    _, moment = move(site, target)
    site.wait_holder(other_than=target)
    assert 'work_stop_waits' not in [name for name, _ in target.events(moment.wall_us)]


BINDING = '/etc/systemd/system/primary.target.d/worker.conf'


@pytest.fixture
def required(site):
    """The role's worker is required, not bound to, on all machines."""
    for one in site.machines:
        one.shell(f'sed -i s/^BindsTo/Requires/ {BINDING}; systemctl daemon-reload')
    yield
    for one in filter(lambda one: one.is_on(), site.machines):
        one.shell(f'sed -i s/^Requires/BindsTo/ {BINDING}; systemctl daemon-reload')


def crash(one, unit='worker.service'):
    """Its main process is killed; returns when systemd has restarted it, or not."""
    pid = one.main_pid(unit)
    one.run('systemctl', 'kill', '--kill-who=main', '--signal=KILL', unit)
    wait_until(lambda: one.main_pid(unit) not in (0, pid) or one.state(unit) in ('failed', 'inactive'), 10,
               one.journal_tail, 0.05)


def test_crash_of_a_bound_unit(site, drop_in):
    """BindsTo= in the target: systemd does not come to the restart, and the role moves."""
    holder = site.wait_holder()
    drop_in(holder, 'worker.service', '[Service]\nRestart=always')
    moment = Moment()
    crash(holder)
    failed = site.story(holder, moment, 'unit_failed')[-1]
    # Whichever of the two is seen first: that the unit has failed, or that systemd has stopped the target.
    assert 'worker.service has failed' in failed['MESSAGE'] or 'primary.target is inactive' in failed['MESSAGE'], failed
    site.wait_holder(other_than=holder)


@pytest.mark.usefixtures('required')
def test_crash_is_mended_on_the_spot(site, drop_in):
    """Restart= of a required unit: the role stays, until systemd gives the unit up."""
    holder, epoch = site.wait_holder(), site.epoch()
    moment = Moment()
    for restart in ('on-failure', 'always'):
        drop_in(holder, 'worker.service', '[Unit]\nStartLimitBurst=4\nStartLimitIntervalSec=60\n'
                f'[Service]\nRestart={restart}\nRestartSec=100ms\nExecStopPost=/bin/true')
        crash(holder)
        assert holder.state('worker.service') == 'active'
    wait_until(lambda: site.wait_holder() is holder, 10, 'what systemd has restarted along with it is up')
    assert site.epoch() == epoch
    site.measure('two crashes of a required unit, Restart=', moment, holder, holder)
    assert 'unit_failed' not in [name for name, _ in holder.events(moment.wall_us)]
    for _ in range(4):
        if holder.state('worker.service') != 'failed':
            crash(holder)
    failed = site.story(holder, moment, 'unit_failed')[-1]
    assert 'worker.service has failed' in failed['MESSAGE'], failed
    site.wait_holder(other_than=holder)
    site.story(holder, moment, 'unit_failed', 'relinquished')


def test_operator_restarts_units(site):
    """Of the work on the primary, while it may not be restarted: the role stays. A stop moves it, and it is said why."""
    holder, epoch, begun = site.wait_holder(), site.epoch(), Moment()
    for unit in ('worker.service', 'floating-ip@vip.service', 'primary.target'):
        moment = Moment()
        holder.run('systemctl', 'restart', unit)
        assert site.wait_holder() is holder and holder.state('worker.service') == 'active'
        site.measure(f'systemctl restart {unit}', moment, holder, holder)
    assert site.epoch() == epoch
    assert 'unit_failed' not in [name for name, _ in holder.events(begun.wall_us)]
    holder.run('systemctl', 'stop', 'worker.service')
    why = 'primary.target is inactive although primaryd did not stop it'
    _, gone = site.story(holder, moment, 'unit_failed', 'released')
    assert why in gone['MESSAGE'], gone
    site.wait_holder(other_than=holder)


def test_switchovers_hit_no_start_limit(site, drop_in):
    """To and fro, eleven times, on hosts where three starts in an hour are too many: not for the floating address, the guard,
    and what kills."""
    holder = site.wait_holder()
    pair = holder, others(site, holder)[0]
    conf, began = '/run/systemd/system.conf.d/limit.conf', Moment()
    for one in pair:
        one.shell(f'mkdir -p {os.path.dirname(conf)}; printf "[Manager]\\nDefaultStartLimitIntervalSec=1h\\n'
                  f'DefaultStartLimitBurst=2\\n" >{conf}; systemctl daemon-reexec')
        drop_in(one, 'worker.service', '[Unit]\nStartLimitIntervalSec=0')
        assert one.show('polkit.service', 'StartLimitBurst') == {'StartLimitBurst': '2'}
    try:
        for n in range(11):
            target = pair[1 - n % 2]
            site.keys.set('/primary_node', target.name.encode())
            wait_until(lambda target=target: site.is_primary(target), 10, target.journal_tail, 0.02)
        for one in pair:
            told = [name for name, _ in one.events(began.wall_us)]
            assert told.count('primary') >= 5 and not {'takeover_failed', 'unit_failed', 'guard_failed'} & set(told), told
            for _ in range(4):
                one.run('systemctl', 'start', 'primaryd-kill@none.target.service')
    finally:
        for one in pair:
            one.shell(f'rm {conf}; systemctl daemon-reexec')
    site.measure('each of eleven switchovers, to and fro', began, holder, site.wait_holder())


def test_bus_away_in_a_slow_start(site, drop_in):
    """The start goes on without the bus, and so does the takeover: waiting costs nothing while the lease holds."""
    holder = site.wait_holder()
    target = others(site, holder)[0]
    drop_in(target, 'worker.service', '[Service]\nExecStartPre=/bin/sleep 3')
    moment = Moment()
    site.keys.set('/primary_node', target.name.encode())
    wait_until(lambda: target.state('worker.service') == 'activating', 10, target.journal_tail, 0.05)
    target.run('systemctl', 'stop', 'dbus.socket', 'dbus.service')
    site.story(target, moment, 'bus_lost')
    stays(lambda: site.acting() == target.name, 3, 'the start goes on')
    # Without a bus, polkit has reached its start limit by now (systemd 257).
    target.shell('systemctl reset-failed polkit; systemctl start dbus.socket dbus.service polkit.service')
    assert site.wait_holder(other_than=holder) is target
    # Which of its questions systemd answers first is not said.
    site.story(target, moment, 'bus_lost', 'bus_back')
    site.story(target, moment, 'bus_lost', 'unit_started', 'primary')
    site.measure('start of 3 s, the bus goes away in it', moment, holder, target)


@brief
def test_work_outlives_a_dead_daemon(site, drop_in):
    """Units that do not stop in time are killed by the end of the lease, also when nobody but systemd is left to do it."""
    holder = site.wait_holder()
    drop_in(holder, 'primaryd.service', '[Service]\nRestart=no')
    holder.shell('touch /run/stubborn')
    moment = Moment()
    holder.run('systemctl', 'kill', '--kill-who=main', '--signal=KILL', 'primaryd')
    successor = site.wait_holder(other_than=holder)
    assert holder.state('worker.service') not in ('active', 'deactivating'), holder.journal_tail()
    site.story(holder, moment, 'guard_acts')
    site.measure('kill -9, restart disabled, unit will not stop', moment, holder, successor)


def test_words_for_what_is_wrong(site, drop_in):
    """A takeover that cannot succeed says why, and so does primaryctl check before it: a target or polkit that is masked, a
    required unit that is missing or not valid."""
    holder = site.wait_holder()
    one = others(site, holder)[0]

    def take(text):
        """The takeover fails, and that is said."""
        moment = Moment()
        site.keys.set('/primary_node', one.name.encode())
        told = wait_until(lambda: [entry['MESSAGE'] for name, entry in one.events(moment.wall_us) if name == 'request_failed'],
                          10, one.journal_tail, 0.1)
        assert text in told[0], told
        wait_until(lambda: site.acting() not in ('', one.name), 20, 'another node is primary', 0.05)

    def check(text):
        found = one.run('primaryctl', 'check', check=False).stdout
        assert text in found, found

    one.shell('systemctl mask --runtime primary.target')
    check('takeover.unit primary.target is masked')
    take('it is masked: systemctl unmask primary.target')
    one.shell('systemctl unmask --runtime primary.target')
    drop_in(one, 'worker.service', '[Service]\nExecStart=/second')
    check('worker.service cannot be started: it is missing, masked, or its unit file is not valid')
    take('Unit worker.service has a bad unit file setting')
    one.shell('rm -r /run/systemd/system/worker.service.d; systemctl mask --runtime polkit; systemctl stop polkit')
    try:
        check('polkit is masked')
        take('Unit polkit.service is masked')
    finally:
        one.shell('systemctl unmask --runtime polkit; systemctl start polkit')


def test_environment_of_root(site):
    """What the daemon's user writes cannot get more than facts into a unit that runs as root."""
    holder = site.wait_holder()
    holder.shell('printf "LD_PRELOAD=/run/evil.so\\nPRIMARYD_X=\\"a b\\"\\n" >>/run/primaryd/primary.env; '
                 'systemctl --job-mode=ignore-dependencies restart worker.service')

    def environment():
        return holder.shell('tr "\\0" "\\n" </proc/$(systemctl show -P MainPID worker.service)/environ')
    # systemctl returns when with-environment runs, which then becomes the program.
    wait_until(lambda: 'PRIMARYD_' in environment(), 10, environment, 0.02)
    text = environment()
    assert 'PRIMARYD_X=a b' in text and 'LD_PRELOAD' not in text, text
    assert f'PRIMARYD_NODE={holder.name}' in text
    assert site.wait_holder() is holder


def test_library_upgrade(site):
    """needrestart, as apt runs it after an upgrade of a library: the daemon is reloaded, the guard left alone."""
    holder = site.wait_holder()
    if holder.run('which', 'needrestart', check=False).returncode != 0:
        pytest.skip('needs needrestart (tests/packages.sh system)')
    moment, epoch = Moment(), site.epoch()
    guard = holder.main_pid('primaryd-guard.service')
    holder.shell("""for file in $(ldd /usr/sbin/primaryd | sed -n 's,.*=> \\(/.*libsystemd[^ ]*\\) .*,\\1,p') /usr/sbin/primaryd-guard; do
file=$(readlink -f $file); cp -a $file /var/tmp/new; mv /var/tmp/new $file; done""")
    stale = '/proc/$(systemctl show -P MainPID primaryd.service)/maps'
    assert 'libsystemd' in holder.shell(f'grep deleted {stale}')
    out = holder.run('needrestart', '-r', 'a', '-l').stdout
    assert 'primaryd' in out and 'primaryd-guard' not in out, out
    site.story(holder, moment, 'reload', 'session_resumed')
    assert 'libsystemd' not in holder.shell(f'grep deleted {stale}', check=False)
    assert guard == holder.main_pid('primaryd-guard.service') and site.epoch() == epoch
    assert site.untouched(moment, holder) and site.wait_holder() is holder


def test_guard_killed(site):
    """The guard's end is the work's end, and that is stopped, not killed; the role moves."""
    holder = site.wait_holder()
    moment = Moment()
    holder.run('systemctl', 'kill', '--signal=KILL', 'primaryd-guard.service')
    site.wait_holder(other_than=holder)
    killed = [entry['MESSAGE'] for entry in holder.journal(f'--since=@{moment.wall_us // 1_000_000}')
              if 'SIGKILL' in entry.get('MESSAGE', '') and 'client request' in entry['MESSAGE']]
    assert not [text for text in killed if 'primaryd-guard' not in text], killed
