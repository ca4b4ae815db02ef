/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding of `config.process`; see create.h and runtime-spec "Process". */
#include <errno.h>
#include <linux/ioprio.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/resource.h>

#include "guestinit/caps.h"
#include "guestinit/create.h"

struct word {
	const char *text;
	int value;
};

/* The value that a word stands for, or -1. */
static int word_find(const struct word *words, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(words[i].text, text) == 0)
			return words[i].value;
	return -1;
}

#define WORD_FIND(words, text) word_find(words, sizeof(words) / sizeof((words)[0]), text)

static const struct word rlimit_words[] = {
	{"RLIMIT_AS", RLIMIT_AS},
	{"RLIMIT_CORE", RLIMIT_CORE},
	{"RLIMIT_CPU", RLIMIT_CPU},
	{"RLIMIT_DATA", RLIMIT_DATA},
	{"RLIMIT_FSIZE", RLIMIT_FSIZE},
	{"RLIMIT_LOCKS", RLIMIT_LOCKS},
	{"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
	{"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
	{"RLIMIT_NICE", RLIMIT_NICE},
	{"RLIMIT_NOFILE", RLIMIT_NOFILE},
	{"RLIMIT_NPROC", RLIMIT_NPROC},
	{"RLIMIT_RSS", RLIMIT_RSS},
	{"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
	{"RLIMIT_RTTIME", RLIMIT_RTTIME},
	{"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
	{"RLIMIT_STACK", RLIMIT_STACK},
};

static const struct word io_class_words[] = {
	{"IOPRIO_CLASS_RT", IOPRIO_CLASS_RT},
	{"IOPRIO_CLASS_BE", IOPRIO_CLASS_BE},
	{"IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE},
};

static const struct word policy_words[] = {
	{"SCHED_OTHER", SCHED_NORMAL},
	{"SCHED_FIFO", SCHED_FIFO},
	{"SCHED_RR", SCHED_RR},
	{"SCHED_BATCH", SCHED_BATCH},
	{"SCHED_ISO", 4},
	{"SCHED_IDLE", SCHED_IDLE},
	{"SCHED_DEADLINE", SCHED_DEADLINE},
};

static const struct word sched_flag_words[] = {
	{"SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK},
	{"SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM},
	{"SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN},
	{"SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY},
	{"SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS},
	{"SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN},
	{"SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX},
};

/* A capability that no kernel of ours knows is left out with a warning, as runc does. */
static int create_caps(struct decode *d, const json_t *value, void *out)
{
	uint64_t *set = out;
	struct strings names = {0};
	int ret = decode_strings(d, value, &names);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < names.n; i++) {
		int cap = caps_number(names.v[i]);
		if (cap < 0)
			decode_warn(d, "no capability \"%s\", left out", names.v[i]);
		else
			*set |= UINT64_C(1) << cap;
	}
	return 0;
}

static int create_groups(struct decode *d, const json_t *value, void *out)
{
	struct decode_list *groups = out;

	if (!json_is_array(value))
		return decode_fail(d, "must be an array of group ids");
	size_t n = json_array_size(value);
	if (n > DECODE_LIST_MAX)
		return decode_fail(d, "has more than %d elements", DECODE_LIST_MAX);
	struct cfg_gid *v = arena_array(d->arena, n, sizeof(*v));
	if (!v)
		return decode_no_memory(d);
	for (size_t i = 0; i < n; i++) {
		const json_t *gid = json_array_get(value, i);
		if (!json_is_integer(gid) || json_integer_value(gid) < 0 ||
			json_integer_value(gid) > UINT32_MAX)
			return decode_fail(d, "must be an array of group ids");
		v[i].gid = (gid_t)json_integer_value(gid);
	}
	*groups = (struct decode_list){v, n};
	return 0;
}

static const struct decode_field user_fields[] = {
	FIELD("uid", DECODE_U32, offsetof(struct cfg_user, uid)),
	FIELD("gid", DECODE_U32, offsetof(struct cfg_user, gid)),
	FIELD("umask", DECODE_I64, offsetof(struct cfg_user, umask)),
	FIELD("additionalGids", DECODE_CUSTOM, offsetof(struct cfg_user, groups),
		.custom = create_groups),
	FIELD("username", DECODE_IGNORE, 0),
	FIELD_END,
};

#define CAPS(set)                                                                                  \
	.type = DECODE_CUSTOM, .offset = offsetof(struct cfg_capabilities, set),                   \
	.custom = create_caps
static const struct decode_field caps_fields[] = {
	{.key = "bounding", CAPS(bounding)},
	{.key = "effective", CAPS(effective)},
	{.key = "inheritable", CAPS(inheritable)},
	{.key = "permitted", CAPS(permitted)},
	{.key = "ambient", CAPS(ambient)},
	FIELD_END,
};

static const struct decode_field rlimit_fields[] = {
	FIELD("type", DECODE_STRING, offsetof(struct cfg_rlimit, type), .required = true),
	FIELD("hard", DECODE_RAW64, offsetof(struct cfg_rlimit, hard), .required = true),
	FIELD("soft", DECODE_RAW64, offsetof(struct cfg_rlimit, soft), .required = true),
	FIELD_END,
};

static int create_rlimits(struct decode *d, const json_t *value, void *out)
{
	struct decode_list *list = out;
	int ret = decode_list(d, value, rlimit_fields, sizeof(struct cfg_rlimit), list);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < list->n; i++) {
		struct cfg_rlimit *limit = (struct cfg_rlimit *)list->v + i;
		limit->resource = WORD_FIND(rlimit_words, limit->type);
		if (limit->resource >= 0)
			continue;
		decode_enter(d, "[%zu].type", i);
		return decode_fail(d, "no resource \"%s\"", limit->type);
	}
	return 0;
}

static const struct decode_field io_fields[] = {
	FIELD("class", DECODE_STRING, offsetof(struct cfg_io_priority, class_name),
		.required = true),
	FIELD("priority", DECODE_I64, offsetof(struct cfg_io_priority, priority)),
	FIELD_END,
};

static int create_io_priority(struct decode *d, const json_t *value, void *out)
{
	struct cfg_io_priority *io = out;
	int ret = decode_object(d, value, io_fields, io);

	if (ret < 0)
		return ret;
	io->class_number = WORD_FIND(io_class_words, io->class_name);
	if (io->class_number < 0)
		return decode_fail(d, "no class \"%s\"", io->class_name);
	if (io->priority.value < 0 || io->priority.value > 7)
		return decode_fail(d, "priority must be from 0 to 7");
	io->set = true;
	return 0;
}

static const struct decode_field scheduler_fields[] = {
	FIELD("policy", DECODE_STRING, offsetof(struct cfg_scheduler, policy_name),
		.required = true),
	FIELD("nice", DECODE_I64, offsetof(struct cfg_scheduler, nice)),
	FIELD("priority", DECODE_I64, offsetof(struct cfg_scheduler, priority)),
	FIELD("flags", DECODE_STRINGS, offsetof(struct cfg_scheduler, flag_names)),
	FIELD("runtime", DECODE_U64, offsetof(struct cfg_scheduler, runtime)),
	FIELD("deadline", DECODE_U64, offsetof(struct cfg_scheduler, deadline)),
	FIELD("period", DECODE_U64, offsetof(struct cfg_scheduler, period)),
	FIELD_END,
};

static int create_scheduler(struct decode *d, const json_t *value, void *out)
{
	struct cfg_scheduler *s = out;
	int ret = decode_object(d, value, scheduler_fields, s);

	if (ret < 0)
		return ret;
	int policy = WORD_FIND(policy_words, s->policy_name);
	if (policy < 0)
		return decode_fail(d, "no policy \"%s\"", s->policy_name);
	s->policy = (uint32_t)policy;
	for (size_t i = 0; i < s->flag_names.n; i++) {
		int flag = WORD_FIND(sched_flag_words, s->flag_names.v[i]);
		if (flag < 0)
			return decode_fail(d, "no flag \"%s\"", s->flag_names.v[i]);
		s->flags |= (uint64_t)flag;
	}
	s->set = true;
	return 0;
}

/* terminal and consoleSize come with the message's `stdio`; the rest is about exec. */
const struct decode_field create_process_fields[] = {
	FIELD("args", DECODE_STRINGS, offsetof(struct cfg_process, args), .required = true),
	FIELD("env", DECODE_STRINGS, offsetof(struct cfg_process, env)),
	FIELD("cwd", DECODE_STRING, offsetof(struct cfg_process, cwd), .required = true),
	FIELD("user", DECODE_OBJECT, offsetof(struct cfg_process, user), .fields = user_fields),
	FIELD("capabilities", DECODE_OBJECT, offsetof(struct cfg_process, caps),
		.fields = caps_fields),
	FIELD("rlimits", DECODE_CUSTOM, offsetof(struct cfg_process, rlimits),
		.custom = create_rlimits),
	FIELD("noNewPrivileges", DECODE_BOOL, offsetof(struct cfg_process, no_new_privileges)),
	FIELD("oomScoreAdj", DECODE_I64, offsetof(struct cfg_process, oom_score_adj)),
	FIELD("ioPriority", DECODE_CUSTOM, offsetof(struct cfg_process, io_priority),
		.custom = create_io_priority),
	FIELD("scheduler", DECODE_CUSTOM, offsetof(struct cfg_process, scheduler),
		.custom = create_scheduler),
	FIELD("apparmorProfile", DECODE_STRING, offsetof(struct cfg_process, apparmor_profile)),
	FIELD("selinuxLabel", DECODE_STRING, offsetof(struct cfg_process, selinux_label)),
	FIELD("terminal", DECODE_IGNORE, 0),
	FIELD("consoleSize", DECODE_IGNORE, 0),
	FIELD("execCPUAffinity", DECODE_IGNORE, 0),
	FIELD_END,
};
