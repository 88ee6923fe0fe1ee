/* SPDX-License-Identifier: Apache-2.0 */
#include "vip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

#define RECORD_SIZE 128

size_t vip_length(const struct vip *vip)
{
	return vip->family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
}

/* Neither of these can be the address of one host. */
static bool is_special(const struct vip *vip)
{
	static const unsigned char zero[16];

	if (!memcmp(vip->bytes, zero, vip_length(vip)))
		return true;
	return vip->family == AF_INET ? vip->bytes[0] >= 224 : vip->bytes[0] == 0xff;
}

static const char *parse_prefix(const char *text, struct vip *vip)
{
	unsigned most = 8 * (unsigned)vip_length(vip);
	char *end;

	vip->prefix = most;
	if (!text)
		return NULL;
	vip->prefix = (unsigned)strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || vip->prefix == 0 || vip->prefix > most)
		return "not valid: there is no prefix length of its family after the '/'";
	return NULL;
}

static const char *parse_interface(const char *zone, const char *interface, struct vip *vip)
{
	if (!interface || !*interface)
		interface = zone;
	if (!interface || !*interface)
		return "without an interface: add INTERFACE, such as INTERFACE=eth0";
	if (zone && strcmp(zone, interface) != 0)
		return "on another interface than INTERFACE";
	if (strlen(interface) >= sizeof(vip->interface))
		return "on an interface whose name is too long";
	strcpy(vip->interface, interface);
	return NULL;
}

const char *vip_parse(const char *text, const char *interface, struct vip *ret_vip)
{
	struct vip vip = { 0 };
	char plain[VIP_TEXT_SIZE];
	char *zone, *prefix;
	const char *wrong;

	if (!text || !*text)
		return "not set: name it, such as ADDRESS=192.0.2.10/32";
	if (strlen(text) >= sizeof(plain))
		return "too long";
	strcpy(plain, text);
	prefix = strchr(plain, '/');
	if (prefix)
		*prefix++ = '\0';
	zone = strchr(plain, '%');
	if (zone)
		*zone++ = '\0';
	vip.family = strchr(plain, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(vip.family, plain, vip.bytes) != 1 || is_special(&vip))
		return "not an address that a host can have";
	wrong = parse_prefix(prefix, &vip);
	if (!wrong)
		wrong = parse_interface(zone, interface, &vip);
	if (!wrong)
		*ret_vip = vip;
	return wrong;
}

const char *vip_format(const struct vip *vip, char buf[VIP_TEXT_SIZE])
{
	char plain[INET6_ADDRSTRLEN];

	(void)inet_ntop(vip->family, vip->bytes, plain, sizeof(plain));
	(void)snprintf(buf, VIP_TEXT_SIZE, "%s/%u", plain, vip->prefix);
	return buf;
}

int vip_record_write(const char *path, int index, const struct vip *vip)
{
	char text[RECORD_SIZE], address[VIP_TEXT_SIZE];
	int n = snprintf(text, sizeof(text), "%d %s %s\n", index, vip->interface,
			 vip_format(vip, address));

	return file_replace(path, text, (size_t)n, 0644, false);
}

int vip_record_read(const char *path, int *ret_index, struct vip *ret_vip)
{
	char text[RECORD_SIZE], interface[IFNAMSIZ], address[VIP_TEXT_SIZE];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int index;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (n < 0)
		return -EIO;
	text[n] = '\0';
	if (sscanf(text, "%d %15s %63s", &index, interface, address) != 3 || index <= 0 ||
	    vip_parse(address, interface, ret_vip) != NULL)
		return -EBADMSG;
	*ret_index = index;
	return 0;
}
