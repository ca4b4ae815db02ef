/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes, ACLs among them. The host decides what may be stored where; what belongs to
 * the host's own security modules is neither shown to the guest nor changed by it. Nothing here
 * may answer ENOSYS: the guest would never ask again, for any file.
 */
#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "microvm/fs/ops.h"

static bool xattr_hidden(const struct op_call *c, const char *name)
{
	static const char *const hidden[] = {
		"security.selinux",
		"security.SMACK64",
		"security.apparmor",
		"security.ima",
		"security.evm",
	};

	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		if (!strncmp(name, hidden[i], strlen(hidden[i])))
			return true;
	/* ACLs name ids, which mean something else in the guest when they are mapped. */
	return !c->s->privileged && !strncmp(name, "system.posix_acl_", 17);
}

static int take_xattr_name(const struct op_call *c, const char **name)
{
	int ret = request_take_string(c->r, FS_XATTR_NAME_MAX, name);

	if (ret == -ENAMETOOLONG || (!ret && !**name))
		return -ERANGE;
	return ret;
}

static int set_allowed(const struct op_call *c, const struct node_use *use, const char *name)
{
	if (xattr_hidden(c, name))
		return -EOPNOTSUPP;
	if (node_export(use->node)->nosuid && !strcmp(name, "security.capability"))
		return -EPERM;
	return 0;
}

int op_setxattr(const struct op_call *c)
{
	const struct fuse_setxattr_in *in = request_take(c->r, sizeof(*in));
	cleanup_node struct node_use use = {0};
	struct fd_path path = {""};
	const char *name;

	if (!in)
		return -EINVAL;
	int ret = take_xattr_name(c, &name);
	if (ret)
		return ret;
	const void *value = request_take(c->r, in->size);
	if (!value || in->size > FS_XATTR_MAX_BYTES)
		return -EINVAL;
	ret = op_use_writable(c, c->r->header.nodeid, &use);
	if (!ret)
		ret = set_allowed(c, &use, name);
	if (!ret)
		ret = cred_keep_setid(
			&c->t->cred, !(in->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID));
	if (ret)
		return ret;
	if (setxattr(op_node_path(c, &use, &path), name, value, in->size, (int)in->flags) < 0)
		return -errno;
	return request_reply(c->r, NULL, 0);
}

/* A value or list of len bytes in the thread's buffer, as the guest's size asks for it. */
static int reply_sized(const struct op_call *c, uint32_t size, size_t len)
{
	if (!size) {
		struct fuse_getxattr_out out = {.size = (uint32_t)len};
		return request_reply(c->r, &out, sizeof(out));
	}
	if (len > size || len > request_room(c->r))
		return -ERANGE;
	return request_reply(c->r, c->t->buf, len);
}

int op_getxattr(const struct op_call *c)
{
	const struct fuse_getxattr_in *in = request_take(c->r, sizeof(*in));
	cleanup_node struct node_use use = {0};
	struct fd_path path = {""};
	const char *name;

	if (!in)
		return -EINVAL;
	int ret = take_xattr_name(c, &name);
	if (!ret)
		ret = node_use(&c->s->nodes, c->r->header.nodeid, &use);
	if (ret)
		return ret;
	if (!use.node || xattr_hidden(c, name))
		return -ENODATA;
	ssize_t n = getxattr(
		op_node_path(c, &use, &path), name, c->t->buf, in->size ? FS_XATTR_MAX_BYTES : 0);
	return n < 0 ? -errno : reply_sized(c, in->size, (size_t)n);
}

/* trusted.* is listed for those with CAP_SYS_ADMIN, which the request does not say: for root. */
static bool list_hides(const struct op_call *c, const char *name)
{
	return c->r->header.uid && !strncmp(name, "trusted.", 8);
}

int op_listxattr(const struct op_call *c)
{
	const struct fuse_getxattr_in *in = request_take(c->r, sizeof(*in));
	cleanup_node struct node_use use = {0};
	char *list = (char *)c->t->buf;
	struct fd_path path = {""};
	size_t kept = 0;

	if (!in)
		return -EINVAL;
	int ret = node_use(&c->s->nodes, c->r->header.nodeid, &use);
	if (ret)
		return ret;
	if (use.node) {
		ssize_t n = listxattr(op_node_path(c, &use, &path), list, FS_XATTR_MAX_BYTES);
		if (n < 0)
			return -errno;
		for (size_t at = 0; at < (size_t)n;) {
			size_t len = strnlen(list + at, (size_t)n - at) + 1;
			if (!xattr_hidden(c, list + at) && !list_hides(c, list + at)) {
				memmove(list + kept, list + at, len);
				kept += len;
			}
			at += len;
		}
	}
	return reply_sized(c, in->size, kept);
}

int op_removexattr(const struct op_call *c)
{
	cleanup_node struct node_use use = {0};
	struct fd_path path = {""};
	const char *name;

	int ret = take_xattr_name(c, &name);
	if (!ret)
		ret = op_use_writable(c, c->r->header.nodeid, &use);
	if (!ret && xattr_hidden(c, name))
		ret = -ENODATA;
	if (ret)
		return ret;
	if (removexattr(op_node_path(c, &use, &path), name) < 0)
		return -errno;
	return request_reply(c->r, NULL, 0);
}
