"""primaryctl sees that a primary has fallen silent before its session has ended."""

import re

import pytest

from ctl_shell import REFUSED, Ctl, built
from lab.steps import QUICK, by_name, others, settle, wait_members
from lab.wait import wait_until

pytestmark = pytest.mark.skipif(not built(), reason='ctl/primaryctl is not built')

# Time to look at a silent primary before its session ends.
LINGERING = {**QUICK, 'zookeeper.session-timeout': '6s', 'relinquish.lease-timeout': '1s'}


@pytest.fixture
def ctl(ensemble, root):
    return Ctl(ensemble.connect, root)


def in_order(ctl):
    return ctl.json('status', code=None)['cluster']['in_order']


def silent(ctl, text=''):
    """What status tells of the primary's silence, once it does."""
    trouble = wait_until(lambda: text in (seen := ctl.json('status', code=None)['cluster']['trouble'] or '') and seen, 10,
                         'trouble')
    match = re.fullmatch(r'(\w+) has not renewed its lease for (?:at least )?([\d.]+) s: its daemon is dead, stopped or cut '
                         r'off; its guard (?:stops the work within ([\d.]+) s|has stopped the work); (.*) when its session '
                         r'ends, at most ([\d.]+) s from now', trouble)
    assert match, trouble
    return match


@pytest.mark.parametrize('fault', ['kill9', 'sigstop'])
def test_silent_primary(cluster, keys, oracle, ctl, fault):
    nodes = cluster(2, **LINGERING)
    primary = settle(keys, oracle, nodes)
    wait_members(keys, nodes)
    assert in_order(ctl) and 'it is the primary' in ctl.run('explain', primary).stdout
    node = by_name(nodes, primary)
    getattr(node, fault)()
    match = silent(ctl)
    assert match[1] == primary and match[4] == 'another node takes over'
    # 2 T/3 - margin, and T + T/2 + T/12, less what is over; to the tenth of a second.
    assert match[3] is None or float(match[2]) + float(match[3]) == pytest.approx(3.94, abs=0.11)
    assert float(match[2]) + float(match[5]) == pytest.approx(9.5, abs=0.11)
    ctl.run('status', code=REFUSED)
    text = ctl.run('explain', primary).stdout
    assert 'has not renewed its lease for' in text and 'its work runs' not in text and 'it is the primary' not in text
    if fault == 'sigstop':
        node.sigcont()
    else:
        node.start()
    settle(keys, oracle, nodes)
    wait_until(lambda: in_order(ctl), 10, keys.summary)


def test_watch(cluster, keys, oracle, ctl):
    nodes = cluster(2, **LINGERING)
    primary = settle(keys, oracle, nodes)
    with ctl.terminal('watch', columns=200) as watch:
        watch.wait('in order +yes')
        by_name(nodes, primary).sigstop()
        watch.wait(f'{primary} no longer renews its lease')
        watch.wait('has not renewed its lease for')
        by_name(nodes, primary).sigcont()
        watch.wait(f'{primary} renews its lease again|released the post|took the post')
        watch.send('q')
        assert watch.end() == 0
    settle(keys, oracle, nodes)


def test_alone_and_in_maintenance(cluster, keys, oracle, ctl):
    nodes = cluster(1, **LINGERING)
    primary = settle(keys, oracle, nodes)
    by_name(nodes, primary).sigstop()
    assert 'no other node is eligible' in silent(ctl)[4]
    keys.set('maintenance', 'true')
    assert 'during maintenance' in silent(ctl, 'maintenance')[4]
    by_name(nodes, primary).sigcont()
    keys.delete('maintenance')
    settle(keys, oracle, nodes)


def test_session_timeout_is_told(cluster, keys, oracle, ctl):
    """Without it, as nodes of before write their detail, a primary is not judged."""
    nodes = cluster(2, **LINGERING)
    primary = settle(keys, oracle, nodes)
    [other] = others(nodes, primary)
    assert 'session-timeout=6s' in keys.get(f'nodes/{other.name}/detail')
    keys.set(f'nodes/{primary}/detail', 'lock-timeout=200ms transition-delay=250ms')
    by_name(nodes, primary).sigstop()
    seen = keys.get(f'nodes/{primary}/alive')
    assert seen and in_order(ctl) is True
    by_name(nodes, primary).sigcont()
    settle(keys, oracle, nodes)
