/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between host and guest: a 32-bit little-endian length, then that many bytes of JSON (an
 * object). The words are in docs/protocol.md. Both sides treat the other as hostile: length and
 * depth are bounded, and a broken message ends the connection.
 */
#ifndef BASE_MSG_H
#define BASE_MSG_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define MSG_HEADER_BYTES     4
#define MSG_MAX_BYTES	     (4u << 20)	 /* host to guest: a container with a large config */
#define MSG_MAX_PROCESS_BYTES (3u << 20) /* of an exec's process: a MiB of arguments and more */
#define MSG_MAX_GUEST_BYTES  (64u << 10) /* guest to host: events are small */
#define MSG_MAX_DEPTH	     32

/* vsock addresses of the agent (virtio 1.2, 5.10.4: the host is CID 2). */
#define MSG_HOST_CID	  2u
#define MSG_GUEST_CID	  3u
#define MSG_CONTROL_PORT  1024u /* guest connects here on the host, once, before any container */
#define MSG_STREAM_PORT	  1000u /* guestinit listens here: privileged, so no container can */
#define MSG_PROTOCOL	  1

/* Descriptors of a process from 3 on that are streams of the host. */
#define MSG_PRESERVED_MAX 16u

/* Gathers messages from a byte stream; one buffer, grown up to max_bytes. */
struct msg_reader {
	size_t max_bytes; /* of one message's JSON */
	char *buf;
	size_t used_bytes, cap_bytes;
};

void msg_reader_init(struct msg_reader *reader, size_t max_bytes);
void msg_reader_fini(struct msg_reader *reader);

/*
 * Reads once from fd into the reader: the bytes read (> 0), 0 at end of stream, -EAGAIN when
 * nothing is there, or another -errno.
 */
int msg_reader_fill(struct msg_reader *reader, int fd) must_check;

/*
 * Takes the next whole message out. 1 with *message a new reference, 0 when more bytes are
 * needed, -errno (e filled) when the stream is broken and must be closed.
 */
int msg_reader_next(struct msg_reader *reader, json_t **message, struct err *e) must_check;

/* Encodes with header into a fresh buffer, the caller's to free. -EMSGSIZE over max_bytes. */
int msg_encode(const json_t *message, size_t max_bytes, char **out, size_t *len_bytes) must_check;

/* Encodes and writes all of it to a blocking fd. */
int msg_write(int fd, const json_t *message, size_t max_bytes) must_check;

#endif
