# SPDX-License-Identifier: Apache-2.0
# What the monitor has given up while a guest runs, as the host's kernel tells it.

load lib

# A container that waits; its monitor's pid to $pid.
start() {
	BOX="confined-$$"
	args sleep 1000
	hv run --detach --accel "$HVRUN_ACCEL" "$@" --bundle "$BUNDLE" --pid-file "$BATS_TEST_TMPDIR/pid" "$BOX" \
		</dev/null >"$OUT" 2>"$ERR" 3>&- 4>&-
	[ ! -s "$ERR" ] || fail 'warnings'
	pid=$(cat "$BATS_TEST_TMPDIR/pid")
}

# field FILE KEY: the value of a line of a status file.
field() {
	awk -v key="$2:" '$1 == key { $1 = ""; print substr($0, 2) }' "$1"
}

uid_of() {
	[ "$HVRUN_ACCEL" = kvm ] && echo "$((1879048192 + $1))" || echo 0
}

@test "every thread of the monitor is without privileges and has a filter" {
	local pid task uid n=0
	start --vcpus 2
	uid=$(uid_of "$pid")
	for task in "/proc/$pid/task"/*; do
		[ "$(field "$task/status" Uid)" = "$uid $uid $uid $uid" ] || fail "$(cat "$task/status")"
		[ "$(field "$task/status" Gid)" = "$uid $uid $uid $uid" ] || fail "$(cat "$task/status")"
		for set in Inh Prm Eff Bnd Amb; do
			[ "$(field "$task/status" "Cap$set")" = 0000000000000000 ] || fail "$(cat "$task/status")"
		done
		[ "$(field "$task/status" NoNewPrivs)" = 1 ]
		[ "$(field "$task/status" Seccomp)" = 2 ]
		n=$((n + 1))
	done
	if [ "$HVRUN_ACCEL" = kvm ]; then
		[ "$n" -ge 3 ] || fail "$n threads" # network devices have some, too
		[ -z "$(field "/proc/$pid/status" Groups)" ]
	fi
	hv delete --force "$BOX"
}

@test "the monitor has no files and no cores" {
	local pid link
	start --memory 256
	[ "$(awk '/^Max core file size/ { print $5 $6 }' "/proc/$pid/limits")" = 00 ]
	[ "$(awk '/^Max open files/ { print ($5 <= 4096 && $4 == $5) }' "/proc/$pid/limits")" = 1 ]
	# The guest's memory and 2 GiB.
	[ "$HVRUN_ACCEL" != kvm ] ||
		[ "$(awk '/^Max address space/ { print $4, $5 }' "/proc/$pid/limits")" = '2415919104 2415919104' ]
	# Its root directory holds its descriptors, which lead to nothing of the host's but streams and log.
	[ ! -e "/proc/$pid/root/etc" ]
	for link in "/proc/$pid/fd"/*; do
		case $(readlink "$link") in
		'') ;; # closed meanwhile
		/dev/null | pipe:* | socket:* | anon_inode:* | /memfd:* | '/#'* | /dev/net/tun | "$BATS_TEST_TMPDIR"/*) ;;
		*) fail "open: $link $(readlink "$link")" ;;
		esac
	done
	hv delete --force "$BOX"
}

# cgroup_of PID CONTROLLER: the path of its cgroup, with v1 below that of the controller, and with v2.
cgroup_of() {
	awk -F: -v name="$2" '$2 ~ "(^|,)" name "(,|$)" { v1 = $3 } $1 == 0 { v2 = $3 }
		END { print v1 == "" ? v2 : name v1 }' "/proc/$1/cgroup"
}

# limit PID CONTROLLER V1-FILE V2-FILE: what is in the one of the files that there is.
limit() {
	local dir
	dir=/sys/fs/cgroup/$(cgroup_of "$1" "$2")
	cat "$dir/$3" 2>/dev/null || cat "$dir/$4"
}

memory_is() {
	local now
	now=$(limit "$1" memory memory.limit_in_bytes memory.max)
	[ "$now" = "$(($2 << 20))" ] || fail "$now, not $2 MiB"
}

# Directories of /proc: hvrun's processes that this test has started.
processes() {
	local proc
	for proc in $(grep -lzxF -- "BATS_TEST_TMPDIR=$BATS_TEST_TMPDIR" /proc/[0-9]*/environ 2>/dev/null); do
		! grep -q '^hvrun' "${proc%environ}comm" || echo "${proc%/environ}"
	done
}

@test "the host's cgroup bounds how many threads there can be of the container's processes" {
	local pid max
	start
	max=$(limit "$pid" pids pids.max pids.max)
	# Enough for any machine, and far less than the host's.
	[ "$max" -ge 4096 ] || fail "$max"
	[ "$max" -lt 8192 ] || fail "$max"
	hv delete --force "$BOX"
}

@test "the host's cgroup bounds the memory of a container that has no limit, until it gets one" {
	local pid overhead=64 none
	[ "$HVRUN_ACCEL" = kvm ] || overhead=1280
	start --memory 256
	memory_is "$pid" $((2 * 256 + overhead + 1024))
	# It is no limit: nobody waits to show the host an OOM inside.
	! processes | sed 's/$/\/comm/' | xargs grep -x hvrun-witness || fail 'a witness'
	hv update --memory 128m "$BOX"
	memory_is "$pid" $((256 + overhead))
	hv update --memory -1 "$BOX"
	memory_is "$pid" $((2 * 256 + overhead + 1024))
	hv delete --force "$BOX"
	# Who says that there is to be none has none, whatever comes between.
	config '.linux.resources.memory = {limit: -1}'
	start --memory 256
	none=$(limit "$pid" memory memory.limit_in_bytes memory.max)
	[ "$none" = max ] || [ "$none" -gt $((1 << 60)) ] || fail "$none"
	hv update --memory 128m "$BOX"
	memory_is "$pid" $((256 + overhead))
	hv update --memory -1 "$BOX"
	[ "$(limit "$pid" memory memory.limit_in_bytes memory.max)" = "$none" ]
	hv delete --force "$BOX"
}

@test "every process that works for a guest is in the container's cgroup on the host" {
	local cgroup=/hvrun-all-$$ dir=$BATS_TEST_TMPDIR/sock proc qemu=
	mkdir "$dir"
	perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 1) or die; sleep 1000' "$dir/s" 3>&- &
	PEER=$!
	eventually test -S "$dir/s"
	bind "$dir/s" /run/s
	echo 'nameserver 127.0.0.11' >"$dir/resolv.conf"
	bind "$dir/resolv.conf" /etc/resolv.conf
	config '.linux.cgroupsPath = $p | .linux.resources.memory = {limit: 134217728}' --arg p "$cgroup"
	start
	[ "$HVRUN_ACCEL" = kvm ] || qemu='hvrun-qemu '
	for proc in $(processes); do
		cat "$proc/comm"
		[[ "$(cgroup_of "${proc#/proc/}" memory)" = *"$cgroup" ]] || fail "$(cat "$proc/comm" "$proc/cgroup")"
		diff "/proc/$pid/cgroup" "$proc/cgroup" || fail "$(cat "$proc/comm")"
	done | sort >"$OUT"
	[ "$(tr '\n' ' ' <"$OUT")" = "hvrun-fs hvrun-network ${qemu}hvrun-relay hvrun-resolver hvrun-vmm hvrun-witness " ] || fail 'other processes'
	hv delete --force "$BOX"
}

# bats test_tags=kvm
@test "two monitors have two users, of the range that is configured, and none with 0" {
	local pid first config=$BATS_TEST_TMPDIR/config.json
	printf '{"accel": "kvm", "uidBase": 300000}' >"$config"
	for id in one two; do
		args sleep 1000
		hv --config "$config" run --detach --bundle "$BUNDLE" --pid-file "$BATS_TEST_TMPDIR/$id" "$id-$$" \
			</dev/null >"$OUT" 2>"$ERR" 3>&- 4>&-
		pid=$(cat "$BATS_TEST_TMPDIR/$id")
		[ "$(stat -c %u "/proc/$pid/environ")" -eq 0 ] # nobody looks into it but root
		[ "$(awk '$1 == "Uid:" { print $2 }' "/proc/$pid/status")" -eq $((300000 + pid)) ]
	done
	hv delete --force "one-$$"
	hv delete --force "two-$$"
	printf '{"accel": "kvm", "uidBase": 0}' >"$config"
	BOX="three-$$"
	hv --config "$config" run --detach --bundle "$BUNDLE" --pid-file "$BATS_TEST_TMPDIR/pid" "$BOX" \
		</dev/null >"$OUT" 2>"$ERR" 3>&- 4>&-
	[ "$(awk '$1 == "Uid:" { print $2 }' "/proc/$(cat "$BATS_TEST_TMPDIR/pid")/status")" -eq 0 ]
}

@test "a monitor that is told to break its rules dies of it, and its log says so" {
	local pid
	start
	# What the kernel sends for a call that is not on a list; tests/unit/test_confine.c makes such calls.
	kill -SYS "$pid"
	wait_gone 1200 "$pid" || fail 'the monitor does not end'
	grep -q 'hvrun-vmm: killed: ' "$STATE/$BOX/monitor.log" || fail "$(cat "$STATE/$BOX/monitor.log")"
}

@test "a Unix socket is connected to as the user of hvrun, whoever the monitor is" {
	local dir=$BATS_TEST_TMPDIR/sock
	mkdir -m 700 "$dir"
	python3 - "$dir/s" >"$BATS_TEST_TMPDIR/peer" 3>&- <<-'END' &
		import socket, struct, sys
		s = socket.socket(socket.AF_UNIX)
		s.bind(sys.argv[1])
		s.listen(8)
		c, _ = s.accept()
		print(*struct.unpack("3i", c.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1:])
		c.sendall(b"hello\n")
	END
	PEER=$!
	eventually test -S "$dir/s"
	chmod 700 "$dir/s"
	bind "$dir/s" /run/s
	run_script 'perl -MIO::Socket::UNIX -e "print IO::Socket::UNIX->new(q(/run/s))->getline"'
	expect_status 0
	expect_out hello
	wait "$PEER"
	[ "$(cat "$BATS_TEST_TMPDIR/peer")" = '0 0' ]
}

teardown() {
	[ -z "${PEER:-}" ] || kill "$PEER" 2>/dev/null || true
	[ -z "${BOX:-}" ] || hv delete --force "$BOX" >/dev/null 2>&1
}
