# SPDX-License-Identifier: Apache-2.0
# Much at once through the network of a container, and many containers with networks.
load lib
load network

# A gigabyte, or what a box of software carries in the same time.
MUCH=1000000000
[ -z "${HVRUN_SLOW_BOX:-}" ] || MUCH=20000000
MUCH=${HVRUN_NET_BYTES:-$MUCH}

@test "TCP: a thousand connections at once, and a gigabyte each way on one; every byte is compared" {
	veth eth0 1
	join "$NS-a"
	config '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 4096, hard: 4096}]'
	box one
	ex one streams echo 5002 3>&- &
	PIDS+=($!)
	answers() { at b "$HELPERS/streams" check 10.85.1.2 5002 1 1; }
	eventually answers
	at b "$HELPERS/streams" check 10.85.1.2 5002 1000 "$((MUCH / 10000))"
	at b "$HELPERS/streams" check fd85:1::2 5002 1 "$MUCH"
	# From inside.
	begin b "$HELPERS/streams" echo 5003
	ex one streams check 10.85.1.1 5003 1000 "$((MUCH / 10000))"
}

# iperf3 outside, and what it says of all streams: sent and received, in bytes. Its receiver does not count what is
# on the way when the sender says that it is through, so more is sent than is asked for.
iperf() {
	local lib=$SERVERS/iperf3/lib/x86_64-linux-gnu
	at b timeout 300 "$lib/ld-linux-x86-64.so.2" --library-path "$lib:$SERVERS/iperf3/usr/lib/x86_64-linux-gnu" \
		"$SERVERS/iperf3/usr/bin/iperf3" --client 10.85.1.2 --bytes "$((MUCH + MUCH / 50 + 16000000))" --json "$@" >"$BATS_TEST_TMPDIR/said"
	jq -e --argjson much "$MUCH" '.end | .sum_sent.bytes >= $much and .sum_received.bytes >= $much' "$BATS_TEST_TMPDIR/said" ||
		fail "$(jq -c .end "$BATS_TEST_TMPDIR/said")"
}

@test "iperf3: a gigabyte each way" {
	veth eth0 1
	join "$NS-a"
	config '.root = {path: $root, readonly: true}' --arg root "$SERVERS/iperf3"
	config '.mounts |= map(select(.destination | startswith("/usr/local") | not))
		+ [{type: "tmpfs", destination: "/tmp", source: "tmpfs"}]'
	BOXES+=(one)
	args /usr/bin/iperf3 --server --forceflush
	hv run --detach --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" one </dev/null >"$OUT" 2>"$ERR" 3>&-
	eventually grep -q listening "$OUT"
	iperf
	iperf --reverse
}

@test "nothing is left, whoever is killed, and after many runs" {
	BEFORE=$(leftovers)
	veth eth0 1
	join "$NS-a"
	args true
	for ((i = 0; i < ${HVRUN_RUNS:-8}; i++)); do
		run_bundle </dev/null
		expect_status 0
		nothing_left
	done
	for victim in monitor watcher fs; do
		box "k$victim"
		kill -KILL "$(jq ".$victim.pid" "$STATE/k$victim/state.json")"
		# Without its wires' end the interface is the host's again.
		[ "$victim" = watcher ] || eventually no_qdiscs
		[ "$victim" = watcher ] || eventually no_taps
		hv delete --force "k$victim"
		nothing_left
	done
	# The creator itself, while the container runs.
	args sleep 100000
	"$HVRUN" --root "$STATE" run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" killed </dev/null >"$OUT" 2>"$ERR" 3>&- &
	pid=$!
	running() { [ "$(hv state killed | jq -r .status)" = running ]; }
	eventually running
	kill -KILL "$pid"
	eventually no_qdiscs
	eventually no_taps
	away() { ! hv state killed; }
	eventually away
	eventually nothing_left
}

# All that networks leave in the namespaces of this test and on the host, as text: interfaces, qdiscs, filters,
# namespaces, processes, state.
traces() {
	local name link
	for name in $(ip netns list | awk -v ns="$NS-" 'index($1, ns) == 1 { print $1 }' | sort); do
		echo "namespace $name"
		ip -n "$name" -o link | sed 's/ qdisc [a-z_]*//; s/ state [A-Z]*//'
		tc -n "$name" qdisc show | sort
		for link in $(ip -n "$name" -o link | sed 's/^[0-9]*: \([^:@]*\).*/\1/'); do
			tc -n "$name" filter show dev "$link" ingress 2>/dev/null || true
		done
	done
	leftovers
}

# storm SIDE FIRST STEP END: runs in a namespace, one after the other, by wires and by passt. Each number says which
# kind it is, whom SIGKILL hits and when.
storm() {
	local side=$1 i id pid victim net
	for ((i = $2; i < $4; i += $3)); do
		id=storm-$i
		net=$([ $((i / 2 % 4)) -eq 3 ] && echo user || echo namespace)
		BUNDLE=$BATS_TEST_TMPDIR/$net-$side
		args sleep 100000
		local -a run=(nsenter "--net=/run/netns/$NS-$side" "$HVRUN" --root "$STATE" run --network="$net"
			--accel "$HVRUN_ACCEL" --bundle "$BUNDLE")
		case $((i / 2 % 5)) in
		0 | 1) # left in peace
			args true
			"${run[@]}" "$id" || fail "$id: exit code $?" || return 1
			;;
		2 | 3) # the creator, at some moment of its life
			"${run[@]}" "$id" &
			pid=$!
			sleep "$((i * 7 % 20 / 10)).$((i * 7 % 10))"
			kill -KILL "$pid" 2>/dev/null || true
			wait "$pid" || true
			;;
		4) # one of those that run it
			"${run[@]}" --detach "$id" || fail "$id: exit code $?" || return 1
			victim=$(jq -r --argjson i "$i" '[.monitor, .fs, .watcher, .passt] | map(select(.)) | .[($i / 10 | floor) % length].pid' \
				"$STATE/$id/state.json")
			kill -KILL "$victim"
			;;
		esac
		hv delete --force "$id"
	done </dev/null >"$BATS_TEST_TMPDIR/storm-$side" 2>&1 3>&-
}

@test "nothing is left after many runs, four at a time, a part of them killed" {
	local runs=${HVRUN_RUNS:-20} side n=0 workers=()
	for side in c d e f; do
		ip netns add "$NS-$side"
		ip -n "$NS-$side" link set lo up
		ip -n "$NS-b" link add "p$side" type veth peer name eth0 netns "$NS-$side"
		ip -n "$NS-$side" addr add "10.85.$((++n)).2/24" dev eth0
		ip -n "$NS-$side" link set eth0 up
		ip -n "$NS-b" link set "p$side" up
		ip -n "$NS-$side" route add default via "10.85.$n.1"
		mkdir "$BATS_TEST_TMPDIR/user-$side" "$BATS_TEST_TMPDIR/namespace-$side"
		jq '.linux.namespaces |= map(select(.type != "network"))' "$BUNDLE/config.json" >"$BATS_TEST_TMPDIR/user-$side/config.json"
		jq --arg path "/run/netns/$NS-$side" '(.linux.namespaces[] | select(.type == "network")).path = $path' \
			"$BUNDLE/config.json" >"$BATS_TEST_TMPDIR/namespace-$side/config.json"
	done
	[ -z "${HVRUN_SLOW_BOX:-}" ] || runs=${HVRUN_RUNS:-8}
	sleep 2 # addresses come by themselves
	BEFORE=$(traces)
	n=0
	for side in c d e f; do
		storm "$side" "$n" 4 "$runs" &
		workers+=($!)
		n=$((n + 1))
	done
	for side in c d e f; do
		wait "${workers[0]}" || fail "$(cat "$BATS_TEST_TMPDIR/storm-$side")"
		workers=("${workers[@]:1}")
	done
	same() { [ "$(traces)" = "$BEFORE" ]; }
	eventually same || fail "$(diff <(echo "$BEFORE") <(traces))"
}
