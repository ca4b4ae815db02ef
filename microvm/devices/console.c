/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-console; see console.h. Queue 0 is the input of the port: its buffers are left where they
 * are, since there is nothing to put into them. Queue 1 is its output.
 */
#include "microvm/devices/console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "microvm/devices/work.h"

#define QUEUE_OUTPUT	1u
#define QUEUE_SIZE	16u /* the guest fills its input queue at start: small */
#define CONFIG_BYTES	12u /* 5.3.4: cols, rows, max_nr_ports, emerg_wr: unused, all zero */
#define COPY_BYTES	4096u
#define CHAIN_BYTES_MAX (64u << 10) /* of one chain; a longer one is cut */
#define SHARE_CHAINS	64u	    /* served in one go, then others have their turn */

struct console {
	struct virtio_device dev;
	struct console_config config;
	struct work rest;
	struct virtq_chain chain;
};

static struct console *console_of(struct virtio_device *dev)
{
	return (struct console *)(void *)((char *)dev - offsetof(struct console, dev));
}

static void console_output(struct console *con)
{
	uint8_t copy[COPY_BYTES];
	size_t offset = 0;

	while (offset < CHAIN_BYTES_MAX) {
		size_t n = virtq_chain_read(&con->chain, offset, copy, sizeof(copy));
		if (!n)
			break;
		con->config.output(con->config.arg, copy, n);
		offset += n;
	}
}

static void console_drain(struct console *con)
{
	struct virtio_device *dev = &con->dev;
	struct virtq *q = &dev->queues[QUEUE_OUTPUT];
	unsigned served = 0;
	int ret = 0;

	while (served < SHARE_CHAINS && (ret = virtq_pop(q, &con->chain)) > 0) {
		console_output(con);
		virtq_push(q, con->chain.head, 0);
		served++;
	}
	virtio_device_interrupt(dev, QUEUE_OUTPUT);
	if (ret < 0)
		virtio_device_break(dev, "the guest broke the output queue");
	else if (served == SHARE_CHAINS)
		work_post(&con->rest);
}

static void console_rest(struct virtio_device *dev)
{
	pthread_mutex_lock(&dev->lock);
	virtio_device_kick(dev, QUEUE_OUTPUT);
	pthread_mutex_unlock(&dev->lock);
}

static void console_kick(struct virtio_device *dev, unsigned queue)
{
	if (queue == QUEUE_OUTPUT)
		console_drain(console_of(dev));
}

static int console_start(struct virtio_device *dev)
{
	/* Chains may wait already: one kick that is not the driver's. */
	work_post(&console_of(dev)->rest);
	return 0;
}

static void console_stop(struct virtio_device *dev)
{
	(void)dev; /* no chain outlives the call that popped it */
}

static void console_config_read(
	struct virtio_device *dev, uint32_t offset, void *dst, uint32_t len_bytes)
{
	(void)dev;
	(void)offset;
	memset(dst, 0, len_bytes);
}

static const struct virtio_device_ops console_ops = {
	.config_read = console_config_read,
	.start = console_start,
	.kick = console_kick,
	.stop = console_stop,
};

int console_create(const struct console_config *config, struct virtio_device **out, struct err *e)
{
	struct console *con = calloc(1, sizeof(*con));
	int ret;

	if (!con)
		return err_sys(e, ENOMEM, "console");
	ret = virtio_device_init(&con->dev);
	if (ret < 0) {
		free(con);
		return err_sys(e, -ret, "console");
	}
	con->config = *config;
	con->dev.ops = &console_ops;
	con->dev.name = "console";
	con->dev.id = VIRTIO_ID_CONSOLE;
	con->dev.offered = UINT64_C(1) << VIRTIO_F_VERSION_1 |
		UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX | UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC;
	con->dev.config_bytes = CONFIG_BYTES;
	con->dev.n_queues = 2;
	con->dev.queue_size_max = QUEUE_SIZE;
	con->dev.loop = config->loop;
	ret = work_init(&con->rest, &con->dev, console_rest);
	if (ret < 0) {
		console_free(&con->dev);
		return err_sys(e, -ret, "console");
	}
	*out = &con->dev;
	return 0;
}

void console_free(struct virtio_device *dev)
{
	if (!dev)
		return;
	struct console *con = console_of(dev);
	work_fini(&con->rest);
	virtio_device_fini(dev);
	free(con);
}
