"""The script that Streamlit runs for `maskmill app`: BUNDLE THREADS [EXAMPLES]."""

import sys
from pathlib import Path

from maskmill.serving.page import show_page

if __name__ == "__main__":
    bundle, threads, *examples = sys.argv[1:]
    show_page(Path(bundle), int(threads), Path(examples[0]) if examples else None)
