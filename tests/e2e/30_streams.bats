# SPDX-License-Identifier: Apache-2.0
# Standard streams: apart, byte-exact, end-of-file both ways, and terminals.
load lib

@test "stdout and stderr are apart" {
	run_script 'echo out; echo err >&2; echo out2'
	expect_status 0
	expect_out "out
out2"
	[ "$(cat "$ERR")" = err ]
}

@test "every byte value and no newline at the end" {
	LC_ALL=C awk 'BEGIN { for (i = 0; i < 256; i++) printf "%c", i }' >"$BATS_TEST_TMPDIR/in"
	args cat
	run_bundle <"$BATS_TEST_TMPDIR/in"
	expect_status 0
	cmp "$BATS_TEST_TMPDIR/in" "$OUT"
}

@test "1 GiB through stdin and back through stdout" {
	local bytes=$((${HVRUN_STREAM_MIB:-1024} << 20))
	args cat
	set -o pipefail
	"$HELPERS/streams" put "$bytes" |
		hv run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" big 2>"$ERR" |
		"$HELPERS/streams" compare "$bytes" || fail 'what came back is not what went in'
}

@test "a closed stdin is an end of file; a reader that goes away is SIGPIPE" {
	args wc -c
	run_bundle </dev/null
	expect_out 0
	status=0
	args yes
	hv run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" pipe </dev/null 2>"$ERR" | head -n 3 >"$OUT"
	[ "$(wc -l <"$OUT")" -eq 3 ]
}

@test "a slow reader holds the writer up instead of filling memory" {
	args sh -c 'head -c 300000000 /dev/zero; echo done >&2'
	hv run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" slow </dev/null 2>"$ERR" | {
		sleep 8
		! grep -q done "$ERR" && echo held
		wc -c
	} >"$OUT"
	expect_line held
	expect_line 300000000
}

@test "output that can't be written is said, and its writer gets EPIPE" {
	config '.process.args = ["/bin/sh", "-c", "trap \"\" PIPE; while echo x; do :; done 2>/dev/null; exit 3"]'
	status=0
	hv run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" full </dev/null >/dev/full 2>"$ERR" || status=$?
	expect_status 3
	[ "$(cat "$ERR")" = 'hvrun: stdout: no space left on device' ] || fail 'another message'
	# A reader that went away is no news.
	status=0
	hv run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" full </dev/null 2>"$ERR" > >(:) || status=$?
	expect_status 3
	[ ! -s "$ERR" ] || fail 'a message'
}

@test "a terminal: size, its changes, Ctrl-C, raw mode restored" {
	config '.process.terminal = true'
	args /bin/bash -c 'trap "stty size; echo resized" WINCH; trap "echo interrupted; exit 9" INT; tty; stty size; echo ready; while :; do sleep 0.1; done'
	run "$HELPERS/terminal" 40 100 "$HVRUN" --root "$STATE" run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" tty
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "a terminal that --console-socket is given: size, its changes, Ctrl-C, and the exit code" {
	local socket=$BATS_TEST_TMPDIR/console file=$BATS_TEST_TMPDIR/pid code=0
	config '.process.terminal = true'
	args /bin/bash -c 'trap "stty size; echo resized" WINCH; trap "echo interrupted; exit 9" INT; stty size; echo ready; while :; do sleep 0.1; done'
	timeout 300 tests/e2e/console "$socket" "$file" "$HVRUN" --root "$STATE" run --accel "$HVRUN_ACCEL" --detach \
		--console-socket "$socket" --pid-file "$file" --bundle "$BUNDLE" "tty-$$" >"$OUT" 2>"$ERR" 3>&- 4>&- || code=$?
	[ "$code" -eq 9 ] || fail "exit code $code"
	hv delete "tty-$$"
}

@test "a terminal: as it was after kill -9 of hvrun" {
	config '.process.terminal = true'
	args /bin/bash -c 'stty size; echo ready; exec sleep 1000'
	run "$HELPERS/terminal" --kill 40 100 "$HVRUN" --root "$STATE" run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" tty
	echo "$output"
	[ "$status" -eq 0 ]
	for _ in $(seq 100); do
		[ -n "$(ls -A "$STATE" | grep -vE 'kvm-works|cgroups.lock')" ] || return 0
		sleep 0.1
	done
	fail "left behind: $(ls "$STATE")"
}

@test "terminal: true without a terminal is refused" {
	config '.process.terminal = true'
	run_script 'true'
	expect_refusal 'terminal'
}
