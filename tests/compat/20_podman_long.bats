# SPDX-License-Identifier: Apache-2.0
# podman and containers that stay: exec, attach, logs, stop, kill, pause, stats, cp, commit, diff,
# health checks, restart policies, build. One container, "long", serves all that does not end it.
load lib

setup_file() {
	podman_setup
	pod_run --detach --name long --hostname long --env FROM=image --health-cmd 'test -e /tmp/healthy' --health-retries 1 \
		--health-interval disable --memory 128m box sh -c 'trap "exit 0" TERM; while :; do echo >>/tmp/count; sleep 0.1; done' >/dev/null
}

setup() {
	podman_setup
}

teardown_file() {
	load lib
	podman_setup
	podman_teardown
}

@test "podman ps, inspect: running, and a live pid on the host" {
	pod_is long running
	same "$(pod ps --format '{{.Names}} {{.Image}}')" 'long localhost/box:latest'
	kill -0 "$(pod_inspect long Pid)"
}

@test "podman exec: exit codes, streams apart, standard input" {
	expect 0 pod exec long true
	expect 255 pod exec long sh -c 'echo out; echo err >&2; exit 255'
	same "$output" out
	same "$errors" err
	expect 143 pod exec long sh -c 'kill -TERM $$'
	head -c 300000 /dev/urandom >"$BATS_TEST_TMPDIR/in"
	with_input() { pod exec --interactive long sha256sum <"$BATS_TEST_TMPDIR/in"; }
	expect 0 with_input
	same "${output%% *}" "$(sha256sum <"$BATS_TEST_TMPDIR/in" | cut -d' ' -f1)"
}

@test "podman exec: --user, --workdir, --env, the container's own" {
	expect 0 pod exec --user 1000:77 --workdir /srv/data --env ONE='1 2' long sh -c \
		'id -u; id -g; pwd; echo "$ONE $FROM"; hostname; cat /proc/1/comm'
	same "$output" '1000
77
/srv/data
1 2 image
long
sh'
}

@test "podman exec: 127 and 126" {
	expect 127 pod exec long no-such-program
	has "$errors" 'executable file'
	expect 126 pod exec long /etc/data
	has "$errors" 'permission denied'
}

@test "podman exec -it: a terminal of the right size, its changes, Ctrl-C" {
	run "$HELPERS/terminal" 40 100 podman --root "$COMPAT_WORK/podman/root" --runroot "$COMPAT_WORK/podman/runroot" \
		--tmpdir "$COMPAT_WORK/podman/tmp" exec --interactive --tty long sh -c "$TERMINAL_SCRIPT"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "podman exec --detach" {
	expect 0 pod exec --detach long sh -c 'echo detached >/tmp/detached'
	eventually pod exec long grep -q detached /tmp/detached
}

@test "podman exec: eight at once, each its own code" {
	local i code
	local -a pids=()
	for i in 1 2 3 4 5 6 7 8; do
		pod exec long sh -c "sleep 0.2; exit $i" &
		pids+=($!)
	done
	for i in 1 2 3 4 5 6 7 8; do
		code=0
		wait "${pids[i - 1]}" || code=$?
		[ "$code" -eq "$i" ] || fail "exec $i ended with $code"
	done
}

@test "podman top, stats" {
	local usage
	# Options of ps(1): it runs inside.
	expect 0 pod top long -o pid,comm
	has "$output" 'sh'
	# podman's own words: it reads the /proc that the pid's mount namespace has.
	expect 0 pod top long pid comm
	if is_vm; then
		same "$output" 'PID         COMMAND'
	else
		has "$output" 'sh'
	fi
	expect 0 pod stats --no-stream --format '{{.MemUsageBytes}} {{.PIDs}}' long
	has "$output" ' / 128MiB'
	[[ ${output##* } -ge 1 ]] || fail "no processes: $output"
	usage=${output%% *}
	[[ $usage == *[1-9]* ]] || fail "no memory in use: $output"
}

@test "podman cp in and out, diff, commit" {
	echo inward >"$BATS_TEST_TMPDIR/inward"
	expect 0 pod cp "$BATS_TEST_TMPDIR/inward" long:/srv/data/inward
	expect 0 pod exec long cat /srv/data/inward
	same "$output" inward
	expect 0 pod exec long sh -c 'echo outward >/srv/data/outward; rm /etc/data'
	expect 0 pod cp long:/srv/data/outward "$BATS_TEST_TMPDIR/outward"
	same "$(cat "$BATS_TEST_TMPDIR/outward")" outward
	expect 0 pod diff long
	has "$output" 'A /srv/data/inward'
	has "$output" 'A /srv/data/outward'
	has "$output" 'D /etc/data'
	expect 0 pod commit --quiet long committed
	expect 0 pod_run --rm committed sh -c 'cat /srv/data/*; test ! -e /etc/data'
	same "$output" 'inward
outward'
}

@test "podman logs: why a VM failed" {
	is_vm || return 0 # the host's kernel would
	expect 0 pod_run --detach --name panic --memory 64m --security-opt unmask=/proc/sys box \
		sh -c 'echo before; echo 2 >/proc/sys/vm/panic_on_oom; exec dd if=/dev/zero of=/dev/null bs=256M'
	expect 0 pod wait panic
	same "$output" 125
	expect 0 pod logs panic
	has "$output$errors" before
	has "$output$errors" 'hvrun: the VM ended before the container did'
	has "$output$errors" 'hvrun: guest: Kernel panic - not syncing'
	expect 0 pod rm panic
}

@test "podman healthcheck" {
	expect 1 pod healthcheck run long
	has "$(pod inspect --format '{{.State.Health.Status}}' long)" unhealthy
	pod exec long touch /tmp/healthy
	expect 0 pod healthcheck run long
	same "$(pod inspect --format '{{.State.Health.Status}}' long)" healthy
}

@test "podman pause, unpause" {
	local before
	count_paused() { pod cp long:/tmp/count - | tar xO | wc -c; }
	expect 0 pod pause long
	pod_is long paused
	expect 255 pod exec long true || expect 125 pod exec long true
	before=$(count_paused)
	sleep 0.5
	[ "$before" -gt 0 ]
	same "$(count_paused)" "$before"
	expect 0 pod unpause long
	pod_is long running
	counts_on() { [ "$(pod exec long sh -c 'wc -c </tmp/count')" -gt "$before" ]; }
	eventually counts_on
}

@test "podman update: less memory and processor" {
	expect 0 pod update --memory 96m --cpus 0.5 long
	# Where the container's own group is: on a host with cgroup v1, podman gives it no cgroup namespace.
	expect 0 pod exec long sh -c 'cat "/sys/fs/cgroup$(sed -n "s/^0:://p" /proc/self/cgroup)/memory.max" ||
		cat /sys/fs/cgroup/memory/memory.limit_in_bytes'
	same "$output" $((96 * 1024 * 1024))
}

@test "podman kill: a signal that is handled, with its name and number" {
	pod_run --detach --name kill box sh -c 'trap "echo got one" USR1; trap "echo got two" USR2; echo ready; while :; do sleep 0.1; done'
	eventually pod_logged kill ready
	expect 0 pod kill --signal USR1 kill
	eventually pod_logged kill 'got one'
	expect 0 pod kill --signal 12 kill
	eventually pod_logged kill 'got two'
	expect 0 pod kill kill
	eventually pod_is kill exited
	same "$(pod_inspect kill ExitCode)" 137
	expect 125 pod kill kill
	has "$errors" 'can only kill running containers'
	expect 0 pod rm kill
}

@test "podman stop: the signal, then SIGKILL; a paused container" {
	expect 0 pod stop --time 20 long
	same "$(pod_inspect long ExitCode)" 0
	pod_run --detach --name deaf box sh -c 'trap "" TERM; echo up; while :; do sleep 0.1; done'
	eventually pod_logged deaf up
	expect 0 pod stop --time 1 deaf
	same "$(pod_inspect deaf ExitCode)" 137
	expect 0 pod start deaf
	pod_is deaf running
	expect 0 pod rm --force --time 0 deaf
	expect 0 pod rm long
}

@test "podman create, init, start, attach, logs, wait" {
	expect 0 pod_create --name two --interactive box sh -c 'echo started; read line; echo "read $line"; exit 5'
	pod_is two created
	expect 0 pod init two
	pod_is two initialized
	attached() { echo hello | pod start --attach --interactive two; }
	expect 5 attached
	same "$output" 'started
read hello'
	expect 0 pod wait two
	same "$output" 5
	expect 0 pod logs two
	same "$output" 'started
read hello'
	expect 0 pod rm two

	pod_run --detach --name three box sh -c 'while [ ! -e /tmp/go ]; do echo tick; sleep 0.1; done; echo seen; exit 6'
	pod attach --no-stdin three >"$BATS_TEST_TMPDIR/attached" 2>&1 &
	local attach=$!
	eventually grep -q tick "$BATS_TEST_TMPDIR/attached"
	expect 0 pod exec three touch /tmp/go
	wait "$attach"
	same "$(grep -v tick "$BATS_TEST_TMPDIR/attached")" seen
	expect 0 pod wait three
	same "$output" 6
	expect 0 pod rm three
}

@test "podman run --restart on-failure, podman restart" {
	pod_run --detach --name again --restart on-failure:2 box sh -c 'echo once; exit 1'
	given_up() { [ "$(pod inspect --format '{{.RestartCount}} {{.State.Status}}' again)" = '2 exited' ]; }
	eventually given_up
	same "$(pod logs again | wc -l)" 3
	expect 0 pod rm --force again

	pod_run --detach --name over box sh -c 'trap "exit 0" TERM; echo up; while :; do sleep 0.1; done'
	eventually pod_logged over up
	local first
	first=$(pod_inspect over Pid)
	expect 0 pod restart --time 10 over
	[ "$(pod_inspect over Pid)" -ne "$first" ]
	pod_is over running
	expect 0 pod rm --force --time 0 over
}

@test "a container whose monitor was killed: exited, and can be started again" {
	pod_run --detach --name victim box sh -c 'echo up; exec sleep 1000'
	eventually pod_logged victim up
	kill -KILL "$(pod_inspect victim Pid)"
	eventually pod_is victim exited
	same "$(pod_inspect victim ExitCode)" 137
	expect 0 pod start victim
	pod_is victim running
	expect 0 pod rm --force --time 0 victim
}

@test "podman build: RUN in the runtime" {
	mkdir "$BATS_TEST_TMPDIR/context"
	echo copied >"$BATS_TEST_TMPDIR/context/file"
	cat >"$BATS_TEST_TMPDIR/context/Containerfile" <<-'END'
		FROM localhost/box
		COPY file /file
		RUN uname -r >/kernel && id -u >/uid && cp /file /made
		USER user
		WORKDIR /home/user
		RUN id -u >uid
		CMD cat /made /uid uid
	END
	expect 0 pod --runtime "$COMPAT_RUNTIME" build --isolation oci --network none --cgroup-parent "/$NAME/build" --tag built \
		"$BATS_TEST_TMPDIR/context"
	expect 0 pod_run --rm built
	same "$output" 'copied
0
1000'
	if is_vm; then
		expect 0 pod_run --rm built cat /kernel
		[ "$output" != "$(uname -r)" ] || fail 'the build ran on the host kernel'
	fi
	printf 'FROM localhost/box\nRUN exit 9\n' >"$BATS_TEST_TMPDIR/context/Containerfile"
	expect 9 pod --runtime "$COMPAT_RUNTIME" build --isolation oci --network none --cgroup-parent "/$NAME/build" \
		"$BATS_TEST_TMPDIR/context"
}

@test "buildah from, run, bud, commit, with --runtime" {
	local id
	build() {
		timeout --foreground -s KILL "$PATIENCE" buildah --root "$COMPAT_WORK/podman/root" --runroot "$COMPAT_WORK/podman/runroot" \
			--storage-driver "${COMPAT_STORAGE:-overlay}" "$@" 3>&- 4>&-
	}
	id=$(build from --isolation oci --network none --cgroup-parent "/$NAME/buildah" localhost/box)
	expect 0 build run --isolation oci --runtime "$COMPAT_RUNTIME" "$id" sh -c 'uname -r >/kernel; echo ran; id -u'
	same "$output" 'ran
0'
	expect 7 build run --isolation oci --runtime "$COMPAT_RUNTIME" --user 1000 "$id" sh -c 'exit 7'
	expect 0 build commit --quiet --rm "$id" ran
	expect 0 pod_run --rm ran cat /kernel
	! is_vm || [ "$output" != "$(uname -r)" ] || fail 'buildah ran it on the host kernel'
	mkdir "$BATS_TEST_TMPDIR/context"
	printf 'FROM localhost/box\nRUN id -u >/uid\n' >"$BATS_TEST_TMPDIR/context/Containerfile"
	expect 0 build bud --isolation oci --runtime "$COMPAT_RUNTIME" --network none --cgroup-parent "/$NAME/build" --tag bud \
		"$BATS_TEST_TMPDIR/context"
	expect 0 pod_run --rm bud cat /uid
	same "$output" 0
}

@test "nothing is left" {
	expect 0 pod rm --all --force --time 0
	nothing_left
}
