"""Few examples: contrastive fine-tuning, zero-shot, frozen encoder, TF-IDF and SetFit at 8 to 64 rows per label.

OMP_NUM_THREADS=1 python tests/benchmarks/few_shot.py run --english FOLDER --multilingual FOLDER --data-dir DIR
python tests/benchmarks/few_shot.py table

`FOLDER` is a sentence encoder, for SemEval-2018 English and for three languages of SemEval-2025; `DIR` has the folders
`semeval2018_ec` and `semeval2025_task11`. One JSON line per finished cell; a second call continues. `setfit` must be
installed. Conditions and results: docs/few_examples.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import Trainer, seed_everything
from torch import Tensor

from mlemo.data import Corpus, EmotionDataModule, SemEval2018, SemEval2025
from mlemo.inference import Classifier
from mlemo.metrics.values import decision_values, probability_values
from mlemo.models import ContrastiveClassifier, FrozenHead, Linear, Optimization, ZeroShot
from mlemo.nn.features import TextFeatures
from mlemo.nn.frozen_encoder import FrozenEncoder
from mlemo.thresholds import FixedThreshold, GlobalThreshold, PerClassThreshold
from mlemo.utils.hardware import has_bf16

CORPORA = ("english", "arq", "rus", "chn")
#: Optimizer steps of contrastive fine-tuning and of SetFit: 10 to 20 s of processor time in either case.
STEPS = {"english": 14, "arq": 8, "rus": 8, "chn": 8}
MAX_LENGTH = {"english": 64, "arq": 40, "rus": 40, "chn": 40}
TEST_ROWS = 500
#: Of both ways of fine-tuning.
PRECISION: Literal["bf16-mixed", "32-true"] = "bf16-mixed" if has_bf16() else "32-true"
LEARNING_RATE = 2e-4
#: Settings with two candidates each, chosen on the validation splits of English and, for the multilingual encoder, of
#: Russian, with seed 7 and 8 rows per label (docs/few_examples.md).
CONTRASTIVE_WEIGHT = {"english": 1.0, "arq": 4.0, "rus": 4.0, "chn": 4.0}
SETFIT_RATE = {"english": 2e-5, "arq": 1e-4, "rus": 1e-4, "chn": 1e-4}
#: The emotions in the language of the texts; ``corpus`` is mlemo's own words.
DESCRIPTIONS: dict[str, Any] = {
    "english": "names",
    "arq": "corpus",
    "rus": ["гнев", "отвращение", "страх", "радость", "грусть", "удивление"],
    "chn": "corpus",
}
SYSTEMS = ("tfidf", "zero_shot", "frozen_head", "contrastive", "setfit")
NAMES = {
    "tfidf": "`Linear` over TF-IDF",
    "zero_shot": "`ZeroShot`",
    "frozen_head": "`FrozenHead`",
    "setfit": "SetFit 1.2.0",
    "contrastive": "`ContrastiveClassifier`",
}


def datamodule(name: str, folder: Path, size: int, seed: int) -> EmotionDataModule:
    """A corpus with a few training rows."""
    few: dict[str, Any] = {"rows_per_label": size, "seed": seed, "batch_size": 28}
    if name == "english":
        return SemEval2018("english", folder / "semeval2018_ec", **few)
    return SemEval2025(name, folder / "semeval2025_task11", **few)


class Stored(TextFeatures):
    """Vectors of texts that are encoded once in the whole benchmark."""

    def __init__(self, encoder: str, max_length: int) -> None:
        self.encoder, self.max_length = encoder, max_length
        self._frozen = FrozenEncoder(encoder, max_length=max_length, cache=False)
        self._vectors: dict[str, Tensor] = {}

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Encode those that are new."""
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        self._vectors.update(zip(new, self._frozen(new)))
        return torch.stack([self._vectors[text] for text in texts])


stored = cache(Stored)


Predict = Callable[[Sequence[str]], Tensor]


def tfidf(data: EmotionDataModule, encoder: str, name: str) -> Predict:
    """Logistic regression over TF-IDF weights."""
    train = data.corpus("train")
    model = Linear(data.label_space, regularization=4.0)
    assert model.features is not None
    model.features.fit(list(train.texts or []))
    features = model.features(list(train.texts or []))
    model.build(features.shape[1])
    model.fit(features, train.labels, train.mask)
    return Classifier(model, FixedThreshold()).probabilities


def zero_shot(data: EmotionDataModule, encoder: str, name: str) -> Predict:
    """Similarity to the names of the emotions; of the rows, the share of each label alone is used."""
    train = data.corpus("train")
    model = ZeroShot(data.label_space, stored(encoder, MAX_LENGTH[name]), DESCRIPTIONS[name])
    features = stored(encoder, MAX_LENGTH[name])(list(train.texts or []))
    model.build(features.shape[1])
    model.fit(features, train.labels, train.mask)
    return Classifier(model, FixedThreshold()).probabilities


def frozen_head(data: EmotionDataModule, encoder: str, name: str) -> Predict:
    """The head of `FrozenHead` with its default settings, for 50 epochs."""
    model = FrozenHead(data.label_space, stored(encoder, MAX_LENGTH[name]))
    _trainer(max_epochs=50, precision="32-true").fit(model, datamodule=data)
    return Classifier(model, FixedThreshold()).probabilities


def contrastive(data: EmotionDataModule, encoder: str, name: str) -> Predict:
    """`ContrastiveClassifier` with 28 texts and the descriptions per step."""
    model = ContrastiveClassifier(
        data.label_space,
        encoder,
        descriptions=DESCRIPTIONS[name],
        contrastive_weight=CONTRASTIVE_WEIGHT[name],
        max_length=MAX_LENGTH[name],
        optimization=Optimization(learning_rate=LEARNING_RATE),
    )
    _trainer(max_steps=STEPS[name], precision=PRECISION, gradient_clip_val=1.0).fit(model, datamodule=data)
    return _fast(Classifier(model, FixedThreshold()).probabilities)


def setfit(data: EmotionDataModule, encoder: str, name: str) -> Predict:
    """SetFit with 16 pairs per step and a one-vs-rest head; its defaults but for the number of steps and the rate."""
    from datasets import Dataset  # not a dependency of mlemo
    from setfit import SetFitModel, Trainer, TrainingArguments

    train = data.corpus("train")
    rows = Dataset.from_dict({"text": list(train.texts or []), "label": train.labels.int().tolist()})
    model = SetFitModel.from_pretrained(encoder, multi_target_strategy="one-vs-rest", device="cpu")
    model.model_body.max_seq_length = MAX_LENGTH[name]
    settings = TrainingArguments(
        output_dir="runs/setfit",
        batch_size=16,
        max_steps=STEPS[name],
        body_learning_rate=SETFIT_RATE[name],
        report_to="none",
        save_strategy="no",
        seed=data.seed,
    )
    trainer = Trainer(model=model, args=settings, train_dataset=rows)
    with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
        trainer.train()

    def probabilities(texts: Sequence[str]) -> Tensor:
        found = model.predict_proba(list(texts), as_numpy=True, show_progress_bar=False)
        return torch.from_numpy(np.asarray(found)).float()

    return _fast(probabilities)


def _trainer(**settings: Any) -> Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    return Trainer(**quiet, enable_model_summary=False, limit_val_batches=0, use_distributed_sampler=False, **settings)


def _fast(predict: Predict) -> Predict:
    def predicted(texts: Sequence[str]) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
            return predict(texts)

    return predicted


def cell(system: str, name: str, size: int, seed: int, encoder: str, folder: Path, out: Path) -> dict[str, Any]:
    """Train one system, and score it on the same test rows as all others; keep its probabilities beside ``out``."""
    data = datamodule(name, folder, size, seed)
    seed_everything(seed, verbose=False)
    rows = len(data.corpus("train"))
    # as many validation rows as training rows, for the threshold alone
    val, test = _part(data.corpus("val"), rows, seed), _part(data.corpus("test"), TEST_ROWS, 0)
    start = time.process_time()
    predict = globals()[system](data, encoder, name)
    seconds = time.process_time() - start
    found = {part: predict(list(corpus.texts or [])) for part, corpus in (("val", val), ("test", test))}
    kept = out.with_suffix("") / f"{system}-{name}-{size}-{seed}.npz"
    kept.parent.mkdir(exist_ok=True)
    np.savez(kept, **found, val_labels=val.labels, test_labels=test.labels)
    targets, mask, probabilities = test.labels > 0, test.mask, found["test"]
    decided = {
        rule: rules().fit(found["val"], val.labels, val.mask).predict(probabilities)
        for rule, rules in (("global", GlobalThreshold), ("per_class", PerClassThreshold), ("half", FixedThreshold))
    }
    scores = {
        f"{metric}_{rule}": float(decision_values(on, targets, mask)[metric])
        for rule, on in decided.items()
        for metric in ("macro_f1", "jaccard")
    }
    scores["macro_ap"] = float(probability_values(probabilities, targets, mask)["macro_ap"])
    about = {"system": system, "corpus": name, "size": size, "seed": seed, "rows": rows, "seconds": round(seconds, 1)}
    return about | scores


def _part(corpus: Corpus, rows: int, seed: int) -> Corpus:
    order = torch.randperm(len(corpus), generator=torch.Generator().manual_seed(seed))
    return corpus.select(order[:rows].sort().values)


def read(out: Path) -> list[dict[str, Any]]:
    """The finished cells."""
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def run(options: argparse.Namespace) -> None:
    """Compute the cells that are not there yet, the cheap systems first."""
    encoders = dict.fromkeys(CORPORA, options.multilingual) | {"english": options.english}
    keys = ("system", "corpus", "size", "seed")
    done = {tuple(found[key] for key in keys) for found in read(options.out)}
    cheap = [system for system in options.systems if system not in ("contrastive", "setfit")]
    tuned = [system for system in options.systems if system not in cheap]
    for group in (cheap, tuned):
        for seed in options.seeds:
            for size in options.sizes:
                for name in options.corpora:
                    for system in group:  # taking turns, so that both meet the same load
                        if (system, name, size, seed) not in done:
                            found = cell(system, name, size, seed, encoders[name], options.data_dir, options.out)
                            with options.out.open("a") as file:
                                file.write(json.dumps(found) + "\n")


def table(options: argparse.Namespace) -> None:
    """Print a table per measure, mean ± standard deviation over the seeds."""
    found = read(options.out)
    for measure in ("macro_f1_global", "macro_f1_per_class", "macro_f1_half", "macro_ap", "seconds"):
        print(f"\n{measure}\n")
        print(f"| rows per label | system | {' | '.join(CORPORA)} |\n|---|---|{'---|' * len(CORPORA)}")
        for size in sorted({one["size"] for one in found}):
            for system, title in NAMES.items():
                row = list(_entries(found, measure, size, system))
                if any(row):
                    print(f"| {size} | {title} | {' | '.join(row)} |")


def _entries(found: list[dict[str, Any]], measure: str, size: int, system: str) -> Iterator[str]:
    for name in CORPORA:
        values = [one[measure] for one in found if (one["corpus"], one["size"], one["system"]) == (name, size, system)]
        if not values:
            yield ""
        elif measure == "seconds":
            yield f"{np.mean(values):.0f}"
        else:
            mark = "" if len(values) == 3 else f" ({len(values)} seeds)"
            yield f"{np.mean(values):.3f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.3f}{mark}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("action", choices=["run", "table"])
    parser.add_argument("--english", help="folder of the encoder of SemEval-2018 English")
    parser.add_argument("--multilingual", help="folder of the encoder of the other languages")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path, default=Path("few_shot.jsonl"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 32, 16, 64])
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--corpora", nargs="+", default=CORPORA)
    parser.add_argument("--systems", nargs="+", default=SYSTEMS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    (run if options.action == "run" else table)(options)


if __name__ == "__main__":
    main()
