"""A client of the work: asks every node a hundred times a second or more, and measures for how long nobody answered."""

import bisect
import collections
import selectors
import socket
import threading
import time

# One question to every node this often. What is shorter than that cannot be seen from here.
PERIOD_S = 0.004

# A pause that is told: longer than what a busy machine does to two answers in a row. It is counted in questions that
# nobody answered, so that a client that stood still itself does not blame the work.
PAUSE_S = 0.030
UNANSWERED = PAUSE_S / PERIOD_S

# How long answers are kept for the view.
KEEP_S = 180

Answer = collections.namedtuple('Answer', 'time_s node epoch question')

# Nobody answered from begin_s to end_s (None: still). before and after: who did then.
Gap = collections.namedtuple('Gap', 'begin_s end_s before after')


def now_s():
    """CLOCK_BOOTTIME, the clock of the work's log and of the lease."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Meter(threading.Thread):
    """Runs until stop(). Reading is allowed from every thread."""

    def __init__(self, addresses, port):
        super().__init__(name='client', daemon=True)
        self.targets = [(address, port) for address in addresses.values()]
        self.names = set(addresses)
        self.lock = threading.Lock()
        self.answers = []  # of the last KEEP_S, by time
        self.gaps = []  # all that are over
        self.faults = []  # texts: two answers to one question, epochs that went back
        self.asked = self.answered = 0
        self.last = None
        self._running = True
        self.start()

    def stop(self):
        self._running = False
        self.join()

    def run(self):
        with selectors.DefaultSelector() as selector, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(('127.0.0.1', 0))
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ)
            due = time.monotonic()
            while self._running:
                wait = due - time.monotonic()
                if wait > 0:
                    if selector.select(wait):
                        self._receive(sock)
                    continue
                due = max(due + PERIOD_S, time.monotonic())
                self.asked += 1
                for target in self.targets:
                    try:
                        sock.sendto(b'%d' % self.asked, target)
                    except OSError:
                        pass  # the refusal of an earlier question

    def _receive(self, sock):
        while True:
            try:
                words = sock.recv(256).decode(errors='replace').split()
            except OSError:
                return
            if len(words) == 3 and words[1] in self.names:
                self._note(Answer(now_s(), words[1], int(words[2]) if words[2].isdigit() else 0, int(words[0])))

    def _note(self, answer):
        with self.lock:
            last, self.last = self.last, answer
            self.answered += 1
            self.answers.append(answer)
            if answer.time_s - self.answers[0].time_s > 2 * KEEP_S:
                del self.answers[:bisect.bisect(self.answers, (answer.time_s - KEEP_S,))]
            if last is None:
                return
            if last.node != answer.node or answer.question - last.question > UNANSWERED:
                self.gaps.append(Gap(last.time_s, answer.time_s, last.node, answer.node))
            if answer.question == last.question and answer.node != last.node:
                self.faults.append(f'{last.node} and {answer.node} answered the same question')
            if answer.epoch < last.epoch:
                self.faults.append(f'the epoch went back from {last.epoch} to {answer.epoch}')

    # what was seen

    def serving(self, within_s=0.2):
        """Names of the nodes that answered lately."""
        since = now_s() - within_s
        with self.lock:
            return sorted({answer.node for answer in self.answers[bisect.bisect(self.answers, (since,)):]})

    def silent_s(self):
        """For how long nobody has answered; 0 while somebody does, and before the first answer."""
        last = self.last
        return now_s() - last.time_s if last and self.asked - last.question > UNANSWERED else 0.0

    def gaps_since(self, time_s):
        """Gaps that ended after time_s."""
        with self.lock:
            return [gap for gap in self.gaps if gap.end_s > time_s]

    def columns(self, node, columns, column_s):
        """The last `columns` columns of time, each of column_s: did this node answer in it? Oldest first."""
        end = int(now_s() / column_s) + 1
        seen = [False] * columns
        with self.lock:
            first = bisect.bisect(self.answers, ((end - columns) * column_s,))
            for answer in self.answers[first:]:
                if answer.node == node:
                    index = int(answer.time_s / column_s) - (end - columns)
                    if 0 <= index < columns:
                        seen[index] = True
        return seen
