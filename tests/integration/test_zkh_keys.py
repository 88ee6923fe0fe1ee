"""Write, delete, rename and tree of lib/ on a real ensemble, with kazoo changing things meanwhile."""

import contextlib
import os
import random
import threading

import pytest
from kazoo.exceptions import KazooException, NoNodeError
from kazoo.security import ACL, OPEN_ACL_UNSAFE, Id, Permissions, make_acl, make_digest_acl

from lab import view, zk
from lab.wait import wait_until
from zkh_shell import TOOL, Tool

pytestmark = pytest.mark.skipif(not os.access(TOOL, os.X_OK), reason='zkh_tool is not built')

OPS_MAX = 5000  # ZKH_TXN_OPS_MAX


class Keys:
    """The keys below the test's root, as kazoo sees them."""

    def __init__(self, client, root, create=True):
        self.client = client
        self.root = root
        if create:
            client.create(root)

    def sync(self):
        """Our server may lag behind the tool's."""
        self.client.sync(self.root)

    def get(self, path):
        self.sync()
        try:
            return self.client.get(self.root + path)[0]
        except NoNodeError:
            return None

    def version(self, path):
        self.sync()
        return self.client.get(self.root + path)[1].version

    def create(self, *paths, data=b''):
        for start in range(0, len(paths), 1000):
            request = self.client.transaction()
            for path in paths[start:start + 1000]:
                request.create(self.root + path, data)
            assert all(isinstance(result, str) for result in request.commit())

    def set(self, path, data):
        self.client.set(self.root + path, data)

    def acl(self, path):
        """The access list, as a set of (scheme, id, permissions)."""
        self.sync()
        return {(one.id.scheme, one.id.id, one.perms) for one in self.client.get_acls(self.root + path)[0]}

    def set_acl(self, path, *entries):
        self.client.set_acls(self.root + path, entries)

    @contextlib.contextmanager
    def guarded(self, path, *entries):
        """With that access list for a while. It must leave us the right to change it: else nobody could clean up."""
        self.set_acl(path, *entries)
        try:
            yield
        finally:
            self.set_acl(path, *OPEN_ACL_UNSAFE)

    def tree(self, path='/'):
        """{path: data} of everything below."""
        self.sync()
        found = {}
        queue = [path]
        while queue:
            at = queue.pop()
            try:
                found[at] = self.client.get(self.root + at)[0]
                queue += [at.rstrip('/') + '/' + name for name in self.client.get_children(self.root + at)]
            except NoNodeError:
                found.pop(at, None)
        return found


@pytest.fixture
def keys(zk_client, root):
    return Keys(zk_client, root)


@pytest.fixture
def tool(ensemble, keys):
    with Tool(ensemble.connect, keys.root) as one:
        yield one


@pytest.fixture
def links(ensemble):
    one = zk.ClientLinks(ensemble)
    yield one
    one.close()


@pytest.fixture
def cut_tool(links, keys):
    with Tool(links.connect, keys.root) as one:
        yield one


def held_back(links):
    return sum(len(pair.down.queue) for proxy in links.proxies for pair in list(proxy.pairs))


def between_read_and_commit(links, tool, command, change):
    """Runs a command whose first answers are held back until `change` has happened; returns the outcome."""
    tool.sync()
    links.set_mode('oneway-down')
    number = tool.send(*command)
    wait_until(lambda: held_back(links) > 0, 5, 'an answer')
    change()
    links.set_mode('pass')
    return tool.outcome(number)


class Meanwhile:
    """Repeats a change by kazoo in the background, with a client of its own."""

    def __init__(self, ensemble, change):
        self.client = view.connect(ensemble.connect)
        self.change = change
        self.count = 0
        self.errors = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        wait_until(lambda: self.count > 3 or self.errors, 10, 'changes under way')
        return self

    def _run(self):
        while not self.over.is_set():
            try:
                self.change(self.client)
            except KazooException:
                pass
            except Exception as error:  # pylint: disable=broad-except
                self.errors.append(error)
                return
            self.count += 1

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(20)
        self.client.stop()
        self.client.close()
        assert not self.errors, self.errors


# write

def test_write_creates_sets_and_makes_parents(tool, keys):
    keys.create('/old', data=b'before')
    assert tool.do('write', '/old=after', '/new=1', '/a/b/c/d=2', '/a/b/x=3', '/a=4') == 'ZKH_OK'
    assert keys.tree() == {'/': b'', '/old': b'after', '/new': b'1', '/a': b'4', '/a/b': b'', '/a/b/c': b'',
                           '/a/b/c/d': b'2', '/a/b/x': b'3'}
    assert keys.version('/old') == 1 and keys.version('/a') == 0


def test_write_is_two_round_trips(links, cut_tool, keys):
    links.set_delay(50)  # requests of one flush that reach the proxy one by one count as one
    links.reset_counters()
    number = cut_tool.send('write', *(f'/p{i % 7}/q/r{i}={i}' for i in range(100)))
    assert cut_tool.outcome(number) == 'ZKH_OK'
    assert links.total('turns') == 2


def test_write_versions(tool, keys):
    keys.create('/a', data=b'0')
    keys.set('/a', b'1')
    assert tool.do('write', '/a@0=x', '/b=x') == 'ZKH_CONFLICT /a'
    assert tool.do('write', '/a@-1=x', '/b=x') == 'ZKH_NODE_EXISTS /a'
    assert tool.do('write', '/c@0=x', '/b=x') == 'ZKH_NO_NODE /c'
    assert keys.tree() == {'/': b'', '/a': b'1'}
    assert tool.do('write', '/a@1=x', '/c@-1=y') == 'ZKH_OK'
    assert keys.tree() == {'/': b'', '/a': b'x', '/c': b'y'}


def test_write_refuses_what_is_wrong(tool, keys):
    assert tool.do('write', '/a=1', '/b=2', '/a=3') == 'ZKH_INVALID'
    assert tool.do('write', '/a=1', '/b/=2') == 'ZKH_INVALID'
    assert tool.do('write', '/a=1', 'b=2') == 'ZKH_INVALID'
    assert tool.do('write', '/a=1', '/b/../c=2') == 'ZKH_INVALID'
    assert tool.do('write') == 'ZKH_INVALID'
    assert tool.do('write', f'/a=%{256 * 1024 + 1}') == 'ZKH_INVALID'
    assert tool.do('write', *(f'/k{i}=%200000' for i in range(3))).startswith('ZKH_TOO_LARGE')
    assert tool.do('write', *(f'/k{i}=' for i in range(OPS_MAX + 1))).startswith('ZKH_TOO_LARGE')
    assert tool.do('write', *(f'/p{i}/k=' for i in range(OPS_MAX // 2 + 1))).startswith('ZKH_TOO_LARGE')
    assert keys.tree() == {'/': b''}


def test_write_as_much_as_fits(tool, keys):
    assert tool.do('write', *(f'/k{i}={i}' for i in range(OPS_MAX))) == 'ZKH_OK'
    assert keys.get('/k4999') == b'4999'
    assert tool.do('write', '/big=%250000', '/big2=%250000') == 'ZKH_OK'
    assert keys.get('/big2') == b'x' * 250000
    # The same again: now all of them are set.
    assert tool.do('write', *(f'/k{i}=again' for i in range(OPS_MAX))) == 'ZKH_OK'
    assert keys.version('/k0') == 1


def test_write_below_an_ephemeral(tool, keys):
    keys.client.create(f'{keys.root}/e', ephemeral=True)
    assert tool.do('write', '/a=1', '/e/x=2').startswith('ZKH_EPHEMERAL /e')
    assert keys.get('/a') is None


def test_write_names_the_key_that_moved(links, cut_tool, keys):
    keys.create('/a', '/b')
    assert between_read_and_commit(links, cut_tool, ['write', '/a=1', '/new=2'],
                                   lambda: keys.set('/a', b'x')) == 'ZKH_CONFLICT /a'
    assert between_read_and_commit(links, cut_tool, ['write', '/a=1', '/new=2'],
                                   lambda: keys.create('/new')) == 'ZKH_NODE_EXISTS /new'
    assert between_read_and_commit(links, cut_tool, ['write', '/b=1', '/new2=2'],
                                   lambda: keys.client.delete(keys.root + '/b')) == 'ZKH_NO_NODE /b'
    assert keys.tree() == {'/': b'', '/a': b'x', '/new': b''}


def test_write_is_whole_or_not_at_all(ensemble, tool, keys):
    """While kazoo sets one of the keys, each write is seen whole: both keys with one number, or a conflict."""
    keys.create('/a', '/b')

    def disturb(client):
        client.set(keys.root + '/b', b'kazoo')
    outcomes = set()
    with Meanwhile(ensemble, disturb):
        for i in range(200):
            outcome = tool.do('write', f'/a={i}', f'/b={i}', f'/n{i}=')
            assert outcome in ('ZKH_OK', 'ZKH_CONFLICT /b')
            outcomes.add(outcome)
            assert (keys.get(f'/n{i}') is not None) == (outcome == 'ZKH_OK')
    assert tool.do('write', '/a=end', '/b=end') == 'ZKH_OK'
    assert keys.get('/a') == keys.get('/b') == b'end'
    assert 'ZKH_CONFLICT /b' in outcomes


# delete

def test_delete_one(tool, keys):
    keys.create('/a', '/a/b')
    assert tool.do('delete', '/a') == 'ZKH_NOT_EMPTY /a'
    assert tool.do('delete', '/a/b') == 'ZKH_OK'
    assert tool.do('delete', '/a') == 'ZKH_OK'
    assert tool.do('delete', '/a') == 'ZKH_NO_NODE /a'
    assert tool.do('delete', '-r', '/a') == 'ZKH_NO_NODE /a'
    assert tool.do('delete', '/') == 'ZKH_INVALID'
    assert tool.do('delete', '-r', '/') == 'ZKH_INVALID'
    assert tool.do('delete', '-r', 'a') == 'ZKH_INVALID'
    assert keys.tree() == {'/': b''}


def test_delete_tree(tool, keys):
    keys.create('/a', '/ab', '/a/b', '/a/b/c', '/a/b/d', '/a-b', '/x', '/x/a')
    keys.client.create(f'{keys.root}/a/e', ephemeral=True)
    keys.set('/a/b/c', b'changed')
    assert tool.do('delete', '-r', '/a') == 'ZKH_OK'
    assert sorted(keys.tree()) == ['/', '/a-b', '/ab', '/x', '/x/a']


def test_delete_of_a_deep_tree(tool, keys):
    path = ''
    for _ in range(400):
        path += '/d'
        keys.create(path)
    assert tool.do('delete', '-r', '/d') == 'ZKH_OK'
    assert keys.tree() == {'/': b''}


def test_delete_is_tried_again_when_something_changed(links, cut_tool, keys):
    keys.create('/a')
    assert between_read_and_commit(links, cut_tool, ['delete', '-r', '/a'],
                                   lambda: keys.create('/a/new')) == 'ZKH_OK'
    assert keys.tree() == {'/': b''}
    keys.create('/a')
    assert between_read_and_commit(links, cut_tool, ['delete', '-r', '/a'],
                                   lambda: keys.client.delete(keys.root + '/a')) == 'ZKH_OK'


def test_delete_gives_up_in_the_end(ensemble, tool, keys):
    """Somebody adds children all the time: the delete ends, one way or the other, and says so."""
    keys.create('/a', *(f'/a/{i}' for i in range(200)))
    number = [0]

    def disturb(client):
        number[0] += 1
        client.ensure_path(f'{keys.root}/a/new{number[0]}')
    with Meanwhile(ensemble, disturb):
        for _ in range(20):
            outcome = tool.do('delete', '-r', '/a')
            assert outcome.split()[0] in ('ZKH_OK', 'ZKH_NO_NODE', 'ZKH_CONFLICT', 'ZKH_NOT_EMPTY'), outcome
    tool.do('delete', '-r', '/a')
    assert keys.tree() == {'/': b''}


@pytest.mark.long
def test_delete_of_a_hundred_thousand():
    # The shared servers have too little memory for it.
    with zk.Ensemble(1, jvm=['-Xmx512m']) as ensemble:
        keys = Keys(view.connect(ensemble.connect), '/test')
        with Tool(ensemble.connect, keys.root) as tool:
            keys.create('/big', *(f'/big/{i}' for i in range(100)))
            for i in range(100):
                keys.create(*(f'/big/{i}/{j}' for j in range(1000)))
            assert tool.do('tree', '/big', 100000) == 'ZKH_TOO_LARGE 0'
            assert tool.do('rename', '/big', '/other').startswith('ZKH_TOO_LARGE')
            assert tool.do('delete', '-r', '/big', timeout=100) == 'ZKH_OK'
            assert keys.tree() == {'/': b''}
        keys.client.stop()
        keys.client.close()


def test_delete_just_too_large_for_one_transaction(tool, keys):
    keys.create('/big', *(f'/big/{i}' for i in range(OPS_MAX)))
    assert tool.do('delete', '-r', '/big') == 'ZKH_OK'
    keys.create('/big', *(f'/big/{"n" * 500}{i}' for i in range(2000)))
    assert tool.do('delete', '-r', '/big') == 'ZKH_OK'
    assert keys.tree() == {'/': b''}


# rename

def test_rename_takes_the_whole_subtree_and_nothing_else(tool, keys):
    keys.create('/a', '/a/b', '/a/b/a', '/a/c', '/ab', '/ab/a', '/x', '/x/a')
    for path, data in (('/a', b'inner'), ('/a/b', bytes(range(256))), ('/a/b/a', b'leaf'), ('/ab', b'near')):
        keys.set(path, data)
    assert tool.do('rename', '/a', '/x/new') == 'ZKH_OK'
    assert keys.tree() == {'/': b'', '/x': b'', '/x/a': b'', '/ab': b'near', '/ab/a': b'',
                           '/x/new': b'inner', '/x/new/b': bytes(range(256)), '/x/new/b/a': b'leaf', '/x/new/c': b''}
    assert tool.do('rename', '/x/new', '/a') == 'ZKH_OK'
    assert keys.get('/a/b/a') == b'leaf'


def test_rename_refuses(tool, keys):
    keys.create('/a', '/a/b', '/c', '/e')
    keys.client.create(f'{keys.root}/e/f', ephemeral=True)
    before = keys.tree()
    for source, target, outcome in (
            ('/a', '/c', 'ZKH_NODE_EXISTS /c'),
            ('/a/b', '/a', 'ZKH_NODE_EXISTS /a'),
            ('/none', '/new/x', 'ZKH_NO_NODE /none'),
            ('/none', '/x', 'ZKH_NO_NODE /none'),
            ('/a', '/a', 'ZKH_INVALID'),
            ('/a', '/a/x', 'ZKH_INVALID'),
            ('/', '/x', 'ZKH_INVALID'),
            ('/a', '/', 'ZKH_INVALID'),
            ('/a', '/x/', 'ZKH_INVALID'),
            ('/e', '/x', 'ZKH_EPHEMERAL /e/f'),
            ('/e/f', '/x', 'ZKH_EPHEMERAL /e/f')):
        assert tool.do('rename', source, target) == outcome
    assert tool.do('rename', '/a', '/e/f/x').startswith('ZKH_EPHEMERAL')
    assert tool.do('rename', '/a', '/' + 'n' * 1018).startswith('ZKH_INVALID')
    assert keys.tree() == before


def test_rename_as_much_as_fits(tool, keys):
    keys.create('/big', *(f'/big/{i}' for i in range(OPS_MAX // 2 - 1)))
    assert tool.do('rename', '/big', '/new') == 'ZKH_OK'
    assert len(keys.client.get_children(keys.root + '/new')) == OPS_MAX // 2 - 1
    keys.create('/new/one-more')
    assert tool.do('rename', '/new', '/big').startswith('ZKH_TOO_LARGE')
    assert keys.get('/big') is None
    keys.create('/fat', '/fat/1', '/fat/2', '/fat/3', data=b'x' * 200000)
    assert tool.do('rename', '/fat', '/thin').startswith('ZKH_TOO_LARGE')


def test_rename_names_the_key_that_moved(links, cut_tool, keys):
    keys.create('/a', '/p')
    changes = (
        (lambda: keys.set('/a', b'x'), 'ZKH_CONFLICT /a'),
        (lambda: keys.create('/a/new'), 'ZKH_CONFLICT /a'),
        (lambda: keys.create('/p/b'), 'ZKH_NODE_EXISTS /p/b'),
        (lambda: keys.client.delete(keys.root + '/p', recursive=True), 'ZKH_NO_NODE /p'),
        (lambda: keys.client.delete(keys.root + '/a', recursive=True), 'ZKH_CONFLICT /a'),  # /p would have been made
    )
    for number, (change, outcome) in enumerate(changes):
        if number == 2:
            keys.client.delete(keys.root + '/a/new')
        assert between_read_and_commit(links, cut_tool, ['rename', '/a', '/p/b'], change) == outcome
    keys.create('/a')
    assert between_read_and_commit(links, cut_tool, ['rename', '/a', '/b'],
                                   lambda: keys.client.delete(keys.root + '/a')) == 'ZKH_CONFLICT /a'
    assert keys.tree() == {'/': b''}


def test_rename_loses_nothing_while_kazoo_changes_the_tree(ensemble, tool, keys):
    """Every key is in exactly one of both places at any time, with the data written last."""
    names = [f'k{i}' for i in range(20)]
    keys.create('/a', *(f'/a/{name}' for name in names))
    last = {name: b'' for name in names}
    draw = random.Random(1)

    def disturb(client):
        name = draw.choice(names)
        data = b'%d' % draw.getrandbits(32)
        for place in ('/a', '/b'):
            try:
                client.set(f'{keys.root}{place}/{name}', data)
                last[name] = data
                return
            except NoNodeError:
                pass
    outcomes = []
    with Meanwhile(ensemble, disturb) as meanwhile:
        source, target = '/a', '/b'
        while len(outcomes) < 300 or (outcomes.count('ZKH_OK') < 5 and len(outcomes) < 3000):
            outcome = tool.do('rename', source, target)
            outcomes.append(outcome.split()[0])
            assert outcome == 'ZKH_OK' or outcome.startswith(f'ZKH_CONFLICT {source}/k'), outcome
            if outcome == 'ZKH_OK':
                source, target = target, source
        assert meanwhile.count > 10
    assert keys.tree(source) == {source: b'', **{f'{source}/{name}': data for name, data in last.items()}}
    assert keys.get(target) is None
    assert 'ZKH_OK' in outcomes and 'ZKH_CONFLICT' in outcomes, set(outcomes)


# access lists

ANN, BOB = 'ann:secret', 'bob:secret'
EVERYBODY = OPEN_ACL_UNSAFE[0]
ALL = Permissions.ALL
READERS = make_acl('world', 'anyone', read=True)
NO_MAKER = ACL(ALL & ~Permissions.CREATE, Id('world', 'anyone'))
NO_DELETER = ACL(ALL & ~Permissions.DELETE, Id('world', 'anyone'))


def digest(credential, **what):
    return make_digest_acl(*credential.split(':'), **(what or {'all': True}))


def triples(*entries):
    return {(one.id.scheme, one.id.id, one.perms) for one in entries}


@pytest.fixture
def ann(ensemble, keys):
    """What ann sees and makes. What nobody else may delete goes with her."""
    client = view.connect(ensemble.connect, auth_data=[('digest', ANN)])
    yield Keys(client, keys.root, create=False)
    client.retry(client.delete, keys.root, recursive=True)
    client.stop()
    client.close()


@pytest.fixture
def ann_tool(ensemble, keys):
    with Tool(ensemble.connect, keys.root, options=['--auth', ANN]) as one:
        yield one


def test_rename_carries_access_lists_over(ann_tool, ann):
    """Whoever renames has a credential: its keys, open ones and those of others stay what they are."""
    lists = {
        '/a': (EVERYBODY,),
        '/a/hers': (digest(ANN),),
        '/a/hers/open': (EVERYBODY,),
        '/a/shared': (digest(ANN), digest(BOB, read=True, write=True), READERS, make_acl('ip', '10.0.0.0/8', read=True)),
        '/a/host': (make_acl('ip', '127.0.0.1', all=True),),
        '/a/no-admin': (ACL(ALL & ~Permissions.ADMIN, Id('world', 'anyone')),),
        '/a/only-read': (READERS,),
    }
    ann.create(*lists)
    for path, entries in lists.items():
        ann.set_acl(path, *entries)
    before = {path: ann.acl(path) for path in lists}
    assert before == {path: triples(*entries) for path, entries in lists.items()}
    assert ann_tool.do('rename', '/a', '/b') == 'ZKH_OK'
    assert {path: ann.acl('/b' + path[2:]) for path in lists} == before
    assert ann.get('/a') is None
    assert ann_tool.do('rename', '/b', '/a') == 'ZKH_OK'
    assert {path: ann.acl(path) for path in lists} == before
    # What is made new is hers alone, as ever.
    assert ann_tool.do('write', '/a/new=') == 'ZKH_OK'
    assert ann.acl('/a/new') == triples(digest(ANN))


def test_rename_without_a_credential_opens_nothing(tool, keys):
    keys.create('/a', '/a/quiet')
    keys.set_acl('/a/quiet', READERS)
    assert tool.do('rename', '/a', '/b') == 'ZKH_OK'
    assert keys.acl('/b/quiet') == triples(READERS)


def test_rename_names_the_access_list_that_forbids_it(tool, keys, ann):
    keys.create('/a', '/a/b', '/a/b/c', '/a/b/d', '/t')
    for path, entries, source, target, outcome in (
            # The list itself may not be read, or shows digests without their hashes: set as shown, nobody would match.
            ('/a/b', [digest(ANN)], '/a', '/z', 'ZKH_DENIED /a/b'),
            ('/a/b/c', [READERS, digest(ANN)], '/a', '/z', 'ZKH_DENIED /a/b/c'),
            ('/a/b/c', [ACL(ALL & ~Permissions.ADMIN, Id('world', 'anyone')), digest(ANN)], '/a', '/z', 'ZKH_DENIED /a/b/c'),
            # Carried over, it lets nobody make the keys below.
            ('/a/b', [NO_MAKER, digest(ANN)], '/a/b/c', '/a/b/z', 'ZKH_DENIED /a/b'),
            ('/a/b', [NO_MAKER], '/a', '/z', 'ZKH_DENIED /a/b'),
            ('/a/b', [NO_DELETER], '/a', '/z', 'ZKH_DENIED /a/b'),
            ('/t', [READERS, digest(ANN)], '/a/b/d', '/t/d', 'ZKH_DENIED /t')):
        with ann.guarded(path, *entries):
            before = ann.tree()
            assert tool.do('rename', source, target) == outcome, (path, entries)
            assert ann.tree() == before and ann.acl(path) == triples(*entries)
    assert tool.do('rename', '/a', '/z') == 'ZKH_OK'


def test_rename_with_an_access_list_that_the_server_refuses():
    """An identity of a scheme that was taken away since. Nothing is done, and the key is named."""
    provider = '-Dzookeeper.authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider'
    with zk.Ensemble(1, jvm=[provider]) as ensemble:
        keys = Keys(view.connect(ensemble.connect), '/test')
        keys.create('/a', '/a/b', '/a/c')
        known = make_acl('sasl', 'bob', read=True)
        keys.set_acl('/a/b', EVERYBODY, known)
        with Tool(ensemble.connect, keys.root) as tool:
            assert tool.do('rename', '/a', '/b') == 'ZKH_OK'
            assert keys.acl('/b/b') == triples(EVERYBODY, known)
            ensemble.servers[0].jvm = ()
            since = len(tool.lines)
            ensemble.servers[0].restart()
            tool.wait_line('^session connected', since=since)
            before = keys.client.retry(keys.tree)
            assert tool.do('rename', '/b', '/a') == 'ZKH_ACL_REFUSED /b/b'
            assert keys.tree() == before
            keys.set_acl('/b/b', EVERYBODY)
            assert tool.do('rename', '/b', '/a') == 'ZKH_OK'
        keys.client.stop()
        keys.client.close()


def test_rename_reads_lists_beside_the_data(links, cut_tool, keys):
    """They cost no round trip of their own: two for each level, and the transaction."""
    keys.create('/a', *(f'/a/{i}' for i in range(20)))
    links.set_delay(50)
    links.reset_counters()
    assert cut_tool.outcome(cut_tool.send('rename', '/a', '/b')) == 'ZKH_OK'
    assert links.total('turns') == 4


def test_delete_that_is_refused_half_way(tool, keys):
    """Five transactions were done before the one that is not allowed."""
    keys.create('/big', '/big/locked', '/big/locked/below', '/big/many', '/big/many/deep',
                *(f'/big/many/deep/{i}' for i in range(OPS_MAX)))
    with keys.guarded('/big/locked', NO_DELETER):
        assert tool.do('delete', '-r', '/big') == f'ZKH_DENIED /big/locked {OPS_MAX} deleted'
        assert sorted(keys.tree()) == ['/', '/big', '/big/locked', '/big/locked/below', '/big/many', '/big/many/deep']
        # In one transaction nothing is gone, and nothing is said to be.
        assert tool.do('delete', '-r', '/big') == 'ZKH_DENIED /big/locked'
        assert tool.do('delete', '/big/locked/below') == 'ZKH_DENIED /big/locked'
    assert tool.do('delete', '-r', '/big') == 'ZKH_OK'


# tree

def test_tree(tool, keys):
    keys.create('/a', '/a-b', '/a/b', '/a/b/c', '/a/a', '/b')
    keys.set('/a/b', b'text')
    tool.sync()
    number = tool.send('tree', '/')
    assert tool.outcome(number) == 'ZKH_OK 7'
    assert [line.split()[2:] for line in tool.lines_of(number)[:-1]] == [
        ['/', '0'], ['/a', '0'], ['/a/a', '0'], ['/a/b', '1', 'text'], ['/a/b/c', '0'], ['/a-b', '0'], ['/b', '0']]
    assert tool.do('tree', '/a') == 'ZKH_OK 4'
    assert tool.do('tree', '/a', 4) == 'ZKH_OK 4'
    assert tool.do('tree', '/a', 3) == 'ZKH_TOO_LARGE 0'
    assert tool.do('tree', '/none') == 'ZKH_NO_NODE 0'
    assert tool.do('tree', 'none') == 'ZKH_INVALID'


# broken connections, cancel

COMMANDS = (['write', '/a=1', '/b/c=2'], ['delete', '-r', '/a'], ['delete', '/a/b'], ['rename', '/a', '/z'],
            ['tree', '/a'])


@pytest.mark.parametrize('command', COMMANDS, ids=lambda command: command[0])
def test_not_connected(links, cut_tool, keys, command):
    keys.create('/a', '/a/b')
    before = keys.tree()
    links.set_mode('reset')
    cut_tool.wait_line('^session disconnected')
    assert cut_tool.do(*command).startswith('ZKH_NOT_CONNECTED')
    assert keys.tree() == before
    since = len(cut_tool.lines)
    links.set_mode('pass')
    cut_tool.wait_line('^session connected', since=since)
    assert cut_tool.do(*command).startswith('ZKH_OK')


@pytest.mark.parametrize('command', COMMANDS, ids=lambda command: command[0])
def test_connection_lost_while_reading(links, cut_tool, keys, command):
    """Nothing was written yet: that is no unknown outcome, but for the delete that needs no reading."""
    keys.create('/a', '/a/b')
    links.set_mode('oneway-down')
    number = cut_tool.send(*command)
    wait_until(lambda: held_back(links) > 0, 5)
    links.set_mode('reset')
    assert cut_tool.outcome(number).split()[0] == (
        'ZKH_UNKNOWN' if command == ['delete', '/a/b'] else 'ZKH_NOT_CONNECTED')
    assert len(cut_tool.lines_of(number)) == 1


@pytest.mark.parametrize('command', COMMANDS, ids=lambda command: command[0])
def test_cancel(links, cut_tool, keys, command):
    keys.create('/a', '/a/b')
    links.set_mode('oneway-down')
    number = cut_tool.send(*command)
    wait_until(lambda: held_back(links) > 0, 5)
    cut_tool.send('cancel', number)
    cut_tool.wait_line(f'^{number} cancelled')
    links.set_mode('pass')
    assert cut_tool.do('tree', '/').startswith('ZKH_OK')
    assert cut_tool.lines_of(number) == [f'{number} cancelled']


@pytest.mark.parametrize('command', COMMANDS, ids=lambda command: command[0])
def test_session_destroyed(ensemble, keys, command):
    keys.create('/a', '/a/b')
    with Tool(ensemble.connect, keys.root) as one:
        one.child.stdin.write(' '.join(command) + '\ndestroy\n')
        one.child.stdin.flush()
        assert one.child.wait(10) == 0
        one.reader.join(10)
        assert not one.lines_of(1)
    with Tool(ensemble.connect, keys.root, options=['--destroy-in-callback']) as one:
        one.send(*command)
        one.reader.join(10)
        assert len([line for line in one.lines if line.startswith('1 ZKH')]) == 1
