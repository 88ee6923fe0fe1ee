"""The test laboratory: ZooKeeper servers, nodes, proxies, network namespaces, and an oracle.

Used by pytest (conftest.py), the demo, the benchmarks and the soak test. Needs Debian's python3 and
python3-kazoo alone (systemd.py: dbus-daemon, too). Everything runs on 127.0.0.1 or in network namespaces
of its own, below one temporary directory, and ends with the process that started it.
"""
