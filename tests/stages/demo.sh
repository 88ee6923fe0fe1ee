# The tour that a new user takes, in the build that it makes for itself.

# tests/demo --once, and Ctrl-C in the live view at many moments
stage_demo() {
	tests/demo --once
	tests/extra/demo/interrupt.py --runs 10
}
