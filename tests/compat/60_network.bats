# SPDX-License-Identifier: Apache-2.0
# Networks as callers make them: podman's bridge with published ports and names, and containerd's client with
# CNI, which puts the interface into the task's namespace between create and start, or makes the namespace
# before. All bridges, addresses and rules are in a network namespace of the test's own, $NET.
load lib

NET=$NAME-net
CNI=$COMPAT_WORK/cni

setup_file() {
	ip netns add "$NET"
	ip -n "$NET" link set lo up
	# CNI's portmap wants a default route, and something must be behind it.
	ip -n "$NET" link add up0 type veth peer name up1
	ip -n "$NET" addr add 192.0.2.1/24 dev up0
	ip -n "$NET" link set up1 up
	ip -n "$NET" link set up0 up
	ip -n "$NET" route add default via 192.0.2.2
	podman_setup
	mkdir -p "$CNI/net.d" "$CNI/podman"
	sed -e 's/^netns = .*/netns = "bridge"/' "$CONTAINERS_CONF" >"$CNI/containers.conf"
	cat >>"$CNI/containers.conf" <<-END
		[network]
		network_backend = "cni"
		default_network = "$NAME-default"
		network_config_dir = "$CNI/podman"
		cni_plugin_dirs = ["/usr/lib/cni", "/usr/lib/podman", "/usr/libexec/cni"]
	END
	cat >"$CNI/net.d/10-box.conflist" <<-END
		{"cniVersion": "0.4.0", "name": "$NAME", "plugins": [
		  {"type": "bridge", "bridge": "ctr0", "isGateway": true, "ipMasq": false,
		   "ipam": {"type": "host-local", "dataDir": "$CNI/data", "subnet": "10.87.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}},
		  {"type": "portmap", "capabilities": {"portMappings": true}}]}
	END
	containerd_start
	containerd_image
	nginx_image
}

# The image "nginx" for both, of Debian's package.
nginx_image() {
	local oci=$CNI/oci
	umoci init --layout "$oci"
	umoci new --image "$oci:nginx"
	umoci insert --image "$oci:nginx" "$SERVERS/nginx" /
	umoci config --image "$oci:nginx" --config.env PATH=/usr/sbin:/usr/bin:/bin \
		--config.cmd nginx --config.cmd -g --config.cmd 'daemon off;'
	tar -C "$oci" -cf "$CNI/nginx.tar" .
	rm -rf "$oci"
	pod load --quiet --input "$CNI/nginx.tar" >/dev/null
	ctrd image import --index-name import-nginx "$CNI/nginx.tar" >/dev/null
	ctrd image tag --force "$(ctrd image ls --quiet | grep -m 1 ':nginx$')" nginx >/dev/null
	rm -f "$CNI/nginx.tar"
}

setup() {
	podman_setup
	export CONTAINERS_CONF=$CNI/containers.conf
}

teardown_file() {
	load lib
	containerd_stop
	podman_setup
	pod rm --all --force --time 0 >/dev/null
	ip netns del "$NAME-net"
	# What host-local and dnsname keep where no configuration leads.
	rm -rf "/var/lib/cni/networks/$NAME" "/var/lib/cni/networks/$NAME-default" "/run/containers/cni/dnsname/$NAME"
	nothing_left
}

# In the test's network, with what is mounted as it is.
there() {
	nsenter "--net=/run/netns/$NET" "$@"
}

# podman in that network; its bridges are there.
net_pod() {
	there timeout --foreground -s KILL "$PATIENCE" podman --root "$COMPAT_WORK/podman/root" \
		--runroot "$COMPAT_WORK/podman/runroot" --tmpdir "$COMPAT_WORK/podman/tmp" \
		--storage-driver "${COMPAT_STORAGE:-overlay}" "$@" 3>&- 4>&-
}

# What a web server there says, by bash alone: fetch HOST PORT
fetch() {
	there timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"; printf "GET / HTTP/1.0\r\n\r\n" >&3; sed "1,/^\r*\$/d" <&3' "$1" "$2"
}

fetched() {
	[ "$(fetch "$1" "$2")" = "$3" ]
}

welcomed() {
	fetch "$1" "$2" | grep -q 'Welcome to nginx!'
}

@test "podman run: its bridge network, addresses and routes as podman made them" {
	expect 0 net_pod run --rm --cgroup-parent "/$NAME" box sh -c 'ip -4 -o addr show eth0; ip route; cat /etc/resolv.conf'
	has "$output" 'inet 10.88.'
	has "$output" 'default via 10.88.0.1 dev eth0'
}

@test "podman run -p: a web server, reached by its published port" {
	expect 0 net_pod run --detach --name web --publish 8080:80 --cgroup-parent "/$NAME" box \
		sh -c 'echo served >/srv/data/index.html; exec httpd -f -p 80 -h /srv/data'
	local ip
	ip=$(net_pod inspect --format '{{.NetworkSettings.IPAddress}}' web)
	eventually fetched "$ip" 80 served
	eventually fetched 192.0.2.1 8080 served
	expect 0 net_pod exec web ip -o link show eth0
	expect 0 net_pod stop --time 1 web
	expect 0 net_pod start web
	eventually fetched 192.0.2.1 8080 served
	expect 0 net_pod rm --force --time 0 web
}

@test "podman: containers of one network reach one another, by name where dnsname is installed" {
	expect 0 net_pod network create "$NAME"
	expect 0 net_pod run --detach --name one --network "$NAME" --cgroup-parent "/$NAME" box \
		sh -c 'echo of one >/srv/data/index.html; exec httpd -f -p 80 -h /srv/data'
	local ip
	ip=$(net_pod inspect --format "{{(index .NetworkSettings.Networks \"$NAME\").IPAddress}}" one)
	eventually fetched "$ip" 80 'of one'
	expect 0 net_pod run --rm --network "$NAME" --cgroup-parent "/$NAME" box \
		sh -c '{ printf "GET / HTTP/1.0\r\n\r\n"; sleep 2; } | nc "$0" 80' "$ip"
	has "$output" 'of one'
	if [ -x /usr/lib/cni/dnsname ]; then
		expect 0 net_pod run --rm --network "$NAME" --cgroup-parent "/$NAME" box nslookup one
		has "$output" "$ip"
	fi
	expect 0 net_pod rm --force --time 0 one
	expect 0 net_pod network rm "$NAME"
}

@test "podman: nginx, asked by another container and through its published port" {
	local ip name=web
	expect 0 net_pod network create "$NAME"
	expect 0 net_pod run --detach --name web --network "$NAME" --publish 8081:80 --cgroup-parent "/$NAME" nginx
	ip=$(net_pod inspect --format "{{(index .NetworkSettings.Networks \"$NAME\").IPAddress}}" web)
	eventually welcomed "$ip" 80
	eventually welcomed 192.0.2.1 8081
	[ -x /usr/lib/cni/dnsname ] || name=$ip
	expect 0 net_pod run --rm --network "$NAME" --cgroup-parent "/$NAME" nginx wget -q -O - "http://$name/"
	has "$output" 'Welcome to nginx!'
	expect 0 net_pod exec web cat /var/log/nginx/access.log
	has "$output" '"GET / HTTP/1.1" 200'
	expect 0 net_pod rm --force --time 0 web
	expect 0 net_pod network rm "$NAME"
}

@test "podman run --network none: loopback alone" {
	expect 0 net_pod run --rm --network none --cgroup-parent "/$NAME" box sh -c 'ip -o addr; ip route; ping -c 1 -w 5 127.0.0.1 >/dev/null && echo up'
	has "$output" 127.0.0.1
	has "$output" up
	[[ $output != *eth0* ]] || is_vm || fail "$output"
	[[ $output != *default* ]] || fail "$output"
}

# ctr with --cni looks for plugins and configurations where no option leads: so in mounts of its own.
cni_ctr() {
	there unshare --mount sh -euc 'cni=$1 sock=$2; shift 2
		mkdir -p /etc/cni /opt/cni
		mount -t tmpfs none /etc/cni && mount -t tmpfs none /opt/cni
		mkdir /etc/cni/net.d /opt/cni/bin
		cp "$cni"/net.d/* /etc/cni/net.d; cp /usr/lib/cni/* /opt/cni/bin
		exec timeout --foreground -s KILL 60 ctr --address "$sock" "$@"' sh "$CNI" "$CONTAINERD/sock" "$@" 3>&- 4>&-
}

@test "ctr run --cni: an interface by bridge and host-local, put there after create" {
	expect 0 cni_ctr run --rm --cni --runtime io.containerd.runc.v2 --runc-binary "$COMPAT_RUNTIME" \
		--runc-root "$COMPAT_WORK/state/containerd" --cgroup "/$NAME/cni" box cni \
		sh -c 'ip -4 -o addr show eth0; ip route; ping -c 1 -w 5 10.87.0.1 >/dev/null && echo reached'
	has "$output" 'inet 10.87.0.'
	has "$output" 'default via 10.87.0.1 dev eth0'
	has "$output" reached
}

# cni ADD|DEL ID PORT: what an orchestrator does by bridge, host-local and portmap for /run/netns/ID; its address
# on stdout.
cni() {
	local command=$1 id=$2 port=$3 result bridge portmap
	bridge=$(jq '.plugins[0] + {cniVersion, name}' "$CNI/net.d/10-box.conflist")
	portmap=$(jq --argjson port "$port" '{cniVersion, name, type: "portmap",
		runtimeConfig: {portMappings: [{hostPort: $port, containerPort: 80, protocol: "tcp"}]}}' "$CNI/net.d/10-box.conflist")
	if [ "$command" = DEL ]; then
		cni_plugin portmap "$command" "$id" <<<"$portmap"
		cni_plugin bridge "$command" "$id" <<<"$bridge"
		return
	fi
	result=$(cni_plugin bridge "$command" "$id" <<<"$bridge")
	jq --argjson result "$result" '. + {prevResult: $result}' <<<"$portmap" |
		cni_plugin portmap "$command" "$id" | jq -r '.ips[0].address | sub("/.*"; "")'
}

cni_plugin() {
	there env CNI_COMMAND="$2" CNI_CONTAINERID="$3" CNI_NETNS="/run/netns/$3" CNI_IFNAME=eth0 \
		CNI_PATH=/usr/lib/cni "/usr/lib/cni/$1"
}

@test "ctr run in a namespace by bridge, host-local and portmap: nginx, asked by another container and through its port" {
	local ip id=$NAME-web
	ip netns add "$id"
	ip=$(cni ADD "$id" 8082)
	expect 0 ctrd run --detach --runtime io.containerd.runc.v2 --runc-binary "$COMPAT_RUNTIME" \
		--runc-root "$COMPAT_WORK/state/containerd" --cgroup "/$NAME/web" --with-ns "network:/run/netns/$id" nginx web
	eventually welcomed "$ip" 80
	eventually welcomed 192.0.2.1 8082
	expect 0 cni_ctr run --rm --cni --runtime io.containerd.runc.v2 --runc-binary "$COMPAT_RUNTIME" \
		--runc-root "$COMPAT_WORK/state/containerd" --cgroup "/$NAME/cni" nginx client wget -q -O - "http://$ip/"
	has "$output" 'Welcome to nginx!'
	expect 0 ctrd task kill --signal KILL web
	gone() { [ "$(ctrd task ls | awk '$1 == "web" { print $3 }')" != RUNNING ]; }
	eventually gone
	expect 0 ctrd task rm web
	expect 0 ctrd container rm web
	cni DEL "$id" 8082
	ip netns del "$id"
}
