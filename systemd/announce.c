/* SPDX-License-Identifier: Apache-2.0 */

/*
 *   announce [--probe MILLISECONDS] INTERFACE ADDRESS
 *
 * Tells everybody on the link that ADDRESS lives on INTERFACE: gratuitous ARP for IPv4, an unsolicited neighbour
 * advertisement for IPv6. With --probe it asks instead whether somebody else has it.
 *
 * Exit codes: 0 announced, or nobody has it; 1 somebody has it; 2 usage; 71 it could not be done.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define PROBES 2 /* spread over the time to wait */
#define ETHER 6

struct link {
	int index;
	unsigned char mac[ETHER];
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static int fail(const char *what)
{
	fprintf(stderr, "announce: %s: %s\n", what, strerror(errno));
	return EX_OSERR;
}

static int find_link(const char *interface, struct link *ret)
{
	struct ifreq request = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	ret->index = (int)if_nametoindex(interface);
	r = fd < 0 || !ret->index ? -1 : ioctl(fd, SIOCGIFHWADDR, &request);
	if (fd >= 0)
		close(fd);
	if (r < 0)
		return fail(interface);
	memcpy(ret->mac, request.ifr_hwaddr.sa_data, ETHER);
	return 0;
}

/* Sends PROBES times, listens in between; `is_other` judges what arrives. Returns 0, 1, or EX_OSERR. */
static int ask(int fd, int wait_ms, int (*send_probe)(int fd, const struct link *, const void *),
	       bool (*is_other)(const unsigned char *, size_t, const struct link *, const void *),
	       const struct link *link, const void *address)
{
	unsigned char packet[1500];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t begin_ms = now_ms();

	for (int i = 0; i < PROBES; i++) {
		int64_t until_ms = begin_ms + (int64_t)wait_ms * (i + 1) / PROBES, left_ms;

		if (send_probe(fd, link, address) < 0)
			return fail("probe");
		while ((left_ms = until_ms - now_ms()) > 0 && poll(&p, 1, (int)left_ms) > 0) {
			ssize_t n = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);

			if (n > 0 && is_other(packet, (size_t)n, link, address))
				return 1;
		}
	}
	return 0;
}

/* -- IPv4: ARP -- */

static int send_arp(int fd, const struct link *link, uint16_t operation, in_addr_t sender,
		    in_addr_t target)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ARP),
				  .sll_ifindex = link->index,
				  .sll_halen = ETHER };
	struct ether_arp arp = { .arp_hrd = htons(ARPHRD_ETHER),
				 .arp_pro = htons(ETH_P_IP),
				 .arp_hln = ETHER,
				 .arp_pln = 4,
				 .arp_op = htons(operation) };

	memset(to.sll_addr, 0xff, ETHER);
	memcpy(arp.arp_sha, link->mac, ETHER);
	memcpy(arp.arp_spa, &sender, 4);
	memcpy(arp.arp_tpa, &target, 4);
	if (operation == ARPOP_REPLY)
		memset(arp.arp_tha, 0xff, ETHER);
	return sendto(fd, &arp, sizeof(arp), 0, (struct sockaddr *)&to, sizeof(to)) < 0 ? -1 : 0;
}

static int send_arp_probe(int fd, const struct link *link, const void *address)
{
	in_addr_t target;

	memcpy(&target, address, sizeof(target));
	return send_arp(fd, link, ARPOP_REQUEST, 0, target);
}

static bool is_arp_of_other(const unsigned char *packet, size_t n, const struct link *link,
			    const void *address)
{
	struct ether_arp arp;

	if (n < sizeof(arp))
		return false;
	memcpy(&arp, packet, sizeof(arp));
	return !memcmp(arp.arp_spa, address, 4) && memcmp(arp.arp_sha, link->mac, ETHER) != 0;
}

static int run_ipv4(const struct link *link, struct in_addr address, int wait_ms)
{
	struct sockaddr_ll here = { .sll_family = AF_PACKET,
				    .sll_protocol = htons(ETH_P_ARP),
				    .sll_ifindex = link->index };
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ARP));

	if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0)
		return fail("packet socket");
	if (wait_ms >= 0)
		return ask(fd, wait_ms, send_arp_probe, is_arp_of_other, link, &address);
	/* Some listen to requests, some to replies. */
	if (send_arp(fd, link, ARPOP_REQUEST, address.s_addr, address.s_addr) < 0 ||
	    send_arp(fd, link, ARPOP_REPLY, address.s_addr, address.s_addr) < 0)
		return fail("gratuitous ARP");
	return 0;
}

/* -- IPv6: neighbour discovery -- */

/* Solicitation and advertisement begin alike: header, target, link-layer address. */
struct neighbour {
	struct nd_neighbor_solicit head;
	struct nd_opt_hdr option;
	unsigned char mac[ETHER];
} __attribute__((packed));

static int send_neighbour(int fd, const struct link *link, const struct neighbour *packet,
			  const struct in6_addr *group)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6,
				   .sin6_addr = *group,
				   .sin6_scope_id = (uint32_t)link->index };

	return sendto(fd, packet, sizeof(*packet), 0, (struct sockaddr *)&to, sizeof(to)) < 0 ? -1
											      : 0;
}

static void fill_neighbour(struct neighbour *ret, const struct link *link, uint8_t type,
			   uint8_t option, const struct in6_addr *address)
{
	memset(ret, 0, sizeof(*ret));
	ret->head.nd_ns_type = type;
	ret->head.nd_ns_target = *address;
	ret->option.nd_opt_type = option;
	ret->option.nd_opt_len = 1;
	memcpy(ret->mac, link->mac, ETHER);
}

/* From the link-local address, which the kernel chooses: an answer comes from whoever has the address. */
static int send_solicitation(int fd, const struct link *link, const void *address)
{
	struct in6_addr group = { .s6_addr = { 0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff } };
	struct neighbour packet;

	memcpy(&group.s6_addr[13], (const unsigned char *)address + 13, 3);
	fill_neighbour(&packet, link, ND_NEIGHBOR_SOLICIT, ND_OPT_SOURCE_LINKADDR, address);
	return send_neighbour(fd, link, &packet, &group);
}

static bool is_advertisement(const unsigned char *packet, size_t n, const struct link *link,
			     const void *address)
{
	struct nd_neighbor_advert advert;

	(void)link;
	if (n < sizeof(advert))
		return false;
	memcpy(&advert, packet, sizeof(advert));
	return advert.nd_na_type == ND_NEIGHBOR_ADVERT &&
	       !memcmp(&advert.nd_na_target, address, sizeof(struct in6_addr));
}

static int run_ipv6(const struct link *link, const struct in6_addr *address, int wait_ms)
{
	static const struct in6_addr all_nodes = { .s6_addr = { 0xff, 0x02, [15] = 1 } };
	struct sockaddr_in6 here = { .sin6_family = AF_INET6, .sin6_addr = *address };
	struct icmp6_filter filter;
	struct neighbour packet;
	int hops = 255; /* demanded of neighbour discovery */
	int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);

	ICMP6_FILTER_SETBLOCKALL(&filter);
	ICMP6_FILTER_SETPASS(ND_NEIGHBOR_ADVERT, &filter);
	if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &hops, sizeof(hops)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &link->index, sizeof(link->index)) <
		    0 ||
	    setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter)) < 0)
		return fail("ICMPv6 socket");
	if (wait_ms >= 0)
		return ask(fd, wait_ms, send_solicitation, is_advertisement, link, address);
	if (bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0)
		return fail("the address is not on this host");
	fill_neighbour(&packet, link, ND_NEIGHBOR_ADVERT, ND_OPT_TARGET_LINKADDR, address);
	packet.head.nd_ns_reserved = ND_NA_FLAG_OVERRIDE;
	if (send_neighbour(fd, link, &packet, &all_nodes) < 0)
		return fail("neighbour advertisement");
	return 0;
}

int main(int argc, char *argv[])
{
	struct in_addr v4;
	struct in6_addr v6;
	struct link link;
	int wait_ms = -1, r;

	if (argc == 5 && !strcmp(argv[1], "--probe")) {
		wait_ms = atoi(argv[2]);
		argv += 2;
		argc -= 2;
	}
	if (argc != 3 || wait_ms < -1) {
		fputs("usage: announce [--probe MILLISECONDS] INTERFACE ADDRESS\n", stderr);
		return 2;
	}
	r = find_link(argv[1], &link);
	if (r != 0)
		return r;
	if (inet_pton(AF_INET, argv[2], &v4) == 1) {
		r = run_ipv4(&link, v4, wait_ms);
	} else if (inet_pton(AF_INET6, argv[2], &v6) == 1) {
		r = run_ipv6(&link, &v6, wait_ms);
	} else {
		fprintf(stderr, "announce: '%s' is no address\n", argv[2]);
		return 2;
	}
	if (r == 1)
		fprintf(stderr, "announce: %s is in use by somebody else on %s\n", argv[2],
			argv[1]);
	return r;
}
