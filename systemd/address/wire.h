/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The address on the wire: ARP for IPv4, neighbour discovery for IPv6. Whole packets are sent, so that nothing depends on
 * the addresses that the host has at that moment: the link-local one of IPv6 may still be tentative.
 */

#include "kernel.h"
#include "vip.h"

#define WIRE_MAC_TEXT_SIZE 18

/* A socket on that interface that hears only those who claim the address. Returns it or -errno. */
int wire_open(int index, const struct vip *vip);

/* Tells everybody on the link that the address is at link->mac: a gratuitous ARP, or an unsolicited advertisement. 0 or -errno. */
int wire_announce(int fd, const struct link *link, const struct vip *vip);

/*
 * Asks who has the address, for wait_ms. Returns 0: nobody answered; 1: somebody did, whose MAC address is in ret_other;
 * or -errno.
 */
int wire_ask(int fd, const struct link *link, const struct vip *vip, int wait_ms,
	     char ret_other[WIRE_MAC_TEXT_SIZE]);

/* Takes one packet, if there is one. Returns whether somebody else claims the address in it. */
bool wire_hear(int fd, const struct link *link, char ret_other[WIRE_MAC_TEXT_SIZE]);
