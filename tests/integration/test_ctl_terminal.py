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

from ctl_shell import DONE, REFUSED, USAGE, Ctl, Terminal, built, environment
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
        terminal.wait(f'{other.name} is no longer alive|{other.name} +coordinator +stop')
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


def test_watch_of_two_thousand_nodes_survives_a_reconnect(ensemble, root, zk_client):
    # The watches of so many nodes, sent again in one request, would be more than a server reads.
    names = [f'{"x" * 59}-{number:04}' for number in range(2000)]
    zk_client.ensure_path(f'{root}/nodes')
    for first in range(0, len(names), 500):
        batch = zk_client.transaction()
        for name in names[first:first + 500]:
            batch.create(f'{root}/nodes/{name}')
        batch.commit()
    links = zk.ClientLinks(ensemble)
    with Ctl(links.connect, root).terminal('watch', columns=160) as terminal:
        terminal.wait('no node is named')
        links.set_mode('reset')
        links.set_mode('pass')
        mark = terminal.mark()
        zk_client.create(f'{root}/primary_node', names[-1].encode())
        terminal.wait(f'{names[-1]} is named', mark)
        mark = terminal.mark()
        zk_client.create(f'{root}/nodes/{names[0]}/drain')
        terminal.wait(f'{names[0]} +no +yes', mark)
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


def test_watch_without_terminal_connection_lost(pair, keys, ensemble, root):
    # Between two looks at a silent pipe: is nothing going on, or can nothing be seen?
    nodes, primary = pair
    links = zk.ClientLinks(ensemble)
    ctl = Ctl(links.connect, root)
    lines, status = (ctl.start('--timeout', '60s', *more, 'watch') for more in ([], ['--json']))
    assert any('NODE' in line for line in iter(lines.stdout.readline, ''))
    assert any(re.search('"connected": *true', line) for line in iter(status.stdout.readline, ''))
    links.set_mode('reset')
    assert any('not connected' in line for line in iter(lines.stdout.readline, ''))
    assert any(re.search('"connected": *false', line) for line in iter(status.stdout.readline, ''))
    keys.set(f'nodes/{primary}/health', 'failed: seen later')
    links.set_mode('pass')
    assert any('connected again' in line for line in iter(lines.stdout.readline, ''))
    assert any('seen later' in line for line in iter(lines.stdout.readline, ''))
    assert any(re.search('"connected": *true', line) for line in iter(status.stdout.readline, ''))
    assert any('seen later' in line for line in iter(status.stdout.readline, ''))
    keys.set(f'nodes/{primary}/health', 'ok')
    for child in (lines, status):
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == -signal.SIGINT
        child.stdout.close()
    links.close()


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
        assert 'continues by itself' in terminal.plain()
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


def test_narrow_terminal(pair, keys, ctl):
    # What is too long goes on in the next line, at a blank: the remedy stands at the end of a message.
    nodes, primary = pair
    for columns in (10, 40, 200):
        with ctl.terminal('status', columns=columns) as terminal:
            assert terminal.end() == DONE
    words = [f'word{number}' for number in range(30)]
    keys.set(f'nodes/{primary}/health', 'failed: ' + ' '.join(words)[:120])
    for verb, ending in (('status', ''), ('watch', 'q')):
        with ctl.terminal(verb, columns=100) as terminal:
            terminal.wait(r'word16\b[\s\S]*word16\b')
            terminal.send(ending)
            terminal.end()
            shown = terminal.plain().replace('\r', '')
            assert max(map(len, shown.split('\n'))) <= 100
            assert all(re.search(rf'\b{word}\b', shown) for word in words[:16]), shown
    keys.set(f'nodes/{primary}/health', 'ok')


# the texts

def man_page():
    with open(os.path.join(TOP, 'man', 'primaryctl.1.scd'), encoding='utf-8') as file:
        return file.read()


def commands_of_help():
    """The names of the commands: what stands before their arguments, in lower case."""
    lines = Ctl().run('--help').stdout.split('Commands:\n')[1].split('\n\n')[0].splitlines()
    return [re.match(r'  ([a-z-]+(?: [a-z]+)?)(?= [A-Z[]| [a-z]+[|]|  )', line)[1] for line in lines]


def test_help_agrees_with_the_man_page():
    text, page, commands = Ctl().run('--help').stdout, man_page().replace('\\', ''), commands_of_help()
    assert {'status', 'cluster accept', 'key set', 'lock', 'maintenance'} < set(commands)
    for command in commands:
        first, *second = command.split()
        assert re.search(rf'^\*{first}\*' + ''.join(f'.*[*]{word}[*]' for word in second), page, re.M) or \
            f'*{command}*' in page, f'{command} is not in the man page'
        assert re.search(rf'primaryctl .*\b{command}\b', page), f'no example of {command} in the man page'
        told = Ctl().run('help', *command.split()).stdout
        assert told.startswith(f'usage: primaryctl {command}') and told == Ctl().run(*command.split(), '--help').stdout
        for option in re.findall(r'^  (--[a-z-]+)', told.split('\n\nusage')[0], re.M):
            assert re.search(rf'  {option} .*[(,] ?{command}[,)]', text)
    for option in set(re.findall(r'--[a-z-]+', text)):
        assert f'*{option}*' in page, f'{option} is not in the man page'
    assert set(re.findall(r'\*(--[a-z-]+)\*', page)) <= set(re.findall(r'--[a-z-]+', text))


@pytest.mark.parametrize('typed, meant', [('stauts', 'status'), ('switch', 'switchover'), ('key lst', 'key list'),
                                          ('auth', 'auth rotate'), ('status --jsn', '--json'), ('xxxxxx', '--help')])
def test_typo(typed, meant):
    for as_json in False, True:
        done = Ctl().run(*(['--json'] if as_json else []), *typed.split(), code=USAGE)
        text = json.loads(done.stderr)['error'] if as_json else done.stderr
        assert meant in text and text.startswith('primaryctl: ') != as_json and not done.stdout


@pytest.mark.skipif(not shutil.which('scdoc'), reason='needs scdoc')
def test_man_page_compiles():
    subprocess.run(['scdoc'], input=man_page(), stdout=subprocess.DEVNULL, text=True, check=True)


def complete(ctl, shell, *words):
    """What the shell would offer after these words; the last one is being typed."""
    line = ' '.join(('primaryctl', *words))
    completion = f'{TOP}/ctl/completion'
    scripts = {
        'bash': f'source {completion}/primaryctl; COMP_LINE="{line}"; COMP_POINT={len(line)}; _primaryctl; '
                'printf "%s\\n" "${COMPREPLY[@]}"',
        'fish': f'source {completion}/primaryctl.fish; complete -C "{line}" | cut -f 1',
        'zsh': f'words=({shlex.join(("primaryctl", *words))}); CURRENT=$#words; _files() {{ }}; '
               f'_describe() {{ print -lr -- "${{${{(P)2}}[@]%%:*}}" }}; source {completion}/_primaryctl',
    }
    program, *options = ctl.argv()
    call = 'function primaryctl; %s $argv[2..]; end' if shell == 'fish' else 'primaryctl() { %s "${@:2}"; }'
    done = subprocess.run([shell, '-c', call % ' '.join((program, '--complete', *options)) + '\n' + scripts[shell]],
                          capture_output=True, text=True, check=True, timeout=60)
    assert not done.stderr, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize('shell', ['bash', 'zsh', 'fish'])
def test_completion(pair, ensemble, ctl, shell):
    if not shutil.which(shell):
        pytest.skip(f'needs {shell}')
    assert {command.split()[0] for command in commands_of_help()} == set(complete(ctl, shell, ''))
    for words, offered in ((['sw'], ['switchover']), (['switchover', ''], ['n1', 'n2']), (['explain', 'n2'], ['n2']),
                           (['maintenance', 'o'], ['on', 'off']), (['key', 'r'], ['rename']), (['lock', 'ex'], ['exclusive']),
                           (['key', 'list', '--r'], ['--root', '--recursive']), (['cluster', 'a'], ['accept']),
                           (['--servers', ensemble.connect, 'key', 'get', '/nodes/n1/al'], ['/nodes/n1/alive']),
                           (['key', 'delete', '/x', '/nod'], ['/nodes'])):
        assert sorted(complete(ctl, shell, *words)) == sorted(offered), words
    assert set(re.findall(r'--[a-z-]+', Ctl().run('--help').stdout)) <= set(complete(ctl, shell, '--'))
