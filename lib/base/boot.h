/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The identity of this boot of the machine: what the clock CLOCK_BOOTTIME counts from. */

#include <stdint.h>

#define BOOT_ID_SIZE 37 /* a UUID with its NUL */

/* Writes the id. Returns 0 or -errno (-EBADMSG: the kernel's file is not a UUID). */
int boot_id_read(char ret_id[BOOT_ID_SIZE]);

/*
 * Where this process and its children live: a hash of the PID, network and control group namespaces. Another number:
 * process numbers of then mean others now, and addresses of then are not here. Namespaces reuse numbers of their own, so
 * the start of PID 1 counts as well.
 */
uint64_t place_id(void);

#define MACHINE_ID_SIZE 33 /* 32 hexadecimal digits with the NUL */

/* /etc/machine-id: which machine this is, over its boots. Returns 0 or -errno (-EBADMSG: it is none). */
int machine_id_read(char ret_id[MACHINE_ID_SIZE]);

/*
 * The same where there is none, as in many containers: read from DIRECTORY/machine-id, or drawn and kept there. If it cannot
 * be kept the next process is another machine to the others, which wait for its lease. Returns 0 or -errno.
 */
int machine_id_make(const char *directory, char ret_id[MACHINE_ID_SIZE]);
