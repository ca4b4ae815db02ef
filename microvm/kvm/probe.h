/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does KVM on this machine run unmodified 64-bit code? A /dev/kvm that opens is no proof: some
 * hosts emulate the guest instruction by instruction and stop at the first that they don't know.
 */
#ifndef MICROVM_KVM_PROBE_H
#define MICROVM_KVM_PROBE_H

#include "base/err.h"

/*
 * Runs a few instructions that no instruction emulator covers, in a VM with one vCPU and a few
 * pages. 0, or -errno with the reason in one line. About a millisecond; never more than two
 * seconds, for a vCPU that does not come back is kicked out by a signal.
 */
int kvm_probe(struct err *e) must_check;

/*
 * The same, but only where the CPU does not show hardware virtualisation: cheap enough for every
 * start, and spares a user the minutes that a guest takes to fail there.
 */
int kvm_probe_if_doubtful(struct err *e) must_check;

#endif
