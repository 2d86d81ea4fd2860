"""Records and interactions to draw, and how figures are read back."""

import io
import math
import warnings
from xml.etree import ElementTree as ET

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.colors import to_hex

from lightning_interactions.interactions import Interactions


@pytest.fixture(autouse=True)
def _no_pyplot_figure():
    """None of the tests may leave a figure in pyplot's hands."""
    plt.close("all")
    yield
    assert plt.get_fignums() == []


@pytest.fixture(autouse=True)
def _no_warning():
    """A user's terminal is not the place for Matplotlib's remarks."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def draw_record(epoch, onset=math.nan, gap=0.1, strength=(2.0, 1.0, 0.5), mean_order=1.5):
    return {
        "epoch": epoch,
        "train_loss": 1.0 - 0.01 * epoch,
        "held_out_loss": 1.0 - 0.01 * epoch + gap,
        "loss_gap": gap,
        "onset_epoch": onset,
        "mean_order": mean_order,
        "positive": list(strength),
        "negative": [0.5 * amount for amount in strength],
        "normalized_positive": list(strength),
        "normalized_negative": [0.5 * amount for amount in strength],
    }


@pytest.fixture
def record():
    return draw_record


@pytest.fixture
def history():
    return [draw_record(epoch) for epoch in (0, 5, 10, 15)]


@pytest.fixture
def with_fit():
    """A record with a fit: a tenth of what is not decay is left over."""

    def add(record, share=0.2, low=0.1, high=0.4):
        spindle = [0.1, 0.2, 0.05]
        decay = {side: [0.5 * amount for amount in record[side]] for side in ("positive", "negative")}
        residual = {
            side: [a - d - s for a, d, s in zip(record[side], decay[side], spindle, strict=True)] for side in decay
        }
        return (
            record
            | {"spindle": spindle, "spindle_share": share, "spindle_share_low": low, "spindle_share_high": high}
            | {f"decay_{side}": decay[side] for side in decay}
            | {f"residual_{side}": residual[side] for side in residual}
        )

    return add


@pytest.fixture
def heights():
    """The bars of one colour: order → height."""

    def read(ax, color):
        return {
            round(patch.get_x() + patch.get_width() / 2, 6): patch.get_height()
            for patch in ax.patches
            if to_hex(patch.get_facecolor()) == to_hex(color)
        }

    return read


@pytest.fixture
def texts():
    return lambda ax: [text.get_text() for text in ax.texts]


@pytest.fixture
def drawn():
    """Write a figure as pixels and as lines, and say whether both are what they should be."""

    def write(figure):
        pixels, lines, page = io.BytesIO(), io.BytesIO(), io.BytesIO()
        figure.savefig(pixels, format="png")
        figure.savefig(lines, format="svg")
        figure.savefig(page, format="pdf")
        assert pixels.getvalue().startswith(b"\x89PNG\r\n\x1a\n")
        assert ET.fromstring(lines.getvalue()).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314  # our own file
        assert page.getvalue().startswith(b"%PDF")
        return True

    return write


@pytest.fixture
def make_interactions():
    """Interactions with the given AND and OR effects, one row a sample."""

    def make(and_, or_=None, **provenance):
        and_ = torch.tensor(and_, dtype=torch.float64)
        or_ = torch.zeros_like(and_) if or_ is None else torch.tensor(or_, dtype=torch.float64)
        rows = len(and_)
        return Interactions(
            values=torch.zeros_like(and_),
            and_=and_,
            or_=or_,
            l1=(and_.abs() + or_.abs()).sum(dim=1),
            gap=torch.linspace(0, 0.01, rows, dtype=torch.float64),
            noise_bound=torch.full((rows,), 0.5, dtype=torch.float64),
            threshold=0.0,
            provenance=provenance,
        )

    return make
