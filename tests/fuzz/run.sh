#!/bin/bash
# Runs every fuzz target for a while, beginning with its seeds.
#
#   tests/fuzz/run.sh BUILD_DIR [SECONDS] [TARGET...]
#
# BUILD_DIR: built with `tests/all fuzz` (or see setup_tree in tests/stages/build.sh). SECONDS for each target, default 15; two at
# a time. What was found new is dropped again; an input that breaks a target is kept in BUILD_DIR/crash and named.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(cd "${1:?the build directory}" && pwd)
seconds=${2:-15}
shift $(($# > 2 ? 2 : $#))
if [ $# -eq 0 ]; then
	set -- $(cd "$here/corpus" && echo *)
fi
crash=$build/crash
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$crash"

# One target; its words go to a file, the last of which tell how many inputs there were.
run_target() {
	local name=$1 log=$scratch/$1.log new=$scratch/$1
	mkdir "$new"
	if "$build/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 \
		-close_fd_mask=1 -print_final_stats=1 -artifact_prefix="$crash/$name-" "$new" "$here/corpus/$name" \
		>/dev/null 2>"$log"; then
		printf '%-10s %9s inputs  %s\n' "$name" "$(awk '/number_of_executed_units/ { print $2 }' "$log")" \
			"$(grep -o 'cov: [0-9]* ft: [0-9]*' "$log" | tail -1)"
	else
		printf '%-10s FAILED\n' "$name"
		grep -vE '^#|^INFO' "$log" | tail -n 40
		return 1
	fi
}

failed=0
while [ $# -gt 0 ]; do
	pids=()
	for name in "${@:1:2}"; do
		run_target "$name" &
		pids+=($!)
	done
	shift ${#pids[@]}
	for pid in "${pids[@]}"; do
		wait "$pid" || failed=$((failed + 1))
	done
done
[ "$failed" = 0 ] || echo "$failed targets failed"
[ "$failed" = 0 ]
