# The tour that a new user takes.

# tests/demo --once, and Ctrl-C in the live view at many moments
stage_demo() {
	build_tree clang tests/extra/demo/service # the rest the demo builds itself, as it does for a new user
	export PRIMARYD_BUILD=$BUILD_ROOT/clang
	tests/demo --once
	tests/extra/demo/interrupt.py --runs 10
}
