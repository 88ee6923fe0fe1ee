/* SPDX-License-Identifier: Apache-2.0 */

/* primaryctl: main(). */

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "complete.h"
#include "help.h"

int verb_help(struct ctl *ctl)
{
	return help_print(ctl->options.arguments, ctl->options.argument_count);
}

static int run(struct ctl *ctl)
{
	int code = CTL_DONE;

	if (!ctl_open(ctl))
		return CTL_REFUSED;
	if (ctl->options.verb->takes & NEEDS_NO_SESSION)
		return ctl->options.verb->run(ctl);
	code = ctl_load(ctl);
	if (code != CTL_DONE)
		return code;
	ctl_set_timeout(ctl, CONNECT_TIMEOUT_US);
	/* There it is the lock's own: 0 is a try. */
	if (ctl->options.verb->takes & TAKES_COMMAND)
		ctl->deadline_us = time_monotonic_us() + CONNECT_TIMEOUT_US;
	code = ctl_connect(ctl);
	return code == CTL_DONE ? ctl->options.verb->run(ctl) : code;
}

/* A closed one's number would be a connection's, and what is said would go there. They go on failing, each in its way. */
static void fill_standard_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_WRONLY);
}

int main(int argc, char *argv[])
{
	static struct ctl ctl;
	int code;

	fill_standard_streams();
	/* A closed stdout is an error like others. */
	signal(SIGPIPE, SIG_IGN);
	setlocale(LC_CTYPE, "");
	if (argc > 2 && !strcmp(argv[1], "--complete")) {
		code = complete(&ctl, argc - 1, argv + 1);
		ctl_close(&ctl);
		return code;
	}
	if (!options_parse(argc, argv, &ctl.options, &code))
		return code;
	code = run(&ctl);
	ctl_close(&ctl);
	if (code == CTL_INTERRUPTED) {
		/* So that a shell knows. */
		signal(ctl.signal_seen, SIG_DFL);
		raise(ctl.signal_seen);
	}
	return code;
}
