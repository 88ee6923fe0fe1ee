"""primaryctl is-primary: never yes once a stop has begun, whoever begins it; never no while the work goes on."""

import json
import os
import shutil
import threading

import pytest

from ctl_shell import Ctl, REFUSED, UNREACHABLE, USAGE
from lab import work
from lab.node import program
from lab.trial import SESSION_S, oracle, trial  # noqa: F401 (fixtures)
from lab.wait import wait_until

YES, NO, NOT_KNOWN = 0, REFUSED, UNREACHABLE


class Asked:
    """A node's primaryctl, and the answers that its commands of takeover and relinquish got from it."""

    def __init__(self, node):
        self.node = node
        self.ctl = Ctl(None, None, '--config', node.config_path)
        self.path = os.path.join(node.directory, 'asked')
        ask = f'{program("ctl/primaryctl")} --config {node.config_path} is-primary; echo $PRIMARYD_EVENT $? >>{self.path}'
        for event in ('takeover', 'relinquish'):
            work.behave(node, event, ask)

    def __call__(self, *options):
        return self.ctl.run('is-primary', *options, code=None).returncode

    def by_commands(self):
        """{'takeover 1', ...}: what they were told since the last call."""
        try:
            with open(self.path, encoding='ascii') as file:
                answers = set(file.read().splitlines())
        except FileNotFoundError:
            return set()
        os.unlink(self.path)
        return answers

    def always(self, answer, action):
        """Whoever asks while action() runs is told the same."""
        answers, over = set(), threading.Event()

        def ask():
            while not over.is_set():
                answers.add(self())
        thread = threading.Thread(target=ask)
        thread.start()
        try:
            action()
        finally:
            over.set()
            thread.join()
        assert answers == {answer}, f'{answers}\n{self.node.log_tail()}'


@pytest.fixture
def two(trial, tmp_path):
    """Two nodes whose commands ask; returns (primary, secondary), both Asked. They share the directories of status page and
    memory, and their runtime directories have the same last part: no two instances of a host share a file."""
    asked = {}
    (tmp_path / 'state').mkdir(mode=0o700)
    for node in trial.add(2):
        node.write_config(**{f'node.{kind}-directory': str(tmp_path / kind) for kind in ('status', 'state')})
        asked[node.name] = Asked(node)
    assert {one() for one in asked.values()} == {NOT_KNOWN}, 'no daemon was here yet'
    for node in trial.nodes:
        node.start()
    primary, (secondary,) = trial.settle()
    return asked[primary.name], asked[secondary.name]


def test_who_is(trial, two):
    primary, secondary = two
    assert (primary(), secondary()) == (YES, NO)
    assert primary.by_commands() == {'relinquish 1', 'takeover 1'}, 'of the cold start; and while the work starts'
    assert primary('--min-left', '1ms') == YES
    assert primary('--min-left', '5s') == NO, 'the lease is shorter'
    answer = json.loads(primary.ctl.run('--json', 'is-primary').stdout)['is_primary']
    assert answer['primary'] and answer['node'] == primary.node.name
    assert answer['epoch'] == trial.keys.acting().epoch and 0 < answer['left_us'] < SESSION_S * 1e6
    assert not json.loads(secondary.ctl.run('--json', 'is-primary', code=NO).stdout)['is_primary']['primary']
    page = primary.node.page
    assert os.stat(page).st_mode & 0o777 == 0o644 and os.stat(os.path.dirname(page)).st_mode & 0o777 == 0o755
    assert not primary.ctl.run('is-primary').stdout, 'jobs are not disturbed by words'
    # Of another node by the keys; which --min-left cannot be asked of.
    assert secondary(primary.node.name) == YES and primary(secondary.node.name) == NO
    assert primary('nobody-here') == NO
    assert primary(primary.node.name, '--min-left', '1s') == USAGE
    # Waits: for the switchover that is asked for meanwhile; no longer than it shall.
    assert secondary('--wait=60ms') == NO
    waiting = secondary.ctl.start('is-primary', '--wait')
    elsewhere = primary.ctl.start('is-primary', '--wait', secondary.node.name)
    trial.keys.set('primary_node', secondary.node.name)
    assert waiting.wait(10) == YES and elsewhere.wait(10) == YES
    assert (primary(), secondary()) == (NO, YES)
    assert primary.by_commands() == {'relinquish 1'}
    # After an orderly end: no.
    secondary.node.stop()
    assert secondary() == NO and secondary.by_commands() >= {'relinquish 1'}
    trial.settle(primary=primary.node.name)


def test_goes_on(trial, two):
    """Reloads, and a crash after which the daemon comes back: the work is not touched, and the answer is yes throughout."""
    primary, _ = two
    lives = trial.lives()

    def again():
        for resume in (primary.node.reload, lambda: (primary.node.kill9(), primary.node.start())) * 2:
            mark = primary.node.log_mark()
            resume()
            primary.node.wait_log('still primary', since=mark)
    primary.always(YES, again)
    trial.untouched(primary.node, lives)


@pytest.mark.parametrize('fault', ['kill9', 'sigstop', 'silent'])
def test_stopped_by_the_guard(trial, two, fault):
    """Dead, frozen, cut off: the answer becomes no by the clock, before daemon or guard begin to stop the work."""
    primary, secondary = two
    primary.by_commands()
    at_ns = trial.now()
    if fault == 'silent':
        primary.node.links.set_mode('silent')
    else:
        getattr(primary.node, fault)()
    assert primary() == YES, 'the lease goes on'
    wait_until(lambda: primary() == NO, SESSION_S, 'the clock decides')
    trial.wait_down(primary.node)
    answers = primary.by_commands()
    # On a machine with much to do it may have been killed before it could ask.
    killed = 'the relinquish command takes too long: killed' in primary.node.log_text()
    assert primary() == NO and (answers == {'relinquish 1'} or killed and not answers), primary.node.log_tail()
    trial.fail_over(primary.node, at_ns)
    wait_until(lambda: secondary() == YES, 5, secondary.node.log_tail)
    assert primary() == NO
    if fault == 'sigstop':
        primary.node.sigcont()
    elif fault == 'silent':
        primary.node.links.set_mode('pass')
    else:
        primary.node.start()
    trial.settle(primary=secondary.node.name)
    assert (primary(), secondary()) == (NO, YES)


def test_page_of_others(two):
    """A page that is cut, foreign, or cannot be made: not known, in one line; the daemon goes on, and mends it at the next
    start."""
    primary, _ = two
    page = primary.node.page
    with open(page, 'rb') as file:
        good = file.read()
    for bad in (b'', b'#!/bin/sh\n' * 500, good[:100], b'x' + good[1:]):
        with open(page, 'r+b') as file:
            file.truncate(0)
            file.write(bad)
        said = primary.ctl.run('is-primary', code=NOT_KNOWN).stderr
        assert said.count('\n') == 1 and 'not a status page of this version' in said
        mark = primary.node.log_mark()
        primary.node.reload()
        primary.node.wait_log('still primary', since=mark)
        wait_until(lambda: primary() == YES, 5, primary.node.log_tail)
    directory = os.path.dirname(page)
    shutil.rmtree(directory)
    with open(directory, 'wb'):
        pass
    mark = primary.node.log_mark()
    primary.node.reload()
    primary.node.wait_log('config_warning: no status page', since=mark)
    primary.node.wait_log('still primary', since=mark)
    assert primary() == NOT_KNOWN
