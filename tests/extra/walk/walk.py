"""The walk: one action after the other, what the witnesses saw of each, and the account at the end."""

import argparse
import collections
import logging
import os
import random
import re
import sys
import tempfile
import time

import actions
import machine
from address import Holders
from kazoo.exceptions import KazooException
from lab import netns
from lab.wait import Timeout, boottime_ns, wait_until
from site3 import ADDRESS, BRIEF_SESSION_S, Site
from witness import Witness, missing, touches

HEAL_S = 60.0
HEAL_ALONE_S = 20.0  # from one action

# How long the address or the work may be missing before that is told: GRACE of the address, and half a second. A host that is
# off cannot tell; the others do when its session is over, which a loaded machine may learn late.
BOUND_S = 1.5
BOUND_OFF_S = BRIEF_SESSION_S + 1.5

# What tells why the primary is without its work. So does every message of the floating address.
TELLING = ('guard_acts', 'guard_failed', 'handed_back', 'lease_lost', 'lease_running_out', 'post_lost', 'released',
           'relinquish_started', 'session_lost', 'shutdown', 'unit_failed', 'unit_stopped', 'work_killed', 'work_stop_late',
           'work_stop_waits')
TELLING_OF_OTHERS = ('vacancy', 'primary_changed')

Step = collections.namedtuple('Step', 'action number hold which during calm')


class Failure(Exception):
    pass


def plan(seed):
    """The actions, for ever."""
    dice = random.Random(seed)
    kinds = list(actions.ALL.values())
    weights = [one.weight for one in kinds]
    while True:
        yield Step(action=dice.choices(kinds, weights)[0], number=dice.random(), hold=round(dice.choice((0.1, 1, 3)) * dice.random(), 2),
                   which=dice.random(), during=dice.random() < 0.3, calm=dice.random() < 0.6)


class WalkSite(Site):
    """With a floating address of IPv6, too."""

    addresses = (*Site.addresses, f'{actions.SIX}/64')

    def _make_image(self):
        super()._make_image()
        self.image.write('/etc/primaryd/floating-ip/six.conf', f'ADDRESS={actions.SIX}/64\nINTERFACE=eth0\n')
        self.image.run('systemctl', 'enable', 'floating-ip@six.service')


class Walk:
    def __init__(self, options, directory):
        self.options = options
        self.site = WalkSite(directory, os.environ['PRIMARYD_DEB'])
        self.steps = plan(options.seed)
        self.done = collections.Counter()
        self.number = 0
        self.lasting = []  # actions
        self.busy = collections.Counter()  # machines, by the actions that last
        self.begin_ns = boottime_ns()
        self.holders, self.witness = [], None
        self.judged = {}  # absences, by machine, kind and begin: their ends when they were judged last
        self.unnoticed = []
        self.slowest_heal_s = 0.0

    def say(self, text):
        print(f'{(boottime_ns() - self.begin_ns) / 1e9:9.3f}  {text}', flush=True)

    # for the actions

    @staticmethod
    def last(seconds):
        time.sleep(seconds)  # the fault itself, not a wait for something

    def _free(self):
        return [one for one in self.site.machines if one.is_on()]

    def ctl(self, *arguments):
        """As an operator, somewhere; a host that is cut off is no reason to fail."""
        done = self._free()[0].run('timeout', '20', 'primaryctl', *arguments, check=False)
        if done.returncode != 0:
            self.say(f'      primaryctl {" ".join(arguments)}: {done.returncode} {done.stderr.strip()[:150]}')

    def systemctl(self, one, *arguments):
        done = one.run('timeout', '60', 'systemctl', *arguments, check=False)
        if done.returncode != 0:
            self.say(f'      systemctl {" ".join(arguments)}: {done.returncode}')

    def another(self, one):
        """One that is on, if there is."""
        found = [other for other in self._free() if other is not one]
        return found[self.number % len(found)] if found else one

    def switch(self, one=None, away_from=None):
        """Begins a switchover, and does not wait for it."""
        target = one or self.another(away_from)
        self._free()[-1].shell(f'timeout 20 primaryctl switchover {target.name} >/dev/null 2>&1 </dev/null &')

    def power_on(self, one):
        self.site.power_on(one)
        one.wait_booted()

    # the walk

    def _primary(self):
        try:
            name = self.site.acting()
        except KazooException:
            return None
        return next((one for one in self.site.machines if one.name == name), None)

    def _choose(self, step):
        """The machine that it is done to; None: there is none now."""
        primary = self._primary()
        if step.action in self.lasting:
            return None
        fit = [one for one in self._free() if not (step.action.whole and self.busy[one.name])]
        if step.action.to == 'primary' and primary in fit:
            return primary
        fit = [one for one in fit if one is not primary]
        return fit[int(step.which * len(fit))] if fit else None

    def _do(self, step):
        """One action, while it lasts perhaps others, and the end of it. Returns whether there was a machine for it."""
        one = self._choose(step)
        if not one:
            return False
        self.number += 1
        self.done[step.action.name] += 1
        self.say(f'{self.number:3}  {step.action.name}: {one.name}{" (primary)" if one is self._primary() else ""}, '
                 f'{step.number:.2f}, for {step.hold:.2f} s')
        self.busy[one.name] += 1
        self.lasting.append(step.action)
        try:
            with step.action.function(self, one, step.number):
                self.last(step.hold)
                if step.during and self.number < self.options.actions and not step.action.whole:
                    self._do(next(self.steps))
        finally:
            self.lasting.pop()
            self.busy[one.name] -= 1
        return True

    def _open(self):
        self.site.open()
        self.holders = [self.site.holders, Holders([one.host for one in self.site.machines], actions.SIX, self.site.directory)]
        self.site.settle(BRIEF_SESSION_S)
        self.witness = Witness(self.site, 'worker.service').start()
        self.calm()
        self.say('three hosts are up, and one is primary')

    def run(self):
        self._open()
        while self.number < self.options.actions:
            step = next(self.steps)
            begin_ns = boottime_ns()
            self._do(step)
            if step.calm:
                self.calm()
                self.say(f'     healed: {self._primary().name} is primary, not answered for '
                         f'{self.site.client.unreachable_ms(begin_ns):.0f} ms')
            self._demand()
        self.calm()
        self._demand()

    def _demand(self):
        self.judge()
        if self.two_holders():
            raise Failure(f'two holders: {self.two_holders()[0]}')
        if self.unnoticed:
            raise Failure(f'unnoticed: {self.unnoticed[0]}')

    def each(self):
        """Every action by itself, from a site that is in order: a table."""
        self._open()
        print(f'{"action":<72} {"role":<6} {"not answered":>12}  trouble')
        bad = [action.name for action in actions.ALL.values()
               if self._try(Step(action=action, number=self.options.each, hold=2.0, which=0, during=False, calm=True))]
        if bad:
            raise Failure(f'trouble with {len(bad)} actions: {"; ".join(bad)}')

    def _try(self, step):
        """One row of the table. Returns whether there was trouble."""
        begin_ns, trouble, primary = boottime_ns(), [], self._primary()
        twice, unnoticed = len(self.two_holders()), len(self.unnoticed)
        try:
            if not self._do(step):
                trouble.append('not done')
            self.calm(within_s=HEAL_ALONE_S)
        except (Timeout, OSError) as error:
            trouble.append(str(error).splitlines()[0][:100])
        self.judge()
        trouble += [f'TWO HOLDERS {text}' for text in self.two_holders()[twice:]]
        trouble += [f'UNNOTICED {text}' for text in self.unnoticed[unnoticed:]]
        lost_ms = self.site.client.unreachable_ms(begin_ns)
        print(f'{step.action.name:<72} {"stays" if self._primary() is primary else "moves":<6} {lost_ms:>9.0f} ms  '
              f'{"; ".join(trouble)}', flush=True)
        if trouble:
            self._begin_anew()
        return bool(trouble)

    def _begin_anew(self):
        """Whatever was left: hosts with fresh disks."""
        for one in filter(lambda one: one.is_on(), self.site.machines):
            self.site.cut_power(one)
        self.site.settle(BRIEF_SESSION_S)
        self.calm()

    # what is demanded

    def calm(self, within_s=HEAL_S):
        begin = time.monotonic()
        wait_until(lambda: not self.wrong() or self._do_as_told(), within_s, lambda: f'not healed: {self.wrong()}', 0.1)
        self.slowest_heal_s = max(self.slowest_heal_s, time.monotonic() - begin)

    def _do_as_told(self):
        """An action may have killed a unit's clean-up: only an operator can say that nothing is left of it."""
        for one in filter(lambda one: one.is_on(), self.site.machines):
            told = re.search(r'remove what it left behind, then run: (systemctl reset-failed \S+)', self.site.health(one) or '')
            if told:
                self.site.forget_addresses(one)
                one.run(*told[1].split(), check=False)

    def wrong(self):
        """What is not as it shall be when nothing is broken; ''."""
        try:
            return self._find_wrong()
        except KazooException as error:
            return repr(error)

    def _find_wrong(self):
        primary = self._primary()
        if not primary:
            return 'nobody is primary'
        for one in self.site.machines:
            wanted = 'primary' if one is primary else 'secondary'
            state = self.site.keys.get(f'/nodes/{one.name}/routerstate')[0].decode()
            if state != wanted or not self.site.keys.exists(f'/nodes/{one.name}/alive') or self.site.health(one) != 'ok':
                return f'{one.name} is {state}, {self.site.health(one)}'
            shown = one.addresses()
            if any((f' {address}/' in shown) != (one is primary) for address in (ADDRESS, actions.SIX)):
                return f'{one.name}, {state}, has {shown}'
            if (one.state('worker.service') == 'active') != (one is primary):
                return f'{one.name}, {state}, worker.service is {one.state("worker.service")}'
        now = boottime_ns()
        return '' if wait_answer(self.site, now) else 'the client is not answered'

    def two_holders(self):
        return [str(pair) for holders in self.holders for pair in holders.overlaps()] + (self.witness.twice if self.witness else [])

    def judge(self):
        if not self.witness.alive():
            raise Failure('the witness has ended')
        held = [(holders.address, holders.intervals()) for holders in self.holders]
        for one in self.site.machines:
            primary = list(self.witness.primary.of.get(one.name, []))
            present = [(address, [(begin, end) for name, begin, end in intervals if name == one.host.name])
                       for address, intervals in held] + [('worker.service', list(self.witness.work.of.get(one.name, [])))]
            for what, spans in present:
                for begin, end in missing(primary, spans, boottime_ns()):
                    self._judge_absence(one, what, begin, end)

    def _judge_absence(self, one, what, begin, end):
        took_s = (end - begin) / 1e9
        absence = one.name, what, begin
        # One that lasts is judged again once it has become longer: a longer one has another bound.
        if took_s < BOUND_S or self.judged.get(absence) == end:
            return
        self.judged[absence] = end
        off = touches((begin, end), self.witness.off.of.get(one.name, []))
        text = f'{what} missing on {one.name} for {took_s:.2f} s from {(begin - self.begin_ns) / 1e9:.3f}'
        hosts = [other for other in self._free() if other is not one] if off else [one]
        told = self._told(hosts, TELLING_OF_OTHERS if off else TELLING, begin, end)
        if not told or off and took_s > BOUND_OFF_S:
            self.unnoticed.append(text)
        self.say(f'     {text}: {", ".join(told) or "nobody tells"}')

    @staticmethod
    def _told(hosts, events, begin_ns, end_ns):
        """What they say around that time: these events, or anything of the floating address."""
        offset_us = time.time_ns() // 1000 - boottime_ns() // 1000
        first, last = begin_ns // 1000 + offset_us - 500_000, end_ns // 1000 + offset_us + 500_000
        entries = [entry for one in hosts for entry in one.journal(f'--since=@{first // 1_000_000}')
                   if first <= int(entry['__REALTIME_TIMESTAMP']) <= last]
        told = {entry.get('PRIMARYD_EVENT') for entry in entries} & set(events)
        return sorted(told | {'floating-ip' for entry in entries if entry.get('SYSLOG_IDENTIFIER') == 'floating-ip'})

    # the account

    def report(self):
        print(f'\n{"action":<72}{"times":>6}')
        for name, count in sorted(self.done.items(), key=lambda item: -item[1]):
            print(f'{name:<72}{count:>6}')
        print(f'{"all":<72}{sum(self.done.values()):>6}\n')
        moves = sum(len(spans) for spans in self.witness.primary.of.values()) if self.witness else 0
        print(f'became primary            {moves} times; healed within {self.slowest_heal_s:.1f} s')
        print(f'absences                  {len(self.judged)} above the bound; told of all but {len(self.unnoticed)}')
        print(f'{len(self.two_holders())} two holders and {len(self.unnoticed)} unnoticed absences')

    def close(self):
        if self.witness:
            self.witness.close()
        for holders in self.holders[1:]:
            holders.close()
        self.site.close()


def wait_answer(site, since_ns):
    try:
        return wait_until(lambda: site.client.answers(since_ns), 1, interval=0.02)
    except Timeout:
        return None


def main(text):
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--actions', type=int, default=200)
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1000000))
    parser.add_argument('--each', type=float, metavar='NUMBER', help='every action by itself; NUMBER, from 0 to 1, makes it this or that')
    options = parser.parse_args()
    logging.getLogger('kazoo').setLevel(logging.CRITICAL)  # that servers go away is what is done here
    reason = machine.available() or netns.available()
    if reason or not os.path.exists(os.environ.get('PRIMARYD_DEB', '')):
        parser.error(reason or 'needs PRIMARYD_DEB, the path of the package (tests/all walk builds it)')
    with tempfile.TemporaryDirectory(prefix='primaryd-walk-') as directory:
        return run(options, directory)


def run(options, directory):
    walk, error = Walk(options, directory), None
    if options.each is None:
        do, title, again = walk.run, f'seed {options.seed}, {options.actions} actions', f'--seed {options.seed} --actions {options.actions}'
    else:
        do, title, again = walk.each, 'every action', f'--each {options.each:g}'
    try:
        print(f'{title}, three hosts, session {BRIEF_SESSION_S} s', flush=True)
        do()
    except (Failure, OSError, AssertionError, KeyboardInterrupt) as failure:
        error = failure
        walk.say(f'FAILED: {failure!r}')
        for one in filter(lambda one: one.is_on() and one.leader, walk.site.machines):
            print(one.journal_tail(150))
    finally:
        walk.close()
    walk.report()
    if error:
        print(f'again: tests/extra/walk/run.py {again}')
    return 1 if error else 0


if __name__ == '__main__':
    sys.exit('run tests/extra/walk/run.py')
