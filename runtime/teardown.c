/* SPDX-License-Identifier: Apache-2.0 */
/* Taking a container down; see teardown.h. */
#include "runtime/teardown.h"

#include <errno.h>
#include <fcntl.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "oci/config.h"
#include "runtime/cgroup.h"
#include "runtime/hooks.h"
#include "runtime/network.h"

#define WATCHER_PATIENCE_MS 2000

static int remove_cgroup(const struct container *c, struct err *e)
{
	const json_t *json = json_object_get(c->state, "cgroup");
	cleanup_cgroup struct cgroup cg = {0};

	if (!json)
		return 0;
	if (cgroup_from_json(&cg, json) < 0)
		return err_set(e, EINVAL, "state.json: cgroup: can't be read");
	return cgroup_remove(&cg, e);
}

/* Hooks that come after the container; it has been created, or they don't count. */
static void run_poststop(const struct container *c, const struct report *report)
{
	struct hooks_env env = {.netns = -1, .report = report};
	struct err e;

	if (!json_is_true(json_object_get(c->state, "hooks")))
		return;
	cleanup_close int fd = openat(c->dir, "config.json", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	cleanup_json json_t *config = fd < 0
		? NULL
		: json_parse_fd(fd, OCI_CONFIG_MAX_BYTES, OCI_CONFIG_MAX_DEPTH, "config.json", &e);
	cleanup_json json_t *state = container_oci_state(c, CONTAINER_STOPPED);
	env.bundle = json_string_value(json_object_get(c->state, "bundle"));
	if (!config || !state || !env.bundle)
		log_warn("%s: its poststop hooks can't be run", c->id);
	else if (hooks_run(json_object_get(config, "hooks"), "poststop", state, &env, &e) < 0)
		log_warn("%s: %s", c->id, e.text);
}

int teardown(struct container *c, int ns, const struct report *report, struct err *e)
{
	struct container_process monitor = container_process(c, "monitor");
	struct container_process fs = container_process(c, "fs");
	struct container_process watcher = container_process(c, "watcher");
	struct container_process passt = container_process(c, "passt");
	cleanup_close int held = ns < 0 ? network_hold(&monitor) : -1;

	container_process_kill(&monitor);
	container_process_kill(&fs);
	container_process_kill(&passt);
	/* It takes the wires away in whatever has become of the namespace; if it lives. */
	container_process_await(&watcher, WATCHER_PATIENCE_MS);
	container_process_kill(&watcher);
	network_clean(c->dir, ns < 0 ? held : ns);
	int ret = remove_cgroup(c, e);
	if (ret < 0)
		return err_add(e, "%s", c->id);
	run_poststop(c, report);
	return container_remove_dir(c, e);
}
