# Sourced by /etc/init.d/swdist and /usr/bin/swdist; runs nothing by itself.
# shellcheck shell=sh disable=SC2034,SC2119,SC2120,SC2317  # whoever sources this uses them

SWDIST_RUN=/var/run/swdist
# Not in SWDIST_RUN: that is the network side's, which could name any process there.
SWDIST_PIDS=/var/run/swdist-
SWDIST_DAEMONS="switchd netd"
SWDIST_PATH=.frozen:/usr/lib/micropython
SWDIST_PYTHON="micropython -X heapsize=1M"

# swdist_pid DAEMON pid|supervise: its process, or the one that starts it again, if it runs. A number
# alone may belong to another one by now.
swdist_pid() {
	pid=$(cat "$SWDIST_PIDS$1.$2" 2>/dev/null) || return 1
	case $({ tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null) in
	*" -m swdist.$1 "* | *"/swdist supervise $1 "*) echo "$pid" ;;
	*) return 1 ;;
	esac
}

# swdist_values NAME: those of an option or list in the configuration, a line for each section.
swdist_values() (
	# shellcheck source=/dev/null
	[ ! -f /lib/functions.sh ] || . /lib/functions.sh
	if command -v config_load >/dev/null; then
		swdist_value() {
			config_get value "$1" "$2"
			[ -z "$value" ] || echo "$value"
		}
		config_load swdist
		config_foreach swdist_value swdist "$1"
	else # older than that is OpenWrt before 12.09
		sed -n "s/^[[:space:]]*[a-z]*[[:space:]]*['\"]*$1['\"]*[[:space:]]\{1,\}['\"]*\([^'\"#[:space:]]*\).*/\1/p" \
			/etc/config/swdist 2>/dev/null
	fi
)

# swdist_option NAME DEFAULT: its value, the last one if there are several.
swdist_option() {
	value=$(swdist_values "$1" | tail -n 1)
	echo "${value:-$2}"
}

SWDIST_STATE=$(swdist_option state /usr/share/swdist/state)

# What to run, by the files of switchd: $active and $confirmed, ids of whole slots, or empty for what
# the image holds; $trial, the active one if it has to prove itself; $code, where its own swdist is.
swdist_slot() {
	state=$SWDIST_STATE slots=$SWDIST_STATE/slots active='' confirmed='' trial='' code=''
	read -r active <"$state/active"
	read -r confirmed <"$state/confirmed"
	[ -d "$slots/${confirmed:-none}" ] || confirmed=
	[ -d "$slots/${active:-none}" ] || active=
	if [ "$active" != "$confirmed" ]; then
		if grep -q "^${active:-none}" "$state/failed"; then
			# The power went before that was written.
			active=$confirmed
		else
			trial=$active
		fi
	fi
	[ ! -d "$slots/$active/lib/swdist" ] || code=$slots/$active/lib:
} 2>/dev/null

# Python looks for modules where it is started first. Here only root can put one; in SWDIST_RUN others
# could, and in / MicroPython 1.20 takes the folder /sys for its module `sys`.
swdist_home() {
	cd /usr/lib/swdist || return
}

# swdist_check [SLOT]: what is wrong with the configuration and the keys, for what runs or for the code of
# a slot. 2: nothing can start with them.
swdist_check() (
	swdist_home || exit
	swdist_slot
	[ -z "$1" ] || code=$1/lib:
	# shellcheck disable=SC2086  # a command with its flags
	MICROPYPATH=$code$SWDIST_PATH $SWDIST_PYTHON -m swdist.netd --check 2>&1
)

# swdist_ready: can anything start? If not, why is said once, and again when it changes. What is on
# trial is started all the same, for its launcher has to judge it.
swdist_ready() {
	swdist_slot
	[ -z "$trial" ] || return 0
	why=$(swdist_check)
	case $? in
	2 | 127) ;;
	*)
		rm -f "${SWDIST_PIDS}why"
		return 0
		;;
	esac
	[ "$why" = "$(cat "${SWDIST_PIDS}why" 2>/dev/null)" ] || logger -t swdist "$why"
	echo "$why" >"${SWDIST_PIDS}why"
	return 1
}

# swdist_said net|switch: what one side says of itself. RUN is the network side's: what lies there may
# be a pipe, or become one, so that file is looked at where nobody else can change it.
swdist_said() {
	mine=$SWDIST_PIDS$1.$$
	ln "$SWDIST_RUN/$1.json" "$mine" 2>/dev/null || return 1
	[ -f "$mine" ] && [ ! -L "$mine" ] && head -c 65536 "$mine"
	found=$?
	rm -f "$mine"
	return $found
}

# swdist_write NAME: a file of STATE from stdin. After a power cut it is the old or the new one, whole.
swdist_write() {
	data=$(cat)
	printf '%s\n' "$data" >"$state/$1.tmp" || {
		rm -f "$state"/reserve/*
		printf '%s\n' "$data" >"$state/$1.tmp"
	} && sync && mv "$state/$1.tmp" "$state/$1" && sync
} 2>/dev/null

# swdist_fail REASON: the release on trial is not run again here.
swdist_fail() {
	echo "release $trial failed: $1" >&2
	{
		tail -n 15 "$state/failed" 2>/dev/null
		echo "$trial $1"
	} | swdist_write failed
}

# A boot with a release on trial is counted before anything of it runs: it may end this node's power.
# The sixth is one too many; so is the twelfth, if switchd has given it a second chance.
swdist_boot() {
	[ ! -e "${SWDIST_PIDS}boot" ] || return 0
	: >"${SWDIST_PIDS}boot"
	# sysupgrade keeps files, and not their directories: they come back as root's, and the network side
	# could add nothing to a release, nor remove it. It does not run yet, so it can't put links there.
	find "$(swdist_option store /usr/share/swdist/store)" -type d \
		-exec chown "$(swdist_option user swdist)" {} \; 2>/dev/null
	swdist_slot
	[ -n "$trial" ] || return 0
	tries=$(cat "$state/tries" 2>/dev/null)
	[ "${tries#"$trial"}" != "$tries" ] || tries=$trial
	echo "$tries." | swdist_write tries
	tries=$((${#tries} - 63))
	[ $((tries % 6)) != 0 ] || swdist_fail "not confirmed in $((tries - tries / 6)) boots"
}
