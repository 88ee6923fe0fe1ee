/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "ctl.h"

/*
 * `primaryctl --complete WORD...`, which the completions of all shells call: prints the candidates for the last word, one a
 * line, with a description after a tab. If it prints nothing, anything may follow, such as a file name. Returns the
 * exit code.
 */
int complete(struct ctl *ctl, int argc, char *argv[]);
