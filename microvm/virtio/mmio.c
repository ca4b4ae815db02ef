/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-mmio; see mmio.h. Section numbers are those of virtio 1.2. */
#include "microvm/virtio/mmio.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"

#define MMIO_MAGIC   0x74726976u /* "virt" */
#define MMIO_VERSION 2u
#define MMIO_VENDOR  0x4e565248u /* "HRVN" */
#define STATUS_DRIVER_BITS                                                                         \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK |        \
		VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED)

static uint32_t reg_get(const struct virtio_mmio *mmio, uint32_t offset)
{
	return __atomic_load_n((uint32_t *)(void *)(mmio->page + offset), __ATOMIC_ACQUIRE);
}

/* The guest may be reading the page at this moment: whole words, in order. */
static void reg_set(struct virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
	__atomic_store_n((uint32_t *)(void *)(mmio->page + offset), value, __ATOMIC_RELEASE);
}

static struct virtq_layout *selected_queue(struct virtio_mmio *mmio)
{
	return mmio->queue_sel < mmio->dev->n_queues ? &mmio->dev->layouts[mmio->queue_sel] : NULL;
}

/* What reads depend on the selectors. */
static void page_select(struct virtio_mmio *mmio)
{
	const struct virtio_device *dev = mmio->dev;
	bool exists = selected_queue(mmio) != NULL;

	reg_set(mmio, VIRTIO_MMIO_DEVICE_FEATURES,
		mmio->device_features_sel < 2
			? (uint32_t)(dev->offered >> (32 * mmio->device_features_sel))
			: 0);
	reg_set(mmio, VIRTIO_MMIO_QUEUE_NUM_MAX, exists ? dev->queue_size_max : 0);
	reg_set(mmio, VIRTIO_MMIO_QUEUE_READY, exists && dev->queue_ready[mmio->queue_sel]);
}

static void page_config(struct virtio_mmio *mmio)
{
	struct virtio_device *dev = mmio->dev;

	if (dev->config_bytes)
		dev->ops->config_read(
			dev, 0, mmio->page + VIRTIO_MMIO_CONFIG_OFFSET, dev->config_bytes);
}

/*
 * The generation (4.2.2.1) changes before and after, so that a driver that reads the configuration
 * meanwhile finds it different on either side of what it read, and reads again.
 */
static void page_config_changed(struct virtio_mmio *mmio)
{
	uint32_t generation = reg_get(mmio, VIRTIO_MMIO_CONFIG_GENERATION);

	reg_set(mmio, VIRTIO_MMIO_CONFIG_GENERATION, generation + 1);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	page_config(mmio);
	reg_set(mmio, VIRTIO_MMIO_CONFIG_GENERATION, generation + 2);
}

static void page_init(struct virtio_mmio *mmio)
{
	memset(mmio->page, 0, VIRTIO_MMIO_BYTES);
	reg_set(mmio, VIRTIO_MMIO_MAGIC_VALUE, MMIO_MAGIC);
	reg_set(mmio, VIRTIO_MMIO_VERSION, MMIO_VERSION);
	reg_set(mmio, VIRTIO_MMIO_DEVICE_ID, mmio->dev->id);
	reg_set(mmio, VIRTIO_MMIO_VENDOR_ID, MMIO_VENDOR);
	/* No shared memory regions: length and base of any are all ones (4.2.2). */
	reg_set(mmio, VIRTIO_MMIO_SHM_LEN_LOW, UINT32_MAX);
	reg_set(mmio, VIRTIO_MMIO_SHM_LEN_HIGH, UINT32_MAX);
	reg_set(mmio, VIRTIO_MMIO_SHM_BASE_LOW, UINT32_MAX);
	reg_set(mmio, VIRTIO_MMIO_SHM_BASE_HIGH, UINT32_MAX);
	page_config(mmio);
	page_select(mmio);
}

static void irq_raise(struct virtio_mmio *mmio, uint32_t bits)
{
	uint64_t one = 1;
	uint32_t status = reg_get(mmio, VIRTIO_MMIO_INTERRUPT_STATUS);

	if ((status & bits) != bits)
		reg_set(mmio, VIRTIO_MMIO_INTERRUPT_STATUS, status | bits);
	ssize_t ignored = write(mmio->irq_fd, &one, sizeof(one));
	(void)ignored; /* a full counter means that the interrupt is pending already */
}

static void mmio_interrupt(struct virtio_device *dev, unsigned queue)
{
	(void)queue;
	irq_raise(dev->transport_data, VIRTIO_MMIO_INT_VRING);
}

static void mmio_config_changed(struct virtio_device *dev)
{
	struct virtio_mmio *mmio = dev->transport_data;

	page_config_changed(mmio);
	if (mmio->status & VIRTIO_CONFIG_S_DRIVER_OK)
		irq_raise(mmio, VIRTIO_MMIO_INT_CONFIG);
}

static void mmio_needs_reset(struct virtio_device *dev)
{
	struct virtio_mmio *mmio = dev->transport_data;

	mmio->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	reg_set(mmio, VIRTIO_MMIO_STATUS, mmio->status);
	if (mmio->status & VIRTIO_CONFIG_S_DRIVER_OK)
		irq_raise(mmio, VIRTIO_MMIO_INT_CONFIG);
}

static const struct virtio_transport_ops mmio_transport_ops = {
	.interrupt = mmio_interrupt,
	.config_changed = mmio_config_changed,
	.needs_reset = mmio_needs_reset,
};

/*
 * In the loop's thread. The source is edge-triggered, so the counter need not be read: each event
 * of the driver is reported anew.
 */
static void mmio_kicked(struct loop_source *source, uint32_t events)
{
	struct virtio_mmio_queue *queue = (struct virtio_mmio_queue *)(void *)((char *)source -
		offsetof(struct virtio_mmio_queue, kicked));
	struct virtio_mmio *mmio = queue->mmio;
	struct virtio_device *dev = mmio->dev;
	unsigned i = (unsigned)(queue - mmio->queues);

	(void)events;
	pthread_mutex_lock(&dev->lock);
	virtio_device_kick(dev, i);
	pthread_mutex_unlock(&dev->lock);
}

static void reset_locked(struct virtio_mmio *mmio)
{
	struct virtio_device *dev = mmio->dev;

	virtio_device_stop(dev); /* a broken device too: it may still hold chains */
	dev->features = 0;
	memset(dev->layouts, 0, sizeof(dev->layouts));
	memset(dev->queue_ready, 0, sizeof(dev->queue_ready));
	mmio->status = 0;
	mmio->driver_features = 0;
	mmio->device_features_sel = mmio->driver_features_sel = mmio->queue_sel = 0;
	reg_set(mmio, VIRTIO_MMIO_STATUS, 0);
	reg_set(mmio, VIRTIO_MMIO_INTERRUPT_STATUS, 0);
	page_select(mmio);
}

void virtio_mmio_reset(struct virtio_mmio *mmio)
{
	pthread_mutex_lock(&mmio->dev->lock);
	reset_locked(mmio);
	pthread_mutex_unlock(&mmio->dev->lock);
}

/* FEATURES_OK is granted for a subset of the offer with VERSION_1 in it (3.1.1, 6.1). */
static bool features_acceptable(const struct virtio_mmio *mmio)
{
	return !(mmio->driver_features & ~mmio->dev->offered) &&
		(mmio->driver_features & 1ull << VIRTIO_F_VERSION_1);
}

static void device_start(struct virtio_mmio *mmio)
{
	struct virtio_device *dev = mmio->dev;

	reg_set(mmio, VIRTIO_MMIO_INTERRUPT_STATUS, VIRTIO_MMIO_INT_VRING);
	/* A failure has marked the device broken and come to mmio_needs_reset. */
	int ret = virtio_device_start(dev, mmio->memory, mmio->driver_features, NULL);
	(void)ret;
}

/*
 * The driver adds bits one after the other (3.1.1). A bit out of order is not taken; a driver
 * can't clear bits but by writing 0, which resets.
 */
static void status_write(struct virtio_mmio *mmio, uint32_t value)
{
	const uint8_t began = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
	uint8_t set = (uint8_t)(value & STATUS_DRIVER_BITS & ~(uint32_t)mmio->status);

	if (value == 0) {
		reset_locked(mmio);
		return;
	}
	mmio->status |= set & (began | VIRTIO_CONFIG_S_FAILED);
	if ((set & VIRTIO_CONFIG_S_FEATURES_OK) && (mmio->status & began) == began &&
		features_acceptable(mmio))
		mmio->status |= VIRTIO_CONFIG_S_FEATURES_OK;
	if ((set & VIRTIO_CONFIG_S_DRIVER_OK) && (mmio->status & VIRTIO_CONFIG_S_FEATURES_OK) &&
		!(mmio->status & VIRTIO_CONFIG_S_FAILED)) {
		mmio->status |= VIRTIO_CONFIG_S_DRIVER_OK;
		device_start(mmio);
	}
	reg_set(mmio, VIRTIO_MMIO_STATUS, mmio->status);
}

static void half_set(uint64_t *whole, bool high, uint32_t value)
{
	unsigned shift = high ? 32 : 0;

	*whole = (*whole & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
}

/* Layout registers of the selected queue: only before DRIVER_OK, and not of a ready queue. */
static void queue_write(struct virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
	struct virtio_device *dev = mmio->dev;
	struct virtq_layout *layout = selected_queue(mmio);

	if (!layout || (mmio->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	if (offset == VIRTIO_MMIO_QUEUE_READY) {
		dev->queue_ready[mmio->queue_sel] = (value & 1) && layout->size;
		page_select(mmio);
		return;
	}
	if (dev->queue_ready[mmio->queue_sel])
		return;
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM:
		layout->size = value <= dev->queue_size_max ? (uint16_t)value : 0;
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		half_set(&layout->desc_gpa, offset == VIRTIO_MMIO_QUEUE_DESC_HIGH, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		half_set(&layout->avail_gpa, offset == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		half_set(&layout->used_gpa, offset == VIRTIO_MMIO_QUEUE_USED_HIGH, value);
		break;
	}
}

/* Engines have KVM turn this write into the event; it comes here only without such help. */
static void notify_write(struct virtio_mmio *mmio, uint32_t queue)
{
	uint64_t one = 1;

	if (queue >= mmio->dev->n_queues)
		return;
	ssize_t ignored = write(mmio->queues[queue].kick_fd, &one, sizeof(one));
	(void)ignored; /* a full counter means that the event is pending already */
}

static void ack_write(struct virtio_mmio *mmio, uint32_t bits)
{
	uint32_t pending = reg_get(mmio, VIRTIO_MMIO_INTERRUPT_STATUS) & ~bits;

	if (mmio->status & VIRTIO_CONFIG_S_DRIVER_OK)
		pending |= VIRTIO_MMIO_INT_VRING;
	reg_set(mmio, VIRTIO_MMIO_INTERRUPT_STATUS, pending);
}

static void register_write(struct virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		mmio->device_features_sel = value;
		page_select(mmio);
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		mmio->driver_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		if (mmio->driver_features_sel < 2 && !(mmio->status & VIRTIO_CONFIG_S_FEATURES_OK))
			half_set(&mmio->driver_features, mmio->driver_features_sel, value);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		mmio->queue_sel = value;
		page_select(mmio);
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		notify_write(mmio, value);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		ack_write(mmio, value);
		break;
	case VIRTIO_MMIO_STATUS:
		status_write(mmio, value);
		break;
	default:
		queue_write(mmio, offset, value);
	}
}

static void config_write(struct virtio_mmio *mmio, uint32_t offset, const void *src, uint32_t len)
{
	struct virtio_device *dev = mmio->dev;

	if (!dev->ops->config_write || !(mmio->status & VIRTIO_CONFIG_S_DRIVER) ||
		offset > dev->config_bytes || len > dev->config_bytes - offset)
		return;
	dev->ops->config_write(dev, offset, src, len);
	page_config(mmio);
}

void virtio_mmio_read(struct virtio_mmio *mmio, uint32_t offset, void *dst, uint32_t len)
{
	if (offset > VIRTIO_MMIO_BYTES || len > VIRTIO_MMIO_BYTES - offset) {
		memset(dst, 0xff, len);
		return;
	}
	pthread_mutex_lock(&mmio->dev->lock);
	memcpy(dst, mmio->page + offset, len);
	pthread_mutex_unlock(&mmio->dev->lock);
}

void virtio_mmio_write(struct virtio_mmio *mmio, uint32_t offset, const void *src, uint32_t len)
{
	uint32_t value;

	if (offset > VIRTIO_MMIO_BYTES || len > VIRTIO_MMIO_BYTES - offset)
		return;
	pthread_mutex_lock(&mmio->dev->lock);
	if (offset >= VIRTIO_MMIO_CONFIG_OFFSET) {
		config_write(mmio, offset - VIRTIO_MMIO_CONFIG_OFFSET, src, len);
	} else if (len == sizeof(value) && !(offset & 3)) { /* 4.2.2.2: aligned words only */
		memcpy(&value, src, sizeof(value));
		register_write(mmio, offset, value);
	}
	pthread_mutex_unlock(&mmio->dev->lock);
}

static int queue_init(struct virtio_mmio *mmio, unsigned i)
{
	struct virtio_mmio_queue *queue = &mmio->queues[i];
	struct virtio_device *dev = mmio->dev;

	queue->mmio = mmio;
	queue->kicked.ready = mmio_kicked;
	queue->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue->kick_fd < 0)
		return -errno;
	dev->kick_fds[i] = queue->kick_fd;
	dev->call_fds[i] = mmio->irq_fd;
	if (dev->remote || dev->own_kicks)
		return 0;
	return loop_add(dev->loop, &queue->kicked, queue->kick_fd, EPOLLIN | EPOLLET);
}

int virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *dev,
	const struct guest_memory *memory, void *page)
{
	memset(mmio, 0, sizeof(*mmio));
	mmio->irq_fd = -1;
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		mmio->queues[i].kick_fd = mmio->queues[i].kicked.fd = -1;
	if (dev->n_queues > VIRTIO_QUEUES_MAX || dev->queue_size_max > VIRTQ_SIZE_MAX ||
		dev->config_bytes > VIRTIO_MMIO_BYTES - VIRTIO_MMIO_CONFIG_OFFSET ||
		!(dev->offered & 1ull << VIRTIO_F_VERSION_1))
		return -EINVAL;
	mmio->dev = dev;
	mmio->memory = memory;
	mmio->page = page;
	mmio->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int ret = mmio->irq_fd < 0 ? -errno : 0;
	for (unsigned i = 0; ret == 0 && i < dev->n_queues; i++)
		ret = queue_init(mmio, i);
	if (ret < 0) {
		virtio_mmio_fini(mmio);
		return ret;
	}
	dev->transport = &mmio_transport_ops;
	dev->transport_data = mmio;
	page_init(mmio);
	return 0;
}

void virtio_mmio_fini(struct virtio_mmio *mmio)
{
	struct virtio_device *dev = mmio->dev;

	if (!dev)
		return;
	/* A device with threads of its own may be about to tell the driver something. */
	pthread_mutex_lock(&dev->lock);
	if (dev->transport_data == mmio) {
		reset_locked(mmio);
		dev->transport = NULL;
		dev->transport_data = NULL;
	}
	pthread_mutex_unlock(&dev->lock);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		loop_del(dev->loop, &mmio->queues[i].kicked);
		fd_closep(&mmio->queues[i].kick_fd);
		dev->kick_fds[i] = dev->call_fds[i] = -1;
	}
	fd_closep(&mmio->irq_fd);
	mmio->dev = NULL;
}
