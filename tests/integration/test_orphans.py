"""The daemon as the one that inherits processes: PID 1 of a container, or a subreaper."""

import os
import sys

from lab.steps import QUICK
from lab.wait import wait_until

PR_SET_CHILD_SUBREAPER = 36
ADOPT = f'import ctypes, os, sys; ctypes.CDLL(None).prctl({PR_SET_CHILD_SUBREAPER}, 1); os.execv(sys.argv[1], sys.argv[1:])'


class Adopting:
    """Where what is started inherits its orphans."""

    @staticmethod
    def wrap(argv):
        return [sys.executable, '-c', ADOPT, *argv]


def children(pid):
    """{pid: state} of the children of a process."""
    found = {}
    for child in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{child}/stat', encoding='utf-8', errors='replace') as file:
                state, parent = file.read().rpartition(')')[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid:
            found[int(child)] = state
    return found


def test_orphans_are_reaped(cluster, keys, tmp_path):
    """What commands leave behind ends some time; its zombie does not stay. The daemon's own children are told of as ever."""
    [node] = cluster(1, start=False, hosts=[Adopting], **QUICK)
    left = tmp_path / 'left'
    # Each run of the health command leaves one that ends after it, beyond its group.
    node.write_config(**{'health.command': node.set_command('health', before=f'setsid sleep 0.2 &\necho $! >>{left}')})
    node.start()
    keys.wait_primary(node.name)
    wait_until(lambda: left.exists() and len(left.read_text().split()) >= 5, 20, node.log_tail)
    node.set_command('health')
    wait_until(lambda: 'Z' not in children(node.pid).values(), 10, lambda: children(node.pid), 0.05)
    # So do those of the image before a reload; and the guard, which is a child, too, is none of them.
    node.set_command('health', before='setsid sleep 0.2 &')
    mark = node.log_mark()
    node.reload()
    node.wait_log('session_resumed', since=mark)
    node.set_command('health')
    wait_until(lambda: 'Z' not in children(node.pid).values(), 10, lambda: children(node.pid), 0.05)
    assert not node.log_lines(' guard_failed: | command_failed: ') and keys.acting().node == node.name
