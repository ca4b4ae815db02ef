# SPDX-License-Identifier: Apache-2.0
# Many lives at once, half of them disturbed by SIGKILL: nothing may be left, and no state may lie.
#
# With so many VMs at once, QEMU 7.2 delivers an interrupt to a box of two processors between VMEXIT and STGI
# within minutes, which is its kernel's end. One processor takes a quarter of an hour:
# kvmbox: --cpus 1 --timeout 3000
load lib

@test "${CYCLES:-200} cycles of create, start, exec, kill, delete, half of them killed at a random moment of a step" {
	# runc makes no promise for commands that are killed.
	is_vm || export CYCLES_IN_PEACE=1
	local code=0
	tests/compat/cycles 3>&- 2>"$BATS_TEST_TMPDIR/summary" || code=$?
	sed 's/^/# /' "$BATS_TEST_TMPDIR/summary" >&3
	[ "$code" -eq 0 ]
}

@test "nothing is left" {
	nothing_left
	! grep -l "$COMPAT_WORK" /proc/[0-9]*/maps 2>/dev/null || fail 'memory files are left'
}
