/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net: the device; see net_internal.h. */
#include "microvm/devices/net.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "microvm/devices/net_internal.h"

unsigned net_ctrl_queue(const struct net *net)
{
	/* 5.1.2: behind all pairs, or, without MQ, behind the one. */
	return net->features & NET_FEATURE(VIRTIO_NET_F_MQ) ? 2 * net->n_pairs : 2;
}

void net_link_update(struct net *net)
{
	struct virtio_device *dev = &net->dev;
	uint16_t status = VIRTIO_NET_S_LINK_UP;

	for (unsigned i = 0; i < net->n_pairs; i++) {
		struct net_pair *pair = net->pairs[i];
		pthread_mutex_lock(&pair->lock);
		if (pair->active && !pair->up)
			status = 0;
		pthread_mutex_unlock(&pair->lock);
	}
	if (net->space.status == htole16(status))
		return;
	net->space.status = htole16(status);
	log_debug("net: link %s", status ? "up" : "down");
	if (dev->transport)
		dev->transport->config_changed(dev);
}

void net_break_locked(struct net *net, const char *why)
{
	for (unsigned i = 0; i < net->n_pairs; i++) {
		pthread_mutex_lock(&net->pairs[i]->lock);
		net->pairs[i]->running = false;
		pthread_mutex_unlock(&net->pairs[i]->lock);
	}
	virtio_device_break(&net->dev, why);
}

void net_break(struct net *net, unsigned generation, const char *why)
{
	pthread_mutex_lock(&net->dev.lock);
	/* The driver may have reset the device meanwhile: then nothing is broken any more. */
	if (net->dev.started && net->generation == generation)
		net_break_locked(net, why);
	pthread_mutex_unlock(&net->dev.lock);
}

static int net_start(struct virtio_device *dev)
{
	struct net *net = net_of(dev);

	net->features = dev->features;
	net->generation++;
	int ret = net_set_pairs(net, 1); /* 5.1.5: until the driver asks for more */
	if (!ret)
		ret = net_set_offloads(net, dev->features & NET_GUEST_OFFLOADS);
	if (ret < 0)
		return ret;
	atomic_store(&net->ctrl_kicked, true); /* commands may wait already */
	for (unsigned i = 0; i < net->n_pairs; i++)
		net_pair_start(net->pairs[i]);
	return 0;
}

static void net_stop(struct virtio_device *dev)
{
	struct net *net = net_of(dev);

	for (unsigned i = 0; i < net->n_pairs; i++)
		net_pair_stop(net->pairs[i]);
	if (!memcmp(net->space.mac, net->config.mac, NET_MAC_BYTES))
		return;
	memcpy(net->space.mac, net->config.mac, NET_MAC_BYTES);
	if (dev->transport)
		dev->transport->config_changed(dev);
}

/* Only where the transport has no kick descriptors that the threads wait for themselves. */
static void net_kick(struct virtio_device *dev, unsigned queue)
{
	struct net *net = net_of(dev);

	if (queue == net_ctrl_queue(net)) {
		atomic_store(&net->ctrl_kicked, true);
		queue = 0;
	}
	if (queue / 2 < net->n_pairs)
		net_pair_wake(net->pairs[queue / 2]);
}

static void net_config_read(
	struct virtio_device *dev, uint32_t offset, void *dst, uint32_t len_bytes)
{
	memcpy(dst, (const uint8_t *)&net_of(dev)->space + offset, len_bytes);
}

static const struct virtio_device_ops net_ops = {
	.config_read = net_config_read,
	.start = net_start,
	.kick = net_kick,
	.stop = net_stop,
};

static void describe(struct net *net)
{
	const struct net_config *config = &net->config;
	struct virtio_device *dev = &net->dev;

	dev->ops = &net_ops;
	dev->name = "net";
	dev->id = VIRTIO_ID_NET;
	dev->offered = NET_FEATURE(VIRTIO_F_VERSION_1) | NET_FEATURE(VIRTIO_RING_F_EVENT_IDX) |
		NET_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | NET_FEATURE(VIRTIO_NET_F_MAC) |
		NET_FEATURE(VIRTIO_NET_F_MTU) | NET_FEATURE(VIRTIO_NET_F_STATUS) |
		NET_FEATURE(VIRTIO_NET_F_MRG_RXBUF) | NET_FEATURE(VIRTIO_NET_F_CTRL_VQ) |
		NET_FEATURE(VIRTIO_NET_F_CTRL_RX) | NET_FEATURE(VIRTIO_NET_F_CTRL_RX_EXTRA) |
		NET_FEATURE(VIRTIO_NET_F_CTRL_MAC_ADDR);
	if (!config->idle)
		dev->offered |= net->ops->features(config);
	if (config->n_fds > 1)
		dev->offered |= NET_FEATURE(VIRTIO_NET_F_MQ);
	memcpy(net->space.mac, config->mac, NET_MAC_BYTES);
	net->space.max_virtqueue_pairs = htole16((uint16_t)config->n_fds);
	net->space.mtu = htole16(config->mtu);
	dev->config_bytes = offsetof(struct virtio_net_config, mtu) + sizeof(net->space.mtu);
	dev->n_queues = 2 * config->n_fds + 1;
	dev->queue_size_max = NET_QUEUE_SIZE;
	dev->own_kicks = true;
}

static int check_config(const struct net_config *config, struct err *e)
{
	static const uint8_t none[NET_MAC_BYTES];

	_Static_assert(2 * NET_PAIRS_MAX + 1 <= VIRTIO_QUEUES_MAX, "room for all queues");
	if (!config->n_fds || config->n_fds > NET_PAIRS_MAX)
		return err_set(e, EINVAL, "%u queues: a tap has 1 to %d here", config->n_fds,
			NET_PAIRS_MAX);
	if (config->stream && config->n_fds != 1)
		return err_set(e, EINVAL, "a stream is one socket");
	if (config->mtu < NET_MTU_MIN)
		return err_set(e, EINVAL, "mtu %u: at least %u", config->mtu, NET_MTU_MIN);
	if ((config->mac[0] & 1) || !memcmp(config->mac, none, sizeof(none)))
		return err_set(e, EINVAL, "mac: not the address of an interface");
	return 0;
}

/* Everything but the descriptors. */
static void net_delete(struct net *net)
{
	struct net_counts sum = {0};

	atomic_store(&net->quit, true);
	for (unsigned i = 0; i < net->n_pairs; i++) {
		const struct net_counts *c = &net->pairs[i]->counts;
		net_pair_wake(net->pairs[i]);
		if (net->pairs[i]->has_thread)
			pthread_join(net->pairs[i]->thread, NULL);
		net->pairs[i]->has_thread = false;
		sum.rx_frames += c->rx_frames;
		sum.rx_bytes += c->rx_bytes;
		sum.rx_dropped += c->rx_dropped;
		sum.tx_frames += c->tx_frames;
		sum.tx_bytes += c->tx_bytes;
		sum.tx_refused += c->tx_refused;
		sum.tx_dropped += c->tx_dropped;
		net_pair_free(net->pairs[i]);
	}
	if (sum.rx_frames + sum.rx_dropped + sum.tx_frames + sum.tx_refused + sum.tx_dropped)
		log_debug("net: to the guest %llu frames, %llu bytes, %llu dropped; from the guest "
			  "%llu "
			  "frames, %llu bytes, %llu refused, %llu dropped",
			(unsigned long long)sum.rx_frames, (unsigned long long)sum.rx_bytes,
			(unsigned long long)sum.rx_dropped, (unsigned long long)sum.tx_frames,
			(unsigned long long)sum.tx_bytes, (unsigned long long)sum.tx_refused,
			(unsigned long long)sum.tx_dropped);
	virtio_device_fini(&net->dev);
	free(net);
}

int net_new(const struct net_config *config, struct net **out, struct err *e)
{
	int ret = check_config(config, e);

	if (ret < 0)
		return ret;
	struct net *net = calloc(1, sizeof(*net));
	if (!net)
		return err_sys(e, ENOMEM, "network device");
	ret = virtio_device_init(&net->dev);
	if (ret < 0) {
		free(net);
		return err_sys(e, -ret, "network device");
	}
	net->config = *config;
	net->ops = config->stream ? &net_stream_ops : &net_tap_ops;
	while (!ret && net->n_pairs < config->n_fds) {
		unsigned i = net->n_pairs;
		ret = net_pair_new(net, i, config->fds[i], &net->pairs[i], e);
		if (!ret)
			net->n_pairs++;
	}
	if (ret < 0) {
		net_delete(net);
		return ret;
	}
	describe(net);
	net_link_update(net);
	*out = net;
	return 0;
}

int net_create(const struct net_config *config, struct virtio_device **out, struct err *e)
{
	struct net *net = NULL;
	int ret = net_new(config, &net, e);

	if (net)
		*out = &net->dev;
	return ret;
}

int net_launch(struct virtio_device *dev, bool confine)
{
	struct net *net = net_of(dev);
	int ret = 0;

	for (unsigned i = 0; i < net->n_pairs && !ret && !net->config.idle; i++)
		ret = net_pair_start_thread(net->pairs[i], confine);
	return ret;
}

void net_free(struct virtio_device *dev)
{
	if (!dev)
		return;
	struct net *net = net_of(dev);
	struct net_config config = net->config;

	net_delete(net);
	for (unsigned i = 0; i < config.n_fds; i++)
		fd_closep(&config.fds[i]);
}
