"""Networks on the Hugging Face Hub. ``huggingface_hub`` takes a third of a second to import: only here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from huggingface_hub import PyTorchModelHubMixin

if TYPE_CHECKING:
    from apnt.nn.apnt import APNTFusion


def on_hub(network: APNTFusion) -> PyTorchModelHubMixin:
    """The same network, its weights shared, with the methods of ``huggingface_hub``."""
    kind = type(network)

    class OnHub(PyTorchModelHubMixin, kind, library_name="apnt", license="apache-2.0"):  # type: ignore
        _save_pretrained = kind._save_pretrained

    OnHub.__name__ = OnHub.__qualname__ = kind.__name__
    view: Any = OnHub.__new__(OnHub, config=network.config)
    view.__dict__.update(network.__dict__)
    return view
