"""What breaks when: from a seed, and from nothing else."""

import collections
import random

# at: seconds after the round began. target: the n-th node or server, or a role ('primary', 'leader', 'follower'),
# resolved when the time has come. hold: how long it lasts, in seconds. detail: of the kind.
Fault = collections.namedtuple('Fault', 'at kind target hold detail')

ROUND_S = 25.0
CUTS = ('silent', 'silent', 'reset', 'oneway-up', 'oneway-down')

# kind -> how often, compared to the others
NODE_FAULTS = {
    'daemon killed, restarted': 10,
    'daemon killed, late restart': 6,
    'daemon stopped (SIGSTOP)': 8,
    'daemon restarted': 4,
    'daemon reloaded': 5,
    'guard killed': 4,
    'node cut off': 10,
    'node cut from one server': 6,
    'node slow': 3,
    'takeover slow': 2,
    'takeover fails': 3,
    'takeover hangs': 2,
    'relinquish slow': 3,
    'relinquish fails': 3,
    'relinquish hangs': 4,
    'relinquish fails once': 3,
    'session closed': 3,
    'state not saved': 3,
    'drained': 3,
}
CLUSTER_FAULTS = {
    'switchover': 8,
    'released': 4,
    'maintenance': 1,
    'fence fails': 2,
    'post deleted': 1,
    'keepalive deleted': 1,
}
SERVER_FAULTS = {
    'server killed': 5,
    'server stopped (SIGSTOP)': 4,
    'server isolated': 6,
    'two servers killed': 1,
    'server commits slow': 4,
}

# Shares of the session timeout: shorter than the stop begins, around the lease's end, beyond the session's.
HOLDS = ((0.02, 0.3), (0.3, 0.8), (0.8, 1.6), (1.2, 2.2))


def _hold(dice, session_s):
    low, high = dice.choice(HOLDS)
    return round(dice.uniform(low, high) * session_s, 3)


def _pick(dice, weights):
    return dice.choices(list(weights), list(weights.values()))[0]


def _node_fault(dice, nodes, session_s, at):
    kind = _pick(dice, NODE_FAULTS)
    # The primary is where it hurts.
    target = 'primary' if dice.random() < 0.6 else dice.randrange(nodes)
    detail = None
    hold = _hold(dice, session_s)
    if kind == 'daemon killed, restarted':
        hold = round(dice.choice((0.0, dice.uniform(0.0, 0.3) * session_s)), 3)
    elif kind == 'daemon killed, late restart':
        hold = round(dice.uniform(0.5, 2.0) * session_s, 3)
    elif kind == 'node cut off':
        detail = dice.choice(CUTS)
    elif kind == 'node cut from one server':
        detail = (dice.randrange(3), dice.choice(CUTS))
    elif kind == 'node slow':
        detail = dice.choice((5, 30, 100))
    elif kind == 'takeover slow':
        detail = round(dice.uniform(0.1, 1.5), 2)
    elif kind == 'relinquish slow':
        detail = round(dice.uniform(0.05, 0.9), 2)
    return Fault(at, kind, target, hold, detail)


def _cluster_fault(dice, nodes, session_s, at):
    kind = _pick(dice, CLUSTER_FAULTS)
    detail = dice.randrange(nodes) if kind == 'switchover' else None
    return Fault(at, kind, None, _hold(dice, session_s), detail)


def _server_fault(dice, session_s, at):
    kind = _pick(dice, SERVER_FAULTS)
    target = dice.choice(('leader', 'follower', 'of the primary'))
    detail = dice.randrange(50, int(session_s * 1000 / 8)) if kind == 'server commits slow' else dice.choice(CUTS)
    return Fault(at, kind, target, _hold(dice, session_s), detail)


def plan_round(seed, number, nodes, session_s):
    """The faults of one round, in the order of time."""
    dice = random.Random(f'{seed}/{number}')
    mean_s = dice.choice((0.3, 0.7, 1.5))  # how dense this round is
    servers_too = dice.random() < 0.6
    faults, at = [], 0.0
    while True:
        at += dice.expovariate(1 / mean_s)
        if at > ROUND_S:
            return faults
        sort = dice.random()
        when = round(at, 3)
        if sort < 0.12 and servers_too:
            faults.append(_server_fault(dice, session_s, when))
        elif sort < 0.27:
            faults.append(_cluster_fault(dice, nodes, session_s, when))
        else:
            faults.append(_node_fault(dice, nodes, session_s, when))
