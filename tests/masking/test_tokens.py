"""Words of sentences, with three kinds of tokenizers built on the spot, against words found in the text itself."""

import re

import pytest
import torch

from lightning_interactions.masking.forward import values
from lightning_interactions.masking.tokens import STOP_WORDS, TokenWords

tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")

SENTENCES = [
    "The gripping film, though unevenly paced, never bored me.",
    "A beautiful film with unforgettable music!",
    "It was (sadly) paced badly: boring music and boredom.",
    "Not good.",
]
MEANINGFUL = [
    ["gripping", "film", "unevenly", "paced", "never", "bored"],
    ["beautiful", "film", "unforgettable", "music"],
    ["sadly", "paced", "badly", "boring", "music", "boredom"],
    ["good"],
]
SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def word_piece():
    pieces = """
        the a film gripping though never me beaut with music it was and not good pace bor un bad sad
        ##e ##d ##ly ##even ##iful ##ing ##dom ##forgettable ##table , . ! ( ) :
    """
    vocabulary = {piece: number for number, piece in enumerate([*SPECIAL.values(), *pieces.split()])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token=SPECIAL["unk_token"]))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = tokenizers.decoders.WordPiece()
    return tokenizer


def byte_level_bpe():
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*SENTENCES, "don't won’t it's – café"], trainer)
    return tokenizer


def sentence_piece():
    tokenizer = tokenizers.Tokenizer(tokenizers.models.Unigram())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [tokenizers.pre_tokenizers.Metaspace(), tokenizers.pre_tokenizers.Punctuation()]
    )
    tokenizer.decoder = tokenizers.decoders.Metaspace()
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=60, special_tokens=list(SPECIAL.values()), unk_token=SPECIAL["unk_token"], show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


KINDS = {"WordPiece": word_piece, "byte-level BPE": byte_level_bpe, "SentencePiece": sentence_piece}


def wrap(tokenizer, **special):
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request):
    return wrap(KINDS[request.param](), **SPECIAL)


@pytest.fixture(scope="module")
def bert_tokenizer():
    return wrap(word_piece(), **SPECIAL)


def encode(tokenizer, sentences, **options):
    return tokenizer(sentences, return_tensors="pt", padding=True, **options)


def pieces_of(tokenizer, sentence, word):
    """Positions of the tokens that cover the first place where the word stands alone in the text."""
    start, end = re.search(rf"\b{word}\b", sentence).span()
    offsets = tokenizer(sentence, return_offsets_mapping=True)["offset_mapping"]
    return tuple(place for place, (first, last) in enumerate(offsets) if max(first, start) < min(last, end))


@pytest.mark.parametrize("sentence", range(4))
def test_words_are_all_their_pieces_and_only_meaningful_ones(sentence, tokenizer):
    text, meaningful = SENTENCES[sentence], MEANINGFUL[sentence]
    (draw,) = TokenWords(tokenizer, n_variables=len(meaningful)).draw(encode(tokenizer, [text]))

    assert draw.names == tuple(meaningful)
    assert draw.positions == tuple(pieces_of(tokenizer, text, word) for word in meaningful)


def test_the_tokenizers_split_some_words(tokenizer):
    """Else the test above would show nothing."""
    lengths = [len(pieces_of(tokenizer, SENTENCES[0], word)) for word in MEANINGFUL[0]]

    assert max(lengths) > 1


@pytest.mark.parametrize("side", ["right", "left"])
def test_draws_depend_neither_on_the_batch_nor_on_padding(side, tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "padding_side", side)
    words = TokenWords(tokenizer, n_variables=3)
    alone = [words.draw(encode(tokenizer, [text]))[0] for text in SENTENCES[:3]]
    together = encode(tokenizer, [*SENTENCES[2::-1], "film " * 60])
    drawn = words.draw(together)[2::-1]

    for row, (one, other) in enumerate(zip(alone, drawn, strict=True)):
        shift = int((together["attention_mask"][2 - row] == 0).sum()) if side == "left" else 0
        assert other.names == one.names
        assert other.positions == tuple(tuple(place + shift for place in word) for word in one.positions)


def test_padding_is_known_without_an_attention_mask(tokenizer):
    words = TokenWords(tokenizer, n_variables=3)
    padded = encode(tokenizer, SENTENCES[:2])

    assert words.draw({"input_ids": padded["input_ids"]}) == words.draw(padded)


def test_another_seed_draws_other_words(bert_tokenizer):
    batch = encode(bert_tokenizer, SENTENCES[:3])
    draws = TokenWords(bert_tokenizer, n_variables=2).draw(batch)
    others = [TokenWords(bert_tokenizer, n_variables=2, seed=seed).draw(batch) for seed in range(1, 4)]

    assert all(other != draws for other in others)
    assert TokenWords(bert_tokenizer, n_variables=2, seed=9).draw(batch, seed=0) == draws


def test_every_meaningful_word_is_drawn_sometimes_and_nothing_else(bert_tokenizer):
    batch = encode(bert_tokenizer, SENTENCES[:1])
    words = TokenWords(bert_tokenizer, n_variables=1)

    assert {words.draw(batch, seed)[0].names[0] for seed in range(100)} == set(MEANINGFUL[0])


def test_sentences_with_too_few_words_have_no_draw(tokenizer):
    draws = TokenWords(tokenizer, n_variables=5).draw(encode(tokenizer, [*SENTENCES, ""]))

    assert [draw is None for draw in draws] == [False, True, False, True, True]


@pytest.mark.parametrize(
    ("stop_words", "expected"),
    [((), ("it", "was", "sadly", "paced", "badly")), (["IT", "Sadly"], ("was", "paced", "badly"))],
)
def test_stop_words_can_be_given(stop_words, expected, bert_tokenizer):
    words = TokenWords(bert_tokenizer, n_variables=len(expected), stop_words=stop_words)
    (draw,) = words.draw(encode(bert_tokenizer, ["It was (sadly) paced badly."]))

    assert draw.names == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("don't won’t it's – film music", ("film", "music")),
        ("“the” film… “music”", ("film", "music")),
        ("café—film", ("café", "film")),
    ],
)
def test_byte_level_pieces_beyond_ascii_are_understood(text, expected):
    tokenizer = wrap(byte_level_bpe(), **SPECIAL)
    (draw,) = TokenWords(tokenizer, n_variables=2).draw(encode(tokenizer, [text]))

    assert draw.names == expected
    assert TokenWords(tokenizer, n_variables=3).draw(encode(tokenizer, [text])) == [None]


def test_exactly_the_pieces_of_absent_words_are_replaced(tokenizer):
    words = TokenWords(tokenizer, n_variables=3)
    batch = encode(tokenizer, SENTENCES[:3])
    batch["flag"] = None
    draws = words.draw(batch)
    masks = torch.tensor([[True, False, True], [False, False, False], [True, True, True]])
    before = {key: batch[key].clone() for key in ("input_ids", "attention_mask")}
    masked = words.mask(batch, draws, masks)

    for sample in range(3):
        for number, mask in enumerate(masks.tolist()):
            expected = batch["input_ids"][sample].tolist()
            for word, present in zip(draws[sample].positions, mask, strict=True):
                for place in word:
                    expected[place] = expected[place] if present else tokenizer.mask_token_id
            row = 3 * sample + number
            assert masked["input_ids"][row].tolist() == expected
            assert torch.equal(masked["attention_mask"][row], batch["attention_mask"][sample])
    assert masked["flag"] is None
    assert all(torch.equal(batch[key], tensor) for key, tensor in before.items())


@pytest.fixture
def bert(bert_tokenizer):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.BertForSequenceClassification(
            transformers.BertConfig(
                vocab_size=len(bert_tokenizer),
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=16,
                initializer_range=0.5,
            )
        ).double()


@pytest.mark.parametrize("mask_batch_size", [1, 5, None])
def test_a_classifier_sees_the_sentences_masked_by_hand(mask_batch_size, bert, bert_tokenizer, slow_log_odds):
    words = TokenWords(bert_tokenizer, n_variables=3)
    batch = encode(bert_tokenizer, SENTENCES[:3])
    targets, draws = torch.tensor([1, 0, 1]), words.draw(batch)
    found = values(bert.train(), batch, targets, words, draws, mask_batch_size=mask_batch_size)

    assert bert.training
    bert.eval()
    for sample, draw in enumerate(draws):
        for subset in range(8):
            one = {key: batch[key][sample : sample + 1].clone() for key in batch}
            for variable, places in enumerate(draw.positions):
                if not subset >> variable & 1:
                    one["input_ids"][0, list(places)] = bert_tokenizer.mask_token_id
            expected = slow_log_odds(bert(**one).logits[0].detach(), targets[sample])
            assert found[sample, subset].item() == pytest.approx(expected, abs=1e-9)


def widths_seen(model, run):
    """Tokens a sentence has in each forward pass of ``run()``."""
    seen = []
    handle = model.register_forward_hook(
        lambda _module, _arguments, keywords, _output: seen.append(keywords["input_ids"].shape[1]), with_kwargs=True
    )
    try:
        run()
    finally:
        handle.remove()
    return seen


@pytest.mark.parametrize("padding", [True, "max_length"])
def test_padding_is_left_out(padding, bert, bert_tokenizer):
    words = TokenWords(bert_tokenizer, n_variables=3)
    batch = bert_tokenizer(SENTENCES[:3], return_tensors="pt", padding=padding, max_length=60, truncation=True)
    own = batch["attention_mask"].sum(dim=1).tolist()
    classes, draws = torch.tensor([1, 0, 1]), words.draw(batch)

    seen = widths_seen(bert, lambda: values(bert, batch, classes, words, draws, mask_batch_size=4))
    assert seen[-6:] == [own[0], own[0], own[1], own[1], own[2], own[2]]
    seen = widths_seen(bert, lambda: values(bert, batch, classes, words, draws, mask_batch_size=16))
    assert seen[-2:] == [max(own[:2]), own[2]]  # two sentences in one pass: the longer one decides


def test_padding_on_the_left_stays(bert, bert_tokenizer, monkeypatch):
    monkeypatch.setattr(bert_tokenizer, "padding_side", "left")
    words = TokenWords(bert_tokenizer, n_variables=3)
    batch = encode(bert_tokenizer, SENTENCES[:3])
    seen = widths_seen(bert, lambda: values(bert, batch, torch.zeros(3).long(), words, words.draw(batch)))
    assert set(seen) == {batch["input_ids"].shape[1]}


def without_mask(model, inputs):
    return model(input_ids=inputs["input_ids"])


def with_a_mask_of_full_length(length):
    return lambda model, inputs: model(input_ids=inputs["input_ids"], attention_mask=torch.ones(1, length))


def test_padding_that_makes_a_difference_stays_with_a_warning(bert, bert_tokenizer):
    words = TokenWords(bert_tokenizer, n_variables=3)
    batch = encode(bert_tokenizer, SENTENCES[:3])
    classes, draws = torch.tensor([1, 0, 1]), words.draw(batch)
    for forward in (without_mask, with_a_mask_of_full_length(batch["input_ids"].shape[1])):
        with pytest.warns(UserWarning, match="depends on the padding") as caught:
            found = values(bert, batch, classes, words, draws, forward=forward)
        assert len(caught) == 1
        everything = without_mask(bert.eval(), words.mask(batch, draws, torch.ones(1, 3, dtype=torch.bool)))
        margin = everything.logits.log_softmax(dim=1).gather(1, classes[:, None])[:, 0].detach()
        expected = margin - torch.log1p(-margin.exp())
        torch.testing.assert_close(found[:, -1], expected)


@pytest.mark.parametrize("texts", [(1, 0), (0, 1)], ids=["short first", "long first"])
def test_batches_padded_to_different_lengths_are_explained_like_each_alone(texts, bert, bert_tokenizer):
    words = TokenWords(bert_tokenizer, n_variables=3)
    parts = [encode(bert_tokenizer, [SENTENCES[text]] * count) for text, count in zip(texts, (2, 1), strict=True)]
    lengths = [part["input_ids"].shape[1] for part in parts]
    assert lengths[0] != lengths[1]

    joined = words.join(parts)
    assert {tuple(value.shape) for value in joined.values()} == {(3, max(lengths))}
    classes, draws = torch.tensor([1, 1, 0]), words.draw(joined)
    alone = [words.draw(part) for part in parts]
    assert draws == [draw for drawn in alone for draw in drawn]
    expected = [
        values(bert, part, targets, words, drawn)
        for part, targets, drawn in zip(parts, classes.split([2, 1]), alone, strict=True)
    ]
    torch.testing.assert_close(values(bert, joined, classes, words, draws), torch.cat(expected), rtol=1e-4, atol=1e-5)


def test_padding_is_added_on_the_side_of_the_tokenizer(bert_tokenizer):
    bert_tokenizer.padding_side = "left"
    words = TokenWords(bert_tokenizer, n_variables=3)
    together = encode(bert_tokenizer, SENTENCES[:2])
    joined = words.join([encode(bert_tokenizer, [text]) for text in SENTENCES[:2]])
    assert all(torch.equal(joined[key], together[key]) for key in together)


def test_what_is_no_token_is_joined_as_it_is(bert_tokenizer):
    words = TokenWords(bert_tokenizer, n_variables=3)
    parts = [dict(encode(bert_tokenizer, [text])) | {"row": torch.tensor([row])} for row, text in enumerate(SENTENCES)]
    parts = [part | {"embeddings": torch.ones(*part["input_ids"].shape, 4), "flag": True} for part in parts]
    joined = words.join(parts)
    assert joined["row"].tolist() == [0, 1, 2, 3]
    assert joined["flag"] is True
    assert torch.equal(joined["embeddings"].sum(dim=2) / 4, joined["attention_mask"].float())
    assert (joined["input_ids"][joined["attention_mask"] == 0] == bert_tokenizer.pad_token_id).all()


def test_padding_that_nothing_would_tell_from_the_sentence_is_not_added():
    tokenizer = wrap(word_piece(), **{name: token for name, token in SPECIAL.items() if name != "pad_token"})
    words = TokenWords(tokenizer, n_variables=2)
    with pytest.raises(ValueError, match=r"same shape but for the number of rows, got \[\(1, 4\), \(1, 6\)\].*HINT"):
        words.join([{"input_ids": torch.full((1, length), 7)} for length in (4, 6)])


def test_without_a_mask_token_a_replacement_must_be_given():
    special = {name: token for name, token in SPECIAL.items() if name != "mask_token"}
    tokenizer = wrap(word_piece(), **special)
    with pytest.raises(ValueError, match=r"no mask token.*HINT: pass `baseline=`"):
        TokenWords(tokenizer, n_variables=2)

    words = TokenWords(tokenizer, n_variables=2, baseline=tokenizer.unk_token_id)
    batch = encode(tokenizer, SENTENCES[:1])
    masked = words.mask(batch, words.draw(batch), torch.tensor([[False, False]]))
    changed = masked["input_ids"] != batch["input_ids"]
    assert set(masked["input_ids"][changed].tolist()) == {tokenizer.unk_token_id}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.zeros(2, 3), "got a Tensor"),
        ({"pixels": torch.zeros(2, 3)}, r"got a mapping with \['pixels'\]"),
        ({"input_ids": torch.zeros(3)}, r"\(B, L\)"),
        ({"input_ids": [[1, 2]]}, r"\(B, L\)"),
    ],
)
def test_inputs_without_token_ids_are_refused(inputs, message, bert_tokenizer):
    with pytest.raises(ValueError, match=message):
        TokenWords(bert_tokenizer, n_variables=2).draw(inputs)


def test_a_tokenizer_can_be_given_by_its_folder(bert_tokenizer, tmp_path):
    bert_tokenizer.save_pretrained(tmp_path)
    batch = encode(bert_tokenizer, SENTENCES)

    words = TokenWords(str(tmp_path), n_variables=3)
    assert words.draw(batch) == TokenWords(bert_tokenizer, n_variables=3).draw(batch)
    assert words.provenance()["tokenizer"] == str(tmp_path)


def test_stop_words_are_lower_case_single_words():
    assert all(word == word.lower() and word.isalpha() for word in STOP_WORDS)
