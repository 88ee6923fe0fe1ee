"""Children that never outlive us, and how to find the ones that would."""

import atexit
import os
import signal
import subprocess
import time

from .wait import Timeout

_started = {}  # pid -> Popen, of what was spawned and not yet reaped


def spawn(argv, **kwargs):
    """subprocess.Popen of argv, killed by the kernel when the calling *thread* ends.

    Hence: spawn from the main thread, or from one that lives long. The pid is that of argv's program
    (setpriv replaces itself). The child is its own session, so that find_processes() knows its family.
    """
    argv = ['setpriv', '--pdeathsig', 'KILL', '--', *map(str, argv)]
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, **kwargs)
    _started[child.pid] = child
    return child


def reap(child, timeout=5.0):
    """Waits for the end of a child; returns its exit code (negative: the signal)."""
    try:
        code = child.wait(timeout)
    except subprocess.TimeoutExpired:
        raise Timeout(f'pid {child.pid} ({child.args[4]}) did not end within {timeout} s') from None
    _started.pop(child.pid, None)
    return code


def kill(child):
    """kill -9, also of a stopped one, and reap. Harmless if it ended before."""
    if child.poll() is None:
        child.send_signal(signal.SIGKILL)
    return reap(child)


def _stat(pid):
    """The fields of /proc/PID/stat behind the name: state, parent, group, session, ... Raises OSError if it is gone."""
    with open(f'/proc/{pid}/stat', 'rb') as file:
        return file.read().rpartition(b')')[2].split()


def find_processes(sessions=(), marker=None, since=0):
    """Pids, zombies left out, that belong to one of the session ids or carry `marker` in environment or arguments.

    since: those that began earlier, in the kernel's ticks (now(), started_at()), are not looked at.
    """
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            fields = _stat(pid)
            if fields[0] in (b'Z', b'X') or int(pid) == os.getpid() or int(fields[19]) < since:
                continue
            if int(fields[3]) in sessions:
                found.append(int(pid))
                continue
            if marker is not None:
                for name in ('environ', 'cmdline'):
                    with open(f'/proc/{pid}/{name}', 'rb') as file:
                        if marker.encode() in file.read():
                            found.append(int(pid))
                            break
        except OSError:
            continue  # it ended while we looked, or is not ours
    return found


def now():
    """The present, in the kernel's ticks since the machine was started."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf('SC_CLK_TCK'))


def started_at(pid):
    """When it began, in the kernel's ticks: with the pid that makes an identity. None if it is gone."""
    try:
        return int(_stat(pid)[19])
    except OSError:
        return None


def state_of(pid):
    """The kernel's letter for it (S sleeps, R runs, T is stopped, t is traced, Z ended), None if it is gone."""
    try:
        return _stat(pid)[0].decode()
    except OSError:
        return None


def parent_of(pid):
    """Its parent's pid, None if it is gone."""
    try:
        return int(_stat(pid)[1])
    except OSError:
        return None


def status_of(pid):
    """The lines of /proc/PID/status, {name: the words behind it}. Raises OSError if it is gone."""
    with open(f'/proc/{pid}/status', encoding='ascii', errors='replace') as file:
        return {name: rest.split() for name, _, rest in (line.partition(':') for line in file)}


def handles(pid, number):
    """Whether the process has a handler for that signal; not so right after its start."""
    try:
        caught = status_of(pid)['SigCgt'][0]
    except (OSError, KeyError):
        return False
    return bool(int(caught, 16) >> (number - 1) & 1)


def is_traced(pid):
    return status_of(pid)['TracerPid'] != ['0']


def name_of(pid):
    """As the kernel has it, 15 characters at most; '' of a process that is gone."""
    try:
        with open(f'/proc/{pid}/comm', encoding='ascii') as file:
            return file.read().strip()
    except OSError:
        return ''


def describe(pid):
    """`pid (command line)`, for messages."""
    try:
        with open(f'/proc/{pid}/cmdline', 'rb') as file:
            return f'{pid} ({file.read().replace(bytes(1), b" ").decode(errors="replace").strip()})'
    except OSError:
        return str(pid)


@atexit.register
def _kill_all():
    for child in list(_started.values()):
        if child.poll() is None:
            child.kill()
