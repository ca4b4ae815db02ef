/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile driver on virtio-mmio. The input is a first byte (1: a remote device) and then steps of
 * eight bytes: what to do, the width of the access, 16 bits of register offset or memory page, and
 * 32 bits of value. The device behind pops chains, as many in one go as its queues have room for,
 * writes into them and returns them.
 *
 * Covers: microvm/virtio/mmio.c microvm/virtio/device.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "microvm/virtio/mmio.h"

#define MEMORY_BYTES (32u << 20)
#define CONFIG_BYTES 12
#define N_QUEUES     3
#define SHARE_CHAINS 256
#define STEPS_MAX    512

enum step {
	STEP_WRITE,
	STEP_READ,
	STEP_MEMORY,
	STEP_LOOP,
	STEP_INTERRUPT,
	STEP_CONFIG,
	STEP_BREAK
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct guest_memory memory;
static int runs; /* starts less stops */

static void dev_config(struct virtio_device *dev, uint32_t offset, uint32_t len)
{
	if (offset > dev->config_bytes || len > dev->config_bytes - offset)
		abort();
}

static void dev_config_read(struct virtio_device *dev, uint32_t offset, void *dst, uint32_t len)
{
	dev_config(dev, offset, len);
	memset(dst, 0x11, len);
}

static void dev_config_write(
	struct virtio_device *dev, uint32_t offset, const void *src, uint32_t len)
{
	(void)src;
	dev_config(dev, offset, len);
}

static int dev_start(struct virtio_device *dev)
{
	if (runs++)
		abort();
	if (dev->features & ~dev->offered)
		abort();
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		if (dev->queue_ready[i] &&
			(i >= N_QUEUES || !dev->layouts[i].size ||
				dev->layouts[i].size > dev->queue_size_max))
			abort();
	return 0;
}

static void dev_stop(struct virtio_device *dev)
{
	(void)dev;
	if (--runs)
		abort();
}

static void dev_kick(struct virtio_device *dev, unsigned queue)
{
	static struct virtq_chain chain;
	int ret = 0;

	if (!runs || dev->remote || queue >= N_QUEUES)
		abort();
	/* As all devices: bounded. In rings that overlap, a push may offer another chain. */
	for (unsigned i = 0; i < SHARE_CHAINS; i++) {
		ret = virtq_pop(&dev->queues[queue], &chain);
		if (ret <= 0)
			break;
		uint32_t word = 0x22222222;
		size_t n = virtq_chain_write(&chain, 0, &word, sizeof(word));
		virtq_push(&dev->queues[queue], chain.head, (uint32_t)n);
	}
	if (ret < 0)
		virtio_device_break(dev, "the driver broke the ring");
	else
		virtio_device_interrupt(dev, queue);
}

static const struct virtio_device_ops dev_ops = {
	.config_read = dev_config_read,
	.config_write = dev_config_write,
	.start = dev_start,
	.kick = dev_kick,
	.stop = dev_stop,
};

static void step(struct virtio_mmio *mmio, const uint8_t *p)
{
	struct virtio_device *dev = mmio->dev;
	uint8_t wide[8];
	uint32_t value, len = p[1] % 8 + 1;
	uint16_t offset;

	memcpy(&offset, p + 2, 2);
	memcpy(&value, p + 4, 4);
	memcpy(wide, p + 4, 4);
	memcpy(wide + 4, p + 4, 4);
	switch (p[0] % 7) {
	case STEP_WRITE:
		virtio_mmio_write(mmio, offset, wide, len);
		break;
	case STEP_READ:
		virtio_mmio_read(mmio, offset, wide, len);
		break;
	case STEP_MEMORY: /* the first MiB, where the corpus puts its rings */
		memcpy(memory.regions[0].host + offset * 16u, wide, 8);
		break;
	case STEP_LOOP:
		if (loop_run_once(dev->loop, 0) < 0)
			abort();
		break;
	default:
		pthread_mutex_lock(&dev->lock);
		if (p[0] % 7 == STEP_INTERRUPT)
			dev->transport->interrupt(dev, value % N_QUEUES);
		else if (p[0] % 7 == STEP_CONFIG)
			dev->transport->config_changed(dev);
		else if (dev->started)
			virtio_device_break(dev, "a step broke it");
		pthread_mutex_unlock(&dev->lock);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t page[VIRTIO_MMIO_BYTES] __attribute__((aligned(4096)));
	static struct virtio_device dev;
	static struct virtio_mmio mmio;
	struct loop loop;
	struct err e;

	log_init("fuzz_mmio", STDERR_FILENO, LOG_LEVEL_ERROR);
	if (!memory.n_regions && guest_memory_create(&memory, MEMORY_BYTES, &e) < 0)
		abort();
	if (!size || loop_init(&loop) < 0 || virtio_device_init(&dev) < 0)
		return 0;
	dev.ops = &dev_ops;
	dev.name = "fuzzed";
	dev.id = VIRTIO_ID_CONSOLE;
	dev.offered = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |
		1ull << VIRTIO_RING_F_INDIRECT_DESC | 3;
	dev.config_bytes = CONFIG_BYTES;
	dev.n_queues = N_QUEUES;
	dev.queue_size_max = 256;
	dev.remote = data[0] & 1;
	dev.loop = &loop;
	memset(memory.regions[0].host, 0, 1u << 20);
	if (virtio_mmio_init(&mmio, &dev, &memory, page) < 0)
		abort();
	for (size_t at = 1, n = 0; at + 8 <= size && n < STEPS_MAX; at += 8, n++)
		step(&mmio, data + at);
	virtio_mmio_fini(&mmio);
	if (runs)
		abort();
	virtio_device_fini(&dev);
	loop_fini(&loop);
	return 0;
}
