# SPDX-License-Identifier: Apache-2.0
# podman run: one container for each call, in the foreground.
load lib

setup_file() {
	podman_setup
}

setup() {
	podman_setup
}

teardown_file() {
	load lib
	podman_setup
	podman_teardown
}

@test "podman run: output apart, exit code, no trace" {
	expect 3 pod_run --rm box sh -c 'echo out; echo err >&2; exit 3'
	same "$output" out
	same "$errors" err
	same "$(pod ps --all --quiet)" ''
	if is_vm; then
		expect 0 pod_run --rm box uname -r
		[ "$output" != "$(uname -r)" ] || fail 'the container runs on the host kernel'
	fi
}

@test "podman run -i: standard input to its end" {
	head -c 1000000 /dev/urandom >"$BATS_TEST_TMPDIR/in"
	run_with_input() { pod_run --rm --interactive box sha256sum <"$BATS_TEST_TMPDIR/in"; }
	expect 0 run_with_input
	same "${output%% *}" "$(sha256sum <"$BATS_TEST_TMPDIR/in" | cut -d' ' -f1)"
}

@test "podman run: 127, 126, 128+n, --init" {
	expect 127 pod_run --rm box no-such-program
	has "$errors" 'executable file'
	has "$errors" 'not found in $PATH'
	expect 127 pod_run --rm box /no/such/program
	has "$errors" 'no such file or directory'
	expect 126 pod_run --rm box /etc/data
	has "$errors" 'permission denied'
	# With --init a program of the host's is pid 1, and passes on how its child ended.
	expect 143 pod_run --rm --init --init-path /usr/bin/tini-static box sh -c 'kill -TERM $$'
}

@test "podman run: --env, --workdir, --user, --hostname, --ulimit, --cap-drop, --security-opt" {
	expect 0 pod_run --rm --env 'ONE=1 2' --workdir /srv/data --user 1000:77 --hostname compat --ulimit nofile=64:128 --ulimit nproc=64:128 \
		--cap-drop all --security-opt no-new-privileges box sh -c \
		'echo "$ONE"; pwd; id -u; id -g; hostname; ulimit -Sn; ulimit -Hn; grep -E "^(CapBnd|NoNewPrivs):" /proc/self/status'
	same "$output" "1 2
/srv/data
1000
77
compat
64
128
CapBnd:	0000000000000000
NoNewPrivs:	1"
	expect 0 pod_run --rm --user user box sh -c 'id -un; id -gn'
	same "$output" 'user
user'
}

@test "podman run: --read-only, --tmpfs, --volume rw and ro, named volumes" {
	mkdir "$BATS_TEST_TMPDIR/rw" "$BATS_TEST_TMPDIR/ro"
	echo fixed >"$BATS_TEST_TMPDIR/ro/file"
	expect 0 pod_run --rm --read-only --tmpfs /srv/data --volume "$BATS_TEST_TMPDIR/rw:/mnt/rw" \
		--volume "$BATS_TEST_TMPDIR/ro:/mnt/ro:ro" --volume kept:/mnt/kept box sh -c '
		touch /file 2>/dev/null || echo root refused
		touch /mnt/ro/file 2>/dev/null || echo ro refused
		cat /mnt/ro/file
		echo scratch >/srv/data/file && cat /srv/data/file
		echo written >/mnt/rw/file
		echo kept >/mnt/kept/file'
	same "$output" 'root refused
ro refused
fixed
scratch'
	same "$(cat "$BATS_TEST_TMPDIR/rw/file")" written
	expect 0 pod_run --rm --volume kept:/mnt box cat /mnt/file
	same "$output" kept
	expect 0 pod volume rm kept
}

@test "podman run -it: a terminal of the right size, its changes, Ctrl-C" {
	run "$HELPERS/terminal" 40 100 podman --root "$COMPAT_WORK/podman/root" --runroot "$COMPAT_WORK/podman/runroot" \
		--tmpdir "$COMPAT_WORK/podman/tmp" run --rm --network none --cgroup-parent "/$NAME" \
		--interactive --tty box sh -c "$TERMINAL_SCRIPT"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "podman run -t: carriage returns, and a terminal without input" {
	expect 0 pod_run --rm --tty box sh -c 'test -t 0 && test -t 1 && test -t 2 && echo terminal'
	same "$output" $'terminal\r'
}

@test "podman run --memory: OOMKilled, 137" {
	local id userdata
	id=$(pod_create --memory 64m --memory-swap 64m box dd if=/dev/zero of=/dev/null bs=256M count=1)
	# podman 4.3 looks in the bundle for the file that conmon leaves in its working directory.
	userdata=$COMPAT_WORK/podman/root/overlay-containers/$id/userdata
	(cd "$userdata" && pod start "$id")
	eventually pod_is "$id" exited
	same "$(pod_inspect "$id" ExitCode)" 137
	same "$(pod_inspect "$id" OOMKilled)" true
	pod rm "$id"
}

@test "podman run --cpus, --pids-limit" {
	expect 0 pod_run --rm --cpus 0.5 --pids-limit 12 box sh -c '
		timeout 2 sh -c "while :; do :; done"
		times
		(for i in $(seq 30); do sleep 3 & done) 2>/dev/null || echo no more processes
		kill -KILL -1 2>/dev/null; exit 0'
	# The last line of times: user and system time of the children, as 0m0.950s 0m0.050s.
	awk '/^[0-9]+m/ { split($1, u, /[ms]/); split($2, s, /[ms]/); t = u[2] + s[2] } END { exit !(t > 0.3 && t < 1.6) }' \
		<<<"$output" || fail "half a processor for two seconds gave: $output"
	has "$output" 'no more processes'
}

@test "nothing is left" {
	expect 0 pod rm --all --force --time 0
	nothing_left
}
