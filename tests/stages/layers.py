#!/usr/bin/python3
"""Checks the layers by their includes; prints each offence as FILE:LINE: what is wrong.

- lib/ includes nothing of daemon/, ctl/, http/ and systemd/, and these nothing of each other
- the core, lib/election/, includes libc headers that do no I/O, and its own headers; the rest sees election.h, inbox.h,
  lease.h, pure.h and survivor.h of it alone; the keeper, daemon/work/keeper*.c, includes no more than that
- the wings of daemon/ are its directories: of each of them others include the one header that bears its name
- nobody outside lib/zk arms a watch: mirrors are for that
- the header of a foreign library belongs to one file, to the files of one module, or to those of one directory
  (HOMES); each header of libsystemd counts as a library; ev.h, the loop, is everywhere. Who includes a header that
  draws it in knows the library, too
"""

import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')

# what the pure core may have from libc: types, limits, asserts and memory copies
PURE = {'assert.h', 'errno.h', 'inttypes.h', 'limits.h', 'stdbool.h', 'stddef.h', 'stdint.h', 'string.h'}

CORE = pathlib.Path('lib/election')
CORE_PUBLIC = {'election.h', 'inbox.h', 'lease.h', 'pure.h', 'survivor.h'}

# pure as well: headers of libc that do no I/O, its own, and the lease's arithmetic
KEEPER = re.compile(r'daemon/work/keeper(_\w+)?\.[ch]')
KEEPER_USES = {'keeper.h', 'keeper_internal.h', 'lease.h', 'pure.h'}

# a foreign header -> 'file': one file of each directory may include it; 'module': the files of each directory whose
# names begin alike (bus.c, bus_stop.c); else the directory whose files may
HOMES = {
    r'zookeeper/.*|zookeeper\.h': 'lib',
    r'ini\.h': 'file',
    r'systemd/sd-bus\.h': 'module',
    r'systemd/.*': 'file',
    r'libsmartcols.*': 'file',
    r'json-c/.*': 'ctl',
    r'microhttpd\.h': 'http',
    r'sha1\.h': 'file',
}

# a read that watches (the third argument, unless it is the plain `false`), or the header of subscriptions
WATCH = re.compile(r'\bzkh_(?:get|exists|children)\((?:[^,;]*,){2}(?!\s*false\b)|include "[^"]*zkh_watch\.h"')

TREES = ('daemon', 'ctl', 'http', 'systemd')
FORBIDDEN = {'lib': TREES, **{tree: tuple(other for other in TREES if other != tree) for tree in TREES}}


def includes(path):
    """The includes of a file: (line number, True for <>, name)."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match[1] == '<', match[2]


def find(including, name):
    """The file of the tree that a quoted include means, relative to the top, or None."""
    for base in (including.parent, pathlib.Path('.'), *map(pathlib.Path, FORBIDDEN)):
        if (base / name).exists():
            return (base / name).resolve().relative_to(pathlib.Path('.').resolve())
    return None


def check_directories(layer, path):
    for number, system, name in includes(path):
        found = None if system else find(path, name)
        if found and found.parts[0] in FORBIDDEN[layer]:
            yield f'{path}:{number}: {layer}/ must not include {found}'


def check_wings(paths):
    for layer, path in paths:
        for number, system, name in includes(path) if layer == 'daemon' else ():
            found = None if system else find(path, name)
            if found and found.parts[0] == 'daemon' and len(found.parts) > 2 and found.parent != path.parent and \
                    found.stem != found.parent.name:
                yield f'{path}:{number}: of {found.parent} include {found.parent.name}.h alone'


def check_core(paths):
    for _, path in paths:
        inside = path.parent == CORE
        for number, system, name in includes(path):
            found = None if system else find(path, name)
            if inside and (name not in PURE if system else found is None or found.parent != CORE):
                yield f'{path}:{number}: the core must not include {name}'
            elif KEEPER.fullmatch(str(path)) and (name not in PURE if system else found is None or found.name not in KEEPER_USES):
                yield f'{path}:{number}: the keeper must not include {name}'
            elif not inside and found and found.parent == CORE and found.name not in CORE_PUBLIC:
                yield f'{path}:{number}: {found} is of the core alone'


def check_watches(paths):
    for _, path in paths:
        if path.parent.parts[:2] == ('lib', 'zk'):
            continue
        text = path.read_text()
        for match in WATCH.finditer(text):
            yield f'{path}:{text.count(chr(10), 0, match.start()) + 1}: only lib/zk arms watches: use a mirror'


def home_of(name):
    return next((home for pattern, home in HOMES.items() if re.fullmatch(pattern, name)), None)


def foreign_includes(path):
    """As includes(), with the foreign headers that the tree's own headers draw in: (line, foreign name)."""
    for number, system, name in includes(path):
        if home_of(name):
            yield number, name
        found = None if system else find(path, name)
        if found and found != path:
            yield from ((number, drawn) for _, drawn in foreign_includes(found) if home_of(drawn) == 'module')


def owner(path, home):
    return path.stem.split('_')[0] if home == 'module' else path.name


def check_foreign(paths):
    users = {}
    for layer, path in paths:
        for number, name in foreign_includes(path):
            home = home_of(name)
            if home in ('file', 'module'):
                owners = users.setdefault((layer, name), {})
                owners.setdefault(owner(path, home), f'{path}:{number}')
            elif home != layer:
                yield f'{path}:{number}: {name} belongs to {home}/ alone'
    for (_, name), owners in users.items():
        first, *others = owners
        for other in others:
            yield f'{owners[other]}: {name} belongs to {first} alone'


def main():
    paths = [(layer, path) for layer in FORBIDDEN for path in sorted(pathlib.Path(layer).rglob('*.[ch]'))]
    offences = [text for layer, path in paths for text in check_directories(layer, path)]
    offences += check_wings(paths)
    offences += check_core(paths)
    offences += check_watches(paths)
    offences += check_foreign(paths)
    print('\n'.join(offences) or 'the layers are in order')
    return 1 if offences else 0


if __name__ == '__main__':
    sys.exit(main())
