"""One invocation of the benchmarks: checked options, the labs of its tasks, and where records go."""

from __future__ import annotations

import tempfile
import uuid
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alarm.experiment.choices import chosen, default_device, with_choices
from alarm.experiment.matrix import QUICK_METHODS, QUICK_SEEDS, QUICK_TASK, run_matrix, without_recipes
from alarm.methods import load_method_file
from alarm.presets import REPORTED_SEEDS, TASK_NAMES, preset
from alarm.registry import UnknownNameError, unknown_name
from alarm.scorers.external import TRAINED, check_holistic
from alarm.settings import Preset
from alarm.text.splitters import SPLITTERS

if TYPE_CHECKING:
    from alarm.experiment.judging import JudgeRequest
    from alarm.experiment.matrix import RunSpec
    from alarm.experiment.reward_study import RewardStudy, StudyPart
    from alarm.scorers.base import Scorer

GRID_SEEDS = {"tiny": 1}
"""How many seeds the grid's further cells run with under `full`, 0 at other scales: they are most of its runs."""
SWEPT_SCALE = "tiny"
"""Where a task's study is repeated at other shares of wrong labels; models are small there."""


class Session:
    """What one invocation works on. Creating it checks every option; nothing is trained or read before that.

    `full` adds ablations, the grid and the study of recipes; `quick` takes a small part of the runs (see
    `alarm.experiment.matrix`). `choices` are those of `alarm.experiment.choices`, by name. Who only reads what others
    have trained says so by `trains`, and is not asked for the models, data and tools that training needs.

    Raises:
        ValueError: an option names something unknown, missing or unusable; the message says what to do.
    """

    def __init__(
        self,
        *,
        scale: str,
        results: Path,
        tasks: tuple[str, ...] = (),
        methods: tuple[str, ...] = (),
        method_files: tuple[str, ...] = (),
        aspects: tuple[str, ...] = (),
        recipes: tuple[str, ...] = (),
        sources: tuple[str, ...] = (),
        seeds: tuple[int, ...] = (1, 2, 3),
        full: bool = False,
        quick: bool = False,
        grid_seeds: int | None = None,
        device: str = "cpu",
        data: Path | None = None,
        store: Path | None = None,
        fresh: bool = False,
        judge: JudgeRequest | None = None,
        token: str | None = None,
        trains: bool = True,
        **choices: str,
    ) -> None:
        import baselines  # noqa: F401  registers the baselines

        own_methods = [name for path in method_files for name in load_method_file(path)]
        self.scale = scale
        self.results = check_results(results)
        self.device = check_device(device)
        self.quick = quick
        if quick:
            tasks, methods, seeds = check_quick(scale, full=full, tasks=tasks, methods=methods, seeds=seeds)
        if grid_seeds is None:
            grid_seeds = GRID_SEEDS.get(scale, 0) if full else 0
        self._choices = choices
        specs = run_matrix(
            scale,
            tasks=tasks,
            methods=methods,
            own_methods=own_methods,
            aspects=aspects,
            recipes=recipes,
            seeds=seeds,
            full=full,
            grid_seeds=grid_seeds,
        )
        restricted = bool(methods or aspects or recipes)
        studies_only = bool(sources) and not (tasks or restricted)
        of_specs = list(dict.fromkeys(spec.task for spec in specs))
        self.tasks = [] if studies_only else of_specs
        """Tasks whose shared artifacts are published and whose runs are made."""
        self.seeds = tuple(dict.fromkeys(seeds))
        self.data = check_data(scale, data)
        if trains and token is None:  # a worker's token comes from a process that has checked
            needed = dict.fromkeys([*self.tasks, *(source for source in sources if source in of_specs)])
            check_requirements([self._preset(task) for task in needed], data=self.data, device=device, store=store)
        ready_made = self._check_models(used=trains)
        self.specs = without_recipes([] if studies_only else specs, ready_made, named=bool(methods or recipes))
        self.sources = self._check_sources(sources, of_specs if full and not restricted else [], ready_made)
        self.pools = [] if restricted else self.tasks
        """Tasks with best-of-k."""
        self.judge = judge
        self.judged = self.tasks if judge else []
        """Tasks whose runs a language model judges."""
        self._judge_all = restricted
        self.token = token or uuid.uuid4().hex
        from alarm.store import Store

        self.store = Store(store, fresh_token=self.token if fresh else None)
        self.progress_folder = self.store.root / "progress" / self.token
        self._labs: dict[str, Any] = {}
        self._holistic_models: dict[str, Scorer] = {}
        self._studies: dict[str, RewardStudy] = {}
        if trains and token is None:
            for task in needed:
                self.lab(task).base  # noqa: B018  raises where it is missing, damaged or another world's

    @classmethod
    def from_options(cls, option: Any, worker_input: Mapping[str, Any] | None) -> Session:
        """From pytest's parsed options; `worker_input` is what xdist hands to a worker."""
        try:
            seeds = tuple(int(seed) for seed in option.seeds.split(",") if seed.strip())
        except ValueError:
            raise ValueError(f"--seeds takes whole numbers separated by commas, got {option.seeds!r}") from None
        return cls(
            scale=option.scale,
            results=Path(option.results),
            tasks=tuple(option.task),
            methods=tuple(option.method),
            method_files=tuple(option.method_file),
            aspects=tuple(option.aspect),
            recipes=tuple(option.recipe),
            sources=tuple(option.source),
            seeds=seeds,
            full=option.full,
            quick=option.quick,
            grid_seeds=option.grid_seeds,
            device=option.device or default_device(option.scale),
            data=Path(option.data) if option.data else None,
            store=Path(option.store) if option.store else None,
            fresh=option.fresh,
            judge=check_judge(option.judge, option.max_cost, (option.price_in, option.price_out)),
            token=worker_input["alarm_token"] if worker_input else None,
            **chosen(option),
        )

    def lab(self, task: str):
        """The lab of one task: its artifacts, built on demand."""
        from alarm.experiment.lab import lab_class
        from alarm.experiment.progress import Progress

        if task not in self._labs:
            self._labs[task] = lab_class(task)(
                self._preset(task),
                self.store,
                data=self.data,
                device=self.device,
                progress=Progress(self.progress_folder),
                holistic_models=self._holistic_models,
            )
        return self._labs[task]

    def judged_specs(self, task: str) -> list[RunSpec]:
        """The runs that are judged: those asked for by name, else the paper's methods."""
        from alarm.report.published import PAPER_METHODS

        of_task = [spec for spec in self.specs if spec.task == task]
        return [spec for spec in of_task if self._judge_all or (spec.method in PAPER_METHODS and not spec.aspect)]

    def study_parts(self, source: str) -> list[StudyPart]:
        """The trainings of a source's reward-model study; nothing is read or built to tell them."""
        from alarm.experiment.reward_study import study_parts
        from alarm.experiment.sources import SOURCES

        recipes = preset(self.scale, source).recipes if source in TASK_NAMES else SOURCES[source].recipes
        return study_parts(recipes, sweep=self.scale == SWEPT_SCALE)

    def study(self, source: str) -> RewardStudy:
        """The reward-model study of a task's comparisons, or of a data set's."""
        from alarm.experiment.progress import Progress
        from alarm.experiment.reward_study import data_study, task_study

        if source not in self._studies:
            self._studies[source] = (
                task_study(self.lab(source), shifted_seeds=self.seeds, sweep=self.scale == SWEPT_SCALE)
                if source in TASK_NAMES
                else data_study(
                    source, self.data, self.store, progress=Progress(self.progress_folder), device=self.device
                )
            )
        return self._studies[source]

    def _check_models(self, *, used: bool) -> dict[str, str]:
        """The tasks' ready-made holistic models; where models and tools are used they are checked."""
        settings = {task: self._preset(task).reward_models for task in self.tasks}
        ready_made = {task: models.holistic_model for task, models in settings.items() if models.holistic_model}
        if not used:
            return ready_made
        checker = settings["wmt"].grammar_checker if "wmt" in settings else self._choices.get("grammar_checker")
        if checker is not None:
            check_grammar_checker(checker)
        if "long_form_qa" in settings:
            SPLITTERS[settings["long_form_qa"].sentence_splitter].require()
            if settings["long_form_qa"].aspect_models is not None:
                from alarm.scorers.longformer import find_aspects

                find_aspects(settings["long_form_qa"].aspect_models)
        for spec in dict.fromkeys(ready_made.values()):
            check_holistic(spec, [task for task, other in ready_made.items() if other == spec])
        return ready_made

    def _check_sources(self, asked: tuple[str, ...], tasks: list[str], ready_made: Mapping[str, str]) -> list[str]:
        """The sources of comparisons to study: those asked for, else the tasks whose holistic model is trained."""
        from alarm.experiment.sources import SOURCES

        known = [*TASK_NAMES, *(SOURCES if self.scale != "tiny" else ())]
        for name in asked:
            if name in SOURCES and name not in known:
                raise ValueError(f"--source {name} is real data: add --scale small and --data DIR (see README)")
            if name not in known:
                raise UnknownNameError(unknown_name(f"source of comparisons at scale {self.scale}", name, known))
            if name in TASK_NAMES:
                holistic_model = self._preset(name).reward_models.holistic_model
                if holistic_model is not None:
                    raise ValueError(
                        f"--source {name} studies how its holistic model is trained, but it is the ready-made "
                        f"{holistic_model}; train it with --holistic-model {TRAINED}"
                    )
            else:
                SOURCES[name].require(self.data)
        return list(dict.fromkeys(asked)) or [task for task in tasks if task not in ready_made]

    def _preset(self, task: str) -> Preset:
        """The task's preset with the models and tools that were asked for instead of its own."""
        return with_choices(preset(self.scale, task), self._choices)

    def close(self) -> None:
        """Take this process off the progress line."""
        for lab in self._labs.values():
            lab.progress.finish()

    def first_look(self) -> str:
        """The methods of this invocation on one screen."""
        from alarm.report.first_look import first_look

        return first_look(self.results, self.scale, list(dict.fromkeys(spec.name for spec in self.specs)))

    def render(self) -> list[Path]:
        """Rebuild this scale's tables, figures and page from the records on disk, and the overview of all scales."""
        from alarm.report.render import render_report

        return render_report(self.results, self.scale) if (self.results / self.scale / "records").is_dir() else []


def check_quick(
    scale: str, *, full: bool, tasks: tuple[str, ...], methods: tuple[str, ...], seeds: tuple[int, ...]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]]:
    """Tasks, methods and seeds of a first look; those that were asked for by name stay.

    Raises:
        ValueError: `full` beside it, or another scale than `tiny`.
    """
    if full:
        raise ValueError("--quick takes a part of the runs and --full adds to them; give one of the two")
    if scale != "tiny":
        raise ValueError(f"--quick is a first look at scale tiny; leave it out at scale {scale}")
    usual = seeds == REPORTED_SEEDS
    return tasks or (QUICK_TASK,), methods or QUICK_METHODS, QUICK_SEEDS if usual else seeds


def check_requirements(presets: list[Preset], *, data: Path | None, device: str, store: Path | None) -> None:
    """Warn if memory looks too small, and raise `ValueError` with a sentence for everything that a run here would miss.

    Only experiments with checkpoints are asked about: what is built from scratch needs nothing.
    """
    asked = [each for each in presets if each.scale == "paper" or each.policy.checkpoint]
    if not asked:
        return
    from alarm.experiment.requirements import missing, too_large
    from alarm.store import default_root

    store = (store or default_root()).expanduser().absolute()
    lacking = [line for each in asked for line in missing(each, data=data, device=device, store=store)]
    if lacking:
        lines = "\n".join(f"- {line}" for line in dict.fromkeys(lacking))
        raise ValueError(f"a run cannot work on this machine, and nothing has been started:\n{lines}")
    for problem in filter(None, (too_large(each, device) for each in asked)):
        # An estimate, for one device: sharded models need less of each.
        warnings.warn(problem, stacklevel=3)


def check_device(device: str) -> str:
    """Return `device` if torch can use it here, else raise `ValueError` saying what is missing."""
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(f"unknown device {device!r}; use cpu, cuda or cuda:N") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no CUDA device; install a CUDA build of torch, or use --device cpu")
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"device {device!r} is not supported; use cpu, cuda or cuda:N")
    return device


def check_judge(
    judge: str | None, max_cost: float | None, prices: tuple[float | None, float | None]
) -> JudgeRequest | None:
    """What `--judge` and its options ask for, checked before anything is trained; None without `--judge`."""
    if judge is None:
        if max_cost is not None:
            raise ValueError("--max-cost limits what --judge spends; add --judge openai:MODEL")
        return None
    from alarm.experiment.judging import JudgeRequest

    request = JudgeRequest.parse(judge, max_cost=max_cost, prices=prices)
    request.endpoint.require()
    return request


def check_results(results: Path) -> Path:
    """The folder for records, checked to be a writable folder or the name of one to come; nothing is created."""
    folder = results.absolute()
    while not folder.exists():
        folder = folder.parent
    try:
        # Permissions do not tell: to root everything seems writable, what is mounted to be read only too.
        with tempfile.TemporaryFile(dir=folder):
            return results
    except OSError:
        raise ValueError(
            f"--results {results}: {folder} is not a folder that can be written; name another one"
        ) from None


def check_grammar_checker(name: str) -> str:
    """Return the name of a grammar checker that works here, else raise `ValueError` saying what to install."""
    from alarm.scorers.grammar import CHECKERS

    CHECKERS[name].require()
    return name


def check_data(scale: str, data: Path | None) -> Path | None:
    """The folder with real data, checked to exist where the scale needs one."""
    if scale == "tiny":
        if data is not None:
            raise ValueError("--data is for scale small and above; scale tiny generates its own data")
        return None
    if data is None and scale == "paper":
        return None  # Europarl and QA-Feedback can be fetched
    if data is None:
        raise ValueError(f"scale {scale} reads real data: name its folder with --data (see README, 'Real data')")
    if not data.is_dir():
        raise ValueError(f"--data {data}: no such folder")
    return data.resolve()
