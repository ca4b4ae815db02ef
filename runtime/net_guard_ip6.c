/* SPDX-License-Identifier: Apache-2.0 */
/* What IPv6 packets a guest may send; see net_guard_ip6.h. */
#include "runtime/net_guard_ip6.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#define EXTENSIONS_MAX 4

/* Where things lie in a frame; what is behind the IPv6 header moves with the extension headers. */
#define AT_MAC	       6
#define AT_NEXT_HEADER 20
#define AT_SOURCE      22
#define AT_PAYLOAD     54 /* or the first extension header */
#define AT_TARGET      62 /* of a neighbour solicitation or advertisement */

#define HOP_BY_HOP  0
#define ROUTING	    43
#define FRAGMENT    44
#define ICMP6	    58
#define DESTINATION 60

/* ICMPv6. */
#define LISTENER_REPORT	       131
#define LISTENER_DONE	       132
#define ROUTER_SOLICITATION    133 /* the first of RFC 4861 */
#define ROUTER_ADVERTISEMENT   134
#define NEIGHBOR_SOLICITATION  135
#define NEIGHBOR_ADVERTISEMENT 136
#define REDIRECT	       137 /* the last of them */
#define LISTENER_REPORT_V2     143

/* Cells of the program's memory. */
enum cell { NEXT_HEADER, UNSPECIFIED }; /* UNSPECIFIED: 0 when the source is :: */

/* Where jumps lead; there are more, made by new_label. */
enum label { PASS, DROP, UPPER_LAYER, SOURCE, OWN, LABELS_FIXED };

#define LABELS_MAX (LABELS_FIXED + 2 * EXTENSIONS_MAX + 3 + NET_GUARD_IP6_ADDRESSES)

/* Jumps bear the number of a label until link() knows where it is. */
struct program {
	struct net_guard_ip6 *out;
	unsigned labels[LABELS_MAX], n_labels;
};

static void emit(struct program *p, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	assert(p->out->n < NET_GUARD_IP6_MAX);
	p->out->code[p->out->n++] = (struct sock_filter){code, yes, no, k};
}

/* A is bytes of the frame, from its beginning or from X on; frames that are too short are dropped.
 */
static void load(struct program *p, uint16_t size, uint32_t at)
{
	emit(p, BPF_LD | BPF_ABS | size, at, 0, 0);
}

static void load_from_x(struct program *p, uint16_t size, uint32_t at)
{
	emit(p, BPF_LD | BPF_IND | size, at, 0, 0);
}

static void load_cell(struct program *p, enum cell cell)
{
	emit(p, BPF_LD | BPF_MEM, cell, 0, 0);
}

static void store_cell(struct program *p, enum cell cell)
{
	emit(p, BPF_ST, cell, 0, 0);
}

static void set_x(struct program *p, uint32_t value)
{
	emit(p, BPF_LDX | BPF_IMM, value, 0, 0);
}

static void a_to_x(struct program *p)
{
	emit(p, BPF_MISC | BPF_TAX, 0, 0, 0);
}

static void jump(struct program *p, unsigned to)
{
	emit(p, BPF_JMP | BPF_JA, to, 0, 0);
}

/* A jump that tests can make reaches 255 instructions; one without a test, all. */
static void jump_if(struct program *p, uint16_t test, uint32_t k, unsigned to)
{
	emit(p, BPF_JMP | BPF_K | test, k, 0, 1);
	jump(p, to);
}

static void jump_unless(struct program *p, uint16_t test, uint32_t k, unsigned to)
{
	emit(p, BPF_JMP | BPF_K | test, k, 1, 0);
	jump(p, to);
}

static unsigned new_label(struct program *p)
{
	assert(p->n_labels < LABELS_MAX);
	return p->n_labels++;
}

static void here(struct program *p, unsigned label)
{
	p->labels[label] = p->out->n;
}

static void link_jumps(struct program *p)
{
	for (unsigned i = 0; i < p->out->n; i++)
		if (p->out->code[i].code == (BPF_JMP | BPF_JA))
			p->out->code[i].k = p->labels[p->out->code[i].k] - i - 1;
}

static uint32_t word(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return ntohl(value);
}

static void check_mac(struct program *p, const uint8_t *mac)
{
	load(p, BPF_W, AT_MAC);
	jump_unless(p, BPF_JEQ, word(mac), DROP);
	load(p, BPF_H, AT_MAC + 4);
	jump_unless(p, BPF_JEQ, (uint32_t)(mac[4] << 8 | mac[5]), DROP);
}

static void look_at_source(struct program *p)
{
	load(p, BPF_W, AT_SOURCE);
	for (uint32_t at = 4; at < 16; at += 4) {
		a_to_x(p);
		load(p, BPF_W, AT_SOURCE + at);
		emit(p, BPF_ALU | BPF_OR | BPF_X, 0, 0, 0);
	}
	store_cell(p, UNSPECIFIED);
}

/* A is the kind of the header at X; then that of the next, and X where that is. */
static void pass_header(struct program *p)
{
	unsigned options = new_label(p), next = new_label(p);

	jump_if(p, BPF_JEQ, HOP_BY_HOP, options);
	jump_if(p, BPF_JEQ, ROUTING, options);
	jump_if(p, BPF_JEQ, DESTINATION, options);
	jump_unless(p, BPF_JEQ, FRAGMENT, UPPER_LAYER);
	load_from_x(p, BPF_H, AT_PAYLOAD + 2);
	jump_if(p, BPF_JSET, 0xfff8, SOURCE); /* not the first: no header is in it */
	load_from_x(p, BPF_B, AT_PAYLOAD);
	store_cell(p, NEXT_HEADER);
	emit(p, BPF_LD | BPF_IMM, 8, 0, 0);
	jump(p, next);
	here(p, options);
	load_from_x(p, BPF_B, AT_PAYLOAD);
	store_cell(p, NEXT_HEADER);
	load_from_x(p, BPF_B, AT_PAYLOAD + 1); /* units of 8 bytes, but for the first */
	emit(p, BPF_ALU | BPF_ADD | BPF_K, 1, 0, 0);
	emit(p, BPF_ALU | BPF_LSH | BPF_K, 3, 0, 0);
	here(p, next);
	emit(p, BPF_ALU | BPF_ADD | BPF_X, 0, 0, 0);
	a_to_x(p);
	load_cell(p, NEXT_HEADER);
}

static void pass_headers(struct program *p)
{
	set_x(p, 0);
	load(p, BPF_B, AT_NEXT_HEADER);
	for (int i = 0; i < EXTENSIONS_MAX; i++)
		pass_header(p);
	jump_if(p, BPF_JEQ, HOP_BY_HOP, DROP);
	jump_if(p, BPF_JEQ, ROUTING, DROP);
	jump_if(p, BPF_JEQ, DESTINATION, DROP);
	jump_if(p, BPF_JEQ, FRAGMENT, DROP);
}

/* The upper layer's header is at X. */
static void check_upper_layer(struct program *p)
{
	unsigned discovery = new_label(p), from_nobody = new_label(p), solicitation = new_label(p);

	jump_unless(p, BPF_JEQ, ICMP6, SOURCE);
	load_from_x(p, BPF_B, AT_PAYLOAD);
	jump_if(p, BPF_JEQ, LISTENER_REPORT, from_nobody);
	jump_if(p, BPF_JEQ, LISTENER_DONE, from_nobody);
	jump_if(p, BPF_JEQ, LISTENER_REPORT_V2, from_nobody);
	jump_unless(p, BPF_JGE, ROUTER_SOLICITATION, SOURCE);
	jump_if(p, BPF_JGT, REDIRECT, SOURCE);
	emit(p, BPF_MISC | BPF_TXA, 0, 0, 0);
	jump_if(p, BPF_JEQ, 0, discovery);
	jump(p, DROP);

	here(p, discovery);
	load(p, BPF_B, AT_PAYLOAD);
	jump_if(p, BPF_JEQ, ROUTER_SOLICITATION, from_nobody);
	jump_if(p, BPF_JEQ, NEIGHBOR_SOLICITATION, solicitation);
	jump_unless(p, BPF_JEQ, NEIGHBOR_ADVERTISEMENT, DROP);
	for (uint32_t at = 0; at < 16; at += 4) {
		load(p, BPF_W, AT_TARGET + at);
		a_to_x(p);
		load(p, BPF_W, AT_SOURCE + at);
		emit(p, BPF_ALU | BPF_XOR | BPF_X, 0, 0, 0);
		jump_unless(p, BPF_JEQ, 0, DROP);
	}
	jump(p, SOURCE);

	here(p, solicitation);
	load_cell(p, UNSPECIFIED);
	set_x(p, AT_TARGET - AT_SOURCE);
	jump_if(p, BPF_JEQ, 0, OWN);
	jump(p, SOURCE);

	here(p, from_nobody);
	load_cell(p, UNSPECIFIED);
	jump_if(p, BPF_JEQ, 0, PASS);
}

/* One of the addresses is where the source would be, and X further on. */
static void check_own(struct program *p, const uint8_t (*addresses)[16], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned other = new_label(p);
		for (uint32_t at = 0; at < 16; at += 4) {
			load_from_x(p, BPF_W, AT_SOURCE + at);
			jump_unless(p, BPF_JEQ, word(addresses[i] + at), other);
		}
		jump(p, PASS);
		here(p, other);
	}
}

void net_guard_ip6(struct net_guard_ip6 *guard, const uint8_t mac[NET_MAC_BYTES],
	const uint8_t (*addresses)[16], size_t n)
{
	struct program p = {.out = guard, .n_labels = LABELS_FIXED};

	guard->n = 0;
	check_mac(&p, mac);
	look_at_source(&p);
	pass_headers(&p);
	here(&p, UPPER_LAYER);
	check_upper_layer(&p);
	here(&p, SOURCE);
	set_x(&p, 0);
	here(&p, OWN);
	check_own(&p, addresses, n);
	here(&p, DROP);
	emit(&p, BPF_RET | BPF_K, 0, 0, 0);
	here(&p, PASS);
	emit(&p, BPF_RET | BPF_K, 1, 0, 0);
	link_jumps(&p);
}
