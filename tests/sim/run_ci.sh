#!/bin/bash
# What the test command runs of the simulator: the seeds that failed once, seeds that nobody has seen, the case that must
# fail, the checker, and mutations.
#
#   tests/sim/run_ci.sh [--long] [--minutes N] [BUILD_DIR]     BUILD_DIR in the environment does as well
#
# Without --long: fresh seeds for 0.4 minutes of processor time on each of two processors (longer on a loaded machine), the
# checker's small models, and six mutations drawn afresh. With it: 5 minutes, the large models, and all mutations. A run
# that fails prints the line that repeats it; add that to tests/sim/seeds.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
minutes=0.4 check_options=(--quick) mutation_options=(--sample 6)
if [ "${1-}" = --long ]; then
	minutes=5 check_options=() mutation_options=()
	shift
fi
if [ "${1-}" = --minutes ]; then
	minutes=$2
	shift 2
fi
dir=$(cd "${1:-${BUILD_DIR:?the build directory}}" && pwd)
sim=$dir/tests/sim/sim
cd "$here"

said=$(mktemp -d)
running=
cleanup() {
	for process in $running; do
		kill "$process" 2>/dev/null || :
	done
	rm -rf "$said"
}
trap cleanup EXIT

echo "== seeds that failed once"
while read -r seed options; do
	case $seed in '#'* | '') continue ;; esac
	# shellcheck disable=SC2086 # several options
	"$sim" --seed "$seed" --runs 1 $options >"$said/seed" || { cat "$said/seed"; exit 1; }
done <seeds
grep -c '^[0-9]' seeds

echo "== fresh seeds, for $minutes min on two processors"
share() {
	local each options
	each=$(awk -v minutes="$minutes" -v sets=$# 'BEGIN { print minutes / sets }')
	for options in "$@"; do
		echo "sim --fresh --minutes $each $options"
		# shellcheck disable=SC2086
		"$sim" --fresh --minutes "$each" $options || return 1
	done
}
share "" "--nodes 2" "--nodes 4 --refusals" "--nodes 6" >"$said/one" 2>&1 &
one=$!
share "--nodes 3" "--refusals" "--nodes 5 --unequal-servers" "--nodes 7" >"$said/two" 2>&1 &
two=$!
running="$one $two"
failed=0
wait $one || failed=1
wait $two || failed=1
running=
cat "$said/one" "$said/two"
[ $failed = 0 ] || exit 1

# On a processor of its own beside what follows; its words come when it is its turn.
"$dir/tests/sim/check" "${check_options[@]}" >"$said/check" 2>&1 &
check=$!
running=$check

echo "== hosts frozen past their lease with work up: the oracle has to see it"
if out=$("$sim" --steps 20000000 --frozen-hosts 2>&1); then
	echo "not seen"
	exit 1
fi
grep '^FAILED' <<<"$out"
grep -q '^FAILED.*\(two primaries\|without\|before the lease\)' <<<"$out"

echo "== every state of a small model"
wait $check || failed=1
running=
cat "$said/check"
[ $failed = 0 ] || exit 1

echo "== mutations"
./mutations.py "${mutation_options[@]}" "$dir"
