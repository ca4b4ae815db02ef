/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration; see config.h. It comes from hvrun, so what is wrong is told, not forgiven. */
#include "microvm/fs/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "microvm/fs/server.h"

#define WORKERS_DEFAULT 4

static int want(const json_t *value, bool ok, const char *where, const char *key, const char *what,
	struct err *e)
{
	if (!value || ok)
		return 0;
	return err_set(e, EINVAL, "%s%s: must be %s", where, key, what);
}

static int get_bool(const json_t *obj, const char *where, const char *key, bool *out, struct err *e)
{
	const json_t *v = json_object_get(obj, key);
	int ret = want(v, json_is_boolean(v), where, key, "true or false", e);

	if (!ret && v)
		*out = json_is_true(v);
	return ret;
}

/* One of words: its index. */
static int get_word(const json_t *obj, const char *where, const char *key, const char *const *words,
	unsigned *out, struct err *e)
{
	const json_t *v = json_object_get(obj, key);
	const char *text = json_string_value(v);

	if (!v)
		return 0;
	for (unsigned i = 0; text && words[i]; i++) {
		if (!strcmp(words[i], text)) {
			*out = i;
			return 0;
		}
	}
	return err_set(e, EINVAL, "%s%s: not a value that is known", where, key);
}

/* A descriptor that this process has; close-on-exec from now on. */
static int get_fd(const json_t *obj, const char *where, const char *key, int *out, struct err *e)
{
	const json_t *v = json_object_get(obj, key);
	json_int_t n = json_integer_value(v);

	if (!v)
		return err_set(e, EINVAL, "%s%s: missing", where, key);
	if (!json_is_integer(v) || n < 0 || n > INT_MAX)
		return err_set(e, EINVAL, "%s%s: must be a descriptor", where, key);
	int ret = fd_set_cloexec((int)n, true);
	if (ret < 0)
		return err_sys(e, -ret, "%s%s: descriptor %d", where, key, (int)n);
	*out = (int)n;
	return 0;
}

static int check_keys(const json_t *obj, const char *where, const char *const *known, struct err *e)
{
	const char *key;
	json_t *value;

	if (!json_is_object(obj))
		return err_set(e, EINVAL, "%s: must be an object", where);
	json_object_foreach ((json_t *)obj, key, value) {
		unsigned i = 0;
		while (known[i] && strcmp(known[i], key) != 0)
			i++;
		if (!known[i])
			return err_set(e, EINVAL, "%s%s: unknown", where, key);
	}
	return 0;
}

static int read_export(
	struct exports *exports, const json_t *json, fs_config_prepare *prepare, struct err *e)
{
	static const char *const known[] = {"name", "fd", "path", "readonly", "nodev", "nosuid",
		"recursive", "cache", "locks", NULL};
	static const char *const caches[] = {"auto", "never", "always", NULL};
	static const char *const locks[] = {"guest", "host", NULL};
	static const char where[] = "exports[].";
	unsigned cache = CACHE_AUTO, host_locks = 0;
	struct export x = {.fd = -1, .recursive = true};

	int ret = check_keys(json, where, known, e);
	if (!ret)
		ret = get_fd(json, where, "fd", &x.fd, e);
	if (!ret)
		ret = get_bool(json, where, "readonly", &x.readonly, e);
	if (!ret)
		ret = get_bool(json, where, "nodev", &x.nodev, e);
	if (!ret)
		ret = get_bool(json, where, "nosuid", &x.nosuid, e);
	if (!ret)
		ret = get_bool(json, where, "recursive", &x.recursive, e);
	if (!ret)
		ret = get_word(json, where, "cache", caches, &cache, e);
	if (!ret)
		ret = get_word(json, where, "locks", locks, &host_locks, e);
	x.name = (char *)json_string_value(json_object_get(json, "name"));
	x.path = (char *)json_string_value(json_object_get(json, "path"));
	if (!ret && !x.name)
		ret = err_set(e, EINVAL, "%sname: must be a string", where);
	if (ret < 0) {
		fd_closep(&x.fd);
		return ret;
	}
	if (!x.path)
		x.path = x.name;
	x.cache = (enum cache_policy)cache;
	x.host_locks = host_locks;
	x.one_mount = !x.recursive;
	ret = prepare ? prepare(&x, e) : 0;
	if (ret < 0) {
		fd_closep(&x.fd);
		return ret;
	}
	return exports_add(exports, &x, e);
}

static int read_exports(
	struct fs_config *config, const json_t *list, fs_config_prepare *prepare, struct err *e)
{
	const json_t *one;
	size_t i;

	if (!list)
		return 0;
	if (!json_is_array(list))
		return err_set(e, EINVAL, "exports: must be an array");
	json_array_foreach (list, i, one) {
		int ret = read_export(&config->exports, one, prepare, e);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int fs_config_read(
	struct fs_config *config, int config_fd, fs_config_prepare *prepare, struct err *e)
{
	static const char *const known[] = {
		"version", "socket", "control", "threads", "exports", "mapIds", "debug", NULL};

	*config = (struct fs_config){.socket = -1, .control = -1, .workers = WORKERS_DEFAULT};
	int ret = exports_init(&config->exports);
	if (ret < 0)
		return err_sys(e, -ret, "exports");
	cleanup_json json_t *json = json_parse_fd(
		config_fd, FS_CONFIG_MAX_BYTES, FS_CONFIG_MAX_DEPTH, "configuration", e);
	if (!json)
		return -e->code;
	ret = check_keys(json, "", known, e);
	if (ret < 0)
		return ret;
	if (json_integer_value(json_object_get(json, "version")) != 1)
		return err_set(e, EINVAL, "version: must be 1");
	ret = get_fd(json, "", "socket", &config->socket, e);
	if (!ret && json_object_get(json, "control"))
		ret = get_fd(json, "", "control", &config->control, e);
	if (!ret)
		ret = get_bool(json, "", "debug", &config->debug, e);
	if (!ret)
		ret = get_bool(json, "", "mapIds", &config->map_ids, e);
	const json_t *threads = json_object_get(json, "threads");
	json_int_t n = json_integer_value(threads);
	if (!ret && threads) {
		ret = want(threads, json_is_integer(threads) && n >= 1 && n <= FS_WORKERS_MAX, "",
			"threads", "a number from 1 to 64", e);
		config->workers = ret ? 0 : (unsigned)n;
	}
	return ret ? ret : read_exports(config, json_object_get(json, "exports"), prepare, e);
}

void fs_config_fini(struct fs_config *config)
{
	fd_closep(&config->socket);
	fd_closep(&config->control);
	exports_fini(&config->exports);
}
