"""Overrides as a shell takes them: what is shown is typed, and read back."""

import shlex
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from mnist_flow.config.overrides import is_typed, join_searchpath, take_config_options, type_override, write_override

TEXTS = [
    *("2024", "1e-4", "1_000", "-3", "0x10", "true", "False", "null", "None", "nan", "inf", "-inf", ""),
    *("a,b", "a b", " a ", "a=b", "a#b", "~a", "~/x", "{a}", "{a:1}", "[a]", "(a)", "a:b", "a@b", "a%b", "+a", "!a"),
    *("it's", 'say "no"', """both ' and \"""", "a`b", "$HOME", "${oc.env:HOME}", "$(ls)", "C:\\x\\", "a\\'b", "a;b&c"),
    *("choice(1,2)", "range(3)", "glob(*)", "mlp*", "a|b", "ümlaut", "sqlite:///x.db", "params.`model.name` = 'mlp'"),
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("key", ["tracking.run_name", "+names"])
def test_what_is_shown_can_be_typed_and_gives_the_text(compose_config, key, text):
    value = [text, "plain"] if key == "+names" else text
    (argument,) = shlex.split(type_override(key, value))
    cfg = OmegaConf.to_container(compose_config(argument), resolve=True)
    assert (cfg["names"] if key == "+names" else cfg["tracking"]["run_name"]) == value


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        ("plain", "k=plain"),
        ("two words", "'k=two words'"),
        ("2024", "\"k='2024'\""),
        ("it's", '"k=\\"it\'s\\""'),
        (3, "k=3"),
        (1e-5, "k=1e-05"),
        (True, "k=true"),
        (None, "k=null"),
        (["a", "1", 2], "\"k=[a,'1',2]\""),
        ({"a": "b,c"}, "\"k={a:'b,c'}\""),
    ],
)
def test_values_are_quoted_only_where_they_must_be(value, typed):
    assert type_override("k", value) == typed


@pytest.mark.parametrize(
    "typed",
    [
        ["--config-dir", "own", "--config-dir=more", "--config-name", "mine"],
        ["--config-dir=own", "-cd", "more", "--config-name=mine"],
        ["-cd", "own", "-cd", "more", "-cn", "mine"],
    ],
    ids=" ".join,
)
def test_hydras_own_options_are_taken_out_of_what_was_typed(typed):
    overrides, folders, name = take_config_options(["seed=1", *typed, "-m", "reg=0"])
    assert overrides == ["seed=1", "-m", "reg=0"]
    assert folders == [Path.cwd() / "own", Path.cwd() / "more"]
    assert name == "mine"


def test_without_hydras_own_options_all_stays():
    assert take_config_options(["seed=1", "--cfg", "job"]) == (["seed=1", "--cfg", "job"], [], None)


@pytest.mark.parametrize(
    ("typed", "joined"),
    [
        (["seed=1"], ["seed=1", "hydra.searchpath=[file:///a,file:///b]"]),
        (
            ["hydra.searchpath=[file:///c]", "seed=1"],
            ["seed=1", "hydra.searchpath=[file:///a,file:///b,file:///c]"],
        ),
        (["+hydra.searchpath=file:///c"], ["hydra.searchpath=[file:///a,file:///b,file:///c]"]),
        (
            ["hydra.searchpath=[file:///c]", "hydra.searchpath=[file:///d]"],
            ["hydra.searchpath=[file:///a,file:///b,file:///d]"],
        ),
        (["hydra.searchpath=null"], ["hydra.searchpath=[file:///a,file:///b]"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_folders_come_before_those_of_the_last_searchpath_typed(typed, joined):
    assert join_searchpath(typed, ["/a", "/b"]) == joined


def test_without_folders_a_searchpath_stays_as_it_was_typed():
    typed = ["hydra.searchpath=[file:///c]", "seed=1"]
    assert join_searchpath(typed, []) == typed


def test_hydra_is_given_no_quotes_of_a_shell():
    assert write_override("k", "two words") == "k=two words"
    assert write_override("k", "2024") == "k='2024'"


@pytest.mark.parametrize(
    ("typed", "is_there"),
    [(["seed=1", "resume=false"], True), (["+resume=true"], True), (["seed=1", "my_resume=1", "resume.x=1"], False)],
)
def test_a_key_that_was_typed_is_told_from_others(monkeypatch, typed, is_there):
    assert is_typed("resume") is False
    monkeypatch.setattr(HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(HydraConfig, "get", lambda: OmegaConf.create({"overrides": {"task": typed}}))
    assert is_typed("resume") is is_there
