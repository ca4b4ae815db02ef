# SPDX-License-Identifier: Apache-2.0
# The file server under real use: every operation compared with the host's own file system, and
# programs that lean on one.
load lib

# A host's file system as people have it: inside kvmbox that is an ext4 of the test's own.
setup_file() {
	[ -n "${KVMBOX:-}" ] || return 0
	export FILES=/tmp/files
	truncate -s 1G /tmp/files.img
	mkfs.ext4 -q /tmp/files.img
	mkdir -p "$FILES"
	mount -o loop /tmp/files.img "$FILES"
}

teardown_file() {
	[ -n "${KVMBOX:-}" ] || return 0
	umount /tmp/files
	rm -f /tmp/files.img
}

@test "each file operation gives what the host's file system gives" {
	local host="$FILES/host" guest="$FILES/guest"
	rm -rf "$host" "$guest"
	mkdir -p "$host" "$guest"
	cp "$HELPERS/fsexercise" "$guest/../fsexercise"
	bind "$guest" /work
	bind "$guest/../fsexercise" /fsexercise bind,ro
	grant CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_SETGID CAP_SETUID \
		CAP_SETPCAP CAP_SETFCAP CAP_MKNOD CAP_SYS_ADMIN CAP_SYS_CHROOT CAP_LINUX_IMMUTABLE CAP_LEASE
	config '.linux.resources.devices = [{allow: true, access: "rwm"}]'
	args /fsexercise /work
	"$HELPERS/fsexercise" "$host" >"$BATS_TEST_TMPDIR/native"
	run_bundle </dev/null
	expect_status 0
	rm -f "$FIXTURES/rootfs/fsexercise"
	rmdir "$FIXTURES/rootfs/work"
	[ "$(wc -l <"$OUT")" -gt 60 ]
	diff "$BATS_TEST_TMPDIR/native" "$OUT"
	rm -rf "$host" "$guest"
}

@test "what a program had mapped and changed is on the host at its end" {
	local whole
	whole=$(head -c 16777216 /dev/zero | tr '\0' x | sha256sum)
	mkdir -p "$FILES/mapped"
	bind "$FILES/mapped" /mapped
	bind "$HELPERS/thrash" /usr/bin/thrash rbind,ro
	args thrash dirty /mapped/file
	for _ in 1 2 3; do
		rm -f "$FILES/mapped/file"
		run_bundle </dev/null
		expect_status 0
		[ "$(sha256sum <"$FILES/mapped/file")" = "$whole" ] || fail 'not all is there'
	done
	rm -r "$FILES/mapped"
}

@test "git clone, and the clone is whole" {
	mkdir "$BATS_TEST_TMPDIR/repo" "$BATS_TEST_TMPDIR/clone"
	git -C "$BATS_TEST_TMPDIR/repo" init -q
	for i in $(seq 200); do
		mkdir -p "$BATS_TEST_TMPDIR/repo/d$((i % 20))"
		seq "$i" "$((i * 7))" >"$BATS_TEST_TMPDIR/repo/d$((i % 20))/f$i"
	done
	git -C "$BATS_TEST_TMPDIR/repo" add .
	git -C "$BATS_TEST_TMPDIR/repo" -c user.name=t -c user.email=t@example.test commit -qm all
	bind "$BATS_TEST_TMPDIR/repo" /repo rbind,ro
	bind "$BATS_TEST_TMPDIR/clone" /clone
	run_script 'git config --global --add safe.directory "*"; git clone -q /repo /clone/r
		cd /clone/r; git fsck --full 2>&1; git status --porcelain | wc -l; git ls-files | wc -l'
	expect_status 0
	expect_line 0
	expect_line 200
	git -c safe.directory='*' -C "$BATS_TEST_TMPDIR/clone/r" status --porcelain | wc -l | grep -qx 0
}

@test "tar unpacks 20,000 files" {
	local tree="$BATS_TEST_TMPDIR/tree" count=20000
	[ -z "${HVRUN_SLOW_BOX:-}" ] || count=4000
	mkdir -p "$tree" "$BATS_TEST_TMPDIR/out"
	perl -e 'my ($dir, $n) = @ARGV; for my $i (1 .. $n) { my $d = "$dir/" . ($i % 100); mkdir $d; open(my $f, ">", "$d/$i") or die; print $f $i x ($i % 50); }' "$tree" "$count"
	tar -C "$tree" -cf "$BATS_TEST_TMPDIR/tree.tar" .
	bind "$BATS_TEST_TMPDIR/out" /out
	args tar -C /out -xf -
	run_bundle <"$BATS_TEST_TMPDIR/tree.tar"
	expect_status 0
	diff -r "$tree" "$BATS_TEST_TMPDIR/out"
	[ "$(find "$BATS_TEST_TMPDIR/out" -type f | wc -l)" -eq "$count" ]
}

@test "an sqlite database under load from several processes" {
	local vcpus=2
	# Where a guest changes its kernel's code while its other processor runs, kvmbox's QEMU loses its way: see
	# guest_hold_code in tests/kvmbox/guest.c, which can hold the box's code alone.
	[ -z "${HVRUN_SLOW_BOX:-}" ] || vcpus=1
	mkdir "$BATS_TEST_TMPDIR/db"
	bind "$BATS_TEST_TMPDIR/db" /db
	run_script 'sqlite3 /db/t.db "create table t(w int, n int); create index i on t(n);"
		for w in 1 2 3 4; do (for n in $(seq 25); do sqlite3 -cmd ".timeout 60000" /db/t.db "begin immediate; insert into t values($w, $n); update t set n = n + 0 where w = $w; commit;"; done) & done; wait
		sqlite3 /db/t.db "pragma integrity_check; select count(*), sum(n) from t;"; sqlite3 /db/t.db "pragma journal_mode=wal; insert into t values(9, 9); select count(*) from t;"' --vcpus "$vcpus"
	expect_status 0
	expect_out "ok
100|1300
wal
101"
}
