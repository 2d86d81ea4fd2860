"""Words of a sentence as input variables, for Hugging Face models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from lightning_interactions.masking.batches import join_rows, repeat_rows, to_device
from lightning_interactions.masking.tokenizer import load_tokenizer
from lightning_interactions.masking.variables import Draw, Variables, mask_regions, sample_generators

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["STOP_WORDS", "TokenWords"]

STOP_WORDS = frozenset(
    # Articles and determiners; pronouns; auxiliaries; prepositions; conjunctions; adverbs that only modify; and what a
    # tokenizer leaves of contractions.
    """
    a an the this that these those each every either neither some any all both few many more most much other another
    such same own no nor not only
    i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she her hers
    herself it its itself they them their theirs themselves who whom whose which what
    am is are was were be been being have has had having do does did doing will would shall should can could may might
    must ought
    about above across after against along among around at before behind below beneath beside between beyond by down
    during except for from in inside into of off on onto out outside over past per since through throughout till to
    toward towards under until up upon via with within without
    and but or so yet if because as while although though unless whereas than whether when whenever where wherever how
    why
    very too just also even still then there here now again once ever quite rather almost
    s t d m o ll re ve y don didn doesn isn aren wasn weren hasn haven hadn won wouldn shouldn couldn ain mustn needn
    """.split()  # noqa: SIM905  # one word a line would be 200 lines
)
"""English words that carry no meaning of their own and are never drawn."""

_WORD_STARTS = ("Ġ", "▁")
"""How byte-level BPE and SentencePiece mark the first piece of a word; WordPiece marks the others, with ``##``."""


class TokenWords(Variables):
    """Meaningful words of a sentence as input variables (Appendix I.2).

    A word is all its word pieces: WordPiece (``##``), byte-level BPE (``Ġ``) and SentencePiece (``▁``) tokenizers are
    understood. Stop-words, punctuation, special tokens and padding are never drawn and always stay. The pieces of an
    absent word are replaced by the tokenizer's mask token. Sentences with fewer than ``n_variables`` meaningful words
    have no draw; they are skipped and counted.

    Inputs are what the tokenizer returns: a mapping with ``"input_ids"`` ``(B, L)`` and usually ``"attention_mask"``.

    Args:
        tokenizer: a Hugging Face tokenizer, or the name or folder of one.
        n_variables: number ``n`` of words drawn for each sentence.
        stop_words: lower-case words never to draw; ``None`` takes :data:`STOP_WORDS`.
        baseline: id of the token that replaces the pieces of an absent word; ``None`` takes the mask token.
        seed: decides, together with the sentence, which words are drawn.

    Raises:
        FileNotFoundError: for the name of a tokenizer that neither the disk nor the hub has.
        ValueError: if the tokenizer has no mask token and no ``baseline`` is given, or its folder is damaged or holds
            no vocabulary; when used, if the inputs hold no ``"input_ids"``.

    Example:
        Usually ``tokenizer = AutoTokenizer.from_pretrained(…)``; this one knows seven words.

        >>> from tokenizers import Tokenizer, models, pre_tokenizers
        >>> from transformers import PreTrainedTokenizerFast
        >>> known = ["[PAD]", "[UNK]", "[MASK]", "a", "gripping", ",", "film"]
        >>> pieces = Tokenizer(models.WordPiece({word: i for i, word in enumerate(known)}, unk_token="[UNK]"))
        >>> pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        >>> special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
        >>> tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces, **special)
        >>> words = TokenWords(tokenizer, n_variables=2)
        >>> words.draw(tokenizer(["a gripping, gripping film"], return_tensors="pt"))[0].names
        ('gripping', 'film')
    """

    def __init__(
        self,
        tokenizer: Any,
        n_variables: int = 10,
        stop_words: Iterable[str] | None = None,
        baseline: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(n_variables, seed=seed)
        self.tokenizer = load_tokenizer(tokenizer) if isinstance(tokenizer, str) else tokenizer
        self.stop_words = STOP_WORDS if stop_words is None else frozenset(word.lower() for word in stop_words)
        baseline = self.tokenizer.mask_token_id if baseline is None else baseline
        if baseline is None:
            msg = (
                f"The tokenizer '{self._tokenizer_name()}' has no mask token to put in the place of an absent word."
                f" HINT: pass `baseline=` the id of the token to use."
            )
            raise ValueError(msg)
        self.baseline = int(baseline)
        self._special_ids = frozenset(self.tokenizer.all_special_ids)
        self._padding_id = -1 if self.tokenizer.pad_token_id is None else self.tokenizer.pad_token_id
        self._marks_word_starts = any(piece.startswith(_WORD_STARTS) for piece in self.tokenizer.get_vocab())

    def draw(self, inputs: Any, seed: int | None = None) -> list[Draw | None]:
        """Draw ``n`` meaningful words of every sentence; see :meth:`Variables.draw`."""
        ids, attended = self._attended(inputs)
        return [
            # Padding depends on the batch, so only the attended tokens may decide the draw.
            self._draw_sentence(row, keep, self.seed if seed is None else seed)
            for row, keep in zip(ids.cpu(), attended.cpu(), strict=True)
        ]

    def mask(self, target: Any, draws: Sequence[Draw], masks: Tensor) -> Any:
        """Put the mask token in the place of absent words; see :meth:`Variables.mask`."""
        ids = self._input_ids(target)
        regions = torch.full(ids.shape, self.n_variables, device="cpu")
        for row, draw in enumerate(draws):
            for variable, tokens in enumerate(draw.positions):
                regions[row, list(tokens)] = variable
        regions, masks = to_device(regions, ids.device), to_device(masks, ids.device)
        masked = mask_regions(ids, regions, masks, torch.tensor(self.baseline, device="cpu"))
        return {key: masked if key == "input_ids" else repeat_rows(value, len(masks)) for key, value in target.items()}

    def lengths(self, inputs: Any) -> list[int] | None:
        """Where the last attended token of every sentence ends; see :meth:`Variables.lengths`."""
        _, attended = self._attended(inputs)
        places = torch.arange(1, attended.shape[1] + 1, device=attended.device)
        lengths: list[int] = (attended * places).amax(dim=1).clamp(min=1).tolist()
        return lengths if min(lengths) < attended.shape[1] else None

    def cut(self, inputs: Any, length: int) -> Any:
        """Sentences without the padding beyond ``length``; see :meth:`Variables.cut`."""
        shape = self._input_ids(inputs).shape
        return {key: value[:, :length] if _is_shaped(value, shape) else value for key, value in inputs.items()}

    def join(self, parts: Sequence[Any]) -> Any:
        """Sentences of several batches as one, padded to the length of the longest; see :meth:`Variables.join`."""
        length = max(self._input_ids(part).shape[1] for part in parts)
        return join_rows([self._padded(part, length) for part in parts])

    def provenance(self) -> dict[str, Any]:
        """See :meth:`Variables.provenance`."""
        return super().provenance() | {"tokenizer": self._tokenizer_name(), "baseline": self.baseline}

    def _tokenizer_name(self) -> str:
        return str(getattr(self.tokenizer, "name_or_path", "") or type(self.tokenizer).__name__)

    def _input_ids(self, inputs: Any) -> Tensor:
        ids = inputs.get("input_ids") if isinstance(inputs, Mapping) else None
        if not isinstance(ids, Tensor) or ids.ndim != 2:  # noqa: PLR2004
            got = f"a mapping with {sorted(inputs)}" if isinstance(inputs, Mapping) else f"a {type(inputs).__name__}"
            msg = f"`inputs` must be a mapping with 'input_ids' of shape (B, L), as tokenizers return it, got {got}."
            raise ValueError(msg)
        return ids

    def _attended(self, inputs: Any) -> tuple[Tensor, Tensor]:
        """Token ids, and which of them are no padding."""
        ids = self._input_ids(inputs)
        return ids, inputs["attention_mask"].bool() if "attention_mask" in inputs else ids != self._padding_id

    def _padded(self, inputs: Any, length: int) -> Any:
        """Sentences of that length, the added tokens on the tokenizer's side and not attended."""
        shape = self._input_ids(inputs).shape
        if "attention_mask" not in inputs and self._padding_id < 0:
            return inputs  # nothing would tell the padding from the sentence
        missing = length - shape[1]
        sides = (missing, 0) if getattr(self.tokenizer, "padding_side", "right") == "left" else (0, missing)

        def pad(value: Tensor, fill: int = 0) -> Tensor:
            return functional.pad(value, (0, 0) * (value.ndim - 2) + sides, value=fill)

        padded = {key: pad(value) if _is_shaped(value, shape) else value for key, value in inputs.items()}
        return padded | {"input_ids": pad(inputs["input_ids"], max(self._padding_id, 0))}

    def _draw_sentence(self, ids: Tensor, attended: Tensor, seed: int) -> Draw | None:
        words = [word for word in self._words(ids, attended) if self._is_meaningful(word[0])]
        if len(words) < self.n_variables:
            return None
        (generator,) = sample_generators(ids[attended].unsqueeze(0), seed)
        order = torch.randperm(len(words), generator=generator, device="cpu")
        chosen = order[: self.n_variables].sort().values.tolist()
        return Draw(
            positions=tuple(words[i][1] for i in chosen),
            names=tuple(words[i][0] for i in chosen),
            baseline=(float(self.baseline),),
        )

    def _words(self, ids: Tensor, attended: Tensor) -> list[tuple[str, tuple[int, ...]]]:
        """The words of a sentence: text and token positions."""
        pieces = self.tokenizer.convert_ids_to_tokens(ids.tolist())
        texts = self._texts(pieces)
        words: list[list[int]] = []
        previous_ends = True
        for position, piece in enumerate(pieces):
            if not attended[position] or int(ids[position]) in self._special_ids:
                previous_ends = True
                continue
            continues = not piece.startswith(_WORD_STARTS) if self._marks_word_starts else piece.startswith("##")
            # Byte-level pieces carry punctuation without a mark: "film" + "." are two words.
            is_word = any(character.isalnum() for character in texts[position])
            if continues and not previous_ends and is_word:
                words[-1].append(position)
            else:
                words.append([position])
            previous_ends = not is_word
        return [
            (self.tokenizer.convert_tokens_to_string([pieces[i] for i in word]).strip(), tuple(word)) for word in words
        ]

    def _texts(self, pieces: Sequence[str]) -> list[str]:
        """What each piece says. In byte-level BPE several may spell one character; then each says that character."""
        texts: list[str] = []
        parts: list[str] = []
        for piece in pieces:
            parts.append(piece)
            text = self.tokenizer.convert_tokens_to_string(parts)
            if not text.endswith("\ufffd"):
                texts += [text] * len(parts)
                parts = []
        return texts + [""] * len(parts)

    def _is_meaningful(self, word: str) -> bool:
        # Byte-level BPE keeps contractions in one word: "don't" means no more than "don" and "t".
        parts = re.findall(r"\w+", word.lower())
        return word.lower() not in self.stop_words and any(part not in self.stop_words for part in parts)


def _is_shaped(value: Any, shape: torch.Size) -> bool:
    return isinstance(value, Tensor) and value.shape[:2] == shape
