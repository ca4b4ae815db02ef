# SPDX-License-Identifier: Apache-2.0
# dockerd, with the runtime under the name "compat", over a containerd of its own.
load lib

setup_file() {
	containerd_start
	if ! dockerd_start; then
		tail -n 3 "$DOCKERD/log" >&2
		touch "$DOCKERD/failed"
		return 0
	fi
	tar -C "$COMPAT_WORK/rootfs" -c . | dock import --change 'CMD ["/bin/sh"]' --change 'ENV PATH=/bin' - box >/dev/null
}

setup() {
	[ ! -e "$DOCKERD/failed" ] || skip "dockerd doesn't start here: $(tail -n 1 "$DOCKERD/log")"
}

teardown_file() {
	load lib
	stop_daemon "$DOCKERD/pid"
	containerd_stop
}

state() {
	dock inspect --format "{{.State.$2}}" "$1"
}

is() {
	[ "$(state "$1" Status)" = "$2" ]
}

@test "docker run: output apart, exit codes, standard input" {
	expect 3 dock_run --rm box sh -c 'echo out; echo err >&2; exit 3'
	same "$output" out
	same "$errors" err
	with_input() { echo inward | dock_run --rm --interactive box cat; }
	expect 0 with_input
	same "$output" inward
	if is_vm; then
		expect 0 dock_run --rm box uname -r
		[ "$output" != "$(uname -r)" ] || fail 'the container runs on the host kernel'
	fi
	expect 127 dock_run --rm box no-such-program
	expect 126 dock_run --rm box /etc/data
}

@test "docker run -it: a terminal of the right size, its changes, Ctrl-C" {
	run "$HELPERS/terminal" 40 100 /usr/bin/docker --host "unix://$DOCKERD/sock" run --rm --runtime compat --network none \
		--interactive --tty box sh -c "$TERMINAL_SCRIPT"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "docker run --detach, exec, pause, stats, top, cp, kill, start, stop, logs" {
	dock_run --detach --name long --memory 128m --volume "$BATS_TEST_TMPDIR:/mnt" box sh -c 'trap "exit 8" TERM
		echo up; while :; do sleep 0.1; done'
	is long running
	kill -0 "$(state long Pid)"
	expect 9 dock exec --user 1000:77 --workdir /srv/data long sh -c 'id -u; id -g; pwd; exit 9'
	same "$output" '1000
77
/srv/data'
	expect 127 dock exec long no-such-program || expect 126 dock exec long no-such-program
	expect 0 dock pause long
	is long paused
	expect 0 dock unpause long
	expect 0 dock exec long true
	expect 0 dock stats --no-stream --format '{{.MemUsage}}' long
	# The limit that docker shows is the host cgroup's: with hvrun, that has room for the machine as well.
	is_vm || has "$output" ' / 128MiB'
	[[ $output == [1-9]* ]] || fail "no memory in use: $output"
	expect 0 dock top long
	expect 0 dock exec long sh -c 'echo outward >/srv/data/file; echo bound >/mnt/file'
	expect 0 dock cp long:/srv/data/file "$BATS_TEST_TMPDIR/copy"
	same "$(cat "$BATS_TEST_TMPDIR/copy")" outward
	same "$(cat "$BATS_TEST_TMPDIR/file")" bound
	expect 0 dock kill long
	eventually is long exited
	same "$(state long ExitCode)" 137
	expect 0 dock start long
	expect 0 dock exec long cat /srv/data/file
	twice_up() { [ "$(dock logs long | grep -c up)" -eq 2 ]; }
	eventually twice_up
	expect 0 dock stop --time 20 long
	same "$(state long ExitCode)" 8
	expect 0 dock logs long
	same "$output" 'up
up'
	expect 0 dock rm long
}

@test "docker run --memory: OOMKilled, 137" {
	expect 137 dock_run --name oom --memory 64m box dd if=/dev/zero of=/dev/null bs=256M count=1
	same "$(state oom OOMKilled)" true
	expect 0 dock rm oom
}

@test "docker run --init, --read-only, --tmpfs, --user, --env" {
	expect 143 dock_run --rm --init box sh -c 'kill -TERM $$'
	expect 0 dock_run --rm --read-only --tmpfs /tmp --user 1000 --env 'ONE=1 2' --hostname compat box sh -c '
		touch /file 2>/dev/null || echo refused; echo scratch >/tmp/file && cat /tmp/file; id -u; echo "$ONE"; hostname'
	same "$output" 'refused
scratch
1000
1 2
compat'
}

@test "docker run --restart on-failure" {
	dock_run --detach --name again --restart on-failure:2 box sh -c 'echo once; exit 1'
	given_up() { [ "$(dock inspect --format '{{.RestartCount}} {{.State.Status}}' again)" = '2 exited' ]; }
	eventually given_up
	same "$(dock logs again | wc -l)" 3
	expect 0 dock rm again
}

@test "nothing is left" {
	nothing_left
}
