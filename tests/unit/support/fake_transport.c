/* SPDX-License-Identifier: Apache-2.0 */
/* A driver in memory; see fake_transport.h. */
#include "tests/unit/support/fake_transport.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define DESC_F_NEXT	1u
#define DESC_F_WRITE	2u
#define DESC_F_INDIRECT 4u

static struct fake_transport *fake_of(struct virtio_device *dev)
{
	return dev->transport_data;
}

static void fake_interrupt(struct virtio_device *dev, unsigned queue)
{
	__atomic_fetch_add(&fake_of(dev)->n_interrupts[queue], 1, __ATOMIC_RELAXED);
}

static void fake_config_changed(struct virtio_device *dev)
{
	__atomic_fetch_add(&fake_of(dev)->n_config_changes, 1, __ATOMIC_RELAXED);
}

static void fake_needs_reset(struct virtio_device *dev)
{
	__atomic_fetch_add(&fake_of(dev)->n_needs_reset, 1, __ATOMIC_RELAXED);
}

static const struct virtio_transport_ops fake_ops = {
	.interrupt = fake_interrupt,
	.config_changed = fake_config_changed,
	.needs_reset = fake_needs_reset,
};

static void lay_out_queue(
	struct fake_transport *fake, struct fake_queue *q, uint64_t gpa, uint16_t size)
{
	memset(q, 0, sizeof(*q));
	q->layout.size = size;
	q->layout.desc_gpa = gpa;
	q->layout.avail_gpa = gpa + 16u * size;
	q->layout.used_gpa = (q->layout.avail_gpa + 6 + 2u * size + 3) & ~UINT64_C(3);
	q->desc = guest_memory_at(&fake->memory, q->layout.desc_gpa, 1);
	q->avail = guest_memory_at(&fake->memory, q->layout.avail_gpa, 1);
	q->used = guest_memory_at(&fake->memory, q->layout.used_gpa, 1);
}

int fake_rings_init(struct fake_transport *fake, unsigned n_queues, uint16_t size)
{
	memset(fake, 0, sizeof(*fake));
	int ret = guest_memory_create(&fake->memory, FAKE_MEMORY_BYTES, NULL);
	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < n_queues; i++)
		lay_out_queue(fake, &fake->queues[i], i * FAKE_QUEUE_BYTES, size);
	fake->alloc_gpa = n_queues * FAKE_QUEUE_BYTES;
	return 0;
}

int fake_transport_start(struct fake_transport *fake, uint64_t features)
{
	struct virtio_device *dev = fake->dev;

	for (unsigned i = 0; i < dev->n_queues; i++) {
		dev->layouts[i] = fake->queues[i].layout;
		dev->queue_ready[i] = true;
	}
	pthread_mutex_lock(&dev->lock);
	int ret = virtio_device_start(dev, &fake->memory, features, NULL);
	pthread_mutex_unlock(&dev->lock);
	return ret;
}

int fake_transport_init(
	struct fake_transport *fake, struct virtio_device *dev, uint16_t size, uint64_t features)
{
	int ret = fake_rings_init(fake, dev->n_queues, size);

	if (ret < 0)
		return ret;
	fake->dev = dev;
	dev->transport = &fake_ops;
	dev->transport_data = fake;
	return fake_transport_start(fake, features);
}

void fake_transport_stop(struct fake_transport *fake)
{
	struct virtio_device *dev = fake->dev;

	pthread_mutex_lock(&dev->lock);
	virtio_device_stop(dev);
	pthread_mutex_unlock(&dev->lock);
	for (unsigned i = 0; i < dev->n_queues; i++) {
		struct virtq_layout layout = fake->queues[i].layout;
		memset(guest_memory_at(&fake->memory, layout.desc_gpa, 1), 0, FAKE_QUEUE_BYTES);
		lay_out_queue(fake, &fake->queues[i], layout.desc_gpa, layout.size);
	}
}

void fake_transport_fini(struct fake_transport *fake)
{
	if (fake->dev)
		fake_transport_stop(fake);
	guest_memory_fini(&fake->memory);
	fake->dev = NULL;
}

void *fake_alloc(struct fake_transport *fake, size_t len_bytes)
{
	uint64_t gpa = (fake->alloc_gpa + 63) & ~UINT64_C(63);
	void *host = guest_memory_at(&fake->memory, gpa, len_bytes);

	if (host)
		fake->alloc_gpa = gpa + len_bytes;
	return host;
}

uint64_t fake_gpa(const struct fake_transport *fake, const void *host)
{
	const struct guest_memory_region *r = &fake->memory.regions[0];

	return r->gpa + (uint64_t)((const uint8_t *)host - r->host);
}

/* Writes n segments as descriptors into table from index on, within entries, linked. */
static void write_descs(const struct fake_transport *fake, struct fake_desc *table, uint16_t index,
	uint16_t entries, const struct fake_segment *segments, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint16_t next = (uint16_t)((index + 1u) % entries);
		uint16_t flags = segments[i].writable ? DESC_F_WRITE : 0;
		table[index] = (struct fake_desc){
			.gpa = segments[i].host ? fake_gpa(fake, segments[i].host) : 0,
			.len_bytes = segments[i].len_bytes,
			.flags = (uint16_t)(flags | (i + 1 < n ? DESC_F_NEXT : 0)),
			.next = next,
		};
		index = next;
	}
}

void fake_publish(struct fake_transport *fake, unsigned queue, uint16_t head)
{
	struct fake_queue *q = &fake->queues[queue];
	uint16_t idx = q->avail->idx;

	q->avail->ring[idx & (q->layout.size - 1)] = head;
	__atomic_store_n(&q->avail->idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
}

/*
 * Descriptors are handed out in a ring: enough for devices that return chains in order, or nearly
 * so (outstanding counts what is out; a slot is not reused before all others were).
 */
static int take_descs(struct fake_queue *q, unsigned n)
{
	uint16_t head = q->next_desc;

	if (!n || q->outstanding + n > q->layout.size)
		return -1;
	q->outstanding = (uint16_t)(q->outstanding + n);
	q->chain_descs[head] = (uint16_t)n;
	q->next_desc = (uint16_t)((head + n) % q->layout.size);
	return head;
}

int fake_add(struct fake_transport *fake, unsigned queue, const struct fake_segment *segments,
	unsigned n)
{
	struct fake_queue *q = &fake->queues[queue];
	int head = take_descs(q, n);

	if (head < 0)
		return -1;
	write_descs(fake, q->desc, (uint16_t)head, q->layout.size, segments, n);
	fake_publish(fake, queue, (uint16_t)head);
	return head;
}

int fake_add_indirect(struct fake_transport *fake, unsigned queue,
	const struct fake_segment *segments, unsigned n)
{
	struct fake_queue *q = &fake->queues[queue];
	struct fake_desc *table = fake_alloc(fake, n * sizeof(*table));
	int head = table ? take_descs(q, 1) : -1;

	if (head < 0)
		return -1;
	write_descs(fake, table, 0, (uint16_t)(n + 1), segments, n);
	q->desc[head] = (struct fake_desc){
		.gpa = fake_gpa(fake, table),
		.len_bytes = (uint32_t)(n * sizeof(*table)),
		.flags = DESC_F_INDIRECT,
	};
	fake_publish(fake, queue, (uint16_t)head);
	return head;
}

void fake_kick(struct fake_transport *fake, unsigned queue)
{
	pthread_mutex_lock(&fake->dev->lock);
	virtio_device_kick(fake->dev, queue);
	pthread_mutex_unlock(&fake->dev->lock);
}

int fake_used(struct fake_transport *fake, unsigned queue, uint32_t *len_bytes)
{
	struct fake_queue *q = &fake->queues[queue];

	if (q->last_used == __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE))
		return -1;
	uint32_t slot = q->last_used & (q->layout.size - 1u);
	uint32_t id = q->used->ring[slot].id;
	if (len_bytes)
		*len_bytes = q->used->ring[slot].len_bytes;
	q->last_used++;
	if (id < q->layout.size) {
		q->outstanding = (uint16_t)(q->outstanding - q->chain_descs[id]);
		q->chain_descs[id] = 0;
	}
	return (int)id;
}

void fake_set_used_event(struct fake_transport *fake, unsigned queue, uint16_t event)
{
	struct fake_queue *q = &fake->queues[queue];

	q->avail->ring[q->layout.size] = event;
}

uint16_t fake_avail_event(const struct fake_transport *fake, unsigned queue)
{
	const struct fake_queue *q = &fake->queues[queue];

	const void *event = &q->used->ring[q->layout.size];

	return *(const uint16_t *)event;
}

void fake_loop_settle(struct loop *loop, int quiet_ms)
{
	for (;;) {
		struct pollfd p = {.fd = loop->epoll_fd, .events = POLLIN};
		if (poll(&p, 1, quiet_ms) != 1 || loop_run_once(loop, 0) < 0)
			return;
	}
}
