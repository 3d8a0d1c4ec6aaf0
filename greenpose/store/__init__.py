"""Run folders: the only reader and writer of what a run leaves on disk."""

from greenpose.store.folder import RunFolder, State, append_line, read_lines
from greenpose.store.pictures import Predictions, pictures
from greenpose.store.records import artefact_costs, collect, policies, read_document, read_record, stream
from greenpose.store.similar_records import AlikeReader
from greenpose.store.traces import Stretch, Trace, trace, traces

__all__ = [
    "AlikeReader",
    "Predictions",
    "RunFolder",
    "State",
    "Stretch",
    "Trace",
    "append_line",
    "artefact_costs",
    "collect",
    "pictures",
    "policies",
    "read_document",
    "read_lines",
    "read_record",
    "stream",
    "trace",
    "traces",
]
