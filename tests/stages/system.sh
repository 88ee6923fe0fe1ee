# Stages that build the Debian package and run it on booted systems.

# Builds the package from the files of the tree into build/deb, unless nothing changed since; prints its path.
build_package() {
	local base=$BUILD_ROOT/deb list sum
	mkdir -p "$base"
	list=$(git ls-files -co --exclude-standard -- lib daemon ctl http conf man systemd debian \
		meson.build meson_options.txt NEWS.md README.md SECURITY.md doc LICENSE)
	sum=$(for file in $list; do [ ! -f "$file" ] || echo "$file"; done | xargs sha256sum | sha256sum)
	if [ "$(cat "$base/sum" 2>/dev/null)" != "$sum" ]; then
		rm -rf "$base"
		mkdir -p "$base/source"
		for file in $list; do [ ! -f "$file" ] || echo "$file"; done | tar -c -T - | tar -x -C "$base/source"
		if ! (cd "$base/source" && DEB_BUILD_OPTIONS="nocheck parallel=$JOBS" dpkg-buildpackage -us -uc -Pnocheck) >"$base/log" 2>&1; then
			tail -n 40 "$base/log" >&2
			return 1
		fi
		if grep -A3 -E ':[0-9]+: warning:' "$base/log" >&2; then
			echo "gcc warns, as the package calls it" >&2
			return 1
		fi
		echo "$sum" >"$base/sum"
	fi
	ls "$base"/primaryd_*.deb
}

# Prints relative links of the documents below $1 that lead nowhere.
broken_links() {
	local file link
	while IFS=: read -r file link; do
		[ -e "$(dirname "$file")/${link%%#*}" ] || echo "$file: a link to $link, which is not installed"
	done < <(grep -roP --include='*.md' '\]\(\K(?!https?:|#)[^)]+' "$1")
}

# the Debian package builds, its documents link to what is there, and lintian finds nothing in it
stage_package() {
	local deb tree=$BUILD_ROOT/deb/tree
	command -v dpkg-buildpackage >/dev/null || skip "needs dpkg-buildpackage (tests/packages.sh system)"
	command -v dh >/dev/null || skip "needs debhelper (tests/packages.sh system)"
	deb=$(build_package)
	if dpkg-deb --fsys-tarfile "$deb" | grep -a PRIMARYD_FAULT_POINT >/dev/null; then
		echo "the package's daemon has fault points"
		return 1
	fi
	rm -rf "$tree"
	dpkg-deb -x "$deb" "$tree"
	if broken_links "$tree/usr/share/doc" | grep .; then
		return 1
	fi
	dpkg-deb --info "$deb" | sed -n 's/^ \(Package\|Version\|Installed-Size\|Depends\)/\1/p'
	if command -v lintian >/dev/null; then
		lintian --allow-root --pedantic --fail-on error,warning,pedantic --no-tag-display-limit "${deb%.deb}.changes" "$deb" "$BUILD_ROOT"/deb/*.dsc
	else
		echo "lintian is not installed"
	fi
}

# three booted systems with the installed package
stage_system() {
	local deb
	command -v dpkg-buildpackage >/dev/null || skip "needs dpkg-buildpackage (tests/packages.sh system)"
	deb=$(build_package)
	PYTEST_JOBS=0 PRIMARYD_DEB=$deb run_pytest tests/system # one after the other: there is one site for all of them
}

# a random walk of operators and faults over three booted systems
stage_walk() {
	local deb
	command -v dpkg-buildpackage >/dev/null || skip "needs dpkg-buildpackage (tests/packages.sh system)"
	deb=$(build_package)
	PRIMARYD_DEB=$deb tests/extra/walk/run.py --seed 424242 # the same actions each time
}
