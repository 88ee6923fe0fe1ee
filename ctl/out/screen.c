/* SPDX-License-Identifier: Apache-2.0 */
#include "screen.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.h"
#include "ctl.h"

#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"
#define HOME "\033[H"
#define CLEAR_LINE "\033[K"
#define CLEAR_BELOW "\033[J"

static struct termios before;
static bool open_now;

static bool put(const char *text, size_t length)
{
	return file_write_all(STDOUT_FILENO, text, length) == 0;
}

bool screen_open(void)
{
	struct termios raw;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &before) < 0)
		return false;
	raw = before;
	/* Ctrl-C goes on being a signal. */
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
		return false;
	open_now = true;
	return put(ENTER, strlen(ENTER));
}

void screen_close(void)
{
	if (!open_now)
		return;
	open_now = false;
	(void)put(LEAVE, strlen(LEAVE));
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

void screen_size(unsigned *ret_rows, unsigned *ret_columns)
{
	struct winsize size = { 0 };

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	*ret_rows = size.ws_row ? size.ws_row : 24;
	*ret_columns = size.ws_col ? size.ws_col : 80;
}

/* One line, cut at the edge; colours take no room. */
static void put_line(FILE *file, const char *line, size_t length, unsigned columns)
{
	unsigned column = 0;

	for (size_t i = 0; i < length; i++) {
		if (line[i] == '\033') {
			size_t n = strcspn(line + i, "m") + 1;

			n = n < length - i ? n : length - i;
			fwrite(line + i, 1, n, file);
			i += n - 1;
			continue;
		}
		/* A continuation byte belongs to the character before. */
		column += ((unsigned char)line[i] & 0xc0) != 0x80;
		if (column <= columns)
			fputc(line[i], file);
	}
}

bool screen_draw(const char *text, unsigned rows, unsigned columns)
{
	char *frame = NULL;
	size_t length;
	FILE *file = ctl_need(open_memstream(&frame, &length));
	bool good;

	fputs(HOME, file);
	for (unsigned row = 0; row < rows && *text; row++) {
		size_t n = strcspn(text, "\n");

		put_line(file, text, n, columns);
		fputs(row + 1 < rows ? CLEAR_LINE "\r\n" : CLEAR_LINE, file);
		text += n + (text[n] == '\n');
	}
	fputs(CLEAR_BELOW, file);
	fclose(file);
	good = put(ctl_need(frame), length);
	free(frame);
	return good;
}

int screen_key(void)
{
	unsigned char key;

	return read(STDIN_FILENO, &key, 1) == 1 ? key : 0;
}
