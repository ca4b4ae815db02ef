# SPDX-License-Identifier: Apache-2.0
# The OCI specification's own words on both ends: what hvrun prints passes its schema, and a
# config.json that does not is refused with the path of the fault.
load lib

VECTORS="$BATS_TEST_DIRNAME/../data/oci-1.3.0"

# valid SCHEMA FILE
valid() {
	"$BATS_TEST_DIRNAME/schema" "$1" "$2" >"$OUT" 2>"$ERR" || fail "$2 is not valid by $1"
}

@test "the checker itself: the specification's examples" {
	local kind file
	for kind in config features state; do
		for file in "$VECTORS/$kind"/good/*; do
			valid "$kind-schema.json" "$file"
		done
		for file in "$VECTORS/$kind"/bad/*; do
			! "$BATS_TEST_DIRNAME/schema" "$kind-schema.json" "$file" 2>/dev/null || fail "$file is valid"
		done
	done
}

@test "spec passes the schema" {
	mkdir "$BATS_TEST_TMPDIR/plain" "$BATS_TEST_TMPDIR/rootless"
	hv spec --bundle "$BATS_TEST_TMPDIR/plain" -- 'say "it"' ''
	hv spec --rootless --bundle "$BATS_TEST_TMPDIR/rootless"
	valid config-schema.json "$BATS_TEST_TMPDIR/plain/config.json"
	valid config-schema.json "$BATS_TEST_TMPDIR/rootless/config.json"
	[ "$(jq -c .process.args "$BATS_TEST_TMPDIR/plain/config.json")" = '["say \"it\"",""]' ]
	jq -e --argjson uid "$(id -u)" --argjson gid "$(id -g)" '
		(.linux.uidMappings == [{containerID: 0, hostID: $uid, size: 1}])
		and (.linux.gidMappings == [{containerID: 0, hostID: $gid, size: 1}])
		and ([.linux.namespaces[].type] | index("user")) and (.linux.resources == null)
		and ([.mounts[].options[]?] | any(startswith("gid=")) | not)' \
		"$BATS_TEST_TMPDIR/rootless/config.json" >/dev/null || fail 'not as runc has it'
}

@test "spec leaves an existing file alone" {
	status=0
	hv spec --bundle "$BUNDLE" >"$OUT" 2>"$ERR" || status=$?
	expect_status 1
	expect_refusal 'File config.json exists. Remove it first'
}

@test "spec --rootless makes a bundle that runs" {
	rm "$BUNDLE/config.json"
	hv spec --rootless --bundle "$BUNDLE"
	config '.process.terminal = false | .root = {path: $root, readonly: false}' --arg root "$FIXTURES/rootfs"
	args sh -c 'tr -s " " </proc/self/uid_map; id -u; ls -d /sys/class'
	run_bundle </dev/null
	expect_status 0
	expect_out " 0 $(id -u) 1
0
/sys/class"
}

@test "features passes the schema" {
	hv features >"$BATS_TEST_TMPDIR/features.json"
	valid features-schema.json "$BATS_TEST_TMPDIR/features.json"
	jq -e '.ociVersionMax == "1.3.0" and (.hooks | length == 6) and .linux.seccomp.enabled' \
		"$BATS_TEST_TMPDIR/features.json" >/dev/null
	status=0
	hv features more >"$OUT" 2>"$ERR" || status=$?
	expect_status 1
	expect_refusal 'features: "more"'
}

@test "state passes the schema, at every turn" {
	local id="state-$$"
	args /bin/sleep 300
	config '.annotations = {"org.example.key": "a \"value\""}'
	hv create --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" "$id" </dev/null >"$OUT" 2>"$ERR" 3>&- || fail create
	hv state "$id" >"$BATS_TEST_TMPDIR/created.json"
	hv start "$id"
	hv state "$id" >"$BATS_TEST_TMPDIR/running.json"
	hv kill "$id" KILL
	wait_gone 200 "$(jq .pid "$BATS_TEST_TMPDIR/created.json")"
	hv state "$id" >"$BATS_TEST_TMPDIR/stopped.json"
	hv delete "$id"
	for turn in created running stopped; do
		valid state-schema.json "$BATS_TEST_TMPDIR/$turn.json"
		jq -e --arg id "$id" --arg status "$turn" --arg bundle "$(realpath "$BUNDLE")" '
			.id == $id and .status == $status and .bundle == $bundle
			and .annotations["org.example.key"] == "a \"value\""' \
			"$BATS_TEST_TMPDIR/$turn.json" >/dev/null || fail "$turn is not true"
	done
}

# bad VECTOR TEXT: the specification's bad example as a bundle's config.json.
bad() {
	cp "$VECTORS/config/bad/$1" "$BUNDLE/config.json"
	run_bundle </dev/null
	expect_status 1
	expect_refusal "config.json: $2"
	[ -z "$(ls -A "$STATE" | grep -vE 'kvm-works|cgroups.lock')" ] || fail 'something was left in the state directory'
}

@test "the specification's bad examples are refused with the path of the fault" {
	bad invalid-json.json 'line 1, column 2'
	bad linux-hugepage.json 'linux.resources.hugepageLimits\[0\].pageSize: '
	bad linux-netdevice.json 'linux.netDevices.eth0.name: '
	bad linux-rdma.json 'linux.resources.rdma.mlx5_1.hcaHandles: '
	bad freebsd-vnet-disable.json 'freebsd.jail.vnet: '
}
