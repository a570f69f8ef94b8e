/* Runs that come one after another read the same data once, and other data again; what training writes into samples is
 * not there for the next run. */
#include "tests/support/run/run_test.h"

#include <stdio.h>

#include "host/train/setup/shared_data.h"
#include "host/train/train.h"
#include "tests/support/expect.h"

static vkft_train_options options_of(const vkft_test_run_fixture *f, vkft_shared_data *shared)
{
    vkft_train_options o = vkft_train_defaults();
    o.model.path = f->model;
    o.model.quant = VKFT_STORAGE_none;
    o.data.path = vkft_test_run_at(f, "d");
    o.data.max_seq_length = 16;
    o.dry_run = true;
    o.shared_data = shared;
    return o;
}

static void plan(const vkft_train_options *options)
{
    const vkft_train_observer observer = {0};
    vkft_train_plan made;
    vkft_err err = {0};
    expect_ok(vkft_train_plan_make(options, &observer, &made, &err));
}

static void same_data_once(void **state)
{
    vkft_shared_data shared = {0};
    vkft_train_options o = options_of(*state, &shared);
    vkft_sample *read[2];
    plan(&o);
    for (int i = 0; i < 2; i++) {
        read[i] = shared.part[i].data.samples;
        assert_non_null(read[i]);
    }
    assert_int_equal(shared.part[VKFT_SHARED_TRAIN].data.count, 4);
    assert_false(shared.part[VKFT_SHARED_RETAINED].there);
    read[0]->reference = -5;
    read[0]->mismatched = read[1];
    o.learning_rate = 1;
    o.lora_r = 3;
    plan(&o);
    /* what was read again would lie elsewhere, since the old ones are freed after that */
    for (int i = 0; i < 2; i++)
        assert_ptr_equal(shared.part[i].data.samples, read[i]);
    assert_true(read[0]->reference == 0 && !read[0]->mismatched);
    vkft_shared_data_close(&shared);
    assert_null(shared.part[VKFT_SHARED_TRAIN].data.samples);
}

static void other_data_again(void **state)
{
    vkft_shared_data shared = {0};
    vkft_train_options o = options_of(*state, &shared);
    plan(&o);
    uint32_t longest = shared.part[VKFT_SHARED_TRAIN].data.max_length;
    assert_true(longest > 4);
    o.data.max_seq_length = 4;
    o.retain_data = o.data.path;
    plan(&o);
    assert_int_equal(shared.part[VKFT_SHARED_TRAIN].data.max_length, 4);
    assert_int_equal(shared.part[VKFT_SHARED_RETAINED].data.max_length, 4);
    o.data.max_seq_length = 16;
    plan(&o);
    assert_int_equal(shared.part[VKFT_SHARED_TRAIN].data.max_length, longest);
    assert_int_equal(shared.part[VKFT_SHARED_RETAINED].data.max_length, longest);
    vkft_shared_data_close(&shared);
}

/* Nothing is taken from a run that could not open its data. */
static void failures(void **state)
{
    vkft_shared_data shared = {0};
    vkft_train_options o = options_of(*state, &shared);
    const vkft_train_observer observer = {0};
    vkft_train_plan made;
    vkft_err err = {0};
    o.data.path = "no such file";
    assert_false(vkft_train_plan_make(&o, &observer, &made, &err));
    assert_false(shared.part[VKFT_SHARED_TRAIN].there);
    vkft_shared_data_close(&shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_data_once), cmocka_unit_test(other_data_again),
                                       cmocka_unit_test(failures)};
    return cmocka_run_group_tests_name("shared_data", tests, vkft_test_run_set_up, vkft_test_run_tear_down);
}
