"""Who held the floating address when: as a client sees it, and as each host's kernel tells."""

import bisect
import os
import re
import subprocess
import sys
import time

from lab import process

POLL = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'poll.py')


class Client:
    """A host that asks for the address each millisecond. Times are in ms, since the start."""

    def __init__(self, host, address, directory):
        path = os.path.join(directory, 'answers')
        argv = host.wrap([sys.executable, POLL, address, path])
        self.file = open(path, 'w+', encoding='ascii')
        self.rest = ''  # of a line that is not whole yet
        self._questions = []  # when
        self._answers = []  # (asked, answered, mac), in the order of the answers
        self.child = subprocess.Popen(['setpriv', '--pdeathsig', 'KILL', '--', *argv], stdin=subprocess.PIPE)

    def _look(self):
        """Takes in what was written since the last look."""
        *lines, self.rest = (self.rest + self.file.read()).split('\n')
        for line in lines:
            fields = line.split()
            if len(fields) == 3:
                self._answers.append((int(fields[0]), int(fields[1]), fields[2]))
            else:
                self._questions.append(int(fields[0]))

    def answers(self, since_ns=0):
        """(asked, answered, mac), in the order of the questions."""
        self._look()
        first = bisect.bisect_left(self._answers, since_ns, key=lambda one: one[1])
        return sorted(one for one in self._answers[first:] if one[0] >= since_ns)

    def unreachable_ms(self, since_ns):
        """The longest time from a question that was not answered to the next one that was. A client that had no
        processor to ask with counts for nothing."""
        answered = {answer[0] for answer in self.answers(since_ns)}
        longest = first = 0
        for asked in self.questions(since_ns):
            if asked in answered:
                longest = max(longest, asked - first if first else 0)
                first = 0
            elif not first:
                first = asked
        return longest / 1e6

    def questions(self, since_ns):
        self._look()
        return self._questions[bisect.bisect_left(self._questions, since_ns):]

    def close(self):
        self.child.stdin.close()
        self.child.wait(5)
        self.file.close()


class Holders:
    """Watches the address on every host; `intervals` are (host, begin, end) in ns, end None while it lasts."""

    def __init__(self, hosts, address, directory):
        self.address = address
        self.watches = {}
        for host in hosts:
            path = os.path.join(directory, f'addresses-{host.name}-{address}')
            with open(path, 'wb') as out:
                child = process.spawn(host.wrap(['stdbuf', '-oL', 'ip', '-o', '-ts', '-6' if ':' in address else '-4', 'monitor', 'address']),
                                      stdout=out)
            self.watches[host.name] = (path, child)
        # Wall clock of the time stamps to CLOCK_BOOTTIME.
        self.offset_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.time_ns()

    def intervals(self):
        found = []
        for name, (path, _) in self.watches.items():
            begin = None
            with open(path, encoding='ascii', errors='replace') as file:
                for line in file:
                    if f' {self.address}/' not in line:
                        continue
                    moment = self._moment(line)
                    if 'Deleted' in line:
                        if begin is not None:
                            found.append((name, begin, moment))
                        begin = None
                    elif begin is None:
                        begin = moment
            if begin is not None:
                found.append((name, begin, None))
        return sorted(found, key=lambda one: one[1])

    def _moment(self, line):
        match = re.match(r'\[(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d+)\]', line)
        seconds = time.mktime(time.strptime(match[1], '%Y-%m-%dT%H:%M:%S'))
        return int(seconds) * 1_000_000_000 + int(match[2].ljust(9, '0')) + self.offset_ns

    def overlaps(self):
        """Pairs of intervals on two hosts that were on at the same time: there must be none."""
        found = []
        last = None
        for one in self.intervals():
            if last and last[0] != one[0] and (last[2] is None or last[2] > one[1]):
                found.append((last, one))
            if last is None or one[2] is None or (last[2] is not None and one[2] > last[2]):
                last = one
        return found

    def close(self):
        for _, child in self.watches.values():
            process.kill(child)
