# SPDX-License-Identifier: Apache-2.0
# What the tests of callers share. tests/compat/run sets the environment: COMPAT_RUNTIME (the runtime, a path),
# COMPAT_WORK (where everything lives: rootfs and box.tar of tests/compat/image, and what is started here),
# COMPAT_ENGINE (runc, emulation or kvm), HELPERS.

NAME=$(basename "$COMPAT_WORK") # also the cgroup that all containers are below
PATIENCE=${COMPAT_PATIENCE:-60}
[ -z "${HVRUN_SLOW_BOX:-}" ] || PATIENCE=$((PATIENCE * 10))

fail() {
	printf '%s\n' "$@" >&2
	return 1
}

# expect CODE COMMAND...: runs it, with stdout in $output, stderr in $errors and both on failure.
expect() {
	local want=$1 code=0
	shift
	"$@" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || code=$?
	output=$(tr -d '\0' <"$BATS_TEST_TMPDIR/out")
	errors=$(cat "$BATS_TEST_TMPDIR/err")
	[ "$code" -eq "$want" ] ||
		fail "exit code $code, expected $want: $*" '--- stdout' "$output" '--- stderr' "$errors"
}

same() {
	[ "$1" = "$2" ] || fail "is not what was expected:" "$1" "--- expected:" "$2"
}

has() {
	[[ $1 == *"$2"* ]] || fail "does not contain \"$2\":" "$1"
}

# eventually COMMAND...: until it succeeds, or PATIENCE is over.
eventually() {
	local end=$((SECONDS + PATIENCE))
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || fail "waited in vain for: $*" || return 1
		sleep 0.05
	done
}

# A container runs in a machine of its own, but not with runc.
is_vm() {
	[ "$COMPAT_ENGINE" != runc ]
}

# What shows the size of its terminal, and that it changes, to tests/e2e/terminal.c.
TERMINAL_SCRIPT='trap "stty size; echo resized" WINCH; trap "echo interrupted; exit 9" INT
tty; stty size; echo ready; while :; do sleep 0.1; done'

# ---- podman

# podman's configuration with that runtime, the same whether systemd runs on the host or not. The limits are what a
# host without CAP_SYS_RESOURCE can give.
containers_conf() {
	cat <<-END
		[containers]
		netns = "none"
		log_driver = "k8s-file"
		default_ulimits = ["nofile=1024:4096", "nproc=4096:8192"]
		[engine]
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		runtime = "compat"
		runtime_supports_json = ["compat"]
		[engine.runtimes]
		compat = ["$1"]
	END
}

podman_setup() {
	local dir=$COMPAT_WORK/podman
	export CONTAINERS_CONF=$dir/containers.conf
	[ ! -e "$dir" ] || return 0
	mkdir -p "$dir" "$HOME/.config/containers"
	echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$HOME/.config/containers/policy.json"
	containers_conf "$COMPAT_RUNTIME" >"$CONTAINERS_CONF"
	pod load --quiet --input "$COMPAT_WORK/box.tar" >/dev/null
}

pod() {
	timeout --foreground -s KILL "$PATIENCE" podman --root "$COMPAT_WORK/podman/root" \
		--runroot "$COMPAT_WORK/podman/runroot" --tmpdir "$COMPAT_WORK/podman/tmp" \
		--storage-driver "${COMPAT_STORAGE:-overlay}" "$@" 3>&- 4>&-
}

# podman run and create with what all tests want.
pod_run() {
	pod run --network none --cgroup-parent "/$NAME" "$@"
}

pod_create() {
	pod create --network none --cgroup-parent "/$NAME" "$@"
}

pod_inspect() {
	pod inspect --format "{{.State.$2}}" "$1"
}

pod_is() {
	[ "$(pod_inspect "$1" Status)" = "$2" ]
}

pod_logged() {
	pod logs "$1" 2>&1 | grep -q -- "$2"
}

podman_teardown() {
	pod rm --all --force --time 0 >/dev/null
	nothing_left
}

# ---- containerd and dockerd

CONTAINERD=$COMPAT_WORK/containerd

containerd_start() {
	mkdir -p "$CONTAINERD"
	cat >"$CONTAINERD/config.toml" <<-END
		version = 2
		root = "$CONTAINERD/root"
		state = "$CONTAINERD/state"
		disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
		  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt"]
		[grpc]
		  address = "$CONTAINERD/sock"
		[ttrpc]
		  address = "$CONTAINERD/ttrpc"
	END
	containerd --config "$CONTAINERD/config.toml" >>"$CONTAINERD/log" 2>&1 3>&- 4>&- &
	echo $! >"$CONTAINERD/pid"
	eventually ctrd version
}

containerd_stop() {
	stop_daemon "$CONTAINERD/pid"
}

stop_daemon() {
	local pid
	pid=$(cat "$1")
	kill "$pid"
	for _ in $(seq 100); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	rm -f "$1"
}

ctrd() {
	timeout --foreground -s KILL "$PATIENCE" ctr --address "$CONTAINERD/sock" "$@" 3>&- 4>&-
}

# The image "box"; another file of tests may have left it.
containerd_image() {
	ctrd image import --index-name import "$COMPAT_WORK/box.tar" >/dev/null
	ctrd image tag --force "$(ctrd image ls --quiet | grep -m 1 ':box$')" box >/dev/null
}

# ctr run ...: options, then the id and the command; the image is put in between by its name.
ctr_run() {
	local id=
	local -a options=()
	while [[ ${1:-} == -* ]]; do
		options+=("$1")
		case $1 in
		--memory-limit | --cpus | --mount | --env | --log-uri)
			options+=("$2")
			shift
			;;
		esac
		shift
	done
	id=$1
	shift
	ctrd run --runtime io.containerd.runc.v2 --runc-binary "$COMPAT_RUNTIME" --runc-root "$COMPAT_WORK/state/containerd" \
		--cgroup "/$NAME/$id" "${options[@]}" box "$id" "$@"
}

DOCKERD=$COMPAT_WORK/dockerd

# dockerd_start [COMMAND...]: dockerd without networks of its own, or with them, by a command that keeps them from the
# host's.
dockerd_start() {
	local -a none=(--bridge none --iptables=false --ip6tables=false)
	[ $# -eq 0 ] || none=()
	mkdir -p "$DOCKERD"
	echo '{}' >"$DOCKERD/config.json"
	"$@" dockerd --config-file "$DOCKERD/config.json" --data-root "$DOCKERD/data" --exec-root "$DOCKERD/exec" \
		--pidfile "$DOCKERD/dockerd.pid" --host "unix://$DOCKERD/sock" --containerd "$CONTAINERD/sock" \
		${none[@]+"${none[@]}"} --cgroup-parent "/$NAME" \
		--add-runtime "compat=$COMPAT_RUNTIME" >>"$DOCKERD/log" 2>&1 3>&- 4>&- &
	echo $! >"$DOCKERD/pid"
	eventually dock version
}

# The client of Debian's package, where there are others.
dock() {
	timeout --foreground -s KILL "$PATIENCE" /usr/bin/docker --host "unix://$DOCKERD/sock" "$@" 3>&- 4>&-
}

dock_run() {
	dock run --runtime compat --network none "$@"
}

# ---- what may not be left

# Processes of this run other than the daemons and the tests themselves, mounts, cgroups, and state of
# containers; one a line. Other runs of a runtime on this machine are none of ours: what is ours is in a cgroup
# of this run, or has its path among its words, or (hvrun's programs) in its environment.
leftovers() {
	local pid words
	for pid in $({
		grep -lF "/$NAME/" /proc/[0-9]*/cgroup
		grep -laF "$COMPAT_WORK/" /proc/[0-9]*/cmdline
		grep -laF "$COMPAT_WORK" $(grep -l '^hvrun' /proc/[0-9]*/comm | sed 's/comm$/environ/') /dev/null
	} 2>/dev/null | cut -d/ -f3 | sort -un); do
		words=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")
		case $words in
		'' | dockerd* | containerd\ * | *bats*) ;;
		*) echo "process $pid $words" ;;
		esac
	done
	awk -v dir="$COMPAT_WORK/" 'index($5, dir) == 1 && $5 !~ /\/(podman\/root\/overlay|dockerd\/data)$/ { print "mount", $5 }' \
		/proc/self/mountinfo
	find /sys/fs/cgroup -mindepth 2 -type d -path "*/$NAME/*" ! -name conmon -printf 'cgroup %p\n'
	find "$COMPAT_WORK/state" -mindepth 1 ! -type d ! -name kvm-works ! -name cgroups.lock -printf 'state %p\n'
	find "$COMPAT_WORK/state" -mindepth 1 -type d -empty ! -path '*/containerd*' ! -path '*/moby*' -printf 'state %p\n'
}

# What ends asynchronously gets some time.
nothing_left() {
	local left end=$((SECONDS + PATIENCE / 2))
	while :; do
		left=$(leftovers 2>/dev/null)
		[ -n "$left" ] || return 0
		[ "$SECONDS" -lt "$end" ] || break
		sleep 0.1
	done
	fail 'left behind:' "$left"
}
