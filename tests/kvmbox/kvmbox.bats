#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# kvmbox itself: the command's streams, exit code, directory and environment come through, KVM
# works in it, and nothing of it is left behind.

bats_require_minimum_version 1.5.0

setup_file()
{
	export HERE=$BATS_TEST_DIRNAME NULL_BEFORE
	NULL_BEFORE=$(stat -c '%i %a' /dev/null)
	"$HERE/prepare" >/dev/null
	gcc -O2 -Wall -static -o "$BATS_FILE_TMPDIR/kvmtest" "$HERE/kvmtest.c"
}

# Every process below a box's host program, and what it keeps open.
box_processes()
{
	local pid

	for pid in $(pgrep -P "$1"); do
		echo "$pid"
	done
}

# True once none of the processes lives; a killed box is gone within seconds, on a busy machine.
all_gone()
{
	local pid tries

	for ((tries = 0; tries < 60; tries++)); do
		for pid in "$@"; do
			if [[ -d /proc/$pid && $(awk '/^State/ {print $2}' "/proc/$pid/status") != Z ]]; then
				sleep 0.1
				continue 2
			fi
		done
		return 0
	done
	return 1
}

# Starts a box in the background; sets box_pid.
launch_box()
{
	rm -f "$BATS_TEST_TMPDIR/out"
	"$HERE/run" "$@" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" 3>&- &
	box_pid=$!
}

# The same with a command that says when it is up, and waits for that.
start_box()
{
	launch_box "$@" sh -c 'echo up; sleep 1000'
	for ((tries = 0; tries < 3000; tries++)); do
		grep -qs up "$BATS_TEST_TMPDIR/out" && return
		sleep 0.1
	done
	cat "$BATS_TEST_TMPDIR/err"
	return 1
}

@test "making the box changes nothing of the host's" {
	# A linker that writes to /dev/null as root makes a program of it.
	[ "$(stat -c '%i %a' /dev/null)" = "$NULL_BEFORE" ]
}

@test "a guest runs on the box's /dev/kvm" {
	cd "$BATS_FILE_TMPDIR"
	run "$HERE/run" ./kvmtest
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$output" = "result 42" ]
}

@test "exit codes: the command's, its signal's, not found, not executable" {
	run "$HERE/run" sh -c 'exit 7'
	[ "$status" -eq 7 ]
	run "$HERE/run" sh -c 'kill -TERM $$'
	[ "$status" -eq 143 ]
	run -127 "$HERE/run" /nonexistent/program
	run "$HERE/run" /etc/passwd
	[ "$status" -eq 126 ]
}

@test "streams are byte-exact and kept apart" {
	local file=$BATS_TEST_TMPDIR/data

	head -c 4194305 /dev/urandom >"$file"
	"$HERE/run" sh -c 'tee /dev/stderr' <"$file" >"$file.out" 2>"$file.err"
	cmp "$file" "$file.out"
	cmp "$file" "$file.err"
}

@test "end-of-file reaches the command, and its output ends with it" {
	run --separate-stderr "$HERE/run" sh -c 'wc -c; echo bad >&2' < <(printf abc)
	[ "$output" = 3 ]
	[ "$stderr" = bad ]
}

@test "a reader that goes away ends the box" {
	run bash -c 'set -o pipefail; "$HERE/run" --timeout 60 yes | head -n 1'
	[ "${lines[0]}" = y ]
	[ "$status" -eq 141 ]
}

@test "directory, environment, arguments and the host's files" {
	cd "$BATS_TEST_TMPDIR"
	echo seen >file
	ODD=$'a b\nc' run "$HERE/run" -- bash -c \
		'pwd; cat file; printf "%s|" "$ODD" "$@"; echo made >made; id -u' x '' "two words" '*'
	[ "$status" -eq 0 ]
	[ "$output" = "$PWD"$'\nseen\na b\nc||two words|*|0' ]
	[ "$(cat made)" = made ]
}

@test "devices, cgroups, modules, network, tmpfs" {
	run "$HERE/run" bash -ec '
		[[ $(stat -c %a /dev/kvm) = 666 ]]
		grep -qw memory /sys/fs/cgroup/cgroup.subtree_control
		mkdir /sys/fs/cgroup/x && echo 1M >/sys/fs/cgroup/x/memory.max
		for m in overlay tun veth bridge loop vhost_vsock; do modprobe $m; done
		[[ -c /dev/net/tun && $KVMBOX = 1 && $(hostname) = kvmbox ]]
		[[ $(cat /sys/class/net/lo/flags) = 0x9 ]]
		for d in /tmp /run /dev/shm; do
			[[ $(stat -f -c %T $d) = tmpfs ]]
			echo x >$d/x
		done
		[[ $(ulimit -n) = 1048576 ]]'
	echo "$output"
	[ "$status" -eq 0 ]
	[ ! -e /tmp/x ]
}

@test "--timeout ends the box with 124" {
	run "$HERE/run" --timeout 6 sleep 1000
	[ "$status" -eq 124 ]
	[[ $output == *"kvmbox: time is up"* ]]
}

@test "a box whose processors stand still is given up with 125, and a busy one is not" {
	local pids status=0

	run "$HERE/run" --still 8 -- bash -c 'end=$((SECONDS + 20)); while ((SECONDS < end)); do :; done'
	[ "$status" -eq 0 ]
	start_box --still 8
	mapfile -t pids < <(box_processes "$box_pid")
	kill -STOP "${pids[@]}"
	wait "$box_pid" || status=$?
	[ "$status" -eq 125 ]
	all_gone "${pids[@]}"
}

@test "a panic is reported with the kernel's last lines, as 125" {
	run "$HERE/run" --timeout 60 sh -c 'echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger'
	[ "$status" -eq 125 ]
	[[ $output == *"sysrq triggered crash"* ]]
	[[ ${lines[-1]} == "kvmbox: the box ended by itself"* ]]
}

@test "SIGTERM and kill -9 leave nothing behind" {
	local sig status pid

	for sig in TERM KILL; do
		start_box --timeout 300
		mapfile -t pids < <(box_processes "$box_pid")
		[ "${#pids[@]}" -eq 2 ]
		# Nothing of the caller's is held open by them.
		for pid in "${pids[@]}"; do
			if readlink "/proc/$pid/fd/"* | grep bats-run; then
				return 1
			fi
		done
		kill "-$sig" "$box_pid"
		wait "$box_pid" || status=$?
		if [ "$sig" = TERM ]; then
			[ "$status" -eq 143 ]
		else
			[ "$status" -eq 137 ]
		fi
		all_gone "${pids[@]}"
	done
}

@test "a box that does not come up is started again" {
	local pid='' tries

	launch_box --patience 10 --verbose echo done
	for ((tries = 0; tries < 1000; tries++)); do
		pid=$(pgrep -P "$box_pid" qemu-system) && break
		sleep 0.02
	done
	kill -STOP "$pid"
	wait "$box_pid"
	grep -qx done "$BATS_TEST_TMPDIR/out"
	grep -q 'it is started again' "$BATS_TEST_TMPDIR/err"
	[ ! -e "/proc/$pid" ]
}

@test "daemons left behind do not hold the box" {
	run "$HERE/run" --timeout 60 sh -c 'sleep 1000 & echo done'
	[ "$status" -eq 0 ]
	[ "$output" = "done" ]
}

@test "--icount: the same count on each run, from files of its own" {
	local prog=$BATS_FILE_TMPDIR/count

	cat >"$prog.c" <<-'END'
		#include <stdio.h>
		#include <time.h>
		int main(void)
		{
			struct timespec a, b;

			clock_gettime(CLOCK_MONOTONIC, &a);
			for (volatile int i = 0; i < 10000000; i++)
				;
			clock_gettime(CLOCK_MONOTONIC, &b);
			printf("%ld\n", (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000);
			return 0;
		}
	END
	gcc -O1 -o "$prog" "$prog.c"
	run "$HERE/run" --icount "$prog"
	echo "$output"
	[ "$status" -eq 0 ]
	# Four or five instructions a turn, in millions.
	[ "$output" -ge 40 ] && [ "$output" -le 60 ]
	first=$output
	run "$HERE/run" --icount "$prog"
	# A millisecond may be rounded up in one and down in the other.
	[ $((output - first)) -ge -1 ] && [ $((output - first)) -le 1 ]
	run "$HERE/run" --icount ls /root
	[ "$status" -eq 2 ]
}

@test "bad options are refused with one line" {
	for args in "--memory x true" "--cpus 0 true" "--nonsense true" "" "--share /nonexistent true" \
		"--copy /etc true"; do
		run "$HERE/run" $args
		[ "$status" -eq 125 ]
		[ "${#lines[@]}" -eq 1 ]
	done
}
