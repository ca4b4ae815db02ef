/* SPDX-License-Identifier: Apache-2.0 */
/* What all virtio devices and transports share; see device.h. */
#include "microvm/virtio/device.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"

#define BREAKS_LOGGED_MAX 8

int virtio_device_init(struct virtio_device *dev)
{
	memset(dev, 0, sizeof(*dev));
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		dev->kick_fds[i] = dev->call_fds[i] = -1;
	return -pthread_mutex_init(&dev->lock, NULL);
}

void virtio_device_fini(struct virtio_device *dev)
{
	pthread_mutex_destroy(&dev->lock);
}

void virtio_device_interrupt(struct virtio_device *dev, unsigned queue)
{
	if (dev->started && virtq_should_interrupt(&dev->queues[queue]))
		dev->transport->interrupt(dev, queue);
}

void virtio_device_break(struct virtio_device *dev, const char *why)
{
	if (dev->broken)
		return;
	dev->broken = true;
	if (dev->n_breaks < BREAKS_LOGGED_MAX) {
		dev->n_breaks++;
		log_warn("%s: %s; the device stops until the guest resets it", dev->name, why);
	}
	if (dev->transport && dev->transport->needs_reset)
		dev->transport->needs_reset(dev);
}

void virtio_device_kick(struct virtio_device *dev, unsigned queue)
{
	if (!dev->started || dev->broken || queue >= dev->n_queues)
		return;
	if (dev->queues[queue].running)
		dev->ops->kick(dev, queue);
}

static void stop_queues(struct virtio_device *dev)
{
	for (unsigned i = 0; i < dev->n_queues; i++)
		(void)virtq_stop(&dev->queues[i]);
}

/*
 * The queues of a remote device run elsewhere: their layouts are handed on. But what is wrong in
 * them is the driver's fault, and found here, before whoever serves them gives the device up.
 */
static int start_queues(struct virtio_device *dev, const uint16_t *bases)
{
	for (unsigned i = 0; i < dev->n_queues; i++) {
		struct virtq_layout *layout = &dev->layouts[i];
		struct virtq tried = {0}, *q = dev->remote ? &tried : &dev->queues[i];
		int ret;

		if (!dev->queue_ready[i])
			continue;
		if (layout->size > dev->queue_size_max)
			return -EINVAL;
		ret = virtq_start(q, dev->memory, layout, dev->features, bases ? bases[i] : 0);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int virtio_device_start(struct virtio_device *dev, const struct guest_memory *memory,
	uint64_t features, const uint16_t *bases)
{
	int ret;

	if (dev->started || dev->n_queues > VIRTIO_QUEUES_MAX)
		return -EINVAL;
	dev->memory = memory;
	dev->features = features;
	memset(dev->queues, 0, sizeof(dev->queues));
	if ((features & ~dev->offered) || !(features & (UINT64_C(1) << VIRTIO_F_VERSION_1))) {
		virtio_device_break(dev, "features that were not offered");
		return -EINVAL;
	}
	ret = start_queues(dev, bases);
	if (ret < 0) {
		stop_queues(dev);
		virtio_device_break(dev, "a queue that lies outside memory or is misaligned");
		return ret;
	}
	/* Before ops->start: a device may find chains waiting and serve them there. */
	dev->started = true;
	ret = dev->ops->start(dev);
	if (ret < 0) {
		dev->started = false;
		stop_queues(dev);
		virtio_device_break(dev, "it could not be started");
	}
	return ret;
}

void virtio_device_stop(struct virtio_device *dev)
{
	if (dev->started)
		dev->ops->stop(dev);
	dev->started = false;
	stop_queues(dev);
	dev->broken = false;
}
