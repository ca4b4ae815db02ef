/* SPDX-License-Identifier: Apache-2.0 */
/* Deferred work of a device, by an eventfd; see work.h. */
#include "microvm/devices/work.h"

#include <errno.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void work_ready(struct loop_source *source, uint32_t events)
{
	struct work *work = (struct work *)(void *)((char *)source - offsetof(struct work, source));
	uint64_t count;

	(void)events;
	if (read(source->fd, &count, sizeof(count)) == sizeof(count))
		work->run(work->dev);
}

int work_init(struct work *work, struct virtio_device *dev, void (*run)(struct virtio_device *))
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	work->dev = NULL; /* until it is in the loop */
	work->run = run;
	work->source.fd = -1;
	work->source.ready = work_ready;
	if (fd < 0)
		return -errno;
	int ret = loop_add(dev->loop, &work->source, fd, EPOLLIN);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	work->dev = dev;
	return 0;
}

void work_fini(struct work *work)
{
	int fd = work->source.fd;

	if (!work->dev)
		return;
	loop_del(work->dev->loop, &work->source);
	close(fd);
	work->dev = NULL;
}

void work_post(struct work *work)
{
	uint64_t one = 1;
	ssize_t ignored = write(work->source.fd, &one, sizeof(one));

	(void)ignored; /* it fails only when the counter is full, and then it is posted anyway */
}
