# SPDX-License-Identifier: Apache-2.0
# An engine inside of a container: podman of Debian's package makes containers in the virtual machine, with what it
# needs (capabilities, cgroups, mounts) given by config.json. Started by hand: see docs/testing.md.
load ../e2e/lib

setup_file() {
	ROOT=$("$BATS_TEST_DIRNAME/root")
	export ROOT
}

# A container for an engine: all capabilities but those over the machine itself, its cgroups writable, nothing of
# /proc hidden, and memory for what is stored.
engine_bundle() {
	new_bundle "$ROOT"
	grant CAP_{CHOWN,DAC_OVERRIDE,DAC_READ_SEARCH,FOWNER,FSETID,KILL,SETGID,SETUID,SETPCAP,SETFCAP,MKNOD,AUDIT_WRITE} \
		CAP_{NET_BIND_SERVICE,NET_ADMIN,NET_RAW,SYS_CHROOT,SYS_ADMIN,SYS_PTRACE,SYS_RESOURCE}
	config '.process.noNewPrivileges = false | .linux.maskedPaths = [] | .linux.readonlyPaths = []
		| .linux.resources.devices = [{allow: true, access: "rwm"}] | .root.readonly = true
		| (.mounts[] | select(.destination == "/sys/fs/cgroup").options) |= map(if . == "ro" then "rw" else . end)
		| .mounts += (["/var", "/etc/containers", "/etc/cni", "/run", "/tmp", "/root"]
			| map({type: "tmpfs", source: "tmpfs", destination: ., options: ["mode=755"]}))
		| .process.env = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]'
}

# An image of busybox, and podman by a short name.
PREPARE='
mkdir -p /tmp/image/bin /var/tmp /etc/cni/net.d
echo "{\"default\": [{\"type\": \"insecureAcceptAnything\"}]}" >/etc/containers/policy.json
for name in sh busybox; do cp /bin/busybox /tmp/image/bin/$name; done
pod() { podman --storage-driver=vfs --cgroup-manager=cgroupfs "$@"; }
tar -C /tmp/image -c . | pod import --quiet - box'

@test "podman in a container: --network none and host, exit codes, a limit" {
	engine_bundle
	run_script "$PREPARE"'
		pod run --rm --network none box busybox sh -c "echo none; busybox ip -o link | busybox wc -l"
		pod run --rm --network host box busybox sh -c "echo host; exit 42" || echo "exit code $?"
		pod run --rm --network none --pids-limit 7 box busybox cat /sys/fs/cgroup/pids.max' --memory 1024
	expect_status 0
	expect_line none
	expect_line 1
	expect_line host
	expect_line 'exit code 42'
	expect_line 7
}

@test "podman in a container: its bridge, from one container to another" {
	engine_bundle
	run_script "$PREPARE"'
		pod run --detach --name web box busybox sh -c "echo served >/index.html; exec busybox httpd -f -p 80 -h /"
		ip=$(pod inspect --format "{{.NetworkSettings.IPAddress}}" web)
		pod run --rm box busybox sh -c "for i in 1 2 3 4 5; do busybox wget -q -O - http://$ip/ && exit; busybox sleep 1; done; exit 1"
		pod rm --force --time 0 web' --memory 1024
	expect_status 0
	expect_line served
}
