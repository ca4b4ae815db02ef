/* SPDX-License-Identifier: Apache-2.0 */
/* vhost-user messages: form, sending, receiving; see message.h. */
#include "microvm/vhost/message.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"

_Static_assert(sizeof(struct vhost_header) == 12, "vhost-user header");
_Static_assert(sizeof(struct vhost_vring_addr) == 40, "vhost-user vring address");
_Static_assert(sizeof(struct vhost_memory_region) == 32, "vhost-user memory region");
_Static_assert(sizeof(union vhost_payload) >= sizeof(struct vhost_config), "payload");

#define MEMORY_HEADER_BYTES offsetof(struct vhost_memory, regions)
#define CONFIG_HEADER_BYTES offsetof(struct vhost_config, bytes)

/* What a request's payload looks like, and how many descriptors may come with it. */
enum payload_form { FORM_NONE, FORM_U64, FORM_STATE, FORM_ADDR, FORM_MEMORY, FORM_CONFIG, FORM_FD };

static const struct request_form {
	const char *name;
	enum payload_form form;
} request_forms[] = {
	[VHOST_GET_FEATURES] = {"GET_FEATURES", FORM_NONE},
	[VHOST_SET_FEATURES] = {"SET_FEATURES", FORM_U64},
	[VHOST_SET_OWNER] = {"SET_OWNER", FORM_NONE},
	[VHOST_RESET_OWNER] = {"RESET_OWNER", FORM_NONE},
	[VHOST_SET_MEM_TABLE] = {"SET_MEM_TABLE", FORM_MEMORY},
	[VHOST_SET_VRING_NUM] = {"SET_VRING_NUM", FORM_STATE},
	[VHOST_SET_VRING_ADDR] = {"SET_VRING_ADDR", FORM_ADDR},
	[VHOST_SET_VRING_BASE] = {"SET_VRING_BASE", FORM_STATE},
	[VHOST_GET_VRING_BASE] = {"GET_VRING_BASE", FORM_STATE},
	[VHOST_SET_VRING_KICK] = {"SET_VRING_KICK", FORM_FD},
	[VHOST_SET_VRING_CALL] = {"SET_VRING_CALL", FORM_FD},
	[VHOST_SET_VRING_ERR] = {"SET_VRING_ERR", FORM_FD},
	[VHOST_GET_PROTOCOL_FEATURES] = {"GET_PROTOCOL_FEATURES", FORM_NONE},
	[VHOST_SET_PROTOCOL_FEATURES] = {"SET_PROTOCOL_FEATURES", FORM_U64},
	[VHOST_GET_QUEUE_NUM] = {"GET_QUEUE_NUM", FORM_NONE},
	[VHOST_SET_VRING_ENABLE] = {"SET_VRING_ENABLE", FORM_STATE},
	[VHOST_GET_CONFIG] = {"GET_CONFIG", FORM_CONFIG},
	[VHOST_SET_CONFIG] = {"SET_CONFIG", FORM_CONFIG},
	[VHOST_RESET_DEVICE] = {"RESET_DEVICE", FORM_NONE},
};

static const struct request_form *request_form(uint32_t request)
{
	if (request >= sizeof(request_forms) / sizeof(request_forms[0]))
		return NULL;
	return request_forms[request].name ? &request_forms[request] : NULL;
}

const char *vhost_request_name(uint32_t request)
{
	const struct request_form *form = request_form(request);

	return form ? form->name : "request";
}

void vhost_message_init(struct vhost_message *message, uint32_t request, uint32_t payload_bytes)
{
	memset(message, 0, sizeof(*message));
	message->header.request = request;
	message->header.flags = VHOST_VERSION;
	message->header.payload_bytes = payload_bytes;
}

void vhost_message_close(struct vhost_message *message)
{
	for (unsigned i = 0; i < message->n_fds; i++)
		fd_closep(&message->fds[i]);
	message->n_fds = 0;
}

/* SET_MEM_TABLE: some front ends send the whole fixed table, so longer than needed is fine. */
static bool memory_form_ok(const struct vhost_message *message)
{
	const struct vhost_memory *memory = &message->payload.memory;
	uint32_t len = message->header.payload_bytes;

	if (len < MEMORY_HEADER_BYTES || memory->n_regions > VHOST_MEMORY_REGIONS_MAX)
		return false;
	return len >= MEMORY_HEADER_BYTES + memory->n_regions * sizeof(memory->regions[0]) &&
		message->n_fds == memory->n_regions;
}

static bool config_form_ok(const struct vhost_message *message)
{
	const struct vhost_config *config = &message->payload.config;
	uint32_t len = message->header.payload_bytes;

	if (len < CONFIG_HEADER_BYTES || config->len_bytes > VHOST_CONFIG_BYTES_MAX ||
		config->offset > VHOST_CONFIG_BYTES_MAX - config->len_bytes)
		return false;
	return len == CONFIG_HEADER_BYTES + config->len_bytes;
}

int vhost_message_check(const struct vhost_message *message)
{
	const struct request_form *form = request_form(message->header.request);
	uint32_t len = message->header.payload_bytes;
	bool ok = false;
	unsigned fds_max = 0;

	if (!form)
		return -EOPNOTSUPP;
	switch (form->form) {
	case FORM_NONE:
		ok = true; /* front ends differ in what they send along; nobody reads it */
		break;
	case FORM_U64:
		ok = len == sizeof(message->payload.u64);
		break;
	case FORM_STATE:
		ok = len == sizeof(message->payload.state);
		break;
	case FORM_ADDR:
		ok = len == sizeof(message->payload.addr);
		break;
	case FORM_MEMORY:
		ok = memory_form_ok(message);
		fds_max = VHOST_MEMORY_REGIONS_MAX;
		break;
	case FORM_CONFIG:
		ok = config_form_ok(message);
		break;
	case FORM_FD:
		fds_max = 1;
		ok = len == sizeof(message->payload.u64) &&
			message->n_fds == (message->payload.u64 & VHOST_VRING_NO_FD ? 0 : 1);
		break;
	}
	return ok && message->n_fds <= fds_max ? 0 : -EPROTO;
}

void vhost_reader_init(struct vhost_reader *reader)
{
	memset(reader, 0, sizeof(*reader));
}

void vhost_reader_fini(struct vhost_reader *reader)
{
	vhost_message_close(&reader->message);
	reader->used_bytes = 0;
}

/* Takes the descriptors of a received control block over; false when there were too many. */
static bool reader_take_fds(struct vhost_message *message, struct msghdr *msg)
{
	bool ok = !(msg->msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (message->n_fds < VHOST_MEMORY_REGIONS_MAX) {
				message->fds[message->n_fds++] = fd;
			} else {
				close(fd);
				ok = false;
			}
		}
	}
	return ok;
}

/* One recvmsg of at most len bytes to dst, with what descriptors come beside them. */
static ssize_t reader_recv(struct vhost_message *message, int sock, void *dst, size_t len)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(VHOST_MEMORY_REGIONS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = dst, .iov_len = len};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	ssize_t n;

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (!reader_take_fds(message, &msg))
		return -EPROTO;
	return n ? n : -ENODATA;
}

int vhost_reader_receive(struct vhost_reader *reader, int sock)
{
	struct vhost_message *message = &reader->message;
	const size_t header_bytes = sizeof(message->header);

	if (reader->used_bytes == 0) {
		vhost_message_close(message);
		memset(message, 0, sizeof(*message));
	}
	for (;;) {
		size_t whole = header_bytes;
		if (reader->used_bytes >= header_bytes) {
			if (message->header.payload_bytes > sizeof(message->payload) ||
				(message->header.flags & VHOST_FLAG_VERSION_MASK) != VHOST_VERSION)
				return -EPROTO;
			whole += message->header.payload_bytes;
			if (reader->used_bytes == whole) {
				reader->used_bytes = 0;
				return 1;
			}
		}
		uint8_t *dst = reader->used_bytes < header_bytes
			? (uint8_t *)&message->header + reader->used_bytes
			: (uint8_t *)&message->payload + (reader->used_bytes - header_bytes);
		ssize_t n = reader_recv(message, sock, dst, whole - reader->used_bytes);
		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return (int)n;
		reader->used_bytes += (size_t)n;
	}
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits for room to write; 0, -ETIMEDOUT or -errno. */
static int wait_writable(int sock, int64_t deadline_ms)
{
	for (;;) {
		struct pollfd p = {.fd = sock, .events = POLLOUT};
		int64_t left = deadline_ms - now_ms();
		int ret = poll(&p, 1, left > 0 ? (int)left : 0);
		if (ret > 0)
			return 0;
		if (ret == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

int vhost_message_send(int sock, const struct vhost_message *message, int timeout_ms)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(VHOST_MEMORY_REGIONS_MAX * sizeof(int))];
	} control = {0};
	const size_t fds_bytes = message->n_fds * sizeof(int);
	struct iovec iov[2] = {
		{(void *)(uintptr_t)&message->header, sizeof(message->header)},
		{(void *)(uintptr_t)&message->payload, message->header.payload_bytes},
	};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	int64_t deadline_ms = now_ms() + timeout_ms;

	if (message->n_fds > VHOST_MEMORY_REGIONS_MAX ||
		message->header.payload_bytes > sizeof(message->payload))
		return -EINVAL;
	if (message->n_fds) {
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(fds_bytes);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fds_bytes);
		memcpy(CMSG_DATA(c), message->fds, fds_bytes);
	}
	while (iov[0].iov_len + iov[1].iov_len) {
		ssize_t n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return -errno;
		if (n < 0) {
			int ret = wait_writable(sock, deadline_ms);
			if (ret < 0)
				return ret;
			continue;
		}
		msg.msg_control = NULL; /* the descriptors went with the first byte */
		msg.msg_controllen = 0;
		for (int i = 0; i < 2; i++) {
			size_t step = (size_t)n < iov[i].iov_len ? (size_t)n : iov[i].iov_len;
			iov[i].iov_base = (char *)iov[i].iov_base + step;
			iov[i].iov_len -= step;
			n -= (ssize_t)step;
		}
	}
	return 0;
}
