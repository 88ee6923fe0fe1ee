/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define PROBES 2    /* spread over the time to wait */
#define TESTS_MAX 6 /* of one filter */

/* Solicitation and advertisement begin alike: header, target, link-layer address. */
struct neighbour {
	struct ip6_hdr ip;
	struct nd_neighbor_advert head;
	struct nd_opt_hdr option;
	unsigned char mac[ETH_ALEN];
} __attribute__((packed));

static uint16_t protocol_of(const struct vip *vip)
{
	return vip->family == AF_INET ? ETH_P_ARP : ETH_P_IPV6;
}

/* -- hearing -- */

struct filter {
	struct sock_filter code[2 * TESTS_MAX + 2];
	unsigned short n;
};

/* Packets in which the field has another value are dropped; `size`: BPF_B or BPF_W. */
static void want(struct filter *filter, unsigned short size, size_t offset, uint32_t value)
{
	const struct sock_filter load = BPF_STMT(BPF_LD | BPF_ABS | size, (uint32_t)offset);
	const struct sock_filter compare = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 0);

	filter->code[filter->n++] = load;
	filter->code[filter->n++] = compare;
}

static void finish(struct filter *filter)
{
	const struct sock_filter take = BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
	const struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);

	for (unsigned i = 1; i < filter->n; i += 2)
		filter->code[i].jf = (unsigned char)(filter->n - i);
	filter->code[filter->n++] = take;
	filter->code[filter->n++] = drop;
}

/* The kernel drops all but claims of the address: on a busy link nobody is woken in vain. */
static int attach_filter(int fd, const struct vip *vip)
{
	struct filter filter = { .n = 0 };
	struct sock_fprog program = { .filter = filter.code };
	size_t offset = offsetof(struct ether_arp, arp_spa);

	if (vip->family == AF_INET6) {
		want(&filter, BPF_B, offsetof(struct ip6_hdr, ip6_nxt), IPPROTO_ICMPV6);
		want(&filter, BPF_B, offsetof(struct neighbour, head.nd_na_type),
		     ND_NEIGHBOR_ADVERT);
		offset = offsetof(struct neighbour, head.nd_na_target);
	}
	for (size_t i = 0; i < vip_length(vip); i += sizeof(uint32_t)) {
		uint32_t word;

		memcpy(&word, vip->bytes + i, sizeof(word));
		want(&filter, BPF_W, offset + i, ntohl(word));
	}
	finish(&filter);
	program.len = filter.n;
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

int wire_open(int index, const struct vip *vip)
{
	const struct sockaddr_ll here = { .sll_family = AF_PACKET,
					  .sll_protocol = htons(protocol_of(vip)),
					  .sll_ifindex = index };
	/* No protocol yet: nothing is heard before the filter is there. */
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (attach_filter(fd, vip) < 0 ||
	    bind(fd, (const struct sockaddr *)&here, sizeof(here)) < 0) {
		int error = errno;

		(void)close(fd);
		return -error;
	}
	return fd;
}

bool wire_hear(int fd, const struct link *link, char ret_other[WIRE_MAC_TEXT_SIZE])
{
	struct sockaddr_ll from = { 0 };
	socklen_t length = sizeof(from);
	const unsigned char *mac = from.sll_addr;
	char byte;

	if (recvfrom(fd, &byte, sizeof(byte), MSG_DONTWAIT, (struct sockaddr *)&from, &length) <
		    0 ||
	    !memcmp(mac, link->mac, ETH_ALEN))
		return false;
	(void)snprintf(ret_other, WIRE_MAC_TEXT_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0],
		       mac[1], mac[2], mac[3], mac[4], mac[5]);
	return true;
}

/* -- saying -- */

static int send_packet(int fd, const struct link *link, const struct vip *vip,
		       const unsigned char mac[ETH_ALEN], const void *packet, size_t length)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(protocol_of(vip)),
				  .sll_ifindex = link->index,
				  .sll_halen = ETH_ALEN };

	memcpy(to.sll_addr, mac, ETH_ALEN);
	return sendto(fd, packet, length, 0, (struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}

/* From `sender`: NULL for a probe, which must not claim the address. */
static int send_arp(int fd, const struct link *link, const struct vip *vip, uint16_t operation,
		    const unsigned char *sender)
{
	static const unsigned char all[ETH_ALEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct ether_arp arp = { .arp_hrd = htons(ARPHRD_ETHER),
				 .arp_pro = htons(ETH_P_IP),
				 .arp_hln = ETH_ALEN,
				 .arp_pln = 4,
				 .arp_op = htons(operation) };

	memcpy(arp.arp_sha, link->mac, ETH_ALEN);
	memcpy(arp.arp_tpa, vip->bytes, sizeof(arp.arp_tpa));
	if (sender)
		memcpy(arp.arp_spa, sender, sizeof(arp.arp_spa));
	if (operation == ARPOP_REPLY)
		memset(arp.arp_tha, 0xff, ETH_ALEN);
	return send_packet(fd, link, vip, all, &arp, sizeof(arp));
}

/* Of ICMPv6, over the addresses, the payload, and its length and protocol (RFC 4443, 2.3). */
static uint16_t checksum(const struct neighbour *packet, size_t length)
{
	const unsigned char *bytes = (const unsigned char *)packet;
	uint32_t sum = (uint32_t)(length - sizeof(packet->ip)) + IPPROTO_ICMPV6;

	for (size_t i = offsetof(struct ip6_hdr, ip6_src); i < length; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	sum = (sum >> 16) + (sum & 0xffff);
	return htons((uint16_t) ~((sum >> 16) + sum));
}

static int send_neighbour(int fd, const struct link *link, const struct vip *vip,
			  struct neighbour *packet, size_t length)
{
	unsigned char group[ETH_ALEN] = { 0x33, 0x33 };

	packet->ip.ip6_vfc = 6 << 4;
	packet->ip.ip6_plen = htons((uint16_t)(length - sizeof(packet->ip)));
	packet->ip.ip6_nxt = IPPROTO_ICMPV6;
	packet->ip.ip6_hlim = 255; /* demanded of neighbour discovery */
	memcpy(&packet->head.nd_na_target, vip->bytes, sizeof(packet->head.nd_na_target));
	packet->head.nd_na_cksum = checksum(packet, length);
	memcpy(&group[2], &packet->ip.ip6_dst.s6_addr[12], 4);
	return send_packet(fd, link, vip, group, packet, length);
}

/* From the unspecified address, as the kernel asks before it uses one; the answer goes to all nodes. */
static int send_solicitation(int fd, const struct link *link, const struct vip *vip)
{
	struct neighbour packet = {
		.ip.ip6_dst.s6_addr = { 0xff, 0x02, [11] = 1, 0xff, vip->bytes[13], vip->bytes[14],
					vip->bytes[15] },
		.head.nd_na_type = ND_NEIGHBOR_SOLICIT,
	};

	return send_neighbour(fd, link, vip, &packet, offsetof(struct neighbour, option));
}

static int send_advertisement(int fd, const struct link *link, const struct vip *vip)
{
	struct neighbour packet = {
		.ip.ip6_dst.s6_addr = { 0xff, 0x02, [15] = 1 },
		.head = { .nd_na_type = ND_NEIGHBOR_ADVERT,
			  .nd_na_flags_reserved = ND_NA_FLAG_OVERRIDE },
		.option = { .nd_opt_type = ND_OPT_TARGET_LINKADDR, .nd_opt_len = 1 },
	};

	memcpy(&packet.ip.ip6_src, vip->bytes, sizeof(packet.ip.ip6_src));
	memcpy(packet.mac, link->mac, ETH_ALEN);
	return send_neighbour(fd, link, vip, &packet, sizeof(packet));
}

int wire_announce(int fd, const struct link *link, const struct vip *vip)
{
	int r;

	if (vip->family == AF_INET6)
		return send_advertisement(fd, link, vip);
	/* Some listen to requests, some to replies. */
	r = send_arp(fd, link, vip, ARPOP_REQUEST, vip->bytes);
	return r < 0 ? r : send_arp(fd, link, vip, ARPOP_REPLY, vip->bytes);
}

int wire_ask(int fd, const struct link *link, const struct vip *vip, int wait_ms,
	     char ret_other[WIRE_MAC_TEXT_SIZE])
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t begin_us = time_monotonic_us();

	for (int i = 1; i <= PROBES && wait_ms > 0; i++) {
		int64_t until_us = begin_us + INT64_C(1000) * wait_ms * i / PROBES, left_us;
		int r = vip->family == AF_INET6 ? send_solicitation(fd, link, vip)
						: send_arp(fd, link, vip, ARPOP_REQUEST, NULL);

		if (r < 0)
			return r;
		while ((left_us = until_us - time_monotonic_us()) > 0)
			if (poll(&p, 1, (int)(left_us / 1000) + 1) > 0 &&
			    wire_hear(fd, link, ret_other))
				return 1;
	}
	return 0;
}
