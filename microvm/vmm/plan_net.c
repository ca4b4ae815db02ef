/* SPDX-License-Identifier: Apache-2.0 */
/* The plan's network devices. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "microvm/vmm/plan_object.h"

#define PATH_BYTES     32 /* "net[7]." */
#define RATE_MAX_BYTES 1000000000000
#define MAC_CHARS      (3u * NET_MAC_BYTES - 1)

static int hex(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = c ? strchr(digits, c | 0x20) : NULL;

	return at ? (int)(at - digits) : -1;
}

static bool parse_mac(const char *text, uint8_t *mac)
{
	if (strlen(text) != MAC_CHARS)
		return false;
	for (unsigned i = 0; i < NET_MAC_BYTES; i++, text += 3) {
		int high = hex(text[0]), low = hex(text[1]);
		if (high < 0 || low < 0 || (i + 1 < NET_MAC_BYTES && text[2] != ':'))
			return false;
		mac[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static int read_mac(const struct plan *plan, struct plan_object *o, uint8_t *mac)
{
	static const uint8_t none[NET_MAC_BYTES];
	const char *text;
	int ret = plan_take_string(o, "mac", true, MAC_CHARS, &text);

	if (ret < 0)
		return ret;
	if (!parse_mac(text, mac) || (mac[0] & 1) || !memcmp(mac, none, sizeof(none)))
		return plan_wrong(o, "mac", "the address of one interface, as 02:00:00:00:00:01");
	/* The guest tells its devices apart by it. */
	for (unsigned i = 0; i < plan->n_nets; i++)
		if (!memcmp(mac, plan->nets[i].mac, NET_MAC_BYTES))
			return plan_wrong(o, "mac", "another one than that of the devices before");
	return 0;
}

static int read_taps(struct plan_object *o, struct plan_net *net)
{
	const json_t *list = plan_take(o, "taps", true);
	size_t n = json_array_size(list);

	if (!list)
		return -EINVAL;
	if (!json_is_array(list) || !n || n > NET_PAIRS_MAX)
		return plan_wrong(o, "taps", "a list of 1 to 8 descriptors");
	for (size_t i = 0; i < n; i++) {
		const json_t *value = json_array_get(list, i);
		json_int_t number = json_integer_value(value);
		if (!json_is_integer(value) || number < 0 || number > INT32_MAX)
			return plan_wrong(o, "taps", "a list of descriptors");
		int ret = plan_own_fd(o, "taps", number, &net->fds[i]);
		if (ret < 0)
			return ret;
		net->n_fds++;
	}
	return 0;
}

static int read_rate(const struct plan *plan, struct plan_object *o, const char *key, uint64_t *out)
{
	json_int_t rate = 0;

	if (!json_object_get(o->json, key))
		return 0;
	if (plan->emulation)
		return plan_wrong(o, key, "left out with the emulation engine: QEMU keeps no rate");
	int ret = plan_take_integer(o, key, 1, RATE_MAX_BYTES, &rate);
	*out = (uint64_t)rate;
	return ret;
}

static int read_one(struct plan *plan, struct plan_object *o, struct plan_net *net)
{
	json_int_t mtu = 0;
	int ret;

	net->stream = json_object_get(o->json, "stream") != NULL;
	if (net->stream) {
		ret = plan_take_fd(o, "stream", &net->fds[0]);
		net->n_fds = ret ? 0 : 1;
	} else {
		ret = read_taps(o, net);
	}
	if (!ret)
		ret = read_mac(plan, o, net->mac);
	if (!ret)
		ret = plan_take_integer(o, "mtu", NET_MTU_MIN, NET_MTU_MAX, &mtu);
	net->mtu = (uint16_t)mtu;
	if (!ret)
		ret = read_rate(plan, o, "rxBytesPerSecond", &net->rx_bytes_per_s);
	if (!ret)
		ret = read_rate(plan, o, "txBytesPerSecond", &net->tx_bytes_per_s);
	return ret ? ret : plan_finish(o);
}

int plan_read_net(struct plan *plan, struct plan_object *top)
{
	const json_t *list = plan_take(top, "net", false);
	size_t n = json_array_size(list);

	if (!list)
		return 0;
	if (!json_is_array(list) || n > PLAN_NETS_MAX)
		return plan_wrong(top, "net", "a list of at most 8 network devices");
	for (size_t i = 0; i < n; i++) {
		char path[PATH_BYTES];
		struct plan_object o = {.json = json_array_get(list, i), .path = path, .e = top->e};
		snprintf(path, sizeof(path), "net[%zu].", i);
		if (!json_is_object(o.json))
			return plan_wrong(top, "net", "a list of objects");
		int ret = read_one(plan, &o, &plan->nets[i]);
		if (ret < 0)
			return ret;
		plan->n_nets++;
	}
	return 0;
}
