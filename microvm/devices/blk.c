/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk: the device and its threads. A kick only wakes a thread; each pops one request under
 * the lock, serves it without, and returns it under the lock again. Requests may overtake each
 * other, as virtio allows: a flush covers the writes that were returned before it was asked for.
 */
#include "microvm/devices/blk.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "microvm/confine/thread.h"
#include "microvm/confine/violation.h"
#include "microvm/devices/blk_internal.h"

#define QUEUE_REQUESTS	0u
#define QUEUE_SIZE	128u
#define THREADS_DEFAULT 2u
#define FEATURE(bit)	(UINT64_C(1) << (bit))

struct blk_thread {
	struct blk *blk;
	pthread_t id;
	struct virtq_chain chain;
};

struct blk {
	struct virtio_device dev;
	struct blk_disk disk;
	struct virtio_blk_config space;
	pthread_cond_t wake, idle; /* with dev.lock */
	bool pending;		   /* requests may wait in the queue */
	bool stopping, quit;
	unsigned n_busy, n_threads, n_wanted;
	struct blk_thread threads[BLK_THREADS_MAX];
};

static struct blk *blk_of(struct virtio_device *dev)
{
	return (struct blk *)(void *)((char *)dev - offsetof(struct blk, dev));
}

/* Takes one request, if there is one, and serves it. Lock held, but not while serving. */
static void serve_one(struct blk *blk, struct blk_thread *thread)
{
	struct virtio_device *dev = &blk->dev;
	struct virtq *q = &dev->queues[QUEUE_REQUESTS];
	int ret = virtq_pop(q, &thread->chain);

	if (ret <= 0) {
		blk->pending = false;
		if (ret < 0)
			virtio_device_break(dev, "the guest broke the request queue");
		return;
	}
	blk->n_busy++;
	pthread_cond_signal(&blk->wake); /* perhaps another thread has something to do, too */
	pthread_mutex_unlock(&dev->lock);
	int64_t written = blk_request_serve(&blk->disk, &thread->chain);
	pthread_mutex_lock(&dev->lock);
	if (written < 0)
		virtio_device_break(dev, "a request without header or status");
	else
		virtq_push(q, thread->chain.head, (uint32_t)written);
	virtio_device_interrupt(dev, QUEUE_REQUESTS);
	if (!--blk->n_busy)
		pthread_cond_broadcast(&blk->idle);
}

/* What a thread of a disk calls; beside it, what blk_request.c does with the file. */
static const struct call disk_calls[] = {
	CALL(futex), CALL(write), /* an interrupt for the guest; a log line */
};
static const struct calls disk = CALLS(disk_calls);
const struct filter disk_filter = {.kind = "disk",
	.parts = {&disk, &blk_request_calls, &thread_calls},
	.denied = DENIED(THREAD_DISK)};

static void *thread_main(void *arg)
{
	struct blk_thread *thread = arg;
	struct blk *blk = thread->blk;

	pthread_mutex_lock(&blk->dev.lock);
	while (!blk->quit) {
		if (blk->pending && !blk->stopping && !blk->dev.broken)
			serve_one(blk, thread);
		else
			pthread_cond_wait(&blk->wake, &blk->dev.lock);
	}
	pthread_mutex_unlock(&blk->dev.lock);
	return NULL;
}

static void blk_kick(struct virtio_device *dev, unsigned queue)
{
	struct blk *blk = blk_of(dev);

	(void)queue;
	blk->pending = true;
	pthread_cond_signal(&blk->wake);
}

static int blk_start(struct virtio_device *dev)
{
	struct blk *blk = blk_of(dev);

	/* 5.2.6.2: a driver that does not know flushes relies on writes being stable. */
	blk->disk.write_through = !(dev->features & FEATURE(VIRTIO_BLK_F_FLUSH));
	blk_kick(dev, QUEUE_REQUESTS); /* chains may wait already */
	return 0;
}

/* Requests in flight hold pointers into guest memory: wait for them (the lock is let go). */
static void blk_stop(struct virtio_device *dev)
{
	struct blk *blk = blk_of(dev);

	blk->stopping = true;
	while (blk->n_busy)
		pthread_cond_wait(&blk->idle, &dev->lock);
	blk->stopping = false;
	blk->pending = false;
}

static void blk_config_read(
	struct virtio_device *dev, uint32_t offset, void *dst, uint32_t len_bytes)
{
	memcpy(dst, (const uint8_t *)&blk_of(dev)->space + offset, len_bytes);
}

static const struct virtio_device_ops blk_ops = {
	.config_read = blk_config_read,
	.start = blk_start,
	.kick = blk_kick,
	.stop = blk_stop,
};

/* The disk's length in bytes and the size of its logical blocks. */
static int measure(int fd, uint64_t *len_bytes, uint32_t *block_bytes, struct err *e)
{
	struct stat st;
	int sector_bytes = (int)BLK_SECTOR_BYTES;

	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "disk");
	*len_bytes = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(fd, BLKGETSIZE64, len_bytes) < 0 ||
			ioctl(fd, BLKSSZGET, &sector_bytes) < 0)
			return err_sys(e, errno, "disk: size of the block device");
	} else if (!S_ISREG(st.st_mode)) {
		return err_set(e, EINVAL, "disk: neither a regular file nor a block device");
	}
	*block_bytes = (uint32_t)sector_bytes;
	return 0;
}

static int blk_fill(struct blk *blk, const struct blk_config *config, struct err *e)
{
	uint64_t len_bytes = 0;
	uint32_t block_bytes = BLK_SECTOR_BYTES;
	int ret = measure(config->fd, &len_bytes, &block_bytes, e);

	if (ret < 0)
		return ret;
	int flags = fcntl(config->fd, F_GETFL);
	if (flags < 0 || (!config->readonly && (flags & O_ACCMODE) != O_RDWR))
		return err_set(e, EINVAL, "disk: not open for reading and writing");
	if (config->serial && strlen(config->serial) > BLK_SERIAL_BYTES)
		return err_set(e, EINVAL, "disk: serial %s: more than %u characters",
			config->serial, BLK_SERIAL_BYTES);
	if (len_bytes < BLK_SECTOR_BYTES)
		return err_set(e, EINVAL, "disk: shorter than one sector");
	if (config->serial)
		memcpy(blk->disk.serial, config->serial, strlen(config->serial));
	blk->disk.readonly = config->readonly;
	blk->disk.sectors = len_bytes / BLK_SECTOR_BYTES;
	blk->space.capacity = htole64(blk->disk.sectors);
	/* Header and status take a descriptor each. */
	blk->space.seg_max = htole32(QUEUE_SIZE - 2);
	blk->space.blk_size = htole32(block_bytes);
	blk->space.max_discard_sectors = htole32(BLK_ZERO_SECTORS_MAX);
	blk->space.max_discard_seg = htole32(1);
	blk->space.discard_sector_alignment = htole32(block_bytes / BLK_SECTOR_BYTES);
	blk->space.max_write_zeroes_sectors = htole32(BLK_ZERO_SECTORS_MAX);
	blk->space.max_write_zeroes_seg = htole32(1);
	blk->space.write_zeroes_may_unmap = 1;
	return 0;
}

static void blk_describe(struct blk *blk, struct loop *loop)
{
	struct virtio_device *dev = &blk->dev;

	dev->ops = &blk_ops;
	dev->name = "blk";
	dev->id = VIRTIO_ID_BLOCK;
	dev->offered = FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_RING_F_EVENT_IDX) |
		FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | FEATURE(VIRTIO_BLK_F_SEG_MAX) |
		FEATURE(VIRTIO_BLK_F_BLK_SIZE) | FEATURE(VIRTIO_BLK_F_FLUSH);
	dev->offered |= blk->disk.readonly
		? FEATURE(VIRTIO_BLK_F_RO)
		: FEATURE(VIRTIO_BLK_F_DISCARD) | FEATURE(VIRTIO_BLK_F_WRITE_ZEROES);
	dev->config_bytes = sizeof(blk->space);
	dev->n_queues = 1;
	dev->queue_size_max = QUEUE_SIZE;
	dev->loop = loop;
}

int blk_launch(struct virtio_device *dev, bool confine)
{
	struct blk *blk = blk_of(dev);
	struct thread_config config = {
		.name = "disk", .main = thread_main, .filter = confine ? &disk_filter : NULL};
	int ret = 0;

	while (!ret && blk->n_threads < blk->n_wanted) {
		struct blk_thread *thread = &blk->threads[blk->n_threads];
		thread->blk = blk;
		config.arg = thread;
		ret = thread_start(&thread->id, &config);
		if (!ret)
			blk->n_threads++;
	}
	return ret;
}

int blk_create(const struct blk_config *config, struct virtio_device **out, struct err *e)
{
	unsigned threads = config->threads ? config->threads : THREADS_DEFAULT;
	struct blk *blk;
	int ret;

	if (threads > BLK_THREADS_MAX)
		return err_set(e, EINVAL, "disk: more than %u threads", BLK_THREADS_MAX);
	blk = calloc(1, sizeof(*blk));
	if (!blk)
		return err_sys(e, ENOMEM, "disk");
	blk->disk.fd = -1;
	ret = virtio_device_init(&blk->dev);
	if (ret < 0) {
		free(blk);
		return err_sys(e, -ret, "disk");
	}
	pthread_cond_init(&blk->wake, NULL); /* neither can fail with these attributes */
	pthread_cond_init(&blk->idle, NULL);
	ret = blk_fill(blk, config, e);
	if (ret < 0) {
		blk_free(&blk->dev);
		return ret;
	}
	blk_describe(blk, config->loop);
	blk->disk.fd = config->fd;
	blk->n_wanted = threads;
	*out = &blk->dev;
	return 0;
}

void blk_free(struct virtio_device *dev)
{
	if (!dev)
		return;
	struct blk *blk = blk_of(dev);
	pthread_mutex_lock(&dev->lock);
	blk->quit = true;
	pthread_cond_broadcast(&blk->wake);
	pthread_mutex_unlock(&dev->lock);
	for (unsigned i = 0; i < blk->n_threads; i++)
		pthread_join(blk->threads[i].id, NULL);
	pthread_cond_destroy(&blk->wake);
	pthread_cond_destroy(&blk->idle);
	fd_closep(&blk->disk.fd);
	virtio_device_fini(dev);
	free(blk);
}
