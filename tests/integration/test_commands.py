"""The commands: what they are told, and what becomes of those that fail, hang, spew or will not end."""

import os
import resource
import signal
import time

import pytest

from lab import process
from lab.steps import MORTAL, QUICK, by_name, check_epoch, history, moves, others, primary_key, settle, vacate
from lab.wait import wait_until


def note_environment(event_log, event):
    """Shell lines that note what a command was told: one file a node and event, the last run's."""
    path = f'{event_log}.$PRIMARYD_NODE.{event}'
    # Renamed into place: it may be read at any time.
    return f'env | grep ^PRIMARYD_ | grep -v ^PRIMARYD_LAB= >{path}.new; mv {path}.new {path}'


def told(event_log, node, event):
    """The variables of the last run of a node's command; {} if it did not run."""
    try:
        with open(f'{event_log}.{node}.{event}', encoding='utf-8') as file:
            return dict(line.rstrip('\n').split('=', 1) for line in file)
    except FileNotFoundError:
        return {}


def pids_of(node, word):
    """Processes of the node that have a word in their command line."""
    return [pid for pid in node.processes() if word in process.describe(pid)]


# what they are told

def test_environment(cluster, keys, oracle, event_log):
    nodes = cluster(3, start=False, **QUICK)
    for node in nodes:
        for event in ('takeover', 'relinquish', 'follow', 'health'):
            command = node.set_command(event, before=note_environment(event_log, event))
            node.write_config(**{f'{event}.command': command})
        node.start()
    first = settle(keys, oracle, nodes)
    epoch = check_epoch(keys)
    assert told(event_log, first, 'takeover') == {
        'PRIMARYD_EVENT': 'takeover', 'PRIMARYD_NODE': first, 'PRIMARYD_PRIMARY': first, 'PRIMARYD_PREVIOUS': '',
        'PRIMARYD_EPOCH': str(epoch), 'PRIMARYD_REASON': 'nobody is named primary'}
    wait_until(lambda: all(told(event_log, node.name, 'follow') for node in nodes), 10, 'all follow')
    second = others(nodes, first)[0].name
    keys.set('primary_node', second)
    settle(keys, oracle, nodes, primary=second)
    assert told(event_log, first, 'relinquish') == {
        'PRIMARYD_EVENT': 'relinquish', 'PRIMARYD_NODE': first, 'PRIMARYD_PRIMARY': second,
        'PRIMARYD_PREVIOUS': first, 'PRIMARYD_EPOCH': str(epoch), 'PRIMARYD_REASON': 'another node is named primary'}
    now = told(event_log, second, 'takeover')
    assert (now['PRIMARYD_PRIMARY'], now['PRIMARYD_REASON']) == (second, 'this node is named primary')
    assert int(now['PRIMARYD_EPOCH']) == check_epoch(keys) > epoch
    for node in nodes:
        wait_until(lambda node=node: told(event_log, node.name, 'follow').get('PRIMARYD_PRIMARY') == second, 10,
                   lambda node=node: f'{node.name} is told to follow: {told(event_log, node.name, "follow")}')
        follow = told(event_log, node.name, 'follow')
        assert (follow['PRIMARYD_EVENT'], follow['PRIMARYD_NODE']) == ('follow', node.name)
        assert (follow['PRIMARYD_PREVIOUS'], follow['PRIMARYD_EPOCH']) == (first, str(check_epoch(keys)))
        health = told(event_log, node.name, 'health')
        assert (health['PRIMARYD_EVENT'], health['PRIMARYD_NODE']) == ('health', node.name)


def test_commands_run_alone(cluster, keys, oracle, tmp_path):
    # A process group of their own, /dev/null as input, no descriptor of the daemon's, no other variables.
    seen = tmp_path / 'seen'
    [node] = cluster(1, start=False, **QUICK)
    node.set_command('takeover', before=f'(ls -l /proc/self/fd; ps -o pid=,pgid= -p $$; env) >{seen}')
    node.start(environment={'SECRET_OF_THE_DAEMON': 'x'})
    settle(keys, oracle, [node])
    text = seen.read_text()
    fds = [line.split(' -> ') for line in text.splitlines() if ' -> ' in line]
    targets = {left.split()[-1]: right for left, right in fds}
    assert targets.pop('0') == '/dev/null'
    assert targets.pop('1') == str(seen)
    assert targets.pop('2').startswith('pipe:')
    assert [target for target in targets.values() if not target.startswith('/proc/')] == []
    [ids] = [line.split() for line in text.splitlines() if line.replace(' ', '').isdigit()]
    assert ids[0] == ids[1]
    assert 'SECRET_OF_THE_DAEMON' not in text


class Scored:
    """Where what is started has a score of its own with the memory killer, as with OOMScoreAdjust= of the unit. (Not a
    negative one: that takes a capability.)"""

    SCORE = '/proc/self/oom_score_adj'

    @classmethod
    def wrap(cls, argv):
        return ['/bin/sh', '-c', f'echo 100 >{cls.SCORE}; exec "$@"', 'sh', *argv]


def test_oom_score(cluster, keys, oracle, tmp_path):
    """What spares the daemon is not for its commands: these have the score of any other process, the guard's, too."""
    [node] = cluster(1, start=False, hosts=[Scored], **MORTAL)
    for event in ('takeover', 'relinquish', 'follow', 'health'):
        note = f'{tmp_path}/{event}'
        node.write_config(**{f'{event}.command': node.set_command(
            event, before=f'cat {Scored.SCORE} >{note}.new; mv {note}.new {note}')})
    node.start()
    settle(keys, oracle, [node])
    early = ('takeover', 'follow', 'health')
    wait_until(lambda: all((tmp_path / event).exists() for event in early), 10, node.log_tail)
    with open(f'/proc/{node.pid}/oom_score_adj', encoding='ascii') as file:
        assert file.read() == '100\n'
    assert [(tmp_path / event).read_text() for event in early] == ['0\n'] * 3
    (tmp_path / 'relinquish').unlink()  # the cold start's
    node.kill9()
    wait_until((tmp_path / 'relinquish').exists, 10, node.log_tail)
    assert (tmp_path / 'relinquish').read_text() == '0\n'


@pytest.mark.parametrize('mode', ['client', 'coordinator'])
def test_follow(cluster, keys, oracle, mode, event_log):
    nodes = cluster(2, **QUICK, **{'node.rank': '1'})
    [follower] = cluster(1, start=False, **QUICK, **{'node.mode': mode, 'node.contend-delay': '30s'})
    follower.write_config(**{'follow.command': follower.set_command('follow')})
    idle = [follower.name] if mode == 'client' else []
    first = settle(keys, oracle, nodes)
    follower.start()
    wait_until(lambda: oracle.events('follow', 'end'), 10, 'it is told who is primary when it starts')
    everybody = [*nodes, follower]
    for _ in range(3):
        vacate(keys)
        first = settle(keys, oracle, everybody, other_than=first, idle=idle)
        wait_until(lambda: oracle.events('follow', 'end')[-1].epoch == check_epoch(keys), 10, 'it is told')
    # Told once each: the acting primary did not change more often.
    epochs = [event.epoch for event in oracle.events('follow', 'begin')]
    assert len(epochs) == len(set(epochs)) == 4


@pytest.mark.long
def test_follow_hangs(cluster, keys, oracle):
    """It is ended after a minute; then the next one is told of what happened meanwhile."""
    [node] = cluster(1, start=False, **QUICK)
    once = os.path.join(node.directory, 'once')
    hangs = f'[ -e {once} ] || {{ touch {once}; exec sleep 1000; }}'
    node.write_config(**{'follow.command': node.set_command('follow', before=hangs)})
    node.start()
    wait_until(lambda: os.path.exists(once), 10, node.log_tail)
    begin = time.monotonic()
    settle(keys, oracle, [node])
    keys.delete('primary_active')
    settle(keys, oracle, [node])
    wait_until(lambda: oracle.events('follow', 'end'), 75, node.log_tail)
    assert 58 < time.monotonic() - begin and oracle.events('follow', 'end')[-1].epoch == keys.acting().epoch


@pytest.mark.parametrize('event', ['follow', 'health'])
@pytest.mark.parametrize('end', ['reload', 'crash'])
def test_ended_with_the_process(cluster, keys, oracle, event, end):
    """A command beside the work that runs when the daemon is replaced is ended with it, and never runs twice."""
    [node] = cluster(1, start=False, **{**QUICK, 'health.timeout': '60s'})
    node.write_config(**{f'{event}.command': node.set_command(event, '--hang --ignore-term', after='true')})

    def live():
        return {began.pid for began in oracle.events(event, 'begin', node.name)} & set(node.processes())
    node.start()
    settle(keys, oracle, [node])
    for times in range(1, 5):
        wait_until(lambda times=times: len(oracle.events(event, 'begin', node.name)) == times, 10, node.log_tail)
        # That of the process before was killed before this one began, and is gone in a moment.
        wait_until(lambda: len(live()) == 1, 2, lambda: f'one at a time: {live()}')
        mark = node.log_mark()
        if end == 'reload':
            node.reload()
        else:
            node.kill9()
            node.start()
        node.wait_log(' started: ', since=mark)
    wait_until(lambda: len(oracle.events(event, 'begin', node.name)) == 5, 10, node.log_tail)
    wait_until(lambda: len(live()) == 1, 2, lambda: f'one at a time: {live()}')
    assert keys.acting().node == node.name
    node.stop()
    wait_until(lambda: not live(), 2, lambda: f'none is left: {live()}')


def test_follow_that_cannot_be_started(cluster, keys, oracle):
    nodes = cluster(2, **QUICK, **{'follow.command': '/bin/true'})
    primary = settle(keys, oracle, nodes)
    [follower] = others(nodes, primary)
    follower.wait_log('command_ended: follow')
    mark = follower.log_mark()
    _, hard = resource.prlimit(follower.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(follower.pid, resource.RLIMIT_NOFILE, (3, hard))
    keys.set('maintenance', 'true')
    by_name(nodes, primary).stop()
    by_name(nodes, primary).start()
    keys.set('primary_node', primary)
    settle(keys, oracle, nodes, primary=primary)
    follower.wait_log('command_failed: follow command could not be started', since=mark)
    keys.set(f'nodes/{follower.name}/drain', '')
    follower.wait_log('drain_on: ', since=mark)
    keys.delete(f'nodes/{follower.name}/drain')
    resource.prlimit(follower.pid, resource.RLIMIT_NOFILE, (hard, hard))
    keys.delete('maintenance')
    # It is told of the next one.
    mark = follower.log_mark()
    by_name(nodes, primary).stop()
    settle(keys, oracle, [follower])
    follower.wait_log('command_ended: follow', since=mark)


# takeover

def name_another(keys, oracle, nodes):
    """Names a node that is not primary, as an operator; returns it and the one that was."""
    primary = settle(keys, oracle, nodes)
    target = others(nodes, primary)[0]
    return target, primary


def test_takeover_fails(cluster, keys, oracle):
    nodes = cluster(3, **QUICK)
    target, _ = name_another(keys, oracle, nodes)
    target.set_command('takeover', '--fail 3')
    claims = len(history(keys))
    keys.set('primary_node', target.name)
    target.wait_log('takeover command exited with 3')
    target.wait_log('handed_back: ')
    target.wait_log(r'penalty: this node stays out of the election for 2s after 1 failed')
    primary = settle(keys, oracle, nodes)
    assert primary != target.name
    assert len(history(keys)) == claims + 1
    # What it had begun was undone before anybody else began.
    [began, *_] = oracle.events('takeover', 'fail', target.name)
    assert any(event.time_ns > began.time_ns for event in oracle.events('relinquish', 'end', target.name))
    # In the penalty it does not contend, and the next one claims.
    before = len(moves(target))
    vacate(keys)
    assert settle(keys, oracle, nodes, other_than=primary) != target.name
    assert [move for move in moves(target)[before:] if move[1] == 'lock'] == []


def test_penalty_doubles_and_ends(cluster, keys, oracle):
    [node] = cluster(1, start=False, **{**QUICK, 'election.penalty': '100ms'})
    node.set_command('takeover', '--fail 1')
    node.start()
    for text in ('100ms after 1', '200ms after 2', '400ms after 3'):
        node.wait_log(f'penalty: this node stays out of the election for {text} failed')
    node.set_command('takeover')
    settle(keys, oracle, [node])
    node.set_command('takeover', '--fail 1')
    mark = node.log_mark()
    keys.set(f'nodes/{node.name}/drain', '')
    wait_until(lambda: keys.acting() is None, 10, keys.summary)
    keys.delete(f'nodes/{node.name}/drain')
    # A takeover that succeeded ended the series.
    node.wait_log('penalty: this node stays out of the election for 100ms after 1 failed', since=mark)
    node.set_command('takeover')
    settle(keys, oracle, [node])


def test_takeover_that_cannot_be_started(cluster, keys, oracle):
    nodes = cluster(2, **QUICK)
    target, primary = name_another(keys, oracle, nodes)
    os.unlink(os.path.join(target.directory, 'takeover'))
    keys.set('primary_node', target.name)
    target.wait_log('takeover command could not be started: No such file')
    settle(keys, oracle, nodes, primary=primary)


@pytest.mark.parametrize('how', ['--hang', '--hang --ignore-term', '--orphan 60000 --hang'])
def test_takeover_hangs(cluster, keys, oracle, how):
    nodes = cluster(2, **{**QUICK, 'takeover.timeout': '300ms'})
    target, primary = name_another(keys, oracle, nodes)
    target.set_command('takeover', how)
    keys.set('primary_node', target.name)
    target.wait_log('takeover command timed out')
    target.wait_log('handed_back: ')
    settle(keys, oracle, nodes, primary=primary)
    wait_until(lambda: not pids_of(target, 'stamp'), 5, lambda: f'left: {pids_of(target, "stamp")}')
    assert ('term' in [e.phase for e in oracle.events('takeover', node=target.name)]) == ('ignore' not in how)


def test_takeover_longer_than_the_lease(cluster, keys, oracle):
    nodes = cluster(2, **MORTAL)
    target, _ = name_another(keys, oracle, nodes)
    target.set_command('takeover', '--sleep 3000')
    session = keys.acting().session
    keys.set('primary_node', target.name)
    settle(keys, oracle, nodes, primary=target.name)
    assert keys.acting().session != session
    assert not target.log_lines('lease_')


def test_takeover_called_off(cluster, keys, oracle):
    nodes = cluster(2, **QUICK)
    target, primary = name_another(keys, oracle, nodes)
    target.set_command('takeover', '--hang')
    keys.set('primary_node', target.name)
    wait_until(lambda: oracle.events('takeover', 'begin', target.name), 10, 'it begins')
    keys.set('primary_node', primary)
    settle(keys, oracle, nodes, primary=primary)
    assert not pids_of(target, 'stamp')
    # It did what it was told: no penalty.
    assert not target.log_lines(' penalty: ')


def test_takeover_killed_by_a_stop(cluster, keys, oracle):
    nodes = cluster(2, **QUICK)
    target, primary = name_another(keys, oracle, nodes)
    target.set_command('takeover', '--hang')
    keys.set('primary_node', target.name)
    wait_until(lambda: oracle.events('takeover', 'begin', target.name), 10, 'it begins')
    target.stop()
    wait_until(lambda: not target.processes(), 5, 'nothing of it is left')
    settle(keys, oracle, others(nodes, target.name), primary=primary)


def test_takeover_spews(cluster, keys, oracle):
    [node] = cluster(1, start=False, **QUICK)
    node.set_command('takeover', '--output 4000000 --junk 300000')
    node.start()
    settle(keys, oracle, [node], timeout=30)
    text = node.log_text()
    assert all(len(line) < 4000 for line in text.splitlines())
    assert '\x00' not in text and '\x1b' not in text
    assert len(node.log_lines('command_output: takeover command: x{63}')) == 1, 'a line that repeats the one before is not logged'


def test_work_in_the_group_of_the_takeover_command(cluster, keys, oracle):
    # What the command leaves running is the work: it stays, and is killed after relinquish.
    nodes = cluster(2, **QUICK)
    target, primary = name_another(keys, oracle, nodes)
    target.set_command('takeover', '--orphan 60000')
    keys.set('primary_node', target.name)
    settle(keys, oracle, nodes, primary=target.name)
    [work] = pids_of(target, '--orphan')
    assert target.log_lines('config_warning: what the takeover command has left running still writes to its output')
    keys.set('primary_node', primary)
    settle(keys, oracle, nodes, primary=primary)
    wait_until(lambda: not pids_of(target, '--orphan'), 5, f'{work} is killed')


# relinquish

def test_what_a_relinquish_command_leaves_running(cluster, keys, oracle, tmp_path):
    """A standby that it starts in the background, say: nobody kills that when the work is down."""
    nodes = cluster(2, **QUICK)
    node = by_name(nodes, settle(keys, oracle, nodes))
    left = tmp_path / 'left'
    node.set_command('relinquish', before=f'sleep 600 </dev/null >/dev/null 2>&1 &\necho $! >{left}')
    vacate(keys)
    settle(keys, oracle, nodes, other_than=node.name)
    node.wait_log('leave -> follow')
    pid = int(left.read_text())
    try:
        assert process.name_of(pid) == 'sleep' and process.state_of(pid) != 'Z'
    finally:
        os.kill(pid, signal.SIGKILL)


def test_relinquish_fails_at_first(cluster, keys, oracle):
    nodes = cluster(2, **QUICK)
    primary = settle(keys, oracle, nodes)
    node = by_name(nodes, primary)
    node.set_command('relinquish', '--fail 5')
    vacate(keys)
    wait_until(lambda: len(oracle.events('relinquish', 'fail', primary)) >= 2, 20, keys.summary)
    assert keys.acting_name() == primary, 'the post is kept: the work is not down'
    node.set_command('relinquish')
    settle(keys, oracle, nodes, other_than=primary)
    assert not node.log_lines('work_stop_late: ')


def test_relinquish_fails(cluster, keys, oracle):
    nodes = cluster(2, **{**QUICK, 'relinquish.timeout': '2500ms'})
    primary = settle(keys, oracle, nodes)
    node = by_name(nodes, primary)
    node.set_command('relinquish', '--fail 5')
    vacate(keys)
    node.wait_log('work_stop_late: ')
    late = len(oracle.events('relinquish', 'fail', primary))
    assert late >= 2
    wait_until(lambda: len(oracle.events('relinquish', 'fail', primary)) > late, 20, keys.summary)
    assert keys.acting_name() == primary, 'it was killed, which is no proof that it is down: the post is kept'
    node.set_command('relinquish')
    settle(keys, oracle, nodes, other_than=primary)


@pytest.mark.parametrize('how', ['--hang', '--hang --ignore-term', '--orphan 60000 --hang'])
def test_relinquish_hangs(cluster, keys, oracle, how):
    # Killed 400 ms after the stop began, which is some time before the command runs.
    oracle.killed_after_ns = 300_000_000
    nodes = cluster(2, **{**QUICK, 'relinquish.timeout': '400ms'})
    primary = settle(keys, oracle, nodes)
    node = by_name(nodes, primary)
    node.set_command('relinquish', how)
    before = len(oracle.events('relinquish', 'begin', primary))
    vacate(keys)
    node.wait_log('work_stop_late: ')
    wait_until(lambda: len(oracle.events('relinquish', 'begin', primary)) > before + 1, 20, 'it is tried again')
    assert keys.acting_name() == primary, 'the post is kept'
    first, second = oracle.events('relinquish', 'begin', primary)[before:before + 2]
    assert second.time_ns - first.time_ns >= oracle.killed_after_ns
    node.set_command('relinquish')
    wait_until(lambda: keys.acting_name() not in (None, primary), 20, keys.summary)
    # Nothing of it was left when the other one began.
    wait_until(lambda: not pids_of(node, 'stamp'), 5, lambda: f'left: {pids_of(node, "stamp")}')


def test_relinquish_longer_than_the_lease(cluster, keys, oracle):
    # An orderly stop: the lease is renewed meanwhile.
    nodes = cluster(2, **MORTAL)
    primary = settle(keys, oracle, nodes)
    node = by_name(nodes, primary)
    node.set_command('relinquish', '--sleep 3000')
    session = keys.acting().session
    vacate(keys)
    wait_until(lambda: oracle.events('relinquish', 'begin', primary)[-1].epoch, 10)
    wait_until(lambda: keys.acting_name() != primary, 20, keys.summary, 0.001)
    assert oracle.events('relinquish', node=primary)[-1].phase == 'end'
    node.set_command('relinquish')
    settle(keys, oracle, nodes, other_than=primary)
    assert keys.acting().session != session
    assert not node.log_lines('lease_|session_lost|work_stop_late')


def test_stop_in_the_middle_of_a_relinquish(cluster, keys, oracle):
    nodes = cluster(2, **QUICK)
    primary = settle(keys, oracle, nodes)
    node = by_name(nodes, primary)
    node.set_command('relinquish', '--sleep 700')
    begun = len(oracle.events('relinquish', 'begin', primary))
    vacate(keys)
    wait_until(lambda: len(oracle.events('relinquish', 'begin', primary)) > begun, 10)
    node.stop()
    # It was not hurried.
    assert oracle.events('relinquish', node=primary)[-1].phase == 'end'
    settle(keys, oracle, others(nodes, primary))


# health

HEALTHY = {**QUICK, 'health.interval': '50ms', 'health.timeout': '300ms', 'health.failures': '2'}


def with_health(nodes):
    for node in nodes:
        node.write_config(**{'health.command': node.set_command('health')})
        node.start()
    return nodes


@pytest.mark.parametrize('how', ['--fail 1', '--hang', '--hang --ignore-term'])
def test_health_of_the_primary(cluster, keys, oracle, how):
    nodes = with_health(cluster(2, start=False, **HEALTHY))
    primary = settle(keys, oracle, nodes)
    sick = by_name(nodes, primary)
    assert keys.get(f'nodes/{primary}/health') == 'ok'
    sick.set_command('health', how)
    successor = settle(keys, oracle, nodes, other_than=primary)
    reason = keys.get(f'nodes/{primary}/health')
    assert reason == ('failed: exited with 1' if 'fail' in how else reason) and reason.startswith('failed: ')
    sick.wait_log('health_failed: ')
    # Named all the same: it gives the key back.
    keys.set('primary_node', primary)
    sick.wait_log('handed_back: .*health')
    settle(keys, oracle, nodes, primary=successor)
    sick.set_command('health')
    wait_until(lambda: keys.get(f'nodes/{primary}/health') == 'ok', 10, 'it is well again')
    assert settle(keys, oracle, nodes) == successor
    vacate(keys)
    settle(keys, oracle, nodes, primary=primary)


def test_health_repeats_itself(cluster, keys, oracle, tmp_path):
    """A line of output that repeats the one before is logged once, also over several runs."""
    [node] = cluster(1, start=False, **HEALTHY)
    runs = tmp_path / 'runs'
    say = f'echo x >>{runs}; case $(wc -l <{runs}) in [1-9]) echo same; echo same;; 10) echo other;; *) echo same;; esac'
    node.write_config(**{'health.command': node.set_command('health', before=say)})
    node.start()
    settle(keys, oracle, [node])
    wait_until(lambda: runs.exists() and len(runs.read_text()) > 2 * 12, 20, node.log_tail)
    said = [line.split('health command: ')[1].split()[0].rstrip('"') for line in node.log_lines('command_output: .*target=health')]
    # Again after another line, and when the epoch is another one.
    assert said[0] == 'same' and said[-2:] == ['other', 'same'] and len(said) <= 5, said


def test_nobody_is_healthy(cluster, keys, oracle):
    nodes = with_health(cluster(2, start=False, **HEALTHY))
    settle(keys, oracle, nodes)
    for node in nodes:
        node.set_command('health', '--fail 1')
    wait_until(lambda: keys.acting() is None and oracle.working() == [], 15, keys.summary)
    assert primary_key(keys).text == 'none'
    nodes[1].set_command('health')
    settle(keys, oracle, nodes, primary=nodes[1].name)
    nodes[0].set_command('health')


def test_one_bad_run_is_not_enough(cluster, keys, oracle, tmp_path):
    [node] = cluster(1, start=False, **HEALTHY)
    flag = tmp_path / 'flag'
    # Every second run fails.
    toggle = f'if [ -e {flag} ]; then rm {flag}; exit 1; fi; touch {flag}'
    # None may fail but those that shall: a machine under load is late, too.
    node.write_config(**{'health.command': node.set_command('health', before=toggle), 'health.timeout': '20s'})
    node.start()
    settle(keys, oracle, [node])
    wait_until(lambda: len(oracle.events('health', 'end')) >= 10, 60)
    assert not node.log_lines('health_failed: ')
    assert oracle.working() == [node.name]


# fence

def fenced_cluster(cluster, event_log, size=2, how='', **config):
    nodes = cluster(size, start=False, **MORTAL, **config)
    for node in nodes:
        node.write_config(**{'fence.command': node.set_command('fence', how,
                                                               before=note_environment(event_log, 'fence'))})
        node.start()
    return nodes


def kill_primary(keys, oracle, nodes):
    """Kills the primary's daemon; returns its name and the others."""
    primary = settle(keys, oracle, nodes)
    by_name(nodes, primary).kill9()
    return primary, others(nodes, primary)


def test_fence(cluster, keys, oracle, event_log):
    nodes = fenced_cluster(cluster, event_log)
    primary, rest = kill_primary(keys, oracle, nodes)
    successor = settle(keys, oracle, rest)
    assert told(event_log, successor, 'fence') == {
        'PRIMARYD_EVENT': 'fence', 'PRIMARYD_NODE': successor, 'PRIMARYD_PRIMARY': successor,
        'PRIMARYD_PREVIOUS': primary, 'PRIMARYD_EPOCH': str(check_epoch(keys)),
        'PRIMARYD_REASON': 'died while acting', 'PRIMARYD_TARGET': primary}
    [fence] = oracle.events('fence', 'end')
    assert fence.time_ns < oracle.events('takeover', 'begin', successor)[-1].time_ns
    assert keys.get(f'nodes/{primary}/daemonstate') == 'fenced'


def test_fence_fails(cluster, keys, oracle, event_log):
    nodes = fenced_cluster(cluster, event_log, how='--fail 1', **{'election.penalty': '300ms'})
    primary, rest = kill_primary(keys, oracle, nodes)
    rest[0].wait_log('takeover_failed: .*could not be fenced')
    rest[0].wait_log('handed_back: ')
    # It tries again after the penalty, and again; the role stays vacant.
    rest[0].wait_log('penalty: .* after 2 failed')
    assert oracle.events('takeover', 'begin', rest[0].name) == []
    assert keys.state(primary) == 'primary'
    rest[0].set_command('fence')
    settle(keys, oracle, rest)
    assert keys.state(primary) == 'secondary'


def test_fence_fails_and_is_passed_over(cluster, keys, oracle, event_log):
    nodes = fenced_cluster(cluster, event_log, how='--fail 1', **{'fence.failure': 'continue'})
    _, rest = kill_primary(keys, oracle, nodes)
    settle(keys, oracle, rest)
    assert oracle.events('fence', 'fail')


def test_fence_hangs_and_the_role_moves(cluster, keys, oracle, event_log):
    nodes = fenced_cluster(cluster, event_log, size=3, how='--hang', **{'fence.timeout': '60s'})
    _, rest = kill_primary(keys, oracle, nodes)
    wait_until(lambda: oracle.events('fence', 'begin'), 15, 'a fence begins')
    first = by_name(rest, oracle.events('fence', 'begin')[0].node)
    [second] = others(rest, first.name)
    # Taken from it in the middle, and given back, and again.
    for target in (second, first, second, first):
        begun = len(oracle.events('fence', 'begin', target.name))
        keys.set('primary_node', target.name)
        wait_until(lambda target=target, begun=begun: len(oracle.events('fence', 'begin', target.name)) > begun, 15,
                   lambda target=target: f'{target.name} fences; {keys.summary()}\n{target.log_tail()}')
        other = others(rest, target.name)[0]
        wait_until(lambda other=other: not pids_of(other, 'stamp'), 5, f'{other.name} has ended its fence')
    for node in rest:
        node.set_command('fence')
        assert node.running(), node.log_tail()
    keys.set('primary_node', second.name)
    settle(keys, oracle, rest, primary=second.name)


def test_fence_timeout(cluster, keys, oracle, event_log):
    nodes = fenced_cluster(cluster, event_log, how='--hang', **{'fence.timeout': '300ms', 'election.penalty': '200ms'})
    _, rest = kill_primary(keys, oracle, nodes)
    rest[0].wait_log('fence command timed out')
    rest[0].wait_log('takeover_failed: .*could not be fenced')
    rest[0].set_command('fence')
    settle(keys, oracle, rest)


# nothing stays

def test_stop_with_commands_under_way(cluster, keys, oracle):
    nodes = cluster(2, start=False, **QUICK, **{'health.timeout': '60s'})
    for node in nodes:
        node.write_config(**{'health.command': node.set_command('health', '--hang --ignore-term'),
                             'follow.command': node.set_command('follow', '--hang --ignore-term')})
        node.start()
    settle(keys, oracle, nodes)
    wait_until(lambda: all(len(pids_of(node, 'stamp')) >= 2 for node in nodes), 10, 'they hang')
    for node in nodes:
        node.stop()
        wait_until(lambda node=node: node.processes() == [], 5, lambda node=node: f'left: {node.processes()}')


def test_commands_stopped_by_a_signal_are_told_apart(cluster, keys, oracle):
    nodes = cluster(2, **QUICK)
    target, primary = name_another(keys, oracle, nodes)
    target.set_command('takeover', '--hang')
    keys.set('primary_node', target.name)
    wait_until(lambda: oracle.events('takeover', 'begin', target.name), 10)
    os.kill(oracle.events('takeover', 'begin', target.name)[-1].pid, signal.SIGKILL)
    target.wait_log(r'command_failed: takeover command killed by signal 9 \(Killed\)')
    settle(keys, oracle, nodes, primary=primary)
