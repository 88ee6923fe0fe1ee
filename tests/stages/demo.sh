# The tour that a new user takes, in the build that it makes for itself.

# tests/demo --once
stage_demo() {
	tests/demo --once
}
