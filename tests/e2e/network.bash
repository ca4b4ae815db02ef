# SPDX-License-Identifier: Apache-2.0
# What the tests of the network share. Everything is in network namespaces that a test makes, $NS-a for the container
# and $NS-b for whom it talks to.

setup() {
	BUNDLE="$BATS_TEST_TMPDIR/bundle"
	STATE="$BATS_TEST_TMPDIR/state"
	ERR="$BATS_TEST_TMPDIR/stderr"
	OUT="$BATS_TEST_TMPDIR/stdout"
	NS="hvt$$-$BATS_TEST_NUMBER"
	BOXES=()
	PIDS=()
	mkdir -p "$BUNDLE" "$STATE"
	new_bundle "$FIXTURES/rootfs"
	# What Debian's base system lacks: ping, nc.
	bind /bin/busybox /usr/local/bin/busybox rbind,ro
	bind "$HELPERS/streams" /usr/local/bin/streams rbind,ro
	grant CAP_NET_RAW CAP_NET_ADMIN
	for side in a b; do
		ip netns add "$NS-$side"
		ip -n "$NS-$side" link set lo up
	done
}

teardown() {
	local box pid name
	for box in ${BOXES[@]+"${BOXES[@]}"}; do
		hv delete --force "$box" >/dev/null 2>&1 || true
	done
	for pid in ${PIDS[@]+"${PIDS[@]}"}; do
		kill -KILL "$pid" 2>/dev/null || true
	done
	for name in $(ip netns list | awk -v ns="$NS-" 'index($1, ns) == 1 { print $1 }'); do
		ip netns del "$name"
	done
}

# inside of a namespace, without `ip netns exec`, which would hide the host's cgroups
at() {
	local side=$1
	shift
	nsenter "--net=/run/netns/$NS-$side" "$@"
}

# veth NAME NUMBER [MTU]: an interface of the container's namespace, 10.85.NUMBER.2 and fd85:NUMBER::2; its other
# end is pNUMBER in the other, with .1 and ::1
veth() {
	local mtu=${3:-1500}
	ip -n "$NS-a" link add "$1" mtu "$mtu" type veth peer name "p$2" mtu "$mtu" netns "$NS-b"
	ip -n "$NS-b" addr add "10.85.$2.1/24" dev "p$2"
	ip -n "$NS-b" addr add "fd85:$2::1/64" dev "p$2" nodad
	ip -n "$NS-b" link set "p$2" up
	ip -n "$NS-a" addr add "10.85.$2.2/24" brd + dev "$1"
	ip -n "$NS-a" addr add "fd85:$2::2/64" dev "$1" nodad
	ip -n "$NS-a" link set "$1" up
}

# An interface of the container's namespace has its link-local address, and nobody else has any of them.
settled() {
	ip -n "$NS-a" -6 addr show dev "$1" >"$OUT.addr"
	grep -q 'scope link' "$OUT.addr" && ! grep -q tentative "$OUT.addr"
}

# The container joins a namespace.
join() {
	config '(.linux.namespaces[] | select(.type == "network")).path = $path' --arg path "/run/netns/$1"
}

# The host's configuration allows annotations: allow NAME VALUE...
allow() {
	local names=()
	while [ $# -gt 0 ]; do
		names+=("$1")
		config '.annotations["dev.hvrun." + $name] = $value' --arg name "$1" --arg value "$2"
		shift 2
	done
	jq -n '{annotations: $ARGS.positional}' --args "${names[@]}" >"$BATS_TEST_TMPDIR/hvrun.json"
}

hvc() {
	hv --config "$BATS_TEST_TMPDIR/hvrun.json" "$@"
}

# sleeper ID: the bundle is of a container that sleeps, in a cgroup that no other test has
sleeper() {
	BOXES+=("$1")
	args sleep 100000
	config '.linux.cgroupsPath = $path' --arg path "/$NS-$1"
}

# box ID: a container of the bundle that sleeps, in the background.
box() {
	sleeper "$1"
	status=0
	${HVC:-hv} run --detach --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" "$1" </dev/null >"$OUT" 2>"$ERR" 3>&- || status=$?
	expect_status 0
}

ex() {
	local id=$1
	shift
	hv exec "$id" "$@" </dev/null
}

# One packet may be lost while an interface is changed: its IPv6 address comes of itself at some time.
pings() {
	at b busybox ping -c 3 -w 6 "$1"
}

pings_out() {
	ex "$1" busybox ping -c 3 -w 6 "$2"
}

# Text in what the container shows of an interface.
shows() {
	ex "$1" ip addr show dev "$2" | grep -qF -- "$3"
}

# A program that prints what http://HOST:PORT/PATH is, by bash alone: get HOST PORT PATH
GET='exec 3<>"/dev/tcp/$0/$1"; printf "GET %s HTTP/1.0\r\n\r\n" "$2" >&3; sed "1,/^\r*\$/d" <&3'

# How many sockets of a side listen.
listeners() {
	at "$1" cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == "0A"' | wc -l
}

one_more_listens() {
	[ "$(listeners "$1")" -gt "$2" ]
}

# begin SIDE COMMAND...: a server in the background, until the test ends; it listens afterwards
begin() {
	local side=$1 before
	before=$(listeners "$1")
	shift
	nsenter "--net=/run/netns/$NS-$side" "$@" 3>&- &
	PIDS+=($!)
	eventually one_more_listens "$side" "$before"
}

# serve SIDE PORT DIR: a web server in a namespace
serve() {
	begin "$1" busybox httpd -f -p "$2" -h "$3"
}

# What may be seen of this test's runs but mounts, which others make, too.
leftovers() {
	local pid
	for pid in $(grep -lzxF -- "BATS_RUN_TMPDIR=$BATS_RUN_TMPDIR" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3); do
		grep -E '^(hvrun|qemu-system|passt)' "/proc/$pid/comm"
	done 2>/dev/null | sort | uniq -c
	ls -A "$STATE" | grep -vE 'kvm-works|cgroups.lock' || true
	grep -F -- "$STATE" /proc/net/unix || true
}

alive() {
	[[ $(ps -o stat= -p "$1") != @(|Z*) ]]
}

# A process is in the cgroups of another, and these are not ours.
same_cgroups() {
	[ "$(cat "/proc/$1/cgroup")" = "$(cat "/proc/$2/cgroup")" ] || fail "$(cat "/proc/$1/cgroup")"
	! diff -q "/proc/$1/cgroup" "/proc/$$/cgroup" >/dev/null || fail "the caller's: $(cat "/proc/$1/cgroup")"
}

no_qdiscs() {
	! at a tc qdisc show | grep -qE 'ingress|clsact|tbf'
}

no_taps() {
	! ip -n "$NS-a" -o link | grep -qE ': hv[0-9]'
}

nothing_left() {
	no_qdiscs || fail "qdiscs are left: $(at a tc qdisc show)"
	no_taps || fail "taps are left"
	[ -z "$(leftovers)" ] || [ "$(leftovers)" = "$BEFORE" ] || fail "$(diff <(echo "$BEFORE") <(leftovers))"
}
