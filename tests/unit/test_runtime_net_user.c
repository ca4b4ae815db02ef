/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user-mode network: what is published, the resolvers that are named, and the families that
 * there are. The last in a namespace that the test makes: skipped without root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "runtime/net_user.h"
#include "tests/unit/support/net_place.h"

static void test_user(void **state)
{
	static const char *const bad[] = {"80", "80:", ":80", "0:80", "80:65536", "a:b", "1:2:3",
		"::1:80:80", "80:80/sctp", "10.0.0.1:1:2:3", "80:80/", "1.2.3.400:1:2", "",
		"[::1:80:80", "[::1]80:80", "[::g]:80:80", "[10.0.0.1]:1:2", "[::1]:80",
		"[::1]:", "80::80", "1:2:", ":1:2"};
	struct net_user *user = calloc(1, sizeof(*user));
	struct err e;

	(void)state;
	assert_int_equal(net_user_publish(user, "8080:80", &e), 0);
	assert_string_equal(user->ports[0].text, "8080:80");
	assert_int_equal(user->ports[0].family, AF_UNSPEC);
	assert_false(user->ports[0].udp);
	assert_int_equal(
		net_user_publish_list(user, "127.0.0.1:53:5353/udp,[fd00::1]:1:2/tcp", &e), 0);
	assert_int_equal(user->n_ports, 3);
	assert_string_equal(user->ports[1].text, "127.0.0.1/53:5353");
	assert_int_equal(user->ports[1].family, AF_INET);
	assert_true(user->ports[1].udp);
	assert_string_equal(user->ports[2].text, "fd00::1/1:2");
	assert_int_equal(user->ports[2].family, AF_INET6);
	assert_int_equal(user->ports[2].host, 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (net_user_publish(user, bad[i], &e) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
	while (user->n_ports < NET_USER_PORTS_MAX)
		assert_int_equal(net_user_publish(user, "9:9", &e), 0);
	assert_int_equal(net_user_publish(user, "9:9", &e), -E2BIG);
	free(user);
}

/* What passt has a resolver for is named, and one in any case. */
static void test_user_resolv(void **state)
{
#define FOUR "nameserver 10.0.2.3\n"
#define SIX  "nameserver fd00:10:0:2::3\n"
	static const struct {
		const char *host;
		bool ipv4, ipv6;
		const char *guest;
	} cases[] = {
		{"search example.org\nnameserver 192.0.2.1\n", true, true, FOUR},
		{"nameserver 2001:db8::1\n", true, true, SIX},
		{"nameserver fe80::1%eth0\nnameserver\t127.0.0.53", true, true, FOUR SIX},
		{"nameserver ::1\nnameserver 127.0.0.1\n", false, true, SIX},
		{"nameserver ::1\n", true, false, FOUR},
		{"# nameserver ::1\nnameserver none\n", true, true, FOUR},
		{"", false, true, SIX},
	};
	char path[] = "/tmp/hvrun-resolv-XXXXXX";
	struct net_user *user = calloc(1, sizeof(*user));
	int fd = mkstemp(path);

	(void)state;
	assert_true(user && fd >= 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].host);
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, cases[i].host, len, 0), len);
		user->ipv4 = cases[i].ipv4;
		user->ipv6 = cases[i].ipv6;
		net_user_read_resolvers(user, path);
		assert_string_equal(net_user_resolv(user), cases[i].guest);
	}
	close(fd);
	unlink(path);
	net_user_read_resolvers(user, path);
	assert_false(user->resolver4 || user->resolver6);
	free(user);
}

/* As a caller in that namespace. */
static int choose(const struct net_place *p, struct net_user *user)
{
	struct err e;
	int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	assert_true(own >= 0);
	assert_int_equal(setns(p->ns, CLONE_NEWNET), 0);
	int ret = net_user_choose(user, &e);
	assert_int_equal(setns(own, CLONE_NEWNET), 0);
	close(own);
	return ret;
}

static void test_user_families(void **state)
{
	static const char *const destinations[] = {
		"10.0.2.0/24", "0.0.0.0/0", "fd00:10:0:2::/64", "fe80::/64", "::/0"};
	struct net_place p;
	struct net_user *user = calloc(1, sizeof(*user));

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	net_place_enter(&p, "true");
	/* No default route: passt has nowhere to go. */
	assert_int_equal(choose(&p, user), -ENETUNREACH);
	net_place_run(&p,
		"ip link add v0 type veth peer name v1; ip addr add 10.9.0.1/24 dev v0;"
		"ip addr add fd09::1/64 dev v0 nodad; ip link set v0 up; ip link set v1 up");
	assert_int_equal(choose(&p, user), -ENETUNREACH);
	net_place_run(&p, "ip -6 route add default via fd09::2");
	assert_int_equal(choose(&p, user), 0);
	assert_true(user->ipv6 && !user->ipv4);
	assert_string_equal(net_user_resolv(user), "nameserver fd00:10:0:2::3\n");
	struct err e;
	assert_int_equal(net_user_publish_list(user, "1:2,[fd09::1]:3:4", &e), 0);
	assert_int_equal(choose(&p, user), 0);
	assert_int_equal(net_user_publish(user, "10.9.0.1:3:4", &e), 0);
	assert_int_equal(choose(&p, user), -ENETUNREACH);
	net_place_run(&p, "ip route add default via 10.9.0.2");
	assert_int_equal(choose(&p, user), 0);
	assert_true(user->ipv6 && user->ipv4);
	cleanup_json json_t *message = net_user_message(user);
	const json_t *routes = json_object_get(message, "routes");
	assert_int_equal(json_array_size(routes), 5);
	/* Its networks' come with the addresses. */
	for (size_t i = 0; i < sizeof(destinations) / sizeof(destinations[0]); i++)
		(void)net_place_route(routes, destinations[i]);
	free(user);
	net_place_leave(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_user_resolv),
		cmocka_unit_test(test_user_families),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
