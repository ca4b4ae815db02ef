/* SPDX-License-Identifier: Apache-2.0 */
/* Rings of the hostile guest, as they should be and as they should not; see guest.h. */
#include "tests/hostile/guest.h"

#define DESC_F_NEXT	 1u
#define DESC_F_WRITE	 2u
#define DESC_F_INDIRECT	 4u
#define FEATURE_INDIRECT (1ull << 28)

#define WAIT_TURNS 4000 /* longer than an answer takes, much shorter than a run */

struct desc {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags, next;
};

static volatile struct desc *table_of(const struct queue *q)
{
	return (volatile struct desc *)q->desc;
}

static volatile uint16_t *avail_of(const struct queue *q)
{
	return (volatile uint16_t *)q->avail_gpa;
}

static volatile uint16_t *used_of(const struct queue *q)
{
	return (volatile uint16_t *)q->used_gpa;
}

static void put(volatile struct desc *d, uint64_t gpa, uint32_t len, unsigned flags, unsigned next)
{
	d->gpa = gpa;
	d->len = len;
	d->flags = (uint16_t)flags;
	d->next = (uint16_t)next;
}

/* The chain in a table of count entries from first on, wrapping; the entries used. */
static unsigned put_chain(
	volatile struct desc *table, unsigned count, unsigned first, const struct chain *c)
{
	unsigned n = c->n < count ? c->n : count;

	for (unsigned i = 0; i < n; i++) {
		const struct part *p = &c->parts[i];
		unsigned flags = (p->writable ? DESC_F_WRITE : 0) | (i + 1 < n ? DESC_F_NEXT : 0);

		put(&table[(first + i) % count], p->gpa, p->len, flags, (first + i + 1) % count);
	}
	return n;
}

/* One rule broken in a table that holds a chain of n from first on. */
static void spoil(
	volatile struct desc *table, unsigned count, unsigned first, unsigned n, struct random *r)
{
	volatile struct desc *d = &table[(first + random_below(r, n ? n : 1)) % count];

	switch (random_below(r, 16)) {
	case 0: /* a loop, perhaps of one */
		d->flags |= DESC_F_NEXT;
		d->next = (uint16_t)((first + random_below(r, n ? n : 1)) % count);
		break;
	case 1:
		d->flags |= DESC_F_NEXT;
		d->next = (uint16_t)random_number(r);
		break;
	case 2:
		d->len = (uint32_t)random_number(r);
		break;
	case 3: /* lengths that overflow when they are added */
		for (unsigned i = 0; i < n; i++)
			table[(first + i) % count].len = 0xffffff00u + random_below(r, 0x100);
		break;
	case 4: /* ends a little behind the end of memory */
		d->gpa = machine.ram_end_gpa[0] - d->len + random_below(r, 64);
		break;
	case 5:
		d->flags ^= DESC_F_WRITE;
		break;
	case 6:
		d->flags = (uint16_t)random_number(r);
		break;
	case 7: /* an indirect table that is not the last, or has a strange length */
		d->flags |= DESC_F_INDIRECT;
		d->len = random_below(r, 4) ? d->len : 16 * random_below(r, 70000) + one_in(r, 4);
		break;
	case 8: /* a table that is its own entry */
		put(d, (uint64_t)table, 16 * (count < 64 ? count : 64), DESC_F_INDIRECT, 0);
		break;
	case 9: /* whatever */
		put(d, random_gpa(r, 0), (uint32_t)random_number(r), (unsigned)random_next(r),
			(unsigned)random_next(r));
		break;
	case 10: /* the longest chain that there can be */
		for (unsigned i = 0; i < count; i++)
			put(&table[i], BUFFERS_GPA + 64 * i, random_below(r, 64),
				i ? DESC_F_NEXT | DESC_F_WRITE : DESC_F_NEXT, (i + 1) % count);
		table[(first + count - 1) % count].flags ^= DESC_F_NEXT;
		break;
	case 11:
		d->len = 0;
		break;
	case 12:
		d->len = (uint32_t)random_number(r);
		break;
	default:
		d->gpa = random_gpa(r, d->len);
	}
}

/* A table of its own for the chain; indirect tables lie in the last part of the arena. */
static void add_indirect(struct queue *q, const struct chain *c, struct random *r, bool wrong)
{
	uint64_t gpa = ARENA_GPA + ARENA_BYTES - 0x40000 +
		(one_in(r, 4) ? random_below(r, 0x20000) : 16 * random_below(r, 0x2000));
	volatile struct desc *inner = (volatile struct desc *)gpa;
	unsigned count = one_in(r, 8) ? RING_SIZE_MAX : PARTS_MAX;
	unsigned n = put_chain(inner, count, 0, c);

	if (wrong)
		spoil(inner, count, 0, n, r);
	put(&table_of(q)[q->free % q->size], gpa, 16 * (one_in(r, 4) && wrong ? count : n),
		DESC_F_INDIRECT, 0);
}

static void publish(struct queue *q, unsigned head, struct random *r, enum evil evil, bool wrong)
{
	volatile uint16_t *avail = avail_of(q);

	if (wrong && one_in(r, 4))
		head = (unsigned)random_number(r);
	avail[2 + q->avail % q->size] = (uint16_t)head;
	q->avail++;
	if (wrong && one_in(r, 4))
		q->avail = (uint16_t)(q->avail + random_number(r));
	if (evil != TAME && one_in(r, 8)) {
		avail[0] = (uint16_t)random_below(r, 3);
		avail[2 + q->size] = (uint16_t)(q->avail + random_below(r, 4)); /* used_event */
	}
	__asm__ volatile("mfence" : : : "memory");
	avail[1] = q->avail;
}

/* Whether n more descriptors are free, by a coarse count. */
static bool has_room(struct device *d, unsigned queue, unsigned n)
{
	struct queue *q = &d->queues[queue];

	if (q->taken + n > q->size && ring_wait(d, queue))
		q->taken = 0;
	return q->taken + n <= q->size;
}

bool ring_add(
	struct device *d, unsigned queue, const struct chain *c, struct random *r, enum evil evil)
{
	struct queue *q = &d->queues[queue];
	bool wrong = evil == WILD ? one_in(r, 8) : evil == SLY && one_in(r, 100);
	bool indirect = d->features & FEATURE_INDIRECT && (c->n > q->size || one_in(r, 2));

	if (wrong && one_in(r, 8))
		indirect = true;
	if (!q->size || (!has_room(d, queue, indirect ? 1 : c->n) && !(wrong && one_in(r, 4))))
		return false;
	unsigned head = q->free % q->size, n = 1;
	if (indirect) {
		add_indirect(q, c, r, wrong && !one_in(r, 4));
	} else {
		n = put_chain(table_of(q), q->size, head, c);
		if (wrong && !one_in(r, 4))
			spoil(table_of(q), q->size, head, n, r);
	}
	q->free = (uint16_t)(q->free + n);
	q->taken = (uint16_t)(q->taken + n);
	publish(q, head, r, evil, wrong);
	return true;
}

void ring_scribble(struct device *d, struct random *r)
{
	uint64_t gpa = RINGS_GPA + random_below(r, d->n_queues ? d->n_queues : 1) * RING_BYTES;

	switch (random_below(r, 4)) {
	case 0: /* the first descriptors */
		/* The bit keeps addresses away from the program. */
		*(volatile uint32_t *)(gpa + 4ull * random_below(r, 64)) =
			(uint32_t)random_number(r) | (uint32_t)ARENA_GPA;
		break;
	case 1: /* buffers: headers that were read, or are about to be */
		*(volatile uint32_t *)(BUFFERS_GPA + 4ull * random_below(r, 1024)) =
			(uint32_t)random_number(r);
		break;
	case 2: /* descriptors in indirect tables */
		*(volatile uint32_t *)(ARENA_GPA + ARENA_BYTES - 0x40000 +
			4ull * random_below(r, 0x8000)) =
			(uint32_t)random_number(r) | (uint32_t)ARENA_GPA;
		break;
	default: /* the used ring, which is not ours */
		*(volatile uint16_t *)(gpa + RING_USED + 4 + 2ull * random_below(r, 64)) =
			(uint16_t)random_number(r);
	}
}

bool ring_wait(struct device *d, unsigned queue)
{
	const struct queue *q = &d->queues[queue];
	unsigned turns = request_is_kept(d, queue) ? 1 : WAIT_TURNS;

	for (unsigned i = 0; q->size && i < turns; i++) {
		if (used_of(q)[1] == q->avail)
			return true;
		__asm__ volatile("pause");
	}
	return false;
}

uint32_t rings_served(const struct device *d)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < d->n_queues; i++)
		if (d->queues[i].size)
			n += used_of(&d->queues[i])[1];
	return n;
}
