#!/bin/sh
# The end of `meson install`: puts the sample in place, unless there is a configuration, and says what is left to do.
#
#   install.sh DIRECTORY-OF-THE-SAMPLE CONFIGURATION-DIRECTORY    ($DESTDIR before both)
set -eu
conf=${DESTDIR-}$2/primaryd.conf

if [ ! -e "$conf" ] && [ ! -L "$conf" ]; then
	mkdir -p "${DESTDIR-}$2"
	cp "${DESTDIR-}$1/primaryd.conf" "$conf"
	chmod 644 "$conf"
fi
[ -z "${DESTDIR-}${MESON_INSTALL_QUIET-}" ] || exit 0

say() {
	cat <<END

Installed. As root, after every installation:
    systemd-sysusers && systemd-tmpfiles --create; systemctl daemon-reload; journalctl --update-catalog
The first time, edit $conf (the sample is $1/primaryd.conf), then:
    primaryd --check && systemctl enable --now primaryd && primaryctl check
Later, systemctl reload primaryd: the daemon continues with the new version, and a primary stays primary.
END
}

# meson hides what an install script prints, and keeps its own output back until the end: write to its stderr, if that can
# be opened (a socket cannot).
{ say >>"/proc/$PPID/fd/2"; } 2>/dev/null || say
