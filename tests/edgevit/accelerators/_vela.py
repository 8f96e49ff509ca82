"""A tiny file, and a stand-in for Vela that answers with what Vela 5.2.0 wrote of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from converters.tflite import flatbuffer as tfl

# Recorded: vela tiny.tflite --accelerator-config ethos-u85-1024 --enable-debug-db --show-cpu-operations
SAID: Final = """Warning: No memory mode specified. Using a default of Dedicated_Sram_384KB. Compilation may be invalid.

Warning (supported operators) operator: MEAN, ofm: 'blocks.0.norm:mean;1'
Reason: Unsupported depth-reduction.  IFM: 1, 4, 4, 8
Reduction over depth is only supported if any of h,w,c == 1

Network summary for model
Accelerator configuration              Ethos_U85_1024
CPU operators = 1 (33.3%)
   CPU: Passthrough = blocks.0.norm:mean;1 (outputs [1, 4, 4, 1])
"""
DATABASE: Final = """<?xml version='1.0' encoding='UTF-8'?>
<debug source="out/model">
<table name="perf">
<![CDATA[
"id","source_id","optimised_id","operator","name","staging_usage","op_cycles","npu_cycles","mac_count","Dram_ac"
13,1,7,"Conv2D","blocks.0.proj:conv",0,1119,1119,1024,390
18,2,6,"Passthrough","blocks.0.norm:mean;1",0,0,0,0,0
21,3,5,"LUT","scores",0,1349,1349,16,21
]]>
</table>
<table name="source">
<![CDATA[
"id","operator","kernel_w","kernel_h","ofm_w","ofm_h","ofm_d","ext_key"
1,"Conv2D",1,1,4,4,8,0
2,"Mean",1,1,4,4,1,1
3,"Sigmoid",1,1,4,4,1,2
]]>
</table>
</debug>
"""
SUMMARY: Final = (
    "experiment,network,accelerator_configuration,system_config,memory_mode,core_clock,inference_time,"
    "sram_memory_used,dram_memory_used,on_chip_flash_memory_used,off_chip_flash_memory_used,"
    "total_npu_encoded_weights,nn_macs,cycles_npu,cycles_sram_access,cycles_dram_access,"
    "cycles_on_chip_flash_access,cycles_off_chip_flash_access,cycles_total\n"
    "default,model,Ethos_U85_1024,Ethos_U85_SYS_DRAM_Mid,Dedicated_Sram_384KB,1000000000.0,2.468e-06,"
    "0.0,0.90625,0.0,0.0,256,1040,2468,0,411,0,0,2468\n"
)


def tiny(path: Path) -> Path:
    """A convolution (1,024 multiply-accumulates), a mean over the channels of (1, 4, 4, 8), and a sigmoid, in int8."""
    schema = tfl.schema()
    model, part = schema.ModelT(), schema.SubGraphT()
    model.version, model.operatorCodes, model.buffers = 3, [], [schema.BufferT()]
    model.subgraphs, part.tensors = [part], []

    def tensor(
        name: str, shape: list[int], kind: str = "INT8", value: object = None, channels: int = 0
    ) -> int:
        made = tfl.add_tensor(model, name, shape, kind, None if value is None else np.asarray(value))
        scale, zero = ((0.01,) * channels, (0,) * channels) if channels else ((1 / 256,), (-128,))
        tfl.set_quantization(part.tensors[made], scale, zero)
        return made

    image = tensor("image", [1, 4, 4, 8])
    weight = tensor("blocks.0.proj/weight", [8, 1, 1, 8], "INT8", np.arange(64) % 11 - 5, 8)
    bias = tensor("blocks.0.proj/bias", [8], "INT32", np.zeros(8), 8)
    middle, mean = tensor("blocks.0.proj:conv", [1, 4, 4, 8]), tensor("blocks.0.norm:mean;1", [1, 4, 4, 1])
    axes = tfl.add_tensor(model, "axes", [1], "INT32", np.asarray([3]))
    scores = tensor("scores", [1, 4, 4, 1])
    conv = tfl.new_operator(model, "CONV_2D", 3, [image, weight, bias], [middle])
    conv.builtinOptionsType, conv.builtinOptions = (
        schema.BuiltinOptions.Conv2DOptions,
        schema.Conv2DOptionsT(),
    )
    conv.builtinOptions.padding = conv.builtinOptions.strideW = conv.builtinOptions.strideH = 1
    over = tfl.new_operator(model, "MEAN", 2, [middle, axes], [mean])
    over.builtinOptionsType, over.builtinOptions = (
        schema.BuiltinOptions.ReducerOptions,
        schema.ReducerOptionsT(),
    )
    over.builtinOptions.keepDims = True
    part.operators = [conv, over, tfl.new_operator(model, "LOGISTIC", 2, [mean], [scores])]
    part.inputs, part.outputs = np.asarray([image], np.int32), np.asarray([scores], np.int32)
    path.write_bytes(tfl.pack(model))
    return path


def stand_in(cache: Path, then: str = "") -> Path:
    """An environment of the compiler below `cache` whose Python plays Vela; `then` are shell commands of its own."""
    program = cache / "edgevit" / "vela-5.2.0" / "bin" / "python"
    program.parent.mkdir(parents=True)
    record = cache / "record"
    record.mkdir()
    for name, text in (("said", SAID), ("database", DATABASE), ("summary", SUMMARY)):
        (record / name).write_text(text)
    program.write_text(
        "#!/bin/sh\n"
        f"{then}\n"
        'stem=$(basename "$3" .tflite); while [ "$1" != --output-dir ]; do shift; done\n'
        f'cp {record}/database "$2/${{stem}}_debug.xml"; cp {record}/summary "$2/${{stem}}_summary_Mid.csv"\n'
        f'echo compiled > "$2/${{stem}}_vela.tflite"; cat {record}/said\n'
    )
    program.chmod(0o755)
    return program
