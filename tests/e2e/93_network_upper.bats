# SPDX-License-Identifier: Apache-2.0
# Interfaces that stand on others, and VRFs. The kernel here may lack them: with KVM, in kvmbox, it has them.
load lib
load network

# upper NAME NUMBER TYPE...: on eth0 of the container's namespace, 10.85.NUMBER.2 and fd85:NUMBER::2
upper() {
	ip -n "$NS-a" link add "$1" link eth0 type "${@:3}"
	ip -n "$NS-a" addr add "10.85.$2.2/24" brd + dev "$1"
	ip -n "$NS-a" addr add "fd85:$2::2/64" dev "$1" nodad
	ip -n "$NS-a" link set "$1" up
}

# outside DEVICE NUMBER: whom these talk to
outside() {
	ip -n "$NS-b" addr add "10.85.$2.1/24" brd + dev "$1"
	ip -n "$NS-b" addr add "fd85:$2::1/64" dev "$1" nodad
	ip -n "$NS-b" link set "$1" up
}

# talk NUMBER: both ways
talk() {
	pings "10.85.$1.2"
	pings "fd85:$1::2"
	pings_out one "10.85.$1.1"
	pings_out one "fd85:$1::1"
}

# bats test_tags=kvm
@test "VLAN and MACVLAN interfaces on one that is the container's as well" {
	local number
	BEFORE=$(leftovers)
	veth eth0 1
	for number in 5 7; do
		ip -n "$NS-b" link add "p1.$number" link p1 type vlan id "$number"
		outside "p1.$number" "$number"
	done
	outside p1 6
	upper eth0.5 5 vlan id 5
	upper m0 6 macvlan mode bridge
	join "$NS-a"
	allow net.antiSpoof true
	HVC=hvc box one
	eventually talk 1
	eventually talk 5
	eventually talk 6
	shows one eth0.5 "$(ip -n "$NS-a" -j link show eth0.5 | jq -r '.[0].address')"
	shows one m0 "$(ip -n "$NS-a" -j link show m0 | jq -r '.[0].address')"
	[ ! -s "$ERR" ]
	# One that comes later; one that goes.
	upper eth0.7 7 vlan id 7
	eventually talk 7
	ip -n "$NS-a" link del m0
	gone() { ! ex one ip link show dev m0; }
	eventually gone
	talk 1
	talk 5
	hv delete --force one
	nothing_left
}

# bats test_tags=kvm
@test "VRFs, as the CNI plug-in makes them: networks with the same addresses" {
	local side
	modprobe vrf
	for side in b c; do
		[ "$side" = b ] || ip netns add "$NS-$side"
		ip -n "$NS-a" link add "to-$side" type veth peer name in netns "$NS-$side"
		ip -n "$NS-$side" link set in up
		ip -n "$NS-$side" addr add 10.85.1.1/24 dev in
		ip -n "$NS-a" link set "to-$side" up
		ip -n "$NS-a" addr add 10.85.1.2/24 brd + dev "to-$side"
		jq -n --arg of "$side" --arg ns "/run/netns/$NS-a" '{
			cniVersion: "0.4.0", name: "vrfs", type: "vrf", vrfname: ("vrf-" + $of),
			prevResult: {
				cniVersion: "0.4.0",
				interfaces: [{name: ("to-" + $of), sandbox: $ns}],
				ips: [{version: "4", address: "10.85.1.2/24", interface: 0}]
			}}' | env CNI_COMMAND=ADD CNI_CONTAINERID=one "CNI_NETNS=/run/netns/$NS-a" "CNI_IFNAME=to-$side" \
			CNI_PATH=/usr/lib/cni /usr/lib/cni/vrf >/dev/null
	done
	for side in b c; do
		ip -n "$NS-a" route add default via 10.85.1.1 vrf "vrf-$side"
		mkdir "$BATS_TEST_TMPDIR/$side"
		echo "of $side" >"$BATS_TEST_TMPDIR/$side/file"
		ip -n "$NS-$side" addr add 10.85.99.1/32 dev in
		serve "$side" 6000 "$BATS_TEST_TMPDIR/$side"
	done
	# `ip vrf exec` needs more capabilities than this.
	cat >"$BATS_TEST_TMPDIR/ask.py" <<-'END'
		# ask.py VRF: what is served there
		import socket, sys
		s = socket.socket()
		s.settimeout(10)
		s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, sys.argv[1].encode())
		s.connect(("10.85.99.1", 6000))
		s.send(b"GET /file HTTP/1.0\r\n\r\n")
		print(s.makefile().read().splitlines()[-1])
	END
	bind "$BATS_TEST_TMPDIR/ask.py" /ask.py rbind,ro
	asks() { [ "$(ex one python3 /ask.py "vrf-$1")" = "of $1" ]; }
	join "$NS-a"
	box one
	[ ! -s "$ERR" ]
	for side in b c; do
		asks "$side"
		at "$side" busybox ping -c 3 -w 6 10.85.1.2
	done
	# Taken out of it, and put back.
	ip -n "$NS-a" link set to-c nomaster
	out() { ! ex one ip link show dev to-c | grep -q master; }
	eventually out
	ip -n "$NS-a" link set to-c master vrf-c
	ip -n "$NS-a" route add default via 10.85.1.1 vrf vrf-c
	eventually asks c
	asks b
	ip -n "$NS-a" link del vrf-b
	gone() { ! ex one ip link show dev vrf-b; }
	eventually gone
}

# bats test_tags=kvm
@test "IPVLAN interfaces, as the CNI plug-in makes them: modes l2 and l3" {
	local mode mac
	modprobe ipvlan
	ip netns add "$NS-c"
	ip -n "$NS-b" link add l0 type veth peer name l1 netns "$NS-c"
	ip -n "$NS-b" link set l0 up
	ip -n "$NS-b" addr add 10.85.1.3/24 dev l0
	ip -n "$NS-c" addr add 10.85.1.1/24 dev l1
	ip -n "$NS-c" link set l1 up
	mac=$(ip -n "$NS-b" -j link show l0 | jq -r '.[0].address')
	join "$NS-a"
	for mode in l2 l3; do
		ip -n "$NS-b" link add link l0 name eth0 netns "$NS-a" type ipvlan mode "$mode"
		ip -n "$NS-a" addr add 10.85.1.2/24 brd + dev eth0
		ip -n "$NS-a" link set eth0 up
		[ "$mode" = l2 ] || ip -n "$NS-c" neigh replace 10.85.1.2 lladdr "$mac" dev l1 nud permanent
		box one
		shows one eth0 "$mac"
		at c busybox ping -c 3 -w 9 10.85.1.2
		pings_out one 10.85.1.1
		hv delete --force one
		ip -n "$NS-a" link del eth0
		ip -n "$NS-c" neigh flush all
	done
	nothing_left
}
