#!/bin/sh
# What is not to be had here: OpenWrt's sysupgrade, and the procd behind it, as they are seen to behave
# (docs/packaging.md). sysupgrade [-T] IMAGE
#
# /tmp/called   what it was called with, a line each
# /tmp/refuses  if it is there, why the image is refused; /tmp/fails: why it ends before it begins
# /tmp/never    if it is there, nothing comes of what has begun
# /tmp/flashed  the image, once it was read; /tmp/backup: what is kept of the old system
# SYSUPGRADE_S  after so many seconds it is read
echo "$*" >>/tmp/called
for image; do :; done

upgrade() {
	echo "$(date) upgrade: $*" >&2
}

if [ ! -f "$image" ]; then
	echo "Image file not found." >&2
	exit 1
elif [ -e /tmp/refuses ]; then
	upgrade "Reading the image"
	upgrade "$(cat /tmp/refuses)"
	echo "Image check failed." >&2
	exit 1
elif [ "$1" = -T ]; then
	exit 0
elif [ -e /tmp/fails ]; then
	cat /tmp/fails >&2
	exit 1
fi
upgrade "Commencing upgrade. Closing all shell sessions."

# procd becomes another program, and outlives its caller. It ends all processes but its own, one after
# the other: a shell whose `sleep` is gone goes on.
stage2() {
	sleep "${SYSUPGRADE_S:-15}"
	own=$(cut -d ' ' -f 4 /proc/self/stat)
	for which in sleep other; do
		for process in /proc/[0-9]*; do
			case ${process#/proc/}:$(sed -n 's/^Name:.//p' "$process/status" 2>/dev/null) in
			1:* | "$own":* | *: | *:syslogd) ;;
			*:sleep) kill -9 "${process#/proc/}" ;;
			*) [ $which = sleep ] || kill -9 "${process#/proc/}" ;;
			esac
		done
		sleep 0.3
	done
	mkdir /tmp/backup
	while read -r name; do
		# shellcheck disable=SC2086  # a pattern
		cp $name /tmp/backup
	done </lib/upgrade/keep.d/swdist
	cp "$image" /tmp/taken && mv /tmp/taken /tmp/flashed
	: >/tmp/rebooted
}
if [ ! -e /tmp/never ]; then
	(stage2 </dev/null >/dev/null 2>&1 &)
fi
killall -9 ubusd 2>/dev/null
sleep 0.5
echo "Command failed: ubus call system sysupgrade (Connection failed)" >&2
exit 246
