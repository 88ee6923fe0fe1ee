"""What operators do with a ZooKeeper shell: switchover, release, drain, maintenance; also too fast."""

import pytest

from lab.steps import (MORTAL, QUICK, Tally, by_name, check_epoch, history, others, primary_key, settle, vacate,
                       wait_members)
from lab.wait import stays, wait_until


def test_switchover(cluster, keys, oracle):
    nodes = cluster(3, **QUICK)
    primary = settle(keys, oracle, nodes)
    for _ in range(3):
        epoch, tally = check_epoch(keys), Tally(keys)
        target = others(nodes, primary)[0].name
        keys.set('primary_node', target)
        settle(keys, oracle, nodes, primary=target)
        tally.check(writes=1, claims=0)
        assert check_epoch(keys) > epoch
        primary = target
    assert [interval.node for interval in oracle.intervals()][-1] == primary


def test_switchover_to_itself_changes_nothing(cluster, keys, oracle):
    nodes = cluster(2, **QUICK)
    primary = settle(keys, oracle, nodes)
    epoch = keys.acting().epoch
    for _ in range(5):
        keys.set('primary_node', primary)
    # Something that comes after it, on the same node.
    keys.set(f'nodes/{others(nodes, primary)[0].name}/drain', '')
    others(nodes, primary)[0].wait_log('drain_on: ')
    settle(keys, oracle, nodes, primary=primary)
    assert keys.acting().epoch == epoch
    assert len(oracle.intervals()) == 1


def test_switchover_to_one_that_cannot(cluster, keys, oracle):
    nodes = cluster(4, **QUICK)
    [client] = cluster(1, **QUICK, **{'node.mode': 'client'})
    nodes[3].wait_log('registered: ')
    nodes[3].stop()
    nodes[2].wait_log('registered: ')
    keys.set(f'nodes/{nodes[2].name}/drain', '')
    running = [*nodes[:3], client]
    # The drained one may have been the first.
    wait_until(lambda: primary_key(keys).text in ('n1', 'n2'), 10, keys.summary)
    primary = settle(keys, oracle, running, idle=[client.name])
    assert primary in ('n1', 'n2')
    for target, says in ((client, 'mode is client'), (nodes[2], 'drained by an operator'), (nodes[3], None)):
        mark = target.log_mark()
        before = keys.acting()
        claims = len(history(keys))
        keys.set('primary_node', target.name)
        if says:
            target.wait_log(f'handed_back: .*{says}', since=mark)
        # Vacant again: the other one claims it, or, if it is late, the primary takes it back.
        wait_until(lambda: primary_key(keys).text in ('n1', 'n2'), 10, keys.summary)
        settle(keys, oracle, running, idle=[client.name])
        assert target.name not in oracle.working()
        if keys.acting().node == before.node:
            assert (keys.acting(), len(history(keys))) == (before, claims)
        else:
            assert len(history(keys)) == claims + 1


def test_release_with_candidates(cluster, keys, oracle):
    nodes = cluster(3, **QUICK)
    for _ in range(3):
        primary = settle(keys, oracle, nodes)
        vacate(keys)
        settle(keys, oracle, nodes, other_than=primary)
        by_name(nodes, primary).wait_log('relinquished: ')


def test_release_without_candidates(cluster, keys, oracle):
    [node] = cluster(1, **QUICK)
    [client] = cluster(1, **QUICK, **{'node.mode': 'client'})
    settle(keys, oracle, [node, client], idle=[client.name])
    epoch = check_epoch(keys)
    for _ in range(3):
        tally, mark = Tally(keys), node.log_mark()
        vacate(keys)
        node.wait_log('reclaimed: ', since=mark)
        settle(keys, oracle, [node, client], idle=[client.name])
        tally.check(writes=2, claims=0)
        # The same post, the same work: nothing was stopped.
        assert keys.acting().epoch == epoch
    assert [interval.end_ns for interval in oracle.intervals()] == [None]


def test_drain_and_undrain(cluster, keys, oracle):
    nodes = cluster(3, **QUICK)
    primary = settle(keys, oracle, nodes)
    keys.set(f'nodes/{primary}/drain', '')
    second = settle(keys, oracle, nodes, other_than=primary)
    keys.set(f'nodes/{second}/drain', 'maintenance of the disk')
    third = settle(keys, oracle, nodes, other_than=second)
    assert third not in (primary, second)
    # The last one: nobody is left, and nobody may be made to.
    keys.set(f'nodes/{third}/drain', '')
    wait_until(lambda: oracle.working() == [] and keys.acting() is None, 10, keys.summary)
    assert keys.desired() == 'none'
    by_name(nodes, third).wait_log('drain_on: ')
    keys.delete(f'nodes/{second}/drain')
    settle(keys, oracle, nodes, primary=second)
    claims = len(history(keys))
    keys.delete(f'nodes/{primary}/drain')
    keys.delete(f'nodes/{third}/drain')
    for node in nodes:
        node.wait_log('drain_off: ')
    # Those that came back do not take it away.
    assert settle(keys, oracle, nodes) == second
    assert len(history(keys)) == claims


@pytest.mark.parametrize(('begin', 'end'), [('true', None), ('until noon', 'No')])
def test_maintenance(cluster, keys, oracle, begin, end):
    nodes = cluster(3, **QUICK)
    primary = settle(keys, oracle, nodes)
    keys.set('maintenance', begin)
    for node in nodes:
        node.wait_log('maintenance_on: ')
        assert bool(node.log_lines('junk_ignored: /maintenance is neither true nor false: taken as true')) == \
            (begin != 'true')
    # The primary goes; nobody follows by itself.
    claims = len(history(keys))
    by_name(nodes, primary).stop()
    rest = others(nodes, primary)
    assert (keys.desired(), keys.acting(), oracle.working()) == ('none', None, [])
    # An operator names one.
    keys.set('primary_node', rest[0].name)
    settle(keys, oracle, rest, primary=rest[0].name)
    keys.set('primary_node', rest[1].name)
    settle(keys, oracle, rest, primary=rest[1].name)
    assert len(history(keys)) == claims
    rest[1].stop()
    assert keys.acting() is None
    if end:
        keys.set('maintenance', end)
    else:
        keys.delete('maintenance')
    settle(keys, oracle, rest[:1], primary=rest[0].name)
    assert len(history(keys)) == claims + 1


def test_release_in_maintenance(cluster, keys, oracle):
    # A release is an operator's word: the primary goes on with its work, but does not take the key back.
    nodes = cluster(2, **QUICK)
    primary = settle(keys, oracle, nodes)
    keys.set('maintenance', 'true')
    for node in nodes:
        node.wait_log('maintenance_on: ')
    epoch, tally = keys.acting().epoch, Tally(keys)
    vacate(keys)
    by_name(nodes, primary).wait_log('released: ')
    # Longer than it waits for others before it would reclaim.
    stays(lambda: keys.desired() == 'none' and oracle.working() == [primary], 1.5, keys.summary)
    assert oracle.working() == [primary] and keys.acting().epoch == epoch
    keys.delete('maintenance')
    settle(keys, oracle, nodes)
    tally.check(writes=2, claims=0 if keys.acting().epoch == epoch else 1)


def test_flapping(cluster, keys, oracle):
    nodes = cluster(3, **QUICK)
    settle(keys, oracle, nodes)
    for number in range(60):
        keys.set('primary_node', f'n{number % 3 + 1}')
        if number % 10 == 0:
            keys.set('maintenance', ('true', 'false')[number % 20 == 0])
        if number % 7 == 0:
            keys.set(f'nodes/n{number % 3 + 1}/drain', '')
        if number % 7 == 3:
            for name in ('n1', 'n2', 'n3'):
                keys.delete(f'nodes/{name}/drain')
    for name in ('n1', 'n2', 'n3'):
        keys.delete(f'nodes/{name}/drain')
    keys.delete('maintenance')
    settle(keys, oracle, nodes)
    keys.set('primary_node', 'n2')
    settle(keys, oracle, nodes, primary='n2')


def test_flapping_in_step_with_takeovers(cluster, keys, oracle):
    # Each change comes when the one before is half done: just acting, just stopping; or when it was given back, as it is by a
    # node that loses its lease meanwhile.
    nodes = cluster(3, **{**QUICK, 'election.lock-timeout': '20ms', 'election.transition-delay': '30ms'})
    settle(keys, oracle, nodes)
    for number in range(12):
        target = f'n{number % 3 + 1}'
        keys.set('primary_node', target)
        if number % 2:
            wait_until(lambda: keys.state(target) in ('takeover', 'primary') or keys.desired() != target, 10, keys.summary,
                       0.001)
        else:
            begun = len(oracle.events('relinquish', 'begin'))
            wait_until(lambda: len(oracle.events('relinquish', 'begin')) > begun or keys.primary() == target
                       or keys.desired() != target, 10, keys.summary, 0.001)
    settle(keys, oracle, nodes)
    wait_members(keys, nodes)


def test_post_deleted_by_hand(cluster, keys, oracle):
    """Whoever deletes the post of a node at work does not get a second one at work."""
    # Time enough for a stop that is longer than the transition delay.
    nodes = cluster(3, **QUICK, **{'zookeeper.session-timeout': '10s', 'relinquish.lease-timeout': '3s'})
    primary = settle(keys, oracle, nodes)
    target = others(nodes, primary)[0]
    node = by_name(nodes, primary)
    node.write_config(**{'relinquish.command': node.set_command('relinquish', '--sleep 1000')})
    node.reload()
    node.wait_log('session_resumed: ')
    settle(keys, oracle, nodes, primary=primary)
    keys.set('primary_node', target.name)
    keys.delete('primary_active')
    node.wait_log('post_lost: ')
    # It is free to enter, but the old one's work is not down.
    target.wait_log(f'takeover_waiting: {primary} is alive and says that it still acts')
    settle(keys, oracle, nodes, primary=target.name)


def test_root_deleted_by_hand(cluster, keys, oracle):
    """The node at work makes its keys again before anybody can have taken the post: it is waited for."""
    nodes = cluster(3, **QUICK, **{'zookeeper.session-timeout': '10s', 'relinquish.lease-timeout': '3s'})
    primary = settle(keys, oracle, nodes)
    node = by_name(nodes, primary)
    node.write_config(**{'relinquish.command': node.set_command('relinquish', '--sleep 1000')})
    node.reload()
    node.wait_log('session_resumed: ')
    settle(keys, oracle, nodes, primary=primary)
    for key in ('nodes', 'history', 'primary_active', 'primary_node'):
        keys.sweep(key)
    settle(keys, oracle, nodes, timeout=60)


def test_router_state_that_lies(cluster, keys, oracle):
    """The key of a node that never was primary says that it acts: the longest term is waited for."""
    nodes = cluster(3, **MORTAL)
    primary = settle(keys, oracle, nodes)
    target, liar = others(nodes, primary)
    keys.set(f'nodes/{liar.name}/routerstate', 'primary')
    keys.set('primary_node', target.name)
    target.wait_log(f"corpse_found: {liar.name} died in the role 'primary'; its lease is over in")
    settle(keys, oracle, nodes, primary=target.name, timeout=60)


def test_primary_becomes_a_client(cluster, keys, oracle):
    """By a reload with another node.mode: it hands over the role, and what that takes is read by a client, too."""
    nodes = cluster(2, **QUICK)
    primary = settle(keys, oracle, nodes)
    node, [other] = by_name(nodes, primary), others(nodes, primary)
    node.write_config(**{'node.mode': 'client'})
    node.reload()
    keys.wait_primary(other.name)
    assert oracle.working() == [other.name]
    keys.wait_state(primary, 'client')


def test_stop_without_time_for_a_handover(cluster, keys, oracle):
    """election.handover-timeout bounds the wait for a successor, not the release: nobody is fenced or waited for."""
    nodes = cluster(2, **{**QUICK, 'election.handover-timeout': '0'})
    primary = settle(keys, oracle, nodes)
    node, [other] = by_name(nodes, primary), others(nodes, primary)
    node.stop()
    keys.wait_primary(other.name)
    assert not other.log_lines('corpse_found: '), other.log_tail()
