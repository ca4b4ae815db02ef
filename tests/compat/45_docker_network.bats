# SPDX-License-Identifier: Apache-2.0
# dockerd's own networks: bridges in a network namespace of this file, where dockerd is, and the resolver that Docker puts
# into the loopback of its containers' namespaces.
load lib

NS="$NAME-docker"

setup_file() {
	ip netns add "$NS"
	ip -n "$NS" link set lo up
	containerd_start
	dockerd_start nsenter "--net=/run/netns/$NS" || { tail -n 3 "$DOCKERD/log" >&2; return 1; }
	tar -C "$COMPAT_WORK/rootfs" -c . | dock import --change 'CMD ["/bin/sh"]' --change 'ENV PATH=/bin' - box >/dev/null
}

teardown_file() {
	load lib
	dock rm --force web >/dev/null 2>&1
	stop_daemon "$DOCKERD/pid"
	containerd_stop
	ip netns del "$NS"
}

dock_on_one() {
	dock run --runtime compat --network one "$@"
}

# What a web server there says, by bash alone: fetch HOST PORT
fetch() {
	nsenter "--net=/run/netns/$NS" timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"; printf "GET / HTTP/1.0\r\n\r\n" >&3
		sed "1,/^\r*\$/d" <&3' "$1" "$2"
}

@test "docker network create: containers find each other by name, also after start, and the host one by --publish" {
	local ip
	expect 0 dock network create one
	dock_on_one --name web --publish 5080:80 --detach box sh -c '
		echo served >/srv/data/index.html; exec httpd -f -p 80 -h /srv/data'
	ip=$(dock inspect --format '{{.NetworkSettings.Networks.one.IPAddress}}' web)
	expect 0 dock_on_one --rm box cat /etc/resolv.conf
	has "$output" 'nameserver 127.0.0.11'
	expect 0 dock_on_one --rm box sh -c 'nslookup web && wget -q -O - "http://$0/"' "$ip"
	has "$output" "Address: $ip"
	has "$output" served
	expect 1 dock exec web nslookup no-such-name
	served() { [ "$(fetch 127.0.0.1 5080)" = served ]; }
	eventually served
	dock stop --time 1 web
	dock start web
	expect 0 dock exec web nslookup web
	has "$output" "Address: $ip"
	expect 0 dock rm --force web
}

@test "nothing is left" {
	nothing_left
}
