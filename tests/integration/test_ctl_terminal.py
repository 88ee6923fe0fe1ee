"""primaryctl on a terminal: watch, progress, colours, Ctrl-C, resize, hang-up; its man page, --help and completion."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import termios

import pytest

from ctl_shell import DONE, REFUSED, Ctl, Terminal, built, environment
from lab import zk
from lab.node import TOP
from lab.steps import QUICK, others, settle

pytestmark = pytest.mark.skipif(not built(), reason='ctl/primaryctl is not built')

ENTER, LEAVE = '\x1b[?1049h', '\x1b[?1049l'


@pytest.fixture
def ctl(ensemble, root):
    return Ctl(ensemble.connect, root)


@pytest.fixture
def pair(cluster, keys, oracle):
    nodes = cluster(2, **QUICK)
    return nodes, settle(keys, oracle, nodes)


def test_watch(pair, keys, oracle, ctl):
    nodes, primary = pair
    target = others(nodes, primary)[0].name
    with ctl.terminal('watch') as terminal:
        terminal.wait(rf'primary +{primary}')
        assert ENTER in terminal.text
        assert not terminal.modes() & (termios.ICANON | termios.ECHO)
        mark = terminal.mark()
        ctl.run('switchover', target)
        terminal.wait(rf'primary +{target}', mark)
        terminal.wait(f'{target} is primary: its work runs', mark)
        terminal.resize(12, 40)
        mark = terminal.mark()
        terminal.wait('NODE', mark)
        # From the next picture on (one a second) they fit.
        mark = terminal.mark()
        terminal.wait('NODE', mark)
        assert max(len(line) for line in terminal.plain(mark).replace('\r', '').split('\n')) <= 40
        terminal.send('q')
        assert terminal.end() == DONE
        assert terminal.text.rstrip().endswith(LEAVE)
        assert terminal.modes() & termios.ICANON and terminal.modes() & termios.ECHO


@pytest.mark.parametrize('how', ['keys', 'signal'])
def test_watch_interrupted(pair, ctl, how):
    with ctl.terminal('watch') as terminal:
        terminal.wait('NODE')
        if how == 'keys':
            terminal.send('\x03')
        else:
            os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.end() == -(signal.SIGINT if how == 'keys' else signal.SIGTERM)
        assert LEAVE in terminal.text and terminal.modes() & termios.ICANON


def test_watch_suspended(pair, ctl):
    # By a shell with job control: it has its screen and its modes meanwhile, and gets the picture back with fg.
    nodes, primary = pair
    shell = ['bash', '--norc', '--noprofile', '-i']
    with Terminal(shell, 24, 100, environment(PS1='ready> ')) as terminal:
        terminal.wait('ready> ')
        terminal.send(shlex.join(ctl.argv('watch')) + '\n')
        terminal.wait(rf'primary +{primary}')
        mark = terminal.mark()
        terminal.send('\x1a')
        terminal.wait('Stopped', mark)
        assert LEAVE in terminal.text[mark:]
        mark = terminal.mark()
        terminal.send('fg\n')
        terminal.wait(rf'primary +{primary}', mark)
        assert ENTER in terminal.text[mark:]
        mark = terminal.mark()
        terminal.send('q')
        terminal.wait('ready> ', mark)
        terminal.send('exit $?\n')
        assert terminal.end() == DONE


def test_watch_suspended_without_a_shell(pair, ctl):
    # Nobody could wake it.
    with ctl.terminal('watch') as terminal:
        terminal.wait('NODE')
        mark = terminal.mark()
        terminal.send('\x1a')
        terminal.wait('NODE', mark)
        terminal.send('q')
        assert terminal.end() == DONE


def test_watch_hung_up(pair, ctl):
    with ctl.terminal('watch') as terminal:
        terminal.wait('NODE')
        terminal.hang_up()
        assert terminal.end() in (-signal.SIGHUP, REFUSED)


def test_watch_nodes_come_and_go(cluster, keys, oracle, ctl):
    with ctl.terminal('watch') as terminal:
        terminal.wait('no node has ever registered')
        nodes = cluster(2, **QUICK)
        primary = settle(keys, oracle, nodes)
        terminal.wait(rf'primary +{primary}')
        other = others(nodes, primary)[0]
        other.stop()
        mark = terminal.mark()
        terminal.wait(f'{other.name} is not alive any more|{other.name} +coordinator +stop')
        ctl.run('remove', other.name)
        terminal.wait(f'{other.name} was removed', mark)
        terminal.send('q')
        assert terminal.end() == DONE


def test_watch_connection_lost(pair, keys, ensemble, root):
    nodes, primary = pair
    links = zk.ClientLinks(ensemble)
    with Ctl(links.connect, root).terminal('watch') as terminal:
        terminal.wait(rf'primary +{primary}')
        links.set_mode('reset')
        terminal.wait('not connected')
        keys.set(f'nodes/{primary}/health', 'failed: seen later')
        mark = terminal.mark()
        links.set_mode('pass')
        terminal.wait('seen later', mark)
        keys.set(f'nodes/{primary}/health', 'ok')
        terminal.send('q')
        assert terminal.end() == DONE
    links.close()


def test_watch_without_terminal(pair, keys, ctl):
    nodes, primary = pair
    child = ctl.start('watch')
    lines = iter(child.stdout.readline, '')
    assert any('NODE' in line for line in lines)
    ctl.run('maintenance', 'on')
    assert any('maintenance is on' in line for line in lines)
    ctl.run('maintenance', 'off')
    child.send_signal(signal.SIGINT)
    rest = child.stdout.read()
    assert child.wait(10) == -signal.SIGINT and '\x1b' not in rest
    # Whoever read it is gone.
    child = ctl.start('watch')
    assert child.stdout.readline()
    child.stdout.close()
    ctl.run('maintenance', 'on')
    ctl.run('maintenance', 'off')
    assert child.wait(10) == REFUSED


def test_watch_json(pair, ctl):
    nodes, primary = pair
    text = ctl.run('watch', '--json', '--timeout', '1s').stdout
    first, _ = json.JSONDecoder().raw_decode(text)
    assert first['cluster']['primary'] == primary


def test_progress_and_interrupt(cluster, keys, oracle, ctl):
    nodes = cluster(2, **{**QUICK, 'election.transition-delay': '1s'})
    primary = settle(keys, oracle, nodes)
    target = others(nodes, primary)[0].name
    with ctl.terminal('switchover', target) as terminal:
        # Each step as it happens: the first is seen before the work has stopped.
        terminal.wait(f'{target} is named primary')
        assert oracle.working() == [primary]
        terminal.send('\x03')
        assert terminal.end() == -signal.SIGINT
        assert 'goes on by itself' in terminal.plain()
    settle(keys, oracle, nodes, primary=target)


def test_progress_terminal_closed(cluster, keys, oracle, ctl):
    nodes = cluster(2, **{**QUICK, 'election.transition-delay': '1s'})
    primary = settle(keys, oracle, nodes)
    target = others(nodes, primary)[0].name
    with ctl.terminal('switchover', target) as terminal:
        terminal.wait(f'{target} is named primary')
        terminal.hang_up()
        terminal.end()
    settle(keys, oracle, nodes, primary=target)


def test_colours(pair, ctl):
    with ctl.terminal('status') as terminal:
        assert terminal.end() == DONE
        assert '\x1b[3' in terminal.text
    with ctl.terminal('status', NO_COLOR='1') as terminal:
        assert terminal.end() == DONE
        assert '\x1b' not in terminal.text
    with ctl.terminal('status', '--json') as terminal:
        assert terminal.end() == DONE
        assert '\x1b' not in terminal.text


def test_narrow_terminal(pair, ctl):
    for columns in (10, 40, 200):
        with ctl.terminal('status', columns=columns) as terminal:
            assert terminal.end() == DONE


# the texts

def man_page():
    with open(os.path.join(TOP, 'man', 'primaryctl.1.scd'), encoding='utf-8') as file:
        return file.read()


def test_help_agrees_with_the_man_page():
    text, page = Ctl().run('--help').stdout, man_page().replace('\\', '')
    commands = re.findall(r'^  ([a-z]+) {2,}', text, re.M)
    assert len(commands) == 16
    for command in commands:
        assert re.search(rf'^\*{command}\*', page, re.M), f'{command} is not in the man page'
        assert re.search(rf'primaryctl .*\b{command}\b', page), f'no example of {command} in the man page'
    for command in re.findall(r'^  key ([a-z]+)', text, re.M):
        assert f'*key {command}*' in page and re.search(rf'primaryctl key {command}', page)
    for option in set(re.findall(r'--[a-z-]+', text)):
        assert f'*{option}*' in page, f'{option} is not in the man page'
    for option in set(re.findall(r'\*(--[a-z-]+)\*', page)):
        assert option in text or option in ('--config',), f'{option} is not in --help'


@pytest.mark.skipif(not shutil.which('scdoc'), reason='needs scdoc')
def test_man_page_compiles():
    subprocess.run(['scdoc'], input=man_page(), stdout=subprocess.DEVNULL, text=True, check=True)


def complete(ctl, *words):
    """What bash would offer after these words; the last one is being typed."""
    script = f'''
source {TOP}/ctl/completion/primaryctl
primaryctl() {{ {' '.join(ctl.argv())} "$@"; }}
COMP_WORDS=(primaryctl {' '.join(f"'{word}'" for word in words)})
COMP_CWORD={len(words)}
_primaryctl
printf '%s\\n' "${{COMPREPLY[@]}}"
'''
    done = subprocess.run(['bash', '-c', script], capture_output=True, text=True, check=True, timeout=60)
    assert not done.stderr, done.stderr
    return done.stdout.split()


def test_completion(pair, ctl):
    commands = complete(ctl, '')
    assert set(re.findall(r'^  ([a-z]+) {2,}', Ctl().run('--help').stdout, re.M)) <= set(commands)
    assert complete(ctl, 'sw') == ['switchover']
    assert complete(ctl, 'switchover', '') == ['n1', 'n2']
    assert complete(ctl, 'explain', 'n2') == ['n2']
    assert complete(ctl, 'maintenance', 'o') == ['on', 'off']
    assert complete(ctl, 'key', 'r') == ['rename']
    assert '/nodes' in complete(ctl, 'key', 'get', '/n')
    assert '/nodes/n1/alive' in complete(ctl, 'key', 'get', '/nodes/n1/al')
    assert complete(ctl, 'lock', 'ex') == ['exclusive']
    assert '--json' in complete(ctl, '--')
    options = set(re.findall(r'--[a-z-]+', Ctl().run('--help').stdout))
    assert options <= set(complete(ctl, '--'))
