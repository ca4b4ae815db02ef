/* SPDX-License-Identifier: Apache-2.0 */
/* What commands share: the container that one is about. */
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
