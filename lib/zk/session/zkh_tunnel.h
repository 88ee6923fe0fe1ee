/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Servers behind a local TLS tunnel, which listens for each of them at an address of its own, 127.x.y.z. The address follows
 * from the server's HOST:PORT and from the number of the tunnel, which tells the tunnels of one host apart. So the client, the
 * configuration of the tunnel and every message agree without a table, and a tunnel that was started for other servers
 * answers at none of these addresses.
 *
 * The port is privileged: another user of the host cannot listen there in the tunnel's place, and get the credential.
 */

#include <stddef.h>
#include <stdint.h>

#include "zkh_resolve.h"

#define ZKH_TUNNEL_PORT "300" /* below those that NFS and others draw from */
#define ZKH_TUNNEL_ADDRESS_SIZE 16

/* Where the tunnel listens for that server: an IPv4 address. tunnel: not 0. */
void zkh_tunnel_address(uint64_t tunnel, const struct zkh_server *server,
			char ret_address[ZKH_TUNNEL_ADDRESS_SIZE]);

/*
 * The HOST:PORT of the list to which the tunnel leads from "ADDRESS:PORT"; that text itself if there is none, or no tunnel
 * (0). For people.
 */
#define ZKH_SERVER_TEXT_SIZE (ZKH_HOST_MAX + 8)
void zkh_tunnel_name(uint64_t tunnel, const char *servers, const char *address,
		     char ret_text[ZKH_SERVER_TEXT_SIZE]);
