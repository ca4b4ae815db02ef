/* SPDX-License-Identifier: Apache-2.0 */
/* See net_place.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "oci/config.h"
#include "runtime/netns.h"
#include "tests/unit/support/net_place.h"

const char *net_place_run(const struct net_place *p, const char *script)
{
	static char out[16384];
	char command[2048];

	assert_true(snprintf(command, sizeof(command),
			    "exec nsenter --net=/proc/%d/fd/%d sh -euc '%s' 2>&1", (int)getpid(),
			    p->ns, script) < (int)sizeof(command));
	FILE *f = popen(command, "r"); /* NOLINT */
	assert_non_null(f);
	size_t n = fread(out, 1, sizeof(out) - 1, f);
	out[n] = '\0';
	int status = pclose(f);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("%s: %s", script, out);
	return out;
}

void net_place_enter(struct net_place *p, const char *script)
{
	struct err e;

	p->ns = netns_new(&e);
	if (p->ns < 0)
		fail_msg("%s", e.text);
	if (rtnl_open(&p->rt, p->ns, &e) < 0)
		fail_msg("%s", e.text);
	net_place_run(p, script);
}

void net_place_leave(struct net_place *p)
{
	rtnl_close(&p->rt);
	fd_closep(&p->ns);
}

int net_place_socket(const struct net_place *p, const char *device)
{
	cleanup_close int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};

	assert_int_equal(setns(p->ns, CLONE_NEWNET), 0);
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	address.sll_ifindex = (int)if_nametoindex(device);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

void net_place_scan(struct net_place *p, struct net_scan *found)
{
	struct net_wanted none = {.n = 0};
	struct err e;

	if (net_scan(&p->rt, &none, found, &e) < 0)
		fail_msg("%s", e.text);
}

void net_place_tap(struct net_place *p, struct net_tap *tap, unsigned queues)
{
	struct err e;

	if (net_tap_make(tap, p->ns, &p->rt, queues, &e) < 0)
		fail_msg("%s", e.text);
}

const struct net_interface *net_place_interface(const struct net_scan *found, const char *name)
{
	for (unsigned i = 0; i < found->n; i++)
		if (strcmp(found->list[i].name, name) == 0)
			return &found->list[i];
	fail_msg("no %s", name);
	abort();
}

const json_t *net_place_route(const json_t *routes, const char *destination)
{
	for (size_t i = 0; i < json_array_size(routes); i++) {
		const json_t *route = json_array_get(routes, i);
		if (strcmp(json_string_value(json_object_get(route, "destination")), destination) ==
			0)
			return route;
	}
	fail_msg("no route to %s", destination);
	abort();
}

const char *net_place_text(const json_t *object, const char *path)
{
	const char *text = json_string_value(oci_lookup(object, path));

	return text ? text : "(none)";
}
