# SPDX-License-Identifier: Apache-2.0
# The `vm` section of a configuration: what is honoured, and what is refused by its path.
load lib

# An ext4 image of a small root file system, and a bundle whose root it is.
make_image() {
	local tree="$BATS_TEST_TMPDIR/tree"

	rm -rf "$tree"
	mkdir -p "$tree"/{bin,dev,proc,sys,tmp,etc,run} "$BUNDLE/empty"
	cp /usr/bin/busybox "$tree/bin/sh"
	ln -s sh "$tree/bin/cat"
	ln -s sh "$tree/bin/mount"
	ln -s sh "$tree/bin/dd"
	echo 'from the image' >"$tree/etc/motd"
	IMAGE="$BATS_TEST_TMPDIR/root.img"
	rm -f "$IMAGE"
	PATH=$PATH:/sbin:/usr/sbin mke2fs -q -t ext4 -d "$tree" "$IMAGE" 16M
	new_bundle empty
	config '.vm = {kernel: {path: $kernel}, image: {path: $image, format: "raw"}}' \
		--arg kernel "$(realpath "$(dirname "$HVRUN")/vmlinux")" --arg image "$IMAGE"
}

image_run() {
	args /bin/sh -euc "$1"
	run_bundle </dev/null
}

@test "vm.image: a raw image is the root file system, and is left clean" {
	make_image
	grant CAP_SYS_ADMIN # to give back what is free
	image_run 'cat /etc/motd; echo written >/etc/new; dd if=/dev/zero of=/big bs=1M count=4 2>/dev/null; fstrim /; exit 3'
	expect_status 3
	expect_out 'from the image'
	PATH=$PATH:/sbin:/usr/sbin
	[ "$(debugfs -R 'cat /etc/new' "$IMAGE" 2>/dev/null)" = written ]
	! dumpe2fs -h "$IMAGE" 2>/dev/null | grep -q needs_recovery || fail 'the journal was not closed'
	e2fsck -fn "$IMAGE" >"$OUT" 2>&1 || fail 'the file system is not clean'
	[ -z "$(ls -A "$BUNDLE/empty")" ]
}

@test "vm.image: with root.readonly nothing can write to it, and machines share it" {
	make_image
	config '.root.readonly = true'
	before=$(sha256sum <"$IMAGE")
	image_run 'cat /etc/motd; ! echo x >/etc/new'
	expect_status 0
	[ "$(sha256sum <"$IMAGE")" = "$before" ]
	flock --shared "$IMAGE" "$HVRUN" --root "$STATE" run --accel "$HVRUN_ACCEL" \
		--bundle "$BUNDLE" "shared-$$" >"$OUT" 2>"$ERR" </dev/null
}

@test "vm.image: an image in use, one that isn't one, and what can't be" {
	make_image
	status=0
	flock "$IMAGE" timeout 60 "$HVRUN" --root "$STATE" run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" \
		"locked-$$" >"$OUT" 2>"$ERR" </dev/null || status=$?
	expect_refusal 'vm\.image\.path: .*in use'
	truncate -s 0 "$IMAGE"
	truncate -s 4M "$IMAGE"
	image_run true
	expect_refusal 'no file system that the guest.s kernel knows'
	rm "$IMAGE"
	image_run true
	expect_refusal 'vm\.image\.path: .*no such file'
	make_image
	touch "$BUNDLE/empty/file"
	image_run true
	expect_refusal 'root\.path: .*not empty'
	rm "$BUNDLE/empty/file"
	config '.vm.image.format = "qcow2"'
	image_run true
	expect_refusal 'vm\.image\.format: qcow2'
}

@test "vm.hwConfig and vm.kernel.parameters reach the machine" {
	config '.vm = {kernel: {path: $kernel, parameters: ["hvrun.probe=yes"]}, hwConfig: {vcpus: 3, memory: 402653184}}' \
		--arg kernel "$(realpath "$(dirname "$HVRUN")/vmlinux")"
	run_script 'nproc; grep -o hvrun.probe=yes /proc/cmdline; awk "/MemTotal/{print (\$2 > 330000 && \$2 <= 393216)}" /proc/meminfo'
	expect_status 0
	expect_out $'3\nhvrun.probe=yes\n1'
}

# bats test_tags=emulation
@test "a hypervisor that is not there is named with the path of the field" {
	config '.vm = {kernel: {path: $kernel}, hypervisor: {path: "/no/such/qemu"}}' \
		--arg kernel "$(realpath "$(dirname "$HVRUN")/vmlinux")"
	run_bundle </dev/null
	expect_refusal 'config\.json: vm\.hypervisor\.path: /no/such/qemu: no such file or directory$'
}

@test "what a machine of hvrun's can't have of vm is refused with the path of the field" {
	local kernel case
	kernel=$(realpath "$(dirname "$HVRUN")/vmlinux")
	for case in 'kernel.initrd="/x"' 'hypervisor={path: "/bin/true", parameters: ["-x"]}' \
		'hwConfig.deviceTree="/x"' 'hwConfig.dtdevs=["x"]' 'hwConfig.irqs=[3]' \
		'hwConfig.iomems=[{firstMFN: 1, nrMFNs: 1}]' 'hwConfig.vcpus=65'; do
		new_bundle "$FIXTURES/rootfs"
		config ".vm = {kernel: {path: \$kernel}} | .vm.$case" --arg kernel "$kernel"
		run_bundle </dev/null
		expect_refusal "config\.json: vm\.$(sed 's/[=].*//; s/hypervisor/hypervisor\\.parameters/' <<<"$case"): "
	done
}
