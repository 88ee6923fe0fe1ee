"""primaryctl as a user runs it: with pipes, or on a pseudo-terminal."""

import errno
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

from lab import process
from lab.node import clean_environment, is_built, program
from lab.wait import Timeout

PROGRAM = 'ctl/primaryctl'
DONE, REFUSED, USAGE, TIMED_OUT, UNREACHABLE = range(5)
SANITIZER = re.compile(r'Sanitizer|runtime error:|Assertion')
ESCAPES = re.compile(r'\x1b\[[0-9;?]*[A-Za-z]')


def built():
    return is_built(PROGRAM)


def environment(**more):
    env = clean_environment(TERM='xterm', LC_ALL='C.UTF-8')
    env.pop('NO_COLOR', None)
    return {**env, **more}


class Ctl:
    """primaryctl with the same options in front of every command."""

    def __init__(self, servers=None, root=None, *options):
        self.options = [*(['--servers', servers] if servers else []), *(['--root', root] if root else []), *options]

    def argv(self, *args):
        return [program(PROGRAM), *self.options, *map(str, args)]

    def run(self, *args, code=DONE, timeout=60, **kwargs):
        """Runs it to its end; `code` is the exit code that must come (None: any)."""
        done = subprocess.run(self.argv(*args), stdin=kwargs.pop('stdin', None if 'input' in kwargs else subprocess.DEVNULL),
                              stdout=kwargs.pop('stdout', subprocess.PIPE), stderr=subprocess.PIPE, timeout=timeout,
                              env=kwargs.pop('env', environment()), check=False, text=kwargs.pop('text', True), **kwargs)
        said = f'{args}: {done.returncode}\n{done.stdout}\n{done.stderr}'
        assert not SANITIZER.search(str(done.stderr)), said
        assert code is None or done.returncode == code, said
        return done

    def json(self, *args, code=DONE):
        return json.loads(self.run('--json', *args, code=code).stdout)

    def start(self, *args, **kwargs):
        return process.spawn(self.argv(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
                             text=True, **kwargs)

    def terminal(self, *args, rows=24, columns=100, **env):
        return Terminal(self.argv(*args), rows, columns, environment(**env))


class Terminal:
    """A program that leads a session on a pseudo-terminal of its own. A context manager."""

    def __init__(self, argv, rows, columns, env):
        self.text = ''
        self.code = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
            os.execvpe(argv[0], argv, env)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            self._reap()
        self.hang_up()

    def _reap(self, flags=0):
        pid, status = os.waitpid(self.pid, flags)
        if pid:
            self.code = os.waitstatus_to_exitcode(status)
        return bool(pid)

    def _read(self, seconds):
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return
        try:
            data = os.read(self.fd, 65536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b''
        if not data:
            time.sleep(0.01)
        self.text += data.decode(errors='replace')

    def mark(self):
        return len(self.text)

    def plain(self, since=0):
        """What was shown, without colours and movements."""
        return ESCAPES.sub('', self.text[since:])

    def wait(self, pattern, since=0, timeout=20):
        """Until what was shown since then matches; returns the match."""
        end = time.monotonic() + timeout
        while True:
            match = re.search(pattern, self.plain(since))
            if match:
                return match
            if time.monotonic() > end:
                raise Timeout(f'/{pattern}/ not shown:\n{self.plain(since)[-3000:]}')
            self._read(0.05)

    def send(self, text):
        os.write(self.fd, text.encode())

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def modes(self):
        """The terminal's local modes."""
        return termios.tcgetattr(self.fd)[3]

    def hang_up(self):
        if self.fd is not None:
            os.close(self.fd)
        self.fd = None

    def end(self, timeout=20):
        """Waits for its end; returns the exit code (negative: the signal)."""
        limit = time.monotonic() + timeout
        while not self._reap(os.WNOHANG):
            if time.monotonic() > limit:
                raise Timeout(f'it does not end:\n{self.plain()[-3000:]}')
            if self.fd is not None:
                self._read(0.02)
            else:
                time.sleep(0.02)
        if self.fd is not None:
            self._read(0)
        return self.code
