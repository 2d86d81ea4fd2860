"""Gradient steps against derivatives taken by hand."""

import math

import pytest
import torch
from torch import nn

from lightning_interactions import Columns, TokenWords, explain
from lightning_interactions.masking.fgsm import SAMPLE_ROW, fgsm, fgsm_embeddings
from lightning_interactions.masking.forward import values

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")


def cross_entropy(logits, targets):
    return nn.functional.cross_entropy(logits, targets)


def slow_steps(run, x, step=1e-5):
    """Signs of central differences of a scalar function, one entry at a time."""
    signs = torch.zeros_like(x)
    for place in range(x.numel()):
        up, down = x.clone(), x.clone()
        up.flatten()[place] += step
        down.flatten()[place] -= step
        signs.flatten()[place] = math.copysign(1, run(up) - run(down))
    return signs


class TestFgsm:
    def test_every_input_moves_against_the_network(self, make_conv_net, images, classes):
        model = make_conv_net(images)
        moved = fgsm(model, images, classes, 0.1)
        model.eval()
        sample = images[1:2].clone()
        signs = slow_steps(lambda x: cross_entropy(model(x), classes[1:2]).item(), sample)

        torch.testing.assert_close(moved[1:2], sample + 0.1 * signs)

    def test_the_default_loss_has_the_direction_of_the_cross_entropy(self, make_conv_net, images, classes):
        model = make_conv_net(images)
        torch.testing.assert_close(
            fgsm(model, images, classes, 0.1), fgsm(model, images, classes, 0.1, loss=cross_entropy)
        )

    def test_bounds_are_as_exact_as_the_inputs(self):
        x = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
        moved = fgsm(nn.Linear(2, 2).double(), x, torch.tensor([0]), 9.0, bounds=(-0.1, 0.9))
        assert set(moved.flatten().tolist()) <= {-0.1, 0.9}

    def test_the_default_loss_has_a_direction_where_the_network_is_sure(self):
        model = nn.Linear(2, 2)
        nn.init.zeros_(model.bias)
        model.weight.data = torch.tensor([[300.0, -300.0], [-300.0, 300.0]])
        x, target = torch.tensor([[1.0, -1.0]]), torch.tensor([0])

        assert fgsm(model, x, target, 0.5).tolist() == [[0.5, -0.5]]
        assert fgsm(model, x, target, 0.5, loss=cross_entropy).tolist() == [[1.0, -1.0]]

    @pytest.mark.parametrize("targets", [[1, 0, 1], [0, 0, 1]])
    def test_a_head_with_one_logit(self, targets):
        model = nn.Linear(2, 1)
        model.weight.data = torch.tensor([[2.0, -1.0]])
        moved = fgsm(model, torch.zeros(3, 2), torch.tensor(targets), 0.25)

        assert moved.tolist() == [[-0.25, 0.25] if target else [0.25, -0.25] for target in targets]

    def test_samples_do_not_see_each_other(self, make_conv_net, images, classes):
        model = make_conv_net(images)
        alone = [fgsm(model, images[[row]], classes[[row]], 0.1) for row in range(5)]

        torch.testing.assert_close(fgsm(model, images, classes, 0.1), torch.cat(alone))

    def test_the_network_is_left_as_it_was(self, make_conv_net, images, classes, state_of):
        model = make_conv_net(images)
        model(images).sum().backward()
        model.features[3].eval()
        model.features[0].weight.requires_grad_(requires_grad=False)
        gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
        state, flags, kept = state_of(model), [module.training for module in model.modules()], images.clone()
        rng = torch.get_rng_state()
        fgsm(model, images, classes, 0.1)

        assert state_of(model) == state
        assert [module.training for module in model.modules()] == flags
        assert all(torch.equal(parameter.grad, gradients[name]) for name, parameter in model.named_parameters())
        assert not model.features[0].weight.requires_grad
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
        assert torch.equal(torch.get_rng_state(), rng)
        assert torch.equal(images, kept)
        assert not images.requires_grad

    @pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
    def test_it_works_where_gradients_are_off(self, mode, make_conv_net, images, classes):
        model = make_conv_net(images)
        expected = fgsm(model, images, classes, 0.1)
        with mode():
            found = fgsm(model, images.clone(), classes.clone(), 0.1)
            assert not found.requires_grad
        assert torch.equal(found, expected)

    def test_a_network_without_trainable_parameters_whose_first_layer_works_in_place(self):
        model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(2, 2)).requires_grad_(requires_grad=False)
        x = torch.tensor([[1.0, -1.0]])
        moved = fgsm(model, x, torch.tensor([0]), 0.25)

        assert abs(moved[0, 0].item() - 1) == 0.25
        assert moved[0, 1].item() == -1  # the ReLU passes no gradient
        assert x.tolist() == [[1.0, -1.0]]

    def test_mappings_keep_their_form_and_what_is_no_floating_point_number(self):
        class Two(nn.Module):
            def forward(self, *, a, b, ids):
                return torch.stack([a.sum(dim=1) + ids, b.sum(dim=1)], dim=1)

        inputs = {"b": torch.zeros(1, 2), "ids": torch.tensor([3]), "a": torch.zeros(1, 3, dtype=torch.float64)}
        moved = fgsm(Two(), inputs, torch.tensor([0]), 0.5)

        assert list(moved) == ["b", "ids", "a"]
        assert moved["a"].tolist() == [[-0.5] * 3]
        assert moved["a"].dtype == torch.float64
        assert moved["b"].tolist() == [[0.5] * 2]
        assert moved["ids"].tolist() == [3]

    def test_forward_says_how_the_network_is_called(self):
        class Odd(nn.Module):
            def forward(self, x, sign):
                return sign * x

        moved = fgsm(Odd(), torch.zeros(1, 2), torch.tensor([0]), 1.0, forward=lambda model, x: model(x, -1.0))
        assert moved.tolist() == [[1.0, -1.0]]

    @pytest.mark.parametrize("kind", [nn.Linear, nn.GRU])
    def test_cudnn_is_off_for_recurrent_layers_alone(self, kind):
        class Network(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = kind(3, 2)
                self.seen = []

            def forward(self, x):
                self.seen.append(torch.backends.cudnn.enabled)
                y = self.layer(x)
                return y[0] if isinstance(y, tuple) else y

        model = Network()
        before = torch.backends.cudnn.enabled
        fgsm(model, torch.rand(4, 3), torch.zeros(4, dtype=torch.int64), 0.1)

        assert model.seen == [before and kind is nn.Linear]
        assert torch.backends.cudnn.enabled == before

    def test_bounds_and_steps_may_differ_from_channel_to_channel(self):
        model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
        model[1].weight.data = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
        x, epsilon = torch.zeros(1, 2, 1, 1), torch.tensor([0.5, 0.25]).reshape(2, 1, 1)
        high = torch.tensor([0.125, 9.0]).reshape(2, 1, 1)

        assert fgsm(model, x, torch.tensor([0]), epsilon).flatten().tolist() == [0.5, 0.25]
        assert fgsm(model, x, torch.tensor([0]), epsilon, bounds=(0.0, high)).flatten().tolist() == [0.125, 0.25]
        assert fgsm(model, x, torch.tensor([0]), 0.5, bounds=(-1.0, 0.2)).flatten().tolist() == pytest.approx([0.2] * 2)

    def test_the_moved_samples_can_be_explained(self):
        model, rows, classes = nn.Linear(3, 2), torch.rand(4, 3), torch.tensor([0, 1, 1, 0])
        columns = Columns(n_variables=3, baseline=0.0)
        before = explain(model, rows, classes, columns, solver="none").values[:, -1]
        after = explain(model, fgsm(model, rows, classes, 0.1), classes, columns, solver="none").values[:, -1]

        assert (after < before).all()

    def test_targets_that_are_no_classes_are_refused(self):
        with pytest.raises(ValueError, match=r"class indices 0 … 1.*got \[2\]"):
            fgsm(nn.Linear(1, 2), torch.zeros(2, 1), torch.tensor([0, 2]), 0.1)

    @pytest.mark.parametrize("epsilon", [-0.1, math.nan, math.inf])
    def test_an_epsilon_that_is_none_is_refused(self, epsilon):
        with pytest.raises(ValueError, match="`epsilon` must be finite"):
            fgsm(nn.Linear(1, 2), torch.zeros(1, 1), torch.tensor([0]), epsilon)

    @pytest.mark.parametrize("bounds", [(1.0, 0.0), (0.0, math.nan)])
    def test_reversed_bounds_are_refused(self, bounds):
        with pytest.raises(ValueError, match="`bounds` must be"):
            fgsm(nn.Linear(1, 2), torch.zeros(1, 1), torch.tensor([0]), 0.1, bounds=bounds)

    def test_token_ids_are_refused_with_a_hint(self):
        with pytest.raises(ValueError, match=r"torch\.int64.*HINT: for token ids use `fgsm_embeddings`"):
            fgsm(nn.Embedding(3, 2), torch.zeros(1, 1, dtype=torch.int64), torch.tensor([0]), 0.1)

    def test_a_network_without_gradients_is_refused(self):
        class Closed(nn.Linear):
            @torch.no_grad()
            def forward(self, x):
                return super().forward(x)

        with pytest.raises(ValueError, match="HINT: does the network's forward run under"):
            fgsm(Closed(1, 2), torch.zeros(1, 1), torch.tensor([0]), 0.1)

    def test_a_gradient_that_is_nan_is_no_direction(self):
        with pytest.raises(FloatingPointError, match="NaN"):
            fgsm(nn.Linear(1, 2), torch.tensor([[math.nan]]), torch.tensor([0]), 0.1, loss=lambda z, _: z.square())


SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
SENTENCES = ["gripping film though never bored", "beautiful", "sadly paced badly boring", "beautiful film"]
CLASSES = torch.tensor([1, 0, 0, 1])


@pytest.fixture(scope="module")
def tokenizer():
    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    vocabulary = {piece: number for number, piece in enumerate([*SPECIAL.values(), *words])}
    plain = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106
    plain.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    plain.decoder = tokenizers.decoders.WordPiece()
    plain.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(token, plain.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=plain, **SPECIAL)


@pytest.fixture(scope="module")
def batch(tokenizer):
    return tokenizer(SENTENCES, return_tensors="pt", padding=True)


@pytest.fixture
def bert(tokenizer):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
            initializer_range=0.5,
        )
        return transformers.BertForSequenceClassification(config).double().train()


@pytest.fixture
def slow_step(bert, batch):
    """The step of every sample by central differences in the embeddings, through the network's own door for them."""
    flags = [module.training for module in bert.modules()]
    bert.eval()
    steps = []
    for row, target in enumerate(CLASSES):
        embedded = bert.get_input_embeddings()(batch["input_ids"][row : row + 1]).detach()
        mask = batch["attention_mask"][row : row + 1]

        # Each row moves one number, up in the first half and down in the second.
        moves = 1e-5 * torch.eye(embedded.numel(), dtype=torch.float64).reshape(-1, *embedded.shape[1:])
        rows = torch.cat([embedded + moves, embedded - moves])
        with torch.no_grad():
            logits = bert(inputs_embeds=rows, attention_mask=mask.expand(len(rows), -1)).logits
        losses = nn.functional.cross_entropy(logits, target.expand(len(rows)), reduction="none")
        signs = (losses[: len(moves)] - losses[len(moves) :]).sign().reshape(embedded.shape)
        # Padding is seen by no other token: it moves nothing, and nothing moves it.
        steps.append(signs * mask.unsqueeze(-1))
    for module, training in zip(bert.modules(), flags, strict=True):
        module.training = training
    return torch.cat(steps)


class TestFgsmEmbeddings:
    def test_the_embeddings_of_each_sample_are_moved(self, bert, batch, slow_step):
        before = bert.get_input_embeddings()(batch["input_ids"])
        seen = []
        with fgsm_embeddings(bert, batch, CLASSES, 0.1) as moved:
            bert.get_input_embeddings().register_forward_hook(lambda _, __, output: seen.append(output))
            bert(**moved)

        torch.testing.assert_close(seen[0], before + 0.1 * slow_step)
        assert not torch.equal(slow_step[0], slow_step[2])

    @pytest.mark.parametrize("mask_batch_size", [1, 3, 4, 8, None])
    def test_an_explanation_sees_each_sample_with_its_own_step(
        self, mask_batch_size, bert, batch, slow_step, tokenizer, slow_log_odds
    ):
        """The second sentence has too few words: rows of samples and rows of the batch are not the same."""
        words = TokenWords(tokenizer, n_variables=2)
        with fgsm_embeddings(bert, batch, CLASSES, 0.1) as moved:
            found = explain(bert, moved, CLASSES, words, solver="none", mask_batch_size=mask_batch_size)

        assert bert.training
        bert.eval()
        assert found.provenance["samples"] == [0, 2, 3]
        draws = words.draw(batch)
        for row, sample in enumerate([0, 2, 3]):
            for subset in range(4):
                ids, step = batch["input_ids"][[sample]].clone(), 0.1 * slow_step[[sample]]
                for variable, places in enumerate(draws[sample].positions):
                    if not subset >> variable & 1:
                        ids[0, list(places)] = tokenizer.mask_token_id
                        step[0, list(places)] = 0
                embedded = bert.get_input_embeddings()(ids) + step
                logits = bert(inputs_embeds=embedded, attention_mask=batch["attention_mask"][[sample]]).logits
                expected = slow_log_odds(logits[0].detach(), CLASSES[sample])
                assert found.values[row, subset].item() == pytest.approx(expected, abs=1e-9)

    def test_the_draws_are_those_of_the_clean_inputs(self, bert, batch, tokenizer):
        words = TokenWords(tokenizer, n_variables=2)
        with fgsm_embeddings(bert, batch, CLASSES, 0.1) as moved:
            assert words.draw(moved) == words.draw(batch)

    @pytest.mark.parametrize("error", [None, KeyError])
    def test_the_network_is_left_as_it_was(self, error, bert, batch, state_of):
        bert(**batch).logits.sum().backward()
        gradients = {name: parameter.grad.clone() for name, parameter in bert.named_parameters() if "pool" in name}
        state = state_of(bert)
        bert.eval()
        clean = bert(**batch).logits
        bert.train()
        bert.bert.encoder.eval()
        flags = [module.training for module in bert.modules()]
        try:
            with fgsm_embeddings(bert, batch, CLASSES, 0.1) as moved:
                bert(**moved)
                if error:
                    raise error
        except KeyError:
            pass

        assert [module.training for module in bert.modules()] == flags
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in bert.modules())
        assert state_of(bert) == state
        assert all(torch.equal(bert.get_parameter(name).grad, gradient) for name, gradient in gradients.items())
        assert SAMPLE_ROW not in batch
        bert.eval()
        assert torch.equal(bert(**batch).logits, clean)

    @pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
    def test_it_works_where_gradients_are_off(self, mode, bert, batch):
        bert.eval()
        with fgsm_embeddings(bert, batch, CLASSES, 0.1) as moved:
            expected = bert(**moved).logits
        with mode(), fgsm_embeddings(bert, {key: batch[key].clone() for key in batch}, CLASSES, 0.1) as moved:
            assert torch.equal(bert(**moved).logits, expected)

    def test_a_module_that_holds_the_network_and_takes_a_batch(self, bert, batch, tokenizer):
        class Holder(nn.Module):
            def __init__(self):
                super().__init__()
                self.network = bert

            def get_input_embeddings(self):
                raise NotImplementedError

            def forward(self, batch):
                return self.network(**batch).logits

        words = TokenWords(tokenizer, n_variables=1)
        draws = words.draw(batch)

        def found(model, **options):
            with fgsm_embeddings(model, batch, CLASSES, 0.1, **options) as moved:
                return values(model, moved, CLASSES, words, draws, **options)

        assert torch.equal(found(Holder(), forward=lambda model, inputs: model(inputs)), found(bert))

    def test_the_layer_can_be_named(self):
        model = nn.Sequential(nn.Embedding(3, 4), nn.Flatten(), nn.Linear(8, 2))
        inputs, target = {"input": torch.tensor([[0, 2]])}, torch.tensor([0])
        with fgsm_embeddings(model, inputs, target, 0.5, layer="0") as moved:
            after = model(**moved)
        gradient = model[2].weight[1] - model[2].weight[0]
        expected = model[2](model[0](inputs["input"]).flatten(1) + 0.5 * gradient.sign())

        torch.testing.assert_close(after, expected)
        with pytest.raises(ValueError, match="HINT: pass `layer=`"), fgsm_embeddings(model, inputs, target, 0.5):
            pass

    def test_inputs_that_were_not_yielded_are_refused(self, bert, batch, tokenizer):
        with fgsm_embeddings(bert, batch, CLASSES, 0.1):
            with pytest.raises(ValueError, match=r"without an entry.*HINT: `with fgsm_embeddings"):
                explain(bert, batch, CLASSES, TokenWords(tokenizer, n_variables=2))
            with pytest.raises(ValueError, match="without an entry"):
                bert(**batch)

    def test_inputs_of_another_length_are_refused(self, bert, batch):
        with fgsm_embeddings(bert, batch, CLASSES, 0.1) as moved:
            moved["input_ids"], moved["attention_mask"] = moved["input_ids"][:, :4], moved["attention_mask"][:, :4]
            with pytest.raises(ValueError, match=r"\(4, 4\) with 4 entries"):
                bert(**moved)

    def test_bad_arguments_are_refused(self, bert, batch):
        with pytest.raises(ValueError, match="`epsilon`"), fgsm_embeddings(bert, batch, CLASSES, -1.0):
            pass
        with pytest.raises(ValueError, match="got a Tensor"), fgsm_embeddings(bert, batch["input_ids"], CLASSES, 1.0):
            pass
