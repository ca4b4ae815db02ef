/* SPDX-License-Identifier: Apache-2.0 */
/* Networks by passt; see net_user.h. */
#include "runtime/net_user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
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
#define NETWORK	    "10.0.2.0"
#define BROADCAST   "10.0.2.255"
#define GATEWAY	    "10.0.2.2"
#define RESOLVER    "10.0.2.3"
#define ADDRESS6    "fd00:10:0:2::15"
#define NETWORK6    "fd00:10:0:2::"
#define GATEWAY6    "fd00:10:0:2::2"
#define RESOLVER6   "fd00:10:0:2::3"
#define LINK_LOCAL6 "fe80::15" /* who connects from the host's loopback is a neighbour there */
#define PREFIX6	    64
#define METRIC6	    256 /* IP6_RT_PRIO_ADDRCONF: what the kernel gives such routes */
#define OWN_MAC	    "02:00:00:00:00:02" /* passt's end of the wire */
#define PORT_MAX    65535
#define LOG_BYTES   4096
#define PATIENCE_MS 20000
/*
 * passt takes as many descriptors as its hard limit allows, and opens them for its guest: two for
 * each TCP connection, a socket and a timer. This is room for about 2000 of them; without it a
 * guest could have as many of the host's sockets, and their buffers, as hvrun's caller may open
 * files.
 */
#define FILES_MAX 4096
#define WORDS_MAX (40 + 2 * NET_USER_PORTS_MAX)

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
	net_user_read_resolvers(user, "/etc/resolv.conf");
	for (unsigned i = 0; i < user->n_ports; i++) {
		const struct net_user_port *port = &user->ports[i];
		if (port->family == (user->ipv4 ? AF_INET6 : AF_INET) &&
			!(user->ipv4 && user->ipv6))
			return err_set(e, ENETUNREACH,
				"--network=user: %s is published for IPv%d, for which there is no "
				"default route here",
				port->text, user->ipv4 ? 6 : 4);
	}
	return 0;
}

void net_user_read_resolvers(struct net_user *user, const char *path)
{
	char line[512], address[INET6_ADDRSTRLEN];
	uint8_t bytes[16];
	FILE *file = fopen(path, "re");

	user->resolver4 = user->resolver6 = false;
	while (file && fgets(line, sizeof(line), file)) {
		/* Behind % is the interface of a link-local one. */
		if (sscanf(line, "nameserver %45[0-9a-fA-F:.]", address) != 1)
			continue;
		user->resolver4 |= inet_pton(AF_INET, address, bytes) == 1;
		user->resolver6 |= inet_pton(AF_INET6, address, bytes) == 1;
	}
	if (file)
		fclose(file);
}

const char *net_user_resolv(const struct net_user *user)
{
	bool four = user->ipv4 && user->resolver4, six = user->ipv6 && user->resolver6;

	if (four && six)
		return "nameserver " RESOLVER "\nnameserver " RESOLVER6 "\n";
	return four || (user->ipv4 && !six) ? "nameserver " RESOLVER "\n"
					    : "nameserver " RESOLVER6 "\n";
}

static int bad_port(const char *text, struct err *e)
{
	return err_set(e, EINVAL,
		"\"%.64s\" is no port: [ADDRESS:]HOST:CONTAINER[/udp], with an IPv4 address or an "
		"IPv6 one in brackets, and ports from 1 to %d",
		text, PORT_MAX);
}

/*
 * Cuts "ADDRESS:" off: *address is NULL where there is none, *ports what is behind it. The
 * address's family, AF_UNSPEC without one, or -EINVAL.
 */
static int cut_address(char *text, const char **address, char **ports)
{
	uint8_t bytes[16];
	bool six = *text == '[';
	char *end = six ? strstr(text, "]:") : strchr(text, ':');

	*address = NULL;
	*ports = text;
	if (!six && (!end || end == strrchr(text, ':')))
		return AF_UNSPEC;
	if (!end)
		return -EINVAL;
	*end = '\0';
	*address = six ? text + 1 : text;
	*ports = end + (six ? 2 : 1);
	int family = six ? AF_INET6 : AF_INET;
	return inet_pton(family, *address, bytes) == 1 ? family : -EINVAL;
}

int net_user_publish(struct net_user *user, const char *text, struct err *e)
{
	char copy[64], *ports;
	const char *address;
	unsigned host, inside;

	if (user->n_ports == NET_USER_PORTS_MAX)
		return err_set(e, E2BIG, "more than %d ports", NET_USER_PORTS_MAX);
	struct net_user_port *port = &user->ports[user->n_ports];
	size_t len = strcspn(text, "/");
	const char *protocol = text + len;
	port->udp = strcmp(protocol, "/udp") == 0;
	if (len >= sizeof(copy) || (*protocol && !port->udp && strcmp(protocol, "/tcp") != 0))
		return bad_port(text, e);
	snprintf(copy, sizeof(copy), "%.*s", (int)len, text);
	port->family = cut_address(copy, &address, &ports);
	char *colon = strchr(ports, ':');
	if (port->family < 0 || !colon)
		return bad_port(text, e);
	*colon = '\0';
	if (options_number(ports, 1, PORT_MAX, &host) < 0 ||
		options_number(colon + 1, 1, PORT_MAX, &inside) < 0)
		return bad_port(text, e);
	port->host = (uint16_t)host;
	snprintf(port->text, sizeof(port->text), "%.45s%s%u:%u", address ? address : "",
		address ? "/" : "", host, inside);
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

static int add_ipv4(json_t *addresses, json_t *routes)
{
	int ret = json_array_append_new(addresses,
		json_pack("{s:s, s:i, s:s, s:i}", "address", ADDRESS, "prefix", 24, "broadcast",
			BROADCAST, "scope", RT_SCOPE_UNIVERSE));

	if (ret == 0)
		ret = json_array_append_new(routes,
			json_pack("{s:s, s:s, s:s, s:i, s:i}", "destination", NETWORK "/24",
				"interface", "eth0", "source", ADDRESS, "scope", RT_SCOPE_LINK,
				"protocol", RTPROT_KERNEL));
	return ret < 0 ? ret
		       : json_array_append_new(routes,
				 json_pack("{s:s, s:s, s:s}", "destination", "0.0.0.0/0", "gateway",
					 GATEWAY, "interface", "eth0"));
}

static int add_ipv6(json_t *addresses, json_t *routes)
{
	static const struct {
		const char *address, *network;
		int scope;
	} all[] = {{ADDRESS6, NETWORK6, RT_SCOPE_UNIVERSE}, {LINK_LOCAL6, "fe80::", RT_SCOPE_LINK}};
	char destination[INET6_ADDRSTRLEN + 4];
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < sizeof(all) / sizeof(all[0]); i++) {
		snprintf(destination, sizeof(destination), "%s/%d", all[i].network, PREFIX6);
		ret = json_array_append_new(addresses,
			json_pack("{s:s, s:i, s:i}", "address", all[i].address, "prefix", PREFIX6,
				"scope", all[i].scope));
		if (ret == 0)
			ret = json_array_append_new(routes,
				json_pack("{s:s, s:s, s:i, s:i}", "destination", destination,
					"interface", "eth0", "metric", METRIC6, "protocol",
					RTPROT_KERNEL));
	}
	return ret < 0 ? ret
		       : json_array_append_new(routes,
				 json_pack("{s:s, s:s, s:s}", "destination", "::/0", "gateway",
					 GATEWAY6, "interface", "eth0"));
}

/* With the routes to its networks as the kernel makes them: the guest is told all that it has. */
json_t *net_user_message(const struct net_user *user)
{
	char mac[NET_MAC_TEXT_BYTES];
	cleanup_json json_t *addresses = json_array(), *routes = json_array();

	if ((user->ipv4 && add_ipv4(addresses, routes) < 0) ||
		(user->ipv6 && add_ipv6(addresses, routes) < 0))
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
	spawn.files_max = FILES_MAX;
	spawn.no_core = true;
	return spawn_start(&spawn, null, e);
}

/* RFC 5227, 2.3: an ARP announcement, behind its length on the socket. */
static int announce_ipv4(int sock, const uint8_t *mac)
{
	struct {
		uint32_t len_be;
		uint8_t to[6], from[6], type[2];
		uint8_t kinds[8], sender[6], ip[4], none[6], target[4];
	} __attribute__((packed)) frame = {
		.len_be = htonl(sizeof(frame) - sizeof(frame.len_be)),
		.to = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		.type = {8, 6},
		.kinds = {0, 1, 8, 0, 6, 4, 0, 1},
	};

	memcpy(frame.from, mac, sizeof(frame.from));
	memcpy(frame.sender, mac, sizeof(frame.sender));
	inet_pton(AF_INET, ADDRESS, frame.ip);
	inet_pton(AF_INET, ADDRESS, frame.target);
	return fd_write_all(sock, &frame, sizeof(frame));
}

/* RFC 4861, 7.2.6: an unsolicited neighbour advertisement to all nodes. */
static int announce_ipv6(int sock, const uint8_t *mac, const char *address)
{
	struct {
		uint32_t len_be;
		uint8_t to[6], from[6], type[2];
		uint8_t version[4], payload[2], next, hops, source[16], all[16];
		uint8_t kind[2], sum[2], flags[4], target[16], option[2], link[6];
	} __attribute__((packed)) frame = {
		.len_be = htonl(sizeof(frame) - sizeof(frame.len_be)),
		.to = {0x33, 0x33, 0, 0, 0, 1},
		.type = {0x86, 0xdd},
		.version = {0x60},
		.payload = {0, 32},
		.next = IPPROTO_ICMPV6,
		.hops = 255,
		.kind = {136},
		.flags = {0x20}, /* override */
		.option = {2, 1},
	};
	const uint8_t *byte = frame.source, *end = (const uint8_t *)(&frame + 1);
	uint32_t sum = 32 + IPPROTO_ICMPV6; /* of the pseudo header, RFC 8200, 8.1 */

	memcpy(frame.from, mac, sizeof(frame.from));
	memcpy(frame.link, mac, sizeof(frame.link));
	inet_pton(AF_INET6, address, frame.source);
	inet_pton(AF_INET6, address, frame.target);
	inet_pton(AF_INET6, "ff02::1", frame.all);
	for (; byte < end; byte += 2)
		sum += (uint32_t)byte[0] << 8 | byte[1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	frame.sum[0] = (uint8_t)(~sum >> 8);
	frame.sum[1] = (uint8_t)~sum;
	return fd_write_all(sock, &frame, sizeof(frame));
}

/*
 * passt knows the guest's link address, and that of IPv6's link, from what it sends, and would
 * deliver elsewhere before that: it could be for long, if the guest only serves. So they are
 * announced, as the guest would do it.
 */
static int announce(const struct net_user *user, int sock)
{
	int ret = 0;

	if (user->ipv4)
		ret = announce_ipv4(sock, user->mac);
	if (user->ipv6 && ret == 0)
		ret = announce_ipv6(sock, user->mac, ADDRESS6);
	if (user->ipv6 && ret == 0)
		ret = announce_ipv6(sock, user->mac, LINK_LOCAL6);
	return ret;
}

/*
 * A port that is published for both families passt takes for the one that it can have, without a
 * word. Who takes the port after this look gets away with it.
 */
static int check_free(const struct net_user_port *port, int family, struct err *e)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port->host)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port->host)};
	bool six = family == AF_INET6;
	int yes = 1;
	cleanup_close int fd =
		socket(family, (port->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(e, errno, "socket");
	if (!port->udp) /* as passt does it: connections that are over are none */
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (six)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes));
	int ret = bind(fd, six ? (struct sockaddr *)&in6 : (struct sockaddr *)&in,
		six ? sizeof(in6) : sizeof(in));
	if (ret == 0 || errno != EADDRINUSE) /* passt itself says what else is the matter */
		return 0;
	return err_set(e, EADDRINUSE,
		"--network=user: port %u (%s, IPv%d) of this host is taken: publish another one",
		port->host, port->udp ? "UDP" : "TCP", six ? 6 : 4);
}

static int check_ports(const struct net_user *user, struct err *e)
{
	int ret = 0;

	for (unsigned i = 0; i < user->n_ports && ret == 0; i++) {
		if (user->ports[i].family != AF_UNSPEC)
			continue;
		if (user->ipv4)
			ret = check_free(&user->ports[i], AF_INET, e);
		if (user->ipv6 && ret == 0)
			ret = check_free(&user->ports[i], AF_INET6, e);
	}
	return ret;
}

int net_user_start(const struct net_user *user, const char *passt, const struct spawn *base,
	int null, pid_t *pid, int *stream, struct err *e)
{
	int pair[2], ends[2];
	char path[PATH_MAX], word[16], why[512];

	int ret = programs_which(passt ? passt : NET_USER_PASST, path, e);
	if (ret < 0)
		return err_add(e, "--network=user needs passt (Debian: passt)");
	ret = check_ports(user, e);
	if (ret < 0)
		return ret;
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
		ret = announce(user, own);
		*stream = steal_fd(&own);
		return ret < 0 ? err_sys(e, -ret, "passt: its socket") : 0;
	}
	kill(*pid, SIGKILL);
	waitpid(*pid, NULL, 0);
	*pid = 0;
	last_words(log, why, sizeof(why));
	return err_set(e, EIO, "--network=user: passt: %s", why);
}
