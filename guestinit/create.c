/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding of the create message; see create.h. */
#include "guestinit/create.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/msg.h"
#include "guestinit/disk.h"
#include "guestinit/syscalls.h"

#define ID_MAPS(member)                                                                            \
	.type = DECODE_LIST, .offset = offsetof(struct cfg_mount, member),                         \
	.fields = create_id_map_fields, .elem_bytes = sizeof(struct cfg_id_map)

static const struct decode_field mount_fields[] = {
	FIELD("destination", DECODE_STRING, offsetof(struct cfg_mount, destination),
		.required = true),
	FIELD("type", DECODE_STRING, offsetof(struct cfg_mount, type)),
	FIELD("source", DECODE_STRING, offsetof(struct cfg_mount, source)),
	FIELD("export", DECODE_STRING, offsetof(struct cfg_mount, export)),
	FIELD("socket", DECODE_PORT, offsetof(struct cfg_mount, socket)),
	FIELD("socketMode", DECODE_U64, offsetof(struct cfg_mount, socket_mode)),
	FIELD("socketUid", DECODE_U64, offsetof(struct cfg_mount, socket_uid)),
	FIELD("socketGid", DECODE_U64, offsetof(struct cfg_mount, socket_gid)),
	FIELD("options", DECODE_STRINGS, offsetof(struct cfg_mount, option_words)),
	{.key = "uidMappings", ID_MAPS(uid_maps)},
	{.key = "gidMappings", ID_MAPS(gid_maps)},
	FIELD_END,
};

/* One component of a path: names below the exports and of cgroups. */
static bool create_is_name(const char *name)
{
	return name[0] && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '/') &&
		strlen(name) <= CREATE_ID_MAX;
}

/* Of a mount's member, for example "type". */
static int fail_mount(struct decode *d, const char *member, const char *text)
{
	decode_enter(d, ".%s", member);
	return decode_fail(d, "%s", text);
}

static int fail_option(
	struct decode *d, const struct cfg_mount *m, const char *piece, const char *text)
{
	decode_enter(d, ".options[%zu]", mount_options_index(&m->option_words, piece));
	return decode_fail(d, "\"%s\" %s", piece, text);
}

static int create_check_mount(struct decode *d, struct cfg_mount *m)
{
	int ret = mount_options_parse(d->arena, &m->option_words, &m->options);

	if (ret == -E2BIG)
		return fail_mount(d, "options", "too many words about propagation");
	if (ret < 0)
		return decode_no_memory(d);
	bool bind = m->options.bind || (m->type && strcmp(m->type, "bind") == 0);
	m->options.bind = bind;
	if (!m->destination[0])
		return fail_mount(d, "destination", "must not be empty");
	if (m->export && !create_is_name(m->export))
		return fail_mount(d, "export", "is not a name");
	if (m->export && !bind)
		return fail_mount(d, "export", "only with a bind mount");
	if (m->socket && (!bind || m->export || m->options.remount))
		return fail_mount(d, "socket", "only with a bind mount without an export");
	if (bind && !m->export && !m->socket && !m->options.remount)
		return decode_fail(d, "a bind mount needs an export");
	if (!bind && !m->options.remount && (!m->type || !m->type[0]))
		return fail_mount(d, "type", "is missing");
	if (!bind && (m->options.idmap || m->uid_maps.n || m->gid_maps.n))
		return decode_fail(d, "mapped ids: only with a bind mount");
	if (bind && (m->options.n_data || m->options.n_sb_flags))
		return fail_option(d, m,
			m->options.n_data ? m->options.data[0] : m->options.sb_flags[0],
			"can't be honoured by a bind mount");
	if (m->options.tmpcopyup && (!m->type || strcmp(m->type, "tmpfs") != 0))
		return fail_option(d, m, "tmpcopyup", "is for tmpfs only");
	return 0;
}

static int create_mounts(struct decode *d, const json_t *value, void *out)
{
	struct decode_list *list = out;

	if (json_array_size(value) > CREATE_MOUNTS_MAX)
		return decode_fail(d, "has more than %d elements", CREATE_MOUNTS_MAX);
	int ret = decode_list(d, value, mount_fields, sizeof(struct cfg_mount), list);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < list->n; i++) {
		size_t old = decode_enter(d, "[%zu]", i);
		ret = create_check_mount(d, (struct cfg_mount *)list->v + i);
		if (ret < 0)
			return ret;
		decode_leave(d, old);
	}
	return 0;
}

static const struct decode_field config_fields[] = {
	FIELD("process", DECODE_OBJECT, offsetof(struct create, process), .required = true,
		.fields = create_process_fields),
	FIELD("hostname", DECODE_STRING, offsetof(struct create, hostname)),
	FIELD("domainname", DECODE_STRING, offsetof(struct create, domainname)),
	FIELD("mounts", DECODE_CUSTOM, offsetof(struct create, mounts), .custom = create_mounts),
	FIELD("linux", DECODE_OBJECT, offsetof(struct create, os), .fields = create_linux_fields),
	FIELD_END,
};

static int create_config(struct decode *d, const json_t *value, void *out)
{
	return decode_object(d, value, config_fields, out);
}

static const struct decode_field root_fields[] = {
	FIELD("export", DECODE_STRING, offsetof(struct create, root_export)),
	FIELD("disk", DECODE_U64, offsetof(struct create, root_disk)),
	FIELD("readonly", DECODE_BOOL, offsetof(struct create, root_readonly)),
	FIELD_END,
};

static int create_terminal_port(struct decode *d, const json_t *value, void *out)
{
	struct cfg_stdio *stdio = out;

	if (!json_is_integer(value) || json_integer_value(value) < 1 ||
		json_integer_value(value) >= UINT32_MAX)
		return decode_fail(d, "must be a port");
	stdio->terminal = true;
	stdio->in = (uint32_t)json_integer_value(value);
	return 0;
}

static const struct decode_field preserved_fields[] = {
	FIELD("port", DECODE_PORT, offsetof(struct cfg_preserved, port), .required = true),
	FIELD("in", DECODE_BOOL, offsetof(struct cfg_preserved, in)),
	FIELD("out", DECODE_BOOL, offsetof(struct cfg_preserved, out)),
	FIELD_END,
};

/* `{"stdin", "stdout", "stderr"}` or `{"terminal", "rows", "columns"}`. */
static const struct decode_field stdio_fields[] = {
	FIELD("stdin", DECODE_PORT, offsetof(struct cfg_stdio, in)),
	FIELD("stdout", DECODE_PORT, offsetof(struct cfg_stdio, out)),
	FIELD("stderr", DECODE_PORT, offsetof(struct cfg_stdio, err)),
	FIELD("terminal", DECODE_CUSTOM, 0, .custom = create_terminal_port),
	FIELD("rows", DECODE_U32, offsetof(struct cfg_stdio, rows)),
	FIELD("columns", DECODE_U32, offsetof(struct cfg_stdio, columns)),
	FIELD("preserved", DECODE_LIST, offsetof(struct cfg_stdio, preserved),
		.fields = preserved_fields, .elem_bytes = sizeof(struct cfg_preserved)),
	FIELD_END,
};

static const struct decode_field disk_fields[] = {
	FIELD("path", DECODE_STRING, offsetof(struct cfg_disk, path), .required = true),
	FIELD("disk", DECODE_U32, offsetof(struct cfg_disk, disk), .required = true),
	FIELD("access", DECODE_STRING, offsetof(struct cfg_disk, access), .required = true),
	FIELD("fileMode", DECODE_U64, offsetof(struct cfg_disk, mode)),
	FIELD("uid", DECODE_U64, offsetof(struct cfg_disk, uid)),
	FIELD("gid", DECODE_U64, offsetof(struct cfg_disk, gid)),
	FIELD_END,
};

static const struct decode_field hook_fields[] = {
	FIELD("path", DECODE_STRING, offsetof(struct cfg_hook, path), .required = true),
	FIELD("args", DECODE_STRINGS, offsetof(struct cfg_hook, args)),
	FIELD("env", DECODE_STRINGS, offsetof(struct cfg_hook, env)),
	FIELD("timeout", DECODE_I64, offsetof(struct cfg_hook, timeout)),
	FIELD_END,
};

static const struct decode_field hooks_fields[] = {
	FIELD("startContainer", DECODE_LIST, offsetof(struct create, start_hooks),
		.fields = hook_fields, .elem_bytes = sizeof(struct cfg_hook)),
	FIELD_END,
};

static int create_state(struct decode *d, const json_t *value, void *out)
{
	if (!json_is_object(value))
		return decode_fail(d, "must be an object");
	*(const json_t **)out = value;
	return 0;
}

static int create_network(struct decode *d, const json_t *value, void *out)
{
	struct network_config **network = out;

	*network = network_config_decode(value, d->e);
	return *network ? 0 : -d->e->code;
}

static const struct decode_field message_fields[] = {
	FIELD("type", DECODE_IGNORE, 0),
	FIELD("id", DECODE_STRING, offsetof(struct create, id), .required = true),
	FIELD("start", DECODE_BOOL, offsetof(struct create, start), .required = true),
	FIELD("realtimeNs", DECODE_I64, offsetof(struct create, realtime_ns)),
	FIELD("root", DECODE_OBJECT, 0, .required = true, .fields = root_fields),
	FIELD("stdio", DECODE_OBJECT, offsetof(struct create, stdio), .required = true,
		.fields = stdio_fields),
	FIELD("devices", DECODE_LIST, offsetof(struct create, disks), .fields = disk_fields,
		.elem_bytes = sizeof(struct cfg_disk)),
	FIELD("config", DECODE_CUSTOM, 0, .required = true, .custom = create_config),
	FIELD("hooks", DECODE_OBJECT, 0, .fields = hooks_fields),
	FIELD("state", DECODE_CUSTOM, offsetof(struct create, state), .custom = create_state),
	FIELD("resolver", DECODE_PORT, offsetof(struct create, resolver)),
	FIELD("network", DECODE_CUSTOM, offsetof(struct create, network), .custom = create_network),
	FIELD_END,
};

static const struct decode_field exec_fields[] = {
	FIELD("type", DECODE_IGNORE, 0),
	FIELD("id", DECODE_STRING, offsetof(struct create, id), .required = true),
	FIELD("exec", DECODE_STRING, offsetof(struct create, exec), .required = true),
	FIELD("stdio", DECODE_OBJECT, offsetof(struct create, stdio), .required = true,
		.fields = stdio_fields),
	FIELD("process", DECODE_OBJECT, offsetof(struct create, process), .required = true,
		.fields = create_process_fields),
	FIELD_END,
};

/* There is no LSM in the guest. */
static void create_warn(struct decode *d, const struct create *c, const char *prefix)
{
	static const char hint[] = "the guest has no such security module, left out";
	const char *apparmor = c->process.apparmor_profile, *selinux = c->process.selinux_label;

	if (apparmor && apparmor[0]) {
		snprintf(d->path, sizeof(d->path), "%sprocess.apparmorProfile", prefix);
		decode_warn(d, "%s", hint);
	}
	if (selinux && selinux[0]) {
		snprintf(d->path, sizeof(d->path), "%sprocess.selinuxLabel", prefix);
		decode_warn(d, "%s", hint);
	}
}

/* What the tables can't say, of any process. */
static int create_check_process(struct decode *d, const struct create *c, const char *prefix)
{
	if (c->stdio.terminal && (c->stdio.out || c->stdio.err))
		return err_set(d->e, EINVAL, "stdio: a terminal is one stream");
	if (c->stdio.preserved.n > MSG_PRESERVED_MAX)
		return err_set(d->e, EINVAL, "stdio.preserved: more than %u", MSG_PRESERVED_MAX);
	for (size_t i = 0; i < c->stdio.preserved.n; i++)
		if (!c->stdio.preserved.v[i].in && !c->stdio.preserved.v[i].out)
			return err_set(d->e, EINVAL, "stdio.preserved[%zu]: goes nowhere", i);
	if (!c->process.args.n || !c->process.args.v[0][0])
		return err_set(d->e, EINVAL, "%sprocess.args: must name a program", prefix);
	if (c->process.cwd[0] != '/')
		return err_set(d->e, EINVAL, "%sprocess.cwd: must be absolute", prefix);
	return 0;
}

/* The same of a container. */
static int fail_maps(struct decode *d, const char *maps, bool user)
{
	return err_set(d->e, EINVAL, "config.linux.%s: %s", maps,
		user ? "a user namespace needs them" : "they need a user namespace");
}

static int create_check(struct decode *d, const struct create *c)
{
	const struct cfg_linux *os = &c->os;

	if (!create_is_name(c->id))
		return err_set(d->e, EINVAL, "id: is not a name");
	if (!c->root_export == !c->root_disk.set)
		return err_set(d->e, EINVAL, "root: must have either export or disk");
	if (c->root_export && !create_is_name(c->root_export))
		return err_set(d->e, EINVAL, "root.export: is not a name");
	if (c->root_disk.set && c->root_disk.value > DISKS_MAX)
		return err_set(d->e, EINVAL, "root.disk: there are no such numbers");
	int ret = create_check_process(d, c, "config.");
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < c->start_hooks.n; i++)
		if (c->start_hooks.v[i].path[0] != '/')
			return err_set(d->e, EINVAL,
				"hooks.startContainer[%zu].path: must be absolute", i);
	if ((c->hostname || c->domainname) && !(os->clone_flags & CLONE_NEWUTS))
		return err_set(d->e, EINVAL, "config.%s: needs a uts namespace",
			c->hostname ? "hostname" : "domainname");
	bool user = os->clone_flags & CLONE_NEWUSER;
	if (user != (os->uid_maps.n > 0))
		return fail_maps(d, "uidMappings", user);
	if (user != (os->gid_maps.n > 0))
		return fail_maps(d, "gidMappings", user);
	if ((os->monotonic.set || os->boottime.set) && !(os->clone_flags & CLONE_NEWTIME))
		return err_set(d->e, EINVAL, "config.linux.timeOffsets: needs a time namespace");
	return 0;
}

struct create *create_decode(json_t *message, struct err *e)
{
	struct create *c = calloc(1, sizeof(*c));

	if (!c) {
		err_set(e, ENOMEM, "create: out of memory");
		return NULL;
	}
	c->message = json_incref(message);
	struct decode d = {.arena = &c->arena, .e = e, .warnings = &c->warnings};
	int ret = decode_object(&d, message, message_fields, c);
	if (ret == 0)
		ret = create_check(&d, c);
	if (ret == 0)
		create_warn(&d, c, "config.");
	if (ret < 0) {
		create_free(c);
		return NULL;
	}
	return c;
}

struct create *create_decode_exec(json_t *message, const struct create *container, struct err *e)
{
	struct create *c = calloc(1, sizeof(*c));

	if (!c) {
		err_set(e, ENOMEM, "exec: out of memory");
		return NULL;
	}
	c->message = json_incref(message);
	struct decode d = {.arena = &c->arena, .e = e, .warnings = &c->warnings};
	int ret = decode_object(&d, message, exec_fields, c);
	if (ret == 0 && !create_is_name(c->exec))
		ret = err_set(e, EINVAL, "exec: is not a name");
	if (ret == 0)
		ret = create_check_process(&d, c, "");
	if (ret < 0) {
		create_free(c);
		return NULL;
	}
	create_warn(&d, c, "");
	c->start = true;
	c->os.seccomp = container->os.seccomp;
	c->os.personality = container->os.personality;
	return c;
}

int create_decode_resources(
	struct arena *arena, const json_t *resources, struct cfg_resources *out, struct err *e)
{
	struct decode_warnings warnings = {.n = 0};
	struct decode d = {.arena = arena, .e = e, .warnings = &warnings, .path = "resources"};

	*out = (struct cfg_resources){0};
	return decode_object(&d, resources, create_resources_fields, out);
}

void create_free(struct create *c)
{
	if (!c)
		return;
	network_config_free(c->network);
	arena_fini(&c->arena);
	json_decref(c->message);
	free(c);
}
