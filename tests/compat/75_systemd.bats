# SPDX-License-Identifier: Apache-2.0
# podman with its systemd driver, as distributions have it: conmon and the container are in scopes of systemd's. A
# systemd (a user's manager stands in for the system's) and a bus of the test's own, which are the machine's: in
# kvmbox only.
# bats file_tags=kvmbox
load lib

MANAGER=/sys/fs/cgroup/hvrun-compat-systemd
export XDG_RUNTIME_DIR=$COMPAT_WORK/systemd DBUS_SESSION_BUS_ADDRESS=unix:path=$COMPAT_WORK/systemd/bus

setup_file() {
	mkdir -p "$MANAGER" /run/dbus /run/systemd/system "$XDG_RUNTIME_DIR"
	# The system's bus, by the address that conmon's children know without any environment.
	ln -s "$XDG_RUNTIME_DIR/bus" /run/dbus/system_bus_socket
	# Whoever starts a manager gives it the cgroup that it is in. Its bus is a service of its own.
	(
		echo "$BASHPID" >"$MANAGER/cgroup.procs"
		exec /lib/systemd/systemd --user
	) >"$COMPAT_WORK/systemd.log" 2>&1 3>&- 4>&- &
	echo $! >"$BATS_FILE_TMPDIR/systemd.pid"
	eventually busctl --system call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.DBus.Peer Ping
	podman_setup
}

setup() {
	podman_setup
}

teardown_file() {
	load lib
	sd_pod rm --all --force --time 0 >/dev/null
	nothing_left
	kill "$(cat "$BATS_FILE_TMPDIR/systemd.pid")"
}

teardown() {
	[ -z "${PEER:-}" ] || kill "$PEER"
}

sd_pod() {
	pod --cgroup-manager systemd "$@"
}

property() {
	systemctl --user show --property "$2" --value "$1"
}

@test "podman run: exit codes and streams, in a scope" {
	expect 5 sd_pod run --rm --network none box sh -c 'echo inside; exit 5'
	same "$output" inside
}

# All of hvrun's processes are the container's here.
@test "podman run --detach: the scope has the container and its limits, until it ends" {
	local id pid scope proc found=
	perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 1) or die; sleep 1000' \
		"$BATS_TEST_TMPDIR/s" 3>&- 4>&- &
	PEER=$!
	eventually test -S "$BATS_TEST_TMPDIR/s"
	expect 0 sd_pod run --detach --name long --network none --memory 128m --cpus 0.5 --pids-limit 100 \
		--volume "$BATS_TEST_TMPDIR/s:/run/s" box sh -c 'while :; do sleep 1; done'
	id=$output
	scope=libpod-$id.scope
	pid=$(pod_inspect long Pid)
	has "$(cat "/proc/$pid/cgroup")" "/$scope"
	for proc in $(grep -l '^hvrun' /proc/[0-9]*/comm 2>/dev/null); do
		found+=" $(cat "$proc")"
		has "$(cat "${proc%comm}cgroup")" "/$scope"
	done
	! is_vm || for proc in hvrun-vmm hvrun-fs hvrun-relay hvrun-witness; do
		has "$found " " $proc "
	done
	same "$(property "$scope" ActiveState)" active
	[ "$(property "$scope" MemoryMax)" -ge 134217728 ] || fail "MemoryMax: $(property "$scope" MemoryMax)"
	expect 3 sd_pod exec long sh -c 'exit 3'
	expect 0 sd_pod stats --no-stream --format '{{.MemUsageBytes}}' long
	has "$output" ' / 128MiB'
	expect 0 sd_pod pause long
	expect 0 sd_pod unpause long
	expect 0 sd_pod stop --time 1 long
	expect 0 sd_pod rm long
	gone() { [ "$(property "$scope" ActiveState)" = inactive ]; }
	eventually gone
}
