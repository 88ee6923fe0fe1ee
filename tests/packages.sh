#!/bin/bash
# Sees to it that the Debian packages are there which a purpose needs.
#
#   tests/packages.sh [build|demo|test|system]    (default: test; each contains the one before)
#   tests/packages.sh peer-NAME|dashboard
#   tests/packages.sh --list PURPOSE        (installs nothing)
#
# build    build primaryd and run the unit tests
# demo     build primaryd and run three nodes on a local ZooKeeper
# test     build with both compilers and run tests/all
# system   boot containers with the installed package
# dashboard draw the picture of the dashboard (tests/extra/dashboard/run.py)
# peer-... run NAME (keepalived, curator, kazoo, patroni) in tests/extra/peers/run.py
#
# Nothing is done when all are there. Otherwise they are installed, by root or with a sudo that asks
# nothing; if neither is at hand, the one line to run is printed and the exit code is 1.
set -euo pipefail

BUILD=(gcc libc6-dev meson ninja-build pkg-config
	libzookeeper-st-dev libev-dev libsystemd-dev libinih-dev libjson-c-dev libmd-dev libsmartcols-dev libcmocka-dev
	scdoc git python3 procps util-linux)
DEMO=(python3-kazoo libzookeeper-java libslf4j-java default-jre-headless)
TEST=(mount libmicrohttpd-dev haproxy prometheus clang clang-format libclang-rt-dev python3-pytest python3-pytest-xdist iproute2 nftables strace
	dbus-daemon gcovr zsh fish e2fsprogs)
SYSTEM=(systemd-container dbus polkitd needrestart stunnel4 postgresql build-essential debhelper fakeroot lintian mmdebstrap rpm)

declare -A PEERS=(
	[keepalived]="keepalived"
	[curator]="default-jdk-headless libcurator-recipes-java libcurator-framework-java libcurator-client-java libguava-java"
	[kazoo]="python3-kazoo"
	[patroni]="patroni postgresql python3-psycopg2 python3-kazoo"
)

# The packages of a purpose, one a line.
wanted() {
	local peer=${1#peer-}
	if [ "$peer" != "$1" ] && [ -n "${PEERS[$peer]-}" ]; then
		printf '%s\n' ${PEERS[$peer]}
		return
	fi
	printf '%s\n' "${BUILD[@]}"
	case $1 in
	build) ;;
	demo) printf '%s\n' "${DEMO[@]}" ;;
	dashboard) printf '%s\n' "${DEMO[@]}" "${TEST[@]}" python3-matplotlib ;;
	test) printf '%s\n' "${DEMO[@]}" "${TEST[@]}" ;;
	system) printf '%s\n' "${DEMO[@]}" "${TEST[@]}" "${SYSTEM[@]}" ;;
	*)
		echo "usage: tests/packages.sh [build|demo|test|system|peer-NAME|dashboard]" >&2
		exit 2
		;;
	esac
}

installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing() {
	local all=("$@") have
	# One call for all of them: packages that dpkg never heard of are errors, and simply not listed.
	have=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${all[@]}" 2>/dev/null |
		sed -n 's/^installed //p' || true)
	printf '%s\n' "${all[@]}" | grep -vxF -- "$have" || true
}

main() {
	local list packages
	if [ "${1-}" = --list ]; then
		wanted "${2:-test}"
		return
	fi
	list=$(wanted "${1:-test}")
	if ! command -v dpkg-query >/dev/null; then
		echo "tests/packages.sh: this is not Debian; please see to the equivalents of:" $list >&2
		return 0
	fi
	mapfile -t packages < <(missing $list)
	[ ${#packages[@]} -gt 0 ] || return 0

	# The two client libraries exclude each other, and apt would silently take the other one away.
	if printf '%s\n' "${packages[@]}" | grep -qx libzookeeper-st-dev && installed libzookeeper-mt-dev; then
		cat >&2 <<-END
			tests/packages.sh: libzookeeper-mt-dev is installed, and primaryd is built with libzookeeper-st-dev;
			Debian allows only one of them at a time. If nothing here needs the first, run
			    apt-get remove libzookeeper-mt-dev
			and start again. Nothing was changed.
		END
		return 1
	fi

	local root=()
	if [ "$(id -u)" != 0 ]; then
		if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
			echo "tests/packages.sh: packages are missing; please run as root:" >&2
			echo "    apt-get update && apt-get install --no-install-recommends ${packages[*]}" >&2
			return 1
		fi
		root=(sudo -n)
	fi

	echo "installing: ${packages[*]}"
	local log
	log=$(mktemp)
	if ! { "${root[@]}" apt-get update &&
		"${root[@]}" env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y --no-install-recommends "${packages[@]}"; } >"$log" 2>&1 </dev/null; then
		cat "$log" >&2
		rm -f "$log"
		echo "tests/packages.sh: could not install ${packages[*]}" >&2
		return 1
	fi
	rm -f "$log"
}

main "$@"
