/* SPDX-License-Identifier: Apache-2.0 */
/* Taking values from an object of the plan; see plan_object.h. */
#include "microvm/vmm/plan_object.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

json_t *plan_take(struct plan_object *o, const char *key, bool required)
{
	json_t *value = json_object_get(o->json, key);

	if (value && o->n_taken < OBJECT_KEYS_MAX)
		o->taken[o->n_taken++] = key;
	else if (required)
		err_set(o->e, EINVAL, "plan: %s%s is missing", o->path, key);
	return value;
}

int plan_wrong(const struct plan_object *o, const char *key, const char *want)
{
	return err_set(o->e, EINVAL, "plan: %s%s: must be %s", o->path, key, want);
}

int plan_take_object(
	struct plan_object *o, const char *key, const char *path, struct plan_object *out)
{
	const json_t *value = plan_take(o, key, true);

	if (!value)
		return -EINVAL;
	if (!json_is_object(value))
		return plan_wrong(o, key, "an object");
	*out = (struct plan_object){.json = value, .path = path, .e = o->e};
	return 0;
}

/* After all keys were taken: any that is left is one that this program does not know. */
int plan_finish(const struct plan_object *o)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)o->json, key, value) {
		bool known = false;
		for (unsigned i = 0; i < o->n_taken && !known; i++)
			known = !strcmp(key, o->taken[i]);
		if (!known)
			return err_set(o->e, EINVAL, "plan: %s%.64s: unknown key", o->path, key);
	}
	return 0;
}

int plan_take_integer(
	struct plan_object *o, const char *key, json_int_t min, json_int_t max, json_int_t *out)
{
	const json_t *value = plan_take(o, key, true);

	if (!value)
		return -EINVAL;
	if (!json_is_integer(value))
		return plan_wrong(o, key, "an integer");
	*out = json_integer_value(value);
	if (*out < min || *out > max)
		return err_set(o->e, EINVAL, "plan: %s%s: must be between %lld and %lld", o->path,
			key, (long long)min, (long long)max);
	return 0;
}

int plan_take_bool(struct plan_object *o, const char *key, bool *out)
{
	const json_t *value = plan_take(o, key, false);

	if (value)
		*out = json_is_true(value);
	return value && !json_is_boolean(value) ? plan_wrong(o, key, "true or false") : 0;
}

int plan_take_string(
	struct plan_object *o, const char *key, bool required, size_t max, const char **out)
{
	const json_t *value = plan_take(o, key, required);

	*out = required ? "" : NULL;
	if (!value)
		return required ? -EINVAL : 0;
	if (!json_is_string(value))
		return plan_wrong(o, key, "a string");
	if (json_string_length(value) > max)
		return plan_wrong(o, key, "shorter");
	*out = json_string_value(value);
	return 0;
}

/* Names that end up between the commas of another program's arguments, or in a device. */
bool plan_is_plain_name(const char *name)
{
	for (const char *p = name; *p; p++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-",
			    *p))
			return false;
	return *name != '\0';
}

/*
 * What came through exec is not close-on-exec; what is was named before (and would be closed
 * twice), or is this program's own.
 */
int plan_own_fd(const struct plan_object *o, const char *key, json_int_t number, int *out)
{
	int fd = (int)number, flags = fcntl(fd, F_GETFD);

	if (flags < 0)
		return err_set(
			o->e, EBADF, "plan: %s%s: descriptor %d is not open", o->path, key, fd);
	if (flags & FD_CLOEXEC)
		return err_set(
			o->e, EINVAL, "plan: %s%s: descriptor %d is named twice", o->path, key, fd);
	if (fd <= STDERR_FILENO)
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	else if (fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
		fd = -1;
	if (fd < 0)
		return err_sys(o->e, errno, "plan: %s%s", o->path, key);
	*out = fd;
	return 0;
}

int plan_take_fd(struct plan_object *o, const char *key, int *out)
{
	json_int_t number = -1;
	int ret = plan_take_integer(o, key, 0, INT32_MAX, &number);

	return ret < 0 ? ret : plan_own_fd(o, key, number, out);
}
