/* SPDX-License-Identifier: Apache-2.0 */

/*
 *   floating-ip hold NAME      adds the address and stays with it, until SIGTERM
 *   floating-ip remove NAME    removes what a `hold` that was killed has left
 *
 * The address comes from the environment of `hold`: ADDRESS, INTERFACE, PROBE and GRACE, as in the example
 * floating-ip.conf. For `remove`, the record in $RUNTIME_DIRECTORY/NAME says what was added, whatever the configuration says
 * by now; only if somebody has deleted the record, the configuration counts.
 *
 * Exit codes: 0 the kernel has the address no more; 1 somebody else has it; 2 usage; 69 the interface cannot carry it;
 * 71 it could not be added, announced or removed; 78 the configuration.
 */

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <syslog.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/notify.h"
#include "kernel.h"
#include "vip.h"
#include "wire.h"

#define PROBE_MS 100
#define GRACE_MS 1000
#define WAIT_MAX_MS 60000

#define ANNOUNCE_AGAIN_US INT64_C(1000000) /* in case a switch has just learned the port */
#define ANNOUNCE_EVERY_US INT64_C(30000000)
#define TELL_OTHER_EVERY_US INT64_C(60000000)

/* Somebody who removes it more often than that will not have it. */
#define MEND_MAX 30 /* more than one `ip address flush` takes away in its ten rounds */
#define MEND_WINDOW_US INT64_C(10000000)

#define IN_USE 1

struct holder {
	struct vip vip;
	char text[VIP_TEXT_SIZE]; /* of vip */
	char record[PATH_MAX];
	int probe_ms, grace_ms;
	int signals, requests, news, wire; /* sockets and the like */
	struct link link;		   /* as of the last look; index 0: none was found yet */
	int64_t lost_us;		   /* since when it cannot carry the address; 0: it can */
	int64_t announce_us;		   /* when to announce next */
	int64_t other_us;		   /* when another holder may be told of again */
	int64_t mend_us;		   /* when the present window began */
	int mended;			   /* in that window */
};

/* -- words -- */

static void say(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(int priority, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (getenv("JOURNAL_STREAM"))
		(void)fprintf(stderr, "<%d>", priority);
	(void)fprintf(stderr, "floating-ip: %s\n", text);
}

static int fail(const struct holder *h, const char *what, int error)
{
	say(LOG_ERR, "cannot %s %s on %s: %s", what, h->text, h->vip.interface, strerror(-error));
	return EX_OSERR;
}

/* Why the interface cannot carry the address now, to be put behind its name; NULL: it can. */
static const char *trouble(const struct link *link)
{
	if (!link->index)
		return "does not exist";
	if (!link->up)
		return "is down";
	return link->carrier ? NULL : "has no carrier";
}

/* -- adding and removing -- */

static int announce(struct holder *h, int64_t next_us)
{
	h->announce_us = time_monotonic_us() + next_us;
	return wire_announce(h->wire, &h->link, &h->vip);
}

/* The record first: whatever happens next, what may be there is known. */
static int add(struct holder *h)
{
	int r = vip_record_write(h->record, h->link.index, &h->vip);

	if (r < 0) {
		say(LOG_ERR, "cannot write %s: %s", h->record, strerror(-r));
		return EX_OSERR;
	}
	r = kernel_add_address(h->requests, h->link.index, &h->vip);
	return r < 0 ? fail(h, "add", r) : 0;
}

/* The record goes once the kernel says that the address is gone. Returns 0 or an exit code. */
static int take_away(int requests, int index, const struct vip *vip, const char *record)
{
	char text[VIP_TEXT_SIZE];
	int r = kernel_remove_address(requests, index, vip);

	if (r < 0) {
		say(LOG_ERR, "cannot remove %s from %s: %s", vip_format(vip, text), vip->interface,
		    strerror(-r));
		return EX_OSERR;
	}
	(void)unlink(record);
	return 0;
}

/* Whatever interface and address the configuration names by now. */
static int take_away_recorded(int requests, const char *record)
{
	struct vip vip;
	int index, r = vip_record_read(record, &index, &vip);

	if (r == -ENOENT)
		return 0;
	if (r < 0) {
		say(LOG_ERR, "cannot tell what was added: %s: %s", record, strerror(-r));
		return EX_OSERR;
	}
	return take_away(requests, index, &vip, record);
}

/* -- the start -- */

static int open_wire(struct holder *h, const struct link *link)
{
	int fd = wire_open(link->index, &h->vip);

	if (fd < 0)
		return fail(h, "listen for", fd);
	if (h->wire >= 0)
		(void)close(h->wire);
	h->wire = fd;
	h->link = *link;
	return 0;
}

static int find_link(struct holder *h)
{
	struct link link;
	int r = kernel_find_link(h->requests, 0, h->vip.interface, &link);

	if (r < 0)
		return fail(h, "look for", r);
	if (link.index && !link.ethernet) {
		say(LOG_ERR,
		    "%s is not an Ethernet interface: an address on it cannot be announced",
		    h->vip.interface);
		return EX_CONFIG;
	}
	if (trouble(&link)) {
		say(LOG_ERR, "%s is not added: %s %s", h->text, h->vip.interface, trouble(&link));
		return EX_UNAVAILABLE;
	}
	return open_wire(h, &link);
}

static int probe(struct holder *h)
{
	char other[WIRE_MAC_TEXT_SIZE];
	int r = wire_ask(h->wire, &h->link, &h->vip, h->probe_ms, other);

	if (r < 0)
		return fail(h, "probe for", r);
	if (r > 0)
		say(LOG_ERR, "%s is in use by another host on %s: %s", h->text, h->vip.interface,
		    other);
	return r > 0 ? IN_USE : 0;
}

static int take(struct holder *h)
{
	int r = take_away_recorded(h->requests, h->record);

	if (r == 0)
		r = find_link(h);
	if (r == 0)
		r = probe(h);
	if (r == 0)
		r = add(h);
	if (r != 0)
		return r;
	r = announce(h, ANNOUNCE_AGAIN_US);
	if (r < 0)
		return fail(h, "announce", r);
	(void)notify_send("READY=1\nSTATUS=%s is on %s\n", h->text, h->vip.interface);
	return 0;
}

/* -- staying -- */

/* It is not there, and should be. */
static int mend(struct holder *h)
{
	int64_t now_us = time_monotonic_us();

	if (now_us - h->mend_us > MEND_WINDOW_US) {
		h->mend_us = now_us;
		h->mended = 0;
	}
	if (++h->mended > MEND_MAX) {
		say(LOG_ERR, "%s is removed from %s again and again", h->text, h->vip.interface);
		return EX_UNAVAILABLE;
	}
	say(LOG_WARNING, "%s was removed from %s, and is added again", h->text, h->vip.interface);
	return add(h);
}

static void lose(struct holder *h, const char *why)
{
	if (h->lost_us)
		return;
	h->lost_us = time_monotonic_us();
	say(LOG_WARNING, "%s %s: waiting for %d ms", h->vip.interface, why, h->grace_ms);
	(void)notify_send("STATUS=%s %s\n", h->vip.interface, why);
}

/*
 * Looks at interface and address as they are now, and sets right what can be. Every event comes here: what happened in
 * detail, and whether news of it got lost, does not matter. Returns 0 or an exit code.
 */
static int look(struct holder *h)
{
	const struct link before = h->link;
	bool was_lost = h->lost_us != 0;
	struct vip_state state;
	struct link link;
	int r = kernel_find_link(h->requests, h->link.index, h->vip.interface, &link);

	if (r < 0)
		return fail(h, "look for", r);
	h->link = link;
	if (trouble(&link)) {
		lose(h, trouble(&link));
		return 0;
	}
	if (link.index != before.index && (r = open_wire(h, &link)) != 0)
		return r;
	r = kernel_find_address(h->requests, link.index, &h->vip, &state);
	if (r < 0)
		return fail(h, "look for", r);
	if (!state.present && (r = mend(h)) != 0)
		return r;
	h->lost_us = 0;
	if (was_lost) {
		say(LOG_NOTICE, "%s is back", h->vip.interface);
		(void)notify_send("STATUS=%s is on %s\n", h->text, h->vip.interface);
	}
	if (!state.present || was_lost || memcmp(before.mac, link.mac, sizeof(link.mac)) != 0)
		(void)announce(h, ANNOUNCE_AGAIN_US);
	return 0;
}

/* Announced anew at once: who has the address is decided elsewhere, and it is this host. */
static void hear(struct holder *h)
{
	char other[WIRE_MAC_TEXT_SIZE];

	if (!wire_hear(h->wire, &h->link, other) || time_monotonic_us() < h->other_us)
		return;
	h->other_us = time_monotonic_us() + TELL_OTHER_EVERY_US;
	say(LOG_ERR, "%s is claimed by another host on %s, too: %s", h->text, h->vip.interface,
	    other);
	(void)announce(h, ANNOUNCE_AGAIN_US);
}

/* What is due by the clock. Returns 0 or an exit code. */
static int keep_time(struct holder *h)
{
	int64_t now_us = time_monotonic_us();

	if (h->lost_us && now_us - h->lost_us >= h->grace_ms * INT64_C(1000)) {
		say(LOG_ERR, "%s did not come back within %d ms: %s is given up", h->vip.interface,
		    h->grace_ms, h->text);
		return EX_UNAVAILABLE;
	}
	if (!h->lost_us && now_us >= h->announce_us)
		(void)announce(h, ANNOUNCE_EVERY_US);
	return 0;
}

static int next_ms(const struct holder *h)
{
	int64_t due_us = h->lost_us ? h->lost_us + h->grace_ms * INT64_C(1000) : h->announce_us;
	int64_t left_us = due_us - time_monotonic_us();

	return left_us < 0 ? 0 : (int)(left_us / 1000) + 1;
}

/* Returns 0 when it shall end, or an exit code. */
static int stay(struct holder *h)
{
	int r = look(h); /* what has happened since it was added */

	while (r == 0) {
		struct pollfd p[] = { { .fd = h->signals, .events = POLLIN },
				      { .fd = h->news, .events = POLLIN },
				      { .fd = h->wire, .events = POLLIN } };

		if (poll(p, 3, next_ms(h)) < 0 && errno != EINTR)
			return fail(h, "wait for", -errno);
		if (p[0].revents)
			return 0;
		if (p[2].revents)
			hear(h);
		if (p[1].revents && kernel_take_news(h->news, h->link.index))
			r = look(h);
		if (r == 0)
			r = keep_time(h);
	}
	return r;
}

static int hold(struct holder *h)
{
	sigset_t signals;
	int r, removed;

	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)sigprocmask(SIG_SETMASK, &signals, NULL);
	h->signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	h->news = kernel_watch();
	if (h->signals < 0 || h->news < 0)
		return fail(h, "watch", h->signals < 0 ? -errno : h->news);
	r = take(h);
	if (r != 0)
		return r;
	r = stay(h);
	/* What was added is known here even if somebody deleted the record. */
	removed = take_away(h->requests, h->link.index, &h->vip, h->record);
	return r != 0 ? r : removed;
}

/* -- what a `hold` that was killed has left -- */

/* One that ended by itself has removed its address, or the record is still there. */
static int take_away_configured(struct holder *h)
{
	const char *end = getenv("EXIT_CODE"); /* systemd's word for it */
	struct link link;
	int r;

	if ((end && !strcmp(end, "exited")) ||
	    vip_parse(getenv("ADDRESS"), getenv("INTERFACE"), &h->vip) != NULL)
		return 0;
	(void)vip_format(&h->vip, h->text);
	r = kernel_find_link(h->requests, 0, h->vip.interface, &link);
	if (r < 0)
		return fail(h, "look for", r);
	return link.index ? take_away(h->requests, link.index, &h->vip, h->record) : 0;
}

static int take_away_left(struct holder *h)
{
	return access(h->record, F_OK) == 0 ? take_away_recorded(h->requests, h->record)
					    : take_away_configured(h);
}

/* -- the command line -- */

static int parse_ms(const char *name, int preset_ms, int *ret_ms)
{
	const char *text = getenv(name);
	char *end;
	long ms = preset_ms;

	if (text && *text) {
		ms = strtol(text, &end, 10);
		if (*end || ms < 0 || ms > WAIT_MAX_MS) {
			say(LOG_ERR, "%s must be a number of milliseconds up to %d", name,
			    WAIT_MAX_MS);
			return EX_CONFIG;
		}
	}
	*ret_ms = (int)ms;
	return 0;
}

static int configure(struct holder *h, const char *name)
{
	const char *wrong = vip_parse(getenv("ADDRESS"), getenv("INTERFACE"), &h->vip);
	int r;

	if (wrong) {
		say(LOG_ERR, "ADDRESS in /etc/primaryd/floating-ip/%s.conf is %s", name, wrong);
		return EX_CONFIG;
	}
	(void)vip_format(&h->vip, h->text);
	r = parse_ms("PROBE", PROBE_MS, &h->probe_ms);
	return r != 0 ? r : parse_ms("GRACE", GRACE_MS, &h->grace_ms);
}

int main(int argc, char *argv[])
{
	const char *directory = getenv("RUNTIME_DIRECTORY");
	struct holder h = { .signals = -1, .news = -1, .wire = -1 };
	int r;

	if (argc != 3 || strchr(argv[2], '/') || !directory ||
	    (strcmp(argv[1], "hold") != 0 && strcmp(argv[1], "remove") != 0)) {
		(void)fputs("usage: floating-ip hold|remove NAME, with $RUNTIME_DIRECTORY set\n",
			    stderr);
		return 2;
	}
	(void)snprintf(h.record, sizeof(h.record), "%s/%s", directory, argv[2]);
	h.requests = kernel_open();
	if (h.requests < 0) {
		say(LOG_ERR, "cannot open a netlink socket: %s", strerror(-h.requests));
		return EX_OSERR;
	}
	if (!strcmp(argv[1], "remove"))
		return take_away_left(&h);
	r = configure(&h, argv[2]);
	return r != 0 ? r : hold(&h);
}
