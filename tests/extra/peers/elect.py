#!/usr/bin/python3
"""An agent over kazoo's Election, see kazoo_peer.py.

    elect.py SERVERS PATH NAME TIMEOUT_S WORK_LOG -|COMMAND...

`-`: the work is a thread of this process. SIGUSR1: gives the leadership back. SIGTERM: stops.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import KazooException

BEAT_S = 0.002


class Inside:
    """The work, on a thread: the lines of beat.c."""

    def __init__(self, log, name):
        self.fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        self.name = name
        self.lives = 0

    def start(self):
        self.lives += 1
        self.ended = False
        self.thread = threading.Thread(target=self.run, args=(f'{os.getpid()}.{self.lives}',), daemon=True)
        self.thread.start()

    def run(self, life):
        while True:
            last = self.ended
            os.write(self.fd, f'{self.name} {life} {time.clock_gettime_ns(time.CLOCK_BOOTTIME)}\n'.encode())
            if last:
                return
            time.sleep(BEAT_S)

    def stop(self):
        self.ended = True
        self.thread.join()


class Child:
    """The work, a process."""

    def __init__(self, argv):
        self.argv = argv

    def start(self):
        self.child = subprocess.Popen(self.argv)  # pylint: disable=consider-using-with

    def stop(self):
        self.child.terminate()
        self.child.wait()


class Candidate:
    def __init__(self, servers, path, name, timeout_s, work):
        self.client = KazooClient(servers, timeout=timeout_s)
        self.path, self.name, self.work = path, name, work
        self.end = threading.Event()  # of this leadership
        self.closing = False

    def listen(self, state):
        if state != KazooState.CONNECTED:
            self.end.set()

    def lead(self):
        if self.client.state != KazooState.CONNECTED or self.closing:
            return
        self.work.start()
        self.end.wait()
        self.work.stop()

    def give_back(self, number, _frame):
        self.closing = self.closing or number == signal.SIGTERM
        self.end.set()

    def run(self):
        signal.signal(signal.SIGUSR1, self.give_back)
        signal.signal(signal.SIGTERM, self.give_back)
        self.client.add_listener(self.listen)
        self.client.start()
        candidate = threading.Thread(target=self.contend, daemon=True)
        candidate.start()
        while not self.closing:
            signal.pause()
        election = self.election
        election.cancel()
        candidate.join(5)
        self.client.stop()
        self.client.close()

    def contend(self):
        while not self.closing:
            self.end.clear()
            # A new one each time: a Lock remembers the node of a session that may be over.
            self.election = self.client.Election(self.path, self.name)
            try:
                self.election.run(self.lead)
            except KazooException as error:
                logging.warning('contending: %r', error)
                time.sleep(0.1)


def main():
    servers, path, name, timeout, log = sys.argv[1:6]
    logging.basicConfig(format='%(asctime)s %(message)s', level=logging.INFO)
    work = Inside(log, name) if sys.argv[6] == '-' else Child(sys.argv[6:])
    Candidate(servers, path, name, float(timeout), work).run()


main()
