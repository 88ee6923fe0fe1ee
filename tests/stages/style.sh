# Stages that read the sources only.

c_sources() {
	find lib daemon ctl http systemd tests -name '*.[ch]' 2>/dev/null | sort
}

# the packages that the other stages need
stage_packages() {
	tests/packages.sh system
	echo "all there"
}

# clang-format, length of functions, white space, file names
stage_style() {
	local files status=0
	mapfile -t files < <(c_sources)
	[ ${#files[@]} -gt 0 ] || skip "no C sources yet"
	# Versions of clang-format differ; the sources are as 14 has them.
	if [[ $(clang-format --version) != *version\ 14.* ]]; then
		echo "not checked: the format, which needs clang-format 14"
	else
		printf '%s\n' "${files[@]}" | xargs -P "$JOBS" -n 16 clang-format --dry-run -Werror || status=1
	fi
	function_lengths "${files[@]}" || status=1
	# clang-format sees to C; the rest must at least not trail blanks.
	if git rev-parse -q --verify HEAD >/dev/null 2>&1 && git grep -nIE '[[:blank:]]+$' -- ':!LICENSE' ':!*.patch' ':!debian/' ':!tests/*/corpus/'; then
		echo "blanks at the end of lines"
		status=1
	fi
	return $status
}

# Functions are a page at most: 70 lines between their braces, which stand in column one.
function_lengths() {
	awk -v max=70 '
		FNR == 1 { inside = 0 }
		/^[a-z].*\(/ { name = $0 }
		/^\{/ { start = FNR; inside = 1 }
		/^\}/ && inside {
			inside = 0
			if (FNR - start - 1 > max) {
				printf "%s:%d: %d lines, more than %d: %s\n", FILENAME, start, FNR - start - 1, max, name
				bad = 1
			}
		}
		END { exit bad }
	' "$@"
}

# includes point downward, and each foreign library is known to one file or module
stage_layers() {
	"$PYTHON" tests/stages/layers.py
}
