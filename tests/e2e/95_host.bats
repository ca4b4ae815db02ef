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
	BOX="oom-$$"
	config '.linux.cgroupsPath = $p | .linux.resources.memory = {limit: 67108864}' --arg p "/$cgroup"
	args sh -c 'tail /dev/zero; echo $?; read line; exit 7'
	mkfifo "$BATS_TEST_TMPDIR/in"
	exec 9<>"$BATS_TEST_TMPDIR/in"
	hv create --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" --pid-file "$BATS_TEST_TMPDIR/pid" "$BOX" \
		<&9 >"$OUT" 2>"$ERR" 3>&- 4>&-
	pid=$(cat "$BATS_TEST_TMPDIR/pid")
	hv events "$BOX" >"$BATS_TEST_TMPDIR/events" 3>&- 9>&- &
	hv start "$BOX"
	eventually grep -q 137 "$OUT"
	[ "$(host_oom_kills "$cgroup")" = 0 ] || fail 'the host tells before the container has ended'
	echo >&9
	wait_gone 1200 "$pid" || fail 'the monitor does not end'
	[ "$(host_oom_kills "$cgroup")" = 1 ] || fail "the host's count: $(host_oom_kills "$cgroup")"
	wait
	[ "$(grep -c '"type":"oom"' "$BATS_TEST_TMPDIR/events")" = 1 ] || fail "events: $(cat "$BATS_TEST_TMPDIR/events")"
	[ ! -s "$STATE/$BOX/monitor.log" ] || fail "$(cat "$STATE/$BOX/monitor.log")"
	hv delete "$BOX"
}

@test "who enters the mount namespace of the pid finds the container's files, and none of the host's" {
	local pid volume=$BATS_TEST_TMPDIR/volume
	BOX="files-$$"
	mkdir "$volume"
	echo inside >"$volume/file"
	bind "$volume" /srv/volume rbind,ro
	config '.mounts += [{type: "tmpfs", source: "tmpfs", destination: "/inside"}]'
	args sh -c 'echo of the guest >/inside/file; echo >/srv/new; while :; do sleep 1; done'
	hv run --detach --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" --pid-file "$BATS_TEST_TMPDIR/pid" "$BOX" \
		</dev/null >"$OUT" 2>"$ERR" 3>&- 4>&-
	[ ! -s "$ERR" ] || fail 'warnings'
	pid=$(cat "$BATS_TEST_TMPDIR/pid")
	eventually test -e "$FIXTURES/rootfs/srv/new"
	rm "$FIXTURES/rootfs/srv/new"
	# perl keeps running on what it has loaded: 308 is setns, 0x20000 CLONE_NEWNS.
	cat >"$BATS_TEST_TMPDIR/look.pl" <<-'END'
		open(my $ns, "<", "/proc/$ARGV[0]/ns/mnt") or die "$!";
		syscall(308, fileno($ns), 0x20000) == 0 or die "setns: $!";
		sub text { open(my $file, "<", $_[0]) or return "$_[0]: $!\n"; return scalar <$file>; }
		print -e $ARGV[1] ? "the host's files\n" : "not the host's files\n";
		print text("/srv/volume/file"), text("/inside/file"), text("/proc/version");
		open(my $new, ">", "/srv/volume/new") or print "/srv/volume/new: $!\n";
		open($new, ">", "/srv/from-outside") && print $new "hello\n";
	END
	perl "$BATS_TEST_TMPDIR/look.pl" "$pid" "$BATS_TEST_TMPDIR" >"$OUT"
	expect_out "not the host's files
inside
/inside/file: No such file or directory
/proc/version: No such file or directory
/srv/volume/new: Read-only file system"
	[ "$(hv exec "$BOX" cat /srv/from-outside </dev/null)" = hello ]
	hv exec "$BOX" rm /srv/from-outside </dev/null
	# The process itself is not in there: its root directory is its own descriptors.
	[ ! -e "/proc/$pid/root/etc" ]
	hv delete --force "$BOX"
	rmdir "$FIXTURES/rootfs/srv/volume"
}

teardown() {
	[ -z "${BOX:-}" ] || hv delete --force "$BOX" >/dev/null 2>&1
}

@test "it runs in a chroot, too, whose root is no mount point" {
	local jail=$BATS_TEST_TMPDIR/jail
	mkdir "$jail"
	args echo ran
	# shellcheck disable=SC2016
	unshare --mount --propagation private bash -euc '
		jail=$1
		shift
		mount -t tmpfs tmpfs "$jail"
		mkdir "$jail/root"
		for path in /*; do
			if [ -L "$path" ]; then
				cp -P "$path" "$jail/root/"
			elif [ -d "$path" ]; then
				mkdir -p "$jail/root$path"
				mount --rbind "$path" "$jail/root$path"
			fi
		done
		exec chroot "$jail/root" "$@"' bash "$jail" \
		"$HVRUN" --root "$STATE" run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" jailed </dev/null >"$OUT" 2>"$ERR" || fail "exit code $?"
	[ "$(cat "$OUT")" = ran ] || fail 'output'
}
