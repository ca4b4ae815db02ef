# SPDX-License-Identifier: Apache-2.0
# --preserve-fds and LISTEN_FDS: pipes and connected sockets of the caller, as descriptors of the process.
load lib

BIG=100000000
PATIENCE=1200 # tenths of a second
[ -n "${HVRUN_SLOW_BOX:-}" ] || export HVRUN_PATIENCE=100

start_box() {
	BOX="x$BATS_TEST_NUMBER-$$"
	args sleep 100000
	hv run --detach --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" "$BOX" </dev/null >"$OUT" 2>"$ERR" 3>&-
}

teardown() {
	[ -z "${BOX:-}" ] || hv delete --force "$BOX" >/dev/null 2>&1
}

# hvrun run --preserve-fds N, with the descriptors that the caller of this function redirects.
preserved() {
	status=0
	hv run --preserve-fds "$1" --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" "p$BATS_TEST_NUMBER-$$" \
		>"$OUT" 2>"$ERR" </dev/null || status=$?
}

# Runs the command of the arguments with one end of a socket as descriptor 3; the test's side of it
# is Python in $1, with `s` the other end, and `wait()` for the exit code.
socket_side() {
	local code=$1
	shift
	timeout 300 python3 -c "import os, socket, subprocess, sys
s, theirs = socket.socketpair()
if '$SOCKET' == 'tcp':
    l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen()
    s = socket.create_connection(l.getsockname()); theirs = l.accept()[0]; l.close()
os.set_inheritable(theirs.fileno(), True)
child = subprocess.Popen(['sh', '-c', 'exec \"\$@\" 3<&%d %d<&-' % (theirs.fileno(), theirs.fileno()), 'sh'] + sys.argv[1:],
    pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
theirs.close()
wait = child.wait
$code" "$@" >"$OUT" 2>"$ERR"
}

@test "--preserve-fds: a pipe to read from and one to write to, with their ends of file" {
	args sh -c 'stat -L -c %F /proc/self/fd/3 /proc/self/fd/4 && cat <&3 >&4 && echo over && ls /proc/self/fd'
	preserved 2 3< <(printf 'one\ntwo\n') 4> >(cat >"$BATS_TEST_TMPDIR/got"; echo end >>"$BATS_TEST_TMPDIR/got")
	expect_status 0
	# ls itself has one more, of the directory
	expect_out $'fifo\nfifo\nover\n0\n1\n2\n3\n4\n5'
	for ((i = 0; i < 100; i++)); do
		! grep -q end "$BATS_TEST_TMPDIR/got" || break
		sleep 0.1
	done
	[ "$(cat "$BATS_TEST_TMPDIR/got")" = $'one\ntwo\nend' ]
}

@test "--preserve-fds: the writer of a pipe that the container closes is told, and a reader sees its end" {
	local pid to="$BATS_TEST_TMPDIR/to" from="$BATS_TEST_TMPDIR/from"
	mkfifo "$to" "$from"
	# The reader's end comes while the container goes on, which waits for a word of the reader's. Nobody but
	# hvrun may have the pipes open here: no function, no timeout(1).
	args sh -c 'echo hello >&4; exec 4>&-; read answer <&3; echo "$answer"; head -c 10 <&3 >/dev/null; exec 3<&-; sleep 100000'
	{ echo "got $(cat "$from")"; exec yes; } >"$to" 2>/dev/null 3>&- &
	local writer=$!
	"$HVRUN" --root "$STATE" run --preserve-fds 2 --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" "w-$$" \
		>"$OUT" 2>"$ERR" </dev/null 3<"$to" 4>"$from" &
	pid=$!
	# An endless writer ends by SIGPIPE: the container has closed its end.
	wait_gone "$PATIENCE" "$writer" || status=late
	hv kill "w-$$" KILL || true
	wait_gone 100 "$pid" || kill -KILL "$pid"
	[ -z "${status:-}" ] || fail 'the writer still writes'
	expect_out 'got hello'
}

@test "--preserve-fds: 100 MB through a pipe into the container and out of it, unchanged" {
	local bytes=$BIG
	[ -z "${HVRUN_SLOW_BOX:-}" ] || bytes=5000000
	head -c "$bytes" /dev/urandom >"$BATS_TEST_TMPDIR/data"
	args sh -c 'cat <&4 >&3'
	preserved 2 4< <(cat "$BATS_TEST_TMPDIR/data") 3> >(sha256sum >"$BATS_TEST_TMPDIR/sum.new"; mv "$BATS_TEST_TMPDIR/sum.new" "$BATS_TEST_TMPDIR/sum")
	expect_status 0
	for ((i = 0; i < 100; i++)); do
		[ ! -e "$BATS_TEST_TMPDIR/sum" ] || break
		sleep 0.1
	done
	[ "$(cat "$BATS_TEST_TMPDIR/sum")" = "$(sha256sum <"$BATS_TEST_TMPDIR/data")" ]
}

@test "--preserve-fds: a connected socket, both ways, with half-closes" {
	args perl -MSocket -e 'open(my $s, "+<&=", 3) or die; $s->autoflush(1);
		printf "%s\n", -S $s ? "socket" : "none";
		my $line = <$s>; print $line; print $s "pong\n"; shutdown($s, 1);
		print "rest: ", <$s>; print "eof\n"'
	for SOCKET in unix tcp; do
		socket_side 's.sendall(b"ping\n")
got = b""
while (b := s.recv(100)):
    got += b
print("host:", got.decode(), end="")
s.sendall(b"more\n"); s.shutdown(socket.SHUT_WR)
sys.stdout.flush()
sys.exit(wait())' "$HVRUN" --root "$STATE" run --preserve-fds 1 --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" "s$SOCKET-$$"
		[ "$(sort "$OUT")" = $'eof\nhost: pong\nping\nrest: more\nsocket' ] || fail "$SOCKET: $(cat "$OUT" "$ERR")"
	done
}

@test "--preserve-fds: a socket whose reader is slow loses nothing, and the host's end shows in the container" {
	local bytes=20000000
	SOCKET=unix
	[ -z "${HVRUN_SLOW_BOX:-}" ] || bytes=3000000
	args sh -c "head -c $bytes /dev/zero >&3; cat <&3; echo over"
	socket_side "import time
n = 0
time.sleep(2)
while n < $bytes:
    n += len(s.recv(1 << 20))
s.close()
r = wait()
print(n)
sys.exit(r)" "$HVRUN" --root "$STATE" run --preserve-fds 1 --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" "b-$$"
	expect_out "over"$'\n'"$bytes"
}

@test "exec --preserve-fds: pipes and a socket, also with --detach" {
	start_box
	status=0
	hv exec --preserve-fds 2 "$BOX" sh -c 'cat <&3 >&4; echo "$LISTEN_FDS"' >"$OUT" 2>"$ERR" </dev/null 3< <(echo exec) \
		4> >(cat >"$BATS_TEST_TMPDIR/got"; echo end >>"$BATS_TEST_TMPDIR/got") || status=$?
	expect_status 0
	expect_out ''
	hv exec --detach --preserve-fds 1 "$BOX" sh -c 'echo detached >&3' >"$OUT" 2>"$ERR" </dev/null \
		3> >(cat >"$BATS_TEST_TMPDIR/late"; echo end >>"$BATS_TEST_TMPDIR/late")
	for ((i = 0; i < 100; i++)); do
		! grep -qs end "$BATS_TEST_TMPDIR/got" || ! grep -qs end "$BATS_TEST_TMPDIR/late" || break
		sleep 0.1
	done
	[ "$(cat "$BATS_TEST_TMPDIR/got")" = $'exec\nend' ]
	[ "$(cat "$BATS_TEST_TMPDIR/late")" = $'detached\nend' ]
	SOCKET=unix
	socket_side 's.sendall(b"in"); s.shutdown(socket.SHUT_WR); print(s.recv(100).decode()); sys.exit(wait())' \
		"$HVRUN" --root "$STATE" exec --preserve-fds 1 "$BOX" sh -c 'sed s/in/out/ <&3 >&3'
	expect_out out
	# What is left of a process that has ended keeps neither the exec nor the reader.
	hv exec --preserve-fds 1 "$BOX" sh -c 'sleep 1000 & echo first >&3' >"$OUT" 2>"$ERR" </dev/null 3> >(cat >"$BATS_TEST_TMPDIR/third"; echo end >>"$BATS_TEST_TMPDIR/third")
	for ((i = 0; i < 100; i++)); do
		! grep -qs end "$BATS_TEST_TMPDIR/third" || break
		sleep 0.1
	done
	[ "$(cat "$BATS_TEST_TMPDIR/third")" = $'first\nend' ]
	hv exec "$BOX" pkill -x sleep -n
}

@test "exec --preserve-fds: sixteen at once, many times at once, and not seventeen" {
	start_box
	local redirections='' i jobs=() execs=10
	[ -z "${HVRUN_SLOW_BOX:-}" ] || execs=3
	for ((i = 3; i < 19; i++)); do
		redirections+=" $i< <(echo $i)"
	done
	for ((i = 0; i < execs; i++)); do
		eval "hv exec --preserve-fds 16 \"\$BOX\" bash -c 'for i in \$(seq 3 18); do cat <&\$i; done' >\"\$BATS_TEST_TMPDIR/out.$i\" 2>&1 </dev/null $redirections &"
		jobs+=($!)
	done
	wait "${jobs[@]}"
	for ((i = 0; i < execs; i++)); do
		[ "$(cat "$BATS_TEST_TMPDIR/out.$i")" = "$(seq 3 18)" ] || fail "$(cat "$BATS_TEST_TMPDIR/out.$i")"
	done
	status=0
	eval "hv exec --preserve-fds 17 \"\$BOX\" true >\"\$OUT\" 2>\"\$ERR\" </dev/null $redirections 19<&18" || status=$?
	expect_status 255
	expect_refusal 'preserve-fds 17: more than 16 descriptors'
}

@test "--preserve-fds: create and start, as another user and in a user namespace" {
	BOX="c-$$"
	args sh -c 'cat /proc/self/fd/3; cat <&3 >&4; ls -l /proc/self/fd >&2'
	config '.process.user = {"uid": 1000, "gid": 1000} | .linux.namespaces += [{"type": "user"}]
		| .linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 65536}] | .linux.gidMappings = .linux.uidMappings'
	hv create --preserve-fds 2 --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" "$BOX" >"$OUT" 2>"$ERR" </dev/null 3< <(echo mapped) \
		4> >(cat >"$BATS_TEST_TMPDIR/got"; echo end >>"$BATS_TEST_TMPDIR/got")
	[ ! -s "$BATS_TEST_TMPDIR/got" ]
	hv start "$BOX" 3>&-
	for ((i = 0; i < 100; i++)); do
		! grep -qs end "$BATS_TEST_TMPDIR/got" || break
		sleep 0.1
	done
	[ "$(cat "$BATS_TEST_TMPDIR/got" "$OUT")" = $'end\nmapped' ] || fail "$(cat "$BATS_TEST_TMPDIR/got" "$OUT" "$ERR")"
}

@test "LISTEN_FDS: what a service manager passes comes first, with LISTEN_PID 1" {
	args sh -c 'echo "$LISTEN_FDS $LISTEN_PID $$"; cat <&3; cat <&4'
	status=0
	# exec, so that the number of the process is known
	env HVRUN="$HVRUN" bash -c 'LISTEN_PID=$BASHPID LISTEN_FDS=1 exec "$HVRUN" "$@"' bash --root "$STATE" run --preserve-fds 1 --accel "$HVRUN_ACCEL" \
		--bundle "$BUNDLE" "l-$$" >"$OUT" 2>"$ERR" </dev/null 3< <(echo listen) 4< <(echo preserved) || status=$?
	expect_status 0
	expect_out $'1 1 1\nlisten\npreserved'
	# Another process's: not ours.
	LISTEN_PID=1 LISTEN_FDS=1 preserved 0 3< <(echo listen)
	expect_out '  1'
	status=0
	python3 -c 'import os, socket, sys
s = socket.socket(); s.listen(); os.dup2(s.fileno(), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[1], sys.argv[1:])' "$HVRUN" --root "$STATE" run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" "m-$$" >"$OUT" 2>"$ERR" </dev/null || status=$?
	expect_status 1
	expect_refusal 'LISTEN_FDS 1: descriptor 3 is a listening socket: .* published port'
}

@test "--preserve-fds: what can't be carried is refused, with its kind and what to do" {
	start_box
	refused() {
		local says=$1
		shift
		status=0
		hv exec --preserve-fds "$@" "$BOX" true >"$OUT" 2>"$ERR" </dev/null || status=$?
		expect_status 255
		expect_refusal "$says"
	}
	hv exec --preserve-fds 0 "$BOX" true </dev/null
	refused "exec failed: --preserve-fds 2: descriptor 3 is a file: of the host's open files, only pipes and connected stream sockets can be passed into a virtual machine; a bind mount of it" 2 3<"$BUNDLE/config.json" 4< <(:)
	refused 'descriptor 4 is a directory: .* a bind mount' 2 3< <(:) 4<"$BUNDLE"
	refused 'descriptor 3 is a character device' 1 3</dev/zero
	mkfifo "$BATS_TEST_TMPDIR/both"
	refused 'descriptor 3 is both ends of a pipe: .* one end of it' 1 3<>"$BATS_TEST_TMPDIR/both"
	refused 'unable to stat preserved-fd 0 \(of 1\): descriptor 3 is not open' 1 3<&-
	refused 'unable to stat preserved-fd 1 \(of 2\): descriptor 4 is not open' 2 3< <(:) 4<&-
	local what
	for what in 'listening socket:s.listen()' 'socket for packets:s = socket.socket(type=socket.SOCK_DGRAM)' 'socket that is not connected:pass' \
		'object of the kernel:import ctypes; s = open(ctypes.CDLL(None).eventfd(0, 0))'; do
		status=0
		python3 -c "import os, socket, sys
s = socket.socket()
${what#*:}
os.dup2(s.fileno(), 3)
os.execv(sys.argv[1], sys.argv[1:])" "$HVRUN" --root "$STATE" run --preserve-fds 1 --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" "$BOX-2" >"$OUT" 2>"$ERR" </dev/null || status=$?
		expect_status 1
		expect_refusal "preserve-fds 1: descriptor 3 is an? ${what%%:*}: "
	done
}
