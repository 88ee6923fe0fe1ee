"""The live view: one frame of text, drawn anew when something changed, and the keys."""

import collections
import fcntl
import os
import queue
import select
import shutil
import signal
import sys
import termios
import threading
import time
import tty

from kazoo.exceptions import KazooException

from cluster import CONFIG, Refused
from meter import Meter
from observe import QUIET, Observer, clock

FRAME_S = 0.1  # between two frames at least; also how often the meter moves
COLUMN_S = 0.25  # of the work's bars
EVENTS_KEPT = 500

HELP = (('h', 'hand over'), ('k', 'kill -9'), ('K', 'kill and restart'), ('z', 'freeze/thaw'), ('c', 'cut/heal'),
        ('d', 'drain/undrain'), ('m', 'maintenance'), ('r', 'release'), ('t', 'stop'), ('s', 'start'),
        ('1 2 ..', 'choose node (again: none)'), ('Esc', 'choose none'), ('q', 'quit'))
ESCAPE = '\033'

BOLD, DIM, RED, GREEN, YELLOW, CYAN, REVERSE = '1', '2', '31', '32', '33', '36', '7'


class Terminal:
    """The alternate screen in raw mode; leave() puts everything back, and may be called more than once."""

    def __init__(self):
        self.fd = sys.stdin.fileno()
        self.before = None
        self.lines = []
        self.size = (0, 0)
        self.colour = not os.environ.get('NO_COLOR') and os.environ.get('TERM', 'dumb') != 'dumb'

    def enter(self):
        self.before = termios.tcgetattr(self.fd)
        tty.setcbreak(self.fd)
        self.write('\033[?1049h\033[?25l\033[2J')

    def leave(self):
        if self.before is not None:
            self.write('\033[0m\033[?25h\033[?1049l')
            termios.tcsetattr(self.fd, termios.TCSADRAIN, self.before)
            self.before = None

    def write(self, text):
        data = text.encode(errors='replace')
        while data:
            try:
                data = data[os.write(sys.stdout.fileno(), data):]
            except InterruptedError:
                continue
            except OSError:
                return  # the terminal is gone; SIGHUP follows

    def paint(self, text, *styles):
        """Text with styles, if there are colours."""
        return f'\033[{";".join(styles)}m{text}\033[0m' if self.colour and styles and text else text

    def draw(self, lines):
        """Shows the lines; only those that differ from what stands there are written."""
        size = shutil.get_terminal_size()
        if size != self.size:
            self.size, self.lines = size, []
            self.write('\033[2J')
        out = []
        for row in range(size.lines):
            line = lines[row] if row < len(lines) else ''
            if row >= len(self.lines) or self.lines[row] != line:
                out.append(f'\033[{row + 1};1H{line}\033[K')
        self.lines = [lines[row] if row < len(lines) else '' for row in range(size.lines)]
        if out:
            self.write(''.join(out))


class Row:
    """A line that is put together from pieces and never gets longer than the terminal is wide."""

    def __init__(self, terminal, width):
        self.terminal, self.left, self.text = terminal, width, ''

    def add(self, text, *styles):
        text = ''.join(c if c.isprintable() and ord(c) < 0x3000 else '?' for c in text)[:self.left]
        self.left -= len(text)
        self.text += self.terminal.paint(text, *styles)
        return self

    def pad(self, text, width, *styles):
        return self.add(text[:width].ljust(width), *styles)


def duration(seconds):
    return f'{seconds * 1000:.0f} ms' if seconds < 1 else f'{seconds:.2f} s'


class View:
    """What the user sees and does."""

    def __init__(self, cluster, terminal):
        self.cluster = cluster
        self.terminal = terminal
        self.chosen = None
        self.events = collections.deque(maxlen=EVENTS_KEPT)
        self.state = 'starting'
        self.observer = self.meter = None
        self.jobs = queue.Queue()
        self.said = queue.Queue()
        self.wake_read, self.wake_write = os.pipe()
        for fd in (self.wake_read, self.wake_write):
            os.set_blocking(fd, False)
            fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        # What talks to ZooKeeper may wait for it: not in the thread that draws.
        threading.Thread(target=self._work, name='operator', daemon=True).start()

    def wake(self):
        try:
            os.write(self.wake_write, b'x')
        except (BlockingIOError, OSError):
            pass

    def say(self, text, style=CYAN):
        self.said.put((clock(), 'you', text, style))
        self.wake()

    def _work(self):
        while True:
            job = self.jobs.get()
            try:
                job()
            except Refused as error:
                self.say(f'not done: {error}', YELLOW)
            except (KazooException, OSError, AssertionError) as error:
                self.say(f'failed: {type(error).__name__} {error}', RED)

    # drawing

    def frame(self):
        width, height = shutil.get_terminal_size()
        names = list(self.cluster.nodes)
        top = [self.head(width), self.facts(width), ''] if height >= 15 else [self.head(width)]
        table = [self.table_head(width)] + [self.table_row(name, width) for name in names]
        bars = self.bars(width, names)
        help_lines = self.help(width)
        if height < len(top) + len(table) + len(bars) + len(help_lines) + 4:
            bars = bars[-1:]
        if height < len(top) + len(table) + len(bars) + len(help_lines) + 2:
            help_lines = help_lines[:1]
        lines = top + table + bars
        room = height - len(lines) - len(help_lines)
        lines += self.event_lines(width, room)
        lines += [''] * (height - len(lines) - len(help_lines))
        return lines[:max(height - len(help_lines), 0)] + help_lines

    def row(self, width):
        return Row(self.terminal, width)

    def head(self, width):
        row = self.row(width).add('primaryd ', BOLD)
        serving = self.meter.serving() if self.meter else []
        name, epoch = self.observer.acting() if self.observer else ('', 0)
        if self.state != 'running':
            return row.add(self.state).text
        row.add('  primary ').add(name or 'nobody', BOLD, GREEN if name else RED)
        row.add(f'  epoch {epoch or "-"}')
        left = self.observer.lease_left_s(name) if name in self.cluster.nodes else None
        if left is not None:
            row.add('  lease ').add(f'{max(left, 0):.1f} s', GREEN if left > 1.5 else YELLOW if left > 0 else RED)
        if len(serving) > 1:
            row.add(f'  TWO AT WORK: {" ".join(serving)}', BOLD, RED)
        return row.text

    def facts(self, width):
        row = self.row(width)
        if not self.observer:
            return ''
        row.add(f'named {self.observer.desired() or "none"}')
        if self.observer.get('maintenance') == 'true':
            row.add('  ').add('MAINTENANCE', BOLD, YELLOW)
        servers = len(self.cluster.ensemble.servers)
        row.add(f'  ZooKeeper: {servers} server{"s" * (servers > 1)}, session {CONFIG["zookeeper.session-timeout"]}, '
                f'{self.cluster.ensemble.connect if width > 110 else self.cluster.client.state.lower()}', DIM)
        return row.text

    def table_head(self, width):
        row = self.row(width)
        for title, size in (('  node', 9), ('daemon', 12), ('alive', 7), ('routerstate', 13), ('state', 11), ('lease', 8),
                            ('note', 40)):
            row.pad(title, size, DIM)
        return row.text

    def table_row(self, name, width):
        row = self.row(width)
        get = (lambda leaf: self.observer.node(name, leaf)) if self.observer else (lambda leaf: None)
        trouble = self.cluster.trouble(name)
        router = get('routerstate') or '-'
        phase = self.observer.phases[name] if self.observer and trouble in ('running', 'cut off', 'frozen') else '-'
        row.add('> ' if self.chosen == name else '  ', BOLD)
        row.pad(name, 7, *([BOLD, GREEN] if router == 'primary' and get('alive') else []))
        row.pad(trouble, 12, *([] if trouble == 'running' else [YELLOW] if trouble in ('stopped', 'not started') else [RED]))
        row.pad('yes' if get('alive') else 'no', 7, *([] if get('alive') else [RED]))
        row.pad(router, 13)
        row.pad(phase or '-', 11)
        left = self.observer.lease_left_s(name) if self.observer else None
        row.pad('-' if left is None else f'{left:.1f} s' if left > 0 else 'over', 8)
        notes = []
        if get('drain') is not None:
            notes.append('drained')
        if (get('health') or 'ok') != 'ok':
            notes.append(get('health'))
        if get('daemonstate') not in (None, 'run'):
            notes.append(get('daemonstate'))
        return row.add(', '.join(notes), YELLOW).text

    def bars(self, width, names):
        if not self.meter:
            return []
        count = max(min(width - 12, int(60 / COLUMN_S)), 4)
        lines = [self.row(width).add(f'  who served, the last {count * COLUMN_S:.0f} s', DIM).text]
        lines.insert(0, '')
        for name in names:
            bar = ''.join('#' if seen else '.' for seen in self.meter.columns(name, count, COLUMN_S))
            lines.append(self.row(width).pad(f'  {name}', 9).add(bar, GREEN).text)
        row = self.row(width).add('  gap      ')
        silent = self.meter.silent_s()
        gap = self.meter.gaps[-1] if self.meter.gaps else None
        if silent:
            row.add(f'nobody has served for {silent:.1f} s', BOLD, RED)
        elif gap:
            way = f'{gap.before} to {gap.after}' if gap.before != gap.after else f'{gap.after} again'
            row.add(f'the last: {duration(gap.end_s - gap.begin_s)} ({way})', BOLD)
        else:
            row.add('none yet')
        if self.meter.faults:
            row.add(f'  {self.meter.faults[-1]}', BOLD, RED)
        lines.append(row.text)
        return lines

    def event_lines(self, width, room):
        if room < 2:
            return []
        events = list(self.events)[-(room - 1):]
        lines = ['']
        for at, node, text, style in events:
            row = self.row(width).add(f'  {at} ', DIM).pad(node, 6, BOLD).add(' ')
            lines.append(row.add(text, *([style] if style else [])).text)
        return lines

    def help(self, width):
        lines, row = [], self.row(width)
        for key, text in HELP:
            if row.left < len(key) + len(text) + 3 and row.left < width:
                lines.append(row.text)
                row = self.row(width)
            row.add(f' {key}', BOLD, REVERSE if self.terminal.colour else BOLD).add(f' {text} ')
        return lines + [row.text]

    # events

    def gather(self):
        """Takes in what the logs and the operator's thread say."""
        while not self.said.empty():
            self.events.append(self.said.get())
        if not self.observer:
            return
        styles = {'emergency': RED, 'critical': RED, 'alert': RED, 'error': RED, 'warning': YELLOW}
        for line in self.observer.read_logs():
            if line.event in QUIET:
                continue
            style = styles.get(line.level, GREEN if line.event == 'primary' else '')
            took = f' ({duration(int(line.fields["usec"]) / 1e6)})' if line.fields.get('usec', '').isdigit() else ''
            self.events.append((line.time, line.node, line.text + took, style))

    # keys

    def key(self, key):
        """False: enough."""
        if key in ('q', '\x03', '\x04'):
            return False
        if key == ESCAPE:
            self.chosen = None
            return True
        if key.isdigit() and f'node{key}' in self.cluster.nodes:
            self.chosen = None if self.chosen == f'node{key}' else f'node{key}'
            return True
        action = {'h': self.hand_over, 'k': self.kill, 'K': self.kill_and_restart, 'z': self.freeze, 'c': self.cut,
                  'd': self.drain, 'm': self.maintenance, 's': self.start, 'r': self.release, 't': self.stop}.get(key)
        if action and self.state == 'running':
            try:
                action()
            except Refused as error:
                self.say(f'not done: {error}', YELLOW)
            except (OSError, AssertionError) as error:
                self.say(f'failed: {error}', RED)
        return True

    def typed(self, text):
        """What one read brought: keys, or a sequence that stands for one that means nothing here (cursor keys and the like)."""
        if text.startswith(ESCAPE) and text.strip(ESCAPE):
            return True
        return all(self.key(key) for key in text)

    def target(self, running=True):
        """The chosen node, else the acting primary."""
        name = self.chosen or self.observer.acting()[0]
        if not name:
            raise Refused('nobody is primary; choose a node with its number')
        if running and not self.cluster.nodes[name].running():
            raise Refused(f'{name} does not run')
        return name

    def first(self, predicate):
        """A node to repair: the chosen one, if it needs it, else the first that does."""
        names = [self.chosen] if self.chosen else list(self.cluster.nodes)
        return next((name for name in names if predicate(name)), None)

    def hand_over(self):
        chosen = self.chosen
        self.jobs.put(lambda: self.say(f'named {self.cluster.switchover(chosen)} primary'))

    def release(self):
        self.jobs.put(lambda: (self.cluster.release(), self.say('released the role: set the key to none')))

    def drain(self):
        name = self.first(lambda name: self.observer.node(name, 'drain') is not None)
        on = name is None
        name = name or self.target(running=False)
        self.jobs.put(lambda: (self.cluster.drain(name, on), self.say(f'{"drained" if on else "undrained"} {name}')))

    def maintenance(self):
        on = self.observer.get('maintenance') != 'true'
        self.jobs.put(lambda: (self.cluster.maintenance(on), self.say(f'maintenance {"on" if on else "off"}')))

    def kill(self):
        name = self.target()
        self.say(f'kill -9 of the daemon of {name}')
        self.cluster.nodes[name].kill9()

    def kill_and_restart(self):
        name = self.target()
        self.say(f'kill -9 of the daemon of {name}, and started again')
        self.cluster.nodes[name].kill9()
        self.cluster.nodes[name].start()

    def stop(self):
        name = self.target()
        self.say(f'told the daemon of {name} to stop')
        self.cluster.nodes[name].child.terminate()

    def start(self):
        name = self.first(lambda name: not self.cluster.nodes[name].running())
        if not name:
            raise Refused(f'{self.chosen or "every node"} runs')
        self.say(f'started the daemon of {name}')
        self.cluster.nodes[name].start()

    def freeze(self):
        name = self.first(self.cluster.is_stopped)
        if name:
            self.say(f'SIGCONT to the daemon of {name}')
            self.cluster.nodes[name].sigcont()
            return
        name = self.target()
        self.say(f'SIGSTOP to the daemon of {name}')
        self.cluster.nodes[name].sigstop()

    def cut(self):
        name = self.first(self.cluster.is_cut)
        if name:
            self.say(f'{name} can reach ZooKeeper again')
            self.cluster.heal(name)
            return
        name = self.target()
        self.say(f'cut {name} off from ZooKeeper')
        self.cluster.cut(name)

    # life

    def begin(self):
        """Draws a line while servers start, then starts the nodes. Returns False if the user had enough."""
        starter = threading.Thread(target=self._start_servers, name='servers', daemon=True)
        self.state = f'starting {len(self.cluster.ensemble.servers)} ZooKeeper server(s) ...'
        self.failure = None
        for server in self.cluster.ensemble.servers:
            server.start()  # from this thread: they end with the one that started them
        starter.start()
        while starter.is_alive():
            if not self.turn():
                return False
        if self.failure:
            raise self.failure
        self.cluster.make_nodes()
        self.observer = Observer(self.cluster, self.wake)
        self.meter = Meter(self.cluster.addresses, self.cluster.port)
        for node in self.cluster.nodes.values():
            node.start()
        self.state = 'running'
        return True

    def _start_servers(self):
        try:
            self.cluster.await_ensemble()
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error
        self.wake()

    def turn(self):
        """One frame, then keys and changes until the next. False: quit."""
        self.gather()
        self.terminal.draw(self.frame())
        end = time.monotonic() + FRAME_S
        while (left := end - time.monotonic()) > 0:
            readable, _, _ = select.select([sys.stdin, self.wake_read], [], [], left)
            if self.wake_read in readable:
                os.read(self.wake_read, 4096)
            if sys.stdin in readable:
                typed = os.read(sys.stdin.fileno(), 64).decode(errors='ignore')
                if not typed:
                    return False
                if not self.typed(typed):
                    return False
                break
        return True

    def run(self):
        if self.begin():
            while self.turn():
                pass

    def close(self):
        if self.meter:
            self.meter.stop()


def run_view(cluster):
    """Until the user quits; the exit code."""
    terminal = Terminal()
    view = View(cluster, terminal)
    signal.signal(signal.SIGWINCH, lambda *_: view.wake())
    try:
        terminal.enter()
        view.run()
        terminal.draw(view.frame())
        return 0
    finally:
        terminal.leave()
        view.close()
        faults = view.meter.faults if view.meter else []
        print('\n'.join(faults) or 'primaryd demo: ended; taking everything away')
