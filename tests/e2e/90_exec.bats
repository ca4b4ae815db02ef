# SPDX-License-Identifier: Apache-2.0
# What is done to a running container: exec, ps, pause and resume, events, update.
load lib

# One container that sleeps, made by each test for itself.
start_box() {
	BOX="x$BATS_TEST_NUMBER-$$"
	args sleep 100000
	status=0
	hv run --detach --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" "$BOX" </dev/null >"$OUT" 2>"$ERR" 3>&- ||
		status=$?
	expect_status 0
}

teardown() {
	[ -z "${PEER:-}" ] || kill "$PEER" 2>/dev/null || true
	[ -z "${BOX:-}" ] || hv delete --force "$BOX" >/dev/null 2>&1
}

# hvrun exec, with options in front and the command behind the id: ex [OPTION...] -- COMMAND...
ex() {
	local options=()
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	status=0
	hv exec "${options[@]}" "$BOX" "$@" >"$OUT" 2>"$ERR" || status=$?
}

# Waits at most $1 tenths of a second for the rest to succeed.
eventually() {
	local tenths=$1
	shift
	until "$@"; do
		((tenths-- > 0)) || return 1
		sleep 0.1
	done
}

# A child of this test that is no more, or waits to be reaped.
ended() {
	local state
	state=$(ps -o stat= -p "$1") || return 0
	[[ $state == Z* ]]
}

is_stopped() {
	[ "$(hv state "$BOX" | jq -r .status)" = stopped ]
}

none_inside() {
	! hv exec "$BOX" pgrep -f "$1" >/dev/null
}

@test "exec: exit codes, and why a program could not be started, as runc has them" {
	start_box
	ex -- sh -c 'exit 7' </dev/null
	expect_status 7
	ex -- sh -c 'kill -KILL $$' </dev/null
	expect_status 137
	ex -- no-such-program </dev/null
	expect_status 255
	expect_refusal 'exec failed: .*"no-such-program": executable file not found in \$PATH'
	ex -- /no/such </dev/null
	expect_status 255
	expect_refusal 'exec failed: .*"/no/such".*no such file or directory'
	ex -- /etc/passwd </dev/null
	expect_status 255
	expect_refusal 'exec failed: .*"/etc/passwd".*permission denied'
	ex -- </dev/null
	expect_status 255
	expect_refusal 'exec failed: process args cannot be empty'
	ex --cwd /no/such -- true </dev/null
	expect_status 255
	expect_refusal 'exec failed: unable to start container process: chdir to cwd \("/no/such"\) set in config\.json failed: no such file or directory'
	ex -- /etc </dev/null
	expect_status 255
	expect_refusal 'exec failed: unable to start container process: exec: "/etc": permission denied'
	status=0
	hv exec no-such-box true >"$OUT" 2>"$ERR" </dev/null || status=$?
	expect_status 255
	expect_refusal 'exec failed: .*does not exist'
}

@test "exec: streams apart, byte-exact, end of file both ways" {
	start_box
	ex -- sh -c 'echo out; echo err >&2' </dev/null
	expect_out out
	[ "$(cat "$ERR")" = err ]
	LC_ALL=C awk 'BEGIN { for (i = 0; i < 256; i++) printf "%c", i }' >"$BATS_TEST_TMPDIR/in"
	ex -- cat <"$BATS_TEST_TMPDIR/in"
	cmp "$BATS_TEST_TMPDIR/in" "$OUT"
	head -c 20000000 /dev/zero | hv exec "$BOX" cat 2>"$ERR" | wc -c >"$OUT"
	expect_out 20000000
}

@test "exec: the container's environment, directory, user and capabilities, and changes to them" {
	config '.process.env += ["FROM=config"] | .process.cwd = "/usr"
		| .process.user = {uid: 1234, gid: 2345, additionalGids: [77]}
		| .process.rlimits = [{type: "RLIMIT_NOFILE", soft: 111, hard: 222}]'
	start_box
	ex -- sh -c 'echo "$FROM"; pwd; id -u; id -g; id -G; ulimit -n; grep -c NoNewPrivs:.1 /proc/self/status' </dev/null
	expect_status 0
	expect_out "config
/usr
1234
2345
2345 77
111
1"
	ex -e ONE=1 --env 'TWO=a b' --cwd /etc --user 0:3 -g 5 -g 6 -- \
		sh -c 'echo "$ONE|$TWO|$FROM"; pwd; id -u; id -g; id -G' </dev/null
	expect_out "1|a b|config
/etc
0
3
3 5 6 77" || expect_out "1|a b|config
/etc
0
3
3 77 5 6"
	ex -u 0 --cap CAP_SYS_PTRACE -- grep CapBnd /proc/self/status </dev/null
	expect_out "CapBnd:	0000000020080420"
}

@test "exec --process: the file says it all" {
	start_box
	local file="$BATS_TEST_TMPDIR/process.json"
	echo '{"args": ["/bin/sh", "-c", "pwd; id -u; env | grep -v ^PWD | sort; exit 3"], "cwd": "/tmp",
		"env": ["A=1"], "user": {"uid": 5, "gid": 6}}' >"$file"
	status=0
	hv exec --process "$file" "$BOX" </dev/null >"$OUT" 2>"$ERR" || status=$?
	expect_status 3
	expect_line /tmp
	expect_line 5
	expect_line A=1
	echo '{"args": ["a", 5], "cwd": "/"}' >"$file"
	status=0
	hv exec -p "$file" "$BOX" </dev/null >"$OUT" 2>"$ERR" || status=$?
	expect_status 255
	expect_refusal 'args\[1\]: must be a string'
}

@test "exec: many at once, each with its own code and output" {
	start_box
	local i pids=() count=100
	[ -z "${HVRUN_SLOW_BOX:-}" ] || count=70
	for i in $(seq "$count"); do
		hv exec "$BOX" sh -c "echo number $i; until [ -e /dev/shm/go ]; do sleep 1; done; exit $i" \
			</dev/null >"$OUT.$i" 2>"$ERR.$i" 3>&- &
		pids[i]=$!
	done
	# None ends before all are there.
	all_there() { [ "$(cat "$OUT".[0-9]* | wc -l)" -eq "$count" ]; }
	eventually all_there
	hv exec "$BOX" touch /dev/shm/go
	for i in $(seq "$count"); do
		status=0
		wait "${pids[i]}" || status=$?
		[ "$status" -eq "$i" ] || fail "number $i ended with $status: $(cat "$ERR.$i")"
		[ "$(cat "$OUT.$i")" = "number $i" ] || fail "number $i wrote $(cat "$OUT.$i")"
	done
}

@test "exec: signals to hvrun are the process's; SIGKILL takes it along" {
	start_box
	"$HVRUN" --root "$STATE" exec "$BOX" \
		bash -c 'trap "echo got USR1" USR1; trap "exit 5" TERM; echo ready; while :; do sleep 0.1; done' \
		</dev/null >"$OUT" 2>"$ERR" 3>&- &
	local pid=$!
	eventually 300 grep -q ready "$OUT"
	kill -USR1 "$pid"
	eventually 300 grep -q USR1 "$OUT"
	kill -TERM "$pid"
	status=0
	wait "$pid" || status=$?
	expect_status 5
	"$HVRUN" --root "$STATE" exec "$BOX" sleep 7654321 </dev/null >"$OUT" 2>"$ERR" 3>&- &
	pid=$!
	eventually 300 hv exec "$BOX" pgrep -f 7654321 >/dev/null
	kill -KILL "$pid"
	eventually 300 none_inside 'sleep 7654321'
}

@test "exec --detach: a process of the host that stands for it" {
	start_box
	local file="$BATS_TEST_TMPDIR/pid" pid
	ex --detach --pid-file "$file" -- sleep 7654321 </dev/null
	expect_status 0
	pid=$(cat "$file")
	[ "$(ps -o comm= -p "$pid")" = hvrun ]
	hv exec "$BOX" pgrep -f 7654321 >/dev/null
	# Nothing of the caller's is kept open, and it is small.
	[ "$(find "/proc/$pid/fd" -lname '/dev/null' | wc -l)" -eq 3 ]
	[ "$(find "/proc/$pid/fd" -type l | wc -l)" -eq 5 ]
	[ "$(awk '/^Private_Dirty/ { print $2 }' "/proc/$pid/smaps_rollup")" -lt 1024 ]
	kill -TERM "$pid"
	eventually 300 ended "$pid"
	none_inside 'sleep 7654321'
	# Killed, it takes the process along.
	ex --detach --pid-file "$file" -- sleep 7654321 </dev/null
	kill -KILL "$(cat "$file")"
	eventually 300 none_inside 'sleep 7654321'
	# What a pipe's reader sees of the end is the process's.
	hv exec --detach "$BOX" sh -c 'echo one; exec >&- 2>&-; sleep 5' </dev/null | cat >"$OUT"
	expect_out one
	ex --detach -- no-such-program </dev/null
	expect_status 255
	expect_refusal 'executable file not found'
}

@test "exec --tty: a terminal, its size, Ctrl-C, and raw mode restored" {
	start_box
	run timeout 300 "$HELPERS/terminal" 40 100 "$HVRUN" --root "$STATE" exec --tty "$BOX" \
		/bin/bash -c 'trap "stty size; echo resized" WINCH; trap "echo interrupted; exit 9" INT; tty; stty size; echo ready; while :; do sleep 0.1; done'
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "exec --console-socket: a terminal for whoever listens there" {
	start_box
	local file="$BATS_TEST_TMPDIR/pid" socket="$BATS_TEST_TMPDIR/console" code=0
	timeout 300 tests/e2e/console "$socket" "$file" "$HVRUN" --root "$STATE" exec --tty --detach \
		--console-socket "$socket" --pid-file "$file" "$BOX" \
		bash -c 'trap "stty size; echo resized" WINCH; trap "echo interrupted; exit 9" INT; stty size; echo ready; while :; do sleep 0.1; done' \
		>"$OUT" 2>"$ERR" 3>&- || code=$?
	[ "$code" -eq 9 ] || fail "ended with $code"
	ex --tty --detach -- true </dev/null
	expect_refusal 'cannot allocate tty if runc will detach without setting console socket'
	ex --console-socket "$socket" -- true </dev/null
	expect_refusal 'cannot use console socket if runc will not detach or allocate tty'
}

@test "exec ends with the container" {
	start_box
	hv exec "$BOX" sleep 1000 </dev/null >"$OUT" 2>"$ERR" 3>&- &
	local pid=$!
	eventually 300 hv exec "$BOX" pgrep -f 'sleep 1000$' >/dev/null
	hv kill "$BOX" KILL
	status=0
	wait "$pid" || status=$?
	expect_status 137
	ex -- true </dev/null
	expect_status 255
	expect_refusal 'cannot exec in a stopped container'
}

# lists COMMAND: a process of the box is shown as that
lists() {
	hv ps "$BOX" -o args >"$OUT"
	grep -qxF -- "$1" "$OUT"
}

@test "ps: a table of what runs inside, and the host's process for programs" {
	start_box
	hv exec --detach --user 7 "$BOX" sleep 7654321 </dev/null
	hv ps "$BOX" >"$OUT"
	grep -qxE 'UID +PID +PPID +C +STIME +TTY +TIME +CMD' "$OUT" || fail 'no title'
	grep -qE '^root +1 +0 .* sleep 100000$' "$OUT" || fail 'no pid 1'
	grep -qE '^7 .* sleep 7654321$' "$OUT" || fail 'not what exec started'
	hv ps "$BOX" -o pid,comm >"$OUT"
	grep -qxE ' +1 sleep' "$OUT" || fail 'not the columns asked for'
	# What terminals obey is escaped: in one byte, and in UTF-8's two.
	hv exec --detach "$BOX" bash -c $'exec -a "a\e[2Jb\xc2\x9b2J\xc3\xa9" sleep 7654322' </dev/null
	eventually 100 lists $'a\\x1b[2Jb\\x9b2J\xc3\xa9 7654322'
	[ "$(hv ps --format json "$BOX")" = "[$(hv state "$BOX" | jq .pid)]" ]
}

@test "pause and resume: nothing runs in between, and the clock is right after" {
	start_box
	hv exec --detach "$BOX" sh -c 'while :; do date +%s%N >>/dev/shm/ticks; sleep 0.05; done' </dev/null
	eventually 100 hv exec "$BOX" sh -c '[ "$(wc -l </dev/shm/ticks)" -gt 3 ]' </dev/null
	hv pause "$BOX"
	[ "$(hv state "$BOX" | jq -r .status)" = paused ]
	status=0
	hv pause "$BOX" 2>"$ERR" || status=$?
	expect_err 'container not running'
	ex -- true </dev/null
	expect_status 255
	expect_err 'cannot exec in a paused container'
	(sleep 5 && hv resume "$BOX") 3>&- &
	ex --ignore-paused -- date +%s%N </dev/null
	local host inside
	host=$(date +%s%N)
	expect_status 0
	inside=$(cat "$OUT")
	[ $((host - inside)) -lt "${HVRUN_CLOCK_NS:-3000000000}" ] || fail "the guest's clock is $((host - inside)) ns late"
	wait
	hv exec "$BOX" tail -n 400 /dev/shm/ticks | awk 'NR > 1 && $1 - last > 3e9 { gap = 1 } { last = $1 } END { exit !gap }' ||
		fail 'it went on while it was paused'
	status=0
	hv resume "$BOX" 2>"$ERR" || status=$?
	expect_err 'container not paused'
}

@test "events: statistics and an OOM, until the container ends" {
	config '.linux.resources.memory = {limit: 134217728} | .linux.resources.pids = {limit: 100}'
	start_box
	hv events --stats "$BOX" >"$OUT"
	[ "$(jq -r '.type, .id, .data.memory.usage.limit, .data.pids.limit' "$OUT" | paste -sd' ')" = \
		"stats $BOX 134217728 100" ] || fail 'not these numbers'
	[ "$(jq '.data.cpu.usage.total > 0 and .data.pids.current > 0 and .data.memory.raw.anon > 0' "$OUT")" = true ]
	hv events --interval 200ms "$BOX" >"$OUT" 2>"$ERR" 3>&- &
	local pid=$!
	eventually 100 grep -q '"type":"stats"' "$OUT"
	# A shell's variable is anonymous memory, which nothing but its death gives back.
	hv exec "$BOX" sh -c 'tail /dev/zero' </dev/null >/dev/null 2>&1 || true
	eventually 100 grep -qx "{\"type\":\"oom\",\"id\":\"$BOX\"}" "$OUT"
	hv kill "$BOX" KILL
	status=0
	wait "$pid" || status=$?
	expect_status 0
}

@test "update: limits that hold at once, and those that a virtual machine can't have" {
	start_box
	hv update --memory 100m --cpu-quota 50000 --pids-limit 40 "$BOX"
	ex -- sh -c 'cd /sys/fs/cgroup; cat memory.max cpu.max pids.max' </dev/null
	expect_out "104857600
50000 100000
40"
	echo '{"memory": {"limit": 67108864}, "cpu": {"period": 200000, "shares": 0}}' |
		hv update --resources - "$BOX"
	ex -- sh -c 'cd /sys/fs/cgroup; cat memory.max cpu.max pids.max' </dev/null
	expect_out "67108864
50000 200000
40"
	ex -- sh -c 'tail /dev/zero' </dev/null
	expect_status 137
	status=0
	hv update --memory 900g "$BOX" >"$OUT" 2>"$ERR" || status=$?
	expect_refusal 'memory.limit: .* more than the virtual machine has, [0-9]+ MiB'
	status=0
	hv update "$BOX" --cpu-quota 20000000 >"$OUT" 2>"$ERR" || status=$?
	expect_refusal "cpu.quota: .* more than the virtual machine's 1 CPU"
	status=0
	hv update --memory foo "$BOX" >"$OUT" 2>"$ERR" || status=$?
	expect_refusal "invalid value for memory: invalid size: 'foo'"
	hv update --memory -1 --cpu-quota -1 --pids-limit -1 "$BOX"
	ex -- sh -c 'cd /sys/fs/cgroup; cat memory.max cpu.max pids.max' </dev/null
	expect_out "max
max 200000
max"
}

@test "update: one that the host refuses changes nothing inside" {
	start_box
	hv update --memory 100m --cpu-quota 50000 "$BOX"
	ex -- cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max </dev/null
	local before
	before=$(cat "$OUT")
	status=0
	hv update --resources - "$BOX" >"$OUT" 2>"$ERR" <<<'{"memory": {"limit": 80000000}, "cpu": {"quota": 20000},
		"blockIO": {"weight": 5}}' || status=$?
	expect_status 1
	ex -- cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max </dev/null
	expect_out "$before"
}

@test "exec --env: the last of a name counts, and one without a value is refused" {
	start_box
	ex --env PATH=/nowhere:/usr/bin:/bin --env A=1 --env A= -- perl -e 'print join(" ", $ENV{PATH}, "[$ENV{A}]", scalar(grep { /^(PATH|A)=/ } split(/\0/, `cat /proc/$$/environ`))), "\n"' </dev/null
	expect_out '/nowhere:/usr/bin:/bin [] 2'
	ex --env X -- true </dev/null
	expect_status 255
	expect_refusal 'invalid environment variable: "X"'
}

@test "a bind-mounted Unix socket: mode and owner of the host's, and the monitor's helper as the peer" {
	local dir="$BATS_TEST_TMPDIR/s"
	mkdir "$dir"
	python3 - "$dir/sock" "$dir/peer" <<-'END' 3>&- &
		import os, socket, struct, sys
		s = socket.socket(socket.AF_UNIX)
		s.bind(sys.argv[1])
		os.chmod(sys.argv[1], 0o620)
		os.chown(sys.argv[1], 0, 1234)
		s.listen()
		c, _ = s.accept()
		pid, uid, gid = struct.unpack('3i', c.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
		comm = open('/proc/%d/comm' % pid).read().strip()
		c.sendall(('%s %d %d\n' % (comm, uid, gid)).encode())
	END
	PEER=$!
	eventually 100 test -S "$dir/sock"
	config '.mounts += [{destination: "/run/host.sock", type: "bind", source: $s, options: ["rbind"]}]' --arg s "$dir/sock"
	start_box
	ex -- stat -c '%a %u %g %F' /run/host.sock </dev/null
	expect_out '620 0 1234 socket'
	ex --user 1234:1 -- perl -e 'use Socket; socket(S, PF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un("/run/host.sock")) or die "$!\n"' </dev/null
	[ "$status" -ne 0 ]
	[ "$(cat "$ERR")" = 'Permission denied' ]
	ex --user 5:1234 -- perl -e 'use Socket; socket(S, PF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un("/run/host.sock")) or die "$!\n"; print <S>' </dev/null
	expect_out 'hvrun-relay 0 0'
	wait "$PEER"
}

# slow_reader SOCKET FILE [SECONDS]: listens; when FILE.go is there, waits, then reads to the end and
# writes the number of bytes into FILE. For the background: exec, so that $! is the program's pid.
slow_reader() {
	exec python3 - "$@" <<-'END'
		import os, socket, sys, time
		s = socket.socket(socket.AF_UNIX)
		s.bind(sys.argv[1])
		s.listen()
		c, _ = s.accept()
		while not os.path.exists(sys.argv[2] + '.go'): time.sleep(0.1)
		time.sleep(int(sys.argv[3]))
		n = 0
		while data := c.recv(65536): n += len(data)
		open(sys.argv[2], 'w').write('%d\n' % n)
	END
}

# Such a reader, to $PEER, whose socket is /run/host.sock of the container and whose folder, $dir, is /s.
slow_socket() {
	dir=$BATS_TEST_TMPDIR/s
	mkdir "$dir"
	slow_reader "$dir/sock" "$dir/read" "$1" 3>&- &
	PEER=$!
	eventually 100 test -S "$dir/sock"
	bind "$dir/sock" /run/host.sock
	bind "$dir" /s
}

@test "a bind-mounted Unix socket: what the container wrote is read after its end" {
	local dir
	slow_socket 3
	run_script 'perl -e '\''use Socket; socket(S, PF_UNIX, SOCK_STREAM, 0);
		connect(S, sockaddr_un("/run/host.sock")) or die "$!\n"; syswrite(S, "x" x 307200) == 307200 or die'\''
		: >/s/read.go'
	expect_status 0
	wait "$PEER"
	[ "$(cat "$dir/read")" = 307200 ]
}

@test "a bind-mounted Unix socket that nobody reads: a container that is killed ends all the same" {
	local dir
	slow_socket 0
	start_box
	ex -d -- perl -e 'use Socket; socket(S, PF_UNIX, SOCK_STREAM, 0);
		connect(S, sockaddr_un("/run/host.sock")) or die "$!\n"; open(F, ">/s/written");
		syswrite(S, "x" x 65536) while 1' </dev/null
	eventually 300 test -e "$dir/written"
	sleep 1 # all buffers are full by then
	hv kill "$BOX" KILL
	eventually 300 is_stopped
	: >"$dir/read.go"
	wait "$PEER"
	[ "$(cat "$dir/read")" -gt 100000 ] # as much as the host's socket holds
}

@test "exec: output that waits for a slow reader outlives the container" {
	start_box
	ex -- true </dev/null
	hv exec "$BOX" sh -c 'head -c 200000 /dev/zero; echo >&2 written; sleep 1000' 2>"$ERR" </dev/null 3>&- | {
		eventually 600 test -e "$BATS_TEST_TMPDIR/killed"
		wc -c >"$OUT"
	} &
	local reader=$!
	eventually 300 grep -q written "$ERR"
	sleep 1 # more than a pipe's worth is in the monitor by now
	hv kill "$BOX" KILL
	eventually 300 is_stopped
	: >"$BATS_TEST_TMPDIR/killed"
	wait "$reader"
	expect_out 200000
}

@test "exec: a reader that is stuck does not keep a container that has ended" {
	start_box
	local monitor reader
	monitor=$(hv state "$BOX" | jq .pid)
	mkfifo "$BATS_TEST_TMPDIR/pipe"
	hv exec "$BOX" sh -c 'head -c 2000000 /dev/zero; echo >&2 written' >"$BATS_TEST_TMPDIR/pipe" 2>"$ERR" </dev/null 3>&- &
	exec 7<"$BATS_TEST_TMPDIR/pipe"
	reader=$!
	head -c 1 <&7 >"$OUT"
	hv kill "$BOX" KILL
	eventually 600 ended "$monitor"
	exec 7<&-
	status=0
	wait "$reader" || status=$?
	expect_status 137
	hv delete "$BOX"
	BOX=
}

@test "exec: a MiB of arguments and environment, and what is too much" {
	start_box
	local file="$BATS_TEST_TMPDIR/process.json"
	python3 - "$file" <<-'END'
		import json, sys
		# One text is at most 128 KiB for Linux.
		process = {"args": ["/bin/sh", "-c", "echo ${#A0} ${#A7}; env | wc -c; shift; echo ${#1}", "sh", "x", "y" * 100000], "cwd": "/",
			"user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin:/usr/bin"] + ["A%d=%s" % (i, '"' * 120000) for i in range(8)]}
		json.dump(process, open(sys.argv[1], 'w'))
	END
	status=0
	hv exec --process "$file" "$BOX" </dev/null >"$OUT" 2>"$ERR" || status=$?
	expect_status 0
	[ "$(head -n 1 "$OUT")" = '120000 120000' ]
	[ "$(sed -n 2p "$OUT")" -gt 960000 ]
	[ "$(tail -n 1 "$OUT")" = 100000 ]
	jq '.env += [range(12) | "B\(.)=" + ("x" * 120000)]' "$file" >"$file.more"
	status=0
	hv exec --process "$file.more" "$BOX" </dev/null >"$OUT" 2>"$ERR" || status=$?
	expect_status 255
	expect_refusal 'exec failed: the process: arguments and environment take more than 3145728 bytes'
}
