#!/usr/bin/env python3
"""Writes tests/data/tensorboard/events: the events of test_event_file.c, encoded and framed by TensorBoard itself.

    python3 tests/golden/make_tensorboard_fixture.py        needs PyPI's tensorboard (2.21 made the committed file)
"""
import os

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.record_writer import RecordWriter

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "tensorboard", "events")


def scalars(wall_time, step, **values):
    return Event(wall_time=wall_time, step=step,
                 summary=Summary(value=[Summary.Value(tag=k.replace("__", "/"), simple_value=v) for k, v in values.items()]))


def text(wall_time, step, tag, content):
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    tensor = TensorProto(dtype=DT_STRING, string_val=[content.encode()], tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]))
    return Event(wall_time=wall_time, step=step, summary=Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)]))


EVENTS = [
    Event(wall_time=1700000000.25, file_version="brain.Event:2"),
    text(1700000000.25, 0, "args/text_summary", "    {\n    \t\"seed\":\t\"42\"\n    }\n" + 30 * "가나다 "),
    scalars(1700000001.5, 1, train__loss=2.75, train__grad_norm=0.1, train__learning_rate=0.0),
    scalars(1700000002.5, 127, train__loss=float("nan")),
    scalars(1700000003.5, 128, eval__loss=float("inf")),
    scalars(1700000004.5, 2**62 + 5),
]

os.makedirs(os.path.dirname(PATH), exist_ok=True)
with open(PATH, "wb") as file:
    writer = RecordWriter(file)
    for event in EVENTS:
        writer.write(event.SerializeToString())
