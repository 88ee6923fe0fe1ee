/* SPDX-License-Identifier: Apache-2.0 */
#include "zkh_result.h"

#include <zookeeper/zookeeper.h>

#include "zk/session/zkh_internal.h"

/* Servers since 3.7 send it; the header does not name it. */
#define QUOTA_EXCEEDED (-125)

const char *zkh_result_text(int result)
{
	switch (result) {
#define X(name, value, text)                                                                       \
	case name:                                                                                 \
		return text;
		ZKH_RESULTS(X)
#undef X
	default:
		return "unknown result";
	}
}

int zkh_result_translate(int code)
{
	switch (code) {
	case ZOK:
		return ZKH_OK;
	case ZNONODE:
		return ZKH_NO_NODE;
	case ZNODEEXISTS:
		return ZKH_NODE_EXISTS;
	case ZBADVERSION:
		return ZKH_CONFLICT;
	case ZNOTEMPTY:
		return ZKH_NOT_EMPTY;
	case ZNOCHILDRENFOREPHEMERALS:
		return ZKH_EPHEMERAL;
	case ZBADARGUMENTS:
		return ZKH_INVALID;
	case ZNOAUTH:
		return ZKH_DENIED;
	case ZAUTHFAILED:
	case ZINVALIDACL: /* "creator" in an ACL, but nobody is authenticated */
		return ZKH_AUTH_FAILED;
	case QUOTA_EXCEEDED:
		return ZKH_QUOTA;
	case ZNOTREADONLY:
		return ZKH_READ_ONLY;
	case ZTHROTTLEDOP:
		return ZKH_THROTTLED;
	case ZCONNECTIONLOSS:
	case ZOPERATIONTIMEOUT:
	case ZRUNTIMEINCONSISTENCY:
	case ZCLOSING:
	case ZSESSIONEXPIRED:
	case ZSESSIONMOVED:
		return ZKH_UNKNOWN;
	default:
		return ZKH_FAILED;
	}
}
