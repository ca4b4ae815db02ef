/* SPDX-License-Identifier: Apache-2.0 */
/* The host's requests; see requests.h. */
#include "guestinit/requests.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "guestinit/agent.h"
#include "guestinit/container.h"
#include "guestinit/create.h"
#include "guestinit/exec.h"
#include "guestinit/guest.h"
#include "guestinit/query.h"
#include "guestinit/update.h"

static const char *request_string(const json_t *message, const char *key)
{
	const char *text = json_string_value(json_object_get(message, key));

	return text ? text : "";
}

static uint32_t request_u32(const json_t *message, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(message, key));

	return value < 0 || value > UINT32_MAX ? 0 : (uint32_t)value;
}

static struct container *request_container(struct agent *agent, const json_t *message)
{
	return guest_container_find(agent->guest, request_string(message, "id"));
}

static void request_warn(struct agent *agent, const struct create *create)
{
	for (size_t i = 0; i < create->warnings.n; i++)
		agent_log(agent, LOG_LEVEL_WARNING, "%s", create->warnings.v[i]);
}

static void request_create(struct agent *agent, json_t *message)
{
	struct err e = {0};
	int exit_code = 1;
	struct create *create = create_decode(message, &e);

	if (!create) {
		agent_failed(agent, request_string(message, "id"), exit_code, e.text);
		return;
	}
	request_warn(agent, create);
	if (guest_container_create(agent->guest, create, &exit_code, &e) < 0)
		agent_failed(agent, request_string(message, "id"), exit_code, e.text);
	else
		agent_hand_out(agent);
}

static void request_start(struct agent *agent, json_t *message)
{
	struct container *c = request_container(agent, message);
	int ret = c ? guest_container_start(c) : -ESRCH;

	/* One that has just ended has said so. */
	if (ret < 0 && ret != -ESRCH)
		agent_log(agent, LOG_LEVEL_WARNING, "start: the container is not created");
}

static void request_exec(struct agent *agent, json_t *message)
{
	const char *id = request_string(message, "id"), *name = request_string(message, "exec");
	struct container *c = request_container(agent, message);
	struct err e = {0};
	int exit_code = 1;
	struct create *spec = NULL;

	if (c)
		spec = create_decode_exec(message, c->create, &e);
	else
		err_set(&e, ESRCH, "the container is not running");
	if (spec)
		request_warn(agent, spec);
	if (!spec || guest_exec_create(c, spec, &exit_code, &e) < 0)
		agent_exec_failed(agent, id, name, exit_code, e.text);
	else
		agent_hand_out(agent);
}

static void request_kill(struct agent *agent, json_t *message)
{
	struct container *c = request_container(agent, message);
	const char *exec = json_string_value(json_object_get(message, "exec"));
	uint32_t signal = request_u32(message, "signal");
	int ret = -ESRCH;

	/* To a process that has just ended, a signal is late, not wrong. */
	if (c && exec) {
		struct exec *x = guest_exec_find(c, exec);
		if (x && json_is_true(json_object_get(message, "drop")))
			guest_exec_drop(x);
		else if (x)
			ret = guest_exec_kill(x, (int)signal);
	} else if (c) {
		bool all = json_is_true(json_object_get(message, "all"));
		ret = guest_container_kill(c, (int)signal, all);
	}
	if (ret < 0 && ret != -ESRCH)
		agent_log(agent, LOG_LEVEL_WARNING, "kill: signal %u: %s", signal, strerror(-ret));
}

static void request_resize(struct agent *agent, json_t *message)
{
	struct container *c = request_container(agent, message);
	const char *exec = json_string_value(json_object_get(message, "exec"));
	struct exec *x = c && exec ? guest_exec_find(c, exec) : NULL;

	if (!c || (exec && !x))
		return;
	int ret = guest_streams_resize(x ? &x->streams : &c->streams, request_u32(message, "rows"),
		request_u32(message, "columns"));
	if (ret < 0)
		agent_log(agent, LOG_LEVEL_WARNING, "resize: %s", strerror(-ret));
}

static void request_query(struct agent *agent, json_t *message)
{
	struct container *c = request_container(agent, message);
	const char *what = request_string(message, "what");
	struct err e = {0};
	cleanup_json json_t *body = NULL;

	if (!c || !c->pid)
		err_set(&e, ESRCH, "the container is not running");
	else if (strcmp(what, "stats") == 0)
		body = query_stats(c, &e);
	else if (strcmp(what, "ps") == 0)
		body = query_ps(c, &e);
	else
		err_set(&e, EINVAL, "what: must be \"stats\" or \"ps\"");
	agent_answer(agent, json_integer_value(json_object_get(message, "seq")), body, &e);
}

static void request_update(struct agent *agent, json_t *message)
{
	struct container *c = request_container(agent, message);
	struct err e = {0};
	cleanup_json json_t *body = NULL;

	if (!c || !c->pid)
		err_set(&e, ESRCH, "the container is not running");
	else if (json_is_true(json_object_get(message, "undo"))
			? guest_update_undo(c, &e) == 0
			: guest_update(c, json_object_get(message, "resources"), &e) == 0)
		body = json_object();
	agent_answer(agent, json_integer_value(json_object_get(message, "seq")), body, &e);
}

/* The whole state that is wanted from now on. */
static int network_change(struct container *c, const json_t *json, struct err *e)
{
	if (!c || !c->pid)
		return err_set(e, ESRCH, "the container is not running");
	if (!c->has_network)
		return err_set(e, EINVAL, "network: the VM's is not this container's");
	if (!json)
		return err_set(e, EINVAL, "network: is missing");
	struct network_config *wanted = network_config_decode(json, e);
	return wanted ? guest_network_apply(c->guest, wanted, e) : -e->code;
}

static void request_network(struct agent *agent, json_t *message)
{
	struct container *c = request_container(agent, message);
	struct err e = {0};
	cleanup_json json_t *body = NULL;

	if (network_change(c, json_object_get(message, "network"), &e) == 0)
		body = json_object();
	else
		agent_log(agent, LOG_LEVEL_WARNING, "%s", e.text);
	agent_answer(agent, json_integer_value(json_object_get(message, "seq")), body, &e);
}

static void request_time(struct agent *agent, json_t *message)
{
	(void)agent;
	json_int_t now = json_integer_value(json_object_get(message, "realtimeNs"));
	if (now > 0)
		guest_set_clock(now);
}

static void request_shutdown(struct agent *agent, json_t *message)
{
	(void)message;
	agent_end(agent);
}

static const struct {
	const char *type;
	void (*handle)(struct agent *agent, json_t *message);
} requests[] = {
	{"create", request_create},
	{"start", request_start},
	{"exec", request_exec},
	{"kill", request_kill},
	{"resize", request_resize},
	{"query", request_query},
	{"update", request_update},
	{"network", request_network},
	{"time", request_time},
	{"shutdown", request_shutdown},
};

void requests_handle(struct agent *agent, json_t *message)
{
	const char *type = request_string(message, "type");

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		if (strcmp(requests[i].type, type) == 0) {
			requests[i].handle(agent, message);
			return;
		}
	}
	agent_log(agent, LOG_LEVEL_ERROR, "message of unknown type \"%s\"", type);
}
