/* SPDX-License-Identifier: Apache-2.0 */
/* hvrun start: the process of a container that was created. */
#include <errno.h>
#include <fcntl.h>

#include "base/fd.h"
#include "base/json.h"
#include "oci/config.h"
#include "runtime/commands.h"
#include "runtime/hooks.h"
#include "runtime/monitor.h"
#include "runtime/network_tell.h"
#include "runtime/teardown.h"

#define PATIENCE_MS (-1) /* hooks in the guest have timeouts of their own */

/* A hook that fails ends the container, as with runc. */
static int run_poststart(const struct context *context, struct container *c, struct err *e)
{
	struct hooks_env env = {.netns = -1, .report = &context->report};
	struct container_process monitor = container_process(c, "monitor");

	if (!json_is_true(json_object_get(c->state, "hooks")))
		return 0;
	cleanup_close int fd = openat(c->dir, "config.json", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	cleanup_json json_t *config =
		json_parse_fd(fd, OCI_CONFIG_MAX_BYTES, OCI_CONFIG_MAX_DEPTH, "config.json", e);
	cleanup_json json_t *state = container_oci_state(c, CONTAINER_RUNNING);
	if (!config || !state)
		return config ? err_sys(e, ENOMEM, "%s", c->id) : err_add(e, "%s", c->id);
	env.bundle = json_string_value(json_object_get(c->state, "bundle"));
	int ret = hooks_run(json_object_get(config, "hooks"), "poststart", state, &env, e);
	if (ret < 0)
		container_process_kill(&monitor);
	return ret;
}

static int start(const struct context *context, const char *id, int *code, struct err *e)
{
	cleanup_container struct container c;

	int ret = command_open_container(context, id, &c, e);
	if (ret == 0)
		ret = container_lock(&c, e);
	if (ret < 0)
		return ret;
	switch (container_status(&c)) {
	case CONTAINER_CREATED:
		break;
	case CONTAINER_STOPPED:
		return err_set(e, EINVAL, "cannot start a container that has stopped");
	default:
		return err_set(e, EINVAL, "cannot start an already running container");
	}
	struct container_process monitor = container_process(&c, "monitor");
	/* What was put into the network namespace since it was created is there for the process. */
	ret = network_update(c.dir, monitor.pid, e);
	if (ret < 0)
		return ret;
	ret = monitor_request(
		c.dir, json_pack("{s:s}", "op", "start"), PATIENCE_MS, NULL, code, e);
	return ret < 0 ? ret : run_poststart(context, &c, e);
}

static int command_start_run(struct context *context, int argc, char **argv)
{
	static const struct option_spec none[] = {{0}};
	const char *id;
	struct err e;
	int code = 0;

	int ret = options_parse_words(none, NULL, argc, argv, &id, 1, &e);
	if (ret == 0)
		ret = start(context, id, &code, &e);
	return ret < 0 ? command_fail(context, &e) : 0;
}

const struct command command_start = {
	.name = "start",
	.usage = "ID",
	.summary = "start the process of a created container",
	.run = command_start_run,
};
