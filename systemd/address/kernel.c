/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/ip.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_S 1
#define ANSWER_SIZE 32768
#define DUMPS_MAX 10   /* each was disturbed by a change */
#define REMOVALS_MAX 8 /* IPv4 knows one address with several prefix lengths */

struct request {
	struct nlmsghdr head;
	union {
		struct ifaddrmsg address;
		struct ifinfomsg link;
	};
	char attributes[128];
};

typedef void (*message_fn)(const struct nlmsghdr *message, void *userdata);

/* -- sockets and requests -- */

static int open_socket(uint32_t groups)
{
	const struct sockaddr_nl here = { .nl_family = AF_NETLINK, .nl_groups = groups };
	const struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_S };
	const int on = 1;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	/* A dump then holds the addresses of the interface that was asked for; older kernels send all of them. */
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    bind(fd, (const struct sockaddr *)&here, sizeof(here)) < 0) {
		int error = errno;

		(void)close(fd);
		return -error;
	}
	return fd;
}

int kernel_open(void)
{
	return open_socket(0);
}

int kernel_watch(void)
{
	return open_socket(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR);
}

static void begin(struct request *request, uint16_t type, uint16_t flags, size_t body)
{
	memset(request, 0, sizeof(*request));
	request->head.nlmsg_type = type;
	request->head.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	request->head.nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
}

static void put(struct request *request, uint16_t type, const void *data, size_t length)
{
	struct rtattr *attribute = (void *)((char *)request + NLMSG_ALIGN(request->head.nlmsg_len));

	attribute->rta_type = type;
	attribute->rta_len = (uint16_t)RTA_LENGTH(length);
	memcpy(RTA_DATA(attribute), data, length);
	request->head.nlmsg_len =
		(uint32_t)(NLMSG_ALIGN(request->head.nlmsg_len) + RTA_ALIGN(attribute->rta_len));
}

static const struct nlmsghdr *next_message(const struct nlmsghdr *message, ssize_t *left)
{
	*left -= NLMSG_ALIGN(message->nlmsg_len);
	return (const void *)((const char *)message + NLMSG_ALIGN(message->nlmsg_len));
}

/* The value behind the fixed part, of `body` bytes, that has this type and length; NULL: there is none. */
static const void *find_value(const struct nlmsghdr *message, size_t body, uint16_t type,
			      size_t length)
{
	size_t offset = NLMSG_SPACE(body);

	while (offset + sizeof(struct rtattr) <= message->nlmsg_len) {
		const struct rtattr *attribute = (const void *)((const char *)message + offset);

		if (attribute->rta_len < sizeof(*attribute) ||
		    attribute->rta_len > message->nlmsg_len - offset)
			return NULL;
		if (attribute->rta_type == type && RTA_PAYLOAD(attribute) == length)
			return RTA_DATA(attribute);
		offset += RTA_ALIGN(attribute->rta_len);
	}
	return NULL;
}

/* Returns 1 when more messages follow, 0 at the end, or the kernel's -errno; -EINTR: a dump that was disturbed. */
static int take_message(const struct nlmsghdr *message, message_fn take, void *userdata)
{
	if (message->nlmsg_flags & NLM_F_DUMP_INTR)
		return -EINTR;
	if (message->nlmsg_type == NLMSG_DONE)
		return 0;
	if (message->nlmsg_type == NLMSG_ERROR)
		return ((const struct nlmsgerr *)NLMSG_DATA(message))->error;
	if (take)
		take(message, userdata);
	return 1;
}

static int ask(int fd, struct request *request, message_fn take, void *userdata)
{
	static uint32_t sequence;
	_Alignas(struct nlmsghdr) char answer[ANSWER_SIZE];

	request->head.nlmsg_seq = ++sequence;
	if (send(fd, request, request->head.nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		ssize_t n = recv(fd, answer, sizeof(answer), 0);
		const struct nlmsghdr *message = (void *)answer;

		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		for (; NLMSG_OK(message, n); message = next_message(message, &n)) {
			int r = message->nlmsg_seq == sequence
					? take_message(message, take, userdata)
					: 1;

			if (r <= 0)
				return r;
		}
	}
}

/* -- interfaces -- */

static void take_link(const struct nlmsghdr *message, void *userdata)
{
	const struct ifinfomsg *info = NLMSG_DATA(message);
	const void *mac = find_value(message, sizeof(*info), IFLA_ADDRESS, ETH_ALEN);
	struct link *link = userdata;

	link->index = info->ifi_index;
	link->ethernet = info->ifi_type == ARPHRD_ETHER;
	link->up = info->ifi_flags & IFF_UP;
	link->carrier = info->ifi_flags & IFF_LOWER_UP;
	if (mac)
		memcpy(link->mac, mac, ETH_ALEN);
}

static int ask_link(int fd, int index, const char *name, struct link *ret_link)
{
	const uint32_t brief = RTEXT_FILTER_SKIP_STATS;
	struct request request;
	int r;

	/* The acknowledgement ends the answer. */
	begin(&request, RTM_GETLINK, NLM_F_ACK, sizeof(request.link));
	request.link.ifi_index = index;
	if (name)
		put(&request, IFLA_IFNAME, name, strlen(name) + 1);
	put(&request, IFLA_EXT_MASK, &brief, sizeof(brief));
	memset(ret_link, 0, sizeof(*ret_link));
	r = ask(fd, &request, take_link, ret_link);
	return r == -ENODEV ? 0 : r;
}

int kernel_find_link(int fd, int index, const char *name, struct link *ret_link)
{
	struct link link = { 0 };
	int r = 0;

	if (index)
		r = ask_link(fd, index, NULL, &link);
	if (r == 0 && !link.index)
		r = ask_link(fd, 0, name, &link);
	if (r == 0)
		*ret_link = link;
	return r;
}

/* -- addresses -- */

struct search {
	const struct vip *vip;
	int index;
	struct vip_state state;
};

static void take_address(const struct nlmsghdr *message, void *userdata)
{
	const struct ifaddrmsg *info = NLMSG_DATA(message);
	struct search *search = userdata;
	size_t length = vip_length(search->vip);
	const void *address = find_value(message, sizeof(*info), IFA_LOCAL, length);

	if (!address) /* with both, this one is the other end of a point-to-point link */
		address = find_value(message, sizeof(*info), IFA_ADDRESS, length);
	if (!address || memcmp(address, search->vip->bytes, length) != 0 ||
	    info->ifa_index != (unsigned)search->index)
		return;
	search->state.present = true;
	search->state.prefix = info->ifa_prefixlen;
}

int kernel_find_address(int fd, int index, const struct vip *vip, struct vip_state *ret_state)
{
	int r = -EINTR;

	for (int i = 0; i < DUMPS_MAX && r == -EINTR; i++) {
		struct search search = { .vip = vip, .index = index };
		struct request request;

		begin(&request, RTM_GETADDR, NLM_F_DUMP, sizeof(request.address));
		request.address.ifa_family = (uint8_t)vip->family;
		request.address.ifa_index = (unsigned)index;
		r = ask(fd, &request, take_address, &search);
		if (r == -ENODEV)
			r = 0; /* and with it the address */
		if (r == 0)
			*ret_state = search.state;
	}
	return r;
}

static void begin_address(struct request *request, uint16_t type, uint16_t flags, int index,
			  const struct vip *vip, unsigned prefix)
{
	begin(request, type, (uint16_t)(NLM_F_ACK | flags), sizeof(request->address));
	request->address.ifa_family = (uint8_t)vip->family;
	request->address.ifa_prefixlen = (uint8_t)prefix;
	request->address.ifa_index = (unsigned)index;
	put(request, IFA_LOCAL, vip->bytes, vip_length(vip));
}

int kernel_add_address(int fd, int index, const struct vip *vip)
{
	const struct ifa_cacheinfo unpreferred = { .ifa_prefered = 0, .ifa_valid = UINT32_MAX };
	struct request request;

	begin_address(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, index, vip, vip->prefix);
	put(&request, IFA_ADDRESS, vip->bytes, vip_length(vip));
	if (vip->family == AF_INET6) {
		/* We ask ourselves whether somebody has it: the kernel would take more than a second. */
		request.address.ifa_flags = IFA_F_NODAD;
		put(&request, IFA_CACHEINFO, &unpreferred, sizeof(unpreferred));
	}
	return ask(fd, &request, NULL, NULL);
}

/*
 * By default, Linux removes the first address of an IPv4 network along with all others of that network. The floating one may
 * have become the first: the host's own was removed (ifdown), and came back later.
 */
static void keep_others(int fd, int index)
{
	const struct {
		struct rtattr family, settings, setting;
		uint32_t on;
	} spec = { .family = { sizeof(spec), AF_INET },
		   .settings = { sizeof(spec) - RTA_LENGTH(0), IFLA_INET_CONF },
		   .setting = { RTA_LENGTH(sizeof(uint32_t)), IPV4_DEVCONF_PROMOTE_SECONDARIES },
		   .on = 1 };
	struct request request;

	begin(&request, RTM_SETLINK, NLM_F_ACK, sizeof(request.link));
	request.link.ifi_index = index;
	put(&request, IFLA_AF_SPEC, &spec, sizeof(spec));
	(void)ask(fd, &request, NULL, NULL);
}

int kernel_remove_address(int fd, int index, const struct vip *vip)
{
	if (vip->family == AF_INET)
		keep_others(fd, index);
	for (int i = 0; i < REMOVALS_MAX; i++) {
		struct vip_state state;
		struct request request;
		int r = kernel_find_address(fd, index, vip, &state);

		if (r < 0 || !state.present)
			return r;
		begin_address(&request, RTM_DELADDR, 0, index, vip, state.prefix);
		r = ask(fd, &request, NULL, NULL);
		if (r < 0 && r != -EADDRNOTAVAIL && r != -ENODEV)
			return r;
	}
	return -EEXIST;
}

/* -- news -- */

static bool concerns(const struct nlmsghdr *message, int index)
{
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return index == 0 ||
		       ((const struct ifinfomsg *)NLMSG_DATA(message))->ifi_index == index;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return ((const struct ifaddrmsg *)NLMSG_DATA(message))->ifa_index ==
		       (unsigned)index;
	default:
		return false;
	}
}

bool kernel_take_news(int watch, int index)
{
	_Alignas(struct nlmsghdr) char news[ANSWER_SIZE];
	ssize_t n = recv(watch, news, sizeof(news), MSG_DONTWAIT);

	if (n < 0) /* ENOBUFS: some of it was lost */
		return errno != EAGAIN && errno != EINTR;
	for (const struct nlmsghdr *message = (void *)news; NLMSG_OK(message, n);
	     message = next_message(message, &n))
		if (concerns(message, index))
			return true;
	return false;
}
