/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "ctl.h"

/*
 * `primaryctl --complete WORD...`, which the completions of all shells call: prints what the last word may become, one a
 * line, with a description after a tab. Nothing: anything, such as a file name. The exit code.
 */
int complete(struct ctl *ctl, int argc, char *argv[]);
