"""primaryd-tunnel.service: its own user, its credential, its sandbox, and the check of host names."""

import os

from lab import tls

CONFIG = '''[zookeeper]
servers = zk1.test:2281 zk2.test:2281
tls-ca = /etc/primaryd/tls/ca.pem
tls-cert = /etc/primaryd/tls/node.pem
tls-key = /run/credentials/primaryd-tunnel@tls.service/key
'''

# A server that demands a certificate, and bears the name of the first of the two alone.
SERVER = ('systemd-run --unit=tls-server --collect sh -c "yes | openssl s_server -accept 2281 -cert /run/zk.pem -key /run/zk.key '
          '-CAfile /etc/primaryd/tls/ca.pem -Verify 2 -verify_return_error -quiet"')
LISTENS = 'for _ in $(seq 100); do grep -q ":08E9 .* 0A " /proc/net/tcp /proc/net/tcp6 && exit 0; sleep 0.05; done; exit 1'
ASK = '''for _ in $(seq 100); do pgrep -x stunnel >/dev/null && break; sleep 0.05; done
for address in $(sed -n 's/^accept = //p' /run/primaryd.tunnel-tls/stunnel.conf); do
	for _ in $(seq 100); do { exec 3<>/dev/tcp/${address%:*}/${address#*:}; } 2>/dev/null && break; sleep 0.05; done
	echo "[$(timeout 5 head -c 1 <&3)]"
	exec 3>&-
done'''


def put(one, path, text, mode='600'):
    one.run('sh', '-c', 'mkdir -p $(dirname "$1") && printf "%s" "$2" >"$1" && chmod "$3" "$1"', 'sh', path, text, mode)


def check_tunnel(one, directory):
    authority = tls.Authority(os.path.join(directory, 'authority'))

    def read(path):
        with open(path, encoding='ascii') as file:
            return file.read()
    node_crt, node_key, _ = authority.issue('node')
    zk_crt, zk_key, _ = authority.issue('zk1', 'DNS:zk1.test')
    put(one, '/etc/primaryd/tls/ca.pem', read(authority.ca), '644')
    put(one, '/etc/primaryd/tls/node.pem', read(node_crt), '644')
    put(one, '/etc/credstore/primaryd-tunnel-tls.key', read(node_key))
    put(one, '/run/zk.pem', read(zk_crt))
    put(one, '/run/zk.key', read(zk_key))
    put(one, '/etc/primaryd/tls.conf', CONFIG, '644')
    one.shell('grep -q zk1.test /etc/hosts || echo "127.0.0.1 zk1.test zk2.test" >>/etc/hosts')
    try:
        one.shell(SERVER)
        one.shell(LISTENS)
        one.shell('systemctl start primaryd-tunnel@tls')
        answers = one.run('bash', '-c', ASK)
        assert answers.stdout.split() == ['[y]', '[]'], f'{answers}\n{one.journal_tail()}'
        said = one.shell('journalctl -o cat -u primaryd-tunnel@tls')
        assert 'CERT: Subject checks failed' in said and 'not permitted' not in said, said
        # It comes back at once, but not with a configuration that no restart mends.
        one.shell('systemctl kill --signal=KILL primaryd-tunnel@tls; while [ $(systemctl show -P NRestarts primaryd-tunnel@tls) = 0 ]; do sleep 0.05; done')
        assert one.run('bash', '-c', ASK).stdout.split() == ['[y]', '[]']
        put(one, '/etc/primaryd/tls.conf', CONFIG.replace('node.pem', 'nobody.pem'), '644')
        one.shell('systemctl restart primaryd-tunnel@tls; while systemctl is-active -q primaryd-tunnel@tls; do sleep 0.05; done')
        assert 'failed' in one.shell('systemctl is-failed primaryd-tunnel@tls', check=False)
        assert "/etc/primaryd/tls.conf:4: zookeeper.tls-cert: '/etc/primaryd/tls/nobody.pem' cannot be read" in one.shell(
            'journalctl -o cat -u primaryd-tunnel@tls')
    finally:
        one.shell('systemctl stop primaryd-tunnel@tls tls-server; systemctl reset-failed; '
                  'rm -rf /etc/primaryd/tls /etc/primaryd/tls.conf /etc/credstore/primaryd-tunnel-tls.key /run/zk.*', check=False)


def test_tunnel(site, tmp_path):
    check_tunnel(site.machines[0], str(tmp_path))
