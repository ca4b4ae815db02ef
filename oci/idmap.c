/* SPDX-License-Identifier: Apache-2.0 */
/* Id mappings; see idmap.h. */
#include "oci/idmap.h"

#include <errno.h>

#include "base/json.h"

struct range {
	json_int_t container, host, size;
};

static int append(json_t *list, json_int_t container, json_int_t host, json_int_t size)
{
	if (size == 0)
		return 0;
	return json_array_append_new(list,
		json_pack(
			"{s:I, s:I, s:I}", "containerID", container, "hostID", host, "size", size));
}

static int append_moved(json_t *list, const struct range *r, json_int_t own)
{
	json_int_t before = own - r->host;

	if (own < r->host || own >= r->host + r->size)
		return append(list, r->container, r->host, r->size);
	int ret = append(list, r->container, r->host, before);
	if (ret == 0)
		ret = append(list, r->container + before, 0, 1);
	if (ret == 0)
		ret = append(list, r->container + before + 1, own + 1, r->size - before - 1);
	return ret;
}

int oci_idmap_own_as_root(json_t *mappings, uint32_t own, struct err *e)
{
	cleanup_json json_t *moved = json_array();

	if (own == 0)
		return 0;
	for (size_t i = 0; i < json_array_size(mappings); i++) {
		const json_t *entry = json_array_get(mappings, i);
		struct range r = {
			.container = json_integer_value(json_object_get(entry, "containerID")),
			.host = json_integer_value(json_object_get(entry, "hostID")),
			.size = json_integer_value(json_object_get(entry, "size")),
		};
		if (r.host == 0 && r.size > 0)
			return err_set(e, EPERM,
				"[%zu].hostID: 0 is not an id that user %u can give away", i, own);
		if (append_moved(moved, &r, own) < 0)
			return err_sys(e, ENOMEM, "id mappings");
	}
	if (mappings && (json_array_clear(mappings) < 0 || json_array_extend(mappings, moved) < 0))
		return err_sys(e, ENOMEM, "id mappings");
	return 0;
}
