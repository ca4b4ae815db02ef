/* SPDX-License-Identifier: Apache-2.0 */
/* See guest_network.h. */
#include "tests/unit/support/guest_network.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"

struct guest network_guest;
struct err network_err;

struct network_config *decode(const char *text)
{
	cleanup_json json_t *json = json_parse(text, strlen(text), 32, &network_err);

	if (!json)
		fail_msg("%s", network_err.text);
	return network_config_decode(json, &network_err);
}

int try(const char *text)
{
	struct network_config *wanted = decode(text);

	if (!wanted)
		fail_msg("%s", network_err.text);
	return guest_network_apply(&network_guest, wanted, &network_err);
}

void apply(const char *text)
{
	if (try(text) < 0)
		fail_msg("%s", network_err.text);
}

void shell(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

/* What a command prints, trailing blanks of the lines taken away. */
static const char *output(const char *command)
{
	static char text[65536];
	size_t used = 0;
	FILE *pipe = popen(command, "r");

	assert_non_null(pipe);
	for (char line[1024]; fgets(line, sizeof(line), pipe);) {
		size_t len = strlen(line);
		while (len && strchr(" \n", line[len - 1]))
			len--;
		assert_true(used + len + 2 < sizeof(text));
		memcpy(text + used, line, len);
		used += len;
		text[used++] = '\n';
	}
	text[used] = '\0';
	pclose(pipe);
	return text;
}

void expect(const char *command, const char *expected)
{
	const char *got = output(command);

	if (strcmp(got, expected) != 0)
		fail_msg("%s:\n%sinstead of:\n%s", command, got, expected);
}

/* A namespace with three net devices, of which two have names that others are to have. */
int network_begin(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	guest_init(&network_guest);
	return system("ip link set lo up && "
		      "ip link add eth1 address 02:00:00:00:00:01 type veth peer name p1 && "
		      "ip link add eth0 address 02:00:00:00:00:02 type veth peer name p2 && "
		      "ip link add eth2 address 02:00:00:00:00:03 type veth peer name p3 && "
		      "for p in p1 p2 p3; do "
		      "echo 1 >/proc/sys/net/ipv6/conf/$p/disable_ipv6; ip link set $p up; done");
}

int network_end(void **state)
{
	(void)state;
	guest_fini(&network_guest);
	return 0;
}
