/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of a container, with what `ps -ef` shows of them. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/msg.h"
#include "guestinit/agent.h"
#include "guestinit/cgroup_procs.h"
#include "guestinit/container.h"
#include "guestinit/guest.h"
#include "guestinit/query.h"
#include "guestinit/sysfile.h"

#define PS_ARGS_BYTES	4096
#define PS_ENTRY_BYTES	192			     /* of an entry without its texts, at most */
#define PS_ANSWER_BYTES (MSG_MAX_GUEST_BYTES - 1024) /* of all entries */

struct ps_process {
	int pid, ppid, nspid;
	unsigned uid, gid;
	int tty;
	unsigned long long ticks, start_ticks;
	char comm[64];
	char args[PS_ARGS_BYTES];
};

static int ps_read_stat(int proc_fd, struct ps_process *p)
{
	char path[64], text[1024];
	unsigned long user, system;

	snprintf(path, sizeof(path), "%d/stat", p->pid);
	if (sysfile_read(proc_fd, path, text, sizeof(text)) <= 0)
		return -ESRCH;
	char *open = strchr(text, '('), *close = strrchr(text, ')');
	if (!open || !close || close < open)
		return -EINVAL;
	*close = '\0';
	snprintf(p->comm, sizeof(p->comm), "%.63s", open + 1);
	if (sscanf(close + 1,
		    " %*c %d %*d %*d %d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d "
		    "%llu",
		    &p->ppid, &p->tty, &user, &system, &p->start_ticks) != 5)
		return -EINVAL;
	p->ticks = user + system;
	return 0;
}

static int ps_read_status(int proc_fd, struct ps_process *p)
{
	char path[64], text[4096];

	snprintf(path, sizeof(path), "%d/status", p->pid);
	if (sysfile_read(proc_fd, path, text, sizeof(text)) <= 0)
		return -ESRCH;
	const char *uid = strstr(text, "\nUid:"), *gid = strstr(text, "\nGid:");
	const char *ns = strstr(text, "\nNSpid:");
	/* Real, effective, …; ps shows the effective ones. */
	if (!uid || sscanf(uid, "\nUid: %*u %u", &p->uid) != 1 || !gid ||
		sscanf(gid, "\nGid: %*u %u", &p->gid) != 1)
		return -EINVAL;
	p->nspid = p->pid;
	/* The second is that in the container's pid namespace, if it has one. */
	if (ns)
		(void)!sscanf(ns, "\nNSpid: %*d%*1[\t ]%d", &p->nspid);
	return 0;
}

/* The words of the command line; without any, the name in brackets. */
static void ps_read_args(int proc_fd, struct ps_process *p, bool wants)
{
	char path[64];
	int n = 0;

	snprintf(path, sizeof(path), "%d/cmdline", p->pid);
	if (wants)
		n = sysfile_read(proc_fd, path, p->args, sizeof(p->args));
	while (n > 0 && p->args[n - 1] == '\0')
		n--;
	for (int i = 0; i < n; i++)
		if (p->args[i] == '\0')
			p->args[i] = ' ';
	if (n > 0)
		p->args[n] = '\0';
	else
		snprintf(p->args, sizeof(p->args), "[%s]", p->comm);
}

static const char *ps_tty(int device, char *text, size_t cap_bytes)
{
	unsigned major = gnu_dev_major((dev_t)device), minor = gnu_dev_minor((dev_t)device);

	if (!device)
		return "?";
	if (major >= 136 && major <= 143)
		snprintf(text, cap_bytes, "pts/%u", (major - 136) * 256 + minor);
	else
		snprintf(text, cap_bytes, "%u:%u", major, minor);
	return text;
}

/* When the guest booted, in seconds since 1970. */
static long long ps_boot_seconds(void)
{
	struct timespec now, up;

	if (clock_gettime(CLOCK_REALTIME, &now) < 0 || clock_gettime(CLOCK_BOOTTIME, &up) < 0)
		return 0;
	return now.tv_sec - up.tv_sec;
}

static json_t *ps_entry(const struct ps_process *p)
{
	unsigned long long hz = (unsigned long long)sysconf(_SC_CLK_TCK);
	char tty[32];

	return json_pack("{si si si sI sI sI sI ss so so}", "pid", p->pid, "ppid", p->ppid, "nspid",
		p->nspid, "uid", (json_int_t)p->uid, "gid", (json_int_t)p->gid, "stime",
		(json_int_t)(ps_boot_seconds() + (long long)(p->start_ticks / hz)), "time",
		(json_int_t)(p->ticks / hz), "tty", ps_tty(p->tty, tty, sizeof(tty)), "comm",
		json_text(p->comm), "args", json_text(p->args));
}

/* The length of a text in JSON: control characters take six bytes, others two at most. */
static size_t ps_text_bytes(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += (unsigned char)*text < 0x20 ? 6 : *text == '"' || *text == '\\' ? 2 : 1;
	return n;
}

/* The entries, and in *used how long they are; *full when some had no room. */
static json_t *ps_entries(int proc_fd, const pid_t *pids, size_t n, bool args, bool *full)
{
	static struct ps_process p; /* too large for the stack of pid 1's loop */
	json_t *list = json_array();
	size_t used = 0;

	*full = false;
	for (size_t i = 0; i < n && list; i++) {
		p.pid = pids[i];
		if (ps_read_stat(proc_fd, &p) < 0 || ps_read_status(proc_fd, &p) < 0)
			continue; /* it has ended meanwhile */
		ps_read_args(proc_fd, &p, args);
		used += PS_ENTRY_BYTES + ps_text_bytes(p.comm) + ps_text_bytes(p.args);
		if (used > PS_ANSWER_BYTES) {
			*full = true;
			break;
		}
		if (json_array_append_new(list, ps_entry(&p)) < 0)
			break;
	}
	return list;
}

static int ps_compare(const void *a, const void *b)
{
	pid_t one = *(const pid_t *)a, two = *(const pid_t *)b;

	return (one > two) - (one < two);
}

json_t *query_ps(struct container *c, struct err *e)
{
	cleanup_free pid_t *pids = NULL;
	size_t n = 0;
	bool full;
	int proc = guest_proc(c->guest, e);

	if (proc < 0)
		return NULL;
	int ret = cgroup_procs_list(c->cgroup_fd, &pids, &n);
	if (ret < 0) {
		err_sys(e, -ret, "can't list the container's processes");
		return NULL;
	}
	if (n)
		qsort(pids, n, sizeof(*pids), ps_compare);
	json_t *list = ps_entries(proc, pids, n, true, &full);
	if (full) {
		json_decref(list);
		list = ps_entries(proc, pids, n, false, &full);
	}
	json_t *out = json_pack("{so sb}", "processes", list, "truncated", full);
	if (!out)
		err_set(e, ENOMEM, "out of memory");
	return out;
}
