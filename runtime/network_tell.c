/* SPDX-License-Identifier: Apache-2.0 */
/* Telling the guest about its network; see network_tell.h. */
#include "runtime/network_tell.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "runtime/monitor.h"
#include "runtime/network.h"

#define ROOM_BYTES 4096 /* of a packet, for what is around */

/* What does not fit into a packet goes in a file. */
static int send_file(int sock, const char *text, struct err *e)
{
	cleanup_close int fd = fd_memfile("hvrun-network", text, strlen(text));

	if (fd < 0)
		return err_sys(e, -fd, "network");
	return monitor_send(sock, json_pack("{s:s}", "op", "network"), &fd, 1, e);
}

int network_send(int sock, json_t *network, struct err *e)
{
	cleanup_json json_t *request = json_pack("{s:s, s:O}", "op", "network", "network", network);
	cleanup_free char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;

	if (!text)
		return err_sys(e, ENOMEM, "network");
	if (strlen(text) > MONITOR_MAX_BYTES - ROOM_BYTES)
		return send_file(sock, text, e);
	return monitor_send(sock, json_incref(request), NULL, 0, e);
}

static int tell(int dir, const struct network_change *change, struct err *e)
{
	cleanup_close int sock = monitor_connect(dir, e);

	if (sock < 0)
		return sock;
	int ret = network_send(sock, change->network, e);
	if (ret < 0)
		return ret;
	cleanup_json json_t *reply = monitor_receive(sock, MONITOR_PATIENCE_MS, e);
	if (!reply)
		return e->code ? -e->code : -EPROTO;
	ret = monitor_result(reply, NULL, e);
	return ret < 0 ? ret : network_told(dir, change, e);
}

int network_update(int dir, pid_t monitor, struct err *e)
{
	cleanup_network struct network net = {0};
	cleanup_rtnl struct rtnl rt = {.fd = -1};
	cleanup_change struct network_change change = {.lock = -1};
	struct netns_id id;
	char path[64];

	int ret = network_load(&net, dir, e);
	if (ret < 0)
		return ret == -ENOENT ? 0 : ret;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)monitor);
	cleanup_close int ns = netns_open(path, e);
	if (ns < 0)
		return ns;
	ret = netns_identify(ns, &id);
	if (ret < 0 || !netns_same(&id, &net.id))
		return err_set(e, ESTALE, "%s: is not the container's network namespace", path);
	ret = rtnl_open(&rt, ns, e);
	if (ret == 0)
		ret = network_sync(dir, &rt, true, &change, e);
	if (ret == 0 && change.network)
		ret = tell(dir, &change, e);
	return ret;
}
