"""The cluster as an independent observer sees it: the keys, read with kazoo."""

import collections
import re

from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError, NotEmptyError
from kazoo.retry import KazooRetry

from .wait import wait_until

Acting = collections.namedtuple('Acting', 'node epoch session created_ns')

LOCK_NODE = re.compile(r'^[0-9a-f]{32}__r?lock__\d{10}$')


def connect(servers, timeout=10.0, **kwargs):
    """A started kazoo client that repeats what a lost connection or a moving leader interrupted."""
    policy = {'max_tries': -1, 'delay': 0.02, 'backoff': 1, 'max_delay': 0.1}
    # Servers may be down for as long as a test likes; what is asked of them meanwhile has its bound.
    client = KazooClient(servers, timeout=timeout, connection_retry=KazooRetry(**policy),
                         command_retry=KazooRetry(deadline=30, **policy), **kwargs)
    client.start(30)
    return client


DELETES_AT_ONCE = 500


def _walk(client, path):
    """The paths of a tree, children before their parents; all of a level are asked for at once."""
    found, level = [], [path]
    while level:
        found += level
        asked = [(one, client.get_children_async(one)) for one in level]
        level = []
        for one, answer in asked:
            try:
                level += [f'{one}/{name}' for name in answer.get(30)]
            except NoNodeError:
                pass
    return found[::-1]


class View:
    """The keys of a cluster below `root`. Nothing is cached: each call reads."""

    def __init__(self, client, root):
        self.client = client
        self.root = root.rstrip('/')

    def path(self, key):
        return f'{self.root}/{key.lstrip("/")}'

    def get(self, key):
        """The data as text, None if the key is missing."""
        try:
            return self.client.retry(self.client.get, self.path(key))[0].decode(errors='replace')
        except NoNodeError:
            return None

    def set(self, key, text):
        """As an operator with a ZooKeeper shell would: created or overwritten, no questions asked."""
        data = text if isinstance(text, bytes) else text.encode()
        while True:  # others make and delete it, too
            try:
                self.client.retry(self.client.set, self.path(key), data)
                return
            except NoNodeError:
                pass
            try:
                self.client.retry(self.client.create, self.path(key), data, makepath=True)
                return
            except NodeExistsError:
                pass

    def delete(self, key):
        """Deletes a tree once; fine if it is not there, and if others add to it or delete in it meanwhile."""
        path = self.path(key)
        while self.client.retry(self.client.exists, path) and not self._delete_all(_walk(self.client, path)):
            pass

    def _delete_all(self, paths):
        """True: all are gone by this. False: something changed meanwhile."""
        for begin in range(0, len(paths), DELETES_AT_ONCE):
            transaction = self.client.transaction()
            for path in paths[begin:begin + DELETES_AT_ONCE]:
                transaction.delete(path)
            if any(isinstance(result, Exception) for result in transaction.commit()):
                return False
        return True

    def sweep(self, key):
        """One recursive delete, as an operator's: what others put there meanwhile stays."""
        try:
            self.client.retry(self.client.delete, self.path(key), recursive=True)
        except NotEmptyError:
            pass

    def children(self, key):
        try:
            return sorted(self.client.retry(self.client.get_children, self.path(key)))
        except NoNodeError:
            return []

    # the keys of design and man page

    def desired(self):
        """The content of /primary_node."""
        return self.get('primary_node')

    def acting(self):
        """Who holds /primary_active: an Acting, or None."""
        try:
            data, stat = self.client.retry(self.client.get, self.path('primary_active'))
        except NoNodeError:
            return None
        name, _, epoch = data.decode().partition(' ')
        return Acting(name, int(epoch), stat.ephemeralOwner, stat.ctime * 1000000)

    def acting_name(self):
        """The node that holds /primary_active, None if nobody does."""
        acting = self.acting()
        return acting.node if acting else None

    def nodes(self):
        return self.children('nodes')

    def state(self, node):
        """routerstate of a node."""
        return self.get(f'nodes/{node}/routerstate')

    def states(self):
        """{node: routerstate}"""
        return {node: self.state(node) for node in self.nodes()}

    def node(self, name):
        """{key: content} of one node."""
        return {key: self.get(f'nodes/{name}/{key}') for key in self.children(f'nodes/{name}')}

    def history(self):
        """Contents of the history entries, oldest first."""
        return [self.get(f'history/{entry}') for entry in self.children('history')]

    def primary(self):
        """The node that is desired, acting and in state `primary`; None if these are not one."""
        acting = self.acting()
        if acting and self.desired() == acting.node and self.state(acting.node) == 'primary':
            return acting.node
        return None

    def lock_nodes(self):
        """Nodes of the contention lock."""
        return [name for name in self.children('primary_node') if LOCK_NODE.match(name)]

    def ephemerals(self, path=None):
        """Paths of all ephemeral keys below the root."""
        path = path or self.root or '/'
        found = []
        try:
            stat = self.client.retry(self.client.exists, path)
            if stat is None:
                return found
            if stat.ephemeralOwner:
                found.append(path)
            for child in self.client.retry(self.client.get_children, path):
                found += self.ephemerals(f'{path.rstrip("/")}/{child}')
        except NoNodeError:
            pass  # it went while we looked
        return found

    # waiting

    def wait_primary(self, name=None, other_than=None, timeout=15.0):
        """Until a node (that one, or another than that) is primary through and through; returns its name."""
        def reached():
            primary = self.primary()
            return primary if primary and primary != other_than and name in (None, primary) else None
        return wait_until(reached, timeout, lambda: f'primary {name or ""}; {self.summary()}')

    def wait_state(self, node, state, timeout=15.0):
        wait_until(lambda: self.state(node) == state, timeout, lambda: f'{node} {state}; {self.summary()}')

    def summary(self):
        """For messages: everything at a glance."""
        return f'desired={self.desired()} acting={self.acting()} states={self.states()} locks={self.lock_nodes()}'
