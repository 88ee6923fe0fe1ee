"""A cluster that is not new: its store names it, and each node remembers it (lib/base/identity.c)."""

import os

from kazoo.exceptions import NodeExistsError

ID = '0123456789abcdef' * 2


def _fnv(data):
    total = 0xcbf29ce484222325
    for byte in data:
        total = (total ^ byte) * 0x100000001b3 & (1 << 64) - 1
    return total


def settle_store(keys):
    """An old cluster in which nobody was ever primary. Returns its id and since when it is there (zxid)."""
    for key, value in (('cluster', f'{ID} 1 1'), ('epoch', '0 -')):
        try:
            keys.client.retry(keys.client.create, keys.path(key), value.encode(), makepath=True)
        except NodeExistsError:
            pass
    data, stat = keys.client.retry(keys.client.get, keys.path('cluster'))
    return data.decode().split()[0], stat.czxid


def remember(node, cluster_id, since):
    """The memory of a node that knows this cluster for long."""
    text = (f'primaryd cluster 1\nroot={node.config["zookeeper.root"]}\nname={node.config["node.name"]}\nid={cluster_id}\ngeneration=1\nzxid=0\n'
            f'change=0\nepoch=0\nown=0\nmade={since}\n').encode()
    with open(node.memory, 'wb') as file:
        file.write(text + f'sum={_fnv(text):016x}\n'.encode())
    os.chmod(node.memory, 0o600)


def remembered(node):
    """What the node has on disk, as a dict; None: nothing."""
    try:
        with open(node.memory, encoding='ascii') as file:
            return dict(line.split('=', 1) for line in file.read().splitlines()[1:])
    except FileNotFoundError:
        return None
