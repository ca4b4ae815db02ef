/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory with one lifetime: what is decoded from a create message lives until the container is
 * gone, and is freed at once. Memory comes zeroed.
 */
#ifndef GUESTINIT_ARENA_H
#define GUESTINIT_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *blocks;
};

/* size_bytes zeroed bytes aligned for any type, or NULL without memory. */
void *arena_alloc(struct arena *arena, size_t size_bytes);

/* An array of count elements; NULL on overflow as well. */
void *arena_array(struct arena *arena, size_t count, size_t elem_bytes);

char *arena_printf(struct arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void arena_fini(struct arena *arena);

#endif
