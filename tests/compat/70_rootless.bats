# SPDX-License-Identifier: Apache-2.0
# An ordinary user: hvrun by itself, and rootless podman, which runs it in a user namespace. The user is known
# only in mount namespaces of the test's own; its container gets what a user has without a session of systemd's: no
# cgroup.
load lib

USER_DIR=$COMPAT_WORK/user
USER_ID=45678 # outside of the ranges that systemd gives to users of services

setup_file() {
	local name file
	chmod 711 "$COMPAT_WORK"
	mkdir -p "$USER_DIR"/{etc,bin,home/.config/containers,run,tmp,bundle}
	echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$USER_DIR/home/.config/containers/policy.json"
	for file in passwd group; do
		cp "/etc/$file" "$USER_DIR/etc/$file"
	done
	echo "compat:x:$USER_ID:$USER_ID::$USER_DIR/home:/bin/bash" >>"$USER_DIR/etc/passwd"
	echo "compat:x:$USER_ID:" >>"$USER_DIR/etc/group"
	echo compat:1000000:65536 | tee "$USER_DIR/etc/subuid" >"$USER_DIR/etc/subgid"
	mknod -m 666 "$USER_DIR/null" c 1 3
	mknod -m 666 "$USER_DIR/tun" c 10 200
	if is_vm; then
		for name in hvrun hvrun-vmm hvrun-fs guestinit vmlinux; do
			cp -L "$(dirname "$HVRUN")/$name" "$USER_DIR/bin/"
		done
		cp "$COMPAT_WORK/hvrun.json" "$USER_DIR/"
		printf '#!/bin/sh\nexec %s/bin/hvrun --config %s/hvrun.json --root %s/state "$@"\n' "$USER_DIR" "$USER_DIR" \
			"$USER_DIR" >"$USER_DIR/bin/runtime"
	else
		printf '#!/bin/sh\nexec /usr/sbin/runc --root %s/state "$@"\n' "$USER_DIR" >"$USER_DIR/bin/runtime"
	fi
	chmod 755 "$USER_DIR/bin/runtime"
	containers_conf "$USER_DIR/bin/runtime" >"$USER_DIR/containers.conf"
	cp -r "$COMPAT_WORK/rootfs" "$COMPAT_WORK/box.tar" "$USER_DIR/"
	chown -R "$USER_ID:$USER_ID" "$USER_DIR"/{home,run,tmp,bundle,rootfs} "$USER_DIR"
	chmod 700 "$USER_DIR/run"
	pod load --quiet --input "$USER_DIR/box.tar" >/dev/null
}

teardown_file() {
	load lib
	pod rm --all --force --time 0 >/dev/null
	pod system migrate >/dev/null 2>&1 # ends podman's process that holds the namespaces
	nothing_left
}

# A command as the user.
as_user() {
	# shellcheck disable=SC2016
	unshare --mount --propagation private sh -c '
		dir=$1 id=$2
		shift 2
		for file in passwd group subuid subgid; do
			[ -e "/etc/$file" ] && mount --bind "$dir/etc/$file" "/etc/$file"
		done
		mount --bind "$dir/null" /dev/null
		[ ! -e /dev/net/tun ] || mount --bind "$dir/tun" /dev/net/tun
		cd "$dir/home"
		exec setpriv --reuid "$id" --regid "$id" --clear-groups env -i HOME="$dir/home" USER=compat \
			PATH=/usr/local/bin:/usr/bin:/bin XDG_RUNTIME_DIR="$dir/run" TMPDIR="$dir/tmp" \
			CONTAINERS_CONF="$dir/containers.conf" "$@"' sh "$USER_DIR" "$USER_ID" "$@" 3>&- 4>&-
}

pod() {
	as_user timeout --foreground -s KILL "$PATIENCE" podman --root "$USER_DIR/storage" \
		--runroot "$USER_DIR/run/containers" --tmpdir "$USER_DIR/run/p" --storage-driver vfs "$@"
}

rt() {
	as_user timeout --foreground -s KILL "$PATIENCE" "$USER_DIR/bin/runtime" "$@"
}

# A bundle as `spec --rootless` makes it, with the command "$@".
bundle() {
	rm -f "$USER_DIR/bundle/config.json"
	rt spec --rootless --bundle "$USER_DIR/bundle"
	jq '.process.args = $ARGS.positional | .process.terminal = false | .root = {path: $root, readonly: false}' \
		--arg root "$USER_DIR/rootfs" --args -- "$@" <"$USER_DIR/bundle/config.json" >"$USER_DIR/config.new"
	cat "$USER_DIR/config.new" >"$USER_DIR/bundle/config.json"
}

no_input() {
	"$@" </dev/null
}

@test "run: a user's bundle, whose files are the user's" {
	bundle sh -c 'id -u; echo made >/srv/data/made; stat -c %u /srv/data/made /etc/passwd; exit 5'
	expect 5 no_input rt run --bundle "$USER_DIR/bundle" u1
	same "$output" '0
0
0'
	same "$(stat -c %u "$USER_DIR/rootfs/srv/data/made")" "$USER_ID"
}

@test "run --detach, list, exec, kill, delete" {
	bundle sh -c 'trap "exit 7" TERM; while :; do sleep 0.1; done'
	expect 0 no_input rt run --detach --bundle "$USER_DIR/bundle" --pid-file "$USER_DIR/run/pid" u2
	expect 0 rt list -q
	same "$output" u2
	expect 3 no_input rt exec u2 sh -c 'exit 3'
	same "$(stat -c %u "/proc/$(cat "$USER_DIR/run/pid")")" "$USER_ID"
	rt kill u2 TERM
	stopped() { [ "$(rt state u2 | jq -r .status)" = stopped ]; }
	eventually stopped
	rt delete u2
}

@test "podman run: root inside, the user and its subordinate ids outside" {
	expect 9 no_input pod run --rm --network none box sh -c 'id -u; stat -c %u /home/user /etc/passwd; cat /proc/1/comm; exit 9'
	same "$output" '0
1000
0
sh'
	expect 0 no_input pod run --rm --network none --user 1000 --volume "$USER_DIR/tmp:/mnt" box sh -c 'id -u; touch /mnt/x 2>/dev/null || echo not mine'
	same "$output" '1000
not mine'
	expect 127 no_input pod run --rm --network none box no-such-program
}

@test "podman run --detach, exec, logs, top, stop, cp" {
	expect 0 no_input pod run --detach --network none --name long box sh -c 'echo begun; trap "exit 8" TERM; while :; do sleep 0.1; done'
	expect 0 no_input pod exec long sh -c 'echo outward >/srv/data/file; id -u'
	same "$output" 0
	# podman enters the mount and the pid namespace of the state's pid to copy.
	expect 0 pod cp long:/srv/data/file "$USER_DIR/home/early"
	same "$(cat "$USER_DIR/home/early")" outward
	expect 0 pod cp "$USER_DIR/home/early" long:/srv/data/late
	expect 0 no_input pod exec long sh -c 'cat /srv/data/late; stat -c %u /srv/data/late'
	same "$output" 'outward
0'
	expect 0 pod top long -o pid,comm
	has "$output" sh
	expect 0 pod logs long
	same "$output" begun
	expect 0 pod stop --time 20 long
	same "$(pod inspect --format '{{.State.ExitCode}}' long)" 8
	expect 0 pod cp long:/srv/data/file "$USER_DIR/home/file"
	same "$(cat "$USER_DIR/home/file")" outward
	expect 0 pod cp "$USER_DIR/home/file" long:/srv/data/again
	expect 0 pod start long
	expect 0 no_input pod exec long cat /srv/data/again
	same "$output" outward
	expect 0 pod rm --force --time 0 long
}

teardown() {
	[ -z "${SERVER:-}" ] || kill "$SERVER"
}

# podman's own way of publishing ports, rootlessport, connects to a process in the namespace, where for hvrun there is none.
@test "podman run --network slirp4netns: outwards, inwards by a published port" {
	local port=$((20000 + RANDOM % 10000))
	echo 'from the host' >"$USER_DIR/home/index.html"
	busybox httpd -f -p "127.0.0.1:$port" -h "$USER_DIR/home" 3>&- 4>&- &
	SERVER=$!
	expect 0 no_input pod run --detach --name web --network slirp4netns:allow_host_loopback=true,port_handler=slirp4netns \
		--publish "127.0.0.1:$((port + 1)):80" box \
		sh -c 'mkdir /tmp/www && echo "from inside" >/tmp/www/index.html && exec busybox httpd -f -p 80 -h /tmp/www'
	expect 0 no_input pod exec web busybox wget -q -O - "http://10.0.2.2:$port/"
	same "$output" 'from the host'
	inside() { [ "$(busybox wget -q -O - "http://127.0.0.1:$((port + 1))/")" = 'from inside' ]; }
	eventually inside
	expect 0 pod rm --force --time 0 web
	gone() { ! pgrep -u "$USER_ID" slirp4netns; }
	eventually gone
}
