# SPDX-License-Identifier: Apache-2.0
# What the end-to-end tests share. A test makes a bundle, edits its config.json with jq, runs it on
# the engine under test (HVRUN_ACCEL), and checks what a user would see. tests/e2e/run sets the
# environment: HVRUN (the program), HVRUN_ACCEL, FIXTURES (see tests/e2e/fixtures).

# The same language; jq takes 25 ms to start, which is half a second in kvmbox.
jq() {
	gojq "$@"
}

setup() {
	BUNDLE="$BATS_TEST_TMPDIR/bundle"
	STATE="$BATS_TEST_TMPDIR/state"
	ERR="$BATS_TEST_TMPDIR/stderr"
	OUT="$BATS_TEST_TMPDIR/stdout"
	mkdir -p "$BUNDLE" "$STATE"
	new_bundle "$FIXTURES/rootfs"
}

# A fresh config that `hvrun spec` made, over the root file system $1, without a terminal.
new_bundle() {
	rm -f "$BUNDLE/config.json"
	"$HVRUN" spec --bundle "$BUNDLE"
	config '.process.terminal = false | .root = {path: $root, readonly: false}' --arg root "$1"
}

# config JQ-PROGRAM [JQ-ARGS]: edits the bundle's config.json in place.
config() {
	local program=$1
	shift
	jq "$program" "$@" <"$BUNDLE/config.json" >"$BUNDLE/config.new"
	mv "$BUNDLE/config.new" "$BUNDLE/config.json"
}

# The container's program: each argument one word.
args() {
	config '.process.args = $ARGS.positional' --args -- "$@"
}

# More capabilities for the process, in every set.
grant() {
	config '.process.capabilities |= with_entries(.value += $ARGS.positional)' --args -- "$@"
}

# A bind mount: host path, path in the container, options (comma-separated, default rbind,rw).
bind() {
	config '.mounts += [{type: "bind", source: $s, destination: $d, options: ($o | split(","))}]' \
		--arg s "$1" --arg d "$2" --arg o "${3:-rbind,rw}"
}

# hvrun itself with a state directory of the test's own; its globals, then "$@". What hangs is a
# failure, not a wait: no run may take longer than HVRUN_PATIENCE seconds.
hv() {
	timeout --foreground -s KILL "${HVRUN_PATIENCE:-1200}" "$HVRUN" --root "$STATE" "$@"
}

# Runs the bundle; stdout and stderr go to $OUT and $ERR, the exit code to $status. Options for
# `hvrun run` may be given; stdin is the caller's.
run_bundle() {
	status=0
	hv run --accel "$HVRUN_ACCEL" "$@" --bundle "$BUNDLE" "t$BATS_TEST_NUMBER-$$" \
		>"$OUT" 2>"$ERR" || status=$?
}

# Runs a shell script ($1) in the container.
run_script() {
	args /bin/bash -euc "$1"
	shift
	run_bundle "$@" </dev/null
}

fail() {
	printf '%s\n' "$@" >&2
	if [ -s "$OUT" ]; then
		printf -- '--- stdout\n' >&2
		tail -n 40 "$OUT" >&2
	fi
	if [ -s "$ERR" ]; then
		printf -- '--- stderr\n' >&2
		tail -n 40 "$ERR" >&2
	fi
	return 1
}

expect_status() {
	[ "$status" -eq "$1" ] || fail "exit code $status, expected $1"
}

# expect_line FACT: a whole line of stdout.
expect_line() {
	grep -qxF -- "$1" "$OUT" || fail "no such line in stdout: $1"
}

expect_out() {
	[ "$(cat "$OUT")" = "$1" ] || fail "stdout is not: $1"
}

expect_err() {
	grep -qE -- "$1" "$ERR" || fail "nothing on stderr matches: $1"
}

# One line of error and nothing on stdout: what every refusal looks like.
expect_refusal() {
	[ "$status" -ne 0 ] || fail 'expected a refusal, got exit code 0'
	[ "$(wc -l <"$ERR")" -eq 1 ] || fail "expected one line on stderr"
	expect_err "$1"
}

# What these tests' runs may have left behind, as text: processes (known by their environment),
# mounts, shared-memory and state files, sockets. Compared before and after.
leftovers() {
	local dir
	for dir in /proc/[0-9]*; do
		grep -qzxF -- "BATS_RUN_TMPDIR=$BATS_RUN_TMPDIR" "$dir/environ" 2>/dev/null || continue
		grep -E '^(hvrun|qemu-system)' "$dir/comm"
	done 2>/dev/null | sort | uniq -c
	cut -d' ' -f4- /proc/self/mountinfo | grep -vE '/containers/|/containerd/|/docker|/netns' | sort
	ls -A /dev/shm | grep -v libpod || true
	ls -A "$STATE" | grep -vE 'kvm-works|cgroups.lock' || true
	grep -F -- "$STATE" /proc/net/unix || true
	ls /tmp | grep -i hvrun | grep -vE 'compat|fuzz' || true
}

# Waits until the command succeeds; not for ever.
eventually() {
	local tenths=300
	[ -z "${HVRUN_SLOW_BOX:-}" ] || tenths=1200
	until "$@" >/dev/null 2>&1; do
		((tenths-- > 0)) || fail "waited in vain for: $*" || return 1
		sleep 0.1
	done
}

# Waits until no process in the list of pids lives: at most $1 tenths of a second.
wait_gone() {
	local tenths=$1 pid
	shift
	for pid in "$@"; do
		while kill -0 "$pid" 2>/dev/null; do
			((tenths-- > 0)) || return 1
			sleep 0.1
		done
	done
}

# descendants PID: all processes below it.
descendants() {
	local child
	for child in $(pgrep -P "$1"); do
		echo "$child"
		descendants "$child"
	done
}
