/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueues: guest memory is the input, rings included. Whatever it holds, a popped chain
 * lies inside guest memory and the number of pops is bounded.
 *
 * Covers: microvm/virtio/queue.c
 */
#include <stdlib.h>
#include <string.h>

#include "microvm/virtio/queue.h"
#include "tests/unit/support/fuzz_script.h"

#define MEMORY_BYTES (UINT64_C(2) << 20)
#define INPUT_BYTES  (64u << 10)
#define POPS_MAX     (2u * VIRTQ_SIZE_MAX)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_chain(const struct guest_memory *memory, const struct virtq_chain *chain)
{
	const uint8_t *base = memory->regions[0].host;
	unsigned n = chain->n_readable + chain->n_writable;
	size_t bytes = 0;

	if (n > VIRTQ_SEGMENTS_MAX)
		abort();
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *p = chain->iov[i].iov_base;
		if (p < base || chain->iov[i].iov_len > (size_t)(base + MEMORY_BYTES - p))
			abort();
		bytes += chain->iov[i].iov_len;
	}
	if (bytes != chain->readable_bytes + chain->writable_bytes || bytes > UINT32_MAX)
		abort();
}

static void use_chain(struct virtq *q, struct virtq_chain *chain, uint8_t how)
{
	uint8_t bytes[300];
	struct iovec *iov = chain->iov;

	if (virtq_chain_read(chain, how, bytes, sizeof(bytes)) > chain->readable_bytes)
		abort();
	if (how & 1)
		(void)virtq_chain_write(chain, how, bytes, sizeof(bytes));
	if (how & 2)
		(void)virtq_iov_cut(&iov, chain->n_readable, how, 100);
	if (how & 4)
		virtq_push(q, chain->head, how);
	(void)virtq_should_interrupt(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct guest_memory memory; /* kept over inputs: making it costs more than a run */
	static struct virtq_chain chain;
	struct fuzz_input in = {data, size};
	struct virtq q;
	unsigned pops = 0;

	if (!memory.n_regions && guest_memory_create(&memory, MEMORY_BYTES, NULL) < 0)
		abort();
	uint8_t options = fuzz_u8(&in);
	const struct virtq_layout layout = {
		.size = (uint16_t)(1u << (fuzz_u8(&in) % 11)),
		.desc_gpa = (uint64_t)fuzz_u8(&in) * 16,
		.avail_gpa = (uint64_t)fuzz_u16(&in),
		.used_gpa = (uint64_t)fuzz_u16(&in),
	};
	uint16_t base = options & 8 ? fuzz_u16(&in) : 0;
	memset(memory.regions[0].host, 0, INPUT_BYTES);
	memcpy(memory.regions[0].host, in.data, in.left < INPUT_BYTES ? in.left : INPUT_BYTES);

	uint64_t features =
		(options & 1 ? FAKE_F_EVENT_IDX : 0) | (options & 2 ? FAKE_F_INDIRECT : 0);
	if (virtq_start(&q, &memory, &layout, features, base) < 0)
		return 0;
	if (options & 16)
		virtq_kicks_off(&q);
	/* Pushes may overwrite the available ring and make new chains: only the count ends it. */
	while (pops++ < POPS_MAX && virtq_pop(&q, &chain) == 1) {
		check_chain(&memory, &chain);
		if (options & 32 && pops % 3 == 0)
			virtq_unpop(&q);
		else
			use_chain(&q, &chain, (uint8_t)(options + pops));
	}
	(void)virtq_kicks_on(&q);
	(void)virtq_stop(&q);
	return 0;
}
