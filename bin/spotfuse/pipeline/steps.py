"""The pipeline's steps and what each needs."""

STEPS = (
    *("check_slice", "prepare_slice", "join_group", "train", "assign_domains", "split_group"),
    *("prepare_reference", "deconvolve", "find_markers", "evaluate", "collect_slice", "report_slice"),
)
# what must have gone well before a step can start; to evaluate, one of them is enough
NEEDS = {
    "prepare_slice": ("check_slice",),
    "join_group": ("prepare_slice",),
    "train": ("prepare_slice", "join_group"),
    "assign_domains": ("train",),
    "split_group": ("assign_domains",),
    "deconvolve": ("prepare_slice", "prepare_reference"),
    "find_markers": ("assign_domains", "split_group"),
    "evaluate": ("assign_domains", "split_group", "deconvolve"),
    "collect_slice": ("prepare_slice",),
    "report_slice": ("collect_slice",),
}
