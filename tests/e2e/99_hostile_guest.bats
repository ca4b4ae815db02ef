# SPDX-License-Identifier: Apache-2.0
# A guest that does its worst to the devices (tests/hostile), for as many operations as a minute has
# room for, from fixed seeds: `make hostile` does it for long, at random.

# hostile SEED OPERATIONS KINDS [OPTION...]
hostile() {
	O=$(dirname "$HVRUN") run tests/hostile/run "$HVRUN_ACCEL" --seed "$1" --operations "$2" --kinds "$3" "${@:4}"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(grep -c ' operations in ' <<<"$output")" -eq "$(wc -w <<<"$3")" ]
}

# bats test_tags=emulation
@test "a hostile guest at our devices of the emulation engine: no sanitizer complains, the container beside is well" {
	hostile 1 8000 'vsock agent fs blk'
}

# bats test_tags=kvm
@test "a hostile guest at all devices, the interrupt controller and the session: no sanitizer complains, the container beside is well" {
	hostile 1 3000 'all machine agent'
}

# The confinement is that of the programs as they are installed; sanitizers have none.
# bats test_tags=emulation
@test "a hostile guest and the programs of a release on the emulation engine: no call ends them, their use is bounded" {
	hostile 1 15000 'vsock fs blk' --programs release
}

# bats test_tags=kvm
@test "a hostile guest and the programs of a release: no call ends them, their use is bounded" {
	hostile 1 1500 'vsock fs all' --programs release
}
