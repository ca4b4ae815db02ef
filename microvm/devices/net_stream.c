/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream socket to a network in user space (passt) as a back end: each frame behind its length,
 * 32 bits big endian, as QEMU's stream netdev has it. There is no header with offloads on this
 * wire, so none are offered. What comes is read in large pieces and copied to the guest frame by
 * frame.
 */
#include <endian.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/confine/filter.h"
#include "microvm/devices/net_internal.h"

#define LENGTH_BYTES 4u

static uint64_t stream_features(const struct net_config *config)
{
	(void)config;
	return 0;
}

static int stream_open(struct net_pair *pair, struct err *e)
{
	int type = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(pair->fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
		return err_set(e, EINVAL, "descriptor %d is not a stream socket", pair->fd);
	if (pair->net->config.idle)
		return 0;
	int ret = fd_set_nonblock(pair->fd, true);
	return ret < 0 ? err_sys(e, -ret, "stream socket") : 0;
}

/* The length of the first frame in the buffer, 0 when not all of it is there; -EPROTO: nonsense. */
static int first_frame(const struct net_pair *pair, uint32_t *len_bytes)
{
	size_t have = pair->stream_end - pair->stream_begin;
	uint32_t len_be;

	*len_bytes = 0;
	if (have < LENGTH_BYTES)
		return 0;
	memcpy(&len_be, pair->stream + pair->stream_begin, LENGTH_BYTES);
	uint32_t len = be32toh(len_be);
	if (!len || len > NET_FRAME_MAX)
		return -EPROTO;
	if (have - LENGTH_BYTES >= len)
		*len_bytes = len;
	return 0;
}

/* Reads once behind what is there; 0, or -errno (-ENODATA at the end of the stream). */
static int fill(struct net_pair *pair)
{
	size_t have = pair->stream_end - pair->stream_begin;
	ssize_t n;

	memmove(pair->stream, pair->stream + pair->stream_begin, have);
	pair->stream_begin = 0;
	pair->stream_end = have;
	do
		n = read(pair->fd, pair->stream + have, NET_STREAM_BYTES - have);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : -ENODATA;
	pair->stream_end += (size_t)n;
	return 0;
}

/* A header of zeroes (a plain frame) and the frame; parts are filled in order, up to the last. */
static void scatter(struct iovec *iov, unsigned n, const uint8_t *frame, size_t frame_bytes)
{
	size_t zeroes = NET_HEADER_BYTES;

	for (unsigned i = 0; i < n && zeroes + frame_bytes; i++) {
		uint8_t *to = iov[i].iov_base;
		size_t room = iov[i].iov_len;
		size_t blank = room < zeroes ? room : zeroes;
		memset(to, 0, blank);
		zeroes -= blank;
		size_t part = room - blank < frame_bytes ? room - blank : frame_bytes;
		memcpy(to + blank, frame, part);
		frame += part;
		frame_bytes -= part;
	}
}

static ssize_t stream_receive(struct net_pair *pair, struct iovec *iov, unsigned n)
{
	uint32_t len = 0;
	int ret = first_frame(pair, &len);

	while (!ret && !len) {
		ret = fill(pair);
		if (!ret)
			ret = first_frame(pair, &len);
	}
	if (ret < 0)
		return ret;
	scatter(iov, n, pair->stream + pair->stream_begin + LENGTH_BYTES, len);
	pair->stream_begin += LENGTH_BYTES + len;
	return (ssize_t)(NET_HEADER_BYTES + len);
}

static bool is_loopback4(const uint8_t address[4])
{
	return address[0] == 127 || address[0] == 0;
}

/* ::, ::1, and what is IPv4's in disguise. */
static bool is_loopback6(const uint8_t address[16])
{
	static const uint8_t zeroes[15], mapped[12] = {[10] = 0xff, [11] = 0xff};

	return (memcmp(address, zeroes, sizeof(zeroes)) == 0 && address[15] <= 1) ||
		memcmp(address, mapped, sizeof(mapped)) == 0;
}

bool net_stream_takes(const uint8_t *frame, size_t len_bytes)
{
	enum { AT_TYPE = 12, AT_DESTINATION4 = 14 + 16, AT_DESTINATION6 = 14 + 24 };
	uint16_t type_be;

	memcpy(&type_be, frame + AT_TYPE, sizeof(type_be));
	switch (be16toh(type_be)) {
	case ETH_P_IP:
		return len_bytes < AT_DESTINATION4 + 4 || !is_loopback4(frame + AT_DESTINATION4);
	case ETH_P_IPV6:
		return len_bytes < AT_DESTINATION6 + 16 || !is_loopback6(frame + AT_DESTINATION6);
	default:
		return true;
	}
}

static int stream_transmit(struct net_pair *pair)
{
	struct net_tx *tx = &pair->tx;

	while (tx->left_bytes) {
		struct msghdr message = {.msg_iov = tx->at, .msg_iovlen = tx->n};
		ssize_t n = sendmsg(pair->fd, &message, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -EAGAIN : -EPIPE;
		tx->left_bytes -= (size_t)n;
		tx->n = virtq_iov_cut(&tx->at, tx->n, (size_t)n, tx->left_bytes);
	}
	return 0;
}

static const struct call stream_calls[] = {
	CALL(read),
	CALL(sendmsg),
};
const struct calls net_stream_calls = CALLS(stream_calls);

const struct net_backend_ops net_stream_ops = {
	.features = stream_features,
	.open = stream_open,
	.receive = stream_receive,
	.transmit = stream_transmit,
};
