/* SPDX-License-Identifier: Apache-2.0 */
/* Out-of-memory events; see oom.h. The kernel wakes who polls memory.events for EPOLLPRI. */
#include "guestinit/oom.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/agent.h"
#include "guestinit/container.h"
#include "guestinit/guest.h"

static void oom_look(struct oom_watch *watch)
{
	static const char name[] = "oom_kill ";
	char text[512];
	ssize_t n = pread(watch->fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return;
	text[n] = '\0';
	const char *line = strstr(text, name);
	uint64_t kills = line ? strtoull(line + strlen(name), NULL, 10) : 0;
	if (kills > watch->kills)
		agent_oom(watch->container->guest->agent, watch->container->create->id);
	watch->kills = kills;
}

static void oom_ready(struct loop_source *source, uint32_t events)
{
	(void)events;
	oom_look((struct oom_watch *)(void *)((char *)source - offsetof(struct oom_watch, source)));
}

void oom_watch_init(struct oom_watch *watch)
{
	*watch = (struct oom_watch){.source = {.fd = -1, .ready = oom_ready}, .fd = -1};
}

void oom_watch_start(struct oom_watch *watch, struct container *c)
{
	if (watch->fd >= 0)
		return;
	watch->container = c;
	watch->fd = openat(c->cgroup_fd, "memory.events", O_RDONLY | O_CLOEXEC);
	if (watch->fd < 0)
		return;
	if (loop_add(&c->guest->loop, &watch->source, watch->fd, EPOLLPRI) < 0) {
		fd_closep(&watch->fd);
		return;
	}
	oom_look(watch); /* reading is what makes the next change wake us */
}

void oom_watch_fini(struct oom_watch *watch)
{
	if (watch->fd < 0)
		return;
	oom_look(watch);
	loop_del(&watch->container->guest->loop, &watch->source);
	fd_closep(&watch->fd);
}
