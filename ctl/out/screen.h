/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A terminal as a full screen: the alternate screen, keys one by one; restored at the end, whatever happens short of
 * SIGKILL.
 */

#include <stdbool.h>
#include <stddef.h>

/* False: stdin or stdout is no terminal, and nothing was done. */
bool screen_open(void);
void screen_close(void); /* also when it is not open */

/* Rows and columns as of now. */
void screen_size(unsigned *ret_rows, unsigned *ret_columns);

/* Draws the lines of text from the top; what does not fit is left out. False: the terminal is gone. */
bool screen_draw(const char *text, unsigned rows, unsigned columns);

/* The next key pressed; 0 for none, which when stdin is readable means that the terminal is gone. Does not block. */
int screen_key(void);
