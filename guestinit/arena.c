/* SPDX-License-Identifier: Apache-2.0 */
/* Memory with one lifetime; see arena.h. */
#include "guestinit/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BLOCK_BYTES 8192
#define ARENA_ALIGN	  16

struct arena_block {
	struct arena_block *next;
	size_t used_bytes, cap_bytes;
	_Alignas(ARENA_ALIGN) char data[];
};

void *arena_alloc(struct arena *arena, size_t size_bytes)
{
	struct arena_block *block = arena->blocks;

	if (size_bytes > SIZE_MAX / 2)
		return NULL;
	size_t need = (size_bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	if (!block || block->cap_bytes - block->used_bytes < need) {
		size_t cap = need > ARENA_BLOCK_BYTES ? need : ARENA_BLOCK_BYTES;
		block = calloc(1, sizeof(*block) + cap);
		if (!block)
			return NULL;
		block->cap_bytes = cap;
		block->next = arena->blocks;
		arena->blocks = block;
	}
	void *p = block->data + block->used_bytes;
	block->used_bytes += need;
	return p;
}

void *arena_array(struct arena *arena, size_t count, size_t elem_bytes)
{
	size_t size;

	if (__builtin_mul_overflow(count, elem_bytes, &size))
		return NULL;
	return arena_alloc(arena, size);
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0)
		return NULL;
	char *text = arena_alloc(arena, (size_t)len + 1);
	if (!text)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(text, (size_t)len + 1, fmt, ap);
	va_end(ap);
	return text;
}

void arena_fini(struct arena *arena)
{
	while (arena->blocks) {
		struct arena_block *next = arena->blocks->next;
		free(arena->blocks);
		arena->blocks = next;
	}
}
