#!/bin/bash
# keeper.sh ROOTFS FOLDER FLASH: one router of OpenWrt's. Its procd is process 1 of namespaces of its own and boots
# again when it reboots or dies. FOLDER has `files`, which is laid over the image, and gets `pid` (procd's, as it is
# seen here), `boots` (how many), `console` and `stage2.log` (what an upgrade says when nobody listens any more).
# FLASH is the block device that `sysupgrade` writes, or empty.
#
# What is written lies in memory (as on a router it lies on its overlay) and goes with this process.
set -e
rootfs=$1 flash=$3
cd "$2"
mkdir -p m root
until [ -e go ]; do sleep 0.1; done # the network card comes from outside
mount -t tmpfs -o "size=${MEMORY_MB:-224}m" tmpfs m
mkdir m/rom m/over m/none
mount -t tmpfs -o "size=${OVERLAY_MB:-64}m" tmpfs m/over
mkdir m/over/upper m/over/work
# The overlay is there already.
printf '#!/bin/sh\nexit 0\n' >m/none/mount_root
chmod 755 m/none/mount_root

fill() {
	if [ -d "$rootfs" ]; then
		cp -a "$rootfs"/. m/rom/
	else
		tar -C m/rom --numeric-owner -xf "$rootfs"
	fi
	cp -a files/. m/rom/
	# shellcheck disable=SC2016  # it is the router's shell that asks
	echo 'case "$0" in *stage2) exec >>/proc/1/fd/250 2>&1 ;; esac' >m/rom/lib/upgrade/00_log.sh
	# The host's command line names the host's disk. An upgrade has to find FLASH, or none.
	cat >m/rom/lib/preinit/00_swdist <<-END
		mount -o bind /overlay/.cmdline /proc/cmdline
		mkdir -p /tmp/sysinfo
		echo '$BOARD' >/tmp/sysinfo/board_name
		echo '$BOARD' >/tmp/sysinfo/model
	END
}

# The second partition: where `disk` in router.py puts the text of an image.
image() {
	[ -z "$flash" ] || dd "if=$flash" bs=512 skip=5120 count=1 iflag=direct status=none
}

# sysupgrade knows its disk by the signature that the kernel was told, 440 bytes from the start.
signature=00000000
[ -z "$flash" ] || signature=$(dd "if=$flash" bs=1 skip=440 count=4 status=none | od -An -tx4 | tr -d ' ')
echo "BOOT_IMAGE=/boot/vmlinuz root=PARTUUID=$signature-02 rootwait" >m/over/.cmdline
fill
booted=$(image | sha256sum)
boots=0
while :; do
	mount -o remount,rw m # a shutdown leaves them read-only
	mount -o remount,rw m/over
	now=$(image | sha256sum)
	if [ "$now" != "$booted" ]; then
		echo "--- another image is on the flash"
		booted=$now
		# What sysupgrade keeps lies in the boot partition; all else of the overlay was the old image's.
		rm -rf m/over/upper m/over/work
		mkdir m/over/upper m/over/work
		[ ! -d next ] || cp -a next/. m/rom/
	fi
	boots=$((boots + 1))
	rm -f pid
	echo $boots >boots
	end=0
	# shellcheck disable=SC2016  # it is for the inner shell
	setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --propagation private \
		setpriv --bounding-set -sys_time,-sys_module,-syslog,-sys_rawio bash -c '
			set -e
			mount -t overlay -o lowerdir=m/rom,upperdir=m/over/upper,workdir=m/over/work overlay root
			mount --bind m/rom root/rom
			mount --bind m/over root/overlay
			mount --bind m/none/mount_root root/sbin/mount_root
			read -r pid _ </proc/self/stat
			echo $pid >pid
			exec 250>>stage2.log
			cd root
			pivot_root . mnt
			cd /
			umount -l /mnt
			exec /usr/bin/env -i TERM=linux HOME=/ PATH=/usr/sbin:/usr/bin:/sbin:/bin /sbin/init' || end=$?
	echo "--- process 1 ended: $end"
	[ ! -e stopped ] || exit 0
done
