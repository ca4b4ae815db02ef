/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's side of a split virtqueue (virtio 1.2, 2.7). Every field of a ring belongs to a
 * hostile driver that may change it at any moment, so each is read exactly once, through a
 * volatile or atomic access that the compiler can't repeat, and checked afterwards.
 *
 * Ordering. There are three points where the two sides meet, and one barrier for each:
 *  - pop: the driver writes descriptors and ring entry, then the index. Loading the index with
 *    acquire keeps our reads of the entry and the descriptors behind it.
 *  - push: we write payload and used element, then the index, with release: a driver that sees the
 *    index sees all that it counts.
 *  - suppression (interrupts and kicks): each side writes its own index and then reads the other
 *    side's wish. Store-then-load is the one order that neither acquire nor release gives, not
 *    even on x86, so both places need a full fence. Without it both sides could read stale values,
 *    each believing that the other will look again, and the queue would sleep for ever.
 */
#include "microvm/virtio/queue.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* virtio 1.2, 2.7.5 to 2.7.8 */
#define DESC_F_NEXT	     1u
#define DESC_F_WRITE	     2u
#define DESC_F_INDIRECT	     4u
#define AVAIL_F_NO_INTERRUPT 1u
#define USED_F_NO_NOTIFY     1u

#define DESC_BYTES	  16u
#define USED_ELEM_BYTES	  8u
#define RING_HEADER_BYTES 4u /* flags, idx */
#define RING_EVENT_BYTES  2u /* used_event or avail_event behind the ring */

struct virtq_desc {
	uint64_t gpa;
	uint32_t len_bytes;
	uint16_t flags, next;
};

/* An indirect table may sit at any address: packed tells the compiler (and UBSan). */
struct unaligned_u64 {
	uint64_t value;
} __attribute__((packed, may_alias));

static uint16_t ring_load(const uint8_t *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_RELAXED));
}

static void ring_store(uint8_t *p, uint16_t value)
{
	__atomic_store_n((uint16_t *)(void *)p, htole16(value), __ATOMIC_RELAXED);
}

static uint8_t *used_event(const struct virtq *q)
{
	return q->avail + RING_HEADER_BYTES + 2u * q->layout.size;
}

static uint8_t *avail_event(const struct virtq *q)
{
	return q->used + RING_HEADER_BYTES + USED_ELEM_BYTES * q->layout.size;
}

/* One read of a descriptor: two loads that can't be repeated, decoded from the copy. */
static struct virtq_desc desc_load(const uint8_t *table, uint32_t index)
{
	const volatile struct unaligned_u64 *p =
		(const volatile struct unaligned_u64 *)(const void *)(table + index * DESC_BYTES);
	uint64_t first = le64toh(p[0].value), second = le64toh(p[1].value);

	return (struct virtq_desc){
		.gpa = first,
		.len_bytes = (uint32_t)second,
		.flags = (uint16_t)(second >> 32),
		.next = (uint16_t)(second >> 48),
	};
}

int virtq_start(struct virtq *q, const struct guest_memory *memory,
	const struct virtq_layout *layout, uint64_t features, uint16_t base)
{
	uint32_t size = layout->size;

	memset(q, 0, sizeof(*q));
	if (!size || size > VIRTQ_SIZE_MAX || (size & (size - 1)))
		return -EINVAL;
	if (layout->desc_gpa % 16 || layout->avail_gpa % 2 || layout->used_gpa % 4)
		return -EINVAL;
	q->memory = memory;
	q->layout = *layout;
	q->desc = guest_memory_at(memory, layout->desc_gpa, DESC_BYTES * size);
	q->avail = guest_memory_at(
		memory, layout->avail_gpa, RING_HEADER_BYTES + 2u * size + RING_EVENT_BYTES);
	q->used = guest_memory_at(memory, layout->used_gpa,
		RING_HEADER_BYTES + USED_ELEM_BYTES * size + RING_EVENT_BYTES);
	if (!q->desc || !q->avail || !q->used)
		return -EINVAL;
	q->event_idx = features & (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX);
	q->indirect = features & (UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC);
	q->last_avail = base;
	/* 0 after a reset; when resumed, the ring itself says how far the used side had come. */
	q->next_used = ring_load(q->used + 2);
	q->in_flight_base = (uint16_t)(q->last_avail - q->next_used);
	q->running = true;
	return 0;
}

uint16_t virtq_stop(struct virtq *q)
{
	q->running = false;
	q->desc = q->avail = q->used = NULL;
	return q->last_avail;
}

static int ring_broken(struct virtq *q)
{
	q->broken = true;
	return -EPROTO;
}

/* Adds one buffer to the chain; false when it breaks a rule. */
static bool chain_add(const struct virtq *q, struct virtq_chain *chain, const struct virtq_desc *d)
{
	bool writable = d->flags & DESC_F_WRITE;
	unsigned n = chain->n_readable + chain->n_writable;

	/* virtio 1.2, 2.7.4.2: all readable buffers come before all writable ones. */
	if (!writable && chain->n_writable)
		return false;
	/* Legal if odd; nothing to look up, nothing to hand out. */
	if (!d->len_bytes)
		return true;
	if (n == VIRTQ_SEGMENTS_MAX)
		return false;
	/* 2.7.5.2: at most 2^32 bytes; the used element counts them in 32 bits. */
	if (chain->readable_bytes + chain->writable_bytes + d->len_bytes > UINT32_MAX)
		return false;
	void *host = guest_memory_at(q->memory, d->gpa, d->len_bytes);
	if (!host)
		return false;
	chain->iov[n] = (struct iovec){.iov_base = host, .iov_len = d->len_bytes};
	if (writable) {
		chain->n_writable++;
		chain->writable_bytes += d->len_bytes;
	} else {
		chain->n_readable++;
		chain->readable_bytes += d->len_bytes;
	}
	return true;
}

/*
 * Follows one table of count descriptors from index on. Every descriptor of it can be visited
 * once: more steps than entries is a loop. A descriptor that points to an indirect table ends
 * the walk of the ring and is handed out in *indirect; within an indirect table it is an error
 * (indirect is NULL there).
 */
static bool chain_walk(const struct virtq *q, struct virtq_chain *chain, const uint8_t *table,
	uint32_t count, uint32_t index, struct virtq_desc *indirect)
{
	for (uint32_t steps = 0; steps < count; steps++) {
		if (index >= count)
			return false;
		struct virtq_desc d = desc_load(table, index);
		if (d.flags & DESC_F_INDIRECT) {
			/* 2.7.5.3.1: negotiated, not nested, and the last of its chain */
			if (!indirect || !q->indirect || (d.flags & DESC_F_NEXT))
				return false;
			*indirect = d;
			return true;
		}
		if (!chain_add(q, chain, &d))
			return false;
		if (!(d.flags & DESC_F_NEXT))
			return true;
		index = d.next;
	}
	return false;
}

static bool chain_gather(const struct virtq *q, struct virtq_chain *chain)
{
	struct virtq_desc indirect = {0};

	if (!chain_walk(q, chain, q->desc, q->layout.size, chain->head, &indirect))
		return false;
	if (!(indirect.flags & DESC_F_INDIRECT))
		return true;
	if (!indirect.len_bytes || indirect.len_bytes % DESC_BYTES)
		return false;
	uint32_t count = indirect.len_bytes / DESC_BYTES;
	/* Longer tables could only hold chains that we refuse anyway. */
	if (count > VIRTQ_SEGMENTS_MAX)
		return false;
	const uint8_t *table = guest_memory_at(q->memory, indirect.gpa, indirect.len_bytes);
	return table && chain_walk(q, chain, table, count, 0, NULL);
}

/* Chains that the driver has made available and we have not popped. */
static uint16_t avail_pending(const struct virtq *q)
{
	uint16_t idx =
		__atomic_load_n((const uint16_t *)(const void *)(q->avail + 2), __ATOMIC_ACQUIRE);

	return (uint16_t)(le16toh(idx) - q->last_avail);
}

/* Asks for a kick at the next chain; the chains that came while asking. See "Ordering" above. */
static uint16_t kick_arm(struct virtq *q)
{
	if (q->event_idx)
		ring_store(avail_event(q), q->last_avail);
	else
		ring_store(q->used, 0);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return avail_pending(q);
}

int virtq_pop(struct virtq *q, struct virtq_chain *chain)
{
	if (q->broken)
		return -EPROTO;
	if (!q->running)
		return 0;

	uint16_t pending = avail_pending(q);
	/*
	 * With EVENT_IDX a kick comes only for the index that we name, so an empty queue names it,
	 * then looks again. A device can't forget to.
	 */
	if (!pending && q->event_idx && !q->kicks_are_off)
		pending = kick_arm(q);
	if (!pending)
		return 0;
	/*
	 * A driver has at most as many chains under way as there are descriptors. One that claims
	 * more wants us to take a chain twice; refusing bounds what a device has in flight.
	 */
	uint16_t in_flight = (uint16_t)(q->last_avail - q->next_used - q->in_flight_base);
	if (pending > q->layout.size || in_flight >= q->layout.size)
		return ring_broken(q);

	uint32_t slot = q->last_avail & (q->layout.size - 1u);
	chain->head = ring_load(q->avail + RING_HEADER_BYTES + 2u * slot);
	chain->n_readable = chain->n_writable = 0;
	chain->readable_bytes = chain->writable_bytes = 0;
	if (!chain_gather(q, chain))
		return ring_broken(q);
	q->last_avail++;
	return 1;
}

void virtq_unpop(struct virtq *q)
{
	q->last_avail--;
}

void virtq_fill(struct virtq *q, uint16_t head, uint32_t written_bytes)
{
	if (!q->running)
		return;
	uint32_t slot = q->next_used & (q->layout.size - 1u);
	uint32_t *elem = (uint32_t *)(void *)(q->used + RING_HEADER_BYTES + USED_ELEM_BYTES * slot);
	elem[0] = htole32(head);
	elem[1] = htole32(written_bytes);
	q->next_used++;
	/* After a whole turn without a look at the driver's wish, the last one means nothing. */
	if (q->next_used == q->signalled_used)
		q->signalled_valid = false;
}

void virtq_publish(struct virtq *q)
{
	if (q->running)
		__atomic_store_n(
			(uint16_t *)(void *)(q->used + 2), htole16(q->next_used), __ATOMIC_RELEASE);
}

void virtq_push(struct virtq *q, uint16_t head, uint32_t written_bytes)
{
	virtq_fill(q, head, written_bytes);
	virtq_publish(q);
}

bool virtq_should_interrupt(struct virtq *q)
{
	if (!q->running || (q->signalled_valid && q->signalled_used == q->next_used))
		return false;

	uint16_t before = q->signalled_used, now = q->next_used;
	bool valid = q->signalled_valid;
	q->signalled_used = now;
	q->signalled_valid = true;

	/* used->idx must be visible before we read the wish. See "Ordering" above. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!q->event_idx)
		return !(ring_load(q->avail) & AVAIL_F_NO_INTERRUPT);
	if (!valid)
		return true;
	/* 2.7.7.2: was the index that the driver named passed by [before, now)? */
	uint16_t event = ring_load(used_event(q));
	return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

void virtq_kicks_off(struct virtq *q)
{
	q->kicks_are_off = true;
	/* With EVENT_IDX the index named last has been passed already: no kick until a new one. */
	if (q->running && !q->event_idx)
		ring_store(q->used, USED_F_NO_NOTIFY);
}

bool virtq_kicks_on(struct virtq *q)
{
	q->kicks_are_off = false;
	return q->running && !q->broken && kick_arm(q);
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t virtq_chain_read(const struct virtq_chain *chain, size_t offset, void *dst, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < chain->n_readable && done < len; i++) {
		const struct iovec *v = &chain->iov[i];
		if (offset >= v->iov_len) {
			offset -= v->iov_len;
			continue;
		}
		size_t n = min_size(len - done, v->iov_len - offset);
		memcpy((uint8_t *)dst + done, (const uint8_t *)v->iov_base + offset, n);
		done += n;
		offset = 0;
	}
	/* What is read from dst now can't become a second read of guest memory. */
	__asm__ volatile("" : : : "memory");
	return done;
}

size_t virtq_chain_write(
	const struct virtq_chain *chain, size_t offset, const void *src, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < chain->n_writable && done < len; i++) {
		const struct iovec *v = &chain->iov[chain->n_readable + i];
		if (offset >= v->iov_len) {
			offset -= v->iov_len;
			continue;
		}
		size_t n = min_size(len - done, v->iov_len - offset);
		memcpy((uint8_t *)v->iov_base + offset, (const uint8_t *)src + done, n);
		done += n;
		offset = 0;
	}
	return done;
}

unsigned virtq_iov_cut(struct iovec **iov, unsigned n, size_t skip, size_t len)
{
	struct iovec *v = *iov;
	unsigned kept = 0;

	while (n && skip >= v->iov_len) {
		skip -= v->iov_len;
		v++;
		n--;
	}
	*iov = v;
	for (; kept < n && len; kept++, v++) {
		v->iov_base = (uint8_t *)v->iov_base + skip;
		v->iov_len = min_size(v->iov_len - skip, len);
		len -= v->iov_len;
		skip = 0;
	}
	return kept;
}
