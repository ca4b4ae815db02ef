/* SPDX-License-Identifier: Apache-2.0 */
/* Length-prefixed JSON messages; see msg.h. */
#include "base/msg.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"

#define MSG_FIRST_BYTES 4096

void msg_reader_init(struct msg_reader *reader, size_t max_bytes)
{
	*reader = (struct msg_reader){.max_bytes = max_bytes};
}

void msg_reader_fini(struct msg_reader *reader)
{
	free(reader->buf);
	reader->buf = NULL;
	reader->used_bytes = reader->cap_bytes = 0;
}

static uint32_t msg_header(const struct msg_reader *reader)
{
	uint32_t len;

	memcpy(&len, reader->buf, sizeof(len));
	return le32toh(len);
}

/* Room for the message under way, once its header is known and within bounds. */
static int msg_reader_reserve(struct msg_reader *reader)
{
	size_t want = MSG_FIRST_BYTES;

	if (reader->used_bytes >= MSG_HEADER_BYTES) {
		size_t len = msg_header(reader);
		if (len <= reader->max_bytes && len + MSG_HEADER_BYTES > want)
			want = len + MSG_HEADER_BYTES;
	}
	if (reader->used_bytes == reader->cap_bytes && want <= reader->cap_bytes)
		return -ENOBUFS; /* a whole message waits for msg_reader_next */
	if (want <= reader->cap_bytes)
		return 0;
	char *bigger = realloc(reader->buf, want);
	if (!bigger)
		return -ENOMEM;
	reader->buf = bigger;
	reader->cap_bytes = want;
	return 0;
}

int msg_reader_fill(struct msg_reader *reader, int fd)
{
	int ret = msg_reader_reserve(reader);

	if (ret < 0)
		return ret;
	ssize_t n;
	do
		n = read(fd, reader->buf + reader->used_bytes,
			reader->cap_bytes - reader->used_bytes);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	reader->used_bytes += (size_t)n;
	return (int)n;
}

int msg_reader_next(struct msg_reader *reader, json_t **message, struct err *e)
{
	if (reader->used_bytes < MSG_HEADER_BYTES)
		return 0;
	size_t len = msg_header(reader);
	if (len > reader->max_bytes)
		return err_set(e, EMSGSIZE, "message of %zu bytes, over the bound of %zu", len,
			reader->max_bytes);
	size_t whole = len + MSG_HEADER_BYTES;
	if (reader->used_bytes < whole)
		return 0;
	json_t *value = json_parse(reader->buf + MSG_HEADER_BYTES, len, MSG_MAX_DEPTH, e);
	if (!value)
		return err_add(e, "message");
	if (!json_is_object(value)) {
		json_decref(value);
		return err_set(e, EBADMSG, "message is not a JSON object");
	}
	memmove(reader->buf, reader->buf + whole, reader->used_bytes - whole);
	reader->used_bytes -= whole;
	*message = value;
	return 1;
}

int msg_encode(const json_t *message, size_t max_bytes, char **out, size_t *len_bytes)
{
	size_t len = json_dumpb(message, NULL, 0, JSON_COMPACT);

	if (!len)
		return -EINVAL;
	if (len > max_bytes || len > UINT32_MAX - MSG_HEADER_BYTES)
		return -EMSGSIZE;
	char *buf = malloc(len + MSG_HEADER_BYTES);
	if (!buf)
		return -ENOMEM;
	uint32_t header = htole32((uint32_t)len);
	memcpy(buf, &header, sizeof(header));
	json_dumpb(message, buf + MSG_HEADER_BYTES, len, JSON_COMPACT);
	*out = buf;
	*len_bytes = len + MSG_HEADER_BYTES;
	return 0;
}

int msg_write(int fd, const json_t *message, size_t max_bytes)
{
	cleanup_free char *buf = NULL;
	size_t len;

	int ret = msg_encode(message, max_bytes, &buf, &len);
	if (ret < 0)
		return ret;
	return fd_write_all(fd, buf, len);
}
