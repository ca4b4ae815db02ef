/* SPDX-License-Identifier: Apache-2.0 */
/* Containers without a VM; see guest_box.h. */
#include "tests/unit/support/guest_box.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/json.h"
#include "guestinit/agent.h"
#include "guestinit/container.h"
#include "guestinit/guest.h"
#include "guestinit/mount.h"

#define BOX_SECONDS 20

static char box_dir[64];

const char *guest_box_unable(void)
{
	if (geteuid() != 0)
		return "needs root";
	if (access("/usr/bin/busybox", X_OK) < 0)
		return "needs /usr/bin/busybox (static)";
	pid_t pid = fork();
	if (pid == 0) {
		struct err e;
		_exit(mount_new("cgroup2", 0, NULL, 0, &e) < 0);
	}
	int status = 1;
	waitpid(pid, &status, 0);
	return status ? "needs to mount cgroup2" : NULL;
}

static void box_shell(const char *command)
{
	assert_int_equal(system(command), 0);
}

const char *guest_box_begin(void)
{
	char command[512];

	strcpy(box_dir, "/tmp/guest-box-XXXXXX");
	assert_non_null(mkdtemp(box_dir));
	snprintf(command, sizeof(command),
		"cd %s && mkdir -p rootfs/bin rootfs/etc rootfs/tmp nodes && chmod 755 . && "
		"cp /usr/bin/busybox rootfs/bin/ && "
		"for p in sh cat ls id echo true false sleep stat readlink mount grep touch "
		"mknod dd hostname env wc printf stty kill head mkdir rm test ps ulimit "
		"tr seq setsid umount tty cmp ip; do ln -s busybox rootfs/bin/$p; done",
		box_dir);
	box_shell(command);
	return box_dir;
}

static int box_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

void guest_box_end(void)
{
	nftw(box_dir, box_remove, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* In the child, cmocka's own assertions would run the other tests a second time. */
#define box_check(what)                                                                            \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                 \
			_exit(99);                                                                 \
		}                                                                                  \
	} while (0)

struct box {
	struct guest guest;
	struct agent agent;
	int host; /* the control connection's other end */
	int streams[3];
	size_t input_done;
	struct msg_reader reader;
	bool over, killed;
	int step;
	char id[32];
};

static int box_pair(int *ours)
{
	int pair[2];

	box_check((socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) == 0);
	*ours = pair[0];
	return pair[1];
}

static void box_send(struct box *box, const char *type, const char *key, int value)
{
	cleanup_json json_t *m = json_pack("{ss ss si}", "type", type, "id", box->id, key, value);

	box_check((msg_write(box->host, m, MSG_MAX_BYTES)) == 0);
}

static void box_event(struct box *box, const json_t *m, struct guest_box_result *r)
{
	const char *type = json_string_value(json_object_get(m, "type"));
	const char *text = json_string_value(json_object_get(m, "message"));

	if (strcmp(type, "log") != 0) {
		cleanup_free char *line = json_dumps(m, JSON_COMPACT | JSON_SORT_KEYS);
		size_t used = strlen(r->events);
		snprintf(r->events + used, sizeof(r->events) - used, "%s\n", line);
	}
	if (strcmp(type, "started") == 0) {
		r->started = true;
	} else if (strcmp(type, "log") == 0) {
		size_t used = strlen(r->log);
		snprintf(r->log + used, sizeof(r->log) - used, "%s\n", text);
	} else if (strcmp(type, "failed") == 0 || strcmp(type, "exited") == 0) {
		r->code = (int)json_integer_value(json_object_get(m, "code"));
		r->oom = json_is_true(json_object_get(m, "oom"));
		r->failed = strcmp(type, "failed") == 0;
		if (text)
			snprintf(r->message, sizeof(r->message), "%s", text);
		box->over = true;
	}
}

static void box_read_events(struct box *box, struct guest_box_result *r)
{
	struct err e = {0};

	while (msg_reader_fill(&box->reader, box->host) > 0)
		;
	for (;;) {
		cleanup_json json_t *m = NULL;
		if (msg_reader_next(&box->reader, &m, &e) <= 0)
			break;
		box_event(box, m, r);
	}
}

static void box_read_stream(int fd, char *buf, size_t *used)
{
	while (*used < GUEST_BOX_TEXT - 1) {
		ssize_t n = recv(fd, buf + *used, GUEST_BOX_TEXT - 1 - *used, MSG_DONTWAIT);
		if (n <= 0)
			break;
		*used += (size_t)n;
	}
}

static void box_feed(struct box *box, const struct guest_box_run *run)
{
	size_t len = run->input ? strlen(run->input) : 0;

	if (box->streams[0] < 0)
		return;
	while (box->input_done < len) {
		ssize_t n = send(box->streams[0], run->input + box->input_done,
			len - box->input_done, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n <= 0)
			return;
		box->input_done += (size_t)n;
	}
	if (!run->terminal)
		shutdown(box->streams[0], SHUT_WR);
}

/* Connects the streams that a message names; the first gets the input. */
static void box_connect(
	struct box *box, const json_t *stdio, const char *input, struct guest_box_result *r)
{
	static const char *const keys[] = {"stdin", "stdout", "stderr", "terminal"};

	for (int i = 0; i < 4; i++) {
		int port = (int)json_integer_value(json_object_get(stdio, keys[i]));
		if (!port)
			continue;
		box_check(r->n_ports < GUEST_BOX_PORTS);
		struct guest_box_port *p = &r->ports[r->n_ports++];
		p->port = port;
		agent_stream(&box->agent, (uint32_t)port, box_pair(&p->fd));
		if (input && (i == 0 || i == 3))
			box_check(send(p->fd, input, strlen(input), MSG_NOSIGNAL) > 0);
		if (i == 0)
			shutdown(p->fd, SHUT_WR);
	}
}

/* As a program in the container would. */
static void box_connect_socket(
	struct box *box, const struct guest_box_step *step, struct guest_box_result *r)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	struct guest_box_port *p = &r->ports[r->n_ports++];

	snprintf(name.sun_path, sizeof(name.sun_path), "/proc/%d/root%s",
		(int)box->guest.containers->pid, step->socket);
	*p = (struct guest_box_port){.port = 1};
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	box_check(connect(p->fd, (struct sockaddr *)&name, sizeof(name)) == 0);
	box_check(send(p->fd, step->input, strlen(step->input), MSG_NOSIGNAL) > 0);
	shutdown(p->fd, SHUT_WR);
}

static void box_message(
	struct box *box, const struct guest_box_step *step, struct guest_box_result *r)
{
	struct err e = {0};
	cleanup_json json_t *m = json_parse(step->send, strlen(step->send), MSG_MAX_DEPTH, &e);

	if (!m)
		fprintf(stderr, "%s\n", e.text);
	box_check(m);
	box_check(json_object_set_new(m, "id", json_string(box->id)) == 0);
	if (!step->unconnected)
		box_connect(box, json_object_get(m, "stdio"), step->input, r);
	box_check((msg_write(box->host, m, MSG_MAX_BYTES)) == 0);
}

static bool box_is_after(const char *text, const struct guest_box_result *r)
{
	if (strncmp(text, "out:", 4) == 0)
		return strstr(r->out, text + 4);
	if (strncmp(text, "port:", 5) != 0)
		return strstr(r->events, text);
	for (int i = 0; i < r->n_ports; i++)
		if (strstr(r->ports[i].text, text + 5))
			return true;
	return false;
}

/* Takes the steps that can be taken. */
static void box_steps(struct box *box, const struct guest_box_run *run, struct guest_box_result *r)
{
	for (; box->step < run->n_steps; box->step++) {
		const struct guest_box_step *step = &run->steps[box->step];
		if (!box_is_after(step->after, r))
			return;
		if (step->socket)
			box_connect_socket(box, step, r);
		else
			box_message(box, step, r);
	}
}

static void box_read_ports(struct guest_box_result *r)
{
	for (int i = 0; i < r->n_ports; i++) {
		struct guest_box_port *p = &r->ports[i];
		while (!p->ended) {
			char rest[4096];
			size_t room = sizeof(p->text) - 1 - p->bytes;
			ssize_t n = recv(p->fd, room ? p->text + p->bytes : rest,
				room ? room : sizeof(rest), MSG_DONTWAIT);
			if (n == 0 || (n < 0 && errno != EAGAIN))
				p->ended = true;
			if (n <= 0)
				break;
			p->bytes += room ? (size_t)n : 0;
		}
	}
}

static void box_loop(struct box *box, const struct guest_box_run *run, struct guest_box_result *r)
{
	time_t end = time(NULL) + BOX_SECONDS;
	int out = run->terminal ? box->streams[0] : box->streams[1];

	while (!box->over && time(NULL) < end) {
		box_check((loop_run_once(&box->guest.loop, 20)) == 0);
		box_feed(box, run);
		box_read_stream(out, r->out, &r->out_bytes);
		if (!run->terminal)
			box_read_stream(box->streams[2], r->err, &r->err_bytes);
		box_read_events(box, r);
		box_read_ports(r);
		box_steps(box, run, r);
		if (run->kill_signal && r->out_bytes && !box->killed) {
			box_send(box, "kill", "signal", run->kill_signal);
			box->killed = true;
		}
	}
	box_read_stream(out, r->out, &r->out_bytes);
	if (!run->terminal)
		box_read_stream(box->streams[2], r->err, &r->err_bytes);
	box_read_ports(r);
	if (!box->over) {
		fprintf(stderr, "events:\n%s\nlog:\n%s\nout:\n%s\n", r->events, r->log, r->out);
		/* One that waits for its start would wait for ever, and the test with it. */
		for (struct container *c = box->guest.containers; c; c = c->next)
			if (c->pid)
				kill(c->pid, SIGKILL);
	}
	box_check(box->over);
}

/* This machine's own network stays alone. */
static void box_network(struct box *box, const struct guest_box_run *run)
{
	if (run->network) {
		box_check(unshare(CLONE_NEWNET) == 0);
		box_check(system(run->network) == 0);
	}
	box->guest.network_taken = box->guest.loopback_up = !run->network;
}

/* In a process of its own, whose signal mask and children are nobody else's business. */
static void box_child(const struct guest_box_run *run, struct guest_box_result *r)
{
	static struct box box;
	char exports[128], nodes[128];
	struct err e = {0};

	snprintf(exports, sizeof(exports), "%s", box_dir);
	snprintf(nodes, sizeof(nodes), "%s/nodes", box_dir);
	guest_init(&box.guest);
	snprintf(box.id, sizeof(box.id), "%s-%d", strrchr(box_dir, '/') + 1, (int)getpid());
	box.guest.exports = (struct exports){NULL, exports};
	box.guest.null_path = "/dev/null";
	box.guest.nodes_dir = nodes;
	if (run->connect_host)
		box.guest.connect_host = run->connect_host;
	/* Not guest_cgroups(): its options would be those of this machine's hierarchy. */
	box.guest.cgroup_fd = mount_new("cgroup2", 0, NULL, 0, &e);
	box_check(box.guest.cgroup_fd >= 0);
	box_network(&box, run);
	box_check((guest_start(&box.guest, &e)) == 0);
	int control = box_pair(&box.host);
	box_check((fd_set_nonblock(box.host, true)) == 0);
	box_check((agent_attach(&box.agent, &box.guest, control, &e)) == 0);
	msg_reader_init(&box.reader, MSG_MAX_GUEST_BYTES);
	for (unsigned i = 0; i < 3; i++) {
		if (run->terminal && i)
			continue;
		agent_stream(&box.agent, 1025 + i, box_pair(&box.streams[i]));
	}
	const char *stdio = run->terminal ? "{\"terminal\":1025,\"rows\":24,\"columns\":80}"
					  : "{\"stdin\":1025,\"stdout\":1026,\"stderr\":1027}";
	cleanup_free char *text = NULL;
	box_check(asprintf(&text,
			  "{\"type\":\"create\",\"id\":\"%s\",\"start\":%s,\"root\":{"
			  "\"export\":\"rootfs\"%s},\"stdio\":%s,\"config\":%s%s}",
			  box.id, run->created ? "false" : "true",
			  run->root_extra ? run->root_extra : "", stdio, run->config,
			  run->create_extra ? run->create_extra : "") > 0);
	json_t *message = json_parse(text, strlen(text), MSG_MAX_DEPTH, &e);
	if (!message)
		fprintf(stderr, "%s\n", e.text);
	box_check(message);
	box_check((msg_write(box.host, message, MSG_MAX_BYTES)) == 0);
	json_decref(message);
	box_loop(&box, run, r);
	/* Here, unlike in a VM, somebody else sees a cgroup whose last process took its time. */
	for (int ms = 0; ms < BOX_SECONDS * 1000; ms++) {
		if (unlinkat(box.guest.cgroup_fd, box.id, AT_REMOVEDIR) == 0 || errno != EBUSY)
			break;
		usleep(1000);
	}
	agent_fini(&box.agent);
	guest_fini(&box.guest);
	msg_reader_fini(&box.reader);
}

const char *guest_box_output(const struct guest_box_result *result, int port)
{
	for (int i = 0; i < result->n_ports; i++)
		if (result->ports[i].port == port)
			return result->ports[i].text;
	fail_msg("no stream of port %d", port);
	return NULL;
}

void guest_box_run(const struct guest_box_run *run, struct guest_box_result *result)
{
	int pair[2];

	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	memset(result, 0, sizeof(*result));
	if (pid == 0) {
		box_child(run, result);
		_exit(fd_write_all(pair[1], result, sizeof(*result)) < 0);
	}
	close(pair[1]);
	int ret = fd_read_all(pair[0], result, sizeof(*result));
	close(pair[0]);
	int status;
	waitpid(pid, &status, 0);
	if (ret < 0)
		fail_msg("the box ended with status %d and no result", status);
}
