"""Write docs/engine.md from the results of benchmarks/masking.py, overhead.py and receptive_field.py.

python benchmarks/engine_page.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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

Inputs that are masked themselves (words, columns, pixels) have no layer; they are run in chunks. Computing a sentence's
embeddings once would save at most 0.4 % of a forward pass (MiniLM's size, 64 sentences of 24 tokens, one thread), so
they are computed with the rest.

## What it costs

Processor time of the engine, on one thread, relative to the bare layers after the mask on as many inputs, at the
best of several batch sizes,
and to the whole network. The comparison on first use is left out here; it is the column "first use", as a share of 50
samples with n = 10.

{masking}

{masking_machine}

{memory}

## Chunks

`mask_batch_size="auto"` takes, on a CPU, as many masked inputs as keep what the busiest layer reads and writes within
32 MiB, at least 16 (what lies before the layer runs once a chunk) and at most 1,024. Time per input hardly depended
on it beyond 16: with one thread on a busy machine 7.3 to 10.5 ms for VGG-11 at 32 pixels in chunks of 16 to 512, 25
to 30 ms for MiniLM in chunks of 16 to 256, 1.4 to 1.9 s for VGG-16 at 224 pixels in chunks of 1 to 16. On a CUDA
device it takes half of the free memory, at most 4 GiB and 8,192 inputs. A chunk that does not fit is halved and
repeated; nothing that was done is lost. The values do not depend on it beyond rounding. Channels-last made no
difference on this CPU that the noise of the machine would let through, so it is an option (`channels_last=True`) and
off.

## Overhead of a training

{overhead}

Estimated from the parts: training steps without data loading; measurements with an untrained network, which is the
hard case for the solver.

## What decided for the tables

Counted for n = 10, over {draws} draws of patches: the share of the combinations that differ, layer by layer, and by
how much the multiply-adds of the convolutions after the mask fall if each value is computed once.

{field}

In small images the receptive field soon covers everything; in large ones hardly ever. On a CUDA device tables are
used only where they save 10¹² multiply-adds on a sample, because making them takes some hundred small kernels; that
bound is an estimate, no GPU has measured it.

## Precision

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
    masking, overhead, field = (read(name) for name in ("masking_cpu", "overhead_cpu", "receptive_field"))
    page = TEXT.format(
        masking=masking_table(masking["rows"]),
        masking_machine=machine_line(masking),
        memory=memory_text(masking.get("memory of VGG-16 at 224", [])),
        overhead=overhead_table(overhead["rows"]),
        draws=field["draws"],
        field=table(
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
        ranks=ranks_text(masking.get("ranks"), masking["machine"]["cores"]),
    )
    PAGE.write_text(page)


def memory_text(rows: list[dict[str, Any]]) -> str:
    """How much memory the largest network takes."""
    if not rows:
        return "Peak memory was not measured in this run."
    body = [[row["mask_batch_size"], f"{row['peak_mb']:.0f}"] for row in rows]
    return (
        f"Peak memory of a VGG-16 at 224 pixels beyond the {rows[0]['weights_mb']:.0f} MB of its weights:"
        f"\n\n{table(['mask_batch_size', 'MB'], body)}"
    )


def ranks_text(ranks: dict[str, Any] | None, cores: int) -> str:
    """What a second process gains."""
    if ranks is None:
        return "What a second process gains was not measured in this run."
    return (
        f"With two processes of one thread each, the slower one used {ranks['times_less_processor_time']:.2f} times"
        f" less processor time than one; by the clock they were {ranks['times_faster']:.2f} times faster, at a load"
        f" of {ranks['load']:.0f} on {cores} cores."
    )


def read(name: str) -> dict[str, Any]:
    """A file of results; no rows where there is none."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {"rows": []}


def masking_table(rows: list[dict[str, Any]]) -> str:
    """One line a network."""
    head = [
        "network",
        "n",
        "engine / bare suffix",
        "without tables",
        "engine / whole network",
        "n = 10: engine / bare suffix",
        "FLOPs before the mask",
        "first use",
    ]
    body = [
        [
            row["network"],
            row["n"],
            f"{row['engine_over_suffix']:.2f}",
            f"{row['without_tables_over_suffix']:.2f}",
            f"{row['engine_over_full']:.2f}",
            "–" if row["at_n_10_over_suffix"] is None else f"{row['at_n_10_over_suffix']:.3f}",
            f"{row['prefix_share_of_flops']:.0%}",
            f"{row['probe_share_of_paper_run']:.2%}",
        ]
        for row in rows
    ]
    return table(head, body)


def overhead_table(rows: list[dict[str, Any]]) -> str:
    """One line a schedule."""
    if not rows:
        return "Not measured in this run."
    head = ["training", "epochs", "measurements", "samples, n", "masked passes", "solver", "share of all time"]
    body = [
        [
            f"{row['name']}: {row['schedule']['network']}",
            row["schedule"]["epochs"],
            row["measurements"],
            f"{row['schedule']['samples']}, {row['schedule']['n']}",
            f"{row['values_s']:.2f} s / sample",
            f"{row['solver_s']:.2f} s / sample",
            f"{row['share_of_all']:.1%}",
        ]
        for row in rows
    ]
    return table(head, body)


def machine_line(report: dict[str, Any]) -> str:
    """What ran, and how busy it was."""
    machine = report["machine"]
    loads = [row["load"] for row in report["rows"]]
    load = f"{min(loads):.0f} to {max(loads):.0f}"
    return (
        f"Measured {machine['date']} with {machine['threads']} thread on {machine['cores']} cores"
        f" ({machine['processor']}, no GPU), at a load of {load}; random weights and inputs, seed 0."
    )


def table(head: list[str], body: list[list[Any]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


if __name__ == "__main__":
    main()
