#!/usr/bin/python3
"""A random walk of operators and faults over three booted systems with the installed package.

    tests/extra/walk/run.py [--actions 200] [--seed S]
    tests/extra/walk/run.py --each NUMBER

Each action is what an operator does, or what happens to the address, the units, the daemon or the host; some happen while
another one lasts. What is done follows from the seed alone; what becomes of it depends on the machine. Prints each action as
it is done, and at the end how often each kind was done, and two counts that must be 0:

two holders          the floating address was on two hosts at once, as their kernels tell, or processes of the work ran on two
unnoticed absences   the address or the work was missing on the acting primary for longer than GRACE and half a second, and its
                     journal does not tell why; or, if the host is off, that of another one does not

With --each it does every action by itself, and prints a table: whether the role moved, for how long the address was not
answered, and what went wrong.

PRIMARYD_DEB names the package under test (tests/all walk builds it). Exit code 1 if a count is not 0, the site did not heal, or
with --each an action could not be done.
"""

import os
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path[:0] = [os.path.join(TOP, 'tests', *below) for below in (('extra', 'walk'), ('system',), ('integration',))]

import walk  # noqa: E402

sys.exit(walk.main(__doc__))
