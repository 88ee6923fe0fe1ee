#!/usr/bin/python3
"""Random faults against a three-server ensemble and several nodes, for as long as you like.

    tests/extra/soak/run.py --minutes N [--seed S] [--nodes 5] [--session 4s] [--round R] [--keep DIRECTORY]

Rounds of faults, each followed by a calm in which the cluster must heal. The schedule follows from the seed (and the number
of the round) alone; what becomes of it depends on the machine. Prints what it does, then a table: faults survived by
kind, elections, unavailability, overlaps. The exit code is 1 if two nodes were ever at work at once, or the
cluster did not heal, or a daemon ended by itself.

PRIMARYD_BUILD names the build directory under test (default build/gcc). Everything is taken away again at the end;
--keep copies configurations and logs to a directory first, whatever the outcome.
"""

import os
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path[:0] = [os.path.join(TOP, 'tests', 'extra', 'soak'), os.path.join(TOP, 'tests', 'integration')]

import soak  # noqa: E402

sys.exit(soak.main(__doc__))
