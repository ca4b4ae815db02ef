/* SPDX-License-Identifier: Apache-2.0 */
/* Networks by passt; see net_user.h. */
#include "runtime/net_user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "runtime/net_scan.h"
#include "runtime/options.h"
#include "runtime/programs.h"
#include "runtime/rtnl.h"
#include "runtime/spawn.h"

#define ADDRESS	    "10.0.2.15"
#define BROADCAST   "10.0.2.255"
#define GATEWAY	    "10.0.2.2"
#define RESOLVER    "10.0.2.3"
#define ADDRESS6    "fd00:10:0:2::15"
#define GATEWAY6    "fd00:10:0:2::2"
#define RESOLVER6   "fd00:10:0:2::3"
#define PREFIX6	    64
#define OWN_MAC	    "02:00:00:00:00:02" /* passt's end of the wire */
#define PORT_MAX    65535
#define LOG_BYTES   4096
#define PATIENCE_MS 20000
#define WORDS_MAX   (40 + 2 * NET_USER_PORTS_MAX)

struct defaults {
	int loopback; /* its index: a route over it leads nowhere */
	bool found;
};

static int take_default(const struct nlmsghdr *message, void *arg)
{
	struct defaults *defaults = arg;
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;

	if (route->rtm_dst_len || route->rtm_type != RTN_UNICAST)
		return 0;
	mnl_attr_for_each (attr, message, sizeof(*route))
		if (mnl_attr_get_type(attr) == RTA_MULTIPATH ||
			(mnl_attr_get_type(attr) == RTA_OIF &&
				(int)mnl_attr_get_u32(attr) != defaults->loopback))
			defaults->found = true;
	return 0;
}

static int has_default(struct rtnl *rt, int family, bool *has)
{
	char buf[RTNL_BYTES];
	struct defaults defaults = {.loopback = (int)if_nametoindex("lo")};
	void *fixed;
	struct nlmsghdr *message = rtnl_begin(buf, RTM_GETROUTE, 0, &fixed, sizeof(struct rtmsg));

	((struct rtmsg *)fixed)->rtm_family = (unsigned char)family;
	int ret = rtnl_dump(rt, message, take_default, &defaults);
	*has = defaults.found;
	/* -EINTR: routes are changed meanwhile; what was read of them will do. */
	return ret == -EINTR || ret == -EAFNOSUPPORT || ret == -EOPNOTSUPP ? 0 : ret;
}

int net_user_choose(struct net_user *user, struct err *e)
{
	cleanup_rtnl struct rtnl rt = {.fd = -1};

	int ret = rtnl_open(&rt, -1, e);
	if (ret < 0)
		return ret;
	ret = has_default(&rt, AF_INET, &user->ipv4);
	if (ret == 0)
		ret = has_default(&rt, AF_INET6, &user->ipv6);
	if (ret < 0)
		return err_sys(e, -ret, "--network=user: listing the host's routes");
	if (!user->ipv4 && !user->ipv6)
		return err_set(e, ENETUNREACH,
			"--network=user: there is no default route here, neither for IPv4 nor for "
			"IPv6: passt has nowhere to connect to (--network=none gives the container "
			"a loopback interface alone)");
	if (user->n_ports && !user->ipv4)
		return err_set(e, ENETUNREACH,
			"--network=user: ports are published for IPv4 only, and there is no "
			"default "
			"route for IPv4 here");
	return 0;
}

const char *net_user_resolv(const struct net_user *user)
{
	return user->ipv4 ? "nameserver " RESOLVER "\n" : "nameserver " RESOLVER6 "\n";
}

static int bad_port(const char *text, struct err *e)
{
	return err_set(e, EINVAL,
		"\"%.64s\" is no port: [ADDRESS:]HOST:CONTAINER[/udp], with an IPv4 address and "
		"ports from 1 to %d",
		text, PORT_MAX);
}

int net_user_publish(struct net_user *user, const char *text, struct err *e)
{
	char copy[64], *part[3] = {NULL}, *save = NULL;
	struct in_addr address;
	unsigned n = 0, host, inside;

	if (user->n_ports == NET_USER_PORTS_MAX)
		return err_set(e, E2BIG, "more than %d ports", NET_USER_PORTS_MAX);
	struct net_user_port *port = &user->ports[user->n_ports];
	size_t len = strcspn(text, "/");
	const char *protocol = text + len;
	port->udp = strcmp(protocol, "/udp") == 0;
	if (len >= sizeof(copy) || (*protocol && !port->udp && strcmp(protocol, "/tcp") != 0))
		return bad_port(text, e);
	snprintf(copy, sizeof(copy), "%.*s", (int)len, text);
	for (char *word = strtok_r(copy, ":", &save); word; word = strtok_r(NULL, ":", &save)) {
		if (n == 3)
			return bad_port(text, e);
		part[n++] = word;
	}
	if (n < 2 || options_number(part[n - 2], 1, PORT_MAX, &host) < 0 ||
		options_number(part[n - 1], 1, PORT_MAX, &inside) < 0 ||
		(n == 3 && inet_pton(AF_INET, part[0], &address) != 1))
		return bad_port(text, e);
	/* passt takes the guest's IPv6 address from what the guest sends, and a server that sends
	 * nothing would be unknown: what is published is published for IPv4. */
	snprintf(port->text, sizeof(port->text), "%s/%u:%u", n == 3 ? part[0] : "0.0.0.0", host,
		inside);
	user->n_ports++;
	return 0;
}

int net_user_publish_list(struct net_user *user, const char *list, struct err *e)
{
	while (*list) {
		size_t len = strcspn(list, ",");
		char text[80];
		snprintf(text, sizeof(text), "%.*s", (int)(len < sizeof(text) ? len : sizeof(text)),
			list);
		int ret = net_user_publish(user, text, e);
		if (ret < 0)
			return ret;
		list += len;
		list += *list == ',';
	}
	return 0;
}

json_t *net_user_message(const struct net_user *user)
{
	char mac[NET_MAC_TEXT_BYTES];
	cleanup_json json_t *addresses = json_array(), *routes = json_array();

	if (user->ipv4 &&
		(json_array_append_new(addresses,
			 json_pack("{s:s, s:i, s:s, s:i}", "address", ADDRESS, "prefix", 24,
				 "broadcast", BROADCAST, "scope", 0)) < 0 ||
			json_array_append_new(routes,
				json_pack("{s:i, s:s, s:s, s:s}", "family", 4, "destination",
					"0.0.0.0/0", "gateway", GATEWAY, "interface", "eth0")) < 0))
		return NULL;
	if (user->ipv6 &&
		(json_array_append_new(addresses,
			 json_pack("{s:s, s:i, s:i}", "address", ADDRESS6, "prefix", PREFIX6,
				 "scope", 0)) < 0 ||
			json_array_append_new(routes,
				json_pack("{s:i, s:s, s:s, s:s}", "family", 6, "destination",
					"::/0", "gateway", GATEWAY6, "interface", "eth0")) < 0))
		return NULL;
	net_mac_format(user->mac, mac);
	return json_pack("{s:[{s:s, s:s, s:s, s:i, s:b, s:O}], s:O, s:[]}", "interfaces", "device",
		mac, "name", "eth0", "mac", mac, "mtu", NET_USER_MTU, "up", 1, "addresses",
		addresses, "routes", routes, "neighbours");
}

/* A file for what passt has to say: for its last words, and no larger whatever the guest does. */
static int open_log(void)
{
	cleanup_close int fd = memfd_create("passt", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, LOG_BYTES) < 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) < 0)
		return -errno;
	return steal_fd(&fd);
}

/* The last line that says something of the matter. */
static void last_words(int log, char *out, size_t cap)
{
	char text[LOG_BYTES + 1], *save = NULL;
	ssize_t n = pread(log, text, LOG_BYTES, 0);

	snprintf(out, cap, "it ended without a word");
	if (n <= 0)
		return;
	text[n] = '\0';
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (!strstr(line, "syslog") && !strstr(line, "Don't run as root"))
			snprintf(out, cap, "%s", line);
}

/* It writes its pid, when it is ready, into a file that is the pipe: as root it is nobody by then.
 */
static int open_ready(int ends[2])
{
	const struct passwd *nobody = geteuid() == 0 ? getpwnam("nobody") : NULL;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	if (nobody && fchown(ends[1], nobody->pw_uid, nobody->pw_gid) < 0) {
		int code = errno;
		close(ends[0]);
		close(ends[1]);
		return -code;
	}
	return 0;
}

static void add_ports(const struct net_user *user, const char **argv, size_t *n)
{
	bool udp = false;

	for (unsigned i = 0; i < user->n_ports; i++) {
		argv[(*n)++] = user->ports[i].udp ? "-u" : "-t";
		argv[(*n)++] = user->ports[i].text;
		udp |= user->ports[i].udp;
	}
	if (!udp) { /* else it forwards the numbers of the TCP ports */
		argv[(*n)++] = "-u";
		argv[(*n)++] = "none";
	}
}

static void add_words(const char **argv, size_t *n, const char *const *words)
{
	while (*words)
		argv[(*n)++] = *words++;
}

static pid_t start(const struct net_user *user, const char *path, const struct spawn *base,
	const int fds[3], int null, struct err *e)
{
	static const char *const common[] = {NET_USER_PASST, "--foreground", "--quiet",
		"--mac-addr", OWN_MAC, "--mtu", "1500", "--no-map-gw", "--no-dhcp", "--no-dhcpv6",
		"--no-ra", NULL};
	static const char *const four[] = {"--address", ADDRESS, "--netmask", "24", "--gateway",
		GATEWAY, "--dns-forward", RESOLVER, NULL};
	static const char *const six[] = {
		"--address", ADDRESS6, "--gateway", GATEWAY6, "--dns-forward", RESOLVER6, NULL};
	const char *argv[WORDS_MAX] = {NULL};
	struct spawn spawn = *base;
	char socket_text[16], ready_text[64];
	size_t n = 0;

	add_words(argv, &n, common);
	if (user->ipv4)
		add_words(argv, &n, four);
	if (user->ipv6)
		add_words(argv, &n, six);
	if (!user->ipv4 || !user->ipv6)
		argv[n++] = user->ipv4 ? "--ipv4-only" : "--ipv6-only";
	snprintf(socket_text, sizeof(socket_text), "%d", fds[0]);
	snprintf(ready_text, sizeof(ready_text), "/proc/self/fd/%d", fds[1]);
	argv[n++] = "--fd";
	argv[n++] = socket_text;
	argv[n++] = "--pid";
	argv[n++] = ready_text;
	add_ports(user, argv, &n);
	spawn.path = path;
	spawn.argv = (char *const *)(uintptr_t)argv;
	spawn.fds = fds;
	spawn.n_fds = 2;
	spawn.out = null;
	spawn.err = fds[2];
	return spawn_start(&spawn, null, e);
}

/*
 * passt knows the guest's address from what it sends, and delivers to nobody before that: it could
 * wait for long, if it only serves. So it is announced (RFC 5227), as the guest would do it.
 */
static int announce(int sock, const uint8_t *mac)
{
	struct {
		uint32_t len_bytes; /* the socket's framing */
		uint8_t to[6], from[6], type[2];
		uint8_t kinds[8], sender[6], ip[4], none[6], target[4];
	} __attribute__((packed)) frame = {
		.to = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		.type = {8, 6},
		.kinds = {0, 1, 8, 0, 6, 4, 0, 1},
	};

	frame.len_bytes = htonl(sizeof(frame) - sizeof(frame.len_bytes));
	memcpy(frame.from, mac, sizeof(frame.from));
	memcpy(frame.sender, mac, sizeof(frame.sender));
	inet_pton(AF_INET, ADDRESS, frame.ip);
	inet_pton(AF_INET, ADDRESS, frame.target);
	return fd_write_all(sock, &frame, sizeof(frame));
}

int net_user_start(const struct net_user *user, const char *passt, const struct spawn *base,
	int null, pid_t *pid, int *stream, struct err *e)
{
	int pair[2], ends[2];
	char path[PATH_MAX], word[16], why[512];

	int ret = programs_which(passt ? passt : NET_USER_PASST, path, e);
	if (ret < 0)
		return err_add(e, "--network=user needs passt (Debian: passt)");
	cleanup_close int log = open_log();
	if (log < 0)
		return err_sys(e, -log, "passt: its log");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "socket");
	cleanup_close int own = pair[0], its = pair[1];
	ret = open_ready(ends);
	if (ret < 0)
		return err_sys(e, -ret, "pipe");
	cleanup_close int ready = ends[0], tell = ends[1];
	const int fds[3] = {its, tell, log};
	*pid = start(user, path, base, fds, null, e);
	if (*pid < 0)
		return *pid;
	fd_closep(&tell);
	struct pollfd poller = {.fd = ready, .events = POLLIN};
	if (poll(&poller, 1, PATIENCE_MS) > 0 && read(ready, word, sizeof(word)) > 0) {
		ret = announce(own, user->mac);
		*stream = steal_fd(&own);
		return ret < 0 ? err_sys(e, -ret, "passt: its socket") : 0;
	}
	kill(*pid, SIGKILL);
	waitpid(*pid, NULL, 0);
	*pid = 0;
	last_words(log, why, sizeof(why));
	return err_set(e, EIO, "--network=user: passt: %s", why);
}
