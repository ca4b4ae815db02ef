# SPDX-License-Identifier: Apache-2.0
# User-mode networking: passt.
load lib
load network

# hvrun itself, its caller's network being that of the namespace. CONF: its configuration. RESOLV: its resolv.conf.
user_run() {
	local -a resolv=()
	[ -z "${RESOLV:-}" ] || resolv=(unshare --mount sh -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' "$RESOLV")
	status=0
	at a ${resolv[@]+"${resolv[@]}"} timeout --foreground -s KILL "${HVRUN_PATIENCE:-300}" "$HVRUN" --root "$STATE" ${CONF:+--config "$CONF"} run --network=user "$@" --accel "$HVRUN_ACCEL" \
		--bundle "$BUNDLE" user </dev/null >"$OUT" 2>"$ERR" 3>&- || status=$?
}

# For a bundle without a network namespace: the caller's network leads outwards, by IPv4 and IPv6.
uplink() {
	config '.linux.namespaces |= map(select(.type != "network"))'
	veth up0 1
	ip -n "$NS-a" route add default via 10.85.1.1
	ip -n "$NS-a" -6 route add default via fd85:1::1
	# Before, passt does without IPv6.
	eventually settled up0
}

@test "--network=user: connections out, published ports in; IPv4, IPv6" {
	BEFORE=$(leftovers)
	config '.linux.namespaces |= map(select(.type != "network"))'
	user_run
	expect_refusal '--network=user: there is no default route here, neither for IPv4 nor for IPv6'
	veth up0 1
	ip -n "$NS-a" route add default via 10.85.1.1
	mkdir "$BATS_TEST_TMPDIR/www"
	echo from outside >"$BATS_TEST_TMPDIR/www/file"
	serve b 6000 "$BATS_TEST_TMPDIR/www"
	args bash -c "ip -6 route show default; $GET" 10.85.1.1 6000 /file
	user_run
	expect_status 0
	expect_out "from outside"
	ip -n "$NS-a" -6 route add default via fd85:1::1
	for address in 10.85.1.1 fd85:1::1; do
		args bash -c "$GET" "$address" 6000 /file
		user_run
		expect_status 0
		expect_out "from outside"
	done
	BOXES+=(user)
	args busybox httpd -f -p 80 -h /etc
	user_run --detach --publish 8080:80
	expect_status 0
	# got SIDE ADDRESS
	got() { [ "$(at "$1" timeout 5 bash -c "$GET" "$2" 8080 /debian_version)" = "$(cat "$FIXTURES/rootfs/etc/debian_version")" ]; }
	eventually got b 10.85.1.2
	got b fd85:1::2
	got a 127.0.0.1
	got a ::1
	# One end takes the other along.
	passt=$(jq .passt.pid "$STATE/user/state.json")
	alive "$passt"
	grep -q '^Max open files *4096 *4096 ' "/proc/$passt/limits" || fail "$(cat "/proc/$passt/limits")"
	grep -q '^Max core file size *0 *0 ' "/proc/$passt/limits" || fail "$(cat "/proc/$passt/limits")"
	same_cgroups "$passt" "$(jq .monitor.pid "$STATE/user/state.json")"
	kill -KILL "$(jq .monitor.pid "$STATE/user/state.json")"
	ended() { ! alive "$passt"; }
	eventually ended
	hv delete --force user
	# One address alone.
	user_run --detach --publish '[fd85:1::2]:8080:80'
	expect_status 0
	eventually got b fd85:1::2
	! got b 10.85.1.2 || false
	hv delete --force user
	# What can't be had is said.
	serve a 8080 /
	user_run --publish 8080:80
	expect_refusal '--network=user: port 8080 \(TCP, IPv[46]\) of this host is taken: publish another one'
	user_run --publish 10.85.1.2:8080:80
	expect_refusal '--network=user: passt: .*8080'
	ip -n "$NS-a" -6 route del default
	user_run --publish '[::1]:8081:80'
	expect_refusal '--network=user: ::1/8081:80 is published for IPv6, for which there is no default route here'
	CONF=$BATS_TEST_TMPDIR/hvrun.json
	echo '{"passt": "/no/passt"}' >"$CONF"
	user_run
	expect_refusal 'needs passt \(Debian: passt\): /no/passt: no such file'
	nothing_left
}

@test "--network=user: names, by the caller's resolver of either family" {
	local resolver
	uplink
	cat >"$BATS_TEST_TMPDIR/resolver.py" <<-'END'
		# resolver.py ADDRESS: every name has the address 192.0.2.53, and none of IPv6
		import socket, sys
		s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
		s.bind((sys.argv[1], 53))
		print("ready", flush=True)
		while True:
		    query, whom = s.recvfrom(512)
		    end = query.index(b"\0", 12) + 5
		    found = query[end - 4:end - 2] == b"\0\1"
		    answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\x35" if found else b""
		    s.sendto(query[:2] + b"\x81\x80\0\1\0" + bytes([found]) + b"\0\0\0\0" + query[12:end] + answer, whom)
	END
	args getent ahostsv4 some.name
	# Each alone: what asks the other one first waits for long.
	for resolver in 127.0.0.1 ::1; do
		echo "nameserver $resolver" >"$BATS_TEST_TMPDIR/resolv.conf"
		nsenter "--net=/run/netns/$NS-a" python3 "$BATS_TEST_TMPDIR/resolver.py" "$resolver" >"$BATS_TEST_TMPDIR/ready" 3>&- &
		PIDS+=($!)
		eventually grep -q ready "$BATS_TEST_TMPDIR/ready"
		RESOLV=$BATS_TEST_TMPDIR/resolv.conf user_run
		expect_status 0
		grep -q '^192.0.2.53 ' "$OUT" || fail "$resolver: $(cat "$OUT" "$ERR")"
		kill -KILL "${PIDS[-1]}"
		: >"$BATS_TEST_TMPDIR/ready"
	done
}

@test "--network=user: published UDP ports, IPv4 and IPv6" {
	BEFORE=$(leftovers)
	uplink
	args perl -MSocket -e 'socket(S, AF_INET6, SOCK_DGRAM, 0); bind(S, sockaddr_in6(53, Socket::IN6ADDR_ANY)) or die;
		send(S, "answer to $text", 0, $from) while defined($from = recv(S, $text, 100, 0))'
	BOXES+=(user)
	user_run --detach --publish 5300:53/udp
	expect_status 0
	# asked SIDE ADDRESS
	asked() {
		[ "$(at "$1" timeout 2 bash -c 'exec 3<>"/dev/udp/$0/5300"; echo question >&3; head -n 1 <&3' "$2")" = 'answer to question' ]
	}
	eventually asked b 10.85.1.2
	eventually asked b fd85:1::2
	hv delete --force user
	user_run --detach --publish '[fd85:1::2]:5300:53/udp'
	expect_status 0
	eventually asked b fd85:1::2
	! asked b 10.85.1.2 || false
	hv delete --force user
	nothing_left
}

# What a kernel does not send: frames made by hand, for loopback addresses and then for the caller's others. With the
# emulation engine they are QEMU's and passt's alone.
# bats test_tags=kvm
@test "--network=user: the caller's loopback is not reached, whatever the guest sends" {
	uplink
	HEARD=$BATS_TEST_TMPDIR/heard
	at a python3 -c '
import select, socket, sys
socks = []
for address in "127.0.0.1", "::1", "10.85.1.2", "fd85:1::2":
    socks.append(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM))
    socks[-1].bind((address, 7001))
print("ready", file=open(sys.argv[1], "a", 1))
while True:
    for sock in select.select(socks, [], [])[0]:
        print(sock.getsockname()[0], sock.recvfrom(100)[0].decode(), file=open(sys.argv[1], "a", 1))
' "$HEARD" 3>&- &
	PIDS+=($!)
	eventually grep -q ready "$HEARD"
	args perl -MSocket=inet_pton -e '
		sub slurp { open(my $f, "/sys/class/net/eth0/$_[0]") or die $!; chomp(my $line = <$f>); $line }
		socket(S, 17, 3, 0x0300) or die $!;
		my $own = pack("C6", map hex, split /:/, slurp("address"));
		for my $address (qw(127.0.0.1 0.0.0.0 ::1 :: ::ffff:127.0.0.1 10.85.1.2 fd85:1::2)) {
			my $six = $address =~ /:/;
			my $udp = pack("nnnn", 5555, 7001, 8 + length $address, 0) . $address;
			# The checksum of UDP is wanted with IPv6 only.
			my $to = inet_pton($six ? 10 : 2, $address);
			my $from = inet_pton($six ? 10 : 2, $six ? "fd00:10:0:2::15" : "10.0.2.15");
			my $sum = sub { my $n = 0; $n += $_ for unpack("n*", $_[0] . "\0" x (length($_[0]) % 2));
				$n = ($n & 0xffff) + ($n >> 16) while $n >> 16; pack("n", ~$n & 0xffff) };
			substr($udp, 6, 2) = $sum->($from . $to . pack("NN", length $udp, 17) . $udp) if $six;
			my $ip = $six ? pack("NnCC", 6 << 28, length $udp, 17, 64) : pack("CCnnnCCn", 0x45, 0, 20 + length $udp, 1, 0, 64, 17, 0);
			$ip .= $from . $to;
			substr($ip, 10, 2) = $sum->($ip) unless $six;
			my $frame = pack("C6", 2, 0, 0, 0, 0, 2) . $own . pack("n", $six ? 0x86dd : 0x800) . $ip . $udp;
			for (1 .. 3) { send(S, $frame, 0, pack("S n i S C C a8", 17, 0, slurp("ifindex"), 1, 0, 6, "")) or die $!; select(undef, undef, undef, 0.3) }
		}'
	user_run
	expect_status 0
	grep -qxF '10.85.1.2 10.85.1.2' "$HEARD" || fail "$(cat "$HEARD" "$ERR")"
	grep -qxF 'fd85:1::2 fd85:1::2' "$HEARD" || fail "$(cat "$HEARD" "$ERR")"
	! grep -E '^(127|::1|[^ ]+ (0|127|::))' "$HEARD" || fail 'loopback'
}

@test "--network=user: rates" {
	local start
	config '.linux.namespaces |= map(select(.type != "network"))'
	veth up0 1
	ip -n "$NS-a" route add default via 10.85.1.1
	CONF=$BATS_TEST_TMPDIR/hvrun.json
	echo '{"rxBytesPerSecond": 100000, "txBytesPerSecond": 50000}' >"$CONF"
	mkdir "$BATS_TEST_TMPDIR/www"
	head -c 300000 /dev/zero >"$BATS_TEST_TMPDIR/www/in"
	head -c 150000 /dev/zero >"$BATS_TEST_TMPDIR/www/out"
	serve b 6000 "$BATS_TEST_TMPDIR/www"
	bind "$BATS_TEST_TMPDIR/www" /www rbind,ro
	args bash -c "start=\${EPOCHREALTIME/./}; $GET | wc -c; echo \$(((\${EPOCHREALTIME/./} - start) / 1000))" 10.85.1.1 6000 /in
	user_run
	if [ "$HVRUN_ACCEL" = emulation ]; then
		expect_refusal '--network=user: rxBytesPerSecond and txBytesPerSecond: neither passt nor QEMU keeps to a rate'
		return
	fi
	# Three seconds, but for what may go ahead. More they may be.
	expect_status 0
	[ "$(head -n 1 "$OUT")" -eq 300000 ]
	[ "$(tail -n 1 "$OUT")" -ge 2500 ]
	BOXES+=(user)
	args busybox httpd -f -p 80 -h /www
	user_run --detach --publish 8080:80
	expect_status 0
	up() { at b timeout 5 bash -c "$GET" 10.85.1.2 8080 /none; }
	eventually up
	start=${EPOCHREALTIME/./}
	[ "$(at b bash -c "$GET" 10.85.1.2 8080 /out | wc -c)" -eq 150000 ]
	[ $((${EPOCHREALTIME/./} - start)) -ge 2500000 ]
}
