# SPDX-License-Identifier: Apache-2.0
# Hooks of all six kinds: when they run and where, what is on their stdin, timeouts and failures.
load lib

# On the host and in the container: appends a line with its kind, its namespaces' view and the state that it is told.
make_hooks() {
	HOOKS="$BATS_TEST_TMPDIR/hooks"
	ID="h$BATS_TEST_NUMBER-$$"
	mkdir -p "$HOOKS"
	cat >"$HOOKS/hook" <<-'END'
		#!/bin/sh
		cd "$(dirname "$0")"
		read -r state
		printf '%s\t%s\t%s\t%s\n' "$1" "$(hostname)" "$(env | sort | grep -vE '^(PWD|OLDPWD|_|SHLVL)=' | tr '\n' ' ')" "$state" >>log
		[ ! -e "fail-$1" ] || { echo "this is $1"; echo "that is why" >&2; exit 3; }
		[ ! -e "hang-$1" ] || { echo $$ >hung; exec sleep 1000; }
	END
	chmod 755 "$HOOKS/hook"
	bind "$HOOKS" /hooks
	config '.hostname = "inside" | .hooks = ([["prestart", "createRuntime", "createContainer", "poststart", "poststop"][]
			| {(.): [{path: ($h + "/hook"), args: ["hook", .], env: ["HOOK=\(.)"]}]}] | add)
		+ {startContainer: [{path: "/hooks/hook", args: ["hook", "startContainer"], env: ["HOOK=startContainer"]}]}
		| .annotations = {"com.example": "yes"}' --arg h "$HOOKS"
	args sleep 100000
}

teardown() {
	[ -z "${ID:-}" ] || hv delete --force "$ID" >/dev/null 2>&1
}

try() {
	status=0
	hv "$@" >"$OUT" 2>"$ERR" </dev/null 3>&- || status=$?
}

create() {
	try create --bundle "$BUNDLE" "$ID"
}

kinds() {
	touch "$HOOKS/log"
	cut -f 1 "$HOOKS/log" | tr '\n' ' '
}

# told KIND JQ-PROGRAM: what its state says.
told() {
	awk -F '\t' -v kind="$1" '$1 == kind { print $4 }' "$HOOKS/log" | jq -r "$2"
}

expect_kinds() {
	[ "$(kinds)" = "$1" ] || fail "hooks that ran: $(kinds)" "expected: $1"
}

expect_told() {
	[ "$(told "$1" "$2")" = "$3" ] || fail "$1: $2: $(told "$1" "$2"), expected $3"
}

# create takes its engine from the configuration.
setup_file() {
	echo "{\"accel\": \"$HVRUN_ACCEL\"}" >"$BATS_FILE_TMPDIR/hvrun.json"
}

hv() {
	timeout --foreground -s KILL "${HVRUN_PATIENCE:-1200}" "$HVRUN" --config "$BATS_FILE_TMPDIR/hvrun.json" --root "$STATE" "$@"
}

@test "hooks: each kind in its turn, with the state of that moment" {
	make_hooks
	local kind
	create
	expect_status 0
	expect_kinds 'prestart createRuntime createContainer '
	try start "$ID"
	expect_status 0
	expect_kinds 'prestart createRuntime createContainer startContainer poststart '
	local pid
	pid=$(hv state "$ID" | jq .pid)
	for kind in prestart createRuntime createContainer; do
		expect_told "$kind" .status creating
		expect_told "$kind" .pid "$pid"
	done
	expect_told startContainer .status created
	expect_told startContainer .pid 1
	expect_told poststart .status running
	expect_told poststart .pid "$pid"
	try kill "$ID" KILL
	expect_status 0
	for _ in $(seq 300); do
		[ "$(hv state "$ID" | jq -r .status)" != stopped ] || break
		sleep 0.1
	done
	expect_kinds 'prestart createRuntime createContainer startContainer poststart '
	try delete "$ID"
	expect_status 0
	expect_kinds 'prestart createRuntime createContainer startContainer poststart poststop '
	expect_told poststop .status stopped
	expect_told poststop '.pid // 0' 0
	for kind in prestart createRuntime createContainer startContainer poststart poststop; do
		expect_told "$kind" .id "$ID"
		expect_told "$kind" .bundle "$BUNDLE"
		expect_told "$kind" '.annotations["com.example"]' yes
		expect_told "$kind" '.ociVersion | startswith("1.")' true
		[ "$(awk -F '\t' -v kind="$kind" '$1 == kind { print $3 }' "$HOOKS/log")" = "HOOK=$kind " ] ||
			fail "the environment of $kind is not its own: $(cat "$HOOKS/log")"
		# The state of a hook is one of the specification's, and nothing else.
		awk -F '\t' -v kind="$kind" '$1 == kind { print $4 }' "$HOOKS/log" >"$BATS_TEST_TMPDIR/state.json"
		tests/e2e/schema state-schema.json "$BATS_TEST_TMPDIR/state.json"
	done
	[ "$(awk -F '\t' '$1 == "startContainer" { print $2 }' "$HOOKS/log")" = inside ]
	[ "$(awk -F '\t' '$1 == "createContainer" { print $2 }' "$HOOKS/log")" = "$(hostname)" ]
}

@test "hooks: with run, all of them" {
	make_hooks
	args sh -c 'echo ran; exit 4'
	try run --bundle "$BUNDLE" "$ID"
	expect_status 4
	expect_out ran
	expect_kinds 'prestart createRuntime createContainer startContainer poststart poststop '
}

@test "hooks: one that fails before the start ends the create, and nothing is left" {
	make_hooks
	local kind ran=
	for kind in prestart createRuntime createContainer; do
		ran="$ran$kind "
		touch "$HOOKS/fail-$kind"
		rm -f "$HOOKS/log"
		create
		expect_status 1
		expect_refusal "error running $kind hook #0: exit status 3, stdout: this is $kind, stderr: that is why"
		# What was created must be undone by who did it: poststop, as runc.
		[[ $(kinds) == "$ran"* ]] || fail "ran: $(kinds)"
		try state "$ID"
		expect_status 1
		expect_err 'does not exist'
		[ -z "$(ls "$STATE" | grep -vE 'kvm-works|cgroups.lock')" ]
		rm "$HOOKS/fail-$kind"
	done
}

@test "hooks: one that fails at the start ends the container" {
	make_hooks
	touch "$HOOKS/fail-startContainer"
	create
	expect_status 0
	try start "$ID"
	expect_status 1
	expect_err 'error running startContainer hook #0: exit status 3'
	expect_kinds 'prestart createRuntime createContainer startContainer '
	try delete --force "$ID"
	expect_status 0
	rm "$HOOKS/fail-startContainer"
	touch "$HOOKS/fail-poststart"
	create
	expect_status 0
	try start "$ID"
	expect_status 1
	expect_err 'error running poststart hook #0: exit status 3'
	[ "$(hv state "$ID" | jq -r .status)" = stopped ]
}

@test "hooks: one that fails after the end is said, and the next one runs" {
	make_hooks
	config '.hooks.poststop += [{path: "/no/such/hook"}] + .hooks.poststop'
	touch "$HOOKS/fail-poststop"
	create
	expect_status 0
	try delete --force "$ID"
	expect_status 0
	expect_err 'error running poststop hook #0: exit status 3'
	expect_err 'error running poststop hook #1: fork/exec /no/such/hook: no such file or directory'
	expect_kinds 'prestart createRuntime createContainer poststop poststop '
	try state "$ID"
	expect_err 'does not exist'
}

# hangs KIND: its first hook, alone of all, does, and has a second for it. The others may be slow.
hangs() {
	rm -f "$HOOKS"/hang-*
	touch "$HOOKS/hang-$1"
	config '.hooks |= with_entries(.value[0] |= del(.timeout)) | .hooks[$kind][0].timeout = 1' --arg kind "$1"
}

@test "hooks: a timeout is kept, and what hangs is killed" {
	make_hooks
	hangs createRuntime
	create
	expect_status 1
	expect_refusal 'error running createRuntime hook #0: hook ran past specified timeout of 1.0s'
	wait_gone 300 "$(cat "$HOOKS/hung")"
	hangs startContainer
	create
	expect_status 0
	try start "$ID"
	expect_status 1
	expect_err 'error running startContainer hook #0: .*timeout of 1.0s'
	try delete --force "$ID"
	expect_status 0
	hangs poststop
	create
	expect_status 0
	try delete --force "$ID"
	expect_status 0
	expect_err 'error running poststop hook #0: hook ran past specified timeout of 1.0s'
	wait_gone 300 "$(cat "$HOOKS/hung")"
}
