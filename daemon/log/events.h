/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Every event that the daemon logs. The journal, its catalog, the manual page and the tests are checked against this
 * table. A MESSAGE_ID never changes and is never reused.
 *
 * X(NAME, "name", "MESSAGE_ID", PRIORITY, LIMIT, "what it means")
 *
 * PRIORITY: syslog's. LIMIT: REPEATS for an event that may come again and again with the same text, which is then
 * logged once in a while (log.h). ALWAYS for one that is logged each time, as is every event that ends what another one
 * began.
 */

#include <syslog.h>

/* clang-format off */
#define EVENTS(X) \
	X(EVENT_STARTED, "started", "29fa1a893290eae57eefb24c26e2e628", LOG_INFO, ALWAYS, \
	  "the daemon has started") \
	X(EVENT_CONFIG_INVALID, "config_invalid", "97f822adf82d0bf35eb58490fbb868f7", LOG_ERR, ALWAYS, \
	  "the configuration was refused") \
	X(EVENT_CONFIG_WARNING, "config_warning", "c47bab7a1b365e54724218d0540841c6", LOG_WARNING, ALWAYS, \
	  "the configuration is valid, but probably not what was meant") \
	X(EVENT_RIGHTS_MISSING, "rights_missing", "653a37363e734ff098d37f54b683f2fb", LOG_ERR, ALWAYS, \
	  "this node lacks rights that a primary needs") \
	X(EVENT_RIGHTS_BACK, "rights_back", "9a205202faa2461e97073c03d464ea62", LOG_NOTICE, ALWAYS, \
	  "this node again has the rights that a primary needs") \
	X(EVENT_RIGHTS_WIDE, "rights_wide", "34167306e913463b83c65409a151e186", LOG_WARNING, ALWAYS, \
	  "clients other than the nodes may change the cluster's keys") \
	X(EVENT_CONNECTED, "connected", "59a4b4fd405f524bccea41e7c6ddcfc4", LOG_INFO, ALWAYS, \
	  "this node is connected to a server of the ensemble") \
	X(EVENT_DISCONNECTED, "disconnected", "16fba161eb61deba6d0b7dcd351acc9b", LOG_WARNING, ALWAYS, \
	  "the connection to the ensemble is lost; the session may still be alive") \
	X(EVENT_SERVER_FAILED, "server_failed", "2eae520703193145179cfe9780d914a0", LOG_WARNING, REPEATS, \
	  "a server of the ensemble could not be reached") \
	X(EVENT_NAMES_FAILED, "names_failed", "f05684a813b51c06fe986a61d217c280", LOG_WARNING, REPEATS, \
	  "the names of the servers could not be resolved") \
	X(EVENT_AUTH_REFUSED, "auth_refused", "fa752f819867ad26548cd01322610d85", LOG_ERR, REPEATS, \
	  "the ensemble refused the credential") \
	X(EVENT_ENSEMBLE_SET_BACK, "ensemble_set_back", "f6bfb0b6253944ee8490b238e0c8f126", LOG_ERR, ALWAYS, \
	  "the servers know less than this node has seen: they were restored from a backup, or emptied") \
	X(EVENT_SESSION_LOST, "session_lost", "6696d3c9e519839f8f33367519590296", LOG_WARNING, ALWAYS, \
	  "the session is lost, and with it everything it held") \
	X(EVENT_SESSION_RESUMED, "session_resumed", "8011982f63712373365d18e72957bfb4", LOG_NOTICE, ALWAYS, \
	  "the session of the previous process was resumed") \
	X(EVENT_RESUME_REFUSED, "resume_refused", "1e32fc036a491700cb063d71302cccd5", LOG_WARNING, ALWAYS, \
	  "the state of the previous process could not be resumed") \
	X(EVENT_REGISTERED, "registered", "7f8008309db7386786cd152f4354fa48", LOG_INFO, ALWAYS, \
	  "this node has registered in ZooKeeper") \
	X(EVENT_CLUSTER_MADE, "cluster_made", "4d1f0c5b8b3f4b7e9a6d2c81f5e07a36", LOG_NOTICE, ALWAYS, \
	  "the key that identifies this cluster was created, or created again") \
	X(EVENT_CLUSTER_KNOWN, "cluster_known", "b02c7e14d95a4e6c8f31a7d06be4925f", LOG_NOTICE, ALWAYS, \
	  "this is the ensemble that the node belongs to") \
	X(EVENT_CLUSTER_FOREIGN, "cluster_foreign", "e7953a0d61c84f2bb41e08f7c2d63b19", LOG_ERR, ALWAYS, \
	  "this is not the ensemble that the node belongs to; the node claims and writes nothing there") \
	X(EVENT_CLUSTER_FILE_FAILED, "cluster_file_failed", "58ba6f21c7e04d9db3902d5f8e14c6a7", LOG_WARNING, ALWAYS, \
	  "the node's record of its cluster could not be written or read") \
	X(EVENT_DUPLICATE_NAME, "duplicate_name", "a3ae223f4dc8fcd6b877ad3c8ed191d6", LOG_ERR, ALWAYS, \
	  "another live daemon uses this node's name") \
	X(EVENT_STATE_CHANGED, "state_changed", "daf039b361e01018a3b1c3a10ad5266c", LOG_INFO, ALWAYS, \
	  "this node moved from one state to another") \
	X(EVENT_VACANCY, "vacancy", "2866af1f450637acd2770f2091cf9595", LOG_NOTICE, ALWAYS, \
	  "the role is vacant; this node contends for it") \
	X(EVENT_CONTENTION_WAITING, "contention_waiting", "a9cec71f6de0401a8176fc98e9c9217e", LOG_INFO, ALWAYS, \
	  "nodes of a higher rank may claim the vacant role first, for this node's contend-delay") \
	X(EVENT_CONTENTION_LOST, "contention_lost", "2fbb5d9514483c2b5129705b8c15546b", LOG_INFO, REPEATS, \
	  "this node did not claim the role: another node was first") \
	X(EVENT_CLAIMED, "claimed", "042a23a5ce1c184e7678cdbe47cb7ba6", LOG_NOTICE, ALWAYS, \
	  "this node claimed the vacant role") \
	X(EVENT_NAMED, "named", "304a0060458c9eae1dc01fe95ee409c5", LOG_NOTICE, ALWAYS, \
	  "a node was named as primary; this node takes over or hands over") \
	X(EVENT_TAKEOVER_WAITING, "takeover_waiting", "b512da27f383276534d7009420d1a7d4", LOG_NOTICE, REPEATS, \
	  "this node waits to take over, because another node acts or may act as primary") \
	X(EVENT_TAKEOVER_STARTED, "takeover_started", "f6e17e2b9ee7b6059e3b2aa6fe15e155", LOG_NOTICE, ALWAYS, \
	  "this node takes over") \
	X(EVENT_TAKEOVER_CANCELLED, "takeover_cancelled", "935d30f6064799d37ec28bfa54cf0fee", LOG_NOTICE, ALWAYS, \
	  "the takeover was cancelled, because this node is no longer named") \
	X(EVENT_TAKEOVER_FAILED, "takeover_failed", "a9fcfa6614a2e32d99cc3edb9f9fec32", LOG_ERR, ALWAYS, \
	  "the takeover failed and is undone") \
	X(EVENT_PENALTY, "penalty", "28bf695e88d66eeeb681a6b015a6d0d0", LOG_WARNING, ALWAYS, \
	  "this node stays out of the election for a while after a failed takeover") \
	X(EVENT_PRIMARY, "primary", "63f4b9e04de703136a8a014ca3233561", LOG_NOTICE, ALWAYS, \
	  "this node is primary and its work runs") \
	X(EVENT_RELINQUISH_STARTED, "relinquish_started", "28b0cfbe54abe7262173ff54e4de2db0", LOG_NOTICE, ALWAYS, \
	  "this node stops its work to hand over the role") \
	X(EVENT_RELINQUISH_CANCELLED, "relinquish_cancelled", "aa5acbf69bac9a501aaffe8c39d75609", LOG_NOTICE, ALWAYS, \
	  "this node was named again before it stopped its work, and remains primary") \
	X(EVENT_RELINQUISHED, "relinquished", "3651ddc6ae3df5435ce0e941a8868367", LOG_NOTICE, ALWAYS, \
	  "the work is down and the post is released") \
	X(EVENT_CONNECTION_CUT, "connection_cut", "cf93a64e58872683ebeadddc7a736c57", LOG_WARNING, REPEATS, \
	  "a server did not answer in time; the next one is tried") \
	X(EVENT_LEASE_RUNNING_OUT, "lease_running_out", "3d0cc49541534cc0e9061bf66dfb93d0", LOG_ERR, ALWAYS, \
	  "the lease could not be renewed; the work is stopped before the lease ends") \
	X(EVENT_LEASE_LOST, "lease_lost", "09569971c1521c0b5b1abf45a429cf5a", LOG_ERR, ALWAYS, \
	  "the lease has ended") \
	X(EVENT_POST_LOST, "post_lost", "92fd96d115587ffe8669f68697b7c89a", LOG_ERR, ALWAYS, \
	  "this node lost its post as acting primary") \
	X(EVENT_LEASE_MISFIT, "lease_misfit", "0ae8b94f28e275ff85d1e42bc7493ff7", LOG_ERR, ALWAYS, \
	  "the granted session timeout leaves too little time to stop the work") \
	X(EVENT_WORK_STOP_LATE, "work_stop_late", "0cf6c61af203b156e92419be1428fa89", LOG_ERR, ALWAYS, \
	  "the work did not stop in time and is being killed") \
	X(EVENT_WORK_STOP_WAITS, "work_stop_waits", "6acc3a5c9c954c43940a8db90ce24256", LOG_WARNING, REPEATS, \
	  "the stop of the work takes a long time: a unit, a process or a failed clean-up is in the way") \
	X(EVENT_WORK_KILLED, "work_killed", "459d4adfbbda8af6290cb3f3a128f44d", LOG_ERR, ALWAYS, \
	  "work that did not stop in time was killed") \
	X(EVENT_SELF_FENCE, "self_fence", "eed319ba5de3cee68a28a1ff729ca791", LOG_EMERG, ALWAYS, \
	  "the work cannot be stopped; this host reboots if it is configured to") \
	X(EVENT_CORPSE_FOUND, "corpse_found", "8330e267a21d2e6bac4aa90ab195f2ac", LOG_WARNING, ALWAYS, \
	  "a node died while it was acting") \
	X(EVENT_ACQUIRE_WAITING, "acquire_waiting", "81058b78e6e073d29c3c98a1f97e5f37", LOG_NOTICE, ALWAYS, \
	  "this node waits before it takes over from a node that died while acting") \
	X(EVENT_FENCE_STARTED, "fence_started", "58cfbe7223211da5c2ef61aa780390f5", LOG_NOTICE, ALWAYS, \
	  "the fence command runs for a node that died while acting") \
	X(EVENT_FENCED, "fenced", "9f025ab3d4ff37c921c7abb7d6b03a61", LOG_NOTICE, ALWAYS, \
	  "a node that died while acting is marked as dead or fenced") \
	X(EVENT_FENCE_FAILED, "fence_failed", "e8c21fa16008d6b153198587e18ce9a0", LOG_ERR, ALWAYS, \
	  "the fence command failed") \
	X(EVENT_FENCE_CHECK_FAILED, "fence_check_failed", "275b7f9e92994f5ab8b03feb38d144aa", LOG_ERR, ALWAYS, \
	  "the fence check for another node failed: fencing it would fail, too") \
	X(EVENT_FENCE_CHECK_OK, "fence_check_ok", "206302f0a81b43179b4acad1c5fc1c00", LOG_NOTICE, ALWAYS, \
	  "the fence check succeeds again") \
	X(EVENT_HANDED_BACK, "handed_back", "6e5e09ad613c42b62e1de9dd0e9b6ccc", LOG_WARNING, ALWAYS, \
	  "this node handed the role back without taking over") \
	X(EVENT_RECLAIMED, "reclaimed", "1b489b060b874ed54a0952d79b06dfac", LOG_NOTICE, ALWAYS, \
	  "no node claimed the released role; this node remains primary") \
	X(EVENT_RELEASED, "released", "97f6236b2e6cdfabd8cedd3e5778c7ce", LOG_NOTICE, ALWAYS, \
	  "this node releases the role to a successor") \
	X(EVENT_HANDOVER_TIMEOUT, "handover_timeout", "bdeba4f5816f2bc3413d38a7a40f01a5", LOG_WARNING, ALWAYS, \
	  "no successor claimed the role in time") \
	X(EVENT_PRIMARY_CHANGED, "primary_changed", "24f54c288f91efd9a8fe04143edcd59c", LOG_NOTICE, ALWAYS, \
	  "another node acts as primary now, or none does") \
	X(EVENT_HEALTH_FAILED, "health_failed", "14716e6300a291d6dd9a8fd3292c5dd4", LOG_ERR, ALWAYS, \
	  "this node is not healthy") \
	X(EVENT_HEALTH_OK, "health_ok", "d6e7a49fd5d2c2c0ddbdb3d694b650d1", LOG_NOTICE, ALWAYS, \
	  "this node is healthy again") \
	X(EVENT_DRAIN_ON, "drain_on", "ee8bcc9aa0a193039518e02e13239199", LOG_NOTICE, ALWAYS, \
	  "this node is drained: it gives up the role and does not contend") \
	X(EVENT_DRAIN_OFF, "drain_off", "83fc6fcfb0ec142209ceb9737cd851b1", LOG_NOTICE, ALWAYS, \
	  "this node is no longer drained") \
	X(EVENT_MAINTENANCE_ON, "maintenance_on", "be89cc520c6d54cdd46de3ae6176076c", LOG_NOTICE, ALWAYS, \
	  "maintenance has begun: only operators move the role") \
	X(EVENT_MAINTENANCE_OFF, "maintenance_off", "0a694c1d8cd6f9eafec444b4db1b29e7", LOG_NOTICE, ALWAYS, \
	  "maintenance is over: nodes claim vacancies again") \
	X(EVENT_PENALTY_CLEARED, "penalty_cleared", "05dca4faae724b5499592329bd95d08e", LOG_NOTICE, ALWAYS, \
	  "an operator ended the penalty: this node may take over again") \
	X(EVENT_JUNK_IGNORED, "junk_ignored", "f8d66d5a38c6b671191912aec921aa7b", LOG_WARNING, ALWAYS, \
	  "a key in ZooKeeper holds an invalid value, which is treated as absent") \
	X(EVENT_REQUEST_FAILED, "request_failed", "fba837a7ff5c975999277680b8535f2c", LOG_WARNING, REPEATS, \
	  "a request to ZooKeeper or systemd failed") \
	X(EVENT_KEYS_DELETED, "keys_deleted", "4f71d49957c84dc9d4d78b24fb4f5ca5", LOG_NOTICE, REPEATS, \
	  "somebody deleted keys of this node, or this node has created them again") \
	X(EVENT_COMMAND_OUTPUT, "command_output", "38614645cde636e7af96fc3c8f3677cc", LOG_INFO, ALWAYS, \
	  "a command printed a line") \
	X(EVENT_COMMAND_ENDED, "command_ended", "a1722d881c81dff68bbfe40eb602ef41", LOG_INFO, ALWAYS, \
	  "a command has succeeded") \
	X(EVENT_COMMAND_FAILED, "command_failed", "ceae853d9547de600bb154d28d2e4cd3", LOG_WARNING, ALWAYS, \
	  "a command has failed") \
	X(EVENT_COMMAND_KILLED, "command_killed", "7a9b520b1176ea73eb4290cf18ddd152", LOG_WARNING, ALWAYS, \
	  "a command was killed: it took too long, or was no longer needed") \
	X(EVENT_UNIT_STARTED, "unit_started", "3c41b14ff1a7dc85a9e5fa4a1d5d9945", LOG_INFO, ALWAYS, \
	  "a systemd unit was started") \
	X(EVENT_UNIT_STOPPED, "unit_stopped", "e782d3241b6026e228f0abf8bb08c8c8", LOG_INFO, ALWAYS, \
	  "a systemd unit was stopped") \
	X(EVENT_UNIT_FAILED, "unit_failed", "727e4c48a722afd6fc413b18f9a7259b", LOG_ERR, ALWAYS, \
	  "a systemd unit went down although primaryd did not stop it") \
	X(EVENT_BUS_LOST, "bus_lost", "0b9b4a6e7a0f4c1d8a8e5f3fd2c67b11", LOG_WARNING, ALWAYS, \
	  "the system bus cannot be reached: units can be neither started nor stopped") \
	X(EVENT_BUS_BACK, "bus_back", "3f8f1cb5e6f94e0bb0a6d1c2947a5e80", LOG_INFO, ALWAYS, \
	  "the system bus can be reached again") \
	X(EVENT_GUARD_STARTED, "guard_started", "26b3ded86ea16a330a1010ccacf47dc5", LOG_INFO, ALWAYS, \
	  "the guard watches the lease") \
	X(EVENT_GUARD_FAILED, "guard_failed", "a8cb498a1bd121fd3e5eb1ccc31526fa", LOG_ERR, ALWAYS, \
	  "the guard could not be started or has died") \
	X(EVENT_GUARD_ACTS, "guard_acts", "3bb6fb9f1c8d5c6d53541ca9be30975e", LOG_EMERG, ALWAYS, \
	  "the guard stops the work: the daemon did not extend the lease") \
	X(EVENT_GUARD_DONE, "guard_done", "95a659f997769ddbe2401665c2c4d7d5", LOG_WARNING, ALWAYS, \
	  "the guard has stopped the work") \
	X(EVENT_STATE_FILE_FAILED, "state_file_failed", "7416af594658b82fdbef7409e8207270", LOG_ERR, ALWAYS, \
	  "the state for a resume could not be written") \
	X(EVENT_STATE_FILE_WRITTEN, "state_file_written", "dc6eebc654ed5f70158e5954c0cd3315", LOG_NOTICE, ALWAYS, \
	  "the state for a resume is written again") \
	X(EVENT_RUNTIME_TAKEN, "runtime_taken", "c61e558f30ab4900973ac44b9032fce0", LOG_ERR, ALWAYS, \
	  "another daemon uses the runtime directory") \
	X(EVENT_SHUTDOWN, "shutdown", "b2f3c90e902ab00b389b44cd5c983b11", LOG_NOTICE, ALWAYS, \
	  "the daemon leaves the cluster") \
	X(EVENT_STOPPED, "stopped", "bbb62cb5d2330504fdf7dd4ba50a9543", LOG_INFO, ALWAYS, \
	  "the daemon has stopped") \
	X(EVENT_RELOAD, "reload", "c955fe5957874bb738c42d271e6445a3", LOG_NOTICE, ALWAYS, \
	  "the configuration is valid; the daemon re-executes its binary") \
	X(EVENT_RELOAD_REFUSED, "reload_refused", "279525117b89422dc71a24b497e56117", LOG_ERR, ALWAYS, \
	  "a reload was refused; the daemon continues unchanged") \
	X(EVENT_LINES_DROPPED, "lines_dropped", "5f4e6604d58b18f24766f5ce4f74f815", LOG_WARNING, ALWAYS, \
	  "log lines were lost because they were not read in time")
/* clang-format on */

enum event {
#define X(name, ...) name,
	EVENTS(X)
#undef X
		EVENT_COUNT,
};
