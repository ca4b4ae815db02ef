# SPDX-License-Identifier: Apache-2.0
# Mounts, devices and what is hidden: the container's view of its file systems.
load lib

@test "proc, sysfs, tmpfs, devpts, mqueue, cgroup with their options" {
	run_script 'while read -r _ _ _ _ target opts rest; do echo "$target $opts ${rest#*- }"; done </proc/self/mountinfo'
	expect_status 0
	grep -qE '^/proc .*proc' "$OUT" || fail proc
	grep -qE '^/sys ro,nosuid,nodev,noexec.* sysfs' "$OUT" || fail sysfs
	grep -qE '^/dev nosuid.* tmpfs|^/dev rw,nosuid.* tmpfs' "$OUT" || fail dev
	grep -qE '^/dev/pts .*devpts' "$OUT" || fail devpts
	grep -qE '^/dev/shm .*tmpfs' "$OUT" || fail shm
	grep -qE '^/dev/mqueue .*mqueue' "$OUT" || fail mqueue
	grep -qE '^/sys/fs/cgroup .*cgroup2' "$OUT" || fail cgroup
}

@test "bind mounts of directories and files, read-only and read-write" {
	mkdir "$BATS_TEST_TMPDIR/dir"
	echo one >"$BATS_TEST_TMPDIR/dir/file"
	echo two >"$BATS_TEST_TMPDIR/file"
	grant CAP_CHOWN
	bind "$BATS_TEST_TMPDIR/dir" /mnt/new/dir
	bind "$BATS_TEST_TMPDIR/dir" /mnt/ro rbind,ro
	bind "$BATS_TEST_TMPDIR/file" /etc/bound-file
	run_script 'cat /mnt/new/dir/file /mnt/ro/file /etc/bound-file
		echo three >/mnt/new/dir/out; echo four >>/etc/bound-file; chown 12:34 /mnt/new/dir/out
		touch /mnt/ro/x 2>&1 || echo read-only'
	expect_status 0
	expect_line read-only
	[ "$(cat "$BATS_TEST_TMPDIR/dir/out")" = three ]
	[ "$(stat -c %u:%g "$BATS_TEST_TMPDIR/dir/out")" = 12:34 ]
	[ "$(cat "$BATS_TEST_TMPDIR/file")" = "two
four" ]
	rm -f "$FIXTURES/rootfs/etc/bound-file"
	rm -rf "$FIXTURES/rootfs/mnt/new" "$FIXTURES/rootfs/mnt/ro"
}

@test "bind shows one mount of the host, rbind those below it too" {
	local src="$BATS_TEST_TMPDIR/src"
	mkdir -p "$src/sub"
	echo top >"$src/file"
	echo hidden >"$src/sub/beneath"
	mount -t tmpfs tmpfs "$src/sub"
	echo below >"$src/sub/inner"
	bind "$src" /mnt/one bind,ro
	bind "$src" /mnt/all rbind,ro
	bind "$src" /mnt/writable bind
	run_script 'cat /mnt/one/file /mnt/all/file; ls /mnt/one/sub /mnt/all/sub; echo new >/mnt/writable/sub/new
		for d in one all; do touch /mnt/$d/sub/x 2>/dev/null || echo read-only; done'
	umount "$src/sub"
	expect_status 0
	expect_out "top
top
/mnt/all/sub:
inner

/mnt/one/sub:
beneath
read-only
read-only"
	[ "$(cat "$src/sub/new")" = new ]
	rmdir "$FIXTURES/rootfs/mnt/one" "$FIXTURES/rootfs/mnt/all" "$FIXTURES/rootfs/mnt/writable"
}

@test "what the host has mounted in a root file system belongs to it" {
	local root="$BATS_TEST_TMPDIR/root"
	mkdir -p "$root"/{bin,proc,sys,dev,sub}
	cp "$FIXTURES/busybox" "$root/bin/busybox"
	mount -t tmpfs tmpfs "$root/sub"
	echo inner >"$root/sub/file"
	new_bundle "$root"
	args /bin/busybox cat /sub/file
	run_bundle </dev/null
	umount "$root/sub"
	expect_status 0
	expect_line inner
}

@test "mount options take effect" {
	mkdir "$BATS_TEST_TMPDIR/dir"
	cp /bin/true "$BATS_TEST_TMPDIR/dir/prog"
	bind "$BATS_TEST_TMPDIR/dir" /mnt/noexec bind,noexec,nosuid,nodev
	config '.mounts += [{type: "tmpfs", source: "tmpfs", destination: "/mnt/small", options: ["size=1m", "mode=0710", "nosuid", "noatime"]}]'
	run_script '/mnt/noexec/prog 2>&1 || echo noexec holds
		stat -c %a /mnt/small; dd if=/dev/zero of=/mnt/small/f bs=1M count=2 2>&1 | grep -o "No space left" || true
		grep " /mnt/small " /proc/self/mountinfo | grep -o noatime'
	expect_status 0
	expect_line 'noexec holds'
	expect_line 710
	expect_line 'No space left'
	expect_line noatime
	rmdir "$FIXTURES/rootfs/mnt/noexec" "$FIXTURES/rootfs/mnt/small"
}

@test "read-only tmpfs and /dev hold mount points that come later, with ro and with rro" {
	local word
	for word in ro rro; do
		new_bundle "$FIXTURES/rootfs"
		config '(.mounts[] | select(.destination == "/dev")).options += [$w]
			| .mounts += [{type: "tmpfs", source: "tmpfs", destination: "/mnt", options: [$w]},
				{type: "tmpfs", source: "tmpfs", destination: "/mnt/below"}]' --arg w "$word"
		run_script 'for d in /dev /mnt /mnt/below /dev/shm; do touch $d/x 2>/dev/null && echo $d; done; test -c /dev/null'
		expect_status 0
		expect_out $'/mnt/below\n/dev/shm'
	done
}

@test "a read-only root" {
	config '.root.readonly = true'
	run_script 'touch /x 2>&1 || echo "root is read-only"; touch /dev/shm/y && echo shm is not'
	expect_status 0
	expect_line 'root is read-only'
	expect_line 'shm is not'
}

@test "masked and read-only paths" {
	config '.linux.maskedPaths = ["/proc/meminfo", "/sys/firmware", "/no/such"] | .linux.readonlyPaths = ["/proc/sys", "/proc/bus"]'
	run_script 'wc -c </proc/meminfo; ls /sys/firmware | wc -l; echo 1 2>/dev/null >/proc/sys/vm/swappiness || echo proc/sys is read-only'
	expect_status 0
	expect_out "0
0
proc/sys is read-only"
}

@test "devices: the standard ones and those asked for" {
	config '.linux.devices = [{path: "/dev/mine", type: "c", major: 1, minor: 3, fileMode: 432, uid: 5, gid: 6}]'
	run_script 'for d in null zero full random urandom tty; do test -c /dev/$d || echo missing $d; done
		readlink /dev/stdout /dev/fd /dev/ptmx; stat -c "%a %u %g %t:%T" /dev/mine; head -c 3 /dev/zero | od -An -tx1; echo gone >/dev/null'
	expect_status 0
	expect_out "/proc/self/fd/1
/proc/self/fd
pts/ptmx
660 5 6 1:3
 00 00 00"
}

@test "an image's symlink does not lead a mount point out of the root" {
	local root="$BATS_TEST_TMPDIR/root"
	mkdir -p "$root"/{bin,proc,sys,dev} "$BATS_TEST_TMPDIR/outside" "$BATS_TEST_TMPDIR/data"
	cp "$FIXTURES/busybox" "$root/bin/busybox"
	ln -s "$BATS_TEST_TMPDIR/outside" "$root/escape"
	new_bundle "$root"
	bind "$BATS_TEST_TMPDIR/data" /escape/here
	args /bin/busybox sh -c 'test -d /escape/here && echo inside'
	run_bundle </dev/null
	expect_status 0
	expect_line inside
	[ -z "$(ls -A "$BATS_TEST_TMPDIR/outside")" ]
}

@test "/dev/stdout can be opened again by the container's user" {
	config '.process.user = {uid: 1000, gid: 1000}'
	run_script 'echo to stdout >/dev/stdout; echo to stderr >/dev/stderr'
	expect_status 0
	expect_line 'to stdout'
	expect_err 'to stderr'
}
