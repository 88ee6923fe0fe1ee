"""The locks of lib/ against kazoo's, and against everything that can happen to a connection."""

import os
import signal
import threading
import uuid

import pytest
from kazoo.exceptions import LockTimeout, NoNodeError

from lab import view, zk
from lab.wait import wait_until
from zkh_shell import TOOL, Tool

pytestmark = pytest.mark.skipif(not os.access(TOOL, os.X_OK), reason='zkh_tool is not built')

KINDS = ('exclusive', 'write', 'read')
# (holder, waiter): does the waiter wait?
BLOCKS = {(holder, waiter): holder != 'read' or waiter == 'write' for holder in KINDS for waiter in KINDS}
EXPIRY_MS = 1000


class Place:
    """The key that is locked, as kazoo sees it."""

    def __init__(self, client, root):
        self.client = client
        self.root = root
        self.path = f'{root}/lock'
        client.create(root)

    def nodes(self):
        try:
            self.client.sync(self.root)
            return sorted(self.client.get_children(self.path), key=lambda name: name[-10:])
        except NoNodeError:
            return []

    def wait_nodes(self, count, timeout=10):
        wait_until(lambda: len(self.nodes()) == count, timeout, lambda: f'{count} nodes: {self.nodes()}')
        return self.nodes()

    def kazoo(self, kind, name='kazoo', client=None):
        client = client or self.client
        make = {'exclusive': client.Lock, 'write': client.WriteLock, 'read': client.ReadLock}[kind]
        return make(self.path, name)


@pytest.fixture
def place(zk_client, root):
    return Place(zk_client, root)


@pytest.fixture
def tool(ensemble, place):
    with Tool(ensemble.connect, place.root) as one:
        yield one


@pytest.fixture
def links(ensemble):
    """A client's way to the ensemble, to be cut."""
    one = zk.ClientLinks(ensemble)
    yield one
    one.close()


@pytest.fixture
def cut_tool(links, place):
    with Tool(links.connect, place.root) as one:
        yield one


class KazooWaiter(threading.Thread):
    """A kazoo lock that is waited for in the background."""

    def __init__(self, lock):
        super().__init__(daemon=True)
        self.lock = lock
        self.acquired = threading.Event()
        self.start()

    def run(self):
        if self.lock.acquire(timeout=60):
            self.acquired.set()


# the plain ways

def test_one_round_trip(links, cut_tool, place):
    place.client.create(place.path)
    links.set_delay(50)  # requests of one flush that reach the proxy one by one count as one
    links.reset_counters()
    number = cut_tool.lock()
    cut_tool.held(number)
    # Create and list together; then the holder's watch on its own node.
    wait_until(lambda: links.total('turns') >= 2, 5)
    assert links.total('turns') == 2


def test_timeout_is_of_the_wait_for_others(links, cut_tool, place):
    """However long the servers take to commit the node: with nobody before it, the lock is held."""
    place.client.create(place.path)
    links.set_delay(100)
    cut_tool.held(cut_tool.lock(timeout_ms=50))


def test_missing_parents_are_made(tool, place):
    number = tool.lock(path='/a/b/c')
    node, _ = tool.held(number)
    assert place.client.get_children(f'{place.root}/a/b/c') == [node.rpartition('/')[2]]
    assert place.client.get(f'{place.root}/a/b/c')[0] == b''


def test_name_and_identifier_are_kazoos(tool, place):
    tool.held(tool.lock('read'))
    tool.held(tool.lock('exclusive'))
    names = place.nodes()
    assert [name[32:] for name in names] == ['__rlock__0000000000', '__lock__0000000001']
    assert all(set(name[:32]) <= set('0123456789abcdef') for name in names)
    assert place.kazoo('read').contenders() == ['zkh_tool', 'zkh_tool']


def test_token_grows(tool, place):
    tokens = []
    for _ in range(5):
        number = tool.lock()
        tokens.append(tool.held(number)[1])
        tool.release(number)
    assert tokens == sorted(set(tokens)) and tokens[0] > 0


@pytest.mark.parametrize('waiter', KINDS)
@pytest.mark.parametrize('holder', KINDS)
def test_waits_for_kazoo(tool, place, holder, waiter):
    lock = place.kazoo(holder)
    assert lock.acquire(timeout=10)
    assert tool.do('lock', waiter, '/lock', '--timeout', 0).startswith(
        'ZKH_TIMEOUT' if BLOCKS[holder, waiter] else 'ZKH_OK')
    if BLOCKS[holder, waiter]:
        assert tool.do('lock', waiter, '/lock', '--timeout', 100) == 'ZKH_TIMEOUT'
        place.wait_nodes(1)
        number = tool.lock(waiter)
        place.wait_nodes(2)
        assert not tool.lines_of(number)
        lock.release()
        tool.held(number)
    else:
        lock.release()


@pytest.mark.parametrize('waiter', KINDS)
@pytest.mark.parametrize('holder', KINDS)
def test_kazoo_waits(tool, place, holder, waiter):
    number = tool.lock(holder)
    tool.held(number)
    lock = place.kazoo(waiter)
    assert lock.acquire(blocking=False) != BLOCKS[holder, waiter]
    if not BLOCKS[holder, waiter]:
        lock.release()
        return
    with pytest.raises(LockTimeout):
        place.kazoo(waiter).acquire(timeout=0.1)
    place.wait_nodes(1)
    thread = KazooWaiter(place.kazoo(waiter))
    place.wait_nodes(2)
    assert not thread.acquired.is_set()
    tool.release(number)
    assert thread.acquired.wait(10)
    thread.lock.release()


@pytest.mark.parametrize('waiter', KINDS)
@pytest.mark.parametrize('holder', KINDS)
def test_waits_for_itself(tool, place, holder, waiter):
    first = tool.lock(holder)
    tool.held(first)
    second = tool.lock(waiter)
    place.wait_nodes(2)
    if BLOCKS[holder, waiter]:
        assert not tool.lines_of(second)
        tool.release(first)
    tool.held(second)


def test_write_waits_for_every_reader(tool, place):
    readers = [tool.lock('read') for _ in range(3)]
    for number in readers:
        tool.held(number)
    writer = tool.lock('write')
    place.wait_nodes(4)
    for number in reversed(readers):
        assert not tool.lines_of(writer)
        tool.release(number)
    tool.held(writer)


def test_timeout_removes_the_node(tool, place):
    lock = place.kazoo('exclusive')
    lock.acquire()
    assert tool.do('lock', 'exclusive', '/lock', '--timeout', 50) == 'ZKH_TIMEOUT'
    place.wait_nodes(1)
    assert tool.child.poll() is None
    lock.release()


def test_cancel_while_waiting_lets_the_next_pass(tool, place):
    lock = place.kazoo('exclusive')
    lock.acquire()
    first = tool.lock()
    place.wait_nodes(2)
    second = tool.lock()
    place.wait_nodes(3)
    tool.release(first)
    place.wait_nodes(2)
    assert not tool.lines_of(second)
    lock.release()
    tool.held(second)
    assert tool.lines_of(first) == [f'{first} released']


def test_release_right_after_the_request(tool, place):
    for _ in range(50):
        tool.release(tool.lock())
    tool.held(tool.lock())
    place.wait_nodes(1)
    tool.wait_pending(0)


@pytest.mark.parametrize('kind', KINDS)
def test_junk_is_ignored(tool, place, kind):
    place.client.create(place.path, b'none')
    for name in ('x', '__lock__', 'x__lock__1', 'x__lock__00000000000', 'y__lock__9999999999', 'z__lock__',
                 '0000000000', 'a-lock-0000000000', 'ä__lock__x'):
        place.client.create(f'{place.path}/{name}', b'junk')
    place.client.create(f'{place.path}/seq-', sequence=True)
    tool.held(tool.lock(kind, timeout_ms=5000))
    assert place.client.get(place.path)[0] == b'none'


def test_no_herd(ensemble, tool, place):
    """A release wakes one waiter, however many there are."""
    numbers = [tool.lock()]
    tool.held(numbers[0])  # the others that come while it makes the parent overtake it
    numbers += [tool.lock() for _ in range(29)]
    place.wait_nodes(30)

    def watches():
        return sum(int(server.mntr().get('zk_watch_count', 0)) for server in ensemble.servers)
    # One for each node but the last; the holder's own is the first waiter's, too.
    wait_until(lambda: watches() == 29, 10, lambda: f'{watches()} watches')

    def packets():
        return sum(int(server.mntr()['zk_packets_received']) for server in ensemble.servers)
    # Asking costs packets itself, as do the pings of other clients.
    before = packets()
    asking = packets() - before
    before = packets()
    for index in range(10):
        tool.release(numbers[index])
        tool.held(numbers[index + 1])
    # Each turn: delete, list, and the new holder's watch.
    assert packets() - before <= 10 * 4 + asking + 10
    for number in numbers[12:]:
        assert not tool.lines_of(number)


def test_consumed_in_a_transaction(tool, place):
    number = tool.lock()
    tool.held(number)
    tool.send('consume', number)
    tool.wait_line(rf'^{number} consumed ZKH_OK')
    place.wait_nodes(0)
    tool.held(tool.lock())
    assert len(tool.lines_of(number)) == 2


def test_mutual_exclusion_with_kazoo(ensemble, place):
    """A counter that only the lock protects, under contention of both implementations."""
    counter = f'{place.root}/counter'
    place.client.create(counter, b'0')
    errors = []

    def add():
        value = int(place.client.get(counter)[0])
        place.client.set(counter, str(value + 1).encode())

    def by_kazoo():
        client = view.connect(ensemble.connect)
        for _ in range(10):
            with place.kazoo('exclusive', client=client):
                add()
        client.stop()
        client.close()

    def by_tool(one):
        try:
            for _ in range(10):
                number = one.lock()
                one.held(number, 60)
                add()
                one.release(number)
        except AssertionError as error:
            errors.append(error)

    with Tool(ensemble.connect, place.root) as one, Tool(ensemble.connect, place.root) as two:
        threads = [threading.Thread(target=by_kazoo) for _ in range(2)]
        threads += [threading.Thread(target=by_tool, args=(each,)) for each in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
    assert not errors
    assert place.client.get(counter)[0] == b'40'
    place.wait_nodes(0)


# what others do to the nodes

def test_holder_hears_that_its_node_was_deleted(tool, place):
    number = tool.lock()
    node, _ = tool.held(number)
    place.client.set(place.root + node, b'written by somebody')
    place.client.delete(place.root + node)
    tool.wait_line(rf'^{number} ZKH_LOST')
    tool.held(tool.lock())


def test_waiter_starts_over_when_its_node_was_deleted(tool, place):
    lock = place.kazoo('exclusive')
    lock.acquire()
    number = tool.lock()
    own = place.wait_nodes(2)[1]
    place.client.delete(f'{place.path}/{own}')
    lock.release()
    node, _ = tool.held(number)
    assert own not in node


def test_data_of_the_predecessor_changes(tool, place):
    lock = place.kazoo('exclusive')
    lock.acquire()
    number = tool.lock()
    place.wait_nodes(2)
    for _ in range(3):
        place.client.set(f'{place.path}/{lock.node}', uuid.uuid4().bytes)
    lock.release()
    tool.held(number)


# sessions that end

def test_holder_expires(ensemble, place):
    with Tool(ensemble.connect, place.root, EXPIRY_MS) as one:
        number = one.lock()
        one.held(number)
        thread = KazooWaiter(place.kazoo('exclusive'))
        place.wait_nodes(2)
        one.child.send_signal(signal.SIGSTOP)
        assert thread.acquired.wait(20)
        one.child.send_signal(signal.SIGCONT)
        one.wait_line('^session expired')
        one.wait_line(rf'^{number} ZKH_LOST')
        again = one.lock()
        place.wait_nodes(2)
        thread.lock.release()
        one.held(again)


def test_waiter_expires(ensemble, place):
    lock = place.kazoo('exclusive')
    lock.acquire()
    with Tool(ensemble.connect, place.root, EXPIRY_MS) as one:
        number = one.lock()
        place.wait_nodes(2)
        one.child.send_signal(signal.SIGSTOP)
        place.wait_nodes(1, 20)
        one.child.send_signal(signal.SIGCONT)
        one.wait_line(rf'^{number} ZKH_LOST')
    lock.release()


def test_holder_is_killed(ensemble, tool, place):
    with Tool(ensemble.connect, place.root, EXPIRY_MS) as one:
        one.held(one.lock())
        number = tool.lock()
        place.wait_nodes(2)
        one.child.kill()
        tool.held(number, 20)


def test_session_destroyed_in_the_callback(ensemble, place):
    with Tool(ensemble.connect, place.root, options=['--destroy-in-callback']) as one:
        one.lock()
        one.wait_line('ZKH_OK')
        assert one.child.wait(10) == 0
    with Tool(ensemble.connect, place.root, options=['--destroy-in-callback']) as one:
        for _ in range(20):
            one.lock()
        one.lock(path='/other')
        assert one.child.wait(10) == 0


@pytest.mark.parametrize('command', ['destroy', 'release 1\ndestroy'])
def test_session_destroyed_under_way(ensemble, place, command):
    lock = place.kazoo('exclusive')
    lock.acquire()
    with Tool(ensemble.connect, place.root) as one:
        one.lock()
        place.wait_nodes(2)
        one.lock()
        one.send(command)
        assert one.child.wait(10) == 0
        one.reader.join(10)
        assert not one.lines_of(1) or one.lines_of(1) == ['1 released']
    lock.release()


# connections that break

def cut(links, tool):
    """Cuts the client off and waits until it knows."""
    since = len(tool.lines)
    links.set_mode('reset')
    tool.wait_line('^session disconnected', since=since)


def heal(links, tool):
    since = len(tool.lines)
    links.set_mode('pass')
    tool.wait_line('^session connected', since=since)


def answers_held_back(links):
    return sum(len(pair.down.queue) for proxy in links.proxies for pair in list(proxy.pairs))


def test_connection_lost_while_waiting(links, cut_tool, place):
    lock = place.kazoo('exclusive')
    lock.acquire()
    number = cut_tool.lock()
    own = place.wait_nodes(2)[1]
    cut(links, cut_tool)
    lock.release()
    heal(links, cut_tool)
    node, _ = cut_tool.held(number)
    assert node.endswith(own)


def test_still_waits_after_a_reconnect(links, cut_tool, place):
    lock = place.kazoo('exclusive')
    lock.acquire()
    number = cut_tool.lock()
    place.wait_nodes(2)
    for _ in range(3):
        cut(links, cut_tool)
        heal(links, cut_tool)
    assert not cut_tool.lines_of(number)
    lock.release()
    cut_tool.held(number)


def test_holder_keeps_it_over_a_reconnect(links, cut_tool, place):
    number = cut_tool.lock()
    node, _ = cut_tool.held(number)
    cut(links, cut_tool)
    heal(links, cut_tool)
    assert place.kazoo('exclusive').acquire(blocking=False) is False
    assert len(cut_tool.lines_of(number)) == 1
    # It still watches.
    place.client.delete(place.root + node)
    cut_tool.wait_line(rf'^{number} ZKH_LOST')


def test_holders_node_goes_during_a_cut(links, cut_tool, place):
    number = cut_tool.lock()
    node, _ = cut_tool.held(number)
    cut(links, cut_tool)
    place.client.delete(place.root + node)
    heal(links, cut_tool)
    cut_tool.wait_line(rf'^{number} ZKH_LOST')


def test_unknown_create_is_adopted(links, cut_tool, place):
    """The node was made, the answer is lost: there is one node, and it is the lock's."""
    place.client.create(place.path)
    links.set_mode('oneway-down')
    number = cut_tool.lock()
    own, = place.wait_nodes(1)
    cut(links, cut_tool)
    heal(links, cut_tool)
    node, _ = cut_tool.held(number)
    assert node.endswith(own)
    assert place.nodes() == [own]


def test_create_that_never_arrived_is_sent_again(links, cut_tool, place):
    place.client.create(place.path)
    links.set_mode('silent')
    number = cut_tool.lock()
    wait_until(lambda: any(pair.up.queue for proxy in links.proxies for pair in list(proxy.pairs)), 5)
    cut(links, cut_tool)
    assert place.nodes() == []
    heal(links, cut_tool)
    cut_tool.held(number)
    place.wait_nodes(1)


@pytest.mark.parametrize('how', ['release', 'timeout'])
def test_unknown_create_leaves_no_orphan(links, cut_tool, place, how):
    place.client.create(place.path)
    links.set_mode('oneway-down')
    number = cut_tool.lock(timeout_ms=100 if how == 'timeout' else -1)
    place.wait_nodes(1)
    if how == 'release':
        cut_tool.release(number)
    else:
        assert cut_tool.outcome(number) == 'ZKH_TIMEOUT'
    cut_tool.wait_pending(1)
    cut(links, cut_tool)
    assert len(place.nodes()) == 1
    heal(links, cut_tool)
    place.wait_nodes(0)
    cut_tool.wait_pending(0)


@pytest.mark.parametrize('state', ['held', 'waiting'])
def test_release_while_cut_off(links, cut_tool, place, state):
    others = 0
    if state == 'waiting':
        lock = place.kazoo('exclusive')
        lock.acquire()
        others = 1
    number = cut_tool.lock()
    place.wait_nodes(1 + others)
    if state == 'held':
        cut_tool.held(number)
    cut(links, cut_tool)
    cut_tool.release(number)
    assert len(place.nodes()) == 1 + others
    heal(links, cut_tool)
    place.wait_nodes(others)
    if others:
        lock.release()


def test_answer_to_the_delete_is_lost(links, cut_tool, place):
    number = cut_tool.lock()
    cut_tool.held(number)
    links.set_mode('oneway-down')
    cut_tool.release(number)
    place.wait_nodes(0)
    cut_tool.wait_pending(1)
    cut(links, cut_tool)
    heal(links, cut_tool)
    cut_tool.held(cut_tool.lock())
    cut_tool.wait_pending(0)


def test_asked_for_while_cut_off(links, cut_tool, place):
    cut(links, cut_tool)
    assert cut_tool.do('lock', 'exclusive', '/lock', '--timeout', 0) == 'ZKH_TIMEOUT'
    assert cut_tool.do('lock', 'exclusive', '/lock', '--timeout', 100) == 'ZKH_TIMEOUT'
    number = cut_tool.lock(timeout_ms=60000)
    released = cut_tool.lock()
    cut_tool.release(released)
    heal(links, cut_tool)
    cut_tool.held(number)
    place.wait_nodes(1)


def test_leader_dies_while_waiting(ensemble, tool, place):
    lock = place.kazoo('exclusive')
    lock.acquire()
    number = tool.lock()
    place.wait_nodes(2)
    ensemble.leader().kill9()
    place.client.retry(lock.release)
    tool.held(number, 30)
    wait_until(lambda: len(place.client.retry(place.client.get_children, place.path)) == 1, 20)


def test_no_orphan_whatever_is_lost(links, cut_tool, place):
    """Locks and releases while the connection breaks at all moments: in the end nothing is left."""
    for turn in range(24):
        mode = ('oneway-down', 'oneway-up', 'silent', 'reset')[turn % 4]
        numbers = [cut_tool.lock(timeout_ms=200), cut_tool.lock('read', timeout_ms=200)]
        if turn % 3 == 0:
            wait_until(lambda: cut_tool.said(rf'^{numbers[0]} '), 10)
        links.set_mode(mode)
        if turn % 2:
            cut_tool.release(numbers[0])
        links.set_mode('reset')
        since = len(cut_tool.lines)
        links.set_mode('pass')
        cut_tool.wait_line('^session connected', since=since)
        for number in numbers:
            cut_tool.release(number)
        place.wait_nodes(0)
