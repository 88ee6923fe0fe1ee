/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_internal.h"

#include <stdint.h>

/* ListUnitsByNames: the states of several units, as of one moment. */

#define ROW "(ssssssouso)"

void bus_list_begin(struct bus *b, struct bus_list *ret_list)
{
	ret_list->message = NULL;
	ret_list->error = sd_bus_message_new_method_call(b->bus, &ret_list->message, SYSTEMD,
							 MANAGER_PATH, MANAGER, "ListUnitsByNames");
	if (ret_list->error >= 0)
		ret_list->error = sd_bus_message_open_container(ret_list->message, 'a', "s");
}

void bus_list_add(struct bus_list *list, const char *unit)
{
	if (list->error >= 0)
		list->error = sd_bus_message_append(list->message, "s", unit);
}

int bus_list_send(struct bus *b, struct bus_list *list, sd_bus_message_handler_t handler)
{
	int r = list->error;

	if (r >= 0)
		r = sd_bus_message_close_container(list->message);
	if (r >= 0)
		r = sd_bus_call_async(b->bus, NULL, list->message, handler, b, 0);
	list->message = sd_bus_message_unref(list->message);
	return r;
}

bool bus_list_read(sd_bus_message *message)
{
	return !sd_bus_message_is_method_error(message, NULL) &&
	       sd_bus_message_enter_container(message, 'a', ROW) > 0;
}

bool bus_list_read_row(sd_bus_message *message, struct bus_row *ret_row)
{
	struct bus_row row;
	const char *skip;
	uint32_t id;

	if (sd_bus_message_read(message, ROW, &row.name, &skip, &skip, &row.active, &skip, &skip,
				&skip, &id, &row.job, &skip) <= 0)
		return false;
	*ret_row = row;
	return true;
}
