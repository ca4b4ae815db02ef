# SPDX-License-Identifier: Apache-2.0
# The virtual machine itself: vCPUs, memory, other kernels, and the commands about it.
load lib

@test "vCPUs and memory are what was asked for" {
	run_script 'nproc; awk "/MemTotal/ { print int(\$2 / 1024 / 100) }" /proc/meminfo' --vcpus 3 --memory 768
	expect_status 0
	expect_line 3
	grep -qE '^[67]$' "$OUT" || fail 'memory'
}

@test "as many vCPUs as there can be, and no more" {
	local vcpus=64
	# Software takes minutes for so many, and kvmbox is not sure of more than a few.
	[ "$HVRUN_ACCEL" = kvm ] || vcpus=8
	[ -z "${HVRUN_SLOW_BOX:-}" ] || vcpus=4
	run_script 'nproc' --vcpus "${HVRUN_VCPUS:-$vcpus}"
	expect_status 0
	expect_line "${HVRUN_VCPUS:-$vcpus}"
	run_script 'nproc' --vcpus 65
	expect_status 1
	grep -q 'from 1 to 64' "$ERR" || fail 'which number it may be'
}

@test "memory beyond 4 GiB" {
	run_script 'awk "/MemTotal/ { print int(\$2 / 1024 / 1024) }" /proc/meminfo' --memory 6144
	expect_status 0
	grep -qE '^5$' "$OUT" || fail 'memory'
}

@test "Debian's stock kernel with its modules is a guest too" {
	local kernel
	kernel=$("$STOCK_KERNEL")
	run_script 'uname -r; echo works' --kernel "$kernel/vmlinuz" --modules "$kernel/modules"
	expect_status 0
	expect_line works
	grep -q cloud-amd64 "$OUT" || fail 'another kernel'
}

@test "a kernel that can't reach its devices: what to check is said" {
	local kernel
	kernel=$("$STOCK_KERNEL")
	echo '{"bootTimeoutSeconds": 45}' >"$BATS_TEST_TMPDIR/config.json"
	args true
	status=0
	hv --config "$BATS_TEST_TMPDIR/config.json" run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" \
		--kernel "$kernel/vmlinuz" x </dev/null >"$OUT" 2>"$ERR" || status=$?
	[ "$status" -eq 125 ]
	expect_err '^hvrun: the .*its kernel said nothing: .*--modules.*--discovery.*--memory'
}

@test "a kernel that looks for its devices elsewhere is not waited for for ever" {
	echo '{"bootTimeoutSeconds": 15}' >"$BATS_TEST_TMPDIR/config.json"
	args true
	status=0
	hv --config "$BATS_TEST_TMPDIR/config.json" run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" \
		--discovery acpi x </dev/null >"$OUT" 2>"$ERR" || status=$?
	[ "$status" -eq 125 ]
	expect_err '^hvrun: the (guest has not reported for 15 seconds|VM ended before its guest was up) .*its kernel said nothing: .*--discovery'
}

# bats test_tags=emulation
@test "a QEMU that is none is named, with how it ended" {
	for program in true false; do
		printf '{"qemu": "/bin/%s"}' "$program" >"$BATS_TEST_TMPDIR/config.json"
		args true
		status=0
		hv --config "$BATS_TEST_TMPDIR/config.json" run --accel emulation --bundle "$BUNDLE" x \
			</dev/null >"$OUT" 2>"$ERR" || status=$?
		[ "$status" -eq 125 ]
		expect_refusal "/bin/$program exited with code [01]"
	done
}

@test "the guest's clock is the host's" {
	local before
	before=$(date +%s)
	run_script 'date +%s'
	expect_status 0
	local inside
	inside=$(cat "$OUT")
	((inside >= before - 2 && inside <= $(date +%s) + 2))
}

@test "hvrun check says which engines work, and why not" {
	run "$HVRUN" check
	[[ "$output" == *kvm* && "$output" == *emulation* ]]
}

@test "hvrun run BUNDLE/ makes up an id" {
	args echo hello
	status=0
	hv run --accel "$HVRUN_ACCEL" "$BUNDLE/" </dev/null >"$OUT" 2>"$ERR" || status=$?
	expect_status 0
	expect_out hello
}

@test "help and version" {
	"$HVRUN" --version | grep -q '^hvrun version '
	"$HVRUN" --help | grep -q run
	for command in run spec check; do
		"$HVRUN" "$command" --help | grep -q -- "$command"
	done
}
