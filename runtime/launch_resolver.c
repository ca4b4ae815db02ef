/* SPDX-License-Identifier: Apache-2.0 */
/* Resolvers in a namespace's loopback; see launch_resolver.h. */
#include "runtime/launch_resolver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/resolv.h"
#include "runtime/launch.h"
#include "runtime/netns.h"
#include "runtime/support.h"

/* What is bind-mounted there, the last one where there are several; NULL. */
static const struct export *mounted(const struct launch *l)
{
	const struct export *found = NULL;
	size_t n = 1; /* the root's export comes first */

	for (size_t i = 0; i < json_array_size(l->config.mounts); i++) {
		const json_t *mount = json_array_get(l->config.mounts, i);
		const struct export *export = support_is_bind(mount) ? &l->exports.list[n++] : NULL;
		if (strcmp(json_string_value(json_object_get(mount, "destination")), RESOLV_CONF) ==
			0)
			found = export;
	}
	return found;
}

/*
 * Whoever fills a namespace that hvrun has made does so after now, in hooks or between create and
 * start, and may write the file then, as Docker does.
 */
static bool may_come(const struct launch *l)
{
	return !l->network.path && (l->hooks || l->detached);
}

/* Somebody may join the namespace of whoever calls: its loopback is not the container's. */
static bool is_callers(int ns)
{
	struct netns_id id, own;

	cleanup_close int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return here < 0 || netns_identify(here, &own) < 0 || netns_identify(ns, &id) < 0 ||
		netns_same(&id, &own);
}

void launch_resolver_open(struct launch *l)
{
	const struct export *export = mounted(l);
	union resolv_address address;
	struct stat st;
	char path[64];

	if (l->network.ns < 0 || is_callers(l->network.ns) || !export ||
		fstat(export->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", export->fd);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		log_info("%s: %s: a resolver that it names in 127.0.0.0/8 is not reached",
			export->path, strerror(errno));
	else if (may_come(l) || resolv_read(fd, &address))
		l->plan.resolver = steal_fd(&fd);
}
