"""Apache Curator's LeaderLatch, in a program as its documentation has it (Latch.java).

Fair to it: a LeaderLatchListener whose isLeader() starts the work and whose notLeader() stops it; Curator's default
error policy, with which SUSPENDED ends the leadership ("leaders, locks, etc. should suspend until the connection is
re-established"); ExponentialBackoffRetry(1000, 3) as in its examples; a connection timeout below the session's. The
program ends its work before it closes its latch.
Two variants: the work is a thread of the program, which is what a library is made for; and the work is a child process.
"""

import os
import subprocess
import time

from library import Library, LibraryAgent
from peer import package_version

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'Latch.java')
JARS = ':'.join(f'/usr/share/java/{name}.jar' for name in (
    'curator-recipes', 'curator-framework', 'curator-client', 'zookeeper', 'zookeeper-jute', 'guava', 'slf4j-api',
    'slf4j-simple'))
JVM = '-Xms16m -Xmx64m -Xss512k -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -XX:-UsePerfData'.split()


class CuratorAgent(LibraryAgent):
    def argv(self):
        # Java has no CLOCK_BOOTTIME; its own clock is CLOCK_MONOTONIC.
        ahead = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        return ['java', *JVM, f'-Dahead={ahead}', '-cp', f'{JARS}:{self.peer.classes()}', 'Latch',
                self.peer.ensemble.connect, self.peer.root, self.name, str(int(self.peer.timeout_s * 1000)), self.peer.work_log, *self.work_arguments()]


class Curator(Library):
    name = 'curator'
    title = "Curator's LeaderLatch"
    package = 'curator'
    Agent = CuratorAgent

    @classmethod
    def version(cls):
        return package_version('libcurator-recipes-java')

    def classes(self):
        """Our program, compiled once."""
        path = os.path.join(self.directory, 'classes')
        if not os.path.exists(path):
            subprocess.run(['javac', '-nowarn', '-XDignore.symbol.file', '-cp', JARS, '-d', path, SOURCE], check=True,
                           capture_output=True)
        return path


class CuratorChild(Curator):
    name = 'curator-child'
    title = 'Curator, work a child process'
    child = True
