#!/bin/bash
# Static analysis and valgrind: what compilers do not see. Not part of tests/all: it takes some minutes, and tools differ.
#
#   tests/extra/lint/run.sh [cppcheck|tidy|scan|valgrind...]     default: all of them
#
# Each is clean or fails. What is switched off, and why:
#   cppcheck   assertWithSideEffect, assignmentInAssert: assertions are never compiled out here; one uninitvar: it does not see that the variable is
#              read only after the call that sets it succeeded
#   tidy       opinions that contradict the house rules, and `comparing object representation`: struct state is zeroed
#              before it is filled, which is what makes it comparable
#   scan       unix.Malloc: clang 14's analyzer takes list elements for freed that another list holds, since it does not see
#              that they were taken out by their link; valgrind and AddressSanitizer look for the same
# gcc -fanalyzer is not among them: that of Debian 12 reports paths that cannot be (it does not follow a condition kept in a
# variable, as in zkh_op_begin()).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
build=${BUILD_ROOT:-$PWD/build}/lint
jobs=${JOBS:-$(nproc)}
[ $# -gt 0 ] || set -- cppcheck tidy scan valgrind
mapfile -t sources < <(find lib daemon ctl http systemd -name "*.c")
failed=0

[ -f "$build/build.ninja" ] || CC=clang meson setup "$build" >/dev/null || exit 1

run_cppcheck() {
	cppcheck -j "$jobs" --quiet --std=c11 --enable=warning,portability,performance --inline-suppr --error-exitcode=1 \
		--suppress=missingIncludeSystem --suppress=unknownMacro --suppress=assertWithSideEffect --suppress=assignmentInAssert \
		--suppress=uninitvar:daemon/guard/lease_file.c -D_GNU_SOURCE '-DPRIMARYD_VERSION="x"' -Ilib -Idaemon -Ictl -Ihttp -Isystemd \
		"${sources[@]}"
}

run_tidy() {
	printf '%s\n' "${sources[@]}" | xargs -P "$jobs" -n 8 clang-tidy -p "$build" --quiet --warnings-as-errors='*' \
		--checks='-*,bugprone-*,cert-err*,performance-*,-bugprone-easily-swappable-parameters,-bugprone-narrowing-conversions,-bugprone-reserved-identifier,-bugprone-sizeof-expression,-bugprone-suspicious-string-compare,-bugprone-suspicious-memory-comparison,-cert-exp42-c,-cert-flp37-c,-bugprone-assignment-in-if-condition,-cert-err33-c,-bugprone-macro-parentheses,-bugprone-implicit-widening-of-multiplication-result,-bugprone-branch-clone,-performance-no-int-to-ptr,-cert-err34-c,-bugprone-suspicious-include' \
		2>/dev/null
}

run_scan() {
	local dir=$build-scan
	rm -rf "$dir"
	CC=clang scan-build meson setup "$dir" -Dtests=disabled >/dev/null || return 1
	scan-build --status-bugs --exclude /usr -disable-checker unix.Malloc ninja -C "$dir" -j "$jobs" >"$dir.log" 2>&1 && return 0
	grep -E 'warning:|error:|bugs found' "$dir.log"
	return 1
}

run_valgrind() {
	local dir=$build-valgrind
	[ -f "$dir/build.ninja" ] || CC=gcc meson setup "$dir" >/dev/null || return 1
	ninja -C "$dir" -j "$jobs" | tail -n 1
	# pidfd_open is unknown to valgrind 3.19: what runs commands (and test_state, which executes itself) is left to the sanitizers.
	meson test -C "$dir" --no-rebuild --print-errorlogs --timeout-multiplier 20 \
		--wrapper 'valgrind -q --leak-check=full --error-exitcode=9' \
		$(meson test -C "$dir" --list 2>/dev/null | sed 's/.* - //; s/^primaryd://' |
			grep -vE 'state|command|health|guard|keeper|readme|keys-|election_walk|check|sim|blocks|man|docs|ctl' | sort -u) |
		grep -vE ' OK |^$|^ninja|Full log'
}

for tool; do
	printf '=== %s\n' "$tool"
	if "run_$tool"; then
		echo "--- $tool: clean"
	else
		echo "--- $tool: see above"
		failed=$((failed + 1))
	fi
done
[ "$failed" = 0 ]
