# SPDX-License-Identifier: Apache-2.0
# The network of a container: namespaces with interfaces, changes to them, passt.
load lib
load network

@test "a namespace by its path: names, addresses, routes, MAC, both ways" {
	BEFORE=$(leftovers)
	veth eth0 1
	ip -n "$NS-a" link set eth0 address 02:85:00:00:00:01
	ip -n "$NS-a" route add default via 10.85.1.1
	ip -n "$NS-a" -6 route add default via fd85:1::1
	ip -n "$NS-a" route add 192.0.2.0/24 via 10.85.1.1 metric 7 mtu 1400
	ip -n "$NS-a" route add 198.18.0.0/16 nexthop via 10.85.1.1 weight 2 nexthop via 10.85.1.3
	ip -n "$NS-a" route add 198.19.0.0/16 via inet6 fd85:1::1 dev eth0
	ip -n "$NS-a" route add blackhole 203.0.113.0/24
	ip -n "$NS-a" route add blackhole default table 77
	ip -n "$NS-a" rule add from 10.85.1.2 to 203.0.113.7 table 77 priority 100
	ip -n "$NS-b" addr add 192.0.2.9/32 dev lo
	join "$NS-a"
	box one
	shows one eth0 'link/ether 02:85:00:00:00:01'
	shows one eth0 'inet 10.85.1.2/24 brd 10.85.1.255'
	shows one eth0 'inet6 fd85:1::2/64'
	shows one eth0 'UP'
	# Net devices to spare are not in sight.
	[ "$(ex one ls /sys/class/net | sort | tr '\n' ' ')" = "eth0 lo " ]
	[ "$(ex one ip route show default)" = "default via 10.85.1.1 dev eth0 " ]
	ex one ip -6 route show default | grep -q 'via fd85:1::1 dev eth0'
	ex one ip route show 192.0.2.0/24 | grep -q 'metric 7 mtu 1400'
	ex one ip route show 198.18.0.0/16 | grep -q 'nexthop via 10.85.1.1 dev eth0 weight 2'
	ex one ip route show 198.18.0.0/16 | grep -q 'nexthop via 10.85.1.3 dev eth0 weight 1'
	ex one ip route show 198.19.0.0/16 | grep -q 'via inet6 fd85:1::1 dev eth0'
	ex one ip route show 203.0.113.0/24 | grep -q blackhole
	ex one ip rule show | grep -q '^100:.*from 10.85.1.2 to 203.0.113.7 lookup 77'
	ip -n "$NS-a" rule del priority 100
	ruled() { ex one ip rule show | grep -q '^100:'; }
	unruled() { ! ruled; }
	eventually unruled
	pings 10.85.1.2
	pings fd85:1::2
	ex one busybox ping -c 1 -w 5 10.85.1.1
	ex one busybox ping -c 1 -w 5 192.0.2.9
	ex one busybox ping -6 -c 1 -w 5 fd85:1::1
	# The monitor is where callers look for it.
	[ "$(stat -L -c %i "/proc/$(hv state one | jq .pid)/ns/net")" = "$(stat -L -c %i "/run/netns/$NS-a")" ]
	hv delete --force one
	nothing_left
}

@test "TCP: files arrive whole, in and out, IPv4 and IPv6" {
	veth eth0 1
	join "$NS-a"
	head -c 20000000 /dev/urandom >"$BATS_TEST_TMPDIR/file"
	bind "$BATS_TEST_TMPDIR/file" /file rbind,ro
	box one
	sum=$(sha256sum <"$BATS_TEST_TMPDIR/file")
	mkdir "$BATS_TEST_TMPDIR/www"
	ln "$BATS_TEST_TMPDIR/file" "$BATS_TEST_TMPDIR/www/file"
	serve b 5000 "$BATS_TEST_TMPDIR/www"
	[ "$(ex one bash -c "$GET" 10.85.1.1 5000 /file | sha256sum)" = "$sum" ]
	[ "$(ex one bash -c "$GET" fd85:1::1 5000 /file | sha256sum)" = "$sum" ]
	ex one busybox httpd -f -p 5001 -h / 3>&- &
	PIDS+=($!)
	get() { [ "$(at b timeout 60 bash -c "$GET" fd85:1::2 5001 /file | sha256sum)" = "$sum" ]; }
	eventually get
	[ "$(at b timeout 60 bash -c "$GET" 10.85.1.2 5001 /file | sha256sum)" = "$sum" ]
	hv events --stats one | jq -e '.data.network_interfaces[] | select(.Name == "eth0")
		| .RxBytes > 40000000 and .TxBytes > 40000000'
}

@test "routes as CNI's ptp makes them: the own network is behind a gateway" {
	ip netns add "$NS-c"
	at b sysctl -qw net.ipv4.ip_forward=1
	# ptp SIDE NUMBER: 10.86.0.NUMBER, with peers that are reached by 10.86.0.1 alone
	ptp() {
		ip -n "$NS-$1" link add eth0 type veth peer name "p$2" netns "$NS-b"
		ip -n "$NS-b" addr add 10.86.0.1/32 dev "p$2"
		ip -n "$NS-b" link set "p$2" up
		ip -n "$NS-b" route add "10.86.0.$2" dev "p$2"
		ip -n "$NS-$1" link set eth0 up
		ip -n "$NS-$1" addr add "10.86.0.$2/24" dev eth0
		ip -n "$NS-$1" route del 10.86.0.0/24
		ip -n "$NS-$1" route add 10.86.0.1 dev eth0 scope link
		ip -n "$NS-$1" route add 10.86.0.0/24 via 10.86.0.1
	}
	ptp a 2
	ptp c 3
	at c busybox ping -c 1 -w 5 10.86.0.2
	join "$NS-a"
	box one
	[ "$(ex one ip -4 route show dev eth0)" = "$(ip -n "$NS-a" -4 route show dev eth0)" ]
	pings_out one 10.86.0.3
	# Later as well.
	ip -n "$NS-a" link set eth0 down
	down() { ! ex one ip -o link show up | grep -q ' eth0: '; }
	eventually down
	ip -n "$NS-a" addr del 10.86.0.2/24 dev eth0
	ip -n "$NS-a" link set eth0 up
	ip -n "$NS-a" addr add 10.86.0.2/24 dev eth0
	same() { [ "$(ex one ip -4 route show dev eth0)" = "$(ip -n "$NS-a" -4 route show dev eth0)" ]; }
	eventually same
	ip -n "$NS-a" route del 10.86.0.0/24
	ip -n "$NS-a" route add 10.86.0.1 dev eth0 scope link
	ip -n "$NS-a" route add 10.86.0.0/24 via 10.86.0.1
	eventually same
	pings_out one 10.86.0.3
}

@test "addresses of the loopback interface, deprecated ones" {
	veth eth0 1
	ip -n "$NS-a" addr add 10.9.9.9/32 dev lo
	ip -n "$NS-a" addr add fd85:1::99/64 dev eth0 nodad preferred_lft 0
	ip -n "$NS-b" route add 10.9.9.9 via 10.85.1.2
	ip -n "$NS-b" route add fd09::9 via fd85:1::2
	join "$NS-a"
	box one
	shows one lo 10.9.9.9/32
	pings 10.9.9.9
	ex one ip addr show dev eth0 | grep -q 'fd85:1::99/64 .*deprecated'
	ex one ip route get fd85:1::1 | grep -q 'src fd85:1::2 '
	ip -n "$NS-a" addr del 10.9.9.9/32 dev lo
	ip -n "$NS-a" addr add fd09::9/128 dev lo
	eventually shows one lo fd09::9/128
	pings fd09::9
	! shows one lo 10.9.9.9 || false
	shows one lo 127.0.0.1
	shows one lo ::1/128
}

@test "interfaces without ARP" {
	veth eth0 1
	# As with ipvlan's mode L3: nobody answers, frames go to the address that both have.
	for side in a:eth0 b:p1; do
		ip -n "$NS-${side%:*}" link set "${side#*:}" address 02:85:00:00:00:01 arp off
	done
	join "$NS-a"
	box one
	shows one eth0 NOARP
	pings 10.85.1.2
	ex one busybox ping -c 1 -w 5 10.85.1.1
	# Followed later.
	ip -n "$NS-a" link set eth0 arp on
	asks() { ! shows one eth0 NOARP; }
	eventually asks
}

@test "interfaces that come between create and start, and later, and go" {
	veth eth0 1
	join "$NS-a"
	sleeper one
	args sh -c 'ip -o link; exec sleep 100000'
	hv create --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" one </dev/null >"$OUT" 2>"$ERR" 3>&-
	veth net1 2
	hv start one
	eventually grep -q ' net1: ' "$OUT" # for the process from its first moment on
	pings 10.85.1.2
	pings 10.85.2.2
	veth net2 3
	eventually pings 10.85.3.2
	shows one net2 'inet6 fd85:3::2/64'
	ip -n "$NS-a" addr add 10.85.3.77/24 dev net2
	eventually shows one net2 10.85.3.77
	ip -n "$NS-a" addr del 10.85.3.2/24 dev net2
	gone() { ! shows one net2 10.85.3.2/24; }
	eventually gone
	ip -n "$NS-a" route add 198.51.100.0/24 via 10.85.1.1
	routed() { ex one ip route show 198.51.100.0/24 | grep -q 'via 10.85.1.1'; }
	eventually routed
	ip -n "$NS-a" link del net1
	removed() { ! ex one ip link show dev net1; }
	eventually removed
	pings 10.85.1.2
	[ "$(ex one ls /sys/class/net | sort | tr '\n' ' ')" = "eth0 lo net2 " ]
	# Its net device serves again.
	veth again 4
	eventually pings 10.85.4.2
}

# make_one [GLOBAL OPTIONS]: creates `one`, which is to sleep
make_one() {
	sleeper one
	hv "$@" create --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" one </dev/null >"$OUT" 2>"$ERR" 3>&-
}

@test "three networks between create and start; more than there are net devices for" {
	make_one
	local pid i
	pid=$(jq .monitor.pid "$STATE/one/state.json")
	for i in 1 2 3; do
		veth "net$i" "$i"
		ip -n "$NS-a" link set "net$i" netns "$pid"
		nsenter "--net=/proc/$pid/ns/net" sh -c "ip addr add 10.85.$i.2/24 dev net$i; ip link set net$i up"
	done
	hv start one
	[ "$(ex one ls /sys/class/net | sort | tr '\n' ' ')" = "lo net1 net2 net3 " ]
	pings 10.85.3.2
	hv delete --force one
	echo '{"spareInterfaces": 1}' >"$BATS_TEST_TMPDIR/hvrun.json"
	join "$NS-a"
	make_one --config "$BATS_TEST_TMPDIR/hvrun.json"
	veth net4 4
	veth net5 5
	status=0
	hv start one >"$OUT" 2>"$ERR" || status=$?
	expect_refusal 'network: net5: the virtual machine has no net device left for it: raise "spareInterfaces"'
	[ "$(hv state one | jq -r .status)" = created ]
	ip -n "$NS-a" link del net5
	hv start one
	pings 10.85.4.2
}

@test "interfaces with addresses that can't be the container's are named, once" {
	veth eth0 1
	ip -n "$NS-a" tuntap add tun0 mode tun
	ip -n "$NS-a" addr add 10.85.9.1/24 dev tun0
	join "$NS-a"
	box one
	ip -n "$NS-a" addr add 10.85.1.77/24 dev eth0
	eventually shows one eth0 10.85.1.77
	hv delete --force one
	[ "$(grep -c 'tun0: is not the container.s: it is not an Ethernet interface' "$ERR")" -eq 1 ] || fail "not once"
	[ "$(wc -l <"$ERR")" -eq 1 ]
}

@test "more changes than the watcher was told of" {
	local watcher
	veth eth0 1
	join "$NS-a"
	box one
	watcher=$(jq .watcher.pid "$STATE/one/state.json")
	kill -STOP "$watcher"
	{
		seq 1001 3000 | sed 's|.*|route add 198.51.100.1/32 via 10.85.1.1 table &|'
		echo 'addr add 10.85.1.77/24 dev eth0'
		seq 1001 3000 | sed 's|.*|route del 198.51.100.1/32 table &|'
	} | ip -n "$NS-a" -batch -
	# Its socket has overrun: sk, protocol, pid, ..., drops.
	at a awk '$2 == 0 && $9 > 0 { dropped = 1 } END { exit !dropped }' /proc/net/netlink
	kill -CONT "$watcher"
	eventually shows one eth0 10.85.1.77
	ip -n "$NS-a" addr del 10.85.1.77/24 dev eth0
	gone() { ! shows one eth0 10.85.1.77; }
	eventually gone
}

@test "a hook and linux.netDevices bring interfaces" {
	cat >"$BATS_TEST_TMPDIR/hook" <<-END
		#!/bin/sh
		pid=\$(jq .pid)
		ip -n $NS-b link add h0 type veth peer name eth5
		ip -n $NS-b link set eth5 netns \$pid
		ip -n $NS-b addr add 10.85.5.1/24 dev h0
		ip -n $NS-b link set h0 up
		nsenter --net=/proc/\$pid/ns/net sh -c 'ip addr add 10.85.5.2/24 dev eth5; ip link set eth5 up'
	END
	chmod +x "$BATS_TEST_TMPDIR/hook"
	config '.hooks.createRuntime = [{path: $hook, env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}]' --arg hook "$BATS_TEST_TMPDIR/hook"
	args busybox ping -c 1 -w 5 10.85.5.1
	run_bundle </dev/null
	expect_status 0
	# Of the namespace that hvrun is called in.
	config 'del(.hooks) | .linux.netDevices = {p6: {name: "eth6"}}'
	ip -n "$NS-a" link add p6 type veth peer name q6 netns "$NS-b"
	ip -n "$NS-a" addr add 10.85.6.2/24 dev p6
	ip -n "$NS-b" addr add 10.85.6.1/24 dev q6
	ip -n "$NS-b" link set q6 up
	args sh -c 'ip -o link show eth6 && busybox ping -c 1 -w 5 10.85.6.1'
	status=0
	at a "$HVRUN" --root "$STATE" run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" devices </dev/null >"$OUT" 2>"$ERR" || status=$?
	expect_status 0
	# The namespace ended, and a virtual interface with it.
	no_device() { ! ip -n "$NS-b" link show q6; }
	eventually no_device
	status=0
	hv run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" devices </dev/null >"$OUT" 2>"$ERR" || status=$?
	expect_refusal 'config.json: linux.netDevices.p6: the host has no such network device'
}

@test "linux.netDevices goes back when the container fails, from a namespace that stays" {
	ip -n "$NS-a" link add p7 type veth peer name q7 netns "$NS-b"
	ip -n "$NS-a" addr add 10.85.7.2/24 dev p7
	ip -n "$NS-a" link set p7 up
	join "$NS-b"
	config '.linux.netDevices = {p7: {name: "eth7"}}'
	args no-such-program
	status=0
	at a "$HVRUN" --root "$STATE" create --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" devices </dev/null >"$OUT" 2>"$ERR" || status=$?
	[ "$status" -ne 0 ]
	expect_err 'executable file not found in \$PATH'
	[ "$(ip -n "$NS-a" -br -4 addr show p7 | tr -s ' ' | cut -d ' ' -f 3)" = 10.85.7.2/24 ]
	ip -n "$NS-a" link show p7 | grep -q ',UP'
	! ip -n "$NS-b" link show eth7 2>/dev/null
}

@test "MTU 9000 and 1280, and a change" {
	veth eth0 1 9000
	veth eth1 2 1280
	join "$NS-a"
	box one
	shows one eth0 'mtu 9000'
	shows one eth1 'mtu 1280'
	at b busybox ping -c 1 -w 5 -s 8900 10.85.1.2
	at b busybox ping -c 1 -w 5 -s 1200 10.85.2.2
	at b busybox ping -c 1 -w 5 -s 4000 fd85:2::2
	ip -n "$NS-a" link set eth0 mtu 1400
	eventually shows one eth0 'mtu 1400'
	ip -n "$NS-a" link set eth1 mtu 9000
	ip -n "$NS-b" link set p2 mtu 9000
	eventually shows one eth1 'mtu 9000'
	eventually at b busybox ping -c 1 -w 5 -s 8900 10.85.2.2
}

@test "an interface that goes down and up; the tap, too" {
	veth eth0 1
	join "$NS-a"
	box one
	pings 10.85.1.2
	ip -n "$NS-a" link set eth0 down
	down() { ! ex one ip -o link show up | grep -q ' eth0: '; }
	eventually down
	ip -n "$NS-a" link set eth0 up
	eventually pings 10.85.1.2
	ip -n "$NS-a" link set hv0 down
	! at b busybox ping -c 1 -w 1 10.85.1.2 || false
	ip -n "$NS-a" link set hv0 up
	eventually pings 10.85.1.2
}

# A program of both sides, in the container as /group.py.
group_program() {
	cat >"$BATS_TEST_TMPDIR/group.py" <<-'END'
		# group.py send|receive ADDRESS: a datagram by the group 239.85.0.1, from or at the interface with the address
		import socket, sys, time
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		ours = socket.inet_aton(sys.argv[2])
		if sys.argv[1] == "send":
		    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, ours)
		    while True:
		        s.sendto(b"to the group", ("239.85.0.1", 5085))
		        time.sleep(0.2)
		s.bind(("", 5085))
		s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.85.0.1") + ours)
		s.settimeout(60)
		print(s.recv(100).decode())
	END
	bind "$BATS_TEST_TMPDIR/group.py" /group.py rbind,ro
}

@test "multicast both ways, loopback, a firewall of the container's own" {
	local file
	# iptables over nf_tables, as Debian has it; its libraries may be missing in the root file system.
	for file in /usr/sbin/xtables-nft-multi $(ldd /usr/sbin/xtables-nft-multi | awk '$3 ~ /nftnl|mnl|xtables/ { print $3 }'); do
		bind "$(realpath "$file")" "$file" rbind,ro
	done
	bind /usr/lib/x86_64-linux-gnu/xtables /usr/lib/x86_64-linux-gnu/xtables rbind,ro
	group_program
	veth eth0 1
	join "$NS-a"
	box one
	at b python3 "$BATS_TEST_TMPDIR/group.py" send 10.85.1.1 3>&- &
	PIDS+=($!)
	[ "$(ex one python3 /group.py receive 10.85.1.2)" = 'to the group' ]
	kill "${PIDS[0]}"
	ex one python3 /group.py send 10.85.1.2 3>&- &
	PIDS+=($!)
	[ "$(at b python3 "$BATS_TEST_TMPDIR/group.py" receive 10.85.1.1)" = 'to the group' ]
	ex one busybox ping -c 1 -w 5 127.0.0.1
	ex one busybox ping -c 1 -w 5 ::1
	mkdir "$BATS_TEST_TMPDIR/www"
	echo page >"$BATS_TEST_TMPDIR/www/file"
	serve b 5000 "$BATS_TEST_TMPDIR/www"
	serve b 5001 "$BATS_TEST_TMPDIR/www"
	# A port that is redirected, one that is refused, one that neither is.
	ex one xtables-nft-multi iptables -t nat -A OUTPUT -p tcp --dport 6000 -j REDIRECT --to-ports 6001
	ex one xtables-nft-multi iptables -A OUTPUT -p tcp -m conntrack --ctstate NEW -m tcp --dport 5001 -j REJECT
	[ "$(ex one bash -c "$GET" 10.85.1.1 5000 /file)" = page ]
	! ex one bash -c "$GET" 10.85.1.1 5001 /file || false
	ex one sh -c 'mkdir /dev/shm/www; echo inside >/dev/shm/www/file; exec busybox httpd -f -p 6001 -h /dev/shm/www' 3>&- &
	PIDS+=($!)
	inside() { [ "$(ex one bash -c "$GET" 10.85.1.1 6000 /file)" = inside ]; }
	eventually inside
	[ "$(ex one xtables-nft-multi iptables -S OUTPUT | wc -l)" = 2 ]
}

@test "a macvlan: groups that only the guest is in; as before afterwards" {
	ip -n "$NS-b" link add l0 type veth peer name l1
	ip -n "$NS-b" link set l0 up
	ip -n "$NS-b" link set l1 up
	ip -n "$NS-b" addr add 10.85.1.1/24 dev l1
	ip -n "$NS-b" link add link l0 name eth0 netns "$NS-a" type macvlan mode bridge
	ip -n "$NS-a" addr add 10.85.1.2/24 dev eth0
	ip -n "$NS-a" link set eth0 up
	group_program
	join "$NS-a"
	box one
	pings 10.85.1.2
	at b python3 "$BATS_TEST_TMPDIR/group.py" send 10.85.1.1 3>&- &
	PIDS+=($!)
	[ "$(ex one timeout 20 python3 /group.py receive 10.85.1.2)" = 'to the group' ]
	hv delete --force one
	! ip -n "$NS-a" link show dev eth0 | grep -q ALLMULTI || fail "all groups are still received"
}

@test "what keeps an interface's addresses reaches the namespace's own stack: router advertisements, DHCP" {
	local kind
	cat >"$BATS_TEST_TMPDIR/router.py" <<-'END'
		# A router at p1, with the prefix fd86::/64, an hour.
		import socket, struct, time
		s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
		s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
		prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xc0, 3600, 3600, 0) + socket.inet_pton(socket.AF_INET6, "fd86::")
		while True:
		    s.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 3600, 0, 0) + prefix,
		             ("ff02::1", 0, 0, socket.if_nametoindex("p1")))
		    time.sleep(0.2)
	END
	cat >"$BATS_TEST_TMPDIR/lease.py" <<-'END'
		# lease.py KIND: what comes to the client's port, by a packet socket for IP, as DHCP clients have it, or by UDP
		import socket, sys
		if sys.argv[1] == "packet":
		    s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
		    s.bind(("eth0", 0x0800))
		else:
		    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
		    s.bind(("::", int(sys.argv[1])))
		print("listens", flush=True)
		s.settimeout(60)
		while True:
		    data = s.recv(2000)
		    if data[-5:-1] == b"port":
		        print(data[-5:].decode(), flush=True)
		        if data.endswith(b"!"):
		            break
	END
	cat >"$BATS_TEST_TMPDIR/server.py" <<-'END'
		import socket, time
		s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
		while True:
		    s.sendto(b"port?", ("::ffff:10.85.1.2", 69))
		    s.sendto(b"port!", ("::ffff:10.85.1.2", 68))
		    s.sendto(b"port!", ("fd85:1::2", 546))
		    time.sleep(0.2)
	END
	bind "$BATS_TEST_TMPDIR/lease.py" /lease.py rbind,ro
	grant CAP_NET_BIND_SERVICE
	veth eth0 1
	at a sysctl -qw net.ipv6.conf.eth0.accept_ra=2
	join "$NS-a"
	box one
	at b python3 "$BATS_TEST_TMPDIR/router.py" 3>&- &
	PIDS+=($!)
	inside() { shows one eth0 'inet6 fd86:'; }
	eventually inside
	ip -n "$NS-a" addr show dev eth0 | grep -q 'inet6 fd86:'
	routed() { ex one ip -6 route show default | grep -q 'via fe80:.* dev eth0'; }
	eventually routed
	at b python3 "$BATS_TEST_TMPDIR/server.py" 3>&- &
	PIDS+=($!)
	for kind in packet 68 546; do
		[ "$(at a python3 "$BATS_TEST_TMPDIR/lease.py" "$kind")" = "$(printf 'listens\nport!')" ] || fail "$kind"
	done
	# The guest has what it would have anyway.
	for kind in 68 546; do
		[ "$(ex one python3 /lease.py "$kind")" = "$(printf 'listens\nport!')" ] || fail "$kind inside"
	done
}

@test "a wire that somebody has cut is made again, guard and rates and all" {
	local watcher
	BEFORE=$(leftovers)
	ip netns add "$NS-c"
	veth eth0 1
	join "$NS-a"
	allow net.antiSpoof true net.rxBytesPerSecond 1000000 net.txBytesPerSecond 2000000
	HVC=hvc box one
	eventually pings 10.85.1.2
	ip -n "$NS-a" link show dev eth0 | grep -q ALLMULTI
	# The kernel numbers them as they come.
	wires() { for side in eth0 hv0; do at a tc filter show dev "$side" ingress; done | grep -oE 'match .*|mirred .*|bytecode .*'; }
	whole=$(wires)
	for side in eth0 hv0; do
		at a tc qdisc del dev "$side" ingress
		again() { [ "$(wires)" = "$whole" ] && pings 10.85.1.2; }
		eventually again
	done
	# It was elsewhere, and is back before the watcher has looked.
	watcher=$(grep -lzxF -- "BATS_TEST_TMPDIR=$BATS_TEST_TMPDIR" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3 |
		while read -r pid; do ! grep -qsx hvrun-network "/proc/$pid/comm" || echo "$pid"; done)
	kill -STOP "$watcher"
	index=$(ip -n "$NS-a" -j link show eth0 | jq ".[0].ifindex")
	ip -n "$NS-a" link set eth0 netns "$NS-c"
	ip -n "$NS-c" link set eth0 netns "$NS-a"
	ip -n "$NS-a" addr replace 10.85.1.2/24 brd + dev eth0
	ip -n "$NS-a" addr replace fd85:1::2/64 dev eth0 nodad
	ip -n "$NS-a" link set eth0 up
	[ "$(ip -n "$NS-a" -j link show eth0 | jq '.[0].ifindex')" = "$index" ]
	kill -CONT "$watcher"
	eventually again
	at a tc qdisc show dev hv0 | grep -q 'tbf .*rate 8Mbit'
	at a tc qdisc show dev eth0 | grep -q 'tbf .*rate 16Mbit'
	hv delete --force one
	nothing_left
	! ip -n "$NS-a" link show dev eth0 | grep -q ALLMULTI || fail "all groups are still received"
}

@test "a namespace whose name is deleted under a running container" {
	veth eth0 1
	join "$NS-a"
	box one
	ip netns del "$NS-a"
	pings 10.85.1.2
	hv kill one KILL
	stopped() { [ "$(hv state one | jq -r .status)" = stopped ]; }
	eventually stopped
	# Nobody keeps it any longer.
	peer_gone() { ! ip -n "$NS-b" link show p1; }
	eventually peer_gone
	hv delete one
}

@test "a namespace that others keep when its name is deleted: no wires are left" {
	local ns watcher
	veth eth0 1
	nsenter "--net=/run/netns/$NS-a" sleep 100000 3>&- &
	PIDS+=($!)
	ns=$!
	there() { [ "$(stat -L -c %i "/proc/$ns/ns/net")" = "$(stat -L -c %i "/run/netns/$NS-a")" ]; }
	eventually there
	wires() { nsenter "--net=/proc/$ns/ns/net" tc qdisc show dev eth0 | grep -q ingress; }
	join "$NS-a"
	box one
	ip netns del "$NS-a"
	wires
	hv delete --force one
	! wires || fail "left by delete: $(nsenter "--net=/proc/$ns/ns/net" tc qdisc show)"
	# And with nobody to watch, whose monitor is there until then.
	touch "/run/netns/$NS-a"
	mount --bind "/proc/$ns/ns/net" "/run/netns/$NS-a"
	box one
	watcher=$(jq .watcher.pid "$STATE/one/state.json")
	kill -KILL "$watcher"
	ip netns del "$NS-a"
	wires
	hv delete --force one
	! wires || fail "left without a watcher: $(nsenter "--net=/proc/$ns/ns/net" tc qdisc show)"
}

@test "two containers in two namespaces on one bridge; one namespace is not for two" {
	ip netns add "$NS-c"
	ip -n "$NS-b" link add br0 type bridge
	ip -n "$NS-b" link set br0 up
	for side in a c; do
		ip -n "$NS-$side" link add eth0 type veth peer name "v$side" netns "$NS-b"
		ip -n "$NS-b" link set "v$side" master br0 up
		ip -n "$NS-$side" link set eth0 up
	done
	ip -n "$NS-a" addr add 10.85.0.1/24 dev eth0
	ip -n "$NS-c" addr add 10.85.0.2/24 dev eth0
	join "$NS-a"
	box one
	join "$NS-c"
	box two
	ex one busybox ping -c 2 -w 9 10.85.0.2
	ex two busybox ping -c 2 -w 9 10.85.0.1
	ex two busybox httpd -f -p 7000 -h /etc 3>&- &
	PIDS+=($!)
	said() { [ "$(ex one timeout 5 bash -c "$GET" 10.85.0.2 7000 /debian_version)" = "$(cat "$FIXTURES/rootfs/etc/debian_version")" ]; }
	eventually said
	sleeper three
	wires() { tc -n "$NS-c" filter show dev eth0 ingress; tc -n "$NS-c" filter show dev hv0 ingress; }
	before=$(wires)
	[ "$(grep -c mirred <<<"$before")" -ge 2 ]
	status=0
	hv run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" three </dev/null >"$OUT" 2>"$ERR" || status=$?
	expect_refusal "eth0: is in use by another virtual machine: containers can't share .*give each a network of its own"
	# What was there is as it was, and serves.
	[ "$(wires)" = "$before" ] || fail "$(diff <(echo "$before") <(wires))"
	pings_two() { ex one busybox ping -c 1 -w 5 10.85.0.2; }
	pings_two
}

@test "Debian's stock kernel, whose driver is a module" {
	local kernel
	kernel=$("$STOCK_KERNEL")
	veth eth0 1
	join "$NS-a"
	args busybox ping -c 1 -w 20 10.85.1.1
	run_bundle --kernel "$kernel/vmlinuz" --modules "$kernel/modules" </dev/null
	expect_status 0
}

@test "no network, and those that are refused" {
	args sh -c 'cat /proc/net/route | wc -l; busybox ping -c 1 -w 5 127.0.0.1 >/dev/null && echo loopback'
	run_bundle </dev/null
	expect_status 0
	expect_out "1
loopback"
	config '.linux.namespaces |= map(select(.type != "network"))'
	run_bundle </dev/null
	expect_refusal 'config.json: linux.namespaces: no network namespace: .*--network=user'
	run_bundle --network=none </dev/null
	expect_status 0
	run_bundle --network=host </dev/null
	expect_refusal '--network: "host" is not a network: there are namespace, user and none'
	run_bundle --network=none --publish 80:80 </dev/null
	expect_refusal '--publish: ports are published with --network=user only'
	config '.linux.namespaces += [{type: "network", path: "/no/such/netns"}]'
	run_bundle </dev/null
	expect_refusal 'config.json: linux.namespaces\[[0-9]\].path: /no/such/netns: no such file'
	config '(.linux.namespaces[] | select(.type == "network")).path = "/proc/self/ns/uts"'
	run_bundle </dev/null
	expect_refusal 'config.json: linux.namespaces\[[0-9]\].path: /proc/self/ns/uts: is not a network namespace'
	# A bundle does not choose it for itself.
	new_bundle "$FIXTURES/rootfs"
	config '.annotations["dev.hvrun.network"] = "user"'
	run_bundle </dev/null
	expect_refusal 'annotations\["dev.hvrun.network"\]: not allowed by this host'
	# Nor is what it asks for dropped beside a namespace.
	allow network user
	join "$NS-a"
	status=0
	hvc run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" beside </dev/null >"$OUT" 2>"$ERR" || status=$?
	expect_refusal "annotation dev.hvrun.network=user: config.json: linux.namespaces\[[0-9]\].path asks for the network of /run/netns/$NS-a"
	status=0
	hvc run --network=user --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" beside </dev/null >"$OUT" 2>"$ERR" || status=$?
	expect_refusal "^hvrun: --network=user: config.json: linux.namespaces\\[[0-9]\\].path asks for the network of /run/netns/$NS-a"
}

# hvrun in a host of its own: a network and processes that end with it. The words before -- call it.
on_host() {
	local before=()
	while [ "$1" != -- ]; do
		before+=("$1")
		shift
	done
	status=0
	# shellcheck disable=SC2016
	unshare --net --pid --fork --kill-child --mount-proc bash -euc '
		ip link add eth0 type veth peer name p0
		ip addr add 10.85.9.2/24 dev eth0
		ip link set p0 up
		ip link set eth0 up
		ip route add default via 10.85.9.1
		mount --bind /proc/self/ns/net "$0"
		code=0
		"$@" || code=$?
		exit "$code"' "$BATS_TEST_TMPDIR/host" ${before[@]+"${before[@]}"} timeout --foreground -s KILL "${HVRUN_PATIENCE:-300}" \
		"$HVRUN" --root "$STATE" "${@:2}" --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" host </dev/null >"$OUT" 2>"$ERR" 3>&- || status=$?
}

@test "the host's own network is not for a container" {
	local path
	args sh -c 'grep -c eth0: /proc/net/dev; ip -o -4 addr show dev eth0'
	touch "$BATS_TEST_TMPDIR/host"
	for path in /proc/1/ns/net /proc/self/ns/net "$BATS_TEST_TMPDIR/host"; do
		config '(.linux.namespaces[] | select(.type == "network")).path = $path' --arg path "$path"
		on_host -- run
		expect_refusal "config.json: linux.namespaces\\[[0-9]\\].path: $path: is the host's network, .*--network=user"
	done
	# Nor where pid 1 is out of reach.
	on_host setpriv --inh-caps=-sys_ptrace --bounding-set=-sys_ptrace -- run
	expect_refusal "is the host's network"
	# It is as good as none.
	on_host -- run --network=none
	expect_status 1
	expect_line 0
	on_host -- run --network=user
	expect_status 0
	grep -qF 10.0.2.15 "$OUT"
	echo '{"network": "user"}' >"$BATS_TEST_TMPDIR/hvrun.json"
	on_host -- --config "$BATS_TEST_TMPDIR/hvrun.json" run
	expect_status 0
	grep -qF 10.0.2.15 "$OUT"
	# One that hvrun was put into for it is not the host's.
	veth eth0 1
	join "$NS-a"
	on_host nsenter "--net=/run/netns/$NS-a" -- run
	expect_status 0
	grep -qF 10.85.1.2 "$OUT"
}

# hvrun itself, its caller's network being that of the namespace. CONF: its configuration. RESOLV: its resolv.conf.
user_run() {
	local -a resolv=()
	[ -z "${RESOLV:-}" ] || resolv=(unshare --mount sh -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' "$RESOLV")
	status=0
	at a ${resolv[@]+"${resolv[@]}"} timeout --foreground -s KILL "${HVRUN_PATIENCE:-300}" "$HVRUN" --root "$STATE" ${CONF:+--config "$CONF"} run --network=user "$@" --accel "$HVRUN_ACCEL" \
		--bundle "$BUNDLE" user </dev/null >"$OUT" 2>"$ERR" 3>&- || status=$?
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
	config '.linux.namespaces |= map(select(.type != "network"))'
	veth up0 1
	ip -n "$NS-a" route add default via 10.85.1.1
	ip -n "$NS-a" -6 route add default via fd85:1::1
	settled() { ! at a ip addr show up0 | grep -q tentative; }
	eventually settled
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
		at a python3 "$BATS_TEST_TMPDIR/resolver.py" "$resolver" >"$BATS_TEST_TMPDIR/ready" 3>&- &
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
	config '.linux.namespaces |= map(select(.type != "network"))'
	veth up0 1
	ip -n "$NS-a" route add default via 10.85.1.1
	ip -n "$NS-a" -6 route add default via fd85:1::1
	# Before, passt does without IPv6.
	settled() { ! at a ip addr show up0 | grep -q tentative; }
	eventually settled
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

@test "rates, and who the guest may say that it is" {
	veth eth0 1
	join "$NS-a"
	# What the guard lets through is made anew when an address comes, and packets may be lost meanwhile.
	settled() { ! ip -n "$NS-a" addr show dev eth0 | grep -q tentative; }
	eventually settled
	sleep 0.2
	allow net.antiSpoof true net.rxBytesPerSecond 1000000 net.txBytesPerSecond 2000000
	HVC=hvc box one
	at a tc qdisc show dev hv0 | grep -q 'tbf .*rate 8Mbit'
	at a tc qdisc show dev eth0 | grep -q 'tbf .*rate 16Mbit'
	pings 10.85.1.2
	pings_out one 10.85.1.1
	pings fd85:1::2
	# Another address: nothing of it gets out.
	seen() { at b cat /proc/net/snmp | awk '$1 == "Icmp:" { for (i in name) if (name[i] == "InEchos") print $i; split($0, name, " ") }'; }
	ex one ip addr add 10.85.1.99/24 dev eth0
	ex one ip neigh replace 10.85.1.1 lladdr "$(ip -n "$NS-b" -j link show p1 | jq -r '.[0].address')" dev eth0
	ip -n "$NS-b" neigh replace 10.85.1.2 lladdr "$(ip -n "$NS-a" -j link show eth0 | jq -r '.[0].address')" dev p1
	before=$(seen)
	! ex one busybox ping -I 10.85.1.99 -c 3 -w 3 10.85.1.1 || false
	[ "$(seen)" -eq "$before" ]
	ex one busybox ping -c 3 -w 9 10.85.1.1
	[ "$(seen)" -ge $((before + 3)) ]
	# Its own new address counts as soon as the host gives it.
	ip -n "$NS-a" addr add 10.85.1.99/24 dev eth0
	allowed() { ex one busybox ping -I 10.85.1.99 -c 1 -w 2 10.85.1.1; }
	eventually allowed
	# And the MAC.
	ex one sh -c 'ip link set eth0 down; ip link set eth0 address 02:66:66:66:66:66; ip link set eth0 up'
	before=$(seen)
	! ex one busybox ping -c 2 -w 2 10.85.1.1 || false
	[ "$(seen)" -eq "$before" ]
	hv delete --force one
	no_qdiscs
}

@test "what the guest may not say of IPv6 neighbours and routers" {
	cat >"$BATS_TEST_TMPDIR/say.py" <<-'END'
		# say.py SOURCE na|ra TARGET: an advertisement to all nodes
		import socket, struct, sys
		mac = open("/sys/class/net/eth0/address").read().strip()
		mac = bytes.fromhex(mac.replace(":", ""))
		source, target = (socket.inet_pton(socket.AF_INET6, a) for a in (sys.argv[1], sys.argv[3]))
		group = socket.inet_pton(socket.AF_INET6, "ff02::1")
		if sys.argv[2] == "ra":
		    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + b"\x01\x01" + mac
		else:
		    body = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + target + b"\x02\x01" + mac
		whole = source + group + struct.pack("!II", len(body), 58) + body
		sum = sum(struct.unpack("!%dH" % (len(whole) // 2), whole))
		while sum >> 16:
		    sum = (sum & 0xffff) + (sum >> 16)
		body = body[:2] + struct.pack("!H", ~sum & 0xffff) + body[4:]
		s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
		s.bind(("eth0", 0))
		s.send(b"\x33\x33\0\0\0\x01" + mac + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + source + group + body)
	END
	bind "$BATS_TEST_TMPDIR/say.py" /say.py rbind,ro
	veth eth0 1
	at b sysctl -qw net.ipv6.conf.p1.accept_ra=2
	join "$NS-a"
	settled() { ! ip -n "$NS-a" addr show dev eth0 | grep -q tentative; }
	eventually settled
	local=$(ip -n "$NS-a" -j addr show dev eth0 | jq -r '.[0].addr_info[] | select(.scope == "link").local')
	mac=$(ip -n "$NS-a" -j link show eth0 | jq -r '.[0].address')
	allow net.antiSpoof true
	HVC=hvc box one
	eventually pings fd85:1::2
	believes() { [ "$(ip -n "$NS-b" -j neigh show "$1" | jq -r '.[0].lladdr')" = "$2" ]; }
	ip -n "$NS-b" neigh replace fd85:1::9 lladdr 02:00:00:00:00:09 dev p1 nud stale
	ex one python3 /say.py "$local" na fd85:1::9
	ex one python3 /say.py fd85:1::2 na fd85:1::9
	ex one python3 /say.py fd85:1::9 na fd85:1::9
	ex one python3 /say.py "$local" ra ::
	# What it may: its own, which arrives after those would have.
	ip -n "$NS-b" neigh replace fd85:1::2 lladdr 02:00:00:00:00:09 dev p1 nud stale
	ex one python3 /say.py fd85:1::2 na fd85:1::2
	own() { believes fd85:1::2 "$mac"; }
	eventually own
	believes fd85:1::9 02:00:00:00:00:09
	[ -z "$(ip -n "$NS-b" -6 route show default)" ]
	# Neighbours are found, by global and by link-local addresses.
	ip -n "$NS-b" neigh flush dev p1
	pings fd85:1::2
	at b busybox ping -6 -c 1 -w 5 "$local%p1"
	ex one ip neigh flush dev eth0
	pings_out one fd85:1::1
}

@test "no thread of the monitor is where the host's files are" {
	local pid task tasks
	veth eth0 1
	join "$NS-a"
	box c
	pid=$(hv state c | jq .pid)
	tasks=("/proc/$pid/task"/*)
	# QEMU's files are its own; the monitor's other threads there have begun before it.
	[ "$HVRUN_ACCEL" = kvm ] || tasks=("/proc/$pid/task/$pid")
	for task in "${tasks[@]}"; do
		[ "$(readlink "$task/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ] || fail "$(cat "$task/comm"): in the host's mount namespace"
		[ ! -e "$task/root/etc" ] || fail "$(cat "$task/comm"): the host's root directory"
	done
}
