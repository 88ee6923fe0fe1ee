/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One run of an external command on the loop: no shell, a process group of its own, output line by
 * line, bounded in time. Nothing here waits: not for the exec, not for the end, not for a killed
 * process that will not die.
 *
 * The child gets /dev/null as input, one pipe as output and error, default signal dispositions, an
 * empty signal mask, an oom_score_adj of 0, no other descriptors, and as environment the caller's list plus, where set here
 * and not in the list, PATH, HOME, LANG, LC_ALL, TZ, USER, LOGNAME, SHELL and TMPDIR.
 *
 * The loop must be libev's default loop: it reaps every child of the process.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ev_loop;
struct command;

/* Bounds. */
#define COMMAND_LINE_MAX 1024 /* bytes of one line; the rest of it is cut, "..." follows */
#define COMMAND_READ_MAX                                                                           \
	4096 /* bytes read in one turn of the loop: some milliseconds of logging at most */
#define COMMAND_ENVIRONMENT_MAX 64 /* entries of the caller's list */
#define COMMAND_TEXT_SIZE 128

enum command_end {
	COMMAND_EXITED,	   /* value: exit status */
	COMMAND_SIGNALLED, /* value: signal, not sent by us */
	COMMAND_TIMED_OUT, /* value: 0; terminated by us, however it ended */
	COMMAND_KILLED,	   /* value: 0; by command_kill() or command_kill_now(), however it ended */
	COMMAND_NOT_STARTED, /* value: errno of the exec, or COMMAND_NO_INTERPRETER */
};

/* In place of the exec's ENOENT when the file exists: the interpreter that its first line names does not. */
#define COMMAND_NO_INTERPRETER (-1)

struct command_result {
	enum command_end end;
	int value;
	int64_t duration_us;
	/*
	 * Processes of the command's group live on, although the command itself is gone and reaped:
	 * what a takeover command left running (after an end by itself, zombies that nobody reaps
	 * count, too: command_group_exists() looks closer). Without leftovers the number `group` may be used
	 * anew by the system at any time and must not be signalled any more.
	 */
	bool has_leftovers;
	bool holds_output; /* they, or others, still have the pipe: when we end, they get SIGPIPE if they write */
	pid_t group;
};

struct command_options {
	char *const *argv;		/* argv[0]: absolute path */
	const char *const *environment; /* "KEY=VALUE", ends with NULL; NULL for none */
	int64_t timeout_us;		/* then SIGTERM to the group; 0: no bound */
	int64_t grace_us;		/* from SIGTERM to SIGKILL */
	int64_t not_after_us; /* CLOCK_BOOTTIME; not executed later than that: ETIME; 0: no bound */
	/*
	 * In the new process, before it is the command, with its process group: whatever becomes of us, somebody knows it then.
	 * False: it shall not be executed (ECANCELED). Async-signal-safe calls only. May be NULL.
	 */
	bool (*on_fork)(void *userdata, pid_t group);
	/*
	 * One line of output without its newline, NUL bytes replaced by '?', otherwise raw: control
	 * characters and broken UTF-8 included. Empty lines are left out. May be NULL. Must not
	 * destroy the command. Runs also after on_end, while leftovers hold the pipe.
	 */
	void (*on_line)(void *userdata, const char *line);
	/*
	 * The end, exactly once, never from inside command_start(): the process is reaped, and all
	 * that it wrote was handed on. May destroy the command.
	 */
	void (*on_end)(void *userdata, const struct command_result *result);
	void *userdata;
};

/*
 * Starts it. Everything in options is copied or used up. Returns 0 (then on_end follows), or -errno
 * when no process could be made (EAGAIN, EMFILE, ENFILE, ENOMEM): then nothing follows.
 */
int command_start(struct ev_loop *loop, const struct command_options *options,
		  struct command **ret_command);

/*
 * SIGTERM to the whole group now, SIGKILL after the grace; on_end follows when the command is reaped
 * and its group gone or killed. Also for an ended or already killed one: nothing happens.
 */
void command_kill(struct command *command);

/* SIGKILL to the whole group now; on_end follows. */
void command_kill_now(struct command *command);

/* From command_start() until on_end. */
bool command_is_running(const struct command *command);

/* The process group of a running one; 0 after its end. */
pid_t command_group(const struct command *command);

/*
 * Frees it, at any time; on_end and on_line never run again. A running one is killed (SIGKILL to the
 * group) without waiting: the loop reaps it when it is dead. Takes NULL. Returns NULL.
 *
 * An ended command whose leftovers hold the pipe is best kept until these are gone: they would get
 * SIGPIPE when they write.
 */
struct command *command_destroy(struct command *command);

/* EXITED with status 0. */
bool command_succeeded(const struct command_result *result);

/* For people: "exited with 3", "killed by signal 11 (Segmentation fault)", ... Returns buf. */
char *command_result_format(const struct command_result *result, char buf[COMMAND_TEXT_SIZE]);

/*
 * Whether a live process is left in the group that a result named. Looks through /proc when there
 * may be one, which takes milliseconds on a host with many processes.
 */
bool command_group_exists(pid_t group);

/* A signal to what a result called leftovers. False: not even a zombie was left to take it. */
bool command_group_signal(pid_t group, int signal);
