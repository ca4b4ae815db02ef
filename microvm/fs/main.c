/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hvrun-fs: serves directories and files of the host to one VM, by virtio-fs over vhost-user. It
 * is started with its sockets, exports and configuration, gives up all that it does not need, and
 * ends when one of its sockets does. Interfaces: docs/protocol.md. Semantics: docs/filesystem.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "microvm/fs/config.h"
#include "microvm/fs/sandbox.h"
#include "microvm/fs/seccomp.h"
#include "microvm/fs/server.h"
#include "microvm/vhost/backend.h"

#define NOFILE_WANTED	  (1u << 20)
#define NODE_FDS_MAX	  16384u
#define NODES_MAX_DEFAULT (1u << 16) /* until the guest's memory is known */

struct fs_main {
	struct fs_config config;
	struct loop loop;
	struct loop_source control;
	struct fs_server *server;
	struct vhost_backend *backend;
	int exit_code;
};

static void link_closed(void *arg, int error)
{
	struct fs_main *m = arg;

	if (error) {
		log_error("vhost-user connection: %s", strerror(-error));
		m->exit_code = EXIT_FAILURE;
	}
	loop_stop(&m->loop);
}

/* Nobody says anything there: hvrun, or the monitor, is gone. */
static void control_ready(struct loop_source *source, uint32_t events)
{
	struct fs_main *m =
		(struct fs_main *)(void *)((char *)source - offsetof(struct fs_main, control));

	(void)events;
	loop_stop(&m->loop);
}

/* Descriptors are what a file server runs out of first: as many as the system gives. */
static uint32_t raise_nofile(void)
{
	struct rlimit limit = {.rlim_cur = NOFILE_WANTED, .rlim_max = NOFILE_WANTED}, old;

	if (getrlimit(RLIMIT_NOFILE, &old) < 0)
		return 1024;
	if (old.rlim_max >= NOFILE_WANTED)
		limit.rlim_max = old.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
		limit = (struct rlimit){.rlim_cur = old.rlim_max, .rlim_max = old.rlim_max};
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			limit = old;
	}
	return limit.rlim_cur < NOFILE_WANTED ? (uint32_t)limit.rlim_cur : NOFILE_WANTED;
}

static int serve(struct fs_main *m, struct err *e)
{
	bool privileged = cred_is_privileged();
	uint32_t nofile = raise_nofile();

	const char *prefix;

	int ret = cred_process_init(privileged);
	if (ret < 0)
		return err_sys(e, -ret, "credentials");
	ret = fs_sandbox_enter(privileged, &prefix, e);
	if (ret < 0)
		return ret;
	struct fuse_session_config session = {
		.exports = &m->config.exports,
		.map_ids = m->config.map_ids,
		.fd_prefix = prefix,
		.node_fds_max = nofile / 4 < NODE_FDS_MAX ? nofile / 4 : NODE_FDS_MAX,
		.nodes_max = NODES_MAX_DEFAULT,
		.handles_max = nofile / 2,
		.bound_memory = fs_sandbox_memory,
	};
	ret = fs_server_create(&m->server, &m->loop, &session, m->config.workers, e);
	if (ret < 0)
		return ret;
	ret = vhost_backend_create(&m->backend, &m->loop, fs_server_device(m->server),
		steal_fd(&m->config.socket), link_closed, m, e);
	if (ret < 0)
		return ret;
	if (m->config.control >= 0) {
		m->control.ready = control_ready;
		ret = loop_add(&m->loop, &m->control, m->config.control, EPOLLIN);
		if (ret < 0)
			return err_sys(e, -ret, "control socket");
	}
	ret = fs_sandbox_close(privileged, &m->config.exports, e);
	if (ret < 0)
		return ret;
	ret = loop_run(&m->loop);
	return ret < 0 ? err_sys(e, -ret, "event loop") : 0;
}

static int parse_args(int argc, char **argv, int *config_fd)
{
	char *end;

	if (argc == 2 && !strcmp(argv[1], "--version")) {
		printf("hvrun-fs %s\n", HVRUN_VERSION);
		return 1;
	}
	if (argc == 2 && !strcmp(argv[1], "--list-calls")) {
		fs_seccomp_print(stdout);
		return 1;
	}
	if (argc == 2 && !strcmp(argv[1], "--help")) {
		printf("Usage: hvrun-fs --config-fd N\n"
		       "       hvrun-fs --list-calls  print the system calls that it may make\n\n"
		       "File server of one hvrun VM (virtio-fs over vhost-user). It is started by\n"
		       "hvrun; descriptor N holds its configuration as JSON. See hvrun-fs(8).\n");
		return 1;
	}
	if (argc != 3 || strcmp(argv[1], "--config-fd") != 0)
		return -EINVAL;
	long fd = strtol(argv[2], &end, 10);
	if (*end || end == argv[2] || fd < 0 || fd > 1 << 20)
		return -EINVAL;
	*config_fd = (int)fd;
	return 0;
}

int main(int argc, char **argv)
{
	struct fs_main m = {.exit_code = EXIT_SUCCESS, .control = {.fd = -1}};
	struct err e = {0};
	int config_fd = -1;

	log_init("hvrun-fs", STDERR_FILENO, LOG_LEVEL_WARNING);
	int ret = parse_args(argc, argv, &config_fd);
	if (ret > 0)
		return EXIT_SUCCESS;
	if (ret < 0) {
		log_error("usage: hvrun-fs --config-fd N");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	ret = fs_config_read(&m.config, config_fd, fs_sandbox_export, &e);
	close(config_fd);
	if (!ret && m.config.debug)
		log_init("hvrun-fs", STDERR_FILENO, LOG_LEVEL_DEBUG);
	if (!ret) {
		ret = loop_init(&m.loop);
		if (ret < 0) {
			err_sys(&e, -ret, "event loop");
		} else {
			ret = serve(&m, &e);
			loop_del(&m.loop, &m.control);
			vhost_backend_free(m.backend);
			fs_server_free(m.server);
			loop_fini(&m.loop);
		}
	}
	if (ret < 0) {
		log_error("%s", e.text);
		m.exit_code = EXIT_FAILURE;
	}
	fs_config_fini(&m.config);
	return m.exit_code;
}
