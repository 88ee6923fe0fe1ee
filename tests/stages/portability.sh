# Stages that run the checks on other releases of Debian. Each has its root directory in build/root, which is kept.

# debian_root NAME PACKAGES RELEASE [ARGUMENT OF MMDEBSTRAP]...: makes the root directory of a release with these packages
# (one a line); prints its path.
debian_root() {
	local root=$BUILD_ROOT/root/$1
	if [ ! -e "$root.made" ]; then
		rm -rf "$root"
		mkdir -p "$BUILD_ROOT/root"
		# A mirror may be a copy of some day.
		mmdebstrap --variant=apt --aptopt='Acquire::Check-Valid-Until "false"' --include="$(paste -sd, <<<"$2")" \
			"$3" "$root" "${@:4}" >"$root.log" 2>&1 || { tail -n 20 "$root.log" >&2; return 1; }
		touch "$root.made"
	fi
	echo "$root"
}

# Copies the tree into a root directory, as /src.
copy_tree() {
	tree_into "$1/src"
	git -C "$1/src" init -q # the stages ask git for the files of the tree
}

# Runs a command in a root directory, with namespaces of its own for mounts and processes. The root is a mount point, as
# unshare(1) wants it to be for more of them.
run_in_root() {
	# shellcheck disable=SC2016
	unshare --mount --pid --fork --kill-child bash -c '
		mount --bind "$1" "$1" && mount --rbind /dev "$1/dev" && mount --rbind /sys "$1/sys" && mount -t proc proc "$1/proc" &&
			mount -t tmpfs tmpfs "$1/run" && mount -t tmpfs tmpfs "$1/tmp" || exit 1
		exec chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "${@:2}"' - "$@"
}

# A release: unit tests, simulator, the package and its own test, integration tests in its root directory; then three
# booted systems of that release. All of it runs, whatever fails.
on_release() {
	local root status=0
	root=$(debian_root "$1" "$(tests/packages.sh --list system; printf '%s\n' systemd-sysv jq)" "$1") || return 1
	copy_tree "$root"
	run_in_root "$root" bash -c 'cd /src && PYTEST_JOBS=4 tests/all unit sim package integration' || status=1
	run_in_root "$root" bash -c 'mkdir /tmp/t && apt-get install -y /src/build/deb/primaryd_*.deb >/dev/null &&
		AUTOPKGTEST_TMP=/tmp/t /src/debian/tests/switchover' || status=1
	run_in_root "$root" apt-get purge -y primaryd >/dev/null || status=1
	PYTEST_JOBS=0 PRIMARYD_ROOT=$root PRIMARYD_DEB=$(ls "$root"/src/build/deb/primaryd_*.deb) run_pytest tests/system || status=1
	return $status
}

can_make_roots() {
	[ "$(id -u)" = 0 ] || skip "needs root"
	command -v mmdebstrap >/dev/null || skip "needs mmdebstrap (tests/packages.sh system)"
}

# the same on Debian 13
stage_debian13() {
	can_make_roots
	on_release trixie
}

# how it fares on the Debian to come: reported, and no failure
stage_sid() {
	can_make_roots
	on_release sid || echo "sid: not all of it passes"
}

# a build for processors of 32 bits (i386), and its unit tests
stage_i386() {
	local root
	can_make_roots
	[ "$(dpkg --print-architecture)" = amd64 ] || skip "needs a processor that runs i386 programs"
	root=$(debian_root i386 "$(tests/packages.sh --list build; printf '%s\n' libmicrohttpd-dev netbase)" bookworm \
		"deb http://deb.debian.org/debian bookworm main" --architectures=i386 --skip=check/qemu)
	copy_tree "$root"
	run_in_root "$root" bash -c 'cd /src && CC=gcc meson setup build -Dwerror=true && ninja -C build &&
		meson test -C build --no-rebuild --suite unit --timeout-multiplier 4'
}
