"""kazoo's Election, in a program as its documentation has it (elect.py).

Fair to it: `Election.run(function)` in a loop; the function works until a connection listener says SUSPENDED or LOST
("we should operate in a safe mode until then"), stops the work, and returns. All retry settings are kazoo's own.
Two variants: the work is a thread of the program, which is what a library is made for; and the work is a child process.
"""

import os

from library import Library, LibraryAgent
from peer import package_version

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'elect.py')


class KazooAgent(LibraryAgent):
    def argv(self):
        return ['/usr/bin/python3', PROGRAM, self.peer.ensemble.connect, self.peer.root, self.name, str(self.peer.timeout_s),
                self.peer.work_log, *self.work_arguments()]


class Kazoo(Library):
    name = 'kazoo'
    title = "kazoo's Election"
    package = 'kazoo'
    Agent = KazooAgent

    @classmethod
    def version(cls):
        return package_version('python3-kazoo')


class KazooChild(Kazoo):
    name = 'kazoo-child'
    title = 'kazoo, work a child process'
    child = True
