/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-rng; see rng.h. A chain gets at most CHAIN_BYTES_MAX bytes (virtio 1.2, 5.4.6 lets the
 * device fill less than there is room for), and only so many chains are served in one go: the
 * guest can ask for random bytes as fast as it likes without holding the loop.
 */
#include "microvm/devices/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "microvm/devices/work.h"

#define QUEUE_REQUESTS	0u
#define QUEUE_SIZE	8u
#define CHAIN_BYTES_MAX 4096u
#define SHARE_CHAINS	QUEUE_SIZE

struct rng {
	struct virtio_device dev;
	struct work rest;
	struct virtq_chain chain;
};

static struct rng *rng_of(struct virtio_device *dev)
{
	return (struct rng *)(void *)((char *)dev - offsetof(struct rng, dev));
}

/* The bytes written; fewer than there is room for when the kernel gives fewer, 0 if it fails. */
static uint32_t rng_fill(const struct virtq_chain *chain)
{
	uint8_t bytes[CHAIN_BYTES_MAX];
	size_t want = chain->writable_bytes < sizeof(bytes) ? chain->writable_bytes : sizeof(bytes);
	ssize_t n;

	/* The host's pool has long been seeded when a VM starts: this does not wait. */
	do
		n = getrandom(bytes, want, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return 0;
	size_t written = virtq_chain_write(chain, 0, bytes, (size_t)n);
	explicit_bzero(bytes, (size_t)n); /* the guest's secrets now */
	return (uint32_t)written;
}

static void rng_kick(struct virtio_device *dev, unsigned queue)
{
	struct rng *rng = rng_of(dev);
	struct virtq *q = &dev->queues[queue];
	unsigned served = 0;
	int ret = 0;

	while (served < SHARE_CHAINS && (ret = virtq_pop(q, &rng->chain)) > 0) {
		virtq_push(q, rng->chain.head, rng_fill(&rng->chain));
		served++;
	}
	virtio_device_interrupt(dev, queue);
	if (ret < 0)
		virtio_device_break(dev, "the guest broke the request queue");
	else if (served == SHARE_CHAINS)
		work_post(&rng->rest);
}

static void rng_rest(struct virtio_device *dev)
{
	pthread_mutex_lock(&dev->lock);
	virtio_device_kick(dev, QUEUE_REQUESTS);
	pthread_mutex_unlock(&dev->lock);
}

static int rng_start(struct virtio_device *dev)
{
	/* Chains may wait already: one kick that is not the driver's. */
	work_post(&rng_of(dev)->rest);
	return 0;
}

static void rng_stop(struct virtio_device *dev)
{
	(void)dev; /* no chain outlives the call that popped it */
}

static void rng_config_read(
	struct virtio_device *dev, uint32_t offset, void *dst, uint32_t len_bytes)
{
	(void)dev;
	(void)offset;
	memset(dst, 0, len_bytes);
}

static const struct virtio_device_ops rng_ops = {
	.config_read = rng_config_read,
	.start = rng_start,
	.kick = rng_kick,
	.stop = rng_stop,
};

int rng_create(const struct rng_config *config, struct virtio_device **out, struct err *e)
{
	struct rng *rng = calloc(1, sizeof(*rng));
	int ret;

	if (!rng)
		return err_sys(e, ENOMEM, "rng");
	ret = virtio_device_init(&rng->dev);
	if (ret < 0) {
		free(rng);
		return err_sys(e, -ret, "rng");
	}
	rng->dev.ops = &rng_ops;
	rng->dev.name = "rng";
	rng->dev.id = VIRTIO_ID_RNG;
	rng->dev.offered = UINT64_C(1) << VIRTIO_F_VERSION_1 |
		UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX | UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC;
	rng->dev.n_queues = 1;
	rng->dev.queue_size_max = QUEUE_SIZE;
	rng->dev.loop = config->loop;
	ret = work_init(&rng->rest, &rng->dev, rng_rest);
	if (ret < 0) {
		rng_free(&rng->dev);
		return err_sys(e, -ret, "rng");
	}
	*out = &rng->dev;
	return 0;
}

void rng_free(struct virtio_device *dev)
{
	if (!dev)
		return;
	struct rng *rng = rng_of(dev);
	work_fini(&rng->rest);
	virtio_device_fini(dev);
	free(rng);
}
