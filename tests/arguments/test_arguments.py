"""Settings: flags, defaults, checks, and the way to JSON and back."""

from __future__ import annotations

import argparse
import dataclasses
import json

import pytest

from arguments import TrainOptions, extension, from_json, parse_train_options, to_cfg_args, to_json, train_parser
from utils.errors import UserError
from utils.losses.depth import LOSSES, NAMES, MipOptions, parse_losses
from utils.options import option


def all_defaults() -> dict[str, object]:
    stages = dataclasses.asdict(TrainOptions())
    return {name: value for stage in stages.values() for name, value in stage.items()}


def test_defaults_are_those_of_the_paper() -> None:
    expected = dict(
        sh_degree=3, images="images", resolution=-1, iterations=30_000, test_iterations=(7_000, 30_000),
        save_iterations=(7_000, 30_000), checkpoint_iterations=(), position_lr_init=1.6e-4, position_lr_final=None,
        feature_lr=None, opacity_lr=None, scaling_lr=None, rotation_lr=None, percent_dense=0.01, lambda_dssim=0.2,
        densification_interval=None, opacity_reset_interval=3_000, max_gaussians=None, strategy="budget",
    )  # fmt: skip
    values = all_defaults()
    assert {name: values[name] for name in expected} == expected


def test_no_flag_of_what_is_not_built() -> None:
    assert not {"train_test_exp"} & all_defaults().keys()


def test_the_help_has_the_formula_of_every_depth_loss() -> None:
    text = " ".join(train_parser().format_help().split())
    assert all(f"{name}: {LOSSES[name].formula}" in text for name in NAMES)
    assert text.isascii()  # a terminal of any encoding can show it


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ssi+other", "'other' is not"),
        ("", "'' is not"),
        ("ssi+", "'' is not"),
        ("ssi+2*ssi", "'ssi' comes twice"),
        ("-1*ssi", "weight '-1' of ssi"),
        ("nan*ssi", "weight 'nan' of ssi"),
        ("half*ssi", "weight 'half' of ssi"),
        ("inf*l1", "weight 'inf' of l1"),
        ("0*l1", "weight '0' of l1"),
    ],
)
def test_a_sum_of_depth_losses_that_cannot_be_read(text: str, problem: str) -> None:
    with pytest.raises(UserError, match=f"--depth_loss is '.*': .*{problem}") as raised:
        parse_train_options([f"--depth_loss={text}"])
    assert ", ".join(NAMES) in str(raised.value) and repr(text) in str(raised.value)


def test_a_sum_of_depth_losses() -> None:
    assert parse_losses("ssi + 0.5*silog+4e-1 * grad", "") == {"ssi": 1.0, "silog": 0.5, "grad": 0.4}
    assert parse_train_options(["--depth_loss", "ssi+0.5*silog"]).depth.depth_loss == "ssi+0.5*silog"


def test_a_command_line_of_graphdeco() -> None:
    options = parse_train_options(
        "-s data -m out -i images_4 -r 2 -w --eval --sh_degree 2 --iterations 7000 --test_iterations 1000 7000 "
        "--save_iterations 7000 --checkpoint_iterations 1000 --start_checkpoint chkpnt1.pth --quiet --detect_anomaly "
        "--random_background --antialiasing --position_lr_max_steps 7000 --densify_until_iter 4000 "
        "--densify_grad_threshold 0.0004 --optimizer_type sparse_adam --data_device cpu".split()
    )
    assert (options.model.source_path, options.model.model_path, options.model.images) == ("data", "out", "images_4")
    assert options.model.white_background and options.model.eval and options.run.quiet and options.run.detect_anomaly
    assert options.run.test_iterations == (1000, 7000) and options.run.checkpoint_iterations == (1000,)
    assert options.optimization.position_lr_max_steps == 7000 and options.densification.densify_until_iter == 4000
    assert options.densification.densify_grad_threshold == 0.0004
    assert options.optimization.optimizer_type == "sparse_adam" and options.pipeline.antialiasing


def test_stored_settings_are_the_defaults_of_a_resumed_run() -> None:
    stored = parse_train_options("-s data --eval --iterations 50 --test_images a.jpg b.jpg".split())
    options = parse_train_options(["--iterations", "60"], stored)
    assert options.run.iterations == 60
    assert options.model == stored.model and options.model.test_images == ("a.jpg", "b.jpg")


def test_json_round_trip() -> None:
    options = parse_train_options("-s data --test_iterations 5 6 --max_gaussians 10 --lambda_dssim 0.5 -w".split())
    assert from_json(to_json(options), "config.json") == options
    assert from_json("{}", "config.json") == TrainOptions()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "stages"),
        ('{"other": {}}', "stages"),
        ('{"run": {"iteration": 5}}', "iteration"),
        ('{"run": {"iterations": "5"}}', "iterations must be of type int"),
        ('{"run": {"iterations": true}}', "iterations must be of type int"),
        ('{"run": {"iterations": null}}', "iterations must be of type int"),
        ('{"run": {"test_iterations": 5}}', "test_iterations must be a list"),
        ('{"run": {"iterations": 0}}', "at least 1"),
        ('{"optimization": {"lambda_dssim": 1.5}}', "at most 1"),
        ('{"optimization": {"lambda_dssim": NaN}}', "lambda_dssim"),
        ('{"optimization": {"optimizer_type": "sgd"}}', "default, sparse_adam"),
    ],
)
def test_bad_json_is_refused_with_the_place(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as raised:
        from_json(text, "out/config.json")
    assert "out/config.json" in str(raised.value)


@pytest.mark.parametrize("flags", ["--iterations 0", "--sh_degree 4", "--lambda_dssim -0.1", "--seed -1"])
def test_values_out_of_range_are_refused(flags: str) -> None:
    with pytest.raises(UserError, match=flags.split()[0].strip("-")):
        parse_train_options(flags.split())


@pytest.mark.parametrize("flags", ["--viewer x", "--iter 5", "--data_device tpu", "--iterations many"])
def test_unknown_flags_and_values_end_with_status_2(flags: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        parse_train_options(flags.split())
    assert raised.value.code == 2 and flags.split()[0] in capsys.readouterr().err


def test_help_shows_every_flag_with_its_default() -> None:
    text = " ".join(train_parser().format_help().split())
    for name in all_defaults():
        assert f"--{name}" in text
    for default in ("0.00016", "7000 30000", "half of --iterations"):
        assert f"(default: {default})" in text


def test_each_help_text_stands_alone() -> None:
    """None points at the text before it, nor at a place on the screen."""
    for action in train_parser()._actions:
        words = str(action.help).replace(",", "").replace(";", "").split()
        if action.help != argparse.SUPPRESS and action.dest != "help":
            assert len(words) >= 4, action.dest
            assert words[0][0].islower() and words[0] not in ("and", "this", "that", "these", "it"), action.help
            assert not {"here", "this"} & set(words), action.help


def test_cfg_args_is_the_namespace_other_tools_read() -> None:
    text = to_cfg_args(parse_train_options("-s data -m out --eval".split()))
    assert text.startswith("Namespace(") and "source_path='data'" in text and "eval=True" in text
    namespace = eval(text, {"Namespace": argparse.Namespace})  # as those tools do; this project never does
    assert namespace.sh_degree == 3 and namespace.white_background is False


def test_json_is_plain() -> None:
    assert json.loads(to_json(TrainOptions()))["densification"]["densify_until_iter"] is None


# ---- options that a depth loss or a strategy declares ----------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Toy:
    """A strategy's own options"""

    toy_share: float = option(0.5, "share of all Gaussians", minimum=0, maximum=1)


STRATEGIES = {"default": None, "toy": Toy}


def test_declared_options_are_flags_and_settings() -> None:
    options = parse_train_options("--strategy toy --toy_share 0.25 --mip_window 7".split(), strategies=STRATEGIES)
    assert extension(Toy, options.extensions, "") == Toy(0.25)
    assert extension(MipOptions, options.extensions, "") == MipOptions(mip_window=7)
    assert from_json(to_json(options), "config.json") == options
    resumed = parse_train_options([], from_json(to_json(options), "config.json"), STRATEGIES)
    assert resumed == options
    text = " ".join(train_parser(strategies=STRATEGIES).format_help().split())
    assert "--toy_share X share of all Gaussians (default: 0.5)" in text and "--strategy {default,toy}" in text


def test_declared_options_are_checked() -> None:
    with pytest.raises(UserError, match="toy_share must be at most 1, not 2"):
        parse_train_options(["--toy_share", "2"], strategies=STRATEGIES)
    with pytest.raises(UserError, match="config.json: mip_window must be at least 1, not 0"):
        from_json('{"extensions": {"mip_window": 0}}', "config.json")
    with pytest.raises(UserError, match="extensions must be an object"):
        from_json('{"extensions": []}', "config.json")


def test_settings_of_runs_before_there_were_declared_options() -> None:
    options = from_json('{"depth": {"depth_loss": "mip_l1", "mip_window": 3}}', "config.json")
    assert options.depth.depth_loss == "mip_l1"
    assert extension(MipOptions, options.extensions, "") == MipOptions(mip_window=3)


# ---- bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["inf", "nan", "-inf", "1e13"])
def test_every_number_is_finite_and_bounded(value: str) -> None:
    hints = {name: each for name, each in all_defaults().items() if isinstance(each, float)}
    assert len(hints) > 15
    for name in hints:
        with pytest.raises(UserError, match=name):
            parse_train_options([f"--{name}={value}"])


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("seed", 10**22),
        ("seed", -1),
        ("iterations", 10**12),
        ("position_lr_init", 1.5),
        ("feature_lr", 2),
        ("max_gaussians", 2**31),
    ],
)
def test_numbers_have_their_bounds(flag: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{flag} must be at (least|most)"):
        parse_train_options([f"--{flag}", str(value)])


@pytest.mark.parametrize("value", [0, -2, 3, 15, 20_000])
def test_resolutions_that_mean_nothing(value: int) -> None:
    with pytest.raises(
        UserError, match=f"--resolution must be -1, 1, 2, 4, 8, or a width of 16 to 16384 pixels, not {value}"
    ):
        parse_train_options(["-r", str(value)])
    assert parse_train_options(["-r", "640"]).model.resolution == 640


STEPS = ("test_iterations", "save_iterations", "checkpoint_iterations")


@pytest.mark.parametrize("flag", STEPS)
@pytest.mark.parametrize("value", [0, -2, -7000])
def test_a_step_that_no_run_has_is_refused(flag: str, value: int) -> None:
    with pytest.raises(UserError, match=f"--{flag} must be steps from 1 on, or -1 for none, not {value}"):
        parse_train_options([f"--{flag}", "5", str(value)])


@pytest.mark.parametrize("flag", STEPS)
def test_minus_one_asks_for_no_step_as_in_graphdeco_s_scripts(flag: str) -> None:
    assert getattr(parse_train_options([f"--{flag}", "-1"]).run, flag) == (-1,)
