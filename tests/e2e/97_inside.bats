# SPDX-License-Identifier: Apache-2.0
# What a process that has all of the container's rights, and more, finds beside it in the guest.

load lib

@test "nobody but the host speaks to the agent, and nobody speaks for it" {
	cat >"$BATS_TEST_TMPDIR/reach.pl" <<-'END'
		use Socket;
		$| = 1;
		# A struct sockaddr_vm: family, reserved, port, CID, flags.
		sub name { return pack("S S L L C x3", 40, 0, $_[1], $_[0], 0) }
		sub try {
			my ($call, $cid, $port) = @_;
			socket(my $sock, 40, SOCK_STREAM, 0) or die "socket: $!\n";
			my $done = $call eq "connect" ? connect($sock, name($cid, $port)) : bind($sock, name($cid, $port));
			return unless $done;
			# Taken by a monitor that hangs up at once is as good as refused.
			return if $call eq "connect" && !sysread($sock, my $byte, 1);
			print "$call to CID $cid, port $port: done\n";
		}
		try("connect", $_, 1000) for 1, 3;
		try("connect", 2, $_) for 1 .. 16, 990 .. 1050, 0x7fffffff, 0xfffffffe;
		try("bind", $_, 1000) for 3, 0xffffffff;
		print "tried\n";
		while (1) { sleep 1 }
	END
	BOX="inside-$$"
	bind "$BATS_TEST_TMPDIR/reach.pl" /reach.pl ro
	grant CAP_NET_ADMIN CAP_NET_RAW CAP_SYS_ADMIN CAP_NET_BIND_SERVICE
	args perl /reach.pl
	hv run --detach --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" "$BOX" </dev/null >"$OUT" 2>"$ERR" 3>&- 4>&-
	for ((tries = 0; tries < 600; tries++)); do
		! grep -q tried "$OUT" || break
		sleep 0.1
	done
	[ "$(cat "$OUT")" = tried ] || fail 'the agent, or the monitor, listened'
	[ "$(hv exec "$BOX" echo still there)" = 'still there' ] || fail 'exec'
	hv kill "$BOX" KILL
	hv delete --force "$BOX"
}

@test "what the guest knows names nothing of the host" {
	printf '%s\n' "$BUNDLE" "$STATE" "$(realpath "$FIXTURES/rootfs")" "$HVRUN" >"$BATS_TEST_TMPDIR/words"
	grant CAP_SYS_ADMIN CAP_SYSLOG CAP_SYS_PTRACE CAP_DAC_READ_SEARCH
	config '.hostname = "inside" | .linux.maskedPaths = []'
	run_script 'cat /proc/cmdline /proc/mounts /proc/[0-9]*/mountinfo /proc/[0-9]*/environ; dmesg || true'
	expect_status 0
	while read -r word; do
		! grep -aqF "$word" "$OUT" || fail "$word: known inside"
	done <"$BATS_TEST_TMPDIR/words"
}
