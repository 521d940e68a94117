#!/bin/sh
# Stands in for apk 3 in the tests: what install-apk asks of it, over apk's own database, for packages of
# the old form. docs/packaging.md says what it claims, and where that was seen.

cmd=$1
shift
root='' simulate=''
words=''
while [ $# != 0 ]; do
	case $1 in
	--root) root=$2 && shift ;;
	--repositories-file | --wait) shift ;;
	--simulate) simulate=1 ;;
	--*) ;;
	*) words="$words $1" ;;
	esac
	shift
done
db=$root/lib/apk/db
tmp=/tmp/apk.$$
mkdir -p "$tmp"
trap 'rm -rf "$tmp"' EXIT

info() {
	tar xzOf "$1" .PKGINFO 2>/dev/null | sed -n "s/^$2 = //p"
}

stanza() {
	awk -v RS= -v name="$1" 'index("\n" $0 "\n", "\nP:" name "\n")' "$db/installed"
}

without() {
	awk -v RS= -v ORS='\n\n' -v name="$1" '!index("\n" $0 "\n", "\nP:" name "\n")' "$db/installed"
}

files() {
	awk '/^F:/ { d = substr($0, 3) } /^R:/ { print d "/" substr($0, 3) }'
}

# listed: "DIGEST PATH" of a stanza
listed() {
	awk '/^F:/ { d = substr($0, 3) } /^R:/ { p = d "/" substr($0, 3) } /^Z:/ { print substr($0, 3) " " p }'
}

hash() {
	sha1sum 2>/dev/null <"$1" | cut -c 1-40
}

fail() {
	for line; do echo "$line" >&2; done
	exit 1
}

case $cmd in
adbdump) fail "ERROR: $words: ADB header error" ;;
manifest)
	for file in $words; do
		[ -n "$(info "$file" pkgname)" ] || fail "ERROR: $file: v2 package format error"
		mkdir "$tmp/f" && tar xzf "$file" -C "$tmp/f" 2>/dev/null
		(cd "$tmp/f" && find . -type f | grep -v '^\./\.' | sed 's/^..//' | while read -r path; do
			echo "sha1:$(hash "$path")  $path"
		done)
		rm -rf "$tmp/f"
	done
	;;
audit)
	[ -s "$db/installed" ] || fail "ERROR: Unable to read database"
	listed <"$db/installed" | while read -r sum path; do
		case $path in etc/*) continue ;; esac
		if [ ! -e "/$path" ]; then
			echo "X $path"
		elif [ "$(hash "/$path")" != "$sum" ]; then
			echo "U $path"
		fi
	done
	;;
add)
	exec 9>"$db/lock"
	[ -n "$simulate" ] || flock -n 9 || fail "ERROR: Unable to lock database: Resource temporarily unavailable"
	names=
	for file in $words; do names="$names $(info "$file" pkgname)"; done
	for file in $words; do
		for need in $(info "$file" depend); do
			case " $names " in *" $need "*) continue ;; esac
			[ -n "$(stanza "$need")" ] || fail "ERROR: unable to select packages:" "  $need (no such package):" \
				"    required by: $(info "$file" pkgname)-$(info "$file" pkgver)[$need]"
		done
	done
	errors=0
	mkdir "$tmp/scripts" && tar xzf "$db/scripts.tar.gz" -C "$tmp/scripts" 2>/dev/null
	for file in $words; do
		name=$(info "$file" pkgname) version=$(info "$file" pkgver)
		old=$(stanza "$name" | sed -n 's/^V://p')
		id=$(hash "$file") what=install
		[ -z "$old" ] || what=upgrade
		stanza "$name" | grep -q "^C:Q1$id" && continue
		echo "(1/1) Installing $name ($version)"
		[ -z "$simulate" ] || continue
		mkdir "$tmp/f" && tar xzf "$file" -C "$tmp/f" 2>/dev/null
		stanza "$name" | listed >"$tmp/had"
		(cd "$tmp/f" && find . -type f | grep -v '^\./\.' | sed 's/^..//' | sort) >"$tmp/brings"
		while read -r path; do
			mkdir -p "$root/${path%/*}"
			to=$root/$path
			case $path in
			etc/*)
				[ ! -e "$to" ] || [ "$(hash "$to")" = "$(hash "$tmp/f/$path")" ] ||
					grep -qxF "$(hash "$to") $path" "$tmp/had" || to=$to.apk-new
				;;
			esac
			cp -p "$tmp/f/$path" "$to.apk.tmp" && mv "$to.apk.tmp" "$to"
		done <"$tmp/brings"
		stanza "$name" | files | grep -vxF -f "$tmp/brings" | while read -r path; do
			rm -f "$root/$path"
			rmdir -p "${path%/*}" 2>/dev/null
		done
		[ -z "$old" ] || rm -f "$tmp/scripts/$name-$old".X*
		for script in "$tmp/f"/.p*-*; do
			[ ! -e "$script" ] || cp "$script" "$tmp/scripts/$name-$version.X1$id.${script##*/.}"
		done
		script=$tmp/scripts/$name-$version.X1$id.post-$what
		if [ -e "$script" ] && ! sh "$script" "$version" ${old:+"$old"} 9>&-; then
			echo "ERROR: lib/apk/exec/$name-$version.post-$what: exited with error 1" >&2
			errors=1
		fi
		{
			without "$name"
			printf 'C:Q1%s\nP:%s\nV:%s\nA:noarch\n' "$id" "$name" "$version"
			while read -r path; do
				printf 'F:%s\nR:%s\nZ:%s\n' "${path%/*}" "${path##*/}" "$(hash "$tmp/f/$path")"
			done <"$tmp/brings"
			echo
		} >"$db/installed.tmp"
		{ grep -vE "^$name([<>=~@]|\$)" "$root/etc/apk/world" && echo "$name><Q1$id"; } | LC_ALL=C sort >"$root/etc/apk/world.tmp"
		mv "$root/etc/apk/world.tmp" "$root/etc/apk/world"
		mv "$db/installed.tmp" "$db/installed"
		rm -rf "$tmp/f"
	done
	[ -n "$simulate" ] || { cd "$tmp/scripts" && tar czf "$db/scripts.tar.gz" -- *; } 2>/dev/null
	[ "$errors" = 0 ] || { echo "1 error; 1.0 MiB in 9 packages" && exit 1; }
	echo "OK: 1.0 MiB in 9 packages"
	;;
esac
