#!/usr/bin/python3
"""Checks the layers by their includes; prints each offence as FILE:LINE: what is wrong.

- lib/ includes nothing of daemon/ and ctl/, daemon/ nothing of ctl/
- daemon/election* includes libc headers that do no I/O, and its own headers, nothing else
- the header of a foreign library appears in one file of a directory only (ev.h, the loop, everywhere);
  each header of libsystemd counts as a library
"""

import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')

# what the pure core may have from libc: types, limits, asserts and memory copies
PURE = {'assert.h', 'errno.h', 'inttypes.h', 'limits.h', 'stdbool.h', 'stddef.h', 'stdint.h', 'string.h'}

FOREIGN = re.compile(r'^(zookeeper/.*|zookeeper\.h|ini\.h|systemd/.*|libsmartcols.*)$')

FORBIDDEN = {'lib': ('daemon', 'ctl'), 'daemon': ('ctl',), 'ctl': ()}


def includes(path):
    """The includes of a file: (line number, True for <>, name)."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match[1] == '<', match[2]


def home_of(including, name):
    """The directory of the tree that a quoted include comes from, or None."""
    for base in (including.parent, pathlib.Path('.'), *map(pathlib.Path, FORBIDDEN)):
        found = base / name
        if found.exists():
            parts = pathlib.Path(*found.parts).resolve().relative_to(pathlib.Path('.').resolve()).parts
            return parts[0]
    return None


def check(layers):
    """Yields the offences of all files."""
    users = {}
    for layer in layers:
        for path in sorted(pathlib.Path(layer).rglob('*.[ch]')):
            for number, system, name in includes(path):
                where = f'{path}:{number}'
                if not system and home_of(path, name) in FORBIDDEN[layer]:
                    yield f'{where}: {layer}/ must not include {name} of {home_of(path, name)}/'
                if layer == 'daemon' and path.name.startswith('election'):
                    if system and name not in PURE:
                        yield f'{where}: the core must not include <{name}>'
                    if not system and not pathlib.Path(name).name.startswith('election'):
                        yield f'{where}: the core must not include "{name}"'
                if FOREIGN.match(name):
                    users.setdefault((layer, name), []).append(where)
    for (layer, name), places in users.items():
        for where in places[1:]:
            yield f'{where}: {name} belongs to {places[0]} alone'


def main():
    layers = [layer for layer in FORBIDDEN if pathlib.Path(layer).is_dir()]
    offences = list(check(layers))
    print('\n'.join(offences) or 'the layers are in order')
    return 1 if offences else 0


if __name__ == '__main__':
    sys.exit(main())
