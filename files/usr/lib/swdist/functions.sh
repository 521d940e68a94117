# Sourced by /etc/init.d/swdist and /usr/bin/swdist; runs nothing by itself.
# shellcheck shell=sh disable=SC2034  # whoever sources this uses them

SWDIST_RUN=/var/run/swdist
# Not in SWDIST_RUN: that is the network side's, which could name any process there.
SWDIST_PIDS=/var/run/swdist-
SWDIST_DAEMONS="switchd netd"
SWDIST_PATH=.frozen:/usr/lib/micropython
SWDIST_PYTHON="micropython -X heapsize=1M"

# swdist_mtd LABEL...: the flash partition with one of these labels, such as mtd3. Numbers differ
# from one device to the next, and from one release of OpenWrt to the next.
swdist_mtd() {
	for label; do
		while read -r device _ _ name; do
			if [ "$name" = "\"$label\"" ]; then
				echo "${device%:}"
				return 0
			fi
		done <"${SWDIST_PROC_MTD:-/proc/mtd}"
	done 2>/dev/null
	return 1
}

# swdist_pid DAEMON pid|supervise: its process, or the one that starts it again, if it runs. A number
# alone may belong to another one by now.
swdist_pid() {
	pid=$(cat "$SWDIST_PIDS$1.$2" 2>/dev/null) || return 1
	case $({ tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null) in
	*" -m swdist.$1 "* | *"/swdist supervise $1 "*) echo "$pid" ;;
	*) return 1 ;;
	esac
}

swdist_check() {
	cd / || return 1
	# shellcheck disable=SC2086  # a command with its flags
	MICROPYPATH=$SWDIST_PATH $SWDIST_PYTHON -m swdist.netd --check
}
