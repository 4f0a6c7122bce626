import pytest

from cnnkit.ops.schedule import Scale, fit_steps_to_budget, plan_scales, scale_sizes

SIZES = [(96, 128), (192, 256), (384, 512)]
FOUR_SIZES = [*SIZES, (768, 1024)]


def steps(plan):
    return [scale.steps for scale in plan]


def seconds(plan, per_megapixel, per_scale):
    return sum(s.pixels / 1e6 * s.steps * per_megapixel + per_scale for s in plan)


def test_scales_double_up_to_the_picture():
    assert scale_sizes(512, 512) == [(128, 128), (256, 256), (512, 512)]


def test_a_picture_smaller_than_the_smallest_scale_has_one():
    assert scale_sizes(1, 1) == [(1, 1)]
    assert scale_sizes(100, 60) == [(100, 60)]


def test_a_long_picture_keeps_at_least_one_pixel_of_its_short_side():
    assert scale_sizes(1, 512) == [(1, 128), (1, 256), (1, 512)]


def test_rounding_does_not_lose_the_first_of_the_papers_scales():
    # 512 / sqrt(2)^4 = 128
    sizes = scale_sizes(512, 512, factor=2**0.5)
    assert [height for height, _ in sizes] == [128, 181, 256, 362, 512]


def test_a_factor_that_does_not_grow_is_refused():
    with pytest.raises(ValueError, match=r"factor must be more than 1. Received: 1.0"):
        scale_sizes(512, 512, factor=1.0)


def test_each_scale_gets_its_preset_and_the_finest_ones_the_last():
    assert steps(plan_scales(SIZES, (30, 20))) == [30, 20, 20]


def test_a_plan_knows_its_pixels():
    assert plan_scales([(3, 4)], (1,)) == [Scale(3, 4, 1)]
    assert Scale(3, 4, 1).pixels == 12


@pytest.mark.parametrize("total", [3, 4, 7, 50, 99, 1000])
def test_a_total_is_kept_exactly_and_no_scale_is_empty(total):
    plan = plan_scales(SIZES, (150, 100, 60), total)
    assert sum(steps(plan)) == total
    assert min(steps(plan)) >= 1
    assert [(s.height, s.width) for s in plan] == SIZES


def test_a_total_keeps_the_presets_proportions():
    assert steps(plan_scales(SIZES, (30, 20, 10), total=30)) == [15, 10, 5]


@pytest.mark.parametrize("total", [1, 2])
def test_with_fewer_steps_than_scales_the_finest_scales_remain(total):
    plan = plan_scales(SIZES, (150, 100, 60), total)
    assert steps(plan) == [1] * total
    assert (plan[-1].height, plan[-1].width) == SIZES[-1]


def test_a_large_budget_gives_more_steps_than_the_preset():
    plan = fit_steps_to_budget(SIZES, (30, 20, 10), 1000.0, 1.0, 0.0)
    assert [scale.steps / most for scale, most in zip(plan, (30, 20, 10), strict=True)] == (
        pytest.approx([plan[0].steps / 30] * 3, rel=0.1)
    )
    assert plan[0].steps > 30


@pytest.mark.parametrize("budget", [0.9, 1.5, 2.0, 3.0, 3.2, 4.1, 7.7, 60.0])
def test_a_plan_fits_the_budget(budget):
    per_megapixel, per_scale = 1.3, 0.4
    plan = fit_steps_to_budget(FOUR_SIZES, (60, 30, 15, 8), budget, per_megapixel, per_scale)
    assert seconds(plan, per_megapixel, per_scale) <= budget
    assert min(steps(plan)) >= 1


def test_a_small_budget_ends_at_a_smaller_size():
    # All three scales start for 3 s; 60 x 0.0123 + 30 x 0.0492 Mpx alone would take 2.2 s.
    plan = fit_steps_to_budget(SIZES, (60, 30, 15), 2.5, 1.0, 1.0)
    assert [(s.height, s.width) for s in plan] == SIZES[:2]


@pytest.mark.parametrize("budget", [-5.0, 0.0, 1e-6])
def test_no_budget_at_all_still_takes_one_step(budget):
    assert fit_steps_to_budget(SIZES, (60, 30, 15), budget, 1.0, 1.0) == [Scale(96, 128, 1)]


def test_a_scale_that_affords_no_whole_step_is_left_out():
    # A tenth of the preset: 6 + 3 + 1.5 + 0.8 steps, and 0.8 steps are none.
    whole = sum(
        count * height * width / 1e6
        for count, (height, width) in zip((60, 30, 15, 8), FOUR_SIZES, strict=True)
    )
    plan = fit_steps_to_budget(FOUR_SIZES, (60, 30, 15, 8), 0.11 * whole, 1.0, 0.0)
    assert (plan[-1].height, plan[-1].width) == SIZES[-1]
    assert seconds(plan, 1.0, 0.0) <= 0.11 * whole


def test_sizes_whose_pixels_cost_more_get_fewer_steps():
    # 1 x 60 x 0.0123 + 1 x 30 x 0.0492 + 2 x 15 x 0.1966 = 8.1 s for the preset, half of it here.
    work = (1.0, 1.0, 2.0)
    plan = fit_steps_to_budget(SIZES, (60, 30, 15), 4.06, 1.0, 0.0, work)
    assert steps(plan) == [30, 15, 7]


def test_no_sizes_is_refused():
    with pytest.raises(ValueError, match="sizes must not be empty"):
        fit_steps_to_budget([], (1,), 1.0, 1.0, 1.0)
