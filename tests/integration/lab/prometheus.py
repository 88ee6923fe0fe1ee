"""A Prometheus that scrapes primaryd-http, and what it answers."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from . import process
from .ports import free_port
from .wait import wait_until


class Prometheus:
    """Scrapes the http.Endpoints from here on. A context manager; inside it answers."""

    def __init__(self, directory, endpoints, interval='1s', rules=()):
        """rules: paths of rule files, which are evaluated each second."""
        self.url = f'http://127.0.0.1:{free_port()}'
        self.begin = time.time()
        config = os.path.join(directory, 'prometheus.yml')
        targets = [f'127.0.0.1:{endpoint.port}' for endpoint in endpoints]
        with open(config, 'w', encoding='utf-8') as file:
            json.dump({'global': {'scrape_interval': interval, 'evaluation_interval': '1s'}, 'rule_files': list(rules),
                       'scrape_configs': [{'job_name': 'primaryd', 'static_configs': [{'targets': targets}]}]}, file)
        self.child = process.spawn(
            ['prometheus', f'--config.file={config}', f'--storage.tsdb.path={directory}/tsdb',
             f'--web.listen-address={self.url.removeprefix("http://")}'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        try:
            wait_until(self._is_ready, 30, 'prometheus is ready', 0.1)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        process.kill(self.child)

    def _is_ready(self):
        try:
            with urllib.request.urlopen(f'{self.url}/-/ready', timeout=5) as response:
                return response.status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def _ask(self, kind, **query):
        with urllib.request.urlopen(f'{self.url}/api/v1/{kind}?{urllib.parse.urlencode(query)}', timeout=30) as response:
            return json.load(response)['data']['result']

    def query(self, expression):
        """[{metric: {label: value}, value: [time, text]}] now."""
        return self._ask('query', query=expression)

    def query_range(self, expression, step_s):
        """[{metric: {label: value}, values: [[time, text]]}] from the begin up to now."""
        return self._ask('query_range', query=expression, start=self.begin, end=time.time(), step=step_s)
