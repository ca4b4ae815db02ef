/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCG plugin for kvmbox's QEMU: how many instructions each block of code of the box and of the
 * guests in it executes between two marks.
 *
 *   -plugin FILE,out=PREFIX,init=HEX
 *
 * The marks are no-operations with a tell-tale operand that startbench executes: the first sets all
 * counts to 0, the second writes them to PREFIX.N (N from 0). In between, the first time that
 * code beginning with the bytes of HEX runs (init's main), they are written to PREFIX.N.init.
 * Each line is: address, the host's address of that code (which tells apart code that several
 * address spaces have at the same place), instructions executed, the code's first bytes.
 * One vCPU only: the counters are not atomic.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The part of QEMU's plugin interface, version 1, that is used here; Debian packages no header. */
#define PLUGIN_VERSION	  1
#define PLUGIN_INLINE_ADD 0
#define PLUGIN_NO_REGS	  0
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*tb_translated)(uint64_t id, struct qemu_plugin_tb *tb);
typedef void (*tb_executed)(unsigned int vcpu, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
void *qemu_plugin_insn_haddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, tb_translated cb);
void qemu_plugin_register_vcpu_tb_exec_inline(
	struct qemu_plugin_tb *tb, int op, void *ptr, uint64_t imm);
void qemu_plugin_register_vcpu_tb_exec_cb(
	struct qemu_plugin_tb *tb, tb_executed cb, int regs, void *data);

#define BLOCKS_MAX	(1U << 21)
#define CODE_BYTES	24
#define MATCH_BYTES_MIN 8

struct block {
	uint64_t vaddr, haddr;
	uint64_t executed; /* instructions */
	uint32_t len_bytes;
	uint8_t code[CODE_BYTES];
};

/* nopw 0x31304b4d(%rax,%rax) starts, ...32... stops: see startbench.c. */
static const uint8_t mark_start[] = {0x66, 0x0f, 0x1f, 0x84, 0x00, 'M', 'K', '0', '1'};
static const uint8_t mark_stop[] = {0x66, 0x0f, 0x1f, 0x84, 0x00, 'M', 'K', '0', '2'};

static struct block *blocks[BLOCKS_MAX];
static uint32_t block_count;
static uint8_t init_code[CODE_BYTES];
static size_t init_len;
static char prefix[512];
static int runs;
static bool counting, init_seen;

__attribute__((visibility("default"))) int qemu_plugin_version = PLUGIN_VERSION;
int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv);

static struct block *block_find(uint64_t vaddr, uint64_t haddr)
{
	uint32_t slot = (uint32_t)(((vaddr ^ haddr << 7) * 0x9e3779b97f4a7c15u) >> 43);

	while (blocks[slot] && (blocks[slot]->vaddr != vaddr || blocks[slot]->haddr != haddr))
		slot = (slot + 1) % BLOCKS_MAX;
	if (!blocks[slot]) {
		if (block_count++ > BLOCKS_MAX / 2)
			abort();
		blocks[slot] = calloc(1, sizeof(struct block));
		blocks[slot]->vaddr = vaddr;
		blocks[slot]->haddr = haddr;
	}
	return blocks[slot];
}

static void write_counts(const char *suffix)
{
	char name[600];
	FILE *f;

	snprintf(name, sizeof(name), "%s.%d%s", prefix, runs, suffix);
	f = fopen(name, "w");
	if (!f) {
		perror(name);
		return;
	}
	for (uint32_t i = 0; i < BLOCKS_MAX; i++) {
		const struct block *b = blocks[i];

		if (!b || !b->executed)
			continue;
		fprintf(f, "%" PRIx64 " %" PRIx64 " %" PRIu64 " ", b->vaddr, b->haddr, b->executed);
		for (uint32_t k = 0; k < b->len_bytes; k++)
			fprintf(f, "%02x", b->code[k]);
		fputc('\n', f);
	}
	fclose(f);
}

static void on_start(unsigned int vcpu, void *data)
{
	(void)vcpu;
	(void)data;
	for (uint32_t i = 0; i < BLOCKS_MAX; i++)
		if (blocks[i])
			blocks[i]->executed = 0;
	counting = true;
	init_seen = false;
}

static void on_stop(unsigned int vcpu, void *data)
{
	(void)vcpu;
	(void)data;
	if (counting)
		write_counts("");
	counting = false;
	runs++;
}

static void on_init(unsigned int vcpu, void *data)
{
	(void)vcpu;
	(void)data;
	if (counting && !init_seen)
		write_counts(".init");
	init_seen = true;
}

static void on_translated(uint64_t id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb);
	struct qemu_plugin_insn *first = qemu_plugin_tb_get_insn(tb, 0);
	struct block *b = block_find(
		qemu_plugin_tb_vaddr(tb), (uint64_t)(uintptr_t)qemu_plugin_insn_haddr(first));
	uint32_t len = 0;

	(void)id;
	for (size_t i = 0; i < n; i++) {
		const struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		size_t size = qemu_plugin_insn_size(insn);
		const void *data = qemu_plugin_insn_data(insn);

		if (size == sizeof(mark_start) && !memcmp(data, mark_start, size))
			qemu_plugin_register_vcpu_tb_exec_cb(tb, on_start, PLUGIN_NO_REGS, NULL);
		if (size == sizeof(mark_stop) && !memcmp(data, mark_stop, size))
			qemu_plugin_register_vcpu_tb_exec_cb(tb, on_stop, PLUGIN_NO_REGS, NULL);
		if (len + size <= CODE_BYTES) {
			memcpy(b->code + len, data, size);
			len += (uint32_t)size;
		} else {
			size = CODE_BYTES - len;
			memcpy(b->code + len, data, size);
			len = CODE_BYTES;
		}
	}
	b->len_bytes = len;
	if (init_len && len >= MATCH_BYTES_MIN &&
		!memcmp(b->code, init_code, len < init_len ? len : init_len))
		qemu_plugin_register_vcpu_tb_exec_cb(tb, on_init, PLUGIN_NO_REGS, NULL);
	qemu_plugin_register_vcpu_tb_exec_inline(tb, PLUGIN_INLINE_ADD, &b->executed, n);
}

__attribute__((visibility("default"))) int qemu_plugin_install(
	uint64_t id, const void *info, int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4))
			snprintf(prefix, sizeof(prefix), "%s", argv[i] + 4);
		if (strncmp(argv[i], "init=", 5))
			continue;
		for (const char *p = argv[i] + 5; init_len < CODE_BYTES && p[0] && p[1]; p += 2) {
			unsigned int byte;

			if (sscanf(p, "%2x", &byte) != 1)
				return -1;
			init_code[init_len++] = (uint8_t)byte;
		}
	}
	if (!prefix[0])
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated);
	return 0;
}
