/* SPDX-License-Identifier: Apache-2.0 */

/* Whom a takeover asks: nodes that the list of nodes names late, or not at all. */

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cluster/recovery.h"
#include "test_zkh_common.h"

#define LEASE_US (INT64_C(5) * 1000000)
#define SESSION_US (INT64_C(10) * 1000000)

struct scene {
	struct world world;
	struct survivor survivor;
	struct recovery recovery;
	char found[NAME_SIZE]; /* the corpse that was told of last */
	unsigned too_many;     /* how often that was told */
	bool over;
	enum election_result result;
	int32_t count;
};

static void on_note(void *userdata, enum recovery_news news, const char *name,
		    const char *router_state, int64_t wait_us)
{
	struct scene *scene = userdata;

	if (news == RECOVERY_FOUND)
		strcpy(scene->found, name);
	scene->too_many += news == RECOVERY_TOO_MANY;
}

static void on_count(void *userdata, enum election_result result, int32_t count)
{
	struct scene *scene = userdata;

	scene->over = true;
	scene->result = result;
	scene->count = count;
}

/* A node that died while it acted. */
static void plant_dead(struct scene *scene, const char *name)
{
	struct keepalive term = { 7, LEASE_US, 1, "machine", "boot" };
	char path[KEY_PATH_SIZE], text[KEEPALIVE_SIZE];

	node_key_path(name, NODE_KEY_ROUTER, path);
	plant(&scene->world, path, "primary");
	keepalive_format(&term, text);
	node_key_path(name, NODE_KEY_KEEPALIVE, path);
	plant(&scene->world, path, text);
}

static void begin(struct scene *scene)
{
	memset(scene, 0, sizeof(*scene));
	world_init(&scene->world, "/");
	plant(&scene->world, PATH_CLUSTER, "x");
	plant(&scene->world, PATH_NODES "/here", "");
	recovery_init(&scene->recovery, &scene->survivor, "here", NULL, on_note, scene);
	world_open(&scene->world);
}

static void scan(struct scene *scene, const char *before)
{
	scene->over = false;
	recovery_begin(&scene->recovery, before, true, SESSION_US);
	recovery_scan(&scene->recovery, scene->world.session, on_count);
	assert_true(scene->over || world_wait(&scene->world, &scene->over, 10000));
	assert_int_equal(scene->result, RESULT_OK);
}

static void end(struct scene *scene)
{
	recovery_cancel(&scene->recovery);
	world_finish(&scene->world);
}

/* More names than are asked hide nobody: the owner before is asked, all others are waited for. */
static void test_too_many_names(void **state)
{
	char path[KEY_PATH_SIZE];
	struct scene scene;

	begin(&scene);
	for (int i = 0; i < SURVEY_NODES_MAX; i++) {
		snprintf(path, sizeof(path), PATH_NODES "/a%d", i);
		plant(&scene.world, path, "");
	}
	plant_dead(&scene, "zz");
	scan(&scene, "zz");
	assert_int_equal(scene.count, 1);
	assert_string_equal(scene.found, "zz");
	assert_int_equal(scene.too_many, 1);
	assert_true(scene.recovery.until_us > time_boot_us() + 2 * LEASE_US);
	end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_too_many_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
