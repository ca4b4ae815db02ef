/* SPDX-License-Identifier: Apache-2.0 */
/* What commands share: the container that one is about, and what none can do. */
#include <errno.h>

#include "runtime/commands.h"

int command_open_container(
	const struct context *context, const char *id, struct container *c, struct err *e)
{
	char root[PATH_MAX];

	container_init(c);
	int ret = container_root_path(context->options.root, root, e);
	if (ret == 0)
		ret = container_open(c, root, id, e);
	return ret;
}

int command_check_fds(unsigned preserve_fds, struct err *e)
{
	if (!preserve_fds)
		return 0;
	return err_set(e, ENOTSUP,
		"--preserve-fds %u: open files of the host can't be passed into a virtual machine; "
		"a bind mount of a file or of a Unix socket can take their place",
		preserve_fds);
}
