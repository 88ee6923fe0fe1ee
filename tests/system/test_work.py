"""The units of the work as they really are: processes that outlive them, clean-ups that fail, crashes, operators."""

import pytest
from lab.wait import stays, wait_until
from site3 import Moment

brief = pytest.mark.brief


def others(site, one):
    return [other for other in site.machines if other is not one]


@pytest.fixture
def drop_in():
    """drop_in(machine, unit, text): gone again after the test."""
    made = []

    def write(one, unit, text):
        directory = f'/run/systemd/system/{unit}.d'
        one.shell(f'mkdir -p {directory}; cat >{directory}/t.conf <<"EOF"\n{text}\nEOF\nsystemctl daemon-reload')
        made.append((one, directory))
    yield write
    for one, directory in made:
        if one.is_on():
            one.shell(f'rm -rf {directory}; systemctl daemon-reload; systemctl reset-failed')


def move(site, holder):
    """An operator names another node; returns it, and when."""
    target, moment = others(site, holder)[0], Moment()
    site.keys.set('/primary_node', target.name.encode())
    return target, moment


def waits_for(site, one, moment, text):
    """The stop tells what it waits for: in the journal, in systemctl status, and to primaryctl on every node."""
    found = wait_until(lambda: [entry for name, entry in one.events(moment.wall_us) if name == 'work_stop_waits'], 10,
                       one.journal_tail, 0.1)[0]
    assert text in found['MESSAGE'], found['MESSAGE']
    assert text in one.show('primaryd.service', 'StatusText')['StatusText']
    assert text in site.health(one)
    return found


def test_processes_outlive_their_unit(site, drop_in):
    """KillMode=process, and a job that a timer has started: the role is kept while any of it runs, and it is killed when the
    time of the stop is over."""
    holder = site.wait_holder()
    drop_in(holder, 'worker.service', '[Service]\nKillMode=process')
    target, moment = move(site, holder)
    waits_for(site, holder, moment, 'worker.service is inactive, but its process ')
    assert site.acting() == holder.name
    assert site.wait_holder(other_than=holder) is target
    site.story(holder, moment, 'relinquish_started', 'work_stop_waits', 'work_stop_late', 'unit_stopped', 'relinquished')
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
    waits_for(site, holder, moment, 'worker.service is failed, and its ExecStopPost= failed too (7)')
    site.story(holder, moment, 'work_stop_waits', 'work_stop_late')
    assert site.acting() == holder.name
    stays(lambda: site.acting() == holder.name, 1, 'killed, and the role is kept')
    holder.run('systemctl', 'reset-failed', 'worker.service')
    assert site.wait_holder(other_than=holder) is target
    drop_in(target, 'worker.service', '[Service]\nExecStopPost=-/bin/false')
    _, moment = move(site, target)
    site.wait_holder(other_than=target)
    assert 'work_stop_waits' not in [name for name, _ in target.events(moment.wall_us)]
