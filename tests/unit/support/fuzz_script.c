/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts for fuzzers; see fuzz_script.h. */
#include "tests/unit/support/fuzz_script.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define SEGMENTS_MAX 8u

enum step {
	STEP_CHAIN,
	STEP_CHAIN_INDIRECT,
	STEP_KICK,
	STEP_TAKE_USED,
	STEP_RAW_DESC,
	STEP_PUBLISH,
	STEP_AVAIL_INDEX,
	STEP_RESET,
	STEP_OWN, /* from here on the device's */
};

uint8_t fuzz_u8(struct fuzz_input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->data++;
}

uint16_t fuzz_u16(struct fuzz_input *in)
{
	uint16_t low = fuzz_u8(in);

	return (uint16_t)(low | fuzz_u8(in) << 8);
}

uint32_t fuzz_u32(struct fuzz_input *in)
{
	uint32_t low = fuzz_u16(in);

	return low | (uint32_t)fuzz_u16(in) << 16;
}

uint64_t fuzz_u64(struct fuzz_input *in)
{
	uint64_t low = fuzz_u32(in);

	return low | (uint64_t)fuzz_u32(in) << 32;
}

size_t fuzz_bytes(struct fuzz_input *in, size_t max, const uint8_t **bytes)
{
	size_t n = in->left < max ? in->left : max;

	*bytes = in->data;
	in->data += n;
	in->left -= n;
	return n;
}

/* A well-formed chain with contents from the input: segments of lengths that matter. */
static void step_chain(struct fuzz_script *script, struct fuzz_input *in, bool indirect)
{
	static const uint32_t lens[] = {0, 1, 15, 16, 20, 44, 45, 512, 513, 1024, 4096, 70000};
	struct fake_segment s[SEGMENTS_MAX];
	unsigned queue = fuzz_u8(in) % script->n_queues;
	unsigned n = fuzz_u8(in) % SEGMENTS_MAX + 1, n_readable = fuzz_u8(in) % (n + 1);
	uint32_t at = fuzz_u16(in);

	for (unsigned i = 0; i < n; i++) {
		uint32_t len = lens[fuzz_u8(in) % (sizeof(lens) / sizeof(lens[0]))];
		const uint8_t *bytes;

		s[i] = (struct fake_segment){script->arena + at, len, i >= n_readable};
		if (i < n_readable) {
			size_t got = fuzz_bytes(in, len < 64 ? len : 64, &bytes);
			memcpy(script->arena + at, bytes, got);
		}
		at += len;
	}
	if (indirect)
		(void)fake_add_indirect(script->fake, queue, s, n);
	else
		(void)fake_add(script->fake, queue, s, n);
}

static void step_raw_desc(struct fuzz_script *script, struct fuzz_input *in)
{
	struct fake_queue *q = &script->fake->queues[fuzz_u8(in) % script->n_queues];
	struct fake_desc *d = &q->desc[fuzz_u8(in) % q->layout.size];

	d->gpa = fuzz_u64(in);
	d->len_bytes = fuzz_u32(in);
	d->flags = fuzz_u16(in);
	d->next = fuzz_u16(in);
}

static void kick(struct fuzz_script *script, unsigned queue)
{
	if (script->kick) {
		script->kick(script, queue);
		return;
	}
	fake_kick(script->fake, queue);
	if (script->loop)
		fake_loop_settle(script->loop, 0);
}

static void step_reset(struct fuzz_script *script)
{
	if (!script->fake->dev)
		return;
	fake_transport_stop(script->fake);
	if (fake_transport_start(script->fake, script->features) < 0)
		abort();
	if (script->loop)
		fake_loop_settle(script->loop, 0);
}

static void run_step(struct fuzz_script *script, unsigned op, struct fuzz_input *in)
{
	unsigned queue;

	switch (op) {
	case STEP_CHAIN:
	case STEP_CHAIN_INDIRECT:
		step_chain(script, in, op == STEP_CHAIN_INDIRECT);
		break;
	case STEP_KICK:
		kick(script, fuzz_u8(in) % script->n_queues);
		break;
	case STEP_TAKE_USED:
		queue = fuzz_u8(in) % script->n_queues;
		while (fake_used(script->fake, queue, NULL) >= 0)
			;
		break;
	case STEP_RAW_DESC:
		step_raw_desc(script, in);
		break;
	case STEP_PUBLISH:
		queue = fuzz_u8(in) % script->n_queues;
		fake_publish(script->fake, queue, fuzz_u8(in));
		break;
	case STEP_AVAIL_INDEX:
		queue = fuzz_u8(in) % script->n_queues;
		script->fake->queues[queue].avail->idx = fuzz_u16(in);
		break;
	case STEP_RESET:
		step_reset(script);
		break;
	default:
		if (script->step)
			script->step(script, op - STEP_OWN, in);
	}
}

void fuzz_script_run(struct fuzz_script *script, struct fuzz_input *in)
{
	log_init("fuzz", 2, LOG_LEVEL_ERROR); /* what a guest breaks is no news here */
	if (!script->arena)
		script->arena = fake_alloc(script->fake, FUZZ_ARENA_BYTES);
	if (!script->arena)
		abort();
	for (unsigned steps = 0; in->left && steps < FUZZ_STEPS_MAX; steps++)
		run_step(script, fuzz_u8(in) % 16, in);
	for (unsigned queue = 0; queue < script->n_queues; queue++)
		kick(script, queue);
}
