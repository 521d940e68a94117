#!/bin/sh
# What opkg does with local packages, for tests and emulated routers: it is not to be had here.
# opkg.sh [-o ROOT] [--noaction] [--force-WHAT]... install FILE...|remove NAME...|status NAME|list. Only
# busybox is needed. It does what OpenWrt 24.10's was seen to do (docs/packaging.md has the table), in the
# order of its source (opkg-lede, opkg_install_pkg and opkg_remove_pkg); the older ipkg has the same, but
# sets neither PKG_UPGRADE nor PKG_ROOT. With -o it acts like OpenWrt's image builder: the scripts run,
# and IPKG_INSTROOT is set for them.
set -e

ROOT=""
noaction=""
[ "$1" != -o ] || {
	ROOT=${2%/}
	shift 2
}
force=
while [ "${1#--}" != "$1" ]; do
	[ "$1" != --noaction ] || noaction=y
	force="$force $1 "
	shift
done
INFO=$ROOT/usr/lib/opkg/info
STATUS=$ROOT/usr/lib/opkg/status
LOCK=$ROOT/usr/lib/opkg/lock
WORK=$(mktemp -d)
NOW=$WORK/status # what it will write when all is over
mkdir -p "$INFO" "$WORK/given" "$WORK/unpacked"
: >"$WORK/said"
: >"$WORK/errors"
: >>"$STATUS"

# What went wrong stands before all that it has said, and the cause first; the exit status is 0 or 255.
# The list of packages is emptied and written anew, late.
ended() {
	status=$1
	[ "$status" = 0 ] || status=255
	if [ -z "$noaction" ] && ! cmp -s "$NOW" "$STATUS"; then
		: >"$STATUS"
		cp "$NOW" "$STATUS"
	fi
	rm -f "$LOCK"
	over
}

over() {
	[ ! -s "$WORK/errors" ] || { echo "Collected errors:" && cat "$WORK/errors"; } >&2
	cat "$WORK/said"
	rm -rf "$WORK"
	exit "$status"
}

say() {
	echo "$*" >>"$WORK/said"
}

wrong() {
	echo " * $*" >>"$WORK/errors"
}

die() {
	wrong "$@"
	exit 255
}

# Also who only asks takes the lock.
if { read -r other <"$LOCK"; } 2>/dev/null && [ "$other" != $$ ] &&
	tr '\0' ' ' <"/proc/$other/cmdline" 2>/dev/null | grep -q opkg; then
	wrong "opkg_conf_load: Could not lock /var/lock/opkg.lock: Resource temporarily unavailable."
	status=255
	over
fi
echo $$ >"$LOCK"
# A list that ends with a block of 4 KB, but in the midst of a line, is the end of opkg.
if [ -s "$STATUS" ] && [ $(($(wc -c <"$STATUS") % 4096)) = 0 ] && [ "$(tail -c 1 "$STATUS" | wc -l)" = 0 ]; then
	rm -rf "$WORK" "$LOCK"
	kill -SEGV $$
fi
cat "$STATUS" >"$NOW"
trap 'ended $?' EXIT

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

# record NAME: what the list says of it
record() {
	sed -n "/^Package: $1\$/,/^\$/p" "$NOW"
}

# listed NAME: its version, if it is there
listed() {
	record "$1" | sed -n 's/^Version: //p'
}

forget() {
	sed "/^Package: $1\$/,/^\$/d" "$NOW" >"$NOW.new"
	mv "$NOW.new" "$NOW"
}

# note NAME STATE: conffiles as they came
note() {
	forget "$1"
	{
		grep '^\(Package\|Version\|Depends\|Provides\|Conflicts\): ' "$INFO/$1.control"
		echo "Status: install user $2"
		grep '^Architecture: ' "$INFO/$1.control"
		if [ -s "$INFO/$1.conffiles" ]; then
			echo "Conffiles:"
			sed "s|.*|cat '$WORK/sums$1&'|" "$INFO/$1.conffiles" | sh 2>/dev/null || true
		fi
		echo
	} >>"$NOW"
}

# installed: each name
installed() {
	sed -n 's/^Package: //p' "$NOW"
}

# run_script UPGRADE SCRIPT ARGUMENT...: executed, as opkg does it, so it needs its x bit
run_script() {
	upgrade=$1 script=$2
	shift 2
	if [ -n "$noaction" ] || [ ! -f "$script" ]; then return 0; fi
	PKG_ROOT=$ROOT/ PKG_UPGRADE=$upgrade IPKG_INSTROOT=$ROOT "$script" "$@" >>"$WORK/said" 2>&1 ||
		die "pkg_run_script: $script $* returned status $?."
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

# here NAME: who of those that are listed has it, or provides it
here() {
	for each in $(installed); do
		provided "$1" "$INFO/$each.control"
	done
}

# edited PACKAGE PATH: is this conffile not as it came?
edited() {
	[ "$(sha256sum <"$ROOT$2" | cut -c -64)" != "$(record "$1" | sed -n "s|^ $2 ||p")" ]
}

# What is given on the command line, so that one may satisfy the other, in whatever order.
prepare() {
	rm -rf "$WORK/p"
	mkdir -p "$WORK/p/control"
	tar xzf "$1" -C "$WORK/p" 2>/dev/null || die "pkg_init_from_file: Malformed package file $1."
	tar xzf "$WORK/p/control.tar.gz" -C "$WORK/p/control"
	name=$(field Package "$WORK/p/control/control")
	case "$name $(field Version "$WORK/p/control/control")" in
	" "* | *" ") die "pkg_init_from_file: Malformed package file $1." ;;
	esac
	[ -n "$(field Architecture "$WORK/p/control/control")" ] || incompatible "$name"
	rm -rf "$WORK/given/$name"
	mv "$WORK/p" "$WORK/given/$name"
}

incompatible() {
	wrong "pkg_hash_fetch_best_installation_candidate: Packages for $1 found, but incompatible with the architectures configured"
	die "opkg_install_cmd: Cannot install package $1."
}

# The package `name`, up to its files; its postinst runs when all that were given are so far.
unpack() {
	name=$1
	given=$WORK/given/$name control=$given/control
	[ ! -e "$given/begun" ] || return 0
	: >"$given/begun"
	version=$(field Version "$control/control")
	old=$(listed "$name")
	if [ "$old" = "$version" ]; then
		say "Package $name ($version) installed in root is up to date."
		return 0
	elif [ -n "$old" ] && ! forced downgrade && [ "$(printf '%s\n%s\n' "$old" "$version" | sort -V | tail -n 1)" = "$old" ]; then
		say "Not downgrading package $name on root from $old to $version."
		return 0
	fi
	for other in $(names Conflicts "$control/control"); do
		[ -z "$(listed "$other")" ] || die "check_conflicts_for: The following packages conflict with $name: $other"
	done
	for wanted in $(names Depends "$control/control"); do
		[ -z "$(here "$wanted")" ] || continue
		found=$(provided "$wanted" "$WORK"/given/*/control/control | head -n 1)
		if [ -z "$found" ]; then
			wrong "pkg_hash_check_unresolved: cannot find dependency $wanted for $name"
			incompatible "$name"
		fi
		(unpack "$found")
	done

	is_upgrade=0
	[ -z "$old" ] || is_upgrade=1
	: >>"$control/conffiles"
	tar tzf "$given/data.tar.gz" 2>/dev/null | sed -n 's|^\./*|/|;/[^/]$/p' >"$given/list" || true
	if [ -n "$old" ]; then
		run_script 1 "$INFO/$name.prerm" upgrade "$version"
		run_script 1 "$control/preinst" upgrade "$old"
	else
		run_script 0 "$control/preinst" install
	fi
	while read -r conffile; do
		[ -n "$noaction" ] || [ ! -f "$ROOT$conffile" ] || { [ -n "$old" ] && ! edited "$name" "$conffile"; } ||
			cp -p "$ROOT$conffile" "$ROOT$conffile-opkg.backup"
	done <<EOF
$(cat "$control/conffiles" "$INFO/$name.conffiles" 2>/dev/null | sort -u)
EOF
	# What belongs to no package does not stop it.
	forced overwrite || while read -r file; do
		[ -e "$ROOT$file" ] || continue
		for owner in $(installed); do
			if [ "$owner" != "$name" ] && grep -qxF "$file" "$INFO/$owner.list"; then
				wrong "check_data_file_clashes: Package $name wants to install file $file"
				echo "	But that file is already provided by package  * $owner" >>"$WORK/errors"
				die "opkg_install_cmd: Cannot install package $name."
			fi
		done
	done <"$given/list"
	[ -z "$old" ] || run_script 1 "$INFO/$name.postrm" upgrade "$version"
	[ -z "$noaction" ] || return 0

	# From here on there is no way back, and nothing stops it.
	[ -z "$old" ] || lose "$name" edited
	rm -f "$INFO/$name".*
	for file in "$control"/*; do
		[ ! -s "$file" ] || cp "$file" "$INFO/$name.${file##*/}" 2>/dev/null || wrong "file_copy: no room"
	done
	cp "$given/list" "$INFO/$name.list"
	# A folder that is there keeps its mode and owner; one that is not named is not made.
	tar tzf "$given/data.tar.gz" 2>/dev/null | grep '/$' | while read -r folder; do
		[ -d "$ROOT/$folder" ] || mkdir "$ROOT/$folder" || wrong "mkdir: $folder"
	done
	mkdir "$given/data"
	tar xzf "$given/data.tar.gz" -C "$given/data" 2>/dev/null || wrong "gz_read: short"
	while read -r file; do
		rm -f "$ROOT$file"
		cp -pP "$given/data$file" "$ROOT$file" 2>/dev/null || wrong "wfopen: $file: No such file or directory."
	done <"$given/list"
	while read -r conffile; do
		mkdir -p "$WORK/sums$name${conffile%/*}"
		echo " $conffile $(sha256sum <"$ROOT$conffile" | cut -c -64)" >"$WORK/sums$name$conffile"
		[ -e "$ROOT$conffile-opkg.backup" ] || continue
		if ! cmp -s "$ROOT$conffile-opkg.backup" "$ROOT$conffile"; then
			wrong "resolve_conffiles: Existing conffile $conffile is different from the conffile in the new package. The new conffile will be placed at $conffile-opkg."
			mv "$ROOT$conffile" "$ROOT$conffile-opkg"
		fi
		mv "$ROOT$conffile-opkg.backup" "$ROOT$conffile"
	done <"$control/conffiles"
	note "$name" unpacked
	echo $is_upgrade >"$WORK/unpacked/$name"
}

# Those that others depend on first.
configure() {
	[ -e "$WORK/unpacked/$1" ] || return 0
	is_upgrade=$(cat "$WORK/unpacked/$1")
	rm "$WORK/unpacked/$1"
	for wanted in $(names Depends "$INFO/$1.control"); do
		for before in $(here "$wanted"); do (configure "$before"); done
	done
	say "Configuring $1."
	run_script "$is_upgrade" "$INFO/$1.postinst" configure
	note "$1" installed
	say "installed $1 $(field Version "$INFO/$1.control")"
}

# All that are named are removed first, like any: PKG_UPGRADE is 0 for the scripts of old and new.
install() {
	for file; do prepare "$file"; done
	for given in "$WORK"/given/*; do
		! forced reinstall || [ -n "$noaction" ] || (remove "${given##*/}" anyway)
	done
	for given in "$WORK"/given/*; do (unpack "${given##*/}"); done
	for given in "$WORK"/given/*; do (configure "${given##*/}"); done
}

# lose NAME [edited]: its files, without configuration that was edited, and the list of them. Files only:
# empty folders stay.
lose() {
	while read -r file; do
		if grep -qxF "$file" "$INFO/$1.conffiles" 2>/dev/null && [ -f "$ROOT$file" ] && edited "$1" "$file" &&
			[ -z "$2" ]; then
			say "Not deleting modified conffile $file."
		else
			rm -f "$ROOT$file"
		fi
	done <"$INFO/$1.list"
	rm "$INFO/$1.list"
}

# remove NAME [anyway]
remove() {
	name=$1
	[ -n "$(listed "$name")" ] || {
		say "No packages removed."
		return 0
	}
	for other in $(installed); do
		if [ "$other" = "$name" ] || [ -n "$2" ]; then continue; fi
		for wanted in $(names Depends "$INFO/$other.control"); do
			[ -z "$(provided "$wanted" "$INFO/$name.control")" ] || forced depends ||
				die "print_dependents_warning: Package $name is depended upon by packages: $other"
		done
	done
	[ -z "$noaction" ] || return 0
	say "Removing package $name from root..."
	(run_script 0 "$INFO/$name.prerm" remove) || forced remove || exit 255
	: >>"$INFO/$name.list"
	lose "$name"
	run_script 0 "$INFO/$name.postrm" remove
	rm -f "$INFO/$name".*
	forget "$name"
}

command=$1
shift
case $command in
install) install "$@" ;;
remove) for name; do (remove "$name" ''); done ;;
status) record "$1" >>"$WORK/said" ;;
list) for each in $(installed); do say "$each $(listed "$each")"; done ;;
*) die "usage: opkg.sh [-o ROOT] [--noaction] [--force-WHAT]... install FILE...|remove NAME...|status NAME|list" ;;
esac
