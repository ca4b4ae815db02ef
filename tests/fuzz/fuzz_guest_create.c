/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any JSON text as a create message, an exec's or an update's, and what guestinit computes from a
 * good one.
 *
 * Covers: guestinit/create.c guestinit/devcg_bpf.c guestinit/seccomp_bpf.c
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/msg.h"
#include "guestinit/arena.h"
#include "guestinit/create.h"
#include "guestinit/devcg_bpf.h"
#include "guestinit/ns.h"
#include "guestinit/path.h"
#include "guestinit/seccomp.h"
#include "guestinit/seccomp_bpf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A filter that was made is one that the kernel takes: every path goes forward to a return. */
static void check_seccomp(const struct cfg_seccomp *config)
{
	static struct seccomp_program p;
	struct err e = {0};
	uint32_t flags;

	if (guest_seccomp_check(config, &flags, &e) < 0 ||
		seccomp_bpf_generate(config, &p, &e) < 0) {
		if (!e.text[0])
			abort();
		return;
	}
	if (!p.n || p.n > BPF_MAXINSNS || BPF_CLASS(p.insns[p.n - 1].code) != BPF_RET)
		abort();
	for (unsigned i = 0; i < p.n; i++) {
		const struct sock_filter *insn = &p.insns[i];
		bool far = insn->code == (BPF_JMP | BPF_JA);
		if (BPF_CLASS(insn->code) != BPF_JMP)
			continue;
		if (far ? insn->k >= p.n - i - 1
			: i + insn->jt + 1 >= p.n || i + insn->jf + 1 >= p.n)
			abort();
	}
}

/* Every reference of the network leads to something, every address has a family. */
static void check_network(const struct network_config *network)
{
	int n = (int)network->interfaces.n;

	if (n > NETWORK_INTERFACES_MAX || network->vrfs.n > NETWORK_VRFS_MAX ||
		network->routes.n > NETWORK_ROUTES_MAX ||
		network->neighbours.n > NETWORK_NEIGHBOURS_MAX ||
		network->rules.n > NETWORK_RULES_MAX)
		abort();
	for (size_t i = 0; i < network->routes.n; i++) {
		const struct net_route *r = &network->routes.v[i];
		if (!r->destination.ip.family || r->interface >= n ||
			r->interface < NETWORK_LOOPBACK || !r->table || !r->type ||
			!net_route_equal(network, r, network, r))
			abort();
	}
	for (size_t i = 0; i < network->neighbours.n; i++) {
		const struct net_neighbour *neighbour = &network->neighbours.v[i];
		if (!neighbour->ip.family || neighbour->interface >= n ||
			!net_neighbour_equal(network, neighbour, network, neighbour))
			abort();
	}
	for (int i = 0; i < n; i++)
		if (network->interfaces.v[i].vrf < NETWORK_NO_VRF ||
			network->interfaces.v[i].vrf >= (int)network->vrfs.n)
			abort();
	for (int i = 0; i < n; i++)
		for (size_t k = 0; k < network->interfaces.v[i].addresses.n; k++)
			if (!network->interfaces.v[i].addresses.v[k].ip.family)
				abort();
	(void)network_config_has_ipv6(network);
}

static void check_good(const struct create *c)
{
	static struct bpf_insn insns[DEVCG_INSNS_MAX];
	struct err e = {0};
	char clean[256];
	int n = devcg_generate(c->os.resources.devices.v, c->os.resources.devices.n, insns, &e);

	if (n > DEVCG_INSNS_MAX || (n < 0 && !e.text[0]))
		abort();
	for (size_t i = 0; i < c->mounts.n; i++) {
		const struct cfg_mount *m = &c->mounts.v[i];
		if (path_clean(m->destination, clean, sizeof(clean)) == 0 &&
			(clean[0] != '/' || strstr(clean, "/../") || strstr(clean, "//")))
			abort();
	}
	if (c->os.seccomp.set)
		check_seccomp(&c->os.seccomp);
	if (c->network)
		check_network(c->network);
	ns_map_id(&c->os.uid_maps, c->process.user.uid);
	if (c->process.args.v[c->process.args.n])
		abort();
}

static void check_exec(json_t *message)
{
	static const struct create container = {.id = "c"};
	struct err e = {0};
	struct create *c = create_decode_exec(message, &container, &e);

	if (!c && !e.text[0])
		abort();
	if (c && c->process.args.v[c->process.args.n])
		abort();
	create_free(c);
}

static void check_update(const json_t *message)
{
	struct arena arena = {0};
	struct cfg_resources resources;
	struct err e = {0};

	if (create_decode_resources(&arena, json_object_get(message, "resources"), &resources, &e) <
			0 &&
		!e.text[0])
		abort();
	arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = {0};
	cleanup_json json_t *message = json_parse((const char *)data, size, MSG_MAX_DEPTH, &e);

	if (json_object_get(message, "exec"))
		check_exec(message);
	if (json_object_get(message, "resources"))
		check_update(message);
	if (!message)
		return 0;
	struct create *c = create_decode(message, &e);
	if (!c && !e.text[0])
		abort();
	if (c)
		check_good(c);
	create_free(c);
	return 0;
}
