#!/usr/bin/python3
"""Holds the blocks of the documents that are generated against the programs that they describe.

    tests/extra/readme/blocks.py [--write] TREE print_phases primaryd

A block stands between `<!-- begin NAME -->` and `<!-- end NAME -->`. --write puts in what it should be.
"""

import difflib
import re
import subprocess
import sys


def run(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def diagram(programs, *which):
    lines = [line.rstrip() for line in run(programs['print_phases'], *which).splitlines()]
    return '\n'.join(['```', *lines, '```', ''])


def phases(programs):
    return diagram(programs)


def keeper(programs):
    return diagram(programs, 'keeper')


def keys(programs):
    """The table of keys, from the list at the end of `primaryd --help`."""
    rows, section = ['| key | default | |', '|---|---|---|'], ''
    for line in run(programs['primaryd'], '--help').splitlines():
        heading = re.match(r'^\[(\w+)\]', line)
        key = re.match(r'^  ([a-z-]+) = ?(.*)$', line)
        if heading:
            section = heading[1]
        elif section and key:
            name, default = f'`{section}.{key[1]}`', key[2].strip()
            rows.append([name, f'`{default}`' if default else '', ''])
        elif section and line.startswith('      '):  # its description, and its type in brackets
            rows[-1][2] = re.sub(r' \([^()]*\)$', '', line.strip()).replace('|', '\\|')
    return '\n'.join(row if isinstance(row, str) else '| ' + ' | '.join(row) + ' |' for row in rows) + '\n'


BLOCKS = {'doc/operations.md': {'keys': keys}, 'doc/design.md': {'phases': phases, 'keeper': keeper}}


def main():
    write = '--write' in sys.argv
    tree, print_phases, primaryd = [argument for argument in sys.argv[1:] if argument != '--write']
    programs = {'print_phases': print_phases, 'primaryd': primaryd}
    return max(hold(f'{tree}/{path}', blocks, programs, write) for path, blocks in BLOCKS.items())


def hold(path, blocks, programs, write):
    with open(path, encoding='utf-8') as file:
        before = after = file.read()
    for name, make in blocks.items():
        block = f'<!-- begin {name} -->\n{make(programs)}<!-- end {name} -->'
        expression = re.compile(f'<!-- begin {name} -->\n.*?<!-- end {name} -->', re.S)
        if len(expression.findall(after)) != 1:
            print(f'{path}: there must be one block {name}')
            return 1
        after = expression.sub(lambda _, block=block: block, after)
    if write:
        with open(path, 'w', encoding='utf-8') as file:
            file.write(after)
    elif before != after:
        sys.stdout.writelines(difflib.unified_diff(before.splitlines(True), after.splitlines(True), path, 'as it should be'))
        return 1
    print(f'{path}: {len(blocks)} block(s) as they should be')
    return 0


if __name__ == '__main__':
    sys.exit(main())
