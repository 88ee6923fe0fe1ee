# Stages that run the programs: against a model, against real servers, and under faults.

# The tests mostly wait, each process of them with an ensemble of its own: many more of them than processors. No cache in
# the tree; shown are the reasons of what was skipped, and the slowest tests.
run_pytest() {
	"$PYTHON" -m pytest -q -p no:cacheprovider -rsfE --durations=5 --durations-min=5 -n "${PYTEST_JOBS:-8}" "$@"
}

# the core in a deterministic simulation, small models explored, a few mutations
stage_sim() {
	build_tree clang
	BUILD_DIR=$BUILD_ROOT/clang tests/sim/run_ci.sh
}

# the same at length: large models, every mutation
stage_sim_long() {
	build_tree gcc
	BUILD_DIR=$BUILD_ROOT/gcc tests/sim/run_ci.sh --long
}

# programs on a three-server ensemble, under the sanitizers
stage_integration() {
	sanitizer_environment
	build_tree asan
	PRIMARYD_BUILD=$BUILD_ROOT/asan run_pytest -m 'not long' tests/integration
}

# all of them, as users build the programs
stage_integration_plain() {
	build_tree gcc
	PRIMARYD_BUILD=$BUILD_ROOT/gcc run_pytest tests/integration
}

# benchmarks, in their short form
stage_bench() {
	build_tree gcc
	PRIMARYD_BUILD=$BUILD_ROOT/gcc tests/extra/bench/run.py --quick
}

# a minute of random faults
stage_soak() {
	build_tree gcc
	PRIMARYD_BUILD=$BUILD_ROOT/gcc tests/extra/soak/run.py --minutes 1 --seed 424242 # the same faults each time
}

# thousands of nodes in one process
stage_load() {
	build_tree gcc
	PRIMARYD_BUILD=$BUILD_ROOT/gcc tests/extra/load/run.py
}

# the same faults for primaryd and for others that keep one node primary
stage_peers() {
	build_tree gcc
	PRIMARYD_BUILD=$BUILD_ROOT/gcc tests/extra/peers/run.py --runs 1
}
