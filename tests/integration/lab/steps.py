"""What most tests of a cluster do: bring it to rest, make a vacancy, count the claims."""

import collections
import contextlib
import json
import os
import re

from kazoo.exceptions import NoAuthError, NoNodeError
from kazoo.security import make_acl

from .wait import wait_until

# Short waits: most tests look at what happens, not at how long it is waited for.
QUICK = {
    'election.lock-timeout': '200ms',
    'election.transition-delay': '250ms',
    'election.handover-timeout': '1s',
}

# A session that expires soon, for tests in which somebody dies without a word.
MORTAL = {
    **QUICK,
    'zookeeper.session-timeout': '2s',
    'relinquish.lease-timeout': '600ms',
}


def settle(keys, oracle, nodes, primary=None, other_than=None, timeout=20.0, idle=()):
    """Until one node (that one, or another than that) is primary, its work alone runs, and all others wait.

    nodes: those that run. idle: names of the ones among them that are clients. Returns the primary's name.
    """
    names = {node.name for node in nodes}

    def at_rest():
        name = keys.primary()
        if name not in names or primary not in (None, name) or name == other_than:
            return None
        expected = {other: 'client' if other in idle else 'secondary' for other in names - {name}}
        states = keys.states()
        if any(states.get(other) != state for other, state in expected.items()):
            return None
        # A state may also be what somebody else wrote over the trace of a dead one.
        if any(keys.get(f'nodes/{other}/alive') is None for other in names):
            return None
        return name if not keys.lock_nodes() and oracle.working() == [name] else None
    return wait_until(at_rest, timeout, lambda: f'one primary, all others at rest; {keys.summary()}\n'
                      f'working: {oracle.working()}\n' + ''.join(f'{node.log_tail(12)}\n' for node in nodes), 0.02)


def write_auth(path, *credentials):
    """An auth-file with these digest credentials, each NAME:PASSWORD; returns its path as text."""
    with open(path, 'w', encoding='ascii') as file:
        os.fchmod(file.fileno(), 0o600)
        file.writelines(f'digest {credential}\n' for credential in credentials)
    return str(path)


def wait_members(keys, nodes, timeout=15.0):
    """Until each node has registered: its sign of life is there."""
    wait_until(lambda: all(keys.get(f'nodes/{node.name}/alive') is not None for node in nodes), timeout,
               lambda: f'all registered; {keys.summary()}')


def by_name(nodes, name):
    return next(node for node in nodes if node.name == name)


def others(nodes, name):
    return [node for node in nodes if node.name != name]


Key = collections.namedtuple('Key', 'text version mzxid czxid')


def primary_key(keys):
    """/primary_node with its versions, None if it is missing."""
    try:
        data, stat = keys.client.retry(keys.client.get, keys.path('primary_node'))
    except NoNodeError:
        return None
    return Key(data.decode(errors='replace'), stat.version, stat.mzxid, stat.czxid)


def history(keys):
    """The entries of the history, oldest first, as dicts; strangers' entries left out."""
    return [json.loads(text) for text in keys.history() if text and text.startswith('{')]


class Tally:
    """Counts what was written to /primary_node from here on, by its version: nothing escapes that."""

    def __init__(self, keys):
        self.keys = keys
        self.key = primary_key(keys)
        self.claims = len(history(keys))

    def writes(self):
        key = primary_key(self.keys)
        assert self.key and key.czxid == self.key.czxid, 'the key was made anew'
        return key.version - self.key.version

    def new_claims(self):
        return history(self.keys)[self.claims:]

    def check(self, writes, claims, context=''):
        """So many writes of the key, so many of them claims."""
        seen = self.writes(), len(self.new_claims())
        assert seen == (writes, claims), f'{seen[0]} writes and {seen[1]} claims, not {writes} and {claims}: {context}'


def check_epoch(keys):
    """The acting primary's epoch is the mzxid of its claim: nobody wrote the key since."""
    acting, key = keys.acting(), primary_key(keys)
    assert acting.epoch == key.mzxid, f'{acting} {key}'
    return acting.epoch


def vacate(keys):
    """`none` into the key, as an operator does it: only over what was seen. Returns what was seen."""
    key = primary_key(keys)
    keys.client.set(keys.path('primary_node'), b'none', version=key.version)
    return key


def moves(node, since=0):
    """The node's moves as (from, to, reason), as its log tells them."""
    found = re.findall(r' state_changed: (\w+) -> (\w+): ([^=\n]*?)(?: \w+=|$)', node.log_text()[since:], re.M)
    return [tuple(move) for move in found]


def is_told(keys, key):
    """Whether the servers tell anything of a key that may not be read but that it is there: up to 3.8 they do."""
    try:
        return keys.client.exists(keys.path(key)) is not None
    except NoAuthError:
        return False


@contextlib.contextmanager
def forbidden(keys, key, *what):
    """Nobody may do that with a key, as long as this lasts."""
    names = ('read', 'write', 'create', 'delete')

    def allow(rights):
        acl = make_acl('world', 'anyone', admin=True, **{name: name in rights for name in names})
        with contextlib.suppress(NoNodeError):
            keys.client.retry(keys.client.set_acls, keys.path(key).rstrip('/'), [acl])
    allow(set(names) - set(what))
    try:
        yield
    finally:
        allow(names)
