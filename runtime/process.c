/* SPDX-License-Identifier: Apache-2.0 */
/* The process of an exec; see process.h. */
#include "runtime/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "oci/config.h"
#include "oci/number.h"
#include "oci/schema.h"

#define PROCESS_MAX_BYTES (4u << 20)
#define RULES_PREFIX	  "process."

static int no_memory(struct err *e)
{
	return err_sys(e, ENOMEM, "the process");
}

/* The rules are those for a configuration that holds this process. */
static int check_rules(json_t *process, struct err *e)
{
	cleanup_json json_t *json = json_pack("{s:O}", "process", process);
	struct oci_config config = {.json = json, .version = "1.3.0", .process = process};

	if (!json)
		return no_memory(e);
	int ret = oci_rules_check(&config, e);
	if (ret < 0 && strncmp(e->text, RULES_PREFIX, strlen(RULES_PREFIX)) == 0)
		memmove(e->text, e->text + strlen(RULES_PREFIX),
			strlen(e->text) - strlen(RULES_PREFIX) + 1);
	return ret;
}

/* The guest refuses what it does not know; the specification has us ignore it. */
static void prune(json_t *process)
{
	json_object_del(process, "commandLine"); /* for Windows */
	oci_schema_prune(&oci_process_schema, process);
}

static int read_file(json_t **process, int fd, struct err *e)
{
	cleanup_free char *text = NULL, *marked = NULL;
	size_t len, marked_len;

	int ret = fd_slurp(fd, PROCESS_MAX_BYTES, &text, &len);
	if (ret < 0)
		return err_sys(e, -ret, "can't read");
	ret = oci_number_mark(text, len, &marked, &marked_len);
	if (ret < 0)
		return err_sys(e, -ret, "can't read");
	cleanup_json json_t *json = json_parse(
		marked ? marked : text, marked ? marked_len : len, OCI_CONFIG_MAX_DEPTH, e);
	if (!json)
		return -EINVAL;
	ret = oci_schema_check(&oci_process_schema, json, NULL, e);
	if (ret == 0)
		ret = check_rules(json, e);
	if (ret < 0)
		return ret;
	prune(json);
	if (oci_number_fold(json) < 0)
		return no_memory(e);
	*process = steal_ptr(&json);
	return 0;
}

int process_from_file(json_t **process, int fd, const char *name, struct err *e)
{
	int ret = read_file(process, fd, e);

	return ret < 0 ? err_add(e, "%s", name) : 0;
}

static int set(json_t *object, const char *key, json_t *value, struct err *e)
{
	return json_object_set_new(object, key, value) < 0
		? err_set(e, EINVAL, "%s: not valid UTF-8", key)
		: 0;
}

/* Appends to the array of this name, which is made if there is none. */
static int append(json_t *object, const char *key, json_t *value, struct err *e)
{
	json_t *array = json_object_get(object, key);

	if (!array) {
		array = json_array();
		if (json_object_set_new(object, key, array) < 0) {
			json_decref(value);
			return no_memory(e);
		}
	}
	return json_array_append_new(array, value) < 0
		? err_set(e, EINVAL, "%s: not valid UTF-8", key)
		: 0;
}

static int append_list(
	json_t *object, const char *key, const struct option_list *list, struct err *e)
{
	for (size_t i = 0; i < list->n; i++) {
		int ret = append(object, key, json_string(list->texts[i]), e);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* The object of this name, made if there is none; borrowed. */
static json_t *member(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	if (value)
		return value;
	value = json_object();
	return json_object_set_new(object, key, value) < 0 ? NULL : value;
}

static int parse_id(const char *text, size_t len, json_int_t *id)
{
	json_int_t value = 0;

	if (!len)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		value = value * 10 + (text[i] - '0');
		if (value > UINT32_MAX)
			return -EINVAL;
	}
	*id = value;
	return 0;
}

static int set_user(json_t *user, const char *text, struct err *e)
{
	const char *colon = strchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : strlen(text);
	json_int_t id;

	if (colon) {
		if (parse_id(colon + 1, strlen(colon + 1), &id) < 0)
			return err_set(e, EINVAL,
				"parsing %.64s as int for gid failed: invalid syntax", colon + 1);
		int ret = set(user, "gid", json_integer(id), e);
		if (ret < 0)
			return ret;
	}
	if (parse_id(text, len, &id) < 0)
		return err_set(e, EINVAL, "parsing %.*s as int for uid failed: invalid syntax",
			(int)(len < 64 ? len : 64), text);
	return set(user, "uid", json_integer(id), e);
}

static int apply_user(json_t *process, const struct process_options *options, struct err *e)
{
	json_t *user = member(process, "user");
	json_int_t id;
	int ret = 0;

	if (!user)
		return no_memory(e);
	if (options->user && *options->user)
		ret = set_user(user, options->user, e);
	for (size_t i = 0; i < options->gids.n && ret == 0; i++) {
		const char *text = options->gids.texts[i];
		ret = parse_id(text, strlen(text), &id) < 0
			? err_set(e, EINVAL, "additional-gids must be a positive number %.64s",
				  text)
			: append(user, "additionalGids", json_integer(id), e);
	}
	return ret;
}

static int apply_env(json_t *process, const struct option_list *env, struct err *e)
{
	for (size_t i = 0; i < env->n; i++) {
		const char *fault = oci_env_fault(env->texts[i]);
		if (fault)
			return err_set(e, EINVAL, "%s: \"%.64s\"", fault, env->texts[i]);
	}
	return append_list(process, "env", env, e);
}

/* As runc does: in every set but the inheritable, where the process could not use them. */
static int apply_caps(json_t *process, const struct option_list *caps, struct err *e)
{
	static const char *const sets[] = {"bounding", "effective", "permitted", "ambient"};
	json_t *all = caps->n ? member(process, "capabilities") : NULL;
	int ret = caps->n && !all ? no_memory(e) : 0;

	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]) && ret == 0; i++)
		ret = append_list(all, sets[i], caps, e);
	return ret;
}

static int apply(json_t *process, const struct process_options *options, struct err *e)
{
	json_t *args = json_array();

	for (char *const *arg = options->args; *arg; arg++)
		if (json_array_append_new(args, json_string(*arg)) < 0) {
			json_decref(args);
			return err_set(e, EINVAL, "args: not valid UTF-8");
		}
	int ret = set(process, "args", args, e);
	if (ret == 0 && options->cwd && *options->cwd)
		ret = set(process, "cwd", json_string(options->cwd), e);
	if (ret == 0)
		ret = set(process, "terminal", json_boolean(options->tty), e);
	if (ret == 0 && options->no_new_privs)
		ret = set(process, "noNewPrivileges", json_true(), e);
	if (ret == 0 && options->apparmor && *options->apparmor)
		ret = set(process, "apparmorProfile", json_string(options->apparmor), e);
	if (ret == 0 && options->label && *options->label)
		ret = set(process, "selinuxLabel", json_string(options->label), e);
	if (ret == 0)
		ret = apply_env(process, &options->env, e);
	if (ret == 0)
		ret = apply_caps(process, &options->caps, e);
	if (ret == 0)
		ret = apply_user(process, options, e);
	return ret;
}

int process_from_config(
	json_t **process, int fd, const struct process_options *options, struct err *e)
{
	cleanup_config struct oci_config config = {0};

	int ret = oci_config_parse_fd(&config, fd, "config.json", e);
	if (ret < 0)
		return ret;
	if (!config.process)
		return err_set(e, EINVAL, "process property must not be empty");
	if (!options->args[0])
		return err_set(e, EINVAL, "process args cannot be empty");
	if (options->cwd && *options->cwd && *options->cwd != '/')
		return err_set(e, EINVAL, "Cwd must be an absolute path");
	/* The size is that of the terminal that was there when the container was made. */
	json_object_del(config.process, "consoleSize");
	ret = apply(config.process, options, e);
	if (ret < 0)
		return ret;
	prune(config.process);
	*process = json_incref(config.process);
	return 0;
}
