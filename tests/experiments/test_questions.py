"""The page of questions: written from stored answers alone."""

import json

import pytest

from experiments.questions.page import write_page
from experiments.questions.settings import QUESTIONS


def point(epoch, share):
    return {
        "epoch": epoch,
        "positive": [0.5, 0.4, 0.1],
        "negative": [0.5, None, 0.1],
        "mean_order": 1.6,
        "l1": 3.0,
        "solver_gap": 1e-7,
        "spindle_share": share,
        "spindle_share_interval": [0.0, 0.9],
    }


def answer(setting, **more):
    return {"setting": setting, "points": [point(epoch, epoch / 10) for epoch in (0, 2, 8)]} | more


@pytest.fixture
def answers(tmp_path):
    path = tmp_path / "questions.json"
    curves = {"epochs": [0, 2, 8], "mean_order": [3.0, 2.0, 2.5], "loss_gap": [0.0, None, 0.5]}
    content = {
        "run": "lenet_mnist",
        "size": "small",
        "seed": 0,
        "epochs": [0, 2, 8],
        "n_samples": 20,
        "machine": "a machine",
        "date": "2026-01-01T00:00:00",
        "answers": {
            "solver": [answer("interior_point"), answer("sgd")],
            "weight_decay": [answer("weight decay 0", **curves)],
        },
    }
    path.write_text(json.dumps(content))
    return path


def test_the_page_shows_the_answers_that_there_are(answers, tmp_path):
    page = write_page(answers, tmp_path / "docs" / "questions.md")
    text = page.read_text()

    assert QUESTIONS["solver"] in text
    assert QUESTIONS["grid"] not in text
    shares = "not identified (0.00 … 0.90), not identified (0.00 … 0.90)"
    assert "No: `sgd` ends at 1, 1, 1 times the least L1" in text
    assert (
        "With a weight decay of 0 the training ends with a mean order of 1.60, an L1 of 3 and a loss gap of"
        in " ".join(text.split())
    )
    assert f"| sgd | 1.60 → 1.60 → 1.60 | {shares} | 3 → 3 → 3 | 1.0e-07 |" in text
    for line in text.splitlines():
        if line.startswith("!["):
            assert (page.parent / line.split("(")[1].rstrip(")")).read_bytes().startswith(b"\x89PNG")


def test_a_solver_that_ends_less_sparse_than_nothing_done_is_named(answers, tmp_path):
    def found(setting, *l1):
        points = [point(epoch, 0.0) | {"l1": amount} for epoch, amount in zip((0, 2, 8), l1, strict=True)]
        return {"setting": setting, "points": points}

    content = json.loads(answers.read_text())
    solvers = [found("interior_point", 1, 2, 4), found("sgd", 3, 3, 5), found("none", 2, 8, 9)]
    answers.write_text(json.dumps(content | {"answers": {"solver": solvers}}))
    text = write_page(answers, tmp_path / "questions.md").read_text()

    assert "at the three epochs: sgd 3, 1.5, 1.25; none 2, 4, 2.25." in text
    assert "At epoch 0 `sgd` is further from sparse than `none`" in text


def test_settings_of_different_solvers_are_told_apart_and_counted(answers, tmp_path):
    def found(n, *orders):
        strength = {"positive": [0.5] * n, "negative": [0.5] * n, "spindle_share_interval": [0.0, 0.3]}
        points = [
            point(epoch, 0.1) | strength | {"mean_order": order} for epoch, order in zip((0, 2, 8), orders, strict=True)
        ]
        return {"setting": f"n = {n}", "points": points}

    content = json.loads(answers.read_text())
    answers.write_text(json.dumps(content | {"answers": {"n": [found(6, 2.0, 1.9, 1.9), found(12, 4.0, 2.5, 3.5)]}}))
    text = write_page(answers, tmp_path / "questions.md").read_text()

    assert "| n = 6, `interior_point` |" in text
    assert "| n = 12, `admm` |" in text
    said = " ".join(text.split())
    assert "Yes: the mean order falls in the normal phase in 1 of 2 settings and rises again after it in 1;" in said
    assert "identified in 2 of 2 settings and is 0.10 … 0.10 there." in said
