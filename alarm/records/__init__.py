"""What a run leaves behind: one JSON record and one line of JSON per test example. Tables are made from these alone.

Layout, below `<results>/<scale>/records/<task>/`:

    <run name>/seed<k>.json                 a `RunRecord`
    <run name>/seed<k>.generations.jsonl    its greedy test responses, a `Generation` per line
    <run name>/seed<k>.samples.jsonl        its sampled test responses, likewise
    selection.json                          a `SelectionRecord`: proactive selection
    setup.json                              a `SetupRecord`: what the runs share, such as reward-model accuracies
    best_of_k.json                          a `BestOfKRecord`: best-of-k from one pool of SFT samples
    sft_pool.json                           a `PoolRecord`: scored samples of the SFT policy, before any PPO
    reward_models.json                      a `RewardModelRecord`: recipes of reward models, strength of preferences
    judge_<name>.json                       a `JudgeRecord`: verdicts of a language-model judge
    metric_<name>.json                      a `MetricRecord`: scores of a metric computed after the runs
    sft.generations.jsonl                   optional: the SFT policy's greedy test responses
    sft.samples.jsonl                       optional: its sampled ones
    prompts.jsonl                           generated data only: test prompts with references, a `PromptRow` per line
"""

from alarm.records.files import (
    RecordError,
    generations_of,
    read_best_of_k,
    read_generations,
    read_judge,
    read_metric,
    read_pool,
    read_prompts,
    read_record,
    read_records,
    read_reward_models,
    read_selection,
    read_setup,
    samples_of,
    write_best_of_k,
    write_generations,
    write_judge,
    write_metric,
    write_pool,
    write_prompts,
    write_record,
    write_reward_models,
    write_selection,
    write_setup,
)
from alarm.records.kinds import (
    BestOfKRecord,
    Generation,
    JudgeRecord,
    MetricRecord,
    PoolRecord,
    PromptRow,
    RewardModelRecord,
    RunRecord,
    SelectionRecord,
    SetupRecord,
    hardware_kind,
    run_name,
)
from alarm.records.paths import (
    best_of_k_path,
    judge_path,
    metric_path,
    pool_path,
    prompts_path,
    record_path,
    records_folder,
    reward_models_path,
    selection_path,
    setup_path,
    sft_generations_path,
    sft_samples_path,
)

__all__ = [
    "BestOfKRecord",
    "Generation",
    "JudgeRecord",
    "MetricRecord",
    "PoolRecord",
    "PromptRow",
    "RecordError",
    "RewardModelRecord",
    "RunRecord",
    "SelectionRecord",
    "SetupRecord",
    "best_of_k_path",
    "generations_of",
    "hardware_kind",
    "judge_path",
    "metric_path",
    "pool_path",
    "prompts_path",
    "read_best_of_k",
    "read_generations",
    "read_judge",
    "read_metric",
    "read_pool",
    "read_prompts",
    "read_record",
    "read_records",
    "read_reward_models",
    "read_selection",
    "read_setup",
    "record_path",
    "records_folder",
    "reward_models_path",
    "run_name",
    "samples_of",
    "selection_path",
    "setup_path",
    "sft_generations_path",
    "sft_samples_path",
    "write_best_of_k",
    "write_generations",
    "write_judge",
    "write_metric",
    "write_pool",
    "write_prompts",
    "write_record",
    "write_reward_models",
    "write_selection",
    "write_setup",
]
