# SPDX-License-Identifier: Apache-2.0
# A network device with several queue pairs.
#
# Its guest keeps several processors busy. A box of as many often stands still then, or loses them (tests/e2e/run);
# with one processor, on which they take turns, it does not:
# kvmbox: --cpus 1
load lib
load network

@test "a queue pair for each processor; fewer of them and fewer offloads, as the guest likes" {
	local action
	config '.linux.resources.cpu = {quota: 200000, period: 100000}'
	cat >"$BATS_TEST_TMPDIR/ethtool.pl" <<-'END'
		# ethtool.pl pairs [N], ethtool.pl offload NAME on|off: eth0's queue pairs; one of its features
		use Socket;
		socket(my $s, AF_INET, SOCK_DGRAM, 0) or die;
		sub ethtool { my $r = pack("a16 P", "eth0", $_[0]) . "\0" x 16; ioctl($s, 0x8946, $r) or die "SIOCETHTOOL: $!\n" }
		my ($what, $name, $value) = @ARGV;
		if ($what eq "pairs") { # ETHTOOL_GCHANNELS, ETHTOOL_SCHANNELS
			my $now = pack("L9", 0x3c);
			ethtool($now);
			my @now = unpack("L9", $now);
			ethtool(my $new = pack("L9", 0x3d, @now[1 .. 7], $name)) if $name;
			print "$now[8] of $now[4]\n" unless $name;
		} else { # ETHTOOL_GSTRINGS of ETH_SS_FEATURES, ETHTOOL_SFEATURES
			my $list = pack("L3 x4096", 0x1b, 4);
			ethtool($list);
			my @names = unpack("x12 (Z32)128", $list);
			my ($bit) = grep { $names[$_] eq $name } 0 .. $#names;
			die "no such feature\n" unless defined $bit;
			my @blocks = map { my $v = int($bit / 32) == $_ ? 1 << $bit % 32 : 0; ($v, $value eq "on" ? $v : 0) } 0 .. 1;
			ethtool(my $set = pack("L6", 0x3b, 2, @blocks)) eq "0 but true" or die "can't be changed\n";
		}
	END
	bind "$BATS_TEST_TMPDIR/ethtool.pl" /ethtool.pl rbind,ro
	veth eth0 1
	join "$NS-a"
	head -c 1000000 /dev/urandom >"$BATS_TEST_TMPDIR/file"
	bind "$BATS_TEST_TMPDIR/file" /file rbind,ro
	box one
	[ "$(ex one perl /ethtool.pl pairs)" = '2 of 2' ]
	mkdir "$BATS_TEST_TMPDIR/www"
	ln "$BATS_TEST_TMPDIR/file" "$BATS_TEST_TMPDIR/www/file"
	serve b 5000 "$BATS_TEST_TMPDIR/www"
	# Several at once, so that all pairs have something to do.
	arrives() {
		ex one timeout 60 bash -c 'for i in 1 2 3 4; do bash -c "$0" 10.85.1.1 5000 /file | cmp - /file & pids+=($!); done
			for pid in "${pids[@]}"; do wait "$pid" || exit 1; done' "$GET" && pings 10.85.1.2
	}
	arrives
	for action in 'pairs 1' 'offload rx-gro-hw off' 'pairs 2' 'offload rx-gro-hw on'; do
		# shellcheck disable=SC2086
		ex one perl /ethtool.pl $action
		arrives || fail "$action"
		[ "$action" != 'pairs 1' ] || [ "$(ex one perl /ethtool.pl pairs)" = '1 of 2' ]
	done
	[ "$(ex one perl /ethtool.pl pairs)" = '2 of 2' ]
}
