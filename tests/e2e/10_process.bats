# SPDX-License-Identifier: Apache-2.0
# The process of the container: what config.json says of it is what it finds.
load lib

@test "runs a program and carries its exit code" {
	args /bin/true
	run_bundle </dev/null
	expect_status 0
	args /bin/sh -c 'exit 42'
	run_bundle </dev/null
	expect_status 42
}

@test "a signal that ends the program is 128+n" {
	run_script 'sh -c "kill -KILL \$\$"; exit $?'
	expect_status 137
}

@test "a missing program is 127, one that can't be executed 126, and both are named" {
	args no-such-program
	run_bundle </dev/null
	expect_status 127
	expect_refusal 'no-such-program.*not found'
	args /etc/passwd
	run_bundle </dev/null
	expect_status 126
	expect_refusal '/etc/passwd.*permission denied'
	args /no/such/program
	run_bundle </dev/null
	expect_status 127
	expect_refusal '/no/such/program.*no such file'
}

@test "args, env, cwd, user, groups, umask, hostname" {
	config '.process.env = ["PATH=/bin:/usr/bin", "ONE=1 2", "EMPTY="]
		| .process.cwd = "/usr/share"
		| .process.user = {uid: 1234, gid: 2345, additionalGids: [77, 88], umask: 23}
		| .hostname = "box" | .domainname = "example.test"'
	args /bin/sh -c 'echo "$ONE|$EMPTY|$#|$1|$2"; pwd; id -u; id -g; id -G; umask; hostname; cat /proc/sys/kernel/domainname' \
		sh 'a b' ''
	run_bundle </dev/null
	expect_status 0
	expect_out "1 2||2|a b|
/usr/share
1234
2345
2345 77 88
0027
box
example.test"
}

@test "capabilities, no_new_privs, rlimits, oom_score_adj" {
	config '.process.capabilities = {bounding: ["CAP_KILL", "CAP_CHOWN"], effective: ["CAP_KILL"],
			permitted: ["CAP_KILL"], inheritable: ["CAP_KILL"], ambient: ["CAP_KILL"]}
		| .process.noNewPrivileges = true | .process.oomScoreAdj = 321
		| .process.rlimits = [{type: "RLIMIT_NOFILE", soft: 111, hard: 222},
			{type: "RLIMIT_CORE", soft: 0, hard: 0}]'
	args cat /proc/self/status /proc/self/limits /proc/self/oom_score_adj
	run_bundle </dev/null
	expect_status 0
	grep -qP '^CapBnd:\t0000000000000021$' "$OUT" || fail CapBnd
	grep -qP '^CapEff:\t0000000000000020$' "$OUT" || fail CapEff
	grep -qP '^CapPrm:\t0000000000000020$' "$OUT" || fail CapPrm
	grep -qP '^CapInh:\t0000000000000020$' "$OUT" || fail CapInh
	grep -qP '^CapAmb:\t0000000000000020$' "$OUT" || fail CapAmb
	grep -qP '^NoNewPrivs:\t1$' "$OUT" || fail NoNewPrivs
	grep -qE '^Max open files +111 +222 ' "$OUT" || fail RLIMIT_NOFILE
	expect_line 321
}

@test "the container is pid 1 of its namespace and orphans are reaped" {
	run_script 'echo "pid $$"; (sleep 0.1 & ) ; sleep 0.5
		ls -d /proc/[0-9]* | wc -l; hostname x 2>/dev/null || true; ps -e | grep -c defunct || true'
	expect_status 0
	expect_line 'pid 1'
}

@test "namespaces: those asked for are its own" {
	run_script 'for n in mnt uts ipc pid net cgroup; do readlink /proc/self/ns/$n; done; ip -o link | wc -l; ip -o addr show lo'
	expect_status 0
	expect_line 1
	grep -q 127.0.0.1 "$OUT" || fail 'loopback is down'
}

@test "user namespace with mappings" {
	config '.linux.namespaces += [{type: "user"}]
		| .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}]
		| .linux.gidMappings = [{containerID: 0, hostID: 200000, size: 65536}]'
	args sh -c 'tr -s " " <proc/self/uid_map; tr -s " " </proc/self/gid_map; id -u'
	run_bundle </dev/null
	expect_status 0
	expect_out " 0 100000 65536
 0 200000 65536
0"
}

@test "seccomp filters system calls" {
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64"],
		syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 93},
			{names: ["no_such_call"], action: "SCMP_ACT_ERRNO"}]}'
	run_script 'mkdir /tmp/x 2>&1 || true; grep Seccomp: /proc/self/status'
	expect_status 0
	grep -q 'Protocol not supported' "$OUT" || fail 'mkdir was not filtered'
	grep -qP '^Seccomp:\t2$' "$OUT" || fail Seccomp
}

@test "sysctl" {
	config '.linux.sysctl = {"kernel.msgmax": "4096", "net.ipv4.ip_forward": "1"}'
	args cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward
	run_bundle </dev/null
	expect_out "4096
1"
}

@test "signals to hvrun reach the process" {
	args /bin/bash -c 'trap "echo got TERM; exit 7" TERM; trap "echo got USR1" USR1; echo ready; while :; do sleep 0.1; done'
	"$HVRUN" --root "$STATE" run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" sig </dev/null >"$OUT" 2>"$ERR" 3>&- &
	local pid=$!
	for _ in $(seq 300); do
		grep -q ready "$OUT" && break
		sleep 0.1
	done
	kill -USR1 "$pid"
	for _ in $(seq 50); do
		grep -q USR1 "$OUT" && break
		sleep 0.1
	done
	kill -TERM "$pid"
	status=0
	wait "$pid" || status=$?
	expect_status 7
	expect_line 'got USR1'
	expect_line 'got TERM'
}
