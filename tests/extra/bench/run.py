#!/usr/bin/python3
"""Benchmarks: each measures its floor or its peer beside it, in the same run on the same three-server ensemble.

    tests/extra/bench/run.py [--quick] [--json FILE] [BENCH...]

BENCH: claim, handover, peers, crash, resume, trips, steps, writes, idle, memory, status (default: all). A row that
misses its bound three times makes the exit code 1, but not with --quick: what else runs on the machine decides those.
"""

import argparse
import json
import logging
import os
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path[:0] = [os.path.join(TOP, 'tests', 'extra', 'bench'), os.path.join(TOP, 'tests', 'integration')]

import cases  # noqa: E402
from lab import zk  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='fewer rounds')
    parser.add_argument('--json', metavar='FILE', help='keep the figures')
    parser.add_argument('benches', nargs='*', metavar='BENCH', choices=[*cases.BENCHES, []])
    options = parser.parse_args()
    logging.getLogger('kazoo').setLevel(logging.CRITICAL)  # servers die here
    rows = []
    with tempfile.TemporaryDirectory(prefix='primaryd-bench-', dir=cases.RUNTIME) as directory, zk.Ensemble(3) as ensemble:
        for name in options.benches or cases.BENCHES:
            print(f'-- {name}', file=sys.stderr, flush=True)
            rows += cases.BENCHES[name](ensemble, os.path.join(directory, name), options.quick)
    print(f'{"what":<48} {"median":>12} {"99th":>12} {"ratio":>7}  bound')
    for row in rows:
        print(f'{row.what:<48} {row.median:>12} {row.high:>12} {row.ratio:>7}  {row.bound}{"" if row.ok else "  MISSED"}')
    if options.json:
        with open(options.json, 'w', encoding='utf-8') as file:
            json.dump([row._asdict() for row in rows], file, indent=1)
    missed = sum(not row.ok for row in rows)
    if missed:
        print(f'{missed} rows missed their bound; an idle machine, and no --quick, tells whether that is so')
    failed = 0 if options.quick else missed
    print(f'{len(rows) - failed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
