"""What a daemon may be born into, and what may be taken from it."""

from lab.steps import QUICK, settle, vacate
from lab.wait import wait_until


class Launcher:
    """Stands for a host: the daemon is started by way of a line of Python that sees the command in argv."""

    def __init__(self, line):
        self.line = line

    def wrap(self, argv):
        return ['/usr/bin/python3', '-c', f'import os, signal, sys; {self.line}; os.execv(sys.argv[1], sys.argv[1:])',
                *argv]


def test_signals_ignored(cluster, keys, oracle):
    """As under a parent that reaps nobody: commands and guard are waited for all the same."""
    launcher = Launcher('[signal.signal(s, signal.SIG_IGN) for s in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP)]')
    nodes = cluster(2, **QUICK, hosts=[launcher] * 2)
    primary = settle(keys, oracle, nodes)
    vacate(keys)
    settle(keys, oracle, nodes, other_than=primary)


def test_descriptors_closed(cluster, keys, oracle):
    """What is opened in their place must not be taken for a log, nor the lock of a reload for none."""
    nodes = cluster(2, **QUICK, hosts=[Launcher('os.closerange(0, 3)')] * 2)
    primary = settle(keys, oracle, nodes)
    lives = len(oracle.events('takeover', 'begin'))
    for node in nodes:
        alive = keys.get(f'nodes/{node.name}/alive')
        node.reload()
        if node.name == primary:
            wait_until(lambda node=node, alive=alive: keys.get(f'nodes/{node.name}/alive') != alive, 10,
                       'the new image says since when it runs')
        assert node.running()
    settle(keys, oracle, nodes, primary=primary)
    assert len(oracle.events('takeover', 'begin')) == lives
    vacate(keys)
    settle(keys, oracle, nodes, other_than=primary)
    assert all(node.running() for node in nodes)
