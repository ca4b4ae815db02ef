# SPDX-License-Identifier: Apache-2.0
# What is between an interface and the guest's device: which frames it lets pass, either way, how fast, and that it holds.
load lib
load network

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
	nsenter "--net=/run/netns/$NS-b" python3 "$BATS_TEST_TMPDIR/group.py" send 10.85.1.1 3>&- &
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
	nsenter "--net=/run/netns/$NS-b" python3 "$BATS_TEST_TMPDIR/group.py" send 10.85.1.1 3>&- &
	PIDS+=($!)
	[ "$(ex one timeout 20 python3 /group.py receive 10.85.1.2)" = 'to the group' ]
	hv delete --force one
	! ip -n "$NS-a" link show dev eth0 | grep -q ALLMULTI || fail "all groups are still received"
}

@test "what keeps an interface's addresses reaches the namespace's own stack: router advertisements, others' addresses, DHCP" {
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
	nsenter "--net=/run/netns/$NS-b" python3 "$BATS_TEST_TMPDIR/router.py" 3>&- &
	PIDS+=($!)
	inside() { shows one eth0 'inet6 fd86:'; }
	eventually inside
	ip -n "$NS-a" addr show dev eth0 | grep -q 'inet6 fd86:'
	routed() { ex one ip -6 route show default | grep -q 'via fe80:.* dev eth0'; }
	eventually routed
	nsenter "--net=/run/netns/$NS-b" python3 "$BATS_TEST_TMPDIR/server.py" 3>&- &
	PIDS+=($!)
	for kind in packet 68 546; do
		[ "$(at a python3 "$BATS_TEST_TMPDIR/lease.py" "$kind")" = "$(printf 'listens\nport!')" ] || fail "$kind"
	done
	# An address that another has already is found out, and the container loses it.
	ip -n "$NS-b" addr add fd85:1::50/64 dev p1 nodad
	ip -n "$NS-a" addr add fd85:1::50/64 dev eth0
	failed() { ip -n "$NS-a" addr show dev eth0 | grep -q 'fd85:1::50/64 .*dadfailed'; }
	eventually failed
	taken() { ! shows one eth0 fd85:1::50; }
	eventually taken
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

@test "rates, and who the guest may say that it is" {
	veth eth0 1
	join "$NS-a"
	# What the guard lets through is made anew when an address comes, and packets may be lost meanwhile.
	eventually settled eth0
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

# believes ADDRESS MAC: so the other side has it
believes() {
	[ "$(ip -n "$NS-b" -j neigh show "$1" | jq -r '.[0].lladdr')" = "$2" ]
}

@test "what the guest may not say by ARP" {
	cat >"$BATS_TEST_TMPDIR/say.py" <<-'END'
		# say.py ADDRESS: to all, that the address is here
		import socket, sys
		mac = bytes.fromhex(open("/sys/class/net/eth0/address").read().strip().replace(":", ""))
		address = socket.inet_aton(sys.argv[1])
		s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
		s.bind(("eth0", 0))
		s.send(b"\xff" * 6 + mac + b"\x08\x06\0\1\x08\0\6\4\0\2" + mac + address + b"\xff" * 6 + address)
	END
	bind "$BATS_TEST_TMPDIR/say.py" /say.py rbind,ro
	veth eth0 1
	join "$NS-a"
	allow net.antiSpoof true
	HVC=hvc box one
	eventually pings 10.85.1.2
	ip -n "$NS-b" neigh replace 10.85.1.9 lladdr 02:00:00:00:00:09 dev p1 nud stale
	ip -n "$NS-b" neigh replace 10.85.1.2 lladdr 02:00:00:00:00:02 dev p1 nud stale
	ex one python3 /say.py 10.85.1.9
	# What it may, which arrives after those would have.
	ex one python3 /say.py 10.85.1.2
	eventually believes 10.85.1.2 "$(ip -n "$NS-a" -j link show eth0 | jq -r '.[0].address')"
	believes 10.85.1.9 02:00:00:00:00:09
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
	eventually settled eth0
	local=$(ip -n "$NS-a" -j addr show dev eth0 | jq -r '.[0].addr_info[] | select(.scope == "link").local')
	mac=$(ip -n "$NS-a" -j link show eth0 | jq -r '.[0].address')
	allow net.antiSpoof true
	HVC=hvc box one
	eventually pings fd85:1::2
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
