/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock's system calls, which the C library does not have; see landlock.h. */
#include "microvm/confine/landlock.h"

#include <linux/landlock.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

long landlock_version(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

void landlock_no_sockets(struct landlock_rules *rules, long version)
{
	if (version >= 4)
		rules->handled_access_net = LANDLOCK_NET_TCP;
	if (version >= 6)
		rules->scoped |= LANDLOCK_SCOPE_SOCKETS;
}

int landlock_create(const struct landlock_rules *rules)
{
	return (int)syscall(SYS_landlock_create_ruleset, rules, sizeof(*rules), 0);
}

int landlock_allow_connect(int ruleset, uint16_t port)
{
	const struct {
		uint64_t allowed_access, port;
	} rule = {.allowed_access = LANDLOCK_NET_CONNECT, .port = port};

	return (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PORT, &rule, 0);
}

int landlock_restrict(int ruleset)
{
	return (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
}
