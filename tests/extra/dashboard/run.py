#!/usr/bin/python3
"""A picture of the dashboard in conf/prometheus/grafana.json, drawn from what a Prometheus recorded of a soak.

    tests/extra/dashboard/run.py [--minutes 10] [--seed 11] [--answers FILE] PICTURE

Runs tests/extra/soak with a primaryd-http for every node and a Prometheus that scrapes them each second. Prometheus
evaluates the dashboard's own queries; matplotlib stands in for Grafana, which Debian does not have: panels, places, titles,
units, mappings and thresholds are those of the dashboard, the looks are not Grafana's. --answers keeps what Prometheus
answered in FILE; if FILE exists, the picture is drawn from it, without a soak.

Needs the packages of tests/packages.sh dashboard.
"""

import argparse
import contextlib
import json
import os
import re
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path[:0] = [os.path.join(TOP, 'tests', 'extra', 'soak'), os.path.join(TOP, 'tests', 'integration')]

import soak  # noqa: E402
from draw import draw  # noqa: E402
from lab.http import Endpoint  # noqa: E402
from lab.prometheus import Prometheus  # noqa: E402

DASHBOARD = os.path.join(TOP, 'conf', 'prometheus', 'grafana.json')
NODES = 5
SESSION_S = 4.0
STEP_S = 1


class WatchedSoak(soak.Soak):
    """A soak that Prometheus watches from the first calm on, until the nodes are told to stop."""

    def __init__(self, options, directory):
        super().__init__(options, directory)
        self.directory = directory
        self.stack = contextlib.ExitStack()
        self.prometheus = None
        self.answers = None

    def calm(self):
        if not self.prometheus:
            endpoints = [self.stack.enter_context(Endpoint(member)) for member in self.cluster.members]
            self.prometheus = self.stack.enter_context(Prometheus(self.directory, endpoints))
        super().calm()

    def stop(self):
        self.answers = {target['expr']: self.prometheus.query_range(target['expr'].replace('$root', '.*'), STEP_S)
                        for panel in panels() for target in panel['targets']}
        self.stack.close()
        super().stop()


def panels():
    with open(DASHBOARD, encoding='utf-8') as file:
        return json.load(file)['panels']


def record(minutes, seed):
    """{expression: what Prometheus answered}"""
    options = argparse.Namespace(minutes=minutes, seed=seed, nodes=NODES, session=SESSION_S, round=1, keep=None)
    with tempfile.TemporaryDirectory(prefix='primaryd-dashboard-') as directory:
        watched = WatchedSoak(options, directory)
        with watched.stack:
            if soak.account(watched):
                sys.exit('the soak failed')
        return watched.answers


def legend(target, metric):
    return re.sub(r'{{(\w+)}}', lambda match: metric.get(match[1], ''), target.get('legendFormat', ''))


def series(panel, answers):
    """[(name, [(time, number)])], without the gaps."""
    return [(legend(target, one['metric']), [(at, float(text)) for at, text in one['values'] if text != 'NaN'])
            for target in panel['targets'] for one in answers[target['expr']]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=10.0)
    parser.add_argument('--seed', type=int, default=11)
    parser.add_argument('--answers', metavar='FILE')
    parser.add_argument('picture', metavar='PICTURE', help='its name tells the format: .svg, .png')
    options = parser.parse_args()
    if options.answers and os.path.exists(options.answers):
        with open(options.answers, encoding='utf-8') as file:
            answers = json.load(file)
    else:
        answers = record(options.minutes, options.seed)
    if options.answers and not os.path.exists(options.answers):
        with open(options.answers, 'w', encoding='utf-8') as file:
            json.dump(answers, file)
    draw([(panel, series(panel, answers)) for panel in panels()], options.picture)


if __name__ == '__main__':
    main()
