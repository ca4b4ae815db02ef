# SPDX-License-Identifier: Apache-2.0
# What the host, and programs of the host that look for a container, see of it besides its streams.

load lib

@test "a program that asks for more than the machine has ends like one that uses too much" {
	config '.linux.resources.memory = {limit: 67108864, swap: 67108864}'
	run_script 'cat /proc/sys/vm/overcommit_memory; exec dd if=/dev/zero of=/dev/null bs=512M count=1'
	expect_status 137
	expect_line 1
}

@test "a container that limits what can be asked for has its way" {
	config '.linux.sysctl = {"vm.overcommit_memory": "2"}'
	run_script 'cat /proc/sys/vm/overcommit_memory; dd if=/dev/zero of=/dev/null bs=4G count=1 2>/dev/null'
	expect_status 1
	expect_line 2
}

# The kernel's count of what it has killed in the cgroup $1 (a path below the hierarchies).
host_oom_kills() {
	local file
	for file in /sys/fs/cgroup/memory/"$1"/memory.oom_control /sys/fs/cgroup/"$1"/memory.events; do
		[ ! -e "$file" ] || awk '$1 == "oom_kill" { print $2 }' "$file"
	done
}

@test "an OOM inside is one of the host's cgroup before the monitor ends, and one event" {
	local cgroup=hvrun-oom-$$ pid
	OOM_BOX="oom-$$"
	config '.linux.cgroupsPath = $p | .linux.resources.memory = {limit: 67108864}' --arg p "/$cgroup"
	args sh -c 'tail /dev/zero; echo $?; read line; exit 7'
	mkfifo "$BATS_TEST_TMPDIR/in"
	exec 9<>"$BATS_TEST_TMPDIR/in"
	hv create --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" --pid-file "$BATS_TEST_TMPDIR/pid" "$OOM_BOX" \
		<&9 >"$OUT" 2>"$ERR" 3>&- 4>&-
	pid=$(cat "$BATS_TEST_TMPDIR/pid")
	hv events "$OOM_BOX" >"$BATS_TEST_TMPDIR/events" 3>&- 9>&- &
	hv start "$OOM_BOX"
	until grep -q 137 "$OUT"; do sleep 0.1; done
	[ "$(host_oom_kills "$cgroup")" = 0 ] || fail 'the host tells before the container has ended'
	echo >&9
	tail --pid="$pid" -f /dev/null
	[ "$(host_oom_kills "$cgroup")" = 1 ] || fail "the host's count: $(host_oom_kills "$cgroup")"
	wait
	[ "$(grep -c '"type":"oom"' "$BATS_TEST_TMPDIR/events")" = 1 ] || fail "events: $(cat "$BATS_TEST_TMPDIR/events")"
	[ ! -s "$STATE/$OOM_BOX/monitor.log" ] || fail "$(cat "$STATE/$OOM_BOX/monitor.log")"
	hv delete "$OOM_BOX"
}

teardown() {
	[ -z "${OOM_BOX:-}" ] || hv delete --force "$OOM_BOX" >/dev/null 2>&1
}
