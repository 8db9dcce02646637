"""The page itself, in Gradio: bound to this machine, with no analytics and no public link."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from apnt.errors import InputError
from apnt.looks import LOOKS, check_look, check_white_balance
from apnt.run import Look
from apnt.ui.work import Result, Settings, fuse_files

HOST = "127.0.0.1"
"""The page is for this machine alone."""

_FONT = ["system-ui", "DejaVu Sans", "sans-serif"]  # Gradio's own comes from elsewhere
_SESSIONS = 4  # pages that keep their result in memory; the oldest forgets its own
_STOPS = 5.0  # the slider's reach either way
_STEPS = {
    "read": (0.05, "Reading and checking the photographs"),
    "weights": (0.2, "Loading the network"),
    "fuse": (0.25, "Fusing"),
    "write": (0.8, "Writing"),
    "report": (0.9, "Writing the report"),
}
_QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_SHARE": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}


def serve(settings: Settings, port: int | None = None, *, browser: bool = True, wait: bool = True) -> Any:
    """Serve the page on this machine until it is interrupted.

    Files live in a folder for temporary ones, which goes when the page does.

    Args:
        settings: of the network.
        port: None = a free one from 7860 on.
        browser: open the page in it.
        wait: until interrupted; False returns at once.

    Returns:
        The Gradio app; ``local_url`` is its address, ``close()`` ends it.

    Raises:
        InputError: Gradio is not installed, or the port is taken.
    """
    os.environ.update(_QUIET)
    folder = tempfile.TemporaryDirectory(prefix="apnt-ui-")
    os.environ["GRADIO_TEMP_DIR"] = folder.name
    try:
        import gradio
    except ImportError as error:
        raise InputError("apnt ui needs Gradio, and it is not installed: pip install 'apnt[ui]'") from error
    page = build(settings, Path(folder.name))
    page.apnt_folder = folder  # as long as the page
    try:
        page.launch(
            server_name=HOST,
            server_port=port,
            share=False,
            inbrowser=browser,
            prevent_thread_lock=True,
            quiet=True,
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            state_session_capacity=_SESSIONS,
            theme=gradio.themes.Default(font=_FONT, font_mono=["monospace"]),
        )
    except OSError as error:
        raise InputError(f"--port must be free, and {port or 'none from 7860 on'} is not: {error}") from error
    if wait:
        print(f"apnt on {page.local_url} (Ctrl+C ends it)", flush=True)
        try:
            page.block_thread()
        finally:
            page.close()
    return page


def build(settings: Settings, folder: Path) -> Any:
    """The page's parts, and what they do."""
    import gradio

    with gradio.Blocks(title="apnt", analytics_enabled=False) as page:
        result = gradio.State(None)
        gradio.Markdown("# apnt\n2 to 15 differently exposed photographs of one scene in, one HDR image out.")
        files = gradio.File(label="Photographs", file_count="multiple", type="filepath")
        button = gradio.Button("Fuse", variant="primary")
        # No button shares, which would upload, or downloads what is reduced for the page.
        picture = gradio.Image(
            label="Picture", interactive=False, format="png", visible=False, buttons=["fullscreen"]
        )
        with gradio.Row():
            exposure = gradio.Slider(-_STOPS, _STOPS, 0.0, step=0.1, label="Exposure, stops")
            look = gradio.Dropdown(list(LOOKS), value="local", label="Look")
            balance = gradio.Textbox(
                "as-shot", label="White balance", info="as-shot, grey-world, or such as 5200K"
            )
        said = gradio.Markdown()
        with gradio.Row():
            radiance = gradio.DownloadButton("HDR image (.exr)", interactive=False)
            saved = gradio.DownloadButton("Picture (.jpg)", interactive=False)
            report = gradio.DownloadButton("Report (.html)", interactive=False)

        steps = gradio.Progress()

        def fuse(
            paths: list[str] | None, stops: float, name: str, white: str, progress: Any = steps
        ) -> tuple[Any, ...]:
            def work() -> tuple[Any, ...]:
                chosen = _look(stops, name, white)
                if not paths:
                    raise InputError("drop 2 to 15 photographs of one scene first")
                made = fuse_files(paths, settings, chosen, folder, lambda s: progress(*_STEPS[s]))
                ready = [
                    gradio.update(value=str(path), interactive=True)
                    for path in (made.radiance, made.picture, made.report)
                ]
                shown = gradio.update(value=_bytes(made.shown(chosen)), visible=True)
                return made, shown, _told(made), *ready

            return _explained(work)

        def show(made: Result | None, stops: float, name: str, white: str) -> tuple[Any, Any]:
            if made is None:
                return gradio.skip(), gradio.skip()
            shown = _explained(lambda: made.shown(_look(stops, name, white)))
            return _bytes(shown), gradio.update(interactive=False)

        def save(made: Result | None, stops: float, name: str, white: str) -> Any:
            if made is None:
                return gradio.skip()
            path = _explained(lambda: made.save(_look(stops, name, white)))
            return gradio.update(value=str(path), interactive=True)

        options = [exposure, look, balance]
        button.click(
            fuse, [files, *options], [result, picture, said, radiance, saved, report],
            api_visibility="private", concurrency_limit=1,
        )  # fmt: skip
        # What is seen first, then the picture in full, which takes seconds; of many moves the last counts.
        changes = [exposure.change, look.change, balance.submit, balance.blur]
        gradio.on(
            changes, show, [result, *options], [picture, saved],
            api_visibility="private", show_progress="hidden", trigger_mode="always_last",
        ).success(
            save, [result, *options], saved,
            api_visibility="private", show_progress="minimal", trigger_mode="always_last",
        )  # fmt: skip
    return page


def _look(exposure: float, look: str, balance: str) -> Look:
    check_look(look, exposure)
    check_white_balance(balance)
    return Look(look, exposure, balance)


def _bytes(picture: np.ndarray) -> np.ndarray:
    return np.rint(picture * 255).astype(np.uint8)


def _told(made: Result) -> str:
    """Names of files come from elsewhere: everything that Markdown or HTML could read is escaped."""
    notes, doubts = made.said
    lines = [f"- {_plain(line)}" for line in notes] + [f"- **Doubt:** {_plain(line)}" for line in doubts]
    return "\n".join(lines)


def _plain(line: str) -> str:
    return "".join(f"&#{ord(c)};" if not (c.isalnum() or c in " .,;:") else c for c in line)


def _explained(work: Callable[[], Any]) -> Any:
    """Errors that have a sentence show it on the page."""
    import gradio

    try:
        return work()
    except (InputError, OSError, MemoryError, FloatingPointError) as error:
        raise gradio.Error(
            _plain(" ".join(str(error).split())), duration=None, print_exception=False
        ) from None
