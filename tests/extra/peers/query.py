#!/usr/bin/python3
"""Beats, as beat.c does, while the database behind a socket takes writes.

    query.py SOCKET_DIRECTORY NODE WORK_LOG
"""

import os
import sys
import time

import psycopg2

PAUSE_S = 0.005


def ask(directory):
    """Yields whether it takes writes, until it goes away."""
    connection = psycopg2.connect(host=directory, user='postgres', dbname='postgres', connect_timeout=2)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            while True:
                cursor.execute('SELECT pg_is_in_recovery()')
                yield not cursor.fetchone()[0]
    finally:
        connection.close()


def main():
    directory, node, path = sys.argv[1:]
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    while True:
        try:
            for writable in ask(directory):
                if writable:
                    os.write(log, f'{node} {os.getpid()} {time.clock_gettime_ns(time.CLOCK_BOOTTIME)}\n'.encode())
                time.sleep(PAUSE_S)
        except psycopg2.Error:
            time.sleep(PAUSE_S)


main()
