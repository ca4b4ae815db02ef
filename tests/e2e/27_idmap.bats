# SPDX-License-Identifier: Apache-2.0
# Id-mapped bind mounts: mounts[].uidMappings and gidMappings, idmap, ridmap.
load lib

# A directory of the host that is of 1000, with files of 1000 and of 5000, and its bind mount on /mnt/m.
make_source() {
	SRC="$BATS_TEST_TMPDIR/src"
	mkdir "$SRC"
	chown 1000:1000 "$SRC"
	chmod 777 "$SRC"
	echo one >"$SRC/one"
	chown 1000:1000 "$SRC/one"
	echo other >"$SRC/other"
	chown 5000:5000 "$SRC/other"
}

# map_ids OPTIONS FIRST HOST SIZE: the mount shows the source's ids from FIRST on as those from HOST.
map_ids() {
	bind "$SRC" /mnt/m "$1"
	config '.mounts[-1] += ([{containerID: $c, hostID: $h, size: $n}] | {uidMappings: ., gidMappings: .})' \
		--argjson c "$2" --argjson h "$3" --argjson n "$4"
}

teardown() {
	rmdir "$FIXTURES/rootfs/mnt/m" "$FIXTURES/rootfs/mnt/plain" 2>/dev/null || true
}

@test "a mapped mount shows shifted owners, and what is made in it has the host's" {
	make_source
	bind "$SRC" /mnt/plain rbind
	map_ids rbind 1000 2000 10
	grant CAP_CHOWN CAP_SETUID CAP_SETGID CAP_DAC_OVERRIDE CAP_FOWNER CAP_SETPCAP
	run_script 'stat -c "%n %u:%g" /mnt/m/one /mnt/m/other /mnt/plain/one
		as() { setpriv --reuid $1 --regid $1 --clear-groups "${@:2}"; }
		as 2000 sh -c "echo x >/mnt/m/made; mkdir /mnt/m/dir; ln -s a /mnt/m/link; mkfifo /mnt/m/fifo
			echo more >>/mnt/m/one; chmod 600 /mnt/m/made; mv /mnt/m/made /mnt/m/moved
			ln /mnt/m/moved /mnt/m/hard; cat /mnt/m/moved; truncate -s 1 /mnt/m/hard"
		touch /mnt/m/by-root 2>/dev/null || echo root has no id there
		as 2001 touch /mnt/m/one 2>/dev/null || echo another may not
		as 2005 touch /mnt/m/five; chown 2003:2004 /mnt/m/five
		chown 1000:1000 /mnt/m/five 2>/dev/null || echo unmapped
		as 3000 touch /mnt/plain/theirs'
	expect_status 0
	expect_line '/mnt/m/one 2000:2000'
	expect_line '/mnt/m/other 65534:65534'
	expect_line '/mnt/plain/one 1000:1000'
	expect_line 'root has no id there'
	expect_line 'another may not'
	expect_line unmapped
	for name in moved dir link fifo hard; do
		[ "$(stat -c %u:%g "$SRC/$name")" = 1000:1000 ] || fail "$name has the wrong owner"
	done
	[ "$(stat -c %u:%g "$SRC/five")" = 1003:1004 ]
	[ "$(stat -c %u:%g "$SRC/theirs")" = 3000:3000 ]
	[ "$(cat "$SRC/one")" = "one
more" ]
}

@test "idmap takes the mappings of the container's user namespace" {
	local root="$BATS_TEST_TMPDIR/root"
	mkdir -p "$root"/{bin,proc,sys,dev,mnt/m}
	cp "$FIXTURES/busybox" "$root/bin/busybox"
	chown -R 100000:100000 "$root"
	new_bundle "$root"
	make_source
	bind "$SRC" /mnt/m rbind,ridmap
	config '.linux.namespaces += [{type: "user"}]
		| .linux += ([{containerID: 0, hostID: 100000, size: 65536}] | {uidMappings: ., gidMappings: .})'
	args /bin/busybox sh -euc '/bin/busybox stat -c "%u:%g" /mnt/m/one; /bin/busybox touch /mnt/m/made'
	run_bundle </dev/null
	expect_status 0
	expect_out 1000:1000
	[ "$(stat -c %u:%g "$SRC/made")" = 0:0 ]
}

@test "mapped ids that can't be had are refused" {
	local kernel
	make_source
	bind "$SRC" /mnt/m bind,idmap
	run_bundle </dev/null
	expect_refusal 'mounts\[[0-9]+\]\.options: idmap needs uidMappings'
	new_bundle "$FIXTURES/rootfs"
	map_ids bind 0 1000 10
	kernel=$("$STOCK_KERNEL")
	run_bundle --kernel "$kernel/vmlinuz" --modules "$kernel/modules" </dev/null
	expect_refusal 'mounts\[[0-9]+\] \(/mnt/m\): .*can.t map ids of virtiofs \(Linux 6\.12'
}
