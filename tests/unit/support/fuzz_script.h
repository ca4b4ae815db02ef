/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzzer's input as a script for the fake transport: what a driver can do to a device, right and
 * wrong, one step after the other, so that the fuzzer gets past the first broken ring. Steps that
 * the table does not know are the device's own (a packet, a host descriptor).
 */
#ifndef TESTS_UNIT_SUPPORT_FUZZ_SCRIPT_H
#define TESTS_UNIT_SUPPORT_FUZZ_SCRIPT_H

#include <stdint.h>

#include "tests/unit/support/fake_transport.h"

#define FUZZ_ARENA_BYTES (1u << 20) /* of guest memory that chains point into */
#define FUZZ_STEPS_MAX	 512u

struct fuzz_input {
	const uint8_t *data;
	size_t left;
};

/* Numbers from the input, little endian; zero bytes behind its end. */
uint8_t fuzz_u8(struct fuzz_input *in);
uint16_t fuzz_u16(struct fuzz_input *in);
uint32_t fuzz_u32(struct fuzz_input *in);
uint64_t fuzz_u64(struct fuzz_input *in);
/* At most max of the bytes left; *bytes points into the input. */
size_t fuzz_bytes(struct fuzz_input *in, size_t max, const uint8_t **bytes);

struct fuzz_script {
	struct fake_transport *fake;
	struct loop *loop; /* NULL: the steps that run it do nothing */
	uint8_t *arena;
	uint64_t features;
	unsigned n_queues;
	void *arg;
	/* The device's own steps: op counts from 0. NULL: none. */
	void (*step)(struct fuzz_script *script, unsigned op, struct fuzz_input *in);
	/* What a kick does; NULL: fake_kick and the loop. */
	void (*kick)(struct fuzz_script *script, unsigned queue);
};

/* Runs the whole input. The arena is allocated when it is NULL. */
void fuzz_script_run(struct fuzz_script *script, struct fuzz_input *in);

#endif
