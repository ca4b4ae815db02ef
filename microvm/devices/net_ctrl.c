/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control queue (virtio 1.2, 5.1.6.5). There is no receive filter here: which frames are the
 * guest's is decided by what the tap is wired to, so what a driver says about addresses and modes
 * is taken and only its form is checked.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "microvm/devices/net_internal.h"

#define TURN_COMMANDS	64u /* then whatever else waits has its turn */
#define CHANGES_AT_ONCE 32u
#define CHANGE_NS	125000000ull
#define WARNINGS_MAX	8u

struct command {
	struct virtio_net_ctrl_hdr header;
	const struct virtq_chain *chain;
	size_t data_bytes;
};

static bool data_read(const struct command *c, size_t offset, void *dst, size_t len_bytes)
{
	return virtq_chain_read(c->chain, sizeof(c->header) + offset, dst, len_bytes) == len_bytes;
}

static bool has(const struct net *net, unsigned bit)
{
	return net->features & NET_FEATURE(bit);
}

static bool handle_rx(const struct net *net, const struct command *c)
{
	bool basic = c->header.cmd <= VIRTIO_NET_CTRL_RX_ALLMULTI;

	return c->data_bytes == 1 && c->header.cmd <= VIRTIO_NET_CTRL_RX_NOBCAST &&
		has(net, basic ? VIRTIO_NET_F_CTRL_RX : VIRTIO_NET_F_CTRL_RX_EXTRA);
}

/* Two tables of addresses, each behind the number of its entries. */
static bool check_mac_table(const struct command *c)
{
	uint64_t at = 0;

	for (unsigned i = 0; i < 2; i++) {
		uint32_t n;
		if (!data_read(c, at, &n, sizeof(n)))
			return false;
		at += sizeof(n) + (uint64_t)le32toh(n) * NET_MAC_BYTES;
		if (at > c->data_bytes)
			return false;
	}
	return at == c->data_bytes;
}

static bool handle_mac(struct net *net, const struct command *c)
{
	uint8_t mac[NET_MAC_BYTES];

	if (c->header.cmd == VIRTIO_NET_CTRL_MAC_TABLE_SET)
		return has(net, VIRTIO_NET_F_CTRL_RX) && check_mac_table(c);
	if (c->header.cmd != VIRTIO_NET_CTRL_MAC_ADDR_SET || !has(net, VIRTIO_NET_F_CTRL_MAC_ADDR))
		return false;
	if (c->data_bytes != sizeof(mac) || !data_read(c, 0, mac, sizeof(mac)))
		return false;
	memcpy(net->space.mac, mac, sizeof(mac));
	net->dev.transport->config_changed(&net->dev);
	return true;
}

static bool handle_mq(struct net *net, const struct command *c)
{
	uint16_t n;

	if (c->header.cmd != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET || !has(net, VIRTIO_NET_F_MQ) ||
		c->data_bytes != sizeof(n) || !data_read(c, 0, &n, sizeof(n)))
		return false;
	n = le16toh(n);
	return n >= 1 && n <= net->n_pairs && net_set_pairs(net, n) == 0;
}

static bool handle_offloads(struct net *net, const struct command *c)
{
	uint64_t offloads;

	if (c->header.cmd != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET ||
		!has(net, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) || c->data_bytes != sizeof(offloads) ||
		!data_read(c, 0, &offloads, sizeof(offloads)))
		return false;
	offloads = le64toh(offloads);
	if (offloads & ~(net->features & NET_GUEST_OFFLOADS))
		return false;
	return net_set_offloads(net, offloads) == 0;
}

static bool handle(struct net *net, const struct virtq_chain *chain)
{
	struct command c = {.chain = chain};

	if (virtq_chain_read(chain, 0, &c.header, sizeof(c.header)) != sizeof(c.header))
		return false;
	c.data_bytes = chain->readable_bytes - sizeof(c.header);
	switch (c.header.class) {
	case VIRTIO_NET_CTRL_RX:
		return handle_rx(net, &c);
	case VIRTIO_NET_CTRL_MAC:
		return handle_mac(net, &c);
	case VIRTIO_NET_CTRL_MQ:
		return handle_mq(net, &c);
	case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
		return handle_offloads(net, &c);
	default:
		return false;
	}
}

/*
 * Whether the guest may have the tap changed once more: that takes a lock of the whole host's
 * network (rtnl), so there are bursts of CHANGES_AT_ONCE, then one in CHANGE_NS.
 */
static bool may_change(struct net *net)
{
	uint64_t now = net_now_ns();

	if (net->changes_ns + CHANGES_AT_ONCE * CHANGE_NS < now)
		net->changes_ns = now - CHANGES_AT_ONCE * CHANGE_NS;
	if (net->changes_ns + CHANGE_NS > now)
		return false;
	net->changes_ns += CHANGE_NS;
	return true;
}

/* Of what a guest can bring about at will. */
static bool may_warn(struct net *net)
{
	return net->n_warnings < WARNINGS_MAX && ++net->n_warnings;
}

int net_set_pairs(struct net *net, unsigned n)
{
	int ret = 0;

	if (n == net->n_active)
		return 0;
	if (!may_change(net))
		return -EBUSY;
	for (unsigned i = 1; i < net->n_pairs && !ret; i++)
		ret = net_pair_set_active(net->pairs[i], i < n);
	if (ret == 0) {
		net->n_active = n;
		return 0;
	}
	if (may_warn(net))
		log_warn("net: %u queue pairs: %s", n, strerror(-ret));
	/* The tap must not give frames to pairs that the guest does not use. */
	for (unsigned i = net->n_active ? net->n_active : 1; i < net->n_pairs; i++)
		(void)!net_pair_set_active(net->pairs[i], false);
	net->n_active = 0; /* not known */
	return ret;
}

/* The tap's property, whichever of its queues is told. */
int net_set_offloads(struct net *net, uint64_t offloads)
{
	struct net_pair *pair = net->pairs[0];
	int ret = 0;

	if (offloads == net->offloads)
		return 0;
	if (!may_change(net))
		return -EBUSY;
	pthread_mutex_lock(&pair->lock);
	if (net->ops->set_offloads && !pair->gone)
		ret = net->ops->set_offloads(pair, offloads);
	pthread_mutex_unlock(&pair->lock);
	if (ret == -EBADFD)
		ret = 0; /* the tap is no more, which is not the driver's fault */
	if (ret == 0)
		net->offloads = offloads;
	else if (may_warn(net))
		log_warn("net: offloads of the tap: %s", strerror(-ret));
	return ret;
}

void net_ctrl_serve(struct net *net)
{
	struct virtio_device *dev = &net->dev;
	unsigned number = net_ctrl_queue(net);
	struct virtq *q = &dev->queues[number];
	struct virtq_chain *chain = &net->ctrl_chain;
	int ret = 0;

	if (!dev->started || dev->broken || !q->running)
		return;
	for (unsigned i = 0; i < TURN_COMMANDS && (ret = virtq_pop(q, chain)) > 0; i++) {
		uint8_t ack = handle(net, chain) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
		virtq_push(
			q, chain->head, (uint32_t)virtq_chain_write(chain, 0, &ack, sizeof(ack)));
	}
	virtio_device_interrupt(dev, number);
	if (ret < 0) {
		net_break_locked(net, "the guest broke the control queue");
	} else if (ret > 0) {
		atomic_store(&net->ctrl_kicked, true);
		net_pair_wake(net->pairs[0]);
	}
}
