/* SPDX-License-Identifier: Apache-2.0 */
/* Following a network namespace; see net_watch.h. */
#include "runtime/net_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "runtime/container.h"
#include "runtime/janitor.h"
#include "runtime/monitor.h"
#include "runtime/net_pace.h"
#include "runtime/network.h"
#include "runtime/network_tell.h"
#include "runtime/netns.h"
#include "runtime/rtnl.h"

struct watch {
	int dir, monitor, events;
	struct rtnl rt;
	struct network_change asked; /* which the monitor is to tell and has not answered yet */
	int64_t patience_end_ms;     /* of that */
	unsigned overdue;	     /* answers that nobody waits for any more */
	char said[sizeof(((struct err *)0)->text)]; /* what went wrong last: it is logged once */
	struct net_pace pace;
};

static int subscribe(int events)
{
	static const unsigned groups[] = {RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_TC,
		RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE,
		RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE};
	struct sockaddr_nl own = {.nl_family = AF_NETLINK};

	if (bind(events, (struct sockaddr *)&own, sizeof(own)) < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (setsockopt(events, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
			    sizeof(groups[i])) < 0)
			return -errno;
	return fd_set_nonblock(events, true);
}

/* What happened does not matter, only that something has: also when some of it was lost. */
static bool drain(int events)
{
	char buf[8192];
	bool any = false;

	for (;;) {
		ssize_t n = recv(events, buf, sizeof(buf), 0);
		if (n < 0 && errno != EINTR && errno != ENOBUFS)
			return any;
		any = true;
	}
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void complain(struct watch *w, const struct err *e)
{
	if (strcmp(w->said, e->text) != 0)
		log_warn("network: %s", e->text);
	snprintf(w->said, sizeof(w->said), "%s", e->text);
	/* What an attempt changes and takes back is no reason for the next. */
	(void)drain(w->events);
	net_pace_later(&w->pace, now_ms());
}

/* What can be followed is told, also when something else can't be. */
static void look(struct watch *w)
{
	struct err e;

	int ret = network_sync(w->dir, &w->rt, false, &w->asked, &e);
	net_pace_looked(&w->pace, now_ms(), w->asked.found);
	if (ret < 0)
		complain(w, &e);
	if (w->asked.network) {
		int sent = network_send(w->monitor, w->asked.network, &e);
		if (sent == 0) {
			w->patience_end_ms = now_ms() + MONITOR_PATIENCE_MS;
			return;
		}
		complain(w, &e);
		network_change_fini(&w->asked);
	} else if (ret == 0) {
		net_pace_done(&w->pace);
		w->said[0] = '\0';
	}
}

/* The guest does not have it: it is told again. */
static void refused(struct watch *w, const struct err *e)
{
	log_info("network: %s", e->text);
	net_pace_later(&w->pace, now_ms());
}

/* The monitor's answer. False at its end. */
static bool answer(struct watch *w)
{
	struct err e;

	cleanup_json json_t *reply = monitor_receive(w->monitor, 0, &e);
	if (!reply && (e.code == ECONNRESET || e.code == ETIMEDOUT))
		return e.code == ETIMEDOUT;
	if (w->overdue) {
		w->overdue--;
		return true;
	}
	if (!w->asked.network)
		return true;
	if (!reply || monitor_result(reply, NULL, &e) < 0)
		refused(w, &e);
	else if (network_told(w->dir, &w->asked, &e) < 0)
		complain(w, &e);
	else
		net_pace_soon(&w->pace, now_ms()); /* more may have happened meanwhile */
	network_change_fini(&w->asked);
	return true;
}

/* Others wait for the lock as well. */
static void give_up(struct watch *w)
{
	struct err e;

	err_set(&e, ETIMEDOUT, "the monitor does not answer");
	w->overdue++;
	network_change_fini(&w->asked);
	refused(w, &e);
}

static int patience_ms(const struct watch *w)
{
	int64_t due_ms = w->asked.network ? w->patience_end_ms : w->pace.due_ms;
	int64_t left = due_ms - now_ms();

	if (!due_ms)
		return -1;
	return left > 0 ? (int)left : 0;
}

static void follow(struct watch *w)
{
	for (;;) {
		struct pollfd fds[] = {
			{.fd = w->monitor, .events = POLLIN}, {.fd = w->events, .events = POLLIN}};
		int n = poll(fds, 2, patience_ms(w));
		if (n < 0 && errno != EINTR)
			return;
		if (n > 0 && fds[0].revents && !answer(w))
			return;
		if (n > 0 && fds[1].revents && drain(w->events))
			net_pace_soon(&w->pace, now_ms());
		if (patience_ms(w) != 0)
			continue;
		if (w->asked.network)
			give_up(w);
		else
			look(w);
	}
}

static void part(struct watch *w)
{
	cleanup_network struct network net = {0};
	struct err e;

	network_change_fini(&w->asked);
	cleanup_close int lock = network_lock(w->dir, &e);
	if (lock < 0 || network_load(&net, w->dir, &e) < 0)
		return; /* deleted meanwhile, wires and all */
	int ret = network_part(&net, &w->rt);
	if (ret < 0)
		log_warn("network: taking the wires away: %s", strerror(-ret));
}

static _Noreturn void run(struct watch *w, int log)
{
	const int kept[] = {w->dir, w->monitor, w->events, w->rt.fd, 2};
	sigset_t all;

	setsid();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_NAME, "hvrun-network");
	(void)!chdir("/");
	if (log >= 0)
		(void)!dup2(log, STDERR_FILENO);
	janitor_close_others(kept, sizeof(kept) / sizeof(kept[0]));
	net_pace_soon(&w->pace, now_ms()); /* what has changed since the first look */
	follow(w);
	part(w);
	_exit(0);
}

static int prepare(struct watch *w, const struct container *c, int ns, struct err *e)
{
	w->dir = c->dir;
	int ret = netns_files(ns, NETNS_ROUTE, &w->events, 1, e);
	if (ret == 0)
		ret = rtnl_open(&w->rt, ns, e);
	if (ret < 0)
		return ret;
	ret = subscribe(w->events);
	if (ret < 0)
		return err_sys(e, -ret, "following the network namespace");
	w->monitor = monitor_connect(c->dir, e);
	return w->monitor < 0 ? w->monitor : 0;
}

pid_t net_watch_start(const struct container *c, int ns, int log, struct err *e)
{
	struct watch w = {
		.dir = -1, .monitor = -1, .events = -1, .rt = {.fd = -1}, .asked = {.lock = -1}};
	pid_t pid = -1;

	int ret = prepare(&w, c, ns, e);
	if (ret == 0) {
		pid = fork();
		if (pid == 0)
			run(&w, log);
		if (pid < 0)
			ret = err_sys(e, errno, "fork");
	}
	fd_closep(&w.events);
	fd_closep(&w.monitor);
	rtnl_close(&w.rt);
	return ret < 0 ? ret : pid;
}
