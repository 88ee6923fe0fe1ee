"""The profiles in conf/: how long the role is nowhere when a primary is gone for good."""

import pytest

from lab.node import read_profile
from lab.steps import by_name, others, settle
from lab.wait import boottime_ns


# What it takes on a quiet machine, and twice that: tests share theirs.
@pytest.mark.parametrize('name, bound_ms', [('primaryd-fast.conf', 1700), ('primaryd-lan.conf', 1300)])
def test_failover(cluster, keys, oracle, name, bound_ms):
    nodes = cluster(3, **read_profile(name))
    primary = settle(keys, oracle, nodes)
    killed_ns = boottime_ns()
    by_name(nodes, primary).kill9()
    settle(keys, oracle, others(nodes, primary))
    begun = [event for event in oracle.events('takeover', 'begin') if event.time_ns > killed_ns]
    took_ms = (begun[0].time_ns - killed_ns) / 1e6
    print(f'{name}: {took_ms:.0f} ms')
    assert took_ms < 2 * bound_ms
