/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network namespaces, a container's network that is kept in step with one, and devices that move
 * there: in namespaces that the test makes, so it needs root (else it is skipped), /dev/net/tun and
 * iproute2. What is found in a namespace is in test_runtime_net_scan.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "runtime/net_devices.h"
#include "runtime/net_tap.h"
#include "runtime/net_wire.h"
#include "runtime/network.h"
#include "tests/unit/support/net_place.h"

static void test_netns(void **state)
{
	struct netns_id a, b;
	struct err e;
	int fds[3];

	(void)state;
	assert_int_equal(netns_open("/no/such", &e), -ENOENT);
	assert_non_null(strstr(e.text, "/no/such"));
	assert_int_equal(netns_open("/proc/self/ns/uts", &e), -EINVAL);
	assert_int_equal(netns_open("/dev/null", &e), -EINVAL);
	NET_PLACE_NEEDS_ROOT();
	cleanup_close int one = netns_new(&e), two = netns_new(&e);
	cleanup_close int own = netns_open("/proc/self/ns/net", &e);
	assert_true(one >= 0 && two >= 0 && own >= 0);
	assert_int_equal(netns_identify(one, &a), 0);
	assert_int_equal(netns_identify(two, &b), 0);
	assert_true(netns_same(&a, &a));
	assert_false(netns_same(&a, &b));
	/* We are where we were. */
	cleanup_close int again = netns_open("/proc/self/ns/net", &e);
	assert_int_equal(netns_identify(own, &a), 0);
	assert_int_equal(netns_identify(again, &b), 0);
	assert_true(netns_same(&a, &b));
	assert_int_equal(netns_files(one, NETNS_ROUTE, fds, 3, &e), 0);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	cleanup_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(netns_files(null, NETNS_ROUTE, fds, 1, &e) < 0);
	assert_non_null(strstr(e.text, "network namespace"));
}

/* A network with a state directory, two net devices and nothing to wire yet. */
static void make_network(struct net_place *p, struct network *net, struct net_tap taps[2], int dir)
{
	struct err e;

	memset(net, 0, sizeof(*net));
	assert_int_equal(netns_identify(p->ns, &net->id), 0);
	for (net->n = 0; net->n < 2; net->n++) {
		struct network_device *device = &net->devices[net->n];
		net_place_tap(p, &taps[net->n], 1);
		device->tap = taps[net->n].index;
		memcpy(device->tap_name, taps[net->n].name, sizeof(device->tap_name));
		assert_int_equal(network_make_mac(device->mac), 0);
	}
	assert_int_equal(network_save(net, dir, &e), 0);
}

/* What is to be told, NULL; the guest may have it, or not. */
static json_t *sync_now(struct net_place *p, int dir, bool tell)
{
	cleanup_change struct network_change change = {.lock = -1};
	struct err e;

	if (network_sync(dir, &p->rt, false, &change, &e) < 0)
		fail_msg("%s", e.text);
	/* Nobody else may tell it anything meanwhile. */
	cleanup_close int other = openat(dir, "network.lock", O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(other, LOCK_EX | LOCK_NB), change.network ? -1 : 0);
	if (tell && change.network)
		assert_int_equal(network_told(dir, &change, &e), 0);
	return json_incref(change.network);
}

static void close_taps(struct net_tap taps[2])
{
	net_tap_close(&taps[0]);
	net_tap_close(&taps[1]);
}

/* The namespace, and the directory with what the network has left in it. */
static void leave(struct net_place *p, int dir, const char *path)
{
	net_place_leave(p);
	unlinkat(dir, "network.json", 0);
	unlinkat(dir, "network.lock", 0);
	assert_int_equal(rmdir(path), 0);
}

/* A look, and whether it finds anything. */
static bool sync_finds(struct net_place *p, int dir)
{
	cleanup_change struct network_change change = {.lock = -1};
	struct err e;

	if (network_sync(dir, &p->rt, false, &change, &e) < 0)
		fail_msg("%s", e.text);
	return change.found;
}

/* A file that is written is another one. */
static int on_record(int dir)
{
	int fd = openat(dir, "network.json", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static bool still_on_record(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_nlink == 1;
}

/*
 * What a guest can bring about at will, the offloads and queues of its tap, is told by the kernel
 * as changes of the tap, but is none of the network: nothing is written.
 */
static void test_nothing_new(void **state)
{
	char path[] = "/tmp/hvrun-network-XXXXXX";
	struct net_place p;
	struct network net;
	struct net_tap taps[2];

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	assert_non_null(mkdtemp(path));
	cleanup_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	net_place_enter(&p, NET_PLACE_QUIET);
	make_network(&p, &net, taps, dir);
	cleanup_close int empty = on_record(dir);
	assert_true(sync_finds(&p, dir));
	assert_false(still_on_record(empty));
	cleanup_close int file = on_record(dir);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(
			ioctl(taps[0].queues[0], TUNSETOFFLOAD, i % 2 ? 0 : TUN_F_CSUM), 0);
		assert_false(sync_finds(&p, dir));
		assert_true(still_on_record(file));
	}
	/* A wire that somebody has cut is something, though the record is the same. */
	net_place_run(&p, "tc qdisc del dev eth0 ingress");
	assert_true(sync_finds(&p, dir));
	assert_true(still_on_record(file));
	assert_false(sync_finds(&p, dir));
	net_place_run(&p, "ip addr add 10.1.2.4/24 dev eth0");
	assert_true(sync_finds(&p, dir));
	assert_false(still_on_record(file));
	network_fini(&net);
	close_taps(taps);
	leave(&p, dir, path);
}

static size_t n_interfaces(const json_t *network)
{
	return json_array_size(json_object_get(network, "interfaces"));
}

/* Which must fail, and with complete tells the guest nothing. */
static void sync_fails(struct net_place *p, int dir, int code, const char *text)
{
	cleanup_change struct network_change change = {.lock = -1};
	struct err e;

	assert_int_equal(network_sync(dir, &p->rt, true, &change, &e), code);
	assert_null(change.network);
	assert_non_null(strstr(e.text, text));
}

static void test_sync(void **state)
{
	char path[] = "/tmp/hvrun-network-XXXXXX";
	struct net_place p;
	struct network net;
	struct net_tap taps[2];
	struct err e;

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	assert_non_null(mkdtemp(path));
	cleanup_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(network_load(&net, dir, &e), -ENOENT);
	net_place_enter(&p, "true");
	make_network(&p, &net, taps, dir);
	/* Nothing is there; that, too, is something to be told once. */
	json_t *todo = sync_now(&p, dir, true);
	assert_non_null(todo);
	assert_int_equal(n_interfaces(todo), 0);
	json_decref(todo);
	assert_null(sync_now(&p, dir, false));
	net_place_run(&p, NET_PLACE_QUIET);
	todo = sync_now(&p, dir, false);
	assert_string_equal(
		net_place_text(json_array_get(json_object_get(todo, "interfaces"), 0), "name"),
		"eth0");
	/* Until the guest has it, it is still to be told. */
	json_t *same = sync_now(&p, dir, true);
	assert_true(json_equal(todo, same));
	json_decref(same);
	json_decref(todo);
	assert_null(sync_now(&p, dir, false));
	/* The address goes, the device stays; the MTU is the tap's as well. */
	net_place_run(&p, "ip addr flush dev eth0; ip link set eth0 mtu 1300");
	todo = sync_now(&p, dir, true);
	const json_t *entry = json_array_get(json_object_get(todo, "interfaces"), 0);
	assert_int_equal(json_array_size(json_object_get(entry, "addresses")), 0);
	assert_int_equal(json_integer_value(json_object_get(entry, "mtu")), 1300);
	assert_non_null(strstr(net_place_run(&p, "ip link show hv0"), "mtu 1300"));
	json_decref(todo);
	assert_null(sync_now(&p, dir, false));
	/* Two more are one too many. */
	net_place_run(&p,
		"for i in 1 2; do ip link add e$i type veth peer name f$i;"
		"ip addr add 10.3.$i.1/24 dev e$i; done");
	sync_fails(&p, dir, -ENOSPC, "e2: the virtual machine has no net device left");
	todo = sync_now(&p, dir, true);
	assert_int_equal(n_interfaces(todo), 2);
	json_decref(todo);
	net_place_run(&p, "ip link del eth0");
	todo = sync_now(&p, dir, true);
	assert_int_equal(n_interfaces(todo), 2);
	for (size_t i = 0; i < 2; i++)
		assert_string_not_equal(
			net_place_text(
				json_array_get(json_object_get(todo, "interfaces"), i), "name"),
			"eth0");
	json_decref(todo);
	network_fini(&net);
	assert_int_equal(network_load(&net, dir, &e), 0);
	assert_int_equal(net.n, 2);
	assert_int_equal(net.devices[0].tap, taps[0].index);
	assert_int_equal(network_part(&net, &p.rt), 0);
	network_fini(&net);
	close_taps(taps);
	assert_null(strstr(net_place_run(&p, "tc qdisc show"), "ingress"));
	leave(&p, dir, path);
}

/* One that is another machine's is no reason to leave the others; when it is free, it comes. */
static void test_one_fails(void **state)
{
	char path[] = "/tmp/hvrun-network-XXXXXX";
	struct net_place p;
	struct network net;
	struct net_tap taps[2], other;
	struct net_scan found;
	struct err e;

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	assert_non_null(mkdtemp(path));
	cleanup_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	net_place_enter(
		&p, "ip link add eth9 type veth peer name far; ip addr add 10.9.0.1/24 dev eth9");
	make_network(&p, &net, taps, dir);
	net_place_tap(&p, &other, 1);
	net_place_scan(&p, &found);
	struct net_wire wire = {
		.interface = net_place_interface(&found, "eth9"), .tap = other.index};
	assert_int_equal(net_wire_join(&p.rt, &wire, &e), 0);
	net_place_run(&p, NET_PLACE_QUIET);
	for (int twice = 0; twice < 2; twice++) {
		cleanup_change struct network_change change = {.lock = -1};
		assert_int_equal(network_sync(dir, &p.rt, false, &change, &e), -EBUSY);
		assert_non_null(strstr(e.text, "eth9: is in use"));
		assert_int_equal(n_interfaces(change.network), twice ? 0 : 1);
		if (change.network)
			assert_int_equal(network_told(dir, &change, &e), 0);
	}
	sync_fails(&p, dir, -EBUSY, "eth9: is in use");
	net_tap_close(&other);
	json_t *todo = sync_now(&p, dir, true);
	assert_int_equal(n_interfaces(todo), 2);
	json_decref(todo);
	network_fini(&net);
	net_scan_fini(&found);
	close_taps(taps);
	leave(&p, dir, path);
}

static void test_net_devices(void **state)
{
	struct net_place p, host;
	struct net_devices *moved = NULL;
	struct err e;
	json_t *names;

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	net_place_enter(&host,
		"ip link add phys0 type veth peer name phys1; ip addr add 10.5.0.1/24 dev phys0;"
		"ip addr add fd05::1/64 dev phys0 nodad; ip addr add 10.6.0.1/24 scope link "
		"dev phys0; ip link set phys0 up; ip tuntap add tun0 mode tun; ip link add br0 "
		"type "
		"bridge; ip link add port type veth peer name port2; ip link set port master br0");
	net_place_enter(&p, "ip link add taken type veth peer name taken2");
	cleanup_json json_t *devices = json_pack("{s:{s:s}}", "phys0", "name", "eth7");
	cleanup_json json_t *missing = json_pack("{s:{}}", "no0");
	cleanup_json json_t *taken = json_pack("{s:{s:s}}", "phys0", "name", "taken");
	cleanup_json json_t *tun = json_pack("{s:{}}", "tun0");
	cleanup_json json_t *port = json_pack("{s:{}}", "port");
	cleanup_json json_t *second = json_pack("{s:{s:s}, s:{}}", "phys0", "name", "eth6", "no0");
	/* The devices are those of the caller's namespace: so that is another process. */
	pid_t pid = fork();
	if (pid == 0) {
		if (setns(host.ns, CLONE_NEWNET) < 0 ||
			net_devices_move(missing, p.ns, &moved, &names, &e) != -ENODEV ||
			!strstr(e.text, "config.json: linux.netDevices.no0: ") ||
			net_devices_move(tun, p.ns, &moved, &names, &e) != -ENOTSUP ||
			!strstr(e.text, "linux.netDevices.tun0: is no Ethernet interface") ||
			net_devices_move(port, p.ns, &moved, &names, &e) != -EBUSY ||
			!strstr(e.text, "linux.netDevices.port: is part of another interface") ||
			net_devices_move(taken, p.ns, &moved, &names, &e) != -EEXIST ||
			net_devices_move(second, p.ns, &moved, &names, &e) != -ENODEV || moved ||
			net_devices_move(devices, p.ns, &moved, &names, &e) < 0)
			_exit(1);
		/* A later failure: all is as it was, and can be done again. */
		net_devices_undo(moved, p.ns);
		json_decref(names);
		if (system("ip addr show phys0 | grep -q 10.5.0.1/24 && ip addr show phys0 | grep "
			   "-q "
			   "fd05::1/64 && ip link show phys0 | grep -q ,UP") != 0 ||
			net_devices_move(devices, p.ns, &moved, &names, &e) < 0 ||
			strcmp(json_string_value(json_array_get(names, 0)), "eth7") != 0)
			_exit(1);
		net_devices_free(moved);
		json_decref(names);
		_exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	const char *text = net_place_run(&p, "ip addr show eth7");
	assert_non_null(strstr(text, "10.5.0.1/24"));
	assert_non_null(strstr(text, "fd05::1/64"));
	assert_null(strstr(text, "10.6.0.1"));
	assert_non_null(strstr(text, ",UP"));
	assert_null(strstr(net_place_run(&host, "ip -br link"), "phys0"));
	net_place_leave(&host);
	net_place_leave(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_netns),
		cmocka_unit_test(test_sync),
		cmocka_unit_test(test_nothing_new),
		cmocka_unit_test(test_one_fails),
		cmocka_unit_test(test_net_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
