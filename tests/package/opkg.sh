#!/bin/sh
# What opkg does with local packages, for tests and for the hardware lab: it is not to be had here.
# opkg.sh [-o ROOT] [--force-WHAT]... install FILE...|remove NAME...|status NAME|list. Only busybox is needed. The order of things is
# that of opkg's source (opkg-lede, opkg_install_pkg and opkg_remove_pkg); the older ipkg has the same,
# but sets neither PKG_UPGRADE nor PKG_ROOT. With -o it acts like OpenWrt's image builder: the scripts
# run, and IPKG_INSTROOT is set for them.
set -e

ROOT=
[ "$1" != -o ] || {
	ROOT=${2%/}
	shift 2
}
force=
while [ "${1#--force-}" != "$1" ]; do
	force="$force $1 "
	shift
done
INFO=$ROOT/usr/lib/opkg/info
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
mkdir -p "$INFO" "$WORK/given" "$WORK/unpacked"

die() {
	echo "opkg.sh: $*" >&2
	exit 1
}

# forced WHAT: is that option given?
forced() {
	case $force in *" --force-$1 "*) ;; *) return 1 ;; esac
}

# field NAME FILE
field() {
	sed -n "s/^$1: //p" "$2"
}

# names FIELD FILE: of a list, without the versions in parentheses
names() {
	field "$1" "$2" | sed 's/([^)]*)//g' | tr ',' ' '
}

# run_script UPGRADE SCRIPT ARGUMENT...: executed, as opkg does it, so it needs its x bit
run_script() {
	upgrade=$1 script=$2
	shift 2
	[ -f "$script" ] || return 0
	PKG_ROOT=$ROOT/ PKG_UPGRADE=$upgrade IPKG_INSTROOT=$ROOT "$script" "$@" || die "$script $* failed"
}

# provided NAME CONTROL...: which of these packages has this name, or provides it
provided() {
	wanted=$1
	shift
	for control; do
		[ -f "$control" ] || continue
		case " $(field Package "$control") $(names Provides "$control") " in
		*" $wanted "*) field Package "$control" ;;
		esac
	done
}

conflicts() {
	for other in $(names Conflicts "$1"); do
		[ ! -f "$INFO/$other.control" ] || die "conflicts with $other"
	done
}

edited() { # edited PACKAGE PATH: is this conffile not as it came?
	[ "$(md5sum <"$ROOT$2")" != "$(sed -n "s|^$2 ||p" "$INFO/$1.md5" 2>/dev/null)" ]
}

# What is given on the command line, so that one may satisfy the other, in whatever order.
prepare() {
	rm -rf "$WORK/p"
	mkdir -p "$WORK/p/control"
	tar xzf "$1" -C "$WORK/p" || die "$1 is no gzip'd tar"
	[ "$(cat "$WORK/p/debian-binary")" = 2.0 ] || die "$1: no debian-binary"
	tar xzf "$WORK/p/control.tar.gz" -C "$WORK/p/control"
	name=$(field Package "$WORK/p/control/control")
	case "$name $(field Version "$WORK/p/control/control")" in
	" "* | *" ") die "$1: no name and version" ;;
	esac
	rm -rf "$WORK/given/$name"
	mv "$WORK/p" "$WORK/given/$name"
}

# The package `name`, up to its files; its postinst runs when all that were given are so far.
unpack() {
	name=$1
	given=$WORK/given/$name control=$given/control
	[ ! -e "$given/begun" ] || return 0
	: >"$given/begun"
	version=$(field Version "$control/control")
	old=
	[ ! -f "$INFO/$name.control" ] || old=$(field Version "$INFO/$name.control")
	if [ "$old" = "$version" ] && ! forced reinstall; then
		echo "$name ($version) is up to date"
		return 0
	elif [ -n "$old" ] && ! forced downgrade && [ "$old" != "$version" ] && [ "$(printf '%s\n%s\n' "$old" "$version" | sort -V | tail -n 1)" = "$old" ]; then
		echo "not downgrading $name from $old to $version"
		return 0
	fi
	conflicts "$control/control"
	for wanted in $(names Depends "$control/control"); do
		[ -z "$(provided "$wanted" "$INFO"/*.control)" ] || continue
		found=$(provided "$wanted" "$WORK"/given/*/control/control | head -n 1)
		[ -n "$found" ] || die "cannot satisfy: $name depends on $wanted"
		(unpack "$found")
	done

	if [ -n "$old" ]; then
		is_upgrade=1
		run_script 1 "$INFO/$name.prerm" upgrade "$version"
		run_script 1 "$control/preinst" upgrade "$old"
	else
		is_upgrade=0
		run_script 0 "$control/preinst" install
	fi
	mkdir -p "$given/data"
	tar xzf "$given/data.tar.gz" -C "$given/data"
	: >>"$control/conffiles"
	(cd "$given/data" && find . ! -type d) | sed 's|^\.||' | sort >"$given/list"
	while read -r file; do
		if [ ! -e "$ROOT$file" ] || forced overwrite; then continue; fi
		! grep -qxF "$file" "$control/conffiles" || continue
		! grep -qxF "$file" "$INFO/$name.list" 2>/dev/null || continue
		owner=$(grep -lxF "$file" "$INFO"/*.list 2>/dev/null || echo "no package")
		die "$name wants to install $file, which is there already, of $owner"
	done <"$given/list"
	[ -z "$old" ] || run_script 1 "$INFO/$name.postrm" upgrade "$version"

	# From here on there is no way back. The old package's files go first, but for those that stay.
	: >"$given/kept"
	while read -r conffile; do
		[ -f "$ROOT$conffile" ] || continue
		if [ -z "$old" ] || edited "$name" "$conffile"; then
			cp -p "$ROOT$conffile" "$given/kept.${conffile##*/}"
			echo "$conffile" >>"$given/kept"
		fi
	done <"$control/conffiles"
	if [ -n "$old" ]; then
		{ grep -vxF -f "$given/list" "$INFO/$name.list" || true; } | while read -r file; do rm -f "$ROOT$file"; done
	fi
	rm -f "$INFO/.$name.installed" "$INFO/$name".*
	for file in "$control"/*; do cp "$file" "$INFO/$name.${file##*/}"; done
	cp "$given/list" "$INFO/$name.list"
	# A directory that is there keeps its mode and owner.
	(cd "$given/data" && find . -type d) | while read -r directory; do mkdir -p "$ROOT/$directory"; done
	while read -r file; do
		cp -p "$given/data$file" "$ROOT$file.opkg-new"
		mv "$ROOT$file.opkg-new" "$ROOT$file"
	done <"$given/list"
	while read -r conffile; do
		echo "$conffile $(md5sum <"$ROOT$conffile")" >>"$INFO/$name.md5"
		if grep -qxF "$conffile" "$given/kept" && ! cmp -s "$given/kept.${conffile##*/}" "$ROOT$conffile"; then
			mv "$ROOT$conffile" "$ROOT$conffile-opkg"
			cp -p "$given/kept.${conffile##*/}" "$ROOT$conffile"
			echo "kept $conffile; the new one is $conffile-opkg"
		fi
	done <"$control/conffiles"
	echo $is_upgrade >"$WORK/unpacked/$name"
}

# Those that others depend on first.
configure() {
	[ -e "$WORK/unpacked/$1" ] || return 0
	is_upgrade=$(cat "$WORK/unpacked/$1")
	rm "$WORK/unpacked/$1"
	for wanted in $(names Depends "$INFO/$1.control"); do
		for before in $(provided "$wanted" "$INFO"/*.control); do (configure "$before"); done
	done
	run_script "$is_upgrade" "$INFO/$1.postinst" configure
	: >"$INFO/.$1.installed"
	echo "installed $1 $(field Version "$INFO/$1.control")"
}

install() {
	for file; do prepare "$file"; done
	for given in "$WORK"/given/*; do (unpack "${given##*/}"); done
	for given in "$WORK"/given/*; do (configure "${given##*/}"); done
}

remove() {
	name=$1
	[ -f "$INFO/$name.control" ] || die "$name is not installed"
	for control in "$INFO"/*.control; do
		[ "$control" != "$INFO/$name.control" ] || continue
		for wanted in $(names Depends "$control"); do
			[ -z "$(provided "$wanted" "$INFO/$name.control")" ] || forced depends || die "$(field Package "$control") depends on $name"
		done
	done
	(run_script 0 "$INFO/$name.prerm" remove) || forced remove || exit 1
	# Files only: opkg's lists have no directories, so empty ones stay. One that a power cut has taken
	# is an empty one.
	: >>"$INFO/$name.list"
	while read -r file; do
		if grep -q "^$file " "$INFO/$name.md5" 2>/dev/null && [ -f "$ROOT$file" ] && edited "$name" "$file"; then
			echo "kept $file, which was edited"
		else
			rm -f "$ROOT$file"
		fi
	done <"$INFO/$name.list"
	rm "$INFO/$name.list"
	run_script 0 "$INFO/$name.postrm" remove
	rm -f "$INFO/.$name.installed" "$INFO/$name".*
	echo "removed $name"
}

command=$1
shift
case $command in
install) install "$@" ;;
remove) for name; do (remove "$name"); done ;;
status)
	[ -f "$INFO/$1.control" ] || exit 0
	[ -e "$INFO/.$1.installed" ] && state=installed || state=unpacked
	printf 'Package: %s\nVersion: %s\nStatus: install ok %s\n' "$1" "$(field Version "$INFO/$1.control")" "$state"
	;;
list)
	for control in "$INFO"/*.control; do
		[ ! -f "$control" ] || echo "$(field Package "$control") $(field Version "$control")"
	done
	;;
*) die "usage: opkg.sh [-o ROOT] [--force-WHAT]... install FILE...|remove NAME...|status NAME|list" ;;
esac
