"""Pretrained encoders that are missing, cut or another network's: one error that says which and what to get."""

import json
import re
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from experiments.cli import main
from experiments.data.sst2 import Sst2
from experiments.models.bert import Bert
from experiments.sizes import config_files

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


def damage(path, content):
    """Remove a file where there is no content, cut it, or put another content into it."""
    if content is None:
        path.unlink()
    elif content == "cut":
        cut(path)
    else:
        path.write_bytes(content)


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
    damage(path, content)
    refused(Bert, encoder, rf"'{encoder}' should hold the configuration of a network, config\.json, got")


@pytest.mark.parametrize("content", [None, "cut", b"", HTML, POINTER], ids=["none", "cut", "empty", "html", "pointer"])
def test_weights_that_are_none_are_named(encoder, content):
    path = encoder / "model.safetensors"
    damage(path, content)
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


@pytest.mark.parametrize("run", ["bert_medium_sst2", "minilm_sst2"])
def test_one_option_names_the_size_the_weights_and_the_tokenizers(run, miniature, tmp_path, write_encoder, monkeypatch):
    other = write_encoder(tmp_path / "other", hidden_size=24, first=["good"])
    monkeypatch.chdir(miniature)
    monkeypatch.setattr("sys.argv", ["experiments"])
    options = ["--data.init_args.batch_size=2", "--data.init_args.n_train=4", "--monitor.n_samples=2", "--n=2"]
    options += ["--trainer.accelerator=cpu", "--trainer.fast_dev_run=true", "--similarity.at_epochs=[]"]
    options += [f"--model.network.init_args.pretrained={other}"]
    cli = main(["fit", *(f"--config={file}" for file in config_files(run, "small")), *options])
    network, words = cli.model.network.transformer, cli.config_init["fit"].monitor.variables
    stored = load_file(other / "model.safetensors")

    assert network.config.hidden_size == 24
    assert network.config.num_hidden_layers == 1
    for key, weights in network.bert.embeddings.named_parameters():
        torch.testing.assert_close(weights, stored[f"embeddings.{key}"], rtol=0, atol=0.01)  # after one step
    for tokenizer in (cli.datamodule.tokenizer, words.tokenizer):
        assert tokenizer.convert_ids_to_tokens([5, 6, 7]) == ["good", "the", "."]
    assert cli.config_init["fit"].monitor.history[0]["failures"] == 0
    # What is written beside the run is what was taken.
    written = cli.config.fit
    assert written.model.network.init_args.config is None
    assert written.data.init_args.tokenizer == written.monitor.variables.init_args.tokenizer == str(other)


def test_random_weights_leave_the_tokenizers_to_their_own_options(miniature, tmp_path, write_encoder, monkeypatch):
    other = write_encoder(tmp_path / "other", first=["good"])
    monkeypatch.chdir(miniature)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
        options = [f"--data.init_args.tokenizer={other}", "--trainer.accelerator=cpu"]
        cli = main([*(f"--config={file}" for file in config_files("bert_medium_sst2", "small")), *options], run=False)

    assert cli.model.network.transformer.config.hidden_size == 128
    assert cli.datamodule.tokenizer.name_or_path == str(other)
    assert cli.config_init.monitor.variables.tokenizer.name_or_path == "data/models/minilm-l6"
