"""Samples a second in training: mlemo against a bare loop, against Hugging Face's Trainer, and against itself.

python tests/benchmarks/throughput.py --encoder FOLDER --data-dir DIR --steps 100
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import bare
import torch
from race import Contender, HuggingFaceTimer, race
from rich.console import Console
from rich.table import Table
from transformers.utils.logging import disable_progress_bar

from mlemo.batch import PromptLayout, TextInput
from mlemo.cli import main as mlemo
from mlemo.data import SemEval2018, TokenizedCorpus
from mlemo.nn.encoder import Pretrained
from mlemo.nn.encoder_properties import max_length
from mlemo.training import default_precision

BLOCK = 5  # steps in one turn
#: Settings of glibc's malloc; other systems ignore them.
HEAP = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**36)}
Training = Callable[[], object]


@dataclass
class Comparison:
    """Two trainings and what their speeds must be.

    Args:
        first: Name and training.
        second: Name and training; the ratio is the time of the second over that of the first.
        mark: The ratio that is asked for, from below or (``at_most``) from above.
        same_batches: Whether both take the same batches, so that turns can be compared one by one; else epochs are.
    """

    first: tuple[str, Training]
    second: tuple[str, Training]
    mark: float
    at_most: bool = False
    same_batches: bool = True

    def passes(self, ratio: float) -> bool:
        """Whether a ratio reaches the mark."""
        return ratio <= self.mark if self.at_most else ratio >= self.mark


class Trainings:
    """The contenders: every one trains on the same samples, a random part of SemEval-2018 English.

    Args:
        encoder: Folder of a Hugging Face encoder.
        data_dir: Folder with the files of SemEval-2018 E-c.
        batch_size: Samples a batch.
        steps: Batches an epoch.
        epochs: Epochs.
        folder: Where trainings may write.
    """

    def __init__(self, encoder: str, data_dir: str, batch_size: int, steps: int, epochs: int, folder: str) -> None:
        self.encoder, self.data_dir, self.folder = encoder, data_dir, folder
        self.batch_size, self.epochs = batch_size, epochs
        self.data = SemEval2018(data_dir=data_dir, train_rows=batch_size * steps)
        if len(self.data.corpus("train")) < batch_size * steps:
            raise ValueError(f"{steps} batches of {batch_size} are more than the {len(self.data.corpus('train'))} rows")

    def mlemo(self, model: str, *settings: str, precision: str) -> Training:
        """The command ``mlemo fit``, without validation and checkpoints."""
        words = [
            "fit", "--data=SemEval2018", f"--data.data_dir={self.data_dir}", f"--data.batch_size={self.batch_size}",
            f"--data.train_rows={len(self.data.corpus('train'))}",
            f"--model={model}", f"--model.encoder={self.encoder}", *settings,
            f"--trainer.precision={precision}", f"--trainer.max_epochs={self.epochs}", "--trainer.accelerator=cpu",
            "--trainer.gradient_clip_val=1.0", "--trainer.limit_val_batches=0",
            "--trainer.callbacks+=race.LightningTimer", f"--trainer.logger.init_args.save_dir={self.folder}",
            "--trainer.enable_model_summary=false", "--progress.refresh_rate=0", "--checkpoint.save_top_k=0",
            "--last_checkpoint.save_top_k=0", "--early_stopping.strict=false", "--test_after_fit=false",
        ]  # fmt: skip
        return lambda: mlemo(words)

    def plain(self, *settings: str, precision: str) -> Training:
        """Plain fine-tuning through mlemo."""
        return self.mlemo("TransformerClassifier", *settings, precision=precision)

    def bert_wdl(self, permutation: str, *settings: str, precision: str) -> Training:
        """Bert-WDL with WDL1 through mlemo."""
        loss = ["--model.loss=WeightedDifferenceLoss", f"--model.loss.permutation={permutation}"]
        return self.mlemo("BertWDL", *loss, *settings, precision=precision)

    def bare_plain(self, precision: str) -> Training:
        """Plain fine-tuning in a bare loop."""
        network = partial(bare.Plain, self.encoder, len(self.data.label_space))
        return lambda: bare.train(network, self._dataset(None), self.batch_size, self.epochs, precision)

    def bare_prompted(self, precision: str) -> Training:
        """Bert-WDL in a bare loop."""
        network = partial(bare.Prompted, self.encoder)
        return lambda: bare.train(network, self._dataset("words_masks"), self.batch_size, self.epochs, precision)

    def _dataset(self, prompt: PromptLayout | None) -> TokenizedCorpus:
        source = Pretrained(self.encoder)
        tokenizer = source.tokenizer(list)
        encoder = source.encoder(tokenizer)
        types = getattr(encoder.config, "type_vocab_size", 0) > 1
        return self.data.dataset("train", TextInput(tokenizer, max_length(encoder, tokenizer, 512), prompt, types))

    def hugging_face(self) -> None:
        """Hugging Face's Trainer as it comes, but for the batch size and saving."""
        from transformers import (
            AutoModelForSequenceClassification,
            AutoTokenizer,
            DataCollatorWithPadding,
            PrinterCallback,
            Trainer,
            TrainingArguments,
        )

        tokenizer = AutoTokenizer.from_pretrained(self.encoder)
        corpus = self.data.corpus("train")
        encoded = tokenizer(corpus.texts, truncation=True)
        rows = [
            {**{name: values[row] for name, values in encoded.items()}, "labels": labels}
            for row, labels in enumerate(corpus.labels.tolist())
        ]
        model = AutoModelForSequenceClassification.from_pretrained(
            self.encoder,
            num_labels=len(self.data.label_space),
            problem_type="multi_label_classification",
            dtype=torch.float32,
        )
        arguments = TrainingArguments(
            output_dir=self.folder,
            per_device_train_batch_size=self.batch_size,
            num_train_epochs=self.epochs,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[HuggingFaceTimer()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def comparisons(trainings: Trainings, precision: str) -> dict[str, Comparison]:
    """All comparisons by their letter."""
    exact = ("Bert-WDL exact", trainings.bert_wdl("exact", precision=precision))
    shuffle = ("--trainer.callbacks+=LabelShuffle", "--trainer.callbacks.k=3")
    sampled = ("Bert-WDL sampled, K = 3", trainings.bert_wdl("sampled", *shuffle, precision=precision))
    plain = ("plain", trainings.plain(precision=precision))
    single = ("plain, float32", trainings.plain(precision="32-true"))
    ungrouped = ("plain, ungrouped", trainings.plain("--data.group_by_length=false", precision=precision))
    found = {
        "a": Comparison(plain, ("bare loop", trainings.bare_plain(precision)), 0.95),
        "b": Comparison(exact, ("bare loop with prompt", trainings.bare_prompted(precision)), 0.95),
        "c": Comparison(exact, sampled, 3.1, at_most=True),
        "d": Comparison(plain, ungrouped, 1.0, same_batches=False),
        "e": Comparison(single, ("Hugging Face's Trainer", trainings.hugging_face), 1.4, same_batches=False),
    }
    if default_precision() == "bf16-mixed":
        found["f"] = Comparison(("plain, bf16", trainings.plain(precision="bf16-mixed")), single, 1.5)
    return found


def ratios(first: Contender, second: Contender, block: int) -> list[float]:
    """Time of the second over that of the first, block by block, without the first epoch."""
    values = []
    for ours, theirs in zip(first.seconds[1:], second.seconds[1:], strict=True):
        if len(ours) != len(theirs):
            raise RuntimeError(f"{first.name} took {len(ours)} steps in an epoch, {second.name} {len(theirs)}")
        starts = range(0, len(ours), block)
        values += [sum(theirs[start : start + block]) / sum(ours[start : start + block]) for start in starts]
    return values


def share_one_heap() -> None:
    """Start again with one heap for all threads, which keeps what is freed.

    Otherwise page faults take up to a tenth of the time, and of two equal trainings one has far more of them by chance.
    """
    if any(os.environ.get(name) != value for name, value in HEAP.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **HEAP})


def main() -> int:
    share_one_heap()
    parser = argparse.ArgumentParser(description="Training throughput of mlemo, as ratios with pass marks.")
    parser.add_argument("--encoder", required=True, help="folder of a Hugging Face encoder")
    parser.add_argument("--data-dir", required=True, help="folder with the files of SemEval-2018 E-c")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=100, help="batches an epoch; grouping by length needs 50 or more")
    parser.add_argument("--repeats", type=int, default=3, help="epochs that count, after one that does not")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--precision", default=default_precision(), help="of a to d (default: mlemo's own choice)")
    parser.add_argument("--only", nargs="+", metavar="LETTER", help="some of the comparisons: a b c d e f")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    disable_progress_bar()
    encoder, data_dir = (str(Path(folder).resolve()) for folder in (options.encoder, options.data_dir))

    table = Table("", "first", "second", title="time of the second over that of the first, median [quartiles]")
    for column in ("samples/s", "samples/s", "ratio", "asked", "result"):
        table.add_column(column, justify="right")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        trainings = Trainings(encoder, data_dir, options.batch_size, options.steps, options.repeats + 1, folder)
        found = comparisons(trainings, options.precision)
        for letter in options.only or found:
            if letter not in found:
                parser.error(f"no comparison {letter!r} on this machine; there are {', '.join(found)}")
            comparison = found[letter]
            pair = [Contender(*entry, BLOCK, options.threads) for entry in (comparison.first, comparison.second)]
            race(pair)
            values = ratios(*pair, BLOCK if comparison.same_batches else options.steps)
            ratio = median(values)
            low, high = torch.tensor(values).quantile(torch.tensor([0.25, 0.75])).tolist()
            speeds = [
                options.batch_size * options.steps / median(sum(epoch) for epoch in contender.seconds[1:])
                for contender in pair
            ]
            passed = comparison.passes(ratio)
            failed |= not passed
            table.add_row(
                letter,
                *(contender.name for contender in pair),
                *(f"{speed:.1f}" for speed in speeds),
                f"{ratio:.3f} [{low:.3f}, {high:.3f}]",
                f"{'≤' if comparison.at_most else '≥'} {comparison.mark}",
                "pass" if passed else "FAIL",
            )
            sys.stdout.write(f"{letter}: {ratio:.3f}\n")
    Console(width=130).print(table)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
