"""Tokenizers by name: what is missing or damaged beside a good network is one error that names folder and file."""

import json
import re
import shutil

import pytest

from lightning_interactions import TokenWords

transformers = pytest.importorskip("transformers")

HTML = b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n"
WANTED = r"a tokenizer with its vocabulary, tokenizer\.json or vocab\.txt, got "
HINT = r"\. HINT: .*get the tokenizer's files again, .*https://huggingface\.co"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What the library saves of a BERT but for its weights, with the vocabulary as a file of its own, too."""
    folder = tmp_path_factory.mktemp("whole")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "warm", "film"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    transformers.BertConfig().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "model")


def refused(folder, got):
    with pytest.raises(ValueError, match=f"^'{re.escape(str(folder))}' should hold {WANTED}{got}.*{HINT}") as raised:
        TokenWords(str(folder), n_variables=2)
    return raised.value


def test_a_whole_folder_is_taken(folder):
    assert TokenWords(str(folder), n_variables=2).tokenizer.tokenize("warm film") == ["warm", "film"]


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["cut", b"", HTML], ids=["cut", "empty", "html"])
def test_a_damaged_file_is_named(folder, name, content):
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content == "cut" else content)
    error = refused(folder, rf"what cannot be loaded \({re.escape(name)} is no whole JSON file: ")
    assert error.__cause__ is not None


def test_a_file_of_something_else_is_explained(folder):
    (folder / "tokenizer.json").write_text(json.dumps({"model": "another"}))
    refused(folder, r"what cannot be loaded \((?!.*is no whole JSON)")


@pytest.mark.parametrize("content", [b"", b"[PAD]\n[UNK]\n[MASK]\n"], ids=["empty", "cut"])
def test_a_vocabulary_without_words_is_none(folder, content):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    (folder / "vocab.txt").write_bytes(content)
    refused(folder, r"one of \d+ special tokens and no words")


def test_a_vocabulary_of_other_bytes_is_explained(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    (folder / "vocab.txt").write_bytes("warm caf\u00e9".encode("latin-1"))
    refused(folder, r"what cannot be loaded \(")


def test_a_folder_that_is_not_there_is_explained(tmp_path):
    folder = tmp_path / "nothing"
    said = rf"^'{re.escape(str(folder))}' is no folder here, and the hub did not give it \(.*{HINT}"
    with pytest.raises(FileNotFoundError, match=said):
        TokenWords(str(folder))


def test_a_library_that_is_missing_is_not_a_damaged_file(folder, monkeypatch):
    def incomplete(_name):
        msg = "pip install sentencepiece"
        raise ImportError(msg)

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", incomplete)
    with pytest.raises(ImportError, match=r"^pip install sentencepiece$"):
        TokenWords(str(folder))
