"""What a training reports: parameters, curves, pictures and files to MLflow, curves and pictures to TensorBoard.

Both cost over a second to import, which is left to those who use them.
"""

from maskmill.tracking.store import create_store
from maskmill.tracking.tracker import Tracker

__all__ = ["Tracker", "create_store"]
