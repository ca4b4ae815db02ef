# SPDX-License-Identifier: Apache-2.0
# What the file server of a running container could do on the host, and what files that a guest makes mean there.
load lib

# Starts a container that says "ready" and waits; sets FS, hvrun-fs's pid.
start_box() {
	BOX="files-$$"
	args /bin/sh -c 'echo ready; while :; do sleep 1; done'
	hv run --detach --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" --pid-file "$BATS_TEST_TMPDIR/pid" "$BOX" \
		</dev/null >"$OUT" 2>"$ERR" 3>&- 4>&-
	eventually grep -q ready "$OUT"
	[ ! -s "$ERR" ] || fail 'warnings'
	FS=$(jq -r .fs.pid "$STATE/$BOX/state.json")
}

teardown() {
	[ -z "${BOX:-}" ] || hv delete --force "$BOX" >/dev/null 2>&1
}

status_of() {
	awk -v key="$1:" '$1 == key { print $2 }' "/proc/$FS/status"
}

soft_limit() {
	awk -v name="$1" 'index($0, name) == 1 { print $(NF - 2) }' "/proc/$FS/limits"
}

@test "the file server has no mounts of the host's, and ten capabilities" {
	start_box
	[ "$(cat "/proc/$FS/comm")" = hvrun-fs ]
	[ "$(readlink "/proc/$FS/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ] || fail "the host's mounts"
	# What it could reach by name: its root directory is its own descriptors.
	[ -z "$(ls -A "/proc/$FS/root" | grep -v '^[0-9]*$')" ] || fail "$(ls -A "/proc/$FS/root")"
	# And who enters its mount namespace finds an empty root: 308 is setns, 0x20000 CLONE_NEWNS.
	cat >"$BATS_TEST_TMPDIR/look.pl" <<-'END'
		open(my $ns, "<", "/proc/$ARGV[0]/ns/mnt") or die "$!";
		syscall(308, fileno($ns), 0x20000) == 0 or die "setns: $!";
		opendir(my $root, "/") or die "$!";
		print join(" ", sort grep { $_ ne "." && $_ ne ".." } readdir $root), "\n";
	END
	[ "$(perl "$BATS_TEST_TMPDIR/look.pl" "$FS")" = '' ] || fail 'mounts'
	# Of the calls that it may make none makes, binds or connects a socket (98_escape tries them).
	calls=$("$(dirname "$HVRUN")/hvrun-fs" --list-calls)
	grep -q ' recvmsg' <<<"$calls"
	! grep -E ' (socket|socketpair|bind|listen|connect|accept|accept4|sendto)( |$)' <<<"$calls" || fail 'sockets'
	# CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID SETGID SETUID SYS_ADMIN MKNOD SETFCAP
	[ $((0x$(status_of CapPrm) & ~0x882000df)) = 0 ] || fail "CapPrm $(status_of CapPrm)"
	[ $((0x$(status_of CapInh))) = 0 ]
	[ $((0x$(status_of CapAmb))) = 0 ]
	[ "$(status_of NoNewPrivs)" = 1 ]
	[ "$(status_of Seccomp)" = 2 ]
	[ "$(soft_limit 'Max core file size')" = 0 ] || fail "core: $(soft_limit 'Max core file size')"
	[ "$(soft_limit 'Max data size')" != unlimited ] || fail 'memory is not bounded'
	[ "$(soft_limit 'Max open files')" -le 1048576 ] || fail 'descriptors are not bounded'
	# What is open lies on no mount of the host, which open_by_handle_at would take for a way to its file system.
	for fd in "/proc/$FS/fdinfo"/*; do
		mount=$(awk '$1 == "mnt_id:" { print $2 }' "$fd")
		! grep "^$mount " /proc/self/mountinfo || fail "descriptor ${fd##*/}: $(readlink "/proc/$FS/fd/${fd##*/}")"
	done
}

@test "what a guest makes in an export is nothing to the host, and less with nodev and nosuid" {
	local plain=$BATS_TEST_TMPDIR/plain strict=$BATS_TEST_TMPDIR/strict
	mkdir "$plain" "$strict"
	bind "$plain" /mnt/plain
	bind "$strict" /mnt/strict rbind,rw,nodev,nosuid
	grant CAP_MKNOD CAP_CHOWN CAP_FOWNER CAP_FSETID
	config '.linux.resources.devices = [{allow: true, access: "rwm"}]'
	# 1:5 is zero, for the guest and for the host: of the guest's, one byte.
	run_script '
		cd /mnt/plain
		mknod zero c 1 5
		head -c 1 zero | od -An -tx1
		mkfifo fifo
		cp /bin/true suid; chmod 6755 suid
		perl -MSocket -e "socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un(q(socket))) or die; listen(S, 1)"
		cd /mnt/strict
		mknod zero c 1 5 2>/dev/null || echo no device
		mknod disk b 8 0 2>/dev/null || echo no disk
		mkfifo fifo
		cp /bin/true suid; chmod 6755 suid
	'
	expect_status 0
	expect_out " 00
no device
no disk"
	# A name only, as on any file system: nobody listens, nobody reads.
	[ -S "$plain/socket" ]
	! perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un($ARGV[0])) or exit 1' \
		"$plain/socket" || fail 'somebody answers at the socket'
	[ -p "$plain/fifo" ]
	[ "$(stat -c '%F %t:%T' "$plain/zero")" = 'character special file 1:5' ]
	[ "$(stat -c %a "$plain/suid")" = 6755 ]
	[ ! -e "$strict/zero" ]
	[ ! -e "$strict/disk" ]
	[ "$(stat -c %a "$strict/suid")" = 755 ] || fail "set-ID: $(stat -c %a "$strict/suid")"
}

# perl -e "$LOCK" flock|posix FILE [wait]: takes such a lock, or says that it is refused, and keeps it while
# there is FILE.hold; look FILE: says whether a POSIX lock is held.
LOCK='
	use Fcntl qw(:flock :DEFAULT);
	my ($kind, $file, $wait) = @ARGV;
	my $write = pack("s s x4 q q i x4", F_WRLCK, 0, 0, 0, 0);
	open(my $f, "+<", $file) or die "$file: $!";
	$| = 1;
	if ($kind eq "flock") {
		flock($f, LOCK_EX | ($wait ? 0 : LOCK_NB)) or print("$kind refused\n"), exit 1;
	} elsif ($kind eq "posix") {
		fcntl($f, $wait ? F_SETLKW : F_SETLK, $write) or print("$kind refused\n"), exit 1;
	} else {
		fcntl($f, F_GETLK, $write) or die "F_GETLK: $!";
		print((unpack("s s x4 q q i x4", $write))[0] == F_UNLCK ? "$kind free\n" : "$kind held\n"), exit 0;
	}
	print "$kind taken\n";
	sleep(1) while -e "$file.hold";
'

@test "locks that are kept on the host exclude the host's programs, and are waited for" {
	local dir=$BATS_TEST_TMPDIR/locks kind
	mkdir "$dir"
	printf '{"accel": "%s", "locks": "host"}' "$HVRUN_ACCEL" >"$BATS_TEST_TMPDIR/config.json"
	printf '%s' "$LOCK" >"$dir/lock.pl"
	for kind in flock posix; do
		touch "$dir/$kind" "$dir/$kind.hold" "$dir/$kind-back" "$dir/$kind-back.hold"
	done
	bind "$dir" /mnt
	args /bin/sh -c 'cd /mnt; for kind in flock posix; do perl lock.pl $kind $kind wait >$kind.out & done; wait
		perl lock.pl look posix-back; perl lock.pl flock flock-back; perl lock.pl posix posix-back
		touch waits; perl lock.pl posix posix-back wait; perl lock.pl flock flock-back wait'
	hv --config "$BATS_TEST_TMPDIR/config.json" run --bundle "$BUNDLE" "locks-$$" </dev/null >"$OUT" 2>"$ERR" 3>&- 4>&- &
	# The guest's locks are the host's.
	for kind in flock posix; do
		eventually grep -q taken "$dir/$kind.out"
		[ "$(perl -e "$LOCK" "$kind" "$dir/$kind")" = "$kind refused" ] || fail "$kind: not locked on the host"
	done
	[ "$(perl -e "$LOCK" look "$dir/posix")" = 'look held' ]
	# And the host's are the guest's, which waits for them.
	for kind in flock posix; do
		perl -e "$LOCK" "$kind" "$dir/$kind-back" wait >"$dir/$kind-back.out" 3>&- 4>&- &
		eventually grep -q taken "$dir/$kind-back.out"
	done
	rm "$dir"/{flock,posix}.hold
	eventually test -e "$dir/waits"
	rm "$dir"/{flock,posix}-back.hold
	wait
	expect_out 'look held
flock refused
posix refused
posix taken
flock taken'
}
