from __future__ import annotations

from typing import Any

from ablation_figures import table


def test_ablations_of_several_corpora_are_put_together() -> None:
    def row(group: str, variant: str, precision: float, difference: float, *, trained: bool) -> dict[str, Any]:
        hits = {name: {"class_hit": {"1": precision + 1}} for name in ("audio_to_video", "video_to_audio")}
        means = {"map": {"mean": precision}, "difference": {"mean": difference}}
        kind = {"retrained": trained, "is_default": variant == "on", "slots": 20.0 if trained else None}
        return {"group": group, "variant": variant} | hits | means | kind

    one = {"rows": [row("a", "on", 70, 0, trained=True), row("a", "off", 60, -10, trained=False)]}
    two = {"rows": [row("a", "on", 74, 0, trained=True), row("a", "off", 72, -2, trained=False)]}
    two["rows"].append(row("b", "only here", 1, 0, trained=True))
    lines = table([one, two]).splitlines()
    # standard deviations of two values: their distance / √2
    assert lines[2] == "| a | on (default) | 20 | 72.0 ± 2.8 |  | 73.0 ± 2.8 | 73.0 ± 2.8 |"
    assert lines[3] == "| a | off * | – | 66.0 ± 8.5 | -6.0 ± 5.7 | 67.0 ± 8.5 | 67.0 ± 8.5 |"
    assert len(lines) == 4
