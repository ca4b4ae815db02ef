/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vhost-user front end that says what a test wants it to, on a socket pair with the back end,
 * which has a device of two queues behind it. All checks are cmocka's assertions.
 */
#pragma once

#include <stdint.h>

#include "base/loop.h"
#include "microvm/vhost/backend.h"
#include "microvm/vhost/message.h"

#define PEER_MEMORY_BYTES (1u << 20)
#define PEER_USER_ADDR	  UINT64_C(0x7f0000000000)
#define PEER_GPA	  UINT64_C(0x100000)
#define PEER_QUEUE_SIZE	  8u
#define PEER_DESC_OFFSET  0x0u
#define PEER_AVAIL_OFFSET 0x1000u
#define PEER_USED_OFFSET  0x2000u
#define PEER_RING_STRIDE  0x4000u
#define PEER_DATA_OFFSET  0x80000u

/* A device that answers each chain with the bytes of its readable part plus one. */
struct adder {
	struct virtio_device dev;
	unsigned kicks, starts, stops;
	uint8_t config[8];
};

struct vhost_peer {
	struct adder adder;
	struct loop loop;
	struct vhost_backend *backend;
	int sock; /* the front end's end */
	int memory_fd, kick[2], call[2];
	uint8_t *memory;
	unsigned closed;
	int closed_error;
};

/* cmocka's fixture functions: *state becomes a struct vhost_peer. */
int vhost_peer_setup(void **state);
int vhost_peer_teardown(void **state);

/* Lets the back end do all it has to. */
void vhost_peer_pump(struct vhost_peer *f);

/* Sends a message and pumps; vhost_peer_receive takes the answer that is there. */
void vhost_peer_send(struct vhost_peer *f, struct vhost_message *m);
struct vhost_message vhost_peer_receive(struct vhost_peer *f);

/* Messages by the shape of their payload. fd -1 says that there is none. */
void vhost_peer_send_u64(struct vhost_peer *f, uint32_t request, uint64_t value);
uint64_t vhost_peer_get_u64(struct vhost_peer *f, uint32_t request);
void vhost_peer_send_state(struct vhost_peer *f, uint32_t request, uint32_t index, uint32_t num);
uint32_t vhost_peer_get_base(struct vhost_peer *f, uint32_t index);
void vhost_peer_send_fd(struct vhost_peer *f, uint32_t request, uint32_t index, int fd);

/* A right SET_MEM_TABLE message, and one sent and acknowledged. */
struct vhost_message vhost_peer_memory_table(const struct vhost_peer *f);
void vhost_peer_set_memory(struct vhost_peer *f);

/* The steps of a front end's start, in order; vhost_peer_start takes all of them. */
void vhost_peer_negotiate(struct vhost_peer *f);
void vhost_peer_set_ring(struct vhost_peer *f, uint32_t index, uint32_t base);
void vhost_peer_start(struct vhost_peer *f);

/* Puts one request into a ring (descriptors 0 and 1; the answer comes to PEER_DATA_OFFSET + 64),
 * kicks and pumps. */
void vhost_peer_request(struct vhost_peer *f, uint32_t index, const char *text);
