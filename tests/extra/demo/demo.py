#!/usr/bin/python3
"""tests/demo, once everything is built: see there."""

import argparse
import logging
import os
import signal
import sys
import traceback

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'integration'))

# pylint: disable=wrong-import-position
from cluster import Cluster  # noqa: E402
from meter import Meter  # noqa: E402
from tour import Tour  # noqa: E402

THREE_SERVERS_KB = 600 * 1024


def available_kb():
    with open('/proc/meminfo', encoding='ascii') as file:
        return next(int(line.split()[1]) for line in file if line.startswith('MemAvailable:'))


def arguments():
    parser = argparse.ArgumentParser(prog='tests/demo', add_help=False)
    parser.add_argument('--directory', required=True)
    parser.add_argument('--once', action='store_true')
    parser.add_argument('--picture')
    parser.add_argument('--servers', type=int, choices=(1, 3))
    parser.add_argument('--nodes', type=int, choices=range(2, 6), default=3)
    parser.add_argument('--keep', action='store_true')
    options = parser.parse_args()
    options.servers = options.servers or (3 if available_kb() > THREE_SERVERS_KB else 1)
    return options


SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Ending:
    """
    One signal ends the demonstration; those that follow, and any while it tidies up, must not disturb it. If the signal comes
    while Python runs a finalizer, which raises nothing, the exit is raised a moment later.
    """

    begun = False

    @classmethod
    def by_alarm(cls, *_):
        sys.exit(128 + signal.SIGINT)

    @classmethod
    def not_raised(cls, args):
        if issubclass(args.exc_type, SystemExit):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
        else:
            sys.__unraisablehook__(args)

    @classmethod
    def by_signal(cls, number, _):
        if not cls.begun:
            cls.begun = True
            sys.exit(128 + number)


def run_once(cluster, picture):
    """The exit code."""
    tour = Tour(cluster, lambda: Meter(cluster.addresses, cluster.port), picture)
    try:
        tour.run()
        return 0
    except Exception as error:  # pylint: disable=broad-except
        what = error if isinstance(error, AssertionError) else f'{type(error).__name__}: {error}'
        print(f'\nFAILED at step {tour.number}, {tour.title}:\n{what}', file=sys.stderr)
        print(f'\nLogs and configurations: {cluster.directory}', file=sys.stderr)
        return 1
    finally:
        if tour.meter:
            tour.meter.stop()


def main():
    options = arguments()
    logging.getLogger('kazoo').setLevel(logging.CRITICAL + 1)
    for number in SIGNALS:
        signal.signal(number, Ending.by_signal)
    signal.signal(signal.SIGALRM, Ending.by_alarm)
    sys.unraisablehook = Ending.not_raised
    cluster = Cluster(options.directory, options.nodes, options.servers)
    keep = options.keep
    try:
        try:
            if options.once:
                code = run_once(cluster, options.picture)
                keep = keep or code != 0
            else:
                from screen import run_view  # noqa: E402
                code = run_view(cluster)
            if options.keep:
                print(f'Logs and configurations: {cluster.directory}')
            return code
        finally:
            Ending.begun = True  # a signal that comes before this line ends this block, not the next
    finally:
        cluster.close(keep)


def end():
    """Ends the process with the exit code of main(). Threads of libraries are not waited for: one may wait itself, for a
    server that is gone."""
    try:
        code = main()
    except SystemExit as ending:
        code = ending.code
    except BaseException:  # pylint: disable=broad-except
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == '__main__':
    end()
