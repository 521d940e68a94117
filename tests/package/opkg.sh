#!/bin/sh
# What ipkg and opkg do with a local package, for tests and for the hardware lab: neither is to be had
# here. opkg.sh [-o ROOT] install FILE...|remove NAME...|list. Only busybox is needed.
# With -o it acts like an image builder: IPKG_INSTROOT is set for the scripts.
set -e

ROOT=
[ "$1" != -o ] || {
	ROOT=${2%/}
	shift 2
}
INFO=$ROOT/usr/lib/opkg/info
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
mkdir -p "$INFO"

die() {
	echo "opkg.sh: $*" >&2
	exit 1
}

# field NAME FILE
field() {
	sed -n "s/^$1: //p" "$2"
}

# run_script PACKAGE SCRIPT ARGUMENT...
run_script() {
	script=$INFO/$1.$2
	shift 2
	[ -f "$script" ] || return 0
	IPKG_INSTROOT=$ROOT sh "$script" "$@" || die "$script $* failed"
}

# Is a package here that has this name, or provides it?
here() {
	[ ! -f "$INFO/$1.control" ] || return 0
	cat "$INFO"/*.control 2>/dev/null | sed -n 's/^Provides: //p' | tr -s ', ' '\n' | grep -qx "$1"
}

depends_met() {
	for wanted in $(field Depends "$1" | tr ',' ' '); do
		here "$wanted" || die "cannot satisfy: $(field Package "$1") depends on $wanted"
	done
	for other in $(field Conflicts "$1" | tr ',' ' '); do
		[ ! -f "$INFO/$other.control" ] || die "conflicts with $other"
	done
}

edited() { # edited PACKAGE PATH: is this conffile not as it came?
	[ "$(md5sum <"$ROOT$2")" != "$(sed -n "s|^$2 ||p" "$INFO/$1.md5" 2>/dev/null)" ]
}

install() {
	rm -rf "$WORK/p"
	mkdir -p "$WORK/p/control" "$WORK/p/data"
	tar xzf "$1" -C "$WORK/p" || die "$1 is no gzip'd tar"
	[ "$(cat "$WORK/p/debian-binary")" = 2.0 ] || die "$1: no debian-binary"
	tar xzf "$WORK/p/control.tar.gz" -C "$WORK/p/control"
	tar xzf "$WORK/p/data.tar.gz" -C "$WORK/p/data"
	control=$WORK/p/control
	name=$(field Package "$control/control")
	version=$(field Version "$control/control")
	[ -n "$name$version" ] || die "$1: no name and version"
	depends_met "$control/control"
	(cd "$WORK/p/data" && find . ! -type d) | sed 's|^\.||' | sort >"$WORK/list"
	for list in "$INFO"/*.list; do
		[ "$list" = "$INFO/$name.list" ] || [ ! -f "$list" ] || ! grep -qxF -f "$WORK/list" "$list" ||
			die "$name has a file of $list"
	done
	upgrade=
	if [ -f "$INFO/$name.control" ]; then
		upgrade=1
		export PKG_UPGRADE=1
		run_script "$name" prerm upgrade "$version"
	fi
	: >"$WORK/md5"
	: >>"$control/conffiles"
	while read -r conffile; do
		echo "$conffile $(md5sum <"$WORK/p/data$conffile")" >>"$WORK/md5"
		if [ -f "$ROOT$conffile" ] && edited "$name" "$conffile"; then
			mv "$WORK/p/data$conffile" "$WORK/p/data$conffile-opkg"
			echo "kept $conffile; the new one is $conffile-opkg"
		fi
	done <"$control/conffiles"
	# A directory that is there keeps its mode and owner.
	(cd "$WORK/p/data" && find . -type d) | while read -r directory; do mkdir -p "$ROOT/$directory"; done
	(cd "$WORK/p/data" && find . ! -type d) | while read -r file; do
		cp -p "$WORK/p/data/$file" "$ROOT/$file.opkg-new"
		mv "$ROOT/$file.opkg-new" "$ROOT/$file"
	done
	if [ -n "$upgrade" ]; then
		run_script "$name" postrm upgrade "$version"
		grep -vxF -f "$WORK/list" "$INFO/$name.list" | while read -r file; do rm -f "$ROOT$file"; done
	fi
	rm -f "$INFO/$name".*
	cp "$WORK/list" "$INFO/$name.list"
	cp "$WORK/md5" "$INFO/$name.md5"
	for file in "$control"/*; do cp "$file" "$INFO/$name.${file##*/}"; done
	run_script "$name" postinst configure
	unset PKG_UPGRADE
	echo "installed $name $version"
}

remove() {
	name=$1
	[ -f "$INFO/$name.control" ] || die "$name is not installed"
	for control in "$INFO"/*.control; do
		[ "$control" != "$INFO/$name.control" ] || continue
		for wanted in $(field Depends "$control" | tr ',' ' '); do
			case " $name $(field Provides "$INFO/$name.control" | tr ',' ' ') " in
			*" $wanted "*) die "$(field Package "$control") depends on $name" ;;
			esac
		done
	done
	run_script "$name" prerm remove
	while read -r file; do
		if grep -q "^$file " "$INFO/$name.md5" && [ -f "$ROOT$file" ] && edited "$name" "$file"; then
			echo "kept $file, which was edited"
		else
			rm -f "$ROOT$file"
		fi
	done <"$INFO/$name.list"
	# Directories that are empty now, the innermost first.
	while read -r file; do
		directory=${file%/*}
		while [ -n "$directory" ] && rmdir "$ROOT$directory" 2>/dev/null; do
			directory=${directory%/*}
		done
	done <"$INFO/$name.list"
	run_script "$name" postrm remove
	rm -f "$INFO/$name".*
	echo "removed $name"
}

command=$1
shift
case $command in
install | remove)
	for argument; do "$command" "$argument"; done
	;;
list)
	for control in "$INFO"/*.control; do
		[ ! -f "$control" ] || echo "$(field Package "$control") $(field Version "$control")"
	done
	;;
*) die "usage: opkg.sh [-o ROOT] install FILE...|remove NAME...|list" ;;
esac
