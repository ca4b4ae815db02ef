# SPDX-License-Identifier: Apache-2.0
# The lists of system calls of hvrun-vmm and hvrun-fs are what is used: no call is missing, and none is on a
# list that nobody makes. These are tests within a test, under strace, one of them with several queue pairs:
# kvmbox: --cpus 1 --timeout 1700

@test "each call on a list is made by some test, and no test makes another" {
	export O=${HVRUN%/*} CALLS=$BATS_FILE_TMPDIR/calls
	cd "$BATS_TEST_DIRNAME/../.."
	# What depends on who is faster may not come the first time; uses add up.
	for _ in 1 2; do
		(
			# They are not to take this one's folders for their own.
			unset "${!BATS_@}"
			tests/e2e/calls "$HVRUN_ACCEL" 3>&-
		)
		run tests/e2e/calls --compare "$HVRUN_ACCEL"
		[ "$status" -ne 0 ] || break
	done
	echo "$output"
	sed 's/^/# /' <<<"$output" >&3
	[ "$status" -eq 0 ]
}
