# SPDX-License-Identifier: Apache-2.0
# Real programs: a Debian root file system that went through an OCI image, and the CI case, code
# that is configured, built and tested inside.
load lib

@test "a Debian root file system from an OCI image" {
	run_script 'cat /etc/os-release; dpkg -l | grep -c ^ii
		perl -e "print \"perl \", join(\",\", map { \$_ ** 2 } 1..4), \"\\n\""
		python3 -c "import json, sys; print(\"python\", json.dumps({\"a\": [1, 2]}))"'
	expect_status 0
	expect_line 'ID=debian'
	expect_line 'perl 1,4,9,16'
	expect_line 'python {"a": [1, 2]}'
	grep -qE '^[0-9]{2,}$' "$OUT" || fail 'dpkg -l lists nothing'
}

@test "a package is configured, built and tested inside" {
	local source="$BATS_TEST_TMPDIR/source" build='make -s -j2 && make -s test' vcpus=2
	# A third of it, for a processor emulated inside an emulated one.
	[ -z "${HVRUN_SLOW_BOX:-}" ] || build='make -s teststatic' vcpus=1
	cp -a "$FIXTURES/zlib" "$source"
	chown -R 1000:1000 "$source"
	bind "$source" /src
	config '.process.user = {uid: 1000, gid: 1000} | .process.cwd = "/src"'
	run_script "./configure >/dev/null && $build" --vcpus "$vcpus"
	expect_status 0
	grep -q 'zlib test OK' "$OUT" || fail 'the test-suite failed'
	[ "$(stat -c %u:%g "$source/libz.a")" = 1000:1000 ]
}

@test "a fork bomb ends that container only" {
	config '.linux.resources.pids = {limit: 64}'
	# What is to survive starts no process itself: a shell that can't fork gives up.
	run_script 'mkfifo /dev/shm/still; exec 3<>/dev/shm/still
		b() { b 2>/dev/null | b 2>/dev/null & }; (b) 2>/dev/null; read -r -t 2 -u 3 || echo survived'
	expect_status 0
	expect_line survived
	args true
	run_bundle </dev/null
	expect_status 0
}

@test "running out of memory ends that container only, and is said" {
	HVRUN_PATIENCE=240
	config '.linux.resources.memory = {limit: 67108864}'
	run_script 'exec perl -e "my @x; push @x, \"x\" x 1_000_000 while 1"'
	expect_status 137
	expect_err 'out of memory|memory limit'
	args true
	run_bundle </dev/null
	expect_status 0
}

@test "thrashing at the memory limit ends that container only; reading files there does not" {
	HVRUN_PATIENCE=300
	mkdir -p "$BATS_TEST_TMPDIR/scratch"
	bind "$HELPERS/thrash" /usr/bin/thrash rbind,ro
	bind "$BATS_TEST_TMPDIR/scratch" /scratch
	config '.linux.resources.memory = {limit: 33554432}'
	args thrash faults /scratch/file
	run_bundle </dev/null
	expect_status 137
	expect_line full
	expect_err 'out of memory|memory limit'
	args thrash reads /scratch/file
	run_bundle </dev/null
	expect_status 0
	expect_line read
}

@test "a full disk is ENOSPC inside and nothing else" {
	local disk="$BATS_TEST_TMPDIR/disk"
	mkdir "$disk"
	mount -t tmpfs -o size=4m tmpfs "$disk"
	bind "$disk" /disk
	run_script 'dd if=/dev/zero of=/disk/file bs=1M count=8 2>&1 | grep -o "No space left on device"; stat -c %s /disk/file; echo more; rm /disk/file; echo ok >/disk/file; cat /disk/file'
	umount "$disk"
	expect_status 0
	expect_out "No space left on device
4194304
more
ok"
}
