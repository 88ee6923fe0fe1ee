# Stages that compile and run unit tests. Other stages call build_tree too: it costs nothing when all is built.

# Sets up build/NAME, if need be, and builds it (or the targets named) quietly; the compiler's words are shown if it fails.
build_tree() {
	local name=$1 dir=$BUILD_ROOT/$1 log=$BUILD_ROOT/$1.log
	[ -f meson.build ] || skip "no meson.build yet"
	(
		flock 9 # stages run side by side
		if [ ! -f "$dir/build.ninja" ]; then
			setup_tree "$name" "$dir" >"$log" 2>&1 || { tail -n 60 "$log"; exit 1; }
		fi
		ninja -C "$dir" -j "$JOBS" "${@:2}" >"$log" 2>&1 || { tail -n 60 "$log"; exit 1; }
		tail -n 1 "$log"
	) 9>"$dir.lock"
}

setup_tree() {
	local name=$1 dir=$2
	case $name in
	gcc) CC=gcc meson setup "$dir" -Dwerror=true -Dfault-points=true ;;
	clang) CC=clang meson setup "$dir" -Dwerror=true ;;
	asan)
		# gcc's sanitizers: they name the source lines without further packages. With less optimisation and debug
		# information, the build takes half the time.
		CC=gcc meson setup "$dir" -Dwerror=true -Dfault-points=true -Db_sanitize=address,undefined -Db_lundef=false \
			-Doptimization=1 "-Dc_args=-fno-sanitize-recover=all -g1"
		;;
	fuzz)
		CC=clang meson setup "$dir" -Db_sanitize=address,undefined -Db_lundef=false -Dman-pages=disabled \
			"-Dc_args=-fsanitize=fuzzer-no-link -fno-sanitize-recover=all"
		;;
	coverage) CC=gcc meson setup "$dir" -Dfault-points=true -Db_coverage=true -Doptimization=0 ;;
	*) echo "no such build: $name"; return 1 ;;
	esac
}

# Configurations that users and distributions build with, as arguments of meson; CC=... may come first.
OTHER_BUILDS=(
	"--buildtype=plain"
	"--buildtype=debug"
	"--buildtype=release"
	"--buildtype=minsize"
	"--buildtype=release -Db_lto=true -Dtests=disabled"
	"-Db_ndebug=true"
	"CC=clang --buildtype=release"
	"--buildtype=plain DEBIAN"
	"--buildtype=plain -Db_lto=true -Dtests=disabled FEDORA"
)

# The flags of hardening=+all, and those of Fedora 43.
debian_flags() {
	export DEB_BUILD_MAINT_OPTIONS="hardening=+all"
	printf '%s\0' "-Dc_args=$(dpkg-buildflags --get CFLAGS) $(dpkg-buildflags --get CPPFLAGS)" \
		"-Dc_link_args=$(dpkg-buildflags --get LDFLAGS)"
}

fedora_flags() {
	printf '%s\0' "-Dc_args=-O2 -flto=auto -ffat-lto-objects -fexceptions -g -grecord-gcc-switches -Wall \
-Werror=format-security -Wp,-U_FORTIFY_SOURCE,-D_FORTIFY_SOURCE=3 -Wp,-D_GLIBCXX_ASSERTIONS -fstack-protector-strong \
-fasynchronous-unwind-tables -fstack-clash-protection -fno-omit-frame-pointer" \
		"-Dc_link_args=-Wl,-z,relro -Wl,--as-needed -Wl,-z,now -Wl,--build-id=sha1"
}

# Builds one of them without a warning, and throws it away.
other_build() (
	local dir=$BUILD_ROOT/other args=()
	echo "    $1"
	rm -rf "$dir"
	set -f
	for word in $1; do
		case $word in
		CC=*) export "${word?}" ;;
		DEBIAN) mapfile -t -d '' -O "${#args[@]}" args < <(debian_flags) ;;
		FEDORA) mapfile -t -d '' -O "${#args[@]}" args < <(fedora_flags) ;;
		*) args+=("$word") ;;
		esac
	done
	meson setup "$dir" -Dwerror=true "${args[@]}" >"$dir.log" 2>&1 || { tail -n 20 "$dir.log"; exit 1; }
	ninja -C "$dir" -j "$JOBS" >"$dir.log" 2>&1 || { grep -A5 -E 'error|FAILED' "$dir.log" | head -n 60; exit 1; }
	nm --undefined-only "$dir/daemon/primaryd" | grep __assert_fail >/dev/null || { echo "without assertions"; exit 1; }
	rm -rf "$dir"
)

# A second installation leaves an edited configuration alone, and the program expects it where it is.
installs_twice() {
	local dir=$BUILD_ROOT/other conf=$BUILD_ROOT/other/dest/opt/c/primaryd/primaryd.conf
	echo "    meson install"
	rm -rf "$dir"
	meson setup "$dir" --prefix=/opt/p --sysconfdir=/opt/c -Dtests=disabled -Dman-pages=disabled >"$dir.log" &&
		DESTDIR=$dir/dest meson install -C "$dir" >>"$dir.log" &&
		cmp "$conf" conf/primaryd.conf &&
		echo '# mine' >>"$conf" &&
		DESTDIR=$dir/dest meson install -C "$dir" >>"$dir.log" &&
		grep -qx '# mine' "$conf" &&
		"$dir/dest/opt/p/sbin/primaryd" --help | grep /opt/c/primaryd/primaryd.conf >/dev/null &&
		rm -rf "$dir"
}

# The tree, in a directory of that name.
tree_into() {
	rm -rf "$1"
	mkdir -p "$1"
	git ls-files -co --exclude-standard | tar -c -T - --ignore-failed-read | tar -x -C "$1"
}

# The Debian package as its documentation builds it, unit tests included.
builds_deb() {
	command -v dh >/dev/null || { echo "    not built: the Debian package, which needs debhelper"; return 0; }
	echo "    dpkg-buildpackage"
	tree_into "$BUILD_ROOT/other/primaryd"
	(cd "$BUILD_ROOT/other/primaryd" && dpkg-buildpackage -b -us -uc) >"$BUILD_ROOT/other.log" 2>&1 ||
		{ tail -n 40 "$BUILD_ROOT/other.log"; return 1; }
	grep -c ' OK  ' "$BUILD_ROOT/other.log"
	rm -rf "$BUILD_ROOT/other"
}

# The package for rpm, as far as Debian has it.
builds_rpm() {
	local dir=$BUILD_ROOT/other name
	command -v rpmbuild >/dev/null || { echo "    not built: the RPM, which needs rpmbuild"; return 0; }
	echo "    rpmbuild"
	name=primaryd-$(sed -n 's/^Version: *//p' packaging/primaryd.spec)
	tree_into "$dir/$name"
	mkdir -p "$dir/rpm/SOURCES"
	tar -c -z -f "$dir/rpm/SOURCES/$name.tar.gz" -C "$dir" "$name"
	rpmbuild -bb --nodeps --define "_topdir $dir/rpm" packaging/primaryd.spec >"$dir.log" 2>&1 ||
		{ tail -n 40 "$dir.log"; return 1; }
	rpm -qlp "$dir"/rpm/RPMS/*/primaryd-[0-9]*.rpm | grep -c .
	rm -rf "$dir"
}

# Makes what sanitizers find fatal, with an exit code that nothing else uses.
sanitizer_environment() {
	export ASAN_OPTIONS=exitcode=99:detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1
	export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
}

# Runs the programs that meson knows as tests, and shows their own closing lines.
run_unit_tests() {
	local dir=$BUILD_ROOT/$1 status=0
	meson test -C "$dir" --no-rebuild --print-errorlogs "${@:2}" || status=$?
	if [ -f "$dir/meson-logs/testlog.txt" ]; then
		grep -hE '^\[  (PASSED|FAILED)  \] [0-9]+ test|^=+ .*(passed|failed).* =+$|^[0-9]+ (passed|failed)' \
			"$dir/meson-logs/testlog.txt" || true
	fi
	return $status
}

# build with clang, optimised; warnings are errors
stage_clang() {
	build_tree clang
}

# build with gcc and its address and undefined behaviour sanitizers; warnings are errors
stage_asan() {
	build_tree asan
}

# build with gcc, optimised; warnings are errors
stage_gcc() {
	build_tree gcc
}

# every way in which users and distributions build it; warnings are errors
stage_builds() {
	local build status=0
	for build in "${OTHER_BUILDS[@]}"; do
		other_build "$build" || status=1
	done
	installs_twice || status=1
	builds_deb || status=1
	builds_rpm || status=1
	return $status
}

# unit tests, and parsers over their corpus, under the sanitizers
stage_unit() {
	sanitizer_environment
	build_tree asan
	run_unit_tests asan --timeout-multiplier 4 --num-processes 8
}

# parsers of foreign bytes, fuzzed for 20 seconds each
stage_fuzz() {
	echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d && n > 9; }' |
		clang -x c - -o /dev/null -fsanitize=fuzzer,address,undefined 2>/dev/null ||
		skip "clang with libFuzzer is not here"
	build_tree fuzz fuzzers
	sanitizer_environment
	tests/fuzz/run.sh "$BUILD_ROOT/fuzz" 20
}
