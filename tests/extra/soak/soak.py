"""The soak: rounds of faults, a calm after each, and the account at the end."""

import argparse
import collections
import heapq
import logging
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time

import cluster
import schedule
from faults import Faults
from lab import work
from lab.node import is_built
from lab.oracle import read_events
from lab.wait import Timeout, boottime_ns, wait_until

HEAL_S = 70.0  # from the last repair to one primary and the others at rest: servers elect, the longest lease is waited for
TAIL_LINES = 60


class Failure(Exception):
    pass


class Soak:
    def __init__(self, options, directory):
        self.options = options
        self.cluster = cluster.Cluster(directory, options.nodes, options.session)
        self.faults = Faults(self.cluster, self.later)
        self.agenda = []  # (when, number, function)
        self.number = 0
        self.survived = collections.Counter()
        self.failures = []
        self.calms = []  # ns, in which nothing was broken
        self.begin_ns = boottime_ns()
        self.rounds = 0

    # time

    def later(self, seconds, function):
        self.number += 1
        heapq.heappush(self.agenda, (time.monotonic() + seconds, self.number, function))

    def say(self, text):
        print(f'{(boottime_ns() - self.begin_ns) / 1e9:9.3f}  {text}', flush=True)

    def run_until(self, until):
        """What is due, until then."""
        while time.monotonic() < until:
            self.watch()
            if self.agenda and self.agenda[0][0] <= time.monotonic():
                heapq.heappop(self.agenda)[2]()
                continue
            due = self.agenda[0][0] if self.agenda else until
            time.sleep(max(0.0, min(0.02, due - time.monotonic(), until - time.monotonic())))

    def watch(self):
        for member in self.cluster.members:
            if not member.running() and not member.expected_end:
                code = member.child.returncode
                member.expected_end = True
                raise Failure(f'{member.name} ended by itself, with {code}')

    # rounds

    def round(self, number):
        planned = schedule.plan_round(self.options.seed, number, self.options.nodes, self.options.session)
        self.say(f'-- round {number} of seed {self.options.seed}: {len(planned)} faults')
        done = collections.Counter()
        self.faults.busy_servers.clear()
        start = time.monotonic()
        for fault in planned:
            self.later(fault.at, lambda fault=fault: self.apply(fault, done))
        self.run_until(start + schedule.ROUND_S)
        self.agenda.clear()
        self.faults.operator.drain()
        self.judge()
        self.calm()
        self.judge()
        self.survived.update(done)
        self.rounds += 1

    def apply(self, fault, done):
        text = self.faults.apply(fault)
        if text is not None:
            done[fault.kind] += 1
            self.say(f'   {text}')
        for text in self.faults.operator.said():
            self.say(f'   {text}')

    def calm(self):
        self.cluster.heal()
        begin_ns = boottime_ns()
        names = {member.name for member in self.cluster.members}
        keys = self.cluster.keys

        def healed():
            self.watch()
            for member in self.cluster.members:
                if not member.running():
                    member.start()  # it was on its way out when all else was repaired
            working = self.cluster.working()
            if len(working) != 1 or keys.primary() != working[0]:
                return False
            states = keys.states()
            return all(states.get(name) == 'secondary' for name in names - set(working)) and \
                all(keys.get(f'nodes/{name}/alive') is not None for name in names)
        try:
            wait_until(healed, HEAL_S, lambda: f'{keys.summary()} at work: {self.cluster.working()}', 0.05)
        except Timeout as error:
            raise Failure(f'not healed {error}') from None
        took_s = (boottime_ns() - begin_ns) / 1e9
        self.calms.append((begin_ns, boottime_ns()))
        self.say(f'   healed after {took_s:.2f} s: {keys.primary()}')

    def judge(self):
        lives = work.read_work(self.cluster.event_log)
        for pair in work.overlaps(lives):
            raise Failure('two at work:\n  %s\n  %s' % pair)
        for pair in work.epochs_back(lives):
            raise Failure('epoch went back:\n  %s\n  %s' % pair)
        for member in self.cluster.members:
            if member.complaints():
                raise Failure(f'{member.name}: {member.complaints()[0]}')

    def run(self):
        for name in ('daemon/primaryd', 'daemon/primaryd-guard', 'tests/integration/stamp', 'tests/integration/worker'):
            if not is_built(name):
                raise Failure(f'{name} is not built')
        self.cluster.start()
        self.calm()
        end = time.monotonic() + self.options.minutes * 60
        number = self.options.round
        while time.monotonic() < end:
            self.round(number)
            number += 1
        self.stop()

    def stop(self):
        bad = self.cluster.stop_all()
        if bad:
            raise Failure(f'exit codes at the end: {bad}')
        wait_until(lambda: not self.cluster.leftovers(), 10, lambda: f'left over: {self.cluster.leftovers()}')
        wait_until(lambda: not self.cluster.keys.ephemerals(), 10, lambda: f'left: {self.cluster.keys.ephemerals()}')
        self.judge()

    # the account

    def report(self):
        lives = work.read_work(self.cluster.event_log)
        gaps_ms = [(end - begin) / 1e6 for begin, end in work.gaps(lives)]
        print(f'\n{"fault":<32}{"survived":>9}')
        for kind, count in sorted(self.survived.items(), key=lambda item: -item[1]):
            print(f'{kind:<32}{count:>9}')
        print(f'{"all":<32}{sum(self.survived.values()):>9}\n')
        print(f'rounds                    {self.rounds} of {schedule.ROUND_S:.0f} s, each healed within {HEAL_S:.0f} s')
        print(f'elections                 {len({life.epoch for life in lives})} epochs, the work started {len(lives)} times')
        if gaps_ms:
            print(f'nobody at work            {len(gaps_ms)} times, median {statistics.median(gaps_ms):.0f} ms, '
                  f'worst {max(gaps_ms):.0f} ms (faults that last, commands that fail and maintenance included)')
        print(f'overlaps                  {len(work.overlaps(lives))}')

    def show_failure(self):
        """The last of what everybody said."""
        events = read_events_text(self.cluster.event_log)
        print('--- events\n' + events)
        for member in self.cluster.members:
            print(member.log_tail(TAIL_LINES))


def read_events_text(path):
    events = read_events(path)[-TAIL_LINES:]
    return '\n'.join(f'{e.time_ns / 1e9:.6f} {e.node} {e.event} {e.phase} epoch={e.epoch} reason={e.reason} pid={e.pid}'
                     for e in events)


def keep(directory, destination):
    shutil.copytree(directory, destination, dirs_exist_ok=True, ignore=shutil.ignore_patterns('data', 'run'),
                    symlinks=True)
    print(f'kept: {destination}')


def duration(text):
    for unit, factor in (('ms', 0.001), ('s', 1.0), ('min', 60.0)):
        if text.endswith(unit) and text[:-len(unit)].isdigit():
            return int(text[:-len(unit)]) * factor
    raise argparse.ArgumentTypeError(f'{text}: a number with ms, s or min')


def on_signal(number, _frame):
    raise KeyboardInterrupt(f'signal {number}')


def main(text):
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=2.0, help='of faults; the round that is on is finished')
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1000000))
    parser.add_argument('--nodes', type=int, default=5)
    parser.add_argument('--session', type=duration, default=4.0, help='session timeout (default 4s)')
    parser.add_argument('--round', type=int, default=1, help='the number of the first round')
    parser.add_argument('--keep', metavar='DIRECTORY', help='copy configurations and logs there at the end')
    options = parser.parse_args()
    logging.getLogger('kazoo').setLevel(logging.CRITICAL)  # that servers go away is what is done here
    if options.nodes < 2 or options.session < 1:
        parser.error('at least two nodes and a session of 1s')
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    with tempfile.TemporaryDirectory(prefix='primaryd-soak-') as directory:
        return account(Soak(options, directory))


def account(soak):
    """Runs it and prints what came of it; the exit code."""
    options = soak.options
    error = None
    try:
        print(f'seed {options.seed}, {options.nodes} nodes, session {options.session:g} s', flush=True)
        soak.run()
    except (Failure, Timeout) as failure:
        error = failure
        soak.say(f'FAILED: {failure}')
        soak.show_failure()
    except KeyboardInterrupt:
        error = 'interrupted'
    finally:
        soak.faults.operator.close()
        if options.keep:
            keep(soak.cluster.directory, options.keep)
        soak.report()
        soak.cluster.close()
    if error:
        print(f'again: tests/extra/soak/run.py --seed {options.seed} --round {options.round + soak.rounds} --nodes {options.nodes} '
              f'--session {int(options.session * 1000)}ms')
    print(f'{soak.rounds} passed, {1 if error else 0} failed')
    return 1 if error else 0


if __name__ == '__main__':
    sys.exit('run tests/extra/soak/run.py')
