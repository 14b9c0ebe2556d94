"""The model card of an exported folder: data, scores, limits, license and how to cite."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from mlemo.export.folder import is_sequence_classifier
from mlemo.models import FeatureModel, MultiLabelModel, TextModel
from mlemo.nn.encoder_reference import public_name
from mlemo.nn.frozen_encoder import FrozenEncoder
from mlemo.nn.lora import Lora
from mlemo.runs.exported import CARD
from mlemo.runs.files import PER_CLASS, RESULTS
from mlemo.runs.manifest import Manifest, is_tested, read_manifest
from mlemo.thresholds import ThresholdRule
from mlemo.utils.messages import visible
from mlemo.utils.tables import markdown_escape, markdown_table

__all__ = ["model_card", "write_card"]

#: Metrics of the card with their names for people; of decisions, those by the fitted rule if there is one.
SCORES = {
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "samples_f1": "F1 per text",
    "jaccard": "Jaccard",
    "subset_accuracy": "exact matches",
    "hamming_loss": "Hamming loss (lower is better)",
    "macro_ap": "macro AP",
    "macro_auroc": "macro AUROC",
}
USE = """\
```python
import mlemo

classifier = mlemo.load("FOLDER")
classifier("What a lovely surprise!").labels
```

`mlemo classify --ckpt FOLDER "text"` labels texts on the command line, `mlemo serve FOLDER` over HTTP."""
PIPELINE = """\
It is a sequence classifier of transformers as well, with the same probabilities, but without the decision rule:

```python
from transformers import pipeline

pipeline("text-classification", "FOLDER", top_k=None)("What a lovely surprise!")
```"""
NO_PIPELINE = (
    "`transformers.pipeline` cannot read this folder as a classifier: its heads cannot express this model. (They can "
    "for a `TransformerClassifier` over BERT, RoBERTa or XLM-R with `pooling: cls` and without cleaning of texts.)"
)
LIMITS = """\
- The labels are those of the training data; texts of another language, genre, platform or time may be labeled worse
  than the scores here say.
- Emotions are read differently by different people: scores are agreement with the annotators of the data, not truth.
- The decision rule was fitted on the validation split; other label frequencies need another rule.
- The model must not be used to judge or diagnose persons."""
CITE = """\
Cite the paper of the method, the data, and mlemo:

```bibtex
@software{mlemo,
  title = {mlemo: multi-label emotion classification of text},
  author = {{The mlemo authors}},
  version = {VERSION}
}
```"""


def write_card(folder: Path, model: MultiLabelModel, rule: ThresholdRule, run: Path, license_id: str | None) -> None:
    """Write `model_card` into an exported folder."""
    (folder / CARD).write_text(visible(model_card(model, rule, run, license_id)), encoding="utf-8")


def model_card(model: MultiLabelModel, rule: ThresholdRule, run: Path, license_id: str | None = None) -> str:
    """Compose the model card in Markdown.

    Args:
        model: The trained model.
        rule: Its decision rule.
        run: Folder of its run, or its checkpoint, of which no data and scores are known.
        license_id: License of the model, as an SPDX identifier; ``None`` where it was not given.
    """
    from mlemo import __version__  # noqa: PLC0415  # the package is initialized by now

    manifest = read_manifest(run) if run.is_dir() else None
    head = ["---", "library_name: mlemo", "pipeline_tag: text-classification"]
    head += [] if license_id is None else [f"license: {license_id.lower()}"]
    head += ["tags:", "- multi-label", "- emotion", "---"]
    title = run.resolve().name if manifest is None or manifest.name is None else manifest.name
    labels = ", ".join(map(markdown_escape, model.label_space.names))
    blocks = [
        "\n".join(head),
        f"# {markdown_escape(title)}",
        f"A {type(model).__name__} that gives a text any number of {len(model.label_space)} labels: {labels}.",
        "## Use",
        USE,
        PIPELINE if is_sequence_classifier(model) else NO_PIPELINE,
        "## Model",
        _of_model(model, rule),
        "## Data",
        _data(manifest),
        "## Scores",
        *_scores(run, manifest),
        "## Limits",
        LIMITS,
        "## License",
        "The license was not stated at the export; ask the authors of the model." if license_id is None
        else f"{markdown_escape(license_id)}. The licenses of the training data and of the encoder apply beside it.",
        "## How to cite",
        CITE.replace("VERSION", __version__),
    ]  # fmt: skip
    return "\n\n".join(blocks) + "\n"


def _of_model(model: MultiLabelModel, rule: ThresholdRule) -> str:
    rows = {"decision rule": rule.describe()}
    if isinstance(model, TextModel):
        rows["encoder"] = str(getattr(model.encoder.config, "model_type", type(model.encoder).__name__))
        rows["longest input"] = f"{model.data_input.max_length} tokens"
        rows["cleaning of texts"] = "none" if model.cleaning is None else type(model.cleaning).__name__
        if isinstance(model.source, Lora):
            rows["needs the encoder"] = public_name(model.source.base.name)
    elif isinstance(model, FeatureModel) and model.features is not None:
        name = model.features.encoder if isinstance(model.features, FrozenEncoder) else type(model.features).__name__
        rows["features"] = public_name(name)
    rows["parameters"] = f"{sum(weight.numel() for weight in model.parameters()):,}"
    return "\n".join(f"- {name}: {markdown_escape(value)}" for name, value in rows.items())


def _data(manifest: Manifest | None) -> str:
    if manifest is None or not manifest.data:
        return "The export was made of a checkpoint without its run, which names the data."
    name = str(manifest.data["class"]).rpartition(".")[2]
    rows = {split: part["rows"] for split, part in manifest.data.get("splits", {}).items()}
    sizes = ", ".join(f"{count:,} texts in {split}" for split, count in rows.items())
    return f"{markdown_escape(name)}: {sizes or 'sizes unknown'}."


def _scores(run: Path, manifest: Manifest | None) -> list[str]:
    """Blocks with the scores of the test, with intervals, and those of each label."""
    results_file, classes_file = RESULTS.path(run, "test"), PER_CLASS.path(run, "test")
    if not run.is_dir() or not results_file.is_file():
        return ["The model was exported without results of a test."]
    if manifest is not None and not is_tested(run):
        return ["The model was trained on after its latest test, so there are no scores of it."]
    results = json.loads(results_file.read_text(encoding="utf-8"))
    intervals = results.get("intervals", {})
    rows = []
    for metric, name in SCORES.items():
        key = f"tuned_{metric}" if f"tuned_{metric}" in results else metric
        if key in results:
            low, high = intervals.get(key, (None, None))
            rows.append((name, f"{results[key]:.3f}", "" if low is None else f"{low:.3f} to {high:.3f}"))
    rule = markdown_escape(str(results.get("rule", "thresholds of 0.5")))
    blocks = [
        f"On the test split, decided by {rule}. Intervals are 95 %, over the texts of the test.",
        markdown_table(("metric", "value", "interval"), rows, 1),
    ]
    if classes_file.is_file():
        table = pd.read_csv(classes_file, keep_default_na=False, na_values=[""], dtype={"label": str})
        columns = [f"tuned_{name}" if f"tuned_{name}" in table else name for name in ("precision", "recall", "f1")]
        values = table[["label", "support", *columns]].itertuples(index=False)
        cells = [(label, f"{support:g}", *(f"{value:.3f}" for value in scores)) for label, support, *scores in values]
        blocks.append(markdown_table(("label", "positives in test", "precision", "recall", "F1"), cells, 1))
    return blocks
