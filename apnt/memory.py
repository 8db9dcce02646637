"""How memory is asked for."""

from __future__ import annotations

import os


def ask_for_large_pages() -> None:
    """Have PyTorch take large pages, in this process before it first allocates, and in those it starts.

    Pictures take gigabytes of new memory, and handing it out page by page can take longer than the network. A
    user's own ``THP_MEM_ALLOC_ENABLE`` stays.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
