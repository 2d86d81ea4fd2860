"""Pretrained encoders that are missing, cut or another network's: one error that says which and what to get."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from experiments.cli import main
from experiments.data.sst2 import Sst2
from experiments.models.bert import Bert

HTML = b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 12\n"
HELP = r"HINT: .*config\.json, model\.safetensors and the tokenizer's files .*https://huggingface\.co and put them into"


@pytest.fixture
def encoder(tmp_path, write_encoder):
    return write_encoder(tmp_path / "encoder")


def refused(load, folder, said, error=ValueError):
    with pytest.raises(error) as raised:
        load(str(folder))
    message = str(raised.value)
    assert re.search(said, message), message
    assert re.search(rf"{HELP} '{re.escape(str(folder))}'; .* --local-dir {re.escape(str(folder))}\.", message), message


def tokens(folder):
    return Sst2(tokenizer=folder)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("load", [Bert, tokens])
def test_an_encoder_that_is_not_there_is_explained(tmp_path, load):
    for name in (tmp_path / "nothing", "data/models/nothing"):
        refused(load, name, f"'{name}' is no folder here, and the hub did not give it", FileNotFoundError)
    (tmp_path / "empty").mkdir()
    refused(load, tmp_path / "empty", rf"'{tmp_path}/empty' should hold .*, got what cannot be loaded \(")


def test_a_name_that_the_hub_does_not_give_is_explained(monkeypatch):
    def unreachable(*_, **__):
        msg = "We couldn't connect to 'https://huggingface.co'"
        raise OSError(msg)

    monkeypatch.setattr("transformers.configuration_utils.cached_file", unreachable)
    refused(Bert, "someone/model", r"'someone/model' is no folder here.*\(We couldn't connect to", FileNotFoundError)


@pytest.mark.parametrize("content", [None, "cut", b"", HTML, b"{}"], ids=["none", "cut", "empty", "html", "another"])
def test_a_configuration_that_is_none_is_named(encoder, content):
    path = encoder / "config.json"
    if content is None:
        path.unlink()
    elif content == "cut":
        cut(path)
    else:
        path.write_bytes(content)
    refused(Bert, encoder, rf"'{encoder}' should hold the configuration of a network, config\.json, got")


@pytest.mark.parametrize("content", [None, "cut", b"", HTML, POINTER], ids=["none", "cut", "empty", "html", "pointer"])
def test_weights_that_are_none_are_named(encoder, content):
    path = encoder / "model.safetensors"
    if content is None:
        path.unlink()
    elif content == "cut":
        cut(path)
    else:
        path.write_bytes(content)
    refused(Bert, encoder, rf"'{encoder}' should hold the weights of its config\.json, model\.safetensors .*, got")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"num_hidden_layers": 3}, r"got none for 32 tensors, the first being bert\.encoder\.layer\.1\."),
        ({"hidden_size": 32}, r"got bert\..* of shape \(.*16.*\) in place of \(.*32.*\)"),
    ],
)
def test_weights_of_another_network_are_named(encoder, changed, said):
    path = encoder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    refused(Bert, encoder, said)


def test_weights_under_other_names_are_named(encoder):
    path = encoder / "model.safetensors"
    save_file({f"h.{name}": tensor for name, tensor in load_file(path).items()}, path, {"format": "pt"})
    refused(Bert, encoder, r"got none for \d+ tensors, the first being bert\.")


def test_the_weights_that_are_there_are_taken(encoder):
    """Also of an encoder without a pooler, as one that was trained to fill in words is stored."""
    path = encoder / "model.safetensors"
    stored = {name: tensor for name, tensor in load_file(path).items() if "pooler" not in name}
    save_file(stored, path, {"format": "pt"})
    found = dict(Bert(str(encoder)).transformer.bert.named_parameters())

    assert stored
    assert all(torch.equal(found[name], tensor) for name, tensor in stored.items())


def test_a_tokenizer_without_a_vocabulary_is_named(encoder):
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (encoder / name).unlink()
    assert AutoTokenizer.from_pretrained(str(encoder)).tokenize("the movie") == ["[UNK]", "[UNK]"]
    refused(tokens, encoder, r"a tokenizer with its vocabulary, .*, got one of 5 special tokens and no words")


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["cut", b"", HTML], ids=["cut", "empty", "html"])
def test_a_tokenizer_that_is_none_is_named(encoder, name, content):
    cut(encoder / name) if content == "cut" else (encoder / name).write_bytes(content)
    refused(tokens, encoder, r"a tokenizer with its vocabulary, .*, got what cannot be loaded \(")


def test_the_command_line_explains_it_as_well(miniature, tmp_path, monkeypatch):
    root = Path(__file__).parents[2]
    shutil.copytree(miniature / "data", tmp_path / "data")
    (tmp_path / "data" / "models" / "minilm-l6" / "config.json").write_bytes(HTML)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["experiments"])
    with pytest.raises(ValueError, match=r"'data/models/minilm-l6' should hold the configuration"):
        main(["fit", f"--config={root / 'configs' / 'minilm_sst2.yaml'}", "--trainer.accelerator=cpu"])
