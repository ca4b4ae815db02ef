/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device rules of `linux.resources.devices` as a BPF program on the container's cgroup, which
 * is how cgroup v2 has them. Nothing is allowed by default; then come the configuration's rules,
 * then the devices that every container may use (as runc). For each kind of access asked for, the
 * last rule that speaks of the device and of this access decides.
 */
#ifndef GUESTINIT_DEVCG_BPF_H
#define GUESTINIT_DEVCG_BPF_H

#include <linux/bpf.h>
#include <stddef.h>

#include "base/err.h"

struct cfg_devcg_rule;

#define DEVCG_RULES_MAX 256
/* 6 to read the context, 19 for the default devices, at most 8 for each rule, 2 to refuse. */
#define DEVCG_INSNS(n_rules) ((n_rules)*8 + 32)
#define DEVCG_INSNS_MAX	     DEVCG_INSNS(DEVCG_RULES_MAX)

/*
 * Generates the program into insns (DEVCG_INSNS(n_rules) of them). Returns their number, or -errno
 * with the error naming the rule.
 */
int devcg_generate(const struct cfg_devcg_rule *rules, size_t n_rules, struct bpf_insn *insns,
	struct err *e) must_check;

/*
 * Loads and attaches it. -ENOSYS (no error filled) when the kernel has no such programs, and the
 * configuration asked for nothing: the caller decides.
 */
int devcg_attach(int cgroup_fd, const struct cfg_devcg_rule *rules, size_t n_rules,
	struct err *e) must_check;

#endif
