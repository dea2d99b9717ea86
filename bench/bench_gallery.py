"""A gallery of 1,000 lesions: how smoothly does it scroll, and how long until it is there?

A wheel turns through the whole page. Every frame that the browser shows is timed, and so is the processor time of
every task of the page's thread: one of more than a frame is late on a quiet machine too. Pictures are noise, which
compresses worst.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
from browser import browser_page, why_there_is_none
from common import arguments, report, scratch

from gsigpu.pipeline.review.cohort_gallery import RowCards, write_cohort_gallery
from gsigpu.pipeline.review.lesion_cards import PANEL_PIXELS, LesionCard, write_card

PER_ROW = 4
STEP_PIXELS, STEP_MS = 240, 30
FRAME_MS = 1000 / 60
_MARK = "gsigpu-scroll"
_WATCH = f"""() => {{
  performance.mark("{_MARK}");
  window.frames_ms = [];
  let last = null;
  const look = (now) => {{ if (last !== null) frames_ms.push(now - last); last = now; requestAnimationFrame(look); }};
  requestAnimationFrame(look);
}}"""
_READY = "document.querySelectorAll('article').length > 0 && performance.now()"


def gallery(out: Path, n_cards: int) -> Path:
    """A gallery as a run writes it; every card has a picture of its own."""
    rng = np.random.default_rng(1)
    rows = []
    for number in range(n_cards // PER_ROW):
        folder = out / "cases" / f"case-{number}" / "key.cards"
        folder.mkdir(parents=True)
        cards = []
        for k in range(PER_ROW):
            noise = rng.integers(0, 256, (PANEL_PIXELS, 3 * PANEL_PIXELS, 3), np.uint8)
            write_card(folder / f"{k + 1}.jpg", LesionCard("1", noise, 1))
            values = {
                f"{parameter} {region}": float(rng.uniform(0, 3))
                for parameter in ("lambda_hu", "iodine", "ct_value")
                for region in ("core", "rim")
            }
            cards.append(
                {
                    "lesion": str(k + 1),
                    "image": f"{k + 1}.jpg",
                    "slice": 12,
                    "diameter_mm": 18.5,
                    "volume_ml": 3.4,
                    "flags": ["few-voxels"] if k == 0 else [],
                    "values": values,
                }
            )
        (folder / "cards.json").write_text(json.dumps(cards), "utf-8")
        rows.append(
            RowCards(
                case_id=f"case-{number}",
                group=("lung", "breast")[number % 2],
                phase="PVP",
                reader="A",
                cards=folder,
                page=folder.with_suffix(".page"),
            )
        )
    return write_cohort_gallery(out, rows, run="bench")


def tasks_ms(trace: bytes) -> list[float]:
    """Processor time of each task of the page's thread since scrolling began."""
    events = json.loads(trace)["traceEvents"]
    (begun, *_) = (e for e in events if e.get("name") == _MARK and "user_timing" in e["cat"])
    thread = begun["pid"], begun["tid"]
    return [
        event["tdur"] / 1000
        for event in events
        if event["name"] == "ThreadControllerImpl::RunTask"
        and (event["pid"], event["tid"]) == thread
        and event["ts"] >= begun["ts"]
        and "tdur" in event
    ]


def scrolled(path: Path) -> list[str]:
    """Frames and tasks while a wheel turns from the top to the end."""
    with browser_page() as page:
        browser = page.context.browser
        browser.start_tracing(page=page, categories=["toplevel", "blink.user_timing"])
        page.goto(path.as_uri(), wait_until="commit")
        ready_ms = page.wait_for_function(_READY, polling="raf").json_value()
        page.wait_for_timeout(1000)
        page.evaluate(_WATCH)
        page.mouse.move(700, 600)
        height = page.evaluate("document.documentElement.scrollHeight")
        for _ in range(height // STEP_PIXELS + 1):
            page.mouse.wheel(0, STEP_PIXELS)
            page.wait_for_timeout(STEP_MS)
        page.wait_for_timeout(500)
        frames = page.evaluate("frames_ms")
        is_at_end = page.evaluate(
            "scrollY + innerHeight >= document.documentElement.scrollHeight - 2"
        )
        tasks = tasks_ms(browser.stop_tracing())
    late = [task for task in tasks if task > FRAME_MS]
    missed = sum(frame > 34 for frame in frames) / len(frames)
    return [
        "| | |",
        "|---|---:|",
        f"| cards there after | {ready_ms / 1000:.2f} s |",
        f"| frames | {len(frames)} |",
        f"| time between frames: median | {statistics.median(frames):.1f} ms |",
        f"| 95 % within | {np.percentile(frames, 95):.1f} ms |",
        f"| longest | {max(frames):.0f} ms |",
        f"| frames later than 34 ms | {100 * missed:.1f} % |",
        f"| processor time of the page's thread per frame shown | {sum(tasks) / len(frames):.1f} ms |",
        f"| its tasks of more than a frame ({FRAME_MS:.1f} ms) | {len(late)}, longest {max(tasks):.0f} ms |",
        f"| reached the end | {'yes' if is_at_end else 'NO'} |",
    ]


def main() -> None:
    """Runs it."""
    chosen: argparse.Namespace = arguments(__doc__ or "", cards=1000)
    n_cards = 40 if chosen.quick else chosen.cards
    why_not = why_there_is_none()
    with scratch() as folder:
        path = gallery(folder, n_cards)
        result = [f"| not measured | {why_not} |"] if why_not else scrolled(path)
    report("gallery", [f"{n_cards} cards, window of 1500 x 1000.", "", *result], save=chosen.save)


if __name__ == "__main__":
    main()
