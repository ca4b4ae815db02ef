# SPDX-License-Identifier: Apache-2.0
# containerd with its own shim, io.containerd.runc.v2, which is told of the runtime by BinaryName (ctr's
# --runc-binary). Container "long" serves what does not end it.
load lib

setup_file() {
	containerd_start
	containerd_image
	ctr_run --detach --memory-limit 134217728 long sh -c \
		'while :; do echo >>/tmp/count; sleep 0.1; done'
}

teardown_file() {
	load lib
	containerd_stop
}

task_is() {
	[ "$(ctrd task ls | awk -v id="$1" '$1 == id { print $3 }')" = "$2" ]
}

task_pid() {
	ctrd task ls | awk -v id="$1" '$1 == id { print $2 }'
}

task_exec() {
	ctrd task exec --exec-id "x$RANDOM$RANDOM" "$@"
}

@test "ctr run --rm: output apart, exit code, standard input" {
	expect 3 ctr_run --rm one sh -c 'echo out; echo err >&2; exit 3'
	same "$output" out
	same "$errors" err
	# ctr forgets an end of its input that comes before the task is there.
	with_input() { { echo inward && eventually task_is two RUNNING && sleep 0.3; } | ctr_run --rm two cat; }
	expect 0 with_input
	same "$output" inward
	if is_vm; then
		expect 0 ctr_run --rm three uname -r
		[ "$output" != "$(uname -r)" ] || fail 'the container runs on the host kernel'
	fi
}

@test "ctr run: a missing program, one that can't be executed" {
	expect 1 ctr_run --rm missing no-such-program
	has "$errors" 'executable file not found in $PATH'
	expect 1 ctr_run --rm data /etc/data
	has "$errors" 'permission denied'
}

@test "ctr run -t: a terminal of the right size, its changes, Ctrl-C" {
	run "$HELPERS/terminal" 40 100 ctr --address "$CONTAINERD/sock" run --rm --tty --runc-binary "$COMPAT_RUNTIME" \
		--runc-root "$COMPAT_WORK/state/containerd" --cgroup "/$NAME/tty" box tty sh -c "$TERMINAL_SCRIPT"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "ctr task ls, ps: running, and a live pid on the host" {
	task_is long RUNNING
	kill -0 "$(task_pid long)"
	expect 0 ctrd task ps long
	grep -q "^$(task_pid long)\b" <<<"$output"
}

@test "ctr task exec: exit codes, streams apart, several at once, a terminal" {
	local i code
	local -a pids=()
	expect 255 task_exec long sh -c 'echo out; echo err >&2; exit 255'
	same "$output" out
	same "$errors" err
	expect 0 task_exec --user 1000:77 --cwd /srv/data long sh -c 'id -u; id -g; pwd'
	same "$output" '1000
77
/srv/data'
	expect 143 task_exec long sh -c 'kill -TERM $$'
	expect 1 task_exec long no-such-program
	has "$errors" 'executable file not found in $PATH'
	for i in 1 2 3 4; do
		task_exec long sh -c "sleep 0.2; exit $i" &
		pids+=($!)
	done
	for i in 1 2 3 4; do
		code=0
		wait "${pids[i - 1]}" || code=$?
		[ "$code" -eq "$i" ] || fail "exec $i ended with $code"
	done
	run "$HELPERS/terminal" 40 100 ctr --address "$CONTAINERD/sock" task exec --tty --exec-id tty long sh -c "$TERMINAL_SCRIPT"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "ctr task kill --exec-id: an exec alone" {
	local code=0
	ctrd task exec --exec-id sleeper long sh -c 'echo up; exec sleep 1000' >"$BATS_TEST_TMPDIR/out" &
	eventually grep -q up "$BATS_TEST_TMPDIR/out"
	expect 0 ctrd task kill --exec-id sleeper --signal SIGKILL long
	wait $! || code=$?
	[ "$code" -eq 137 ] || fail "the exec ended with $code"
	task_is long RUNNING
	eventually gone_inside 'sleep 1000'
}

gone_inside() {
	! task_exec long ps -o args | grep -qx "$1"
}

@test "ctr task metrics" {
	expect 0 ctrd task metrics --format json long
	# cgroup v1 or v2: what is in use, and the limit on memory.
	jq -e '(.memory.usage | if type == "object" then .usage else . end) > 0' <<<"$output"
	jq -e '(.cpu.usage.total // .cpu.usage_usec) > 0' <<<"$output"
	jq -e '.pids.current > 0' <<<"$output"
}

@test "ctr task pause, resume" {
	local before
	count() { task_exec long sh -c 'wc -c </tmp/count'; }
	expect 0 ctrd task pause long
	task_is long PAUSED
	expect 1 task_exec long true
	has "$errors" paused
	expect 0 ctrd task resume long
	task_is long RUNNING
	before=$(count)
	counts_on() { [ "$(count)" -gt "$before" ]; }
	eventually counts_on
}

@test "containerd restarted while a container runs" {
	local pid
	pid=$(task_pid long)
	containerd_stop
	kill -0 "$pid"
	containerd_start
	task_is long RUNNING
	same "$(task_pid long)" "$pid"
	expect 4 task_exec long sh -c 'exit 4'
}

@test "ctr task kill: signals by name and number, exit codes, ctr task rm" {
	ctr_run --detach --log-uri "file://$BATS_TEST_TMPDIR/log" kill sh -c 'trap "echo one; exit 21" USR1; echo up; while :; do sleep 0.1; done'
	eventually grep -q up "$BATS_TEST_TMPDIR/log"
	expect 0 ctrd task kill --signal SIGUSR1 kill
	eventually task_is kill STOPPED
	has "$(cat "$BATS_TEST_TMPDIR/log")" one
	expect 1 ctrd task kill kill
	expect 0 ctrd task rm kill
	has "$errors" 'exit code 21'
	expect 0 ctrd container rm kill

	expect 0 ctrd task kill --all --signal 9 long
	eventually task_is long STOPPED
	expect 0 ctrd task rm long
	has "$errors" 'exit code 137'
	expect 0 ctrd container rm long
}

@test "an OOM is an event of containerd's" {
	timeout "$PATIENCE" ctr --address "$CONTAINERD/sock" events 3>&- 4>&- >"$BATS_TEST_TMPDIR/events" &
	local events=$!
	listening() { ctrd image tag --force box tagged && grep -q images "$BATS_TEST_TMPDIR/events"; }
	eventually listening
	expect 137 ctr_run --rm --memory-limit 67108864 oom dd if=/dev/zero of=/dev/null bs=256M count=1
	eventually grep -q '/tasks/oom.*oom' "$BATS_TEST_TMPDIR/events"
	kill "$events"
}

@test "a shim that was killed: nothing is left of its container" {
	local pid shim
	ctr_run --detach orphan sleep 1000
	pid=$(task_pid orphan)
	shim=$(awk '{ print $4 }' "/proc/$pid/stat")
	grep -qa containerd-shim "/proc/$shim/cmdline"
	kill -KILL "$shim"
	gone() { ! kill -0 "$pid"; }
	eventually gone
	no_task() { ! ctrd task ls | grep -q orphan || task_is orphan UNKNOWN || task_is orphan STOPPED; }
	eventually no_task
	ctrd task rm --force orphan || true
	expect 0 ctrd container rm orphan
}

@test "nothing is left" {
	nothing_left
}
