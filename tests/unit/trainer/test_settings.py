"""Recipes: the included ones are complete, and an error in one names key, value and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.contract.errors import InputError
from trainer.choices import Network, recipe_names
from trainer.settings import Recipe, chip_of, read_recipe


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_that_comes_along_gives_reasons_and_chips(name: str) -> None:
    recipe = read_recipe(name)
    assert chip_of(recipe).side_px == recipe.chip.side
    text = (Path(__file__).parents[3] / f"trainer/recipes/{name}.toml").read_text()
    assert text.startswith("# ")
    assert text.count("#") >= 5


def test_the_recipes_are_those_that_the_manual_names() -> None:
    assert recipe_names() == ["compact", "koch-omniglot", "personal", "siamese", "transfer"]


def test_a_value_from_the_command_line_wins() -> None:
    recipe = read_recipe("siamese").changed(schedule__epochs=3, tower__network=None, seed=5)
    assert (recipe.schedule.epochs, recipe.tower.network, recipe.seed) == (3, Network.COMPACT, 5)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[tower]\nnetwrok = 'koch'", "tower.netwrok = 'koch': extra inputs are not permitted"),
        ("[tower]\nnetwork = 'vgg'", "tower.network = 'vgg'"),
        ("[schedule]\nlearning_rate = 7", "schedule.learning_rate = 7: input should be less than or equal to 1"),
        ("seed = 4294967296", "seed = 4294967296: input should be less than"),
        ("[loss]\npairs = 0.0", "pairs, teacher and contrast are all 0"),
        ("[tower]\nspread = 6.0", "tower.spread with loss.pairs"),
        ("[loss]\npairs = 0.0\nteacher = 1.0", "loss.pairs = 0 without tower.normalise"),
        ("[tower]\nquantised = true", "tower.quantised without tower.init"),
        ("[tower]\ninner = [8, 8, 8, 8, 8]", "tower.inner with tower.network = compact: only 'resnet' has blocks"),
        ("[tower]\nnarrow = { s3b0_1 = 8 }", "tower.narrow with tower.network = compact: only 'resnet' has blocks"),
        ("[tower]\ntrim = 16", "tower.trim = 16: only the middle of an aligned square is known to hold the face"),
        ("[tower]\nnetwork = 'resnet'\nalign = true\ntrim = 8", "tower.trim = 8: input should be a multiple of 16"),
        ("[tower]\nfixed = 2", "tower.fixed = 2 without tower.init"),
        ("[schedule", "unreadable"),
    ],
)
def test_a_wrong_recipe_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_recipe(str(path))
    assert told in str(error.value)
    assert "own.toml" in str(error.value)


def test_an_unknown_recipe_names_the_known() -> None:
    with pytest.raises(InputError, match="the included recipes are compact"):
        read_recipe("best")


def test_the_defaults_are_a_recipe() -> None:
    assert Recipe().changed() == Recipe()


def test_stages_are_fixed_only_where_there_are_some() -> None:
    with pytest.raises(InputError, match="only 'resnet' has stages"):
        Recipe().changed(tower__init="run", tower__network="compact", tower__fixed=1)
