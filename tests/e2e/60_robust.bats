# SPDX-License-Identifier: Apache-2.0
# What goes wrong: bad input, killed processes, and that nothing is ever left behind.
load lib

setup_file() {
	load lib
}

# Starts a container that says "ready" and sleeps; sets pid, and vmm, fs, all by name.
start_sleeper() {
	args /bin/sh -c 'echo ready; exec sleep 1000'
	"$HVRUN" --root "$STATE" run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" victim </dev/null >"$OUT" 2>"$ERR" 3>&- &
	pid=$!
	for _ in $(seq 600); do
		grep -q ready "$OUT" && break
		kill -0 "$pid" || fail 'hvrun ended early'
		sleep 0.1
	done
	grep -q ready "$OUT" || fail 'the container did not start'
	mapfile -t all < <(descendants "$pid")
	vmm=$(pgrep -P "$pid" -x hvrun-vmm)
	fs=$(pgrep -P "$pid" -x hvrun-fs)
}

# kill_one NAME [WORDS]: of start_sleeper's; hvrun is to say WORDS.
kill_one() {
	local before
	before=$(leftovers)
	start_sleeper
	local target=${!1}
	kill -KILL "$target"
	# The promise is one second; a busy machine gets more.
	wait_gone 300 "$pid" "${all[@]}" || fail "still there: $(ps -o pid,stat,args -p "$pid" "${all[@]}")"
	status=0
	wait "$pid" || status=$?
	[ "$status" -ne 0 ]
	[ $# -lt 2 ] || grep -qF "$2" "$ERR" || fail "says: $(<"$ERR")"
	args true
	run_bundle </dev/null
	expect_status 0
	[ "$(leftovers)" = "$before" ] || fail "left behind: $(diff <(echo "$before") <(leftovers))"
}

@test "kill -9 of hvrun takes everything down" {
	kill_one pid
}

@test "kill -9 of hvrun-vmm takes everything down, and is said" {
	kill_one vmm 'the monitor (hvrun-vmm) was killed by signal 9'
}

@test "kill -9 of hvrun-fs takes everything down, and is said" {
	kill_one fs 'the file server (hvrun-fs) was killed by signal 9'
}

@test "runs in a row leave nothing behind" {
	local before runs=100
	[ -z "${HVRUN_SLOW_BOX:-}" ] || runs=${HVRUN_SLOW_RUNS:-100}
	args true
	run_bundle </dev/null
	before=$(leftovers)
	for _ in $(seq "$runs"); do
		run_bundle </dev/null
		expect_status 0
	done
	[ "$(leftovers)" = "$before" ] || fail "left behind: $(diff <(echo "$before") <(leftovers))"
}

@test "malformed JSON" {
	printf '{"ociVersion": "1.0.2", ' >"$BUNDLE/config.json"
	run_bundle </dev/null
	expect_refusal 'config\.json.*line 1'
}

@test "wrong types are named by their path" {
	config '.process.args = "sh"'
	run_bundle </dev/null
	expect_refusal 'config\.json: process\.args'
	new_bundle "$FIXTURES/rootfs"
	config '.mounts[1].destination = 7'
	run_bundle </dev/null
	expect_refusal 'config\.json: mounts\[1\]\.destination'
}

@test "a missing bundle, config, root file system, mount source" {
	status=0
	hv run --accel "$HVRUN_ACCEL" --bundle /no/such/dir x >"$OUT" 2>"$ERR" || status=$?
	expect_refusal '/no/such/dir.*[Nn]o such file or directory'
	config '.root.path = "/no/such/root"'
	run_bundle </dev/null
	expect_refusal 'root\.path.*/no/such/root'
	new_bundle "$FIXTURES/rootfs"
	bind /no/such/source /mnt
	run_bundle </dev/null
	expect_refusal 'mounts\[[0-9]+\]\.source.*/no/such/source'
}

@test "a kernel that isn't one" {
	head -c 100000 /dev/urandom >"$BATS_TEST_TMPDIR/kernel"
	run_bundle --kernel "$BATS_TEST_TMPDIR/kernel" </dev/null
	expect_refusal 'kernel.*not a'
	run_bundle --kernel /no/such/kernel </dev/null
	expect_refusal '/no/such/kernel'
}

@test "what a VM can't do is refused with the path of the field" {
	config '.linux.namespaces |= map(if .type == "pid" then .path = "/proc/1/ns/pid" else . end)'
	run_bundle </dev/null
	expect_refusal 'linux\.namespaces\[[0-9]+\]\.path'
	new_bundle "$FIXTURES/rootfs"
	config '.linux.intelRdt = {closID: "x"}'
	run_bundle </dev/null
	expect_refusal 'linux\.intelRdt'
}

# refuses JQ-PROGRAM PATTERN: a bundle that is changed like that is refused by hvrun or its guest.
refuses() {
	new_bundle "$FIXTURES/rootfs"
	args true
	config "$1"
	run_bundle </dev/null
	expect_refusal "$2"
}

@test "the guest's refusals name the place as the host's do, and the reason" {
	refuses '.mounts += [{destination: "/m", type: "tmpfs", source: "t", options: ["nosuid", "size=1m,wibble"]}]' \
		'^hvrun: config\.json: mounts\[[0-9]+\] \(/m\): options\[1\]: wibble: .*wibble'
	refuses '.linux.sysctl = {"kernel.no_such": "1"}' '^hvrun: config\.json: linux\.sysctl\["kernel\.no_such"\]: '
	refuses '.linux.resources.devices = [{allow: false, type: "q", access: "rwm"}]' \
		'^hvrun: config\.json: linux\.resources\.devices\[0\]\.type: "q" is n.*a, b, c'
	refuses '.linux.namespaces += [{type: "user"}]' '^hvrun: config\.json: linux\.uidMappings: a user namespace needs them$'
	refuses '.process.rlimits = [{type: "RLIMIT_NOFILE", hard: 2000000, soft: 1024}]' \
		'^hvrun: config\.json: process\.rlimits\[0\]\.hard: 2000000 is more than .*fs\.nr_open, 1048576: operation not permitted$'
	refuses '.process.args = ["/no/such/program"]' '/no/such/program.*no such file or directory'
}

@test "no memory for the VM" {
	status=0
	(ulimit -v 1000000 && hv run --accel "$HVRUN_ACCEL" --memory 4096 --bundle "$BUNDLE" x) >"$OUT" 2>"$ERR" </dev/null || status=$?
	expect_refusal 'memory'
}

@test "an unusable /dev/kvm is an error that names the switch" {
	# A /dev/kvm that is no KVM at all: a mount namespace of the test's own.
	status=0
	unshare -m sh -c 'mount --bind /dev/null /dev/kvm && exec "$@"' sh \
		"$HVRUN" --root "$STATE" run --accel kvm --bundle "$BUNDLE" x >"$OUT" 2>"$ERR" </dev/null || status=$?
	expect_refusal '/dev/kvm.*--accel=?.?emulation'
}

@test "an id in use is refused" {
	start_sleeper
	status=0
	hv run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" victim </dev/null >"$BATS_TEST_TMPDIR/out2" 2>"$ERR" || status=$?
	kill -KILL "$pid"
	[ "$status" -ne 0 ]
	expect_err 'container with given ID already exists'
	wait_gone 300 "$pid" "${all[@]}"
}

@test "a guest kernel's panic is reported with the end of its console" {
	# No root for pid 1 to be found: the kernel panics on its own.
	run_bundle --cmdline 'rdinit=/no/such/init init=/no/such/init' </dev/null
	[ "$status" -eq 125 ]
	expect_err "^hvrun: the VM ended before its guest was up: the guest's kernel: Kernel panic - not syncing: .*; the last lines of the guest's console:\$"
	expect_err '^hvrun: guest: Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block\(0,0\)$'
	expect_err '^hvrun: guest: Call Trace:$'
}

@test "a panic while a container is created: one message in the log, every line in it" {
	status=0
	hv --log "$BATS_TEST_TMPDIR/log" --log-format json create --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" \
		--cmdline 'rdinit=/no/such/init init=/no/such/init' dead </dev/null >"$OUT" 2>"$ERR" || status=$?
	[ "$status" -eq 1 ]
	[ "$(wc -l <"$BATS_TEST_TMPDIR/log")" -eq 1 ]
	jq -r .msg "$BATS_TEST_TMPDIR/log" >"$OUT"
	grep -qE '^guest: Kernel panic - not syncing: VFS: ' "$OUT"
	grep -qxF 'guest: Call Trace:' "$OUT"
}

# A container that lets its guest's kernel panic, when it has done $1.
panicking() {
	grant CAP_SYS_ADMIN
	config 'del(.linux.readonlyPaths, .linux.maskedPaths) | .linux.resources.memory.limit = 67108864'
	args bash -c "$1; echo 2 >/proc/sys/vm/panic_on_oom && exec tail /dev/zero"
}

until_stopped() {
	local i
	for ((i = 0; i < ${HVRUN_SLOW_BOX:+10}300; i++)); do
		[ "$(hv state "$1" | jq -r .status)" != stopped ] || return 0
		sleep 0.1
	done
	fail "$1 does not end"
}

@test "a panic of a container that hvrun has left: on its stderr, and in the log" {
	local ended='the VM ended before the container did: .*Kernel panic - not syncing: .*panic_on_oom' log="$BATS_TEST_TMPDIR/log" when
	panicking 'echo before >&2'
	hv --log "$log" --log-format json create --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" created </dev/null >"$OUT" 2>"$ERR"
	hv start created
	until_stopped created
	[ "$(head -n 1 "$ERR")" = before ]
	expect_err "^hvrun: $ended.*; the last lines of the guest's console:\$"
	expect_err '^hvrun: guest: .*Call Trace:'
	[ "$(wc -l <"$log")" -eq 1 ]
	[ "$(jq -r .level "$log")" = error ]
	jq -r .msg "$log" | grep -qE "^$ended"
	jq -r .msg "$log" | grep -qE '^guest: .*Call Trace:'
	when=$(date -d "$(jq -r .time "$log")" +%s)
	(($(date +%s) - when < 600 && $(date +%s) >= when)) || fail "a wrong time: $(jq -r .time "$log")"
	grep -qE "^hvrun-vmm: $ended" "$STATE/created/monitor.log"
	hv delete created

	# One that has closed its stderr, and the log as text.
	rm "$log"
	panicking 'exec 2>&-'
	hv --log "$log" run --detach --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" detached </dev/null >"$OUT" 2>"$ERR"
	until_stopped detached
	[ ! -s "$ERR" ]
	[ "$(wc -l <"$log")" -eq 1 ]
	grep -qE "^time=\"20[0-9-]*T[0-9:]*Z\" level=error msg=\"$ended.*\\\\nguest: .*\"\$" "$log"
	hv delete detached
}
