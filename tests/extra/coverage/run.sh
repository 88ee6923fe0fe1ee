#!/bin/bash
# Lines of lib/ and daemon/ that tests reach: build, run, a table of the files below 90 %, and the total. Fails when that is
# below 90 %.
#
#   tests/extra/coverage/run.sh [unit|all]     unit: the unit tests alone, without a bound; all (default): also the quick integration
#                                 tests and the load driver
#
# Builds in build/coverage (BUILD_ROOT names another place); what is missed, by line, is in coverage.txt there. Children
# that end with _exit() or an exec are counted (coverage/dump.c); what dies of kill -9 has counted for nothing. A test
# that fails is shown, and is the matter of tests/all.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
what=${1:-all}
TOP=$PWD
dir=${BUILD_ROOT:-$PWD/build}/coverage
jobs=${JOBS:-$(nproc)}
LEAST=90

case $what in
unit) LEAST=0 ;;
all) ;;
*) sed -n '/^#   /s/^#   //p' "$0" >&2; exit 2 ;;
esac
command -v gcovr >/dev/null || { echo "tests/extra/coverage/run.sh: gcovr is missing; tests/packages.sh installs it" >&2; exit 1; }

mkdir -p "$dir"
gcc -O1 -Wall -Wextra -Werror -c tests/extra/coverage/dump.c -o "$dir/dump.o"
[ -f "$dir/build.ninja" ] || CC=gcc meson setup "$dir" -Dfault-points=true -Db_coverage=true -Doptimization=0 -Dman-pages=disabled \
	"-Dc_link_args=$dir/dump.o -Wl,--wrap=_exit,--wrap=fork,--wrap=raise,--wrap=execv,--wrap=execve,--wrap=execvp -lgcov" >/dev/null
ninja -C "$dir" -j "$jobs" | tail -n 1
find "$dir" -name '*.gcda' -delete
meson test -C "$dir" --no-rebuild --suite '' 2>/dev/null | grep -E '^(Ok|Fail|Timeout):' || true
if [ "$what" = all ]; then
	export PRIMARYD_BUILD=$dir PYTHONDONTWRITEBYTECODE=1
	# The tests mostly wait: more of them than processors.
	/usr/bin/python3 -m pytest -q -p no:cacheprovider -n "${PYTEST_JOBS:-$((2 * jobs))}" -m 'not long' tests/integration 2>&1 |
		grep -E '^(FAILED|ERROR) |(passed|failed|error).* in ' || true
	tests/extra/load/run.py --clients 20 | tail -n 1 || true
fi
cd "$dir"
gcovr --root "$TOP" --filter "$TOP/lib" --filter "$TOP/daemon" --gcov-ignore-parse-errors --txt coverage.txt \
	--json coverage.json . 2>/dev/null
awk -v least="$LEAST" '
	/^(lib|daemon)\// && $4 + 0 < 90 { print }
	/^TOTAL/ { share = 100 * $3 / $2; printf "total: %d of %d lines, %.1f %%\n", $3, $2, share }
	END {
		if (share >= least + 0)
			exit 0
		printf "below %d %%\n", least
		exit 1
	}' coverage.txt
