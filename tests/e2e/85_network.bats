# SPDX-License-Identifier: Apache-2.0
# The network of a container: namespaces with interfaces, and changes to them.
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
	same_cgroups "$(jq .watcher.pid "$STATE/one/state.json")" "$(hv state one | jq .pid)"
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
	local watcher
	veth eth0 1
	join "$NS-a"
	box one
	pings 10.85.1.2
	ip -n "$NS-a" link set eth0 down
	down() { ! ex one ip -o link show up | grep -q ' eth0: '; }
	eventually down
	ip -n "$NS-a" link set eth0 up
	eventually pings 10.85.1.2
	watcher=$(jq .watcher.pid "$STATE/one/state.json")
	kill -STOP "$watcher"
	ip -n "$NS-a" link set hv0 down
	! at b busybox ping -c 1 -w 1 10.85.1.2 || false
	[ "$HVRUN_ACCEL" = emulation ] || eventually shows one eth0 NO-CARRIER
	# It is brought up again.
	kill -CONT "$watcher"
	eventually pings 10.85.1.2
	! shows one eth0 NO-CARRIER || false
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
