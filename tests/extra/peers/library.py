"""What the two libraries have in common: a small program of ours is the agent, and stands in a queue in ZooKeeper."""

import os
import signal

from kazoo.exceptions import NoNodeError

from lab import process

from peer import Agent, Peer


class LibraryAgent(Agent):
    """work: '-' for a thread of the program itself, else the command of a child process that is the work."""

    def work_arguments(self):
        return self.work('run') if self.peer.child else ['-']

    def sweep(self):
        if not self.peer.child:
            return
        own = set(process.find_processes(marker=self.directory))
        for pid in own - {self.child.pid if self.child else None}:
            if process.parent_of(pid) not in own:
                os.kill(pid, signal.SIGKILL)


class Library(Peer):
    one_process = True
    child = False
    reload = None  # a library has no configuration of its own

    @property
    def root(self):
        return f'/{self.name}'

    def standing_by(self, agent):
        """In the queue, once: what an earlier process left there is gone."""
        names = []
        try:
            for node in self.observer.get_children(self.root):
                names.append(self.observer.get(f'{self.root}/{node}')[0].decode())
        except NoNodeError:
            pass
        return sorted(names) == sorted(self.agents)

    def is_calm(self):
        return super().is_calm() and self.standing_by(None)

    def switchover(self, agent):
        """The program gives the leadership back and stands in line again: all that the library offers."""
        agent.child.send_signal(signal.SIGUSR1)
