"""Write docs/engine.md from what masking.py, ranks.py, compiled.py, overhead.py and receptive_field.py have measured.

python benchmarks/engine_page.py
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tables import markdown_table

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "engine.md"

TEXT = """\
# The masking engine

<!-- Written by benchmarks/engine_page.py from the results in benchmarks/results. -->

A measurement runs the network on all 2ⁿ masked versions of each sample. This page says how that is done, what it
costs and what decided for it.

## How a network is run

On first use in a measurement the ways below are compared with the plain one on a few masked inputs (two samples,
three masks), and the cheapest that gives the same numbers is taken:

1. **Tables of local values** (convolutional networks with patches of a feature map). After a few convolutions a value
   still depends on the few patches in its receptive field; if k of the n patches are in it, it takes 2ᵏ different
   values over all masks. Each is computed once, by a gather and a matrix product. Exact; nothing is approximated.
   From the layer on where more than half of the combinations differ, maps are put together and the network goes on by
   itself.
2. **Split at the layer.** What lies before the masked layer runs once a sample; its map is expanded to all masks.
3. **Repeat.** Something bypasses the layer or remembers the batch size: the whole network runs on each masked input,
   with one warning.
4. **Alone.** The rows of a batch depend on one another: one masked input at a time, with one warning.

Inputs that are masked themselves (words, columns, pixels) have no layer; they are run in chunks.{embeddings} What only
pads sentences to the longest of a batch is left out, once it was found to make no difference.{padding}

A network that was compiled with `torch.compile`, as a whole, in place or in part, is run as it was before: compiled
code does not see the hooks by which a layer is masked. The user's compiled code is neither used nor made again.

## What it costs

Processor time of the engine, on one thread, relative to the bare layers after the mask on as many inputs at the best
of several batch sizes, and to the whole network. With n = 10 all 1,024 masks of one sample are run, and the bare layers
on one batch of as many inputs as were best, multiplied. What the comparison on first use costs is the same for one
sample and for many; a measurement pays it once. Ratios are without it, except where "first use" is said: "with first
use" is for the samples that were run, one image or a few, and "50 samples" is counted up from one sample with n = 10.
The comparison makes the tables of the first sample, which are kept; here they are counted twice, so these columns are
bounds from above.

{masking}

{memory}

## Chunks

`mask_batch_size="auto"` takes, on a CPU, as many masked inputs as keep what the busiest layer reads and writes within
32 MiB, at least 16 (what lies before the layer runs once a chunk) and at most 1,024. On a CUDA device it takes half of
the free memory, at most 4 GiB and 8,192 inputs. A chunk that does not fit is halved and repeated; nothing that was done
is lost. The values do not depend on it beyond rounding. Milliseconds for an input of the bare layers after the mask, by
batch size:

{chunks}

With its channels last (`channels_last=True`, off by default) the engine without tables took {channels_last}.

## Compiled

`explain(…, compiled=True)` runs what lies after the mask by `torch.compile`. The masked map is an input of the compiled
code and the weights are, too, so that nothing is compiled again while the network trains. The first chunk of each
measurement is run both ways; where the compiled one fails or gives other numbers, one warning says so and the network
is run as it is.

{compiled}

## Overhead of a training

{overhead}

Estimated from the parts: training steps without data loading; measurements with an untrained network, which is the
hard case for the solver; the losses on two sets of 500 samples; and {fits_each} fits of decay and spindle for each
measurement, the most that a normal phase takes. When the phase changes and at the end, every measured epoch whose
reference has changed is fitted once more. Pictures and files are left out.

## What decided for the tables

Counted for n = 10, over {draws} draws of patches: the share of the combinations that differ, layer by layer, and by
how much the multiply-adds of the convolutions after the mask fall if each value is computed once.

{field}

In small images the receptive field soon covers everything; in large ones hardly ever. On a CUDA device tables are
used only where they save 10¹² multiply-adds on a sample, because making them takes some hundred small kernels; that
bound is an estimate, no GPU has measured it.

## Precision

The two losses are measured in the same precision as the interactions. Tensors that a network makes in its forward have
the type of its weights, whatever `torch.set_default_dtype` says.

`precision="float32"` means at least that: TF32 and autocast are off, weights kept in half are widened, whatever the
Trainer uses. `"float64"` and `"bf16"` are there by choice. The noise floor of each order (`noise_floor/order_01`, …)
is measured once a run: two samples in float64 beside the usual precision, the difference sent through the alternating
sums. An independent error ε on each output makes effects of order m uncertain by 2^(m/2) ε / 2; a floor above the
salience threshold warns.

## Several devices

Under DDP the samples are shared out, every rank explains its share and all get all results; ranks look at the network
with the buffers of rank 0, since batch norms may differ between steps. A rank that fails makes the others fail that
measurement instead of waiting. {ranks}
"""


def main() -> None:
    """Fill the page."""
    masking, ranks, compiled, overhead, field = (
        read(name) for name in ("masking_cpu", "ranks_cpu", "compiled_cpu", "overhead_cpu", "receptive_field")
    )
    page = TEXT.format(
        masking=on_each_device("masking", masking_text),
        memory=memory_text(masking.get("memory of VGG-16 at 224", [])),
        embeddings=embeddings_text(masking["rows"]),
        padding=padding_text(masking["rows"]),
        chunks=chunks_table(masking["rows"]),
        channels_last=channels_last_text(masking["rows"]),
        compiled=compiled_text(compiled["rows"]),
        overhead=on_each_device("overhead", overhead_text),
        fits_each=overhead["rows"][0]["fits_each"],
        draws=field["draws"],
        field=markdown_table(
            ["network", "share that differ, by layer", "at best × less"],
            [
                [
                    row["network"],
                    ", ".join(f"{layer['share']:.3f}" for layer in row["layers"]),
                    f"{row['at_best_times_faster']:.1f}",
                ]
                for row in field["rows"]
            ],
        ),
        ranks=ranks_text(ranks),
    )
    PAGE.write_text(filled(page))


def filled(page: str) -> str:
    """The page with its paragraphs, which numbers make longer or shorter, broken into lines anew."""
    blocks = page.strip().split("\n\n")
    as_they_are = ("#", "|", "<", "1.")
    return (
        "\n\n".join(
            block
            if block.startswith(as_they_are)
            else textwrap.fill(block, 120, break_long_words=False, break_on_hyphens=False)
            for block in blocks
        )
        + "\n"
    )


def embeddings_text(rows: list[dict[str, Any]]) -> str:
    """What computing embeddings once would save."""
    shares = [
        f"{row['embedding_share_of_full']:.1%} ({row['network']})" for row in rows if row["embedding_share_of_full"]
    ]
    if not shares:
        return ""
    return (
        f" Computing a sentence's embeddings once would save at most {', '.join(shares)} of a forward pass, so they are"
        f" computed with the rest."
    )


def padding_text(rows: list[dict[str, Any]]) -> str:
    """What leaving padding out saves."""
    ratios = [f"{row['without_padding_over_with']:.2f}" for row in rows if row.get("without_padding_over_with")]
    if not ratios:
        return ""
    return f" Sentences of 23 to 42 tokens that are padded to 50 then take {', '.join(ratios)} of the time."


def chunks_table(rows: list[dict[str, Any]]) -> str:
    """Time by batch size, one line a network."""
    sizes = sorted({int(size) for row in rows for size in row["bare_ms_by_batch_size"]})
    body = []
    for row in rows:
        times = {int(size): ms for size, ms in row["bare_ms_by_batch_size"].items()}
        body.append([row["network"], *(f"{times[size]:.3g}" if size in times else "–" for size in sizes)])
    return markdown_table(["network", *map(str, sizes)], body)


def channels_last_text(rows: list[dict[str, Any]]) -> str:
    """What the other layout costs."""
    told = [
        f"{row['channels_last_over_without_tables']:.2f} times as long for {row['network']}"
        for row in rows
        if row["embedding_share_of_full"] is None
    ]
    return ", ".join(told)


def compiled_text(rows: list[dict[str, Any]]) -> str:
    """What compiling gains, one line a network."""
    if not rows:
        return "What that gains was not measured in this run."
    head = ["network", "n", "compiled / as it is", "first call"]
    body = [[row["network"], row["n"], f"{row['ratio']:.2f}", f"{row['first_call_s']:.0f} s"] for row in rows]
    return (
        f"{markdown_table(head, body)}\n\nOn one thread, at a load of {load_of(rows)}; the first call by the clock,"
        f" with nothing in the compiler's cache."
    )


def memory_text(rows: list[dict[str, Any]]) -> str:
    """How much memory the largest network takes."""
    if not rows:
        return "Peak memory was not measured in this run."
    head = [
        "mask_batch_size",
        "tables",
        "masks",
        "chunks",
        "MB beyond the network",
        "after the first chunk",
        "whole process",
        "within 2 GB (1,907 MB)",
        "processor time",
    ]
    body = [
        [
            row["mask_batch_size"],
            "yes" if row["tables"] else "no",
            row["masks"],
            row["chunks"],
            f"{row['peak_mb']:.0f}",
            f"{row['after_first_chunk_mb']:.0f}",
            f"{row['whole_process_mb']:.0f}",
            "yes" if row["within_2_gb"] else "no",
            f"{row['seconds']:.0f} s",
        ]
        for row in rows
    ]
    return (
        f"Peak memory of explaining one image by VGG-16 at 224 pixels, solver included, with"
        f' {rows[0]["weights_mb"]:.0f} MB of weights; in a process of its own, and "after the first chunk" and "whole'
        f' process" are those of all of it, with Python and PyTorch (MB of 2²⁰ bytes):'
        f"\n\n{markdown_table(head, body)}\n\n"
        f"A further mask adds eight bytes, its output: chunks run one by one, and each gives back what it took, but for"
        f" what the allocator holds on to, by which the whole process grows after the first chunk. So the knob is the"
        f" chunk."
    )


def ranks_text(ranks: dict[str, Any]) -> str:
    """What a second process gains."""
    rows = ranks["rows"]
    if not rows:
        return "What a second process gains was not measured in this run."
    head = ["network", "samples, n", "by processor time", "by the clock", "by the clock, with nothing to share", "load"]
    body = [
        [
            row["network"],
            f"{row['samples']}, {row['n']}",
            "–" if "waits" in row["network"] else f"{row['times_less_processor_time']:.2f}",
            f"{row['times_faster']:.2f}",
            f"{row['side_by_side_times_faster']:.2f}",
            f"{row['load']:.0f}",
        ]
        for row in rows
    ]
    difference = max(row["largest_difference"] for row in rows)
    return (
        f"How many times faster two processes of one thread each explain the same samples than one, on"
        f" {ranks['machine']['cores']} cores; the results differ by {difference:.0e} at most, by rounding. By processor"
        f" time, that of the slower process, where the network computes; a network that only waits stands for a process"
        f" whose GPU works. The last column but one is what the machine gives two processes with nothing to share:"
        f"\n\n{markdown_table(head, body)}"
    )


def read(name: str) -> dict[str, Any]:
    """A file of results; no rows where there is none."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {"rows": []}


def on_each_device(name: str, text: Callable[[dict[str, Any]], str]) -> str:
    """What was measured on a CPU and, where there was one, on a GPU."""
    reports = [read(f"{name}_{device}") for device in ("cpu", "cuda")]
    return "\n\n".join(text(report) for report in reports if report["rows"]) or "Not measured in this run."


def masking_text(report: dict[str, Any]) -> str:
    """The ratios on one device, and what that was."""
    return f"{masking_table(report['rows'])}\n\n{machine_line(report)}"


def masking_table(rows: list[dict[str, Any]]) -> str:
    """One line a network."""
    columns = {
        "engine / bare suffix": "engine_over_suffix",
        "with first use": "with_first_use_over_suffix",
        "without tables": "without_tables_over_suffix",
        "engine / whole network": "engine_over_full",
        "one sample, n = 10: engine / bare suffix": "at_n_10_over_suffix",
        "that with first use": "at_n_10_with_first_use_over_suffix",
        "50 samples, n = 10, with first use": "paper_run_with_first_use_over_suffix",
    }
    head = ["network", "n", "samples", *columns, "first use", "its share of 50 samples", "FLOPs before the mask"]
    body = [
        [
            row["network"],
            row["n"],
            row["samples"],
            *("–" if row[key] is None else f"{row[key]:.2f}" for key in columns.values()),
            f"{row['first_use_s']:.2g} s",
            f"{row['first_use_share_of_paper_run']:.2%}",
            f"{row['prefix_share_of_flops']:.0%}",
        ]
        for row in rows
    ]
    return markdown_table(head, body)


def overhead_text(report: dict[str, Any]) -> str:
    """The shares on one device, and what that was."""
    return f"{overhead_table(report['rows'])}\n\n{machine_line(report)}"


def overhead_table(rows: list[dict[str, Any]]) -> str:
    """One line a schedule."""
    head = ["training", "epochs", "measurements", "samples, n", "masked passes", "solver", "losses", "a fit"]
    head.append("share of all time")
    body = [
        [
            f"{row['name']}: {row['schedule']['network']}",
            row["schedule"]["epochs"],
            row["measurements"],
            f"{row['schedule']['samples']}, {row['schedule']['n']}",
            f"{row['values_s']:.2f} s / sample",
            f"{row['solver_s']:.2f} s / sample",
            f"{row['losses_s']:.1f} s",
            f"{row['fit_s']:.2f} s",
            f"{row['share_of_all']:.1%}",
        ]
        for row in rows
    ]
    return markdown_table(head, body)


def machine_line(report: dict[str, Any]) -> str:
    """What ran, and how busy it was."""
    machine = report["machine"]
    on_cpu = f"one thread of {machine['cores']} cores ({machine['processor']}, no GPU)"
    where = on_cpu if machine["device"] == "cpu" else machine["device"]
    load = load_of(report["rows"])
    return f"Measured {machine['date']} on {where}, at a load of {load}; random weights and inputs, seed 0."


def load_of(rows: list[dict[str, Any]]) -> str:
    """How busy the machine was: the least and the most, or one number."""
    loads = [round(row["load"]) for row in rows]
    return " to ".join(map(str, dict.fromkeys((min(loads), max(loads)))))


if __name__ == "__main__":
    main()
