# Stages that hold what is written against what is.

# events, catalog, manual pages, options, keys and sample agree
stage_docs() {
	command -v scdoc >/dev/null || skip "needs scdoc (tests/packages.sh)"
	build_tree clang
	"$PYTHON" tests/stages/docs.py "$BUILD_ROOT/clang"
}
