/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the vhost-user protocol ("Vhost-user Protocol" in QEMU's interop documentation), the
 * part that both sides need: header, payloads, descriptors beside them. The peer is not trusted:
 * lengths are checked before anything is looked at, and the number of descriptors is bounded.
 * Numbers are in host order, as the protocol has them.
 */
#ifndef MICROVM_VHOST_MESSAGE_H
#define MICROVM_VHOST_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define VHOST_VERSION		1u
#define VHOST_FLAG_VERSION_MASK 3u
#define VHOST_FLAG_REPLY	(1u << 2)
#define VHOST_FLAG_NEED_REPLY	(1u << 3)

#define VHOST_MEMORY_REGIONS_MAX 8 /* also the most descriptors in one message */
#define VHOST_CONFIG_BYTES_MAX	 256

/* A feature bit that is the protocol's own, never the driver's. */
#define VHOST_F_PROTOCOL_FEATURES 30

/* In the payload of SET_VRING_KICK, CALL and ERR: the queue's index, and "there is no fd". */
#define VHOST_VRING_INDEX_MASK 0xffu
#define VHOST_VRING_NO_FD      0x100u

enum vhost_protocol_feature {
	VHOST_PROTOCOL_F_MQ = 0,
	VHOST_PROTOCOL_F_REPLY_ACK = 3,
	VHOST_PROTOCOL_F_CONFIG = 9,
	VHOST_PROTOCOL_F_RESET_DEVICE = 13,
};

enum vhost_request {
	VHOST_GET_FEATURES = 1,
	VHOST_SET_FEATURES = 2,
	VHOST_SET_OWNER = 3,
	VHOST_RESET_OWNER = 4,
	VHOST_SET_MEM_TABLE = 5,
	VHOST_SET_VRING_NUM = 8,
	VHOST_SET_VRING_ADDR = 9,
	VHOST_SET_VRING_BASE = 10,
	VHOST_GET_VRING_BASE = 11,
	VHOST_SET_VRING_KICK = 12,
	VHOST_SET_VRING_CALL = 13,
	VHOST_SET_VRING_ERR = 14,
	VHOST_GET_PROTOCOL_FEATURES = 15,
	VHOST_SET_PROTOCOL_FEATURES = 16,
	VHOST_GET_QUEUE_NUM = 17,
	VHOST_SET_VRING_ENABLE = 18,
	VHOST_GET_CONFIG = 24,
	VHOST_SET_CONFIG = 25,
	VHOST_RESET_DEVICE = 34,
};

struct vhost_header {
	uint32_t request, flags, payload_bytes;
};

struct vhost_vring_state {
	uint32_t index, num;
};

struct vhost_vring_addr {
	uint32_t index, flags;
	uint64_t desc, used, avail, log; /* user addresses of the front end */
};

struct vhost_memory_region {
	uint64_t gpa, len_bytes, user_addr, offset_bytes;
};

struct vhost_memory {
	uint32_t n_regions, padding;
	struct vhost_memory_region regions[VHOST_MEMORY_REGIONS_MAX];
};

struct vhost_config {
	uint32_t offset, len_bytes, flags;
	uint8_t bytes[VHOST_CONFIG_BYTES_MAX];
};

union vhost_payload {
	uint64_t u64;
	struct vhost_vring_state state;
	struct vhost_vring_addr addr;
	struct vhost_memory memory;
	struct vhost_config config;
};

/* The descriptors are the message's: vhost_message_close closes those that nobody stole. */
struct vhost_message {
	struct vhost_header header;
	union vhost_payload payload;
	int fds[VHOST_MEMORY_REGIONS_MAX];
	unsigned n_fds;
};

/* The request's name for messages, "request" for one that is not known here. */
const char *vhost_request_name(uint32_t request);

void vhost_message_init(struct vhost_message *message, uint32_t request, uint32_t payload_bytes);
void vhost_message_close(struct vhost_message *message);

/*
 * Whether the payload has the form of its request: exact lengths, a memory table that has as many
 * descriptors as regions, a configuration window within bounds. -EPROTO when not; -EOPNOTSUPP for
 * a request that is not in enum vhost_request (whose payload, if any, was read and is ignored).
 */
int vhost_message_check(const struct vhost_message *message) must_check;

/*
 * Gathers messages from a stream socket without blocking; one message at a time. After a message
 * is complete, its descriptors are the caller's to steal or close, and the next receive begins
 * the next one.
 */
struct vhost_reader {
	struct vhost_message message;
	size_t used_bytes;
};

void vhost_reader_init(struct vhost_reader *reader);
void vhost_reader_fini(struct vhost_reader *reader);

/*
 * 1 with a whole message in reader->message, 0 when more must come first, -ENODATA at the end of
 * the stream, -EPROTO for what is no vhost-user message, or another -errno.
 */
int vhost_reader_receive(struct vhost_reader *reader, int sock) must_check;

/*
 * Sends a message with its descriptors (which stay open), waiting at most timeout_ms for room in
 * the socket. -ETIMEDOUT, -EPIPE, or another -errno.
 */
int vhost_message_send(int sock, const struct vhost_message *message, int timeout_ms) must_check;

#endif
