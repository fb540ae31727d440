"""Write the page that a person reads at the end.

In: tables and pictures of the data set; summary, export verdict and timings of each experiment; config, history,
operating point, weights, test metrics and test masks of every member, experiment by experiment.
Out: report.html, one file with its pictures inside.
"""

from itertools import batched

from maskmill.logs import configure_logging
from maskmill.report.data import DataFiles
from maskmill.report.page import render_report
from maskmill.report.results import ExperimentFiles, TrainingFiles
