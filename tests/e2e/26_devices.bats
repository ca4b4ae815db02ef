# SPDX-License-Identifier: Apache-2.0
# Block devices of the host (linux.devices): disks of the machine, held to the rules that the
# container has for the host's numbers.
load lib

# /dev/disk0 of the container: a loop device over an image whose first bytes are "original".
make_disk() {
	IMAGE="$BATS_TEST_TMPDIR/disk.img"
	truncate -s 1M "$IMAGE"
	printf 'original' | dd of="$IMAGE" conv=notrunc status=none
	LOOP=$(losetup --find --show "$IMAGE") || fail 'no loop device can be had'
	MAJOR=$((0x$(stat -c %t "$LOOP"))) MINOR=$((0x$(stat -c %T "$LOOP")))
}

teardown() {
	[ -z "${LOOP:-}" ] || losetup --detach "$LOOP"
}

# disk_run RULES SCRIPT: a container with the disk and these linux.resources.devices; in RULES, D
# is the disk's type and numbers.
disk_run() {
	new_bundle "$FIXTURES/rootfs"
	config '.linux.devices = [{path: "/dev/disk0", type: "b", major: $a, minor: $b, fileMode: 438}]
		| .linux.resources.devices = ('"${1//D/type: \"b\", major: \$a, minor: \$b}"')' \
		--argjson a "$MAJOR" --argjson b "$MINOR"
	run_script "$2"
}

# What the host has at the beginning of the image.
on_host() {
	sync "$LOOP" && blockdev --flushbufs "$LOOP"
	head -c 8 "$IMAGE"
}

TRY='head -c 8 /dev/disk0 2>&1 && echo; (printf "modified" >/dev/disk0) 2>&1 && echo written; true'

@test "a block device that may be read only: nothing reaches the host's disk" {
	make_disk
	disk_run '[{allow: false, access: "rwm"}, {allow: true, D, access: "r"}]' \
		"$TRY; cat /sys/block/vda/ro"
	expect_status 0
	expect_line original
	expect_line 1
	! grep -qx written "$OUT" || fail 'the container wrote'
	grep -q 'Operation not permitted' "$OUT" || fail 'not refused by the rules'
	[ "$(on_host)" = original ]
}

@test "a block device without a rule, or with none but refusals, can't be opened" {
	local rules
	make_disk
	for rules in '[{allow: false, access: "rwm"}]' '[]' \
		'[{allow: true, access: "rwm"}, {allow: false, D, access: "rw"}]'; do
		disk_run "$rules" "$TRY; stat -c %F /dev/disk0; ls /sys/block | grep -c vd || true"
		expect_status 0
		expect_line 'block special file'
		expect_line 0
		[ "$(grep -c 'Operation not permitted' "$OUT")" -eq 2 ] || fail "not refused: $rules"
		[ "$(on_host)" = original ]
	done
}

@test "of the rules for a block device the last one counts, wildcards among them" {
	local rules
	make_disk
	for rules in '[{allow: false, access: "rwm"}, {allow: true, D, access: "rw"}, {allow: false, type: "b", access: "w"}]' \
		'[{allow: true, access: "rwm"}, {allow: false, type: "b", major: $a, minor: -1, access: "w"}]'; do
		disk_run "$rules" "$TRY"
		expect_line original
		! grep -qx written "$OUT" || fail "the container wrote: $rules"
		[ "$(on_host)" = original ]
	done
	for rules in '[{allow: false, access: "rwm"}, {allow: true, D, access: "rw"}]' \
		'[{allow: true, type: "a", major: -1, minor: -1}]' \
		'[{allow: false}, {allow: true, type: "b", major: $a}]'; do
		disk_run "$rules" "$TRY"
		expect_line written
		[ "$(on_host)" = modified ] || fail "not on the host: $rules"
		printf 'original' | dd of="$LOOP" status=none
	done
}

@test "a block device that may be written only" {
	make_disk
	disk_run '[{allow: false, access: "rwm"}, {allow: true, D, access: "w"}]' "$TRY"
	expect_line written
	! grep -qx original "$OUT" || fail 'the container read'
	[ "$(on_host)" = modified ]
}
