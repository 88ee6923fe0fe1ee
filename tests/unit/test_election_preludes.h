/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Beginnings that scripts share. */

/* At 40 ms: registered; another node is primary and acts. */
#define PLAY_FOLLOWING                                                                             \
	"0 start cold            => stop: stop\n"                                                  \
	"10 stopped              => offline\n"                                                     \
	"20 up 6000 fresh        => offline: do register\n"                                        \
	"30 done ok              => follow\n"                                                      \
	"40 view other@1 taken   => follow\n"

/* At 110 ms: the claim is committed at version 3. */
#define PLAY_CLAIMED                                                                               \
	PLAY_FOLLOWING                                                                             \
	"80 view none@2 free     => lock: lock\n"                                                  \
	"90 lock ok              => claim: do claim@2\n"                                           \
	"110 done ok             => await\n"

/* At 640 ms: primary; the takeover was sent at 610 ms: the lease runs until 4550 ms, its stop begins at 3550 ms, renewed at 1110 ms. */
#define PLAY_PRIMARY                                                                               \
	PLAY_CLAIMED                                                                               \
	"115 view me@3 free      => await\n"                                                       \
	"610 time                => enter: do enter@3\n"                                           \
	"620 done ok             => recover: scan\n"                                               \
	"625 view me@3 mine      => recover\n"                                                     \
	"630 corpses 0           => begin: start\n"                                                \
	"640 started ok          => primary\n"
