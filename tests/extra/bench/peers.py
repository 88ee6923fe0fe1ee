"""The same election as others do it: rules written over kazoo, measured beside primaryd in one run.

Each peer is N threads with a KazooClient each, in this process, on a root of their own.
"""

import threading
import time
import uuid

from kazoo.exceptions import LockTimeout, NoNodeError
from kazoo.recipe.election import Election

from lab import view
from lab.wait import wait_until

LOCK_TIMEOUT_S = 0.4


def vacancies(observer, key, count):
    """Empties the key and waits for a name in it, `count` times. The same for everybody who contends for it: times in us
    by the ensemble's own clock, which stamps both writes, in whole ms."""
    times = []
    for _ in range(count):
        empty = observer.set(key, b'none')
        news = threading.Event()
        data, stat = observer.get(key, watch=lambda _event, news=news: news.set())
        if data == b'none':
            assert news.wait(20), 'nobody claimed'
            data, stat = observer.get(key)
        times.append((stat.mtime - empty.mtime) * 1000)
        wait_until(lambda: not observer.get_children(key), 20, 'the contenders give up', 0.005)
    return times


class Peer:
    """N contenders for one key. contend(client, name) is called in a watch callback when the key is `none`."""

    def __init__(self, servers, count):
        self.root = f'/p-{uuid.uuid4().hex[:12]}'
        self.key = f'{self.root}/primary_node'
        self.clients = [view.connect(servers) for _ in range(count)]
        self.observer = view.connect(servers)
        self.observer.ensure_path(self.root)
        self.observer.create(self.key, b'none-yet')
        self.closing = False
        self.losers = []  # how long each contender that did not win was busy, in s
        for number, client in enumerate(self.clients, 1):
            self.watch(client, f'n{number}'.encode())

    def watch(self, client, name):
        def changed(_event):
            self.look(client, name, changed)
        self.look(client, name, changed)

    def look(self, client, name, watch):
        if self.closing:
            return
        try:
            data, _ = client.get(self.key, watch=watch)
            if data == b'none':
                self.contend(client, name)
        except NoNodeError:
            pass

    def rounds(self, count):
        return vacancies(self.observer, self.key, count)

    def close(self):
        self.closing = True
        for client in self.clients + [self.observer]:
            client.stop()
            client.close()


class Ancestor(Peer):
    """The ancestor's rule: the lock is awaited inside the watch callback, on the thread that delivers the events that
    would end the waiting; so each loser waits until its time is over."""

    def contend(self, client, name):
        begin = time.perf_counter()
        lock = client.Lock(self.key, name.decode())
        try:
            if not lock.acquire(timeout=LOCK_TIMEOUT_S):
                return
            try:
                if client.get(self.key)[0] == b'none':
                    client.set(self.key, name)
                    return
            finally:
                lock.release()
        except LockTimeout:
            pass
        self.losers.append(time.perf_counter() - begin)


class Sane(Ancestor):
    """The same rule with the waiting on a thread of its own."""

    def contend(self, client, name):
        threading.Thread(target=super().contend, args=(client, name), daemon=True).start()


class Elected:
    """kazoo's Election: N candidates; the leader resigns, and the time until the next one leads is taken."""

    def __init__(self, servers, count):
        self.root = f'/p-{uuid.uuid4().hex[:12]}'
        self.clients = [view.connect(servers) for _ in range(count)]
        self.led = threading.Event()
        self.resign = threading.Event()
        self.closing = False
        for number, client in enumerate(self.clients, 1):
            threading.Thread(target=self.run, args=(client, f'n{number}'), daemon=True).start()
        assert self.led.wait(10)

    def run(self, client, name):
        election = Election(client, self.root, name)
        while not self.closing:
            try:
                election.run(self.lead)
            except Exception:  # pylint: disable=broad-except
                return

    def lead(self):
        self.at = time.perf_counter()
        self.led.set()
        self.resign.wait()
        self.resign.clear()

    def rounds(self, count):
        times = []
        for _ in range(count):
            self.led.clear()
            begin = time.perf_counter()
            self.resign.set()
            assert self.led.wait(10)
            times.append((self.at - begin) * 1e6)
        return times

    def close(self):
        self.closing = True
        self.resign.set()
        for client in self.clients:
            client.stop()
            client.close()
