/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the hostile guest asks of its devices; see guest.h. Requests are of the right form as often
 * as not, so that they come past the first check, with numbers in them that nobody would send.
 */
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <linux/virtio_vsock.h>

#include "microvm/fs/proto.h"
#include "tests/hostile/guest.h"

#define GUEST_CID    3
#define HOST_CID     2
#define CONTROL_PORT 1024  /* the session's: spoken to only with machine.agent, as it ends soon */
#define RELAY_PORT   2048  /* and the number of the export of a Unix socket */
#define SECTORS	     32768 /* about the disk's */
#define FUSE_OPCODES 52
#define TALK_GPA     (ARENA_GPA + ARENA_BYTES - 0x60000) /* what is said and heard at a start */

/* The next free bytes of the arena, in turn: what is in flight is overwritten sooner or later. */
static uint64_t buffer(struct random *r, uint32_t len)
{
	uint64_t room = BUFFERS_BYTES - 0x100000;
	uint64_t at = len < room ? random_below(r, (uint32_t)(room - len)) : 0;

	return BUFFERS_GPA + (one_in(r, 2) ? at : at & ~0xfffull);
}

static void add(struct chain *c, uint64_t gpa, uint32_t len, bool writable)
{
	if (c->n < PARTS_MAX)
		c->parts[c->n++] = (struct part){gpa, len, writable};
}

/* Bytes that are there already, in one part or in several. */
static void add_cut(struct chain *c, uint64_t gpa, uint32_t len, bool writable, struct random *r)
{
	while (len && one_in(r, 4)) {
		uint32_t part = random_below(r, len) + one_in(r, 2);
		part = part < len ? part : len;
		add(c, gpa, part, writable);
		gpa += part;
		len -= part;
	}
	add(c, gpa, len, writable);
}

static uint32_t some_bytes(struct random *r)
{
	switch (random_below(r, 6)) {
	case 0:
		return random_below(r, 3);
	case 1:
		return 4096;
	case 2:
		return random_below(r, 1u << 17);
	case 3:
		return 512u * random_below(r, 64);
	default:
		return random_below(r, 256);
	}
}

/* The header, then bytes as they lie there. */
static void add_header(struct chain *c, const void *header, uint32_t len, struct random *r)
{
	uint64_t gpa = buffer(r, len);

	memcpy((void *)gpa, header, len);
	add_cut(c, gpa, len, false, r);
}

static void add_bytes(struct chain *c, uint32_t len, bool writable, struct random *r)
{
	add_cut(c, buffer(r, len), len, writable, r);
}

static void console_request(unsigned queue, struct chain *c, struct random *r)
{
	static const char text[] = "hostile \x1b[2J\n\t\x9b\xff Kernel panic\n";

	if (queue == 1)
		add_header(c, text, random_below(r, sizeof(text)), r);
	if (queue == 0 || one_in(r, 8))
		add_bytes(c, some_bytes(r), queue == 0, r);
}

static void blk_request(struct chain *c, struct random *r)
{
	static const uint32_t types[] = {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH,
		VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES};
	struct virtio_blk_outhdr h = {
		.type = types[random_below(r, 6)],
		.ioprio = (uint32_t)random_next(r),
		.sector = one_in(r, 4) ? random_number(r) : random_below(r, SECTORS),
	};

	if (one_in(r, 16))
		h.type = (uint32_t)random_number(r);
	add_header(c, &h, one_in(r, 400) ? random_below(r, sizeof(h)) : sizeof(h), r);
	if (h.type == VIRTIO_BLK_T_DISCARD || h.type == VIRTIO_BLK_T_WRITE_ZEROES) {
		struct virtio_blk_discard_write_zeroes z = {
			.sector = one_in(r, 4) ? random_number(r) : random_below(r, SECTORS),
			.num_sectors =
				one_in(r, 4) ? (uint32_t)random_number(r) : random_below(r, 64),
			.flags = random_below(r, 3),
		};
		for (unsigned i = one_in(r, 8) ? random_below(r, 4) : 1; i; i--)
			add_header(c, &z, sizeof(z), r);
	} else if (h.type == VIRTIO_BLK_T_OUT) {
		add_bytes(c, some_bytes(r), false, r);
	} else {
		add_bytes(c, some_bytes(r), true, r);
	}
	if (!one_in(r, 400))
		add_bytes(c, 1, true, r);
}

static void net_request(const struct device *d, unsigned queue, struct chain *c, struct random *r)
{
	struct virtio_net_hdr_v1 h = {0};

	/* The last one is the control queue; without MQ, the third. */
	if (queue == 2 || queue + 1 == d->n_queues) {
		uint8_t command[2] = {(uint8_t)random_below(r, 7), (uint8_t)random_below(r, 7)};
		uint32_t numbers[4] = {
			(uint32_t)random_number(r), (uint32_t)random_number(r), 1, 0};
		add_header(c, command, 2, r);
		add_header(c, numbers, random_below(r, sizeof(numbers) + 1), r);
		if (one_in(r, 8))
			add_bytes(c, some_bytes(r), false, r);
		add_bytes(c, 1, true, r);
		return;
	}
	if (queue % 2 == 0) {
		add_bytes(c, one_in(r, 4) ? some_bytes(r) : 2048, true, r);
		return;
	}
	if (one_in(r, 2)) {
		h.flags = (uint8_t)random_below(r, 4);
		h.gso_type = (uint8_t)(random_below(r, 6) | (one_in(r, 4) ? 0x80 : 0));
		h.hdr_len = (uint16_t)random_number(r);
		h.gso_size = (uint16_t)random_number(r);
		h.csum_start = (uint16_t)random_number(r);
		h.csum_offset = (uint16_t)random_number(r);
	}
	add_header(c, &h, one_in(r, 16) ? random_below(r, sizeof(h)) : sizeof(h), r);
	for (unsigned i = 1 + (one_in(r, 8) ? random_below(r, 40) : 0); i; i--)
		add_bytes(c, one_in(r, 4) ? some_bytes(r) : 14 + random_below(r, 1500), false, r);
}

#define AGENT_PORT 1000 /* of ours */

/* A message as guestinit sends them (docs/protocol.md), or nearly; its length. */
static uint32_t agent_message(uint8_t *at, struct random *r)
{
	static const char *const messages[] = {"{'type':'hello','protocol':1,'tsc':1}",
		"{'type':'created','id':'hostile'}", "{'type':'started','id':'hostile'}",
		"{'type':'failed','id':'hostile','code':1,'message':'config.x \\u0000\\u009b'}",
		"{'type':'exited','id':'hostile','code':3,'oom':true}",
		"{'type':'oom','id':'hostile'}",
		"{'type':'exec-started','id':'hostile','exec':'1','pid':-1}",
		"{'type':'exec-exited','id':'hostile','exec':'1','code':0}",
		"{'type':'answer','seq':1,'ok':true,'stats':{}}",
		"{'type':'log','level':'warning','message':'x'}",
		"{'type':'log','level':'error','message':'\\ud800'}",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "{'type':'hello','type':7}",
		""};
	static bool greeted;
	const unsigned n = sizeof(messages) / sizeof(messages[0]);
	const char *text = messages[greeted || one_in(r, 8) ? random_below(r, n) : 0];
	uint32_t len = 0;

	greeted = true;
	for (; text[len]; len++)
		at[4 + len] = (uint8_t)(text[len] == '\'' ? '"' : text[len]);
	uint32_t said = one_in(r, 16) ? (uint32_t)random_number(r) : len;
	memcpy(at, &said, 4);
	if (len && one_in(r, 6))
		at[4 + random_below(r, len)] = (uint8_t)random_next(r);
	return len + 4;
}

/* A packet of the agent's connection; the first one, with op REQUEST, asks for it. */
static void agent_packet(struct chain *c, uint16_t op, struct random *r)
{
	uint64_t gpa = buffer(r, 4096);
	struct virtio_vsock_hdr h = {
		.src_cid = GUEST_CID,
		.dst_cid = HOST_CID,
		.src_port = AGENT_PORT,
		.dst_port = CONTROL_PORT,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = 1u << 18,
	};

	for (unsigned i = op == VIRTIO_VSOCK_OP_RW ? 1 + random_below(r, 4) : 0; i; i--)
		h.len += agent_message((uint8_t *)gpa + sizeof(h) + h.len, r);
	memcpy((void *)gpa, &h, sizeof(h));
	add_cut(c, gpa, (uint32_t)sizeof(h) + h.len, false, r);
}

static void agent_begin(struct device *d, struct random *r)
{
	struct chain c;

	for (unsigned i = 0; i < 16 && d->n_queues > 1; i++) {
		c.n = 0;
		add(&c, buffer(r, 4096), 4096, true);
		if (!ring_add(d, 0, &c, r, TAME))
			break;
	}
	c.n = 0;
	agent_packet(&c, VIRTIO_VSOCK_OP_REQUEST, r);
	if (ring_add(d, 1, &c, r, TAME))
		device_kick(d, 1);
}

static void vsock_request(unsigned queue, struct chain *c, struct random *r)
{
	static const uint16_t ops[] = {VIRTIO_VSOCK_OP_REQUEST, VIRTIO_VSOCK_OP_RESPONSE,
		VIRTIO_VSOCK_OP_RST, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_OP_RW,
		VIRTIO_VSOCK_OP_RW, VIRTIO_VSOCK_OP_CREDIT_UPDATE, VIRTIO_VSOCK_OP_CREDIT_REQUEST};
	uint32_t len = some_bytes(r);
	struct virtio_vsock_hdr h = {
		.src_cid = GUEST_CID,
		.dst_cid = HOST_CID,
		.src_port = random_below(r, 12),
		.dst_port = RELAY_PORT + random_below(r, 3),
		.len = len,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = ops[random_below(r, 8)],
		.flags = random_below(r, 8) ? random_below(r, 4) : (uint32_t)random_next(r),
		.buf_alloc = one_in(r, 4) ? (uint32_t)random_number(r) : 1u << 18,
		.fwd_cnt = one_in(r, 4) ? (uint32_t)random_number(r) : 0,
	};

	if (queue != 1) {
		add_bytes(c,
			one_in(r, 8)		 ? 48 + some_bytes(r)
				: one_in(r, 400) ? 8
						 : 4096,
			true, r);
		return;
	}
	if (machine.agent && !one_in(r, 4)) {
		agent_packet(c, VIRTIO_VSOCK_OP_RW, r);
		return;
	}
	switch (random_below(r, 40)) {
	case 0:
		h.src_cid = random_number(r);
		break;
	case 1:
		h.dst_cid = random_number(r);
		break;
	case 2:
		h.dst_port = (uint32_t)random_number(r);
		break;
	case 3:
		h.dst_port = CONTROL_PORT + 1 + random_below(r, 4);
		break;
	case 4:
		h.type = (uint16_t)random_number(r);
		break;
	case 5:
		h.op = (uint16_t)random_number(r);
		break;
	case 6:
		h.len = (uint32_t)random_number(r);
		break;
	}
	if (h.dst_port == CONTROL_PORT)
		h.dst_port = 0;
	if (h.op != VIRTIO_VSOCK_OP_RW && !one_in(r, 8))
		h.len = len = 0;
	add_header(c, &h, one_in(r, 32) ? random_below(r, sizeof(h)) : sizeof(h), r);
	if (len)
		add_bytes(c, len, false, r);
	if (one_in(r, 16))
		add_bytes(c, some_bytes(r), true, r);
}

static const uint8_t opcodes[] = {FUSE_LOOKUP, FUSE_LOOKUP, FUSE_LOOKUP, FUSE_FORGET, FUSE_GETATTR,
	FUSE_SETATTR, FUSE_READLINK, FUSE_SYMLINK, FUSE_MKNOD, FUSE_MKDIR, FUSE_UNLINK, FUSE_RMDIR,
	FUSE_RENAME, FUSE_LINK, FUSE_OPEN, FUSE_OPEN, FUSE_READ, FUSE_READ, FUSE_WRITE, FUSE_WRITE,
	FUSE_STATFS, FUSE_RELEASE, FUSE_FSYNC, FUSE_SETXATTR, FUSE_GETXATTR, FUSE_LISTXATTR,
	FUSE_REMOVEXATTR, FUSE_FLUSH, FUSE_OPENDIR, FUSE_OPENDIR, FUSE_READDIR, FUSE_RELEASEDIR,
	FUSE_FSYNCDIR, FUSE_GETLK, FUSE_SETLK, FUSE_SETLKW, FUSE_ACCESS, FUSE_CREATE, FUSE_CREATE,
	FUSE_INTERRUPT, FUSE_IOCTL, FUSE_BATCH_FORGET, FUSE_FALLOCATE, FUSE_READDIRPLUS,
	FUSE_RENAME2, FUSE_LSEEK, FUSE_COPY_FILE_RANGE, FUSE_SYNCFS, FUSE_TMPFILE, FUSE_STATX};

#define NODES	5
#define HANDLES 3
static uint64_t fs_nodes[NODES] = {1, 1, 1, 1, 1}, fs_handles[HANDLES];

static uint64_t some_node(struct random *r)
{
	return one_in(r, 16) ? random_number(r) : fs_nodes[random_below(r, NODES)];
}

static uint32_t put_name(uint8_t *at, struct random *r)
{
	static const char *const names[] = {"rootfs", "a", "b", "c", "dir", "file", "link", "..",
		".", "a/b", "", "user.x", "trusted.overlay.x", "system.posix_acl_access",
		"../../etc"};
	const char *name = names[random_below(r, sizeof(names) / sizeof(names[0]))];
	uint32_t len = 0;

	if (one_in(r, 32)) {
		len = random_below(r, 5000);
		memset(at, 'n', len);
	} else {
		while (name[len]) {
			at[len] = (uint8_t)name[len];
			len++;
		}
	}
	at[len] = 0;
	return len + !one_in(r, 32); /* perhaps without its end */
}

/* Words as they are in most requests: handles, offsets, lengths, modes, flags; then a name or two.
 */
static uint32_t fuse_body(uint8_t *at, uint32_t opcode, struct random *r)
{
	static const uint8_t words[FUSE_OPCODES + 2] = {[FUSE_GETATTR] = 2,
		[FUSE_SETATTR] = 11,
		[FUSE_MKNOD] = 2,
		[FUSE_MKDIR] = 1,
		[FUSE_RENAME] = 1,
		[FUSE_LINK] = 1,
		[FUSE_OPEN] = 1,
		[FUSE_READ] = 5,
		[FUSE_WRITE] = 5,
		[FUSE_RELEASE] = 3,
		[FUSE_FSYNC] = 2,
		[FUSE_SETXATTR] = 1,
		[FUSE_GETXATTR] = 1,
		[FUSE_LISTXATTR] = 1,
		[FUSE_FLUSH] = 3,
		[FUSE_OPENDIR] = 1,
		[FUSE_READDIR] = 5,
		[FUSE_RELEASEDIR] = 3,
		[FUSE_FSYNCDIR] = 2,
		[FUSE_GETLK] = 6,
		[FUSE_SETLK] = 6,
		[FUSE_SETLKW] = 6,
		[FUSE_ACCESS] = 1,
		[FUSE_CREATE] = 2,
		[FUSE_INTERRUPT] = 1,
		[FUSE_IOCTL] = 4,
		[FUSE_BATCH_FORGET] = 3,
		[FUSE_FALLOCATE] = 4,
		[FUSE_READDIRPLUS] = 5,
		[FUSE_RENAME2] = 2,
		[FUSE_LSEEK] = 3,
		[FUSE_COPY_FILE_RANGE] = 7,
		[FUSE_SYNCFS] = 1,
		[FUSE_TMPFILE] = 2,
		[FUSE_STATX] = 3,
		[FUSE_FORGET] = 1};
	unsigned n = opcode < sizeof(words) ? words[opcode] : random_below(r, 8);
	uint32_t len = 0;

	for (unsigned i = 0; i < n; i++, len += 8) {
		uint64_t word = random_below(r, 3) ? random_below(r, 2000) : random_number(r);
		if (one_in(r, 8) || (i == 2 && opcode == FUSE_COPY_FILE_RANGE))
			word = some_node(r);
		else if (i == 0 || (i == 3 && opcode == FUSE_COPY_FILE_RANGE))
			word = one_in(r, 8) ? word : fs_handles[random_below(r, HANDLES)];
		if (opcode == FUSE_FALLOCATE && i < 3)
			word &= 0xffffff; /* what is asked for is taken from the export's disk */
		memcpy(at + len, &word, 8);
	}
	if (one_in(r, 16))
		len += random_below(r, 64);
	if (one_in(r, 16))
		len = len > 4 ? len - random_below(r, 9) % len : 0;
	for (unsigned i = random_below(r, 3); i; i--)
		len += put_name(at + len, r);
	return len;
}

static void fs_request(struct chain *c, struct random *r)
{
	uint64_t gpa = buffer(r, 16384);
	uint8_t *bytes = (uint8_t *)gpa;
	struct fuse_in_header h = {
		.opcode = opcodes[random_below(r, sizeof(opcodes))],
		.unique = random_below(r, 1000),
		.nodeid = some_node(r),
		.uid = one_in(r, 2) ? 0 : (uint32_t)random_number(r),
		.gid = one_in(r, 2) ? 0 : (uint32_t)random_number(r),
		.pid = (uint32_t)random_number(r),
	};

	if (one_in(r, 32))
		h.opcode = (uint32_t)random_number(r);
	if (one_in(r, 32))
		h.total_extlen = (uint16_t)random_number(r);
	uint32_t len = (uint32_t)sizeof(h) + fuse_body(bytes + sizeof(h), h.opcode, r);
	uint32_t data = h.opcode == FUSE_WRITE ? some_bytes(r) : 0;
	h.len = one_in(r, 16) ? (uint32_t)random_number(r) : len + data;
	memcpy(bytes, &h, sizeof(h));
	add_cut(c, gpa, one_in(r, 32) ? random_below(r, len) : len, false, r);
	if (data)
		add_bytes(c, data, false, r);
	if (h.opcode != FUSE_FORGET && h.opcode != FUSE_BATCH_FORGET)
		for (unsigned i = 1 + random_below(r, 3); i; i--)
			add_bytes(c, 16 + some_bytes(r), true, r);
}

/*
 * Asks the file server for something as a driver would: its answer, behind the header, in the
 * guest's memory; NULL when it is an error or does not come.
 */
static const void *fs_ask(struct device *d, struct random *r, uint32_t opcode, uint64_t node,
	const void *body, uint32_t len)
{
	struct chain c = {.n = 0};
	struct fuse_in_header h = {.len = (uint32_t)sizeof(h) + len,
		.opcode = opcode,
		.unique = random_next(r),
		.nodeid = node};
	struct fuse_out_header *out = (void *)(TALK_GPA + 4096);

	memcpy((void *)TALK_GPA, &h, sizeof(h));
	memcpy((void *)(TALK_GPA + sizeof(h)), body, len);
	memset(out, 0, sizeof(*out));
	add(&c, TALK_GPA, h.len, false);
	add(&c, TALK_GPA + 4096, 4096, true);
	if (!ring_add(d, 1, &c, r, TAME))
		return NULL;
	device_kick(d, 1);
	return ring_wait(d, 1) && out->len > sizeof(*out) && !out->error ? out + 1 : NULL;
}

static uint64_t fs_look_up(struct device *d, struct random *r, uint64_t node, const char *name)
{
	uint32_t len = 0;

	while (name[len++])
		;
	const struct fuse_entry_out *entry = fs_ask(d, r, FUSE_LOOKUP, node, name, len);
	return entry ? entry->nodeid : node;
}

static uint64_t fs_open(struct device *d, struct random *r, uint32_t opcode, uint64_t node)
{
	const struct fuse_open_in in = {.flags = opcode == FUSE_OPEN ? 2 : 0}; /* O_RDWR */
	const struct fuse_open_out *out = fs_ask(d, r, opcode, node, &in, sizeof(in));

	return out ? out->fh : 0;
}

/* A session with what there is to know: nodes and handles that the requests then name. */
static void fs_begin(struct device *d, struct random *r)
{
	const struct fuse_init_in init = {
		.major = 7,
		.minor = 31 + random_below(r, 10),
		.max_readahead = 65536,
		.flags = (uint32_t)random_next(r) | FUSE_INIT_EXT,
		.flags2 = (uint32_t)random_next(r),
	};

	if (d->n_queues < 2 || one_in(r, 16) || !fs_ask(d, r, FUSE_INIT, 0, &init, sizeof(init)))
		return;
	uint64_t root = fs_look_up(d, r, 1, one_in(r, 4) ? "" : "rootfs");
	fs_nodes[1] = root;
	fs_nodes[2] = fs_look_up(d, r, root, "file");
	fs_nodes[3] = fs_look_up(d, r, root, "dir");
	fs_nodes[4] = fs_look_up(d, r, root, "link");
	fs_handles[0] = fs_open(d, r, FUSE_OPEN, fs_nodes[2]);
	fs_handles[1] = fs_open(d, r, FUSE_OPENDIR, root);
	fs_handles[2] = fs_open(d, r, FUSE_OPENDIR, 1);
}

void request_begin(struct device *d, struct random *r)
{
	if (d->id == VIRTIO_ID_FS)
		fs_begin(d, r);
	else if (d->id == VIRTIO_ID_VSOCK && machine.agent)
		agent_begin(d, r);
}

bool request_is_kept(const struct device *d, unsigned queue)
{
	switch (d->id) {
	case VIRTIO_ID_CONSOLE:
		return queue == 0;
	case VIRTIO_ID_NET:
		return queue % 2 == 0;
	case VIRTIO_ID_VSOCK:
		return queue != 1;
	default:
		return false;
	}
}

void request_make(struct device *d, unsigned queue, struct chain *c, struct random *r)
{
	c->n = 0;
	switch (d->id) {
	case VIRTIO_ID_CONSOLE:
		console_request(queue, c, r);
		break;
	case VIRTIO_ID_BLOCK:
		blk_request(c, r);
		break;
	case VIRTIO_ID_NET:
		net_request(d, queue, c, r);
		break;
	case VIRTIO_ID_VSOCK:
		vsock_request(queue, c, r);
		break;
	case VIRTIO_ID_FS:
		fs_request(c, r);
		break;
	default:
		add_bytes(c, some_bytes(r), true, r);
	}
	if (!c->n)
		add_bytes(c, 16, one_in(r, 2), r);
}
