/* SPDX-License-Identifier: Apache-2.0 */
#include "zkh_tunnel.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/fnv.h"

void zkh_tunnel_address(uint64_t tunnel, const struct zkh_server *server,
			char ret_address[ZKH_TUNNEL_ADDRESS_SIZE])
{
	uint64_t hash = fnv_add(FNV_START, &tunnel, sizeof(tunnel));
	unsigned bits;

	assert(tunnel != 0);
	hash = fnv_add(hash, server->host, strlen(server->host) + 1);
	hash = fnv_add(hash, server->port, strlen(server->port));
	bits = (unsigned)(hash ^ hash >> 24 ^ hash >> 48);
	/* Neither 127.0.x.y, which others use, nor an address that ends with 0 or 255. */
	(void)snprintf(ret_address, ZKH_TUNNEL_ADDRESS_SIZE, "127.%u.%u.%u",
		       1 + (bits >> 16 & 0xff) % 254, bits >> 8 & 0xff, 1 + (bits & 0xff) % 254);
}

void zkh_tunnel_name(uint64_t tunnel, const char *servers, const char *address,
		     char ret_text[ZKH_SERVER_TEXT_SIZE])
{
	char at[ZKH_TUNNEL_ADDRESS_SIZE];
	struct zkh_server server;

	while (tunnel != 0 && zkh_server_next(&servers, &server) == 0) {
		size_t n;

		zkh_tunnel_address(tunnel, &server, at);
		n = strlen(at);
		if (strncmp(address, at, n) == 0 && strcmp(address + n, ":" ZKH_TUNNEL_PORT) == 0) {
			(void)snprintf(ret_text, ZKH_SERVER_TEXT_SIZE,
				       strchr(server.host, ':') != NULL ? "[%s]:%s" : "%s:%s",
				       server.host, server.port);
			return;
		}
	}
	(void)snprintf(ret_text, ZKH_SERVER_TEXT_SIZE, "%s", address);
}
