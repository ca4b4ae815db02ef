/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces with addresses that the container does not get, or that get nothing; see net_scan.h.
 */
#include "runtime/net_scan_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

/*
 * The interface of this namespace that it gets its frames from, 0: none. That happens after traffic
 * control has had them, so nothing comes when that one is redirected to a tap.
 */
static unsigned parent_of(const struct attrs *attrs)
{
	static const char *const kinds[] = {"macvtap", "ipvlan", "ipvtap", "macsec"};
	const char *kind = scan_info(attrs, IFLA_INFO_KIND);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kind, kinds[i]) == 0 && !attrs->at[IFLA_LINK_NETNSID])
			return scan_number(attrs, IFLA_LINK, 0);
	return 0;
}

/* Those that are too many go without a word. */
static struct oddity *add_oddity(
	struct scanner *s, unsigned index, unsigned parent, const char *name, const char *reason)
{
	if (s->n_oddities == LINKS_MAX)
		return NULL;
	struct oddity *oddity = &s->oddities[s->n_oddities++];
	*oddity = (struct oddity){.index = index, .parent = parent};
	cleanup_json json_t *text = json_text(name);
	snprintf(oddity->name, sizeof(oddity->name), "%s", text ? json_string_value(text) : "?");
	snprintf(oddity->reason, sizeof(oddity->reason), "%s", reason);
	return oddity;
}

static void add_link(struct scanner *s, const struct ifinfomsg *link, unsigned parent,
	const char *name, const char *reason)
{
	(void)add_oddity(s, (unsigned)link->ifi_index, parent, name, reason);
}

void scan_leave(struct scanner *s, const struct net_interface *interface, const char *reason)
{
	struct oddity *oddity = add_oddity(s, interface->index, 0, interface->name, reason);

	if (oddity)
		oddity->addressed = true;
}

bool scan_is_named(struct scanner *s, const struct ifinfomsg *link, const char *name)
{
	cleanup_json json_t *text = json_string(name);

	if (!text)
		add_link(s, link, 0, name, "its name is not UTF-8 text");
	return text != NULL;
}

bool scan_is_of_use(struct scanner *s, const struct ifinfomsg *link, const struct attrs *attrs,
	const char *name)
{
	char reason[64];

	if (link->ifi_type != ARPHRD_ETHER || !scan_has(attrs, IFLA_ADDRESS, NET_MAC_BYTES)) {
		add_link(s, link, 0, name, "it is not an Ethernet interface");
		return false;
	}
	const char *kind = scan_info(attrs, IFLA_INFO_SLAVE_KIND);
	if (scan_has(attrs, IFLA_MASTER, 4) && strcmp(kind, "vrf") != 0) {
		snprintf(reason, sizeof(reason), "it is part of another (%.15s)",
			*kind ? kind : "its master");
		add_link(s, link, 0, name, reason);
		return false;
	}
	unsigned parent = parent_of(attrs);
	if (parent)
		add_link(s, link, parent, name, "");
	return true;
}

void scan_mark(struct scanner *s, const struct ifaddrmsg *address)
{
	for (size_t i = 0; i < s->n_oddities; i++)
		if (s->oddities[i].index == address->ifa_index &&
			address->ifa_scope == RT_SCOPE_UNIVERSE)
			s->oddities[i].addressed = true;
}

static int note_mtu(struct net_interface *interface, json_t *notes)
{
	if (interface->mtu <= NET_MTU_MAX)
		return 0;
	json_t *text = json_sprintf("%s: its MTU of %u is more than a virtual machine's: the "
				    "container has %d",
		interface->name, interface->mtu, NET_MTU_MAX);
	interface->mtu = NET_MTU_MAX;
	return text ? json_array_append_new(notes, text) : -1;
}

int scan_note(const struct scanner *s, struct net_scan *scan)
{
	scan->notes = json_array();
	for (size_t i = 0; i < s->n_oddities; i++) {
		const struct oddity *oddity = &s->oddities[i];
		const struct net_interface *parent = net_scan_find(scan, oddity->parent);
		if (!oddity->addressed || (oddity->parent && !parent))
			continue;
		json_t *text = parent
			? json_sprintf("%s: receives nothing any more: what comes in on %s is the "
				       "container's",
				  oddity->name, parent->name)
			: json_sprintf(
				  "%s: is not the container's: %s", oddity->name, oddity->reason);
		if (!text || json_array_append_new(scan->notes, text) < 0)
			return -ENOMEM;
	}
	for (unsigned i = 0; i < scan->n; i++)
		if (note_mtu(&scan->list[i], scan->notes) < 0)
			return -ENOMEM;
	return scan->notes ? 0 : -ENOMEM;
}
