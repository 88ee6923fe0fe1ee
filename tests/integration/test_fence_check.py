"""The fence check: fencing is tried before it is needed, and everybody is told where it would fail."""

import os

from ctl_shell import Ctl
from lab import process
from lab.trial import oracle, trial  # noqa: F401 (fixtures)
from lab.wait import stays, wait_until


def start(trial, count, **config):
    """The first node has a check that fails for those whose name is a file in its directory, and hangs for `hang-NAME`."""
    nodes = trial.add(count, **config)
    first = nodes[0]
    check = first.set_command('fence-check', '--sleep 50', before=f'''
env | grep ^PRIMARYD_ | grep -v ^PRIMARYD_LAB= >{first.directory}/told.$PRIMARYD_TARGET
[ ! -e {first.directory}/hang-$PRIMARYD_TARGET ] || exec sleep 1000''',
                              after=f'[ ! -e {first.directory}/$PRIMARYD_TARGET ] || {{ echo no route; exit 3; }}')
    first.write_config(**{'fence.check-command': check, 'fence.check-interval': '1s', 'fence.timeout': '2s'})
    for node in nodes:
        node.start()
    trial.settle()
    return nodes


def mark(node, name, there=True):
    path = os.path.join(node.directory, name)
    if there:
        open(path, 'w', encoding='ascii').close()
    else:
        os.unlink(path)


def metrics(node):
    text = Ctl(None, None, '--config', node.config_path).run('metrics').stdout
    return [int(line.split()[1]) for line in text.splitlines() if line.startswith('primaryd_fence_check_')]


def shown(ctl, verb='status'):
    """[(from, target)] where fencing would fail."""
    return [(row['from'], row['target']) for row in ctl.json(verb)['unfenceable']]


def sleepers(node):
    return [pid for pid in node.processes() if process.name_of(pid) == 'sleep']


def test_results(trial):
    first, second, third = start(trial, 3)
    ctl = Ctl(None, None, '--config', first.config_path)
    runs = lambda: trial.oracle.events('fence-check', 'end')
    wait_until(lambda: len(runs()) >= 4, 10, first.log_tail)
    # For the two others, one after the other, and by this node alone.
    begins = trial.oracle.events('fence-check', 'begin')
    assert all(end.time_ns <= begin.time_ns for end, begin in zip(runs(), begins[1:]))
    assert {event.node for event in begins} == {first.name}
    with open(f'{first.directory}/told.{second.name}', encoding='ascii') as file:
        told = dict(line.rstrip('\n').split('=', 1) for line in file)
    assert told['PRIMARYD_EVENT'] == 'fence-check' and told['PRIMARYD_TARGET'] == second.name
    assert told['PRIMARYD_NODE'] == first.name and told['PRIMARYD_PRIMARY'] == trial.keys.primary()
    assert metrics(first) == [2, 0] and metrics(second) == [0, 0] and shown(ctl) == []

    # A failure and a run that hangs are told once, wherever one looks, until they are over.
    mark(first, second.name)
    mark(first, f'hang-{third.name}')
    both = [(first.name, second.name), (first.name, third.name)]
    wait_until(lambda: sorted(shown(ctl)) == both, 10, first.log_tail)
    assert metrics(first) == [2, 2] and sorted(shown(ctl, 'explain')) == both
    assert f'fencing of {second.name} from {first.name} would fail' in ctl.run('check', code=None).stdout
    seen = len(runs())
    wait_until(lambda: len(runs()) >= seen + 2, 20, first.log_tail)
    lines = first.log_lines('fence_check_failed')
    assert len(lines) == 2, lines
    assert any('exited with 3: no route' in line for line in lines), lines

    # A reload begins anew, and forgets what it does not find again.
    mark(first, second.name, there=False)
    first.reload()
    wait_until(lambda: shown(ctl) == both[1:], 10, first.log_tail)
    mark(first, f'hang-{third.name}', there=False)
    wait_until(lambda: shown(ctl) == [], 10, first.log_tail)
    # A run of that moment may have seen the first mark go before the reload did.
    assert len([line for line in first.log_lines('fence_check_ok') if f'target={third.name}' in line]) == 1
    assert metrics(first) == [2, 0]


def test_end(trial):
    """A check that runs ends with the daemon, however that ends, and when the configuration has none any more."""
    first, second = start(trial, 2)
    first.write_config(**{'fence.timeout': '60s'})
    mark(first, f'hang-{second.name}')
    first.reload()
    wait_until(lambda: sleepers(first), 10, first.log_tail)
    [old] = sleepers(first)
    first.kill9()
    first.start()
    wait_until(lambda: sleepers(first) not in ([], [old]), 10, first.log_tail)
    assert len(sleepers(first)) == 1
    first.stop()
    wait_until(lambda: not sleepers(first), 5, first.log_tail)  # killed, and not waited for
    first.start()
    wait_until(lambda: sleepers(first), 10, first.log_tail)
    first.write_config(**{'fence.check-command': None})
    first.reload()
    wait_until(lambda: not sleepers(first), 5, first.log_tail)
    stays(lambda: not sleepers(first), 1.2)
