"""Contention: every vacancy is filled by exactly one claim, whatever made it and however many want it."""

import pytest
from kazoo.recipe.lock import Lock

from lab.steps import (MORTAL, QUICK, Tally, by_name, check_epoch, history, moves, others, primary_key, settle,
                       vacate, wait_members)
from lab.wait import wait_until

pytestmark = pytest.mark.usefixtures('ensemble')

TIMED_OUT = 'the lock was not free in time'


def lock_moves(node, since=0):
    """Why the node left a contention."""
    return [reason for before, after, reason in moves(node, since) if before in ('lock', 'claim') and after == 'follow']


@pytest.mark.parametrize('size, rounds', [(3, 4), (5, 3), (15, 2)])
def test_one_claim_a_vacancy(cluster, keys, oracle, size, rounds):
    nodes = cluster(size, **QUICK)
    primary = settle(keys, oracle, nodes, timeout=30)
    # The key was made as `none`, then claimed, once.
    assert (primary_key(keys).text, primary_key(keys).version) == (primary, 1)
    assert [claim['to'] for claim in history(keys)] == [primary]
    epoch = check_epoch(keys)
    for _ in range(rounds):
        tally = Tally(keys)
        vacate(keys)
        successor = settle(keys, oracle, nodes, other_than=primary, timeout=30)
        tally.check(writes=2, claims=1, context=keys.summary())
        assert tally.new_claims()[0]['to'] == successor
        assert check_epoch(keys) > epoch
        primary, epoch = successor, check_epoch(keys)


def test_losers_end_when_they_see_the_claim(cluster, keys):
    # So long a timeout that nobody can have waited it out.
    slow = {**QUICK, 'election.lock-timeout': '40s', 'election.transition-delay': '41s'}
    keys.set('primary_node', 'none')
    keys.set('maintenance', 'true')
    nodes = cluster(5, **slow)
    wait_members(keys, nodes)
    keys.delete('maintenance')
    wait_until(lambda: primary_key(keys).text != 'none', 10, 'a claim')
    winner = primary_key(keys).text
    wait_until(lambda: not keys.lock_nodes(), 10, lambda: f'the losers give up; {keys.summary()}')
    losers = others(nodes, winner)
    wait_until(lambda: all(keys.state(node.name) == 'secondary' for node in nodes), 5)
    assert [reason for node in losers for reason in lock_moves(node) if reason == TIMED_OUT] == []
    Tally(keys).check(writes=0, claims=0)
    assert len(history(keys)) == 1


def test_slow_servers(cluster, keys, oracle):
    """lock-timeout bounds the wait for other contenders. Servers that take longer to commit a node fill a vacancy, too."""
    # A server that is silent for T/8 is left: that has to be longer than the delay, also on a machine under load.
    nodes = cluster(2, proxied=True, **{**QUICK, 'zookeeper.session-timeout': '8s'})
    primary = settle(keys, oracle, nodes)
    [other] = others(nodes, primary)
    other.links.set_delay(150)  # there and back: longer than lock-timeout
    by_name(nodes, primary).stop()
    settle(keys, oracle, [other])
    assert TIMED_OUT not in lock_moves(other)


def test_every_kind_of_vacancy(cluster, keys, oracle):
    nodes = cluster(3, **QUICK)
    primary = settle(keys, oracle, nodes)
    epoch = check_epoch(keys)
    for kind in ('none', 'deleted', 'ghost', 'none'):
        claims = len(history(keys))
        if kind == 'deleted':
            keys.delete('primary_node')
        else:
            keys.set('primary_node', kind)
        primary = settle(keys, oracle, nodes, other_than=primary)
        assert len(history(keys)) == claims + 1, kind
        assert history(keys)[-1]['to'] == primary
        # Also when the key was made anew: the epoch never starts again.
        assert check_epoch(keys) > epoch, kind
        epoch = check_epoch(keys)
    reasons = [claim['reason'] for claim in history(keys)]
    by_hand = 'released by an operator'
    assert reasons[1:] == [by_hand, by_hand, 'ghost died or was cut off', by_hand]


def test_dead_holder(cluster, keys, oracle):
    nodes = cluster(3, **MORTAL)
    for _ in range(2):
        primary = settle(keys, oracle, [node for node in nodes if node.running()])
        epoch, tally = check_epoch(keys), Tally(keys)
        victim = by_name(nodes, primary)
        victim.kill9()
        rest = others(nodes, primary)
        successor = settle(keys, oracle, rest, other_than=primary)
        tally.check(writes=1, claims=1, context=keys.summary())
        assert tally.new_claims()[0]['from'] == primary
        assert check_epoch(keys) > epoch
        # Its trace was read, and nobody takes it for a working one any more.
        assert (keys.state(primary), keys.get(f'nodes/{primary}/daemonstate')) == ('secondary', 'dead')
        by_name(nodes, successor).wait_log(f'corpse_found: {primary} died')
        victim.start()
        settle(keys, oracle, nodes, primary=successor)
        assert keys.get(f'nodes/{primary}/daemonstate') == 'run'


def test_lock_held_by_kazoo(cluster, keys, oracle, zk_client):
    keys.set('primary_node', 'none')
    lock = Lock(zk_client, keys.path('primary_node'), 'an operator')
    assert lock.acquire(timeout=10)
    tally = Tally(keys)
    nodes = cluster(3, **QUICK)
    seen = set()
    for node in nodes:
        node.wait_log('contention_lost: ')
    wait_until(lambda: seen.update(keys.lock_nodes()) or len(seen) > 3 * len(nodes), 20, 'all try again and again')
    tally.check(writes=0, claims=0)
    assert keys.acting() is None
    for node in nodes:
        assert lock_moves(node) == [TIMED_OUT] and len(node.log_lines(' vacancy: ')) == 1, 'and say so once'
    lock.release()
    settle(keys, oracle, nodes)
    tally.check(writes=1, claims=1)


def test_key_deleted_below_the_contenders(cluster, keys, oracle, zk_client):
    # They wait for a lock that is not theirs, and then the key is taken away with all of its children.
    slow = {**QUICK, 'election.lock-timeout': '20s', 'election.transition-delay': '20100ms'}
    keys.set('primary_node', 'none')
    lock = Lock(zk_client, keys.path('primary_node'), 'an operator')
    assert lock.acquire(timeout=10)
    nodes = cluster(3, **slow)
    wait_until(lambda: len(keys.lock_nodes()) >= 4, 15, lambda: f'all contend; {keys.summary()}')
    assert not history(keys)
    keys.delete('primary_node')
    wait_until(lambda: primary_key(keys) and primary_key(keys).text in [node.name for node in nodes], 10,
               lambda: f'a claim; {keys.summary()}')
    wait_until(lambda: not keys.lock_nodes(), 10, lambda: f'the losers give up; {keys.summary()}')
    # The delete may have hit more than one incarnation of the key; the last one was claimed once.
    assert history(keys)[-1]['to'] == primary_key(keys).text
    assert primary_key(keys).version == 1


def test_a_key_that_flickers(cluster, keys, oracle):
    nodes = cluster(3, **QUICK)
    settle(keys, oracle, nodes)
    for number in range(40):
        if number % 4 == 3:
            keys.delete('primary_node')
        else:
            keys.set('primary_node', ('none', 'n1', 'n2')[number % 3])
    settle(keys, oracle, nodes)
    check_epoch_or_reclaimed(keys)
    tally = Tally(keys)
    primary = vacate(keys).text
    settle(keys, oracle, nodes, other_than=primary)
    tally.check(writes=2, claims=1)


def check_epoch_or_reclaimed(keys):
    """A reclaim writes the key after the claim; the epoch of the post never comes after the key."""
    assert keys.acting().epoch <= primary_key(keys).mzxid


def test_rank(cluster, keys, oracle):
    """Nodes wait for one of a higher rank, but not for one that cannot claim the role."""
    keys.set('maintenance', 'true')
    [best] = cluster(1, **QUICK, **{'node.rank': '10'})
    lesser = cluster(2, **QUICK, **{'node.contend-delay': '30s'})
    nodes = [best, *lesser]
    wait_members(keys, nodes)
    best.sigstop()
    keys.delete('maintenance')
    for node in lesser:
        node.wait_log(' contention_waiting: .*for at most 30s')
    best.sigcont()
    assert settle(keys, oracle, nodes) == best.name
    # Released: nobody waits for the node that held the role.
    vacate(keys)
    successor = settle(keys, oracle, nodes, other_than=best.name)
    # Nobody waits for it while it is drained, nor after it died.
    keys.set(f'nodes/{best.name}/drain', '')
    vacate(keys)
    successor = settle(keys, oracle, nodes, other_than=successor)
    best.kill9()
    keys.delete(f'nodes/{best.name}/drain')
    wait_until(lambda: keys.get(f'nodes/{best.name}/alive') is None, 20, 'its session is over')
    vacate(keys)
    settle(keys, oracle, lesser, other_than=successor)
    assert not any(len(node.log_lines(' contention_waiting: ')) > 1 for node in lesser)


def test_history_is_bounded(cluster, keys, oracle):
    old = '{"time":"2020-01-01T00:00:00.000Z","to":"x","from":"","reason":"old"}'
    for number in range(130):
        keys.set(f'history/claim-{number:010d}', old)
    nodes = cluster(1, **QUICK)
    settle(keys, oracle, nodes)
    wait_until(lambda: len(keys.children('history')) <= 100, 10,
               lambda: f'{len(keys.children("history"))} entries, 100 are kept')
    assert history(keys)[-1]['to'] == 'n1'
