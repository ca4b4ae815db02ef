/* SPDX-License-Identifier: Apache-2.0 */
/* Frames for interfaces that stand on others; see net_upper.h. */
#include "runtime/net_upper.h"

#include <arpa/inet.h>
#include <linux/pkt_cls.h>
#include <string.h>

/* Where the destination lies in a frame: four bytes, and two. */
#define AT_TO	   0
#define AT_TO_REST 4

#define GROUP 1 /* a bit of its first byte */

static void emit(struct net_upper *program, unsigned code, uint32_t k, uint8_t yes, uint8_t no)
{
	program->code[program->n++] = (struct sock_filter){(uint16_t)code, yes, no, k};
}

static void load_ancillary(struct net_upper *program, int what)
{
	emit(program, BPF_LD | BPF_H | BPF_ABS, (uint32_t)(SKF_AD_OFF + what), 0, 0);
}

/* The tag is not in the frame any more: the kernel has put it aside. */
static void pass_vlans(struct net_upper *program, const struct net_uppers *uppers)
{
	load_ancillary(program, SKF_AD_VLAN_TAG_PRESENT);
	emit(program, BPF_JMP | BPF_JEQ | BPF_K, 0, (uint8_t)(6 + 2 * uppers->n_vlans), 0);
	load_ancillary(program, SKF_AD_VLAN_TPID);
	emit(program, BPF_ALU | BPF_LSH | BPF_K, 16, 0, 0);
	emit(program, BPF_MISC | BPF_TAX, 0, 0, 0);
	load_ancillary(program, SKF_AD_VLAN_TAG);
	emit(program, BPF_ALU | BPF_AND | BPF_K, 0xfff, 0, 0);
	emit(program, BPF_ALU | BPF_OR | BPF_X, 0, 0, 0);
	for (unsigned i = 0; i < uppers->n_vlans; i++) {
		emit(program, BPF_JMP | BPF_JEQ | BPF_K, uppers->vlans[i], 0, 1);
		emit(program, BPF_RET | BPF_K, TC_ACT_OK, 0, 0);
	}
}

static void pass_mac(struct net_upper *program, const uint8_t mac[NET_MAC_BYTES])
{
	uint32_t first;
	uint16_t rest;

	memcpy(&first, mac, sizeof(first));
	memcpy(&rest, mac + sizeof(first), sizeof(rest));
	emit(program, BPF_LD | BPF_W | BPF_ABS, AT_TO, 0, 0);
	emit(program, BPF_JMP | BPF_JEQ | BPF_K, ntohl(first), 0, 3);
	emit(program, BPF_LD | BPF_H | BPF_ABS, AT_TO_REST, 0, 0);
	emit(program, BPF_JMP | BPF_JEQ | BPF_K, ntohs(rest), 0, 1);
	emit(program, BPF_RET | BPF_K, TC_ACT_OK, 0, 0);
}

void net_upper_own(struct net_upper *program, const struct net_uppers *uppers)
{
	program->n = 0;
	if (uppers->n_vlans)
		pass_vlans(program, uppers);
	for (unsigned i = 0; i < uppers->n_macs; i++)
		pass_mac(program, uppers->macs[i]);
	if (program->n)
		emit(program, BPF_RET | BPF_K, (uint32_t)TC_ACT_UNSPEC, 0, 0);
}

void net_upper_shared(struct net_upper *program, const struct net_uppers *uppers)
{
	program->n = 0;
	if (!uppers->n_macs)
		return;
	emit(program, BPF_LD | BPF_B | BPF_ABS, AT_TO, 0, 0);
	emit(program, BPF_ALU | BPF_AND | BPF_K, GROUP, 0, 0);
	emit(program, BPF_RET | BPF_A, 0, 0, 0);
}
