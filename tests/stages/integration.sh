# Stages that run the programs: against a model, against real servers, and under faults.

# The tests mostly wait, each process of them with an ensemble of its own: more of them than processors. No cache in the
# tree; shown are the reasons of what was skipped, and the slowest tests.
run_pytest() {
	"$PYTHON" -m pytest -q -p no:cacheprovider -rsfE --durations=5 --durations-min=5 -n "${PYTEST_JOBS:-$((JOBS + 1))}" "$@"
}

have_integration() {
	compgen -G 'tests/integration/test_*.py' >/dev/null || skip "no tests/integration/test_*.py yet"
}

# the core in a deterministic simulation
stage_sim() {
	[ -x tests/sim/run_ci.sh ] || skip "no tests/sim/run_ci.sh yet"
	build_tree gcc
	BUILD_DIR=$BUILD_ROOT/gcc tests/sim/run_ci.sh
}

# programs on a three-server ensemble
stage_integration() {
	have_integration
	build_tree gcc
	PRIMARYD_BUILD=$BUILD_ROOT/gcc run_pytest tests/integration
}

# the part of it that allocates and parses most under the sanitizers (ASAN_ALL=1: all that is not slow)
stage_integration_asan() {
	local name files=()
	have_integration
	sanitizer_environment
	build_tree asan
	for name in commands ctl_keys ctl_lock junk refused reload resume runtime units zkh_keys zkh_locks; do
		files+=("tests/integration/test_$name.py")
	done
	[ -z "${ASAN_ALL-}" ] || files=(tests/integration)
	PRIMARYD_BUILD=$BUILD_ROOT/asan run_pytest -m 'not slow' "${files[@]}"
}

# benchmarks, in their short form
stage_bench() {
	[ -x tests/extra/bench/run.py ] || skip "no tests/extra/bench/run.py yet"
	build_tree gcc
	PRIMARYD_BUILD=$BUILD_ROOT/gcc tests/extra/bench/run.py --quick
}

# a minute of random faults
stage_soak() {
	[ -x tests/extra/soak/run.py ] || skip "no tests/extra/soak/run.py yet"
	build_tree gcc
	PRIMARYD_BUILD=$BUILD_ROOT/gcc tests/extra/soak/run.py --minutes 1 --seed 424242 # the same faults each time
}
