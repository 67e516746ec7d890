"""WMT test sets by name: through sacreBLEU, which fetches and caches them, or from local files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from alarm.registry import unknown_name
from alarm.tasks.parallel_text import read_parallel

SEGMENTS: Mapping[tuple[str, str], int] = {
    ("wmt11", "de-en"): 3_003,
    ("wmt11", "es-en"): 3_003,
    ("wmt12", "de-en"): 3_003,
    ("wmt12", "es-en"): 3_003,
    ("wmt13", "de-en"): 3_000,
    ("wmt13", "es-en"): 3_000,
    ("wmt14/full", "de-en"): 3_003,
    ("wmt15", "de-en"): 2_169,
    ("wmt16", "de-en"): 2_999,
    ("wmt17", "de-en"): 3_004,
    ("wmt18", "de-en"): 2_998,
    ("wmt19", "de-en"): 2_000,
    ("wmt22", "de-en"): 1_984,
}
"""Lines of source and reference by sacreBLEU's name of the test set and pair. Of sets that are not here no count is
known, so that only a difference between the two sides shows that a file is cut off.

Sources, read in 2026: the Tatoeba challenge's table of test-set sizes (github.com/Helsinki-NLP/Tatoeba-Challenge) and,
for WMT22, github.com/wmt-conference/wmt22-news-systems."""


def load_test_set(
    name: str = "wmt22", pair: str = "de-en", *, folder: Path | str | None = None
) -> tuple[list[str], list[str]]:
    """Source sentences and their (first) reference translations.

    Args:
        name: of the test set, as sacreBLEU calls it, e.g. "wmt22" or "wmt14/full".
        pair: source and target language, e.g. "de-en".
        folder: holds `<name>.<pair>.src` and `<name>.<pair>.ref`, plain or .gz, with "_" for the "/" of a name. None
            asks sacreBLEU, which keeps what it has fetched in the folder named by `SACREBLEU`, else in `~/.sacrebleu`.
    Raises:
        ValueError: an unknown set or pair; a file that is missing, damaged or has another number of lines than the set;
            or nothing is cached and there is no network (or `HF_HUB_OFFLINE` forbids it).
    """
    from sacrebleu.dataset import DATASETS

    if name not in DATASETS:
        raise ValueError(unknown_name("test set", name, [known for known in DATASETS if known.startswith("wmt")]))
    if pair not in DATASETS[name].langpairs:
        raise ValueError(unknown_name(f"language pair of {name}", pair, DATASETS[name].langpairs))
    lines, stem, reference = SEGMENTS.get((name, pair)), f"{name.replace('/', '_')}.{pair}", "ref"
    if folder is None:
        file = _reference_file(name, pair, stem, lines)
        # sacreBLEU names the references of newer sets by their translators: wmt22.de-en.ref-A
        folder, reference = file.parent, file.name.removeprefix(f"{stem}.")
    pairs = read_parallel(folder, stem, source="src", target=reference, lines=lines)
    return [source for source, _ in pairs], [text for _, text in pairs]


def _reference_file(name: str, pair: str, stem: str, lines: int | None) -> Path:
    """sacreBLEU's file of the first reference, beside that of the source; both are fetched if need be."""
    from huggingface_hub import constants
    from sacrebleu.utils import SACREBLEU_DIR, get_reference_files

    expected = f", {lines:,} lines each," if lines else ""
    remedy = f"fetch it once with a network, or name a folder with {stem}.src and {stem}.ref{expected} plain or .gz"
    if constants.HF_HUB_OFFLINE and not (Path(SACREBLEU_DIR) / name / f"{stem}.src").is_file():
        raise ValueError(f"{name} {pair} is not in sacreBLEU's folder {SACREBLEU_DIR}, and we are offline; {remedy}")
    try:
        return Path(get_reference_files(name, pair)[0])
    except (Exception, SystemExit) as error:  # sacreBLEU ends the process where a checksum is wrong
        raise ValueError(f"sacreBLEU cannot fetch {name} {pair} ({error}); {remedy}") from error
